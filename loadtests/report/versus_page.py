"""The page of two runs compared: their intervals by flow, and how each answered at each load."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Any

from loadtests.report.drawing import LEFT, RIGHT, flows_axes, latency_axis, line, load_axis
from loadtests.report.frame import KINDS
from loadtests.report.versus import Compared, Run, differing
from loadtests.report.words import flow_name, latency, sentence, significant, span, typeset
from simulation.report import plot
from simulation.report.chapter import Cell, Chapter, Panel, Table
from simulation.report.pages import page as rendered
from simulation.report.plot import Key, Sheet, color

_SAME = 1.02


def page(a: Run, b: Run, found: Sequence[Compared], command: str) -> str:
    """The page; equal input gives equal text."""
    apart = [one for one in found if one.differs]
    story = "No flow differs by more than luck: all intervals overlap."
    if apart:
        story = sentence("; ".join(typeset(one.says) for one in apart))
    elif any(one.differs is None for one in found):
        story = "No flow is known to differ by more than luck: where intervals lie apart, not both answers are valid."
    others = differing(a, b)
    return rendered(
        "loadtests.report:load.html",
        kind=KINDS["diff"],
        title=str(a.result.get("title") or "Two runs"),
        story=story,
        key_numbers=[],
        findings=[sentence(typeset(one.says)) for one in found],
        found_title="Flow by flow",
        notices=[f"{flow_name(one.flow).capitalize()}: not both answers are valid." for one in found if not one.valid],
        basis=f"A is {a.folder}, B is {b.folder}. Intervals hold the breaking point with 95 % confidence each.",
        chapters=[_intervals(found), *(_curves(one, a, b) for one in found)],
        command=command,
        facts=[("differs besides", others or ["nothing"])],
    )


def _intervals(found: Sequence[Compared]) -> Chapter:
    in_nights = all(one.a_nights and one.b_nights for one in found)
    unit = "caucus nights" if in_nights else "requests/s"
    ends = [((one.a_nights, one.b_nights) if in_nights else (one.a, one.b)) for one in found]
    apart = sum(bool(one.differs) for one in found)
    finding = f"{apart} of {len(found)} {'flows differ' if len(found) > 1 else 'flow differs'} by more than luck"

    def paint(sheet: Sheet) -> None:
        known = [value for pair in ends for one in pair if one for value in one if value]
        axes, low, high = flows_axes(sheet, [one.flow for one in found], known, f"breaking point, {unit}")
        for row, pair in enumerate(ends):
            for one, name, place in zip(pair, ("forecast", "second"), (-0.16, 0.16), strict=True):
                if one is not None:
                    left, right = max(one[0], low), one[1] or high
                    axes.plot([left, right], [row + place] * 2, color=color(name), linewidth=7, solid_capstyle="butt")
                    axes.annotate("A" if place < 0 else "B", (right, row + place), xytext=(6, 0), weight="bold",
                                  textcoords="offset points", va="center_baseline", color=color(name))  # fmt: skip

    rows: list[list[str | Cell]] = []
    for one, pair in zip(found, ends, strict=True):
        ratio = "" if one.ratio is None else span(*one.ratio)
        differs = Cell("no") if one.overlaps else Cell("yes", "outside") if one.valid else Cell("not known")
        rows.append([one.flow, *(_ends(each) for each in pair), ratio, differs])
    said = "; ".join(f"{row[0]}: A {row[1]}, B {row[2]}" for row in rows)
    height = 90 + 46 * len(found)
    picture = plot.draw("intervals", finding, f"Breaking points of both runs, {unit}: {said}.", paint,
                        heights=(height, height), key=(("line", "A"), ("dashed", "B")))  # fmt: skip
    table = Table("intervals-table", f"Breaking points, {unit}", ["flow", "A", "B", "B in A", "differs"], rows)
    return Chapter("intervals", "Breaking points", [Panel("intervals-panel", finding, picture=picture, table=table)])


def _ends(pair: tuple[float, float | None] | None) -> str:
    if pair is None:
        return ""
    return f"{significant(pair[0], 3)} or more" if pair[1] is None else span(pair[0], pair[1])


def _curves(one: Compared, a: Run, b: Run) -> Chapter:
    rows_of = {name: _by_load(run.points[one.flow]["trials"]) for name, run in (("A", a), ("B", b))}
    highest = 1.06 * max((row[0] for rows in rows_of.values() for row in rows), default=1.0)
    night = a.points[one.flow].get("night_per_s")
    finding = f"How {flow_name(one.flow)} answered at each load"

    def paint(sheet: Sheet) -> None:
        axes = sheet.axes(left=LEFT, right=RIGHT, top=30, bottom=sheet.height - 62)
        load_axis(sheet, axes, highest, night)
        latency_axis(axes, [value for rows in rows_of.values() for row in rows for value in row[1:]])
        sheet.heading(axes, "Latency from due, p99")
        for name, drawn in (("A", "forecast"), ("B", "second")):
            rows = rows_of[name]
            line(axes, [row[0] for row in rows], [row[2] for row in rows], drawn, dashed=name == "B")
        for ends, drawn in ((one.a, "forecast"), (one.b, "second")):
            for end in ends:
                if end is not None:
                    axes.axvline(end, color=color(drawn), linewidth=0.8)

    key: Key = (("line", "A"), ("dashed", "B"))
    said = "; ".join(f"{name}: {len(rows)} loads" for name, rows in rows_of.items())
    picture = plot.draw(f"{one.flow}-curves", finding, f"p99 against offered load in both runs. {said}.", paint,
                        heights=(330, 320), key=key)  # fmt: skip
    cells = [
        [name, significant(row[0], 3), latency(row[1]), latency(row[2])]
        for name, rows in rows_of.items()
        for row in rows
    ]
    table = Table(f"{one.flow}-curves-table", "By load (medians)", ["run", "offered/s", "p50", "p99"], cells)
    note = "Thin lines are the ends of each interval."
    panel = Panel(f"{one.flow}-curves-panel", finding, picture=picture, table=table, note=note)
    return Chapter(f"{one.flow}-curves-chapter", one.flow.capitalize(), [panel])


def _by_load(trials: Sequence[dict[str, Any]]) -> list[tuple[float, float | None, float | None]]:
    """Offered, p50 and p99: medians over repeated trials of about one load."""
    counted = sorted(
        (one for one in trials if one["void"] is None and one["kind"] != "probe"), key=lambda one: one["offered_per_s"]
    )
    groups: list[list[dict[str, Any]]] = []
    for one in counted:
        if groups and one["offered_per_s"] <= groups[-1][0]["offered_per_s"] * _SAME:
            groups[-1].append(one)
        else:
            groups.append([one])
    return [(statistics.median(one["offered_per_s"] for one in group), _middle(group, "p50_s"), _middle(group, "p99_s"))
            for group in groups]  # fmt: skip


def _middle(group: Sequence[dict[str, Any]], name: str) -> float | None:
    value = statistics.median_high(math.inf if one[name] is None else one[name] for one in group)
    return value if math.isfinite(value) else None
