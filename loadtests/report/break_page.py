"""The page of a breaking point: where it breaks, because of what, whether it comes back, and what to fix first."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import TYPE_CHECKING

from loadtests.breaking_point import CONFIDENCE, BreakingPoint, Tried
from loadtests.report.advice import advice
from loadtests.report.answer import answer, objective_missed, short_answer, stayed_down
from loadtests.report.drawing import (
    LEFT,
    RIGHT,
    Course,
    amount_axis,
    asked_line,
    dots,
    flows_axes,
    latency_axis,
    latency_span,
    line,
    load_axis,
    seconds_axis,
    unanswered,
)
from loadtests.report.frame import faults_table, framed, ledger_chapter, objective_of_latency, under
from loadtests.report.run_folder import About, Fault
from loadtests.report.words import (
    flow_name,
    latency,
    length,
    middle,
    per_s,
    resource_name,
    sentence,
    share,
    significant,
    span,
    typeset,
)
from loadtests.search.recovery import HOLDS_S, Recovery
from loadtests.trial import Trial
from simulation.report import plot
from simulation.report.chapter import Cell, Chapter, KeyNumber, Panel, Table
from simulation.report.plot import Key, Sheet, color
from simulation.words import THIN, number, percent, plural

if TYPE_CHECKING:
    pass

_SAME = 1.02  # loads that differ by less are a row of the table
_MOST_KEY_NUMBERS = 4
_NOT_KNOWN = "Whether it comes back from an overload is not known"
_USED = {  # what `resources.Watch` tells, and how it is shown; the most in a second stands in the files
    "cpu": ("cores", "{:.2f}"),
    "cpu_busiest": ("cores, busiest process", "{:.2f}"),
    "memory_mb": ("memory, MB", "{:,.0f}"),
    "files": ("open files", "{:,.0f}"),
    "disk": ("busy disk", "{:.1%}"),
}


def page(points: Sequence[BreakingPoint], about: About) -> str:
    """The page; equal input gives equal text."""
    several = len(points) > 1
    weakest = _weakest(points)
    chapters = [_flows(points)] if several else []
    for point in points:
        chapters += _chapters(point, about, several)
    chapters += ledger_chapter(about.ledger)
    fix = advice(points, about.ledger)
    if fix:
        rows = [[str(k), typeset(one.what), typeset(one.why)] for k, one in enumerate(fix, 1)]
        table = Table("advice-table", "In this order", ["", "what", "why"], rows, text_columns=(0, 1, 2))
        chapters.append(Chapter("advice", "What to fix first", [Panel("advice-panel", fix[0].what, table=table)]))
    return framed(
        about,
        story=answer(weakest, about.broke_at.get(weakest.flow), about.ledger),
        findings=[*(short_answer(point) for point in points if several), *_more_findings(points)],
        found_title="What else was found",
        key_numbers=_key_numbers(points, weakest),
        basis=_basis(points, about),
        notices=[
            sentence(f"{flow_name(p.flow)}: {p.why}" + ("" if p.valid else "; this is no valid answer"))
            for p in points
            if not p.valid or stayed_down(p)
        ],
        chapters=chapters,
        facts=[
            (
                "a caucus night",
                [f"{flow}: {significant(rate, 3)} requests/s" for flow, rate in about.night_per_s.items()],
            )
        ],
    )


def _weakest(points: Sequence[BreakingPoint]) -> BreakingPoint:
    """The flow that breaks first, in nights; only a mixture is what a night really is."""
    return min(points, key=_order)


def _order(point: BreakingPoint) -> tuple[bool, float]:
    """By where they break; last, of which nothing is known."""
    return point.requests_per_s == (0, None), (point.nights or point.requests_per_s)[0]


def _more_findings(points: Sequence[BreakingPoint]) -> list[str]:
    found = []
    if len(points) == 1 and points[0].broke:
        found.append(sentence(f"what broke first: {objective_missed(points[0].broke[0])}"))
    void = sum(1 for point in points for tried in point.trials if tried.trial.void)
    if void:
        found.append(f"{plural(void, 'trial')} counted for nothing: the generator fell short, not the backend.")
    again = [
        one
        for point in points
        for one in point.recoveries
        if one.retries and one.amplification and one.metastable is not None
    ]
    if again:
        sent = [one.amplification or 0.0 for one in again]
        most = significant(max(sent), 2)
        less = f"{significant(min(sent), 2)} to " if significant(min(sent), 2) != most else ""
        found.append(
            f"Around an overload, clients that try {again[0].retries} times again sent {less}{most} requests for each "
            "that was wanted."
        )
    return found


def _key_numbers(points: Sequence[BreakingPoint], weakest: BreakingPoint) -> list[KeyNumber]:
    if len(points) > 1:
        ordered = sorted(points, key=lambda p: (p.nights or p.requests_per_s)[0])
        return [_breaks_at(point, flow_name(point.flow)) for point in ordered[:_MOST_KEY_NUMBERS]]
    low, high = weakest.requests_per_s
    found = [_breaks_at(weakest, "the busiest minute of caucus night" if weakest.nights else "breaking point")]
    if weakest.nights:
        found.append(_rate(low, high))
    came = weakest.recovery_s
    if weakest.recoveries and (came is not None or weakest.recoveries[0].metastable):
        value, meaning = (length(came), "until it recovers from an overload") if came is not None else (
            "never", "comes back by itself")  # fmt: skip
        found.append(KeyNumber(value, meaning))
    calm = [t.trial.latency_s(0.99) for t in weakest.trials if t.counts and t.judgement.holds]
    if calm:
        found.append(KeyNumber(latency(min(calm)), "99 % answered within, when calm"))
    return found


def _breaks_at(point: BreakingPoint, meaning: str) -> KeyNumber:
    if point.nights is None:
        return _rate(*point.requests_per_s, meaning)
    low, high = point.nights
    if high is None:
        return KeyNumber(f"{significant(low, 2)}+", meaning, "nothing broke", "nights")
    return KeyNumber(middle(low, high) if low else "0", meaning, f"{span(low, high)}, {CONFIDENCE:.0%} sure", "nights")


def _rate(low: float, high: float | None, meaning: str = "is the most that it takes") -> KeyNumber:
    if high is None:
        return KeyNumber(f"{significant(low, 3)}+", meaning, "nothing broke", "requests/s")
    value = middle(low, high) if low else "0"
    return KeyNumber(value, meaning, f"{span(low, high)}", "requests/s")


def _basis(points: Sequence[BreakingPoint], about: About) -> str:
    trials = [tried for point in points for tried in point.trials if tried.kind != "probe"]
    requests = sum(tried.trial.requests for tried in trials)
    took = length(sum(point.seconds for point in points))
    nights = (
        " One caucus night is the busiest minute, the 95th percentile over simulated nights."
        if about.night_per_s
        else ""
    )
    return (
        f"From {plural(len(trials), 'trial')} with {number(requests)} requests in {took}. Requests go out when they "
        "are due, whether or not those before were answered; latency counts from then. In parentheses: where the "
        f"breaking point lies with {CONFIDENCE:.0%} confidence.{nights}"
    )


# All flows


def _flows(points: Sequence[BreakingPoint]) -> Chapter:
    """Each flow's interval, the weakest at the top."""
    ordered = sorted(points, key=_order)
    in_nights = all(point.nights for point in points)
    unit = "caucus nights" if in_nights else "requests/s"
    ends = [(point.nights if in_nights else None) or point.requests_per_s for point in ordered]
    finding_ = "Where these flows break is not known"
    if ordered[0].requests_per_s[1] is not None:
        finding_ = sentence(f"{flow_name(ordered[0].flow)} breaks first").rstrip(".")

    def paint(sheet: Sheet) -> None:
        known = [end for pair in ends for end in pair if end]
        axes, low, high = flows_axes(sheet, [point.flow for point in ordered], known, f"breaking point, {unit}")
        for row, (first, last) in enumerate(ends):
            end = last or high
            axes.plot([max(first, low), end], [row, row], color=color("forecast"), linewidth=9, solid_capstyle="butt")
            text = (middle(first, last) if first and last else f"{significant(first, 2)}+") if first or last else "0"
            axes.annotate(text, (end, row), xytext=(8, 0), textcoords="offset points", va="center_baseline",
                          weight="bold", color=color("forecast"), annotation_clip=False)  # fmt: skip

    said = "; ".join(f"{point.flow}: {_interval(*end)}" for point, end in zip(ordered, ends, strict=True))
    height = 80 + 38 * len(ordered)
    key: Key = (("solid", f"breaking point, {CONFIDENCE:.0%} confidence"),)
    description = f"Intervals of the breaking point by flow, {unit}: {said}."
    picture = plot.draw("flows", finding_, description, paint, heights=(height, height), key=key)
    rows: list[list[str | Cell]] = []
    for point in ordered:
        nights = _interval(*point.nights) if point.nights else ""
        rows.append(
            [point.flow, nights, _interval(*point.requests_per_s),
             resource_name(point.limited_by) if point.limited_by else "", _recovers(point),
             "yes" if point.valid else Cell("no", "outside")]
        )  # fmt: skip
    head = ["flow", "nights", "requests/s", "ran out", "recovers", "valid"]
    table = Table("flows-table", "All flows", head, rows, text_columns=(0, 3))
    return Chapter("flows", "All flows", [Panel("flows-panel", finding_, picture=picture, more=[table])])


