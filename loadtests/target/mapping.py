"""A reporting backend described in TOML: which request each operation is, and how its answer reads.

`reference.toml` describes ours in the same words, so that there is one way to speak to any backend. Sends nothing.
"""

from __future__ import annotations

import csv
import difflib
import hashlib
import importlib
import inspect
import json
import os
import re
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from loadtests.contract import OPERATIONS, STEP_NAMES, Ask, Backend, Operation, Outcome, Reply, Request, Verdict
from loadtests.target.extraction import MISSING, Condition, Document, Rows, Taking, condition, rows, taking
from loadtests.target.guards import Redaction, identification
from loadtests.target.templates import Compiler, Scope, Table, Text, structure
from simulation.errors import InputError

REFERENCE = Path(__file__).with_name("reference.toml")
SECRETS = "CAUCUS_TARGET_"  # what the environment's names of secrets begin with

_SETTINGS = ("name", "sites", "groups", "headers", "signed_in")
_BODIES = ("json", "form", "multipart", "text", "raw")
_KEYS = (
    *("method", "path", "query", "headers", *_BODIES, "row", "content_type"),
    *("accepted", "busy", "refused_when", "replayed", "extract", "problem", "steps"),
)
_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")

_WRITTEN = frozenset({"version", "state", "content_sha256", "recorded_at"})
_COUNTS = frozenset({"first_alignment", "final", "delegates"})
_FIGURES = _COUNTS | {"attendees"}
_ROW = frozenset({"site", "step", "key", "user", "content_sha256", "version", "at", "state"}) | _FIGURES
_EXTRACTED: dict[Operation, frozenset[str]] = {  # what anybody reads; at log-in any name will do
    "resume": _FIGURES | {"state", "version", "next"},
    "review.list": frozenset({"reports", "next"}),
    "results": _FIGURES | {"release", "held", "sites", "counties"},
    "results.county": _FIGURES | {"release", "sites"},
    "results.site": _FIGURES | {"release", "version"},
    "stored": frozenset({"records", "next"}),
}
_IN_ROWS = {  # what a row of each may give; the first is what it cannot do without
    "reports": ("site", "version", "state", "approved_by", "entries", *sorted(_FIGURES)),
    "entries": ("by", *sorted(_FIGURES)),
    "records": ("site", *sorted(_ROW - {"site"})),
    "sites": ("site", "version", *sorted(_FIGURES)),
    "counties": ("county",),
}


@dataclass(frozen=True, slots=True)
class _Multipart:
    """The fields of a multipart body: text, or the name that the photo's file has."""

    fields: tuple[tuple[str, Text, bool], ...]


@dataclass(frozen=True, slots=True)
class _Call:
    """One operation of a mapping."""

    method: str
    path: Text
    query: Table
    headers: tuple[tuple[str, Text], ...]
    kind: str  # one of _BODIES, or "" for no body
    body: Any
    row: Text | None
    content_type: str
    accepted: frozenset[int]
    busy: frozenset[int]
    refused_when: Condition | None
    replayed: Condition | None
    extract: Mapping[str, Taking | Rows]
    problem: Taking | None
    steps: Mapping[str, str]


