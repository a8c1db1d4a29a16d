"""The room is the fold of its log: whatever people do, a restart comes to the same room, and nothing is lost."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulation.errors import InputError
from simulation.night import Luck, play_night
from simulation.night.setting import Setting
from simulation.rehearsal.event import ROOM, TRAINER
from simulation.rehearsal.hotline import PracticeHotline
from simulation.rehearsal.log import Log
from simulation.rehearsal.room import STAGES, Room
from simulation.rehearsal.running import CODE_LENGTH, CODE_LETTERS, Changes, Joined, Rehearsal
from simulation.rehearsal.view import Text
from simulation.scenario import Scenario
from tests.unit.rehearsal.rooms import HOUR, MINUTE, SECOND, Wall, begun, joined, run, seen, small

ORDER = [stage for stage, _ in STAGES]


@pytest.fixture(scope="module")
def scenario() -> Iterator[Scenario]:
    with tempfile.TemporaryDirectory() as folder:
        found = small(Path(folder))
        _ = found.roster
        yield found


@pytest.fixture(scope="module")
def the_night(scenario: Scenario) -> Callable[[], Scenario]:
    """The same for hypothesis, which prints what it is given in full."""
    return lambda: scenario


def folded(rehearsal: Rehearsal) -> Room:
    """The same room again, from its events alone."""
    room = rehearsal.replay()
    for event in rehearsal.events:
        room.apply(event)
    room.advance(rehearsal.room.now_ms)
    return room


SEATS = st.sampled_from(["chair-1", "chair-2", "operator-1", "entry-1", "reviewer-1", "checkin-1", TRAINER, "x"])
TEXTS = st.one_of(st.text(max_size=6), st.integers(0, 300).map(str))


@st.composite
def doings(draw: st.DrawFn) -> tuple[Any, ...]:
    """Something that somebody does, sensible or not."""
    what = draw(
        st.sampled_from(
            ["join", "press", "press", "press", "press", "act", "wait", "wait", "wait", "clock", "room", "people"]
        )
    )
    match what:
        case "join":
            return "join", draw(st.sampled_from(["chair", "chair", "operator", "entry", "reviewer", "checkin"]))
        case "press":  # a button that is there
            return "press", draw(st.integers(0, 7)), draw(st.integers(0, 9)), draw(TEXTS), draw(st.booleans())
        case "act":
            fields = draw(st.dictionaries(st.sampled_from(["answer", "n", "pin", "attendees"]), TEXTS, max_size=3))
            action = draw(st.one_of(st.text(max_size=8), st.sampled_from(["ready", "phone:dial", "typed", "insist"])))
            return "do", "acted", draw(SEATS), {"action": action, "fields": fields}
        case "wait":
            return "wait", draw(st.sampled_from([1, 40, 250, 1_000, 4_000]))
        case "clock":
            does = draw(st.sampled_from(["run", "run", "pause", "speed", "jump"]))
            to_ms = draw(st.integers(18 * HOUR, 20 * HOUR))
            return "do", "clock", ROOM, {"do": does, "speed": draw(st.integers(0, 90)), "to_ms": to_ms}
        case "room":
            return draw(
                st.sampled_from(
                    [
                        ("do", "hold", ROOM, {"stage": "viability"}),
                        ("do", "hold", ROOM, {"stage": ""}),
                        ("do", "aids", ROOM, {"aids": ["hints"]}),
                        ("do", "inject", ROOM, {"id": "no-trial-run", "share": 50}),
                        ("do", "inject", ROOM, {"id": "count-does-not-match"}),
                        ("do", "inject", ROOM, {"id": "number-leaked"}),
                        ("do", "inject", ROOM, {"id": "operators-locked-out"}),
                        ("do", "inject", ROOM, {"id": "keying-slip", "seats": ["chair-1"]}),
                        ("do", "hotline", ROOM, {"simulated": False}),
                        ("do", "hotline", ROOM, {"simulated": True}),
                    ]
                )
            )
        case _:
            seat = draw(SEATS)
            to = draw(st.sampled_from(["operator-1", "chair-3", "chair-1", "nowhere-1", "chair-99", "reviewer-2"]))
            return draw(
                st.sampled_from(
                    [
                        ("do", "hand", seat, {"raised": True}),
                        ("do", "connected", seat, {}),
                        ("do", "disconnected", seat, {}),
                        ("do", "left", seat, {}),
                        ("do", "reassigned", seat, {"to": to}),
                        ("do", "bot", seat, {"on": True}),
                        ("do", "bot", seat, {"on": False}),
                    ]
                )
            )


def play(rehearsal: Rehearsal, wall: Wall, doing: tuple[Any, ...], look: bool) -> None:
    room = rehearsal.room
    match doing:
        case "join", role:
            rehearsal.join(rehearsal.join_code, "Ann", role)
        case "wait", ms:
            wall.ms += ms
            rehearsal.tick(60_000)
        case "press", which, button, text, right:
            seats = [*room.seats]
            if not seats:
                return
            seat = seats[which % len(seats)]
            steps = room.seat_view(seat).steps
            buttons = [(step, one) for step in steps for one in step.buttons]
            if not buttons:
                return
            step, one = buttons[button % len(buttons)]
            fields = {
                field.name: field.options[len(text) % len(field.options)].value if field.options and right else text
                for field in step.fields
            }
            rehearsal.do("acted", seat, {"action": one.action, "fields": fields, "step": step.id})
        case _, kind, seat, data:
            rehearsal.do(kind, seat, data)
    if look:
        seen(room)


@settings(max_examples=20)
@given(st.lists(doings(), min_size=20, max_size=50), st.sampled_from([0, 1, 3, 16]))
def test_whatever_people_do_the_fold_of_the_log_is_the_live_room(
    the_night: Callable[[], Scenario], doing: list[tuple[Any, ...]], bots: int
) -> None:
    """Looking at pages in between changes nothing, and nothing that people do is an error of ours."""
    with tempfile.TemporaryDirectory() as folder:
        wall = Wall()
        rehearsal = begun(Path(folder), wall, the_night(), bots=bots)
        joined(rehearsal)
        rehearsal.do("clock", ROOM, {"do": "run"})
        for number, one in enumerate(doing):
            play(rehearsal, wall, one, look=number % 3 == 0)
        rehearsal.tick(60_000)  # where the last thing was a jump, it is played to its end
        expected = seen(rehearsal.room)
        assert expected["failures"] == []
        assert seen(folded(rehearsal)) == expected
        events = list(rehearsal.events)
        rehearsal.log.close()  # as a killed server leaves it
        again = Rehearsal(Log(Path(folder, "log.sqlite")), now=wall)
        assert again.events[: len(events)] == events
        again.tick(60_000)
        again.log.close()
        if not rehearsal.room.ended:
            assert {name: one.doing.stage for name, one in again.room.seats.items()} == {
                name: one.doing.stage for name, one in rehearsal.room.seats.items()
            }


def test_without_anybody_in_the_room_the_hotline_is_the_models(scenario: Scenario) -> None:
    """Stepped at odd moments: every call, its hold, its order and what headquarters holds are the model's."""
    luck = Luck(3, 0, scenario.spec.clock.resolution)
    hotline = PracticeHotline(Setting(scenario, luck))
    at, steps = 0, np.random.default_rng(1).integers(1, 40 * MINUTE, 100_000).tolist()
    for step in steps:
        at += step
        if at >= hotline.setting.until:
            break
        hotline.run_to(at)
    hotline.run_to(hotline.setting.until)
    played = play_night(scenario, 3, 0, engine="simpy").played
    calls = [(c.about, c.site, c.dialed, c.answered, c.ended, c.outcome) for c in hotline.line.calls]
    assert calls == [(c.about, c.site, c.dialed, c.answered, c.ended, c.outcome) for c in played.each_call()]
    assert len(calls) > 5
    assert any(c.answered > c.dialed for c in hotline.line.calls), "nobody was ever on hold"
    held = hotline.rest.headquarters
    assert held.received_at.tolist() == played.received_at.tolist()
    assert held.cleared_at.tolist() == played.cleared_at.tolist()
    assert (held.reported == played.reported).all()


