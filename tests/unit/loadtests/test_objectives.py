"""Objectives as people write them, and what they say of a trial."""

from __future__ import annotations

import math
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.objectives import (
    ALWAYS,
    METRICS,
    USUAL,
    backlog_growth,
    binomial_bounds,
    judge,
    metrics_markdown,
    parse_objective,
    parse_objectives,
    parse_requirement,
)
from loadtests.trial import Trial
from simulation.errors import InputError
from tests.unit.loadtests.simulated_servers import Servers, poisson, trial_of


def trial(latencies_s: list[float], good: list[bool] | None = None, seconds: float = 10.0) -> Trial:
    due = np.linspace(0, seconds * 0.99, len(latencies_s))
    return trial_of(due, due + np.array(latencies_s), np.array(good or [True] * len(latencies_s)), seconds)


@pytest.mark.parametrize(
    ("text", "metric", "op", "value"),
    [
        ("p99(latency) < 2 s", "p99(latency)", "<", 2.0),
        ("p99(latency)<2s", "p99(latency)", "<", 2.0),
        ("  P99.9( latency )  <=  250 ms ", "p99.9(latency)", "<=", 0.25),
        ("max(latency) < 1.5 min", "max(latency)", "<", 90.0),
        ("p50(latency) ≤ 0.5 s", "p50(latency)", "<=", 0.5),
        ("error_share < 0.5 %", "error_share", "<", 0.005),
        ("error_share < 0.005", "error_share", "<", 0.005),
        ("goodput_share >= 99%", "goodput_share", ">=", 0.99),
        ("backlog_slope <= 0", "backlog_slope", "<=", 0.0),
        ("lost <= 0 writes", "lost", "<=", 0.0),
    ],
)
def test_an_objective_is_read_as_it_is_written(text, metric, op, value):
    found = parse_objective(text)
    assert (found.metric, found.op) == (metric, op)
    assert found.value == pytest.approx(value)


@pytest.mark.parametrize(
    ("text", "value"),
    [("nights >= 5", 5), ("nights >= 1 night", 1), ("requests_per_s > 1,200/s", 1200), ("recovery < 30 s", 30)],
)
def test_a_requirement_is_read_as_it_is_written(text, value):
    assert parse_requirement(text).value == value


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("fast", "expected an objective: metric, <, <=, > or >=, value"),
        ("p99(latency) < 2", 'expected a time with its unit such as "2 s"'),
        ("p99(latency) < -2 s", "expected a time"),
        ("error_share < 120 %", "expected a share such as 0.5 %"),
        ("error_shar < 1 %", "did you mean error_share?"),
        ("p0(latency) < 1 s", "no such metric"),
        ("p100.5(latency) < 1 s", "no such metric"),
        ("latency < 1 s", "no such metric"),
        ("nights >= 5", "it can be a requirement, not an objective"),
    ],
)
def test_a_mistake_is_told_with_what_would_be_accepted(text, says):
    with pytest.raises(InputError) as error:
        parse_objective(text)
    assert says in str(error.value)


def test_an_objective_of_a_trial_is_no_requirement_of_a_search():
    with pytest.raises(InputError, match="it can be an objective, not a requirement"):
        parse_requirement("p99(latency) < 2 s")


def test_every_mistake_is_told_at_once():
    with pytest.raises(InputError) as error:
        parse_objectives(["fast", "p99(latency) < 2 s", "error_share < 7"])
    assert len(error.value.problems) == 2


def test_goodput_backlog_and_loss_count_whether_asked_for_or_not():
    assert [o.text for o in parse_objectives([])] == [*USUAL, *ALWAYS]
    assert [o.text for o in parse_objectives(["lost <= 0"])] == ["lost <= 0", *ALWAYS[:2]]


@given(st.text(max_size=40))
def test_no_text_is_a_surprise(text):
    with suppress(InputError):
        assert parse_objective(text).text


def test_a_request_that_is_not_answered_well_is_later_than_any():
    found = judge(trial([0.1] * 98 + [0.2] * 2, [True] * 98 + [False] * 2), [parse_objective("p99(latency) < 1 s")])
    assert not found.holds
    assert found.findings[0].value == math.inf
    assert found.findings[0].shown == "p99(latency) never"
    assert found.as_json()[0]["value"] is None


def test_a_share_is_sure_where_its_binomial_bounds_lie_on_one_side():
    limit = [parse_objective("error_share < 1 %")]
    for errors, holds, sure in ((0, True, True), (8, True, False), (12, False, False), (30, False, True)):
        found = judge(trial([0.1] * 1000, [False] * errors + [True] * (1000 - errors)), limit)
        assert (found.holds, found.sure) == (holds, sure), errors


def test_a_percentile_is_sure_where_its_order_statistics_lie_on_one_side():
    limit = [parse_objective("p99(latency) < 1 s")]
    for late, holds, sure in ((0, True, True), (9, True, False), (12, False, False), (30, False, True)):
        found = judge(trial([2.0] * late + [0.1] * (1000 - late)), limit)
        assert (found.holds, found.sure) == (holds, sure), late


