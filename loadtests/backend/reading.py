"""What people who logged in may read: one site's report, what waits for review, every version, the audit log.

Pages are found by key, never by counting rows. Knows nothing of who asks.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from loadtests.backend import checks, storage
from loadtests.backend.records import Record, State

if TYPE_CHECKING:
    from loadtests.backend.storage import Database

WAITING = (State.IN_REVIEW, State.APPROVED_ONCE, State.DIFFERS)
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
    last = sa.select(storage.seals.c.events).order_by(storage.seals.c.number.desc()).limit(1)
    with database.engine.connect() as connection:
        spans = connection.execute(last).scalar()
        through = int(spans.rpartition(",")[2].rpartition("-")[2]) if spans else 0
        return connection.execute(sa.select(sa.func.count()).where(_events.c.id > through)).scalar_one()


def audit(database: Database, after: int, limit: int) -> dict[str, Any]:
    """Events of the audit log, by number; numbers have gaps, and a lower one may become visible after a higher one."""
    with database.engine.connect() as connection:
        rows = connection.execute(
            sa.select(_events).where(_events.c.id > after).order_by(_events.c.id).limit(limit)
        ).all()
    found = [{**row._mapping, "content": json.loads(row.content)} for row in rows]
    return {"events": found, "next": rows[-1].id if len(rows) == limit else None}
