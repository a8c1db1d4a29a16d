"""Our own backend as a process that the harness started: made ready, killed, started again, stopped.

What a fault ends is only ever what stands here. Knows nothing of who loads it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

from simulation.errors import UnfinishedError

READY_WITHIN_S = 60.0
STOPS_WITHIN_S = 40.0


@dataclass
class Launched:
    """`caucus backend` in a process group of its own. `url` is where it answers; the same after `start` again."""

    data: Path
    database: str
    scenario: str
    workers: int = 1
    options: Sequence[str] = ()
    port: int = 0
    url: str = ""
    process: subprocess.Popen[str] | None = field(default=None, repr=False)

    def _command(self, *words: str) -> list[str]:
        caucus = Path(sys.executable).with_name("caucus")
        return [str(caucus), "backend", *words, "--data", str(self.data), "--database", self.database]

    def issue_pins(self, file: Path, *, clerks: int = 20, reviewers: int = 4) -> None:
        """Make the database and its sealed list of PINs."""
        staff = ["--clerks", str(clerks), "--reviewers", str(reviewers), "--administrators", "1", "--observers", "1"]
        subprocess.run(
            [*self._command("pins"), "--scenario", self.scenario, "--out", str(file), *staff],
            check=True, stdout=subprocess.DEVNULL,
        )  # fmt: skip

    def start(self) -> float:
        """Start it, and wait until it is ready; how many seconds that took."""
        began = time.monotonic()
        with (self.data / "service.log").open("a") as log:
            self.process = subprocess.Popen(
                [
                    *self._command(), "--scenario", self.scenario, "--port", str(self.port),
                    "--workers", str(self.workers), *self.options,
                ],
                stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True,
            )  # fmt: skip
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise UnfinishedError(f"the backend did not start: {self.data / 'service.log'} says why", 1)
        self.url = str(json.loads(line)["url"]).rstrip("/")
        self.port = int(self.url.rpartition(":")[2])
        self.wait_until_ready()
        return time.monotonic() - began

    def wait_until_ready(self, within_s: float = READY_WITHIN_S) -> float:
        """Wait for /readyz; how many seconds that took."""
        began = time.monotonic()
        while not self.is_ready():
            if time.monotonic() - began > within_s:
                raise UnfinishedError(f"{self.url} was not ready within {within_s:g} s", 1)
            time.sleep(0.05)
        return time.monotonic() - began

    def is_ready(self) -> bool:
        """Whether it says so."""
        with suppress(URLError, OSError), urlopen(f"{self.url}/readyz", timeout=2) as answer:
            return bool(answer.status == 200)
        return False

    def kill(self) -> None:
        """End all its processes at once, as a power cut would; its PostgreSQL goes on."""
        if self.process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self._gone()

    def kill_database(self) -> None:
        """End the embedded PostgreSQL at once. Its children see that by themselves."""
        from loadtests.backend.embedded import EmbeddedPostgres

        pid = EmbeddedPostgres(self.data / "postgres").pid
        if pid is not None:
            os.kill(pid, signal.SIGKILL)

    def stop(self) -> int:
        """Ask it to end, and wait; its exit code."""
        if self.process is None:
            return 0
        self.process.terminate()
        try:
            self.process.wait(STOPS_WITHIN_S)
        except subprocess.TimeoutExpired:
            self.kill()
            return -signal.SIGKILL
        return self._gone()

    def _gone(self) -> int:
        assert self.process is not None
        code = self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()
        self.process = None
        return code

    def verified(self) -> dict[str, Any]:
        """What `caucus backend verify` says of the audit log."""
        done = subprocess.run([*self._command("verify"), "--json"], check=False, stdout=subprocess.PIPE, text=True)
        found: dict[str, Any] = json.loads(done.stdout)
        return found


@contextmanager
def launched(data: Path, database: str, scenario: str, pins: Path, **more: Any) -> Iterator[Launched]:
    """A new backend in the folder `data`, ready, with its list of PINs; stopped at the end."""
    data.mkdir(parents=True, exist_ok=True)
    backend = Launched(data, database, scenario, **more)
    backend.issue_pins(pins)
    try:
        backend.start()
        yield backend
    finally:
        backend.stop()
