"""What log-ins write down outlasts a database that is away, and a flood is a few lines."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from loadtests.backend import audit_log
from loadtests.backend.identity import journal, pins
from loadtests.backend.storage import Database
from tests.unit.backend.doors import CHAIR, HOME, Door, events, inside, on_sqlite


@on_sqlite
def test_a_database_that_takes_nothing_for_a_while_does_not_end_log_ins(
    database: Database, issued: dict[str, pins.Issued], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(journal, "NOTE_S", 0.02)
    append, standby = audit_log.append, threading.Event()

    def refused(connection: sa.Connection, kind: str, *more: Any) -> None:
        if standby.is_set():
            raise sa.exc.InternalError("INSERT", {"pin": "of somebody"}, Exception("read-only"))
        append(connection, kind, *more)

    monkeypatch.setattr(audit_log, "append", refused)

    async def until(is_so: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while not is_so():
                await asyncio.sleep(0.01)

    async def story(door: Door) -> str:
        kept = door.identity.journal
        standby.set()
        for number in range(3 * journal.MOST_NOTES):
            kept.note("login_limited", f"user-{number}", HOME)
        await until(lambda: not kept.healthy)
        for number in range(3 * journal.MOST_NOTES):
            kept.note("login_limited", f"other-{number}", HOME)
        with pytest.raises(sa.exc.InternalError):
            await door.try_(issued[CHAIR].pin)
        assert len(kept._notes) <= journal.MOST_NOTES + 1, "what waits has a bound"
        standby.clear()
        await until(lambda: kept.healthy)
        return await door.try_(issued[CHAIR].pin)

    assert len(inside(database, story)) == 43
    noted = events(database, "login_limited")
    assert sum(json.loads(row.content)["times"] for row in noted) == 6 * journal.MOST_NOTES


@on_sqlite
@pytest.mark.usefixtures("issued")
def test_a_journal_that_hangs_says_so(database: Database, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(journal, "HANGS_S", 0.05)

    async def story(door: Door) -> tuple[bool, bool]:
        with database.writing():
            waiting = asyncio.create_task(door.try_("000000"))
            await asyncio.sleep(0.2)
            hangs = not door.identity.journal.healthy
        await waiting
        await asyncio.sleep(0.05)
        return hangs, door.identity.journal.healthy

    assert inside(database, story) == (True, True)


@on_sqlite
@pytest.mark.usefixtures("issued")
def test_a_flood_of_refusals_is_a_few_lines_of_the_audit_log(database: Database):
    async def story(door: Door) -> None:
        for number in range(1000):
            door.identity.journal.note("login_limited", f"user-{number % 400}", HOME)

    inside(database, story)
    rows = events(database, "login_limited")
    assert len(rows) <= 2 * 101
    assert sum(int(row.content.partition('"times":')[2].rstrip("}")) for row in rows) == 1000
