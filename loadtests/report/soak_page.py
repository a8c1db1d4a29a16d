"""The page of a soak test: latency, memory and file handles over hours, and what of it drifts."""

from __future__ import annotations

from collections.abc import Sequence

from loadtests.report.answer import with_ledger
from loadtests.report.drawing import (
    LEFT,
    RIGHT,
    amount_axis,
    asked_line,
    latency_axis,
    line,
    mark_faults,
    seconds_axis,
    unanswered,
)
from loadtests.report.frame import faults_table, framed, ledger_chapter, objective_of_latency
from loadtests.report.run_folder import About
from loadtests.report.words import joined, latency, length, sentence, share, significant
from loadtests.traffic.drift import SETTLING_SHARE, SIGNIFICANCE, Drift
from loadtests.traffic.soak import Soaked, Stretch, rising
from simulation.report import plot
from simulation.report.chapter import Cell, Chapter, KeyNumber, Panel, Table
from simulation.report.plot import Key, Sheet
from simulation.words import THIN, number, plural

_MOST_ROWS = 24
_WHO = {"service": "the service", "database": "the database"}
_WHAT = {"memory": "memory", "files": "open files"}  # of processes
_MOST_PROBLEMS = 3


def story(found: Soaked) -> str:
    """What came of it, in a sentence."""
    if found.void is not None:
        return f"this run says nothing about the backend, because {found.void}"
    nights = f", {significant(found.per_s / found.night_per_s, 2)} caucus nights" if found.night_per_s else ""
    void, counted = found.void_stretches, sum(one.requests for one in found.known)
    left_out = (
        f"; {number(void)} of {plural(len(found.stretches), 'stretch', 'stretches')} {'is' if void == 1 else 'are'} "
        "void and left out: the generator fell short"
    )
    return (
        f"{length(found.seconds)} at {significant(found.per_s, 3)} requests a second{nights}: {_moves(found)}; "
        f"{share(found.error_share)} of {number(counted)} requests were not answered well{left_out if void else ''}"
    )


def _moves(found: Soaked) -> str:
    """What drifts, and of what that is not known."""
    drifts = found.drifts()
    up, all_of_them = [_name(name) for name, _ in rising(found)], [_name(name) for name in drifts]
    unsure, unseen = [_name(name) for name in found.untested()], [_WHAT[what] for what in found.unseen()]
    if not drifts:
        told = ["too few samples to tell whether anything drifts"]
    elif up:
        told = [f"{joined(up)} {'drifts' if len(up) == 1 else 'drift'} upwards"]
    elif unsure or unseen:
        told = [f"{joined(all_of_them)} {'does' if len(all_of_them) == 1 else 'do'} not drift"]
    else:
        told = ["nothing drifts"]
    if drifts and unsure:
        told.append(f"too few samples to tell it of {joined(unsure)}")
    if unseen:
        told.append(f"drift of {joined(unseen)} was not looked at: the processes cannot be seen from here")
    return "; ".join(told)


def page(found: Soaked, about: About) -> str:
    """The page; equal input gives equal text."""
    drifts = found.drifts()
    void = found.void_stretches
    notices = []
    if void:
        notices.append(
            f"In {plural(void, 'stretch', 'stretches')} of {number(len(found.stretches))} the generator fell short: "
            "they say nothing of latency and errors."
        )
    chapters = [_latency(found, about, drifts), *_used(found, drifts), *ledger_chapter(about.ledger)]
    return framed(
        about,
        story=with_ledger(story(found), about.ledger),
        findings=_findings(found) if found.void is None else [],
        found_title="What was found",
        key_numbers=_key_numbers(found, drifts),
        basis=(
            f"Each sample is {length(found.stretches[0].seconds)} of Poisson arrivals. A drift is Sen's slope, tested "
            f"by Mann and Kendall with as many samples as their dependence leaves; it is told where luck does as much "
            f"in fewer than {SIGNIFICANCE:.0%} of soaks and the figure moved by a twentieth or more. The first "
            f"{SETTLING_SHARE:.0%} of the time is left out: caches fill."
        ),
        notices=notices,
        chapters=chapters,
    )


