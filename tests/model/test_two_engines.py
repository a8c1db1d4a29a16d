"""Two engines, one night: SimPy, the model of record, and its compiled twin agree in every integer and every event."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings

from simulation.night import Night, play_night, twin
from simulation.night.divergence import first_difference
from simulation.night.order import MOST_ATTEMPTS, Kind
from simulation.night.outcome import PerPerson, Played
from simulation.night.setting import Setting
from simulation.scenario import load
from simulation.scenario.values import FULL_SHARE, HOUR, MINUTE, format_clock
from tests.model.small_states import SmallState, small_states

ENGINES = ("simpy", "compiled")
EXAMPLES = 60  # benchmarks/two_engines.py plays thousands

HEADER = "county,precinct,delegates,attendance,building,capacity,stations,district\n"
TWO = HEADER + "Story,Ames 1,5,30,School,,1,4\nStory,Ames 2,4,20,School,,1,4\n"
CALM = {"turnout.people": "none", "turnout.spread": 1, "turnout.local_spread": 1}
JAMMED = CALM | {
    "app.tries": 0,
    "chairs.silent": 0,
    "hotline.lines": 3,
    "hotline.operators": [{"from": "18:00", "to": "+1d 02:00", "count": 2}],
    "hotline.patience.chairs": "4 min",
    "hotline.patience.others": "4 min",
    "inbox.chairs": 0,
}


def both(state: SmallState, folder: Path) -> tuple[Night, Night]:
    one, other = (state.play(folder, engine) for engine in ENGINES)
    return one, other


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("small")


# The same


@settings(max_examples=EXAMPLES, derandomize=True, suppress_health_check=[HealthCheck.too_slow], database=None)
@given(state=small_states())
def test_the_night_of_any_small_state_is_the_same_in_every_integer_and_every_event(
    state: SmallState, folder: Path
) -> None:
    simpy, compiled = both(state, folder)
    assert first_difference(simpy, compiled, ENGINES) is None
    assert simpy.events.equals(compiled.events)
    assert simpy.calls.equals(compiled.calls)


# Callers who hold for hours; too few lines; the rules of 2016 and an app that works
@pytest.mark.parametrize("name", ["iowa-2020", "hotline-flood", "iowa-2016"])
def test_a_night_of_the_library_is_the_same_at_full_size(name: str) -> None:
    scenario = load(name)
    simpy, compiled = (play_night(scenario, 20, 4, engine=engine, log=True) for engine in ENGINES)
    assert simpy.setting.sites > 1600
    assert first_difference(simpy, compiled, ENGINES) is None


def test_a_night_without_its_log_is_the_same_night(folder: Path) -> None:
    state = SmallState(TWO, JAMMED)
    simpy, compiled = (state.play(folder, engine, log=log) for engine, log in (("simpy", True), ("compiled", False)))
    assert compiled.played.log is None
    assert first_difference(simpy, compiled, ENGINES) is None


def test_more_calls_than_the_twin_first_has_room_for_are_the_same_calls(folder: Path) -> None:
    """Strangers by the thousand, who call again and again, jam the hotline of two precincts."""
    flood = JAMMED | {
        "hotline.nuisance": [{"from": "20:00", "to": "22:00", "calls_per_hour": 1000}],
        "hotline.block_after": "none",
        "hotline.redial.nuisance": 0.9,
        "hotline.redial.nuisance_wait": "10 min",
    }
    simpy, compiled = both(SmallState(TWO, flood), folder)
    room = twin._EVENTS + twin._EVENTS_A_SITE * simpy.setting.sites
    assert len(simpy.calls) > 2 * room
    assert first_difference(simpy, compiled, ENGINES) is None


def test_a_caller_who_dials_more_often_than_an_event_has_room_to_number_stays_the_same_caller(folder: Path) -> None:
    """One line, taken all night and all day by the first chair; the second has a telephone that redials by itself."""
    redialing = JAMMED | {
        "clock.until": "+1d 18:00",
        "hotline.lines": 1,
        "hotline.operators": [{"from": "18:00", "to": "+1d 18:00", "count": 1}],
        "hotline.silent": 0,
        "hotline.handling.report": "2 d",
        "hotline.redial.after_busy": 1,
        "hotline.redial.busy_wait": "1 s",
    }
    simpy, compiled = both(SmallState(TWO, redialing), folder)
    assert len(simpy.calls) > MOST_ATTEMPTS + 1000
    assert first_difference(simpy, compiled, ENGINES) is None


def test_more_people_at_stations_than_the_twin_first_has_room_for_are_served_alike(folder: Path) -> None:
    crowd = HEADER + "Story,Ames 1,5,6000,,,1000,4\n" + "Story,Ames 2,5,30,,,1,4\n"
    everybody_at_once = CALM | {
        "checkin.arrivals": 0.5,
        "checkin.stations": 10_000,
        "checkin.on_list": "5 min",
        "forms.short": 1,
    }
    simpy, compiled = both(SmallState(crowd, everybody_at_once), folder)
    assert len(simpy.played.arrived_at[0]) > twin._EVENTS + 2 * twin._EVENTS_A_SITE
    assert first_difference(simpy, compiled, ENGINES) is None


def test_check_in_played_alone_is_that_of_the_whole_night(folder: Path) -> None:
    state = SmallState(TWO, JAMMED | {"checkin.wrong_line": 0.3, "forms.short": 1, "forms.above_people": 0})
    scenario, night = state.scenario(folder), state.play(folder, "simpy")
    (arrived_at, in_at, wait_ms), (ran_out_at, gone_at) = twin.check_in(night.setting, night.setting.stations)
    assert np.array_equal(arrived_at, night.played.arrived_at.values)
    assert np.array_equal(in_at, night.played.in_at.values)
    assert np.array_equal(wait_ms, night.played.wait_ms.values)
    assert np.array_equal(ran_out_at, night.played.forms_ran_out_at)
    assert gone_at.tolist() == [night.played.in_at[site].max() for site in range(len(scenario.roster.ids))]


@pytest.mark.parametrize(
    ("start", "end", "comes_in"), [(0, 10, False), (-10, 0, True), (-10, 10, False), (10, 20, True)]
)
def test_an_outage_that_begins_or_ends_as_a_report_is_submitted_means_the_same(
    start: int, end: int, comes_in: bool, folder: Path
) -> None:
    """An outage holds from its first millisecond to before its last: on a coarse clock reports meet both ends of it."""
    by_app = CALM | {
        "clock.resolution": "10 min",
        "app.tries": 1,
        "app.installed": 1,
        "app.no_signal": 0,
        "app.login_fails": 0,
        "app.submit_fails": 0,
        "app.entry": "20 min",
        "chairs.silent": 0,
    }
    submitted = SmallState(TWO, by_app).play(folder, "simpy").events.filter(pl.col("kind") == Kind.SUBMITTED)["at_ms"]
    at = int(submitted[0])
    outage = {"from": format_clock(at + start * MINUTE), "to": format_clock(at + end * MINUTE)}
    simpy, compiled = both(SmallState(TWO, by_app | {"app.outages": [outage]}), folder)
    assert first_difference(simpy, compiled, ENGINES) is None
    again = simpy.events.filter((pl.col("kind") == Kind.SUBMITTED) & (pl.col("at_ms") == at))
    assert (len(again) > 0) == comes_in


# What is asked for means the same


def test_positions_of_assumptions_mean_the_same(folder: Path) -> None:
    """The low and the high end of every range of a night, and three things that follow from that on either engine."""
    ranges = JAMMED | {
        "hotline.operators": [{"from": "18:00", "to": "+1d 02:00", "count": {"low": 1, "high": 4}}],
        "clock.doors": {"low": "18:00", "high": "18:30"},
        "checkin.on_list": {"lognormal": {"mean": {"low": "20 s", "high": "90 s"}, "cv": 0.3}},
    }
    scenario = SmallState(TWO, ranges).scenario(folder)
    unknown = [assumption.key for assumption in scenario.assumptions() if not assumption.is_known]
    found = []
    for position in (0, FULL_SHARE - 1):
        positions = dict.fromkeys(unknown, position)
        simpy, compiled = (
            play_night(scenario, 5, 0, positions=positions, engine=engine, log=True) for engine in ENGINES
        )
        assert first_difference(simpy, compiled, ENGINES) is None
        found += [simpy, compiled]
    for low, high in (found[::2], found[1::2]):
        assert [max(night.row["on_duty_by_grid"]) for night in (low, high)] == [1, 4]
        assert [night.setting.doors_open for night in (low, high)] == [18 * HOUR, 18 * HOUR + 30 * MINUTE]
        assert low.row["wait_mean_ms"] < high.row["wait_mean_ms"]


def test_fixed_assumptions_mean_the_same(folder: Path) -> None:
    ranges = JAMMED | {"hotline.operators": [{"from": "18:00", "to": "+1d 02:00", "count": {"low": 1, "high": 4}}]}
    for night in range(3):
        simpy, compiled = both(SmallState(TWO, ranges, fixed=True, night=night), folder)
        assert first_difference(simpy, compiled, ENGINES) is None
        assert max(simpy.row["on_duty_by_grid"]) == max(compiled.row["on_duty_by_grid"]) == 3


# Not the same


@pytest.fixture(scope="module")
def played(folder: Path) -> Night:
    """A night of two precincts."""
    return SmallState(TWO, JAMMED).play(folder, "simpy")


def test_a_millisecond_more_at_the_desks_of_the_twin_is_told_as_the_event_in_which_it_first_shows(
    played: Night,
) -> None:
    setting = played.setting
    slower = Setting(setting.scenario, setting.luck)
    slower.__dict__["at_the_door"] = setting.at_the_door._replace(on_list=setting.at_the_door.on_list + 1)
    told = first_difference(played, Night(twin.play(slower, log=True)), ENGINES)
    assert told is not None
    first, ours, theirs, before, *led_to_it = told.splitlines()
    at = int(first.removeprefix("event ").split()[0].replace(",", ""))
    log = played.played.log
    assert log is not None
    assert first.startswith(f"event {at:,} differs (simpy has ")
    assert Kind(log[at, 2]) == Kind.CHECKED_IN
    assert "Story/Ames" in ours
    assert f"CHECKED_IN, is in the room; person {log[at, 4]}, entity {log[at, 4]}, attempt 3" in ours
    assert f"at_ms {log[at, 0]}, inside SERVICE_ENDS" in ours
    assert f"at_ms {log[at, 0]}," not in theirs  # a millisecond later, or something else first
    assert before == "before it, the same in both:"
    assert len(led_to_it) == min(at, 4)
    assert f"at_ms {log[at - 1, 0]}," in led_to_it[-1]


@pytest.mark.parametrize("kind", [Kind.SERVED, Kind.RECEIVED, Kind.DIALED])
def test_two_events_in_the_wrong_order_are_told(kind: Kind, played: Night) -> None:
    log = played.played.log
    assert log is not None
    at = int(np.flatnonzero(log[:, 2] == kind)[0])
    swapped = log.copy()
    swapped[[at, at + 1]] = log[[at + 1, at]]
    told = first_difference(played, Night(replace(played.played, log=swapped)), ENGINES)
    assert told is not None
    first, ours, theirs, *_ = told.splitlines()
    assert first.startswith(f"event {at:,} differs")
    assert f"{kind.name}," in ours
    assert f"{kind.name}," not in theirs


def test_a_log_that_ends_too_soon_is_told(played: Night) -> None:
    log = played.played.log
    assert log is not None
    told = first_difference(Night(replace(played.played, log=log[:-1])), played, ENGINES)
    assert told is not None
    assert told.startswith(f"event {len(log) - 1:,} differs")
    assert "simpy: no more events" in told


def _one_more(played: Played, name: str) -> Played:
    """The same with 1 added to the last number of an array."""
    value = getattr(played, name)
    if name == "on_duty":
        return replace(played, on_duty=[*value[:-1], (value[-1][0], value[-1][1] + 1)])
    array = (value.values if isinstance(value, PerPerson) else value).copy()
    array[tuple(length - 1 for length in array.shape)] += 1
    changed = PerPerson(array, value.offsets) if isinstance(value, PerPerson) else array
    return replace(played, **{name: changed})  # type: ignore[arg-type]  # of the type that it had


WHERE = {
    "arrived_at": "Story/Ames 2 (site 1), person 1",
    "reported": "Story/Ames 2 (site 1), delegates, bloomberg",
    "calls": ", silent: ",
    "on_duty": "change 1 of shifts, column 1",
    "phones": "Story/Ames 2 (site 1), SENDS_AGAIN",
    "backend_peak": "the busiest minute, number 1 of load and time",
}


@pytest.mark.parametrize("name", [field.name for field in fields(Played) if field.name not in ("setting", "log")])
def test_one_number_that_differs_in_any_array_is_told(name: str, played: Night) -> None:
    told = first_difference(played, Night(_one_more(played.played, name)), ENGINES)
    assert told is not None
    assert told.startswith(f"{name}: ")
    assert WHERE.get(name, "Story/Ames 2 (site 1)") in told
    assert "simpy has " in told


def test_what_a_night_came_to_is_compared_too(played: Night) -> None:
    """An outcome that is computed otherwise from the same numbers is not the same night."""
    other = Night(played.played)
    other.__dict__["row"] = played.row | {"people": played.row["people"] + 1}
    told = first_difference(played, other, ENGINES)
    assert told == f"row, people: simpy has {played.row['people']}, compiled {played.row['people'] + 1}"
    other = Night(played.played)
    other.__dict__["precincts"] = played.precincts.with_columns(hold_ms=played.precincts["hold_ms"] + 1)
    told = first_difference(played, other, ENGINES)
    assert told is not None
    assert told.startswith("precincts, hold_ms, Story/Ames 1: ")