def _recovers(point: BreakingPoint) -> str:
    if point.metastable:
        return "metastable"
    if point.recovery_s is not None:
        return length(point.recovery_s)
    alone = next((found for found in point.recoveries if not found.retries), None)
    if alone is not None and alone.metastable is not None:
        return "not in time"
    return "not known" if point.recoveries or point.recovery_unknown else ""


def _interval(low: float, high: float | None) -> str:
    return (
        f"{significant(low, 3)} or more"
        if high is None
        else span(low, high)
        if low
        else f"below {significant(high, 3)}"
    )


# One flow


def _chapters(point: BreakingPoint, about: About, several: bool) -> list[Chapter]:
    counted = [tried for tried in point.trials if tried.counts]
    prefix = f"{point.flow}-" if several else ""
    label = f"{point.flow}: " if several else ""
    faults = [fault for fault in about.faults if fault.flow in (None, point.flow)]
    found = []
    if counted:
        found.append(_load_chapter(point, about, prefix, f"{label}load".capitalize()))
    if counted and any(isinstance(tried.trial, Trial) for tried in point.trials):
        found.append(_time_chapter(point, about, faults, prefix, f"{label}over time".capitalize()))
    found += _used_chapter(point, prefix, f"{label}resources".capitalize())
    if point.recoveries:
        found.append(_recovery_chapter(point, about, prefix, f"{label}recovery".capitalize()))
    elif point.recovery_unknown:
        why = sentence(typeset(point.recovery_unknown))
        panel = Panel(f"{prefix}recovery-panel", _NOT_KNOWN, [why])
        found.append(Chapter(f"{prefix}recovery-chapter", f"{label}recovery".capitalize(), [panel]))
    return found


