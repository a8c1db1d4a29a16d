"""The public addresses: which document of which release answers them.

Endpoints are ASGI applications of their own, without a request object, so that a stampede costs little more than its
bytes. Knows nothing of the database: `Archive` does, for old releases alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from loadtests.backend.edge import refusal_reply
from loadtests.backend.refusals import Refusal
from loadtests.backend.results.current import Archive, TooManyError
from loadtests.backend.results.documents import FIXED, Document
from loadtests.backend.results.snapshot import Release
from loadtests.backend.storage import GONE

METHODS = ("GET", "HEAD")
STATEWIDE = {
    "/results": "html",
    "/results.json": "json",
    "/results.csv": "csv",
    "/results/nist.json": "nist",
}
LONGEST_NUMBER = 9  # digits of a release: no database has more


def routes(current: Callable[[], Release], archive: Archive) -> list[Route]:
    """All public addresses, the busiest first. `current` gives the newest release without waiting for anything."""
    return [
        *(Route(path, _Statewide(current, kind), methods=METHODS) for path, kind in STATEWIDE.items()),
        # names of counties may hold anything, slashes too
        Route("/results/counties/{of:path}.json", _Part(current, "county.json"), methods=METHODS),
        Route("/results/counties/{of:path}.html", _Part(current, "county.html"), methods=METHODS),
        Route("/results/sites/{of}.json", _Part(current, "site.json"), methods=METHODS),
        Route("/results/releases/{of}.json", _Old(current, archive, "json"), methods=METHODS),
        Route("/results/releases/{of}.csv", _Old(current, archive, "csv"), methods=METHODS),
    ]


class _Statewide:
    """A document that is nearly always there already.

    The one in NIST's format is large, and few read it: it is built for the first who does. Not in the event loop, and
    once, however many wait.
    """

    def __init__(self, current: Callable[[], Release], kind: str) -> None:
        self._current, self._kind = current, kind
        self._under_way: tuple[Release, asyncio.Future[Document | None]] | None = None

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        release = self._current()
        document = release.ready(self._kind) or await self._built(release)
        assert document is not None, "every release has its statewide documents"
        await document(scope, send)

    async def _built(self, release: Release) -> Document | None:
        if self._under_way is None or self._under_way[0] is not release or self._under_way[1].done():
            self._under_way = release, asyncio.ensure_future(asyncio.to_thread(release.document, self._kind))
        return await asyncio.shield(self._under_way[1])


class _Part:
    """A document of a county or site: built when somebody asks for the first time, kept as long as the release."""

    def __init__(self, current: Callable[[], Release], kind: str) -> None:
        self._current, self._kind = current, kind

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        document = self._current().document(self._kind, scope["path_params"]["of"])
        if document is None:
            await refusal_reply(Refusal("H02")).send(send)
        else:
            await document(scope, send)


class _Old:
    """A release by its number."""

    def __init__(self, current: Callable[[], Release], archive: Archive, kind: str) -> None:
        self._current, self._archive, self._kind = current, archive, kind

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        text = scope["path_params"]["of"]
        number = int(text) if text.isascii() and text.isdigit() and len(text) <= LONGEST_NUMBER else 0
        try:
            release = await self._archive.get(number, self._current().number)
        except (TooManyError, *GONE):
            await refusal_reply(Refusal("H09", retry_after_s=1)).send(send)
            return
        document = release.document(self._kind, cache=FIXED) if release and text == str(number) else None
        if document is None:
            await refusal_reply(Refusal("H02")).send(send)
        else:
            await document(scope, send)