class Mapped:
    """A backend as a mapping describes it."""

    def __init__(
        self,
        name: str,
        calls: Mapping[Operation, _Call],
        signed_in: tuple[tuple[str, Text], ...],
        names: Mapping[str, str],
        site_names: Mapping[str, str],
        run_id: str,
        secrets: Mapping[str, str],
    ) -> None:
        self.name = name
        self.operations: frozenset[Operation] = frozenset(calls)
        self._calls = calls
        self._signed_in = signed_in
        self._names = names
        self._site_names = site_names
        self._run_id = run_id
        self._secrets = secrets
        self._redaction = Redaction(secrets)
        self._identification = identification(run_id)
        self._groups = {theirs: ours for ours, theirs in names.items()}
        self._sites = {theirs: ours for ours, theirs in site_names.items()}

    def build(self, operation: Operation, ask: Ask) -> Request:
        """The request of an operation, marked with the run's id."""
        call = self._calls[operation]
        scope = Scope(ask, self._run_id, self._secrets, self._names, self._site_names)
        headers = dict(self._identification)
        body = _body(call, scope, headers)
        if ask.session is not None:
            headers |= {name: value.in_header(scope) for name, value in self._signed_in}
        for name, value in call.headers:
            said = value.in_header(scope)
            if said:  # an optional value that is not there leaves its header out
                headers[name] = said
        path = call.path.in_path(scope)
        query = structure(call.query, scope)
        if query:
            path += ("&" if "?" in path else "?") + urlencode(query, doseq=True)
        return Request(call.method, path, headers, body, operation)

    def read(self, operation: Operation, reply: Reply) -> Outcome:
        """What the reply to an operation means; its values are taken out of it when somebody looks at them."""
        call = self._calls[operation]
        document = Document(reply)
        verdict = _verdict(call, document, reply.status)
        if verdict == "accepted":
            replayed = call.replayed is not None and call.replayed.holds(document)
            return Outcome(verdict, reply.status, replayed, None, _Taken(call, document, self._groups, self._sites))
        said = MISSING if call.problem is None else call.problem.take(document)
        problem = f"HTTP {reply.status}" + (f": {' '.join(str(said).split())[:300]}" if said is not MISSING else "")
        return Outcome(verdict, reply.status, False, _retry_after_s(reply), {}, self._redaction.text(problem))

    def extracts(self, operation: Operation) -> frozenset[str]:
        """The names that an accepted answer is expected to give."""
        return frozenset(self._calls[operation].extract)


class _Taken(Mapping[str, object]):
    """What an answer gives: taken when it is first looked at, because most answers never are."""

    def __init__(self, call: _Call, document: Document, groups: Mapping[str, str], sites: Mapping[str, str]) -> None:
        self._call, self._document = call, document
        self._groups, self._sites = groups, sites
        self._found: dict[str, object] | None = None

    def _values(self) -> dict[str, object]:
        if self._found is None:
            taken = {name: how.take(self._document) for name, how in self._call.extract.items()}
            self._found = {name: self._meant(name, value) for name, value in taken.items() if value is not MISSING}
        return self._found

    def _meant(self, name: str, value: Any) -> Any:
        """A value in the scenario's words: groups and sites by their names there."""
        if name in _COUNTS:
            return _counted(value, self._groups)
        if name == "site":
            return self._sites.get(str(value), str(value))
        if name == "step":
            return self._call.steps.get(str(value), str(value))
        if name in _IN_ROWS and isinstance(value, list):
            return [{inner: self._meant(inner, one) for inner, one in row.items()} for row in value]
        return value

    def __getitem__(self, name: str) -> object:
        return self._values()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values())

    def __len__(self) -> int:
        return len(self._values())


def _counted(value: Any, groups: Mapping[str, str]) -> dict[str, int] | None:
    """Counts by group, from an object or from rows with `group` and `count`; None where they cannot be read."""
    try:
        if isinstance(value, Mapping):
            return {groups.get(str(group), str(group)): int(count) for group, count in value.items()}
        return {groups.get(str(row["group"]), str(row["group"])): int(row["count"]) for row in value}
    except (TypeError, ValueError, KeyError):
        return None


def _verdict(call: _Call, document: Document, status: int) -> Verdict:
    if status in call.busy:
        return "busy"
    if status in call.accepted:
        refused = call.refused_when is not None and call.refused_when.holds(document)
        return "refused" if refused else "accepted"
    return "unclear" if status >= 500 or status == 408 else "refused"


def _retry_after_s(reply: Reply) -> float | None:
    said = reply.headers.get("retry-after", "").strip()
    if said.isascii() and said.isdigit():
        return float(said)
    try:
        due = parsedate_to_datetime(said)
        now = parsedate_to_datetime(reply.headers.get("date", ""))
        return max(0.0, (due - now).total_seconds())
    except (TypeError, ValueError):
        return None


