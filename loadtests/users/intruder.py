"""Intruders: guess PINs, replay tokens, send what is too large or malformed, reach for other people's reports.

All of it must get nowhere. Whatever gets somewhere is a failure named "intrusion: OPERATION"; a server error is one,
too: a backend that falls over has not kept anybody out. They speak from addresses and devices of their own.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace

from loadtests.accounts import Account
from loadtests.addresses import address
from loadtests.contract import Ask, Operation, Outcome, Reply, Report, Request, Session, Site, signed_in
from loadtests.traffic.evening import Purpose
from loadtests.users.base import CaucusUser

_GUARDED: tuple[Operation, ...] = (
    "report.open",
    "report.first_alignment",
    "report.final",
    "report",
    "clerk",
    "review.approve",
    "review.list",
    "stored",
)
_CODES = (
    "' OR '1'='1",
    "0001' --",
    "0001; DROP TABLE records",
    "0001) UNION SELECT pin_hash, user FROM accounts --",
    "../../etc/passwd",
    "%00",
    "0001%0d%0aX-Role: administrator",
    "${jndi:ldap://localhost/a}",
    "<script>alert(1)</script>",
    "\uff10\uff10\uff10\uff11",
)
_USERS = ("administrator-01", "reviewer-01", "clerk-01", "observer-01", "admin", "root")
_MALFORMED: tuple[bytes, ...] = (
    b"",
    b"{",
    b"null",
    b"[]",
    b'{"attendees": -1}',
    b'{"attendees": 1e999}',
    b'{"attendees": 99999999999999999999999999}',
    b'{"attendees": "12"}',
    b'{"attendees": NaN}',
    b"\xff\xfe\x00\x01",
    b"[" * 20_000,
    b'{"counts": {"\\ud800": 1}}',
)
_OVERSIZE_BYTES = 6_000_000
INSIDERS = 10  # among so many intruders there is one: more would be a log-in storm of their own


class Intruder(CaucusUser):
    """Somebody who has no business here; one of INSIDERS is a chair, too, who reaches for other sites' reports."""

    kind = "intruder"
    planned = False

    def play(self) -> None:
        """One attempt after the other, at the rate that was asked for."""
        self._old: list[Session] = []
        self._insider: Session | None = None
        attempts: list[Callable[[int], None]] = [
            self._guesses,
            self._makes_up_a_token,
            self._guesses,
            self._replays_an_old_token,
            self._guesses,
            self._reaches_for_another_site,
            self._guesses,
            self._sends_what_is_malformed,
            self._guesses,
            self._tries_sql,
        ]
        self.tonight.begins.wait()
        every_s = 1 / self.tonight.options.intruder_rate
        due = time.monotonic()
        number = 0
        while True:
            attempts[number % len(attempts)](number)
            if number % 50 == 25:
                self._sends_what_is_too_large(number)
            number += 1
            due = max(due + every_s, time.monotonic() - 1)
            time.sleep(max(0.0, due - time.monotonic()))

    # What must not succeed

    def _judged(self, operation: Operation, ask: Ask, what: str) -> Outcome:
        """Send what must be refused."""
        return self._judged_request(self.build(operation, ask), operation, what)

    def _judged_request(self, request: Request, operation: Operation, what: str) -> Outcome:
        def read(reply: Reply) -> Outcome:
            return self.tonight.backend.read(operation, reply)

        def repelled(outcome: Outcome) -> bool:
            if outcome.verdict == "busy":
                return True  # turned away before anything was looked at
            return outcome.verdict == "refused" and outcome.status < 500

        outcome, reply = self.transmit(request, read, name=f"intruder: {what}", fine=repelled)
        if outcome.accepted or 200 <= outcome.status < 300:
            self.fail(f"intrusion: {operation}", f"{what}: HTTP {outcome.status}")
        elif b"Traceback" in reply.body or b"sqlalchemy" in reply.body.lower():
            self.fail(f"intrusion: {operation}", f"{what}: the answer tells of the backend's insides")
        return outcome

    def _guesses(self, number: int) -> None:
        """A PIN, for a chair or for somebody who may more."""
        self._walks_on(number)
        site = self._site(number)
        pin = f"{self._drawn(number, 0, 999_999):06d}"
        user = site.code if number % 4 else _USERS[number // 4 % len(_USERS)]
        known = self.tonight.accounts.chairs.get(site.code)
        if known is not None and known.user == user and known.pin == pin:
            return  # it is the doors that are tried here, not the luck of one in a million
        ask = Ask(user=user, pin=pin, second_factor="", device=f"{self.kind}-{self.number}-{number // 7}")
        self._judged("login", ask, "guessed PIN")

    def _walks_on(self, number: int) -> None:
        """Another address every now and then, not all at once: whoever guesses has many."""
        walked, since = divmod(number + self.number, 25)
        if number == 0 or since == 0:
            self.come_from(address(self.kind, self.number + 1000 * (1 + walked)))

    def _makes_up_a_token(self, number: int) -> None:
        token = f"{self._drawn(number, 0, (1 << 31) - 1):043d}"
        tokens = ("", "null", "undefined", token, "eyJhbGciOiJub25lIn0.eyJyb2xlIjoiYWRtaW5pc3RyYXRvciJ9.", "a" * 8000)
        made_up = Session("administrator-01", "x", {"token": tokens[number // 10 % len(tokens)]})
        self._asks_for_everything(number, made_up)

    def _replays_an_old_token(self, number: int) -> None:
        """A session that was ended, on its own device and on another one."""
        if not self._old:
            self._leaves_a_token_behind()
        if self._old:
            old = self._old[0]
            self._asks_for_everything(number, old if number % 20 < 10 else replace(old, device="another"), old=True)

    def _leaves_a_token_behind(self) -> None:
        session = self._signs_in_as_insider()
        if session is not None and self.has("logout"):
            outcome = self.send("logout", Ask(session=session), name="insider: logout")
            if outcome.accepted:
                self._old.append(session)
            self._insider = None

    def _asks_for_everything(self, number: int, session: Session, *, old: bool = False) -> None:
        operations = [one for one in _GUARDED if self.has(one)]
        if not operations:
            return
        operation = operations[number // 10 % len(operations)]
        ask = Ask(
            session=session, site=self._site(number), report=self._report(number), key=self.key("intruder"), version=1
        )
        self._judged(operation, ask, "ended session" if old else "made-up token")

    def _reaches_for_another_site(self, number: int) -> None:
        """A chair who is who he says, at somebody else's report; and at what only staff may do."""
        if self._insider is None:
            self._insider = self._signs_in_as_insider()
        own = self._insider_account()
        if self._insider is None or own is None:
            return
        site = self._site(number + 1)
        if site.code == own.site:
            return
        operations = [one for one in (*_GUARDED, "resume") if self.has(one)]
        if not operations:
            return
        operation = operations[number // 10 % len(operations)]
        ask = Ask(session=self._insider, site=site, report=self._report(number), key=self.key("insider"), version=1)
        outcome = self._judged(operation, ask, "another site")
        if outcome.status == 401:
            self._insider = None

    def _sends_what_is_malformed(self, number: int) -> None:
        body = _MALFORMED[number // 10 % len(_MALFORMED)]
        ask = Ask(user="0001", pin="000000", device=f"{self.kind}-{self.number}-{number // 7}")
        self._judged_request(replace(self.build("login", ask), body=body), "login", "malformed body")

    def _sends_what_is_too_large(self, number: int) -> None:
        ask = Ask(user="0001", pin="000000", device=f"{self.kind}-{self.number}-{number // 7}")
        body = json.dumps({"user": "0001", "pin": "9" * _OVERSIZE_BYTES}).encode()
        self._judged_request(replace(self.build("login", ask), body=body), "login", "oversize body")

    def _tries_sql(self, number: int) -> None:
        code = _CODES[number // 10 % len(_CODES)]
        if number % 20 < 10:
            ask = Ask(user=code, pin="' OR 1=1 --", device=f"{self.kind}-{self.number}-{number // 7}")
            self._judged("login", ask, "SQL as a user")
            return
        if self._insider is None:
            self._insider = self._signs_in_as_insider()
        site = replace(self._site(number), code=code)
        ask = Ask(session=self._insider, site=site, report=self._report(number), key=self.key("sql"))
        operations: list[Operation] = [one for one in ("resume", "report.open", "results.site") if self.has(one)]
        if operations:
            self._judged(operations[number // 20 % len(operations)], ask, "SQL as a site")

    # Whom they know, and what they say

    def _insider_account(self) -> Account | None:
        """The chair who is one of them: nobody who has a part in the night, where there is such a one."""
        if self.number % INSIDERS:
            return None
        sites = self.tonight.evening.sites
        idle = [one for one in sites if not one.has_chair_online and one.site.code in self.tonight.accounts.chairs]
        known = idle or [one for one in sites if one.site.code in self.tonight.accounts.chairs]
        return self.tonight.accounts.chairs[known[self.number // INSIDERS % len(known)].site.code] if known else None

    def _signs_in_as_insider(self) -> Session | None:
        account = self._insider_account()
        if account is None:
            return None
        ask = Ask(
            user=account.user, pin=account.pin, second_factor=account.second_factor(), device=f"insider-{self.number}"
        )
        guessing = self.source  # whoever guesses from an address finds it locked
        self.come_from(address("insider", self.number))
        outcome = self.send("login", ask, name="insider: login", fine=lambda one: one.verdict in ("accepted", "busy"))
        self.come_from(guessing)
        return signed_in(ask, outcome) if outcome.accepted else None

    def _site(self, number: int) -> Site:
        sites = self.tonight.evening.sites
        return sites[self._drawn(number + 7, 0, len(sites) - 1)].site

    def _report(self, number: int) -> Report:
        """Figures that nobody counted."""
        groups = self.tonight.evening.groups
        counts = {group: self._drawn(number * 64 + place, 0, 50) for place, group in enumerate(groups)}
        return Report(sum(counts.values()), counts, counts, dict.fromkeys(groups, 0))

    def _drawn(self, ordinal: int, low: int, high: int) -> int:
        return self.tonight.evening.drawn(f"intruder {self.number}", Purpose.GUESS, ordinal, low, high)
