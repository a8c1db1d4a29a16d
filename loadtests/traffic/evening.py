"""A simulated night, seen from the backend: what every site sends it, when, and what goes wrong on the way.

Plain data, made of integers and drawn by address: equal for equal scenario, seed and night. Knows nothing of HTTP, of
Locust, or of how fast the evening is played.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from functools import cached_property
from typing import NamedTuple

import numpy as np

from loadtests.contract import Report, Site
from simulation.night import Night, play_night, records
from simulation.night.events import NAMES
from simulation.night.order import Channel, Kind, Stream
from simulation.night.reporting import is_out
from simulation.night.setting import Setting
from simulation.randomness import Integers, between, bits, place_id
from simulation.scenario import Scenario
from simulation.scenario.values import MINUTE

_AT, _KIND, _SITE, _ATTEMPT = (NAMES.index(name) for name in ("at_ms", "kind", "site", "attempt"))
_PUBLIC = place_id("public readers")

PHOTO_BYTES = (1_000_000, 4_900_000)  # of a telephone's picture; headquarters takes 5 MB
SMALL_PHOTO_BYTES = (2_000, 8_000)


class Purpose(IntEnum):
    """What a draw of this file is for: streams behind all that the night itself draws from (`order.Stream`)."""

    PHOTO_SIZE = 1000
    PHOTO_AT = 1001
    KEYED_AGAIN = 1002
    SENT_BACK = 1003
    READS_FIRST = 1004
    READS_AGAIN = 1005
    BACKOFF = 1006
    WRONG_DIGIT = 1007
    GUESS = 1008


class Trouble(StrEnum):
    """How an attempt with the app fails."""

    WRONG_PIN = "wrong PIN"
    BROKEN_OFF = "broken off"  # the connection is gone before the request is whole
    NO_ANSWER = "no answer"  # no signal, or an outage of the night: nothing reaches the backend


class Failure(NamedTuple):
    """An attempt with the app that came to nothing."""

    at_ms: int
    trouble: Trouble


class Visit(NamedTuple):
    """When a reader of the public results looks for the first time, and how often from then on."""

    first_at_ms: int
    every_ms: int


@dataclass(frozen=True, slots=True)
class SiteEvening:
    """What one site does. Times in ms since midnight of caucus day, -1 for never."""

    number: int  # in the roster, from 0
    site: Site
    channel: Channel  # how its result reaches headquarters; NONE: not at all
    counted_at_ms: int  # the head count is known
    aligned_at_ms: int  # after the first alignment
    ready_at_ms: int  # the worksheet is signed
    received_at_ms: int  # headquarters has the result: submitted by the chair, or keyed by whoever took it
    failures: tuple[Failure, ...]  # of the app, in order
    true: Report  # what the room did
    worksheet: Report  # what the chair wrote
    keyed: Report  # what headquarters typed first, the night's errors included
    keyed_again_at_ms: int  # by somebody else; -1 for a report by app
    sent_back: bool  # a reviewer whom its sums puzzle asks the chair to add up again
    photo_at_ms: int  # -1 where there is none
    photo_bytes: int

    @property
    def by_app(self) -> bool:
        """Whether the chair reports to the backend, step by step; else headquarters keys what it was told."""
        return self.channel == Channel.APP

    @property
    def keyed_by_staff(self) -> bool:
        """Whether headquarters types the result: told by telephone, photographed, delivered by hand."""
        return self.channel not in (Channel.NONE, Channel.APP)

    @property
    def has_chair_online(self) -> bool:
        """Whether the chair ever turns to the backend."""
        return self.by_app or bool(self.failures)

    @property
    def ends_at_ms(self) -> int:
        """When the last thing happens that is planned; -1 where nothing is."""
        failed = [failure.at_ms for failure in self.failures]
        return max(-1, self.received_at_ms, self.keyed_again_at_ms, self.photo_at_ms, *failed)


class Entry(NamedTuple):
    """A result that somebody at headquarters keys."""

    due_ms: int
    turn: int  # 1 or 2: every result is keyed twice
    site: SiteEvening


@dataclass(frozen=True)
class Evening:
    """A whole night, one entry a site in the roster's order."""

    title: str
    seed: int
    night: int
    groups: tuple[str, ...]
    sites: tuple[SiteEvening, ...]
    call_to_order_ms: int

    @cached_property
    def begins_at_ms(self) -> int:
        """When the first request is due."""
        return min((at for site in self.sites for at in _times(site)), default=self.call_to_order_ms)

    @cached_property
    def ends_at_ms(self) -> int:
        """When the last planned one is."""
        return max((site.ends_at_ms for site in self.sites), default=self.begins_at_ms)

    @cached_property
    def by_code(self) -> dict[str, SiteEvening]:
        """Each site by its code."""
        return {each.site.code: each for each in self.sites}

    @cached_property
    def keyed(self) -> tuple[SiteEvening, ...]:
        """The sites whose results staff keys, in the order of their coming."""
        found = [each for each in self.sites if each.keyed_by_staff]
        return tuple(sorted(found, key=lambda each: (each.received_at_ms, each.number)))

    def totals(self, as_the_room_did: Iterable[str] = ()) -> dict[str, tuple[int, int, int]]:
        """First alignment, final alignment and delegates of every group over all results that come in.

        A signed worksheet binds, also with a wrong sum; the sites `as_the_room_did` (codes) were made to add up again.
        """
        again = frozenset(as_the_room_did)
        sums = {group: [0, 0, 0] for group in self.groups}
        for each in self.sites:
            if each.channel == Channel.NONE:
                continue
            report = each.true if each.site.code in again else each.worksheet
            for row, counts in enumerate((report.first_alignment, report.final, report.delegates)):
                for group, count in counts.items():
                    sums[group][row] += count
        return {group: (first, final, delegates) for group, (first, final, delegates) in sums.items()}

    def entries(self, clerk: int, clerks: int) -> list[Entry]:
        """What one of so many clerks (two or more) keys, in order. Nobody keys a result twice."""
        found = []
        for number, each in enumerate(self.keyed):
            first = number % clerks
            second = (first + 1 + number // clerks % (clerks - 1)) % clerks
            if clerk == first:
                found.append(Entry(each.received_at_ms, 1, each))
            elif clerk == second:
                found.append(Entry(each.keyed_again_at_ms, 2, each))
        return sorted(found, key=lambda entry: (entry.due_ms, entry.site.number))

    def drawn(self, place: str, purpose: Purpose, ordinal: int, low: int, high: int) -> int:
        """A number of low .. high by its address: who, what for, the how many-eth."""
        return int(between(low, high, bits(self.seed, self.night, place_id(place), ordinal, purpose.value, 0)))

    def visit(self, reader: int) -> Visit:
        """When and how often a reader of the public results looks: from the call to order on, every 1 to 5 minutes."""
        minutes = between(0, 180, bits(self.seed, self.night, _PUBLIC, reader, Purpose.READS_FIRST.value, 0))
        every = between(MINUTE, 5 * MINUTE, bits(self.seed, self.night, _PUBLIC, reader, Purpose.READS_AGAIN.value, 0))
        return Visit(self.call_to_order_ms + minutes * MINUTE, every)


def right_entry(each: SiteEvening, entries: Sequence[object]) -> int:
    """Which of the entries is on the worksheet; where neither is, what the room did; else the second one."""
    for report in (each.worksheet, each.true):
        for number, entry in enumerate(entries, 1):
            if isinstance(entry, Mapping) and says(entry, report):
                return number
    return len(entries) or 1


def says(row: Mapping[str, object], report: Report) -> bool:
    """Whether a row holds the same numbers as a report; groups that are not named count nobody."""
    if row.get("attendees") not in (None, report.attendees):
        return False
    for name in ("first_alignment", "final", "delegates"):
        held, meant = row.get(name), getattr(report, name)
        if not isinstance(held, Mapping):
            return False
        if any(held.get(group, 0) != meant.get(group, 0) for group in {*held, *meant}):
            return False
    return True


def evening(scenario: Scenario, seed: int, night: int, *, small_photos: bool = False) -> Evening:
    """Play a night of `scenario` and tell what it asks of the backend; `small_photos` are of a few kilobytes."""
    return evening_of(play_night(scenario, seed, night, log=True), small_photos=small_photos)


def evening_of(played: Night, *, small_photos: bool = False) -> Evening:
    """The same of a night that was played with its log."""
    setting = played.setting
    failures = _failures(played)
    sizes = SMALL_PHOTO_BYTES if small_photos else PHOTO_BYTES
    return Evening(
        title=setting.spec.title,
        seed=setting.luck.seed,
        night=setting.luck.night,
        groups=setting.groups,
        sites=tuple(_site(played, number, failures.get(number, ()), sizes) for number in range(setting.sites)),
        call_to_order_ms=setting.call_to_order,
    )


def _site(night: Night, number: int, failures: tuple[Failure, ...], sizes: tuple[int, int]) -> SiteEvening:
    played, setting, roster = night.played, night.setting, night.setting.roster
    room, place = setting.rooms[number], int(roster.places[number])
    channel, received = Channel(int(played.channel[number])), int(played.received_at[number])
    started, ready = int(played.started_at[number]), int(played.ready_at[number])
    counted = started + room.opening + room.counts * room.one_count if started >= 0 else -1
    worksheets, erred = setting.worksheets
    by_app = channel == Channel.APP
    is_keyed = channel not in (Channel.NONE, Channel.APP)

    def drawn(purpose: Purpose, low: int, high: int) -> int:
        return int(between(low, high, bits(setting.luck.seed, setting.luck.night, place, 0, purpose.value, 0)))

    return SiteEvening(
        number=number,
        site=Site(
            code=roster.code(number),
            id=roster.ids[number],
            county=roster.counties[number],
            precinct=roster.precincts[number],
            delegates=int(setting.delegates[number]),
            groups=setting.groups,
        ),
        channel=channel,
        counted_at_ms=counted,
        aligned_at_ms=counted + room.first if started >= 0 else -1,
        ready_at_ms=ready,
        received_at_ms=received,
        failures=failures,
        true=_report(setting, number, setting.true_records[number]),
        worksheet=_report(setting, number, worksheets[number]),
        keyed=_report(setting, number, _as_typed(setting, number, channel) if is_keyed else worksheets[number]),
        keyed_again_at_ms=received + drawn(Purpose.KEYED_AGAIN, MINUTE, 8 * MINUTE) if is_keyed else -1,
        sent_back=by_app and bool(erred[number]) and drawn(Purpose.SENT_BACK, 0, 1) == 1,
        photo_at_ms=received + drawn(Purpose.PHOTO_AT, MINUTE, 10 * MINUTE) if by_app else -1,
        photo_bytes=drawn(Purpose.PHOTO_SIZE, *sizes) if by_app else 0,
    )


def _report(setting: Setting, number: int, record: Integers) -> Report:
    first, final, delegates = (dict(zip(setting.groups, row, strict=True)) for row in record.tolist())
    return Report(setting.rooms[number].counted, first, final, delegates)


def _as_typed(setting: Setting, number: int, channel: Channel) -> Integers:
    """A record as it was typed on receipt; what the night hands over has been through its review."""
    office, worksheets = setting.office, setting.worksheets[0]
    found: Integers = np.zeros_like(worksheets[number])
    records.key(
        *(setting.luck.seed, setting.luck.night, int(setting.roster.places[number])),
        int(office.field_share[channel]),
        office.ballot,
        office.kinds,
        worksheets[number],
        worksheets[(number + 1) % setting.sites],
        found,
    )
    return found


def _failures(night: Night) -> dict[int, tuple[Failure, ...]]:
    """By site, in order: the night's log tells when, and why is read again from where the night drew it."""
    setting, luck, app = night.setting, night.setting.luck, night.setting.app
    assert night.played.log is not None  # `evening_of` is given nights with their log
    rows = night.played.log[night.played.log[:, _KIND] == Kind.APP_FAILED]
    found: dict[int, list[Failure]] = {}
    for at, number, attempt in rows[:, [_AT, _SITE, _ATTEMPT]].tolist():
        place = int(setting.roster.places[number])
        began = at - luck.duration(app.hang, Stream.APP_HANG, place, 0, attempt)
        if is_out(app.outages, began) or luck.happens(app.no_signal, Stream.NO_SIGNAL, place):
            trouble = Trouble.NO_ANSWER
        elif luck.happens(app.login_fails, Stream.LOGIN_FAILS, place, 0, attempt):
            trouble = Trouble.WRONG_PIN
        else:
            trouble = Trouble.BROKEN_OFF
        found.setdefault(number, []).append(Failure(at, trouble))
    return {number: tuple(sorted(several)) for number, several in found.items()}


def _times(each: SiteEvening) -> Iterator[int]:
    """When a site asks something of the backend."""
    if each.by_app:
        yield from (each.counted_at_ms, each.aligned_at_ms, each.received_at_ms)
    elif each.keyed_by_staff:
        yield each.received_at_ms
    yield from (failure.at_ms for failure in each.failures)
