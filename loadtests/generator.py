"""The open workload: requests go out when they are due, whatever has become of those before them.

One greenlet walks a schedule; each request has three clocks (due, sent, done). Locust's events are fired with latencies
from *due*, so that its statistics, page and CSV are right too; on a master and workers (`Worker`, `Coordinator`) each
worker keeps its part of the schedule. Importing this module patches the process, as Locust does.
"""

from __future__ import annotations

import locust  # noqa: F401  # first: it patches what the rest imports

import gc
import importlib
import os
import socket
import ssl
import time
from array import array
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import gevent  # type: ignore[import-untyped]  # ships no types
import numpy as np
from gevent.event import AsyncResult  # type: ignore[import-untyped]  # as above
from locust.env import Environment
from locust.rpc.protocol import Message
from locust.runners import STATE_INIT, STATE_RUNNING, MasterRunner, WorkerRunner

from loadtests.client import Client, UnableError, allow_connections
from loadtests.contract import Reply, Request
from loadtests.generator_process import GeneratorError
from loadtests.guards import Target
from loadtests.trial import Sample, Status
from loadtests.workload import Schedule, made

Requests = Callable[[int], Request]  # the request at a place of the whole schedule
Judge = Callable[[int, Reply], str]  # what is wrong with the reply to it; "" for nothing

MOST_UNDER_WAY = 4000
_REPORT_S = 0.02  # so often Locust hears of what was answered meanwhile
_EXPIRE_S = 0.1
_BEGIN_NS = 50_000_000  # from the command to the first due time
_BREATH = 32  # requests in a row, when late, before answers are read again


@dataclass(frozen=True, slots=True)
class Limits:
    """How far a generator goes."""

    under_way: int = MOST_UNDER_WAY  # what is due beyond that is dropped, and counts as failed
    timeout_s: float = 10.0
    warm: int | None = None  # connections that are open at the start; None: for a tenth of a second of requests


