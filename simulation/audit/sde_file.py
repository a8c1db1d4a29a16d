"""State delegate equivalents (SDE) by district, read from any of the tables in which they are published.

Three forms, CSV or Excel: a row a district with a column a candidate; a row a district and candidate (columns district,
candidate, sde); or results with sde_X columns, a row a precinct or county. Districts come from a column, else from the
county's name (Iowa, districts of 2013-2023). Knows nothing of how delegates are dealt: see `simulation.rules.national`.
"""

from __future__ import annotations

import difflib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from simulation.audit.results import LARGEST_SDE, SDE
from simulation.errors import InputError
from simulation.roster import marginals, sheets
from simulation.roster.cells import NEAR
from simulation.roster.columns import exact_number
from simulation.rules.national import DISTRICTS, STATEWIDE

_REFERENCE = "iowa-2020"  # whose counties and groups of satellites have districts
_NO_CANDIDATES = {"district", "county", "precinct", "kind", "fips", "name", "note", "total", "sde", "delegates"}
_TOTALS = {"sde_total", "sde_reported", "sde_allotted", "sde_per_delegate"}
_OUT_OF_STATE = {"", "0", "out of state", "out-of-state", "statewide"}
_LISTED = 50  # mistakes told one by one


@dataclass(frozen=True, slots=True)
class Sde:
    """SDE by candidate: of each district (in-state satellites included), and of the whole state."""

    by_district: dict[int, dict[str, Fraction]]
    statewide: dict[str, Fraction]


def read_sde(path: Path | str) -> Sde:
    """Read SDE by district. Raises InputError with one line for each mistake (file, row, column, value)."""
    path = Path(path)
    sheet = sheets.load(path)
    names = ["_".join(called.lower().split()) for called in sheet.header]
    at = {name: index for index, name in enumerate(names)}
    candidates = _candidates(names)
    twice = sorted({called for called, name in zip(sheet.header, names, strict=True) if names.count(name) > 1})
    problems = [f"{path}: two columns are called {called!r}: keep one" for called in twice]
    if "district" not in at and "county" not in at:
        problems.append(f"{path}: no column 'district' (1 to 4, empty for out of state) and no column 'county'")
    if not candidates and not {"candidate", "sde"} <= at.keys():
        problems.append(f"{path}: no candidates: a column a candidate, or columns 'candidate' and 'sde', are expected")
    if problems:
        raise InputError(problems)

    mistakes = [(number, f"{path} row {number}: {why}") for number, why in sheet.malformed]
    found: dict[int, dict[str, Fraction]] = {place: defaultdict(Fraction) for place in (STATEWIDE, *DISTRICTS)}
    for number, row in zip(sheet.numbers, sheet.rows, strict=True):
        cells = [(names[index].removeprefix(SDE), sheet.header[index], row[index]) for index in candidates]
        if not candidates:
            who = "_".join(row[at["candidate"]].lower().split())
            cells = [(who, "sde", row[at["sde"]])]
            if not who:
                mistakes.append((number, f"{path} row {number}: candidate is empty: a name"))
        district = _district(row, at)
        if isinstance(district, str):
            mistakes.append((number, f"{path} row {number}: {district}"))
            continue
        for candidate, called, text in cells:
            value = exact_number(text or "0")
            if value is None or value > LARGEST_SDE:
                accepted = f"a number from 0 to {LARGEST_SDE:,}, such as 163.1894"
                mistakes.append((number, f"{path} row {number}: {called} = {text!r}: {accepted}"))
                continue
            found[district][candidate] += value
    told = [sentence for _, sentence in sorted(mistakes, key=lambda mistake: mistake[0])]
    if not told:
        lacking = [str(place) for place in DISTRICTS if not any(found[place].values())]
        told = [f"{path}: no SDE in district {', '.join(lacking)}"] if lacking else []
    if len(told) > _LISTED:
        told = [*told[:_LISTED], f"... and {len(told) - _LISTED:,} more"]
    if told:
        raise InputError(told)
    statewide: dict[str, Fraction] = defaultdict(Fraction)
    for shares in found.values():
        for candidate, share in shares.items():
            statewide[candidate] += share
    return Sde({place: dict(found[place]) for place in DISTRICTS}, dict(statewide))


def _candidates(names: Sequence[str]) -> list[int]:
    """The candidates' columns: sde_X where there are any, else all but those known for something else."""
    by_prefix = [i for i, name in enumerate(names) if name.startswith(SDE) and name != SDE and name not in _TOTALS]
    if by_prefix or {"candidate", "sde"} <= set(names):
        return by_prefix
    return [i for i, name in enumerate(names) if name and name not in _NO_CANDIDATES | _TOTALS]


def _district(row: Sequence[str], at: dict[str, int]) -> int | str:
    """The district of a row, STATEWIDE for out of state; or what is wrong with it."""
    text = " ".join(row[at["district"]].lower().split()) if "district" in at else ""
    given = text.removeprefix("district ").removeprefix("cd").removesuffix(".0")
    if given in map(str, DISTRICTS):
        return int(given)
    if given not in _OUT_OF_STATE:
        return f"district = {text!r}: 1 to 4; 0, empty or 'out of state' for none"
    if text or "county" not in at:
        return STATEWIDE
    known = _districts_of_counties()
    county = row[at["county"]]
    if county.casefold() in known:
        return known[county.casefold()]
    if "district" in at:
        return STATEWIDE
    near = difflib.get_close_matches(county.casefold(), known, 1, NEAR)
    hint = f"; did you mean {near[0].title()!r}?" if near else ""
    return f"county = {county!r}: one of Iowa's 99 or a group of satellites, as there is no column 'district'{hint}"


def _districts_of_counties() -> dict[str, int]:
    """By county or group of satellites."""
    iowa = marginals.load(_REFERENCE)  # read once, then kept
    return {county.name.casefold(): county.district for county in iowa.counties} | {
        group.name.casefold(): group.district for group in iowa.groups
    }
