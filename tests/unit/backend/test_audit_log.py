"""The audit log: whatever is changed afterwards, even by whoever owns the database, `verify` says where."""

from __future__ import annotations

import contextlib
import hashlib
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

from loadtests.backend import audit_log, photo_files, storage
from loadtests.backend.audit_log import ChainOfRows, Sealer, numbers, spans, verify, verify_in
from loadtests.backend.keeper import Keeper, keep
from loadtests.backend.reading import unsealed
from loadtests.backend.storage import Database
from loadtests.backend.writer import Writer
from tests.unit.backend.evenings import command, evening, small_evening, write, written


def seal(database: Database) -> None:
    sealer = Sealer()
    while sealer.seal(database):
        pass


def tamper(connection: sa.Connection, *statements: str) -> None:
    """Change what can only be added to, as its owner can: without triggers and foreign keys."""
    if connection.dialect.name == "sqlite":
        triggers = connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'trigger'")
        for name in triggers.scalars().all():
            connection.exec_driver_sql(f"DROP TRIGGER {name}")
        connection.exec_driver_sql("PRAGMA defer_foreign_keys = ON")
    else:
        connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
    for statement in statements:
        assert connection.exec_driver_sql(statement).rowcount > 0


def found_after(database: Database, statement: str) -> list[str]:
    """What is found where a statement was run, which is taken back afterwards."""
    with database.writing() as connection:
        tamper(connection, statement)
        verdict = verify_in(connection)
        connection.rollback()
    assert verdict.ok == (not verdict.problems)
    return verdict.problems


@pytest.fixture
def night(database: Database) -> Database:
    """A database with a sealed night in it: an accepted evening, one in review, results held and let out."""
    photo = b"a worksheet"
    digest = hashlib.sha256(photo).hexdigest()
    (database.data / "received").write_bytes(photo)
    photo_files.place_photo(database.photos, database.data / "received", digest, "image/jpeg")
    written(
        database,
        [
            *evening(),
            command("photo", {"sha256": digest, "bytes": len(photo), "type": "image/jpeg"}),
            command("publication", {"held": True}, site="", actor="administrator-01"),
            *small_evening("0002"),
            command("publication", {"held": False}, site="", actor="administrator-01"),
        ],
    )
    keep(database, Sealer())
    seal(database)
    return database


def test_an_untouched_log_is_as_it_was_written(night: Database):
    verdict = verify(night)
    assert verdict.problems == []
    assert (verdict.versions, verdict.photos, verdict.unsealed) == (7, 1, 0)
    assert verdict.events == 7 + 2 + 1 + 1  # versions, publications, the release, the seed
    assert verdict.links >= 1


FORGERY = """
INSERT INTO versions
SELECT site, 5, at, step, actor, role, 'forged', 'forged', content, content_sha256, warnings, detail, state
FROM versions WHERE site = '0001' AND number = 4
"""
CHANGES = [
    (
        "UPDATE events SET actor = 'nobody' WHERE version = 2 AND site = '0001'",
        "link or one of its events was changed",
    ),
    ("DELETE FROM events WHERE version = 2 AND site = '0001'", "is gone"),
    ("UPDATE seals SET at = '2020'", "was changed"),
    ("UPDATE seals SET previous = 'x'", "does not follow"),
    ("UPDATE versions SET actor = 'nobody' WHERE number = 2", "version 2 of site 0001: is not what its event"),
    ("UPDATE versions SET content = replace(content, '60', '61')", "version 3 of site 0001"),
    ("UPDATE versions SET warnings = '[]' WHERE site = '0002'", "site 0002"),
    ("UPDATE versions SET state = 'accepted' WHERE site = '0002' AND number = 3", "says accepted, but in_review"),
    ("DELETE FROM versions WHERE site = '0001' AND number = 2", "version 2 is gone"),
    ("DELETE FROM versions WHERE site = '0001' AND number = 4", "version 4 of site 0001, which is gone"),
    ("UPDATE records SET state = 'accepted' WHERE site = '0002'", "in_review, version 3 follows"),
    (
        "UPDATE records SET record = replace(record, '60', '61') WHERE site = '0001'",
        "not what its versions come to",
    ),
    ("UPDATE records SET accepted = replace(accepted, '60', '61') WHERE site = '0001'", "public figures"),
    ("UPDATE publications SET held = true", "holds results back"),
    ("UPDATE releases SET sha256 = 'x'", "release 1: is not what its event"),
    ("DELETE FROM releases", "release 1: is gone"),
    ("UPDATE release_rows SET version = 2", "was never accepted"),
    (FORGERY, "version 5 of site 0001: has no event"),
]


def test_whatever_is_changed_afterwards_is_found(night: Database):
    for statement, told in CHANGES:
        problems = found_after(night, statement)
        assert any(told in problem for problem in problems), (statement, problems)
    assert verify(night).ok


@pytest.mark.parametrize("content", [b"another worksheet", None])
def test_a_photo_that_changed_or_went_is_found(night: Database, content: bytes | None):
    [photo] = (path for path in night.photos.rglob("*.jpg"))
    photo.unlink() if content is None else photo.write_bytes(content)
    [problem] = verify(night).problems
    assert "its photo" in problem
    assert verify(night, photos=False).ok


