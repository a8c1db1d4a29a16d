"""What an operator sees: metrics, readiness, logs without secrets, and pools that say when they are full."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest
import sqlalchemy as sa
import structlog

from loadtests.backend import operation, reading
from loadtests.backend.operation import METRICS, Metrics, metrics_markdown, without_secrets
from loadtests.backend.pool import Pool, PoolBusyError
from loadtests.backend.refusals import REASONS, refusals_markdown
from loadtests.backend.settings import Settings
from simulation.scenario import Scenario
from tests.unit.backend.running_service import Running, prepare, running


@pytest.fixture(scope="module")
def service(scenario: Scenario, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    data = tmp_path_factory.mktemp("operation")
    url = f"sqlite:///{data / 'night.db'}"
    with running(Settings(url, data), prepare(url, data, scenario)) as found:
        yield found


def test_every_metric_is_documented_and_there(service: Running):
    service.write("0001", "/v1/reports/0001/open", {"attendees": 100})
    service.ask("GET", "/v1/nothing")
    service.log_in("0002", "999999", source="127.0.8.1")
    text = service.ask("GET", "/metrics").body.decode()
    page = metrics_markdown()
    for one in METRICS:
        name = f"{one.name}_total" if one.kind == "counter" else one.name
        assert f"# TYPE {name} {one.kind}" in text, name
        assert f"`{name}`" in page
    assert 'caucus_requests_total{method="POST",route="/v1/reports/{site}/open",status="201"} 1.0' in text
    assert 'caucus_requests_total{method="GET",route="other",status="404"}' in text
    assert 'caucus_logins_total{outcome="wrong"} 1.0' in text
    assert "caucus_batch_size_sum 1.0" in text
    assert "caucus_ready 1.0" in text


def test_a_made_up_path_or_method_is_no_new_time_series(service: Running):
    for number in range(20):
        service.ask("GET", f"/v1/made-up-{number}")
        service.ask("GET", f"/results/made-up-{number}")
    text = service.ask("GET", "/metrics").body.decode()
    assert "made-up" not in text


def test_alive_and_ready_are_two_questions(service: Running, monkeypatch: pytest.MonkeyPatch):
    assert service.ask("GET", "/healthz").json == {"status": "alive"}
    ready = service.ask("GET", "/readyz")
    assert (ready.status, ready.json["ready"]) == (200, True)
    assert set(ready.json["checks"]) == {"database", "migrations", "writer", "journal", "release"}
    monkeypatch.setattr(service.service.parts, "_answers", False)
    answer = service.ask("GET", "/readyz")
    assert (answer.status, answer.json["checks"]["database"]) == (503, False)
    assert answer.headers["retry-after"] == "1"
    assert service.ask("GET", "/healthz").status == 200


def test_a_crowd_of_readers_and_photos_hides_neither_the_database_nor_the_metrics(service: Running):
    parts, go, loops = service.service.parts, threading.Event(), asyncio.new_event_loop()

    async def crowd() -> None:
        pools = (parts.services.reads, parts.services.files)
        calls = [asyncio.create_task(pool.run(go.wait, 10)) for pool in pools for _ in range(64)]
        await asyncio.sleep(0)
        asked_s = parts._answers_at_s
        async with asyncio.timeout(5):
            while parts._answers_at_s <= asked_s:  # until the next pulse
                await asyncio.sleep(0.02)
        answers = await asyncio.to_thread(lambda: [service.ask("GET", path) for path in ("/readyz", "/metrics")])
        go.set()
        await asyncio.gather(*calls, return_exceptions=True)
        assert [answer.status for answer in answers] == [200, 200], answers[0].body

    loops.run_until_complete(crowd())
    loops.run_until_complete(loops.shutdown_default_executor())
    loops.close()


def test_many_who_ask_for_metrics_at_once_are_told_the_same(service: Running, monkeypatch: pytest.MonkeyPatch):
    metrics, told = service.service.metrics, []

    def slowly() -> bytes:
        told.append(1)
        go.wait(5)
        return b"all of it"

    go = threading.Event()
    monkeypatch.setattr(metrics, "text", slowly)
    with ThreadPoolExecutor(5) as askers:
        answers = [askers.submit(service.ask, "GET", "/metrics") for _ in range(5)]
        until = time.monotonic() + 5
        while service.service._in_progress < 5 and time.monotonic() < until:
            time.sleep(0.01)
        go.set()
        assert {answer.result().body for answer in answers} == {b"all of it"}
    assert len(told) == 1


def test_a_pulse_goes_on_after_whatever_happened(service: Running, monkeypatch: pytest.MonkeyPatch):
    parts, happened = service.service.parts, threading.Event()

    def broken(_: object) -> int:
        monkeypatch.undo()
        happened.set()
        raise ValueError("nobody foresaw this")

    monkeypatch.setattr(reading, "unsealed", broken)
    assert happened.wait(5)
    until = time.monotonic() + 5
    while not (parts._answers and service.ask("GET", "/readyz").status == 200) and time.monotonic() < until:
        time.sleep(0.05)
    assert parts.checks()["database"]


def test_a_journal_that_does_not_write_is_not_ready(service: Running, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(service.service.parts.services.identity.journal, "_noted", False)
    answer = service.ask("GET", "/readyz")
    assert (answer.status, answer.json["checks"]["journal"]) == (503, False)


def test_a_standby_that_takes_no_writes_is_503_and_no_fault(service: Running, monkeypatch: pytest.MonkeyPatch):
    def standby(*_: object) -> None:
        raise sa.exc.InternalError("INSERT", {}, Exception("read-only"))

    token = service.token("0003")
    monkeypatch.setattr(service.service.parts.database.engine, "connect", standby)
    answer = service.ask("GET", "/v1/reports/0003", authorization=f"Bearer {token}")
    assert (answer.status, answer.codes) == (503, ["H09"])


def test_a_database_that_does_not_answer_is_503_and_nothing_is_acknowledged(
    service: Running, monkeypatch: pytest.MonkeyPatch
):
    def gone(*_: object) -> None:
        raise sa.exc.OperationalError("SELECT", {}, Exception("gone"))

    token = service.token("0003")
    monkeypatch.setattr(service.service.parts.database.engine, "connect", gone)
    answer = service.ask("GET", "/v1/reports/0003", authorization=f"Bearer {token}")
    assert (answer.status, answer.codes) == (503, ["H09"])


def test_every_reason_has_one_line_on_the_page():
    assert refusals_markdown().count("\n") == 2 + len(REASONS)


def test_a_field_that_is_called_like_a_secret_is_hidden():
    event = without_secrets(
        None,
        "info",
        {
            "pin": "123456",
            "second_factor": "000000",
            "Authorization": "Bearer x",
            "spinning": "kept",
            "database": "postgresql://me:geheim@db/night",
            "photo": b"\xff\xd8",
            "other": "postgresql://db/night?user=me&password=geheim&sslmode=require",
            "words": "host=db sslpassword=geheim dbname=night",
        },
    )
    assert event == {
        "pin": "[hidden]",
        "second_factor": "[hidden]",
        "Authorization": "[hidden]",
        "spinning": "kept",
        "database": "postgresql://me:[hidden]@db/night",
        "photo": "[2 bytes]",
        "other": "postgresql://db/night?user=me&password=[hidden]&sslmode=require",
        "words": "host=db sslpassword=[hidden] dbname=night",
    }
    assert "geheim" not in repr(Settings("postgresql://db/night?password=geheim", Path()))


@pytest.fixture
def logs(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """What a process of its own would write to stderr."""
    text = io.StringIO()
    monkeypatch.setattr(sys, "stderr", text)
    root = logging.getLogger()
    before = root.handlers[:], root.level
    operation.configure_logs()
    yield text
    root.handlers[:], root.level = before[0], before[1]
    threading.excepthook = threading.__excepthook__
    structlog.reset_defaults()


def test_logs_are_json_and_hold_no_words_of_an_error(logs: io.StringIO):
    try:
        raise ValueError("the PIN 123456 of 0042")
    except ValueError as error:
        structlog.get_logger().error("failed", **operation.told_of(error))
        logging.getLogger("library").exception("it broke")
    lines = [json.loads(line) for line in logs.getvalue().splitlines()]
    assert [line["event"] for line in lines] == ["failed", "it broke"]
    assert all(line["error"] == "ValueError" and line["level"] == "error" and line["trace"] for line in lines)
    assert "123456" not in logs.getvalue()


def test_a_thread_that_ends_by_an_error_says_so_without_its_words(logs: io.StringIO):
    def fails() -> None:
        raise sa.exc.InternalError("INSERT", {"pin": "123456"}, Exception("read-only"))

    thread = threading.Thread(target=fails, name="writer")
    thread.start()
    thread.join()
    line = json.loads(logs.getvalue())
    assert (line["event"], line["thread"], line["error"]) == ("thread failed", "writer", "InternalError")
    assert "123456" not in logs.getvalue()


def test_a_task_that_ends_by_an_error_says_so_without_its_words(logs: io.StringIO):
    async def story() -> None:
        loop, error = asyncio.get_running_loop(), ValueError("PIN 123456")
        try:
            raise error
        except ValueError:
            loop.call_exception_handler({"message": "a task failed", "exception": error, "task": repr(error)})

    asyncio.run(story())
    line = json.loads(logs.getvalue())
    assert (line["event"], line["error"]) == ("a task failed", "ValueError")
    assert "123456" not in logs.getvalue()


def test_no_secret_of_an_evening_gets_into_the_logs(logs: io.StringIO, scenario: Scenario, tmp_path: Path):
    url = f"sqlite:///{tmp_path / 'night.db'}"
    issued = prepare(url, tmp_path, scenario, ("reviewer",))
    photo = b"\xff\xd8\xffSECRET-PHOTO"
    with running(Settings(url, tmp_path), issued) as service:
        token = service.token("0001")
        service.write("0001", "/v1/reports/0001/photo", photo, content_type="image/jpeg")
        service.log_in("0002", "246810", source="127.0.8.2")
        service.ask("POST", "/v1/login", b'{"user": "0002", "pin": 246810}', content_type="application/json")
        with contextlib.suppress(AssertionError):
            service.token("reviewer-01")
        service.service.parts.database.caucus = None  # type: ignore[method-assign, assignment]  # whatever asks for it breaks
        service.ask("GET", "/v1/reports/0001", user="0001")
    text = logs.getvalue()
    assert '"request failed"' in text
    assert '"started"' in text
    assert '"stopped"' in text
    secrets = [
        token,
        "246810",
        "SECRET-PHOTO",
        *(one.pin for one in issued),
        *filter(None, (i.totp_secret for i in issued)),
    ]
    assert [secret for secret in secrets if secret in text] == []


def test_the_numbers_of_workers_are_added_up(tmp_path: Path):
    # prometheus_client decides at its import: a process of its own each
    script = (
        "import sys; from loadtests.backend.operation import Metrics\n"
        "m = Metrics(); m.answered('/healthz', 'GET', 200, 0.01); m.note(writes_waiting=2); m.note_process()\n"
        "print(m.text().decode()) if sys.argv[1:] else None\n"
    )
    environment = {**os.environ, operation.MULTIPROCESS: str(tmp_path)}
    subprocess.run([sys.executable, "-c", script], env=environment, check=True)
    last = subprocess.run([sys.executable, "-c", script, "tell"], env=environment, check=True, capture_output=True)
    text = last.stdout.decode()
    assert 'caucus_requests_total{method="GET",route="/healthz",status="200"} 2.0' in text
    assert "caucus_writes_waiting 2.0" in text, "the first process is gone, and its gauges with it"
    assert text.count("caucus_process_resident_bytes{") == 1


def test_a_pool_runs_so_many_at_once_and_refuses_what_it_cannot_keep():
    async def story() -> tuple[int, int]:
        pool = Pool("test", 2, 3, 5.0)
        running_now, most, lock, go = 0, 0, threading.Lock(), threading.Event()

        def work() -> None:
            nonlocal running_now, most
            with lock:
                running_now += 1
                most = max(most, running_now)
            go.wait(5)
            with lock:
                running_now -= 1

        calls = [asyncio.create_task(pool.run(work)) for _ in range(2)]
        await asyncio.sleep(0.05)
        calls += [asyncio.create_task(pool.run(work)) for _ in range(5)]
        await asyncio.sleep(0.05)
        go.set()
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        pool.close()
        return most, sum(isinstance(one, PoolBusyError) for one in outcomes)

    assert asyncio.run(story()) == (2, 2)


def test_a_call_that_waits_too_long_is_given_up_and_never_begun():
    async def story() -> list[str]:
        pool, go = Pool("test", 1, 3, 0.05), threading.Event()
        done: list[str] = []
        first = asyncio.create_task(pool.run(go.wait, 5))
        await asyncio.sleep(0.01)
        with pytest.raises(PoolBusyError):
            await pool.run(done.append, "late")
        go.set()
        await first
        pool.close()
        return done

    assert asyncio.run(story()) == []


def test_calls_of_the_second_rank_leave_a_thread_free():
    async def story() -> str:
        pool, go = Pool("test", 2, 10, 5.0, most_last=10), threading.Event()
        suspects = [asyncio.create_task(pool.run_last(go.wait, 5)) for _ in range(4)]
        await asyncio.sleep(0.05)
        answer = await asyncio.wait_for(pool.run(lambda: "at once"), 1)
        go.set()
        await asyncio.gather(*suspects)
        pool.close()
        return answer

    assert asyncio.run(story()) == "at once"


def test_calls_of_the_second_rank_begin_when_no_other_is_under_way():
    async def story() -> list[str]:
        pool, go, done = Pool("test", 2, 10, 5.0, most_last=10), threading.Event(), list[str]()

        def chair() -> None:
            go.wait(5)
            done.append("chair")

        chairs = [asyncio.create_task(pool.run(chair)) for _ in range(3)]
        await asyncio.sleep(0.05)
        suspect = asyncio.create_task(pool.run_last(done.append, "suspect"))
        await asyncio.sleep(0.1)
        waited = list(done)
        go.set()
        await asyncio.gather(*chairs, suspect)
        pool.close()
        assert waited == []
        return done

    assert asyncio.run(story()) == ["chair", "chair", "chair", "suspect"]


def test_as_many_calls_as_there_are_threads_run_at_once():
    async def story() -> list[int]:
        pool, meet = Pool("test", 4, 10, 5.0), threading.Barrier(4)
        rounds = [await asyncio.gather(*(pool.run(meet.wait, 5) for _ in range(4))) for _ in range(200)]
        pool.close()
        return [len(set(one)) for one in rounds]

    assert asyncio.run(story()) == [4] * 200


def test_a_call_that_is_given_up_no_longer_holds_back_the_second_rank():
    async def story() -> float:
        pool, go = Pool("test", 1, 10, 0.3, most_last=10), threading.Event()
        first = asyncio.create_task(pool.run(go.wait, 5))
        await asyncio.sleep(0.05)
        waits = asyncio.create_task(pool.run(lambda: True))
        await asyncio.sleep(0.2)
        pool._under_way -= 1  # as if the thread had ended its call and not begun the next one yet
        suspect = asyncio.create_task(pool.run_last(lambda: True))
        began = time.monotonic()
        with pytest.raises(PoolBusyError):
            await waits
        await suspect
        took = time.monotonic() - began
        pool._under_way += 1
        go.set()
        await first
        pool.close()
        return took

    assert asyncio.run(story()) < 0.2, "it did not wait until it was given up, too"


def test_a_pool_says_when_its_second_rank_is_full():
    async def story() -> list[bool]:
        pool, go = Pool("test", 1, 10, 5.0, most_last=1), threading.Event()
        first = asyncio.create_task(pool.run(go.wait, 5))
        await asyncio.sleep(0.05)
        found = [pool.last_are_full]
        suspect = asyncio.create_task(pool.run_last(lambda: True))
        await asyncio.sleep(0.05)
        found.append(pool.last_are_full)
        with pytest.raises(PoolBusyError):
            await asyncio.wait_for(pool.run_last(lambda: True), 1)
        go.set()
        await asyncio.gather(first, suspect)
        found.append(pool.last_are_full)
        pool.close()
        return found

    assert asyncio.run(story()) == [False, True, False]


def test_calls_of_the_second_rank_rest_after_one_that_found_nothing():
    async def story() -> list[float]:
        pool, times = Pool("test", 2, 10, 5.0, most_last=10, rest_s=0.2), [time.monotonic()]
        for found in (True, False):
            await asyncio.gather(*(pool.run_last(bool, found) for _ in range(4)))
            times.append(time.monotonic())
        pool.close()
        return [after - before for before, after in pairwise(times)]

    found, nothing = asyncio.run(story())
    assert found < 3 * 0.2 <= nothing


def test_nobody_rests_after_a_call_that_nobody_waits_for_or_that_failed():
    async def story() -> float:
        pool, go = Pool("test", 1, 10, 5.0, most_last=10, rest_s=5.0), threading.Event()
        first = asyncio.create_task(pool.run_last(go.wait, 5))
        gone = [asyncio.create_task(pool.run_last(bool, False)) for _ in range(2)]
        await asyncio.sleep(0.05)
        for call in gone:
            call.cancel()
        go.set()
        await first
        with pytest.raises(ZeroDivisionError):
            await pool.run_last(divmod, 1, 0)
        began = time.monotonic()
        await pool.run_last(bool, True)
        pool.close()
        return time.monotonic() - began

    assert asyncio.run(story()) < 2


def test_in_a_flood_the_newest_call_goes_first():
    async def story() -> list[int]:
        pool, go, done = Pool("test", 1, 100, 5.0, in_order=2), threading.Event(), list[int]()
        tasks: list[asyncio.Task[object]] = [asyncio.create_task(pool.run(go.wait, 5))]
        await asyncio.sleep(0.05)
        tasks += [asyncio.create_task(pool.run(partial(done.append, n))) for n in range(6)]
        await asyncio.sleep(0.05)
        go.set()
        await asyncio.gather(*tasks)
        pool.close()
        return done

    assert asyncio.run(story()) == [5, 4, 3, 2, 0, 1]


def test_metrics_of_one_process_know_their_own_registry():
    one, other = Metrics(), Metrics()
    one.refused("H02")
    assert b'caucus_refusals_total{code="H02"} 1.0' in one.text()
    assert b"H02" not in other.text()
