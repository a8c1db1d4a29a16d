"""One night: set up by luck, played on the clock, and what it came to."""

from __future__ import annotations

import numpy as np

from simulation.night.checkin import Building, Line
from simulation.night.clock import Clock
from simulation.night.evening import Evening
from simulation.night.events import EventLog
from simulation.night.luck import Luck
from simulation.night.outcome import Night, Played
from simulation.night.setting import Door, Setting
from simulation.scenario import Scenario

__all__ = ["Luck", "Night", "play_night"]


def play_night(scenario: Scenario, seed: int, night: int, *, fixed: bool = False, log: bool = False) -> Night:
    """Play one night on the SimPy engine; `fixed` holds assumptions at their middle, `log` keeps every event."""
    luck = Luck(seed, night, scenario.spec.clock.resolution, fixed)
    setting = Setting(scenario, luck)
    written: EventLog | None = [] if log else None
    doors = setting.doors()
    lines = _check_in(setting, doors, written)
    gone = np.array([int(line.in_at.max(initial=0)) for line in lines], dtype=np.int64)

    clock = Clock()
    evening = Evening(clock, setting, gone, written)
    clock.run(until=setting.until)
    held = evening.headquarters
    return Night(
        Played(
            setting=setting,
            wait_ms=[line.wait_ms for line in lines],
            in_at=[line.in_at for line in lines],
            arrived_at=[door.arrives for door in doors],
            stations=np.array([door.stations for door in doors], dtype=np.int64),
            forms_ran_out_at=np.array([line.forms_ran_out_at for line in lines], dtype=np.int64),
            started_at=np.array(evening.started_at, dtype=np.int64),
            ready_at=np.array(evening.ready_at, dtype=np.int64),
            app_attempts=np.array(evening.app_attempts, dtype=np.int64),
            received_at=held.received_at,
            channel=held.channel,
            cleared_at=held.cleared_at,
            released_at=held.released_at,
            reported=held.reported,
            keying_errors=held.keying_errors,
            findings=held.findings,
            calls=evening.hotline.calls,
            on_duty=evening.hotline.rota,
            log=written,
        )
    )


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
