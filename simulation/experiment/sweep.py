"""One key or two of a scenario varied, every point under the same luck: curves or surfaces, and their knees."""

from __future__ import annotations

import itertools
import math
import re
import statistics
import textwrap
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simulation.errors import InputError
from simulation.experiment.findings import WIDTH
from simulation.experiment.measures import Measure, default_measures, measures_of_each
from simulation.experiment.packed import Row
from simulation.experiment.run_file import scenario_table
from simulation.experiment.work import Unit, open_work
from simulation.progress import Progress
from simulation.scenario.values import format_clock, format_duration, parse_clock, parse_duration
from simulation.words import capitalized

if TYPE_CHECKING:
    import polars as pl

    from simulation.scenario import Scenario

MOST_POINTS = 400
MOST_KEYS = 2
BAND = (5, 50, 95)
SENSITIVITY = 1.0  # Kneedle's S: how long a curve must stay flat before its bend counts
FLAT = 0.05  # medians that move less than this part of the band move nothing
TURNS_BACK = 0.1  # a curve that goes back by more than this part of its range has no one direction
DEFAULT_FAMILIES = ("reported@", "reported_by_95", "wait_p90", "hold_p90", "busy_share", "abandoned_share", "cost")
SWEEP_FILE = "sweep.parquet"
NOUNS = {  # keys that have a name of their own in a sentence: one, several
    "hotline.operators": ("operator", "operators"),
    "hotline.lines": ("line", "lines"),
    "checkin.stations": ("station a precinct", "stations a precinct"),
    "turnout.people": ("person", "people"),
}


@dataclass(frozen=True)
class Axis:
    """A key and its values: as `--set` takes them, as numbers where they are any, as people read them."""

    key: str
    values: tuple[object, ...]
    numbers: tuple[float, ...] | None  # times in ms; None where the values are texts
    unit: str = ""  # "ms" where the numbers are times

    @property
    def shown(self) -> list[str]:
        """The values for people."""
        return [f"{value:,}" if isinstance(value, int) else str(value) for value in self.values]

    @property
    def places(self) -> Sequence[float]:
        """Where the values stand along an axis: at their numbers, or one after the other."""
        return self.numbers or tuple(map(float, range(len(self.values))))

    @property
    def noun(self) -> str:
        """What the values are values of, behind a number; nothing where only the key says it."""
        return NOUNS.get(self.key, ("", ""))[1]

    def range(self, low: int, high: int) -> str:
        """From one value to another, in a sentence."""
        first, last = self.shown[low], self.shown[high]
        return f"{first} to {last} {self.noun}" if self.noun else f"{self.key} {first} to {last}"

    def at(self, place: int) -> str:
        """One value, in a sentence."""
        if not self.noun:
            return f"{self.key} {self.shown[place]}"
        return f"{self.shown[place]} {NOUNS[self.key][0] if self.values[place] == 1 else self.noun}"


@dataclass(frozen=True)
class Spread:
    """One measure at one point, over its nights. None is never; a mean is of the nights in which it happened."""

    nights: int
    never: int
    mean: float | None
    p05: float | None
    p50: float | None
    p95: float | None

    @classmethod
    def of(cls, measure: Measure, rows: Sequence[Row]) -> Spread:
        """What never comes is later, and longer, than anything; a share of what never came counts in no quantile."""
        found = [measure.value(row) for row in rows]
        known = [value for value in found if value is not None]
        lost = math.inf if measure.unit in ("clock", "min") else None
        ordered = [value for value in (lost if one is None else one for one in found) if value is not None]
        bands = [_quantile(ordered, percent) for percent in BAND]
        return cls(len(rows), len(found) - len(known), statistics.fmean(known) if known else None, *bands)


