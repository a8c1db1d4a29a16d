"""What is kept: tables as the migrations make them, nothing that was written changes, seeds that are one night's."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from loadtests.backend import photo_files, storage
from loadtests.backend.embedded import EmbeddedPostgres
from loadtests.backend.storage import Database
from simulation.errors import InputError
from simulation.scenario import Scenario, load


def test_the_migrations_make_the_tables_that_the_code_knows(database: Database):
    assert database.is_migrated()
    with database.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), storage.metadata) == []


def test_what_was_written_once_neither_changes_nor_goes(database: Database):
    for table in storage.APPEND_ONLY:
        _add_a_row_that_neither_changes_nor_goes(database, table)


def _add_a_row_that_neither_changes_nor_goes(database: Database, table: sa.Table) -> None:
    values = {column.name: "7" if isinstance(column.type, sa.Text) else 7 for column in table.c}
    values |= {name: value for name, value in (("site", "0001"), ("held", True)) if name in table.c}
    with database.writing() as connection:
        connection.execute(sa.insert(table).values(values))
    for change in (sa.update(table).values({table.c[0]: values[table.c[0].name]}), sa.delete(table)):
        with pytest.raises(sa.exc.DBAPIError, match="can only be added to"), database.writing() as connection:
            connection.execute(change)


def test_processes_that_start_at_once_migrate_once(empty_url: str, tmp_path: Path, scenario: Scenario):
    databases = [storage.connect(empty_url, tmp_path) for _ in range(4)]
    problems: list[BaseException] = []

    def start(database: Database) -> None:
        try:
            database.migrate()
            database.seed(scenario)
        except BaseException as error:  # told by the assertion below
            problems.append(error)

    threads = [threading.Thread(target=start, args=(database,)) for database in databases]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    assert [site.code for site in databases[0].sites()] == ["0001", "0002", "0003", "0004"]
    for database in databases:
        database.close()


def test_a_seed_holds_the_law_the_groups_and_the_sites_of_its_night(database: Database, scenario: Scenario):
    caucus = database.caucus()
    assert (caucus.scenario, caucus.rules) == ("iowa-2020", "2020")
    assert caucus.groups == tuple(scenario.spec.preference.candidates)
    first, last = database.sites()[0], database.sites()[-1]
    assert (first.id, first.delegates, first.satellite, first.attendance) == ("Adair/Adair 1", 5, False, 100)
    assert (last.county, last.satellite, last.district) == ("Satellites", True, 4)
    database.seed(scenario)  # once more: nothing to do


def test_a_database_holds_one_night_and_refuses_another(database: Database):
    with pytest.raises(InputError, match="needs a database of its own"):
        database.seed(load("iowa-2016"))


def test_a_night_that_is_not_there_is_told(empty_url: str, tmp_path: Path):
    database = storage.connect(empty_url, tmp_path)
    assert not database.is_migrated()
    database.migrate()
    with pytest.raises(InputError, match="no night in it yet"):
        database.caucus()
    database.close()


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("mysql://root:hush@localhost/x", "not a kind of database"),
        ("postgresql://me:hush@127.0.0.1:1/x", "does not answer"),
        ("::hush::", "not the URL of a database"),
        ("sqlite://night/x.db", "a slash is missing before the file"),
        ("sqlite://", "not kept in memory"),
        ("sqlite:////no/such/folder/x.sqlite", "does not exist"),
    ],
)
def test_a_database_that_cannot_be_used_is_told_without_its_password(url: str, told: str, tmp_path: Path):
    with pytest.raises(InputError, match=told) as caught:
        storage.connect(url, tmp_path)
    assert "hush" not in str(caught.value)


def test_only_its_owner_reads_a_sqlite_file(tmp_path: Path):
    storage.connect(f"sqlite:///{tmp_path}/x.sqlite", tmp_path).close()
    assert (tmp_path / "x.sqlite").stat().st_mode & 0o077 == 0


def test_what_sqlite_acknowledges_is_on_the_disk(tmp_path: Path):
    database = storage.connect(f"sqlite:///{tmp_path}/x.sqlite", tmp_path)
    with database.engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2  # FULL
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
    database.close()


def test_a_server_that_a_power_cut_makes_forget_is_refused(postgres_url: str, tmp_path: Path):
    database = storage.connect(postgres_url, tmp_path)
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("ALTER SYSTEM SET full_page_writes = off")
        connection.exec_driver_sql("SELECT pg_reload_conf()")
        try:
            with pytest.raises(InputError, match="full_page_writes = off"):
                _connect_until_refused(postgres_url, tmp_path)
        finally:
            connection.exec_driver_sql("ALTER SYSTEM RESET full_page_writes")
            connection.exec_driver_sql("SELECT pg_reload_conf()")
    database.close()


def _connect_until_refused(url: str, data: Path) -> None:
    """The server takes a moment to read its settings again."""
    until = time.monotonic() + 5
    while time.monotonic() < until:
        storage.connect(url, data).close()
        time.sleep(0.05)


def test_an_embedded_server_is_shared_and_stopped_by_its_last_user(quick_folder: Path):
    one, two = (storage.connect(storage.EMBEDDED, quick_folder) for _ in range(2))
    assert one.embedded is not None
    assert two.embedded is not None
    assert one.embedded.pid == two.embedded.pid
    one.close()
    two.ping()
    assert two.embedded.pid is not None
    two.close()
    assert two.embedded.pid is None


@pytest.mark.parametrize("hang_up", [Database.revive, Database.close])
def test_a_connection_that_is_in_use_when_all_are_closed_is_closed_after_it(
    database: Database, hang_up: Callable[[Database], None]
):
    """Else nobody closes it: its pool is forgotten, and with it whatever comes back to it."""
    with database.reading() as connection:
        connection.execute(sa.select(storage.sites)).all()
        used = connection.connection.driver_connection
        assert used is not None
        hang_up(database)
        assert len(connection.execute(sa.select(storage.sites)).all()) == 4
    assert _is_closed(used)
    with database.reading() as another:
        kept = another.connection.driver_connection
    assert not _is_closed(kept)


def _is_closed(connection: Any) -> bool:
    if isinstance(connection, sqlite3.Connection):
        with contextlib.suppress(sqlite3.ProgrammingError):
            connection.execute("SELECT 1")
            return False
        return True
    return bool(connection.closed)


def test_a_photo_lies_where_its_content_says(database: Database):
    received = database.data / "received"
    received.write_bytes(b"a worksheet")
    path = photo_files.place_photo(database.photos, received, "ab" * 32, "image/png")
    assert path == database.photos / "ab" / f"{'ab' * 32}.png"
    assert path.read_bytes() == b"a worksheet"
    assert path.stat().st_mode & 0o077 == 0
    assert not received.exists()


@pytest.mark.parametrize("field", ["password=hush", "sslpassword=hush", "options=hush", "scram_client_key=hush"])
def test_a_url_is_shown_without_the_secrets_of_its_query(field: str, tmp_path: Path):
    with pytest.raises(InputError, match="does not answer") as caught:
        storage.connect(f"postgresql://me@127.0.0.1:1/x?{field}&sslmode=prefer", tmp_path)
    assert "hush" not in str(caught.value)
    assert "sslmode=prefer" in str(caught.value)


def test_below_a_closed_home_of_root_nothing_is_opened_to_others(quick_folder: Path):
    home = quick_folder / "root"
    (home / "night").mkdir(parents=True)
    home.chmod(0o700)
    server = EmbeddedPostgres(home / "night" / "postgres")
    with pytest.raises(InputError, match="which only root may enter"):
        server._refuse_a_closed_home(home)
    assert home.stat().st_mode & 0o077 == 0
    home.chmod(0o711)  # somebody has decided otherwise
    server._refuse_a_closed_home(home)


def test_a_server_that_dies_while_it_is_to_stop_has_stopped_and_comes_back_with_what_it_had(
    quick_folder: Path, monkeypatch: pytest.MonkeyPatch
):
    server, run = EmbeddedPostgres(quick_folder / "pg"), EmbeddedPostgres._run
    server.start()
    engine = sa.create_engine(server.url().replace("postgresql:", "postgresql+psycopg:"), poolclass=sa.NullPool)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE kept AS SELECT 7 AS number")

    def killed_before(self: EmbeddedPostgres, program: str, *arguments: str) -> None:
        if "stop" in arguments and self.pid is not None:
            os.kill(self.pid, signal.SIGKILL)
        run(self, program, *arguments)

    monkeypatch.setattr(EmbeddedPostgres, "_run", killed_before)
    server.release()
    assert server.pid is None
    monkeypatch.undo()
    server.start()
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT number FROM kept").scalar() == 7
    server.release()
