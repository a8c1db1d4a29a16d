"""`caucus simulate` as its users meet it: the folder, its bytes, what survives an interruption, what is refused."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner, Result

from simulation import cli, roster

ROOT = Path(__file__).resolve().parents[2]
CAUCUS = [sys.executable, "-m", "simulation.cli"]
SITES = 20
NIGHTS = 8
PLENTY = 240  # seconds: a first night on a cold machine compiles
NIGHT = """
extends = "iowa-2020"
title = "Twenty precincts"
story = "The first twenty precincts of Iowa 2020, crowded, so that a night takes a moment."
[roster]
file = "precincts.csv"
[turnout]
people = 6000
"""
FILES = ("events.parquet", "nights.parquet", "precinct-nights.parquet", "precincts.parquet", "report.html", "run.toml")
RUN = ("simulate", "twenty.toml", "-n", str(NIGHTS), "--seed", "5", "--keep", "precincts", "--keep", "events")
SLOWLY = ("--engine", "simpy")  # for what must be caught under way


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """A `caucus` process in a process group of its own, so that it can be sent what a terminal sends."""
    return subprocess.Popen(
        [*CAUCUS, *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def caucus(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    process = start(folder, *arguments)
    out, err = process.communicate(timeout=PLENTY)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def here(monkeypatch: pytest.MonkeyPatch, folder: Path, *arguments: str) -> Result:
    """The same in this process: for what needs no process of its own."""
    monkeypatch.chdir(folder)
    return CliRunner().invoke(cli.caucus, arguments, prog_name="caucus")


def mistakes(result: Result) -> list[str]:
    """The lines of stderr, but for the one that says how crowded the night is."""
    return [line for line in result.stderr.splitlines() if not line.startswith("turnout.people = 6,000 (twenty.toml")]


def write_night(folder: Path) -> None:
    (folder / "twenty.toml").write_text(NIGHT)
    rows = roster.synthesize("iowa-2020").csv().splitlines(keepends=True)[: SITES + 1]
    (folder / "precincts.csv").write_text("".join(rows))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def finished(partial: Path) -> int:
    return len(list((partial / "finished").glob("*.json")))


def wait_for_nights(process: subprocess.Popen[str], partial: Path, count: int) -> None:
    give_up = time.monotonic() + PLENTY
    while finished(partial) < count:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < give_up
        time.sleep(0.02)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A planner's folder: a scenario, its roster, and one run of it, in `one`."""
    found = tmp_path_factory.mktemp("planner")
    write_night(found)
    done = caucus(found, *RUN, "--workers", "1", "--out", "one")
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
    (found / "one.txt").write_text(done.stdout)
    return found


def test_the_folder_holds_the_run_and_stdout_says_what_it_came_to(folder: Path) -> None:
    whole = folder / "one"
    assert sorted(contents(whole)) == sorted([*FILES, "roster.csv", "summary.json"])
    assert not (folder / "one.partial").exists()
    said = (folder / "one.txt").read_text()
    assert said.startswith("Twenty precincts (twenty): 8 nights, seed 5\n")
    assert "by 22:30" in said
    assert said.endswith(f"The report: {Path('one', 'report.html')}\n")


def test_the_summary_has_the_shape_that_other_programs_rely_on(folder: Path) -> None:
    summary = json.loads((folder / "one" / "summary.json").read_text())
    assert set(summary) >= {
        *("scenario", "seed", "nights", "logical_hash", "people", "reported_share", "released_share"),
        *("checkin", "hotline", "app", "errors", "winner"),
    }
    assert (summary["scenario"], summary["seed"], summary["nights"]) == ("twenty", 5, NIGHTS)
    assert set(summary["checkin"]) >= {"wait_minutes", "in_line_at_call_to_order_share", "start_delay_minutes"}
    assert set(summary["checkin"]["wait_minutes"]) >= {"p50", "p90", "p95", "p99"}
    assert set(summary["hotline"]) >= {"hold_minutes", "abandoned_share", "busy_share", "occupancy"}
    assert set(summary["errors"]) >= {"reported_wrong_share", "caught_share", "sde_off"}
    assert set(summary["winner"]) >= {"true", "reported", "differs_share"}


