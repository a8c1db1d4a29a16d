"""What shared luck is worth: the variance of a difference of two plans, independent luck over shared luck.

Through the real command, `caucus compare iowa-2020`: levers on the hotline (its operators) and at the doors (check-in
stations). The nearer two plans are, the more they share. Medians of waits and the share of time that operators talk
gain less than what they are made of; they are shown without a limit.
Prints one JSON object on stdout; exit 1 where a limit does not hold.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

NIGHTS = 200
AT_LEAST = 10.0
LIMITED = ("reported@23:00", "reported_by_50", "hold_mean", "hold_p90", "chairs_hours_on_hold")
HOTLINE = (*LIMITED, "hold_p50", "abandoned_share", "occupancy")
DOORS = ("wait_mean", "wait_p90", "in_line_share", "start_delay_p90")


@dataclass(frozen=True)
class Lever:
    """Two plans that differ in one key, what is measured, and which of that the limit is for."""

    name: str
    key: str
    values: tuple[int, int]
    measures: tuple[str, ...]
    limited: tuple[str, ...] = ()


LEVERS = (
    Lever("five more operators", "hotline.operators", (25, 30), HOTLINE, LIMITED),
    Lever("three times as many operators: nights that have less in common", "hotline.operators", (25, 80), HOTLINE),
    Lever("a fourth check-in station everywhere", "checkin.stations", (3, 4), DOORS),
)


def compared(lever: Lever, nights: int) -> list[dict[str, Any]]:
    """What the command says of each measure."""
    before, after = (f"{lever.key}={value}" for value in lever.values)
    command = [str(Path(sys.executable).with_name("caucus")), "compare", "iowa-2020", "-n", str(nights)]
    command += ["--set", before, "--set-b", after, "--json", "--quiet"]
    for measure in lever.measures:
        command += ["--measure", measure]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: list[dict[str, Any]] = json.loads(done.stdout)["differences"]
    return found


def main() -> None:
    """Compare, and tell."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--nights", type=int, default=NIGHTS, help="of each plan")
    asked = options.parse_args()
    levers, missed = [], []
    for lever in LEVERS:
        print(f"{lever.key} {lever.values[0]} against {lever.values[1]} ...", file=sys.stderr)
        measured = []
        for one in compared(lever, asked.nights):
            reduction = one["variance_reduction"]
            is_limited = one["measure"] in lever.limited
            measured.append(
                {key: one[key] for key in ("measure", "difference", "low", "high", "independent_nights")}
                | {"variance_reduction": reduction and round(reduction, 1), "limited": is_limited}
            )
            if is_limited and (reduction is None or reduction < AT_LEAST):
                missed.append(f"{lever.key}, {one['measure']}: {reduction} times less variance")
            print(f"  {one['measure']:24} {reduction or float('nan'):10.1f} times less variance", file=sys.stderr)
        levers.append({"lever": lever.name, "key": lever.key, "values": lever.values, "measures": measured})
    result = {
        "benchmark": "common_random_numbers",
        "nights_of_each": asked.nights,
        "levers": levers,
        "load_average": round(os.getloadavg()[0], 1),
        "limits": {"variance_reduction_at_least_where_limited": AT_LEAST},
        "missed": missed,
        "ok": not missed,
    }
    print(json.dumps(result))
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
