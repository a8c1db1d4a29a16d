"""Two runs of `caucus loadtest break`, side by side: which breaks later, and whether that is more than luck."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loadtests.report.run_folder import RESULT_FILE
from simulation.errors import InputError

_CONDITIONS = ("scenario", "seed", "target", "database", "objectives", "cores", "workers", "versions", "machine")


@dataclass(frozen=True)
class Run:
    """A finished run, as its result.json has it."""

    folder: Path
    result: dict[str, Any]

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
    valid: bool

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
            return f"{self.flow}: no difference that is more than luck: the intervals overlap"
        word = "later" if self.b[0] > self.a[0] else "earlier"
        ratio = self.ratio
        by = "" if ratio is None else f", at {ratio[0]:.2f} to {ratio[1]:.2f} times the load"
        return f"{self.flow}: B breaks {word} than A{by}: the intervals do not overlap"

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
    return Run(folder, result)


def compared(a: Run, b: Run) -> list[Compared]:
    """Each flow that both have; InputError where there is none."""
    found = []
    for flow, one in a.points.items():
        other = b.points.get(flow)
        if other is not None:
            found.append(
                Compared(
                    flow, _pair(one["requests_per_s"]), _pair(other["requests_per_s"]), _pair_or_none(one["nights"]),
                    _pair_or_none(other["nights"]), bool(one["valid"] and other["valid"]),
                )
            )  # fmt: skip
    if not found:
        raise InputError(f"no flow in common: {', '.join(a.points)} and {', '.join(b.points)}")
    return found


def differing(a: Run, b: Run) -> list[str]:
    """The conditions in which the runs differ, beside what was meant to: a line each."""
    found = []
    for name in _CONDITIONS:
        one, other = a.result.get(name), b.result.get(name)
        if one == other:
            continue
        if isinstance(one, dict) and isinstance(other, dict):
            keys = [key for key in {**one, **other} if one.get(key) != other.get(key)]
            found += [f"{name}.{key}: {one.get(key)} and {other.get(key)}" for key in keys]
        else:
            found.append(f"{name}: {one} and {other}")
    return found


def _pair(row: list[Any]) -> tuple[float, float | None]:
    return float(row[0]), None if row[1] is None else float(row[1])


def _pair_or_none(row: list[Any] | None) -> tuple[float, float | None] | None:
    return None if row is None else _pair(row)
