"""Processes that do jobs: started fresh, fed one job at a time, replaced when they are killed, gone with the parent.

Knows nothing of nights. What a job makes comes back as bytes, so that the parent alone writes.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import sys
import threading
import traceback
from collections import OrderedDict, deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from types import ModuleType, TracebackType
from typing import Any, NamedTuple, Protocol, Self

Task = Callable[[Any], bytes]
Done = Generator[tuple[int, bytes], None, None]  # the job's place in its list, and what it made

TRIES = 3  # of a job whose worker is killed: once for bad luck, and not for ever where the job itself is too big

_KILLED = (
    f"{TRIES} worker processes were killed over the same work, most likely for lack of memory (--workers 1 needs the "
    "least)"
)
_FOR_THE_PARENT = {signal.SIGINT, signal.SIGTERM}  # it ends its workers itself
_TASKS_HELD = 4  # by a worker: a task may carry a state of 1,765 precincts


class Job(NamedTuple):
    """One item for one task. Jobs of the same task share the task object, which travels once."""

    task: Task
    item: Any


class WorkerDiedError(Exception):
    """Workers ended without an answer, too often or all of them; the message is the beginning of a sentence."""


class Crew(Protocol):
    """Whoever does jobs."""

    def run(self, jobs: Sequence[Job]) -> Done:
        """Do the jobs; yields each one's place in the list and what it made, in any order."""


def cores() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1  # macOS


class InTurn:
    """A crew of one: this process, one job after the other."""

    def run(self, jobs: Sequence[Job]) -> Done:
        """Do the jobs in their order."""
        for place, (task, item) in enumerate(jobs):
            yield place, task(item)


@dataclass
class _Worker:
    process: SpawnProcess
    tasks: OrderedDict[int, Task] = field(default_factory=OrderedDict)  # that it holds, the oldest first


class InParallel:
    """A crew of processes on this machine, to be used in a `with` statement: however that ends, they end with it.

    They start when there is work for them and stay for the next list of jobs. `first_alone`: the very first job is
    finished before any other begins, so that what it compiles is compiled once.
    """

    def __init__(self, workers: int, *, first_alone: bool = False) -> None:
        self._limit = 1 if first_alone else workers
        self._workers = workers
        self._crew: dict[Connection, _Worker] = {}
        self._idle: list[Connection] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._dismiss(list(self._crew))

    def run(self, jobs: Sequence[Job]) -> Done:
        """Do the jobs. Raises what a task raised, or WorkerDiedError; ended early, it ends its workers."""
        waiting = deque(range(len(jobs)))
        tries = dict.fromkeys(waiting, 0)
        pickled = _Pickled()
        busy: dict[Connection, int] = {}
        try:
            while waiting or busy:
                while waiting and len(busy) < self._limit:
                    worker = self._idle.pop() if self._idle else self._hire()
                    place = waiting.popleft()
                    busy[worker] = place
                    tries[place] += 1
                    self._send(worker, jobs[place], pickled)
                for ready in wait(list(busy)):
                    assert isinstance(ready, Connection)  # nothing else was waited for
                    place = busy.pop(ready)
                    try:
                        answer = ready.recv()
                    except (EOFError, OSError):
                        self._dismiss([ready])
                        if tries[place] >= TRIES:
                            raise WorkerDiedError(_KILLED) from None
                        waiting.appendleft(place)
                        continue
                    self._idle.append(ready)
                    self._limit = self._workers
                    if isinstance(answer, BaseException):
                        raise answer
                    yield place, answer
        finally:
            self._dismiss(list(busy))

    def _hire(self) -> Connection:
        """Start one more worker."""
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=_work, args=(theirs,), daemon=True)
        with _signals_held_back(), _without_main():
            process.start()
            self._crew[ours] = _Worker(process)
        theirs.close()  # so that a worker's end is the end of its pipe
        return ours

    def _send(self, worker: Connection, job: Job, pickled: _Pickled) -> None:
        """Hand over a job; where the worker is gone, waiting for its answer will show."""
        held = self._crew[worker].tasks
        key = id(job.task)  # unique while `held` keeps the task alive
        order: tuple[int, bytes | None, list[int], Any] = (key, None, [], job.item)
        if key not in held:
            held[key] = job.task
            dropped = [held.popitem(last=False)[0]] if len(held) > _TASKS_HELD else []
            order = (key, pickled.of(job.task), dropped, job.item)
        with suppress(OSError):  # as said above
            worker.send(order)

    def _dismiss(self, workers: Sequence[Connection]) -> None:
        gone = [self._crew.pop(worker) for worker in workers]
        self._idle = [worker for worker in self._idle if worker not in workers]
        for worker in gone:
            worker.process.kill()
        for worker in gone:
            worker.process.join()
        for connection in workers:
            connection.close()


class _Pickled:
    """The bytes of the task that was asked for last: several workers want the same one after the other."""

    def __init__(self) -> None:
        self.task: Task | None = None
        self.content = b""

    def of(self, task: Task) -> bytes:
        if task is not self.task:
            self.task, self.content = task, pickle.dumps(task)
        return self.content


@contextmanager
def _signals_held_back() -> Iterator[None]:
    """Start a process that Ctrl-C does not reach: it inherits the mask, which this process takes off again."""
    resource_tracker.ensure_running()  # multiprocessing's own helper, whose start would take the mask off
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _FOR_THE_PARENT)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _without_main() -> Iterator[None]:
    """Start a process that does not run the caller's script again: it needs no `if __name__ == "__main__"` there."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _work(orders: Connection) -> None:
    """A worker: do one job after the other, until there are no more."""
    os.environ.setdefault("POLARS_MAX_THREADS", "1")  # read when polars is imported; the cores are all in use already
    threading.Thread(target=_end_with_parent, daemon=True).start()
    held: dict[int, Task] = {}
    while True:
        try:
            key, pickled, dropped, item = orders.recv()
        except EOFError:
            return
        try:
            for old in dropped:
                held.pop(old, None)
            if pickled is not None:
                held[key] = pickle.loads(pickled)
            answer: object = held[key](item)
        except Exception as error:  # handed to the parent, which raises it
            error.add_note(traceback.format_exc())
            answer = _that_can_be_sent(error)
        orders.send(answer)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
    os._exit(1)


def _that_can_be_sent(error: Exception) -> Exception:
    """The error itself, or one that says the same where it does not survive pickling."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
