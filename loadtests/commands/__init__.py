"""`caucus loadtest`: is a backend ready to be loaded, and did it keep what it promised? Parses, calls, prints."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from loadtests.commands import runs
from loadtests.commands.target_options import speaking_options

if TYPE_CHECKING:
    from loadtests.target.check import Line

_Command = TypeVar("_Command", bound=Callable[..., Any])

_COLORS = {"works": "green", "missing": "yellow", "warns": "yellow", "fails": "red", "left out": None}
NOT_KEPT = 3  # exit code: something that must hold does not


def _target_options(command: _Command) -> _Command:
    """The options of every command that speaks to a backend."""
    scenario = click.option(
        "--scenario", default="iowa-2020", show_default=True, help="The night whose sites it knows."
    )
    return speaking_options(scenario(command), required=True)


@click.group()
def loadtest() -> None:
    """Fire a night's requests at a reporting backend, and see what it keeps."""


for _command in runs.COMMANDS:
    loadtest.add_command(_command)


@loadtest.command()
@_target_options
@click.option("--site", metavar="CODE", help="The precinct that reports.  [default: the first in --pins]")
@click.option("--clean-up", is_flag=True, help="Remove this run's test records, by the mapping's [cleanup].")
@click.option("--run-id", help="Sent with every request, and part of test records.  [default: made up]")
@click.pass_context
def check(
    ctx: click.Context,
    target: str,
    mapping: Path | None,
    target_class: str | None,
    pins: Path | None,
    scenario: str,
    roster: Path | None,
    i_may_load: str | None,
    ca: Path | None,
    settle: float,
    as_json: bool,
    site: str | None,
    clean_up: bool,
    run_id: str | None,
) -> None:
    """Walk one precinct through an evening at a backend.

    Says what works, what the mapping misses, and what the backend does not guarantee. It writes test records: one
    precinct's report, marked with the run's id; never point it at a caucus that counts.
    Exit code 3: something that must hold does not.

    \b
    caucus loadtest check --target http://127.0.0.1:8000 --pins pins.csv
    caucus loadtest check --target https://staging.example.org --mapping ours.toml --pins pins.csv \\
        --i-may-load staging.example.org --ca staging-ca.pem --clean-up
    """
    from loadtests.accounts import read_accounts
    from loadtests.night import Night
    from loadtests.target import check as checking
    from loadtests.target.guards import Redaction, allowed, checked_run_id, new_run_id
    from loadtests.target.mapping import secrets_of, target_backend
    from loadtests.target.sender import Sender
    from simulation.scenario import load

    run = checked_run_id(run_id) if run_id is not None else new_run_id()
    where = allowed(target, i_may_load)
    night = Night.of(load(scenario, {}, roster))
    backend = target_backend(mapping, target_class, run, night.sites[0].groups)
    accounts = read_accounts(pins) if pins else checking.accounts_of_environment(checking.environment(), site)
    walk = checking.Walk(backend, Sender(where, run, ca), night, accounts, run, Redaction(secrets_of()), settle)
    click.echo(f"run {run}: test records at {where.url}", err=True)
    if where.in_the_clear:
        click.echo(f"{where.url}: PINs and tokens go over the network in the clear", err=True)
    lines = []
    for line in _answered(walk.lines(site, clean_up=clean_up)):
        lines.append(line)
        if not as_json:
            mark = click.style(f"{line.verdict:<9}", fg=_COLORS[line.verdict])
            click.echo(f"{mark} {line.subject}: {line.says}")
    found = checking.as_json(walk, lines, where.url)
    if as_json:
        click.echo(json.dumps(found, ensure_ascii=False))
    else:
        click.echo(_summary(found))
    ctx.exit(0 if found["ok"] else NOT_KEPT)


def _summary(found: dict[str, Any]) -> str:
    counted = [f"{found[name]} {name}" for name in ("works", "warns", "missing", "fails") if found[name]]
    verdict = "ready to be loaded" if found["ok"] else "not ready: something that must hold does not"
    return f"{', '.join(counted)}: {verdict}"


@loadtest.command()
@click.argument("folder", metavar="LEDGER_DIR", type=click.Path(path_type=Path, exists=True, file_okay=False))
@_target_options
@click.option(
    "--database",
    metavar="URL",
    envvar="CAUCUS_TARGET_DATABASE",
    help="Our backend's own database, read beside its API. A URL with a password belongs into $CAUCUS_TARGET_DATABASE.",
)
@click.pass_context
def reconcile(
    ctx: click.Context,
    folder: Path,
    target: str,
    mapping: Path | None,
    target_class: str | None,
    pins: Path | None,
    scenario: str,
    roster: Path | None,
    i_may_load: str | None,
    ca: Path | None,
    settle: float,
    as_json: bool,
    database: str | None,
) -> None:
    """Hold what was acknowledged against what is stored.

    LEDGER_DIR is where a load test kept what the backend had acknowledged. Every write is looked for in the backend's
    API, in its database (--database), and in the public totals. A log-in of an administrator or observer in --pins
    reads what is stored; without one, only the public results (and --database) are looked at.
    Exit code 3: something is lost, duplicated, altered, mis-tallied or out of order, or nothing was acknowledged.

    \b
    caucus loadtest reconcile runs/ledger --target http://127.0.0.1:8000 --pins pins.csv --database sqlite:///caucus.db
    """
    from loadtests import ledger, reconciliation
    from loadtests.accounts import read_accounts
    from loadtests.contract import reader_session
    from loadtests.target.guards import allowed, new_run_id
    from loadtests.target.mapping import target_backend
    from loadtests.target.sender import Sender

    del scenario, roster  # options of every command with a target; the ledger itself says what its sites are
    run = new_run_id()
    where = allowed(target, i_may_load)
    entries = ledger.merge(folder)
    backend = target_backend(mapping, target_class, run)
    accounts = read_accounts(pins) if pins else None
    send = Sender(where, run, ca)
    session = _unless_silent(lambda: reader_session(backend, send, accounts)) if accounts else None
    found = _unless_silent(lambda: reconciliation.held_against(entries, backend, send, session, database, settle))
    if as_json:
        click.echo(json.dumps(found, ensure_ascii=False, default=str))
    else:
        click.echo(reconciliation.as_text(found))
    ctx.exit(0 if found["clean"] else NOT_KEPT)


_Item = TypeVar("_Item")


def _unless_silent(work: Callable[[], _Item]) -> _Item:
    """What `work` gives; a target that does not answer ends the command with a sentence and exit code 1."""
    from loadtests.target.sender import NoAnswerError
    from simulation.errors import UnfinishedError

    try:
        return work()
    except NoAnswerError as error:
        raise UnfinishedError(str(error)) from None


def _answered(lines: Iterator[Line]) -> Iterator[Line]:
    """The lines of a walk, as long as the target answers."""
    while True:
        line = _unless_silent(lambda: next(lines, None))
        if line is None:
            return
        yield line
