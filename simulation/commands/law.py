"""`caucus audit`, `national`, `math`: the law, on numbers that somebody brings."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import click

from simulation.commands import options
from simulation.errors import InputError


@click.command()
@click.argument("results", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="The page.  [default: in runs/]")
@click.option("--csv", "table", type=click.Path(path_type=Path), metavar="FILE", help="Also write the findings as CSV.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON; without --out no page is written.")
def audit(results: Path, out: Path | None, table: Path | None, as_json: bool) -> None:
    """Audit published or reported results against the law.

    Checks every precinct of RESULTS, CSV or Excel; prints what it found and writes a page with pictures. Findings are
    data: the exit code is 0 with or without them. The codes are explained in docs/audit-codes.md.

    \b
    caucus audit iowa2020_precincts.csv
    caucus audit results.xlsx --csv findings.csv --json
    """
    from simulation.audit import audit_file
    from simulation.report.pages import check_place, write

    page = out or (None if as_json else Path("runs", f"audit-{results.stem}.html"))
    if page is not None:
        check_place(page)
    found = audit_file(results)
    if table is not None:
        options.written(found.csv(), table)
    if page is not None:
        from simulation.report.audit_page import page as text

        write(page, text(found, shlex.join(["caucus", "audit", str(results)])))
    if as_json:
        click.echo(json.dumps(found.json()))
    else:
        click.echo(f"{found.text()}\n\nThe page: {page}")


@click.command()
@click.argument("sde", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def national(sde: Path, as_json: bool) -> None:
    """Deal the national delegates from state delegate equivalents.

    SDE is a CSV or Excel file with state delegate equivalents by district, by county or by precinct: a column for each
    candidate, or the columns district, candidate and sde.

    \b
    caucus national iowa2020_precincts.csv
    """
    from simulation.audit import read_sde
    from simulation.rules.national import allocate

    read = read_sde(sde)
    found = allocate(read.by_district, read.statewide)
    click.echo(json.dumps(found.json()) if as_json else found.text())


@click.command(context_settings={"ignore_unknown_options": True})  # so that -5 is a bad size, not an unknown option
@click.option("--delegates", required=True, metavar="D", help="Delegates that the precinct elects.")
@click.option("--attendance", required=True, metavar="N", help="People who attend, before the groups' sizes.")
@click.option("--json", "as_json", is_flag=True, help="Print the worksheet as JSON.")
@click.argument("sizes", nargs=-1, required=True)
def math(delegates: str, attendance: str, as_json: bool, sizes: tuple[str, ...]) -> None:
    """Print the caucus math worksheet, step by step.

    SIZES are the groups' sizes at the final alignment, e.g.:

    caucus math --delegates 7 --attendance 100 20 18 27 19 16
    """
    from simulation.rules import worksheet_json, worksheet_text

    elected, attending, *groups = _whole_numbers(
        ("delegates", delegates),
        ("attendance", attendance),
        *((f"group {place}", size) for place, size in enumerate(sizes, start=1)),
    )
    if as_json:
        click.echo(json.dumps(worksheet_json(groups, elected, attending)))
    else:
        click.echo(worksheet_text(groups, elected, attending))


def _whole_numbers(*fields: tuple[str, str]) -> list[int]:
    """The values of fields (name, text), or an InputError that lists every text that is no whole number."""
    values: list[int] = []
    problems: list[str] = []
    for name, text in fields:
        try:
            values.append(int(text))
        except ValueError:
            problems.append(f"{name}: {text!r} given, a whole number is accepted")
    if problems:
        raise InputError(problems)
    return values
