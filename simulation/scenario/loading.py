"""Load a scenario: library or file, what it extends, overrides, and every mistake explained at once.

Knows the sections only through `schema`; knows nothing of how a night is played.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from simulation.errors import InputError
from simulation.scenario.curve import read_curve
from simulation.scenario.distributions import Distribution
from simulation.scenario.schema import Roster as RosterSection
from simulation.scenario.schema import Section, Spec
from simulation.scenario.values import Assumption

if TYPE_CHECKING:
    from simulation.roster import Roster

DEFAULT_BASE = "baseline"
_CURVE = "app.backend.curve"
SET_FOR_EVERY = {"hotline.operators": "count", "hotline.nuisance": "calls_per_hour"}  # --set on a list: every entry

Document = dict[str, Any]


@dataclass(frozen=True)
class Scenario:
    """A night that can be played: the resolved document, its validated form, and its precincts."""

    name: str
    document: Document = field(repr=False)  # resolved from file, what it extends, and overrides; without `extends`
    spec: Spec = field(repr=False)
    origins: Mapping[str, str] = field(repr=False)  # dotted key -> the file and line, or the override, that set it
    folder: Path  # where relative paths start
    roster_file: Path | None = None  # given on the command line: goes before the scenario's own

    @cached_property
    def roster(self) -> Roster:
        """The precincts; read or synthesized on first use. InputError where the file does not serve."""
        from simulation import roster  # polars is slow to import

        if self.roster_file is not None:
            return roster.read(self.roster_file)
        if self.spec.roster.file is not None:
            return roster.read(self.folder / self.spec.roster.file)
        return roster.synthesize(self.spec.roster.synthesize or "iowa-2020")

    def assumptions(self) -> Iterator[Assumption]:
        """Every number that may be a range, in the order of the schema."""
        for item in _values(self.spec, ""):
            if isinstance(item, Assumption):
                yield item


def library() -> dict[str, Path]:
    """The nights that come with the product, by name."""
    folder = Path(str(files("scenarios")))
    return {path.stem: path for path in sorted(folder.glob("*.toml"), key=lambda path: path.stem)}


def load(
    name_or_file: str | Path, overrides: Mapping[str, object] | None = None, roster_file: Path | None = None
) -> Scenario:
    """A library night by name or a scenario file by path, with dotted-key overrides. InputError lists every mistake."""
    path = _find(name_or_file)
    document, origins = _extended(path, ())
    document.pop("extends", None)
    problems = []
    for key, value in (overrides or {}).items():
        problem = _override(document, origins, key, value)
        if problem:
            problems.append(problem)
    problems += _hold_curve(document, origins, Path())
    try:
        spec = Spec.model_validate(document)
    except ValidationError as error:
        problems += [_explained(detail, origins, path) for detail in error.errors(include_url=False)]
    if problems:
        raise InputError(problems)
    for _ in _values(spec, ""):
        pass  # the walk names every assumption and distribution by its key
    name = spec.run.scenario if spec.run and spec.run.scenario else path.stem
    return Scenario(name, document, spec, origins, path.parent, roster_file)


def parse_overrides(settings: tuple[str, ...]) -> dict[str, object]:
    """`KEY=VALUE` texts of the command line; a VALUE is read as TOML, and as a plain text where it is none.

    @FILE reads a list of tables from a CSV or Excel file: a column for each key, a row for each table.
    """
    overrides: dict[str, object] = {}
    problems = []
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals or not key.strip():
            problems.append(f"--set {setting}: expected KEY=VALUE, such as hotline.operators=80")
            continue
        if text.strip().startswith("@"):
            try:
                overrides[key.strip()] = _rows_of(Path(text.strip()[1:]))
            except InputError as error:
                problems += [f"--set {key.strip()}: {problem}" for problem in error.problems]
            continue
        try:
            overrides[key.strip()] = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            overrides[key.strip()] = text.strip()
    if problems:
        raise InputError(problems)
    return overrides


class _Rows(list[dict[str, object]]):
    """Tables that were the rows of a file, which knows where each stands: by index, and by index and key."""

    origins: dict[str, str]


def _rows_of(path: Path) -> _Rows:
    """The rows of a table file; whole numbers as numbers, empty cells left out, everything else as text."""
    from simulation.roster import sheets

    if path.is_file() and path.stat().st_size == 0:
        raise InputError(f"{path}: is empty: expected a header of keys, such as from,to,count, and rows below it")
    sheet = sheets.load(path)
    problems = [f"{path} row {number}: {why}" for number, why in sheet.malformed]
    twice = sorted({name for name in sheet.header if name and sheet.header.count(name) > 1})
    problems += [f"{path}: the column {name} is there twice" for name in twice]
    if problems:
        raise InputError(problems)
    found = _Rows()
    found.origins = {}
    for index, (number, cells) in enumerate(zip(sheet.numbers, sheet.rows, strict=True)):
        row = {name: _cell(cell) for name, cell in zip(sheet.header, cells, strict=True) if name and cell}
        found.append(row)
        found.origins[f"{index}"] = f"{path} row {number}"
        found.origins |= {f"{index}.{name}": f"{path} row {number}, column {name}" for name in row}
    return found


def _cell(text: str) -> object:
    from simulation.roster.columns import whole_number

    number = whole_number(text)
    return text if number is None else number


def _find(name_or_file: str | Path) -> Path:
    known = library()
    text = str(name_or_file)
    if text in known:
        return known[text]
    path = Path(text)
    if path.is_file():
        return path
    if path.suffix == ".toml" or "/" in text:
        raise InputError(f"{text}: no such scenario file")
    close = difflib.get_close_matches(text, known, n=1)
    hint = f"; did you mean {close[0]}?" if close else "."
    raise InputError(f"{text}: no such scenario{hint} The library: {', '.join(known)}. A file ends in .toml")


def _extended(path: Path, seen: tuple[Path, ...]) -> tuple[Document, dict[str, str]]:
    """The document of `path` laid over what it extends, and where each key came from."""
    if path.resolve() in seen:
        raise InputError(f"{path.name}: extends itself, by way of {', '.join(p.name for p in seen)}")
    try:
        text = path.read_text(encoding="utf-8-sig")  # some editors begin a file with a byte-order mark
        document = tomllib.loads(text)
    except UnicodeDecodeError as error:
        raise InputError(f"{path.name}: not a text file in UTF-8 (byte {error.start})") from None
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path.name}: not TOML: {error}") from None
    except OSError as error:
        raise InputError(f"{path.name}: cannot be read: {error.strerror}") from None
    lines = _key_lines(text)
    origins = {key: f"{path.name} line {_line(lines, key)}" for key in _dotted(document)}
    problems = _hold_curve(document, origins, path.parent)
    if problems:
        raise InputError(problems)
    is_root = path.resolve() == library()[DEFAULT_BASE].resolve() or "run" in document
    base = document.get("extends", None if is_root else DEFAULT_BASE)
    if base is None:
        return document, origins
    if not isinstance(base, str):
        raise InputError(f"{path.name}: extends = {base!r}: expected the name of a library night or a path")
    try:
        below = library().get(base) or _find(path.parent / base)
    except InputError:
        known = ", ".join(library())
        where = origins.get("extends", path.name)
        raise InputError(f'{where}: extends = "{base}": expected a library night ({known}) or a path') from None
    lower, lower_origins = _extended(below, (*seen, path.resolve()))
    _keep_roster_file(lower, below.parent, path.parent)
    _lay_over(lower, document, Spec)
    return lower, {**lower_origins, **origins}


def _lay_over(lower: Document, upper: Document, model: type[BaseModel]) -> None:
    """Lay `upper` over `lower` in place: tables that are sections merge, everything else is replaced.

    The roster is replaced too: precincts come from one place, and naming another unsets the first.
    """
    for key, value in upper.items():
        section = _section_of(model, key)
        merges = section is not None and section is not RosterSection
        if section and merges and isinstance(value, dict) and isinstance(lower.get(key), dict):
            _lay_over(lower[key], value, section)
        else:
            lower[key] = value


def _keep_roster_file(document: Document, here: Path, there: Path) -> None:
    """Have the roster's path, relative to the folder `here`, mean the same file from the folder `there`."""
    roster = document.get("roster")
    if here != there and isinstance(roster, dict) and isinstance(roster.get("file"), str):
        roster["file"] = Path(os.path.relpath(here / roster["file"], there)).as_posix()


