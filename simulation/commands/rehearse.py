"""`caucus rehearse` and `caucus debrief`: a night with people in it, and what came of it."""

from __future__ import annotations

import json
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from simulation.commands import options
from simulation.errors import InputError

if TYPE_CHECKING:
    from simulation.rehearsal.debrief import Debrief
    from simulation.rehearsal.log import Log

LENGTHS = ("20", "45", "90")


@click.command()
@options.name_or_file
@click.option(
    "--host",
    metavar="ADDRESS",
    help="Listen there; 0.0.0.0: everywhere.  [default: this computer's address in the local network]",
)
@click.option("--port", type=click.IntRange(0, 65535), default=8019, show_default=True, help="0: any free one.")
@click.option("--minutes", type=click.Choice(LENGTHS), default="45", show_default=True, help="How long, about.")
@click.option("--speed", type=click.FloatRange(1, 60), help="The night's clock.  [default: as the minutes need]")
@click.option(
    "--bots",
    type=click.IntRange(0, 200),
    default=0,
    show_default=True,
    help="Bots play so many seats: chairs; where there are fewer, one of each other role too.",
)
@click.option("--solo", is_flag=True, help="Alone, without a trainer: the clock starts with you. Homework.")
@click.option("--language", type=click.Choice(["en", "es"]), default="en", show_default=True, help="Of the pages.")
@click.option("--file", "file", metavar="FILE", help="The event log, or postgresql://...; goes on where it ended.")
@click.option("--night", type=click.IntRange(0, 999_999), default=0, show_default=True, help="Nights count from 0.")
@options.seed
@options.roster
@options.settings
@options.quiet
def rehearse(
    name_or_file: str,
    host: str | None,
    port: int,
    minutes: str,
    speed: float | None,
    bots: int,
    solo: bool,
    language: str,
    file: str | None,
    night: int,
    seed: int | None,
    roster: Path | None,
    settings: tuple[str, ...],
    quiet: bool,
) -> None:
    """Put people into a night: chairs, operators, reviewers, on the phones that they bring.

    Starts a server in the local network and prints its address, the trainer's link and the code to join with (one line
    of JSON on stdout). Whatever happens is kept in FILE: `caucus rehearse NAME --file FILE`, without the other
    options, goes on with it.

    \b
    caucus rehearse iowa-2020 --bots 20
    caucus rehearse iowa-2020 --solo --minutes 20
    """
    try:
        from simulation.rehearsal.log import Log
        from simulation.rehearsal.running import Rehearsal
        from simulation.web.server import lan_address, serve
    except ModuleNotFoundError as error:
        raise InputError(f"rehearsals need the extra `web` ({error.name} is missing): pip install '.[web]'") from None

    kept = file or str(Path("runs", f"rehearsal-{Path(name_or_file).stem}-{secrets.token_hex(3)}.sqlite"))
    log = Log(kept)
    begun = log.begun
    if begun:
        try:
            _goes_on(log, name_or_file)
            rehearsal = Rehearsal(log)
        except InputError:
            log.close()
            raise
    else:
        log.close()
        scenario = options.loaded(name_or_file, settings, roster)
        run = scenario.spec.run
        rehearsal = Rehearsal.begin(
            kept,
            scenario,
            seed=seed if seed is not None else run.seed if run else 1,
            night=night,
            minutes=int(minutes),
            speed=speed,
            bots=bots,
            solo=solo,
            language=language,
            base=_named(name_or_file),
        )

    def ready(links: dict[str, str]) -> None:
        click.echo(json.dumps(links))
        if quiet:
            return
        click.echo(f"{'Goes on' if begun else 'Kept'} in {rehearsal.log.shown}", err=True)
        click.echo(f"Volunteers open {links['url']} and type {links['join_code']}", err=True)
        click.echo(f"The trainer opens {links['trainer_url']}", err=True)
        if not host and where == "127.0.0.1":
            click.echo(
                "No local network was found: only this computer can open these; --host names an address", err=True
            )
        _qr(f"{links['url']}?code={links['join_code']}")

    where = host or lan_address()
    try:
        serve(rehearsal, where, port, language=rehearsal.language, ready=ready)
    finally:
        rehearsal.close()
        if rehearsal.log.names_left:
            click.echo(
                f"Names that were deleted may still lie in {rehearsal.log.shown}: another program reads it", err=True
            )


