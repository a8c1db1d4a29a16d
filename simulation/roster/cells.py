"""A roster file's columns found and its cells read: header names to columns, texts to exact numbers.

Collects every mistake with its row instead of stopping at the first. Knows what a cell may hold (`columns`), not what
follows from what.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TypeVar

from simulation.errors import InputError
from simulation.roster.columns import COLUMNS, PREFERENCE, Column, column_of, exact_number, whole_number
from simulation.roster.sheets import Sheet

T = TypeVar("T")

NEAR = 0.75  # similarity of two names from which one is suggested for the other
_LISTED = 50  # mistakes told one by one
_SHOWN = 8  # column names told one by one


def counted(number: int, noun: str) -> str:
    """A number with its noun: "1 site", "1,765 sites"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


@dataclass(frozen=True, slots=True)
class Header:
    """Which cell of a row holds which column, and how the file calls it."""

    position: dict[str, int]  # by the column's main name
    called: dict[str, str]  # the same, as written in the file
    candidates: dict[str, int]
    notes: list[str]

    @classmethod
    def match(cls, path: Path, names: Sequence[str]) -> Header:
        """Find the known columns. Raises InputError where a required one is missing or one is there twice."""
        by_name = {name: column.name for column in COLUMNS for name in column.names}
        position: dict[str, int] = {}
        called: dict[str, str] = {}
        candidates: dict[str, int] = {}
        unknown: list[str] = []
        problems: list[str] = []
        for index, written in enumerate(names):
            name = "_".join(written.lower().split())
            known = by_name.get(name)
            if known is not None:
                if known in position:
                    problems.append(f"{path}: columns {called[known]!r} and {written!r} both mean {known}: keep one")
                position[known], called[known] = index, written
            elif name.startswith(PREFERENCE) and name != PREFERENCE:
                candidate = name.removeprefix(PREFERENCE)
                if candidate in candidates:
                    problems.append(f"{path}: two columns are called {written!r}: keep one")
                candidates[candidate] = index
            else:
                unknown.append(written)
        open_names = [name for name, known in by_name.items() if known not in position]
        suggestions: dict[str, tuple[str, str]] = {}
        for written in unknown:
            near = difflib.get_close_matches("_".join(written.lower().split()), open_names, 1, NEAR)
            if near:
                suggestions.setdefault(by_name[near[0]], (written, near[0]))
        problems += _missing_columns(path, position, suggestions, names)
        if problems:
            raise InputError(problems)
        likely = dict(suggestions.values())
        notes = [f"column {written!r} is ignored: did you mean {meant!r}?" for written, meant in likely.items()]
        notes += _ignored_columns([written for written in unknown if written not in likely])
        return cls(position, called, candidates, notes)


def _missing_columns(
    path: Path, position: dict[str, int], suggestions: dict[str, tuple[str, str]], names: Sequence[str]
) -> list[str]:
    missing = [column for column in COLUMNS if column.required and column.name not in position]
    if len(missing) == sum(column.required for column in COLUMNS) and not suggestions:
        shown = ", ".join(name[:30] for name in names[:_SHOWN])
        mark = next((mark for mark in ";\t|" if mark in shown), "")
        hint = f"; they seem to be separated by {mark!r}: commas are expected" if mark else ""
        wanted = ", ".join(column.name for column in missing)
        return [f"{path}: no roster: the first row must name the columns {wanted}; it has {shown!r}{hint}"]
    problems = []
    for column in missing:
        other = "".join(f" (or {alias!r})" for alias in column.aliases)
        near = suggestions.get(column.name)
        hint = f"; there is {near[0]!r}: did you mean {near[1]!r}?" if near else ""
        problems.append(f"{path}: no column {column.name!r}{other}{hint}")
    return problems


def _ignored_columns(names: Sequence[str]) -> list[str]:
    if not names:
        return []
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    shown = ", ".join(name or "(no name)" for name in names[:_SHOWN])
    return [f"columns ignored: {shown}{more}"]


