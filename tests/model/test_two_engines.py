"""Two engines, one night: SimPy, the model of record, and its compiled twin agree in every integer and every event."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from simulation.night import Night, play_night, twin
from simulation.night.divergence import first_difference
from simulation.night.order import Call, Kind, Outcome
from simulation.night.outcome import Called, PerPerson, Played
from simulation.night.setting import Setting
from simulation.scenario import load
from simulation.scenario.values import FULL_SHARE
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


def difference(state: SmallState, folder: Path) -> str | None:
    return first_difference(*both(state, folder), ENGINES)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("small")


# The same


@settings(max_examples=EXAMPLES, derandomize=True, suppress_health_check=list(HealthCheck), database=None)
@given(state=small_states())
def test_the_night_of_any_small_state_is_the_same_in_every_integer_and_every_event(
    state: SmallState, folder: Path
) -> None:
    simpy, compiled = both(state, folder)
    assert first_difference(simpy, compiled, ENGINES) is None
    assert simpy.events.equals(compiled.events)
    assert simpy.calls.equals(compiled.calls)


@pytest.mark.parametrize(
    "name", ["iowa-2020", "hotline-flood", "iowa-2016"]
)  # no end of callers; too few lines; the rules of 2016 and an app that works
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
