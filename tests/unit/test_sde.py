"""State delegate equivalents of satellites: their delegates by attendance, and what each of those weighs."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulation.rules import sde


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


def test_a_satellite_where_nobody_came_has_no_share() -> None:
    assert sde.nano_of_satellite_delegate(6 * sde.NANO, 0, 379, 0) == 0
    assert sde.nano_of_satellite_delegate(6 * sde.NANO, 0, 0, 0) == 0  # nor where the whole group stayed at home


def test_a_satellite_s_delegates_split_its_share() -> None:
    """24 of 379 people (the first district of 2020 shares 6 SDE) elect 5 delegates."""
    assert sde.nano_of_satellite_delegate(6 * sde.NANO, 24, 379, 5) == 75_989_445  # 6 x 24 / 379 / 5 = .0759894459


@given(st.lists(st.integers(0, 400), min_size=1, max_size=20), st.integers(1, 18))
def test_satellites_share_their_pool_but_for_what_rounding_leaves(people: list[int], pool: int) -> None:
    """A delegate loses less than a billionth of an SDE to rounding, and never gains."""
    together, shared = sum(people), Fraction(0)
    for present in people:
        elected = sde.satellite_delegates(present)
        each = sde.nano_of_satellite_delegate(pool * sde.NANO, present, together, elected)
        if present:
            assert 0 <= Fraction(pool * sde.NANO * present, together * elected) - each < 1
        shared += each * elected
    elected_in_all = sum(sde.satellite_delegates(present) for present in people)
    assert not together or 0 <= pool * sde.NANO - shared <= elected_in_all
