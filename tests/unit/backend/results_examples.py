"""Small elections and releases, made by hand, and a client without a server, for the tests of public results."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote

from starlette.types import ASGIApp, Message

from loadtests.backend.results.snapshot import Election, Figures, Release
from loadtests.backend.storage import Site

MADE_AT = datetime(2020, 2, 4, 3, 30, tzinfo=UTC)
NANO = 10**9


def site(code: str, county: str = "Polk", delegates: int = 4, worth_nano: int = 100_000_000, **more: object) -> Site:
    """A precinct."""
    known: dict[str, object] = {"satellite": False, "district": 3, "fips": "19153", "attendance": 100}
    name = f"{county} {int(code)}"
    return Site(code, f"{county}/{name}", county, name, delegates, worth_nano, **(known | more))  # type: ignore[arg-type]  # by name


def satellite(code: str, attendance: int, pool_nano: int) -> Site:
    """A satellite caucus that expects so many people; its share of the pool stands in its four delegates."""
    more = {"satellite": True, "fips": None, "attendance": attendance}
    return site(code, "CD3 Satellite", 4, pool_nano // 4, **more)


def election(*sites: Site, groups: tuple[str, ...] = ("ada", "ben"), ballot: bool = False) -> Election:
    """A night of these sites."""
    return Election("A small state", groups, {each.code: each for each in sites}, ballot=ballot)


def figures(
    first: tuple[int, ...], final: tuple[int, ...], delegates: tuple[int, ...], people: int = 0, version: int = 3
) -> Figures:
    """What a site reported."""
    return Figures(version, people or sum(first), first, final, delegates)


def release(of: Election, versions: Mapping[str, Figures], number: int = 1, **more: object) -> Release:
    """A release of these versions."""
    return Release(of, number, MADE_AT, versions, **more)  # type: ignore[arg-type]  # by name


def small() -> Release:
    """Three precincts in two counties, two of them reported: ada 3 delegates, ben 4."""
    of = election(site("0001"), site("0002"), site("0003", "O'Brien", 3, 50_000_000, fips="19141"))
    return release(of, {"0001": figures((60, 40), (58, 42), (2, 2), 101), "0003": figures((9, 20), (10, 19), (1, 2))})


@dataclass(frozen=True)
class Reply:
    """What an application answered."""

    status_code: int
    headers: Mapping[str, str]
    raw_headers: list[tuple[bytes, bytes]]
    body: bytes  # as sent

    @property
    def content(self) -> bytes:
        """The body, unpacked."""
        return gzip.decompress(self.body) if self.headers.get("content-encoding") == "gzip" else self.body

    def json(self) -> Any:
        """The body, read."""
        return json.loads(self.content)


class Client:
    """Asks an ASGI application, without a server between."""

    def __init__(self, application: ASGIApp) -> None:
        self._application = application

    def request(self, method: str, path: str, headers: Mapping[str, str] | None = None) -> Reply:
        """One request."""
        sent: list[Message] = []

        async def receive() -> Message:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Message) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "method": method,
            "path": unquote(path),
            "raw_path": path.encode(),
            "query_string": b"",
            "headers": [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()],
        }
        asyncio.run(self._application(scope, receive, send))  # type: ignore[arg-type]  # coroutines are awaitable
        raw = list(sent[0]["headers"])
        head = {name.decode(): value.decode() for name, value in raw}
        return Reply(sent[0]["status"], head, raw, b"".join(message["body"] for message in sent[1:]))

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> Reply:
        """A GET."""
        return self.request("GET", path, headers)

    def head(self, path: str) -> Reply:
        """A HEAD."""
        return self.request("HEAD", path)
