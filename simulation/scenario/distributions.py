"""Distributions by the field's names, as integer quantile tables.

A table holds the quantiles at 0, 1/1024, ..., 1 and is linear in between; its last point is set so that the table's
mean is the distribution's. A parameter may be a range: then a night's table lies between the tables of the range's
ends, so that no table is computed anew for a night and every night is integer arithmetic.
Rounded from floating point once per scenario: the same on any machine unless a value lies within 1e-10 of a half.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise, product
from statistics import NormalDist
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from pydantic.json_schema import JsonSchemaValue

from simulation.randomness import TABLE_STEPS, Integers
from simulation.scenario.values import (
    COUNT,
    DURATION,
    FACTOR_UNIT,
    FULL_SHARE,
    SHARE,
    Assumption,
    Plain,
    Unit,
    assumption_schema,
    parse_factor,
    read_assumption,
)

Reals = npt.NDArray[np.float64]

_LARGEST = 1 << 40  # of a table's values, 34 years: 22 bits of interpolation on top stay below 2**62

PURE = Unit("number", parse_factor, FACTOR_UNIT.schema)  # shape parameters, in millionths


@dataclass(frozen=True, slots=True)
class Family:
    """A named family: its parameters (True: in the unit of the values) and its quantiles and mean."""

    parameters: Mapping[str, bool]
    quantiles: Callable[..., Reals]  # of the 1025 probabilities' inner points; first and last are the support's ends
    mean: Callable[..., float] | None  # None: no tail, the table needs no correction


def _inner() -> Reals:
    return np.arange(1, TABLE_STEPS, dtype=np.float64) / TABLE_STEPS


@cache
def _normal_quantiles() -> tuple[float, ...]:
    normal = NormalDist()
    return tuple(normal.inv_cdf(k / TABLE_STEPS) for k in range(1, TABLE_STEPS))


def _lognormal(mean: float, cv: float) -> Reals:
    variance = math.log1p(cv * cv)
    sigma = math.sqrt(variance)
    inner = [mean * math.exp(sigma * z - variance / 2) for z in _normal_quantiles()]
    return np.array([0.0, *inner, math.inf])


def _exponential(mean: float) -> Reals:
    inner = [-mean * math.log1p(-k / TABLE_STEPS) for k in range(1, TABLE_STEPS)]
    return np.array([0.0, *inner, math.inf])


def _gamma(mean: float, cv: float) -> Reals:
    from scipy.special import gammaincinv  # slow to import, needed by few scenarios

    shape = 1 / (cv * cv)
    return np.concatenate(([0.0], mean / shape * gammaincinv(shape, _inner()), [math.inf]))


def _beta(a: float, b: float) -> Reals:
    from scipy.special import betaincinv  # as above

    return np.concatenate(([0.0], betaincinv(a, b, _inner()) * FULL_SHARE, [float(FULL_SHARE)]))


def _uniform(low: float, high: float) -> Reals:
    return np.linspace(low, high, TABLE_STEPS + 1)


def _triangular(low: float, mode: float, high: float) -> Reals:
    p = np.concatenate(([0.0], _inner(), [1.0]))
    rising = low + np.sqrt(p * (high - low) * (mode - low))
    falling = high - np.sqrt((1 - p) * (high - low) * (high - mode))
    return np.where(p * (high - low) < mode - low, rising, falling)


FAMILIES = {
    "constant": Family({"value": True}, lambda value: np.full(TABLE_STEPS + 1, value), None),
    "uniform": Family({"low": True, "high": True}, _uniform, None),
    "triangular": Family({"low": True, "mode": True, "high": True}, _triangular, None),
    "exponential": Family({"mean": True}, _exponential, lambda mean: mean),
    "lognormal": Family({"mean": True, "cv": False}, _lognormal, lambda mean, cv: mean),
    "gamma": Family({"mean": True, "cv": False}, _gamma, lambda mean, cv: mean),
    "beta": Family({"a": False, "b": False}, _beta, lambda a, b: FULL_SHARE * a / (a + b)),  # of shares
}
EMPIRICAL = "empirical"  # { empirical = [...] }: equally spaced quantiles, from the smallest value to the largest


@dataclass(slots=True)
class Distribution:
    """A distribution whose parameters are assumptions, as the tables at the corners of their ranges.

    `corners` has shape (2,) * len(ranged) + (1025,): index 0 is a parameter's low end, 1 its high end.
    """

    family: str
    parameters: dict[str, Assumption]
    corners: Integers
    source: str | None = None
    key: str = ""
    ranged: list[Assumption] = field(default_factory=list)

    def table(self, draw: Callable[[Assumption], int]) -> Integers:
        """A night's quantile table; `draw` gives 32 bits for an assumption. Shape (1025,), int64."""
        table = self.corners
        for assumption in self.ranged:
            low, high = table[0], table[1]
            table = low + ((high - low) * (draw(assumption) >> 12) >> 20)  # below 2**62, as the values of `_LARGEST`
        return np.ascontiguousarray(table)


