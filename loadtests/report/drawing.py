"""What the pictures of load tests share: an axis of latencies, an axis of seconds, faults marked, trials as dots.

Draws on `simulation.report.plot`'s sheets; knows nothing of what is measured.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from loadtests.report.words import short_name, significant
from simulation.report import plot
from simulation.report.plot import Sheet, color

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from loadtests.report.run_folder import Fault

LEFT, RIGHT = 64, 22
_LATENCIES_S = (0.0001, 0.001, 0.01, 0.1, 1.0, 10.0, 100.0, 1000.0)
_NAMES = ("0.1 ms", "1 ms", "10 ms", "100 ms", "1 s", "10 s", "100 s", "1,000 s")
_LEAST_S = 0.0001
_MOST_LABELS = 12


def latency_axis(axes: Axes, values: Iterable[float | None]) -> float:
    """A logarithmic vertical axis over these latencies; returns where what was never answered is drawn: its top."""
    from matplotlib.ticker import NullLocator

    low, high = latency_span(values)
    axes.set_yscale("log")
    axes.set_ylim(low, high)
    ticks = [(at, name) for at, name in zip(_LATENCIES_S, _NAMES, strict=True) if low * 0.99 <= at <= high * 1.01]
    axes.set_yticks([at for at, _ in ticks], [name for _, name in ticks])
    axes.yaxis.set_minor_locator(NullLocator())
    return high


def latency_span(values: Iterable[float | None]) -> tuple[float, float]:
    """The ends of that axis."""
    known = [max(value, _LEAST_S) for value in values if value is not None and math.isfinite(value)]
    low = 10.0 ** math.floor(math.log10(min(known, default=0.001)))
    return low, max(10.0 ** math.ceil(math.log10(max(known, default=1.0)) + 1e-9), low * 10)


def amount_axis(axes: Axes, highest: float, parts: int = 4) -> None:
    """A vertical axis from 0 in round steps, also below 1."""
    from matplotlib.ticker import FixedLocator

    if highest >= parts:
        plot.scale(axes, highest, parts)
        return
    raw = max(highest, 1e-6) / parts
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(leading * power for leading in (1, 2, 5, 10) if leading * power >= raw)
    count = max(1, math.ceil(highest / step - 1e-9))
    ticks = [k * step for k in range(count + 1)]
    axes.set_ylim(0, ticks[-1])
    axes.yaxis.set_major_locator(FixedLocator(ticks))
    axes.set_yticklabels([f"{value:.6g}" for value in ticks])


def seconds_axis(sheet: Sheet, axes: Axes, first: float, last: float, name: str, *, labels: bool = True) -> None:
    """A horizontal axis of seconds, minutes or hours, whichever reads best."""
    unit, size = next((u, s) for u, s in (("s", 1), ("min", 60), ("h", 3600)) if last - first <= 300 * s or s == 3600)
    step = _step((last - first) / size, 5 if sheet.narrow else 10) * size
    ticks = [k * step for k in range(math.ceil(first / step - 1e-9), math.floor(last / step + 1e-9) + 1)]
    axes.set_xlim(first, last)
    axes.set_xticks(ticks, [f"{at / size:,.6g}" if labels else "" for at in ticks])
    if labels:
        axes.set_xlabel(f"{name}, {unit}", labelpad=3)


def load_axis(
    sheet: Sheet, axes: Axes, highest: float, night_per_s: float | None, *, labels: bool = True, name: str = "offered"
) -> None:
    """A horizontal axis of requests a second, caucus nights written below where their size is known."""
    step = _step(highest, 4 if sheet.narrow else 8)
    ticks = [k * step for k in range(math.floor(highest / step + 1e-9) + 1)]
    axes.set_xlim(0, highest)
    shown = [f"{at:,.6g}" for at in ticks]
    if night_per_s:
        shown = [f"{text}\n{significant(at / night_per_s, 2)}" for text, at in zip(shown, ticks, strict=True)]
    axes.set_xticks(ticks, shown if labels else ["" for _ in ticks])
    if labels:
        below = " (below: caucus nights)" if night_per_s and not sheet.narrow else ""
        axes.set_xlabel(f"{name}, requests/s{below}" if not night_per_s or not sheet.narrow else
                        f"{name}, requests/s and nights", labelpad=3)  # fmt: skip


def flows_axes(sheet: Sheet, flows: Sequence[str], values: Sequence[float], name: str) -> tuple[Axes, float, float]:
    """Axes with a row a flow and a logarithmic horizontal axis that holds all values; and the ends of that axis."""
    axes = sheet.axes(left=110 if sheet.narrow else 150, right=40, top=26, bottom=sheet.height - 46)
    low, high = min(values, default=1.0) / 1.5, max(values, default=1.0) * 2.2
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    axes.grid(visible=False, axis="y")
    axes.grid(visible=True, axis="x")
    axes.set_ylim(len(flows) - 0.4, -0.6)
    axes.set_yticks(range(len(flows)), [short_name(flow) for flow in flows])
    _decades(axes, low, high)
    axes.set_xlabel(name, labelpad=3)
    return axes, low, high


def _decades(axes: Axes, low: float, high: float) -> None:
    """Round values along a logarithmic axis."""
    from matplotlib.ticker import NullLocator

    few = math.log10(high / low) < 2.5
    ticks = [
        leading * 10.0**power
        for power in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        for leading in ((1, 2, 5) if few else (1,))
    ]
    kept = [at for at in ticks if low <= at <= high]
    axes.set_xticks(kept, [significant(at, 1) for at in kept])
    axes.xaxis.set_minor_locator(NullLocator())


def mark_faults(sheet: Sheet, axes: Axes, faults: Sequence[Fault], *, labels: bool) -> None:
    """Each fault as a band, with its name at the top of the first axes."""
    ends = axes.get_xlim()
    for number, fault in enumerate(faults):
        axes.axvspan(fault.began_s, max(fault.ended_s, fault.began_s + (ends[1] - ends[0]) / 400),
                     color=color("rule"), linewidth=0, zorder=0.5)  # fmt: skip
        axes.axvline(fault.began_s, color=color("alarm"), linewidth=1.2, dashes=(4, 3))
        if labels and len(faults) <= _MOST_LABELS:
            left = fault.began_s > (ends[0] + ends[1]) / 2
            text = letter(number) if sheet.narrow or len(faults) > 2 else f"{letter(number)}: {fault.name}"
            axes.annotate(
                text, (fault.began_s, axes.get_ylim()[1]), xytext=(-5 if left else 5, -4), textcoords="offset points",
                ha="right" if left else "left", va="top", color=color("alarm"), weight="bold", zorder=6,
                bbox={"facecolor": color("paper"), "edgecolor": "none", "pad": 2},
            )  # fmt: skip


def letter(number: int) -> str:
    """How a fault is called in a picture: A, B, ..., A2."""
    return chr(ord("A") + number % 26) + (str(number // 26 + 1) if number >= 26 else "")


def asked_line(axes: Axes, asked_s: float | None, top_s: float) -> None:
    """The latency that is asked for, where there is one and it is in sight."""
    if asked_s is not None and asked_s <= top_s:
        axes.axhline(asked_s, color=color("alarm"), linewidth=1, dashes=(4, 3))


def unanswered(axes: Axes, at: Sequence[float], top_s: float) -> None:
    """Crosses at the upper edge: where too much was not answered well to have a latency."""
    axes.plot(at, [top_s] * len(at), linestyle="none", marker="x", markersize=6, color=color("alarm"),
              markeredgewidth=1.8, clip_on=False)  # fmt: skip


@dataclass(frozen=True)
class Course:
    """Load and latency over time: what was offered and answered above, two latencies below."""

    at: Sequence[float]
    offered: Sequence[float | None]
    good: Sequence[float | None]
    latencies: tuple[Sequence[float | None], Sequence[float | None]]  # drawn as a line, and dashed
    unanswered_at: Sequence[float]
    heading: str  # of the latencies
    load_heading: str = "Requests/s"
    asked_s: float | None = None
    faults: Sequence[Fault] = ()

    def paint(self, sheet: Sheet, time_axis: Callable[[Axes, bool], None]) -> None:
        """Both pictures; `time_axis` draws an axis of time, with labels or without."""
        middle = int(sheet.height * 0.43)
        upper = sheet.axes(left=LEFT, right=RIGHT, top=30, bottom=middle)
        lower = sheet.axes(left=LEFT, right=RIGHT, top=middle + 42, bottom=sheet.height - 46)
        time_axis(upper, False)
        time_axis(lower, True)
        amount_axis(upper, max((value for value in self.offered if value), default=1.0))
        sheet.heading(upper, self.load_heading)
        top = latency_axis(lower, [*self.latencies[0], *self.latencies[1]])
        sheet.heading(lower, self.heading)
        mark_faults(sheet, upper, self.faults, labels=True)
        mark_faults(sheet, lower, self.faults, labels=False)
        line(upper, self.at, self.offered, "baseline", width=1.5)
        line(upper, self.at, self.good, "forecast")
        line(lower, self.at, self.latencies[0], "forecast")
        line(lower, self.at, self.latencies[1], "second", dashed=True, width=1.5)
        asked_line(lower, self.asked_s, top)
        unanswered(lower, self.unanswered_at, top)


def line(axes: Axes, at: Sequence[float], values: Sequence[float | None], name: str = "forecast", *,
         dashed: bool = False, width: float = 2.0) -> None:  # fmt: skip
    """A line that stops where there is no value."""
    drawn = [math.nan if value is None or not math.isfinite(value) else value for value in values]
    axes.plot(
        at, drawn, color=color(name), linewidth=width, linestyle=(0, (5, 2)) if dashed else "-",
        solid_capstyle="round", solid_joinstyle="round",
    )  # fmt: skip


def dots(axes: Axes, at: Sequence[float], values: Sequence[float], *, held: bool) -> None:
    """Trials that held, or broke."""
    name = "second" if held else "alarm"
    axes.plot(
        at, values, linestyle="none", marker="o" if held else "x", markersize=7, color=color(name), zorder=5,
        markeredgecolor=color("paper" if held else "alarm"), markeredgewidth=1 if held else 2, clip_on=False,
    )  # fmt: skip


def _step(room: float, parts: int) -> float:
    raw = max(room, 1e-9) / parts
    power = 10.0 ** math.floor(math.log10(raw))
    return next(leading * power for leading in (1.0, 2.0, 5.0, 10.0) if leading * power >= raw * 0.999)
