"""`caucus loadtest replay`, `spike` and `soak`: a night, a stampede, hours; each played once, judged, and kept."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from loadtests.addresses import address, reach
from loadtests.breaking_point import BROKEN_OFF, SearchEndedError
from loadtests.commands.run import Asked, Run, told
from loadtests.harness import Job, Load, at_backend, operations
from loadtests.objectives import Judgement, Objective, judge, parse_objective
from loadtests.reconciliation import knows_what_is_stored
from loadtests.report import junit, replay_page, run_folder, soak_page, stampede_page
from loadtests.report.answer import with_ledger
from loadtests.report.run_folder import About
from loadtests.report.words import significant
from loadtests.target.guards import new_run_id
from loadtests.target.mapping import target_backend
from loadtests.traffic import replay as replaying
from loadtests.traffic import soak as soaking
from loadtests.traffic import stampede
from loadtests.traffic.drift import LEAST
from loadtests.traffic.evening import Evening, evening_of
from loadtests.traffic.flows import PICTURE_BYTES
from loadtests.trial import Trial
from loadtests.workload import Peak
from simulation.errors import InputError, UnfinishedError
from simulation.night import Night, play_night
from simulation.words import plain


def _end(
    run: Run,
    load: Load,
    ledger: Mapping[str, Any] | None,
    story: str,
    result: Mapping[str, Any],
    page: Callable[[About], str],
    checks: Sequence[junit.Check],
    night: Peak | None = None,
) -> int:
    """Say what came of it, and keep it."""
    notices = (*load.notices, *load.kept.notices())
    about = run.about(
        load.shown,
        database=load.place.kind,
        cores=load.place.cores,
        workers=run.asked.workers,
        night_per_s={} if night is None else dict(night.per_s),
        faults=tuple(
            run_folder.Fault(mark.name, at_s + mark.began_s, at_s + mark.ended_s) for at_s, mark in load.marks
        ),
        ledger=ledger,
        notices=notices,
    )
    said = plain(with_ledger(story, ledger))
    if run.asked.as_json and any(check.unknown for check in checks):
        told(said)  # a void run is told as one before anything else; without --json the answer itself does
    checks = [*checks, *junit.checks_of_ledger(ledger, [load.not_held] if load.not_held else [])]
    result = {**result, "notices": list(notices)}
    code = run.answer({**result, "ledger": ledger}, [said], checks)
    for notice in notices:
        told(notice)

    def write(place: Path) -> None:
        (place / run_folder.REPORT_FILE).write_text(page(about), encoding="utf-8", newline="")

    run.keep(lambda folder: run_folder.finish(folder, about, result, write), checks)
    return code


def _refuse_too_late(job: Job, seconds: float, load: str) -> None:
    """InputError where a fault would come only when the load is over."""
    if job.plan and (problems := job.plan.too_late_for(seconds, load)):
        raise InputError(problems)


def _missed(load: Load) -> list[str]:
    """Faults that never happened, because the load was over before their time."""
    return list(load.job.plan.missed) if load.job.plan else []


def _checks_of_faults(missed: Sequence[str]) -> list[junit.Check]:
    """Without a fault, the run is not what it says: what would hold under it is not known."""
    return [junit.Check("faults", "happened as they were asked for", False, why, unknown=True) for why in missed]


def _fell_short(why: str, seconds: float) -> list[junit.Check]:
    """Instead of what was asked for: of a void run nothing is judged, or the backend would answer for the generator."""
    return [junit.Check("generator", "kept up with the schedule", False, why, seconds, unknown=True)]


# A night


@dataclass(frozen=True, kw_only=True)
class Replay(Asked):
    """The command line."""

    kind: ClassVar[str] = "replay"

    speed: float
    night: int
    readers: int
    until_ms: int
    small_photos: bool


def replay(asked: Replay) -> int:
    """The night's very requests; the exit code."""
    run = Run(asked)
    with run.under_way():
        told(f"playing the night: {run.scenario.spec.title}, seed {asked.seed}, night {asked.night}")
        played = play_night(run.scenario, asked.seed, asked.night, log=True)
        evening = evening_of(played, small_photos=asked.small_photos)
        plan = _planned(asked, run.job, played, evening)
        online = frozenset(each.site.code for each in evening.sites if each.has_chair_online)
        with at_backend(replace(run.job, at_full_cost=online), "night", told) as load:
            found = _replayed(asked, load, plan)
            ledger = load.reconciled()
    trial = replace(found.trial, lost=0 if ledger is None else ledger["lost"])
    found = replace(found, trial=trial)
    result = {
        **trial.summary(),
        "speed": found.plan.speed,
        "acknowledged_sites": int((found.acknowledged_at_ms >= 0).sum()),
        "simulated_sites": int(((found.plan.reported_at_ms >= 0) & found.plan.takes_part).sum()),
        "wrong_pins_let_in": found.wrong_pins_let_in,
    }
    judged = judged_night(trial, run.objectives, ledger)
    return _end(
        run, load, ledger, replay_page.story(found), result, lambda about: replay_page.page(found, judged, about),
        [
            *checks_of_night(trial, run.objectives, ledger),
            junit.Check("log-ins", "no wrong PIN was let in", not found.wrong_pins_let_in,
                        f"{found.wrong_pins_let_in:,} were let in", trial.seconds),
            *_checks_of_faults(_missed(load)),
        ],
    )  # fmt: skip


