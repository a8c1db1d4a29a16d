"""The measures of a night by name, and how goals and precisions on them are written: one list for every experiment.

A measure is a function of one row of nights.parquet. Knows nothing of how nights are played or drawn.
"""

from __future__ import annotations

import difflib
import itertools
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from simulation.errors import InputError
from simulation.experiment.packed import Row
from simulation.night.curves import GRID, LINE_GRID, LINE_STEP, QUANTILES, SHARES_HELD, STEP
from simulation.night.order import Call, Channel
from simulation.scenario.values import DAY, HOUR, MINUTE, SECOND, format_clock, parse_clock
from simulation.words import MINUS, clock, percent, plain

USUAL_CALL_TO_ORDER = 19 * HOUR
USUAL_SHARE_OF_NIGHTS = 0.95  # in which a goal holds, where it does not say
NOON = 12 * HOUR
NANO = 1_000_000_000
CENTS = 100
DEFAULT_MEASURES = (
    "reported@23:00",
    "reported_by_50",
    "reported_by_95",
    "released@23:00",
    "wait_p90",
    "in_line_share",
    "start_delay_p90",
    "hold_p50",
    "hold_p90",
    "busy_share",
    "abandoned_share",
    "wrong_share",
    "cost",
)


class Family(NamedTuple):
    """Measures that differ in one number only, which `read` takes beside the row. In `label` it stands for {}."""

    label: str  # in a sentence; singular where it begins with "the"
    unit: str
    meaning: str
    read: Callable[[Row, int], float | None]
    numbers: tuple[int, ...] = ()  # what {} in the name may be


def _hold(column: str) -> Callable[[Row, int], float | None]:
    """A column about holds of reports, which is 0 where there are none: none because nobody got through is never."""

    def read(row: Row, number: int) -> float | None:
        nobody_through = row["calls_by_kind"][Call.REPORT] and not row["channels"][Channel.PHONE]
        held = float(row[column.format(number)])
        return None if nobody_through and not held else held

    return read


def _part(row: Row, part: str, *whole: str) -> float:
    """A column as a share of the sum of others; none of nothing is 0."""
    return float(row[part] / max(1, sum(row[name] for name in whole)))


def _held_by(row: Row, number: int) -> float | None:
    at = row[f"held_p{number}_at_ms"]
    return float(at) if at >= 0 else None


