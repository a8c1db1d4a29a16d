"""The releases that a process serves: the newest one, looked for once a second, and a few older ones, on demand.

The only way from a request to the database leads through `Archive`: one release at a time, few kept, nobody waits in a
crowd. Knows nothing of HTTP.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable

from loadtests.backend.results import release as stored
from loadtests.backend.results.documents import FIXED
from loadtests.backend.results.snapshot import Release
from loadtests.backend.storage import GONE, Database

EVERY_S = 1.0  # between looks for a newer release
KEPT = 8  # older releases in memory; one of a whole night is some 5 MB
WAITING = 8  # different old releases that may be waited for; more are turned away

log = logging.getLogger(__name__)


class Current:
    """The newest release. Call it to get that; nothing waits for the database but its own `follow`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._release = self._load()
        self._seen = (self._release.number, self._release.held_since)

    def __call__(self) -> Release:
        """The newest release that is known."""
        return self._release

    def look(self) -> Release:
        """Ask the database once; a newer release is made ready, then served. Blocks: not for an event loop."""
        with self._database.reading() as connection:
            seen = stored.newest(connection)
        if seen != self._seen:
            self._release = self._load()
            self._seen = (self._release.number, self._release.held_since)
        return self._release

    async def follow(self) -> None:
        """Look once a second until canceled. While the database is away the last release stands."""
        while True:
            await asyncio.sleep(EVERY_S)
            try:
                await asyncio.to_thread(self.look)
            except GONE as error:
                log.warning("no news of releases: %s", type(error).__name__)
            except Exception:  # whatever it is: without this task the public would see an old release for good
                log.exception("no news of releases")

    def _load(self) -> Release:
        with self._database.reading() as connection:
            found = stored.load(connection)
        assert found is not None, "there is always a newest release"
        return found.prepare()


class TooManyError(Exception):
    """More old releases are wanted at once than will be loaded: worth another try in a moment."""


class Archive:
    """Older releases by number: the last few that were asked for; the others are loaded one after the other."""

    def __init__(self, load: Callable[[int], Release | None], kept: int = KEPT, waiting: int = WAITING) -> None:
        self._load, self._kept, self._waiting = load, kept, waiting
        self._found: OrderedDict[int, Release] = OrderedDict()
        self._under_way: dict[int, asyncio.Future[Release | None]] = {}
        self._one = asyncio.Lock()

    @classmethod
    def of(cls, database: Database) -> Archive:
        """The archive of a database."""

        def load(number: int) -> Release | None:
            with database.reading() as connection:
                found = stored.load(connection, number)
            return found.prepare(("json", "csv"), FIXED) if found else None

        return cls(load)

    async def get(self, number: int, newest: int) -> Release | None:
        """A release, None where there is none. Raises TooManyError, or what the database raises.

        Numbers have no gaps: one that cannot be is told without asking. All who want the same one share one look.
        """
        if not 0 < number <= newest:
            return None
        if number in self._found:
            self._found.move_to_end(number)
            return self._found[number]
        if number not in self._under_way:
            if len(self._under_way) >= self._waiting:
                raise TooManyError
            self._under_way[number] = asyncio.ensure_future(self._fetch(number))
        return await asyncio.shield(self._under_way[number])  # whoever hangs up does not take it from the others

    async def _fetch(self, number: int) -> Release | None:
        try:
            async with self._one:
                found = await asyncio.to_thread(self._load, number)
            if found is not None:
                self._found[number] = found
                while len(self._found) > self._kept:
                    self._found.popitem(last=False)
            return found
        finally:
            del self._under_way[number]
