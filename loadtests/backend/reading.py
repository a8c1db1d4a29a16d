"""What people who logged in may read: one site's report, what waits for review, every version, the audit log.

Pages are found by key, never by counting rows. Knows nothing of who asks.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from loadtests.backend import checks, storage
from loadtests.backend.checks import RefusedError, finding
from loadtests.backend.records import Record, State, Step, refuse_photo_of
from loadtests.backend.writer import held_photos, read_records

if TYPE_CHECKING:
    from loadtests.backend.storage import Database

# For a reviewer, who may send back as well what waits for a clerk who never comes.
WAITING = (State.IN_REVIEW, State.APPROVED_ONCE, State.DIFFERS, State.ENTERED_ONCE)
_LATE_LINKS = 1_000  # one after the other that may hold nothing but late events: a link a second, for ten minutes
_records, _versions, _events = storage.records, storage.versions, storage.events


def report(database: Database, code: str) -> dict[str, Any]:
    """How far a site's report is."""
    caucus = database.caucus()
    with database.engine.connect() as connection:
        row = connection.execute(
            sa.select(_records.c.state, _records.c.version, _records.c.record).where(_records.c.site == code)
        ).one()
    record = Record.of(row.state, row.version, row.record)
    return {
        "site": code,
        "state": record.state,
        "version": record.version,
        **record.figures.json(),
        "photo": record.photo,
        "warnings": record.warnings,
        "next": record.next_step(ballot=not checks.has_groups(caucus.sites[code], caucus.rules)),
    }


def photo(database: Database, code: str) -> Mapping[str, Any] | None:
    """Digest and type of the photo that a site's record holds; None where it holds none."""
    with database.engine.connect() as connection:
        row = connection.execute(sa.select(_records.c.record).where(_records.c.site == code)).scalar_one()
    held: Mapping[str, Any] | None = json.loads(row).get("photo")
    return held


def photo_digests(database: Database) -> set[str]:
    """Of every photo that a version names."""
    with database.engine.connect() as connection:
        contents = connection.execute(sa.select(_versions.c.content).where(_versions.c.step == Step.PHOTO)).scalars()
        return {json.loads(content)["sha256"] for content in contents}


def refuse_photo(database: Database, code: str, actor: str, key: str, *, correction: bool, forgets: bool) -> None:
    """Raise RefusedError where a photo would be refused whatever it shows: asked before it is received."""
    sent = sa.select(_versions.c.step, _versions.c.site).where(
        _versions.c.unique_key == key, _versions.c.actor == actor
    )
    caucus = database.caucus()
    with database.reading() as connection:
        before = connection.execute(sent).first()
        if before is not None:
            if (before.step, before.site) != (Step.PHOTO, code):
                raise RefusedError(finding("R02"))
            return  # a repetition: whether of the same photo, its digest tells
        record = read_records(connection, [code])[code]
        photos = held_photos(connection, [code])[code]
    refuse_photo_of(caucus, record, code, photos, correction=correction, forgets=forgets)


def review(database: Database, after: str, limit: int) -> dict[str, Any]:
    """Records that wait for a reviewer, by site."""
    columns = (_records.c.site, _records.c.state, _records.c.version, _records.c.record)
    waiting = sa.select(*columns).where(_records.c.state.in_(WAITING), _records.c.site > after)
    with database.engine.connect() as connection:
        rows = connection.execute(waiting.order_by(_records.c.site).limit(limit)).all()
    found = []
    for row in rows:
        record = Record.of(row.state, row.version, row.record)
        found.append(
            {
                "site": row.site,
                "version": record.version,
                "state": record.state,
                "approved_by": record.approved_by,
                **record.figures.json(),
                "photo": record.photo,
                "warnings": record.warnings,
                "entries": [{"by": entry["by"], **entry["figures"]} for entry in record.entries],
                "differences": record.differences,
            }
        )
    return {"reports": found, "next": rows[-1].site if len(rows) == limit else None}


def versions(database: Database, after: str, limit: int) -> dict[str, Any]:
    """Stored versions, by site and number; `after` is "SITE-NUMBER" or empty."""
    v = _versions.c
    columns = (v.site, v.number, v.step, v.actor, v.role, v.key, v.content_sha256, v.at, v.state)
    asked = sa.select(*columns).order_by(v.site, v.number).limit(limit)
    if after:
        site, _, number = after.partition("-")
        asked = asked.where(sa.or_(v.site > site, sa.and_(v.site == site, v.number > int(number))))
    with database.engine.connect() as connection:
        rows = connection.execute(asked).all()
    found = []
    for row in rows:
        version = dict(row._mapping)
        number = version.pop("number")
        found.append({"id": f"{row.site}-{number}", "version": number, **version})
    return {"records": found, "next": found[-1]["id"] if len(rows) == limit else None}


def unsealed(database: Database) -> int:
    """Events that no link of the chain covers yet; the keeper seals once a second."""
    links = sa.select(storage.seals.c.events).order_by(storage.seals.c.number.desc()).limit(_LATE_LINKS)
    with database.engine.connect() as connection:
        sealed = connection.execute(links).scalars()
        through = max((int(spans.rpartition(",")[2].rpartition("-")[2]) for spans in sealed), default=0)
        return connection.execute(sa.select(sa.func.count()).where(_events.c.id > through)).scalar_one()


def audit(database: Database, after: int, limit: int) -> dict[str, Any]:
    """Events of the audit log, by number; numbers have gaps, and a lower one may become visible after a higher one."""
    with database.engine.connect() as connection:
        rows = connection.execute(
            sa.select(_events).where(_events.c.id > after).order_by(_events.c.id).limit(limit)
        ).all()
    found = [{**row._mapping, "content": json.loads(row.content)} for row in rows]
    return {"events": found, "next": rows[-1].id if len(rows) == limit else None}
