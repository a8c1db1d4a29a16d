"""Ten thousand nights through the real command: time, memory of all its processes, disk. And the cost of one night
from a tenth of a state to a nation of 175,000 precincts and 150 million people, which should be linear.

The rosters of other sizes are the library's own state, precinct by precinct under new ids, with six times the people
and stations, and as many operators and reviewers for each precinct at every size.
Prints one JSON object on stdout; exit 1 where a limit does not hold. Limits are meant for two cores that rest.
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
from pathlib import Path
from typing import Any

import psutil

NIGHTS = 10_000
WORKERS = 2
SIZES = {170: 9, 1_750: 5, 17_500: 2, 175_000: 1}  # precincts: how many nights, of which the median is taken
STATE = 1_750  # of the library's 1,765 precincts
PEOPLE_PER_PRECINCT = 857  # 150 million in 175,000
TIMES = 6  # what a precinct's stations and room are multiplied with: people come to six times as many
PRECINCTS_PER_OPERATOR = 70  # iowa-2020: two dozen for 1,765
PRECINCTS_PER_REVIEWER = 175
SECONDS_OF_10_000 = 480
LIMITS = {"seconds_for_10_000_nights": SECONDS_OF_10_000, "memory_gb": 1.5, "cost_per_person_largest_to_smallest": 2.0}
EVERY_S = 0.25  # between two looks at the memory
LOOKS_A_DISK_LOOK = 40


def bytes_in(folder: Path) -> int:
    """What all files below a folder hold; files may vanish meanwhile."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_blocks * 512
        except OSError:
            continue
    return total


def memory_of(process: psutil.Process) -> dict[int, int]:
    """Resident bytes of a process and all below it, by process id; pages that they share count in each."""
    found = {}
    for one in [process, *process.children(recursive=True)]:
        try:
            found[one.pid] = one.memory_info().rss
        except psutil.Error:
            continue
    return found


def many_nights(nights: int) -> dict[str, Any]:
    """Play them as a user does, and watch."""
    with tempfile.TemporaryDirectory(prefix="caucus-benchmark-") as folder:
        out = Path(folder, "run")
        command = [str(Path(sys.executable).with_name("caucus")), "simulate", "iowa-2020", "-n", str(nights)]
        command += ["--workers", str(WORKERS), "--out", str(out), "--quiet"]
        started = time.perf_counter()
        child = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        watched = psutil.Process(child.pid)
        alone: dict[int, int] = {}
        together, disk, looks = 0, 0, 0
        while child.poll() is None:
            try:
                held = memory_of(watched)
            except psutil.Error:
                held = {}
            together = max(together, sum(held.values()))
            for pid, size in held.items():
                alone[pid] = max(alone.get(pid, 0), size)
            if looks % LOOKS_A_DISK_LOOK == 0:
                disk = max(disk, bytes_in(Path(folder)))
            looks += 1
            time.sleep(EVERY_S)
        seconds = time.perf_counter() - started
        if child.returncode != 0:
            raise SystemExit(f"{' '.join(command)} ended with exit code {child.returncode}")
        main = alone.pop(child.pid, 0)
        return {
            "nights": nights,
            "seconds": round(seconds, 1),
            "ms_per_night": round(1000 * seconds / nights, 1),
            "memory_gb": round(together / 1e9, 3),
            "memory_main_gb": round(main / 1e9, 3),
            "memory_workers_gb": [round(size / 1e9, 3) for size in sorted(alone.values(), reverse=True)[:WORKERS]],
            "disk_while_playing_mb": round(max(disk, bytes_in(Path(folder))) / 1e6),
            "disk_of_result_mb": round(bytes_in(out) / 1e6, 1),
        }


