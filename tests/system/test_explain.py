"""`caucus explain`: the evening of one precinct agrees with the run it is taken from, and is told to be read."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from click.testing import CliRunner, Result
from playwright.sync_api import Page, sync_playwright

from simulation import cli
from simulation.roster import synthesize

SITES = 20
NIGHTS = 2
NIGHT = """
extends = "iowa-2020"
title = "Twenty precincts"
story = "The first twenty precincts of Iowa 2020, with one operator, so that chairs wait."
[roster]
file = "precincts.csv"
[turnout]
people = 3000
[hotline]
operators = [{ from = "18:00", to = "+1d 03:00", count = 1 }]
"""
SEED = ("--seed", "5")
Caucus = Callable[..., Result]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scenario, its roster, and two nights of it with a row a precinct and night, in `run`."""
    found = tmp_path_factory.mktemp("planner")
    (found / "twenty.toml").write_text(NIGHT)
    rows = synthesize("iowa-2020").csv().splitlines(keepends=True)[: SITES + 1]
    (found / "precincts.csv").write_text("".join(rows))
    scenario, out = str(found / "twenty.toml"), str(found / "run")
    command = ["simulate", scenario, "-n", f"{NIGHTS}", *SEED, "--workers", "1", "--keep", "precincts", "--out", out]
    done = CliRunner().invoke(cli.caucus, command, prog_name="caucus")
    assert done.exit_code == 0, done.stderr
    return found


