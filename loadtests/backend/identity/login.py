"""How somebody gets a token, and what a token is worth afterwards. The one front of this package for the service.

The order is the point: limits in this process, limits in the database, one bounded hash, and then a row on the disk.
Knows nothing of HTTP beyond what a refusal says, and nothing of reports.
"""

from __future__ import annotations

import contextlib
import hashlib
import secrets
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import sqlalchemy as sa

from loadtests.backend.identity.addresses import limit_key, neighborhood
from loadtests.backend.identity.hashing import Pins, matching_step
from loadtests.backend.identity.journal import Failed, Journal, LoggedIn, LoggedOut, ms_of, now_ms, text_of
from loadtests.backend.identity.limits import LOCKS, Buckets, Failures, is_suspicious, locked_for_ms
from loadtests.backend.identity.roles import Session
from loadtests.backend.pool import Pool, PoolBusyError
from loadtests.backend.refusals import Refusal
from loadtests.backend.settings import Hashing
from loadtests.backend.storage import accounts, failures, sessions

if TYPE_CHECKING:
    from loadtests.backend.storage import Database

TOKEN_MS = 30 * 60_000
HASHES = 2  # at once in a process: the memory of log-ins is twice `Hashing.memory_kib`, whoever comes
HASHES_WAITING = 128
HASH_WAIT_S = 5.0
SUSPECTS_REST_S = 0.2  # after a suspicious attempt's hash, before the next one's: guessing leaves the cores to others
CACHED_S = 2.0  # a token that another process logged out, or whose user got a new PIN, is refused here after that
MOST_CACHED = 20_000
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


