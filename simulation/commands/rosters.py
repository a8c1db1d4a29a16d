"""`caucus roster`: precincts as CSV or Excel files."""

from __future__ import annotations

from pathlib import Path

import click

from simulation.commands import options


@click.group()
def roster() -> None:
    """Precincts as CSV or Excel files."""


@roster.command()
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="File.  [default: stdout]")
def template(out: Path | None) -> None:
    """Print a roster to fill in.

    \b
    caucus roster template --out my-precincts.csv
    """
    from simulation.roster.columns import template as text

    options.written(text(), out)


@roster.command(name="check")
@click.argument("file", type=click.Path(path_type=Path))
def check_roster(file: Path) -> None:
    """Check a roster and describe it.

    Every mistake is listed with its row.

    \b
    caucus roster check my-precincts.csv
    """
    from simulation.roster import check as checked

    click.echo(checked(file), nl=False)


@roster.command()
@click.argument("name", default="iowa-2020")
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="File.  [default: stdout]")
def synthesize(name: str, out: Path | None) -> None:
    """Print the precincts of a state.

    They are built from published aggregates: single sites are invented, counties add up. NAME: iowa-2020 or iowa-2016.

    \b
    caucus roster synthesize iowa-2020 --out precincts.csv
    """
    from simulation.roster import synthesize as state

    options.written(state(name).csv(), out)
