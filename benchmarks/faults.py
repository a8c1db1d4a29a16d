"""Every fault while each flow is loaded: what clients saw of it, and whether what was acknowledged is there.

A new reference backend for each flow and database, which meets fault after fault under load. Who was not answered sends
the same again, as chairs do. In the end the ledger is held against API, database and public totals, and the audit log
is recomputed. Then history's faults are switched on: each must make the ledger dirty.
Prints one JSON object on stdout; exit 1 where a ledger is not as it should be, a fault was seen by nobody, or requests
were not answered well again after it.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the small state is another benchmark's

from benchmarks.backend_kills import state
from loadtests import faults
from loadtests.contract import Operation
from loadtests.faults import Mark
from loadtests.harness import Job, at_backend
from loadtests.reconciliation import KINDS
from loadtests.traffic.flows import FLOWS, WRITES
from loadtests.trial import SECOND, Sample
from loadtests.workload import FLOWS as OPERATIONS_OF
from loadtests.workload import Peak, poisson
from simulation import load

ON_CLIENTS = (
    "latency clients 300 ms",
    "stall clients",
    "reset clients",
    "half-close clients",
    "truncate clients 60 B",
    "bandwidth clients 2 KB/s",
    "freeze service",
    "kill service",
    "lock tables",
    "fill service",
)
ON_DATABASE = (
    "latency database 100 ms",
    "stall database",
    "reset database",
    "half-close database",
    "truncate database 20 B",
    "bandwidth database 10 KB/s",
    "freeze database",
    "kill database",
    "lock rows",
    "fill database",
)
FAULTS = {"sqlite": ON_CLIENTS, "embedded-postgres": (*ON_CLIENTS, *ON_DATABASE)}
RATES = {"login": 5.0, "report": 60.0, "photo": 4.0, "clerk": 40.0, "results": 60.0, "mix": 40.0}
SHARES: Mapping[Operation, float] = {  # of the mix: everything at once, so that every flow is hit by every fault
    "login": 0.08, "report.open": 0.15, "report.first_alignment": 0.15, "report.final": 0.15, "photo": 0.07,
    "clerk": 0.2, "results.page": 0.1, "results": 0.1,
}  # fmt: skip
LASTS_S, CALM_S = 1.5, 3.0
LEAD_S = 0.6  # before a fault
SEEN_LATER = 1.5  # so many times as late as in calm times, or not answered well: a fault that was seen
NOT_MET = {  # flow, database: faults that it has nothing to do with, and must not feel
    ("results", "sqlite"): ("lock tables", "fill service"),  # readers never reach the database, nor any file
    ("results", "embedded-postgres"): ("lock tables", "fill service", *ON_DATABASE),
    ("login", "embedded-postgres"): ("lock rows", "fill service"),  # changes no record; the service writes no file
    ("report", "embedded-postgres"): ("fill service",),
    ("clerk", "embedded-postgres"): ("fill service",),
}
HISTORY = {  # fault of history: with what it is brought to light
    "no_idempotency": ("reset clients", "half-close clients", "truncate clients 60 B"),
    "acknowledges_before_write": ("kill service", "kill service", "kill service"),
    "partial_published": ("stall clients",),
}


class Turns(faults.Plan):
    """A plan of which each load meets one fault, the `turn`-th: one may last longer than planned, as a restart does."""

    turn: int = 0

    @contextmanager
    def playing(self, began: float | None = None) -> Iterator[list[Mark]]:
        """The one."""
        whole = self.faults
        self.faults = whole[self.turn : self.turn + 1]
        try:
            with super().playing(began) as marks:
                yield marks
        finally:
            self.faults = whole


def played(
    flow: str,
    database: str,
    texts: Sequence[str],
    folder: Path,
    *,
    lasts_s: float = LASTS_S,
    calm_s: float = CALM_S,
    sites: int = 400,
    per_s: float = 0.0,
    history: Sequence[str] = (),
    seed: int = 1,
) -> dict[str, Any]:
    """One flow at a new backend, one fault after the other: what was seen, and what the ledger says."""
    scenario = state(folder, sites, history)
    timed = [f"{text} at {round(1000 * LEAD_S)} ms for {round(1000 * lasts_s)} ms" for text in texts]
    plan = Turns(faults.planned(timed).faults)
    job = Job(load(scenario), str(scenario), Peak({}, SHARES), (), seed=seed, database=database, plan=plan, settle_s=5)
    flows = tuple(OPERATIONS_OF) if flow == "mix" else (flow,)
    cells: list[dict[str, Any]] = []
    problems: Counter[str] = Counter()
    requests = 0
    with at_backend(job, flow, lambda _: None) as loaded:
        with loaded.opened() as stress:
            for turn, fault in enumerate(plan.faults):
                plan.turn = turn
                after_s = calm_s * (2 if fault.kind in ("kill", "fill") else 1)  # who was killed has to start again
                sample = stress.trial(
                    poisson(per_s or RATES[flow], LEAD_S + lasts_s + after_s, seed * 1000 + turn)
                ).sample
                requests += len(sample)
                problems.update(sample.problems)
                mark = loaded.marks[-1][1]
                cells += [
                    cell(name, sample.of(*OPERATIONS_OF[name]) if flow == "mix" else sample, mark, calm_s)
                    for name in flows
                ]
        found = loaded.reconciled()
        backend = loaded.place.launched
        assert backend is not None
        backend.stop()  # which seals the last of the audit log
        verdict = backend.verified()
    return {
        "flow": flow,
        "database": database,
        "history": list(history),
        "requests": requests,
        "ledger": found and {key: found[key] for key in ("verdict", "clean", "acknowledged", "unanswered", *KINDS)},
        "offending": {kind: found["offending"][kind][:1] for kind in KINDS if found[kind]} if found else {},
        "audit_log": {"ok": verdict["ok"], "unsealed": verdict["unsealed"], "problems": verdict["problems"][:1]},
        "cells": cells,
        "problems": dict(problems.most_common(20)),
    }


def cell(flow: str, sample: Sample, mark: Mark, calm_s: float) -> dict[str, Any]:
    """What clients saw of a fault, and from half of the calm after it on."""
    due_s = sample.due / SECOND
    during = (due_s >= mark.began_s) & (due_s < mark.ended_s)
    after = due_s >= mark.ended_s + calm_s / 2
    later = np.where(sample.ok, sample.latency_s, np.inf)
    usual_s = float(np.median(later[after])) if after.any() else 0.0
    return {
        "flow": flow,
        "fault": mark.name,
        "seconds": round(mark.ended_s - mark.began_s, 2),
        "requests": int(during.sum()),
        "answered_share": share(sample, during),
        "worst_s": worst(later[during]),
        "is_seen": bool(
            during.any() and (not sample.ok[during].all() or later[during].max() > SEEN_LATER * usual_s + 0.05)
        ),
        "after": share(sample, after),
        "after_requests": int(after.sum()),
    }


def share(sample: Sample, rows: np.ndarray[Any, np.dtype[np.bool_]]) -> float | None:
    """Of these requests, those that were answered well."""
    return round(float(sample.ok[rows].mean()), 3) if rows.any() else None


def worst(latency_s: np.ndarray[Any, np.dtype[np.float64]]) -> float | None:
    """The longest that anybody waited for a good answer."""
    good = latency_s[np.isfinite(latency_s)]
    return round(float(good.max()), 2) if len(good) else None


# What should be


def missed(told: Mapping[str, Any]) -> list[str]:
    """What is not as it should be, of a backend without history's faults."""
    where = f"{told['flow']} with {told['database']}"
    found = []
    ledger = told["ledger"]
    if told["flow"] in WRITES and not (ledger and ledger["clean"] and ledger["acknowledged"]):
        found.append(f"{where}: the ledger says {ledger and ledger['verdict']}: {told['offending']}")
    if not told["audit_log"]["ok"]:
        found.append(f"{where}: audit log: {told['audit_log']['problems']}")
    found += [
        f"{where}: {one['flow']}: {one['after']:.0%} answered well after {one['fault']}"
        for one in told["cells"]
        if one["after"] is not None and one["after_requests"] > 4 and one["after"] < 0.8
    ]
    not_met = NOT_MET.get((told["flow"], told["database"]), ())
    seen = {one["fault"] for one in told["cells"] if one["is_seen"]}
    found += [
        f"{where}: {fault} was seen by nobody"
        for fault in dict.fromkeys(one["fault"] for one in told["cells"])
        if fault not in seen and fault not in not_met
    ]
    found += [
        f"{where}: {one['fault']} left {1 - one['answered_share']:.1%} unanswered, though it should not be felt"
        for one in told["cells"]
        if one["fault"] in not_met and one["answered_share"] < 1
    ]
    return found


