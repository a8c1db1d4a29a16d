"""A roster of one's own in a night of the library: what does not fit is said, what is of other precincts left out."""

from __future__ import annotations

from pathlib import Path

import pytest

from simulation.experiment import own_roster
from simulation.experiment.own_roster import inherits_people, notices, without_others_history
from simulation.roster import synthesize
from simulation.scenario import Scenario, load

HISTORY = '[history]\nreported = [{ at = "22:00", share = 0.5 }]\n'


@pytest.fixture(scope="module")
def precincts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seventy precincts of a planner."""
    path = tmp_path_factory.mktemp("roster") / "small.csv"
    path.write_text("".join(synthesize("iowa-2020").csv().splitlines(keepends=True)[:71]))
    return path


def expected(roster: Path) -> int:
    return int(load("baseline", {}, roster).roster.attendance.sum())


def published(scenario: Scenario) -> int:
    history = without_others_history(scenario).spec.history
    return len(history.reported) + len(history.released) + len(history.holds)


def test_a_states_people_in_seventy_precincts_are_said_to_be_too_many(precincts: Path) -> None:
    (said,) = notices(load("iowa-2020", {}, precincts))
    assert said.startswith("turnout.people = 176,352 (iowa-2020.toml line ")
    assert f"makes {176_352 / expected(precincts):.0f} times the {expected(precincts):,} people" in said
    assert "--set turnout.people=none takes the roster's own" in said


@pytest.mark.parametrize(("times", "told"), [(0.5, True), (0.7, False), (1, False), (1.4, False), (1.6, True)])
def test_a_turnout_of_half_as_many_more_is_a_forecast_and_beyond_it_a_mistake(
    precincts: Path, times: float, told: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own_roster, "_expected", lambda _: round(176_352 / times))
    assert bool(notices(load("iowa-2020", {}, precincts))) is told


def test_a_number_of_people_that_the_planner_wrote_himself_is_his_forecast(precincts: Path) -> None:
    assert notices(load("iowa-2020", {"turnout.people": 3 * expected(precincts)}, precincts)) == ()


def test_neither_a_rosters_own_people_nor_a_synthesized_state_are_a_mistake(precincts: Path) -> None:
    assert notices(load("iowa-2020", {"turnout.people": "none"}, precincts)) == ()
    assert notices(load("iowa-2020", {"turnout.people": 5_000})) == ()


def test_whoever_builds_on_iowa_is_told_that_its_people_come_along() -> None:
    assert "176,352" in inherits_people(load("iowa-2020"))
    assert inherits_people(load("baseline")) == ""


def test_published_figures_of_iowa_are_left_out_where_the_roster_is_another_one(precincts: Path) -> None:
    kept = published(load("iowa-2020"))
    assert kept > 10
    own = load("iowa-2020", {"turnout.people": "none"}, precincts)
    assert (published(own), published(load("iowa-2020", {}, precincts))) == (0, 0)
    assert without_others_history(own).document["history"]["reported"] == []
    assert without_others_history(own).roster is own.roster


def test_figures_stay_with_a_roster_as_large_as_the_night_and_with_ones_own_night(
    precincts: Path, tmp_path: Path
) -> None:
    whole = tmp_path / "whole.csv"
    whole.write_text(synthesize("iowa-2020").csv())
    assert published(load("iowa-2020", {}, whole)) == published(load("iowa-2020"))
    mine = tmp_path / "mine.toml"
    mine.write_text(f'title = "Mine"\nstory = "Mine."\n{HISTORY}')
    assert published(load(mine, {}, precincts)) == 1
