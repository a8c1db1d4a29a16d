"""On paper stands what is on the screen: the same cases in the same order, and a key that the screen finds right."""

from __future__ import annotations

from dataclasses import replace

import pytest

from simulation.errors import InputError
from simulation.night import Luck
from simulation.night.order import Channel
from simulation.night.setting import Setting
from simulation.rehearsal.chair import ChairSeat
from simulation.rehearsal.chair_steps import REPORT
from simulation.rehearsal.checkin import CheckinSeat
from simulation.rehearsal.desk_papers import DeskSheet, Task, desk_sheets
from simulation.rehearsal.figures import codes, figures_of, keyed
from simulation.rehearsal.injects import catalog
from simulation.rehearsal.packet import Packet, Sheet, packet
from simulation.rehearsal.script import Script, script
from simulation.rehearsal.view import Table
from simulation.rehearsal.worksheet_steps import of_groups
from simulation.rehearsal.world import Figures
from simulation.rules.record import check
from simulation.scenario import load
from tests.unit.rehearsal.people import FakeWorld, Volunteer

SEATS = 24


@pytest.fixture(scope="module")
def papers(night: Script) -> Packet:
    return packet(night, SEATS)


def played(sheet: Sheet) -> ChairSeat:
    """The same seat on the screen, played rightly up to the report."""
    seat = ChairSeat(sheet.precinct, sheet.seat)
    Volunteer(seat, FakeWorld()).play(REPORT)
    return seat


def right(sheet: Sheet, label: str) -> str:
    return next(line.right.english() for line in sheet.key if line.label.english() == label)


def test_paper_asks_what_the_screen_asks_in_the_same_order(papers: Packet) -> None:
    for sheet in papers.sheets:
        assert list(played(sheet).answers) == [case.id for _, case in sheet.cases]
        assert [number for number, _ in sheet.cases] == list(range(1, len(sheet.cases) + 1))


def test_the_key_holds_what_is_right_on_the_screen(papers: Packet) -> None:
    for sheet in papers.sheets:
        seat = played(sheet)
        worksheet = seat.worksheet
        assert worksheet is not None
        assert seat.mistakes == []
        assert right(sheet, "People in the room, and N") == str(worksheet.attendees)
        assert right(sheet, "Threshold") == str(seat.threshold)
        assert right(sheet, "First alignment") == of_groups(worksheet.first_alignment).english()
        assert right(sheet, "Final alignment") == of_groups(worksheet.final).english()
        awarded = {group: people for group, people in worksheet.delegates.items() if people}
        assert right(sheet, "Delegates") == of_groups(awarded).english()
        signatures = right(sheet, "Signatures")
        assert all(sheet.precinct.captains[group] in signatures for group in sheet.precinct.viable_at_end)


def test_what_somebody_asks_for_is_in_the_trainers_hand(papers: Packet) -> None:
    """Another count, other numbers from the tellers, the coin: as on the screen."""
    off = toss = 0
    for sheet in papers.sheets:
        site = sheet.precinct
        told = {line.label.english(): " ".join(text.english() for text in line.tell) for line in sheet.key}
        assert [row[1] for row in sheet.heads.rows] == list(site.counts[0])
        again = told["People in the room, and N"]
        assert bool(again) == site.count_is_off
        off += site.count_is_off
        if site.count_is_off:
            assert all(str(people) in again for people in site.counts[1])
        for label, before, after in (
            ("First alignment", site.tellers, site.first),
            ("Final alignment", site.tellers_at_end, site.final),
        ):
            assert ("It is the same" in told[label]) == (before == after)
        assert bool(told["Delegates"]) == bool(site.tied)
        toss += bool(site.tied)
    assert off
    assert toss


def test_the_tellers_first_word_is_on_the_sheet_and_the_truth_is_not(papers: Packet) -> None:
    for sheet in papers.sheets:
        assert [row[1] for row in sheet.first.rows] == list(sheet.precinct.tellers.values())
        assert [row[1] for row in sheet.final.rows] == list(sheet.precinct.tellers_at_end.values())


