"""The page of a night replayed: on the night's own clock, what the backend acknowledged beside what was simulated."""

from __future__ import annotations

import itertools
import math

import numpy as np
import numpy.typing as npt

from loadtests.objectives import Judgement
from loadtests.report.answer import with_ledger
from loadtests.report.drawing import RIGHT, Course, line
from loadtests.report.frame import faults_table, framed, ledger_chapter, resources_chapter, under, void_notice
from loadtests.report.run_folder import About, Fault
from loadtests.report.words import latency, length, sentence, share, significant
from loadtests.traffic.replay import DONE, LET_IN, Plan, Replayed
from loadtests.trial import SECOND, finite_quantile
from simulation.report import plot
from simulation.report.chapter import Cell, Chapter, KeyNumber, Panel, Table
from simulation.report.plot import Key, Sheet, color
from simulation.scenario.values import HOUR, MINUTE
from simulation.words import THIN, clock, number, percent, plural

_BINS = 180
_ROUND = (1, 2, 5, 10, 15, 30)  # minutes of a bin


def story(found: Replayed) -> str:
    """What came of it, in a sentence."""
    trial, speed = found.trial, found.plan.speed
    if trial.void is not None:
        return f"this run says nothing about the backend, because {trial.void}"
    requests, took = number(trial.requests), length(trial.seconds)
    p99 = trial.latency_s(0.99)
    quick = f", 99{THIN}% within {latency(p99)}" if math.isfinite(p99) else ""
    return (
        f"{plural(found.sites, 'precinct')}, {significant(speed, 3)} times as fast as the evening: {requests} requests "
        f"in {took}; {share_of(trial.goodput_share)} were answered well{quick}"
    )


def page(found: Replayed, judged: Judgement, about: About) -> str:
    """The page; equal input gives equal text."""
    trial, speed = found.trial, found.plan.speed
    return framed(
        about,
        story=with_ledger(story(found), about.ledger),
        findings=_findings(found, judged),
        found_title="What was found",
        key_numbers=_key_numbers(found),
        basis=(
            "Each request went out when the night has it, whatever became of those before; only what is written for "
            "one site waits for the answer to the write before. Latency counts from when it was due, in real time. "
            "What follows from the backend's answers (reviews, corrections) is not replayed."
        ),
        notices=void_notice(trial),
        chapters=[*([_evening(found)] if found.plan.is_asked.any() else []), _load(found, about), _operations(found),
                  *ledger_chapter(about.ledger), *resources_chapter(trial.resources)],
        facts=[("speed", [f"{speed:g} times the evening"])],
    )  # fmt: skip


def share_of(value: float) -> str:
    """A share of requests: never 100 % where one is missing."""
    return percent(value) if value in (0, 1) or value < 0.99 else f"{math.floor(value * 10000) / 100:g}{THIN}%"


def _findings(found: Replayed, judged: Judgement) -> list[str]:
    simulated = found.plan.reported_at_ms
    both = (simulated >= 0) & (found.acknowledged_at_ms >= 0)
    missing = int(np.count_nonzero(found.plan.is_asked & (found.acknowledged_at_ms < 0)))
    told = []
    if let_in := found.wrong_pins_let_in:
        told.append(f"{plural(let_in, 'log-in')} with a wrong PIN {'was' if let_in == 1 else 'were'} let in.")
    if np.any(both):
        behind = np.sort(found.acknowledged_at_ms[both] - simulated[both])
        late = int(behind[int(0.99 * (len(behind) - 1))])
        after = length(max(late, 0) / 1000 / found.plan.speed)
        told.append(
            f"Of {plural(int(np.count_nonzero(both)), 'result')} that headquarters holds in the simulation and the "
            f"backend acknowledged, 99{THIN}% came within {after} of their time."
        )
    if missing:
        told.append(f"{plural(missing, 'result')} of the simulation were not acknowledged by the end of the replay.")
    told += _left_out(found.plan)
    if found.trial.void is None and judged.broken:
        told.append(sentence(f"missed: {', '.join(one.shown for one in judged.broken)}"))
    elif found.trial.void is None and judged.findings:
        told.append("Every objective was met.")
    others = [one for one in found.trial.sample.problems.items() if one[0] != LET_IN]
    problems = sorted(others, key=lambda one: -one[1])[:3]
    told += [f"{plural(count, 'time', 'times')}: {problem}." for problem, count in problems]
    return told


def _left_out(plan: Plan) -> list[str]:
    """Results that the replay does not ask for, because the backend has nothing that would take them."""
    has, sites = plan.schedule.operations, plan.evening.sites
    lacking = {
        "clerk": 0 if "clerk" in has else sum(each.keyed_by_staff for each in sites),
        "report": 0 if set(DONE) & set(has) else sum(each.by_app for each in sites),
    }
    return [
        f"{plural(count, 'result')} of the simulation {'is' if count == 1 else 'are'} left out: the mapping has no "
        f"[{operation}]."
        for operation, count in lacking.items()
        if count
    ]


