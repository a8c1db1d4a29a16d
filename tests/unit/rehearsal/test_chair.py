"""A chair's evening: wrong answers are taken, consequences follow, nothing raises, equal acts are equal evenings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulation.rehearsal.chair import ChairSeat
from simulation.rehearsal.checkin import CheckinSeat
from simulation.rehearsal.score import KINDS, RESULTS, score
from simulation.rehearsal.script import PrecinctScript, Script, script
from simulation.rehearsal.seat import AT_THE_DOOR, CASES, Seat, choices, number
from simulation.rehearsal.view import Step, Text
from simulation.scenario import load
from tests.unit.rehearsal.people import AIDS, MINUTE, FakeWorld, Volunteer


def chairing(precinct: PrecinctScript, until: str = "", world: FakeWorld | None = None, **more: Any) -> Volunteer:
    volunteer = Volunteer(ChairSeat(precinct, "chair-1"), world or FakeWorld(), **more)
    if until:
        volunteer.play(until)
    return volunteer


def said(steps: tuple[Step, ...]) -> str:
    return " ".join(text.english() for step in steps for text in (*step.feedback, *step.story))


# What is accepted


@pytest.mark.parametrize("text", ["", "  ", "twelve", "-3", "1.5", "12e3", "٣", "9" * 40, "<b>7</b>", "1_000"])
def test_what_is_no_number_is_sent_back_and_stays_typed(plain: PrecinctScript, text: str) -> None:
    volunteer = chairing(plain, "count")
    volunteer.do("count", counted=text)
    assert volunteer.seat.stage == "count"
    step = volunteer.steps()[0]
    assert step.fields[0].value == text
    assert step.feedback
    assert volunteer.seat.mistakes == []


@pytest.mark.parametrize(("text", "value"), [("12", 12), (" 7 ", 7), ("1,204", 1204), ("1 204", 1204), ("007", 7)])
def test_numbers_are_read_as_people_write_them(text: str, value: int) -> None:
    assert number(text) == value


def test_a_group_whose_name_has_a_comma_can_be_chosen() -> None:
    groups = ("Smith, Ann", "Ann", "Smith")
    assert choices("Smith, Ann", groups) == {"Smith, Ann"}
    assert choices("Ann,Smith, Ann,Smith", groups) == set(groups)
    assert choices("nobody,,Ann", groups) == {"Ann"}


def test_a_wrong_number_is_taken_as_in_life(plain: PrecinctScript) -> None:
    volunteer = chairing(plain, "freeze")
    volunteer.do("freeze", n="1")
    assert volunteer.seat.stage == "viability"
    assert [one.kind for one in volunteer.seat.mistakes] == ["frozen_n"]


def test_a_group_left_blank_on_the_worksheet_is_zero_there(plain: PrecinctScript) -> None:
    group = plain.viable_at_end[0]
    volunteer = chairing(plain, "worksheet", instead={("worksheet", f"final.{group}"): ""})
    volunteer.go_on()
    seat = volunteer.seat
    assert isinstance(seat, ChairSeat)
    assert seat.worksheet is not None
    assert seat.worksheet.final[group] == 0
    assert [one.kind for one in seat.mistakes] == ["worksheet_copy"]


def test_an_action_that_no_button_offers_changes_nothing(plain: PrecinctScript) -> None:
    volunteer = chairing(plain, "freeze")
    before = state(volunteer.seat)
    for action in ("award", "app:login", "answer:nothing", "", "back:report", "finish"):
        volunteer.seat.act(action, {"n": "5"}, volunteer.at_ms, volunteer.world)
    assert state(volunteer.seat) == before


# Consequences


def test_doors_closed_before_the_call_to_order_are_a_mistake_with_its_law(plain: PrecinctScript) -> None:
    volunteer = chairing(plain)
    while volunteer.seat.waiting:
        volunteer.go_on()
    volunteer.do("close_early")
    assert volunteer.seat.stage == "call_to_order"
    assert "in line" in volunteer.seat.mistakes[0].citation.english()


def test_a_room_counted_again_comes_to_the_number_that_checked_in(night: Script) -> None:
    precinct = next(site for site in night.sites if site.count_is_off)
    volunteer = chairing(precinct, "count")
    seat = volunteer.seat
    assert isinstance(seat, ChairSeat)
    assert sum(seat.sections()) > precinct.attendance
    volunteer.do("count", counted=str(sum(seat.sections())))
    assert "checked in" in said(volunteer.steps())
    volunteer.do("back:count")
    volunteer.do("recount")
    assert sum(seat.sections()) == precinct.attendance
    volunteer.play("viability")
    assert [one.corrected_ms is None for one in seat.mistakes] == [False]


def test_a_group_wrongly_held_viable_is_protested_by_the_others(plain: PrecinctScript) -> None:
    volunteer = chairing(plain, "first_alignment")
    volunteer.go_on()
    rest = next(group for group in plain.groups if group not in plain.viable)
    volunteer.do("declare", viable=",".join((*plain.viable, rest)))
    assert "protest" in said(volunteer.steps())
    assert volunteer.seat.stage == "first_alignment"
    volunteer.do("insist")
    assert volunteer.seat.stage == "realignment"
    assert f"The county party rules: {rest.title()} is not viable." in said(volunteer.steps()).replace("\n", " ")


def test_the_coin_falls_as_the_night_says(tied: PrecinctScript) -> None:
    volunteer = chairing(tied, "delegates")
    volunteer.go_on()
    seat = volunteer.seat
    assert isinstance(seat, ChairSeat)
    assert seat.heads == tied.luckier
    told = said(volunteer.steps())
    assert ("The coin favors" in told) is ("The coin has favored" not in told)
    volunteer.go_on()
    assert seat.stage == "worksheet"
    assert seat.award == dict(tied.award)


def test_an_award_against_the_coin_is_protested(tied: PrecinctScript) -> None:
    volunteer = chairing(tied, "delegates")
    volunteer.go_on()
    other = next(award for award in tied.awards if dict(award) != dict(tied.award))
    volunteer.do("award", **{f"delegates.{group}": str(seats) for group, seats in other.items()})
    assert volunteer.seat.stage == "delegates"
    assert "protests" in said(volunteer.steps())


def test_whoever_is_on_hold_is_told_how_long_and_hangs_up_when_he_likes(plain: PrecinctScript) -> None:
    volunteer = chairing(plain, "report", FakeWorld(how="down", hold_ms=60 * MINUTE))
    volunteer.do("phone:dial")
    volunteer.wait(7 * MINUTE)
    assert "7 minutes" in said(volunteer.steps())
    volunteer.do("phone:hang_up")
    assert any(one.action == "phone:dial" for step in volunteer.steps() for one in step.buttons)
    seat = volunteer.seat
    assert isinstance(seat, ChairSeat)
    assert seat.reported is None


def test_what_was_said_before_a_call_broke_off_has_to_be_said_again(plain: PrecinctScript) -> None:
    volunteer = chairing(plain, "report", FakeWorld(how="down"))
    seat = volunteer.seat
    assert isinstance(seat, ChairSeat)
    volunteer.do("phone:dial")
    volunteer.do("phone:say_attendees", attendees=str(plain.attendance))
    assert seat.dictated.attendees == plain.attendance
    volunteer.do("phone:hang_up")
    assert seat.dictated.attendees == 0
    volunteer.do("phone:dial")
    assert any(step.id == "phone.attendees" for step in volunteer.steps())


def test_a_wrong_pin_never_reaches_the_app(plain: PrecinctScript) -> None:
    volunteer = chairing(plain, "report")
    volunteer.do("app:login", pin="12")
    seat = volunteer.seat
    assert isinstance(seat, ChairSeat)
    assert seat.reporting.screen == "login"
    assert seat.reporting.app_failed_ms is None  # the app did not fail
    volunteer.play()
    assert [(one.kind, one.corrected_ms is None) for one in seat.mistakes] == [("pin", False)]


def test_headquarters_calls_back_and_the_report_is_made_again(plain: PrecinctScript) -> None:
    group = plain.viable_at_end[0]
    volunteer = chairing(plain, instead={("app.final", f"final.{group}"): "0"})
    volunteer.play()
    volunteer.instead = {}
    seat = volunteer.seat
    assert isinstance(seat, ChairSeat)
    assert seat.affected("called_back", {"codes": ["viable_group_shrank"]}, volunteer.at_ms)
    assert seat.stage == "report"
    assert "smaller" in said(volunteer.steps())
    volunteer.do("app:again")
    volunteer.play()
    assert seat.reported == seat.worksheet
    assert [(one.kind, one.corrected_ms is None) for one in seat.mistakes] == [("report_differs", False)]


@pytest.mark.parametrize("effect", sorted(CASES))
def test_an_inject_asks_for_a_decision_where_it_can_still_change_something(plain: PrecinctScript, effect: str) -> None:
    acted = []
    for stage in ("doors", "first_alignment", "report"):
        volunteer = chairing(plain, stage)
        seat = volunteer.seat
        before = len(seat.waiting)
        acts = seat.affected(effect, {}, volunteer.at_ms)
        assert len(seat.waiting) == before + acts
        acted.append(acts)
        volunteer.play()
        assert seat.done
        assert seat.mistakes == []
    assert any(acted)


def test_at_check_in_only_the_door_matters(plain: PrecinctScript) -> None:
    seat = CheckinSeat(plain, "checkin-1")
    acts = {effect for effect in CASES if seat.affected(effect, {}, plain.call_to_order_ms)}
    assert acts == AT_THE_DOOR | {"strangers"}
    Volunteer(seat, FakeWorld()).play()
    assert seat.mistakes == []
    assert not seat.affected("forms_out", {}, plain.call_to_order_ms)


def test_headquarters_may_call_after_the_chair_has_gone_home(plain: PrecinctScript) -> None:
    volunteer = chairing(plain)
    volunteer.play()
    assert volunteer.seat.affected("called_again", {}, volunteer.at_ms)
    assert volunteer.steps()[0].title.english() == "Headquarters asks again"
    volunteer.do("answer:called_again#1", answer="worksheet")
    assert volunteer.steps()[0].id == "end"


def test_a_count_that_an_inject_spoiled_is_counted_again(plain: PrecinctScript) -> None:
    volunteer = chairing(plain)
    assert volunteer.seat.affected("count_mismatch", {}, volunteer.at_ms)
    volunteer.play()
    assert volunteer.seat.mistakes == []
    assert not volunteer.seat.affected("count_mismatch", {}, volunteer.at_ms)


def test_unknown_effects_change_nothing(plain: PrecinctScript) -> None:
    volunteer = chairing(plain)
    before = state(volunteer.seat)
    assert not volunteer.seat.affected("nuisance_calls", {"minutes": 5}, volunteer.at_ms)
    assert state(volunteer.seat) == before


# Help


def test_help_is_given_only_as_far_as_the_trainer_allows(plain: PrecinctScript) -> None:
    volunteer = chairing(plain, "viability")
    while volunteer.seat.waiting:
        volunteer.go_on()

    def shown(*aids: str) -> Step:
        return volunteer.seat.steps(volunteer.at_ms, volunteer.world, aids)[0]

    assert shown().hints == ()
    assert shown().citations == ()
    assert [text.english() for text in shown("citations").citations] == [
        "Delegate Selection Plan: threshold 15 %, rounded up."
    ]
    assert f"Rounded up: {plain.threshold}." in shown("arithmetic").hints[-1].english()
    assert shown("hints").hints
    assert all(str(plain.threshold) not in text.english() for text in shown("hints").hints)


def test_every_control_has_a_name_and_every_step_an_id(night: Script) -> None:
    for precinct in night.sites[:10]:
        volunteer = Volunteer(ChairSeat(precinct, "chair-1"), FakeWorld(how="hangs", hold_ms=5 * MINUTE))
        going = True
        while going:
            steps = volunteer.steps()
            assert len({step.id for step in steps}) == len(steps)
            for step in steps:
                names = [field.label.english() for field in step.fields] + [one.label.english() for one in step.buttons]
                assert all(names)
                assert len(set(names)) == len(names), names
                for text in (step.title, *step.story, *step.feedback, *step.hints, *step.citations):
                    assert isinstance(text, Text)
                    assert text.english().strip()
            going = volunteer.go_on()


@pytest.mark.parametrize("name", ["iowa-2016", "gop-straw-poll-2012"])
def test_other_rules_have_their_own_evening(name: str) -> None:
    tonight = script(load(name), minutes=90)
    for precinct in tonight.sites[:10]:
        seat = ChairSeat(precinct, "chair-1")
        Volunteer(seat, FakeWorld()).play()
        assert seat.mistakes == []
        assert seat.reported == seat.worksheet
        assert ("viability" in seat.order()) == (name == "iowa-2016")


# Folds

WORDS = st.one_of(
    st.sampled_from(
        ["", "0", "1", "7", "18", "45", "116", "999999", "-1", "abc", "elect,rules", "chair,secretary", "yes"]
    ),
    st.text(max_size=20),
)


def state(seat: Seat) -> dict[str, Any]:
    """All that a seat remembers."""
    found = {name: value for name, value in vars(seat).items() if name != "precinct"}
    found["mistakes"] = [asdict(one) for one in seat.mistakes]
    return found


def poke(
    seat: Seat, world: FakeWorld, choices: list[tuple[int, int, str, int]]
) -> list[tuple[str, Mapping[str, str], int]]:
    """Press whatever is there, with whatever text; what was done, to do it again."""
    at_ms = seat.precinct.call_to_order_ms - 5 * MINUTE
    done: list[tuple[str, Mapping[str, str], int]] = []
    for which, how, word, wait in choices:
        at_ms += wait * 1000
        world.now_ms = at_ms
        seat.advance(at_ms, world)
        steps = seat.steps(at_ms, world, AIDS)
        buttons = [(step, one) for step in steps for one in step.buttons]
        if not buttons:
            continue
        step, button = buttons[which % len(buttons)]
        typed = {}
        for i, field in enumerate(step.fields):
            options = [option.value for option in field.options]
            typed[field.name] = options[(how + i) % len(options)] if options and how % 3 else word
        seat.act(button.action, typed, at_ms, world)
        done.append((button.action, typed, at_ms))
    seat.steps(at_ms, world, AIDS)
    return done


def weather(at: int) -> FakeWorld:
    kinds: tuple[Any, ...] = ("works", "refuses", "hangs", "down", "no signal")
    return FakeWorld(how=kinds[at % 5], hold_ms=(None, 0, 90_000)[at % 3], side_channel=at % 2 == 0, loses=at % 7 == 0)


@settings(max_examples=120)
@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), WORDS, st.integers(0, 900)), max_size=60),
    st.integers(0, 30),
    st.sampled_from(["", "count", "first_alignment", "delegates", "worksheet", "report"]),
    st.booleans(),
)
def test_whatever_is_pressed_and_typed_nothing_raises_and_the_same_acts_come_to_the_same_evening(
    night: Script, choices: list[tuple[int, int, str, int]], site: int, begin: str, at_the_door: bool
) -> None:
    make = CheckinSeat if at_the_door else ChairSeat
    seats = [make(night.sites[site], "one"), make(night.sites[site], "one")]
    for seat in seats:
        if begin:
            seat.affected("catch_up", {"stage": begin}, seat.precinct.call_to_order_ms)
    world = weather(site)
    done = poke(seats[0], world, choices)
    again = weather(site)
    for action, fields, at_ms in done:
        again.now_ms = at_ms
        seats[1].advance(at_ms, again)
        seats[1].act(action, fields, at_ms, again)
    last = world.now_ms
    for seat, outside in zip(seats, (world, again), strict=True):
        outside.now_ms = last
        seat.advance(last, outside)
    assert state(seats[0]) == state(seats[1])
    assert seats[0].steps(last, world, AIDS) == seats[1].steps(last, again, AIDS)
    assert all(item.result in RESULTS and item.as_json() for item in score(seats[0], last))
    assert {mistake.kind for mistake in seats[0].mistakes} <= set(KINDS)


def test_the_same_evening_looked_at_more_often_is_the_same(plain: PrecinctScript) -> None:
    """Time that passes in small steps changes nothing that large steps would not."""
    volunteer = chairing(plain, world=FakeWorld(how="hangs", hold_ms=7 * MINUTE))
    volunteer.play()
    world, seat = FakeWorld(how="hangs", hold_ms=7 * MINUTE), ChairSeat(plain, "chair-1")
    now = plain.call_to_order_ms - 10 * MINUTE
    for action, fields, at_ms in volunteer.log:
        while now < at_ms:
            now = min(at_ms, now + 5_000)
            world.now_ms = now
            seat.advance(now, world)
        seat.act(action, fields, at_ms, world)
    seat.advance(volunteer.at_ms, world)
    assert state(seat) == state(volunteer.seat)


def test_citations_do_not_tell_whether_there_is_a_tie(tied: PrecinctScript, plain: PrecinctScript) -> None:
    with_tie, without = (chairing(site, "delegates").steps()[0].citations for site in (tied, plain))
    assert with_tie == without
