"""What follows from three clocks a request; and when a trial says nothing about the backend."""

from __future__ import annotations

import math

import numpy as np
import pytest

from loadtests.objectives import Trial as ReadByObjectives
from loadtests.trial import SECOND, Sample, Status, Trial

MS = SECOND // 1000


def sample(
    due: list[int],
    took_ms: list[float],
    late_ms: float = 0.0,
    status: int = 200,
    seconds: float = 10.0,
    cpu: dict[str, list[float]] | None = None,
) -> Sample:
    """Requests due at so many ms, answered so long after that."""
    at = np.array(due, np.int64) * MS
    size = len(due)
    return Sample(
        seconds=seconds,
        operations=("login", "photo"),
        index=np.arange(size),
        operation=np.arange(size) % 2,
        due=at,
        sent=at + int(late_ms * MS),
        done=at + (np.array(took_ms) * MS).astype(np.int64),
        status=np.full(size, status),
        ok=np.full(size, 200 <= status < 300),
        cpu=cpu or {"one": [0.1] * 10},
    )


def even(count: int, took_ms: float = 1.0, **more: float) -> Sample:
    return sample([10_000 * n // count for n in range(count)], [took_ms] * count, **more)  # type: ignore[arg-type]  # keywords of `sample`


def changed(of: Sample, rows: slice | int, **values: int) -> Sample:
    """The same with other values in some rows."""
    new = {}
    for name in ("sent", "done", "status", "ok"):
        row = getattr(of, name).copy()
        if name in values:
            row[rows] = values[name]
        new[name] = row
    return Sample(of.seconds, of.operations, of.index, of.operation, of.due, **new, cpu=of.cpu, problems=of.problems)


def test_a_trial_is_what_objectives_read() -> None:
    trial: ReadByObjectives = Trial(even(100))
    assert trial.requests == 100


def test_latency_counts_from_when_a_request_was_due_not_from_when_it_was_sent() -> None:
    """The generator's lateness is inside: hiding it would be coordinated omission by another name."""
    trial = Trial(even(100, took_ms=12, late_ms=8))
    assert trial.latency_s(0.5) == pytest.approx(0.012)
    assert trial.lateness_p99_s == pytest.approx(0.008)


@pytest.mark.parametrize(("q", "expected_ms"), [(0.5, 50), (0.99, 99), (1.0, 100), (0.991, 100), (0.0, 1)])
def test_a_quantile_is_the_least_latency_that_its_share_does_not_exceed(q: float, expected_ms: float) -> None:
    trial = Trial(sample(list(range(100)), [float(n) for n in range(100, 0, -1)]))
    assert trial.latency_s(q) == pytest.approx(expected_ms / 1000)


def test_what_failed_is_later_than_any_answer() -> None:
    trial = Trial(changed(even(100), slice(0, 2), status=503, ok=0))
    assert trial.error_share == pytest.approx(0.02)
    assert trial.goodput_share == pytest.approx(0.98)
    assert trial.latency_s(0.98) == pytest.approx(0.001)
    assert trial.latency_s(0.99) == math.inf
    assert trial.summary()["latency_s"]["p99"] is None, "JSON has no infinity"


def test_completed_is_what_was_answered_while_requests_were_due() -> None:
    trial = Trial(sample([0, 1000, 9000], [1, 1, 2000]))
    assert trial.completed_per_s == pytest.approx(0.2)
    assert trial.goodput_share == 1


def test_the_backlog_is_what_is_due_and_not_yet_answered() -> None:
    found = sample([0, 500, 1500, 2500], [100, 3000, 200, 5000], seconds=5)
    assert found.backlog().tolist() == [1, 1, 2, 1, 1]


def test_a_backlog_that_grows_is_told_from_one_that_stands() -> None:
    overloaded = Trial(sample(list(range(0, 10_000, 10)), [n * 2.0 for n in range(1000)]))
    calm = Trial(even(1000))
    assert overloaded.backlog_slope_per_s > 10
    assert overloaded.backlog_slope_p < 0.01
    assert calm.backlog_slope_p > 0.05


def test_hdr_histogram_holds_the_latencies_to_three_digits() -> None:
    found = sample(list(range(1000)), [float(n + 1) for n in range(1000)]).histogram()
    assert found.get_total_count() == 1000
    assert found.get_value_at_percentile(99) / 1e6 == pytest.approx(0.990, rel=0.001)


# Void


def test_a_trial_with_a_prompt_generator_counts() -> None:
    assert Trial(even(100, late_ms=9)).void is None


def test_a_late_generator_voids_the_trial_whatever_the_backend_did() -> None:
    assert Trial(even(1000, took_ms=5000, late_ms=11)).void == "the generator was late: p99 11.0 ms (more than 10 ms)"


def test_lateness_is_measured_by_the_objective_where_that_is_stricter() -> None:
    quick = Trial(even(100, late_ms=6), objective_s=0.1)
    assert quick.void == "the generator was late: p99 6.0 ms (more than 5 ms)"
    assert Trial(even(100, late_ms=6), objective_s=2.0).void is None
    assert Trial(even(100, late_ms=11), objective_s=2.0).void is not None


def test_one_busy_second_of_one_worker_voids_the_trial() -> None:
    cpu = {"one": [0.1] * 10, "two": [0.1] * 9 + [0.83]}
    assert (
        Trial(sample([0], [1], cpu=cpu)).void == "the generator was busy: 83% of a core in one second (more than 80%)"
    )


def test_requests_that_the_generator_could_not_send_are_not_blamed_on_the_backend() -> None:
    trial = Trial(changed(even(100), slice(0, 2), sent=-1, status=Status.UNABLE, ok=0))
    assert trial.void is not None
    assert "could not send 2.0%" in trial.void


def test_a_cap_that_is_too_small_for_a_healthy_backend_voids_the_trial() -> None:
    trial = Trial(changed(even(100), slice(0, 2), sent=-1, status=Status.DROPPED, ok=0))
    assert trial.void is not None
    assert "cap of requests under way is too small" in trial.void


def test_a_slow_backend_that_fills_the_cap_has_broken_and_the_trial_counts() -> None:
    trial = Trial(changed(even(100, took_ms=4000), slice(0, 20), sent=-1, status=Status.DROPPED, ok=0))
    assert trial.void is None
    assert trial.error_share == pytest.approx(0.2)


# Parts, and keeping


def parts_of(whole: Sample, workers: int) -> list[Sample]:
    found = []
    for k in range(workers):
        rows = {name: getattr(whole, name)[k::workers] for name in ("index", "operation", "due", "sent", "done")}
        rows |= {name: getattr(whole, name)[k::workers] for name in ("status", "ok")}
        found.append(Sample(whole.seconds, whole.operations, **rows, cpu={str(k): [0.5]}, problems={"reset": k}))
    return found


def test_the_samples_of_workers_are_put_together_in_the_order_of_the_schedule() -> None:
    whole = sample(list(range(100)), [float(n) for n in range(100)])
    merged = Sample.merged(parts_of(whole, 3)[::-1], 100)
    for name in ("index", "operation", "due", "sent", "done", "status", "ok"):
        assert np.array_equal(getattr(merged, name), getattr(whole, name))
    assert sorted(merged.cpu) == ["0", "1", "2"]
    assert merged.problems == {"reset": 3}


@pytest.mark.parametrize("kept", [[0, 1], [0, 1, 2, 2]])
def test_a_missing_or_doubled_part_is_not_a_sample(kept: list[int]) -> None:
    parts = parts_of(even(90), 3)
    with pytest.raises(ValueError, match="are not the 90 of the schedule"):
        Sample.merged([parts[k] for k in kept], 90)


def test_a_kept_sample_is_read_back_whole() -> None:
    kept = sample([0, 5, 9], [1, 2, 3], cpu={"one": [0.25, 0.5], "two": [0.125]})
    again = Sample.from_bytes(kept.to_bytes())
    assert Trial(again).summary() == Trial(kept).summary()
    assert again.cpu == kept.cpu


def test_one_operation_can_be_looked_at_alone() -> None:
    found = sample([0, 1, 2, 3], [1, 100, 1, 100])
    assert Trial(found.of("photo")).latency_s(0.5) == pytest.approx(0.1)
    assert Trial(found.of("login")).latency_s(0.5) == pytest.approx(0.001)


def test_a_trial_without_requests_says_nothing_wrong() -> None:
    trial = Trial(sample([], []))
    assert (trial.goodput_share, trial.latency_s(0.99), trial.void) == (1.0, 0.0, None)
