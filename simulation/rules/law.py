"""The rules that everything else rests on: who is viable, how delegates are dealt, which awards are lawful.

Plain integers without a heavy import: `viability` and `apportionment` compile these very functions, `worksheet`
calls them as they stand, so that the arithmetic of one precinct appears without waiting for a compiler.
Source: Iowa Democratic Party, rules of the precinct caucuses 2016 and 2020 (delegate selection plan, caucus math).
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from simulation.randomness import Integers

    Counts = Integers | Sequence[int]  # read only
    Slots = Integers | list[int]  # written to


class Status(IntEnum):
    """What it took to deal exactly D delegates."""

    EXACT = 0  # rounding alone gave D
    GAINED = 1  # groups just below .5 got one more
    GAVE_BACK = 2  # groups that were rounded up (then, by the named policy, others) gave one back
    DROPPED = 3  # more viable groups than delegates: the smallest are out, one delegate each for the rest
    PLURALITY = 4  # D = 1: no preference groups, the largest wins
    BY_POLICY = 5  # no lawful award; the named policy went on adding until D was reached
    NO_AWARD = 6  # nobody is viable, or neither the law nor the policy reaches D


# As plain integers, which compiled code returns.
EXACT, GAINED, GAVE_BACK, DROPPED, PLURALITY, BY_POLICY, NO_AWARD = (int(status) for status in Status)


def threshold(delegates: int, attendance: int) -> int:
    """The smallest viable group: a fraction of the attendance by delegates to elect, always rounded up.

    0 where one delegate is elected: there are no preference groups. A group of nobody is never viable, even then.
    """
    if delegates <= 1:
        return 0
    if delegates == 2:
        return (attendance + 3) // 4
    if delegates == 3:
        return (attendance + 5) // 6
    return (3 * attendance + 19) // 20


def is_viable(size: int, delegates: int, attendance: int) -> bool:
    """Whether a group of `size` is viable; with one delegate to elect, every group with anybody in it is."""
    return size > 0 and size >= threshold(delegates, attendance)


def satellite_delegates(attendance: int) -> int:
    """How many delegates a satellite of this attendance elects (delegate selection plan 2020)."""
    if attendance <= 0:
        return 0
    if attendance > 100:
        return 9
    return 4 + (attendance - 1) // 20


def settle(
    sizes: Counts, delegates: int, attendance: int, smallest_viable: int, seats: Slots, tied: Slots
) -> tuple[int, int, int]:
    """Deal `delegates` among the groups of the final alignment, up to the one tie that only a coin can decide.

    Fills `seats` (delegates, before the coin) and `tied` (1 for groups of which some, not all, get `swing` more).
    Returns (status, swing, places): swing +1 or -1 goes to `places` of the tied groups; 0 places: there is no tie.
    Every comparison is on exact integers: a quotient size * delegates / attendance is compared by its remainder.
    All arrays have one entry a group; `smallest_viable` is `threshold(delegates, attendance)`.
    """
    groups = len(sizes)
    standing = [0] * groups  # what decides the last correction: the size, or the decimal of the quotient
    running = [False] * groups  # who takes part in it
    viable = 0
    for i in range(groups):
        seats[i] = 0
        tied[i] = 0
        standing[i] = sizes[i]
        running[i] = sizes[i] > 0 and sizes[i] >= smallest_viable
        viable += running[i]
    if viable == 0 or delegates < 1 or attendance < 1:
        return NO_AWARD, 0, 0

    status, swing, places = PLURALITY, 1, 1
    if viable > delegates > 1:
        status, places = DROPPED, delegates
    elif delegates > 1:
        total = 0
        for i in range(groups):
            if running[i]:
                standing[i] = sizes[i] * delegates % attendance
                seats[i] = (2 * sizes[i] * delegates + attendance) // (2 * attendance)  # half rounds up
                total += seats[i]
        if total == delegates:
            return EXACT, 0, 0
        if total < delegates:
            status, places = GAINED, delegates - total
            below_half = 0
            for i in range(groups):
                below_half += running[i] and 2 * standing[i] < attendance
            if places <= below_half:
                for i in range(groups):
                    running[i] = running[i] and 2 * standing[i] < attendance
            else:  # one addition each is all that the law gives; the named policy goes round and round from there
                status = BY_POLICY
                rounds, rest = divmod(places - below_half, viable)
                for i in range(groups):
                    if running[i]:
                        seats[i] += rounds + (2 * standing[i] < attendance)
                places = rest
        else:
            status, swing, places = GAVE_BACK, -1, total - delegates
            for rounded_up in (True, False):  # those rounded down only by the named policy, when the first cannot
                able = 0
                for i in range(groups):
                    running[i] = seats[i] >= 2 and (2 * standing[i] >= attendance) == rounded_up
                    able += running[i]
                if places <= able:
                    break
                for i in range(groups):
                    seats[i] -= running[i]
                places -= able
            else:
                for i in range(groups):
                    seats[i] = 0
                return NO_AWARD, 0, 0

    at_stake = places  # additions go to the highest standing, subtractions to the lowest
    for i in range(groups):
        if running[i]:
            ahead = 0
            level = 0
            for j in range(groups):
                if running[j]:
                    lead = swing * (standing[j] - standing[i])
                    ahead += lead > 0
                    level += lead == 0
            if ahead + level <= at_stake:
                seats[i] += swing
                places -= 1
            elif ahead < at_stake:
                tied[i] = 1
    return status, swing, places


def is_lawful(sizes: Counts, delegates: int, attendance: int, awarded: Counts) -> bool:
    """Whether some toss of the coins gives exactly `awarded`, one entry a group; never where the law has no answer."""
    groups = len(sizes)
    seats = [0] * groups
    tied = [0] * groups
    status, swing, places = settle(sizes, delegates, attendance, threshold(delegates, attendance), seats, tied)
    if status in (BY_POLICY, NO_AWARD):
        return False
    for i in range(groups):
        if awarded[i] != seats[i]:
            if not tied[i] or awarded[i] != seats[i] + swing:
                return False
            places -= 1
    return places == 0
