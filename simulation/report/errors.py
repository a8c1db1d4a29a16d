"""Chapter: wrong records: how many came in, how many the checks caught, what stayed and what it moved."""

from __future__ import annotations

from simulation.report.chapter import Chapter, Panel, Table, range_name, usual_name, with_range
from simulation.report.forecast import Forecast
from simulation.report.words import DASH, number, percent, percent_range, plural
from simulation.rules.sde import NANO


def chapter(forecast: Forecast) -> Chapter:
    """The chapter."""
    return Chapter(
        "errors", "Errors", [Panel("errors-panel", finding(forecast), _text(forecast), table=_table(forecast))]
    )


def finding(forecast: Forecast) -> str:
    """The sentence above the table."""
    received, caught, wrong = (forecast.band(name) for name in ("wrong_on_receipt", "caught", "wrong"))
    if received.p95 == 0 and wrong.p95 == 0:
        return "Every result that headquarters holds is right"
    if wrong.p95 == 0:
        return f"{plural(received.p50, 'result')} came in wrong, and none of them stays wrong"
    share = percent(wrong.p50 / forecast.sites)
    range_ = with_range(forecast, percent_range(wrong.p05 / forecast.sites, wrong.p95 / forecast.sites))
    return (
        f"{share} of the results at headquarters stay wrong{range_}: of {number(received.p50)} that came in wrong "
        f"the checks stopped {number(caught.p50)}"
    )


def winner_sentence(forecast: Forecast) -> str:
    """Whether the reported winner is the true one, over the nights."""
    differs = sum(row["winner_true"] != row["winner_reported"] for row in forecast.rows)
    if forecast.nights == 1:
        return "The reported winner is " + ("not the true one." if differs else "the true one.")
    if differs == 0:
        return f"In all {forecast.nights} nights the reported winner is the true one."
    return f"In {differs} of {forecast.nights} nights the reported winner is not the true one."


def _text(forecast: Forecast) -> list[str]:
    off = forecast.band("sde_off_nano").p50
    total = sum(forecast.rows[0]["sde_true_nano"])
    if off == 0:
        return [f"No {_unit(forecast)} go to the wrong candidate. {winner_sentence(forecast)}"]
    share = f", {percent(off / total)} of all" if total else ""
    return [
        f"The errors that stay give {units(off)} {_unit(forecast)} to the wrong candidate{share}. "
        + winner_sentence(forecast)
    ]


def _unit(forecast: Forecast) -> str:
    """What the errors move."""
    return "votes" if forecast.scenario.spec.alignment.rules == "straw-poll" else "state delegate equivalents"


def units(nano: int) -> str:
    """State delegate equivalents or votes, from 1e-9 of them, to the tenth."""
    return f"{nano / NANO:,.1f}"


def _table(forecast: Forecast) -> Table:
    def row(name: str, column: str) -> list[str]:
        band = forecast.band(column)
        range_ = f"{number(band.p05)}{DASH}{number(band.p95)}"
        return [name, number(band.p50), range_, percent(band.p50 / forecast.sites)]

    off = forecast.band("sde_off_nano")
    rows = [
        row("wrong when they came in", "wrong_on_receipt"),
        row("of these stopped by the checks", "caught"),
        row("stopped in all, right ones included", "stopped"),
        row("wrong in the end", "wrong"),
        [f"{_unit(forecast)} given wrongly", units(off.p50), f"{units(off.p05)}{DASH}{units(off.p95)}", ""],
    ]
    head = ["Results", usual_name(forecast), range_name(forecast), "of all precincts"]
    return Table("errors-table", "Wrong results in a night", head, rows, usual=1, ranges=(2,)).of(forecast)
