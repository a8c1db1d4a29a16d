"""`caucus sweep`: one key or two of a scenario over a range of values, under the same luck."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from simulation.commands import options
from simulation.commands.compare import command_line, file_name, measures
from simulation.errors import InputError

if TYPE_CHECKING:
    from simulation.experiment.sweep import Axis
    from simulation.scenario import Scenario


@click.command()
@options.name_or_file
@click.option(
    "--vary",
    multiple=True,
    required=True,
    metavar="KEY=FROM:TO:STEP",
    help="The key and its values, or KEY=A,B,C; a second one makes a surface.",
)
@click.option("-n", "--nights", type=click.IntRange(1, 1_000_000), default=50, show_default=True, help="At each point.")
@measures
@options.experiment
def sweep(
    name_or_file: str,
    vary: tuple[str, ...],
    nights: int,
    measures: tuple[str, ...],
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
    as_json: bool,
    quiet: bool,
) -> None:
    """Vary a key, and see where it stops to matter.

    How many operators are enough? Each value is played with the same luck. One key makes a curve of each measure, with
    the knee where it bends; two make a surface. Values are numbers, durations or clock times, or whatever --set takes.

    The folder holds report.html, summary.json, sweep.parquet (a row for each point and measure), experiment.toml.

    \b
    caucus sweep iowa-2020 --vary hotline.operators=20:120:20
    caucus sweep iowa-2020 --vary hotline.operators=20:100:20 --vary hotline.lines=50:250:50 --measure hold_p90
    caucus sweep iowa-2020 --vary "hotline.handling.report.lognormal.mean=6 min:14 min:2 min"
    """
    from simulation.experiment.sweep import sweep as swept
    from simulation.experiment.sweep import text
    from simulation.progress import shown

    base, axes, points = _loaded(name_or_file, settings, vary, roster)
    seed, fixed, engine = options.chosen(base, seed, fixed, engine)
    folder = None if as_json and out is None else out or Path("runs", f"sweep-{file_name((name_or_file,))}-{seed}")
    command = command_line(
        "sweep",
        name_or_file,
        vary=vary,
        set=settings,
        roster=[roster] if roster else [],
        nights=[nights],
        measure=measures,
        seed=[seed],
        fixed=[True] if fixed else [],
    )
    with shown(quiet) as progress:
        found = swept(
            base,
            points,
            axes,
            nights,
            seed,
            measures,
            fixed=fixed,
            engine=engine,
            workers=workers,
            cluster=cluster,
            out=folder,
            resume=resume,
            force=force,
            command=command,
            progress=progress,
        )
    click.echo(json.dumps(found.summary()) if as_json else text(found, folder))


def _loaded(
    name: str, settings: tuple[str, ...], vary: tuple[str, ...], roster: Path | None
) -> tuple[Scenario, list[Axis], list[Scenario]]:
    """The scenario, the keys with their values, and the scenario of every point; InputError lists every mistake."""
    from simulation.experiment.sweep import check_axes, parse_vary
    from simulation.scenario import load, parse_overrides

    problems: list[str] = []
    axes: list[Axis] = []
    for each in vary:
        try:
            axes.append(parse_vary(each))
        except InputError as error:
            problems += error.problems
    try:
        base = options.loaded(name, settings, roster)
    except InputError as error:
        raise InputError([*error.problems, *problems]) from None
    if problems:
        raise InputError(problems)
    check_axes(axes)
    overrides = parse_overrides(settings)
    points = []
    for values in itertools.product(*(axis.values for axis in axes)):
        varied = dict(zip((axis.key for axis in axes), values, strict=True))
        try:
            points.append(load(name, {**overrides, **varied}, roster))
        except InputError as error:  # of one point: the others would say the same of their values
            raise InputError([_as_vary(problem, axes) for problem in error.problems]) from None
    for point in points:
        _ = point.roster  # a roster that is varied may not be there
    return base, axes, points


def _as_vary(problem: str, axes: list[Axis]) -> str:
    """A mistake in a key that --vary set, by that name."""
    for axis in axes:
        problem = problem.replace(f"--set {axis.key}:", f"--vary {axis.key}:")
    return problem