# @: a clock time follows, and `read` takes the point of the curve. {}: one of `numbers`.
_FAMILIES = {
    "reported@": Family(
        "results held at {}",
        "%",
        "Share of all sites whose result headquarters holds then.",
        lambda row, k: row["reported"][k] / row["sites"],
    ),
    "released@": Family(
        "results that the public sees at {}",
        "%",
        "Share of all sites whose result the public sees.",
        lambda row, k: row["released"][k] / row["sites"],
    ),
    "reported_by_{}": Family(
        "the time at which {} % of the results are in",
        "clock",
        "When headquarters holds so many percent of all sites; may be never.",
        _held_by,
        SHARES_HELD,
    ),
    "wait_p{}": Family(
        "the wait at check-in that {}",
        "min",
        "Time in lines at check-in that so many percent of all people do not exceed.",
        lambda row, q: float(row[f"wait_p{q}_ms"]),
        QUANTILES,
    ),
    "wait_mean": Family(
        "the mean wait at check-in", "min", "Mean time in lines at check-in.", lambda row, _: float(row["wait_mean_ms"])
    ),
    "in_line@": Family(
        "people in line at {}", "people", "People in line at check-in.", lambda row, k: float(row["in_line"][k])
    ),
    "in_line_share": Family(
        "people still in line at the call to order",
        "%",
        "Share of all people not yet checked in at the call to order.",
        lambda row, _: _part(row, "in_line_at_call_to_order", "people"),
    ),
    "start_delay_p{}": Family(
        "the delay of the start that {}",
        "min",
        "Delay of the start that so many percent of precincts do not exceed.",
        lambda row, q: float(row[f"start_delay_p{q}_ms"]),
        QUANTILES,
    ),
    "start_delay_max": Family(
        "the delay of the last start",
        "min",
        "Delay of the precinct that starts last.",
        lambda row, _: float(row["start_delay_max_ms"]),
    ),
    "hold_p{}": Family(
        "the hold of reports that {}",
        "min",
        "Hold of answered reports that so many percent do not exceed; 0 where nobody calls to report, never where "
        "callers do and nobody gets through.",
        _hold("hold_p{}_ms"),
        QUANTILES,
    ),
    "hold_mean": Family(
        "the mean hold of reports",
        "min",
        "Mean hold of answered reports; 0 and never as with `hold_p50`.",
        _hold("hold_mean_ms"),
    ),
    "busy_share": Family(
        "calls that hear a busy tone",
        "%",
        "Share of the calls to the hotline that hear a busy tone.",
        lambda row, _: _part(row, "busy_tones", "calls"),
    ),
    "abandoned_share": Family(
        "callers on hold who hang up",
        "%",
        "Share of the callers on hold who hang up unanswered.",
        lambda row, _: _part(row, "hung_up", "hung_up", "answered"),
    ),
    "occupancy": Family(
        "the share of their time that operators are on a call",
        "%",
        "Share of their time on duty that operators are on a call; never where nobody is on duty.",
        lambda row, _: _part(row, "operators_busy_ms", "operators_on_duty_ms") if row["operators_on_duty_ms"] else None,
    ),
    "wrong_share": Family(
        "results that are wrong in the end",
        "%",
        "Share of all sites whose result at headquarters is wrong in the end.",
        lambda row, _: _part(row, "wrong", "sites"),
    ),
    "caught_share": Family(
        "wrong results that the checks stop",
        "%",
        "Share of the results that come in wrong which the checks stop; never where none does.",
        lambda row, _: _part(row, "caught", "wrong_on_receipt") if row["wrong_on_receipt"] else None,
    ),
    "sde_off": Family(
        "state delegate equivalents given to the wrong group",
        "SDE",
        "State delegate equivalents (straw poll: votes) that results give to the wrong group.",
        lambda row, _: row["sde_off_nano"] / NANO,
    ),
    "app_share": Family(
        "sites that report by app",
        "%",
        "Share of all sites that report by app.",
        lambda row, _: row["channels"][Channel.APP] / row["sites"],
    ),
    "hours_in_line": Family(
        "hours that people stand in line",
        "h",
        "Hours that people stand in line at check-in, all together.",
        lambda row, _: row["wait_total_ms"] / HOUR,
    ),
    "chairs_hours_on_hold": Family(
        "hours that chairs are on hold",
        "h",
        "Hours that chairs are on hold, all together.",
        lambda row, _: row["chairs_hold_total_ms"] / HOUR,
    ),
    "cost": Family(
        "the cost of the plan",
        "$",
        "What the plan costs: operators, check-in stations, the review desk.",
        lambda row, _: (row["cost_operators_cents"] + row["cost_stations_cents"] + row["cost_review_cents"]) / CENTS,
    ),
}
_EXCEEDED = {50: "half exceed", 90: "one in ten exceeds", 95: "one in twenty exceeds", 99: "one in a hundred exceeds"}
_CURVES = {"reported@": (0, STEP, GRID), "released@": (0, STEP, GRID), "in_line@": (-HOUR, LINE_STEP, LINE_GRID)}
_PATTERNS = {
    family: f"{family}HH:MM" if family in _CURVES else family.format("{" + ",".join(map(str, about.numbers)) + "}")
    for family, about in _FAMILIES.items()
}
_NAMES = {
    family.format(number): (family, number)
    for family, about in _FAMILIES.items()
    if family not in _CURVES
    for number in about.numbers or (0,)
}

# The documented list: name, unit, meaning. `{50,90}` stands for several names.
MEASURES = tuple((_PATTERNS[family], about.unit, about.meaning) for family, about in _FAMILIES.items())


