"""What a run makes of a command line, before anything is sent."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from loadtests.commands.breaking import Break
from loadtests.commands.run import Run
from simulation.errors import InputError


def asked(**more: Any) -> Break:
    usual: dict[str, Any] = dict.fromkeys(
        ("target", "mapping", "target_class", "pins", "roster", "i_may_load", "ca", "database", "junit", "prometheus",
         "out", "listen")
    )  # fmt: skip
    usual |= {"name": "iowa-2020", "settle_s": 5.0, "as_json": True, "objectives": (), "faults": (), "seed": 1}
    usual |= {"workers": 1, "force": False, "flows": (), "requirements": (), "readers": 1, "budget_s": 1.0}
    return Break(**{**usual, "recovers": False, "others": 0, **more})


def test_a_report_shows_the_command_without_the_password_of_a_database(monkeypatch: pytest.MonkeyPatch):
    url = "postgresql://caucus:secret@db.example.org/caucus"
    monkeypatch.setattr(sys, "argv", ["caucus", "loadtest", "break", "iowa-2020", "--database", url])
    about = Run(asked(database=url)).about("our own backend")
    assert about.command == "caucus loadtest break iowa-2020 --database postgresql://caucus:***@db.example.org/caucus"


def test_all_that_is_wrong_with_a_command_is_told_at_once_and_no_folder_is_begun(tmp_path: Path):
    wrong = asked(
        objectives=("p99 < 2 s",), faults=("hurricane",), prometheus="everywhere", pins=Path("pins.csv"),
        out=tmp_path / "run", as_json=False,
    )  # fmt: skip
    with pytest.raises(InputError) as refused:
        Run(wrong, ["nights > many"], ["--others: where do they join? --listen HOST:PORT"])
    told = "\n".join(refused.value.problems)
    for option in ("--others", "--objective", "--require", "--fault", "--prometheus", "--pins"):
        assert option in told
    assert not list(tmp_path.iterdir())
