"""Alignment: who may still change sides after the first alignment, and what no final alignment can look like. Compiled.

Source: Iowa Democratic Party, rules of the precinct caucuses 2016 (people move freely, rounds repeat) and 2020 (viable
groups are locked, one realignment).
"""

from __future__ import annotations

from simulation.compiled import kernel
from simulation.randomness import Integers
from simulation.rules.jitable import record
from simulation.rules.record import FINAL_EXCEEDS_FIRST, FREE_2016, LOCKED_2020, VIABLE_GROUP_SHRANK

__all__ = [
    "FINAL_EXCEEDS_FIRST",
    "FREE_2016",
    "LOCKED_2020",
    "UNLIMITED",
    "VIABLE_GROUP_SHRANK",
    "may_move",
    "rounds",
    "violations",
]

UNLIMITED = 1 << 31


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
    """What the two alignments, int64[groups] each, break: a sum of FINAL_EXCEEDS_FIRST and VIABLE_GROUP_SHRANK."""
    final_total = 0
    for i in range(len(final)):
        final_total += final[i]
    return record.broken_by_alignment(first, final, delegates, attendance, final_total, regime)
