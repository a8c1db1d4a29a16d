"""Known truth: breaking points found at servers whose breaking point is computed, over real sockets.

One server of fixed service time 20 times, and 3 times each: the same by Locust's master and two workers, several
servers, a token bucket, a knee from lock contention, and one that retries keep down. The interval must contain the
truth in at least 19 of 20 runs and 3 of 3, be at most 5 % wide from 1,000/s on, and take at most 4 minutes; the last
one must be named metastable with retries, and not without. The truth of a step is the queue's own recursion, played
many times. Prints one JSON object; exit 1 where a limit does not hold. Takes hours: `--runs 2 --others 1` for a look,
`--kept FILE` to go on later where it stopped. Others on the machine make trials void.
"""

# ruff: noqa: E402  # the project's root comes first: the servers are the tests'
from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from loadtests.breaking_point import BUDGET_S, STEP_S, BreakingPoint
from loadtests.objectives import Objective, judge, parse_objectives
from loadtests.search.stress import Made, Stress
from loadtests.target.guards import allowed
from loadtests.trial import SECOND, Sample, Trial
from tests.system.loadtests.servers import Departure, bucket, lock, queue, serving

SOURCE = "tests.system.loadtests.servers:numbered"
OBJECTIVES = ("p99(latency) < 2 s", "error_share < 0.5 %")
TIMEOUT_S = 10.0
WIDTH = 0.05
BROAD_FROM_PER_S = 1000.0


@dataclass(frozen=True)
class Known:
    """A server, as its process is told and as a recursion plays it."""

    arguments: tuple[object, ...]
    fresh: Callable[[], Departure]
    capacity_per_s: float
    metastable: bool = False  # with clients who try again
    workers: int = 1


KNOWN = {
    "one server, 1,000/s": Known(("queue", "--service-ms", 1), lambda: queue(1, 1_000_000, 1_000_000), 1000),
    "one server, 1,000/s, Locust's master and two workers": Known(
        ("queue", "--service-ms", 1), lambda: queue(1, 1_000_000, 1_000_000), 1000, workers=2
    ),
    "8 servers, 1,600/s": Known(
        ("queue", "--servers", 8, "--service-ms", 5), lambda: queue(8, 5_000_000, 1_000_000), 1600
    ),
    "a token bucket, 1,200/s": Known(("bucket", "--per-s", 1200, "--burst", 60), lambda: bucket(1200, 60), 1200),
    "lock contention, 1,250/s": Known(
        ("lock", "--service-ms", 0.8, "--room", 2000), lambda: lock(800_000, 60, 0.002, 2.0, 2000), 1250
    ),
    "a queue of 3 s before one server, 1,000/s": Known(
        ("queue", "--service-ms", 1, "--room", 3000), lambda: queue(1, 1_000_000, 3000), 1000, metastable=True
    ),
}


def played(due_s: np.ndarray[Any, Any], departure: Departure, seconds: float) -> Trial:
    """What a generator that is never late would see."""
    due = np.rint(due_s * SECOND).astype(np.int64)
    answers = [departure(at) for at in (due + SECOND).tolist()]  # a clock does not begin at 0
    good = np.array([at is not None for at in answers], bool)
    done = np.array([at - SECOND if at is not None else due[n] for n, at in enumerate(answers)], np.int64)
    in_time = done - due <= TIMEOUT_S * SECOND
    count = np.arange(len(due))
    return Trial(
        Sample(
            seconds, ("numbered",), count, np.zeros_like(count), due, due,
            np.where(in_time, done, due + int(TIMEOUT_S * SECOND)), np.where(good, 200, 503), good & in_time,
        )
    )  # fmt: skip


def truth_per_s(known: Known, objectives: list[Objective], steps: int, seed: int = 7, seconds: float = STEP_S) -> float:
    """The load at which half of all steps break: each step's luck is fixed, the load at which it breaks bisected."""
    rng = np.random.default_rng(seed)
    breaks = []
    for _ in range(steps):
        times = np.cumsum(rng.exponential(size=int(known.capacity_per_s * seconds * 1.4)))
        low, high = 0.85, 1.15
        for _ in range(8):
            middle = (low + high) / 2
            due = times / (middle * known.capacity_per_s)
            holds = judge(played(due[due < seconds], known.fresh(), seconds), objectives).holds
            low, high = (middle, high) if holds else (low, middle)
        breaks.append((low + high) / 2 * known.capacity_per_s)
    return float(np.median(breaks))


