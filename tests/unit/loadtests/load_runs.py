"""What runs of load tests come to, made up: searches of simulated servers, a small night answered as one likes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from loadtests.breaking_point import BreakingPoint, search
from loadtests.contract import OPERATIONS
from loadtests.objectives import judge, parse_objectives
from loadtests.report import replay_page
from loadtests.report.run_folder import About, Fault
from loadtests.search.recovery import recovery
from loadtests.traffic.evening import evening_of
from loadtests.traffic.replay import Plan, Replayed, plan, replayed
from loadtests.traffic.soak import Soaked, Stretch
from loadtests.traffic.stampede import Shape, Stampeded, schedule
from loadtests.trial import SECOND, Sample, Trial
from loadtests.workload import Schedule
from simulation.night import play_night
from simulation.roster import synthesize
from simulation.scenario import Scenario, load
from tests.unit.loadtests.simulated_servers import Bench, Retrying, Server, Servers
from tests.unit.loadtests.test_recovery import play_on

OBJECTIVES = ("p99(latency) < 2 s", "error_share < 0.5 %")
NIGHT_PER_S = 1.7
NIGHT_OPERATIONS = tuple(
    name for name in OPERATIONS if name.startswith("report.") or name in ("login", "photo", "clerk", "results")
)
_NOTHING = dict.fromkeys(("lost", "duplicated", "altered", "mis_tallied", "out_of_order"), 0)
_UNANSWERED = {"unanswered": 2, "unanswered_stored": 1, "unanswered_not_stored": 1}
_KEPT = {
    "clean": True, "verdict": "the backend kept what it promised", "offending": {}, "sites_not_checked": [],
    "sources": ["by_api", "by_database", "public"], "not_read": "",
}  # fmt: skip
CLEAN = {"acknowledged": 4321, **_NOTHING, **_UNANSWERED, **_KEPT}
_LOST = {"site": "0042", "step": "report.final", "key": "k-1", "where": "api", "says": "acknowledged, and not stored"}
NOT_LOOKED_AT = {
    **CLEAN, "sources": ["public"], "not_read": "the mapping has no [stored]",
    "verdict": (
        "the public results hold nothing against it; what is stored was not looked at: the mapping has no [stored]"
    ),
}  # fmt: skip
DIRTY = {**CLEAN, "lost": 3, "clean": False, "verdict": "lost: 3", "offending": {"lost": [_LOST]}}


@cache
def point(flow: str = "login", per_s: float = 40.0, ran_out: str | None = "service.cpu") -> BreakingPoint:
    """One server of fixed service time, and how it comes back."""
    return _found(flow, Servers(1 / per_s), per_s, ran_out)


def _found(flow: str, server: Server, per_s: float, ran_out: str | None) -> BreakingPoint:
    bench = Bench(server, np.random.default_rng(1))
    found = search(
        bench.measure,
        parse_objectives(OBJECTIVES),
        start_per_s=per_s / 3,
        flow=flow,
        night_per_s=NIGHT_PER_S,
        ran_out=lambda trial: ran_out,
        rest=bench.rest,
        clock=bench.clock,
    )
    play = play_on(lambda retries: Retrying(1 / per_s, retries=retries))
    return replace(found, recoveries=recovery(play, parse_objectives(OBJECTIVES), capacity_per_s=per_s))


@cache
def scenario() -> Scenario:
    return load("iowa-2020", {})


def about(kind: str, **more: Any) -> About:
    given: dict[str, Any] = {
        "kind": kind, "title": "Iowa 2020", "name": "iowa-2020", "seed": 1, "target": "http://127.0.0.1:8000",
        "command": f"caucus loadtest {kind} iowa-2020", "objectives": OBJECTIVES, "ledger": CLEAN,
        "night_per_s": {"login": NIGHT_PER_S}, "cores": "generator on core 0, service and database on core 1",
        "faults": (Fault("stall clients at 10 s for 2 s", 10.0, 12.0),), "versions": {"python": "3"},
    }  # fmt: skip
    return About(**{**given, **more})


def night_page(found: Replayed) -> str:
    return replay_page.page(found, judge(found.trial, parse_objectives(OBJECTIVES)), about("replay"))


def answered(due: Schedule, latency_s: float, good: Callable[[Sample], np.ndarray[Any, Any]] | None = None) -> Trial:
    """Every request of a schedule, answered after about so long; `good` says which well."""
    spread = np.random.default_rng(1).lognormal(0, 0.5, len(due))
    done = due.due_ns + np.rint(latency_s * spread * SECOND).astype(np.int64)
    sample = Sample(
        seconds=due.seconds, operations=due.operations, index=due.index, operation=due.operation, due=due.due_ns,
        sent=due.due_ns, done=done, status=np.full(len(due), 201), ok=np.ones(len(due), bool), cpu={"one": [0.1]},
    )  # fmt: skip
    if good is not None:
        object.__setattr__(sample, "ok", good(sample))
    used = {"service.cpu": 0.4, "service.cpu_max": 0.9, "service.memory_mb": 210.0, "service.files": 41.0}
    return Trial(sample, resources=used)


@cache
def night_plan(folder: Path, speed: float = 600.0) -> Plan:
    """A night of twenty precincts, half of which report by app."""
    roster = folder / "twenty.csv"
    roster.write_text("\n".join(synthesize("iowa-2020").csv().splitlines()[:21]) + "\n", encoding="utf-8")
    settings = {"turnout.people": "none", "app.installed": 0.7}
    played = play_night(load("iowa-2020", settings, roster), 1, 0, log=True)
    evening = evening_of(played, small_photos=True)
    return plan(played, evening, NIGHT_OPERATIONS, speed=speed, readers=3)


def replay(folder: Path) -> Replayed:
    """All of it answered well."""
    one = night_plan(folder)
    return replayed(one, answered(one.schedule, 0.02))


def stampede() -> Stampeded:
    """A backend that does not mind."""
    shape = Shape(night_per_s=15, surge_per_s=200, length_s=5, before_s=5, after_s=10)
    due = schedule(shape, {"report.open": 0.5, "login": 0.5}, ["results.page", "results"], 1)
    return Stampeded(shape, answered(due, 0.03), parse_objectives(OBJECTIVES))


def soaked(leak_mb: float = 0.0) -> Soaked:
    """An hour whose memory grows by so much each minute."""
    luck = np.random.default_rng(2)
    rows = []
    for k in range(60):
        used = {
            "service.memory_mb": 200 + leak_mb * k + luck.normal(),
            "service.files": 40.0,
            "database.memory_mb": 90.0,
        }
        p50 = 0.02 * luck.lognormal(0, 0.1)
        rows.append(Stretch(60.0 * (k + 1), 60.0, 600, 600, p50, 4 * p50, used, None))
    return Soaked(10.0, NIGHT_PER_S, tuple(rows))
