"""The open workload, against servers whose truth is known."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
import pytest

from loadtests.generator import resources
from loadtests.generator.processes import GeneratorError, Generators
from loadtests.target.guards import allowed
from loadtests.trial import Status, Trial
from loadtests.workload import Schedule, burst, constant, poisson
from tests.system.loadtests.servers import Running, serving

SOURCES = "tests.system.loadtests.servers"


@pytest.fixture(scope="module")
def instant() -> Iterator[Running]:
    with serving("instant") as server:
        yield server


@pytest.fixture(scope="module")
def generators(instant: Running) -> Iterator[Generators]:
    with Generators(f"{SOURCES}:numbered", allowed(instant.url), timeout_s=5) as one:
        yield one


@pytest.fixture
def trial(generators: Generators) -> Callable[..., Trial]:
    """A trial of any kind by one process, which stays: starting one takes seconds."""

    def made(url: str, schedule: Schedule, source: str = "numbered", ca: Path | None = None, **more: object) -> Trial:
        before = generators.order
        limits = {name: more.pop(name) for name in ("timeout_s", "under_way") if name in more}
        generators.order = {
            **before,
            "source": f"{SOURCES}:{source}",
            "arguments": more,
            "target": generators.target_order(allowed(url)),
            "limits": {**before["limits"], **limits},
            "ca": str(ca) if ca else None,
        }
        try:
            return generators.trial(schedule)
        finally:
            generators.order = before

    return made


def statuses(trial: Trial) -> list[int]:
    return [int(status) for status in trial.sample.status]


def test_a_stall_of_one_second_is_seen_by_every_request_that_was_due_in_it(trial: Callable[..., Trial]) -> None:
    """wrk2 says 0.906 s of the same stall; clients that wait for an answer before they ask again say milliseconds."""
    with serving("stall", "--after-s", 4, "--length-s", 1) as server:
        found = trial(server.url, constant(500, 10))
    assert found.requests == 5000
    assert found.goodput_share == 1
    assert 0.85 < found.latency_s(0.99) < 1.0 + found.lateness_p99_s  # a busy machine may add to it, never take away
    assert found.latency_s(0.5) < 0.1


def test_at_2000_requests_a_second_the_generator_is_not_late() -> None:
    """On a core of its own. Three tries, and a skip where others hold the machine: see benchmarks/generator.py."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        pytest.skip("needs a core for the generator and one for the server")
    with (
        serving("instant", "--core", cores[1]) as server,
        Generators(f"{SOURCES}:numbered", allowed(server.url), cores=cores[:1]) as one,
    ):
        found = one.trial(poisson(2000, 2, seed=0))
        for seed in (1, 2):
            if found.lateness_p99_s >= 0.005:
                found = one.trial(poisson(2000, 2, seed))
    if found.lateness_p99_s >= 0.005 and os.getloadavg()[0] > 1.5:
        pytest.skip(f"others hold the machine: load {os.getloadavg()[0]:.1f}")
    assert found.lateness_p99_s < 0.005
    assert found.void is None


