"""A backend as processes: its database made ready, its socket bound, its workers run until somebody stops them.

Knows nothing of what the service answers.
"""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from loadtests.backend import storage
from loadtests.backend.settings import STOP_SECONDS, Network, Settings, is_loopback
from simulation.errors import InputError, UnfinishedError

if TYPE_CHECKING:
    from loadtests.backend.service import Service
    from loadtests.backend.storage import Database

NIGHT = "iowa-2020"
BACKLOG = 2048  # connections that wait to be let in
IDLE_S = 75  # a connection that asks nothing is closed then
METRICS_FOLDER = "PROMETHEUS_MULTIPROC_DIR"


def prepare(database: Database, scenario: str | None) -> frozenset[str]:
    """Tables of this version, a night in them; the faults that its scenario switches on."""
    database.migrate()
    if scenario is None and database.is_seeded():
        return frozenset()
    from simulation.scenario import load

    loaded = load(scenario or NIGHT)
    database.seed(loaded)
    return frozenset(loaded.spec.backend.faults)


def serve(
    url: str,
    data: Path,
    scenario: str | None,
    *,
    host: str,
    port: int,
    workers: int,
    demo: bool,
    trusted_proxies: tuple[Network, ...],
    announce: Callable[[Mapping[str, object]], None],
    warn: Callable[[str], None],
) -> None:
    """Run a backend until SIGTERM or SIGINT. `announce` hears its address once it listens."""
    from loadtests.backend.identity import pins

    listening = _listen(host, port)
    database = storage.connect(url, data)
    try:
        faults = prepare(database, scenario)
        told: dict[str, object] = {}
        if demo:
            told = {"demo": True, "pins": str(data / "demo-pins.csv")}
            pins.issue_demo(database, data / "demo-pins.csv")
            warn("DEMO: everybody's PIN is known. For trying out, on this machine only.")
        elif pins.demo_is_there(database):
            raise InputError(f"{database.shown_url}: has the demo's PINs, known to everybody: start it with --demo")
        if not is_loopback(host):
            warn("This is plain HTTP: put a proxy that speaks TLS in front, and name it with --trusted-proxy.")
        shown = f"[{host}]" if ":" in host else host
        address = f"http://{shown}:{listening.getsockname()[1]}"
        settings = Settings(
            url,
            data,
            host=host,
            port=listening.getsockname()[1],
            workers=workers,
            demo=demo,
            trusted_proxies=trusted_proxies,
            faults=faults,
        )
        announce({"url": address, "results": f"{address}/results", **told})
        _run(settings, listening)
    finally:
        database.close()  # an embedded PostgreSQL stops with its last user: this one
        listening.close()


def app_of_worker(settings: Settings) -> Service:
    """What uvicorn calls in each process."""
    from loadtests.backend.operation import configure_logs
    from loadtests.backend.service import create_app

    configure_logs()
    return create_app(settings)


def _run(settings: Settings, listening: socket.socket) -> None:
    import uvicorn
    from uvicorn.supervisors import Multiprocess

    from loadtests.backend.connections import Connection, raise_file_limit

    raise_file_limit()
    config = uvicorn.Config(
        partial(app_of_worker, settings),
        factory=True,
        workers=settings.workers,
        loop="uvloop",
        http=Connection,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,  # whose word counts is for `identity.addresses`
        server_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=IDLE_S,
        timeout_graceful_shutdown=STOP_SECONDS,
    )
    if settings.workers == 1:
        os.environ.pop(METRICS_FOLDER, None)

        class Server(uvicorn.Server):
            """Uvicorn's, for which a signal that was obeyed is no failure: it exits with 0."""

            def handle_exit(self, sig: int, frame: FrameType | None) -> None:
                super().handle_exit(sig, frame)
                self._captured_signals.clear()  # or they would be raised again at the end

        server = Server(config)
        server.run(sockets=[listening])
        if not server.started:
            raise UnfinishedError("The service did not start; the line above says why.")
        return
    folder = settings.data / "metrics"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    os.environ[METRICS_FOLDER] = str(folder)
    Multiprocess(config, sockets=[listening]).run()


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        found = socket.socket(family, socket.SOCK_STREAM)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(address)
        found.listen(BACKLOG)
    except OSError as error:
        raise InputError(f"--host {host} --port {port}: {error.strerror}; --port 0 takes any free port") from None
    return found
