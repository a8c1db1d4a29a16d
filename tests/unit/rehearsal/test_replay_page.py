"""The evening once more, on a page: nobody else waits while it is made ready."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from simulation.rehearsal.event import ROOM
from simulation.rehearsal.room import Room
from simulation.web.debrief import ReplayShown
from simulation.web.server import Served
from tests.unit.rehearsal.rooms import HOUR, MINUTE, Wall, begun, joined, run


async def until(shown: ReplayShown, at_ms: int) -> None:
    """Look at a page until it shows a moment of the night."""
    async with asyncio.timeout(60):
        while shown.values()["at_ms"] != at_ms:
            shown.news()
            await asyncio.sleep(0.01)


def press(shown: ReplayShown, what: str) -> None:
    shown.happened({"kind": "replay", "fields": {"do": what}})


def test_a_replay_goes_back_while_everybody_elses_pages_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wall = Wall()
    rehearsal = begun(tmp_path, wall, bots=3)
    joined(rehearsal)
    run(rehearsal, wall, 19 * HOUR + 5 * MINUTE)
    assert rehearsal.do("ended", ROOM, {}) is None
    shown = ReplayShown(Served(rehearsal), "en")
    may_be_made, made_in = threading.Event(), list[threading.Thread]()
    replay = rehearsal.replay

    def made() -> Room:
        made_in.append(threading.current_thread())
        assert may_be_made.wait(10)
        return replay()

    monkeypatch.setattr(rehearsal, "replay", made)

    async def story() -> None:
        shown.start_at(shown.ends_ms)
        await until(shown, shown.ends_ms)
        press(shown, "back")
        for _ in range(3):
            shown.news()
        assert shown.values()["at_ms"] == shown.ends_ms, "it shows what it has until there is another room"
        press(shown, "stop")
        may_be_made.set()
        await until(shown, shown.begins_ms)
        press(shown, "play")
        shown.news()
        assert shown.clock()["running"]

    asyncio.run(story())
    assert len(made_in) == 1
    assert made_in[0] is not threading.main_thread()
    rehearsal.close()
