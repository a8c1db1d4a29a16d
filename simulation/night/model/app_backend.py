"""The backend behind the chairs' apps: what all of them ask of it within a minute, and what it answers.

Its rules are the kernels of `night.backend`; where the scenario names no curve it answers everything at once.
"""

from __future__ import annotations

import numpy as np

from simulation.night.backend import Phone, Step, arrive, no_traffic, sends
from simulation.night.events import EventLog
from simulation.night.model.clock import Clock
from simulation.night.order import Kind
from simulation.night.setting import Setting


class AppBackend:
    """The backend of one night. `phones` is int64[sites, fields of Phone]."""

    def __init__(self, clock: Clock, setting: Setting, log: EventLog | None) -> None:
        self.clock = clock
        self.app, self.luck = setting.app, setting.luck
        self.log = log
        self.traffic = no_traffic()
        self.phones = np.zeros((setting.sites, len(Phone)), np.int64)

    def answers_after(self, site: int, place: int, requests: int, attempt: int) -> int:
        """A chair's app sends so many requests, and what waits from before: ms to the last answer; -1: it hangs."""
        app, luck = self.app, self.luck
        if not app.backend:
            return 0
        now, phone = int(self.clock.now), self.phones[site]
        address = (luck.seed, luck.night, luck.resolution, place, now)
        curve = (app.load, app.timeout, app.offered, app.latency)
        takes = int(sends(*address, requests, *curve, self.traffic, phone))
        if takes < 0 and self.log is not None:
            waiting = int(phone[Phone.WAITING])
            self.log.append((now, self.clock.rank, Kind.UNANSWERED, site, 0, attempt, waiting))
        return takes

    def asks_in_passing(self, step: Step) -> None:
        """Requests that the backend has to answer, and for which no chair waits."""
        requests = int(self.app.requests[step])
        if requests:
            arrive(self.traffic, int(self.clock.now), requests, self.app.load)
