"""`caucus simulate --pdf`: a tagged PDF of the report, the same bytes for the same run, or one sentence why not."""

from __future__ import annotations

import os
import re
import sys
import zlib
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from simulation import cli
from simulation.report import pdf
from simulation.roster import synthesize

TITLE = "Twelve precincts"
NIGHT = f"""
extends = "iowa-2020"
title = "{TITLE}"
story = "The first twelve precincts of Iowa 2020."
[roster]
file = "precincts.csv"
[turnout]
people = 800
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("planner")
    (found / "twelve.toml").write_text(NIGHT)
    rows = synthesize("iowa-2020").csv().splitlines(keepends=True)[:13]
    (found / "precincts.csv").write_text("".join(rows))
    return found


@pytest.fixture(scope="module")
def report(folder: Path) -> Path:
    """The PDF of one night; where this machine lacks WeasyPrint's libraries, skips, or fails in CI."""
    done = simulated(folder, "one", "--pdf")
    if done.exit_code == 2 and done.stderr.startswith("--pdf: "):
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(done.stderr)
    assert done.exit_code == 0, done.stderr
    return folder / "one" / "report.pdf"


def simulated(folder: Path, out: str, *options: str) -> Result:
    night = str(folder / "twelve.toml")
    command = ["simulate", night, "-n", "1", "--workers", "1", "--out", str(folder / out), "--quiet", *options]
    return CliRunner().invoke(cli.caucus, command, prog_name="caucus")


def opened(report: bytes) -> str:
    """Everything that a PDF says of itself: its objects, its streams unpacked."""
    parts = [report]
    for stream in re.findall(rb"stream\r?\n(.*?)\r?\nendstream", report, re.DOTALL):
        try:
            parts.append(zlib.decompress(stream))
        except zlib.error:
            parts.append(stream)
    return b"\n".join(parts).decode("latin-1")


def test_the_pdf_is_tagged_and_says_its_title_and_language(report: Path) -> None:
    """What PDF/UA-1 asks for first: marked content, a structure tree, a title that is shown, a language."""
    assert report.read_bytes().startswith(b"%PDF-1.7")
    said = opened(report.read_bytes())
    for claim in ("/StructTreeRoot", "/Marked true", "/DisplayDocTitle true", "/Lang (en)", 'pdfuaid:part="1"'):
        assert claim in said, claim
    assert f"{TITLE}: forecast of a caucus night" in said
    for element in ("/H1", "/H2", "/Table", "/TH", "/Caption", "/Figure"):
        assert f"/S {element}" in said, element


def test_every_picture_has_its_alternative_text(report: Path) -> None:
    said = opened(report.read_bytes())
    assert said.count("/S /Figure") >= 5
    assert said.count("/Alt (") + said.count("/Alt <") == said.count("/S /Figure")


def test_nothing_in_the_pdf_says_when_or_where_it_was_made(report: Path, folder: Path) -> None:
    said = opened(report.read_bytes())
    assert "CreationDate" not in said
    assert "ModDate" not in said
    assert "xmp:CreateDate" not in said
    assert str(folder) not in said


def test_the_same_page_gives_the_same_bytes(report: Path) -> None:
    page = report.with_name("report.html").read_text(encoding="utf-8")
    assert pdf.as_pdf(page) == report.read_bytes()


def test_pictures_are_printed_once_in_their_own_colors_and_nothing_is_left_folded(report: Path) -> None:
    """WeasyPrint knows neither variables in pictures nor what is folded."""
    printed = pdf._printed(report.with_name("report.html").read_text(encoding="utf-8"))
    pictures = re.findall(r"<svg.*?</svg>", printed, re.DOTALL)
    assert pictures
    assert not any("var(--" in picture or 'class="narrow"' in picture for picture in pictures)
    assert not re.search(r"</?details|<summary", printed)
    assert printed.count("<div") == printed.count("</div")


def test_a_run_without_its_pdf_is_not_the_run_that_is_asked_for(report: Path, folder: Path) -> None:
    assert simulated(folder, "plain").exit_code == 0
    assert not (folder / "plain" / "report.pdf").exists()
    done = simulated(folder, "plain", "--pdf")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "holds no report.pdf" in done.stderr
    assert simulated(folder, report.parent.name, "--pdf").exit_code == 0  # the very run, so nothing is played


LACKING = {
    "No module named 'weasyprint'": ("raise ImportError", "pip install 'caucus-trial-run[pdf]'"),
    "cannot load library": ("print('-----\\nadvice\\n-----'); raise OSError", "does not find the library Pango"),
}


@pytest.mark.parametrize("lack", LACKING)
def test_without_weasyprint_or_its_library_one_sentence_says_what_to_install(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lack: str
) -> None:
    """It comes before any night is played."""
    code, advice = LACKING[lack]
    (tmp_path / "weasyprint.py").write_text(f"{code}({lack!r})\n")
    monkeypatch.syspath_prepend(tmp_path)
    for name in [name for name in sys.modules if name.partition(".")[0] == "weasyprint"]:
        monkeypatch.delitem(sys.modules, name)
    done = simulated(folder, "never", "--pdf")
    assert (done.exit_code, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert advice in done.stderr
    assert not list(folder.glob("never*"))


def test_json_without_a_folder_has_no_place_for_a_pdf(folder: Path) -> None:
    done = CliRunner().invoke(cli.caucus, ["simulate", str(folder / "twelve.toml"), "--json", "--pdf"])
    assert (done.exit_code, done.stdout) == (2, "")
    assert "--out" in done.stderr
