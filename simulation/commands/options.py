"""What several commands share: options said once, and how a scenario is loaded from them."""

from __future__ import annotations

import difflib
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from simulation.errors import InputError

if TYPE_CHECKING:
    from simulation.experiment.measures import Precision
    from simulation.scenario import Scenario


def library_names(_context: click.Context | None, _parameter: click.Parameter | None, begun: str) -> list[str]:
    """Completion: nights of the library; their files' names are enough."""
    import scenarios

    folder = Path(scenarios.__path__[0])
    return sorted(path.stem for path in folder.glob("*.toml") if path.stem.startswith(begun))


name_or_file = click.argument("name_or_file", shell_complete=library_names)
seed = click.option("--seed", type=click.IntRange(0, 2**32 - 1), help="All luck follows from it.  [default: 1]")
roster = click.option("--roster", type=click.Path(path_type=Path), metavar="FILE", help="Your precincts: CSV or Excel.")
settings = click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Change a key; may be repeated.")
fixed = click.option(
    "--fixed", is_flag=True, help="Hold every assumption at its middle instead of drawing it each night."
)
engine = click.option(
    "--engine",
    type=click.Choice(["compiled", "simpy"]),
    help="What plays the nights, to the same results: machine code, or the model of record.  [default: compiled]",
)
workers = click.option("--workers", type=click.IntRange(1), help="Processes.  [default: one a core]")
cluster = click.option(
    "--cluster", metavar="tcp://HOST:PORT", help="Play on a Dask cluster whose scheduler listens there."
)
resume = click.option("--resume", is_flag=True, help="Go on with a run that ended early.")
force = click.option("--force", is_flag=True, help="Replace a run that is there, once the new one is whole.")
quiet = click.option("--quiet", is_flag=True, help="No progress on stderr.")
folder = click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="Folder.  [default: in runs/]")
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON; without --out nothing is written.")

Command = TypeVar("Command", bound=Callable[..., Any])


def experiment(command: Command) -> Command:
    """The options of every experiment; a command takes them as seed, roster, settings, fixed, engine, workers,
    cluster, out, resume, force, as_json and quiet.
    """
    for option in reversed(
        (seed, roster, settings, fixed, engine, workers, cluster, folder, resume, force, as_json, quiet)
    ):
        command = option(command)
    return command


def chosen(scenario: Scenario, seed: int | None, fixed: bool, engine: str | None) -> tuple[int, bool, str]:
    """Seed, fixed and engine: what the command line says, else what the run says whose run.toml this is."""
    from simulation.experiment.run_file import ENGINES

    run = scenario.spec.run
    if run is None:
        return 1 if seed is None else seed, fixed, engine or ENGINES[0]
    return run.seed if seed is None else seed, fixed or run.fixed, engine or run.engine


def columns() -> int:
    """How wide text for people may be."""
    return max(40, min(100, shutil.get_terminal_size((100, 24)).columns))


def loaded(name_or_file: str, settings: tuple[str, ...], roster_file: Path | None) -> Scenario:
    """The scenario as `checked` has it; what does not fit the roster is said on stderr."""
    scenario = checked(name_or_file, settings, roster_file)
    say(scenario)
    return scenario


def say(*scenarios: Scenario) -> None:
    """What does not fit the roster, on stderr, each sentence once."""
    from simulation.experiment.own_roster import notices

    for notice in dict.fromkeys(notice for scenario in scenarios for notice in notices(scenario)):
        click.echo(notice, err=True)


def checked(name_or_file: str, settings: tuple[str, ...], roster_file: Path | None) -> Scenario:
    """The scenario with its roster expanded, or an InputError that lists the mistakes of both.

    Published figures of other precincts than the roster's are left out.
    """
    from simulation.experiment.own_roster import without_others_history
    from simulation.roster import read
    from simulation.scenario import load, parse_overrides

    problems: list[str] = []
    misnamed = _no_scenario(name_or_file)
    if misnamed:
        raise InputError(misnamed)

    def tried(step: Callable[[], Any]) -> Any:
        try:
            return step()
        except InputError as error:
            problems.extend(error.problems)

    overrides: dict[str, object] = {}
    for setting in settings:
        overrides |= tried(partial(parse_overrides, (setting,))) or {}
    scenario: Scenario | None = tried(lambda: load(name_or_file, overrides, roster_file))
    if scenario is None and roster_file is not None:
        tried(lambda: read(roster_file))
    elif scenario is not None:
        tried(lambda: scenario.roster)
    if problems or scenario is None:
        raise InputError(problems)
    return without_others_history(scenario)


def _no_scenario(name_or_file: str) -> str:
    """Why this is no scenario file, where more can be said than that: a name mistyped, or a file of an experiment."""
    from simulation.experiment.run_file import EXPERIMENT_FILE

    path = Path(name_or_file)
    if path.is_file():
        if path.name != EXPERIMENT_FILE:
            return ""
        return (
            f"{path}: this is an experiment, no night: run the command that stands at the end of its report "
            f"({path.with_name('report.html')})"
        )
    if name_or_file in library_names(None, None, ""):
        return ""
    there = sorted(item.stem for item in path.parent.glob("*.toml"))
    is_name = path.suffix == "" and path.parent == Path()  # perhaps of the library, mistyped
    close = [path.name] * (path.name in there) if is_name else difflib.get_close_matches(path.stem, there, n=1)
    return f"{path}: no such scenario file; did you mean {path.with_name(close[0])}.toml?" if close else ""


def precision(text: str, scenario: Scenario, most: int | None) -> Precision:
    """A precision, and nights enough for one; InputError lists the mistakes of both."""
    from simulation.experiment.measures import parse_precision
    from simulation.experiment.precision import FEWEST

    problems = [] if most is None or most >= FEWEST else [f"-n {most}: a precision takes {FEWEST} nights or more"]
    try:
        found = parse_precision(text, scenario.spec.clock.call_to_order)
    except InputError as error:
        raise InputError([*(f"--precision: {problem}" for problem in error.problems), *problems]) from None
    if problems:
        raise InputError(problems)
    return found


def written(text: str, out: Path | None) -> None:
    """Text on stdout, or in a file that was not there before."""
    if out is None:
        click.echo(text, nl=False)
        return
    try:
        with out.open("x", encoding="utf-8", newline="") as file:
            file.write(text)
    except FileExistsError:
        raise InputError(f"{out}: is there already, and nothing is overwritten: choose another name") from None
    except OSError as error:
        raise InputError(f"{out}: cannot be written: {error.strerror}") from None
    click.echo(f"{out}", err=True)
