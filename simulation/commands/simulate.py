"""`caucus simulate`: play a night many times."""

from __future__ import annotations

import json
from pathlib import Path

import click

from simulation.commands import options


@click.command()
@options.name_or_file
@click.option("-n", "--nights", type=click.IntRange(1, 1_000_000), help="Nights to play.  [default: 20]")
@click.option(
    "--precision",
    metavar="'MEASURE +- VALUE'",
    help="Play until a mean is known so well, at most --nights.  [default then: 10000]",
)
@options.seed
@options.roster
@options.settings
@options.fixed
@options.engine
@options.workers
@options.cluster
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="Folder.  [default: runs/NAME-SEED]")
@options.resume
@options.force
@click.option(
    "--keep",
    type=click.Choice(["precincts", "events"]),
    multiple=True,
    help="Also write a row per night and precinct, or every event; may be repeated.",
)
@click.option("--pdf", is_flag=True, help="Also write the report as report.pdf (needs WeasyPrint).")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON; without --out nothing is written.")
@options.quiet
@click.pass_context
def simulate(
    ctx: click.Context,
    name_or_file: str,
    nights: int | None,
    precision: str | None,
    seed: int | None,
    roster: Path | None,
    settings: tuple[str, ...],
    fixed: bool,
    engine: str | None,
    workers: int | None,
    cluster: str | None,
    out: Path | None,
    resume: bool,
    force: bool,
    keep: tuple[str, ...],
    pdf: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Play a night many times, and report.

    Will the lines be gone by seven, and the results in by eleven?

    NAME_OR_FILE is a night of the library (`caucus scenarios`), a scenario file, or the run.toml of an earlier run,
    which repeats that run. The folder holds report.html, summary.json, nights.parquet, precincts.parquet, run.toml.
    Exit code 3: the nights did not suffice for the precision.

    \b
    caucus simulate iowa-2020 -n 200
    caucus simulate iowa-2020 --set hotline.operators=80 --set turnout.people=240000 --out runs/eighty
    caucus simulate iowa-2020 --precision "reported@23:00 +- 1 %"
    caucus simulate my-night.toml --roster my-precincts.csv --seed 7
    caucus simulate runs/iowa-2020-1/run.toml --out runs/again
    """
    from simulation.experiment import run_nights
    from simulation.experiment.findings import result_text
    from simulation.experiment.precision import MOST
    from simulation.progress import shown

    if as_json and out is None and (resume or force or keep or pdf):
        raise click.UsageError("--resume, --force, --keep and --pdf need a folder: with --json, name it with --out.")
    scenario = options.loaded(name_or_file, settings, roster)
    seed, fixed, engine = options.chosen(scenario, seed, fixed, engine)
    run = scenario.spec.run
    wanted = None
    if precision is not None:
        wanted = options.precision(precision, scenario, nights)
        nights = nights or MOST
    nights = nights or (run.nights if run else 20)
    folder = None if as_json and out is None else out or Path("runs", f"{scenario.name}-{seed}")
    with shown(quiet) as progress:
        found = run_nights(
            scenario,
            nights,
            seed,
            fixed=fixed,
            engine=engine,
            precision=wanted,
            workers=workers,
            cluster=cluster,
            progress=progress,
            folder=folder,
            resume=resume,
            force=force,
            keep=keep,
            pdf=pdf,
        )
    for notice in found.notices:
        click.echo(notice, err=True)
    reached = found.reached
    if as_json:
        click.echo(json.dumps(found.summary() | ({"precision": reached.json()} if reached else {})))
    else:
        click.echo(result_text(found.summary(), folder))
        if reached:
            click.echo(reached.text())
    if reached and not reached.enough:
        ctx.exit(3)
