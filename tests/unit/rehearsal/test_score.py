"""Scores: of a volunteer who does everything right, and of one per kind of mistake, exactly as the rules say."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from simulation.rehearsal.chair import ChairSeat
from simulation.rehearsal.checkin import CheckinSeat
from simulation.rehearsal.score import KINDS, score
from simulation.rehearsal.script import PrecinctScript, Script
from tests.unit.rehearsal.people import MINUTE, FakeWorld, Volunteer

ALL_RIGHT = {
    "decisions": "right",
    "frozen_n": "right",
    "viability": "right",
    "delegates": "right",
    "worksheet_equals_report": "right",
    "no_unsigned_change": "right",
    "valid_report": "right",
    "fallback": "none",
    "caught_before_release": "none",
}


def results(seat: ChairSeat, now_ms: int = 0) -> dict[str, str]:
    return {item.id: item.result for item in score(seat, now_ms)}


def kinds(seat: ChairSeat) -> list[str]:
    return [mistake.kind for mistake in seat.mistakes]


def played(
    precinct: PrecinctScript,
    instead: Mapping[tuple[str, str], str] | None = None,
    pressing: Mapping[str, str] | None = None,
    world: FakeWorld | None = None,
) -> ChairSeat:
    """A whole evening, right but for what is done `instead`."""
    seat = ChairSeat(precinct, "chair-1")
    Volunteer(seat, world or FakeWorld(), instead, pressing).play()
    assert set(kinds(seat)) <= set(KINDS)
    return seat


def test_who_does_everything_right_in_any_precinct_is_right_everywhere(night: Script) -> None:
    for precinct in night.sites[:60]:
        seat = played(precinct)
        assert results(seat) == ALL_RIGHT, precinct.id
        assert seat.mistakes == []


def test_where_the_app_hangs_a_call_within_ten_minutes_is_right(plain: PrecinctScript) -> None:
    seat = played(plain, world=FakeWorld(how="hangs", hold_ms=30 * MINUTE))
    assert results(seat) == ALL_RIGHT | {"fallback": "right"}
    assert seat.reporting.reports[0].channel == "phone"


def test_a_call_after_more_than_ten_minutes_is_late_and_not_wrong(plain: PrecinctScript) -> None:
    seat = ChairSeat(plain, "chair-1")
    volunteer = Volunteer(seat, FakeWorld(how="down"))
    volunteer.play("report")
    volunteer.do("app:login", pin=plain.pin)
    volunteer.wait(10 * MINUTE)
    volunteer.play()
    assert results(seat) == ALL_RIGHT | {"fallback": "late"}


def test_who_goes_home_when_the_app_fails_has_neither_reported_nor_taken_another_way(plain: PrecinctScript) -> None:
    seat = ChairSeat(plain, "chair-1")
    volunteer = Volunteer(seat, FakeWorld(how="no signal"))
    volunteer.play("report")
    volunteer.do("app:login", pin=plain.pin)
    volunteer.do("finish")
    assert kinds(seat) == ["went_home"]
    assert results(seat) == ALL_RIGHT | {
        "worksheet_equals_report": "open",
        "valid_report": "wrong",
        "fallback": "wrong",
    }


def test_an_evening_that_the_clock_cut_short_is_open_and_not_wrong(plain: PrecinctScript) -> None:
    seat = ChairSeat(plain, "chair-1")
    volunteer = Volunteer(seat, FakeWorld())
    volunteer.play("delegates")
    assert results(seat) == ALL_RIGHT | {
        "delegates": "open",
        "worksheet_equals_report": "open",
        "no_unsigned_change": "open",
        "valid_report": "open",
    }


def test_a_wrong_n_makes_everything_wrong_that_follows_and_says_so(plain: PrecinctScript) -> None:
    wrong = str(plain.attendance + 60)
    seat = ChairSeat(plain, "chair-1")
    volunteer = Volunteer(seat, FakeWorld(), {("freeze", "n"): wrong})
    volunteer.play("first_alignment")
    assert results(seat)["frozen_n"] == "wrong"
    found = {item.id: item for item in score(seat, 0)}
    assert found["frozen_n"].value.english() == wrong
    assert found["frozen_n"].right.english() == str(plain.attendance)
    # the right threshold on paper is another one than that of his N: he types the paper's, and errs by his own
    assert kinds(seat) == ["frozen_n", "threshold"]


def test_a_threshold_that_follows_from_a_wrong_n_is_not_counted_twice(plain: PrecinctScript) -> None:
    more = plain.attendance + 60
    seat = ChairSeat(plain, "chair-1")
    instead = {("freeze", "n"): str(more), ("viability", "threshold"): str((3 * more + 19) // 20)}
    Volunteer(seat, FakeWorld(), instead).play("first_alignment")
    assert kinds(seat) == ["frozen_n"]
    item = {one.id: one for one in score(seat, 0)}["viability"]
    assert item.result == "wrong"
    assert item.because is not None


def test_a_threshold_rounded_down(night: Script) -> None:
    precinct = next(
        site
        for site in night.sites
        if site.delegates >= 4 and 3 * site.attendance % 20 and site.threshold - 1 not in site.first.values()
    )
    seat = played(precinct, {("viability", "threshold"): str(precinct.threshold - 1)})
    assert kinds(seat) == ["threshold"]
    expected = ALL_RIGHT | {"viability": "wrong", "caught_before_release": "wrong"}
    assert results(seat) == expected
    item = {one.id: one for one in score(seat, 0)}["viability"]
    assert item.citation.english() == "Delegate Selection Plan: threshold 15 %, rounded up."


def test_the_wrong_groups_held_viable_and_insisted_on(plain: PrecinctScript) -> None:
    seat = played(plain, {("viable", "viable"): ",".join(plain.viable[:-1])})
    assert kinds(seat) == ["viable_groups"]
    assert results(seat) == ALL_RIGHT | {"viability": "wrong", "caught_before_release": "wrong"}


def test_the_wrong_groups_held_viable_and_corrected_after_the_protest(plain: PrecinctScript) -> None:
    seat = ChairSeat(plain, "chair-1")
    volunteer = Volunteer(seat, FakeWorld(), insists=False)
    volunteer.play("first_alignment")
    volunteer.go_on()
    volunteer.do("declare", viable=plain.viable[0])
    step = volunteer.steps()[0]
    assert any(plain.captains[plain.viable[1]] in text.english() for text in step.feedback)
    volunteer.play()
    assert kinds(seat) == ["viable_groups"]
    assert results(seat) == ALL_RIGHT | {"caught_before_release": "right"}


def test_a_delegate_given_to_the_wrong_group(plain: PrecinctScript) -> None:
    one, other = plain.viable_at_end[:2]
    instead = {
        (step, f"delegates.{group}"): str(plain.award[group] + (1 if group == one else -1))
        for step in ("award", "worksheet", "app.final")
        for group in (one, other)
    }
    seat = played(plain, instead)
    assert kinds(seat) == ["delegates"]
    assert results(seat) == ALL_RIGHT | {
        "delegates": "wrong",
        "valid_report": "wrong",
        "caught_before_release": "wrong",
    }


def test_one_delegate_too_many_is_refused_by_the_app_and_then_reported_by_telephone(plain: PrecinctScript) -> None:
    group = plain.viable_at_end[0]
    more = str(plain.award[group] + 1)
    steps = ("award", "worksheet", "app.final", "phone.delegates")
    seat = ChairSeat(plain, "chair-1")
    world = FakeWorld()
    volunteer = Volunteer(seat, world, {(step, f"delegates.{group}"): more for step in steps})
    volunteer.play("report")
    while seat.reporting.screen != "final":
        volunteer.go_on()
    volunteer.go_on()
    assert seat.reporting.screen == "final"
    assert [step for step, _ in world.sent] == ["open", "first-alignment"]  # it never left the phone
    assert any("refuses" in text.english() for text in volunteer.steps()[0].feedback)
    volunteer.do("phone:dial")
    volunteer.pressing["app.final"] = "app:again"
    volunteer.play_by_phone()
    assert kinds(seat) == ["delegates", "refused"]
    assert results(seat) == ALL_RIGHT | {
        "delegates": "wrong",
        "valid_report": "wrong",
        "caught_before_release": "wrong",
    }


def test_a_tie_decided_without_a_coin_is_wrong_even_with_the_same_delegates(tied: PrecinctScript) -> None:
    seat = played(tied, pressing={"award": "award"})
    assert kinds(seat) == ["toss"]
    assert results(seat) == ALL_RIGHT | {"delegates": "wrong", "caught_before_release": "wrong"}
    item = {one.id: one for one in score(seat, 0)}["delegates"]
    assert "coin" in item.citation.english()


def test_a_number_copied_wrongly_to_the_worksheet(plain: PrecinctScript) -> None:
    group = plain.viable_at_end[0]
    wrong = str(plain.final[group] + 1)
    steps = ("worksheet", "app.final")
    seat = played(plain, {(step, f"final.{group}"): wrong for step in steps})
    assert kinds(seat) == ["worksheet_copy", "unsigned"]  # the captain does not sign it
    found = results(seat)
    assert found["no_unsigned_change"] == "wrong"
    assert found["worksheet_equals_report"] == "right"
    assert found["delegates"] == "right"
    assert found["caught_before_release"] == "wrong"


def test_a_report_that_is_not_the_worksheet(plain: PrecinctScript) -> None:
    group = plain.viable_at_end[0]
    seat = played(plain, {("app.final", f"final.{group}"): str(plain.final[group] + 1)})
    assert kinds(seat) == ["report_differs"]
    found = results(seat)
    assert found["worksheet_equals_report"] == "wrong"
    assert found["no_unsigned_change"] == "right"
    item = {one.id: one for one in score(seat, 0)}["worksheet_equals_report"]
    assert str(plain.final[group] + 1) in item.value.english()


def test_signatures_that_are_missing(plain: PrecinctScript) -> None:
    seat = played(plain, {("sign", "signers"): "chair,secretary"})
    assert kinds(seat) == ["unsigned"]
    assert results(seat) == ALL_RIGHT | {"no_unsigned_change": "wrong"}


@pytest.mark.parametrize(("signed_again", "result"), [(True, "right"), (False, "wrong")])
def test_a_change_after_the_signatures_needs_new_ones(plain: PrecinctScript, signed_again: bool, result: str) -> None:
    group = plain.viable_at_end[0]
    seat = ChairSeat(plain, "chair-1")
    volunteer = Volunteer(seat, FakeWorld())
    volunteer.play("report")
    volunteer.do("change")
    volunteer.instead = {("worksheet", f"final.{group}"): str(plain.final[group] + 1)}
    volunteer.go_on()
    volunteer.instead = {}
    if signed_again:
        volunteer.do("change")
        volunteer.go_on()
    else:
        volunteer.instead = {("app.final", f"final.{group}"): str(plain.final[group] + 1)}
    volunteer.play()
    assert kinds(seat) == (["worksheet_copy"] if signed_again else ["worksheet_copy", "unsigned_change"])
    assert results(seat)["no_unsigned_change"] == result
    assert results(seat)["worksheet_equals_report"] == "right"


def test_a_decision_against_the_rules_is_told_with_its_law(plain: PrecinctScript) -> None:
    case = plain.requests[0]
    wrong = next(answer for answer in case.answers if not answer.right)
    seat = played(plain, {(f"case:{case.id}", "answer"): wrong.value})
    assert kinds(seat) == ["case"]
    assert seat.mistakes[0].citation == case.citation
    assert results(seat) == ALL_RIGHT | {"decisions": "wrong"}


def test_a_report_that_the_app_lost_is_nobodys_fault(plain: PrecinctScript) -> None:
    seat = played(plain, world=FakeWorld(loses=True))
    assert seat.mistakes == []
    assert results(seat) == ALL_RIGHT | {"valid_report": "open"}


def test_a_photo_is_as_good_as_a_call_where_headquarters_reads_photos(plain: PrecinctScript) -> None:
    seat = ChairSeat(plain, "chair-1")
    volunteer = Volunteer(seat, FakeWorld(how="down", side_channel=True))
    volunteer.play("report")
    volunteer.do("app:login", pin=plain.pin)
    volunteer.do("text")
    volunteer.do("finish")
    assert results(seat) == ALL_RIGHT | {"fallback": "right"}


def test_who_comes_late_is_not_judged_by_what_others_did(plain: PrecinctScript) -> None:
    seat = ChairSeat(plain, "chair-1")
    assert seat.affected("catch_up", {"stage": "delegates"}, plain.call_to_order_ms)
    Volunteer(seat, FakeWorld()).play()
    assert results(seat) == ALL_RIGHT | {"decisions": "open", "frozen_n": "none", "viability": "none"}


def test_a_check_in_lead_tells_the_right_number(plain: PrecinctScript) -> None:
    for wrong in ("", str(plain.attendance - 1)):
        seat = CheckinSeat(plain, "checkin-1")
        Volunteer(seat, FakeWorld(), {("hand_over", "checked_in"): wrong} if wrong else {}).play()
        found = {item.id: item.result for item in score(seat, 0)}
        assert found == {"decisions": "right", "checked_in": "wrong" if wrong else "right"}