def found_at(known: Known, seed: int, budget_s: float) -> BreakingPoint:
    """One search."""
    objectives = parse_objectives(OBJECTIVES)
    cores = sorted(os.sched_getaffinity(0))
    core = ("--core", cores[-1]) if len(cores) > 1 else ()
    with serving(*known.arguments, *core) as server:
        made = Made(
            SOURCE,
            allowed(server.url),
            workers=known.workers,
            most_workers=max(known.workers, len(cores) - 1),
            cores=tuple(cores[:-1]),
        )
        with Stress(made, seed=seed, objective_s=2.0, watch=lambda: {"service": [server.process_id]}) as stress:
            start = float(np.random.default_rng(seed).uniform(100, 250))
            return stress.find(
                objectives, flow="numbered", start_per_s=start, budget_s=budget_s, recovers=known.metastable,
                tried=lambda tried: _say(f"    {tried.rate_per_s:8.1f}/s {tried.trial.seconds:3.0f} s "
                                         f"{tried.trial.void or ('holds' if tried.judgement.holds else 'breaks')}"),
            )  # fmt: skip


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def row(name: str, seed: int, known: Known, truth: float, point: BreakingPoint) -> dict[str, Any]:
    """One search, held against the truth."""
    low, high = point.requests_per_s
    retried = [one.metastable for one in point.recoveries if one.retries]
    alone = [one.metastable for one in point.recoveries if not one.retries]
    return {
        "server": name,
        "seed": seed,
        "truth_per_s": round(truth, 1),
        "interval": [round(low, 1), None if high is None else round(high, 1)],
        "contains": high is not None and low <= truth <= high,
        "width": point.width,
        "valid": point.valid,
        "why": point.why,
        "seconds": round(point.seconds, 1),
        "load": round(os.getloadavg()[0], 1),
        "void": sum(tried.trial.void is not None for tried in point.trials if tried.kind != "probe"),
        "trials": sum(tried.kind != "probe" for tried in point.trials),
        **({"metastable_with_retries": retried, "metastable_without": alone} if known.metastable else {}),
    }


def _kept(path: Path | None) -> dict[tuple[str, int], dict[str, Any]]:
    if path is None or not path.exists():
        return {}
    whole = path.read_text(encoding="utf-8").split("\n")[:-1]  # what follows the last end of a line was broken off
    path.write_text("".join(f"{line}\n" for line in whole), encoding="utf-8")
    rows = [json.loads(line) for line in whole]
    return {(each["server"], each["seed"]): each for each in rows}


def main() -> None:
    """Search, and hold it against the truth."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--runs", type=int, default=20, help="of the first server")
    options.add_argument("--others", type=int, default=3, help="of each of the others")
    options.add_argument("--budget", type=float, default=BUDGET_S, help="seconds a search")
    options.add_argument("--steps", type=int, default=60, help="that the truth is computed from")
    options.add_argument("--only", default="", help="servers whose name has this in it")
    options.add_argument(
        "--kept", type=Path, help="a file of searches that were made, one a line: they are not made again"
    )
    given = options.parse_args()
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # servers and generators end with it
    objectives = parse_objectives(OBJECTIVES)
    kept = _kept(given.kept)
    rows = []
    for number, (name, known) in enumerate(KNOWN.items()):
        if given.only not in name:
            continue
        asked = range(given.others if number else given.runs)
        rows += [kept[name, seed] for seed in asked if (name, seed) in kept]
        seeds = [seed for seed in asked if (name, seed) not in kept]
        if not seeds:
            continue
        began = time.monotonic()
        truth = truth_per_s(known, objectives, given.steps)
        _say(f"{name}: truth {truth:.1f}/s ({time.monotonic() - began:.0f} s)")
        for seed in seeds:
            point = found_at(known, seed, given.budget)
            rows.append(row(name, seed, known, truth, point))
            _say(json.dumps(rows[-1]))
            if given.kept is not None:
                with given.kept.open("a", encoding="utf-8") as lines:
                    lines.write(json.dumps(rows[-1]) + "\n")
    first = [each for each in rows if each["server"] == next(iter(KNOWN))]
    rest = [each for each in rows if each["server"] != next(iter(KNOWN))]
    limits = {
        "contains_19_of_20": sum(each["contains"] for each in first) >= 0.95 * len(first),
        "contains_3_of_3": all(each["contains"] for each in rest),
        "narrow": all(
            each["width"] is not None and each["width"] <= WIDTH
            for each in rows
            if each["truth_per_s"] >= BROAD_FROM_PER_S
        ),
        "within_4_minutes": all(each["seconds"] <= given.budget + 1 for each in rows),
        "metastable_is_named": all(
            all(each["metastable_with_retries"]) and not any(each["metastable_without"])
            for each in rows
            if "metastable_with_retries" in each
        ),
    }
    print(json.dumps({"benchmark": "breaking_point", "load": os.getloadavg()[0], "rows": rows, "limits": limits}))
    sys.exit(0 if all(limits.values()) else 1)


if __name__ == "__main__":
    main()
