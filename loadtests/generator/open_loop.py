"""The open workload: requests go out when they are due, whatever has become of those before them.

One greenlet walks a schedule; each request has three clocks (due, sent, done). One that waits for another's answer, as
a person would, counts as sent when its turn came: it is not the generator who is late. Locust's events are fired with
latencies from *due*, so that its statistics, page and CSV are right too. Importing this patches the process, as Locust
does.
"""

from __future__ import annotations

import locust  # noqa: F401  # first: it patches what the rest imports

# isort: split

import gc
import os
import socket
import ssl
import time
from array import array
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import gevent
import numpy as np
from locust.env import Environment

from loadtests.contract import Reply
from loadtests.generator.client import Client, UnableError, allow_connections
from loadtests.generator.processes import Finished, Judge, Requests, next_beginning
from loadtests.generator.upkeep import Upkeep
from loadtests.target.guards import Target
from loadtests.trial import Sample, Status
from loadtests.workload import Schedule

MOST_UNDER_WAY = 4000
_REPORT_S = 0.02  # so often Locust hears of what was answered meanwhile
_JUDGING_NS = 500_000  # at a stretch: answers come in batches, and what is due meanwhile would be late
_EXPIRE_S = 0.1
_BREATH_NS = 5_000_000  # when late, answers are read after so long a time of sending
_NEXT = 1e-6  # a sleep that lets the loop look at its sockets; `sleep(0)` may let it run other greenlets only


