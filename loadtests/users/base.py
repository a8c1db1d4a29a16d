"""What all users share: their number, their address, sending an operation, and trying again as apps and people do.

Requests go through Locust's own client, so that its events, statistics and pages are those of any Locust user. Locust
has patched `time.sleep`: whoever sleeps lets the others go on.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar

from locust import FastHttpUser, task
from locust.env import Environment
from locust.exception import StopUser

from loadtests.accounts import Account
from loadtests.addresses import address
from loadtests.contract import Ask, Operation, Outcome, Reply, Request, Session, signed_in, without_secrets
from loadtests.target.sender import trusting
from loadtests.traffic.evening import Purpose, SiteEvening
from loadtests.users.connection import Connections, connect
from loadtests.users.run import NO_ANSWER, Run, run_of

log = logging.getLogger("caucus")

_TRIES = 5  # of the app, before it tells the person that it could not be done
_LONGEST_S = 30.0  # between two of them
_A_MINUTE_S = 60.0  # until the person presses the button again
_PRESSES = 30
_SIGN_INS = 3  # a session that ends at once, so many times over, is no session
_MOST_RETRY_AFTER_S = 900.0
_NUMBERS = re.compile(r"\d+")

Fine = Callable[[Outcome], bool]


def accepted(outcome: Outcome) -> bool:
    """What most requests hope for."""
    return outcome.accepted


def answered(outcome: Outcome) -> bool:
    """Accepted, or refused with good reason: the backend does its work."""
    return outcome.verdict in ("accepted", "refused")


class CaucusUser(FastHttpUser):
    """Somebody with a part in the night. A class plays it in `play`, once; then the user is done."""

    abstract = True
    kind: ClassVar[str]  # of `addresses.address`
    planned: ClassVar[bool] = True  # whether the run waits until this user is done
    insecure = False  # certificates are checked, unlike Locust does by itself
    network_timeout = 30.0
    connection_timeout = 10.0
    concurrency = 1

    def __init__(self, environment: Environment) -> None:
        self.tonight: Run = run_of(environment)
        ca = self.tonight.options.ca
        self.ssl_context_factory = lambda cafile="": trusting(ca)  # not geventhttpclient's own list
        super().__init__(environment)
        self.number = -1
        self.session: Session | None = None
        self.source = ""
        self.connections: Connections
        self._writes = 0

    def on_start(self) -> None:
        """Take a part."""
        self.number = self.tonight.claim(type(self).__name__)
        if self.number >= self.tonight.counts().get(type(self).__name__, 0):
            raise StopUser  # more users than the night has parts
        self.come_from(address(self.kind, self.number))

    def come_from(self, source: str) -> None:
        """Speak from an address of one's own, where the machine allows it; else it is forwarded, as in `build`."""
        if self.source:
            self.connections.hang_up()
        self.source = source
        bound = source if self.tonight.from_own_addresses else None
        self.connections = connect(self.client, self.tonight.options.target.addresses, bound)

    @task
    def part(self) -> None:
        """Play it, once."""
        try:
            self.play()
        except Exception as error:
            # Locust would begin the task anew: a site would be played twice
            log.exception("%s %d could not go on", type(self).__name__, self.number)
            self.environment.events.user_error.fire(user_instance=self, exception=error, tb=error.__traceback__)
        if self.planned:
            self.tonight.done(type(self).__name__)
        raise StopUser

    def play(self) -> None:
        """What this user does."""
        raise NotImplementedError

    # Sending

    def has(self, operation: Operation) -> bool:
        """Whether the backend has an operation."""
        return operation in self.tonight.backend.operations

    def send(self, operation: Operation, ask: Ask, *, name: str = "", fine: Fine = accepted) -> Outcome:
        """One request, and what its answer means. What is not `fine` is a failure in Locust's statistics."""
        return self.exchange(operation, ask, name=name, fine=fine)[0]

    def exchange(
        self, operation: Operation, ask: Ask, *, name: str = "", fine: Fine = accepted
    ) -> tuple[Outcome, Reply]:
        """The same, with the reply itself."""
        return self.transmit(
            self.build(operation, ask), lambda reply: self._read(operation, ask, reply), name=name, fine=fine
        )

    def build(self, operation: Operation, ask: Ask) -> Request:
        """A request, as it goes out from this user's address."""
        return self.tonight.backend.build(operation, replace(ask, address=self.source))

    def _read(self, operation: Operation, ask: Ask, reply: Reply) -> Outcome:
        if reply.status == 304 and ask.etag:
            return Outcome("accepted", 304)
        return without_secrets(self.tonight.backend.read(operation, reply), ask)

    def transmit(
        self, request: Request, read: Callable[[Reply], Outcome], *, name: str = "", fine: Fine = accepted
    ) -> tuple[Outcome, Reply]:
        """Send a request as it stands."""
        self.tonight.pace.take()
        name = name or request.name
        with self.client.request(
            request.method,
            request.path,
            name=name,
            data=request.body,  # type: ignore[arg-type]  # bytes go through as they are; its annotation forgets them
            headers=dict(request.headers),
            catch_response=True,
            allow_redirects=False,
        ) as response:
            if response.status_code:
                fields = response.headers.items() if response.headers is not None else ()
                reply = Reply.of(response.status_code, fields, bytes(response.content or b""))
                outcome = read(reply)
            else:
                reply = Reply(0, {}, b"")
                outcome = Outcome("unclear", 0, problem=_said(getattr(response, "error", None)))
            if fine(outcome):
                if outcome.verdict == "refused":
                    response.request_meta["name"] = f"{name}, refused"
                response.success()
            else:
                response.failure(_blame(outcome))
        return outcome, reply

    def fail(self, name: str, problem: str) -> None:
        """Something is wrong that no single request shows."""
        self.environment.events.request.fire(
            request_type="CHECK", name=name, response_time=0, response_length=0, exception=AssertionError(problem)
        )

    # Trying again

    def insist(self, operation: Operation, ask: Ask, *, name: str = "", fine: Fine = accepted) -> Outcome:
        """As the app does: several times, with the same key, at the pace that the backend asks for."""
        for attempt in range(_TRIES):
            outcome = self.send(operation, ask, name=name, fine=fine)
            if answered(outcome):
                return outcome
            time.sleep(self._pause_s(attempt, outcome))
        return outcome

    def write(self, operation: Operation, ask: Ask, account: Account, *, fine: Fine = accepted) -> Outcome:
        """As the person with the app does: until it is promised or refused; after a minute again, with the same key."""
        sign_ins = 0
        for _ in range(_PRESSES):
            if self.session is None and not self.sign_in(account):
                return Outcome("refused", 401, problem="cannot sign in")
            signed = replace(ask, session=self.session)
            outcome = self._insist_on_record(operation, signed, fine)
            if outcome.status == 401 and sign_ins < _SIGN_INS:  # the session is over: they are short
                sign_ins += 1
                self.session = None
                continue
            if answered(outcome):
                return outcome
            time.sleep(max(1.0, self.tonight.scaled(_A_MINUTE_S)))
            self.connections.hang_up()
        return outcome

    def _insist_on_record(self, operation: Operation, ask: Ask, fine: Fine) -> Outcome:
        ledger = self.tonight.ledger
        for attempt in range(_TRIES):
            if ledger is not None:
                ledger.sent(operation, ask)
            outcome = self.send(operation, ask, fine=lambda one: fine(one) or one.status == 401)
            if ledger is not None:
                ledger.answered(operation, ask, outcome)
            if answered(outcome):
                return outcome
            time.sleep(self._pause_s(attempt, outcome))
        return outcome

    def _pause_s(self, attempt: int, outcome: Outcome) -> float:
        """How long the app waits: what it was told, or twice as long each time; never all apps at once."""
        pause = min(_LONGEST_S, 0.5 * (1 << attempt))
        if outcome.retry_after_s is not None:
            pause = min(outcome.retry_after_s, _MOST_RETRY_AFTER_S)
        spread = self.tonight.evening.drawn(f"{self.kind} {self.number}", Purpose.BACKOFF, self._writes, 0, 250)
        self._writes += 1
        return pause * (1000 + spread) / 1000

    def key(self, step: str) -> str:
        """A key of idempotency: one for each thing that somebody means to send."""
        self._writes += 1
        return f"{self.tonight.options.run_id[:36]}-{step[:12]}-{self.number}-{self._writes}"

    # Signing in

    def sign_in(self, account: Account, *, device: str = "") -> bool:
        """Log in; a session is kept until it ends."""
        ask = Ask(
            user=account.user,
            pin=account.pin,
            second_factor=account.second_factor(),
            device=device or f"{self.kind}-{self.number}",
        )
        for _ in range(_PRESSES):
            outcome = self.insist("login", ask)
            if outcome.accepted:
                self.session = signed_in(ask, outcome)
                return True
            if outcome.verdict == "refused" and not account.totp_secret:
                return False
            pause = 30.0 if outcome.verdict == "refused" else max(1.0, self.tonight.scaled(_A_MINUTE_S))
            time.sleep(pause)  # a code counts once, and for half a minute
            ask = replace(ask, second_factor=account.second_factor())
        return False

    def put_away(self, idle_s: float = 2.0) -> None:
        """The telephone is put away for a while: its connection does not outlive that."""
        if idle_s >= 2.0:
            self.connections.hang_up()

    def ask_of(self, each: SiteEvening, **more: Any) -> Ask:
        """What is asked about a site."""
        return Ask(session=self.session, site=each.site, **more)


def _said(error: object) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return type(error).__name__ if error is not None else "no answer"


def _blame(outcome: Outcome) -> str:
    """A line for Locust's table of failures: alike for all sites, so that it stays a table."""
    said = _NUMBERS.sub("#", outcome.problem.removeprefix(f"HTTP {outcome.status}").lstrip(": "))
    if not outcome.status:
        return f"{NO_ANSWER}: {said}"
    return f"HTTP {outcome.status}, {outcome.verdict}" + (f": {said[:150]}" if said else "")