def _planned(asked: Replay, job: Job, played: Night, evening: Evening) -> replaying.Plan:
    """When each request is due; InputError where it is too much for the target, or over before a fault."""
    backend = target_backend(job.mapping, job.target_class, new_run_id(), evening.groups)
    plan = replaying.plan(
        played, evening, replaying.asked_of(backend), speed=asked.speed, readers=asked.readers, until_ms=asked.until_ms
    )
    if job.target is not None:
        replaying.check_rate(plan, job.target)
    _refuse_too_late(job, replaying.seconds_of(plan), f"at --speed {asked.speed:g} the load")
    return plan


def _replayed(asked: Replay, load: Load, plan: replaying.Plan) -> replaying.Replayed:
    with load.ready():
        sessions = replaying.sign_everybody_in(load.new_preparation(), plan, load.accounts)
        plan, left_out = replaying.of_those_signed_in(plan, load.backend, load.accounts, sessions)
        if left_out:
            told(left_out)
            load.notices.append(left_out)
        kit = replaying.kit(
            plan, load.accounts, sessions, run_id=load.run_id, mapping=asked.mapping,
            target_class=asked.target_class, ledger=load.folder, ca=asked.ca,
        )  # fmt: skip
        with load.through() as target:
            told(f"{len(plan.schedule):,} requests in {replaying.seconds_of(plan):,.0f} s")
            return replaying.play(
                plan,
                target,
                kit,
                workers=asked.workers,
                cores=load.place.generator_cores,
                sources=[address("chair", n) for n in range(2000)] if reach(target) else (),
                ca=asked.ca,
                watch=load.place.watched(),
                around=load.faults,
                kept=load.kept,
                retries=replaying.retries_at(load.place.target),
                objective_s=load.job.latency_s,
            )


def checks_of_night(
    trial: Trial, objectives: Sequence[Objective], ledger: Mapping[str, Any] | None
) -> list[junit.Check]:
    """Every objective of a night; of a void run nothing is judged."""
    if trial.void is not None:
        return _fell_short(trial.void, trial.seconds)
    return junit.checks_of_judgement("night", judged_night(trial, objectives, ledger), trial.seconds)


def judged_night(trial: Trial, objectives: Sequence[Objective], ledger: Mapping[str, Any] | None) -> Judgement:
    """Every objective that can be asked of a load that comes and goes: a backlog then grows and falls by itself.

    Where nobody read what is stored, nobody knows what is lost.
    """
    knows = ledger is not None and knows_what_is_stored(ledger)
    not_asked = {"backlog_slope"} if knows else {"backlog_slope", "lost"}
    return judge(trial, [one for one in objectives if one.metric not in not_asked])


# A stampede


@dataclass(frozen=True, kw_only=True)
class Spike(Asked):
    """The command line."""

    kind: ClassVar[str] = "spike"

    surge: float  # readers who come at once, in caucus nights
    nights: float  # everybody else, likewise
    length_s: float
    readers: int


