"""Generators in processes of their own: importing Locust patches a process, and load should not share one with anything.

The parent speaks to its child over a pipe, a line of JSON and then bytes; the child stays from one trial to the next.
With several workers the child is Locust's master, and each worker a process. Knows nothing of what is sent.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import IO, Any, BinaryIO, cast

from loadtests.guards import Target
from loadtests.trial import Sample, Trial
from loadtests.workload import Schedule

_START_S = 60.0
_END_S = 5.0


class GeneratorError(Exception):
    """Load could not be made at all; says why in a line."""


class Generators:
    """Makes load in one or more processes of this machine; others may join: `python -m loadtests.generator_process worker`.

    `source` names a function "module:function", see `generator.Order`. Use it as a context: processes end with the block.
    """

    def __init__(
        self,
        source: str,
        target: Target,
        arguments: Mapping[str, Any] | None = None,
        *,
        workers: int = 1,
        cores: Sequence[int] = (),
        master: bool = False,
        timeout_s: float = 10.0,
        under_way: int = 4000,
        headers: Mapping[str, str] | None = None,
        sources: Sequence[str] = (),
        ca: Path | None = None,
    ) -> None:
        self.workers = workers
        self._master = master or workers > 1
        self._cores = tuple(cores)
        self._order = {
            "source": source,
            "arguments": dict(arguments or {}),
            "target": dataclasses.asdict(target),
            "limits": {"under_way": under_way // workers, "timeout_s": timeout_s},
            "headers": dict(headers or {}),
            "sources": list(sources),
            "ca": str(ca) if ca is not None else None,
        }
        self._started = ExitStack()
        self._child: subprocess.Popen[bytes]
        self._said: IO[bytes]

    def __enter__(self) -> Generators:
        try:
            kind = ["master"] if self._master else ["alone", *self._core(0)]
            self._said = self._started.enter_context(tempfile.TemporaryFile())
            self._child = self._start(kind, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            port = self._hear(_START_S)[0]["port"]
            if self._master:
                for number in range(self.workers):
                    self._start(["worker", "127.0.0.1", str(port), *self._core(number)], stdin=subprocess.DEVNULL)
                self._ask({"do": "wait", "workers": self.workers})
        except BaseException:
            self._started.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):
            cast(BinaryIO, self._child.stdin).close()  # which tells it to end, and it its workers
        self._started.close()

    def run(self, schedule: Schedule) -> Sample:
        """Keep a schedule."""
        asked = {"do": "run", "order": self._order, "spec": schedule.spec}
        _, data = self._ask(asked, b"" if schedule.spec is not None else schedule.to_bytes())
        return Sample.from_bytes(data)

    def trial(
        self,
        schedule: Schedule,
        *,
        objective_s: float | None = None,
        watch: Mapping[str, Iterable[int]] | None = None,
    ) -> Trial:
        """Keep a schedule, and watch what processes (ids, by name) use meanwhile."""
        from loadtests.resources import Watch

        with Watch({"generator": self.process_ids, **(watch or {})}) as watching:
            sample = self.run(schedule)
        return Trial(sample, objective_s, resources=watching.used())

    def stats(self) -> dict[str, Any]:
        """What Locust has counted since the start: requests, failures, and p99 in ms."""
        return self._ask({"do": "stats"})[0]["stats"]  # type: ignore[no-any-return]  # JSON

    @property
    def process_ids(self) -> list[int]:
        """Of the child; its workers are processes beside it."""
        return list(self._pids)

    # The pipe

    @property
    def _pids(self) -> Iterator[int]:
        return (process.pid for process in self._processes)

    def _start(self, arguments: Sequence[str], **pipes: Any) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "loadtests.generator_process", *arguments]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        process = subprocess.Popen(command, stderr=self._said, start_new_session=True, env=environment, **pipes)
        self._started.callback(_end, process)
        self._processes = [*getattr(self, "_processes", []), process]
        return process

    def _core(self, number: int) -> list[str]:
        return ["--core", str(self._cores[number % len(self._cores)])] if self._cores else []

    def _ask(self, asked: Mapping[str, Any], blob: bytes = b"") -> tuple[dict[str, Any], bytes]:
        try:
            _write(cast(BinaryIO, self._child.stdin), asked, blob)
        except OSError:
            raise GeneratorError(f"the generator has ended{self._last_words()}") from None
        return self._hear(None)

    def _hear(self, within_s: float | None) -> tuple[dict[str, Any], bytes]:
        del within_s
        heard = _read(cast(BinaryIO, self._child.stdout))
        if heard is None:
            raise GeneratorError(f"the generator has ended{self._last_words()}")
        if "error" in heard[0]:
            raise GeneratorError(heard[0]["error"])
        return heard

    def _last_words(self) -> str:
        self._said.seek(0)
        lines = self._said.read().decode(errors="replace").strip().splitlines()
        return f": {lines[-1]}" if lines else ""


def _end(process: subprocess.Popen[bytes]) -> None:
    """Let a process that we started end; make it, where it does not."""
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()
    for last in (lambda: None, process.terminate, process.kill):
        last()
        try:
            process.wait(_END_S)
        except subprocess.TimeoutExpired:
            continue
        return


def _write(pipe: BinaryIO, said: Mapping[str, Any], blob: bytes = b"") -> None:
    pipe.write(json.dumps({**said, "bytes": len(blob)}).encode() + b"\n" + blob)
    pipe.flush()


def _read(pipe: BinaryIO) -> tuple[dict[str, Any], bytes] | None:
    line = pipe.readline()
    if not line.endswith(b"\n"):
        return None
    said = json.loads(line)
    blob = pipe.read(said.pop("bytes"))
    return said, blob


# The child


def main() -> None:
    """What a child does: alone, as Locust's master, or as a worker of one."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.generator_process")
    parser.add_argument("kind", choices=["alone", "master", "worker"])
    parser.add_argument("host", nargs="?", default="127.0.0.1", help="of the master")
    parser.add_argument("port", nargs="?", type=int, default=0, help="of the master")
    parser.add_argument("--core", type=int, default=-1, help="stay on this core")
    given = parser.parse_args()
    if given.core >= 0:
        os.sched_setaffinity(0, {given.core})
    if given.kind == "worker":
        _work(given.host, given.port)
    else:
        orders, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
        os.dup2(2, 1)  # whatever prints does not print into the pipe
        _serve(orders, answers, is_master=given.kind == "master")


