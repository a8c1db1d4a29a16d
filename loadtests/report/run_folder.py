"""The folder of a load test: begun as DIR.partial, renamed to DIR when it is whole; what every kind of run has in it.

Knows nothing of how load is made, nor of what a page looks like.
"""

from __future__ import annotations

import itertools
import json
import os
import platform
import shutil
import tomllib
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from simulation.errors import InputError
from simulation.experiment.run_file import ROSTER_FILE, RUN_FILE, scenario_table, uses_roster_file

if TYPE_CHECKING:
    from simulation.scenario import Scenario

REPORT_FILE = "report.html"
RESULT_FILE = "result.json"
LEDGER_FILE = "ledger.json"
LEDGER_FOLDER = "ledger"  # below DIR.partial, then DIR: what every process kept of acknowledged writes
TABLE = "load"  # of run.toml: by it a folder of a load test is told from others
_PACKAGES = ("caucus-trial-run", "locust", "gevent", "httptools", "numpy", "scipy", "psutil")


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


def usual_folder(kind: str, name: str, seed: int, force: bool) -> Path:
    """Where a run goes that nobody names a place for.

    Measured again is another result: the next run stands beside the first, unless that one is to be replaced.
    """
    first = Path("runs", f"loadtest-{kind}-{Path(name).stem}-{seed}")
    if force:
        return first
    places = itertools.chain((first,), (first.with_name(f"{first.name}-run{n}") for n in itertools.count(2)))
    return next(place for place in places if not (_is_used(place) or _is_used(_partial(place))))


def _is_used(place: Path) -> bool:
    return place.exists() and not (place.is_dir() and not any(place.iterdir()))


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
        write_json(partial / LEDGER_FILE, about.ledger)
    write_json(partial / RESULT_FILE, {**_about_json(about), **result})
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


def write_json(path: Path, value: Any) -> None:
    """As people can read it; nothing that is not finite."""
    text = json.dumps(value, ensure_ascii=False, indent=1, default=str, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8", newline="")
