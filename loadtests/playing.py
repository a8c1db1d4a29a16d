"""`caucus loadtest replay`, `spike` and `soak`: what was asked for becomes a run, its folder, and an exit code."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from loadtests import junit, live, run_folder
from loadtests.finding import Job, Load, at_backend
from loadtests.guards import allowed
from loadtests.objectives import Objective, judge, parse_objectives
from loadtests.run_folder import About, Fault
from simulation.errors import InputError

if TYPE_CHECKING:
    from loadtests.evening import Evening
    from loadtests.replay import Replayed
    from loadtests.soak import Soaked
    from loadtests.stampede import Stampeded
    from loadtests.workload import Peak
    from simulation.night import Night
    from simulation.scenario import Scenario

_PEAK_NIGHTS = 40


@dataclass(frozen=True)
class Asked:
    """What all three commands are told."""

    kind: str
    name: str
    target: str | None
    mapping: Path | None
    target_class: str | None
    pins: Path | None
    roster: Path | None
    i_may_load: str | None
    ca: Path | None
    settle_s: float
    as_json: bool
    objectives: tuple[str, ...]
    faults: tuple[str, ...]
    database: str | None
    seed: int
    workers: int
    junit: Path | None
    prometheus: str | None
    out: Path | None
    force: bool
    more: Mapping[str, Any] = field(default_factory=dict)  # what one kind alone is told


class Run:
    """One run: scenario, job, folder, and what is said in the end."""

    def __init__(self, asked: Asked) -> None:
        from loadtests.faults import planned
        from loadtests.workload import Peak
        from simulation.scenario import load

        self.asked = asked
        self.scenario: Scenario = load(asked.name, {}, asked.roster)
        try:
            self.objectives: list[Objective] = parse_objectives(asked.objectives)
        except InputError as error:
            raise InputError([f"--objective: {problem}" for problem in error.problems]) from None
        live.tell_children(asked.prometheus)
        target = allowed(asked.target, asked.i_may_load) if asked.target is not None else None
        if target is None and (asked.pins or asked.mapping or asked.target_class):
            raise InputError("--pins, --mapping and --target-class are about a --target, and none is named")
        if target is not None and target.in_the_clear:
            told(f"{target.url}: PINs and tokens go over the network in the clear")
        faults = planned(asked.faults, self.scenario)
        self.folder: Path | None = None
        if asked.out is not None or not asked.as_json:
            self.folder = asked.out or run_folder.default_folder(asked.kind, asked.name, asked.seed)
        self.partial = run_folder.begin(self.folder, asked.force) if self.folder is not None else None
        self.job = Job(
            scenario=self.scenario, name=asked.name, peak=Peak({}, {}), objectives=self.objectives, seed=asked.seed,
            recovers=False, workers=asked.workers, target=target, database=asked.database, mapping=asked.mapping,
            target_class=asked.target_class, pins=asked.pins, ca=asked.ca, settle_s=asked.settle_s,
            plan=faults or None,
            ledgers=None if self.partial is None else self.partial / run_folder.LEDGER_FOLDER,
        )  # fmt: skip

    @contextmanager
    def kept(self) -> Iterator[None]:
        """DIR.partial goes where nothing came of it."""
        try:
            yield
        except BaseException:
            if self.folder is not None:
                run_folder.forget(self.folder)
            raise

    def about(self, load: Load, ledger: Mapping[str, Any] | None, **more: Any) -> About:
        """What the report says of the run itself."""
        marks = tuple(Fault(mark.name, at_s + mark.began_s, at_s + mark.ended_s) for at_s, mark in load.marks)
        return About.of(
            self.scenario, self.asked.kind, self.asked.seed, shlex.join(["caucus", *sys.argv[1:]]), load.shown,
            database=load.place.kind, objectives=tuple(one.text for one in self.objectives), cores=load.place.cores,
            ledger=ledger, faults=marks, notices=tuple(load.notices), workers=self.asked.workers, **more,
        )  # fmt: skip

    def end(
        self, about: About, result: Mapping[str, Any], page: str, sentence: str, checks: Sequence[junit.Check]
    ) -> int:
        """Write what was found, say it, and judge it."""
        asked = self.asked
        if self.folder is not None:
            run_folder.finish(
                self.folder, about, result,
                lambda place: _write_text(place / run_folder.REPORT_FILE, page),
            )  # fmt: skip
            told(f"report: {self.folder / run_folder.REPORT_FILE}")
        if asked.junit is not None:
            junit.write_junit(asked.junit, f"caucus loadtest {asked.kind} {asked.name}", checks)
        click.echo(
            json.dumps({**result, "ledger": about.ledger}, ensure_ascii=False, default=str)
            if asked.as_json
            else sentence
        )
        for check in checks:
            if not check.holds:
                told(f"missed {check.group}: {check.name} ({check.says})")
        return junit.exit_code(checks)


def told(text: str) -> None:
    """Progress."""
    click.echo(text, err=True)


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="")


def _peak(run: Run, readers: int) -> Peak:
    from loadtests.workload import peak

    told(f"playing nights of {run.scenario.spec.title}: what one caucus night is")
    return peak(run.scenario, _PEAK_NIGHTS, run.asked.seed, readers=readers)


def _with(job: Job, night: Peak) -> Job:
    from dataclasses import replace

    return replace(job, peak=night)


# A night


def replay(asked: Asked) -> int:
    """The night's very requests."""
    from dataclasses import replace as with_

    from loadtests.evening import evening_of
    from loadtests.report.replay_page import page
    from simulation.night import play_night

    run = Run(asked)
    with run.kept():
        told(f"playing the night: {run.scenario.spec.title}, seed {asked.seed}, night {asked.more['night']}")
        played = play_night(run.scenario, asked.seed, asked.more["night"], log=True)
        evening = evening_of(played, small_photos=asked.more["small_photos"])
        online = frozenset(each.site.code for each in evening.sites if each.has_chair_online)
        with at_backend(with_(run.job, at_full_cost=online), "night", told) as load:
            found = _replayed(run, load, played, evening)
            ledger = load.reconciled()
    trial = found.trial
    about = run.about(load, ledger)
    checks = junit.checks_of_judgement("night", judge(trial, _of_any_load(run.objectives)), trial.seconds)
    result = {**trial.summary(), "speed": found.plan.speed, "acknowledged_sites": _count(found.acknowledged_at_ms),
              "simulated_sites": _count(found.plan.reported_at_ms)}  # fmt: skip
    sentence = (
        f"{trial.requests:,} requests of a night in {trial.seconds:.0f} s: {trial.goodput_share:.2%} answered well, "
        f"99 % within {_latency(trial.latency_s(0.99))}; {result['acknowledged_sites']:,} results acknowledged"
    )
    return run.end(about, result, page(found, about), sentence, [*checks, *junit.checks_of_ledger(ledger)])


