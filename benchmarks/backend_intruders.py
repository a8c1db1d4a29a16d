"""Intruders: of 100,000 attempts none succeeds, and the chairs log in as fast as on a quiet night, or nearly.

Locust's intruders guess PINs, replay tokens, reach for other sites and send what is malformed, from thousands of
addresses; every few seconds they stand still, so that quiet and attack are measured in turns, in one run. How it is
while they begin, from networks of which nothing is known yet, is told apart. All the while chairs log in at a steady
rate, each from an address and a telephone of its own, most for the first time; a log-in is measured from the moment
when it was due. One chair in twenty mistypes the PIN first, and tries again as the answers say: how long that takes is
told apart. The service runs on one core, all others on another one.
Prints one JSON object on stdout; exit 1 where an attempt succeeds or the chairs wait too long. Linux.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import http.client
import json
import math
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from loadtests.accounts import Account, read_accounts
from loadtests.backend.settings import Hashing
from loadtests.target.launch import Launched, launched
from simulation import load

ROOT = Path(__file__).parents[1]
LIMITS = {"succeeded_at_most": 0, "p99_ratio_at_most": 2.0}
SETTLE_S = 6.0  # what waits when intruders stop is given up by the service after 5 s
WARM_UP_S = 60.0  # until the insiders among them have logged in
LOG_IN_WITHIN_S = 30.0
ONE_IN_MISTYPES, TRIES_FOR_S = 20, 60.0
PHONE = "phone-"  # the devices of chairs
INSIDER = "insider-"  # of chairs who are intruders as well: they log in as themselves


# Chairs who log in


@dataclass
class Chairs:
    """Log-ins at a steady rate, each when it is due, whatever became of the others."""

    backend: Launched
    accounts: Sequence[Account]
    per_s: float
    latencies_s: dict[str, list[float]] = field(default_factory=lambda: {"onset": [], "quiet": [], "attack": []})
    mistyped_s: dict[str, list[float]] = field(default_factory=lambda: {"onset": [], "quiet": [], "attack": []})
    refused: Counter[str] = field(default_factory=Counter)
    phase: str = ""  # "": not counted
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def coming(self) -> Iterator[None]:
        """They come as long as this lasts."""
        over = threading.Event()
        with ThreadPoolExecutor(64) as threads:
            clock = threading.Thread(target=self._come, args=(over, threads))
            clock.start()
            try:
                yield
            finally:
                over.set()
                clock.join()

    def _come(self, over: threading.Event, threads: ThreadPoolExecutor) -> None:
        luck = random.Random(1)
        due = time.monotonic()
        for account in cycle(self.accounts):
            due += luck.expovariate(self.per_s)
            if over.wait(max(0.0, due - time.monotonic())):
                return
            threads.submit(self._log_in, account, due, self.phase)

    def _log_in(self, account: Account, due: float, phase: str) -> None:
        if int(account.site) % ONE_IN_MISTYPES == 0:
            self._mistype(account, due, phase)
            return
        status, _ = self._ask(account, account.pin)
        took = time.monotonic() - due if status == "200" else math.inf
        with self._lock:
            if phase:
                self.latencies_s[phase].append(took)
                if status != "200":
                    self.refused[f"{phase}: {status}"] += 1

    def _mistype(self, account: Account, due: float, phase: str) -> None:
        wrong = f"{(int(account.pin) + 1) % 1_000_000:06d}"
        _, wait_s = self._ask(account, wrong)
        time.sleep(wait_s)
        status, wait_s = self._ask(account, account.pin)
        while status != "200" and time.monotonic() - due < TRIES_FOR_S:
            time.sleep(max(1.0, wait_s))
            status, wait_s = self._ask(account, account.pin)
        took = time.monotonic() - due if status == "200" else math.inf
        with self._lock:
            if phase:
                self.mistyped_s[phase].append(took)

    def _ask(self, account: Account, pin: str) -> tuple[str, float]:
        """What came back, and after how many seconds one may come again."""
        index = int(account.site)
        source = f"127.{16 + index // (254 * 254)}.{index % 254 + 1}.{index // 254 % 254 + 1}"
        headers = {"Content-Type": "application/json", "X-Device": f"{PHONE}{account.site}"}
        body = json.dumps({"user": account.user, "pin": pin})
        connection = http.client.HTTPConnection(
            "127.0.0.1", self.backend.port, timeout=LOG_IN_WITHIN_S, source_address=(source, 0)
        )
        try:
            connection.request("POST", "/v1/login", body, headers)
            answer = connection.getresponse()
            return str(answer.status), float(answer.headers.get("Retry-After") or 0)
        except (OSError, http.client.HTTPException) as error:
            return type(error).__name__, 1.0
        finally:
            connection.close()

    def quantile(self, phase: str, q: float) -> float:
        """The latency that a share q of the log-ins does not exceed; infinite where they were turned away."""
        return _quantile(self.latencies_s[phase], q)


def _quantile(some: Sequence[float], q: float) -> float:
    ordered = sorted(some)
    return ordered[max(0, math.ceil(q * len(ordered)) - 1)] if ordered else math.inf


# Intruders


class Intruders:
    """A Locust process of nothing else; it can be made to stand still."""

    def __init__(self, backend: Launched, scenario: str, folder: Path, number: int, per_s: float) -> None:
        self._stats = folder / "locust"
        command = [sys.executable, "-m", "locust", "-f", str(ROOT / "loadtests" / "locustfile.py"), "Intruder"]
        given = ["--headless", "--only-summary", "--csv", str(self._stats), "--host", backend.url]
        given += ["--scenario", scenario, "--pins", str(backend.pins), "--speed", "0.1", "--until", "+3d 00:00"]
        given += ["--intruders", str(number), "--intruder-rate", f"{per_s / number:g}"]
        self._log = folder / "locust.log"
        self.at_work_s = 0.0  # once they have ended
        self._stood_s, self._since_s, self._stands_since_s = 0.0, 0.0, 0.0
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                ["nice", "-n", "10", *command, *given], stdout=log, stderr=log, start_new_session=True
            )

    def _rows(self, name: str) -> list[dict[str, str]]:
        file = self._stats.with_name(f"{self._stats.name}_{name}.csv")
        with contextlib.suppress(OSError, csv.Error):
            return list(csv.DictReader(file.read_text("utf-8").splitlines()))
        return []

    @property
    def attempts(self) -> Counter[str]:
        """By kind, so far."""
        found: Counter[str] = Counter()
        for row in self._rows("stats"):
            name = (row.get("Name") or "").removesuffix(", refused")
            if name.startswith("intruder: ") and (row.get("Request Count") or "").isdigit():
                found[name.removeprefix("intruder: ")] += int(row["Request Count"])
        return found

    @property
    def failures(self) -> list[str]:
        """What got somewhere, and whatever else Locust calls a failure."""
        return [f"{row['Name']}: {row['Error']} ({row['Occurrences']})" for row in self._rows("failures")]

    def begin(self) -> None:
        """Wait until they are at work."""
        while not self.attempts:
            self.must_live()
            time.sleep(0.2)
        self._since_s = time.monotonic()

    def must_live(self) -> None:
        """An attack that is over would be mistaken for a quiet night."""
        if self._process.poll() is not None:
            raise SystemExit(f"Locust ended: {self._log.read_text()[-2000:]}")

    def stand_still(self) -> None:
        """Until `go_on`."""
        os.killpg(self._process.pid, signal.SIGSTOP)
        self._stands_since_s = time.monotonic()

    def go_on(self) -> None:
        """As before."""
        self._stood_s += time.monotonic() - self._stands_since_s
        os.killpg(self._process.pid, signal.SIGCONT)

    def end(self) -> None:
        """Stop, and let Locust write down what it has counted."""
        self.at_work_s = time.monotonic() - self._since_s - self._stood_s
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGCONT)
            os.killpg(self._process.pid, signal.SIGTERM)
        try:
            self._process.wait(60)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


# The run


def attacked(
    scenario: str, folder: Path, asked: argparse.Namespace, hashing: Hashing
) -> tuple[dict[str, Any], list[str]]:
    """Quiet and attack in turns until there were so many attempts: what it came to, and what is missing."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise SystemExit("two cores are needed: one for the service, one for everybody else")
    night = load(scenario)
    database = f"sqlite:///{folder / 'data' / 'caucus.db'}"
    with launched(folder / "data", database, night, hashing=hashing, cores=frozenset(cores[:1])) as backend:
        os.sched_setaffinity(0, set(cores[1:]))
        try:
            chairs, intruders = _in_turns(backend, scenario, folder, asked)
        finally:
            os.sched_setaffinity(0, set(cores))
        stored, strangers, logged_in = _what_is_there(backend)
        backend.stop()
        verdict = backend.verified()
    attempts, failures = intruders.attempts, intruders.failures
    succeeded = stored + strangers
    quiet = chairs.quantile("quiet", 0.99)
    ratio = chairs.quantile("attack", 0.99) / quiet if math.isfinite(quiet) else math.inf
    told = {
        "attempts": sum(attempts.values()),
        "by_kind": dict(attempts),
        "succeeded": succeeded,
        "failures": failures,
        "attempts_per_s": round(sum(attempts.values()) / max(1e-9, intruders.at_work_s)),
        "attempts_per_s_asked": asked.rate,
        "intruders": asked.intruders,
        "log_ins": {
            phase: {"count": len(some)} | {
                name: _finite(chairs.quantile(phase, q))
                for name, q in (("p50_s", 0.5), ("p90_s", 0.9), ("p99_s", 0.99), ("most_s", 1.0))
            }
            for phase, some in chairs.latencies_s.items()
        },
        "log_ins_refused": dict(chairs.refused),
        "mistyped": {
            phase: {"count": len(some), "p50_s": _finite(_quantile(some, 0.5)), "p90_s": _finite(_quantile(some, 0.9)),
                    "never": sum(map(math.isinf, some))}
            for phase, some in chairs.mistyped_s.items()
        },
        "p99_ratio": _finite(ratio),
        "sessions": logged_in,
        "audit_log_whole": verdict["ok"],
        "limits": LIMITS,
    }  # fmt: skip
    missed = []
    if told["attempts"] < asked.attempts:
        missed.append(f"only {told['attempts']} attempts")
    # An insider may be told to try again; a connection that stood still may have been closed meanwhile.
    wrong = [one for one in failures if not one.startswith("insider: ") and "no answer" not in one]
    if succeeded or wrong:
        missed.append(f"{stored} writes and {strangers} sessions of intruders; {wrong[:3]}")
    if not ratio <= LIMITS["p99_ratio_at_most"]:
        missed.append(f"the chairs' p99 under attack is {ratio:.2f} times the quiet one")
    if not verdict["ok"]:
        missed.append(f"audit log: {verdict['problems'][:1]}")
    return told, missed


