"""Check-in at every building, compiled: the same lines, stations and forms as in `model.checkin`, in one event loop.

Buildings do not touch each other: one after the other is drawn and played in the same few arrays.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

import numpy as np

from simulation.compiled import inlined_kernel, inner_kernel, kernel
from simulation.night.luck import duration
from simulation.night.order import Kind, Rank, Stream, entity_of, event_key, rank_of
from simulation.night.people import LISTED, MISSING, AtTheDoor, Needs, at_the_door, forms_there
from simulation.night.twin.heap import Count, pop, push, settle, tell
from simulation.randomness import Integers

_SERVICE_ENDS = int(Rank.SERVICE_ENDS)
_FORMS_ARRIVE = int(Rank.FORMS_ARRIVE)
_JOINS_LINE = int(Rank.JOINS_LINE)
_JOINED = int(Kind.JOINED)
_SERVED = int(Kind.SERVED)
_FORMS_RAN_OUT = int(Kind.FORMS_RAN_OUT)
_FORMS_CAME = int(Kind.FORMS_CAME)
_CHECKED_IN = int(Kind.CHECKED_IN)
_REPRINT = int(Stream.REPRINT)

_PERSON_BITS = 24  # below an entity's line, as in `model.checkin`
_PERSON_MASK = (1 << _PERSON_BITS) - 1
_NOBODY = -1

_IN_WRONG_LINE, _LOOKED_UP, _CHECKS_IN = 0, 1, 2  # stages of a person's way: the attempts of an event's key


class Buildings(NamedTuple):
    """Which precincts share a building: sites[begins[b] : begins[b + 1]], in the order of their lines."""

    begins: Integers
    sites: Integers

    @classmethod
    def of(cls, building: Integers) -> Buildings:
        """From each site's building; buildings in the order of their first site."""
        _, first, group = np.unique(building, return_index=True, return_inverse=True)
        turn = np.argsort(np.argsort(first))[group]  # of each site, its building's place in that order
        return cls(np.concatenate(([0], np.cumsum(np.bincount(turn)))), np.argsort(turn, kind="stable"))


class Person(IntEnum):
    """What is known of a person in the building: columns of int64[people, 8]."""

    LINE = 0  # his own
    STAGE = 1
    STANDS_IN = 2  # a line
    JOINED = 3  # ms
    WAIT = 4  # ms
    IN_AT = 5  # ms
    BEHIND = 6  # who stands behind him
    WANTS_FORM = 7  # 1 while he is in line for one


class Line(IntEnum):
    """What is known of a line: columns of int64[lines, 12]. People in it are a linked list, from first to last."""

    SITE = 0
    BEGINS = 1  # its first person, among the building's
    FREE = 2  # stations
    FORMS = 3  # -1: as many as it takes
    REPRINT = 4  # ms
    REGISTERED = 5
    RAN_OUT_AT = 6
    WAITING = 7
    WAITING_LAST = 8
    ASIDE = 9  # registrations that wait for forms
    ASIDE_LAST = 10
    TO_ALL = 11  # from a person's number in the building to his place among all people