def _key_numbers(found: Replayed) -> list[KeyNumber]:
    trial = found.trial
    busiest = int(found.plan.schedule.per_second().max(initial=0))
    acknowledged = int(np.count_nonzero(found.acknowledged_at_ms >= 0))
    sites = int(np.count_nonzero(found.plan.takes_part))
    of = f"of {number(sites)} precincts" + (" that take part" if sites < found.sites else "")
    return [
        KeyNumber(
            latency(trial.latency_s(0.99)), "99 % answered well within", f"median {latency(trial.latency_s(0.5))}"
        ),
        KeyNumber(share_of(trial.goodput_share), "answered well", f"of {number(trial.requests)} requests"),
        *([KeyNumber(number(acknowledged), "results acknowledged", of)] if found.plan.is_asked.any() else []),
        KeyNumber(
            number(busiest), "in the busiest second", f"{significant(trial.offered_per_s, 2)}/s on average", "requests"
        ),
    ]


# The evening


def _evening(found: Replayed) -> Chapter:
    plan = found.plan
    begins, ends = _clock_span(found)
    at = np.linspace(begins, ends, 241)
    sites = int(np.count_nonzero(plan.takes_part))
    reported_ms, released_ms, known_ms = (
        np.where(plan.takes_part, when, -1)
        for when in (plan.reported_at_ms, plan.released_at_ms, found.acknowledged_at_ms)
    )
    curves = {
        name: _share_by(when, at, sites)
        for name, when in (("held", reported_ms), ("public", released_ms), ("acknowledged", known_ms))
    }
    middle = _half_hours(begins, ends)
    asked_at = min(middle, key=lambda one: abs(one - 22.5 * HOUR), default=int(ends))
    held, known = (int(np.count_nonzero((when >= 0) & (when <= asked_at))) for when in (reported_ms, known_ms))
    finding = (
        f"By {clock(asked_at)} the backend had acknowledged {number(known)} results; in the simulation headquarters "
        f"holds {number(held)}"
    )

    def paint(sheet: Sheet) -> None:
        axes = sheet.axes(left=52, right=RIGHT, top=30, bottom=sheet.height - 46)
        sheet.clock_axis(axes, int(begins), int(ends))
        axes.set_ylim(0, 100)
        axes.set_yticks([0, 25, 50, 75, 100], ["0 %", "25 %", "50 %", "75 %", "100 %"])
        whose = "{} precincts that take part" if sites < found.sites else "all {} precincts"
        sheet.heading(axes, f"Share of {whose.format(number(sites))}")
        line(axes, at.tolist(), (curves["held"] * 100).tolist(), "forecast", width=5.0)
        line(axes, at.tolist(), (curves["public"] * 100).tolist(), "second", dashed=True)
        line(axes, at.tolist(), (curves["acknowledged"] * 100).tolist(), "history", width=1.6)
        axes.plot(at[::20], curves["acknowledged"][::20] * 100, linestyle="none", marker="D", markersize=6,
                  color=color("history"), markeredgecolor=color("paper"), clip_on=False, zorder=5)  # fmt: skip

    key: Key = (
        ("point", "acknowledged by the backend"),
        ("line", "held by headquarters, simulated"),
        ("dashed", "released to the public, simulated"),
    )
    rows = [
        [clock(one), *(percent(float(_share_by(when, np.array([one]), sites)[0]))
                       for when in (reported_ms, known_ms, released_ms))]
        for one in middle
    ]  # fmt: skip
    table = Table(
        "evening-table",
        "Share of the precincts",
        ["at", "held, simulated", "acknowledged", "released, simulated"],
        rows,
    )
    said = "; ".join(f"{row[0]}: {row[2]} acknowledged, {row[1]} simulated" for row in rows[::2])
    picture = plot.draw(
        "evening", finding, f"Shares of precincts over the evening. {said}.", paint, heights=(400, 350), key=key
    )
    return Chapter("evening", "Results", [Panel("evening-panel", finding, picture=picture, table=table)])


def _share_by(when: npt.NDArray[np.int64], at: npt.NDArray[np.float64], sites: int) -> npt.NDArray[np.float64]:
    known = np.sort(when[when >= 0])
    return np.asarray(np.searchsorted(known, at, side="right") / max(1, sites), float)


def _clock_span(found: Replayed) -> tuple[float, float]:
    plan = found.plan
    last = float(plan.clock_ms(plan.schedule.due_ns[-1]))
    begins = math.floor(plan.begins_at_ms / (30 * MINUTE)) * 30 * MINUTE
    return begins, max(math.ceil(last / (30 * MINUTE)) * 30 * MINUTE, begins + 30 * MINUTE)


def _half_hours(begins: float, ends: float) -> list[int]:
    step = 30 * MINUTE if ends - begins <= 8 * HOUR else 2 * HOUR if ends - begins <= 30 * HOUR else 12 * HOUR
    return list(range(int(begins) + step, int(ends) + 1, step))


# Load and latency


