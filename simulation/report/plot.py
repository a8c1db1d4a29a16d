"""Drawing: matplotlib figures as inline SVG in the colors and type of the page, each in a wide and a narrow version.

Knows nothing of what is drawn. style.css is the one source of colors: a figure is drawn in the light ones, and each is
replaced by its CSS variable, so that dark mode and print change pictures and text alike.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING, Literal

from simulation.scenario.values import HOUR, format_clock

if TYPE_CHECKING:  # whoever draws nothing does not wait for matplotlib
    from matplotlib.axes import Axes

    from simulation.report.forecast import Band

# In the key to a figure; see parts.html
Mark = Literal["line", "solid", "inner", "outer", "dashed", "point", "cross", "dot"]
Paint = Callable[["Sheet"], None]
Key = tuple[tuple[Mark, str], ...]

FONT = 13  # units of the picture: CSS pixels where it is shown at its own width
WIDE, NARROW = 680, 360


@dataclass(frozen=True)
class Picture:
    """A figure as two inline SVG texts of the same content, and the key to its marks."""

    wide: str
    narrow: str
    key: Key


class Sheet:
    """One version of a figure while it is drawn. Positions of axes are in its units, from the top left."""

    def __init__(self, width: int, height: int) -> None:
        self.width = width
        self.height = height
        from matplotlib.figure import Figure

        self.figure = Figure(figsize=(width / 72, height / 72))

    @property
    def narrow(self) -> bool:
        return self.width == NARROW

    def axes(self, *, left: int, right: int, top: int, bottom: int) -> Axes:
        """Axes between margins `left` and `right` and between `top` and `bottom`, both from the sheet's top."""
        place = (
            left / self.width,
            1 - bottom / self.height,
            1 - (left + right) / self.width,
            (bottom - top) / self.height,
        )
        axes = self.figure.add_axes(place)
        axes.set_facecolor("none")
        for side in ("left", "top", "right"):
            axes.spines[side].set_visible(False)
        axes.tick_params(axis="y", length=0, pad=6)
        axes.tick_params(axis="x", length=4, pad=6)
        axes.grid(axis="y")
        axes.set_axisbelow(True)
        return axes

    def heading(self, axes: Axes, text: str) -> None:
        """What the vertical axis shows, with its unit, above its upper end."""
        left = axes.get_position().x0 * self.width
        place = self.width * axes.get_position().width
        height = self.height * axes.get_position().height
        axes.text(-left / place, 1 + 11 / height, text, transform=axes.transAxes, color=color("muted"), va="bottom")

    def label(
        self,
        axes: Axes,
        at: float,
        value: float,
        text: str,
        name: str,
        *,
        above: bool,
        to_the_left: bool = False,
        offset: int = 0,
    ) -> None:
        """A direct label in the color `name`: above or below a point, ending there or beginning there (+ `offset`)."""
        axes.annotate(
            text, (at, value), xytext=(-offset if to_the_left else offset, 5 if above else -5),
            textcoords="offset points", ha="right" if to_the_left else "left", va="bottom" if above else "top",
            color=color(name), weight="bold", zorder=6, annotation_clip=False,
        )  # fmt: skip

    def clock_axis(self, axes: Axes, start: int, end: int, *, labels: bool = True) -> None:
        """Clock times in ms below, every hour; on a narrow sheet as many as fit."""
        hours = range(-(-start // HOUR), end // HOUR + 1)
        room = 5 if self.narrow else 13
        step = next(step for step in (1, 2, 3, 4, 6, 12, 24, 10**6) if len(hours[::step]) <= room)
        ticks = [hour * HOUR for hour in hours[::step]]
        axes.set_xlim(start, end)
        axes.set_xticks(ticks, [format_clock(at % (24 * HOUR)) if labels else "" for at in ticks])
        if labels:
            axes.set_xlabel("clock time", labelpad=3)


def color(name: str) -> str:
    """The color that stands for the CSS variable --name."""
    return colors()[name]


@cache
def style() -> str:
    """The style sheet."""
    return files("simulation.report").joinpath("style.css").read_text(encoding="utf-8")


@cache
def colors() -> dict[str, str]:
    """The light colors by name; ValueError where two are equal, because a drawn color must tell its name."""
    block = style().partition(":root {")[2].partition("}")[0]
    found = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", block))
    if len(set(found.values())) != len(found):
        raise ValueError("style.css: two colors of the first :root block are equal")
    return found


def draw(name: str, title: str, description: str, paint: Paint, *, heights: tuple[int, int], key: Key = ()) -> Picture:
    """Paint the wide and the narrow version. `name` starts the ids inside them; `description` is what a picture says
    to those who do not see it; heights are in units of the picture, wide and narrow.
    """
    wide, narrow = (
        _inline(_painted(paint, width, height), f"{name}-{kind}", kind, title, description)
        for kind, width, height in (("wide", WIDE, heights[0]), ("narrow", NARROW, heights[1]))
    )
    return Picture(wide, narrow, key)


def fan(axes: Axes, at: Sequence[int], bands: Sequence[Band], factor: float) -> None:
    """Nine nights in ten, half of the nights, and the median; values times `factor`."""
    low, quarter, middle, three_quarters, high = (
        [value * factor for value in column] for column in zip(*bands, strict=True)
    )
    axes.fill_between(at, low, high, color=color("fan-outer"), linewidth=0)
    axes.fill_between(at, quarter, three_quarters, color=color("fan-inner"), linewidth=0)
    for edge in (low, high):
        axes.plot(at, edge, color=color("forecast"), linewidth=0.5, clip_on=False)
    alone = "o" if len(at) == 1 else ""  # a line through one point would not be seen
    axes.plot(
        at, middle, color=color("forecast"), linewidth=2.4, solid_capstyle="round", marker=alone, markersize=4,
        clip_on=False,
    )  # fmt: skip


def scale(axes: Axes, highest: float, parts: int = 5) -> int:
    """Let the vertical axis run from 0 to `highest` or little more, with round whole numbers; returns its end."""
    steps: Iterator[int] = (leading * 10**power for power in range(18) for leading in (1, 2, 5))
    step = next(step for step in steps if step * parts >= highest)
    top = max(1, math.ceil(highest / step)) * step
    axes.set_ylim(0, top)
    axes.set_yticks(range(0, top + 1, step), [f"{value:,}" for value in range(0, top + 1, step)])
    return top


def bar(axes: Axes, row: int, band: Band, text: str) -> None:
    """The usual night on a bad one, with the usual night's number in its color."""
    axes.barh(row, band.p95, height=0.56, color=color("fan-inner"), linewidth=0)
    axes.barh(row, band.p50, height=0.56, color=color("forecast"), linewidth=0)
    axes.annotate(
        text, (band.p95, row), xytext=(8, 0), textcoords="offset points", va="center_baseline", weight="bold",
        color=color("forecast"),
    )  # fmt: skip


def width(text: str) -> float:
    """At least the width of a bold label; the page's own fonts are narrower than this one."""
    return 0.66 * FONT * len(text)


def points(axes: Axes, at: Sequence[float], values: Sequence[float]) -> None:
    """What really happened."""
    axes.plot(
        at, values, linestyle="none", marker="D", markersize=8, color=color("history"), markeredgecolor=color("paper"),
        markeredgewidth=1.5, zorder=5, clip_on=False,
    )  # fmt: skip


def _painted(paint: Paint, width: int, height: int) -> str:
    import matplotlib as mpl

    with mpl.rc_context():
        mpl.rcdefaults()  # whatever the machine's own settings say
        mpl.rcParams.update(
            {
                "svg.fonttype": "none",
                "svg.hashsalt": "caucus",
                "text.parse_math": False,
                "font.size": FONT,
                "axes.linewidth": 1,
                "axes.edgecolor": color("baseline"),
                "axes.labelcolor": color("muted"),
                "xtick.color": color("baseline"),
                "xtick.labelcolor": color("muted"),
                "ytick.color": color("baseline"),
                "ytick.labelcolor": color("muted"),
                "grid.color": color("rule"),
                "grid.linewidth": 1,
                "text.color": color("ink"),
                "path.simplify": False,
            }
        )
        sheet = Sheet(width, height)
        paint(sheet)
        text = io.StringIO()
        nothing: dict[str, str | None] = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        sheet.figure.savefig(text, format="svg", transparent=True, metadata=nothing)
        return text.getvalue()


def _inline(svg: str, name: str, kind: str, title: str, description: str) -> str:
    """A matplotlib SVG as part of a page: accessible, without ids that clash, colors as variables, no addresses."""
    opening = re.search(r"<svg[^>]*viewBox=\"([^\"]+)\"[^>]*>", svg)
    if opening is None:
        raise ValueError("matplotlib wrote no viewBox")
    body = svg[opening.end() :].replace("xlink:href", "href")
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(r"<style[^>]*>.*?</style>", "", body, flags=re.DOTALL)
    body = re.sub(r"font-family: [^;\"]+;? ?", "", body)
    body = re.sub(r" (d|x|y|transform)=\"[^\"]*\"", _shortened, body)
    body = re.sub(r" transform=\"rotate\(-?0 [^\"]*\"", "", body)
    used = set(re.findall(r"#([A-Za-z]\w*)\"|url\(#(\w+)\)", body))
    wanted = {first or second for first, second in used}
    body = re.sub(r" id=\"([^\"]+)\"", lambda m: f' id="{name}-{m[1]}"' if m[1] in wanted else "", body)
    body = re.sub(r"(href=\"|url\()#", rf"\1#{name}-", body)
    for variable, value in colors().items():
        body = body.replace(value, f"var(--{variable})")
    body = re.sub(r">\s+<", "><", body)
    return (
        f'<svg class="{kind}" viewBox="{opening[1]}" role="img" aria-labelledby="{name}-title" '
        f'aria-describedby="{name}-text"><title id="{name}-title">{escape(title)}</title>'
        f'<desc id="{name}-text">{escape(description)}</desc>{body.strip()}'
    )


def _shortened(attribute: re.Match[str]) -> str:
    """Coordinates to a hundredth of a pixel, on one line."""
    text = re.sub(r"-?\d+\.\d+", lambda m: f"{float(m[0]):.2f}".rstrip("0").rstrip("."), attribute[0])
    return re.sub(r"\s+", " ", text).replace(' "', '"') if "\n" in text else text
