"""The operations of /v1: who may do each, what it is sent, what is done with it, what it answers.

One table, from which requests are routed, checked and authorized, and from which `openapi` writes the document. No
framework stands in this path: FastAPI's alone takes 300 us a request, a third of what a core can do for one.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from pydantic import BaseModel, ValidationError
from starlette.types import Receive, Scope

from loadtests.backend import edge, messages, photos, reading
from loadtests.backend.checks import RefusedError
from loadtests.backend.edge import Reply, json_reply, problems_reply
from loadtests.backend.identity.journal import text_of
from loadtests.backend.identity.roles import ADMINISTRATOR, CHAIR, CLERK, OBSERVER, REVIEWER, Session
from loadtests.backend.pool import Pool, PoolBusyError
from loadtests.backend.records import Command, Step
from loadtests.backend.refusals import Refusal
from loadtests.backend.settings import JSON_BYTES, PHOTO_BYTES, UPLOADS, Settings
from loadtests.backend.writer import QueueFullError, UnclearError

if TYPE_CHECKING:
    from loadtests.backend.identity.login import Identity
    from loadtests.backend.storage import Caucus, Database
    from loadtests.backend.writer import Writer

_KEY = re.compile(messages.KEY_PATTERN[:-1].encode() + rb"\Z")
_DEVICE = re.compile(messages.DEVICE_PATTERN[:-1].encode() + rb"\Z")
_BEARER = re.compile(rb"[Bb]earer +([A-Za-z0-9_-]{43})\Z")
_CORRECTION = re.compile(messages.CORRECTION_PATTERN[:-1].encode() + rb"\Z")
_UPLOADS = 2  # photos of a site that are received at once: one, and one that is sent again meanwhile
_REPLAYED = (b"idempotency-replayed", b"true")


@dataclass(slots=True)
class Services:
    """What the operations of one process work with."""

    settings: Settings
    database: Database
    caucus: Caucus
    writer: Writer
    identity: Identity
    reads: Pool  # threads that ask the database
    files: Pool  # threads that write and read photos
    uploads: Counter[str] = field(default_factory=Counter)  # photos that are being received, by site


@dataclass(slots=True)
class Call:
    """One request, as far as it was checked."""

    services: Services
    receive: Receive
    headers: Mapping[bytes, bytes]
    address: str
    device: str
    site: str  # of the path; empty where the path has none
    session: Session
    key: str
    body: Any
    page: Any


Act = Callable[[Call], Awaitable[Reply]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One line of the table."""

    method: str
    path: str
    summary: str
    act: Act
    status: int = 200
    roles: frozenset[str] | None = None  # None: nobody has to have logged in
    body: type[BaseModel] | None = None
    photo: bool = False  # the body is one
    gives_photo: bool = False  # the answer is one
    page: type[BaseModel] | None = None
    answer: type[BaseModel] | None = None
    conflicts: bool = False  # the rules may refuse it: 409

    @property
    def writes(self) -> bool:
        """Whether it takes an Idempotency-Key and goes through the writer."""
        return self.conflicts

    @property
    def of_site(self) -> bool:
        """Whether the path names a site."""
        return "{site}" in self.path


async def answer(
    operation: Operation, services: Services, scope: Scope, receive: Receive, site: str, address: str
) -> Reply:
    """Check a request in order (token, role, site, key, form), then do it. Raises Refusal."""
    headers = edge.headers_of(scope)
    device = headers.get(b"x-device", b"")
    if operation.roles is None:
        if not _DEVICE.match(device):
            raise Refusal("H07", "the header X-Device names the device: 1 to 64 of A-Z a-z 0-9 _ -", field="X-Device")
        services.identity.refuse_flood(device.decode(), address)
        session = _NOBODY
    else:
        session = await _authorized(operation, services, headers, device, site, address)
    key = headers.get(b"idempotency-key", b"")
    if operation.writes and not _KEY.match(key):
        raise Refusal(
            "H07", "every write has a header Idempotency-Key of 8 to 64 of A-Z a-z 0-9 _ -", field="Idempotency-Key"
        )
    page = _page(operation.page, scope) if operation.page is not None else None
    body = await _body(operation.body, receive, headers) if operation.body is not None else None
    call = Call(services, receive, headers, address, device.decode(), site, session, key.decode(), body, page)
    if operation.photo and services.uploads.total() >= UPLOADS and not services.settings.turns_nobody_away:
        raise Refusal("H09", "many photos are being received already", retry_after_s=2)
    try:
        return await operation.act(call)
    except QueueFullError as error:
        raise Refusal("H09", retry_after_s=error.retry_after_s) from None
    except UnclearError:
        raise Refusal("H10", retry_after_s=1) from None
    except PoolBusyError:
        raise Refusal("H09", retry_after_s=1) from None


