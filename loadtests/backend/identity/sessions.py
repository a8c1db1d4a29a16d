"""Whose token is whose: sessions in memory, checked against the database all at once, and not one by one.

A chair's requests are minutes apart, so that asking for each token again would cost a question for every request. Knows
nothing of how a session begins, nor of limits.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import sqlalchemy as sa

from loadtests.backend.identity.journal import ms_of, now_ms, text_of
from loadtests.backend.identity.roles import Session
from loadtests.backend.pool import Pool
from loadtests.backend.storage import sessions

if TYPE_CHECKING:
    from loadtests.backend.storage import Database

CHECKED_S = 2.0  # a token that another process logged out, or whose user got a new PIN, is refused here after that
MOST = 20_000


class Sessions:
    """The sessions that one process has seen, by the digest of their token."""

    def __init__(self, database: Database, reads: Pool) -> None:
        self._database = database
        self._reads = reads
        self._seen: dict[str, Session] = {}
        self._ended: dict[str, int] = {}  # logged out here: when they expire by themselves, in ms
        self._checked_s = time.monotonic()
        self._checking: asyncio.Task[None] | None = None

    async def seen(self, digest: str) -> Session | None:
        """A session that is known here, and was good CHECKED_S seconds ago. PoolBusyError: nobody knows."""
        if digest in self._seen and time.monotonic() - self._checked_s > CHECKED_S:
            if self._checking is None or self._checking.done():
                self._checking = asyncio.create_task(self._check())
            await asyncio.shield(self._checking)  # whoever comes meanwhile waits for the same answer
        return self._seen.get(digest)

    async def stored(self, digest: str) -> Session | None:
        """A session as the database has it. PoolBusyError: nobody knows."""
        session = await self._reads.run(self._load, digest)
        if session is not None:
            self.add(session)
        return session

    def has_ended(self, digest: str) -> bool:
        """Whether it was logged out here: the database may not have heard of it yet."""
        return digest in self._ended

    def add(self, session: Session) -> None:
        """This one has begun, or was found."""
        if session.token_sha256 in self._ended:
            return
        if len(self._seen) >= MOST:
            del self._seen[next(iter(self._seen))]  # the one that was added first
        self._seen[session.token_sha256] = session

    def end(self, session: Session) -> None:
        """Refuse it from here on: whoever asks the database at this moment finds it as it was."""
        if len(self._ended) >= MOST:
            now = now_ms()
            self._ended = {one: expires_at_ms for one, expires_at_ms in self._ended.items() if expires_at_ms > now}
        self._ended[session.token_sha256] = session.expires_at_ms
        self._seen.pop(session.token_sha256, None)

    def revive(self, session: Session) -> None:
        """Its end could not be written: it goes on."""
        self._ended.pop(session.token_sha256, None)

    async def _check(self) -> None:
        asked_s = time.monotonic()
        valid = await self._reads.run(self._valid)
        self._seen = {digest: one for digest, one in self._seen.items() if digest in valid}
        self._checked_s = asked_s

    def _valid(self) -> set[str]:
        asked = sa.select(sessions.c.token_sha256).where(sessions.c.expires_at > text_of(now_ms()))
        with self._database.engine.connect() as connection:
            return set(connection.scalars(asked.order_by(sessions.c.expires_at.desc()).limit(MOST)))

    def _load(self, digest: str) -> Session | None:
        with self._database.engine.connect() as connection:
            row = connection.execute(sa.select(sessions).where(sessions.c.token_sha256 == digest)).first()
        if row is None:
            return None
        return Session(row.token_sha256, row.user, row.role, row.site, row.device, ms_of(row.expires_at))
