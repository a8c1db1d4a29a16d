"""The evening of each precinct from the call to order to a signed worksheet: who chairs, and how long each part takes.

Compiled; every engine calls `describe`. Knows nothing of what people vote for.
"""

from __future__ import annotations

from typing import NamedTuple

from simulation.compiled import kernel
from simulation.night.luck import duration, happens, slowed, ticks
from simulation.night.order import Stream
from simulation.randomness import Integers, bits, quantile

_MOVE = int(Stream.MOVE)
_OPENING = int(Stream.OPENING)
_RECOUNT = int(Stream.RECOUNT)
_MISCOUNT = int(Stream.MISCOUNT)
_MISCOUNTED_PEOPLE = int(Stream.MISCOUNTED_PEOPLE)
_FIRST_ALIGNMENT = int(Stream.FIRST_ALIGNMENT)
_REALIGNMENT = int(Stream.REALIGNMENT)
_AFTERWARDS = int(Stream.AFTERWARDS)
_CHAIR_MISSING = int(Stream.CHAIR_MISSING)
_DRAFTED_AFTER = int(Stream.DRAFTED_AFTER)
_UNTRAINED = int(Stream.UNTRAINED)
_LATE = int(Stream.LATE)
_LATE_BY = int(Stream.LATE_BY)

MOST_COUNTS = 3
NORMAL_PACE = 1_000_000  # a factor of 1


class Tonight(NamedTuple):
    """Assumptions and quantile tables of one night: shares in 2**-32, tables and `count_per_person` in ms."""

    missing: int
    untrained: int
    late: int
    slowdown: int  # a factor, in millionths
    recount: int
    miscount: int
    count_per_person: int
    drafted_after: Integers
    late_by: Integers
    move: Integers
    opening: Integers
    miscounted_people: Integers
    first: Integers
    realignment: Integers
    afterwards: Integers


class Room(NamedTuple):
    """One precinct's evening; times in ms."""

    chair_missing: int  # 1: somebody was drafted on the spot
    untrained: int
    chair_there: int  # a clock time: nothing begins without one
    move: int  # the room was too small
    opening: int
    counts: int
    one_count: int  # its duration
    counted: int  # people counted: the N of the threshold
    first: int
    realignment: int
    afterwards: int


@kernel
def describe(
    seed: int,
    night: int,
    resolution: int,
    call_to_order: int,
    places: Integers,
    people: Integers,
    capacity: Integers,
    tonight: Tonight,
    rooms: Integers,
) -> None:
    """Fill `rooms`, int64[sites, len(Room._fields)], from `places`, `people` and `capacity` (0: no limit known)."""
    for site in range(len(places)):
        place = places[site]
        missing = happens(seed, night, tonight.missing, place, 0, _CHAIR_MISSING, 0)
        untrained = missing or happens(seed, night, tonight.untrained, place, 0, _UNTRAINED, 0)
        delay = 0
        if missing:
            delay = duration(seed, night, resolution, tonight.drafted_after, place, 0, _DRAFTED_AFTER, 0)
        elif happens(seed, night, tonight.late, place, 0, _LATE, 0):
            delay = duration(seed, night, resolution, tonight.late_by, place, 0, _LATE_BY, 0)
        miscounted = happens(seed, night, tonight.miscount, place, 0, _MISCOUNT, 0)
        counts = 1
        while counts < MOST_COUNTS and (
            miscounted or happens(seed, night, tonight.recount, place, 0, _RECOUNT, counts)
        ):
            counts += 1
        too_many = 0
        if miscounted:
            too_many = quantile(tonight.miscounted_people, bits(seed, night, place, 0, _MISCOUNTED_PEOPLE, 0))
        move = 0
        if 0 < capacity[site] < people[site]:
            move = duration(seed, night, resolution, tonight.move, place, 0, _MOVE, 0)
        opening = duration(seed, night, resolution, tonight.opening, place, 0, _OPENING, 0)
        first = duration(seed, night, resolution, tonight.first, place, 0, _FIRST_ALIGNMENT, 0)
        again = duration(seed, night, resolution, tonight.realignment, place, 0, _REALIGNMENT, 0)
        afterwards = duration(seed, night, resolution, tonight.afterwards, place, 0, _AFTERWARDS, 0)
        pace = tonight.slowdown if untrained else NORMAL_PACE
        rooms[site, 0] = missing
        rooms[site, 1] = untrained
        rooms[site, 2] = call_to_order + delay
        rooms[site, 3] = move
        rooms[site, 4] = ticks(slowed(opening, pace), resolution)
        rooms[site, 5] = counts
        rooms[site, 6] = ticks(slowed(tonight.count_per_person * people[site], pace), resolution)
        rooms[site, 7] = people[site] + too_many
        rooms[site, 8] = ticks(slowed(first, pace), resolution)
        rooms[site, 9] = ticks(slowed(again, pace), resolution)
        rooms[site, 10] = ticks(slowed(afterwards, pace), resolution)
