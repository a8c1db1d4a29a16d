"""Apportionment: the delegates of one precinct, coins tossed or left open. Compiled; the rule stands in `law`.

`award` deals them for a night that has luck; `is_lawful` judges an award that somebody else made. For every award that
the rules allow, and for the arithmetic on paper, see `worksheet`.
"""

from __future__ import annotations

import numpy as np

from simulation.compiled import kernel
from simulation.randomness import Integers
from simulation.rules.jitable import law
from simulation.rules.viability import threshold

settle = kernel(law.settle)
is_lawful = kernel(law.is_lawful)


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
