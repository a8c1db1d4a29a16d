"""Alignment under the rules of 2016 and of 2020: who may move, and what no final alignment can look like."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulation.randomness import Integers
from simulation.rules.alignment import (
    FINAL_EXCEEDS_FIRST,
    FREE_2016,
    LOCKED_2020,
    UNLIMITED,
    VIABLE_GROUP_SHRANK,
    may_move,
    rounds,
    violations,
)
from simulation.rules.viability import is_viable


def ints(values: Sequence[int]) -> Integers:
    return np.array(values, dtype=np.int64)


def test_in_2020_only_members_of_nonviable_groups_may_move_and_only_once() -> None:
    assert may_move(LOCKED_2020, False)
    assert not may_move(LOCKED_2020, True)
    assert rounds(LOCKED_2020) == 1


def test_in_2016_anybody_may_move_again_and_again() -> None:
    assert may_move(FREE_2016, False)
    assert may_move(FREE_2016, True)
    assert rounds(FREE_2016) == UNLIMITED > 1_000_000


@pytest.mark.parametrize(
    ("first", "final", "delegates", "regime", "broken"),
    [
        pytest.param([20, 18, 2], [22, 18, 0], 5, LOCKED_2020, 0, id="the nonviable join a viable group"),
        pytest.param([20, 18, 2], [20, 18, 0], 5, LOCKED_2020, 0, id="the nonviable leave"),
        pytest.param([20, 18, 2], [19, 18, 2], 5, LOCKED_2020, VIABLE_GROUP_SHRANK, id="a viable group loses one"),
        pytest.param([20, 18, 2], [0, 40, 0], 5, FREE_2016, 0, id="2016: a viable group dissolves"),
        pytest.param([20, 18, 2], [21, 18, 2], 5, FREE_2016, FINAL_EXCEEDS_FIRST, id="one person too many"),
        pytest.param([20, 18, 2], [19, 20, 2], 5, LOCKED_2020, FINAL_EXCEEDS_FIRST, id="too many: no group is blamed"),
        pytest.param(
            [20, 15, 5], [40, 0, 0], 1, LOCKED_2020, 0, id="one delegate: no preference groups, nobody locked"
        ),
        pytest.param([4, 4, 4], [6, 6, 0], 2, LOCKED_2020, 0, id="three viable groups for two delegates must merge"),
        pytest.param([4, 4, 4], [6, 6, 0], 3, LOCKED_2020, VIABLE_GROUP_SHRANK, id="three for three need not merge"),
    ],
)
def test_what_an_alignment_breaks(first: list[int], final: list[int], delegates: int, regime: int, broken: int) -> None:
    assert violations(ints(first), ints(final), delegates, sum(first), regime) == broken


@settings(max_examples=200)
@given(st.lists(st.integers(0, 30), min_size=1, max_size=8), st.integers(1, 15), st.data())
def test_any_evening_played_by_the_rules_of_2020_breaks_none_of_them(
    first: list[int], delegates: int, data: st.DataObject
) -> None:
    """Members of nonviable groups join another group, stay or leave; nobody else moves."""
    attendance = sum(first)
    final = list(first)
    for group, size in enumerate(first):
        if may_move(LOCKED_2020, is_viable(size, delegates, attendance)):
            moving = data.draw(st.integers(0, size))
            final[group] -= moving
            target = data.draw(st.integers(-1, len(first) - 1))
            if target >= 0:
                final[target] += moving
    assert violations(ints(first), ints(final), delegates, attendance, LOCKED_2020) == 0
    assert violations.py_func(ints(first), ints(final), delegates, attendance, LOCKED_2020) == 0  # type: ignore[attr-defined]  # numba's
