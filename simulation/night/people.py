"""How many people come, when, and what they need at the door. Compiled; every engine calls these functions.

Knows nothing of lines and stations.
"""

from __future__ import annotations

import numpy as np

from simulation.compiled import kernel
from simulation.night.order import Stream
from simulation.randomness import Integers, bits, chance, quantile

_MOST_FACTOR = 1_000_000_000  # in millionths: a thousand times as many people; keeps every product below 2**62

LISTED, REGISTERS, MISSING = 0, 1, 2  # what a person needs; MISSING: looked up first, then registered

_TURNOUT = int(Stream.LOCAL_TURNOUT)
_ROUNDING = int(Stream.ROUNDING)
_ARRIVAL = int(Stream.ARRIVAL)
_REGISTERS = int(Stream.REGISTERS)
_MISSING = int(Stream.MISSING_FROM_LIST)
_WRONG_LINE = int(Stream.WRONG_LINE)
_WHICH_LINE = int(Stream.WHICH_LINE)
_SERVICE = int(Stream.SERVICE)
_LOOK_UP = int(Stream.LOOK_UP)
_REDIRECT = int(Stream.REDIRECT)


def rescaled(attendance: Integers, people: int) -> Integers:
    """`attendance` scaled to a total of `people` by largest remainder; equal remainders in the roster's order."""
    total = int(attendance.sum())
    if total == 0:
        return attendance.copy()
    shares = [int(n) * people for n in attendance]
    scaled = np.array([share // total for share in shares], dtype=np.int64)
    by_remainder = sorted(range(len(shares)), key=lambda site: -(shares[site] % total))
    scaled[by_remainder[: people - int(scaled.sum())]] += 1
    return scaled


@kernel
def tonight(seed: int, night: int, place: int, expected: int, statewide: int, local_spread: Integers, most: int) -> int:
    """People at one precinct tonight: expected, times the state's and its own factor (millionths), rounded by luck."""
    local = quantile(local_spread, bits(seed, night, place, 0, _TURNOUT, 0))
    factor = min(statewide, _MOST_FACTOR) * min(local, _MOST_FACTOR) // 1_000_000
    scaled = min(expected, most) * factor  # in millionths
    luck = bits(seed, night, place, 0, _ROUNDING, 0) * 1_000_000 >> 32
    return min((scaled + luck) // 1_000_000, most)


@kernel
def at_the_door(
    seed: int,
    night: int,
    place: int,
    doors: int,
    call_to_order: int,
    resolution: int,
    other_lines: int,
    registering: int,
    missing_share: int,
    wrong_share: int,
    arrivals: Integers,
    on_list: Integers,
    registration: Integers,
    look_up: Integers,
    redirect: Integers,
    arrives: Integers,
    needs: Integers,
    service: Integers,
    first_service: Integers,
    wrong_line: Integers,
) -> int:
    """Fill in, for each person of a precinct (int64[people]), what the evening at the door will need to know.

    `arrives` in ms; `needs` LISTED, REGISTERS or MISSING; `service` the time at the station that ends check-in;
    `first_service` the time of the look-up of a MISSING person; `wrong_line` 0, or 1 + the number among `other_lines`
    of the line to stand in first, with the time to notice it packed above 2**16. Returns how many need a form.
    """
    half = resolution // 2
    forms = 0
    for person in range(len(arrives)):
        position = quantile(arrivals, bits(seed, night, place, person, _ARRIVAL, 0))  # 0 .. 2**32
        at = doors + ((call_to_order - doors) * position >> 32)
        arrives[person] = min((at + half) // resolution * resolution, call_to_order)
        need = LISTED
        if chance(missing_share, bits(seed, night, place, person, _MISSING, 0)):
            need = MISSING
            looked = quantile(look_up, bits(seed, night, place, person, _LOOK_UP, 0))
            first_service[person] = (looked + half) // resolution * resolution
        elif chance(registering, bits(seed, night, place, person, _REGISTERS, 0)):
            need = REGISTERS
        needs[person] = need
        forms += need != LISTED
        luck = bits(seed, night, place, person, _SERVICE, 0)
        at_station = quantile(on_list if need == LISTED else registration, luck)
        service[person] = (at_station + half) // resolution * resolution
        if other_lines > 0 and chance(wrong_share, bits(seed, night, place, person, _WRONG_LINE, 0)):
            which = bits(seed, night, place, person, _WHICH_LINE, 0) * other_lines >> 32
            noticed = quantile(redirect, bits(seed, night, place, person, _REDIRECT, 0))
            wrong_line[person] = ((noticed + half) // resolution * resolution) << 16 | (which + 1)
    return forms