def test_seats_in_the_room_leave_the_others_queue_as_it_was(tmp_path: Path, scenario: Scenario) -> None:
    """A person's precinct is taken out of the simulated rest: its chair does not report, everybody else does."""
    wall = Wall()
    rehearsal = begun(tmp_path, wall, scenario)
    place = joined(rehearsal)
    run(rehearsal, wall, 25 * HOUR)
    room = rehearsal.room
    precinct = room.seats[place.seat].precinct
    assert precinct is not None
    received = room.hotline.rest.headquarters.received_at
    assert received[precinct.site] == -1
    assert (received >= 0).sum() >= 8
    rehearsal.close()


def test_a_killed_server_loses_nothing_and_its_dead_time_does_not_count(tmp_path: Path, scenario: Scenario) -> None:
    wall = Wall()
    rehearsal = begun(tmp_path, wall, scenario, bots=3)
    ann, bob = joined(rehearsal, "Ann"), joined(rehearsal, "Bob", "operator")
    run(rehearsal, wall, 20 * HOUR)
    before, events = seen(rehearsal.room), len(rehearsal.events)
    rehearsal.log.close()  # no farewell
    wall.ms += 10 * HOUR
    again = Rehearsal(Log(tmp_path / "log.sqlite"), now=wall)
    again.tick(60_000)
    assert len(again.events) >= events + 1
    assert abs(again.room.now_ms - before["now"]) <= 60 * SECOND  # a second since the last sign of life, x60
    assert again.seat_of(ann.token) == ann.seat
    assert again.seat_of(bob.token) == bob.seat
    assert again.join_code == rehearsal.join_code
    assert again.trainer_token == rehearsal.trainer_token
    assert [row.name for row in again.attendance()] == ["Ann", "Bob"]
    for name, view in before["views"].items():
        assert again.view(name).steps[0].id == view.steps[0].id, name
    again.close()


