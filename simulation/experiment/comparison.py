"""Nights of different scenarios under the same luck: differences night by night, and what sharing the luck is worth.

The first arm is what the others are held against.
"""

from __future__ import annotations

import statistics
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simulation.errors import InputError
from simulation.experiment.findings import WIDTH
from simulation.experiment.folder import NIGHTS_FILE
from simulation.experiment.measures import Measure, default_measures, measures_of_each
from simulation.experiment.packed import Row
from simulation.experiment.run_file import scenario_table
from simulation.experiment.store import rows_frame
from simulation.experiment.work import Unit, open_work
from simulation.night.curves import STEP
from simulation.night.summary import bands, clock_of_day, logical_hash
from simulation.progress import Progress
from simulation.scenario import Scenario
from simulation.scenario.loading import SET_FOR_EVERY
from simulation.words import capitalized, plural

if TYPE_CHECKING:
    import polars as pl

LETTERS = "ABCDE"  # as many as a picture tells apart
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Arm:
    """One of the nights that are compared. `label` says what it is: a scenario, or what was set."""

    letter: str
    label: str
    scenario: Scenario


@dataclass(frozen=True)
class Difference:
    """One measure in two arms, night by night; None for what never happened."""

    measure: Measure
    first: Arm
    other: Arm
    pairs: Sequence[tuple[float | None, float | None]] = field(repr=False)

    @cached_property
    def both(self) -> list[tuple[float, float]]:
        """The nights in which it happened in both arms: nothing else can be subtracted."""
        return [(one, other) for one, other in self.pairs if one is not None and other is not None]

    @cached_property
    def values(self) -> list[float]:
        """Other minus first, of those nights."""
        return [other - one for one, other in self.both]

    @property
    def never(self) -> tuple[int, int]:
        """In how many nights it never happened, in each arm."""
        return sum(one is None for one, _ in self.pairs), sum(other is None for _, other in self.pairs)

    @cached_property
    def means(self) -> tuple[float, float] | None:
        """In each arm, over the nights of both."""
        if not self.both:
            return None
        one, other = zip(*self.both, strict=True)
        return statistics.fmean(one), statistics.fmean(other)

    @cached_property
    def mean(self) -> float | None:
        """Of the differences."""
        return statistics.fmean(self.values) if self.values else None

    @cached_property
    def interval(self) -> tuple[float, float] | None:
        """95 % confidence interval of the mean difference (Student t on the differences); None below two nights."""
        if len(self.values) < 2 or self.mean is None:
            return None
        from scipy.special import stdtrit

        quantile = float(stdtrit(len(self.values) - 1, (1 + CONFIDENCE) / 2))
        half_width = quantile * (statistics.variance(self.values) / len(self.values)) ** 0.5
        return self.mean - half_width, self.mean + half_width

    @property
    def is_nothing(self) -> bool:
        """Whether the arms are equal in every night."""
        return not any(self.values)

    @property
    def is_clear(self) -> bool:
        """Whether the interval leaves no doubt about the sign."""
        return self.interval is not None and not self.is_nothing and not self.interval[0] <= 0 <= self.interval[1]

    def share(self, holds: Callable[[float], bool]) -> float | None:
        """The share of nights whose difference is so."""
        return sum(map(holds, self.values)) / len(self.values) if self.values else None

    @cached_property
    def variance_reduction(self) -> float | None:
        """The variance that the difference would have with independent luck, over the one it has.

        None where there is nothing to compare: a difference that never varies, or fewer than two nights.
        """
        shared = statistics.variance(self.values) if len(self.values) > 1 else 0.0
        if not shared:
            return None
        one, other = zip(*self.both, strict=True)
        return float(statistics.variance(one) + statistics.variance(other)) / shared

    @property
    def independent_nights(self) -> int | None:
        """How many nights of each arm, with luck of their own, would have had an interval as narrow as this one."""
        return None if self.variance_reduction is None else round(self.variance_reduction * len(self.values))

    def json(self) -> dict[str, Any]:
        """Numbers in the measure's own: shares of 1, times in ms."""
        low, high = self.interval or (None, None)
        first, other = self.means or (None, None)
        return {
            "arm": self.other.letter,
            "against": self.first.letter,
            "measure": self.measure.name,
            "unit": self.measure.unit,
            "nights": len(self.values),
            "never": {self.first.letter: self.never[0], self.other.letter: self.never[1]},
            "means": {self.first.letter: first, self.other.letter: other},
            "difference": self.mean,
            "low": low,
            "high": high,
            "higher_share": self.share(lambda value: value > 0),
            "lower_share": self.share(lambda value: value < 0),
            "variance_reduction": self.variance_reduction,
            "independent_nights": self.independent_nights,
        }


