"""A stampede: everybody opens the public results at once, while the night's reports come in as before."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from loadtests.objectives import Judgement, Objective, judge
from loadtests.trial import SECOND, Sample, Trial
from loadtests.workload import FLOWS, Schedule, poisson, spike

BEFORE_S, AFTER_S = 20.0, 40.0
HOLDS_S = 5.0  # so long every objective must hold before it counts as over
LOOKS = ("results.page", "results")
PUBLIC = "public results"
REPORTS = "reports and log-ins"


@dataclass(frozen=True)
class Shape:
    """How the load runs."""

    night_per_s: float  # of everything but the readers who come all at once
    surge_per_s: float
    length_s: float
    before_s: float = BEFORE_S
    after_s: float = AFTER_S

    @property
    def seconds(self) -> float:
        """All of it."""
        return self.before_s + self.length_s + self.after_s


@dataclass(frozen=True, eq=False)
class Stampeded:
    """What came of it."""

    shape: Shape
    trial: Trial
    objectives: Sequence[Objective]

    def part(self, who: str, when: str) -> Trial:
        """The requests of the public or of the others, before, during or after the stampede."""
        sample, shape = self.trial.sample, self.shape
        ends = {
            "before": (0.0, shape.before_s),
            "during": (shape.before_s, shape.before_s + shape.length_s),
            "after": (shape.before_s + shape.length_s, shape.seconds),
        }
        first, last = ends[when]
        public = np.array([name.startswith("results") for name in sample.operations], bool)[sample.operation]
        kept = (public == (who == PUBLIC)) & (sample.due >= first * SECOND) & (sample.due < last * SECOND)
        return Trial(_only(sample, kept, first, last - first))

    @property
    def goes_on(self) -> bool:
        """Whether anything was due after the stampede: else nobody knows what became of it."""
        return any(self.part(who, "after").requests for who in (PUBLIC, REPORTS))

    def judged(self, who: str, when: str) -> Judgement:
        """Objectives of latency and errors; a load that changes has no slope."""
        asked = [one for one in self.objectives if one.metric not in ("backlog_slope", "lost")]
        return judge(self.part(who, when), asked)

    @property
    def over_after_s(self) -> float | None:
        """From its end until every objective holds again, for everybody; None: not while it was seen.

        Where so little is seen that it cannot hold for as long as it should, to the end of that is long enough.
        """
        sample, shape = self.trial.sample, self.shape
        asked = [one for one in self.objectives if one.metric not in ("backlog_slope", "lost", "goodput_share")]
        since: float | None = None
        enough_s = min(HOLDS_S, int(shape.after_s))
        for second in range(int(shape.after_s)):
            first = shape.before_s + shape.length_s + second
            kept = (sample.due >= first * SECOND) & (sample.due < (first + 1) * SECOND)
            holds = all(
                finding.holds or not finding.sure
                for finding in judge(Trial(_only(sample, kept, first, 1.0)), asked).findings
            )
            since = (float(second) if since is None else since) if holds else None
            if since is not None and second + 1 - since >= enough_s:
                return since
        return None

    def as_json(self) -> dict[str, Any]:
        """One object."""
        parts = {
            who: {when: _summary(self.part(who, when)) for when in ("before", "during", "after")}
            for who in (PUBLIC, REPORTS)
        }
        shape, whole = self.shape, self.trial.summary()
        return {
            "night_per_s": shape.night_per_s,
            "surge_per_s": shape.surge_per_s,
            "before_s": shape.before_s,
            "length_s": shape.length_s,
            "after_s": shape.after_s,
            "over_after_s": self.over_after_s if self.goes_on else None,
            "void": whole["void"],
            "problems": whole["problems"],
            "generator": whole["generator"],
            "parts": parts,
            "resources": whole["resources"],
        }


def _summary(part: Trial) -> dict[str, Any]:
    """The figures of a part, without those that are only known of the whole."""
    found = part.summary()
    found["generator"] = {name: found["generator"][name] for name in ("lateness_p99_s", "sent_share")}
    if not part.requests:  # of none nobody was served, neither well nor badly
        found |= {"latency_s": dict.fromkeys(found["latency_s"]), "goodput_share": None, "error_share": None}
    return {name: value for name, value in found.items() if name not in ("lost", "problems", "resources", "void")}


def _only(sample: Sample, kept: np.ndarray[Any, np.dtype[np.bool_]], first_s: float, seconds: float) -> Sample:
    rows = {
        name: getattr(sample, name)[kept]
        for name in ("index", "operation", "due", "sent", "done", "status", "ok", "attempts")
    }
    moved = int(first_s * SECOND)
    rows |= {name: np.where(rows[name] >= 0, rows[name] - moved, rows[name]) for name in ("due", "done")}
    rows["sent"] = np.where(rows["sent"] >= 0, rows["sent"] - moved, rows["sent"])
    return replace(sample, seconds=seconds, cpu={}, problems={}, **rows)


def busiest(per_s: Mapping[str, float], has: Collection[str]) -> dict[str, float]:
    """Requests a second of each operation, every flow at its own busiest minute: reports as well as readers."""
    found: dict[str, float] = {}
    for flow, operations in FLOWS.items():
        names = [name for name in (LOOKS if flow == "results" else operations) if name in has]
        found |= {name: per_s.get(flow, 0.0) / len(names) for name in names}
    return {name: rate for name, rate in found.items() if rate}


def schedule(shape: Shape, shares: Mapping[str, float], looks: Sequence[str], seed: int) -> Schedule:
    """The night all the time, and the readers on top of it."""
    night = poisson(shape.night_per_s, shape.seconds, 2 * seed).mixed(shares, 2 * seed)
    surge = spike(0.0, shape.surge_per_s, shape.seconds, shape.before_s, shape.length_s, 2 * seed + 1)
    public = surge.mixed(dict.fromkeys(looks, 1.0), 2 * seed + 1)
    return together(night, public)


def together(*several: Schedule) -> Schedule:
    """Several schedules as one."""
    names = tuple(dict.fromkeys(name for one in several for name in one.operations))
    due = np.concatenate([one.due_ns for one in several])
    operation = np.concatenate(
        [np.array([names.index(name) for name in one.operations], np.int64)[one.operation] for one in several]
    )
    order = np.argsort(due, kind="stable")
    count = np.arange(len(due), dtype=np.int64)
    return Schedule(due[order], operation[order], count, count, names, max(one.seconds for one in several))
