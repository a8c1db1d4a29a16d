"""What tests of the backend may ask for: a small state, one PostgreSQL for all of them, databases of each kind."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from loadtests.backend import storage
from loadtests.backend.embedded import EmbeddedPostgres
from loadtests.backend.identity import login, pins
from loadtests.backend.storage import Database
from simulation.scenario import Scenario, load
from tests.unit.backend.running_service import CHEAP, STAFF

# Site 0001 elects 5, 0002 elects 1, 0003 elects 2, 0004 is a satellite. The groups are those of iowa-2020.
ROSTER = """county,precinct,kind,delegates,attendance,district
Adair,Adair 1,precinct,5,100,3
Adair,Adair 2,precinct,1,20,3
Polk,Polk 1,precinct,2,60,3
Satellites,Ames,satellite,4,30,4
"""


@pytest.fixture(scope="session")
def scenario(tmp_path_factory: pytest.TempPathFactory) -> Scenario:
    """A state of four sites under the rules of 2020."""
    path = tmp_path_factory.mktemp("roster") / "small.csv"
    path.write_text(ROSTER)
    found = load("iowa-2020", {}, path)
    assert len(found.roster) == 4
    return found


@pytest.fixture
def quick_folder() -> Iterator[Path]:
    """A folder in memory where there is one, for databases: what a kill -9 leaves behind does not depend on disks.

    Not below pytest's own folder, which PostgreSQL's user may not enter.
    """
    with _quick_folder() as folder:
        yield folder


@pytest.fixture(scope="session")
def postgres() -> Iterator[EmbeddedPostgres]:
    """A PostgreSQL that runs as long as the tests do."""
    with _quick_folder() as folder:
        server = EmbeddedPostgres(folder / "pg")
        server.start()
        yield server
        server.release()


@pytest.fixture
def postgres_url(postgres: EmbeddedPostgres) -> Iterator[str]:
    """An empty database of its own in that server."""
    with _postgres_database(postgres) as url:
        yield url


@pytest.fixture(scope="session")
def postgres_template(postgres: EmbeddedPostgres, scenario: Scenario, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of a database with tables and the small state: copying it is quicker than making another one."""
    with _administrator(postgres) as connection:
        connection.exec_driver_sql("CREATE DATABASE seeded")
    _seed(postgres.url("seeded"), scenario, tmp_path_factory.mktemp("postgresql"))
    return "seeded"


@pytest.fixture(scope="session")
def sqlite_template(scenario: Scenario, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of such a database."""
    folder = tmp_path_factory.mktemp("sqlite")
    _seed(f"sqlite:///{folder / 'seeded.sqlite'}", scenario, folder)
    return folder / "seeded.sqlite"


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database of each kind without a single table."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'empty.sqlite'}"
    return str(request.getfixturevalue("postgres_url"))


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database of each kind with tables and the small state."""
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("sqlite_template"), tmp_path / "backend.sqlite")
        yield f"sqlite:///{tmp_path / 'backend.sqlite'}"
    else:
        template = request.getfixturevalue("postgres_template")
        with _postgres_database(request.getfixturevalue("postgres"), template) as url:
            yield url


@pytest.fixture
def connect(database_url: str, tmp_path: Path) -> Iterator[Callable[[], Database]]:
    """Opens that database, once more each time; closes all at the end."""
    opened: list[Database] = []

    def another() -> Database:
        opened.append(storage.connect(database_url, tmp_path / "data"))
        return opened[-1]

    yield another
    for database in opened:
        database.close()


@pytest.fixture
def database(connect: Callable[[], Database]) -> Database:
    """That database, open."""
    return connect()


@pytest.fixture
def issued(database: Database, tmp_path: Path) -> dict[str, pins.Issued]:
    """PINs for every site and for the staff of that state, by user."""
    made = pins.make((site.code for site in database.sites()), STAFF, ["reviewer"])
    pins.issue(database, made, tmp_path / "pins.csv", CHEAP, lambda done, of, now: None)
    return {one.user: one for one in made}


@pytest.fixture
def guesses_need_no_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """No suspect makes the next one wait."""
    monkeypatch.setattr(login, "SUSPECTS_REST_S", 0.0)


_numbers = iter(range(1, 1_000_000))


@contextlib.contextmanager
def _quick_folder() -> Iterator[Path]:
    memory = Path("/dev/shm")
    roomy = memory.is_dir() and shutil.disk_usage(memory).free > 1_000_000_000  # containers give it 64 MB
    folder = Path(tempfile.mkdtemp(prefix="caucus-", dir=memory if roomy else None))
    yield folder
    shutil.rmtree(folder)


def _seed(url: str, scenario: Scenario, data: Path) -> None:
    database = storage.connect(url, data)
    database.migrate()
    database.seed(scenario)
    database.close()


@contextlib.contextmanager
def _postgres_database(server: EmbeddedPostgres, template: str = "template0") -> Iterator[str]:
    name = f"test_{next(_numbers)}"
    with _administrator(server) as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name} TEMPLATE {template}")
        yield server.url(name)
        connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")


@contextlib.contextmanager
def _administrator(server: EmbeddedPostgres) -> Iterator[sa.Connection]:
    """A connection for what cannot stand in a transaction."""
    url = sa.make_url(server.url()).set(drivername="postgresql+psycopg")
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with engine.connect() as connection:
        yield connection
