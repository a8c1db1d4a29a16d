"""A backend's response curve, as a load test measured it: what it answers, how soon and how often, by offered load.

`caucus loadtest` writes it as curve.json; a scenario names that file, or holds the same as a table. Every mistake is
told at once. Knows nothing of the night that is played with it.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from pydantic.json_schema import JsonSchemaValue

from simulation.errors import InputError
from simulation.scenario.values import Optional, Plain, Unit

FORMAT = 1
FLOWS = ("login", "report", "mix")  # what a chair who reports waits for; nobody waits for the others
NIGHTS = 1_000_000  # a capacity of one caucus night

_QUANTILES = ("p50_ms", "p90_ms", "p95_ms", "p99_ms")
_LONGEST_MS = 24 * 3600 * 1000
_MOST_PER_S = 1_000_000
_MOST_POINTS = 1000
_CAPACITY = re.compile(r"(\d+(?:\.\d+)?) ?nights?")


@dataclass(frozen=True, slots=True)
class Point:
    """What the backend did at one load: latencies (p50, p90, p95, p99) of what it answered, and what it did not."""

    offered_per_s: float
    latency_ms: tuple[int, ...]
    error_share: float  # not answered, or not well, or not in time


@dataclass(frozen=True, slots=True)
class Curve:
    """A measured backend."""

    flow: str
    target: str
    night_per_s: float | None  # requests a second of this flow in the busiest minute of one caucus night
    capacity_per_s: float  # where it broke
    points: tuple[Point, ...]  # by rising load


def read_curve(path: Path, named: str) -> dict[str, Any]:
    """The table in the file at `path`, `named` so, without what no night needs. InputError: every mistake."""
    try:
        found = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise InputError(
            f"{named}: cannot be read: {error.strerror}; expected a curve.json of `caucus loadtest`"
        ) from None
    except UnicodeDecodeError as error:
        raise InputError(f"{named}: not a text file in UTF-8 (byte {error.start})") from None
    except (json.JSONDecodeError, RecursionError) as error:
        raise InputError(f"{named}: not JSON: {error}; expected a curve.json of `caucus loadtest`") from None
    problems = list(_problems(found))
    if problems:
        raise InputError([f"{named}: {problem}" for problem in problems])
    return _kept(found)


def curve_of(table: object) -> Curve:
    """The curve in a table. ValueError says every mistake."""
    problems = list(_problems(table))
    if problems:
        raise ValueError("a response curve without mistakes: " + "; ".join(problems))
    assert isinstance(table, dict)  # else there was a problem
    points: list[Point] = []
    for row in table["points"]:
        held = points[-1].latency_ms if points else (0,) * len(_QUANTILES)  # where nothing was answered: never used
        latency = tuple(row[name] for name in _QUANTILES) if row.get("p50_ms") is not None else held
        points.append(Point(float(row["offered_per_s"]), latency, float(row["error_share"])))
    night = table.get("night_per_s")
    return Curve(
        table["flow"],
        table.get("target", ""),
        None if night is None else float(night),
        float(table["capacity_per_s"]),
        tuple(points),
    )


def _kept(table: Mapping[str, Any]) -> dict[str, Any]:
    """What a resolved scenario holds of it: TOML knows no null."""
    keys = ("format", "flow", "target", "night_per_s", "capacity_per_s")
    of_point = ("offered_per_s", *_QUANTILES, "error_share")
    points = [{key: row[key] for key in of_point if row.get(key) is not None} for row in table["points"]]
    return {key: table[key] for key in keys if table.get(key) is not None} | {"points": points}


def _problems(table: object) -> Iterator[str]:
    """Each mistake in a line: key, value, what would be accepted."""
    if not isinstance(table, dict):
        yield f"is {_shown(table)}: expected a table with format, flow, night_per_s, capacity_per_s and points"
        return
    if table.get("format") != FORMAT or isinstance(table.get("format"), bool):
        yield f"format = {_shown(table.get('format'))}: expected {FORMAT}"
    if table.get("flow") not in FLOWS:
        known = ", ".join(f'"{flow}"' for flow in FLOWS)
        yield f"flow = {_shown(table.get('flow'))}: expected one of {known}, which a chair who reports waits for"
    if not isinstance(table.get("target", ""), str):
        yield f"target = {_shown(table['target'])}: expected a text"
    for key in ("night_per_s", "capacity_per_s"):
        if key == "night_per_s" and table.get(key) is None:
            continue  # of a load that knows no night
        if not _is_number(table.get(key), 0, _MOST_PER_S) or table[key] == 0:
            yield f"{key} = {_shown(table.get(key))}: expected requests a second, above 0 and up to {_MOST_PER_S:,}"
    points = table.get("points")
    if not isinstance(points, list) or not 1 <= len(points) <= _MOST_POINTS:
        yield f"points = {_shown(points)}: expected a list of 1 to {_MOST_POINTS:,} tables"
        return
    before = -1.0
    for number, row in enumerate(points):
        if not isinstance(row, dict):
            yield f"points.{number} = {_shown(row)}: expected a table with offered_per_s, p50_ms and so on"
            continue
        yield from (f"points.{number}.{problem}" for problem in _problems_of_point(row, before))
        if _is_number(row.get("offered_per_s"), 0, _MOST_PER_S):
            before = max(before, float(row["offered_per_s"]))


def _problems_of_point(row: Mapping[str, Any], before: float) -> Iterator[str]:
    offered: Any = row.get("offered_per_s")
    share = row.get("error_share")
    if not _is_number(offered, 0, _MOST_PER_S):
        yield f"offered_per_s = {_shown(offered)}: expected requests a second, 0 to {_MOST_PER_S:,}"
    elif offered <= before:
        yield f"offered_per_s = {_shown(offered)}: expected more than the {before:g} of the point before it"
    if not _is_number(share, 0, 1):
        yield f"error_share = {_shown(share)}: expected a share between 0 and 1"
    if share == 1 and all(row.get(name) is None for name in _QUANTILES):
        return  # nothing was answered
    least = 0
    for name in _QUANTILES:
        ms = row.get(name)
        if isinstance(ms, bool) or not isinstance(ms, int) or not least <= ms <= _LONGEST_MS:
            yield (
                f"{name} = {_shown(ms)}: expected whole milliseconds, {least:,} to {_LONGEST_MS:,}: "
                "no less than the quantile before it"
            )
        else:
            least = ms


def _is_number(value: object, low: float, high: float) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return math.isfinite(value) and low <= value <= high


def _shown(value: object) -> str:
    """A value as it stands in the file, where it is short."""
    if value is None:
        return "nothing"
    text = json.dumps(value, default=str)
    return text if len(text) <= 60 else f"{text[:57]}..."


def is_curve(value: object) -> bool:
    """Whether a value of a resolved scenario is a curve."""
    return isinstance(value, dict) and {"format", "capacity_per_s", "points"} <= set(value)


def curve_in_words(table: Mapping[str, Any]) -> str:
    """A curve of a resolved scenario in a line."""
    curve = curve_of(table)
    breaks = f"breaks at {curve.capacity_per_s:,.4g} requests a second"
    if curve.night_per_s is not None:
        breaks += f" ({curve.capacity_per_s / curve.night_per_s:,.3g} caucus nights)"
    first, last = curve.points[0].offered_per_s, curve.points[-1].offered_per_s
    loads = f"{first:,.4g} to {last:,.4g} a second" if len(curve.points) > 1 else f"{first:,.4g} a second"
    target = f" of {curve.target}" if curve.target else ""
    return f"flow {curve.flow}{target}: {breaks}; measured at {len(curve.points)} loads, {loads}"


# In a scenario file


class _MeasuredCurve(Plain):
    """Pydantic annotation: a curve as a table (the file that a scenario names was read before), or "none"."""

    def __init__(self) -> None:
        schema = {"anyOf": [{"type": "string"}, {"type": "object"}]}
        super().__init__(Unit("response curve or none", parse_capacity, schema))

    def read(self, value: object) -> Curve | None:
        if value is None or value == "none":
            return None
        if not isinstance(value, dict):
            raise ValueError('the path of a curve.json that `caucus loadtest` wrote, its content as a table, or "none"')
        return curve_of(value)

    def json_schema(self) -> JsonSchemaValue:
        return dict(self.unit.schema)


def parse_capacity(value: object) -> int:
    """A capacity in caucus nights ("0.5 nights"), in millionths of one."""
    match = _CAPACITY.fullmatch(value) if isinstance(value, str) else None
    found = int(Decimal(match[1]) * NIGHTS) if match else 0
    if not 1 <= found <= 1_000_000 * NIGHTS:
        raise ValueError('a number of caucus nights, such as "0.5 nights"')
    return found


MEASURED_CURVE = _MeasuredCurve()
CAPACITY = Optional(Unit("capacity", parse_capacity, {"type": "string", "pattern": r"^\d+(\.\d+)? ?nights?$"}))
