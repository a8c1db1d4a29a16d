"""The search for the breaking point, on a clock that only counts, against servers of known truth."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import pytest

from loadtests.breaking_point import (
    BUDGET_S,
    LENGTHS_S,
    SHORT_S,
    STEP_S,
    BreakingPoint,
    Kind,
    method_markdown,
    search,
    used_up,
    wait_until_well,
)
from loadtests.objectives import parse_objectives, parse_requirement
from loadtests.trial import Trial
from simulation.errors import UnfinishedError
from tests.unit.loadtests.simulated_servers import (
    Answers,
    Bench,
    Floats,
    LockContention,
    Mixed,
    Retrying,
    Server,
    Servers,
    TokenBucket,
    trial_of,
    truth_per_s,
)

OBJECTIVES = parse_objectives(["p99(latency) < 2 s", "error_share < 0.5 %"])

TRUTH_1000_PER_S = 1010.5  # of one server, by `truth_per_s` with 700 steps
TRUTH_1500_PER_S = 1514.0


class Known(NamedTuple):
    """`truth_per_s`, played once with 700 steps and more: its error is below 0.1 %."""

    fresh: Callable[[], Server]
    truth_per_s: float
    widest: float = 0.05


KNOWN = {
    "one server, 1,000/s": Known(lambda: Servers(1 / 1000), TRUTH_1000_PER_S),
    "one server, 200/s": Known(lambda: Servers(1 / 200), 205.1, 0.1),
    "one server, 50/s": Known(lambda: Servers(1 / 50), 52.3, 0.2),
    "8 servers, 2,000/s": Known(lambda: Servers(8 / 2000, 8), 2016.0),
    "a token bucket, 1,200/s": Known(lambda: TokenBucket(1200, 60), 1191.1),
    "lock contention, 1,500/s": Known(lambda: LockContention(1 / 1500), 1460.5),
    "three retries inside, 1,500/s": Known(lambda: Retrying(1 / 1500), TRUTH_1500_PER_S),
}


def run(bench: Bench, **options: Any) -> BreakingPoint:
    options = {"start_per_s": 100.0, **options}
    return search(bench.measure, OBJECTIVES, rest=bench.rest, clock=bench.clock, **options)


def bench(server: Server, seed: int = 1, **options: Any) -> Bench:
    return Bench(server, np.random.default_rng((seed, 5)), **options)


@pytest.mark.parametrize("name", KNOWN)
def test_the_interval_contains_the_truth_in_19_of_20_runs(name):
    known = KNOWN[name]
    held, widths = 0, []
    for seed in range(20):
        start = float(np.random.default_rng(seed).uniform(20, 150)) if known.truth_per_s > 300 else 10.0
        found = run(bench(known.fresh(), seed), start_per_s=start)
        low, high = found.requests_per_s
        assert high is not None
        held += low <= known.truth_per_s <= high
        assert found.width is not None
        widths.append(found.width)
        assert found.seconds <= BUDGET_S + 1
        assert {tried.trial.seconds for tried in found.trials if tried.kind != "probe"} <= set(LENGTHS_S)
        assert found.valid or found.width > 0.05
    assert held >= 19
    assert np.max(widths) <= known.widest


@pytest.mark.parametrize("name", KNOWN)
def test_the_truth_is_what_the_recursion_of_the_queue_says(name):
    known = KNOWN[name]
    error = 3 * 1.25 * 2.5 / np.sqrt(known.truth_per_s * STEP_S) / np.sqrt(16)  # of a median of so many lucky steps
    assert truth_per_s(known.fresh, OBJECTIVES, STEP_S, known.truth_per_s, 16) == pytest.approx(
        known.truth_per_s, rel=error
    )


@pytest.mark.parametrize(("name", "capacity_per_s"), [(n, float(n.split()[-1][:-2].replace(",", ""))) for n in KNOWN])
def test_half_a_minute_sees_the_capacity_up_to_the_luck_of_arrivals(name, capacity_per_s):
    known = KNOWN[name]
    if "lock" in name:  # bursts push it over the knee
        assert 0.95 * capacity_per_s < known.truth_per_s < capacity_per_s
    else:
        assert known.truth_per_s == pytest.approx(capacity_per_s, rel=2.2 / np.sqrt(capacity_per_s * STEP_S))


def test_at_low_rates_the_interval_is_as_wide_as_arrivals_allow_and_says_so():
    found = run(bench(Servers(1 / 200)), start_per_s=10)
    assert found.valid
    assert found.width is not None
    assert 0.05 < found.width <= 0.1
    assert found.why is not None
    assert "arrivals at 19" in found.why or "arrivals at 20" in found.why


def test_a_strict_percentile_breaks_before_the_capacity_is_reached():
    objectives = parse_objectives(["p99(latency) < 100 ms"])
    bed = bench(Mixed(1 / 3800, np.random.default_rng(3)))
    found = search(bed.measure, objectives, start_per_s=100, rest=bed.rest, clock=bed.clock)
    low, high = found.requests_per_s
    assert high is not None
    assert low <= 1954 <= high  # by `truth_per_s` with 1,000 steps
    assert found.broke[0] == "p99(latency) < 100 ms"


# Void trials


def test_a_generator_that_is_the_limit_is_named_so_and_the_backend_is_not_blamed():
    found = run(bench(Servers(1 / 1500), busy=lambda rate_per_s, trial: 0.9 if rate_per_s > 700 else 0.2))
    low, high = found.requests_per_s
    assert 600 < low <= 700
    assert high is None
    assert found.limited_by == "generator"
    assert not found.valid
    assert found.why is not None
    assert "the generator is the limit" in found.why
    assert all(tried.as_json()["holds"] is None for tried in found.trials if tried.trial.void)
    assert not found.meets(parse_requirement("requests_per_s <= 5000"))
    assert found.meets(parse_requirement("requests_per_s >= 500"))


def test_workers_are_added_when_the_generator_is_too_busy():
    workers = 1

    def more() -> bool:
        nonlocal workers
        workers += 1
        return workers <= 4

    found = run(bench(Servers(1 / 1500), busy=lambda rate, trial: rate / 500 / workers), more_workers=more)
    low, high = found.requests_per_s
    assert high is not None
    assert low <= TRUTH_1500_PER_S <= high
    assert found.valid
    assert workers >= 4
    assert sum(tried.trial.void is not None for tried in found.trials) >= 3


def test_trials_voided_by_bad_luck_are_made_again_and_cost_no_more_than_time():
    held = 0
    for seed in range(10):
        luck = np.random.default_rng(seed)
        found = run(bench(Servers(1 / 1500), seed, busy=lambda rate, trial, luck=luck: 0.9 * luck.random()))
        low, high = found.requests_per_s
        held += high is not None and low <= TRUTH_1500_PER_S <= high
        assert any(tried.trial.void for tried in found.trials)
        assert found.seconds <= BUDGET_S + 1
    assert held == 10


def test_a_void_trial_that_looks_broken_is_no_evidence():
    """The generator is busy exactly where the backend could do more: nothing broke that counts."""
    found = run(bench(Servers(1 / 1000), busy=lambda rate, trial: 1.0 if rate > 900 else 0.1))
    assert found.requests_per_s[1] is None
    assert found.broke == ()


# What a trial leaves behind


@dataclass
class Witness:
    """Notes how much work a server has left when a trial begins."""

    bed: Bench
    left_s: list[float]

    def measure(self, rate_per_s: float, seconds: float) -> Trial:
        if seconds >= SHORT_S:
            self.left_s.append(float(np.max(self.bed.server.free_at)) - self.bed.now)  # type: ignore[attr-defined]  # only of servers that have it
        return self.bed.measure(rate_per_s, seconds)


@pytest.mark.parametrize(
    "server", [Servers(1 / 1000), LockContention(1 / 1500, queue=8000), Retrying(1 / 1500, queue_s=20)]
)
def test_no_trial_begins_before_the_last_ones_backlog_is_worked_off(server):
    bed = bench(server)
    witness = Witness(bed, [])
    found = search(witness.measure, OBJECTIVES, start_per_s=100, rest=bed.rest, clock=bed.clock)
    assert any(tried.kind == "probe" for tried in found.trials)
    assert len(witness.left_s) == sum(tried.kind != "probe" for tried in found.trials)
    assert max(witness.left_s) < 0.1


@dataclass
class Broken:
    """Collapses for good at the first overload."""

    inner: Servers
    down: bool = False

    def serve(self, arrivals: Floats) -> Answers:
        done, good = self.inner.serve(arrivals)
        down, self.down = self.down, self.down or bool(len(done) and np.max(done - arrivals) > 0.5)
        return (done, good & False) if down else (done, good)


def test_a_backend_that_does_not_come_back_ends_the_search_which_says_so():
    found = run(bench(Broken(Servers(1 / 1000))))
    assert not found.valid
    assert found.why is not None
    assert "did not come back" in found.why
    assert found.seconds <= BUDGET_S + 1


def test_a_backend_is_well_when_its_latency_is_what_it_was():
    empty, *probes = (_probe(latency_s) for latency_s in (None, 5.0, 2.0, 0.5, 0.021, 0.02))
    coming, rested = iter([empty, *probes]), list[float]()
    assert wait_until_well(lambda: next(coming), 0.02, rested.append, lambda: False)
    assert rested == [1.0, 2.0, 4.0, 8.0]  # a probe without any request says nothing
    assert len(list(coming)) == 1


def _probe(latency_s: float | None) -> Trial:
    due = np.linspace(0, 0.9, 0 if latency_s is None else 10)
    return trial_of(due, due + (latency_s or 0.0), np.ones(len(due), bool), 1.0)


def test_trials_are_as_long_as_one_says():
    found = run(bench(Servers(1 / 1000)), lengths=(STEP_S,))
    low, high = found.requests_per_s
    assert high is not None
    assert low <= TRUTH_1000_PER_S <= high
    assert {tried.trial.seconds for tried in found.trials if tried.kind != "probe"} == {STEP_S}


# Odd backends


@dataclass
class Hiccup:
    """A pause of three seconds in one trial: the machine's, whatever the load."""

    inner: Servers
    in_trial: int
    trial: int = 0

    def serve(self, arrivals: Floats) -> Answers:
        self.trial += 1
        done, good = self.inner.serve(arrivals)
        begin = arrivals[0] if len(arrivals) else 0.0
        paused = (done > begin + 3) & (done < begin + 6)
        return np.where(paused & (self.trial == self.in_trial), done + 3, done), good


