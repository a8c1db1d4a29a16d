"""A night, a stampede, hours: what is asked of the target, and what of it is judged. Nothing is started."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import fields, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from loadtests.commands import playing
from loadtests.commands.playing import Replay, Soak, checks_of_night, checks_of_soak, checks_of_stampede
from loadtests.commands.run import Run
from loadtests.contract import Session
from loadtests.generator.upkeep import Kept
from loadtests.objectives import parse_objectives
from loadtests.report import replay_page, soak_page, stampede_page
from loadtests.report.junit import Check, checks_of_ledger, exit_code
from loadtests.search.finding import Load
from loadtests.target.guards import Target
from loadtests.target.mapping import REFERENCE, load_mapping
from loadtests.traffic.replay import RETRIES, Plan
from loadtests.traffic.soak import Soaked
from loadtests.trial import Sample, Trial
from loadtests.users.accounts import Account, Accounts
from loadtests.workload import Peak
from simulation.errors import InputError
from simulation.report.words import plain
from tests.unit.loadtests.load_runs import (
    CLEAN,
    DIRTY,
    OBJECTIVES,
    about,
    answered,
    night_plan,
    replay,
    soaked,
    stampede,
)

AFAR = Target("https", "example.org", 443, "", ("192.0.2.1",), loopback=False)
HERE = Target("http", "127.0.0.1", 8000, "", ("127.0.0.1",), loopback=True)
ASKED = parse_objectives(OBJECTIVES)
LATE = "the generator was late: p99 31.4 ms (more than 10 ms)"


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    return night_plan(tmp_path_factory.mktemp("night"))


def nothing_well(sample: Sample) -> np.ndarray[Any, Any]:
    return np.zeros(len(sample), bool)


def busy(trial: Trial) -> Trial:
    """The same, by a generator that had no time left."""
    return replace(trial, sample=replace(trial.sample, cpu={"one": [0.99]}))


def is_unknown(checks: Sequence[Check]) -> bool:
    """Whether all that is said is that the generator fell short, and that it ends with 1."""
    (one,) = checks
    assert (one.group, one.name, one.holds, one.unknown) == ("generator", "kept up with the schedule", False, True)
    assert "the generator was" in one.says
    return exit_code(checks) == 1


# What is judged


def test_a_backend_is_not_blamed_for_a_night_in_which_the_generator_fell_short(plan: Plan):
    bad = answered(plan.schedule, 5.0, nothing_well)
    assert exit_code(checks_of_night(bad, ASKED, CLEAN)) == 3
    assert is_unknown(checks_of_night(busy(bad), ASKED, CLEAN))


def test_nor_for_such_a_stampede():
    calm = stampede()
    bad = replace(
        calm, trial=replace(calm.trial, sample=replace(calm.trial.sample, ok=nothing_well(calm.trial.sample)))
    )
    assert exit_code(checks_of_stampede(bad)) == 3
    assert is_unknown(checks_of_stampede(replace(bad, trial=busy(bad.trial))))


def void_in(stretches: int, found: Soaked) -> Soaked:
    """The first stretches are void, and nothing in them was answered well."""
    rows = [
        replace(one, void=LATE, good=0, p50_s=None, p99_s=None) if number < stretches else one
        for number, one in enumerate(found.stretches)
    ]
    return replace(found, stretches=tuple(rows))


def test_nor_for_hours_of_them():
    found = void_in(60, soaked(leak_mb=1.0))
    assert is_unknown(checks_of_soak(found, ASKED))
    told = found.as_json()
    assert told["void"] == f"in 60 stretches the generator fell short; in the first, {LATE}"
    assert (told["error_share"], told["void_stretches"]) == (None, 60)


def test_stretches_in_which_the_generator_fell_short_count_for_nothing():
    found = void_in(20, soaked())
    assert found.error_share == 0
    assert (found.void, found.as_json()["void_stretches"]) == (None, 20)
    assert exit_code(checks_of_soak(found, ASKED)) == 0
    rows = [replace(one, good=0) for one in found.stretches[20:]]
    wrong = replace(found, stretches=(*found.stretches[:20], *rows))
    assert wrong.error_share == 1
    assert exit_code(checks_of_soak(wrong, ASKED)) == 3


def test_a_loss_is_told_even_where_the_generator_fell_short(plan: Plan):
    void = checks_of_night(busy(answered(plan.schedule, 0.01)), ASKED, DIRTY)
    assert exit_code([*void, *checks_of_ledger(CLEAN)]) == 1
    assert exit_code([*void, *checks_of_ledger(DIRTY)]) == 3


def test_what_the_night_has_lost_is_judged_where_a_ledger_knows_it(plan: Plan):
    def lost(trial: Trial, ledger: Mapping[str, Any] | None) -> list[bool]:
        return [check.holds for check in checks_of_night(trial, ASKED, ledger) if check.name == "lost <= 0"]

    trial = answered(plan.schedule, 0.01)
    assert lost(trial, CLEAN) == [True]
    assert lost(replace(trial, lost=3), DIRTY) == [False]
    assert lost(trial, None) == []


# What is said


def asked_of_night(**more: Any) -> Replay:
    usual: dict[str, Any] = dict.fromkeys(
        ("target", "mapping", "target_class", "pins", "roster", "i_may_load", "ca", "database", "junit", "prometheus",
         "out")
    )  # fmt: skip
    usual |= {"name": "iowa-2020", "settle_s": 5.0, "as_json": False, "objectives": OBJECTIVES, "faults": (), "seed": 1}
    usual |= {"workers": 1, "force": False, "speed": 10.0, "night": 0, "readers": 1, "until_ms": 0}
    return Replay(**{**usual, "small_photos": True, **more})


class Elsewhere:
    """A load at somebody's backend that is not there: what is asked of it is written down."""

    def __init__(self, target: Target, accounts: Accounts | None = None) -> None:
        self.place = SimpleNamespace(
            target=target, kind=None, cores="", generator_cores=(), watched=dict, database=None
        )
        self.accounts = accounts or Accounts.none()
        self.backend = load_mapping(REFERENCE, "r", ())
        self.preparation = SimpleNamespace(backend=self.backend, signed_in=self.signed_in)
        self.job = SimpleNamespace(latency_s=0.15, target=target)
        self.notices: list[str] = ["others use this machine"]
        self.marks: list[Any] = []
        self.kept, self.not_held, self.shown = Kept(), "", target.url
        self.run_id, self.folder, self.faults = "r", Path("ledger"), nullcontext

    @contextmanager
    def ready(self) -> Iterator[None]:
        yield

    @contextmanager
    def through(self) -> Iterator[Target]:
        yield self.place.target

    def opened(self) -> Any:
        raise AssertionError("something would be sent")

    def signed_in(self, accounts: Sequence[Account], _kind: str) -> dict[str, Session]:
        return {one.user: Session(one.user, "d", {"token": "t"}) for one in accounts}


