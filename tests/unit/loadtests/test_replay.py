"""A night's very requests: at their times, as the people of the night mean them, held against the simulation."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from loadtests.accounts import Account, Accounts
from loadtests.contract import Reply, Request, Session
from loadtests.generator.processes import Source
from loadtests.target.guards import Target, identification
from loadtests.target.mapping import REFERENCE, load_mapping
from loadtests.traffic import replay as replaying
from loadtests.traffic.evening import Trouble
from loadtests.traffic.preparing import Preparation
from loadtests.traffic.replay import (
    RETRIES,
    Kit,
    Plan,
    check_rate,
    kit,
    of_those_signed_in,
    play,
    replayed,
    retries_at,
    sign_everybody_in,
    source,
)
from loadtests.trial import Trial
from loadtests.workload import SECOND, Schedule
from simulation.errors import InputError
from tests.unit.loadtests.load_runs import NIGHT_OPERATIONS, answered, night_plan

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


def asked(ours: Source, row: int) -> Request:
    """The request of a row, whose turn has come."""
    request = ours.requests(row)
    assert request is not None
    return request


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
        request = asked(ours, row)
        assert request.path == f"/v1/reports/{each.site.code}/open"
        assert request.headers["Authorization"] == f"Bearer t-{each.site.code}"
        assert request.body is not None
        assert json.loads(request.body)["attendees"] == each.worksheet.attendees


def test_a_result_is_keyed_twice_by_two_people(plan: Plan, given: Kit):
    ours = source(plan.schedule, HERE, **given.as_arguments())
    who: dict[int, list[str]] = {}
    for row in rows_of(plan, "clerk"):
        who.setdefault(int(plan.schedule.subject[row]), []).append(asked(ours, row).headers["Authorization"])
        assert ours.finished is not None
        assert ours.finished(row) is None
    assert who
    assert all(len(set(two)) == 2 for two in who.values() if len(two) == 2)


def test_a_mistyped_pin_must_be_refused_and_the_right_one_opens_a_session(plan: Plan, given: Kit):
    ours = source(plan.schedule, HERE, **given.as_arguments())
    assert ours.judge is not None
    for row in rows_of(plan, "login"):
        each = plan.evening.sites[plan.schedule.subject[row]]
        at = round(float(plan.clock_ms(plan.schedule.due_ns[row])))
        is_wrong = any(one.at_ms == at and one.trouble == Trouble.WRONG_PIN for one in each.failures)
        request = asked(ours, row)
        assert request.body is not None
        assert (json.loads(request.body)["pin"] == "123456") is not is_wrong
        let_in = ours.judge(row, answer(200, {"token": "new"}))
        assert let_in == ("a wrong PIN was let in" if is_wrong else "")
        if not is_wrong:
            later = [k for k in rows_of(plan, "report.final") if plan.schedule.subject[k] == each.number]
            assert all(asked(ours, k).headers["Authorization"] == "Bearer new" for k in later)


def mistyping(plan: Plan, given: Kit) -> tuple[Source, int]:
    """Somebody mistypes the PIN at the log-in of a row."""
    row = rows_of(plan, "login")[0]
    number = int(plan.schedule.subject[row])
    told = given.as_arguments()
    at_ms = round(float(plan.clock_ms(plan.schedule.due_ns[row])))
    told["kit"]["sites"][number] = {**given.sites[number], "mistyped_at_ms": [at_ms]}
    return source(plan.schedule, HERE, **told), row


@pytest.mark.parametrize(
    ("status", "is_right"), [(401, True), (403, True), (429, True), (500, False), (502, False), (503, False)]
)
def test_a_mistyped_pin_is_refused_and_what_is_broken_has_refused_nobody(
    plan: Plan, given: Kit, status: int, is_right: bool
):
    ours, row = mistyping(plan, given)
    assert ours.judge is not None
    asked(ours, row)
    said = ours.judge(row, answer(status, {}))
    assert said == "" if is_right else said.startswith(f"login: HTTP {status}")


def test_a_night_tells_how_often_a_wrong_pin_was_let_in(plan: Plan, given: Kit):
    ours, row = mistyping(plan, given)
    assert ours.judge is not None
    asked(ours, row)
    said = ours.judge(row, answer(200, {"token": "new"}))
    trial = answered(plan.schedule, 0.01)
    assert replayed(plan, trial).wrong_pins_let_in == 0
    found = replace(trial, sample=replace(trial.sample, problems={said: 2, "login: HTTP 500": 3}))
    assert replayed(plan, found).wrong_pins_let_in == 2


def miscounted(plan: Plan, given: Kit, row: int) -> dict[str, Any]:
    """The kit of a night in which the worksheet of a row's site is wrong."""
    number = int(plan.schedule.subject[row])
    told = given.as_arguments()
    people, first, final, delegates = given.sites[number]["worksheet"]
    told["kit"]["sites"][number] = {**given.sites[number], "true": [people, first, final[::-1], delegates]}
    return told