def spike(asked: Spike) -> int:
    """Everybody opens the results at once; the exit code."""
    run = Run(asked)
    with run.under_way():
        night = run.night(asked.readers)
        has = operations(run.job)
        per_s, looks = stampede.busiest(night.per_s, has), [look for look in stampede.LOOKS if look in has]
        shape = _shape(asked, run.job, sum(per_s.values()), night.per_s["results"], looks)
        _refuse_too_late(run.job, shape.seconds, f"with --length {asked.length_s:g} the load")
        with at_backend(replace(run.job, peak=night), "mix", told) as load:
            with load.opened() as stress:
                stress.shares = None  # this schedule says itself what each request is
                told(f"{shape.night_per_s:.1f}/s of the night, {shape.surge_per_s:.0f}/s of readers for "
                     f"{shape.length_s:.0f} s")  # fmt: skip
                trial = stress.trial(stampede.schedule(shape, per_s, looks, asked.seed))
            found = stampede.Stampeded(shape, trial, run.objectives)
            ledger = load.reconciled()
    return _end(
        run, load, ledger, stampede_page.story(found), found.as_json(), lambda about: stampede_page.page(found, about),
        [*checks_of_stampede(found), *_checks_of_faults(_missed(load))], night,
    )  # fmt: skip


def checks_of_stampede(found: stampede.Stampeded) -> list[junit.Check]:
    """Every objective while it lasted, of the public and of the others, and whether all hold again afterwards.

    Of whom nothing was due nothing is judged.
    """
    if found.trial.void is not None:
        return _fell_short(found.trial.void, found.trial.seconds)
    checks = [
        check
        for who in (stampede.PUBLIC, stampede.REPORTS)
        if found.part(who, "during").requests
        for check in junit.checks_of_judgement(f"{who}, during", found.judged(who, "during"), found.shape.length_s)
    ]
    if found.goes_on:
        over, seen_s = found.over_after_s, found.shape.after_s
        says = f"not within {seen_s:g} s of its end" if over is None else f"{over:g} s after its end"
        checks.append(junit.Check("after", "every objective holds again", over is not None, says, seen_s))
    return checks


def _shape(asked: Spike, job: Job, night_per_s: float, looks_per_s: float, looks: Sequence[str]) -> stampede.Shape:
    """How the load runs; InputError where the target may not be asked so much, or has nothing to rush to."""
    if not looks:
        raise InputError("the mapping has no [results]: there is nothing that a public could rush to")
    shape = stampede.Shape(
        night_per_s=night_per_s * asked.nights,
        surge_per_s=looks_per_s * asked.surge,
        length_s=asked.length_s,
        before_s=min(stampede.BEFORE_S, 4 * asked.length_s),
        after_s=min(stampede.AFTER_S, 6 * asked.length_s),
    )
    cap = None if job.target is None else job.target.rate_cap_per_s
    rate = shape.night_per_s + shape.surge_per_s
    if cap is not None and rate > cap:
        raise InputError(
            f"--surge {asked.surge:g}: {rate:.0f} requests a second; a target that is not this machine gets "
            f"{cap:.0f} at most"
        )
    return shape


# Hours

_JUDGED = ("p50(latency)", "p99(latency)", "error_share", "goodput_share", "lost")
_LEAST_PER_S = 1.0


@dataclass(frozen=True, kw_only=True)
class Soak(Asked):
    """The command line."""

    kind: ClassVar[str] = "soak"

    hours: float
    nights: float
    flow: str
    readers: int


def soak(asked: Soak) -> int:
    """A load that it bears, for hours; the exit code."""
    run = Run(asked, problems=list(_not_judged(asked.objectives, "--objective")))
    if not asked.objectives:
        for problem in _not_judged(run.scenario.spec.backend.objectives, "left out: backend.objectives"):
            told(problem)
    with run.under_way():
        _refuse_too_late(run.job, 3600 * asked.hours, "the soak")
        night = run.night(asked.readers)
        with at_backend(replace(run.job, peak=night), asked.flow, told) as load:
            found = _soaked(asked, load, night)
            missed = _missed(load)
            if found.ended:
                load.notices += [f"the soak ended after {found.seconds:.0f} s: {found.ended}", *missed]
            ledger = load.reconciled()
    code = _end(
        run, load, ledger, soak_page.story(found), found.as_json(), lambda about: soak_page.page(found, about),
        [*checks_of_soak(found, run.objectives), *_checks_of_faults([] if found.ended else missed)], night,
    )  # fmt: skip
    return code or int(bool(found.ended))