def roster_of(precincts: int, file: Path) -> None:
    """Write a roster of so many precincts, made of the library's state."""
    import polars as pl

    from simulation.roster import synthesize

    state = synthesize().frame().head(STATE)
    if precincts < STATE:
        state = state.gather_every(STATE // precincts).head(precincts)
    many = pl.col("stations", "volunteers", "capacity", "attendance") * TIMES
    copies = [
        state.with_columns(
            many,
            pl.concat_str(pl.col("id"), pl.lit(f" of state {number}")).alias("id"),
            *(pl.concat_str(pl.col(name), pl.lit(f" {number}")).alias(name) for name in ("county", "building")),
        )
        for number in range(precincts // len(state))
    ]
    pl.concat(copies).write_csv(file)


def size(precincts: int) -> dict[str, Any]:
    """Nights of so many precincts in this process."""
    from simulation.night import play_night
    from simulation.scenario import load

    with tempfile.TemporaryDirectory(prefix="caucus-benchmark-") as folder:
        file = Path(folder, "roster.csv")
        roster_of(precincts, file)
        overrides = {
            "turnout.people": PEOPLE_PER_PRECINCT * precincts,
            "hotline.operators": max(1, round(precincts / PRECINCTS_PER_OPERATOR)),
            "headquarters.reviewers": max(1, round(precincts / PRECINCTS_PER_REVIEWER)),
        }
        started = time.perf_counter()
        scenario = load("iowa-2020", overrides, file)
        sites = len(scenario.roster)
        read_s = time.perf_counter() - started
    warm = play_night(load("iowa-2020", {"turnout.people": 2_000}), 1, 0)
    _ = warm.row, warm.precincts
    del warm
    playing, whole = [], []
    for number in range(SIZES.get(precincts, 1)):
        started = time.perf_counter()
        night = play_night(scenario, 1, number)
        playing.append(time.perf_counter() - started)
        _ = night.row, night.precincts
        whole.append(time.perf_counter() - started)
        people, calls = night.row["people"], night.row["calls"]
        del night
    seconds = statistics.median(whole)
    return {
        "precincts": sites,
        "people": people,
        "calls": calls,
        "nights": len(whole),
        "roster_read_s": round(read_s, 2),
        "playing_s": round(statistics.median(playing), 4),
        "night_s": round(seconds, 4),
        "us_per_precinct": round(1e6 * seconds / sites, 1),
        "ns_per_person": round(1e9 * seconds / people, 1),
        "memory_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9, 2),
    }


def sizes(largest: int) -> list[dict[str, Any]]:
    """Each in a process of its own, so that each has its own peak of memory."""
    found = []
    for precincts in SIZES:
        if precincts > largest:
            continue
        print(f"{precincts:,} precincts ...", file=sys.stderr)
        command = [sys.executable, str(Path(__file__).resolve()), "--precincts", str(precincts)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        found.append(json.loads(done.stdout.splitlines()[-1]))
    return found


def main() -> None:
    """Measure both."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--nights", type=int, default=NIGHTS, help="of the run; 0 leaves it out")
    options.add_argument("--largest", type=int, default=max(SIZES), help="most precincts of a night; 0 leaves them out")
    options.add_argument("--precincts", type=int, help="measure a night of so many precincts, and no more")
    asked = options.parse_args()
    if asked.precincts:
        print(json.dumps(size(asked.precincts)))
        return
    missed = []
    result: dict[str, Any] = {"benchmark": "many_nights"}
    if asked.nights:
        print(f"{asked.nights:,} nights ...", file=sys.stderr)
        run = many_nights(asked.nights)
        result["run"] = run
        if run["seconds"] > SECONDS_OF_10_000 * max(asked.nights, 1_000) / NIGHTS:  # a short run is mostly its start
            missed.append(f"{asked.nights:,} nights took {run['seconds']} s")
        if run["memory_gb"] > LIMITS["memory_gb"]:
            missed.append(f"the processes held {run['memory_gb']} GB")
    by_size = sizes(asked.largest)
    if by_size:
        ratios = {
            f"{per}_largest_to_smallest": round(by_size[-1][per] / by_size[0][per], 2)
            for per in ("us_per_precinct", "ns_per_person")
        }
        result |= {"by_size": by_size, **ratios}
        if ratios["ns_per_person_largest_to_smallest"] > LIMITS["cost_per_person_largest_to_smallest"]:
            missed.append(f"a person costs {ratios['ns_per_person_largest_to_smallest']} times as much in the largest")
    result |= {
        "load_average": round(os.getloadavg()[0], 1),
        "limits": LIMITS,
        "missed": missed,
        "ok": not missed,
    }
    print(json.dumps(result))
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
