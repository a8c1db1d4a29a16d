"""What one trial has measured: three clocks for each request, the generator's own state, and what follows from them.

A trial in which the generator fell short is void: it says nothing about the backend. Knows nothing of how load is made.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from hdrh.histogram import HdrHistogram  # type: ignore[import-untyped]  # ships no types

    from loadtests.objectives import Growth

Integers: TypeAlias = npt.NDArray[np.int64]
Floats: TypeAlias = npt.NDArray[np.float64]
Truths: TypeAlias = npt.NDArray[np.bool_]

SECOND = 1_000_000_000
LATE_S = 0.010  # p99 of the generator's lateness; or, if that is less, this share of the latency that is asked for:
LATE_SHARE = 0.05
BUSY_SHARE = 0.80  # of one core, in any second
SENT_SHARE = 0.99
_HEALTHY_S = 1.0  # a backend whose p99 is below this has not filled the cap of requests under way


class Status(IntEnum):
    """In the place of an HTTP status where there is none."""

    NO_ANSWER = 0  # in time
    BROKEN_OFF = -1  # refused, reset, closed early, not HTTP
    DROPPED = -2  # too many under way: not sent
    UNABLE = -3  # the generator could not: out of ports or file handles, or its request could not be made


@dataclass(frozen=True, eq=False)
class Sample:
    """The requests of one schedule or of a part of it. Times in ns from the start of the schedule."""

    seconds: float  # how long requests were due
    operations: tuple[str, ...]
    index: Integers  # where each request stands in the whole schedule
    operation: Integers
    due: Integers
    sent: Integers  # begun to send, or to connect, or to wait for the answer that it follows; -1: not at all
    done: Integers  # the last byte is read; where there was none, when it was given up
    status: Integers  # of HTTP, or `Status`
    ok: Truths
    cpu: Mapping[str, Sequence[float]] = field(default_factory=dict)  # per generator process: share of a core by second
    problems: Mapping[str, int] = field(default_factory=dict)  # why requests failed, and how often
    attempts: Integers = field(default_factory=lambda: np.zeros(0, np.int64))  # how often each was sent; none: once

    def __post_init__(self) -> None:
        if len(self.attempts) != len(self.due):
            object.__setattr__(self, "attempts", (self.sent >= 0).astype(np.int64))

    def __len__(self) -> int:
        return len(self.due)

    @property
    def main_problem(self) -> str:
        """Why most of those failed that did; empty where none did."""
        return max(self.problems, key=lambda problem: self.problems[problem], default="")

    @cached_property
    def lateness_s(self) -> Floats:
        """How late the generator was: from due to sent."""
        began = self.sent >= 0
        return np.asarray((self.sent[began] - self.due[began]) / SECOND, float)

    @cached_property
    def latency_s(self) -> Floats:
        """From *due* to done; infinite where a request was not answered well."""
        return np.where(self.ok, (self.done - self.due) / SECOND, np.inf)

    def backlog(self, every_s: float = 1.0) -> Integers:
        """How many requests are due and neither answered nor given up, at the end of each second."""
        at = (np.arange(1, int(self.seconds / every_s) + 1) * every_s * SECOND).astype(np.int64)
        due, gone = np.sort(self.due), np.sort(np.maximum(self.done, self.due))
        return np.asarray(np.searchsorted(due, at) - np.searchsorted(gone, at, side="right"), np.int64)

    def by_second(self, every_s: float = 1.0) -> Iterator[dict[str, Any]]:
        """By the second in which requests were due: how many, how many answered well, their latencies, the backlog."""
        count = max(1, math.ceil(self.seconds / every_s))
        second = np.minimum((self.due / (every_s * SECOND)).astype(np.int64), count - 1)
        order = np.argsort(second, kind="stable")
        cuts = np.searchsorted(second[order], np.arange(count + 1))
        backlog = self.backlog(every_s)
        for k in range(count):
            rows = order[cuts[k] : cuts[k + 1]]
            latencies = np.sort(self.latency_s[rows])
            yield {
                "second": k * every_s,
                "due": len(rows),
                "good": int(np.count_nonzero(self.ok[rows])),
                "p50_s": finite_quantile(latencies, 0.5),
                "p99_s": finite_quantile(latencies, 0.99),
                "backlog": int(backlog[k]) if k < len(backlog) else None,
            }

    def histogram(self) -> HdrHistogram:
        """Latencies from due of what was answered well, in µs, to three digits; it encodes to HdrHistogram's format."""
        from hdrh.histogram import HdrHistogram

        found = HdrHistogram(1, 3_600_000_000, 3)
        micros = np.clip(np.rint(self.latency_s[self.ok] * 1e6), 1, 3_600_000_000).astype(np.int64)
        for value, count in zip(*np.unique(micros, return_counts=True), strict=True):
            found.record_value(int(value), int(count))
        return found

    def of(self, *operations: str) -> Sample:
        """Only the requests of these operations."""
        wanted = np.array([name in operations for name in self.operations], bool)[self.operation]
        rows: dict[str, Any] = {name: getattr(self, name)[wanted] for name in _ROWS}
        return replace(self, **rows)

    @classmethod
    def merged(cls, parts: Sequence[Sample], size: int) -> Sample:
        """The parts of several workers, which must be the whole schedule of `size` requests, each exactly once."""
        rows: dict[str, Any] = {name: np.concatenate([getattr(part, name) for part in parts]) for name in _ROWS}
        order = np.argsort(rows["index"], kind="stable")
        rows = {name: row[order] for name, row in rows.items()}
        if not np.array_equal(rows["index"], np.arange(size)):
            raise ValueError(f"{len(order)} requests of {len(parts)} workers are not the {size} of the schedule")
        problems: dict[str, int] = {}
        for part in parts:
            for problem, count in part.problems.items():
                problems[problem] = problems.get(problem, 0) + count
        cpu = {worker: row for part in parts for worker, row in part.cpu.items()}
        return replace(parts[0], cpu=cpu, problems=problems, **rows)

    def to_bytes(self) -> bytes:
        """For another process or a file (.npz); `from_bytes` reads it."""
        file = io.BytesIO()
        rows: dict[str, Any] = {name: getattr(self, name) for name in _ROWS}
        rows |= {"seconds": self.seconds, "operations": list(self.operations)}
        rows |= {"problems": list(self.problems), "problem_counts": list(self.problems.values())}
        rows |= {"workers": list(self.cpu), "cpu": _table(list(self.cpu.values()))}
        np.savez_compressed(file, **rows)
        return file.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> Sample:
        """What `to_bytes` wrote."""
        with np.load(io.BytesIO(data)) as file:
            workers, table = file["workers"].tolist(), file["cpu"]
            cpu = {str(name): row[~np.isnan(row)].tolist() for name, row in zip(workers, table, strict=True)}
            problems = dict(zip(map(str, file["problems"]), map(int, file["problem_counts"]), strict=True))
            return cls(
                seconds=float(file["seconds"]),
                operations=tuple(map(str, file["operations"])),
                cpu=cpu,
                problems=problems,
                **{name: file[name] for name in _ROWS},
            )