@dataclass(frozen=True)
class Sweep:
    """What came of it. Points run over the last key first: `spreads[point][measure]`."""

    scenario: Scenario
    axes: Sequence[Axis]
    measures: Sequence[Measure]
    spreads: Sequence[Sequence[Spread]] = field(repr=False)
    nights: int
    seed: int
    fixed: bool
    engine: str

    def points(self) -> list[tuple[object, ...]]:
        """The values of each point."""
        return list(itertools.product(*(axis.values for axis in self.axes)))

    def of(self, measure: int) -> list[Spread]:
        """One measure over all points."""
        return [spreads[measure] for spreads in self.spreads]

    @cached_property
    def curves(self) -> list[Curve]:
        """Of each measure, where one key varies."""
        return [Curve(self.axes[0], measure, self.of(k)) for k, measure in enumerate(self.measures)]

    def frame(self) -> pl.DataFrame:
        """sweep.parquet: a row for each point and measure. A time that was set is a column KEY_ms."""
        import polars as pl

        rows = []
        for point, spreads in zip(itertools.product(*map(_column, self.axes)), self.spreads, strict=True):
            for measure, one in zip(self.measures, spreads, strict=True):
                values = dict(
                    zip([f"{axis.key}{'_ms' if axis.unit else ''}" for axis in self.axes], point, strict=True)
                )
                numbers = {"nights": one.nights, "never": one.never, "mean": one.mean}
                band = {"p05": one.p05, "p50": one.p50, "p95": one.p95}
                rows.append({**values, "measure": measure.name, "unit": measure.unit, **numbers, **band})
        floats = dict.fromkeys(("mean", "p05", "p50", "p95"), pl.Float64)
        return pl.DataFrame(rows, schema_overrides=floats, infer_schema_length=None)

    def summary(self) -> dict[str, Any]:
        """The shape of summary.json."""
        knees: dict[str, Any] = {}
        if len(self.axes) == 1:
            knees = {
                "knees": {
                    curve.measure.name: None if curve.knee is None else self.axes[0].values[curve.knee]
                    for curve in self.curves
                }
            }
        return {
            "kind": "sweep",
            "scenario": self.scenario.name,
            "seed": self.seed,
            "nights": self.nights,
            "fixed": self.fixed,
            "engine": self.engine,
            "keys": [axis.key for axis in self.axes],
            **knees,
            "points": [
                {
                    "values": list(values),
                    "measures": {
                        measure.name: {
                            "never": one.never, "mean": one.mean, "p05": one.p05, "p50": one.p50, "p95": one.p95,
                        }
                        for measure, one in zip(self.measures, spreads, strict=True)
                    },
                }
                for values, spreads in zip(self.points(), self.spreads, strict=True)
            ],
        }  # fmt: skip


@dataclass(frozen=True)
class Curve:
    """A measure along one key."""

    axis: Axis
    measure: Measure
    spreads: Sequence[Spread]

    @property
    def medians(self) -> list[float | None]:
        """Of the nights of each point."""
        return [spread.p50 for spread in self.spreads]

    @cached_property
    def is_flat(self) -> bool:
        """Whether the key moves the measure by nothing that shows beside its band."""
        return not moves(self.spreads)

    @cached_property
    def knee(self) -> int | None:
        """The point where the median curve bends; None where it is straight or flat, turns back, or has a gap."""
        known = [k for k, value in enumerate(self.medians) if value is not None]
        if self.axis.numbers is None or self.is_flat or known[-1] - known[0] >= len(known):
            return None
        values = [value for value in self.medians if value is not None]
        place = kneedle([self.axis.numbers[k] for k in known], values)
        return None if place is None else known[place]


def kneedle(at: Sequence[float], values: Sequence[float], sensitivity: float = SENSITIVITY) -> int | None:
    """Where a curve bends most: Kneedle, offline (Satopaa, Albrecht, Irwin, Raghavan 2011), without smoothing.

    The curve is scaled to a unit square, in which the straight line from end to end is the diagonal. The knee is the
    point farthest from it, if beyond it the distance falls by `sensitivity` mean steps of `at`: a straight line has
    none, and neither has a curve that turns back.
    """
    low, high = min(values), max(values)
    if len(values) < 3 or low == high:
        return None
    rising = values[-1] > values[0]
    back = furthest = 0.0
    for one, later in itertools.pairwise(values):
        back = max(0.0, back + (one - later if rising else later - one))
        furthest = max(furthest, back)
    if furthest > TURNS_BACK * (high - low):
        return None
    x = [(one - at[0]) / (at[-1] - at[0]) for one in at]
    y = [(one - low if rising else high - one) / (high - low) for one in values]
    apart = [b - a for a, b in zip(x, y, strict=True)]
    if sum(apart) < 0:
        apart = [-one for one in apart]  # slow first, then fast: the bend is where it begins to move
    knee = max(range(len(apart)), key=apart.__getitem__)
    threshold = apart[knee] - sensitivity / (len(x) - 1)
    return knee if threshold > 0 and any(one < threshold for one in apart[knee + 1 :]) else None


