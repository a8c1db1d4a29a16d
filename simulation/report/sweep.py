"""The page of a sweep: each measure along one key as a curve with its knee, or over two keys as a surface.

Takes what a sweep came to; knows nothing of how nights are played.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from simulation.experiment.measures import Measure
from simulation.experiment.run_file import versions
from simulation.experiment.sweep import Axis, Curve, Spread, Sweep, finding, findings, moves, surface_finding, unmoved
from simulation.report import plot
from simulation.report.chapter import Chapter, KeyNumber, Panel, Table
from simulation.report.comparison import axis as scaled
from simulation.report.comparison import typeset
from simulation.report.forecast import ENOUGH_NIGHTS
from simulation.report.pages import page as rendered
from simulation.report.plot import Sheet, color
from simulation.scenario.values import DAY, HOUR, MINUTE, format_clock
from simulation.words import DASH, capitalized, plural

if TYPE_CHECKING:
    from matplotlib.axes import Axes

RAMP = ("map-a", "map-b", "map-c", "map-d", "map-e")  # colors of style.css, from little to much
FEW_COLUMNS = 4  # a table of more does not fit beside its picture
CHIP = 22  # height of a line of the legend of a surface
MOST_KEY_NUMBERS = 4
CONTOURS = "Colors are those of the points; lines run where a value between them passes from a color to the next."


def page(found: Sweep, command: str) -> str:
    """The page; equal input gives equal text. `command` repeats it."""
    keys = " and ".join(f"{axis.key} from {axis.shown[0]} to {axis.shown[-1]}" for axis in found.axes)
    nights = plural(found.nights, "night")
    points = plural(len(found.spreads), "value" if len(found.axes) == 1 else "combination")
    if len(found.axes) == 1:
        moving = [curve for curve in found.curves if not curve.is_flat]
        chapters = [_curve(curve, found.nights) for curve in moving]
        still = [k for k, curve in enumerate(found.curves) if curve.is_flat]
    else:
        surfaces = range(len(found.measures))
        chapters = [_surface(found, k) for k in surfaces if moves(found.of(k))]
        still = [k for k in surfaces if not moves(found.of(k))]
    if still:
        chapters.append(_still(found, still))
    return rendered(
        "experiment.html",
        kind="Sweep",
        title=found.scenario.spec.title,
        story=f"What if? {keys}: {points}, {nights} of each, with the same luck.",
        key_numbers=_key_numbers(found),
        findings=[typeset(sentence) for sentence in findings(found)],
        basis=_basis(found),
        chapters=chapters,
        command=command,
        facts=_facts(found),
    )


def _basis(found: Sweep) -> str:
    said = "Every number is that of the usual night (the median). All points share their luck: only the"
    if len(found.axes) > 1:
        return f"{said} keys differ."
    return (
        f"{said} key differs. A knee is where the curve bends most, by the Kneedle method (Satopää, Albrecht, Irwin, "
        "Raghavan 2011) on the medians; a curve that is straight, flat, or turns back has none."
    )


def _facts(found: Sweep) -> list[tuple[str, list[str]]]:
    luck = "every assumption held at its middle (--fixed)" if found.fixed else "assumptions drawn each night"
    return [
        ("scenario", [found.scenario.name]),
        ("varied", [f"{axis.key}: {', '.join(axis.shown)}" for axis in found.axes]),
        ("seed", [str(found.seed)]),
        ("nights", [f"{found.nights} at each point"]),
        ("luck", [f"the same at all points, {luck}"]),
        ("engine", [found.engine]),
        ("versions", [f"{name} {version}" for name, version in sorted(versions().items())]),
    ]


def _key_numbers(found: Sweep) -> list[KeyNumber]:
    """The knees."""
    if len(found.axes) > 1:
        return []
    bends = [(curve, curve.knee) for curve in found.curves if curve.knee is not None]
    return [
        KeyNumber(
            typeset(curve.axis.shown[knee]),
            f"the knee of {curve.measure.label}",
            typeset(f"{curve.measure.shown(curve.medians[knee])} there"),
            curve.axis.noun,
        )
        for curve, knee in bends[:MOST_KEY_NUMBERS]
    ]


def _still(found: Sweep, still: Sequence[int]) -> Chapter:
    """What does not move, in one table."""
    rows = []
    for k in still:
        known = [spread.p50 for spread in found.of(k) if spread.p50 is not None]
        measure = found.measures[k]
        shown = [measure.shown(min(known)), measure.shown(max(known))] if known else ["never", "never"]
        rows.append([capitalized(measure.label), *map(typeset, shown)])
    sentence = unmoved(found.axes, [found.measures[k] for k in still])
    table = Table("still", "The usual night over all points", ["Measure", "lowest", "highest"], rows)
    return Chapter("still", "Unmoved", [Panel("still-panel", sentence, table=table)])


# One key: curves


def _curve(curve: Curve, nights: int) -> Chapter:
    measure, axis = curve.measure, curve.axis
    name = _id(measure)
    sentence = typeset(finding(curve))
    wide = "nine nights in ten" if nights >= ENOUGH_NIGHTS else f"all {nights} nights"
    said = "; ".join(f"{axis.at(k)}: {measure.shown(curve.medians[k])}" for k in range(len(axis.values)))
    description = typeset(f"Line chart of {measure.label} over {axis.key}, usual night. {said}.")

    def paint(sheet: Sheet) -> None:
        axes = sheet.axes(left=64, right=22, top=30, bottom=sheet.height - 46)
        _paint_curve(sheet, axes, curve)

    key: plot.Key = (("line", "usual night (median)"), ("outer", wide))
    picture = plot.draw(name, sentence, description, paint, heights=(340, 320), key=key)
    head = [axis.noun or axis.key.rpartition(".")[2], "usual night", "range"]
    rows = [
        [f"{shown} (knee)" if k == curve.knee else shown, typeset(measure.shown(one.p50)), _range(measure, one)]
        for k, (shown, one) in enumerate(zip(axis.shown, curve.spreads, strict=True))
    ]
    table = Table(f"{name}-table", capitalized(measure.label), head, rows, usual=1)
    label = curve.measure.name
    return Chapter(name, label, [Panel(f"{name}-panel", sentence, picture=picture, table=table)])


def _range(measure: Measure, one: Spread) -> str:
    low, high = typeset(measure.shown(one.p05)), typeset(measure.shown(one.p95))
    return low if low == high else f"{low} to {high}"


def _paint_curve(sheet: Sheet, axes: Axes, curve: Curve) -> None:
    measure, places = curve.measure, curve.axis.places
    ends = [value for one in curve.spreads for value in (one.p05, one.p95, one.p50) if value is not None]
    low = min(ends) if measure.unit == "clock" else 0.0
    divisor, unit = scaled(measure, max(ends) - low)
    if measure.unit == "clock":
        divisor, unit = 1, "clock time"
    sheet.heading(axes, f"{capitalized(measure.label)}, {unit}" if not sheet.narrow else capitalized(unit))
    _values_below(sheet, axes, curve.axis, places)
    _values_beside(axes, measure, low / divisor, max(ends) / divisor)
    for run in _runs(curve.spreads):
        at = [places[k] for k, _ in run]
        bands = [
            [(value if value is not None else max(ends)) / divisor for value in (one.p05, one.p50, one.p95)]
            for _, one in run
        ]
        axes.fill_between(at, [b[0] for b in bands], [b[2] for b in bands], color=color("fan-outer"), linewidth=0)
        for edge in (0, 2):
            axes.plot(at, [b[edge] for b in bands], color=color("forecast"), linewidth=0.5, clip_on=False)
        axes.plot(
            at, [b[1] for b in bands], color=color("forecast"), linewidth=2.4, marker="o", markersize=5, clip_on=False
        )
    if curve.knee is not None:
        place, value = places[curve.knee], curve.medians[curve.knee]
        axes.axvline(place, color=color("alarm"), linewidth=1.5, dashes=(4, 3))
        if value is not None:
            axes.plot([place], [value / divisor], marker="D", markersize=9, color=color("alarm"), zorder=6)
        left = place > (places[0] + places[-1]) / 2
        top = axes.get_ylim()[1]
        sheet.label(
            axes, place, top, f"knee: {curve.axis.shown[curve.knee]}", "alarm", above=False, to_the_left=left, offset=6
        )


def _runs(spreads: Sequence[Spread]) -> list[list[tuple[int, Spread]]]:
    """The stretches where the usual night has a value."""
    runs: list[list[tuple[int, Spread]]] = [[]]
    for k, one in enumerate(spreads):
        if one.p50 is not None:
            runs[-1].append((k, one))
        else:
            runs.append([])
    return [run for run in runs if run]


def _values_below(sheet: Sheet, axes: Axes, axis: Axis, places: Sequence[float]) -> None:
    """As many of the key's values as fit, where they stand."""
    room = sheet.width - 86
    least = 1.15 * max(map(plot.width, axis.shown))
    step = max(1, -(-int(least * len(places)) // room))
    ticks = list(range(0, len(places), step))
    axes.set_xlim(places[0], places[-1])
    axes.set_xticks([places[k] for k in ticks], [axis.shown[k] for k in ticks])
    axes.set_xlabel(axis.key, labelpad=3)


def _values_beside(axes: Axes, measure: Measure, low: float, high: float) -> None:
    from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator

    room = 0.05 * (high - low) or 1
    if measure.unit == "clock":
        step = next((s for s in (5, 10, 15, 30, 60, 120, 240, 480) if s * MINUTE * 5 >= high - low), 1440) * MINUTE
        first, last = int(low // step), int(-(-high // step))
        axes.set_ylim(first * step, max(last, first + 1) * step)
        axes.yaxis.set_major_locator(FixedLocator([k * step for k in range(first, max(last, first + 1) + 1)]))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda at, _: _clock(int(at))))
        return
    axes.set_ylim(low, high + room)
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))


