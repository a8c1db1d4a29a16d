"""A crew that is a Dask cluster somewhere else, and how it is seen that it runs this very source.

A task is sent once and held by the scheduler, so that it is there again after any worker is gone.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import math
import pickle
import queue
import threading
import time
import uuid
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self, TypeVar

from simulation.errors import InputError
from simulation.experiment.run_file import versions
from simulation.workers import Done, Job, Task, WorkerDiedError

if TYPE_CHECKING:
    from types import TracebackType

    from distributed import Future

Made = TypeVar("Made")

ALONE_FOR = 60  # seconds without any worker, before a run gives up
LOOK_EVERY = 1  # second: for workers that came or went
JOBS_A_THREAD = 2  # under way: one that is played, and one that waits
_ANSWER_WITHIN = 10  # seconds
_TASKS_HELD = 4


class Cluster:
    """The crew behind a scheduler's address (tcp://HOST:PORT), to be used in a `with` statement.

    InputError where there is no such cluster, or one that runs anything else.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        self._client = _connected(address)
        self._levels = _quiet()
        self._run, self._count = uuid.uuid4().hex, itertools.count()  # names of what is sent, nobody else's
        self._tasks: OrderedDict[int, tuple[Task, Future[Task]]] = OrderedDict()  # the last few, by id
        try:
            self._check_versions()
        except BaseException:
            self._close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def run(self, jobs: Sequence[Job]) -> Done:
        """Do the jobs. Raises what a task raised, or WorkerDiedError; ended early, it takes back what is under way."""
        waiting = deque(range(len(jobs)))
        under_way: dict[Future[bytes], int] = {}
        finished: queue.SimpleQueue[Future[bytes]] = queue.SimpleQueue()
        room, alive_at, looked_at = 0, time.monotonic(), -math.inf
        try:
            while waiting or under_way:
                now = time.monotonic()
                if now - looked_at >= LOOK_EVERY:
                    room, looked_at = JOBS_A_THREAD * self._threads(), now
                    alive_at = now if room else alive_at
                if now - alive_at > ALONE_FOR:
                    raise WorkerDiedError(f"The cluster at {self._address} has had no worker for {ALONE_FOR} s")
                while waiting and len(under_way) < room:
                    place = waiting.popleft()
                    future = self._submitted(_do, versions(), self._sent(jobs[place].task), jobs[place].item)
                    under_way[future] = place
                    future.add_done_callback(finished.put)  # type: ignore[no-untyped-call]  # ships without types
                with suppress(queue.Empty):
                    future = finished.get(timeout=LOOK_EVERY)
                    yield under_way.pop(future), self._made(future)
        finally:
            with suppress(*_losses()):  # a scheduler that is gone has nothing to take back
                self._client.cancel(list(under_way))

    def _made(self, future: Future[bytes]) -> bytes:
        from distributed import CancelledError
        from distributed.scheduler import KilledWorker

        try:
            return future.result()
        except KilledWorker:
            raise WorkerDiedError(
                f"Workers of the cluster at {self._address} were killed again and again over the same work, most "
                "likely for lack of memory"
            ) from None
        except CancelledError:
            raise self._gone() from None
        except OSError:
            if future.status == "error":  # the task's own
                raise
            raise self._gone() from None  # the result was on its way

    def _sent(self, task: Task) -> Future[Task]:
        """The task on the cluster; it is sent again where many others were wanted since."""
        _, sent = self._tasks.pop(id(task), (None, None))
        if sent is None:
            sent = self._submitted(pickle.loads, pickle.dumps(task))
        self._tasks[id(task)] = (task, sent)  # the task too: its id is its own as long as it is held
        if len(self._tasks) > _TASKS_HELD:
            self._tasks.popitem(last=False)
        return sent

    def _submitted(self, function: Callable[..., Made], *arguments: object) -> Future[Made]:
        import dask
        from distributed.client import ClosedClientError

        key = f"caucus-{self._run}-{next(self._count)}"
        with dask.config.set({"distributed.admin.large-graph-warning-threshold": "1 TB"}):  # a nation's precincts
            try:
                sent: Future[Made] = self._client.submit(function, *arguments, key=key, pure=False)
            except ClosedClientError:
                raise self._gone() from None
        return sent

    def _threads(self) -> int:
        """Of all workers that are there now."""
        try:
            return sum(self._client.nthreads().values())
        except _losses():
            raise self._gone() from None

    def _gone(self) -> WorkerDiedError:
        return WorkerDiedError(f"The cluster at {self._address} is gone")

    def _check_versions(self) -> None:
        """InputError that names everybody who runs something else; who joins later is asked at each job."""
        found = self._client.run(_versions_there, on_error="return")
        try:
            found[f"{self._address} (the scheduler)"] = self._client.run_on_scheduler(_versions_there)
        except Exception as error:  # whatever keeps it from importing this package
            found[f"{self._address} (the scheduler)"] = error
        problems = [_difference(who, what) for who, what in found.items() if what != versions()]
        if problems:
            raise InputError(problems)

    def _close(self) -> None:
        with suppress(OSError, RuntimeError):  # as long as it ends
            self._client.close(timeout=_ANSWER_WITHIN)
        for logger, level in self._levels.items():
            logger.setLevel(level)


