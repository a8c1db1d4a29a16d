"""How somebody gets a token, and what a token is worth afterwards. The one front of this package for the service.

The order is the point: limits in this process, limits in the database, one bounded hash, and then a row on the disk.
Strangers from networks that guess find few places, so that a flood of them ends at the first of these.
Knows nothing of HTTP beyond what a refusal says, and nothing of reports.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import secrets
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakValueDictionary

import sqlalchemy as sa

from loadtests.backend.identity.addresses import limit_key, neighborhood
from loadtests.backend.identity.devices import Devices
from loadtests.backend.identity.hashing import Pins, matching_step
from loadtests.backend.identity.journal import Failed, Journal, LoggedIn, LoggedOut, ms_of, now_ms, text_of
from loadtests.backend.identity.limits import (
    BY_ADDRESS,
    BY_DEVICE,
    LOCKS,
    SUSPICIOUS,
    Buckets,
    Failures,
    is_suspicious,
    locked_for_ms,
)
from loadtests.backend.identity.roles import Session
from loadtests.backend.identity.sessions import Sessions
from loadtests.backend.pool import Pool, PoolBusyError
from loadtests.backend.refusals import Refusal
from loadtests.backend.settings import Hashing
from loadtests.backend.storage import accounts, failures, sessions
from simulation.workers import cores

if TYPE_CHECKING:
    from loadtests.backend.storage import Database

TOKEN_MS = 30 * 60_000
# At once in a process, and one of suspects: the memory of log-ins is thrice `Hashing.memory_kib` at most. No more than
# there are cores: two that share one would both be done when the second could have been.
HASHES = min(2, cores())
HASHES_WAITING = 512
IN_LINES = 512  # that wait behind another unknown device of their network
HASHES_IN_ORDER = 8  # of those that wait; past that it is a flood, in which a network has one place: see `_in_line`
HASH_WAIT_S = 5.0
SUSPECTS_REST_S = 0.5  # after a suspect's wrong PIN, before the next one's: guessing leaves the cores to others
SUSPECTS = 8  # that wait to be hashed: as many as come to it within HASH_WAIT_S where few chairs log in
STRANGERS = 2  # of them under way at once: the other places are for networks that guessed less, or mistyped
# Of a network (`neighborhood`): after `SUSPICIOUS` failures of unknown devices its next ones are suspects, after eight
# strangers; every minute without another one is forgiven. So who mistypes a PIN has better chances than who guesses.
NETWORK_FAILURES, FORGIVEN_PER_S = 8, 1 / 60
BUSY_RETRY_S = 2.0


@dataclass(frozen=True, slots=True)
class _Known:
    """What the database says before a PIN is looked at."""

    role: str
    site: str | None
    pin_hash: str | None
    totp_secret: str | None
    known_device: bool
    failures: Mapping[str, Failures]


class _Proof(NamedTuple):
    """Of who somebody is; the time step of the one-time code that it took."""

    code_step: int | None


@dataclass(frozen=True, slots=True)
class _Attempt:
    """What somebody sent, and what limits count it by."""

    user: str
    pin: str = field(repr=False)
    second_factor: str | None = field(repr=False)
    device: str
    address: str

    @property
    def key(self) -> str:
        return limit_key(self.address)

    @property
    def network(self) -> str:
        return neighborhood(self.key)


class Identity:
    """Log-ins and sessions of one process. `reads` runs what asks the database; `count` hears each log-in's outcome."""

    def __init__(self, database: Database, cost: Hashing, reads: Pool, count: Callable[[str], None]) -> None:
        self.journal = Journal(database)
        self.hashes = Pool(
            "hash",
            HASHES,
            HASHES_WAITING,
            HASH_WAIT_S,
            in_order=HASHES_IN_ORDER,
            most_last=SUSPECTS,
            rest_s=SUSPECTS_REST_S,
        )
        self._database = database
        self._reads = reads
        self._count = count
        self._pins = Pins(cost)
        self._by_address = Buckets(*BY_ADDRESS)
        self._by_device = Buckets(*BY_DEVICE)
        self._neighbors = Buckets(burst=NETWORK_FAILURES, per_s=FORGIVEN_PER_S)
        self._strangers = 0  # under way
        self._lines: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()  # by network
        self._in_lines = 0
        self._devices = Devices(database, reads, TOKEN_MS)
        self._strange_tokens = Buckets(burst=30, per_s=1)
        self._trying: Counter[tuple[str, str]] = Counter()  # attempts under way: failures until shown otherwise
        self._failed: deque[tuple[float, Mapping[str, str]]] = deque(maxlen=1000)  # the last ones, and when
        self._sessions = Sessions(database, reads)

    def close(self) -> None:
        """End hashing; what was accepted is on the disk afterwards."""
        self.hashes.close()
        self.journal.close()

    def refuse_flood(self, device: str, address: str) -> None:
        """Count an attempt to log in before any of it is read; Refusal A06."""
        key = limit_key(address)
        now_s = time.monotonic()
        wait_s = max(self._by_address.take(key, now_s), self._by_device.take(device, now_s))
        if wait_s > 0:
            raise self._refused("A06", "-", key, wait_s)

    async def log_in(
        self, user: str, pin: str, second_factor: str | None, device: str, address: str
    ) -> tuple[str, Session]:
        """A new token and its session; Refusal A03, A06 or A07."""
        attempt = _Attempt(user, pin, second_factor, device, address)
        try:
            if await self._devices.knows(user, device):
                return await self._tried(attempt, self.hashes.run)
            try:
                return await self._tried_unknown(attempt)
            except (PoolBusyError, Refusal):
                self._neighbors.hold(attempt.network, time.monotonic())  # or who goes on guessing is forgiven for it
                raise
        except PoolBusyError:
            raise self._refused("A07", user, attempt.key, BUSY_RETRY_S) from None

    async def _tried_unknown(self, attempt: _Attempt) -> tuple[str, Session]:
        async with self._in_line(attempt.network):
            left = self._neighbors.left(attempt.network, time.monotonic())
            if left >= 1:
                clean = left >= NETWORK_FAILURES - SUSPICIOUS + 1
                return await self._tried(attempt, self.hashes.run if clean else self.hashes.run_last)
        with self._place_of_stranger():
            return await self._tried(attempt, self.hashes.run_last)

    async def _tried(self, attempt: _Attempt, run: Callable[..., Awaitable[_Proof | None]]) -> tuple[str, Session]:
        user, device, key, network = attempt.user, attempt.device, attempt.key, attempt.network
        names = _names(user, device, key)
        now_s = time.monotonic()
        if run == self.hashes.run_last and self.hashes.last_are_full:
            raise PoolBusyError  # and nobody asks the database
        known = await self._reads.run(self._look_up, user, device, key)
        locked_ms = locked_for_ms(known.failures, known.known_device, network, now_ms())
        if locked_ms:
            raise self._refused("A06", user, key, locked_ms / 1000)
        if locked_for_ms(self._with_latest(known, names, network, now_s), known.known_device, network, now_ms()):
            raise self._refused("A07", user, key, BUSY_RETRY_S)
        if known.known_device:
            run = self.hashes.run
        elif run == self.hashes.run and is_suspicious(known.failures, known.known_device):
            run = self.hashes.run_last
        with self._being_tried(names):
            session, token, code_step = await self._prove(known, attempt, run)
            if session is None or not await self.journal.write(
                LoggedIn(session, attempt.address, known.pin_hash or "", code_step)
            ):
                if not known.known_device:
                    self._neighbors.take(network, time.monotonic())
                await self.journal.write(Failed(user, device, key))
                self._failed.append((time.monotonic(), names))
                raise self._refused("A03", user, key, None)
        self._sessions.add(session)
        self._devices.add(user, device)
        self._count("accepted")
        return token, session

    @contextlib.asynccontextmanager
    async def _in_line(self, network: str) -> AsyncIterator[None]:
        """Unknown devices of a network come one after the other: what the first one shows decides about the next.

        Whoever would wait too long, or with too many others, hears PoolBusyError.
        """
        line = self._lines.setdefault(network, asyncio.Lock())
        if line.locked() and self._in_lines >= IN_LINES:
            raise PoolBusyError
        self._in_lines += 1
        try:
            async with asyncio.timeout(HASH_WAIT_S):
                await line.acquire()
        except TimeoutError:
            raise PoolBusyError from None
        finally:
            self._in_lines -= 1
        try:
            yield
        finally:
            line.release()

    @contextlib.contextmanager
    def _place_of_stranger(self) -> Iterator[None]:
        if self._strangers >= STRANGERS:
            raise PoolBusyError
        self._strangers += 1
        try:
            yield
        finally:
            self._strangers -= 1

    @contextlib.contextmanager
    def _being_tried(self, names: Mapping[str, str]) -> Iterator[None]:
        # not by address alone: behind one there may be a school, or a carrier's customers, who come at the same minute
        counted = [one for one in names.items() if one[0] != "source"]
        self._trying.update(counted)
        try:
            yield
        finally:
            self._trying.subtract(counted)
            for one in counted:
                if not self._trying[one]:
                    del self._trying[one]

    async def _prove(
        self, known: _Known, attempt: _Attempt, run: Callable[..., Awaitable[_Proof | None]]
    ) -> tuple[Session | None, str, int | None]:
        proof = await run(self._proof, known, attempt)
        if proof is None:
            return None, "", None
        token = secrets.token_urlsafe(32)
        expires_at_ms = now_ms() + TOKEN_MS
        session = Session(_sha256(token), attempt.user, known.role, known.site, attempt.device, expires_at_ms)
        return session, token, proof.code_step

    def _proof(self, known: _Known, attempt: _Attempt) -> _Proof | None:
        """PIN and code together: neither the time that it takes nor the rest after it tells which one was wrong."""
        step = None
        if known.totp_secret is not None:
            step = matching_step(known.totp_secret, attempt.second_factor or "", now_ms())
        right = self._pins.matches(known.pin_hash, attempt.pin)
        return _Proof(step) if right and (known.totp_secret is None or step is not None) else None

    def _with_latest(
        self, known: _Known, names: Mapping[str, str], network: str, since_s: float
    ) -> Mapping[str, Failures]:
        """The failures, and those that the database could not know: of attempts under way, or just over.

        So a hundred guesses at once are a hundred, not one. Some are counted twice: who is refused because of them may
        come back at once.
        """
        more = Counter({one: count for one in names.items() if (count := self._trying[one])})
        for at_s, failed in reversed(self._failed):
            if at_s < since_s:
                break
            more.update(one for one in failed.items() if names[one[0]] == one[1])
        now, found = now_ms(), dict(known.failures)
        for (name, _), count in more.items():
            one = found[name]
            found[name] = Failures(one.count + count, one.oldest_at_ms or now, now, {*one.networks, network})
        return found

    def _look_up(self, user: str, device: str, key: str) -> _Known:
        now = now_ms()
        whose = {"user": user, "device": device, "address": key}
        since = {f"{name}_since": text_of(now - lock.window_ms) for name, lock in LOCKS.items()}
        with self._database.engine.connect() as connection:
            account = connection.execute(_ACCOUNT, {"user": user}).first()
            known_device = connection.execute(_SESSION, {"user": user, "device": device}).first() is not None
            row = connection.execute(_FAILURES, {**whose, **since}).one()
            found = {}
            for name, lock in LOCKS.items():
                count, oldest, newest = (getattr(row, f"{name}_{one}") for one in ("count", "oldest", "newest"))
                networks: Sequence[str] = ()
                if lock.one_in_ms is not None and count >= lock.failures:
                    asked = sa.select(failures.c.address).where(_WHOSE[name], _since(name)).distinct()
                    networks = [neighborhood(address) for address in connection.scalars(asked, {**whose, **since})]
                found[name] = Failures(count, ms_of(oldest or _NEVER), ms_of(newest or _NEVER), networks)
        if account is None:
            return _Known("", None, None, None, known_device, found)
        return _Known(account.role, account.site, account.pin_hash, account.totp_secret, known_device, found)

    async def who(self, token: str, device: str, address: str) -> Session:
        """Whose token this is; Refusal A02, A06 or H09."""
        digest = _sha256(token)
        if self._sessions.has_ended(digest):
            raise Refusal("A02")
        try:
            session = await self._sessions.seen(digest) or await self._stored(digest, address)
        except PoolBusyError:
            raise Refusal("H09", retry_after_s=1) from None
        if (
            session is None
            or self._sessions.has_ended(digest)  # meanwhile
            or session.device != device
            or session.expires_at_ms <= now_ms()
        ):
            raise Refusal("A02")
        return session

    async def _stored(self, digest: str, address: str) -> Session | None:
        """A session that was not seen here yet; an address may make up a few."""
        key, now_s = limit_key(address), time.monotonic()
        wait_s = self._strange_tokens.wait_s(key, now_s)
        if wait_s > 0:
            raise Refusal("A06", retry_after_s=wait_s)
        session = await self._sessions.stored(digest)
        if session is None:
            self._strange_tokens.take(key, now_s)
            self.journal.note("unknown_token", "-", key)
        return session

    async def log_out(self, session: Session) -> None:
        """End a session; its token is refused from here on."""
        self._sessions.end(session)
        try:
            await self.journal.write(LoggedOut(session))
        except Exception:
            self._sessions.revive(session)  # nothing was acknowledged: it may be tried again
            raise

    def _refused(self, code: str, user: str, address: str, retry_after_s: float | None) -> Refusal:
        outcome = {"A03": "wrong", "A06": "limited", "A07": "busy"}[code]
        self._count(outcome)
        self.journal.note(f"login_{outcome}", user, address)
        return Refusal(code, retry_after_s=retry_after_s)


