"""The event log of rehearsals: a SQLite file or a PostgreSQL database. Events name seats and people's numbers only;
people's names lie in one table of their own, so that they can be deleted and everything else kept.

Knows nothing of what the events mean.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Engine,
    Integer,
    MetaData,
    Table,
    Text,
    create_engine,
    delete,
    func,
    insert,
    make_url,
    select,
    text,
    update,
)
from sqlalchemy import event as listen
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from simulation.errors import InputError
from simulation.rehearsal.event import Event

FORMAT = 1
_BUSY_MS, _WIPE_MS = 5_000, 100  # how long a writer waits for others; nobody's page waits for readers of names

_METADATA = MetaData()
_REHEARSALS = Table(
    "rehearsals",
    _METADATA,
    Column("rehearsal", Text, primary_key=True),
    Column("format", Integer, nullable=False),
    Column("secret", Text, nullable=False),  # every link of this rehearsal follows from it
    Column("made_ms", BigInteger, nullable=False),
    Column("settings", Text, nullable=False),  # JSON: the night, and how it is rehearsed
    Column("alive_wall_ms", BigInteger, nullable=False),  # when a server last said that it lives
)
_EVENTS = Table(
    "events",
    _METADATA,
    Column("rehearsal", Text, primary_key=True),
    Column("seq", Integer, primary_key=True),
    Column("wall_ms", BigInteger, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),
    Column("seat", Text, nullable=False),
    Column("data", Text, nullable=False),  # JSON
)
_PEOPLE = Table(
    "people",
    _METADATA,
    Column("rehearsal", Text, primary_key=True),
    Column("person", Integer, primary_key=True),
    Column("name", Text, nullable=False),
)


def wall_now_ms() -> int:
    """Milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


