"""A night's very requests: at their times, as the people of the night mean them, held against the simulation."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from loadtests.contract import Reply, Session
from loadtests.target.guards import Target
from loadtests.target.mapping import REFERENCE, load_mapping
from loadtests.traffic.evening import Trouble
from loadtests.traffic.preparing import Preparation
from loadtests.traffic.replay import (
    RETRIES,
    Kit,
    Plan,
    check_rate,
    kit,
    play,
    replayed,
    retries_at,
    sign_everybody_in,
    source,
)
from loadtests.trial import Trial
from loadtests.users.accounts import Account, Accounts
from loadtests.workload import SECOND, Schedule
from simulation.errors import InputError
from tests.unit.loadtests.load_runs import answered, night_plan

AFAR = Target("https", "example.org", 443, "", ("192.0.2.1",), loopback=False)
HERE = Target("http", "127.0.0.1", 8000, "", ("127.0.0.1",), loopback=True)


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    return night_plan(tmp_path_factory.mktemp("night"))


def people(plan: Plan) -> tuple[Accounts, dict[str, Session]]:
    chairs = {each.site.code: Account(each.site.code, "chair", each.site.code, "123456") for each in plan.evening.sites}
    clerks = tuple(Account(f"clerk-{n:02d}", "clerk", "", "x" * 12) for n in range(1, 5))
    users = [*chairs, *(clerk.user for clerk in clerks)]
    return Accounts(chairs, {"clerk": clerks}), {user: Session(user, "d", {"token": f"t-{user}"}) for user in users}


@pytest.fixture
def given(plan: Plan, tmp_path: Path) -> Kit:
    accounts, sessions = people(plan)
    return kit(plan, accounts, sessions, run_id="r", mapping=None, target_class=None, ledger=tmp_path / "ledger")


def rows_of(plan: Plan, operation: str) -> list[int]:
    return np.flatnonzero(plan.schedule.operation == plan.schedule.operations.index(operation)).tolist()


def test_each_request_is_due_when_the_night_has_it(plan: Plan):
    for row in rows_of(plan, "report.final"):
        each = plan.evening.sites[plan.schedule.subject[row]]
        assert plan.clock_ms(plan.schedule.due_ns[row]) == pytest.approx(each.received_at_ms, abs=0.01)


def test_requests_are_those_of_the_night_with_the_sessions_of_those_who_send_them(plan: Plan, given: Kit):
    ours = source(plan.schedule, HERE, **json.loads(json.dumps(given.as_arguments())))
    for row in rows_of(plan, "report.open"):
        each = plan.evening.sites[plan.schedule.subject[row]]
        request = ours.requests(row)
        assert request.path == f"/v1/reports/{each.site.code}/open"
        assert request.headers["Authorization"] == f"Bearer t-{each.site.code}"
        assert request.body is not None
        assert json.loads(request.body)["attendees"] == each.worksheet.attendees


def test_a_result_is_keyed_twice_by_two_people(plan: Plan, given: Kit):
    ours = source(plan.schedule, HERE, **given.as_arguments())
    who: dict[int, list[str]] = {}
    for row in rows_of(plan, "clerk"):
        who.setdefault(int(plan.schedule.subject[row]), []).append(ours.requests(row).headers["Authorization"])
    assert who
    assert all(len(set(two)) == 2 for two in who.values() if len(two) == 2)


def test_a_mistyped_pin_must_be_refused_and_the_right_one_opens_a_session(plan: Plan, given: Kit):
    ours = source(plan.schedule, HERE, **given.as_arguments())
    assert ours.judge is not None
    for row in rows_of(plan, "login"):
        each = plan.evening.sites[plan.schedule.subject[row]]
        at = round(float(plan.clock_ms(plan.schedule.due_ns[row])))
        is_wrong = any(one.at_ms == at and one.trouble == Trouble.WRONG_PIN for one in each.failures)
        request = ours.requests(row)
        assert request.body is not None
        assert (json.loads(request.body)["pin"] == "123456") is not is_wrong
        let_in = ours.judge(row, answer(200, {"token": "new"}))
        assert let_in == ("a wrong PIN was let in" if is_wrong else "")
        if not is_wrong:
            later = [k for k in rows_of(plan, "report.final") if plan.schedule.subject[k] == each.number]
            assert all(ours.requests(k).headers["Authorization"] == "Bearer new" for k in later)


def test_figures_that_are_refused_are_added_up_again_and_all_else_is_sent_as_it_was(plan: Plan, given: Kit):
    row = rows_of(plan, "report.final")[0]
    number = int(plan.schedule.subject[row])
    told = given.as_arguments()
    people, first, final, delegates = given.sites[number]["worksheet"]
    told["kit"]["sites"][number] = {**given.sites[number], "true": [people, first, final[::-1], delegates]}
    ours = source(plan.schedule, HERE, **told)
    assert ours.judge is not None
    once = ours.requests(row)
    assert ours.judge(row, answer(503, {})).startswith("report.final: HTTP 503")
    again = ours.requests(row)
    assert (again.body, again.headers["Idempotency-Key"]) == (once.body, once.headers["Idempotency-Key"])
    assert ours.judge(row, answer(409, {"errors": []})) == "report.final: refused (HTTP 409)"
    anew = ours.requests(row)
    assert anew.body != once.body
    assert anew.headers["Idempotency-Key"] != once.headers["Idempotency-Key"]


def test_what_was_acknowledged_is_in_the_ledger(plan: Plan, given: Kit, tmp_path: Path):
    from loadtests.ledger import merge

    ours = source(plan.schedule, HERE, **given.as_arguments())
    assert ours.judge is not None
    rows = rows_of(plan, "report.open")
    for row in rows:
        ours.requests(row)
        assert ours.judge(row, answer(201, {"version": 1, "state": "opened"})) == ""
    entries = merge(tmp_path / "ledger")
    assert len(entries) == len(rows)
    assert all(entry.acknowledged for entry in entries)


def test_a_reader_asks_again_only_for_what_is_new(plan: Plan, given: Kit):
    ours = source(plan.schedule, HERE, **given.as_arguments())
    assert ours.judge is not None
    first, second = [row for row in rows_of(plan, "results") if plan.schedule.subject[row] == len(plan.evening.sites)][
        :2
    ]
    assert not ours.requests(first).headers.get("If-None-Match")
    ours.judge(first, Reply(200, {"etag": '"7"'}, b"{}"))
    assert ours.requests(second).headers["If-None-Match"] == '"7"'
    assert ours.judge(second, Reply(304, {}, b"")) == ""


def test_no_secret_stands_in_what_may_be_printed(given: Kit):
    assert "123456" not in repr(given)
    assert "t-0001" not in repr(given)


def test_a_result_counts_when_its_last_write_was_acknowledged(plan: Plan):
    found = replayed(plan, answered(plan.schedule, 0.0))
    simulated = plan.reported_at_ms
    until = plan.clock_ms(plan.schedule.due_ns[-1])
    for each in plan.evening.sites:
        at = int(found.acknowledged_at_ms[each.number])
        if each.by_app:
            assert at == pytest.approx(int(simulated[each.number]), abs=2)
        elif each.keyed_by_staff and each.keyed_again_at_ms <= until:
            assert at == pytest.approx(each.keyed_again_at_ms, abs=2)
        elif not each.keyed_by_staff:
            assert at == -1


def test_what_was_not_answered_well_is_not_acknowledged(plan: Plan):
    nothing = replayed(plan, answered(plan.schedule, 0.01, lambda sample: np.zeros(len(sample), bool)))
    assert (nothing.acknowledged_at_ms == -1).all()
    only_once = np.ones(len(plan.schedule), bool)
    seen: set[Any] = set()
    for row in rows_of(plan, "clerk"):
        whose = int(plan.schedule.subject[row])
        only_once[row] = whose not in seen
        seen.add(whose)
    half = replayed(plan, answered(plan.schedule, 0.01, lambda sample: only_once))
    assert all(half.acknowledged_at_ms[each.number] == -1 for each in plan.evening.sites if each.keyed_by_staff)


def test_a_target_that_is_not_this_machine_is_not_asked_too_fast(plan: Plan):
    check_rate(plan, HERE)
    assert plan.schedule.per_second().max() <= 50 or plan.speed
    fast = Plan(plan.played, plan.evening, plan.schedule, plan.speed, plan.begins_at_ms)
    if int(fast.schedule.per_second().max()) > 50:
        with pytest.raises(InputError, match="50 at most: --speed"):
            check_rate(fast, AFAR)


def test_such_a_target_gets_nothing_again():
    assert retries_at(HERE) == RETRIES
    assert retries_at(AFAR) == 0


def test_the_generator_is_told_how_often_to_try_again_and_what_is_late(
    plan: Plan, given: Kit, monkeypatch: pytest.MonkeyPatch
):
    told: dict[str, Any] = {}

    class Told:
        """Generators that start nothing."""

        def __init__(self, *_: object, **__: object) -> None:
            self.order: dict[str, Any] = {"limits": told}

        def __enter__(self) -> Told:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def trial(self, schedule: Schedule, objective_s: float | None, **_: object) -> Trial:
            return replace(answered(schedule, 0.01), objective_s=objective_s)

    monkeypatch.setattr("loadtests.traffic.replay.Generators", Told)
    found = play(plan, HERE, given, retries=0, objective_s=0.15)
    assert (told, found.trial.objective_s) == ({"retries": 0}, 0.15)


def test_a_list_may_name_sites_by_county_and_precinct(plan: Plan, given: Kit, tmp_path: Path):
    accounts, sessions = people(plan)
    by_id = Accounts(
        {each.site.id: replace(accounts.chairs[each.site.code], site=each.site.id) for each in plan.evening.sites},
        accounts.staff,
    )
    same = kit(plan, by_id, sessions, run_id="r", mapping=None, target_class=None, ledger=tmp_path / "ledger")
    assert same == given
    signed_in: list[str] = []

    def sign_in(who: Sequence[Account], _kind: str) -> dict[str, Session]:
        signed_in.extend(one.user for one in who)
        return {one.user: sessions[one.user] for one in who}

    backend = load_mapping(REFERENCE, "r", plan.evening.groups)
    preparation = cast(Preparation, SimpleNamespace(backend=backend, signed_in=sign_in))
    sign_everybody_in(preparation, plan, by_id)
    assert {each.site.code for each in plan.evening.sites if each.by_app} < set(signed_in)


def test_the_backends_own_mapping_has_all_that_a_night_asks(plan: Plan):
    backend = load_mapping(REFERENCE, "r", plan.evening.groups)
    assert set(plan.schedule.operations) <= backend.operations
    assert plan.schedule.due_ns[-1] < plan.schedule.seconds * SECOND + 1


def answer(status: int, body: dict[str, Any]) -> Reply:
    return Reply(status, {"content-type": "application/json"}, json.dumps(body).encode())
