"""Unknown devices in networks where others failed: guessers are slowed down, and chairs are not locked out by them."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import Counter
from typing import Any

import pytest

from loadtests.backend.identity import limits, login, pins
from loadtests.backend.refusals import Refusal
from loadtests.backend.storage import Database
from tests.unit.backend.doors import ABROAD, CHAIR, HOME, Door, door_of, inside, on_sqlite

REST_S = login.SUSPECTS_REST_S  # which no test waits for

pytestmark = pytest.mark.usefixtures("guesses_need_no_rest")


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

    first, strangers, same_phone, new_phone = inside(database, story)
    assert strangers == ["A03"] * 20 + ["A06"] * 5, "their network is out"
    assert len(first) == len(same_phone) == len(new_phone) == 43


@on_sqlite
@pytest.mark.usefixtures("issued")
def test_guessers_from_ever_new_networks_get_one_attempt_in_half_a_minute(database: Database):
    async def story(door: Door) -> list[str]:
        return [await door.try_("000000", device=f"x{n}", address=f"10.{n}.0.1") for n in range(24)]

    assert inside(database, story) == ["A03"] * 21 + ["A06"] * 3


@on_sqlite
def test_strangers_who_guess_from_one_address_do_not_lock_anybody_elsewhere(
    database: Database, issued: dict[str, pins.Issued]
):
    async def story(door: Door) -> tuple[list[str], str]:
        guesses = [await door.try_("000000", device=f"x{n}", address=ABROAD.format(1)) for n in range(10)]
        return guesses, await door.try_(issued[CHAIR].pin)

    guesses, chair = inside(database, story)
    assert guesses == ["A03"] * 5 + ["A06"] * 5
    assert len(chair) == 43


def test_as_many_suspects_wait_as_come_to_be_hashed_in_time():
    each_s = REST_S + 0.03
    assert (login.SUSPECTS + 1) * each_s < login.HASH_WAIT_S


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

    answers, looks = inside(database, story)
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

    answers, looks = inside(database, story)
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

    mistyped, neighbor, again, second, third = inside(database, story)
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

    assert inside(database, story) == ({"A07"}, "A03")


@on_sqlite
def test_a_known_device_is_no_stranger_whichever_process_let_it_in(
    database: Database, issued: dict[str, pins.Issued], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(login, "STRANGERS", 0)
    monkeypatch.setattr("loadtests.backend.identity.devices.FRESH_S", 0.0)

    async def story(here: Door) -> tuple[str, str, str, str]:
        with door_of(database) as elsewhere:
            before = await elsewhere.try_(issued["0002"].pin, user="0002", device="old phone")
            await _guess(here, "192.0.2.9")
            return (
                before,
                await here.try_(issued["0002"].pin, user="0002", device="old phone"),
                await here.try_(issued["0002"].pin, user="0002", device="new phone"),
                await here.try_(issued["0002"].pin, user="0002", device="new phone", address="198.51.100.1"),
            )

    before, old, new, new_from_home = inside(database, story)
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

    assert len(inside(database, first)) == 43
    monkeypatch.setattr(login, "STRANGERS", 0)
    assert len(inside(database, afterwards)) == 43


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

    guesses, tokens = inside(database, story)
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

    assert inside(database, story) == (0, 10, True)


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

    by_address, by_device = inside(database, story)
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

    stranger, mistyped, right = inside(database, story)
    assert (stranger, mistyped, len(right)) == ("A07", "A03", 43)
