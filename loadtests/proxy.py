"""A proxy that disturbs connections: bytes late, held up, cut off, on a narrow line. In its own process, on uvloop.

It passes bytes on as they come and knows nothing of HTTP or SQL. What an end does to its connection (closes it, half of
it, resets it) the other end sees. Faults come and go by `Proxy.begin` and `end`, at both ends at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import socket
import struct
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Mapping, Set
from pathlib import Path
from types import TracebackType
from typing import Any, TypeAlias, cast

from simulation.errors import UnfinishedError
from simulation.scenario.faults import Kind

Address: TypeAlias = tuple[str, int] | Path  # host and port, or a Unix socket

_START_S = 20.0
_END_S = 5.0
_BACKLOG = 4096
_MOST_WAITING = 1 << 20  # bytes of one way that the proxy holds; beyond that whoever sends has to wait, as on any line
_CHUNK = 8 * 1024  # of a narrow line: connections take turns
_CATCH_UP_S = 0.005  # timers come late by a millisecond or two: what a narrow line has missed is made up
_QUEUE, _SINK = 1, 2
_NO_LINGER = struct.pack("ii", 1, 0)  # a close is a reset


# The harness's side


class Proxy:
    """A proxy between whoever connects to `address` and `to`. Use it as a context: it ends with the block.

    Listens on a free port of this machine's loopback, or on a Unix socket `at`, which only the folder's owner reaches.
    """

    def __init__(self, to: Address, at: Path | None = None, cores: Set[int] = frozenset()) -> None:
        self._order = {"to": _said(to), "at": None if at is None else _said(at)}
        self._cores = cores  # that it may run on; none: all
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes]
        self.address: Address

    def __enter__(self) -> Proxy:
        self._child = subprocess.Popen(
            [sys.executable, "-m", "loadtests.proxy"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            start_new_session=True,  # Ctrl-C is for the harness to hear
        )  # fmt: skip
        try:
            if self._cores:
                os.sched_setaffinity(self._child.pid, self._cores)
            at = self._ask(self._order)["at"]
        except BaseException:
            self.__exit__(None, None, None)
            raise
        self.address = Path(at) if isinstance(at, str) else (at[0], at[1])
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        child = self._child
        assert child.stdin is not None
        assert child.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            child.stdin.close()  # which ends it
        try:
            child.wait(_END_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        child.stdout.close()

    @property
    def pid(self) -> int:
        """Its process."""
        return self._child.pid

    def begin(self, number: int, kind: Kind, amount: int | None, *, is_moment: bool) -> None:
        """A fault begins; it is there when this returns. `number` is for `end`."""
        self._ask({"begin": number, "kind": kind, "amount": amount, "is_moment": is_moment})

    def end(self, number: int) -> None:
        """It is over."""
        self._ask({"end": number})

    def _ask(self, order: Mapping[str, Any]) -> dict[str, Any]:
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        with self._lock:
            try:
                self._child.stdin.write(json.dumps(order).encode() + b"\n")
                self._child.stdin.flush()
            except BrokenPipeError:
                raise UnfinishedError("a proxy came to an end", 1) from None
            line = self._child.stdout.readline()
        if not line:
            raise UnfinishedError("a proxy came to an end", 1)
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise UnfinishedError(f"a proxy could not be set up: {answer['error']}", 1)
        return answer


def _said(address: Address) -> str | list[str | int]:
    return str(address) if isinstance(address, Path) else [address[0], address[1]]


# The proxy's own process


class _Way:
    """The bytes from one end of a connection to the other."""

    __slots__ = ("connection", "ended", "held_by", "in_line", "is_back", "left", "link", "sink", "size", "source",
                 "timer", "waiting")  # fmt: skip

    def __init__(self, connection: _Connection, *, is_back: bool) -> None:
        self.connection = connection
        self.link = connection.link
        self.is_back = is_back  # answers go this way
        self.source: asyncio.Transport | None = None
        self.sink: asyncio.Transport | None = None  # None: not connected yet
        self.waiting: deque[tuple[float, bytes | None]] = deque()  # not before this time; None: the end
        self.size = 0
        self.timer: asyncio.TimerHandle | None = None
        self.in_line = False
        self.left: int | None = None  # so many bytes until it breaks off
        self.ended = False
        self.held_by = 0  # _QUEUE and _SINK: why nothing is read

    def take(self, data: bytes | None) -> None:
        """Bytes have come; None: no more will."""
        link, sink = self.link, self.sink
        if self.ended or (sink is not None and sink.is_closing()):
            return
        if link.is_plain and not self.waiting and sink is not None and self.left is None and data is not None:
            sink.write(data)
            return
        self.waiting.append((link.loop.time() + link.delay_s if self.is_back else 0.0, data))
        self.size += len(data or b"")
        if self.size > _MOST_WAITING:
            self.hold(_QUEUE)
        self.move()

    def move(self) -> None:
        """Pass on what may pass now."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        link = self.link
        while self.waiting and self.sink is not None and not link.is_stalled:
            due = self.waiting[0][0]
            if due > link.loop.time():
                self.timer = link.loop.call_at(due, self.move)
                return
            if link.rate is not None:
                link.lines[self.is_back].join(self)
                return
            self.pass_on()

    def pass_on(self, length: int | None = None) -> int:
        """Pass on the first of what waits, or its first so many bytes; how many."""
        assert self.sink is not None
        due, data = self.waiting.popleft()
        if data is None:
            self.finish()
            return 0
        if length is not None and length < len(data):
            self.waiting.appendleft((due, data[length:]))
            data = data[:length]
        self.size -= len(data)
        if self.sink.is_closing():
            return len(data)
        if self.left is not None and len(data) >= self.left:
            self.sink.write(data[: self.left])
            self.connection.break_off()
            return len(data)
        if self.left is not None:
            self.left -= len(data)
        self.sink.write(data)
        if self.held_by and self.size < _MOST_WAITING // 2:
            self.go_on(_QUEUE)
        return len(data)

    def finish(self) -> None:
        """No more goes this way; what still comes is dropped."""
        if self.ended:
            return
        self.ended = True
        self.waiting.clear()
        self.go_on(_QUEUE | _SINK)
        if self.sink is not None and not self.sink.is_closing():
            with contextlib.suppress(OSError):
                self.sink.write_eof()
        self.connection.close_if_done()

    def hold(self, why: int) -> None:
        """Whoever sends has to wait."""
        if not self.held_by and self.source is not None and not self.source.is_closing():
            self.source.pause_reading()
        self.held_by |= why

    def go_on(self, why: int) -> None:
        """For this there is no more need to."""
        was, self.held_by = self.held_by, self.held_by & ~why
        if was and not self.held_by and self.source is not None and not self.source.is_closing():
            self.source.resume_reading()