_NEVER = "1970-01-01T00:00Z"


# The questions of each log-in, put together once: that takes longer than their answers.
_USER: sa.BindParameter[str] = sa.bindparam("user")
_DEVICE: sa.BindParameter[str] = sa.bindparam("device")
_ADDRESS: sa.BindParameter[str] = sa.bindparam("address")
_WHOSE = {  # by lock
    "device": sa.and_(failures.c.user == _USER, failures.c.device == _DEVICE),
    "address": sa.and_(failures.c.user == _USER, failures.c.address == _ADDRESS),
    "source": failures.c.address == _ADDRESS,
    "user": failures.c.user == _USER,
}


def _since(lock: str) -> sa.ColumnElement[bool]:
    return failures.c.at > sa.bindparam(f"{lock}_since")


def _counted() -> sa.Select[Any]:
    columns: list[sa.ColumnElement[Any]] = []
    for name, whose in _WHOSE.items():
        at = sa.case((sa.and_(whose, _since(name)), failures.c.at))
        columns += [
            sa.func.count(at).label(f"{name}_count"),
            sa.func.min(at).label(f"{name}_oldest"),
            sa.func.max(at).label(f"{name}_newest"),
        ]
    return sa.select(*columns).where(sa.or_(failures.c.user == _USER, failures.c.address == _ADDRESS))


_ACCOUNT = sa.select(accounts).where(accounts.c.user == _USER)
_SESSION = sa.select(sessions.c.user).where(sessions.c.user == _USER, sessions.c.device == _DEVICE).limit(1)
_FAILURES = _counted()


def _names(user: str, device: str, key: str) -> dict[str, str]:
    """By lock, what its failures are counted by."""
    return {"device": f"{user} {device}", "address": f"{user} {key}", "source": key, "user": user}


def _sha256(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
