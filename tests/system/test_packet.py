"""`caucus packet`: the same evening as `caucus rehearse`, on paper; whole, or not at all."""

from __future__ import annotations

import html
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from playwright.sync_api import Page, sync_playwright

from simulation import cli
from simulation.rehearsal.packet import packet
from simulation.rehearsal.running import Joined, Rehearsal
from simulation.roster import synthesize
from simulation.scenario import load
from simulation.web.words import words

NIGHT = """
extends = "iowa-2020"
title = "Thirty precincts"
story = "The first thirty precincts of Iowa 2020."
[roster]
file = "precincts.csv"
[turnout]
people = "none"
[[inject]]
at = "19:20"
uses = "forms-run-out"
message = "The box under the table is empty."
"""
SEATS = 3


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("trainer")
    (found / "thirty.toml").write_text(NIGHT)
    (found / "precincts.csv").write_text("\n".join(synthesize("iowa-2020").csv().splitlines()[:31]) + "\n")
    return found


def printed(folder: Path, out: str, *options: str) -> Result:
    command = ["packet", str(folder / "thirty.toml"), "--seats", str(SEATS), "--out", str(folder / out), *options]
    return CliRunner().invoke(cli.caucus, command, prog_name="caucus")


@pytest.fixture(scope="module")
def papers(folder: Path) -> Path:
    done = printed(folder, "papers", "--seed", "5", "--minutes", "20")
    assert done.exit_code == 0, done.stderr
    assert done.stdout.split() == [str(folder / "papers" / name) for name in ("volunteers.html", "trainer.html")]
    return folder / "papers"


@pytest.fixture(scope="module")
def rehearsal(folder: Path) -> Iterator[Rehearsal]:
    found = Rehearsal.begin(folder / "night.sqlite", load(folder / "thirty.toml"), seed=5, minutes=20)
    yield found
    found.close()


@pytest.mark.parametrize("there", ["file", "folder"])
def test_a_place_that_is_taken_stays_as_it_is(folder: Path, there: str) -> None:
    place = folder / f"taken-{there}"
    if there == "file":
        place.write_text("mine")
    else:
        (place / "trainer.html").mkdir(parents=True)
    done = printed(folder, place.name, "--minutes", "20")
    assert (done.exit_code, done.stdout) == (2, "")
    assert ("is a file" if there == "file" else "nothing is overwritten") in done.stderr
    assert place.read_text() == "mine" if there == "file" else (place / "trainer.html").is_dir()
    assert not list(folder.glob(".taken*"))


def text_of(page: Path) -> str:
    return html.unescape(page.read_text(encoding="utf-8"))


def test_paper_and_screen_are_the_same_evening(papers: Path, rehearsal: Rehearsal) -> None:
    """Everything that a chair meets on the screen stands on the paper of the same seat."""
    leaves = text_of(papers / "volunteers.html")
    for number in range(1, SEATS + 1):
        person = rehearsal.join(rehearsal.join_code, f"Person {number}")
        assert isinstance(person, Joined)
        view = rehearsal.view(person.seat)
        mine = leaves.partition(f'aria-label="chair-{number}"')[2].partition(f'aria-label="chair-{number + 1}"')[0]
        assert person.seat == f"chair-{number}"
        assert view.precinct in mine
        site = rehearsal.script.sites[number - 1]
        assert site.pin in mine
        assert site.code in mine
        for step in view.steps:
            for text in step.story if step.id.startswith("case:") else ():
                assert text.english() in mine
        for case in (*site.at_door, site.line_at_seven, *site.requests):
            assert all(answer.label.english() in mine for answer in case.answers)


def test_every_card_of_the_screens_deck_is_on_paper(papers: Path, rehearsal: Rehearsal) -> None:
    cards = text_of(papers / "trainer.html")
    assert "The box under the table is empty." in cards
    for card in rehearsal.room.deck():
        for text in (card.message, card.when or card.trigger, card.expected, card.objective, card.note):
            assert text.english() in cards


