"""`caucus compare` and `caucus sweep` as their users meet them: the folder, what is said, what is refused."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner, Result
from playwright.sync_api import Page, sync_playwright

from simulation import cli, roster

SITES = 15
NIGHTS = 6
NIGHT = """
extends = "iowa-2020"
title = "Fifteen precincts"
story = "The first fifteen precincts of Iowa 2020, with few operators, so that a night is short and the hotline full."
[roster]
file = "precincts.csv"
[turnout]
people = 1500
[hotline]
nuisance = []
"""
COMPARE = (
    "compare",
    "fifteen.toml",
    "--set",
    "hotline.operators=1",
    "--set-b",
    "hotline.operators=3",
    "--quiet",
    "--workers",
    "1",
)
SWEEP = (
    "sweep",
    "fifteen.toml",
    "--vary",
    "hotline.operators=1:4:1",
    "--measure",
    "hold_p90",
    "--quiet",
    "--workers",
    "1",
)
MANY = (*COMPARE, "-n", str(NIGHTS), "--seed", "5")
VARIED = (*SWEEP, "-n", str(NIGHTS), "--seed", "5")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Run `caucus` in a folder with a small night."""
    rows = roster.synthesize("iowa-2020").csv().splitlines(keepends=True)[: SITES + 1]
    (tmp_path / "precincts.csv").write_text("".join(rows))
    (tmp_path / "fifteen.toml").write_text(NIGHT)
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(cli.caucus, arguments, prog_name="caucus")


def done(result: Result) -> Result:
    assert result.exit_code == 0, result.output
    return result


def contents(folder: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir())}


# compare


def test_a_comparison_leaves_a_folder_and_says_what_differs(here: Callable[..., Result]) -> None:
    result = done(here(*MANY))
    folder = "runs/compare-fifteen-5"
    assert set(contents(folder)) == {"report.html", "summary.json", "nights.parquet", "experiment.toml"}
    assert result.stdout.startswith(
        "A: hotline.operators=1\nB: hotline.operators=3\n6 nights of each under the same luck"
    )
    assert "The hold of reports that one in ten exceeds: " in " ".join(result.stdout.split())
    assert f"The report: {folder}/report.html" in result.stdout


def test_the_differences_are_those_of_the_same_night_in_both_arms(here: Callable[..., Result]) -> None:
    done(here(*MANY, "--out", "found", "--measure", "hold_p90", "--measure", "wait_p90"))
    frame = pl.read_parquet("found/nights.parquet")
    one, other = (frame.filter(pl.col("arm") == arm).sort("night") for arm in "AB")
    assert one["night"].to_list() == other["night"].to_list() == list(range(NIGHTS))
    assert one["people"].to_list() == other["people"].to_list()  # the same people come
    hold, wait = json.loads(Path("found/summary.json").read_text())["differences"]
    values = (other["hold_p90_ms"] - one["hold_p90_ms"]).to_list()
    assert hold["difference"] == pytest.approx(statistics.fmean(values))
    apart = statistics.variance(one["hold_p90_ms"].to_list()) + statistics.variance(other["hold_p90_ms"].to_list())
    assert hold["variance_reduction"] == pytest.approx(apart / statistics.variance(values))
    assert (wait["difference"], wait["variance_reduction"]) == (0, None)


def test_the_arms_are_the_nights_that_simulate_plays(here: Callable[..., Result]) -> None:
    done(here(*MANY, "--out", "found"))
    done(
        here("simulate", "fifteen.toml", "--set", "hotline.operators=3", "-n", str(NIGHTS), "--seed", "5", "--out", "b")
    )
    alone = pl.read_parquet("b/nights.parquet")
    arm = pl.read_parquet("found/nights.parquet").filter(pl.col("arm") == "B").drop("arm")
    assert arm.equals(alone.select(arm.columns))


@pytest.mark.parametrize("arguments", [MANY, VARIED])
def test_everything_is_the_same_for_any_number_of_workers(
    here: Callable[..., Result], arguments: tuple[str, ...]
) -> None:
    done(here(*arguments, "--workers", "1", "--out", "one"))
    done(here(*arguments, "--workers", "2", "--out", "two"))
    assert contents("one") == contents("two")


def test_json_is_the_summary_and_writes_nothing(here: Callable[..., Result]) -> None:
    printed = json.loads(done(here(*MANY, "--json")).stdout)
    assert not Path("runs").exists()
    done(here(*MANY, "--json", "--out", "found"))
    assert json.loads(Path("found/summary.json").read_text()) == printed
    swept = json.loads(done(here(*VARIED, "--json")).stdout)
    assert [point["values"] for point in swept["points"]] == [[1], [2], [3], [4]]


