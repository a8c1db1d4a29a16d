"""State delegate equivalents (SDE): what a precinct's delegates weigh in the state, exactly.

A county's precincts elect county delegates, which stand for the county's SDE; satellite caucuses share the pools of
their district. Source: Iowa Democratic Party, delegate selection plan 2020. Knows nothing of who won the delegates.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from simulation.compiled import kernel
from simulation.rules.jitable import law

NANO = 10**9  # compiled code counts SDE in billionths, rounded down: off by less than 1e-9 SDE an award, never over

# SDE that the satellites of a congressional district, or those out of state, share (party plan 2020).
SATELLITE_POOLS = {"1": 6, "2": 11, "3": 18, "4": 4, "out of state": 4}

satellite_delegates = kernel(law.satellite_delegates)


def per_delegate(county_sde: Fraction | int, county_delegates: int) -> Fraction:
    """What one county delegate weighs, in SDE: .03 (Davis) to .44 (Linn) in 2020."""
    return Fraction(county_sde) / county_delegates


def of_award(awarded: Sequence[int], county_sde: Fraction | int, county_delegates: int) -> list[Fraction]:
    """The SDE of each group of a precinct, in the order of its delegates `awarded`."""
    weight = per_delegate(county_sde, county_delegates)
    return [delegates * weight for delegates in awarded]


def of_satellite_award(
    awarded: Sequence[int], pool: Fraction | int, attendance: int, pool_attendance: int
) -> list[Fraction]:
    """The SDE of each group of a satellite: its share of the pool by first-alignment attendance, split by delegates.

    `pool_attendance` is the attendance of all satellites that share the pool. A satellite where nobody came has none.
    """
    if attendance == 0:
        return [Fraction(0) for _ in awarded]
    share = Fraction(pool) * attendance / pool_attendance
    return of_award(awarded, share, satellite_delegates(attendance))


@kernel
def nano_of_award(delegates: int, county_nano_sde: int, county_delegates: int) -> int:
    """`of_award` for one group in billionths of an SDE, rounded down; the county's SDE in billionths too."""
    return delegates * county_nano_sde // county_delegates


@kernel
def nano_of_satellite_award(delegates: int, pool_nano_sde: int, attendance: int, pool_attendance: int) -> int:
    """`of_satellite_award` for one group in billionths of an SDE, rounded down; the pool in billionths too."""
    if attendance <= 0:
        return 0
    return delegates * pool_nano_sde * attendance // (pool_attendance * satellite_delegates(attendance))