def parse_vary(text: str) -> Axis:
    """`KEY=FROM:TO:STEP` or `KEY=A,B,C`, of numbers, durations, clock times (or, listed, whatever `--set` takes)."""
    key, equals, values = text.partition("=")
    key, values = key.strip(), values.strip()
    if not equals or not key or not values:
        raise InputError(f"--vary {text}: expected KEY=FROM:TO:STEP or KEY=A,B,C, such as hotline.operators=20:100:10")
    for read, shown, unit, pattern in _KINDS:
        match = re.fullmatch(f"({pattern[0]}):({pattern[0]}):({pattern[1]})", values)
        if match:
            return _grid(text, key, match.groups(), read, shown, unit)
    if re.match(r"[^,\[{\"']*:[^,]*:", values) and "," not in values:
        raise InputError(
            f"--vary {text}: expected FROM:TO:STEP of one kind: 20:100:10, 0.1:0.5:0.1, 40%:80%:20%, "
            "10 min:20 min:2 min, 18:00:19:00:15 min"
        )
    return _list(text, key, values)


def sweep(
    base: Scenario,
    points: Sequence[Scenario],
    axes: Sequence[Axis],
    nights: int,
    seed: int,
    names: Sequence[str],
    *,
    fixed: bool,
    engine: str,
    workers: int | None,
    cluster: str | None,
    out: Path | None,
    resume: bool,
    force: bool,
    command: str,
    progress: Progress,
) -> Sweep:
    """Play nights 0 .. `nights` - 1 of every point with the same luck and measure them by `names` (none: the defaults).

    With `out`, everything is written there. InputError before anything is played.
    """
    measures = _measures(points, names)
    settings = {
        "nights": nights,
        "measures": [measure.name for measure in measures[0]],
        "vary": [{"key": axis.key, "values": list(axis.values)} for axis in axes],
    }
    with open_work(
        kind="sweep", wanted={"sweep": settings, "scenario": scenario_table(base)}, out=out, seed=seed,
        fixed=fixed, engine=engine, workers=workers, cluster=cluster, resume=resume, force=force, progress=progress,
    ) as work:  # fmt: skip
        each = work.each([Unit(point, night) for point in points for night in range(nights)])
        spreads = [
            [Spread.of(measure, rows) for measure in of_point]
            for of_point in measures
            for rows in [list(islice(each, nights))]
        ]
        found = Sweep(base, axes, measures[0], spreads, nights, seed, fixed, engine)
        if out is not None:
            from simulation.report.sweep import page

            work.finish(
                {"report.html": page(found, command), "summary.json": found.summary(), SWEEP_FILE: found.frame()}
            )
    return found


def check_axes(axes: Sequence[Axis]) -> None:
    """InputError where there are too many keys or points, or one key twice."""
    problems = []
    if not 1 <= len(axes) <= MOST_KEYS:
        problems.append(f"--vary: {len(axes)} keys given: expected one or two")
    if len({axis.key for axis in axes}) < len(axes):
        problems.append(f"--vary {axes[0].key}: given twice: name another key")
    count = math.prod(len(axis.values) for axis in axes)
    if count > MOST_POINTS:
        problems.append(
            f"--vary: {count:,} points given: expected {MOST_POINTS} at most: a wider step, or fewer values"
        )
    if problems:
        raise InputError(problems)


def findings(found: Sweep) -> list[str]:
    """What a planner should know, a sentence each: what moves where, where it stops, what does not move."""
    if len(found.axes) == 1:
        moving = [curve for curve in found.curves if not curve.is_flat]
        said = [finding(curve) + "." for curve in moving]
        still = [curve.measure for curve in found.curves if curve.is_flat]
    else:
        surfaces = [(measure, found.of(k)) for k, measure in enumerate(found.measures)]
        said = [surface_finding(found, measure, spreads) + "." for measure, spreads in surfaces if moves(spreads)]
        still = [measure for measure, spreads in surfaces if not moves(spreads)]
    return said + ([f"{unmoved(found.axes, still)}."] if still else [])


def unmoved(axes: Sequence[Axis], measures: Sequence[Measure]) -> str:
    """What a sweep does not move."""
    *most, last = [measure.label for measure in measures]
    listed = f"{', '.join(most)} and {last}" if most else last
    return f"{' and '.join(axis.key for axis in axes)} hardly move{'s' if len(axes) == 1 else ''} {listed}"


