"""The `caucus` command: each subcommand parses, calls one function and prints.

stdout is data, stderr is progress and messages. Exit codes: 0 ok, 1 error, 2 usage or bad input, 3 objective missed.
Whatever is heavy is imported inside the command that needs it, so that `caucus --help` stays instant.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from simulation.errors import InputError, UnfinishedError

if TYPE_CHECKING:
    from simulation.scenario import Scenario

INTERRUPTED = 130  # what shells report for a command that Ctrl-C ended: 128 + SIGINT


class Caucus(click.Group):
    """The command group, with one way for a command to fail: a message on stderr and its exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; InputError exits with 2, Ctrl-C with 130, anything unforeseen with 1."""
        try:
            return super().invoke(ctx)
        except InputError as error:
            for problem in error.problems:
                click.echo(problem, err=True)
            ctx.exit(2)
        except UnfinishedError as error:
            click.echo(str(error), err=True)
            ctx.exit(error.exit_code)
        except KeyboardInterrupt:
            click.echo("Stopped by Ctrl-C.", err=True)
            ctx.exit(INTERRUPTED)
        except (click.ClickException, click.Abort, click.exceptions.Exit, BrokenPipeError):
            raise  # click's own: usage errors, exits, and a reader of stdout that has had enough
        except Exception as error:  # the last line of defense: a person gets a sentence, not a traceback
            if os.environ.get("CAUCUS_DEBUG") == "1":
                traceback.print_exc()
            reason = " ".join(str(error).split()) or "no reason given"
            click.echo(f"caucus failed: {type(error).__name__}: {reason} (CAUCUS_DEBUG=1 shows where)", err=True)
            ctx.exit(1)


def main() -> None:
    """Run the command line of this process and exit with its code."""
    caucus(prog_name="caucus")


@click.group(
    cls=Caucus,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog='Completion in bash: eval "$(_CAUCUS_COMPLETE=bash_source caucus)"; zsh_source and fish_source likewise.',
)
@click.version_option(package_name="caucus-trial-run", prog_name="caucus")
@click.pass_context
def caucus(ctx: click.Context) -> None:
    """Rehearse a caucus night before it happens: simulate it, load its backend, put people into it."""
    if os.environ.get("NO_COLOR"):
        ctx.color = False


def _library_names(_context: click.Context, _parameter: click.Parameter, begun: str) -> list[str]:
    """Completion: nights of the library; their files' names are enough."""
    import scenarios

    folder = Path(scenarios.__path__[0])
    return sorted(path.stem for path in folder.glob("*.toml") if path.stem.startswith(begun))


@caucus.command()
@click.argument("name_or_file", shell_complete=_library_names)
@click.option("-n", "--nights", type=click.IntRange(1, 1_000_000), help="Nights to play.  [default: 20]")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), help="All luck follows from it.  [default: 1]")
@click.option("--roster", type=click.Path(path_type=Path), metavar="FILE", help="Your precincts: CSV or Excel.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Change a key; may be repeated.")
@click.option("--fixed", is_flag=True, help="Hold every assumption at its middle instead of drawing it each night.")
@click.option("--engine", type=click.Choice(["simpy"]), default="simpy", show_default=True, help="What plays a night.")
@click.option("--workers", type=click.IntRange(1), help="Processes.  [default: one a core]")
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="Folder.  [default: runs/NAME-SEED]")
@click.option("--resume", is_flag=True, help="Go on with a run that ended early.")
@click.option("--force", is_flag=True, help="Replace a run that is there, once the new one is whole.")
@click.option(
    "--keep",
    type=click.Choice(["precincts", "events"]),
    multiple=True,
    help="Also write a row per night and precinct, or every event; may be repeated.",
)
@click.option("--pdf", is_flag=True, help="Also write the report as report.pdf (needs WeasyPrint).")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON; without --out nothing is written.")
@click.option("--quiet", is_flag=True, help="No progress on stderr.")
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
    scenario = _loaded(name_or_file, settings, roster)
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


@caucus.command()
@click.argument("name_or_file", shell_complete=_library_names)
@click.option("--precinct", required=True, metavar="X", help="Its id, 'County, Precinct', or a name that only one has.")
@click.option("--night", type=click.IntRange(0, 999_999), default=0, show_default=True, help="Nights count from 0.")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), help="All luck follows from it.  [default: 1]")
@click.option("--roster", type=click.Path(path_type=Path), metavar="FILE", help="Your precincts: CSV or Excel.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Change a key; may be repeated.")
@click.option("--fixed", is_flag=True, help="Hold every assumption at its middle instead of drawing it each night.")
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="The page.  [default: in runs/]")
@click.option("--json", "as_json", is_flag=True, help="Print the story as JSON; without --out nothing is written.")
@click.option("--quiet", is_flag=True, help="No progress on stderr.")
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

    scenario = _loaded(name_or_file, settings, roster)
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
        click.echo(f"{text(told, _columns())}\n\nThe page: {page}")


def _columns() -> int:
    """How wide text for people may be."""
    return max(40, min(100, shutil.get_terminal_size((100, 24)).columns))


@caucus.command()
@click.argument("name", required=False, shell_complete=_library_names)
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


@caucus.command()
@click.argument("file", shell_complete=_library_names)
@click.option("--roster", type=click.Path(path_type=Path), metavar="FILE", help="Your precincts: CSV or Excel.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Change a key; may be repeated.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, mistakes too.")
@click.pass_context
def check(ctx: click.Context, file: str, roster: Path | None, settings: tuple[str, ...], as_json: bool) -> None:
    """Check a scenario and its roster.

    Every mistake is listed, with the line it stands in. FILE may be a night of the library too.

    \b
    caucus check my-night.toml
    """
    from simulation import describe

    try:
        scenario = _loaded(file, settings, roster)
    except InputError as error:
        if not as_json:
            raise
        click.echo(json.dumps({"ok": False, "problems": error.problems}))
        ctx.exit(2)
    click.echo(json.dumps(describe.checked_json(scenario)) if as_json else describe.checked_text(scenario))


