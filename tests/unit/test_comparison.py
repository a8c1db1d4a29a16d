"""Differences under shared luck: their intervals, what the sharing is worth, and how they are told."""

from __future__ import annotations

import math
import random
import statistics
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from simulation.errors import InputError
from simulation.experiment.comparison import Arm, Comparison, Difference, findings, labeled, sentences, worth
from simulation.experiment.measures import default_measures, parse_measure
from simulation.night import play_night
from simulation.report.comparison import page
from simulation.roster import synthesize
from simulation.scenario import Scenario, load
from simulation.scenario.values import MINUTE

HOSTILE = "<script>alert('Adair & \"sons\"')</script>"
SITES = 60
NIGHTS = 12
SMALL = {"turnout.people": 100 * SITES, "hotline.nuisance": 0}
Pairs = list[tuple[float | None, float | None]]


@pytest.fixture(scope="module")
def scenario() -> Scenario:
    return load("baseline")


def difference(scenario: Scenario, pairs: Pairs, name: str = "cost") -> Difference:
    return Difference(parse_measure(name), Arm("A", "one", scenario), Arm("B", "other", scenario), pairs)


def lucky(seed: int, nights: int, effect: float, own: float) -> Pairs:
    """Two arms whose nights have most of their luck in common: `own` is what each has beside it."""
    luck = random.Random(seed)
    shared = [luck.gauss(100, 10) for _ in range(nights)]
    return [(level + luck.gauss(0, own), level + effect + luck.gauss(0, own)) for level in shared]


# The numbers


def test_the_interval_is_the_paired_t_interval(scenario: Scenario) -> None:
    one = difference(scenario, lucky(1, 30, 5, 2))
    first, other = (np.array(column, dtype=float) for column in zip(*one.pairs, strict=True))
    interval = stats.ttest_rel(other, first).confidence_interval(0.95)
    assert one.interval == pytest.approx((interval.low, interval.high), rel=1e-12)
    assert one.mean == pytest.approx((other - first).mean())


def test_the_interval_holds_the_true_difference_in_nineteen_comparisons_of_twenty(scenario: Scenario) -> None:
    held = 0
    for seed in range(400):
        interval = difference(scenario, lucky(seed, 10, 5, 2)).interval
        assert interval is not None
        held += interval[0] <= 5 <= interval[1]
    assert abs(held / 400 - 0.95) < 0.035  # three standard errors


def test_the_variance_reduction_is_what_shared_luck_takes_out_of_the_difference(scenario: Scenario) -> None:
    one = difference(scenario, lucky(2, 4000, 5, 1))
    assert one.variance_reduction == pytest.approx(2 * (100 + 1) / 2, rel=0.1)  # 2 (shared + own) / 2 own
    assert one.independent_nights == round((one.variance_reduction or 0) * 4000)
    independent = difference(scenario, [(a, b) for (a, _), (_, b) in zip(one.pairs, one.pairs[1:], strict=False)])
    assert independent.variance_reduction == pytest.approx(1, rel=0.1)


def test_so_many_nights_of_independent_luck_have_an_interval_as_narrow(scenario: Scenario) -> None:
    one = difference(scenario, lucky(3, 500, 5, 2))
    paired = statistics.variance(one.values) / 500
    first, other = zip(*one.both, strict=True)
    unpaired = (statistics.variance(first) + statistics.variance(other)) / (one.independent_nights or 0)
    assert unpaired == pytest.approx(paired, rel=0.01)


@given(st.lists(st.tuples(st.integers(-9, 9), st.integers(-9, 9)), min_size=1, max_size=30))
def test_higher_lower_and_equal_nights_are_all_the_nights(pairs: list[tuple[int, int]]) -> None:
    one = difference(load("baseline"), [(float(a), float(b)) for a, b in pairs])
    parts = [one.share(holds) for holds in (lambda d: d > 0, lambda d: d < 0, lambda d: d == 0)]
    assert math.isclose(sum(part or 0 for part in parts), 1)
    assert one.is_nothing == (parts[2] == 1)
    if one.is_clear:
        assert one.mean
        assert not one.is_nothing


def test_one_night_has_a_difference_but_no_interval(scenario: Scenario) -> None:
    one = difference(scenario, [(1.0, 3.0)])
    assert (one.mean, one.interval, one.variance_reduction, one.is_clear) == (2, None, None, False)


def test_a_difference_that_never_varies_is_certain_and_has_no_variance_to_reduce(scenario: Scenario) -> None:
    one = difference(scenario, [(1.0, 3.0), (5.0, 7.0), (2.0, 4.0)])
    assert (one.interval, one.variance_reduction, one.is_clear) == ((2, 2), None, True)


def test_nights_in_which_it_never_happened_are_left_out_and_told(scenario: Scenario) -> None:
    pairs: Pairs = [(60.0, 50.0), (None, 55.0), (70.0, 58.0), (None, None)]
    one = difference(scenario, [(a and a * MINUTE, b and b * MINUTE) for a, b in pairs], "hold_p90")
    assert one.never == (2, 1)
    assert one.mean == -11 * MINUTE
    said = " ".join(sentences([one]))
    assert "never in 2 nights of A and 1 night of B; the difference is that of the other 2" in said
    nothing = difference(scenario, [(None, 1.0), (None, 2.0)])
    assert "there is no difference to tell" in " ".join(sentences([nothing]))
    assert nothing.json()["difference"] is None


# Nights that were played


