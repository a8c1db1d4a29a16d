"""`caucus loadtest break`, `replay`, `spike`, `soak`, `export` and `diff`. Parses, calls, prints."""

from __future__ import annotations

import functools
import json
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from loadtests.commands.target_options import FILE, speaking_options

if TYPE_CHECKING:
    from loadtests.commands.run import Asked

_Command = TypeVar("_Command", bound=Callable[..., Any])
_Asked = TypeVar("_Asked", bound="Asked")
FLOW_NAMES = ("login", "report", "photo", "clerk", "results", "mix")  # `flows.FLOWS`, which is slow to import
_READERS = click.option(
    "--readers",
    default=100,
    show_default=True,
    type=click.IntRange(0),
    help="Who ask for the results themselves, not through a cache before the backend.",
)
_SEED = click.option("--seed", default=1, show_default=True, type=click.IntRange(0), help="Of arrivals and nights.")
_UNTIL = click.option(
    "--until", default="+1d 01:00", show_default=True, metavar="CLOCK", help="What the night has later is left out."
)


def _run_options(kind: str, least_workers: int = 1) -> Callable[[_Command], _Command]:
    """The options of every run."""

    def decorate(command: _Command) -> _Command:
        options = (
            click.option(
                "--objective", "objectives", multiple=True, metavar="TEXT", help='Such as "p99(latency) < 2 s".'
            ),
            click.option(
                "--fault", "faults", multiple=True, metavar="TEXT", help='Such as "stall clients at 10 s for 2 s".'
            ),
            click.option(
                "--database",
                metavar="URL",
                envvar="CAUCUS_TARGET_DATABASE",
                help="Of our backend: sqlite, embedded-postgres or postgresql://...; with --target, what the ledger "
                "reads beside the API. A URL with a password belongs into $CAUCUS_TARGET_DATABASE.  [default: sqlite]",
            ),
            _SEED,
            click.option(
                "--workers",
                default=1,
                show_default=True,
                type=click.IntRange(least_workers, 64),
                help="Processes that make load.",
            ),
            click.option("--junit", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="JUnit XML."),
            click.option("--prometheus", metavar="HOST:PORT", help="Show metrics there while it runs."),
            click.option(
                "--out",
                type=click.Path(path_type=Path),
                metavar="DIR",
                help=f"[default: runs/loadtest-{kind}-NAME-SEED, the next time ...-run2]",
            ),
            click.option("--force", is_flag=True, help="Replace a run in DIR."),
        )
        for option in reversed(options):
            command = option(command)
        return functools.partial(speaking_options, required=False)(command)

    return decorate


def _asked(kind: type[_Asked], given: dict[str, Any]) -> _Asked:
    """The command line as one value."""
    return kind(settle_s=given.pop("settle"), **given)


@click.command(name="break")
@click.argument("name", metavar="NAME")
@_run_options("break", least_workers=0)
@click.option(
    "--flow",
    "flows",
    multiple=True,
    type=click.Choice([*FLOW_NAMES, "all"]),
    help="What is sent; may be repeated.  [default: mix]",
)
@click.option("--require", "requirements", multiple=True, metavar="TEXT", help='Of the answer: "nights >= 5".')
@_READERS
@click.option(
    "--budget",
    default=4.0,
    show_default=True,
    type=click.FloatRange(0.5, 20),
    help="Minutes a search may take, a flow.",
)
@click.option("--no-recovery", is_flag=True, help="Do not overload it on purpose, some two minutes a flow.")
@click.option("--listen", metavar="HOST:PORT", help="Where workers on other machines join.")
@click.option("--others", default=0, type=click.IntRange(0, 64), help="How many of them are waited for.")
@click.pass_context
def break_(ctx: click.Context, /, **given: Any) -> None:
    """Find the load at which a backend breaks, in requests a second and in caucus nights.

    NAME is a night of the library, or a file. One caucus night is its busiest minute. Without --target our own backend
    is started, on other cores than the load. It writes test records, thousands of them: never point it at a caucus that
    counts. With --json and no --out no folder is written. Exit code 3: a requirement is missed, something
    acknowledged was not kept, or what is stored could not be read.

    \b
    caucus loadtest break iowa-2020 --flow report
    caucus loadtest break iowa-2020 --flow all --database embedded-postgres --require "nights >= 5"
    caucus loadtest break iowa-2020 --target http://127.0.0.1:8000 --pins pins.csv --objective "p99(latency) < 500 ms"
    """
    from loadtests.commands.breaking import Break, run

    given |= {"budget_s": 60 * given.pop("budget"), "recovers": not given.pop("no_recovery")}
    ctx.exit(run(_asked(Break, given)))


