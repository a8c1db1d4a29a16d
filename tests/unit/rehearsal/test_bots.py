"""Bots of every role: they do what people do, err as the night's model says, and leave nobody's work lying."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from simulation.rehearsal import bots
from simulation.rehearsal.checkin import CheckinSeat
from simulation.rehearsal.debrief import debrief
from simulation.rehearsal.desk import EntryDesk, OperatorDesk, ReviewDesk
from simulation.rehearsal.event import BOT, ROOM
from simulation.rehearsal.figures import differences, same
from simulation.rehearsal.headquarters import Report
from simulation.rehearsal.log import Log
from simulation.rehearsal.running import Rehearsal
from simulation.scenario import Scenario, load
from simulation.scenario.inject import ROLES
from tests.unit.rehearsal.rooms import HOUR, MINUTE, Wall, begun, joined, run, seen, small

PRECINCTS = 12
EVERY_ROLE = PRECINCTS + 4


@pytest.fixture(scope="module")
def scenario() -> Iterator[Scenario]:
    """Nobody has the app, every third chair errs, and tired operators mistype one number in twenty."""
    with tempfile.TemporaryDirectory() as folder:
        found = small(Path(folder), app__installed=0, chairs__arithmetic_errors=0.3, headquarters__keying__phone=0.05)
        _ = found.roster
        yield found


@pytest.fixture(scope="module")
def evening(scenario: Scenario, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rehearsal]:
    """Twelve chairs, and one bot at everything else; no person, and no simulated operator."""
    found, wall = played(tmp_path_factory.mktemp("bots"), scenario, 60)
    assert wall.ms
    yield found
    found.close()


def played(folder: Path, scenario: Scenario, speed: float) -> tuple[Rehearsal, Wall]:
    wall = Wall()
    rehearsal = begun(folder, wall, scenario, bots=EVERY_ROLE, minutes=20)
    rehearsal.do("hotline", ROOM, {"simulated": False})
    run(rehearsal, wall, 25 * HOUR, speed)
    return rehearsal, wall


def desk(rehearsal: Rehearsal, seat: str) -> Any:
    return rehearsal.room.seats[seat].doing


def test_bots_take_chairs_first_and_then_one_seat_of_each_role(evening: Rehearsal, tmp_path: Path) -> None:
    assert [seat.role for seat in evening.room.seats.values()] == ["chair"] * PRECINCTS + list(ROLES[1:])
    few = begun(tmp_path, Wall(), evening.scenario, bots=3)
    assert list(few.room.seats) == ["chair-1", "chair-2", "chair-3"]
    few.close()


def test_every_role_does_its_work_to_the_end_without_a_human(evening: Rehearsal) -> None:
    room = evening.room
    assert room.failures == []
    assert all(room.is_done(seat) for seat in room.seats.values() if seat.precinct is not None)
    assert {seat.actors for seat in room.seats.values()} == {(BOT,)}
    lead, operator, clerk, reviewer = (desk(evening, f"{role}-1") for role in ROLES[1:])
    assert isinstance(lead, CheckinSeat)
    assert lead.handed_over is not None
    assert len(lead.answers) == len(lead.precinct.at_check_in) + 1
    assert isinstance(operator, OperatorDesk)
    assert {one.seat for one in operator.work if one.seat} == {f"chair-{i}" for i in range(1, PRECINCTS + 1)}
    assert isinstance(clerk, EntryDesk)
    reports = room.headquarters.reports
    assert {one.clerk for one in reports} == {"entry-1"}
    assert isinstance(reviewer, ReviewDesk)
    assert reviewer.work
    newest = [room.headquarters.last_of(f"chair-{i}") for i in range(1, PRECINCTS + 1)]
    assert {one.state for one in newest if one is not None} == {"released"}
    assert None not in newest


def test_operators_and_clerks_mistype_and_each_other_find_it(evening: Rehearsal) -> None:
    """What is mistyped on the telephone is found by the second entry, and the worksheet's numbers are released."""
    reports = evening.room.headquarters.reports
    assert any(one.differs or "keying" in one.caught for one in reports)
    assert any(mistake.kind == "keying" for mistake in desk(evening, "operator-1").mistakes)
    wrong = [one for one in reports if one.state == "released" and not same(one.typed or one.said, one.said)]
    assert not wrong


