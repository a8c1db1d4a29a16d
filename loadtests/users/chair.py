"""Precinct chairs with the app: head count, first alignment, result, photo, and all that goes wrong on the way.

A step is sent when the night says so. What the backend refuses as impossible is added up again, and sent as it was.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace

from geventhttpclient.url import URL

from loadtests import contract
from loadtests.accounts import Account
from loadtests.contract import Ask, Operation, Outcome, Report
from loadtests.photo import PNG, photo
from loadtests.traffic.evening import Failure, Purpose, SiteEvening, Trouble
from loadtests.users.base import CaucusUser, accepted, answered

_LOOKS_AGAIN_S = 120.0  # a chair whose report is under review
_LOOKS = 300
_UNDER_REVIEW = ("in_review", "approved_once", "returned")  # in the words of our backend; others are not waited for


class PrecinctChair(CaucusUser):
    """The chair of one site."""

    kind = "chair"

    def play(self) -> None:
        """The evening of a site, as the night has it."""
        each = self.tonight.chairs[self.number]
        account = self.tonight.accounts.chairs[each.site.code]
        steps = contract.evening(self.tonight.backend)
        for at_ms, what in _agenda(each, steps):
            self.put_away()
            self.tonight.wait_until(at_ms)
            if isinstance(what, Failure):
                self._fails(what, each, account, steps)
            elif what == "photo":
                self._photographs(each, account)
            elif not self._reports(what, each, account):
                return
            elif what in ("report.final", "report") and each.sent_back:
                self._sees_it_through(what, each, account)

    # What works

    def _reports(self, step: Operation, each: SiteEvening, account: Account) -> bool:
        """Send a step; a refused result is added up again. False where the backend takes neither."""
        outcome = self._sends(step, each, account, each.worksheet, may_be_wrong=each.worksheet != each.true)
        if outcome.verdict == "refused" and each.worksheet != each.true:
            outcome = self._sends(step, each, account, each.true)
        self._state = str(outcome.values.get("state", "")) if outcome.accepted else ""
        return outcome.accepted

    def _sends(
        self,
        step: Operation,
        each: SiteEvening,
        account: Account,
        report: Report,
        *,
        correction: str = "",
        may_be_wrong: bool = False,
    ) -> Outcome:
        ask = self.ask_of(each, report=report, key=self.key(step.partition(".")[2] or step), correction=correction)
        return self.write(step, ask, account, fine=answered if may_be_wrong else accepted)

    def _photographs(self, each: SiteEvening, account: Account) -> None:
        evening = self.tonight.evening
        picture = photo(f"{each.site.code} seed {evening.seed} night {evening.night}", each.photo_bytes)
        ask = self.ask_of(each, photo=picture, photo_type=PNG, key=self.key("photo"))
        self.write("photo", ask, account)

    def _sees_it_through(self, step: Operation, each: SiteEvening, account: Account) -> None:
        """Wait for the reviewer, who sends the report back; correct it."""
        if not (self.has("resume") and self.tonight.has("Reviewer")):
            return
        for _ in range(_LOOKS):
            if self._state not in _UNDER_REVIEW:
                return
            if self._state == "returned":
                outcome = self._sends(step, each, account, each.true, correction="the sums, once more")
                self._state = str(outcome.values.get("state", ""))
                return
            time.sleep(max(1.0, self.tonight.scaled(_LOOKS_AGAIN_S)))
            outcome = self._looks(each, account)
            self._state = str(outcome.values.get("state", self._state))

    def _looks(self, each: SiteEvening, account: Account) -> Outcome:
        """What the backend holds; a session that is over is begun anew."""
        if self.session is None:
            self.sign_in(account)
        outcome = self.send("resume", self.ask_of(each), fine=lambda one: one.accepted or one.status == 401)
        if outcome.status == 401 and self.sign_in(account):
            outcome = self.send("resume", self.ask_of(each))
        return outcome

    # What does not

    def _fails(self, failure: Failure, each: SiteEvening, account: Account, steps: tuple[Operation, ...]) -> None:
        if failure.trouble == Trouble.WRONG_PIN:
            self._mistypes(each, account)
        elif failure.trouble == Trouble.BROKEN_OFF:
            self._breaks_off(each, account, steps)
        self.session = None  # the next attempt begins with the log-in

    def _mistypes(self, each: SiteEvening, account: Account) -> None:
        """Log in with one digit wrong."""
        at = self.tonight.evening.drawn(each.site.id, Purpose.WRONG_DIGIT, 0, 0, len(account.pin) - 1)
        other = "1" if account.pin[at] != "1" else "2"
        pin = account.pin[:at] + other + account.pin[at + 1 :]
        ask = Ask(user=account.user, pin=pin, second_factor=account.second_factor(), device=self._device)
        outcome = self.send("login", ask, name="login, wrong PIN", fine=lambda one: not one.accepted)
        if outcome.accepted:
            self.fail("intrusion: login", "a wrong PIN was let in")

    def _breaks_off(self, each: SiteEvening, account: Account, steps: tuple[Operation, ...]) -> None:
        """Begin to send what is due, and lose the connection in the middle of it."""
        step = steps[-2] if each.by_app and len(steps) > 1 and steps[-1] == "photo" else steps[0]
        if not self.sign_in(account):
            return
        ask = self.ask_of(each, report=each.worksheet, key=self.key("torn"))
        request = self.build(step, replace(ask, session=self.session))
        body = request.body or b""
        headers = {**request.headers, "Host": self.tonight.options.target.host, "Content-Length": str(len(body))}
        prefix = self.tonight.options.target.prefix
        head = f"{request.method} {prefix}{request.path} HTTP/1.1\r\n"
        head += "".join(f"{name}: {value}\r\n" for name, value in headers.items()) + "\r\n"
        began = time.perf_counter()
        self.connections.hang_up()
        pool = self.connections.get_client(URL(self.tonight.options.target.url))._connection_pool
        with suppress(OSError):  # that it breaks off is what is meant
            line = pool.get_socket()
            line.sendall(head.encode("latin-1") + body[: len(body) // 2])
            pool.release_socket(line)
        self.environment.events.request.fire(
            request_type=request.method,
            name=f"{request.name}, broken off",
            response_time=(time.perf_counter() - began) * 1000,
            response_length=0,
            exception=None,
            context={},
        )

    @property
    def _device(self) -> str:
        return f"{self.kind}-{self.number}"


def _agenda(each: SiteEvening, steps: tuple[Operation, ...]) -> list[tuple[int, Operation | Failure]]:
    """What a chair does at the backend, in order."""
    found: list[tuple[int, int, Operation | Failure]] = [(at.at_ms, 0, at) for at in each.failures]
    if each.by_app:
        found += _due(each, steps)
    return [(at, what) for at, _, what in sorted(found, key=lambda entry: entry[:2])]


def _due(each: SiteEvening, steps: tuple[Operation, ...]) -> Iterator[tuple[int, int, Operation]]:
    times = {
        "report.open": each.counted_at_ms,
        "report.first_alignment": each.aligned_at_ms,
        "photo": each.photo_at_ms,
    }
    for order, step in enumerate(steps, 1):
        yield times.get(step, each.received_at_ms), order, step