@click.command()
@click.argument("name", metavar="NAME")
@_run_options("replay")
@click.option(
    "--speed", default=10.0, show_default=True, type=click.FloatRange(0.1, 100_000), help="Times the evening's own."
)
@click.option("--night", default=0, show_default=True, type=click.IntRange(0), help="Which night of the seed.")
@click.option("--readers", default=20, show_default=True, type=click.IntRange(0), help="Who follow the results.")
@_UNTIL
@click.option("--small-photos", is_flag=True, help="Photos of kilobytes instead of 1-5 MB.")
@click.pass_context
def replay(ctx: click.Context, /, **given: Any) -> None:
    """Send a simulated night's very requests at their times.

    NAME is a night of the library, or a file. Each request goes out when the night has it, whether or not those before
    were answered. The report puts what the backend acknowledged beside what the simulation says, on the night's own
    clock. Without --target our own backend is started. Exit code 3: an objective is missed, something acknowledged
    was not kept, or what is stored could not be read. Exit code 1: the generator fell short, so that nothing is said
    of the backend, or a fault never happened.

    \b
    caucus loadtest replay iowa-2020 --speed 60
    caucus loadtest replay iowa-2020 --target http://127.0.0.1:8000 --pins pins.csv --speed 10
    """
    from loadtests.commands.playing import Replay
    from loadtests.commands.playing import replay as run

    given["until_ms"] = _until_ms(given.pop("until"))
    ctx.exit(run(_asked(Replay, given)))


@click.command()
@click.argument("name", metavar="NAME")
@_run_options("spike")
@click.option("--surge", default=50.0, show_default=True, type=click.FloatRange(1), help="Readers, as caucus nights.")
@click.option("--nights", default=1.0, show_default=True, type=click.FloatRange(0.01), help="Everybody else, likewise.")
@click.option("--length", "length_s", default=20.0, show_default=True, type=click.FloatRange(2, 600), help="Seconds.")
@click.option(
    "--readers", default=1000, show_default=True, type=click.IntRange(1), help="Who follow the results in a night."
)
@click.pass_context
def spike(ctx: click.Context, /, **given: Any) -> None:
    """A stampede on the public results while reports come in.

    Log-ins, reports, photos and entries come as in --nights of their busiest minutes all the time; then readers come,
    as many at once as in --surge of theirs. Says what they get, and what it does to the reports. Exit code 3: an
    objective is missed meanwhile, or they do not all hold again afterwards, something acknowledged was not kept, or
    what is stored could not be read. Exit code 1: the generator fell short, so that nothing is said of the backend, or
    a fault never happened.

    \b
    caucus loadtest spike iowa-2020
    caucus loadtest spike iowa-2020 --target http://127.0.0.1:8000 --pins pins.csv --surge 200
    """
    from loadtests.commands.playing import Spike
    from loadtests.commands.playing import spike as run

    ctx.exit(run(_asked(Spike, given)))


@click.command()
@click.argument("name", metavar="NAME")
@_run_options("soak")
@click.option("--hours", default=1.0, show_default=True, type=click.FloatRange(0.001, 1000), help="How long.")
@click.option(
    "--nights", default=1.0, show_default=True, type=click.FloatRange(0.01), help="The load, as caucus nights."
)
@click.option(
    "--flow",
    default="mix",
    show_default=True,
    type=click.Choice(FLOW_NAMES),
    help="What is sent.",
)
@_READERS
@click.pass_context
def soak(ctx: click.Context, /, **given: Any) -> None:
    """Hours of load: do latency, memory or file handles drift?

    Each figure is tested: a drift is told where luck does as much in fewer than one soak of a hundred. Ctrl-C ends it
    early, and what was measured counts. Judged are p50(latency), p99(latency), error_share, goodput_share
    and lost. Exit code 3: something drifts upwards, an objective is missed, something acknowledged was not kept, or
    what is stored could not be read. Exit code 1: it ended before its time, it was too short to test a figure, a fault
    never happened, or the generator fell short all the while.

    \b
    caucus loadtest soak iowa-2020 --hours 8 --nights 2
    """
    from loadtests.commands.playing import Soak
    from loadtests.commands.playing import soak as run

    ctx.exit(run(_asked(Soak, given)))