def _load_chapter(point: BreakingPoint, about: About, prefix: str, label: str) -> Chapter:
    """Throughput and latency against offered load."""
    counted = sorted((t for t in point.trials if t.counts), key=lambda t: t.trial.offered_per_s)
    held = [t for t in counted if t.judgement.holds]
    broken = [t for t in counted if not t.judgement.holds]
    low, high = point.requests_per_s
    highest = 1.06 * max(t.trial.offered_per_s for t in counted)
    asked_s = objective_of_latency(about.objectives)
    rows = _by_load(counted)
    sentence_ = _load_finding(point, held, broken)

    def paint(sheet: Sheet) -> None:
        middle_ = int(sheet.height * 0.45)
        upper = sheet.axes(left=LEFT, right=RIGHT, top=30, bottom=middle_)
        lower = sheet.axes(left=LEFT, right=RIGHT, top=middle_ + 46, bottom=sheet.height - 62)
        load_axis(sheet, upper, highest, point.night_per_s, labels=False)
        load_axis(sheet, lower, highest, point.night_per_s)
        amount_axis(upper, max(t.trial.completed_per_s for t in counted) * 1.05)
        sheet.heading(upper, "Answered well while due, requests/s" if not sheet.narrow else "Answered well, requests/s")
        top = latency_axis(lower, [v for t in counted for v in (t.trial.latency_s(0.5), t.trial.latency_s(0.99))])
        sheet.heading(lower, "Latency from due")
        for axes in (upper, lower):
            if high is not None:
                axes.axvspan(low, high, color=color("fan-outer"), linewidth=0, zorder=0.4)
                for end in (low, high):
                    axes.axvline(end, color=color("forecast"), linewidth=0.7, zorder=0.5)
        reach = min(highest, upper.get_ylim()[1])
        upper.plot([0, reach], [0, reach], color=color("baseline"), linewidth=1, dashes=(2, 3))
        medians = [(row.offered, row.p50) for row in rows if row.p50 is not None]
        line(lower, [at for at, _ in medians], [value for _, value in medians])
        asked_line(lower, asked_s, top)
        for group, holds in ((held, True), (broken, False)):
            at = [t.trial.offered_per_s for t in group]
            dots(upper, at, [t.trial.completed_per_s for t in group], held=holds)
            latencies = [t.trial.latency_s(0.99) for t in group]
            dots(lower, at, [min(top, v) if math.isfinite(v) else top for v in latencies], held=holds)

    never = any(not math.isfinite(t.trial.latency_s(0.99)) for t in counted)
    key: Key = (
        ("line", "latency, median"),
        *((("dot", "a trial that held (p99)"),) if held else ()),
        *((("cross", "a trial that broke (p99)"),) if broken else ()),
        *((("outer", f"breaking point, {CONFIDENCE:.0%}"),) if high is not None else ()),
    )
    note = "Marks at the upper edge: one request in a hundred, or more, was not answered well." if never else ""
    if asked_s is not None and asked_s <= latency_span(t.trial.latency_s(0.99) for t in counted)[1]:
        note = f"The dashed line is the p99 that is asked for, {asked_s:g}{THIN}s. {note}".strip()
    said = "; ".join(f"{significant(row.offered, 3)}/s: p99 {latency(row.p99)}" for row in rows)
    picture = plot.draw(f"{prefix}load", sentence_, f"Throughput and latency against offered load. {said}.", paint,
                        heights=(520, 500), key=key)  # fmt: skip
    nights = bool(point.night_per_s)
    head = ["offered/s", *(["nights"] if nights else []), "p50", "p99", "errors", "held"]
    cells: list[list[str | Cell]] = [
        [significant(row.offered, 3),
         *([significant(row.offered / (point.night_per_s or 1), 2)] if nights else []),
         latency(row.p50), latency(row.p99), share(row.errors),
         Cell(f"{row.held}/{row.trials}", "" if row.held == row.trials else "outside")]
        for row in rows
    ]  # fmt: skip
    table = Table(f"{prefix}load-table", "By load (medians)", head, cells, text_columns=())
    panel = Panel(f"{prefix}load-panel", sentence_, picture=picture, table=table, note=note,
                  more=[_trials_table(point, f"{prefix}trials")])  # fmt: skip
    return Chapter(f"{prefix}load-chapter", label, [panel])


