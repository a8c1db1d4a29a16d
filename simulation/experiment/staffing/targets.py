"""The targets of a plan: what stations decide, what operators decide, and whether a night meets them.

Knows the measures by name only; knows nothing of how a plan is found.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from simulation.errors import InputError
from simulation.experiment.measures import Goal, parse_goal
from simulation.experiment.packed import Row


class Part(Enum):
    """What of a plan a target depends on."""

    CHECK_IN = "stations"
    HOTLINE = "operators"
    HELD = "stations and operators"
    COST = "the whole plan"


# By family of measures, see `measures`: what decides it, and whether more of that makes it larger
_FAMILIES = {
    "wait_p{}": (Part.CHECK_IN, False),
    "wait_mean": (Part.CHECK_IN, False),
    "in_line@": (Part.CHECK_IN, False),
    "in_line_share": (Part.CHECK_IN, False),
    "start_delay_p{}": (Part.CHECK_IN, False),
    "start_delay_max": (Part.CHECK_IN, False),
    "hours_in_line": (Part.CHECK_IN, False),
    "hold_p{}": (Part.HOTLINE, False),
    "hold_mean": (Part.HOTLINE, False),
    "busy_share": (Part.HOTLINE, False),
    "abandoned_share": (Part.HOTLINE, False),
    "occupancy": (Part.HOTLINE, False),
    "chairs_hours_on_hold": (Part.HOTLINE, False),
    "reported@": (Part.HELD, True),
    "released@": (Part.HELD, True),
    "reported_by_{}": (Part.HELD, False),
    "cost": (Part.COST, False),
}
CLOSED = 0.02  # of a night's calls: so many more may find nobody on duty than with plenty of operators


@dataclass(frozen=True)
class Target:
    """A goal, and the part of the plan that it depends on."""

    goal: Goal
    part: Part

    @property
    def text(self) -> str:
        """The goal as it was written, with its share of nights."""
        return self.goal.text

    def holds(self, row: Row, closed: int) -> bool:
        """Whether a night meets it. `closed`: calls of that night that find nobody on duty with plenty of operators.

        A hotline that is closed keeps nobody on hold: that is no way to meet a target on calls.
        """
        if self.part is Part.HOTLINE and unanswered(row) - closed > CLOSED * row["calls"]:
            return False
        return self.goal.holds(row)

    def margin(self, row: Row) -> float:
        """By how much a night meets it, in multiples of its value; below 0 it misses, never: far below."""
        found = self.goal.measure.value(row)
        if found is None:
            return -1e9
        less = self.goal.value - found
        return (less if self.goal.op.startswith("<") else -less) / max(1e-9, abs(self.goal.value))


def unanswered(row: Row) -> int:
    """Calls that found nobody on duty, or were on hold when the night ended."""
    return int(row["calls"] - row["answered"] - row["hung_up"] - row["busy_tones"])


def parse_targets(texts: Sequence[str], call_to_order: int) -> list[Target]:
    """The targets as written; InputError lists every mistake, and every target that a plan cannot serve."""
    targets: list[Target] = []
    problems: list[str] = []
    for text in texts:
        try:
            goal = parse_goal(text, call_to_order)
        except InputError as error:
            problems += [f"--target {problem}" for problem in error.problems]
            continue
        family = goal.measure.family
        if family not in _FAMILIES:
            problems.append(
                f"--target {text}: neither stations nor operators decide {goal.measure.name}; they do decide "
                + ", ".join(name.format("90").replace("@", "@HH:MM") for name in _FAMILIES)
            )
            continue
        part, grows = _FAMILIES[family]
        if goal.op.startswith("<") == grows:
            other = {"<": ">", ">": "<"}[goal.op[0]] + goal.op[1:]
            change = "raise" if grows else "lower"
            problems.append(
                f"--target {text}: more stations and operators only {change} {goal.measure.name}: expected "
                f"{goal.measure.name} {other} VALUE"
            )
            continue
        targets.append(Target(goal, part))
    if problems:
        raise InputError(problems)
    return targets
