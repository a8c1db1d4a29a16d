"""A few threads for what would block the event loop, with a queue that has an end.

Knows nothing of what runs in them. A request that finds the queue full, or waits in it too long, is told so at once
instead of joining a line that no one will ever serve.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class PoolBusyError(Exception):
    """The queue is full, or a call waited longer than the pool allows."""


class Pool:
    """`threads` threads and two queues: the calls of `run_last` go one at a time, when no other waits.

    After each of those, the next one is left waiting for `rest_s`.
    """

    def __init__(self, name: str, threads: int, most_waiting: int, most_wait_s: float, rest_s: float = 0.0) -> None:
        self.threads = threads
        self._most_waiting = most_waiting
        self._most_wait_s = most_wait_s
        self._ready = threading.Condition()
        self._first: deque[_Call] = deque()
        self._last: deque[_Call] = deque()
        self._rest_s = rest_s
        self._last_runs = False
        self._last_from_s = 0.0  # when the next of the second queue may run
        self._open = True
        self._workers = [threading.Thread(target=self._work, name=f"{name}-{k}", daemon=True) for k in range(threads)]
        for worker in self._workers:
            worker.start()

    @property
    def waiting(self) -> int:
        """Calls that no thread has begun."""
        return len(self._first) + len(self._last)

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What the function returns or raises; PoolBusyError where it was never begun."""
        return await self._run(self._first, lambda: function(*args, **kwargs))

    async def run_last(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """As `run`, behind everything that waits there."""
        return await self._run(self._last, lambda: function(*args, **kwargs))

    async def _run(self, queue: deque[_Call], function: Callable[[], T]) -> T:
        call = _Call(asyncio.get_running_loop(), function)
        with self._ready:
            if not self._open or len(queue) >= self._most_waiting:
                raise PoolBusyError
            queue.append(call)
            self._ready.notify()
        late = call.loop.call_later(self._most_wait_s, self._give_up, queue, call)
        try:
            result: T = await call.answer
            return result
        finally:
            late.cancel()

    def _give_up(self, queue: deque[_Call], call: _Call) -> None:
        with self._ready:
            try:
                queue.remove(call)
            except ValueError:
                return  # begun: its answer is near
        if not call.answer.done():
            call.answer.set_exception(PoolBusyError())

    def close(self) -> None:
        """End the threads when what they do is done; calls that wait are refused."""
        with self._ready:
            self._open = False
            left = [*self._first, *self._last]
            self._first.clear()
            self._last.clear()
            self._ready.notify_all()
        for call in left:
            call.tell(None, PoolBusyError())
        for worker in self._workers:
            worker.join()

    def _next(self) -> tuple[_Call | None, bool]:
        with self._ready:
            while self._open:
                if self._first:
                    return self._first.popleft(), False
                rest_s = self._last_from_s - time.monotonic()
                if self._last and not self._last_runs and rest_s <= 0:
                    self._last_runs = True
                    return self._last.popleft(), True
                self._ready.wait(rest_s if self._last and not self._last_runs else None)
        return None, False

    def _work(self) -> None:
        while True:
            call, last = self._next()
            if call is None:
                return
            call.run()
            if last:
                with self._ready:
                    self._last_runs = False
                    self._last_from_s = time.monotonic() + self._rest_s
                    self._ready.notify()


class _Call:
    """A function, and the future that its caller awaits on the loop it came from."""

    def __init__(self, loop: asyncio.AbstractEventLoop, function: Callable[[], Any]) -> None:
        self.loop = loop
        self.answer: asyncio.Future[Any] = loop.create_future()
        self._function = function

    def run(self) -> None:
        if self.answer.cancelled():  # the client is gone
            return
        try:
            result = self._function()
        except BaseException as error:  # whatever it is belongs to the caller; the thread goes on
            self.tell(None, error)
        else:
            self.tell(result, None)

    def tell(self, result: Any, error: BaseException | None) -> None:
        try:
            self.loop.call_soon_threadsafe(self._set, result, error)
        except RuntimeError:  # the loop has closed: nobody listens any more
            return

    def _set(self, result: Any, error: BaseException | None) -> None:
        if self.answer.done():
            return
        if error is not None:
            self.answer.set_exception(error)
        else:
            self.answer.set_result(result)