def _load_finding(point: BreakingPoint, held: Sequence[Tried], broken: Sequence[Tried]) -> str:
    low, high = point.requests_per_s
    if high is None:
        return f"Every objective held up to {per_s(low)}" if low else "No trial says how much it takes"
    if not held:
        return f"No load was held, down to {per_s(high)}"
    before = statistics.median(t.trial.latency_s(0.99) for t in held)
    past = [t for t in broken if t.trial.offered_per_s > high * 1.2]
    if past:
        least = min(past, key=lambda t: t.trial.completed_per_s / t.trial.offered_per_s).trial
        kept = least.completed_per_s / least.offered_per_s
        return (
            f"Up to {per_s(low)} 99{THIN}% are answered within {latency(before)}; at {per_s(least.offered_per_s)} "
            f"only {percent(kept)} are answered well in time"
        )
    return f"Up to {per_s(low)} 99{THIN}% are answered within {latency(before)}, from {per_s(high)} on not"


class _Row:
    """Repeated trials of about one load."""

    def __init__(self, group: Sequence[Tried]) -> None:
        self.offered = statistics.median(t.trial.offered_per_s for t in group)
        self.p50 = _finite_median([t.trial.latency_s(0.5) for t in group])
        self.p99 = _finite_median([t.trial.latency_s(0.99) for t in group])
        self.errors = statistics.median(t.trial.error_share for t in group)
        self.trials = len(group)
        self.held = sum(t.judgement.holds for t in group)


