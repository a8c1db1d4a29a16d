"""Scenarios in words, for the reader at a terminal: the library, one night key by key, a file to begin with.

Knows scenarios and rosters; nothing of how a night is played.
"""

from __future__ import annotations

import json
import os
import re
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from simulation.errors import InputError
from simulation.scenario import Scenario, json_schema, library, load
from simulation.scenario.curve import curve_in_words, is_curve
from simulation.scenario.schema import Section, Spec

SCHEMA_FILE = "scenario.schema.json"
WIDTH = 100
_INDENT = " " * 6
_ABOUT = ("title", "story", "sources", "run")  # shown apart from the keys that shape the night


@dataclass(frozen=True)
class Key:
    """A key of a resolved scenario: its dotted name, value, what it means, and what set it."""

    name: str
    value: Any
    meaning: str
    set_by: str

    @property
    def table(self) -> str:
        return self.name.rpartition(".")[0]


# The library


def library_json() -> list[dict[str, str]]:
    """Name, title and story of each night that comes with the product."""
    nights = ((name, load(name)) for name in library())
    return [{"name": name, "title": night.spec.title, "story": night.spec.story} for name, night in nights]


def library_text() -> str:
    """Each night in a line or two: name, title, the first sentence of its story."""
    nights = library_json()
    width = max(len(night["name"]) for night in nights) + 2
    lines = [
        textwrap.fill(
            f"{night['title']}. {_first_sentence(night['story'])}",
            WIDTH,
            initial_indent=night["name"].ljust(width),
            subsequent_indent=" " * width,
        )
        for night in nights
    ]
    return "\n".join([*lines, "", "`caucus scenarios NAME` shows one of them key by key."])


# One night


def keys(scenario: Scenario) -> list[Key]:
    """Every key that shapes the night, in the order of the schema."""
    found = []
    for name, value, field in _keys(scenario.document, Spec, ""):
        if name.partition(".")[0] not in _ABOUT:
            found.append(Key(name, value, field.description or "", _set_by(scenario, name)))
    return found


def night_json(scenario: Scenario) -> dict[str, Any]:
    """The resolved night: story, sources, and every key with its value and what set it."""
    spec = scenario.spec
    return {
        "name": scenario.name,
        "title": spec.title,
        "story": spec.story,
        "sources": list(spec.sources),
        "keys": [{"key": key.name, "value": key.value, "set_by": key.set_by} for key in keys(scenario)],
    }


def night_text(scenario: Scenario) -> str:
    """The resolved night to read: a heading a table; of each key its value, meaning, source, and what set it."""
    spec = scenario.spec
    lines = [_heading(f"{spec.title} ({scenario.name})"), "", textwrap.fill(spec.story, WIDTH), ""]
    if spec.sources:
        lines += ["Sources", *(_wrapped(f"- {source}", "  ") for source in spec.sources), ""]
    lines += [textwrap.fill("A range is drawn evenly, once a night; --fixed holds it at its middle.", WIDTH)]
    table = None
    for key in keys(scenario):
        if key.table != table:
            table = key.table
            lines += ["", _heading(f"[{table}]")]
        short = key.name.rpartition(".")[2]
        value, sources = _in_words(key.value), ", ".join(_sources(key.value))
        if isinstance(key.value, list) and key.value and isinstance(key.value[0], dict):
            lines += [f"  {short} ="] + [_wrapped(f"- {_in_words(entry)}", "    ") for entry in key.value]
        else:
            lines.append(_wrapped(f"{short} = {value}", "  "))
        lines.append(_wrapped(key.meaning, _INDENT))
        lines.append(_wrapped(f"{sources} ({key.set_by})" if sources else f"({key.set_by})", _INDENT))
    return "\n".join(lines)


def _keys(document: Mapping[str, Any], model: type[BaseModel], prefix: str) -> Iterator[tuple[str, Any, FieldInfo]]:
    """(dotted name, value, field) of each key that the document sets, tables of tables opened."""
    for attribute, field in model.model_fields.items():
        name = field.alias or attribute
        if name not in document:
            continue
        below = _section(field)
        if below is not None and isinstance(document[name], Mapping):
            yield from _keys(document[name], below, f"{prefix}{name}.")
        else:
            yield prefix + name, document[name], field


def _section(field: FieldInfo) -> type[Section] | None:
    for found in (field.annotation, *get_args(field.annotation)):
        if isinstance(found, type) and issubclass(found, Section) and get_args(field.annotation)[:1] != (list,):
            return found
    return None


def _set_by(scenario: Scenario, name: str) -> str:
    while name not in scenario.origins and "." in name:
        name = name.rpartition(".")[0]
    return scenario.origins.get(name, "")