def _work(host: str, port: int) -> None:
    from loadtests import generator

    environment = generator.Environment()
    runner = environment.create_worker_runner(host, port)
    generator.Worker(environment)
    runner.greenlet.join()


def _serve(orders: BinaryIO, answers: BinaryIO, *, is_master: bool) -> None:
    from loadtests import generator

    environment = generator.Environment()
    coordinator = maker = None
    if is_master:
        master = environment.create_master_runner("127.0.0.1", 0)
        coordinator, port = generator.Coordinator(environment), master.server.port
    else:
        environment.create_local_runner()
        maker, port = generator.Maker(environment), 0
    _write(answers, {"port": port})
    while (heard := generator.in_thread(_read, orders)) is not None:
        asked, blob = heard
        try:
            if asked["do"] == "wait":
                assert coordinator is not None
                coordinator.wait_for_workers(asked["workers"])
                _write(answers, {})
            elif asked["do"] == "stats":
                _write(answers, {"stats": generator.stats(environment)})
            elif coordinator is not None:
                sample = coordinator.run(asked["order"], asked["spec"], blob)
                _write(answers, {}, sample.to_bytes())
            else:
                assert maker is not None
                maker.prepare(asked["order"], generator.schedule_of(asked["spec"], blob))
                _write(answers, {}, maker.go().to_bytes())
        except BrokenPipeError:
            break
        except Exception as error:  # the parent says it
            reason = str(error) if isinstance(error, generator.GeneratorError) else f"{type(error).__name__}: {error}"
            _write(answers, {"error": reason})
    if coordinator is not None:
        coordinator.runner.quit()


if __name__ == "__main__":
    main()
