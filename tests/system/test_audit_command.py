"""`caucus audit` and `caucus national` as their users meet them: what is printed, what is written, what is refused."""

from __future__ import annotations

import csv
import json
import re
import time
from collections.abc import Callable
from html import unescape
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from playwright.sync_api import Page, sync_playwright

from simulation import cli
from simulation.audit import KINDS

HEADER = (
    "county,precinct,county_delegates,first_biden,first_sanders,first_warren,final_biden,final_sanders,final_warren,"
    "del_biden,del_sanders,del_warren"
)
RESULTS = (
    "Adair,North,4,20,20,5,22,23,0,2,2,0",  # lawful
    "Adair,South,4,20,20,0,20,25,0,2,2,0",  # five people came from nowhere
    'Adair,"<b>West & ""East""</b>",4,20,20,0,20,20,0,2,1,0',  # one delegate is missing
)
SDE = "district,biden,sanders\n1,100,50\n2,80,70\n3,120,60\n4,40,60\n,2,3\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "results.csv").write_text("\n".join([HEADER, *RESULTS]) + "\n")
    (tmp_path / "clean.csv").write_text("\n".join([HEADER, RESULTS[0]]) + "\n")
    (tmp_path / "sde.csv").write_text(SDE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def caucus(*arguments: str) -> Result:
    return CliRunner().invoke(cli.caucus, arguments, prog_name="caucus")


def words(html: str) -> str:
    """What a page says, on one line."""
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", html)).split())


def test_findings_are_printed_and_are_no_failure(folder: Path) -> None:
    done = caucus("audit", "results.csv")
    assert (done.exit_code, done.stderr) == (0, "")
    page = Path("runs", "audit-results.html")
    assert done.stdout.startswith("results.csv: 2 of 3 precincts have a finding")
    assert done.stdout.endswith(f"\nThe page: {page}\n")
    assert (folder / page).is_file()


def test_json_has_the_shape_that_other_programs_rely_on_and_writes_nothing(folder: Path) -> None:
    done = caucus("audit", "results.csv", "--json")
    found = json.loads(done.stdout)
    assert (done.exit_code, set(found)) == (0, {"precincts", "counts", "findings"})
    assert found["precincts"] == 3
    assert set(found["counts"]) <= set(KINDS)
    assert sum(found["counts"].values()) == len(found["findings"])
    assert {tuple(finding) for finding in found["findings"]} == {("county", "precinct", "kind", "detail")}
    kinds = {finding["precinct"]: finding["kind"] for finding in found["findings"]}
    assert kinds["South"] == "final_exceeds_first"
    assert sorted(item.name for item in folder.iterdir()) == ["clean.csv", "results.csv", "sde.csv"]


def test_the_page_has_every_finding_its_rule_and_what_to_do_in_safe_html(folder: Path) -> None:
    """Names from the file are text, whatever they look like; no server is asked for anything."""
    found = json.loads(caucus("audit", "results.csv", "--json", "--out", "page.html").stdout)
    html = (folder / "page.html").read_text(encoding="utf-8")
    assert "<b>West" not in html
    said = words(html)
    for finding in found["findings"]:
        assert finding["precinct"] in said
        assert " ".join(finding["detail"].split()) in said
        kind = KINDS[finding["kind"]]
        for text in (kind.meaning, kind.rule, kind.remedy.replace("`", "")):
            assert text in said
    for kind_name, count in found["counts"].items():
        assert re.search(rf"\b{kind_name} {count}\b", said), kind_name
    assert not re.search(r"(?:src|href)=\"(?!#)|url\((?!#)|@import", html)


def test_a_clean_file_says_so(folder: Path) -> None:
    done = caucus("audit", "clean.csv")
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.startswith("clean.csv: nothing to find fault with in 1 precinct.")
    said = words((folder / "runs" / "audit-clean.html").read_text(encoding="utf-8"))
    assert "Nothing to find fault with in the results of 1 precinct." in said


def test_the_findings_are_a_table_for_a_spreadsheet_too(folder: Path) -> None:
    done = caucus("audit", "results.csv", "--json", "--csv", "findings.csv")
    with (folder / "findings.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    columns = ("county", "precinct", "kind", "detail")
    assert [{name: row[name] for name in columns} for row in rows] == json.loads(done.stdout)["findings"]
    assert all(row["what_to_do"] == KINDS[row["kind"]].remedy for row in rows)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("audit", "nowhere.csv"), "nowhere.csv"),
        (("audit", "sde.csv"), "sde.csv"),
        (("audit", "results.csv", "--out", "sde.csv"), "sde.csv: is there already"),
        (("audit", "results.csv", "--out", "."), ".: is a folder"),
        (("audit", "results.csv", "--json", "--csv", "sde.csv"), "sde.csv: is there already"),
        (("national", "nowhere.csv"), "nowhere.csv"),
        (("national", "results.csv"), "results.csv"),
    ],
)
def test_bad_input_is_a_sentence_and_changes_nothing(folder: Path, arguments: tuple[str, ...], named: str) -> None:
    before = {item: item.read_bytes() for item in folder.iterdir()}
    done = caucus(*arguments)
    assert (done.exit_code, done.stdout) == (2, "")
    assert named in done.stderr
    assert "Traceback" not in done.stderr
    assert {item: item.read_bytes() for item in folder.iterdir()} == before


