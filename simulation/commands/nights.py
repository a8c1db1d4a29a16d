"""`caucus scenarios`, `check`, `new`: the library's nights and one's own."""

from __future__ import annotations

import json
from pathlib import Path

import click

from simulation.commands import options
from simulation.errors import InputError


@click.command()
@click.argument("name", required=False, shell_complete=options.library_names)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def scenarios(name: str | None, as_json: bool) -> None:
    """List the library's nights, or show one.

    NAME is a night of the library or a scenario file: it is shown key by key, with sources and what set it.

    \b
    caucus scenarios
    caucus scenarios iowa-2020
    """
    from simulation import describe
    from simulation.scenario import load

    if name is None:
        click.echo(json.dumps(describe.library_json()) if as_json else describe.library_text())
    else:
        scenario = load(name)
        click.echo(json.dumps(describe.night_json(scenario)) if as_json else describe.night_text(scenario))


@click.command()
@click.argument("file", shell_complete=options.library_names)
@options.roster
@options.settings
@click.option("--json", "as_json", is_flag=True, help="Print JSON, mistakes too.")
@click.pass_context
def check(ctx: click.Context, file: str, roster: Path | None, settings: tuple[str, ...], as_json: bool) -> None:
    """Check a scenario and its roster.

    Every mistake is listed, with the line it stands in. FILE may be a night of the library too.

    \b
    caucus check my-night.toml
    """
    from simulation import describe
    from simulation.experiment.own_roster import notices

    try:
        scenario = options.checked(file, settings, roster)
    except InputError as error:
        if not as_json:
            raise
        click.echo(json.dumps({"ok": False, "problems": error.problems}))
        ctx.exit(2)
    said = notices(scenario)
    if as_json:
        found = describe.checked_json(scenario)
        click.echo(json.dumps(found | {"notes": [*found["notes"], *said]}))
    else:
        click.echo("\n".join([describe.checked_text(scenario), *(f"- {notice}" for notice in said)]))


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--from", "base", default="baseline", show_default=True, metavar="NAME", help="The night to build on.")
def new(file: Path, base: str) -> None:
    """Write a scenario file to begin with.

    Beside it goes scenario.schema.json, by which editors complete and check the file.

    \b
    caucus new my-night.toml --from iowa-2020
    """
    from simulation import describe
    from simulation.experiment.own_roster import inherits_people
    from simulation.scenario import load

    for path in describe.new_file(file, base):
        click.echo(f"{path}")
    notice = inherits_people(load(base))
    if notice:
        click.echo(notice, err=True)
