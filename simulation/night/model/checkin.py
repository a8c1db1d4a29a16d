"""Check-in at one building, as SimPy processes: people, lines, stations, forms. Buildings do not touch each other.

A person joins the line of a precinct, waits for a station, is served, and is in; some first stand in the wrong line,
some are missing from the list and sent to the back, and registrations wait when forms run out.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from dataclasses import dataclass, field

import numpy as np
from simpy import Event

from simulation.night.events import EventLog
from simulation.night.model.clock import Clock
from simulation.night.order import Kind, Rank
from simulation.night.people import LISTED, MISSING
from simulation.night.setting import Door
from simulation.randomness import Integers

Process = Generator[Event, object, None]

_PERSON_BITS = 24  # below an entity's line: up to 16 million people a precinct


@dataclass(eq=False)
class Line:
    """The line of one precinct: stations, people waiting, forms."""

    number: int  # in its building
    door: Door
    wait_ms: Integers  # by person: in lines, all of them together
    in_at: Integers  # by person: when check-in was over
    free: int
    forms_left: int  # -1: as many as it takes
    waiting: deque[tuple[bool, Event]] = field(default_factory=deque)  # needs a form?, woken when a station is free
    without_form: deque[Event] = field(default_factory=deque)  # registrations that stepped aside
    registered: int = 0
    forms_ran_out_at: int = -1

    def can_serve(self, form: bool) -> bool:
        """Whether somebody who does or does not need a form can be served now."""
        return not form or self.forms_left != 0


class Building:
    """The lines of the precincts that share a building. Their times are filled in while the clock runs."""

    def __init__(self, clock: Clock, doors: list[Door], log: EventLog | None) -> None:
        self.clock = clock
        self.log = log
        self.lines = [
            Line(
                number,
                door,
                np.zeros(door.people, np.int64),
                np.zeros(door.people, np.int64),
                door.stations,
                door.forms,
            )
            for number, door in enumerate(doors)
        ]
        for number, line in enumerate(self.lines):
            for person in range(line.door.people):
                clock.process(self._attend(number, person))

    def _attend(self, number: int, person: int) -> Process:
        """One person's way from the door into the room."""
        line = self.lines[number]
        door = line.door
        entity = number << _PERSON_BITS | person
        yield self.clock.at(int(door.arrives[person]), Rank.JOINS_LINE, entity)
        detour = int(door.wrong_line[person])
        if detour:
            others = self.lines[:number] + self.lines[number + 1 :]
            wrong = others[(detour & 0xFFFF) - 1]
            yield from self._turn(wrong, door, number, person, False, detour >> 16, 0)
        needs = door.needs[person]
        if needs == MISSING:
            yield from self._turn(line, door, number, person, False, int(door.first_service[person]), 1)
        yield from self._turn(line, door, number, person, needs != LISTED, int(door.service[person]), 2)
        line.in_at[person] = self.clock.now
        self._tell(Kind.CHECKED_IN, door, person, 3, int(line.wait_ms[person]))

    def _turn(self, line: Line, door: Door, number: int, person: int, form: bool, service: int, stage: int) -> Process:
        """Stand in a line, be served, and free the station."""
        joined = int(self.clock.now)
        self._tell(Kind.JOINED, door, person, stage, line.number)
        if line.free > 0 and line.can_serve(form):
            self._take(line, form)
        else:
            woken = self.clock.event()
            if line.free > 0:
                line.without_form.append(woken)
            else:
                line.waiting.append((form, woken))
            yield woken
        self.lines[number].wait_ms[person] += int(self.clock.now) - joined
        self._tell(Kind.SERVED, door, person, stage, line.number)
        yield self.clock.after(service, Rank.SERVICE_ENDS, number << _PERSON_BITS | person, stage)
        line.free += 1
        self._next(line)

    def _next(self, line: Line) -> None:
        """Free stations take whoever waits longest and can be served; registrations without a form step aside."""
        while line.free > 0:
            if line.without_form and line.can_serve(True):
                form, woken = True, line.without_form.popleft()
            elif line.waiting:
                form, woken = line.waiting.popleft()
                if not line.can_serve(form):
                    line.without_form.append(woken)
                    continue
            else:
                return
            self._take(line, form)
            woken.succeed()

    def _take(self, line: Line, form: bool) -> None:
        """Occupy a station, and take a form from the stack; the last one sends somebody for more."""
        line.free -= 1
        if not form:
            return
        line.registered += 1
        if line.forms_left > 0:
            line.forms_left -= 1
            if line.forms_left == 0:
                line.forms_ran_out_at = int(self.clock.now)
                due = line.forms_ran_out_at + line.door.reprint
                self._tell(Kind.FORMS_RAN_OUT, line.door, 0, 4, line.registered)
                self.clock.call_at(due, Rank.FORMS_ARRIVE, line.door.site, 0, lambda: self._forms_came(line))

    def _forms_came(self, line: Line) -> None:
        line.forms_left = -1  # the new stack is large enough
        self._tell(Kind.FORMS_CAME, line.door, 0, 4, len(line.without_form))
        self._next(line)

    def _tell(self, kind: Kind, door: Door, person: int, stage: int, value: int) -> None:
        if self.log is not None:
            self.log.append((int(self.clock.now), self.clock.rank, kind, door.site, person, stage, value))
