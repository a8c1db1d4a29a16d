"""What a mapping's templates may say: `{variables}`, where each stands for something, and what they become.

Values are put into structures (JSON, forms, URLs, XML), each by its own rule: no value can break out of its place.
Knows nothing of files, operations' paths or replies.
"""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final
from urllib.parse import quote
from xml.sax.saxutils import escape

from loadtests.contract import Ask, Operation, Site

_TOKEN = re.compile(r"\{\{|\}\}|\{([^{}]*?)(\?)?\}|[{}]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_NOT_REPEATED = "{row.…} stands where nothing repeats; it belongs into an element of a list, into a key, or into `row`"
OMITTED: Final = object()  # what `{name?}` becomes where there is nothing: its member is left out

_REPORTS: frozenset[Operation] = frozenset({"report", "report.open", "report.first_alignment", "report.final", "clerk"})
_REVIEWS: frozenset[Operation] = frozenset({"review.approve", "review.choose", "review.return"})
_WRITES: frozenset[Operation] = _REPORTS | _REVIEWS | {"photo"}
_SITES: frozenset[Operation] = _WRITES | {"resume", "results.site", "cleanup"}
_PAGED: frozenset[Operation] = frozenset({"stored", "review.list"})
_RESULTS: frozenset[Operation] = frozenset({"results", "results.page", "results.csv", "results.county", "results.site"})


@dataclass(frozen=True, slots=True)
class Scope:
    """What the variables of one request stand for."""

    ask: Ask
    run_id: str
    secrets: Mapping[str, str] = field(repr=False)
    names: Mapping[str, str]  # of the scenario's groups at this backend, where they differ
    site_names: Mapping[str, str]  # of the sites, by code, where they differ
    group: str | None = None  # inside what is repeated for each group

    def groups(self) -> tuple[str, ...]:
        """The groups that something is repeated for."""
        if self.ask.site is not None:
            return self.ask.site.groups
        report = self.ask.report
        return () if report is None else tuple(dict.fromkeys([*report.first_alignment, *report.final]))


Getter = Callable[[Scope], Any]


@dataclass(frozen=True, slots=True)
class Variable:
    """One variable: its name (`<...>` is any), what it stands for, and the operations that know it (None: all)."""

    name: str
    says: str
    operations: frozenset[Operation] | None = None
    secret: bool = False  # never in an address: addresses are logged everywhere


VARIABLES: tuple[Variable, ...] = (
    Variable("run_id", "this run's id, which marks its test records"),
    Variable("user", "the user who signs in, or is signed in"),
    Variable("pin", "the user's PIN", frozenset({"login"}), secret=True),
    Variable("second_factor", "the code of the second factor; empty without one", frozenset({"login"}), secret=True),
    Variable("device", "an id of the user's device, 1-64 of A-Z a-z 0-9 _ -"),
    Variable(
        "forwarded_for",
        "the address of whoever sends, to be forwarded to a backend that trusts this machine; may be empty",
    ),
    Variable("login.<name>", "what `[login] extract` took from the answer to the log-in"),
    Variable("secret.<NAME>", "the environment's CAUCUS_TARGET_<NAME>", secret=True),
    Variable("site.code", 'the site\'s number in the roster, at least four digits: "0042"', _SITES),
    Variable("site.id", 'the site\'s name in the roster: "Adair/Adair 1"', _SITES),
    Variable("site.name", "what the file `sites` calls it; its code without one", _SITES),
    Variable("site.county", "its county", _SITES),
    Variable("site.precinct", "its name within the county", _SITES),
    Variable("site.delegates", "how many delegates it elects", _SITES),
    Variable("attendees", "the head count", _REPORTS),
    Variable("first", "first alignment: an object of group and people", _REPORTS),
    Variable("first.<group>", "the people of one group in the first alignment", _REPORTS),
    Variable("final", "final alignment: an object of group and people", _REPORTS),
    Variable("final.<group>", "the people of one group in the final alignment", _REPORTS),
    Variable("delegates", "the award: an object of group and delegates", _REPORTS),
    Variable("delegates.<group>", "the delegates of one group", _REPORTS),
    Variable("row.group", "repeated for each group: its name, as `[groups]` has it", _REPORTS),
    Variable("row.first", "repeated for each group: its people in the first alignment", _REPORTS),
    Variable("row.final", "repeated for each group: its people in the final alignment", _REPORTS),
    Variable("row.delegates", "repeated for each group: its delegates", _REPORTS),
    Variable("rows", "in `text`: what `row` says, for all groups", _REPORTS),
    Variable("key", "the idempotency key, the same for every retry of one write", _WRITES),
    Variable("correction", "why a step that is there already is sent again; else empty", _REPORTS | {"photo"}),
    Variable("photo.type", "the photo's media type", frozenset({"photo"})),
    Variable("photo.sha256", "the photo's SHA-256, as hexadecimal digits", frozenset({"photo"})),
    Variable("county", "the county whose results are asked for", frozenset({"results.county"})),
    Variable("version", "the version that a reviewer looked at", _REVIEWS),
    Variable("entry", "which of two entries the reviewer takes: 1 or 2", frozenset({"review.choose"})),
    Variable("reason", "why the reviewer returns a report", frozenset({"review.return"})),
    Variable("after", "where the next page begins; empty for the first", _PAGED),
    Variable("etag", "the ETag of the copy that the reader has; else empty", _RESULTS),
)


def _counts(attribute: str) -> Getter:
    def get(scope: Scope) -> Any:
        counts: Mapping[str, int] = getattr(scope.ask.report, attribute)
        return {scope.names.get(group, group): count for group, count in counts.items()}

    return get


def _count(attribute: str, group: str | None) -> Getter:
    def get(scope: Scope) -> Any:
        counts: Mapping[str, int] = getattr(scope.ask.report, attribute)
        return counts.get(group if group is not None else scope.group or "", 0)

    return get


def _of_session(name: str) -> Getter:
    def get(scope: Scope) -> Any:
        return "" if scope.ask.session is None else scope.ask.session.values.get(name, "")

    return get


def _name_of(site: Site | None, names: Mapping[str, str]) -> str:
    return "" if site is None else names.get(site.code, site.code)


_ATTRIBUTES = {"first": "first_alignment", "final": "final", "delegates": "delegates"}
_GETTERS: dict[str, Getter] = {
    "run_id": lambda scope: scope.run_id,
    "user": lambda scope: scope.ask.user or (scope.ask.session.user if scope.ask.session else ""),
    "pin": lambda scope: scope.ask.pin,
    "second_factor": lambda scope: scope.ask.second_factor,
    "device": lambda scope: scope.ask.device or (scope.ask.session.device if scope.ask.session else ""),
    "forwarded_for": lambda scope: scope.ask.address,
    "attendees": lambda scope: scope.ask.report and scope.ask.report.attendees,
    "key": lambda scope: scope.ask.key,
    "correction": lambda scope: scope.ask.correction,
    "photo.type": lambda scope: scope.ask.photo_type,
    "photo.sha256": lambda scope: hashlib.sha256(scope.ask.photo).hexdigest(),
    "county": lambda scope: scope.ask.county,
    "version": lambda scope: scope.ask.version,
    "entry": lambda scope: scope.ask.entry,
    "reason": lambda scope: scope.ask.reason,
    "after": lambda scope: scope.ask.after,
    "etag": lambda scope: scope.ask.etag,
    "row.group": lambda scope: scope.names.get(scope.group or "", scope.group),
    "rows": lambda _: "",  # put in by `Text.rendered`, which repeats `row`
    **{name: _counts(attribute) for name, attribute in _ATTRIBUTES.items()},
    **{f"row.{name}": _count(attribute, None) for name, attribute in _ATTRIBUTES.items()},
}


def _getter(name: str) -> Getter:
    known = _GETTERS.get(name)
    if known is not None:
        return known
    family, _, rest = name.partition(".")
    if family == "login":
        return _of_session(rest)
    if family == "secret":
        return lambda scope: scope.secrets.get(rest, "")
    if name == "site.name":
        return lambda scope: _name_of(scope.ask.site, scope.site_names)
    if family == "site":
        return lambda scope: getattr(scope.ask.site, rest)
    return _count(_ATTRIBUTES[family], rest)


@dataclass(frozen=True, slots=True)
class Hole:
    """A variable in a template."""

    name: str
    optional: bool
    get: Getter


@dataclass(frozen=True, slots=True)
class Text:
    """A string with variables in it."""

    parts: tuple[str | Hole, ...]

    @property
    def by_group(self) -> bool:
        """Whether it speaks of one group, so that it is repeated for each."""
        return any(isinstance(part, Hole) and part.name.startswith("row.") for part in self.parts)

    def value(self, scope: Scope) -> Any:
        """What it becomes in a structure: a string that is nothing but a variable has that variable's type."""
        if len(self.parts) == 1 and isinstance(self.parts[0], Hole):
            hole = self.parts[0]
            found = hole.get(scope)
            return OMITTED if hole.optional and found in ("", None) else found
        return self.rendered(scope, str)

    def rendered(self, scope: Scope, quoting: Callable[[str], str]) -> str:
        """What it becomes in running text; each variable's value is quoted, the template's own words are not."""
        return "".join(part if isinstance(part, str) else quoting(str(part.get(scope))) for part in self.parts)

    def in_header(self, scope: Scope) -> str:
        """What it becomes in a header: one line, whatever a value holds."""
        return _CONTROL.sub("", self.rendered(scope, str))

    def in_path(self, scope: Scope) -> str:
        """What it becomes in an address."""
        return self.rendered(scope, lambda value: quote(value, safe=""))

    def in_xml(self, scope: Scope, row: Text | None) -> str:
        """What it becomes in XML; `row` is repeated for each group where the template says {rows}."""
        return self._with_rows(scope, row, lambda value: escape(value, {'"': "&quot;", "'": "&apos;"}))

    def in_plain(self, scope: Scope, row: Text | None) -> str:
        """What it becomes in plain text: a value stays on its line."""
        return self._with_rows(scope, row, lambda value: _CONTROL.sub(" ", value))

    def _with_rows(self, scope: Scope, row: Text | None, quoting: Callable[[str], str]) -> str:
        pieces = []
        for part in self.parts:
            if isinstance(part, str):
                pieces.append(part)
            elif part.name == "rows" and row is not None:
                pieces.extend(row.rendered(one, quoting) for one in each_group(scope))
            else:
                pieces.append(quoting(str(part.get(scope))))
        return "".join(pieces)


def each_group(scope: Scope) -> Iterator[Scope]:
    """The scope of each group in turn."""
    return (replace(scope, group=group) for group in scope.groups())


# A template of JSON is what TOML says, strings replaced by Text, and tables by pairs of key and value.
@dataclass(frozen=True, slots=True)
class Table:
    """A template of an object: members whose key speaks of a group are repeated for each group."""

    members: tuple[tuple[Text, Any], ...]


def by_group(node: Any) -> bool:
    """Whether anything in a template speaks of one group and is not repeated further in."""
    if isinstance(node, Text):
        return node.by_group
    if isinstance(node, Table):
        return any(not key.by_group and by_group(value) for key, value in node.members)
    return False  # a list repeats its own elements


def structure(node: Any, scope: Scope) -> Any:
    """What a template of JSON becomes."""
    if isinstance(node, Text):
        return node.value(scope)
    if isinstance(node, Table):
        made: dict[str, Any] = {}
        for key, value in node.members:
            repeated = scope.group is None and key.by_group
            for one in each_group(scope) if repeated else (scope,):
                found = structure(value, one)
                if found is not OMITTED:
                    made[key.rendered(one, str)] = found
        return made
    if isinstance(node, tuple):
        listed: list[Any] = []
        for element in node:
            repeated = scope.group is None and by_group(element)
            for one in each_group(scope) if repeated else (scope,):
                found = structure(element, one)
                if found is not OMITTED:
                    listed.append(found)
        return listed
    return node


class Compiler:
    """Turns what a mapping says into templates, and collects every mistake with its key."""

    def __init__(self, operation: Operation, extracted: Collection[str], groups: Collection[str]) -> None:
        """`extracted`: the names that log-in extracts; `groups`: those of the night (none: any name will do)."""
        self.operation = operation
        self.extracted = extracted
        self.groups = groups
        self.problems: list[str] = []  # "key: what is wrong", without the file
        self.secrets: set[str] = set()  # the environment's names that are needed

    def text(self, key: str, written: object, *, address: bool = False, repeated: bool = False) -> Text:
        """A string with variables; those of a group only where it is `repeated` for each."""
        if not isinstance(written, str):
            self.problems.append(f"{key} = {written!r}: not a string")
            return Text(())
        parts: list[str | Hole] = []
        at = 0
        for match in _TOKEN.finditer(written):
            if match.start() > at:
                parts.append(written[at : match.start()])
            at = match.end()
            token = match.group()
            if token in ("{{", "}}"):
                parts.append(token[0])
            elif match.group(1) is None:
                self.problems.append(f"{key} = {written!r}: a single {token!r}; a brace that is meant is written twice")
            elif match.group(1).startswith("row.") and not repeated:
                self.problems.append(f"{key} = {written!r}: {_NOT_REPEATED}")
            elif self._known(key, written, match.group(1), address):
                parts.append(Hole(match.group(1), match.group(2) is not None, _getter(match.group(1))))
        if at < len(written):
            parts.append(written[at:])
        return Text(tuple(parts))

    def json(self, key: str, written: object) -> Any:
        """A template of JSON, as TOML says it."""
        made = self._json(key, written)
        if by_group(made):
            self.problems.append(f"{key}: {_NOT_REPEATED}")
        return made

    def _json(self, key: str, written: object) -> Any:
        if isinstance(written, str):
            return self.text(key, written, repeated=True)
        if isinstance(written, Mapping):
            members = [
                (self.text(key, name, repeated=True), self._json(f"{key}.{name}", value))
                for name, value in written.items()
            ]
            return Table(tuple(members))
        if isinstance(written, list):
            return tuple(self._json(f"{key}[{number}]", value) for number, value in enumerate(written))
        if written is None or isinstance(written, (bool, int, float)):
            return written
        self.problems.append(f"{key} = {written!r}: a {type(written).__name__}; JSON has none")
        return None

    def _known(self, key: str, written: str, name: str, address: bool) -> bool:
        family, dot, rest = name.partition(".")
        for variable in VARIABLES:
            known_family, _, known_rest = variable.name.partition(".")
            if variable.name != name and not (dot and rest and family == known_family and known_rest.startswith("<")):
                continue
            if variable.operations is not None and self.operation not in variable.operations:
                where = ", ".join(sorted(variable.operations))
                self.problems.append(
                    f"{key} = {written!r}: {{{name}}} means nothing in {self.operation}; only in {where}"
                )
                return False
            if variable.secret and address:
                self.problems.append(
                    f"{key} = {written!r}: {{{name}}} is a secret, and addresses are logged; use a header"
                )
                return False
            return self._known_member(key, written, variable.name, rest)
        self.problems.append(f"{key} = {written!r}: unknown variable {{{name}}}; {self._near(name)}")
        return False

    def _known_member(self, key: str, written: str, variable: str, rest: str) -> bool:
        if variable == "secret.<NAME>":
            self.secrets.add(rest)
        elif variable == "login.<name>" and rest not in self.extracted:
            known = ", ".join(sorted(self.extracted)) or "nothing"
            self.problems.append(f"{key} = {written!r}: [login] extract does not take {rest!r}; it takes {known}")
            return False
        elif variable.endswith(".<group>") and self.groups and rest not in self.groups:
            near = difflib.get_close_matches(rest, self.groups, 1)
            hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(self.groups)}"
            self.problems.append(f"{key} = {written!r}: this night has no group {rest!r}; {hint}")
            return False
        return True

    def _near(self, name: str) -> str:
        usable = [one.name for one in VARIABLES if one.operations is None or self.operation in one.operations]
        near = difflib.get_close_matches(name, usable, 3, 0.5)
        family, dot, rest = name.partition(".")
        if not near and dot:
            near = [f"{one}.{rest}" for one in difflib.get_close_matches(family, _ATTRIBUTES, 1)]
        return f"did you mean {' or '.join(near)}?" if near else f"known here: {', '.join(usable)}"
