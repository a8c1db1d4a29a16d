"""Processes that do numbered tasks: started fresh, fed one number at a time, gone when the parent goes.

Knows nothing of nights. A number is done when the task returned; what it made, the task keeps somewhere itself.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from types import ModuleType

Task = Callable[[int], object]
Finished = Generator[int, None, None]
Crew = dict[Connection, SpawnProcess]

_FOR_THE_PARENT = {signal.SIGINT, signal.SIGTERM}  # it ends its workers itself


class WorkerDiedError(Exception):
    """A worker ended without an answer: killed, most often by the system for lack of memory."""


def cores() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1  # macOS


def in_turn(task: Task, numbers: Sequence[int]) -> Finished:
    """Do the task for each number in this process; yields each number when it is done."""
    for number in numbers:
        task(number)
        yield number


def in_parallel(task: Task, numbers: Sequence[int], workers: int, first_alone: bool) -> Finished:
    """Do the task for each number in `workers` processes; yields each number when it is done, in any order.

    `first_alone`: the first number is finished before the others begin. Raises what the task raised, or
    WorkerDiedError. However it ends, the workers end with it.
    """
    pickled = pickle.dumps(task)
    waiting = deque(numbers)
    crew: Crew = {}
    busy: set[Connection] = set()
    idle: list[Connection] = []
    limit = 1 if first_alone else workers
    try:
        while waiting or busy:
            while waiting and len(busy) < limit:
                worker = idle.pop() if idle else _hire(crew, pickled)
                _send(worker, waiting.popleft())
                busy.add(worker)
            for ready in wait(list(busy)):
                assert isinstance(ready, Connection)  # nothing else was waited for
                answer = _receive(ready)
                busy.discard(ready)
                idle.append(ready)
                limit = workers
                if isinstance(answer, BaseException):
                    raise answer
                yield answer
    finally:
        for process in crew.values():
            process.kill()
        for process in crew.values():
            process.join()


def _hire(crew: Crew, pickled: bytes) -> Connection:
    """Start one more worker."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(theirs, pickled), daemon=True)
    with _signals_held_back(), _without_main():
        process.start()
        crew[ours] = process
    theirs.close()  # so that a worker's end is the end of its pipe
    return ours


def _send(worker: Connection, number: int) -> None:
    try:
        worker.send(number)
    except OSError:
        raise WorkerDiedError from None


def _receive(worker: Connection) -> int | Exception:
    try:
        answer: int | Exception = worker.recv()
    except (EOFError, OSError):
        raise WorkerDiedError from None
    return answer


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


def _work(orders: Connection, pickled: bytes) -> None:
    """A worker: do the task for each number that comes in, until there are no more."""
    os.environ.setdefault("POLARS_MAX_THREADS", "1")  # read when polars is imported; the cores are all in use already
    threading.Thread(target=_end_with_parent, daemon=True).start()
    task: Task = pickle.loads(pickled)
    while True:
        try:
            number = orders.recv()
        except EOFError:
            return
        try:
            task(number)
        except Exception as error:  # handed to the parent, which raises it
            error.add_note(traceback.format_exc())
            orders.send(_that_can_be_sent(error))
        else:
            orders.send(number)


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