def test_one_file_is_served_once(tmp_path: Path, scenario: Scenario) -> None:
    rehearsal = begun(tmp_path, Wall(), scenario)
    with pytest.raises(InputError, match="another server"):
        Rehearsal(Log(tmp_path / "log.sqlite"))
    rehearsal.close()
    Rehearsal(Log(tmp_path / "log.sqlite")).close()


def test_a_server_that_is_refused_leaves_the_other_ones_journal_alone(tmp_path: Path, scenario: Scenario) -> None:
    rehearsal = begun(tmp_path, Wall(), scenario)  # nobody is named: a journal could be emptied
    assert rehearsal.do("clock", ROOM, {"do": "run"}) is None
    before = (tmp_path / "log.sqlite-wal").read_bytes()
    assert before
    log = Log(tmp_path / "log.sqlite")
    with pytest.raises(InputError, match="another server"):
        log.hold()
    log.close()
    assert (tmp_path / "log.sqlite-wal").read_bytes() == before
    rehearsal.close()


def test_a_log_is_let_go_of_even_where_it_cannot_be_cleaned(
    tmp_path: Path, scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: Log) -> None:
        raise OSError("no space left")

    rehearsal = begun(tmp_path, Wall(), scenario)
    with monkeypatch.context() as broken:
        broken.setattr(Log, "_wipe", full)
        with pytest.raises(OSError, match="no space"):
            rehearsal.log.close()
    Rehearsal(Log(tmp_path / "log.sqlite")).close()


def test_an_action_sent_twice_happens_once(tmp_path: Path, scenario: Scenario) -> None:
    """A phone that was offline sends again what it had sent; a server that was restarted knows it too."""
    wall = Wall()
    rehearsal = begun(tmp_path, wall, scenario)
    place = joined(rehearsal)
    rehearsal.do("clock", ROOM, {"do": "run"})
    act = {"action": "close_early", "fields": {}}
    assert rehearsal.do("acted", place.seat, act, "k1") is None
    count = len(rehearsal.events)
    assert rehearsal.do("acted", place.seat, act, "k1") is None
    assert len(rehearsal.events) == count
    rehearsal.close()
    again = Rehearsal(Log(tmp_path / "log.sqlite"), now=wall)
    count = len(again.events)
    assert again.do("acted", place.seat, act, "k1") is None
    assert len(again.events) == count
    again.close()


def test_names_stand_in_one_place_and_can_be_deleted(tmp_path: Path, scenario: Scenario) -> None:
    """Events name seats; after the names are deleted nothing in the file knows them."""
    rehearsal = begun(tmp_path, Wall(), scenario)
    joined(rehearsal, "Zebulon Quartermain")
    assert all("Zebulon" not in str(event) for event in rehearsal.events)
    assert rehearsal.board()[0].name == "Zebulon Quartermain"
    rehearsal.delete_names()
    assert rehearsal.board()[0].name == ""
    rehearsal.close()
    assert all(b"Zebulon" not in path.read_bytes() for path in tmp_path.glob("log.sqlite*"))


