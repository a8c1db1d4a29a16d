"""How many people come, when, and what they need at the door. Compiled; every engine calls these functions.

Knows nothing of lines and stations.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from simulation.compiled import kernel
from simulation.night.luck import happens
from simulation.night.order import Stream
from simulation.randomness import Integers, bits, chance, quantile, words

_MOST_FACTOR = 1_000_000_000  # in millionths: a thousand times as many people; keeps every product below 2**62

LISTED, REGISTERS, MISSING = 0, 1, 2  # what a person needs; MISSING: looked up first, then registered

_TURNOUT = int(Stream.LOCAL_TURNOUT)
_ROUNDING = int(Stream.ROUNDING)
_AT_THE_DOOR = int(Stream.ARRIVAL)  # and the three streams that follow it
_WRONG_LINE = int(Stream.WRONG_LINE)
_WHICH_LINE = int(Stream.WHICH_LINE)
_LOOK_UP = int(Stream.LOOK_UP)
_REDIRECT = int(Stream.REDIRECT)
_REGISTERING_SHARE = int(Stream.REGISTERING_SHARE)
_FORMS_SHORT = int(Stream.FORMS_SHORT)
_FORMS_PRINTED = int(Stream.FORMS_PRINTED)


class AtTheDoor(NamedTuple):
    """Tonight's check-in: clock times in ms, shares in 2**-32, quantile tables."""

    doors: int
    call_to_order: int
    resolution: int
    missing: int
    wrong: int
    short: int  # share of the larger precincts that printed too few forms
    above_people: int
    arrivals: Integers
    on_list: Integers
    registration: Integers
    look_up: Integers
    redirect: Integers
    registering: Integers
    printed: Integers
    reprint: Integers


class Needs(NamedTuple):
    """What each person of a precinct brings to the door, int64[people]; times in ms."""

    arrives: Integers
    needs: Integers  # LISTED, REGISTERS or MISSING
    service: Integers  # the time at the station that ends check-in
    first_service: Integers  # of the look-up of a MISSING person
    wrong_line: (
        Integers  # 0, or 1 + the number, among the others, of the line to stand in first; above 2**16: until noticed
    )
    position: Integers  # 32 bits that rise with `arrives`

    @classmethod
    def of(cls, people: int) -> Needs:
        """Room for so many people."""
        return cls(*np.zeros((len(cls._fields), people), np.int64))

    def first(self, people: int) -> Needs:
        """The first of them."""
        return Needs(*(values[:people] for values in self))


def rescaled(attendance: Integers, people: int) -> Integers:
    """`attendance` scaled to a total of `people` by largest remainder; equal remainders in the roster's order."""
    total = int(attendance.sum())
    if total == 0:
        return attendance.copy()
    shares = attendance * people
    scaled = shares // total
    by_remainder = np.argsort(-(shares % total), kind="stable")
    scaled[by_remainder[: people - int(scaled.sum())]] += 1
    return scaled


@kernel
def turnout(
    seed: int,
    night: int,
    places: Integers,
    expected: Integers,
    statewide: int,
    local_spread: Integers,
    most: int,
    people: Integers,
) -> None:
    """Fill people[sites]: those expected, times the state's and the precinct's factor (millionths), rounded by luck."""
    for site in range(len(places)):
        local = quantile(local_spread, bits(seed, night, places[site], 0, _TURNOUT, 0))
        factor = min(statewide, _MOST_FACTOR) * min(local, _MOST_FACTOR) // 1_000_000
        scaled = min(expected[site], most) * factor  # in millionths
        luck = bits(seed, night, places[site], 0, _ROUNDING, 0) * 1_000_000 >> 32
        people[site] = min((scaled + luck) // 1_000_000, most)


@kernel
def at_the_door(
    seed: int, night: int, place: int, people: int, other_lines: int, tonight: AtTheDoor, found: Needs
) -> int:
    """Fill in what the `people` of a precinct, whose building has `other_lines`, bring; how many need a form."""
    half = tonight.resolution // 2
    tick = tonight.resolution
    registering = quantile(tonight.registering, bits(seed, night, place, 0, _REGISTERING_SHARE, 0))
    open_for = tonight.call_to_order - tonight.doors
    position, registers, missing, service = found.position, found.wrong_line, found.first_service, found.service
    words(seed, night, place, _AT_THE_DOOR, 0, people, position, registers, missing, service)
    forms = 0
    for person in range(people):
        at = tonight.doors + (open_for * quantile(tonight.arrivals, position[person]) >> 32)
        if tick > 1:
            at = (at + half) // tick * tick
        found.arrives[person] = min(at, tonight.call_to_order)
        need = LISTED
        look_up = 0
        if chance(tonight.missing, missing[person]):
            need = MISSING
            look_up = quantile(tonight.look_up, bits(seed, night, place, person, _LOOK_UP, 0))
        elif chance(registering, registers[person]):
            need = REGISTERS
        found.needs[person] = need
        forms += need != LISTED
        at_station = quantile(tonight.on_list if need == LISTED else tonight.registration, service[person])
        detour = 0
        if other_lines > 0 and happens(seed, night, tonight.wrong, place, person, _WRONG_LINE, 0):
            which = bits(seed, night, place, person, _WHICH_LINE, 0) * other_lines >> 32
            noticed = quantile(tonight.redirect, bits(seed, night, place, person, _REDIRECT, 0))
            detour = ((noticed + half) // tick * tick) << 16 | (which + 1)
        if tick > 1:
            at_station = (at_station + half) // tick * tick
            look_up = (look_up + half) // tick * tick
        found.service[person] = at_station
        found.first_service[person] = look_up
        found.wrong_line[person] = detour
    return forms


@kernel
def forms_there(seed: int, night: int, place: int, people: int, needed: int, tonight: AtTheDoor) -> int:
    """How many registration forms a precinct printed; -1 for as many as it takes."""
    if people <= tonight.above_people or not happens(seed, night, tonight.short, place, 0, _FORMS_SHORT, 0):
        return -1
    share = quantile(tonight.printed, bits(seed, night, place, 0, _FORMS_PRINTED, 0))
    return max(1, needed * share >> 32)
