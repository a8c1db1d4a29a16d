"""Which assumption matters: Morris screening over all of them, swings end to end, Sobol indices of those that do.

Nights come from whoever plays them; what is varied together shares its night number, so that an effect is no noise.
Knows nothing of files or of how nights are played. Methods: SALib.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simulation.errors import InputError
from simulation.experiment.assumptions import MIDDLE, POSITIONS, Ranged, ranged
from simulation.experiment.findings import WIDTH
from simulation.experiment.run_file import scenario_table
from simulation.experiment.work import Play, Unit

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import polars as pl

    from simulation.experiment.measures import Measure
    from simulation.scenario import Scenario

    Reals = npt.NDArray[np.float64]


USUAL = ("reported@23:00", "hold_p90", "wait_p90", "wrong_share")  # measures, where none is named
LUCK = "the night's luck"  # everything that is drawn anew each night
OTHERS = "all other assumptions"
LEVELS = 4  # of Morris' grid
WIDE = 0.4  # an interval of a share: what is known no better is hardly known
USUAL_BASE = 256
CLEAR = 0.02  # below, a share of the uncertainty is nothing to find out


@dataclass(frozen=True)
class Plan:
    """How many nights the methods take."""

    base: int = USUAL_BASE  # of the Saltelli sample; a power of two
    trajectories: int = 8  # of Morris
    swings: int = 4  # nights at each end of each assumption
    most: int = 8  # assumptions that get Sobol indices of their own

    def check(self, scenario: Scenario) -> list[Ranged]:
        """What there is to vary; InputError where there is nothing, or where the methods cannot work."""
        problems = []
        if self.base < 8 or self.base & (self.base - 1):
            problems.append(f"-n {self.base}: expected a power of two from 8 on, such as 64, 128 or 256")
        found = ranged(scenario)
        if not found:
            problems.append(
                f"{scenario.name}: no number in it is a range, so there is nothing to vary: give one a low and a high, "
                "such as --set 'chairs.late={ low = 0.01, high = 0.1 }'"
            )
        if problems:
            raise InputError(problems)
        return found


@dataclass(frozen=True)
class Effect:
    """What one assumption does to one measure, in the measure's numbers, over the assumption's whole range."""

    mu: float
    mu_star: float
    sigma: float
    at_low: float  # everything else at its middle
    at_high: float

    @property
    def swing(self) -> float:
        return self.at_high - self.at_low


@dataclass(frozen=True)
class Index:
    """Sobol indices: shares of the variance, with half the width of their 95 % intervals."""

    first: float
    first_error: float
    total: float
    total_error: float

    @property
    def is_clear(self) -> bool:
        """Whether knowing it would surely help."""
        return self.first - self.first_error > 0 and self.first > CLEAR


@dataclass(frozen=True)
class OfMeasure:
    """What one measure depends on. `indices` is empty where it never varies."""

    measure: Measure
    middle: float  # every assumption at its middle
    low: float  # of nights with everything drawn: 5th percentile, median, 95th
    usual: float
    high: float
    effects: Mapping[str, Effect]
    indices: Mapping[str, Index]
    never: int  # nights of the sample in which what is measured never happened

    def by_swing(self) -> list[str]:
        """The assumptions that move it, the largest swing first."""
        found = [key for key, effect in self.effects.items() if effect.mu_star or effect.swing]
        return sorted(found, key=lambda key: (-abs(self.effects[key].swing), key))

    def share(self, name: str) -> tuple[float, float]:
        """A factor's part of the uncertainty, and half the width of its interval.

        Of an assumption what knowing it would remove; of luck what would be left if every assumption were known.
        """
        index = self.indices[name]
        return (index.total, index.total_error) if name == LUCK else (index.first, index.first_error)

    def by_index(self) -> list[str]:
        """The factors with an index, the largest share first."""
        return sorted(self.indices, key=lambda name: (-self.share(name)[0], name))


@dataclass(frozen=True)
class Sensitivity:
    """What a night's measures depend on."""

    scenario: Scenario = field(repr=False)
    seed: int
    plan: Plan
    assumptions: Sequence[Ranged]
    studied: Sequence[str]  # with Sobol indices of their own, the most important first
    of_measures: Sequence[OfMeasure]
    nights: int

    @property
    def unused(self) -> list[Ranged]:
        """Assumptions that move none of the measures."""
        return [a for a in self.assumptions if not any(a.key in of.by_swing() for of in self.of_measures)]

    def ranked(self) -> list[Ranged]:
        """What to find out, the most helpful first: what would surely remove uncertainty about a measure."""
        by_key = {assumption.key: assumption for assumption in self.assumptions}
        found = [
            key
            for key in self.studied
            if any(key in of.indices and of.indices[key].is_clear for of in self.of_measures)
        ]
        return [by_key[key] for key in sorted(found, key=lambda key: (-self._share(key), key))]

    def _share(self, key: str) -> float:
        return sum(max(0.0, of.indices[key].first) for of in self.of_measures if key in of.indices)

    def frame(self) -> pl.DataFrame:
        """A row a measure and factor: sensitivity.parquet."""
        import polars as pl

        by_key = {assumption.key: assumption for assumption in self.assumptions}
        rows = []
        for of in self.of_measures:
            for name in (*by_key, *(name for name in of.indices if name not in by_key)):
                effect, index, about = of.effects.get(name), of.indices.get(name), by_key.get(name)
                rows.append(
                    {
                        "measure": of.measure.name,
                        "unit": of.measure.unit,
                        "factor": name,
                        "range": about.range if about else None,
                        **{key: getattr(effect, key, None) for key in ("mu", "mu_star", "sigma", "at_low", "at_high")},
                        **{key: getattr(index, key, None) for key in ("first", "first_error", "total", "total_error")},
                    }
                )
        texts = dict.fromkeys(("measure", "unit", "factor", "range"), pl.String)
        return pl.DataFrame(rows, schema_overrides=texts | {key: pl.Float64 for key in rows[0] if key not in texts})

    def summary(self) -> dict[str, Any]:
        """The shape of summary.json."""
        return {
            "scenario": self.scenario.name,
            "title": self.scenario.spec.title,
            "seed": self.seed,
            "nights": self.nights,
            "base_sample": self.plan.base,
            "trajectories": self.plan.trajectories,
            "next": self.advice(),
            "caveat": self.caveat(),
            "find_out": [assumption.key for assumption in self.ranked()],
            "unused": [assumption.key for assumption in self.unused],
            "assumptions": [
                {"key": a.key, "meaning": a.meaning, "range": a.range, "source": a.source} for a in self.assumptions
            ],
            "measures": [_of_measure_json(of) for of in self.of_measures],
        }

    def caveat(self) -> str:
        """A sentence where the sample is too small for what it is asked; nothing where it will do."""
        told = [(of, name) for of in self.of_measures for name in of.by_index()[:2]]
        if not told:
            return ""

        def interval(one: tuple[OfMeasure, str]) -> tuple[float, float]:
            share, error = one[0].share(one[1])
            return max(0.0, share - error), min(1.0, share + error)

        of, name = max(told, key=lambda one: interval(one)[1] - interval(one)[0])
        low, high = interval((of, name))
        if high - low <= WIDE:
            return ""
        more = max(USUAL_BASE, 2 * self.plan.base)
        return (
            f"Too few nights to tell these shares: that of {name} in the uncertainty about {of.measure.name} may be "
            f"anything from {_percent(low)} to {_percent(high)} (95 % confidence); -n {more} plays more."
        )

    def advice(self) -> str:
        """One paragraph: what to find out next, in order, and what is luck that no research removes."""
        sentences = []
        for place, assumption in enumerate(self.ranked()[: len(_ORDINALS)]):
            source = f"; {assumption.source}" if assumption.source else ""
            about = f"{assumption.key} ({assumption.meaning}; {assumption.range}{source})"
            helps = [
                of for of in self.of_measures if assumption.key in of.indices and of.indices[assumption.key].is_clear
            ]
            helps.sort(key=lambda of: -of.indices[assumption.key].first)
            shares = _and([_share_of(of, assumption.key) for of in helps])
            sentences.append(f"{_ORDINALS[place]} {about}: knowing it would remove about {shares}.")
        if not sentences:
            sentences.append("No single assumption stands out: knowing any one of them would remove little.")
        lucky = [of for of in self.of_measures if LUCK in of.indices]
        if lucky:
            said = _and([_share_of(of, LUCK) for of in lucky])
            sentences.append(f"Luck, which no research removes, is about {said}.")
        still = [of.measure.name for of in self.of_measures if not of.indices]
        sentences += [f"{name} is the same in every night." for name in still]
        return " ".join(sentences)


