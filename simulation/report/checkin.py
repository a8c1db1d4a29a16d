"""Chapter: the lines at the doors: how long, where, and until when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from simulation.night.curves import LINE_STEP, SIZE_CLASSES
from simulation.report import plot
from simulation.report.chapter import Cell, Chapter, Panel, Table, fan_key, range_name, usual_name, with_range
from simulation.report.forecast import NEVER, Band, Forecast, Row
from simulation.report.plot import Sheet, color
from simulation.scenario.values import MINUTE
from simulation.words import (
    DASH,
    capitalized,
    clock,
    duration,
    duration_range,
    number,
    percent,
    percent_range,
    plural,
    spelled,
)

WORST = 10
MILLION = 1_000_000


def chapter(forecast: Forecast) -> Chapter:
    """The chapter: over the evening, by size of precinct, the worst precincts by name."""
    panels = [_over_the_evening(forecast), _by_size(forecast), _worst(forecast)]
    return Chapter("checkin", "Check-in", [panel for panel in panels if panel])


def lines_gone(forecast: Forecast) -> tuple[int | None, int | None, int | None]:
    """p05, p50, p95 over nights of when the last line is gone, to five minutes; None: after what is recorded."""
    times = forecast.door_times(len(forecast.rows[0]["in_line"]))

    def gone_at(row: Row) -> int:
        standing = [k for k, people in enumerate(row["in_line"]) if people > 0]
        if not standing:
            return times[0]
        return times[standing[-1] + 1] if standing[-1] + 1 < len(times) else NEVER

    found = forecast.band(gone_at)
    low, usual, high = (None if at == NEVER else at for at in (found.p05, found.p50, found.p95))
    return low, usual, high


def finding(forecast: Forecast) -> str:
    """The sentence above the curve of people in line."""
    start = clock(forecast.call_to_order)
    waiting = forecast.band("in_line_at_call_to_order")
    if waiting.p95 == 0:
        return f"Nobody is left in line when the caucus is called to order at {start}"
    if waiting.p50 == 0:
        crowd = plural(waiting.p95, "person", "people")
        return f"On a usual night nobody is left in line at {start}, on a bad one {crowd}"
    shares = forecast.band(lambda row: row["in_line_at_call_to_order"] * MILLION // max(1, row["people"]))
    low, _, usual, _, high = (share / MILLION for share in shares)
    range_ = with_range(forecast, percent_range(low, high))
    gone = lines_gone(forecast)[1]
    end = clock(forecast.door_times(len(forecast.rows[0]["in_line"]))[-1])
    last = f"is gone by {clock(gone)}" if gone is not None else f"stands until after {end}"
    return f"At {start}, {percent(usual)} of the people still stand in line{range_}; the last line {last}"


def _over_the_evening(forecast: Forecast) -> Panel:
    lines = forecast.curve("in_line")
    at = forecast.door_times(len(lines))
    sentence = finding(forecast)
    most = max(range(len(lines)), key=lambda k: lines[k].p50)
    description = (
        f"Line chart of the people in line in all precincts together, from {clock(at[0])} to {clock(at[-1])}. The "
        f"most, {usual_name(forecast)}: {number(lines[most].p50)} at {clock(at[most])}. The table has more."
    )

    def paint(sheet: Sheet) -> None:
        axes = sheet.axes(left=52, right=22, top=30, bottom=sheet.height - 46)
        sheet.clock_axis(axes, at[0], at[-1])
        top = plot.scale(axes, max(band.p95 for band in lines))
        sheet.heading(axes, "People in line, all precincts together")
        plot.fan(axes, at, lines, 1)
        axes.axvline(forecast.call_to_order, color=color("ink"), linewidth=1)
        sheet.label(axes, forecast.call_to_order, top, "call to order", "ink", above=False, offset=6)

    text = []
    waiting = forecast.band("in_line_at_call_to_order").p50
    if waiting:
        who = "That is one person" if waiting == 1 else f"These are {number(waiting)} people"
        text.append(
            f"{who}. Whoever stands in line by {clock(forecast.call_to_order)} may take part: a precinct begins "
            "when its line is gone."
        )
    picture = plot.draw("checkin-evening", sentence, description, paint, heights=(340, 300), key=fan_key(forecast))
    more = [_quarter_hours(forecast, lines, at)]
    return Panel("checkin-evening", sentence, text, picture, _waits(forecast), more)


def _waits(forecast: Forecast) -> Table:
    never = int((forecast.precincts["start_delay_ms_p50"] < 0).sum())
    half = "half of the precincts that begin" if never else "half of the precincts"
    rows = []
    for name, column in (
        ("half of the people wait longer than", "wait_p50_ms"),
        ("one in ten waits longer than", "wait_p90_ms"),
        ("one in a hundred waits longer than", "wait_p99_ms"),
        (f"{half} start late by", "start_delay_p50_ms"),
        ("one in ten starts later than by", "start_delay_p90_ms"),
        ("the latest starts late by", "start_delay_max_ms"),
    ):
        band = forecast.band(column)
        rows.append([name, duration(band.p50), duration_range(band.p05, band.p95)])
    if never:
        rows.append(["precincts that never begin", number(never), ""])
    head = ["", usual_name(forecast), range_name(forecast)]
    return Table("waits", "Waits and late starts", head, rows, usual=1, ranges=(2,)).of(forecast)


def _quarter_hours(forecast: Forecast, lines: Sequence[Band], at: Sequence[int]) -> Table:
    head = ["Clock", usual_name(forecast), "half of the nights", range_name(forecast)]
    rows = []
    for k in range(0, len(lines), 15 * MINUTE // LINE_STEP):
        low, quarter, usual, three_quarters, high = map(number, lines[k])
        rows.append([clock(at[k]), usual, f"{quarter}{DASH}{three_quarters}", f"{low}{DASH}{high}"])
    caption = "People in line by quarter of an hour"
    return Table("line-quarter-hours", caption, head, rows, usual=1, ranges=(2, 3)).of(forecast)


# By size of precinct


def size_names() -> list[str]:
    """The classes of precincts by people, in words."""
    between = [f"{low + 1}{DASH}{high}" for low, high in pairwise(SIZE_CLASSES)]
    return [f"up to {SIZE_CLASSES[0]}", *between, f"over {SIZE_CLASSES[-1]}"]


def size_finding(forecast: Forecast, waits: Sequence[tuple[str, Band]]) -> str:
    """Where people wait longest. `waits`: classes of size by name."""
    name, longest = max(waits, key=lambda pair: pair[1].p50)
    if longest.p50 < MINUTE:
        return "In precincts of every size nine people in ten wait less than a minute"
    range_ = with_range(forecast, duration_range(longest.p05, longest.p95))
    where = f"Waits are longest in precincts with {name} people" if len(waits) > 1 else "There are waits"
    return f"{where}: one person in ten waits longer than {duration(longest.p50)}{range_}"


def _by_size(forecast: Forecast) -> Panel | None:
    """None where nobody comes."""
    waits = zip(size_names(), forecast.curve_where_known("wait_p90_by_size_ms"), strict=True)
    shown = [(name, band) for name, band in waits if band]
    if not shown:
        return None
    sentence = size_finding(forecast, shown)
    description = (
        "Bar chart of the wait that one person in ten exceeds, by people in the precinct: "
        + ", ".join(f"{name}: {duration(band.p50)}" for name, band in shown)
        + "."
    )

    def paint(sheet: Sheet) -> None:
        _paint_sizes(sheet, shown)

    head = ["People in the precinct", usual_name(forecast), range_name(forecast)]
    rows = [[name, duration(band.p50), duration_range(band.p05, band.p95)] for name, band in shown]
    caption = "One person in ten waits longer than"
    table = Table("waits-by-size", caption, head, rows, usual=1, ranges=(2,)).of(forecast)
    heights = 80 + 34 * len(shown), 80 + 34 * len(shown)
    key: plot.Key = (("solid", "usual night"), ("inner", bad_night(forecast))) if forecast.several else ()
    picture = plot.draw("checkin-size", sentence, description, paint, heights=heights, key=key)
    return Panel("checkin-size", sentence, picture=picture, table=table)


def _paint_sizes(sheet: Sheet, waits: Sequence[tuple[str, Band]]) -> None:
    axes = sheet.axes(left=74, right=72, top=30, bottom=sheet.height - 46)
    longest = max(MINUTE, *(band.p95 for _, band in waits))
    steps = (1, 2, 5, 10, 20, 30, 60, 120, 240, 480, 1440, 14400)
    step = next(step for step in steps if longest / MINUTE / step < (5 if sheet.narrow else 8))
    ticks = range(0, longest // MINUTE + 1, step)
    axes.set_xlim(0, longest * 1.02)
    axes.set_xticks([tick * MINUTE for tick in ticks], [str(tick) for tick in ticks])
    axes.set_xlabel("minutes that one person in ten waits longer than", labelpad=3)
    axes.grid(visible=False)
    axes.grid(visible=True, axis="x")
    axes.set_ylim(len(waits) - 0.4, -0.6)
    axes.set_yticks(range(len(waits)), [name for name, _ in waits])
    axes.spines["left"].set_visible(True)
    axes.spines["bottom"].set_visible(False)
    sheet.heading(axes, "People in the precinct")
    for k, (_, band) in enumerate(waits):
        plot.bar(axes, k, band, duration(band.p50))


def bad_night(forecast: Forecast) -> str:
    """What a bad night is: the upper end of the range."""
    worse = "one in twenty is worse" if forecast.is_large else f"the worst of {spelled(forecast.nights)}"
    return f"bad night ({worse})"


# The worst precincts


def _worst(forecast: Forecast) -> Panel | None:
    """The longest waits of the usual night, then of a bad one; None where nobody waits."""
    frame, typical, bad = forecast.precincts, "wait_p90_ms_p50", "wait_p90_ms_p95"
    usual = usual_name(forecast)
    order = frame.sort([typical, bad, "id"], descending=[True, True, False]).head(WORST).to_dicts()
    order = [site for site in order if site[bad] >= MINUTE]
    if not order:
        return None
    roster, everywhere = forecast.scenario.roster, forecast.scenario.spec.checkin.stations
    stations = dict(zip(roster.ids, roster.stations.tolist(), strict=True))
    longest = max(site[bad] for site in order)

    def start(site: Mapping[str, Any], column: str) -> str:
        return clock(forecast.call_to_order + site[column], brief=True) if site[column] >= 0 else "never"

    rows: list[list[str | Cell]] = [
        [
            _name(site),
            Cell("", bar=(100 * site[typical] // longest, 100 * site[bad] // longest if forecast.several else 0)),
            duration(site[typical]),
            duration(site[bad]),
            number(site["people_p50"]),
            number(everywhere or stations[site["id"]]),
            start(site, "start_delay_ms_p50"),
            start(site, "start_delay_ms_p95"),
        ]
        for site in order
    ]
    head = ["Precinct", "Wait", usual, "bad night", "people", "stations", f"start, {usual}", "start, bad night"]
    caption = f"The {len(rows)} longest waits" if len(rows) > 1 else "The longest wait"
    table = Table("worst", caption, head, rows, text_columns=(0, 1), usual=2, ranges=(3, 7)).of(forecast)
    sentence = f"Worst of all is {_name(order[0])}: one person in ten waits longer than {duration(order[0][typical])}"
    sentence += f", on a bad night {duration(order[0][bad])}" if forecast.several else ""
    note = "Wait: one person in ten waits longer."
    if forecast.several:
        note += f" {capitalized(bad_night(forecast))}, for each precinct by itself."
    return Panel("checkin-worst", sentence, table=table, note=note)


def _name(site: Mapping[str, Any]) -> str:
    county, precinct = str(site["county"]), str(site["precinct"])
    return precinct if county in precinct else f"{precinct}, {county}"