def test_while_another_program_reads_the_log_deleted_names_are_said_to_lie_there(
    tmp_path: Path, scenario: Scenario
) -> None:
    """What was written before lies in the file's journal as long as somebody reads it; then the server is rid of it."""

    def lie_there() -> bool:
        return any(b"Zebulon" in path.read_bytes() for path in tmp_path.glob("log.sqlite*"))

    wall = Wall()
    rehearsal = begun(tmp_path, wall, scenario)
    joined(rehearsal, "Zebulon Quartermain")
    reader = sqlite3.connect(tmp_path / "log.sqlite", isolation_level=None)
    reader.execute("BEGIN")
    assert reader.execute("SELECT name FROM people").fetchall() == [("Zebulon Quartermain",)]
    told = rehearsal.delete_names()
    assert told is not None
    assert "may still lie" in told.english()
    assert lie_there()
    rehearsal.log.close()  # as a server that ends meanwhile
    again = Rehearsal(Log(tmp_path / "log.sqlite"), now=wall)
    assert again.log.names_left
    reader.close()
    wall.ms += 1_500
    again.tick()
    assert again.names_left is None
    assert not lie_there()
    again.close()


def test_what_is_sent_late_does_not_count_for_the_step_that_came_since(tmp_path: Path, scenario: Scenario) -> None:
    rehearsal = begun(tmp_path, Wall(), scenario)
    seat = joined(rehearsal).seat
    rehearsal.do("clock", ROOM, {"do": "run"})
    step = rehearsal.view(seat).steps[0]
    action = step.buttons[0].action
    assert rehearsal.do("acted", seat, {"action": action, "fields": {}, "step": step.id}, "k1") is None
    count = len(rehearsal.events)
    for late in ({"action": action, "step": "of another time"}, {"action": "gone", "step": step.id}):
        refused = rehearsal.do("acted", seat, {**late, "fields": {}})
        assert refused is not None
        assert "over by now" in refused.english()
    assert len(rehearsal.events) == count
    assert rehearsal.has_done(seat, "k1")
    assert not rehearsal.has_done("chair-2", "k1")
    rehearsal.close()


def test_the_way_in(tmp_path: Path, scenario: Scenario) -> None:
    """The code is unguessable, read easily, and typed carelessly; a token reaches one person's seat, wherever it is."""
    rehearsal = begun(tmp_path, Wall(), scenario)
    code = rehearsal.join_code
    assert len(code) == CODE_LENGTH >= 6
    assert set(code) <= set(CODE_LETTERS)
    assert not set("IL1O0") & set(CODE_LETTERS)
    assert isinstance(rehearsal.join("AAAAAA", "Ann"), Text)
    assert isinstance(rehearsal.join(code, " \n "), Text)
    ann = rehearsal.join(f" {code[:3]} {code[3:].lower()}", "Ann")
    assert isinstance(ann, Joined)
    bob = joined(rehearsal, "Bob")
    assert ann.token != bob.token
    assert len(ann.token) >= 32
    assert rehearsal.do("reassigned", ann.seat, {"to": "operator-1"}) is None
    assert rehearsal.seat_of(ann.token) == "operator-1"
    assert rehearsal.seat_of(bob.token) == bob.seat
    assert rehearsal.do("left", "operator-1", {}) is None
    assert rehearsal.seat_of(ann.token) is None
    assert rehearsal.seat_of("") is None
    assert not rehearsal.is_trainer(ann.token)
    assert rehearsal.is_trainer(rehearsal.trainer_token)
    assert not rehearsal.is_projector(rehearsal.trainer_token)
    rehearsal.close()


def test_late_joiners_take_a_bots_seat_or_catch_up(tmp_path: Path, scenario: Scenario) -> None:
    wall = Wall()
    rehearsal = begun(tmp_path, wall, scenario, bots=2)
    run(rehearsal, wall, 19 * HOUR + 25 * MINUTE)
    room = rehearsal.room
    before = {name: ORDER.index(seat.stage) for name, seat in room.seats.items()}
    assert min(before.values()) > 0
    first, second, third = (joined(rehearsal, name) for name in ("Ann", "Bob", "Cy"))
    assert {first.seat, second.seat} == {"chair-1", "chair-2"}
    assert before[first.seat] <= before[second.seat]
    reached = max(before.values())
    assert [ORDER.index(room.seats[one.seat].stage) for one in (first, second, third)] == [reached] * 3
    rehearsal.close()