def _in_turns(backend: Launched, scenario: str, folder: Path, asked: argparse.Namespace) -> tuple[Chairs, Intruders]:
    accounts = sorted(read_accounts(backend.pins).chairs.values(), key=lambda one: one.site)
    random.Random(2).shuffle(accounts)
    chairs = Chairs(backend, accounts, asked.log_ins)
    intruders = Intruders(backend, scenario, folder, asked.intruders, asked.rate)
    try:
        with chairs.coming():
            intruders.begin()
            chairs.phase = "onset"  # they guess from hundreds of networks of which nothing is known yet
            time.sleep(asked.onset)
            chairs.phase = ""
            time.sleep(asked.warm_up)
            while True:
                for phase, change, seconds in (
                    ("quiet", intruders.stand_still, asked.quiet),
                    ("attack", intruders.go_on, asked.attack),
                ):
                    change()
                    time.sleep(asked.settle)
                    chairs.phase = phase
                    time.sleep(seconds)
                    chairs.phase = ""
                    intruders.must_live()
                if sum(intruders.attempts.values()) >= asked.attempts:
                    break
    finally:
        intruders.end()
    return chairs, intruders


def _what_is_there(backend: Launched) -> tuple[int, int, int]:
    """What was written at all, though no chair reported; sessions of neither chairs nor insiders; and all sessions."""
    engine = sa.create_engine(backend.database_url)
    own = " AND ".join(f"device NOT LIKE '{kind}%'" for kind in (PHONE, INSIDER))
    with engine.connect() as connection:
        found = [
            int(connection.exec_driver_sql(query).scalar_one())
            for query in (
                "SELECT (SELECT count(*) FROM versions) + (SELECT count(*) FROM publications)",
                f"SELECT count(*) FROM sessions WHERE {own} OR role <> 'chair'",
                "SELECT count(*) FROM sessions",
            )
        ]
    engine.dispose()
    return found[0], found[1], found[2]


