"""The hotline: lines, operators by shift, callers who wait in order, hang up, or hear a busy tone.

Knows nothing of what is said on the phone.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from functools import partial

from simpy import Event

from simulation.night.events import HOTLINE, EventLog
from simulation.night.model.clock import Clock
from simulation.night.order import Call, Kind, Outcome, Rank


@dataclass(eq=False, slots=True)
class Calling:
    """One call. Times in ms, -1 where it did not come to that; `over` happens with its Outcome."""

    about: Call
    site: int  # of the caller; HOTLINE for nuisance callers
    entity: int  # for the order of events: unique among callers
    attempt: int
    patience: int
    handling: int  # how long an operator is busy with it
    silent: bool
    dialed: int
    over: Event
    answered: int = -1
    ended: int = -1
    outcome: Outcome = Outcome.UNFINISHED


Process = Generator[Event, object, None]


class Hotline:
    """Callers, operators and lines. `calls` holds every call of the night in the order of dialing."""

    def __init__(self, clock: Clock, lines: int, rota: Sequence[tuple[int, int]], log: EventLog | None) -> None:
        """`lines` = 0: unlimited. `rota`: when the number of operators on duty changes, and to what (ms, operators)."""
        self.clock = clock
        self.lines = lines
        self.log = log
        self.on_duty = 0
        self.busy = 0
        self.waiting: OrderedDict[int, Calling] = OrderedDict()  # by entity: each caller has one call at a time
        self.calls: list[Calling] = []
        self.rota = rota
        for index, (when, count) in enumerate(self.rota):
            clock.call_at(when, Rank.SHIFT_CHANGES, index, 0, partial(self._shift_changes, count))

    def dial(self, call: Calling) -> Event:
        """Dial; the event that comes back happens, with the call's Outcome, when the call is over."""
        self.calls.append(call)
        self._tell(Kind.DIALED, call, call.about)
        if self.on_duty == 0:
            self._over(call, Outcome.CLOSED, Kind.CLOSED, call.about)
        elif self.busy < self.on_duty and not (self.lines and self.busy >= self.lines):
            self._answer(call)
        elif self.lines and self.busy + len(self.waiting) >= self.lines:
            self._over(call, Outcome.BUSY, Kind.BUSY, call.about)
        else:
            self.waiting[call.entity] = call
            due = int(self.clock.now) + call.patience
            self.clock.call_at(due, Rank.PATIENCE_ENDS, call.entity, call.attempt, lambda: self._loses_patience(call))
        return call.over

    def _loses_patience(self, call: Calling) -> None:
        if self.waiting.get(call.entity) is call:
            del self.waiting[call.entity]
            held = int(self.clock.now) - call.dialed
            self._over(call, Outcome.HUNG_UP, Kind.HUNG_UP, held)

    def _answer(self, call: Calling) -> None:
        self.busy += 1
        call.answered = int(self.clock.now)
        self._tell(Kind.ANSWERED, call, call.answered - call.dialed)
        due = call.answered + call.handling
        self.clock.call_at(due, Rank.CALL_ENDS, call.entity, call.attempt, lambda: self._ends(call))

    def _ends(self, call: Calling) -> None:
        self.busy -= 1
        self._over(
            call,
            Outcome.SILENT if call.silent else Outcome.ANSWERED,
            Kind.CALL_ENDED,
            int(self.clock.now) - call.answered,
        )
        self._take_waiting()

    def _shift_changes(self, on_duty: int) -> None:
        """More operators take waiting callers at once; operators who leave finish their calls."""
        self.on_duty = on_duty
        if self.log is not None:
            self.log.append((int(self.clock.now), self.clock.rank, Kind.ON_DUTY, HOTLINE, 0, 0, on_duty))
        self._take_waiting()
        if on_duty == 0:
            while self.waiting:
                call = self.waiting.popitem(last=False)[1]
                self._over(call, Outcome.CLOSED, Kind.CLOSED, call.about)

    def _take_waiting(self) -> None:
        while self.waiting and self.busy < self.on_duty:
            self._answer(self.waiting.popitem(last=False)[1])

    def _over(self, call: Calling, outcome: Outcome, kind: Kind, value: int) -> None:
        call.ended = int(self.clock.now)
        call.outcome = outcome
        self._tell(kind, call, value)
        call.over.succeed(outcome)

    def _tell(self, kind: Kind, call: Calling, value: int) -> None:
        if self.log is not None:
            who = call.entity if call.site == HOTLINE else call.entity - call.site  # never a place in the roster
            self.log.append((int(self.clock.now), self.clock.rank, kind, call.site, who, call.attempt, value))