_NOBODY = Session("", "-", "", None, "", 0)


async def _authorized(
    operation: Operation, services: Services, headers: Mapping[bytes, bytes], device: bytes, site: str, address: str
) -> Session:
    token = _BEARER.match(headers.get(b"authorization", b""))
    if token is None or not _DEVICE.match(device):
        raise Refusal("A01")
    session = await services.identity.who(token[1].decode(), device.decode(), address)
    if operation.roles is not None and session.role not in operation.roles:
        services.identity.journal.note("refused_role", session.user, address)
        raise Refusal("A04", f"a {session.role} may not do this: it takes a {' or '.join(sorted(operation.roles))}")
    if operation.of_site and not session.may_reach(site):
        services.identity.journal.note("refused_site", session.user, address)
        raise Refusal("A05")
    return session


async def _body(model: type[BaseModel], receive: Receive, headers: Mapping[bytes, bytes]) -> BaseModel:
    if edge.media_type(headers) != b"application/json":
        raise Refusal("H06", "the body has to be sent as Content-Type: application/json")
    text = await edge.body_of(receive, headers, JSON_BYTES)
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        if all(problem["type"] in _MAYBE_WHOLE for problem in error.errors(include_url=False, include_input=False)):
            return _whole(model, text, error)
        raise MalformedError(error) from None


_MAYBE_WHOLE = ("int_type", "int_from_float", "literal_error")


def _whole(model: type[BaseModel], text: bytes, error: ValidationError) -> BaseModel:
    """A body in which 31.0 may stand for 31: to JSON they are the same number."""
    try:
        return model.model_validate(json.loads(text, parse_float=_number))
    except (ValidationError, ValueError):
        raise MalformedError(error) from None


def _number(text: str) -> float | int:
    number = float(text)
    return int(number) if number.is_integer() else number


def _page(model: type[BaseModel], scope: Scope) -> BaseModel:
    try:
        asked = parse_qsl(
            scope["query_string"].decode("latin-1"), keep_blank_values=True, strict_parsing=False, max_num_fields=20
        )
    except ValueError:
        raise Refusal("H07", "a query of at most 20 fields", field="query") from None
    try:
        return model.model_validate_strings(dict(asked))
    except ValidationError as error:
        raise MalformedError(error) from None


class MalformedError(Exception):
    """A body or query that does not match its schema; it never quotes what was sent, which may be a PIN."""

    def __init__(self, error: ValidationError) -> None:
        problems = error.errors(include_url=False, include_context=False, include_input=False)
        self.status = 400 if problems[0]["type"] == "json_invalid" else 422
        code = "H01" if self.status == 400 else "H07"
        self.problems = [
            {"code": code, "message": problem["msg"], "field": ".".join(map(str, problem["loc"])) or "body"}
            for problem in problems[:20]
        ]
        super().__init__(code)


