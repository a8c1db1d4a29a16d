"""The numbers of a scenario that are ranges, as people read and write them: meaning, source, unit, and narrower.

Knows the schema and the document; nothing of how a night is played or of what a range is narrowed by.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, get_args

from pydantic import BaseModel

from simulation.scenario import Scenario
from simulation.scenario.distributions import FAMILIES, PURE, Distributed
from simulation.scenario.schema import Section, Spec
from simulation.scenario.values import (
    CLOCK,
    DURATION,
    FACTOR,
    FACTOR_UNIT,
    FULL_SHARE,
    MINUTE,
    SHARE,
    Plain,
    Unit,
    format_clock,
)

POSITIONS = 1 << 32  # a position within a range is a whole number below
MIDDLE = POSITIONS // 2
_DIGITS = 3  # significant ones of a number that is found, not given: more would claim to know more


@dataclass(frozen=True)
class Ranged:
    """An assumption that is a range. `place` is the way to it through the document, `field` the key that holds it."""

    key: str
    low: int
    high: int
    unit: Unit
    meaning: str  # a phrase without a full stop
    source: str
    field: str
    place: tuple[str | int, ...]
    given: Mapping[str, Any]  # { low, high } as the scenario has them

    def value(self, position: float) -> int:
        """The value at a position."""
        return self.low + int((self.high - self.low + 1) * position) // POSITIONS

    def written(self, value: int) -> Any:
        """The value as a scenario file holds it, rounded to what anybody can know, and never outside the range."""
        text = _written(value, self.unit, str(self.given["high"]))
        if self.unit.parse(text) < self.low:
            return self.given["low"]
        return self.given["high"] if self.unit.parse(text) > self.high else text

    def shown(self, value: int) -> str:
        """The value for people."""
        return shown(self.written(value), self.unit)

    @property
    def range(self) -> str:
        """The range for people."""
        return " to ".join(shown(self.given[end], self.unit) for end in ("low", "high"))


def shown(value: Any, unit: Unit) -> str:
    """A value of a document for people: shares in percent."""
    if unit == SHARE:
        return f"{(Decimal(str(value)) * 100).normalize():f} %"
    return f"{value:,}" if isinstance(value, int) else str(value)


def ranged(scenario: Scenario) -> list[Ranged]:
    """Every number of the scenario that is a range, in the order of the schema."""
    found = []
    for assumption in scenario.assumptions():
        if assumption.is_known:
            continue
        unit, meaning, field, place = _described(scenario, assumption.key)
        given, source = _at(scenario.document, place), ""
        for depth in range(len(place), 0, -1):  # the nearest source: the number's own, or its distribution's
            holder = _at(scenario.document, place[:depth])
            if isinstance(holder, dict) and isinstance(holder.get("source"), str):
                source = holder["source"]
                break
        found.append(
            Ranged(assumption.key, assumption.low, assumption.high, unit, meaning, source, field, place, given)
        )
    return found


def changed(scenario: Scenario, changes: Mapping[tuple[str | int, ...], Any]) -> Scenario:
    """The scenario with other values at places of its document."""
    document = copy.deepcopy(scenario.document)
    for place, value in changes.items():
        holder: Any = document
        for part in place[:-1]:
            holder = holder.setdefault(part, {}) if isinstance(part, str) and part not in holder else holder[part]
        holder[place[-1]] = value
    found = replace(scenario, document=document, spec=Spec.model_validate(document))
    for _ in found.assumptions():
        pass  # the walk names every assumption by its key
    return found


def field_of(key: str) -> str:
    """The part of a dotted key that names a value of the schema: what is below it belongs to that value."""
    model: type[BaseModel] | None = Spec
    names: list[str] = []
    for part in key.split("."):
        fields = {about.alias or name: about for name, about in model.model_fields.items()} if model else {}
        if part not in fields:
            break
        names.append(part)
        below = _section(fields[part].annotation)
        if below is None:
            break
        model = below
    return ".".join(names)


def _described(scenario: Scenario, key: str) -> tuple[Unit, str, str, tuple[str | int, ...]]:
    """Unit, meaning, field and place of the assumption `key`."""
    model: type[BaseModel] = Spec
    place: list[str | int] = []
    where = ""
    parts = key.split(".")
    for depth, part in enumerate(parts):
        if part.isdigit():
            place.append(int(part))
            entry = _at(scenario.document, tuple(place))
            where = f", {entry['from']} to {entry['to']}" if isinstance(entry, dict) and "from" in entry else ""
            continue
        field = model.model_fields[part]
        place.append(field.alias or part)
        below = _section(field.annotation)
        if below is not None:
            model = below
            continue
        names = [name for name in place if isinstance(name, str)]
        held = names[: next((i for i, name in enumerate(place) if isinstance(name, int)), len(names))]
        meaning = (field.description or part).split(".")[0].split(":")[0]
        plain = next(item for item in field.metadata if isinstance(item, Plain))
        unit = plain.unit
        if isinstance(plain, Distributed):
            parameter, value = parts[depth + 1], _at(scenario.document, tuple(place))
            family = next((name for name in FAMILIES if isinstance(value, dict) and name in value), None)
            if family is not None:
                place += [family, parameter]
                unit = unit if FAMILIES[family].parameters[parameter] else PURE
                said = {"cv": "coefficient of variation"}.get(parameter, parameter)
                meaning = f"{meaning} ({said})"
        return unit, meaning + where, ".".join(held), tuple(place)
    raise KeyError(key)


def _section(annotation: Any) -> type[Section] | None:
    for candidate in (annotation, *get_args(annotation)):
        if isinstance(candidate, type) and issubclass(candidate, Section):
            return candidate
    return None


def _at(document: Any, place: tuple[str | int, ...]) -> Any:
    for part in place:
        document = document[part]
    return document


def _written(value: int, unit: Unit, like: str) -> Any:
    """`like` another value of the range: in the same unit of time."""
    if unit == CLOCK:
        return format_clock((value + MINUTE // 2) // MINUTE * MINUTE)
    if unit == DURATION:
        name = like.lstrip("0123456789.").strip()
        return f"{_rounded(Decimal(value) / DURATION.parse(f'1 {name}')):f} {name}"
    if unit == SHARE:
        return float(_rounded(Decimal(value) / FULL_SHARE))
    if unit in (FACTOR_UNIT, PURE):
        return float(_rounded(Decimal(value) / FACTOR))
    return value


def _rounded(number: Decimal) -> Decimal:
    if not number:
        return Decimal(0)
    found = round(number, _DIGITS - 1 - number.adjusted()).normalize()
    return found if found.as_tuple().exponent <= 0 else found.quantize(Decimal(1))  # type: ignore[operator]  # finite
