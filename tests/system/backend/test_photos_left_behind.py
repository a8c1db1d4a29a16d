"""What a crash leaves of worksheet photos: a process is killed between the file and its row."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from loadtests.backend import photos, reading, storage
from loadtests.backend.server import prepare
from loadtests.backend.storage import Database

ROOT = Path(__file__).parents[3]
CRASHES = """
import hashlib, os, signal, sys
from dataclasses import replace
from pathlib import Path
from loadtests.backend import photo_files, storage
from loadtests.backend.writer import Writer
from tests.unit.backend.evenings import command, evening, write

database = storage.connect(sys.argv[1], Path(sys.argv[2]))
writer, place = Writer(database), photo_files.place_photos

def photo(content, site):
    file = database.photos / f"incoming-{content}"
    file.write_text(content)
    body = {"sha256": hashlib.sha256(content.encode()).hexdigest(), "bytes": len(content), "type": "image/jpeg"}
    return replace(command("photo", body, site=site), received=file)

def place_and_die(*given):
    place(*given)
    os.kill(os.getpid(), signal.SIGKILL)

write(writer, [*evening("0001"), photo("held", "0001")])
photo_files.place_photos = place_and_die
orphan = photo("orphan", "0001")
write(writer, [replace(orphan, body={**orphan.body, "correction": "a better light"})])
"""
ROSTER = "county,precinct,kind,delegates,attendance,district\nAdair,Adair 1,precinct,5,100,3\n"


@pytest.fixture
def crashed(tmp_path: Path) -> Database:
    """A night with one photo that is held, and one that was placed by a process which died before its row."""
    (tmp_path / "small.csv").write_text(ROSTER)
    (tmp_path / "small.toml").write_text('title = "Small"\nextends = "iowa-2020"\n[roster]\nfile = "small.csv"\n')
    data = tmp_path / "data"
    url = f"sqlite:///{data / 'caucus.db'}"
    data.mkdir()
    database = storage.connect(url, data)
    prepare(database, str(tmp_path / "small.toml"))
    done = subprocess.run([sys.executable, "-c", CRASHES, url, str(data)], cwd=ROOT, check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL
    return database


def _sweep(database: Database) -> int:
    photos.sweep(database.photos, partial(reading.photo_digests, database))
    return len(list(database.photos.rglob("*.*")))


def test_a_photo_whose_row_a_crash_prevented_is_removed_an_hour_later_and_no_other(crashed: Database) -> None:
    try:
        placed = sorted(crashed.photos.glob("??/*.jpg"))
        assert len(placed) == 2
        assert len(reading.photo_digests(crashed)) == 1
        assert _sweep(crashed) == 2, "one who is still at work may be about to write its row"
        for path in placed:
            os.utime(path, (time.time() - 2 * photos.SWEPT_AFTER_S,) * 2)
        assert _sweep(crashed) == 1
        (left,) = crashed.photos.glob("??/*.jpg")
        assert {left.stem} == reading.photo_digests(crashed)
    finally:
        crashed.close()


def test_a_photo_that_is_received_again_while_it_is_removed_stays(
    crashed: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    try:
        for path in crashed.photos.glob("??/*.jpg"):
            os.utime(path, (time.time() - 2 * photos.SWEPT_AFTER_S,) * 2)
        rename = Path.rename

        def received_just_before(path: Path, aside: Path) -> Path:
            shutil.copy(path, again := path.with_suffix(".new"))
            again.replace(path)
            return rename(path, aside)

        monkeypatch.setattr(Path, "rename", received_just_before)
        assert _sweep(crashed) == 2
    finally:
        crashed.close()
