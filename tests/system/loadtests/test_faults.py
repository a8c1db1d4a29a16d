"""Faults while everybody asks at once: a short form of the benchmark of this name, and what else a plan promises."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import numpy as np
import psutil
import pytest

from benchmarks import faults as benchmark
from benchmarks.backend_kills import state
from loadtests.faults import planned
from loadtests.generator.processes import Generators
from loadtests.harness import Job, Load, at_backend
from loadtests.target.guards import allowed
from loadtests.target.launch import Launched, launched
from loadtests.trial import SECOND
from loadtests.workload import Peak, constant
from simulation import load
from simulation.errors import InputError, UnfinishedError
from simulation.scenario import Scenario
from tests.system.loadtests.moments import came_at
from tests.system.loadtests.servers import serving

SERVERS = "tests.system.loadtests.servers"


SOME = (
    *("reset clients", "half-close clients", "kill service"),
    *("truncate database 20 B", "freeze database", "kill database", "lock rows", "fill database"),
)
short = partial(benchmark.played, lasts_s=0.4, calm_s=0.4, sites=60, per_s=30.0)


def test_no_fault_of_clients_service_or_database_costs_an_acknowledged_write(tmp_path: Path):
    told = short("mix", "embedded-postgres", SOME, tmp_path)
    # how soon requests are answered well again is for the benchmark to say: here others work on the same cores
    assert [one for one in benchmark.missed(told) if "answered well after" not in one] == []
    assert told["ledger"]["acknowledged"] > 100
    assert {one["fault"] for one in told["cells"]} == set(SOME)


def test_the_ledger_finds_what_is_stored_twice_because_answers_were_cut_off(tmp_path: Path):
    cut = ("half-close clients", "truncate clients 60 B")
    told = short("report", "sqlite", cut, tmp_path, history=["no_idempotency"])
    assert told["ledger"]["duplicated"] > 0
    assert told["ledger"]["lost"] == told["ledger"]["altered"] == 0


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Scenario:
    return load(state(tmp_path_factory.mktemp("night"), 4))


@pytest.fixture(scope="module")
def backend(tmp_path_factory: pytest.TempPathFactory, night: Scenario) -> Iterator[Launched]:
    folder = tmp_path_factory.mktemp("backend")
    with launched(folder / "data", f"sqlite:///{folder / 'data' / 'caucus.db'}", night) as found:
        yield found


def answers(url: str, within_s: float = 5.0) -> float:
    """How long an answer takes."""
    began = time.monotonic()
    with urlopen(f"{url}/results.json", timeout=within_s) as answer:
        answer.read()
    return time.monotonic() - began


def test_faults_happen_at_their_times_and_are_told_as_they_happened(backend: Launched):
    plan = planned(["freeze service at 300 ms for 400 ms", "reset clients at 1 s", "latency clients 200 ms at 1100 ms"])
    with plan.around(backend, allowed(backend.url)) as through, plan.playing() as marks:
        began = time.monotonic()
        while time.monotonic() - began < 0.35:
            time.sleep(0.01)
        assert answers(through.url) > 0.2, "it stood still"
        while time.monotonic() - began < 1.2:
            time.sleep(0.01)
        assert answers(through.url) >= 0.2, "it is late"
        assert answers(backend.url) < 0.2, "only through the proxy"
    assert [mark.name for mark in marks] == ["freeze service", "reset clients", "latency clients 200 ms"]
    freeze, reset, latency = marks
    assert freeze.began_s == pytest.approx(0.3, abs=0.1)
    assert freeze.ended_s == pytest.approx(0.7, abs=0.1)
    assert reset.began_s == reset.ended_s == pytest.approx(1.0, abs=0.1)
    assert latency.ended_s == pytest.approx(time.monotonic() - began, abs=0.3), "to the end of the load"
    assert plan.marks == marks


def test_what_is_still_on_at_the_end_of_the_load_is_taken_back_and_what_has_not_begun_never_happens(backend: Launched):
    plan = planned(["freeze service", "lock tables", "fill service", "kill service at 1 h"])
    with plan.around(backend, allowed(backend.url)), plan.playing() as marks:
        time.sleep(0.3)
        assert backend.process is not None
        assert psutil.Process(backend.process.pid).status() == psutil.STATUS_STOPPED
        assert psutil.Process(backend.process.pid).rlimit(psutil.RLIMIT_FSIZE)[0] == 0
    assert {mark.name for mark in marks} == {"freeze service", "lock tables", "fill service"}
    assert psutil.Process(backend.process.pid).status() != psutil.STATUS_STOPPED
    assert psutil.Process(backend.process.pid).rlimit(psutil.RLIMIT_FSIZE)[0] == psutil.RLIM_INFINITY
    answers(backend.url)


def test_a_killed_service_is_there_again_when_its_time_is_over(backend: Launched):
    plan = planned(["kill service at 100 ms for 500 ms"])
    assert backend.process is not None
    before = backend.process.pid
    with plan.around(backend, allowed(backend.url)) as through, plan.playing() as marks:
        time.sleep(0.3)
        with pytest.raises(URLError):
            answers(through.url)
        assert not psutil.pid_exists(before)
    assert marks[0].ended_s > 0.5
    assert backend.process.pid != before
    answers(through.url)


def test_a_load_that_fails_leaves_no_fault_behind(backend: Launched):
    plan = planned(["freeze service"])

    def load_() -> None:
        with plan.around(backend, allowed(backend.url)), plan.playing():
            time.sleep(0.2)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load_()
    answers(backend.url)


def test_a_fault_that_did_not_happen_fails_the_run(backend: Launched):
    plan = planned(["stall clients at 100 ms"])

    def load_() -> None:
        with plan.around(backend, allowed(backend.url)), plan.playing():
            psutil.Process(plan._proxies["clients"].pid).send_signal(signal.SIGKILL)
            time.sleep(0.3)

    with pytest.raises(UnfinishedError, match="stall clients at 100 ms: a proxy came to an end"):
        load_()


def test_what_cannot_be_is_said_before_anything_is_touched(backend: Launched):
    plan = planned(["stall database", "lock rows", "freeze service"])
    running = backend.process
    with pytest.raises(InputError) as refused, plan.around(backend, allowed(backend.url)):
        raise AssertionError("it was allowed")
    assert [problem.partition(":")[0] for problem in refused.value.problems] == ["stall database", "lock rows"]
    assert backend.process is running
    with pytest.raises(InputError) as refused, plan.around(None, allowed(backend.url)):
        raise AssertionError("it was allowed")
    assert len(refused.value.problems) == 3
    assert all("a backend that the harness started" in problem for problem in refused.value.problems)
    with planned(["stall clients"]).around(None, allowed(backend.url)) as through:
        assert through.port != allowed(backend.url).port


# When: the clock of a fault begins with the load


@pytest.mark.parametrize("workers", [1, 2])
def test_a_fault_comes_so_long_after_the_first_request_is_due_however_long_that_took_to_prepare(workers: int):
    plan = planned(["stall clients at 500 ms for 800 ms"])
    prepared = {"prepare_s": 0.8}
    with (
        serving("instant") as server,
        plan.around(None, allowed(server.url)) as through,
        Generators(f"{SERVERS}:numbered", through, prepared, workers=workers) as generators,
    ):
        sample = generators.trial(constant(100, 1.5), around=plan.playing).sample
    assert sample.ok.all()
    due_s, took_s = sample.due / SECOND, sample.latency_s
    (mark,) = plan.marks
    assert came_at(mark.began_s, 0.5)
    assert came_at(mark.ended_s, mark.began_s + 0.8)
    before, within = due_s < 0.4, (due_s > mark.began_s + 0.01) & (due_s < 1.0)
    assert np.median(took_s[before]) < 0.2
    assert came_at((due_s + took_s)[within].min(), mark.began_s + 0.8), "nobody is answered before its end"


Loaded = Callable[..., AbstractContextManager[Load]]


@pytest.fixture
def loaded(backend: Launched, night: Scenario) -> Loaded:
    """Readers at this backend, as the commands load it."""

    def with_(*faults: str) -> AbstractContextManager[Load]:
        job = Job(night, "small", Peak({}, {}), (), target=allowed(backend.url), plan=planned(faults))
        return at_backend(job, "results", lambda _: None)

    return with_


def test_every_trial_of_a_search_meets_the_same_faults_and_a_look_at_whether_all_is_well_meets_none(loaded: Loaded):
    with loaded("latency clients 200 ms", "stall clients at 400 ms for 600 ms") as one, one.opened() as stress:
        assert one.marks == [], "the first look is over"
        looked = stress.probe(40, 0.5)
        for trial in (stress.trial(constant(40, 1)), stress.trial(constant(40, 1))):
            due_s, latency_s = trial.sample.due / SECOND, trial.sample.latency_s
            assert latency_s.min() >= 0.2, "a fault without a time is there before the first request"
            assert (due_s + latency_s)[(due_s > 0.7) & (due_s < 0.8)].min() > 0.95
        assert looked.sample.latency_s.min() < 0.2
    at_s = [at_s for at_s, _ in one.marks]
    assert [mark.name for _, mark in one.marks] == ["latency clients 200 ms", "stall clients"] * 2
    assert at_s[0] == at_s[1] == 0.0
    assert at_s[2] == at_s[3] > 1.0


def test_in_a_soak_faults_happen_once_whatever_stretch_their_time_falls_into(loaded: Loaded):
    with loaded("stall clients at 1500 ms for 300 ms") as one, one.opened() as stress, one.faults_once(stress):
        first, _ = stress.measure(40, 1), stress.measure(40, 1)
    ((at_s, mark),) = one.marks
    assert at_s == 0
    assert came_at(mark.began_s, 1.5)
    assert first.latency_s(0.5) < 0.2


def test_no_threads_are_left(backend: Launched):
    before = threading.active_count()
    plan = planned(["latency clients 1 ms"])
    with plan.around(backend, allowed(backend.url)), plan.playing():
        pass
    assert threading.active_count() == before
