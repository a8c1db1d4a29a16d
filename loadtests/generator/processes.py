"""Generators in processes of their own: importing Locust patches a process, and load should not share one anyway.

The parent speaks to its child over a pipe, a line of JSON and then bytes; the child stays from one trial to the next.
With several workers the child is Locust's master, and each worker a process. Files that workers on other machines
write are brought here after each schedule. Knows nothing of what is sent.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, BinaryIO, TypeAlias, cast

from loadtests.contract import Reply, Request
from loadtests.generator.upkeep import Kept, Upkeep
from loadtests.target.guards import Target
from loadtests.trial import SECOND, Sample, Trial
from loadtests.workload import Schedule

_START_S = 60.0
_END_S = 5.0
_EVERYWHERE = ("0.0.0.0", "*")
_HEAD_START_NS = 50_000_000  # from the order to begin to the first due time


class GeneratorError(Exception):
    """Load could not be made at all; says why in a line."""


Requests: TypeAlias = Callable[[int], Request | None]  # the request at a place of the whole schedule; None: not yet
Judge: TypeAlias = Callable[[int, Reply], str]  # what is wrong with the reply to it; "" for nothing
Finished: TypeAlias = Callable[[int], int | None]  # whatever came of it, it is not asked again; which one may go now
Around: TypeAlias = Callable[[float], AbstractContextManager[Any]]  # entered when connections are open, just before the
# time of a schedule begins, and told when that is (s of this machine's monotonic clock); left when all is answered


_FILES = "CAUCUS_LOAD_FILES"  # the environment's name by which a process elsewhere is told where to write its files


def write_into(folder: Path | None) -> None:
    """From here on, what this process writes for `own_folder` goes into this one; None: where it belongs."""
    os.environ.pop(_FILES, None)
    if folder is not None:
        os.environ[_FILES] = str(folder)


def own_folder(folder: Path) -> Path:
    """Where a source writes what belongs into `folder`: on another machine into one whose files are brought there."""
    return Path(os.environ.get(_FILES, folder))


def next_beginning() -> int:
    """When a schedule that is ordered now begins: in ns of the monotonic clock, which a machine's processes share."""
    return time.monotonic_ns() + _HEAD_START_NS


def nothing(_: float) -> AbstractContextManager[None]:
    """An `Around` that does nothing."""
    return nullcontext()


@dataclass(frozen=True, slots=True)
class Source:
    """Requests, and how their replies are judged; without a judge, 2xx and 304 are good.

    `requests` is asked again for one that is tried again, and for one that it said "not yet" of, which waits for
    another's answer, once `finished` has named it. `upkeep` runs beside the schedule.
    """

    requests: Requests
    judge: Judge | None = None
    finished: Finished | None = None
    upkeep: Upkeep | None = None


