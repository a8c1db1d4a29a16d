"""Where everything is kept: the tables, and a database to keep them in (SQLite, or PostgreSQL given or embedded).

Knows nothing of what a report may say. Times are ISO 8601 in UTC, JSON is that of `content.canonical`.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from loadtests.content import canonical
from loadtests.database_url import shown
from simulation.errors import InputError

if TYPE_CHECKING:
    from loadtests.backend.embedded import EmbeddedPostgres
    from simulation.scenario import Scenario

EMBEDDED = "embedded-postgres"
DEMO = "demo"  # in the table caucus: everybody knows PINs of this database, and it stays a demo's
MIGRATIONS = Path(__file__).parent / "migrations"
GONE = (sa.exc.OperationalError, sa.exc.InterfaceError, sa.exc.TimeoutError)  # the database does not answer

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

_COUNTER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")  # SQLite numbers rows by themselves in INTEGER only

caucus = sa.Table(
    "caucus",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),  # scenario, title, rules, groups, roster_sha256; DEMO
    sa.Column("value", sa.Text, nullable=False),  # JSON
)

sites = sa.Table(
    "sites",
    metadata,
    sa.Column("code", sa.Text, primary_key=True),
    sa.Column("id", sa.Text, nullable=False, unique=True),
    sa.Column("county", sa.Text, nullable=False),
    sa.Column("precinct", sa.Text, nullable=False),
    sa.Column("delegates", sa.Integer, nullable=False),
    sa.Column("sde_nano", sa.BigInteger, nullable=False),
    sa.Column("satellite", sa.Boolean, nullable=False),
    sa.Column("district", sa.Integer, nullable=False),
    sa.Column("fips", sa.Text),
    sa.Column("attendance", sa.Integer, nullable=False),  # people expected
)

# One row a site: what its versions come to. A cache, written in the transaction of the version.
records = sa.Table(
    "records",
    metadata,
    sa.Column("site", sa.Text, sa.ForeignKey("sites.code"), primary_key=True),
    sa.Column("state", sa.Text, nullable=False, index=True),
    sa.Column("version", sa.Integer, nullable=False),  # the last one; 0: none yet
    sa.Column("record", sa.Text, nullable=False),  # JSON, see `records.Record`
    sa.Column("accepted_version", sa.Integer),  # the version that the public gets
    sa.Column("accepted", sa.Text),  # JSON: its attendees, first_alignment, final, delegates
)

# Every write that was ever accepted. Append-only.
versions = sa.Table(
    "versions",
    metadata,
    sa.Column("site", sa.Text, sa.ForeignKey("sites.code"), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),  # from 1, without gaps
    sa.Column("at", sa.Text, nullable=False),
    sa.Column("step", sa.Text, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("role", sa.Text, nullable=False),
    sa.Column("key", sa.Text, nullable=False),  # Idempotency-Key as sent
    sa.Column("unique_key", sa.Text),  # the same; empty only under the fault `no_idempotency`
    sa.Column("content", sa.Text, nullable=False),  # JSON: the body as sent
    sa.Column("content_sha256", sa.Text, nullable=False),
    sa.Column("warnings", sa.Text, nullable=False),  # JSON
    sa.Column("detail", sa.Text, nullable=False),  # JSON: what else was answered
    sa.Column("state", sa.Text, nullable=False),  # of the record from here on
    sa.UniqueConstraint("unique_key", "actor"),
)

# Whether results are held back: the last row counts. Append-only.
publications = sa.Table(
    "publications",
    metadata,
    sa.Column("number", _COUNTER, primary_key=True, autoincrement=True),
    sa.Column("at", sa.Text, nullable=False),
    sa.Column("held", sa.Boolean, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("key", sa.Text, nullable=False),
    sa.Column("unique_key", sa.Text),
    sa.Column("content_sha256", sa.Text, nullable=False),
    sa.UniqueConstraint("unique_key", "actor"),
    sqlite_autoincrement=True,
)

# The audit log. Append-only; numbers may have gaps, and may become visible out of order.
events = sa.Table(
    "events",
    metadata,
    sa.Column("id", _COUNTER, primary_key=True, autoincrement=True),
    sa.Column("at", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("site", sa.Text),
    sa.Column("version", sa.Integer),
    sa.Column("content", sa.Text, nullable=False),  # JSON
    sqlite_autoincrement=True,
)

# Links of the hash chain, one a batch of events. Append-only.
seals = sa.Table(
    "seals",
    metadata,
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("at", sa.Text, nullable=False),
    sa.Column("events", sa.Text, nullable=False),  # ids, such as "17-80,82"
    sa.Column("previous", sa.Text, nullable=False),  # sha256 of the link before
    sa.Column("sha256", sa.Text, nullable=False),
)

# What the public was given. Append-only.
releases = sa.Table(
    "releases",
    metadata,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),  # from 1, without gaps
    sa.Column("made_at", sa.Text, nullable=False),
    sa.Column("events_through", sa.BigInteger, nullable=False),
    sa.Column("sha256", sa.Text, nullable=False),
)

# The sites that a release changed, and the version of each that is public from that release on. Append-only.
release_rows = sa.Table(
    "release_rows",
    metadata,
    sa.Column("release", sa.Integer, sa.ForeignKey("releases.number"), primary_key=True, autoincrement=False),
    sa.Column("site", sa.Text, sa.ForeignKey("sites.code"), primary_key=True),
    sa.Column("version", sa.Integer, nullable=False),
)

accounts = sa.Table(
    "accounts",
    metadata,
    sa.Column("user", sa.Text, primary_key=True),
    sa.Column("role", sa.Text, nullable=False),
    sa.Column("site", sa.Text, sa.ForeignKey("sites.code")),
    sa.Column("pin_hash", sa.Text, nullable=False),
    sa.Column("totp_secret", sa.Text),
    sa.Column("created_at", sa.Text, nullable=False),
)

failures = sa.Table(
    "failures",
    metadata,
    sa.Column("id", _COUNTER, primary_key=True, autoincrement=True),
    sa.Column("at", sa.Text, nullable=False, index=True),
    sa.Column("user", sa.Text, nullable=False, index=True),
    sa.Column("device", sa.Text, nullable=False),
    sa.Column("address", sa.Text, nullable=False, index=True),
)

sessions = sa.Table(
    "sessions",
    metadata,
    sa.Column("token_sha256", sa.Text, primary_key=True),
    sa.Column("user", sa.Text, sa.ForeignKey("accounts.user"), nullable=False),
    sa.Column("role", sa.Text, nullable=False),
    sa.Column("site", sa.Text),
    sa.Column("device", sa.Text, nullable=False),
    sa.Column("expires_at", sa.Text, nullable=False, index=True),
    sa.Column("code_step", sa.BigInteger),  # of the one-time code that the log-in spent: nobody spends it again
    sa.UniqueConstraint("user", "code_step", name="uq_sessions_user_code_step"),
)

APPEND_ONLY = (versions, publications, events, seals, releases, release_rows)


@dataclass(frozen=True, slots=True)
class Site:
    """A precinct or satellite, as it was seeded."""

    code: str  # number in the roster from 1, at least 4 digits; the chair's user name
    id: str  # "Adair/Adair 1"
    county: str
    precinct: str
    delegates: int  # that it elects; a satellite's follow from its head count, see `checks.allotted`
    sde_nano: int  # state delegate equivalents of one delegate, in 1e-9
    satellite: bool
    district: int
    fips: str | None  # of the county
    attendance: int  # people expected


@dataclass(frozen=True, slots=True)
class Caucus:
    """What a database was seeded with: the night's law, groups and sites."""

    scenario: str
    title: str
    rules: str  # "2016", "2020" or "straw-poll"
    groups: tuple[str, ...]  # in the order of every table
    sites: dict[str, Site]  # by code, in the roster's order