def test_volunteers_get_nothing_of_the_key(papers: Path, rehearsal: Rehearsal) -> None:
    leaves, key = text_of(papers / "volunteers.html"), text_of(papers / "trainer.html")
    for site in rehearsal.script.sites[:SEATS]:
        for case in (*site.at_door, site.line_at_seven, *site.requests):
            for answer in case.answers:
                assert answer.consequence.english() in key
                assert answer.consequence.english() not in leaves
    assert rehearsal.room.deck()[0].note.english() not in leaves
    for desk in packet(rehearsal.script, SEATS).desks:
        assert f'aria-label="{desk.seat}"' in leaves
        for _, task in desk.tasks:
            assert task.right.english() in key
            for text in (*task.worked, *task.tell):
                assert text.english() in key
                assert text.english() not in leaves


def test_the_trainers_page_names_the_command_of_the_same_evening(papers: Path, folder: Path) -> None:
    assert f"caucus rehearse {folder / 'thirty.toml'} --seed 5 --night 0 --minutes 20 --language en" in text_of(
        papers / "trainer.html"
    )


def test_the_same_command_again_is_fine_and_another_one_overwrites_nothing(papers: Path, folder: Path) -> None:
    before = {path.name: path.read_bytes() for path in papers.iterdir()}
    assert printed(folder, "papers", "--seed", "5", "--minutes", "20").exit_code == 0
    done = printed(folder, "papers", "--seed", "6", "--minutes", "20")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "is there already" in done.stderr
    assert {path.name: path.read_bytes() for path in papers.iterdir()} == before


def test_in_spanish_no_sentence_is_left_in_english(folder: Path) -> None:
    assert printed(folder, "papeles", "--language", "es", "--minutes", "20").exit_code == 0
    page = text_of(folder / "papeles" / "trainer.html")
    assert '<html lang="es">' in page
    spanish = words("es").catalog.gettext
    for message in ("How it goes", "Cards", "Key: what is right", "Private note", "When asked, read aloud:"):
        assert spanish(message) in page
        assert f">{message}<" not in page


def test_the_pdf_is_the_same_for_the_same_evening(folder: Path) -> None:
    assert printed(folder, "one", "--minutes", "20", "--seats", "1").exit_code == 0
    done = printed(folder, "one", "--minutes", "20", "--seats", "1", "--pdf")  # the pages are there already
    if done.exit_code == 2 and done.stderr.startswith("--pdf: "):
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(done.stderr)
    assert done.exit_code == 0, done.stderr
    assert sorted(path.name for path in (folder / "one").iterdir()) == [
        *("trainer.html", "trainer.pdf", "volunteers.html", "volunteers.pdf"),
    ]
    for name in ("trainer.pdf", "volunteers.pdf"):
        assert (folder / "one" / name).read_bytes().startswith(b"%PDF-1.7")
    again = printed(folder, "one", "--minutes", "20", "--seats", "1", "--pdf")
    assert again.exit_code == 0, again.stderr  # other bytes would have been refused


def test_what_cannot_be_made_leaves_nothing_behind(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "weasyprint.py").write_text("raise ImportError")
    monkeypatch.syspath_prepend(tmp_path)
    for name in [name for name in sys.modules if name.partition(".")[0] == "weasyprint"]:
        monkeypatch.delitem(sys.modules, name)
    for options, reason in (
        (["--pdf"], "pip install 'caucus-trial-run[pdf]'"),
        (["--seats", "99"], "--seats 99: this night has"),
        (["--set", "turnout.people=-1"], "turnout.people"),
    ):
        done = printed(folder, "never", *options)
        assert (done.exit_code, done.stdout) == (2, "")
        assert reason in done.stderr
        assert len(done.stderr.splitlines()) == 1
        assert not list(folder.glob("never*"))


def test_the_pages_meet_wcag_and_ask_for_nothing(
    papers: Path, chromium_path: str, violations: Callable[[Page], list[str]]
) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 390, "height": 844})
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        for name in ("volunteers.html", "trainer.html"):
            page.goto((papers / name).as_uri())
            assert violations(page) == []
            assert page.evaluate("document.documentElement.scrollWidth") <= 390
        assert len(asked) == 2
        browser.close()