def _replayed(run: Run, load: Load, played: Night, evening: Evening) -> Replayed:
    from loadtests import replay as replaying
    from loadtests.addresses import address, has_source_addresses

    asked, more = run.asked, run.asked.more
    with load.ready():
        plan = replaying.plan(
            played, evening, replaying.asked_of(load.backend), speed=more["speed"], readers=more["readers"],
            until_ms=more["until_ms"],
        )  # fmt: skip
        replaying.check_rate(plan, load.place.target)
        sessions = replaying.sign_everybody_in(load.preparation, plan, load.accounts)
        kit = replaying.kit(
            plan, load.accounts, sessions, run_id=load.run_id, mapping=asked.mapping,
            target_class=asked.target_class, ledger=load.folder,
        )  # fmt: skip
        with load.through() as target:
            apart = target.loopback and has_source_addresses()
            told(f"{len(plan.schedule):,} requests in {replaying.seconds_of(plan):,.0f} s")
            return replaying.play(
                plan,
                target,
                kit,
                workers=asked.workers,
                cores=load.place.generator_cores,
                sources=[address("chair", n) for n in range(2000)] if apart else (),
                ca=asked.ca,
                watch=load.place.watched(),
                around=load.faults,
            )


def _latency(seconds: float) -> str:
    from loadtests.report.words import latency
    from simulation.report.words import plain

    return plain(latency(seconds))


def _count(at_ms: Any) -> int:
    return int((at_ms >= 0).sum())


def _of_any_load(objectives: Sequence[Objective]) -> list[Objective]:
    """Those that can be asked of a load that comes and goes: a backlog then grows and falls by itself."""
    return [one for one in objectives if one.metric != "backlog_slope"]


# A stampede


def spike(asked: Asked) -> int:
    """Everybody opens the results at once."""
    from loadtests.report.stampede_page import page
    from loadtests.stampede import PUBLIC, REPORTS

    run = Run(asked)
    with run.kept():
        night = _peak(run, asked.more["readers"])
        with at_backend(_with(run.job, night), "mix", told) as load:
            found = _stampeded(run, load, night)
            ledger = load.reconciled()
    about = run.about(load, ledger, night_per_s=dict(night.per_s))
    checks = [
        check
        for who in (PUBLIC, REPORTS)
        for check in junit.checks_of_judgement(f"{who}, during", found.judged(who, "during"), found.shape.length_s)
    ]
    during = {who: found.part(who, "during").latency_s(0.99) for who in (PUBLIC, REPORTS)}
    sentence = (
        f"{found.shape.surge_per_s:,.0f} readers' requests a second for {found.shape.length_s:.0f} s: p99 "
        f"{_latency(during[PUBLIC])} for them, {_latency(during[REPORTS])} for reports and log-ins"
    )
    return run.end(about, found.as_json(), page(found, about), sentence, [*checks, *junit.checks_of_ledger(ledger)])