def _findings(found: Soaked) -> list[str]:
    told = [_told(name, one) for name, one in rising(found)]
    problems = list(found.problems.items())[:_MOST_PROBLEMS]
    return told + [f"{plural(count, 'time', 'times')}: {problem}." for problem, count in problems]


def _name(series: str) -> str:
    owner, _, what = series.partition(".")
    if owner == "latency":
        return f"latency ({what.removesuffix('_s')})"
    return f"{'memory' if what == 'memory_mb' else 'open files'} of {_WHO.get(owner, owner)}"


def _shown(series: str, value: float) -> str:
    if series.startswith("latency."):
        return f"{'-' if value < 0 else ''}{latency(abs(value))}"
    return f"{significant(value, 3)}{f'{THIN}MB' if series.endswith('memory_mb') else ''}"


def _told(series: str, one: Drift) -> str:
    low, high = _shown(series, one.low_per_hour), _shown(series, one.high_per_hour)
    text = f"{_name(series)} grows by {_shown(series, one.per_hour)} an hour ({low} to {high}; p {_p(one.p)})"
    return sentence(text)


def _p(value: float) -> str:
    return "< 0.0001" if value < 0.0001 else f"{value:.2g}"


def _key_numbers(found: Soaked, drifts: dict[str, Drift]) -> list[KeyNumber]:
    numbers = [KeyNumber(length(found.seconds), "under load", f"{number(found.requests)} requests")]
    latencies = [one.p99_s for one in found.known if one.p99_s is not None]
    if latencies:
        numbers.append(
            KeyNumber(latency(max(latencies)), "the slowest stretch's p99", f"fastest {latency(min(latencies))}")
        )
    memory = drifts.get("service.memory_mb")
    if memory is not None:
        verdict = "drifts" if memory.rises else "no drift"
        numbers.append(
            KeyNumber(_shown("service.memory_mb", memory.per_hour), "memory of the service, an hour", verdict)
        )
    files = drifts.get("service.files")
    if files is not None:
        verdict = "drifts" if files.rises else "no drift"
        numbers.append(KeyNumber(_shown("service.files", files.per_hour), "its open files, an hour", verdict))
    return numbers


def _latency(found: Soaked, about: About, drifts: dict[str, Drift]) -> Chapter:
    at = [one.at_s - one.seconds / 2 for one in found.stretches]
    p50, p99 = ([getattr(one, name) for one in found.stretches] for name in ("p50_s", "p99_s"))
    moved = drifts.get("latency.p99_s")
    finding = "Latency keeps its level"
    if found.void is not None:
        finding = "Latency with a generator that fell short: how much of it is the backend's is not known"
    elif moved is not None and moved.rises:
        finding = f"Latency grows: p99 by {_shown('latency.p99_s', moved.per_hour)} an hour"
    elif any(one.p99_s is None for one in found.known):
        finding = "In some stretches one request in a hundred, or more, was not answered well"
    elif moved is None:
        finding = "Too few samples to tell whether latency drifts"
    asked_s = objective_of_latency(about.objectives)

    def paint(sheet: Sheet) -> None:
        axes = sheet.axes(left=LEFT, right=RIGHT, top=30, bottom=sheet.height - 46)
        seconds_axis(sheet, axes, 0, max(found.seconds, 1.0), "since the start")
        top = latency_axis(axes, [*p50, *p99])
        sheet.heading(axes, "Latency from due, p50 and p99")
        mark_faults(sheet, axes, about.faults, labels=True)
        line(axes, at, p50, "forecast")
        line(axes, at, p99, "second", dashed=True)
        asked_line(axes, asked_s, top)
        unanswered(axes, [x for x, value in zip(at, p99, strict=True) if value is None], top)

    key: Key = (("line", "median"), ("dashed", "p99"))
    if any(value is None for value in p99):
        key = (*key, ("cross", "over 1 % not answered well"))
    rows = _rows(found.stretches)
    said = "; ".join(f"{row[0]}: p99 {row[3]}" for row in rows[::4])
    picture = plot.draw("latency", finding, f"Latency over the soak. {said}.", paint, heights=(330, 320), key=key)
    table = Table("latency-table", "Over time", ["at", "requests", "p50", "p99", "errors"], rows)
    panel = Panel("latency-panel", finding, picture=picture, table=table, more=faults_table(about.faults, "faults"))
    return Chapter("latency", "Latency", [panel])


