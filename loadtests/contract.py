"""What a reporting backend is asked, and what its answers mean: the operations, and the words that they are made of.

A `Backend` builds requests and reads replies; it sends nothing, so that Locust, the check and other clients share it.
Knows nothing of any one backend: ours stands in reference.toml, read by `mapping`.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias, get_args, runtime_checkable

from simulation.errors import InputError

if TYPE_CHECKING:
    from loadtests.accounts import Accounts

Operation: TypeAlias = Literal[
    "login",  # user and PIN (and second factor) -> a session
    "logout",
    "report",  # a chair's whole report in one request, or in the three steps that follow
    "report.open",  # the head count
    "report.first_alignment",
    "report.final",  # final alignment and delegates
    "photo",  # of the worksheet
    "resume",  # what the backend holds of a site, for a chair who comes back
    "clerk",  # a report keyed at the hotline
    "review.list",  # the reports that wait for a reviewer
    "review.approve",
    "review.choose",  # which of two entries that differ is right
    "review.return",  # a report goes back to its chair
    "results",  # public: statewide totals, and the sites that they are of
    "results.page",
    "results.csv",
    "results.county",
    "results.site",
    "stored",  # every stored version, by pages: what the ledger is held against
    "cleanup",  # removes what this run has written
]
OPERATIONS: tuple[Operation, ...] = get_args(Operation)
STEPS: tuple[Operation, ...] = ("report.open", "report.first_alignment", "report.final")
Verdict: TypeAlias = Literal["accepted", "refused", "busy", "unclear"]
_LEAST_SECRET = 4  # shorter ones would take every number for a secret
READERS = ("administrator", "observer")  # roles that may read what is stored


@dataclass(frozen=True, slots=True)
class Site:
    """A precinct or satellite as its chair knows it; `groups` are the preference groups that it counts."""

    code: str
    id: str
    county: str
    precinct: str
    delegates: int
    groups: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """What a chair's worksheet says."""

    attendees: int
    first_alignment: Mapping[str, int]
    final: Mapping[str, int]
    delegates: Mapping[str, int]


class Picture(bytes):
    """A photo that is sent more than once: its digest is made once."""

    @cached_property
    def sha256(self) -> str:
        """Of its bytes, in hexadecimal."""
        return hashlib.sha256(self).hexdigest()


@dataclass(frozen=True, slots=True)
class Session:
    """Who is signed in, and what the log-in gave them (token, cookie, ids)."""

    user: str
    device: str
    values: Mapping[str, object] = field(default_factory=dict, repr=False)  # holds the token: never printed
    address: str = ""  # as `Ask.address` was
    signed_in_at: float = 0.0  # Unix time of this machine