_OF_A_NEW_ONE = {  # options that say how a rehearsal begins
    **{name: f"--{name}" for name in ("minutes", "speed", "bots", "solo", "language", "night", "seed", "roster")},
    "settings": "--set",
}


def _named(name_or_file: str) -> str:
    """How a log names the night: as the library does, or the file, wherever one stands later."""
    from simulation.scenario import library

    return name_or_file if name_or_file in library() else str(Path(name_or_file).resolve())


def _goes_on(log: Log, name_or_file: str) -> None:
    """InputError where somebody asks for something else than to go on with what the log holds."""
    given = click.get_current_context().get_parameter_source
    asked = [option for name, option in _OF_A_NEW_ONE.items() if given(name) is ParameterSource.COMMANDLINE]
    if asked:
        raise InputError(
            f"{log.shown}: a rehearsal stands there and goes on as it was begun: leave out {', '.join(asked)}, "
            "or name another file to begin a new one"
        )
    held = str(log.settings.get("base") or log.settings["name"])
    if held not in (name_or_file, _named(name_or_file)):
        raise InputError(f"{log.shown}: holds a rehearsal of {held}, not of {name_or_file}")


def _qr(text: str) -> None:
    """The code for phones, on a terminal."""
    import sys

    if not sys.stderr.isatty():
        return
    import segno

    segno.make(text, error="m").terminal(out=sys.stderr, compact=True)


@click.command()
@click.argument("file")
@click.option("--json", "as_json", is_flag=True, help="Print every score as JSON.")
@click.option("--csv", "as_csv", is_flag=True, help="Print a row for each score.")
@click.option(
    "--to-scenario", type=click.Path(path_type=Path), metavar="OUT.toml", help="What was seen, as a scenario."
)
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="Write debrief.json and scores.csv there.")
def debrief(file: str, as_json: bool, as_csv: bool, to_scenario: Path | None, out: Path | None) -> None:
    """Say what a rehearsal showed: scores, the room, and three moments to talk about.

    FILE is the event log of `caucus rehearse`. --to-scenario writes the error rates and times that were seen as a
    scenario that extends the one rehearsed.

    \b
    caucus debrief runs/rehearsal-iowa-2020-1a2b3c.sqlite --json
    """
    if as_json and as_csv:
        raise InputError("--json, --csv: one of them")
    try:
        from simulation.rehearsal.running import read_only
    except ModuleNotFoundError as error:
        raise InputError(f"rehearsals need the extra `web` ({error.name} is missing): pip install '.[web]'") from None
    from simulation.rehearsal.debrief import debrief as made

    with read_only(file) as (room, events, log):
        found = made(room, events)
        if to_scenario is not None:
            from simulation.rehearsal.to_scenario import rehearsed
            from simulation.rehearsal.to_scenario import to_scenario as scenario_text

            base, beside = rehearsed(log.settings, to_scenario)
            for path, text in beside.items():
                options.written(text, path)
            options.written(scenario_text(found, base), to_scenario)
        if out is not None:
            out.mkdir(parents=True, exist_ok=True)
            options.written(json.dumps(found.as_json(), indent=1) + "\n", out / "debrief.json")
            options.written(found.csv(), out / "scores.csv")
        if as_json:
            click.echo(json.dumps(found.as_json()))
        elif as_csv:
            click.echo(found.csv(), nl=False)
        elif out is None and to_scenario is None:
            _tell(found)


def _tell(found: Debrief) -> None:
    """The debrief in a few lines."""
    said = found.as_json()
    click.echo(f"{found.scenario}, {found.minutes} minutes, until {said['at']}: {len(found.seats)} seats")
    for failure in said["failures"]:
        click.echo(f"The program failed: {failure['at']} {failure['seat']}: {failure['what']}", err=True)
    for item in found.room:
        click.echo(f"  {item.label.english()}: {item.results.get('right', 0)} of {item.judged}")
    for number, moment in enumerate(said["moments"]["first"], start=1):
        click.echo(f"{number}. {moment['at']} {moment['title']} ({', '.join(moment['seats'])})")
        click.echo(f"   {moment['why']} Given: {moment['given']}. Right: {moment['right']}. {moment['citation']}")
