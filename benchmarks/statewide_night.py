"""A statewide night of 240,000 people on the SimPy engine, beside the same check-in lines as textbook SimPy.

The textbook model gives every person a process with `Resource.request` and leaves out everything that the night adds
(forms, people missing from the list, wrong lines, the order of simultaneous events). Prints one JSON object.
"""

from __future__ import annotations

import json
import resource
import time

import simpy

from simulation import load
from simulation.night import play_night
from simulation.night.luck import Luck
from simulation.night.setting import Door, Setting

PEOPLE = 240_000
SEED = 3


def textbook(door: Door) -> None:
    """One precinct's line with SimPy's own resource; floating-point minutes, as textbooks have it."""
    env = simpy.Environment()
    stations = simpy.Resource(env, capacity=door.stations)

    def person(arrives: float, service: float) -> simpy.events.ProcessGenerator:
        yield env.timeout(arrives)
        with stations.request() as request:
            yield request
            yield env.timeout(service)

    for arrives, service in zip(door.arrives.tolist(), door.service.tolist(), strict=True):
        env.process(person(arrives / 60_000, service / 60_000))
    env.run()


def seconds(started: float) -> float:
    """Since `started`."""
    return time.perf_counter() - started


def main() -> None:
    """Play the night, then the lines alone."""
    scenario = load("iowa-2020", **{"turnout.people": PEOPLE})
    play_night(load("iowa-2020", **{"turnout.people": 2_000}), SEED, 0)  # compile first

    started = time.perf_counter()
    night = play_night(scenario, SEED, 0)
    row = night.row
    whole_night = seconds(started)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

    setting = Setting(scenario, Luck(SEED, 0))
    doors = setting.doors()
    started = time.perf_counter()
    for door in doors:
        textbook(door)
    lines_only = seconds(started)
    print(
        json.dumps(
            {
                "benchmark": "statewide_night",
                "people": row["people"],
                "sites": row["sites"],
                "calls": row["calls"],
                "whole_night_s": round(whole_night, 2),
                "textbook_lines_only_s": round(lines_only, 2),
                "ratio": round(whole_night / lines_only, 2),
                "peak_memory_mib": round(memory),
                "limits": {"whole_night_s": 25, "peak_memory_mib": 2048},
            }
        )
    )


if __name__ == "__main__":
    main()
