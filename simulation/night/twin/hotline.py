"""The hotline, compiled: lines, operators by shift, callers who wait in order, hang up, or hear a busy tone.

The same as `model.hotline`. What a caller does next is the evening's; whoever's call is over stands in a queue for it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from simulation.compiled import kernel
from simulation.night.events import HOTLINE
from simulation.night.order import Kind, Outcome, Rank, event_key
from simulation.night.outcome import Called
from simulation.night.twin.heap import FULL, Agenda, push, tell
from simulation.randomness import Integers

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

# Fields of a call, the columns of `Called`
ABOUT, SITE, ENTITY, ATTEMPT = (Called._fields.index(name) for name in ("about", "site", "entity", "attempt"))
DIALED, ANSWERED, ENDED, OUTCOME = (Called._fields.index(name) for name in ("dialed", "answered", "ended", "outcome"))
PATIENCE, HANDLING, SILENT = (Called._fields.index(name) for name in ("patience", "handling", "silent"))

# Of `Hotline.count`
CALLS, ON_DUTY, TALKING, HOLDING, FIRST, LAST, WAKING, AWAKE = range(8)

NOBODY = -1


class Hotline(NamedTuple):
    """Calls in the order of dialing, the linked list of those that hold, and the queue of what happens at once."""

    lines: int  # 0: unlimited
    calls: Integers  # (calls, fields of Called)
    before: Integers  # neighbors among those that hold
    behind: Integers
    holds: Integers  # 1 while it does
    waking: Integers  # what goes on in this instant, in order: see `evening`
    count: Integers

    @classmethod
    def with_room(cls, lines: int, calls: int) -> Hotline:
        """Nobody has called yet."""
        count = np.zeros(8, np.int64)
        count[FIRST] = count[LAST] = NOBODY
        before, behind, holds = np.zeros((3, calls), np.int64)
        return cls(lines, np.zeros((calls, len(Called._fields)), np.int64), before, behind, holds,
                   np.zeros(2 * calls, np.int64), count)  # fmt: skip


@kernel
def wake(line: Hotline, agenda: Agenda, number: int) -> None:
    """Have something go on in this instant, after what was woken before."""
    slot = line.count[WAKING]
    if slot == len(line.waking):
        agenda.count[FULL] = 1
        return
    line.waking[slot] = number
    line.count[WAKING] = slot + 1


@kernel
def dial(
    line: Hotline,
    agenda: Agenda,
    now: int,
    about: int,
    site: int,
    entity: int,
    attempt: int,
    silent: bool,
    handling: int,
    patience: int,
) -> None:
    """Dial: be answered, hold, or hear that nobody is there or no line is free."""
    number = line.count[CALLS]
    if number == len(line.calls):
        agenda.count[FULL] = 1
        return
    line.count[CALLS] = number + 1
    call = line.calls[number]
    call[ABOUT], call[SITE], call[ENTITY], call[ATTEMPT] = about, site, entity, attempt
    call[DIALED], call[ANSWERED], call[ENDED], call[OUTCOME] = now, -1, -1, -1
    call[PATIENCE], call[HANDLING], call[SILENT] = patience, handling, silent
    _tell(line, agenda, now, number, _DIALED, about)
    on_duty, talking = line.count[ON_DUTY], line.count[TALKING]
    if on_duty == 0:
        _over(line, agenda, now, number, _WAS_CLOSED, _CLOSED, about)
    elif talking < on_duty and not (line.lines > 0 and talking >= line.lines):
        _answer(line, agenda, now, number)
    elif line.lines > 0 and talking + line.count[HOLDING] >= line.lines:
        _over(line, agenda, now, number, _WAS_BUSY, _BUSY, about)
    else:
        last = line.count[LAST]
        line.before[number], line.behind[number], line.holds[number] = last, NOBODY, 1
        if last == NOBODY:
            line.count[FIRST] = number
        else:
            line.behind[last] = number
        line.count[LAST] = number
        line.count[HOLDING] += 1
        push(agenda, now + patience, event_key(_PATIENCE_ENDS, entity, attempt), number)


@kernel
def loses_patience(line: Hotline, agenda: Agenda, now: int, number: int) -> None:
    """A caller hangs up, if he still holds."""
    if line.holds[number]:
        _leave(line, number)
        _over(line, agenda, now, number, _GAVE_UP, _HUNG_UP, now - line.calls[number, DIALED])


@kernel
def ends(line: Hotline, agenda: Agenda, now: int, number: int) -> None:
    """A call ends, and its operator takes the longest waiting caller at once."""
    line.count[TALKING] -= 1
    outcome = _WAS_SILENT if line.calls[number, SILENT] else _WAS_ANSWERED
    _over(line, agenda, now, number, outcome, _CALL_ENDED, now - line.calls[number, ANSWERED])
    _take_waiting(line, agenda, now)


@kernel
def shift_changes(line: Hotline, agenda: Agenda, now: int, on_duty: int) -> None:
    """More operators take waiting callers at once; operators who leave finish their calls."""
    line.count[ON_DUTY] = on_duty
    tell(agenda, now, _ON_DUTY, HOTLINE, 0, 0, on_duty)
    _take_waiting(line, agenda, now)
    while on_duty == 0 and line.count[HOLDING] > 0:
        number = line.count[FIRST]
        _leave(line, number)
        _over(line, agenda, now, number, _WAS_CLOSED, _CLOSED, line.calls[number, ABOUT])


@kernel
def _take_waiting(line: Hotline, agenda: Agenda, now: int) -> None:
    while line.count[HOLDING] > 0 and line.count[TALKING] < line.count[ON_DUTY]:
        number = line.count[FIRST]
        _leave(line, number)
        _answer(line, agenda, now, number)


@kernel
def _leave(line: Hotline, number: int) -> None:
    """Nobody holds in this call any more."""
    before, behind = line.before[number], line.behind[number]
    line.holds[number] = 0
    line.count[HOLDING] -= 1
    if before == NOBODY:
        line.count[FIRST] = behind
    else:
        line.behind[before] = behind
    if behind == NOBODY:
        line.count[LAST] = before
    else:
        line.before[behind] = before


@kernel
def _answer(line: Hotline, agenda: Agenda, now: int, number: int) -> None:
    call = line.calls[number]
    line.count[TALKING] += 1
    call[ANSWERED] = now
    _tell(line, agenda, now, number, _ANSWERED, now - call[DIALED])
    push(agenda, now + call[HANDLING], event_key(_CALL_ENDS, call[ENTITY], call[ATTEMPT]), number)


@kernel
def _over(line: Hotline, agenda: Agenda, now: int, number: int, outcome: int, kind: int, value: int) -> None:
    line.calls[number, ENDED] = now
    line.calls[number, OUTCOME] = outcome
    _tell(line, agenda, now, number, kind, value)
    wake(line, agenda, number)


@kernel
def _tell(line: Hotline, agenda: Agenda, now: int, number: int, kind: int, value: int) -> None:
    site, entity = line.calls[number, SITE], line.calls[number, ENTITY]
    who = entity if site == HOTLINE else entity - site  # never a place in the roster
    tell(agenda, now, kind, site, who, line.calls[number, ATTEMPT], value)
