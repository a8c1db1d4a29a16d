"""Releases in the database: making one, reading one. The only part of public results that ever opens a connection.

Knows nothing of formats beyond the digest that a release is stored with.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any
from weakref import WeakKeyDictionary

import sqlalchemy as sa

from loadtests.backend.checks import STRAW_POLL
from loadtests.backend.records import Record, replay
from loadtests.backend.results.snapshot import Election, Figures, Release
from loadtests.backend.storage import (
    Site,
    caucus,
    events,
    is_held,
    now,
    publications,
    records,
    release_rows,
    releases,
    sites,
    versions,
)

_latest: WeakKeyDictionary[sa.Engine, Release] = WeakKeyDictionary()  # of each database: saves reading what is known


def make(connection: sa.Connection, faults: frozenset[str] = frozenset()) -> Release | None:
    """Write a release into a transaction; None where nothing changed, or where headquarters holds back results."""
    if is_held(connection):
        return None
    changed = _changed(connection, leaking="partial_published" in faults)
    if not changed:
        return None
    number = connection.execute(sa.select(sa.func.max(releases.c.number))).scalar() or 0
    previous = _load(connection, number)
    assert previous is not None, "the newest release is there"
    of = previous.election
    figures = {code: result.figures for code, result in previous.results.items()}
    for site, (version, text) in changed.items():
        figures[site] = _figures(of, version, json.loads(text))
    made_at = now()
    made = Release(of, number + 1, _time(made_at), figures, previous=previous)
    through = connection.execute(sa.select(sa.func.max(events.c.id))).scalar() or 0
    connection.execute(
        sa.insert(releases),
        [{"number": made.number, "made_at": made_at, "events_through": through, "sha256": made.sha256}],
    )
    connection.execute(
        sa.insert(release_rows),
        [{"release": made.number, "site": site, "version": version} for site, (version, _) in changed.items()],
    )
    _latest[connection.engine] = made
    return made


def _changed(connection: sa.Connection, *, leaking: bool) -> dict[str, tuple[int, str]]:
    """By site: the version that the public should have and has not, and its figures as JSON.

    Under the fault `partial_published` that is whatever headquarters holds, checked or not, complete or not.
    """
    version, figures = (
        (records.c.version, records.c.record) if leaking else (records.c.accepted_version, records.c.accepted)
    )
    public = (
        sa.select(release_rows.c.site, sa.func.max(release_rows.c.version).label("version"))
        .group_by(release_rows.c.site)
        .subquery()
    )
    rows = connection.execute(
        sa.select(records.c.site, version, figures)
        .outerjoin(public, public.c.site == records.c.site)
        .where(version > sa.func.coalesce(public.c.version, 0))
        .order_by(records.c.site)
    )
    return {site: (number, text) for site, number, text in rows}


def newest(connection: sa.Connection) -> tuple[int, datetime | None]:
    """The newest release's number, 0 for none, and since when results are held, if they are; cheap to ask often."""
    number = connection.execute(sa.select(sa.func.max(releases.c.number))).scalar() or 0
    last = sa.select(publications.c.held, publications.c.at).order_by(publications.c.number.desc()).limit(1)
    held, at = connection.execute(last).first() or (False, None)
    return number, _time(at) if held else None


def load(connection: sa.Connection, number: int | None = None) -> Release | None:
    """A release by its number, None where there is none; or the newest one, which knows whether results are held.

    Number 0 is before the first.
    """
    if number is not None:
        return _load(connection, number)
    number, held_since = newest(connection)
    found = _load(connection, number)
    if found is not None and held_since is not None:
        found = found.held(held_since)
    return found


def _load(connection: sa.Connection, number: int) -> Release | None:
    previous = _known(connection, number)
    if previous is not None and previous.number == number:
        return previous
    made_at = None
    if number:
        made_at = connection.execute(sa.select(releases.c.made_at).where(releases.c.number == number)).scalar()
        if made_at is None:
            return None
    of = previous.election if previous else _election(connection)
    figures = {code: result.figures for code, result in previous.results.items()} if previous else {}
    rows = connection.execute(
        sa.select(release_rows.c.site, sa.func.max(release_rows.c.version).label("version"))
        .where(release_rows.c.release > (previous.number if previous else 0), release_rows.c.release <= number)
        .group_by(release_rows.c.site)
    )
    figures |= _read(connection, of, {row.site: row.version for row in rows})
    found = Release(of, number, _time(made_at), figures, previous=previous)
    latest = _latest.get(connection.engine)
    if latest is None or latest.number < number:
        _latest[connection.engine] = found
    return found


def _known(connection: sa.Connection, number: int) -> Release | None:
    """The latest release that this process knows, if the database has that very one, and it is not newer than wanted.

    It may not have: what was made is gone where its transaction failed, and a backup may have been restored.
    """
    known = _latest.get(connection.engine)
    if known is None or known.number > number:
        return None
    if known.number == 0:
        return known
    stored = connection.execute(sa.select(releases.c.sha256).where(releases.c.number == known.number)).scalar()
    if stored == known.sha256:
        return known
    _latest.pop(connection.engine, None)
    return None


def _election(connection: sa.Connection) -> Election:
    """What the database was seeded with, as results need it."""
    facts = {row.name: json.loads(row.value) for row in connection.execute(sa.select(caucus))}
    rows = connection.execute(sa.select(sites).order_by(sa.func.length(sites.c.code), sites.c.code))
    found = {row.code: Site(**row._mapping) for row in rows}
    return Election(facts["title"], tuple(facts["groups"]), found, ballot=facts["rules"] == STRAW_POLL)


def _read(connection: sa.Connection, of: Election, wanted: Mapping[str, int]) -> dict[str, Figures]:
    """The figures of versions, by site: from the record where it still is at that version, else from all versions."""
    found: dict[str, Figures] = {}
    for some in _parts(sorted(wanted)):
        columns = (records.c.site, records.c.accepted_version, records.c.accepted, records.c.version, records.c.record)
        for row in connection.execute(sa.select(*columns).where(records.c.site.in_(some))):
            site, accepted_version, accepted, version, record = row
            if accepted_version == wanted[site]:
                found[site] = _figures(of, accepted_version, json.loads(accepted))
            elif version == wanted[site]:
                found[site] = _figures(of, version, json.loads(record))
    for some in _parts(sorted(wanted.keys() - found.keys())):
        columns = (versions.c.site, versions.c.number, versions.c.step, versions.c.content, versions.c.actor)
        rows = connection.execute(
            sa.select(*columns).where(versions.c.site.in_(some)).order_by(versions.c.site, versions.c.number)
        )
        folded: dict[str, Record] = {}
        for site, number, step, content, actor in rows:
            if number <= wanted[site]:
                folded[site] = replay(folded.get(site, Record()), step, json.loads(content), actor, ())
        found |= {site: _figures(of, wanted[site], record.figures.json()) for site, record in folded.items()}
    return found


def _parts(codes: Sequence[str], size: int = 500) -> Iterator[Sequence[str]]:
    """A few at a time: databases take a limited number of values in a statement."""
    return (codes[i : i + size] for i in range(0, len(codes), size))


def _figures(of: Election, version: int, held: Mapping[str, Any]) -> Figures:
    first, final, delegates = (
        tuple((held.get(name) or {}).get(group, 0) for group in of.groups)
        for name in ("first_alignment", "final", "delegates")
    )
    return Figures(version, held.get("attendees") or 0, first, final, delegates)


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
