"""A binary heap of events by (time, key), and the log that they write, over arrays of fixed size. Compiled.

The heap is int64[events, 3]: when, `order.event_key`, and a number that says what else the event needs to know.
Whatever does not find room sets `Count.FULL`: the caller then plays again with larger arrays.
"""

from __future__ import annotations

from enum import IntEnum

from simulation.compiled import inlined_kernel, inner_kernel
from simulation.randomness import Integers


class Count(IntEnum):
    """Counters of a night, int64[len(Count)]."""

    FULL = 0  # 1 where something did not find room
    EVENTS = 1  # in the heap
    LOGGED = 2  # rows of the log; -1 where none is kept
    RANK = 3  # of the event that is happening
    CALLS = 4
    ON_DUTY = 5
    TALKING = 6
    HOLDING = 7
    FIRST_HOLDING = 8
    LAST_HOLDING = 9
    WAKING = 10  # how much was queued to go on in this instant
    AWAKE = 11  # how much of that went on
    STARTING = 12  # the same of what starts in this instant
    STARTED = 13
    READERS = 14  # free ones, at the inbox
    UNREAD_FIRST = 15
    UNREAD_LAST = 16
    REVIEWERS = 17  # free ones
    REVIEW_FIRST = 18
    REVIEW_LAST = 19
    MESSAGES = 20
    HOLE = 21  # 1 where the heap's first event was taken and its place not yet filled


@inner_kernel
def push(due: Integers, tally: Integers, when: int, key: int, number: int) -> None:
    """Have an event happen at `when`."""
    slot = tally[Count.EVENTS]
    if tally[Count.HOLE]:  # left by the event that is happening: most events cause one other
        tally[Count.HOLE] = 0
        _sink(due, slot, when, key, number)
        return
    if slot == len(due):
        tally[Count.FULL] = 1
        return
    tally[Count.EVENTS] = slot + 1
    while slot > 0:
        parent = (slot - 1) >> 1
        if due[parent, 0] < when or (due[parent, 0] == when and due[parent, 1] <= key):
            break
        due[slot, 0], due[slot, 1], due[slot, 2] = due[parent, 0], due[parent, 1], due[parent, 2]
        slot = parent
    due[slot, 0], due[slot, 1], due[slot, 2] = when, key, number


@inlined_kernel
def pop(due: Integers, tally: Integers) -> tuple[int, int, int]:
    """Take the next event: time, key and number. Before the next look at the heap, `settle` it."""
    tally[Count.HOLE] = 1
    return due[0, 0], due[0, 1], due[0, 2]


@inlined_kernel
def settle(due: Integers, tally: Integers) -> None:
    """Close the hole that an event left which caused no other."""
    if tally[Count.HOLE]:
        tally[Count.HOLE] = 0
        last = tally[Count.EVENTS] - 1
        tally[Count.EVENTS] = last
        _sink(due, last, due[last, 0], due[last, 1], due[last, 2])


@inner_kernel
def _sink(due: Integers, size: int, when: int, key: int, number: int) -> None:
    """Put an event at the top of a heap of `size`, and let it sink to where it belongs."""
    slot = 0
    while True:
        child = 2 * slot + 1
        if child >= size:
            break
        other = child + 1
        if other < size and (
            due[other, 0] < due[child, 0] or (due[other, 0] == due[child, 0] and due[other, 1] < due[child, 1])
        ):
            child = other
        if when < due[child, 0] or (when == due[child, 0] and key <= due[child, 1]):
            break
        due[slot, 0], due[slot, 1], due[slot, 2] = due[child, 0], due[child, 1], due[child, 2]
        slot = child
    due[slot, 0], due[slot, 1], due[slot, 2] = when, key, number


@inner_kernel
def tell(log: Integers, tally: Integers, now: int, kind: int, site: int, entity: int, attempt: int, value: int) -> None:
    """Write a row of the log (int64[rows, fields of events.Event]), where one is kept."""
    row = tally[Count.LOGGED]
    if row < 0:
        return
    if row == len(log):
        tally[Count.FULL] = 1
        return
    log[row, 0], log[row, 1], log[row, 2], log[row, 3] = now, tally[Count.RANK], kind, site
    log[row, 4], log[row, 5], log[row, 6] = entity, attempt, value
    tally[Count.LOGGED] = row + 1
