"""run.toml and experiment.toml: everything that a run's or an experiment's result depends on, as one text.

Two of them are the same when their texts are. Knows nothing of how nights are played or where results lie.
"""

from __future__ import annotations

import hashlib
import platform
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import simulation
from simulation.scenario import Scenario

RUN_FILE = "run.toml"
ROSTER_FILE = "roster.csv"
EXPERIMENT_FILE = "experiment.toml"
ENGINES = ("compiled", "simpy")  # the first is the default
WRITTEN = "written"  # the table of experiment.toml that lists what was written beside it
_NO_DIFFERENCE = ("run.engine", f"{WRITTEN}.files")  # both engines play the same nights
_PACKAGES = ("caucus-trial-run", "numba", "numpy", "polars", "scipy", "simpy")  # whose versions shape the result


def run_table(scenario: Scenario, seed: int, nights: int, fixed: bool, engine: str) -> dict[str, Any]:
    """The [run] table: what must be known beside the scenario to repeat the run."""
    return {
        "scenario": scenario.name,
        "seed": seed,
        "nights": nights,
        "fixed": fixed,
        "engine": engine,
        "roster": scenario.roster.sha256,
        "versions": dict(versions()),
    }


def run_text(scenario: Scenario, run: Mapping[str, Any]) -> str:
    """The text of run.toml. A roster that was a file is `roster.csv` beside it."""
    import tomli_w

    document = _writable({key: value for key, value in scenario.document.items() if key != "run"})
    if uses_roster_file(scenario):
        document["roster"] = {"file": ROSTER_FILE}
    document["run"] = dict(run)
    return tomli_w.dumps(document)


def scenario_table(scenario: Scenario) -> dict[str, Any]:
    """All that a scenario's nights depend on, as TOML can hold it."""
    return tomllib.loads(run_text(scenario, {"scenario": scenario.name, "roster": scenario.roster.sha256}))


def experiment_text(wanted: Mapping[str, Any], kind: str, seed: int, fixed: bool, engine: str) -> str:
    """The text of experiment.toml: what the experiment says of itself, and a [run] table with what all have in common.

    ValueError where `wanted` has such a table already.
    """
    import tomli_w

    if {"run", WRITTEN} & wanted.keys():
        raise ValueError(f"the tables [run] and [{WRITTEN}] of {EXPERIMENT_FILE} are written here")
    run = {"kind": kind, "seed": seed, "fixed": fixed, "engine": engine, "versions": dict(versions())}
    return tomli_w.dumps({**wanted, "run": run})


def uses_roster_file(scenario: Scenario) -> bool:
    """Whether the precincts come from a file rather than from a synthesized state."""
    return scenario.roster_file is not None or scenario.spec.roster.file is not None


@cache
def versions() -> Mapping[str, str]:
    """Versions of what shapes the result; `source` is a hash of this product's own code."""
    found = {"source": _source_hash(), "python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # run from a folder that was never installed
            found[package] = "not installed"
    return found


def differences(written: str, wanted: str) -> list[str]:
    """The dotted keys in which two texts of run.toml (or experiment.toml) differ; empty: the results are the same."""
    try:
        one = dict(_leaves(tomllib.loads(written)))
    except tomllib.TOMLDecodeError:
        return ["not TOML"]
    other = dict(_leaves(tomllib.loads(wanted)))
    missing = object()
    keys = sorted((one.keys() | other.keys()).difference(_NO_DIFFERENCE))
    return [key for key in keys if one.get(key, missing) != other.get(key, missing)]


def _leaves(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _writable(value: Any) -> Any:
    """The value as TOML can hold it: what Python leaves out, a file calls "none"."""
    if isinstance(value, Mapping):
        return {key: _writable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_writable(item) for item in value]
    return "none" if value is None else value


def _source_hash() -> str:
    digest = hashlib.blake2b(digest_size=8)
    package = Path(simulation.__file__).parent
    for path in sorted(package.rglob("*.py")):
        digest.update(path.relative_to(package).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()
