"""Alignment: who may still change sides after the first alignment, and how often. Compiled.

Source: Iowa Democratic Party, rules of the precinct caucuses 2016 (people move freely, rounds repeat) and 2020 (viable
groups are locked, one realignment). What no final alignment can look like stands in `record`.
"""

from __future__ import annotations

from simulation.compiled import kernel
from simulation.rules.record import VIABLE_GROUP_SHRANK

__all__ = ["FREE_2016", "LOCKED_2020", "UNLIMITED", "VIABLE_GROUP_SHRANK", "may_move", "rounds"]

FREE_2016 = 2016
LOCKED_2020 = 2020

UNLIMITED = 1 << 31


@kernel
def may_move(regime: int, viable: bool) -> bool:
    """Whether a member of a group that is, or is not, `viable` may leave it in a realignment."""
    return regime == FREE_2016 or not viable


@kernel
def rounds(regime: int) -> int:
    """How many realignments may follow the first alignment; UNLIMITED in 2016."""
    return 1 if regime == LOCKED_2020 else UNLIMITED
