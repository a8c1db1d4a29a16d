"""`caucus simulate`: play a night many times."""

from __future__ import annotations

import json
from pathlib import Path

import click

from simulation.commands import options


@click.command()
@options.name_or_file
@click.option("-n", "--nights", type=click.IntRange(1, 1_000_000), help="Nights to play.  [default: 20]")
@options.seed
@options.roster
@options.settings
@options.fixed
@click.option("--engine", type=click.Choice(["simpy"]), default="simpy", show_default=True, help="What plays a night.")
@options.workers
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
def simulate(
    name_or_file: str,
    nights: int | None,
    seed: int | None,
    roster: Path | None,
    settings: tuple[str, ...],
    fixed: bool,
    engine: str,  # noqa: ARG001  # there is one; the choice is there so that command lines stay valid
    workers: int | None,
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

    \b
    caucus simulate iowa-2020 -n 200
    caucus simulate iowa-2020 --set hotline.operators=80 --set turnout.people=240000 --out runs/eighty
    caucus simulate my-night.toml --roster my-precincts.csv --seed 7
    caucus simulate runs/iowa-2020-1/run.toml --out runs/again
    """
    from simulation.experiment import run_nights
    from simulation.experiment.findings import result_text
    from simulation.progress import shown

    if as_json and out is None and (resume or force or keep or pdf):
        raise click.UsageError("--resume, --force, --keep and --pdf need a folder: with --json, name it with --out.")
    scenario = options.loaded(name_or_file, settings, roster)
    run = scenario.spec.run
    nights = nights if nights is not None else run.nights if run else 20
    seed = seed if seed is not None else run.seed if run else 1
    folder = None if as_json and out is None else out or Path("runs", f"{scenario.name}-{seed}")
    with shown(quiet) as progress:
        found = run_nights(
            scenario,
            nights,
            seed,
            fixed=fixed or bool(run and run.fixed),
            workers=workers,
            progress=progress,
            folder=folder,
            resume=resume,
            force=force,
            keep=keep,
            pdf=pdf,
        )
    for notice in found.notices:
        click.echo(notice, err=True)
    click.echo(json.dumps(found.summary()) if as_json else result_text(found.summary(), folder))