def _body(call: _Call, scope: Scope, headers: dict[str, str]) -> bytes | None:
    """The body, and its media type into the headers."""
    match call.kind:
        case "json":
            headers["Content-Type"] = call.content_type or "application/json"
            return json.dumps(structure(call.body, scope), ensure_ascii=False, separators=(",", ":")).encode()
        case "form":
            headers["Content-Type"] = "application/x-www-form-urlencoded"
            return urlencode(structure(call.body, scope), doseq=True).encode()
        case "text":
            headers["Content-Type"] = call.content_type
            text: Text = call.body
            made = text.in_xml(scope, call.row) if "xml" in call.content_type else text.in_plain(scope, call.row)
            return made.encode()
        case "multipart":
            boundary = hashlib.sha256(scope.ask.photo + scope.ask.key.encode()).hexdigest()
            headers["Content-Type"] = f"multipart/form-data; boundary={boundary}"
            return _multipart(call.body, scope, boundary)
        case "raw":
            headers["Content-Type"] = call.content_type or scope.ask.photo_type
            return scope.ask.photo
        case _:
            return None


def _multipart(body: _Multipart, scope: Scope, boundary: str) -> bytes:
    pieces: list[bytes] = []
    for name, value, is_photo in body.fields:
        said = value.in_header(scope) if is_photo else value.rendered(scope, str)
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"'
        if is_photo:
            file_name = said.replace("\\", "_").replace('"', "_")
            head += f'; filename="{file_name}"\r\nContent-Type: {scope.ask.photo_type}'
        pieces += [head.encode(), b"\r\n\r\n", scope.ask.photo if is_photo else said.encode(), b"\r\n"]
    return b"".join([*pieces, f"--{boundary}--\r\n".encode()])


# Reading a file


def target_backend(mapping: Path | None, target_class: str | None, run_id: str, groups: Sequence[str] = ()) -> Backend:
    """The backend that --mapping or --target-class describes, and ours without either."""
    if mapping is not None and target_class is not None:
        raise InputError("--mapping and --target-class both say how the backend is spoken to: give one of them")
    if target_class is not None:
        return _of_class(target_class, run_id)
    return load_mapping(mapping or REFERENCE, run_id, groups)


def load_mapping(
    path: Path,
    run_id: str,
    groups: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    *,
    placeholders: bool = False,
) -> Mapped:
    """The backend that a TOML file describes; InputError lists every mistake. `groups`: the night's, if known.

    `placeholders`: what it asks the environment for is not looked up; `@secret.NAME@` stands there.
    """
    try:
        written = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"{path}: not a TOML file: {error}") from None
    return _Reader(path, groups, None if placeholders else secrets_of(environment)).mapped(written, run_id)


def secrets_of(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """The secrets for the target: the environment's CAUCUS_TARGET_*, without the prefix."""
    known = os.environ if environment is None else environment
    return {name.removeprefix(SECRETS): value for name, value in known.items() if name.startswith(SECRETS)}


def _of_class(target_class: str, run_id: str) -> Backend:
    module, _, name = target_class.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())  # a module beside the user counts, but never hides one of ours
    try:
        found: Any = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(
            f"--target-class {target_class}: expected module:Class that can be imported: {error}"
        ) from None
    if not inspect.isclass(found):
        raise InputError(f"--target-class {target_class}: {name} is not a class")
    make: Callable[..., object] = found
    try:
        backend = make(run_id=run_id, secrets=secrets_of())
    except TypeError as error:
        raise InputError(f"--target-class {target_class}: it is called with run_id= and secrets=: {error}") from None
    if not isinstance(backend, Backend):
        raise InputError(
            f"--target-class {target_class}: expected operations, build and read, as loadtests.contract has"
        )
    unknown = sorted(set(backend.operations) - set(OPERATIONS))
    if unknown:
        raise InputError(f"--target-class {target_class}: unknown operations {unknown}; known: {', '.join(OPERATIONS)}")
    return backend


