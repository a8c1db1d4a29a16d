"""What a report may say: what is refused, what is recorded and looked at, what passes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from loadtests.backend import checks
from loadtests.backend.checks import CODES, Figures
from loadtests.backend.storage import Caucus, Site

FIVE = Site("0001", "Adair/Adair 1", "Adair", "Adair 1", 5, 10**8, False, 3, "19001", 100)
ONE = replace(FIVE, code="0002", delegates=1)
SATELLITE = replace(FIVE, code="0003", delegates=4, satellite=True)
RULES_2020 = Caucus("small", "Small", "2020", ("a", "b", "c"), {"0001": FIVE})

# 100 people elect 5: a group of 15 is viable; 60, 40 and 0 come to 3, 2 and 0 delegates.
CLEAN = Figures(100, {"a": 50, "b": 40, "c": 10}, {"a": 60, "b": 40}, {"a": 3, "b": 2})


def codes(figures: Figures, site: Site = FIVE, rules: str = "2020") -> list[str]:
    caucus = replace(RULES_2020, rules=rules)
    found = checks.errors(caucus, site, figures) or checks.warnings(caucus, site, figures)
    return [finding.code for finding in found]


def test_a_worksheet_by_the_rules_passes():
    assert codes(CLEAN) == []


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        ("R20", {"final": {"z": 1}}),
        ("R20", {"delegates": {"z": 0}}),
        ("R21", {"first_alignment": {"a": 50, "b": 51}}),
        ("R22", {"final": {"a": 61, "b": 40}}),
        ("R23", {"final": {"a": 49, "b": 40}}),
        ("R24", {"delegates": {"a": 4, "b": 2}}),
    ],
)
def test_what_cannot_be_true_is_refused(code: str, changes: Mapping[str, Any]):
    assert codes(replace(CLEAN, **changes)) == [code]


@pytest.mark.parametrize(
    ("expected", "changes"),
    [
        (["W01"], {"delegates": {"a": 4, "b": 1}}),
        (["W01", "W02"], {"delegates": {"a": 2, "b": 2}}),
        (["W01", "W03"], {"final": {"a": 60, "b": 40, "c": 0}, "delegates": {"a": 2, "b": 2, "c": 1}}),
        (["W01", "W04"], {"delegates": {"a": 5}}),
        (["W01", "W05"], {"delegates": {"a": 2, "b": 3}}),
        (["W06"], {"first_alignment": {}, "attendees": 0, "final": {}, "delegates": {}}),
        (["W09"], {"first_alignment": {"a": 50, "b": 40, "c": 9}, "final": {"a": 59, "b": 40}}),
        (["W09", "W08"], {"first_alignment": {"a": 50, "b": 40, "c": 9}}),
    ],
)
def test_a_mistake_of_the_chair_is_recorded_and_looked_at(expected: list[str], changes: Mapping[str, Any]):
    assert codes(replace(CLEAN, **changes)) == expected


def test_a_group_below_the_threshold_may_shrink():
    assert codes(replace(CLEAN, first_alignment={"a": 50, "b": 40, "c": 10}, final={"a": 60, "b": 40, "c": 0})) == []


def test_nobody_is_locked_under_the_rules_of_2016():
    assert codes(replace(CLEAN, final={"a": 49, "b": 51}, delegates={"a": 2, "b": 3}), rules="2016") == []


def test_viable_groups_may_shrink_where_more_of_them_are_viable_than_delegates_are_elected():
    two = replace(FIVE, delegates=2)
    figures = Figures(90, {"a": 30, "b": 30, "c": 30}, {"a": 45, "b": 45}, {"a": 1, "b": 1})
    assert codes(figures, two) == []


@pytest.mark.parametrize("first", [None, {}, {"a": 12, "b": 8}])
def test_a_precinct_of_one_delegate_needs_no_alignment(first: Mapping[str, int] | None):
    assert codes(Figures(20, first, {"a": 12, "b": 8}, {"a": 1}), ONE) == []


def test_the_room_of_one_delegate_may_have_voted_otherwise_which_is_looked_at():
    assert codes(Figures(20, None, {"a": 12, "b": 8}, {"b": 1}), ONE) == ["W07"]


@pytest.mark.parametrize(("people", "elects"), [(1, 4), (20, 4), (21, 5), (100, 8), (101, 9)])
def test_a_satellite_elects_by_its_head_count(people: int, elects: int):
    assert checks.allotted(SATELLITE, people, "2020") == elects
    assert codes(Figures(people, {"a": people}, {"a": people}, {"a": elects}), SATELLITE)[:1] in ([], ["W10"])
    assert codes(Figures(people, {"a": people}, {"a": people}, {"a": elects + 1}), SATELLITE) == ["R24"]


def test_a_secret_ballot_elects_nobody():
    assert codes(Figures(100, {}, {"a": 60, "b": 39}, {}), FIVE, "straw-poll") == []
    assert codes(Figures(100, {}, {"a": 60, "b": 39}, {"a": 1}), FIVE, "straw-poll") == ["R24"]
    assert codes(Figures(100, {}, {}, {}), FIVE, "straw-poll") == ["W06"]


def test_far_more_people_than_expected_are_looked_at():
    many = Figures(301, {"a": 301}, {"a": 301}, {"a": 5})
    assert codes(many) == ["W10"]


def test_a_partial_report_is_only_held_against_what_is_there():
    assert checks.errors(RULES_2020, FIVE, Figures(100)) == []
    assert [e.code for e in checks.errors(RULES_2020, FIVE, Figures(100, {"a": 101}))] == ["R21"]


def test_every_code_has_one_documented_line():
    page = checks.codes_markdown()
    for code, (status, meaning) in CODES.items():
        assert (status == 0) == code.startswith("W")
        assert f"| {code} | {status or 'warning'} | {meaning} |" in page
        assert "\n" not in meaning
        assert "|" not in meaning
