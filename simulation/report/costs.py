"""Chapter: what the plan costs in dollars, and what waiting costs people in hours of their time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from matplotlib.axes import Axes

from simulation.report import plot
from simulation.report.chapter import Chapter, Panel, Table, range_name, usual_name, with_range
from simulation.report.checkin import bad_night
from simulation.report.forecast import Band, Forecast, Row
from simulation.report.plot import Sheet
from simulation.scenario.values import HOUR
from simulation.words import DASH, THIN, number, plural

CENTS = 100
HOURS = f"{THIN}h"
Item = tuple[str, Band]  # dollars, or hours

DOLLARS = (
    ("operators", "cost_operators_cents"),
    ("check-in stations", "cost_stations_cents"),
    ("review desk", "cost_review_cents"),
)
WAITING = (("people in line", "wait_total_ms"), ("chairs on hold", "chairs_hold_total_ms"))
PARTS = ("cost_operators_cents", "cost_stations_cents", "cost_review_cents")


def chapter(forecast: Forecast) -> Chapter:
    """The chapter."""
    sentence = finding(forecast)
    plan = [(name, forecast.band(_rounded(column, CENTS))) for name, column in DOLLARS]
    waiting = [(name, forecast.band(_rounded(column, HOUR))) for name, column in WAITING]
    description = (
        "Two bar charts. Dollars of the plan: "
        + ", ".join(f"{name} {dollars(band.p50)}" for name, band in plan)
        + ". Hours spent waiting: "
        + ", ".join(f"{name} {hours(band.p50)}" for name, band in waiting)
        + "."
    )

    def paint(sheet: Sheet) -> None:
        first, second = (30, 30 + 34 * len(plan)), (sheet.height - 4 - 34 * len(waiting), sheet.height - 4)
        _bars(sheet, first, "Dollars that the plan takes", plan, dollars)
        _bars(sheet, second, "Hours that people wait", waiting, hours)

    height = 30 + 34 * (len(plan) + len(waiting)) + 52
    key: plot.Key = (("solid", "usual night"), ("inner", bad_night(forecast))) if forecast.several else ()
    picture = plot.draw("costs-bars", sentence, description, paint, heights=(height, height), key=key)
    panel = Panel("costs-bars", sentence, _text(forecast), picture, _table(forecast), note=_note(forecast))
    return Chapter("costs", "Costs", [panel])


def finding(forecast: Forecast) -> str:
    """Dollars of the plan, against hours of people."""
    plan = Band(*map(about, forecast.band(total)))
    range_ = with_range(forecast, _between(plan.p05, plan.p95, dollars))
    cost = f"The plan costs {dollars(plan.p50)}{range_}" if plan.p95 else "The plan costs nothing"
    line, hold = (about(forecast.band(_rounded(column, HOUR)).p50) for _, column in WAITING)
    if line == 0 and hold == 0:
        return f"{cost}; hardly anybody waits"
    waits = [f"people {plural(line, 'hour')} in line"] if line else []
    waits += [f"chairs {plural(hold, 'hour')} on hold"] if hold else []
    return f"{cost}; waiting costs {' and '.join(waits)}"


def about(amount: int) -> int:
    """The amount to two digits: more would claim to know more."""
    unit: int = 10 ** max(0, len(str(amount)) - 2)
    return (amount + unit // 2) // unit * unit


def total(row: Row) -> int:
    """Dollars of the whole plan."""
    cents = sum(int(row[column]) for column in PARTS)
    return (cents + CENTS // 2) // CENTS


def dollars(amount: int) -> str:
    """Whole dollars."""
    return f"${amount:,}"


def hours(count: int) -> str:
    """Whole hours."""
    return number(count) + HOURS


def _rounded(column: str, unit: int) -> Callable[[Row], int]:
    return lambda row: (int(row[column]) + unit // 2) // unit


def _text(forecast: Forecast) -> list[str]:
    people = max(1, forecast.band("people").p50)
    shifts = forecast.band(_rounded("operators_shifts_ms", HOUR)).p50
    stations = forecast.band("stations").p50
    each = forecast.band(total).p50 * CENTS // people
    text = (
        f"Operators are on duty for {plural(shifts, 'hour')} in all shifts; volunteers check people in at "
        f"{plural(stations, 'station')}. For each person who comes the plan takes ${each // CENTS}.{each % CENTS:02d}."
    )
    return [text]


def _note(forecast: Forecast) -> str:
    costs = forecast.scenario.spec.costs
    rates = [
        (costs.operator_hour, "an hour of an operator"),
        (costs.station, "a station"),
        (costs.reviewer_hour, "an hour of review"),
    ]
    said = ", ".join(f"{_between(rate.low, rate.high, dollars)} for {what}" for rate, what in rates)
    sums = " Medians of parts do not add up to the median of the whole." if forecast.several else ""
    return (
        f"Assumed: {said} (section costs of the scenario). Rooms, material of the party and volunteers are not in it."
        f"{sums}"
    )


def _between(low: int, high: int, said: Callable[[int], str]) -> str:
    return said(low) if said(low) == said(high) else f"{said(low).removesuffix(HOURS)}{DASH}{said(high)}"


def _table(forecast: Forecast) -> Table:
    def row(name: str, band: Band, said: Callable[[int], str]) -> list[str]:
        return [name, said(band.p50), _between(band.p05, band.p95, said)]

    rows = [row(name, forecast.band(_rounded(column, CENTS)), dollars) for name, column in DOLLARS]
    rows.append(row("the plan in all", forecast.band(total), dollars))
    rows += [row(name, forecast.band(_rounded(column, HOUR)), hours) for name, column in WAITING]
    rows.append(row("review desk at work", forecast.band(_rounded("review_total_ms", HOUR)), hours))
    rows.append(row("operators on duty", forecast.band(_rounded("operators_shifts_ms", HOUR)), hours))
    head = ["", usual_name(forecast), range_name(forecast)]
    return Table("costs-table", "Dollars and hours of a night", head, rows, usual=1, ranges=(2,)).of(forecast)


def _bars(
    sheet: Sheet, place: tuple[int, int], heading: str, items: Sequence[Item], said: Callable[[int], str]
) -> None:
    """Bars of the usual night on bars of a bad one, each with its number; no axis, because every bar says it."""
    axes: Axes = sheet.axes(left=122, right=88, top=place[0], bottom=place[1])
    longest = max(1, *(band.p95 for _, band in items))
    axes.set_xlim(0, longest)
    axes.set_xticks([])
    axes.grid(visible=False)
    axes.set_ylim(len(items) - 0.5, -0.5)
    axes.set_yticks(range(len(items)), [name for name, _ in items])
    axes.spines["left"].set_visible(True)
    axes.spines["bottom"].set_visible(False)
    sheet.heading(axes, heading)
    for k, (_, band) in enumerate(items):
        plot.bar(axes, k, band, said(band.p50))
