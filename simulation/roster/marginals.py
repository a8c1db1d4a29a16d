"""The published aggregates of a state (`scenarios/rosters/*.toml`): counties, sizes, satellites, assumptions.

Data only: `synthesis` makes sites of them, `reading` fills gaps of Iowa's rosters from them. Knows nothing of sites.
"""

from __future__ import annotations

import difflib
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from simulation.errors import InputError


@dataclass(frozen=True, slots=True)
class County:
    """One county: its share of the state. `sde` is the whole county's; `attendance` None where unpublished."""

    name: str
    fips: str
    district: int
    precincts: int
    delegates: int
    sde: int
    attendance: int | None = None


@dataclass(frozen=True, slots=True)
class SatelliteGroup:
    """Satellites that share one pool of SDE; district 0 is out of state."""

    name: str
    district: int
    sites: int
    attendance: int
    sde: int


@dataclass(frozen=True, slots=True)
class Size:
    """How precinct sizes and delegates vary inside a county, in logarithms; `largest` in people."""

    slope: float
    spread: float
    mix: float
    largest: int


@dataclass(frozen=True, slots=True)
class Buildings:
    """Which precincts share a building: in counties of `from_precincts` or more, this share, `most` at one door."""

    from_precincts: int
    shared_share: float
    most: int


@dataclass(frozen=True, slots=True)
class Rooms:
    """Room over expected attendance (ranges), and how often it is too small."""

    tight_share: float
    tight_from: int
    tight: tuple[float, float]
    ample: tuple[float, float]
    smallest: int


@dataclass(frozen=True, slots=True)
class Marginals:
    """Everything that a synthesized state must add up to."""

    title: str
    people: int
    delegates_of_precincts: tuple[tuple[int, int], ...]  # (D, precincts that elect D)
    counties: tuple[County, ...]
    groups: tuple[SatelliteGroup, ...]
    satellite_spread: float
    size: Size
    buildings: Buildings
    rooms: Rooms
    staff_spread: float


def available() -> tuple[str, ...]:
    """The names of the states that can be synthesized."""
    folder = files("scenarios") / "rosters"
    return tuple(sorted(item.name.removesuffix(".toml") for item in folder.iterdir() if item.name.endswith(".toml")))


@cache
def load(name: str) -> Marginals:
    """The aggregates of one state. Raises InputError for a name that is not in the library."""
    if name not in available():
        near = difflib.get_close_matches(name, available(), 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise InputError(f"roster to synthesize = {name!r}: one of {', '.join(available())}{hint}")
    table = _table(name)
    satellites = table.get("satellites", {"spread": 0.0, "groups": {}})
    rooms = table["rooms"]
    return Marginals(
        title=table["title"],
        people=table["people"],
        delegates_of_precincts=tuple((delegates, count) for delegates, count in table["delegates_of_precincts"]),
        counties=tuple(County(name=county, **row) for county, row in sorted(table["counties"].items())),
        groups=tuple(SatelliteGroup(name=group, **row) for group, row in sorted(satellites["groups"].items())),
        satellite_spread=satellites["spread"],
        size=Size(**table["size"]),
        buildings=Buildings(**table["buildings"]),
        rooms=Rooms(**rooms | {key: tuple(rooms[key]) for key in ("tight", "ample")}),
        staff_spread=table["staff"]["spread"],
    )


def _table(name: str) -> dict[str, Any]:
    """The file as it stands; with `extends`, the assumptions that it leaves out come from the other state's file."""
    table = tomllib.loads((files("scenarios") / "rosters" / f"{name}.toml").read_text(encoding="utf-8"))
    if "extends" in table:
        other = _table(table["extends"])
        table = {key: other[key] for key in ("size", "buildings", "rooms", "staff")} | table
    return table
