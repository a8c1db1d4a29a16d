"""Where our own backend breaks: every flow with both databases, and the reports with each fault of history on.

The generator has one half of the cores, service and database the other. Prints one JSON object with a row a search;
`--table FILE` writes the table of docs/breaking-points.md. Each search takes the time that `caucus loadtest break`
does, so that all of it takes two hours: `--flow`, `--database`, `--fault` and `--budget` choose. Others on the machine
make trials void, and intervals wide: the rows say so.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from loadtests.breaking_point import BUDGET_S, Tried
from loadtests.harness import EMBEDDED, SQLITE, Job
from loadtests.objectives import USUAL, parse_objectives
from loadtests.report.words import resource_name
from loadtests.search.finding import Found, find
from loadtests.traffic.flows import FLOWS
from loadtests.workload import Peak, peak
from simulation.errors import InputError, UnfinishedError
from simulation.scenario import load

FAULTS = ("", "partial_published", "acknowledges_before_write", "chain_per_row", "no_idempotency", "unbounded_queue")
SHOWN = {SQLITE: "SQLite", EMBEDDED: "PostgreSQL"}
READERS = 100  # as `caucus loadtest break` has it
OF_FAULTS = ("report",)  # the faults of history are about writes


def night_with(fault: str, name: str, folder: Path) -> str:
    """The night with a fault of history switched on, as a file; the library's where there is none."""
    if not fault:
        return name
    path = folder / f"{fault}.toml"
    path.write_text(
        f'title = "With {fault}"\nextends = "{name}"\nstory = "For a benchmark."\n[backend]\nfaults = ["{fault}"]\n'
    )
    return str(path)


def one(name: str, flow: str, database: str, night: Peak, asked: argparse.Namespace) -> Found:
    """One search."""
    job = Job(
        scenario=load(name),
        name=name,
        peak=night,
        objectives=parse_objectives(USUAL),
        seed=asked.seed,
        budget_s=asked.budget,
        recovers=not asked.no_recovery,
        database=database,
    )

    def tried(trial: Tried) -> None:
        said = trial.trial.void or ("holds" if trial.judgement.holds else "breaks")
        _say(f"    {trial.rate_per_s:8.1f}/s {trial.trial.seconds:3.0f} s {said}")

    return find(job, flow, lambda text: _say(f"    {text}"), tried)


def row(found: Found, database: str, fault: str) -> dict[str, Any]:
    """What a row of the table is made of."""
    point = found.point
    by_retries = {each.retries: each for each in point.recoveries}
    return {
        "flow": point.flow,
        "database": database,
        "fault": fault or None,
        "requests_per_s": list(point.requests_per_s),
        "nights": None if point.nights is None else list(point.nights),
        "limited_by": point.limited_by,
        "at": found.at,
        "valid": point.valid,
        "why": point.why,
        "recovery_s": point.recovery_s,
        "metastable": point.metastable,
        "amplification": by_retries[3].amplification if 3 in by_retries else None,
        "ledger": None if found.ledger is None else found.ledger["verdict"],
        "clean": None if found.ledger is None else found.ledger["clean"],
        "trials": sum(trial.kind != "probe" for trial in point.trials),
        "void": sum(trial.trial.void is not None and trial.kind != "probe" for trial in point.trials),
    }


def table(rows: list[dict[str, Any]]) -> str:
    """For docs/."""
    lines = [
        "| flow | database | fault of history | requests/s | caucus nights | because of | recovers in | ledger |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for each in rows:
        low, high = each["requests_per_s"]
        rates = f"{low:,.0f} or more" if high is None else f"{low:,.0f} to {high:,.0f}"
        nights = "" if each["nights"] is None else " to ".join(f"{n:,.0f}" for n in each["nights"] if n is not None)
        recovers = (
            "metastable" if each["metastable"] else "" if each["recovery_s"] is None else f"{each['recovery_s']:.0f} s"
        )
        clean = {None: "", True: "clean", False: "not clean"}[each["clean"]]
        sure = "" if each["valid"] else " (not sure)"
        lines.append(
            f"| {each['flow']} | {SHOWN[each['database']]} | {each['fault'] or 'none'} | {rates}{sure} | {nights} | "
            f"{resource_name(each['limited_by']) if each['limited_by'] else ''} | {recovers} | {clean} |"
        )
    return "\n".join(lines) + "\n"


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> None:
    """All of it, or what was chosen."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--flow", action="append", choices=FLOWS, help="by default all, with a fault the reports")
    options.add_argument("--database", action="append", choices=[SQLITE, EMBEDDED], help="by default both")
    options.add_argument("--fault", action="append", choices=["none", *FAULTS[1:]], help="by default each of them")
    options.add_argument("--scenario", default="iowa-2020")
    options.add_argument("--budget", type=float, default=BUDGET_S, help="seconds a search")
    options.add_argument("--no-recovery", action="store_true")
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--table", type=Path, help="where the table is written")
    asked = options.parse_args()
    faults = ["" if name == "none" else name for name in asked.fault or []] or list(FAULTS)
    night = peak(load(asked.scenario), readers=READERS)
    rows: list[dict[str, Any]] = []
    failed: list[str] = []
    with tempfile.TemporaryDirectory(prefix="caucus-bench-") as folder:
        for fault in faults:
            name = night_with(fault, asked.scenario, Path(folder))
            for database in asked.database or [SQLITE, EMBEDDED]:
                for flow in asked.flow or (OF_FAULTS if fault else FLOWS):
                    _say(f"{flow}, {SHOWN[database]}, {fault or 'no fault'}")
                    try:
                        found = one(name, flow, database, night, asked)
                    except (InputError, UnfinishedError) as error:
                        failed.append(f"{flow}, {database}, {fault}: {error}")
                        continue
                    rows.append(row(found, database, fault))
                    _say(json.dumps(rows[-1]))
                    if asked.table:
                        asked.table.write_text(table(rows))
                    if found.was_broken_off:
                        sys.exit(130)
    dirty = [each for each in rows if each["clean"] is False and each["fault"] is None]
    result = {
        "benchmark": "backend_breaking_points",
        "night_per_s": dict(night.per_s),
        "shares": dict(night.shares),
        "load": os.getloadavg()[0],
        "rows": rows,
        "failed": failed,
        "ok": not dirty and not failed,
    }
    print(json.dumps(result))
    sys.exit(0 if result["ok"] else 1)


if __name__ == "__main__":
    main()
