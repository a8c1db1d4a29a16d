"""Figures and the night's records: how one becomes the other, what is mistyped, and what the checks find.

For the room, for bots and for paper alike. Knows nothing of seats and of time.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from simulation.night import records
from simulation.night.records import DELEGATES, FINAL, FIRST
from simulation.night.reporting import screen
from simulation.randomness import Integers
from simulation.rehearsal.findings import ATTENDANCE
from simulation.rehearsal.world import Figures
from simulation.rules.record import explain

if TYPE_CHECKING:
    from simulation.night.order import Channel
    from simulation.night.setting import Setting


def array_of(setting: Setting, figures: Figures) -> Integers:
    """Figures as a record of the night: int64[3, groups]."""
    found = np.zeros((3, len(setting.groups)), np.int64)
    for row, counts in zip((FIRST, FINAL, DELEGATES), figures.rows().values(), strict=True):
        for group, count in counts.items():
            if group in setting.groups:
                found[row, setting.groups.index(group)] = min(max(0, int(count)), 1 << 40)
    return found


def figures_of(setting: Setting, record: Integers, attendees: int) -> Figures:
    """A record of the night as figures."""
    rows = [
        {group: int(count) for group, count in zip(setting.groups, row, strict=True) if count}
        for row in (record[FIRST], record[FINAL], record[DELEGATES])
    ]
    return Figures(attendees, *rows)


def keyed(setting: Setting, site: int, figures: Figures, channel: Channel, place: int | None = None) -> Figures:
    """What somebody types, with the night's keying errors at a precinct's address, or at one of its own (`place`)."""
    luck, office = setting.luck, setting.office
    record = array_of(setting, figures)
    typed = np.zeros_like(record)
    records.key(
        *(luck.seed, luck.night, int(setting.roster.places[site]) if place is None else place),
        int(office.field_share[channel]),
        office.ballot,
        office.kinds,
        record,
        setting.worksheets[0][(site + 1) % setting.sites],
        typed,
    )
    return figures_of(setting, typed, figures.attendees)


def codes(setting: Setting, figures: Figures, delegates: int) -> tuple[str, ...]:
    """What headquarters' checks find: keys of `rules.record.KINDS`, and "attendance"."""
    office = setting.office
    found = explain(int(screen(array_of(setting, figures), delegates, office.regime, office.ballot, office.checks)))
    if office.checks and sum(figures.first_alignment.values()) != figures.attendees and not office.ballot:
        found.append(ATTENDANCE)
    return tuple(found)


def same(one: Figures, other: Figures) -> bool:
    """Whether two reports say the same; groups without anybody may be left out."""

    def plain(figures: Figures) -> list[dict[str, int]]:
        return [{group: count for group, count in counts.items() if count} for counts in figures.rows().values()]

    return one.attendees == other.attendees and plain(one) == plain(other)


def differences(given: Figures, right: Figures, groups: Iterable[str]) -> list[tuple[str, int, int]]:
    """The fields in which two sets of figures differ: (field, given, right)."""
    found = [("attendees", given.attendees, right.attendees)] if given.attendees != right.attendees else []
    for (row, one), other in zip(given.rows().items(), right.rows().values(), strict=True):
        found += [
            (f"{row}.{group}", one.get(group, 0), other.get(group, 0))
            for group in groups
            if one.get(group, 0) != other.get(group, 0)
        ]
    return found
