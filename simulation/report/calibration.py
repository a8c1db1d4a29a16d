"""The page of a calibration: what an observed curve says about the assumptions, and whether the result explains it.

Takes what the calibration came to; knows nothing of how it is found out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from simulation.experiment.calibration import Calibration, Fit, Marginal
from simulation.experiment.run_file import versions
from simulation.night.curves import STEP
from simulation.report import plot
from simulation.report.chapter import Cell, Chapter, KeyNumber, Panel, Table
from simulation.report.pages import page as rendered
from simulation.report.plot import Sheet, color
from simulation.words import DASH, JOINED, MINUS, THIN, capitalized, clock, duration, number, plural, spelled

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHOWN = 8  # assumptions in the picture; the table has all
BINS = 20
NAME, TALL, ENDS, GAP = 22, 46, 20, 18  # heights in a picture: a name, its histogram, the range's ends, what follows
LABEL = 92  # of the width: the clock time beside a band
ROW = 30
WHAT = {"reported": "held by headquarters", "released": "released", "hold": "on hold until answered"}


def page(found: Calibration, command: str, engine: str) -> str:
    """The page; equal input gives equal text. `command` repeats it; `engine` played its nights."""
    basis = (
        f"From {number(found.draws)} nights drawn from all over the ranges, and {number(found.checks)} nights of the "
        "calibrated scenario. Bands hold nine nights in ten."
    )
    chapters = [_informed(found), _fit(found)]
    return rendered(
        "experiment.html",
        kind="Calibration of a caucus night",
        title=found.scenario.spec.title,
        story=headline(found),
        key_numbers=_key_numbers(found),
        findings=[chapter.panels[0].finding for chapter in chapters],
        basis=basis,
        chapters=chapters,
        command=command,
        facts=_facts(found, engine),
    )


def _facts(found: Calibration, engine: str) -> list[tuple[str, list[str]]]:
    distance = (
        "root mean square, over the curve's figures, of the deviation from the observed one in units of the spread "
        "over all draws (median absolute deviation, as a standard deviation)"
    )
    informed = (
        "a Kolmogorov-Smirnov test of the accepted draws against even ones, at a false discovery rate of "
        f"5{THIN}% (Benjamini-Hochberg); p is so adjusted"
    )
    nearest = f"the {number(len(found.accepted))} nearest draws, up to a distance of {found.tolerance:.2f}"
    return [
        ("scenario", [found.scenario.name]),
        ("curve", [found.curve.name]),
        ("seed", [str(found.seed)]),
        ("draws", ["a Latin hypercube over all ranges, each draw in a night of its own"]),
        ("distance", [distance, *_without_spread(found)]),
        ("accepted", [nearest]),
        ("informed", [informed]),
        ("precincts", [found.scenario.roster.source]),
        ("engine", [engine]),
        ("versions", [f"{name} {version}" for name, version in sorted(versions().items())]),
    ]


def headline(found: Calibration) -> str:
    """What the curve says, in a sentence or two."""
    informed, of = found.informed, len(found.marginals)
    if not informed:
        return (
            f"The curve tells nothing about any of the {plural(of, 'assumption')}: nights from all over their ranges "
            "come equally near to it."
        )
    rest = " On all the others it is silent: they keep their ranges." if len(informed) < of else ""
    what = "one: it narrows" if len(informed) == 1 else f"{spelled(len(informed))}, most of all"
    return (
        f"Of {plural(of, 'number')} that nobody knows, the curve informs {what} {informed[0].assumption.key} to "
        f"{informed[0].range}.{rest}"
    )


def _without_spread(found: Calibration) -> list[str]:
    still = [fit.point.label for fit in found.fits if not fit.scale]
    return [f"without {', '.join(still)}, where all nights are alike"] if still else []


def _key_numbers(found: Calibration) -> list[KeyNumber]:
    inside = sum(fit.is_inside for fit in found.fits)
    before = sum(fit.was_inside for fit in found.fits)
    numbers = [
        KeyNumber(number(len(found.accepted)), f"draws of {number(found.draws)} accepted"),
        KeyNumber(f"{len(found.informed)} of {len(found.marginals)}", "assumptions are informed by the curve"),
        KeyNumber(f"{inside} of {len(found.fits)}", "observed figures lie in the calibrated band", f"{before} before"),
    ]
    width = _narrower(found)
    if width is not None:
        numbers.append(KeyNumber(f"{width * 100:.0f}{THIN}%", "is left of the bands' width, on average"))
    return numbers


def _narrower(found: Calibration) -> float | None:
    ratios = [(f.after[2] - f.after[0]) / (f.before[2] - f.before[0]) for f in found.fits if f.before[2] > f.before[0]]
    return sum(ratios) / len(ratios) if ratios else None


# What the curve informs


def informed_finding(found: Calibration) -> str:
    """The sentence above the histograms."""
    informed = found.informed
    if not informed:
        return "The curve leaves every assumption where it was"
    first = informed[0]
    is_range = " to " in first.range
    lies = f"lies between {first.range.replace(' to ', ' and ')}" if is_range else f"is {first.range}"
    return f"{first.assumption.key} {lies}, not anywhere from {first.assumption.range}"


def _informed(found: Calibration) -> Chapter:
    informed = found.informed
    sentence = informed_finding(found)
    rest = sorted((m for m in found.marginals if not m.is_informed), key=lambda m: m.adjusted_p)
    tested = [
        [
            m.assumption.key,
            m.assumption.meaning,
            _whole(m.assumption.range),
            _whole(m.range) if m.is_informed else "",
            _p(m),
        ]
        for m in (*informed, *rest)
    ]
    caption = f"All {plural(len(tested), 'assumption')}, with p: how often chance alone would do as much"
    head = ["Assumption", "what it is", "before", "after", "p"]
    more = [Table("tested-table", caption, head, tested, text_columns=(0, 1, 2, 3))]
    if not informed:
        text = "Nights from all over the ranges come equally near to the curve; the calibrated night is the old one."
        return Chapter("informed", "Assumptions", [Panel("informed-panel", sentence, [text], more=more)])
    rows = [[m.assumption.key, _whole(m.assumption.range), _whole(m.range)] for m in informed]
    table = Table("informed-table", "What the curve informs", ["Assumption", "before", "after"], rows, usual=2)
    if found.correlations:
        more.append(
            Table("together-table", "How the informed ones go together (rank correlation of the accepted draws)",
                  ["One", "another", "correlation"],
                  [[one, other, f"{value:+.2f}".replace("-", MINUS)] for one, other, value in found.correlations],
                  text_columns=(0, 1))
        )  # fmt: skip
    texts = [_what_is_left(informed)]
    strongest = [pair for pair in found.correlations if abs(pair[2]) >= 0.3]
    if strongest:
        one, other, value = strongest[0]
        way = "the more of one, the more of the other" if value > 0 else "the more of one, the less of the other"
        texts.append(f"They are not free of each other: of {one} and {other}, {way} is what the curve allows.")
    for end in ("low", "high"):
        pressed = [m.assumption.key for m in informed if m.pressed == end]
        if pressed:
            crowd, its = ("crowds", "its") if len(pressed) == 1 else ("crowd", "their")
            texts.append(
                f"{', '.join(pressed)} {crowd} at the {end} end of {its} range: what fits best may lie beyond it."
            )
    seen = informed[:SHOWN]
    said = "; ".join(f"{m.assumption.key} {m.range} of {m.assumption.range}" for m in seen)
    height = len(seen) * (NAME + TALL + ENDS + GAP)
    key: plot.Key = (("solid", "accepted draws"), ("inner", "all draws: even over the range"))
    picture = plot.draw("informed", sentence, f"Histograms of the accepted draws over each range: {said}.",
                        lambda sheet: _histograms(sheet, seen), heights=(height, height), key=key)  # fmt: skip
    note = "The line holds nine accepted draws in ten."
    return Chapter("informed", "Assumptions", [Panel("informed-panel", sentence, texts, picture, table, more, note)])


def _what_is_left(informed: Sequence[Marginal]) -> str:
    said = [f"{m.assumption.meaning[:1].lower()}{m.assumption.meaning[1:]}: {m.range}" for m in informed]
    return capitalized("; ".join(said)) + "."


def _p(marginal: Marginal) -> str:
    return "<0.001" if marginal.adjusted_p < 0.001 else f"{marginal.adjusted_p:.3f}"


def _whole(text: str) -> str:
    """A value or a range with no end of a line inside a value."""
    return text.replace(" ", JOINED).replace(f"{JOINED}to{JOINED}", f" to{JOINED}")


def _histograms(sheet: Sheet, seen: Sequence[Marginal]) -> None:
    axes = _canvas(sheet)
    for k, marginal in enumerate(seen):
        about, y = marginal.assumption, k * (NAME + TALL + ENDS + GAP)
        base = y + NAME + TALL
        counts = [0] * BINS
        for position in marginal.positions:
            counts[min(BINS - 1, int(position * BINS))] += 1
        even = len(marginal.positions) / BINS
        unit = TALL / max(*counts, even)
        axes.text(0, y + 15, about.key, va="baseline", weight="bold")
        axes.barh(base - even * unit / 2, sheet.width, height=even * unit, color=color("fan-inner"), linewidth=0)
        step = sheet.width / BINS
        for place, count in enumerate(counts):
            if count:
                axes.barh(base - count * unit / 2, step - 2, left=place * step + 1, height=count * unit,
                          color=color("forecast"), linewidth=0)  # fmt: skip
        ordered = sorted(marginal.positions)
        ends = [ordered[min(len(ordered) - 1, int(share * len(ordered)))] * sheet.width for share in (0.05, 0.95)]
        axes.plot(ends, [base + 4, base + 4], color=color("ink"), linewidth=2)
        low, high = about.range.split(" to ")
        axes.text(0, base + 20, low, va="baseline", color=color("muted"))
        axes.text(sheet.width, base + 20, high, va="baseline", ha="right", color=color("muted"))


# Whether it explains the curve


def fit_finding(found: Calibration) -> str:
    """How many observed figures the calibrated night would have forecast."""
    inside, of = sum(fit.is_inside for fit in found.fits), len(found.fits)
    if inside == of:
        text = "The observed figure lies" if of == 1 else f"All {spelled(of)} observed figures lie"
        return f"{text} in the band of the calibrated night"
    outside = [fit.point.label for fit in found.fits if not fit.is_inside]
    if inside == 0:
        return "No observed figure lies in the band of the calibrated night" if of > 1 else (
            "The observed figure lies outside the band of the calibrated night"
        )  # fmt: skip
    lie = "lies" if len(outside) == 1 else "lie"
    some = f"{capitalized(spelled(len(outside)))} of {spelled(of)} observed figures {lie}"
    return f"{some} outside the calibrated band: {', '.join(outside)}"


def _fit(found: Calibration) -> Chapter:
    sentence = fit_finding(found)
    rows: list[list[str | Cell]] = []
    for fit in found.fits:
        verdict = Cell("yes", "inside") if fit.is_inside else Cell("no", "outside")
        name = f"{fit.point.column}, {clock(fit.point.at, brief=True)}"
        rows.append([name, _said(fit, fit.observed), _band(fit, fit.before), _band(fit, fit.after), verdict])
    table = Table("fit-table", "The curve, and nine nights in ten", ["", "observed", "before", "after", "in it?"], rows,
                  text_columns=(0, 4), usual=1)  # fmt: skip
    panels = [Panel("fit-panel", sentence, _lost(found), table=table)]
    by_column = {column: [fit for fit in found.fits if fit.point.column == column] for column in WHAT}
    if by_column["reported"]:
        panels.append(_evening(found, by_column["reported"]))
    panels += [_rows(column, by_column[column]) for column in ("released", "hold") if by_column[column]]
    return Chapter("fit", "Fit", panels)


def _lost(found: Calibration) -> list[str]:
    lost = [fit.point.label for fit in found.fits if fit.was_inside and not fit.is_inside]
    never = [fit.point.label for fit in found.fits if not fit.was_inside and not fit.is_inside]
    text = []
    if lost:
        text.append(
            f"The old band held {', '.join(lost)}; the calibrated one does not: the curve's figures pull apart."
        )
    if never:
        text.append(
            f"No part of the ranges comes to {', '.join(never)} often enough: the scenario itself may be wrong there."
        )
    return text


def _said(fit: Fit, value: float) -> str:
    return _whole(duration(round(value))) if fit.point.column == "hold" else f"{value * 100:.1f}{THIN}%"


def _band(fit: Fit, band: tuple[float, float, float]) -> str:
    low, high = _said(fit, band[0]), _said(fit, band[2])
    if low == high:
        return low
    return f"{low.removesuffix(f'{THIN}%')}{DASH}{high}" if fit.point.column != "hold" else f"{low} to {high}"


def _evening(found: Calibration, fits: Sequence[Fit]) -> Panel:
    start = found.scenario.spec.clock.call_to_order
    at = [start + STEP * k for k in range(len(found.evening["before"]))]
    middle = found.evening["after"]
    one = min(fits, key=lambda fit: abs(fit.observed - 0.5))
    medians = f"{_said(one, one.after[1])} in the calibrated night, {_said(one, one.before[1])} before"
    sentence = f"Held by headquarters at {clock(one.point.at)}: {medians}, {_said(one, one.observed)} observed"

    def paint(sheet: Sheet) -> None:
        axes = sheet.axes(left=52, right=22, top=30, bottom=sheet.height - 46)
        sheet.clock_axis(axes, at[0], at[-1])
        axes.set_ylim(0, 100)
        axes.set_yticks([0, 25, 50, 75, 100], ["0 %", "25 %", "50 %", "75 %", "100 %"])
        sheet.heading(axes, "Share of all precincts held by headquarters")
        for name, fill in (("before", "fan-outer"), ("after", "fan-inner")):
            low, _, high = ([100 * value for value in column] for column in zip(*found.evening[name], strict=True))
            axes.fill_between(at, low, high, color=color(fill), linewidth=0)
            for edge in (low, high) if name == "before" else ():
                axes.plot(at, edge, color=color("forecast"), linewidth=0.5, clip_on=False)
        axes.plot(at, [100 * band[1] for band in middle], color=color("forecast"), linewidth=2.4, clip_on=False)
        seen = [fit for fit in fits if at[0] <= fit.point.at <= at[-1]]
        plot.points(axes, [fit.point.at for fit in seen], [100 * fit.observed for fit in seen])

    key: plot.Key = (
        ("point", "observed"), ("line", "calibrated (median)"), ("inner", "calibrated, nine nights in ten"),
        ("outer", "before, nine nights in ten"),
    )  # fmt: skip
    description = (
        "Line chart of the share held over the evening, before and after calibration; the table has the figures."
    )
    picture = plot.draw("fit-evening", sentence, description, paint, heights=(380, 340), key=key)
    return Panel("fit-evening", sentence, picture=picture, table=_column_table("reported", fits))


def _rows(column: str, fits: Sequence[Fit]) -> Panel:
    worst = max(fits, key=lambda fit: abs(fit.after[1] - fit.observed))
    sentence = (
        f"{capitalized(WHAT[column])}: farthest from the calibrated night is {clock(worst.point.at)}, "
        f"{_said(worst, worst.observed)} where its median has {_said(worst, worst.after[1])}"
    )
    if all(_said(fit, fit.observed) == _said(fit, fit.after[1]) for fit in fits):
        sentence = f"{capitalized(WHAT[column])}: the calibrated night's median is what was observed"
    most = max(max(fit.observed, fit.before[2], fit.after[2]) for fit in fits) or 1

    def paint(sheet: Sheet) -> None:
        axes, unit = _canvas(sheet), (sheet.width - LABEL - 16) / most
        for k, fit in enumerate(fits):
            y = k * ROW + ROW / 2
            axes.text(0, y, clock(fit.point.at, brief=True), va="center_baseline", color=color("muted"))
            axes.plot([LABEL, sheet.width], [y, y], color=color("rule"), linewidth=1, zorder=0)
            for band, fill, tall in ((fit.before, "fan-outer", 20), (fit.after, "fan-inner", 14)):
                axes.barh(y, (band[2] - band[0]) * unit, left=LABEL + band[0] * unit, height=tall, color=color(fill),
                          edgecolor=color("forecast") if fill == "fan-outer" else "none", linewidth=0.5)  # fmt: skip
            axes.plot([LABEL + fit.after[1] * unit] * 2, [y - 9, y + 9], color=color("forecast"), linewidth=2.4)
            plot.points(axes, [LABEL + fit.observed * unit], [y])

    key: plot.Key = (
        ("point", "observed"), ("line", "calibrated (median)"), ("inner", "calibrated, nine nights in ten"),
        ("outer", "before, nine nights in ten"),
    )  # fmt: skip
    height = len(fits) * ROW + 6
    description = f"Bands of what is {WHAT[column]} before and after calibration; the table has the figures."
    picture = plot.draw(f"fit-{column}", sentence, description, paint, heights=(height, height), key=key)
    return Panel(f"fit-{column}", sentence, picture=picture, table=_column_table(column, fits))


def _column_table(column: str, fits: Sequence[Fit]) -> Table:
    rows = [
        [clock(fit.point.at, brief=True), _said(fit, fit.observed), _said(fit, fit.before[1]), _said(fit, fit.after[1])]
        for fit in fits
    ]
    head = ["Clock", "observed", "median before", "after"]
    return Table(f"fit-{column}-table", capitalized(WHAT[column]), head, rows, usual=1)


def _canvas(sheet: Sheet) -> Axes:
    """Axes in the picture's own units, from its top left."""
    axes = sheet.axes(left=0, right=0, top=0, bottom=sheet.height)
    axes.set_axis_off()
    axes.set_xlim(0, sheet.width)
    axes.set_ylim(sheet.height, 0)
    return axes