class Generators:
    """Makes load in one or more processes. Use it as a context: they end with the block.

    `workers` of them run here; `others` join from other machines, at the address where the master `listens`. What the
    master tells them is neither encrypted nor signed (Locust's protocol): only on a network of one's own.

    `source` names a function "module:function" that a process calls with (schedule, target, **arguments), where the
    schedule is the part that it keeps; it returns a `Source`. Into `files` goes what sources on other machines write
    into their `own_folder`.
    """

    def __init__(
        self,
        source: str,
        target: Target,
        arguments: Mapping[str, Any] | None = None,
        *,
        workers: int = 1,
        cores: Sequence[int] = (),
        others: int = 0,
        listens: tuple[str, int] = ("127.0.0.1", 0),
        timeout_s: float = 10.0,
        under_way: int = 4000,
        headers: Mapping[str, str] | None = None,
        sources: Sequence[str] = (),
        ca: Path | None = None,
        files: Path | None = None,
        kept: Kept | None = None,
    ) -> None:
        self._files = files
        self.kept = kept if kept is not None else Kept()  # hears of the sessions that were renewed
        self.workers, self._others, self._listens = workers, others, listens
        self._is_master = others > 0 or workers > 1  # one elsewhere alone has to join somebody
        self._cores = tuple(cores)
        self.order: dict[str, Any] = {
            "source": source,
            "arguments": dict(arguments or {}),
            "target": self.target_order(target),
            "limits": {"under_way": max(1, under_way // (workers + others)), "timeout_s": timeout_s},
            "headers": dict(headers or {}),
            "sources": list(sources),
            "ca": str(ca) if ca is not None else None,
        }
        self._started = ExitStack()
        self._processes: list[subprocess.Popen[bytes]] = []
        self._child: subprocess.Popen[bytes]
        self._said: IO[bytes]
        self._is_broken_off = False

    def __enter__(self) -> Generators:
        try:
            listens = [self._listens[0], str(self._listens[1])]
            kind = ["master", *listens] if self._is_master else ["alone", *listens, *self._core(0)]
            self._said = self._started.enter_context(tempfile.TemporaryFile())
            self._started.callback(self._end)
            self._child = self._start(kind, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            port = self._hear(_START_S)[0]["port"]
            if self._is_master:
                host = "127.0.0.1" if self._listens[0] in _EVERYWHERE else self._listens[0]
                for number in range(self.workers):
                    words = ["worker", host, str(port), "--here", *self._core(number)]
                    self._start(words, stdin=subprocess.DEVNULL)
                self._ask({"do": "wait", "workers": self.workers + self._others}, within_s=2 * _START_S)
        except BaseException:
            self._break_off()
            self._started.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._started.close()

    def run(self, schedule: Schedule, around: Around = nothing) -> Sample:
        """Keep a schedule."""
        return self._run(schedule, around, nullcontext())[0]

    def _run(self, schedule: Schedule, around: Around, watching: AbstractContextManager[Any]) -> tuple[Sample, float]:
        """What was measured, and when the clock of due times began (s of the monotonic clock)."""
        asked = {"do": "prepare", "order": self.order, "spec": schedule.spec}
        limits = self.order["limits"]
        tries_s = limits["timeout_s"] * (1 + limits.get("retries", 0))
        within_s = schedule.seconds + tries_s + 2 * _START_S  # as long as anything may take
        self._ask(asked, b"" if schedule.spec is not None else schedule.to_bytes(), 2 * _START_S)
        try:
            with watching:  # preparing is no load; and what it does first would make the first requests late
                begins_ns = next_beginning()
                with around(begins_ns / SECOND):
                    said, data = self._ask({"do": "go", "begins_ns": begins_ns}, within_s=within_s)
                    # here already: what is around it may end in an error, and what was promised stays promised
                    self.kept.add(said["upkeep"])
                    self._keep(said["files"], memoryview(data)[said["sample"] :])
        except (KeyboardInterrupt, SystemExit):  # also in what is around it
            self._break_off()
            raise
        return Sample.from_bytes(data[: said["sample"]]), begins_ns / SECOND

    def _keep(self, lengths: Mapping[str, int], data: memoryview) -> None:
        """What was added to files elsewhere, to be added here."""
        for name, length in lengths.items():
            if self._files is not None:
                self._files.mkdir(parents=True, exist_ok=True)
                path = self._files / Path(name).name
                with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "wb") as file:
                    file.write(data[:length])
            data = data[length:]

    def trial(
        self,
        schedule: Schedule,
        *,
        objective_s: float | None = None,
        watch: Mapping[str, Iterable[int]] | None = None,
        around: Around = nothing,
    ) -> Trial:
        """Keep a schedule, and watch what processes (ids, by name) use meanwhile."""
        from loadtests.generator.resources import Watch

        watching = Watch({"generator": self.process_ids, **(watch or {})})
        sample, begins_s = self._run(schedule, around, watching)
        return Trial(sample, objective_s, resources=watching.used(), begins_s=begins_s)

    @staticmethod
    def target_order(target: Target) -> dict[str, Any]:
        """A target as plain data."""
        return asdict(target)

    def stats(self) -> dict[str, Any]:
        """What Locust has counted since the start: requests, failures, and p99 in ms."""
        return self._ask({"do": "stats"})[0]["stats"]  # type: ignore[no-any-return]  # JSON

    @property
    def process_ids(self) -> list[int]:
        """Of all that make load."""
        return [process.pid for process in self._processes]

    # The pipe

    def _start(self, arguments: Sequence[str], **pipes: Any) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "loadtests.generator.child", *arguments]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        process = subprocess.Popen(command, stderr=self._said, start_new_session=True, env=environment, **pipes)
        self._processes.append(process)
        return process

    def _core(self, number: int) -> list[str]:
        return ["--core", str(self._cores[number % len(self._cores)])] if self._cores else []

    def _ask(
        self, asked: Mapping[str, Any], blob: bytes = b"", within_s: float = _START_S
    ) -> tuple[dict[str, Any], bytes]:
        if self._is_broken_off:
            raise GeneratorError("the generator was broken off")
        try:
            with contextlib.suppress(OSError):  # whoever has ended is heard to have
                send(cast(BinaryIO, self._child.stdin), asked, blob)
            heard = self._hear(within_s)
        except BaseException:  # it would go on, and its answer be taken for that to the next order
            self._break_off()
            raise
        if "error" in heard[0]:
            raise GeneratorError(heard[0]["error"])
        return heard

    def _hear(self, within_s: float) -> tuple[dict[str, Any], bytes]:
        pipe = cast(BinaryIO, self._child.stdout)
        if not select.select([pipe], [], [], within_s)[0]:  # nothing is read ahead: one answer for one order
            raise GeneratorError(f"the generator did not answer within {within_s:.0f} s{self._last_words()}")
        heard = receive(pipe)
        if heard is None:
            raise GeneratorError(f"the generator has ended{self._last_words()}")
        return heard

    def _last_words(self) -> str:
        self._said.seek(0)
        lines = self._said.read().decode(errors="replace").strip().splitlines()
        return f": {lines[-1]}" if lines else ""

    def _break_off(self) -> None:
        """End all processes at once, whatever they are doing; nothing can be asked of them any more."""
        self._is_broken_off = True
        self._end((signal.SIGTERM, signal.SIGKILL))

    def _end(self, numbers: Sequence[int] = (0, signal.SIGTERM, signal.SIGKILL)) -> None:
        """Let all processes that we started end; make them, where they do not."""
        for number in numbers:
            for process in self._processes:
                process.send_signal(number)
            # one whose pipe ends does so as well, and a master tells its workers
            for pipe in (pipe for process in self._processes for pipe in (process.stdin, process.stdout)):
                if pipe is not None:
                    with contextlib.suppress(OSError):
                        pipe.close()
            until = time.monotonic() + _END_S
            for process in self._processes:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(max(0.0, until - time.monotonic()))
            if all(process.returncode is not None for process in self._processes):
                return


def send(pipe: BinaryIO, said: Mapping[str, Any], blob: bytes = b"") -> None:
    """A line of JSON, and bytes."""
    pipe.write(json.dumps({**said, "bytes": len(blob)}).encode() + b"\n" + blob)
    pipe.flush()


def receive(pipe: BinaryIO) -> tuple[dict[str, Any], bytes] | None:
    """What `send` wrote; None at the end."""
    line = pipe.readline()
    if not line.endswith(b"\n"):
        return None
    said = json.loads(line)
    blob = pipe.read(said.pop("bytes"))
    return said, blob
