"""One thread writes: commands wait in a bounded queue, go into one transaction together, and are answered after it.

What is acknowledged is on the disk. Knows nothing of HTTP, nor of what a command means: that is `records`.
"""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from loadtests.backend import audit_log, photo_files, records, storage
from loadtests.backend.checks import RefusedError, finding
from loadtests.backend.records import Answer, Command, Record, Step
from loadtests.backend.storage import GONE, Caucus, Database
from loadtests.content import canonical
from simulation.errors import InputError

BATCH = 64  # commands of one transaction at most
RETRY_AFTER_S = 1.0
MOST_PATIENCE_S = 2.0  # a command that waits for a database that is gone
WRITE_BEHIND_S = 0.1  # how long the fault `acknowledges_before_write` sits on what it has acknowledged

_log = logging.getLogger(__name__)


class QueueFullError(Exception):
    """Nothing was acknowledged: the queue is full, or the database is gone; the same request may be sent again."""

    def __init__(self, retry_after_s: float = RETRY_AFTER_S) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(f"nothing was written: try again in {retry_after_s:g} s")


class UnclearError(Exception):
    """The database was lost while it committed: the write may be stored. The same key and content find out."""

    def __init__(self) -> None:
        super().__init__("the database was lost while it stored this")


class _CommitLostError(Exception):
    """The database was gone when a transaction asked it to commit: it may have done so."""


class _Waiting:
    """A command, and who waits for its answer. Nobody may: a client that is gone still gets its write decided."""

    __slots__ = ("answer", "command", "future", "loop", "since")

    def __init__(self, command: Command) -> None:
        self.command = command
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[Answer] = self.loop.create_future()
        self.answer: Answer | Exception | None = None
        self.since = time.monotonic()


class Writer:
    """The one writer of a process. Make it anywhere, `do` from any event loop, `drain` at the end."""

    def __init__(self, database: Database, queue: int = 256, faults: frozenset[str] = frozenset()) -> None:
        self._database = database
        self._most_waiting = None if "unbounded_queue" in faults else queue
        self._forgets = "no_idempotency" in faults
        self._too_early = "acknowledges_before_write" in faults
        self._chain = audit_log.ChainOfRows() if "chain_per_row" in faults else None
        self._queue: deque[_Waiting] = deque()
        self._changed = threading.Condition()
        self._writing = 0
        self._healthy = True
        self._open = True
        self._thread = threading.Thread(target=self._work, name="writer", daemon=True)
        self._thread.start()

    @property
    def depth(self) -> int:
        """Commands that wait or are being written."""
        return len(self._queue) + self._writing

    @property
    def healthy(self) -> bool:
        """Whether the last transaction found a database, and there is somebody to write the next."""
        return self._healthy and self._thread.is_alive()

    async def do(self, command: Command) -> Answer:
        """The answer, once what it acknowledges is on the disk.

        QueueFullError where nothing was written, UnclearError where that is not known.
        """
        with self._changed:
            full = self._most_waiting is not None and len(self._queue) >= self._most_waiting
            if full or not self._open:
                raise QueueFullError
            waiting = _Waiting(command)
            self._queue.append(waiting)
            self._changed.notify()
        return await waiting.future

    def drain(self, timeout_s: float = 20.0) -> bool:
        """Take nothing more, write what waits, end the thread. Whether all of it was decided in time."""
        with self._changed:
            self._open = False
            self._changed.notify()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._queue and self._open:
                    self._changed.wait()
                if not self._queue:
                    return
                batch = [self._queue.popleft() for _ in range(min(BATCH, len(self._queue)))]
                self._writing = len(batch)
            self._write(batch)
            _tell(batch)
            self._writing = 0
            if not self._healthy:
                self._wait_for_the_database()

    def _write(self, batch: Sequence[_Waiting], *, unclear: bool = False) -> None:
        """Decide a batch in one transaction; one by one where a command is in the way of the others.

        It is `unclear` whether the batch is stored once a commit may have been sent. Trying again is safe, because the
        keys tell; giving up has to say so.
        """
        for last in (False, True):
            try:
                answers = self._transaction(
                    [waiting.command for waiting in batch], lambda told: _tell_early(batch, told)
                )
            except (_CommitLostError, *GONE) as error:
                unclear = unclear or isinstance(error, _CommitLostError)
                _log.warning("the database does not answer: %s", type(error).__name__)
                self._healthy = False
                if last or not self._revived():
                    _answer_all(batch, UnclearError() if unclear else QueueFullError())
                    return
            except Exception as error:
                if len(batch) == 1:
                    if last or not isinstance(error, sa.exc.IntegrityError):
                        _log.exception("a command could not be decided")
                        _answer_all(batch, error)
                        return
                    continue  # another process was first: its row is there now
                self._healthy = True  # it was not the database
                for waiting in batch:
                    if self._healthy:
                        self._write([waiting], unclear=unclear)
                    else:
                        waiting.answer = UnclearError() if unclear else QueueFullError()
                return
            else:
                self._healthy = True
                for waiting, answer in zip(batch, answers, strict=True):
                    waiting.answer = answer
                return

    def _transaction(self, commands: Sequence[Command], before_commit: Callable[[list[Answer]], None]) -> list[Answer]:
        caucus = self._database.caucus()
        commits = False
        try:
            with self._database.writing() as connection:
                batch = Batch(connection, caucus, commands, forgets=self._forgets)
                answers = [batch.decide(command) for command in commands]
                batch.place_photos(self._database.photos)
                batch.write(self._chain)
                if self._too_early:
                    before_commit(answers)
                    time.sleep(WRITE_BEHIND_S)
                commits = True
        except GONE as error:
            if commits:
                raise _CommitLostError from error
            raise
        return answers

    def _revived(self) -> bool:
        try:
            self._database.revive()
        except (*GONE, InputError, OSError):  # OSError: the embedded one could not be started, for want of files, say
            return False
        return True

    def _wait_for_the_database(self) -> None:
        """Until it is back; whoever waits too long meanwhile is told to try again."""
        while not self._revived():
            oldest = time.monotonic() - (MOST_PATIENCE_S if self._open else 0)
            with self._changed:
                waits = self._open and self._most_waiting is None
                late = [] if waits else [waiting for waiting in self._queue if waiting.since <= oldest]
                for _ in late:
                    self._queue.popleft()
            _answer_all(late, QueueFullError())
            _tell(late)
            if not self._open and not self._queue:
                return
            time.sleep(0.1)
        self._healthy = True


