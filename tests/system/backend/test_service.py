"""`caucus backend` as an operator runs it: processes, signals, workers, and the commands beside it."""

from __future__ import annotations

import contextlib
import csv
import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from loadtests.backend import storage
from loadtests.backend.server import prepare

ROSTER = """county,precinct,kind,delegates,attendance,district
Adair,Adair 1,precinct,5,100,3
Adair,Adair 2,precinct,1,20,3
Polk,Polk 1,precinct,2,60,3
Satellites,Ames,satellite,4,30,4
"""
READY_S, STOPPED_S = 30, 15


class Backend:
    """One `caucus backend`, started by the test and ended by it."""

    def __init__(self, folder: Path, *options: str) -> None:
        command = [sys.executable, "-m", "simulation.cli", "backend", "--data", str(folder), "--port", "0", *options]
        self.log = folder.with_name(f"{folder.name}.log")
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.log.read_text()
        self.told = json.loads(line)
        self.port = int(self.told["url"].rpartition(":")[2])
        until = time.monotonic() + READY_S
        while self.ask("GET", "/readyz")[0] != 200:
            assert time.monotonic() < until, self.log.read_text()
            time.sleep(0.05)

    def ask(self, method: str, path: str, body: object = None, **headers: str) -> tuple[int, bytes]:
        """Status and body of one request on a connection of its own."""
        sent = {"X-Device": "phone", "Content-Type": "application/json"}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        with contextlib.closing(connection):
            connection.request(method, path, None if body is None else json.dumps(body), sent)
            answer = connection.getresponse()
            return answer.status, answer.read()

    def log_in(self, user: str, pin: str) -> str:
        """A token."""
        status, body = self.ask("POST", "/v1/login", {"user": user, "pin": pin})
        assert status == 200, body
        return str(json.loads(body)["token"])

    def stop(self, sent: signal.Signals = signal.SIGTERM) -> int:
        """The exit code."""
        if self.process.poll() is None:
            self.process.send_signal(sent)
        try:
            return self.process.wait(STOPPED_S)
        finally:
            if self.process.poll() is None:
                self.process.kill()
            if self.process.stdout is not None:
                self.process.stdout.close()


