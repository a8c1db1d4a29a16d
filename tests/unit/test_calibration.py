"""Calibration: curves made with a known truth lead back to it, and mistakes in a curve's file are all told."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from simulation.errors import InputError
from simulation.experiment.assumptions import POSITIONS, changed, field_of, ranged
from simulation.experiment.calibration import (
    Calibration,
    Curve,
    Fit,
    Point,
    _natural,
    calibrate,
    file_text,
    find_curve,
    read_curve,
    result_text,
    scenario_text,
)
from simulation.experiment.work import Unit
from simulation.randomness import bits
from simulation.report.calibration import page
from simulation.scenario import Scenario, load
from simulation.scenario.values import CLOCK, COUNT, DURATION, FACTOR_UNIT, FULL_SHARE, HOUR, MINUTE, SHARE
from simulation.scenario.values import Unit as Kind

SEED = 5
TRUTH = 0.3  # where in its range the assumption lies that made the curve
MADE_BY = "room.afterwards.mean"
SITES = 1000


@cache
def night() -> Scenario:
    return load("iowa-2016")


def luck(number: int, purpose: int) -> float:
    return float(bits(SEED, number, 1, 2, 3, purpose)) / POSITIONS - 0.5


def row(scenario: Scenario, unit: Unit) -> dict[str, Any]:
    """A night whose results are late in so far as the speeches are long: half an hour of range moves it by 20 %."""
    places = {key: position / POSITIONS for key, position in unit.positions}
    if MADE_BY not in places:  # a night that draws its assumptions itself
        (found,) = [a for a in scenario.assumptions() if a.key == MADE_BY]
        places[MADE_BY] = (found.low + (found.high - found.low) * (luck(unit.night, 9) + 0.5) - 30 * MINUTE) / (
            20 * MINUTE
        )
    history = scenario.spec.history
    shares = [0.9 - 0.2 * places[MADE_BY] + 0.02 * luck(unit.night, k) for k in range(len(history.reported))]
    return {
        "sites": SITES,
        "reported": [round(SITES * share) for share in shares[:1]] * 45,
        "reported_at_history": [round(SITES * share) for share in shares],
        "released_at_history": [0 for _ in history.released],
        "holds_at_history_ms": [
            -1 if luck(unit.night, 5) > 0.4 else round(HOUR * (places[MADE_BY] + 0.1 * luck(unit.night, 6)))
            for _ in history.holds
        ],
    }


def play(units: Sequence[Unit], _doing: str) -> list[dict[str, Any]]:
    return [row(unit.scenario, unit) for unit in units]


def made(*points: tuple[str, int, float]) -> Curve:
    return Curve(
        "made.csv",
        tuple(Point(c, at, round(v * FULL_SHARE) if c != "hold" else round(v)) for c, at, v in points),
    )


TRUE_CURVE = made(("reported", 21 * HOUR, 0.9 - 0.2 * TRUTH), ("reported", 22 * HOUR, 0.9 - 0.2 * TRUTH))


@cache
def found() -> Calibration:
    return calibrate(night(), TRUE_CURVE, play, seed=SEED, draws=1000, checks=100)


def test_the_curve_of_a_known_truth_leads_back_to_it_and_narrows_the_range() -> None:
    (informed,) = found().informed
    assert informed.assumption.key == MADE_BY
    low, high = (parse(end) for parse, end in zip((DURATION.parse,) * 2, informed.ends, strict=True))
    truth = (30 + 20 * TRUTH) * MINUTE
    assert low < truth < high
    assert high - low < 0.35 * 20 * MINUTE


def test_the_truth_lies_in_nine_of_ten_calibrated_ranges() -> None:
    """Simulation-based calibration in small: other truths, each with the luck of a night of its own."""
    inside = 0
    for number in range(10):
        truth = (number + 0.5) / 10
        observed = [0.9 - 0.2 * truth + 0.02 * luck(50_000 + number, k) for k in range(2)]
        curve = made(("reported", 21 * HOUR, observed[0]), ("reported", 22 * HOUR, observed[1]))
        (informed,) = calibrate(night(), curve, play, seed=number, draws=600, checks=20).informed
        inside += informed.quantile(0.05) <= (30 + 20 * truth) * MINUTE <= informed.quantile(0.95)
    assert inside >= 8


def test_what_the_curve_does_not_depend_on_keeps_its_range() -> None:
    assert len(found().marginals) == len(ranged(night()))
    before = {a.key: (a.low, a.high) for a in night().assumptions()}
    after = {a.key: (a.low, a.high) for a in found().calibrated.assumptions()}
    assert {key for key in before if before[key] != after[key]} == {MADE_BY}


def test_a_curve_of_pure_luck_informs_nothing() -> None:
    """The correction for many tests: two dozen assumptions, and still no false alarm."""

    def lucky(units: Sequence[Unit], _doing: str) -> list[dict[str, Any]]:
        return [{**row(u.scenario, u), "reported_at_history": [round(500 + 99 * luck(u.night, 7))] * 2} for u in units]

    nothing = calibrate(night(), TRUE_CURVE, lucky, seed=SEED, draws=1000, checks=20)
    assert nothing.informed == []
    assert nothing.calibrated.document == night().document
    text = page(nothing, "caucus calibrate", "compiled")
    assert "The curve leaves every assumption where it was" in text


def test_the_calibrated_night_forecasts_the_curve_in_a_narrower_band() -> None:
    for fit in found().fits:
        assert fit.was_inside
        assert fit.is_inside
        assert fit.after[2] - fit.after[0] < 0.5 * (fit.before[2] - fit.before[0])


def test_a_figure_at_the_very_end_of_the_band_lies_in_it() -> None:
    """36 of 60 sites are 60 %, which a scenario holds in binary; 33.3 % of 60 are 20 sites, as whole as sites are."""
    for observed, sites in ((0.6, 36), (0.333, 20), (0.334, 20)):
        (point,) = made(("reported", 21 * HOUR, observed)).points
        assert _natural(point) == observed
        low, high = (Fit(point, observed, band, band, 1.0, 60) for band in ((0, 0, sites / 60), (sites / 60, 1, 1)))
        assert (low.is_inside, high.is_inside, low.was_inside) == (True, True, True)
        assert not Fit(point, observed, (0, 0, 1), (0, 0, (sites - 1) / 60), 1.0, 60).is_inside


def test_a_figure_that_all_nights_share_does_not_count() -> None:
    curve = made(("reported", 21 * HOUR, 0.84), ("released", 21 * HOUR, 0.5))
    fits = calibrate(night(), curve, play, seed=SEED, draws=200, accept=0.1, checks=20).fits
    assert [fit.scale > 0 for fit in fits] == [True, False]
    with pytest.raises(InputError, match="says nothing about"):
        calibrate(night(), made(("released", 21 * HOUR, 0.5)), play, seed=SEED, draws=200, accept=0.1)


def test_a_night_in_which_nobody_is_answered_is_far_from_any_hold() -> None:
    curve = made(("hold", 21 * HOUR, 0.3 * HOUR))
    far = calibrate(night(), curve, play, seed=SEED, draws=300, accept=0.1, checks=20)
    silent = {draw for draw in range(300) if luck(draw, 5) > 0.4}
    assert silent
    assert not silent & set(far.accepted)


def test_the_same_seed_gives_the_same_and_another_one_other_draws() -> None:
    again = calibrate(night(), TRUE_CURVE, play, seed=SEED, draws=1000, checks=100)
    assert again.summary() == found().summary()
    assert again.frame().equals(found().frame())
    other = calibrate(night(), TRUE_CURVE, play, seed=SEED + 1, draws=1000, checks=100)
    assert other.summary() != found().summary()


def test_every_draw_stands_in_the_table_with_its_positions_and_figures() -> None:
    frame = found().frame()
    assert frame.height == 1000
    assert frame["accepted"].sum() == 50
    assert {MADE_BY, "reported 21:00", "reported 22:00", "distance"} <= set(frame.columns)
    assert max(frame.filter("accepted")["distance"]) <= min(frame.filter(~frame["accepted"])["distance"])
    assert json.loads(json.dumps(found().summary()))["accepted"] == 50


# The calibrated scenario as a file


def loaded(folder: Path, text: str) -> Scenario:
    path = folder / "iowa-2016-calibrated.toml"
    path.write_text(text, encoding="utf-8")
    return load(path)


def test_the_file_loads_as_the_very_scenario_that_was_checked(tmp_path: Path) -> None:
    scenario = loaded(tmp_path, scenario_text(found(), "iowa-2016"))
    for section in ("room", "history", "hotline", "roster"):
        assert scenario.document[section] == found().calibrated.document[section]
    (assumption,) = [a for a in scenario.assumptions() if a.key == MADE_BY]
    assert assumption.source == (
        "calibrated to made.csv: 5-95 % of the 50 nearest of 1,000 draws; before: 30 min to 50 min, J: fitted to 2016"
    )
    assert scenario.spec.title == "Iowa 2016, calibrated"


ROUND = [
    ("a clock time", "clock.doors", (0.31, 0.77), CLOCK),
    ("a share", "chairs.missing", (0.123, 0.456), SHARE),
    ("a duration", "room.count_per_person", (0.3, 0.6), DURATION),
    ("a duration within a distribution", "room.opening.mean", (0.25, 0.75), DURATION),
    ("a shape within a distribution", "room.afterwards.cv", (0.2, 0.3), FACTOR_UNIT),
    ("a factor", "chairs.slowdown", (0.4, 0.9), FACTOR_UNIT),
    ("a small share", "headquarters.keying.app", (0.01, 0.02), SHARE),
    ("a count in a list", "hotline.operators.0.count", (0.1, 0.5), COUNT),
    ("a count in another list", "hotline.nuisance.0.calls_per_hour", (0.5, 0.9), COUNT),
]


@pytest.mark.parametrize(("key", "ends", "kind"), [row[1:] for row in ROUND], ids=[row[0] for row in ROUND])
def test_a_narrowed_range_of_any_kind_is_read_back_as_it_was_written(
    key: str, ends: tuple[float, float], kind: Kind
) -> None:
    scenario = load("iowa-2020" if key.startswith("hotline.") else "iowa-2016")
    (about,) = [a for a in ranged(scenario) if a.key == key]
    low, high = (about.written(about.value(end * POSITIONS)) for end in ends)
    narrow = changed(scenario, {about.place: {"low": low, "high": high, "source": "narrowed"}})
    (again,) = [a for a in ranged(narrow) if a.key == key]
    assert (again.low, again.high) == (kind.parse(low), kind.parse(high))
    assert about.low <= again.low <= again.high <= about.high
    width = about.high - about.low
    for value, end in zip((again.low, again.high), ends, strict=True):
        assert abs(value - about.low - end * width) <= max(width * 0.04, 1)
    assert (again.source, again.given["low"]) == ("narrowed", low)


def test_a_value_at_the_very_end_of_its_range_is_never_rounded_out_of_it() -> None:
    for about in ranged(load("iowa-2020")):
        for position in (0, POSITIONS - 1):
            parsed = about.unit.parse(about.written(about.value(position)))
            assert about.low <= parsed <= about.high


def test_a_users_own_night_gets_the_curve_as_its_history(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('extends = "iowa-2016"\ntitle = "Mine"\nstory = "A night."\n[history]\nreported = []\n')
    mine = calibrate(load(path), TRUE_CURVE, play, seed=SEED, draws=400, checks=20)
    folder = tmp_path / "runs" / "one"
    folder.mkdir(parents=True)
    text = file_text(mine, str(path), folder, ("headquarters.reviewers=3",))
    assert 'extends = "../../mine.toml"' in text
    scenario = loaded(folder, text)
    assert [(p.at, p.share) for p in scenario.spec.history.reported] == [(p.at, p.value) for p in TRUE_CURVE.points]
    assert scenario.spec.headquarters.reviewers.source == "J"  # the command line's settings are written out


def test_a_key_below_a_value_of_the_schema_belongs_to_that_value() -> None:
    assert field_of("checkin.on_list.lognormal.mean") == "checkin.on_list"
    assert field_of("hotline.operators") == "hotline.operators"
    assert field_of("hotline.patience.chairs") == "hotline.patience.chairs"
    assert field_of("title") == "title"


def test_the_meaning_unit_and_source_of_every_range_of_the_library_are_found() -> None:
    for name in ("baseline", "iowa-2016", "iowa-2020"):
        for about in ranged(load(name)):
            assert about.meaning
            assert about.source, about.key
            assert about.unit.parse(about.given["low"]) == about.low
            assert about.unit.parse(about.given["high"]) == about.high


# The page and the text


def test_a_truth_beyond_the_range_crowds_at_its_end_and_is_told() -> None:
    beyond = 0.9 - 0.2 * 1.2  # later than the longest speeches make it
    curve = made(("reported", 21 * HOUR, beyond), ("reported", 22 * HOUR, beyond))
    pressed = calibrate(night(), curve, play, seed=SEED, draws=600, checks=100)
    assert [m.pressed for m in pressed.informed] == ["high"]
    assert [m.pressed for m in found().informed] == [""]
    assert f"{MADE_BY} crowds at the high end of its range: what fits best may lie beyond it." in page(
        pressed, "caucus", "compiled"
    )
    assert "crowds at the high end" in result_text(pressed, None)


def test_the_page_says_what_the_curve_informs_and_how_it_fits() -> None:
    text = page(found(), "caucus calibrate iowa-2016 --to made.csv", "compiled")
    assert "All two observed figures lie in the band of the calibrated night" in text
    assert f"{MADE_BY} lies between" in text
    assert "caucus calibrate iowa-2016 --to made.csv" in text
    said = result_text(found(), Path("runs/x"))
    assert "The curve informs 1 of 24 assumptions; of its 2 figures 2 lie inside" in said
    assert "runs/x/iowa-2016-calibrated.toml" in said


# A curve's file


def written(folder: Path, text: str) -> Path:
    path = folder / "curve.csv"
    path.write_text(text, encoding="utf-8")
    return path


def mistakes(folder: Path, text: str) -> list[str]:
    with pytest.raises(InputError) as refusal:
        read_curve(written(folder, text))
    return refusal.value.problems


def test_a_curve_has_shares_and_holds_in_any_order_with_gaps_comments_and_sources(tmp_path: Path) -> None:
    text = "\ufeff# seen on the night\nat,hold,reported,source\n+1d 00:55,,99.3 %,press\n\n# later\n21:00,45 s,0.75,\n"
    curve = read_curve(written(tmp_path, text))
    assert curve.points == (
        Point("reported", 21 * HOUR, SHARE.parse(0.75)),
        Point("reported", 24 * HOUR + 55 * MINUTE, SHARE.parse(0.993)),
        Point("hold", 21 * HOUR, 45_000),
    )


def test_every_mistake_of_a_curve_is_told_with_its_row_and_column(tmp_path: Path) -> None:
    text = "at,reported,hold\nnine,0.5,\n21:00,1.5,7\n22:00,,\n23:00,a lot,1 h,x\n21:30,0.4,2 min\n21:30,0.5,\n"
    clock = 'a clock time such as "19:00", or "+1d 16:00" for the day after (at most "+20d 00:00")'
    duration = 'a duration with its unit such as "45 s", "12 min" or "1.5 h" (ms, s, min, h, d; at most 20 d)'
    assert mistakes(tmp_path, text) == [
        f"curve.csv row 2: column at = 'nine': expected {clock}",
        "curve.csv row 3: column reported = '1.5': expected a share of all sites between 0 and 1 such as 0.93, or 93 %",
        f"curve.csv row 3: column hold = '7': expected {duration}",
        "curve.csv row 4: holds no figure: expected one or more of reported, released, hold",
        "curve.csv row 5: 4 cells: expected 3, as in the first row",
        "curve.csv: column reported: 21:30 stands there twice",
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "curve.csv: is empty"),
        ("# only words\n", "curve.csv: is empty"),
        ("at,reported\n", "curve.csv: holds no figure"),
        ("time,reported\n21:00,0.5\n", "curve.csv row 1: column time: expected at, reported"),
        ("at,source\n21:00,me\n", "curve.csv row 1: expected a column at, and one or more of reported"),
        ("at,reported,reported\n21:00,0.5,0.6\n", "curve.csv: column reported: stands there twice"),
    ],
    ids=["nothing", "comments", "no row", "another column", "no figures", "a column twice"],
)
def test_a_file_that_is_no_curve_is_refused(tmp_path: Path, text: str, told: str) -> None:
    assert mistakes(tmp_path, text)[0].startswith(told)


def test_a_curve_that_is_not_there_names_the_library(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="iowa-2061: no such file, and no curve of the library: iowa-2016, iowa-2020"):
        find_curve(Path("iowa-2061"))
    with pytest.raises(InputError, match="no.csv: no such file"):
        read_curve(find_curve(tmp_path / "no.csv"))


@pytest.mark.parametrize("name", ["iowa-2016", "iowa-2020"])
def test_the_librarys_curves_are_the_history_of_the_night_of_that_name(name: str) -> None:
    curve = read_curve(find_curve(Path(name)))
    watched: Mapping[str, Any] = changed(load(name), {("history",): curve.history()}).spec.history.model_dump()
    own = load(name).spec.history.model_dump()
    for key, points in own.items():
        assert [{k: v for k, v in p.items() if k != "source"} for p in points] == [
            {k: v for k, v in p.items() if k != "source"} for p in watched[key]
        ]


def test_too_few_draws_are_refused() -> None:
    with pytest.raises(InputError, match="-n 50: expected 100 draws or more"):
        calibrate(night(), TRUE_CURVE, play, seed=SEED, draws=50)
    with pytest.raises(InputError, match="is 5: expected 20 accepted draws or more"):
        calibrate(night(), TRUE_CURVE, play, seed=SEED, draws=100)