class _Reader:
    """Reads one file, and collects every mistake in it."""

    def __init__(self, path: Path, groups: Sequence[str], secrets: Mapping[str, str] | None) -> None:
        self.path, self.groups, self.secrets = path, groups, secrets
        self.problems: list[str] = []
        self.needed: set[str] = set()
        self.extracted: frozenset[str] = frozenset()

    def mapped(self, written: Mapping[str, Any], run_id: str) -> Mapped:
        """The backend; InputError where anything is wrong."""
        families = {operation.partition(".")[0] for operation in OPERATIONS}
        self._unknown("", written, [*_SETTINGS, *sorted(families)])
        name = written.get("name", self.path.stem)
        if not isinstance(name, str):
            self._wrong("name", name, "a string")
        login = written.get("login")
        if isinstance(login, Mapping) and isinstance(login.get("extract"), Mapping):
            self.extracted = frozenset(map(str, login["extract"]))
        names = self._groups(written.get("groups", {}))
        common = self._headers("headers", written.get("headers", {}), "login")
        signed_in = self._signed_in(written.get("signed_in", {}))
        calls: dict[Operation, _Call] = {}
        for family in sorted(families & set(written)):
            self._family(family, written[family], common, calls)
        self._report_in_one_way(calls)
        site_names = self._sites(written.get("sites"))
        secrets = {name: f"@secret.{name}@" for name in self.needed} if self.secrets is None else self.secrets
        for secret in sorted(self.needed - set(secrets)):
            self.problems.append(f"{self.path}: {{secret.{secret}}}: the environment has no {SECRETS}{secret}")
        if self.problems:
            raise InputError(self.problems)
        return Mapped(name, calls, signed_in, names, site_names, run_id, secrets)

    def _wrong(self, key: str, value: object, accepted: str) -> None:
        self.problems.append(f"{self.path}: {key} = {value!r}: expected {accepted}")

    def _unknown(self, key: str, table: Mapping[str, Any], known: Sequence[str]) -> None:
        for name in table:
            if name not in known:
                near = difflib.get_close_matches(str(name), known, 3)
                hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(known)}"
                self.problems.append(f"{self.path}: {key}{name}: unknown key; {hint}")

    def _groups(self, written: Any) -> dict[str, str]:
        if not isinstance(written, Mapping) or not all(isinstance(one, str) and one for one in written.values()):
            self._wrong("groups", written, "a table of the night's groups and their names at this backend")
            return {}
        if self.groups:
            self._unknown("groups.", written, list(self.groups))
        if len(set(written.values())) < len(written):
            self._wrong("groups", dict(written), "a name of its own for each group")
        return dict(written)

    def _sites(self, written: Any) -> dict[str, str]:
        if written is None:
            return {}
        if not isinstance(written, str):
            self._wrong("sites", written, "a CSV file with the columns code and name, beside the mapping")
            return {}
        file = self.path.parent / written
        try:
            with file.open(encoding="utf-8-sig", newline="") as lines:
                read = list(csv.DictReader(lines))
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            self._wrong("sites", written, f"a CSV file: {error}")
            return {}
        named = {row.get("code") or "": row.get("name") or "" for row in read}
        if not named or "" in named or "" in named.values():
            self._wrong("sites", written, "the columns code and name, both filled in every row")
        elif len(set(named.values())) < len(read):
            self._wrong("sites", written, "every code and every name once")
        return named

    def _signed_in(self, written: Any) -> tuple[tuple[str, Text], ...]:
        if not isinstance(written, Mapping):
            self._wrong("signed_in", written, "a table with headers")
            return ()
        self._unknown("signed_in.", written, ["headers"])
        return self._headers("signed_in.headers", written.get("headers", {}), "login")

    def _headers(
        self, key: str, written: Any, operation: Operation, compiler: Compiler | None = None
    ) -> tuple[tuple[str, Text], ...]:
        own = compiler or Compiler(operation, self.extracted, self.groups)
        if not isinstance(written, Mapping):
            self._wrong(key, written, "a table of headers")
            return ()
        for name in written:
            if not _HEADER.fullmatch(name):
                self._wrong(key, name, "a header's name")
        found = tuple((name, own.text(f"{key}.{name}", value)) for name, value in written.items())
        if compiler is None:
            self._take(own)
        return found

    def _take(self, compiler: Compiler) -> None:
        self.problems.extend(f"{self.path}: {problem}" for problem in compiler.problems)
        self.needed |= compiler.secrets

    def _family(
        self, family: str, table: Any, common: tuple[tuple[str, Text], ...], calls: dict[Operation, _Call]
    ) -> None:
        if not isinstance(table, Mapping):
            self._wrong(family, table, "a table")
            return
        below = {one.partition(".")[2]: one for one in OPERATIONS if one.startswith(f"{family}.")}
        own: Operation | None = next((one for one in OPERATIONS if one == family), None)
        settings = {name: value for name, value in table.items() if name not in below}
        if own is not None and (settings or not below):
            calls[own] = self._call(own, settings, [*_KEYS, *below], common)
        else:
            self._unknown(f"{family}.", settings, list(below))
        for name, operation in below.items():
            if name in table:
                if isinstance(table[name], Mapping):
                    calls[operation] = self._call(operation, table[name], _KEYS, common)
                else:
                    self._wrong(operation, table[name], "a table")

    def _report_in_one_way(self, calls: Mapping[Operation, _Call]) -> None:
        steps = [one for one in calls if one.startswith("report.")]
        if "report" in calls and steps:
            self.problems.append(
                f"{self.path}: [report] and [{steps[0]}]: a report is sent whole or in steps, not both"
            )
        if steps and "report.final" not in steps:
            self.problems.append(f"{self.path}: report: [report.final] is missing: no report would ever be whole")
        if steps and "report.open" not in steps:
            self.problems.append(f"{self.path}: report: [report.open] is missing; a report in steps begins with it")

    def _call(
        self, operation: Operation, table: Mapping[str, Any], known: Sequence[str], common: tuple[tuple[str, Text], ...]
    ) -> _Call:
        self._unknown(f"{operation}.", table, known)
        compiler = Compiler(operation, self.extracted, self.groups)
        problems = compiler.problems
        kinds = [kind for kind in _BODIES if kind in table]
        method = table.get("method", "POST" if kinds else "GET")
        if method not in _METHODS:
            self._wrong(f"{operation}.method", method, f"one of {', '.join(_METHODS)}")
        path = table.get("path", MISSING)
        if not isinstance(path, str) or not path.startswith("/") or path.startswith("//") or "\\" in path:
            shown = "nothing" if path is MISSING else repr(path)
            self.problems.append(f"{self.path}: {operation}.path is {shown}: expected a path that begins with one /")
            path = "/"
        if len(kinds) > 1:
            self.problems.append(f"{self.path}: {operation}: {' and '.join(kinds)}: a request has one body")
        kind = kinds[0] if kinds else ""
        content_type = table.get("content_type", "")
        if not isinstance(content_type, str):
            self._wrong(f"{operation}.content_type", content_type, "a media type")
            content_type = ""
        query = compiler.json(f"{operation}.query", table.get("query", {}))
        if "query" in table:
            self._no_secrets_in_query(operation, table["query"], compiler)
        call = _Call(
            method=method,
            path=compiler.text(f"{operation}.path", path, address=True),
            query=query if isinstance(query, Table) else Table(()),
            headers=(*common, *self._headers(f"{operation}.headers", table.get("headers", {}), operation, compiler)),
            kind=kind,
            body=self._body(operation, kind, table.get(kind), content_type, compiler),
            row=compiler.text(f"{operation}.row", table["row"], repeated=True) if "row" in table else None,
            content_type=content_type,
            accepted=self._statuses(operation, table, "accepted", _accepted(operation)),
            busy=self._statuses(operation, table, "busy", frozenset({429, 503})),
            refused_when=self._condition(operation, table, "refused_when", problems),
            replayed=self._condition(operation, table, "replayed", problems),
            extract=self._extract(operation, table.get("extract", {}), problems),
            problem=taking(f"{operation}.problem", table["problem"], problems) if "problem" in table else None,
            steps=self._steps(operation, table.get("steps", {})),
        )
        self._take(compiler)
        return call

    def _no_secrets_in_query(self, operation: Operation, query: Any, compiler: Compiler) -> None:
        if not isinstance(query, Mapping):
            self._wrong(f"{operation}.query", query, "a table")
            return
        for name, value in query.items():
            if isinstance(value, str):
                found = len(compiler.problems)
                compiler.text(f"{operation}.query.{name}", value, address=True)
                compiler.problems[found:] = [one for one in compiler.problems[found:] if "is a secret" in one]

    def _body(self, operation: Operation, kind: str, written: Any, content_type: str, compiler: Compiler) -> Any:
        key = f"{operation}.{kind}"
        if kind == "json":
            return compiler.json(key, written)
        if kind == "form":
            made = compiler.json(key, written)
            flat = isinstance(made, Table) and not any(isinstance(value, Table) for _, value in made.members)
            if not flat:
                self._wrong(key, written, "a table of fields; a form has no tables within tables")
            return made
        if kind == "text":
            if not content_type or "json" in content_type:
                self.problems.append(
                    f"{self.path}: {operation}.content_type = {content_type!r}: text needs one, such as "
                    f'"application/xml"; JSON is written as a table under `json`'
                )
            return compiler.text(key, written)
        if kind == "multipart":
            return self._multipart(key, written, compiler)
        if kind == "raw" and (written != "photo" or operation != "photo"):
            self._wrong(key, written, '"photo", in [photo]: the image itself')
        return None

    def _multipart(self, key: str, written: Any, compiler: Compiler) -> _Multipart:
        if not isinstance(written, Mapping):
            self._wrong(key, written, "a table of fields")
            return _Multipart(())
        fields = []
        for name, value in written.items():
            if re.search(r'["\r\n]', name):
                self._wrong(key, name, "a field's name without quotes and line ends")
            is_photo = isinstance(value, Mapping) and set(value) == {"photo"}
            fields.append((name, compiler.text(f"{key}.{name}", value["photo"] if is_photo else value), is_photo))
        return _Multipart(tuple(fields))

    def _statuses(
        self, operation: Operation, table: Mapping[str, Any], name: str, default: frozenset[int]
    ) -> frozenset[int]:
        written = table.get(name)
        if written is None:
            return default
        good = isinstance(written, list) and all(
            isinstance(one, int) and not isinstance(one, bool) and 100 <= one <= 599 for one in written
        )
        if not good or (name == "accepted" and not written):
            self._wrong(f"{operation}.{name}", written, "a list of HTTP statuses, such as [200, 201]")
            return default
        return frozenset(written)

    def _condition(
        self, operation: Operation, table: Mapping[str, Any], name: str, problems: list[str]
    ) -> Condition | None:
        return condition(f"{operation}.{name}", table[name], problems) if name in table else None

    def _extract(self, operation: Operation, written: Any, problems: list[str]) -> dict[str, Taking | Rows]:
        key = f"{operation}.extract"
        if not isinstance(written, Mapping):
            self._wrong(key, written, "a table")
            return {}
        if operation != "login":
            self._unknown(f"{key}.", written, sorted(_EXTRACTED.get(operation, _WRITTEN)))
        found: dict[str, Taking | Rows] = {}
        for name, how in written.items():
            if operation != "login":
                self._in_rows(f"{key}.{name}", name, how)
            made = rows(f"{key}.{name}", how, problems)
            if made is not None:
                found[name] = made
        return found

    def _in_rows(self, key: str, name: str, how: Any) -> None:
        """What stands in rows: each has what it cannot do without, and nothing unknown."""
        if name not in _IN_ROWS:
            return
        members = dict(how) if isinstance(how, Mapping) else {}
        self._unknown(f"{key}.", members, ["rows", *_IN_ROWS[name]])
        if "rows" not in members or _IN_ROWS[name][0] not in members:
            example = f'{{ rows = "/list", {_IN_ROWS[name][0]} = "/name" }}'
            self._wrong(key, how, f"rows and what of each, such as {example}")
        for inner, one in members.items():
            self._in_rows(f"{key}.{inner}", inner, one)

    def _steps(self, operation: Operation, written: Any) -> dict[str, str]:
        if operation != "stored" and written:
            self._wrong(f"{operation}.steps", written, "nothing: only [stored] names steps")
        known = list(STEP_NAMES)
        if not isinstance(written, Mapping) or not all(value in known for value in written.values()):
            self._wrong("stored.steps", written, f"a table of its names and ours, of {', '.join(known)}")
            return {}
        return dict(written)


def _accepted(operation: Operation) -> frozenset[int]:
    done = frozenset({200, 201, 202, 204})
    return done | {304} if operation.startswith("results") else done
