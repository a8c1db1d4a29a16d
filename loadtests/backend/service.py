"""The service: one process' parts, started and stopped in order, and the way of a request to the part that answers it.

An ASGI application of its own, because everything here runs for every request; the public results pay for it too.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import structlog
from sqlalchemy.exc import InternalError
from starlette.exceptions import HTTPException
from starlette.routing import Match, Route
from starlette.types import Message, Receive, Scope, Send

from loadtests.backend import api, edge, openapi, photos, reading, storage
from loadtests.backend.api import MalformedError, Operation, Services
from loadtests.backend.edge import ClientGoneError, Reply, json_reply, refusal_reply
from loadtests.backend.identity.addresses import client_address
from loadtests.backend.identity.login import Identity
from loadtests.backend.keeper import Keeper
from loadtests.backend.operation import Metrics, told_of
from loadtests.backend.pool import Pool, PoolBusyError
from loadtests.backend.records import Answer, Command
from loadtests.backend.refusals import Refusal
from loadtests.backend.results.current import Archive, Current
from loadtests.backend.results.routes import routes as public_routes
from loadtests.backend.settings import QUEUE, STOP_SECONDS, Settings
from loadtests.backend.writer import Writer

if TYPE_CHECKING:
    from loadtests.backend.storage import Database

READERS = 3  # threads that ask the database for requests; connections are what a database has least of
READS_WAITING = 64
READ_WAIT_S = 2.0
PHOTOGRAPHERS = 2  # threads that write photos
PHOTOS_WAITING = 64
CONNECTIONS = READERS + 6  # one each for writer, journal, keeper, pulse, the look for a newer release, one to spare
METRICS_WAIT_S = 5.0
PULSE_S = 1.0
PULSE_LATE_S = 5.0  # a process whose pulse is older is not ready: something hangs
CLIENT_GONE = 499  # in metrics only: nobody was there to be told

_SITE = re.compile(r"[0-9]{4,6}\Z")


def create_app(settings: Settings) -> Service:
    """The service of one process; it opens its database when the server starts it."""
    return Service(settings)


class Service:
    """What uvicorn calls: lifespan and requests."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self._log = structlog.get_logger()
        self._in_progress = 0
        self._parts: _Parts | None = None
        self._operations = _by_template(api.OPERATIONS)
        self._public: list[Route] = []
        self._public_exact: dict[str, Route] = {}
        self._telling: asyncio.Task[bytes] | None = None  # the metrics that are being written down
        self._open = {
            "/healthz": self._healthz,
            "/readyz": self._readyz,
            "/metrics": self._metrics_text,
            "/openapi.json": self._openapi,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] == "http":
            await self._request(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        else:
            await send({"type": "websocket.close", "code": 1000})

    @property
    def parts(self) -> _Parts:
        """What is running. Only between start and stop."""
        assert self._parts is not None, "the server starts the service before it lets requests in"
        return self._parts

    async def start(self) -> None:
        """Open the database and everything that works on it."""
        self._parts = await asyncio.to_thread(_Parts, self.settings, self.metrics)
        self._public = public_routes(self._parts.current, self._parts.archive)
        self._public_exact = {route.path: route for route in self._public if "{" not in route.path}
        await self._parts.begin()
        self._log.info("started", database=self._parts.database.shown_url, process=os.getpid())

    async def stop(self) -> None:
        """Finish what was accepted, and close everything."""
        parts, self._parts = self._parts, None
        if parts is not None:
            whole = await parts.end()
            self._log.info("stopped", process=os.getpid(), whole=whole)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            step = message["type"].removeprefix("lifespan.")
            try:
                await (self.start() if step == "startup" else self.stop())
            except Exception as error:
                self._log.error("failed", step=step, **told_of(error))
                await send({"type": f"lifespan.{step}.failed", "message": type(error).__name__})
                return
            await send({"type": f"lifespan.{step}.complete"})
            if step == "shutdown":
                return

    async def _request(self, scope: Scope, receive: Receive, send: Send) -> None:
        began_s = time.perf_counter()
        status, method = 0, scope["method"]
        path: str = scope["path"]

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        self._in_progress += 1
        route = "other"
        try:
            if path.startswith("/results"):
                route = await self._results(path, scope, receive, noted)
            else:
                route, operation, site = self._matched(path, method)
                reply = await self._reply(route, operation, site, scope, receive)
                await reply.send(noted)
        except ClientGoneError:
            status = CLIENT_GONE
        except Exception as error:
            reply = self._failure(error, path)
            if status == 0:
                with contextlib.suppress(ClientGoneError):
                    await reply.send(noted)
        finally:
            self._in_progress -= 1
            self.metrics.answered(route, _method(method), status, time.perf_counter() - began_s)

    def _matched(self, path: str, method: str) -> tuple[str, Operation | None, str]:
        """The route's template, the operation, and the site that the path names."""
        template, site = path, ""
        parts = path.split("/", 4)
        if len(parts) > 3 and _SITE.match(parts[3]):
            site = parts[3]
            parts[3] = "{site}"
            template = "/".join(parts)
        operations = self._operations.get(template)
        if operations is None:
            return (path if path in self._open else "other"), None, ""
        return template, operations.get(method), site

    async def _reply(self, route: str, operation: Operation | None, site: str, scope: Scope, receive: Receive) -> Reply:
        try:
            if operation is not None:
                address = self._address(scope)
                return await api.answer(operation, self.parts.services, scope, receive, site, address)
            if route == "other":
                raise Refusal("H02")
            if route in self._open:
                if scope["method"] not in ("GET", "HEAD"):
                    raise NotAllowedError("GET, HEAD")
                reply = await self._open[route]()
                if scope["method"] == "HEAD":
                    reply.body = b""
                return reply
            raise NotAllowedError(", ".join(sorted(self._operations[route])))
        except (Refusal, MalformedError, NotAllowedError) as error:
            return self._failure(error, route)

    def _failure(self, error: Exception, where: str) -> Reply:
        """The answer to what went wrong: a refusal with its code; anything unforeseen is logged, without its words."""
        if isinstance(error, MalformedError):
            self.metrics.refused(error.problems[0]["code"])
            return api.malformed_reply(error)
        if isinstance(error, NotAllowedError):
            self.metrics.refused("H03")
            return refusal_reply(Refusal("H03"), (b"allow", error.allowed.encode()))
        if isinstance(error, (*storage.GONE, InternalError)):  # the latter: it takes nothing, being a standby by now
            error = Refusal("H09", "the database does not answer: nothing was acknowledged", retry_after_s=1)
        if isinstance(error, PoolBusyError):
            error = Refusal("H09", retry_after_s=1)
        if isinstance(error, HTTPException):
            error = Refusal("H02")
        if not isinstance(error, Refusal):
            self._log.error("request failed", route=where, **told_of(error))
            error = Refusal("H08")
        self.metrics.refused(error.code)
        more = ((b"connection", b"close"),) if error.code in ("H04", "H05") else ()  # some of the body may still come
        return refusal_reply(error, *more)

    def _address(self, scope: Scope) -> str:
        client = scope.get("client")
        peer = client[0] if client else ""
        if not self.settings.trusted_proxies:
            return peer
        forwarded = [value.decode("latin-1") for name, value in scope["headers"] if name == b"x-forwarded-for"]
        return client_address(peer, forwarded, self.settings.trusted_proxies)

    async def _results(self, path: str, scope: Scope, receive: Receive, send: Send) -> str:
        route = self._public_exact.get(path)
        for candidate in self._public if route is None else (route,):
            match, child = candidate.matches(scope)
            if match is Match.FULL:
                scope.update(child)
                await candidate.app(scope, receive, send)
                return candidate.path
            if match is Match.PARTIAL:
                self.metrics.refused("H03")
                await refusal_reply(Refusal("H03"), (b"allow", b"GET, HEAD")).send(send)
                return candidate.path
        self.metrics.refused("H02")
        await refusal_reply(Refusal("H02")).send(send)
        return "other"

    async def _healthz(self) -> Reply:
        return json_reply(200, {"status": "alive"})

    async def _readyz(self) -> Reply:
        checks = self.parts.checks()
        ready = all(checks.values())
        more = () if ready else ((b"retry-after", b"1"),)
        return json_reply(200 if ready else 503, {"ready": ready, "checks": checks}, *more)

    async def _metrics_text(self) -> Reply:
        if self._telling is None or self._telling.done():  # whoever asks meanwhile is told the same
            self.parts.note()
            self.metrics.note(requests_in_progress=self._in_progress)
            self._telling = asyncio.create_task(self.parts.scribe.run(self.metrics.text))
        text = await asyncio.shield(self._telling)
        return Reply(200, text, [(b"content-type", b"text/plain; version=0.0.4; charset=utf-8")])

    async def _openapi(self) -> Reply:
        return Reply(200, openapi.document(), [edge.JSON])


class NotAllowedError(Exception):
    """The path is there, the method is not."""

    def __init__(self, allowed: str) -> None:
        self.allowed = allowed
        super().__init__(allowed)


class _Parts:
    """Everything that one process runs, from an open database to the release that it serves."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self.settings = settings
        self.metrics = metrics
        self.database = storage.connect(settings.database, settings.data, connections=CONNECTIONS)
        try:
            self._migrated = self.database.is_migrated()
            caucus = self.database.caucus()
            photos.sweep(self.database.photos, partial(reading.photo_digests, self.database))
            self.current = Current(self.database)
        except BaseException:
            self.database.close()
            raise
        self.archive = Archive.of(self.database)
        if settings.turns_nobody_away:
            reads, files = Pool("read", READERS, None, None), Pool("photo", PHOTOGRAPHERS, None, None)
        else:
            reads = Pool("read", READERS, READS_WAITING, READ_WAIT_S)
            files = Pool("photo", PHOTOGRAPHERS, PHOTOS_WAITING, STOP_SECONDS)
        writer = CountedWriter(self.database, metrics, QUEUE, settings.faults)
        identity = Identity(self.database, settings.hashing, reads, metrics.logged_in)
        self.services = Services(settings, self.database, caucus, writer, identity, reads, files)
        self.keeper = Keeper(self.database, settings.faults)
        self.scribe = Pool("metrics", 1, 1, METRICS_WAIT_S)  # neither waits for photos, nor keeps them waiting
        self._asks = Pool("pulse", 1, 1, PULSE_LATE_S)  # a crowd of readers does not make the database look gone
        self._log = structlog.get_logger()
        self._answers_at_s = time.monotonic()
        self._answers = True
        self._tasks: list[asyncio.Task[None]] = []

    async def begin(self) -> None:
        """Start what goes on by itself."""
        self.keeper.start()
        self._tasks = [asyncio.create_task(self.current.follow()), asyncio.create_task(self._pulse(os.getppid()))]

    async def end(self) -> bool:
        """Stop in order: writes that were accepted, log-ins, everything else. Whether all writes were done."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        whole = await asyncio.to_thread(self.services.writer.drain, float(STOP_SECONDS))
        for close in (
            self.services.identity.close,
            self.services.reads.close,
            self.services.files.close,
            self.scribe.close,
            self._asks.close,
            self.keeper.stop,
            self.database.close,
        ):
            await asyncio.to_thread(close)
        return whole

    async def _pulse(self, parent: int) -> None:
        """Once a second: does the database answer, what do the gauges say, is the supervisor still there."""
        while True:
            try:
                unsealed = await self._asks.run(reading.unsealed, self.database)
                self._answers = True
                self.metrics.note(events_unsealed=unsealed)
            except Exception as error:  # whatever it is: without this task the process would look hung for good
                if self._answers and not isinstance(error, storage.GONE):
                    self._log.error("no pulse", **told_of(error))
                self._answers = False
            self._answers_at_s = time.monotonic()
            self.note()
            if self.settings.workers > 1 and os.getppid() != parent:
                os.kill(os.getpid(), signal.SIGTERM)  # a worker without a supervisor would hold the port for ever
                return
            await asyncio.sleep(PULSE_S)

    def checks(self) -> dict[str, bool]:
        """What /readyz asks."""
        writer = self.services.writer
        return {
            "database": self._answers and time.monotonic() - self._answers_at_s < PULSE_LATE_S,
            "migrations": self._migrated,
            "writer": writer.healthy and (writer.depth < QUEUE or self.settings.turns_nobody_away),
            "journal": self.services.identity.journal.healthy,
            "release": self.current() is not None,
        }

    def note(self) -> None:
        """Set the gauges."""
        release, pool = self.current(), self.database.engine.pool
        age_s = time.time() - release.made_at.timestamp() if release.made_at else 0.0
        self.metrics.note(
            writes_waiting=self.services.writer.depth,
            hashes_waiting=self.services.identity.hashes.waiting,
            reads_waiting=self.services.reads.waiting,
            database_connections_in_use=pool.checkedout(),  # type: ignore[attr-defined]  # every pool that we make is a QueuePool
            release_number=release.number,
            release_age_seconds=age_s,
            ready=float(all(self.checks().values())),
        )
        self.metrics.note_process()


class CountedWriter(Writer):
    """The writer, with its transactions counted."""

    def __init__(self, database: Database, metrics: Metrics, queue: int, faults: frozenset[str]) -> None:
        self._metrics = metrics
        super().__init__(database, queue, faults)

    def _transaction(self, commands: Sequence[Command], *more: Any) -> list[Answer]:
        began_s = time.perf_counter()
        found = super()._transaction(commands, *more)
        self._metrics.committed(len(commands), time.perf_counter() - began_s)
        return found


def _by_template(operations: Sequence[Operation]) -> Mapping[str, Mapping[str, Operation]]:
    found: dict[str, dict[str, Operation]] = {}
    for one in operations:
        found.setdefault(one.path, {})[one.method] = one
    return found


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"})


def _method(method: str) -> str:
    """A method as a label: what strangers make up does not become a time series each."""
    return method if method in _METHODS else "other"
