"""The report for planners: one self-contained HTML page of findings, each with its picture and its table.

Takes what a run came to and returns text; knows nothing of files, of the command line, or of how nights are played.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import polars as pl
    from markupsafe import Markup

    from simulation.scenario import Scenario

__all__ = ["render"]


def render(
    scenario: Scenario,
    rows: Sequence[Mapping[str, Any]],
    precincts: pl.DataFrame,
    summary: Mapping[str, Any],
    run: Mapping[str, Any],
) -> str:
    """The whole page; equal input gives equal text.

    `rows` are `Night.row` of every night, `summary` is `summarize` of them, `precincts` has one row a site over all
    nights, `run` has seed, nights, fixed, engine and versions.
    """
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    from simulation.report import basis, channels, checkin, errors, hotline, results, top
    from simulation.report.chapter import Cell
    from simulation.report.forecast import Forecast
    from simulation.report.plot import style

    forecast = Forecast(scenario, rows, precincts, summary, run)
    chapters = [module.chapter(forecast) for module in (results, checkin, hotline, channels, errors)]
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["kept"] = _kept
    template = environment.from_string(files("simulation.report").joinpath("page.html").read_text(encoding="utf-8"))
    return template.render(
        title=scenario.spec.title,
        story=scenario.spec.story,
        basis=top.basis(forecast),
        ranges=top.ranges(forecast),
        key_numbers=top.key_numbers(forecast),
        chapters=chapters,
        sections=basis.sections(scenario),
        facts=basis.facts(forecast),
        basis_finding=basis.FINDING,
        command=basis.COMMAND,
        style=Markup(style()),
        svg=Markup,
        as_cell=lambda cell: cell if isinstance(cell, Cell) else Cell(cell),
    )


def _kept(text: str) -> Markup:
    """The text as HTML in which no line ends inside a range such as 27-36 %."""
    from markupsafe import Markup, escape

    return Markup(re.sub(r"[^ ]*\N{EN DASH}[^ ]*", r'<span class="kept">\g<0></span>', str(escape(text))))