def _answer_all(batch: Sequence[_Waiting], answer: Exception) -> None:
    for waiting in batch:
        waiting.answer = answer


def _tell_early(batch: Sequence[_Waiting], answers: Sequence[Answer]) -> None:
    for waiting, answer in zip(batch, answers, strict=True):
        waiting.answer = answer
    _tell(batch)


def _tell(batch: Sequence[_Waiting]) -> None:
    """Hand the answers to those who wait: one call for each event loop, not one for each answer."""
    loops: dict[asyncio.AbstractEventLoop, list[_Waiting]] = {}
    for waiting in batch:
        loops.setdefault(waiting.loop, []).append(waiting)
    for loop, some in loops.items():
        try:
            loop.call_soon_threadsafe(_set_results, some)
        except RuntimeError:  # the loop has closed: nobody listens any more
            continue


def _set_results(batch: Sequence[_Waiting]) -> None:
    for waiting in batch:
        if waiting.future.done():  # the client is gone, or was told too early
            continue
        if isinstance(waiting.answer, Answer):
            waiting.future.set_result(waiting.answer)
        else:
            waiting.future.set_exception(waiting.answer or QueueFullError())


class Batch:
    """Commands that are decided in one transaction, in their order, each seeing what those before it did."""

    def __init__(
        self, connection: sa.Connection, caucus: Caucus, commands: Sequence[Command], *, forgets: bool = False
    ) -> None:
        self._connection = connection
        self._caucus = caucus
        self._forgets = forgets
        self._at = storage.now()
        sites = sorted({command.site for command in commands if command.site in caucus.sites})
        self._records = read_records(connection, sites, lock=True)
        self._first: dict[tuple[str, str], Mapping[str, Any]] = {}  # rows by actor and key
        if not forgets:
            keys = list({command.key for command in commands})
            self._remember(storage.versions, keys)
            if any(command.step == Step.PUBLICATION for command in commands):
                self._remember(storage.publications, keys)
        self._versions: list[dict[str, Any]] = []
        self._publications: list[dict[str, Any]] = []
        self._changed: dict[str, dict[str, Any]] = {}
        photographed = sorted({command.site for command in commands if command.step == Step.PHOTO} & set(sites))
        self._photos = held_photos(connection, photographed)
        self._received: list[Command] = []

    def _remember(self, table: sa.Table, keys: Sequence[str]) -> None:
        for row in self._connection.execute(sa.select(table).where(table.c.unique_key.in_(keys))):
            self._first[row.actor, row.unique_key] = row._asdict()

    def _remember_row(self, row: Mapping[str, Any]) -> None:
        if not self._forgets:
            self._first[row["actor"], row["key"]] = row

    def decide(self, command: Command) -> Answer:
        """What the command comes to; nothing is written yet."""
        digest = command.content_sha256
        first = self._first.get((command.actor, command.key))
        try:
            if first is not None:
                if first["content_sha256"] != digest:
                    raise RefusedError(finding("R02"))
                return Answer(201, _written(first), replayed=True)
            if command.step == Step.PUBLICATION:
                return self._published(command, digest)
            record = self._records.get(command.site, Record())
            photos = self._photos.get(command.site, {})
            decision = records.decide(self._caucus, record, command, photos, forgets=self._forgets)
        except RefusedError as error:
            return Answer(error.status, {"errors": [one.json() for one in error.findings]})
        after = decision.record
        row = {
            "site": command.site,
            "number": after.version,
            "at": self._at,
            "step": command.step,
            "actor": command.actor,
            "role": command.role,
            "key": command.key,
            "unique_key": None if self._forgets else command.key,
            "content": canonical(command.body),
            "content_sha256": digest,
            "warnings": canonical(after.warnings),
            "detail": canonical(decision.detail),
            "state": after.state.value,
        }
        if command.step == Step.PHOTO:
            photos[command.body["sha256"]] = command.body["bytes"]
            self._received.append(command)
        self._versions.append(row)
        self._remember_row(row)
        self._records[command.site] = after
        self._changed[command.site] = {
            "site": command.site,
            "state": after.state.value,
            "version": after.version,
            "record": after.json(),
            **self._public(command, after),
        }
        return Answer(201, _written(row))

    def _public(self, command: Command, after: Record) -> dict[str, Any]:
        """The figures that are public from here on, where this command, or one of this batch, made them so."""
        if after.state is records.State.ACCEPTED and command.step != Step.PHOTO:
            return {"accepted_version": after.version, "accepted": canonical(after.figures.json())}
        before = self._changed.get(command.site, {})
        return {name: before.get(name) for name in ("accepted_version", "accepted")}

    def _published(self, command: Command, digest: str) -> Answer:
        row = {
            "at": self._at,
            "held": command.body["held"],
            "actor": command.actor,
            "key": command.key,
            "unique_key": None if self._forgets else command.key,
            "content_sha256": digest,
        }
        self._publications.append(row)
        self._remember_row(row)
        return Answer(201, _written(row))

    def place_photos(self, folder: Path) -> None:
        """Put the photos of what was decided where they belong, before their rows are written: only those are kept."""
        photo_files.place_photos(
            folder,
            [
                (one.received, one.body["sha256"], one.body["type"])
                for one in self._received
                if one.received is not None
            ],
        )

    def write(self, chain: audit_log.ChainOfRows | None = None) -> None:
        """Write what was decided, each kind of row in one go."""
        if not self._versions and not self._publications:
            return
        events = [audit_log.version_event(row) for row in self._versions]
        if self._versions:
            storage.insert_rows(self._connection, storage.versions, self._versions)
            storage.update_records(self._connection, list(self._changed.values()))
        if self._publications:
            storage.insert_rows(self._connection, storage.publications, self._publications)
            events += [audit_log.publication_event(row) for row in self._publications]
        if chain is not None:
            chain.append(self._connection, events)
        else:
            storage.insert_rows(self._connection, storage.events, events)


