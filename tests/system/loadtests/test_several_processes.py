"""Load by several processes: what they are doing is told together, and what one elsewhere writes is brought here."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from loadtests.generator import live
from loadtests.generator.processes import GeneratorError, Generators
from loadtests.harness import Job, at_backend
from loadtests.objectives import parse_objectives
from loadtests.target.guards import allowed
from loadtests.workload import Peak, burst, constant
from simulation.roster import synthesize
from simulation.scenario import load
from tests.system.loadtests.servers import serving

SOURCES = "tests.system.loadtests.servers"
NIGHT = 'extends = "iowa-2020"\ntitle = "Small"\nstory = "Forty precincts."\n[turnout]\npeople = "none"\n'


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as one:
        return int(one.getsockname()[1])


@contextmanager
def joining(port: int, **environment: str) -> Iterator[list[subprocess.Popen[bytes]]]:
    """A process that joins as one on another machine does, as soon as somebody listens there."""
    joined: list[subprocess.Popen[bytes]] = []
    given = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])} | environment

    def join() -> None:
        while not joined:
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                command = [sys.executable, "-m", "loadtests.generator.child", "worker", "127.0.0.1", str(port)]
                joined.append(subprocess.Popen(command, env=given, stderr=subprocess.DEVNULL))
            time.sleep(0.1)

    threading.Thread(target=join, daemon=True).start()
    try:
        yield joined
    finally:
        for process in joined:
            process.kill()
            process.wait()


def seen(text: str, name: str) -> float:
    found = re.search(rf"^{name} (\S+)$", text, re.M)
    return float(found[1]) if found else -1.0


def test_what_two_processes_have_under_way_is_added_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that answers nobody for five seconds: each process tells within three what it waits for."""
    address = f"127.0.0.1:{free_port()}"
    monkeypatch.setenv(live.ADDRESS, address)
    texts: list[str] = []
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.3):
            with suppress(OSError), urllib.request.urlopen(f"http://{address}/metrics", timeout=5) as answer:
                texts.append(answer.read().decode())

    looking = threading.Thread(target=look)
    with (
        serving("queue", "--service-ms", 60_000) as server,
        Generators(f"{SOURCES}:numbered", allowed(server.url), workers=2, timeout_s=5) as two,
    ):
        looking.start()
        try:
            sample = two.run(burst(80, 1, 1))
        finally:
            over.set()
            looking.join()
    assert len(sample) == 80
    assert max(seen(text, "caucus_load_under_way") for text in texts) == 80
    assert any(seen(text, "caucus_load_lateness_seconds") >= 0 for text in texts)
    assert {seen(text, "caucus_load_workers") for text in texts} == {2}
    assert seen(texts[-1], "caucus_load_cpu_seconds_total") > 1, "of all three: each has loaded Locust"


def test_the_ledger_of_a_process_elsewhere_is_brought_here(tmp_path: Path) -> None:
    """It joins as one on another machine does, and keeps its files where the master's machine has none."""
    (tmp_path / "night.toml").write_text(NIGHT, encoding="utf-8")
    rows = synthesize("iowa-2020").csv().splitlines()[:41]
    (tmp_path / "forty.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    port = free_port()
    job = Job(
        scenario=load(tmp_path / "night.toml", {}, tmp_path / "forty.csv"), name="iowa-2020", peak=Peak({}, {}),
        objectives=parse_objectives(()), workers=1, others=1, listens=("127.0.0.1", port), ledgers=tmp_path / "ledger",
    )  # fmt: skip
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    with joining(port, TMPDIR=str(elsewhere)), at_backend(job, "report", lambda _: None) as there:
        with there.opened() as stress:
            first = stress.measure(60, 1)
            written_elsewhere = {path.name for path in elsewhere.rglob("ledger-*.jsonl")}
            second = stress.measure(60, 1)
        told = there.reconciled()
    assert len(written_elsewhere) == 1
    brought = {path.name for path in (tmp_path / "ledger").glob("ledger-*.jsonl")}
    assert written_elsewhere < brought
    assert told is not None
    assert told["clean"], told["verdict"]
    assert told["stored_by_others"] == 0, "every stored write is in the ledger, whoever sent it"
    assert told["acknowledged"] >= int(first.sample.ok.sum() + second.sample.ok.sum()) > 80


def test_one_process_elsewhere_makes_all_of_the_load_where_none_is_wanted_here() -> None:
    port = free_port()
    with (
        serving("instant") as server,
        joining(port) as joined,
        Generators(f"{SOURCES}:numbered", allowed(server.url), workers=0, others=1, listens=("127.0.0.1", port)) as one,
    ):
        sample = one.run(burst(20, 0.5, 1))
    (by,) = sample.cpu
    assert by.endswith(f"-{joined[0].pid}")
    assert sample.ok.all()


def test_who_joins_later_ends_the_load_and_is_named() -> None:
    """What has been sent already is counted by part: among three, each would have another one."""
    port = free_port()
    with (
        serving("instant") as server,
        joining(port),
        Generators(f"{SOURCES}:numbered", allowed(server.url), workers=1, others=1, listens=("127.0.0.1", port)) as two,
    ):
        assert two.run(burst(20, 0.5, 1)).ok.all()
        with joining(port), pytest.raises(GeneratorError, match="worker .* came later"):
            deque(two.run(burst(2, 0.5, 1)) for _ in range(100))


def test_who_presses_ctrl_c_ends_those_elsewhere_as_well() -> None:
    """They would send to the end of their schedule, and then wait a minute for their master."""
    port = free_port()
    main = threading.main_thread().ident or 0
    with (
        serving("instant") as server,
        joining(port) as joined,
        Generators(f"{SOURCES}:numbered", allowed(server.url), workers=1, others=1, listens=("127.0.0.1", port)) as two,
    ):
        assert two.run(burst(20, 0.5, 1)).ok.all()
        threading.Timer(1.5, signal.pthread_kill, (main, signal.SIGINT)).start()
        with pytest.raises(KeyboardInterrupt):
            two.run(constant(20, 60))
        joined[0].wait(10)