class Log:
    """One rehearsal's log. `where` is a SQLite file, or a URL (postgresql://...)."""

    def __init__(self, where: str | Path, rehearsal: str = "rehearsal") -> None:
        self.where = str(where)
        self.rehearsal = rehearsal
        self._lock: IO[bytes] | Connection | None = None
        self.names_left = False  # names that were deleted may still lie in the file
        self._engine = _engine(self.where, "NORMAL")
        self._pulse = _engine(self.where, "FULL")
        try:
            _METADATA.create_all(self._engine)
            with self._engine.connect() as connection:
                found = connection.execute(
                    select(
                        _REHEARSALS.c.format, _REHEARSALS.c.secret, _REHEARSALS.c.made_ms, _REHEARSALS.c.settings
                    ).where(_REHEARSALS.c.rehearsal == rehearsal)
                ).one_or_none()
                last = select(func.max(_EVENTS.c.seq)).where(_EVENTS.c.rehearsal == rehearsal)
                self.seq: int = connection.execute(last).scalar() or 0
        except SQLAlchemyError as error:
            raise InputError(f"{_shown(self.where)}: no event log can be kept there: {_reason(error)}") from None
        if found is not None and found.format != FORMAT:
            raise InputError(f"{_shown(self.where)}: written by another version (format {found.format}, not {FORMAT})")
        self.secret: str = found.secret if found else ""
        self.made_ms: int = found.made_ms if found else 0
        self.settings: Mapping[str, Any] = json.loads(found.settings) if found else {}

    @property
    def shown(self) -> str:
        """Where it is, without a password."""
        return _shown(self.where)

    @property
    def begun(self) -> bool:
        """Whether a rehearsal stands in it."""
        return bool(self.settings)

    def begin(self, settings: Mapping[str, Any], wall_ms: int) -> None:
        """Write down what is rehearsed; once."""
        assert not self.begun
        self.secret, self.made_ms, self.settings = secrets.token_urlsafe(32), wall_ms, dict(settings)
        row = {
            "rehearsal": self.rehearsal,
            "format": FORMAT,
            "secret": self.secret,
            "made_ms": self.made_ms,
            "settings": json.dumps(self.settings),
            "alive_wall_ms": self.made_ms,
        }
        with self._engine.begin() as connection:
            connection.execute(insert(_REHEARSALS), row)

    # One server at a time

    def hold(self) -> None:
        """Keep every other server from this log, until `close`; a killed server holds nothing."""
        if self._lock is not None:
            return
        busy = f"{_shown(self.where)}: another server runs this rehearsal"
        if self._engine.dialect.name == "postgresql":
            connection = self._engine.connect()
            key = int.from_bytes(self.secret.encode()[:7], "big")
            if not connection.execute(select(func.pg_try_advisory_lock(key))).scalar():
                connection.close()
                raise InputError(busy)
            connection.commit()
            self._lock = connection
            return
        if self._engine.url.database not in (None, "", ":memory:"):
            self._lock = self._locked_file(busy)
        self.names_left = not self.names()  # deleted by a server that ended before the file was rid of them
        self._wipe()

    def _locked_file(self, busy: str) -> IO[bytes] | None:
        try:
            from fcntl import LOCK_EX, LOCK_NB, flock
        except ImportError:  # where the system has no such locks, two servers on one file are the owner's affair
            return None
        lock = Path(f"{self._engine.url.database}.lock").open("ab")  # noqa: SIM115  # held as long as the server lives
        try:
            flock(lock, LOCK_EX | LOCK_NB)
        except OSError:
            lock.close()
            raise InputError(busy) from None
        return lock

    def alive(self, wall_ms: int) -> None:
        """Say that the server lives: what comes after the last such word does not count as time of the night.

        A killed server loses nothing; a computer that loses its power loses what came after this at most.
        """
        here = _REHEARSALS.c.rehearsal == self.rehearsal
        with self._pulse.begin() as connection:
            connection.execute(update(_REHEARSALS).where(here).values(alive_wall_ms=wall_ms))
        self._wipe()

    def last_alive_ms(self) -> int:
        """When a server last said so."""
        here = _REHEARSALS.c.rehearsal == self.rehearsal
        with self._engine.connect() as connection:
            return int(connection.execute(select(_REHEARSALS.c.alive_wall_ms).where(here)).scalar_one())

    # Events

    def append(self, events: Sequence[Event]) -> None:
        """Store events that follow on each other; when this returns they survive the server."""
        if not events:
            return
        rows = [
            {
                "rehearsal": self.rehearsal,
                **event._asdict(),
                "data": json.dumps(event.data, ensure_ascii=False, separators=(",", ":")),
            }
            for event in events
        ]
        with self._engine.begin() as connection:
            connection.execute(insert(_EVENTS), rows)
        self.seq = events[-1].seq

    def read(self, after: int = 0, upto: int | None = None) -> Iterator[Event]:
        """The events in order, those up to `upto` only."""
        wanted = select(
            *(_EVENTS.c.seq, _EVENTS.c.wall_ms, _EVENTS.c.at_ms, _EVENTS.c.kind, _EVENTS.c.seat, _EVENTS.c.data)
        )
        wanted = wanted.where(_EVENTS.c.rehearsal == self.rehearsal, _EVENTS.c.seq > after).order_by(_EVENTS.c.seq)
        if upto is not None:
            wanted = wanted.where(_EVENTS.c.seq <= upto)
        with self._engine.connect() as connection:
            rows = connection.execute(wanted).all()
        for row in rows:
            yield Event(row.seq, row.wall_ms, row.at_ms, row.kind, row.seat, json.loads(row.data))

    # Names

    def name(self, person: int, name: str) -> None:
        """Write down who somebody is."""
        here = (_PEOPLE.c.rehearsal == self.rehearsal) & (_PEOPLE.c.person == person)
        with self._engine.begin() as connection:
            connection.execute(delete(_PEOPLE).where(here))
            connection.execute(insert(_PEOPLE), {"rehearsal": self.rehearsal, "person": person, "name": name})

    def names(self) -> dict[int, str]:
        """By number."""
        wanted = select(_PEOPLE.c.person, _PEOPLE.c.name).where(_PEOPLE.c.rehearsal == self.rehearsal)
        with self._engine.connect() as connection:
            return {row.person: row.name for row in connection.execute(wanted)}

    def delete_names(self) -> None:
        """Forget every name, in a file's free pages and its journal too.

        Whoever reads the file at that moment hinders the latter: then `names_left`, and `alive` tries again.
        """
        with self._engine.begin() as connection:
            connection.execute(delete(_PEOPLE).where(_PEOPLE.c.rehearsal == self.rehearsal))
        self.names_left = self._engine.dialect.name == "sqlite"
        self._wipe()

    def _wipe(self) -> None:
        """Take over the journal into the file, and empty it: it holds what was written before, names too."""
        if not self.names_left:
            return
        with self._engine.connect() as connection:
            connection.execute(text(f"PRAGMA busy_timeout={_WIPE_MS}"))
            try:
                busy, *_ = connection.execute(text("PRAGMA wal_checkpoint(TRUNCATE)")).one()
            finally:
                connection.execute(text(f"PRAGMA busy_timeout={_BUSY_MS}"))
        self.names_left = bool(busy)

    def close(self) -> None:
        """Let go of the file."""
        try:
            self._wipe()
        finally:
            if self._lock is not None:
                self._lock.close()
                self._lock = None
            self._engine.dispose()
            self._pulse.dispose()


def _engine(where: str, synchronous: str) -> Engine:
    url = where if "://" in where else f"sqlite:///{where}"
    if url.startswith(("postgresql://", "postgres://")):
        url = "postgresql+psycopg://" + url.split("://", 1)[1]
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise InputError(f"{_shown(where)}: expected a file, or postgresql://USER@HOST/DATABASE") from None
    if parsed.get_backend_name() not in ("sqlite", "postgresql"):
        raise InputError(f"{_shown(where)}: expected a file, or postgresql://USER@HOST/DATABASE")
    if parsed.get_backend_name() == "sqlite":
        file = Path(parsed.database or "")
        if parsed.database and parsed.database != ":memory:":
            if file.is_dir():
                raise InputError(f"{file}: a folder; expected a file for the event log")
            file.absolute().parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(parsed)
    if parsed.get_backend_name() == "sqlite":

        def prepared(connection: Any, _record: object) -> None:
            # waiting for the disk at each event would hold up everybody's page; what is deleted is overwritten
            for pragma in (
                "journal_mode=WAL",
                f"synchronous={synchronous}",
                "secure_delete=ON",
                f"busy_timeout={_BUSY_MS}",
            ):
                connection.execute(f"PRAGMA {pragma}").close()

        listen.listen(engine, "connect", prepared)
    return engine


def _shown(where: str) -> str:
    """The place without a password."""
    try:
        return make_url(where).render_as_string(hide_password=True) if "://" in where else where
    except ArgumentError:
        return "the URL given"


def _reason(error: SQLAlchemyError) -> str:
    said = str(error.orig) if isinstance(error, DBAPIError) and error.orig else str(error)
    return " ".join(said.split())
