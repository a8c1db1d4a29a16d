"""Drift over hours: found where there is one, and rarely where there is none, however the samples hang together."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from loadtests.traffic.drift import SIGNIFICANCE, drift
from loadtests.traffic.soak import rising
from tests.unit.loadtests.load_runs import soaked

AT_S = [60.0 * k for k in range(60)]


def process(dependence: float, seed: int) -> npt.NDArray[np.float64]:
    """A level of 100 around which a figure wanders; each sample keeps a share of the last one's distance."""
    luck = np.random.default_rng(seed).normal(size=len(AT_S))
    for k in range(1, len(luck)):
        luck[k] += dependence * luck[k - 1]
    return 100 + luck


@pytest.mark.parametrize("dependence", [0.0, 0.3, 0.6, 0.9])
def test_what_keeps_its_level_is_seldom_taken_for_a_drift(dependence: float):
    found = [drift(AT_S, process(dependence, seed).tolist()) for seed in range(150)]
    wrong = sum(one is not None and one.is_sure for one in found)
    assert wrong <= 150 * 5 * SIGNIFICANCE  # of 48 samples of which each is nine tenths of the last


def test_a_leak_of_a_tenth_over_an_hour_is_found_and_its_slope_is_right():
    within = 0
    for seed in range(40):
        found = drift(AT_S, (process(0.3, seed) + 0.2 * np.arange(60)).tolist())
        assert found is not None
        assert found.rises
        assert found.per_hour == pytest.approx(12, rel=0.3)
        within += found.low_per_hour < 12 < found.high_per_hour
    assert within >= 34  # of an interval of 95 %


def test_what_falls_or_moves_by_next_to_nothing_is_no_rise():
    falling = drift(AT_S, (process(0, 1) - 0.5 * np.arange(60)).tolist())
    assert falling is not None
    assert falling.is_sure
    assert not falling.rises
    crawling = drift(AT_S, (10_000 + 0.001 * np.arange(60)).tolist())
    assert crawling is not None
    assert crawling.is_sure
    assert not crawling.rises


def test_what_settles_at_the_beginning_does_not_count():
    values = np.full(60, 300.0) + process(0, 3) - 100
    values[:10] = np.linspace(100, 300, 10)  # caches fill
    found = drift(AT_S, values.tolist())
    assert found is not None
    assert not found.rises


def test_of_too_few_samples_nothing_is_said():
    assert drift(AT_S[:8], [1.0] * 8) is None
    assert drift([], []) is None


def test_a_constant_never_drifts():
    found = drift(AT_S, [40.0] * 60)
    assert found is not None
    assert found.p == 1.0


def test_a_soak_names_what_leaks_and_nothing_else():
    assert dict(rising(soaked())) == {}
    assert list(dict(rising(soaked(leak_mb=1.0)))) == ["service.memory_mb"]