def test_master_and_two_workers_together_send_exactly_the_schedule(instant: Running) -> None:
    schedule = poisson(400, 2, seed=7)
    before = len(instant.seen())
    with Generators(f"{SOURCES}:numbered", allowed(instant.url), workers=2) as two:
        found = two.trial(schedule)
        sent_as_it_is = two.run(Schedule.from_bytes(burst(30, 0.5, 1).to_bytes()))
        counted = two.stats()
        for_one_of_them = two.run(burst(1, 1, 1))
        two.order["limits"]["retries"] = 3
        two.order["arguments"] = {"judged": True}
        tried_again = two.run(burst(20, 0.5, 1))
        processes = [psutil.Process(pid) for pid in two.process_ids]
    seen = instant.seen()[before:]
    assert sorted(seen[: len(schedule)]) == sorted(f"/r/{number}" for number in range(len(schedule)))
    assert sorted(seen[len(schedule) :][:60]) == sorted(f"/r/{number}" for number in range(60))
    assert np.array_equal(found.sample.due, schedule.due_ns)
    assert len(found.sample.cpu) == 2
    assert found.goodput_share == 1
    assert len(sent_as_it_is) == 60
    assert for_one_of_them.ok.tolist() == [True], "the other worker has nothing to do"
    assert tried_again.attempts.tolist() == [1, 4] * (len(tried_again) // 2), "odd ones are answered badly"
    assert len(seen) == len(schedule) + 60 + 1 + int(tried_again.attempts.sum())
    assert (counted["requests"], counted["failures"]) == (len(schedule) + 60, 0), "Locust's own statistics"
    assert not any(process.is_running() for process in processes), "all of them end with the block"


def test_one_process_sends_exactly_the_schedule(instant: Running, trial: Callable[..., Trial]) -> None:
    before = len(instant.seen())
    found = trial(instant.url, poisson(500, 1, seed=3))
    assert sorted(instant.seen()[before:]) == sorted(f"/r/{number}" for number in range(found.requests))
    assert (found.sample.sent >= found.sample.due).all(), "never before it is due"
    assert (found.sample.done > found.sample.sent).all()


def test_a_generator_that_is_the_limit_says_so(instant: Running, trial: Callable[..., Trial]) -> None:
    found = trial(instant.url, constant(1000, 1), work_s=0.002)
    assert found.void is not None
    assert found.void.startswith("the generator was ")
    assert found.goodput_share == 1, found.sample.problems


def test_requests_beyond_the_cap_are_dropped_and_count_as_failed(trial: Callable[..., Trial]) -> None:
    with serving("queue", "--service-ms", 200) as server:
        found = trial(server.url, constant(100, 1), under_way=20, timeout_s=1.5)
    dropped = int(np.count_nonzero(found.sample.status == Status.DROPPED))
    assert dropped > 60
    assert found.error_share >= dropped / 100
    assert (found.sample.sent[found.sample.status == Status.DROPPED] == -1).all()
    assert found.latency_s(0.99) == float("inf")
    assert found.void is None or "late" in found.void, "the backend was slow, not the generator"


def test_what_is_not_answered_in_time_has_failed(trial: Callable[..., Trial]) -> None:
    with serving("queue", "--service-ms", 5000) as server:
        found = trial(server.url, constant(20, 0.5), timeout_s=0.5)
    assert statuses(found) == [Status.NO_ANSWER] * 10
    assert found.sample.problems == {"no answer in time": 10}
    waited = (found.sample.done - found.sample.sent) / 1e9
    assert waited.min() > 0.5


def test_who_waits_for_an_answer_before_the_next_request_is_not_a_late_generator(trial: Callable[..., Trial]) -> None:
    with serving("queue", "--servers", 100, "--service-ms", 50) as server:
        found = trial(server.url, constant(100, 0.1), source="in_turns")
        forgotten = trial(server.url, constant(100, 0.1), source="in_turns", forgets=True)
        seen = server.seen()
    assert seen == [f"/r/{number}" for number in range(10)] + ["/r/0"]
    assert found.goodput_share == 1
    assert found.latency_s(1.0) > 0.05 * 10 - 0.1, "latency counts from due, waiting included"
    assert found.lateness_p99_s < 0.05
    assert statuses(forgotten) == [200] + [Status.UNABLE] * 9
    assert forgotten.sample.problems == {"waited for what never came": 9}


def test_a_server_that_is_not_there_fails_requests_and_voids_nothing(trial: Callable[..., Trial]) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        found = trial(f"http://127.0.0.1:{unused.getsockname()[1]}", constant(50, 0.5))
    assert statuses(found) == [Status.BROKEN_OFF] * 25
    assert found.sample.problems == {"connection refused": 25}
    assert found.error_share == 1
    assert found.void is None or "late" in found.void


def test_two_servers_of_4_ms_answer_500_a_second_and_no_more(trial: Callable[..., Trial]) -> None:
    with serving("queue", "--servers", 2, "--service-ms", 4) as server:
        under = trial(server.url, poisson(350, 1.5, seed=1))
        over = trial(server.url, poisson(650, 5, seed=1))
    assert over.completed_per_s == pytest.approx(500, rel=0.05)
    assert over.backlog_slope_per_s == pytest.approx(150, rel=0.35)
    assert over.backlog_slope_p < 0.05
    assert under.completed_per_s == pytest.approx(under.offered_per_s, rel=0.05)
    assert under.backlog_slope_p > 0.05


def test_a_judge_decides_what_is_well_answered(instant: Running, trial: Callable[..., Trial]) -> None:
    found = trial(instant.url, constant(100, 1), judged=True)
    assert found.sample.ok.tolist() == [True, False] * 50
    assert found.sample.problems == {"odd: 11": 50}
    assert set(statuses(found)) == {200}


def test_a_photo_of_5_mb_arrives_whole(instant: Running, trial: Callable[..., Trial]) -> None:
    found = trial(instant.url, constant(4, 1), body=5_000_000)
    assert found.goodput_share == 1


def test_answers_in_every_form_that_http_allows_are_read(instant: Running, trial: Callable[..., Trial]) -> None:
    found = trial(instant.url, constant(20, 0.5), source="odd")
    assert statuses(found) == [200, 200, 200, 204, 304, 200, -1, -1, -1, 500]
    assert found.sample.ok.tolist() == [True] * 6 + [False] * 3 + [True], "the judge of this source lets an error pass"
    assert found.sample.problems == {"the answer is not HTTP": 1, "closed without an answer": 2}


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificate")
def test_tls_is_spoken_to_whom_the_certificate_names_and_to_nobody_else(
    tmp_path: Path, trial: Callable[..., Trial]
) -> None:
    names = "subjectAltName=IP:127.0.0.1"
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=test", "-addext"]
    files = ["-keyout", str(tmp_path / "key.pem"), "-out", str(tmp_path / "certificate.pem")]
    subprocess.run([*made, names, *files], check=True, capture_output=True)
    pem = tmp_path / "both.pem"
    pem.write_bytes((tmp_path / "certificate.pem").read_bytes() + (tmp_path / "key.pem").read_bytes())
    with serving("instant", "--certificate", pem) as server:
        trusted = trial(server.url, constant(100, 0.5), ca=tmp_path / "certificate.pem", body=200_000)
        unknown = trial(server.url, constant(20, 0.5))
    assert trusted.goodput_share == 1
    assert unknown.goodput_share == 0
    assert list(unknown.sample.problems) == ["TLS: CERTIFICATE_VERIFY_FAILED"]


def test_a_source_that_cannot_be_made_is_named(instant: Running, trial: Callable[..., Trial]) -> None:
    with pytest.raises(GeneratorError, match="has no attribute 'nobody'"):
        trial(instant.url, constant(10, 0.5), source="nobody")
    assert trial(instant.url, constant(10, 0.5)).goodput_share == 1, "and the process goes on"


# Around a trial, and its end before its time


def test_a_trial_knows_when_its_clock_began_and_what_was_used_from_then_on(
    generators: Generators, trial: Callable[..., Trial], monkeypatch: pytest.MonkeyPatch, instant: Running
) -> None:
    watched: list[float] = []
    began: list[float] = []

    class Noting(resources.Watch):
        def __enter__(self) -> resources.Watch:
            watched.append(time.monotonic())
            return super().__enter__()

    @contextmanager
    def around(begins: float) -> Iterator[None]:
        began.append(begins)
        yield

    monkeypatch.setattr(resources, "Watch", Noting)
    asked_at = time.monotonic()
    prepared_long = trial(instant.url, constant(20, 0.5), prepare_s=2)
    found = generators.trial(constant(20, 0.5), around=around)
    assert found.begins_s == began[0]
    assert prepared_long.begins_s is not None
    assert asked_at + 2 < watched[0] < prepared_long.begins_s < asked_at + 20, "preparing is no load"


@contextmanager
def interrupts(_: float) -> Iterator[None]:
    yield
    raise KeyboardInterrupt


@pytest.mark.parametrize("workers", [1, 2])
def test_who_presses_ctrl_c_leaves_nobody_sending(workers: int, instant: Running) -> None:
    pressed: list[float] = []

    def press() -> None:
        pressed.append(time.monotonic())
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    with Generators(f"{SOURCES}:numbered", allowed(instant.url), workers=workers) as some:
        some.run(burst(4, 0.2, 1))
        processes = [psutil.Process(pid) for pid in some.process_ids]
        before = len(instant.seen())
        pressing = threading.Timer(2.0, press)
        pressing.start()
        with pytest.raises(KeyboardInterrupt):
            some.trial(constant(50, 60))
        ended = time.monotonic()
        sent = len(instant.seen())
        assert ended - pressed[0] < 2
        assert not any(process.is_running() for process in processes)
        time.sleep(0.5)
        assert before < sent == len(instant.seen())
        with pytest.raises(GeneratorError, match="was broken off"):
            some.trial(constant(50, 1))


def test_what_is_pressed_around_a_trial_ends_its_processes_as_well(instant: Running) -> None:
    with Generators(f"{SOURCES}:numbered", allowed(instant.url)) as one:
        (process,) = [psutil.Process(pid) for pid in one.process_ids]
        with pytest.raises(KeyboardInterrupt):
            one.trial(constant(20, 0.5), around=interrupts)
        assert not process.is_running()
        with pytest.raises(GeneratorError, match="was broken off"):
            one.stats()


def test_processes_that_do_not_end_are_ended_all_at_the_same_time(
    instant: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each that stands still is waited for twice: until it was told to, and until it was made to."""
    monkeypatch.setattr("loadtests.generator.processes._END_S", 1.0)
    with Generators(f"{SOURCES}:numbered", allowed(instant.url), workers=2) as two:
        processes = [psutil.Process(pid) for pid in two.process_ids]
        for process in processes:
            process.suspend()
        began = time.monotonic()
    assert time.monotonic() - began < 4, "three processes, two seconds each"
    assert not any(process.is_running() for process in processes)


def test_a_worker_that_dies_is_missed_within_seconds_and_not_replaced(instant: Running) -> None:
    """Trials are a minute long: nobody waits for the end of one whose part is lost."""
    with Generators(f"{SOURCES}:numbered", allowed(instant.url), workers=2) as two:
        two.run(burst(4, 0.2, 1))
        killing = threading.Timer(1.5, psutil.Process(two.process_ids[-1]).kill)
        began = time.monotonic()
        killing.start()
        with pytest.raises(GeneratorError, match="worker .* did not answer within .*: it is gone"):
            two.run(constant(20, 60))
        assert time.monotonic() - began < 1.5 + 15
        with pytest.raises(GeneratorError, match="worker .* is gone"):
            two.run(burst(4, 0.2, 1))