def _finite_median(values: Sequence[float]) -> float | None:
    value = statistics.median_high(values)
    return value if math.isfinite(value) else None


def _by_load(counted: Sequence[Tried]) -> list[_Row]:
    groups: list[list[Tried]] = []
    for tried in counted:
        if groups and tried.trial.offered_per_s <= groups[-1][0].trial.offered_per_s * _SAME:
            groups[-1].append(tried)
        else:
            groups.append([tried])
    return [_Row(group) for group in groups]


def _trials_table(point: BreakingPoint, name: str) -> Table:
    rows: list[list[str | Cell]] = []
    for number_, tried in enumerate(point.trials, 1):
        trial = tried.trial
        if trial.void is not None:
            verdict: str | Cell = Cell(f"void: {typeset(trial.void)}", "outside")
        elif tried.kind == "probe":
            verdict = "is it well again?"
        elif tried.judgement.holds:
            verdict = "held"
        else:
            verdict = "broke: " + "; ".join(typeset(found.shown) for found in tried.judgement.broken)
        rows.append(
            [str(number_), length(tried.begins_s), length(trial.seconds), significant(trial.offered_per_s, 4),
             latency(trial.latency_s(0.5)), latency(trial.latency_s(0.99)), share(trial.error_share), verdict]
        )  # fmt: skip
    head = ["trial", "began", "lasted", "offered/s", "p50", "p99", "errors", "verdict"]
    return Table(name, "Every trial", head, rows, text_columns=(0, 7))


# Over time


def _time_chapter(point: BreakingPoint, about: About, faults: Sequence[Fault], prefix: str, label: str) -> Chapter:
    """What was offered and answered, and how fast, over the search."""
    at: list[float] = []
    offered: list[float | None] = []
    good: list[float | None] = []
    p50: list[float | None] = []
    p99: list[float | None] = []
    lost_edges: list[float] = []
    for tried in point.trials:
        if not isinstance(tried.trial, Trial):
            continue
        for second in tried.trial.sample.by_second():
            at.append(tried.begins_s + second["second"] + 0.5)
            width = min(1.0, max(0.2, tried.trial.seconds - second["second"]))
            offered.append(second["due"] / width)
            good.append(second["good"] / width)
            p50.append(second["p50_s"])
            p99.append(second["p99_s"])
            if second["due"] and second["p99_s"] is None:
                lost_edges.append(at[-1])
        at.append(at[-1] + 0.5 if at else tried.begins_s)  # lines stop between trials
        for row in (offered, good, p50, p99):
            row.append(None)
    last = max(point.seconds, max(at, default=1.0))
    counted = [tried for tried in point.trials if tried.kind != "probe"]
    sentence_ = f"{plural(len(counted), 'trial')} in {length(point.seconds)}"
    probes = len(point.trials) - len(counted)
    sentence_ += f", and {plural(probes, 'look')} whether it was well again" if probes else ""
    sentence_ += under(faults)
    course = Course(
        at, offered, good, (p50, p99), lost_edges, "Latency from due, p50 and p99",
        asked_s=objective_of_latency(about.objectives), faults=faults,
    )  # fmt: skip

    def paint(sheet: Sheet) -> None:
        course.paint(
            sheet,
            lambda axes, labels: seconds_axis(sheet, axes, 0, last, "since the start of the search", labels=labels),
        )

    key: Key = (
        ("line", "answered well; latency, median"),
        ("dashed", "latency, p99"),
        *((("cross", "over 1 % not answered well"),) if lost_edges else ()),
    )
    said = "; ".join(f"{length(t.begins_s)}: {significant(t.trial.offered_per_s, 3)}/s" for t in counted)
    picture = plot.draw(f"{prefix}time", sentence_, f"Load and latency over the search. Trials: {said}.", paint,
                        heights=(430, 420), key=key)  # fmt: skip
    note = "Gray: what was offered. Each trial begins when the backend is well again."
    table, more = _seconds_table(point, f"{prefix}time-table"), faults_table(faults, f"{prefix}faults")
    panel = Panel(f"{prefix}time-panel", sentence_, picture=picture, note=note, table=table, more=more)
    return Chapter(f"{prefix}time-chapter", label, [panel])


