"""The report for planners: one self-contained HTML page of findings, each with its picture and its table.

Takes what a run came to and returns text; knows nothing of files, of the command line, or of how nights are played.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import polars as pl

    from simulation.scenario import Scenario

__all__ = ["render"]


def render(
    scenario: Scenario,
    rows: Sequence[Mapping[str, Any]],
    precincts: pl.DataFrame,
    summary: Mapping[str, Any],
    run: Mapping[str, Any],
    *,
    worst: Sequence[Mapping[str, Any]] = (),
    said: Sequence[str] = (),
) -> str:
    """The whole page; equal input gives equal text.

    `rows` are `Night.row` of every night, `summary` is `summarize` of them, `precincts` has one row a site over all
    nights, `run` has seed, nights, fixed, engine and versions; `worst` are rows of `worst_nights`, to be told in short;
    `said` is what else to know about the numbers, a sentence each.
    """
    from simulation.experiment.own_roster import notices
    from simulation.report import basis, channels, checkin, costs, errors, hotline, maps, results, top
    from simulation.report import worst as worst_precincts
    from simulation.report.forecast import Forecast
    from simulation.report.pages import page

    forecast = Forecast(scenario, rows, precincts, summary, run, worst)
    modules = (results, checkin, hotline, channels, maps, worst_precincts, errors, costs)
    chapters = [chapter for chapter in (module.chapter(forecast) for module in modules) if chapter]
    return page(
        "page.html",
        title=scenario.spec.title,
        story=scenario.spec.story,
        basis=top.basis(forecast),
        ranges=top.ranges(forecast),
        said=said,
        notices=notices(scenario),
        key_numbers=top.key_numbers(forecast),
        chapters=chapters,
        sections=basis.sections(scenario),
        facts=basis.facts(forecast),
        basis_finding=basis.FINDING,
        command=basis.COMMAND,
    )