@dataclass(frozen=True)
class Measure:
    """A measure of a night. `call_to_order` is the scenario's: curves start there."""

    name: str
    family: str
    number: int
    call_to_order: int = USUAL_CALL_TO_ORDER

    @property
    def unit(self) -> str:
        """%, min, clock, people, h, $ or SDE."""
        return _FAMILIES[self.family].unit

    @property
    def label(self) -> str:
        """What it is in the middle of a sentence."""
        time = self.name.rpartition("@")[2]
        what = time if self.family in _CURVES else self.number if self.unit == "clock" else _EXCEEDED.get(self.number)
        return _FAMILIES[self.family].label.format(what)

    @property
    def meaning(self) -> str:
        """One sentence."""
        return _FAMILIES[self.family].meaning

    def value(self, row: Row) -> float | None:
        """Shares of 1, durations and clock times in ms, the rest in its unit; None for what never happened."""
        return _FAMILIES[self.family].read(row, self.number)

    def shown(self, value: float | None) -> str:
        """The value as people read it."""
        return "never" if value is None else _SHOWN[self.unit](value)

    def difference(self, value: float) -> str:
        """A difference of two values as people read it, with its sign."""
        size = _DIFFERENCES[self.unit](abs(value))
        return size if not any(digit in size for digit in "123456789") else f"{'+' if value > 0 else MINUS}{size}"

    def moves(self, difference: float) -> str:
        """What `label` does, in the middle of a sentence: "rises by 12 min", "is 12 min later"."""
        size = _DIFFERENCES[self.unit](abs(difference))
        one = self.label.startswith("the ")
        if self.unit == "clock":
            return f"is {size} {'later' if difference > 0 else 'earlier'}"
        return f"{'rise' if difference > 0 else 'fall'}{'s' if one else ''} by {size}"

    def parse_value(self, text: str) -> float:
        """The value that people write; InputError says what would be accepted."""
        return self._parsed(text, self.unit)

    def parse_width(self, text: str) -> float:
        """The size of a difference that people write, above 0; a duration where the measure is a clock time."""
        found = self._parsed(text, "min" if self.unit == "clock" else self.unit)
        if found <= 0:
            raise InputError(f"{self.name}: {text.strip()!r} given: expected a width above 0")
        return found

    def _parsed(self, text: str, unit: str) -> float:
        parse, expected = _PARSERS[unit]
        try:
            found = parse(" ".join(plain(text).split()))
            if unit == "clock" and "+" not in text and found < min(NOON, self.call_to_order):
                found += DAY  # 01:00 is the night's
        except ValueError:
            raise InputError(f"{self.name}: {text.strip()!r} given: expected {expected}") from None
        return found


@dataclass(frozen=True)
class Goal:
    """What a night should come to, and in what share of nights. `text` is as it was written, whole."""

    measure: Measure
    op: str
    value: float
    share: float
    text: str

    def holds(self, row: Row) -> bool:
        """Whether the night meets it. What never comes is later, and longer, than anything."""
        found = self.measure.value(row)
        if found is None:
            if self.measure.unit not in ("clock", "min"):
                return False
            found = math.inf
        return _COMPARES[self.op](found, self.value)


@dataclass(frozen=True)
class Precision:
    """How narrow the interval of a mean should be: `half_width` in the measure's own numbers."""

    measure: Measure
    half_width: float
    text: str


def parse_measure(text: str, call_to_order: int = USUAL_CALL_TO_ORDER) -> Measure:
    """The measure of that name; InputError where there is none. Give the scenario's own call to order."""
    name = text.strip()
    what, at, time = name.partition("@")
    if at and what + at in _CURVES:
        return _at(what + at, time, call_to_order)
    if name in _NAMES:
        return Measure(name, *_NAMES[name], call_to_order)
    close = difflib.get_close_matches(name, [*_NAMES, *_PATTERNS.values()], n=1)
    hint = f"; did you mean {close[0]}?" if close else "."
    raise InputError(f"{name or repr(text)}: no such measure{hint} There are {', '.join(_PATTERNS.values())}")


def parse_measures(texts: Sequence[str], call_to_order: int = USUAL_CALL_TO_ORDER) -> list[Measure]:
    """The measures of those names, each once; InputError lists every mistake."""
    found: dict[str, Measure] = {}
    problems: list[str] = []
    for text in texts:
        try:
            measure = parse_measure(text, call_to_order)
            found[measure.name] = measure
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(problems)
    return list(found.values())


def measures_of_each(names: Sequence[str], begins: Sequence[int]) -> list[list[Measure]]:
    """The measures of those names in caucuses that are called to order at those times; InputError lists every mistake
    once: a clock time must lie on the curves of all.
    """
    found: list[list[Measure]] = []
    problems: dict[str, None] = {}
    for call_to_order in begins:
        try:
            found.append(parse_measures(names, call_to_order))
        except InputError as error:
            problems |= dict.fromkeys(f"--measure {problem}" for problem in error.problems)
    if problems:
        raise InputError(list(problems))
    return found


def default_measures(
    call_to_order: int = USUAL_CALL_TO_ORDER, names: Sequence[str] = DEFAULT_MEASURES
) -> list[Measure]:
    """Those, the ones of a clock time as long after the call to order as after the usual one."""
    shift = call_to_order - USUAL_CALL_TO_ORDER
    texts = []
    for name in names:
        what, at, time = name.partition("@")
        texts.append(f"{what}@{format_clock(parse_clock(time) + shift)}" if at else name)
    return parse_measures(texts, call_to_order)


