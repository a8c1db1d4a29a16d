"""State delegate equivalents: exact for people, in billionths for compiled code, and the delegates of satellites."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulation.rules import sde


def test_a_precinct_s_delegates_weigh_what_its_county_holds() -> None:
    assert sde.per_delegate(4, 51) == Fraction(4, 51)  # Adair 2020
    assert sde.of_award([1, 1, 2, 2, 2], 4, 51) == [Fraction(n * 4, 51) for n in (1, 1, 2, 2, 2)]


@pytest.mark.parametrize(
    ("attendance", "delegates"),
    [
        (0, 0),
        (1, 4),
        (20, 4),
        (21, 5),
        (40, 5),
        (41, 6),
        (60, 6),
        (61, 7),
        (80, 7),
        (81, 8),
        (100, 8),
        (101, 9),
        (318, 9),
    ],
)
def test_a_satellite_elects_by_its_attendance(attendance: int, delegates: int) -> None:
    assert sde.satellite_delegates(attendance) == delegates


def test_satellites_share_their_pool_exactly() -> None:
    sites = [24, 0, 74, 281]  # 379 people, as in the first district 2020
    shares = [sum(sde.of_satellite_award([sde.satellite_delegates(people), 0], 6, people, 379)) for people in sites]
    assert sum(shares) == 6
    assert shares[0] == Fraction(6 * 24, 379)


@given(st.integers(0, 36), st.integers(1, 300), st.integers(1, 3_000))
def test_billionths_are_the_exact_sde_rounded_down(delegates: int, county_sde: int, county_delegates: int) -> None:
    [exact] = sde.of_award([delegates], county_sde, county_delegates)
    assert sde.nano_of_award(delegates, county_sde * sde.NANO, county_delegates) == exact * sde.NANO // 1


@given(st.integers(0, 9), st.sampled_from(sorted(sde.SATELLITE_POOLS)), st.integers(0, 400), st.integers(0, 1_200))
def test_billionths_of_a_satellite_are_its_exact_sde_rounded_down(
    delegates: int, group: str, attendance: int, elsewhere: int
) -> None:
    pool, together = sde.SATELLITE_POOLS[group], max(1, attendance + elsewhere)
    [exact] = sde.of_satellite_award([delegates], pool, attendance, together)
    assert sde.nano_of_satellite_award(delegates, pool * sde.NANO, attendance, together) == exact * sde.NANO // 1
