"""The hotline, compiled: lines, operators by shift, callers who wait in order, hang up, or hear a busy tone.

The same as `model.hotline`. What a caller does next is the evening's; whoever's call is over stands in a queue for it.
"""

from __future__ import annotations

from simulation.compiled import inner_kernel
from simulation.night.events import HOTLINE
from simulation.night.order import Kind, Outcome, Rank, event_key
from simulation.night.twin.heap import Count, push, tell
from simulation.night.twin.world import Field, Number, World

_CALL_ENDS = int(Rank.CALL_ENDS)
_PATIENCE_ENDS = int(Rank.PATIENCE_ENDS)
_DIALED = int(Kind.DIALED)
_BUSY = int(Kind.BUSY)
_ANSWERED = int(Kind.ANSWERED)
_HUNG_UP = int(Kind.HUNG_UP)
_CLOSED = int(Kind.CLOSED)
_CALL_ENDED = int(Kind.CALL_ENDED)
_ON_DUTY = int(Kind.ON_DUTY)
_WAS_BUSY = int(Outcome.BUSY)
_WAS_CLOSED = int(Outcome.CLOSED)
_GAVE_UP = int(Outcome.HUNG_UP)
_WAS_SILENT = int(Outcome.SILENT)
_WAS_ANSWERED = int(Outcome.ANSWERED)

_NOBODY = -1


@inner_kernel
def wake(w: World, number: int) -> None:
    """Have something go on in this instant, after what was woken before."""
    slot = w.tally[Count.WAKING]
    if slot == len(w.waking):
        w.tally[Count.FULL] = 1
        return
    w.waking[slot] = number
    w.tally[Count.WAKING] = slot + 1


@inner_kernel
def dial(
    w: World, now: int, about: int, site: int, entity: int, attempt: int, silent: bool, handling: int, patience: int
) -> None:
    """Dial: be answered, hold, or hear that nobody is there or no line is free."""
    number = w.tally[Count.CALLS]
    if number == len(w.call):
        w.tally[Count.FULL] = 1
        return
    w.tally[Count.CALLS] = number + 1
    w.call[number, Field.ABOUT], w.call[number, Field.SITE] = about, site
    w.call[number, Field.ENTITY], w.call[number, Field.ATTEMPT] = entity, attempt
    w.call[number, Field.DIALED], w.call[number, Field.ANSWERED] = now, -1
    w.call[number, Field.ENDED], w.call[number, Field.OUTCOME] = -1, -1
    w.call[number, Field.PATIENCE], w.call[number, Field.HANDLING] = patience, handling
    w.call[number, Field.SILENT] = silent
    _tell(w, now, number, _DIALED, about)
    on_duty, talking, lines = w.tally[Count.ON_DUTY], w.tally[Count.TALKING], w.number[Number.LINES]
    if on_duty == 0:
        _over(w, now, number, _WAS_CLOSED, _CLOSED, about)
    elif talking < on_duty and not (lines > 0 and talking >= lines):
        _answer(w, now, number)
    elif lines > 0 and talking + w.tally[Count.HOLDING] >= lines:
        _over(w, now, number, _WAS_BUSY, _BUSY, about)
    else:
        last = w.tally[Count.LAST_HOLDING]
        w.call[number, Field.BEFORE], w.call[number, Field.BEHIND] = last, _NOBODY
        w.call[number, Field.HOLDS] = 1
        if last == _NOBODY:
            w.tally[Count.FIRST_HOLDING] = number
        else:
            w.call[last, Field.BEHIND] = number
        w.tally[Count.LAST_HOLDING] = number
        w.tally[Count.HOLDING] += 1
        push(w.due, w.tally, now + patience, event_key(_PATIENCE_ENDS, entity, attempt), number)


@inner_kernel
def loses_patience(w: World, now: int, number: int) -> None:
    """A caller hangs up, if he still holds."""
    if w.call[number, Field.HOLDS]:
        _leave(w, number)
        _over(w, now, number, _GAVE_UP, _HUNG_UP, now - w.call[number, Field.DIALED])


@inner_kernel
def ends(w: World, now: int, number: int) -> None:
    """A call ends, and its operator takes the longest waiting caller at once."""
    w.tally[Count.TALKING] -= 1
    outcome = _WAS_SILENT if w.call[number, Field.SILENT] else _WAS_ANSWERED
    _over(w, now, number, outcome, _CALL_ENDED, now - w.call[number, Field.ANSWERED])
    _take_waiting(w, now)


@inner_kernel
def shift_changes(w: World, now: int, on_duty: int) -> None:
    """More operators take waiting callers at once; operators who leave finish their calls."""
    w.tally[Count.ON_DUTY] = on_duty
    tell(w.log, w.tally, now, _ON_DUTY, HOTLINE, 0, 0, on_duty)
    _take_waiting(w, now)
    while on_duty == 0 and w.tally[Count.HOLDING] > 0:
        number = w.tally[Count.FIRST_HOLDING]
        _leave(w, number)
        _over(w, now, number, _WAS_CLOSED, _CLOSED, w.call[number, Field.ABOUT])


@inner_kernel
def _take_waiting(w: World, now: int) -> None:
    while w.tally[Count.HOLDING] > 0 and w.tally[Count.TALKING] < w.tally[Count.ON_DUTY]:
        number = w.tally[Count.FIRST_HOLDING]
        _leave(w, number)
        _answer(w, now, number)


@inner_kernel
def _leave(w: World, number: int) -> None:
    """Nobody holds in this call any more."""
    before, behind = w.call[number, Field.BEFORE], w.call[number, Field.BEHIND]
    w.call[number, Field.HOLDS] = 0
    w.tally[Count.HOLDING] -= 1
    if before == _NOBODY:
        w.tally[Count.FIRST_HOLDING] = behind
    else:
        w.call[before, Field.BEHIND] = behind
    if behind == _NOBODY:
        w.tally[Count.LAST_HOLDING] = before
    else:
        w.call[behind, Field.BEFORE] = before


@inner_kernel
def _answer(w: World, now: int, number: int) -> None:
    w.tally[Count.TALKING] += 1
    w.call[number, Field.ANSWERED] = now
    _tell(w, now, number, _ANSWERED, now - w.call[number, Field.DIALED])
    key = event_key(_CALL_ENDS, w.call[number, Field.ENTITY], w.call[number, Field.ATTEMPT])
    push(w.due, w.tally, now + w.call[number, Field.HANDLING], key, number)


@inner_kernel
def _over(w: World, now: int, number: int, outcome: int, kind: int, value: int) -> None:
    w.call[number, Field.ENDED] = now
    w.call[number, Field.OUTCOME] = outcome
    _tell(w, now, number, kind, value)
    wake(w, number)


@inner_kernel
def _tell(w: World, now: int, number: int, kind: int, value: int) -> None:
    site, entity = w.call[number, Field.SITE], w.call[number, Field.ENTITY]
    who = entity if site == HOTLINE else entity - site  # never a place in the roster
    tell(w.log, w.tally, now, kind, site, who, w.call[number, Field.ATTEMPT], value)