class Identity:
    """Log-ins and sessions of one process. `reads` runs what asks the database; `count` hears each log-in's outcome."""

    def __init__(self, database: Database, cost: Hashing, reads: Pool, count: Callable[[str], None]) -> None:
        self.journal = Journal(database)
        self.hashes = Pool("hash", HASHES, HASHES_WAITING, HASH_WAIT_S, rest_s=SUSPECTS_REST_S)
        self._database = database
        self._reads = reads
        self._count = count
        self._pins = Pins(cost)
        self._by_address = Buckets(burst=60, per_s=2)
        self._by_device = Buckets(burst=10, per_s=0.2)
        self._neighbors = Buckets(burst=5, per_s=1 / 60)  # failures: who comes from where they come from is suspicious
        self._strange_tokens = Buckets(burst=30, per_s=1)
        self._trying: Counter[tuple[str, str]] = Counter()  # attempts under way: failures until shown otherwise
        self._failed: deque[tuple[float, Mapping[str, str]]] = deque(maxlen=1000)  # the last ones, and when
        self._cached: dict[str, tuple[Session, float]] = {}
        self._ended: dict[str, int] = {}  # digests of tokens that were logged out here, until they expire by themselves

    def close(self) -> None:
        """End hashing; what was accepted is on the disk afterwards."""
        self.hashes.close()
        self.journal.close()

    async def log_in(
        self, user: str, pin: str, second_factor: str | None, device: str, address: str
    ) -> tuple[str, Session]:
        """A new token and its session; Refusal A03, A06 or A07."""
        key = limit_key(address)
        now_s = time.monotonic()
        wait_s = max(self._by_address.take(key, now_s), self._by_device.take(device, now_s))
        if wait_s > 0:
            raise self._refused("A06", user, key, wait_s)
        names = _names(user, device, key)
        try:
            known = await self._reads.run(self._look_up, user, device, key)
            network = neighborhood(key)
            locked_ms = locked_for_ms(known.failures, known.known_device, network, now_ms())
            if locked_ms:
                raise self._refused("A06", user, key, locked_ms / 1000)
            if locked_for_ms(self._with_latest(known, names, network, now_s), known.known_device, network, now_ms()):
                raise self._refused("A07", user, key, BUSY_RETRY_S)
            with self._being_tried(names):
                session, token, code_step = await self._prove(known, user, pin, second_factor, device, key)
                if session is None or not await self.journal.write(
                    LoggedIn(session, address, known.pin_hash or "", code_step)
                ):
                    await self.journal.write(Failed(user, device, key))
                    self._failed.append((time.monotonic(), names))
                    self._neighbors.take(network, time.monotonic())
                    raise self._refused("A03", user, key, None)
        except PoolBusyError:
            raise self._refused("A07", user, key, BUSY_RETRY_S) from None
        self._remember(session)
        self._count("accepted")
        return token, session

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
        self, known: _Known, user: str, pin: str, second_factor: str | None, device: str, key: str
    ) -> tuple[Session | None, str, int | None]:
        strange = not known.known_device and self._neighbors.wait_s(neighborhood(key), time.monotonic()) > 0
        run = self.hashes.run_last if strange or is_suspicious(known.failures, known.known_device) else self.hashes.run
        right = await run(self._pins.matches, known.pin_hash, pin)
        step = None
        if right and known.totp_secret is not None:
            step = matching_step(known.totp_secret, second_factor or "", now_ms())
            right = step is not None
        if not right:
            return None, "", None
        token = secrets.token_urlsafe(32)
        expires_at_ms = now_ms() + TOKEN_MS
        return Session(_sha256(token), user, known.role, known.site, device, expires_at_ms), token, step

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
        whose = {
            "device": sa.and_(failures.c.user == user, failures.c.device == device),
            "address": sa.and_(failures.c.user == user, failures.c.address == key),
            "source": failures.c.address == key,
            "user": failures.c.user == user,
        }
        with self._database.engine.connect() as connection:
            account = connection.execute(sa.select(accounts).where(accounts.c.user == user)).first()
            known_device = (
                connection.execute(
                    sa.select(sessions.c.user).where(sessions.c.user == user, sessions.c.device == device).limit(1)
                ).first()
                is not None
            )
            columns = []
            for name, lock in LOCKS.items():
                counted = sa.and_(whose[name], failures.c.at > text_of(now - lock.window_ms))
                at = sa.case((counted, failures.c.at))
                columns += [
                    sa.func.count(at).label(f"{name}_count"),
                    sa.func.min(at).label(f"{name}_oldest"),
                    sa.func.max(at).label(f"{name}_newest"),
                ]
            row = connection.execute(
                sa.select(*columns).where(sa.or_(failures.c.user == user, failures.c.address == key))
            ).one()
            found = {}
            for name, lock in LOCKS.items():
                count, oldest, newest = (getattr(row, f"{name}_{one}") for one in ("count", "oldest", "newest"))
                networks: Sequence[str] = ()
                if lock.one_in_ms is not None and count >= lock.failures:
                    since = failures.c.at > text_of(now - lock.window_ms)
                    addresses = sa.select(failures.c.address).where(whose[name], since).distinct()
                    networks = [neighborhood(address) for address in connection.scalars(addresses)]
                found[name] = Failures(count, ms_of(oldest or _NEVER), ms_of(newest or _NEVER), networks)
        if account is None:
            return _Known("", None, None, None, known_device, found)
        return _Known(account.role, account.site, account.pin_hash, account.totp_secret, known_device, found)

    async def who(self, token: str, device: str, address: str) -> Session:
        """Whose token this is; Refusal A02 or A06. Asks the database once in CACHED_S seconds and token."""
        digest = _sha256(token)
        if digest in self._ended:
            raise Refusal("A02")
        cached = self._cached.get(digest)
        now_s = time.monotonic()
        if cached is not None and now_s - cached[1] < CACHED_S:
            session: Session | None = cached[0]
        else:
            key = limit_key(address)
            wait_s = self._strange_tokens.wait_s(key, now_s)
            if wait_s > 0 and cached is None:
                raise Refusal("A06", retry_after_s=wait_s)
            try:
                session = await self._reads.run(self._load, digest)
            except PoolBusyError:
                raise Refusal("H09", retry_after_s=1) from None
            if session is None:
                self._cached.pop(digest, None)
                self._strange_tokens.take(key, now_s)
                self.journal.note("unknown_token", "-", key)
            else:
                self._remember(session)
        if session is None or digest in self._ended or session.device != device or session.expires_at_ms <= now_ms():
            self._cached.pop(digest, None)
            raise Refusal("A02")
        return session

    def _load(self, digest: str) -> Session | None:
        with self._database.engine.connect() as connection:
            row = connection.execute(sa.select(sessions).where(sessions.c.token_sha256 == digest)).first()
        if row is None:
            return None
        return Session(row.token_sha256, row.user, row.role, row.site, row.device, ms_of(row.expires_at))

    async def log_out(self, session: Session) -> None:
        """End a session; its token is refused from here on."""
        digest = session.token_sha256
        if len(self._ended) >= MOST_CACHED:
            now = now_ms()
            self._ended = {one: expires_at_ms for one, expires_at_ms in self._ended.items() if expires_at_ms > now}
        self._ended[digest] = session.expires_at_ms  # first: a request that asks the database now finds it as it was
        self._cached.pop(digest, None)
        try:
            await self.journal.write(LoggedOut(session))
        except Exception:
            self._ended.pop(digest, None)  # nothing was acknowledged: it may be tried again
            raise

    def _remember(self, session: Session) -> None:
        if session.token_sha256 in self._ended:
            return
        if len(self._cached) >= MOST_CACHED:
            del self._cached[next(iter(self._cached))]  # the one that was asked for first
        self._cached[session.token_sha256] = (session, time.monotonic())

    def _refused(self, code: str, user: str, address: str, retry_after_s: float | None) -> Refusal:
        outcome = {"A03": "wrong", "A06": "limited", "A07": "busy"}[code]
        self._count(outcome)
        self.journal.note(f"login_{outcome}", user, address)
        return Refusal(code, retry_after_s=retry_after_s)


_NEVER = "1970-01-01T00:00Z"


def _names(user: str, device: str, key: str) -> dict[str, str]:
    """By lock, what its failures are counted by."""
    return {"device": f"{user} {device}", "address": f"{user} {key}", "source": key, "user": user}


def _sha256(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
