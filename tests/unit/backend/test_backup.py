"""Backup and restore: one file holds everything, and fits into either kind of database, but never over another."""

from __future__ import annotations

import hashlib
import os
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from loadtests.backend import backup as backups
from loadtests.backend import photo_files, storage
from loadtests.backend.audit_log import Sealer, verify
from loadtests.backend.backup import backup, restore
from loadtests.backend.keeper import keep
from loadtests.backend.storage import Database
from simulation.errors import InputError
from tests.unit.backend.evenings import command, evening, small_evening, written

PHOTO = b"a worksheet"
DIGEST = hashlib.sha256(PHOTO).hexdigest()


@pytest.fixture
def night(database: Database) -> Database:
    """A database with a photo, an account, a session, a release, and a sealed chain."""
    (database.data / "received").write_bytes(PHOTO)
    photo_files.place_photo(database.photos, database.data / "received", DIGEST, "image/jpeg")
    photo = command("photo", {"sha256": DIGEST, "bytes": len(PHOTO), "type": "image/jpeg"})
    written(database, [*evening(), photo, *small_evening("0002")])
    with database.writing() as connection:
        account = {"user": "0001", "role": "chair", "site": "0001", "pin_hash": "-", "created_at": storage.now()}
        connection.execute(sa.insert(storage.accounts).values(account))
        session = {"token_sha256": "-", "user": "0001", "role": "chair", "device": "-", "expires_at": storage.now()}
        connection.execute(sa.insert(storage.sessions).values(session))
    sealer = Sealer()
    keep(database, sealer)
    keep(database, sealer)
    return database


@pytest.fixture
def empty(empty_url: str, tmp_path: Path) -> Iterator[Database]:
    """Another database, of each kind, with tables and nothing in them."""
    found = storage.connect(empty_url, tmp_path / "restored")
    found.migrate()
    yield found
    found.close()


def rows(database: Database) -> dict[str, list[tuple[object, ...]]]:
    with database.reading() as connection:
        return {
            table.name: [tuple(row) for row in connection.execute(sa.select(table).order_by(*table.primary_key))]
            for table in storage.metadata.sorted_tables
        }


def test_what_is_restored_is_what_was_there_whatever_the_kind_of_database(
    night: Database, empty: Database, tmp_path: Path
):
    made = backup(night, tmp_path / "night.tar")
    verdict = restore(empty, tmp_path / "night.tar")
    assert verdict.problems == []
    assert (verdict.head, verdict.photos) == (made.head, 1)
    before, after = rows(night), rows(empty)
    *after["events"], (_, _, kind, _, _, _, told) = after["events"]
    assert kind == "restored"
    assert made.head in str(told)
    assert after.pop("sessions") == []  # who is logged in is left out
    assert before.pop("sessions") != []
    assert after == before
    assert photo_files.photo_path(empty.photos, DIGEST, "image/jpeg").read_bytes() == PHOTO


def test_the_night_goes_on_after_a_restore(night: Database, empty: Database, tmp_path: Path):
    backup(night, tmp_path / "night.tar")
    restore(empty, tmp_path / "night.tar")
    assert [answer.status for answer in written(empty, small_evening("0003"))] == [201, 201, 201]
    keep(empty, Sealer())
    verdict = verify(empty)
    assert (verdict.problems, verdict.unsealed) == ([], 0)


def test_a_backup_goes_only_into_an_empty_database(night: Database, tmp_path: Path):
    backup(night, tmp_path / "night.tar")
    with pytest.raises(InputError, match="is not empty"):
        restore(night, tmp_path / "night.tar")


def test_only_its_owner_reads_a_backup_and_none_is_replaced(night: Database, tmp_path: Path):
    path = tmp_path / "night.tar"
    backup(night, path)
    assert path.stat().st_mode & 0o077 == 0
    with pytest.raises(InputError, match="exists"):
        backup(night, path)
    with pytest.raises(InputError, match="cannot be written"):
        backup(night, tmp_path / "no such folder" / "night.tar")


def test_a_photo_that_is_gone_does_not_stop_a_backup_and_is_told(night: Database, tmp_path: Path):
    photo_files.photo_path(night.photos, DIGEST, "image/jpeg").unlink()
    made = backup(night, tmp_path / "night.tar")
    assert (made.photos, made.missing_photos) == (0, 1)


@pytest.mark.parametrize("damage", ["cut", "flip", "nothing", "another archive", "photo"])
def test_a_damaged_backup_restores_nothing(night: Database, damage: str, tmp_path: Path):
    path = tmp_path / "night.tar"
    backup(night, path)
    whole = path.read_bytes()
    if damage == "cut":
        path.write_bytes(whole[: len(whole) // 2])
    elif damage == "flip":
        at = whole.index(b"tables/versions.jsonl.gz") + 512 + 200
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    elif damage == "nothing":
        path.write_bytes(b"")
    elif damage == "another archive":
        with tarfile.open(path, "w") as archive:
            archive.addfile(tarfile.TarInfo("hello"))
    else:
        path.write_bytes(whole.replace(PHOTO, PHOTO[::-1]))
    target = storage.connect(f"sqlite:///{tmp_path / 'target.sqlite'}", tmp_path / "target")
    target.migrate()
    with pytest.raises(InputError):
        restore(target, path)
    assert not target.is_seeded()
    target.close()


on_postgresql = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


@on_postgresql
@pytest.mark.parametrize("empty_url", ["postgresql"], indirect=True)
def test_photos_may_take_longer_than_a_transaction_may_rest(
    night: Database, empty: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def impatient(connection: sa.Connection) -> None:
        connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = '100ms'")

    for database in (night, empty):
        sa.event.listen(database.engine, "begin", impatient)
    photos, place = backups._photos, photo_files.place_photo

    def slow_photos(connection: sa.Connection, database: Database) -> list[Path]:
        found = photos(connection, database)
        time.sleep(0.4)
        return found

    def slow_place(*where: object) -> Path:
        time.sleep(0.4)
        return place(*where)  # type: ignore[arg-type]  # handed on

    monkeypatch.setattr(backups, "_photos", slow_photos)
    monkeypatch.setattr(photo_files, "place_photo", slow_place)
    assert backup(night, tmp_path / "night.tar").photos == 1
    assert restore(empty, tmp_path / "night.tar").problems == []


@on_postgresql
def test_a_database_that_goes_during_a_backup_is_one_sentence(
    night: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def ended(connection: sa.Connection) -> tuple[int, str]:
        connection.exec_driver_sql("SELECT pg_terminate_backend(pg_backend_pid())")
        raise AssertionError("the session is over")

    monkeypatch.setattr("loadtests.backend.audit_log.head", ended)
    with pytest.raises(InputError, match="cannot be read to its end"):
        backup(night, tmp_path / "night.tar")
    assert not list(tmp_path.glob("night.tar*"))


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("empty_url", ["sqlite"], indirect=True)
def test_a_backup_and_a_restored_photo_are_on_the_disk(
    night: Database, empty: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    synced, fsync = set(), os.fsync

    def noted(descriptor: int) -> None:
        stat = os.fstat(descriptor)
        synced.add((stat.st_dev, stat.st_ino))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    backup(night, tmp_path / "night.tar")
    restore(empty, tmp_path / "night.tar")
    photo = photo_files.photo_path(empty.photos, DIGEST, "image/jpeg")
    for path in (tmp_path, tmp_path / "night.tar", photo, photo.parent, empty.photos):
        assert (path.stat().st_dev, path.stat().st_ino) in synced, path
