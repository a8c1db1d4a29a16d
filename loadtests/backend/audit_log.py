"""The audit log: what happened, in events that can only be added, sealed in batches by a chain of hashes.

`seal` is for the keeper alone; `verify` recomputes everything from the first record. Each link covers the events that
became visible since the last one, by their numbers: transactions commit in another order than they number their rows.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from loadtests.backend import photo_files, records, storage
from loadtests.backend.records import Record, State, Step
from loadtests.backend.storage import Database
from loadtests.content import canonical, content_sha256

FIRST_LINK = "0" * 64  # what the first link names as the one before
VERSION = "version"  # the kind of event that every version has
PUBLICATION = "publication"
RELEASE = "release"  # the kind of event that every release has: {"number", "sha256"}
MOST_PROBLEMS = 20  # written out
_BATCH = 5_000  # events of one link at most
_LATEST_COMMIT_S = 600.0  # no transaction lasts longer (`storage` bounds them): what is not there by then never comes
_PUBLICATION = ("at", "held", "actor", "key", "unique_key", "content_sha256")


def append(
    connection: sa.Connection,
    kind: str,
    actor: str,
    content: Mapping[str, Any],
    *,
    site: str | None = None,
) -> None:
    """Add an event in the transaction of what it tells of; `content` holds no secret."""
    row = {"at": storage.now(), "kind": kind, "actor": actor, "site": site, "content": canonical(content)}
    connection.execute(sa.insert(storage.events), [row])


def version_event(row: Mapping[str, Any]) -> dict[str, Any]:
    """The event of a version: what and who, and a digest over all of the row."""
    told = {name: row[name] for name in ("step", "role", "key", "content_sha256", "state")}
    return {
        "at": row["at"],
        "kind": VERSION,
        "actor": row["actor"],
        "site": row["site"],
        "version": row["number"],
        "content": canonical({**told, "sha256": row_sha256(row)}),
    }


def publication_event(row: Mapping[str, Any]) -> dict[str, Any]:
    """The event of results held back or let out. The row's number is the database's: it is not in the digest."""
    content = canonical({"held": row["held"], "key": row["key"], "sha256": row_sha256(row)})
    empty = {"site": None, "version": None}
    return {"at": row["at"], "kind": PUBLICATION, "actor": row["actor"], "content": content, **empty}


def row_sha256(row: Mapping[str, Any]) -> str:
    """The digest of all columns of a row."""
    return hashlib.sha256(canonical(dict(row)).encode()).hexdigest()


def link_sha256(number: int, at: str, previous: str, events: Iterable[Mapping[str, Any]]) -> str:
    """The digest of a link: of the one before, and of all columns of its events in the order of their numbers."""
    digest = hashlib.sha256(canonical([number, at, previous]).encode())
    for event in events:
        digest.update(canonical(dict(event)).encode())
    return digest.hexdigest()


def head(connection: sa.Connection) -> tuple[int, str]:
    """Number and digest of the last link; (0, FIRST_LINK) where there is none."""
    last = sa.select(storage.seals.c.number, storage.seals.c.sha256).order_by(storage.seals.c.number.desc()).limit(1)
    row = connection.execute(last).first()
    return (row.number, row.sha256) if row else (0, FIRST_LINK)


class Sealer:
    """Adds links to the chain. One at a time: whoever holds the keeper's lock; a second one would fail on a number."""

    def __init__(self) -> None:
        self._link = -1  # the last one that this sealer knows; -1: not looked yet
        self._through = 0  # events up to here are sealed, but for those passed over
        self._passed: dict[int, float] = {}  # numbers passed over, and when: of transactions that commit late, or never

    def seal(self, database: Database) -> int:
        """Seal what is visible and was not; how many events that were."""
        with database.writing() as connection:
            number, previous = head(connection)
            if number != self._link:  # somebody else sealed
                self._look_back(connection)
            late = list(_events(connection, storage.events.c.id.in_(self._passed))) if self._passed else []
            found = [*late, *_events(connection, storage.events.c.id > self._through, _BATCH)]
            if found:
                number, at = number + 1, storage.now()
                link = {
                    "number": number,
                    "at": at,
                    "events": spans([event["id"] for event in found]),
                    "previous": previous,
                    "sha256": link_sha256(number, at, previous, found),
                }
                connection.execute(sa.insert(storage.seals), [link])
        self._link = number
        self._take_note([event["id"] for event in found])
        return len(found)

    def _look_back(self, connection: sa.Connection) -> None:
        """Find where whoever sealed before stopped: what is there and is not sealed, below what is."""
        sealed = {
            one for text in connection.execute(sa.select(storage.seals.c.events)).scalars() for one in numbers(text)
        }
        self._through = max(sealed, default=0)
        now = time.monotonic()
        self._passed = {one: now for one in range(1, self._through) if one not in sealed}

    def _take_note(self, ids: Sequence[int]) -> None:
        now = time.monotonic()
        for one in ids:
            self._passed.pop(one, None)
        if ids and ids[-1] > self._through:
            there = set(ids)
            self._passed.update((one, now) for one in range(self._through + 1, ids[-1]) if one not in there)
            self._through = ids[-1]
        self._passed = {one: since for one, since in self._passed.items() if now - since < _LATEST_COMMIT_S}


