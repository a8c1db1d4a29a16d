"""Every sentence of rehearsals and their pages, gathered from templates and code: what a catalog has to say.

`python -m simulation.web.catalog es` brings a language's file up to date: new sentences are added without a
translation, those that nobody says any more are dropped.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract
from babel.messages.pofile import read_po, write_po

_HEAD = """msgid ""
msgstr ""
"Language: {language}\\n"
"MIME-Version: 1.0\\n"
"Content-Type: text/plain; charset=UTF-8\\n"
"Content-Transfer-Encoding: 8bit\\n"
"Plural-Forms: {plurals}\\n"

"""
_KEYWORDS = {"say": None, "say_many": (1, 2), "_": None, "gettext": None, "ngettext": (1, 2)}
_PLACES = (("simulation.rehearsal", ".py", "python"), ("simulation.web", ".py", "python"))


def sentences() -> Catalog:
    """All of them, without translations."""
    found = Catalog(locale="en")
    for package, ending, method in _PLACES:
        for file in sorted(Path(str(files(package))).glob(f"*{ending}")):
            _take(found, method, file, package)
    for file in sorted(Path(str(files("simulation.web"))).joinpath("templates").glob("*.html")):
        _take(found, "jinja2.ext:babel_extract", file, "simulation.web/templates")
    return found


def _take(into: Catalog, method: str, file: Path, package: str) -> None:
    with file.open("rb") as source:
        options = {"trimmed": "true", "newstyle_gettext": "true"} if file.suffix == ".html" else {}
        for _line, message, _comments, _context in extract(method, source, keywords=_KEYWORDS, options=options):
            if message and message != ("", ""):
                into.add(message, locations=[(f"{package.replace('.', '/')}/{file.name}", 0)])


def catalog(language: str) -> Catalog:
    """What a language's file says."""
    with files("simulation.web").joinpath("messages", f"{language}.po").open("rb") as source:
        return read_po(source, locale=language)


def missing(language: str) -> Iterator[str]:
    """Sentences without a translation."""
    known = catalog(language)
    for message in sentences():
        if not message.id:
            continue
        said = known.get(message.id)
        said_as = said.string if said else ""
        if not said_as or not all(said_as):
            yield message.id if isinstance(message.id, str) else message.id[0]


def main(language: str) -> None:
    """Bring a language's file up to date."""
    known = catalog(language)
    known.update(sentences(), no_fuzzy_matching=True)
    known.obsolete.clear()
    out = io.BytesIO()
    write_po(out, known, width=120, sort_output=True, omit_header=True, include_lineno=False)
    head = _HEAD.format(language=language, plurals=known.plural_forms).encode()
    Path(str(files("simulation.web"))).joinpath("messages", f"{language}.po").write_bytes(head + out.getvalue())
    print(f"{sum(1 for _ in missing(language))} sentences without a translation")


if __name__ == "__main__":
    main(sys.argv[1])
