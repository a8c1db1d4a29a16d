"""Chapter: when the results are in, and what the public sees of them; beside what really happened."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from simulation.night.outcome import SHARES_HELD, STEP
from simulation.report import plot
from simulation.report.chapter import Cell, Chapter, Panel, Table
from simulation.report.forecast import ENOUGH_NIGHTS, Band, Forecast
from simulation.report.plot import Sheet, color
from simulation.report.words import (
    capitalized,
    clock,
    clock_range,
    duration,
    duration_range,
    number,
    percent,
    percent_range,
    plural,
    spelled,
)
from simulation.scenario.values import FULL_SHARE, HOUR, MINUTE

ASKED_AT = 14  # on the grid: 22:30 where the call to order is at 19:00, the time by which people go to bed
VISIBLY = 100  # held and released differ where the medians lie more than a hundredth of the sites apart


def chapter(forecast: Forecast) -> Chapter:
    """The chapter; its second panel only where the scenario claims a real night."""
    panels = [_evening(forecast)]
    if forecast.summary["history"]:
        panels.append(_against_history(forecast))
    return Chapter("results", "Results", panels)


def finding(forecast: Forecast) -> str:
    """The sentence above the curve."""
    held = forecast.curve("reported")
    at = min(ASKED_AT, len(held) - 1)
    now = held[at]
    when = clock(forecast.evening(len(held))[at])
    if held[-1].p95 == 0:
        return f"No result reaches headquarters by {clock(forecast.evening(len(held))[-1])}"
    nine_in_ten = forecast.band_of_time("held_p90_at_ms")[2]
    if now.p95 == 0:
        first = f"By {when} headquarters holds no result"
    elif now.p50 == forecast.sites:
        first = f"By {when} headquarters holds every result"
    else:
        range_ = in_parentheses(forecast, percent_range(now.p05 / forecast.sites, now.p95 / forecast.sites))
        first = f"By {when} headquarters holds {percent(now.p50 / forecast.sites)} of the results{range_}"
    if now.p50 == forecast.sites:
        return first
    if nine_in_ten is None:
        return f"{first}; nine in ten are never reached within the days that the simulation looks at"
    if nine_in_ten <= forecast.evening(len(held))[at]:
        return f"{first}; nine in ten were in by {clock(nine_in_ten)}"
    return f"{first}; nine in ten are in by {clock(nine_in_ten)}"


def in_parentheses(forecast: Forecast, range_: str) -> str:
    """The range behind a number, where there are nights to have one."""
    return f" ({range_})" if forecast.nights > 1 else ""


def _evening(forecast: Forecast) -> Panel:
    held, released = forecast.curve("reported"), forecast.curve("released")
    at = forecast.evening(len(held))
    shows_released = any(VISIBLY * abs(h.p50 - r.p50) > forecast.sites for h, r in zip(held, released, strict=True))
    key = (("line", "held by headquarters: the usual night (median)"), *plot.FAN_KEY[1:]) if forecast.nights > 1 else ()
    if shows_released:
        key = (*key, ("dashed", "released to the public: the usual night"))
    if forecast.scenario.spec.history.reported:
        key = (*key, ("point", "what really happened"))
    sentence = finding(forecast)
    description = (
        f"Line chart of the share of {number(forecast.sites)} precincts whose result headquarters holds, from "
        f"{clock(at[0])} to {clock(at[-1])}. "
        + " ".join(
            f"{clock(at[k])}: {percent(held[k].p50 / forecast.sites)}." for k in range(4, len(held), 8)
        )
        + " The table of half hours below has every number."
    )

    def paint(sheet: Sheet) -> None:
        _paint_evening(sheet, forecast, held, released if shows_released else None, at)

    text = []
    if shows_released:
        text.append(_about_the_public(forecast, released))
    last = held[-1]
    if last.p50 < forecast.sites:
        missing = forecast.sites - last.p50
        text.append(f"At {clock(at[-1])} {plural(missing, 'result')} of {number(forecast.sites)} are still missing.")
    return Panel(
        "results-evening",
        sentence,
        text,
        plot.draw("results-evening", sentence, description, paint, heights=(440, 360), key=key),
        _when_in(forecast),
        [_half_hours(forecast, held, released if shows_released else None, at)],
    )


def _paint_evening(
    sheet: Sheet, forecast: Forecast, held: Sequence[Band], released: Sequence[Band] | None, at: Sequence[int]
) -> None:
    scale = 100 / forecast.sites
    axes = sheet.axes(left=44, right=14 if sheet.narrow else 24, top=30, bottom=sheet.height - 46)
    sheet.clock_axis(axes, at[0], at[-1])
    axes.set_ylim(0, 100)
    axes.set_yticks([0, 25, 50, 75, 100], ["0 %", "25 %", "50 %", "75 %", "100 %"])
    sheet.heading(axes, f"Share of all {number(forecast.sites)} precincts")
    plot.fan(axes, at, held, scale)
    end = held[-1]
    if end.p95 * scale < 88:
        axes.text(at[-1], end.p95 * scale + 2.5, "held by headquarters", ha="right", va="bottom", color=color("forecast"), weight="bold")
    else:
        start = held[len(held) // 2].p05 * scale
        axes.text(at[-1], min(start, 88) - 4, "held by headquarters", ha="right", va="top", color=color("forecast"), weight="bold")
    if released:
        axes.plot(at, [band.p50 * scale for band in released], color=color("second"), linewidth=2, dashes=(4, 2), clip_on=False)
        apart = max(range(len(held)), key=lambda k: held[k].p50 - released[k].p50)
        low = released[apart].p50 * scale < 12
        right = at[apart] > (at[0] + at[-1]) / 2
        axes.text(
            at[apart], released[apart].p50 * scale + (2.5 if low else -4), _label_of_released(forecast, released),
            ha="right" if right else "left", va="bottom" if low else "top", color=color("second"), weight="bold",
        )  # fmt: skip
    seen = [point for point in forecast.scenario.spec.history.reported if at[0] <= point.at <= at[-1]]
    if seen:
        plot.points(axes, [p.at for p in seen], [p.share * 100 / FULL_SHARE for p in seen], "what happened")


def _label_of_released(forecast: Forecast, released: Sequence[Band]) -> str:
    until = forecast.scenario.spec.headquarters.release.until
    if released[-1].p50 == 0 and until is not None:
        return f"released: nothing before {clock(until)}"
    return "released to the public"


def _about_the_public(forecast: Forecast, released: Sequence[Band]) -> str:
    at = forecast.evening(len(released))
    release = forecast.scenario.spec.headquarters.release
    if released[-1].p95 == 0:
        until = f" The scenario holds every result back until {clock(release.until)}." if release.until else ""
        return f"The public sees nothing all night.{until}"
    return f"The public sees less: {percent(released[-1].p50 / forecast.sites)} by {clock(at[-1])}."


def _when_in(forecast: Forecast) -> Table:
    rows = []
    for share in SHARES_HELD:
        low, _, usual, _, high = forecast.band_of_time(f"held_p{share}_at_ms")
        name = "all" if share == 100 else percent(share / 100)
        rows.append([name, clock(usual), *([clock_range(low, high)] if forecast.nights > 1 else [])])
    head = ["Results in", "usual night", range_head(forecast)]
    return Table(
        "when-in", "When the results are in", head[: len(rows[0])], rows, usual=1
    )


def range_head(forecast: Forecast) -> str:
    """What a range is called above a column."""
    return "9 nights in 10" if forecast.nights >= ENOUGH_NIGHTS else "lowest to highest"


def _half_hours(
    forecast: Forecast, held: Sequence[Band], released: Sequence[Band] | None, at: Sequence[int]
) -> Table:
    def share(count: int) -> str:
        return percent(count / forecast.sites)

    several = forecast.nights > 1
    head = ["Clock", "held, usual night"]
    head += ["half of the nights", range_head(forecast)] if several else []
    head += ["released, usual night"] if released else []
    rows = []
    for k in range(0, len(held), 30 * MINUTE // STEP):
        row = [clock(at[k]), share(held[k].p50)]
        if several:
            row.append(percent_range(held[k].p25 / forecast.sites, held[k].p75 / forecast.sites))
            row.append(percent_range(held[k].p05 / forecast.sites, held[k].p95 / forecast.sites))
        if released:
            row.append(share(released[k].p50))
        rows.append(row)
    caption = f"Share of all {number(forecast.sites)} precincts by half hour"
    return Table("results-half-hours", caption, head, rows, usual=1)


# Beside what really happened


def _against_history(forecast: Forecast) -> Panel:
    rows, inside = _history_rows(forecast)
    sentence = history_finding(inside, len(rows))
    note = ""
    if forecast.nights < ENOUGH_NIGHTS:
        note = (
            f"With {plural(forecast.nights, 'night')} the range is only that of the nights played; "
            f"a forecast needs {ENOUGH_NIGHTS} or more before a figure outside it says anything."
        )
    head = ["What", "at", "really", "usual night", range_head(forecast), "verdict"]
    table = Table("history", "Published figures of the real night", head, rows, text_columns=(0, 5), usual=3)
    return Panel("results-history", sentence, table=table, note=note)


def history_finding(inside: int, figures: int) -> str:
    """How many of the published figures lie inside the range."""
    figure = plural(figures, "published figure")
    if inside == figures:
        what = "The one published figure" if figures == 1 else f"All {figure}"
        return f"{what} of the real night {'lies' if figures == 1 else 'lie'} inside the forecast"
    if inside == 0:
        return f"None of the {figure} of the real night lies inside the forecast" if figures > 1 else (
            "The one published figure of the real night lies outside the forecast"
        )
    outside = figures - inside
    return f"{capitalized(spelled(outside))} of the {figure} of the real night {'lies' if outside == 1 else 'lie'} outside the forecast"


def _history_rows(forecast: Forecast) -> tuple[list[list[str | Cell]], int]:
    history = forecast.scenario.spec.history
    rows: list[list[str | Cell]] = []
    verdicts = iter(forecast.summary["history"])
    inside = 0
    for what, column, points in (
        ("held by headquarters", "reported_at_history", history.reported),
        ("released", "released_at_history", history.released),
    ):
        for band, point in zip(forecast.curve(column), points, strict=True):
            low, usual, high = (count / forecast.sites for count in (band.p05, band.p50, band.p95))
            seen = point.share / FULL_SHARE
            verdict = next(verdicts)
            inside += verdict["inside"]
            rows.append(
                [what, clock(point.at), percent_fine(seen), percent_fine(usual), f"{percent_fine(low)} to {percent_fine(high)}",
                 _verdict(verdict, seen, low, percent_fine)]
            )  # fmt: skip
    for band, hold in zip(forecast.curve("holds_at_history_ms"), history.holds, strict=True):
        verdict = next(verdicts)
        inside += verdict["inside"]
        answered = band.p50 >= 0
        rows.append(
            ["on hold when answered", clock(hold.at), duration(hold.hold), duration(band.p50) if answered else "nobody answered",
             duration_range(max(0, band.p05), band.p95) if answered else "", _verdict(verdict, hold.hold, band.p05, None)]
        )  # fmt: skip
    return rows, inside


def percent_fine(share: float) -> str:
    """A share to the tenth of a percent: figures of history are compared, not remembered."""
    return f"{share * 100:.1f}\N{NARROW NO-BREAK SPACE}%"


def _verdict(verdict: Any, seen: float, low: float, _: Any) -> Cell:
    if verdict["inside"]:
        return Cell("inside", "inside")
    return Cell("below the forecast" if seen < low else "above the forecast", "outside")