@dataclass(frozen=True, slots=True)
class Ask:
    """All that a request may be made of; an operation uses what it needs of it."""

    session: Session | None = None
    site: Site | None = None
    report: Report | None = None
    key: str = ""  # of idempotency: the same for every retry of one write
    correction: str = ""  # why a step that is there already is sent again
    photo: bytes = field(default=b"", repr=False)
    photo_type: str = "image/jpeg"
    user: str = ""  # this and the next three: log-in only
    pin: str = field(default="", repr=False)
    second_factor: str = field(default="", repr=False)
    device: str = ""
    address: str = ""  # that whoever sends has, for a backend that trusts this machine as a proxy; "" says nothing
    county: str = ""
    version: object = ""  # which version a reviewer looked at
    entry: int = 0  # which of two entries the reviewer takes: 1 or 2
    reason: str = ""  # why the reviewer returns a report
    after: object = ""  # where the next page of `stored` or `review.list` begins; empty for the first
    etag: str = ""  # makes a read conditional


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request, relative to the target. `name` groups requests in statistics: the operation, never a site."""

    method: str
    path: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes | None = field(repr=False)
    name: str


@dataclass(frozen=True, slots=True)
class Reply:
    """One HTTP reply; header names in small letters."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @classmethod
    def of(cls, status: int, headers: Iterable[tuple[str, str]], body: bytes) -> Reply:
        """A reply as an HTTP client gives it: names in any case, headers that come twice (cookies) joined."""
        joined: dict[str, str] = {}
        for name, value in headers:
            known = joined.get(name.lower())
            joined[name.lower()] = value if known is None else f"{known}, {value}"
        return cls(status, joined, body)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a reply means.

    accepted: done, and promised. refused: not done, and asking again will not help. busy: not done, ask again after
    `retry_after_s`. unclear: done or not, nobody knows (a gateway's 502, an answer that cannot be read).
    """

    verdict: Verdict
    status: int
    replayed: bool = False  # the first answer again: this write was known by its key
    retry_after_s: float | None = None
    values: Mapping[str, object] = field(default_factory=dict, repr=False)  # what the mapping extracts, by name
    problem: str = ""  # one line, for a person

    @property
    def accepted(self) -> bool:
        """Whether the backend has promised it."""
        return self.verdict == "accepted"


@runtime_checkable
class Backend(Protocol):
    """A reporting backend, seen from outside: what `--target-class module:Class` names.

    The class is called with `run_id=` (sent with every request, so that test records can be told) and `secrets=` (the
    environment's CAUCUS_TARGET_*, without the prefix).
    """

    @property
    def operations(self) -> frozenset[Operation]:
        """The operations that this backend has; users leave out the others."""
        ...

    def build(self, operation: Operation, ask: Ask) -> Request:
        """The request of an operation."""
        ...

    def read(self, operation: Operation, reply: Reply) -> Outcome:
        """What the reply to it means."""
        ...


@runtime_checkable
class Extracting(Protocol):
    """A backend that also says what its answers have to hold, as one that is read from a mapping can."""

    def extracts(self, operation: Operation) -> frozenset[str]:
        """The names that an accepted answer is expected to give."""
        ...


def evening(backend: Backend) -> tuple[Operation, ...]:
    """The writes of a chair's evening at this backend, in order: a report in steps or in one request, and its photo."""
    in_steps: tuple[Operation, ...] = STEPS if "report.open" in backend.operations else ("report",)
    return tuple(step for step in (*in_steps, "photo") if step in backend.operations)


def without_secrets(outcome: Outcome, ask: Ask) -> Outcome:
    """The same, though the backend repeats what was secret in the question: a PIN, a code, a session's token."""
    said = outcome.problem
    given = ask.session.values.values() if ask.session is not None else ()
    for secret in (ask.pin, ask.second_factor, *given):
        if isinstance(secret, str) and len(secret) >= _LEAST_SECRET:
            said = said.replace(secret, "***")
    return outcome if said == outcome.problem else replace(outcome, problem=said)


def signed_in(ask: Ask, outcome: Outcome) -> Session:
    """The session that an accepted log-in gives."""
    return Session(ask.user, ask.device, outcome.values, ask.address, time.time())


def reader_session(backend: Backend, send: Callable[[Request], Reply], accounts: Accounts) -> Session | None:
    """Somebody who may read what is stored, signed in; None where the list has nobody, or nobody signs in."""
    account = next((one for role in READERS for one in accounts.of(role)), None)
    if account is None or "login" not in backend.operations:
        return None
    ask = Ask(user=account.user, pin=account.pin, second_factor=account.second_factor(), device="ledger")
    outcome = without_secrets(backend.read("login", send(backend.build("login", ask))), ask)
    if not outcome.accepted:
        raise InputError(f"--pins: {account.user} cannot sign in: {outcome.problem or outcome.verdict}")
    return signed_in(ask, outcome)


def content(operation: Operation, ask: Ask) -> dict[str, object]:
    """What a write says of its site, in the reference backend's names whatever goes over the wire: what is hashed."""
    report = ask.report
    if operation == "photo":
        digest = ask.photo.sha256 if isinstance(ask.photo, Picture) else hashlib.sha256(ask.photo).hexdigest()
        return {"sha256": digest, "bytes": len(ask.photo), "type": ask.photo_type}
    match operation:
        case "review.approve":
            return {"version": ask.version}
        case "review.choose":
            return {"version": ask.version, "entry": ask.entry}
        case "review.return":
            return {"version": ask.version, "reason": ask.reason}
    if report is None:
        raise ValueError(f"{operation} needs a report")
    match operation:
        case "report.open":
            return {"attendees": report.attendees}
        case "report.first_alignment":
            return {"counts": dict(report.first_alignment)}
        case "report.final":
            return {"counts": dict(report.final), "delegates": dict(report.delegates)}
        case _:  # `report` and `clerk`: all of it
            return {
                "attendees": report.attendees,
                "first_alignment": dict(report.first_alignment),
                "final": dict(report.final),
                "delegates": dict(report.delegates),
            }


STEP_NAMES: Mapping[Operation, str] = {  # of a write where its content is hashed, as `content.content_sha256` has them
    "report": "report",
    "report.open": "open",
    "report.first_alignment": "first-alignment",
    "report.final": "final",
    "photo": "photo",
    "clerk": "entry",
    "review.approve": "approve",
    "review.choose": "choose",
    "review.return": "return",
}
