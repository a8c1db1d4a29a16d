"""`caucus loadtest break`: reads what was asked for, searches flow by flow, prints and keeps what was found."""

from __future__ import annotations

import json
import re
import shlex
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from loadtests import finding
from loadtests.finding import Found, Job
from loadtests.flows import FLOWS
from loadtests.guards import allowed
from loadtests.objectives import Objective, parse_objectives, parse_requirement
from simulation.errors import InputError, UnfinishedError

if TYPE_CHECKING:
    from simulation.scenario import Scenario

NOT_KEPT = 3  # exit code: a requirement is missed, or a promise was
BROKEN_OFF = 130
_SECRET = re.compile(r"//([^/@:\s]*):[^/@\s]*@")  # the password of a URL


@dataclass(frozen=True)
class Asked:
    """The command line."""

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
    flows: tuple[str, ...]
    objectives: tuple[str, ...]
    requirements: tuple[str, ...]
    faults: tuple[str, ...]
    database: str | None
    seed: int
    readers: int
    budget_s: float
    recovers: bool
    workers: int
    listen: str | None
    others: int
    junit: Path | None
    prometheus: str | None
    out: Path | None
    force: bool

    @property
    def chosen(self) -> tuple[str, ...]:
        """The flows, each once."""
        if "all" in self.flows:
            return FLOWS
        return tuple(dict.fromkeys(self.flows)) or ("mix",)


def run(asked: Asked) -> int:
    """All of it; the exit code."""
    from loadtests import junit, live, run_folder
    from simulation.scenario import load

    scenario = load(asked.name, {}, asked.roster)
    objectives, requirements = _wanted(asked)
    live.tell_children(asked.prometheus)
    job = _job(asked, scenario, objectives)
    folder = None
    if asked.out is not None or not asked.as_json:
        folder = asked.out or run_folder.default_folder("break", asked.name, asked.seed)
    partial = run_folder.begin(folder, asked.force) if folder is not None else None
    found: list[Found] = []
    ended: BaseException | None = None
    with _ends_in_order():
        try:
            for one in _searches(asked, scenario, job, partial):
                found.append(one)  # noqa: PERF402  # it stays when the next one is broken off
        except (KeyboardInterrupt, InputError, UnfinishedError) as error:  # what was found before is kept
            ended = error
        finally:
            if folder is not None and not found:
                run_folder.forget(folder)
    if ended is not None and not found:
        raise ended
    if not found:
        raise InputError("--flow all: the mapping has nothing that can be loaded")
    code = _answer(asked, requirements, found)  # first: whatever becomes of the folder, it is said
    if folder is not None:
        _keep(folder, asked, scenario, job, requirements, found)
        told(f"report: {folder / run_folder.REPORT_FILE}")
    if asked.junit is not None:
        checks = junit.checks_of_break([one.point for one in found], requirements, finding.all_ledgers(found))
        junit.write_junit(asked.junit, f"caucus loadtest break {asked.name}", checks)
    if ended is None:
        return code
    if isinstance(ended, KeyboardInterrupt):
        return BROKEN_OFF
    told(str(ended))
    return 2 if isinstance(ended, InputError) else 1


def _searches(asked: Asked, scenario: Scenario, job: Job, partial: Path | None) -> Iterator[Found]:
    """Flow by flow, as far as nobody breaks it off."""
    from loadtests import run_folder
    from loadtests.workload import peak

    told(f"playing nights of {scenario.spec.title}: what one caucus night is")
    night = peak(scenario, seed=asked.seed, readers=asked.readers)
    for flow in asked.chosen:
        lacks = finding.lacks(job, flow)
        if lacks and "all" in asked.flows:
            told(f"{flow} is left out: {lacks}")
            continue
        ledgers = partial / run_folder.LEDGER_FOLDER if partial is not None else None
        if ledgers is not None and len(asked.chosen) > 1:
            ledgers /= flow
        told(f"{flow}: one caucus night is {night.per_s.get(flow, 0):.3g} requests/s")
        this = replace(job, peak=night, ledgers=ledgers)
        one = finding.find(this, flow, told, lambda tried: told(finding.tried_in_words(tried)))
        for line in (*one.notices, finding.sentence(one)):
            told(line)
        yield one
        if one.was_broken_off:
            return