def _seconds_table(point: BreakingPoint, name: str) -> Table:
    rows: list[list[str | Cell]] = [
        [length(t.begins_s), significant(t.trial.offered_per_s, 3), latency(t.trial.latency_s(0.99)),
         "void" if t.trial.void else "held" if t.judgement.holds else Cell("broke", "outside")]
        for t in point.trials
        if t.kind != "probe"
    ]  # fmt: skip
    return Table(name, "Trials in their order", ["began", "offered/s", "p99", ""], rows, text_columns=(0,))


# What was used


def _used_chapter(point: BreakingPoint, prefix: str, label: str) -> list[Chapter]:
    """What was used where it held, and where it broke: what ran out can be checked."""
    counted = [tried for tried in point.trials if tried.counts]
    groups = [[t.trial.resources for t in counted if t.judgement.holds is holds] for holds in (True, False)]
    names = {name for group in groups for used in group for name in used}
    head = ["", "held", "broke"]
    rows: list[list[str | Cell]] = []
    gauges: list[list[str | Cell]] = []

    def medians(name: str, shown: str) -> list[str]:
        found = [[used[name] for used in group if name in used] for group in groups]
        return ["" if not each else shown.format(statistics.median(each)) for each in found]

    for name in sorted(names, key=_used_order):
        owner, _, what = name.partition(".")
        if owner == "metrics":
            gauges.append([what, *medians(name, "{:,.0f}")])
        elif what in _USED:
            meaning, shown = _USED[what]
            rows.append(["machine: busiest core" if name == "machine.cpu" else f"{owner}: {meaning}",
                         *medians(name, shown)])  # fmt: skip
    if not rows:
        return []
    finding_ = "Nothing broke, whatever was used"
    if point.requests_per_s[1] is not None:
        ran_out = resource_name(point.limited_by) if point.limited_by else "nothing that was watched"
        finding_ = f"{ran_out[:1].upper()}{ran_out[1:]} ran out where it broke"
    table = Table(f"{prefix}used-table", "What was used (medians of trials)", head, rows)
    more = [Table(f"{prefix}gauges-table", "The most that its own gauges showed", head, gauges)] if gauges else []
    return [Chapter(f"{prefix}used-chapter", label, [Panel(f"{prefix}used-panel", finding_, table=table, more=more)])]


def _used_order(name: str) -> tuple[bool, str]:
    """The backend first, then who made load, and the machine."""
    return name.startswith(("generator.", "machine.")), name


# Recovery