_ORDINALS = ("Find out first", "Then", "Third", "Fourth", "Fifth")


def analyze(
    scenario: Scenario, measures: Sequence[Measure], play: Play, *, seed: int, plan: Plan = Plan()
) -> Sensitivity:
    """What the measures depend on, over every assumption that is a range."""
    assumptions = plan.check(scenario)
    study = _Study(scenario, list(measures), play, seed, plan, assumptions)
    screened = study.screen()
    swings = study.swing([a.key for a in assumptions if any(of[a.key][1] for of in screened)])
    effects = [
        {key: Effect(*values, *ends.get(key, (middle, middle))) for key, values in of.items()}
        for of, (middle, ends) in zip(screened, swings, strict=True)
    ]
    studied = _most_important(effects, plan.most)
    found = study.decompose(studied)
    of_measures = [
        OfMeasure(measure, middle, *spread, of, indices, never)
        for measure, (middle, _), of, (spread, indices, never) in zip(measures, swings, effects, found, strict=True)
    ]
    return Sensitivity(scenario, seed, plan, assumptions, studied, of_measures, study.nights)


def _most_important(effects: Sequence[Mapping[str, Effect]], most: int) -> list[str]:
    """The assumptions with the largest mu*, as a share of the largest for the measure, over the measures."""
    score: dict[str, float] = {}
    for of in effects:
        largest = max(effect.mu_star for effect in of.values())
        for key, effect in of.items():
            score[key] = max(score.get(key, 0), effect.mu_star / largest if largest else 0)
    return sorted((key for key in score if score[key] > 0), key=lambda key: (-score[key], key))[:most]


