"""What a run makes of a command line, before anything is sent."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from loadtests.commands.breaking import Break, _workers_join_at, run
from loadtests.commands.playing import _not_judged, _of_all_stretches
from loadtests.commands.run import Run
from loadtests.harness import Job
from loadtests.objectives import parse_objective
from loadtests.report.run_folder import REPORT_FILE
from loadtests.search.finding import Found
from loadtests.workload import Peak
from simulation.errors import InputError, UnfinishedError
from tests.unit.loadtests.load_runs import CLEAN, DIRTY, point, soaked

AFAR = {"target": "http://203.0.113.7", "i_may_load": "203.0.113.7"}


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


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:pa/hush@h/db",
        "postgresql://u:pa@hush@h/db",
        "postgresql://h/db?user=u&password=hush",
        "postgresql://u:hush@h:no-port/db",
        "hush://hush:@:@",
    ],
)
@pytest.mark.parametrize("given", ["--database {}", "--database={}"])
def test_no_form_of_a_password_is_shown(url: str, given: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "argv", ["caucus", *given.format(url).split(" "), "--out", "a b"])
    command = Run(asked(database=url)).about("our own backend").command
    assert "hush" not in command
    assert command.startswith(f"caucus {given.format('')}")
    assert command.endswith(" --out 'a b'")


def test_a_database_without_a_password_is_shown_as_it_was_given(monkeypatch: pytest.MonkeyPatch):
    for database in ("sqlite", "embedded-postgres", "sqlite:////tmp/caucus.db", "postgresql://u@h/db?sslmode=require"):
        monkeypatch.setattr(sys, "argv", ["caucus", "--database", database])
        assert shlex.split(Run(asked(database=database)).about("").command)[-1] == database


@pytest.mark.parametrize(
    ("ends", "held", "code"),
    [
        (KeyboardInterrupt(), DIRTY, 3),
        (UnfinishedError("the backend is gone"), DIRTY, 3),
        (KeyboardInterrupt(), CLEAN, 130),
        (UnfinishedError("the backend is gone"), CLEAN, 1),
        (InputError("no such flow"), CLEAN, 2),
        (None, CLEAN, 0),
        (None, None, 3),
    ],
)
def test_a_loss_is_told_however_the_search_ends(
    ends: BaseException | None, held: Any, code: int, monkeypatch: pytest.MonkeyPatch
):
    def searches(*_: object) -> Iterator[Found]:
        yield Found(point(), held, not_held="" if held else "no answer")
        if ends is not None:
            raise ends

    monkeypatch.setattr("loadtests.commands.breaking._searches", searches)
    assert run(asked(flows=("login", "report"))) == code


@pytest.mark.parametrize(("held", "broken_off", "code"), [(CLEAN, False, 1), (CLEAN, True, 130), (DIRTY, False, 3)])
def test_a_search_that_failed_is_kept_and_says_why(
    held: Any, broken_off: bool, code: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
):  # fmt: skip
    one = Found(replace(point(), failed="the generator has ended", broken_off=broken_off), held)
    monkeypatch.setattr("loadtests.commands.breaking._searches", lambda *_: iter([one]))
    assert run(asked(out=tmp_path / "run", as_json=False)) == code
    assert "\nthe generator has ended\n" in capsys.readouterr().err
    assert (tmp_path / "run" / REPORT_FILE).exists()


def test_after_a_search_that_failed_no_other_is_begun(monkeypatch: pytest.MonkeyPatch):
    begun = []

    def find(_job: Job, flow: str, *_: object) -> Found:
        begun.append(flow)
        return Found(replace(point(), failed="the generator has ended"), CLEAN)

    monkeypatch.setattr("loadtests.commands.breaking.find", find)
    monkeypatch.setattr(Run, "night", lambda self, readers: Peak({}, {}))
    assert run(asked(flows=("login", "report"))) == 1
    assert begun == ["login"]


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({}, "our own backend can be reached from here only"),
        ({"target": "http://127.0.0.1:8000"}, "--target http://127.0.0.1:8000 is this one; name the address by which"),
        ({"target": "http://[::1]:8000", "listen": "[2001:db8::1]:5557"}, "--target http://[::1]:8000 is this one"),
        ({**AFAR, "faults": ("latency clients 50 ms",)}, "the proxy of 'latency clients 50 ms'"),
        ({**AFAR, "flows": ("all",)}, "one flow at a time with --others: workers elsewhere end with each search"),
        ({**AFAR, "flows": ("login", "mix"), "listen": "127.0.0.1:5557"}, "one flow at a time with --others"),
    ],
)
def test_workers_elsewhere_are_not_sent_to_where_they_reach_nobody(more: dict[str, Any], says: str):
    with pytest.raises(InputError) as refused:
        run(asked(**{"others": 2, "listen": "192.168.1.20:5557", **more}))
    (told,) = refused.value.problems
    assert says in told


@pytest.mark.parametrize(
    "more",
    [
        AFAR,
        {**AFAR, "faults": ("latency database 50 ms",)},
        {"listen": "127.0.0.1:5557", "faults": ("latency clients 50 ms",)},
        {"listen": "localhost:5557", "target": "http://127.0.0.1:8000"},
    ],
)
def test_workers_who_reach_the_backend_may_come(more: dict[str, Any]):
    problems: list[str] = []
    wanted = asked(**{"others": 2, "listen": "192.168.1.20:5557", **more})
    assert _workers_join_at(wanted, problems) == ((wanted.listen or "").rpartition(":")[0], 5557)
    assert not problems


def test_a_soak_refuses_what_it_cannot_judge():
    told = list(
        _not_judged(["p99(latency) < 2 s", "p99.9(latency) < 2 s", "backlog_slope <= 0", "nonsense"], "--objective")
    )
    assert [one.split(": ")[1] for one in told] == ["p99.9(latency) < 2 s", "backlog_slope <= 0"]
    assert all("p50(latency), p99(latency), error_share" in one for one in told)


def test_a_soak_is_judged_by_the_operators_that_were_asked_for():
    texts = {
        "error_share <= 0 %": True,
        "error_share < 0 %": False,
        "goodput_share >= 100 %": True,
        "p50(latency) < 1 s": True,
        "p50(latency) < 1 ms": False,
        "p99(latency) > 1 ms": True,
        "lost <= 0": True,
    }
    checks = _of_all_stretches([parse_objective(text) for text in texts], soaked())
    assert {check.name: check.holds for check in checks} == texts


def test_all_that_is_wrong_with_a_command_is_told_at_once_and_no_folder_is_begun(tmp_path: Path):
    file = tmp_path / "file"
    file.touch()
    wrong = asked(
        objectives=("p99 < 2 s",), faults=("hurricane",), prometheus="everywhere", pins=Path("pins.csv"),
        junit=file / "break.xml", out=tmp_path / "run", as_json=False,
    )  # fmt: skip
    with pytest.raises(InputError) as refused:
        Run(wrong, ["nights > many"], ["--others: where do they join? --listen HOST:PORT"])
    told = "\n".join(refused.value.problems)
    for option in ("--others", "--objective", "--require", "--fault", "--prometheus", "--pins", "--junit"):
        assert option in told
    assert list(tmp_path.iterdir()) == [file]


def test_whether_a_junit_file_can_be_written_is_tried_and_leaves_nothing_behind(tmp_path: Path):
    Run(asked(junit=tmp_path / "new" / "folder" / "break.xml"))
    assert not list(tmp_path.iterdir())
    (tmp_path / "old.xml").write_text("the last run", encoding="utf-8")
    Run(asked(junit=tmp_path / "old.xml"))
    assert (tmp_path / "old.xml").read_text(encoding="utf-8") == "the last run"
    with pytest.raises(InputError, match="--junit .*old.xml/break.xml: cannot be written: "):
        Run(asked(junit=tmp_path / "old.xml" / "break.xml"))
