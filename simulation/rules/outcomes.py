"""Every award that the rules allow for one precinct: the base award and all combinations at its one tie.

Plain Python on exact fractions, with nothing to compile and nothing heavy to import. The rule itself stands in
`simulation.rules.law`; `worksheet` puts what is found here into words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations

from simulation.errors import InputError
from simulation.rules import law
from simulation.rules.law import Status

MOST_GROUPS = 20  # ties of more groups have too many outcomes to list
LARGEST_COUNT = 1_000_000  # people or delegates; six times the attendance of all Iowa

Award = tuple[int, ...]


@dataclass(frozen=True)
class Group:
    """One preference group of the final alignment, before any correction."""

    size: int
    viable: bool
    quotient: Fraction  # size * delegates / attendance
    rounded: int  # half up; 0 when not viable

    @property
    def decimal(self) -> Fraction:
        """What stands behind the point of the quotient, 0 <= decimal < 1."""
        return self.quotient % 1


@dataclass(frozen=True)
class Outcomes:
    """What the rules make of one precinct."""

    delegates: int
    attendance: int
    threshold: int | None  # None where D = 1: no preference groups
    groups: tuple[Group, ...]
    status: Status
    awards: tuple[Award, ...]  # every lawful award, in the order of the groups given; first named, first favored
    by_policy: tuple[Award, ...] | None  # None where a lawful award exists; empty where the policy has no answer either
    settled: Award  # delegates before the coin
    tied: tuple[int, ...]  # groups that toss the coin, by index
    swing: int  # what it is about: +1 or -1 delegate
    places: int  # for how many of the tied groups

    @property
    def tie(self) -> bool:
        """Whether a coin decides: more than one award is lawful."""
        return len(self.awards) > 1


def outcomes(sizes: Sequence[int], delegates: int, attendance: int) -> Outcomes:
    """Every award that the rules allow for groups of `sizes` at the final alignment.

    `attendance` is N, frozen at the first alignment. Groups may hold fewer people (some left) and, because records
    can be corrupt, more. Raises InputError for numbers that no precinct can have.
    """
    _refuse_nonsense(sizes, delegates, attendance)
    threshold = law.threshold(delegates, attendance)
    seats, tied = [0] * len(sizes), [0] * len(sizes)
    code, swing, places = law.settle(sizes, delegates, attendance, threshold, seats, tied)
    status = Status(code)
    coin = tuple(i for i, in_tie in enumerate(tied) if in_tie)
    awards = tuple(
        sorted(
            (
                tuple(held + swing * (i in chosen) for i, held in enumerate(seats))
                for chosen in map(frozenset, combinations(coin, places))
            ),
            reverse=True,
        )
    )
    lawful = status not in (Status.BY_POLICY, Status.NO_AWARD)
    return Outcomes(
        delegates=delegates,
        attendance=attendance,
        threshold=threshold if delegates > 1 else None,
        groups=tuple(_group(size, delegates, attendance, threshold) for size in sizes),
        status=status,
        awards=awards if lawful else (),
        by_policy=None if lawful else awards if status is Status.BY_POLICY else (),
        settled=tuple(seats),
        tied=coin,
        swing=swing,
        places=places,
    )


def _refuse_nonsense(sizes: Sequence[int], delegates: int, attendance: int) -> None:
    problems = [
        f"{what}: {value} given, a whole number from 1 to {LARGEST_COUNT:,} is accepted"
        for what, value in (("delegates", delegates), ("attendance", attendance))
        if not 1 <= value <= LARGEST_COUNT
    ]
    problems += [
        f"group {number}: {size} people given, a whole number from 0 to {LARGEST_COUNT:,} is accepted"
        for number, size in enumerate(sizes, 1)
        if not 0 <= size <= LARGEST_COUNT
    ]
    if not 1 <= len(sizes) <= MOST_GROUPS:
        problems.append(f"groups: {len(sizes)} given, from 1 to {MOST_GROUPS} are accepted")
    if problems:
        raise InputError(problems)


def _group(size: int, delegates: int, attendance: int, threshold: int) -> Group:
    quotient = Fraction(size * delegates, attendance)
    viable = size > 0 and size >= threshold
    return Group(size, viable, quotient, int(quotient + Fraction(1, 2)) if viable else 0)