def test_nobody_is_given_a_seat_whose_evening_is_over(tmp_path: Path, scenario: Scenario) -> None:
    wall = Wall()
    rehearsal = begun(tmp_path, wall, scenario, bots=2)
    run(rehearsal, wall, 24 * HOUR)
    room = rehearsal.room
    assert {seat.stage for seat in room.seats.values()} <= {"report", "done"}
    room._is_free = lambda role, number: f"{role}-{number}" not in room.seats  # type: ignore[method-assign]
    assert joined(rehearsal).seat == "chair-3"
    assert room.seats["chair-3"].stage == "report"
    rehearsal.close()


def test_the_room_is_full_of_those_who_are_there(tmp_path: Path, scenario: Scenario) -> None:
    """Who has left takes no place, and gives nobody his number."""
    rehearsal = begun(tmp_path, Wall(), scenario)
    ann = joined(rehearsal)
    rehearsal.do("left", ann.seat, {})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("simulation.rehearsal.running.MOST_PEOPLE", 1)
        assert joined(rehearsal, "Bob").person == 2
        assert isinstance(rehearsal.join(rehearsal.join_code, "Cy"), Text)
    assert rehearsal.person_of(ann.token) == ann.person
    assert rehearsal.seat_of(ann.token) is None
    assert [stay.seat for stay in rehearsal.room.stays_of(ann.person)] == [ann.seat]
    rehearsal.close()


def test_a_bot_plays_on_where_somebody_sat(tmp_path: Path, scenario: Scenario) -> None:
    wall = Wall()
    rehearsal = begun(tmp_path, wall, scenario)
    ann, bob = joined(rehearsal), joined(rehearsal, "Bob", "operator")
    assert rehearsal.do("bot", ann.seat, {"on": True}) is None
    seat = rehearsal.room.seats[ann.seat]
    assert (seat.person, seat.bot, rehearsal.seat_of(ann.token)) == (None, True, None)
    run(rehearsal, wall, 20 * HOUR)
    assert seat.stage != "doors"
    assert rehearsal.do("bot", bob.seat, {"on": True}) is None
    assert rehearsal.room.seats[bob.seat].person is None
    assert isinstance(rehearsal.do("bot", "entry-7", {"on": True}), Text)
    rehearsal.close()


def test_a_later_hold_lets_go_of_those_who_were_held_before(tmp_path: Path, scenario: Scenario) -> None:
    wall = Wall()
    rehearsal = begun(tmp_path, wall, scenario, bots=3)
    rehearsal.do("hold", ROOM, {"stage": "count"})
    run(rehearsal, wall, 21 * HOUR)
    assert all(row.held and row.stage == "freeze" for row in rehearsal.board())
    rehearsal.do("hold", ROOM, {"stage": "viability"})
    assert not any(row.held for row in rehearsal.board())
    run(rehearsal, wall, 23 * HOUR)
    assert all(row.held and row.stage == "first_alignment" for row in rehearsal.board())
    rehearsal.close()


def test_a_hold_keeps_whoever_passes_the_stage(tmp_path: Path, scenario: Scenario) -> None:
    """ "Hold everyone at viability": nobody goes beyond it until the trainer lets go; the clock goes on."""
    wall = Wall()
    rehearsal = begun(tmp_path, wall, scenario, bots=4)
    assert rehearsal.do("hold", ROOM, {"stage": "viability"}) is None
    run(rehearsal, wall, 22 * HOUR)
    stages = {seat.stage for seat in rehearsal.room.seats.values()}
    assert stages == {"first_alignment"}
    assert all(row.held for row in rehearsal.board())
    assert rehearsal.view("chair-1").held is not None
    assert rehearsal.do("acted", "chair-1", {"action": "x", "fields": {}}) is not None
    assert rehearsal.do("hold", ROOM, {"stage": ""}) is None
    run(rehearsal, wall, 26 * HOUR)
    assert {seat.stage for seat in rehearsal.room.seats.values()} <= {"report", "done"}
    rehearsal.close()


def test_a_jump_is_played_in_small_pieces(tmp_path: Path, scenario: Scenario) -> None:
    """The server answers while the night catches up."""
    wall = Wall()
    rehearsal = begun(tmp_path, wall, scenario, bots=4)
    rehearsal.do("clock", ROOM, {"do": "run"})
    assert rehearsal.do("clock", ROOM, {"do": "jump", "to_ms": 17 * HOUR}) is not None
    assert rehearsal.do("clock", ROOM, {"do": "jump", "to_ms": 22 * HOUR}) is None
    ticks = 0
    while rehearsal.room.now_ms < 22 * HOUR:
        rehearsal.tick(1)
        ticks += 1
        assert ticks < 5_000
    assert ticks > 5
    assert rehearsal.room.seats["chair-1"].stage in ("report", "done", "worksheet", "delegates")
    rehearsal.close()