def _stampeded(run: Run, load: Load, night: Peak) -> Stampeded:
    from loadtests.stampede import AFTER_S, BEFORE_S, LOOKS, Shape, Stampeded, busiest, schedule

    more = run.asked.more
    with load.opened() as stress:
        looks = [look for look in LOOKS if look in load.backend.operations]
        if not looks:
            raise InputError("the mapping has no [results]: there is nothing that a public could rush to")
        per_s = busiest(night.per_s, load.backend.operations)
        shape = Shape(
            night_per_s=sum(per_s.values()) * more["nights"],
            surge_per_s=night.per_s["results"] * more["surge"],
            length_s=more["length_s"],
            before_s=min(BEFORE_S, 4 * more["length_s"]),
            after_s=min(AFTER_S, 6 * more["length_s"]),
        )
        cap = load.place.target.rate_cap_per_s
        if cap is not None and shape.night_per_s + shape.surge_per_s > cap:
            rate = shape.night_per_s + shape.surge_per_s
            raise InputError(
                f"--surge {more['surge']:g}: {rate:.0f} requests a second; a target that is not this machine gets "
                f"{cap:.0f} at most"
            )
        stress.shares = None  # this schedule says itself what each request is
        told(f"{shape.night_per_s:.1f}/s of the night, {shape.surge_per_s:.0f}/s of readers for {shape.length_s:.0f} s")
        trial = stress.trial(schedule(shape, per_s, looks, run.asked.seed))
    return Stampeded(shape, trial, run.objectives)


# Hours


def soak(asked: Asked) -> int:
    """A load that it bears, for hours."""
    from loadtests.report.soak_page import page
    from loadtests.soak import rising

    run = Run(asked)
    with run.kept():
        night = _peak(run, asked.more["readers"])
        with at_backend(_with(run.job, night), asked.more["flow"], told) as load:
            found = _soaked(run, load, night)
            ledger = load.reconciled()
    about = run.about(load, ledger, night_per_s=dict(night.per_s))
    up = dict(rising(found))
    checks = []
    for name, one in found.drifts().items():
        says = f"{one.per_hour:.3g} an hour (p {one.p:.2g})"
        checks.append(junit.Check("drift", f"{name} does not drift", name not in up, says, found.seconds))
    checks += [*_whole(run, found), *junit.checks_of_ledger(ledger)]
    grows = ", ".join(f"{name} by {one.per_hour:.3g} an hour" for name, one in up.items()) or "nothing"
    sentence = f"{found.seconds / 3600:.2f} h at {found.per_s:.3g}/s: {found.error_share:.2%} errors; drifts: {grows}"
    return run.end(about, found.as_json(), page(found, about), sentence, checks)


def _soaked(run: Run, load: Load, night: Peak) -> Soaked:
    from loadtests.flows import PICTURE_BYTES
    from loadtests.soak import Stretch, disk_bytes
    from loadtests.soak import soak as soaked

    more, flow = run.asked.more, run.asked.more["flow"]
    night_per_s = night.per_s.get(flow) or 0.0
    per_s = max(1.0, night_per_s * more["nights"])
    seconds = more["hours"] * 3600
    shares: dict[str, float] = (
        {str(name): share for name, share in night.shares.items()} if flow == "mix" else {flow: 1.0}
    )
    size = disk_bytes(shares, per_s, seconds, PICTURE_BYTES)
    if size > 1e9:
        told(f"photos will take about {size / 1e9:.0f} GB of the backend's disk")

    def told_of(one: Stretch) -> None:
        p99 = "never" if one.p99_s is None else f"{one.p99_s * 1000:.0f} ms"
        memory = one.used.get("service.memory_mb")
        more = f", service {memory:,.0f} MB" if memory is not None else ""
        more += f" (void: {one.void})" if one.void else ""
        told(f"{one.at_s / 60:7.1f} min: {one.good:,} of {one.requests:,} answered well, p99 {p99}{more}")

    with load.opened() as stress:
        return soaked(stress, per_s, seconds, night_per_s=night_per_s or None, told=told_of)


def _whole(run: Run, found: Soaked) -> list[junit.Check]:
    """Objectives, in the share of stretches that kept to them: each one has to."""
    asked_s = min((one.value for one in run.objectives if one.metric == "p99(latency)"), default=None)
    checks = []
    if asked_s is not None:
        known = [one for one in found.stretches if one.void is None]
        missed = sum(one.p99_s is None or one.p99_s >= asked_s for one in known)
        says = f"{missed} of {len(known)} stretches missed it"
        checks.append(junit.Check("soak", f"p99(latency) < {asked_s:g} s", missed == 0, says, found.seconds))
    most = min((one.value for one in run.objectives if one.metric == "error_share"), default=None)
    if most is not None:
        says = f"{found.error_share:.3%}"
        checks.append(junit.Check("soak", f"error_share < {most:.2%}", found.error_share < most, says, found.seconds))
    return checks
