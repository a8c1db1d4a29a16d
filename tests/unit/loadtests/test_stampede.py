"""A stampede on the public results: what is due, and what is said of whom."""

from __future__ import annotations

import numpy as np
import pytest

from loadtests.objectives import parse_objectives
from loadtests.traffic.stampede import PUBLIC, REPORTS, Shape, Stampeded, busiest, schedule, together
from loadtests.trial import SECOND, Sample
from loadtests.workload import constant
from tests.unit.loadtests.load_runs import OBJECTIVES, answered

SHAPE = Shape(night_per_s=20, surge_per_s=400, length_s=5, before_s=5, after_s=20)
DUE = schedule(SHAPE, {"report.open": 0.5, "login": 0.5}, ["results.page", "results"], 3)


def slow_while_it_lasts(seconds: float, who_waits: str) -> Stampeded:
    """Those who wait are answered only so long after the stampede began."""
    trial = answered(DUE, 0.01)
    sample = trial.sample
    reports = np.array([name.startswith("results") for name in sample.operations])[sample.operation]
    mine = (reports == (who_waits == PUBLIC)) & (sample.due >= 5 * SECOND) & (sample.due < int((5 + seconds) * SECOND))
    done = np.where(mine, np.maximum(sample.done, int((5 + seconds) * SECOND)), sample.done)
    object.__setattr__(sample, "done", done)
    return Stampeded(SHAPE, trial, parse_objectives(OBJECTIVES))


def test_the_night_goes_on_all_the_time_and_the_readers_come_at_once():
    names = np.array(DUE.operations)[DUE.operation]
    readers = np.char.startswith(names, "results")
    seconds = DUE.due_ns / SECOND
    assert ((seconds[readers] >= 5) & (seconds[readers] < 10)).all()
    assert readers.sum() == pytest.approx(2000, rel=0.1)
    assert (~readers).sum() == pytest.approx(600, rel=0.2)
    assert np.all(np.diff(DUE.due_ns) >= 0)
    assert DUE.index.tolist() == list(range(len(DUE)))


def test_two_schedules_together_are_both_of_them():
    one, other = constant(10, 4).mixed({"a": 1.0}, 1), constant(7, 4).mixed({"b": 1.0, "a": 1.0}, 1)
    both = together(one, other)
    assert len(both) == len(one) + len(other)
    assert sorted(both.due_ns.tolist()) == sorted([*one.due_ns.tolist(), *other.due_ns.tolist()])
    assert len(both.of("a")) == len(one.of("a")) + len(other.of("a"))


def test_every_flow_comes_as_in_its_own_busiest_minute():
    per_s = {"login": 0.8, "report": 0.9, "photo": 0.0, "clerk": 0.3, "results": 15.0, "mix": 16.0}
    has = {"login", "report.open", "report.first_alignment", "report.final", "photo", "results", "results.csv"}
    found = busiest(per_s, has)
    assert found["report.final"] == pytest.approx(0.3)
    assert found["results"] == 15.0  # the page is not there, and campaigns come in no stampede
    assert "photo" not in found
    assert "clerk" not in found


def test_who_waits_is_told_from_who_does_not():
    found = slow_while_it_lasts(5, REPORTS)
    assert found.part(PUBLIC, "during").latency_s(0.99) < 0.1
    assert found.part(REPORTS, "during").latency_s(0.99) > 2
    assert found.part(REPORTS, "before").latency_s(0.99) < 0.1
    assert found.judged(PUBLIC, "during").holds
    assert not found.judged(REPORTS, "during").holds


def test_the_parts_are_all_requests_each_once():
    found = slow_while_it_lasts(1, PUBLIC)
    parts = [found.part(who, when).requests for who in (PUBLIC, REPORTS) for when in ("before", "during", "after")]
    assert sum(parts) == len(DUE)


def test_it_is_over_when_everybody_is_served_again_for_some_seconds():
    assert slow_while_it_lasts(5, REPORTS).over_after_s == 0
    after = slow_while_it_lasts(15, REPORTS).over_after_s
    assert after == pytest.approx(8, abs=1)  # who came within the last 2 s waits no longer than may be
    assert slow_while_it_lasts(25, REPORTS).over_after_s is None


def test_requests_that_were_dropped_count_as_not_answered():
    trial = answered(DUE, 0.01)
    sample: Sample = trial.sample
    object.__setattr__(sample, "sent", np.full(len(sample), -1))
    object.__setattr__(sample, "ok", np.zeros(len(sample), bool))
    assert Stampeded(SHAPE, trial, []).part(PUBLIC, "during").error_share == 1
