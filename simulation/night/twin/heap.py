"""A binary heap of events by (time, key), and the log that they write, over arrays of fixed size.

Whatever grows beyond its array is told by `room`: the caller then plays again with larger arrays. Compiled.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from simulation.compiled import kernel
from simulation.night.events import NAMES
from simulation.randomness import Integers

FULL = 0  # of `Agenda.count`: 1 where something did not find room
SIZE = 1  # events in the heap
LOGGED = 2  # rows in the log; -1 where none is kept
RANK = 3  # of the event that is happening


class Agenda(NamedTuple):
    """What is due, and the log: arrays of one length each."""

    at: Integers
    key: Integers  # see `order.event_key`
    what: Integers  # a number that the event needs: a call, a part of the evening
    log: Integers  # (rows, fields of events.Event)
    count: Integers

    @classmethod
    def with_room(cls, events: int, rows: int) -> Agenda:
        """An empty agenda; no `rows`: no log."""
        count = np.zeros(4, np.int64)
        count[LOGGED] = 0 if rows else -1
        at, key, what = np.zeros((3, events), np.int64)
        return cls(at, key, what, np.zeros((rows, len(NAMES)), np.int64), count)


@kernel
def push(agenda: Agenda, when: int, key: int, number: int) -> None:
    """Have an event happen at `when`."""
    at, keys, what, count = agenda.at, agenda.key, agenda.what, agenda.count
    slot = count[SIZE]
    if slot == len(at):
        count[FULL] = 1
        return
    count[SIZE] = slot + 1
    while slot > 0:
        parent = (slot - 1) >> 1
        if at[parent] < when or (at[parent] == when and keys[parent] <= key):
            break
        at[slot], keys[slot], what[slot] = at[parent], keys[parent], what[parent]
        slot = parent
    at[slot], keys[slot], what[slot] = when, key, number


@kernel
def pop(agenda: Agenda) -> tuple[int, int, int]:
    """Take the next event: time, key and number."""
    at, keys, what, count = agenda.at, agenda.key, agenda.what, agenda.count
    first = at[0], keys[0], what[0]
    size = count[SIZE] - 1
    count[SIZE] = size
    when, key, number = at[size], keys[size], what[size]
    slot = 0
    while True:
        child = 2 * slot + 1
        if child >= size:
            break
        other = child + 1
        if other < size and (at[other] < at[child] or (at[other] == at[child] and keys[other] < keys[child])):
            child = other
        if when < at[child] or (when == at[child] and key <= keys[child]):
            break
        at[slot], keys[slot], what[slot] = at[child], keys[child], what[child]
        slot = child
    at[slot], keys[slot], what[slot] = when, key, number
    return first


@kernel
def tell(agenda: Agenda, now: int, kind: int, site: int, entity: int, attempt: int, value: int) -> None:
    """Write a row of the log, where one is kept."""
    row = agenda.count[LOGGED]
    if row < 0:
        return
    if row == len(agenda.log):
        agenda.count[FULL] = 1
        return
    line = agenda.log[row]
    line[0], line[1], line[2], line[3] = now, agenda.count[RANK], kind, site
    line[4], line[5], line[6] = entity, attempt, value
    agenda.count[LOGGED] = row + 1
