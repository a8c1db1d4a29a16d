"""Read a roster from a CSV or Excel file: check what belongs together, derive what is missing.

What a cell may hold stands in `columns` and `cells`; what follows from a site's size, in `derive`; Iowa's counties, in
`marginals`.
"""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from simulation.roster import marginals, sheets
from simulation.roster.cells import NEAR, Header, Table, counted
from simulation.roster.columns import LARGEST_SDE_PER_DELEGATE, column_of
from simulation.roster.derive import satellite_sde, usual_stations, usual_volunteers
from simulation.roster.model import Roster, Sites, assemble
from simulation.rules.sde import NANO, satellite_delegates

_REFERENCE = "iowa-2020"  # whose counties fill gaps: districts, FIPS codes, SDE ratios, the satellites' pools
_FIPS = re.compile(r"[0-9]{4,5}", re.ASCII)  # spreadsheets drop a leading zero


def read(path: Path | str) -> Roster:
    """Read a roster: CSV (UTF-8) or Excel, columns as in `columns.COLUMNS`, in any order of columns and rows.

    Raises InputError with one line for each mistake (file, row, site, column, value, what would do).
    """
    path = Path(path)
    sheet = sheets.load(path)
    table = Table(path, sheet, Header.match(path, sheet.header))
    sites = _sites(table)
    table.refuse_mistakes()
    return assemble(sites, path.name, table.notes)


def _sites(table: Table) -> Sites:
    """Check every column and fill what is missing; mistakes are noted in the table, with a stand-in for the value."""
    counties, precincts = table.names("county"), table.names("precinct")
    satellite = _kinds(table)
    attendance = _attendance(table)
    delegates = _delegates(table, satellite, attendance)
    iowa = _Iowa.of(table, counties, satellite)
    district = iowa.districts(table, counties)
    sde_nano = _sde_nano(table, iowa, satellite, district, attendance, delegates)
    volunteers = _filled(
        table, "volunteers", table.whole("volunteers"), lambda row: usual_volunteers(attendance[row]), "by attendance"
    )
    stations = _filled(
        table, "stations", table.whole("stations"), lambda row: usual_stations(volunteers[row]), "40 % of volunteers"
    )
    preference = table.preferences()
    _note_uneven_preferences(table, preference, attendance)
    return Sites(
        ids=_ids(table, counties, precincts),
        counties=counties,
        precincts=precincts,
        fips=iowa.fips,
        satellite=satellite,
        district=district,
        delegates=delegates,
        attendance=attendance,
        sde_nano=sde_nano,
        volunteers=volunteers,
        stations=stations,
        capacity=[capacity or 0 for capacity in table.whole("capacity")],
        buildings=[building or precincts[row] for row, building in enumerate(table.names("building"))],
        preference=preference,
    )


def _ids(table: Table, counties: Sequence[str], precincts: Sequence[str]) -> list[str]:
    """The ids, given or made; notes sites and ids that are there twice."""
    ids = [given or f"{counties[row]}/{precincts[row]}" for row, given in enumerate(table.names("id"))]
    first_site: dict[tuple[str, str], int] = {}
    first_id: dict[str, int] = {}
    for row, site in enumerate(zip(counties, precincts, strict=True)):
        same_site, same_id = first_site.setdefault(site, row), first_id.setdefault(ids[row], row)
        if same_site != row and all(site):
            table.mistake(row, f"the same county and precinct as in row {table.sheet.numbers[same_site]}")
        elif same_id != row and same_site == row:
            table.mistake(row, f"id = {ids[row]!r}: the same as in row {table.sheet.numbers[same_id]}")
    return ids


def _kinds(table: Table) -> list[int]:
    """1 for satellites, 0 for precincts."""
    texts = table.texts("kind")
    for row, text in enumerate(texts):
        if text.lower() not in {"", "precinct", "satellite"}:
            table.mistake(row, f"kind = {text!r}: {column_of('kind').accepted}")
    return [int(text.lower() == "satellite") for text in texts]


def _attendance(table: Table) -> list[int]:
    """People expected at each site; notes rows that do not say."""
    called = table.header.called["attendance"]
    values = table.whole("attendance")
    if None in values:
        for row in range(len(table)):
            if not table.text(row, "attendance"):
                table.mistake(row, f"{called} is empty: {column_of('attendance').accepted}")
    return [value or 0 for value in values]


def _filled(table: Table, name: str, values: Sequence[int | None], usual: Callable[[int], int], how: str) -> list[int]:
    """The values, with `usual(row)` where empty; says so in the notes."""
    lacking = sum(value is None for value in values)
    if lacking:
        table.notes.append(f"{name}: {how}, for {counted(lacking, 'site')} without")
    return [usual(row) if value is None else value for row, value in enumerate(values)]


def _delegates(table: Table, satellite: Sequence[int], attendance: Sequence[int]) -> list[int]:
    """Delegates of each site; a satellite elects by attendance where it does not say, and may have none."""
    called = table.header.called["delegates"]
    found, derived = [], 0
    for row, value in enumerate(table.whole("delegates")):
        if satellite[row] and not table.text(row, "delegates"):
            found.append(int(satellite_delegates(attendance[row])))
            derived += 1
            continue
        if not satellite[row] and not table.text(row, "delegates"):
            table.mistake(row, f"{called} is empty: {column_of('delegates').accepted}")
        elif not satellite[row] and value == 0:
            table.mistake(row, f"{called} = {table.text(row, 'delegates')!r}: {column_of('delegates').accepted}")
        found.append(value or 0)
    if derived:
        table.notes.append(f"delegates: by attendance, for {counted(derived, 'satellite')}")
    return found


