"""The reference page of scenario files, written from the schema and from what `baseline` sets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from simulation.scenario.loading import load
from simulation.scenario.schema import (
    HistoryPoint,
    HoldPoint,
    Inject,
    LoadFault,
    Nuisance,
    Outage,
    Section,
    Shift,
    Spec,
)
from simulation.scenario.values import Plain

_INTRODUCTION = """\
# Scenario files

Written from the schema by `make docs`; a test fails when it is not up to date.

A scenario is a TOML file. `caucus new FILE` writes one to start from, together with `scenario.schema.json`, by which
editors complete and check keys. What a file does not say comes from the night that it `extends`, in the end from
`baseline`: sections are laid over each other key by key; lists, distributions and ranges are replaced as a whole.
`--set KEY=VALUE` on the command line overrides the file: `--set hotline.operators=80` sets every shift,
`--set 'app.tries={ low = 0.2, high = 0.3 }'` a range.

## Kinds of values

| kind | written as |
|---|---|
| clock time | `"19:00"`, `"19:00:30"`, `"+1d 16:00"` for the day after |
| duration | `"45 s"`, `"1.5 h"`: ms, s, min, h, d |
| share | `0.2`: between 0 and 1 |
| factor | `1.3`: above 0 |
| count | `50`: a whole number |
| capacity | `"0.5 nights"`: of a backend, in the busiest minutes of so many caucus nights |
| response curve | `"curve.json"`, which `caucus loadtest` writes, or its content as a table |
| ... or range | the value, `{ value = 0.2, source = "..." }`, or an assumption `{ low, high, source }` |
| distribution of ... | `{ lognormal = { mean = "45 s", cv = 0.6 }, source = "..." }`, or a plain value: a constant |
| ... or none | the value, or `"none"` |

An assumption is drawn once a night, evenly between low and high; `--fixed` holds it at its middle. A distribution's
parameters may be assumptions; `at_least` and `at_most` clip what it gives.

Distributions: `constant { value }`, `uniform { low, high }`, `triangular { low, mode, high }`, `exponential { mean }`,
`lognormal { mean, cv }`, `gamma { mean, cv }`, `beta { a, b }` (of shares), `empirical = [smallest, ..., largest]`
(equally spaced quantiles). `cv` is the coefficient of variation.

Sources in the library: S news reports of the 2020 caucuses, P public press or party text, C computed from the
published precinct results, J our judgment, to be varied.
"""


def markdown() -> str:
    """The whole page."""
    baseline = load("baseline").document
    parts = [_INTRODUCTION, "## The file\n", _table(Spec, "", baseline)]
    for key, section in _sections(Spec, ""):
        parts.append(f"## [{key}]\n\n{section.__doc__}\n\n{_table(section, key, baseline)}")
    entries = (Outage, Shift, Nuisance, LoadFault, Inject, HistoryPoint, HoldPoint)
    parts.append("## Entries of lists\n")
    parts.extend(f"### {entry.__name__}\n\n{entry.__doc__}\n\n{_table(entry, '', {})}" for entry in entries)
    return "\n".join(part.rstrip() + "\n" for part in parts)


def _sections(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, type[BaseModel]]]:
    for name, field in model.model_fields.items():
        section = _section(field)
        if section:
            key = f"{prefix}.{name}" if prefix else name
            yield key, section
            yield from _sections(section, key)


def _section(field: FieldInfo) -> type[BaseModel] | None:
    for candidate in (field.annotation, *get_args(field.annotation)):
        is_list = get_origin(field.annotation) is list
        if isinstance(candidate, type) and issubclass(candidate, Section) and not is_list:
            return candidate
    return None


def _table(model: type[BaseModel], prefix: str, baseline: dict[str, Any]) -> str:
    rows = ["| key | kind | in `baseline` | meaning |", "|---|---|---|---|"]
    if model is Spec:
        rows.append(
            "| `extends` | name or path | | The night that this one builds on: a library night, or a path relative to "
            "this file. Without it: `baseline`. |"
        )
    for name, field in model.model_fields.items():
        if _section(field):
            continue
        key = field.alias or name
        held = _at(baseline, f"{prefix}.{key}" if prefix else key)
        shown = "" if held is None or (not prefix and isinstance(held, str | list)) else f"`{toml_value(held)}`"
        rows.append(f"| `{key}` | {_kind(field)} | {shown} | {field.description} |")
    return "\n".join(rows) + "\n"


def _kind(field: FieldInfo) -> str:
    for item in field.metadata:
        if isinstance(item, Plain):
            return item.name
    annotation = field.annotation
    if get_origin(annotation) in (Union, UnionType):
        annotation = next(option for option in get_args(annotation) if option is not NoneType)
    if get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if get_origin(annotation) is Literal:
        return "one of " + ", ".join(f"`{value}`" for value in get_args(annotation))
    if get_origin(annotation) is list:
        inner = get_args(annotation)[0]
        return f"list of {inner.__name__} entries" if hasattr(inner, "model_fields") else "list of texts"
    if get_origin(annotation) is dict:
        return "table"
    return {str: "text", bool: "true or false", int: "count"}[annotation]  # type: ignore[index]  # nothing else is left


def _at(document: Any, key: str) -> Any:
    for part in key.split("."):
        document = document.get(part) if isinstance(document, dict) else None
    return document


def toml_value(value: Any) -> str:
    """A value as it is written on one line of a TOML file."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {toml_value(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(toml_value(item) for item in value) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else str(value)
