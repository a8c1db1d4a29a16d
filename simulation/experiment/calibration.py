"""Which assumptions are consistent with an observed curve: approximate Bayesian computation by rejection.

Draws cover every range evenly, each in a night of its own; the nearest to the curve are accepted, as they are: local
regression on a hundred draws moved even assumptions that the nights do not use. Nights come from whoever plays them.
Knows nothing of files other than the curve's, or of how nights are played.
"""

from __future__ import annotations

import csv
import io
import os
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simulation.errors import InputError
from simulation.experiment.assumptions import POSITIONS, Ranged, changed, field_of, ranged
from simulation.experiment.findings import WIDTH
from simulation.experiment.run_file import scenario_table
from simulation.experiment.work import Play, Unit
from simulation.night.summary import is_within, sites_of
from simulation.scenario.loading import DEFAULT_BASE, library
from simulation.scenario.values import DURATION, FULL_SHARE, SHARE, format_clock, format_duration, parse_clock

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import polars as pl

    from simulation.scenario import Scenario

    Reals = npt.NDArray[np.float64]


COLUMNS = {  # of a curve: column -> key of the section `history`, name of its value, metric of a night
    "reported": ("reported", "share", "reported_at_history"),
    "released": ("released", "share", "released_at_history"),
    "hold": ("holds", "hold", "holds_at_history_ms"),
}
SIGNIFICANT = 0.05  # the false discovery rate at which a curve informs an assumption
LOW, HIGH = 0.05, 0.95
OUTER, PRESSED = 0.1, 0.2  # at the outer tenth of a range there crowds twice its share
FEWEST_DRAWS, FEWEST_ACCEPTED = 100, 20
NORMAL = 1.4826  # median absolute deviation to standard deviation, for a normal distribution


# The curve


@dataclass(frozen=True)
class Point:
    """One observed figure: a share of all sites in 2**-32, or a hold in ms."""

    column: str  # of COLUMNS
    at: int
    value: int

    @property
    def label(self) -> str:
        return f"{self.column} {format_clock(self.at)}"


@dataclass(frozen=True)
class Curve:
    """What was observed; points in order of column and clock time."""

    name: str  # of its file
    points: tuple[Point, ...]

    def history(self) -> dict[str, list[dict[str, Any]]]:
        """The scenario's section `history` that records a night at these very points."""
        found: dict[str, list[dict[str, Any]]] = {key: [] for key, _, _ in COLUMNS.values()}
        for point in self.points:
            key, name, _ = COLUMNS[point.column]
            value = format_duration(point.value) if point.column == "hold" else round(point.value / FULL_SHARE, 6)
            found[key].append({"at": format_clock(point.at), name: value})
        return found


