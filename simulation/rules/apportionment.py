"""Apportionment: the delegates of one precinct, coins tossed or left open. Compiled; the rule stands in `law`.

`award` deals them for a night that has luck; `is_lawful` judges an award that somebody else made. For every award that
the rules allow, and for the arithmetic on paper, see `worksheet`.
"""

from __future__ import annotations

import numpy as np

from simulation.compiled import kernel
from simulation.randomness import Integers
from simulation.rules import law
from simulation.rules.law import BY_POLICY, NO_AWARD
from simulation.rules.viability import threshold

settle = kernel(law.settle)


@kernel
def award(sizes: Integers, delegates: int, attendance: int, lots: Integers, seats: Integers) -> int:
    """Deal `delegates` among groups of `sizes`; fill `seats` and return how it went, a `law.Status`.

    `lots` are the coin: among tied groups the lowest lots gain, keep and stay in (equal lots: the group named first).
    All arrays are int64[groups]. Nobody is awarded anything where the status is NO_AWARD.
    """
    groups = len(sizes)
    tied = np.zeros(groups, np.int64)
    status, swing, places = settle(sizes, delegates, attendance, threshold(delegates, attendance), seats, tied)
    for i in range(groups):
        if tied[i]:
            luckier = 0
            unluckier = 0
            for j in range(groups):
                if tied[j] and j != i:
                    if lots[j] < lots[i] or (lots[j] == lots[i] and j < i):
                        luckier += 1
                    else:
                        unluckier += 1
            if (luckier if swing > 0 else unluckier) < places:
                seats[i] += swing
    return status


@kernel
def is_lawful(sizes: Integers, delegates: int, attendance: int, awarded: Integers) -> bool:
    """Whether some toss of the coins gives exactly `awarded` (int64[groups]); never where the law has no answer."""
    groups = len(sizes)
    seats = np.zeros(groups, np.int64)
    tied = np.zeros(groups, np.int64)
    status, swing, places = settle(sizes, delegates, attendance, threshold(delegates, attendance), seats, tied)
    if status in (BY_POLICY, NO_AWARD):
        return False
    for i in range(groups):
        if awarded[i] != seats[i]:
            if not tied[i] or awarded[i] != seats[i] + swing:
                return False
            places -= 1
    return places == 0
