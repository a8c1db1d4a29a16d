"""Overload, then nominal load again: what comes back, what does not, and what clients who try again do to it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from loadtests.breaking_point import BreakingPoint
from loadtests.objectives import parse_objectives, parse_requirement
from loadtests.search.recovery import Phase, recovery
from tests.unit.loadtests.simulated_servers import Floats, Retrying, poisson

OBJECTIVES = parse_objectives(["p99(latency) < 1 s", "error_share < 0.5 %"])
CAPACITY_PER_S = 1500.0


@dataclass(frozen=True)
class Played:
    due_s: Floats
    latency_s: Floats
    attempts: npt.NDArray[np.int64]
    void: str | None = None


def play_on(service: Callable[[int], Retrying], seed: int = 1) -> Callable[[Sequence[Phase], int], Played]:
    rng = np.random.default_rng(seed)

    def play(phases: Sequence[Phase], retries: int) -> Played:
        server = service(retries)
        start, parts = 0.0, []
        for phase in phases:
            parts.append(start + poisson(phase.per_s, phase.seconds, rng))
            start += phase.seconds
        due = np.concatenate(parts)
        done, good = server.serve(due)
        return Played(due, np.where(good, done - due, np.inf), server.tries)

    return play


def service(retries: int) -> Retrying:
    """Its clients give up after a second and try again so often."""
    return Retrying(1 / CAPACITY_PER_S, retries=retries)


def test_a_service_that_recovers_without_retries_is_metastable_with_them():
    for seed in range(20):
        alone, with_retries = recovery(play_on(service, seed), OBJECTIVES, capacity_per_s=CAPACITY_PER_S)
        # 1.7 times the capacity for 5 s leaves 3.5 s of work, 3 s of which find room in the queue; half of the capacity
        # is free to do it, until the wait is again what objectives allow
        assert alone.recovery_s == pytest.approx(4.0, abs=1.5)
        assert alone.metastable is False
        assert alone.amplification == 1
        assert with_retries.recovery_s is None
        assert with_retries.metastable is True
        assert with_retries.amplification_at_end == pytest.approx(4.0, abs=0.05)
        assert with_retries.why is not None
        assert "did not come back within 41 s of 750/s" in with_retries.why


def test_a_load_that_retries_cannot_lift_above_the_capacity_recovers():
    (found,) = recovery(play_on(service), OBJECTIVES, capacity_per_s=CAPACITY_PER_S, nominal_per_s=300.0, retries=(3,))
    assert found.metastable is False
    assert found.recovery_s is not None
    assert found.recovery_s < 20
    assert found.amplification is not None
    assert found.amplification > 1.5
    assert found.amplification_at_end == 1


def test_time_to_recover_is_that_of_the_work_left_behind():
    """Nobody gives up: 3.5 s of work are left, and the part of the capacity that is free does it."""
    for nominal_share in (0.3, 0.5, 0.7):
        (found,) = recovery(
            play_on(lambda retries: Retrying(1 / CAPACITY_PER_S, 100.0, retries, 100.0)),
            OBJECTIVES,
            capacity_per_s=CAPACITY_PER_S,
            nominal_per_s=nominal_share * CAPACITY_PER_S,
            retries=(0,),
        )
        # it is behind by 3.5 s, catches up by 1 - share seconds each second, and may be behind by 1 s
        assert found.recovery_s == pytest.approx((3.5 - 1.0) / (1 - nominal_share), abs=1.1)
        assert found.drain_s == pytest.approx(3.5 / (1 - nominal_share))


def test_a_backlog_that_only_takes_long_is_not_called_metastable():
    (found,) = recovery(
        play_on(lambda retries: Retrying(1 / CAPACITY_PER_S, 100.0, retries, 1000.0)),
        OBJECTIVES,
        capacity_per_s=CAPACITY_PER_S,
        nominal_per_s=0.96 * CAPACITY_PER_S,
        overload_s=20.0,
        retries=(0,),
    )
    assert found.recovery_s is None
    assert found.metastable is False
    assert found.why is not None
    assert "says little" in found.why


def test_a_service_that_did_not_hold_before_is_not_blamed_on_the_overload():
    (found,) = recovery(
        play_on(service), OBJECTIVES, capacity_per_s=CAPACITY_PER_S, nominal_per_s=1.2 * CAPACITY_PER_S, retries=(0,)
    )
    assert found.metastable is None
    assert found.why == "it did not hold at 1800/s before the overload either"


def test_a_void_episode_says_nothing():
    play = play_on(service)
    (found,) = recovery(
        lambda phases, retries: replace(play(phases, retries), void="the generator was late: p99 30 ms"),
        OBJECTIVES,
        capacity_per_s=CAPACITY_PER_S,
        retries=(3,),
    )
    assert (found.metastable, found.recovery_s) == (None, None)
    assert found.why == "the generator was late: p99 30 ms"


def test_each_episode_begins_on_a_calm_backend():
    settled: list[Any] = []
    recovery(play_on(service), OBJECTIVES, capacity_per_s=CAPACITY_PER_S, settle=lambda: settled.append(1))
    assert len(settled) == 2


def test_at_a_low_rate_one_failure_in_a_second_is_luck():
    rng = np.random.default_rng(1)

    def play(phases: Sequence[Phase], retries: int) -> Played:
        due = poisson(phases[0].per_s, sum(phase.seconds for phase in phases), rng)
        latency = np.full(len(due), 0.05)
        latency[np.arange(len(due)) % 400 == 399] = np.inf
        return Played(due, latency, np.full(len(due), retries + 1))

    (found,) = recovery(play, OBJECTIVES, capacity_per_s=20.0, nominal_per_s=10.0, retries=(0,))
    assert found.recovery_s == 0
    assert min(window.seconds for window in found.windows if window.at_s >= 0) >= 2


def test_recoveries_are_part_of_the_answer():
    point = BreakingPoint("mix", (1450.0, 1520.0), 100.0, True, None, None, (), 200.0, ())
    assert (point.recovery_s, point.metastable) == (None, None)
    alone, with_retries = recovery(play_on(service), OBJECTIVES, capacity_per_s=CAPACITY_PER_S)
    known = replace(point, recoveries=(alone, with_retries))
    assert known.recovery_s == alone.recovery_s
    assert known.metastable is True
    assert not known.meets(parse_requirement("recovery < 30 s"))  # with retries it never comes back
    assert replace(point, recoveries=(alone,)).meets(parse_requirement("recovery < 30 s"))
    text = json.loads(json.dumps(known.as_json(), allow_nan=False))
    assert [found["retries"] for found in text["recoveries"]] == [0, 3]
    assert text["recoveries"][1]["windows"][-1]["p99_s"] is None
