"""Sums over all people of a night, compiled: what one person after the other would be too slow for in Python."""

from __future__ import annotations

from simulation.compiled import kernel
from simulation.night.records import differs
from simulation.randomness import Integers


@kernel
def count_by_time(times: Integers, start: int, step: int, counts: Integers) -> None:
    """Add to counts[points] how many of `times` lie at or before start, start + step, start + 2 step, ..."""
    last = len(counts) - 1
    for at in times:
        point = max(0, (at - start + step - 1) // step)
        if point <= last:
            counts[point] += 1
    for point in range(1, last + 1):
        counts[point] += counts[point - 1]


@kernel
def by_precinct(
    offsets: Integers, wait_ms: Integers, in_at: Integers, late: int, longest: Integers, after: Integers, last: Integers
) -> None:
    """Of each precinct: the longest wait, how many came in after `late`, and when the last one did (-1: nobody)."""
    for site in range(len(offsets) - 1):
        most, count, end = 0, 0, -1
        for person in range(offsets[site], offsets[site + 1]):
            most = max(most, wait_ms[person])
            count += in_at[person] > late
            end = max(end, in_at[person])
        longest[site], after[site], last[site] = most, count, end


@kernel
def wrong_records(received_at: Integers, reported: Integers, true: Integers, wrong: Integers) -> None:
    """Set wrong[sites] to 1 where a held record (int64[sites, 3, groups]) differs from what the room did."""
    for site in range(len(received_at)):
        wrong[site] = received_at[site] >= 0 and differs(reported[site], true[site])
