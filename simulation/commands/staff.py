"""`caucus staff`: the cheapest plan of stations and operators that meets targets."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import click

from simulation.commands import options

MISSED = 3  # exit code


@click.command()
@options.name_or_file
@click.option(
    "--target",
    "targets",
    multiple=True,
    metavar="GOAL",
    help='What nights must come to: "MEASURE OP VALUE in SHARE of nights" (docs/measures.md); may be repeated.',
)
@click.option("--stations", type=click.IntRange(1), metavar="TOTAL", help="Share out so many check-in stations.")
@click.option("--volunteers", type=click.IntRange(1), metavar="TOTAL", help="Share out so many volunteers.")
@click.option("--lines", is_flag=True, help="Look for the fewest lines too.  [default: where they are limited]")
@click.option("-n", "--nights", type=click.IntRange(1, 10_000), help="Nights of the search.  [default: by the targets]")
@click.option(
    "--prove",
    type=click.IntRange(0, 1000),
    default=10,
    show_default=True,
    help="Stations and operators that are taken away, one at a time, to see what breaks.",
)
@options.experiment
@click.pass_context
def staff(
    ctx: click.Context,
    name_or_file: str,
    targets: tuple[str, ...],
    stations: int | None,
    volunteers: int | None,
    lines: bool,
    nights: int | None,
    prove: int,
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
    """Find the cheapest plan that meets targets.

    How many check-in stations does each precinct need, and how many operators each half hour? Targets on waits and
    starts decide the stations; targets on holds, and on when results are in, the operators. The plan is searched on
    some nights and proved on others: each target is shown, with 95 % confidence, to hold in the share of nights that
    was asked for. With --stations or --volunteers, so many are shared out to save the most waiting.

    The folder holds report.html, summary.json, and the plan as stations.csv and operators.csv, which `caucus simulate`
    takes with --roster and --set hotline.operators=@operators.csv. The exit code is 3 where a target is not met.

    \b
    caucus staff iowa-2020 --target "wait_p90 <= 20 min" --target "reported@23:00 >= 90% in 90% of nights"
    caucus staff hotline-flood --target "hold_p90 <= 10 min" --target "abandoned_share <= 5%" --lines
    caucus staff my-night.toml --roster my-precincts.csv --volunteers 3000
    """
    from simulation.experiment.staffing import Named, plan_staff
    from simulation.experiment.staffing.findings import result_text
    from simulation.progress import shown

    scenario = options.loaded(name_or_file, settings, roster)
    seed, fixed, engine = options.chosen(scenario, seed, fixed, engine)
    folder = None if as_json and out is None else out or Path("runs", f"{scenario.name}-staff-{seed}")
    named = Named(name_or_file, settings, roster)
    asked = [part for target in targets for part in ("--target", target)]
    for name, value in (("--stations", stations), ("--volunteers", volunteers), ("--nights", nights)):
        asked += [name, str(value)] if value is not None else []
    asked += [*(["--lines"] if lines else []), "--prove", str(prove), "--seed", str(seed)]
    asked += ["--fixed"] if fixed else []
    with shown(quiet) as progress:
        found = plan_staff(
            scenario,
            targets,
            seed=seed,
            stations=stations,
            volunteers=volunteers,
            lines=lines,
            nights=nights,
            prove=prove,
            fixed=fixed,
            engine=engine,
            workers=workers,
            cluster=cluster,
            out=folder,
            resume=resume,
            force=force,
            progress=progress,
            named=named,
            command=shlex.join(["caucus", "staff", *named.words(), *asked]),
        )
    click.echo(json.dumps(found.summary(folder)) if as_json else result_text(found, folder))
    if not found.is_met:
        ctx.exit(MISSED)
