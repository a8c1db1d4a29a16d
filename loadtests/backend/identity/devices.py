"""On which devices somebody logged in before: in memory, so that a flood of strangers asks the database nothing.

Filled from the sessions in the database, those that other processes began among them. Knows nothing of limits.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Iterable
from typing import TYPE_CHECKING

import sqlalchemy as sa

from loadtests.backend.identity.journal import now_ms, text_of
from loadtests.backend.pool import Pool, PoolBusyError
from loadtests.backend.storage import sessions

if TYPE_CHECKING:
    from loadtests.backend.storage import Database

MOST = 65_536  # pairs of user and device; those that were seen last
FRESH_S = 5.0  # what another process let in is known here after that
_SLACK_MS = 60_000  # clocks of other processes, and transactions that take long


class Devices:
    """Pairs of user and device that had a session. What is missing here may be in the database; the reverse, too."""

    def __init__(self, database: Database, reads: Pool, token_ms: int) -> None:
        self._database = database
        self._reads = reads
        self._token_ms = token_ms
        self._known: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._asked_ms = now_ms()
        self._asked_s = time.monotonic()
        self._add(self._of_sessions_since(0))

    async def knows(self, user: str, device: str) -> bool:
        """Whether this user logged in on this device before. Asks the database at most once in FRESH_S seconds."""
        pair = (user, device)
        if pair not in self._known and time.monotonic() - self._asked_s > FRESH_S:
            since_ms = self._asked_ms + self._token_ms - _SLACK_MS  # sessions that began later end later
            self._asked_s, self._asked_ms = time.monotonic(), now_ms()  # first: who comes meanwhile does not wait
            try:
                self._add(await self._reads.run(self._of_sessions_since, since_ms))
            except PoolBusyError:
                return False
        return pair in self._known

    def add(self, user: str, device: str) -> None:
        """This user has logged in on this device."""
        self._add([(user, device)])

    def _add(self, pairs: Iterable[tuple[str, str]]) -> None:
        for pair in pairs:
            self._known[pair] = None
            self._known.move_to_end(pair)
            if len(self._known) > MOST:
                self._known.popitem(last=False)

    def _of_sessions_since(self, expires_ms: int) -> list[tuple[str, str]]:
        asked = sa.select(sessions.c.user, sessions.c.device).where(sessions.c.expires_at > text_of(expires_ms))
        with self._database.engine.connect() as connection:
            rows = connection.execute(asked.order_by(sessions.c.expires_at.desc()).limit(MOST)).all()
        return [(row.user, row.device) for row in reversed(rows)]