def now() -> str:
    """This moment as it is stored: ISO 8601, UTC, milliseconds."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


class Database:
    """One database, open. Made by `connect`; safe to use from several threads; `close` it."""

    def __init__(self, engine: sa.Engine, data: Path, embedded: EmbeddedPostgres | None = None) -> None:
        self.engine = engine
        self.data = data
        self.embedded = embedded
        self._hung_up = 0  # so many times
        sa.event.listen(engine, "connect", lambda _, record: record.info.update(before=self._hung_up))
        sa.event.listen(engine, "checkin", self._close_late)
        self._caucus: Caucus | None = None
        self._turn: contextlib.AbstractContextManager[object] = contextlib.nullcontext()
        if self.is_sqlite:  # one writes at a time, everybody reads what was there when they began
            self._turn = (
                threading.Lock()
            )  # the other threads of this process wait here: SQLite itself would let them sleep
            self._reads: sa.Engine = engine
            self._writes: sa.Engine = engine.execution_options(sqlite_begin="IMMEDIATE")
            self._publishes = self._writes
        else:
            self._publishes = engine.execution_options(isolation_level="REPEATABLE READ")
            self._reads = self._publishes.execution_options(postgresql_readonly=True)
            self._writes = engine

    @property
    def is_sqlite(self) -> bool:
        """Whether one file holds everything, and one transaction at a time writes."""
        return self.engine.dialect.name == "sqlite"

    @property
    def sqlite_file(self) -> Path:
        """The file of a SQLite database."""
        return Path(self.engine.url.database or "")

    @property
    def photos(self) -> Path:
        """The folder of worksheet photos: content-addressed files, see `photo_files`."""
        return self.data / "photos"

    @contextlib.contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A transaction that sees one state of the database from its first statement to its last."""
        with self._reads.begin() as connection:
            yield connection

    @contextlib.contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """A transaction that writes: committed at the end of the block, or rolled back where that raises."""
        with self._turn, self._writes.begin() as connection:
            yield connection

    @contextlib.contextmanager
    def publishing(self) -> Iterator[sa.Connection]:
        """A transaction that writes and sees one state, during which nobody holds results back or lets them go.

        Whoever does either is answered before it or after it: what is made here was free to be made.
        """
        with self._turn, self._publishes.begin() as connection:
            if not self.is_sqlite:  # a lock on a table is taken before the first look, which decides what is seen
                connection.exec_driver_sql(f"LOCK TABLE {publications.name} IN SHARE MODE")
            yield connection

    def ping(self) -> None:
        """Ask the database for a sign of life. Raises one of GONE where there is none."""
        with self.engine.connect() as connection:
            connection.execute(sa.select(1))

    def _hang_up(self) -> None:
        """Close all connections: now, or when whoever uses one gives it back."""
        self._hung_up += 1
        self.engine.dispose()

    def _close_late(self, connection: Any, record: sa.pool.ConnectionPoolEntry) -> None:
        """One that comes back to a pool that nobody asks any more would be left open until it is forgotten."""
        if connection is not None and record.info["before"] != self._hung_up:
            connection.close()

    def revive(self) -> None:
        """Bring the database back after it went: start the embedded one if it stopped, connect anew, ask it."""
        self._hang_up()
        if self.embedded is not None:
            self.embedded.start()
        self.ping()

    def migrate(self) -> None:
        """Bring the tables up to this version of the product; several processes may try at once."""
        from alembic import command

        if self.is_sqlite:
            lock: contextlib.AbstractContextManager[object] = contextlib.nullcontext()  # BEGIN IMMEDIATE is one
        else:
            lock = self._advisory_lock()
        with lock, self.writing() as connection:
            command.upgrade(_alembic(connection), "head")

    @contextlib.contextmanager
    def _advisory_lock(self) -> Iterator[None]:
        with self.engine.connect() as connection:
            connection.execute(sa.select(sa.func.pg_advisory_lock(MIGRATION_LOCK)))
            connection.commit()
            try:
                yield
            finally:
                connection.execute(sa.select(sa.func.pg_advisory_unlock(MIGRATION_LOCK)))
                connection.commit()

    def is_migrated(self) -> bool:
        """Whether the tables are those of this version of the product."""
        from alembic.runtime.migration import MigrationContext

        with self.engine.connect() as connection:
            return MigrationContext.configure(connection).get_current_revision() == self.revision()

    def revision(self) -> str:
        """The name of the last migration: of the tables as this version of the product knows them."""
        from alembic.script import ScriptDirectory

        with self.engine.connect() as connection:
            return str(ScriptDirectory.from_config(_alembic(connection)).get_current_head())

    def is_seeded(self) -> bool:
        """Whether there are sites to report."""
        with self.engine.connect() as connection:
            return connection.execute(sa.select(caucus.c.name).limit(1)).first() is not None

    def seed(self, scenario: Scenario) -> None:
        """Fill an empty database with a scenario's law, groups and sites. InputError where it holds another's."""
        facts, rows = _seed(scenario)
        with self.writing() as connection:
            if not self.is_sqlite:
                connection.exec_driver_sql("LOCK TABLE caucus IN EXCLUSIVE MODE")  # another process may seed as well
            seeded = sa.select(caucus).where(caucus.c.name != DEMO)
            held = {row.name: json.loads(row.value) for row in connection.execute(seeded)}
            if held:
                if held != facts:
                    raise InputError(
                        f"{self.shown_url}: holds the night {held['scenario']!r}; {facts['scenario']!r}, or the same "
                        "with another roster, needs a database of its own"
                    )
                return
            connection.execute(sa.insert(caucus), [{"name": name, "value": canonical(facts[name])} for name in facts])
            connection.execute(sa.insert(sites), rows)
            connection.execute(
                sa.insert(records),
                [{"site": row["code"], "state": "expected", "version": 0, "record": "{}"} for row in rows],
            )
            connection.execute(
                sa.insert(events),
                [{"at": now(), "kind": "seeded", "actor": "-", "content": canonical(facts)}],
            )

    def caucus(self) -> Caucus:
        """What the database was seeded with; read once. InputError where it was not."""
        if self._caucus is None:
            with self.engine.connect() as connection:
                facts = {row.name: json.loads(row.value) for row in connection.execute(sa.select(caucus))}
                rows = connection.execute(sa.select(sites).order_by(sa.func.length(sites.c.code), sites.c.code))
                found = {row.code: Site(**row._mapping) for row in rows}
            if not facts:
                raise InputError(f"{self.shown_url}: no night in it yet: `caucus backend` seeds one with --scenario")
            self._caucus = Caucus(facts["scenario"], facts["title"], facts["rules"], tuple(facts["groups"]), found)
        return self._caucus

    def sites(self) -> list[Site]:
        """Every site, in the roster's order."""
        return list(self.caucus().sites.values())

    @property
    def shown_url(self) -> str:
        """The database's name for people: without a password."""
        return EMBEDDED if self.embedded else shown(self.engine.url)

    def close(self) -> None:
        """Let go of all connections; an embedded PostgreSQL that nobody else uses stops."""
        self._hang_up()
        if self.embedded is not None:
            self.embedded.release()


