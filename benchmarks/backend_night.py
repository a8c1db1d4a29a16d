"""A whole night through real HTTP: every site of iowa-2020 reports to SQLite and to PostgreSQL, and every vote counts.

Locust's chairs, clerks, reviewers and readers play a simulated night many times faster than it was. Afterwards the
public totals must equal the simulation's to the vote, the ledger of acknowledged writes must be clean, held against the
API and against the database itself, and the audit log must be whole.
Prints one JSON object on stdout; exit 1 where a vote, a write or a link is missing.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from loadtests.accounts import read_accounts
from loadtests.backend.settings import Hashing
from loadtests.contract import Report, reader_session
from loadtests.target.guards import allowed, new_run_id
from loadtests.target.launch import Launched, launched
from loadtests.target.mapping import target_backend
from loadtests.target.sender import Sender
from loadtests.traffic.evening import Evening, evening
from simulation import load

ROOT = Path(__file__).parents[1]
DATABASES = ("sqlite", "embedded-postgres")
SEED, NIGHT = 1, 0
FIGURES = ("first_alignment", "final", "delegates")


def known_to(backend: Launched) -> None:
    """Sign the administrator in where the ledger will be read: on a known device nobody is locked out by intruders."""
    run_id = new_run_id()
    sender = Sender(allowed(backend.url), run_id)
    reader_session(target_backend(None, None, run_id), sender, read_accounts(backend.pins))


def played(backend: Launched, ledger: Path, scenario: str, speed: float, *more: str) -> dict[str, Any]:
    """The night, by Locust; what it says of itself."""
    given = ["--host", backend.url, "--scenario", scenario, "--pins", str(backend.pins), "--seed", str(SEED)]
    given += ["--night", str(NIGHT), "--speed", str(speed), "--ledger", str(ledger), *more]
    command = [sys.executable, "-m", "locust", "-f", str(ROOT / "loadtests" / "locustfile.py"), "--headless"]
    began = time.monotonic()
    done = subprocess.run([*command, *given, "--only-summary"], check=False, capture_output=True, text=True)
    seconds = round(time.monotonic() - began, 1)
    return {"exit_code": done.returncode, "seconds": seconds, "log": (done.stdout + done.stderr)[-4000:]}


def votes_off(backend: Launched, tonight: Evening) -> tuple[int, int]:
    """Sites that the public does not see, and votes and delegates that differ from what the simulation says.

    A record that was sent back to the chair, or refused as impossible, says what the room did; every other one what the
    worksheet says: it binds, wrong sums and all.
    """
    with urlopen(f"{backend.url}/results.json", timeout=30) as answer:
        results = json.loads(answer.read())
    again = set()
    absent = off = 0
    for each in tonight.sites:
        with urlopen(f"{backend.url}/results/sites/{each.site.code}.json", timeout=30) as answer:
            record = json.loads(answer.read())
        if record.get("final") is None:
            absent += each.by_app or each.keyed_by_staff
            continue
        if _difference(record, each.worksheet):
            off += _difference(record, each.true)
            again.add(each.site.code)
    for group, counts in tonight.totals(again).items():
        shown = (results[name].get(group, 0) for name in FIGURES)
        off += sum(abs(one - other) for one, other in zip(counts, shown, strict=True))
    return absent, off


def _difference(record: Mapping[str, Any], report: Report) -> int:
    """How many people and delegates a public record is off."""
    return sum(
        abs(record[name].get(group, 0) - meant.get(group, 0))
        for name in FIGURES
        for meant in (getattr(report, name),)
        for group in {*record[name], *meant}
    )


def night(
    name: str,
    folder: Path,
    scenario: str,
    speed: float,
    *locust: str,
    hashing: Hashing | None = None,
    small_photos: bool = True,
) -> tuple[dict[str, Any], list[str]]:
    """One night on one database: what it came to, and what is missing."""
    loaded = load(scenario)
    tonight = evening(loaded, SEED, NIGHT, small_photos=small_photos)
    given = ("--small-photos", *locust) if small_photos else locust
    data, ledger = folder / "data", folder / "ledger"
    database = f"sqlite:///{data / 'caucus.db'}" if name == "sqlite" else name
    with launched(data, database, loaded, hashing=hashing) as backend:
        known_to(backend)
        run = played(backend, ledger, scenario, speed, *given)
        found = backend.reconciled(ledger)  # gives the keeper time: it releases once a second
        absent, off = votes_off(backend, tonight)
        backend.stop()  # which seals the last of the audit log
        verdict = backend.verified()
        photos = [path.stat().st_size for path in (data / "photos").glob("??/*")]
    counted = ("acknowledged", "lost", "duplicated", "altered", "mis_tallied", "out_of_order")
    told = {
        "database": name, "exit_code": run["exit_code"], "seconds": run["seconds"], "sites": len(tonight.sites),
        "votes": sum(final for _, final, _ in tonight.totals().values()), "sites_absent": absent, "votes_off": off,
        "photos": len(photos), "photo_megabytes": round(sum(photos) / 1e6),
        "ledger": {key: found[key] for key in counted}, "clean": found["clean"],
        "audit_log_whole": verdict["ok"], "events": verdict["events"], "unsealed": verdict["unsealed"],
    }  # fmt: skip
    missed = []
    if run["exit_code"]:
        missed.append(f"{name}: Locust ended with {run['exit_code']}: {run['log']}")
    if absent or off:
        missed.append(f"{name}: {absent} sites absent, {off} votes off")
    if not found["clean"]:
        missed.append(f"{name}: the ledger is not clean: {json.dumps(found['offending'])[:2000]}")
    if not verdict["ok"] or verdict["unsealed"]:
        missed.append(f"{name}: the audit log: {verdict['unsealed']} events not sealed; {verdict['problems'][:1]}")
    return told, missed


def main() -> None:
    """Play, compare, tell."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--scenario", default="iowa-2020")
    options.add_argument("--speed", type=float, default=60.0)
    options.add_argument("--full-photos", action="store_true", help="of 1-5 MB, some 4 GB in all, instead of kilobytes")
    options.add_argument("--database", choices=DATABASES, action="append")
    asked = options.parse_args()
    missed: list[str] = []
    runs = []
    for name in asked.database or DATABASES:
        with tempfile.TemporaryDirectory(prefix="caucus-") as folder:
            told, wrong = night(
                name, Path(folder), asked.scenario, asked.speed, hashing=Hashing(), small_photos=not asked.full_photos
            )
        runs.append(told)
        missed += wrong
    print(json.dumps({"benchmark": "backend_night", "speed": asked.speed, "runs": runs, "missed": missed,
                      "ok": not missed}))  # fmt: skip
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
