"""What it takes to get a token, what a token is worth, and who is kept out: on a database, without a server."""

from __future__ import annotations

import asyncio
import contextlib
import csv
import json
import stat
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyotp
import pytest
import sqlalchemy as sa

from loadtests.backend import audit_log, storage
from loadtests.backend.identity import journal, limits, login, pins, sessions
from loadtests.backend.identity.journal import Entry
from loadtests.backend.identity.login import Identity
from loadtests.backend.identity.roles import Session
from loadtests.backend.pool import Pool, PoolBusyError
from loadtests.backend.refusals import Refusal
from loadtests.backend.storage import Database
from simulation.errors import InputError
from tests.unit.backend.running_service import CHEAP, STAFF

CHAIR = "0001"
HOME, ABROAD = "192.0.2.1", "198.51.100.{}"


# What the database itself decides is tried on PostgreSQL, too; all else here alone.
on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

REST_S = login.SUSPECTS_REST_S  # which no test waits for


class Door:
    """An identity on a database, with what it counted."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.counted: Counter[str] = Counter()
        self.reads = Pool("read", 2, 100, 5.0)
        self.identity = Identity(database, CHEAP, self.reads, lambda outcome: self.counted.update([outcome]))

    def close(self) -> None:
        self.identity.close()
        self.reads.close()

    async def try_(
        self, pin: str, user: str = CHAIR, device: str = "phone", address: str = HOME, code: str = ""
    ) -> str:
        """The code of the refusal, or the token."""
        try:
            token, _ = await self.identity.log_in(user, pin, code or None, device, address)
        except Refusal as refusal:
            return refusal.code
        return token


@pytest.fixture(autouse=True)
def _guesses_need_no_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(login, "SUSPECTS_REST_S", 0.0)


@contextmanager
def _door(database: Database) -> Iterator[Door]:
    with closing(Door(database)) as found:
        yield found


@pytest.fixture
def issued(database: Database, tmp_path: Path) -> dict[str, pins.Issued]:
    made = pins.make((site.code for site in database.sites()), STAFF, ["reviewer"])
    pins.issue(database, made, tmp_path / "pins.csv", CHEAP, lambda done, of, now: None)
    return {one.user: one for one in made}


def _in(database: Database, story: Callable[[Door], Awaitable[Any]]) -> Any:
    async def played() -> Any:
        with _door(database) as door:
            return await story(door)

    return asyncio.run(played())


def _events(database: Database, kind: str) -> list[Any]:
    with database.engine.connect() as connection:
        return list(connection.execute(sa.select(storage.events).where(storage.events.c.kind == kind)))


def test_the_right_pin_opens_and_the_token_says_who_it_is(database: Database, issued: dict[str, pins.Issued]):
    async def story(door: Door) -> tuple[str, Session]:
        token = await door.try_(issued[CHAIR].pin)
        return token, await door.identity.who(token, "phone", HOME)

    token, session = _in(database, story)
    assert len(token) == 43
    assert (session.user, session.role, session.site, session.device) == (CHAIR, "chair", CHAIR, "phone")
    with database.engine.connect() as connection:
        stored = connection.execute(sa.select(storage.sessions)).one()
    assert token not in str(stored), "only its digest is stored"
    assert len(_events(database, "logged_in")) == 1


@on_sqlite
def test_a_wrong_pin_and_an_unknown_user_get_the_same_answer(database: Database, issued: dict[str, pins.Issued]):
    async def story(door: Door) -> list[str]:
        return [await door.try_("000000"), await door.try_("000000", user="nobody"), await door.try_(issued[CHAIR].pin)]

    wrong, unknown, right = _in(database, story)
    assert wrong == unknown == "A03"
    assert len(right) == 43


@on_sqlite
def test_the_sixth_guess_on_a_device_is_refused_before_any_hash(database: Database, issued: dict[str, pins.Issued]):
    async def story(door: Door) -> list[str]:
        found = [await door.try_("000000") for _ in range(5)]
        door.identity._pins = None  # type: ignore[assignment]  # whoever hashed now would fail
        return [*found, await door.try_(issued[CHAIR].pin)]

    assert _in(database, story) == ["A03"] * 5 + ["A06"]


def test_a_restart_and_a_second_process_remember_the_lock(database: Database, issued: dict[str, pins.Issued]):
    async def guess(door: Door) -> list[str]:
        return [await door.try_("000000") for _ in range(5)]

    async def again(door: Door) -> str:
        return await door.try_(issued[CHAIR].pin)

    assert _in(database, guess) == ["A03"] * 5
    assert _in(database, again) == "A06"


@on_sqlite
@pytest.mark.usefixtures("issued")
def test_a_hundred_guesses_at_once_are_not_more_than_one_after_the_other(database: Database):
    async def story(door: Door) -> list[str]:
        guesses = [door.try_("000000", device=f"d{n % 20}", address=ABROAD.format(n % 50)) for n in range(100)]
        return await asyncio.gather(*guesses)

    outcomes = Counter(_in(database, story))
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
        matches = door.identity._pins.matches

        def slowly(pin_hash: str | None, pin: str) -> bool:
            time.sleep(0.02)
            return matches(pin_hash, pin)

        door.identity._pins.matches = slowly  # type: ignore[method-assign]
        tokens = await asyncio.gather(*(door.try_(issued[user].pin, user=user, device=user) for user in school))
        return tokens, [await door.try_("000000", user=f"9{n:03d}", device=f"x{n}") for n in range(4)]

    tokens, guesses = _in(database, story)
    assert {len(token) for token in tokens} == {43}
    assert guesses == ["A03"] * 3 + ["A06"], "those that did fail still count"


@on_sqlite
def test_who_is_refused_for_attempts_that_are_not_over_may_come_back_at_once(
    database: Database, issued: dict[str, pins.Issued]
):
    async def story(door: Door) -> list[Refusal]:
        await door.try_(issued[CHAIR].pin)  # unknown devices come one after the other
        matches = door.identity._pins.matches

        def slowly(pin_hash: str | None, pin: str) -> bool:
            time.sleep(0.1)
            return matches(pin_hash, pin)

        door.identity._pins.matches = slowly  # type: ignore[method-assign]
        tries = [door.identity.log_in(CHAIR, "000000", None, "phone", HOME) for _ in range(9)]
        return [found for found in await asyncio.gather(*tries, return_exceptions=True) if isinstance(found, Refusal)]

    refused = _in(database, story)
    assert Counter(one.code for one in refused) == {"A03": 5, "A07": 4}
    assert {one.retry_after_s for one in refused if one.code == "A07"} == {login.BUSY_RETRY_S}
    assert login.BUSY_RETRY_S <= 2


@on_sqlite
def test_strangers_who_guess_at_a_precinct_do_not_lock_its_chair_out(
    database: Database, issued: dict[str, pins.Issued]
):
    async def story(door: Door) -> tuple[str, list[str], str, str]:
        first = await door.try_(issued[CHAIR].pin)
        strangers = [await door.try_("000000", device=f"x{n}", address=ABROAD.format(n)) for n in range(25)]
        return (
            first,
            strangers,
            await door.try_(issued[CHAIR].pin, address="192.0.2.77"),  # the same phone, elsewhere
            await door.try_(issued[CHAIR].pin, device="new", address="192.0.2.78"),
        )

    first, strangers, same_phone, new_phone = _in(database, story)
    assert strangers == ["A03"] * 20 + ["A06"] * 5, "their network is out"
    assert len(first) == len(same_phone) == len(new_phone) == 43


@on_sqlite
@pytest.mark.usefixtures("issued")
def test_guessers_from_ever_new_networks_get_one_attempt_in_half_a_minute(database: Database):
    async def story(door: Door) -> list[str]:
        return [await door.try_("000000", device=f"x{n}", address=f"10.{n}.0.1") for n in range(24)]

    assert _in(database, story) == ["A03"] * 21 + ["A06"] * 3


@on_sqlite
def test_strangers_who_guess_from_one_address_do_not_lock_anybody_elsewhere(
    database: Database, issued: dict[str, pins.Issued]
):
    async def story(door: Door) -> tuple[list[str], str]:
        guesses = [await door.try_("000000", device=f"x{n}", address=ABROAD.format(1)) for n in range(10)]
        return guesses, await door.try_(issued[CHAIR].pin)

    guesses, chair = _in(database, story)
    assert guesses == ["A03"] * 5 + ["A06"] * 5
    assert len(chair) == 43


@on_sqlite
@pytest.mark.usefixtures("issued")
def test_an_address_that_tries_many_precincts_is_locked_for_all(database: Database):
    async def story(door: Door) -> list[str]:
        return [await door.try_("000000", user=f"9{n:03d}", device=f"x{n}") for n in range(35)]

    assert _in(database, story) == ["A03"] * 30 + ["A06"] * 5


@on_sqlite
def test_a_refusal_says_how_long_to_wait(database: Database, issued: dict[str, pins.Issued]):
    async def story(door: Door) -> float | None:
        for _ in range(5):
            await door.try_("000000")
        with pytest.raises(Refusal) as refused:
            await door.identity.log_in(CHAIR, issued[CHAIR].pin, None, "phone", HOME)
        return refused.value.retry_after_s

    wait_s = _in(database, story)
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

    missing, wrong_pin, right, replayed = _in(database, story)
    assert (missing, wrong_pin, replayed) == ("A03", "A03", "A03")
    assert len(right) == 43


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

    assert _in(database, story) == ["A02"] * 4


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

    assert _in(database, story) == ["A02"]


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

    _in(database, story)


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

    assert _in(database, story) == "A03"
    with database.engine.connect() as connection:
        assert connection.execute(sa.select(storage.sessions)).first() is None
    assert _events(database, "logged_in") == []


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

    assert _in(database, story) == "A02"


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

    assert len(_in(database, story)) == 43
    noted = _events(database, "login_limited")
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

    assert _in(database, story) == (True, True)


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

    token = _in(database, story)
    assert _in(database, elsewhere) == "A02"


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

    assert _in(database, story) == "A02"


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

    assert _in(database, story) == 1


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

    codes = _in(database, story)
    assert codes["A02"] <= 32
    assert codes["A02"] + codes["A06"] == 60


@on_sqlite
@pytest.mark.usefixtures("issued")
def test_a_flood_of_refusals_is_a_few_lines_of_the_audit_log(database: Database):
    async def story(door: Door) -> None:
        for number in range(1000):
            door.identity.journal.note("login_limited", f"user-{number % 400}", HOME)

    _in(database, story)
    rows = _events(database, "login_limited")
    assert len(rows) <= 2 * 101
    assert sum(int(row.content.partition('"times":')[2].rstrip("}")) for row in rows) == 1000


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

    outcomes = Counter(_in(database, story))
    assert outcomes == {"A03": login.HASHES + 3, "A07": 12 - login.HASHES - 3}


def test_as_many_suspects_wait_as_come_to_be_hashed_in_time():
    each_s = REST_S + 0.03
    assert (login.SUSPECTS + 1) * each_s < login.HASH_WAIT_S


@on_sqlite
@pytest.mark.usefixtures("issued")
def test_the_sealed_list_is_its_owners_alone_and_the_database_holds_no_pin(database: Database, tmp_path: Path):
    path = tmp_path / "pins.csv"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    rows = list(csv.DictReader(path.read_text().splitlines()))
    assert list(rows[0]) == list(pins.COLUMNS)
    assert len(rows) == 4 + sum(STAFF.values())
    assert all(len(row["pin"]) == (6 if row["role"] == "chair" else 12) for row in rows)
    assert all(bool(row["totp_secret"]) == (row["role"] == "reviewer") for row in rows)
    with database.engine.connect() as connection:
        stored = str(connection.execute(sa.select(storage.accounts.c.pin_hash, storage.accounts.c.user)).all())
        logged = str(connection.execute(sa.select(storage.events)).all())
    assert not any(row["pin"] in stored or f'"{row["pin"]}"' in logged for row in rows if row["role"] != "chair")
    with pytest.raises(InputError, match="never overwritten"):
        pins.refuse_existing(path, database)
    with pytest.raises(InputError, match="issued before"):
        pins.refuse_existing(tmp_path / "other.csv", database)


def test_a_new_pin_ends_the_old_one_and_every_session(
    database: Database, issued: dict[str, pins.Issued], tmp_path: Path
):
    async def before(door: Door) -> str:
        return await door.try_(issued[CHAIR].pin)

    async def after(door: Door) -> tuple[str, str, str]:
        with pytest.raises(Refusal) as old_token:
            await door.identity.who(token, "phone", HOME)
        return old_token.value.code, await door.try_(issued[CHAIR].pin), await door.try_(renewed.pin)

    token = _in(database, before)
    (renewed,) = pins.renew(database, [CHAIR])
    pins.issue(database, [renewed], tmp_path / "one.csv", CHEAP, lambda done, of, now: None)
    old_token, old_pin, new_pin = _in(database, after)
    assert (old_token, old_pin) == ("A02", "A03")
    assert len(new_pin) == 43
    with pytest.raises(InputError, match="no such user"):
        pins.renew(database, ["nobody"])


@on_sqlite
@pytest.mark.usefixtures("issued")
def test_a_demo_never_mixes_with_real_pins(database: Database, tmp_path: Path):
    assert pins.demo_is_there(database) is False
    with pytest.raises(InputError, match="real PINs"):
        pins.issue_demo(database, tmp_path / "demo.csv")


# Strangers: unknown devices in networks where others failed


async def _guess(door: Door, address: str) -> None:
    for n in range(login.NETWORK_FAILURES):
        assert await door.try_("000000", user=f"9{n:03d}", device=f"x{n}", address=address) == "A03"


def _held_up(door: Door, monkeypatch: pytest.MonkeyPatch) -> tuple[threading.Event, list[str]]:
    """Hashes last until the event; whoever the database is asked about is in the list."""
    go, looks = threading.Event(), list[str]()
    matches, look_up = door.identity._pins.matches, door.identity._look_up

    def slowly(pin_hash: str | None, pin: str) -> bool:
        go.wait(10)
        return matches(pin_hash, pin)

    def noted(user: str, device: str, key: str) -> Any:
        looks.append(user)
        return look_up(user, device, key)

    monkeypatch.setattr(door.identity._pins, "matches", slowly)
    monkeypatch.setattr(door.identity, "_look_up", noted)
    return go, looks


@on_sqlite
def test_a_flood_of_strangers_asks_the_database_nothing_and_learns_nothing(
    database: Database, issued: dict[str, pins.Issued], monkeypatch: pytest.MonkeyPatch
):
    async def story(door: Door) -> tuple[Counter[str], int]:
        await _guess(door, ABROAD.format(1))
        go, looks = _held_up(door, monkeypatch)
        users = [*issued, *(f"9{n:03d}" for n in range(90))]
        flood = [
            asyncio.create_task(door.try_("000000", user=user, device=f"x{n}", address=ABROAD.format(n + 2)))
            for n, user in enumerate(users)
        ]
        while sum(one.done() for one in flood) < len(flood) - login.STRANGERS:
            await asyncio.sleep(0.01)
        answers = [(await one) for one in flood if one.done()]
        go.set()
        await asyncio.gather(*flood)
        return Counter(answers), len(looks)

    answers, looks = _in(database, story)
    assert set(answers) == {"A07"}, "whether there is such a user or not"
    assert looks == login.STRANGERS


@on_sqlite
def test_suspects_who_find_no_place_in_the_line_ask_the_database_nothing(
    database: Database, issued: dict[str, pins.Issued], monkeypatch: pytest.MonkeyPatch
):
    networks = 3 * login.SUSPECTS
    user = issued[CHAIR].user

    async def story(door: Door) -> tuple[Counter[str], int]:
        for n in range(networks):
            for failure in range(limits.SUSPICIOUS):
                address = f"10.{n}.0.{failure}"
                assert await door.try_("000000", user=f"8{failure}{n:02d}", device=f"x{n}", address=address) == "A03"
        go, looks = _held_up(door, monkeypatch)
        guesses = []
        for n in range(networks):  # one after the other: each finds those before it in the line
            who = user if n % 2 else f"7{n:03d}"
            one = asyncio.create_task(door.try_("000000", user=who, device=f"y{n}", address=f"10.{n}.0.2"))
            guesses.append(one)
            while not one.done() and door.identity.hashes.waiting < min(n, login.SUSPECTS):  # the first is being hashed
                await asyncio.sleep(0.005)
            await asyncio.sleep(0.02)
        answers = Counter([await one for one in guesses if one.done()])
        go.set()
        await asyncio.gather(*guesses)
        return answers, len(looks)

    answers, looks = _in(database, story)
    assert looks == login.SUSPECTS + 1, "those that wait, and the one that is hashed"
    assert answers == {"A07": networks - looks}


@on_sqlite
def test_who_shares_a_network_with_one_who_mistyped_does_not_wait_with_the_guessers(
    database: Database, issued: dict[str, pins.Issued], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(login, "SUSPECTS", 0)  # as if others held all their places

    async def story(door: Door) -> list[str]:
        mistyped = await door.try_("000000")
        return [
            mistyped,
            await door.try_(issued["0002"].pin, user="0002", device="neighbor's", address=HOME),
            await door.try_(issued[CHAIR].pin),
            await door.try_("000000", user="0003", device="y"),
            await door.try_("000000", user="0004", device="z"),
        ]

    mistyped, neighbor, again, second, third = _in(database, story)
    assert (mistyped, len(neighbor), len(again)) == ("A03", 43, 43)
    assert (second, third) == ("A03", "A07")


@on_sqlite
@pytest.mark.usefixtures("issued")
def test_a_network_that_guesses_on_while_it_is_turned_away_is_not_forgiven(
    database: Database, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(login, "STRANGERS", 0)

    async def story(door: Door) -> tuple[set[str], str]:
        await _guess(door, ABROAD.format(1))
        door.identity._neighbors._per_s = 2.0  # an attempt in half a second, and not in a minute
        answers = set()
        for n in range(10):
            answers.add(await door.try_("000000", device=f"y{n}", address=ABROAD.format(2)))
            await asyncio.sleep(0.15)
        await asyncio.sleep(0.6)
        return answers, await door.try_("000000", device="z", address=ABROAD.format(2))

    assert _in(database, story) == ({"A07"}, "A03")


@on_sqlite
def test_a_known_device_is_no_stranger_whichever_process_let_it_in(
    database: Database, issued: dict[str, pins.Issued], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(login, "STRANGERS", 0)
    monkeypatch.setattr("loadtests.backend.identity.devices.FRESH_S", 0.0)

    async def story(here: Door) -> tuple[str, str, str, str]:
        with _door(database) as elsewhere:
            before = await elsewhere.try_(issued["0002"].pin, user="0002", device="old phone")
            await _guess(here, "192.0.2.9")
            return (
                before,
                await here.try_(issued["0002"].pin, user="0002", device="old phone"),
                await here.try_(issued["0002"].pin, user="0002", device="new phone"),
                await here.try_(issued["0002"].pin, user="0002", device="new phone", address="198.51.100.1"),
            )

    before, old, new, new_from_home = _in(database, story)
    assert len(before) == len(old) == len(new_from_home) == 43
    assert new == "A07"


@on_sqlite
def test_a_restart_remembers_devices(
    database: Database, issued: dict[str, pins.Issued], monkeypatch: pytest.MonkeyPatch
):
    async def first(door: Door) -> str:
        return await door.try_(issued[CHAIR].pin)

    async def afterwards(door: Door) -> str:
        await _guess(door, "192.0.2.9")
        return await door.try_(issued[CHAIR].pin)

    assert len(_in(database, first)) == 43
    monkeypatch.setattr(login, "STRANGERS", 0)
    assert len(_in(database, afterwards)) == 43


@on_sqlite
def test_a_network_of_which_nothing_is_known_shows_who_it_is_one_after_the_other(
    database: Database, issued: dict[str, pins.Issued], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(login, "STRANGERS", 0)

    async def story(door: Door) -> tuple[list[str], list[str]]:
        guesses = [door.try_("000000", user=f"9{n:03d}", device=f"x{n}", address=ABROAD.format(n)) for n in range(30)]
        staff = [user for user, one in issued.items() if one.totp_secret is None]
        return (
            await asyncio.gather(*guesses),
            await asyncio.gather(*(door.try_(issued[user].pin, user=user, device=user) for user in staff)),
        )

    guesses, tokens = _in(database, story)
    assert Counter(guesses) == {"A03": login.NETWORK_FAILURES, "A07": 30 - login.NETWORK_FAILURES}
    assert {len(token) for token in tokens} == {43}, "who is shown good makes room for the next"


@on_sqlite
@pytest.mark.usefixtures("issued")
def test_lines_of_networks_are_forgotten_and_devices_have_a_bound(database: Database, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("loadtests.backend.identity.devices.MOST", 10)

    async def story(door: Door) -> tuple[int, int, bool]:
        await asyncio.gather(*(door.try_("000000", device=f"x{n}", address=f"10.{n}.0.1") for n in range(20)))
        for n in range(30):
            door.identity._devices.add(CHAIR, f"phone-{n}")
        known = door.identity._devices
        return len(door.identity._lines), len(known._known), await known.knows(CHAIR, "phone-29")

    assert _in(database, story) == (0, 10, True)


@on_sqlite
@pytest.mark.usefixtures("issued")
def test_attempts_are_counted_by_address_and_device_before_they_are_read(database: Database):
    async def story(door: Door) -> tuple[int, int]:
        def let_in(times: int, device: str, address: str) -> int:
            found = 0
            for n in range(times):
                with contextlib.suppress(Refusal):
                    door.identity.refuse_flood(device.format(n), address.format(n))
                    found += 1
            return found

        return let_in(100, "x{}", HOME), let_in(100, "phone", ABROAD)

    by_address, by_device = _in(database, story)
    assert 60 <= by_address <= 63
    assert 10 <= by_device <= 11


@on_sqlite
def test_who_mistypes_a_pin_is_let_in_where_strangers_are_not(
    database: Database, issued: dict[str, pins.Issued], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(login, "STRANGERS", 0)

    async def story(door: Door) -> tuple[str, str, str]:
        await _guess(door, ABROAD.format(1))
        stranger = await door.try_(issued["0002"].pin, user="0002", device="y", address=ABROAD.format(2))
        return stranger, await door.try_("000000"), await door.try_(issued[CHAIR].pin)

    stranger, mistyped, right = _in(database, story)
    assert (stranger, mistyped, len(right)) == ("A07", "A03", 43)
