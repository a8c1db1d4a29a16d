"""The event log in PostgreSQL: what holds of a file holds there too."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest
from click.testing import CliRunner
from sqlalchemy import create_engine, text

from loadtests.backend.embedded import EmbeddedPostgres
from simulation.cli import caucus
from simulation.errors import InputError
from simulation.rehearsal.event import ROOM
from simulation.rehearsal.log import Log
from simulation.rehearsal.running import Rehearsal, read_only
from simulation.roster import synthesize

Started = Callable[..., tuple["subprocess.Popen[str]", dict[str, str]]]


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    folder = Path(tempfile.mkdtemp(prefix="pg"))  # a socket's path must be short
    server = EmbeddedPostgres(folder)
    server.start()
    try:
        yield server.url()
    finally:
        server.release()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Started]:
    """`caucus rehearse` in a process of its own, on a few precincts; and its links."""
    roster = tmp_path / "few.csv"
    roster.write_text("\n".join(synthesize("iowa-2020").csv().splitlines()[:21]) + "\n")
    running: list[subprocess.Popen[str]] = []

    def start(where: str, *options: str, new: bool = True) -> tuple[subprocess.Popen[str], dict[str, str]]:
        begun = ["--roster", str(roster), "--set", "turnout.people=none", "--solo"] if new else []
        caucus_ = str(Path(sys.executable).with_name("caucus"))
        command = [caucus_, "rehearse", "iowa-2020", "--host", "127.0.0.1", "--port", "0", "--file", where]
        process = subprocess.Popen(
            [*command, *begun, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        running.append(process)
        assert process.stdout is not None
        line = process.stdout.readline()
        return process, json.loads(line) if line else {}

    yield start
    for process in running:
        process.kill()
        process.communicate(timeout=20)


def joined(links: dict[str, str], name: str) -> str:
    """Somebody takes a seat; the address of the own page."""
    form = urlencode({"code": links["join_code"], "name": name}).encode()
    with urllib.request.urlopen(links["url"], form) as answer:
        return str(answer.url)


def test_a_killed_server_goes_on_a_second_one_is_refused_and_names_are_deleted(database: str, started: Started) -> None:
    first, links = started(database)
    page = joined(links, "Ada Lovelace")
    second, nothing = started(database, new=False)
    assert second.wait(60) == 2
    assert not nothing
    assert second.stderr is not None
    assert "another server runs this rehearsal" in second.stderr.read()
    os.kill(first.pid, signal.SIGKILL)
    first.wait(20)

    third, again = started(database, new=False)
    assert again["join_code"] == links["join_code"]
    assert again["trainer_url"].rpartition("/")[2] == links["trainer_url"].rpartition("/")[2]
    with urllib.request.urlopen(again["url"] + "seat/" + page.rpartition("/")[2]) as answer:
        assert "Ada Lovelace" in answer.read().decode()
    third.terminate()
    third.wait(20)

    rehearsal = Rehearsal(Log(database))
    assert [row.name for row in rehearsal.attendance()] == ["Ada Lovelace"]
    rehearsal.do("ended", ROOM, {})
    rehearsal.delete_names()
    rehearsal.close()
    with read_only(database) as (room, events, log):
        assert log.names() == {}
        assert len(room.people) == 1
        assert {event.kind for event in events} >= {"joined", "clock", "ended"}
        assert "Ada" not in json.dumps([event.data for event in events])
    engine = create_engine(database.replace("postgresql://", "postgresql+psycopg://"))
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM people")).scalar() == 0
    engine.dispose()

    told = CliRunner().invoke(caucus, ["debrief", database, "--json"])
    assert told.exit_code == 0, told.output
    assert [seat["name"] for seat in json.loads(told.stdout)["seats"]] == [""]


def test_a_database_that_is_not_there_is_said_without_its_password() -> None:
    with pytest.raises(InputError) as problem:
        Log("postgresql://me:secret@127.0.0.1:1/nothing")
    assert "127.0.0.1" in str(problem.value)
    assert "secret" not in str(problem.value)
