"""A stampede on the public results: what is due, and what is said of whom."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from loadtests.commands.playing import checks_of_stampede
from loadtests.objectives import parse_objectives
from loadtests.report.junit import exit_code
from loadtests.report.stampede_page import page, story
from loadtests.traffic.stampede import PUBLIC, REPORTS, Shape, Stampeded, _only, busiest, schedule, together
from loadtests.trial import SECOND, Sample
from loadtests.workload import constant
from simulation.words import plain
from tests.unit.loadtests.load_runs import OBJECTIVES, about, answered

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


# What is said of it


def test_a_backend_that_does_not_come_back_is_no_success_and_the_terminal_says_so():
    for seconds, said in ((3, "held after its end"), (9, "held again [123] s after its end")):
        found = slow_while_it_lasts(seconds, REPORTS)
        assert re.search(f"every objective {said}", plain(story(found)))
        assert next(check for check in checks_of_stampede(found) if check.group == "after").holds
    down = slow_while_it_lasts(25, REPORTS)
    assert "within 20 s of its end not every objective held again" in plain(story(down))
    (after,) = (check for check in checks_of_stampede(down) if check.group == "after")
    assert (after.name, after.holds, after.says) == ("every objective holds again", False, "not within 20 s of its end")
    assert exit_code([after]) == 3


def test_of_less_than_a_hundred_reports_the_slowest_is_told_and_no_percentile():
    many = slow_while_it_lasts(3, REPORTS)
    sample = many.trial.sample
    public = np.array([name.startswith("results") for name in sample.operations])[sample.operation]
    kept = public | (np.arange(len(sample)) % 3 == 0)
    few = replace(many, trial=replace(many.trial, sample=_only(sample, kept, 0, 30)))
    count = few.part(REPORTS, "during").requests
    assert count < 100 <= many.part(REPORTS, "during").requests
    assert re.search(
        r"99 % of the reports are answered within [0-9.]+ s \(before: within [0-9]+ ms\)", plain(story(many))
    )
    assert f", all {count} reports are answered within " in plain(story(few))
    shown = plain(page(few, about("spike")))
    assert re.search(f"While readers stampede, the slowest of {count} reports takes [23][.0-9]* s", shown)
    assert f"all {count} reports meanwhile answered within" in shown


def test_where_less_is_seen_than_it_has_to_hold_it_holds_to_the_end_of_that():
    found = slow_while_it_lasts(1, PUBLIC)
    assert replace(found, shape=replace(SHAPE, after_s=3)).over_after_s == 0
    assert replace(slow_while_it_lasts(25, REPORTS), shape=replace(SHAPE, after_s=3)).over_after_s is None


def only_readers() -> Stampeded:
    """A backend that takes no reports, or a night so small that none is due."""
    shape = replace(SHAPE, night_per_s=1)
    due = schedule(shape, {"results.page": 1.0}, ["results.page"], 3)
    return Stampeded(shape, answered(due, 0.01), parse_objectives(OBJECTIVES))


def test_of_reports_that_were_never_sent_nothing_is_said_and_nothing_judged():
    found = only_readers()
    said, shown = plain(story(found)), plain(page(found, about("spike")))
    assert "; no reports were sent; " in said
    assert "of the reports" not in said
    assert "while reports come in" not in said
    assert "No reports were sent while the stampede lasted." in shown
    assert "of the reports meanwhile" not in shown
    assert "Reports and log-ins met" not in shown
    assert {check.group for check in checks_of_stampede(found)} == {"public results, during", "after"}
    never = found.as_json()["parts"][REPORTS]["during"]
    assert (never["requests"], never["latency_s"]["p99"], never["error_share"]) == (0, None, None)


def test_where_no_report_came_before_there_is_nothing_to_compare_with():
    found = slow_while_it_lasts(1, PUBLIC)
    sample = found.trial.sample
    public = np.array([name.startswith("results") for name in sample.operations])[sample.operation]
    later = Stampeded(SHAPE, replace(found.trial, sample=_only(sample, public | (sample.due >= 5 * SECOND), 0, 30)),
                      found.objectives)  # fmt: skip
    assert not later.part(REPORTS, "before").requests
    assert " before)" not in plain(story(later))
    assert "instead of" not in plain(page(later, about("spike")))


def test_where_nothing_was_due_afterwards_nobody_knows_what_became_of_it():
    found = slow_while_it_lasts(1, PUBLIC)
    sample = found.trial.sample
    cut = replace(found, trial=replace(found.trial, sample=_only(sample, sample.due < 10 * SECOND, 0, 30)))
    assert not cut.goes_on
    assert "objective" not in plain(story(cut))
    assert "after" not in {check.group for check in checks_of_stampede(cut)}
    assert "until all is as before" not in page(cut, about("spike"))


def test_why_requests_failed_and_how_the_generator_did_is_told_of_the_whole():
    found = slow_while_it_lasts(1, PUBLIC)
    problems = {"HTTP 500": 1, "no answer in time": 7, "HTTP 503": 3, "HTTP 429": 2}
    failing = replace(found, trial=replace(found.trial, sample=replace(found.trial.sample, problems=problems)))
    told = failing.as_json()
    assert told["problems"] == problems
    assert (told["generator"]["cpu"], told["generator"]["workers"]) == (0.1, 1)
    assert set(told["parts"][PUBLIC]["during"]["generator"]) == {"lateness_p99_s", "sent_share"}
    assert not {"problems", "lost", "resources", "void"} & set(told["parts"][PUBLIC]["during"])
    shown = plain(page(failing, about("spike")))
    assert "7 times: no answer in time." in shown
    assert "HTTP 429" in shown
    assert "HTTP 500" not in shown
