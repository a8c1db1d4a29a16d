"""Sensitivity: known functions give their known indices, through the very path that plays nights."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from simulation.errors import InputError
from simulation.experiment.assumptions import MIDDLE, POSITIONS, changed, ranged
from simulation.experiment.measures import Measure, parse_measures
from simulation.experiment.sensitivity import LUCK, OTHERS, Plan, Sensitivity, analyze, measures_of, result_text
from simulation.experiment.work import Unit
from simulation.randomness import bits
from simulation.report.sensitivity import page
from simulation.scenario import Scenario, load
from simulation.words import percent

SEED = 7
Row = dict[str, Any]
Night = Callable[[Mapping[str, float], int], float]  # places 0 .. 1 by key, and the night number, to what is measured


@cache
def night() -> Scenario:
    return load("iowa-2016")


@cache
def keys() -> list[str]:
    return [assumption.key for assumption in ranged(night())]


PEOPLE = parse_measures(["in_line@19:00"])  # a plain number, read at one place of the row


def played(function: Night, measures: Sequence[Measure] = PEOPLE, plan: Plan | None = None) -> Sensitivity:
    """The study of a known function of positions and luck in place of a caucus night."""

    def play(units: Sequence[Unit], _doing: str) -> list[Row]:
        rows = []
        for unit in units:
            places = {key: position / POSITIONS for key, position in unit.positions}
            assert places.keys() == set(keys()), "whatever is not varied is held, not drawn"
            rows.append({"in_line": [function(places, unit.night)] * 61, "sites": 1})
        return rows

    return analyze(night(), measures, play, seed=SEED, plan=plan or Plan(base=1024))


def ishigami(places: Mapping[str, float], _night: int) -> float:
    x, y, z = (math.pi * (2 * places[key] - 1) for key in keys()[:3])
    return math.sin(x) + 7 * math.sin(y) ** 2 + 0.1 * z**4 * math.sin(x)


def luck(number: int) -> float:
    return float(bits(SEED, number, 1, 2, 3, 4)) / POSITIONS


def test_ishigamis_function_has_its_known_indices() -> None:
    """First order .3139, .4424, 0; total .5576, .4424, .2437 (Ishigami and Homma 1990, a = 7, b = .1)."""
    (of,) = played(ishigami).of_measures
    found = [of.indices[key] for key in keys()[:3]]
    for index, first, total in zip(found, (0.3139, 0.4424, 0), (0.5576, 0.4424, 0.2437), strict=True):
        assert abs(index.first - first) < max(0.03, index.first_error)
        assert abs(index.total - total) < max(0.03, index.total_error)
        assert index.first_error < 0.08


def test_of_a_sum_every_part_has_the_share_of_its_square_and_luck_is_one_of_the_parts() -> None:
    one, other, *_ = keys()
    (of,) = played(lambda at, number: 4 * at[one] + 2 * at[other] + 3 * luck(number)).of_measures
    for name, part in ((one, 16), (other, 4), (LUCK, 9)):
        assert abs(of.indices[name].first - part / 29) < 0.05
        assert abs(of.indices[name].total - part / 29) < 0.05


def test_what_is_not_among_the_most_important_counts_together_as_one_factor() -> None:
    weights = dict(zip(keys()[:4], (8, 4, 2, 2), strict=True))
    found = played(lambda at, _: sum(w * at[key] for key, w in weights.items()), plan=Plan(base=1024, most=2))
    assert found.studied == keys()[:2]
    (of,) = found.of_measures
    assert set(of.indices) == {*found.studied, OTHERS, LUCK}
    assert abs(of.indices[OTHERS].first - 8 / 88) < 0.03


def test_the_effect_of_a_whole_range_is_the_coefficient_of_a_linear_function() -> None:
    one, other, *_ = keys()
    (of,) = played(
        lambda at, number: 100 + 5 * at[one] - 3 * at[other] + 50 * luck(number), plan=Plan(base=8)
    ).of_measures
    for key, slope in ((one, 5), (other, -3)):
        effect = of.effects[key]
        assert effect.mu == pytest.approx(slope, abs=1e-6)  # luck is shared within a trajectory, so it drops out
        assert effect.mu_star == pytest.approx(abs(slope), abs=1e-6)
        assert effect.sigma == pytest.approx(0, abs=1e-6)
        assert effect.swing == pytest.approx(slope, abs=1e-6)
    assert of.by_swing() == [one, other]


def test_an_effect_that_depends_on_another_assumption_has_a_spread() -> None:
    one, other, *_ = keys()
    (of,) = played(lambda at, _: at[one] * (at[other] - 0.5), plan=Plan(base=8)).of_measures
    assert of.effects[one].sigma > of.effects[one].mu_star / 2


def test_what_the_night_does_not_use_is_listed_without_effect() -> None:
    used = keys()[3]
    found = played(lambda at, number: at[used] + luck(number), plan=Plan(base=64))
    assert [a.key for a in found.unused] == [key for key in keys() if key != used]
    assert [a.key for a in found.ranked()] == [used]
    text = page(found, "caucus sensitivity iowa-2016", "compiled")
    assert f"{len(keys()) - 1} assumptions move none of these measures" in text


def test_the_advice_names_the_most_helpful_first_with_meaning_range_and_source() -> None:
    late = "room.afterwards.mean"
    found = played(lambda at, number: 6 * at[late] + 3 * at["clock.doors"] + luck(number), plan=Plan(base=256))
    advice = found.advice()
    assert advice.startswith(
        "Find out first room.afterwards.mean (Speeches, delegates elected, worksheet, signatures (mean); 30 min to "
        "50 min; J: fitted to 2016): knowing it would remove about "
    )
    assert "Then clock.doors (When doors and check-in open; 18:00 to 18:30; P: " in advice
    assert "Luck, which no research removes, is about" in advice


def test_luck_is_one_number_wherever_a_page_speaks_of_it() -> None:
    """Where luck works together with an assumption, its share is what would be left if that were known."""
    used = keys()[3]
    found = played(lambda at, number: (3 * at[used] - 0.5) * (luck(number) - 0.5) + at[used], plan=Plan(base=256))
    (of,) = found.of_measures
    assert of.indices[LUCK].total - of.indices[LUCK].first > 0.2
    assert of.by_index()[0] == LUCK
    shown = f"{of.indices[LUCK].total * 100:.0f} %"
    assert f"Luck, which no research removes, is about {shown} of the uncertainty" in found.advice()
    assert f"{LUCK} {shown}" in result_text(found, None)
    text = page(found, "caucus sensitivity", "compiled")
    assert f"{percent(of.indices[LUCK].total)} of the uncertainty about in_line@19:00 is the luck of the night" in text


def test_a_sample_that_is_too_small_says_so() -> None:
    few, many = (played(lambda at, number: at[keys()[3]] + luck(number), plan=Plan(base=base)) for base in (8, 1024))
    assert few.caveat().startswith("Too few nights to tell these shares: that of ")
    assert few.caveat().endswith("(95 % confidence); -n 256 plays more.")
    assert few.caveat() in " ".join(result_text(few, None).split())
    assert few.summary()["caveat"] == few.caveat()
    assert "Too few nights" in page(few, "caucus sensitivity", "compiled")
    assert many.caveat() == ""


def test_a_measure_that_never_varies_has_no_indices_and_says_so() -> None:
    found = played(lambda at, number: 12.0, plan=Plan(base=8))
    assert (found.studied, found.ranked()) == ([], [])
    assert found.of_measures[0].indices == {}
    assert "in_line@19:00 is the same in every night." in found.advice()
    assert "Nothing moves in_line@19:00: it is 12 in every night" in page(
        found, "caucus sensitivity iowa-2016", "compiled"
    )


def test_what_never_happened_counts_as_the_end_of_the_night() -> None:
    clock = night().spec.clock

    def play(units: Sequence[Unit], _doing: str) -> list[Row]:
        first = keys()[0]
        return [
            {"held_p95_at_ms": -1 if dict(unit.positions)[first] > MIDDLE else clock.call_to_order} for unit in units
        ]

    found = analyze(night(), parse_measures(["reported_by_95"]), play, seed=SEED, plan=Plan(base=64))
    (of,) = found.of_measures
    assert of.effects[keys()[0]].at_high == clock.until
    assert of.never > 0
    assert "it never happened" in page(found, "caucus sensitivity iowa-2016", "compiled")


def test_the_same_seed_asks_for_the_same_nights_and_another_one_for_others() -> None:
    def asked(seed: int) -> list[Unit]:
        units: list[Unit] = []

        def play(wanted: Sequence[Unit], _doing: str) -> list[Row]:
            units.extend(wanted)
            return [{"in_line": [float(unit.positions[0][1])] * 61} for unit in wanted]

        analyze(night(), PEOPLE, play, seed=seed, plan=Plan(base=16))
        return units

    assert asked(0) == asked(0)
    assert asked(0) != asked(1)


def test_every_assumption_stands_in_the_table_once_a_measure_and_the_summary_is_json() -> None:
    found = played(ishigami, plan=Plan(base=16, most=2))
    frame = found.frame()
    assert frame["factor"].to_list() == [*keys(), OTHERS, LUCK]
    assert frame.filter(frame["factor"].is_in(found.studied))["first"].null_count() == 0
    assert json.loads(json.dumps(found.summary()))["measures"][0]["name"] == "in_line@19:00"


def test_a_base_sample_that_is_no_power_of_two_is_refused() -> None:
    with pytest.raises(InputError, match="-n 100: expected a power of two"):
        Plan(base=100).check(night())


def test_a_night_without_ranges_has_nothing_to_vary() -> None:
    known = changed(night(), {a.place: a.given["low"] for a in ranged(night())})
    with pytest.raises(InputError, match="nothing to vary"):
        analyze(known, PEOPLE, lambda units, doing: [], seed=SEED)


def test_the_usual_measures_move_with_the_call_to_order(tmp_path: Path) -> None:
    path = tmp_path / "noon.toml"
    path.write_text(
        'title = "Noon"\nstory = "Early."\n[clock]\ndoors = "11:00"\ncall_to_order = "12:00"\nuntil = "+1d 12:00"\n'
    )
    assert [m.name for m in measures_of(load(path), ())] == ["reported@16:00", "hold_p90", "wait_p90", "wrong_share"]
    assert [m.name for m in measures_of(load("baseline"), ["cost"])] == ["cost"]