@dataclass(frozen=True, slots=True)
class _Iowa:
    """What is known of each row's county where it is one of Iowa's, by name and by FIPS code if there is one."""

    county_of: list[marginals.County | None]
    fips: dict[str, str]  # by county, given or Iowa's

    @classmethod
    def of(cls, table: Table, counties: Sequence[str], satellite: Sequence[int]) -> _Iowa:
        """Find Iowa's counties; notes wrong and contradicting FIPS codes, and names that nearly match."""
        fips = _fips(table, counties)
        known = {county.name.casefold(): county for county in marginals.load(_REFERENCE).counties}
        found = {name: known.get(name.casefold()) for name in set(counties)}
        for name, county in found.items():
            if county is not None and fips.setdefault(name, county.fips) != county.fips:
                found[name] = None  # a county of that name in another state
                if fips[name].startswith(county.fips[:2]):
                    table.notes.append(f"county {name!r} has FIPS code {fips[name]}: Iowa's {name} has {county.fips}")
        elsewhere = {name for name, is_satellite in zip(counties, satellite, strict=True) if not is_satellite}
        strangers = sorted(name for name in elsewhere if found[name] is None and name not in fips)
        if 0 < len(strangers) < len(elsewhere) / 2:
            for name in strangers:
                near = difflib.get_close_matches(name.casefold(), known, 1, NEAR)
                hint = f": did you mean {known[near[0]].name!r}?" if near else ""
                table.notes.append(f"county {name!r} is not one of Iowa's 99{hint}")
        return cls([found[name] for name in counties], fips)

    def districts(self, table: Table, counties: Sequence[str]) -> list[int]:
        """The districts: given, else the county's or the group of satellites', else 0."""
        of_group = {group.name: group.district for group in marginals.load(_REFERENCE).groups}
        found, derived = [], 0
        for row, given in enumerate(table.whole("district")):
            county = self.county_of[row]
            if given is not None:
                found.append(given)
            elif county is not None or counties[row] in of_group:
                found.append(of_group[counties[row]] if county is None else county.district)
                derived += 1
            else:
                found.append(0)
        if derived:
            table.notes.append(f"district: by Iowa's counties and groups of satellites, for {counted(derived, 'site')}")
        return found


def _fips(table: Table, counties: Sequence[str]) -> dict[str, str]:
    """The FIPS code given for each county; notes wrong ones and counties that have two."""
    first: dict[str, int] = {}
    codes: dict[str, str] = {}
    for row, text in enumerate(table.texts("fips")):
        if not text:
            continue
        county = counties[row]
        if not _FIPS.fullmatch(text):
            table.mistake(row, f"fips = {text!r}: {column_of('fips').accepted}")
        elif codes.setdefault(county, text.zfill(5)) != text.zfill(5):
            other = table.sheet.numbers[first[county]]
            table.mistake(row, f"fips = {text!r}: a county has one code, and in row {other} it is {codes[county]!r}")
        first.setdefault(county, row)
    return codes


def _sde_nano(
    table: Table,
    iowa: _Iowa,
    satellite: Sequence[int],
    district: Sequence[int],
    attendance: Sequence[int],
    delegates: Sequence[int],
) -> list[int]:
    """Nano-SDE of one delegate of each site: given, from the site's SDE, or derived."""
    per_delegate, allotted = table.exact("sde_per_delegate"), table.exact("sde_allotted")
    at = [row for row in range(len(table)) if satellite[row]]
    pooled = satellite_sde(
        [district[row] for row in at],
        [attendance[row] for row in at],
        [delegates[row] for row in at],
        {group.district: group.sde for group in marginals.load(_REFERENCE).groups},
    )
    pool_share = dict(zip(at, pooled, strict=True))
    derived: Counter[str] = Counter()
    found = []
    for row in range(len(table)):
        given, whole_site, county = per_delegate[row], allotted[row], iowa.county_of[row]
        if given is not None:
            found.append(_in_nano(table, row, "sde_per_delegate", given))
        elif whole_site is not None:
            found.append(_in_nano(table, row, "sde_allotted", whole_site / (delegates[row] or 1)))
        elif satellite[row]:
            derived["a share of the satellites' pools of 2020"] += 1
            found.append(pool_share[row])
        elif county is not None:
            derived["Iowa's county ratio of 2020"] += 1
            found.append(county.sde * NANO // county.delegates)
        else:
            derived["1"] += 1
            found.append(NANO)
    table.notes += [
        f"sde_per_delegate: {source}, for {counted(count, 'site')}" for source, count in sorted(derived.items())
    ]
    return found


def _in_nano(table: Table, row: int, name: str, per_delegate: Fraction) -> int:
    """Rounded down; notes a number that no party gives a delegate."""
    if per_delegate > LARGEST_SDE_PER_DELEGATE:
        called = table.header.called[name]
        table.mistake(row, f"{called} = {table.text(row, name)!r}: {column_of(name).accepted}")
    return per_delegate.numerator * NANO // per_delegate.denominator


def _note_uneven_preferences(table: Table, preference: dict[str, list[int]], attendance: Sequence[int]) -> None:
    """First-alignment counts are expectations: where they do not add up to the attendance, say so."""
    if not preference:
        return
    sums = [sum(counts) for counts in zip(*preference.values(), strict=True)]
    uneven = sum(total != expected for total, expected in zip(sums, attendance, strict=True))
    if uneven:
        table.notes.append(
            f"first_<candidate>: the counts do not add up to the attendance of {counted(uneven, 'site')}"
        )
