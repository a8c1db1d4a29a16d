"""The page of a comparison: what differs, night by night; the evenings over each other; every number in one table.

Takes what a comparison came to; knows nothing of how nights are played.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from simulation.experiment.comparison import Comparison, Difference, findings, sentences
from simulation.experiment.measures import Measure
from simulation.experiment.run_file import versions
from simulation.night.curves import STEP
from simulation.night.summary import logical_hash
from simulation.report import plot
from simulation.report.chapter import Chapter, KeyNumber, Panel, Table
from simulation.report.forecast import ENOUGH_NIGHTS, Band, band
from simulation.report.pages import page as rendered
from simulation.report.plot import Picture, Sheet, color
from simulation.scenario.values import HOUR, MINUTE
from simulation.words import JOINED, MINUS, THIN, capitalized, clock, number, percent, percent_range, plural

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ARM_COLORS = ("forecast", "second", "alarm", "reached", "hand")
MOST_DOTS = 200  # nights of a measure in the picture: more make a page heavy and no clearer
STRIP = 104  # height of a measure's strip in the picture
LEGEND_ROW = 20
MOST_KEY_NUMBERS = 3
TIMES = "\N{MULTIPLICATION SIGN}"


def page(found: Comparison, command: str) -> str:
    """The page; equal input gives equal text. `command` repeats it."""
    chapters = [chapter for differences in found.differences for chapter in _differences(differences)]
    names = " against ".join(f"{arm.letter} ({arm.label})" for arm in found.arms)
    nights = plural(found.nights, "night")
    return rendered(
        "experiment.html",
        kind="Comparison of nights",
        title=_title(found),
        story=f"{names}: {nights} of each, with the same luck.",
        key_numbers=_key_numbers(found),
        findings=[typeset(sentence) for sentence in findings(found)],
        basis=typeset(
            f"Means over {nights}; in parentheses the 95 % confidence interval of the mean difference (Student t on "
            "the differences night by night)."
        ),
        chapters=[*chapters, _evenings(found), _numbers(found)],
        command=command,
        facts=facts(found),
    )


def typeset(text: str) -> str:
    """The text with its numbers and units joined as on every page."""
    text = re.sub(r"(\d) (%|min|h|s|points|SDE)(?!\w)", rf"\1{THIN}\2", text)
    return re.sub(rf"({THIN}h) (\d)", rf"\1{JOINED}\2", text)


def axis(measure: Measure, spread: float, *, difference: bool = False) -> tuple[float, str]:
    """What a value is divided by on an axis that is `spread` long, and the unit there."""
    if measure.unit == "%":
        return 0.01, "points" if difference else "%"
    if measure.unit in ("min", "clock"):
        return (
            (HOUR, "hours") if spread > 3 * HOUR else (MINUTE, "minutes") if spread > 3 * MINUTE else (1000, "seconds")
        )
    return 1, {"$": "dollars", "h": "hours"}.get(measure.unit, measure.unit)


def facts(found: Comparison) -> list[tuple[str, list[str]]]:
    """What shaped the comparison, as terms with their texts."""
    arms = [f"{arm.letter}: {arm.label} ({arm.scenario.spec.title})" for arm in found.arms]
    hashes = [f"{arm.letter}: {logical_hash(rows)}" for arm, rows in zip(found.arms, found.rows, strict=True)]
    luck = "every assumption held at its middle (--fixed)" if found.fixed else "assumptions drawn each night"
    return [
        ("arms", arms),
        ("seed", [str(found.seed)]),
        ("nights", [str(found.nights)]),
        ("luck", [f"the same in all arms, {luck}"]),
        ("engine", [found.engine]),
        ("results' fingerprints", hashes),
        ("versions", [f"{name} {version}" for name, version in sorted(versions().items())]),
    ]


def _title(found: Comparison) -> str:
    titles = list(dict.fromkeys(arm.scenario.spec.title for arm in found.arms))
    return titles[0] if len(titles) == 1 else " or ".join(titles)


def _key_numbers(found: Comparison) -> list[KeyNumber]:
    numbers = []
    for one in _foremost(found.differences[0]):
        low, high = map(one.measure.difference, one.interval or (0.0, 0.0))
        value = typeset(one.measure.difference(one.mean or 0.0))
        numbers.append(KeyNumber(value, one.measure.label, typeset(f"{low} to {high}")))
    reduced = [one for one in _foremost(found.differences[0]) if one.variance_reduction]
    if reduced:
        first = reduced[0]
        value = f"{TIMES}{number(round(first.variance_reduction or 0))}"
        meaning = f"what a night is worth because the arms share their luck, for {first.measure.label}"
        numbers.append(KeyNumber(value, meaning))
    return numbers


def _foremost(differences: Sequence[Difference]) -> list[Difference]:
    """The first clear differences, one of each family of measures."""
    found: dict[str, Difference] = {}
    for one in differences:
        if one.is_clear:
            found.setdefault(one.measure.family, one)
    return list(found.values())[:MOST_KEY_NUMBERS]


# Differences, night by night


def _differences(differences: Sequence[Difference]) -> list[Chapter]:
    drawn = [one for one in differences if one.values and not one.is_nothing]
    first, other = differences[0].first, differences[0].other
    name, label = f"{other.letter}-against-{first.letter}".lower(), f"{other.letter} against {first.letter}"
    sentence = _finding(differences)
    if not drawn:
        return [Chapter(name, label, [Panel(f"{name}-panel", sentence, [typeset(s) for s in sentences(differences)])])]
    shown = min(len(drawn[0].pairs), MOST_DOTS)
    note = "" if shown == len(drawn[0].pairs) else f"The dots are those of the first {shown} nights."
    text = [f"Each dot is a night: {other.letter} minus {first.letter}, with the same people, calls and mistakes."]
    picture = _strips(name, sentence, drawn)
    return [Chapter(name, label, [Panel(f"{name}-panel", sentence, text, picture, note=note)])]


def _finding(differences: Sequence[Difference]) -> str:
    """The first clear differences in one sentence."""
    first, other = differences[0].first.letter, differences[0].other.letter
    parts = [f"{one.measure.label} {one.measure.moves(one.mean or 0)}" for one in _foremost(differences)]
    if not parts:
        return f"No measure differs clearly between {first} and {other}"
    listed = parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
    return typeset(f"From {first} to {other} {listed}")


def _strips(name: str, sentence: str, drawn: Sequence[Difference]) -> Picture:
    """Each measure's differences as dots along an axis of its own."""

    def paint(sheet: Sheet) -> None:
        columns = 1 if sheet.narrow else 2
        wide = (sheet.width - 40 * (columns - 1)) // columns
        for k, one in enumerate(drawn):
            left = k % columns * (wide + 40)
            top = k // columns * STRIP
            axes = sheet.axes(left=left, right=sheet.width - left - wide, top=top + 42, bottom=top + 74)
            _strip(axes, one)

    heights = (-(-len(drawn) // 2) * STRIP, len(drawn) * STRIP)
    said = "; ".join(f"{one.measure.label} {one.measure.difference(one.mean)}" for one in drawn if one.mean is not None)
    description = typeset(f"Dots of the differences night by night and their mean with its interval. Means: {said}.")
    key: plot.Key = (("dot", "one night"), ("point", "mean of the nights, with its interval"))
    return plot.draw(name, sentence, description, paint, heights=heights, key=key)


def _strip(axes: Axes, one: Difference) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    shown = [0.0, *one.values, *(one.interval or ())]
    low, high = min(shown), max(shown)
    divisor, unit = axis(one.measure, high - low, difference=True)
    values = [value / divisor for value in one.values[:MOST_DOTS]]
    room = 0.04 * (high - low) / divisor
    axes.set_xlim(low / divisor - room, high / divisor + room)
    axes.set_ylim(-0.1, 1.1)
    axes.set_yticks([])
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: signed(value)))
    axes.axvline(0, color=color("baseline"), linewidth=1)
    scatter = [(0.5 + 0.618034 * k) % 1 for k in range(len(values))]  # apart, and the same in every drawing
    axes.plot(
        values, scatter, linestyle="none", marker="o", markersize=4, color=color("second"), markeredgewidth=0,
        alpha=0.45, clip_on=False,
    )  # fmt: skip
    mean, interval = (one.mean or 0.0) / divisor, one.interval
    if interval:
        axes.plot([value / divisor for value in interval], [0.5, 0.5], color=color("history"), linewidth=3, zorder=4)
    plot.points(axes, [mean], [0.5])
    label = capitalized(one.measure.label)
    mean_shown = typeset(one.measure.difference(one.mean or 0.0))
    for text, above, right, name in ((label, 22, 0, "muted"), (mean_shown, 6, 0, "ink"), (unit, 6, 1, "muted")):
        axes.annotate(
            text, (right, 1), xytext=(0, above), xycoords="axes fraction", textcoords="offset points",
            color=color(name), ha="right" if right else "left", weight="bold" if name == "ink" else "normal",
        )  # fmt: skip


