"""Headquarters: results come in, are typed, checked by the rules, reviewed, and released.

Knows nothing of how they came. The checks are `rules.audit` on the record as typed, not a probability. A review
compares a record with its worksheet: what was typed wrongly is put right, but a signed worksheet binds even where its
arithmetic is wrong.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator

import numpy as np
from simpy import Event

from simulation.night import records
from simulation.night.backend import Step
from simulation.night.events import EventLog
from simulation.night.model.app_backend import AppBackend
from simulation.night.model.clock import Clock
from simulation.night.order import Channel, Kind, Rank, Stream
from simulation.night.reporting import correct, public_at, screen
from simulation.night.setting import Setting

Process = Generator[Event, object, None]


class Desk:
    """People who take one piece of work at a time, first come first served."""

    def __init__(self, clock: Clock, people: int) -> None:
        self.clock = clock
        self.free = people
        self.waiting: deque[Event] = deque()

    def turn(self) -> Event:
        """Happens when somebody is free for it."""
        turn = self.clock.event()
        if self.free > 0:
            self.free -= 1
            turn.succeed()
        else:
            self.waiting.append(turn)
        return turn

    def done(self) -> None:
        """Somebody is free again, and takes the next piece at once."""
        if self.waiting:
            self.waiting.popleft().succeed()
        else:
            self.free += 1

    def open(self, people: int) -> None:
        """More people sit down and take what waits."""
        for _ in range(people):
            self.done()


class Headquarters:
    """What is held, checked and released; int64[sites], times in ms with -1 for never."""

    def __init__(self, clock: Clock, setting: Setting, backend: AppBackend, log: EventLog | None) -> None:
        self.clock = clock
        self.setting = setting
        self.office = setting.office
        self.backend = backend
        self.log = log
        self.worksheets = setting.worksheets[0]
        self.reported = np.zeros_like(self.worksheets)
        self.received_at = np.full(setting.sites, -1, np.int64)
        self.channel = np.zeros(setting.sites, np.int64)
        self.cleared_at = np.full(setting.sites, -1, np.int64)  # through the checks
        self.released_at = np.full(setting.sites, -1, np.int64)
        self.keying_errors = np.zeros(setting.sites, np.int64)
        self.findings = np.zeros(setting.sites, np.int64)  # of the checks, bits of `rules.audit`
        self._desk = Desk(clock, setting.office.reviewers)

    def holds(self, site: int) -> bool:
        """Whether a site's result is in."""
        return bool(self.received_at[site] >= 0)

    def receive(self, site: int, channel: Channel) -> None:
        """A result comes in; a second one of the same site is set aside."""
        if self.holds(site):
            return
        setting, office, now = self.setting, self.office, int(self.clock.now)
        place = int(setting.roster.places[site])
        self.received_at[site] = now
        self.channel[site] = channel
        self._tell(Kind.RECEIVED, site, int(channel))
        if channel != Channel.APP:
            self.backend.asks_in_passing(Step.KEYED)
        self.keying_errors[site] = records.key(
            *(setting.luck.seed, setting.luck.night, place),
            int(office.field_share[channel]),
            office.ballot,
            office.kinds,
            self.worksheets[site],
            self.worksheets[(site + 1) % setting.sites],
            self.reported[site],
        )
        rules = (office.regime, office.ballot, office.checks)
        found = int(screen(self.reported[site], int(setting.delegates[site]), *rules))
        self.findings[site] = found
        if found:
            self._tell(Kind.STOPPED, site, found)
            self.clock.process(self._review_record(site, place))
        else:
            self._clear(site, place)

    def _review_record(self, site: int, place: int) -> Process:
        """Wait for the review desk; what was typed wrongly is put right."""
        yield self._desk.turn()
        setting, office, luck = self.setting, self.office, self.setting.luck
        yield self.clock.after(luck.duration(office.review, Stream.REVIEW, place), Rank.REVIEW_ENDS, site)
        changed = correct(
            *(luck.seed, luck.night, place),
            office.wrong_correction,
            office.ballot,
            int(setting.worksheets[1][site]),
            self.worksheets[site],
            self.reported[site],
        )
        self._tell(Kind.REVIEWED, site, int(changed))
        self._clear(site, place)
        self._desk.done()

    def _clear(self, site: int, place: int) -> None:
        """The record is good: release it now, or when the release policy allows."""
        office, luck, now = self.office, self.setting.luck, int(self.clock.now)
        self.cleared_at[site] = now
        address = (luck.seed, luck.night, luck.resolution, place)
        policy = (office.hold_from, office.release_until, office.worksheet)
        due = int(public_at(*address, now, self.setting.call_to_order, *policy))
        self.clock.call_at(due, Rank.RELEASED, site, 0, lambda: self._release(site))

    def _release(self, site: int) -> None:
        self.released_at[site] = self.clock.now
        self._tell(Kind.RELEASED, site, 0)

    def _tell(self, kind: Kind, site: int, value: int) -> None:
        if self.log is not None:
            self.log.append((int(self.clock.now), self.clock.rank, kind, site, 0, 0, value))
