"""Alignment under the rules of 2016 and of 2020: who may move, and what no final alignment can look like."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulation.rules.alignment import FREE_2016, LOCKED_2020, UNLIMITED, may_move, rounds
from simulation.rules.law import is_viable
from simulation.rules.record import FINAL_EXCEEDS_FIRST, VIABLE_GROUP_SHRANK, broken_by_alignment


def test_in_2020_only_members_of_nonviable_groups_may_move_and_only_once() -> None:
    assert may_move(LOCKED_2020, False)
    assert not may_move(LOCKED_2020, True)
    assert rounds(LOCKED_2020) == 1


def test_in_2016_anybody_may_move_again_and_again() -> None:
    assert may_move(FREE_2016, False)
    assert may_move(FREE_2016, True)
    assert rounds(FREE_2016) == UNLIMITED > 1_000_000


@pytest.mark.parametrize(
    ("first", "final", "delegates", "broken"),
    [
        pytest.param([20, 18, 2], [22, 18, 0], 5, 0, id="the nonviable join a viable group"),
        pytest.param([20, 18, 2], [20, 18, 0], 5, 0, id="the nonviable leave"),
        pytest.param([20, 18, 2], [19, 18, 2], 5, VIABLE_GROUP_SHRANK, id="a viable group loses one"),
        pytest.param([20, 18, 2], [21, 18, 2], 5, FINAL_EXCEEDS_FIRST, id="one person too many"),
        pytest.param([20, 18, 2], [19, 20, 2], 5, FINAL_EXCEEDS_FIRST, id="too many: no group is blamed"),
        pytest.param([20, 15, 5], [40, 0, 0], 1, 0, id="one delegate: no preference groups, nobody locked"),
        pytest.param([4, 4, 4], [6, 6, 0], 2, 0, id="three viable groups for two delegates must merge"),
        pytest.param([4, 4, 4], [6, 6, 0], 3, VIABLE_GROUP_SHRANK, id="three for three need not merge"),
    ],
)
def test_what_an_alignment_breaks(first: list[int], final: list[int], delegates: int, broken: int) -> None:
    assert broken_by_alignment(first, final, delegates, sum(first), sum(final)) == broken


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
    assert broken_by_alignment(first, final, delegates, attendance, sum(final)) == 0
