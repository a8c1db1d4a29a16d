"""Sessions are kept alive while load is made: who signed in a while ago does so again, before the session ends.

`Upkeep` works in a generator's process, beside the schedule; what it did is told to the process that ordered the load,
and kept there as `Kept`. Its log-ins are no requests of the flow. Speaks only the contract.
"""

from __future__ import annotations

import heapq
import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias

from loadtests import contract
from loadtests.accounts import Account
from loadtests.addresses import reach
from loadtests.contract import Ask, Backend, Outcome, Reply, Request, Session
from loadtests.target.guards import Target
from loadtests.target.sender import Sender

ASSUMED_LIFE_S = 30 * 60.0  # of a session, where the answer to the log-in does not say
OLD_SHARE = 2 / 3  # of its life, after which a session is renewed
# The first time over, renewals begin here and take two thirds of a life: from then on they are spread evenly, and the
# last one has a twelfth of its life left.
FIRST_SHARE = 1 / 4
LEAST_PER_S = 1.0  # log-ins that may begin; or, if that is more, twice as many as there are when all goes well
AT_ONCE = 8  # under way
_STEP_S = 30.0  # a code of a second factor counts once in this time
_MARGIN_S = 2.0  # by which clocks may differ
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 2.0, 60.0  # before somebody who was not let in tries again
_TIMEOUT_S = 10.0  # of a log-in
_LOOK_S = 0.1  # so soon a session that was refused is seen
_MILLISECONDS = 1e11  # a time that is larger is not in seconds

Event: TypeAlias = dict[str, Any]  # plain data, for other processes: `Upkeep.hear`, `Kept.add`
Send: TypeAlias = Callable[[Request, str], Reply]  # and the address of this machine that it comes from


def life_s(session: Session) -> float:
    """How long a session lasts from its log-in on, as the answer to that said: `expires_in` or `expires_at`."""
    seconds = _number(session.values.get("expires_in"))
    if seconds is None:
        at = _instant(session.values.get("expires_at"))
        seconds = None if at is None else at - session.signed_in_at
    return seconds if seconds is not None and 0 < seconds < math.inf else ASSUMED_LIFE_S


def is_old(session: Session) -> bool:
    """Whether it is time to sign in again."""
    return time.time() > session.signed_in_at + OLD_SHARE * life_s(session)


def _number(value: object) -> float | None:
    try:
        return float(value) if isinstance(value, int | float | str) else None
    except ValueError:
        return None


def _instant(value: object) -> float | None:
    """A time as ISO 8601 has it, or in seconds or milliseconds since 1970."""
    number = _number(value)
    if number is not None:
        return number / 1000 if number > _MILLISECONDS else number
    try:
        found = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return (found if found.tzinfo is not None else found.replace(tzinfo=UTC)).timestamp()


def as_rows(sessions: Mapping[str, Session]) -> dict[str, list[Any]]:
    """By user, as plain data: goes through a pipe, never over a command line."""
    return {user: [one.device, dict(one.values), one.address, one.signed_in_at] for user, one in sessions.items()}


def from_rows(rows: Mapping[str, Sequence[Any]]) -> dict[str, Session]:
    """What `as_rows` made."""
    return {user: Session(user, *row) for user, row in rows.items()}


# In a generator's process


@dataclass(slots=True)
class _Person:
    """Somebody whom this process signs in again."""

    account: Account
    due: float = math.inf
    spent: int = -1  # the last half minute whose code may have been used
    failures: int = 0  # since the last success
    is_under_way: bool = False


