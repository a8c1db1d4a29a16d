"""What a backend has: every version that it stored, by its API or its database, and what it shows to the public.

Only `stored_in_database` knows anything of our backend.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from loadtests.contract import STEP_NAMES, Ask, Backend, Operation, Reply, Request, Session
from simulation.errors import InputError

MOST_ROWS = 1_000_000  # of stored versions: a backend whose pages never end is not read for ever
FIGURES = ("attendees", "first_alignment", "final", "delegates")


@dataclass(frozen=True, slots=True)
class Stored:
    """One stored version. What a backend does not tell is None."""

    site: str
    step: str | None = None
    user: str | None = None
    key: str | None = None
    content_sha256: str | None = None
    version: Any = None
    at: str | None = None
    state: str | None = None
    figures: Mapping[str, Any] = field(default_factory=dict)  # `FIGURES`: what it says


@dataclass(frozen=True, slots=True)
class Public:
    """What the public is shown: sums by kind of figure, and the sites that they are of (None: not shown)."""

    release: Any
    totals: Mapping[str, Any]
    sites: Mapping[str, Mapping[str, Any]] | None
    held: bool = False  # headquarters holds results back: what was accepted since is not shown


Send = Callable[[Request], Reply]


def stored_by_api(backend: Backend, send: Send, session: Session | None) -> list[Stored]:
    """Every stored version, page by page."""
    found: list[Stored] = []
    after: object = ""
    while True:
        outcome = backend.read("stored", send(backend.build("stored", Ask(session=session, after=after))))
        if not outcome.accepted:
            raise InputError(f"what is stored cannot be read: {outcome.problem or outcome.verdict}")
        rows = outcome.values.get("records")
        if not isinstance(rows, list):
            raise InputError(
                "what is stored cannot be read: the answer has no records where [stored] extract looks for them"
            )
        found.extend(_stored(row) for row in rows)
        following = outcome.values.get("next")
        if following in (None, "", False) or following == after or not rows:
            return found
        if len(found) > MOST_ROWS:
            raise InputError(f"what is stored cannot be read: more than {MOST_ROWS:,} versions")
        after = following


def _stored(row: Mapping[str, Any]) -> Stored:
    names = ("step", "user", "key", "content_sha256", "version", "at", "state")
    figures = {name: row[name] for name in FIGURES if row.get(name) is not None}
    return Stored(str(row["site"]), **{name: row.get(name) for name in names}, figures=figures)


def public_results(backend: Backend, send: Send) -> Public | None:
    """What the public is shown; None where the backend has no results. A release between two pages: once more."""
    if "results" not in backend.operations:
        return None
    for _ in range(5):
        found = _public(backend, send)
        if found is not None:
            return found
    raise InputError("public results cannot be read: each page was of another release, five times over")


def _public(backend: Backend, send: Send) -> Public | None:
    values = _shown(backend, send, "results", Ask())
    release, held = values.get("release"), values.get("held") is True
    totals = {name: values[name] for name in FIGURES if values.get(name) is not None}
    rows = values.get("sites")
    counties = values.get("counties")
    if rows is None and isinstance(counties, list) and "results.county" in backend.operations:
        rows = []
        for county in counties:
            page = _shown(backend, send, "results.county", Ask(county=str(county["county"])))
            if page.get("release") != release:
                return None
            listed = page.get("sites")
            rows += listed if isinstance(listed, list) else []
    if not isinstance(rows, list):
        return Public(release, totals, None, held)
    sites = {str(row["site"]): row for row in rows if any(name in row for name in FIGURES)}
    return Public(release, totals, sites, held)


def _shown(backend: Backend, send: Send, operation: Operation, ask: Ask) -> Mapping[str, Any]:
    outcome = backend.read(operation, send(backend.build(operation, ask)))
    if not outcome.accepted:
        raise InputError(f"public results cannot be read: {outcome.problem or outcome.verdict}")
    return outcome.values


_DATABASES = "expected sqlite:///FILE or postgresql://USER@HOST/NAME"


def stored_in_database(url: str) -> tuple[list[Stored], dict[str, dict[str, Any]]]:
    """Every stored version of our own backend's database, and what counts of each site. Reads, and changes nothing."""
    import sqlalchemy as sa

    from loadtests.database_url import shown

    try:
        named = sa.make_url(url)
    except sa.exc.ArgumentError:
        raise InputError(f"--database: {_DATABASES}") from None
    if named.get_backend_name() not in ("sqlite", "postgresql"):
        raise InputError(f"--database {shown(named)}: {_DATABASES}")
    if named.get_backend_name() == "sqlite" and named.host:
        raise InputError(f"--database {shown(named)}: SQLite takes no host: sqlite:///FILE has three slashes")
    if named.get_backend_name() == "sqlite" and not Path(named.database or "").is_file():
        raise InputError(f"--database {shown(named)}: no such file")  # SQLite would make an empty one
    engine = sa.create_engine(
        named.set(drivername="postgresql+psycopg") if named.get_backend_name() == "postgresql" else named
    )
    try:
        with engine.connect() as connection, connection.begin():
            tables = sa.MetaData()
            tables.reflect(connection, only=["versions", "records"])
            versions, records = tables.tables["versions"], tables.tables["records"]
            written = connection.execute(sa.select(versions).order_by(versions.c.site, versions.c.number)).mappings()
            stored = [_version(row) for row in written]
            current = connection.execute(sa.select(records.c.site, records.c.accepted)).all()
            accepted = {site: json.loads(figures) for site, figures in current if figures}
    except sa.exc.DBAPIError as error:
        reason = " ".join(str(error.orig).split())
        raise InputError(f"--database {shown(named)}: does not answer: {reason}") from None
    except (sa.exc.SQLAlchemyError, KeyError):
        raise InputError(f"--database {shown(named)}: has not our tables versions and records") from None
    finally:
        engine.dispose()
    return stored, accepted


_OPERATION_OF = {name: operation for operation, name in STEP_NAMES.items()}


def _version(row: Mapping[Any, Any]) -> Stored:
    said = json.loads(row["content"])
    step = _OPERATION_OF.get(row["step"], row["step"])
    return Stored(
        row["site"], step, row["actor"], row["key"], row["content_sha256"], row["number"], row["at"], row["state"],
        figures=said_of(step, said),
    )  # fmt: skip


def said_of(step: str | None, said: Mapping[str, Any]) -> dict[str, Any]:
    """The figures that a write's content states."""
    match step:
        case "report.first_alignment":
            found = {"first_alignment": said.get("counts")}
        case "report.final":
            found = {"final": said.get("counts"), "delegates": said.get("delegates")}
        case "report" | "report.open" | "clerk":
            found = {name: said.get(name) for name in FIGURES}
        case _:
            found = {}
    return {name: value for name, value in found.items() if value is not None}
