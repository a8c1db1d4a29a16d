"""How pages are made: templates in a language, and the blocks of a page that change while it is open.

A block is an element with an id. What a page shows at first and what is sent later come from the same templates.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from simulation.web import words
from simulation.web.sheet import sheet


@cache
def environment(language: str) -> Environment:
    """The templates in a language."""
    spoken = words.words(language)
    made = Environment(
        loader=PackageLoader("simulation.web", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n", "jinja2.ext.do"],
    )
    made.install_gettext_callables(  # type: ignore[attr-defined]  # added by jinja2.ext.i18n
        spoken.catalog.gettext, spoken.catalog.ngettext, newstyle=True
    )
    made.filters |= {
        "say": spoken,
        "clock": words.clock,
        "minutes": words.minutes,
        "wall": words.wall,
        "id": element_id,
        "sheet": sheet,
    }
    made.globals |= {"asset": asset, "language": language, "languages": words.LANGUAGES}
    return made


def page(template: str, language: str, /, **values: Any) -> str:
    """A whole page."""
    return environment(language).get_template(template).render(**values)


def blocks(
    template: str, language: str, values: Mapping[str, Any], known: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Those parts of a page that live: the blocks of its template whose names begin with "live_", by element id.

    What is `known` is not made again.
    """
    made: Template = environment(language).get_template(template)
    context = made.new_context(dict(values))
    found = dict(known or {})
    for name, block in made.blocks.items():
        element = name.removeprefix("live_").replace("_", "-")
        if name.startswith("live_") and element not in found:
            found[element] = "".join(block(context)).strip()
    return found


def element_id(text: str) -> str:
    """A text as part of an element's id; different texts give different ids."""
    plain = re.sub(r"[^A-Za-z0-9-]", "-", text)
    return plain if plain == text else f"{plain}-{hashlib.sha256(text.encode()).hexdigest()[:6]}"


_ASSETS = {  # by the name in its address: the files it is made of
    "style.css": (("simulation.report", "style.css"), ("simulation.web", "assets/pages.css")),
    # One script: htmx looks for its extensions and the page's sockets as soon as it is there
    "page.js": (
        ("simulation.web", "vendor/htmx.min.js"),
        ("simulation.web", "vendor/hx-ws.min.js"),
        ("simulation.web", "assets/live.js"),
        ("simulation.web", "assets/trainer.js"),
        ("simulation.web", "assets/replay.js"),
    ),
    "icon.svg": (("simulation.web", "assets/icon.svg"),),
}
_TYPES = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml"}


@cache
def assets() -> dict[str, tuple[bytes, str, str]]:
    """What pages load, all of it from here: by name, the bytes, their type and a hash that stands in the address."""
    found: dict[str, tuple[bytes, str, str]] = {}
    for name, sources in _ASSETS.items():
        content = b"\n".join(files(package).joinpath(path).read_bytes() for package, path in sources)
        found[name] = content, _TYPES[name.rpartition(".")[2]], hashlib.sha256(content).hexdigest()[:12]
    return found


def asset(name: str) -> str:
    """The address of an asset; it changes with its content, so that browsers may keep it for good."""
    return f"/assets/{assets()[name][2]}/{name}"