@pytest.mark.usefixtures("folder")
def test_national_delegates_are_dealt_from_sde() -> None:
    """District 1: 100 and 50 of 150 SDE share seven delegates 5 to 2, and so on; 41 in all."""
    done = caucus("national", "sde.csv", "--json")
    found = json.loads(done.stdout)
    assert (done.exit_code, found["total"]) == (0, 41)
    assert found["blocks"][0]["awarded"] == {"biden": 5, "sanders": 2}
    text = caucus("national", "sde.csv").stdout
    assert text.startswith("41 of 41 national delegates: Biden ")


def test_the_results_of_2020_within_three_seconds_and_their_national_delegates(folder: Path, shared_data: Path) -> None:
    """The page included. Among the findings are the 79 precincts with more people at the end than at first."""
    results = str(shared_data / "iowa2020_precincts.csv")
    begun = time.process_time()
    done = caucus("audit", results, "--json", "--out", "2020.html")
    assert time.process_time() - begun < 3
    assert json.loads(done.stdout)["counts"]["final_exceeds_first"] == 79
    assert (folder / "2020.html").stat().st_size < 400_000
    delegates = json.loads(caucus("national", results, "--json").stdout)["delegates"]
    assert delegates == {"buttigieg": 14, "sanders": 12, "warren": 8, "biden": 6, "klobuchar": 1}


@pytest.mark.parametrize("width", [390, 1280], ids=["phone", "desk"])
def test_the_page_fits_its_screen(folder: Path, chromium_path: str, width: int) -> None:
    assert caucus("audit", "results.csv").exit_code == 0
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": width, "height": 900})
        page.goto((folder / "runs" / "audit-results.html").as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        frame = page.locator("svg[role=img]:visible").bounding_box()
        assert frame
        for text in page.locator("svg[role=img]:visible text").all():
            box = text.bounding_box()
            assert box
            assert box["x"] + box["width"] <= frame["x"] + frame["width"], text.text_content()
        browser.close()


def test_the_page_meets_wcag(folder: Path, chromium_path: str, violations: Callable[[Page], list[str]]) -> None:
    """Nothing that axe-core can find against WCAG 2.2 AA, light on a phone, dark on a desk."""
    assert caucus("audit", "results.csv").exit_code == 0
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path, args=["--no-sandbox"])
        page = browser.new_page()
        page.goto((folder / "runs" / "audit-results.html").as_uri())
        for width, dark in ((390, False), (1280, True)):
            page.set_viewport_size({"width": width, "height": 900})
            page.emulate_media(color_scheme="dark" if dark else "light")
            assert violations(page) == [], (width, dark)
        browser.close()