@contextmanager
def _ends_in_order() -> Iterator[None]:
    """SIGTERM ends what was started here, as Ctrl-C does."""

    def end(number: int, _: object) -> None:
        sys.exit(128 + number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def told(text: str) -> None:
    """Progress."""
    click.echo(text, err=True)


def _wanted(asked: Asked) -> tuple[list[Objective], list[Objective]]:
    problems: list[str] = []
    objectives: list[Objective] = []
    requirements: list[Objective] = []
    try:
        objectives = parse_objectives(asked.objectives)
    except InputError as error:
        problems += [f"--objective: {problem}" for problem in error.problems]
    for text in asked.requirements:
        try:
            requirements.append(parse_requirement(text))
        except InputError as error:
            problems += [f"--require: {problem}" for problem in error.problems]
    if problems:
        raise InputError(problems)
    return objectives, requirements


def _job(asked: Asked, scenario: Scenario, objectives: Sequence[Objective]) -> Job:
    from loadtests.faults import planned
    from loadtests.workload import Peak

    problems: list[str] = []
    if asked.target is None:
        for option, given in (
            ("--mapping", asked.mapping),
            ("--target-class", asked.target_class),
            ("--pins", asked.pins),
            ("--i-may-load", asked.i_may_load),
            ("--ca", asked.ca),
        ):
            if given is not None:
                problems.append(f"{option}: is about a --target, and none is named: our own backend is started")
    if asked.others and asked.listen is None:
        problems.append("--others: where do they join? --listen HOST:PORT")
    if asked.listen is not None and not asked.others:
        problems.append("--listen: how many come? --others N")
    if not asked.workers and not asked.others:
        problems.append("--workers 0: somebody has to make load: --others N")
    listens = _address(asked.listen, problems)
    target = None
    if asked.target is not None:
        try:
            target = allowed(asked.target, asked.i_may_load)
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(problems)
    if target is not None and target.in_the_clear:
        told(f"{target.url}: PINs and tokens go over the network in the clear")
    return Job(
        scenario=scenario,
        name=asked.name,
        peak=Peak({}, {}),
        objectives=objectives,
        seed=asked.seed,
        budget_s=asked.budget_s,
        recovers=asked.recovers,
        workers=asked.workers,
        others=asked.others,
        listens=listens,
        target=target,
        database=asked.database,
        mapping=asked.mapping,
        target_class=asked.target_class,
        pins=asked.pins,
        ca=asked.ca,
        settle_s=asked.settle_s,
        plan=planned(asked.faults, scenario) or None,
    )


def _address(text: str | None, problems: list[str]) -> tuple[str, int]:
    if text is None:
        return "127.0.0.1", 0
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65_536:
        problems.append(f"--listen {text}: expected HOST:PORT, such as 192.168.1.20:5557")
        return "127.0.0.1", 0
    return host.strip("[]"), int(port)


def _keep(
    folder: Path,
    asked: Asked,
    scenario: Scenario,
    job: Job,
    requirements: Sequence[Objective],
    found: Sequence[Found],
) -> None:
    from loadtests import run_folder

    first = found[0]
    about = run_folder.About.of(
        scenario,
        "break",
        asked.seed,
        _SECRET.sub(r"//\1:***@", shlex.join(["caucus", *sys.argv[1:]])),
        first.shown,
        database=first.database,
        objectives=tuple(one.text for one in job.objectives),
        requirements=tuple(one.text for one in requirements),
        night_per_s={one.point.flow: one.point.night_per_s or 0.0 for one in found},
        broke_at={one.point.flow: one.at for one in found if one.at},
        cores=first.cores,
        workers=max(one.workers for one in found),
        faults=tuple(
            run_folder.Fault(mark.name, at_s + mark.began_s, at_s + mark.ended_s, one.point.flow)
            for one in found
            for at_s, mark in one.marks
        ),
        ledger=finding.all_ledgers(found),
        notices=tuple(dict.fromkeys(notice for one in found for notice in one.notices)),
    )
    run_folder.write_break(folder, [one.point for one in found], about)


def _answer(asked: Asked, requirements: Sequence[Objective], found: Sequence[Found]) -> int:
    missed = [
        f"{one.point.flow}: {requirement.text} is not met"
        for one in found
        for requirement in requirements
        if not one.point.meets(requirement)
    ]
    if asked.as_json:
        shown = [_as_json(one) for one in found]
        click.echo(json.dumps(shown if len(asked.chosen) > 1 else shown[0], ensure_ascii=False, default=str))
    else:
        for one in found:
            click.echo(finding.sentence(one))
    for line in missed:
        told(line)
    if any(one.was_broken_off for one in found):
        return BROKEN_OFF
    kept = all(one.ledger is None or one.ledger["clean"] for one in found)
    return 0 if kept and not missed else NOT_KEPT


def _as_json(found: Found) -> dict[str, Any]:
    return {
        **found.point.as_json(),
        "night_per_s": found.point.night_per_s,
        "at": found.at,
        "ledger": found.ledger,
        "notices": list(found.notices),
    }