def _hold_curve(document: Document, origins: Mapping[str, str], folder: Path) -> list[str]:
    """Have the document hold the response curve that it names by a path in `folder`; what is wrong with that."""
    backend: Any = document.get("app")
    backend = backend.get("backend") if isinstance(backend, dict) else None
    named = backend.get("curve") if isinstance(backend, dict) else None
    if not isinstance(named, str) or named == "none":
        return []
    try:
        backend["curve"] = read_curve(folder / named, named)
    except InputError as error:
        backend.pop("curve")
        where = origins.get(_CURVE, origins.get(_CURVE.rpartition(".")[0], "app.backend"))
        return [f"{where}: {_CURVE}: {problem}" for problem in error.problems]
    return []


def _section_of(model: type[BaseModel], key: str) -> type[BaseModel] | None:
    field = model.model_fields.get(key)
    for candidate in _members(field.annotation) if field else ():
        if isinstance(candidate, type) and issubclass(candidate, Section):
            return candidate
    return None


def _members(annotation: Any) -> tuple[Any, ...]:
    return get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)


def _override(document: Document, origins: dict[str, str], key: str, value: object) -> str | None:
    """Set a dotted key in place; a sentence where there is no such place."""
    origins[key] = f"--set {key}"
    parts = key.split(".")
    table: Any = document
    for depth, part in enumerate(parts[:-1]):
        if part not in table:
            table[part] = {}
            origins[".".join(parts[: depth + 1])] = f"--set {key}"
        below = table[part]
        if not isinstance(below, dict):
            name = ".".join(parts[: depth + 1])
            return f"--set {key}: {name} is {below!r}, not a table: set {name} as a whole"
        table = below
    if parts[:-1] == ["roster"]:
        table.clear()  # from one place: naming another unsets the first
    if isinstance(value, _Rows):
        origins |= {f"{key}.{place}": origin for place, origin in value.origins.items()}
        value = list(value)
    entries = table.get(parts[-1])
    if key in SET_FOR_EVERY and isinstance(entries, list) and not isinstance(value, list):
        table[parts[-1]] = [
            {**entry, SET_FOR_EVERY[key]: value} if isinstance(entry, dict) else entry for entry in entries
        ]
    else:
        table[parts[-1]] = value
    return None