def _rows(stretches: Sequence[Stretch]) -> list[list[str | Cell]]:
    step = max(1, -(-len(stretches) // _MOST_ROWS))
    rows: list[list[str | Cell]] = []
    for one in stretches[::step]:
        errors = 1 - one.good / max(1, one.requests)
        failed = Cell("void") if one.void else Cell(share(errors), "outside" if errors else "")
        rows.append([length(one.at_s), number(one.requests), latency(one.p50_s), latency(one.p99_s), failed])
    return rows


def _used(found: Soaked, drifts: dict[str, Drift]) -> list[Chapter]:
    """Memory, then files: a line for each of those that were watched."""
    series = found.series()
    at = [one.at_s for one in found.stretches]
    panels = []
    for what, heading in (("memory_mb", "Memory, MB"), ("files", "Open files and connections")):
        names = [name for name in series if name.endswith(f".{what}")][:2]
        if names:
            panels.append(_panel(what, heading, names, at, series, drifts))
    return [Chapter("used", "Resources", panels)] if panels else []


def _panel(
    what: str,
    heading: str,
    names: Sequence[str],
    at: Sequence[float],
    series: dict[str, list[float | None]],
    drifts: dict[str, Drift],
) -> Panel:
    up = [name for name in names if name in drifts and drifts[name].rises]
    kind = "Memory" if what == "memory_mb" else "The number of open files"
    finding = f"{kind} keeps its level"
    if up:
        finding = "; ".join(f"{_name(name)} grows by {_shown(name, drifts[name].per_hour)} an hour" for name in up)
    elif any(name not in drifts for name in names):
        finding = f"Too few samples to tell whether {kind[:1].lower()}{kind[1:]} drifts"
    finding = finding[:1].upper() + finding[1:]
    values = [[value or 0.0 for value in series[name]] for name in names]

    def paint(sheet: Sheet) -> None:
        axes = sheet.axes(left=LEFT, right=RIGHT, top=30, bottom=sheet.height - 46)
        seconds_axis(sheet, axes, 0, max(*at, 1.0), "since the start")
        amount_axis(axes, max(max(row) for row in values) * 1.05)
        sheet.heading(axes, heading)
        for row, name in zip(values, ("forecast", "second"), strict=False):
            line(axes, at, row, name, dashed=name == "second")

    owners = [_name(name).partition(" of ")[2] for name in names]
    key: Key = (("line", owners[0]), *((("dashed", owners[1]),) if len(owners) > 1 else ()))
    rows: list[list[str | Cell]] = []
    for name, row in zip(names, values, strict=True):
        one = drifts.get(name)
        shown = ["", "", ""]
        if one is not None:
            ends = _shown(name, one.low_per_hour), _shown(name, one.high_per_hour)
            shown = [_shown(name, one.per_hour), " to ".join(ends), _p(one.p)]
        owner = name.partition(".")[0]
        rows.append([owner, _shown(name, row[0]), _shown(name, row[-1]), *shown])
    said = "; ".join(f"{row[0]} from {row[1]} to {row[2]}" for row in rows)
    picture = plot.draw(
        f"used-{what}", finding, f"{heading} over the soak: {said}.", paint, heights=(280, 280), key=key
    )
    head = ["processes", "first", "last", "an hour", "between", "p"]
    return Panel(
        f"used-{what}-panel", finding, picture=picture, more=[Table(f"used-{what}-table", heading, head, rows)]
    )