@kernel
def play_doors(
    seed: int,
    night: int,
    places: Integers,
    people: Integers,
    offsets: Integers,
    stations: Integers,
    buildings: Buildings,
    tonight: AtTheDoor,
    due: Integers,
    log: Integers,
    tally: Integers,
    by_person: Integers,
    by_site: Integers,
) -> None:
    """Play check-in of every building.

    Fills by_person[3, people] with when each arrived, was in, and how long he stood in lines, and by_site[2, sites]
    with when forms ran out (-1: never) and when the last person was in. `due`, `log`, `tally`: see `heap`.
    """
    most_lines, most_people, most_stations = 0, 0, 0
    for building in range(len(buildings.begins) - 1):
        together, tables = 0, 0
        for number in range(buildings.begins[building], buildings.begins[building + 1]):
            together += people[buildings.sites[number]]
        for number in range(buildings.begins[building], buildings.begins[building + 1]):
            tables += min(stations[buildings.sites[number]], together)
        most_stations = max(most_stations, tables)
        most_people = max(most_people, together)
        most_lines = max(most_lines, buildings.begins[building + 1] - buildings.begins[building])
    drawn = np.zeros((6, most_people), np.int64)
    crowd, lines = np.zeros((most_people, 8), np.int64), np.zeros((most_lines, 12), np.int64)
    line_of = np.zeros(most_people, np.int64)
    order, woken = np.zeros(most_people, np.int64), np.zeros(most_people, np.int64)
    counts, free_at = np.zeros(most_people + 1, np.int64), np.zeros(most_stations, np.int64)
    for building in range(len(buildings.begins) - 1):
        first, end = buildings.begins[building], buildings.begins[building + 1]
        total, together = 0, 0
        for number in range(first, end):
            together += people[buildings.sites[number]]
        for number in range(end - first):
            site = buildings.sites[first + number]
            place, count = places[site], people[site]
            upto = total + count
            needs = Needs(
                drawn[0, total:upto],
                drawn[1, total:upto],
                drawn[2, total:upto],
                drawn[3, total:upto],
                drawn[4, total:upto],
                drawn[5, total:upto],
            )
            needed = at_the_door(seed, night, place, count, end - first - 1, tonight, needs)
            lines[number, Line.SITE] = site
            lines[number, Line.BEGINS] = total
            lines[number, Line.FREE] = min(stations[site], together)  # more are never used
            lines[number, Line.FORMS] = forms_there(seed, night, place, count, needed, tonight)
            lines[number, Line.REPRINT] = 0
            if lines[number, Line.FORMS] >= 0:
                takes = duration(seed, night, tonight.resolution, tonight.reprint, place, 0, _REPRINT, 0)
                lines[number, Line.REPRINT] = takes
            lines[number, Line.REGISTERED] = 0
            lines[number, Line.RAN_OUT_AT] = -1
            lines[number, Line.WAITING] = lines[number, Line.ASIDE] = _NOBODY
            lines[number, Line.TO_ALL] = offsets[site] - total
            for person in range(total, upto):
                line_of[person] = number
            total = upto
        _in_order_of_arrival(drawn, total, order, counts)
        if tally[Count.LOGGED] < 0 and _is_plain(drawn, lines, end - first, total):
            _play_plain(drawn, line_of, lines, order, free_at, end - first, total, due, tally, by_person)
        else:
            for person in range(total):
                crowd[person, Person.LINE] = line_of[person]
                crowd[person, Person.WAIT] = 0
            _play_building(drawn, crowd, lines, order, woken, total, due, log, tally)
            for person in range(total):
                at = lines[line_of[person], Line.TO_ALL] + person
                by_person[0, at] = drawn[0, person]
                by_person[1, at] = crowd[person, Person.IN_AT]
                by_person[2, at] = crowd[person, Person.WAIT]
        for number in range(end - first):
            site = lines[number, Line.SITE]
            by_site[0, site] = lines[number, Line.RAN_OUT_AT]
            last = 0
            for at in range(offsets[site], offsets[site] + people[site]):
                last = max(last, by_person[1, at])
            by_site[1, site] = last


@inner_kernel
def _in_order_of_arrival(drawn: Integers, total: int, order: Integers, counts: Integers) -> None:
    """Fill order[total] with people by (arrival, number): into buckets by luck, which rises with it, then mended."""
    arrives, position = drawn[0], drawn[5]
    for bucket in range(total):
        counts[bucket] = 0
    for person in range(total):
        counts[position[person] * total >> 32] += 1
    begin = 0
    for bucket in range(total):
        size = counts[bucket]
        counts[bucket] = begin
        begin += size
    for person in range(total):
        bucket = position[person] * total >> 32
        order[counts[bucket]] = person
        counts[bucket] += 1
    for slot in range(1, total):
        person = order[slot]
        at = arrives[person]
        before = slot - 1
        while before >= 0 and (
            arrives[order[before]] > at or (arrives[order[before]] == at and order[before] > person)
        ):
            order[before + 1] = order[before]
            before -= 1
        order[before + 1] = person


@inner_kernel
def _is_plain(drawn: Integers, lines: Integers, most: int, total: int) -> bool:
    """Whether every line serves everybody in the order in which they join it, and no detour takes no time at all."""
    for number in range(most):
        if lines[number, Line.FORMS] >= 0 or lines[number, Line.FREE] < 1:
            return False
    for person in range(total):
        if drawn[1, person] == MISSING and drawn[3, person] == 0:
            return False
        if drawn[4, person] and drawn[4, person] >> 16 == 0:
            return False
    return True


