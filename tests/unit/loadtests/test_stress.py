"""What a search at a backend comes to when it is broken off or fails, and what is known of the recovery then."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from loadtests import breaking_point
from loadtests.breaking_point import BROKEN_OFF, BreakingPoint, SearchEndedError, Tried, search
from loadtests.generator.processes import Around, GeneratorError, nothing
from loadtests.objectives import parse_objectives
from loadtests.search import stress
from loadtests.search.recovery import Phase
from loadtests.search.stress import NOT_ASKED, Made, Played, Stress
from loadtests.target.guards import Target, allowed
from loadtests.trial import Trial
from loadtests.workload import Schedule, poisson
from simulation.errors import UnfinishedError
from tests.unit.loadtests.simulated_servers import Bench, Retrying, Server, Servers, trial_of

OBJECTIVES = parse_objectives(["p99(latency) < 1 s", "error_share < 0.5 %"])
HERE = allowed("http://127.0.0.1:9")
ELSEWHERE = Target("http", "their.test", 80, "", ("198.51.100.7",), loopback=False)


class Simulated(Stress):
    """Load on a server that is computed; `fails` is asked before each trial, and before each episode."""

    server: Server
    bench: Bench
    fails: Callable[[str, int], None]
    episodes: int

    @classmethod
    def of(
        cls, server: Server, target: Target = HERE, fails: Callable[[str, int], None] = lambda what, k: None,
        **more: Any,
    ) -> Simulated:  # fmt: skip
        one = cls(Made("none:none", target), **more)
        one.server, one.fails, one.episodes = server, fails, 0
        one.bench = Bench(server, np.random.default_rng(1))
        return one

    def measure(self, rate_per_s: float, seconds: float) -> Trial:
        self._made_trials += 1
        self.fails("trial", self._made_trials)
        return self.bench.measure(rate_per_s, seconds)

    def probe(self, rate_per_s: float, seconds: float) -> Trial:
        return self.bench.measure(rate_per_s, seconds)

    def play(self, phases: Sequence[Phase], retries: int) -> Played:
        self.episodes += 1
        self.fails("episode", self.episodes)
        start, parts = 0.0, []
        for phase in phases:
            parts.append(start + poisson(phase.per_s, phase.seconds, self.episodes).due_ns / 1e9)
            start += phase.seconds
        due = np.concatenate(parts)
        server = Retrying(1 / 300, retries=retries)
        done, good = server.serve(due)
        trial = trial_of(due, done, good, start)
        return Played(replace(trial, sample=replace(trial.sample, attempts=server.tries)))

    def found(self, **more: Any) -> BreakingPoint:
        """On the clock of the bench."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(stress, "search", partial(search, clock=self.bench.clock, rest=self.bench.rest))
            return self.find(OBJECTIVES, flow="report", **{"start_per_s": 100.0, **more})


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits between looks at a backend that is computed."""
    monkeypatch.setattr(stress, "wait_until_well", lambda *of: True)


def failing(what: str, number: int, error: BaseException) -> Callable[[str, int], None]:
    def fails(which: str, k: int) -> None:
        if (which, k) == (what, number):
            raise error

    return fails


def test_how_a_backend_comes_back_is_known_after_an_overload_without_and_with_retries() -> None:
    found = Simulated.of(Servers(1 / 300)).found()
    assert [one.retries for one in found.recoveries] == [0, 3]
    assert (found.recovery_unknown, found.broken_off, found.failed) == (None, False, None)


def test_after_ctrl_c_no_overload_begins_however_narrow_the_interval_already_is() -> None:
    one = Simulated.of(Servers(1 / 300))
    trials: list[Tried] = []

    def breaks_off(tried: Tried) -> None:
        trials.append(tried)
        low, high = one_interval(trials)
        if high is not None and high / low < 1.1:
            raise KeyboardInterrupt

    found = one.found(tried=breaks_off)
    assert found.broken_off
    assert found.as_json()["broken_off"]
    assert one.episodes == 0
    assert found.recovery_unknown == BROKEN_OFF


def one_interval(trials: Sequence[Tried]) -> tuple[float, float | None]:
    """Between the highest load that held and the lowest that broke."""
    counted = [one for one in trials if one.counts]
    high = min((one.rate_per_s for one in counted if not one.judgement.holds), default=None)
    return max((one.rate_per_s for one in counted if one.judgement.holds), default=1.0), high


def test_ctrl_c_in_the_second_episode_keeps_the_first() -> None:
    found = Simulated.of(Servers(1 / 300), fails=failing("episode", 2, KeyboardInterrupt())).found()
    assert found.broken_off
    assert [one.retries for one in found.recoveries] == [0]
    assert found.recovery_s is not None
    assert found.recovery_unknown == BROKEN_OFF


@pytest.mark.parametrize("error", [GeneratorError("a worker has ended"), UnfinishedError("a worker has ended")])
def test_what_fails_in_mid_search_keeps_what_was_found_until_then(error: Exception) -> None:
    found = Simulated.of(Servers(1 / 300), fails=failing("trial", 4, error)).found()
    assert len([one for one in found.trials if one.kind != "probe"]) == 3
    assert not found.valid
    assert found.failed is not None
    assert found.why == found.failed == found.recovery_unknown == found.as_json()["failed"]
    assert "a worker has ended" in found.failed


@pytest.mark.parametrize("error", [GeneratorError("no worker"), UnfinishedError("no worker")])
def test_what_fails_before_the_first_trial_is_an_error(error: Exception) -> None:
    with pytest.raises(UnfinishedError, match="no worker"):
        Simulated.of(Servers(1 / 300), fails=failing("trial", 1, error)).found()


def test_what_fails_in_an_episode_keeps_the_point_and_the_first_episode() -> None:
    found = Simulated.of(Servers(1 / 300), fails=failing("episode", 2, GeneratorError("a worker has ended"))).found()
    assert found.requests_per_s[1] is not None
    assert [one.retries for one in found.recoveries] == [0]
    assert found.failed == found.recovery_unknown == "load could not be made: a worker has ended"


# Why it is not known how a backend comes back


def test_why_it_is_not_known_how_a_backend_comes_back_is_told() -> None:
    one = Simulated.of(Servers(1 / 300))
    assert one.found(recovers=False).recovery_unknown == NOT_ASKED
    few = Simulated.of(Servers(1 / 300), fails=failing("episode", 1, SearchEndedError("too few requests are left")))
    found = few.found()
    assert found.recovery_unknown == found.as_json()["recovery_unknown"] == "too few requests are left"
    assert found.failed is None
    assert found.valid
    assert Simulated.of(Servers(1 / 300), ELSEWHERE).found(start_per_s=25.0).recovery_unknown == "nothing broke"


def test_a_target_elsewhere_is_never_sent_more_than_its_cap_not_even_by_clients_that_try_again() -> None:
    one = Simulated.of(Servers(1 / 20), ELSEWHERE)
    assert [found.retries for found in one.recoveries(OBJECTIVES, 20.0)] == [0]
    assert one.recoveries(OBJECTIVES, 40.0) == ()
    found = one.found(start_per_s=10.0)
    assert [each.retries for each in found.recoveries] == [0]
    assert found.recovery_unknown == (
        "an overload with retries could send more than 50 requests a second, which a target that is not this machine "
        "does not get"
    )


# Trials


def test_under_faults_that_have_a_time_all_trials_are_equally_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(breaking_point, "STEP_S", 20.0)
    found = Simulated.of(Servers(1 / 300), steps_only=True).found(recovers=False)
    assert {one.trial.seconds for one in found.trials if one.kind != "probe"} == {20.0}
    assert found.requests_per_s[1] is not None


def test_a_trial_knows_the_seed_of_its_arrivals() -> None:
    found = Simulated.of(Servers(1 / 300), seed=7).found(recovers=False)
    measured = [one.seed for one in found.trials if one.kind != "probe"]
    assert measured == [7001 + k for k in range(len(measured))]


def test_an_overload_is_played_without_faults() -> None:
    arounds: list[object] = []

    class Watched(Stress):
        def _kept(self, schedule: Schedule, around: Around) -> Trial:
            assert schedule.seconds == 3
            arounds.append(around)
            return cast(Trial, None)

    one = Watched(Made("none:none", HERE), around=lambda begins: nullcontext())
    one._generators = cast(Any, SimpleNamespace(order={"limits": {}}))
    one.play([Phase(1, 1), Phase(2, 1), Phase(1, 1)], 3)
    assert arounds == [nothing]
    assert one._generators is not None
    assert one._generators.order == {"limits": {}}


@pytest.mark.parametrize(
    ("line", "is_one"),
    [
        ("caucus_hashes_waiting 3", True),
        ('pool_in_use{pool="a"} 8', True),
        ("queue_length 12", True),
        ("requests_pending_total 90000", False),
        ("queue_seconds_sum 4000.5", False),
        ("queue_seconds_count 4000", False),
        ('queue_seconds_bucket{le="1"} 4000', False),
        ("queue_created 1.7e9", False),
    ],
)
def test_only_gauges_are_taken_for_what_waits(line: str, is_one: bool) -> None:
    assert bool(stress._GAUGE.search(line)) is is_one
