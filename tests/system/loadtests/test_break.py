"""`caucus loadtest break`: a short form of benchmarks/breaking_point.py, and our own backend from nothing to an answer.

Trials of a second or three instead of ten or thirty: what is found is as much wider.
"""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from loadtests import breaking_point, harness
from loadtests.commands import breaking, loadtest
from loadtests.objectives import parse_objectives
from loadtests.search import recovery, stress
from loadtests.search.stress import Made, Stress
from loadtests.target.guards import allowed
from loadtests.workload import peak
from simulation.cli import Caucus
from tests.system.loadtests.servers import serving

_SPEC = importlib.util.spec_from_file_location("other_backend", Path(__file__).with_name("other_backend.py"))
assert _SPEC is not None
assert _SPEC.loader is not None
other_backend = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(other_backend)

SOURCE = "tests.system.loadtests.servers:numbered"
OBJECTIVES = parse_objectives(["p99(latency) < 1 s", "error_share < 0.5 %"])
STRICT = parse_objectives(["p99(latency) < 200 ms", "error_share < 0.5 %"])
ROSTER = "county,precinct,delegates,attendance,district\n" + "".join(
    f"County {n % 3},P{n},{1 + n % 5},{30 + n},1\n" for n in range(40)
)
NIGHT = 'title = "Small"\nextends = "iowa-2020"\nroster.file = "roster.csv"\nturnout.people = "none"\n'