@inner_kernel
def _play_plain(
    drawn: Integers,
    line_of: Integers,
    lines: Integers,
    order: Integers,
    free_at: Integers,
    most: int,
    total: int,
    due: Integers,
    tally: Integers,
    by_person: Integers,
) -> None:
    """The same building as `_play_building`, turn by turn: whoever joins next takes the station that is free first.

    So a turn is over as soon as it begins, and only those who will stand in line again are kept as events. That needs
    lines that nobody leaves (nobody steps aside for a form), and, for the order of those who join in one instant,
    that whoever joins again was served for some time.
    """
    tally[Count.EVENTS] = tally[Count.HOLE] = 0
    begin = 0
    for number in range(most):
        lines[number, Line.WAITING] = begin  # its stations, a heap by when they are free
        begin += lines[number, Line.FREE]
    for station in range(begin):
        free_at[station] = 0
    arrived = 0
    while True:
        settle(due, tally)
        if arrived < total and (tally[Count.EVENTS] == 0 or drawn[0, order[arrived]] < due[0, 0]):
            person = order[arrived]
            arrived += 1
            now = drawn[0, person]
            own = line_of[person]
            by_person[0, lines[own, Line.TO_ALL] + person] = now
            number, stage = own, _first_stage(drawn, person)
            if drawn[4, person]:
                wrong = (drawn[4, person] & 0xFFFF) - 1
                number, stage = wrong + (wrong >= number), _IN_WRONG_LINE
        elif tally[Count.EVENTS] > 0:
            now, _, follows = pop(due, tally)
            person, stage = follows >> 2, follows & 3
            number = own = line_of[person]
        else:
            return
        stations, count = lines[number, Line.WAITING], lines[number, Line.FREE]
        served = max(now, free_at[stations])
        at = lines[own, Line.TO_ALL] + person
        by_person[2, at] += served - now
        if stage == _CHECKS_IN:
            ends = served + drawn[2, person]
            by_person[1, at] = ends
            lines[own, Line.REGISTERED] += drawn[1, person] != LISTED
        else:
            follows = _CHECKS_IN
            if stage == _LOOKED_UP:
                ends = served + drawn[3, person]
            else:
                ends, follows = served + (drawn[4, person] >> 16), _first_stage(drawn, person)
            in_own = person - lines[own, Line.BEGINS]
            key = event_key(_SERVICE_ENDS, own << _PERSON_BITS | in_own, stage)
            push(due, tally, ends, key, person << 2 | follows)
            if tally[Count.FULL]:
                return
        slot = 0
        while True:
            child = 2 * slot + 1
            if child >= count:
                break
            if child + 1 < count and free_at[stations + child + 1] < free_at[stations + child]:
                child += 1
            if ends <= free_at[stations + child]:
                break
            free_at[stations + slot] = free_at[stations + child]
            slot = child
        free_at[stations + slot] = ends


@inner_kernel
def _play_building(
    drawn: Integers,
    crowd: Integers,
    lines: Integers,
    order: Integers,
    woken: Integers,
    total: int,
    due: Integers,
    log: Integers,
    tally: Integers,
) -> None:
    """The event loop: arrivals in their order beside the heap of services that end and forms that come.

    `woken` has room for those served from a line in one instant: they are told after whoever made room for them.
    """
    tally[Count.EVENTS] = tally[Count.HOLE] = 0
    arrived = 0
    while True:
        settle(due, tally)
        if arrived == total and tally[Count.EVENTS] == 0:
            return
        awake = 0
        if arrived < total and (tally[Count.EVENTS] == 0 or drawn[0, order[arrived]] < due[0, 0]):
            person = order[arrived]
            arrived += 1
            now = drawn[0, person]
            tally[Count.RANK] = _JOINS_LINE
            number, stage = crowd[person, Person.LINE], _first_stage(drawn, person)
            if drawn[4, person]:
                wrong = (drawn[4, person] & 0xFFFF) - 1
                number, stage = wrong + (wrong >= number), _IN_WRONG_LINE
            _join(drawn, crowd, lines, due, log, tally, now, person, number, stage)
        else:
            now, key, _ = pop(due, tally)
            rank, entity = rank_of(key), entity_of(key)
            tally[Count.RANK] = rank
            if rank == _FORMS_ARRIVE:
                number = 0
                while lines[number, Line.SITE] != entity:
                    number += 1
                lines[number, Line.FORMS] = -1  # the new stack is large enough
                aside = 0
                person = lines[number, Line.ASIDE]
                while person != _NOBODY:
                    aside += 1
                    person = crowd[person, Person.BEHIND]
                tell(log, tally, now, _FORMS_CAME, entity, 0, 4, aside)
                awake = _serve_next(crowd, lines, due, log, tally, now, number, woken)
            else:
                own = entity >> _PERSON_BITS
                person = lines[own, Line.BEGINS] + (entity & _PERSON_MASK)
                number = crowd[person, Person.STANDS_IN]
                lines[number, Line.FREE] += 1
                awake = _serve_next(crowd, lines, due, log, tally, now, number, woken)
                stage = crowd[person, Person.STAGE]
                if stage == _CHECKS_IN:
                    crowd[person, Person.IN_AT] = now
                    waited = crowd[person, Person.WAIT]
                    tell(log, tally, now, _CHECKED_IN, lines[own, Line.SITE], entity & _PERSON_MASK, 3, waited)
                else:
                    following = _CHECKS_IN if stage == _LOOKED_UP else _first_stage(drawn, person)
                    _join(drawn, crowd, lines, due, log, tally, now, person, own, following)
        for index in range(awake):
            _is_served(drawn, crowd, lines, due, log, tally, now, woken[index])
        if tally[Count.FULL]:
            return


