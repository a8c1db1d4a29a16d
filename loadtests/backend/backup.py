"""Backup and restore: one file holds a database as it was at one moment, and the photos that belong to it.

The file is the same for SQLite and PostgreSQL, so that one can be restored into the other. Who is logged in is left
out. Knows tables only by their columns.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import re
import tarfile
import tempfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import sqlalchemy as sa

from loadtests.backend import audit_log, photo_files, records, storage
from loadtests.backend.audit_log import Verdict
from loadtests.backend.photos import INCOMING
from loadtests.backend.storage import Database
from loadtests.content import canonical
from simulation.errors import InputError

FORMAT = 1
MANIFEST = "manifest.json"
RESTORED = "restored"  # the kind of event that a restored database has: whence it comes
LEFT_OUT = ("sessions", "failures")
_PHOTO = re.compile(r"photos/[0-9a-f]{2}/([0-9a-f]{64})\.(jpg|png)")
_ROWS = 1_000  # of one insertion


@dataclass(frozen=True, slots=True)
class Made:
    """What a backup holds."""

    rows: int
    photos: int
    missing_photos: int  # that the database knows and the folder does not have
    head: str  # of the audit chain, see `audit_log.verify`


def backup(database: Database, path: Path) -> Made:
    """Write a database, which may be in use, into a new file that only its owner can read."""
    if path.exists():
        raise InputError(f"{path}: exists; a backup does not replace another one")
    partial = path.with_name(path.name + ".partial")
    try:
        with os.fdopen(os.open(partial, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "wb") as file:
            with tarfile.open(fileobj=file, mode="w") as archive, database.reading() as connection:
                storage.stay(connection)  # while photos are copied
                made = _write(connection, database, archive)
            file.flush()
            os.fsync(file.fileno())
        partial.rename(path)
        photo_files.sync_folder(path.parent)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}") from error
    except sa.exc.DBAPIError as error:
        raise InputError(f"{database.shown_url}: cannot be read to its end: {storage.reason(error)}") from error
    finally:
        partial.unlink(missing_ok=True)
    return made


def _write(connection: sa.Connection, database: Database, archive: tarfile.TarFile) -> Made:
    tables: dict[str, dict[str, Any]] = {}
    for table in _tables():
        with tempfile.TemporaryFile() as file:
            digest, rows = hashlib.sha256(), 0
            with gzip.GzipFile(fileobj=file, mode="wb", mtime=0) as packed:
                query = sa.select(table).order_by(*table.primary_key)
                for row in connection.execute(query, execution_options={"yield_per": _ROWS}):
                    line = canonical(row._asdict()).encode() + b"\n"
                    digest.update(line)
                    packed.write(line)
                    rows += 1
            _add(archive, f"tables/{table.name}.jsonl.gz", file)
        tables[table.name] = {"rows": rows, "sha256": digest.hexdigest()}
    head = audit_log.head(connection)[1]
    photos, missing = 0, 0
    for photo in _photos(connection, database):
        try:
            with photo.open("rb") as file:
                _add(archive, f"photos/{photo.parent.name}/{photo.name}", file)
            photos += 1
        except FileNotFoundError:
            missing += 1
    manifest = {
        "format": FORMAT,
        "revision": database.revision(),
        "made_at": storage.now(),
        "head": head,
        "tables": tables,
        "photos": photos,
    }
    _add(archive, MANIFEST, io.BytesIO(json.dumps(manifest, indent=1).encode()))
    return Made(sum(table["rows"] for table in tables.values()), photos, missing, head)


def restore(database: Database, path: Path) -> Verdict:
    """Fill an empty database, migrated and not seeded, from a backup, and verify it against the backup's own word.

    InputError where the database holds anything, or the file is not a backup that this version can read.
    """
    with database.engine.connect() as connection:
        for table in storage.metadata.sorted_tables:
            if connection.execute(sa.select(sa.literal(1)).select_from(table).limit(1)).first():
                raise InputError(f"{database.shown_url}: is not empty; a backup is restored into a database of its own")
    try:
        with tarfile.open(path, "r:") as archive:
            members = {member.name: member for member in archive.getmembers() if member.isfile()}
            manifest = _manifest(archive, members, path, database.revision())
            with database.writing() as connection:
                storage.stay(connection)  # while photos are copied
                for table in _tables():
                    _read_table(connection, table, archive, members, manifest, path)
                _go_on_counting(connection)
                told = {name: manifest[name] for name in ("made_at", "head", "photos")}
                audit_log.append(connection, RESTORED, "-", told)
                for name, member in members.items():
                    if found := _PHOTO.fullmatch(name):
                        _read_photo(_file(archive, member), found[1], found[2], database.photos, path)
    except sa.exc.DBAPIError as error:
        raise InputError(f"{database.shown_url}: cannot be filled: {storage.reason(error)}") from error
    except (OSError, tarfile.TarError, zlib.error, EOFError, ValueError, KeyError) as error:
        raise InputError(f"{path}: not a whole backup: {error}") from error
    return audit_log.verify(database, None if manifest["head"] == audit_log.FIRST_LINK else manifest["head"])


def _manifest(
    archive: tarfile.TarFile, members: dict[str, tarfile.TarInfo], path: Path, revision: str
) -> dict[str, Any]:
    if MANIFEST not in members:
        raise InputError(f"{path}: not a backup, or not a whole one: it has no {MANIFEST}")
    manifest: dict[str, Any] = json.load(_file(archive, members[MANIFEST]))
    if (manifest["format"], manifest["revision"]) != (FORMAT, revision):
        raise InputError(
            f"{path}: made by another version (format {manifest['format']}, tables {manifest['revision']!r}); "
            f"this one reads format {FORMAT}, tables {revision!r}"
        )
    return manifest


def _read_table(
    connection: sa.Connection,
    table: sa.Table,
    archive: tarfile.TarFile,
    members: dict[str, tarfile.TarInfo],
    manifest: dict[str, Any],
    path: Path,
) -> None:
    digest, rows = hashlib.sha256(), []
    with gzip.open(_file(archive, members[f"tables/{table.name}.jsonl.gz"])) as lines:
        for line in lines:
            digest.update(line)
            rows.append(json.loads(line))
            if len(rows) == _ROWS:
                connection.execute(sa.insert(table), rows)
                rows.clear()
    if rows:
        connection.execute(sa.insert(table), rows)
    if digest.hexdigest() != manifest["tables"][table.name]["sha256"]:
        raise InputError(f"{path}: damaged: the rows of {table.name} are not those that were written")


def _read_photo(file: IO[bytes], sha256: str, ending: str, photos: Path, path: Path) -> None:
    content = file.read()
    if hashlib.sha256(content).hexdigest() != sha256:
        raise InputError(f"{path}: damaged: the photo {sha256} is not the one that was written")
    photos.mkdir(mode=0o700, parents=True, exist_ok=True)
    restored = photos / f"{INCOMING}restored"
    restored.write_bytes(content)
    photo_files.place_photo(photos, restored, sha256, "image/png" if ending == "png" else "image/jpeg")


def _go_on_counting(connection: sa.Connection) -> None:
    """New rows get numbers above the restored ones; SQLite sees to that by itself."""
    if connection.dialect.name == "sqlite":
        return
    for column in (storage.events.c.id, storage.publications.c.number):
        last = connection.execute(sa.select(sa.func.max(column))).scalar()
        if last is not None:
            sequence = sa.func.pg_get_serial_sequence(column.table.name, column.name)
            connection.execute(sa.select(sa.func.setval(sequence, last)))


def _tables() -> Iterator[sa.Table]:
    """Those that are kept, each after those that it refers to."""
    return (table for table in storage.metadata.sorted_tables if table.name not in LEFT_OUT)


def _photos(connection: sa.Connection, database: Database) -> list[Path]:
    table = storage.versions
    contents = connection.execute(sa.select(table.c.content).where(table.c.step == records.Step.PHOTO.value)).scalars()
    bodies = [json.loads(content) for content in contents]
    return sorted({photo_files.photo_path(database.photos, body["sha256"], body["type"]) for body in bodies})


def _add(archive: tarfile.TarFile, name: str, file: IO[bytes]) -> None:
    member = tarfile.TarInfo(name)
    member.size = file.seek(0, io.SEEK_END)
    member.mode = 0o600
    file.seek(0)
    archive.addfile(member, file)


def _file(archive: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    file = archive.extractfile(member)
    assert file is not None, "members are files"
    return file
