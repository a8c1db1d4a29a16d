"""The parts of a report: a chapter is a row of panels, a panel is a finding with its picture and its tables.

Knows nothing of HTML; page.html lays every chapter out in the same way, so that a new one is a new module and no more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from simulation.report.plot import Picture


@dataclass(frozen=True)
class Cell:
    """A cell of a table that is more than its text."""

    text: str
    kind: str = ""  # a class of style.css: usual, inside, outside
    bar: int = 0  # percent of the column's longest bar; 0: no bar


@dataclass(frozen=True)
class Table:
    """A table. The first cell of a row is its header."""

    name: str  # for ids; unique on the page
    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[str | Cell]]
    text_columns: Sequence[int] = (0,)  # set to the left; numbers are set to the right
    usual: int | None = None  # the column of the median night


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


@dataclass(frozen=True)
class Chapter:
    """A chapter. Its first panel's finding is its heading."""

    name: str  # for ids, and for its entry in the contents
    label: str
    panels: Sequence[Panel] = field(default_factory=list)