@pytest.fixture(scope="module")
def scenario(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small state's night as a file."""
    folder = tmp_path_factory.mktemp("scenario")
    (folder / "small.csv").write_text(ROSTER)
    path = folder / "small.toml"
    path.write_text('title = "Small"\nextends = "iowa-2020"\nstory = "Small."\n[roster]\nfile = "small.csv"\n')
    return path


@pytest.fixture(scope="module")
def seeded(scenario: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with that night's database: a process that finds it need not load the scenario."""
    folder = tmp_path_factory.mktemp("seeded")
    with contextlib.closing(storage.connect(f"sqlite:///{folder / 'caucus.db'}", folder)) as database:
        prepare(database, str(scenario))
    return folder


@pytest.fixture
def data(seeded: Path, tmp_path: Path) -> Path:
    """A copy of it for one test."""
    shutil.copytree(seeded, tmp_path / "data")
    return tmp_path / "data"


@pytest.fixture
def demo(data: Path) -> Iterator[Backend]:
    """A demo that was started once."""
    found = Backend(data, "--demo")
    yield found
    found.stop()


def _pins(path: str) -> dict[str, str]:
    return {row["user"]: row["pin"] for row in csv.DictReader(Path(path).read_text().splitlines())}


def _caucus(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "simulation.cli", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_a_demo_tells_its_address_and_sigterm_ends_it_with_0_after_what_was_accepted(demo: Backend):
    assert set(demo.told) == {"url", "results", "demo", "pins"}
    assert "DEMO" in demo.log.read_text()
    token = demo.log_in("0001", _pins(demo.told["pins"])["0001"])
    answered: list[int] = []
    accepted = threading.Event()

    def report() -> None:
        for number in range(1000):
            try:
                status, _ = demo.ask(
                    "POST",
                    "/v1/reports/0001/open",
                    {"attendees": 100, **({"correction": f"again {number}"} if number else {})},
                    Authorization=f"Bearer {token}",
                    Idempotency_Key=f"open-{number:06d}",
                )
            except (OSError, http.client.HTTPException):
                return
            answered.append(status)
            if number == 5:
                accepted.set()

    reporting = threading.Thread(target=report)
    reporting.start()
    assert accepted.wait(20)
    began_s = time.monotonic()
    assert demo.stop() == 0
    assert time.monotonic() - began_s < STOPPED_S
    reporting.join()
    acknowledged = answered.count(201)
    found = json.loads(_caucus("backend", "--data", str(demo.log.with_suffix("")), "verify", "--json").stdout)
    assert found["ok"]
    assert acknowledged <= found["versions"] <= acknowledged + 1, "one may be written whose answer nobody heard"
    lines = [json.loads(line) for line in demo.log.read_text().splitlines() if line.startswith("{")]
    assert [line["event"] for line in lines] == ["started", "stopped"]
    assert lines[1]["whole"] is True


def test_two_workers_share_locks_sessions_and_metrics(data: Path):
    backend = Backend(data, "--demo", "--workers", "2")
    try:
        token = backend.log_in("0001", _pins(backend.told["pins"])["0001"])
        statuses = {backend.ask("GET", "/v1/reports/0001", Authorization=f"Bearer {token}")[0] for _ in range(12)}
        assert statuses == {200}
        guesses = [
            backend.ask("POST", "/v1/login", {"user": "0002", "pin": "000000"}, X_Device="x")[0] for _ in range(7)
        ]
        assert guesses == [401] * 5 + [429] * 2
        until = time.monotonic() + 10
        while True:
            text = backend.ask("GET", "/metrics")[1].decode()
            if "caucus_ready 2.0" in text or time.monotonic() > until:
                break
            time.sleep(0.2)
        assert "caucus_ready 2.0" in text
        assert 'route="/v1/reports/{site}",status="200"} 12.0' in text
        assert len(re.findall(r"caucus_process_resident_bytes\{", text)) == 2
    finally:
        assert backend.stop() == 0


def test_pins_are_issued_once_and_a_backend_with_real_ones_is_no_demo(scenario: Path, tmp_path: Path):
    place = ("--data", str(tmp_path / "data"))  # which is not there yet: the command makes and seeds it
    out = tmp_path / "pins.csv"
    made = _caucus(
        "backend", *place, "pins", "--scenario", str(scenario), "--out", str(out), "--clerks", "1", "--quiet"
    )
    assert made.returncode == 0, made.stderr
    assert json.loads(made.stdout)["accounts"] == 4 + 1 + 4 + 1 + 1
    assert out.stat().st_mode & 0o777 == 0o600
    again = _caucus("backend", "pins", *place, "--out", str(tmp_path / "more.csv"))
    assert (again.returncode, "issued before" in again.stderr) == (2, True)
    demo = _caucus("backend", *place, "--demo", "--port", "0")
    assert (demo.returncode, "real PINs" in demo.stderr) == (2, True)
    backend = Backend(tmp_path / "data")
    try:
        backend.log_in("clerk-01", _pins(str(out))["clerk-01"])
    finally:
        assert backend.stop(signal.SIGINT) == 0


def test_a_backup_is_restored_into_another_database(demo: Backend, tmp_path: Path):
    token = demo.log_in("0001", _pins(demo.told["pins"])["0001"])
    written = demo.ask(
        "POST",
        "/v1/reports/0001/open",
        {"attendees": 99},
        Authorization=f"Bearer {token}",
        Idempotency_Key="one-and-only",
    )
    assert written[0] == 201
    file = tmp_path / "night.tar"
    made = _caucus("backend", "--data", str(tmp_path / "data"), "backup", str(file), "--json")
    assert made.returncode == 0, made.stderr
    restored = _caucus("backend", "--data", str(tmp_path / "other"), "restore", str(file), "--json")
    assert json.loads(restored.stdout)["versions"] == 1
    known = _caucus("backend", "--data", str(tmp_path / "other"), "--port", "0")
    assert (known.returncode, "known to everybody" in known.stderr) == (2, True)


def _started_wrongly() -> list[tuple[tuple[str, ...], str]]:
    return [
        (("--demo", "--host", "0.0.0.0"), "--host 0.0.0.0: a demo's PINs are known to everybody"),
        (("--trusted-proxy", "proxy.example"), "--trusted-proxy proxy.example"),
        (("--database", "mysql://x/y"), "--database mysql"),
        (("--database", "postgresql://me:geheim@127.0.0.1:1/x"), "does not answer"),
        (("verify",), "there is no such file"),
    ]


@pytest.mark.parametrize(("options", "said"), _started_wrongly(), ids=lambda one: str(one)[:40])
def test_what_cannot_be_run_is_one_sentence_and_exit_code_2(tmp_path: Path, options: Any, said: str):
    found = _caucus("backend", "--data", str(tmp_path / "data"), *options)
    assert found.returncode == 2, found.stderr
    assert said in found.stderr
    assert "Traceback" not in found.stderr
    assert "geheim" not in found.stderr + found.stdout


def test_without_its_packages_it_says_what_to_install(tmp_path: Path):
    script = (
        "import importlib.util as u, sys; real = u.find_spec\n"
        "u.find_spec = lambda name, *rest: None if name == 'argon2' else real(name, *rest)\n"
        "from simulation.cli import caucus; caucus(['backend', '--data', sys.argv[1]])\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "data")], capture_output=True, text=True, check=False, timeout=60
    )
    assert found.returncode == 2
    assert "pip install 'caucus-trial-run[loadtests]'" in found.stderr
    assert not os.path.exists(tmp_path / "data")
