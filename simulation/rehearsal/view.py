"""What a person in a rehearsal sees and can do, as plain data: pages and tests read nothing else of a seat.

Every control stands in a `Field` or a `Button` and has a label: its accessible name. Knows nothing of HTML.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Text:
    """A sentence in English with places for values in braces; catalogs hold it in other languages."""

    message: str
    values: Mapping[str, Any] = field(default_factory=dict)  # numbers, names, or other Texts
    plural: str = ""  # said instead of `message` where `count` is not 1
    count: int = 1

    def english(self) -> str:
        """The sentence as it stands."""
        values = {name: value.english() if isinstance(value, Text) else value for name, value in self.values.items()}
        return (self.plural if self.plural and self.count != 1 else self.message).format(**values)


def say(message: str, **values: Any) -> Text:
    """A sentence for the catalogs: `say("You counted {people} people.", people=41)`."""
    return Text(message, values)


def say_many(message: str, plural: str, count: int, **values: Any) -> Text:
    """The same where a number decides the form; `{count}` may stand in both."""
    return Text(message, {**values, "count": count}, plural, count)


@dataclass(frozen=True, slots=True)
class Option:
    """One of several answers."""

    value: str
    label: Text


@dataclass(frozen=True, slots=True)
class Field:
    """Something to fill in. `value` is what was typed last, right or wrong."""

    name: str
    kind: Literal["number", "text", "pin", "choice", "choices", "clock"]
    label: Text
    value: str = ""  # of "choices": values joined by ","
    options: tuple[Option, ...] = ()
    help: Text | None = None
    required: bool = True


@dataclass(frozen=True, slots=True)
class Button:
    """Sends an action, with the fields of its step."""

    action: str
    label: Text
    kind: Literal["main", "other", "danger"] = "main"
    value: str = ""  # sent as the field "value"


@dataclass(frozen=True, slots=True)
class Table:
    """Figures to read: column heads and rows of cells."""

    title: Text
    columns: tuple[Text, ...]
    rows: tuple[tuple[Text | str | int, ...], ...]


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do: a situation, what to fill in, and how it was answered. `id` is stable for the whole night."""

    id: str
    title: Text
    story: tuple[Text, ...] = ()
    tables: tuple[Table, ...] = ()
    fields: tuple[Field, ...] = ()
    buttons: tuple[Button, ...] = ()
    feedback: tuple[Text, ...] = ()  # the consequence of what was done last
    hints: tuple[Text, ...] = ()  # only as far as the trainer allows
    citations: tuple[Text, ...] = ()
    place: Literal["room", "app", "phone", "desk"] = "room"
    transcript: tuple[Text, ...] = ()  # all that a caller has said, oldest first; the newest stands in `story` too


@dataclass(frozen=True, slots=True)
class Notice:
    """An inject that reached this seat."""

    id: str
    at_ms: int
    text: Text
    expected: Text | None = None  # shown after the debrief has begun


@dataclass(frozen=True, slots=True)
class Stage:
    """A part of the evening."""

    id: str
    label: Text
    state: Literal["done", "now", "later"]


@dataclass(frozen=True, slots=True)
class SeatView:
    """All of a person's page."""

    seat: str
    name: str
    role: str  # chair, checkin, operator, entry, reviewer
    precinct: str  # "" for roles at headquarters
    now_ms: int  # of the night's clock, ms since midnight of caucus day
    running: bool
    speed: float
    held: Text | None  # why the room waits, if it does
    stages: tuple[Stage, ...]
    steps: tuple[Step, ...]  # what can be done now; the first is the most important
    notices: tuple[Notice, ...]
    hand_raised: bool
    aids: frozenset[str]  # of "hints", "citations", "arithmetic"
    done: bool
