"""Operators by half hour: the slots that a plan fills, and the search for the fewest operators that are enough.

The search asks an oracle whether a rota is enough; it knows nothing of nights.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

from simulation.errors import InputError
from simulation.scenario.schema import Shift
from simulation.scenario.values import HOUR, MINUTE, format_clock

SLOT = 30 * MINUTE
Rota = tuple[int, ...]  # operators in each slot
_PEAKS = (0.15, 0.25, 0.35, 0.5, 0.7, 1.0)  # of the load, to which it is cut
_WORTH = 0.98  # of its hours: a rota with a higher peak must save as much, because people come for more than half hours
_SHARES = 32  # in which a load-shaped rota is scaled
_WHOLE = 4  # slots: blocks of as many and more are emptied first; larger ones are emptied or left alone
_FIRST_STEP = 16  # part of a block's operators that is taken away first


@dataclass(frozen=True)
class Slot:
    """A part of the night with a number of operators of its own."""

    start: int
    end: int

    @property
    def hours(self) -> float:
        """How long it is."""
        return (self.end - self.start) / HOUR

    @property
    def text(self) -> str:
        """From when to when."""
        return f"{format_clock(self.start)} to {format_clock(self.end)}"


class Oracle(Protocol):
    """Who knows whether a rota is enough."""

    def enough(self, rota: Rota) -> bool:
        """Never false where it is enough; may be true, for now, where it is not."""

    def surely_enough(self, rota: Rota) -> bool:
        """The truth. Where it is false, `enough` has learned to say so of this rota."""


def slots_of(shifts: Sequence[Shift]) -> list[Slot]:
    """Half hours from the first shift's start to the last one's end."""
    if not shifts:
        raise InputError(
            "hotline.operators: there is no shift, so no time in which to plan operators: expected one or more, such "
            'as --set \'hotline.operators=[{from="18:00", to="+1d 02:00", count=50}]\''
        )
    start, end = min(shift.start for shift in shifts), max(shift.end for shift in shifts)
    marks = [*range(start, end, SLOT), end]
    return [Slot(one, other) for one, other in pairwise(marks)]


def rota_of(shifts: Sequence[Shift], slots: Sequence[Slot]) -> list[float]:
    """The operators that shifts put into each slot on average, by the middle of what is assumed."""
    return [
        sum(
            shift.count.middle * max(0, min(shift.end, slot.end) - max(shift.start, slot.start)) for shift in shifts
        ) / (slot.end - slot.start)
        for slot in slots
    ]  # fmt: skip


def shifts_of(slots: Sequence[Slot], rota: Rota) -> list[tuple[int, int, int]]:
    """The rota as shifts (from, to, operators): slots with the same number after each other are one."""
    found: list[tuple[int, int, int]] = []
    for slot, count in zip(slots, rota, strict=True):
        if found and found[-1][2] == count and found[-1][1] == slot.start:
            found[-1] = (found[-1][0], slot.end, count)
        else:
            found.append((slot.start, slot.end, count))
    return [shift for shift in found if shift[2]]


def busiest(slots: Sequence[Slot], rota: Rota) -> tuple[int, int, int]:
    """From when to when most operators are on duty, the first time, and how many; the rota has some."""
    return max(shifts_of(slots, rota), key=lambda shift: shift[2])


def fewest(
    slots: Sequence[Slot], load: Sequence[float], most: int, oracle: Oracle, near: Rota | None = None
) -> Rota | None:
    """The cheapest rota found that is surely enough; None where `most` operators all the time are not.

    `load`: operators that would be busy in each slot if nobody ever waited. The search begins with the least multiples
    of the load that are enough, as it comes and leveled: callers who hold are served later by fewer people. (With the
    least multiple of `near`, a rota that is nearly enough, where there is one; of the same number all the time, where
    nothing else is enough.) From the cheapest it takes operators away until none can leave any slot.
    """
    hours = [slot.hours for slot in slots]
    leveled = [_scaling(_leveled(load, part)) for part in _PEAKS]
    best: Rota | None = None
    for shape in [_scaling(near)] if near is not None else leveled:
        start = _scaled(shape, hours, most, oracle, _WORTH * cost(best, hours) if best else math.inf)
        best = start or best
    if best is None:
        best = _scaled(_scaling([1.0] * len(slots)), hours, most, oracle, math.inf)
    return None if best is None else trimmed(best, hours, oracle)


def cost(rota: Rota, hours: Sequence[float]) -> float:
    """Operator hours."""
    return sum(count * length for count, length in zip(rota, hours, strict=True))


Shape = Callable[[int], Rota]  # of a size; larger sizes have nowhere less


def _scaling(load: Sequence[float]) -> Shape:
    return lambda size: tuple(-int(-busy * size // _SHARES) for busy in load)


def _leveled(load: Sequence[float], part: float) -> list[float]:
    """The load with its peak cut to a part of it: what is cut waits, and is served as soon as there is room."""
    peak, waiting = part * max(load, default=0.0), 0.0
    found = []
    for busy in load:
        found.append(min(peak, busy + waiting))
        waiting += busy - found[-1]
    return found


def _scaled(shape: Shape, hours: Sequence[float], most: int, oracle: Oracle, below: float) -> Rota | None:
    """About the smallest size of a shape that is enough, by doubling and halving; None where that costs `below`."""

    def too_much(rota: Rota) -> bool:
        return cost(rota, hours) >= below

    high = 1
    while not oracle.enough(shape(high)):
        if max(shape(high), default=0) >= most or not any(shape(2 * most * _SHARES)) or too_much(shape(high)):
            return None
        high *= 2
    low = high // 2 if high > 1 else -1
    while high - low > 1 and not too_much(shape(low)):
        middle = (low + high) // 2
        if oracle.enough(shape(middle)):
            high = middle
        else:
            low = middle
    while not too_much(shape(high)):
        if _truly(shape(high), oracle):
            return shape(high)
        high += 1
        if max(shape(high), default=0) > most or not any(shape(high)):
            break
    return None


def _truly(rota: Rota, oracle: Oracle) -> bool:
    return oracle.enough(rota) and oracle.surely_enough(rota)


def trimmed(start: Rota, hours: Sequence[float], oracle: Oracle) -> Rota:
    """A rota that is enough, without every operator that can leave: in blocks of slots, then slot by slot."""
    best = start
    block = 1
    while block < len(start):
        block *= 2
    while block:
        best = _sure(best, oracle, lambda rota, size=block: _pass(rota, hours, size, oracle))  # type: ignore[misc]  # mypy cannot type a lambda's default
        block //= 2
    while True:
        less = _sure(best, oracle, lambda rota: _pass(rota, hours, 1, oracle, 1))
        if less == best:
            return best
        best = less


def _sure(best: Rota, oracle: Oracle, step: Callable[[Rota], Rota]) -> Rota:
    """What a step makes of the rota once the oracle is sure of it; the oracle learns from each time it was not."""
    while True:
        tried = step(best)
        if tried == best or oracle.surely_enough(tried):
            return tried


def _pass(rota: Rota, hours: Sequence[float], size: int, oracle: Oracle, most: int | None = None) -> Rota:
    """Each block of `size` slots, the dearest first, with as many operators less as it can do without.

    Large blocks go as a whole or not at all. In small ones the step grows while it succeeds, and is halved from the
    first time that it does not; `most` is the largest.
    """
    blocks = [range(at, min(at + size, len(rota))) for at in range(0, len(rota), size)]
    blocks.sort(key=lambda block: -sum(rota[k] * hours[k] for k in block))

    def less(block: range, step: int) -> bool:
        nonlocal rota
        tried = tuple(max(0, count - step) if k in block else count for k, count in enumerate(rota))
        if tried == rota or not oracle.enough(tried):
            return False
        rota = tried
        return True

    for block in blocks:
        top = max(rota[k] for k in block)
        if most is None and size >= _WHOLE and (less(block, top) or size > _WHOLE):
            continue
        step, grows = min(top, most or max(1, top // _FIRST_STEP)), True
        while step:
            if less(block, step):
                step = min(2 * step if grows else step, most or step * 2, max(rota[k] for k in block))
            else:
                step, grows = step // 2, False
    return rota