def test_a_ballot_has_no_alignments_on_paper() -> None:
    poll = script(load("gop-straw-poll-2012"), seed=1, minutes=20)
    for sheet in packet(poll, 3).sheets:
        labels = [line.label.english() for line in sheet.key]
        assert "Votes" in labels
        assert not {"Threshold", "Viable groups", "Final alignment", "Delegates"} & set(labels)


def test_every_card_of_the_deck_is_printed_and_the_clock_runs_from_begin_to_end(papers: Packet, night: Script) -> None:
    assert [inject.id for inject in papers.injects][-len(catalog()) :] == [inject.id for inject in catalog()]
    assert papers.clock[0] == (0, night.begins_ms)
    assert papers.clock[-1] == (night.minutes, night.ends_ms)


def test_more_seats_than_precincts_are_refused(night: Script) -> None:
    with pytest.raises(InputError, match="this night has 2 precincts"):
        packet(replace(night, sites=night.sites[:2]), 3)


# The other seats


def desk(papers: Packet, role: str) -> DeskSheet:
    return next(one for one in papers.desks if one.role == role)


def numbers(table: Table) -> dict[str, tuple[int, ...]]:
    """A printed table: numbers by group, without the sums."""
    return {one[0].english(): one[1:] for one in table.rows[:-1]}  # type: ignore[union-attr, misc]  # Texts, then numbers


def tasks(sheet: DeskSheet) -> list[Task]:
    return [task for _, task in sheet.tasks]


def test_there_is_a_sheet_for_every_role(papers: Packet) -> None:
    assert [one.seat for one in papers.desks] == ["checkin-1", "operator-1", "entry-1", "reviewer-1"]
    for sheet in papers.desks:
        assert [number for number, _ in (*sheet.cases, *sheet.tasks)] == list(
            range(1, len(sheet.cases) + len(sheet.tasks) + 1)
        )
        for table in (table for task in tasks(sheet) for table in (*task.tables, *task.read)):
            if table.rows[0][0] != table.rows[-1][0] and sheet.role != "checkin":
                sums = [sum(column) for column in zip(*(row[1:] for row in table.rows[:-1]), strict=True)]
                assert list(table.rows[-1][1:]) == sums


def test_a_check_in_leads_paper_is_the_screens_and_its_key_is_right_there(papers: Packet) -> None:
    sheet = desk(papers, "checkin")
    site = papers.script.sites[0]
    seat = CheckinSeat(site, "checkin-1")
    volunteer = Volunteer(seat, FakeWorld())
    volunteer.play()
    assert list(seat.answers) == [case.id for _, case in sheet.cases]
    (task,) = tasks(sheet)
    assert seat.mistakes == []
    assert str(seat.handed_over) == task.right.english()
    assert sum(row[1] for row in task.tables[0].rows) == seat.handed_over  # type: ignore[misc]  # numbers


def test_one_report_that_is_read_to_the_operator_has_a_number_misread(papers: Packet) -> None:
    """A simulated chair's worksheet of this night, and what an operator of this night made of it."""
    plain, misread, help_call = tasks(desk(papers, "operator"))
    assert (plain.form, misread.form, help_call.form) == (True, True, False)
    assert plain.worked == ()
    said = misread.worked[0].english()
    assert "Misread one number" in said
    assert help_call.answer is not None
    assert "call in the report" in help_call.options[help_call.answer].english()
    setting = night_of(papers)
    for task in (plain, misread):
        site = next(one for one in papers.script.sites if one.name in task.tell[0].english())
        assert site.code in task.tell[0].english()
        worksheet = figures_of(setting, setting.worksheets[0][site.site], site.attendance)
        assert numbers(task.read[0]) == printed(setting, worksheet)
        assert site not in [one.precinct for one in papers.sheets], "a key that somebody else holds"
    typed = keyed(setting, site.site, worksheet, Channel.PHONE)
    ((name, wrong, right),) = differing(typed, worksheet)
    assert f"say {wrong}." in said
    assert f"“No, {right}.”" in said
    assert name.partition(".")[2].lower() in said.lower()


