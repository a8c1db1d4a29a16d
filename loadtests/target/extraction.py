"""What a mapping takes out of a reply: by JSON pointer (RFC 6901), regular expression, header, cookie; one or by rows.

Knows nothing of operations, and nothing of what the values are for.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from loadtests.contract import Reply

MISSING: Final = object()
_FORMS = (
    'a JSON pointer ("/a/b"), { regex = "..." } (its first group), { header = "..." }, { cookie = "..." }; in rows '
    'also "@key", the name under which a row stands'
)


class Document:
    """A reply, or one row of it."""

    def __init__(self, reply: Reply | None, text: str | None = None, tree: Any = MISSING, key: str = "") -> None:
        self.headers: Mapping[str, str] = reply.headers if reply is not None else {}
        self._body = reply.body if reply is not None else b""
        self._text = text
        self._tree = tree
        self.key = key

    @cached_property
    def text(self) -> str:
        """The body as text."""
        return self._body.decode("utf-8", "replace") if self._text is None else self._text

    @cached_property
    def tree(self) -> Any:
        """The body as JSON; MISSING where it is none."""
        if self._tree is not MISSING:
            return self._tree
        try:
            return json.loads(self.text)
        except (ValueError, RecursionError):
            return MISSING

    def cookie(self, name: str) -> Any:
        """The value of a cookie that the reply sets."""
        found = re.search(rf"(?:^|,\s*){re.escape(name)}=([^;,\s]*)", self.headers.get("set-cookie", ""))
        return MISSING if found is None else found.group(1)


@dataclass(frozen=True, slots=True)
class Taking:
    """How one value is taken out of a document."""

    kind: str  # pointer, regex, header, cookie, key
    what: str

    def take(self, document: Document) -> Any:
        """The value, or MISSING."""
        match self.kind:
            case "pointer":
                return _pointed(document.tree, self.what)
            case "regex":
                found = re.search(self.what, document.text, re.DOTALL)
                return MISSING if found is None else found.group(1 if found.re.groups else 0)
            case "header":
                return document.headers.get(self.what.lower(), MISSING)
            case "cookie":
                return document.cookie(self.what)
            case _:
                return document.key


@dataclass(frozen=True, slots=True)
class Rows:
    """How rows are taken, and what of each."""

    rows: Taking
    members: Mapping[str, Taking | Rows]

    def take(self, document: Document) -> Any:
        """A list of what each row gives, values that it lacks left out; MISSING where the rows are not there."""
        listed = self._documents(document)
        if listed is None:
            return MISSING
        return [
            {name: value for name, how in self.members.items() if (value := how.take(row)) is not MISSING}
            for row in listed
        ]

    def _documents(self, document: Document) -> Iterator[Document] | None:
        if self.rows.kind == "regex":
            found = re.finditer(self.rows.what, document.text, re.DOTALL)
            return (Document(None, text=one.group(1 if one.re.groups else 0)) for one in found)
        listed = self.rows.take(document)
        if isinstance(listed, Mapping):
            return (Document(None, text="", tree=value, key=str(key)) for key, value in listed.items())
        if isinstance(listed, list):
            return (Document(None, text="", tree=value, key=str(at)) for at, value in enumerate(listed))
        return None


@dataclass(frozen=True, slots=True)
class Condition:
    """Whether a value in the reply is a given one: `{ header = "Idempotency-Replayed", is = "true" }`."""

    taking: Taking
    value: Any

    def holds(self, document: Document) -> bool:
        """Whether it is; a regular expression without `is` holds where it is found."""
        found = self.taking.take(document)
        if self.value is MISSING:
            return found is not MISSING
        return found is not MISSING and (found == self.value or str(found).lower() == str(self.value).lower())


def _pointed(tree: Any, pointer: str) -> Any:
    if tree is MISSING:
        return MISSING
    for token in pointer.split("/")[1:]:
        name = token.replace("~1", "/").replace("~0", "~")
        if isinstance(tree, Mapping) and name in tree:
            tree = tree[name]
        elif isinstance(tree, list) and name.isascii() and name.isdigit() and int(name) < len(tree):
            tree = tree[int(name)]
        else:
            return MISSING
    return tree


def taking(key: str, written: object, problems: list[str]) -> Taking | None:
    """One value's extraction as the mapping has it; mistakes go to `problems`."""
    if isinstance(written, str):
        if written == "@key":
            return Taking("key", "")
        if written == "" or written.startswith("/"):
            return Taking("pointer", written)
    elif isinstance(written, Mapping) and len(written) == 1:
        kind, what = next(iter(written.items()))
        if kind in ("regex", "header", "cookie") and isinstance(what, str) and what:
            if kind == "regex":
                try:
                    re.compile(what)
                except re.error as error:
                    problems.append(f"{key}.regex = {what!r}: not a regular expression: {error}")
                    return None
            return Taking(kind, what)
    problems.append(f"{key} = {written!r}: expected {_FORMS}")
    return None


def rows(key: str, written: object, problems: list[str]) -> Taking | Rows | None:
    """An extraction by rows, `{ rows = ..., name = ... }`, or of one value."""
    if not isinstance(written, Mapping) or "rows" not in written:
        return taking(key, written, problems)
    at = taking(f"{key}.rows", written["rows"], problems)
    members = {name: rows(f"{key}.{name}", how, problems) for name, how in written.items() if name != "rows"}
    found = {name: how for name, how in members.items() if how is not None}
    return Rows(at, found) if at is not None and len(found) == len(members) else None


def condition(key: str, written: object, problems: list[str]) -> Condition | None:
    """A condition as the mapping has it: an extraction, and what it `is`."""
    if isinstance(written, Mapping):
        rest = {name: value for name, value in written.items() if name != "is"}
        how = taking(key, rest["json"] if set(rest) == {"json"} else rest, problems)
        return None if how is None else Condition(how, written.get("is", MISSING))
    problems.append(f'{key} = {written!r}: expected a table such as {{ header = "X-Replayed", is = "true" }}')
    return None
