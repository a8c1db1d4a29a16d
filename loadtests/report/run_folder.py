"""The folder of a load test: begun as DIR.partial, renamed to DIR when it is whole; what a run came to, as files.

Knows nothing of how load is made, nor of what a page looks like.
"""

from __future__ import annotations

import json
import math
import os
import platform
import shutil
import statistics
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from loadtests.trial import SECOND, Sample, Trial
from simulation.errors import InputError
from simulation.experiment.run_file import ROSTER_FILE, RUN_FILE, scenario_table, uses_roster_file

if TYPE_CHECKING:
    from loadtests.breaking_point import BreakingPoint, Tried
    from simulation.scenario import Scenario

REPORT_FILE = "report.html"
RESULT_FILE = "result.json"
CURVE_FILE = "curve.json"
TRIALS_FILE = "trials.parquet"
SECONDS_FILE = "seconds.parquet"
LEDGER_FILE = "ledger.json"
LEDGER_FOLDER = "ledger"  # below DIR.partial, then DIR: what every process kept of acknowledged writes
TABLE = "load"  # of run.toml: by it a folder of a load test is told from others
CURVE_FORMAT = 1
_ABOUT_THE_SAME = 1.02  # loads that differ by less make one point of the curve
_PACKAGES = ("caucus-trial-run", "locust", "gevent", "httptools", "numpy", "scipy", "psutil")
_CURVE_ORDER = ("mix", "report")  # whose curve is curve.json where there are several


