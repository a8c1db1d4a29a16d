"""What has to be true before a flow is loaded: people are signed in, sites have reported as far as the flow needs it.

A few threads, one request after the other each; nothing of it is measured. Every write goes into the ledger. Speaks
only the contract.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from loadtests import contract
from loadtests.accounts import Account
from loadtests.addresses import address, reach
from loadtests.contract import Ask, Backend, Operation, Outcome, Report, Session, Site
from loadtests.generator.upkeep import OLD_SHARE, is_old, life_s
from loadtests.ledger import Ledger
from loadtests.night import Night
from loadtests.target.sender import Sender
from simulation.errors import InputError

_AT_ONCE = 8
_NOT_LET_IN = (401, 403)
_TRIES, _LONGEST_S = 6, 30.0  # of one request that the backend has no time for, and the pause before the next try
_UNCLEAR_TRIES = 3  # of one whose answer says nothing: a backend that is broken stays so
Told = Callable[[str], None]


@dataclass
class Preparation:
    """Brings a backend and its people into the state that a flow begins in."""

    backend: Backend
    send: Sender
    ledger: Ledger
    told: Told
    ended: threading.Event = field(default_factory=threading.Event)
    unknown: set[str] = field(default_factory=set)  # sites of which the backend did not say what they have: see `come`
    _accounts: dict[str, Account] = field(default_factory=dict, repr=False)  # by user
    _renewed: dict[str, Session] = field(default_factory=dict, repr=False)

    def signed_in(self, accounts: Sequence[Account], kind: str) -> dict[str, Session]:
        """Their sessions; who is refused is left out. InputError where nobody gets in."""
        if "login" not in self.backend.operations or not accounts:
            return {}
        apart = reach(self.send.target)
        rows = [(one, address(kind, n)) for n, one in enumerate(accounts)]
        found: dict[str, Session] = {}
        problems: list[str] = []
        began = time.monotonic()

        def one(row: tuple[Account, str]) -> None:
            account, source = row
            session, outcome = self._sign_in(account, f"load-{secrets.token_hex(4)}", source, apart=apart)
            if session is not None:
                found[account.user] = session
                self._accounts[account.user] = account
            else:
                problems.append(f"{account.user} cannot sign in: {outcome.problem or outcome.verdict}")
                if not found and len(problems) >= _AT_ONCE:
                    self.ended.set()  # nobody gets in

        self._all(one, rows, f"signing in: {kind}s")
        if not found:
            raise InputError(f"--pins: {problems[0]}: is it the list of this backend?")
        if problems:
            self.told(f"{len(problems)} of {len(accounts)} are left out; {problems[0]}")
        took_s, lasts_s = time.monotonic() - began, min(life_s(session) for session in found.values())
        if took_s > OLD_SHARE * lasts_s:
            self.told(
                f"signing in {len(found):,} {kind}s took {took_s / 60:.0f} min, and a session lasts "
                f"{lasts_s / 60:.0f}: so many cannot be kept signed in; fewer precincts (--roster) can"
            )
        return self.fresh_ones(found)

    def fresh_ones(self, sessions: Mapping[str, Session]) -> dict[str, Session]:
        """The same, those that are old signed in again: what comes before a load may take long."""
        found = dict(sessions)

        def one(user: str) -> None:
            found[user] = self._fresh(found[user])

        old = [user for user, session in found.items() if user in self._accounts and is_old(session)]
        self._all(one, old, "signing in again: sessions that are old")
        return found

    def _fresh(self, session: Session) -> Session:
        """One that will last for a while; the same where it cannot be renewed: what follows says so."""
        session = self._renewed.get(session.user, session)
        account = self._accounts.get(session.user)
        if account is None or not is_old(session):
            return session
        apart = reach(self.send.target)
        renewed, _ = self._sign_in(account, session.device, session.address, apart=apart)
        if renewed is not None:
            self._renewed[session.user] = renewed
        return renewed or session

    def _sign_in(self, account: Account, device: str, source: str, *, apart: bool) -> tuple[Session | None, Outcome]:
        ask = Ask(
            user=account.user,
            pin=account.pin,
            second_factor=account.second_factor(),
            device=device,
            address=source,
        )
        outcome = self._insisted("login", ask, source if apart else "")
        return contract.signed_in(ask, outcome) if outcome.accepted else None, outcome

    def come(self, sites: Mapping[Site, Session | None]) -> dict[str, tuple[int, Any]]:
        """How many steps each site has already, as the backend says; those that have none are left out.

        Those of which it does not say are `unknown` then: a step that they had already would be refused. InputError
        where it says nothing of any.
        """
        steps = contract.evening(self.backend)
        found: dict[str, tuple[int, Any]] = {}
        problems: list[str] = []
        if "resume" not in self.backend.operations:
            return found

        def one(row: tuple[Site, Session | None]) -> None:
            site, session = row
            outcome = self._insisted("resume", Ask(session and self._fresh(session), site))
            if outcome.verdict in ("busy", "unclear") or outcome.status in _NOT_LET_IN:
                problems.append(f"{site.id}: {outcome.problem or outcome.verdict}")
                self.unknown.add(site.code)
            if not outcome.accepted:  # there is nothing yet
                return
            values = outcome.values
            there = {
                "report": values.get("final") is not None,
                "report.open": values.get("attendees") is not None,
                "report.first_alignment": values.get("first_alignment") is not None or values.get("final") is not None,
                "report.final": values.get("final") is not None,
                "photo": values.get("final") is not None and "next" in values and values["next"] is None,
            }
            done = next((n for n, step in enumerate(steps) if not there[step]), len(steps))
            if done:
                found[site.code] = (done, values.get("version"))

        self._all(one, list(sites.items()), "asking what is there")
        if problems and len(problems) >= len(sites):
            raise InputError(f"no site hears what it has reported: {problems[0]}")
        if problems:
            self.told(f"{len(problems)} of {len(sites)} sites are left out: what they have is not told; {problems[0]}")
        return found

    def reported(
        self,
        sites: Mapping[Site, Session | None],
        reports: Mapping[str, Report],
        progress: Mapping[str, tuple[int, Any]],
    ) -> dict[str, tuple[int, Any]]:
        """Have these sites report, all steps but the photo; how far each is then. InputError where none can."""
        steps = [step for step in contract.evening(self.backend) if step != "photo"]
        found = dict(progress)
        problems: list[str] = []

        def one(row: tuple[Site, Session | None]) -> None:
            site, session = row
            for at in range(found.get(site.code, (0, None))[0], len(steps)):
                ask = Ask(
                    session and self._fresh(session), site, reports[site.code], key=f"before-{secrets.token_hex(8)}"
                )
                outcome = self._written(steps[at], ask)
                if not outcome.accepted:
                    problems.append(f"{site.id}: {steps[at]}: {outcome.problem or outcome.verdict}")
                    return
                found[site.code] = (at + 1, outcome.values.get("version"))

        self._all(one, list(sites.items()), "reporting, so that there is something to go on with")
        if problems and len(problems) >= len(sites):
            raise InputError(f"no site can report: {problems[0]}")
        if problems:
            self.told(f"{len(problems)} of {len(sites)} sites could not report; {problems[0]}")
        return found

    def _written(self, operation: Operation, ask: Ask) -> Outcome:
        for attempt in range(_TRIES):
            self.ledger.sent(operation, ask)
            outcome = self._said(operation, ask)
            self.ledger.answered(operation, ask, outcome)
            if not self._asks_again(attempt, outcome):
                break
        return outcome

    def _insisted(self, operation: Operation, ask: Ask, source: str = "") -> Outcome:
        for attempt in range(_TRIES):
            outcome = self._said(operation, ask, source)
            if not self._asks_again(attempt, outcome):
                break
        return outcome

    def _said(self, operation: Operation, ask: Ask, source: str = "") -> Outcome:
        request = self.backend.build(operation, ask)
        return contract.without_secrets(self.backend.read(operation, self.send(request, source)), ask)

    def _asks_again(self, attempt: int, outcome: Outcome) -> bool:
        """Whether a request is worth another try; waits until then."""
        tries = {"busy": _TRIES, "unclear": _UNCLEAR_TRIES}.get(outcome.verdict, 0)
        if attempt + 1 >= tries or self.ended.is_set():
            return False
        pause = outcome.retry_after_s if outcome.retry_after_s is not None else 0.5 * 2**attempt
        self.ended.wait(min(_LONGEST_S, pause))
        return True

    def _all(self, work: Callable[[Any], None], rows: Sequence[Any], what: str) -> None:
        """Do it for all of them, a few at a time; the first mistake ends it."""
        if not rows:
            return
        said = time.monotonic()
        self.told(f"{what}: {len(rows):,}")

        def guarded(row: Any) -> None:
            if not self.ended.is_set():
                work(row)

        with ThreadPoolExecutor(min(_AT_ONCE, len(rows))) as pool:
            try:
                for done, _ in enumerate(pool.map(guarded, rows), 1):
                    if time.monotonic() - said > 5:
                        said = time.monotonic()
                        self.told(f"{what}: {done:,} of {len(rows):,}")
            except BaseException:
                self.ended.set()
                raise


def two_reports(night: Night, site: Site) -> tuple[Report, Report]:
    """Two lawful reports of the same people: a correction changes figures, and breaks no rule.

    In the first alignment one person stands alone, in one group or another; in the final one with either of the two.
    """
    one = night.report(site)
    if len(site.groups) < 4:
        return one, one
    first, last, *others = (site.groups[0], site.groups[-1], site.groups[1], site.groups[2])
    a, b = one.first_alignment[first], one.first_alignment[last]
    nobody = dict.fromkeys(site.groups, 0)
    found = []
    for alone, more in zip(others, (1, 0), strict=True):
        at_first = nobody | {first: a, last: b - 1, alone: 1}
        at_end = nobody | {first: a + more, last: b - more}
        found.append(Report(one.attendees, at_first, at_end, night.delegates(site, one.attendees, at_end)))
    return found[0], found[1]
