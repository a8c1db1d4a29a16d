"""What is settled before a flow is loaded: who does what, and which faults a search can have."""

from __future__ import annotations

from pathlib import Path

import pytest

from loadtests.breaking_point import STEP_S
from loadtests.commands.run import Run
from loadtests.faults import planned
from loadtests.harness import Job
from loadtests.search.finding import find
from loadtests.workload import Peak
from simulation import load
from simulation.errors import InputError
from tests.unit.loadtests.test_run import asked


def test_a_fault_that_no_trial_would_meet_is_refused_before_anything_is_started():
    job = Job(load("app-works"), "app-works", Peak({}, {}), (), plan=planned(["kill service at 1 min"]))
    with pytest.raises(InputError, match=f"a trial lasts {STEP_S:g} s"):
        find(job, "report", lambda text: None, lambda tried: None)


@pytest.mark.parametrize(
    ("text", "has_times"),
    [
        ("latency clients 50 ms", False),
        ("stall clients for 2 s", True),
        ("latency clients 50 ms at 5 s", True),
        ("reset clients", True),
    ],
)
def test_a_fault_that_is_there_all_the_time_is_the_same_in_short_and_long_trials(text: str, has_times: bool):
    assert planned([text]).has_times == has_times


def test_a_scenario_s_own_objectives_count_where_none_are_given(tmp_path: Path):
    scenario = tmp_path / "night.toml"
    scenario.write_text('extends = "app-works"\n[backend]\nobjectives = ["p99(latency) < 700 ms"]\n')
    own, given = Run(asked(name=str(scenario))), Run(asked(name=str(scenario), objectives=("p50(latency) < 1 s",)))
    assert own.objectives[0].text == "p99(latency) < 700 ms"
    assert [one.text for one in given.objectives if "latency" in one.metric] == ["p50(latency) < 1 s"]
    scenario.write_text('extends = "app-works"\n[backend]\nobjectives = ["p99 < 700 ms"]\n')
    with pytest.raises(InputError, match="backend.objectives: p99 < 700 ms"):
        Run(asked(name=str(scenario)))