def read_distribution(value: object, unit: Unit) -> Distribution:
    """`{ lognormal = { mean = "45 s", cv = 0.6 }, at_most = "5 min", source = "..." }`, or a plain value or range."""
    if not isinstance(value, dict) or set(value) <= {"low", "high", "value", "source"}:
        assumption = read_assumption(value, unit.parse)
        return _build("constant", {"value": assumption}, 0, None, assumption.source)
    source = value.get("source")
    if source is not None and not isinstance(source, str):
        raise ValueError("source: a text that says where the numbers come from")
    at_least = unit.parse(value["at_least"]) if "at_least" in value else 0
    at_most = unit.parse(value["at_most"]) if "at_most" in value else None
    if at_most is not None and at_least > at_most:
        raise ValueError("at_least not above at_most")
    names = [name for name in value if name not in ("source", "at_least", "at_most")]
    families = (*FAMILIES, EMPIRICAL)
    if len(names) != 1 or names[0] not in families:
        raise ValueError(f"one distribution by name ({', '.join(families)}), with at_least, at_most, source if wanted")
    family, given = names[0], value[names[0]]
    if family == EMPIRICAL:
        if not isinstance(given, list) or len(given) < 2:
            raise ValueError("empirical: a list of two or more values, from the smallest to the largest")
        points = [unit.parse(item) for item in given]
        if points != sorted(points):
            raise ValueError("empirical: values in rising order")
        return _empirical(points, at_least, at_most, source)
    wanted = FAMILIES[family].parameters
    if family == "beta" and unit is not SHARE:
        raise ValueError("beta: a distribution of shares only; for durations use triangular, lognormal or gamma")
    if not isinstance(given, dict) or set(given) != set(wanted):
        raise ValueError(f"{family} with exactly {', '.join(wanted)}")
    parameters = {}
    for name, in_unit in wanted.items():
        try:
            parameters[name] = read_assumption(given[name], unit.parse if in_unit else PURE.parse)
        except ValueError as error:
            raise ValueError(f"{family}.{name}: {error}") from None
    ends = [parameters[name] for name in ("low", "mode", "high") if name in parameters]
    if any(first.high > second.low for first, second in pairwise(ends)):
        raise ValueError(f"{family} whose {' <= '.join(name for name in wanted)}")
    return _build(family, parameters, at_least, at_most, source)


def _build(
    family: str, parameters: dict[str, Assumption], at_least: int, at_most: int | None, source: str | None
) -> Distribution:
    ranged = [assumption for assumption in parameters.values() if not assumption.is_known]
    choices = [(a.low, a.high) if not a.is_known else (a.low,) for a in parameters.values()]
    in_unit = FAMILIES[family].parameters.values()
    tables = [
        _table(
            family,
            [n if own else n / FACTOR_UNIT.parse(1) for n, own in zip(corner, in_unit, strict=True)],
            at_least,
            at_most,
        )
        for corner in product(*choices)
    ]
    corners = np.array(tables).reshape((2,) * len(ranged) + (TABLE_STEPS + 1,))
    return Distribution(family, parameters, corners, source, ranged=ranged)


def _empirical(points: Sequence[int], at_least: int, at_most: int | None, source: str | None) -> Distribution:
    grid = np.linspace(0, len(points) - 1, TABLE_STEPS + 1)
    table = np.interp(grid, np.arange(len(points)), np.array(points, dtype=np.float64))
    return Distribution(EMPIRICAL, {}, _clipped(table, at_least, at_most), source)


def _table(family: str, parameters: list[float], at_least: int, at_most: int | None) -> Integers:
    values = FAMILIES[family].quantiles(*parameters)
    mean = FAMILIES[family].mean
    if mean is not None:  # a long tail: end it where the table's mean is right
        steps = (values[:-2] + values[1:-1]).sum() / 2
        end = 2 * (mean(*parameters) * TABLE_STEPS - steps) - values[-2]
        values[-1] = min(max(end, values[-2]), values[-1])
    return _clipped(values, at_least, at_most)


def _clipped(values: Reals, at_least: int, at_most: int | None) -> Integers:
    whole = np.rint(np.clip(values, 0, _LARGEST)).astype(np.int64)
    return np.clip(whole, at_least, at_most)


class Distributed(Plain):
    """Pydantic annotation: a distribution of values of a unit."""

    def read(self, value: object) -> Any:
        return read_distribution(value, self.unit)

    @property
    def name(self) -> str:
        return f"distribution of {self.unit.name}"

    def json_schema(self) -> JsonSchemaValue:
        extras = {"at_least": self.unit.schema, "at_most": self.unit.schema, "source": {"type": "string"}}
        options: list[Any] = [assumption_schema(self.unit)]
        for name, family in FAMILIES.items():
            if name == "beta" and self.unit is not SHARE:
                continue
            parameters = {
                key: assumption_schema(self.unit if in_unit else PURE) for key, in_unit in family.parameters.items()
            }
            body = {
                "type": "object",
                "properties": parameters,
                "required": list(parameters),
                "additionalProperties": False,
            }
            options.append(_one_of(name, body, extras))
        options.append(_one_of(EMPIRICAL, {"type": "array", "items": self.unit.schema, "minItems": 2}, extras))
        return {"anyOf": options}


def _one_of(name: str, body: JsonSchemaValue, extras: JsonSchemaValue) -> JsonSchemaValue:
    return {
        "type": "object",
        "properties": {name: body, **extras},
        "required": [name],
        "additionalProperties": False,
    }


DurationDistribution = Annotated[Distribution, Distributed(DURATION)]
ShareDistribution = Annotated[Distribution, Distributed(SHARE)]
CountDistribution = Annotated[Distribution, Distributed(COUNT)]
FactorDistribution = Annotated[Distribution, Distributed(FACTOR_UNIT)]