def _clock(at: int) -> str:
    """HH:MM, from the next morning on with a plus."""
    return format_clock(at % DAY) + ("+" if at >= DAY + 6 * HOUR else "")


# Two keys: surfaces


def _surface(found: Sweep, place: int) -> Chapter:
    measure, spreads = found.measures[place], found.of(place)
    across, up = found.axes
    name = _id(measure)
    sentence = typeset(surface_finding(found, measure, spreads))
    grid = [spreads[k * len(up.values) : (k + 1) * len(up.values)] for k in range(len(across.values))]
    description = typeset(f"Heat map of {measure.label} over {across.key} and {up.key}, usual night. {sentence}.")

    def paint(sheet: Sheet) -> None:
        _paint_surface(sheet, measure, across, up, grid)

    picture = plot.draw(name, sentence, description, paint, heights=(430, 430))
    head = [f"{across.key} \\ {up.key}", *up.shown]
    rows = [
        [shown, *(typeset(measure.shown(one.p50)) for one in line)]
        for shown, line in zip(across.shown, grid, strict=True)
    ]
    table = Table(f"{name}-table", f"{capitalized(measure.label)}, usual night", head, rows)
    beside = len(up.values) <= FEW_COLUMNS and measure.unit != "clock"
    panel = Panel(f"{name}-panel", sentence, [CONTOURS], picture, table if beside else None, [] if beside else [table])
    return Chapter(name, measure.name, [panel])