def test_where_nobody_adds_up_again_figures_are_right_at_once(plan: Plan, given: Kit):
    row = rows_of(plan, "report.final")[0]
    told = miscounted(plan, given, row)
    counts = {}
    for again in (True, False):
        told["kit"]["adds_up_again"] = again
        ours = source(plan.schedule, HERE, **told)
        counts[again] = list(json.loads(asked(ours, row).body or b"{}")["counts"].values())
    assert counts[True] == counts[False][::-1] != counts[False]


def test_figures_that_are_refused_are_added_up_again_and_all_else_is_sent_as_it_was(plan: Plan, given: Kit):
    row = rows_of(plan, "report.final")[0]
    ours = source(plan.schedule, HERE, **miscounted(plan, given, row))
    assert ours.judge is not None
    once = asked(ours, row)
    assert ours.judge(row, answer(503, {})).startswith("report.final: HTTP 503")
    again = asked(ours, row)
    assert (again.body, again.headers["Idempotency-Key"]) == (once.body, once.headers["Idempotency-Key"])
    assert ours.judge(row, answer(409, {"errors": []})) == "report.final: refused (HTTP 409)"
    anew = asked(ours, row)
    assert anew.body != once.body
    assert anew.headers["Idempotency-Key"] != once.headers["Idempotency-Key"]


def test_nobody_sends_the_photo_of_a_result_that_is_being_added_up_again(plan: Plan, given: Kit):
    final = rows_of(plan, "report.final")[0]
    site = plan.schedule.subject[final]
    photo = next(row for row in rows_of(plan, "photo") if plan.schedule.subject[row] == site)
    elsewhere = next(row for row in rows_of(plan, "report.final") if plan.schedule.subject[row] != site)
    ours = source(plan.schedule, HERE, **miscounted(plan, given, final))
    assert ours.judge is not None
    assert ours.finished is not None
    asked(ours, final)
    assert ours.requests(photo) is None
    asked(ours, elsewhere)
    assert ours.judge(final, answer(409, {"errors": []}))
    asked(ours, final)
    assert ours.requests(rows_of(plan, "results")[0]) is not None, "readers wait for nobody"
    assert ours.finished(elsewhere) is None
    assert ours.finished(final) == photo
    assert asked(ours, photo).path.endswith("/photo")
    assert ours.finished(photo) is None


def test_what_was_acknowledged_is_in_the_ledger(plan: Plan, given: Kit, tmp_path: Path):
    from loadtests.ledger import merge

    ours = source(plan.schedule, HERE, **given.as_arguments())
    assert ours.judge is not None
    rows = rows_of(plan, "report.open")
    for row in rows:
        asked(ours, row)
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
    assert not asked(ours, first).headers.get("If-None-Match")
    ours.judge(first, Reply(200, {"etag": '"7"'}, b"{}"))
    assert asked(ours, second).headers["If-None-Match"] == '"7"'
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


