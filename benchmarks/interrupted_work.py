"""Killed workers, a killed main process and a full disk: no finished night is lost and no file is corrupt.

The real command plays nights, is killed (SIGKILL, at moments drawn by chance) or runs out of disk, and goes on with
`--resume`; in the end its files must equal, byte by byte, those of a run that nobody disturbed, and no night that was
finished before may be played again. The full disk is a file system of a few megabytes in memory, which takes root to
mount; without, that part is left out and said so.
Prints one JSON object on stdout; exit 1 where a night is lost or a byte differs.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

CAUCUS = str(Path(sys.executable).with_name("caucus"))
COMMAND = (CAUCUS, "simulate", "iowa-2016", "--seed", "7", "--workers", "2", "--quiet", "--keep", "precincts")
SMALL_DISK_MB = 3
MOST_STARTS = 200


def command(folder: Path, nights: int, *more: str) -> list[str]:
    """The run."""
    return [*COMMAND, "-n", str(nights), "--out", str(folder), *more]


def digests(folder: Path) -> dict[str, str]:
    """Of every file of a run."""
    return {item.name: hashlib.sha256(item.read_bytes()).hexdigest() for item in sorted(folder.iterdir())}


def finished(folder: Path) -> dict[str, int]:
    """The nights that are kept, and when each was written: a night that is played again is written again."""
    kept = folder.with_name(folder.name + ".partial") / "finished"
    if not kept.is_dir():
        return {}
    return {item.name: item.stat().st_mtime_ns for item in kept.iterdir() if item.suffix == ".json"}


def victim(process: psutil.Popen, what: str) -> psutil.Process | None:
    """The main process, or one of its workers, which it started itself."""
    if what == "main":
        return psutil.Process(process.pid)
    try:
        workers = [child for child in process.children() if "resource_tracker" not in " ".join(child.cmdline())]
    except psutil.Error:
        return None
    return max(workers, key=lambda worker: worker.pid, default=None)


def killed(what: str, kills: int, nights: int, folder: Path, luck: random.Random) -> dict[str, Any]:
    """Start, kill after a while, resume; what outlives its worker is done again from nothing until all are killed."""
    lost: list[str] = []
    differ = done = starts = 0
    wanted = digests(folder.with_name("quiet"))
    while done < kills or not folder.exists():
        if folder.exists():
            shutil.rmtree(folder)
        if starts == MOST_STARTS:
            raise RuntimeError(f"the run did not end in {MOST_STARTS} starts")
        starts += 1
        before = finished(folder)
        process = psutil.Popen(
            command(folder, nights, *(["--resume"] if before else [])),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        if done < kills:
            count = min(len(before) + luck.randrange(1, 8), nights - 1)
            while process.poll() is None and len(finished(folder)) < count:
                time.sleep(0.005)
            time.sleep(luck.random() * 0.1)
            one = victim(process, what)
            if one is not None and process.poll() is None:
                one.send_signal(signal.SIGKILL)
                done += 1
        process.wait()
        if folder.exists():
            differ += digests(folder) != wanted
        else:
            now = finished(folder)
            lost += [name for name, at in before.items() if now.get(name) != at]
    return {"what": what, "kills": done, "starts": starts, "nights_lost_or_played_again": len(lost), "differ": differ}


@contextmanager
def small_disk(folder: Path) -> Iterator[Path | None]:
    """A file system of a few megabytes; None where it cannot be mounted."""
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SMALL_DISK_MB}m", "tmpfs", str(folder)], check=False, capture_output=True
    )
    try:
        yield folder if mounted.returncode == 0 else None
    finally:
        if mounted.returncode == 0:
            subprocess.run(["umount", str(folder)], check=True)


def full_disk(nights: int, place: Path) -> dict[str, Any]:
    """Play until the disk is full, make it larger, resume."""
    with small_disk(place / "small") as disk:
        if disk is None:
            return {"what": "full disk", "left_out": "a file system in memory cannot be mounted here"}
        folder = disk / "run"
        first = subprocess.run(command(folder, nights), check=False, capture_output=True, text=True)
        before = finished(folder)
        subprocess.run(["mount", "-o", f"remount,size={SMALL_DISK_MB * 100}m", str(disk)], check=True)
        subprocess.run(command(folder, nights, "--resume"), check=True, capture_output=True)
        return {
            "what": "full disk",
            "exit_code": first.returncode,
            "said": first.stderr.strip().splitlines()[-1] if first.stderr.strip() else "",
            "nights_kept": len(before),
            "files": digests(folder),
        }


def main() -> None:
    """Disturb, compare, tell."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--kills", type=int, default=10, help="of each kind")
    options.add_argument("--nights", type=int, default=60)
    asked = options.parse_args()
    luck = random.Random(2020)
    with tempfile.TemporaryDirectory() as text:
        place = Path(text)
        subprocess.run(command(place / "quiet", asked.nights), check=True, stdout=subprocess.DEVNULL)
        wanted = digests(place / "quiet")
        found = [killed(what, asked.kills, asked.nights, place / what, luck) for what in ("worker", "main")]
        missed = [f"{one['what']}: {one['nights_lost_or_played_again']} nights lost" for one in found
                  if one["nights_lost_or_played_again"]]  # fmt: skip
        missed += [f"{one['what']}: other bytes" for one in found if one["differ"]]
        disk = full_disk(asked.nights, place)
        if "files" in disk:
            if disk.pop("files") != wanted:
                missed.append("full disk: other bytes")
            if disk["exit_code"] != 1 or not disk["nights_kept"]:
                missed.append("full disk: no clear end, or nothing kept")
    result = {"benchmark": "interrupted_work", "nights": asked.nights, "runs": [*found, disk], "missed": missed,
              "ok": not missed}  # fmt: skip
    print(json.dumps(result))
    sys.exit(0 if result["ok"] else 1)


if __name__ == "__main__":
    os.environ.setdefault("NO_COLOR", "1")
    main()
