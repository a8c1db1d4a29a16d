"""The roster: every site of a night, in one canonical order, as read-only integers and names.

Knows nothing of files to read, of how a state is synthesized, or of the night.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from simulation.errors import InputError
from simulation.randomness import Integers, place_id
from simulation.roster.columns import PREFERENCE
from simulation.rules.sde import NANO

if TYPE_CHECKING:
    import polars


MOST_IN_A_BUILDING = (1 << 16) - 1  # sites: the keys of events number the lines of a building in 16 bits


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Roster:
    """All sites of a night, sorted by id, one entry a site; every array is int64, of shape (sites,), and read-only."""

    ids: tuple[str, ...]  # "county/precinct" or the file's id column; unique and stable
    places: Integers  # `randomness.place_id` of each id; unique
    counties: tuple[str, ...]  # name of each site's county, or of its group of satellites
    precincts: tuple[str, ...]  # name of each site in its county
    county_index: Integers  # into county_names
    county_names: tuple[str, ...]  # sorted
    fips: tuple[str | None, ...]  # of county_names; None where unknown
    satellite: Integers  # 1 for satellites, else 0
    district: Integers  # congressional district 1-4; 0 = none or out of state
    delegates: Integers  # county-convention delegates that the site elects, D
    attendance: Integers  # people expected
    sde_nano: Integers  # state delegate equivalents of one delegate, in 1e-9, rounded down
    volunteers: Integers  # people who work at the site
    stations: Integers  # check-in tables
    capacity: Integers  # people that the room holds; 0 = no limit known
    building: Integers  # into building_names; sites of one building share doors
    building_names: tuple[str, ...]  # "county/building", sorted
    candidates: tuple[str, ...]  # sorted; empty without preferences
    preference: Integers | None  # (sites, candidates): people expected at first alignment
    source: str  # where it comes from, for the reader
    notes: tuple[str, ...]  # what was ignored and what was derived, one sentence each
    sha256: str  # of `csv()`: equal for equal rosters, whatever file they were read from

    def __len__(self) -> int:
        """Sites."""
        return len(self.ids)

    def __repr__(self) -> str:
        """What it is and how large, without its thousands of rows."""
        return f"<Roster: {self.source}, {len(self):,} sites, {int(self.attendance.sum()):,} people>"

    def code(self, number: int) -> str:
        """What log-ins, reports and packets call a site: its number, counted from 1, all of one length."""
        return f"{number + 1:0{max(4, len(str(len(self))))}d}"

    def csv(self) -> str:
        """The roster as the text of a CSV file that `read` turns into this roster again."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        names, columns = zip(*self._columns().items(), strict=True)
        writer.writerow(names)
        writer.writerows(zip(*columns, strict=True))
        return text.getvalue()

    def frame(self) -> polars.DataFrame:
        """The columns of `csv()` as a frame: names as text, counts as Int64, SDE per delegate as a decimal."""
        import polars

        frame = polars.DataFrame(self._columns(), infer_schema_length=None)
        return frame.with_columns(polars.col("sde_per_delegate").cast(polars.Decimal(38, 9)))

    def write(self, path: Path | str) -> None:
        """Write the roster as a CSV file. Raises InputError where that is not possible."""
        try:
            Path(path).write_text(self.csv(), encoding="utf-8", newline="")
        except OSError as error:
            raise InputError(f"{path}: cannot be written: {error.strerror}") from error

    def _columns(self) -> dict[str, Sequence[object]]:
        columns: dict[str, Sequence[object]] = {
            "id": self.ids,
            "county": self.counties,
            "precinct": self.precincts,
            "kind": ["satellite" if satellite else "precinct" for satellite in self.satellite.tolist()],
            "delegates": self.delegates.tolist(),
            "attendance": self.attendance.tolist(),
            "district": self.district.tolist(),
            "fips": [self.fips[county] or "" for county in self.county_index.tolist()],
            "sde_per_delegate": [f"{nano // NANO}.{nano % NANO:09d}" for nano in self.sde_nano.tolist()],
            "building": [
                self.building_names[building].removeprefix(f"{county}/")
                for building, county in zip(self.building.tolist(), self.counties, strict=True)
            ],
            "capacity": self.capacity.tolist(),
            "volunteers": self.volunteers.tolist(),
            "stations": self.stations.tolist(),
        }
        if self.preference is not None:
            for candidate, counts in zip(self.candidates, self.preference.T.tolist(), strict=True):
                columns[PREFERENCE + candidate] = counts
        return columns