def signed(value: float) -> str:
    """A number on an axis of differences."""
    sign = "" if value == 0 else "+" if value > 0 else MINUS
    return f"{sign}{abs(value):,.10g}"


# The evenings over each other


def _evenings(found: Comparison) -> Chapter:
    """The share of results held, all arms in one picture."""
    curves = [[band(values) for values in zip(*(row["reported"] for row in rows), strict=True)] for rows in found.rows]
    sites = [int(rows[0]["sites"]) for rows in found.rows]
    starts = [arm.scenario.spec.clock.call_to_order for arm in found.arms]
    sentence = _apart(found, curves, sites, starts)
    description = "Line chart of the share of results that headquarters holds over the evening, one line an arm. " + (
        " ".join(
            f"{arm.letter} at {clock(start + k * STEP)}: {percent(curve[k].p50 / all_)}."
            for arm, curve, all_, start in zip(found.arms, curves, sites, starts, strict=True)
            for k in (8, 16, 24, 32)
        )
    )

    def paint(sheet: Sheet) -> None:
        top = 30 + LEGEND_ROW * len(found.arms)
        axes = sheet.axes(left=52, right=22, top=top, bottom=sheet.height - 46)
        sheet.clock_axis(axes, min(starts), max(starts) + STEP * (len(curves[0]) - 1))
        axes.set_ylim(0, 100)
        axes.set_yticks([0, 25, 50, 75, 100], ["0 %", "25 %", "50 %", "75 %", "100 %"])
        sheet.heading(axes, "Share of all precincts held by headquarters")
        for k, (arm, curve) in enumerate(zip(found.arms, curves, strict=True)):
            at = [starts[k] + STEP * point for point in range(len(curve))]
            paint_band(axes, at, curve, 100 / sites[k], ARM_COLORS[k])
            legend(sheet, k, f"{arm.letter}: {arm.label}", ARM_COLORS[k])

    extra = LEGEND_ROW * len(found.arms)
    picture = plot.draw("evenings", sentence, description, paint, heights=(380 + extra, 330 + extra))
    wide = "nine nights in ten" if found.nights >= ENOUGH_NIGHTS else "all nights"
    note = f"Lines are the usual night (the median) of each arm, bands hold {wide}."
    return Chapter("evenings", "Evenings", [Panel("evenings", sentence, [note], picture, more=[_hours(found, curves)])])


