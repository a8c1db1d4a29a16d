"""Chapter: when the results are in, and what the public sees of them; beside what really happened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from simulation.night.curves import SHARES_HELD, STEP
from simulation.night.summary import bands_or_never
from simulation.report import plot
from simulation.report.chapter import Cell, Chapter, Panel, Table, fan_key, range_name, usual_name, with_range
from simulation.report.forecast import Band, Forecast
from simulation.report.plot import Sheet, color
from simulation.scenario.values import FULL_SHARE, MINUTE
from simulation.words import (
    DASH,
    JOINED,
    THIN,
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

ASKED_AT = 14  # on the grid: 22:30 where the call to order is at 19:00, the hour of the late news
VISIBLY = 20  # held and released differ where the medians lie more than a twentieth of the sites apart
HELD = "held by headquarters"
NOBODY = "nobody answered"


def chapter(forecast: Forecast) -> Chapter:
    """The chapter; its second panel only where the scenario claims a real night."""
    panels = [_evening(forecast)]
    if forecast.summary["history"]:
        panels.append(_against_history(forecast))
    return Chapter("results", "Results", panels)


def finding(forecast: Forecast) -> str:
    """The sentence above the curve."""
    held, sites = forecast.curve("reported"), forecast.sites
    evening = forecast.evening(len(held))
    if held[-1].p95 == 0:
        return f"No result reaches headquarters by {clock(evening[-1])}"
    at = min(ASKED_AT, len(held) - 1)
    now, when = held[at], clock(evening[at])
    if now.p05 == sites:
        return f"By {when} headquarters holds every result"
    range_ = with_range(forecast, percent_range(now.p05 / sites, now.p95 / sites))
    share = "no result" if now.p95 == 0 else f"{percent(now.p50 / sites)} of the results{range_}"
    nine_in_ten = forecast.band_of_time("held_p90_at_ms")[2]
    if nine_in_ten is None:
        return f"By {when} headquarters holds {share}; nine in ten never come in"
    verb = "were" if nine_in_ten <= evening[at] else "are"
    return f"By {when} headquarters holds {share}; nine in ten {verb} in by {clock(nine_in_ten)}"


def _evening(forecast: Forecast) -> Panel:
    held, public = forecast.curve("reported"), forecast.curve("released")
    at = forecast.evening(len(held))
    apart = max(h.p50 - r.p50 for h, r in zip(held, public, strict=True))
    released = public if VISIBLY * apart > forecast.sites else None
    key = fan_key(forecast, HELD)
    if released:
        key = (*key, ("dashed", f"released to the public, {usual_name(forecast)}"))
    if forecast.scenario.spec.history.reported:
        key = (*key, ("point", "what really happened"))
    sentence = finding(forecast)
    description = (
        f"Line chart of the share of {number(forecast.sites)} precincts whose result headquarters holds, "
        f"{usual_name(forecast)}, from {clock(at[0])} to {clock(at[-1])}. "
        + "; ".join(f"{clock(at[k])}: {percent(held[k].p50 / forecast.sites)}" for k in range(4, len(held), 8))
        + ". The table of half hours has more."
    )

    def paint(sheet: Sheet) -> None:
        _paint_evening(sheet, forecast, held, released, at)

    text = []
    if released:
        text.append(_about_the_public(forecast, released))
    missing = forecast.sites - held[-1].p50
    if missing:
        are = "is" if missing == 1 else "are"
        text.append(f"At {clock(at[-1])} {plural(missing, 'result')} of {number(forecast.sites)} {are} still missing.")
    picture = plot.draw("results-evening", sentence, description, paint, heights=(400, 350), key=key)
    more = [_half_hours(forecast, held, released, at)]
    return Panel("results-evening", sentence, text, picture, _when_in(forecast), more)


def _paint_evening(
    sheet: Sheet, forecast: Forecast, held: Sequence[Band], released: Sequence[Band] | None, at: Sequence[int]
) -> None:
    scale = 100 / forecast.sites
    axes = sheet.axes(left=52, right=22, top=30, bottom=sheet.height - 46)
    sheet.clock_axis(axes, at[0], at[-1])
    axes.set_ylim(0, 100)
    axes.set_yticks([0, 25, 50, 75, 100], ["0 %", "25 %", "50 %", "75 %", "100 %"])
    sheet.heading(axes, f"Share of all {number(forecast.sites)} precincts")
    plot.fan(axes, at, held, scale)
    if held[-1].p95 * scale < 88:
        sheet.label(axes, at[-1], held[-1].p95 * scale, HELD, "forecast", above=True, to_the_left=True)
    else:
        starts = at[-1] - (at[-1] - at[0]) * plot.width(HELD) / (sheet.width - 74)
        below = next(band.p05 for when, band in zip(at, held, strict=True) if when >= starts)
        sheet.label(axes, at[-1], below * scale, HELD, "forecast", above=False, to_the_left=True)
    if released:
        line = [band.p50 * scale for band in released]
        axes.plot(at, line, color=color("second"), linewidth=2, dashes=(4, 2), clip_on=False)
        if line[-1] < 12:
            until = forecast.scenario.spec.headquarters.release.until
            nothing = (
                f"released: nothing before {clock(until)}" if until and line[-1] == 0 else "released to the public"
            )
            text = "released to the public" if sheet.narrow else nothing
            sheet.label(axes, at[-1], line[-1], text, "second", above=True, to_the_left=True)
        else:
            widest = max(range(len(held)), key=lambda k: held[k].p50 - released[k].p50)
            late = at[widest] > (at[0] + at[-1]) / 2
            sheet.label(axes, at[widest], line[widest], "released", "second", above=line[widest] < 12, to_the_left=late)
    seen = [point for point in forecast.scenario.spec.history.reported if at[0] <= point.at <= at[-1]]
    if seen:
        plot.points(axes, [point.at for point in seen], [point.share * 100 / FULL_SHARE for point in seen])
        sheet.label(
            axes, seen[0].at, seen[0].share * 100 / FULL_SHARE, "what happened", "history", above=False, offset=9
        )


def _about_the_public(forecast: Forecast, released: Sequence[Band]) -> str:
    at = forecast.evening(len(released))
    until = forecast.scenario.spec.headquarters.release.until
    if released[-1].p95 == 0:
        why = f": every result is held back until {clock(until)}" if until else ""
        return f"The public sees nothing all night{why}."
    return f"The public sees less: {percent(released[-1].p50 / forecast.sites)} by {clock(at[-1])}."


def _when_in(forecast: Forecast) -> Table:
    rows = []
    for share in SHARES_HELD:
        low, _, usual, _, high = forecast.band_of_time(f"held_p{share}_at_ms")
        name = "all" if share == 100 else percent(share / 100)
        rows.append([name, clock(usual, brief=True), clock_range(low, high, brief=True)])
    head = ["Results", usual_name(forecast), range_name(forecast)]
    return Table("when-in", "When the results are in", head, rows, usual=1, ranges=(2,)).of(forecast)


def _half_hours(forecast: Forecast, held: Sequence[Band], released: Sequence[Band] | None, at: Sequence[int]) -> Table:
    sites = forecast.sites
    head = ["Clock", f"held, {usual_name(forecast)}", "half of the nights", range_name(forecast)]
    head += [f"released, {usual_name(forecast)}"] if released else []
    rows = []
    for k in range(0, len(held), 30 * MINUTE // STEP):
        low, quarter, usual, three_quarters, high = (count / sites for count in held[k])
        row = [
            clock(at[k], brief=True),
            percent(usual),
            percent_range(quarter, three_quarters),
            percent_range(low, high),
        ]
        rows.append(row + ([percent(released[k].p50 / sites)] if released else []))
    caption = f"Share of all {number(sites)} precincts by half hour"
    return Table("results-half-hours", caption, head, rows, usual=1, ranges=(2, 3)).of(forecast)


# Beside what really happened


def _against_history(forecast: Forecast) -> Panel:
    verdicts = forecast.summary["history"]
    inside = sum(verdict["inside"] for verdict in verdicts)
    sentence = history_finding(forecast, inside, len(verdicts))
    head = ["", "really", usual_name(forecast), range_name(forecast).replace(JOINED, " "), "inside?"]
    rows = [[_may_part(cell) for cell in row] for row in _history_rows(forecast, iter(verdicts))]
    caption = "What was published of the real night, and the simulated nights"
    table = Table("history", caption, head, rows, text_columns=(0, 4), usual=2, ranges=(3, 4)).of(forecast)
    note = ""
    if not forecast.is_large:
        note = f"The range of {plural(forecast.nights, 'night')} is too narrow to judge by; play 200."
    return Panel("results-history", sentence, table=table, note=note)


def history_finding(forecast: Forecast, inside: int, figures: int) -> str:
    """How many of the published figures lie inside the range."""
    published = f"{spelled(figures)} published {'figure' if figures == 1 else 'figures'} of the real night"
    if not forecast.several:
        return f"One simulated night beside {published}"
    range_ = "the range" if forecast.is_large else f"the range of the {spelled(forecast.nights)} nights"
    if inside == figures:
        return f"{'The' if figures == 1 else 'All'} {published} {'lies' if figures == 1 else 'lie'} inside {range_}"
    outside = figures - inside
    lie = "lies" if outside == 1 else "lie"
    if figures == 1:
        return f"The {published} lies outside {range_}"
    if inside == 0:
        return f"None of the {published} lies inside {range_}"
    return f"{capitalized(spelled(outside))} of the {published} {lie} outside {range_}"


def _history_rows(forecast: Forecast, verdicts: Any) -> list[list[str | Cell]]:
    history = forecast.scenario.spec.history
    rows: list[list[str | Cell]] = []
    for what, column, points in (
        ("held", "reported_at_history", history.reported),
        ("released", "released_at_history", history.released),
    ):
        for band, point in zip(forecast.curve(column), points, strict=True):
            low, usual, high = (_tenths(count / forecast.sites) for count in (band.p05, band.p50, band.p95))
            range_ = f"{low}{THIN}%" if low == high else f"{low}{DASH}{high}{THIN}%"
            real = point.share / FULL_SHARE
            verdict = _verdict(next(verdicts), real < band.p05 / forecast.sites)
            name = f"{what}, {clock(point.at, brief=True)}"
            rows.append([name, f"{_tenths(real)}{THIN}%", f"{usual}{THIN}%", range_, verdict])
    for index, hold in enumerate(history.holds):
        holds = bands_or_never([row["holds_at_history_ms"][index] for row in forecast.rows])
        shortest, median, longest = (holds[name] for name in ("p05", "p50", "p95"))
        verdict = _verdict(next(verdicts), shortest is None or hold.hold < shortest)
        shown = NOBODY if median is None else duration(median)
        name = f"on hold until answered, {clock(hold.at, brief=True)}"
        rows.append([name, duration(hold.hold), shown, _range_of_holds(shortest, longest), verdict])
    return rows


def _range_of_holds(low: int | None, high: int | None) -> str:
    """Nobody who holds is answered: that is beyond every hold."""
    if low is None:
        return NOBODY
    return f"{duration(low)} to {NOBODY}" if high is None else duration_range(low, high)


def _may_part(cell: str | Cell) -> str | Cell:
    """The cell with ordinary blanks: five columns fit on a telephone only where lines end within times."""
    return cell.replace(JOINED, " ") if isinstance(cell, str) else cell


def _tenths(share: float) -> str:
    """Percent to the tenth: figures of history are compared, not remembered."""
    return f"{share * 100:.1f}"


def _verdict(verdict: Mapping[str, Any], lower: bool) -> Cell:
    if verdict["inside"]:
        return Cell("yes", "inside")
    return Cell("no, lower" if lower else "no, higher", "outside")
