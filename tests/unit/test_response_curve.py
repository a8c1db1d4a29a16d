"""A measured backend's response curve: how a scenario names it, its mistakes, and what it answers at a load."""

from __future__ import annotations

import copy
import json
import math
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulation.describe import night_text
from simulation.errors import InputError
from simulation.experiment.run_file import run_table, run_text
from simulation.night.backend import (
    Backend,
    Phone,
    answers_after,
    arrive,
    capacity,
    no_traffic,
    per_minute,
    sends,
)
from simulation.night.luck import Luck
from simulation.randomness import CERTAIN, TABLE_STEPS
from simulation.report.basis import shown
from simulation.scenario import Scenario, load
from simulation.scenario.schema import AppBackend

DOCS = Path(__file__).parents[2] / "docs"
LATENCY = {"p50_ms": 10, "p90_ms": 40, "p95_ms": 100, "p99_ms": 900}
CURVE: dict[str, Any] = {
    "format": 1,
    "flow": "report",
    "target": "http://127.0.0.1:8000",
    "night_per_s": 2.0,
    "capacity_per_s": 100.0,
    "points": [
        {"offered_per_s": 10, **LATENCY, "error_share": 0.0},
        {"offered_per_s": 100, "p50_ms": 30, "p90_ms": 80, "p95_ms": 300, "p99_ms": 2700, "error_share": 0.0},
        {"offered_per_s": 200, "p50_ms": 300, "p90_ms": 800, "p95_ms": 3000, "p99_ms": 9000, "error_share": 0.5},
    ],
}
NIGHT = 'title = "A"\nstory = "A night."\n'


def write(folder: Path, curve: object = CURVE, *, backend: str = 'curve = "curve.json"') -> Path:
    (folder / "curve.json").write_text(curve if isinstance(curve, str) else json.dumps(curve))
    (folder / "night.toml").write_text(f"{NIGHT}[app.backend]\n{backend}\n")
    return folder / "night.toml"


def problems(folder: Path, curve: object, **more: str) -> list[str]:
    with pytest.raises(InputError) as error:
        load(write(folder, curve, **more))
    return list(error.value.problems)


def changed(*path: Any, to: object) -> dict[str, Any]:
    found: Any = copy.deepcopy(CURVE)
    place = found
    for part in path[:-1]:
        place = place[part]
    place[path[-1]] = to
    return found  # type: ignore[no-any-return]  # JSON


def said(scenario: Scenario) -> AppBackend:
    assert scenario.spec.app.backend is not None
    return scenario.spec.app.backend


# In a scenario


def test_a_scenario_names_the_file_of_a_load_test_beside_it(tmp_path: Path) -> None:
    backend = said(load(write(tmp_path)))
    assert backend.curve is not None
    assert backend.curve.points[1].latency_ms == (30, 80, 300, 2700)
    assert (backend.capacity, backend.timeout, backend.load.low, backend.resends.high) == (None, 10_000, 1_000_000, 3)


def test_a_night_that_extends_one_in_another_folder_has_that_folders_curve(tmp_path: Path) -> None:
    below = tmp_path / "below"
    below.mkdir()
    write(below)
    upper = tmp_path / "upper.toml"
    upper.write_text(f'extends = "below/night.toml"\n{NIGHT}[app.backend]\ncapacity = "0.5 nights"\n')
    backend = said(load(upper))
    assert backend.curve is not None
    assert backend.capacity == 500_000


def test_the_curve_of_the_tutorial_can_be_played() -> None:
    backend = said(load("app-works", {"app.backend.curve": str(DOCS / "response-curve.json")}))
    assert backend.curve is not None
    assert backend.curve.points[0].error_share == 0 < backend.curve.points[-1].error_share
    assert backend.curve.points[0].offered_per_s < backend.curve.capacity_per_s < backend.curve.points[-1].offered_per_s


def test_run_toml_holds_the_curve_so_that_the_file_may_go(tmp_path: Path) -> None:
    scenario = load(write(tmp_path, CURVE | {"made_by": None, "trials": [{"of": "no concern"}]}))
    text = run_text(scenario, run_table(scenario, 1, 1, False, "compiled"))
    assert "no concern" not in text
    assert tomllib.loads(text)["app"]["backend"]["curve"]["points"] == CURVE["points"]
    (tmp_path / "curve.json").unlink()
    (tmp_path / "night.toml").write_text(text)
    assert said(load(tmp_path / "night.toml")) == said(scenario)


def test_set_names_a_curve_from_where_one_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert said(load("iowa-2020", {"app.backend.curve": "curve.json"})).curve is not None


def test_none_takes_a_backend_away_again(tmp_path: Path) -> None:
    scenario = load(write(tmp_path), {"app.backend.curve": "none"})
    assert said(scenario).curve is None
    assert not len(Backend.tonight(scenario.spec.app.backend, Luck(1, 0)).offered)


