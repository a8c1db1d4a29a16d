"""Chapter: the precincts that lose most time, each told in a few sentences, with the command that tells it in full."""

from __future__ import annotations

import shlex

from simulation.report.basis import RUN_FILE
from simulation.report.chapter import Chapter, Panel, Story
from simulation.report.forecast import Forecast, Row
from simulation.report.story import LATE, in_short
from simulation.words import clock, duration, site_name, spelled


def chapter(forecast: Forecast) -> Chapter | None:
    """The chapter; None where no precinct loses time."""
    shown = [row for row in forecast.worst if row["lost_ms"] >= LATE]
    if not shown:
        return None
    stories = [
        Story(_headline(row), f"Night {row['night']}", _told(forecast, row), _command(forecast, row)) for row in shown
    ]
    panel = Panel("worst-stories", finding(forecast, shown[0]), [_chosen(forecast, len(shown))], stories=stories)
    return Chapter("worst-precincts", "Precincts", [panel])


def finding(forecast: Forecast, worst: Row) -> str:
    """The precinct that loses most."""
    name = site_name(worst["county"], worst["precinct"])
    lost = duration(worst["lost_ms"])
    if not forecast.several:
        return f"No precinct loses more time than {name}: {lost}"
    return f"Over all nights {name} loses most time: {lost} on its usual night"


def _chosen(forecast: Forecast, count: int) -> str:
    which = "This is the precinct" if count == 1 else f"These are the {spelled(count)} precincts"
    lose = "loses" if count == 1 else "lose"
    over = f" over all {forecast.nights} nights" if forecast.several else ""
    told = "Each is told on its usual night. " if forecast.several else ""
    return (
        f"{which} that {lose} most time{over}: until the caucus begins, and from the signed worksheet until "
        f"headquarters holds the result (at most four hours each). {told}The command below a story tells the whole "
        "evening."
    )


def _headline(row: Row) -> str:
    name, started, reported = site_name(row["county"], row["precinct"]), row["started_at_ms"], row["reported_at_ms"]
    if started < 0:
        return f"{name} never begins"
    result = f"its result is in at {clock(reported)}" if reported >= 0 else "its result never comes in"
    return f"{name} begins at {clock(started)}; {result}"


def _told(forecast: Forecast, row: Row) -> str:
    return in_short(row, forecast.call_to_order)


def _command(forecast: Forecast, row: Row) -> str:
    """run.toml lies beside the page, and has the scenario as it was played, whatever it was made from."""
    fixed = ["--fixed"] if forecast.run["fixed"] else []
    seed, night = str(forecast.run["seed"]), str(row["night"])
    return shlex.join(
        ["caucus", "explain", RUN_FILE, "--seed", seed, "--night", night, "--precinct", row["id"], *fixed]
    )