def read_curve(path: Path) -> Curve:
    """A curve from a CSV file: `at` and one or more of `reported`, `released`, `hold`; InputError lists every mistake.

    Lines that begin with # and a column `source` are for the reader.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"--to {path}: no such file") from None
    except (OSError, UnicodeDecodeError):
        raise InputError(f"--to {path}: cannot be read as a text file in UTF-8") from None
    lines = [(number, line) for number, line in enumerate(text.splitlines(), start=1) if _says_something(line)]
    if not lines:
        raise InputError(f"{path.name}: is empty: expected a first row with at, and {_one_of_columns()}")
    head = [cell.strip() for cell in _cells(lines[0][1])]
    problems = [
        f"{path.name} row {lines[0][0]}: column {name or 'without a name'}: expected at, {', '.join(COLUMNS)} or source"
        for name in head
        if name not in ("at", "source", *COLUMNS)
    ]
    problems += [f"{path.name}: column {name}: stands there twice" for name in {n for n in head if head.count(n) > 1}]
    if "at" not in head or not any(name in COLUMNS for name in head):
        problems.append(f"{path.name} row {lines[0][0]}: expected a column at, and {_one_of_columns()}")
    if problems:
        raise InputError(problems)
    points: list[Point] = []
    for number, line in lines[1:]:
        cells = [cell.strip() for cell in _cells(line)]
        if len(cells) > len(head):
            problems.append(f"{path.name} row {number}: {len(cells)} cells: expected {len(head)}, as in the first row")
            continue
        points += _points_of(f"{path.name} row {number}", dict(zip(head, cells, strict=False)), problems)
    seen: set[tuple[str, int]] = set()
    for point in points:
        if (point.column, point.at) in seen:
            problems.append(f"{path.name}: column {point.column}: {format_clock(point.at)} stands there twice")
        seen.add((point.column, point.at))
    if not points and not problems:
        problems.append(f"{path.name}: holds no figure: expected rows such as 22:30,0.93")
    if problems:
        raise InputError(problems)
    order = list(COLUMNS)
    return Curve(path.name, tuple(sorted(points, key=lambda point: (order.index(point.column), point.at))))


def _says_something(line: str) -> bool:
    return bool(line.strip(" ,;\t")) and not line.lstrip().startswith("#")


def _cells(line: str) -> list[str]:
    return next(csv.reader(io.StringIO(line)), [])


def _one_of_columns() -> str:
    return f"one or more of {', '.join(COLUMNS)}"


def _points_of(where: str, row: Mapping[str, str], problems: list[str]) -> list[Point]:
    try:
        at = parse_clock(row.get("at", ""))
    except ValueError as error:
        problems.append(f"{where}: column at = {row.get('at', '')!r}: expected {error}")
        return []
    found = []
    for column in COLUMNS:
        text = row.get(column, "")
        if not text:
            continue
        try:
            found.append(Point(column, at, _value(column, text)))
        except ValueError as error:
            problems.append(f"{where}: column {column} = {text!r}: expected {error}")
    if not found and not any(problem.startswith(f"{where}:") for problem in problems):
        problems.append(f"{where}: holds no figure: expected {_one_of_columns()}")
    return found


def _value(column: str, text: str) -> int:
    if column == "hold":
        return DURATION.parse(text)
    try:
        number = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        number = -1.0
    if not 0 <= number <= 1:
        raise ValueError("a share of all sites between 0 and 1 such as 0.93, or 93 %")
    return SHARE.parse(round(number, 9))


def find_curve(path: Path) -> Path:
    """The file at `path`, or the library's curve of that name."""
    if path.suffix or path.exists():
        return path
    curves = {file.stem: file for file in (library()[DEFAULT_BASE].parent / "curves").glob("*.csv")}
    if str(path) not in curves:
        raise InputError(f"--to {path}: no such file, and no curve of the library: {', '.join(sorted(curves))}")
    return curves[str(path)]


# What it says


@dataclass(frozen=True)
class Marginal:
    """What the curve says about one assumption. Positions are 0 .. 1 of its range."""

    assumption: Ranged
    positions: Sequence[float] = field(repr=False)  # of the accepted draws
    statistic: float  # Kolmogorov-Smirnov distance from even
    p: float
    adjusted_p: float  # for the number of assumptions (Benjamini-Hochberg)

    @property
    def is_informed(self) -> bool:
        return self.adjusted_p < SIGNIFICANT

    @property
    def pressed(self) -> str:
        """The end of the range, "low" or "high", where accepted draws crowd: what fits best may lie beyond it."""
        if not self.is_informed:
            return ""
        crowd = PRESSED * len(self.positions)
        for end, near in (
            ("low", [p < OUTER for p in self.positions]),
            ("high", [p > 1 - OUTER for p in self.positions]),
        ):
            if sum(near) >= crowd:
                return end
        return ""

    @cached_property
    def ends(self) -> tuple[Any, Any]:
        """5 and 95 % of the accepted draws, as a scenario holds them."""
        low, high = (self.quantile(share) for share in (LOW, HIGH))
        return self.assumption.written(low), self.assumption.written(high)

    @property
    def range(self) -> str:
        """That range for people."""
        low, high = (self.assumption.shown(self.quantile(share)) for share in (LOW, HIGH))
        return low if low == high else f"{low} to {high}"

    @property
    def median(self) -> str:
        return self.assumption.shown(self.quantile(0.5))

    def quantile(self, share: float) -> int:
        """A quantile of the accepted draws, as a value of the assumption."""
        ordered = sorted(self.positions)
        at = ordered[min(len(ordered) - 1, int(share * len(ordered)))]
        return self.assumption.value(at * POSITIONS)


