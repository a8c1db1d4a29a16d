"""The columns that a roster file may have: one table, from which reading, template and reference page are made.

Knows nothing of files. Pure text and numbers, so that `caucus roster template` starts at once.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

PREFERENCE = "first_"  # first_<candidate>: the columns of expected first-alignment counts

# Limits keep every sum of a roster far below 2**62, and catch slipped digits.
LARGEST_ATTENDANCE = 20_000  # the largest room of 2020 held 860 people
LARGEST_DELEGATES = 1_000  # the most in 2020 were 36
LARGEST_SDE_PER_DELEGATE = 10  # the most in 2020 were 0.44

_WHOLE = re.compile(r"[0-9]{1,18}(\.0*)?", re.ASCII)  # spreadsheets write 8 as 8.0 in a column with empty cells
_NUMBER = re.compile(r"([0-9]{1,18}(\.[0-9]{0,18})?|\.[0-9]{1,18})([eE][+-]?[0-9]{1,2})?", re.ASCII)
_RATIO = re.compile(r"[0-9]{1,18}/0*[1-9][0-9]{0,17}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Column:
    """One column: how it is called, what it means, what a cell may hold (`low`..`high` for whole numbers)."""

    name: str
    meaning: str
    unit: str = ""
    aliases: tuple[str, ...] = ()
    required: bool = False
    accepts: str = ""
    low: int = 0
    high: int = 0

    @property
    def accepted(self) -> str:
        """What would do in a cell, for error messages and the reference page."""
        return self.accepts or f"a whole number from {self.low:,} to {self.high:,}"

    @property
    def names(self) -> tuple[str, ...]:
        """Every header under which the column is found."""
        return (self.name, *self.aliases)


COLUMNS = (
    Column("county", "County, or the group of satellites", required=True, accepts="a name"),
    Column("precinct", "Name of the site, unique in its county", required=True, accepts="a name"),
    Column(
        "delegates",
        "County-convention delegates that the site elects; empty for a satellite: by its attendance",
        unit="delegates",
        aliases=("county_delegates",),
        required=True,
        accepts=f"a whole number from 1 to {LARGEST_DELEGATES:,}",
        high=LARGEST_DELEGATES,  # a satellite may have none
    ),
    Column(
        "attendance",
        "People expected",
        unit="people",
        aliases=("first_total",),
        required=True,
        high=LARGEST_ATTENDANCE,
    ),
    Column("kind", "What the site is; empty: precinct", accepts="precinct or satellite"),
    Column(
        "id",
        "Stable id, unique: a site keeps its luck as long as it keeps its id; empty: county/precinct",
        accepts="a name that no other row has",
    ),
    Column(
        "district",
        "Congressional district, 0 for none or out of state; empty: that of Iowa's county",
        high=4,
    ),
    Column("fips", "The county's FIPS code; empty: that of Iowa's county", accepts="five digits, such as 19153"),
    Column(
        "sde_per_delegate",
        "State delegate equivalents that one delegate stands for, cut after nine digits; empty: from sde_allotted, "
        "else Iowa's county ratio of 2020 (a satellite: its share of its group's pool), elsewhere 1",
        unit="SDE",
        accepts=f"a number from 0 to {LARGEST_SDE_PER_DELEGATE}, such as 0.078431373 or 4/51",
    ),
    Column(
        "sde_allotted",
        "State delegate equivalents of the whole site; read where sde_per_delegate is empty",
        unit="SDE",
        accepts=f"a number from 0 to {LARGEST_SDE_PER_DELEGATE} for each delegate, such as 0.627451",
    ),
    Column(
        "building",
        "Sites of a county with the same building share doors; empty: a building of its own, named as the site",
        accepts="a name",
    ),
    Column("capacity", "People that the room holds; 0 or empty: no limit known", unit="people", high=100_000),
    Column("volunteers", "People who work at the site; empty: usual for the attendance", unit="people", high=10_000),
    Column("stations", "Check-in tables; empty: 40 % of the volunteers", unit="tables", low=1, high=1_000),
    Column(
        PREFERENCE + "<candidate>",
        "People expected for this candidate at first alignment; one column a candidate; empty: 0",
        unit="people",
        high=LARGEST_ATTENDANCE,
    ),
)

_BY_NAME = {column.name: column for column in COLUMNS}


def column_of(name: str) -> Column:
    """The column with this (main) name."""
    return _BY_NAME[name]


def whole_number(text: str) -> int | None:
    """The whole number that a cell holds ("8", "8.0"), or None."""
    if text.isdecimal() and text.isascii() and len(text) <= 18:
        return int(text)
    return int(text.partition(".")[0]) if _WHOLE.fullmatch(text) else None


def exact_number(text: str) -> Fraction | None:
    """The number of 0 or more that a cell holds ("0.0784", "4/51", "5e-3"), exactly, or None."""
    return Fraction(text) if _NUMBER.fullmatch(text) or _RATIO.fullmatch(text) else None


def template() -> str:
    """A CSV roster to start from: every column but the candidates', two precincts in one building and a satellite."""
    names = [column.name for column in COLUMNS if not column.name.startswith(PREFERENCE)]
    rows: tuple[dict[str, object], ...] = (
        {
            "county": "Story",
            "precinct": "Ames 1-3",
            "delegates": 10,
            "attendance": 300,
            "kind": "precinct",
            "district": 4,
            "fips": "19169",
            "sde_per_delegate": "0.415",
            "building": "Ames Middle School",
            "capacity": 115,
            "volunteers": 12,
            "stations": 3,
        },
        {
            "county": "Story",
            "precinct": "Ames 1-4",
            "delegates": 7,
            "attendance": 180,
            "building": "Ames Middle School",
        },
        {"county": "Satellites", "precinct": "Ames care center", "attendance": 24, "kind": "satellite", "district": 4},
    )
    lines = [",".join(names)] + [",".join(str(row.get(name, "")) for name in names) for row in rows]
    return "\n".join(lines) + "\n"


def columns_markdown() -> str:
    """The table of columns for the reference page."""
    lines = ["| column | required | unit | meaning | accepted |", "|---|---|---|---|---|"]
    for column in COLUMNS:
        name = f"`{column.name}`" + "".join(f", or `{alias}`" for alias in column.aliases)
        required = "yes" if column.required else ""
        lines.append(f"| {name} | {required} | {column.unit} | {column.meaning} | {column.accepted} |")
    return "\n".join(lines) + "\n"
