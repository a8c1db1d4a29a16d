"""What the proxy costs at 2,000 requests a second: the same load on the same server, by turns through it and straight.

The server answers at once and has a core of its own; generator and proxy share the other, as in a load test. Told is
what that costs: answers that do not come in time, processor time (of one core, of the machine), latency.
Prints one JSON object on stdout; exit 1 where a limit does not hold. Others on the machine spoil it: run it alone.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # the servers of known capacity are the tests'

RATE = 2000.0
MOST_COST = 0.05
SOURCE = "tests.system.loadtests.servers:numbered"


def processor_s(pid: int) -> float:
    """Seconds of processor time that a process has used."""
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def compared(rate: float, seconds: float, rounds: int, cores: Sequence[int]) -> dict[str, Any]:
    """By turns, so that whatever else the machine does meets both."""
    from loadtests.generator.processes import Generators
    from loadtests.proxy import Proxy
    from loadtests.target.guards import allowed
    from loadtests.workload import poisson
    from tests.system.loadtests.servers import serving

    rows: dict[str, list[dict[str, float]]] = {"straight": [], "through": []}
    voids: list[str] = []
    with serving("instant", "--core", cores[1]) as server:
        straight = allowed(server.url)
        with Proxy((straight.addresses[0], straight.port)) as proxy:
            assert not isinstance(proxy.address, Path)
            through = allowed(f"http://127.0.0.1:{proxy.address[1]}")
            os.sched_setaffinity(proxy.pid, {cores[0]})
            with (
                Generators(SOURCE, straight, cores=[cores[0]]) as one,
                Generators(SOURCE, through, cores=[cores[0]]) as other,
            ):
                for generators in (one, other):
                    generators.trial(poisson(rate, 2.0, seed=99))  # what is only slow at first
                for number in range(rounds):
                    for name, generators in (("straight", one), ("through", other)):
                        used = processor_s(proxy.pid)
                        trial = generators.trial(poisson(rate, seconds, seed=number))
                        if trial.void is not None:
                            voids.append(f"{name}: {trial.void}")
                        rows[name].append(
                            {
                                "completed_share": trial.completed_per_s / trial.offered_per_s,
                                "p50_ms": trial.latency_s(0.5) * 1e3,
                                "p99_ms": trial.latency_s(0.99) * 1e3,
                                "generator_cpu": trial.resources["generator.cpu"],
                                "proxy_cpu": (processor_s(proxy.pid) - used) / seconds,
                            }
                        )
    middle = {
        name: {key: round(statistics.median(row[key] for row in some), 4) for key in some[0]}
        for name, some in rows.items()
    }
    return {"per_s": rate, **middle, "voids": voids}


def main() -> None:
    """Measure, and hold it against the limits."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seconds", type=float, default=10.0, help="of each trial")
    options.add_argument("--rounds", type=int, default=5, help="trials of each kind")
    options.add_argument("--more", type=float, action="append", default=[], help="other rates beside")
    given = options.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        sys.exit("needs two cores: one for the generator, one for the server")
    found = [compared(rate, given.seconds, given.rounds, cores) for rate in (RATE, *given.more)]
    straight, through = found[0]["straight"], found[0]["through"]
    cost = {
        "answers_in_time": round(1 - through["completed_share"] / straight["completed_share"], 4),
        "of_one_core": round(through["proxy_cpu"], 4),
        "of_the_machine": round(through["proxy_cpu"] / len(cores), 4),
        "p50_ms": round(through["p50_ms"] - straight["p50_ms"], 3),
        "p99_ms": round(through["p99_ms"] - straight["p99_ms"], 3),
    }
    limits = {
        "answers_in_time": cost["answers_in_time"] < MOST_COST,
        "of_the_machine": cost["of_the_machine"] < MOST_COST,
        "generator_was_in_time": not found[0]["voids"],
    }
    print(json.dumps({"benchmark": "proxy", "load": os.getloadavg()[0], "cores": len(cores), "cost": cost,
                      "found": found, "limits": limits}))  # fmt: skip
    sys.exit(0 if all(limits.values()) else 1)


if __name__ == "__main__":
    main()