def _soaked(asked: Soak, load: Load, night: Peak) -> soaking.Soaked:
    night_per_s = night.per_s.get(asked.flow) or 0.0
    wanted_per_s = night_per_s * asked.nights
    per_s = max(_LEAST_PER_S, wanted_per_s)
    cap = load.place.target.rate_cap_per_s
    if cap is not None and per_s > cap:
        raise InputError(
            f"--nights {asked.nights:g}: {significant(per_s, 3)} requests a second; a target that is not this machine "
            f"gets {cap:.0f} at most"
        )
    if wanted_per_s < per_s:
        load.notices.append(
            f"--nights {asked.nights:g}: that is {significant(wanted_per_s, 2)} requests a second; a soak sends "
            f"{per_s:g} at least, and so did this one"
        )
    seconds = asked.hours * 3600
    shares: dict[str, float] = (
        {str(name): share for name, share in night.shares.items()} if asked.flow == "mix" else {asked.flow: 1.0}
    )
    size = soaking.disk_bytes(shares, per_s, seconds, PICTURE_BYTES)
    if size > 1e9:
        told(f"photos will take about {size / 1e9:.0f} GB of the backend's disk")

    def told_of(one: soaking.Stretch) -> None:
        p99 = "never" if one.p99_s is None else f"{one.p99_s * 1000:.0f} ms"
        said = f"{one.good:,} of {one.requests:,} answered well, p99 {p99}" if one.requests else "nothing was due"
        memory = one.used.get("service.memory_mb")
        more = f", service {memory:,.0f} MB" if memory is not None else ""
        more += f" (void: {one.void})" if one.void else ""
        told(f"{one.at_s / 60:7.1f} min: {said}{more}")

    found: soaking.Soaked | None = None
    try:
        with load.opened() as stress, load.faults_once(stress):
            found = soaking.soak(stress, per_s, seconds, night_per_s=night_per_s or None, told=told_of)
    except SearchEndedError as error:
        raise InputError(f"--flow {asked.flow}: {error}: more precincts, or a mapping with corrections") from None
    except UnfinishedError as error:  # of a fault, at the end
        if found is None:
            raise
        return replace(found, ended=found.ended or str(error))
    except (KeyboardInterrupt, SystemExit):  # another one, while what was started here ends
        if found is None:
            raise
        return replace(found, ended=found.ended or BROKEN_OFF)
    return found


def _not_judged(objectives: Sequence[str], where: str) -> Iterator[str]:
    """What is asked of a soak that it cannot say."""
    for text in objectives:
        with suppress(InputError):  # which is told anyway
            if parse_objective(text).metric not in _JUDGED:
                yield f"{where}: {text}: of a soak can be judged {', '.join(_JUDGED)}"


def checks_of_soak(found: soaking.Soaked, objectives: Sequence[Objective]) -> list[junit.Check]:
    """Whether every figure keeps its level, as far as it was looked at, and the objectives."""
    if found.void is not None:
        return _fell_short(found.void, found.seconds)
    up = dict(soaking.rising(found))
    drifts = [
        junit.Check(
            "drift", f"{name} does not drift", name not in up, f"{one.per_hour:.3g} an hour (p {one.p:.2g})",
            found.seconds,
        )
        for name, one in found.drifts().items()
    ]  # fmt: skip
    few = f"not known: fewer than {LEAST} samples after the settling"
    drifts += [
        junit.Check("drift", f"{name} does not drift", False, few, found.seconds, unknown=True)
        for name in found.untested()
    ]
    return drifts + _of_all_stretches(objectives, found)


def _of_all_stretches(objectives: Sequence[Objective], found: soaking.Soaked) -> list[junit.Check]:
    """Objectives, of stretches that say something: of latency each has to keep to them; the rest is of all requests."""
    known = found.known
    checks = []
    for one in objectives:
        match one.metric:
            case "p50(latency)" | "p99(latency)":
                all_s = [each.p50_s if one.metric.startswith("p50") else each.p99_s for each in known]
                missed = sum(not one.met_by(math.inf if latency_s is None else latency_s) for latency_s in all_s)
                says = f"{missed} of {len(known)} stretches missed it" if known else "no stretch says anything"
                holds = bool(known) and not missed
            case "error_share" | "goodput_share":
                share = found.error_share if one.metric == "error_share" else found.goodput_share
                says, holds = f"{share:.3%}", one.met_by(share)
            case "lost":
                lost = sum(each.lost for each in found.stretches)
                says, holds = f"{lost:,}", one.met_by(lost)
            case _:  # always asked for, and only of one trial
                continue
        checks.append(junit.Check("soak", one.text, holds, says, found.seconds))
    return checks