class Upkeep:
    """Keeps the `sessions` that a flow reads: replaces them there. `tell` hears what other processes have to know."""

    def __init__(
        self,
        backend: Backend,
        send: Send,
        sessions: dict[str, Session],
        accounts: Iterable[Account],
        *,
        from_own_addresses: bool = False,
        log_ins_s: Mapping[str, Sequence[float]] | None = None,
    ) -> None:
        """`accounts`: whom this process looks after; nobody else does.

        `log_ins_s`: when they sign in by themselves, from the beginning of the schedule.
        """
        self.tell: Callable[[Event], None] = lambda event: None
        self.sessions = sessions
        self._backend, self._send, self._apart = backend, send, from_own_addresses
        self._log_ins_s = log_ins_s or {}
        self.began = -math.inf  # Unix time of the schedule's beginning
        self._under_way = 0
        self._people = {one.user: _Person(one) for one in accounts if one.user in sessions}
        self._line: list[tuple[float, str]] = []  # when, and who; what is not `due` any more is passed over
        self._told_of: dict[str, Session] = {}  # refused, and looked after by another process
        self._free_at = 0.0
        lives = {user: life_s(sessions[user]) for user in self._people}
        self._gap_s = 1 / max(LEAST_PER_S, 2 * sum(1 / (OLD_SHARE * life) for life in lives.values()))
        for number, user in enumerate(sorted(self._people, key=lambda user: sessions[user].signed_in_at)):
            since, person = sessions[user].signed_in_at, self._people[user]
            person.spent = int(since // _STEP_S)
            self._put(person, since + lives[user] * (FIRST_SHARE + OLD_SHARE * number / len(self._people)))
        if any(person.account.totp_secret for person in self._people.values()):
            import pyotp  # noqa: F401  # before anything is due: loading it takes longer than a request

    def run(self, began: float) -> None:
        """Go on while a schedule is kept, which `began` then (Unix time); to be ended from outside.

        Log-ins that are under way then come to their end.
        """
        from gevent import sleep, spawn  # whoever runs this has patched the process

        self.began = began
        while True:
            user = self.next(time.time())
            if user is None:
                sleep(_LOOK_S)
            else:
                spawn(self.sign_in, user)

    def next(self, now: float) -> str | None:
        """Who is to be signed in now; nobody while others were just begun."""
        if now < self._free_at or self._under_way >= AT_ONCE:
            return None
        while self._line and self._line[0][0] <= now:
            due, user = heapq.heappop(self._line)
            person = self._people[user]
            if due != person.due or person.is_under_way:
                continue
            later = self._not_before(person, now)
            if later > now:
                self._put(person, later)
                continue
            # from when it could have begun: what is late by a look does not add up
            self._free_at = max(self._free_at, now - _LOOK_S) + self._gap_s
            person.is_under_way = True
            self._under_way += 1
            return user
        return None

    def _not_before(self, person: _Person, now: float) -> float:
        """A code that counts once is neither used twice, nor used where somebody needs it who signs in anyway."""
        if not person.account.totp_secret:
            return now
        found = max(now, (person.spent + 1) * _STEP_S + _MARGIN_S)
        for at_s in self._log_ins_s.get(person.account.user, ()):
            at = self.began + at_s
            if at - _STEP_S - _MARGIN_S < found < at + _STEP_S + _MARGIN_S:
                found = at + _STEP_S + _MARGIN_S
        return found

    def _put(self, person: _Person, due: float) -> None:
        person.due = due
        heapq.heappush(self._line, (due, person.account.user))

    def sign_in(self, user: str) -> None:
        """Do it, once; who is not let in tries again after a while."""
        person, before = self._people[user], self.sessions[user]
        person.spent = int(time.time() // _STEP_S)
        account = person.account
        ask = Ask(
            user=user, pin=account.pin, second_factor=account.second_factor(), device=before.device,
            address=before.address,
        )  # fmt: skip
        outcome, problem = None, "no answer"
        try:
            reply = self._send(self._backend.build("login", ask), before.address if self._apart else "")
            outcome = self._backend.read("login", reply)
            # not what it says, which may be secret
            problem = f"HTTP {outcome.status}" if outcome.status else outcome.verdict
        except Exception as error:  # whatever a target does, or somebody's class that speaks to it
            problem = f"no answer ({type(error).__name__})"
        person.is_under_way = False
        self._under_way -= 1
        if outcome is not None and outcome.accepted:
            session = contract.signed_in(ask, outcome)
            self.signed_in(replace(session, values=dict(session.values)), is_own=False)
            return
        person.failures += 1
        self._put(person, time.time() + _pause_s(person.failures, outcome))
        self.tell({"user": user, "problem": problem})

    def signed_in(self, session: Session, *, is_own: bool = True) -> None:
        """Somebody has a new session. `is_own`: by a request of the flow."""
        event = {"user": session.user, "session": as_rows({session.user: session})[session.user], "is_own": is_own}
        self._take(session)
        self.tell(event)

    def refused(self, session: Session) -> None:
        """A request was answered 401: whose it was is next in line, unless there is a newer session already."""
        user = session.user
        if self.sessions.get(user) is not session:
            return
        if user in self._people:
            self._next_in_line(user)
        elif self._told_of.get(user) is not session:
            self._told_of[user] = session
            self.tell({"user": user, "refused_of": session.signed_in_at})

    def hear(self, event: Event) -> None:
        """What another process told."""
        user = event["user"]
        if "session" in event:
            self._take(Session(user, *event["session"]))
        elif user in self._people and event.get("refused_of", 0.0) >= self.sessions[user].signed_in_at:
            self._next_in_line(user)

    def _take(self, session: Session) -> None:
        self.sessions[session.user] = session
        person = self._people.get(session.user)
        if person is not None:
            person.failures = 0
            person.spent = max(person.spent, int(session.signed_in_at // _STEP_S))
            self._put(person, session.signed_in_at + OLD_SHARE * life_s(session))

    def _next_in_line(self, user: str) -> None:
        person = self._people[user]
        if not person.is_under_way and not person.failures and person.due > 0:  # who was not let in waits
            self._put(person, 0.0)


def upkeep(
    backend: Backend,
    target: Target,
    run_id: str,
    ca: str | None,
    sessions: dict[str, Session],
    accounts: Iterable[Account],
    log_ins_s: Mapping[str, Sequence[float]] | None = None,
) -> Upkeep | None:
    """Somebody who keeps the sessions of these `accounts` at a target; None where nobody signs in.

    Also where no account is looked after here: who does so elsewhere is told of what is refused, and tells what is new.
    """
    if not sessions or "login" not in backend.operations:
        return None
    send = Sender(target, run_id, Path(ca) if ca else None, _TIMEOUT_S)
    return Upkeep(backend, send, sessions, accounts, from_own_addresses=reach(target), log_ins_s=log_ins_s)


def _pause_s(failures: int, outcome: Outcome | None) -> float:
    if outcome is not None and outcome.retry_after_s is not None:
        return max(_FIRST_PAUSE_S, outcome.retry_after_s)
    return float(min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2 ** min(failures - 1, 8)))


# In the process that ordered the load


@dataclass
class Kept:
    """What became of the sessions, in all processes."""

    sessions: dict[str, Session] = field(default_factory=dict, repr=False)  # the newest ones
    renewed_at: list[float] = field(default_factory=list)
    problems: Counter[str] = field(default_factory=Counter)
    left: set[str] = field(default_factory=set)  # whose last try failed

    def add(self, events: Iterable[Event]) -> None:
        """What generators have told."""
        for event in events:
            user = event["user"]
            if "session" in event:
                session = self.sessions[user] = Session(user, *event["session"])
                self.left.discard(user)
                if not event["is_own"]:
                    self.renewed_at.append(session.signed_in_at)
            elif "problem" in event:
                self.problems[event["problem"]] += 1
                self.left.add(user)

    def notices(self) -> list[str]:
        """Each a sentence, for the report; none where nothing was renewed."""
        found = []
        if self.renewed_at:
            most = max(Counter(int(at) for at in self.renewed_at).values())
            found.append(
                f"{len(self.renewed_at):,} {'sessions were' if len(self.renewed_at) > 1 else 'session was'} renewed "
                f"meanwhile, at most {most}/s: log-ins that the backend answered beside the load, and that are counted "
                f"nowhere else"
            )
        if self.problems:
            total, (problem, _) = self.problems.total(), self.problems.most_common(1)[0]
            found.append(
                f"{total:,} {'log-ins' if total > 1 else 'log-in'} to renew a session failed (mostly: {problem}), and "
                f"{len(self.left):,} {'sessions' if len(self.left) != 1 else 'session'} could not be renewed in the "
                f"end: where requests were answered 401, this is why, and not the flow"
            )
        return found