@click.command()
@click.argument("name", metavar="NAME")
@click.option("--format", "kind", required=True, type=click.Choice(["csv", "vegeta", "k6"]), help="For which tool.")
@click.option("--target", default="http://127.0.0.1:8000", show_default=True, metavar="URL", help="Whom it will load.")
@click.option("--mapping", type=FILE, help="TOML file: how the backend is spoken to.  [default: ours]")
@click.option("--pins", type=FILE, help="vegeta: sign everybody in now, and write down sessions and PINs.")
@click.option("--i-may-load", metavar="HOST", help="vegeta with --pins: leave to sign in at another machine.")
@click.option("--ca", type=FILE, help="PEM file: the authorities that vouch for the target's certificate.")
@click.option("--roster", type=FILE, help="Your own precincts instead of the scenario's.")
@click.option(
    "--speed", default=10.0, show_default=True, type=click.FloatRange(0.1, 100_000), help="Times the evening's own."
)
@_SEED
@click.option("--night", default=0, show_default=True, type=click.IntRange(0), help="Which night of the seed.")
@click.option("--readers", default=20, show_default=True, type=click.IntRange(0), help="Who follow the results.")
@_UNTIL
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="PATH", help="A file; of k6 a folder.  [default: stdout]"
)
def export(
    name: str,
    kind: str,
    target: str,
    mapping: Path | None,
    pins: Path | None,
    i_may_load: str | None,
    ca: Path | None,
    roster: Path | None,
    speed: float,
    seed: int,
    night: int,
    readers: int,
    until: str,
    out: Path | None,
) -> None:
    """Write a night's schedule for other tools.

    csv: a row a request, without bodies. vegeta: targets in its JSON format, in order. k6: a folder with night.js,
    which signs everybody in with the list of PINs that it is given. Only csv keeps due times to the microsecond:
    vegeta and k6 keep rates. What a log-in gives stands as @token@, and no PIN is written down. Vegeta signs nobody in:
    with --pins everybody is signed in now, at --target, and the file holds their sessions and PINs.

    \b
    caucus loadtest export iowa-2020 --format csv > night.csv
    caucus loadtest export iowa-2020 --format vegeta --pins pins.csv --out night.jsonl
    caucus loadtest export iowa-2020 --format k6 --out night-k6 && k6 run -e PINS=$PWD/pins.csv night-k6/night.js
    """
    from loadtests.accounts import read_accounts
    from loadtests.target.guards import allowed
    from loadtests.target.mapping import REFERENCE, load_mapping
    from loadtests.traffic import export as exporting
    from loadtests.traffic import replay as replaying
    from loadtests.traffic.evening import evening_of
    from simulation.errors import InputError
    from simulation.night import play_night
    from simulation.scenario import load

    if kind == "k6" and out is None:
        raise InputError("--format k6 writes a folder: name it with --out")
    if pins is not None and kind != "vegeta":
        raise InputError(f"--pins: --format {kind} holds no secrets; k6 is given the list when it runs: -e PINS=FILE")
    if pins is not None and out is None:
        raise InputError("--pins: sessions and PINs are not for the screen: name a file with --out")
    played = play_night(load(name, {}, roster), seed, night, log=True)
    evening = evening_of(played, small_photos=kind != "csv")
    run = f"export-{seed}-{night}"
    backend = load_mapping(mapping or REFERENCE, run, evening.groups, placeholders=pins is None)
    has, until_ms = replaying.asked_of(backend), _until_ms(until)
    plan = replaying.plan(played, evening, has, speed=speed, readers=readers, until_ms=until_ms)
    if kind == "k6":
        assert out is not None
        exporting.write_k6(out, plan, backend, target, mapping or REFERENCE)
    else:
        signed = None
        if pins is not None:
            where = allowed(target, i_may_load)
            if where.in_the_clear:
                click.echo(f"{where.url}: PINs and tokens go over the network in the clear", err=True)
            signed = exporting.signed_in(plan, backend, where, read_accounts(pins), ca)
        text = exporting.as_csv(plan, backend) if kind == "csv" else exporting.as_vegeta(plan, backend, target, signed)
        if out is None:
            click.echo(text, nl=False)
        else:
            exporting.write_text(out, text, secret=signed is not None)
    rate, seconds = plan.schedule.rate, replaying.seconds_of(plan)
    click.echo(f"{len(plan.schedule):,} requests in {seconds:,.0f} s, {rate:.1f} a second on average", err=True)


@click.command()
@click.argument("a", metavar="RUN_A", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.argument("b", metavar="RUN_B", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="A page.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def diff(a: Path, b: Path, out: Path | None, as_json: bool) -> None:
    """Compare two runs of `break`: which breaks later, and is that more than luck?

    It is where the two intervals have no load in common, and both answers are valid. Whatever else differs between the
    runs is listed.

    \b
    caucus loadtest diff runs/before runs/after --out diff.html
    """
    from loadtests.report import versus
    from simulation.report.pages import write

    one, other = versus.read(a), versus.read(b)
    found = versus.compared(one, other)
    if out is not None:
        from loadtests.report.versus_page import page

        write(out, page(one, other, found, shlex.join(["caucus", *sys.argv[1:]])))
    if as_json:
        differs = versus.differing(one, other)
        click.echo(
            json.dumps({"flows": [each.as_json() for each in found], "differs_besides": differs}, ensure_ascii=False)
        )
        return
    for each in found:
        click.echo(each.says)
    for line in versus.differing(one, other):
        click.echo(f"differs besides: {line}", err=True)


def _until_ms(text: str) -> int:
    from simulation.errors import InputError
    from simulation.scenario.values import parse_clock

    try:
        return parse_clock(text)
    except ValueError as error:
        raise InputError(f"--until {text!r}: expected {error}") from None


COMMANDS = (break_, replay, spike, soak, export, diff)
