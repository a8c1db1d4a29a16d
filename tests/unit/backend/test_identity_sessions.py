"""What a token is worth, where, and how long."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from loadtests.backend import storage
from loadtests.backend.identity import login, pins, sessions
from loadtests.backend.identity.journal import Entry
from loadtests.backend.pool import PoolBusyError
from loadtests.backend.refusals import Refusal
from loadtests.backend.storage import Database
from tests.unit.backend.doors import CHAIR, HOME, Door, events, inside, on_sqlite
from tests.unit.backend.running_service import CHEAP


@on_sqlite
def test_a_token_is_worth_nothing_on_another_device_after_its_time_or_after_log_out(
    database: Database, issued: dict[str, pins.Issued], monkeypatch: pytest.MonkeyPatch
):
    async def refused(door: Door, token: str, device: str = "phone") -> str:
        with pytest.raises(Refusal) as found:
            await door.identity.who(token, device, HOME)
        return found.value.code

    async def story(door: Door) -> list[str]:
        one, two = await door.try_(issued[CHAIR].pin), await door.try_(issued[CHAIR].pin)
        found = [await refused(door, one, "stolen"), await refused(door, "x" * 43)]
        session = await door.identity.who(one, "phone", HOME)
        await door.identity.log_out(session)
        found.append(await refused(door, one))
        await door.identity.who(two, "phone", HOME)
        monkeypatch.setattr(login, "now_ms", lambda: session.expires_at_ms + 60_000)
        return [*found, await refused(door, two)]

    assert inside(database, story) == ["A02"] * 4


@on_sqlite
def test_a_log_out_holds_although_requests_come_with_it(database: Database, issued: dict[str, pins.Issued]):
    async def story(door: Door) -> list[str]:
        token = await door.try_(issued[CHAIR].pin)
        session = await door.identity.who(token, "phone", HOME)
        write = door.identity.journal.write

        async def late(entry: Entry) -> bool:
            with pytest.raises(Refusal):
                await door.identity.who(token, "phone", HOME)  # the database still says that it is good
            door.identity._sessions.add(session)  # as a request would, that asked the database just before
            return await write(entry)

        door.identity.journal.write = late  # type: ignore[method-assign]
        await door.identity.log_out(session)
        with pytest.raises(Refusal) as after:
            await door.identity.who(token, "phone", HOME)
        return [after.value.code]

    assert inside(database, story) == ["A02"]


@on_sqlite
def test_a_log_out_that_could_not_be_written_may_be_tried_again(database: Database, issued: dict[str, pins.Issued]):
    async def story(door: Door) -> None:
        token = await door.try_(issued[CHAIR].pin)
        session = await door.identity.who(token, "phone", HOME)
        write = door.identity.journal.write

        async def busy(entry: Entry) -> bool:  # noqa: ARG001  # as the one that it stands for
            raise PoolBusyError

        door.identity.journal.write = busy  # type: ignore[method-assign]
        with pytest.raises(PoolBusyError):
            await door.identity.log_out(session)
        door.identity.journal.write = write  # type: ignore[method-assign]
        await door.identity.log_out(await door.identity.who(token, "phone", HOME))

    inside(database, story)


def test_a_log_in_with_a_pin_that_is_replaced_meanwhile_gets_no_session(
    database: Database, issued: dict[str, pins.Issued], tmp_path: Path
):
    async def story(door: Door) -> str:
        matches = door.identity._pins.matches

        def slowly(pin_hash: str | None, pin: str) -> bool:
            right = matches(pin_hash, pin)
            renewed = pins.renew(database, [CHAIR])
            pins.issue(database, renewed, tmp_path / "new.csv", CHEAP, lambda done, of, now: None)
            return right

        door.identity._pins.matches = slowly  # type: ignore[method-assign]
        return await door.try_(issued[CHAIR].pin)

    assert inside(database, story) == "A03"
    with database.engine.connect() as connection:
        assert connection.execute(sa.select(storage.sessions)).first() is None
    assert events(database, "logged_in") == []


@on_sqlite
def test_a_new_pin_ends_the_old_ones_sessions_within_two_seconds(
    database: Database, issued: dict[str, pins.Issued], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    clock = time.monotonic

    async def story(door: Door) -> str:
        token = await door.try_(issued[CHAIR].pin)
        renewed = pins.renew(database, [CHAIR])
        pins.issue(database, renewed, tmp_path / "new.csv", CHEAP, lambda done, of, now: None)
        monkeypatch.setattr(time, "monotonic", lambda: clock() + 2)
        with pytest.raises(Refusal) as refused:
            await door.identity.who(token, "phone", HOME)
        return refused.value.code

    assert inside(database, story) == "A02"


@on_sqlite
def test_a_log_out_holds_in_every_process(database: Database, issued: dict[str, pins.Issued]):
    async def story(door: Door) -> str:
        token = await door.try_(issued[CHAIR].pin)
        await door.identity.log_out(await door.identity.who(token, "phone", HOME))
        return token

    async def elsewhere(door: Door) -> str:
        with pytest.raises(Refusal) as found:
            await door.identity.who(token, "phone", HOME)
        return found.value.code

    token = inside(database, story)
    assert inside(database, elsewhere) == "A02"


def test_a_process_hears_within_two_seconds_of_a_log_out_in_another_one(
    database: Database, issued: dict[str, pins.Issued], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sessions, "CHECKED_S", 0.1)

    async def story(door: Door) -> str:
        token, kept = await door.try_(issued[CHAIR].pin), await door.try_(issued[CHAIR].pin)
        other = Door(database)
        try:
            await other.identity.log_out(await other.identity.who(token, "phone", HOME))
        finally:
            await asyncio.to_thread(other.close)
        await asyncio.sleep(0.2)
        await door.identity.who(kept, "phone", HOME)
        with pytest.raises(Refusal) as found:
            await door.identity.who(token, "phone", HOME)
        return found.value.code

    assert inside(database, story) == "A02"


@on_sqlite
def test_a_hundred_chairs_who_come_after_a_pause_cost_one_question(
    database: Database, issued: dict[str, pins.Issued], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sessions, "CHECKED_S", 0.1)

    async def story(door: Door) -> int:
        tokens = [await door.try_(issued[CHAIR].pin) for _ in range(3)]
        await asyncio.sleep(0.2)
        asked = 0
        run = door.identity._sessions._reads.run

        async def counted(*what: Any) -> Any:
            nonlocal asked
            asked += 1
            return await run(*what)

        monkeypatch.setattr(door.identity._sessions._reads, "run", counted)
        await asyncio.gather(*(door.identity.who(tokens[n % 3], "phone", HOME) for n in range(100)))
        return asked

    assert inside(database, story) == 1


@on_sqlite
def test_guessing_tokens_is_slowed_down_and_real_ones_are_not(database: Database, issued: dict[str, pins.Issued]):
    async def story(door: Door) -> Counter[str]:
        token = await door.try_(issued[CHAIR].pin)
        codes: Counter[str] = Counter()
        for number in range(60):
            try:
                await door.identity.who(f"{number:043d}", "phone", HOME)
            except Refusal as refusal:
                codes[refusal.code] += 1
            await door.identity.who(token, "phone", HOME)
        return codes

    codes = inside(database, story)
    assert codes["A02"] <= 32
    assert codes["A02"] + codes["A06"] == 60
