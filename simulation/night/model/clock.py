"""SimPy's environment with a clock in integer milliseconds and an explicit order for events of the same millisecond.

SimPy breaks ties by the order in which events were scheduled. Here each event that is due at a later time carries its
key (rank, entity, attempt); SimPy's own events (a process starts, a waiter is woken) have priorities 0 and 1 and so
happen inside the event that caused them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from simpy import Environment, Event

from simulation.night.order import Rank, event_key


class Due(Event):
    """An event that is due at a time, with the rank that orders it among others of that millisecond."""

    def __init__(self, clock: Clock, rank: Rank) -> None:
        super().__init__(clock)
        self._ok = True
        self._value = None
        self.rank = rank
        self.callbacks.append(clock.begin)  # first of all: whatever happens inside the event has its rank


class Clock(Environment):
    """A SimPy environment; `now` is in milliseconds since midnight of caucus day.

    `rank` is that of the event which is happening: everything that it causes at once happens inside it.
    """

    rank: int = 0

    def begin(self, event: Event) -> None:
        """Called by each event that was due, when it happens."""
        assert isinstance(event, Due)
        self.rank = event.rank

    def at(self, when: int, rank: Rank, entity: int, attempt: int = 0) -> Event:
        """An event at `when`, before or after others of that millisecond by its key."""
        event = Due(self, rank)
        key = event_key(int(rank), entity, attempt)
        self.schedule(event, key, when - self.now)  # type: ignore[arg-type]  # SimPy names only its own two priorities
        return event

    def after(self, duration: int, rank: Rank, entity: int, attempt: int = 0) -> Event:
        """An event `duration` milliseconds from now."""
        return self.at(int(self.now) + duration, rank, entity, attempt)

    def call_at(self, when: int, rank: Rank, entity: int, attempt: int, action: Callable[[], Any]) -> None:
        """Have `action` called at `when`, in its order."""
        event = self.at(when, rank, entity, attempt)
        assert event.callbacks is not None  # it has not happened yet
        event.callbacks.append(lambda _: action())
