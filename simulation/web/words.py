"""The languages of the pages: message catalogs, read once, and the sentences of the domain said in them.

Knows nothing of HTML.
"""

from __future__ import annotations

from datetime import datetime
from functools import cache
from gettext import GNUTranslations, NullTranslations
from importlib.resources import files
from io import BytesIO

from simulation.rehearsal.view import Text

LANGUAGES = {"en": "English", "es": "Español"}  # each named in itself


class Words:
    """One language."""

    def __init__(self, language: str) -> None:
        self.language = language
        self.catalog: NullTranslations = NullTranslations() if language == "en" else _read(language)

    def __call__(self, text: Text | str | int | None) -> str:
        """A sentence of the domain in this language; what is no sentence stays as it is."""
        if not isinstance(text, Text):
            return "" if text is None else str(text)
        values = {name: self(value) if isinstance(value, Text) else value for name, value in text.values.items()}
        if text.plural:
            return self.catalog.ngettext(text.message, text.plural, text.count).format(**values)
        return self.catalog.gettext(text.message).format(**values)


@cache
def words(language: str) -> Words:
    """A language's words; English where there is no such catalog."""
    return Words(language if language in LANGUAGES else "en")


def chosen(cookie: str | None, default: str | None, accepted: str) -> str:
    """The language of a page: the one clicked, else the server's own, else the first of the browser's that is here."""
    for wanted in (cookie, default, *(part.split(";")[0].strip()[:2].lower() for part in accepted.split(","))):
        if wanted in LANGUAGES:
            return wanted
    return "en"


def _read(language: str) -> NullTranslations:
    from babel.messages.mofile import write_mo
    from babel.messages.pofile import read_po

    source = files("simulation.web").joinpath("messages", f"{language}.po")
    compiled = BytesIO()
    with source.open("rb") as file:
        write_mo(compiled, read_po(file, locale=language))
    compiled.seek(0)
    return GNUTranslations(compiled)


def clock(at_ms: int) -> str:
    """A time of the night as people say it; after midnight it begins anew."""
    minutes = at_ms // 60_000
    return f"{minutes // 60 % 24}:{minutes % 60:02d}"


def minutes(duration_ms: int) -> int:
    """Whole minutes of a duration."""
    return max(0, duration_ms) // 60_000


def wall(wall_ms: int) -> str:
    """A moment outside the night, in local time."""
    return datetime.fromtimestamp(wall_ms / 1000).astimezone().strftime("%Y-%m-%d %H:%M")