@dataclass(frozen=True)
class Comparison:
    """What came of it: `rows[arm][night]`."""

    arms: Sequence[Arm]
    rows: Sequence[Sequence[Row]] = field(repr=False)
    measures: Sequence[Sequence[Measure]]  # of each arm, whose caucuses may begin at different times
    seed: int
    fixed: bool
    engine: str

    @property
    def nights(self) -> int:
        """In each arm."""
        return len(self.rows[0])

    @cached_property
    def differences(self) -> list[list[Difference]]:
        """Of each arm but the first, measure by measure."""
        first = self.arms[0]
        return [
            [
                Difference(one, first, arm, [(one.value(a), other.value(b)) for a, b in pairs])
                for one, other in zip(self.measures[0], measures, strict=True)
            ]
            for arm, measures, rows in zip(self.arms[1:], self.measures[1:], self.rows[1:], strict=True)
            for pairs in [list(zip(self.rows[0], rows, strict=True))]
        ]

    def summary(self) -> dict[str, Any]:
        """The shape of summary.json."""
        return {
            "kind": "compare",
            "seed": self.seed,
            "nights": self.nights,
            "fixed": self.fixed,
            "engine": self.engine,
            "arms": [
                {
                    "arm": arm.letter,
                    "label": arm.label,
                    "scenario": arm.scenario.name,
                    "title": arm.scenario.spec.title,
                    "sites": rows[0]["sites"],
                    "logical_hash": logical_hash(rows),
                    "reported_share": _curve(arm, rows),
                }
                for arm, rows in zip(self.arms, self.rows, strict=True)
            ],
            "differences": [found.json() for of_arm in self.differences for found in of_arm],
        }

    def frame(self) -> pl.DataFrame:
        """nights.parquet: the rows of all arms, with the arm's letter."""
        import polars as pl

        return pl.concat(
            [
                rows_frame(rows).select(pl.lit(arm.letter).alias("arm"), pl.all())
                for arm, rows in zip(self.arms, self.rows, strict=True)
            ]
        )


def compare(
    arms: Sequence[Arm],
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
) -> Comparison:
    """Play nights 0 .. `nights` - 1 of every arm with the same luck and measure them by `names` (none: the defaults).

    With `out`, everything is written there. InputError before anything is played.
    """
    measures = _measures(arms, names)
    settings = {"nights": nights, "measures": [measure.name for measure in measures[0]]}
    wanted = {"compare": settings, **{arm.letter: scenario_table(arm.scenario) for arm in arms}}
    with open_work(
        kind="compare", wanted=wanted, out=out, seed=seed, fixed=fixed, engine=engine, workers=workers,
        cluster=cluster, resume=resume, force=force, progress=progress,
    ) as work:  # fmt: skip
        units = [Unit(arm.scenario, night) for night in range(nights) for arm in arms]
        played = work.rows(units)
        rows = [played[k :: len(arms)] for k in range(len(arms))]
        found = Comparison(arms, rows, measures, seed, fixed, engine)
        if out is not None:
            from simulation.report.comparison import page

            text = page(found, command)
            work.finish({"report.html": text, "summary.json": found.summary(), NIGHTS_FILE: found.frame()})
    return found


def labeled(scenarios: Sequence[Scenario], own: Sequence[str]) -> list[Arm]:
    """The arms with their letters. `own` are the keys that `--set-b` set in the second of them."""
    if not 2 <= len(scenarios) <= len(LETTERS):
        raise InputError(f"{len(scenarios)} nights given: compare takes 2 to {len(LETTERS)}")
    names = [scenario.name for scenario in scenarios]
    labels = list(names)
    for k in range(2 if own else 0):
        set_here = [f"{key}={value}" for key in own if (value := _value(scenarios[k], key, k == 1)) is not None]
        said = ", ".join(set_here)
        alone = names[0] == names[1] and all(_value(scenarios[0], key, False) is not None for key in own)
        labels[k] = said if alone else f"{names[k]} with {said}" if said else names[k]
    if len(set(labels)) < len(labels):
        labels = [f"{label} ({letter})" for label, letter in zip(labels, LETTERS, strict=False)]
    return [Arm(*each) for each in zip(LETTERS, labels, scenarios, strict=False)]


