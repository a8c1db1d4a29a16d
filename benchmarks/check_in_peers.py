"""The check-in kernel against other simulators on the same work: lines with three stations (M/M/3), one core each.

Every program plays the same number of lines of the same number of customers, and its mean wait must be Erlang C's.
Ours goes through the public `check_in`: a roster of one-line precincts with everything of a caucus switched off that
a textbook's line does not have; it still draws by address and returns three times of every person. The peers, each in
its fastest style found, return a mean wait (see peers/). They are installed into a temporary environment that is
deleted afterwards. Seconds are those of the processor (all threads), so that nobody gains from a second core.
Prints one JSON object on stdout; exit 1 where a limit does not hold.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from dataclasses import dataclass
from math import factorial
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
STATIONS = 3
CONFIDENCE = 0.99  # of the interval of the mean wait
NARROW = 0.1  # of theory: a compiled engine's interval that is wider tells nothing
HORIZON_S = 1_600_000  # what a night's clock has room for, in seconds
SECONDS_BETWEEN = 60  # customers, where the clock has room


@dataclass(frozen=True)
class Work:
    """`batches` times `lines` lines of `customers`; the first `warm` of each are not counted."""

    customers: int
    lines: int
    batches: int
    warm: int
    utilization: float
    stations: int = STATIONS

    @property
    def json(self) -> dict[str, Any]:
        """As the peers' scripts take it."""
        return dict(vars(self))

    @property
    def theory(self) -> float:
        """The mean wait of an endless line, in mean times between customers."""
        offered = self.stations * self.utilization
        blocked = offered**self.stations / factorial(self.stations)
        blocked /= sum(offered**k / factorial(k) for k in range(self.stations + 1))
        waits = blocked / (1 - self.utilization * (1 - blocked))
        return waits * offered / (self.stations * (1 - self.utilization))


PRECINCT, ROOM, BEYOND = 200, 20_000, 200_000  # customers of a line: a precinct, the largest that a roster takes, more
LIMITS = {
    "ratio_above": 1.0,
    "in_lines_of_at_most": ROOM,
    "mean_wait": f"theory within the interval of {CONFIDENCE:.0%}",
}
CIMBA = ("cimba, events", "cimba, processes")
SLOW = ("Ciw", "salabim")
PEERS = {
    "cimba, events": ("with_cimba.py", {"style": "events"}),
    "cimba, processes": ("with_cimba.py", {"style": "processes"}),
    "Ciw": ("with_ciw.py", {}),
    "salabim": ("with_salabim.py", {}),
}


def works(quick: bool) -> list[tuple[str, Work, tuple[str, ...]]]:
    """What is measured, and against whom: what waits are compared with theory must be long lines, and many."""
    batches = 4 if quick else 20
    found: list[tuple[str, Work, tuple[str, ...]]] = []
    for utilization in (0.8, 0.9):
        for work, peers in (
            (Work(ROOM, 10, batches, 2_000, utilization), CIMBA),
            (Work(ROOM, 10, 1, 2_000, utilization), SLOW),
            (Work(PRECINCT, 1_000, batches, 0, utilization), CIMBA),
            (Work(BEYOND, 1, batches, 2_000, utilization), CIMBA),
        ):
            found.append((f"lines of {work.customers:,}, utilization {utilization}", work, peers))
    return found


def ours(work: Work) -> dict[str, list[float]]:
    """Play the work with this project's kernel; the shape that the peers' scripts print."""
    import numpy as np

    from simulation.night import check_in
    from simulation.scenario import load

    between = min(SECONDS_BETWEEN, HORIZON_S // work.customers)
    minutes = between * work.customers // 60
    ends = f"+{minutes // 1440}d {minutes // 60 % 24:02}:{minutes % 60:02}"
    textbook = {
        "turnout.people": work.customers * work.lines,
        "turnout.spread": 1,
        "turnout.local_spread": 1,
        "clock.doors": "00:00",
        "clock.call_to_order": ends,
        "clock.until": "+20d 00:00",
        "checkin.arrivals": {"uniform": {"low": 0, "high": 1}},
        "checkin.on_list": {"exponential": {"mean": f"{1000 * work.stations * work.utilization * between:.0f} ms"}},
        "checkin.stations": work.stations,
        "checkin.registering": 0,
        "checkin.missing_from_list": 0,
        "forms.short": 0,
    }
    with tempfile.TemporaryDirectory(prefix="caucus-benchmark-") as folder:
        roster = Path(folder, "lines.csv")
        rows = "".join(f"Somewhere,Line {number},5,100\n" for number in range(work.lines))
        roster.write_text(f"county,precinct,delegates,attendance\n{rows}", encoding="utf-8")
        scenario = load("baseline", textbook, roster)
        _ = scenario.roster
    check_in(scenario, 1, 0)  # the machine code is read

    warm = 1000 * between * work.warm
    found: dict[str, list[float]] = {"cpu_s": [], "wall_s": [], "waits": []}
    for batch in range(work.batches):
        cpu_from, wall_from = time.process_time(), time.perf_counter()
        played = check_in(scenario, 2, batch)
        counted = (played.arrived_at >= warm).reshape(work.lines, work.customers)  # everybody came: `spread` is 1
        waited = (played.wait_ms.reshape(work.lines, work.customers) * counted).sum(axis=1)
        means = waited / counted.sum(axis=1) / (1000 * between)
        found["cpu_s"].append(time.process_time() - cpu_from)
        found["wall_s"].append(time.perf_counter() - wall_from)
        found["waits"] += np.asarray(means).tolist()
    return found


def installed(folder: Path) -> Path:
    """A new environment with the peers; its Python."""
    print("Installing the peers into a temporary environment ...", file=sys.stderr)
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    pip = [str(python), "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-deps"]
    subprocess.run([*pip, "--require-hashes", "-r", str(HERE / "requirements-peers.txt")], check=True)
    return python


def said(command: list[str]) -> dict[str, list[float]]:
    """The JSON that a program prints."""
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, list[float]] = json.loads(done.stdout.splitlines()[-1])
    return found


