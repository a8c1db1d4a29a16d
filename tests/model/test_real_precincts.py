"""The law against history: Iowa's precincts of 2020 as they were certified."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from simulation.randomness import Integers
from simulation.roster import marginals
from simulation.rules import Status, outcomes
from simulation.rules.apportionment import is_lawful
from simulation.rules.audit import KINDS, check, explain

CANDIDATES = (
    *("bennet", "biden", "bloomberg", "buttigieg", "delaney", "gabbard", "klobuchar"),
    *("patrick", "sanders", "steyer", "warren", "yang", "other", "uncommitted"),
)


def ints(values: Sequence[int]) -> Integers:
    return np.array(values, dtype=np.int64)


@dataclass(frozen=True)
class Precinct:
    county: str
    name: str
    delegates: int
    first: list[int]
    final: list[int]
    awarded: list[int]

    @property
    def complete(self) -> bool:
        return sum(self.first) > 0 and sum(self.final) > 0


@pytest.fixture(scope="module")
def certified(shared_data: Path) -> list[Precinct]:
    """All 1,678 precincts, without the satellites."""
    with (shared_data / "iowa2020_precincts.csv").open(newline="", encoding="utf-8") as file:
        return [
            Precinct(
                row["county"],
                row["precinct"],
                int(row["county_delegates"]),
                *([int(row[f"{column}_{name}"]) for name in CANDIDATES] for column in ("first", "final", "del")),
            )
            for row in csv.DictReader(file)
            if row["kind"] == "precinct"
        ]


@pytest.fixture(scope="module")
def cases(shared_data: Path) -> list[dict[str, Any]]:
    return json.loads((shared_data / "caucus_math_cases.json").read_text(encoding="utf-8"))  # type: ignore[no-any-return]  # a list


def test_the_twelve_published_cases_come_out_as_they_were_judged(cases: list[dict[str, Any]]) -> None:
    """Threshold, rounding, every allowed award, and whether the official award is one of them."""
    assert len(cases) == 12
    for case in cases:
        names = list(case["final"])
        sizes, delegates, attendance = list(case["final"].values()), case["delegates"], case["attendance_used"]
        official = tuple(case["official_delegates"].get(name, 0) for name in names)
        found = outcomes(sizes, delegates, attendance)
        assert found.threshold == case["viability_threshold"], case["precinct"]
        assert (official in found.awards) == (case["expected"] == "ok"), case["precinct"]
        assert is_lawful(ints(sizes), delegates, attendance, ints(official)) == (case["expected"] == "ok")
        if delegates > 1:
            allowed = {tuple(award.get(name, 0) for name in names) for award in case["allowed"]}
            assert set(found.awards) == allowed, case["precinct"]
            if found.status is not Status.NO_AWARD:
                natural = [case["natural"][name] for name in names]
                assert [group.rounded for group in found.groups] == natural, case["precinct"]


def test_61_of_the_certified_awards_of_2020_are_not_by_the_rules(certified: list[Precinct]) -> None:
    """The party certified them as signed: a worksheet binds even when its arithmetic is wrong."""
    judged = [p for p in certified if p.delegates > 1 and p.complete]
    unlawful = [p for p in judged if not is_lawful(ints(p.final), p.delegates, sum(p.first), ints(p.awarded))]
    assert (len(certified), len(judged), len(unlawful)) == (1678, 1556, 61)


def test_what_the_audit_finds_in_the_certified_record_of_2020(certified: list[Precinct]) -> None:
    """79 finals above the first alignment is also what the press counted; the other numbers are measured here."""
    counts: Counter[str] = Counter()
    for p in certified:
        counts.update(explain(check(ints(p.first), ints(p.final), ints(p.awarded), p.delegates)))
    assert counts == {
        "final_exceeds_first": 79,
        "award_not_by_rule": 61,
        "awarded_not_allotted": 13,
        "viable_group_shrank": 17,
        "nonviable_awarded": 10,
        "viable_group_unawarded": 6,
        "more_votes_fewer_delegates": 4,
        "missing_alignment": 2,
        "single_delegate_not_plurality": 16,
    }
    assert set(counts) == set(KINDS)  # no kind is an invention: the certified record has them all


@pytest.mark.parametrize(
    ("county", "name", "final", "awarded"),
    [
        ("Muscatine", "Fruitland Two/Lake-Fruitl", [16, 7, 7], [1, 1, 1]),  # nobody rounded up holds two
        ("Polk", "URBANDALE-03", [83, 62, 79, 81], [3, 2, 2, 3]),  # one was rounded up, two are too many
    ],
)
def test_chairs_took_delegates_back_as_the_named_policy_says(
    certified: list[Precinct], county: str, name: str, final: list[int], awarded: list[int]
) -> None:
    [p] = [p for p in certified if (p.county, p.name) == (county, name)]
    assert [size for size in p.final if size] == final
    assert [seats for seats in p.awarded if seats] == awarded
    assert outcomes(p.final, p.delegates, sum(p.first)).awards == (tuple(p.awarded),)


def test_in_57_precincts_more_groups_were_viable_in_the_end_than_delegates_elected(certified: list[Precinct]) -> None:
    """There the smallest drop out and the others get one each; all chairs but two did so."""
    dropped = [p for p in certified if outcomes(p.final, p.delegates, max(1, sum(p.first))).status is Status.DROPPED]
    lawful = [p for p in dropped if is_lawful(ints(p.final), p.delegates, sum(p.first), ints(p.awarded))]
    assert (len(dropped), len(lawful)) == (57, 55)


def test_the_pools_of_the_satellites_are_those_published(shared_data: Path) -> None:
    with (shared_data / "iowa2020_counties.csv").open(newline="", encoding="utf-8") as file:
        published = {
            row["district"] or "out of state": float(row["sde_reported"])
            for row in csv.DictReader(file)
            if row["kind"] == "satellite_group"
        }
    # Each site was rounded by itself, and a few were published otherwise: within .11 SDE of the pool.
    pools = {str(group.district or "out of state"): group.sde for group in marginals.load("iowa-2020").groups}
    assert published == {group: pytest.approx(pool, abs=0.11) for group, pool in pools.items()}
