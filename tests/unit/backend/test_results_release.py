"""Releases in the database: when one is made, what is in it, and that it can be had again as it was."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from loadtests.backend import storage
from loadtests.backend.records import Command
from loadtests.backend.results import release
from loadtests.backend.results.current import Current
from loadtests.backend.results.snapshot import Release
from loadtests.backend.storage import Database
from loadtests.backend.writer import Writer
from simulation.scenario import load

ROSTER = """county,precinct,delegates,attendance,district
Polk,One,4,100,3
Polk,Two,4,100,3
Story,One,3,50,4
"""
GROUPS = {"preference.candidates": {"ada": 3, "ben": 2}, "turnout.people": "none"}


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """A new SQLite database with three precincts: 0001 and 0002 in Polk, 0003 in Story."""
    roster = tmp_path / "roster.csv"
    roster.write_text(ROSTER)
    found = storage.connect(f"sqlite:///{tmp_path / 'night.db'}", tmp_path)
    found.migrate()
    found.seed(load("baseline", GROUPS, roster))
    yield found
    found.close()


Send = Callable[..., int]


@pytest.fixture
def send(database: Database) -> Iterator[Send]:
    """Writes a step through the backend's own writer; the new version's number."""
    writer = Writer(database)
    keys = itertools.count()

    def sent(step: str, site: str = "", actor: str = "", **body: Any) -> int:
        role = actor.partition("-")[0] or "chair"
        command = Command(step, site, actor or site, role, f"key-{next(keys):06d}", body)
        answer = asyncio.run(writer.do(command))
        assert answer.status == 201, answer.body
        return int(answer.body.get("version") or 0)

    yield sent
    writer.drain()


def report(
    send: Send, site: str, people: int, counts: Mapping[str, int], delegates: Mapping[str, int], **more: Any
) -> int:
    """A whole report of a site where nobody moved."""
    send("open", site, attendees=people, **more)
    send("first-alignment", site, counts=counts, **more)
    return send("final", site, counts=counts, delegates=delegates, **more)


def make(database: Database, *faults: str) -> Release | None:
    with database.writing() as connection:
        return release.make(connection, frozenset(faults))


def read(database: Database, number: int | None = None) -> Release:
    with database.reading() as connection:
        found = release.load(connection, number)
    assert found is not None
    return found


def forget() -> None:
    """As if the process had just started."""
    release._latest.clear()


def test_before_anybody_reported_there_is_nothing_and_that_can_be_shown(database: Database) -> None:
    assert make(database) is None
    nothing = read(database)
    assert (nothing.number, nothing.made_at, nothing.state.reported) == (0, None, 0)
    assert nothing.state.of == 3
    page = nothing.document("html")
    assert page is not None
    assert b"No precinct has reported yet" in page.body


def test_an_accepted_report_is_in_the_next_release(database: Database, send: Send) -> None:
    report(send, "0001", 100, {"ada": 60, "ben": 40}, {"ada": 2, "ben": 2})
    made = make(database)
    assert made is not None
    assert made.number == 1
    assert made.state.final == (60, 40)
    assert read(database).state == made.state


def test_no_release_is_made_where_nothing_changed(database: Database, send: Send) -> None:
    report(send, "0001", 100, {"ada": 60, "ben": 40}, {"ada": 2, "ben": 2})
    assert make(database) is not None
    assert make(database) is None
    send("open", "0002", attendees=10)  # no figures that the public may see
    assert make(database) is None


def test_a_report_that_is_half_way_or_in_review_is_not_public(database: Database, send: Send) -> None:
    send("open", "0001", attendees=100)
    send("first-alignment", "0001", counts={"ada": 60, "ben": 40})
    report(send, "0002", 100, {"ada": 60, "ben": 40}, {"ada": 1, "ben": 2})  # one delegate too few: to be looked at
    assert make(database) is None


def test_a_correction_is_public_once_two_reviewers_released_it_and_until_then_what_was_accepted(
    database: Database, send: Send
) -> None:
    report(send, "0001", 100, {"ada": 60, "ben": 40}, {"ada": 2, "ben": 2})
    make(database)
    version = send("final", "0001", counts={"ada": 60, "ben": 40}, delegates={"ada": 3, "ben": 1}, correction="recount")
    assert make(database) is None
    assert read(database).state.delegates == (2, 2)
    version = send("approve", "0001", "reviewer-01", version=version)
    assert make(database) is None
    send("approve", "0001", "reviewer-02", version=version)
    make(database)
    assert read(database).number == 2
    assert read(database).state.delegates == (3, 1)


def test_an_old_release_is_as_it_was_also_for_a_process_that_has_just_started(database: Database, send: Send) -> None:
    report(send, "0001", 100, {"ada": 60, "ben": 40}, {"ada": 2, "ben": 2})
    made = [make(database)]
    report(send, "0003", 50, {"ada": 30, "ben": 20}, {"ada": 2, "ben": 1})
    made.append(make(database))
    version = send("final", "0001", counts={"ada": 60, "ben": 40}, delegates={"ada": 3, "ben": 1}, correction="recount")
    version = send("approve", "0001", "reviewer-01", version=version)
    send("approve", "0001", "reviewer-02", version=version)
    made.append(make(database))
    for then in made:
        assert then is not None
        for fresh in (False, True):
            if fresh:
                forget()
            now = read(database, then.number)
            assert now.sha256 == then.sha256
            assert now.made_at == then.made_at
            assert now.results == then.results
    with database.reading() as connection:
        stored = connection.execute(sa.select(storage.releases.c.sha256).order_by(storage.releases.c.number)).scalars()
        assert list(stored) == [then.sha256 for then in made if then]
        assert release.load(connection, 4) is None


def test_a_report_keyed_twice_at_the_hotline_is_public_as_keyed_and_stays_so_after_a_correction(
    database: Database, send: Send
) -> None:
    entry = {
        "attendees": 100,
        "first_alignment": {"ada": 60, "ben": 40},
        "final": {"ada": 60, "ben": 40},
        "delegates": {"ada": 2, "ben": 2},
    }
    send("entry", "0002", "clerk-01", **entry)
    assert make(database) is None
    send("entry", "0002", "clerk-02", **entry)
    first = make(database)
    assert first is not None
    assert first.state.final == (60, 40)
    send("final", "0002", counts={"ada": 60, "ben": 40}, delegates={"ada": 3, "ben": 1}, correction="recount")
    forget()
    assert read(database, 1).results == first.results


def test_while_headquarters_holds_results_no_release_is_made_and_the_page_says_so(
    database: Database, send: Send
) -> None:
    report(send, "0001", 100, {"ada": 60, "ben": 40}, {"ada": 2, "ben": 2})
    make(database)
    send("publication", actor="administrator-01", held=True)
    report(send, "0003", 50, {"ada": 30, "ben": 20}, {"ada": 2, "ben": 1})
    assert make(database) is None
    held = read(database)
    page = held.document("html")
    assert page is not None
    assert b"Headquarters holds back results since" in page.body
    assert held.state.reported == 1
    send("publication", actor="administrator-01", held=False)
    make(database)
    assert (read(database).state.reported, read(database).held_since) == (2, None)


def test_the_fault_of_partial_figures_publishes_what_nobody_has_accepted(database: Database, send: Send) -> None:
    send("open", "0001", attendees=100)
    send("first-alignment", "0001", counts={"ada": 60, "ben": 40})
    report(send, "0002", 100, {"ada": 60, "ben": 40}, {"ada": 1, "ben": 2})
    assert make(database) is None
    leaked = make(database, "partial_published")
    assert leaked is not None
    assert leaked.state.reported == 2
    assert leaked.state.first == (120, 80)
    assert leaked.state.final == (60, 40)
    forget()
    assert read(database, 1).results == leaked.results


def test_what_was_made_in_a_transaction_that_failed_was_never_made(database: Database, send: Send) -> None:
    report(send, "0001", 100, {"ada": 60, "ben": 40}, {"ada": 2, "ben": 2})
    with database.engine.connect() as connection:
        assert release.make(connection) is not None
        connection.rollback()
    assert read(database).number == 0
    report(send, "0003", 50, {"ada": 30, "ben": 20}, {"ada": 2, "ben": 1})
    made = make(database)
    assert made is not None
    assert (made.number, made.state.reported) == (1, 2)
    assert read(database).results == made.results


def test_a_process_serves_a_newer_release_after_its_next_look(database: Database, send: Send) -> None:
    current = Current(database)
    assert current().number == 0
    report(send, "0001", 100, {"ada": 60, "ben": 40}, {"ada": 2, "ben": 2})
    make(database)
    assert current().number == 0
    current.look()
    assert current().number == 1
    send("publication", actor="administrator-01", held=True)
    current.look()
    assert current().held_since is not None


def test_readers_never_reach_the_database(database: Database, send: Send) -> None:
    """With the database gone, every document of the newest release is still there."""
    report(send, "0001", 100, {"ada": 60, "ben": 40}, {"ada": 2, "ben": 2})
    make(database)
    current = Current(database)
    database.close()
    database.sqlite_file.unlink()
    for kind, of in [("json", ""), ("csv", ""), ("nist", ""), ("html", ""), ("county.json", "Polk"),
                     ("county.html", "Story"), ("site.json", "0002")]:  # fmt: skip
        assert current().document(kind, of) is not None
