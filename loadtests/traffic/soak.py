"""Hours at a load that a backend bears: do latency, memory or file handles drift, and is everything still there?

The load is cut into stretches that follow each other at once, over connections that stay open; each is a sample.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from loadtests.breaking_point import BROKEN_OFF, SearchEndedError
from loadtests.generator.processes import GeneratorError
from loadtests.traffic.drift import Drift, drift
from loadtests.trial import Trial, finite_quantile
from simulation.errors import UnfinishedError

if TYPE_CHECKING:
    from loadtests.search.stress import Stress

LONGEST_S = 60.0  # of a stretch
_STRETCHES = 40  # or more
_SHORTEST_S = 3.0


@dataclass(frozen=True)
class Stretch:
    """A sample: a minute of load, or less."""

    at_s: float  # its end, from the start of the soak
    seconds: float
    requests: int
    good: int
    p50_s: float | None
    p99_s: float | None
    used: Mapping[str, float]  # as `resources.Watch` tells
    void: str | None
    problems: Mapping[str, int] = field(default_factory=dict)
    lost: int = 0  # acknowledged, and not held

    def as_json(self) -> dict[str, Any]:
        """Flat."""
        shown = {
            name: getattr(self, name) for name in ("at_s", "seconds", "requests", "good", "p50_s", "p99_s", "void")
        }
        return {**shown, **self.used}


@dataclass(frozen=True)
class Soaked:
    """What hours of load have shown."""

    per_s: float
    night_per_s: float | None
    stretches: tuple[Stretch, ...]
    ended: str = ""  # why it did not go on to its end

    @property
    def seconds(self) -> float:
        """How long it lasted."""
        return self.stretches[-1].at_s if self.stretches else 0.0

    @property
    def requests(self) -> int:
        """All that were due."""
        return sum(one.requests for one in self.stretches)

    @property
    def known(self) -> tuple[Stretch, ...]:
        """The stretches that say something: the generator kept up, and something was due."""
        return tuple(one for one in self.stretches if one.void is None and one.requests)

    @property
    def void_stretches(self) -> int:
        """In how many the generator fell short."""
        return sum(one.void is not None for one in self.stretches)

    @property
    def void(self) -> str | None:
        """Why none of it says anything about the backend; None: some of it does."""
        first, count = next((one.void for one in self.stretches if one.void), None), self.void_stretches
        if self.known or first is None:
            return None
        return first if count == 1 else f"in {count} stretches the generator fell short; in the first, {first}"

    @property
    def problems(self) -> dict[str, int]:
        """Why requests were not answered well, and how many each, in stretches that say something."""
        found: Counter[str] = Counter()
        for one in self.known:
            found.update(one.problems)
        return dict(found.most_common())

    @property
    def goodput_share(self) -> float:
        """Answered well, of all that were due in stretches that say something."""
        return sum(one.good for one in self.known) / max(1, sum(one.requests for one in self.known))

    @property
    def error_share(self) -> float:
        """The others."""
        return 1 - self.goodput_share

    def series(self) -> dict[str, list[float | None]]:
        """By name, a figure a stretch: latency, then memory and file handles of whatever was watched.

        Of processes that may not be looked at every figure is 0: they are left out.
        """
        found: dict[str, list[float | None]] = {
            "latency.p50_s": [one.p50_s for one in self.stretches],
            "latency.p99_s": [one.p99_s for one in self.stretches],
        }
        names = sorted({name for one in self.stretches for name in one.used})
        for name in names:
            values = [one.used.get(name) for one in self.stretches]
            if name.endswith((".memory_mb", ".files")) and not name.startswith("generator.") and any(values):
                found[name] = values
        return found

    def drifts(self) -> dict[str, Drift]:
        """How each figure moved; void stretches say nothing of latency."""
        at = [one.at_s for one in self.stretches]
        found = {}
        for name, values in self.series().items():
            known = [
                None if one.void is not None and name.startswith("latency.") else value
                for one, value in zip(self.stretches, values, strict=True)
            ]
            moved = drift(at, known)
            if moved is not None:
                found[name] = moved
        return found

    def untested(self) -> list[str]:
        """The figures of which too few samples were taken: whether they drift is not known."""
        drifts = self.drifts()
        return [name for name in self.series() if name not in drifts]

    def unseen(self) -> list[str]:
        """What of the backend's processes was not looked at: they cannot be seen from here."""
        return [what for what in ("memory", "files") if not any(f".{what}" in name for name in self.series())]

    def as_json(self) -> dict[str, Any]:
        """One object."""
        return {
            "offered_per_s": self.per_s,
            "nights": self.per_s / self.night_per_s if self.night_per_s else None,
            "seconds": self.seconds,
            "requests": self.requests,
            "error_share": self.error_share if self.void is None else None,
            "void": self.void,
            "void_stretches": self.void_stretches,
            "ended": self.ended,
            "drifts": {name: one.as_json() for name, one in self.drifts().items()},
            "drift_not_known": self.untested(),
            "drift_not_looked_at": self.unseen(),
            "problems": self.problems,
            "stretches": [one.as_json() for one in self.stretches],
        }


def soak(
    stress: Stress,
    per_s: float,
    seconds: float,
    *,
    night_per_s: float | None = None,
    told: Callable[[Stretch], None] = lambda stretch: None,
    clock: Callable[[], float] = time.monotonic,
) -> Soaked:
    """Poisson arrivals for so long. Ctrl-C or SIGTERM end it early, or what cannot go on; what was measured counts."""
    began = clock()
    found: list[Stretch] = []
    ended = ""
    length = min(LONGEST_S, max(_SHORTEST_S, seconds / _STRETCHES))
    try:
        while clock() - began < seconds - length / 2:
            trial = stress.measure(per_s, length)
            found.append(_stretch(trial, clock() - began))
            told(found[-1])
    except (KeyboardInterrupt, SystemExit, SearchEndedError, GeneratorError, UnfinishedError) as error:
        if not found:
            raise
        ended = BROKEN_OFF if isinstance(error, KeyboardInterrupt | SystemExit) else str(error)
    return Soaked(per_s, night_per_s, tuple(found), ended)


def _stretch(trial: Trial, at_s: float) -> Stretch:
    latencies = np.sort(trial.sample.latency_s)
    return Stretch(
        at_s=at_s,
        seconds=trial.seconds,
        requests=trial.requests,
        good=int(np.count_nonzero(trial.sample.ok)),
        p50_s=finite_quantile(latencies, 0.5),
        p99_s=finite_quantile(latencies, 0.99),
        used=dict(trial.resources),
        void=trial.void,
        problems=dict(trial.sample.problems),
        lost=trial.lost,
    )


def rising(found: Soaked) -> Iterator[tuple[str, Drift]]:
    """What becomes more, and by more than luck."""
    yield from ((name, one) for name, one in found.drifts().items() if one.rises)


def disk_bytes(shares: Mapping[str, float], per_s: float, seconds: float, picture_bytes: Sequence[int]) -> float:
    """About what the photos of a soak take on a disk."""
    return shares.get("photo", 0.0) * per_s * seconds * math.fsum(picture_bytes) / max(1, len(picture_bytes))