_ROWS = ("index", "operation", "due", "sent", "done", "status", "ok", "attempts")


def _table(rows: Sequence[Sequence[float]]) -> Floats:
    found = np.full((len(rows), max(map(len, rows), default=0)), np.nan)
    for number, row in enumerate(rows):
        found[number, : len(row)] = row
    return found


@dataclass(frozen=True, eq=False)
class Trial:
    """One step of load, as objectives read it (`objectives.Trial`). Latencies count from the time a request was due."""

    sample: Sample
    objective_s: float | None = None  # the latency that is asked for: what counts as late is measured by it
    lost: int = 0  # acknowledged writes that the backend does not hold
    resources: Mapping[str, float] = field(default_factory=dict)  # what was used meanwhile, by name: "service.cpu", ...
    begins_s: float | None = None  # when the clock of due times began: s of the monotonic clock

    @property
    def requests(self) -> int:
        """How many were due."""
        return len(self.sample)

    @property
    def seconds(self) -> float:
        """How long requests were due."""
        return self.sample.seconds

    @property
    def offered_per_s(self) -> float:
        """Requests due a second."""
        return self.requests / self.seconds if self.seconds else 0.0

    @property
    def completed_per_s(self) -> float:
        """Requests answered well a second while requests were due."""
        in_time = self.sample.ok & (self.sample.done <= self.seconds * SECOND)
        return int(np.count_nonzero(in_time)) / self.seconds if self.seconds else 0.0

    @property
    def goodput_share(self) -> float:
        """Requests answered well, of all that were due."""
        return int(np.count_nonzero(self.sample.ok)) / self.requests if self.requests else 1.0

    @property
    def error_share(self) -> float:
        """Requests answered badly, late beyond the time-out, dropped, or not answered at all, of all that were due."""
        return 1.0 - self.goodput_share

    @cached_property
    def _sorted_s(self) -> Floats:
        return np.sort(self.sample.latency_s)

    def latency_s(self, q: float) -> float:
        """The latency that a share q of the requests does not exceed; infinite where they were not answered well."""
        return _quantile(self._sorted_s, q)

    @cached_property
    def backlog_growth(self) -> Growth:
        """The drift of the backlog, sampled each second, and its t-test."""
        from loadtests.objectives import backlog_growth

        return backlog_growth(self.sample.backlog())

    @property
    def backlog_slope_per_s(self) -> float:
        """How many more requests are under way with every second."""
        return self.backlog_growth.per_s

    @property
    def backlog_slope_p(self) -> float:
        """How often luck alone makes a backlog that stands still rise as fast (one-sided)."""
        return self.backlog_growth.p

    @cached_property
    def lateness_p99_s(self) -> float:
        """How late the generator was."""
        return _quantile(np.sort(self.sample.lateness_s), 0.99)

    @property
    def sent_share(self) -> float:
        """Requests that were sent, of all that were due."""
        return int(np.count_nonzero(self.sample.sent >= 0)) / self.requests if self.requests else 1.0

    @property
    def problems(self) -> Mapping[str, int]:
        """Why requests were not answered well, and how many each."""
        return self.sample.problems

    @property
    def generator_cpu(self) -> float:
        """The busiest second of the busiest generator process: a share of one core."""
        return max((max(row) for row in self.sample.cpu.values() if len(row)), default=0.0)

    @cached_property
    def void(self) -> str | None:
        """Why the trial says nothing about the backend; None: it counts."""
        late = LATE_S if self.objective_s is None else min(LATE_S, LATE_SHARE * self.objective_s)
        unable = int(np.count_nonzero(self.sample.status == Status.UNABLE))
        if self.generator_cpu > BUSY_SHARE:
            return (
                f"the generator was busy: {self.generator_cpu:.0%} of a core in one second (more than {BUSY_SHARE:.0%})"
            )
        if self.lateness_p99_s > late:
            return f"the generator was late: p99 {self.lateness_p99_s * 1e3:.1f} ms (more than {late * 1e3:g} ms)"
        if unable > (1 - SENT_SHARE) * self.requests:
            return (
                f"the generator could not send {unable / self.requests:.1%} of the requests: {self.sample.main_problem}"
            )
        if self.sent_share < SENT_SHARE and self._was_healthy:
            return (
                f"the generator sent only {self.sent_share:.1%}, though the backend was healthy: "
                f"its cap of requests under way is too small"
            )
        return None

    @property
    def _was_healthy(self) -> bool:
        sent = self.sample.sent >= 0
        answered = sent & self.sample.ok
        if np.count_nonzero(answered) < SENT_SHARE * np.count_nonzero(sent):
            return False
        took = (self.sample.done[answered] - self.sample.sent[answered]) / SECOND
        return _quantile(np.sort(took), 0.99) < _HEALTHY_S

    def summary(self) -> dict[str, Any]:
        """The figures, for JSON; what is not finite is null."""
        quantiles = {name: self.latency_s(q) for name, q in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("max", 1.0))}
        return {
            "requests": self.requests,
            "seconds": self.seconds,
            "offered_per_s": self.offered_per_s,
            "completed_per_s": self.completed_per_s,
            "goodput_share": self.goodput_share,
            "error_share": self.error_share,
            "latency_s": {name: value if math.isfinite(value) else None for name, value in quantiles.items()},
            "backlog_slope_per_s": self.backlog_slope_per_s,
            "backlog_slope_p": self.backlog_slope_p,
            "lost": self.lost,
            "problems": dict(self.sample.problems),
            "resources": dict(self.resources),
            "generator": {
                "lateness_p99_s": self.lateness_p99_s,
                "sent_share": self.sent_share,
                "cpu": self.generator_cpu,
                "workers": len(self.sample.cpu),
            },
            "void": self.void,
        }


def finite_quantile(ordered: Floats, q: float) -> float | None:
    """Of sorted latencies; None where there are none, or where it was never answered well."""
    value = _quantile(ordered, q) if len(ordered) else math.inf
    return value if math.isfinite(value) else None


def _quantile(ordered: Floats, q: float) -> float:
    """Of sorted values: the least that a share q of them does not exceed."""
    if not len(ordered):
        return 0.0
    return float(ordered[min(len(ordered), max(1, math.ceil(round(q * len(ordered), 9)))) - 1])
