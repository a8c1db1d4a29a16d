"""A demo's database stays one: whoever gets another PIN, the others are still known to everybody."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa

from loadtests.backend import storage
from loadtests.backend.backup import backup, restore
from loadtests.backend.identity import pins
from loadtests.backend.storage import Database
from simulation.errors import InputError
from simulation.scenario import Scenario
from tests.unit.backend.running_service import CHEAP, STAFF

on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def demo(database: Database, tmp_path: Path) -> Database:
    pins.issue_demo(database, tmp_path / "demo.csv")
    return database


@on_sqlite
def test_a_demo_stays_one_whoever_gets_another_pin(demo: Database, tmp_path: Path, scenario: Scenario):
    (one,) = (one for one in pins.make(["0001"], {}, ()))
    pins.issue(demo, [one], tmp_path / "one.csv", CHEAP, lambda *_: None)  # the first account has a real PIN
    assert pins.demo_is_there(demo) is True
    pins.issue_demo(demo, tmp_path / "again.csv")  # starts as a demo all the same
    demo.seed(scenario)
    with demo.writing() as connection:
        connection.execute(sa.delete(storage.accounts))
    assert pins.demo_is_there(demo) is True


@on_sqlite
def test_a_demo_takes_no_real_pins(demo: Database, tmp_path: Path):
    with pytest.raises(InputError, match="is a demo's"):
        pins.renew(demo, ["0001"])
    with pytest.raises(InputError, match="is a demo's"):
        pins.refuse_existing(tmp_path / "new.csv", demo)


@on_sqlite
def test_a_demo_that_was_made_before_there_was_a_mark_is_known_by_its_event(demo: Database):
    with demo.writing() as connection:
        connection.execute(sa.delete(storage.caucus).where(storage.caucus.c.name == storage.DEMO))
    assert pins.demo_is_there(demo) is True


@on_sqlite
def test_a_restored_demo_is_one(demo: Database, tmp_path: Path):
    backup(demo, tmp_path / "demo.tar")
    restored = storage.connect(f"sqlite:///{tmp_path}/restored.sqlite", tmp_path / "restored")
    restored.migrate()
    restore(restored, tmp_path / "demo.tar")
    assert pins.demo_is_there(restored) is True
    restored.close()


@on_sqlite
def test_where_pins_are_real_there_is_no_demo(database: Database, tmp_path: Path):
    assert pins.demo_is_there(database) is None
    made = pins.make(["0001"], STAFF, ())
    pins.issue(database, made, tmp_path / "pins.csv", CHEAP, lambda *_: None)
    assert pins.demo_is_there(database) is False