def finding(curve: Curve) -> str:
    """Where a curve moves, and by how much, in one sentence."""
    medians, axis, measure = curve.medians, curve.axis, curve.measure
    known = [k for k, value in enumerate(medians) if value is not None]
    if len(known) < len(medians):
        return _with_never(curve, known)
    values = [value for value in medians if value is not None]
    first, last = values[0], values[-1]
    if axis.numbers is None:
        low, high = min(values), max(values)
        lowest, highest = axis.at(values.index(low)), axis.at(values.index(high))
        return (
            f"{capitalized(measure.label)}: from {measure.shown(low)} ({lowest}) to {measure.shown(high)} ({highest})"
        )
    if curve.knee is None:
        if first == last:
            return f"From {axis.range(0, -1)} {measure.label} {_there_and_back(measure, values)}"
        return f"From {axis.range(0, -1)} {measure.label} {measure.moves(last - first)}, without a knee"
    knee = curve.knee
    before, after = values[knee] - first, last - values[knee]
    rest = f"{axis.shown[knee]}, up to {axis.shown[-1]}, {f'by {_size(measure, after)}' if after else 'not at all'}"
    if not before:
        return f"Up to {axis.at(knee)} {measure.label} {_verb(measure, 'move')} not at all; beyond {rest}"
    head = f"From {axis.range(0, knee)} {measure.label} {measure.moves(before)}; beyond"
    return f"{head} {rest}{' more' if before * after > 0 else ''}"


def surface_finding(found: Sweep, measure: Measure, spreads: Sequence[Spread]) -> str:
    """Between which values a surface lies, and at which points."""
    known = [(spread.p50, place) for place, spread in enumerate(spreads) if spread.p50 is not None]
    known_at = {place: value for value, place in known}
    points = list(itertools.product(*(range(len(axis.values)) for axis in found.axes)))

    def where(place: int) -> str:
        same = sum(value == known_at[place] for value in known_at.values())
        if same > 1:
            return f"at {same} of {len(spreads)} combinations"
        return ", ".join(axis.at(k) for axis, k in zip(found.axes, points[place], strict=True))

    (low, lowest), (high, highest) = min(known), max(known)
    never = len(spreads) - len(known)
    lost = f"; never at {never} of {len(spreads)} combinations" if never else ""
    said = f"from {measure.shown(low)} ({where(lowest)}) to {measure.shown(high)} ({where(highest)})"
    return f"{capitalized(measure.label)}: {said}{lost}"


def text(found: Sweep, folder: Path | None) -> str:
    """What was found, to read in a terminal, and where the report is."""
    keys = " and ".join(f"{axis.key} ({axis.shown[0]} to {axis.shown[-1]})" for axis in found.axes)
    lines = [f"{found.scenario.spec.title} ({found.scenario.name}) over {keys}"]
    lines.append(
        f"{len(found.spreads)} points, {found.nights:,} nights of each under the same luck, seed {found.seed}; medians."
    )
    lines += [textwrap.fill(said, WIDTH, initial_indent="- ", subsequent_indent="  ") for said in findings(found)]
    if folder is not None:
        lines.append(f"The report: {folder / 'report.html'}")
    return "\n".join(lines)


def _measures(points: Sequence[Scenario], names: Sequence[str]) -> list[list[Measure]]:
    """Of each point; a clock time must lie on the curves of all."""
    begins = [point.spec.clock.call_to_order for point in points]
    usual = default_measures(begins[0])
    chosen = list(names) or [measure.name for measure in usual if measure.name.startswith(DEFAULT_FAMILIES)]
    return measures_of_each(chosen, begins)


