"""The border between ASGI and everything else: headers, bounded bodies, answers of one shape, security headers.

Knows nothing of what is asked for. Written against ASGI itself: this runs for every request.
"""

from __future__ import annotations

import asyncio
import json
import math
import re
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.types import Receive, Scope, Send

from loadtests.backend.refusals import Refusal
from loadtests.backend.settings import BODY_BYTES_PER_S, BODY_SECONDS

JSON = (b"content-type", b"application/json")
NO_STORE = (b"cache-control", b"no-store")
NOSNIFF = (b"x-content-type-options", b"nosniff")
DRAINED_BYTES = 8_000_000  # of a body that is too large: so much is let in and thrown away, for the client to hear why
DRAINED_SECONDS = 5.0
CONTENT_LENGTH = re.compile(rb"[0-9]{1,15}")


@dataclass(slots=True)
class Reply:
    """An answer: its status, its bytes, and what else its head says."""

    status: int
    body: bytes = b""
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)

    async def send(self, send: Send) -> None:
        """Give it to the server."""
        headers = [*self.headers, NO_STORE, NOSNIFF, (b"content-length", str(len(self.body)).encode())]
        if self.status == 204:
            headers.pop()
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": self.body})


def json_reply(status: int, body: Mapping[str, Any], *more: tuple[bytes, bytes]) -> Reply:
    """An answer of JSON."""
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    return Reply(status, text.encode("utf-8", "replace"), [JSON, *more])


def problems_reply(status: int, problems: Iterable[Mapping[str, Any]], *more: tuple[bytes, bytes]) -> Reply:
    """An answer that is not a success: always of this shape."""
    return json_reply(status, {"errors": list(problems)}, *more)


def refusal_reply(refusal: Refusal, *more: tuple[bytes, bytes]) -> Reply:
    """The answer to a request that is turned away."""
    problem = {"code": refusal.code, "message": refusal.message}
    if refusal.field is not None:
        problem["field"] = refusal.field
    headers = list(more)
    if refusal.retry_after_s is not None:
        headers.append((b"retry-after", str(max(1, math.ceil(refusal.retry_after_s))).encode()))
    if refusal.status == 401:
        headers.append((b"www-authenticate", b'Bearer realm="caucus"'))
    return problems_reply(refusal.status, [problem], *headers)


def headers_of(scope: Scope) -> dict[bytes, bytes]:
    """The request's headers by lower-case name; of repeated ones the last."""
    return dict(scope["headers"])


def media_type(headers: Mapping[bytes, bytes]) -> bytes:
    """The Content-Type without its parameters."""
    return headers.get(b"content-type", b"").partition(b";")[0].strip().lower()


async def body_of(receive: Receive, headers: Mapping[bytes, bytes], most: int) -> bytes:
    """A small body, whole. Refusal H05 before more than `most` bytes are held."""
    await refuse_declared(receive, headers, most)
    return b"".join([part async for part in body_parts(receive, most)])


async def refuse_declared(receive: Receive, headers: Mapping[bytes, bytes], most: int) -> None:
    """Refusal H05 where the Content-Length says that the body is too large."""
    declared = headers.get(b"content-length")
    if declared is not None and (not CONTENT_LENGTH.fullmatch(declared) or int(declared) > most):
        await _drain(receive)
        raise Refusal("H05")


async def body_parts(receive: Receive, most: int) -> AsyncIterator[bytes]:
    """The body as it comes in; Refusal H05 once it is too large, H04 once it comes too slowly."""
    left = most
    began_s = asyncio.get_running_loop().time()
    while True:
        until = began_s + BODY_SECONDS + (most - left) / BODY_BYTES_PER_S
        try:
            async with asyncio.timeout_at(until):
                message = await receive()
        except TimeoutError:
            raise Refusal("H04") from None
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        part: bytes = message.get("body", b"")
        left -= len(part)
        if left < 0:
            if message.get("more_body", False):
                await _drain(receive)
            raise Refusal("H05")
        if part:
            yield part
        if not message.get("more_body", False):
            return


class ClientGoneError(Exception):
    """The client hung up before its request was whole: there is nobody to answer."""


async def _drain(receive: Receive) -> None:
    """Let the rest of a refused body in, up to a bound: a client that still sends does not read the answer."""
    left = DRAINED_BYTES
    try:
        async with asyncio.timeout(DRAINED_SECONDS):
            while left > 0:
                message = await receive()
                left -= len(message.get("body", b""))
                if not message.get("more_body", False):
                    return
    except TimeoutError:
        return
