"""The script: precincts of the night's own records, equal for equal nights, worth rehearsing, each different."""

from __future__ import annotations

import pytest

from simulation.errors import InputError
from simulation.rehearsal.script import LENGTHS, Script, script
from simulation.rules import outcomes
from simulation.rules.law import is_viable, threshold
from simulation.scenario import load


def test_equal_nights_have_equal_scripts(night: Script) -> None:
    assert script(load("iowa-2020"), seed=3, night=0, minutes=90).sites == night.sites
    assert script(load("iowa-2020"), seed=3, night=1, minutes=90).sites != night.sites


def test_the_first_precincts_are_worth_rehearsing_and_none_is_like_another(night: Script) -> None:
    first = night.sites[:24]
    assert all(3 <= site.delegates <= 9 and 40 <= site.attendance <= 200 for site in first)
    assert all(any(abs(people - site.threshold) <= 2 for people in site.first.values() if people) for site in first)
    assert sum(bool(site.tied) for site in first) >= 3
    assert any(site.count_is_off for site in first)
    assert len({(site.delegates, site.attendance) for site in first}) == len(first)
    assert len({site.id for site in night.sites}) == len(night.sites) >= 200


def test_what_is_true_in_a_script_is_lawful(night: Script) -> None:
    for site in night.sites[:200]:
        assert site.threshold == threshold(site.delegates, site.attendance)
        assert sum(site.first.values()) == site.attendance >= sum(site.final.values())
        assert site.viable == tuple(
            group for group in site.groups if is_viable(site.first[group], site.delegates, site.attendance)
        )
        found = outcomes(list(site.final.values()), site.delegates, site.attendance)
        if found.awards:
            assert tuple(site.award.values()) in found.awards
        if site.tied and found.awards:
            swing = {group: site.award[group] - found.settled[site.groups.index(group)] for group in site.tied}
            changed = {group for group in site.tied if swing[group]}
            favored = set(site.luckier)
            assert favored == (changed if site.swing > 0 else set(site.tied) - changed)


def test_counts_and_tellers_come_right_when_they_are_asked_again(night: Script) -> None:
    for site in night.sites[:200]:
        assert sum(site.counts[-1]) == site.attendance == sum(site.sheets)
        assert sum(site.counts[0]) >= site.attendance
        if site.tellers != site.first:
            assert sum(site.tellers.values()) > site.attendance  # whoever adds up notices it
        if site.tellers_at_end != site.final:
            assert sum(site.tellers_at_end.values()) > site.attendance
    off = sum(site.count_is_off for site in night.sites)
    assert 0.2 < off / len(night.sites) < 0.5


def test_shorter_evenings_are_the_same_with_fewer_cases(night: Script) -> None:
    for minutes, length in LENGTHS.items():
        shorter = script(load("iowa-2020"), seed=3, night=0, minutes=minutes)
        assert shorter.speed == length.speed
        assert shorter.begins_ms < shorter.call_to_order_ms < shorter.ends_ms
        for one, long in zip(shorter.sites[:50], night.sites, strict=False):
            assert (one.id, one.first, one.final, one.award, one.pin) == (
                *(long.id, long.first, long.final, long.award, long.pin),
            )
            assert {case.id for case in one.requests} <= {case.id for case in long.requests}


def test_a_length_that_is_not_there_is_refused() -> None:
    with pytest.raises(InputError, match="20, 45, 90"):
        script(load("iowa-2020"), minutes=30)


def test_every_case_has_one_right_answer_and_every_answer_a_consequence(night: Script) -> None:
    for site in night.sites[:60]:
        every = (*site.at_door, *site.at_check_in, site.line_at_seven, *site.after_freeze, *site.requests)
        for case in every:
            assert sum(answer.right for answer in case.answers) == 1
            assert all(answer.consequence.english() and answer.label.english() for answer in case.answers)
            assert len({answer.value for answer in case.answers}) == len(case.answers)


def test_the_right_answer_is_not_always_the_first(night: Script) -> None:
    places = {case.answers.index(case.right) for site in night.sites[:40] for case in (*site.at_door, *site.requests)}
    assert len(places) >= 3
