"""A results file read: one record a precinct or satellite, as it was published, in exact numbers.

Column form of Iowa 2020: county, precinct, kind, county_delegates, totals, and first_X, final_X, del_X, sde_X for each
candidate X. Collects every mistake with its row. Knows what a cell may hold, not what the rules make of it.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Generic, TypeVar

from simulation.errors import InputError
from simulation.roster import sheets
from simulation.roster.cells import NEAR
from simulation.roster.columns import LARGEST_ATTENDANCE, LARGEST_DELEGATES, exact_number, whole_number

N = TypeVar("N", int, Fraction)

SDE = "sde_"
_COUNTS = ("first_", "final_", "del_")  # every candidate has a column of each; of SDE, if any candidate has
_REQUIRED = ("county", "precinct", "county_delegates")
_OPTIONAL = ("kind", "first_total", "final_total", "delegates_awarded", "sde_per_delegate", "sde_total")
_ALIASES = {"delegates": "county_delegates", "del_total": "delegates_awarded"}
_UNUSED = ("sde_allotted", "sde_reported", "precinct_code", "precinct_id", "district")  # known, and of no use here
LARGEST_SDE = 10_000  # in one cell; all Iowa had 2,151 in 2020
_LISTED = 50  # mistakes told one by one
_SHOWN = 8  # column names told one by one


@dataclass(frozen=True, slots=True)
class Record:
    """One row. Lists have one entry a candidate. None: an empty cell, or a column that is not there."""

    row: int  # its number in the file
    county: str
    precinct: str
    satellite: bool
    delegates: int  # to elect; 0 for a satellite that does not say
    first: list[int]
    final: list[int]
    awarded: list[int]
    sde: list[Fraction]  # empty where the file has none
    first_total: int  # as published, 0 where the cell is empty; the sum where there is no such column
    final_total: int
    awarded_total: int | None
    sde_per_delegate: Fraction | None
    sde_total: Fraction | None


@dataclass(frozen=True, slots=True)
class Results:
    """All rows of a file, in its order."""

    source: str
    candidates: list[str]  # as the columns call them, in the columns' order
    columns: frozenset[str]  # the known columns that are there, by main name; SDE if any sde_X is
    records: list[Record]
    notes: list[str]


def read(path: Path | str) -> Results:
    """Read a results file, CSV (UTF-8) or Excel, columns and rows in any order.

    Raises InputError with one line for each mistake (file, row, precinct, column, value, what would do).
    """
    path = Path(path)
    sheet = sheets.load(path)
    header = _Header.match(path, sheet.header)
    rows = _Rows(path, sheet, header)
    records = [rows.record(index) for index in range(len(sheet.rows))]
    told = [sentence for _, sentence in sorted(rows.mistakes, key=lambda mistake: mistake[0])]
    if len(told) > _LISTED:
        told = [*told[:_LISTED], f"... and {len(told) - _LISTED:,} more"]
    if not told and not records:
        told = [f"{path}: has a header but no rows: one row a precinct is expected"]
    if told:
        raise InputError(told)
    return Results(path.name, header.candidates, frozenset(header.position), records, header.notes)


@dataclass(frozen=True, slots=True)
class _Header:
    """Which cell of a row holds which column."""

    position: dict[str, int]  # of the single columns, by main name; SDE: the first of the sde_X
    candidates: list[str]
    of: dict[str, list[int]]  # prefix: positions, one a candidate; none for SDE where no sde_X is there
    called: list[str]  # every column, as written in the file
    notes: list[str]

    @classmethod
    def match(cls, path: Path, called: Sequence[str]) -> _Header:
        """Find the known columns. Raises InputError where one that is needed is missing, or one is there twice."""
        single = {name: name for name in _REQUIRED + _OPTIONAL + _UNUSED} | _ALIASES
        position: dict[str, int] = {}
        found: dict[str, dict[str, int]] = {prefix: {} for prefix in (*_COUNTS, SDE)}
        unknown: list[str] = []
        problems: list[str] = []
        for index, written in enumerate(called):
            name = "_".join(written.lower().split())
            prefix = next((prefix for prefix in found if name.startswith(prefix) and name != prefix), "")
            candidate = name.removeprefix(prefix)
            if name in single:
                if single[name] in position:
                    problems.append(f"{path}: two columns mean {single[name]}, {written!r} is the second: keep one")
                position[single[name]] = index
            elif prefix:
                if candidate in found[prefix]:
                    problems.append(f"{path}: two columns are called {written!r}: keep one")
                found[prefix][candidate] = index
            else:
                unknown.append(written)
        candidates = list(dict.fromkeys(candidate for prefix in found for candidate in found[prefix]))
        lacking = [
            prefix + candidate
            for prefix in found
            for candidate in candidates
            if candidate not in found[prefix] and (prefix != SDE or found[SDE])
        ]
        problems += _missing_columns(path, position, unknown)
        if not candidates and len(problems) < len(_REQUIRED):
            problems.append(f"{path}: no candidates: columns first_X, final_X and del_X are expected for each")
        if lacking:
            problems.append(f"{path}: no column {_some(lacking)}: each candidate needs first_, final_ and del_ columns")
        if problems:
            raise InputError(problems)
        of = {prefix: [at[candidate] for candidate in candidates] if at else [] for prefix, at in found.items()}
        if of[SDE]:
            position[SDE] = of[SDE][0]
        return cls(position, candidates, of, list(called), [f"columns ignored: {_some(unknown)}"] if unknown else [])


def _missing_columns(path: Path, position: dict[str, int], unknown: Sequence[str]) -> list[str]:
    others = ["_".join(written.lower().split()) for written in unknown]
    problems = []
    for name in _REQUIRED:
        if name not in position:
            near = difflib.get_close_matches(name, others, 1, NEAR)
            hint = f"; there is {near[0]!r}: did you mean {name!r}?" if near else ""
            problems.append(f"{path}: no column {name!r}{hint}")
    return problems


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(name or "(no name)" for name in names[:_SHOWN]) + more


class _Cells(Generic[N]):
    """What a cell of one sort may hold. Remembers what it has read: few distinct texts, very many cells."""

    def __init__(self, parse: Callable[[str], N | None], low: int, high: int, accepted: str) -> None:
        self.accepted = accepted
        self._parse: Callable[[str], N | None] = parse
        self._low, self._high = low, high
        self._known: dict[str, N | None] = {"": None}

    def value(self, text: str) -> N | None:
        """The number, or None where the cell is empty or wrong."""
        if text not in self._known:
            value = self._parse(text)
            self._known[text] = value if value is not None and self._low <= value <= self._high else None
        return self._known[text]


def _whole(low: int, high: int) -> _Cells[int]:
    return _Cells(whole_number, low, high, f"a whole number from {low:,} to {high:,}")


class _Rows:
    """The rows made into records; collects the mistakes as (row number, sentence)."""

    def __init__(self, path: Path, sheet: sheets.Sheet, header: _Header) -> None:
        self.mistakes = [(number, f"{path} row {number}: {why}") for number, why in sheet.malformed]
        self._path, self._sheet, self._header = path, sheet, header
        self._people, self._won, self._elected = (
            _whole(0, LARGEST_ATTENDANCE),
            _whole(0, LARGEST_DELEGATES),
            _whole(1, LARGEST_DELEGATES),
        )
        self._sde = _Cells(exact_number, 0, LARGEST_SDE, f"a number from 0 to {LARGEST_SDE:,}, such as 0.2797")

    def record(self, index: int) -> Record:
        """One row; where a cell is wrong, that is noted and a stand-in is given."""
        for name in ("county", "precinct"):
            text = self._text(index, name)
            if not text or not text.isprintable():
                self._mistake(index, f"{name} = {text!r}: a name on one line")
        kind = self._text(index, "kind").lower()
        if kind not in {"", "precinct", "satellite"}:
            self._mistake(index, f"kind = {kind!r}: precinct or satellite; empty for a precinct")
        satellite = kind == "satellite"
        if not satellite and not self._text(index, "county_delegates"):
            self._mistake(index, f"county_delegates is empty: {self._elected.accepted}, unless it is a satellite")
        first = [count or 0 for count in self._each(index, "first_", self._people)]
        final = [count or 0 for count in self._each(index, "final_", self._people)]
        return Record(
            row=self._sheet.numbers[index],
            county=self._text(index, "county"),
            precinct=self._text(index, "precinct"),
            satellite=satellite,
            delegates=self._single(index, "county_delegates", self._won if satellite else self._elected) or 0,
            first=first,
            final=final,
            awarded=[count or 0 for count in self._each(index, "del_", self._won)],
            sde=[share or Fraction(0) for share in self._each(index, SDE, self._sde)],
            first_total=self._total(index, "first_total", first),
            final_total=self._total(index, "final_total", final),
            awarded_total=self._single(index, "delegates_awarded", self._won),
            sde_per_delegate=self._single(index, "sde_per_delegate", self._sde),
            sde_total=self._single(index, "sde_total", self._sde),
        )

    def _total(self, index: int, name: str, counts: Sequence[int]) -> int:
        published = self._single(index, name, self._people) or 0
        return published if name in self._header.position else sum(counts)

    def _text(self, index: int, name: str) -> str:
        at = self._header.position.get(name)
        return "" if at is None else self._sheet.rows[index][at]

    def _single(self, index: int, name: str, cells: _Cells[N]) -> N | None:
        at = self._header.position.get(name)
        return None if at is None else self._number(index, at, cells)

    def _each(self, index: int, prefix: str, cells: _Cells[N]) -> list[N | None]:
        return [self._number(index, at, cells) for at in self._header.of[prefix]]

    def _number(self, index: int, at: int, cells: _Cells[N]) -> N | None:
        text = self._sheet.rows[index][at]
        value = cells.value(text)
        if value is None and text:
            self._mistake(index, f"{self._header.called[at]} = {text!r}: {cells.accepted}")
        return value

    def _mistake(self, index: int, sentence: str) -> None:
        number = self._sheet.numbers[index]
        names = [" ".join(self._text(index, name).split()) or "?" for name in ("county", "precinct")]
        self.mistakes.append((number, f"{self._path} row {number} ({', '.join(names)}): {sentence}"))