def read_records(connection: sa.Connection, sites: Sequence[str], *, lock: bool = False) -> dict[str, Record]:
    """Records by site; with `lock`, nobody else changes them before the transaction ends."""
    table = storage.records
    query = sa.select(table.c.site, table.c.state, table.c.version, table.c.record).where(table.c.site.in_(sites))
    if lock:
        query = query.order_by(table.c.site).with_for_update()  # in one order everywhere: no two wait for each other
    return {row.site: Record.of(row.state, row.version, row.record) for row in connection.execute(query)}


def held_photos(connection: sa.Connection, sites: Sequence[str]) -> dict[str, dict[str, int]]:
    """The photos of each site that were ever stored, each once: their bytes by their digest."""
    found: dict[str, dict[str, int]] = {site: {} for site in sites}
    if found:
        table = storage.versions
        stored = sa.select(table.c.site, table.c.content).where(table.c.site.in_(sites), table.c.step == Step.PHOTO)
        for site, content in connection.execute(stored):
            body = json.loads(content)
            found[site][body["sha256"]] = body["bytes"]
    return found


def _written(row: Mapping[str, Any]) -> dict[str, Any]:
    """The answer of a write, from its row: the same the first time and ever after."""
    if "held" in row:
        return {"held": row["held"], "content_sha256": row["content_sha256"], "recorded_at": row["at"]}
    return {
        "site": row["site"],
        "version": row["number"],
        "step": row["step"],
        "state": row["state"],
        "content_sha256": row["content_sha256"],
        "warnings": json.loads(row["warnings"]),
        "recorded_at": row["at"],
        **json.loads(row["detail"]),
    }
