"""`caucus loadtest break`: searches flow by flow, prints and keeps what was found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from loadtests import harness, reconciliation
from loadtests.breaking_point import Tried
from loadtests.commands.run import Asked, Run, told
from loadtests.faults import planned
from loadtests.report import break_files, junit, run_folder
from loadtests.report.answer import answer
from loadtests.report.words import per_s, span
from loadtests.search.finding import Found, find
from loadtests.search.stress import sample_of
from loadtests.target.guards import allowed, means_loopback
from loadtests.traffic.flows import FLOWS
from simulation.errors import InputError, UnfinishedError
from simulation.scenario.curve import FLOWS as PLAYED
from simulation.words import plain

BROKEN_OFF = 130  # exit code


@dataclass(frozen=True, kw_only=True)
class Break(Asked):
    """The command line."""

    kind: ClassVar[str] = "break"

    flows: tuple[str, ...]
    requirements: tuple[str, ...]
    readers: int
    budget_s: float
    recovers: bool
    listen: str | None
    others: int

    @property
    def chosen(self) -> tuple[str, ...]:
        """The flows, each once."""
        if "all" in self.flows:
            return FLOWS
        return tuple(dict.fromkeys(self.flows)) or ("mix",)


def run(asked: Break) -> int:
    """All of it; the exit code."""
    problems: list[str] = []
    listens = _workers_join_at(asked, problems)
    this = Run(
        asked, asked.requirements, problems, budget_s=asked.budget_s, recovers=asked.recovers, others=asked.others,
        listens=listens,
    )  # fmt: skip
    found: list[Found] = []
    ended: BaseException | None = None
    with this.under_way():
        try:
            for one in _searches(this, asked):
                found.append(one)  # noqa: PERF402  # it stays when the next one is broken off
        except (KeyboardInterrupt, InputError, UnfinishedError) as error:
            if not found:
                raise
            ended = error
        if not found:
            raise InputError("--flow all: the mapping has nothing that can be loaded")
    ledger = reconciliation.together([one.ledger for one in found if one.ledger is not None])
    points = [one.point for one in found]
    not_held = [one.not_held for one in found if one.not_held]
    kept = junit.checks_of_ledger(ledger, not_held)
    checks = junit.checks_of_break(points, this.requirements, ledger, not_held)
    shown = [_as_json(one) for one in found]
    code = this.answer(
        shown if len(asked.chosen) > 1 else shown[0],
        [_sentence(one) for one in found],
        checks if this.requirements else kept,
    )
    this.keep(lambda folder: break_files.write(folder, points, _about(this, found, ledger)), checks)
    if this.folder is not None and not any(point.flow in PLAYED for point in points):
        told(f"no scenario plays its curve.json: chairs wait for --flow {', '.join(PLAYED)}")
    failed = [one.point.failed for one in found if one.point.failed]
    if ended is not None and not isinstance(ended, KeyboardInterrupt):
        failed.append(str(ended))
    for why in failed:
        told(why)
    if lost := junit.exit_code(kept):  # whatever else happened
        return lost
    if isinstance(ended, KeyboardInterrupt) or any(one.was_broken_off for one in found):
        return BROKEN_OFF
    if ended is not None:
        return 2 if isinstance(ended, InputError) else 1
    return 1 if failed else code


def _searches(this: Run, asked: Break) -> Iterator[Found]:
    """Flow by flow, as far as nobody breaks it off."""
    night = this.night(asked.readers)
    for flow in asked.chosen:
        lacks = harness.lacks(this.job, flow)
        if lacks and "all" in asked.flows:
            told(f"{flow} is left out: {lacks}")
            continue
        ledgers = this.job.ledgers
        if ledgers is not None and len(asked.chosen) > 1:
            ledgers /= flow
        told(f"{flow}: one caucus night is {night.per_s.get(flow, 0):.3g} requests/s")
        job = replace(this.job, peak=night, ledgers=ledgers)
        one = find(job, flow, told, lambda tried: told(_tried_in_words(tried)))
        for line in (*one.notices, _sentence(one)):
            told(line)
        yield one
        if one.was_broken_off or one.point.failed:
            return


def _workers_join_at(asked: Break, problems: list[str]) -> tuple[str, int]:
    if asked.others and asked.listen is None:
        problems.append("--others: where do they join? --listen HOST:PORT")
    if asked.listen is not None and not asked.others:
        problems.append("--listen: how many come? --others N")
    if not asked.workers and not asked.others:
        problems.append("--workers 0: somebody has to make load: --others N")
    if asked.others and len(asked.chosen) > 1:
        problems.append("--flow: one flow at a time with --others: workers elsewhere end with each search")
    if asked.listen is None:
        return "127.0.0.1", 0
    host, _, port = asked.listen.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65_536:
        problems.append(f"--listen {asked.listen}: expected HOST:PORT, such as 192.168.1.20:5557")
        return "127.0.0.1", 0
    host = host.strip("[]")
    if asked.others and not means_loopback(host):
        problems += _out_of_their_reach(asked)
    return host, int(port)


def _out_of_their_reach(asked: Break) -> Iterator[str]:
    """What workers on other machines would look for on their own: this one's loopback."""
    from simulation.scenario import load

    begins = f"--listen {asked.listen}: workers elsewhere would send to their own machine"
    with suppress(InputError):  # which `Run` tells
        if asked.target is None:
            yield (
                f"{begins}: our own backend can be reached from here only; start one, and name the address by which "
                f"they reach it: --target"
            )
        elif (target := allowed(asked.target, asked.i_may_load)).loopback:
            yield f"{begins}: --target {target.url} is this one; name the address by which they reach the backend"
    with suppress(InputError):
        for fault in planned(asked.faults, load(asked.name, {}, asked.roster)).faults:
            if fault.place == "clients":
                yield f"{begins}: the proxy of {fault.text!r} can be reached from here only; leave that fault out"


