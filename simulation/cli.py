"""The `caucus` command: each subcommand parses, calls one function and prints.

stdout is data, stderr is progress and messages. Exit codes: 0 ok, 1 error, 2 usage or bad input, 3 objective missed.
Whatever is heavy is imported inside the command that needs it, so that `caucus --help` stays instant.
"""

from __future__ import annotations

import json
import os
import traceback
from typing import Any

import click

from simulation.errors import InputError

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