def main() -> None:
    """Play, tell, judge."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--flow", choices=FLOWS, action="append")
    options.add_argument("--database", choices=tuple(FAULTS), action="append")
    options.add_argument("--fault", action="append", help="only these")
    options.add_argument("--no-history", action="store_true", help="not those of the backend itself")
    options.add_argument("--no-flows", action="store_true", help="only those of the backend itself")
    options.add_argument("--seed", type=int, default=1)
    asked = options.parse_args()
    rows, history, wrong = [], [], []
    for database in () if asked.no_flows else asked.database or FAULTS:
        for flow in asked.flow or FLOWS:
            with tempfile.TemporaryDirectory(prefix="caucus-") as folder:
                told = played(flow, database, asked.fault or FAULTS[database], Path(folder), seed=asked.seed)
            rows.append(told)
            wrong += missed(told)
            print(json.dumps(told), file=sys.stderr)
    for fault, with_ in () if asked.no_history else HISTORY.items():
        with tempfile.TemporaryDirectory(prefix="caucus-") as folder:
            told = played("report", "sqlite", with_, Path(folder), history=[fault], seed=asked.seed)
        history.append(told)
        if told["ledger"]["clean"]:
            wrong.append(f"history's fault {fault} was not found")
        print(json.dumps(told), file=sys.stderr)
    print(json.dumps({"benchmark": "faults", "flows": rows, "history": history, "missed": wrong, "ok": not wrong}))
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