MIGRATION_LOCK = 0x6361756375731  # numbers of advisory locks, unlikely to be anybody else's
KEEPER_LOCK = 0x6361756375732


def connect(url: str, data: Path, *, connections: int = 8) -> Database:
    """Open a database: "sqlite:///FILE", "postgresql://...", or "embedded-postgres", which is started below `data`.

    `data` also holds the photos. Raises InputError for a URL that cannot be used or a database that does not answer.
    """
    data.mkdir(parents=True, exist_ok=True)
    (data / "photos").mkdir(mode=0o700, exist_ok=True)
    embedded = None
    if url == EMBEDDED:
        from loadtests.backend.embedded import EmbeddedPostgres

        embedded = EmbeddedPostgres(data / "postgres")
        embedded.start()
        url = embedded.url()
    engine = _engine(url, connections)
    database = Database(engine, data, embedded)
    try:
        with engine.connect() as connection:
            if not database.is_sqlite:
                _refuse_forgetful(connection, database.shown_url)
    except sa.exc.DBAPIError as error:
        database.close()
        raise InputError(f"--database {database.shown_url}: does not answer: {reason(error)}") from error
    except BaseException:
        database.close()
        raise
    return database


def insert_rows(connection: sa.Connection, table: sa.Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Add rows that all have the same columns, in one statement where the server would be asked once for each."""
    if connection.dialect.name == "sqlite":
        connection.execute(sa.insert(table), rows)
        return
    names = ", ".join(rows[0])
    connection.execute(
        sa.text(
            f"INSERT INTO {table.name} ({names}) SELECT {names} FROM json_populate_recordset(NULL::{table.name}, :rows)"
        ),
        {"rows": canonical(rows)},
    )


def update_records(connection: sa.Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Replace rows of `records` by site, as above; what the public gets stays where a row says None."""
    if connection.dialect.name == "sqlite":
        statement = (
            "UPDATE records SET state = :state, version = :version, record = :record, "
            "accepted_version = coalesce(:accepted_version, accepted_version), "
            "accepted = coalesce(:accepted, accepted) WHERE site = :site"
        )
        connection.execute(sa.text(statement), rows)
        return
    statement = (
        "UPDATE records AS old SET state = new.state, version = new.version, record = new.record, "
        "accepted_version = coalesce(new.accepted_version, old.accepted_version), "
        "accepted = coalesce(new.accepted, old.accepted) "
        "FROM json_populate_recordset(NULL::records, :rows) AS new WHERE old.site = new.site"
    )
    connection.execute(sa.text(statement), {"rows": canonical(rows)})


def stay(connection: sa.Connection) -> None:
    """Let this transaction rest as long as it likes: it waits for files, and PostgreSQL would take it for dead."""
    if connection.dialect.name != "sqlite":
        connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 0")


def is_held(connection: sa.Connection) -> bool:
    """Whether the administrator holds back results."""
    last = sa.select(publications.c.held).order_by(publications.c.number.desc()).limit(1)
    return bool(connection.execute(last).scalar())


def _engine(url: str, connections: int) -> sa.Engine:
    accepted = "accepted are sqlite:///FILE, postgresql://USER@HOST/DATABASE and embedded-postgres"
    try:
        parsed = sa.make_url(url)
    except sa.exc.ArgumentError as error:  # its own words quote the URL, which may hold a password
        raise InputError(f"--database: not the URL of a database: {accepted}") from error
    name = parsed.drivername
    if name == "sqlite":
        return _sqlite(parsed, connections, accepted)
    if name in {"postgresql", "postgres", "postgresql+psycopg"}:
        # The options hold whatever the server's own settings are: an acknowledged write is on its disk, and a process
        # that hangs in the middle of a transaction does not hold up the others for ever.
        given = parsed.query.get("options", "")
        options = f"{given} -c synchronous_commit=on -c lock_timeout=10s -c idle_in_transaction_session_timeout=60s"
        return sa.create_engine(
            parsed.set(drivername="postgresql+psycopg"),
            pool_size=connections,
            max_overflow=0,
            pool_timeout=10,
            connect_args={"connect_timeout": 3, "application_name": "caucus-backend", "options": options},
        )
    raise InputError(f"--database {name}: not a kind of database that can be used: {accepted}")


def _sqlite(url: sa.URL, connections: int, accepted: str) -> sa.Engine:
    if url.host:
        raise InputError(f"--database sqlite://{url.host}/...: a slash is missing before the file: {accepted}")
    if not url.database or url.database == ":memory:":
        raise InputError(f"--database sqlite: names no file, and a night is not kept in memory: {accepted}")
    path = Path(url.database)
    if not path.parent.is_dir():
        raise InputError(f"--database {url}: the folder {path.parent} does not exist")
    if not path.exists():
        path.touch(mode=0o600)
    engine = sa.create_engine(
        url,
        pool_size=connections,
        max_overflow=0,
        pool_timeout=10,
        connect_args={"timeout": 10},
        poolclass=sa.QueuePool,
    )

    @sa.event.listens_for(engine, "connect")
    def _settings(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # the driver begins nothing by itself
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")  # every commit is on the disk
        connection.execute("PRAGMA foreign_keys = ON")

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql(f"BEGIN {connection.get_execution_options().get('sqlite_begin', 'DEFERRED')}")

    return engine


def _refuse_forgetful(connection: sa.Connection, shown: str) -> None:
    """InputError where the server acknowledges what a power cut would take back."""
    for setting in ("fsync", "full_page_writes"):
        if connection.exec_driver_sql(f"SHOW {setting}").scalar() != "on":
            raise InputError(f"--database {shown}: the server runs with {setting} = off: a crash would lose reports")


def reason(error: sa.exc.DBAPIError) -> str:
    """The driver's first line."""
    return str(error.orig).strip().partition("\n")[0]


def _alembic(connection: sa.Connection) -> Any:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def _seed(scenario: Scenario) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    roster, spec = scenario.roster, scenario.spec
    rows = [
        {
            "code": roster.code(i),
            "id": roster.ids[i],
            "county": roster.counties[i],
            "precinct": roster.precincts[i],
            "delegates": int(roster.delegates[i]),
            "sde_nano": int(roster.sde_nano[i]),
            "satellite": bool(roster.satellite[i]),
            "district": int(roster.district[i]),
            "fips": roster.fips[int(roster.county_index[i])],
            "attendance": int(roster.attendance[i]),
        }
        for i in range(len(roster))
    ]
    facts = {
        "scenario": scenario.name,
        "title": spec.title,
        "rules": spec.alignment.rules,
        "groups": list(roster.candidates or spec.preference.candidates),
        "roster_sha256": roster.sha256,
    }
    return facts, rows
