"""Schedules: what is due, when, and that workers share it without loss."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests import workload
from loadtests.traffic.evening import Evening, Failure, SiteEvening, Trouble, evening
from loadtests.workload import SECOND, Schedule, burst, constant, made, poisson, ramp, spike
from simulation.scenario import Scenario, load

KINDS: dict[str, Callable[[int], Schedule]] = {
    "constant": lambda seed: constant(37.5, 20),
    "poisson": lambda seed: poisson(50, 20, seed),
    "ramp": lambda seed: ramp(10, 90, 20, seed),
    "ramp down to nothing": lambda seed: ramp(90, 0, 20, seed),
    "spike": lambda seed: spike(10, 200, 20, at=5, length=3, seed=seed),
    "spike from nothing": lambda seed: spike(0, 200, 20, at=5, length=3, seed=seed),
    "burst": lambda seed: burst(40, 2.5, 20),
    "mixed": lambda seed: poisson(50, 20, seed).mixed({"login": 1, "report.open": 3}, seed),
}


@pytest.mark.parametrize("kind", KINDS)
def test_requests_are_due_in_order_and_within_the_schedule(kind: str) -> None:
    schedule = KINDS[kind](1)
    assert (np.diff(schedule.due_ns) >= 0).all()
    assert schedule.due_ns[0] >= 0
    assert schedule.due_ns[-1] < schedule.seconds * SECOND
    assert schedule.index.tolist() == list(range(len(schedule)))
    assert schedule.per_second().sum() == len(schedule)


@pytest.mark.parametrize("kind", KINDS)
def test_a_description_makes_the_same_schedule_anywhere(kind: str) -> None:
    schedule = KINDS[kind](3)
    assert schedule.spec is not None
    assert made(schedule.spec).fingerprint == schedule.fingerprint
    assert Schedule.from_bytes(schedule.to_bytes()).fingerprint == schedule.fingerprint


@given(kind=st.sampled_from(sorted(KINDS)), workers=st.integers(1, 9), seed=st.integers(0, 1000))
def test_the_parts_of_all_workers_are_the_whole_and_nothing_twice(kind: str, workers: int, seed: int) -> None:
    schedule = KINDS[kind](seed)
    parts = [schedule.part(k, workers) for k in range(workers)]
    assert sorted(np.concatenate([part.index for part in parts]).tolist()) == schedule.index.tolist()
    for part in parts:
        assert np.array_equal(part.due_ns, schedule.due_ns[part.index])
        assert np.array_equal(part.operation, schedule.operation[part.index])
        assert part.seconds == schedule.seconds


def test_a_part_that_no_worker_has_is_refused() -> None:
    with pytest.raises(ValueError, match="part 2 of 2: expected 0 to 1"):
        constant(10, 1).part(2, 2)


def test_constant_requests_stand_at_equal_distances() -> None:
    schedule = constant(500, 10)
    assert len(schedule) == 5000
    assert set(np.diff(schedule.due_ns)) == {2_000_000}
    assert schedule.rate == 500


def test_poisson_arrivals_have_the_rate_and_the_spread_of_exponential_gaps() -> None:
    schedule = poisson(1000, 200, seed=1)
    gaps = np.diff(schedule.due_ns) / SECOND
    assert schedule.rate == pytest.approx(1000, rel=0.01)
    assert gaps.std() / gaps.mean() == pytest.approx(1, abs=0.01)
    counts = schedule.per_second()
    assert counts.var() / counts.mean() == pytest.approx(1, abs=0.35)  # 200 seconds: a standard error of 0.1


def test_another_seed_is_other_luck_and_the_same_seed_the_same() -> None:
    assert poisson(50, 5, 1).fingerprint == poisson(50, 5, 1).fingerprint
    assert poisson(50, 5, 1).fingerprint != poisson(50, 5, 2).fingerprint


def test_a_longer_step_begins_as_a_shorter_one_does() -> None:
    short, long = poisson(100, 5, seed=4), poisson(100, 50, seed=4)
    assert np.array_equal(long.due_ns[: len(short)], short.due_ns)


def test_a_ramp_rises_along_a_straight_line() -> None:
    counts = ramp(0, 1000, 100, seed=1).per_second()
    expected = 10 * (np.arange(100) + 0.5)
    assert np.abs(counts - expected).max() < 5 * np.sqrt(1000)
    assert counts.sum() == pytest.approx(50_000, rel=0.02)


def test_a_spike_is_as_long_and_as_high_as_it_is_said_to_be() -> None:
    counts = spike(100, 2000, 30, at=10, length=5, seed=1).per_second()
    assert counts[10:15].mean() == pytest.approx(2000, rel=0.05)
    assert np.concatenate((counts[:10], counts[15:])).mean() == pytest.approx(100, rel=0.1)


def test_a_burst_is_due_all_at_once() -> None:
    schedule = burst(100, every=5, seconds=12)
    assert np.unique(schedule.due_ns, return_counts=True)[1].tolist() == [100, 100, 100]


def test_a_mix_has_its_shares_at_the_same_times() -> None:
    plain = poisson(1000, 20, seed=1)
    mixed = plain.mixed({"login": 0.2, "photo": 0.8}, seed=5)
    assert np.array_equal(mixed.due_ns, plain.due_ns)
    assert len(mixed.of("login")) / len(mixed) == pytest.approx(0.2, abs=0.02)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: constant(0, 10), "rate 0: expected more than 0"),
        (lambda: poisson(10, -1, 1), "seconds -1: expected more than 0"),
        (lambda: poisson(float("nan"), 1, 1), "rate nan: expected more than 0"),
        (lambda: ramp(0, 0, 10, 1), "highest 0: expected more than 0"),
        (lambda: ramp(-1, 5, 10, 1), "lowest -1: expected 0 or more"),
        (lambda: spike(1, 9, 10, at=8, length=4, seed=1), "does not fit into 10 s"),
        (lambda: constant(1, 1).mixed({"login": 0}, 1), "expected some share above 0"),
    ],
)
def test_a_schedule_that_cannot_be_is_refused_in_words(make: Callable[[], Schedule], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        make()


# A night


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Scenario:
    """A state of 120 precincts."""
    rows = ["county,precinct,kind,delegates,attendance,building,capacity,stations,district"]
    rows += [f"Polk,P{n},,{1 + n * 5 % 9},{10 + n * 7 % 120},,,2,{1 + n % 4}" for n in range(120)]
    roster = tmp_path_factory.mktemp("state") / "small.csv"
    roster.write_text("\n".join(rows) + "\n")
    return load("iowa-2020", {"turnout.people": "none", "app.login_fails": 0.3}, roster)


@pytest.fixture(scope="module")
def tonight(small: Scenario) -> Evening:
    return evening(small, seed=1, night=0, small_photos=True)


def count(schedule: Schedule, *operations: str) -> int:
    return len(schedule.of(*operations))


def test_a_night_has_every_step_of_every_chair_with_the_app(tonight: Evening) -> None:
    schedule = workload.night(tonight, speed=60)
    by_app = [each for each in tonight.sites if each.by_app]
    assert by_app
    for step in workload.STEPS:
        assert count(schedule, step) == len(by_app)
    assert count(schedule, "clerk") == 2 * len(tonight.keyed)
    assert count(schedule, "login") >= len(by_app)
    assert schedule.due_ns[0] == 0


def test_a_backend_that_takes_a_report_whole_gets_it_when_it_is_ready(tonight: Evening) -> None:
    schedule = workload.night(tonight, speed=60, operations=("login", "report", "photo"))
    by_app = [each for each in tonight.sites if each.by_app]
    assert count(schedule, "report") == count(schedule, "photo") == len(by_app)


def test_a_chair_signs_in_before_the_first_step(tonight: Evening) -> None:
    schedule = workload.night(tonight, speed=60)
    operations = np.array(schedule.operations)[schedule.operation]
    for each in [each for each in tonight.sites if each.by_app][:200]:
        assert operations[schedule.subject == each.number][0] == "login"


def test_a_night_at_twice_the_speed_takes_half_as_long(tonight: Evening) -> None:
    once, twice = (workload.night(tonight, speed) for speed in (30, 60))
    assert np.abs(once.due_ns - 2 * twice.due_ns).max() <= 2
    assert once.seconds == pytest.approx(2 * twice.seconds)


def test_a_night_is_shared_by_whole_sites(tonight: Evening) -> None:
    """So that a worker has the sessions of its chairs."""
    schedule = workload.night(tonight, speed=60, readers=50)
    parts = [schedule.part(k, 3) for k in range(3)]
    assert sum(map(len, parts)) == len(schedule)
    assert not set(parts[0].subject) & set(parts[1].subject)


def test_what_the_backend_does_not_have_and_what_is_due_too_late_is_left_out(tonight: Evening) -> None:
    half_an_hour = tonight.begins_at_ms + 1_800_000
    found = workload.night(tonight, 60, operations=("login", "report.open"), until_ms=half_an_hour)
    whole = workload.night(tonight, 60, operations=("login", "report.open"))
    assert 0 < len(found) < len(whole)
    assert set(found.operations) == {"login", "report.open"}
    assert found.seconds <= 1800 / 60


def test_an_attempt_that_failed_costs_another_sign_in(tonight: Evening) -> None:
    each = next(each for each in tonight.sites if each.by_app and not each.failures)
    between = (each.counted_at_ms + each.aligned_at_ms) // 2

    def logins(*failures: Failure) -> int:
        sites: tuple[SiteEvening, ...] = (replace(each, failures=failures),)
        return count(workload.night(replace(tonight, sites=sites), 60), "login")

    assert logins() == 1
    assert logins(Failure(between, Trouble.WRONG_PIN)) == 3, "first, the failed one, and once more"
    assert logins(Failure(between, Trouble.NO_ANSWER)) == 2, "nothing of it reached the backend"
    assert logins(Failure(each.counted_at_ms - 1000, Trouble.WRONG_PIN)) == 2


def test_readers_look_again_and_again_until_the_end(tonight: Evening) -> None:
    schedule = workload.night(tonight, 60, readers=20)
    looks = schedule.of("results")
    visit = tonight.visit(3)
    times = np.round(looks.due_ns[looks.subject == len(tonight.sites) + 3] * 60 / 1e6)
    assert np.abs(np.diff(times) - visit.every_ms).max() <= 1


def test_one_caucus_night_is_its_busiest_minute(small: Scenario) -> None:
    peak = workload.peak(small, nights=3, seed=1).per_s
    assert set(peak) == {*workload.FLOWS, "mix"}
    assert peak["results"] == 0, "nobody was said to read"
    assert 0 < peak["report"] <= peak["mix"] <= sum(peak.values()) - peak["mix"]
    assert peak == workload.peak(small, nights=3, seed=1).per_s


def test_the_busiest_minute_begins_at_any_second() -> None:
    at_ms = np.array([0, 59_000, 61_000, 62_000, 118_999, 119_001], np.int64)
    assert workload._busiest(at_ms) == 4  # from 59 s to 119 s
    assert workload._busiest(at_ms[:0]) == 0
