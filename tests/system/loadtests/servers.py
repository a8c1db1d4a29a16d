"""Test servers whose capacity is known: what a load test says of them can be held against the truth.

`python -m tests.system.loadtests.servers KIND ...` prints its address. Service takes no processor: when a request is
answered is computed from when it came, and a timer answers it then. Plain HTTP over uvloop, so that the server is not
what limits a test.
"""

from __future__ import annotations

import argparse
import asyncio
import heapq
import json
import os
import signal
import ssl
import subprocess
import sys
import time
import urllib.request
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import uvloop

if TYPE_CHECKING:
    from loadtests.generator.processes import Source
    from loadtests.target.guards import Target
    from loadtests.workload import Schedule

_ROOT = Path(__file__).parents[3]
_OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 11\r\n\r\n" + b'{"ok":true}'
_BUSY = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"
CONTROL = b"/-/"  # paths that are about the server, and are answered at once
_ODD = {  # answers that HTTP allows, or does not
    b"/odd/chunked": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", False),
    b"/odd/until-close": (b"HTTP/1.1 200 OK\r\n\r\nhello", True),
    b"/odd/interim": (b"HTTP/1.1 103 Early Hints\r\n\r\n" + _OK, False),
    b"/odd/empty": (b"HTTP/1.1 204 No Content\r\n\r\n", False),
    b"/odd/not-changed": (b"HTTP/1.1 304 Not Modified\r\nETag: 1\r\n\r\n", False),
    b"/odd/last": (_OK.replace(b"\r\n", b"\r\nConnection: close\r\n", 1), True),
    b"/odd/not-http": (b"220 mail.example.org\r\n", False),
    b"/odd/torn": (_OK[:-3], True),
    b"/odd/silent": (b"", True),
    b"/odd/error": (b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n", False),
}

Departure = Callable[[int], int | None]  # when a request that comes now is answered (ns); None: it is turned away


def instant() -> Departure:
    """Whatever comes is answered at once."""
    return lambda now: now


def queue(servers: int, service_ns: int, room: int) -> Departure:
    """So many servers of fixed service time and one line before them; who finds `room` waiting is turned away."""
    free_at = [0] * servers

    def departure(now: int) -> int | None:
        begins = max(now, free_at[0])
        if begins - now > room * service_ns // servers:
            return None
        heapq.heapreplace(free_at, begins + service_ns)
        return begins + service_ns

    return departure


def stall(after_ns: int, length_ns: int) -> Departure:
    """Answers at once, except for one stall: it begins so long after the first request."""
    begins = 0

    def departure(now: int) -> int:
        nonlocal begins
        begins = begins or now + after_ns
        return begins + length_ns if begins <= now < begins + length_ns else now

    return departure


def bucket(per_s: float, burst: float) -> Departure:
    """Answers at once while there are tokens, refuses at once while there are none."""
    tokens, at = burst, 0

    def departure(now: int) -> int | None:
        nonlocal tokens, at
        tokens = min(burst, tokens + (now - at) * per_s / 1e9)
        at = now
        if tokens < 1:
            return None
        tokens -= 1
        return now

    return departure


def lock(service_ns: int, knee: int, slower: float, slowest: float, room: int) -> Departure:
    """One server behind a lock: each that waits beyond the knee makes whoever comes then slower, by this share.

    Past the knee it does less the more is asked of it, down to a `slowest` share of its pace.
    """
    leaves: deque[int] = deque()

    def departure(now: int) -> int | None:
        while leaves and leaves[0] <= now:
            leaves.popleft()
        if len(leaves) > room:
            return None
        takes = service_ns * min(slowest, 1 + slower * max(0, len(leaves) - knee))
        leaves.append(max(now, leaves[-1] if leaves else 0) + round(takes))
        return leaves[-1]

    return departure


class Server:
    """What came, and what is still to be answered, in the order of its departure."""

    def __init__(self, departure: Departure) -> None:
        self.departure = departure
        self.waiting: list[tuple[int, int, Connection]] = []
        self.seen: list[bytes] = []
        self._timer_at = 0
        self._loop = asyncio.get_running_loop()

    def asked(self, connection: Connection, path: bytes) -> None:
        """A request is here."""
        if path.startswith(CONTROL):
            connection.answer(self.control(path))
            return
        if path in _ODD:
            connection.answer(*_ODD[path])
            return
        now = time.monotonic_ns()
        self.seen.append(path)
        at = self.departure(now)
        if at is None:
            connection.answer(_BUSY)
        elif at <= now:
            connection.answer(_OK)
        else:
            heapq.heappush(self.waiting, (at, len(self.seen), connection))
            self._set_timer()

    def control(self, path: bytes) -> bytes:
        """What a test asks of the server itself."""
        body = b"\n".join(self.seen)
        if path == CONTROL + b"forget":
            self.seen.clear()
        return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)

    def _set_timer(self) -> None:
        if self.waiting and not self._timer_at:
            self._timer_at = self.waiting[0][0]
            self._loop.call_later(max(0.0, (self._timer_at - time.monotonic_ns()) / 1e9), self._answer)

    def _answer(self) -> None:
        self._timer_at = 0
        now = time.monotonic_ns()
        while self.waiting and self.waiting[0][0] <= now:
            heapq.heappop(self.waiting)[2].answer(_OK)
        self._set_timer()