async def _log_in(call: Call) -> Reply:
    asked: messages.LogIn = call.body
    identity = call.services.identity
    token, session = await identity.log_in(asked.user, asked.pin, asked.second_factor, call.device, call.address)
    site = call.services.caucus.sites.get(session.site or "")
    facts = None
    if site is not None:
        facts = {
            "code": site.code,
            "id": site.id,
            "county": site.county,
            "precinct": site.precinct,
            "delegates": site.delegates,
            "satellite": site.satellite,
            "groups": list(call.services.caucus.groups),
        }
    expires_at = text_of(session.expires_at_ms)
    return json_reply(200, {"token": token, "expires_at": expires_at, "role": session.role, "site": facts})


async def _log_out(call: Call) -> Reply:
    await call.services.identity.log_out(call.session)
    return Reply(204)


async def _write(
    call: Call, step: str, site: str, body: Mapping[str, Any], photo: photos.Received | None = None
) -> Reply:
    file = photo.file if photo is not None else None
    command = Command(step, site, call.session.user, call.session.role, call.key, body, file)
    found = await call.services.writer.do(command)
    return json_reply(found.status, found.body, *((_REPLAYED,) if found.replayed else ()))


def _step(step: str) -> Act:
    async def act(call: Call) -> Reply:
        body: BaseModel = call.body
        return await _write(call, step, call.site, body.model_dump(exclude_none=True))

    return act


async def _photo(call: Call) -> Reply:
    """Whatever can be refused is refused before the photo is let in; what is refused after that is not kept."""
    services = call.services
    declared = edge.media_type(call.headers).decode("latin-1")
    _known(call)
    photos.refuse_type(declared)
    await edge.refuse_declared(call.receive, call.headers, PHOTO_BYTES)
    correction = call.headers.get(b"x-correction")
    if correction is not None and not _CORRECTION.match(correction):
        raise Refusal("H07", "X-Correction holds 1 to 500 printable ASCII characters", field="X-Correction")
    if services.uploads[call.site] >= _UPLOADS:
        raise Refusal("H09", "photos of this site are being received already", retry_after_s=1)
    services.uploads[call.site] += 1
    try:
        await services.reads.run(
            reading.refuse_photo,
            services.database,
            call.site,
            call.session.user,
            call.key,
            correction=correction is not None,
            forgets="no_idempotency" in services.settings.faults,
        )
        parts = edge.body_parts(call.receive, PHOTO_BYTES)
        async with photos.received(parts, declared, services.database.photos, services.files) as received:
            body = dict(received.facts)
            if correction is not None:
                body["correction"] = correction.decode("ascii")
            return await _write(call, Step.PHOTO, call.site, body, received)
    except RefusedError as error:
        return json_reply(error.status, {"errors": [one.json() for one in error.findings]})
    finally:
        services.uploads[call.site] -= 1
        if not services.uploads[call.site]:
            del services.uploads[call.site]


async def _show_photo(call: Call) -> Reply:
    _known(call)
    held = await call.services.reads.run(reading.photo, call.services.database, call.site)
    if held is None:
        raise Refusal("H02", f"no photo is held of site {call.site}")
    return await photos.stored(call.services.database.photos, held, call.services.files)


async def _enter(call: Call) -> Reply:
    body = call.body.model_dump()
    return await _write(call, Step.ENTRY, body.pop("site"), body)


async def _publish(call: Call) -> Reply:
    return await _write(call, Step.PUBLICATION, "", call.body.model_dump())


def _known(call: Call) -> None:
    if call.site not in call.services.caucus.sites:
        raise Refusal("H02", f"there is no site {call.site}")


async def _report(call: Call) -> Reply:
    _known(call)
    return json_reply(200, await call.services.reads.run(reading.report, call.services.database, call.site))


def _list(read: Callable[[Database, Any, int], dict[str, Any]]) -> Act:
    async def act(call: Call) -> Reply:
        found = await call.services.reads.run(read, call.services.database, call.page.after, call.page.limit)
        return json_reply(200, found)

    return act


