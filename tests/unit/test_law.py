"""The law of one precinct: viability and apportionment, on worked examples and on any precinct whatever."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from fractions import Fraction
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, event, given, settings
from hypothesis import strategies as st

from simulation.errors import InputError
from simulation.randomness import Integers
from simulation.rules import Status, law, outcomes, worksheet_json, worksheet_text
from simulation.rules.apportionment import award, is_lawful, settle
from simulation.rules.viability import is_viable, threshold

Precinct = tuple[list[int], int, int]  # sizes, delegates, attendance


def ints(values: Sequence[int]) -> Integers:
    return np.array(values, dtype=np.int64)


def dealt(sizes: Sequence[int], delegates: int, attendance: int, lots: Sequence[int]) -> tuple[Status, tuple[int, ...]]:
    seats = ints([0] * len(sizes))
    status = award(ints(sizes), delegates, attendance, ints(lots), seats)
    return Status(status), tuple(seats.tolist())


@st.composite
def precincts(draw: st.DrawFn, *, corrupt: bool = True) -> Precinct:
    """Few people and few distinct sizes, so that ties, drop-outs and empty awards are common."""
    sizes = draw(st.lists(st.integers(0, 12) | st.sampled_from([5, 10, 20, 40]), min_size=1, max_size=8))
    delegates = draw(st.integers(1, 12) | st.integers(1, 40))
    left = draw(st.integers(0, 40))
    attendance = sum(sizes) + left
    if corrupt and draw(st.integers(0, 4)) == 0:
        attendance = draw(st.integers(1, max(1, sum(sizes))))
    return sizes, delegates, max(1, attendance)


def by_the_book(sizes: Sequence[int], delegates: int, attendance: int) -> set[tuple[int, ...]]:
    """The rules as they are read aloud, one delegate at a time, following every result of every coin toss."""
    share = {1: Fraction(0), 2: Fraction(1, 4), 3: Fraction(1, 6)}.get(delegates, Fraction(15, 100))
    viable = frozenset(i for i, size in enumerate(sizes) if size > 0 and size >= share * attendance)
    if delegates == 1:
        return {tuple(int(i == winner) for i in range(len(sizes))) for winner in viable if sizes[winner] == max(sizes)}
    if len(viable) > delegates:
        staying = {viable}
        for _ in range(len(viable) - delegates):
            staying = {left - {out} for left in staying for out in left if sizes[out] == min(sizes[i] for i in left)}
        return {tuple(int(i in left) for i in range(len(sizes))) for left in staying}

    quotients = [Fraction(size * delegates, attendance) for size in sizes]
    decimals = [quotient - int(quotient) for quotient in quotients]
    start = tuple(int(q + Fraction(1, 2)) if i in viable else 0 for i, q in enumerate(quotients))
    lawful = set()
    frontier = {(start, frozenset[int]())}
    while frontier:
        ahead = set()
        for seats, corrected in frontier:
            if sum(seats) == delegates:
                lawful.add(seats)
                continue
            if sum(seats) < delegates:
                may = [i for i in viable - corrected if decimals[i] < Fraction(1, 2)]
                best = max((decimals[i] for i in may), default=None)
                change = 1
            else:
                may = [i for i in viable - corrected if decimals[i] >= Fraction(1, 2) and seats[i] > 1]
                may = may or [i for i in viable - corrected if seats[i] > 1]
                best = min((decimals[i] for i in may), default=None)
                change = -1
            for i in may:
                if decimals[i] == best:
                    moved = (*seats[:i], seats[i] + change, *seats[i + 1 :])
                    ahead.add((moved, corrected | {i}))
        frontier = ahead
    return lawful


# Viability


@pytest.mark.parametrize(
    ("attendance", "delegates", "smallest"),
    [
        (45, 3, 8),
        (25, 5, 4),
        (40, 2, 10),
        (60, 18, 9),  # exactly 15 %: rounding up changes nothing
        (210, 8, 32),
        (41, 2, 11),
        (6, 3, 1),
        (7, 3, 2),  # one seventh of a person above a sixth is enough to round up
        (100, 1, 0),  # one delegate: no preference groups
    ],
)
def test_the_threshold_is_the_fraction_of_the_rules_always_rounded_up(
    attendance: int, delegates: int, smallest: int
) -> None:
    assert threshold(delegates, attendance) == smallest


@given(st.integers(2, 40), st.integers(1, 2_000))
def test_the_threshold_is_the_smallest_size_that_reaches_the_exact_fraction(delegates: int, attendance: int) -> None:
    share = {2: Fraction(1, 4), 3: Fraction(1, 6)}.get(delegates, Fraction(15, 100))
    smallest = threshold(delegates, attendance)
    assert smallest >= share * attendance > smallest - 1
    assert is_viable(smallest, delegates, attendance)
    assert not is_viable(smallest - 1, delegates, attendance)


def test_a_group_of_nobody_is_never_viable() -> None:
    assert not is_viable(0, 1, 30)
    assert not is_viable(0, 4, 0)


# Worked examples


@pytest.mark.parametrize(
    ("attendance", "delegates", "sizes", "awards"),
    [
        pytest.param(100, 7, [20, 18, 27, 19, 16], [(2, 1, 2, 1, 1)], id="the highest decimal below .5 gains one"),
        pytest.param(60, 5, [20, 20, 20], [(2, 2, 1), (2, 1, 2), (1, 2, 2)], id="three equal groups toss a coin"),
        pytest.param(
            100, 8, [15, 45, 20, 20], [(1, 4, 2, 1), (1, 4, 1, 2), (1, 3, 2, 2)], id="only the three .6 decimals toss"
        ),
        pytest.param(24, 3, [16, 7, 7], [(1, 1, 1)], id="nobody rounded up can give: who holds more than one does"),
        pytest.param(248, 10, [83, 62, 79, 81], [(3, 2, 2, 3)], id="who was rounded up gives first, then the policy"),
        pytest.param(5, 3, [3, 1, 1], [(1, 1, 1)], id="no group loses its only delegate"),
        pytest.param(40, 4, [10, 10, 10, 10], [(1, 1, 1, 1)], id="quotients that are whole need no correction"),
        pytest.param(100, 8, [15, 15, 15, 15], [(2, 2, 2, 2)], id="many left: four additions for four groups, no tie"),
        pytest.param(12, 2, [4, 4, 3], [(1, 1, 0)], id="three viable groups for two delegates: the smallest drops out"),
        pytest.param(12, 2, [6, 3, 3], [(1, 1, 0), (1, 0, 1)], id="two smallest groups toss for who drops out"),
        pytest.param(9, 1, [4, 1, 4], [(1, 0, 0), (0, 0, 1)], id="one delegate: each plurality leader"),
        pytest.param(9, 1, [4, 5, 0], [(0, 1, 0)], id="one delegate: the largest group"),
        pytest.param(75, 10, [23, 27], [], id="one addition a group does not reach ten"),
        pytest.param(61, 10, [65, 108, 74, 92], [], id="five times as many people as were counted"),
        pytest.param(30, 4, [1, 0, 2], [], id="nobody is viable"),
    ],
)
def test_the_awards_that_the_rules_allow(
    attendance: int, delegates: int, sizes: list[int], awards: list[tuple[int, ...]]
) -> None:
    found = outcomes(sizes, delegates, attendance)
    assert list(found.awards) == awards
    assert found.tie == (len(awards) > 1)


@pytest.mark.parametrize(
    ("attendance", "delegates", "sizes", "by_policy"),
    [
        pytest.param(75, 10, [23, 27], [5, 5], id="round and round until ten are reached"),
        pytest.param(75, 9, [23, 26], [4, 5], id="the highest decimal first, also among those rounded up"),
        pytest.param(100, 9, [20, 20], [[5, 4], [4, 5]], id="equal decimals toss for the last one"),
        pytest.param(61, 10, [65, 108, 74, 92], None, id="no policy where too many cannot be taken back"),
        pytest.param(30, 4, [1, 0, 2], None, id="no policy where nobody is viable"),
        pytest.param(100, 7, [20, 18, 27, 19, 16], None, id="no policy beside a lawful award"),
    ],
)
def test_the_named_policy_stands_apart_from_the_law(
    attendance: int, delegates: int, sizes: list[int], by_policy: list[Any] | None
) -> None:
    sheet = worksheet_json(sizes, delegates, attendance)
    assert sheet["by_policy"] == by_policy
    assert by_policy is None or sheet["outcomes"] == []


def test_the_coin_favors_the_lowest_lot() -> None:
    assert dealt([20, 20, 20], 5, 60, [3, 1, 2]) == (Status.GAVE_BACK, (1, 2, 2))  # the highest lot gives back
    assert dealt([5, 7, 5, 7, 5], 8, 29, [3, 1, 2, 0, 4]) == (Status.GAINED, (1, 2, 2, 2, 1))  # Adams 1, 2020
    assert dealt([7, 11, 7, 6, 6], 4, 37, [0, 1, 2, 4, 3]) == (Status.DROPPED, (1, 1, 1, 0, 1))  # Readlyn, 2020
    assert dealt([4, 1, 4], 1, 9, [2, 0, 1]) == (Status.PLURALITY, (0, 0, 1))
    assert dealt([20, 20], 9, 100, [1, 0]) == (Status.BY_POLICY, (4, 5))


# Any precinct


@settings(max_examples=250)
@given(precincts())
def test_the_awards_are_those_of_the_rules_followed_one_delegate_at_a_time(precinct: Precinct) -> None:
    found = outcomes(*precinct)
    event(found.status.name)
    assert set(found.awards) == by_the_book(*precinct)
    assert len(set(found.awards)) == len(found.awards)


@settings(max_examples=250)
@given(precincts())
def test_awards_sum_to_the_delegates_and_go_to_viable_groups_none_of_which_loses_its_only_one(
    precinct: Precinct,
) -> None:
    found = outcomes(*precinct)
    for seats in (*found.awards, *(found.by_policy or ())):
        assert sum(seats) == found.delegates
        for held, group in zip(seats, found.groups, strict=True):
            assert group.viable or held == 0
            assert held >= 1 or not group.viable or found.status in (Status.DROPPED, Status.PLURALITY)


@settings(max_examples=200)
@given(precincts())
def test_a_coin_is_tossed_exactly_where_there_is_more_than_one_result(precinct: Precinct) -> None:
    found = outcomes(*precinct)
    several = len(found.awards or found.by_policy or ()) > 1
    assert bool(found.tied) == several
    assert found.places in (range(1, len(found.tied)) if several else (0,))
    assert ("coin" in worksheet_text(*precinct)) == several


@given(precincts(corrupt=False))
def test_a_precinct_where_everybody_stayed_in_a_viable_group_always_has_a_lawful_award(precinct: Precinct) -> None:
    sizes, delegates, _ = precinct
    assume(any(sizes))
    found = outcomes(sizes, delegates, sum(sizes))
    assume(all(group.viable for group in found.groups if group.size))
    assert found.awards


@given(precincts(), st.randoms(use_true_random=False))
def test_relabeling_groups_changes_nothing(precinct: Precinct, shuffler: Random) -> None:
    sizes, delegates, attendance = precinct
    order = list(range(len(sizes)))
    shuffler.shuffle(order)
    before = outcomes(sizes, delegates, attendance)
    after = outcomes([sizes[i] for i in order], delegates, attendance)
    assert set(after.awards) == {tuple(seats[i] for i in order) for seats in before.awards}
    assert set(after.by_policy or ()) == {tuple(seats[i] for i in order) for seats in before.by_policy or ()}
    assert after.status == before.status


@given(precincts(), st.integers(2, 9))
def test_a_precinct_so_many_times_as_large_elects_the_same(precinct: Precinct, factor: int) -> None:
    sizes, delegates, attendance = precinct
    small = worksheet_json(sizes, delegates, attendance)
    large = worksheet_json([size * factor for size in sizes], delegates, attendance * factor)
    for key in ("outcomes", "tie", "by_policy"):
        assert large[key] == small[key]
    for key in ("viable", "quotient", "rounded"):
        assert [group[key] for group in large["groups"]] == [group[key] for group in small["groups"]]


@settings(max_examples=200)
@given(precincts(), st.randoms(use_true_random=False))
def test_whatever_the_coins_say_the_award_is_among_the_outcomes(precinct: Precinct, shuffler: Random) -> None:
    sizes, delegates, attendance = precinct
    lots = list(range(len(sizes)))
    shuffler.shuffle(lots)
    found = outcomes(*precinct)
    status, seats = dealt(sizes, delegates, attendance, lots)
    assert status is found.status
    if status is Status.NO_AWARD:
        assert not any(seats)
    else:
        assert seats in (found.awards or found.by_policy or ())


@settings(max_examples=200)
@given(precincts())
def test_every_outcome_is_reached_by_some_coins(precinct: Precinct) -> None:
    sizes, delegates, attendance = precinct
    found = outcomes(*precinct)
    for wanted in (found.awards or found.by_policy or ())[:50]:
        favored_first = sorted(range(len(sizes)), key=lambda i: found.settled[i] - wanted[i])
        lots = [favored_first.index(i) for i in range(len(sizes))]
        assert dealt(sizes, delegates, attendance, lots) == (found.status, wanted)


@settings(max_examples=200)
@given(precincts(), st.data())
def test_an_award_is_lawful_exactly_when_it_is_among_the_outcomes(precinct: Precinct, data: st.DataObject) -> None:
    sizes, delegates, attendance = precinct
    found = outcomes(*precinct)
    assert all(is_lawful(ints(sizes), delegates, attendance, ints(seats)) for seats in found.awards)
    near = list(found.settled)
    for _ in range(data.draw(st.integers(0, 3))):  # a few delegates off what is settled before the coin
        near[data.draw(st.integers(0, len(sizes) - 1))] += data.draw(st.sampled_from([-1, 1]))
    assert is_lawful(ints(sizes), delegates, attendance, ints(near)) == (tuple(near) in found.awards)


@settings(max_examples=200)
@given(precincts())
def test_compiled_law_and_plain_python_are_one(precinct: Precinct) -> None:
    sizes, delegates, attendance = precinct
    least = law.threshold(delegates, attendance)
    assert least == threshold(delegates, attendance)
    plain_seats, plain_tied = [0] * len(sizes), [0] * len(sizes)
    seats, tied = ints(plain_seats), ints(plain_tied)
    plain = law.settle(sizes, delegates, attendance, least, plain_seats, plain_tied)
    assert settle(ints(sizes), delegates, attendance, least, seats, tied) == plain
    assert (seats.tolist(), tied.tolist()) == (plain_seats, plain_tied)


def test_nobody_attending_elects_nobody() -> None:
    assert dealt([0, 0], 4, 0, [0, 1]) == (Status.NO_AWARD, (0, 0))
    assert dealt([3, 2], 4, 0, [0, 1]) == (Status.NO_AWARD, (0, 0))


# What people are shown


def test_the_worksheet_has_exactly_the_promised_keys() -> None:
    assert worksheet_json([20, 18, 27, 19, 13], 7, 100) == {
        "delegates": 7,
        "attendance": 100,
        "threshold": 15,
        "groups": [
            {"size": 20, "viable": True, "quotient": "7/5", "rounded": 1},
            {"size": 18, "viable": True, "quotient": "63/50", "rounded": 1},
            {"size": 27, "viable": True, "quotient": "189/100", "rounded": 2},
            {"size": 19, "viable": True, "quotient": "133/100", "rounded": 1},
            {"size": 13, "viable": False, "quotient": "91/100", "rounded": 0},
        ],
        "outcomes": [[2, 1, 2, 2, 0]],
        "tie": False,
        "by_policy": None,
    }
    assert worksheet_json([4, 1], 1, 5)["threshold"] is None
    assert worksheet_json([16, 7, 7], 3, 24)["groups"][0]["quotient"] == "2"


@settings(max_examples=150)
@given(precincts())
def test_the_printed_worksheet_fits_the_page_and_ends_with_every_result(precinct: Precinct) -> None:
    found = outcomes(*precinct)
    text = worksheet_text(*precinct)
    assert max(map(len, text.splitlines())) <= 100
    result = text[text.index("Result") :]
    shown = [line.strip() for line in result.splitlines()]
    for seats in (found.awards or found.by_policy or ())[:12]:
        assert " / ".join(map(str, seats)) in shown
    assert ("no lawful award" in result or "nobody is viable" in result) == (not found.awards)


def test_a_decimal_just_below_a_half_is_not_shown_as_a_half() -> None:
    """Rounded for display, 49999/100000 would read .5000 beside a group that was rounded down."""
    text = worksheet_text([49_999, 50_001], 2, 100_000)
    assert "0.9999... (49999/50000)" in text
    text = worksheet_text([149_999, 150_001], 5, 300_000)
    assert "2.4999... (149999/60000)" in text


def test_numbers_that_no_precinct_can_have_are_refused_all_at_once() -> None:
    with pytest.raises(InputError) as refused:
        outcomes([3, -1, 2_000_000], 0, 0)
    assert [problem.split(":")[0] for problem in refused.value.problems] == [
        "delegates",
        "attendance",
        "group 2",
        "group 3",
    ]
    for sizes in ([], [1] * 21):
        with pytest.raises(InputError, match=r"groups: .* from 1 to 20"):
            outcomes(sizes, 5, 100)


def test_the_worksheet_needs_neither_numba_nor_numpy() -> None:
    """`caucus math` answers at once: importing numba alone takes longer than a person expects to wait."""
    code = (
        "import sys; from simulation.rules import worksheet_text; worksheet_text([20, 18, 27, 19, 16], 7, 100);"
        "assert not {'numba', 'numpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30, env={"PYTHONPATH": ":".join(sys.path)})
