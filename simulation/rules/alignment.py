"""Alignment: who may still change sides after the first alignment, and what no final alignment can look like. Compiled.

Source: Iowa Democratic Party, rules of the precinct caucuses 2016 (people move freely, rounds repeat) and 2020 (viable
groups are locked, one realignment).
"""

from __future__ import annotations

from simulation.compiled import kernel
from simulation.randomness import Integers
from simulation.rules.viability import is_viable

FREE_2016 = 2016
LOCKED_2020 = 2020

UNLIMITED = 1 << 31

# Bits of `violations`; the audit of a record continues them.
FINAL_EXCEEDS_FIRST = 1 << 0
VIABLE_GROUP_SHRANK = 1 << 1


@kernel
def may_move(regime: int, viable: bool) -> bool:
    """Whether a member of a group that is, or is not, `viable` may leave it in a realignment."""
    return regime == FREE_2016 or not viable


@kernel
def rounds(regime: int) -> int:
    """How many realignments may follow the first alignment; UNLIMITED in 2016."""
    return 1 if regime == LOCKED_2020 else UNLIMITED


@kernel
def violations(first: Integers, final: Integers, delegates: int, attendance: int, regime: int) -> int:
    """What the two alignments, int64[groups] each, break: a sum of FINAL_EXCEEDS_FIRST and VIABLE_GROUP_SHRANK.

    A viable group may shrink where people could move freely, where more groups were viable than delegates are elected
    (they must merge), and where one delegate is elected (no preference groups). Where the final total is too large,
    the counts say nothing about a single group.
    """
    final_total = 0
    viable = 0
    shrank = False
    for i in range(len(first)):
        final_total += final[i]
        if is_viable(first[i], delegates, attendance):
            viable += 1
            shrank = shrank or final[i] < first[i]
    if final_total > attendance:
        return FINAL_EXCEEDS_FIRST
    if shrank and regime == LOCKED_2020 and delegates > 1 and viable <= delegates:
        return VIABLE_GROUP_SHRANK
    return 0