def _load(found: Replayed, about: About) -> Chapter:
    plan, sample = found.plan, found.trial.sample
    begins, ends = _clock_span(found)
    minutes = next((m for m in _ROUND if (ends - begins) / (m * MINUTE) <= _BINS), _ROUND[-1])
    width = minutes * MINUTE
    count = int((ends - begins) // width)
    due_ms = plan.clock_ms(sample.due)
    which = np.minimum(((due_ms - begins) // width).astype(np.int64), count - 1)
    order = np.argsort(which, kind="stable")
    cuts = np.searchsorted(which[order], np.arange(count + 1))
    at = [begins + (k + 0.5) * width for k in range(count)]
    real_s = width / 1000 / plan.speed
    offered = [float(cuts[k + 1] - cuts[k]) / real_s for k in range(count)]
    good: list[float | None] = []
    p50: list[float | None] = []
    p99: list[float | None] = []
    bad_at: list[float] = []
    for k in range(count):
        part = order[cuts[k] : cuts[k + 1]]
        latencies = np.sort(sample.latency_s[part])
        good.append(float(np.count_nonzero(sample.ok[part])) / real_s)
        p50.append(finite_quantile(latencies, 0.5))
        p99.append(finite_quantile(latencies, 0.99))
        if len(part) and p99[-1] is None:
            bad_at.append(at[k])
    busiest = max(range(count), key=lambda k: offered[k])
    worst = max((value for value in p99 if value is not None), default=None)
    finding = (
        f"At its busiest, {clock(int(at[busiest] - width / 2))}, the night asked {significant(offered[busiest], 2)} "
        f"requests a second; the slowest {'minute' if minutes == 1 else plural(minutes, 'minute')} had a p99 of "
        f"{latency(worst)}{under(about.faults)}"
    )
    marks = [Fault(one.name, float(plan.clock_ms(one.began_s * SECOND)), float(plan.clock_ms(one.ended_s * SECOND)))
             for one in about.faults]  # fmt: skip

    course = Course(
        at, offered, good, (p50, p99), bad_at, "Latency from due, p50 and p99", "Requests/s, in real time", faults=marks
    )

    def paint(sheet: Sheet) -> None:
        course.paint(sheet, lambda axes, labels: sheet.clock_axis(axes, int(begins), int(ends), labels=labels))

    key: Key = (
        ("line", "answered well; latency, median"),
        ("dashed", "latency, p99"),
        *((("cross", "over 1 % not answered well"),) if bad_at else ()),
    )
    rows = _by_half_hours(found, begins, ends)
    said = "; ".join(f"{row[0]}: {row[1]} requests, p99 {row[3]}" for row in rows[::2])
    picture = plot.draw(
        "load", finding, f"Load and latency over the evening. {said}.", paint, heights=(430, 420), key=key
    )
    table = Table("load-table", "From each half hour to the next" if len(rows) > 1 else "All of it",
                  ["from", "requests", "p50", "p99", "errors"], rows)  # fmt: skip
    note = (
        f"Each point is {plural(minutes, 'minute')} of the night: {length(real_s)} of the replay. Gray: what was due."
    )
    panel = Panel(
        "load-panel", finding, picture=picture, table=table, note=note, more=faults_table(about.faults, "faults")
    )
    return Chapter("load", "Load and latency", [panel])


def _by_half_hours(found: Replayed, begins: float, ends: float) -> list[list[str | Cell]]:
    edges = [int(begins), *_half_hours(begins, ends)]
    sample, due_ms = found.trial.sample, found.plan.clock_ms(found.trial.sample.due)
    rows: list[list[str | Cell]] = []
    for first, last in itertools.pairwise(edges):
        within = (due_ms >= first) & ((due_ms < last) | (last == edges[-1]))
        latencies = np.sort(sample.latency_s[within])
        if not len(latencies):
            rows.append([clock(first), "0", "", "", ""])
            continue
        errors = 1 - float(np.mean(sample.ok[within]))
        shown = [latency(finite_quantile(latencies, q)) for q in (0.5, 0.99)]
        rows.append([clock(first), number(len(latencies)), *shown, Cell(share(errors), "outside" if errors else "")])
    return rows


def _operations(found: Replayed) -> Chapter:
    sample = found.trial.sample
    rows: list[list[str | Cell]] = []
    slowest, worst = "", -1.0
    for name in sample.operations:
        part = sample.of(name)
        if not len(part):
            continue
        latencies = np.sort(part.latency_s)
        p99 = finite_quantile(latencies, 0.99)
        if (p99 if p99 is not None else math.inf) > worst:
            slowest, worst = name, p99 if p99 is not None else math.inf
        errors = 1 - float(np.mean(part.ok))
        sent = float(np.mean(part.attempts))
        shown = [latency(finite_quantile(latencies, q)) for q in (0.5, 0.99, 1.0)]
        failed = Cell(share(errors), "outside" if errors else "")
        rows.append([name, number(len(part)), *shown, failed, f"{sent:.2f}"])
    table = Table("operations-table", "By operation",
                  ["operation", "requests", "p50", "p99", "longest", "errors", "sent for each"], rows)  # fmt: skip
    finding = f"Slowest is {slowest}: 99{THIN}% within {latency(worst)}"
    if not math.isfinite(worst):
        finding = f"Of {slowest} and perhaps others, over 1{THIN}% were not answered well"
    return Chapter("operations", "Operations", [Panel("operations-panel", finding, table=table)])
