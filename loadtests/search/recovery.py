"""Whether a backend comes back after an overload: nominal load, overload, nominal load again, in one go.

A service that stays down although the load is long back to normal is metastable (Bronson, Aghayev, Charapko, Zhu:
"Metastable failures in distributed systems", HotOS 2021); clients that try again are what usually keeps it there. Knows
nothing of HTTP, nor of how load is made.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from loadtests.objectives import Objective, judge

Floats: TypeAlias = npt.NDArray[np.float64]

NOMINAL_SHARE = 0.5  # of the breaking point: what people ask for before and after
OVERLOAD_SHARE = 1.7  # as 2,500/s against a service of 1,500/s
BEFORE_S = 10.0
OVERLOAD_S = 5.0
HOLDS_S = 10.0  # so long all objectives must hold again before it counts as recovered
LEAST_AFTER_S, MOST_AFTER_S = 40.0, 120.0
PATIENCE = 3.0  # a backend has this many times as long as the work that was left behind takes at its full capacity
RETRIES = 3
_LEAST_REQUESTS = 20  # in a window, which is a second or longer


class Phase(NamedTuple):
    """A stretch of an episode at one load."""

    per_s: float
    seconds: float


class Episode(Protocol):
    """What came of the phases: one row for each thing that a client wanted, however often it asked."""

    @property
    def due_s(self) -> Floats:
        """When it was first due, from the start of the first phase; ascending."""

    @property
    def latency_s(self) -> Floats:
        """From then to the answer, through all tries; infinite where there was none that was good."""

    @property
    def attempts(self) -> npt.NDArray[np.int64]:
        """How often it was sent."""

    @property
    def void(self) -> str | None:
        """Why the episode says nothing about the backend."""


Play: TypeAlias = Callable[[Sequence[Phase], int], Episode]  # phases, and how often a client tries again at once


class Window(NamedTuple):
    """A second of an episode, or a few where requests are rare."""

    at_s: float  # from the end of the overload: negative before it
    seconds: float
    requests: int
    attempts: int
    good_share: float
    p50_s: float
    p99_s: float
    holds: bool  # unless an objective is broken for sure, few as the requests are

    def as_json(self) -> dict[str, Any]:
        """What is infinite is null."""
        return {name: None if value == math.inf else value for name, value in self._asdict().items()}


@dataclass(frozen=True)
class Recovery:
    """How a backend came back from an overload."""

    retries: int  # of each client
    phases: tuple[Phase, ...]
    recovery_s: float | None  # from the end of the overload until all objectives hold again; None: they did not
    metastable: bool | None  # None: it is not known
    why: str | None  # it is not known, or did not come back
    drain_s: float  # what the work left behind should take
    amplification: float | None  # attempts for each request, from the overload on
    amplification_at_end: float | None  # under nominal load, at the end
    windows: tuple[Window, ...] = field(repr=False)

    def as_json(self) -> dict[str, Any]:
        """One object."""
        return {
            "retries": self.retries,
            "phases": [list(phase) for phase in self.phases],
            "recovery_s": self.recovery_s,
            "metastable": self.metastable,
            "why": self.why,
            "drain_s": self.drain_s,
            "amplification": self.amplification,
            "amplification_at_end": self.amplification_at_end,
            "windows": [window.as_json() for window in self.windows],
        }


def recovery(
    play: Play,
    objectives: Sequence[Objective],
    *,
    capacity_per_s: float,
    settle: Callable[[], None] = lambda: None,
    nominal_per_s: float | None = None,
    overload_s: float | None = None,
    retries: Sequence[int] = (0, RETRIES),
) -> tuple[Recovery, ...]:
    """One episode for each number of retries. `capacity_per_s` is the breaking point; `settle` waits for a calm one.

    It is metastable when all objectives held before the overload, and do not hold again at the same load though it had
    several times as long as the work that was left behind takes.
    """
    nominal = NOMINAL_SHARE * capacity_per_s if nominal_per_s is None else nominal_per_s
    overload = OVERLOAD_SHARE * capacity_per_s
    overload_s = OVERLOAD_S if overload_s is None else overload_s
    drain_s = max(0.0, overload - capacity_per_s) * overload_s / max(capacity_per_s - nominal, 0.01 * capacity_per_s)
    after_s = math.ceil(min(MOST_AFTER_S, max(LEAST_AFTER_S, PATIENCE * drain_s + 2 * HOLDS_S)))
    phases = (Phase(nominal, BEFORE_S), Phase(overload, overload_s), Phase(nominal, float(after_s)))
    found = []
    for count in retries:
        settle()
        found.append(read(play(phases, count), phases, count, objectives, drain_s))
    return tuple(found)


def read(
    episode: Episode, phases: Sequence[Phase], retries: int, objectives: Sequence[Objective], drain_s: float
) -> Recovery:
    """What an episode of the phases before, overload and after says."""
    before, overload, after = phases
    begins, ends = before.seconds, before.seconds + overload.seconds
    windows = _windows(episode, phases, objectives)
    attempts, due = episode.attempts, episode.due_s
    last = ends + after.seconds - HOLDS_S
    later = [window for window in windows if window.at_s >= 0]
    recovery_s = _holds_again(later)
    metastable, why = False, episode.void
    if episode.void is not None:
        recovery_s, known = None, False
    elif not all(window.holds for window in windows if window.at_s < -overload.seconds):
        recovery_s, known, why = None, False, f"it did not hold at {before.per_s:.0f}/s before the overload either"
    else:
        known = True
        if recovery_s is None:
            metastable = after.seconds >= PATIENCE * drain_s + HOLDS_S
            why = f"it did not come back within {after.seconds:.0f} s of {after.per_s:.0f}/s; " + (
                f"the work left behind takes {drain_s:.0f} s"
                if metastable
                else f"the work left behind takes {drain_s:.0f} s, so that this says little"
            )
    return Recovery(
        retries=retries,
        phases=tuple(phases),
        recovery_s=recovery_s,
        metastable=metastable if known else None,
        why=why,
        drain_s=drain_s,
        amplification=_mean(attempts[due >= begins]),
        amplification_at_end=_mean(attempts[due >= last]),
        windows=tuple(windows),
    )


def _holds_again(windows: Sequence[Window]) -> float | None:
    """When the objectives begin to hold, and go on for HOLDS_S."""
    since: float | None = None
    for window in windows:
        if not window.holds:
            since = None
        elif since is None:
            since = window.at_s
        if since is not None and window.at_s + window.seconds - since >= HOLDS_S:
            return since
    return None


@dataclass(frozen=True)
class _Stretch:
    """A window as a trial, so that objectives are read the same way; growth is not asked of so short a time."""

    latencies_s: Floats  # sorted
    seconds: float
    backlog_slope_per_s: float = 0.0
    backlog_slope_p: float = 1.0
    lost: int = 0
    void: str | None = None
    resources: Mapping[str, float] = field(default_factory=dict)

    @property
    def requests(self) -> int:
        return len(self.latencies_s)

    @property
    def offered_per_s(self) -> float:
        return self.requests / self.seconds

    @property
    def completed_per_s(self) -> float:
        return self.goodput_share * self.offered_per_s

    @property
    def goodput_share(self) -> float:
        return float(np.mean(np.isfinite(self.latencies_s))) if self.requests else 1.0

    @property
    def error_share(self) -> float:
        return 1 - self.goodput_share

    def latency_s(self, q: float) -> float:
        if not self.requests:
            return 0.0
        return float(self.latencies_s[min(self.requests, max(1, math.ceil(q * self.requests))) - 1])


def _windows(episode: Episode, phases: Sequence[Phase], objectives: Sequence[Objective]) -> list[Window]:
    """Cut at the ends of phases, so that none lies in two of them."""
    found = []
    start, overload_ends = 0.0, phases[0].seconds + phases[1].seconds
    due, latency, attempts = episode.due_s, episode.latency_s, episode.attempts
    for phase in phases:
        count = max(1, int(phase.seconds // max(1.0, _LEAST_REQUESTS / max(phase.per_s, 1e-9))))
        edges = np.linspace(start, start + phase.seconds, count + 1)
        cuts = np.searchsorted(due, edges)
        for k in range(count):
            rows = slice(cuts[k], cuts[k + 1])
            stretch = _Stretch(np.sort(latency[rows]), float(edges[k + 1] - edges[k]))
            found.append(
                Window(
                    at_s=float(edges[k] - overload_ends),
                    seconds=stretch.seconds,
                    requests=stretch.requests,
                    attempts=int(attempts[rows].sum()),
                    good_share=stretch.goodput_share,
                    p50_s=stretch.latency_s(0.5),
                    p99_s=stretch.latency_s(0.99),
                    holds=not any(finding.sure for finding in judge(stretch, objectives).broken),
                )
            )
        start += phase.seconds
    return found


def _mean(values: npt.NDArray[np.int64]) -> float | None:
    return float(values.mean()) if len(values) else None
