"""The options by which commands are told whom they speak to, and how."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

_Command = TypeVar("_Command", bound=Callable[..., Any])

FILE = click.Path(path_type=Path, exists=True, dir_okay=False)


def speaking_options(command: _Command, *, required: bool) -> _Command:
    """How a backend is spoken to. A target that need not be named is our own backend, started for it."""
    ours = "" if required else "  [default: ours is started]"
    options = (
        click.option(
            "--target", required=required, metavar="URL", help=f"The backend, such as http://127.0.0.1:8000.{ours}"
        ),
        click.option("--mapping", type=FILE, help="TOML file: how the backend is spoken to.  [default: ours]"),
        click.option(
            "--target-class", metavar="MODULE:CLASS", help="The same in Python: a loadtests.contract.Backend."
        ),
        click.option("--pins", type=FILE, help="Log-ins: user,role,site,pin,totp_secret."),
        click.option("--roster", type=FILE, help="Your own precincts instead of the scenario's."),
        click.option("--i-may-load", metavar="HOST", help="Leave to send requests to a host that is not this machine."),
        click.option("--ca", type=FILE, help="PEM file: the authorities that vouch for the target's certificate."),
        click.option(
            "--settle", default=15.0, show_default=True, help="Seconds that public results may take to follow."
        ),
        click.option("--json", "as_json", is_flag=True, help="Print one JSON object."),
    )
    for option in reversed(options):
        command = option(command)
    return command