def test_a_chair_whose_numbers_break_a_rule_is_called_back_by_a_reviewing_bot(evening: Rehearsal) -> None:
    returned = [one for one in evening.room.headquarters.reports if one.called_back]
    assert {one.reviewer for one in returned} == {"reviewer-1"}
    for one in returned:
        chair = desk(evening, one.seat)
        assert not differences(chair.worksheet, chair.precinct.figures, chair.precinct.groups)


def test_the_same_night_has_the_same_bots(evening: Rehearsal, scenario: Scenario, tmp_path: Path) -> None:
    """However fast the clock runs, and however often somebody looks."""
    again, _ = played(tmp_path, scenario, 23)
    acts = [
        [(event.seat, event.at_ms, dict(event.data)) for event in one.events if event.kind == "acted"]
        for one in (evening, again)
    ]
    assert acts[0] == acts[1]
    assert len(acts[0]) > 300
    again.close()


def test_a_restart_and_a_branch_have_the_bots_where_they_were(scenario: Scenario, tmp_path: Path) -> None:
    """In the middle of calls, forms and reviews; the fold of the log is the live room, and the bots go on."""
    wall = Wall()
    rehearsal = begun(tmp_path, wall, scenario, bots=EVERY_ROLE, minutes=20)
    run(rehearsal, wall, 20 * HOUR + 40 * MINUTE)
    while not rehearsal.room.hotline.line.talking:
        run(rehearsal, wall, rehearsal.room.now_ms + MINUTE)
    before = seen(rehearsal.room)
    folded = rehearsal.replay()
    for event in rehearsal.events:
        folded.apply(event)
    folded.advance(rehearsal.room.now_ms)
    assert seen(folded) == before
    branch = rehearsal.branch(len(rehearsal.events), tmp_path / "branch.sqlite")
    assert branch.room.hotline.line.talking.keys() == rehearsal.room.hotline.line.talking.keys()
    rehearsal.log.close()  # as a killed server leaves it
    again = Rehearsal(Log(tmp_path / "log.sqlite"), now=wall)
    for one in (branch, again):
        run(one, wall, 25 * HOUR)
        assert one.room.failures == []
        assert all(one.room.is_done(seat) for seat in one.room.seats.values() if seat.precinct is not None)
        one.close()


def test_a_bot_goes_on_with_the_call_of_whoever_had_to_go(scenario: Scenario, tmp_path: Path) -> None:
    wall = Wall()
    rehearsal = begun(tmp_path, wall, scenario)
    seat = joined(rehearsal, "Ann", "operator").seat
    run(rehearsal, wall, 19 * HOUR)
    rehearsal.do("acted", seat, {"action": "ready", "fields": {}})
    line = rehearsal.room.hotline.line
    while seat not in line.talking:
        run(rehearsal, wall, rehearsal.room.now_ms + MINUTE)
    call = line.talking[seat]
    assert rehearsal.do("bot", seat, {"on": True}) is None
    assert line.talking[seat] is call
    run(rehearsal, wall, rehearsal.room.now_ms + 2 * HOUR)
    assert call.ended >= 0
    assert rehearsal.do("bot", seat, {"on": False}) is None
    assert seat not in line.people
    found = debrief(rehearsal.room, rehearsal.events)
    assert found.observed.typed_fields == 0, "what bots type is nobody's"
    rehearsal.close()