class Generator:
    """Makes load of schedules. Connections stay open from one to the next.

    `requests` must not wait for anything. A `judge` sees every reply; without one, 2xx and 304 are good.
    """

    def __init__(
        self,
        requests: Requests,
        target: Target,
        *,
        judge: Judge | None = None,
        limits: Limits | None = None,
        headers: Mapping[str, str] | None = None,
        tls: ssl.SSLContext | None = None,
        sources: Sequence[str] = (),
        environment: Environment | None = None,
    ) -> None:
        limits = limits or Limits()
        if target.scheme == "https" and tls is None:
            tls = ssl.create_default_context()
        self.requests, self.judge, self.limits, self.environment = requests, judge, limits, environment
        self.most = allow_connections(limits.under_way)
        self.client = Client(
            target,
            self._done,
            headers=headers,
            tls=tls,
            timeout_s=limits.timeout_s,
            sources=sources,
            keeps_replies=judge is not None,
        )
        self._run: _Run | None = None

    def warm(self, schedule: Schedule) -> None:
        """Open the connections that the schedule is likely to need."""
        busiest = int(schedule.per_second().max(initial=0))
        self.client.warm(min(self.most, self.limits.warm if self.limits.warm is not None else 10 + busiest // 10))

    def run(self, schedule: Schedule, *, warmed: bool = False) -> Sample:
        """Keep the schedule to its end, and wait for the last answer or its time-out."""
        if not warmed:
            self.warm(schedule)
        run = self._run = _Run(schedule)
        helpers = [gevent.spawn(run.watch_processor), gevent.spawn(self._expire), gevent.spawn(self._report_often, run)]
        gc.collect()
        gc.freeze()  # what is here already is not looked through again: that takes milliseconds
        try:
            self._walk(run)
            while self.client.under_way:
                gevent.sleep(0.005)
        finally:
            gevent.killall(helpers)
            self.client.close() if self.client.under_way else None
            gc.unfreeze()
            self._run = None
        self._report(run)
        return run.sample()

    def close(self) -> None:
        """Hang up."""
        self.client.close()

    def _walk(self, run: _Run) -> None:
        due, sent, index, kinds = run.due, run.sent, run.index, run.kinds
        requests, client, most, clock, sleep = self.requests, self.client, self.most, time.monotonic_ns, gevent.sleep
        under_way, start = client.under_way, run.start
        in_a_row = 0
        for number in range(len(due)):
            while (wait := due[number] + start - clock()) > 0:
                sleep(wait / 1e9)
                in_a_row = 0
            in_a_row += 1
            if in_a_row % _BREATH == 0:
                sleep(0)
            if len(under_way) >= most:
                self._done(number, clock(), Status.DROPPED, 0, None, "too many requests under way")
                continue
            try:
                request = requests(index[number])
                kinds[number] = (request.method, request.name)
                sent[number] = client.send(number, request) - start
            except UnableError as error:
                self._done(number, clock(), Status.UNABLE, 0, None, str(error))
            except Exception as error:  # whatever a source of requests may do
                self._done(number, clock(), Status.UNABLE, 0, None, f"no request: {type(error).__name__}: {error}")

    def _done(self, number: int, at: int, status: int, length: int, reply: Reply | None, problem: str) -> None:
        run = self._run
        if run is None:
            return  # of a run that was broken off
        run.done[number] = at - run.start
        run.status[number] = status
        run.answers.append((number, length, reply, problem))

    def _expire(self) -> None:
        while True:
            gevent.sleep(_EXPIRE_S)
            self.client.expire()

    def _report_often(self, run: _Run) -> None:
        while True:
            gevent.sleep(_REPORT_S)
            self._report(run)

    def _report(self, run: _Run) -> None:
        """Judge what has come, and tell Locust. Apart from reading, so that a listener may wait and nothing is late."""
        fire = self.environment.events.request.fire if self.environment is not None else None
        answers, judge = run.answers, self.judge
        while answers:
            number, length, reply, problem = answers.popleft()
            status = run.status[number]
            if not problem:
                if judge is not None and reply is not None:
                    problem = self._judged(judge, run.index[number], reply)
                elif not (200 <= status < 300 or status == 304):
                    problem = f"HTTP {status}"
            if problem:
                run.problems[problem] += 1
            else:
                run.ok[number] = 1
            if fire is not None:
                method, name = run.kinds[number]
                due, done = run.due[number], run.done[number]
                fire(
                    request_type=method,
                    name=name,
                    response_time=(done - due) / 1e6,
                    response_length=length,
                    exception=LoadError(problem) if problem else None,
                    context={},
                    start_time=run.started_at + due / 1e9,
                    response=reply,
                )

    @staticmethod
    def _judged(judge: Judge, index: int, reply: Reply) -> str:
        try:
            return judge(index, reply)
        except Exception as error:  # a judge of somebody else's: the run goes on
            return f"judge: {type(error).__name__}: {error}"


class LoadError(Exception):
    """Why a request failed, for Locust's table of failures."""


class _Run:
    """What is noted while a schedule is kept."""

    def __init__(self, schedule: Schedule) -> None:
        size = len(schedule)
        self.schedule = schedule
        self.due = array("q", schedule.due_ns.tobytes())
        self.index = array("q", schedule.index.tobytes())
        self.sent = array("q", [-1]) * size
        self.done = array("q", [-1]) * size
        self.status = array("i", [0]) * size
        self.ok = bytearray(size)
        names = [("", name or "request") for name in schedule.operations]
        self.kinds: list[tuple[str, str]] = [names[which] for which in schedule.operation.tolist()]
        self.answers: deque[tuple[int, int, Reply | None, str]] = deque()
        self.problems: Counter[str] = Counter()
        self.cpu: list[float] = []
        self.start = time.monotonic_ns() + _BEGIN_NS
        self.started_at = time.time() + _BEGIN_NS / 1e9

    def watch_processor(self) -> None:
        """Sample the generator's own use of the processor, once a second while requests are due."""
        gevent.sleep(max(0.0, (self.start - time.monotonic_ns()) / 1e9))
        used, at = time.process_time(), time.monotonic()
        while len(self.cpu) < max(1, int(self.schedule.seconds)):
            gevent.sleep(1.0)
            used_now, now = time.process_time(), time.monotonic()
            self.cpu.append((used_now - used) / (now - at))
            used, at = used_now, now

    def sample(self) -> Sample:
        """The arrays."""
        schedule = self.schedule
        return Sample(
            seconds=schedule.seconds,
            operations=schedule.operations,
            index=schedule.index,
            operation=schedule.operation,
            due=schedule.due_ns,
            sent=np.frombuffer(self.sent, np.int64),
            done=np.frombuffer(self.done, np.int64),
            status=np.frombuffer(self.status, np.int32).astype(np.int64),
            ok=np.frombuffer(self.ok, np.bool_),
            cpu={f"{socket.gethostname()}-{os.getpid()}": self.cpu},
            problems=dict(self.problems),
        )


# Orders: what a generator in another process is told


@dataclass(frozen=True, slots=True)
class Order:
    """Load that another process is to make, as plain data.

    `source` names a function "module:function" that is called with (schedule, target, **arguments), where the schedule is
    the part that this process keeps; it returns a `Source`.
    """

    source: str
    arguments: Mapping[str, Any]
    target: Mapping[str, Any]
    limits: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    sources: Sequence[str] = ()
    ca: str | None = None

    def made_target(self) -> Target:
        """Whom to load; was checked where the order was made."""
        return Target(**{**self.target, "addresses": tuple(self.target["addresses"])})


@dataclass(frozen=True, slots=True)
class Source:
    """Requests, and how their replies are judged."""

    requests: Requests
    judge: Judge | None = None


class Maker:
    """Carries out orders in this process; keeps the generator of the last one, and its connections, for the next."""

    def __init__(self, environment: Environment) -> None:
        self.environment = environment
        self._order: dict[str, Any] | None = None
        self._generator: Generator | None = None
        self._schedule: Schedule | None = None

    def prepare(self, order: Mapping[str, Any], schedule: Schedule) -> None:
        """Make the requests' source and warm up."""
        wanted = Order(**order)
        module, _, name = wanted.source.partition(":")
        source: Source = getattr(importlib.import_module(module), name)(
            schedule, wanted.made_target(), **wanted.arguments
        )
        kept = {**order, "arguments": None, "source": None}
        if self._generator is None or self._order != kept or bool(self._generator.judge) != bool(source.judge):
            if self._generator is not None:
                self._generator.close()
            self._generator = Generator(
                source.requests,
                wanted.made_target(),
                judge=source.judge,
                limits=Limits(**wanted.limits),
                headers=wanted.headers,
                tls=ssl.create_default_context(cafile=wanted.ca) if wanted.target["scheme"] == "https" else None,
                sources=wanted.sources,
                environment=self.environment,
            )
            self._order = kept
        self._generator.requests, self._generator.judge = source.requests, source.judge
        self._schedule = schedule
        self._generator.warm(schedule)

    def go(self) -> Sample:
        """Keep the schedule that was prepared."""
        assert self._generator is not None
        assert self._schedule is not None
        return self._generator.run(self._schedule, warmed=True)


def schedule_of(spec: Mapping[str, Any] | None, blob: bytes) -> Schedule:
    """A schedule that was sent as what it is made of or, where that is nothing short, as it is."""
    return made(spec) if spec is not None else Schedule.from_bytes(blob)


# Locust's master and workers

_PREPARE, _READY, _GO, _RESULT = "caucus-load", "caucus-load-ready", "caucus-load-go", "caucus-load-result"
_PREPARED_S = 60.0
_WORKERS_S = 60.0


class Worker:
    """A Locust worker that makes its part of the load, also on another machine: orders come as Locust's messages."""

    def __init__(self, environment: Environment) -> None:
        assert isinstance(environment.runner, WorkerRunner)
        self.runner = environment.runner
        self._maker = Maker(environment)
        self.runner.register_message(_PREPARE, self._prepare, concurrent=True)
        self.runner.register_message(_GO, self._go, concurrent=True)

    def _prepare(self, msg: Message, **_: Any) -> None:
        told = msg.data
        try:
            schedule = schedule_of(told["spec"], told["blob"])
            self._maker.prepare(told["order"], schedule.part(told["part"], told["of"]))
        except Exception as error:  # the master says it to whoever waits
            self._say(_READY, told, error=f"{type(error).__name__}: {error}")
        else:
            self._say(_READY, told, fingerprint=schedule.fingerprint)

    def _go(self, msg: Message, **_: Any) -> None:
        self.runner.update_state(STATE_RUNNING)
        self.runner.worker_state = STATE_RUNNING
        try:
            sample = self._maker.go()
            self.runner._send_stats()  # else the master's figures come up to three seconds later
            self._say(_RESULT, msg.data, sample=sample.to_bytes())
        except Exception as error:  # as above
            self._say(_RESULT, msg.data, error=f"{type(error).__name__}: {error}")
        finally:
            self.runner.worker_state = STATE_INIT
            self.runner.update_state(STATE_INIT)

    def _say(self, kind: str, told: Mapping[str, Any], **more: Any) -> None:
        self.runner.send_message(kind, {"trial": told["trial"], **more})


class Coordinator:
    """A Locust master that has its workers make load, each a part of the schedule, and puts together what they measured."""

    def __init__(self, environment: Environment) -> None:
        assert isinstance(environment.runner, MasterRunner)
        self.runner, self.environment = environment.runner, environment
        self._trial = 0
        self._answers: dict[str, AsyncResult] = {}
        self.runner.register_message(_READY, self._hear)
        self.runner.register_message(_RESULT, self._hear)

    def wait_for_workers(self, count: int, within_s: float = _WORKERS_S) -> None:
        """Until so many are there."""
        until = time.monotonic() + within_s
        while self.runner.worker_count < count:
            if time.monotonic() > until:
                raise GeneratorError(f"{self.runner.worker_count} of {count} workers came within {within_s:g} s")
            gevent.sleep(0.02)

    def run(self, order: Mapping[str, Any], spec: Mapping[str, Any] | None, blob: bytes) -> Sample:
        """One schedule, on all workers that are there."""
        schedule = schedule_of(spec, blob)
        workers = sorted(client.id for client in self.runner.clients.ready + self.runner.clients.running)
        if not workers:
            raise GeneratorError("no worker is there")
        self._trial += 1
        told = {"trial": self._trial, "order": order, "spec": spec, "blob": blob, "of": len(workers)}
        prepared = self._ask(_PREPARE, {worker: {**told, "part": k} for k, worker in enumerate(workers)}, _PREPARED_S)
        for worker, answer in prepared.items():
            if answer["fingerprint"] != schedule.fingerprint:
                raise GeneratorError(f"worker {worker} makes another schedule of the same description")
        self.environment.events.test_start.fire(environment=self.environment)
        self.runner.update_state(STATE_RUNNING)
        longest = schedule.seconds + Limits(**order.get("limits", {})).timeout_s + 30.0
        try:
            results = self._ask(_GO, dict.fromkeys(workers, {"trial": self._trial}), longest)
        finally:
            self.environment.events.test_stop.fire(environment=self.environment)
        return Sample.merged([Sample.from_bytes(results[worker]["sample"]) for worker in workers], len(schedule))

    def _ask(self, kind: str, said: Mapping[str, dict[str, Any]], within_s: float) -> dict[str, dict[str, Any]]:
        self._answers = {worker: AsyncResult() for worker in said}
        for worker, data in said.items():
            self.runner.send_message(kind, data, worker)
        until = time.monotonic() + within_s
        found = {}
        for worker, answer in self._answers.items():
            try:
                found[worker] = answer.get(timeout=max(0.01, until - time.monotonic()))
            except gevent.Timeout:
                raise GeneratorError(f"worker {worker} did not answer within {within_s:g} s") from None
            if "error" in found[worker]:
                raise GeneratorError(f"worker {worker}: {found[worker]['error']}")
        return found

    def _hear(self, msg: Message, **_: Any) -> None:
        answer = self._answers.get(msg.node_id)
        if answer is not None and msg.data["trial"] == self._trial:
            answer.set(msg.data)


def in_thread(wait: Callable[..., Any], *arguments: Any) -> Any:
    """What a call that waits outside of gevent returns; other greenlets go on meanwhile."""
    return gevent.get_hub().threadpool.apply(wait, arguments)


def stats(environment: Environment) -> dict[str, Any]:
    """What Locust has counted since the start."""
    total = environment.stats.total
    p99 = total.get_response_time_percentile(0.99)
    return {"requests": total.num_requests, "failures": total.num_failures, "p99_ms": p99}
