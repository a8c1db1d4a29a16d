"""A few threads for what would block the event loop, with a queue that has an end.

Knows nothing of what runs in them. A request that finds the queue full, or waits in it too long, is told so at once
instead of joining a line that no one will ever serve.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class PoolBusyError(Exception):
    """The queue is full, or a call waited longer than the pool allows."""


class Pool:
    """`threads` threads and a queue; beside them one thread for the calls of `run_last`.

    At most `most_last` of those wait; one begins when none of the others waits or is under way, and after one that
    found nothing the thread rests for `rest_s`. It has no lower priority: while it waited for the processor with the
    interpreter's lock in its hands, everybody would. Of the others `most_waiting` wait, each for `most_wait_s` at most;
    None: without end. When more than `in_order` of them wait, the newest goes first: who came in a flood waits, who
    comes after it does not.
    """

    def __init__(
        self,
        name: str,
        threads: int,
        most_waiting: int | None,
        most_wait_s: float | None,
        *,
        in_order: int | None = None,
        most_last: int = 0,
        rest_s: float = 0.0,
    ) -> None:
        self.threads = threads
        self._most_waiting = sys.maxsize if most_waiting is None else most_waiting
        self._in_order = self._most_waiting if in_order is None else in_order
        self._most_last = most_last
        self._most_wait_s = most_wait_s
        self._lock = threading.Lock()
        # Each call wakes one thread: a crowd that finds nothing costs more than what there is to do.
        self._for_first = threading.Condition(self._lock)
        self._for_last = threading.Condition(self._lock)
        self._closes = threading.Event()
        self._first: deque[_Call] = deque()
        self._last: deque[_Call] = deque()
        self._rest_s = rest_s
        self._under_way = 0  # of the first
        self._open = True
        self._workers = [threading.Thread(target=self._work, name=f"{name}-{k}", daemon=True) for k in range(threads)]
        if most_last:
            self._workers.append(threading.Thread(target=self._work_last, name=f"{name}-last", daemon=True))
        for worker in self._workers:
            worker.start()

    @property
    def waiting(self) -> int:
        """Calls that no thread has begun."""
        return len(self._first) + len(self._last)

    @property
    def last_are_full(self) -> bool:
        """Whether `run_last` would refuse a call at this moment."""
        return len(self._last) >= self._most_last

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What the function returns or raises; PoolBusyError where it was never begun."""
        waiting = self._first, self._most_waiting, self._for_first
        return await self._run(*waiting, lambda: function(*args, **kwargs))

    async def run_last(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """As `run`, one at a time and behind all others; where it returns nothing or False, the next one rests."""
        waiting = self._last, self._most_last, self._for_last
        return await self._run(*waiting, lambda: function(*args, **kwargs))

    async def _run(self, queue: deque[_Call], most: int, ready: threading.Condition, function: Callable[[], T]) -> T:
        call = _Call(asyncio.get_running_loop(), function)
        with self._lock:
            if not self._open or len(queue) >= most:
                raise PoolBusyError
            queue.append(call)
            ready.notify()
        if self._most_wait_s is None:
            return await call.answer  # type: ignore[no-any-return]  # what the function returned
        late = call.loop.call_later(self._most_wait_s, self._give_up, queue, call)
        try:
            result: T = await call.answer
            return result
        finally:
            late.cancel()

    def _give_up(self, queue: deque[_Call], call: _Call) -> None:
        with self._lock:
            try:
                queue.remove(call)
            except ValueError:
                return  # begun: its answer is near
            self._wake_last()
        if not call.answer.done():
            call.answer.set_exception(PoolBusyError())

    def close(self) -> None:
        """End the threads when what they do is done; calls that wait are refused."""
        with self._lock:
            self._open = False
            left = [*self._first, *self._last]
            self._first.clear()
            self._last.clear()
            self._closes.set()
            self._for_first.notify_all()
            self._for_last.notify_all()
        for call in left:
            call.tell(None, PoolBusyError())
        for worker in self._workers:
            worker.join()

    def _work(self) -> None:
        while True:
            with self._lock:
                self._for_first.wait_for(lambda: self._first or not self._open)
                if not self._first:
                    return
                newest = len(self._first) > self._in_order
                call = self._first.pop() if newest else self._first.popleft()
                self._under_way += 1
            call.run()
            with self._lock:
                self._under_way -= 1
                self._wake_last()

    def _wake_last(self) -> None:
        """Whenever one of the others is gone: its call may be the next. Under the lock."""
        if self._may_begin_last():
            self._for_last.notify()

    def _may_begin_last(self) -> bool:
        return bool(self._last) and not (self._first or self._under_way)

    def _work_last(self) -> None:
        while True:
            with self._lock:
                self._for_last.wait_for(lambda: self._may_begin_last() or not self._open)
                if not self._last:
                    return
                call = self._last.popleft()
            if call.run():
                self._closes.wait(self._rest_s)


class _Call:
    """A function, and the future that its caller awaits on the loop it came from."""

    def __init__(self, loop: asyncio.AbstractEventLoop, function: Callable[[], Any]) -> None:
        self.loop = loop
        self.answer: asyncio.Future[Any] = loop.create_future()
        self._function = function

    def run(self) -> bool:
        """Whether it ran to its end and found nothing."""
        if self.answer.cancelled():  # the client is gone
            return False
        try:
            result = self._function()
        except BaseException as error:  # whatever it is belongs to the caller; the thread goes on
            self.tell(None, error)
            return False
        self.tell(result, None)
        return not result

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
