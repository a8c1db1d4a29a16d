"""Everything that rehearsals and their pages say, in every language."""

from __future__ import annotations

import re
from pathlib import Path

from simulation.rehearsal.view import Text, say, say_many
from simulation.web.catalog import catalog, missing, sentences
from simulation.web.words import LANGUAGES, chosen, words

PLACES = re.compile(r"\{\w+\}|%\(\w+\)s|%%")


def test_every_sentence_has_a_translation() -> None:
    """`python -m simulation.web.catalog es` lists what is new in the file."""
    assert list(missing("es")) == []
    assert len(sentences()) > 500


def places_of(text: object) -> set[str]:
    forms = text if isinstance(text, tuple | list) else [text]
    return {place for form in forms for place in PLACES.findall(str(form))}


def test_a_translation_has_the_places_of_its_sentence() -> None:
    wrong = []
    for message in catalog("es"):
        if not message.id:
            continue
        if places_of(message.string) != places_of(message.id):
            wrong.append((message.id, message.string))
    assert wrong == []


def test_sentences_are_said_with_their_values_and_forms() -> None:
    spanish, english = words("es"), words("en")
    assert english(say_many("{count} error", "{count} errors", 1)) == "1 error"
    assert spanish(say_many("{count} error", "{count} errors", 3)) == "3 errores"
    inner = say("Back to: {stage}", stage=say("Count"))
    assert (english(inner), spanish(inner)) == ("Back to: Count", "Volver a: Conteo")
    assert spanish(Text("Not in any catalog: {x}", {"x": 1})) == "Not in any catalog: 1"
    assert spanish("Adair 1") == "Adair 1"


def test_the_language_is_the_one_clicked_else_the_servers_else_the_browsers() -> None:
    assert chosen("es", "en", "en-US,en;q=0.9") == "es"
    assert chosen(None, "es", "en-US,en;q=0.9") == "es"
    assert chosen(None, None, "fr-FR,es-MX;q=0.8,en;q=0.5") == "es"
    assert chosen("xx", None, "fr") == "en"
    assert set(LANGUAGES) == {"en", "es"}


def test_the_documented_names_of_controls_are_said_so() -> None:
    """The tables of docs/rehearsal-pages.md hold names as pages have them, in both languages."""
    text = Path(__file__).parents[3].joinpath("docs", "rehearsal-pages.md").read_text(encoding="utf-8")
    rows = re.findall(
        r"^\| ([^|]+) \| ([^|]+) \| (?:text|button|choice|option|toggle|link|slider|disclosure) \|", text, re.M
    )
    assert len(rows) > 30
    spanish = catalog("es")
    for name, translated in rows:
        said = spanish.get(name)
        assert said is not None, name
        assert said.string == translated, name