@pytest.mark.parametrize("in_trial", [1, 2, 3])
def test_one_hiccup_is_not_taken_for_the_breaking_point(in_trial):
    found = run(bench(Hiccup(Servers(1 / 1500), in_trial)))
    low, high = found.requests_per_s
    assert high is not None
    assert low <= TRUTH_1500_PER_S <= high


def test_a_search_that_begins_too_high_goes_down():
    found = run(bench(Servers(1 / 1000)), start_per_s=6000)
    low, high = found.requests_per_s
    assert high is not None
    assert low <= TRUTH_1000_PER_S <= high


def test_a_load_that_must_not_be_exceeded_is_not():
    found = run(bench(Servers(1 / 1000)), most_per_s=500)
    assert max(tried.rate_per_s for tried in found.trials) == 500
    low, high = found.requests_per_s
    assert (low, high is None) == (500, True)
    assert found.why == "nothing broke up to 500/s, which must not be exceeded"
    assert not found.valid


def test_a_backend_that_loses_writes_holds_at_no_load():
    bed = bench(Servers(1 / 1000))

    def measure(rate_per_s: float, seconds: float) -> Trial:
        return replace(bed.measure(rate_per_s, seconds), lost=1)

    found = search(measure, OBJECTIVES, start_per_s=50, rest=bed.rest, clock=bed.clock)
    assert found.requests_per_s[0] == 0
    assert found.broke == ("lost <= 0",)
    assert found.seconds <= BUDGET_S + 1


