"""Our own backend as a process that the harness started: made ready, killed, started again, stopped, held to account.

What a fault ends is only ever what stands here. Knows nothing of who loads it.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.error import URLError
from urllib.request import urlopen

from simulation.errors import UnfinishedError

if TYPE_CHECKING:
    from loadtests.backend.settings import Hashing
    from loadtests.backend.storage import Database
    from simulation.scenario import Scenario

READY_WITHIN_S = 60.0
STOPS_WITHIN_S = 40.0
CHEAP_KIB = 8  # of a PIN's hash where hashing is not what is looked at: log-ins take no time


@dataclass
class Launched:
    """`caucus backend` in a process group of its own. `url` is where it answers; the same after `start` again."""

    data: Path
    database: str  # as `--database` takes it
    pins: Path  # the sealed list
    scenario: str | None = None  # only for the faults that it switches on: the night itself is in the database
    workers: int = 1
    options: Sequence[str] = ()
    cores: frozenset[int] = frozenset()  # that it may run on, with its PostgreSQL; none: all
    port: int = 0
    url: str = ""
    process: subprocess.Popen[str] | None = field(default=None, repr=False)
    _held: Database | None = field(default=None, repr=False)  # an embedded PostgreSQL runs as long as somebody uses it

    def _command(self, *words: str) -> list[str]:
        caucus = Path(sys.executable).with_name("caucus")
        return [str(caucus), "backend", *words, "--data", str(self.data)]

    @property
    def _environment(self) -> dict[str, str]:
        """Names the database, which may be a URL with a password: everybody may read a command line."""
        return os.environ | {"CAUCUS_BACKEND_DATABASE": self.database}

    def seed(
        self, night: Scenario, hashing: Hashing, clerks: int, reviewers: int, at_full_cost: frozenset[str] = frozenset()
    ) -> None:
        """Make the database and its sealed list of PINs, as `caucus backend pins` does.

        `at_full_cost`: the sites whose chairs' PINs are hashed as in earnest, whatever the others' are.
        """
        from loadtests.backend import storage
        from loadtests.backend.identity import pins
        from loadtests.backend.settings import Hashing

        self.data.mkdir(parents=True, exist_ok=True)
        with _on(self.cores):
            self._held = storage.connect(self.database, self.data)
            self._held.migrate()
        self._held.seed(night)
        staff = {"clerk": clerks, "reviewer": reviewers, "administrator": 1, "observer": 1}
        issued = pins.make((site.code for site in self._held.sites()), staff, ())
        pins.issue(self._held, issued, self.pins, hashing, lambda *_: None)
        if at_full_cost:
            costly = [one for one in issued if one.site in at_full_cost]
            again = self.pins.with_suffix(".again")
            pins.issue(self._held, costly, again, Hashing(), lambda *_: None)  # the same PINs
            again.unlink()

    @property
    def database_url(self) -> str:
        """Where the database itself answers."""
        assert self._held is not None
        return self._held.engine.url.render_as_string(hide_password=False)

    def start(self) -> float:
        """Start it, and wait until it is ready; how many seconds that took."""
        began = time.monotonic()
        night = [] if self.scenario is None else ["--scenario", self.scenario]
        with (self.data / "service.log").open("a") as log, _on(self.cores):
            self.process = subprocess.Popen(
                [*self._command(), *night, "--port", str(self.port), "--workers", str(self.workers), *self.options],
                stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True, env=self._environment,
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
        failures = (URLError, OSError, http.client.HTTPException)
        with suppress(*failures), urlopen(f"{self.url}/readyz", timeout=2) as answer:
            return bool(answer.status == 200)
        return False

    def kill(self) -> None:
        """End all its processes at once, as the kernel does that is out of memory; its PostgreSQL goes on."""
        if self.process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self._gone()

    def kill_database(self) -> None:
        """End the embedded PostgreSQL and all that it started, at once; wait until its first process is gone."""
        import psutil

        assert self._held is not None
        assert self._held.embedded is not None
        pid = self._held.embedded.pid
        if pid is None:
            return
        first = psutil.Process(pid)
        for process in (first, *first.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                process.kill()
        with suppress(psutil.TimeoutExpired):
            first.wait(10)

    def start_database(self) -> None:
        """Start the embedded PostgreSQL again where it has ended, and wait until it answers."""
        assert self._held is not None
        self._held.revive()

    @property
    def database_process(self) -> int | None:
        """The embedded PostgreSQL's first process, where one runs."""
        return self._held.embedded.pid if self._held is not None and self._held.embedded is not None else None

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

    def close(self) -> None:
        """Stop it, and let go of its database."""
        self.stop()
        if self._held is not None:
            self._held.close()
            self._held = None

    def _gone(self) -> int:
        assert self.process is not None
        code = self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()
        self.process = None
        return code

    def verified(self) -> dict[str, Any]:
        """What `caucus backend verify` says of the audit log."""
        return _told([*self._command("verify"), "--json"], self._environment)

    def reconciled(self, ledger: Path, settle_s: float = 15.0) -> dict[str, Any]:
        """What `caucus loadtest reconcile` says of a ledger, by the API and by the database."""
        caucus = str(Path(sys.executable).with_name("caucus"))
        given = ["--target", self.url, "--pins", str(self.pins)]
        environment = os.environ | {"CAUCUS_TARGET_DATABASE": self.database_url}
        return _told(
            [caucus, "loadtest", "reconcile", str(ledger), *given, "--settle", f"{settle_s:g}", "--json"], environment
        )


def _told(command: Sequence[str], environment: Mapping[str, str]) -> dict[str, Any]:
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
    if not done.stdout:
        raise UnfinishedError(f"{' '.join(command[1:3])} said nothing: {done.stderr.strip()}", 1)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@contextmanager
def _on(cores: frozenset[int]) -> Iterator[None]:
    """Whatever is started inside runs on these cores only."""
    if not cores:
        yield
        return
    ours = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)  # children inherit it
    try:
        yield
    finally:
        os.sched_setaffinity(0, ours)


@contextmanager
def launched(
    data: Path,
    database: str,
    night: Scenario,
    *,
    hashing: Hashing | None = None,
    clerks: int = 20,
    reviewers: int = 4,
    at_full_cost: frozenset[str] = frozenset(),
    **more: Any,
) -> Iterator[Launched]:
    """A new backend in the folder `data`, ready, with its list of PINs beside it; stopped at the end.

    `hashing`: the cost of PINs; None: next to none, but for the chairs of the sites `at_full_cost`.
    """
    from loadtests.backend.settings import Hashing

    backend = Launched(data, database, data.with_name(f"{data.name}-pins.csv"), **more)
    try:
        backend.seed(night, hashing or Hashing(memory_kib=CHEAP_KIB, passes=1), clerks, reviewers, at_full_cost)
        backend.start()
        yield backend
    finally:
        backend.close()
