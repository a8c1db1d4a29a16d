"""PINs are issued once, sealed, and end with what they opened."""

from __future__ import annotations

import csv
import stat
from pathlib import Path

import pytest
import sqlalchemy as sa

from loadtests.backend import storage
from loadtests.backend.identity import pins
from loadtests.backend.refusals import Refusal
from loadtests.backend.storage import Database
from simulation.errors import InputError
from tests.unit.backend.doors import CHAIR, HOME, Door, inside, on_sqlite
from tests.unit.backend.running_service import CHEAP, STAFF


@on_sqlite
@pytest.mark.usefixtures("issued")
def test_the_sealed_list_is_its_owners_alone_and_the_database_holds_no_pin(database: Database, tmp_path: Path):
    path = tmp_path / "pins.csv"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    rows = list(csv.DictReader(path.read_text().splitlines()))
    assert list(rows[0]) == list(pins.COLUMNS)
    assert len(rows) == 4 + sum(STAFF.values())
    assert all(len(row["pin"]) == (6 if row["role"] == "chair" else 12) for row in rows)
    assert all(bool(row["totp_secret"]) == (row["role"] == "reviewer") for row in rows)
    with database.engine.connect() as connection:
        stored = str(connection.execute(sa.select(storage.accounts.c.pin_hash, storage.accounts.c.user)).all())
        logged = str(connection.execute(sa.select(storage.events)).all())
    assert not any(row["pin"] in stored or f'"{row["pin"]}"' in logged for row in rows if row["role"] != "chair")
    with pytest.raises(InputError, match="never overwritten"):
        pins.refuse_existing(path, database)
    with pytest.raises(InputError, match="issued before"):
        pins.refuse_existing(tmp_path / "other.csv", database)


def test_a_new_pin_ends_the_old_one_and_every_session(
    database: Database, issued: dict[str, pins.Issued], tmp_path: Path
):
    async def before(door: Door) -> str:
        return await door.try_(issued[CHAIR].pin)

    async def after(door: Door) -> tuple[str, str, str]:
        with pytest.raises(Refusal) as old_token:
            await door.identity.who(token, "phone", HOME)
        return old_token.value.code, await door.try_(issued[CHAIR].pin), await door.try_(renewed.pin)

    token = inside(database, before)
    (renewed,) = pins.renew(database, [CHAIR])
    pins.issue(database, [renewed], tmp_path / "one.csv", CHEAP, lambda done, of, now: None)
    old_token, old_pin, new_pin = inside(database, after)
    assert (old_token, old_pin) == ("A02", "A03")
    assert len(new_pin) == 43
    with pytest.raises(InputError, match="no such user"):
        pins.renew(database, ["nobody"])


@on_sqlite
@pytest.mark.usefixtures("issued")
def test_a_demo_never_mixes_with_real_pins(database: Database, tmp_path: Path):
    assert pins.demo_is_there(database) is False
    with pytest.raises(InputError, match="real PINs"):
        pins.issue_demo(database, tmp_path / "demo.csv")