_CHAIRS = frozenset({CHAIR})
_CLERKS = frozenset({CLERK})
_REVIEWERS = frozenset({REVIEWER})
_ADMINISTRATORS = frozenset({ADMINISTRATOR})
_WATCHERS = frozenset({ADMINISTRATOR, OBSERVER})
_VIEWERS = frozenset({CHAIR, REVIEWER, ADMINISTRATOR})  # of a photo, which may show people's names
_ANYBODY = frozenset({CHAIR, CLERK, REVIEWER, ADMINISTRATOR, OBSERVER})
_REPORT = {"roles": _CHAIRS, "status": 201, "answer": messages.Written, "conflicts": True}
_REVIEW = {"roles": _REVIEWERS, "status": 201, "answer": messages.Written, "conflicts": True}


def _of(method: str, path: str, summary: str, act: Act, **more: Any) -> Operation:
    return Operation(method=method, path=path, summary=summary, act=act, **more)


OPERATIONS: tuple[Operation, ...] = (
    _of(
        "POST",
        "/v1/reports/{site}/first-alignment",
        "People in each group after the first alignment",
        _step(Step.FIRST_ALIGNMENT),
        body=messages.FirstAlignment,
        **_REPORT,
    ),
    _of(
        "POST",
        "/v1/reports/{site}/final",
        "People and delegates of each group at the end",
        _step(Step.FINAL),
        body=messages.Final,
        **_REPORT,
    ),
    _of(
        "POST",
        "/v1/reports/{site}/open",
        "The head count, which freezes N",
        _step(Step.OPEN),
        body=messages.Open,
        **_REPORT,
    ),
    _of("POST", "/v1/reports/{site}/photo", "The worksheet, photographed", _photo, photo=True, **_REPORT),
    _of(
        "GET",
        "/v1/reports/{site}/photo",
        "The worksheet, to look at",
        _show_photo,
        roles=_VIEWERS,
        gives_photo=True,
    ),
    _of(
        "GET",
        "/v1/reports/{site}",
        "How far a report is, to go on with it",
        _report,
        roles=_ANYBODY,
        answer=messages.Report,
    ),
    _of("POST", "/v1/login", "A token for half an hour", _log_in, body=messages.LogIn, answer=messages.Token),
    _of("POST", "/v1/logout", "End of a session", _log_out, roles=_ANYBODY, status=204),
    _of(
        "POST",
        "/v1/entries",
        "A whole report, keyed by the hotline; two clerks do",
        _enter,
        body=messages.Entry,
        roles=_CLERKS,
        status=201,
        answer=messages.Written,
        conflicts=True,
    ),
    _of(
        "GET",
        "/v1/review",
        "What waits for a reviewer, and why",
        _list(reading.review),
        roles=_REVIEWERS,
        page=messages.SitePage,
        answer=messages.Review,
    ),
    _of(
        "POST",
        "/v1/review/{site}/approve",
        "One of the two approvals that accept a record",
        _step(Step.APPROVE),
        body=messages.Approve,
        **_REVIEW,
    ),
    _of(
        "POST",
        "/v1/review/{site}/return",
        "Ask the chair to correct a record",
        _step(Step.RETURN),
        body=messages.Return,
        **_REVIEW,
    ),
    _of(
        "POST",
        "/v1/review/{site}/choose",
        "Say which of two entries is right",
        _step(Step.CHOOSE),
        body=messages.Choose,
        **_REVIEW,
    ),
    _of(
        "GET",
        "/v1/records",
        "Every stored version, by site and number",
        _list(reading.versions),
        roles=_WATCHERS,
        page=messages.VersionPage,
        answer=messages.Records,
    ),
    _of(
        "GET",
        "/v1/audit",
        "The audit log",
        _list(reading.audit),
        roles=_WATCHERS,
        page=messages.EventPage,
        answer=messages.Audit,
    ),
    _of(
        "POST",
        "/v1/publication",
        "Hold results back, or let them go",
        _publish,
        body=messages.Publication,
        roles=_ADMINISTRATORS,
        status=201,
        answer=messages.Published,
        conflicts=True,
    ),
)


def malformed_reply(error: MalformedError) -> Reply:
    """The answer to what does not match its schema."""
    return problems_reply(error.status, error.problems)
