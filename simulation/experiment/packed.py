"""Rows of nights in little memory: 8 bytes a number instead of a Python object each, read like any mapping.

A statewide night takes 4 kB so. Knows nothing of what the columns mean.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any

Row = Mapping[str, Any]

_Place = int | slice  # of a whole number, or of a list of them


class PackedRow(Mapping[str, Any]):
    """A row of nights.parquet: whole numbers and lists of whole numbers, which are made anew when asked for."""

    __slots__ = ("_numbers", "_places")

    def __init__(self, row: Row) -> None:
        self._places = _layout(tuple((key, len(of) if isinstance(of, list) else None) for key, of in row.items()))
        self._numbers = array("q", _flat(row.values()))

    def __getitem__(self, key: str) -> Any:
        place = self._places[key]
        return self._numbers[place] if isinstance(place, int) else self._numbers[place].tolist()

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


@lru_cache(maxsize=64)
def _layout(keys: tuple[tuple[str, int | None], ...]) -> Mapping[str, _Place]:
    """Where each key's numbers stand: one table for all nights of a scenario."""
    places: dict[str, _Place] = {}
    at = 0
    for key, length in keys:
        places[key] = at if length is None else slice(at, at + length)
        at += 1 if length is None else length
    return MappingProxyType(places)


def _flat(values: Iterable[Any]) -> Iterator[int]:
    for value in values:
        if isinstance(value, list):
            yield from value
        else:
            yield value