def measures_of(scenario: Scenario, names: Sequence[str]) -> list[Measure]:
    """The measures of those names; without any, the usual ones, as long after the call to order as after 19:00."""
    from simulation.experiment.measures import default_measures, parse_measures

    call_to_order = scenario.spec.clock.call_to_order
    return parse_measures(names, call_to_order) if names else default_measures(call_to_order, USUAL)


def wanted_by(scenario: Scenario, measures: Sequence[Measure], plan: Plan) -> dict[str, Any]:
    """What the result depends on, beside seed and engine."""
    asked = {"measures": [measure.name for measure in measures], "plan": asdict(plan)}
    return {"sensitivity": asked, "scenario": scenario_table(scenario)}


def result_text(found: Sensitivity, folder: Path | None) -> str:
    """What it came to, for a terminal."""
    title = f"{found.scenario.spec.title} ({found.scenario.name})"
    lines = [f"{title}: {len(found.assumptions)} assumptions, {found.nights:,} nights, seed {found.seed}"]
    lines += textwrap.wrap(found.advice(), WIDTH)
    lines += textwrap.wrap(found.caveat(), WIDTH)
    for of in found.of_measures:
        shares = [f"{name} {_percent(of.share(name)[0])}" for name in of.by_index()[:4]]
        said = ", ".join(shares) if shares else f"{of.measure.shown(of.usual)} in every night"
        lines += textwrap.wrap(f"{of.measure.name}: {said}", WIDTH, initial_indent="- ", subsequent_indent="  ")
    if folder is not None:
        lines.append(f"The report: {folder / 'report.html'}")
    return "\n".join(lines)


