"""`--cluster`: a real scheduler and real workers, one of which is killed under way; what is refused, and how."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from distributed import Client
from distributed.comm.core import CommClosedError

from simulation import roster
from simulation.errors import InputError, UnfinishedError
from simulation.experiment import cluster, run_nights
from simulation.experiment.run_file import versions
from simulation.experiment.work import Unit, open_work
from simulation.progress import Progress
from simulation.scenario import Scenario, load
from simulation.workers import Job, WorkerDiedError

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT)}
NIGHTS = 30
PLENTY = 120  # seconds


def until(condition: Any) -> None:
    give_up = time.monotonic() + PLENTY
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.02)


class Dask:
    """A scheduler and workers on this machine, each a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        file = folder / "scheduler.json"
        address = ("--host", "127.0.0.1", "--port", "0")  # whichever port is free
        self.scheduler = self._started("scheduler", *address, "--no-dashboard", "--scheduler-file", str(file))
        until(file.exists)
        until(lambda: file.read_text().endswith("}"))
        self.address: str = json.loads(file.read_text())["address"]
        self.workers: list[subprocess.Popen[bytes]] = []

    def _started(self, *arguments: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "dask", *arguments]
        quiet = subprocess.DEVNULL
        return subprocess.Popen(command, cwd=self.folder, env=ENVIRONMENT, stdout=quiet, stderr=quiet)

    def more_workers(self, count: int) -> None:
        """Start them, and wait until they have joined."""
        alone = ("--nthreads", "1", "--no-nanny", "--no-dashboard")
        self.workers += [self._started("worker", self.address, *alone) for _ in range(count)]
        with Client(self.address, set_as_default=False) as client:
            client.wait_for_workers(len(self.workers), timeout=PLENTY)

    def running(self) -> list[subprocess.Popen[bytes]]:
        return [process for process in self.workers if process.poll() is None]

    def end(self) -> None:
        for process in (*self.workers, self.scheduler):
            process.kill()
            process.wait()


@pytest.fixture
def dask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dask]:
    found = Dask(tmp_path_factory.mktemp("dask"))
    yield found
    found.end()


@pytest.fixture(scope="module")
def eight(tmp_path_factory: pytest.TempPathFactory) -> Scenario:
    """A planned night in eight precincts."""
    path = tmp_path_factory.mktemp("roster") / "eight.csv"
    path.write_text("".join(roster.synthesize("iowa-2020").csv().splitlines(keepends=True)[:9]))
    return load("baseline", {}, path)


def contents(found: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(found.iterdir())}


def test_a_worker_and_then_the_scheduler_are_killed_and_the_bytes_are_those_of_one_process(
    eight: Scenario, dask: Dask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("simulation.report.render", lambda *_, **__: "<!doctype html>")  # no subject here
    dask.more_workers(2)

    def killing(process: subprocess.Popen[bytes]) -> Progress:
        def progress(done: int, _of: int, _now: str) -> None:
            if done == 5:
                process.kill()

        return progress

    def run(name: str, **how: Any) -> None:
        run_nights(eight, NIGHTS, 3, folder=tmp_path / name, **how)

    run("one", workers=1)
    run("many", cluster=dask.address, progress=killing(dask.workers[0]))
    assert dask.running() == dask.workers[1:]
    with pytest.raises(UnfinishedError, match="The cluster at .* is gone; .* the same command with --resume") as caught:
        run("more", cluster=dask.address, progress=killing(dask.scheduler))
    assert caught.value.exit_code == 1
    assert 5 <= len(list((tmp_path / "more.partial" / "finished").glob("*.json"))) < NIGHTS
    run("more", workers=1, resume=True)
    assert contents(tmp_path / "many") == contents(tmp_path / "one") == contents(tmp_path / "more")


def test_experiments_run_on_it_too_and_workers_that_run_anything_else_are_named(
    eight: Scenario, dask: Dask, monkeypatch: pytest.MonkeyPatch
) -> None:
    dask.more_workers(1)
    units = [Unit(eight, night) for night in (2, 0, 1)]
    rows = run_nights(eight, 3, 3, workers=1).rows
    with open_work(kind="compare", wanted={}, out=None, seed=3, cluster=dask.address) as work:
        assert work.rows(units) == [rows[2], rows[0], rows[1]]

    other = {**versions()} | {"source": "another"}
    with cluster.Cluster(dask.address) as crew, monkeypatch.context() as patched:
        patched.setattr(cluster, "versions", lambda: other)
        with pytest.raises(InputError, match=r"runs caucus \w+ instead of another") as caught:
            list(crew.run([Job(str.encode, "as somebody who joins later would")]))
        assert "tcp://127.0.0.1" in str(caught.value)
        with pytest.raises(InputError, match=r"runs caucus \w+ instead of another") as caught:
            run_nights(eight, 1, 3, cluster=dask.address)
    assert len(caught.value.problems) == 2
    assert f"{dask.address} (the scheduler)" in caught.value.problems[1]


def unreadable(item: str) -> bytes:
    raise OSError(f"{item}: no such disk")


def test_a_connection_that_breaks_under_a_result_is_the_clusters_and_an_error_of_a_task_the_tasks(
    dask: Dask, monkeypatch: pytest.MonkeyPatch
) -> None:
    dask.more_workers(1)

    async def broken(*_: object) -> None:
        raise CommClosedError("in <TCP (closed) ConnectionPool.gather>: ConnectionResetError")

    with cluster.Cluster(dask.address) as crew:
        with pytest.raises(OSError, match="a night: no such disk"):
            list(crew.run([Job(unreadable, "a night")]))
        monkeypatch.setattr(Client, "_gather_remote", broken)
        with pytest.raises(WorkerDiedError, match=f"The cluster at {dask.address} is gone"):
            list(crew.run([Job(str.encode, "a night")]))
        monkeypatch.undo()
        crew._client.close()
        with pytest.raises(WorkerDiedError, match=f"The cluster at {dask.address} is gone"):
            list(crew.run([Job(str.encode, "a night")]))


def test_a_cluster_without_workers_is_waited_for_and_then_given_up(
    eight: Scenario, dask: Dask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "ALONE_FOR", 1)
    with pytest.raises(UnfinishedError, match="has had no worker for 1 s"):
        run_nights(eight, 1, 3, cluster=dask.address)


def test_nobody_at_the_address_and_nothing_installed_are_said(
    eight: Scenario, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "_ANSWER_WITHIN", 1)
    for address in ("tcp://127.0.0.1:1", "elsewhere"):
        with pytest.raises(InputError, match=f"--cluster {address}: no Dask scheduler answered within 1 s"):
            run_nights(eight, 1, 3, cluster=address, folder=tmp_path / "run")
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(InputError, match=r"pip install 'caucus-trial-run\[cluster\]'"):
        run_nights(eight, 1, 3, cluster="tcp://127.0.0.1:1", folder=tmp_path / "run")
    assert list(tmp_path.iterdir()) == []
