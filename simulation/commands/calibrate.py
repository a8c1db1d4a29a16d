"""`caucus calibrate`: which assumptions are consistent with an observed curve."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import click

from simulation.commands import options


@click.command()
@options.name_or_file
@click.option(
    "--to",
    "curve_file",
    required=True,
    type=click.Path(path_type=Path),
    metavar="CURVE.csv",
    help="What was observed: columns at, and reported, released or hold. Or the name of a curve of the library.",
)
@click.option("-n", "draws", type=click.IntRange(1, 1_000_000), default=2000, show_default=True, help="Draws.")
@click.option(
    "--accept",
    type=click.FloatRange(0, 1, min_open=True),
    default=0.05,
    show_default=True,
    help="Share of the draws, the nearest to the curve, that counts as consistent with it.",
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
def calibrate(
    name_or_file: str,
    curve_file: Path,
    draws: int,
    accept: float,
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
    """Find which assumptions are consistent with an observed curve.

    Nights are drawn from all over the scenario's ranges; those nearest to the curve say which parts of the ranges it
    leaves. The curve is a CSV file with a column `at` (22:30, +1d 16:04) and one or more of `reported` and `released`
    (shares of all sites) and `hold` (how long the caller answered then had waited: 50 min). The folder holds
    report.html, summary.json, calibration.parquet, experiment.toml, and NAME-calibrated.toml: a scenario that extends
    NAME and narrows what the curve informs.

    \b
    caucus calibrate iowa-2016 --to iowa-2016
    caucus calibrate my-night.toml --to observed.csv -n 5000
    """
    from simulation.experiment import calibration
    from simulation.experiment.work import open_work
    from simulation.progress import shown
    from simulation.report.calibration import page

    scenario = options.loaded(name_or_file, settings, roster)
    curve = calibration.read_curve(calibration.find_curve(curve_file))
    calibration.accepted_of(scenario, draws, accept)  # nothing is played, and no folder made, for what cannot be done
    seed, _, engine = options.chosen(scenario, seed, False, engine)
    folder = None if as_json and out is None else out or Path("runs", f"{scenario.name}-calibrated-{seed}")
    with (
        shown(quiet) as progress,
        open_work(
            kind="calibrate",
            wanted=calibration.wanted_by(scenario, curve, draws, accept),
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
        found = calibration.calibrate(scenario, curve, work.rows, seed=seed, draws=draws, accept=accept)
        said = ["--to", str(curve_file), "-n", str(draws), "--accept", f"{accept:g}", "--seed", str(seed)]
        said += ["--roster", str(roster)] if roster else []
        said += [part for setting in settings for part in ("--set", setting)]
        command = shlex.join(["caucus", "calibrate", name_or_file, *said])
        if folder is not None:
            files: dict[str, Any] = {
                "report.html": page(found, command, engine),
                "summary.json": found.summary(),
                "calibration.parquet": found.frame(),
                f"{scenario.name}-calibrated.toml": calibration.file_text(found, name_or_file, folder, settings),
            }
            work.finish(files)
    click.echo(json.dumps(found.summary()) if as_json else calibration.result_text(found, folder))
