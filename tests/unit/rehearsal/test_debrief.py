"""The debrief of a real room: scores, three moments by their rule, and what a forecast learns."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from simulation.rehearsal.answer_key import next_act
from simulation.rehearsal.debrief import Debrief, _gravity, _why, _wrong_fields, debrief
from simulation.rehearsal.event import NOBODY, ROOM
from simulation.rehearsal.headquarters import Report
from simulation.rehearsal.observed import Observed
from simulation.rehearsal.running import Joined, Rehearsal
from simulation.rehearsal.score import KINDS, RESULTS
from simulation.rehearsal.seat import Mistake
from simulation.rehearsal.to_scenario import interval, mean_interval, to_scenario
from simulation.rehearsal.world import Figures
from simulation.scenario import load
from simulation.web.render import page
from tests.unit.rehearsal.rooms import Wall, begun, joined, small

Instead = Mapping[tuple[str, str], str]


def played(folder: Path, people: Mapping[str, Instead], **overrides: object) -> tuple[Rehearsal, Wall]:
    """A whole evening of people who do everything right, but for what each types instead: (step, field) -> text."""
    wall = Wall()
    rehearsal = begun(folder, wall, small(folder, **overrides))
    seats: dict[str, tuple[Joined, Instead]] = {
        name: (joined(rehearsal, name), instead) for name, instead in people.items()
    }
    assert rehearsal.do("clock", ROOM, {"do": "run"}) is None
    for _ in range(2_000):
        wall.ms += 4_000
        rehearsal.tick(60_000)
        for person, instead in seats.values():
            seat: Any = rehearsal.room.seats[person.seat].doing
            act = next_act(seat, rehearsal.room.now_ms, rehearsal.room)
            if act is None:
                continue
            typed = act.fields | {name: text for (step, name), text in instead.items() if step == act.step}
            action = "insist" if seat.protested else act.action
            rehearsal.do("acted", person.seat, {"action": action, "fields": typed, "step": act.step})
        if all(rehearsal.room.is_done(rehearsal.room.seats[person.seat]) for person, _ in seats.values()):
            return rehearsal, wall
    raise AssertionError([seat.doing.stage for seat in rehearsal.room.seats.values()])


WORKS = {"app__tries": 1, "app__installed": 1, "app__login_fails": 0, "app__submit_fails": 0, "app__no_signal": 0}


@pytest.fixture(scope="module")
def evening(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Rehearsal, Debrief]]:
    """Ann does everything right, =Bob freezes a wrong N, Cho answers the first request wrongly."""
    folder = tmp_path_factory.mktemp("evening")
    rehearsal, _ = played(
        folder,
        {
            "Ann": {},
            "=Bob": {("freeze", "n"): "7", ("worksheet", "attendees"): "7", ("app.open", "attendees"): "7"},
            "Cho": {("case:leave_viable", "answer"): "yes"},
        },
        **WORKS,
    )
    yield rehearsal, debrief(rehearsal.room, rehearsal.events)
    rehearsal.close()


def test_who_did_everything_right_has_nothing_wrong(evening: tuple[Rehearsal, Debrief]) -> None:
    _, found = evening
    ann = found.of("chair-1")
    assert ann is not None
    assert ann.name == "Ann"
    assert {item.result for item in ann.items} == {"right", "none"}
    assert ann.mistakes == ()


def test_json_has_every_score(evening: tuple[Rehearsal, Debrief]) -> None:
    _, found = evening
    told = json.loads(json.dumps(found.as_json()))
    assert [seat["seat"] for seat in told["seats"]] == ["chair-1", "chair-2", "chair-3"]
    expected = {
        *("decisions", "frozen_n", "viability", "delegates", "worksheet_equals_report", "no_unsigned_change"),
        *("valid_report", "fallback", "caught_before_release"),
    }
    for seat in told["seats"]:
        assert {score["id"] for score in seat["scores"]} == expected
        assert all(score["citation"] and score["right"] for score in seat["scores"])
    room = {item["id"]: item for item in told["room"]["scores"]}
    assert (room["frozen_n"]["right"], room["frozen_n"]["wrong"]) == (2, 1)
    assert told["room"]["people"] == 3


def test_the_moments_are_three_at_most_the_gravest_first_each_of_its_kind(evening: tuple[Rehearsal, Debrief]) -> None:
    rehearsal, found = evening
    assert len(found.moments) == 3
    assert len({moment.kind for moment in found.moments}) == len(found.moments)
    first = found.moments[0]
    assert first.kind in {"frozen_n", "report_differs"}
    assert first.seats == ("chair-2",)
    for moment in found.moments:
        before = [event for event in rehearsal.events if event.seq <= moment.seq]
        assert before
        assert before[-1].at_ms <= moment.at_ms


def test_a_branch_begins_before_the_moment(evening: tuple[Rehearsal, Debrief], tmp_path: Path) -> None:
    rehearsal, found = evening
    other = rehearsal.branch(found.moments[0].seq, tmp_path / "branch.sqlite")
    assert not any(seat.mistakes for seat in debrief(other.room, other.events).seats)
    other.close()


def test_the_timeline_is_in_order_and_tells_of_everybody(evening: tuple[Rehearsal, Debrief]) -> None:
    _, found = evening
    assert [line.at_ms for line in found.timeline] == sorted(line.at_ms for line in found.timeline)
    assert {"joined", "clock", "stage", "mistake", "report"} <= {line.kind for line in found.timeline}
    assert all(line.what.english() for line in found.timeline)


def test_names_that_were_deleted_are_in_no_debrief(tmp_path: Path) -> None:
    rehearsal, _ = played(tmp_path, {"Zuleika Quux": {}}, **WORKS)
    rehearsal.delete_names()
    found = debrief(rehearsal.room, rehearsal.events)
    assert "Zuleika" not in json.dumps(found.as_json()) + found.csv()
    rehearsal.close()


def test_csv_has_a_row_for_every_score_and_no_formula(evening: tuple[Rehearsal, Debrief]) -> None:
    _, found = evening
    rows = list(csv.DictReader(io.StringIO(found.csv())))
    assert len(rows) == sum(len(seat.items) for seat in found.seats)
    assert {row["name"] for row in rows} == {"Ann", "'=Bob", "Cho"}
    assert {row["result"] for row in rows} <= {"right", "wrong", "late", "open", "none"}


def test_the_debrief_of_a_replay_is_the_same(evening: tuple[Rehearsal, Debrief]) -> None:
    rehearsal, found = evening
    room = rehearsal.replay()
    for event in rehearsal.events:
        room.apply(event)
    room.advance(rehearsal.room.now_ms)
    assert debrief(room, rehearsal.events).as_json() == found.as_json()


def test_a_room_of_all_roles_is_debriefed_at_any_moment(tmp_path: Path) -> None:
    wall = Wall()
    rehearsal = begun(tmp_path, wall, small(tmp_path), bots=4)
    for role in ("chair", "checkin", "operator", "entry", "reviewer"):
        joined(rehearsal, role, role)
    assert rehearsal.do("clock", ROOM, {"do": "run"}) is None
    assert rehearsal.do("clock", ROOM, {"do": "speed", "speed": 60}) is None
    for name in rehearsal.room.injects:
        rehearsal.do("inject", ROOM, {"id": name})
        wall.ms += 10_000
        rehearsal.tick(60_000)
        found = debrief(rehearsal.room, rehearsal.events)
        assert json.dumps(found.as_json())
        assert found.csv()
    assert {seat.role for seat in found.seats} == {"chair", "checkin", "operator", "entry", "reviewer"}
    assert {line.kind for line in found.timeline} >= {"inject", "clock", "joined"}
    assert not rehearsal.room.failures
    rehearsal.close()


# What a forecast learns


def seen(people: int = 24, **observed: Any) -> Debrief:
    return Debrief("iowa-2020", 3, 0, 45, 0, (), (), {"people": people}, (), (), Observed(**observed))


def test_what_was_seen_often_enough_becomes_a_range_with_its_count(tmp_path: Path) -> None:
    found = seen(worksheets=24, wrong_worksheets=3, typed_fields=420, wrong_fields=2, app_entry_ms=[60_000] * 6)
    path = tmp_path / "seen.toml"
    path.write_text(to_scenario(found, "iowa-2020"))
    spec = load(path).spec
    errors = spec.chairs.arithmetic_errors
    assert errors.low / 2**32 < 3 / 24 < errors.high / 2**32
    assert errors.source is not None
    assert "3 of 24" in errors.source
    assert "2 of 420" in (spec.headquarters.keying.phone.source or "")
    assert spec.app.entry.source is not None
    assert "6 reports" in spec.app.entry.source
    before = load("iowa-2020").spec
    assert spec.hotline.handling.report.source == before.hotline.handling.report.source  # nobody typed a report


def test_what_was_seen_too_seldom_is_said_and_not_used(tmp_path: Path) -> None:
    path = tmp_path / "few.toml"
    path.write_text(to_scenario(seen(worksheets=4, wrong_worksheets=4), "iowa-2020"))
    assert "# chairs.arithmetic_errors: 4 of 4" in path.read_text()
    spec, before = load(path).spec, load("iowa-2020").spec
    assert spec.chairs.arithmetic_errors.low == before.chairs.arithmetic_errors.low


def test_several_rehearsals_add_up() -> None:
    text = to_scenario([seen(worksheets=6, wrong_worksheets=1), seen(worksheets=6)], "iowa-2020")
    assert "1 of 12 worksheets" in text
    assert "2 rehearsals, 48 people" in text


@pytest.mark.parametrize(("hits", "count"), [(0, 10), (1, 10), (5, 10), (10, 10), (3, 400)])
def test_intervals_hold_what_was_seen(hits: int, count: int) -> None:
    low, high = interval(hits, count)
    assert 0 <= low <= hits / count <= high <= 1
    assert low < high


def test_an_interval_of_a_mean_is_positive_and_holds_it() -> None:
    low, high, spread = mean_interval([60_000, 90_000, 120_000, 70_000, 65_000])
    assert 0 < low < 81_000 < high
    assert spread == pytest.approx(0.30, abs=0.01)
    assert mean_interval([5_000] * 5) == (5_000, 5_000, 0.05)


def test_times_are_of_the_wall_and_pauses_do_not_count(tmp_path: Path) -> None:
    wall = Wall()
    rehearsal = begun(tmp_path, wall, small(tmp_path, **WORKS))
    ann = joined(rehearsal)
    assert rehearsal.do("clock", ROOM, {"do": "run"}) is None
    chair: Any = rehearsal.room.seats[ann.seat].doing
    paused = False
    for _ in range(1_000):
        wall.ms += 4_000
        rehearsal.tick(60_000)
        act = next_act(chair, rehearsal.room.now_ms, rehearsal.room)
        if act is not None:
            assert rehearsal.do("acted", ann.seat, dict(act._asdict())) is None
        if chair.stage == "report" and not paused:
            paused = True
            assert rehearsal.do("clock", ROOM, {"do": "pause"}) is None
            wall.ms += 3_600_000
            rehearsal.tick(60_000)
            assert rehearsal.do("clock", ROOM, {"do": "run"}) is None
        if chair.reporting.reports:
            break
    took = debrief(rehearsal.room, rehearsal.events).observed.app_entry_ms
    assert len(took) == 1
    assert took[0] == pytest.approx(16_000, abs=4_000)  # four acts, four seconds each
    rehearsal.close()


def test_an_evening_follows_the_person_and_a_bots_acts_are_nobodys(tmp_path: Path) -> None:
    """Ann begins at one seat, moves to another, and leaves; bots play on."""
    wall = Wall()
    rehearsal = begun(tmp_path, wall, small(tmp_path, **WORKS))
    ann, bob = joined(rehearsal, "Ann"), joined(rehearsal, "Bob")
    assert rehearsal.do("clock", ROOM, {"do": "run"}) is None
    room = rehearsal.room

    def one_act(seat: str) -> None:
        doing: Any = room.seats[seat].doing
        act = next_act(doing, room.now_ms, room)
        if act is not None:
            wrong = {"n": "7"} if act.step == "freeze" else {}
            rehearsal.do("acted", seat, {"action": act.action, "fields": act.fields | wrong, "step": act.step})

    while room.seats[ann.seat].stage != "viability":
        wall.ms += 4_000
        rehearsal.tick(60_000)
        one_act(ann.seat)
    assert rehearsal.do("reassigned", ann.seat, {"to": "chair-5"}) is None
    assert rehearsal.do("bot", ann.seat, {"on": True}) is None
    assert rehearsal.do("bot", bob.seat, {"on": True}) is None
    assert rehearsal.do("left", "chair-5", {}) is None
    for _ in range(2_000):
        wall.ms += 4_000
        rehearsal.tick(60_000)
        if all(room.is_done(room.seats[one.seat]) for one in (ann, bob)):
            break
    found = debrief(room, rehearsal.events)
    person = rehearsal.person_of(ann.token)
    assert person == ann.person
    there = found.of(ann.seat)
    assert there is not None
    assert [(one.name, one.to_ms is None) for one in there.holders] == [("Ann", False)]
    assert there.as_json()["held_by"][0]["name"] == "Ann"
    own = found.of_person(person)
    assert [(one.seat, one.name) for one in own] == [(ann.seat, "Ann"), ("chair-5", "Ann")]
    assert "frozen_n" in {mistake.kind for mistake in own[0].mistakes}
    assert {author for one in found.seats if not one.bot for author in one.authors} == {ann.person}
    items = {item.id: item.result for item in own[0].items}
    assert items["frozen_n"] == "wrong"
    assert items["valid_report"] in {"none", "open"}
    whole = found.of(bob.seat)
    assert whole is not None
    assert whole.bot
    assert own[0].bots_acted
    assert not own[0].shared
    assert found.observed.worksheets == 0
    assert found.observed.app_entry_ms == []
    rehearsal.close()


def test_only_what_stands_in_the_released_figures_reached_the_public(evening: tuple[Rehearsal, Debrief]) -> None:
    rehearsal, _ = evening
    found = debrief(rehearsal.room, rehearsal.events)
    seat = next(one for one in found.seats if one.name == "=Bob")
    n, threshold = (Mistake(kind, "freeze", 0, "7", "8", seat.items[0].citation) for kind in ("frozen_n", "threshold"))
    wrong = {seat.seat: {"attendees"}}
    assert _gravity(seat, n, wrong) > _gravity(seat, threshold, wrong)
    assert _gravity(seat, n, {seat.seat: {"final.Sanders"}}) == _gravity(seat, threshold, wrong)
    n.corrected_ms = 120_000
    assert _why("frozen_n", _gravity(seat, n, wrong), seat, n).english() == "Put right at 00:02."


def test_a_number_under_a_group_that_the_precinct_did_not_have_is_a_wrong_one(
    evening: tuple[Rehearsal, Debrief],
) -> None:
    rehearsal, _ = evening
    site = rehearsal.room.seats["chair-1"].precinct
    assert site is not None
    first = {} if site.ballot else dict(site.first)
    right = Figures(site.attendance, first, dict(site.final), dict(site.award))
    report = Report(1, "chair-1", 0, "phone", 0, right, right)
    assert _wrong_fields(rehearsal.room, report) == set()
    report.typed = replace(right, final={**right.final, "Nobody's": 12})
    assert _wrong_fields(rehearsal.room, report) == {"final.Nobody's"}


def test_what_nobody_in_person_did_has_nobodys_name_and_a_seat_without_holders_names_none(
    evening: tuple[Rehearsal, Debrief],
) -> None:
    _, found = evening
    bob = found.of("chair-2")
    assert bob is not None

    def told(**changes: Any) -> str:
        values = {"people": [replace(bob, **changes)], "debrief": found, "title": "", "back": "/"}
        html = page("person.html", "en", results=RESULTS, kinds=KINDS, **values)
        return " ".join(re.sub("<[^>]*>", "", html).split())

    assert bob.mistakes
    two = (*bob.holders, replace(bob.holders[0], person=99, name="Dee"))
    assert f"{KINDS[bob.mistakes[0].kind].english()}: " in told(holders=two)
    assert "=Bob: " in told(holders=two)
    assert "(name deleted)" not in told(holders=two, authors=(NOBODY,) * len(bob.mistakes))
    alone = told(holders=(), bots_acted=True)
    assert "held by" not in alone
    assert "What the bot did counts for nobody." in alone