def paint_band(axes: Axes, at: Sequence[float], bands: Sequence[Band], factor: float, name: str) -> None:
    """Nine nights in ten and the median in one color; values times `factor`."""
    low, high = [one.p05 * factor for one in bands], [one.p95 * factor for one in bands]
    axes.fill_between(at, low, high, color=color(name), alpha=0.2, linewidth=0)
    middle = [one.p50 * factor for one in bands]
    axes.plot(at, middle, color=color(name), linewidth=2.4, solid_capstyle="round", clip_on=False)


def legend(sheet: Sheet, row: int, text: str, name: str) -> None:
    """A line of the legend above the picture: a stroke and its text in one color."""
    most = int((sheet.width - 40) / (0.58 * plot.FONT))
    text = text if len(text) <= most else f"{text[: most - 1]}…"
    y = 1 - (LEGEND_ROW * row + 9) / sheet.height
    from matplotlib.lines import Line2D

    stroke = Line2D([0, 24 / sheet.width], [y, y], color=color(name), linewidth=3, transform=sheet.figure.transFigure)
    sheet.figure.add_artist(stroke)
    sheet.figure.text(32 / sheet.width, y, text, color=color(name), weight="bold", va="center_baseline")


def _apart(found: Comparison, curves: Sequence[Sequence[Band]], sites: Sequence[int], starts: Sequence[int]) -> str:
    """When the usual evenings of the first two arms lie furthest apart."""
    (first, other), (a, b) = (
        found.arms[:2],
        [
            {start + STEP * k: point.p50 / all_ for k, point in enumerate(curve)}
            for curve, all_, start in zip(curves[:2], sites[:2], starts[:2], strict=True)
        ],
    )
    common = sorted(a.keys() & b.keys())
    at = max(common, key=lambda at: abs(a[at] - b[at])) if common else None
    if at is None or abs(a[at] - b[at]) < 0.005:
        return f"{first.letter} and {other.letter} have the same evening"
    return (
        f"The evenings are furthest apart at {clock(at)}: headquarters holds {percent(a[at])} of the results in "
        f"{first.letter}, {percent(b[at])} in {other.letter}"
    )


