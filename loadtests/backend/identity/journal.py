"""What log-ins leave in the database: sessions, failures, and their lines of the audit log; many in one transaction.

A log-in waits until its session is on the disk. Refusals are counted and written once a second, so that a flood of
them costs a few rows. Knows nothing of PINs, and never sees one.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter, deque
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
import structlog

from loadtests.backend import audit_log, storage
from loadtests.backend.identity.limits import LONGEST_WINDOW_MS
from loadtests.backend.identity.roles import Session
from loadtests.backend.pool import PoolBusyError

if TYPE_CHECKING:
    from loadtests.backend.storage import Database

MOST_WAITING = 256
BATCH = 64
MOST_NOTES = 100  # different refusals a second that get a line of their own; the others share one
NOTE_S = 1.0
HANGS_S = 5.0  # a transaction that takes longer: this process can let nobody in
SWEEP_S = 60.0  # failures past every window, and nothing else, are deleted so often


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """A session to store, the hash that its PIN matched, and the time step of the one-time code that it spent."""

    session: Session
    address: str
    pin_hash: str
    code_step: int | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """An attempt with a wrong user, PIN or code."""

    user: str
    device: str
    address: str


@dataclass(frozen=True, slots=True)
class LoggedOut:
    """A session that ends now."""

    session: Session


Entry = LoggedIn | Failed | LoggedOut


def text_of(at_ms: int) -> str:
    """Milliseconds since 1970 as the database has them."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def ms_of(text: str) -> int:
    """The database's text as milliseconds since 1970."""
    return (datetime.fromisoformat(text) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def now_ms() -> int:
    """This moment in milliseconds since 1970."""
    return time.time_ns() // 1_000_000


class Journal:
    """One thread that writes; `close` it, and what was accepted is on the disk."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._ready = threading.Condition()
        self._entries: deque[tuple[Entry, asyncio.AbstractEventLoop, asyncio.Future[bool]]] = deque()
        self._notes: Counter[tuple[str, str, str]] = Counter()
        self._open = True
        self._busy_since_s: float | None = None
        self._noted = True  # whether the last refusals could be written
        self._swept_s = 0.0
        self._thread = threading.Thread(target=self._work, name="journal", daemon=True)
        self._thread.start()

    @property
    def healthy(self) -> bool:
        """Whether it writes: the thread lives, does not hang, and what it had to note was written."""
        since_s = self._busy_since_s
        hangs = since_s is not None and time.monotonic() - since_s > HANGS_S
        return self._thread.is_alive() and self._noted and not hangs

    async def write(self, entry: Entry) -> bool:
        """Return once it is on the disk: whether it could be.

        False for a one-time code that was spent before, and for a PIN that was replaced while it was checked.
        """
        loop = asyncio.get_running_loop()
        written: asyncio.Future[bool] = loop.create_future()
        with self._ready:
            if not self._open or not self._thread.is_alive() or len(self._entries) >= MOST_WAITING:
                raise PoolBusyError
            self._entries.append((entry, loop, written))
            self._ready.notify()
        return await written

    def note(self, kind: str, actor: str, address: str) -> None:
        """Count a refusal; who was refused so within the same second shares a line of the audit log."""
        with self._ready:
            self._count((kind, actor, address), 1)

    def _count(self, key: tuple[str, str, str], times: int) -> None:
        if key not in self._notes and len(self._notes) >= MOST_NOTES:
            key = (key[0], "-", "others")
        self._notes[key] += times

    def close(self) -> None:
        """Write what waits, and end."""
        with self._ready:
            self._open = False
            self._ready.notify()
        self._thread.join()

    def _work(self) -> None:
        noted_s = time.monotonic()
        going_on = True
        while going_on:
            with self._ready:
                if self._open and not self._entries:
                    self._ready.wait(NOTE_S)
                going_on = self._open or len(self._entries) > BATCH
                batch = [self._entries.popleft() for _ in range(min(BATCH, len(self._entries)))]
                notes: Counter[tuple[str, str, str]] = Counter()
                if not going_on or time.monotonic() - noted_s >= NOTE_S:
                    noted_s = time.monotonic()
                    notes, self._notes = self._notes, Counter()
            self._busy_since_s = time.monotonic()
            if batch:
                self._write_together(batch)
            if notes:
                self._write_notes(notes)
            self._busy_since_s = None

    def _write_together(self, batch: list[tuple[Entry, asyncio.AbstractEventLoop, asyncio.Future[bool]]]) -> None:
        try:
            with self._database.writing() as connection:
                refused = _write(connection, [entry for entry, _, _ in batch])
                self._sweep(connection)
        except sa.exc.IntegrityError:
            if len(batch) > 1:  # somebody's code was spent, or his account is gone: each by itself
                for one in batch:
                    self._write_together([one])
            else:
                _tell(batch, False)
        except Exception as error:  # belongs to whoever waits; the thread goes on
            _tell(batch, error)
        else:
            _tell([one for number, one in enumerate(batch) if number in refused], False)
            _tell([one for number, one in enumerate(batch) if number not in refused], True)

    def _write_notes(self, notes: Counter[tuple[str, str, str]]) -> None:
        try:
            with self._database.writing() as connection:
                for (kind, actor, address), times in notes.items():
                    audit_log.append(connection, kind, actor, {"address": address, "times": times})
            self._noted = True
        except Exception as error:  # whatever it is: without this thread nobody could log in any more
            if self._noted and not isinstance(error, storage.GONE):
                structlog.get_logger().error("refusals not noted", error=type(error).__name__)
            self._noted = False
            with self._ready:
                for key, times in notes.items():
                    self._count(key, times)  # the next second may have a database that writes

    def _sweep(self, connection: sa.Connection) -> None:
        if time.monotonic() - self._swept_s < SWEEP_S:
            return
        self._swept_s = time.monotonic()
        past = text_of(now_ms() - LONGEST_WINDOW_MS)
        connection.execute(sa.delete(storage.failures).where(storage.failures.c.at < past))


def _tell(
    batch: list[tuple[Entry, asyncio.AbstractEventLoop, asyncio.Future[bool]]], outcome: bool | Exception
) -> None:
    for _, loop, written in batch:
        try:
            loop.call_soon_threadsafe(_set, written, outcome)
        except RuntimeError:  # the loop has closed: nobody listens any more
            continue


def _set(written: asyncio.Future[bool], outcome: bool | Exception) -> None:
    if written.done():
        return
    if isinstance(outcome, Exception):
        written.set_exception(outcome)
    else:
        written.set_result(outcome)


def _write(connection: sa.Connection, entries: list[Entry]) -> set[int]:
    """Write them; which of them were refused."""
    at = storage.now()
    rows: list[dict[str, Any]] = []
    failed: list[dict[str, Any]] = []
    refused: set[int] = set()
    pin_hashes = _pin_hashes(connection, {entry.session.user for entry in entries if isinstance(entry, LoggedIn)})
    for number, entry in enumerate(entries):
        if isinstance(entry, LoggedIn):
            if pin_hashes.get(entry.session.user) != entry.pin_hash:
                refused.add(number)
                continue
            rows.append(_row(entry))
            audit_log.append(connection, "logged_in", entry.session.user, {"address": entry.address})
        elif isinstance(entry, Failed):
            failed.append({"at": at, "user": entry.user, "device": entry.device, "address": entry.address})
        else:
            connection.execute(
                sa.update(storage.sessions)
                .where(storage.sessions.c.token_sha256 == entry.session.token_sha256)
                .values(expires_at=at)
            )
            audit_log.append(connection, "logged_out", entry.session.user, {})
    if rows:
        connection.execute(sa.insert(storage.sessions), rows)
    if failed:
        connection.execute(sa.insert(storage.failures), failed)
    return refused


def _pin_hashes(connection: sa.Connection, users: set[str]) -> dict[str, str]:
    """The hashes that these users have, and keep until this transaction ends: `pins.issue` waits for it."""
    if not users:
        return {}
    accounts = storage.accounts.c
    asked = sa.select(accounts.user, accounts.pin_hash).where(accounts.user.in_(users)).order_by(accounts.user)
    return {row.user: row.pin_hash for row in connection.execute(asked.with_for_update(read=True))}


def _row(entry: LoggedIn) -> dict[str, Any]:
    session = entry.session
    return {
        "token_sha256": session.token_sha256,
        "user": session.user,
        "role": session.role,
        "site": session.site,
        "device": session.device,
        "expires_at": text_of(session.expires_at_ms),
        "code_step": entry.code_step,  # unique: a code that was spent is refused a second time
    }
