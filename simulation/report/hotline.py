"""Chapter: the hotline: who holds, who answers, how long it takes to get through."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from matplotlib.axes import Axes

from simulation.night.curves import STEP
from simulation.night.order import Call
from simulation.report import plot
from simulation.report.chapter import Chapter, Panel, Table, fan_key, range_name, usual_name, with_range
from simulation.report.forecast import Band, Forecast, Row
from simulation.report.plot import Sheet, color
from simulation.scenario.values import HOUR, MINUTE
from simulation.words import (
    DASH,
    clock,
    duration,
    duration_range,
    number,
    percent,
    percent_range,
    plural,
)

SHORT_HOLD = 5 * MINUTE  # a worst hold below it is no story
MILLION = 1_000_000
FEW = 20_000  # millionths: below, calls given up or turned away are no story
KINDS = {
    Call.REPORT: "to report",
    Call.HELP: "for help with the app",
    Call.NUISANCE: "nuisance",
    Call.CALLBACK: "from headquarters to chairs",
}

Holds = Sequence[Band | None]


def chapter(forecast: Forecast) -> Chapter:
    """The chapter; where the hotline hardly matters only its sentence and its table."""
    return Chapter("hotline", "Hotline", [_panel(forecast)])


def finding(forecast: Forecast) -> str:
    """The sentence above the picture."""
    calls = forecast.band("calls")
    if calls.p95 == 0:
        return "Nobody calls the hotline"
    if calls.p50 == 0:
        return (
            f"On a usual night nobody calls the hotline, on a busy one {plural(calls.p95, 'call comes', 'calls come')}"
        )
    troubles = _troubles(forecast)
    if troubles:
        return "; ".join(troubles)
    worst = _worst_hold(forecast)
    hold = worst[1].p50 if worst else 0
    soon = f"within {duration(max(MINUTE, hold))} at worst" if hold else "at once"
    return f"The hotline hardly matters: {plural(calls.p50, 'call')} in a night, answered {soon}"


def _troubles(forecast: Forecast) -> list[str]:
    """What is wrong with the hotline, the parts of one sentence; none where it hardly matters."""
    calls = forecast.band("calls").p50
    if calls and forecast.band("answered").p95 == 0:
        return [f"Nobody answers the hotline: {plural(calls, 'call')} in a night"]
    parts = []
    worst = _worst_hold(forecast)
    if worst and worst[1].p50 >= SHORT_HOLD:
        at, hold = worst
        range_ = with_range(forecast, duration_range(hold.p05, hold.p95))
        parts.append(f"Callers who get through at {clock(at)} have been on hold for {duration(hold.p50)}{range_}")
    for share, what in (
        (
            _ratio(forecast, "hung_up", "hung_up", "answered").p50,
            f"calls on hold {'' if parts else 'at the hotline '}are given up",
        ),
        (_ratio(forecast, "busy_tones", "calls").p50, "calls to the hotline hear a busy tone"),
    ):
        if share >= FEW:
            parts.append(f"{percent(share / MILLION)} of the {what}")
    return parts


def _worst_hold(forecast: Forecast) -> tuple[int, Band] | None:
    """When callers who get through have held longest on the usual night, and how long."""
    holds = forecast.curve_where_known("hold_when_answered_by_grid_ms")
    known = [(at, hold) for at, hold in zip(forecast.evening(len(holds)), holds, strict=True) if hold]
    return max(known, key=lambda pair: pair[1].p50) if known else None


def _ratio(forecast: Forecast, part: str, *whole: str) -> Band:
    """A column as millionths of the sum of others."""
    return forecast.band(lambda row: row[part] * MILLION // max(1, sum(row[name] for name in whole)))


def _panel(forecast: Forecast) -> Panel:
    sentence = finding(forecast)
    if not _troubles(forecast):
        return Panel("hotline-evening", sentence, _about_operators(forecast), table=_totals(forecast))
    queue, busy, duty = (forecast.curve(name) for name in ("queue_by_grid", "busy_by_grid", "on_duty_by_grid"))
    holds = forecast.curve_where_known("hold_when_answered_by_grid_ms")
    at = forecast.evening(len(queue))
    most = max(range(len(queue)), key=lambda k: queue[k].p50)
    description = (
        f"Three charts over the evening, one below the other, {usual_name(forecast)}. Callers on hold: at most "
        f"{number(queue[most].p50)}, at {clock(at[most])}. Operators busy and on duty. How long callers who are "
        "answered at that time have been on hold. The table of half hours has more."
    )

    def paint(sheet: Sheet) -> None:
        rows = [(30, 140), (186, 276), (322, sheet.height - 46)]
        first, second, third = (sheet.axes(left=52, right=22, top=top, bottom=bottom) for top, bottom in rows)
        for axes in (first, second, third):
            sheet.clock_axis(axes, at[0], at[-1], labels=axes is third)
        sheet.heading(first, "Callers on hold")
        plot.scale(first, max(band.p95 for band in queue), 3)
        plot.fan(first, at, queue, 1)
        sheet.heading(second, "Operators")
        _paint_operators(sheet, second, at, busy, duty)
        _paint_holds(sheet, third, forecast, at, holds)

    key = fan_key(forecast)
    if _seen(forecast, at):
        key = (*key, ("point", "what really happened"))
    picture = plot.draw("hotline-evening", sentence, description, paint, heights=(480, 470), key=key)
    more = [_half_hours(forecast, at, queue, busy, duty, holds)]
    return Panel("hotline-evening", sentence, _about_operators(forecast), picture, _totals(forecast), more)


def _about_operators(forecast: Forecast) -> list[str]:
    on_duty = max(band.p50 for band in forecast.curve("on_duty_by_grid"))
    talking = percent(forecast.summary["hotline"]["occupancy"])
    many = plural(on_duty, "operator is", "operators are")
    return [f"At most {many} on duty; they are on the phone for {talking} of their time."] if on_duty else []


def _paint_operators(sheet: Sheet, axes: Axes, at: Sequence[int], busy: Sequence[Band], duty: Sequence[Band]) -> None:
    """The usual night: busy as an area, on duty as a line of steps."""
    most = max(band.p50 for band in (*duty, *busy))
    top = plot.scale(axes, 1.35 * most, 3)
    axes.fill_between(at, [band.p50 for band in busy], color=color("fan-inner"), linewidth=0, step="post")
    axes.plot(at, [band.p50 for band in duty], color=color("second"), linewidth=2, drawstyle="steps-post")
    highest = max(range(len(at)), key=lambda k: duty[k].p50)
    if duty[highest].p50:
        sheet.label(axes, at[highest], duty[highest].p50, "on duty", "second", above=True, offset=6)
    busiest = max(range(len(at)), key=lambda k: busy[k].p50)
    if busy[busiest].p50 > 0.3 * top:
        sheet.label(axes, at[busiest], 0, "busy", "ink", above=True, offset=14)


def _paint_holds(sheet: Sheet, axes: Axes, forecast: Forecast, at: Sequence[int], holds: Holds) -> None:
    seen = _seen(forecast, at)
    longest = max([hold.p95 for hold in holds if hold] + [hold for _, hold in seen] + [10 * MINUTE])
    unit, name = (HOUR, "hours") if longest > 2 * HOUR else (MINUTE, "minutes")
    plot.scale(axes, longest / unit, 3)
    sheet.heading(axes, f"On hold until answered at that time, {name}")
    for run in _runs(at, holds):
        plot.fan(axes, [when for when, _ in run], [hold for _, hold in run], 1 / unit)
    if seen:
        plot.points(axes, [when for when, _ in seen], [hold / unit for _, hold in seen])
        when, longest = max(seen, key=lambda point: point[1])
        sheet.label(axes, when, longest / unit, "what happened", "history", above=False, offset=9)


def _seen(forecast: Forecast, at: Sequence[int]) -> list[tuple[int, int]]:
    """What was said of the real night's holds, within the evening."""
    return [(point.at, point.hold) for point in forecast.scenario.spec.history.holds if at[0] <= point.at <= at[-1]]


