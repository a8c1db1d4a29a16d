"""The commands that play a night, a stampede, hours: against our own backend, on a small roster, in a few seconds."""

from __future__ import annotations

import json
import re
import socket
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from click.testing import CliRunner, Result

from loadtests.target.launch import Launched, launched
from loadtests.workload import peak
from simulation.cli import caucus
from simulation.roster import synthesize
from simulation.scenario import load
from tests.system.loadtests.moments import came_at

NIGHT = """\
extends = "iowa-2020"
title = "A small night"
story = "Twenty precincts."

[turnout]
people = "none"

[app]
installed = 0.8
"""


pytestmark = pytest.mark.usefixtures("others_use_the_machine")


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few nights and short stretches."""
    monkeypatch.setattr("loadtests.commands.run.peak", partial(peak, nights=3))
    monkeypatch.setattr("loadtests.harness._FIRST_PER_S", 16.0)
    monkeypatch.setattr("loadtests.harness._FIRST_S", 0.5)
    monkeypatch.setattr("loadtests.traffic.stampede.BEFORE_S", 3.0)
    monkeypatch.setattr("loadtests.traffic.stampede.AFTER_S", 3.0)
    monkeypatch.setattr("loadtests.traffic.soak._SHORTEST_S", 0.5)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("small")
    (folder / "night.toml").write_text(NIGHT, encoding="utf-8")
    rows = synthesize("iowa-2020").csv().splitlines()[:21]
    (folder / "precincts.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return folder


@contextmanager
def started(place: Path, name: str) -> Iterator[Launched]:
    night = load(place / "night.toml", {}, place / "precincts.csv")
    with launched(place / name, f"sqlite:///{place / name}.db", night, clerks=4, reviewers=2) as one:
        yield one


@pytest.fixture(scope="module")
def backend(place: Path) -> Iterator[Launched]:
    with started(place, "for-load") as one:
        yield one


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as one:
        return int(one.getsockname()[1])


def run(place: Path, backend: Launched, command: str, *options: str) -> Result:
    given = ["--target", backend.url, "--pins", str(backend.pins), "--roster", str(place / "precincts.csv")]
    database = ["--database", backend.database_url, "--settle", "10"]
    return CliRunner().invoke(caucus, ["loadtest", command, str(place / "night.toml"), *given, *database, *options])


def test_a_night_is_replayed_and_the_backend_has_what_the_simulation_has(place: Path) -> None:
    out = place / "replay"
    told = ["--speed", "3000", "--small-photos", "--readers", "2", "--objective", "p99(latency) < 60 s"]
    told += ["--fault", "stall clients at 500 ms for 200 ms"]
    with started(place, "for-the-night") as backend:
        done = run(place, backend, "replay", *told, "--out", str(out), "--junit", str(place / "replay.xml"))
    assert done.exit_code == 0, done.output
    result = json.loads((out / "result.json").read_text(encoding="utf-8"))
    assert result["goodput_share"] == 1.0
    assert result["acknowledged_sites"] > 10
    assert result["ledger"]["clean"]
    assert result["ledger"]["acknowledged"] > 40
    assert came_at(result["faults"][0]["began_s"], 0.5)
    assert "A small night" in (out / "report.html").read_text(encoding="utf-8")
    assert ET.parse(place / "replay.xml").getroot().get("failures") == "0"
    pins = backend.pins.read_text(encoding="utf-8").splitlines()[1].split(",")[3]
    for file in out.rglob("*"):
        assert not file.is_file() or pins.encode() not in file.read_bytes()


def test_a_stampede_on_the_results_leaves_the_reports_alone(place: Path, backend: Launched) -> None:
    out = place / "spike"
    told = ["--surge", "40", "--nights", "2", "--length", "2", "--readers", "100"]
    told += ["--fault", "latency clients 50 ms at 1500 ms for 500 ms"]
    done = run(place, backend, "spike", *told, "--objective", "p99(latency) < 60 s", "--out", str(out))
    assert done.exit_code == 0, done.output
    result = json.loads((out / "result.json").read_text(encoding="utf-8"))
    public = result["parts"]["public results"]
    assert public["during"]["offered_per_s"] > 5 * public["before"]["offered_per_s"]
    assert public["during"]["error_share"] == 0
    assert result["generator"]["workers"] == 1
    assert result["over_after_s"] is not None
    assert came_at(result["faults"][0]["began_s"], 1.5)
    assert result["ledger"]["clean"]


def test_a_soak_shows_its_metrics_while_it_runs_and_tests_every_figure_for_drift(
    place: Path, backend: Launched
) -> None:
    out = place / "soak"
    address = f"127.0.0.1:{free_port()}"
    seen: list[str] = []
    over = threading.Event()

    def look() -> None:
        while not over.wait(1.0):
            with suppress(OSError), urllib.request.urlopen(f"http://{address}/metrics", timeout=5) as answer:
                seen.append(answer.read().decode())

    looking = threading.Thread(target=look)
    looking.start()
    try:
        told = ["--hours", "0.003", "--flow", "results", "--nights", "10", "--readers", "100"]
        shown = ["--prometheus", address, "--objective", "p99(latency) < 60 s"]
        done = run(place, backend, "soak", *told, *shown, "--out", str(out))
    finally:
        over.set()
        looking.join()
    assert done.exit_code == 0, done.output
    result = json.loads((out / "result.json").read_text(encoding="utf-8"))
    assert result["error_share"] == 0
    assert {"service.memory_mb", "service.files"} <= set(result["drifts"])
    assert re.search(r'caucus_load_requests_total\{operation="results[a-z.]*"\} [1-9]', seen[-1])


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("replay", ["--speed", "3000"]),
        ("spike", ["--length", "2", "--readers", "100"]),
        ("soak", ["--hours", "0.001", "--flow", "results"]),
    ],
)
def test_a_fault_that_would_come_after_the_load_is_refused(
    command: str, told: list[str], place: Path, backend: Launched
) -> None:
    done = run(place, backend, command, *told, "--fault", "stall clients at 1 h", "--out", str(place / "late"))
    assert done.exit_code == 2, done.output
    assert re.search(r"stall clients at 1 h: .* lasts [0-9.]+ s, so that it would never happen", done.output)
    assert not list(place.glob("late*"))


@pytest.mark.parametrize("command", ["replay", "spike", "soak"])
def test_mistakes_are_told_before_anything_is_begun(command: str, place: Path) -> None:
    out = place / f"no-{command}"
    wrong = {
        "--objective": ("nights > 5", "--objective: nights > 5: nights: no such metric here"),
        "--prometheus": ("everywhere", "--prometheus everywhere: expected HOST:PORT"),
        "--target": ("http://192.0.2.1", "--i-may-load 192.0.2.1"),
        "--fault": ("hurricane", "--fault 'hurricane'"),
    }
    for option, (value, says) in wrong.items():
        given = ["loadtest", command, str(place / "night.toml"), option, value, "--out", str(out)]
        done = CliRunner().invoke(caucus, given)
        assert done.exit_code == 2, (option, done.output)
        assert says in done.output
        assert not out.exists()
        assert not out.with_name(out.name + ".partial").exists()


def test_the_night_is_exported_and_two_runs_are_compared_by_command(place: Path) -> None:
    roster = ["--roster", str(place / "precincts.csv")]
    csv = CliRunner().invoke(caucus, ["loadtest", "export", str(place / "night.toml"), "--format", "csv", *roster])
    assert csv.exit_code == 0
    assert csv.stdout.startswith("due_s,clock,operation,site,user,method,path,body_bytes\n")
    none = CliRunner().invoke(caucus, ["loadtest", "export", str(place / "night.toml"), "--format", "k6", *roster])
    assert none.exit_code == 2
    assert "name it with --out" in none.output
    other = CliRunner().invoke(caucus, ["loadtest", "diff", str(place), str(place)])
    assert other.exit_code == 2
    assert "no result.json" in other.output
