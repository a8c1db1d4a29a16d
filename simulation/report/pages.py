"""The templates of all pages: base.html is the frame, parts.html what pages are made of.

Knows nothing of what a page says.
"""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simulation.errors import InputError

if TYPE_CHECKING:
    from markupsafe import Markup

GENERATOR = '<meta name="generator" content="Caucus Trial Run">'  # how a page of ours is told from other files
_HEAD = 1000  # characters in which it stands


def page(template: str, **values: Any) -> str:
    """A self-contained page of text from a template, see `_source`; equal values give equal text."""
    from jinja2 import Environment, FunctionLoader, StrictUndefined
    from markupsafe import Markup

    from simulation.report.chapter import Cell
    from simulation.report.plot import style

    environment = Environment(
        autoescape=True,
        loader=FunctionLoader(_source),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["kept"] = _kept
    environment.globals |= {
        "style": Markup(style()),
        "svg": Markup,
        "as_cell": lambda cell: cell if isinstance(cell, Cell) else Cell(cell),
    }
    return environment.get_template(template).render(**values).lstrip()


def check_place(path: Path) -> None:
    """InputError where a page cannot be put at `path`: what is there already must be a page of ours, or nothing."""
    if path.is_dir():
        raise InputError(f"--out {path}: is a folder: name a file")
    if path.is_file() and GENERATOR not in path.read_text(encoding="utf-8", errors="replace")[:_HEAD]:
        raise InputError(f"--out {path}: is there already, and no page of ours: choose another name")


def write(path: Path, text: str) -> None:
    """Put a page at `path`, its folder included; InputError where that cannot be."""
    check_place(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"--out {path}: cannot be written: {error.strerror}") from None


def _source(name: str) -> str:
    """A template of this folder, or "package:file" of another package's."""
    package, _, file = name.rpartition(":")
    return files(package or "simulation.report").joinpath(file).read_text(encoding="utf-8")


def _kept(text: str) -> Markup:
    """The text as HTML in which no line ends inside a range such as 27-36 %."""
    from markupsafe import Markup, escape

    return Markup(re.sub(r"[^ ]*\N{EN DASH}[^ ]*", r'<span class="kept">\g<0></span>', str(escape(text))))
