"""`caucus explain`: the evening of one precinct."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import click

from simulation.commands import options


@click.command()
@options.name_or_file
@click.option("--precinct", required=True, metavar="X", help="Its id, 'County, Precinct', or a name that only one has.")
@click.option("--night", type=click.IntRange(0, 999_999), default=0, show_default=True, help="Nights count from 0.")
@options.seed
@options.roster
@options.settings
@options.fixed
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="The page.  [default: in runs/]")
@click.option("--json", "as_json", is_flag=True, help="Print the story as JSON; without --out nothing is written.")
@options.quiet
def explain(
    name_or_file: str,
    precinct: str,
    night: int,
    seed: int | None,
    roster: Path | None,
    settings: tuple[str, ...],
    fixed: bool,
    out: Path | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Tell the evening of one precinct: why was it late?

    Plays one night of `caucus simulate` again (same scenario, same seed), prints what happened in that precinct and
    why, and writes a page with its picture: the line, the room, every call, headquarters.

    \b
    caucus explain iowa-2020 --night 3 --precinct "Johnson 55"
    caucus explain runs/iowa-2020-7/run.toml --night 41 --precinct "Polk, Polk 164"
    """
    from simulation.experiment.one_night import play_one
    from simulation.progress import shown
    from simulation.report import explain as chapter
    from simulation.report.pages import check_place, write
    from simulation.report.story import as_json as story_json
    from simulation.report.story import evening, text
    from simulation.roster.lookup import find_site

    scenario = options.loaded(name_or_file, settings, roster)
    run = scenario.spec.run
    seed = seed if seed is not None else run.seed if run else 1
    fixed = fixed or bool(run and run.fixed)
    site = find_site(scenario.roster, precinct)
    name = scenario.roster.ids[site]
    page = out or (None if as_json else Path("runs", chapter.file_name(scenario.name, seed, night, name)))
    if page is not None:
        check_place(page)
    with shown(quiet) as progress:
        played = play_one(scenario, seed, night, fixed=fixed, progress=progress)
    told = evening(played, site)
    if page is not None:
        changed = [part for setting in settings for part in ("--set", setting)]
        changed += ["--roster", str(roster)] if roster else []
        changed += ["--fixed"] if fixed else []
        which = ["--seed", str(seed), "--night", str(night), "--precinct", name]
        command = shlex.join(["caucus", "explain", name_or_file, *changed, *which])
        write(page, chapter.page(played, site, told, command))
    if as_json:
        found = {"scenario": scenario.name, "seed": seed, "night": night, "precinct": name} | story_json(told)
        click.echo(json.dumps(found))
    else:
        click.echo(f"{text(told, options.columns())}\n\nThe page: {page}")
