"""On paper stands what is on the screen: the same cases in the same order, and a key that the screen finds right."""

from __future__ import annotations

from dataclasses import replace

import pytest

from simulation.errors import InputError
from simulation.rehearsal.chair import ChairSeat
from simulation.rehearsal.chair_steps import REPORT
from simulation.rehearsal.injects import catalog
from simulation.rehearsal.packet import Packet, Sheet, packet
from simulation.rehearsal.script import Script, script
from simulation.rehearsal.worksheet_steps import of_groups
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
