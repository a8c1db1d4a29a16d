"""How faults are written: on the command line, in a scenario, in the documentation."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.faults import faults_markdown, planned
from simulation.errors import InputError
from simulation.scenario import load
from simulation.scenario.faults import KINDS, MEANINGS, Fault, Kind, parse_fault


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("stall database at 10 s for 2 s", Fault("stall", "database", None, 10_000, 2_000)),
        ("latency clients 50 ms", Fault("latency", "clients", 50)),
        ("bandwidth clients 1.5 MB/s at 1 min", Fault("bandwidth", "clients", 1_500_000, 60_000)),
        ("truncate clients for 3 s", Fault("truncate", "clients", 100, 0, 3_000)),
        ("truncate  clients  20B  at  1s", Fault("truncate", "clients", 20, 1_000)),
        ("kill service", Fault("kill", "service")),
        ("lock rows for 500 ms", Fault("lock", "rows", None, 0, 500)),
    ],
)
def test_a_fault_is_a_sentence(text: str, fault: Fault):
    assert parse_fault(text) == fault


@st.composite
def faults(draw: st.DrawFn) -> Fault:
    kind: Kind = draw(st.sampled_from(KINDS))
    meaning = MEANINGS[kind]
    return Fault(
        kind,
        draw(st.sampled_from(meaning.places)),
        None if meaning.amount is None else draw(st.integers(1, 10**9)),
        draw(st.integers(0, 10**9)),
        draw(st.none() | st.integers(1, 10**9)),
    )


@given(faults())
def test_what_is_written_reads_as_it_was(fault: Fault):
    assert parse_fault(fault.text) == fault


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("stal database", "did you mean 'stall'?"),
        ("stall service", "expected stall clients or stall database, not stall service"),
        ("latency clients", 'expected a delay such as "50 ms" after latency clients'),
        ("latency clients 5", "not '5'"),
        ("bandwidth clients 5 KB", 'expected a rate such as "500 KB/s"'),
        ("bandwidth clients 0 B/s", "not '0 B/s'"),
        ("stall database 3", "no amount for stall, not '3'"),
        ("stall", 'such as "stall database at 10 s for 2 s"'),
        ("", "expected KIND PLACE"),
        ("stall clients at noon", "after `at`, not 'noon'"),
        ("stall clients for 0 s", "expected more than 0 s after `for`"),
    ],
)
def test_what_cannot_be_read_is_told_with_what_was_expected(text: str, says: str):
    with pytest.raises(InputError) as refused:
        planned(["reset clients", text])
    assert len(refused.value.problems) == 1
    assert refused.value.problems[0].startswith(f"--fault {text!r}: expected ")
    assert says in refused.value.problems[0]


def test_a_scenario_s_faults_come_before_those_of_the_command_line(tmp_path: Path):
    path = tmp_path / "night.toml"
    path.write_text(
        'title = "A night"\nstory = "With a stall."\n'
        '[[backend.fault]]\nkind = "stall"\nplace = "database"\nat = "10 s"\nfor = "2 s"\n'
        '[[backend.fault]]\nkind = "latency"\nplace = "clients"\namount = "50 ms"\n'
    )
    plan = planned(["kill service at 1 min"], load(path))
    texts = [fault.text for fault in plan.faults]
    assert texts == ["stall database at 10 s for 2 s", "latency clients 50 ms", "kill service at 1 min"]


def test_a_scenario_s_mistake_is_found_where_it_stands(tmp_path: Path):
    path = tmp_path / "night.toml"
    path.write_text('title = "A night"\nstory = "-"\n[[backend.fault]]\nkind = "stall"\nplace = "service"\n')
    with pytest.raises(InputError, match=r"line 3: backend\.fault\.0 .*expected stall clients or stall database"):
        load(path)


def test_without_faults_a_plan_is_false():
    assert not planned([])
    assert planned(["kill service"])


def test_every_kind_stands_in_the_documentation():
    page = faults_markdown()
    for kind in KINDS:
        assert f"| `{kind}` |" in page
