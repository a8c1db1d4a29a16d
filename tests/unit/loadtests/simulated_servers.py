"""Servers of known truth on a clock that only counts: what the search for the breaking point is held against.

Each answers a whole step of arrivals at once, by exact queue recursion, and carries over to the next what it has not
done yet. Times are seconds of the fake clock.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

import numba
import numpy as np
import numpy.typing as npt

from loadtests.objectives import Objective, judge
from loadtests.trial import SECOND, Sample, Trial

Floats: TypeAlias = npt.NDArray[np.float64]
Answers: TypeAlias = tuple[Floats, npt.NDArray[np.bool_]]
TIMEOUT_S = 10.0  # after which a client gives up; the server works on what it has taken all the same


class Server(Protocol):
    def serve(self, arrivals: Floats) -> Answers:
        """When each is answered, and whether well."""


@dataclass
class Servers:
    """First come, first served by `count` servers of one fixed service time: M/D/1, M/D/c."""

    service_s: float
    count: int = 1
    free_at: Floats = field(init=False)

    def __post_init__(self) -> None:
        self.free_at = np.zeros(self.count)
        self.capacity_per_s = self.count / self.service_s

    def serve(self, arrivals: Floats) -> Answers:
        # Equal service times keep the order: every count-th request is served by the same server.
        done = np.empty_like(arrivals)
        self.free_at = np.sort(self.free_at)
        for k in range(min(self.count, len(arrivals))):
            mine = arrivals[k :: self.count]
            ahead = np.arange(len(mine)) * self.service_s
            starts = np.maximum(np.maximum.accumulate(mine - ahead), self.free_at[k])
            done[k :: self.count] = starts + ahead + self.service_s
            self.free_at[k] = done[k :: self.count][-1]
        return done, np.ones(len(done), bool)


@dataclass
class TokenBucket:
    """Answers at once while there are tokens, refuses at once while there are none."""

    capacity_per_s: float
    burst: float
    tokens: float = math.inf
    at: float = 0.0

    def serve(self, arrivals: Floats) -> Answers:
        good = np.zeros(len(arrivals), bool)
        self.tokens, self.at = _token_bucket(arrivals, good, self.capacity_per_s, self.burst, self.tokens, self.at)
        return arrivals + 0.001, good


@dataclass
class Mixed:
    """One server; one request in ten takes ten times as long. A strict p99 breaks before the capacity is reached."""

    service_s: float
    rng: np.random.Generator = field(default_factory=np.random.default_rng)
    free_at: float = 0.0

    def __post_init__(self) -> None:
        self.capacity_per_s = 1 / (self.service_s * 1.9)

    def serve(self, arrivals: Floats) -> Answers:
        service = np.where(self.rng.random(len(arrivals)) < 0.1, 10 * self.service_s, self.service_s)
        work = np.cumsum(service)
        done: Floats = np.maximum(np.maximum.accumulate(arrivals - work + service), self.free_at) + work
        self.free_at = float(done[-1]) if len(done) else self.free_at
        return done, np.ones(len(done), bool)


@dataclass
class LockContention:
    """One server that becomes slower the more requests wait for its lock: beyond the knee it collapses.

    At most `queue` wait; whoever comes then is refused at once.
    """

    service_s: float
    knee: int = 60
    slower: float = 0.002  # by this share for each that waits beyond the knee
    slowest: float = 2.0
    queue: int = 2000
    free_at: float = 0.0

    def __post_init__(self) -> None:
        self.capacity_per_s = 1 / self.service_s

    def serve(self, arrivals: Floats) -> Answers:
        done = np.full(len(arrivals), np.nan)
        self.free_at = _lock_contention(
            arrivals, done, self.free_at, self.service_s, self.knee, self.slower, self.slowest, self.queue
        )
        refused = np.isnan(done)
        return np.where(refused, arrivals + 0.001, done), ~refused


@dataclass
class Retrying:
    """One server behind a caller that gives up after `patience_s` and tries again, up to `retries` times.

    What was given up is worked on all the same; at most `queue_s` seconds of work wait, and whoever comes then is
    refused. Once every wait is longer than the patience, all work is wasted, and load is `retries` + 1 times what
    people ask: it stays so long after the overload that began it (metastable).
    """

    service_s: float
    patience_s: float = 1.0
    retries: int = 3
    queue_s: float = 3.0
    free_at: float = 0.0

    def __post_init__(self) -> None:
        self.capacity_per_s = 1 / self.service_s
        self.tries = np.zeros(0, np.int64)

    def serve(self, arrivals: Floats) -> Answers:
        done = np.empty_like(arrivals)
        self.tries = np.zeros(len(arrivals), np.int64)
        self.free_at = _retrying(
            arrivals, done, self.free_at, self.service_s, self.patience_s, self.retries, self.queue_s,
            np.empty(len(arrivals)), np.empty(len(arrivals), np.int64), self.tries
        )  # fmt: skip
        given_up = np.isinf(done)
        return np.where(given_up, arrivals + (self.retries + 1) * self.patience_s, done), ~given_up


@numba.njit
def _token_bucket(arrivals: Any, good: Any, rate: Any, burst: Any, tokens: Any, at: Any) -> Any:
    for i in range(len(arrivals)):
        tokens = min(burst, tokens + (arrivals[i] - at) * rate)
        at = arrivals[i]
        if tokens >= 1:
            tokens -= 1
            good[i] = True
    return tokens, at


@numba.njit
def _lock_contention(
    arrivals: Any, done: Any, free_at: Any, service: Any, knee: Any, slower: Any, slowest: Any, queue: Any
) -> Any:
    """`line`: those who wait, in their order."""
    line = np.empty(queue, np.int64)
    head, waiting, i = 0, 0, 0
    while i < len(arrivals) or waiting:
        if waiting and (i >= len(arrivals) or free_at <= arrivals[i]):
            who = line[head]
            head = (head + 1) % queue
            waiting -= 1
            free_at = max(free_at, arrivals[who]) + service * min(slowest, 1 + slower * max(0, waiting - knee))
            done[who] = free_at
        else:
            if waiting < queue:
                line[(head + waiting) % queue] = i
                waiting += 1
            i += 1
    return free_at


@numba.njit
def _retrying(
    arrivals: Any, done: Any, free_at: Any, service: Any, patience: Any, retries: Any, queue: Any, again_at: Any,
    again: Any, tries: Any
) -> Any:  # fmt: skip
    """`again_at`, `again`: a ring of those that try again, in the order of their time, for the patience is one."""
    size, head, count, come = len(arrivals), 0, 0, 0
    while come < size or count:
        if count and (come >= size or again_at[head] <= arrivals[come]):
            at, who = again_at[head], again[head]
            head = (head + 1) % size
            count -= 1
        else:
            at, who = arrivals[come], come
            come += 1
        tries[who] += 1
        taken = free_at - at <= queue
        if taken:
            free_at = max(free_at, at) + service
        if taken and free_at - at <= patience:
            done[who] = free_at
        elif tries[who] > retries:
            done[who] = np.inf
        else:
            tail = (head + count) % size
            again_at[tail], again[tail] = at + patience, who
            count += 1
    return free_at


@dataclass
class Bench:
    """Measures a server on a fake clock: Poisson arrivals, and whatever the last trial left behind.

    `busy` says of a load how busy the generator is, as a share of a core: above 80 % the trial is void.
    """

    server: Server
    rng: np.random.Generator
    busy: Callable[[float, int], float] = lambda rate_per_s, trial: 0.0
    now: float = 0.0
    trials: int = 0

    def measure(self, rate_per_s: float, seconds: float) -> Trial:
        due = poisson(rate_per_s, seconds, self.rng)
        done, good = self.server.serve(self.now + due)
        self.trials += 1
        found = trial_of(due, done - self.now, good, seconds, self.busy(rate_per_s, self.trials))
        self.now += max(seconds, float(found.sample.done.max(initial=0)) / SECOND)
        return found

    def rest(self, seconds: float) -> None:
        self.now += seconds

    def clock(self) -> float:
        return self.now


def poisson(rate_per_s: float, seconds: float, rng: np.random.Generator) -> Floats:
    return np.sort(rng.random(rng.poisson(rate_per_s * seconds)) * seconds)


def trial_of(due: Floats, done: Floats, good: npt.NDArray[np.bool_], seconds: float, busy: float = 0.0) -> Trial:
    """As the generator would have seen it, had it been on time."""
    due_ns = np.rint(due * SECOND).astype(np.int64)
    in_time = done - due <= TIMEOUT_S
    sample = Sample(
        seconds=seconds,
        operations=("report",),
        index=np.arange(len(due)),
        operation=np.zeros(len(due), np.int64),
        due=due_ns,
        sent=due_ns,
        done=np.rint(np.where(in_time, done, due + TIMEOUT_S) * SECOND).astype(np.int64),
        status=np.where(good, 201, 503),
        ok=good & in_time,
        cpu={"generator": [busy]},
    )
    return Trial(sample)


def truth_per_s(
    fresh: Callable[[], Server],
    objectives: Sequence[Objective],
    seconds: float,
    around_per_s: float,
    steps: int = 100,
    seed: int = 7,
) -> float:
    """The load at which half of all steps of that length, begun on a drained server, keep to the objectives.

    Each step's luck is fixed (arrivals at rate 1, their times squeezed), the load at which it breaks bisected.
    """
    rng = np.random.default_rng(seed)
    breaks = []
    for _ in range(steps):
        times = np.cumsum(rng.exponential(size=int(around_per_s * seconds * 1.4)))
        low, high = 0.8, 1.2
        for _ in range(9):
            middle = (low + high) / 2
            due = times / (middle * around_per_s)
            due = due[due < seconds]
            holds = judge(trial_of(due, *fresh().serve(due), seconds), objectives).holds
            low, high = (middle, high) if holds else (low, middle)
        breaks.append((low + high) / 2 * around_per_s)
    return float(np.median(breaks))
