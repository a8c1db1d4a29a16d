"""The fields of a report laid out as a sheet: a row for each group, a column for each part."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from simulation.rehearsal.view import Field, Text

_CELL = re.compile(r"(first|final|delegates)-(\d+)")


@dataclass(frozen=True, slots=True)
class Sheet:
    """Fields that stand side by side."""

    columns: tuple[Text | str, ...]
    rows: tuple[tuple[Text | str, tuple[Field, ...]], ...]  # a group and its fields, one for each column


def sheet(fields: Iterable[Field]) -> tuple[tuple[Field, ...], Sheet | None]:
    """The fields that stand alone, and a sheet of the others, where there are any."""
    alone: list[Field] = []
    columns: dict[str, Text | str] = {}
    rows: dict[str, tuple[Text | str, list[Field]]] = {}
    for field in fields:
        cell = _CELL.fullmatch(field.name)
        part, group = field.label.values.get("part"), field.label.values.get("group")
        if cell is None or part is None or group is None:
            alone.append(field)
            continue
        columns.setdefault(cell[1], part)
        rows.setdefault(cell[2], (group, []))[1].append(field)
    made = tuple((name, tuple(cells)) for name, cells in rows.values())
    if not made or any(len(cells) != len(columns) for _, cells in made):
        return (*alone, *(field for _, cells in made for field in cells)), None
    return tuple(alone), Sheet(tuple(columns.values()), made)
