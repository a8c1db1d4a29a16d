"""Common luck: a change touches what it changes and nothing else; the same night is the same, wherever it is played.

Every random number has an address (seed, night, place, person or call, stream, ordinal): these tests hold it to that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

from simulation.night import Luck, Night, play_night
from simulation.night.model.clock import Clock
from simulation.night.setting import Setting
from simulation.roster import synthesize
from simulation.scenario import Scenario, load
from simulation.scenario.values import HOUR, MINUTE, SECOND

SEED = 3
AS_LISTED = {"turnout.people": "none"}  # a total to rescale to would spread one more voter over the state
COLUMNS = ("arrives", "needs", "service", "first_service", "wrong_line")


@pytest.fixture(scope="module")
def rows() -> list[str]:
    """Thirty sites of a synthesized state as CSV rows, the header first: shared buildings and satellites among them."""
    header, *every = synthesize("iowa-2020").csv().splitlines(keepends=True)
    dallas = [row for row in every if row.startswith("Dallas/")][:26]
    satellites = [row for row in every if ",satellite," in row][:4]
    return [header, *dallas, *satellites]


@pytest.fixture
def state(tmp_path: Path, rows: list[str]) -> Callable[..., Scenario]:
    """`state(overrides, rows)`: iowa-2020 on those rows."""
    numbers = iter(range(100))

    def make(overrides: Mapping[str, object] | None = None, of: list[str] = rows) -> Scenario:
        path = tmp_path / f"{next(numbers)}.csv"
        path.write_text("".join(of))
        return load("iowa-2020", AS_LISTED | dict(overrides or {}), path)

    return make


State = Callable[..., Scenario]


def before_the_phone(night: Night) -> dict[str, dict[str, Any]]:
    """What luck gave each site before anybody dials, by site id: people, doors, rooms, records, when it was ready."""
    setting = night.setting
    return {
        name: {
            "people": int(setting.people[site]),
            "rooms": setting.rooms[site],
            "true": setting.true_records[site].tolist(),
            "worksheet": setting.worksheets[0][site].tolist(),
            "in_at": night.played.in_at[site].tolist(),
            "started_at": int(night.played.started_at[site]),
            "ready_at": int(night.played.ready_at[site]),
            **{column: getattr(door, column).tolist() for column in COLUMNS},
        }
        for site, (name, door) in enumerate(zip(setting.roster.ids, setting.doors(), strict=True))
    }


def events(night: Night) -> list[tuple[object, ...]]:
    return night.events.rows()


# One more voter, one precinct less, rows in another order


def attendance(row: str, change: int) -> str:
    cells = row.split(",")
    cells[5] = str(int(cells[5]) + change)
    return ",".join(cells)


def alone(scenario: Scenario) -> list[int]:
    """Sites that share a building with nobody."""
    building = scenario.roster.building
    return np.flatnonzero((np.bincount(building)[building] == 1) & (scenario.roster.satellite == 0)).tolist()


def test_one_more_voter_changes_nothing_in_another_precinct(rows: list[str], state: State) -> None:
    scenario = state()
    name = scenario.roster.ids[alone(scenario)[3]]
    more = [attendance(row, 1) if row.startswith(f"{name},") else row for row in rows]
    assert rows != more
    one, other = before_the_phone(play_night(scenario, SEED, 0)), before_the_phone(play_night(state(of=more), SEED, 0))
    assert other[name]["people"] == one[name]["people"] + 1
    assert {site for site in one if one[site] != other[site]} == {name}


def test_one_more_voter_changes_nobody_else_at_the_door_of_his_own_precinct(rows: list[str], state: State) -> None:
    scenario = state()
    name = scenario.roster.ids[alone(scenario)[3]]
    more = [attendance(row, 1) if row.startswith(f"{name},") else row for row in rows]
    one, other = before_the_phone(play_night(scenario, SEED, 0)), before_the_phone(play_night(state(of=more), SEED, 0))
    for column in COLUMNS:
        assert other[name][column][:-1] == one[name][column]
    first = np.array([other[name]["true"][0], one[name]["true"][0]])
    assert np.abs(np.diff(first, axis=0)).sum() == 1  # he stands for a group; nobody else changed his mind


def test_a_precinct_less_changes_nothing_in_the_others(rows: list[str], state: State) -> None:
    """Places are ids, not positions on the roster."""
    scenario = state()
    gone = scenario.roster.ids[alone(scenario)[0]]
    fewer = [row for row in rows if not row.startswith(f"{gone},")]
    one, other = before_the_phone(play_night(scenario, SEED, 0)), before_the_phone(play_night(state(of=fewer), SEED, 0))
    assert one.keys() - other.keys() == {gone}
    assert {site for site in other if one[site] != other[site]} == set()


def test_the_order_of_the_rows_of_a_roster_is_of_no_account(rows: list[str], state: State) -> None:
    header, *sites = rows
    Random(1).shuffle(sites)
    one = play_night(state(), SEED, 0, log=True)
    other = play_night(state(of=[header, *sites]), SEED, 0, log=True)
    assert one.row == other.row
    assert events(one) == events(other)


# One lever


def test_forms_that_never_run_out_change_nothing_but_waits(state: State) -> None:
    short = {"forms.short": 1, "forms.above_people": 0, "forms.printed": 0.2}
    one, other = (play_night(state(lever), SEED, 0) for lever in (short, short | {"forms.short": 0}))
    ours, theirs = before_the_phone(one), before_the_phone(other)
    assert any(ours[site]["in_at"] != theirs[site]["in_at"] for site in ours)
    for site in ours:
        for what in ("people", "rooms", "true", "worksheet", *COLUMNS):
            assert ours[site][what] == theirs[site][what]
        assert len(ours[site]["in_at"]) == len(theirs[site]["in_at"]) == ours[site]["people"]


@pytest.mark.parametrize(
    "lever",
    [
        {"hotline.operators": 80},
        {"hotline.nuisance": 0},
        {"hotline.lines": 20},
        {"hotline.handling.report": "5 min"},
        {"app.tries": 0},
        {"app.installed": 1},
        {"app.outages": [{"from": "19:00", "to": "23:00"}]},
        {"chairs.silent": 0},
        {"inbox.chairs": 1},
        {"headquarters.checks": False},
        {"headquarters.keying.phone": 0},
        {"headquarters.release.hold_from": "none", "headquarters.release.until": "none"},
        {"clock.until": "+1d 02:00"},
    ],
    ids=lambda lever: next(iter(lever)),
)
def test_what_happens_at_the_phone_changes_nothing_before_it(state: State, lever: dict[str, object]) -> None:
    assert before_the_phone(play_night(state(lever), SEED, 0)) == before_the_phone(play_night(state(), SEED, 0))


def test_the_chairs_lever_moves_only_rooms_without_a_chair(state: State) -> None:
    many, none = (play_night(state({"chairs.missing": share}), SEED, 0) for share in (0.3, 0))
    ours, theirs = before_the_phone(many), before_the_phone(none)
    without = {site for site in ours if ours[site]["rooms"].chair_missing}
    assert without
    changed = {site for site in ours if ours[site]["rooms"] != theirs[site]["rooms"]}
    assert changed <= without
    assert all(ours[site][column] == theirs[site][column] for site in ours for column in (*COLUMNS, "true"))


def test_a_call_keeps_its_luck_whoever_answers_it(state: State) -> None:
    """Length, patience and silence of the same call, on a hotline with three times the operators."""
    crowded, staffed = (play_night(state({"hotline.operators": count}), SEED, 0) for count in (3, 80))
    ours, theirs = (
        {(call.entity, call.about, call.attempt): call for call in night.played.each_call()}
        for night in (crowded, staffed)
    )
    common = ours.keys() & theirs.keys()
    assert len(common) > 40
    for key in common:
        one, other = ours[key], theirs[key]
        assert (one.handling, one.patience, one.silent) == (other.handling, other.patience, other.silent)
    assert any(ours[key].answered != theirs[key].answered for key in common)


def test_an_assumption_is_the_same_in_every_scenario_that_has_it(state: State) -> None:
    one = Setting(state(), Luck(SEED, 7))
    other = Setting(state({"app.tries": 0.5, "room.opening": "5 min"}), Luck(SEED, 7))
    assert one.doors_open == other.doors_open
    drawn = [s.luck.value(s.spec.hotline.operators[0].count) for s in (one, other)]
    assert drawn[0] == drawn[1]


# The same night


def test_the_same_night_twice_is_the_same_in_every_integer_and_every_event(state: State) -> None:
    one, other = play_night(state(), SEED, 5, log=True), play_night(state(), SEED, 5, log=True)
    assert one.row == other.row
    assert events(one) == events(other)
    assert one.precincts.equals(other.precincts)
    assert one.calls.equals(other.calls)


def test_a_night_is_the_same_alone_and_after_others(state: State) -> None:
    scenario = state()
    in_turn = [play_night(scenario, SEED, night).row for night in range(4)]
    assert play_night(state(), SEED, 3).row == in_turn[3]
    assert len({str(row) for row in in_turn}) == 4


def test_keeping_the_log_changes_nothing(state: State) -> None:
    assert play_night(state(), SEED, 0, log=True).row == play_night(state(), SEED, 0).row


def test_another_seed_is_another_night(state: State) -> None:
    one, other = (before_the_phone(play_night(state(), seed, 0)) for seed in (3, 4))
    assert all(one[site]["arrives"] != other[site]["arrives"] for site in one)


def test_fixed_assumptions_are_in_the_middle_and_people_still_have_their_luck(state: State) -> None:
    scenario = state()
    nights = [play_night(scenario, SEED, night, fixed=True) for night in range(2)]
    assert [night.setting.doors_open for night in nights] == [18 * HOUR + 15 * MINUTE] * 2
    assert {night.setting.luck.value(scenario.spec.hotline.operators[0].count) for night in nights} == {25}
    assert before_the_phone(nights[0]) != before_the_phone(nights[1])


# Coarse clocks: most things happen at once, and happen in one order only

TICKS = pytest.mark.parametrize(("resolution", "tick"), [("1 s", SECOND), ("1 min", MINUTE)])


class Shuffled(Clock):
    """A clock whose first processes start in a random order: what SimPy breaks ties by must not matter."""

    random = Random(1)

    def __init__(self) -> None:
        super().__init__()
        self._first: list[Any] = []
        self._runs = False

    def process(self, generator: Any) -> Any:
        if self._runs:
            return super().process(generator)
        return self._first.append(generator)

    def run(self, until: Any = None) -> Any:
        self._runs = True
        self.random.shuffle(self._first)
        for generator in self._first:
            super().process(generator)
        return super().run(until)


@TICKS
def test_the_order_in_which_processes_are_made_does_not_matter(
    state: State, monkeypatch: pytest.MonkeyPatch, resolution: str, tick: int
) -> None:
    scenario = state({"clock.resolution": resolution, "hotline.lines": 12, "inbox.chairs": 0.3})
    in_order = play_night(scenario, SEED, 0, engine="simpy", log=True)
    assert in_order.played.log is not None
    assert (in_order.played.log[:, 0] % tick == 0).all()
    monkeypatch.setattr("simulation.night.model.Clock", Shuffled)
    for _ in range(2):
        shuffled = play_night(scenario, SEED, 0, engine="simpy", log=True)
        assert shuffled.row == in_order.row
        assert events(shuffled) == events(in_order)


@TICKS
def test_no_two_events_of_a_night_have_the_same_key(state: State, resolution: str, tick: int) -> None:
    """(at, rank, place, entity, attempt, kind): the log has one order."""
    night = play_night(state({"clock.resolution": resolution, "hotline.lines": 12}), SEED, 0, log=True)
    keys = night.events.select("at_ms", "rank", "place", "entity", "attempt", "kind")
    assert keys.is_duplicated().sum() == 0
    assert (night.events["at_ms"] % tick == 0).all()
    ties = night.events.select("at_ms").is_duplicated().sum()
    assert ties > len(night.events) / 2


def test_a_coarse_clock_plays_nearly_the_same_night(state: State) -> None:
    """Rounding moves things by a tick, and the night by little."""
    fine, coarse = (play_night(state({"clock.resolution": tick}), SEED, 0) for tick in ("1 ms", "1 s"))
    assert abs(fine.row["held_p50_at_ms"] - coarse.row["held_p50_at_ms"]) < 5 * MINUTE
    assert fine.row["people"] == coarse.row["people"]
    ours, theirs = before_the_phone(fine), before_the_phone(coarse)
    for site in ours:  # who stands for whom is not a matter of time, when he comes is: to the tick
        assert ours[site]["true"] == theirs[site]["true"]
        assert np.abs(np.subtract(ours[site]["arrives"], theirs[site]["arrives"])).max() <= SECOND
