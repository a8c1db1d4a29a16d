"""An identity on a database, without a server: the door that everybody comes to."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest
import sqlalchemy as sa

from loadtests.backend import storage
from loadtests.backend.identity.login import Identity
from loadtests.backend.pool import Pool
from loadtests.backend.refusals import Refusal
from loadtests.backend.storage import Database
from tests.unit.backend.running_service import CHEAP

CHAIR = "0001"
HOME, ABROAD = "192.0.2.1", "198.51.100.{}"

# What the database itself decides is tried on PostgreSQL, too; all else here alone.
on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


class Door:
    """An identity on a database, with what it counted."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.counted: Counter[str] = Counter()
        self.reads = Pool("read", 2, 100, 5.0)
        self.identity = Identity(database, CHEAP, self.reads, lambda outcome: self.counted.update([outcome]))

    def close(self) -> None:
        self.identity.close()
        self.reads.close()

    def hashes_take(self, seconds: float) -> None:
        """From now on, and at least."""
        matches = self.identity._pins.matches

        def slowly(pin_hash: str | None, pin: str) -> bool:
            time.sleep(seconds)
            return matches(pin_hash, pin)

        self.identity._pins.matches = slowly  # type: ignore[method-assign]

    async def try_(
        self, pin: str, user: str = CHAIR, device: str = "phone", address: str = HOME, code: str = ""
    ) -> str:
        """The code of the refusal, or the token."""
        try:
            token, _ = await self.identity.log_in(user, pin, code or None, device, address)
        except Refusal as refusal:
            return refusal.code
        return token


@contextmanager
def door_of(database: Database) -> Iterator[Door]:
    """One, closed at the end."""
    with closing(Door(database)) as found:
        yield found


def inside(database: Database, story: Callable[[Door], Awaitable[Any]]) -> Any:
    """What a story that happens at a door ends with."""

    async def played() -> Any:
        with door_of(database) as door:
            return await story(door)

    return asyncio.run(played())


def events(database: Database, kind: str) -> list[Any]:
    """What the audit log holds of one kind."""
    with database.engine.connect() as connection:
        return list(connection.execute(sa.select(storage.events).where(storage.events.c.kind == kind)))