@pytest.fixture
def caucus(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Caucus:
    """Run a command in the planner's folder."""

    def run(*arguments: str, width: int = 100) -> Result:
        monkeypatch.chdir(folder)
        return CliRunner(env={"COLUMNS": f"{width}"}).invoke(cli.caucus, arguments, prog_name="caucus")

    return run


def explained(caucus: Caucus, *arguments: str) -> dict[str, Any]:
    done = caucus("explain", *arguments, "--json", "--quiet")
    assert (done.exit_code, done.stderr) == (0, "")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def happened(story: dict[str, Any], beginning: str) -> int:
    """When the first moment happened whose sentence begins so; -1 for never."""
    return next((m["at_ms"] for m in story["moments"] if m["text"].startswith(beginning)), -1)


@pytest.mark.parametrize("precinct", range(0, SITES, 4))
@pytest.mark.parametrize("night", range(NIGHTS))
def test_the_story_has_the_times_of_the_run(folder: Path, caucus: Caucus, night: int, precinct: int) -> None:
    """The same scenario, seed and night: start, worksheet, receipt and release to the millisecond."""
    rows = pl.read_parquet(folder / "run" / "precinct-nights.parquet").filter(pl.col("night") == night)
    row = rows.row(precinct, named=True)
    story = explained(caucus, "twenty.toml", *SEED, "--night", f"{night}", "--precinct", row["id"])
    assert (story["scenario"], story["seed"], story["night"], story["precinct"]) == ("twenty", 5, night, row["id"])
    assert happened(story, "The caucus is called to order") == row["started_at_ms"]
    assert happened(story, "The worksheet is signed") == row["ready_at_ms"]
    assert happened(story, "Headquarters has the result") == row["reported_at_ms"]
    assert happened(story, "The public sees the result") == row["released_at_ms"]
    assert f"The doors open. {row['people']} p" in story["moments"][0]["text"]
    times = [moment["at_ms"] for moment in story["moments"]]
    assert times == sorted(times)


def test_run_toml_brings_its_seed(caucus: Caucus) -> None:
    which = ("--night", "1", "--precinct", "Adair 2")
    assert explained(caucus, "run/run.toml", *which) == explained(caucus, "twenty.toml", *SEED, *which)


def test_holding_every_assumption_at_its_middle_tells_another_evening(caucus: Caucus) -> None:
    which = (*SEED, "--precinct", "Adair 2")
    drawn, fixed = explained(caucus, "twenty.toml", *which), explained(caucus, "twenty.toml", *which, "--fixed")
    assert drawn["moments"] != fixed["moments"]


@pytest.mark.parametrize("name", ["Adair/Adair 2", "adair/adair 2", "ADAIR, Adair  2", "Adair / Adair 2", "adair 2"])
def test_a_precinct_goes_by_its_id_or_by_county_and_name_or_by_its_name(caucus: Caucus, name: str) -> None:
    assert explained(caucus, "twenty.toml", *SEED, "--precinct", name)["precinct"] == "Adair/Adair 2"


def test_an_unknown_precinct_is_answered_with_names_alike_before_anything_is_played(
    folder: Path, caucus: Caucus
) -> None:
    before = sorted(folder.iterdir())
    done = caucus("explain", "twenty.toml", "--precinct", "Adaire 2")
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith(
        "--precinct Adaire 2: none of the 20 precincts is called so; did you mean Adair/Adair"
    )
    assert sorted(folder.iterdir()) == before


def test_a_name_that_several_precincts_have_is_answered_with_all_of_them(folder: Path, caucus: Caucus) -> None:
    header, *rows = (folder / "precincts.csv").read_text().splitlines()
    name = header.split(",").index("precinct")
    cells = [row.split(",") for row in rows]
    cells[0][name] = cells[10][name] = "Town Hall"
    (folder / "halls.csv").write_text("\n".join([header, *(",".join(row) for row in cells)]) + "\n")
    done = caucus("explain", "twenty.toml", "--roster", "halls.csv", "--precinct", "town hall")
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith("--precinct town hall: is the name of 2 precincts: ")
    assert done.stderr.count("/") == 2


def test_the_terminal_gets_the_story_in_lines_that_fit_and_the_page_has_all_of_it(folder: Path, caucus: Caucus) -> None:
    done = caucus("explain", "twenty.toml", *SEED, "--night", "1", "--precinct", "Adair 2", "--quiet", width=60)
    assert (done.exit_code, done.stderr) == (0, "")
    page = Path("runs", "explain-twenty-5-001-adair-adair-2.html")
    *story, empty, last = done.stdout.splitlines()
    assert (empty, last) == ("", f"The page: {page}")
    assert max(map(len, story)) <= 60
    told = explained(caucus, "twenty.toml", *SEED, "--night", "1", "--precinct", "Adair 2")
    assert " ".join(" ".join(story).split()).startswith(told["finding"])
    html = (folder / page).read_text(encoding="utf-8")
    words = " ".join(unescape(re.sub(r"<[^>]+>", " ", html)).split())
    for sentence in (told["finding"], *(moment["text"] for moment in told["moments"])):
        assert sentence in words
    for cause in told["causes"]:
        assert cause[1:] in words
    assert not re.search(r"(?:src|href)=\"(?!#)|url\((?!#)|@import", html)  # nothing is asked of any server


def test_the_command_on_the_page_writes_the_same_page(folder: Path, caucus: Caucus) -> None:
    options = (*SEED, "--set", "hotline.operators=2", "--fixed", "--precinct", "adair 2", "--out", "one.html")
    assert caucus("explain", "twenty.toml", *options).exit_code == 0
    html = (folder / "one.html").read_text(encoding="utf-8")
    printed = re.search(r"<pre><code>caucus (.+?)</code></pre>", html)
    assert printed
    assert caucus(*shlex.split(unescape(printed[1])), "--out", "two.html").exit_code == 0
    assert (folder / "two.html").read_text(encoding="utf-8") == html


def test_with_json_nothing_is_written_unless_it_is_asked_for(folder: Path, caucus: Caucus) -> None:
    before = sorted(folder.rglob("*"))
    explained(caucus, "twenty.toml", *SEED, "--precinct", "Adair 1")
    assert sorted(folder.rglob("*")) == before
    explained(caucus, "twenty.toml", *SEED, "--precinct", "Adair 1", "--out", "asked/page.html")
    assert (folder / "asked" / "page.html").is_file()


def test_a_page_may_be_replaced_by_a_page_and_nothing_else_is(folder: Path, caucus: Caucus) -> None:
    """What somebody else wrote is found out before the night is played."""
    (folder / "letter.html").write_text("<p>Dear mother</p>")
    done = caucus("explain", "twenty.toml", *SEED, "--precinct", "Adair 1", "--out", "letter.html")
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr == "--out letter.html: is there already, and no page of ours: choose another name\n"
    assert (folder / "letter.html").read_text() == "<p>Dear mother</p>"
    for _ in range(2):
        assert caucus("explain", "twenty.toml", *SEED, "--precinct", "Adair 1", "--out", "page.html").exit_code == 0


@pytest.mark.parametrize(("width", "shown"), [(390, "narrow"), (1280, "wide")], ids=["phone", "desk"])
def test_the_page_fits_its_screen(folder: Path, caucus: Caucus, chromium_path: str, width: int, shown: str) -> None:
    """Nothing scrolls sideways, no part of the picture leaves its frame, and it has the width that can be read."""
    assert caucus("explain", "twenty.toml", *SEED, "--precinct", "Adair 3", "--out", f"{shown}.html").exit_code == 0
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": width, "height": 900})
        page.goto((folder / f"{shown}.html").as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        picture = page.locator(f"svg.{shown}")
        assert picture.is_visible()
        frame = picture.bounding_box()
        assert frame
        for text in picture.locator("text").all():
            box = text.bounding_box()
            assert box
            assert frame["x"] - 2 <= box["x"], text.text_content()
            assert box["x"] + box["width"] <= frame["x"] + frame["width"] + 12, text.text_content()
        browser.close()


def test_the_page_meets_wcag(
    folder: Path, caucus: Caucus, chromium_path: str, violations: Callable[[Page], list[str]]
) -> None:
    """Nothing that axe-core can find against WCAG 2.2 AA, light on a phone, dark on a desk."""
    assert caucus("explain", "twenty.toml", *SEED, "--precinct", "Adair 3", "--out", "wcag.html").exit_code == 0
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path, args=["--no-sandbox"])
        page = browser.new_page()
        page.goto((folder / "wcag.html").as_uri())
        for width, dark in ((390, False), (1280, True)):
            page.set_viewport_size({"width": width, "height": 900})
            page.emulate_media(color_scheme="dark" if dark else "light")
            assert violations(page) == [], (width, dark)
        browser.close()


def test_calls_on_hold_are_the_chairs_own_and_stand_among_the_moments(folder: Path, caucus: Caucus) -> None:
    """A cause never speaks of more calls than the story tells, nor of calls that headquarters made."""
    ids = pl.read_parquet(folder / "run" / "precincts.parquet")["id"].to_list()
    spoken = 0
    for precinct in ids[:10]:
        story = explained(caucus, "twenty.toml", *SEED, "--precinct", precinct)
        dialed = [m["text"] for m in story["moments"] if m["text"].startswith("The chair calls the hotline")]
        for cause in story["causes"]:
            found = re.search(r"on hold in (\d+) calls?( for help)?", cause)
            if found:
                spoken += 1
                assert sum(("for help" in text) == bool(found[2]) for text in dialed) == int(found[1]), precinct
    assert spoken