@inlined_kernel
def _first_stage(drawn: Integers, person: int) -> int:
    return _LOOKED_UP if drawn[1, person] == MISSING else _CHECKS_IN


@inlined_kernel
def _join(
    drawn: Integers,
    crowd: Integers,
    lines: Integers,
    due: Integers,
    log: Integers,
    tally: Integers,
    now: int,
    person: int,
    number: int,
    stage: int,
) -> None:
    """Stand in a line, or come to a station at once."""
    own = crowd[person, Person.LINE]
    form = stage == _CHECKS_IN and drawn[1, person] != LISTED
    crowd[person, Person.STANDS_IN] = number
    crowd[person, Person.STAGE] = stage
    crowd[person, Person.JOINED] = now
    crowd[person, Person.WANTS_FORM] = form
    tell(log, tally, now, _JOINED, lines[own, Line.SITE], person - lines[own, Line.BEGINS], stage, number)
    if lines[number, Line.FREE] == 0:
        _append(crowd, lines, number, Line.WAITING, person)
    elif form and lines[number, Line.FORMS] == 0:
        _append(crowd, lines, number, Line.ASIDE, person)
    else:
        _take(lines, due, log, tally, now, number, form)
        _is_served(drawn, crowd, lines, due, log, tally, now, person)


@inlined_kernel
def _append(crowd: Integers, lines: Integers, number: int, first: int, person: int) -> None:
    """Stand at the end of a linked list, whose column is `first`; the next column is its last person."""
    crowd[person, Person.BEHIND] = _NOBODY
    if lines[number, first] == _NOBODY:
        lines[number, first] = person
    else:
        crowd[lines[number, first + 1], Person.BEHIND] = person
    lines[number, first + 1] = person


@inlined_kernel
def _is_served(
    drawn: Integers,
    crowd: Integers,
    lines: Integers,
    due: Integers,
    log: Integers,
    tally: Integers,
    now: int,
    person: int,
) -> None:
    """A person is at the station: the service will end."""
    crowd[person, Person.WAIT] += now - crowd[person, Person.JOINED]
    own, stage = crowd[person, Person.LINE], crowd[person, Person.STAGE]
    in_own = person - lines[own, Line.BEGINS]
    tell(log, tally, now, _SERVED, lines[own, Line.SITE], in_own, stage, crowd[person, Person.STANDS_IN])
    if stage == _CHECKS_IN:
        takes = drawn[2, person]
    elif stage == _LOOKED_UP:
        takes = drawn[3, person]
    else:
        takes = drawn[4, person] >> 16
    push(due, tally, now + takes, event_key(_SERVICE_ENDS, own << _PERSON_BITS | in_own, stage), 0)


@inlined_kernel
def _serve_next(
    crowd: Integers,
    lines: Integers,
    due: Integers,
    log: Integers,
    tally: Integers,
    now: int,
    number: int,
    woken: Integers,
) -> int:
    """Free stations take whoever waits longest and can be served; how many are `woken`."""
    awake = 0
    while lines[number, Line.FREE] > 0:
        if lines[number, Line.ASIDE] != _NOBODY and lines[number, Line.FORMS] != 0:
            person = lines[number, Line.ASIDE]
            lines[number, Line.ASIDE] = crowd[person, Person.BEHIND]
        elif lines[number, Line.WAITING] != _NOBODY:
            person = lines[number, Line.WAITING]
            lines[number, Line.WAITING] = crowd[person, Person.BEHIND]
            if crowd[person, Person.WANTS_FORM] and lines[number, Line.FORMS] == 0:
                _append(crowd, lines, number, Line.ASIDE, person)
                continue
        else:
            break
        _take(lines, due, log, tally, now, number, crowd[person, Person.WANTS_FORM] > 0)
        woken[awake] = person
        awake += 1
    return awake


@inlined_kernel
def _take(lines: Integers, due: Integers, log: Integers, tally: Integers, now: int, number: int, form: bool) -> None:
    """Occupy a station, and take a form from the stack; the last one sends somebody for more."""
    lines[number, Line.FREE] -= 1
    if not form:
        return
    lines[number, Line.REGISTERED] += 1
    if lines[number, Line.FORMS] > 0:
        lines[number, Line.FORMS] -= 1
        if lines[number, Line.FORMS] == 0:
            lines[number, Line.RAN_OUT_AT] = now
            site = lines[number, Line.SITE]
            tell(log, tally, now, _FORMS_RAN_OUT, site, 0, 4, lines[number, Line.REGISTERED])
            push(due, tally, now + lines[number, Line.REPRINT], event_key(_FORMS_ARRIVE, site, 0), 0)