pytestmark = pytest.mark.usefixtures("others_use_the_machine")


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short trials."""
    for name, value in (("SHORT_S", 1.0), ("STEP_S", 3.0), ("LENGTHS_S", (1.0, 3.0))):
        monkeypatch.setattr(breaking_point, name, value)
    for name, value in (("BEFORE_S", 1.0), ("OVERLOAD_S", 2.0), ("LEAST_AFTER_S", 4.0), ("HOLDS_S", 1.0)):
        monkeypatch.setattr(recovery, name, value)
    monkeypatch.setattr(recovery, "PATIENCE", 1.5)
    monkeypatch.setattr(harness, "_FIRST_PER_S", 16.0)
    monkeypatch.setattr(harness, "_FIRST_S", 0.5)
    monkeypatch.setattr("loadtests.commands.run.peak", partial(peak, nights=3))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small state, played for a few nights only."""
    (tmp_path / "roster.csv").write_text(ROSTER)
    (tmp_path / "night.toml").write_text(NIGHT)
    (tmp_path / "pins.csv").write_text("user,role,site,pin,totp_secret\n0001,chair,0001,314159,\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def caucus(*arguments: object) -> Result:
    group = Caucus("caucus", commands={"loadtest": loadtest})
    return CliRunner().invoke(group, ["loadtest", "break", *map(str, arguments)])


# Known truth


def test_a_queue_of_400_a_second_breaks_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step of 4 s ends 0.2 s behind at 420/s."""
    for name, value in (("SHORT_S", 2.0), ("STEP_S", 4.0), ("LENGTHS_S", (2.0, 4.0))):
        monkeypatch.setattr(breaking_point, name, value)
    with (
        serving("queue", "--service-ms", 2.5) as server,
        Stress(
            Made(SOURCE, allowed(server.url)), objective_s=0.2, watch=lambda: {"service": [server.process_id]}
        ) as one,
    ):
        found = one.find(STRICT, flow="numbered", start_per_s=300, budget_s=16, recovers=False)
    low, high = found.requests_per_s
    if (high is None or not low * 0.93 < 420 < high * 1.07) and os.getloadavg()[0] > 3:
        pytest.skip(f"others hold the machine: load {os.getloadavg()[0]:.1f}")
    assert high is not None
    assert low * 0.93 < 420 < high * 1.07
    assert high / low < 1.6
    assert any("service.cpu" in tried.trial.resources for tried in found.trials)


def test_clients_who_try_again_keep_a_queue_down_also_where_two_processes_make_the_load() -> None:
    """Work that was given up is done all the same, and every try waits longer than anybody does."""
    with (
        serving("queue", "--service-ms", 5, "--room", 500) as server,
        Stress(Made(SOURCE, allowed(server.url), workers=2), objective_s=1.0) as one,
    ):
        (found,) = one.recoveries(OBJECTIVES, 200, tries=(3,))
    assert found.metastable is True, found.why
    assert found.amplification_at_end is not None
    assert found.amplification_at_end > 2
    assert found.amplification is not None
    assert found.amplification > 2


def test_a_token_bucket_says_what_it_refused() -> None:
    with (
        serving("bucket", "--per-s", 300, "--burst", 30) as server,
        Stress(Made(SOURCE, allowed(server.url)), objective_s=1.0) as one,
    ):
        under, over = one.measure(200, 1), one.measure(600, 2)
    assert under.error_share < 0.1
    assert over.error_share == pytest.approx(0.5, abs=0.1)
    assert list(over.sample.problems) == ["HTTP 503"]


# Our own backend


def test_our_own_backend_from_nothing_to_an_answer(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    search = stress.Stress.find
    quick = {"budget_s": 6, "start_per_s": 20}
    monkeypatch.setattr(stress.Stress, "find", lambda self, *at, **more: search(self, *at, **{**more, **quick}))
    result = caucus(
        "night.toml", "--flow", "report", "--budget", 0.5, "--no-recovery", "--json", "--readers", 10,
        "--objective", "p99(latency) < 1 s", "--require", "requests_per_s >= 1",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    low, _ = found["requests_per_s"]
    assert low > 20
    assert found["nights"][0] > 1
    assert found["ledger"]["clean"]
    assert found["ledger"]["acknowledged"] > 100
    assert not list(folder.glob("runs/*"))
    assert "holds, p99" in result.stderr
    assert "token" not in result.output


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("flow", ["photo", "clerk", "mix"])
def test_each_flow_is_answered_by_our_own_backend(flow: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One trial of each; the search itself is tried above. A mix has log-ins and results in it."""

    def one_trial(self: Stress, *_: Any, **more: Any) -> breaking_point.BreakingPoint:
        trial = self.measure(8 if flow == "photo" else 20, 1)
        assert trial.goodput_share == 1, trial.sample.problems
        return breaking_point.BreakingPoint(more["flow"], (8.0, None), 1.0, False, "one", None, (), 1.0, ())

    monkeypatch.setattr(stress.Stress, "find", one_trial)
    result = caucus("night.toml", "--flow", flow, "--json", "--readers", 10)
    assert result.exit_code == 0, result.output
    held = json.loads(result.stdout)["ledger"]
    assert held["clean"], held["verdict"]


# Somebody else's


@pytest.fixture
def theirs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A backend that is nothing like ours: a report in one request, no corrections."""
    monkeypatch.setenv("CAUCUS_TARGET_API_KEY", other_backend.API_KEY)
    places = [f"County {n % 3}/P{n}" for n in range(40)]
    (folder / "theirs.toml").write_text(other_backend.MAPPING)
    (folder / "theirs.csv").write_text(
        "county,precinct,delegates,attendance,district,first_ada,first_ben,first_cleo\n"
        + "".join(f"County {n % 3},P{n},{1 + n % 5},30,1,15,10,5\n" for n in range(40))
    )
    (folder / "their-night.toml").write_text('title = "Theirs"\nextends = "baseline"\nroster.file = "theirs.csv"\n')
    rows = "".join(f"{place},chair,{place},314159,\n" for place in places)
    (folder / "pins.csv").write_text("user,role,site,pin,totp_secret\n" + rows)
    running = other_backend.OtherBackend(dict.fromkeys(places, "314159"), places, ())
    yield running
    running.close()


def test_a_backend_without_corrections_says_how_many_requests_there_are(theirs: Any) -> None:
    result = caucus(
        "their-night.toml", "--target", theirs.url, "--mapping", "theirs.toml", "--pins", "pins.csv",
        "--flow", "report", "--json", "--readers", 10, "--settle", 1,
    )  # fmt: skip
    found = json.loads(result.stdout or "{}")
    assert "requests are left" in found.get("why", result.output), result.output
    assert "Traceback" not in result.output


def test_a_list_that_names_the_last_sites_only_is_enough(theirs: Any, folder: Path) -> None:
    head, *rows = (folder / "pins.csv").read_text().splitlines()
    (folder / "pins.csv").write_text("\n".join((head, *rows[-8:])) + "\n")
    result = caucus(
        "their-night.toml", "--target", theirs.url, "--mapping", "theirs.toml", "--pins", "pins.csv",
        "--flow", "report", "--json", "--readers", 10, "--settle", 1,
    )  # fmt: skip
    assert "requests are left" in result.output, "they sign in, and what they have to send is little"


def test_a_flow_that_a_backend_does_not_have_is_an_error(theirs: Any) -> None:
    result = caucus(
        "their-night.toml", "--target", theirs.url, "--mapping", "theirs.toml", "--pins", "pins.csv", "--flow", "clerk"
    )
    assert result.exit_code == 2
    assert "the mapping has no [clerk]" in result.output


# What a person does wrong, or breaks off


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--objective", "p99 < 2 s", "--require", "nights > many"], "--require: nights > many"),
        (["--pins", "night.toml"], "--pins: is about a --target"),
        (["--target", "http://198.51.100.7"], "--i-may-load 198.51.100.7"),
        (["--others", "2"], "--listen HOST:PORT"),
        (["--listen", "here", "--others", "1"], "--listen here: expected HOST:PORT"),
        (["--fault", "make it rain"], "make it rain"),
        (["--database", "mysql://x"], "mysql"),
        (["--target", "http://127.0.0.1:9", "--pins", "pins.csv"], "127.0.0.1:9"),
    ],
)
@pytest.mark.usefixtures("folder")
def test_what_cannot_be_done_is_one_sentence(arguments: list[str], said: str) -> None:
    result = caucus("night.toml", "--flow", "report", "--json", "--readers", 10, *arguments)
    assert result.exit_code in (1, 2), result.output
    assert said in result.output
    assert "Traceback" not in result.output
    assert "unforeseen" not in result.output.lower()


@pytest.mark.usefixtures("folder")
def test_ctrl_c_keeps_what_was_found(monkeypatch: pytest.MonkeyPatch) -> None:
    said: Callable[..., str] = breaking._tried_in_words
    trials = []

    def breaks_off(one: Any) -> str:
        trials.append(one)
        if len(trials) == 2:
            raise KeyboardInterrupt
        return said(one)

    monkeypatch.setattr(breaking, "_tried_in_words", breaks_off)
    result = caucus("night.toml", "--flow", "report", "--flow", "clerk", "--readers", 10, "--json")
    assert result.exit_code == 130, result.output
    (found,) = json.loads(result.stdout)
    assert found["why"] == "it was broken off"
    assert len(found["trials"]) == 2
    assert found["ledger"]["clean"]
