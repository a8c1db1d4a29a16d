"""The compiled twin of the SimPy model: the same night, equal in every integer and every event, for Monte Carlo."""

from __future__ import annotations

import numpy as np

from simulation.night.outcome import PerPerson, Played
from simulation.night.reporting import rota
from simulation.night.setting import Setting
from simulation.night.twin.checkin import Buildings, play_doors
from simulation.night.twin.evening import Desks, Night, Sites, play_evening
from simulation.night.twin.heap import FULL, LOGGED, Agenda
from simulation.night.twin.hotline import CALLS, Hotline
from simulation.randomness import Integers

_EVENTS_A_SITE = 8  # room to begin with; what does not suffice is doubled, and the night played again
_EVENTS = 4096


def play(setting: Setting, log: bool) -> Played:
    """Play a night that was set up; `log` keeps every event."""
    room = _EVENTS + _EVENTS_A_SITE * setting.sites
    while True:
        found = _played(setting, room, (room + 8 * int(setting.people.sum())) if log else 0)
        if found is not None:
            return found
        room *= 2


def _played(setting: Setting, room: int, rows: int) -> Played | None:
    """The night, or None where it did not fit into `room` events and calls, and `rows` of a log."""
    agenda = Agenda.with_room(room, rows)
    sites = setting.sites
    arrived_at, in_at, wait_ms = np.zeros((3, int(setting.people.sum())), np.int64)
    forms_ran_out_at, gone_at = np.zeros((2, sites), np.int64)
    luck = setting.luck
    play_doors(
        luck.seed,
        luck.night,
        setting.roster.places,
        setting.people,
        setting.offsets,
        setting.stations,
        Buildings.of(setting.roster.building),
        setting.at_the_door,
        agenda,
        arrived_at,
        in_at,
        wait_ms,
        forms_ran_out_at,
        gone_at,
    )
    phone = setting.telephone
    worksheets, chair_erred = setting.worksheets
    night = Night(
        seed=luck.seed,
        number=luck.night,
        resolution=luck.resolution,
        doors_open=setting.doors_open,
        call_to_order=setting.call_to_order,
        until=setting.until,
        places=setting.roster.places,
        people=setting.people,
        delegates=setting.delegates,
        rooms=setting.room_table,
        records=setting.true_records,
        worksheets=worksheets,
        chair_erred=chair_erred,
        line_gone_at=gone_at,
    )
    told, reported = Sites.of(sites), np.zeros_like(worksheets)
    line, desks = Hotline.with_room(phone.lines, room), Desks.of(sites, setting.office.reviewers)
    on_duty = rota(phone.shifts)
    changes = np.array(on_duty, dtype=np.int64).reshape(-1, 2)
    first_stranger, answered = np.zeros(len(phone.windows) + 1, np.int64), np.zeros(room, np.int64)
    tonight = (setting.app, phone, setting.office)
    play_evening(night, *tonight, changes, first_stranger, answered, told, reported, line, desks, agenda)
    if agenda.count[FULL]:
        return None

    def per_person(values: Integers) -> PerPerson:
        return PerPerson(values, setting.offsets)

    return Played(
        setting=setting,
        arrived_at=per_person(arrived_at),
        in_at=per_person(in_at),
        wait_ms=per_person(wait_ms),
        forms_ran_out_at=forms_ran_out_at,
        started_at=told.started_at,
        ready_at=told.ready_at,
        app_attempts=told.app_attempts,
        received_at=told.received_at,
        channel=told.channel,
        cleared_at=told.cleared_at,
        released_at=told.released_at,
        reported=reported,
        keying_errors=told.keying_errors,
        findings=told.findings,
        calls=line.calls[: line.count[CALLS]],
        on_duty=on_duty,
        log=agenda.log[: agenda.count[LOGGED]] if rows else None,
    )
