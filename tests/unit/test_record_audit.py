"""The audit of one record: each kind of finding where it belongs, and nowhere else."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulation.randomness import Integers
from simulation.rules import outcomes
from simulation.rules.audit import KINDS, check, explain


def ints(values: Sequence[int]) -> Integers:
    return np.array(values, dtype=np.int64)


def findings(first: Sequence[int], final: Sequence[int], awarded: Sequence[int], delegates: int) -> list[str]:
    return explain(check(ints(first), ints(final), ints(awarded), delegates))


FIRST = [20, 18, 27, 19, 12, 4]
FINAL = [20, 18, 27, 19, 16, 0]


@pytest.mark.parametrize(
    ("first", "final", "awarded", "delegates", "found"),
    [
        pytest.param(FIRST, FINAL, [2, 1, 2, 1, 1, 0], 7, [], id="a clean record"),
        pytest.param(
            [60, 30, 10, 0],
            [60, 32, 10, 0],
            [6, 3, 0, 0],
            9,
            ["final_exceeds_first"],
            id="two people came out of nowhere",
        ),
        pytest.param(
            FIRST, FINAL, [1, 2, 2, 1, 1, 0], 7, ["award_not_by_rule", "more_votes_fewer_delegates"], id="18 beat 20"
        ),
        pytest.param(FIRST, FINAL, [1, 1, 3, 1, 1, 0], 7, ["award_not_by_rule"], id="the wrong group gained"),
        pytest.param(
            FIRST,
            FINAL,
            [2, 1, 2, 1, 2, 0],
            7,
            ["award_not_by_rule", "awarded_not_allotted", "more_votes_fewer_delegates"],
            id="eight of seven",
        ),
        pytest.param([60, 40], [55, 40], [6, 4], 10, ["viable_group_shrank"], id="five locked people left"),
        pytest.param(
            [50, 45, 5], [50, 45, 5], [5, 4, 1], 10, ["award_not_by_rule", "nonviable_awarded"], id="5 of 100 elect one"
        ),
        pytest.param(
            [10, 10, 7, 6, 6],
            [10, 10, 7, 6, 6],
            [2, 2, 1, 1, 0],
            6,
            ["award_not_by_rule", "viable_group_unawarded"],
            id="a viable group of 6 elects nobody (Rock Rapids 8, 2020)",
        ),
        pytest.param(
            [11, 7, 7, 6, 6],
            [11, 7, 7, 6, 6],
            [1, 1, 1, 0, 1],
            4,
            [],
            id="five viable groups, four delegates: a coin (Readlyn, 2020)",
        ),
        pytest.param(
            [23, 27, 25],
            [23, 27, 0],
            [5, 5, 0],
            10,
            ["award_not_by_rule", "viable_group_shrank"],
            id="what the policy gives is no lawful award",
        ),
        pytest.param(
            [0, 0, 0],
            [48, 66, 101],
            [2, 3, 5],
            10,
            ["final_exceeds_first", "missing_alignment"],
            id="no first alignment (Des Moines 80, 2020)",
        ),
        pytest.param(
            [40, 14], [0, 0], [9, 9], 5, ["missing_alignment"], id="no final alignment: the award is not judged"
        ),
        pytest.param([40, 14], [0, 0], [0, 1], 1, ["missing_alignment"], id="nor where one delegate is elected"),
        pytest.param(
            [2, 1, 1, 1], [4, 0, 0, 1], [1, 0, 0, 0], 1, [], id="one delegate: the largest group (Harris, 2020)"
        ),
        pytest.param([4, 4, 1], [4, 4, 1], [0, 1, 0], 1, [], id="one delegate: a leader among two"),
        pytest.param(
            [4, 8, 1], [4, 8, 1], [1, 0, 0], 1, ["single_delegate_not_plurality"], id="one delegate: the second largest"
        ),
        pytest.param(
            [4, 4, 1], [4, 4, 1], [1, 1, 0], 1, ["single_delegate_not_plurality"], id="one delegate: two awarded"
        ),
        pytest.param(
            [4, 4, 1], [4, 4, 1], [0, 0, 0], 1, ["single_delegate_not_plurality"], id="one delegate: none awarded"
        ),
        pytest.param(
            [9, 1], [4, 4], [2, -1], 1, ["single_delegate_not_plurality"], id="one delegate: two less one is not one"
        ),
        pytest.param(
            [9, 1], [4, 7], [0, 1], 1, ["final_exceeds_first"], id="one delegate: totals are compared all the same"
        ),
    ],
)
def test_a_record_is_found_out(
    first: list[int], final: list[int], awarded: list[int], delegates: int, found: list[str]
) -> None:
    assert findings(first, final, awarded, delegates) == found


@settings(max_examples=200)
@given(st.lists(st.integers(0, 30), min_size=1, max_size=8), st.integers(2, 15), st.data())
def test_an_honest_record_is_never_found_fault_with(sizes: list[int], delegates: int, data: st.DataObject) -> None:
    """Everybody stays where he stood and the award is one that the rules allow: no finding, whatever the coins said."""
    attendance = sum(sizes)
    if attendance == 0 or not (lawful := outcomes(sizes, delegates, attendance).awards):
        return
    assert findings(sizes, sizes, data.draw(st.sampled_from(lawful)), delegates) == []


@settings(max_examples=200)
@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30), st.integers(0, 6)), min_size=1, max_size=8),
    st.integers(1, 15),
    st.randoms(use_true_random=False),
)
def test_the_order_of_the_groups_changes_no_finding(
    groups: list[tuple[int, int, int]], delegates: int, shuffler: Random
) -> None:
    shuffled = list(groups)
    shuffler.shuffle(shuffled)
    first, final, awarded = zip(*groups, strict=True)
    found = findings(first, final, awarded, delegates)
    moved_first, moved_final, moved_awarded = zip(*shuffled, strict=True)
    assert findings(moved_first, moved_final, moved_awarded, delegates) == found
    plain = check.py_func(ints(first), ints(final), ints(awarded), delegates)  # type: ignore[attr-defined]  # numba's
    assert explain(plain) == found


def test_each_kind_has_a_bit_of_its_own_and_says_what_it_means_in_one_line() -> None:
    bits = [kind.bit for kind in KINDS.values()]
    assert sum(bits) == (1 << len(bits)) - 1
    assert explain(sum(bits)) == list(KINDS)
    for kind in KINDS.values():
        for line in (kind.meaning, kind.rule, kind.remedy):
            assert line
            assert len(line.splitlines()) == 1
