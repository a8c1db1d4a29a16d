"""The keeper: of all processes that serve a database, the one that seals the audit log and makes releases.

A thread that every process runs; a lock in or beside the database says whose turn it is, and falls free with its
holder. Knows nothing of what an event or a release holds.
"""

from __future__ import annotations

import fcntl
import logging
import threading
from typing import IO

import sqlalchemy as sa

from loadtests.backend import audit_log, storage
from loadtests.backend.results import release
from loadtests.backend.storage import Database
from simulation.errors import InputError

EVERY_S = 1.0

_log = logging.getLogger(__name__)


class Keeper:
    """Keeps one database from `start` to `stop`, whenever no other process does."""

    def __init__(self, database: Database, faults: frozenset[str] = frozenset(), every_s: float = EVERY_S) -> None:
        self._database = database
        self._faults = faults
        self._every_s = every_s
        self._lock = _Lock(database)
        self._sealer = audit_log.Sealer()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="keeper", daemon=True)

    @property
    def keeps(self) -> bool:
        """Whether it is this process's turn."""
        return self._lock.held

    def start(self) -> None:
        """Begin; returns at once."""
        self._thread.start()

    def stop(self) -> None:
        """Seal what is there, let another process keep, end the thread."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def _work(self) -> None:
        while True:
            last = self._stopping.wait(self._every_s)
            try:
                self._turn()
            except (sa.exc.SQLAlchemyError, InputError) as error:  # the database is gone, or another one keeps already
                _log.warning("nothing kept this time: %s", type(error).__name__)
                self._lock.drop()
                self._revive()
            except Exception:  # whatever it is, the next turn may go well; the audit log says what is missing
                _log.exception("nothing kept this time")
                self._lock.drop()
            if last:
                self._lock.drop()
                return

    def _turn(self) -> None:
        if not self._lock.held:
            if not self._lock.take():
                return
            self._sealer = audit_log.Sealer()  # somebody else may have sealed meanwhile
        self._lock.check()
        keep(self._database, self._sealer, self._faults)

    def _revive(self) -> None:
        try:
            self._database.revive()
        except (*storage.GONE, InputError, OSError):
            return


def keep(database: Database, sealer: audit_log.Sealer, faults: frozenset[str] = frozenset()) -> None:
    """One turn: make a release where there is news, seal what happened."""
    with database.publishing() as connection:
        made = release.make(connection, faults)
        if made is not None:
            told = {"number": made.number, "sha256": made.sha256}
            audit_log.append(connection, audit_log.RELEASE, "-", told)
    if "chain_per_row" not in faults:
        while sealer.seal(database):
            pass


class _Lock:
    """An advisory lock of PostgreSQL, or the lock of a file beside the one of SQLite."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._connection: sa.Connection | None = None
        self._file: IO[bytes] | None = None

    @property
    def held(self) -> bool:
        return self._connection is not None or self._file is not None

    def take(self) -> bool:
        """Whether nobody else holds it; then it is held from here on."""
        if self._database.is_sqlite:
            path = self._database.sqlite_file
            file = path.with_name(path.name + ".keeper").open("ab")
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.close()
                return False
            except BaseException:
                file.close()
                raise
            self._file = file
            return True
        connection = self._database.engine.connect()
        try:
            connection = connection.execution_options(isolation_level="AUTOCOMMIT")
            free = connection.execute(sa.select(sa.func.pg_try_advisory_lock(storage.KEEPER_LOCK))).scalar()
        except BaseException:
            connection.close()
            raise
        if not free:
            connection.close()
            return False
        self._connection = connection
        return True

    def check(self) -> None:
        """Raises where the connection is gone, and the lock with it."""
        if self._connection is not None:
            self._connection.execute(sa.select(1))

    def drop(self) -> None:
        """Let go."""
        if self._file is not None:
            self._file.close()
            self._file = None
        if self._connection is not None:
            connection, self._connection = self._connection, None
            connection.invalidate()  # ends the server's session: a lock must not return to the pool
            connection.close()