# What is answered


def test_the_answer_is_one_json_object():
    found = run(bench(Servers(1 / 1000)), flow="report", night_per_s=100.0)
    text = json.loads(json.dumps(found.as_json(), allow_nan=False))
    for key in ("flow", "requests_per_s", "nights", "limited_by", "valid", "recovery_s", "metastable", "trials"):
        assert key in text
    low, high = text["requests_per_s"]
    assert text["nights"] == [pytest.approx(low / 100), pytest.approx(high / 100)]
    assert text["metastable"] is None
    kinds: set[Kind] = {trial["kind"] for trial in text["trials"]}
    assert kinds == {"bracket", "narrow", "probe"}


def test_a_requirement_counts_the_end_of_the_interval_that_speaks_against_it():
    found = run(bench(Servers(1 / 1000)), night_per_s=100.0)
    assert found.meets(parse_requirement("nights >= 9"))
    assert not found.meets(parse_requirement("nights >= 10.2"))
    assert found.meets(parse_requirement("requests_per_s >= 900"))
    assert not found.meets(parse_requirement("recovery < 30 s"))  # it was not measured


def test_what_ran_out_is_named_by_the_trials_that_broke():
    bed = bench(Servers(1 / 1000))

    def measure(rate_per_s: float, seconds: float) -> Trial:
        used = min(1.0, rate_per_s / 1000)
        resources = {"service.cpu": used, "service.memory_mb": 900.0, "machine.cpu": 1.0, "database.cpu": used / 2}
        return replace(bed.measure(rate_per_s, seconds), resources=resources)

    found = search(measure, OBJECTIVES, start_per_s=100, rest=bed.rest, clock=bed.clock)
    assert found.limited_by == "service.cpu"
    assert used_up(measure(100, 1)) == "machine.cpu"


def test_every_trial_is_told_and_kept():
    told: list[Any] = []
    found = run(bench(Servers(1 / 1000)), told=told.append)
    assert tuple(told) == found.trials


def test_a_search_that_runs_out_of_time_before_anything_holds_is_not_valid():
    found = run(bench(Servers(1 / 20)), start_per_s=5000, budget_s=60)
    assert found.requests_per_s[0] == 0
    assert not found.valid
    assert found.why is not None
    assert "60 s" in found.why