def test_one_of_the_reports_at_data_entry_has_one_wrong_number(papers: Packet) -> None:
    found = tasks(desk(papers, "entry"))
    wrong = []
    for task in found:
        operator, photo = (numbers(table) for table in task.tables)
        assert list(operator) == list(photo)
        off = [(a, b) for group in photo for a, b in zip(operator[group], photo[group], strict=True) if a != b]
        if not off:
            assert task.right.english() == "Nothing differs."
            continue
        wrong.append(task)
        ((given, right),) = off
        assert task.right.english().endswith(f": {given} instead of {right}.")
    assert len(wrong) == 1


def test_a_reviewer_decides_on_paper_as_on_the_screen(papers: Packet) -> None:
    """By the tables that are printed: same as the worksheet or not, a rule broken or not, asked before or not."""
    decided = []
    for task in tasks(desk(papers, "reviewer")):
        *entries, worksheet = (numbers(table) for table in task.tables)
        site = next(one for one in papers.script.sites if one.name == task.title.english())
        story = " ".join(text.english() for text in task.story)
        assert str(site.attendance) in story
        if len(entries) == 2:
            assert entries[0] != entries[1]
            right = "Take the first entry" if entries[0] == worksheet else "Take the second entry"
            assert worksheet in entries
        elif entries[0] != worksheet:
            right = "Enter what the worksheet says"
        else:
            assert breaks_a_rule(worksheet, site.delegates)
            right = "Release" if "called about it before" in story else "Send back to the chair"
        assert task.right.english() == right
        assert task.answer is not None
        assert task.options[task.answer].english() == right
        decided.append(right)
    assert len(set(decided)) == 4


def breaks_a_rule(table: dict[str, tuple[int, ...]], delegates: int) -> bool:
    first, final, awarded = zip(*table.values(), strict=True)
    return check(list(first), list(final), list(awarded), delegates) != 0


def night_of(papers: Packet) -> Setting:
    script = papers.script
    return Setting(script.scenario, Luck(script.seed, script.night, script.scenario.spec.clock.resolution))


def printed(setting: Setting, figures: Figures) -> dict[str, tuple[int, ...]]:
    rows = [(figures.first_alignment, figures.final, figures.delegates)]
    return {
        (group if group != group.lower() else group.title()): tuple(counts.get(group, 0) for counts in rows[0])
        for group in setting.groups
        if any(counts.get(group) for counts in rows[0])
    }


def differing(typed: Figures, said: Figures) -> list[tuple[str, int, int]]:
    parts = (("first", typed.first_alignment, said.first_alignment), ("final", typed.final, said.final))
    return [
        (f"{part}.{group}", one.get(group, 0), other.get(group, 0))
        for part, one, other in (*parts, ("delegates", typed.delegates, said.delegates))
        for group in {**one, **other}
        if one.get(group, 0) != other.get(group, 0)
    ]


@pytest.mark.parametrize("sites", [1, 2, 12])
def test_a_small_night_has_a_wrong_number_for_every_desk_too(night: Script, sites: int) -> None:
    """Where nobody mistyped anything that night, something is made wrong; the keys stay right."""
    few = packet(replace(night, sites=night.sites[:sites]), 1)
    test_one_of_the_reports_at_data_entry_has_one_wrong_number(few)
    test_a_reviewer_decides_on_paper_as_on_the_screen(few)
    assert "Misread" in tasks(desk(few, "operator"))[1].worked[0].english()


def test_after_a_secret_ballot_the_desks_have_votes_alone() -> None:
    poll = script(load("gop-straw-poll-2012"), seed=1, minutes=20)
    for sheet in desk_sheets(poll, 3):
        assert sheet.tasks
        for task in tasks(sheet):
            for table in (*task.tables, *task.read):
                assert len(table.columns) == 2
    setting = Setting(poll.scenario, Luck(1, 0, poll.scenario.spec.clock.resolution))
    assert codes(setting, Figures(10, {}, {setting.groups[0]: 10}, {}), 0) == ()
