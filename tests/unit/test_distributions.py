"""Distributions as quantile tables: the right mean and quantiles, rising, clipped, drawn between their ranges' ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from simulation.randomness import TABLE_STEPS, Integers
from simulation.scenario.distributions import Distribution, read_distribution
from simulation.scenario.values import COUNT, DURATION, FACTOR_UNIT, FULL_SHARE, MINUTE, SECOND, SHARE, Unit

MIDDLE = 1 << 31


def table(value: object, unit: Unit = DURATION, random_bits: int = MIDDLE) -> Integers:
    return read_distribution(value, unit).table(lambda _: random_bits)


def mean(values: Integers) -> float:
    """Of a variable with these quantiles, linear in between."""
    return float((values[:-1] + values[1:]).mean() / 2)


def lognormal(mean_: float, cv: float) -> Any:
    sigma = np.sqrt(np.log1p(cv**2))
    return stats.lognorm(sigma, scale=mean_ * np.exp(-(sigma**2) / 2))


FAMILIES = [
    pytest.param({"uniform": {"low": "10 s", "high": "90 s"}}, DURATION, stats.uniform(10_000, 80_000), id="uniform"),
    pytest.param(
        {"triangular": {"low": "1 min", "mode": "2 min", "high": "9 min"}},
        DURATION,
        stats.triang(1 / 8, MINUTE, 8 * MINUTE),
        id="triangular",
    ),
    pytest.param(
        {"triangular": {"low": "1 min", "mode": "9 min", "high": "9 min"}},
        DURATION,
        stats.triang(1, MINUTE, 8 * MINUTE),
        id="triangular, mode at its end",
    ),
    pytest.param({"exponential": {"mean": "150 min"}}, DURATION, stats.expon(0, 150 * MINUTE), id="exponential"),
    pytest.param({"lognormal": {"mean": "45 s", "cv": 0.6}}, DURATION, lognormal(45_000, 0.6), id="lognormal"),
    pytest.param({"lognormal": {"mean": 1, "cv": 2.5}}, FACTOR_UNIT, lognormal(1e6, 2.5), id="lognormal, wide"),
    pytest.param({"gamma": {"mean": "5 min", "cv": 0.5}}, DURATION, stats.gamma(4, 0, 75_000), id="gamma"),
    pytest.param({"gamma": {"mean": "5 min", "cv": 2}}, DURATION, stats.gamma(0.25, 0, 1_200_000), id="gamma, wide"),
    pytest.param({"beta": {"a": 2.2, "b": 1.6}}, SHARE, stats.beta(2.2, 1.6, 0, FULL_SHARE), id="beta"),
    pytest.param({"beta": {"a": 0.5, "b": 8}}, SHARE, stats.beta(0.5, 8, 0, FULL_SHARE), id="beta, near zero"),
    pytest.param({"beta": {"a": 4, "b": 16}}, SHARE, stats.beta(4, 16, 0, FULL_SHARE), id="beta, of registrations"),
    pytest.param({"beta": {"a": 8, "b": 0.5}}, SHARE, stats.beta(8, 0.5, 0, FULL_SHARE), id="beta, near one"),
]


@pytest.mark.parametrize(("written", "unit", "reference"), FAMILIES)
def test_a_table_has_the_mean_of_its_distribution(written: object, unit: Unit, reference: Any) -> None:
    assert mean(table(written, unit)) == pytest.approx(reference.mean(), rel=1e-3)


@pytest.mark.parametrize(("written", "unit", "reference"), FAMILIES)
def test_a_table_holds_the_quantiles_of_its_distribution(written: object, unit: Unit, reference: Any) -> None:
    inner = np.arange(1, TABLE_STEPS) / TABLE_STEPS
    assert table(written, unit)[1:-1] == pytest.approx(reference.ppf(inner), rel=1e-6, abs=1)


def test_a_plain_value_is_always_that_value() -> None:
    for written in ("45 s", {"value": "45 s"}, {"constant": {"value": "45 s"}}):
        assert set(table(written).tolist()) == {45 * SECOND}


def test_an_empirical_distribution_runs_through_its_points() -> None:
    seen = table({"empirical": ["1 h", "2 h", "2 h", "6 h", "10 h"]})
    assert [int(seen[k * TABLE_STEPS // 4]) // MINUTE for k in range(5)] == [60, 120, 120, 360, 600]
    assert int(seen[TABLE_STEPS * 5 // 8]) == 240 * MINUTE


def test_at_most_and_at_least_clip_what_lies_beyond() -> None:
    free = table({"lognormal": {"mean": "8 min", "cv": 0.4}})
    clipped = table({"lognormal": {"mean": "8 min", "cv": 0.4}, "at_least": "5 min", "at_most": "15 min"})
    assert clipped.min() == 5 * MINUTE
    assert clipped.max() == 15 * MINUTE
    within = (free >= 5 * MINUTE) & (free <= 15 * MINUTE)
    assert (clipped[within] == free[within]).all()


# Tables always rise, whatever the parameters.

SHAPES = st.floats(0.01, 1000)
SECONDS = st.integers(0, 20 * 86_400)
THREE = st.lists(SECONDS, min_size=3, max_size=3).map(sorted)
WRITTEN = st.one_of(
    st.builds(lambda m: {"exponential": {"mean": f"{m} s"}}, SECONDS),
    st.builds(lambda m, cv: {"lognormal": {"mean": f"{m} s", "cv": cv}}, SECONDS, SHAPES),
    st.builds(lambda m, cv: {"gamma": {"mean": f"{m} s", "cv": cv}}, SECONDS, SHAPES),
    THREE.map(lambda e: {"triangular": {"low": f"{e[0]} s", "mode": f"{e[1]} s", "high": f"{e[2]} s"}}),
    THREE.map(lambda e: {"uniform": {"low": f"{e[0]} s", "high": f"{e[2]} s"}}),
    st.lists(SECONDS, min_size=2, max_size=40).map(lambda v: {"empirical": [f"{s} s" for s in sorted(v)]}),
    st.builds(
        lambda m, n: {"exponential": {"mean": {"low": f"{min(m, n)} s", "high": f"{max(m, n)} s"}}}, *[SECONDS] * 2
    ),
    st.builds(
        lambda m, c, d: {"lognormal": {"mean": f"{m} s", "cv": {"low": min(c, d), "high": max(c, d)}}},
        SECONDS,
        SHAPES,
        SHAPES,
    ),
)


@given(WRITTEN, st.integers(0, 2**32 - 1))
def test_every_table_rises_from_zero_or_above(written: object, random_bits: int) -> None:
    values = table(written, DURATION, random_bits)
    assert values[0] >= 0
    assert (np.diff(values) >= 0).all()


@given(SHAPES, SHAPES)
def test_every_table_of_shares_rises_within_none_and_all(a: float, b: float) -> None:
    values = table({"beta": {"a": a, "b": b}}, SHARE)
    assert values[0] == 0
    assert values[-1] <= FULL_SHARE
    assert (np.diff(values) >= 0).all()


@given(WRITTEN)
def test_a_table_can_be_interpolated_without_overflow(written: object) -> None:
    """22 bits of interpolation on the largest step of any table stay within 2**62."""
    values = table(written, DURATION, 2**32 - 1)
    assert int(np.diff(values).max()) << 22 <= 2**62


# Ranges

RANGED = {
    "lognormal": {"mean": {"low": "30 min", "high": "50 min"}, "cv": {"low": 0.7, "high": 1.1}},
    "source": "J",
}


def by_key(draws: dict[str, int]) -> Callable[[Any], int]:
    return lambda assumption: draws[assumption.key]


def ranged() -> Distribution:
    found = read_distribution(RANGED, DURATION)
    for name, assumption in found.parameters.items():
        assumption.key = name
    return found


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_a_night_lies_between_the_corners_of_its_ranges(of_mean: int, of_cv: int) -> None:
    distribution = ranged()
    tonight = distribution.table(by_key({"mean": of_mean, "cv": of_cv}))
    corners = distribution.corners.reshape(4, -1)
    assert (tonight >= corners.min(axis=0) - 2).all()  # each of two interpolations rounds down
    assert (tonight <= corners.max(axis=0)).all()


@pytest.mark.parametrize(("of_mean", "of_cv"), [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_at_the_ends_of_its_ranges_a_night_is_the_distribution_with_those_parameters(of_mean: int, of_cv: int) -> None:
    ends = {"mean": ("30 min", "50 min")[of_mean], "cv": (0.7, 1.1)[of_cv]}
    known = table({"lognormal": ends})
    drawn = ranged().table(by_key({"mean": of_mean * (2**32 - 1), "cv": of_cv * (2**32 - 1)}))
    assert drawn == pytest.approx(known, rel=1e-5, abs=2)


def test_with_every_assumption_in_the_middle_the_mean_is_in_the_middle() -> None:
    assert mean(ranged().table(lambda _: MIDDLE)) == pytest.approx(40 * MINUTE, rel=1e-3)


def test_each_range_of_a_distribution_is_drawn_by_its_own_luck() -> None:
    few = ranged().table(by_key({"mean": 0, "cv": 2**32 - 1}))
    many = ranged().table(by_key({"mean": 2**32 - 1, "cv": 0}))
    assert mean(few) == pytest.approx(30 * MINUTE, rel=1e-3)
    assert mean(many) == pytest.approx(50 * MINUTE, rel=1e-3)
    assert few[-1] > many[-1]  # the wider one, although its mean is smaller


# Nonsense


@pytest.mark.parametrize(
    ("written", "unit", "would_do"),
    [
        ({"lognormall": {"mean": "45 s", "cv": 1}}, DURATION, "one distribution by name (constant, uniform,"),
        ({"lognormal": {"mean": "45 s", "cv": 1}, "gamma": {"mean": "1 s", "cv": 1}}, DURATION, "one distribution"),
        ({"lognormal": {"mean": "45 s"}}, DURATION, "lognormal with exactly mean, cv"),
        ({"lognormal": {"mean": "45 s", "sd": "5 s"}}, DURATION, "lognormal with exactly mean, cv"),
        ({"lognormal": "45 s"}, DURATION, "lognormal with exactly mean, cv"),
        ({"lognormal": {"mean": 45, "cv": 0.5}}, DURATION, 'lognormal.mean: a duration with its unit such as "45 s"'),
        ({"lognormal": {"mean": "45 s", "cv": 0}}, DURATION, "lognormal.cv: a factor above 0"),
        ({"lognormal": {"mean": "45 s", "cv": {"low": 2, "high": 1}}}, DURATION, "lognormal.cv: a range whose low"),
        ({"uniform": {"low": "5 min", "high": "2 min"}}, DURATION, "uniform whose low <= high"),
        ({"uniform": {"low": {"low": "1 s", "high": "9 s"}, "high": "5 s"}}, DURATION, "uniform whose low <= high"),
        ({"triangular": {"low": 1, "mode": 9, "high": 4}}, COUNT, "triangular whose low <= mode <= high"),
        ({"beta": {"a": 2, "b": 2}}, DURATION, "a distribution of shares only"),
        ({"beta": {"a": 0, "b": 2}}, SHARE, "beta.a: a factor above 0"),
        ({"empirical": ["1 h"]}, DURATION, "two or more values"),
        ({"empirical": ["2 h", "1 h"]}, DURATION, "values in rising order"),
        ({"empirical": "1 h"}, DURATION, "two or more values"),
        ({"exponential": {"mean": "1 h"}, "at_most": 5}, DURATION, "a duration with its unit"),
        ({"exponential": {"mean": "1 h"}, "at_least": "9 min", "at_most": "5 min"}, DURATION, "at_least not above"),
        ({"exponential": {"mean": "1 h"}, "source": 2016}, DURATION, "where the numbers come from"),
        (45, DURATION, "a duration with its unit"),
        ({"low": "5 s"}, DURATION, "a range { low, high"),
    ],
)
def test_nonsense_is_refused_with_what_would_do(written: object, unit: Unit, would_do: str) -> None:
    with pytest.raises(ValueError, match=r".") as refusal:
        read_distribution(written, unit)
    assert would_do in str(refusal.value)
