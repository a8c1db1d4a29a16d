"""An HTTP/1.1 client for open load: one thread, callbacks instead of a greenlet for each request.

Half to a fifth of the processor time of Locust's FastHttpUser (benchmarks/generator.py), so that less of what is
measured is the client. No redirects, no cookies, no retries: one request is one request. Knows nothing of schedules or
of Locust.
"""

from __future__ import annotations

import errno
import ipaddress
import resource
import socket
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import gevent
import httptools
from gevent.monkey import get_original

from loadtests.contract import Reply, Request
from loadtests.target.guards import Target
from loadtests.trial import Status

_plain_socket = get_original("socket", "socket")  # Locust has patched the other one: it would switch greenlets
_BIND_ADDRESS_NO_PORT = getattr(socket, "IP_BIND_ADDRESS_NO_PORT", 24)  # Linux; named in Python 3.13 and later only
_READ, _WRITE = 1, 2
_BLOCK = 1 << 16
_IDLE_S = 4.0  # servers close what is idle for 5 s or longer: a request must not cross that on its way
_SPARE_FILES = 200  # handles that are not ours
_CONNECTING = 100  # at a time, when warming up
_KINDS = 100  # of requests, by the names of their headers
_OWN_LIMITS = (errno.EMFILE, errno.ENFILE, errno.EADDRNOTAVAIL, errno.ENOBUFS, errno.ENOMEM)


class UnableError(Exception):
    """This machine cannot open another connection: the target is not to blame."""


# which request, when it was done (ns), status (of HTTP, or `trial.Status`), bytes of its body, reply if kept, problem
Then = Callable[[int, int, int, int, "Reply | None", str], None]


class Client:
    """Connections to one target, opened as needed and kept; answers go to `then`."""

    def __init__(
        self,
        target: Target,
        then: Then,
        *,
        headers: Mapping[str, str] | None = None,
        tls: ssl.SSLContext | None = None,
        timeout_s: float = 10.0,
        sources: Sequence[str] = (),
        keeps_replies: bool = False,
    ) -> None:
        self.target, self.tls, self.then, self.timeout_s = target, tls, then, timeout_s
        self.keeps_replies = keeps_replies
        self.under_way: dict[int, _Connection] = {}  # by request, the oldest first
        self.loop = gevent.get_hub().loop
        self.opened = 0
        self._idle: list[_Connection] = []  # the last used is used next
        self._sources = tuple(sources)
        self._addresses = list(target.addresses)
        host = f"[{target.host}]" if ":" in target.host else target.host
        if target.port != (443 if tls is not None else 80):
            host += f":{target.port}"
        self._common = {"Host": host, "Accept": "*/*", **(headers or {})}
        self._beside = lru_cache(_KINDS)(self._common_beside)  # requests of a kind say the same names

    def send(self, number: int, request: Request) -> int:
        """Send a request; when that began (monotonic ns). UnableError: no connection can be opened."""
        message = self._message(request)
        now = time.monotonic_ns()
        connection = self._taken(now) or _Connection(self)
        self.under_way[number] = connection
        try:
            connection.send(number, message, now)
        except BaseException:
            self.under_way.pop(number, None)
            raise
        return now

    def _common_beside(self, *names: str) -> str:
        """The lines that every request has, without those that it says itself."""
        own = {name.lower() for name in names}
        return "".join(f"{name}: {value}\r\n" for name, value in self._common.items() if name.lower() not in own)

    def _message(self, request: Request) -> bytes:
        common = self._beside(*request.headers)
        head = f"{request.method} {self.target.prefix}{request.path} HTTP/1.1\r\n{common}"
        for name, value in request.headers.items():
            head += f"{name}: {value}\r\n"
        body = request.body
        if body is None:
            return (head + "\r\n").encode("latin-1")
        return f"{head}Content-Length: {len(body)}\r\n\r\n".encode("latin-1") + body

    def _taken(self, now: int) -> _Connection | None:
        if self._idle:
            connection = self._idle.pop()
            if now - connection.since < _IDLE_S * 1e9:
                return connection
            # the last used is too old: so are all the others
            connection.close()
            while self._idle:
                self._idle.pop().close()
        return None

    def warm(self, count: int, within_s: float = 10.0) -> None:
        """Have so many connections open and idle; fewer, where the target does not take them in time."""
        until = time.monotonic() + within_s
        fresh = time.monotonic_ns() - _IDLE_S * 0.5e9
        while self._idle and self._idle[0].since < fresh:
            self._idle.pop(0).close()  # may be closed by the server before it is used
        opening: list[_Connection] = []
        tries = 2 * count + _CONNECTING  # a target that turns all away is not asked for ever
        while len(self._idle) < count and (tries or opening) and time.monotonic() < until:
            opening = [each for each in opening if each.is_opening]
            while tries and len(opening) < _CONNECTING and len(self._idle) + len(opening) < count:
                tries -= 1
                connection = _Connection(self)
                try:
                    connection.open()
                except UnableError:
                    return  # what there is must do; a request that finds none says why
                opening.append(connection)
            gevent.sleep(0.002)
            if not self._idle and opening and not any(each.is_opening for each in opening):
                if len(self._addresses) < 2:
                    break
                self._addresses.append(self._addresses.pop(0))  # the name has another one

    def expire(self) -> None:
        """Give up what has taken too long."""
        long_ago = time.monotonic_ns() - int(self.timeout_s * 1e9)
        for connection in list(self.under_way.values()):
            if connection.since > long_ago:
                break
            connection.fail("no answer in time", Status.NO_ANSWER)

    def close(self) -> None:
        """Close everything."""
        for connection in [*self.under_way.values(), *self._idle]:
            connection.close()
        self.under_way.clear()
        self._idle.clear()

    # For connections

    def new_socket(self) -> tuple[Any, Any]:
        """A socket that does not block, and the address that it is to connect to."""
        address = self._addresses[0]
        family = socket.AF_INET6 if ipaddress.ip_address(address).version == 6 else socket.AF_INET
        try:
            found = _plain_socket(family, socket.SOCK_STREAM)
            found.setblocking(False)
            found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._sources:
                found.setsockopt(socket.IPPROTO_IP, _BIND_ADDRESS_NO_PORT, 1)
                found.bind((self._sources[self.opened % len(self._sources)], 0))
        except OSError as error:
            raise UnableError(error.strerror or str(error)) from None
        self.opened += 1
        return found, (address, self.target.port)

    def keep(self, connection: _Connection) -> None:
        """A connection that has nothing to do."""
        self._idle.append(connection)

    def drop(self, connection: _Connection) -> None:
        """A connection that was closed while it had nothing to do."""
        if connection in self._idle:
            self._idle.remove(connection)