class _End(asyncio.Protocol):
    """One end of a connection: `out` goes from here, `into` comes here."""

    def __init__(self, connection: _Connection, out: _Way, into: _Way) -> None:
        self.connection, self.out, self.into = connection, out, into
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = self.out.source = self.into.sink = cast("asyncio.Transport", transport)  # uvloop's are no kin
        self.connection.has(self)

    def data_received(self, data: bytes) -> None:
        self.out.take(data)

    def eof_received(self) -> bool:
        self.out.take(None)
        return True  # the other way stays open

    def pause_writing(self) -> None:
        self.into.hold(_SINK)

    def resume_writing(self) -> None:
        self.into.go_on(_SINK)

    def connection_lost(self, error: Exception | None) -> None:
        self.connection.lost(self, error)

    def reset(self) -> None:
        """Close it as if the machine had forgotten it."""
        if self.transport is not None and not self.transport.is_closing():
            with contextlib.suppress(OSError):
                self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
            self.transport.abort()

    def close(self) -> None:
        """Close it when all is sent."""
        if self.transport is not None:
            self.transport.close()


class _Connection:
    """A client's connection, and the one that the proxy makes for it."""

    def __init__(self, link: _Link) -> None:
        self.link = link
        self.there, self.back = _Way(self, is_back=False), _Way(self, is_back=True)
        self.client, self.server = _End(self, self.there, self.back), _End(self, self.back, self.there)
        self.is_open = True
        self._connecting: asyncio.Task[None] | None = None

    def has(self, end: _End) -> None:
        """An end is connected."""
        assert end.transport is not None
        end.transport.set_write_buffer_limits(high=_MOST_WAITING)
        if end is self.server:
            if not self.is_open:
                end.reset()  # the client has gone meanwhile
            else:
                self.there.move()
            return
        self.link.connections.add(self)
        if self.link.resets:
            self.reset()
            return
        if self.link.half_closes:
            self.back.finish()
        self.back.left = self.link.truncates_after
        self._connecting = self.link.loop.create_task(self._connect(end.transport))

    async def _connect(self, client: asyncio.Transport) -> None:
        try:
            await self.link.connect(lambda: self.server, client)
        except OSError:
            self.client.reset()

    def lost(self, end: _End, error: Exception | None) -> None:
        """An end is gone; where it was cut off, the other one is too."""
        self.is_open = False
        other = self.server if end is self.client else self.client
        if error is not None:
            other.reset()
        else:
            other.close()
        self.link.connections.discard(self)

    def close_if_done(self) -> None:
        """When neither end has any more to say."""
        if self.there.ended and self.back.ended:
            self.client.close()
            self.server.close()

    def reset(self) -> None:
        """Cut off both ends."""
        self.client.reset()
        self.server.reset()

    def break_off(self) -> None:
        """The client gets what is on its way, and no more."""
        self.back.ended = True
        self.back.waiting.clear()
        self.client.close()
        self.server.reset()

    def move(self) -> None:
        """Things have changed."""
        self.there.move()
        self.back.move()


