"""Measures by name, and how goals and precisions on them are written."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulation.errors import InputError
from simulation.experiment.measures import (
    DEFAULT_MEASURES,
    MEASURES,
    USUAL_CALL_TO_ORDER,
    Measure,
    default_measures,
    markdown,
    parse_goal,
    parse_measure,
    parse_measures,
    parse_precision,
)
from simulation.night.curves import GRID, LINE_GRID, LINE_STEP, STEP
from simulation.night.metrics import expanded
from simulation.scenario.values import DAY, HOUR, MINUTE, SECOND

SITES = 200
ROW: dict[str, Any] = {
    "sites": SITES,
    "people": 1000,
    "reported": list(range(GRID)),
    "released": [0] * GRID,
    "in_line": list(range(LINE_GRID)),
    "in_line_at_call_to_order": 250,
    "wait_mean_ms": 5 * MINUTE,
    "start_delay_max_ms": 2 * HOUR,
    **{f"wait_p{q}_ms": q * MINUTE for q in (50, 90, 95, 99)},
    **{f"start_delay_p{q}_ms": q * SECOND for q in (50, 90, 95, 99)},
    **{f"hold_p{q}_ms": q * MINUTE for q in (50, 90, 95, 99)},
    **{f"held_p{q}_at_ms": 20 * HOUR + q * MINUTE for q in (25, 50, 75, 90, 95, 99, 100)},
    "hold_mean_ms": 30 * MINUTE,
    "calls": 400,
    "calls_by_kind": [300, 50, 40, 10],
    "channels": [10, 60, 100, 20, 5, 5],
    "busy_tones": 100,
    "hung_up": 50,
    "answered": 150,
    "operators_busy_ms": 3 * HOUR,
    "operators_on_duty_ms": 4 * HOUR,
    "wrong": 4,
    "caught": 6,
    "wrong_on_receipt": 8,
    "sde_off_nano": 2_500_000_000,
    "wait_total_ms": 90 * HOUR,
    "chairs_hold_total_ms": 45 * HOUR,
    "cost_operators_cents": 900_050,
    "cost_stations_cents": 50,
    "cost_review_cents": 100,
}
NAMES = [
    name.replace("HH:MM", time)
    for pattern, unit, meaning in MEASURES
    for name in expanded({pattern: (unit, meaning)})
    for time in ("20:30", "23:00")
]


def changed(**columns: Any) -> dict[str, Any]:
    return copy.deepcopy(ROW) | columns


def value(name: str, **columns: Any) -> float | None:
    return parse_measure(name).value(changed(**columns))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("reported@19:00", 0),
        ("reported@23:00", 16 / SITES),
        ("reported@01:00", 24 / SITES),
        ("reported@06:00", (GRID - 1) / SITES),
        ("in_line@18:00", 0),
        ("in_line@19:05", 13),
        ("in_line_share", 0.25),
        ("reported_by_95", 21 * HOUR + 35 * MINUTE),
        ("wait_p90", 90 * MINUTE),
        ("wait_mean", 5 * MINUTE),
        ("start_delay_p99", 99 * SECOND),
        ("start_delay_max", 2 * HOUR),
        ("hold_p50", 50 * MINUTE),
        ("busy_share", 0.25),
        ("abandoned_share", 0.25),
        ("occupancy", 0.75),
        ("wrong_share", 0.02),
        ("caught_share", 0.75),
        ("sde_off", 2.5),
        ("app_share", 0.3),
        ("hours_in_line", 90),
        ("chairs_hours_on_hold", 45),
        ("cost", 9002),
    ],
)
def test_a_measure_is_the_number_that_its_meaning_says(name: str, expected: float) -> None:
    assert value(name) == expected


@pytest.mark.parametrize("name", NAMES)
def test_every_documented_measure_can_be_named_and_measured_and_sent_to_a_worker(name: str) -> None:
    measure = parse_measure(name)
    assert measure.name == name
    assert measure.value(ROW) is not None
    assert measure.unit in {"%", "min", "clock", "people", "h", "$", "SDE"}
    assert pickle.loads(pickle.dumps(measure)) == measure


def test_the_page_explains_every_measure_and_the_defaults_are_among_them() -> None:
    page = markdown()
    assert all(f"| `{name}` | {unit} | {meaning} |" in page for name, unit, meaning in MEASURES)
    assert [measure.name for measure in default_measures()] == list(DEFAULT_MEASURES)


# What never happened


def test_results_that_never_come_are_never_not_early() -> None:
    assert value("reported_by_95", held_p95_at_ms=-1) is None
    assert parse_measure("reported_by_95").shown(None) == "never"


def test_a_hotline_where_nobody_gets_through_has_no_hold_and_one_that_nobody_calls_has_none_to_wait() -> None:
    unanswered = {"hold_p90_ms": 0, "channels": [100, 60, 0, 0, 0, 0]}
    assert value("hold_p90", **unanswered) is None
    assert value("hold_p90", **unanswered, calls_by_kind=[0, 0, 40, 0]) == 0
    goal = parse_goal("hold_p90 <= 1 h")
    assert not goal.holds(changed(**unanswered))
    assert goal.holds(changed(**unanswered, calls_by_kind=[0, 0, 0, 0]))


def test_shares_of_nothing_are_nothing_but_an_hotline_without_operators_has_no_occupancy() -> None:
    assert value("busy_share", calls=0, busy_tones=0) == 0
    assert value("abandoned_share", hung_up=0, answered=0) == 0
    assert value("in_line_share", people=0, in_line_at_call_to_order=0) == 0
    assert value("occupancy", operators_on_duty_ms=0, operators_busy_ms=0) is None
    assert value("caught_share", wrong_on_receipt=0, caught=0) is None
    assert not parse_goal("occupancy <= 90 %").holds(changed(operators_on_duty_ms=0, operators_busy_ms=0))


# Names


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("wait_p80", "did you mean wait_p90?"),
        ("reported_by_60", "did you mean reported_by_"),
        ("bussy_share", "did you mean busy_share?"),
        ("reported", "did you mean reported"),
        ("", "There are reported@HH:MM"),
        ("reported@22:37", "every quarter of an hour from 19:00 to 06:00 the next day"),
        ("reported@18:45", "from 19:00"),
        ("reported@25:00", "such as reported@22:00"),
        ("reported@+2d 01:00", "from 19:00"),
        ("reported@", "a clock time on the curve"),
        ("in_line@23:05", "every 5 minutes from 18:00 to 23:00"),
        ("wait@19:00", "no such measure"),
    ],
)
def test_a_name_that_is_none_says_what_there_is(name: str, hint: str) -> None:
    with pytest.raises(InputError, match=hint.replace("+", r"\+").replace("?", r"\?")):
        parse_measure(name)


def test_every_bad_name_is_listed_and_a_name_given_twice_counts_once() -> None:
    with pytest.raises(InputError) as caught:
        parse_measures(["cost", "coast", "wait_p90", "weight_p90"])
    assert [problem.partition(":")[0] for problem in caught.value.problems] == ["coast", "weight_p90"]
    assert [measure.name for measure in parse_measures(["cost", " cost", "wait_p50"])] == ["cost", "wait_p50"]


@given(st.integers(0, GRID - 1), st.integers(0, 48).map(lambda k: k * STEP))
def test_a_clock_time_is_the_point_of_the_curve_at_that_time_whenever_the_caucus_begins(
    point: int, begins: int
) -> None:
    at = begins + point * STEP
    day, of_day = divmod(at, DAY)
    text = f"{of_day // HOUR:02d}:{of_day % HOUR // MINUTE:02d}"
    assert value_at(f"reported@{text}", begins) == point / SITES
    if day:
        assert value_at(f"reported@+1d {text}", begins) == point / SITES


def value_at(name: str, call_to_order: int) -> float | None:
    return parse_measure(name, call_to_order).value(ROW)


def test_the_defaults_follow_a_caucus_that_begins_in_the_morning() -> None:
    names = [measure.name for measure in default_measures(10 * HOUR)]
    assert "reported@14:00" in names
    assert len(names) == len(DEFAULT_MEASURES)
    assert value_at("in_line@09:30", 10 * HOUR) == 30 * MINUTE // LINE_STEP


# Values


def close(measure: Measure, given: float) -> float:
    """How far off a value may be that was shown to people: half of the last digit shown."""
    if measure.unit == "%":
        return 0.00501 if 0.02 <= given < 0.98 else 0.000501
    if measure.unit in ("min", "clock"):
        short = measure.unit == "min" and given < 10 * MINUTE
        return 500 if short and given < MINUTE else 3_000 if short else MINUTE
    return 0.501 if measure.unit in ("people", "$") else max(0.00501, 0.0051 * given)


@given(st.sampled_from(NAMES), st.floats(0, 1))
def test_what_is_shown_can_be_typed_in_again(name: str, part: float) -> None:
    measure = parse_measure(name)
    low, high = {"%": (0.001, 0.999), "clock": (USUAL_CALL_TO_ORDER, DAY + 11 * HOUR)}.get(
        measure.unit, (0, 5 * HOUR if measure.unit == "min" else 200_000)
    )
    given_value = low + part * (high - low)
    shown = measure.shown(given_value)
    assert measure.parse_value(shown) == pytest.approx(given_value, abs=close(measure, given_value)), shown


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("busy_share", "95%", 0.95),
        ("busy_share", "95 %", 0.95),
        ("busy_share", "0.95", 0.95),
        ("busy_share", "0", 0),
        ("wait_p90", "12 min", 12 * MINUTE),
        ("wait_p90", "45 s", 45 * SECOND),
        ("wait_p90", "1.5 h", 90 * MINUTE),
        ("wait_p90", "1 h 12 min", 72 * MINUTE),
        ("reported_by_95", "23:00", 23 * HOUR),
        ("reported_by_95", "00:30", DAY + 30 * MINUTE),
        ("reported_by_95", "+1d 16:00", DAY + 16 * HOUR),
        ("reported_by_95", "16:00 the next day", DAY + 16 * HOUR),
        ("cost", "$9,000", 9000),
        ("cost", "9000", 9000),
        ("hours_in_line", "900 h", 900),
        ("sde_off", "2.5", 2.5),
        ("in_line@19:00", "1,200", 1200),
    ],
)
def test_values_are_typed_as_people_write_them(name: str, text: str, expected: float) -> None:
    assert parse_measure(name).parse_value(text) == expected


@pytest.mark.parametrize(
    ("name", "text", "accepted"),
    [
        ("busy_share", "95", "95 % or 0.95"),
        ("busy_share", "110 %", "95 % or 0.95"),
        ("busy_share", "-1 %", "95 % or 0.95"),
        ("wait_p90", "12", "12 min"),
        ("wait_p90", "12 min 1 h", "12 min"),
        ("wait_p90", "", "12 min"),
        ("reported_by_95", "11 pm", "23:00"),
        ("cost", "much", "9,000"),
        ("cost", "9,00", "9,000"),
        ("sde_off", "nan", "2.5"),
    ],
)
def test_a_value_of_another_kind_is_refused_with_an_example(name: str, text: str, accepted: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_measure(name).parse_value(text)
    assert accepted in str(caught.value)


def test_differences_have_signs_and_nothing_has_none() -> None:
    share, wait, cost = (parse_measure(name) for name in ("busy_share", "wait_p90", "cost"))
    assert share.difference(0.034) == "+3.4 points"
    assert share.difference(-0.34) == "\N{MINUS SIGN}34 points"
    assert wait.difference(-90 * SECOND) == "\N{MINUS SIGN}1.5 min"
    assert cost.difference(1200) == "+$1,200"
    assert cost.difference(0) == "$0"
    assert parse_measure("reported_by_95").difference(72 * MINUTE) == "+1 h 12 min"


# Goals and precisions


def test_a_goal_is_met_or_missed_on_the_side_that_its_sign_says() -> None:
    row = changed(wait_p90_ms=10 * MINUTE)
    met = {op: parse_goal(f"wait_p90 {op} 10 min").holds(row) for op in ("<", "<=", ">", ">=")}
    assert met == {"<": False, "<=": True, ">": False, ">=": True}
    assert not parse_goal("wait_p90 <= 9.9 min").holds(row)
    assert parse_goal("wait_p90 ≤ 10 min").op == "<="


def test_a_goal_says_in_what_share_of_nights_or_means_nineteen_in_twenty() -> None:
    goal = parse_goal("reported@+1d 01:00>=95%")
    assert (goal.measure.name, goal.op, goal.value, goal.share) == ("reported@01:00", ">=", 0.95, 0.95)
    assert goal.text == "reported@+1d 01:00>=95% in 95 % of nights"
    assert parse_goal("hold_p90 <= 10 min in 90 % of nights").share == 0.9
    assert parse_goal("hold_p90 <= 10 min in 0.5 of nights").share == 0.5
    assert parse_goal(goal.text) == goal


def test_results_that_never_come_miss_every_deadline() -> None:
    never = changed(held_p95_at_ms=-1)
    assert not parse_goal("reported_by_95 <= +1d 23:00").holds(never)
    assert parse_goal("reported_by_95 > 23:00").holds(never)


@pytest.mark.parametrize(
    ("text", "accepted"),
    [
        ("wait_p90", "expected a goal"),
        ("wait_p90 = 10 min", "expected a goal"),
        ("wait_p90 <= 10 min >= 5 min", "expected a goal"),
        ("wait_p12 <= 10", "did you mean wait_p"),
        ("wait_p90 <= 10", '"12 min"'),
        ("wait_p90 <= 20 min in 90%", '`of nights` is missing: expected "wait_p90 <= 20 min in 90% of nights"'),
        ("reported@23:00 >= 90 % in 0.9", '`of nights` is missing: expected "reported@23:00 >= 90 % in 0.9 of nights"'),
        ("wait_p90 <= 10 min in 120 % of nights", "a share such as 95 %"),
        ("wait_p90 <= 10 min in 0 % of nights", "a share such as 95 %"),
    ],
)
def test_a_goal_that_is_none_says_how_one_is_written(text: str, accepted: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_goal(text)
    assert accepted in str(caught.value)


def test_both_mistakes_of_a_goal_are_told_at_once() -> None:
    with pytest.raises(InputError) as caught:
        parse_goal("wait_p90 <= 10 in 120 % of nights")
    assert len(caught.value.problems) == 2


def test_a_precision_is_half_the_width_of_an_interval_of_time_where_the_measure_is_a_clock_time() -> None:
    assert parse_precision("reported@23:00 +- 1 %").half_width == 0.01
    assert parse_precision("reported_by_95 ± 10 min").half_width == 10 * MINUTE
    assert parse_precision("cost+-$50").measure.name == "cost"


@pytest.mark.parametrize(
    ("text", "accepted"),
    [
        ("reported@23:00 1 %", "expected a precision"),
        ("reported@23:00 +- 0 %", "above 0"),
        ("reported_by_95 +- 23:00", '"12 min"'),
        ("nothing +- 1 %", "no such measure"),
    ],
)
def test_a_precision_that_is_none_says_how_one_is_written(text: str, accepted: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_precision(text)
    assert accepted in str(caught.value)