def parse_goal(text: str, call_to_order: int = USUAL_CALL_TO_ORDER) -> Goal:
    """`METRIC OP VALUE [in SHARE of nights]`, such as "reported_by_95 <= 23:30 in 90 % of nights"."""
    match = _GOAL.fullmatch(text.strip())
    if match and not match[4] and (short := _NO_NIGHTS.search(match[3])):
        raise InputError(
            f'{text.strip()!r} given: `of nights` is missing: expected "{" ".join(text.split())} of nights", or the '
            f'goal without "{" ".join(short[0].split())}"'
        )
    if not match:
        raise InputError(
            f"{text.strip()!r} given: expected a goal: measure, <, <=, > or >=, value, perhaps in what share of "
            'nights: "reported@23:00 >= 95 %", "hold_p90 <= 10 min in 90 % of nights"'
        )
    name, op, value, share = match.groups()
    problems: list[str] = []
    measure = _tried(lambda: parse_measure(name, call_to_order), problems)
    goal = _tried(lambda: measure.parse_value(value), problems) if measure else None
    nights = USUAL_SHARE_OF_NIGHTS
    if share:
        try:
            nights = _share(share.strip())
        except ValueError:
            nights = 0
        if not 0 < nights <= 1:
            problems.append(f"{text.strip()}: {share!r} of nights given: expected a share such as 95 % or 0.95")
    if problems or measure is None or goal is None:
        raise InputError(problems)
    whole = " ".join(text.split()) + ("" if share else f" in {plain(percent(nights))} of nights")
    return Goal(measure, {"≤": "<=", "≥": ">="}.get(op, op), goal, nights, whole)


def parse_precision(text: str, call_to_order: int = USUAL_CALL_TO_ORDER) -> Precision:
    """`METRIC +- VALUE`, such as "reported@23:00 +- 1 %"."""
    match = _PRECISION.fullmatch(text.strip())
    if not match:
        raise InputError(
            f"{text.strip()!r} given: expected a precision: measure, +-, half the width of its interval: "
            '"reported@23:00 +- 1 %", "hold_p90 +- 2 min"'
        )
    measure = parse_measure(match[1], call_to_order)
    return Precision(measure, measure.parse_width(match[2]), " ".join(text.split()))


def markdown() -> str:
    """The page docs/measures.md."""
    rows = [f"| `{name}` | {unit} | {meaning} |" for name, unit, meaning in MEASURES]
    return "\n".join([_PAGE, "| measure | unit | meaning |", "|---|---|---|", *rows, "", _GRAMMAR])


_PAGE = """\
# Measures

Written by `make docs`. What `caucus compare`, `sweep`, `staff` and the other experiments measure in a night: each is
one number of one night, computed from its row in `nights.parquet` (see metrics.md). `{50,90}` stands for several names:
`wait_p50`, `wait_p90`. Shares at a clock time lie on the evening's curve: every quarter of an hour for 11 hours from
the call to order; people in line every 5 minutes, from an hour before it to four hours after. `01:00` is the night's.
"""
_GRAMMAR = """\
## Values

A share is written `95 %`, `95%` or `0.95`, a duration `12 min`, `45 s` or `1 h 30 min`, a clock time `23:00`, or
`+1d 07:30` for the day after; dollars `$9,000` or `9000`; people, hours and state delegate equivalents are plain
numbers.

## Goals and precisions

A goal is `MEASURE OP VALUE [in SHARE of nights]` with `<`, `<=`, `>` or `>=`: `reported@23:00 >= 95 %`,
`hold_p90 <= 10 min in 90 % of nights`. Without a share of nights it is 95 %. What never comes is later, and longer,
than any value; a share of what never came meets no goal.

A precision is `MEASURE +- VALUE`: half the width of the 95 % interval of the mean over nights: `reported@23:00 +- 1 %`,
`reported_by_95 +- 10 min`.
"""
_GOAL = re.compile(r"([^<>=≤≥]+?)\s*(<=|>=|<|>|≤|≥)\s*([^<>=≤≥]+?)(?:\s+in\s+([^<>=≤≥]+?)\s+of\s+(?:all\s+)?nights)?")
_NO_NIGHTS = re.compile(r"\s+in\s+[\d.]+\s*%?$")
_PRECISION = re.compile(r"(.+?)\s*(?:\+-|\+/-|±)\s*(.+)")
_COMPARES: dict[str, Callable[[float, float], bool]] = {
    "<": lambda one, other: one < other,
    "<=": lambda one, other: one <= other,
    ">": lambda one, other: one > other,
    ">=": lambda one, other: one >= other,
}


def _tried(step: Callable[[], Any], problems: list[str]) -> Any:
    try:
        return step()
    except InputError as error:
        problems.extend(error.problems)