@pytest.mark.parametrize("curve", ["reported_share", "released_share"])
def test_a_curve_is_every_quarter_hour_from_19_to_6_and_never_falls(folder: Path, curve: str) -> None:
    points = json.loads((folder / "one" / "summary.json").read_text())[curve]
    assert [point["minutes"] for point in points] == list(range(0, 661, 15))
    assert [(p["at"]) for p in points if p["minutes"] in (0, 210, 300, 660)] == ["19:00", "22:30", "00:00", "06:00"]
    assert all(0 <= point["p05"] <= point["p50"] <= point["p95"] <= 1 for point in points)
    for band in ("p05", "p50", "p95"):
        shares = [point[band] for point in points]
        assert shares == sorted(shares)


def test_every_number_in_parquet_is_whole_and_in_order(folder: Path) -> None:
    whole = folder / "one"
    nights = pl.read_parquet(whole / "nights.parquet")
    precincts = pl.read_parquet(whole / "precincts.parquet")
    by_night = pl.read_parquet(whole / "precinct-nights.parquet")
    events = pl.read_parquet(whole / "events.parquet")
    for frame in (nights, precincts, by_night, events):
        kinds = {name: kind for name, kind in frame.schema.items() if name not in {"id", "county", "precinct", "place"}}
        assert set(kinds.values()) <= {pl.Int64(), pl.List(pl.Int64)}
    assert nights["night"].to_list() == list(range(NIGHTS))
    assert precincts["id"].to_list() == sorted(precincts["id"].to_list())
    assert len(precincts) == SITES
    assert by_night["night"].to_list() == [night for night in range(NIGHTS) for _ in range(SITES)]
    assert events.select("night", "at_ms").equals(events.select("night", "at_ms").sort("*"))
    assert events["night"].n_unique() == NIGHTS


def test_two_workers_write_the_same_bytes_as_one(folder: Path) -> None:
    done = caucus(folder, *RUN, "--workers", "2", "--out", "two")
    assert done.returncode == 0, done.stderr
    assert contents(folder / "two") == contents(folder / "one")


def test_run_toml_alone_repeats_the_run(folder: Path) -> None:
    done = caucus(folder, "simulate", str(Path("one", "run.toml")), "--workers", "1", "--out", "again")
    assert done.returncode == 0, done.stderr
    first, second = contents(folder / "one"), contents(folder / "again")
    for name in ("nights.parquet", "precincts.parquet", "summary.json", "run.toml", "roster.csv"):
        assert first[name] == second[name], name