@dataclass
class _Study:
    scenario: Scenario
    measures: list[Measure]
    play: Play
    seed: int
    plan: Plan
    assumptions: list[Ranged]
    nights: int = 0

    def screen(self) -> list[dict[str, tuple[float, float, float]]]:
        """Morris: per measure the mean effect, its mean size, and its spread, of each assumption over its range."""
        import numpy as np
        from SALib.analyze import morris as analysis
        from SALib.sample import morris as sampling

        keys = [a.key for a in self.assumptions]
        problem = _problem(keys)
        sample = sampling.sample(problem, self.plan.trajectories, num_levels=LEVELS, seed=self.seed + 1)
        steps = len(sample) // self.plan.trajectories
        units = [self._unit(k // steps, dict(zip(keys, row, strict=True))) for k, row in enumerate(sample)]
        found = []
        for values, _ in self._values(units, "screening"):
            of = analysis.analyze(problem, sample, values, num_levels=LEVELS, num_resamples=2, seed=self.seed + 1)
            columns = (np.asarray(of[name], dtype=float).tolist() for name in ("mu", "mu_star", "sigma"))
            found.append(dict(zip(keys, zip(*columns, strict=True), strict=True)))
        return found

    def swing(self, keys: Sequence[str]) -> list[tuple[float, dict[str, tuple[float, float]]]]:
        """Per measure: its mean with everything at the middle, and with each assumption at its low and high end."""
        places = [(None, 0.5), *((key, end) for key in keys for end in (0.0, 1.0))]
        nights = range(self.plan.swings)
        units = [self._unit(night, {key: end} if key else {}) for key, end in places for night in nights]
        found = []
        for values, _ in self._values(units, "from end to end"):
            means = values.reshape(len(places), len(nights)).mean(axis=1).tolist()
            ends = {key: (means[1 + 2 * k], means[2 + 2 * k]) for k, key in enumerate(keys)}
            found.append((means[0], ends))
        return found

    def decompose(self, studied: Sequence[str]) -> list[tuple[tuple[float, float, float], dict[str, Index], int]]:
        """Per measure: its spread with everything drawn, each factor's Sobol indices, and the nights of never."""
        import numpy as np
        from SALib.analyze import sobol as analysis
        from SALib.sample import sobol as sampling

        keys = [a.key for a in self.assumptions]
        groups = [*(key if key in studied else OTHERS for key in keys), LUCK]
        problem = _problem([*keys, LUCK], groups)
        names = list(dict.fromkeys(groups))
        sample = sampling.sample(problem, self.plan.base, calc_second_order=False, seed=self.seed + 1)
        block = len(names) + 2
        units = []
        for k, row in enumerate(sample):
            base = k // block
            is_second = row[-1] != sample[base * block][-1]  # each base sample has two nights of its own
            night = self.plan.trajectories + 2 * base + int(is_second)
            units.append(self._unit(night, dict(zip(keys, row[:-1], strict=True))))
        found = []
        for values, never in self._values(units, "apportioning"):
            drawn = np.concatenate([values[::block], values[block - 1 :: block]])
            low, usual, high = np.quantile(drawn, (0.05, 0.5, 0.95), method="inverted_cdf").tolist()
            indices = {}
            if np.ptp(values) > 0:
                of = analysis.analyze(problem, values, calc_second_order=False, num_resamples=200, seed=self.seed + 1)
                columns = (np.asarray(of[name], dtype=float).tolist() for name in ("S1", "S1_conf", "ST", "ST_conf"))
                indices = {name: Index(*row) for name, row in zip(names, zip(*columns, strict=True), strict=True)}
            found.append(((low, usual, high), indices, never))
        return found

    def _unit(self, night: int, places: Mapping[str, float]) -> Unit:
        """A night with assumptions at places 0 .. 1 of their ranges, the rest at the middle."""
        positions = (
            (a.key, min(POSITIONS - 1, int(places[a.key] * POSITIONS)) if a.key in places else MIDDLE)
            for a in self.assumptions
        )
        return Unit(self.scenario, night, tuple(positions))

    def _values(self, units: Sequence[Unit], doing: str) -> list[tuple[Reals, int]]:
        """Per measure its values, and in how many nights it never happened; then the worst there is stands for it."""
        import numpy as np

        rows = self.play(units, doing)
        self.nights += len(units)
        found = []
        for measure in self.measures:
            values = [measure.value(row) for row in rows]
            worst = self._worst(measure)
            numbers = [worst if value is None else value for value in values]
            found.append((np.array(numbers, dtype=np.float64), values.count(None)))
        return found

    def _worst(self, measure: Measure) -> float:
        clock = self.scenario.spec.clock
        return {"clock": float(clock.until), "min": float(clock.until - clock.call_to_order)}.get(measure.unit, 0.0)


def _problem(names: Sequence[str], groups: Sequence[str] | None = None) -> dict[str, Any]:
    problem: dict[str, Any] = {"num_vars": len(names), "names": list(names), "bounds": [[0.0, 1.0]] * len(names)}
    return problem | ({"groups": list(groups)} if groups else {})


def _of_measure_json(of: OfMeasure) -> dict[str, Any]:
    return {
        "name": of.measure.name,
        "unit": of.measure.unit,
        "middle": of.middle,
        "p05": of.low,
        "p50": of.usual,
        "p95": of.high,
        "never": of.never,
        "effects": {
            key: {name: getattr(of.effects[key], name) for name in ("at_low", "at_high", "mu", "mu_star", "sigma")}
            for key in of.by_swing()
        },
        "sobol": {
            name: {key: getattr(of.indices[name], key) for key in ("first", "first_error", "total", "total_error")}
            for name in of.by_index()
        },
    }


def _share_of(of: OfMeasure, name: str) -> str:
    return f"{_percent(of.share(name)[0])} of the uncertainty about {of.measure.name}"


def _percent(share: float) -> str:
    return f"{min(1.0, max(0.0, share)) * 100:.0f} %"


def _and(parts: Sequence[str]) -> str:
    """Parts as running text; what all of them say is said once."""
    common = " of the uncertainty about "
    said = [parts[0], *(part.replace(common, " about ") for part in parts[1:])]
    return said[0] if len(said) == 1 else f"{', '.join(said[:-1])} and {said[-1]}"