def _in_words(value: Any) -> str:
    """A value as one reads it: ranges as "0.35 to 0.45", distributions as "lognormal (mean 45 s, cv 0.6)"."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ", ".join(map(_in_words, value)) if value else "none"
    if not isinstance(value, Mapping):
        return f"{value:,}" if isinstance(value, int) else str(value)
    if is_curve(value):
        return curve_in_words(value)
    said = {key: item for key, item in value.items() if key != "source"}
    if set(said) == {"low", "high"}:
        return f"{_in_words(said['low'])} to {_in_words(said['high'])}"
    if set(said) == {"value"}:
        return _in_words(said["value"])
    return ", ".join(
        f"{key.replace('_', ' ')} ({_in_words(item)})"
        if isinstance(item, dict) and set(item) - {"low", "high", "value", "source"}
        else f"{key.replace('_', ' ')} {_in_words(item)}"
        for key, item in said.items()
    )


def _sources(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        if isinstance(value.get("source"), str):
            yield value["source"]
        for item in value.values():
            yield from _sources(item)
    elif isinstance(value, list):
        for item in value:
            yield from _sources(item)


# Validation


def checked_json(scenario: Scenario) -> dict[str, Any]:
    """What a scenario without mistakes comes to: its sites and people, and what was derived or ignored."""
    roster = scenario.roster
    return {
        "ok": True,
        "scenario": scenario.name,
        "title": scenario.spec.title,
        "sites": len(roster),
        "people": _people(scenario),
        "roster": roster.source,
        "notes": list(roster.notes),
        "problems": [],
    }


def checked_text(scenario: Scenario) -> str:
    """The same in a line, and a line a note."""
    found = checked_json(scenario)
    line = f"OK: {found['title']} ({found['scenario']}): {found['sites']:,} sites, {found['people']:,} people expected"
    return "\n".join([f"{line}, from {found['roster']}", *(f"- {note}" for note in found["notes"])])


def _people(scenario: Scenario) -> int:
    people = scenario.spec.turnout.people
    return int(scenario.roster.attendance.sum()) if people is None else people


# A file to begin with

_EXAMPLES: dict[str, dict[str, Any]] = {  # what planners change first; None: as the night has it that is extended
    "roster": {"file": "my-precincts.csv"},
    "turnout": {"people": 200_000},
    "checkin": {"stations": 3, "missing_from_list": None},
    "chairs": {"missing": None, "untrained": None},
    "app": {"tries": None, "installed": None, "outages": [{"from": "20:15", "to": "21:00"}]},
    "hotline": {"lines": None, "operators": None},
    "headquarters": {"reviewers": None},
}


def new_file(path: Path, base: str) -> list[Path]:
    """Write a scenario that extends `base`, and the schema that editors check it by; returns both paths.

    A schema that an earlier version wrote is renewed. InputError where the scenario is there already, is not called
    .toml, or cannot be written, and where another file has the schema's name.
    """
    if path.suffix != ".toml":
        raise InputError(f"{path}: a scenario file ends in .toml")
    scenario = load(base)
    below = base if base in library() else Path(os.path.relpath(base, path.parent)).as_posix()
    schema = path.parent / SCHEMA_FILE
    try:
        if schema.exists() and not _is_our_schema(schema):
            raise InputError(
                f"{schema}: is no schema of scenarios, and nothing is overwritten: move it, then try again"
            )
        with path.open("x", encoding="utf-8") as file:
            file.write(_template(scenario, below))
        schema.write_text(json.dumps(json_schema(), indent=2) + "\n", encoding="utf-8")
    except FileExistsError:
        raise InputError(f"{path}: is there already, and nothing is overwritten: choose another name") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror}") from None
    return [path, schema]


def _is_our_schema(path: Path) -> bool:
    """Whether the file is a schema of scenarios, of this version or of another."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:  # no JSON, or no text
        return False
    ours = json_schema()
    return isinstance(found, dict) and all(found.get(key) == ours[key] for key in ("$schema", "title", "type"))


def _template(scenario: Scenario, base: str) -> str:
    lines = [
        f"#:schema ./{SCHEMA_FILE}",
        f"# A night that says only what differs from {base}. `caucus scenarios {scenario.name}` shows every key with",
        "# its value and source; `caucus check` on this file explains every mistake in it.",
        f"extends = {_toml(base)}",
        'title = "My night"',
        'story = "What happens in this night, in a sentence or two."',
        "",
        "# What people change first. Remove the marks in front of a line, and of the [table] above it, to set it.",
        "# A number that nobody knows is a range, drawn once a night: { low = 0.1, high = 0.2 }.",
    ]
    for table, examples in _EXAMPLES.items():
        lines += ["", f"# [{table}]"]
        shown = {
            key: example if example is not None else scenario.document[table].get(key)
            for key, example in examples.items()
        }
        lines += [line for key, value in shown.items() if value is not None for line in _marked(key, value)]
    return "\n".join(lines) + "\n"


def _marked(key: str, value: Any) -> list[str]:
    """`key = value` as comments; a list of tables with a line each."""
    if isinstance(value, list) and value:
        return [f"# {key} = [", *(f"#   {_toml(item)}," for item in value), "# ]"]
    return [f"# {key} = {_toml(value)}"]


def _toml(value: Any) -> str:
    """A value on one line of TOML."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:_}"
    return json.dumps(value, ensure_ascii=False)  # texts, floats and booleans are written alike in both


# Words


def _first_sentence(text: str) -> str:
    return re.split(r"(?<=[.!?])\s", " ".join(text.split()), maxsplit=1)[0]


def _heading(text: str) -> str:
    import click

    return click.style(text, bold=True)


def _wrapped(text: str, indent: str) -> str:
    return textwrap.fill(text, WIDTH, initial_indent=indent, subsequent_indent=indent + "  ")