@dataclass(frozen=True, slots=True)
class Limits:
    """How far a generator goes."""

    under_way: int = MOST_UNDER_WAY  # what is due beyond that is dropped, and counts as failed
    timeout_s: float = 10.0  # of each try
    retries: int = 0  # so often a request that was not answered well is sent again, at once
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
        finished: Finished | None = None,
        upkeep: Upkeep | None = None,
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
        self.finished, self.upkeep = finished, upkeep
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

    def run(self, schedule: Schedule, begins_ns: int | None = None) -> Sample:
        """Keep the schedule to its end, and wait for the last answer or its time-out.

        `begins_ns`, as `next_beginning` says, is when its time begins; without it, connections are opened first.
        """
        if begins_ns is None:
            self.warm(schedule)
        run = self._run = _Run(schedule, next_beginning() if begins_ns is None else begins_ns)
        helpers = [gevent.spawn(run.watch_processor), gevent.spawn(self._expire), gevent.spawn(self._report_often, run)]
        if self.upkeep is not None:
            helpers.append(gevent.spawn(self.upkeep.run, run.started_at))
        gc.collect()
        gc.freeze()  # what is here already is not looked through again: that takes milliseconds
        try:
            self._walk(run)
            while self.client.under_way or run.answers or run.held:
                gevent.sleep(0.005)
                self._report(run)  # which may try again
                if not self.client.under_way and not run.answers:
                    self._give_up(run)
        finally:
            gevent.killall(helpers)
            if self.client.under_way:  # broken off
                self.client.close()
            gc.unfreeze()
            self._run = None
        self._report(run)
        return run.sample()

    def close(self) -> None:
        """Hang up."""
        self.client.close()

    def lateness_s(self) -> float | None:
        """How late the last thousand requests of a schedule that is being kept were sent: p99."""
        if self._run is None:
            return None
        sent, due = np.frombuffer(self._run.sent, np.int64), self._run.schedule.due_ns
        last = np.flatnonzero(sent >= 0)[-1000:]
        return float(np.quantile(sent[last] - due[last], 0.99)) / 1e9 if len(last) else None

    def _walk(self, run: _Run) -> None:
        due, start, under_way, most = run.due, run.start, self.client.under_way, self.most
        clock, sleep = time.monotonic_ns, gevent.sleep
        now = last_slept = clock()
        for number in range(len(due)):
            while (wait := due[number] + start - now) > 0:
                sleep(wait / 1e9)
                now = last_slept = clock()
            if now - last_slept > _BREATH_NS:
                sleep(_NEXT)
                last_slept = clock()
            if len(under_way) < most:
                self._send(run, number)
            else:
                self._drop(number)
            now = clock()

    def _send(self, run: _Run, number: int) -> None:
        try:
            request = self.requests(run.index[number])
            if request is None:
                run.sent[number] = time.monotonic_ns() - run.start
                run.held[run.index[number]] = number
                return
            run.kinds[number] = (request.method, request.name)
            run.attempts[number] += 1
            sent = self.client.send(number, request) - run.start
            if run.sent[number] < 0:
                run.sent[number] = sent
        except UnableError as error:
            self._done(number, time.monotonic_ns(), Status.UNABLE, 0, None, str(error))
        except Exception as error:  # whatever a source of requests may do
            problem = f"no request: {type(error).__name__}: {error}"
            self._done(number, time.monotonic_ns(), Status.UNABLE, 0, None, problem)

    def _release(self, run: _Run, index: int) -> None:
        """Send what has waited for another's answer."""
        number = run.held.pop(index)
        if len(self.client.under_way) < self.most:
            self._send(run, number)
        else:
            self._drop(number)

    def _drop(self, number: int) -> None:
        self._done(number, time.monotonic_ns(), Status.DROPPED, 0, None, "too many requests under way")

    def _give_up(self, run: _Run) -> None:
        """What still waits, though nothing is under way, was forgotten by whoever said "not yet"."""
        for number in run.held.values():
            self._done(number, time.monotonic_ns(), Status.UNABLE, 0, None, "waited for what never came")
        run.held.clear()

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
        answers, judge, clock = run.answers, self.judge, time.monotonic_ns
        began = clock()
        while answers:
            if clock() - began > _JUDGING_NS:
                gevent.sleep(_NEXT)
                began = clock()
                continue
            number, length, reply, problem = answers.popleft()
            status = run.status[number]
            if not problem:
                if judge is not None and reply is not None:
                    problem = self._judged(judge, run.index[number], reply)
                elif not (200 <= status < 300 or status == 304):
                    problem = f"HTTP {status}"
            if problem:
                run.problems[problem] += 1
                if self._tries_again(run, number):
                    continue
            else:
                run.ok[number] = 1
            if self.finished is not None and (follower := self.finished(run.index[number])) is not None:
                self._release(run, follower)
            if fire is not None:
                method, name = run.kinds[number]
                due, done = run.due[number], run.done[number]
                fire(  # type: ignore[no-untyped-call]  # Locust's events have no types
                    request_type=method,
                    name=name,
                    response_time=(done - due) / 1e6,
                    response_length=length,
                    exception=LoadError(problem) if problem else None,
                    context={},
                    start_time=run.started_at + due / 1e9,
                    response=reply,
                )

    def _tries_again(self, run: _Run, number: int) -> bool:
        """Whether a client sends once more what was not answered well."""
        if not 0 < run.attempts[number] <= self.limits.retries or run.status[number] == Status.UNABLE:
            return False
        if len(self.client.under_way) >= self.most:
            return False
        self._send(run, number)
        return True

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

    def __init__(self, schedule: Schedule, start: int) -> None:
        size = len(schedule)
        self.schedule = schedule
        self.due = array("q", schedule.due_ns.tobytes())
        self.index = array("q", schedule.index.tobytes())
        self.sent = array("q", [-1]) * size
        self.done = array("q", [-1]) * size
        self.status = array("i", [0]) * size
        self.attempts = array("i", [0]) * size
        self.ok = bytearray(size)
        names = [("", name or "request") for name in schedule.operations]
        self.kinds: list[tuple[str, str]] = [names[which] for which in schedule.operation.tolist()]
        self.answers: deque[tuple[int, int, Reply | None, str]] = deque()
        self.held: dict[int, int] = {}  # numbers of those that wait for another's answer, by index
        self.problems: Counter[str] = Counter()
        self.cpu: list[float] = []
        self.start = start
        self.started_at = time.time() + (start - time.monotonic_ns()) / 1e9

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
            attempts=np.frombuffer(self.attempts, np.int32).astype(np.int64),
            cpu={f"{socket.gethostname()}-{os.getpid()}": self.cpu},
            problems=dict(self.problems),
        )