class ChainOfRows:
    """A fault: a link for each event, made in the write's own transaction, from a head that each process remembers.

    It costs two statements for every row; and two processes, or a transaction that is rolled back, fork it.
    """

    def __init__(self) -> None:
        self._head: str | None = None

    def append(self, connection: sa.Connection, events: Sequence[Mapping[str, Any]]) -> None:
        """Add events, each with a link of its own."""
        for event in events:
            if self._head is None:
                self._head = head(connection)[1]
            made = connection.execute(sa.insert(storage.events).values(**event).returning(storage.events))
            row = made.one()._asdict()
            at = storage.now()
            link = {"number": row["id"], "at": at, "events": str(row["id"]), "previous": self._head}
            self._head = link_sha256(row["id"], at, self._head, [row])
            connection.execute(sa.insert(storage.seals).values(**link, sha256=self._head))


def _events(
    connection: sa.Connection, which: sa.ColumnElement[bool], limit: int | None = None
) -> Iterator[Mapping[str, Any]]:
    rows = connection.execute(sa.select(storage.events).where(which).order_by(storage.events.c.id).limit(limit))
    return (row._asdict() for row in rows)


def spans(ids: Sequence[int]) -> str:
    """Numbers in order as "17-80,82"."""
    found: list[list[int]] = []
    for one in ids:
        if found and one == found[-1][1] + 1:
            found[-1][1] = one
        else:
            found.append([one, one])
    return ",".join(f"{low}" if low == high else f"{low}-{high}" for low, high in found)


def numbers(text: str) -> Iterator[int]:
    """The numbers that `spans` wrote."""
    for span in text.split(","):
        low, _, high = span.partition("-")
        yield from range(int(low), int(high or low) + 1)


@dataclass
class Verdict:
    """What `verify` found: the first thing that is wrong comes first."""

    problems: list[str] = field(default_factory=list)  # the first MOST_PROBLEMS
    found: int = 0  # problems in all
    events: int = 0
    unsealed: int = 0  # events that no link covers yet; the keeper seals once a second
    links: int = 0
    versions: int = 0
    photos: int = 0
    head: str = FIRST_LINK  # the last link: note it down, and ask for it the next time

    @property
    def ok(self) -> bool:
        """Whether everything is as it was written."""
        return self.found == 0

    def says(self, problem: str) -> None:
        """Note one more."""
        self.found += 1
        if len(self.problems) < MOST_PROBLEMS:
            self.problems.append(problem)


def verify(database: Database, expect: str | None = None, *, photos: bool = True) -> Verdict:
    """Recompute everything from the first record: chain, events, versions, records, releases, photos.

    `expect` is the head of an earlier verdict, kept elsewhere: without it nobody could tell a log that was rewritten as
    a whole. With `photos`, every photo is read.
    """
    with database.reading() as connection:
        return verify_in(connection, database.photos if photos else None, expect)