def _paint_surface(sheet: Sheet, measure: Measure, across: Axis, up: Axis, grid: Sequence[Sequence[Spread]]) -> None:
    """Cells in classes of color, contour lines between them, what the classes are above."""
    import numpy as np
    from matplotlib.patches import Rectangle

    values = np.array([[np.nan if one.p50 is None else one.p50 for one in line] for line in grid]).T
    known = values[~np.isnan(values)]
    limits = _limits(measure, float(known.min()), float(known.max()))
    classes = len(limits) + 1
    colors = [color(RAMP[k * (len(RAMP) - 1) // max(1, classes - 1)]) for k in range(classes)]
    lines = _legend(sheet, measure, limits, colors, lost=len(known) < values.size)
    axes = sheet.axes(left=72, right=14, top=lines * CHIP + 36, bottom=sheet.height - 46)
    axes.grid(visible=False)
    for (row, column), value in np.ndenumerate(values):
        fill = color("rule") if np.isnan(value) else colors[int(np.searchsorted(limits, value, "right"))]
        axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, facecolor=fill, edgecolor=fill, linewidth=0.5))
    if min(values.shape) > 1 and limits:
        place = np.arange(values.shape[1]), np.arange(values.shape[0])
        for name, width in (("paper", 3.5), ("ink", 1.2)):  # dark on light, so that it shows on every color
            drawn = color(name)
            axes.contour(*place, np.ma.masked_invalid(values), levels=limits, colors=[drawn], linewidths=width)
    axes.set_xlim(-0.5, values.shape[1] - 0.5)
    axes.set_ylim(-0.5, values.shape[0] - 0.5)
    least = 1.15 * max(map(plot.width, across.shown))
    step = max(1, -(-int(least * len(across.values)) // (sheet.width - 86)))
    axes.set_xticks(range(0, len(across.values), step), across.shown[::step])
    upward = max(1, len(up.values) // 10)
    axes.set_yticks(range(0, len(up.values), upward), up.shown[::upward])
    axes.set_xlabel(across.key, labelpad=3)
    sheet.heading(axes, up.key)


def _limits(measure: Measure, low: float, high: float) -> list[float]:
    """Round limits between at most five classes."""
    from matplotlib.ticker import MaxNLocator

    divisor, _ = scaled(measure, high - low)
    if measure.unit == "clock":
        steps = (s * MINUTE for s in (5, 10, 15, 30, 60, 120, 240, 480, 1440, 2880))
        step = next(s for s in steps if s * (len(RAMP) - 1) >= high - low)
        found = [float(k * step) for k in range(int(low // step) + 1, int(-(-high // step)))]
    else:
        found = [value * divisor for value in MaxNLocator(len(RAMP)).tick_values(low / divisor, high / divisor)]
    return [limit for limit in found if low < limit < high][: len(RAMP) - 1]


def _legend(sheet: Sheet, measure: Measure, limits: Sequence[float], colors: Sequence[Any], *, lost: bool) -> int:
    """Chips of color with what they stand for, above the picture; returns how many lines they take."""
    from matplotlib.patches import Rectangle

    shown = [typeset(measure.shown(limit)) for limit in limits]
    texts = [f"below {shown[0]}"] if limits else ["all"]
    texts += [f"{low}{DASH}{high}" for low, high in itertools.pairwise(shown)]
    texts += [f"{shown[-1]} or more"] if limits else []
    chips = list(zip(texts, colors, strict=False)) + ([("never", color("rule"))] if lost else [])
    line, left = 0, 0.0
    for text, fill in chips:
        width = 26 + plot.width(text)
        if left and left + width > sheet.width:
            line, left = line + 1, 0.0
        y = 1 - (line * CHIP + 15) / sheet.height
        sheet.figure.add_artist(
            Rectangle((left / sheet.width, y), 16 / sheet.width, 11 / sheet.height, facecolor=fill, edgecolor="none")
        )
        sheet.figure.text((left + 21) / sheet.width, y, text, va="baseline", color=color("ink"))
        left += width
    return line + 1


def _id(measure: Measure) -> str:
    return measure.name.replace("@", "-at-").replace(":", "").replace("_", "-")
