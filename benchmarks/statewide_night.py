"""A statewide night of 240,000 people, hotline jammed, on both engines: equal in every integer, and how much faster.

Beside them the check-in lines alone, compiled and as textbook SimPy: every person a process with `Resource.request`,
without what the night adds (forms, people missing from the list, wrong lines, the order of simultaneous events).
Prints one JSON object on stdout; exit 1 where a limit does not hold. Limits are meant for a machine that rests.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeVar

import simpy

from simulation import load
from simulation.night import Night, check_in, play_night
from simulation.night.divergence import first_difference
from simulation.night.luck import Luck
from simulation.night.setting import Door, Setting
from simulation.scenario import Scenario

T = TypeVar("T")

PEOPLE = 240_000
SEED = 3
LIMITS = {"ratio_at_least": 100, "simpy_s_at_most": 25, "compiled_cpu_ms_at_most": 60}

# What a first use waits for: a new process that imports, sets up and plays one small night.
FIRST_NIGHT = """
import time
begun = time.perf_counter()
from simulation import load
from simulation.night import play_night
scenario = load("iowa-2020", **{"turnout.people": 2_000})
loaded = time.perf_counter()
play_night(scenario, 0, 0)
ended = time.perf_counter()
print(loaded - begun, ended - loaded)
"""


class Took(NamedTuple):
    """Seconds of some work: on the clock, and on the processor, which other processes disturb less."""

    wall: float
    cpu: float


def timed(work: Callable[[], T]) -> tuple[T, Took]:
    """What work returns, and how long it took."""
    wall, cpu = time.perf_counter(), time.process_time()
    found = work()
    return found, Took(time.perf_counter() - wall, time.process_time() - cpu)


def milliseconds(seconds: Iterable[float]) -> float:
    """The median of seconds, in ms."""
    return round(1000 * statistics.median(seconds), 1)


def wall(times: Sequence[Took]) -> list[float]:
    """On the clock."""
    return [took.wall for took in times]


def peak_mib() -> int:
    """The most memory that this process has held so far."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def first_use() -> dict[str, float]:
    """Seconds of a new process' first night: with an empty cache (it compiles), then with the cache that this left."""
    found: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="caucus-benchmark-") as folder:
        environment = os.environ | {"XDG_CACHE_HOME": folder}
        for name in ("fresh_cache", "warm_cache"):
            said = subprocess.run(
                [sys.executable, "-c", FIRST_NIGHT], env=environment, check=True, capture_output=True, text=True
            )
            importing, playing = map(float, said.stdout.split())
            found |= {f"{name}_imports_s": round(importing, 2), f"{name}_first_night_s": round(playing, 2)}
    return found


def played_whole(scenario: Scenario, night: int) -> Night:
    """A night with its row and its precincts, as a run keeps it."""
    found = play_night(scenario, SEED, night)
    _ = found.row, found.precincts
    return found


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


def play_textbook(doors: Sequence[Door]) -> None:
    """All lines, one after the other."""
    for door in doors:
        textbook(door)


def main() -> None:
    """Measure both engines on the same nights, and compare what they played."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--nights", type=int, default=15, help="compiled nights of which the median is taken")
    options.add_argument("--people", type=int, default=PEOPLE, help="statewide")
    asked = options.parse_args()

    first = first_use()
    scenario = load("iowa-2020", **{"turnout.people": asked.people})
    played_whole(load("iowa-2020", **{"turnout.people": 2_000}), 0)  # the machine code is read, polars is imported

    night, took = timed(lambda: play_night(scenario, SEED, 0))
    of_playing, of_whole, of_check_in = [took], [], []
    for number in range(1, asked.nights + 1):
        of_playing.append(timed(partial(play_night, scenario, SEED, number))[1])
        of_whole.append(timed(partial(played_whole, scenario, number))[1])
        of_check_in.append(timed(partial(check_in, scenario, SEED, number))[1])
    compiled_peak = peak_mib()

    by_simpy, of_simpy = timed(lambda: play_night(scenario, SEED, 0, engine="simpy"))
    difference = first_difference(by_simpy, night, ("simpy", "compiled"))
    simpy_peak = peak_mib()
    logged = [play_night(scenario, SEED, 1, engine=engine, log=True) for engine in ("simpy", "compiled")]
    difference = difference or first_difference(logged[0], logged[1], ("simpy", "compiled"))

    doors = Setting(scenario, Luck(SEED, 0, scenario.spec.clock.resolution)).doors()
    _, of_textbook = timed(lambda: play_textbook(doors))

    compiled_ms, check_in_ms = milliseconds(wall(of_playing)), milliseconds(wall(of_check_in))
    ratio = round(1000 * of_simpy.wall / compiled_ms, 1)
    compiled_cpu_ms = milliseconds(took.cpu for took in of_playing)
    missed = [
        sentence
        for holds, sentence in (
            (difference is None, f"the engines played different nights: {difference}"),
            (ratio >= LIMITS["ratio_at_least"], f"compiled is {ratio} times as fast as SimPy"),
            (of_simpy.wall <= LIMITS["simpy_s_at_most"], f"SimPy took {of_simpy.wall:.1f} s"),
            (compiled_cpu_ms <= LIMITS["compiled_cpu_ms_at_most"], f"a compiled night took {compiled_cpu_ms} ms"),
        )
        if not holds
    ]
    result: dict[str, Any] = {
        "benchmark": "statewide_night",
        "sites": night.row["sites"],
        "people": night.row["people"],
        "calls": night.row["calls"],
        "events_of_night_1": len(logged[0].played.log if logged[0].played.log is not None else ()),
        "equal": difference is None,
        "compiled_ms": compiled_ms,
        "compiled_fastest_ms": round(1000 * min(wall(of_playing)), 1),
        "compiled_slowest_ms": round(1000 * max(wall(of_playing)), 1),
        "compiled_nights": len(of_playing),
        "compiled_with_row_and_precincts_ms": milliseconds(wall(of_whole)),
        "simpy_s": round(of_simpy.wall, 2),
        "ratio": ratio,
        "compiled_cpu_ms": compiled_cpu_ms,
        "simpy_cpu_s": round(of_simpy.cpu, 2),
        "ratio_of_cpu": round(1000 * of_simpy.cpu / compiled_cpu_ms, 1),
        "check_in_alone_ms": check_in_ms,
        "textbook_simpy_check_in_s": round(of_textbook.wall, 2),
        "check_in_ratio": round(1000 * of_textbook.wall / check_in_ms),
        **first,
        "peak_memory_compiled_mib": compiled_peak,
        "peak_memory_simpy_mib": simpy_peak,
        "load_average": round(os.getloadavg()[0], 1),
        "limits": LIMITS,
        "missed": missed,
        "ok": not missed,
    }
    print(json.dumps(result))
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
