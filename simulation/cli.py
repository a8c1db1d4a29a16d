"""The `caucus` command: its subcommands stand in `commands`, and how a command fails stands here.

stdout is data, stderr is progress and messages. Exit codes: 0 ok, 1 error, 2 usage or bad input, 3 objective missed.
Whatever is heavy is imported inside the command that needs it, so that `caucus --help` stays instant.
"""

from __future__ import annotations

import os
import traceback
from importlib import import_module
from typing import Any

import click

from simulation.commands import (
    calibrate,
    compare,
    explain,
    law,
    nights,
    packet,
    rehearse,
    rosters,
    sensitivity,
    simulate,
    staff,
    sweep,
)
from simulation.errors import InputError, UnfinishedError

INTERRUPTED = 130  # what shells report for a command that Ctrl-C ended: 128 + SIGINT


# Groups that stand above this package, which knows no more of them than these names.
ABOVE = {"backend": "loadtests.backend.commands", "loadtest": "loadtests.commands"}


class Caucus(click.Group):
    """The command group, with one way for a command to fail: a message on stderr and its exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of all commands, sorted."""
        return sorted({*super().list_commands(ctx), *ABOVE})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """A command by its name."""
        if cmd_name in ABOVE:
            found: click.Command = getattr(import_module(ABOVE[cmd_name]), cmd_name)
            return found
        return super().get_command(ctx, cmd_name)

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


for _command in (
    *(simulate.simulate, explain.explain),
    *(nights.scenarios, nights.check, nights.new, rosters.roster),
    *(law.audit, law.national, law.math),
    *(sensitivity.sensitivity, calibrate.calibrate),
    *(compare.compare, sweep.sweep, staff.staff),
    *(rehearse.rehearse, rehearse.debrief, packet.packet),
):
    caucus.add_command(_command)


if __name__ == "__main__":
    main()