def _recovery_chapter(point: BreakingPoint, about: About, prefix: str, label: str) -> Chapter:
    recoveries = point.recoveries
    before, overload, after = recoveries[0].phases
    sentence_ = _recovery_finding(recoveries)
    asked_s = objective_of_latency(about.objectives)

    def paint(sheet: Sheet) -> None:
        axes = sheet.axes(left=LEFT, right=RIGHT, top=30, bottom=sheet.height - 46)
        first, last = -(before.seconds + overload.seconds), after.seconds
        seconds_axis(sheet, axes, first, last, "since the end of the overload")
        top = latency_axis(axes, [window.p99_s for found in recoveries for window in found.windows])
        sheet.heading(axes, "Latency from due, p99")
        axes.axvspan(-overload.seconds, 0, color=color("rule"), linewidth=0, zorder=0.4)
        sheet.label(axes, 0, axes.get_ylim()[1], "overload", "muted", above=False, to_the_left=True, offset=4)
        asked_line(axes, asked_s, top)
        for number_, found in enumerate(recoveries):
            at = [window.at_s + window.seconds / 2 for window in found.windows]
            name = "forecast" if number_ == 0 else "second"
            line(axes, at, [window.p99_s for window in found.windows], name, dashed=number_ > 0)
            bad = [x for x, window in zip(at, found.windows, strict=True) if not math.isfinite(window.p99_s)]
            unanswered(axes, bad, top)
            if found.recovery_s is not None:
                axes.axvline(found.recovery_s, color=color(name), linewidth=1, dashes=(2, 2))

    bad = any(not math.isfinite(window.p99_s) for found in recoveries for window in found.windows)
    key: Key = (
        ("line", _clients(recoveries[0])),
        *((("dashed", _clients(recoveries[1])),) if len(recoveries) > 1 else ()),
        *((("cross", "over 1 % not answered well"),) if bad else ()),
    )
    said = "; ".join(f"{_clients(found)}: {_came_back(found)}" for found in recoveries)
    picture = plot.draw(f"{prefix}recovery", sentence_, f"p99 before, during and after an overload. {said}.", paint,
                        heights=(330, 320), key=key)  # fmt: skip
    rows: list[list[str | Cell]] = [
        [_clients(found), _came_back(found), _few(found.amplification), _few(found.amplification_at_end)]
        for found in recoveries
    ]
    table = Table(f"{prefix}recovery-table", "After the overload",
                  ["clients", "recovers", "sent for each", "at the end"], rows, text_columns=(0,))  # fmt: skip
    text = (
        f"{per_s(before.per_s)} for {length(before.seconds)}, then {per_s(overload.per_s)} for "
        f"{length(overload.seconds)}, then {per_s(after.per_s)} again. It counts as recovered once every objective "
        f"holds for {length(HOLDS_S)}."
    )
    why = [sentence(typeset(found.why)) for found in recoveries if found.why]
    if point.recovery_unknown:
        more = "what clients do to it that try again" if point.recovery_s is not None else "more"
        why.append(sentence(typeset(f"{more} is not known: {point.recovery_unknown}")))
    note = " ".join(dict.fromkeys(why))
    windows = [_windows_table(found, f"{prefix}windows-{number_}") for number_, found in enumerate(recoveries)]
    panel = Panel(f"{prefix}recovery-panel", sentence_, [text], picture, table, windows, note)
    return Chapter(f"{prefix}recovery-chapter", label, [panel])


def _windows_table(found: Recovery, name: str) -> Table:
    rows: list[list[str | Cell]] = [
        [f"{window.at_s:.0f}", number(window.requests), number(window.attempts), percent(window.good_share),
         latency(window.p50_s), latency(window.p99_s), "yes" if window.holds else Cell("no", "outside")]
        for window in found.windows
    ]  # fmt: skip
    head = ["s", "wanted", "sent", "answered well", "p50", "p99", "holds"]
    return Table(name, f"By seconds, {_clients(found)}", head, rows)


def _recovery_finding(recoveries: Sequence[Recovery]) -> str:
    alone = next((found for found in recoveries if not found.retries), None)
    insisting = next((found for found in recoveries if found.retries), None)
    if alone is None or alone.metastable is None:
        if insisting is not None and insisting.metastable:
            return "It stays down after an overload while clients try again: it is metastable"
        return _NOT_KNOWN
    if alone.recovery_s is None:
        return "It does not come back from an overload by itself" + (": it is metastable" if alone.metastable else "")
    said = (
        f"It comes back {f'{length(alone.recovery_s)} after' if alone.recovery_s else 'as soon as'} the overload ends"
    )
    if insisting is None or insisting.metastable is None:
        return said
    if insisting.metastable:
        return f"{said}, but stays down while clients try again: it is metastable"
    if insisting.recovery_s is not None:
        later = f"{length(insisting.recovery_s)} after it" if insisting.recovery_s else "at once"
        return f"{said}, and {later} where clients try again"
    return said


def _clients(found: Recovery) -> str:
    return f"clients that try {found.retries} times again" if found.retries else "clients that try once"


def _came_back(found: Recovery) -> str:
    if found.metastable is None:
        return "not known"
    if found.recovery_s is None:
        return "never (metastable)" if found.metastable else "not in time"
    return f"in {length(found.recovery_s)}" if found.recovery_s else "at once"


def _few(value: float | None) -> str:
    return "" if value is None else significant(value, 2)