@dataclass(frozen=True, slots=True)
class Sites:
    """The sites of a roster in any order, one entry a site: what reading and synthesis hand to `assemble`."""

    ids: Sequence[str]
    counties: Sequence[str]
    precincts: Sequence[str]
    fips: Mapping[str, str]  # by county, where known
    satellite: Sequence[int]
    district: Sequence[int]
    delegates: Sequence[int]
    attendance: Sequence[int]
    sde_nano: Sequence[int]
    volunteers: Sequence[int]
    stations: Sequence[int]
    capacity: Sequence[int]
    buildings: Sequence[str]  # names inside the county
    preference: Mapping[str, Sequence[int]]  # by candidate


def assemble(sites: Sites, source: str, notes: Sequence[str] = ()) -> Roster:
    """Put sites into canonical order and name their places; ids are unique already.

    Raises InputError where two ids share a place (a collision of 63-bit hashes).
    """
    order = sorted(range(len(sites.ids)), key=sites.ids.__getitem__)

    def names(values: Sequence[str]) -> tuple[str, ...]:
        return tuple(values[i] for i in order)

    def numbers(values: Sequence[int]) -> Integers:
        return _read_only(np.array([values[i] for i in order], dtype=np.int64))

    ids, counties = names(sites.ids), names(sites.counties)
    places = [place_id(name) for name in ids]
    _refuse_shared_places(ids, places)
    county_index, county_names = _index(counties)
    building, building_names = _index([f"{sites.counties[i]}/{sites.buildings[i]}" for i in order])
    _refuse_crowded_buildings(building, building_names)
    candidates = tuple(sorted(sites.preference))
    preference = np.array([numbers(sites.preference[name]) for name in candidates], dtype=np.int64).T.copy()
    roster = Roster(
        ids=ids,
        places=_read_only(np.array(places, dtype=np.int64)),
        counties=counties,
        precincts=names(sites.precincts),
        county_index=county_index,
        county_names=county_names,
        fips=tuple(sites.fips.get(county) for county in county_names),
        satellite=numbers(sites.satellite),
        district=numbers(sites.district),
        delegates=numbers(sites.delegates),
        attendance=numbers(sites.attendance),
        sde_nano=numbers(sites.sde_nano),
        volunteers=numbers(sites.volunteers),
        stations=numbers(sites.stations),
        capacity=numbers(sites.capacity),
        building=building,
        building_names=building_names,
        candidates=candidates,
        preference=_read_only(preference) if candidates else None,
        source=source,
        notes=tuple(notes),
        sha256="",
    )
    object.__setattr__(roster, "sha256", hashlib.sha256(roster.csv().encode()).hexdigest())  # of what was just built
    return roster


def _read_only(array: Integers) -> Integers:
    array.setflags(write=False)
    return array


def _index(values: Sequence[str]) -> tuple[Integers, tuple[str, ...]]:
    names = tuple(sorted(set(values)))
    position = {name: i for i, name in enumerate(names)}
    return _read_only(np.array([position[value] for value in values], dtype=np.int64)), names


def _refuse_crowded_buildings(building: Integers, names: Sequence[str]) -> None:
    sites = np.bincount(building, minlength=len(names))
    crowded = [
        f"{names[number]}: {sites[number]:,} sites in one building: no more than {MOST_IN_A_BUILDING:,}"
        for number in np.flatnonzero(sites > MOST_IN_A_BUILDING).tolist()
    ]
    if crowded:
        raise InputError(crowded)


def _refuse_shared_places(ids: Sequence[str], places: Sequence[int]) -> None:
    seen: dict[int, str] = {}
    clashes = [
        f"sites {seen[place]!r} and {name!r} would share all their luck (their ids hash alike): rename one of them"
        for name, place in zip(ids, places, strict=True)
        if seen.setdefault(place, name) != name
    ]
    if clashes:
        raise InputError(clashes)
