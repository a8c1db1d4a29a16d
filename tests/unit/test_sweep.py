"""Keys varied over a grid: how they are written, what is measured at each point, where a curve has its knee."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulation.errors import InputError
from simulation.experiment.measures import Measure, parse_measure
from simulation.experiment.sweep import (
    Axis,
    Curve,
    Spread,
    Sweep,
    check_axes,
    finding,
    findings,
    kneedle,
    parse_vary,
    surface_finding,
)
from simulation.report.sweep import page
from simulation.scenario import load
from simulation.scenario.values import DAY, HOUR, MINUTE

OPERATORS = "hotline.operators"
COST, HOLD, HELD, BY = (parse_measure(name) for name in ("cost", "hold_p90", "reported@23:00", "reported_by_95"))


# --vary


@pytest.mark.parametrize(
    ("text", "values", "numbers"),
    [
        ("k=20:100:40", (20, 60, 100), (20, 60, 100)),
        ("k=20:90:40", (20, 60), (20, 60)),
        ("k=0.1:0.4:0.1", (0.1, 0.2, 0.3, 0.4), (0.1, 0.2, 0.3, 0.4)),
        ("k = 1:2:0.5", (1, 1.5, 2), (1, 1.5, 2)),
        ("k=10 min:20 min:5 min", ("10 min", "15 min", "20 min"), (10 * MINUTE, 15 * MINUTE, 20 * MINUTE)),
        ("k=30 min:1.5 h:30 min", ("30 min", "1 h", "90 min"), (HOUR // 2, HOUR, 90 * MINUTE)),
        ("k=18:00:19:00:30 min", ("18:00", "18:30", "19:00"), (18 * HOUR, 18.5 * HOUR, 19 * HOUR)),
        ("k=+1d 01:00:+1d 02:00:1 h", ("+1d 01:00", "+1d 02:00"), (DAY + HOUR, DAY + 2 * HOUR)),
        ("k=40%:80%:20%", (0.4, 0.6, 0.8), (0.4, 0.6, 0.8)),
        ("k=0 %:100 %:50 %", (0, 0.5, 1), (0, 0.5, 1)),
        ("k=40%,12.5%", (0.125, 0.4), (0.125, 0.4)),
        ("k=80,20,50", (20, 50, 80), (20, 50, 80)),
        ("k=20 min,90 s", ("90 s", "20 min"), (90_000, 20 * MINUTE)),
        ("k=19:00,18:00", ("18:00", "19:00"), (18 * HOUR, 19 * HOUR)),
        ('k="2016","2020"', ("2016", "2020"), None),
        ("k=2020,straw-poll", (2020, "straw-poll"), None),
        ("k=true,false", (True, False), None),
    ],
)
def test_a_range_or_a_list_becomes_values_that_set_takes(text: str, values: Any, numbers: Any) -> None:
    axis = parse_vary(text)
    assert axis.key == "k"
    assert axis.values == values
    assert axis.numbers == (None if numbers is None else pytest.approx(numbers))


@given(st.integers(0, 50), st.integers(1, 50), st.integers(1, 20))
def test_a_range_goes_in_equal_steps_and_never_beyond_its_end(start: int, length: int, step: int) -> None:
    text = f"k={start}:{start + length}:{step}"
    if step > length:
        with pytest.raises(InputError, match="beyond TO"):
            parse_vary(text)
        return
    assert parse_vary(text).values == tuple(range(start, start + length + 1, step))


@pytest.mark.parametrize(
    ("text", "accepted"),
    [
        ("hotline.operators", "expected KEY=FROM:TO:STEP"),
        ("=1:5:1", "expected KEY=FROM:TO:STEP"),
        ("k=", "expected KEY=FROM:TO:STEP"),
        ("k=1:5:0", "expected a step above 0"),
        ("k=1:5:-1", "expected a step above 0"),
        ("k=10 min:20 min:0 min", "expected a step above 0"),
        ("k=5:1:1", "FROM 5 is not below TO 1"),
        ("k=5:5:1", "FROM 5 is not below TO 5"),
        ("k=1:5:9", "leads beyond TO"),
        ("k=1:5000:1", "400 at most"),
        ("k=1 min:5:1", "of one kind"),
        ("k=18:00:19:00:15", "of one kind"),
        ("k=25:00:26:00:15 min", "a clock time such as"),
        ("k=7", "two values or more"),
        ("k=7,", "two values or more"),
        ("k=2,3,2", "each value once"),
    ],
)
def test_a_range_that_is_none_says_what_would_be(text: str, accepted: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_vary(text)
    assert len(caught.value.problems) == 1
    assert accepted in caught.value.problems[0]
    assert caught.value.problems[0].startswith(f"--vary {text}:")


def test_three_keys_a_key_twice_and_too_many_points_are_refused() -> None:
    wide, other = parse_vary("a=1:21:1"), parse_vary("b=1:20:1")
    check_axes([parse_vary("a=1:20:1"), other])
    for axes, accepted in (([wide, other], "400 at most"), ([other, other], "twice"), ([], "one or two")):
        with pytest.raises(InputError, match=accepted):
            check_axes(axes)
    with pytest.raises(InputError, match="one or two"):
        check_axes([parse_vary(f"{key}=1:2:1") for key in "abc"])


# The knee


def test_the_knee_of_the_curve_in_the_paper_is_where_the_paper_has_it() -> None:
    """Figure 2 of Satopaa et al.: y = -1 / (x + 0.1) + 5 bends at 0.22."""
    at = [k / 100 for k in range(101)]
    knee = kneedle(at, [-1 / (x + 0.1) + 5 for x in at])
    assert knee is not None
    assert at[knee] == pytest.approx(0.22, abs=0.015)


@given(st.floats(-100, 100), st.floats(0.1, 100), st.integers(3, 40))
def test_a_straight_or_flat_line_has_no_knee(start: float, slope: float, points: int) -> None:
    at = [float(k) for k in range(points)]
    assert kneedle(at, [start + slope * x for x in at]) is None
    assert kneedle(at, [start - slope * x for x in at]) is None
    assert kneedle(at, [start] * points) is None


@given(st.integers(1, 8), st.integers(3, 12), st.integers(-1000, 1000), st.integers(1, 1000))
def test_a_curve_that_goes_straight_and_then_stays_bends_where_it_stops(
    bend: int, rest: int, low: int, scale: int
) -> None:
    values = [low + scale * min(k, bend) for k in range(bend + rest)]
    at = [float(k) for k in range(len(values))]
    assert kneedle(at, values) == bend
    assert kneedle(at, [-value for value in values]) == bend
    late = kneedle(at, [-value for value in reversed(values)])  # flat first: the bend is where it begins to move
    assert late == len(values) - 1 - bend


def test_a_curve_that_turns_back_has_no_knee() -> None:
    at = [float(k) for k in range(7)]
    assert kneedle(at, [0, 6, 9, 10, 10, 10, 10]) == 2
    assert kneedle(at, [0, 9, 3, 8, 10, 10, 10]) is None
    assert kneedle(at, [0, 5, 10, 5, 0, 5, 1]) is None


def test_two_points_have_no_knee() -> None:
    assert kneedle([0, 1], [0, 5]) is None


# Points


def rows(*values: int) -> list[dict[str, Any]]:
    """Nights in which 95 % are held at these times; -1: never."""
    return [{"held_p95_at_ms": value} for value in values]


def test_results_that_never_come_lie_behind_all_others() -> None:
    spread = Spread.of(BY, rows(10, 20, -1, 30, 40))
    assert (spread.nights, spread.never, spread.mean, spread.p05, spread.p50, spread.p95) == (5, 1, 25, 10, 30, None)
    mostly = Spread.of(BY, rows(10, -1, -1))
    assert (mostly.p05, mostly.p50, mostly.mean) == (10, None, 10)
    assert Spread.of(BY, rows(-1, -1)) == Spread(2, 2, None, None, None, None)


def test_a_share_of_what_never_came_counts_in_no_quantile() -> None:
    occupancy = parse_measure("occupancy")
    found = Spread.of(
        occupancy,
        [{"operators_busy_ms": busy, "operators_on_duty_ms": duty} for busy, duty in ((1, 2), (0, 0), (1, 1))],
    )
    assert (found.never, found.p05, found.p95, found.mean) == (1, 0.5, 1, 0.75)


# What is found


def axis(values: Sequence[int], key: str = OPERATORS) -> Axis:
    return Axis(key, tuple(values), tuple(map(float, values)))


def curve(medians: Sequence[float | None], measure: Measure = COST, width: float = 1) -> Curve:
    spreads = [
        Spread(9, 0 if m is not None else 9, m, m if m is None else m - width, m, m if m is None else m + width)
        for m in medians
    ]
    return Curve(axis(range(20, 20 + 20 * len(medians), 20)), measure, spreads)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (
            curve([0.3, 0.6, 0.9, 0.92, 0.925], HELD, 0.01),
            "From 20 to 60 operators results held at 23:00 rise by 60 points; beyond 60, up to 100, by 2.5 points more",
        ),
        (
            curve([100, 200, 300, 400]),
            "From 20 to 80 operators the cost of the plan rises by $300, without a knee",
        ),
        (
            curve([60 * MINUTE, 30 * MINUTE, 0, 0, 0], HOLD),
            (
                "From 20 to 60 operators the hold of reports that one in ten exceeds falls by 1 h; beyond 60, up to "
                "100, not at all"
            ),
        ),
        (
            curve([None, None, DAY, DAY - HOUR], BY),
            (
                "The time at which 95 % of the results are in: never below 60 operators; from 00:00 there to 23:00 at "
                "80 operators"
            ),
        ),
        (curve([DAY, None, DAY, DAY], BY), "The time at which 95 % of the results are in: never at 40 operators"),
        (curve([5, 100, 5]), "From 20 to 60 operators the cost of the plan lies between $5 and $100"),
    ],
)
def test_a_curve_is_told_in_a_sentence(found: Curve, expected: str) -> None:
    assert finding(found) == expected


def test_a_curve_within_its_own_band_is_flat_and_has_no_knee() -> None:
    flat = curve([100, 104, 105, 105, 105], width=200)
    assert flat.is_flat
    assert flat.knee is None
    assert not curve([100, 104, 105, 105, 105], width=1).is_flat


def sweep_of(axes: list[Axis], measures: list[Measure], spreads: list[list[Spread]]) -> Sweep:
    return Sweep(load("baseline"), axes, measures, spreads, 9, 1, False, "compiled")


def test_what_moves_is_told_before_what_does_not() -> None:
    moving, still = curve([0, 10, 20, 20]), curve([5, 5, 5, 5], HOLD)
    found = sweep_of(
        [moving.axis], [COST, HOLD], [list(pair) for pair in zip(moving.spreads, still.spreads, strict=True)]
    )
    said = findings(found)
    assert said[0].startswith("From 20 to 60 operators the cost of the plan rises by $20; beyond 60")
    assert said[1] == "hotline.operators hardly moves the hold of reports that one in ten exceeds."
    assert found.summary()["knees"] == {"cost": 60, "hold_p90": None}
    text = page(found, "caucus sweep")
    assert text == page(found, "caucus sweep")
    assert "knee: 60" in text


def test_a_surface_names_its_lowest_and_highest_point() -> None:
    one, other = axis([1, 2]), axis([10, 20], "hotline.lines")
    spreads = [[Spread(9, 0, value, value, value, value)] for value in (40.0, 30.0, 20.0, 20.0)]
    found = sweep_of([one, other], [COST], spreads)
    expected = "The cost of the plan: from $20 (at 2 of 4 combinations) to $40 (1 operator, 10 lines)"
    assert surface_finding(found, COST, found.of(0)) == expected
    assert expected in page(found, "caucus sweep")


def test_the_frame_has_a_row_for_each_point_and_measure_and_times_in_milliseconds() -> None:
    times = parse_vary("clock.doors=18:00:18:30:30 min")
    spreads = [[Spread(9, 0, 1.5, 1, 1, 2), Spread(9, 9, None, None, None, None)] for _ in range(2)]
    frame = sweep_of([times], [COST, BY], spreads).frame()
    assert frame.columns == ["clock.doors_ms", "measure", "unit", "nights", "never", "mean", "p05", "p50", "p95"]
    assert frame["clock.doors_ms"].to_list() == [18 * HOUR] * 2 + [18 * HOUR + 30 * MINUTE] * 2
    assert frame["measure"].to_list() == ["cost", "reported_by_95"] * 2
    assert frame["mean"].to_list() == [1.5, None, 1.5, None]


@pytest.mark.parametrize("medians", [[None, None, None], [None, 5.0, 5.0], [0.0, 0.0, 1.0], [7.0, 7.0, 7.0]])
@pytest.mark.parametrize("measure", [COST, HOLD, HELD, BY])
def test_every_curve_can_be_drawn(medians: list[float | None], measure: Measure) -> None:
    one = curve(medians, measure, width=0)
    assert "</html>" in page(sweep_of([one.axis], [measure], [[spread] for spread in one.spreads]), "caucus sweep")


@pytest.mark.parametrize("medians", [[None] * 4, [None, 5.0, 5.0, 6.0], [0.0, 0.0, 0.0, 1.0], [7.0] * 4])
@pytest.mark.parametrize("measure", [COST, HOLD, HELD, BY])
def test_every_surface_can_be_drawn(medians: list[float | None], measure: Measure) -> None:
    spreads = [[Spread(9, 0 if m is not None else 9, m, m, m, m)] for m in medians]
    found = sweep_of([axis([1, 2]), axis([10, 20], "hotline.lines")], [measure], spreads)
    assert "</html>" in page(found, "caucus sweep")


def test_values_that_are_no_numbers_are_drawn_beside_each_other_and_have_no_knee() -> None:
    words = parse_vary('alignment.rules="2016","2020"')
    spreads = [[Spread(9, 0, value, value, value, value)] for value in (40.0, 30.0)]
    found = sweep_of([words], [COST], spreads)
    assert findings(found) == ["The cost of the plan: from $30 (alignment.rules 2020) to $40 (alignment.rules 2016)."]
    assert found.frame()["alignment.rules"].to_list() == ["2016", "2020"]
    assert "</html>" in page(found, "caucus sweep")
