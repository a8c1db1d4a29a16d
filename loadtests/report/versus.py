"""Two runs of `caucus loadtest break`, side by side: which breaks later, and whether that is more than luck."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loadtests.report.run_folder import RESULT_FILE, TABLE
from simulation.errors import InputError
from simulation.experiment.run_file import RUN_FILE, differences

_CONDITIONS = ("scenario", "seed", "target", "database", "objectives", "cores", "workers", "versions", "machine")


@dataclass(frozen=True)
class Run:
    """A finished run, as its result.json has it."""

    folder: Path
    result: dict[str, Any]
    text: str = ""  # of its run.toml, where there is one

    @property
    def points(self) -> dict[str, dict[str, Any]]:
        """By flow."""
        return {point["flow"]: point for point in self.result["points"]}


@dataclass(frozen=True)
class Compared:
    """One flow in both runs."""

    flow: str
    a: tuple[float, float | None]  # of requests a second
    b: tuple[float, float | None]
    a_nights: tuple[float, float | None] | None
    b_nights: tuple[float, float | None] | None
    a_not_valid: str = ""  # why; empty: it is
    b_not_valid: str = ""

    @property
    def valid(self) -> bool:
        """Whether both answers are."""
        return not (self.a_not_valid or self.b_not_valid)

    @property
    def differs(self) -> bool | None:
        """Whether one breaks later by more than luck; None: intervals lie apart that are not both valid."""
        return None if not (self.valid or self.overlaps) else not self.overlaps

    @property
    def overlaps(self) -> bool:
        """Whether the intervals have a load in common."""
        (a_low, a_high), (b_low, b_high) = self.a, self.b
        return (a_high is None or b_low <= a_high) and (b_high is None or a_low <= b_high)

    @property
    def ratio(self) -> tuple[float, float] | None:
        """B as so many times A, between these ends; None where one has no end."""
        (a_low, a_high), (b_low, b_high) = self.a, self.b
        if a_high is None or b_high is None or a_low <= 0:
            return None
        return b_low / a_high, b_high / a_low

    @property
    def says(self) -> str:
        """In a line."""
        if self.overlaps:
            said = "no difference that is more than luck: the intervals overlap"
        elif self.valid:
            word = "later" if self.b[0] > self.a[0] else "earlier"
            ratio = self.ratio
            by = "" if ratio is None else f", at {ratio[0]:.2f} to {ratio[1]:.2f} times the load"
            said = f"B breaks {word} than A{by}: the intervals do not overlap"
        else:
            said = f"which breaks later is not known: A {_in_words(self.a)}, B {_in_words(self.b)}"
        whys = (("A", self.a_not_valid), ("B", self.b_not_valid))
        return f"{self.flow}: {said}" + "".join(f"; {name}'s answer is not valid: {why}" for name, why in whys if why)

    def as_json(self) -> dict[str, Any]:
        """One object."""
        return {
            "flow": self.flow,
            "a_per_s": list(self.a),
            "b_per_s": list(self.b),
            "a_nights": None if self.a_nights is None else list(self.a_nights),
            "b_nights": None if self.b_nights is None else list(self.b_nights),
            "overlaps": self.overlaps,
            "ratio": None if self.ratio is None else list(self.ratio),
            "valid": self.valid,
            "a_not_valid": self.a_not_valid or None,
            "b_not_valid": self.b_not_valid or None,
            "says": self.says,
        }


def read(folder: Path) -> Run:
    """A run's folder; InputError where it is none of `break`."""
    try:
        result = json.loads((folder / RESULT_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise InputError(
            f"{folder}: no {RESULT_FILE} that can be read: expected a folder of `caucus loadtest break`"
        ) from None
    if not isinstance(result, dict) or result.get("kind") != "break" or not isinstance(result.get("points"), list):
        kind = result.get("kind") if isinstance(result, dict) else None
        raise InputError(f"{folder}: a run of `{kind}`; only runs of `caucus loadtest break` are compared")
    text = ""
    with suppress(OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        written = (folder / RUN_FILE).read_text(encoding="utf-8")
        text = written if tomllib.loads(written) else ""
    return Run(folder, result, text)


def compared(a: Run, b: Run) -> list[Compared]:
    """Each flow that both have; InputError where there is none."""
    found = []
    for flow, one in a.points.items():
        other = b.points.get(flow)
        if other is not None:
            found.append(
                Compared(
                    flow, _pair(one["requests_per_s"]), _pair(other["requests_per_s"]), _pair_or_none(one["nights"]),
                    _pair_or_none(other["nights"]), _not_valid(one), _not_valid(other),
                )
            )  # fmt: skip
    if not found:
        raise InputError(f"no flow in common: {', '.join(a.points)} and {', '.join(b.points)}")
    return found


def differing(a: Run, b: Run) -> list[str]:
    """The conditions in which the runs differ, beside what was meant to: a line each."""
    found = []
    flows = [flow for flow in a.points if flow in b.points]
    ours, theirs = _conditions(a, flows), _conditions(b, flows)
    for name in ours:
        one, other = ours[name], theirs[name]
        if one == other:
            continue
        if isinstance(one, dict) and isinstance(other, dict):
            keys = [key for key in {**one, **other} if one.get(key) != other.get(key)]
            found += [f"{name}.{key}: {one.get(key)} and {other.get(key)}" for key in keys]
        else:
            found.append(f"{name}: {one} and {other}")
    if a.text and b.text:
        keys = [key for key in differences(a.text, b.text) if key != "run.scenario" and not key.startswith(f"{TABLE}.")]
        found += [f"{RUN_FILE}: {', '.join(keys)}"] if keys else []
    return found


def _conditions(run: Run, flows: Iterable[str]) -> dict[str, Any]:
    """Under which it was measured; one caucus night of those flows only that are compared."""
    nights = run.result.get("night_per_s") or {}
    return {
        **{name: run.result.get(name) for name in _CONDITIONS},
        "faults": sorted({fault["name"] for fault in run.result.get("faults") or ()}),
        "night_per_s": {flow: nights.get(flow) for flow in flows},
    }


def _not_valid(point: dict[str, Any]) -> str:
    return "" if point["valid"] else str(point.get("why") or "it does not say why")


def _in_words(ends: tuple[float, float | None]) -> str:
    low, high = ends
    if high is None:
        return f"held {low:.4g}/s and did not break"
    return f"broke between {low:.4g} and {high:.4g}/s"


def _pair(row: list[Any]) -> tuple[float, float | None]:
    return float(row[0]), None if row[1] is None else float(row[1])


def _pair_or_none(row: list[Any] | None) -> tuple[float, float | None] | None:
    return None if row is None else _pair(row)