_alone = threading.Lock()


def _do(expected: Mapping[str, str], task: Task, item: Any) -> bytes:
    """On a worker: one job."""
    if versions() != expected:
        from distributed import get_worker

        raise InputError(_difference(get_worker().address, versions(), expected))
    with _alone:  # the interpreter lets one thread play at a time anyway
        return task(item)


def _versions_there() -> Mapping[str, str]:
    return versions()


def _difference(who: str, found: Mapping[str, str] | BaseException, expected: Mapping[str, str] | None = None) -> str:
    """What somebody of the cluster runs that is not run here."""
    if isinstance(found, BaseException):
        return f"--cluster: {who} cannot run this product ({found}): install this very version there"
    expected = versions() if expected is None else expected
    named = {"source": "caucus"}
    differs = [
        f"{named.get(key, key)} {found.get(key, 'none')} instead of {value}"
        for key, value in expected.items()
        if found.get(key) != value
    ]
    return f"--cluster: {who} runs {', '.join(differs)}: results would not be the same, so install the same there"


def _connected(address: str) -> Any:
    """A client, which ships without types."""
    try:
        from distributed import Client
    except ImportError:
        raise InputError(
            "--cluster needs Dask.distributed, which is not installed: pip install 'caucus-trial-run[cluster]'"
        ) from None
    try:
        # Asked before there is a client, which could not be got rid of for half a minute where nobody answers; in a
        # thread of its own, because the caller's may have a loop, as notebooks do
        with ThreadPoolExecutor(1) as thread:
            kind = thread.submit(asyncio.run, _who_answers(address)).result()
    except (OSError, ValueError):
        raise InputError(
            f"--cluster {address}: no Dask scheduler answered within {_ANSWER_WITHIN} s; expected tcp://HOST:PORT of "
            "one that runs (`dask scheduler`)"
        ) from None
    if kind != "Scheduler":
        raise InputError(f"--cluster {address}: a Dask {kind} answered: expected the address of the scheduler")
    connect: Callable[..., Any] = Client
    return connect(address, timeout=_ANSWER_WITHIN, set_as_default=False)


def _losses() -> tuple[type[Exception], ...]:
    """What a client whose scheduler is gone raises when it is to ask it something."""
    from distributed.client import ClosedClientError

    return OSError, RuntimeError, ClosedClientError, AttributeError  # a closed one's scheduler is None


def _quiet() -> dict[logging.Logger, int]:
    """Silence what Dask tells at length of a scheduler that goes; the levels that its loggers had."""
    known = logging.root.manager.loggerDict.items()
    found = [it for name, it in known if name.startswith("distributed") and isinstance(it, logging.Logger)]
    levels = {logger: logger.level for logger in found}
    for logger in found:
        logger.setLevel(logging.CRITICAL + 1)
    return levels


async def _who_answers(address: str) -> str:
    """Scheduler, Worker or Nanny. OSError where nobody does, or nobody who speaks Dask's language."""
    from distributed import rpc

    there: Any = rpc(address, timeout=_ANSWER_WITHIN)  # type: ignore[no-untyped-call]  # ships without types
    async with asyncio.timeout(_ANSWER_WITHIN):
        try:
            return str((await there.identity())["type"])
        finally:
            await there.close_rpc()
