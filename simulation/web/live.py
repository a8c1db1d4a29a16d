"""What keeps open pages up to date: one WebSocket a page, a full picture on connecting, then the blocks that changed.

No queue grows, here or in a browser: a page says when it has shown what it was sent, and one that is slow gets, when it
is ready, what is true then. Knows nothing of what a page shows.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from starlette.websockets import WebSocket, WebSocketDisconnect

_LOG = logging.getLogger(__name__)

BEAT_S = 4.0  # a page that hears nothing for longer than three of these connects anew
LONGEST = 65_536  # characters of a message
MOST_ANSWERS = 64  # unsent answers to one page; a page that sends more waits
TOO_FAST_S = 0.02  # the shortest time between two messages of one page
MOST_TO_SHOW_S = 4.0  # so long a page that is busy is left alone


class Shown(Protocol):
    """A page for one client."""

    @property
    def beat_s(self) -> float:
        """After how long without anything new it should be looked at again."""

    def news(self) -> tuple[Mapping[str, str], Mapping[str, Any]]:
        """What has changed since it was asked last: elements by id, and what else its script is told."""

    def clock(self) -> Mapping[str, Any]:
        """The night's clock now."""

    def failed(self) -> str:
        """What is said where an action failed."""

    def happened(self, message: Mapping[str, Any]) -> Mapping[str, Any]:
        """Somebody did something on it; what the page is to know of that."""


class Sent:
    """What a page has been sent, so that only what differs is sent again."""

    def __init__(self) -> None:
        self._blocks: dict[str, str] = {}

    def changed(self, now: Mapping[str, str]) -> dict[str, str]:
        """Those blocks that the page does not have yet; from now on it has them."""
        changed = {name: html for name, html in now.items() if self._blocks.get(name) != html}
        self._blocks |= changed
        return changed


class Client:
    """An open page."""

    def __init__(self, socket: WebSocket, shown: Shown, kind: str, token: str, pause_s: float) -> None:
        self.socket, self.shown, self.kind, self.token = socket, shown, kind, token
        self.seat: str | None = None  # where its person sat when it was woken last
        self._pause_s = pause_s
        self._answers: list[Mapping[str, Any]] = []
        self._sent = 0  # messages
        self._shown = 0  # the last one that the page has told of; 0 for a client that tells nothing
        self._told = asyncio.Event()
        self._wake = asyncio.Event()
        self._wake.set()

    def wake(self) -> None:
        """Something may look different."""
        self._wake.set()

    async def serve(self) -> None:
        """Until one side goes."""
        receiving = asyncio.create_task(self._receive())
        sending = asyncio.create_task(self._send())
        done, rest = await asyncio.wait((receiving, sending), return_when=asyncio.FIRST_COMPLETED)
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)
        for task in done:
            error = task.exception()
            if error is not None and not isinstance(error, (WebSocketDisconnect, RuntimeError, OSError)):
                raise error

    async def _receive(self) -> None:
        while True:
            text = await self.socket.receive_text()
            if len(text) > LONGEST:
                await self.socket.close(1009)
                return
            answer = self._taken(text)
            if answer is not None:
                self._answers.append(answer)
                self._wake.set()
            await asyncio.sleep(TOO_FAST_S)
            while len(self._answers) > MOST_ANSWERS:
                await asyncio.sleep(self._pause_s)

    def _taken(self, text: str) -> Mapping[str, Any] | None:
        try:
            message = json.loads(text)
        except ValueError:
            return None
        if isinstance(message, dict) and isinstance(message.get("shown"), int):
            self._shown = message["shown"]
            self._told.set()
            return None
        if not isinstance(message, dict) or not isinstance(message.get("id"), str) or len(message["id"]) > 64:
            return None
        try:
            return {"id": message["id"], **self.shown.happened(message)}
        except Exception:  # an action that fails is answered, else its page would send it again and again
            _LOG.exception("an action failed")
            return {"id": message["id"], "refused": self.shown.failed()}

    async def _send(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), self.shown.beat_s)
            self._wake.clear()
            message = self._news()
            await self.socket.send_text(message)
            await asyncio.sleep(self._pause_s)
            await self._until_shown()

    async def _until_shown(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(MOST_TO_SHOW_S):
                while 0 < self._shown < self._sent:
                    self._told.clear()
                    await self._told.wait()

    def _news(self) -> str:
        changed, more = self.shown.news()
        answers, self._answers = self._answers, []
        self._sent += 1
        message: dict[str, Any] = {"number": self._sent, "clock": self.shown.clock(), "answers": answers, **more}
        if changed:
            message["content"] = "".join(
                f'<hx-partial hx-target="#{name}" hx-swap="outerMorph">{html}</hx-partial>'
                for name, html in changed.items()
            )
        return json.dumps(message, ensure_ascii=False, separators=(",", ":"))


class Clients:
    """All open pages of a rehearsal, and which people have one open: by token, since people change their seats."""

    def __init__(self, came: Callable[[str], None], went: Callable[[str], None], grace_s: float = 3.0) -> None:
        self._came, self._went, self._grace_s = came, went, grace_s
        self._open: set[Client] = set()
        self._here: dict[str, int] = {}
        self._leaving: dict[str, asyncio.TimerHandle] = {}

    async def serve(self, client: Client, who: str) -> None:
        """Until its page closes. `who` is the token of the person who is here by it, "" for none."""
        self._open.add(client)
        if not who:
            try:
                await client.serve()
            finally:
                self._open.discard(client)
            return
        self._here[who] = self._here.get(who, 0) + 1
        if who in self._leaving:
            self._leaving.pop(who).cancel()
        elif self._here[who] == 1:
            self._came(who)
        try:
            await client.serve()
        finally:
            self._open.discard(client)
            self._here[who] -= 1
            if not self._here[who]:
                del self._here[who]
                # A page that is loaded anew is back at once: nobody was away
                self._leaving[who] = asyncio.get_running_loop().call_later(self._grace_s, self._gone, who)

    def _gone(self, who: str) -> None:
        self._leaving.pop(who, None)
        self._went(who)

    def wake(self, concerned: Callable[[Client], bool] = lambda client: True) -> None:
        """Something may look different to those concerned."""
        for client in self._open:
            if concerned(client):
                client.wake()

    def __len__(self) -> int:
        return len(self._open)
