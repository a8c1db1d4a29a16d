"""`caucus compare`: nights of two scenarios or more, under the same luck."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from simulation.commands import options
from simulation.errors import InputError

if TYPE_CHECKING:
    from simulation.scenario import Scenario

measures = click.option(
    "--measure",
    "measures",
    multiple=True,
    metavar="MEASURE",
    help="What is measured (docs/measures.md); may be repeated.",
)


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME_OR_FILE...", shell_complete=options.library_names)
@click.option("--set-b", multiple=True, metavar="KEY=VALUE", help="Change a key of the second night only, after --set.")
@click.option(
    "-n", "--nights", type=click.IntRange(2, 1_000_000), default=100, show_default=True, help="Nights of each."
)
@measures
@options.experiment
def compare(
    names: tuple[str, ...],
    set_b: tuple[str, ...],
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
    """Compare nights under the same luck.

    What would another plan have changed? The same people come, the same calls are dialed, the same mistakes are made;
    only what the scenarios say differs. So a difference shows in few nights. With one NAME_OR_FILE, the second night is
    the first one with --set-b.

    The folder holds report.html, summary.json, nights.parquet (with a column `arm`), experiment.toml.

    \b
    caucus compare iowa-2020 --set-b hotline.operators=80
    caucus compare iowa-2020 --set hotline.operators=30 --set-b hotline.operators=80 --measure hold_p90 --measure cost
    caucus compare iowa-2016 iowa-2020 my-night.toml -n 200
    """
    from simulation.experiment.comparison import compare as compared
    from simulation.experiment.comparison import labeled, text
    from simulation.progress import shown

    scenarios, own = _loaded(names, settings, set_b, roster)
    arms = labeled(scenarios, own)
    seed, fixed, engine = options.chosen(scenarios[0], seed, fixed, engine)
    folder = None if as_json and out is None else out or Path("runs", f"compare-{file_name(names)}-{seed}")
    command = command_line(
        "compare",
        *names,
        set=settings,
        set_b=set_b,
        roster=[roster] if roster else [],
        nights=[nights],
        measure=measures,
        seed=[seed],
        fixed=[True] if fixed else [],
    )
    with shown(quiet) as progress:
        found = compared(
            arms,
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


def command_line(*parts: object, **repeated: Sequence[object]) -> str:
    """The command that repeats this, without what changes no result: `repeated` options once for each value."""
    words = ["caucus", *map(str, parts)]
    for name, values in repeated.items():
        for value in values:
            words += [f"--{name.replace('_', '-')}", *([] if value is True else [str(value)])]
    return shlex.join(words)


def file_name(names: tuple[str, ...]) -> str:
    """A part of a folder's name that tells which nights these are."""
    return "-".join(dict.fromkeys(Path(name).stem for name in names))


def _loaded(
    names: tuple[str, ...], settings: tuple[str, ...], set_b: tuple[str, ...], roster: Path | None
) -> tuple[list[Scenario], list[str]]:
    """The scenarios, and the keys of `--set-b`; InputError lists every mistake once."""
    if len(names) == 1 and not set_b:
        raise InputError(f"{names[0]}: compare takes two nights, or one and what --set-b changes in it")
    if len(names) > 2 and set_b:
        raise InputError(f"--set-b: changes the second of two nights, but {len(names)} are given")
    both = names * 2 if len(names) == 1 else names
    problems: dict[str, None] = {}
    found = []
    for k, name in enumerate(both):
        try:
            found.append(options.checked(name, (*settings, *(set_b if k == 1 else ())), roster))
        except InputError as error:
            problems |= dict.fromkeys(error.problems)
    if problems:
        raise InputError(list(problems))
    options.say(*found)
    return found, [setting.partition("=")[0].strip() for setting in set_b]
