"""Headquarters with people at it, and what a trainer throws at a room."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from simulation.errors import InputError
from simulation.night import play_night
from simulation.night.order import Call
from simulation.rehearsal.chair import ChairSeat
from simulation.rehearsal.clock import NightClock
from simulation.rehearsal.debrief import debrief
from simulation.rehearsal.desk import OperatorDesk
from simulation.rehearsal.event import ROOM, TRAINER, Event
from simulation.rehearsal.figures import figures_of
from simulation.rehearsal.injects import EFFECTS, catalog
from simulation.rehearsal.log import Log
from simulation.rehearsal.running import Rehearsal
from simulation.rehearsal.seat import CASES
from simulation.rehearsal.view import Step
from simulation.rehearsal.world import Figures
from simulation.scenario import Scenario, load
from simulation.scenario.inject import parse_condition
from tests.unit.rehearsal.rooms import HOUR, MINUTE, Wall, begun, joined, run, small


@pytest.fixture(scope="module")
def scenario() -> Iterator[Scenario]:
    with tempfile.TemporaryDirectory() as folder:
        found = small(Path(folder), app__installed=0, checkin__stations=20)
        _ = found.roster
        yield found


def step_of(rehearsal: Rehearsal, seat: str) -> Step:
    steps = rehearsal.trainer_steps() if seat == TRAINER else rehearsal.view(seat).steps
    return steps[0]


def press(rehearsal: Rehearsal, seat: str, action: str, **fields: str) -> None:
    """Press a button that is there."""
    offered = {
        button.action
        for step in (rehearsal.view(seat).steps if seat != TRAINER else rehearsal.trainer_steps())
        for button in step.buttons
    }
    assert action in offered, (action, offered)
    assert rehearsal.do("acted", seat, {"action": action, "fields": fields}) is None


def typed(rehearsal: Rehearsal, figures: Figures) -> dict[str, str]:
    """Figures in the fields of a desk."""
    found = {"attendees": str(figures.attendees)}
    for part, counts in (
        ("first", figures.first_alignment),
        ("final", figures.final),
        ("delegates", figures.delegates),
    ):
        for index, group in enumerate(rehearsal.room.setting.groups):
            if counts.get(group):
                found[f"{part}-{index}"] = str(counts[group])
    return found


def wait_for(rehearsal: Rehearsal, wall: Wall, there: Any, until_ms: int = 30 * HOUR) -> None:
    while not there():
        assert rehearsal.room.now_ms < until_ms, "it never came"
        wall.ms += 250
        rehearsal.tick(60_000)


def test_a_simulated_caller_reads_his_worksheet_number_by_number(tmp_path: Path, scenario: Scenario) -> None:
    """What the trainee types is what headquarters holds, and slips are counted."""
    wall = Wall()
    rehearsal = begun(tmp_path, wall, scenario)
    operator = joined(rehearsal, "Ann", "operator").seat
    run(rehearsal, wall, 19 * HOUR)
    press(rehearsal, operator, "ready")
    room, line = rehearsal.room, rehearsal.room.hotline.line

    def has_report() -> bool:
        call = line.talking.get(operator)
        if call is not None and (call.about is not Call.REPORT or call.silent):
            rehearsal.do("acted", operator, {"action": "helped", "fields": {"answer": "fallback"}})
            rehearsal.do("acted", operator, {"action": "hang_up", "fields": {}})
        return call is not None and call.about is Call.REPORT and not call.silent

    wait_for(rehearsal, wall, has_report)
    site = line.talking[operator].site
    said = [step_of(rehearsal, operator).story[-1].english()]
    while any(button.action == "next" for button in step_of(rehearsal, operator).buttons):
        press(rehearsal, operator, "next")
        said.append(step_of(rehearsal, operator).story[-1].english())
    worksheet = room.setting.worksheets[0][site]
    assert len(said) == 3 + int((worksheet > 0).sum())
    assert said[-1] == "“That is all.”"
    figures = figures_of(room.setting, worksheet, room.setting.rooms[site].counted)
    press(rehearsal, operator, "typed", **{**typed(rehearsal, figures), "attendees": "x"})
    assert "not a whole number" in step_of(rehearsal, operator).feedback[0].english()
    assert step_of(rehearsal, operator).fields[0].value == "x"
    wrong = dict(figures.final)
    group = next(iter(wrong))
    wrong[group] += 1
    slipped = Figures(figures.attendees, figures.first_alignment, wrong, figures.delegates)
    press(rehearsal, operator, "typed", **typed(rehearsal, slipped))
    rehearsal.room.hotline.run_to(rehearsal.room.now_ms + 1)
    held = room.hotline.rest.headquarters
    assert held.received_at[site] >= 0
    assert held.reported[site].sum() == worksheet.sum() + 1
    desk = room.seats[operator].doing
    assert isinstance(desk, OperatorDesk)
    assert [one.wrong for one in desk.work] == [1]
    assert [mistake.kind for mistake in desk.mistakes if mistake.kind == "keying"] == ["keying"]
    rehearsal.log.close()


def test_a_report_goes_from_a_person_by_way_of_people_to_the_public(tmp_path: Path, scenario: Scenario) -> None:
    """Chair, operator, clerk, reviewer: the operator hears what is said, a slip is found by the second entry."""
    wall = Wall()
    rehearsal = begun(tmp_path, wall, scenario)
    chair, operator, clerk, reviewer = (
        joined(rehearsal, name, role).seat
        for name, role in (("A", "chair"), ("B", "operator"), ("C", "entry"), ("D", "reviewer"))
    )
    room = rehearsal.room
    rehearsal.do("hotline", ROOM, {"simulated": False})
    run(rehearsal, wall, 19 * HOUR + MINUTE)
    precinct = room.seats[chair].precinct
    assert precinct is not None
    truth = Figures(precinct.attendance, precinct.first, precinct.final, precinct.award)
    press(rehearsal, operator, "ready")
    room.dial(chair)  # what the chair's page does with its button
    assert room.telephone(chair).state == "talking"
    assert "I have a result" in step_of(rehearsal, operator).story[-2].english()
    room.dictate(chair, truth)
    assert step_of(rehearsal, operator).tables
    group = next(one for one, count in truth.final.items() if count)
    slip = Figures(
        truth.attendees, truth.first_alignment, {**truth.final, group: truth.final[group] - 1}, truth.delegates
    )
    press(rehearsal, operator, "typed", **typed(rehearsal, slip))
    assert room.telephone(chair).state == "ended"
    assert room.telephone(chair).taken
    report = room.headquarters.reports[-1]
    assert (report.state, report.operator) == ("to key again", operator)
    press(rehearsal, clerk, "keyed", **typed(rehearsal, truth))
    assert (report.state, report.differs) == ("in review", True)
    press(rehearsal, reviewer, "second")
    assert report.state == "released"
    assert report.caught == ["keying"]
    assert report.typed is not None
    assert report.typed.final[group] == truth.final[group]
    rehearsal.log.close()


def test_the_trainer_takes_the_longest_waiting_call(tmp_path: Path, scenario: Scenario) -> None:
    wall = Wall()
    rehearsal = begun(tmp_path, wall, scenario)
    first, second = joined(rehearsal, "A").seat, joined(rehearsal, "B").seat
    rehearsal.do("hotline", ROOM, {"simulated": False})
    run(rehearsal, wall, 18 * HOUR + 55 * MINUTE)
    room = rehearsal.room
    room.dial(first)
    wall.ms += 1_000
    rehearsal.tick()
    room.dial(second)
    assert [room.telephone(seat).state for seat in (first, second)] == ["waiting", "waiting"]
    waiting = list(room.hotline.line.waiting.values())
    assert room.hotline.line.callers.get(waiting[0].entity) != second
    press(rehearsal, TRAINER, "ready")
    assert room.hotline.line.talking[TRAINER] is waiting[0]
    room.hang_up(first)
    room.hang_up(second)
    assert room.telephone(second).state == "ended"
    rehearsal.log.close()


def test_a_busy_tone_where_lines_are_taken(tmp_path: Path) -> None:
    wall = Wall()
    rehearsal = begun(tmp_path, wall, small(tmp_path, hotline__lines=1))
    seats = [joined(rehearsal, name).seat for name in "AB"]
    rehearsal.do("hotline", ROOM, {"simulated": False})
    run(rehearsal, wall, 18 * HOUR + 50 * MINUTE)
    for seat in seats:
        rehearsal.room.dial(seat)
    assert [rehearsal.room.telephone(seat).state for seat in seats][1] == "busy"
    rehearsal.log.close()


# Injects


def test_the_catalog_has_a_card_for_every_failure_that_history_showed() -> None:
    """26 of them, each whole; what a card does to a precinct, a seat there knows."""
    cards = catalog()
    assert len(cards) == len({card.id for card in cards}) == 26
    for card in cards:
        for text in (card.title, card.trigger, card.message, card.expected, card.objective, card.note, card.does):
            assert text.english(), card.id
    elsewhere = {"app_down", "app_hangs", "app_refuses", "app_loses", "app_works", "signal_lost"} | {
        *("nuisance_calls", "operators_locked_out", "wrong_correction", "count_mismatch")
    }
    assert set(EFFECTS) - elsewhere <= set(CASES)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("aligned >= 50%", ("aligned", ">=", 50)),
        ("When half have aligned", ("aligned", ">=", 50)),
        ("when two thirds have reported", ("reported", ">=", 67)),
        ("waiting>10", ("waiting", ">", 10)),
        ("signed < 12.5 %", ("signed", "<", 12.5)),
    ],
)
def test_conditions_are_read_as_they_are_said(text: str, found: tuple[str, str, float]) -> None:
    assert parse_condition(text) == found


@pytest.mark.parametrize(
    "text", ["", "half", "aligned >= 150%", "waiting >= 10%", "aligned >= 50", "fled > 3%", "when 3 have aligned"]
)
def test_other_conditions_are_explained(text: str) -> None:
    with pytest.raises(ValueError, match="aligned >= 50%"):
        parse_condition(text)


def injected(folder: Path, tables: str) -> Scenario:
    path = folder / "injects.toml"
    path.write_text(f'extends = "iowa-2020"\ntitle = "x"\nstory = "y"\n{tables}')
    roster = small(folder).roster_file
    return load(path, {"turnout.people": "none", "hotline.operators": 2}, roster)


def test_a_scenarios_injects_come_by_themselves(tmp_path: Path) -> None:
    """At their time, once their condition holds, once each; for a share of the room by lot."""
    night = injected(
        tmp_path,
        '[[inject]]\nat = "19:20"\nuses = "no-signal"\nshare = 0.5\n'
        '[[inject]]\nwhen = "when half have aligned"\ntitle = "News"\nmessage = "A reporter."\n',
    )
    wall = Wall()
    rehearsal = begun(tmp_path, wall, night, bots=4)
    run(rehearsal, wall, 19 * HOUR + 19 * MINUTE)
    assert not rehearsal.room.fired
    run(rehearsal, wall, 23 * HOUR)
    fired = {view.id: view.fired for view in rehearsal.room.deck() if view.fired}
    assert set(fired) == {"night-1", "night-2"}
    ((at, seats),) = fired["night-1"]
    assert at == 19 * HOUR + 20 * MINUTE
    assert len(seats) == 2
    assert len(fired["night-2"]) == 1
    notices = rehearsal.view(seats[0]).notices
    assert {notice.id for notice in notices} == {"night-1", "night-2"}
    assert all(notice.expected is None for notice in notices), "what should be done is told afterwards"
    rehearsal.do("ended", ROOM, {})
    assert rehearsal.view(seats[0]).notices[-1].expected is not None
    rehearsal.log.close()


def test_injects_act_on_the_app(tmp_path: Path) -> None:
    wall = Wall()
    rehearsal = begun(
        tmp_path, wall, small(tmp_path, app__installed=1, app__no_signal=0, app__login_fails=0, app__submit_fails=0)
    )
    seat, other = joined(rehearsal, "A").seat, joined(rehearsal, "B").seat
    run(rehearsal, wall, 18 * HOUR + 50 * MINUTE)
    room = rehearsal.room
    assert room.weather(seat) == "works"
    assert rehearsal.do("inject", ROOM, {"id": "no-signal", "seats": [seat]}) is None
    assert (room.weather(seat), room.weather(other)) == ("no signal", "works")
    run(rehearsal, wall, 20 * HOUR)
    assert room.weather(seat) == "works"
    precinct = room.seats[other].precinct
    assert precinct is not None
    assert room.log_in(other, precinct.pin).shown == "accepted"
    many = Figures(precinct.attendance, precinct.first, precinct.final, dict.fromkeys(precinct.groups, 9))
    assert room.submit(other, "final", many).shown == "refused"
    rehearsal.do("inject", ROOM, {"id": "app-loses-report", "seats": [other]})
    truth = Figures(precinct.attendance, precinct.first, precinct.final, precinct.award)
    sent = room.submit(other, "final", truth)
    assert (sent.shown, sent.arrived) == ("accepted", False)
    assert not room.headquarters.reports
    rehearsal.log.close()


def test_a_simulated_night_has_the_outages_and_calls_of_its_injects(tmp_path: Path) -> None:
    """As if they stood in [app] and [hotline]; everything else is for rehearsals alone."""
    night = injected(
        tmp_path,
        '[[inject]]\nat = "20:00"\ndoes = "app_down"\ndata = { minutes = 45 }\ntitle = "Down"\nmessage = "No answer."\n'
        '[[inject]]\nat = "20:00"\nuses = "number-leaked"\n[[inject]]\nat = "20:00"\nuses = "forms-run-out"\n',
    )
    assert [(one.start, one.end) for one in night.spec.app.outages] == [(20 * HOUR, 20 * HOUR + 45 * MINUTE)]
    assert [(one.start, one.end) for one in night.spec.hotline.nuisance][-1] == (20 * HOUR, 22 * HOUR)
    strangers = [call for call in play_night(night, 3, 0).played.each_call() if call.about == Call.NUISANCE]
    assert any(20 * HOUR <= call.dialed < 22 * HOUR for call in strangers)


def test_mistakes_in_injects_are_explained(tmp_path: Path) -> None:
    for table, said in (
        ('at = "19:20"\nwhen = "aligned >= 50%"\nuses = "no-signal"', "not both"),
        ('uses = "no-signals"', "no-signal"),
        ('title = "x"', "message"),
        ('uses = "no-signal"\nwhen = "later"', "aligned >= 50%"),
        ('uses = "no-signal"\ndata = { hours = 3 }', "minutes"),
    ):
        with pytest.raises(InputError, match=said):
            injected(tmp_path, f"[[inject]]\n{table}\n")


# The clock


def test_the_nights_clock() -> None:
    """Runs, stands, goes faster, jumps ahead; and an hour in which the server was dead does not count."""
    clock = NightClock(18 * HOUR, speed=3)
    assert clock.target_ms(10**12) == 18 * HOUR

    def told(wall_ms: int, at_ms: int, **data: object) -> None:
        clock.apply(Event(1, wall_ms, at_ms, "clock", ROOM, data))

    told(1_000, 18 * HOUR, do="run")
    assert clock.target_ms(61_000) == 18 * HOUR + 3 * MINUTE
    told(61_000, 18 * HOUR + 3 * MINUTE, do="speed", speed=600)
    assert clock.speed == 60
    assert clock.target_ms(62_000) == 18 * HOUR + 4 * MINUTE
    told(62_000, 18 * HOUR + 4 * MINUTE, do="pause")
    assert clock.target_ms(10**9) == 18 * HOUR + 4 * MINUTE
    told(70_000, 18 * HOUR + 4 * MINUTE, do="jump", to_ms=20 * HOUR)
    assert clock.target_ms(10**9) == 20 * HOUR
    told(80_000, 20 * HOUR, do="run")
    told(90_000 + HOUR, 20 * HOUR + 10 * MINUTE, do="resume", to_ms=20 * HOUR + 10 * MINUTE)
    assert clock.target_ms(91_000 + HOUR) == 20 * HOUR + 11 * MINUTE


def test_bots_come_back_and_correct_what_headquarters_returns(tmp_path: Path) -> None:
    """All chairs err tonight; the review calls each of them once."""
    wall = Wall()
    rehearsal = begun(tmp_path, wall, small(tmp_path, chairs__arithmetic_errors=1), bots=12)
    run(rehearsal, wall, 30 * HOUR)
    reports = rehearsal.room.headquarters.reports
    called = {one.seat for one in reports if one.called_back}
    assert called
    for seat in called:
        last = rehearsal.room.headquarters.last_of(seat)
        assert last is not None
        assert (last.state, last.codes, last.caught) == ("released", (), ["chair"])
        assert rehearsal.room.seats[seat].doing.signed == rehearsal.room.seats[seat].doing.precinct.figures  # type: ignore[attr-defined]  # a chair's
    assert all(rehearsal.room.is_done(seat) for seat in rehearsal.room.seats.values())
    rehearsal.close()


def test_an_error_of_the_program_is_logged_and_shown_once_and_the_evening_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def breaks(*_: object) -> None:
        raise RuntimeError("out of chalk")

    wall = Wall()
    rehearsal = begun(tmp_path, wall)
    ann = joined(rehearsal)
    monkeypatch.setattr(ChairSeat, "advance", breaks)
    run(rehearsal, wall, rehearsal.script.begins_ms + 2 * MINUTE)
    failed = [event for event in rehearsal.events if event.kind == "failed"]
    assert [(event.seat, event.data) for event in failed] == [(ann.seat, {"what": "RuntimeError: out of chalk"})]
    assert [one["what"] for one in debrief(rehearsal.room, rehearsal.events).as_json()["failures"]] == [
        "RuntimeError: out of chalk"
    ]
    assert "out of chalk" in caplog.text
    rehearsal.close()
    again = Rehearsal(Log(tmp_path / "log.sqlite"), now=wall)
    assert [event for event in again.events if event.kind == "failed"] == failed
    again.close()


def test_a_card_that_is_silent_tells_nobody(tmp_path: Path, scenario: Scenario) -> None:
    rehearsal = begun(tmp_path, Wall(), scenario)
    seat = joined(rehearsal).seat
    assert rehearsal.do("inject", ROOM, {"id": "app-loses-report"}) is None
    assert rehearsal.room.app._phone(seat).loses
    assert rehearsal.view(seat).notices == ()
    rehearsal.close()


def test_reports_go_on_when_those_who_check_them_leave(tmp_path: Path, scenario: Scenario) -> None:
    """Nobody keys it again, and a simulated reviewer looks at it."""
    wall = Wall()
    rehearsal = begun(tmp_path, wall, scenario)
    chair, clerk, reviewer = (
        joined(rehearsal, name, role).seat for name, role in (("A", "chair"), ("C", "entry"), ("D", "reviewer"))
    )
    room = rehearsal.room
    run(rehearsal, wall, 19 * HOUR + MINUTE)
    precinct = room.seats[chair].precinct
    assert precinct is not None
    truth = Figures(precinct.attendance, precinct.first, precinct.final, precinct.award)
    slip = Figures(precinct.attendance + 9, precinct.first, precinct.final, precinct.award)
    room.headquarters.by_operator(chair, precinct.site, truth, slip, "")
    report = room.headquarters.reports[-1]
    assert room.headquarters.waiting("to key again") == [report]
    rehearsal.do("left", clerk, {})
    assert room.headquarters.waiting("in review") == [report]
    rehearsal.do("left", reviewer, {})
    wait_for(rehearsal, wall, lambda: report.state in ("released", "returned"))
    assert report.typed == truth
    rehearsal.log.close()


def test_an_operator_may_save_and_pause_and_a_trainer_gets_no_call_unasked(tmp_path: Path, scenario: Scenario) -> None:
    wall = Wall()
    rehearsal = begun(tmp_path, wall, scenario)
    chair, operator = joined(rehearsal).seat, joined(rehearsal, "B", "operator").seat
    room = rehearsal.room
    rehearsal.do("hotline", ROOM, {"simulated": False})
    run(rehearsal, wall, 19 * HOUR + MINUTE)
    precinct = room.seats[chair].precinct
    assert precinct is not None
    truth = Figures(precinct.attendance, precinct.first, precinct.final, precinct.award)
    for desk, button in ((operator, "typed_pause"), (TRAINER, "typed")):
        press(rehearsal, desk, "ready")
        line = room.hotline.line
        while (call := line.talking.get(desk)) is not None and not line.callers.get(call.entity):
            press(rehearsal, desk, "hang_up" if call.about is not Call.CALLBACK else "helped")
            if desk == TRAINER:
                assert desk not in room.hotline.line.ready
                press(rehearsal, desk, "ready")
        room.dial(chair)
        wait_for(rehearsal, wall, lambda desk=desk: room.hotline.operator_of(chair) == desk)
        room.dictate(chair, truth)
        press(rehearsal, desk, button, **typed(rehearsal, truth))
        assert desk not in room.hotline.line.ready
        assert desk not in room.hotline.line.talking
    rehearsal.log.close()


def test_a_county_is_named_once(tmp_path: Path, scenario: Scenario) -> None:
    rehearsal = begun(tmp_path, Wall(), scenario)
    assert rehearsal.room.trainers_desk._precinct(0) == "Adair 1"
    rehearsal.close()
