"""A roster of one's own in a night that was written for other precincts: what does not fit, and what is left out.

Knows nothing of how nights are played.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulation.experiment.assumptions import changed
from simulation.experiment.run_file import uses_roster_file
from simulation.scenario import library

if TYPE_CHECKING:
    from simulation.scenario import Scenario

LEAST, MOST = 0.67, 1.5  # times the people that a roster expects: beyond, the night was written for other precincts
HISTORY = ("reported", "released", "holds")


def notices(scenario: Scenario) -> tuple[str, ...]:
    """A sentence where a library night's number of people makes another crowd of a roster that came as a file.

    A number that the planner wrote himself is his forecast.
    """
    people = scenario.spec.turnout.people
    inherited = _is_of_the_library(scenario, "turnout.people")
    if not uses_roster_file(scenario) or people is None or not inherited or _fits(scenario):
        return ()
    expected = _expected(scenario)
    times = people / expected
    shown = f"{times:,.0f}" if times >= 10 else f"{times:.1f}" if times >= 1 else f"{times:.2g}"
    makes = f"turnout.people = {people:,} ({_set_by(scenario, 'turnout.people')}) makes {shown} times the {expected:,}"
    return (f"{makes} people that the roster expects; --set turnout.people=none takes the roster's own.",)


def inherits_people(scenario: Scenario) -> str:
    """A sentence for whoever builds on a night whose number of people is its own; nothing where it has none."""
    people = scenario.spec.turnout.people
    if people is None:
        return ""
    return (
        f"turnout.people = {people:,} comes with {scenario.name} and would be shared out over precincts of your own, "
        'too: for the people that your roster expects, write people = "none" below [turnout].'
    )


def without_others_history(scenario: Scenario) -> Scenario:
    """The scenario without published figures of a library night, where the roster is of other precincts."""
    if not uses_roster_file(scenario) or (scenario.spec.turnout.people is not None and _fits(scenario)):
        return scenario
    history = scenario.document.get("history", {})
    others = [key for key in HISTORY if history.get(key) and _is_of_the_library(scenario, f"history.{key}")]
    if not others:
        return scenario
    found = changed(scenario, {("history", key): [] for key in others})
    found.__dict__["roster"] = scenario.roster  # instead of reading it again
    return found


def _fits(scenario: Scenario) -> bool:
    return LEAST <= (scenario.spec.turnout.people or 0) / _expected(scenario) <= MOST


def _expected(scenario: Scenario) -> int:
    return max(1, int(scenario.roster.attendance.sum()))


def _is_of_the_library(scenario: Scenario, key: str) -> bool:
    return _set_by(scenario, key).partition(" line ")[0] in {path.name for path in library().values()}


def _set_by(scenario: Scenario, key: str) -> str:
    """The file and line, or the option, that set a key."""
    while key not in scenario.origins and "." in key:
        key = key.rpartition(".")[0]
    return scenario.origins.get(key, "the scenario")
