"""`caucus sensitivity` and `caucus calibrate` as a user meets them: folders, JSON, mistakes, and pages in a browser."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner, Result
from playwright.sync_api import Browser, Page, sync_playwright

from simulation import cli
from simulation.night import play_night
from simulation.roster import synthesize
from simulation.scenario import load
from simulation.scenario.values import DURATION, HOUR, MINUTE, SHARE, format_clock

TRUTH = "48 min"  # the speeches of the night that made the curve
APP = ("app.tries", "app.installed")  # set to 1: everybody reports by app, so that the curve shows when rooms are ready
POINTS = [20 * HOUR + step * HOUR // 2 for step in range(1, 8)]

# A night in which a few numbers are not known, and all others are
NIGHT = """
extends = "iowa-2020"
title = "A small night"
story = "Fifteen precincts with one hotline."
[turnout]
people = "none"
[hotline]
nuisance = []
operators = [{ from = "18:00", to = "+1d 03:00", count = COUNT }]
[room]
afterwards = { lognormal = { mean = MEAN, cv = 0.2 }, source = "J: a guess" }
opening = "20 min"
count_per_person = "1 s"
[clock]
doors = "18:00"
[checkin]
missing_from_list = { low = 0.01, high = 0.03, source = "J" }
[app]
tries = 0
[history]
reported = []
released = []
holds = []
"""


def night(mean: str, count: str) -> str:
    return NIGHT.replace("MEAN", mean).replace("COUNT", count)


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli.caucus, [str(argument) for argument in arguments], prog_name="caucus")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a roster, a night with ranges, and the curve of a night whose numbers are known."""
    folder = tmp_path_factory.mktemp("study")
    roster = folder / "roster.csv"
    roster.write_text("\n".join(synthesize("iowa-2020").csv().splitlines()[:16]) + "\n", encoding="utf-8")
    (folder / "mine.toml").write_text(
        night('{ low = "20 min", high = "80 min" }', '{ low = 1, high = 6, source = "J: volunteers" }'),
        encoding="utf-8",
    )
    (folder / "truth.toml").write_text(night(f'"{TRUTH}"', "2"), encoding="utf-8")
    truth = load(folder / "truth.toml", dict.fromkeys(APP, 1), roster)
    nights = [play_night(truth, 99, number).precincts["reported_at_ms"].to_list() for number in range(9)]
    lines = ["at,reported,source"]
    for at in POINTS:
        shares = sorted(sum(0 <= time <= at for time in times) / len(times) for times in nights)
        lines.append(f"{format_clock(at)},{shares[4]:.3f},the known night")
    (folder / "curve.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def studied(place: Path) -> Path:
    out = place / "sensitivity"
    result = run(
        "sensitivity", place / "mine.toml", "--roster", place / "roster.csv", "-n", "32", "--out", out, "--quiet"
    )
    assert (result.exit_code, result.stderr) == (0, "")
    assert "Find out first" in result.stdout
    return out


@pytest.fixture(scope="module")
def calibrated(place: Path) -> Path:
    out = place / "calibrated"
    arguments = ("--to", place / "curve.csv", "--roster", place / "roster.csv", "-n", "400", "--accept", "0.1")
    app = [part for key in APP for part in ("--set", f"{key}=1")]
    result = run("calibrate", place / "mine.toml", *arguments, *app, "--out", out, "--quiet")
    assert (result.exit_code, result.stderr) == (0, "")
    assert "The curve informs" in result.stdout
    return out


def test_a_sensitivity_study_finds_that_operators_make_the_holds(studied: Path) -> None:
    files = {"report.html", "summary.json", "sensitivity.parquet", "experiment.toml"}
    assert files == {path.name for path in studied.iterdir()}
    summary = json.loads((studied / "summary.json").read_text(encoding="utf-8"))
    holds = next(measure for measure in summary["measures"] if measure["name"] == "hold_p90")
    assert next(iter(holds["sobol"])) == "hotline.operators.0.count"
    assert (
        holds["effects"]["hotline.operators.0.count"]["at_low"]
        > holds["effects"]["hotline.operators.0.count"]["at_high"]
    )
    assert "costs.station" in summary["unused"]
    assert "hotline.operators.0.count" in summary["find_out"]
    assert "volunteers" in summary["next"]
    frame = pl.read_parquet(studied / "sensitivity.parquet")
    assert set(frame["measure"]) == {"reported@23:00", "hold_p90", "wait_p90", "wrong_share"}


def test_a_study_comes_out_the_same_for_any_number_of_workers(place: Path, studied: Path) -> None:
    again = place / "again"
    arguments = ("--roster", place / "roster.csv", "-n", "32", "--out", again, "--quiet", "--workers", "2")
    assert run("sensitivity", place / "mine.toml", *arguments).exit_code == 0
    for name in ("report.html", "summary.json", "sensitivity.parquet"):
        assert (again / name).read_bytes() == (studied / name).read_bytes(), name


def test_calibration_finds_the_numbers_that_made_the_curve(calibrated: Path) -> None:
    summary = json.loads((calibrated / "summary.json").read_text(encoding="utf-8"))
    informed = {found["key"]: found for found in summary["informed"]}
    speeches = informed["room.afterwards.mean"]
    low, high = DURATION.parse(speeches["low"]), DURATION.parse(speeches["high"])
    assert low <= DURATION.parse(TRUTH) <= high
    assert high - low < 0.8 * DURATION.parse("60 min")
    assert {"costs.station", "hotline.operators.0.count"} <= set(summary["not_informed"])


def test_the_calibrated_night_is_a_scenario_that_can_be_played(calibrated: Path) -> None:
    path = calibrated / "mine-calibrated.toml"
    said = tomllib.loads(path.read_text(encoding="utf-8"))
    assert said["extends"] == "../mine.toml"
    assert said["roster"] == {"file": "../roster.csv"}
    assert len(said["history"]["reported"]) == len(POINTS)
    scenario = load(path)
    speeches = scenario.spec.room.afterwards.parameters["mean"]
    assert said["app"] == {"tries": 1, "installed": 1}
    assert said["room"]["afterwards"]["lognormal"]["mean"]["low"] == _in_minutes(speeches.low)
    assert speeches.source is not None
    assert speeches.source.startswith(
        "calibrated to curve.csv: 5-95 % of the 40 nearest of 400 draws; before: 20 min to"
    )
    result = run("simulate", path, "-n", "2", "--json", "--quiet")
    assert result.exit_code == 0, result.output
    assert [point["at"] for point in json.loads(result.stdout)["history"]] == [format_clock(at) for at in POINTS]


def _in_minutes(ms: int) -> str:
    return f"{ms / MINUTE:g} min"


def test_with_json_and_no_folder_nothing_is_written(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    before = sorted(place.iterdir())
    study = run(
        "sensitivity", "mine.toml", "--roster", "roster.csv", "-n", "8", "--measure", "cost", "--json", "--quiet"
    )
    assert json.loads(study.stdout)["measures"][0]["name"] == "cost"
    fit = run("calibrate", "mine.toml", "--roster", "roster.csv", "--to", "curve.csv", "-n", "100", "--accept", "0.2",
              "--json", "--quiet")  # fmt: skip
    assert json.loads(fit.stdout)["accepted"] == 20
    assert sorted(place.iterdir()) == before


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("sensitivity", "mine.toml", "-n", "100"), "-n 100: expected a power of two"),
        (
            ("sensitivity", "mine.toml", "--measure", "reportd@23:00", "--measure", "x"),
            "reportd@23:00: no such measure",
        ),
        (("calibrate", "mine.toml", "--to", "nowhere"), "--to nowhere: no such file, and no curve of the library"),
        (("calibrate", "mine.toml", "--to", "roster.csv"), "roster.csv row 1: column county"),
        (("calibrate", "mine.toml", "--to", "curve.csv", "-n", "20"), "-n 20: expected 100 draws or more"),
    ],
    ids=["sample", "measure", "no curve", "no curve's columns", "draws"],
)
def test_mistakes_are_told_before_anything_is_played(
    place: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], told: str
) -> None:
    monkeypatch.chdir(place)
    result = run(*arguments, "--roster", "roster.csv", "--quiet")
    assert (result.exit_code, result.stdout) == (2, "")
    assert told in result.stderr
    assert "Traceback" not in result.stderr
    assert not (place / "runs").exists()


def test_the_share_of_a_curve_is_read_as_a_scenario_reads_it(place: Path, calibrated: Path) -> None:
    rows = [line.split(",") for line in (place / "curve.csv").read_text(encoding="utf-8").splitlines()[1:]]
    scenario = load(calibrated / "mine-calibrated.toml")
    assert [point.share for point in scenario.spec.history.reported] == [SHARE.parse(float(row[1])) for row in rows]


# The pages in a browser


@pytest.fixture(scope="module")
def browser(chromium_path: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("which", ["studied", "calibrated"])
def test_a_page_fits_its_screen_and_meets_wcag(
    browser: Browser, request: pytest.FixtureRequest, violations: Callable[[Page], list[str]], which: str, width: int
) -> None:
    page = browser.new_page(viewport={"width": width, "height": 900})
    page.goto((request.getfixturevalue(which) / "report.html").as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert violations(page) == []
    assert page.evaluate("document.querySelectorAll('script, link, img').length") == 0
    page.close()