def verify_in(connection: sa.Connection, photos: Path | None = None, expect: str | None = None) -> Verdict:
    """The same of what a transaction sees; photos are read where their folder is given."""
    verdict = Verdict()
    _verify_chain(connection, verdict, expect)
    _verify_versions(connection, photos, verdict)
    _verify_publications(connection, verdict)
    _verify_releases(connection, verdict)
    return verdict


def _verify_chain(connection: sa.Connection, verdict: Verdict, expect: str | None) -> None:
    covered: set[int] = set()
    expected = expect is None
    for link in connection.execute(sa.select(storage.seals).order_by(storage.seals.c.number)):
        verdict.links += 1
        named = f"link {link.number} of the chain (events {link.events})"
        if link.previous != verdict.head:
            verdict.says(f"{named}: does not follow the link before it")
        verdict.head = link.sha256
        expected = expected or link.sha256 == expect
        ids = list(numbers(link.events))
        again = covered.intersection(ids)
        if again:
            verdict.says(f"{named}: event {min(again)} is sealed twice")
        covered.update(ids)
        events: list[Mapping[str, Any]] = []
        for span in link.events.split(","):
            low, _, high = span.partition("-")
            events += _events(connection, storage.events.c.id.between(int(low), int(high or low)))
        if len(events) < len(ids):
            verdict.says(f"{named}: event {min(set(ids).difference(event['id'] for event in events))} is gone")
        elif link_sha256(link.number, link.at, link.previous, events) != link.sha256:
            verdict.says(f"{named}: the link or one of its events was changed")
    verdict.events = connection.execute(sa.select(sa.func.count()).select_from(storage.events)).scalar_one()
    verdict.unsealed = max(0, verdict.events - len(covered))
    if not expected:
        verdict.says(f"the chain does not hold the link {expect}: this is not the log that was seen then")


def _verify_versions(connection: sa.Connection, photos: Path | None, verdict: Verdict) -> None:
    """Walk through versions and their events side by side, both in the order of sites and numbers."""
    table, told = storage.versions, storage.events
    held = {row.site: row for row in connection.execute(sa.select(storage.records))}
    streaming = connection.execution_options(yield_per=1000)
    versions = streaming.execute(sa.select(table).order_by(table.c.site, table.c.number))
    query = sa.select(told).where(told.c.kind == VERSION).order_by(told.c.site, told.c.version, told.c.id)
    events = _ByVersion(streaming.execute(query), verdict)
    for site, rows in itertools.groupby(versions, lambda row: row.site):
        record, accepted = Record(), None
        for row in rows:
            named = f"version {row.number} of site {site}"
            verdict.versions += 1
            record = _verify_version(record, row._asdict(), events.of(site, row.number), named, verdict)
            if record.state is State.ACCEPTED and row.step != Step.PHOTO:
                accepted = (row.number, canonical(record.figures.json()))
            if photos is not None and row.step == Step.PHOTO:
                verdict.photos += 1
                _verify_photo(photos, json.loads(row.content), named, verdict)
        _verify_record(held.pop(site, None), site, record, accepted, verdict)
    events.rest()
    for one in held.values():
        _verify_record(one, one.site, Record(), None, verdict)


class _ByVersion:
    """The events of versions, handed out in the versions' own order; what belongs to none is told."""

    def __init__(self, rows: Iterable[sa.Row[Any]], verdict: Verdict) -> None:
        self._rows = iter(rows)
        self._verdict = verdict
        self._next = next(self._rows, None)

    def of(self, site: str, number: int) -> sa.Row[Any] | None:
        """The event of a version."""
        while self._next is not None and (self._next.site, self._next.version) < (site, number):
            self._orphan()
        found = None
        while self._next is not None and (self._next.site, self._next.version) == (site, number):
            if found is not None:
                self._verdict.says(f"event {self._next.id}: tells of version {number} of site {site} once more")
            found, self._next = found or self._next, next(self._rows, None)
        return found

    def rest(self) -> None:
        """Behind the last version nothing may come."""
        while self._next is not None:
            self._orphan()

    def _orphan(self) -> None:
        event, self._next = self._next, next(self._rows, None)
        if event is not None:
            told = f"tells of version {event.version} of site {event.site}, which is gone"
            self._verdict.says(f"event {event.id}: {told}")


