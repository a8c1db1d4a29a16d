"""The night against queueing theory: reduced to a textbook's queue, it waits as the textbook says.

Each test plays several nights, takes the 99.9 % interval of their mean, asks that theory lies within it, and that it is
narrow enough for a wrong queue to fall outside.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import factorial
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from simulation.night import Night, play_night
from simulation.night.order import Outcome
from simulation.scenario import load
from simulation.scenario.values import HOUR, MINUTE

DAYS = 10
SECONDS = DAYS * 86_400
PEOPLE = 6_000  # one every 144 seconds
NIGHTS = 60
BETWEEN = SECONDS / PEOPLE
DOOR_WARM = 12 * HOUR  # what a queue that starts empty needs to forget it, several times over

QUIET = {
    "turnout.spread": 1,
    "turnout.local_spread": 1,
    "clock.doors": "00:00",
    "clock.call_to_order": f"+{DAYS}d 00:00",
    "clock.until": "+20d 00:00",
    "chairs.silent": 1,  # the one chair does not call
    "app.tries": 0,
}
DOOR = {
    "checkin.arrivals": {"uniform": {"low": 0, "high": 1}},
    "checkin.registering": 0,
    "checkin.missing_from_list": 0,
    "forms.short": 0,
}
PHONE_DAYS = 3
PHONE_WARM = 2 * HOUR
CALLS_PER_HOUR = 60
PHONE = {
    "clock.doors": "18:00",
    "clock.call_to_order": "19:00",
    "hotline.nuisance": [{"from": "00:00", "to": f"+{PHONE_DAYS}d 00:00", "calls_per_hour": CALLS_PER_HOUR}],
    "hotline.block_after": "none",
    "hotline.silent": 0,
    "hotline.redial.nuisance": 0,
    "hotline.patience.others": "20 d",
}


def nights(folder: Path, overrides: dict[str, object], people: int, count: int = NIGHTS) -> list[Night]:
    roster = folder / "one.csv"
    roster.write_text(f"county,precinct,delegates,attendance\nSomewhere,The only one,5,{people}\n")
    scenario = load("baseline", QUIET | overrides, roster)
    return [play_night(scenario, seed=11, night=night) for night in range(count)]


def exponential(mean_s: float) -> object:
    return {"exponential": {"mean": f"{mean_s:.3f} s"}}


def agrees(seen: Sequence[float], theory: float, within: float) -> None:
    """`theory` lies in the 99.9 % interval of the mean, whose half-width is at most `within` x theory."""
    half_width = float(stats.t.ppf(0.9995, len(seen) - 1) * stats.sem(seen))
    assert half_width < within * theory, f"+- {half_width:.4g} is too wide to tell anything about {theory:.4g}"
    assert float(np.mean(seen)) == pytest.approx(theory, abs=half_width)


def erlang_b(servers: int, offered: float) -> float:
    return offered**servers / factorial(servers) / sum(offered**k / factorial(k) for k in range(servers + 1))


def erlang_c(servers: int, offered: float) -> float:
    blocked = erlang_b(servers, offered)
    return blocked / (1 - offered / servers * (1 - blocked))


def erlang_a(servers: int, per_hour: float, handling_h: float, patience_h: float) -> float:
    """The share that abandons an M/M/c+M queue, from the stationary birth-death chain."""
    weight, weights = 1.0, [1.0]
    for present in range(1, 400):
        weight *= per_hour / (min(present, servers) / handling_h + max(present - servers, 0) / patience_h)
        weights.append(weight)
    waiting = sum(max(n - servers, 0) * w for n, w in enumerate(weights)) / sum(weights)
    return waiting / patience_h / per_hour


def mean_wait_s(night: Night) -> float:
    warm = night.played.arrived_at[0] > DOOR_WARM
    return float(night.played.wait_ms[0][warm].mean()) / 1000


# A formula that is itself wrong proves nothing: three values from textbooks' tables.


def test_the_formulas_give_the_tabulated_values() -> None:
    assert erlang_b(10, 8.0) == pytest.approx(0.1217, abs=5e-5)  # Erlang B table
    assert erlang_c(10, 8.0) == pytest.approx(0.4092, abs=5e-5)  # Erlang C table
    assert erlang_c(1, 0.7) == pytest.approx(0.7)  # M/M/1: a customer waits with probability rho
    assert erlang_a(10, 60, 8 / 60, 1e9) == pytest.approx(0, abs=1e-6)  # nobody abandons who waits forever
    assert erlang_a(10, 60, 8 / 60, 1e-9) == pytest.approx(erlang_b(10, 8.0), abs=1e-5)  # no patience: a loss system


# Check-in


@pytest.mark.parametrize(("stations", "utilization"), [(1, 0.7), (3, 0.7)])
def test_the_line_at_the_door_is_an_m_m_c_queue(tmp_path: Path, stations: int, utilization: float) -> None:
    service = stations * utilization * BETWEEN
    door = DOOR | {"checkin.stations": stations, "checkin.on_list": exponential(service)}
    waits = [mean_wait_s(night) for night in nights(tmp_path, door, PEOPLE)]
    theory = erlang_c(stations, stations * utilization) * service / (stations * (1 - utilization))
    agrees(waits, theory, within=0.08)


def test_with_constant_service_people_wait_half_as_long_as_with_exponential(tmp_path: Path) -> None:
    """M/D/1: Pollaczek-Khinchine with no variance of service."""
    utilization = 0.75
    service = utilization * BETWEEN
    door = DOOR | {"checkin.stations": 1, "checkin.on_list": f"{service:.3f} s"}
    waits = [mean_wait_s(night) for night in nights(tmp_path, door, PEOPLE, count=20)]
    agrees(waits, service * utilization / (2 * (1 - utilization)), within=0.06)


# The hotline


def called(night: Night) -> list[tuple[int, int]]:
    """(outcome, ms on hold) of each call after the warm-up."""
    return [
        (call.outcome, (call.answered if call.answered >= 0 else call.ended) - call.dialed)
        for call in night.played.each_call()
        if call.dialed > PHONE_WARM
    ]


def share(night: Night, *outcomes: Outcome) -> float:
    found = [outcome for outcome, _ in called(night)]
    return sum(outcome in outcomes for outcome in found) / len(found)


def hotline(operators: int, handling_min: float, **overrides: object) -> dict[str, object]:
    return PHONE | {
        "hotline.operators": [{"from": "00:00", "to": "+19d 00:00", "count": operators}],
        "hotline.handling.nuisance": exponential(60 * handling_min),
        **overrides,
    }


def test_strangers_call_in_a_poisson_process(tmp_path: Path) -> None:
    played = nights(tmp_path, hotline(10, 1), people=20, count=3)
    for night in played:
        gaps = np.diff([call.dialed for call in night.played.each_call()]) / HOUR * CALLS_PER_HOUR
        assert stats.kstest(gaps, "expon").pvalue > 0.001
        assert abs(np.corrcoef(gaps[:-1], gaps[1:])[0, 1]) < 4 / np.sqrt(len(gaps))


def test_without_a_place_to_wait_calls_are_lost_as_erlang_b_says(tmp_path: Path) -> None:
    played = nights(tmp_path, hotline(3, 2, **{"hotline.lines": 3}), people=20, count=16)
    agrees([share(night, Outcome.BUSY) for night in played], erlang_b(3, 2.0), within=0.05)


def test_patient_callers_hold_as_erlang_c_says(tmp_path: Path) -> None:
    played = nights(tmp_path, hotline(3, 1.8), people=20)
    delayed = [sum(hold > 0 for _, hold in called(night)) / len(called(night)) for night in played]
    agrees(delayed, erlang_c(3, 1.8), within=0.05)
    holds = [sum(hold for _, hold in called(night)) / len(called(night)) / MINUTE for night in played]
    agrees(holds, erlang_c(3, 1.8) * 1.8 / (3 - 1.8), within=0.09)


def test_impatient_callers_hang_up_as_erlang_a_says(tmp_path: Path) -> None:
    impatient = hotline(3, 3, **{"hotline.patience.others": exponential(60 * 2)})
    played = nights(tmp_path, impatient, people=20, count=16)
    agrees([share(night, Outcome.HUNG_UP) for night in played], erlang_a(3, 60, 3 / 60, 2 / 60), within=0.05)


def test_limited_lines_are_a_queue_with_a_limited_room(tmp_path: Path) -> None:
    """M/M/c/K: 3 operators, 5 lines; blocked with the probability that all lines are taken."""
    played = nights(tmp_path, hotline(3, 3, **{"hotline.lines": 5}), people=20, count=24)
    weights = [1.0]
    for in_all in range(1, 6):
        weights.append(weights[-1] * 3 / min(in_all, 3))
    agrees([share(night, Outcome.BUSY) for night in played], weights[5] / sum(weights), within=0.05)
