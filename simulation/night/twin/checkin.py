"""Check-in at every building, compiled: the same lines, stations and forms as in `model.checkin`, in one event loop.

Buildings do not touch each other: one after the other is drawn and played in the same few arrays.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from simulation.compiled import kernel
from simulation.night.luck import duration
from simulation.night.order import Kind, Rank, Stream, attempt_of, entity_of, event_key, rank_of
from simulation.night.people import LISTED, MISSING, AtTheDoor, Needs, at_the_door, forms_there
from simulation.night.twin.heap import FULL, RANK, SIZE, Agenda, pop, push, tell
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

# Stages of a person's way, the attempts of an event's key
_IN_WRONG_LINE, _LOOKED_UP, _CHECKS_IN = 0, 1, 2


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


class Lines(NamedTuple):
    """The lines of one building, int64[lines]. `waiting` and `aside` are linked lists of people: first and last."""

    site: Integers
    begins: Integers  # its first person, among the building's
    free: Integers
    forms: Integers  # -1: as many as it takes
    reprint: Integers  # ms
    registered: Integers
    ran_out_at: Integers
    waiting: Integers
    waiting_last: Integers
    aside: Integers  # registrations that wait for forms
    aside_last: Integers


class People(NamedTuple):
    """The people of one building, int64[people]."""

    line: Integers  # their own
    now_in: Integers  # the line in which they stand
    stage: Integers
    joined: Integers
    wait: Integers
    in_at: Integers
    behind: Integers  # who stands behind them


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
    agenda: Agenda,
    arrived_at: Integers,
    in_at: Integers,
    wait_ms: Integers,
    forms_ran_out_at: Integers,
    gone_at: Integers,
) -> None:
    """Play check-in of every building. Fills int64[people] and int64[sites]: `gone_at` is when the last person was in."""
    most_lines, most_people = 0, 0
    for building in range(len(buildings.begins) - 1):
        here = buildings.sites[buildings.begins[building] : buildings.begins[building + 1]]
        most_lines = max(most_lines, len(here))
        most_people = max(most_people, people[here].sum())
    drawn = np.zeros((6, most_people), np.int64)
    of_people = np.zeros((7, most_people), np.int64)
    of_lines = np.zeros((11, most_lines), np.int64)
    order, counts = np.zeros(most_people, np.int64), np.zeros(most_people + 1, np.int64)
    needs = Needs(drawn[0], drawn[1], drawn[2], drawn[3], drawn[4], drawn[5])
    crowd = People(
        of_people[0], of_people[1], of_people[2], of_people[3], of_people[4], of_people[5], of_people[6]
    )
    lines = Lines(
        of_lines[0], of_lines[1], of_lines[2], of_lines[3], of_lines[4], of_lines[5],
        of_lines[6], of_lines[7], of_lines[8], of_lines[9], of_lines[10],
    )  # fmt: skip
    for building in range(len(buildings.begins) - 1):
        first, end = buildings.begins[building], buildings.begins[building + 1]
        total = 0
        for number in range(end - first):
            site = buildings.sites[first + number]
            place, count = places[site], people[site]
            own = Needs(
                needs.arrives[total : total + count],
                needs.needs[total : total + count],
                needs.service[total : total + count],
                needs.first_service[total : total + count],
                needs.wrong_line[total : total + count],
                needs.position[total : total + count],
            )
            needed = at_the_door(seed, night, place, count, end - first - 1, tonight, own)
            lines.site[number] = site
            lines.begins[number] = total
            lines.free[number] = stations[site]
            lines.forms[number] = forms_there(seed, night, place, count, needed, tonight)
            lines.reprint[number] = 0
            if lines.forms[number] >= 0:
                lines.reprint[number] = duration(
                    seed, night, tonight.resolution, tonight.reprint, place, 0, _REPRINT, 0
                )
            lines.registered[number] = 0
            lines.ran_out_at[number] = -1
            lines.waiting[number] = lines.aside[number] = _NOBODY
            crowd.line[total : total + count] = number
            crowd.wait[total : total + count] = 0
            total += count
        _in_order_of_arrival(needs, total, order, counts)
        _play_building(needs, crowd, lines, end - first, order, total, agenda)
        for number in range(end - first):
            site, begin = lines.site[number], lines.begins[number]
            at, count = offsets[site], people[site]
            arrived_at[at : at + count] = needs.arrives[begin : begin + count]
            in_at[at : at + count] = crowd.in_at[begin : begin + count]
            wait_ms[at : at + count] = crowd.wait[begin : begin + count]
            forms_ran_out_at[site] = lines.ran_out_at[number]
            gone = 0
            for person in range(begin, begin + count):
                gone = max(gone, crowd.in_at[person])
            gone_at[site] = gone


@kernel
def _in_order_of_arrival(needs: Needs, total: int, order: Integers, counts: Integers) -> None:
    """Fill order[total] with people by (arrival, number): into buckets by their luck, which rises with it, then mended."""
    counts[: total + 1] = 0
    for person in range(total):
        counts[needs.position[person] * total >> 32] += 1
    begin = 0
    for bucket in range(total):
        size = counts[bucket]
        counts[bucket] = begin
        begin += size
    for person in range(total):
        bucket = needs.position[person] * total >> 32
        order[counts[bucket]] = person
        counts[bucket] += 1
    for slot in range(1, total):
        person = order[slot]
        at = needs.arrives[person]
        before = slot - 1
        while before >= 0 and (
            needs.arrives[order[before]] > at or (needs.arrives[order[before]] == at and order[before] > person)
        ):
            order[before + 1] = order[before]
            before -= 1
        order[before + 1] = person


@kernel
def _play_building(
    needs: Needs, crowd: People, lines: Lines, count: int, order: Integers, total: int, agenda: Agenda
) -> None:
    """The event loop: arrivals in their order beside the heap of services that end and forms that come."""
    agenda.count[SIZE] = 0
    arrived = 0
    woken = np.empty(total, np.int64)  # served from a line in this instant: told after whoever made room for them
    while arrived < total or agenda.count[SIZE] > 0:
        awake = 0
        if arrived < total and (agenda.count[SIZE] == 0 or needs.arrives[order[arrived]] < agenda.at[0]):
            person = order[arrived]
            arrived += 1
            now = needs.arrives[person]
            agenda.count[RANK] = _JOINS_LINE
            detour = needs.wrong_line[person]
            if detour:
                own = crowd.line[person]
                wrong = (detour & 0xFFFF) - 1
                wrong += wrong >= own
                _join(needs, crowd, lines, agenda, now, person, wrong, _IN_WRONG_LINE)
            else:
                _join(needs, crowd, lines, agenda, now, person, crowd.line[person], _first_stage(needs, person))
        else:
            now, key, _ = pop(agenda)
            agenda.count[RANK] = rank_of(key)
            if rank_of(key) == _FORMS_ARRIVE:
                number = attempt_of(key)
                for line in range(count):  # the key names the site
                    if lines.site[line] == entity_of(key):
                        number = line
                lines.forms[number] = -1  # the new stack is large enough
                left = 0
                person = lines.aside[number]
                while person != _NOBODY:
                    left += 1
                    person = crowd.behind[person]
                tell(agenda, now, _FORMS_CAME, lines.site[number], 0, 4, left)
                awake = _serve_next(needs, crowd, lines, agenda, now, number, woken)
            else:
                entity = entity_of(key)
                person = lines.begins[entity >> _PERSON_BITS] + (entity & _PERSON_MASK)
                number = crowd.now_in[person]
                lines.free[number] += 1
                awake = _serve_next(needs, crowd, lines, agenda, now, number, woken)
                stage = crowd.stage[person]
                if stage == _CHECKS_IN:
                    crowd.in_at[person] = now
                    own = crowd.line[person]
                    tell(
                        agenda, now, _CHECKED_IN, lines.site[own], person - lines.begins[own], 3, crowd.wait[person]
                    )
                else:
                    following = _CHECKS_IN if stage == _LOOKED_UP else _first_stage(needs, person)
                    _join(needs, crowd, lines, agenda, now, person, crowd.line[person], following)
        for index in range(awake):
            _is_served(needs, crowd, lines, agenda, now, woken[index])
        if agenda.count[FULL]:
            return


@kernel
def _first_stage(needs: Needs, person: int) -> int:
    return _LOOKED_UP if needs.needs[person] == MISSING else _CHECKS_IN


@kernel
def _needs_form(needs: Needs, crowd: People, person: int) -> bool:
    return crowd.stage[person] == _CHECKS_IN and needs.needs[person] != LISTED


@kernel
def _join(
    needs: Needs, crowd: People, lines: Lines, agenda: Agenda, now: int, person: int, number: int, stage: int
) -> None:
    """Stand in a line, or come to a station at once."""
    own = crowd.line[person]
    crowd.now_in[person] = number
    crowd.stage[person] = stage
    crowd.joined[person] = now
    tell(agenda, now, _JOINED, lines.site[own], person - lines.begins[own], stage, number)
    form = _needs_form(needs, crowd, person)
    if lines.free[number] > 0 and (not form or lines.forms[number] != 0):
        _take(lines, agenda, now, number, form)
        _is_served(needs, crowd, lines, agenda, now, person)
        return
    crowd.behind[person] = _NOBODY
    if lines.free[number] > 0:
        _append(crowd, lines.aside, lines.aside_last, number, person)
    else:
        _append(crowd, lines.waiting, lines.waiting_last, number, person)


@kernel
def _append(crowd: People, first: Integers, last: Integers, number: int, person: int) -> None:
    if first[number] == _NOBODY:
        first[number] = person
    else:
        crowd.behind[last[number]] = person
    last[number] = person


@kernel
def _is_served(needs: Needs, crowd: People, lines: Lines, agenda: Agenda, now: int, person: int) -> None:
    """A person is at the station: the service will end."""
    crowd.wait[person] += now - crowd.joined[person]
    own, stage = crowd.line[person], crowd.stage[person]
    in_own = person - lines.begins[own]
    tell(agenda, now, _SERVED, lines.site[own], in_own, stage, crowd.now_in[person])
    if stage == _CHECKS_IN:
        takes = needs.service[person]
    elif stage == _LOOKED_UP:
        takes = needs.first_service[person]
    else:
        takes = needs.wrong_line[person] >> 16
    push(agenda, now + takes, event_key(_SERVICE_ENDS, own << _PERSON_BITS | in_own, stage), 0)


@kernel
def _serve_next(
    needs: Needs, crowd: People, lines: Lines, agenda: Agenda, now: int, number: int, woken: Integers
) -> int:
    """Free stations take whoever waits longest and can be served; how many are `woken`."""
    awake = 0
    while lines.free[number] > 0:
        if lines.aside[number] != _NOBODY and lines.forms[number] != 0:
            person = lines.aside[number]
            lines.aside[number] = crowd.behind[person]
            form = True
        elif lines.waiting[number] != _NOBODY:
            person = lines.waiting[number]
            lines.waiting[number] = crowd.behind[person]
            form = _needs_form(needs, crowd, person)
            if form and lines.forms[number] == 0:
                crowd.behind[person] = _NOBODY
                _append(crowd, lines.aside, lines.aside_last, number, person)
                continue
        else:
            break
        _take(lines, agenda, now, number, form)
        woken[awake] = person
        awake += 1
    return awake


@kernel
def _take(lines: Lines, agenda: Agenda, now: int, number: int, form: bool) -> None:
    """Occupy a station, and take a form from the stack; the last one sends somebody for more."""
    lines.free[number] -= 1
    if not form:
        return
    lines.registered[number] += 1
    if lines.forms[number] > 0:
        lines.forms[number] -= 1
        if lines.forms[number] == 0:
            lines.ran_out_at[number] = now
            site = lines.site[number]
            tell(agenda, now, _FORMS_RAN_OUT, site, 0, 4, lines.registered[number])
            push(agenda, now + lines.reprint[number], event_key(_FORMS_ARRIVE, site, 0), 0)