@dataclass(frozen=True)
class Fit:
    """One observed figure beside the nights: 5, 50, 95 % of those before and after."""

    point: Point
    observed: float
    before: tuple[float, float, float]
    after: tuple[float, float, float]
    scale: float  # one standard deviation of the draws; 0: the nights never differ there, and it does not count
    sites: int  # of which shares are

    @property
    def was_inside(self) -> bool:
        return self._is_within(self.before)

    @property
    def is_inside(self) -> bool:
        return self._is_within(self.after)

    def _is_within(self, band: tuple[float, float, float]) -> bool:
        """As the history of a night is judged; a share by the whole number of sites that it is nearest to."""
        low, _, high = band
        if self.point.column == "hold":
            return is_within(self.point.value, round(low), round(high))
        return is_within(sites_of(self.point.value, self.sites), round(low * self.sites), round(high * self.sites))


@dataclass(frozen=True)
class Calibration:
    """What a curve says about a scenario's assumptions."""

    scenario: Scenario = field(repr=False)
    curve: Curve
    seed: int
    draws: int
    accepted: Sequence[int] = field(repr=False)  # draws, the nearest first
    distances: Sequence[float] = field(repr=False)
    marginals: Sequence[Marginal]
    correlations: Sequence[tuple[str, str, float]]  # of informed ones, by rank, the strongest first
    fits: Sequence[Fit]
    evening: Mapping[str, Sequence[tuple[float, float, float]]] = field(repr=False)  # share held, by quarter hour
    calibrated: Scenario = field(repr=False)
    checks: int  # nights played from the calibrated scenario
    table: Mapping[str, Sequence[float]] = field(repr=False)  # every draw's positions and figures

    @property
    def informed(self) -> list[Marginal]:
        """What the curve informs, the most first."""
        return sorted((m for m in self.marginals if m.is_informed), key=lambda m: -m.statistic)

    @property
    def tolerance(self) -> float:
        """The distance of the farthest accepted draw."""
        return self.distances[self.accepted[-1]]

    def frame(self) -> pl.DataFrame:
        """A row a draw: calibration.parquet."""
        import polars as pl

        nearest = set(self.accepted)
        return pl.DataFrame(
            {
                "draw": range(self.draws),
                "accepted": [draw in nearest for draw in range(self.draws)],
                "distance": self.distances,
                **self.table,
            }
        )

    def summary(self) -> dict[str, Any]:
        """The shape of summary.json."""
        return {
            "scenario": self.scenario.name,
            "title": self.scenario.spec.title,
            "curve": self.curve.name,
            "seed": self.seed,
            "draws": self.draws,
            "accepted": len(self.accepted),
            "tolerance": self.tolerance,
            "checks": self.checks,
            "informed": [
                {
                    "key": m.assumption.key,
                    "before": m.assumption.range,
                    "low": m.ends[0],
                    "median": m.assumption.written(m.quantile(0.5)),
                    "high": m.ends[1],
                    "pressed": m.pressed,
                    "statistic": m.statistic,
                    "p": m.adjusted_p,
                }
                for m in self.informed
            ],
            "not_informed": [m.assumption.key for m in self.marginals if not m.is_informed],
            "correlations": [{"one": a, "other": b, "spearman": c} for a, b, c in self.correlations],
            "points": [
                {
                    "column": fit.point.column,
                    "at": format_clock(fit.point.at),
                    "observed": fit.observed,
                    "before": dict(zip(("p05", "p50", "p95"), fit.before, strict=True)),
                    "after": dict(zip(("p05", "p50", "p95"), fit.after, strict=True)),
                    "inside_before": fit.was_inside,
                    "inside": fit.is_inside,
                    "counts": fit.scale > 0,
                }
                for fit in self.fits
            ],
        }