def test_a_curve_is_shown_in_a_line_not_in_a_hundred(tmp_path: Path) -> None:
    scenario = load(write(tmp_path))
    line = "flow report of http://127.0.0.1:8000: breaks at 100 requests a second (50 caucus nights)"
    assert shown(scenario.document["app"]["backend"]["curve"])[0].startswith(line)
    assert line.partition(": breaks")[0] in night_text(scenario)


@pytest.mark.parametrize(
    ("curve", "told"),
    [
        ("", "not JSON: "),
        ("[]", "is []: expected a table with format, flow, night_per_s, capacity_per_s and points"),
        ("[" * 100_000, "not JSON: "),
        (changed("format", to=2), "format = 2: expected 1"),
        (changed("flow", to="photo"), 'flow = "photo": expected one of "login", "report", "mix"'),
        (changed("capacity_per_s", to=0), "capacity_per_s = 0: expected requests a second, above 0"),
        (changed("night_per_s", to="2"), 'night_per_s = "2": expected requests a second, above 0'),
        (changed("points", to=[]), "points = []: expected a list of 1 to 1,000 tables"),
        (changed("points", 1, to=7), "points.1 = 7: expected a table"),
        (changed("points", 1, "offered_per_s", to=5), "points.1.offered_per_s = 5: expected more than the 10 of"),
        (changed("points", 1, "offered_per_s", to=math.inf), "points.1.offered_per_s = Infinity: expected"),
        (changed("points", 2, "error_share", to=1.5), "points.2.error_share = 1.5: expected a share between 0 and 1"),
        (changed("points", 0, "p90_ms", to=9), "points.0.p90_ms = 9: expected whole milliseconds, 10 to"),
        (changed("points", 0, "p50_ms", to=1.5), "points.0.p50_ms = 1.5: expected whole milliseconds"),
        (changed("points", 0, "p99_ms", to=None), "points.0.p99_ms = nothing: expected whole milliseconds"),
    ],
)  # fmt: skip
def test_a_mistake_in_the_file_is_named_with_key_value_and_what_is_expected(
    curve: object, told: str, tmp_path: Path
) -> None:
    found = problems(tmp_path, curve)
    assert len(found) == 1
    assert found[0].startswith(f"night.toml line 4: app.backend.curve: curve.json: {told}")


def test_all_mistakes_of_a_file_are_told_at_once(tmp_path: Path) -> None:
    curve = changed("points", 0, "error_share", to=-1) | {"format": 0, "flow": 3}
    assert len(problems(tmp_path, curve)) == 3


@pytest.mark.parametrize(
    ("backend", "told"),
    [
        ('curve = "other.json"', "app.backend.curve: other.json: cannot be read: No such file or directory"),
        ("curve = 3", "app.backend.curve = 3: expected the path of a curve.json"),
        ('curve = "curve.json"\ncapacity = "half"', 'app.backend.capacity = "half": expected a number of caucus'),
        ('curve = "curve.json"\ncapacity = "0 nights"', "expected a number of caucus nights"),
        ('curve = "curve.json"\ntimeout = "0 s"', 'expected a `timeout` of "1 ms" or more'),
        ('curve = "curve.json"\nresends = 5000', "expected no more than 1,000 `resends`"),
        ('curve = "curve.json"\nload = 0', "app.backend.load = 0: expected a factor above 0"),
        ('curve = "curve.json"\ncurves = 1', "app.backend.curves: no such key; did you mean curve?"),
    ],
)  # fmt: skip
def test_a_mistake_in_the_scenario_is_named(backend: str, told: str, tmp_path: Path) -> None:
    found = problems(tmp_path, CURVE, backend=backend)
    assert len(found) == 1
    assert told in found[0]


def test_a_capacity_in_nights_needs_a_curve_that_knows_what_a_night_is(tmp_path: Path) -> None:
    curve = {key: value for key, value in CURVE.items() if key != "night_per_s"}
    assert said(load(write(tmp_path, curve))).curve is not None
    assert (
        "a curve with `night_per_s`" in problems(tmp_path, curve, backend='curve="curve.json"\ncapacity="1 night"')[0]
    )


def test_a_load_at_which_nothing_was_answered_has_no_latency(tmp_path: Path) -> None:
    nothing: dict[str, Any] = {**dict.fromkeys(LATENCY), "error_share": 1, "offered_per_s": 300}
    scenario = load(write(tmp_path, CURVE | {"points": [*CURVE["points"], nothing]}))
    curve = said(scenario).curve
    assert curve is not None
    assert curve.points[3].latency_ms == curve.points[2].latency_ms
    run_text(scenario, {})  # TOML knows no null


# What it answers


def tonight(folder: Path, **keys: object) -> Backend:
    overrides = {f"app.backend.{key}": value for key, value in keys.items()}
    return Backend.tonight(said(load(write(folder), overrides)), Luck(1, 0))


def answers(backend: Backend, per_s: float, count: int = 4000, timeout: int = 60_000) -> np.ndarray[Any, Any]:
    load_now = per_minute(per_s)
    curve = (backend.offered, backend.latency)
    return np.array([answers_after(1, 0, 7, n, load_now, timeout, *curve) for n in range(count)])