def _verify_version(
    record: Record, version: Mapping[str, Any], event: sa.Row[Any] | None, named: str, verdict: Verdict
) -> Record:
    """The record after a version that follows on `record`."""
    if version["number"] != record.version + 1:
        verdict.says(f"{named}: version {record.version + 1} is gone")
    expected = version_event(version)
    if event is None:
        verdict.says(f"{named}: has no event")
    elif (event.at, event.actor, event.content) != (expected["at"], expected["actor"], expected["content"]):
        verdict.says(f"{named}: is not what its event {event.id} tells")
    try:
        body = json.loads(version["content"])
        if content_sha256(version["step"], version["site"], body) != version["content_sha256"]:
            verdict.says(f"{named}: its content was changed")
        warnings = json.loads(version["warnings"])
        after = records.replay(record, version["step"], body, version["actor"], warnings)
    except (KeyError, IndexError, TypeError, ValueError):
        verdict.says(f"{named}: does not make sense after version {record.version}")
        return replace(record, version=version["number"])
    if after.state != version["state"]:
        verdict.says(f"{named}: says {version['state']}, but {after.state.value} follows from what was written")
    return replace(after, version=version["number"])


def _verify_record(
    held: sa.Row[Any] | None, site: str, record: Record, accepted: tuple[int, str] | None, verdict: Verdict
) -> None:
    if held is None:
        verdict.says(f"site {site}: has versions and no record")
        return
    if (held.state, held.version) != (record.state.value, record.version):
        verdict.says(
            f"site {site}: its record says {held.state}, version {held.version}; "
            f"{record.state.value}, version {record.version} follows from its versions"
        )
    elif Record.of(held.state, held.version, held.record) != record:
        verdict.says(f"site {site}: its record is not what its versions come to")
    if (held.accepted_version, held.accepted) != (accepted or (None, None)):
        verdict.says(f"site {site}: its public figures are not those of its accepted version")


def _verify_photo(photos: Path, body: Mapping[str, Any], named: str, verdict: Verdict) -> None:
    path = photo_files.photo_path(photos, body["sha256"], body["type"])
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        verdict.says(f"{named}: its photo {path.name} is gone")
        return
    if digest != body["sha256"]:
        verdict.says(f"{named}: its photo {path.name} was changed")


def _verify_publications(connection: sa.Connection, verdict: Verdict) -> None:
    told = _events(connection, storage.events.c.kind == PUBLICATION)
    said = sorted(((event["at"], event["actor"], event["content"]) for event in told), key=str)
    rows = connection.execute(sa.select(storage.publications))
    written = [publication_event({name: row._mapping[name] for name in _PUBLICATION}) for row in rows]
    if said != sorted(((event["at"], event["actor"], event["content"]) for event in written), key=str):
        verdict.says("what holds results back or lets them out is not what the events tell")


def _verify_releases(connection: sa.Connection, verdict: Verdict) -> None:
    """A release shows versions that made their record accepted, and its event tells its digest."""
    rows, versions = storage.release_rows, storage.versions
    pairs = sa.and_(versions.c.site == rows.c.site, versions.c.number == rows.c.version)
    query = sa.select(rows, versions.c.state).outerjoin(versions, pairs).order_by(rows.c.release, rows.c.site)
    for row in connection.execute(query):
        if row.state != State.ACCEPTED:
            verdict.says(f"release {row.release}: site {row.site}, version {row.version} was never accepted")
    told = {
        json.loads(event["content"])["number"]: event for event in _events(connection, storage.events.c.kind == RELEASE)
    }
    for row in connection.execute(sa.select(storage.releases).order_by(storage.releases.c.number)):
        event = told.pop(row.number, None)
        if event is None:
            verdict.says(f"release {row.number}: has no event")
        elif json.loads(event["content"])["sha256"] != row.sha256:
            verdict.says(f"release {row.number}: is not what its event {event['id']} tells")
    for number in told:
        verdict.says(f"release {number}: is gone")