def _finite(seconds: float) -> float | None:
    return round(seconds, 4) if math.isfinite(seconds) else None


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    """What the run is told."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--attempts", type=int, default=100_000)
    options.add_argument("--rate", type=float, default=200, help="attempts a second, of all intruders")
    options.add_argument("--intruders", type=int, default=200)
    options.add_argument("--log-ins", type=float, default=5, help="of chairs, a second")
    options.add_argument("--quiet", type=float, default=8, help="seconds of quiet that count, in each turn")
    options.add_argument("--attack", type=float, default=24, help="seconds of attack that count, in each turn")
    options.add_argument("--settle", type=float, default=SETTLE_S, help="seconds before each, which do not")
    options.add_argument("--onset", type=float, default=10, help="the first seconds of attack, told and not judged")
    options.add_argument("--warm-up", type=float, default=WARM_UP_S, help="seconds between that and the first turn")
    options.add_argument("--scenario", default="iowa-2020")
    return options.parse_args(given)


def main() -> None:
    """Attack, measure, tell."""
    asked = arguments()
    with tempfile.TemporaryDirectory(prefix="caucus-") as folder:
        told, missed = attacked(asked.scenario, Path(folder), asked, Hashing())
    load_average = round(os.getloadavg()[0], 1)
    print(json.dumps({"benchmark": "backend_intruders", **told, "load_average": load_average, "missed": missed,
                      "ok": not missed}))  # fmt: skip
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