def findings(found: Comparison) -> list[str]:
    """What a planner should know, a sentence each: what differs and by how much, what does not, how sure that is."""
    return [sentence for of_arm in found.differences for sentence in sentences(of_arm)] + worth(found)


def text(found: Comparison, folder: Path | None) -> str:
    """What was found, to read in a terminal, and where the report is."""
    lines = [f"{arm.letter}: {arm.label}" for arm in found.arms]
    lines.append(f"{found.nights:,} nights of each under the same luck, seed {found.seed}; means of the nights.")
    lines += [textwrap.fill(said, WIDTH, initial_indent="- ", subsequent_indent="  ") for said in findings(found)]
    if folder is not None:
        lines.append(f"The report: {folder / 'report.html'}")
    return "\n".join(lines)


def sentences(differences: Sequence[Difference]) -> list[str]:
    """Of one arm against the first."""
    said = [_said(one) for one in differences if one.is_clear]
    unclear = [one for one in differences if not one.is_clear and not one.is_nothing]
    for words, those in (
        ("No difference that is certain", [one for one in unclear if one.values]),
        ("No difference in any night", [one for one in differences if one.values and one.is_nothing]),
    ):
        if those:
            arm = those[0]
            names = ", ".join(one.measure.label for one in those)
            said.append(f"{words} between {arm.first.letter} and {arm.other.letter}: {names}.")
    return said + [_never(one) for one in differences if any(one.never)]


def worth(found: Comparison) -> list[str]:
    """What sharing the luck is worth, in one sentence; none where nothing can be said."""
    known = [
        one for of_arm in found.differences for one in of_arm if one.variance_reduction is not None and one.is_clear
    ]
    if not known:
        return []
    least, most = min(known, key=_reduction), max(known, key=_reduction)
    nights = f"{most.independent_nights:,} ({most.measure.label})"
    if round(_reduction(least)) < round(_reduction(most)):
        nights = f"between {least.independent_nights:,} ({least.measure.label}) and {nights}"
    sentence = (
        "All arms share their luck. With luck of their own, intervals as narrow as these would have needed "
        f"{nights} nights of each instead of {found.nights:,}."
    )
    return [sentence]


def _measures(arms: Sequence[Arm], names: Sequence[str]) -> list[list[Measure]]:
    """Of each arm; a clock time must lie on the curves of all."""
    begins = [arm.scenario.spec.clock.call_to_order for arm in arms]
    return measures_of_each(list(names) or [measure.name for measure in default_measures(begins[0])], begins)


def _value(scenario: Scenario, key: str, is_own: bool) -> str | None:
    """What a key was set to in a scenario; None where nobody set it on the command line."""
    if not is_own and scenario.origins.get(key) != f"--set {key}":
        return None
    value: Any = scenario.document
    for part in key.split("."):
        value = value[part]
    if key in SET_FOR_EVERY and isinstance(value, list) and value:
        value = value[0][SET_FOR_EVERY[key]]
    return str(value)


def _curve(arm: Arm, rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Share of all sites held, every quarter of an hour: quantiles over nights."""
    start, sites = arm.scenario.spec.clock.call_to_order, rows[0]["sites"]
    return [
        {
            "at": clock_of_day(start + k * STEP),
            **{name: count / sites for name, count in bands([row["reported"][k] for row in rows]).items()},
        }
        for k in range(len(rows[0]["reported"]))
    ]


def _reduction(one: Difference) -> float:
    return one.variance_reduction or 0.0


def _said(one: Difference) -> str:
    """One measure that differs."""
    if one.means is None or one.mean is None or one.interval is None:
        raise ValueError(f"{one.measure.name}: nothing to say")
    shown, difference = one.measure.shown, one.measure.difference
    low, high = map(difference, one.interval)
    where = f"{shown(one.means[0])} in {one.first.letter}, {shown(one.means[1])} in {one.other.letter}"
    range_ = f" ({low} to {high})" if low != high else ""
    return f"{capitalized(one.measure.label)}: {where}, {difference(one.mean)}{range_}."


def _never(one: Difference) -> str:
    """A measure that never happened in some nights: they are left out, and that is said."""
    arms = zip((one.first, one.other), one.never, strict=True)
    where = " and ".join(f"{plural(count, 'night')} of {arm.letter}" for arm, count in arms if count)
    left = f"the difference is that of the other {len(one.values)}" if one.values else "there is no difference to tell"
    return f"{capitalized(one.measure.label)}: never in {where}; {left}."
