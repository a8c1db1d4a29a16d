"""What a run was required to keep to, for CI."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from loadtests.objectives import parse_requirement
from loadtests.report.junit import checks_of_break, checks_of_ledger, exit_code, write_junit
from simulation.errors import InputError
from tests.unit.loadtests.load_runs import CLEAN, DIRTY, NOT_LOOKED_AT, point


def test_a_requirement_that_holds_passes_and_one_that_is_missed_exits_with_3():
    nights = point().nights
    assert nights is not None
    assert nights[0] > 5
    kept = checks_of_break([point()], [parse_requirement("nights >= 5")], CLEAN)
    assert exit_code(kept) == 0
    missed = checks_of_break([point()], [parse_requirement("nights >= 5000")], CLEAN)
    assert exit_code(missed) == 3


def test_a_lost_write_is_a_missed_promise_whatever_else_holds():
    assert exit_code(checks_of_break([point()], [], CLEAN)) == 0
    assert exit_code(checks_of_break([point()], [], DIRTY)) == 3
    assert checks_of_ledger(None) == []


def test_a_ledger_that_could_not_be_looked_at_is_a_missed_promise():
    (check,) = checks_of_ledger(None, ["no answer to stored"])
    assert (check.holds, check.says) == (False, "no answer to stored")
    assert exit_code(checks_of_break([point()], [], CLEAN, ["no answer to stored"])) == 3


def test_what_nobody_looked_at_is_not_said_to_be_stored():
    (check,) = checks_of_ledger(NOT_LOOKED_AT)
    assert (check.name, check.holds) == ("the public results hold nothing against it", True)
    assert check.says.endswith("what is stored was not looked at: the mapping has no [stored]")
    (check,) = checks_of_ledger({**NOT_LOOKED_AT, "mis_tallied": 1, "clean": False})
    assert not check.holds


def test_where_nothing_was_acknowledged_nothing_was_tested():
    nothing = {**CLEAN, "acknowledged": 0, "clean": False, "verdict": "nothing was acknowledged: nothing was tested"}
    (check,) = checks_of_ledger(nothing)
    assert not check.holds
    assert check.says == "0 acknowledged: nothing was acknowledged: nothing was tested"


def test_the_file_is_junit_as_ci_systems_read_it(tmp_path: Path):
    path = tmp_path / "reports" / "load.xml"
    requirements = [parse_requirement("nights >= 5"), parse_requirement("nights >= 5000")]
    write_junit(path, "caucus loadtest", checks_of_break([point()], requirements, CLEAN))
    root = ET.parse(path).getroot()
    assert root.tag == "testsuites"
    assert (root.get("tests"), root.get("failures")) == ("3", "1")
    suites = {suite.get("name"): suite for suite in root}
    assert set(suites) == {"login", "ledger"}
    cases = {case.get("name"): case for case in suites["login"]}
    assert cases["nights >= 5"].find("failure") is None
    failure = cases["nights >= 5000"].find("failure")
    assert failure is not None
    assert "nights" in (failure.get("message") or "")


def test_a_file_that_cannot_be_written_is_said(tmp_path: Path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(InputError, match="--junit"):
        write_junit(tmp_path / "file" / "load.xml", "caucus", [])
