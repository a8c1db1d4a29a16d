"""Two runs compared: a difference is claimed only where the intervals have nothing in common."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from loadtests.report import run_folder
from loadtests.report.run_folder import About
from loadtests.report.versus import Run, compared, differing, read
from loadtests.report.versus_page import page
from simulation.errors import InputError
from tests.unit.loadtests.load_runs import about, point


def run(folder: Path, low: float, high: float | None, told: About | None = None) -> Run:
    one = replace(point(), requests_per_s=(low, high))
    result = {"points": [{**one.as_json(), "night_per_s": one.night_per_s}]}
    run_folder.finish(folder, told or about("break"), result, lambda place: None)
    return read(folder)


def test_intervals_that_overlap_are_no_difference(tmp_path: Path):
    (one,) = compared(run(tmp_path / "a", 38, 43), run(tmp_path / "b", 42, 47))
    assert one.overlaps
    assert one.says == "login: no difference that is more than luck: the intervals overlap"


def test_intervals_apart_are_a_difference_and_its_size_has_bounds(tmp_path: Path):
    (one,) = compared(run(tmp_path / "a", 38, 40), run(tmp_path / "b", 80, 84))
    assert not one.overlaps
    assert one.ratio == (80 / 40, 84 / 38)
    assert one.says.startswith("login: B breaks later than A, at 2.00 to 2.21 times the load")
    (other,) = compared(run(tmp_path / "c", 80, 84), run(tmp_path / "d", 38, 40))
    assert "B breaks earlier than A" in other.says


def test_where_nothing_broke_up_to_some_load_the_other_may_be_as_good(tmp_path: Path):
    (one,) = compared(run(tmp_path / "a", 38, None), run(tmp_path / "b", 80, 84))
    assert one.overlaps
    (other,) = compared(run(tmp_path / "c", 90, None), run(tmp_path / "d", 80, 84))
    assert not other.overlaps
    assert other.ratio is None


def test_what_differs_besides_is_told(tmp_path: Path):
    a = run(tmp_path / "a", 38, 40)
    b = run(tmp_path / "b", 80, 84, about("break", seed=2, versions={"python": "4"}))
    assert differing(a, b) == ["seed: 1 and 2", "versions.python: 3 and 4"]


def test_the_page_shows_both(tmp_path: Path):
    a, b = run(tmp_path / "a", 38, 40), run(tmp_path / "b", 80, 84)
    text = page(a, b, compared(a, b), "caucus loadtest diff a b")
    assert "1 of 1 flow differs by more than luck" in text
    assert "B breaks later than A" in text


def not_valid(one: Run, why: str) -> Run:
    points = [{**point, "valid": False, "why": why} for point in one.result["points"]]
    return replace(one, result={**one.result, "points": points})


def test_an_answer_that_is_not_valid_says_so_and_decides_nothing(tmp_path: Path):
    a, b = run(tmp_path / "a", 38, 40), not_valid(run(tmp_path / "b", 80, 84), "17 % wide when time was up")
    (one,) = compared(a, b)
    assert one.differs is None
    assert one.says == (
        "login: which breaks later is not known: A broke between 38 and 40/s, B broke between 80 and 84/s; B's answer "
        "is not valid: 17 % wide when time was up"
    )
    assert (one.as_json()["a_not_valid"], one.as_json()["b_not_valid"]) == (None, "17 % wide when time was up")
    text = page(a, b, [one], "caucus loadtest diff a b")
    assert "0 of 1 flow differs by more than luck" in text
    assert "No flow is known to differ by more than luck" in text
    assert ">not known<" in text
    held = not_valid(run(tmp_path / "c", 90, None), "the generator is the limit")
    (other,) = compared(held, a)
    assert "A held 90/s and did not break, B broke between 38 and 40/s; A's answer is not valid" in other.says
    (same,) = compared(held, run(tmp_path / "d", 95, 99))
    assert same.says.endswith("the intervals overlap; A's answer is not valid: the generator is the limit")


def test_faults_the_size_of_a_night_and_the_scenario_are_conditions_as_well(tmp_path: Path):
    a = run(tmp_path / "a", 38, 40, about("break", document={"app": {"installed": 0.7}, "title": "One"}))
    told = about(
        "break", faults=(), night_per_s={"login": 2.5, "mix": 9.0}, workers=2, name="night.toml",
        document={"app": {"installed": 0.8}, "title": "One", "turnout": {"people": "none"}},
    )  # fmt: skip
    b = run(tmp_path / "b", 38, 40, told)
    assert differing(a, b) == [
        "scenario: iowa-2020 and night.toml",
        "workers: 1 and 2",
        "faults: ['stall clients at 10 s for 2 s'] and []",
        "night_per_s.login: 1.7 and 2.5",
        "run.toml: app.installed, turnout.people",
    ]
    (tmp_path / "b" / "run.toml").write_text("not [ TOML", encoding="utf-8")
    assert differing(a, read(tmp_path / "b"))[-1] == "night_per_s.login: 1.7 and 2.5"


def test_only_runs_of_break_are_compared(tmp_path: Path):
    run_folder.finish(tmp_path / "soak", about("soak"), {}, lambda place: None)
    with pytest.raises(InputError, match="only runs of `caucus loadtest break` are compared"):
        read(tmp_path / "soak")
    (tmp_path / "nothing").mkdir()
    with pytest.raises(InputError, match="no result.json that can be read"):
        read(tmp_path / "nothing")
    (tmp_path / "nothing" / "result.json").write_text(json.dumps([1]), encoding="utf-8")
    with pytest.raises(InputError, match="only runs of"):
        read(tmp_path / "nothing")
