"""Connections that nobody can hold for nothing: bounds on a request's head, on waiting for it, and on their number.

Uvicorn's own protocol bounds none of these. Knows nothing of what is asked for.
"""

from __future__ import annotations

import asyncio
import json
import resource
from functools import cache
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from loadtests.backend.refusals import Refusal
from loadtests.backend.settings import HEAD_BYTES, HEAD_SECONDS

MOST_CONNECTIONS = 10_000  # of a process
LINGER_SECONDS = 1.0
OTHER_FILES = 256  # that a process may open beside them: databases, photos, libraries


def raise_file_limit() -> None:
    """As many files as this process may have without asking anybody; its children may, too."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    except (OSError, ValueError):  # macOS names a limit that it does not give
        return


@cache
def most_connections() -> int:
    """How many connections a process lets in."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY:
        return MOST_CONNECTIONS
    return max(64, min(MOST_CONNECTIONS, files - OTHER_FILES))


class Connection(HttpToolsProtocol):
    """One connection, from the moment it is let in."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._awaits_head = True
        self._came_bytes = 0  # since the head that is awaited could begin
        self._closes: asyncio.TimerHandle | None = None
        self._refusal: Refusal | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        if len(self.connections) > most_connections():
            self._refuse(Refusal("H09", retry_after_s=1))
        else:
            self._close_later()

    def connection_lost(self, exc: Exception | None) -> None:
        self._keep()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._refusal is not None:
            return
        self._came_bytes += len(data)
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._awaits_head and self._came_bytes > HEAD_BYTES:
            self._refuse(Refusal("H11"))
        elif not self._answers():  # neither asked for, nor what a request still needs
            self._close_later()

    def on_headers_complete(self) -> None:
        if self._came_bytes > HEAD_BYTES and self._head_bytes() > HEAD_BYTES:
            self._refuse(Refusal("H11"))
            raise _HeadTooLargeError  # the parser stops, and tells `data_received`, which asks for `send_400_response`
        self._awaits_head = False
        self._keep()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._awaits_head = True
        self._came_bytes = 0

    def send_400_response(self, msg: str) -> None:
        if self._refusal is None:
            super().send_400_response(msg)

    def _answers(self) -> bool:
        """Whether a request is being answered."""
        cycle: RequestResponseCycle | None = self.cycle  # none before the first one, whatever its type says
        return cycle is not None and not cycle.response_complete

    def _head_bytes(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    def _close_later(self) -> None:
        """Once: bytes that trickle in do not put it off."""
        if self._closes is None:
            self._closes = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def _keep(self) -> None:
        if self._closes is not None:
            self._closes.cancel()
            self._closes = None

    def _refuse(self, refusal: Refusal) -> None:
        """Answer in the one shape, unless another answer is on its way, and hang up."""
        self._refusal = refusal
        if not self._answers():
            body = json.dumps({"errors": [{"code": refusal.code, "message": refusal.message}]}).encode()
            head = b"content-type: application/json\r\nconnection: close\r\ncache-control: no-store\r\n"
            if refusal.retry_after_s is not None:
                head += b"retry-after: %d\r\n" % refusal.retry_after_s
            head += b"content-length: %d\r\n\r\n" % len(body)
            self.transport.write(STATUS_LINE[refusal.status] + head + body)
        if refusal.status == 431 and self.transport.can_write_eof():
            self.transport.write_eof()  # what still comes is thrown away, or the client would not read the answer
            self.loop.call_later(LINGER_SECONDS, self.transport.close)
        else:
            self.transport.close()


class _HeadTooLargeError(Exception):
    """Ends the parsing of a head."""
