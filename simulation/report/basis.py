"""Chapter: what the numbers rest on: the scenario in full, the seed, the versions, and how to repeat the run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from simulation.report.forecast import Forecast
from simulation.scenario import Scenario, load
from simulation.scenario.curve import curve_in_words, is_curve
from simulation.scenario.loading import DEFAULT_BASE
from simulation.scenario.schema import Section, Spec

FINDING = "One file and one command repeat every number on this page"
RUN_FILE = "run.toml"  # beside the page
COMMAND = f"caucus simulate {RUN_FILE}"
TOLD_ELSEWHERE = ("title", "story", "sources", "run")  # keys that stand at the top of the page or beside the table
PARTS = ("value", "low", "high")


@dataclass(frozen=True)
class Entry:
    """One key of the scenario."""

    key: str
    meaning: str
    value: str
    source: str
    origin: str  # the file and line, or the override, that set it
    own: bool  # not as in the library night that every other one extends


def sections(scenario: Scenario) -> list[tuple[str, str, list[Entry]]]:
    """Every section with what it is about and its keys, in the order of the schema."""
    usual = dict(_flat(load(DEFAULT_BASE).document, Spec, "")) if scenario.name != DEFAULT_BASE else {}
    found: dict[str, tuple[str, str, list[Entry]]] = {}
    meanings = {name: _first_line(field.annotation) for name, field in Spec.model_fields.items()}
    for key, (value, meaning) in _flat(scenario.document, Spec, ""):
        section = key.partition(".")[0]
        if section in TOLD_ELSEWHERE:
            continue
        text, source = shown(value)
        own = bool(usual) and (key not in usual or usual[key][0] != value)
        entry = Entry(key, meaning, text, source, _origin(scenario.origins, key), own)
        found.setdefault(section, (section, meanings.get(section, ""), []))[2].append(entry)
    order = list(Spec.model_fields)
    return sorted(found.values(), key=lambda item: order.index(item[0]))


def _flat(document: Mapping[str, Any], model: type[BaseModel], prefix: str) -> Iterator[tuple[str, tuple[Any, str]]]:
    """Every key that is no section: dotted, with its value and what the schema says of it."""
    fields = {field.alias or name: field for name, field in model.model_fields.items()}
    for key, value in document.items():
        field = fields.get(key)
        inner = _section(field.annotation) if field else None
        if inner is not None and isinstance(value, dict):
            yield from _flat(value, inner, f"{prefix}{key}.")
        else:
            yield prefix + key, (value, (field.description or "") if field else "")


def _section(annotation: Any) -> type[Section] | None:
    for candidate in (annotation, *getattr(annotation, "__args__", ())):
        if isinstance(candidate, type) and issubclass(candidate, Section):
            return candidate
    return None


def _first_line(annotation: Any) -> str:
    section = _section(annotation)
    return (section.__doc__ or "").strip().splitlines()[0] if section else ""


def shown(value: Any) -> tuple[str, str]:
    """A value of the document as text, and the source that stands with it."""
    sources: list[str] = []
    text = _text(value, sources)
    return text, "; ".join(dict.fromkeys(sources))


def _text(value: Any, sources: list[str]) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return "\n".join(_text(item, sources) for item in value) if value else "none"
    if is_curve(value):
        return curve_in_words(value)
    if not isinstance(value, dict):
        return f"{value:,}" if isinstance(value, int) else str(value)
    rest = dict(value)
    source = rest.pop("source", None)
    if isinstance(source, str):
        sources.append(source)
    if set(rest) == {"value"}:
        return _text(rest["value"], sources)
    if set(rest) == {"low", "high"}:
        return f"{_text(rest['low'], sources)} to {_text(rest['high'], sources)}"
    parts = []
    for name, item in rest.items():
        inner = _text(item, sources)
        parts.append(f"{name} ({inner})" if isinstance(item, dict) and not _is_range(item) else f"{name} {inner}")
    return ", ".join(parts)


def _is_range(item: Mapping[str, Any]) -> bool:
    return set(item) - {"source"} <= set(PARTS)


def _origin(origins: Mapping[str, str], key: str) -> str:
    while key not in origins and "." in key:
        key = key.rpartition(".")[0]
    return origins.get(key, "")


def facts(forecast: Forecast) -> list[tuple[str, list[str]]]:
    """What else shaped the run, as terms with their texts."""
    run, scenario, roster = forecast.run, forecast.scenario, forecast.scenario.roster
    luck = (
        "every assumption held at its middle (--fixed); only people, calls and mistakes vary"
        if run["fixed"]
        else "each night draws every assumption that is a range anew, then people, calls and mistakes"
    )
    return [
        ("scenario", [str(forecast.summary["scenario"])]),
        ("seed", [str(run["seed"])]),
        ("nights", [str(run["nights"])]),
        ("luck", [luck]),
        ("engine", [str(run["engine"])]),
        ("precincts", [roster.source, *roster.notes]),
        ("roster's fingerprint", [f"SHA-256 {roster.sha256}"]),
        ("result's fingerprint", [f"{forecast.summary['logical_hash']} (the same wherever these nights are played)"]),
        ("versions", [f"{name} {version}" for name, version in sorted(run["versions"].items())]),
        ("sources", list(scenario.spec.sources)),
    ]