def test_a_person_takes_the_seat_of_a_bot_at_a_desk(scenario: Scenario, tmp_path: Path) -> None:
    wall = Wall()
    rehearsal = begun(tmp_path, wall, scenario, bots=EVERY_ROLE)
    ann = joined(rehearsal, "Ann", "reviewer")
    assert ann.seat == "reviewer-1"
    run(rehearsal, wall, 25 * HOUR)
    assert rehearsal.room.seats[ann.seat].did == {}
    waiting = rehearsal.room.headquarters.waiting("in review")
    assert waiting
    assert rehearsal.do("left", ann.seat, {}) is None
    run(rehearsal, wall, 30 * HOUR)
    assert rehearsal.room.headquarters.waiting("in review") == []
    rehearsal.close()


def test_two_reviewers_never_hold_the_same_report(scenario: Scenario, tmp_path: Path) -> None:
    wall = Wall()
    rehearsal = begun(tmp_path, wall, scenario, bots=PRECINCTS)
    seats = [joined(rehearsal, name, "reviewer").seat for name in ("Ann", "Bob")]
    run(rehearsal, wall, 25 * HOUR)
    first, second = (desk(rehearsal, seat) for seat in seats)
    assert 0 < first.number < second.number
    assert rehearsal.do("left", seats[0], {}) is None
    assert first.number == 0
    rehearsal.close()


def test_overlooking_and_wrong_advice_have_a_rate(scenario: Scenario, tmp_path: Path, monkeypatch: Any) -> None:
    """A reviewer who overlooks everything lets everything through; one who overlooks nothing, nothing."""
    for rate, fine in ((1, False), (1_000_000_007, True)):
        monkeypatch.setattr(bots, "OVERLOOKED", rate)
        rehearsal, _ = played(tmp_path / str(rate), scenario, 60)
        reviewer = desk(rehearsal, "reviewer-1")
        assert bool(reviewer.work)
        assert (not reviewer.mistakes) == fine
        reports: list[Report] = rehearsal.room.headquarters.reports
        assert any(one.called_back for one in reports) == fine
        rehearsal.close()


@pytest.mark.parametrize("role", ["operator", "entry", "reviewer", "checkin"])
def test_homework_in_every_role_has_work_and_an_end(scenario: Scenario, tmp_path: Path, role: str) -> None:
    """Alone at a desk the evening begins later, with reports of bots, and ends after the planned minutes."""
    wall = Wall()
    rehearsal = begun(tmp_path, wall, scenario, solo=True, minutes=20)
    ann = joined(rehearsal, "Ann", role)
    rehearsal.tick(60_000)
    assert (rehearsal.room.now_ms >= 20 * HOUR + 30 * MINUTE) == (role != "checkin")
    steps = set()
    while rehearsal.room.now_ms < 23 * HOUR and not rehearsal.room.ended:
        wall.ms += 5_000
        rehearsal.tick(60_000)
        step = rehearsal.view(ann.seat).steps[0]
        steps.add(step.id.partition("#")[0])
        if any(button.action == "ready" for button in step.buttons):
            rehearsal.do("acted", ann.seat, {"action": "ready", "fields": {}})
    assert steps - {"desk:free"}
    assert rehearsal.room.ended == (role != "checkin"), "at the door it ends with the number handed over"
    rehearsal.close()


def test_after_a_secret_ballot_an_operator_types_votes_and_nothing_is_held_against_him(tmp_path: Path) -> None:
    wall = Wall()
    night = load("gop-straw-poll-2012", {"headquarters.keying.phone": 0})
    rehearsal = begun(tmp_path, wall, night, bots=2)
    operator = joined(rehearsal, "Ann", "operator").seat
    rehearsal.do("bot", operator, {"on": True})
    run(rehearsal, wall, 21 * HOUR)
    assert sum(one.fields for one in desk(rehearsal, operator).work) > 0
    assert [one for one in desk(rehearsal, operator).mistakes if one.kind == "keying"] == []
    rehearsal.close()