def test_a_branch_begins_as_the_night_did(tmp_path: Path, scenario: Scenario) -> None:
    """Up to the event it is the same room; then it is another rehearsal, with links of its own."""
    wall = Wall()
    rehearsal = begun(tmp_path, wall, scenario, bots=2)
    ann = joined(rehearsal)
    run(rehearsal, wall, 19 * HOUR + 30 * MINUTE)
    at = len(rehearsal.events) // 2
    branch = rehearsal.branch(at, tmp_path / "branch.sqlite")
    assert branch.events[:at] == rehearsal.events[:at]
    assert not branch.room.clock.running
    assert branch.seat_of(ann.token) is None
    assert branch.join_code != rehearsal.join_code
    assert branch.person_of(ann.token) is None
    assert branch.attendance() == ()
    bob = joined(branch, "Bob")
    assert branch.room.seats[bob.seat].person == bob.person == ann.person + 1
    with pytest.raises(InputError, match="already"):
        rehearsal.branch(at, tmp_path / "branch.sqlite")
    branch.close()
    rehearsal.close()


def test_branches_come_back_with_the_rehearsal_that_they_left(tmp_path: Path, scenario: Scenario) -> None:
    """Those of branches too; a log of another rehearsal that lies there is none of them."""
    wall = Wall()
    rehearsal = begun(tmp_path, wall, scenario, bots=1)
    run(rehearsal, wall, 19 * HOUR)
    wall.ms += 1
    branch = rehearsal.branch(rehearsal.events[-1].seq)
    bob = joined(branch, "Bob")
    wall.ms += 1
    twig = branch.branch(branch.events[-1].seq)
    Rehearsal.begin(tmp_path / "log-branch-other.sqlite", scenario, now=wall).close()
    (tmp_path / "log-branch-broken.sqlite").write_bytes(b"no log at all" * 100)
    for one in (twig, branch, rehearsal):
        one.close()
    again = Rehearsal(Log(tmp_path / "log.sqlite"), now=wall)
    found = list(again.branches())
    assert [one.trainer_token for one in found] == [branch.trainer_token, twig.trainer_token]
    assert found[0].seat_of(bob.token) == bob.seat
    assert [one.branched_from(again) is None for one in found] == [False, True]
    assert found[1].branched_from(found[0]) == found[1].room.now_ms
    assert list(again.branches()) == []  # another server runs them
    for one in (*found, again):
        one.close()


def test_a_branch_whose_making_was_cut_short_is_left_out_and_hurts_nobody(
    tmp_path: Path, scenario: Scenario, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def killed(*_: object) -> None:
        raise OSError("no space left")

    rehearsal = begun(tmp_path, Wall(), scenario)
    with monkeypatch.context() as broken:
        broken.setattr(Log, "append", killed)
        with pytest.raises(OSError, match="no space"):
            rehearsal.branch(1)
    assert len(list(tmp_path.glob("log-branch-*.sqlite"))) == 1
    assert list(rehearsal.branches()) == []
    assert "it is left out" in caplog.text
    rehearsal.close()


def test_subscribers_hear_of_the_seats_that_changed(tmp_path: Path, scenario: Scenario) -> None:
    rehearsal = begun(tmp_path, Wall(), scenario)
    heard: list[Changes] = []
    end = rehearsal.subscribe(heard.append)
    place = joined(rehearsal)
    assert heard[-1].seats == {place.seat}
    assert heard[-1].board
    rehearsal.do("clock", ROOM, {"do": "run"})
    assert heard[-1].clock
    assert place.seat in heard[-1].seats
    end()
    count = len(heard)
    rehearsal.do("hand", place.seat, {"raised": True})
    assert len(heard) == count
    assert rehearsal.board()[0].help_score >= 1000
    rehearsal.close()


def test_alone_the_clock_starts_with_you(tmp_path: Path, scenario: Scenario) -> None:
    wall = Wall()
    rehearsal = begun(tmp_path, wall, scenario, solo=True)
    assert not rehearsal.room.clock.started
    place = joined(rehearsal)
    assert rehearsal.view(place.seat).running
    assert rehearsal.view(place.seat).held is None
    rehearsal.close()