def calibrate(
    scenario: Scenario,
    curve: Curve,
    play: Play,
    *,
    seed: int,
    draws: int = 2000,
    accept: float = 0.05,
    checks: int = 200,
) -> Calibration:
    """Hold `draws` nights against the curve; the share `accept` of them that comes nearest is what it is consistent
    with. `checks` nights of the narrowed scenario show what it would forecast.
    """
    import numpy as np

    assumptions = ranged(scenario)
    kept = accepted_of(scenario, draws, accept)
    watched = changed(scenario, {("history",): curve.history()})
    positions = _even(draws, len(assumptions), seed)
    whole = (positions * POSITIONS).astype(np.int64)
    keys = [a.key for a in assumptions]
    units = [Unit(watched, night, tuple(zip(keys, row, strict=True))) for night, row in enumerate(whole.tolist())]
    rows = play(units, "drawing")
    figures = _figures(curve, rows)
    observed = np.array([_natural(point) for point in curve.points])
    scales = np.array([_scale(column) for column in figures.T])
    if not scales.any():
        raise InputError(
            f"{curve.name}: at none of its points do the nights of {scenario.name} differ, so it says nothing about "
            "the assumptions"
        )
    distances = _distances(figures, observed, scales)
    accepted = np.argsort(distances, kind="stable")[:kept]
    marginals = _marginals(assumptions, positions[accepted])
    calibrated = narrowed(scenario, marginals, _source(curve, kept, draws))
    again = changed(calibrated, {("history",): curve.history()})
    played = play([Unit(again, draws + night) for night in range(checks)], "checking")
    after = _figures(curve, played)
    fits = [
        Fit(point, float(observed[k]), _band(figures[:, k]), _band(after[:, k]), float(scales[k]), rows[0]["sites"])
        for k, point in enumerate(curve.points)
    ]
    labels = [point.label for point in curve.points]
    return Calibration(
        scenario, curve, seed, draws, accepted.tolist(), distances.tolist(), marginals,
        _correlations(marginals), fits, {"before": _evening(rows), "after": _evening(played)}, calibrated, checks,
        dict(zip([*keys, *labels], [*positions.T.tolist(), *figures.T.tolist()], strict=True)),
    )  # fmt: skip


def narrowed(scenario: Scenario, marginals: Sequence[Marginal], source: str) -> Scenario:
    """The scenario whose informed assumptions keep 5 to 95 % of the accepted draws, and say so in their source."""
    changes: dict[tuple[str | int, ...], Any] = {}
    for marginal in marginals:
        if marginal.is_informed:
            about = marginal.assumption
            low, high = marginal.ends
            before = f"{about.range}{f', {about.source}' if about.source else ''}"
            changes[about.place] = {"low": low, "high": high, "source": f"{source}; before: {before}"}
    return changed(scenario, changes)


def _source(curve: Curve, kept: int, draws: int) -> str:
    return f"calibrated to {curve.name}: 5-95 % of the {kept:,} nearest of {draws:,} draws"


def accepted_of(scenario: Scenario, draws: int, accept: float) -> int:
    """How many draws are accepted; InputError where that comes to nothing."""
    problems = []
    if not ranged(scenario):
        problems.append(
            f"{scenario.name}: no number in it is a range, so there is nothing to narrow: give one a low and a high, "
            "such as --set 'chairs.late={ low = 0.01, high = 0.1 }'"
        )
    kept = round(draws * accept)
    if draws < FEWEST_DRAWS:
        problems.append(f"-n {draws}: expected {FEWEST_DRAWS} draws or more; 2,000 are usual")
    elif kept < FEWEST_ACCEPTED:
        problems.append(
            f"--accept {accept:g} of {draws:,} draws is {kept}: expected {FEWEST_ACCEPTED} accepted draws or more"
        )
    if problems:
        raise InputError(problems)
    return kept


