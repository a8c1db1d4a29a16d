"""Where a flow breaks: `caucus loadtest break`, one flow after the other, each at a backend of its own."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from loadtests import breaking_point
from loadtests.breaking_point import BROKEN_OFF, BreakingPoint, Tried
from loadtests.generator.processes import GeneratorError
from loadtests.harness import Job, Load, at_backend
from loadtests.search.stress import where
from simulation.errors import InputError, UnfinishedError

if TYPE_CHECKING:
    from loadtests.faults import Mark

_START_PER_S = {"login": 8.0, "report": 200.0, "photo": 8.0, "clerk": 200.0, "results": 250.0, "mix": 50.0}


@dataclass(frozen=True)
class Found:
    """What a flow's search came to."""

    point: BreakingPoint
    ledger: Mapping[str, Any] | None  # `reconciliation.held_against`; None where nothing is written
    at: str | None = None  # which of several operations broke
    marks: tuple[tuple[float, Mark], ...] = ()  # faults, and when their trial began, from the start of the search
    notices: tuple[str, ...] = ()
    not_held: str = ""  # why the ledger could not be held against what is stored
    shown: str = ""  # the target, without secrets
    database: str | None = None
    cores: str = ""
    workers: int = 1

    @property
    def was_broken_off(self) -> bool:
        """Whether somebody pressed Ctrl-C."""
        return self.point.broken_off


def find(job: Job, flow: str, told: Callable[[str], None], tried: Callable[[Tried], None]) -> Found:
    """The breaking point of a flow. InputError where it cannot be loaded, UnfinishedError where the backend is gone."""
    if job.plan and (problems := job.plan.too_late_for(breaking_point.STEP_S)):
        raise InputError(problems)
    with at_backend(job, flow, told) as load:
        return _searched(load, tried)


def _searched(load: Load, tried: Callable[[Tried], None]) -> Found:
    """Prepare, search, see how it comes back, and hold the ledger against the backend."""
    job, flow = load.job, load.flow
    with load.opened() as stress:
        load.began = time.monotonic()
        start, cap = _START_PER_S[flow], stress.made.target.rate_cap_per_s
        try:
            point = stress.find(
                job.objectives,
                flow=flow,
                start_per_s=min(start, cap or start),
                night_per_s=job.peak.per_s.get(flow) or None,
                budget_s=job.budget_s,
                recovers=job.recovers,
                tried=tried,
            )
        except (GeneratorError, UnfinishedError):
            if job.others:
                load.told(_lacking_elsewhere(job.others))
            raise
        workers = stress.workers
    load.notices += [*_others_here(point), *load.kept.notices()]
    if job.others and (point.broken_off or point.failed):
        load.notices.append(_lacking_elsewhere(job.others))
    held = load.reconciled()
    if load.not_held == BROKEN_OFF:  # what was found stays
        point = replace(point, broken_off=True)
    return Found(
        point, held, where(point.trials), tuple(load.marks), tuple(load.notices),
        load.not_held, load.shown, load.place.kind, load.place.cores, workers,
    )  # fmt: skip


def _lacking_elsewhere(others: int) -> str:
    """What is missing where a trial did not come to its end: files are brought here with what was measured."""
    return (
        f"the ledger lacks the last trial of {others} process{'es' if others > 1 else ''} elsewhere: it was broken off"
    )


def _others_here(point: BreakingPoint) -> Iterator[str]:
    """Why so many trials say nothing, where it is not the generator's own doing."""
    counted = [one for one in point.trials if one.kind != "probe"]
    void = sum(one.trial.void is not None for one in counted)
    load, cores = os.getloadavg()[0], len(os.sched_getaffinity(0))
    if void >= 3 and 2 * void >= len(counted) and load > 1.5 * cores:
        yield (
            f"{void} of {len(counted)} trials are void, and others use this machine (load average {load:.0f} on "
            f"{cores} cores): a quiet machine answers better"
        )
