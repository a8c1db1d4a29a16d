"""The pages of docs/ that are written from the code: `python -m simulation.documentation .` writes them anew."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click


def pages() -> dict[str, str]:
    """File name to text of every generated page."""
    from simulation.audit import codes_markdown
    from simulation.experiment.measures import markdown as measures
    from simulation.night.metrics import markdown as metrics
    from simulation.rehearsal.documentation import markdown as rehearsals
    from simulation.roster import columns_markdown
    from simulation.scenario.reference import markdown as scenarios

    return {
        "scenarios.md": scenarios(),
        "metrics.md": metrics(),
        "measures.md": measures(),
        "rosters.md": _ROSTERS + columns_markdown(),
        "audit-codes.md": codes_markdown(),
        "rehearsals.md": rehearsals(),
        "commands.md": commands_markdown(),
    }


_ROSTERS = """\
# Rosters

Written by `make docs`. A roster is a CSV or Excel file with one row a precinct. `caucus roster template` writes one to
start from, `caucus roster check FILE` says what is wrong with one and what was filled in, and
`caucus simulate NAME --roster FILE` plays a night on it. The published precinct results of Iowa 2020 (a CSV file that
the project does not bring along) can be read as they are: `caucus simulate iowa-2020 --roster iowa2020_precincts.csv`.

A *satellite* is a caucus site outside the precincts (a workplace, another state). *County-convention delegates* are
what a precinct elects; *SDE*, state delegate equivalents, are what they are worth statewide ([law.md](law.md)).

"""


def commands_markdown() -> str:
    """Every command with its help, as the command line prints it."""
    from simulation.cli import caucus

    parts = ["# Commands\n\nWritten by `make docs` from the commands' own help.\n"]
    for path, command in _walk(caucus, ("caucus",)):
        context = click.Context(command, info_name=" ".join(path), terminal_width=100, max_content_width=100)
        parts.append(
            f"{'#' * (len(path) + 1)} `{' '.join(path)}`\n\n```text\n{command.get_help(context).rstrip()}\n```\n"
        )
    return "\n".join(parts)


def _walk(command: click.Command, path: tuple[str, ...]) -> list[tuple[tuple[str, ...], click.Command]]:
    found = [(path, command)]
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in sorted(command.list_commands(context)):
            below = command.get_command(context, name)
            assert below is not None, name
            found += _walk(below, (*path, name))
    return found


def schema_text() -> str:
    """The JSON Schema beside the library's nights, for editors."""
    from simulation.scenario import json_schema

    return json.dumps(json_schema(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    root = Path(sys.argv[1])
    for name, text in pages().items():
        (root / "docs" / name).write_text(text, encoding="utf-8")
    (root / "scenarios" / "scenario.schema.json").write_text(schema_text(), encoding="utf-8")