@dataclass(slots=True)
class Table:
    """The rows of a file with their columns found; collects what is wrong with them."""

    path: Path
    sheet: Sheet
    header: Header
    mistakes: list[tuple[int, str]] = field(default_factory=list)  # (row number, sentence)
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.notes += self.header.notes
        self.mistakes += [(number, f"{self.path} row {number}: {why}") for number, why in self.sheet.malformed]

    def __len__(self) -> int:
        return len(self.sheet.rows)

    def mistake(self, row: int, sentence: str) -> None:
        """Note what is wrong with a row (its index among the rows)."""
        number = self.sheet.numbers[row]
        names = [" ".join(self.text(row, name).split()) or "?" for name in ("county", "precinct")]
        self.mistakes.append((number, f"{self.path} row {number} ({', '.join(names)}): {sentence}"))

    def refuse_mistakes(self) -> None:
        """Raise InputError with all that is wrong, by row, or where there are no rows at all."""
        told = [sentence for _, sentence in sorted(self.mistakes, key=lambda mistake: mistake[0])]
        if len(told) > _LISTED:
            told = [*told[:_LISTED], f"... and {len(told) - _LISTED:,} more"]
        if not told and not len(self):
            told = [f"{self.path}: has a header but no rows: one row a site is expected"]
        if told:
            raise InputError(told)

    def text(self, row: int, name: str) -> str:
        """One cell of a column that the file has."""
        return self.sheet.rows[row][self.header.position[name]]

    def texts(self, name: str) -> list[str]:
        """The cells of a column; empty where the file does not have it."""
        position = self.header.position.get(name)
        return [""] * len(self) if position is None else [row[position] for row in self.sheet.rows]

    def names(self, name: str) -> list[str]:
        """Cells that hold names."""
        texts = self.texts(name)
        odd = {text for text in set(texts) if not text.isprintable()}
        if odd or (column_of(name).required and not all(texts)):
            for row, text in enumerate(texts):
                if text in odd:
                    self.mistake(row, f"{name} = {text!r}: a name on one line, without control characters")
                elif not text and column_of(name).required:
                    self.mistake(row, f"{name} is empty: {column_of(name).accepted}")
        return texts

    def whole(self, name: str) -> list[int | None]:
        """Whole numbers within the column's limits; None where empty (or wrong, which is noted)."""
        column = column_of(name)
        return self._parsed(column, self.header.called.get(name, name), self.texts(name), _within(column))

    def exact(self, name: str) -> list[Fraction | None]:
        """Exact numbers of 0 or more; None where empty (or wrong, which is noted)."""
        return self._parsed(column_of(name), self.header.called.get(name, name), self.texts(name), exact_number)

    def preferences(self) -> dict[str, list[int]]:
        """Expected first-alignment counts by candidate; empty cells are 0."""
        column = column_of(PREFERENCE + "<candidate>")
        found = {}
        for candidate, position in self.header.candidates.items():
            texts = [row[position] for row in self.sheet.rows]
            values = self._parsed(column, self.sheet.header[position], texts, _within(column))
            found[candidate] = [value or 0 for value in values]
        return found

    def _parsed(
        self, column: Column, called: str, texts: Sequence[str], parse: Callable[[str], T | None]
    ) -> list[T | None]:
        values = {text: parse(text) if text else None for text in set(texts)}  # few distinct texts, many rows
        wrong = {text for text, value in values.items() if text and value is None}
        if wrong:
            for row, text in enumerate(texts):
                if text in wrong:
                    self.mistake(row, f"{called} = {text!r}: {column.accepted}")
        return [values[text] for text in texts]


def _within(column: Column) -> Callable[[str], int | None]:
    """A parser of whole numbers within a column's limits."""

    def parse(text: str) -> int | None:
        value = whole_number(text)
        return value if value is not None and column.low <= value <= column.high else None

    return parse