def test_the_other_engine_plays_the_same_run_and_run_toml_names_the_engine(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def engine_of(run: str) -> str:
        return str(tomllib.loads((folder / run / "run.toml").read_text())["run"]["engine"])

    quiet = ("--workers", "1", "--quiet")
    assert here(monkeypatch, folder, *RUN, *quiet, "--engine", "simpy", "--out", "simpy").exit_code == 0
    one, simpy = contents(folder / "one"), contents(folder / "simpy")
    assert [name for name in one if one[name] != simpy[name]] == ["report.html", "run.toml"]  # which name the engine
    assert (engine_of("one"), engine_of("simpy")) == ("compiled", "simpy")

    repeated = ("simulate", str(Path("simpy", "run.toml")), "-n", "2", *quiet)
    assert here(monkeypatch, folder, *repeated, "--out", "as-it-was").exit_code == 0
    assert here(monkeypatch, folder, *repeated, "--engine", "compiled", "--out", "as-asked").exit_code == 0
    assert (engine_of("as-it-was"), engine_of("as-asked")) == ("simpy", "compiled")

    same = here(monkeypatch, folder, *RUN, *quiet, "--engine", "simpy", "--out", "one")
    assert (same.exit_code, "already" in same.stderr) == (0, True)


def test_a_precision_says_how_many_nights_it_took_and_what_it_reached(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = ("simulate", "twenty.toml", "--workers", "1", "--quiet")
    enough = here(monkeypatch, folder, *run, "--precision", "reported@23:00 +- 30 %", "--out", "known")
    assert enough.exit_code == 0
    assert "reported@23:00 is " in enough.stdout.splitlines()[-1]
    assert "(95 % confidence) after 20 nights." in enough.stdout.splitlines()[-1]
    assert tomllib.loads((folder / "known" / "run.toml").read_text())["run"]["nights"] == 20

    impossible = ("--precision", "reported@23:00 +- 0.001 %", "-n", "20")
    short = here(monkeypatch, folder, *run, *impossible, "--out", "unknown")
    assert (short.exit_code, "too few for reported@23:00 +- 0.001 %" in short.stdout) == (3, True)
    assert contents(folder / "unknown")["nights.parquet"] == contents(folder / "known")["nights.parquet"]
    assert (folder / "unknown" / "report.html").exists()

    told = here(monkeypatch, folder, *run, *impossible, "--json")
    found = json.loads(told.stdout)["precision"]
    assert (told.exit_code, found["reached"], found["nights"]) == (3, False, 20)
    assert 0 < found["half_width"] < found["mean"] <= 1

    wrong = here(monkeypatch, folder, *run, "--precision", "moon +- 1 %", "-n", "5")
    assert (wrong.exit_code, len(mistakes(wrong))) == (2, 2)


def test_what_is_finished_survives_ctrl_c_and_kill_and_resume_ends_at_the_same_bytes(folder: Path) -> None:
    arguments = [*RUN, "--workers", "2", "--out", "stopped"]
    partial = folder / "stopped.partial"

    process = start(folder, *arguments, *SLOWLY)
    wait_for_nights(process, partial, 1)
    os.killpg(process.pid, signal.SIGINT)  # a terminal's Ctrl-C goes to every process of the group
    _, err = process.communicate(timeout=PLENTY)
    assert process.returncode == 130
    assert err.splitlines()[-1].startswith("Stopped by Ctrl-C; ")
    assert "--resume" in err
    assert "Traceback" not in err
    kept = finished(partial)
    assert kept >= 1

    process = start(folder, *arguments, *SLOWLY, "--resume")
    wait_for_nights(process, partial, kept + 1)
    process.kill()
    process.communicate(timeout=PLENTY)
    assert not (folder / "stopped").exists()
    assert finished(partial) > kept

    done = caucus(folder, *arguments, "--workers", "1", "--resume")
    assert done.returncode == 0, done.stderr
    assert contents(folder / "stopped") == contents(folder / "one")
    assert not partial.exists()


def test_json_is_one_object_and_writes_nothing(folder: Path) -> None:
    before = sorted(folder.iterdir())
    done = caucus(folder, "simulate", "twenty.toml", "-n", "2", "--json", "--quiet")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["nights"] == 2
    assert sorted(folder.iterdir()) == before


MISTAKES = {  # ten, each with what its line must name
    'rooster = { file = "precincts.csv" }': "rooster",
    '[clock]\ncall_to_order = "7 pm"': "clock.call_to_order",
    '[turnout]\npeople = "many"\nspred = 1': "turnout.people",
    "[checkin]\nmissing_from_list = 1.5\nstations = -1": "checkin.missing_from_list",
    "[chairs]\nuntrained = { low = 0.4, high = 0.2 }": "chairs.untrained",
    '[app]\nentry = { lognormal = { mean = "5 parsecs", cv = 0.5 } }': "app.entry",
    '[hotline]\nlines = 0\noperators = [{ from = "23:00", to = "18:00", count = 5 }]': "hotline.lines",
}


def test_ten_mistakes_in_a_scenario_are_one_list_of_ten_and_no_folder(tmp_path: Path) -> None:
    write_night(tmp_path)
    (tmp_path / "wrong.toml").write_text('title = "Wrong"\nstory = "Ten mistakes."\n' + "\n".join(MISTAKES) + "\n")
    before = sorted(tmp_path.iterdir())
    done = caucus(tmp_path, "simulate", "wrong.toml", "-n", "2")
    lines = done.stderr.splitlines()
    assert (done.returncode, done.stdout, len(lines)) == (2, "", 10), done.stderr
    assert all(line.startswith("wrong.toml line ") for line in lines)
    for key in [*MISTAKES.values(), "turnout.spred", "checkin.stations", "hotline.operators"]:
        assert sum(f"{key}" in line for line in lines) == 1, key
    assert sorted(tmp_path.iterdir()) == before


def test_ten_bad_rows_of_a_roster_are_one_list_of_ten_and_no_folder(tmp_path: Path) -> None:
    write_night(tmp_path)
    header, *rows = (tmp_path / "precincts.csv").read_text().splitlines()
    attendance = header.split(",").index("attendance")
    for row in range(10):
        cells = rows[row].split(",")
        cells[attendance] = "a lot"
        rows[row] = ",".join(cells)
    (tmp_path / "bad.csv").write_text("\n".join([header, *rows]) + "\n")
    before = sorted(tmp_path.iterdir())
    done = caucus(tmp_path, "simulate", "iowa-2020", "--roster", "bad.csv", "-n", "2")
    lines = done.stderr.splitlines()
    assert (done.returncode, done.stdout, len(lines)) == (2, "", 10), done.stderr
    assert all("bad.csv" in line and "a lot" in line for line in lines)
    assert sorted(tmp_path.iterdir()) == before


def test_mistakes_of_options_scenario_and_roster_are_listed_together(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = ["--set", "app.tires=1", "--set", "nothing", "--roster", "nowhere.csv"]
    result = here(monkeypatch, folder, "simulate", "iowa-2020", *wrong)
    assert (result.exit_code, result.stdout) == (2, "")
    found = result.stderr.splitlines()
    assert len(found) == 3
    assert all(word in line for word, line in zip(("nothing", "app.tires", "nowhere.csv"), found, strict=True))


def test_the_same_run_is_not_played_twice_and_another_does_not_overwrite_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(folder / "one")
    same = here(monkeypatch, folder, *RUN, "--out", "one", "--quiet")
    assert (same.exit_code, same.stdout) == (0, (folder / "one.txt").read_text())
    assert "already" in same.stderr
    other = here(monkeypatch, folder, *RUN, "--fixed", "--out", "one")
    assert (other.exit_code, other.stdout) == (2, "")
    assert len(mistakes(other)) == 1
    assert all(word in other.stderr for word in ("run.fixed", "--out", "--force"))
    assert contents(folder / "one") == before


def test_force_replaces_another_run_and_only_that(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = ["simulate", "twenty.toml", "-n", "1", "--workers", "1", "--quiet", "--out", "forced"]
    assert here(monkeypatch, folder, *run).exit_code == 0
    assert here(monkeypatch, folder, *run, "--seed", "9", "--force").exit_code == 0
    assert tomllib.loads((folder / "forced" / "run.toml").read_text())["run"]["seed"] == 9
    (folder / "forced" / "notes.md").write_text("mine")
    refused = here(monkeypatch, folder, *run, "--force")
    assert (refused.exit_code, "notes.md" in refused.stderr) == (2, True)
    assert (folder / "forced" / "notes.md").read_text() == "mine"


def test_a_folder_that_cannot_be_written_is_said_before_anything_is_played(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for out in ("twenty.toml", str(Path("twenty.toml", "below")), "."):
        result = here(monkeypatch, folder, "simulate", "twenty.toml", "-n", "1", "--out", out)
        assert (result.exit_code, len(mistakes(result))) == (2, 1), result.stderr
        assert f"--out {out}" in result.stderr


def test_options_that_need_a_folder_say_so(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = here(monkeypatch, folder, "simulate", "twenty.toml", "--json", "--keep", "events")
    assert (result.exit_code, "--out" in result.stderr) == (2, True)