class _Connection:
    """One connection: at most one request at a time."""

    __slots__ = (
        "_body",
        "_client",
        "_fields",
        "_has_head",
        "_has_length",
        "_keeps",
        "_number",
        "_out",
        "_parser",
        "_reading",
        "_secure",
        "_socket",
        "_whole",
        "_writing",
        "is_opening",
        "length",
        "since",
    )

    def __init__(self, client: Client) -> None:
        self._client = client
        self._socket: Any = None
        self._reading: Any = None
        self._writing: Any = None
        self._secure: _Secure | None = None
        self._parser: Any = None
        self._out: bytes | memoryview = b""
        self._number = -1
        self._whole = self._keeps = False
        self._has_head = self._has_length = False
        self._fields: list[tuple[str, str]] = []
        self._body: list[bytes] = []
        self.is_opening = False
        self.length = 0  # of the answer's body
        self.since = 0  # last used, or begun

    def open(self) -> None:
        """Begin to connect."""
        self._socket, address = self._client.new_socket()
        self.is_opening = True
        self.since = time.monotonic_ns()
        handle = self._socket.fileno()
        self._reading = self._client.loop.io(handle, _READ)
        self._writing = self._client.loop.io(handle, _WRITE)
        code = self._socket.connect_ex(address)
        if code in _OWN_LIMITS:
            self.close()
            raise UnableError(errno.errorcode[code])
        # refused at once or not, the socket says so when it is asked
        self._writing.start(self._connected)

    def send(self, number: int, message: bytes, now: int) -> None:
        """Send a request; it is connected first where that is due."""
        self._number = number
        self._whole = False
        self._has_head = self._has_length = False
        self.length = 0
        self._fields = []
        self._body = []
        self._parser = httptools.HttpResponseParser(self)
        self._out = message
        if self._socket is None:
            self.open()
            self.since = now
            return
        self.since = now
        self._flush()

    # What the loop calls

    def _connected(self) -> None:
        code = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            self.fail(_named(OSError(code, "")))
            return
        self._writing.stop()
        self._reading.start(self._readable)
        if self._client.tls is not None:
            self._secure = _Secure(self._client.tls, self._client.target.host)
            self._shake_hands()
        else:
            self._opened()

    def _opened(self) -> None:
        self.is_opening = False
        if self._number < 0:
            self.since = time.monotonic_ns()
            self._client.keep(self)
        else:
            self._flush()

    def _shake_hands(self) -> None:
        assert self._secure is not None
        try:
            is_done = self._secure.shake_hands()
        except ssl.SSLError as error:
            self.fail(f"TLS: {error.reason or error}")
            return
        if is_done:
            self._opened()
        self._flush()

    def _flush(self) -> None:
        """Write what can be written now."""
        if self._secure is not None:
            if self._out and not self.is_opening:
                self._secure.encrypt(bytes(self._out))
                self._out = b""
            self._secure.waiting += self._secure.outgoing.read()
            waiting: bytes | memoryview = self._secure.waiting
        else:
            waiting = self._out
        try:
            sent = self._socket.send(waiting) if len(waiting) else 0
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError as error:
            self.fail(_named(error))
            return
        rest = sent < len(waiting)
        if self._secure is not None:
            self._secure.waiting = bytes(waiting[sent:])
        else:
            self._out = memoryview(waiting)[sent:] if rest else b""  # a photo is not copied again with every part
        if rest:
            if not self._writing.active:
                self._writing.start(self._flush)
        elif self._writing.active:
            self._writing.stop()

    def _readable(self) -> None:
        try:
            data = self._socket.recv(_BLOCK)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self.fail(_named(error))
            return
        try:
            if not data:
                self._ended()
                return
            if self._secure is not None:
                self._secure.incoming.write(data)
                if self.is_opening:
                    self._shake_hands()
                    return
                data = self._secure.decrypt()
                self._flush()
                if not data:
                    return
            if self._number < 0:
                self.close()  # it speaks without being asked
                self._client.drop(self)
                return
            self._parser.feed_data(data)
        except ssl.SSLError as error:
            self.fail(f"TLS: {error.reason or error}")
            return
        except httptools.HttpParserError:
            self.fail("the answer is not HTTP")
            return
        if self._whole:
            self._answered(keep=self._keeps)

    def _ended(self) -> None:
        """The other side has closed."""
        if self._number >= 0 and self._has_head and not self._has_length:
            self._answered(keep=False)  # a body without a length ends here
        else:
            self.fail("closed without an answer" if self._number >= 0 else "")

    # What the parser calls

    def on_header(self, name: bytes, value: bytes) -> None:
        """One line of the head."""
        small = name.lower()
        if small in (b"content-length", b"transfer-encoding"):
            self._has_length = True
        if self._client.keeps_replies:
            self._fields.append((small.decode("latin-1"), value.decode("latin-1")))

    def on_headers_complete(self) -> None:
        """The end of the head; an interim answer (100, 103) does not count."""
        self._has_head = self._parser.get_status_code() >= 200

    def on_body(self, data: bytes) -> None:
        """A part of the body."""
        self.length += len(data)
        if self._client.keeps_replies:
            self._body.append(data)

    def on_message_complete(self) -> None:
        """All of it; or of an interim answer."""
        self._whole = self._has_head
        self._keeps = self._parser.should_keep_alive()  # asked later, the parser has forgotten
        if not self._whole:
            self._fields.clear()

    # Ends

    def _answered(self, *, keep: bool) -> None:
        now = time.monotonic_ns()
        number, self._number = self._number, -1
        status = self._parser.get_status_code()
        self._client.under_way.pop(number, None)
        reply = None
        if self._client.keeps_replies:
            reply = Reply.of(status, self._fields, b"".join(self._body))
            self._fields, self._body = [], []
        if keep and not self._out:
            self.since = now
            self._client.keep(self)
        else:
            self.close()
        self._client.then(number, now, status, self.length, reply, "")

    def fail(self, problem: str, status: int = Status.BROKEN_OFF) -> None:
        """Give up the request, and the connection."""
        number, self._number = self._number, -1
        self.close()
        if number >= 0:
            self._client.under_way.pop(number, None)
            self._client.then(number, time.monotonic_ns(), status, 0, None, problem)
        else:
            self._client.drop(self)

    def close(self) -> None:
        """Close it."""
        self.is_opening = False
        for watcher in (self._reading, self._writing):
            if watcher is not None:
                watcher.stop()
                watcher.close()
        self._reading = self._writing = self._parser = None
        if self._socket is not None:
            self._socket.close()
            self._socket = None


class _Secure:
    """TLS on top of a connection that does not block."""

    def __init__(self, context: ssl.SSLContext, host: str) -> None:
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.waiting = b""  # encrypted, not yet taken by the socket
        self._tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname=host)

    def shake_hands(self) -> bool:
        """Go on with it; whether it is done."""
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def encrypt(self, data: bytes) -> None:
        """To `outgoing`."""
        self._tls.write(data)

    def decrypt(self) -> bytes:
        """What has come whole."""
        found = []
        while True:
            try:
                block = self._tls.read(_BLOCK)
            except ssl.SSLWantReadError:
                break
            if not block:
                break
            found.append(block)
        return b"".join(found)


def _named(error: OSError) -> str:
    """In words that are the same for every connection."""
    return {
        errno.ECONNREFUSED: "connection refused",
        errno.ECONNRESET: "connection reset",
        errno.EPIPE: "connection reset",
        errno.ETIMEDOUT: "no connection in time",
    }.get(error.errno or 0, errno.errorcode.get(error.errno or 0, str(error)))


def allow_connections(most: int) -> int:
    """Raise this process's limit of open files as far as it may; how many connections that leaves, at most `most`."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = most + _SPARE_FILES
    if soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return max(1, min(most, soft - _SPARE_FILES))
