"""A whole night of a small state through real HTTP: Locust's people against `caucus backend`, on both databases."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.backend_night import DATABASES, night

SITES = 30
SCENARIO = """title = "A few precincts with a bad app"
extends = "iowa-2020"
[roster]
file = "few.csv"
[turnout]
people = "none"
[app]
tries = 0.6
installed = 0.9
login_fails = 0.1
submit_fails = 0.2
[chairs]
arithmetic_errors = 0.2
[headquarters.keying]
phone = 0.02
"""


@pytest.fixture(scope="module")
def scenario(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A night in which most chairs have trouble, and a third of them call."""
    folder = tmp_path_factory.mktemp("few")
    rows = ["county,precinct,kind,delegates,attendance,district"]
    rows += [f"County {n % 4},{n:04d},,{1 + n * 5 % 7},{20 + n * 7 % 90},{1 + n % 4}" for n in range(1, SITES + 1)]
    (folder / "few.csv").write_text("\n".join(rows) + "\n")
    path = folder / "few.toml"
    path.write_text(SCENARIO)
    return path


@pytest.mark.parametrize("database", DATABASES)
def test_every_vote_of_a_night_is_counted_the_ledger_is_clean_and_the_audit_log_whole(
    database: str, scenario: Path, tmp_path: Path
):
    told, missed = night(database, tmp_path, str(scenario), 20_000, "--readers", "3", "--clerks", "3")
    assert missed == []
    assert told["ledger"]["acknowledged"] > 2 * SITES
    assert told["votes"] > 10 * SITES