def test_a_log_that_was_rewritten_as_a_whole_does_not_hold_the_link_that_was_noted_down(night: Database):
    noted = verify(night).head
    written(night, [command("open", {"attendees": 50, "correction": "again"}, site="0002")])
    seal(night)
    assert verify(night, expect=noted).ok
    with night.writing() as connection:
        rewrite = "UPDATE events SET at = '2020-02-04T00:00:00.000Z' WHERE kind = 'seeded'"
        tamper(connection, "DELETE FROM seals", rewrite)
    seal(night)
    assert verify(night).ok  # nobody could tell from the log alone
    assert "this is not the log that was seen then" in verify(night, expect=noted).problems[0]


def test_events_that_become_visible_out_of_order_are_all_sealed(postgres_url: str, tmp_path: Path):
    """Two transactions take their numbers in one order and commit in the other; a third never commits."""
    database = storage.connect(postgres_url, tmp_path)
    database.migrate()
    sealer = Sealer()
    early, late, never = (database.engine.connect() for _ in range(3))
    for connection in (early, never, late):
        audit_log.append(connection, "test", "somebody", {})
    late.commit()
    assert sealer.seal(database) == 1
    early.commit()
    never.rollback()
    assert Sealer().seal(database) == 1  # another process would find it, too
    assert sealer.seal(database) == 0
    for connection in (early, late, never):
        connection.close()
    verdict = verify(database)
    assert (verdict.problems, verdict.events, verdict.unsealed, verdict.links) == ([], 2, 0, 2)
    database.close()


def test_numbers_are_written_as_spans():
    assert spans([17, 18, 19, 21]) == "17-19,21"
    assert list(numbers("17-19,21")) == [17, 18, 19, 21]


def test_one_process_keeps_and_another_takes_over(database: Database, connect: Callable[[], Database]):
    keepers = [Keeper(database, every_s=0.02), Keeper(connect(), every_s=0.02)]
    written(database, evening())
    for keeper in keepers:
        keeper.start()
    assert _soon(lambda: sum(keeper.keeps for keeper in keepers) == 1)
    first = next(keeper for keeper in keepers if keeper.keeps)
    assert _soon(lambda: verify(database).unsealed == 0)
    first.stop()
    written(database, small_evening("0002"))
    [second] = (keeper for keeper in keepers if keeper is not first)
    assert _soon(lambda: second.keeps and verify(database).unsealed == 0)
    second.stop()
    verdict = verify(database)
    assert verdict.problems == []
    with database.reading() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(storage.releases)).scalar() == 1


def _soon(holds: Callable[[], bool]) -> bool:
    until = time.monotonic() + 10
    while time.monotonic() < until:
        if holds():
            return True
        time.sleep(0.02)
    return False


def test_a_link_for_each_row_is_forked_by_two_processes(database: Database, connect: Callable[[], Database]):
    writers = [Writer(one, faults=frozenset({"chain_per_row"})) for one in (database, connect())]
    write(writers[0], evening())
    assert verify(database).ok
    write(writers[1], small_evening("0002"))
    write(writers[0], small_evening("0003"))
    for writer in writers:
        writer.drain()
    assert any("does not follow the link before it" in problem for problem in verify(database).problems)


def test_a_link_for_each_row_is_broken_by_a_transaction_that_fails(database: Database):
    chain = ChainOfRows()
    event = {"at": "2020", "kind": "test", "actor": "-", "content": "{}"}
    with database.writing() as connection:
        chain.append(connection, [event])
    with contextlib.suppress(RuntimeError), database.writing() as connection:
        chain.append(connection, [event])
        raise RuntimeError("the disk is full")
    with database.writing() as connection:
        chain.append(connection, [event])
    assert not verify(database).ok


def test_a_link_of_late_events_does_not_make_sealed_ones_look_unsealed(night: Database):
    assert unsealed(night) == 0
    with night.writing() as connection:
        last = connection.execute(sa.select(sa.func.max(storage.events.c.id))).scalar_one()
        sealer = Sealer()
        for number in (last + 2, last + 3):
            event = {"id": number, "at": storage.now(), "kind": "on time", "actor": "-", "content": "{}"}
            connection.execute(sa.insert(storage.events).values(event))
    sealer.seal(night)
    with night.writing() as connection:
        event = {"id": last + 1, "at": storage.now(), "kind": "late", "actor": "-", "content": "{}"}
        connection.execute(sa.insert(storage.events).values(event))
    assert sealer.seal(night) == 1
    assert unsealed(night) == 0


def test_a_hold_is_acknowledged_before_a_release_is_made_or_after_it(
    database: Database, monkeypatch: pytest.MonkeyPatch
):
    """Nobody hears that results are held back while one is on its way; and a release sees one state of the database."""
    writer, other = Writer(database), Writer(database)
    hold = command("publication", {"held": True}, site="", actor="administrator-01")
    acknowledged = threading.Event()

    def ask() -> None:
        if write(writer, [hold])[0].status == 201:
            acknowledged.set()

    thread = threading.Thread(target=ask)
    seen: list[bool] = []

    def slow(connection: sa.Connection) -> bool:
        held = storage.is_held(connection)
        thread.start()
        if not database.is_sqlite:
            write(other, small_evening("0003"))  # reports go on
        seen.append(acknowledged.wait(0.4))
        return held

    monkeypatch.setattr("loadtests.backend.results.release.is_held", slow)
    write(writer, evening())
    keep(database, Sealer())
    thread.join()
    assert writer.drain()
    assert other.drain()
    assert seen == [False]
    assert acknowledged.is_set()
    with database.reading() as connection:
        made = connection.execute(sa.select(storage.releases)).one()
        later = connection.execute(
            sa.select(sa.func.count()).where(
                storage.events.c.site == "0003", storage.events.c.id <= made.events_through
            )
        ).scalar()
        assert later == 0