def test_library_nights_are_compared_by_name(here: Callable[..., Result]) -> None:
    nights = ("iowa-2016", "iowa-2020", "--roster", "precincts.csv", "--set", "turnout.people=1000", "-n", "2")
    found = json.loads(done(here("compare", *nights, "--json", "--quiet", "--workers", "1")).stdout)
    assert [arm["label"] for arm in found["arms"]] == ["iowa-2016", "iowa-2020"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("compare", "fifteen.toml"), "compare takes two nights, or one and what --set-b changes in it"),
        (("compare", *["fifteen.toml"] * 3, "--set-b", "hotline.operators=3"), "--set-b: changes the second of two"),
        (("compare", *["fifteen.toml"] * 6), "compare takes 2 to 5"),
        (("compare", "fifteen.toml", "iowa-2010"), "iowa-2010: no such scenario"),
        (("compare", "fifteen.toml", "--set-b", "hotline.operator=3"), "did you mean operators?"),
        ((*COMPARE, "--measure", "hold_p80"), "--measure hold_p80: no such measure; did you mean hold_p"),
        ((*COMPARE, "-n", "1"), "Invalid value for '-n'"),
        (("sweep", "fifteen.toml", "--vary", "hotline.operator=1:5:1"), "--vary hotline.operator: "),
        (("sweep", "fifteen.toml", "--vary", "hotline.operators=1:5:0"), "a step above 0"),
        (("sweep", "fifteen.toml", "--vary", "hotline.silent=0.5:1.5:0.5"), "hotline.silent = 1.5: expected a share"),
        (("sweep", "fifteen.toml", "--vary", "hotline.operators=1:900:1"), "400 at most"),
        ((*SWEEP, "--measure", "no"), "--measure no: no such measure"),
        (("sweep", "fifteen.toml"), "--vary"),
    ],
)
def test_a_mistake_is_told_once_and_nothing_is_played(
    here: Callable[..., Result], arguments: tuple[str, ...], said: str
) -> None:
    result = here(*arguments)
    assert result.exit_code == 2
    assert result.stderr.count(said) == 1
    assert result.stdout == ""
    assert not Path("runs").exists()


def test_all_mistakes_of_both_nights_are_told_at_once(here: Callable[..., Result]) -> None:
    result = here("compare", "fifteen.toml", "--set", "hotline.silent=7", "--set-b", "hotline.line=3")
    assert result.exit_code == 2
    assert result.stderr.count("hotline.silent = 7") == 1
    assert result.stderr.count("did you mean lines?") == 1


def test_another_comparison_is_not_overwritten(here: Callable[..., Result]) -> None:
    done(here(*MANY, "--out", "found"))
    before = contents("found")
    result = here(*COMPARE, "-n", "3", "--out", "found")
    assert result.exit_code == 2
    assert "compare.nights" in result.stderr
    assert contents("found") == before
    done(here(*COMPARE, "-n", "3", "--out", "found", "--force"))
    assert contents("found") != before


# sweep


def test_a_sweep_leaves_a_folder_and_a_row_for_each_point_and_measure(here: Callable[..., Result]) -> None:
    result = done(here(*VARIED, "--measure", "cost"))
    folder = "runs/sweep-fifteen-5"
    assert set(contents(folder)) == {"report.html", "summary.json", "sweep.parquet", "experiment.toml"}
    frame = pl.read_parquet(f"{folder}/sweep.parquet")
    assert frame["hotline.operators"].to_list() == [1, 1, 2, 2, 3, 3, 4, 4]
    assert frame["measure"].to_list() == ["hold_p90", "cost"] * 4
    cost = frame.filter(pl.col("measure") == "cost")["p50"].to_list()
    assert cost == sorted(set(cost))  # every operator costs something
    assert "From 1 to 4 operators the cost of the plan rises by $" in result.stdout


def test_the_points_share_their_luck_with_each_other_and_with_compare(here: Callable[..., Result]) -> None:
    done(here(*VARIED, "--measure", "wait_p90", "--out", "swept"))
    frame = pl.read_parquet("swept/sweep.parquet")
    assert frame.filter(pl.col("measure") == "wait_p90")["mean"].n_unique() == 1  # nobody at the doors notices
    done(here(*MANY, "--measure", "hold_p90", "--out", "compared"))
    (hold,) = json.loads(Path("compared/summary.json").read_text())["differences"]
    means = frame.filter(pl.col("measure") == "hold_p90").select("hotline.operators", "mean").rows()
    assert {1: hold["means"]["A"], 3: hold["means"]["B"]}.items() <= dict(means).items()


def test_two_keys_make_a_surface_and_a_duration_can_be_varied(here: Callable[..., Result]) -> None:
    length = "hotline.handling.report.lognormal.mean=4 min:12 min:4 min"
    vary = ("--vary", "hotline.operators=1,2", "--vary", length)
    done(
        here(
            "sweep",
            "fifteen.toml",
            *vary,
            "-n",
            "3",
            "--measure",
            "hold_p90",
            "--out",
            "found",
            "--quiet",
            "--workers",
            "1",
        )
    )
    frame = pl.read_parquet("found/sweep.parquet")
    assert frame["hotline.handling.report.lognormal.mean_ms"].to_list() == [240_000, 480_000, 720_000] * 2
    few = frame.filter(pl.col("hotline.operators") == 1)["mean"].to_list()
    assert few == sorted(few)  # longer calls, longer holds
    assert "Heat map of" in Path("found/report.html").read_text()


# Pages


def test_the_pages_can_be_read_by_everybody(
    here: Callable[..., Result], chromium_path: str, violations: Callable[[Page], list[str]]
) -> None:
    done(here(*MANY, "--out", "compared"))
    done(here(*VARIED, "--measure", "cost", "--measure", "wait_p90", "--out", "curves"))
    surface = ("--vary", "hotline.lines=2,4,40", "--out", "surface", "--measure", "busy_share")
    done(
        here(
            "sweep",
            "fifteen.toml",
            "--vary",
            "hotline.operators=1:3:1",
            *surface,
            "-n",
            "3",
            "--quiet",
            "--workers",
            "1",
        )
    )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path, args=["--no-sandbox"])
        for width, scheme in ((1280, "light"), (390, "dark")):
            page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)  # type: ignore[arg-type]  # playwright wants a Literal
            for folder in ("compared", "curves", "surface"):
                page.goto(Path(folder, "report.html").resolve().as_uri())
                assert violations(page) == [], (folder, width)
                assert page.evaluate("document.documentElement.scrollWidth") <= width, (folder, width)
        browser.close()
