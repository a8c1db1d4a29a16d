"""State delegate equivalents (SDE): what a delegate weighs in the state, in integer billionths.

A precinct's delegates stand for their county's SDE; satellite caucuses share the pools of their district. Source: Iowa
Democratic Party, delegate selection plan 2020. Knows nothing of who won the delegates.
"""

from __future__ import annotations

from simulation.compiled import kernel
from simulation.rules.jitable import law

NANO = 10**9  # SDE are counted in billionths, rounded down: off by less than 1e-9 SDE a delegate, never over

satellite_delegates = kernel(law.satellite_delegates)


def nano_of_satellite_delegate(pool_nano: int, attendance: int, group_attendance: int, delegates: int) -> int:
    """Nano-SDE of each of a satellite's `delegates`: its share of the pool by attendance; 0 where nobody came.

    `pool_nano` and `group_attendance` are those of all satellites that share the pool. Rounded down, once.
    """
    if attendance == 0 or delegates == 0:
        return 0
    return pool_nano * attendance // (group_attendance * delegates)
