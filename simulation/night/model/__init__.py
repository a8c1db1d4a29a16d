"""The model of record: a night as SimPy processes, played on a clock of integer milliseconds."""

from __future__ import annotations

import numpy as np

from simulation.night.events import NAMES, EventLog
from simulation.night.model.checkin import Building, Line
from simulation.night.model.clock import Clock
from simulation.night.model.evening import Evening
from simulation.night.outcome import Called, PerPerson, Played
from simulation.night.setting import Door, Setting
from simulation.randomness import Integers


def play(setting: Setting, log: bool) -> Played:
    """Play a night that was set up; `log` keeps every event."""
    written: EventLog | None = [] if log else None
    doors = setting.doors()
    lines = _check_in(setting, doors, written)
    gone = np.array([int(line.in_at.max(initial=0)) for line in lines], dtype=np.int64)

    clock = Clock()
    evening = Evening(clock, setting, gone, written)
    clock.run(until=setting.until)
    held = evening.headquarters
    return Played(
        setting=setting,
        arrived_at=_together(setting, [door.arrives for door in doors]),
        in_at=_together(setting, [line.in_at for line in lines]),
        wait_ms=_together(setting, [line.wait_ms for line in lines]),
        forms_ran_out_at=np.array([line.forms_ran_out_at for line in lines], dtype=np.int64),
        started_at=np.array(evening.started_at, dtype=np.int64),
        ready_at=np.array(evening.ready_at, dtype=np.int64),
        app_attempts=np.array(evening.app_attempts, dtype=np.int64),
        phones=evening.backend.phones,
        backend_peak=evening.backend.traffic[-1],
        received_at=held.received_at,
        channel=held.channel,
        cleared_at=held.cleared_at,
        released_at=held.released_at,
        reported=held.reported,
        keying_errors=held.keying_errors,
        findings=held.findings,
        calls=_table([tuple(getattr(call, name) for name in Called._fields) for call in evening.hotline.calls], Called),
        on_duty=evening.hotline.rota,
        log=None if written is None else np.array(written, dtype=np.int64).reshape(-1, len(NAMES)),
    )


def _table(rows: list[tuple[int, ...]], kind: type[Called]) -> Integers:
    return np.array(rows, dtype=np.int64).reshape(-1, len(kind._fields))


def _together(setting: Setting, by_site: list[Integers]) -> PerPerson:
    return PerPerson(np.concatenate([np.empty(0, np.int64), *by_site]), setting.offsets)


def _check_in(setting: Setting, doors: list[Door], log: EventLog | None) -> list[Line]:
    """Play the doors of every building, each on a clock of its own; the lines, by site."""
    by_building: dict[int, list[int]] = {}
    for site, building in enumerate(setting.roster.building.tolist()):
        by_building.setdefault(building, []).append(site)
    lines: dict[int, Line] = {}
    for sites in by_building.values():
        clock = Clock()
        building = Building(clock, [doors[site] for site in sites], log)
        clock.run()
        lines.update(zip(sites, building.lines, strict=True))
    return [lines[site] for site in range(setting.sites)]