def _quantile(values: Sequence[float], percent: int) -> float | None:
    """As in summary.json; None where it is never."""
    if not values:
        return None
    found = sorted(values)[max(0, -(-len(values) * percent // 100) - 1)]
    return None if math.isinf(found) else found


def _column(axis: Axis) -> list[Any]:
    """The values of an axis in sweep.parquet."""
    if axis.numbers is None:
        return list(map(str, axis.values))
    return list(axis.numbers) if any(number % 1 for number in axis.numbers) else [int(n) for n in axis.numbers]


def moves(spreads: Sequence[Spread]) -> bool:
    """Whether the medians of a curve or surface differ by more than shows beside its band, or some are missing."""
    known = [spread.p50 for spread in spreads if spread.p50 is not None]
    if not known:
        return False
    lowest = min(spread.p05 for spread in spreads if spread.p05 is not None)
    highest = max((spread.p95 for spread in spreads if spread.p95 is not None), default=max(known))
    return len(known) < len(spreads) or max(known) - min(known) > FLAT * (highest - lowest)


def _size(measure: Measure, difference: float) -> str:
    """A difference without its sign."""
    return measure.difference(abs(difference)).removeprefix("+")


def _there_and_back(measure: Measure, values: Sequence[float]) -> str:
    low, high = measure.shown(min(values)), measure.shown(max(values))
    return f"{_verb(measure, 'lie')} between {low} and {high}"


def _verb(measure: Measure, verb: str) -> str:
    return f"{verb}s" if measure.label.startswith("the ") else verb


def _with_never(curve: Curve, known: Sequence[int]) -> str:
    """A curve that is never at some points."""
    axis, measure = curve.axis, curve.measure
    label = capitalized(measure.label)
    lost = [k for k in range(len(curve.medians)) if k not in known]
    if axis.numbers is not None and known == list(range(known[0], len(curve.medians))):
        shown = measure.shown(curve.medians[known[0]]), measure.shown(curve.medians[-1])
        span = f"{shown[0]} there" if len(known) == 1 else f"from {shown[0]} there to {shown[1]} at {axis.at(-1)}"
        return f"{label}: never below {axis.at(known[0])}; {span}"
    return f"{label}: never at {', '.join(axis.at(k) for k in lost)}"


# --vary


def _decimal(text: str) -> Decimal:
    return Decimal(text)


def _plain(number: Decimal) -> object:
    return int(number) if number == number.to_integral_value() else float(number)


def _share(text: str) -> Decimal:
    """Percent as the share that a scenario holds."""
    return Decimal(text.removesuffix("%").strip()) / 100


_PERCENT = r"\d+(?:\.\d+)? ?%"
_NUMBER = r"-?\d+(?:\.\d+)?"
_TIME = r"(?:\+\d{1,2}d )?\d{1,2}:\d{2}"
_LENGTH = r"\d+(?:\.\d+)? ?(?:ms|s|min|h|d)"
_KINDS: tuple[tuple[Any, Any, str, tuple[str, str]], ...] = (
    # how FROM and TO are read, how a value is written, its unit, patterns of FROM, TO and of STEP
    (_decimal, _plain, "", (_NUMBER, _NUMBER)),
    (_share, _plain, "", (_PERCENT, "-?" + _PERCENT)),
    (parse_duration, format_duration, "ms", (_LENGTH, "-?" + _LENGTH)),
    (parse_clock, format_clock, "ms", (_TIME, "-?" + _LENGTH)),
)


def _grid(text: str, key: str, parts: Sequence[str], read: Any, shown: Any, unit: str) -> Axis:
    """Equal steps from FROM to TO, as far as they fit."""
    try:
        low, high = read(parts[0]), read(parts[1])
        step = parse_duration(parts[2].removeprefix("-")) if unit else read(parts[2].removeprefix("-"))
    except ValueError as error:
        raise InputError(f"--vary {text}: expected {error}") from None
    if step <= 0 or parts[2].startswith("-"):
        raise InputError(f"--vary {text}: STEP {parts[2]} given: expected a step above 0")
    if low >= high:
        raise InputError(f"--vary {text}: FROM {parts[0]} is not below TO {parts[1]}: expected FROM < TO")
    count = int((high - low) // step) + 1
    if count == 1:
        raise InputError(f"--vary {text}: STEP {parts[2]} leads beyond TO: expected a smaller step")
    if count > MOST_POINTS:
        raise InputError(f"--vary {text}: {count:,} points given: expected {MOST_POINTS} at most: a wider step")
    numbers = [low + step * k for k in range(count)]
    return Axis(key, tuple(map(shown, numbers)), tuple(map(float, numbers)), unit)


def _list(text: str, key: str, values: str) -> Axis:
    """Values one by one: read as TOML, as `--set` reads them; numbers and times are put in order."""
    try:
        found: list[object] = tomllib.loads(f"values = [{values}]")["values"]
    except tomllib.TOMLDecodeError:
        found = [_toml_or_text(value.strip()) for value in values.split(",")]
    if all(isinstance(value, str) and re.fullmatch(_PERCENT, value) for value in found):
        found = [_plain(_share(str(value))) for value in found]
    if len(found) < 2 or "" in found:
        raise InputError(f"--vary {text}: expected two values or more: FROM:TO:STEP, or A,B,C")
    if any(found.count(value) > 1 for value in found):
        raise InputError(f"--vary {text}: expected each value once")
    for unit, read in (("", _as_number), ("ms", parse_duration), ("ms", parse_clock)):
        try:
            pairs = sorted(((float(read(value)), value) for value in found), key=lambda pair: pair[0])
        except ValueError:
            continue
        return Axis(key, tuple(value for _, value in pairs), tuple(number for number, _ in pairs), unit)
    return Axis(key, tuple(found), None)


def _toml_or_text(text: str) -> object:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _as_number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(value)
    return value
