"""The top of the page: the numbers that a planner asks for first, and what they were made from."""

from __future__ import annotations

from simulation.night.order import Channel
from simulation.report.chapter import KeyNumber
from simulation.report.checkin import lines_gone
from simulation.report.forecast import Forecast
from simulation.words import clock, clock_and_day, clock_range, duration, duration_range, number, plural


def key_numbers(forecast: Forecast) -> list[KeyNumber]:
    """Lines, results, hotline."""
    ends = clock(forecast.door_times(len(forecast.rows[0]["in_line"]))[-1])
    low, gone, high = lines_gone(forecast)
    range_ = clock_range(low, high).replace("never", f"after {ends}")
    what = "the last line at a door is gone"
    value, behind = clock_and_day(gone) if gone is not None else (f"after {ends}", "")
    found = [KeyNumber(value, what, _range(forecast, range_), behind)]
    for share, what in ((50, "half of the results are in"), (90, "nine in ten results are in")):
        low, _, usual, _, high = forecast.band_of_time(f"held_p{share}_at_ms")
        value, behind = clock_and_day(usual) if usual is not None else ("never", "")
        found.append(KeyNumber(value, what, _range(forecast, clock_range(low, high)), behind))
    return [*found, _hold(forecast)]


def _hold(forecast: Forecast) -> KeyNumber:
    if forecast.band(lambda row: row["calls_by_kind"][0]).p50 == 0:
        return KeyNumber("no one", "has to report by hotline")
    if forecast.band("answered").p50 == 0:
        return KeyNumber("no one", "answers the hotline")
    if forecast.band(lambda row: row["channels"][Channel.PHONE]).p50 == 0:
        return KeyNumber("no one", "gets through to the hotline to report")
    hold = forecast.band("hold_p50_ms")
    return KeyNumber(
        duration(hold.p50), "on hold to report a result", _range(forecast, duration_range(hold.p05, hold.p95))
    )


def _range(forecast: Forecast, text: str) -> str:
    return text if forecast.several else ""


def basis(forecast: Forecast) -> str:
    """How many nights of what size."""
    people, satellites = forecast.band("people"), int(forecast.scenario.roster.satellite.sum())
    of_which = f" ({number(satellites)} of them satellites)" if satellites else ""
    spread = f" ({number(people.p05)} to {number(people.p95)})" if people.p05 != people.p95 else ""
    nights, sites = plural(forecast.nights, "simulated night"), plural(forecast.sites, "precinct")
    return f"From {nights} with {sites}{of_which} and {plural(people.p50, 'person', 'people')}{spread}"


def ranges(forecast: Forecast) -> str:
    """How to read a number and its range."""
    if not forecast.several:
        return "One night is one possibility, not a forecast; play 200, and every number has its range."
    if not forecast.is_large:
        return (
            "Each number is that of the usual night (the median); its range runs from the lowest to the highest of the "
            f"{forecast.nights} nights, which is too few for a forecast; play 200."
        )
    return "Each number is that of the usual night (the median); its range holds nine nights in ten."