def _even(draws: int, assumptions: int, seed: int) -> Reals:
    """A Latin hypercube: each assumption has one draw in each of `draws` equal parts of its range."""
    import numpy as np

    luck = np.random.Generator(np.random.PCG64(seed))
    columns = [(luck.permutation(draws) + luck.random(draws)) / draws for _ in range(assumptions)]
    return np.minimum(np.column_stack(columns), 1 - 2.0**-33)


def _natural(point: Point) -> float:
    return float(point.value) if point.column == "hold" else round(point.value / FULL_SHARE, 9)  # as it was given


def _figures(curve: Curve, rows: Sequence[Mapping[str, Any]]) -> Reals:
    """What each night (row) has at each point of the curve (column); nobody answered: as long a hold as any."""
    import numpy as np

    places: dict[str, int] = {}
    columns = []
    for point in curve.points:
        place = places.setdefault(point.column, 0)
        places[point.column] += 1
        metric = COLUMNS[point.column][2]
        values = np.array([row[metric][place] for row in rows], dtype=np.float64)
        if point.column == "hold":
            values[values < 0] = max(values.max(), point.value) * 2  # nobody answered then: far from whatever was seen
        else:
            values /= np.array([row["sites"] for row in rows])
        columns.append(values)
    return np.column_stack(columns)


def _scale(values: Reals) -> float:
    """One standard deviation, told by the median absolute deviation, which odd nights do not move."""
    import numpy as np

    deviation = float(np.median(np.abs(values - np.median(values))))
    return deviation * NORMAL or float(values.std())


def _distances(figures: Reals, observed: Reals, scales: Reals) -> Reals:
    """Root mean square of the deviations in units of `scales`, over the points at which nights differ."""
    import numpy as np

    counts = scales > 0
    deviations = (figures[:, counts] - observed[counts]) / scales[counts]
    return np.asarray(np.sqrt((deviations**2).mean(axis=1)), dtype=np.float64)


def _marginals(assumptions: Sequence[Ranged], positions: Reals) -> list[Marginal]:
    from scipy import stats

    tests = [stats.kstest(column, "uniform") for column in positions.T]
    adjusted = stats.false_discovery_control([test.pvalue for test in tests])
    return [
        Marginal(about, column.tolist(), float(test.statistic), float(test.pvalue), float(p))
        for about, column, test, p in zip(assumptions, positions.T, tests, adjusted, strict=True)
    ]


def _correlations(marginals: Sequence[Marginal]) -> list[tuple[str, str, float]]:
    from scipy import stats

    informed = [m for m in marginals if m.is_informed]
    found = [
        (one.assumption.key, other.assumption.key, float(stats.spearmanr(one.positions, other.positions).statistic))
        for k, one in enumerate(informed)
        for other in informed[k + 1 :]
    ]
    return sorted(found, key=lambda pair: (-abs(pair[2]), pair[:2]))


def _band(values: Reals) -> tuple[float, float, float]:
    import numpy as np

    low, usual, high = np.quantile(values, (LOW, 0.5, HIGH), method="inverted_cdf").tolist()
    return low, usual, high


def _evening(rows: Sequence[Mapping[str, Any]]) -> list[tuple[float, float, float]]:
    import numpy as np

    shares = np.array([row["reported"] for row in rows], dtype=np.float64)
    return [_band(column) for column in (shares / np.array([[row["sites"]] for row in rows])).T]


# The calibrated scenario as a file


def file_text(found: Calibration, name_or_file: str, folder: Path, settings: Sequence[str]) -> str:
    """NAME-calibrated.toml for `folder`: extends the night `name_or_file`; says what `--set` and `--roster` did."""
    extends = name_or_file if name_or_file in library() else _from(folder, Path(name_or_file))
    also = [field_of(setting.partition("=")[0].strip()) for setting in settings]
    roster = found.scenario.roster_file
    return scenario_text(found, extends, also, _from(folder, roster) if roster else None)


