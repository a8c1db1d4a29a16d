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
from simulation.night.clock import Clock
from simulation.night.events import EventLog
from simulation.night.order import Channel, Kind, Rank, Stream
from simulation.night.setting import Setting
from simulation.rules.alignment import FREE_2016, VIABLE_GROUP_SHRANK
from simulation.rules.audit import MISSING_ALIGNMENT, check

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

    def __init__(self, clock: Clock, setting: Setting, log: EventLog | None) -> None:
        spec, luck = setting.spec.headquarters, setting.luck
        self.clock = clock
        self.setting = setting
        self.log = log
        self.worksheets = setting.worksheets[0]
        self.reported = np.zeros_like(self.worksheets)
        self.received_at = np.full(setting.sites, -1, np.int64)
        self.channel = np.zeros(setting.sites, np.int64)
        self.cleared_at = np.full(setting.sites, -1, np.int64)  # through the checks
        self.released_at = np.full(setting.sites, -1, np.int64)
        self.keying_errors = np.zeros(setting.sites, np.int64)
        self.findings = np.zeros(setting.sites, np.int64)  # of the checks, bits of `rules.audit`
        self._checks = spec.checks
        self._desk = Desk(clock, luck.value(spec.reviewers))
        self._review = luck.table(spec.review)
        self._worse = luck.value(spec.wrong_correction)
        self._worksheet = luck.table(spec.release.worksheet)
        self._kinds = np.array(spec.keying.weights, dtype=np.int64)
        keying = spec.keying
        by_channel = {
            Channel.APP: keying.app,
            Channel.PHONE: keying.phone,
            Channel.INBOX: keying.inbox,
            Channel.REACHED: keying.phone,
            Channel.HAND: keying.inbox,
        }
        self._field_share = {channel: luck.value(share) for channel, share in by_channel.items()}

    def holds(self, site: int) -> bool:
        """Whether a site's result is in."""
        return bool(self.received_at[site] >= 0)

    def receive(self, site: int, channel: Channel) -> None:
        """A result comes in; a second one of the same site is set aside."""
        if self.holds(site):
            return
        setting, now = self.setting, int(self.clock.now)
        place = int(setting.roster.places[site])
        self.received_at[site] = now
        self.channel[site] = channel
        self._tell(Kind.RECEIVED, site, int(channel))
        self.keying_errors[site] = records.key(
            setting.luck.seed,
            setting.luck.night,
            place,
            self._field_share[channel],
            setting.ballot,
            self._kinds,
            self.worksheets[site],
            self.worksheets[(site + 1) % setting.sites],
            self.reported[site],
        )
        first, final, seats = self.reported[site]
        if setting.ballot:
            found = 0 if final.any() else MISSING_ALIGNMENT
        else:
            found = int(check(first, final, seats, int(setting.delegates[site])))
        if setting.regime == FREE_2016:
            found &= ~VIABLE_GROUP_SHRANK  # nobody is locked under the rules of 2016
        if not self._checks:
            found = 0
        self.findings[site] = found
        if found:
            self._tell(Kind.STOPPED, site, found)
            self.clock.process(self._review_record(site, place))
        else:
            self._clear(site, place)

    def _review_record(self, site: int, place: int) -> Process:
        """Wait for the review desk; what was typed wrongly is put right."""
        yield self._desk.turn()
        setting, luck = self.setting, self.setting.luck
        yield self.clock.after(luck.duration(self._review, Stream.REVIEW, place), Rank.REVIEW_ENDS, site)
        before = self.reported[site].copy()
        self.reported[site] = self.worksheets[site]
        if self.setting.worksheets[1][site] and luck.happens(self._worse, Stream.WRONG_CORRECTION, place):
            counts = self.reported[site][records.FINAL if setting.ballot else records.DELEGATES]
            counts[int(counts.argmax())] += 1
        changed = records.differs(before, self.reported[site])
        self._tell(Kind.REVIEWED, site, int(changed))
        self._clear(site, place)
        self._desk.done()

    def _clear(self, site: int, place: int) -> None:
        """The record is good: release it now, or when the release policy allows."""
        release = self.setting.spec.headquarters.release
        now, luck = int(self.clock.now), self.setting.luck
        self.cleared_at[site] = now
        due = now
        if release.hold_from is None or now >= release.hold_from:
            paper = luck.duration(self._worksheet, Stream.WORKSHEET, place)
            due = max(now, paper and self.setting.call_to_order + paper, luck.ticks(release.until or 0))
        self.clock.call_at(due, Rank.RELEASED, site, 0, lambda: self._release(site))

    def _release(self, site: int) -> None:
        self.released_at[site] = self.clock.now
        self._tell(Kind.RELEASED, site, 0)

    def _tell(self, kind: Kind, site: int, value: int) -> None:
        if self.log is not None:
            self.log.append((int(self.clock.now), self.clock.rank, kind, site, 0, 0, value))