def _at(family: str, time: str, call_to_order: int) -> Measure:
    """A point of a curve."""
    offset, step, count = _CURVES[family]
    start = call_to_order + offset
    try:
        at = parse_clock(time.strip())
    except ValueError:
        at = -1
    if 0 <= at < start and "+" not in time:
        at += DAY  # 01:00 is the night's
    point, off = divmod(at - start, step)
    if at < 0 or off or not 0 <= point < count:
        first, last = plain(clock(start)), plain(clock(start + (count - 1) * step))
        every = "every quarter of an hour" if step == STEP else f"every {step // MINUTE} minutes"
        raise InputError(
            f"{family}{time}: expected a clock time on the curve, {every} from {first} to {last}, such as "
            f"{family}{format_clock((start + 12 * step) % DAY)}"
        )
    return Measure(f"{family}{format_clock(at % DAY)}", family, point, call_to_order)


# How values are shown


def _duration(ms: float) -> str:
    """To the second below a minute, to tenths below ten minutes, else to the minute."""
    if ms < MINUTE:
        return f"{round(ms / SECOND)} s"
    if ms < 10 * MINUTE:
        return f"{ms / MINUTE:.1f}".removesuffix(".0") + " min"
    hours, minutes = divmod(round(ms / MINUTE), 60)
    return " ".join(([f"{hours} h"] if hours else []) + ([f"{minutes} min"] if minutes else []))


def _digits(value: float) -> str:
    """Three digits that count, at most two behind the point."""
    text = f"{value:,.{0 if value >= 100 else 1 if value >= 10 else 2}f}"
    return text.rstrip("0").removesuffix(".") if "." in text else text


def _points(share: float) -> str:
    """A difference of shares."""
    return f"{_digits(share * 100) if share < 0.1 else f'{share * 100:.0f}'} points"


_SHOWN: dict[str, Callable[[float], str]] = {
    "%": lambda share: plain(percent(share)),
    "min": _duration,
    "clock": lambda at: plain(clock(round(at))),
    "people": lambda count: f"{count:,.0f}",
    "h": lambda hours: f"{_digits(hours)} h",
    "$": lambda dollars: f"${dollars:,.0f}",
    "SDE": lambda sde: f"{_digits(sde)} SDE",
}
_DIFFERENCES: dict[str, Callable[[float], str]] = {
    **_SHOWN,
    "%": _points,
    "clock": _duration,
    "people": lambda count: f"{_digits(count)} people",
}


# How values are written


def _number(text: str) -> float:
    if not re.fullmatch(r"(\d+|\d{1,3}(,\d{3})+)(\.\d+)?|\.\d+", text):
        raise ValueError(text)
    return float(text.replace(",", ""))


def _share(text: str) -> float:
    share = _number(text.removesuffix("%").rstrip()) / (100 if text.endswith("%") else 1)
    if share > 1:
        raise ValueError(text)
    return share


_PART = re.compile(r"(\d+(?:\.\d+)?) ?(ms|s|min|h|d)(?: |$)")
_MS = {"ms": 1, "s": SECOND, "min": MINUTE, "h": HOUR, "d": DAY}


def _milliseconds(text: str) -> float:
    """A duration in one part or several: "1 h 12 min"."""
    if not re.fullmatch(rf"(?:{_PART.pattern})+", text):
        raise ValueError(text)
    parts = [(float(number), _MS[unit]) for number, unit in _PART.findall(text)]
    if any(one <= other for (_, one), (_, other) in itertools.pairwise(parts)):
        raise ValueError(text)  # 12 min 1 h, or 5 min 5 min: who writes that has made a mistake
    return sum(number * unit for number, unit in parts)


def _clock(text: str) -> float:
    later = text.removesuffix(" the next day")
    return float(parse_clock(later if later == text else f"+1d {later}"))


_PARSERS: dict[str, tuple[Callable[[str], float], str]] = {
    "%": (_share, "a share such as 95 % or 0.95"),
    "min": (_milliseconds, 'a duration with its unit such as "12 min", "45 s" or "1 h 30 min"'),
    "clock": (_clock, 'a clock time such as "23:00", or "+1d 07:30" for the day after'),
    "people": (lambda text: _number(text.removesuffix("people").rstrip()), "a number of people such as 1200"),
    "h": (lambda text: _number(text.removesuffix("h").rstrip()), "hours such as 900 or 900 h"),
    "$": (lambda text: _number(text.removeprefix("$")), "dollars such as $9,000 or 9000"),
    "SDE": (lambda text: _number(text.removesuffix("SDE").rstrip()), "state delegate equivalents such as 2.5"),
}
