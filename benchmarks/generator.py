"""The load generator beside stock Locust, on one core, with the server on another; both in one run.

Three limits: at 2,000 requests a second its lateness stays under 5 ms (p99); it makes at least as many requests per
second of processor time as stock FastHttpUser at its maximum; a stall of 1 s shows in its p99, as it must.
Prints one JSON object on stdout; exit 1 where a limit does not hold. Others on the machine make it late: run it alone.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # the servers of known capacity are the tests'

RATES = (500, 1000, 2000, 4000, 8000)
LATE_S = 0.005
STALL_P99_S = (0.85, 1.0)
USERS = 20  # of Locust, who ask again as soon as they have an answer


def stock(url: str, core: int, seconds: float) -> None:
    """Locust's own way: users in a closed loop; what they report, and what that has cost."""
    os.sched_setaffinity(0, {core})
    from locust import FastHttpUser, task  # isort: skip  # it patches the process: not where anything else is measured
    import time

    import gevent
    from locust.env import Environment

    class Stock(FastHttpUser):
        host = url

        @task
        def ask(self) -> None:
            self.client.get("/r/0", name="numbered", headers={"X-Test": "1"})

    environment = Environment(user_classes=[Stock])
    runner = environment.create_local_runner()
    runner.start(USERS, spawn_rate=100)
    gevent.sleep(1)
    total = environment.stats.total
    count, used, at = total.num_requests, time.process_time(), time.monotonic()
    gevent.sleep(seconds)
    made, used, took = total.num_requests - count, time.process_time() - used, time.monotonic() - at
    p99_s = (total.get_response_time_percentile(0.99) or 0) / 1e3
    found = {"per_s": made / took, "per_cpu_s": made / used, "p99_s": p99_s, "failures": total.num_failures}
    print(json.dumps(found), flush=True)
    os._exit(0)  # its users would go on


def stock_apart(url: str, core: int, seconds: float) -> dict[str, Any]:
    """The same in a process of its own."""
    command = [sys.executable, __file__, "--stock", url, "--core", str(core), "--seconds", str(seconds)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def measured(seconds: float, server_core: int, core: int) -> dict[str, Any]:
    """All of it."""
    from loadtests.generator.processes import Generators
    from loadtests.target.guards import allowed
    from loadtests.workload import constant, poisson
    from tests.system.loadtests.servers import serving

    source = "tests.system.loadtests.servers:numbered"
    rates = []
    with (
        serving("instant", "--core", server_core) as server,
        Generators(source, allowed(server.url), cores=[core]) as generators,
    ):
        best = stock_apart(server.url, core, seconds)
        for rate in RATES:
            trial = generators.trial(poisson(rate, seconds, seed=1))
            used_s = trial.resources["generator.cpu"] * trial.seconds
            cpu = [share for row in trial.sample.cpu.values() for share in row]
            rates.append(
                {
                    "per_s": round(trial.offered_per_s),
                    "lateness_p99_ms": round(trial.lateness_p99_s * 1e3, 2),
                    "latency_p99_ms": round(trial.latency_s(0.99) * 1e3, 2),
                    "cpu": round(sum(cpu) / len(cpu), 3),
                    "per_cpu_s": round(trial.requests / (used_s or 1)),
                    "void": trial.void,
                }
            )
    stalls = {}
    with (
        serving("stall", "--core", server_core) as server,
        Generators(source, allowed(server.url), cores=[core]) as generators,
    ):
        trial = generators.trial(constant(500, 10))
        stalls["open"] = trial.latency_s(0.99)
    with serving("stall", "--core", server_core) as server:
        stalls["stock"] = stock_apart(server.url, core, 9)["p99_s"]
    return {"stock": best, "rates": rates, "stall_p99_s": stalls}


def main() -> None:
    """Measure, and hold it against the limits."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seconds", type=float, default=10.0, help="of each step")
    options.add_argument("--stock", default="", help=argparse.SUPPRESS)
    options.add_argument("--core", type=int, default=-1, help="of the generator; by default the first that we may use")
    given = options.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    core = given.core if given.core >= 0 else cores[0]
    if given.stock:
        stock(given.stock, core, given.seconds)
        return
    if len(cores) < 2:
        sys.exit("needs two cores: one for the generator, one for the server")
    found = measured(given.seconds, cores[1] if core == cores[0] else cores[0], core)
    at_2000 = next(row for row in found["rates"] if row["per_s"] > 1500)
    counted = [row["per_cpu_s"] for row in found["rates"] if row["void"] is None] or [at_2000["per_cpu_s"]]
    low, high = STALL_P99_S
    limits = {
        "late_at_2000": at_2000["lateness_p99_ms"] < LATE_S * 1e3,
        "requests_per_cpu_s": max(counted) >= found["stock"]["per_cpu_s"],
        "stall_is_seen": low < found["stall_p99_s"]["open"] < high,
    }
    print(json.dumps({"benchmark": "generator", "load": os.getloadavg()[0], **found, "limits": limits}))
    sys.exit(0 if all(limits.values()) else 1)


if __name__ == "__main__":
    main()