def rate(work: Work, found: dict[str, list[float]]) -> float:
    """Customers per second of the median batch."""
    return work.customers * work.lines / statistics.median(found["cpu_s"])


def mean_wait(work: Work, found: dict[str, list[float]]) -> dict[str, Any]:
    """The mean wait over lines, its interval, and whether theory lies in it."""
    from scipy import stats

    waits = found["waits"]
    mean = statistics.fmean(waits)
    half_width = float(stats.t.ppf((1 + CONFIDENCE) / 2, len(waits) - 1) * stats.sem(waits))
    return {
        "mean_wait": round(mean, 4),
        "half_width": round(half_width, 4),
        "theory": round(work.theory, 4),
        "lines": len(waits),
        "ok": abs(mean - work.theory) <= half_width,
    }


def measured(python: Path, quick: bool) -> tuple[list[dict[str, Any]], list[str]]:
    """A table of rates, ratios and waits, and what misses a limit."""
    table, missed = [], []
    own: dict[str, tuple[float, dict[str, list[float]]]] = {}
    for name, work, peers in works(quick):
        print(f"{name} ...", file=sys.stderr)
        programs = []
        if name not in own:
            command = [sys.executable, str(Path(__file__).resolve()), "--play", json.dumps(work.json)]
            found = said(command)
            own[name] = rate(work, found), found
            programs.append(("caucus", found))
        for peer in peers:
            script, options = PEERS[peer]
            programs.append((peer, said([str(python), str(HERE / "peers" / script), json.dumps(work.json | options)])))
        for program, found in programs:
            row: dict[str, Any] = {
                "work": name,
                "program": program,
                "customers": work.customers * work.lines * work.batches,
                "customers_per_s": round(rate(work, found)),
                "customers_per_s_on_the_clock": round(work.customers * work.lines / statistics.median(found["wall_s"])),
            }
            if program != "caucus":
                row["ratio"] = round(own[name][0] / rate(work, found), 2)
                if row["ratio"] <= 1 and work.customers <= ROOM:
                    missed.append(f"{name}: {row['ratio']} times as fast as {program}")
            if work.warm:
                row |= mean_wait(work, found)
                if not row["ok"]:
                    missed.append(f"{name}: mean wait of {program} is not that of theory")
                if program not in SLOW and not quick and row["half_width"] > NARROW * work.theory:
                    missed.append(f"{name}: the interval of {program} is too wide to tell")
            table.append(row)
            rows = f"{program:18} {row['customers_per_s']:>12,} customers/s"
            print(f"  {rows}" + (f", ratio {row['ratio']}" if "ratio" in row else ""), file=sys.stderr)
    return table, missed


def main() -> None:
    """Install the peers, play, compare."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--play", metavar="JSON", help="play this work with the project's own kernel, and no more")
    options.add_argument("--quick", action="store_true", help="fewer batches")
    options.add_argument("--python", type=Path, help="a Python that has the peers, instead of installing them")
    asked = options.parse_args()
    if asked.play:
        print(json.dumps(ours(Work(**json.loads(asked.play)))))
        return
    with tempfile.TemporaryDirectory(prefix="caucus-benchmark-") as folder:
        table, missed = measured(asked.python or installed(Path(folder)), asked.quick)
    result = {
        "benchmark": "check_in_peers",
        "stations": STATIONS,
        "measured": table,
        "load_average": round(os.getloadavg()[0], 1),
        "limits": LIMITS,
        "missed": missed,
        "ok": not missed,
    }
    print(json.dumps(result))
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
