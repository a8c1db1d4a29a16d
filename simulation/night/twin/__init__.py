"""The compiled twin of the SimPy model: the same night, equal in every integer and every event, for Monte Carlo."""

from __future__ import annotations

import numpy as np

from simulation import compiled
from simulation.night.events import NAMES
from simulation.night.outcome import PerPerson, Played
from simulation.night.reporting import rota
from simulation.night.setting import Setting
from simulation.night.twin.checkin import Buildings, play_doors
from simulation.night.twin.evening import play_evening
from simulation.night.twin.heap import Count
from simulation.night.twin.world import Site, World
from simulation.randomness import Integers

_EVENTS_A_SITE = 8  # room to begin with; what does not suffice is doubled, and the night played again
_EVENTS = 4096
_EVENTS_A_PERSON = 8  # in the log


def play(setting: Setting, log: bool) -> Played:
    """Play a night that was set up; `log` keeps every event."""
    room = _EVENTS + _EVENTS_A_SITE * setting.sites
    while True:
        rows = room + _EVENTS_A_PERSON * int(setting.people.sum()) if log else 0
        found = _played(setting, room, rows)
        if found is not None:
            if not compiled.is_warm():
                compiled.now_warm()
            return found
        room *= 2


def _played(setting: Setting, room: int, rows: int) -> Played | None:
    """The night, or None where it did not fit into `room` events and calls, and `rows` of a log."""
    tally = np.zeros(len(Count), np.int64)
    tally[Count.LOGGED] = 0 if rows else -1
    log = np.zeros((rows, len(NAMES)), np.int64)
    by_person, (ran_out_at, gone_at) = _doors(setting, setting.stations, room, log, tally)
    on_duty = rota(setting.telephone.shifts)
    world = World.of(setting, np.array(on_duty, dtype=np.int64).reshape(-1, 2), gone_at, room, log, tally)
    play_evening(world)
    if tally[Count.FULL]:
        return None
    arrived_at, in_at, wait_ms = (PerPerson(values, setting.offsets) for values in by_person)
    return Played(
        setting=setting,
        arrived_at=arrived_at,
        in_at=in_at,
        wait_ms=wait_ms,
        forms_ran_out_at=ran_out_at,
        started_at=world.site[Site.STARTED_AT],
        ready_at=world.site[Site.READY_AT],
        app_attempts=world.site[Site.APP_ATTEMPTS],
        phones=world.phone,
        backend_peak=world.traffic[-1],
        received_at=world.site[Site.RECEIVED_AT],
        channel=world.site[Site.CHANNEL],
        cleared_at=world.site[Site.CLEARED_AT],
        released_at=world.site[Site.RELEASED_AT],
        reported=world.reported,
        keying_errors=world.site[Site.KEYING_ERRORS],
        findings=world.site[Site.FINDINGS],
        calls=world.calls(),
        on_duty=on_duty,
        log=log[: tally[Count.LOGGED]] if rows else None,
    )


def check_in(setting: Setting, stations: Integers) -> tuple[Integers, Integers]:
    """Play the doors alone: see `checkin.play_doors` for what the two arrays hold."""
    log, tally = np.zeros((0, len(NAMES)), np.int64), np.zeros(len(Count), np.int64)
    tally[Count.LOGGED] = -1
    room = _EVENTS
    while True:
        found = _doors(setting, stations, room, log, tally)
        if not tally[Count.FULL]:
            return found
        tally[Count.FULL] = 0
        room *= 2


def _doors(
    setting: Setting, stations: Integers, room: int, log: Integers, tally: Integers
) -> tuple[Integers, Integers]:
    by_person = np.zeros((3, int(setting.people.sum())), np.int64)
    by_site = np.zeros((2, setting.sites), np.int64)
    play_doors(
        *(setting.luck.seed, setting.luck.night),
        *(setting.roster.places, setting.people, setting.offsets, stations),
        Buildings.of(setting.roster.building),
        setting.at_the_door,
        np.zeros((room, 3), np.int64),
        *(log, tally),
        *(by_person, by_site),
    )
    return by_person, by_site