@cache
def versions() -> Mapping[str, str]:
    """Versions of what shapes a measurement."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


class Fault(NamedTuple):
    """A fault that ran, in seconds from the start of the search (or of the replay, the soak)."""

    name: str  # as it was asked for: "stall database at 10 s for 2 s"
    began_s: float
    ended_s: float
    flow: str | None = None  # during whose search; None: there is but one


@dataclass(frozen=True)
class About:
    """What a reader has to know beside the figures. Nothing in it is secret."""

    kind: str  # break, replay, spike, soak
    title: str  # of the scenario
    name: str  # as it was asked for: "iowa-2020", a file
    seed: int
    command: str  # repeats it
    target: str  # without user and password
    database: str | None = None  # of a backend that was started here: "sqlite", "postgresql"
    objectives: tuple[str, ...] = ()
    requirements: tuple[str, ...] = ()
    night_per_s: Mapping[str, float] = field(default_factory=dict)  # one caucus night, by flow
    broke_at: Mapping[str, str] = field(default_factory=dict)  # of a mix: flow, and which of its operations broke
    cores: str = ""  # who ran where: "generator on 0, service and database on 1"
    workers: int = 1  # processes that made load
    faults: tuple[Fault, ...] = ()
    ledger: Mapping[str, Any] | None = None  # what `reconciliation.held_against` found
    notices: tuple[str, ...] = ()  # what else to know about the numbers, a sentence each
    versions: Mapping[str, str] = field(default_factory=versions)
    document: Mapping[str, Any] = field(default_factory=dict, repr=False)  # the scenario, as TOML can hold it
    roster: bytes | None = field(default=None, repr=False)  # where the precincts come from a file

    @classmethod
    def of(cls, scenario: Scenario, kind: str, seed: int, command: str, target: str, **more: Any) -> About:
        """The same, title, name and document taken from the scenario."""
        return cls(
            kind=kind,
            title=scenario.spec.title,
            name=scenario.name,
            seed=seed,
            command=command,
            target=target,
            document=scenario_table(scenario),
            roster=scenario.roster.csv().encode() if uses_roster_file(scenario) else None,
            **more,
        )


def default_folder(kind: str, name: str, seed: int) -> Path:
    """Where a run goes that nobody names a place for."""
    return Path("runs", f"loadtest-{kind}-{Path(name).stem}-{seed}")


# The folder


def begin(folder: Path, force: bool) -> Path:
    """Make DIR.partial, empty, before anything is measured; returns its path. InputError where DIR cannot be made.

    What a run keeps on its way (the ledger) lies there, and becomes part of DIR. A DIR.partial that a run left behind
    that was broken off is only replaced with `force`: its ledger may still be wanted.
    """
    path = folder.resolve()
    if path.exists() and not path.is_dir():
        raise InputError(f"--out {folder}: is a file: name a folder, or a new one")
    if path in (Path.cwd(), *Path.cwd().parents):
        raise InputError(f"--out {folder}: is the folder you are in, or above it: name a new one")
    partial = _partial(folder)
    for place in (path, partial):
        if not place.is_dir() or not any(place.iterdir()):
            continue
        if place == path and not _is_ours(place):
            raise InputError(
                f"{folder}: holds no {RUN_FILE} of a load test, and not even --force replaces it: choose another "
                "folder with --out"
            )
        if not force:
            left = "a run that was broken off" if place == partial else "a run"
            raise InputError(f"{place}: holds {left}: choose another folder with --out, or replace it with --force")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
    except OSError as error:
        raise InputError(f"--out {folder}: cannot be written: {error.strerror}") from None
    return partial


def forget(folder: Path) -> None:
    """Leave no DIR.partial behind in which nothing is kept."""
    partial = _partial(folder)
    if partial.is_dir() and not any(item.is_file() for item in partial.rglob("*")):
        shutil.rmtree(partial, ignore_errors=True)


def _partial(folder: Path) -> Path:
    path = folder.resolve()
    return path.with_name(path.name + ".partial")


def _is_ours(place: Path) -> bool:
    with suppress(OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        return TABLE in tomllib.loads((place / RUN_FILE).read_text(encoding="utf-8"))
    return False


def finish(folder: Path, about: About, result: Mapping[str, Any], write: Callable[[Path], None]) -> None:
    """Fill DIR.partial (made by `begin`, or here), and let it become DIR; `write` adds what a kind has of its own."""
    partial = _partial(folder)
    partial.mkdir(parents=True, exist_ok=True)
    (partial / RUN_FILE).write_text(_run_text(about), encoding="utf-8", newline="")
    if about.roster is not None:
        (partial / ROSTER_FILE).write_bytes(about.roster)
    if about.ledger is not None:
        _write_json(partial / LEDGER_FILE, about.ledger)
    _write_json(partial / RESULT_FILE, {**_about_json(about), **result})
    write(partial)
    path = folder.resolve()
    replaced = path.with_name(path.name + ".replaced")
    shutil.rmtree(replaced, ignore_errors=True)
    if path.exists():
        path.rename(replaced)
    try:
        partial.rename(path)
    except OSError:
        if replaced.exists():
            replaced.rename(path)
        raise
    shutil.rmtree(replaced, ignore_errors=True)


def _run_text(about: About) -> str:
    import tomli_w

    load: dict[str, Any] = {
        "kind": about.kind,
        "scenario": about.name,
        "seed": about.seed,
        "command": about.command,
        "target": about.target,
        "objectives": list(about.objectives),
        "requirements": list(about.requirements),
        "workers": about.workers,
        "versions": dict(about.versions),
    }
    load |= {name: value for name, value in (("database", about.database), ("cores", about.cores)) if value}
    return tomli_w.dumps({**about.document, TABLE: load})


def _about_json(about: About) -> dict[str, Any]:
    return {
        "kind": about.kind,
        "scenario": about.name,
        "title": about.title,
        "seed": about.seed,
        "target": about.target,
        "database": about.database,
        "objectives": list(about.objectives),
        "requirements": list(about.requirements),
        "night_per_s": dict(about.night_per_s),
        "cores": about.cores,
        "workers": about.workers,
        "faults": [fault._asdict() for fault in about.faults],
        "ledger": None if about.ledger is None else dict(about.ledger),
        "versions": dict(about.versions),
        "machine": {"cores": os.cpu_count(), "system": platform.system()},
    }


def _write_json(path: Path, value: Any) -> None:
    text = json.dumps(value, ensure_ascii=False, indent=1, default=str, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8", newline="")


# A breaking point


def write_break(folder: Path, points: Sequence[BreakingPoint], about: About) -> None:
    """The folder of a search: report, result, trials, seconds, ledger, response curves, run.toml."""
    result = {"points": [{**point.as_json(), "night_per_s": point.night_per_s} for point in points]}

    def write(place: Path) -> None:
        from loadtests.report.break_page import page

        curves = {point.flow: curve(point, about.target) for point in points}
        for flow, found in curves.items():
            if len(curves) > 1:
                _write_json(place / f"curve-{flow}.json", found)
        if curves:
            first = next((flow for flow in _CURVE_ORDER if flow in curves), next(iter(curves)))
            _write_json(place / CURVE_FILE, curves[first])
        write_trials(place, points)
        (place / REPORT_FILE).write_text(page(points, about), encoding="utf-8", newline="")

    finish(folder, about, result, write)


def write_trials(place: Path, points: Sequence[BreakingPoint]) -> None:
    """trials.parquet, a row a trial; seconds.parquet, a row a second of each."""
    import polars as pl

    trials, seconds = [], []
    for point in points:
        for number, tried in enumerate(point.trials):
            row = tried.as_json()
            row["objectives"] = "; ".join(found.shown for found in tried.judgement.broken)
            trials.append({"flow": point.flow, "trial": number, "night_per_s": point.night_per_s, **row})
            if isinstance(tried.trial, Trial):
                seconds += [
                    {"flow": point.flow, "trial": number, "at_s": tried.at_s + second["second"], **second}
                    for second in per_second(tried.trial.sample)
                ]
    pl.DataFrame(trials, infer_schema_length=None).write_parquet(place / TRIALS_FILE)
    pl.DataFrame(seconds, infer_schema_length=None).write_parquet(place / SECONDS_FILE)


def per_second(sample: Sample, every_s: float = 1.0) -> Iterator[dict[str, Any]]:
    """Requests by the second in which they were due: how many, how many answered well, their latencies, the backlog."""
    count = max(1, math.ceil(sample.seconds / every_s))
    second = np.minimum((sample.due / (every_s * SECOND)).astype(np.int64), count - 1)
    order = np.argsort(second, kind="stable")
    cuts = np.searchsorted(second[order], np.arange(count + 1))
    backlog = sample.backlog(every_s)
    for k in range(count):
        rows = order[cuts[k] : cuts[k + 1]]
        latencies = np.sort(sample.latency_s[rows])
        yield {
            "second": k * every_s,
            "due": len(rows),
            "good": int(np.count_nonzero(sample.ok[rows])),
            "p50_s": quantile(latencies, 0.5),
            "p99_s": quantile(latencies, 0.99),
            "backlog": int(backlog[k]) if k < len(backlog) else None,
        }


def quantile(ordered: npt.NDArray[np.float64], q: float) -> float | None:
    """Of sorted latencies; None where there are none, or where it was never answered well."""
    if not len(ordered):
        return None
    value = float(ordered[min(len(ordered), max(1, math.ceil(round(q * len(ordered), 9)))) - 1])
    return value if math.isfinite(value) else None


# The response curve


def curve(point: BreakingPoint, target: str) -> dict[str, Any]:
    """How a backend answers at each load that was tried: what a scenario names under [app.backend]."""
    low, high = point.requests_per_s
    return {
        "format": CURVE_FORMAT,
        "flow": point.flow,
        "target": target,
        "night_per_s": point.night_per_s,
        "capacity_per_s": round(math.sqrt(low * high) if high else low, 3),
        "points": [_curve_point(group) for group in _about_one_load(point.trials)],
    }


def _about_one_load(trials: Sequence[Tried]) -> list[list[Tried]]:
    """Trials that count, grouped by load, ascending."""
    groups: list[list[Tried]] = []
    for tried in sorted((one for one in trials if one.counts), key=lambda one: one.trial.offered_per_s):
        if groups and tried.trial.offered_per_s <= groups[-1][0].trial.offered_per_s * _ABOUT_THE_SAME:
            groups[-1].append(tried)
        else:
            groups.append([tried])
    return groups


def _curve_point(group: Sequence[Tried]) -> dict[str, Any]:
    """The median of repeated trials. Quantiles are of what was answered well: the rest is in the error share."""
    latencies = [_answered_s(tried) for tried in group]
    found: dict[str, Any] = {"offered_per_s": round(statistics.median(t.trial.offered_per_s for t in group), 3)}
    for name, q in (("p50_ms", 0.5), ("p90_ms", 0.9), ("p95_ms", 0.95), ("p99_ms", 0.99)):
        found[name] = round(statistics.median(1000 * (quantile(row, q) or 0.0) for row in latencies))
    found["error_share"] = round(statistics.median(tried.trial.error_share for tried in group), 6)
    return found


def _answered_s(tried: Tried) -> npt.NDArray[np.float64]:
    """Latencies of good answers; where there were none, how long people waited for the bad ones."""
    trial = tried.trial
    if isinstance(trial, Trial):
        sample = trial.sample
        waited = np.asarray((sample.done - sample.due) / SECOND, float)
        return np.sort(waited[sample.ok] if np.any(sample.ok) else waited[sample.done >= 0])
    shares = np.linspace(0, 1, 201)[1:] * trial.goodput_share
    return np.array([trial.latency_s(float(share)) for share in shares])