# What is kept, and what is said


def _about(this: Run, found: Sequence[Found], ledger: Mapping[str, Any] | None) -> run_folder.About:
    first = found[0]
    return this.about(
        first.shown,
        database=first.database,
        night_per_s={one.point.flow: one.point.night_per_s or 0.0 for one in found},
        broke_at={one.point.flow: one.at for one in found if one.at},
        cores=first.cores,
        workers=max(one.workers for one in found),
        faults=tuple(
            run_folder.Fault(mark.name, at_s + mark.began_s, at_s + mark.ended_s, one.point.flow)
            for one in found
            for at_s, mark in one.marks
        ),
        ledger=ledger,
        notices=tuple(dict.fromkeys(notice for one in found for notice in one.notices)),
    )


def _as_json(found: Found) -> dict[str, Any]:
    return {
        **found.point.as_json(),
        "night_per_s": found.point.night_per_s,
        "at": found.at,
        "ledger": found.ledger,
        "notices": list(found.notices),
    }


def _sentence(found: Found) -> str:
    """The answer of a flow: "report (23.4-24.9/s): Breaks at 14 times the busiest minute of caucus night ..."."""
    low, high = found.point.requests_per_s
    rates = f" ({span(low, high)}/s)" if high is not None else f" ({per_s(low)} or more)" if low else ""
    return plain(f"{found.point.flow}{rates}: {answer(found.point, found.at, found.ledger)}")


def _tried_in_words(one: Tried) -> str:
    """A trial, in a line."""
    trial = one.trial
    why = sample_of(one).main_problem
    because = f" ({why})" if why else ""
    load = f"{one.rate_per_s:>9,.1f}/s for {trial.seconds:>2.0f} s"
    if trial.void is not None:
        return f"{load}: void: {trial.void}"
    if one.kind == "probe":
        said = f"p50 {_ms(trial.latency_s(0.5))}, {trial.goodput_share:.0%} answered"
        if not trial.requests:
            said = "nothing was due"
        return f"{load}: is it well? {said}{because}"
    if one.judgement.holds:
        return f"{load}: holds, p99 {_ms(trial.latency_s(0.99))}"
    return f"{load}: breaks: {', '.join(one.shown for one in one.judgement.broken)}{because}"


def _ms(seconds: float) -> str:
    return "never" if seconds == float("inf") else f"{seconds * 1000:,.0f} ms"