@pytest.fixture
def order(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What generators are told, which start nothing."""
    order: dict[str, Any] = {"limits": {}}

    class Told:
        """Generators that start nothing."""

        def __init__(self, _source: str, _target: Target, arguments: Mapping[str, Any], **more: Any) -> None:
            order.update(arguments, headers=more["headers"])
            self.order = order

        def __enter__(self) -> Told:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def trial(self, schedule: Schedule, objective_s: float | None, **_: object) -> Trial:
            return replace(answered(schedule, 0.01), objective_s=objective_s)

    monkeypatch.setattr("loadtests.traffic.replay.Generators", Told)
    return order


def test_the_generator_is_told_how_often_to_try_again_and_what_is_late(plan: Plan, given: Kit, order: dict[str, Any]):
    found = play(plan, HERE, given, retries=0, objective_s=0.15)
    assert (order["limits"], found.trial.objective_s) == ({"retries": 0}, 0.15)


def test_every_request_says_who_sends_it_also_those_of_a_class_that_does_not(
    plan: Plan, given: Kit, order: dict[str, Any]
):
    play(plan, AFAR, given, retries=0)
    assert order["headers"] == identification("r")


def test_a_target_that_gets_nothing_again_gets_no_figures_that_it_has_to_refuse(
    plan: Plan, given: Kit, order: dict[str, Any]
):
    for target in (HERE, AFAR):
        play(plan, target, given, retries=retries_at(target))
        assert order["kit"]["adds_up_again"] is (target is HERE)


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


def test_what_nobody_is_signed_in_for_is_left_out_and_told(plan: Plan):
    accounts, sessions = people(plan)
    absent, refused, *others = [each for each in plan.evening.sites if each.by_app]
    some = replace(accounts, chairs={code: one for code, one in accounts.chairs.items() if code != absent.site.code})
    backend = load_mapping(REFERENCE, "r", plan.evening.groups)

    def sign_in(who: Sequence[Account], _kind: str) -> dict[str, Session]:
        return {one.user: sessions[one.user] for one in who if one.user != refused.site.code}

    here = SimpleNamespace(backend=backend, signed_in=sign_in)
    signed_in = sign_everybody_in(cast(Preparation, here), plan, some)
    assert {each.site.code for each in others} < signed_in.keys() < sessions.keys()

    fewer, notice = of_those_signed_in(plan, backend, some, signed_in)
    gone = {absent.number, refused.number}
    stays = [number for number, whose in enumerate(plan.schedule.subject.tolist()) if whose not in gone]
    assert fewer.schedule.subject.tolist() == plan.schedule.subject[stays].tolist()
    assert fewer.schedule.due_ns.tolist() == plan.schedule.due_ns[stays].tolist()
    assert fewer.schedule.index.tolist() == list(range(len(stays)))
    assert set(np.flatnonzero(~fewer.takes_part).tolist()) == gone
    theirs = np.isin(
        plan.schedule.operation, [NIGHT_OPERATIONS.index(name) for name in ("clerk", "results")], invert=True
    )
    online = len(set(plan.schedule.subject[theirs].tolist()))
    assert f" 2 of {online} sites whose chairs turn to the backend" in notice
    assert f"such as {absent.site.code}, {refused.site.code}: " in notice
    assert f"{len(plan.schedule) - len(stays)} of {len(plan.schedule)} requests are left out" in notice

    assert of_those_signed_in(plan, backend, accounts, sessions) == (plan, "")
    with pytest.raises(InputError, match="nobody in it has anything to send"):
        of_those_signed_in(only(plan, "login"), backend, Accounts.none(), {})


def only(plan: Plan, *operations: str) -> Plan:
    return replace(plan, schedule=plan.schedule.of(*operations))


def test_results_cannot_be_keyed_by_one_alone(plan: Plan):
    accounts, sessions = people(plan)
    backend = load_mapping(REFERENCE, "r", plan.evening.groups)
    left = {user: one for user, one in sessions.items() if user not in ("clerk-01", "clerk-02", "clerk-03")}
    here = SimpleNamespace(
        backend=backend, signed_in=lambda who, _: {one.user: left[one.user] for one in who if one.user in left}
    )
    with pytest.raises(InputError, match="1 of 4 clerks can sign in: every result is keyed by two"):
        sign_everybody_in(cast(Preparation, here), plan, accounts)


WITHOUT_LOG_IN = """
name = "open to all"
[clerk]
path = "/entries/{site.code}"
json = { people = "{attendees}", first = "{first}", final = "{final}", delegates = "{delegates}" }
"""


def test_where_nobody_signs_in_nobody_has_to_be_in_a_list(plan: Plan, tmp_path: Path):
    mapping = tmp_path / "theirs.toml"
    mapping.write_text(WITHOUT_LOG_IN, encoding="utf-8")
    backend = load_mapping(mapping, "r", plan.evening.groups)
    here = cast(Preparation, SimpleNamespace(backend=backend))
    assert sign_everybody_in(here, plan, Accounts.none()) == {}
    assert of_those_signed_in(plan, backend, Accounts.none(), {}) == (plan, "")
    told = kit(plan, Accounts.none(), {}, run_id="r", mapping=mapping, target_class=None, ledger=tmp_path / "ledger")
    ours = source(plan.schedule, HERE, **told.as_arguments())
    assert ours.finished is not None
    entries = []
    for row in rows_of(plan, "clerk"):
        entries.append(asked(ours, row))
        ours.finished(row)
    assert entries
    assert all(request.path.startswith("/entries/") for request in entries)


def test_what_is_due_by_a_time_before_the_first_request_is_nothing(plan: Plan):
    before_ms = plan.begins_at_ms - 3_600_000
    with pytest.raises(InputError, match=r"^--until [0-9:]+: nothing is due by then: .* is due at [0-9:]+$"):
        replaying.plan(plan.played, plan.evening, NIGHT_OPERATIONS, speed=600, until_ms=before_ms)
    with pytest.raises(InputError, match="the night asks nothing of such a backend"):
        replaying.plan(plan.played, plan.evening, (), speed=600, until_ms=before_ms)


def test_the_backends_own_mapping_has_all_that_a_night_asks(plan: Plan):
    backend = load_mapping(REFERENCE, "r", plan.evening.groups)
    assert set(plan.schedule.operations) <= backend.operations
    assert plan.schedule.due_ns[-1] < plan.schedule.seconds * SECOND + 1


def answer(status: int, body: dict[str, Any]) -> Reply:
    return Reply(status, {"content-type": "application/json"}, json.dumps(body).encode())