class Connection(asyncio.Protocol):
    """One client; its requests are answered in order."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._read = b""
        self._transport: asyncio.WriteTransport
        self._paths: deque[bytes] = deque()
        self._asked = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)  # uvloop's own is none by descent

    def data_received(self, data: bytes) -> None:
        self._read = self._read + data if self._read else data
        while (end := self._read.find(b"\r\n\r\n")) >= 0:
            head = self._read[:end]
            at = head.lower().find(b"content-length:")
            length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            if len(self._read) < end + 4 + length:
                return
            self._read = self._read[end + 4 + length :]
            self._paths.append(head.split(b" ", 2)[1])
        self._ask()

    def _ask(self) -> None:
        if self._paths and not self._asked:
            self._asked = True
            self._server.asked(self, self._paths.popleft())

    def answer(self, reply: bytes, close: bool = False) -> None:
        """The answer to the oldest request."""
        if not self._transport.is_closing():  # who has hung up is not answered; the work was done all the same
            self._transport.write(reply)
        if close:
            self._transport.close()
        self._asked = False
        self._ask()


async def _serve(departure: Departure, tls: ssl.SSLContext | None) -> None:
    loop = asyncio.get_running_loop()
    server = Server(departure)
    listening = await loop.create_server(lambda: Connection(server), "127.0.0.1", 0, backlog=4096, ssl=tls)
    print(
        json.dumps({"url": f"http{'s' if tls else ''}://127.0.0.1:{listening.sockets[0].getsockname()[1]}"}), flush=True
    )
    stopped = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stopped.set)
    await stopped.wait()


def main() -> None:
    """Serve until told to end."""
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=["instant", "queue", "stall", "bucket", "lock"])
    parser.add_argument("--servers", type=int, default=1)
    parser.add_argument("--service-ms", type=float, default=1.0)
    parser.add_argument("--room", type=int, default=1_000_000)
    parser.add_argument("--after-s", type=float, default=4.0)
    parser.add_argument("--length-s", type=float, default=1.0)
    parser.add_argument("--per-s", type=float, default=1000.0, help="tokens of a bucket")
    parser.add_argument("--burst", type=float, default=50.0)
    parser.add_argument("--knee", type=int, default=60)
    parser.add_argument("--slower", type=float, default=0.002)
    parser.add_argument("--slowest", type=float, default=2.0)
    parser.add_argument("--core", type=int, default=-1)
    parser.add_argument("--certificate", default="", help="PEM file of certificate and key: speak TLS")
    given = parser.parse_args()
    if given.core >= 0:
        os.sched_setaffinity(0, {given.core})
    service_ns = int(given.service_ms * 1e6)
    kinds: dict[str, Callable[[], Departure]] = {
        "instant": instant,
        "queue": lambda: queue(given.servers, service_ns, given.room),
        "stall": lambda: stall(int(given.after_s * 1e9), int(given.length_s * 1e9)),
        "bucket": lambda: bucket(given.per_s, given.burst),
        "lock": lambda: lock(service_ns, given.knee, given.slower, given.slowest, given.room),
    }
    tls = None
    if given.certificate:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(given.certificate)
    uvloop.run(_serve(kinds[given.kind](), tls))


# What is asked of them (`generator_process.Source`)


def numbered(
    _: Schedule, __: Target, *, judged: bool = False, work_s: float = 0.0, body: int = 0, prepare_s: float = 0.0
) -> Source:
    """Requests that say which they are. `judged`: odd ones are bad; `work_s`: making one takes so long.

    `prepare_s`: before the first can be made, so much time passes.
    """
    from loadtests.contract import Request
    from loadtests.generator.processes import Source

    time.sleep(prepare_s)

    def request(number: int) -> Request:
        until = time.monotonic() + work_s
        while time.monotonic() < until:
            pass
        return Request("POST" if body else "GET", f"/r/{number}", {"X-Test": "1"}, b"x" * body or None, "numbered")

    return Source(request, (lambda number, reply: f"odd: {len(reply.body)}" * (number % 2)) if judged else None)


def in_turns(_: Schedule, __: Target, *, forgets: bool = False) -> Source:
    """One at a time, each when the one before it is answered. `forgets`: those that wait are never let go."""
    from loadtests.contract import Request
    from loadtests.generator.processes import Source

    waiting: deque[int] = deque()
    under_way: list[int] = []

    def request(number: int) -> Request | None:
        if under_way not in ([], [number]):
            waiting.append(number)
            return None
        under_way[:] = [number]
        return Request("GET", f"/r/{number}", {}, None, "in turns")

    def finished(number: int) -> int | None:
        if forgets or number not in under_way:
            return None
        under_way.clear()
        return waiting.popleft() if waiting else None

    return Source(request, finished=finished)


def odd(_: Schedule, __: Target) -> Source:
    """Requests for odd answers, one after the other."""
    from loadtests.contract import Request
    from loadtests.generator.processes import Source

    return Source(lambda number: Request("GET", list(_ODD)[number].decode(), {}, None, "odd"), lambda _, reply: "")


@dataclass(frozen=True, slots=True)
class Running:
    """A server that runs."""

    url: str
    process_id: int

    def seen(self) -> list[str]:
        """The paths that were asked for, in order."""
        with urllib.request.urlopen(f"{self.url}/-/seen", timeout=10) as answer:
            return answer.read().decode().split()  # type: ignore[no-any-return]  # urllib's answer has no type


@contextmanager
def serving(*arguments: object) -> Iterator[Running]:
    """A server of its own process for as long as the block lasts."""
    command = [sys.executable, "-m", "tests.system.loadtests.servers", *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=_ROOT) as process:
        try:
            assert process.stdout is not None
            yield Running(json.loads(process.stdout.readline())["url"], process.pid)
        finally:
            process.terminate()


if __name__ == "__main__":
    main()
