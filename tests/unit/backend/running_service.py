"""A service that runs in a thread of the test's own process, on a free port, and somebody who asks it things."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import socket
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import uvicorn

from loadtests.backend import storage
from loadtests.backend.connections import Connection
from loadtests.backend.identity import pins
from loadtests.backend.identity.pins import Issued
from loadtests.backend.service import Service, create_app
from loadtests.backend.settings import Hashing, Settings
from simulation.scenario import Scenario

CHEAP = Hashing(memory_kib=8, passes=1)
STAFF = {"clerk": 2, "reviewer": 2, "administrator": 1, "observer": 1}
_keys = (f"key-{number:08d}" for number in itertools.count())


@dataclass(frozen=True)
class Answered:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def codes(self) -> list[str]:
        return [problem["code"] for problem in self.json["errors"]]


@dataclass
class Running:
    """The service, and the sealed list."""

    service: Service
    port: int
    issued: Mapping[str, Issued]
    tokens: dict[str, str] = field(default_factory=dict)

    def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        user: str | None = None,
        source: str = "127.0.0.1",
        **headers: str,
    ) -> Answered:
        """One request on a connection of its own; keywords such as `idempotency_key` are headers."""
        sent = {"x-device": "device-1"}
        if isinstance(body, dict | list):
            body, sent["content-type"] = json.dumps(body).encode(), "application/json"
        if user is not None:
            sent["authorization"] = f"Bearer {self.token(user)}"
        sent |= {name.replace("_", "-").lower(): value for name, value in headers.items()}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20, source_address=(source, 0))
        with contextlib.closing(connection):
            connection.request(method, path, body, {name: value for name, value in sent.items() if value})  # type: ignore[arg-type]  # bytes, iterables of bytes, or None
            answer = connection.getresponse()
            return Answered(answer.status, {n.lower(): v for n, v in answer.getheaders()}, answer.read())

    def write(self, user: str, path: str, body: object, **headers: str) -> Answered:
        """A POST with a key that was never used."""
        return self.ask("POST", path, body, user=user, **{"Idempotency-Key": next(_keys), **headers})

    def log_in(self, user: str, pin: str | None = None, **more: Any) -> Answered:
        """A log-in, with the right PIN unless told otherwise."""
        body = {"user": user, "pin": self.issued[user].pin if pin is None else pin} | more.pop("body", {})
        return self.ask("POST", "/v1/login", body, **more)

    def token(self, user: str) -> str:
        """The token of a user on device-1; each user logs in once, from an address of his own."""
        if user not in self.tokens:
            source = f"127.0.9.{1 + list(self.issued).index(user)}"
            answer = self.log_in(user, source=source)
            assert answer.status == 200, answer.body
            self.tokens[user] = answer.json["token"]
        return self.tokens[user]


def prepare(database_url: str, data: Path, scenario: Scenario, second_factor: tuple[str, ...] = ()) -> list[Issued]:
    """A seeded database, and its sealed list."""
    database = storage.connect(database_url, data)
    with contextlib.closing(database):
        database.migrate()
        database.seed(scenario)
        issued = pins.make((site.code for site in database.sites()), STAFF, second_factor)
        pins.issue(database, issued, data / "pins.csv", CHEAP, lambda done, of, now: None)
    return issued


@contextlib.contextmanager
def running(settings: Settings, issued: list[Issued]) -> Iterator[Running]:
    """The service until the block ends."""
    service = create_app(replace(settings, hashing=CHEAP))
    listening = socket.create_server(("127.0.0.1", 0), backlog=128)
    config = uvicorn.Config(
        service,
        loop="asyncio",
        http=Connection,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        timeout_graceful_shutdown=5,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    try:
        yield Running(service, listening.getsockname()[1], {one.user: one for one in issued})
    finally:
        server.should_exit = True
        thread.join()
        listening.close()