def as_load(one: Elsewhere) -> Load:
    return cast(Load, one)


@pytest.mark.parametrize("as_json", [False, True])
def test_a_void_night_is_told_first_and_is_no_failure_of_the_backend(
    as_json: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    found = replay(tmp_path)
    found = replace(found, trial=busy(found.trial))
    run = Run(asked_of_night(as_json=as_json, out=tmp_path / "run", junit=tmp_path / "night.xml"))
    code = playing._end(
        run, as_load(Elsewhere(HERE)), CLEAN, replay_page.story(found), found.trial.summary(), lambda _: "",
        checks_of_night(found.trial, run.objectives, CLEAN),
    )  # fmt: skip
    told, progress = capsys.readouterr()
    assert code == 1
    first = (progress if as_json else told).splitlines()[0]
    assert first.startswith("This run says nothing about the backend, because the generator was busy: 99%")
    assert "others use this machine" in progress
    if as_json:
        assert json.loads(told)["void"].startswith("the generator was busy")
    root = ET.parse(tmp_path / "night.xml").getroot()
    assert (root.get("failures"), root.get("errors")) == ("0", "1")
    assert [error.get("type") for error in root.iter("error")] == ["void"]
    assert not list(root.iter("failure"))


def test_a_page_says_at_its_top_that_a_void_run_says_nothing(tmp_path: Path):
    night, rush = replay(tmp_path), stampede()
    pages = {
        "replay": replay_page.page(replace(night, trial=busy(night.trial)), about("replay")),
        "spike": stampede_page.page(replace(rush, trial=busy(rush.trial)), about("spike")),
        "soak": soak_page.page(void_in(60, soaked(leak_mb=1.0)), about("soak")),
    }
    for text in map(plain, pages.values()):
        top = text.partition('class="basis"')[0]
        assert "This run says nothing about the backend, because" in top
        assert "nothing acknowledged was lost" in top
    assert "kept to every objective" not in pages["spike"]
    assert "until all is as before" not in pages["spike"]
    assert "drifts upwards" not in pages["soak"]


def test_a_soak_says_how_many_stretches_are_void():
    assert "void" not in soak_page.story(soaked())
    found = void_in(20, soaked())
    said = plain(soak_page.story(found))
    assert said.endswith(
        "0 % of 24,000 requests were not answered well; 20 of 60 stretches are void and left out: the generator fell "
        "short"
    )
    assert said[:-1] in plain(soak_page.page(found, about("soak")))


# What is asked of a target


def night_at(target: Target, plan: Plan, accounts: Accounts, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the generator is told."""
    told: dict[str, Any] = {}

    def play(_plan: Plan, _target: Target, kit: Any, **more: Any) -> None:
        told.update(more, kit=kit)

    monkeypatch.setattr("loadtests.traffic.replay.play", play)
    monkeypatch.setattr("loadtests.traffic.replay.plan", lambda *_, **__: plan)
    playing._replayed(asked_of_night(), as_load(Elsewhere(target, accounts)), plan.played, plan.evening)
    return told


def test_a_night_is_late_by_the_latency_that_is_asked_for_and_finds_its_chairs_by_county_and_precinct(
    plan: Plan, monkeypatch: pytest.MonkeyPatch
):
    chairs = {each.site.id: Account(each.site.code, "chair", each.site.id, "123456") for each in plan.evening.sites}
    clerks = tuple(Account(f"clerk-{n:02d}", "clerk", "", "x" * 12) for n in range(1, 5))
    told = night_at(HERE, plan, Accounts(chairs, {"clerk": clerks}), monkeypatch)
    assert told["objective_s"] == 0.15
    assert told["retries"] == RETRIES
    assert set(told["kit"].logins) == {each.site.code for each in plan.evening.sites}
    assert {each.site.code for each in plan.evening.sites if each.by_app} < set(told["kit"].sessions)


def test_the_ledger_is_held_against_the_backend_before_the_night_is_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    there = Elsewhere(HERE)
    monkeypatch.setattr(there, "reconciled", lambda: DIRTY, raising=False)
    monkeypatch.setattr(playing, "play_night", lambda *_, **__: None)
    monkeypatch.setattr(playing, "evening_of", lambda *_, **__: SimpleNamespace(sites=()))
    monkeypatch.setattr(playing, "at_backend", lambda *_: nullcontext(there))
    monkeypatch.setattr(playing, "_replayed", lambda *_: replay(tmp_path))
    assert playing.replay(asked_of_night(as_json=True)) == 3
    told, progress = capsys.readouterr()
    assert json.loads(told)["lost"] == DIRTY["lost"]
    assert "missed night: lost <= 0 (lost 3 writes)" in progress


def test_a_soak_that_a_target_may_not_be_asked_for_is_refused_before_anything_is_sent():
    usual: dict[str, Any] = {each.name: None for each in fields(Soak)}
    asked = Soak(**{**usual, "hours": 1.0, "nights": 20.0, "flow": "login", "readers": 1})
    night = Peak({"login": 4.0}, {})
    with pytest.raises(InputError, match="--nights 20: 80.0 requests a second; .* gets 50 at most"):
        playing._soaked(asked, as_load(Elsewhere(AFAR)), night)
    for target, nights in ((AFAR, 10.0), (HERE, 20.0)):
        with pytest.raises(AssertionError, match="something would be sent"):
            playing._soaked(replace(asked, nights=nights), as_load(Elsewhere(target)), night)
