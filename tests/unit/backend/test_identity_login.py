"""What it takes to get a token, and who is kept out: on a database, without a server."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from dataclasses import replace

import pyotp
import pytest
import sqlalchemy as sa

from loadtests.backend import storage
from loadtests.backend.identity import limits, login, pins
from loadtests.backend.identity.roles import Session
from loadtests.backend.refusals import Refusal
from loadtests.backend.storage import Database
from tests.unit.backend.doors import ABROAD, CHAIR, HOME, Door, events, inside, on_sqlite

pytestmark = pytest.mark.usefixtures("guesses_need_no_rest")


def test_the_right_pin_opens_and_the_token_says_who_it_is(database: Database, issued: dict[str, pins.Issued]):
    async def story(door: Door) -> tuple[str, Session]:
        token = await door.try_(issued[CHAIR].pin)
        return token, await door.identity.who(token, "phone", HOME)

    token, session = inside(database, story)
    assert len(token) == 43
    assert (session.user, session.role, session.site, session.device) == (CHAIR, "chair", CHAIR, "phone")
    with database.engine.connect() as connection:
        stored = connection.execute(sa.select(storage.sessions)).one()
    assert token not in str(stored), "only its digest is stored"
    assert len(events(database, "logged_in")) == 1


@on_sqlite
def test_a_wrong_pin_and_an_unknown_user_get_the_same_answer(database: Database, issued: dict[str, pins.Issued]):
    async def story(door: Door) -> list[str]:
        return [await door.try_("000000"), await door.try_("000000", user="nobody"), await door.try_(issued[CHAIR].pin)]

    wrong, unknown, right = inside(database, story)
    assert wrong == unknown == "A03"
    assert len(right) == 43


@on_sqlite
def test_the_sixth_guess_on_a_device_is_refused_before_any_hash(database: Database, issued: dict[str, pins.Issued]):
    async def story(door: Door) -> list[str]:
        found = [await door.try_("000000") for _ in range(5)]
        door.identity._pins = None  # type: ignore[assignment]  # whoever hashed now would fail
        return [*found, await door.try_(issued[CHAIR].pin)]

    assert inside(database, story) == ["A03"] * 5 + ["A06"]


def test_a_restart_and_a_second_process_remember_the_lock(database: Database, issued: dict[str, pins.Issued]):
    async def guess(door: Door) -> list[str]:
        return [await door.try_("000000") for _ in range(5)]

    async def again(door: Door) -> str:
        return await door.try_(issued[CHAIR].pin)

    assert inside(database, guess) == ["A03"] * 5
    assert inside(database, again) == "A06"


@on_sqlite
@pytest.mark.usefixtures("issued")
def test_a_hundred_guesses_at_once_are_not_more_than_one_after_the_other(database: Database):
    async def story(door: Door) -> list[str]:
        guesses = [door.try_("000000", device=f"d{n % 20}", address=ABROAD.format(n % 50)) for n in range(100)]
        return await asyncio.gather(*guesses)

    outcomes = Counter(inside(database, story))
    assert outcomes["A03"] <= 20, "of one user, whatever the devices and addresses"
    assert outcomes["A03"] + outcomes["A06"] + outcomes["A07"] == 100


@on_sqlite
def test_a_school_that_logs_in_at_the_same_moment_is_not_taken_for_a_guesser(
    database: Database, issued: dict[str, pins.Issued], monkeypatch: pytest.MonkeyPatch
):
    school = [user for user, one in issued.items() if one.totp_secret is None]
    less = replace(limits.LOCKS["source"], failures=3)
    assert len(school) > 2 * less.failures
    monkeypatch.setitem(limits.LOCKS, "source", less)

    async def story(door: Door) -> tuple[list[str], list[str]]:
        door.hashes_take(0.02)
        tokens = await asyncio.gather(*(door.try_(issued[user].pin, user=user, device=user) for user in school))
        return tokens, [await door.try_("000000", user=f"9{n:03d}", device=f"x{n}") for n in range(4)]

    tokens, guesses = inside(database, story)
    assert {len(token) for token in tokens} == {43}
    assert guesses == ["A03"] * 3 + ["A06"], "those that did fail still count"


@on_sqlite
def test_who_is_refused_for_attempts_that_are_not_over_may_come_back_at_once(
    database: Database, issued: dict[str, pins.Issued]
):
    async def story(door: Door) -> list[Refusal]:
        await door.try_(issued[CHAIR].pin)  # unknown devices come one after the other
        door.hashes_take(0.1)
        tries = [door.identity.log_in(CHAIR, "000000", None, "phone", HOME) for _ in range(9)]
        return [found for found in await asyncio.gather(*tries, return_exceptions=True) if isinstance(found, Refusal)]

    refused = inside(database, story)
    assert Counter(one.code for one in refused) == {"A03": 5, "A07": 4}
    assert {one.retry_after_s for one in refused if one.code == "A07"} == {login.BUSY_RETRY_S}
    assert login.BUSY_RETRY_S <= 2


@on_sqlite
@pytest.mark.usefixtures("issued")
def test_an_address_that_tries_many_precincts_is_locked_for_all(database: Database):
    async def story(door: Door) -> list[str]:
        return [await door.try_("000000", user=f"9{n:03d}", device=f"x{n}") for n in range(35)]

    assert inside(database, story) == ["A03"] * 30 + ["A06"] * 5


@on_sqlite
def test_a_refusal_says_how_long_to_wait(database: Database, issued: dict[str, pins.Issued]):
    async def story(door: Door) -> float | None:
        for _ in range(5):
            await door.try_("000000")
        with pytest.raises(Refusal) as refused:
            await door.identity.log_in(CHAIR, issued[CHAIR].pin, None, "phone", HOME)
        return refused.value.retry_after_s

    wait_s = inside(database, story)
    assert wait_s is not None
    assert 14 * 60 < wait_s <= 15 * 60


def test_a_second_factor_is_asked_for_and_no_code_works_twice(database: Database, issued: dict[str, pins.Issued]):
    reviewer = issued["reviewer-01"]
    assert reviewer.totp_secret is not None
    code = pyotp.TOTP(reviewer.totp_secret).now()

    async def story(door: Door) -> list[str]:
        return [
            await door.try_(reviewer.pin, user="reviewer-01", device="a"),
            await door.try_("wrong-pin-wrong", user="reviewer-01", device="b", code=code),
            await door.try_(reviewer.pin, user="reviewer-01", device="c", code=code),
            await door.try_(reviewer.pin, user="reviewer-01", device="c", code=code),
        ]

    missing, wrong_pin, right, replayed = inside(database, story)
    assert (missing, wrong_pin, replayed) == ("A03", "A03", "A03")
    assert len(right) == 43


@on_sqlite
@pytest.mark.usefixtures("issued")
def test_hashes_are_few_at_once_and_who_cannot_wait_is_told(database: Database, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(login, "HASHES_WAITING", 3)

    async def story(door: Door) -> list[str]:
        begun, go = threading.Semaphore(0), threading.Event()

        def slow(*_: object) -> bool:
            begun.release()
            go.wait(10)
            return False

        def tried(n: int) -> asyncio.Task[str]:
            return asyncio.create_task(door.try_("000000", user=f"u{n}", device=f"d{n}", address=f"10.{n}.0.1"))

        monkeypatch.setattr(door.identity._pins, "matches", slow)  # as an overloaded core would be
        first = [tried(n) for n in range(login.HASHES)]
        for _ in first:
            await asyncio.to_thread(begun.acquire, timeout=5)
        more = [tried(n) for n in range(login.HASHES, 12)]
        while sum(one.done() for one in more) < len(more) - 3:
            await asyncio.sleep(0.01)
        go.set()
        return await asyncio.gather(*first, *more)

    outcomes = Counter(inside(database, story))
    assert outcomes == {"A03": login.HASHES + 3, "A07": 12 - login.HASHES - 3}