@pytest.mark.parametrize("which", [0, 1, 2])
def test_at_a_load_that_was_measured_the_backend_answers_as_it_did(which: int, tmp_path: Path) -> None:
    point = CURVE["points"][which]
    found = answers(tonight(tmp_path), point["offered_per_s"])
    good = found[found >= 0]
    assert 1 - len(good) / len(found) == pytest.approx(point["error_share"], abs=0.025)
    for percent in (50, 90, 95, 99):
        assert np.mean(good <= point[f"p{percent}_ms"]) == pytest.approx(percent / 100, abs=0.02)
    assert good.min() == point["p50_ms"]  # the faster half is taken to be no faster


def test_between_two_loads_that_were_measured_it_is_between_them(tmp_path: Path) -> None:
    found = answers(tonight(tmp_path), 150)
    assert np.count_nonzero(found < 0) / len(found) == pytest.approx(0.25, abs=0.025)
    assert np.median(found[found >= 0]) == pytest.approx(165, rel=0.1)


def test_below_the_least_load_it_is_no_better_than_there(tmp_path: Path) -> None:
    backend = tonight(tmp_path)
    assert np.array_equal(answers(backend, 0.1), answers(backend, 10))


@pytest.mark.parametrize("times", [2, 5, 20])
def test_beyond_the_highest_load_it_answers_as_many_as_there_and_no_more(times: int, tmp_path: Path) -> None:
    found = answers(tonight(tmp_path), 200 * times)
    assert np.count_nonzero(found >= 0) / len(found) == pytest.approx(0.5 / times, abs=0.025)


def test_whoever_waits_less_long_has_fewer_answers(tmp_path: Path) -> None:
    patient, hasty = (answers(tonight(tmp_path), 200, timeout=timeout) for timeout in (60_000, 1_000))
    assert np.array_equal(np.where(patient > 1_000, -1, patient), hasty)


def test_a_capacity_in_nights_stretches_the_curve_to_break_there(tmp_path: Path) -> None:
    plain, half = tonight(tmp_path), tonight(tmp_path, capacity="0.5 nights")
    assert half.offered[1, 0] == per_minute(0.5 * CURVE["night_per_s"])
    assert np.array_equal(half.offered[:, 0] * 100, plain.offered[:, 0])
    assert np.array_equal(half.latency, plain.latency)
    for given_capacity, per_s in (("none", 100.0), ("0.5 nights", 1.0)):
        scenario = load(write(tmp_path), {"app.backend.capacity": given_capacity})
        curve = said(scenario).curve
        assert curve is not None
        assert capacity(said(scenario), curve) == per_minute(per_s)


def test_a_quantile_table_passes_through_what_was_measured(tmp_path: Path) -> None:
    for row, point in zip(tonight(tmp_path).latency, CURVE["points"], strict=True):
        assert (np.diff(row) >= 0).all()
        for percent in (50, 90, 95, 99):
            at = TABLE_STEPS * percent // 100
            assert row[at] <= point[f"p{percent}_ms"] <= row[at + 1]


def test_a_backend_of_no_latency_answers_at_once(tmp_path: Path) -> None:
    curve = changed("points", to=[{"offered_per_s": 1, **dict.fromkeys(LATENCY, 0), "error_share": 0}])
    backend = Backend.tonight(said(load(write(tmp_path, curve))), Luck(1, 0))
    assert set(answers(backend, 0.5)) == {0}


# The load


@given(st.lists(st.tuples(st.integers(0, 90_000), st.integers(0, 4)), max_size=60))
def test_the_load_is_what_came_in_the_sixty_seconds_up_to_now(gaps: list[tuple[int, int]]) -> None:
    traffic, now = no_traffic(), 19 * 3_600_000
    came: list[tuple[int, int]] = []
    highest = 0
    for gap, requests in gaps:
        now += gap
        came.append((now // 1000, requests))
        expected = sum(count for second, count in came if second > now // 1000 - 60) * 3
        assert arrive(traffic, now, requests, 3) == expected
        highest = max(highest, expected)
    assert traffic[-1, 0] == highest


def test_what_is_not_answered_is_sent_again_with_what_comes_next(tmp_path: Path) -> None:
    offered = np.array([[1, CERTAIN]], np.int64)  # nothing is answered
    latency = tonight(tmp_path).latency[:1]
    traffic, phone = no_traffic(), np.zeros(len(Phone), np.int64)

    def send(requests: int, curve: np.ndarray[Any, Any]) -> int:
        return int(sends(1, 0, 1, 7, 70_000_000, requests, 1_000_000, 10_000, curve, latency, traffic, phone))

    assert send(2, offered) == -1
    assert phone[: Phone.STEPS_HUNG].tolist() == [1, 1, 2]  # the second is not sent before the first is answered
    assert send(1, np.array([[1 << 40, 0]], np.int64)) >= 3 * 10
    assert phone[: Phone.STEPS_HUNG].tolist() == [4, 1, 0]
    assert traffic[-1, 0] == 4_000_000
