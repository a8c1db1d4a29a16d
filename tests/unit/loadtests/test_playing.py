"""A night, a stampede, hours: what is asked of the target, and what of it is judged. Nothing is started."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import fields, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from loadtests.accounts import Account, Accounts
from loadtests.breaking_point import BROKEN_OFF
from loadtests.commands import playing
from loadtests.commands.playing import Replay, Soak, Spike, checks_of_night, checks_of_soak, checks_of_stampede
from loadtests.commands.run import Asked, Run
from loadtests.contract import Session
from loadtests.faults import planned
from loadtests.generator.upkeep import Kept
from loadtests.harness import Job, Load
from loadtests.objectives import parse_objectives
from loadtests.report import replay_page, soak_page, stampede_page
from loadtests.report.junit import Check, checks_of_ledger, exit_code
from loadtests.search.stress import Stress
from loadtests.target.guards import Target
from loadtests.target.mapping import REFERENCE, load_mapping
from loadtests.traffic.replay import RETRIES, Plan
from loadtests.traffic.soak import Soaked, soak
from loadtests.traffic.stampede import LOOKS, Shape
from loadtests.trial import Sample, Trial
from loadtests.workload import Peak, constant
from simulation.errors import InputError
from simulation.words import plain
from tests.unit.loadtests.load_runs import (
    CLEAN,
    DIRTY,
    OBJECTIVES,
    about,
    answered,
    night_page,
    night_plan,
    replay,
    soaked,
    stampede,
)
from tests.unit.loadtests.test_flows import load_of

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


def test_a_stampede_on_somebody_elses_machine_has_its_limit_before_anybody_signs_in():
    asked = cast(Spike, SimpleNamespace(surge=20.0, nights=1.0, length_s=10.0))

    def shape(target: Target | None, looks: Sequence[str] = LOOKS) -> Shape:
        return playing._shape(asked, cast(Job, SimpleNamespace(target=target)), 2.0, 4.0, looks)

    assert (shape(None).surge_per_s, shape(HERE).night_per_s) == (80.0, 2.0)
    with pytest.raises(InputError, match="--surge 20: 82 requests a second; a target that is not this machine gets 50"):
        shape(AFAR)
    with pytest.raises(InputError, match=r"no \[results\]"):
        shape(HERE, [])


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
        self.new_preparation = lambda: SimpleNamespace(backend=self.backend, signed_in=self.signed_in)
        self.job = SimpleNamespace(latency_s=0.15, target=target, plan=None)
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
        "replay": night_page(replace(night, trial=busy(night.trial))),
        "spike": stampede_page.page(replace(rush, trial=busy(rush.trial)), about("spike")),
        "soak": soak_page.page(void_in(60, soaked(leak_mb=1.0)), about("soak")),
    }
    for text in map(plain, pages.values()):
        top = text.partition('class="basis"')[0]
        assert "This run says nothing about the backend, because" in top
        assert "nothing acknowledged was lost" in top
    assert "every objective" not in pages["spike"]
    assert "every objective" not in pages["replay"].casefold()
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
    playing._replayed(asked_of_night(), as_load(Elsewhere(target, accounts)), plan)
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
    monkeypatch.setattr(playing, "_planned", lambda *_: None)
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


# Faults that come too late


def test_a_fault_that_would_come_after_the_load_is_refused_and_the_length_of_the_load_is_named():
    job = cast(Job, SimpleNamespace(plan=planned(["kill service at 3 min", "reset clients at 1 min"])))
    playing._refuse_too_late(job, 180.1, "the load")
    with pytest.raises(InputError) as refused:
        playing._refuse_too_late(job, 117.96, "at --speed 200 the load")
    (told,) = refused.value.problems
    assert told == "kill service at 3 min: at --speed 200 the load lasts 118 s, so that it would never happen"


def test_a_night_and_a_soak_refuse_such_a_fault_before_any_backend_is_started(plan: Plan):
    job = Run(asked_of_night(as_json=True, faults=("stall clients at 1 h",))).job
    asked = asked_of_night(speed=600.0, until_ms=10**9)
    with pytest.raises(InputError, match=r"stall clients at 1 h: at --speed 600 the load lasts [\d.,]+ s"):
        playing._planned(asked, job, plan.played, plan.evening)
    assert len(playing._planned(asked, replace(job, plan=None), plan.played, plan.evening).schedule)
    with pytest.raises(InputError, match="stall clients at 2 h: the soak lasts 3,600 s"):
        playing.soak(asked_of_soak(faults=("stall clients at 2 h",)))


def test_a_fault_whose_time_had_not_come_when_the_load_was_over_is_told_and_the_run_is_no_success():
    faults = planned(["stall clients at 1 h"])
    with faults.playing() as marks:
        pass
    assert marks == []
    (said,) = faults.missed
    assert re.fullmatch(r"stall clients at 1 h: the load was over first, after [0-9.]+ s", said)
    there = Elsewhere(HERE)
    there.job.plan = faults
    assert exit_code(playing._checks_of_faults(playing._missed(as_load(there)))) == 1
    assert playing._missed(as_load(Elsewhere(HERE))) == []


# A soak that says what it does not know


def asked_of_soak(**more: Any) -> Soak:
    shared = {each.name: getattr(asked_of_night(), each.name) for each in fields(Asked)}
    return Soak(**{**shared, "as_json": True, "hours": 1.0, "nights": 1.0, "flow": "report", "readers": 1, **more})


def test_a_soak_that_is_too_short_does_not_say_that_nothing_drifts():
    short = replace(soaked(), stretches=soaked().stretches[:8])
    said = plain(soak_page.story(short))
    assert "too few samples to tell whether anything drifts" in said
    assert "nothing drifts" not in said
    checks = checks_of_soak(short, ASKED)
    unknown = {check.name for check in checks if check.unknown}
    assert {"latency.p99_s does not drift", "service.memory_mb does not drift"} < unknown
    assert exit_code(checks) == 1
    assert set(short.as_json()["drift_not_known"]) == set(short.series())
    page = plain(soak_page.page(short, about("soak")))
    assert "Too few samples to tell whether memory drifts" in page
    assert "keeps its level" not in page


def test_a_soak_most_of_whose_stretches_are_void_knows_nothing_of_latency_but_of_memory():
    found = void_in(55, soaked())
    said = plain(soak_page.story(found))
    assert "memory of the service do not drift; too few samples to tell it of latency (p50) and latency (p99)" in said
    assert exit_code(checks_of_soak(found, ASKED)) == 1


@pytest.mark.parametrize("used", [{}, {"service.memory_mb": 0.0, "service.files": 0.0, "generator.files": 9.0}])
def test_where_processes_cannot_be_seen_that_is_told_and_fails_nothing(used: dict[str, float]):
    rows = tuple(replace(one, used=used) for one in soaked().stretches)
    blind = replace(soaked(), stretches=rows)
    said = plain(soak_page.story(blind))
    assert (
        "latency (p50) and latency (p99) do not drift; drift of memory and open files was not looked at: the processes "
        "cannot be seen from here"
    ) in said
    assert blind.as_json()["drift_not_looked_at"] == ["memory", "files"]
    checks = checks_of_soak(blind, ASKED)
    assert exit_code(checks) == 0
    assert not [check for check in checks if "memory" in check.name or "files" in check.name]


def test_a_soak_says_why_requests_failed():
    first, second, *others = soaked().stretches
    rows = (replace(first, problems={"HTTP 503": 2}), replace(second, problems={"HTTP 503": 3, "no answer": 1}))
    found = replace(soaked(), stretches=(*rows, *others))
    assert found.as_json()["problems"] == {"HTTP 503": 5, "no answer": 1}
    assert "5 times: HTTP 503." in plain(soak_page.page(found, about("soak")))


def test_a_soak_that_sends_more_than_was_asked_for_says_so():
    night = Peak({"report": 0.5}, {})
    more = "--nights 0.03: that is 0.015 requests a second; a soak sends 1 at least"
    for nights, said in ((2.0, []), (0.03, [more])):
        there = Elsewhere(HERE)
        before = len(there.notices)
        with pytest.raises(AssertionError, match="something would be sent"):
            playing._soaked(asked_of_soak(nights=nights), as_load(there), night)
        assert [notice.partition(", and so")[0] for notice in there.notices[before:]] == said


# Ended early


def measured(*ends: BaseException) -> Stress:
    """Two trials, then these, one after the other."""
    trials: list[Trial | BaseException] = [answered(constant(50, 2), 0.01), answered(constant(50, 2), 0.01), *ends]

    def measure(_per_s: float, _seconds: float) -> Trial:
        one = trials.pop(0)
        if isinstance(one, BaseException):
            raise one
        return one

    return cast(Stress, SimpleNamespace(measure=measure))


@pytest.mark.parametrize("ends", [KeyboardInterrupt(), SystemExit(143)])
@pytest.mark.parametrize("closing", [None, KeyboardInterrupt(), SystemExit(143)])
def test_who_ends_a_soak_keeps_what_was_measured(
    ends: BaseException, closing: BaseException | None, monkeypatch: pytest.MonkeyPatch
):
    there = Elsewhere(HERE)

    @contextmanager
    def opened() -> Iterator[Stress]:
        yield measured(ends)
        if closing is not None:
            raise closing

    monkeypatch.setattr(there, "opened", opened)
    monkeypatch.setattr(there, "faults_once", lambda _: nullcontext(), raising=False)
    found = playing._soaked(asked_of_soak(), as_load(there), Peak({"report": 50.0}, {}))
    assert (len(found.stretches), found.ended) == (2, BROKEN_OFF)


def test_before_anything_was_measured_there_is_nothing_to_keep():
    stress = measured(KeyboardInterrupt())
    for _ in range(2):
        stress.measure(1, 1)
    with pytest.raises(KeyboardInterrupt):
        soak(stress, 50, 100)


@pytest.mark.parametrize(("ended", "code"), [("", 0), (BROKEN_OFF, 1)])
def test_a_soak_that_ended_early_is_no_success(
    ended: str, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    there = Elsewhere(HERE)
    there.job.plan = SimpleNamespace(missed=["kill service at 50 min: the load was over first, after 600.0 s"])
    if not ended:
        there.job.plan.missed.clear()
    monkeypatch.setattr(there, "reconciled", lambda: CLEAN, raising=False)
    monkeypatch.setattr(Run, "night", lambda *_: Peak({}, {}))
    monkeypatch.setattr(playing, "at_backend", lambda *_: nullcontext(there))
    monkeypatch.setattr(playing, "_soaked", lambda *_: replace(soaked(), ended=ended))
    assert playing.soak(asked_of_soak(objectives=OBJECTIVES)) == code
    told, progress = capsys.readouterr()
    assert json.loads(told)["ended"] == ended
    for notice in ("the soak ended after 3600 s: it was broken off", "kill service at 50 min: the load was over first"):
        assert (notice in progress) == bool(ended)


@pytest.mark.parametrize("ends", [KeyboardInterrupt(), SystemExit(143)])
def test_who_breaks_off_the_last_look_at_what_is_stored_keeps_what_was_measured(ends: BaseException, tmp_path: Path):
    def send(_: Any) -> Any:
        raise ends

    load = load_of(tmp_path, send)
    assert load.reconciled() is None
    assert load.not_held == BROKEN_OFF
    assert load.notices == [f"the ledger could not be held against what is stored: {BROKEN_OFF}"]