@caucus.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--from", "base", default="baseline", show_default=True, metavar="NAME", help="The night to build on.")
def new(file: Path, base: str) -> None:
    """Write a scenario file to begin with.

    Beside it goes scenario.schema.json, by which editors complete and check the file.

    \b
    caucus new my-night.toml --from iowa-2020
    """
    from simulation import describe

    for path in describe.new_file(file, base):
        click.echo(f"{path}")


@caucus.group()
def roster() -> None:
    """Precincts as CSV or Excel files."""


@roster.command()
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="File.  [default: stdout]")
def template(out: Path | None) -> None:
    """Print a roster to fill in.

    \b
    caucus roster template --out my-precincts.csv
    """
    from simulation.roster.columns import template as text

    _written(text(), out)


@roster.command(name="check")
@click.argument("file", type=click.Path(path_type=Path))
def check_roster(file: Path) -> None:
    """Check a roster and describe it.

    Every mistake is listed with its row.

    \b
    caucus roster check my-precincts.csv
    """
    from simulation.roster import check as checked

    click.echo(checked(file), nl=False)


@roster.command()
@click.argument("name", default="iowa-2020")
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="File.  [default: stdout]")
def synthesize(name: str, out: Path | None) -> None:
    """Print the precincts of a state.

    They are built from published aggregates: single sites are invented, counties add up. NAME: iowa-2020 or iowa-2016.

    \b
    caucus roster synthesize iowa-2020 --out precincts.csv
    """
    from simulation.roster import synthesize as state

    _written(state(name).csv(), out)


def _loaded(name_or_file: str, settings: tuple[str, ...], roster_file: Path | None) -> Scenario:
    """The scenario with its roster expanded, or an InputError that lists the mistakes of both."""
    from simulation.roster import read
    from simulation.scenario import load, parse_overrides

    problems: list[str] = []

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
    return scenario


def _written(text: str, out: Path | None) -> None:
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


@caucus.command()
@click.argument("results", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="The page.  [default: in runs/]")
@click.option("--csv", "table", type=click.Path(path_type=Path), metavar="FILE", help="Also write the findings as CSV.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON; without --out no page is written.")
def audit(results: Path, out: Path | None, table: Path | None, as_json: bool) -> None:
    """Audit published or reported results against the law.

    Checks every precinct of RESULTS, CSV or Excel; prints what it found and writes a page with pictures. Findings are
    data: the exit code is 0 with or without them. The codes are explained in docs/audit-codes.md.

    \b
    caucus audit iowa2020_precincts.csv
    caucus audit results.xlsx --csv findings.csv --json
    """
    from simulation.audit import audit_file
    from simulation.report.pages import check_place, write

    page = out or (None if as_json else Path("runs", f"audit-{results.stem}.html"))
    if page is not None:
        check_place(page)
    found = audit_file(results)
    if table is not None:
        _written(found.csv(), table)
    if page is not None:
        from simulation.report.audit_page import page as text

        write(page, text(found, shlex.join(["caucus", "audit", str(results)])))
    if as_json:
        click.echo(json.dumps(found.json()))
    else:
        click.echo(f"{found.text()}\n\nThe page: {page}")


@caucus.command()
@click.argument("sde", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def national(sde: Path, as_json: bool) -> None:
    """Deal the national delegates from state delegate equivalents.

    SDE is a CSV or Excel file with state delegate equivalents by district, by county or by precinct: a column for each
    candidate, or the columns district, candidate and sde.

    \b
    caucus national iowa2020_precincts.csv
    """
    from simulation.audit import read_sde
    from simulation.rules.national import allocate

    read = read_sde(sde)
    found = allocate(read.by_district, read.statewide)
    click.echo(json.dumps(found.json()) if as_json else found.text())


@caucus.command(context_settings={"ignore_unknown_options": True})  # so that -5 is a bad size, not an unknown option
@click.option("--delegates", required=True, metavar="D", help="Delegates that the precinct elects.")
@click.option("--attendance", required=True, metavar="N", help="People who attend, before the groups' sizes.")
@click.option("--json", "as_json", is_flag=True, help="Print the worksheet as JSON.")
@click.argument("sizes", nargs=-1, required=True)
def math(delegates: str, attendance: str, as_json: bool, sizes: tuple[str, ...]) -> None:
    """Print the caucus math worksheet, step by step.

    SIZES are the groups' sizes at the final alignment, e.g.:

    caucus math --delegates 7 --attendance 100 20 18 27 19 16
    """
    from simulation.rules import worksheet_json, worksheet_text

    elected, attending, *groups = _whole_numbers(
        ("delegates", delegates),
        ("attendance", attendance),
        *((f"group {place}", size) for place, size in enumerate(sizes, start=1)),
    )
    if as_json:
        click.echo(json.dumps(worksheet_json(groups, elected, attending)))
    else:
        click.echo(worksheet_text(groups, elected, attending))


def _whole_numbers(*fields: tuple[str, str]) -> list[int]:
    """The values of fields (name, text), or an InputError that lists every text that is no whole number."""
    values: list[int] = []
    problems: list[str] = []
    for name, text in fields:
        try:
            values.append(int(text))
        except ValueError:
            problems.append(f"{name}: {text!r} given, a whole number is accepted")
    if problems:
        raise InputError(problems)
    return values


if __name__ == "__main__":
    main()
