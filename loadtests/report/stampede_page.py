"""The page of a stampede on the public results: what the readers get, and what it does to the reports meanwhile."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from loadtests.report.answer import with_ledger
from loadtests.report.drawing import Course, seconds_axis
from loadtests.report.frame import (
    faults_table,
    framed,
    ledger_chapter,
    objective_of_latency,
    resources_chapter,
    void_notice,
)
from loadtests.report.run_folder import About
from loadtests.report.words import latency, length, per_s, sentence, share, significant
from loadtests.traffic.stampede import PUBLIC, REPORTS, Stampeded
from loadtests.trial import SECOND, Trial, finite_quantile
from simulation.report import plot
from simulation.report.chapter import Cell, Chapter, KeyNumber, Panel, Table
from simulation.report.plot import Key, Sheet, color
from simulation.words import THIN, number, plural

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_PROBLEMS = 3
_MANY = 100  # of fewer, the 99th in a hundred is the slowest
_NOBODY = {PUBLIC: "no readers came", REPORTS: "no reports were sent"}


def story(found: Stampeded) -> str:
    """What came of it, in a sentence."""
    shape = found.shape
    if found.trial.void is not None:
        return f"this run says nothing about the backend, because {found.trial.void}"
    calm, rushed = (found.part(REPORTS, when) for when in ("before", "during"))
    public = found.part(PUBLIC, "during")
    answers = [_answered(part, who) for part, who in ((public, "readers"), (rushed, "reports")) if part.requests]
    if rushed.requests and calm.requests:
        answers[-1] += f" (before: {_within(calm)})"
    told = [", ".join(answers)] if answers else []
    told += [nobody for who, nobody in _NOBODY.items() if not found.part(who, "during").requests]
    told += [_over(found)] if found.goes_on else []
    meanwhile = ", while reports come in" if rushed.requests else ""
    return (
        f"{significant(shape.surge_per_s, 2)} readers' requests a second for {length(shape.length_s)}{meanwhile}: "
        f"{'; '.join(told)}"
    )


def _answered(part: Trial, who: str) -> str:
    """How soon nearly all were answered well; of less than a hundred, all."""
    if not math.isfinite(part.latency_s(0.99)):
        return f"{share(part.error_share)} of the {who} are not answered well"
    return f"{_nearly_all(part, who)} are answered {_within(part)}"


def _nearly_all(part: Trial, who: str) -> str:
    return f"99{THIN}% of the {who}" if part.requests >= _MANY else f"all {part.requests} {who}"


def _within(part: Trial) -> str:
    p99_s = part.latency_s(0.99)  # of less than a hundred the slowest
    return f"within {latency(p99_s)}" if math.isfinite(p99_s) else f"{share(part.error_share)} not answered well"


def _over(found: Stampeded) -> str:
    """What became of it afterwards, as far as that was seen."""
    over = found.over_after_s
    if over is None:
        return f"within {length(found.shape.after_s)} of its end not every objective held again"
    return f"every objective held again {length(over)} after its end" if over else "every objective held after its end"


def page(found: Stampeded, about: About) -> str:
    """The page; equal input gives equal text."""
    shape, trial = found.shape, found.trial
    return framed(
        about,
        story=with_ledger(story(found), about.ledger),
        findings=_findings(found),
        found_title="What was found",
        key_numbers=_key_numbers(found),
        basis=(
            f"The night at {per_s(shape.night_per_s)} all the time: log-ins, reports, photos, hotline entries and "
            "readers, each as in its own busiest minute. The stampede comes on top. Requests go out when they are due; "
            "latency counts from then."
        ),
        notices=void_notice(trial),
        chapters=[
            _over_time(found, about),
            _parts(found),
            *ledger_chapter(about.ledger),
            *resources_chapter(trial.resources),
        ],
        facts=[
            ("stampede", [f"{per_s(shape.surge_per_s)} from {length(shape.before_s)} on for {length(shape.length_s)}"])
        ],
    )


def _findings(found: Stampeded) -> list[str]:
    told: list[str] = []
    if found.trial.void is not None:
        return told
    for who in (PUBLIC, REPORTS):
        judged = found.judged(who, "during")
        if not found.part(who, "during").requests:
            told.append(sentence(f"{_NOBODY[who]} while the stampede lasted"))
        elif judged.broken:
            told.append(
                sentence(f"{who} missed, while the stampede lasted: {', '.join(one.shown for one in judged.broken)}")
            )
        else:
            told.append(sentence(f"{who} met every objective while the stampede lasted"))
    told += [sentence(_over(found))] if found.goes_on else []
    problems = sorted(found.trial.problems.items(), key=lambda one: -one[1])[:_MOST_PROBLEMS]
    return told + [f"{plural(count, 'time', 'times')}: {problem}." for problem, count in problems]


def _key_numbers(found: Stampeded) -> list[KeyNumber]:
    numbers = [KeyNumber(significant(found.shape.surge_per_s, 2), "readers come at once", behind="requests/s")]
    for of, who in ((PUBLIC, "readers"), (REPORTS, "reports meanwhile")):
        part = found.part(of, "during")
        label = f"{_nearly_all(part, who)} answered within"
        if part.requests:
            numbers.append(KeyNumber(latency(part.latency_s(0.99)), label, share(part.error_share) + " errors"))
    if found.trial.void is None and found.goes_on:  # it is a judgement
        over = found.over_after_s
        shown = "never" if over is None else length(over)
        numbers.append(KeyNumber(shown, "until all is as before", "from the end of the stampede"))
    return numbers


def _over_time(found: Stampeded, about: About) -> Chapter:
    sample, shape = found.trial.sample, found.shape
    public = np.array([name.startswith("results") for name in sample.operations], bool)[sample.operation]
    count = math.ceil(sample.seconds)
    second = np.minimum((sample.due // SECOND).astype(np.int64), count - 1)
    at = [k + 0.5 for k in range(count)]
    offered = np.bincount(second, minlength=count).astype(float).tolist()
    good = np.bincount(second[sample.ok], minlength=count).astype(float).tolist()
    p99 = {
        who: [finite_quantile(np.sort(sample.latency_s[(second == k) & mine]), 0.99) for k in range(count)]
        for who, mine in ((PUBLIC, public), (REPORTS, ~public))
    }
    bad = [at[k] for k in range(count) if np.any(~sample.ok[second == k])]
    asked_s = objective_of_latency(about.objectives)
    calm, rushed = (found.part(REPORTS, when) for when in ("before", "during"))
    calm_s, rushed_s = calm.latency_s(0.99), rushed.latency_s(0.99)
    if found.trial.void is not None:
        finding = "Latency with a generator that fell short: how much of it is the backend's is not known"
    elif not rushed.requests:
        finding = "What readers get; no reports were sent meanwhile"
    elif rushed.requests < _MANY:
        finding = f"While readers stampede, the slowest of {rushed.requests} reports takes {latency(rushed_s)}"
    elif not calm.requests:
        finding = f"While readers stampede, reports take up to {latency(rushed_s)} (p99)"
    elif math.isfinite(rushed_s) and rushed_s <= 2 * calm_s + 0.01:
        finding = "The stampede does not reach the reports: their p99 stays as it was"
    else:
        finding = f"While readers stampede, reports take up to {latency(rushed_s)} (p99) instead of {latency(calm_s)}"
    if rushed.requests and not math.isfinite(rushed_s):
        finding = f"While readers stampede, {share(rushed.error_share)} of the reports are not answered well"
        if calm.requests and not math.isfinite(calm_s):
            finding += f", {share(calm.error_share)} before the stampede already"

    course = Course(
        at, offered, good, (p99[PUBLIC], p99[REPORTS]), bad, "Latency from due, p99", asked_s=asked_s,
        faults=about.faults,
    )  # fmt: skip

    def paint(sheet: Sheet) -> None:
        def time_axis(axes: Axes, labels: bool) -> None:
            seconds_axis(sheet, axes, 0, shape.seconds, "since the start", labels=labels)
            axes.axvspan(
                shape.before_s, shape.before_s + shape.length_s, color=color("fan-outer"), linewidth=0, zorder=0.3
            )

        course.paint(sheet, time_axis)

    key: Key = (
        ("line", "answered well; public results"),
        ("dashed", "reports and log-ins"),
        ("outer", "the stampede"),
        *((("cross", "something was not answered well"),) if bad else ()),
    )
    rows: list[list[str | Cell]] = []
    for first in range(0, count, 10):
        within = (second >= first) & (second < first + 10)
        shown = []
        for who, mine in ((PUBLIC, public), (REPORTS, ~public)):
            known = [value for value in p99[who][first : first + 10] if value is not None]
            shown.append(latency(max(known, default=None)) if np.any(within & mine) else "")
        rows.append([length(first), number(int(np.count_nonzero(within))), *shown])
    said = "; ".join(f"{row[0]}: readers {row[2]}, reports {row[3]}" for row in rows)
    picture = plot.draw("stampede", finding, f"Load and p99 by seconds. {said}.", paint, heights=(430, 420), key=key)
    table = Table(
        "stampede-table", "The slowest of ten seconds (p99)", ["from", "requests", "readers", "reports"], rows
    )
    note = "Gray: what was due."
    panel = Panel("stampede-panel", finding, picture=picture, table=table, note=note,
                  more=faults_table(about.faults, "faults"))  # fmt: skip
    return Chapter("over-time", "Over time", [panel])


def _parts(found: Stampeded) -> Chapter:
    rows: list[list[str | Cell]] = []
    for who in (PUBLIC, REPORTS):
        for when in ("before", "during", "after"):
            trial = found.part(who, when)
            if not trial.requests:
                continue
            errors = trial.error_share
            shown = [latency(trial.latency_s(q)) for q in (0.5, 0.9, 0.99, 1.0)]
            failed = Cell(share(errors), "outside" if errors else "")
            rows.append([f"{who}, {when}", number(trial.requests), *shown, failed])
    table = Table("parts-table", "Who, and when", ["", "requests", "p50", "p90", "p99", "longest", "errors"], rows)
    return Chapter("parts", "In figures", [Panel("parts-panel", "Before, during and after", table=table)])