def _explained(detail: ErrorDetails, origins: Mapping[str, str], path: Path) -> str:
    """One line: where, key, value, what would be accepted."""
    keys = [str(part) for part in detail["loc"]]
    key = ".".join(keys)
    below = (origin for k, origin in origins.items() if k.startswith(f"{key}.") and origin.startswith("--set"))
    around = (origins[k] for k in (".".join(keys[:n]) for n in range(len(keys), 0, -1)) if k in origins)
    where = next(below, None) or next(around, path.name)
    if detail["type"] == "extra_forbidden":
        return f"{where}: {key}: no such key{_nearest(keys)}"
    if detail["type"] == "missing":
        return f"{where}: {key}: is missing"
    expected = detail["msg"].removeprefix("Value error, ")
    if detail["type"] in ("model_type", "dict_type", "model_attributes_type"):
        expected = "a table of keys"
    elif detail["type"] == "literal_error":
        expected = "one of " + detail["ctx"]["expected"]
    elif detail["type"].endswith("_type"):
        expected = {"string_type": "a text", "bool_type": "true or false", "list_type": "a list"}.get(
            detail["type"], expected
        )
    value = "" if isinstance(detail["input"], dict | list) and len(repr(detail["input"])) > 80 else detail["input"]
    shown = f" = {_as_toml(value)}" if value != "" else ""
    return f"{where}: {key}{shown}: expected {expected}"


def _nearest(keys: list[str]) -> str:
    model: type[BaseModel] | None = Spec
    for part in keys[:-1]:
        if part.isdigit() or model is None:
            continue
        found = _section_of(model, part)
        if found is None:
            field = model.model_fields.get(part)
            inner = get_args(field.annotation) if field else ()
            found = inner[0] if inner and isinstance(inner[0], type) and issubclass(inner[0], Section) else None
        model = found
    if model is None:
        return ""
    known = [field.alias or name for name, field in model.model_fields.items()]
    close = difflib.get_close_matches(keys[-1], known, n=1)
    return f"; did you mean {close[0]}?" if close else f"; known here: {', '.join(known)}"


def _as_toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value)


_HEADER = re.compile(r"\s*\[\[?\s*([^\]]+?)\s*\]\]?")
_KEY = re.compile(r"""\s*([A-Za-z0-9_."'-]+)\s*=""")


def _key_lines(text: str) -> dict[str, int]:
    """The line of each key and table header, by dotted name; of several with one name the last."""
    lines: dict[str, int] = {}
    table = ""
    for number, line in enumerate(text.splitlines(), start=1):
        if header := _HEADER.match(line):
            table = header[1] + "."
            lines[header[1]] = number
        elif key := _KEY.match(line):
            lines[table + key[1]] = number
    return lines


def _line(lines: Mapping[str, int], key: str) -> int:
    while key not in lines and "." in key:
        key = key.rpartition(".")[0]
    return lines.get(key, 1)


def _dotted(document: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in document.items():
        yield prefix + key
        if isinstance(value, dict):
            yield from _dotted(value, f"{prefix}{key}.")


def _values(item: Any, key: str) -> Iterator[Assumption | Distribution]:
    """Every assumption and distribution below `item`, each given its dotted key on the way."""
    if isinstance(item, BaseModel):
        for name in type(item).model_fields:
            yield from _values(getattr(item, name), f"{key}.{name}" if key else name)
    elif isinstance(item, list):
        for index, entry in enumerate(item):
            yield from _values(entry, f"{key}.{index}")
    elif isinstance(item, Distribution):
        item.key = key
        yield item
        for name, assumption in item.parameters.items():
            assumption.key = f"{key}.{name}"
            yield assumption
    elif isinstance(item, Assumption):
        item.key = key
        yield item
