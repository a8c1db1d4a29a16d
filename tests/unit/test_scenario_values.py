"""What a single value of a scenario file may be: clock times, durations, shares, factors, counts, assumptions."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulation.scenario.values import (
    DAY,
    FACTOR,
    FULL_SHARE,
    HOUR,
    LONGEST,
    MINUTE,
    SECOND,
    Assumption,
    format_clock,
    format_duration,
    parse_clock,
    parse_count,
    parse_duration,
    parse_factor,
    parse_positive,
    parse_share,
    read_assumption,
)


@given(st.integers(0, LONGEST // SECOND).map(lambda seconds: seconds * SECOND))
def test_every_whole_second_of_twenty_days_survives_being_written_as_a_clock_time(at: int) -> None:
    assert parse_clock(format_clock(at)) == at


@given(st.integers(0, LONGEST))
def test_every_duration_survives_being_written_with_its_unit(duration: int) -> None:
    assert parse_duration(format_duration(duration)) == duration


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("19:00", 19 * HOUR),
        ("0:05", 5 * MINUTE),
        ("18:30:15", 18 * HOUR + 30 * MINUTE + 15 * SECOND),
        ("+1d 02:00", DAY + 2 * HOUR),
        ("+20d 00:00", LONGEST),
    ],
)
def test_a_clock_time_counts_from_midnight_of_caucus_day(text: str, at: int) -> None:
    assert parse_clock(text) == at


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        ("45 s", 45 * SECOND),
        ("45s", 45 * SECOND),
        ("1.5 h", 90 * MINUTE),
        ("250 ms", 250),
        ("2 d", 2 * DAY),
        ("0 s", 0),
        ("0.0005 s", 0),  # half of a millisecond: to the even one
        ("0.0015 s", 2),
    ],
)
def test_a_duration_has_a_unit_and_may_have_decimals(text: str, duration: int) -> None:
    assert parse_duration(text) == duration


@given(st.decimals(0, 1, places=6))
def test_a_share_is_exact_to_one_part_in_two_to_the_33rd(share: object) -> None:
    number = float(str(share))
    assert abs(Fraction(parse_share(number), FULL_SHARE) - Fraction(str(share))) <= Fraction(1, 2**33)


@pytest.mark.parametrize(
    ("parse", "value", "expected"),
    [
        (parse_share, 1, FULL_SHARE),
        (parse_share, 0, 0),
        (parse_share, 0.5, FULL_SHARE // 2),
        (parse_factor, 1, FACTOR),
        (parse_factor, 1.3, 1_300_000),
        (parse_count, 0, 0),
        (parse_positive, 1, 1),
    ],
)
def test_numbers_become_integers_in_their_unit(parse: Callable[[object], int], value: object, expected: int) -> None:
    assert parse(value) == expected


@pytest.mark.parametrize(
    ("parse", "value", "would_do"),
    [
        (parse_clock, "24:00", '"19:00"'),
        (parse_clock, "19:60", '"19:00"'),
        (parse_clock, "7 pm", '"19:00"'),
        (parse_clock, "+1d02:00", '"+1d 16:00"'),
        (parse_clock, "+21d 00:00", '"+20d 00:00"'),
        (parse_clock, 1900, '"19:00"'),
        (parse_duration, "45", '"45 s"'),
        (parse_duration, 45, '"45 s"'),
        (parse_duration, "-5 min", '"12 min"'),
        (parse_duration, "21 d", "at most 20 d"),
        (parse_duration, "5 minutes", "ms, s, min, h, d"),
        (parse_share, 1.01, "between 0 and 1"),
        (parse_share, -0.1, "between 0 and 1"),
        (parse_share, "20 %", "between 0 and 1"),
        (parse_share, True, "between 0 and 1"),
        (parse_share, float("nan"), "between 0 and 1"),
        (parse_factor, 0, "above 0"),
        (parse_factor, 1001, "up to 1000"),
        (parse_factor, float("inf"), "above 0"),
        (parse_count, 2.0, "whole number"),
        (parse_count, -1, "0 or more"),
        (parse_count, False, "whole number"),
        (parse_positive, 0, "1 or more"),
        (parse_positive, True, "1 or more"),
    ],
)
def test_nonsense_is_refused_with_what_would_do(parse: Callable[[object], int], value: object, would_do: str) -> None:
    with pytest.raises(ValueError, match=r".") as refusal:
        parse(value)
    assert would_do in str(refusal.value)


# Assumptions

RANGES = st.tuples(st.integers(0, LONGEST), st.integers(0, LONGEST)).map(sorted).map(tuple)
WORD = st.integers(0, 2**32 - 1)


@given(RANGES, WORD, WORD)
def test_an_assumption_lies_in_its_range_and_rises_with_its_luck(
    ends: tuple[int, int], first: int, second: int
) -> None:
    assumption = Assumption(*ends)
    low, high = sorted((first, second))
    assert ends[0] <= assumption.at(low) <= assumption.at(high) <= ends[1]
    assert (assumption.at(0), assumption.at(2**32 - 1)) == ends or ends[1] - ends[0] >= 2**31


@given(RANGES)
def test_the_middle_of_a_range_is_the_mean_of_its_ends(ends: tuple[int, int]) -> None:
    assert Assumption(*ends).middle == (ends[0] + ends[1] + 1) // 2


def test_a_range_of_counts_reaches_every_count_equally_often() -> None:
    attempts = Assumption(1, 3)
    drawn = [attempts.at((2 * k + 1) * 2**31 // 300) for k in range(300)]
    assert [drawn.count(n) for n in (1, 2, 3)] == [100, 100, 100]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (3, Assumption(3, 3)),
        ({"value": 3, "source": "P"}, Assumption(3, 3, "P")),
        ({"low": 1, "high": 3, "source": "J"}, Assumption(1, 3, "J")),
        ({"low": 2, "high": 2}, Assumption(2, 2)),
    ],
)
def test_an_assumption_is_a_value_or_a_range_with_its_source(value: object, expected: Assumption) -> None:
    assert read_assumption(value, parse_count) == expected


@pytest.mark.parametrize(
    ("value", "would_do"),
    [
        ({"low": 3, "high": 1}, "low is not above its high"),
        ({"low": 3}, "a range { low, high"),
        ({"low": 3, "hihg": 4}, "a range { low, high"),
        ({"value": 3, "low": 1, "high": 4}, "a range { low, high"),
        ({"value": 3, "source": 7}, "where the number comes from"),
        ({"value": "three"}, "whole number"),
        ({"low": 1, "high": 2.5}, "whole number"),
        ([1, 3], "whole number"),
        ({}, "a range { low, high"),
    ],
)
def test_a_range_that_is_none_is_refused_with_what_would_do(value: object, would_do: str) -> None:
    with pytest.raises(ValueError, match=r".") as refusal:
        read_assumption(value, parse_count)
    assert would_do in str(refusal.value)
