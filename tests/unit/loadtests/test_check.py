"""One precinct walked through an evening: test records are removed by whoever gets in, and nobody's PIN is shown."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from loadtests.accounts import Account, Accounts
from loadtests.contract import Ask, Operation, Outcome, Reply, Request, Site
from loadtests.night import Night
from loadtests.target.check import Line, Walk
from loadtests.target.guards import Redaction

GROUPS = ("ada", "ben")
SITES = tuple(Site(f"{n:04d}", f"Story/P{n}", "Story", f"P{n}", 5, GROUPS) for n in (1, 2))
CHAIRS = {site.code: Account(site.code, "chair", site.code, "314159") for site in SITES}
OBSERVER, PIN, WRONG_PIN, SECRET = "observer-01", "271828182845", "161803398874", "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"


class Hall:
    """A backend that takes a one-time code once. An observer reads what is stored; who is signed in may clean up."""

    def __init__(self, *without: Operation) -> None:
        everything: frozenset[Operation] = frozenset({"login", "report", "stored", "cleanup"})
        self.operations = everything - set(without)
        self.pins = {OBSERVER: PIN} | {code: chair.pin for code, chair in CHAIRS.items()}
        self.log_ins: Counter[str] = Counter()
        self.cleaned_up_by: list[str] = []
        self.may_not_clean_up = ""
        self.reports: dict[str, dict[str, Any]] = {}  # by key
        self._codes: set[tuple[str, str]] = set()

    def build(self, operation: Operation, ask: Ask) -> Request:
        said: dict[str, Any] = {"user": ask.user, "pin": ask.pin, "code": ask.second_factor}
        said["token"] = ask.session.values["token"] if ask.session else ""
        if operation == "report":
            assert ask.site is not None
            assert ask.report is not None
            report = ask.report
            figures = {"attendees": report.attendees, "first_alignment": dict(report.first_alignment)}
            figures |= {"final": dict(report.final), "delegates": dict(report.delegates)}
            said["report"] = {"site": ask.site.code, "key": ask.key, **figures}
        return Request("POST", "/", {}, json.dumps(said).encode(), operation)

    def read(self, operation: Operation, reply: Reply) -> Outcome:  # noqa: ARG002  # as a Backend has it
        said = json.loads(reply.body)
        if reply.status == 200:
            return Outcome("accepted", 200, "again" in said, values=said)
        return Outcome("refused", reply.status, problem=f"HTTP {reply.status}: {said['why']}")

    def __call__(self, request: Request) -> Reply:
        said = json.loads(request.body or b"")
        status, answer = self._answer(request.name, said, said["token"].removeprefix("token-of-"))
        return Reply(status, {}, json.dumps(answer).encode())

    def _answer(self, operation: str, said: dict[str, Any], who: str) -> tuple[int, dict[str, Any]]:
        if operation == "login":
            user, code = said["user"], said["code"]
            if self.pins[user] != said["pin"] or (code and (user, code) in self._codes):
                return 401, {"why": f"{said['pin']} {code} opens nothing"}
            self._codes.add((user, code))
            self.log_ins[user] += 1
            return 200, {"token": f"token-of-{user}"}
        if not who:
            return 401, {"why": "who is that?"}
        match operation:
            case "report":
                report = said["report"]
                known = self.reports.setdefault(report["key"], report) if who == report["site"] else None
                if known != report:
                    return 409, {"why": "no"}
                return 200, {"version": 1} | ({} if known is report else {"again": True})
            case "stored":
                return 200, {"records": [{**report, "version": 1} for report in self.reports.values()]}
            case _ if who == self.may_not_clean_up:
                return 403, {"why": "not you"}
            case _:
                self.cleaned_up_by.append(who)
                self.reports.clear()
                return 200, {}


def walked(hall: Hall, observer: Account) -> dict[str, Line]:
    accounts = Accounts(CHAIRS, {"observer": (observer,)})
    night = Night(SITES, dict.fromkeys(CHAIRS, 100), frozenset(), ballot=False)
    walk = Walk(hall, hall, night, accounts, "run-1", Redaction({}), settle_s=0)
    return {line.subject: line for line in walk.lines(None, clean_up=True)}


def test_an_observer_who_is_not_let_in_leaves_the_chair_to_clean_up() -> None:
    hall = Hall()
    lines = walked(hall, Account(OBSERVER, "observer", "", WRONG_PIN))
    assert lines["stored"].verdict == "fails"
    assert "observer-01 cannot sign in: HTTP 401: ***" in lines["stored"].says
    assert (lines["cleanup"].verdict, hall.cleaned_up_by, hall.reports) == ("works", ["0001"], {})


@pytest.mark.parametrize(("pin", "who"), [(PIN, OBSERVER), (WRONG_PIN, "0001")])
def test_where_nothing_can_be_read_back_the_observer_cleans_up_or_else_the_chair(pin: str, who: str) -> None:
    hall = Hall("stored")
    lines = walked(hall, Account(OBSERVER, "observer", "", pin))
    assert (lines["cleanup"].verdict, hall.cleaned_up_by) == ("works", [who])


def test_an_observer_who_may_only_read_leaves_the_chair_to_clean_up() -> None:
    hall = Hall()
    hall.may_not_clean_up = OBSERVER
    lines = walked(hall, Account(OBSERVER, "observer", "", PIN))
    assert (lines["stored"].verdict, lines["cleanup"].verdict, hall.cleaned_up_by) == ("works", "works", ["0001"])


def test_an_observer_whose_one_time_code_is_spent_stays_signed_in_until_all_is_cleaned_up() -> None:
    hall = Hall()
    lines = walked(hall, Account(OBSERVER, "observer", "", PIN, SECRET))
    assert (lines["stored"].verdict, lines["cleanup"].verdict) == ("works", "works")
    assert (hall.log_ins[OBSERVER], hall.cleaned_up_by) == (1, [OBSERVER])
