"""`caucus packet`: a rehearsal on paper."""

from __future__ import annotations

import os
import shlex
import tempfile
from pathlib import Path

import click

from simulation.commands import options
from simulation.errors import InputError

LENGTHS = ("20", "45", "90")


@click.command()
@options.name_or_file
@click.option("--seats", type=click.IntRange(1, 200), default=8, show_default=True, metavar="N", help="Chairs.")
@click.option("--minutes", type=click.Choice(LENGTHS), default="45", show_default=True, help="How long, about.")
@click.option("--language", type=click.Choice(["en", "es"]), default="en", show_default=True, help="Of the pages.")
@click.option("--night", type=click.IntRange(0, 999_999), default=0, show_default=True, help="Nights count from 0.")
@options.seed
@options.roster
@options.settings
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="Folder.  [default: in runs/]")
@click.option("--pdf", is_flag=True, help="Also write both as PDF (needs WeasyPrint).")
@options.quiet
def packet(
    name_or_file: str,
    seats: int,
    minutes: str,
    language: str,
    night: int,
    seed: int | None,
    roster: Path | None,
    settings: tuple[str, ...],
    out: Path | None,
    pdf: bool,
    quiet: bool,
) -> None:
    """Print a rehearsal: the same night as `caucus rehearse` has on its pages, for a room without any.

    The folder holds volunteers.html (for each chair the evening, and a blank worksheet; a sheet each for a check-in
    lead, a hotline operator, data entry and a reviewer; a form for the hotline) and trainer.html (how it goes, cards of
    what goes wrong, to cut out, and the key to every seat). The same scenario, seed, night and minutes give the same
    evening as `caucus rehearse`: the chair of seat 3 has the same precinct.

    \b
    caucus packet iowa-2020 --seats 12 --pdf
    caucus packet iowa-2020 --minutes 20 --language es --out runs/para-imprimir
    """
    try:
        from simulation.rehearsal.packet import LETTERS
        from simulation.rehearsal.packet import packet as made
        from simulation.rehearsal.script import group_label, script
        from simulation.web.render import page

        if language != "en":
            import babel  # noqa: F401  # reads the catalogs
    except ModuleNotFoundError as error:
        raise InputError(f"rehearsals need the extra `web` ({error.name} is missing): pip install '.[web]'") from None
    from markupsafe import Markup

    from simulation.report import pdf as maker
    from simulation.report.plot import style

    if pdf:
        maker.check()
    scenario = options.loaded(name_or_file, settings, roster)
    run = scenario.spec.run
    seed = seed if seed is not None else run.seed if run else 1
    folder = out or Path("runs", f"packet-{scenario.name}-{seed}-{night}-{minutes}-{seats}-{language}")
    papers = made(script(scenario, seed, night, int(minutes)), seats)
    changed = [part for setting in settings for part in ("--set", setting)]
    changed += ["--roster", str(roster)] if roster else []
    which = ["--seed", str(seed), "--night", str(night), "--minutes", minutes, "--language", language]
    written = {}
    for part in ("volunteers", "trainer"):
        html = page(
            "packet.html",
            language,
            part=part,
            packet=papers,
            title=scenario.spec.title,
            rules=papers.script.rules,
            groups=list(dict.fromkeys(group for site in papers.script.sites for group in site.groups)),
            letters=LETTERS,
            group_label=group_label,
            style=Markup(style()),
            command=shlex.join(["caucus", "rehearse", name_or_file, *changed, *which]),
        ).lstrip()
        written[f"{part}.html"] = html.encode()
        if pdf:
            if not quiet:
                click.echo(f"Making {part}.pdf", err=True)
            written[f"{part}.pdf"] = maker.as_pdf(html)
    _put(folder, written)
    click.echo("\n".join(str(folder / name) for name in written))


def _put(folder: Path, written: dict[str, bytes]) -> None:
    """A folder with these files, whole or not at all. What is there already is kept, unless all of it is the same."""
    try:
        known = {path.name: path for path in folder.iterdir()} if folder.is_dir() else {}
        if folder.exists() and not folder.is_dir():
            raise InputError(f"--out {folder}: is a file: name a folder")
        same = [name for name in written if name in known and known[name].is_file()]
        same = [name for name in same if known[name].read_bytes() == written[name]]
        if len(same) == len(written):
            return
        if len(same) < len(known):
            raise InputError(f"--out {folder}: is there already, and nothing is overwritten: choose another name")
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as beside:
            whole = Path(beside, "whole")
            whole.mkdir()
            for name, content in written.items():
                (whole / name).write_bytes(content)
            for name in same:  # they are in the new folder, too
                known[name].unlink()
            os.replace(whole, folder)  # an empty folder may be there
    except OSError as error:
        raise InputError(f"--out {folder}: cannot be written: {error.strerror}") from None