@pytest.fixture(scope="module")
def roster(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("roster") / "precincts.csv"
    rows = synthesize("iowa-2020").csv().splitlines(keepends=True)[: SITES + 1]
    file.write_text("".join(rows))
    return file


def played(roster: Path, *settings: dict[str, object], nights: int = NIGHTS) -> Comparison:
    arms = labeled([load("iowa-2020", {**SMALL, **changed}, roster) for changed in settings], [])
    rows = [[play_night(arm.scenario, 1, night).row for night in range(nights)] for arm in arms]
    return Comparison(arms, rows, [default_measures() for _ in arms], 1, False, "compiled")


@pytest.fixture(scope="module")
def operators(roster: Path) -> Comparison:
    """A lever on the hotline."""
    return played(roster, {"hotline.operators": 3}, {"hotline.operators": 6})


def of(found: Comparison, name: str) -> Difference:
    return next(one for one in found.differences[0] if one.measure.name == name)


def test_a_lever_on_the_hotline_leaves_the_doors_as_they_were(operators: Comparison) -> None:
    assert of(operators, "wait_p90").is_nothing
    assert of(operators, "in_line_share").is_nothing
    assert not of(operators, "hold_p90").is_nothing


def test_sharing_luck_narrows_what_a_lever_on_the_hotline_does(operators: Comparison) -> None:
    """Held against the same nights with luck of their own: each night of A beside another one of B."""
    for name in ("reported@23:00", "hold_p90"):
        one = of(operators, name)
        first, other = zip(*one.both, strict=True)
        shifted = [b - a for a, b in zip(first, other[1:] + other[:1], strict=True)]
        assert statistics.variance(one.values) < statistics.variance(shifted)
        assert one.variance_reduction is not None
        expected = (np.var(first, ddof=1) + np.var(other, ddof=1)) / np.var(np.subtract(other, first), ddof=1)
        assert one.variance_reduction == pytest.approx(expected)


def test_two_equal_nights_differ_in_nothing_and_say_so(roster: Path) -> None:
    found = played(roster, {}, {}, nights=2)
    assert all(one.is_nothing for one in found.differences[0])
    assert [arm.label for arm in found.arms] == ["iowa-2020 (A)", "iowa-2020 (B)"]
    assert findings(found)[0].startswith("No difference in any night between A and B: ")
    assert worth(found) == []
    assert "No measure differs clearly" in page(found, "caucus compare")


def test_more_operators_are_told_as_shorter_holds_at_higher_cost(operators: Comparison) -> None:
    said = findings(operators)
    hold = next(sentence for sentence in said if sentence.startswith("The hold of reports that one in ten exceeds"))
    assert "\N{MINUS SIGN}" in hold
    cost = next(sentence for sentence in said if sentence.startswith("The cost of the plan"))
    assert ", +$" in cost
    assert said[-1].startswith("All arms share their luck. ")


def test_the_summary_and_the_frame_hold_every_arm_and_night(operators: Comparison) -> None:
    summary, frame = operators.summary(), operators.frame()
    assert [arm["arm"] for arm in summary["arms"]] == ["A", "B"]
    assert len({arm["logical_hash"] for arm in summary["arms"]}) == 2
    assert {one["measure"] for one in summary["differences"]} == {one.name for one in default_measures()}
    assert frame.group_by("arm").len().sort("arm").rows() == [("A", NIGHTS), ("B", NIGHTS)]
    hold = next(one for one in summary["differences"] if one["measure"] == "hold_p90")
    of_arm = {arm: frame.filter(frame["arm"] == arm)["hold_p90_ms"] for arm in "AB"}
    assert hold["difference"] == pytest.approx((of_arm["B"] - of_arm["A"]).mean())


def test_the_page_says_what_is_in_the_summary_and_is_the_same_each_time(operators: Comparison) -> None:
    text = page(operators, "caucus compare iowa-2020")
    assert text == page(operators, "caucus compare iowa-2020")
    assert "caucus compare iowa-2020" in text
    for one in operators.differences[0]:
        assert one.measure.label.removeprefix("the ") in text.replace("\N{NARROW NO-BREAK SPACE}", " ")


def test_three_arms_are_each_held_against_the_first(roster: Path) -> None:
    found = played(roster, {"hotline.operators": 3}, {"hotline.operators": 4}, {"hotline.operators": 6}, nights=3)
    assert [of_arm[0].other.letter for of_arm in found.differences] == ["B", "C"]
    text = page(found, "caucus compare")
    assert "B against A" in text
    assert "C against A" in text


def test_what_a_scenario_calls_itself_cannot_break_the_page(operators: Comparison) -> None:
    first = operators.arms[0]
    spec = first.scenario.spec.model_copy(update={"title": HOSTILE})
    hostile = replace(first, label=HOSTILE, scenario=replace(first.scenario, spec=spec))
    text = page(replace(operators, arms=[hostile, *operators.arms[1:]]), HOSTILE)
    assert "<script" not in text


# Labels


@pytest.mark.parametrize(
    ("settings", "own", "expected"),
    [
        (({}, {"hotline.operators": 80}), ["hotline.operators"], ["iowa-2020", "iowa-2020 with hotline.operators=80"]),
        (
            ({"hotline.operators": 30}, {"hotline.operators": 80}),
            ["hotline.operators"],
            ["hotline.operators=30", "hotline.operators=80"],
        ),
        (({"hotline.lines": 9}, {"hotline.lines": 9, "hotline.silent": 0.5}), ["hotline.silent"], None),
    ],
)
def test_arms_are_called_by_what_differs(settings: Any, own: list[str], expected: list[str] | None) -> None:
    arms = labeled([load("iowa-2020", changed) for changed in settings], own)
    assert [arm.label for arm in arms] == (expected or ["iowa-2020", "iowa-2020 with hotline.silent=0.5"])
    assert [arm.letter for arm in arms] == ["A", "B"]


def test_more_arms_than_a_picture_tells_apart_are_refused(scenario: Scenario) -> None:
    with pytest.raises(InputError, match="compare takes 2 to 5"):
        labeled([scenario] * 6, [])
