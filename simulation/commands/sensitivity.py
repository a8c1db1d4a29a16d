"""`caucus sensitivity`: which assumption matters, and what to find out next."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import click

from simulation.commands import options


@click.command()
@options.name_or_file
@click.option(
    "--measure",
    "measures",
    multiple=True,
    metavar="METRIC",
    help="What to explain; may be repeated.  [default: reported@23:00, hold_p90, wait_p90, wrong_share]",
)
@click.option(
    "-n", "base", type=int, default=256, show_default=True, help="Base sample of the Sobol indices: a power of two."
)
@options.seed
@options.roster
@options.settings
@options.engine
@options.workers
@options.cluster
@options.folder
@options.resume
@options.force
@options.as_json
@options.quiet
def sensitivity(
    name_or_file: str,
    measures: tuple[str, ...],
    base: int,
    seed: int | None,
    roster: Path | None,
    settings: tuple[str, ...],
    engine: str | None,
    workers: int | None,
    cluster: str | None,
    out: Path | None,
    resume: bool,
    force: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Find which assumption matters, and what to find out next.

    Every number of the night that is a range is varied within it: first all of them one at a time (Morris screening),
    then those that matter all at once (Sobol indices), beside the luck of the night. The folder holds report.html,
    summary.json, sensitivity.parquet, experiment.toml.

    \b
    caucus sensitivity iowa-2020
    caucus sensitivity iowa-2020 --measure reported@22:30 --measure cost -n 512
    """
    from simulation.experiment.sensitivity import Plan, analyze, measures_of, result_text, wanted_by
    from simulation.experiment.work import open_work
    from simulation.progress import shown
    from simulation.report.sensitivity import page

    scenario = options.loaded(name_or_file, settings, roster)
    asked = measures_of(scenario, measures)
    plan = Plan(base=base)
    plan.check(scenario)
    seed, _, engine = options.chosen(scenario, seed, False, engine)
    folder = None if as_json and out is None else out or Path("runs", f"{scenario.name}-sensitivity-{seed}")
    with (
        shown(quiet) as progress,
        open_work(
            kind="sensitivity",
            wanted=wanted_by(scenario, asked, plan),
            out=folder,
            seed=seed,
            engine=engine,
            workers=workers,
            cluster=cluster,
            resume=resume,
            force=force,
            progress=progress,
        ) as work,
    ):
        found = analyze(scenario, asked, work.rows, seed=seed, plan=plan)
        said = [part for measure in measures for part in ("--measure", measure)] + [
            "-n",
            str(base),
            "--seed",
            str(seed),
        ]
        said += ["--roster", str(roster)] if roster else []
        said += [part for setting in settings for part in ("--set", setting)]
        command = shlex.join(["caucus", "sensitivity", name_or_file, *said])
        if folder is not None:
            work.finish(
                {
                    "report.html": page(found, command, engine),
                    "summary.json": found.summary(),
                    "sensitivity.parquet": found.frame(),
                }
            )
    click.echo(json.dumps(found.summary()) if as_json else result_text(found, folder))
