"""How often an open page is told: as often as it can show; whoever says nothing of that, as often as there is news."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from starlette.websockets import WebSocket

from simulation.web.live import Client


class Board:
    """A page on which something is new each time it is asked."""

    beat_s = 0.01

    def __init__(self) -> None:
        self.asked = 0

    def news(self) -> tuple[Mapping[str, str], Mapping[str, Any]]:
        self.asked += 1
        return {"board": f"<p id=board>{self.asked}</p>"}, {}

    def clock(self) -> Mapping[str, Any]:
        return {}

    def failed(self) -> str:
        return ""

    def happened(self, message: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"did": message["kind"]}


class Browser(WebSocket):
    """The other end: what it was sent, and what it says."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.says: asyncio.Queue[str] = asyncio.Queue()

    async def send_text(self, data: str) -> None:
        self.sent.append(json.loads(data))

    async def receive_text(self) -> str:
        return await self.says.get()


def _told(shows: int, seconds: float = 0.3) -> list[dict[str, Any]]:
    """What a page is sent that shows so many messages, and then is busy."""

    async def story() -> list[dict[str, Any]]:
        browser = Browser()
        serving = asyncio.create_task(Client(browser, Board(), "trainer", "t", 0.001).serve())
        for number in range(1, shows + 1):
            while len(browser.sent) < number:
                await asyncio.sleep(0.001)
            browser.says.put_nowait(json.dumps({"shown": browser.sent[-1]["number"]}))
            await asyncio.sleep(0.05)
        before = len(browser.sent)
        await asyncio.sleep(seconds)
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        return browser.sent[before:]

    return asyncio.run(story())


def test_a_page_that_is_busy_is_not_sent_more_than_it_can_show() -> None:
    assert len(_told(shows=3)) <= 1


def test_whoever_says_nothing_of_it_is_sent_all_news() -> None:
    assert len(_told(shows=0)) >= 5


def test_a_page_that_shows_again_gets_what_is_true_then() -> None:
    async def story() -> tuple[int, list[dict[str, Any]]]:
        browser, board = Browser(), Board()
        serving = asyncio.create_task(Client(browser, board, "trainer", "t", 0.001).serve())
        browser.says.put_nowait(json.dumps({"shown": 1}))
        await asyncio.sleep(0.2)
        before = len(browser.sent)
        board.asked = 100  # much happens meanwhile
        browser.says.put_nowait(json.dumps({"shown": browser.sent[-1]["number"]}))
        await asyncio.sleep(0.1)
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        return before, browser.sent

    before, sent = asyncio.run(story())
    assert before <= 3
    assert len(sent) == before + 1
    assert "<p id=board>101</p>" in sent[-1]["content"]
