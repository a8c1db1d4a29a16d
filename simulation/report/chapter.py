"""The parts of a report: a chapter is a row of panels, a panel is a finding with its picture and its tables.

Knows nothing of HTML; parts.html lays every chapter out in the same way, so that a new one is a new module and no more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from simulation.report.plot import Key, Picture
from simulation.words import DASH, JOINED

if TYPE_CHECKING:
    from simulation.report.forecast import Forecast


@dataclass(frozen=True)
class KeyNumber:
    """A number in large type with a few smaller words behind it, what it is, and its range."""

    value: str
    meaning: str
    range: str = ""
    behind: str = ""


@dataclass(frozen=True)
class Cell:
    """A cell of a table that is more than its text."""

    text: str
    kind: str = ""  # a class of style.css: inside, outside
    bar: tuple[int, int] | None = None  # instead of a text: percent of the longest bar, of the usual and of a bad night


@dataclass(frozen=True)
class Table:
    """A table. The first cell of a row is its header."""

    name: str  # for ids; unique on the page
    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[str | Cell]]
    text_columns: Sequence[int] = (0,)  # set to the left; numbers are set to the right
    usual: int | None = None  # the column of the median night
    ranges: Sequence[int] = ()  # columns that say something only where there are several nights

    def of(self, forecast: Forecast) -> Table:
        """The table as it is shown: without ranges where there is but one night."""
        if forecast.several or not self.ranges:
            return self
        kept = [k for k in range(len(self.head)) if k not in self.ranges]
        return replace(
            self,
            head=[self.head[k] for k in kept],
            rows=[[row[k] for k in kept] for row in self.rows],
            text_columns=[kept.index(k) for k in self.text_columns if k in kept],
            usual=None if self.usual is None else kept.index(self.usual),
            ranges=(),
        )


@dataclass(frozen=True)
class Story:
    """A precinct's night in a few sentences, and the command that tells it in full."""

    finding: str
    night: str
    text: str
    command: str


@dataclass(frozen=True)
class Panel:
    """One finding in one sentence, what shows it, and what else there is to say."""

    name: str  # for ids; unique on the page
    finding: str
    text: Sequence[str] = ()
    picture: Picture | None = None
    table: Table | None = None  # beside the picture, always open
    more: Sequence[Table] = ()  # long tables, folded until somebody asks
    note: str = ""
    stories: Sequence[Story] = ()


@dataclass(frozen=True)
class Chapter:
    """A chapter. Its first panel's finding is its heading."""

    name: str  # for ids, and for its entry in the contents
    label: str
    panels: Sequence[Panel] = field(default_factory=list)


def range_name(forecast: Forecast) -> str:
    """What the range of a number is called."""
    return f"9 nights{JOINED}in{JOINED}10" if forecast.is_large else "lowest to highest"


def with_range(forecast: Forecast, range_: str) -> str:
    """The range in parentheses, to follow its number; nothing where there is one night, or where all nights agree."""
    return f" ({range_})" if forecast.several and (DASH in range_ or " to " in range_) else ""


def usual_name(forecast: Forecast) -> str:
    """What the median night is called."""
    return "usual night" if forecast.several else "this night"


def fan_key(forecast: Forecast, what: str = "") -> Key:
    """The key to a fan; `what` its line shows, where there are other lines too."""
    line = f"{what + ', ' if what else ''}{usual_name(forecast)}"
    if not forecast.several:
        return (("line", line),)
    outer = "nine nights in ten" if forecast.is_large else f"all {forecast.nights} nights"
    return (("line", f"{line} (median)"), ("inner", "half of the nights"), ("outer", outer))