def _runs(at: Sequence[int], holds: Holds) -> list[list[tuple[int, Band]]]:
    """The stretches of the evening in which somebody is answered."""
    runs: list[list[tuple[int, Band]]] = [[]]
    for when, hold in zip(at, holds, strict=True):
        if hold:
            runs[-1].append((when, hold))
        else:
            runs.append([])
    return [run for run in runs if run]


def _totals(forecast: Forecast) -> Table:
    def row(name: str, of: str | Callable[[Row], int]) -> list[str]:
        band = forecast.band(of)
        low, high = number(band.p05), number(band.p95)
        return [name, number(band.p50), low if low == high else f"{low}{DASH}{high}"]

    def of_kind(about: Call) -> Callable[[Row], int]:
        return lambda row: int(row["calls_by_kind"][about])

    rows = [row("calls in all", "calls")]
    rows += [row(name, of_kind(about)) for about, name in KINDS.items() if forecast.band(of_kind(about)).p95]
    rows += [row("answered", "answered"), row("given up on hold", "hung_up"), row("busy tones", "busy_tones")]
    for name, column in (
        ("half of the reports hold longer than", "hold_p50_ms"),
        ("one in ten holds longer than", "hold_p90_ms"),
    ):
        band = forecast.band(column)
        rows.append([name, duration(band.p50), duration_range(band.p05, band.p95)])
    busy = _ratio(forecast, "operators_busy_ms", "operators_on_duty_ms")
    low, _, usual, _, high = (share / MILLION for share in busy)
    rows.append(["operators on the phone", percent(usual), percent_range(low, high)])
    head = ["", usual_name(forecast), range_name(forecast)]
    return Table("hotline-totals", "Calls in a night", head, rows, usual=1, ranges=(2,)).of(forecast)


def _half_hours(
    forecast: Forecast,
    at: Sequence[int],
    queue: Sequence[Band],
    busy: Sequence[Band],
    duty: Sequence[Band],
    holds: Holds,
) -> Table:
    range_ = range_name(forecast)
    head = ["Clock", "on hold", range_, "operators busy", "on duty", "held until answered", range_]
    rows = []
    for k in range(0, len(at), 30 * MINUTE // STEP):
        hold = holds[k]
        waiting = f"{number(queue[k].p05)}{DASH}{number(queue[k].p95)}"
        held = (duration(hold.p50), duration_range(hold.p05, hold.p95)) if hold else ("nobody answered", "")
        rows.append(
            [clock(at[k], brief=True), number(queue[k].p50), waiting, number(busy[k].p50), number(duty[k].p50), *held]
        )
    caption = f"The hotline by half hour, {usual_name(forecast)}"
    return Table("hotline-half-hours", caption, head, rows, ranges=(2, 6)).of(forecast)