def test_few_requests_say_nothing_of_how_late_the_latest_are():
    """Of 100 requests any may be the one in a hundred: their own maximum is no bound of it."""
    limit = [parse_objective("p99(latency) < 1 s")]
    for requests, sure in ((100, False), (300, False), (1000, True)):
        found = judge(trial([0.1] * requests), limit)
        assert (found.holds, found.sure) == (True, sure), requests
    assert judge(trial([2.0] * 100), limit).sure  # all of them late is no luck
    assert judge(trial([0.1] * 100), [parse_objective("max(latency) < 1 s")]).sure  # the maximum is what it is


def test_a_lost_write_breaks_a_trial_that_is_fast():
    fast = Trial(trial([0.01] * 500).sample, lost=1)
    assert [finding.objective.text for finding in judge(fast, parse_objectives([])).broken] == ["lost <= 0"]


@pytest.mark.parametrize(("count", "of"), [(0, 50), (1, 50), (25, 50), (50, 50)])
def test_binomial_bounds_hold_the_true_share_95_times_in_100(count, of):
    from scipy.special import bdtr

    low, high = binomial_bounds(count, of)
    assert low <= count / of <= high
    assert count == 0 or 1 - bdtr(count - 1, of, low) == pytest.approx(0.025, rel=1e-6)
    assert count == of or bdtr(count, of, high) == pytest.approx(0.025, rel=1e-6)


def test_a_backlog_that_wanders_is_rarely_taken_for_one_that_grows():
    rng = np.random.default_rng(1)
    walks = rng.normal(0, 30, (2000, 31)).cumsum(axis=1)
    assert np.mean([backlog_growth(walk).p < 0.05 for walk in walks]) < 0.07
    # the same walks, by a straight line through points that are taken as independent
    at = np.arange(31) - 15.0
    slopes = walks @ at / (at @ at)
    residuals = walks - walks.mean(axis=1, keepdims=True) - np.outer(slopes, at)
    t = slopes / np.sqrt((residuals**2).sum(axis=1) / 29 / (at @ at))
    assert np.mean(t > 1.70) > 0.3  # Student's t at 5 %, 29 degrees of freedom


def test_a_backlog_whose_changes_hang_together_is_rarely_taken_for_one_that_grows():
    rng = np.random.default_rng(2)
    slow_spells = rng.normal(0, 30, (1000, 34))
    changes = slow_spells[:, :-2] + slow_spells[:, 1:-1] + slow_spells[:, 2:]
    assert np.mean([backlog_growth(walk).p < 0.05 for walk in changes.cumsum(axis=1)]) < 0.17  # 0.24 without correction


def test_a_backlog_that_keeps_its_level_never_grows():
    rng = np.random.default_rng(3)
    assert not any(backlog_growth(rng.poisson(20, 30)).p < 0.05 for _ in range(1000))
    assert backlog_growth(np.full(30, 12)).p > 0.05


def test_a_slow_service_reaches_its_level_first():
    level = np.minimum(np.arange(1, 31) * 1000, 5000)  # every answer takes 5 s
    assert backlog_growth(level).p > 0.05


def test_a_backlog_that_grows_steadily_is_told():
    assert backlog_growth(np.arange(30) * 10).p < 0.001
    assert backlog_growth(np.arange(30) * 10).per_s == 10


def test_a_trial_too_short_for_a_test_shows_no_growth():
    assert backlog_growth([1, 2, 3]).p == 0.5
    assert backlog_growth([]) == (0.0, 0.0, 0.5)


def test_half_a_minute_tells_an_overload_of_two_percent_where_ten_seconds_do_not():
    rng = np.random.default_rng(4)
    passes = {}
    for seconds in (10.0, 30.0):
        verdicts = []
        for _ in range(200):
            due = poisson(1530, seconds, rng)
            verdicts.append(judge(trial_of(due, *Servers(1 / 1500).serve(due), seconds), parse_objectives([])).holds)
        passes[seconds] = np.mean(verdicts)
    assert passes[10.0] > 0.25
    assert passes[30.0] < 0.1


def test_an_interval_meets_a_requirement_at_the_end_that_counts_against_it():
    assert parse_requirement("nights >= 5").required((5.1, 5.4))
    assert not parse_requirement("nights >= 5").required((4.9, 5.4))
    assert parse_requirement("nights >= 5").required((5.1, None))
    assert not parse_requirement("nights <= 5").required((4.9, 5.4))
    assert not parse_requirement("nights <= 5").required((4.9, None))


def test_every_metric_is_documented():
    page = metrics_markdown()
    for metric in METRICS:
        assert f"| `{metric.name}` |" in page
    for text in (*ALWAYS, *USUAL):
        assert f"`{text}`" in page