def test_the_page_of_the_method_holds_its_numbers():
    page = method_markdown()
    for number in (f"{STEP_S:.0f} s", f"{SHORT_S:.0f} s", "95%", "4 minutes"):
        assert number in page


def test_a_backend_for_less_than_one_request_a_second_is_searched_without_a_mistake():
    found = run(bench(Servers(2.0)), start_per_s=1.0)
    low, high = found.requests_per_s
    assert low < 1
    assert high is not None


# A search that ends early


def after(trials: int, error: BaseException, bed: Bench) -> Callable[[float, float], Trial]:
    """Measures so many trials, then fails."""

    def measure(rate_per_s: float, seconds: float) -> Trial:
        if bed.trials >= trials:
            raise error
        return bed.measure(rate_per_s, seconds)

    return measure


def test_a_search_that_is_broken_off_says_so_however_good_its_answer_is():
    bed = bench(Servers(1 / 1000))
    whole = run(bed)
    assert (whole.valid, whole.broken_off, whole.failed) == (True, False, None)
    again = bench(Servers(1 / 1000))
    found = search(
        after(len(whole.trials) - 1, KeyboardInterrupt(), again), OBJECTIVES, start_per_s=100, rest=again.rest,
        clock=again.clock,
    )  # fmt: skip
    assert found.broken_off
    assert found.as_json()["broken_off"]
    assert len(found.trials) == len(whole.trials) - 1


@pytest.mark.parametrize("trials", [1, 2, 6, 12])
def test_what_fails_after_some_trials_leaves_what_they_said(trials):
    bed = bench(Servers(1 / 1000))
    measure = after(trials, UnfinishedError("the fault did not happen"), bed)
    found = search(measure, OBJECTIVES, start_per_s=100, rest=bed.rest, clock=bed.clock)
    assert len(found.trials) == trials
    assert (found.valid, found.why, found.failed) == (False, "the fault did not happen", "the fault did not happen")
    assert not found.broken_off
    assert json.loads(json.dumps(found.as_json(), allow_nan=False))["failed"] == "the fault did not happen"


def test_what_fails_before_the_first_trial_is_over_is_an_error():
    bed = bench(Servers(1 / 1000))
    with pytest.raises(UnfinishedError, match="the fault did not happen"):
        search(after(0, UnfinishedError("the fault did not happen"), bed), OBJECTIVES, start_per_s=100)


# What a trial tells beside its verdict


def test_a_trial_begins_when_its_load_does_not_when_it_is_prepared():
    bed = bench(Servers(1 / 1000))

    def measure(rate_per_s: float, seconds: float) -> Trial:
        bed.now += 2.5  # it is prepared
        begins_s = bed.now
        return replace(bed.measure(rate_per_s, seconds), begins_s=begins_s)

    found = search(measure, OBJECTIVES, start_per_s=100, rest=bed.rest, clock=bed.clock)
    for tried in found.trials:
        assert tried.begins_s == pytest.approx(tried.at_s + 2.5)
        assert tried.took_s >= tried.trial.seconds + 2.5
    assert found.as_json()["trials"][0]["load_at_s"] == 2.5


def test_a_trial_keeps_what_was_used_and_how_well_load_was_made():
    bed = bench(Servers(1 / 1000), busy=lambda rate, trial: 0.3)

    def measure(rate_per_s: float, seconds: float) -> Trial:
        trial = bed.measure(rate_per_s, seconds)
        return replace(trial, resources={"service.cpu": 0.5}, sample=replace(trial.sample, problems={"HTTP 503": 2}))

    found = search(measure, OBJECTIVES, start_per_s=100, rest=bed.rest, clock=bed.clock, seed=lambda: 17)
    one = found.trials[0].as_json()
    assert one["resources"] == {"service.cpu": 0.5}
    assert one["problems"] == {"HTTP 503": 2}
    assert (one["generator_cpu"], one["sent_share"], one["lateness_p99_s"], one["seed"]) == (0.3, 1.0, 0.0, 17)


def test_the_generator_is_never_what_a_backend_had_no_more_of():
    trial = bench(Servers(1 / 1000)).measure(100, 1)
    assert used_up(replace(trial, resources={"generator.cpu": 1.9, "service.cpu": 0.4})) is None


def test_several_processes_that_use_a_core_together_have_not_used_one_up():
    trial = bench(Servers(1 / 1000)).measure(100, 1)
    together = {"service.cpu": 1.6, "service.cpu_busiest": 0.4, "database.cpu": 0.95}
    assert used_up(replace(trial, resources=together)) == "database.cpu"
    assert used_up(replace(trial, resources={**together, "service.cpu_busiest": 0.99})) == "service.cpu"