def _hours(found: Comparison, curves: Sequence[Sequence[Band]]) -> Table:
    head = ["Clock"]
    for arm in found.arms:
        head += [f"{arm.letter}, usual night", f"{arm.letter}, range"]
    start = found.arms[0].scenario.spec.clock.call_to_order
    sites = [int(rows[0]["sites"]) for rows in found.rows]
    rows = []
    for k in range(0, len(curves[0]), 2):
        row = [clock(start + k * STEP, brief=True)]
        for curve, all_, arm in zip(curves, sites, found.arms, strict=True):
            shift = (start - arm.scenario.spec.clock.call_to_order) // STEP  # its curve begins at another time
            if 0 <= k + shift < len(curve):
                point = curve[k + shift]
                row += [percent(point.p50 / all_), percent_range(point.p05 / all_, point.p95 / all_)]
            else:
                row += ["", ""]
        rows.append(row)
    return Table("evening-hours", "Share of all precincts held, by half hour", head, rows)


# Every number


def _numbers(found: Comparison) -> Chapter:
    text = (
        "The variance reduction is the variance that the difference would have if each arm had luck of its own, over "
        "the one it has: so many times more nights would be needed for the same interval."
    )
    panels = [
        Panel(f"numbers-{k}", _worth(found, of_arm), [text] if k == 0 else [], table=_table(of_arm))
        for k, of_arm in enumerate(found.differences)
    ]
    return Chapter("numbers", "Numbers", panels)


def _worth(found: Comparison, differences: Sequence[Difference]) -> str:
    """What sharing the luck is worth."""
    known = sorted(one.independent_nights for one in differences if one.is_clear and one.independent_nights)
    if not known:
        return f"{_names(differences)} in numbers"
    range_ = number(known[0]) if known[0] == known[-1] else f"{number(known[0])} to {number(known[-1])}"
    shared = f"{differences[0].first.letter} and {differences[0].other.letter} share their luck"
    return f"Because {shared}, {number(found.nights)} nights are worth {range_}"


def _names(differences: Sequence[Difference]) -> str:
    return f"{differences[0].other.letter} against {differences[0].first.letter}"


def _table(differences: Sequence[Difference]) -> Table:
    first, other = differences[0].first.letter, differences[0].other.letter
    head = ["Measure", first, other, "difference", "95 % interval", f"nights with more in {other}"]
    head += ["variance reduction", "nights without it"]
    rows = [_row(one) for one in differences]
    return Table(f"numbers-{other}".lower(), f"{_names(differences)}: means over nights", head, rows)


def _row(one: Difference) -> list[str]:
    measure = one.measure
    arms = zip((one.first, one.other), one.never, strict=True)
    missing = [f"never in {plural(count, 'night')} of {arm.letter}" for arm, count in arms if count]
    name = typeset(capitalized(measure.label) + (f" ({', '.join(missing)})" if missing else ""))
    if one.means is None or one.mean is None:
        return [name, "never", "never", *[""] * 5]
    means = [typeset(measure.shown(mean)) for mean in one.means]
    if one.is_nothing:
        return [name, *means, "none", *[""] * 4]
    low, high = one.interval or (one.mean, one.mean)
    interval = f"{measure.difference(low)} to {measure.difference(high)}" if low != high else ""
    row = [name, *means, typeset(measure.difference(one.mean)), typeset(interval)]
    row.append(percent(one.share(lambda value: value > 0) or 0.0))
    if one.variance_reduction is None or one.independent_nights is None:
        return [*row, "", ""]
    factor = one.variance_reduction
    return [*row, f"{factor:,.{0 if factor >= 10 else 1}f}", number(one.independent_nights)]
