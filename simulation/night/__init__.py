"""One night: set up by luck, played on the clock, and what it came to."""

from __future__ import annotations

import numpy as np

from simulation.night.checkin import Building
from simulation.night.clock import Clock
from simulation.night.evening import Evening
from simulation.night.events import EventLog
from simulation.night.luck import Luck
from simulation.night.outcome import Night, Played
from simulation.night.setting import Setting
from simulation.randomness import Integers
from simulation.scenario import Scenario

__all__ = ["Luck", "Night", "play_night"]


def play_night(scenario: Scenario, seed: int, night: int, *, fixed: bool = False, log: bool = False) -> Night:
    """Play one night on the SimPy engine; `fixed` holds assumptions at their middle, `log` keeps every event."""
    luck = Luck(seed, night, scenario.spec.clock.resolution, fixed)
    setting = Setting(scenario, luck)
    written: EventLog | None = [] if log else None
    wait_ms, in_at, arrived_at = _check_in(setting, written)
    gone = np.array([int(at.max(initial=0)) for at in in_at], dtype=np.int64)

    clock = Clock()
    evening = Evening(clock, setting, gone, written)
    clock.run(until=setting.until)
    held = evening.headquarters
    return Night(
        Played(
            setting=setting,
            wait_ms=wait_ms,
            in_at=in_at,
            arrived_at=arrived_at,
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


def _check_in(setting: Setting, log: EventLog | None) -> tuple[list[Integers], list[Integers], list[Integers]]:
    """Play the doors of every building, each on a clock of its own; waits, times of entry and arrivals by site."""
    doors = setting.doors()
    by_building: dict[int, list[int]] = {}
    for site, building in enumerate(setting.roster.building.tolist()):
        by_building.setdefault(building, []).append(site)
    wait_ms = [door.arrives for door in doors]
    in_at = [door.arrives for door in doors]
    for sites in by_building.values():
        clock = Clock()
        building = Building(clock, [doors[site] for site in sites], log)
        clock.run()
        for number, site in enumerate(sites):
            wait_ms[site], in_at[site] = building.wait_ms[number], building.in_at[number]
    return wait_ms, in_at, [door.arrives for door in doors]