class _Line:
    """A narrow line: connections take turns."""

    def __init__(self, link: _Link) -> None:
        self._link = link
        self._queue: deque[_Way] = deque()
        self._free_at = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def join(self, way: _Way) -> None:
        """Wait for a turn."""
        if not way.in_line:
            way.in_line = True
            self._queue.append(way)
        if self._timer is None:
            self._serve()

    def _serve(self) -> None:
        self._timer = None
        loop = self._link.loop
        while self._queue:
            rate, now = self._link.rate, loop.time()
            if rate is not None and self._free_at > now:
                self._timer = loop.call_at(self._free_at, self._serve)
                return
            way = self._queue.popleft()
            way.in_line = False
            if rate is None or self._link.is_stalled:
                way.move()
                continue
            if not way.waiting or way.sink is None:
                continue
            length = way.pass_on(_CHUNK)
            self._free_at = max(self._free_at, now - _CATCH_UP_S) + length / rate
            way.move()  # to the end of the line, if it has more


class _Link:
    """All connections of a proxy, and the faults that are on."""

    def __init__(self, to: Address) -> None:
        self.loop = asyncio.get_running_loop()
        self._to = to
        self._on: dict[int, tuple[Kind, int]] = {}
        self.connections: set[_Connection] = set()
        self.lines = {False: _Line(self), True: _Line(self)}
        self._settle()

    def _settle(self) -> None:
        def amounts(kind: Kind) -> list[int]:
            return [amount for of, amount in self._on.values() if of == kind]

        self.delay_s = sum(amounts("latency")) / 1000
        self.is_stalled = bool(amounts("stall"))
        self.rate = min(amounts("bandwidth"), default=None)
        self.resets = bool(amounts("reset"))
        self.half_closes = bool(amounts("half-close"))
        self.truncates_after = min(amounts("truncate"), default=None)
        self.is_plain = not (self.delay_s or self.is_stalled or self.rate)

    def begin(self, number: int, kind: Kind, amount: int, *, is_moment: bool) -> None:
        """From now on, or just now."""
        if not is_moment:
            self._on[number] = kind, amount
            self._settle()
        for connection in tuple(self.connections):
            match kind:
                case "reset":
                    connection.reset()
                case "half-close":
                    connection.back.finish()
                case "truncate":
                    connection.back.left = amount
                case _:
                    connection.move()

    def end(self, number: int) -> None:
        """No longer."""
        kind, _ = self._on.pop(number, (None, 0))
        self._settle()
        for connection in tuple(self.connections):
            if kind == "truncate":
                connection.back.left = self.truncates_after
            connection.move()

    async def listen(self, at: Path | None) -> Address:
        """Take connections; where."""
        if at is not None:
            await self.loop.create_unix_server(lambda: _Connection(self).client, str(at), backlog=_BACKLOG)
            return at
        server = await self.loop.create_server(lambda: _Connection(self).client, "127.0.0.1", 0, backlog=_BACKLOG)
        host, port = server.sockets[0].getsockname()[:2]
        return host, port

    async def connect(self, protocol: Any, client: asyncio.Transport) -> None:
        """Connect to where bytes go; from the client's own address, where it has one of this machine's others."""
        if isinstance(self._to, Path):
            await self.loop.create_unix_connection(protocol, str(self._to))
            return
        peer = client.get_extra_info("peername")
        own = peer[0] if peer and str(peer[0]).startswith("127.") and peer[0] != "127.0.0.1" else None
        host, port = self._to
        await self.loop.create_connection(protocol, host, port, local_addr=(own, 0) if own else None)


def _address(said: str | list[Any] | None) -> Address | None:
    if said is None or isinstance(said, str):
        return None if said is None else Path(said)
    return str(said[0]), int(said[1])


async def _run() -> None:
    loop = asyncio.get_running_loop()
    orders: asyncio.Queue[bytes | None] = asyncio.Queue()

    def read() -> None:
        for line in sys.stdin.buffer:
            loop.call_soon_threadsafe(orders.put_nowait, line)
        loop.call_soon_threadsafe(orders.put_nowait, None)

    threading.Thread(target=read, daemon=True).start()
    link: _Link | None = None
    gc.freeze()
    while (line := await orders.get()) is not None:
        order = json.loads(line)
        answer: dict[str, Any] = {}
        try:
            if link is None:
                to, at = _address(order["to"]), _address(order["at"])
                assert to is not None
                link = _Link(to)
                answer["at"] = _said(await link.listen(at if isinstance(at, Path) else None))
            elif "begin" in order:
                link.begin(order["begin"], order["kind"], order["amount"] or 0, is_moment=order["is_moment"])
            else:
                link.end(order["end"])
        except OSError as error:
            answer["error"] = error.strerror or str(error)
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def _raise_file_limit() -> None:
    import resource

    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


if __name__ == "__main__":
    import uvloop

    _raise_file_limit()
    uvloop.run(_run())
    os._exit(0)  # a connection that is still open is nobody's any more