def _from(folder: Path, path: Path) -> str:
    return Path(os.path.relpath(path.resolve(), folder.resolve())).as_posix()


def scenario_text(found: Calibration, extends: str, also: Sequence[str] = (), roster: str | None = None) -> str:
    """The text of a scenario file that extends the old one and says only what was narrowed.

    `also`: keys of the schema that the command line set, which the file must say too; `roster` likewise.
    """
    from simulation.scenario.reference import toml_value

    document, spec = found.calibrated.document, found.scenario.spec
    keys = dict.fromkeys([m.assumption.field for m in found.marginals if m.is_informed])
    keys |= dict.fromkeys(key for key in also if key and key.partition(".")[0] not in _ABOUT)
    if roster is not None:
        document = document | {"roster": {"file": roster}}
        keys |= {"roster.file": None}
    if not spec.history.reported and not spec.history.released and not spec.history.holds:
        document = document | {"history": found.curve.history()}
        keys |= dict.fromkeys(f"history.{key}" for key, points in document["history"].items() if points)
    story = (
        f"{spec.story.strip()} Calibrated: of {len(found.marginals)} assumptions, {found.curve.name} informs "
        f"{len(found.informed)}, and those are narrowed to what is consistent with it."
    )
    lines = [f"extends = {toml_value(extends)}", f"title = {toml_value(f'{spec.title}, calibrated')}"]
    lines += [f"story = {toml_value(' '.join(story.split()))}"]
    sources = [*spec.sources, f"{found.curve.name}: the observed curve"]
    lines += [f"sources = {toml_value(sources)}"]
    table = ""
    for key in sorted(keys, key=_order):
        holder, _, name = key.rpartition(".")
        if holder != table:
            lines += ["", f"[{holder}]"]
            table = holder
        value: Any = document
        for part in key.split("."):
            value = value[part]
        if isinstance(value, list) and value and isinstance(value[0], dict):
            lines += [f"{name} = [", *(f"  {toml_value(entry)}," for entry in value), "]"]
        else:
            lines.append(f"{name} = {toml_value(value)}")
    return "\n".join(lines) + "\n"


_ABOUT = ("title", "story", "sources", "run")  # said anew


def wanted_by(scenario: Scenario, curve: Curve, draws: int, accept: float) -> dict[str, Any]:
    """What the result depends on, beside seed and engine."""
    asked = {"draws": draws, "accept": accept, "curve": curve.name, "points": curve.history()}
    return {"calibration": asked, "scenario": scenario_table(scenario)}


def result_text(found: Calibration, folder: Path | None) -> str:
    """What it came to, for a terminal."""
    inside = sum(fit.is_inside for fit in found.fits)
    title = f"{found.scenario.spec.title} ({found.scenario.name}), {found.curve.name}"
    accepted = f"{len(found.accepted):,} of {found.draws:,} draws accepted"
    informs = f"The curve informs {len(found.informed)} of {len(found.marginals)} assumptions"
    fits = f"of its {len(found.fits)} figures {inside} lie inside the calibrated night's band"
    lines = [f"{title}: {accepted}, seed {found.seed}", f"{informs}; {fits}."]
    for marginal in found.informed:
        about = marginal.assumption
        said = f"{about.key}: {marginal.range} (before: {about.range})"
        said += f"; crowds at the {marginal.pressed} end: what fits best may lie beyond it" if marginal.pressed else ""
        lines += textwrap.wrap(said, WIDTH, initial_indent="- ", subsequent_indent="  ")
    if folder is not None:
        lines.append(f"The calibrated night: {folder / f'{found.scenario.name}-calibrated.toml'}")
        lines.append(f"The report: {folder / 'report.html'}")
    return "\n".join(lines)


def _order(key: str) -> tuple[int, str, str]:
    """By section as the schema has them; the keys of a table before the tables within it."""
    from simulation.scenario.schema import Spec

    section, holder = key.partition(".")[0], key.rpartition(".")[0]
    return list(Spec.model_fields).index(section), holder, key
