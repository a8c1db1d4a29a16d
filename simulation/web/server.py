"""The server of a rehearsal: its addresses, who may open which, and the task that lets the night go on.

Nothing leaves it: no page names another host. Tokens stand in paths, therefore no access log and no referrer.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import socket as sockets
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import parse_qs, urlsplit

from starlette.applications import Starlette
from starlette.requests import HTTPConnection, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from simulation.errors import InputError
from simulation.rehearsal.view import Text
from simulation.scenario.inject import ROLES
from simulation.web import render, words
from simulation.web.limits import Limit
from simulation.web.live import Client, Clients, Shown
from simulation.web.seat import SeatShown

if TYPE_CHECKING:
    from simulation.rehearsal.debrief import Debrief
    from simulation.rehearsal.running import Changes, Rehearsal

_LOG = logging.getLogger(__name__)

Kind = Literal["trainer", "projector", "seat"]

PULSE_S = 0.2  # how often the night goes on, and pages are told
SEAT_PAUSE_S, ROOM_PAUSE_S = 0.05, 0.25  # the shortest time between two messages to a seat's page, to a trainer's
LONGEST_FORM = 4096  # bytes

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "X-Robots-Tag": "noindex",
}


@dataclass
class Served:
    """A rehearsal that this server has open."""

    rehearsal: Rehearsal
    language: str | None = None  # of pages where nobody clicked another
    clients: Clients = field(init=False)
    rows: dict[str, tuple[Any, str]] = field(default_factory=dict)  # of the board, as they were made last
    pictures: dict[tuple[str, str], Any] = field(default_factory=dict)  # of pages that many see, until the next pulse
    decks: dict[str, tuple[Any, str]] = field(default_factory=dict)  # by language: what was sent of it, and its block
    debriefed: tuple[Any, Debrief] | None = None  # the last one, and what it was made of
    _touched: set[str] = field(default_factory=set)
    _all: bool = False  # more than single seats may look different
    _board: bool = False  # the trainer's and the projector's pages may

    def __post_init__(self) -> None:
        self.clients = Clients(self._came, self._went)
        self.rehearsal.subscribe(self._changed)

    def _changed(self, changes: Changes) -> None:
        self._touched |= changes.seats
        self._all |= changes.clock
        self._board |= changes.board

    def _came(self, token: str) -> None:
        self._happened("connected", token)

    def _went(self, token: str) -> None:
        self._happened("disconnected", token)

    def _happened(self, kind: str, token: str) -> None:
        """Somebody came or went: on the seat that is his now, wherever he sat when his page opened."""
        seat = self.rehearsal.seat_of(token)
        if seat is not None:
            self.rehearsal.do(kind, seat, {})

    def whose(self, token: str) -> Kind | None:
        """What a token of this rehearsal opens."""
        if self.rehearsal.is_trainer(token):
            return "trainer"
        if self.rehearsal.is_projector(token):
            return "projector"
        return "seat" if self.rehearsal.seat_of(token) is not None else None

    def pulse(self) -> None:
        """Let the night go on, and tell the pages that may look different."""
        self.rehearsal.tick()
        touched, everybody, board = self._touched, self._all, self._board
        self._touched, self._all, self._board = set(), False, False
        if not (touched or everybody or board):
            return
        self.pictures.clear()

        def concerned(client: Client) -> bool:
            if client.kind != "seat":
                return True
            seat = self.rehearsal.seat_of(client.token)
            moved, client.seat = client.seat != seat, seat
            return everybody or moved or seat in touched

        self.clients.wake(concerned)


class Site:
    """What a request finds: the rehearsals that are open, by their tokens and codes."""

    def __init__(self, address: str = "") -> None:
        self.address = address  # as people in the room type it
        self.open: list[Served] = []
        self.wrong_codes = Limit(10, 6.0)
        self.joins = Limit(60, 1.0)  # many: a room's phones may share one address

    def by_token(self, token: str) -> tuple[Served, Kind] | None:
        """The rehearsal of a token, and what it opens there."""
        for served in self.open:
            kind = served.whose(token)
            if kind is not None:
                return served, kind
        return None

    def by_code(self, code: str) -> Served | None:
        """The rehearsal of a join code, however it was typed."""
        plain = plain_code(code)
        return next((one for one in self.open if plain_code(one.rehearsal.join_code) == plain), None)

    def language(self, connection: HTTPConnection, served: Served | None = None) -> str:
        """Of this page."""
        default = served or next(iter(self.open), None)
        cookie, accepted = connection.cookies.get("language"), connection.headers.get("accept-language", "")
        return words.chosen(cookie, default.language if default else None, accepted)


def plain_code(code: str) -> str:
    """A join code without what people put between its letters."""
    return "".join(letter for letter in code.upper() if letter.isalnum())


def create_app(rehearsal: Rehearsal, *, address: str = "", language: str | None = None) -> Starlette:
    """The pages of a rehearsal. `address` is what stands on them for people to type."""
    from simulation.web import debrief, trainer

    site = Site(address)
    site.open += [Served(one, language) for one in (rehearsal, *rehearsal.branches())]

    @contextlib.asynccontextmanager
    async def running(_: Starlette) -> AsyncIterator[None]:
        async def pulses() -> None:
            while True:
                began = time.monotonic()
                for served in site.open:
                    try:
                        served.pulse()
                    except Exception:  # one thing that went wrong does not stop the evening for everybody
                        _LOG.exception("the night could not go on")
                        await asyncio.sleep(1)
                await asyncio.sleep(max(0.02, PULSE_S - (time.monotonic() - began)))

        task = asyncio.create_task(pulses())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            for served in site.open[1:]:  # the first is whose it was before
                served.rehearsal.close()

    routes = [
        Route("/", joining, methods=["GET", "POST"]),
        Route("/assets/{hash}/{name}", served_asset),
        Route("/language", change_language, methods=["POST"]),
        Route("/seat/{token}", seat_page),
        WebSocketRoute("/seat/{token}/live", seat_live),
        *trainer.routes(),
        *debrief.routes(),
    ]
    app = Starlette(routes=routes, lifespan=running, exception_handlers={404: missing})
    app.state.site = site
    app.add_middleware(Guarded)
    return app


class Guarded:
    """Every answer's headers; no socket for other sites' pages."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket" and not _own_origin(scope):
            await send({"type": "websocket.close", "code": 4403})
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = message.setdefault("headers", [])
                present = {name for name, _ in headers}
                added = _HEADERS if b"cache-control" in present else _HEADERS | {"Cache-Control": "no-store"}
                headers.extend((name.lower().encode(), value.encode()) for name, value in added.items())
            await send(message)

        await self._app(scope, receive, with_headers if scope["type"] == "http" else send)


def _own_origin(scope: Scope) -> bool:
    """Whether a socket is opened by a page of this server. Forms need no such check: no cookie gives any right."""
    headers = dict(scope["headers"])
    origin, host = headers.get(b"origin", b"").decode("latin-1"), headers.get(b"host", b"").decode("latin-1")
    return bool(host) and urlsplit(origin).netloc == host


# Joining


async def joining(request: Request) -> Response:
    """The first page: name and code."""
    site: Site = request.app.state.site
    language = site.language(request)
    code = request.query_params.get("code", "")
    if request.method == "GET":
        back = _back(site, request)
        empty = {"code": code, "name": "", "role": ROLES[0], "roles": ROLES, "wrong": "", "wait_s": 0}
        return HTMLResponse(render.page("join.html", language, back=back, **empty))
    form = await form_of(request)
    name, code, role = (form.get(key, "").strip() for key in ("name", "code", "role"))
    values: dict[str, Any] = {"code": code, "name": name, "role": role, "back": None, "wrong": "", "wait_s": 0}
    values["roles"] = ROLES
    address = request.client.host if request.client else ""
    now = time.monotonic()

    def later(why: str, wait_s: float) -> Response:
        html = render.page("join.html", language, **values | {"wrong": why, "wait_s": int(wait_s) + 1})
        return HTMLResponse(html, 429, {"Retry-After": str(int(wait_s) + 1)})

    if (wait_s := site.wrong_codes.wait_s(address, now)) > 0:
        return later("wait", wait_s)
    served = site.by_code(code)
    if served is None:
        site.wrong_codes.took(address, now)
        values["wrong"] = "code"
        return HTMLResponse(render.page("join.html", language, **values), 403)
    back = _back(site, request, served)
    if back is not None and form.get("second") != "yes":
        return HTMLResponse(render.page("join.html", language, **values | {"back": back, "wrong": "second"}), 409)
    if not _is_this_computer(address) and (wait_s := site.joins.wait_s(address, now)) > 0:
        return later("many", wait_s)
    joined = served.rehearsal.join(served.rehearsal.join_code, name, role)
    if isinstance(joined, Text):
        values["wrong"] = words.words(language)(joined)
        return HTMLResponse(render.page("join.html", language, **values), 400)
    site.joins.took(address, now)
    response = RedirectResponse(f"/seat/{joined.token}", 303)
    response.set_cookie("seat", joined.token, max_age=86_400, httponly=True, samesite="lax")
    return response


def _is_this_computer(address: str) -> bool:
    """Whether somebody sits at the server itself, who can open more seats than any phone anyway."""
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return False


def _back(site: Site, request: Request, served: Served | None = None) -> dict[str, str] | None:
    """The seat that this browser has, in this rehearsal: who closed the page by mistake finds it again."""
    token = request.cookies.get("seat", "")
    known = site.by_token(token)
    if known is None or known[1] != "seat" or (served is not None and served is not known[0]):
        return None
    rehearsal = known[0].rehearsal
    return {"token": token, "name": rehearsal.view(rehearsal.seat_of(token) or "").name}


async def form_of(request: Request) -> Mapping[str, str]:
    """What a form sent; nothing of one that is too long."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > LONGEST_FORM:
            return {}
    return {name: values[0] for name, values in parse_qs(body.decode("utf-8", "replace")).items()}


async def change_language(request: Request) -> Response:
    """A click on a language: for this browser, from now on."""
    form = await form_of(request)
    back = form.get("back", "/")
    response = RedirectResponse(back if back.startswith("/") and not back.startswith(("//", "/\\")) else "/", 303)
    if form.get("language") in words.LANGUAGES:
        response.set_cookie("language", form["language"], max_age=30 * 86_400, samesite="lax")
    return response


async def served_asset(request: Request) -> Response:
    """What pages load."""
    found = render.assets().get(request.path_params["name"])
    if found is None:
        return await missing(request, None)
    return Response(found[0], media_type=found[1], headers={"Cache-Control": "public, max-age=31536000, immutable"})


async def missing(request: Request, _: Any) -> Response:
    """There is no such page, or the link is nobody's."""
    return HTMLResponse(render.page("missing.html", request.app.state.site.language(request)), 404)


# A volunteer's page


async def seat_page(request: Request) -> Response:
    """A person's page, whatever seat is theirs now."""
    site: Site = request.app.state.site
    token = request.path_params["token"]
    known = site.by_token(token)
    if known is None or known[1] != "seat":
        return await missing(request, None)
    served = known[0]
    language = site.language(request, served)
    shown = SeatShown(served.rehearsal, token, language)
    framed = frame(request, served, token, shown.clock())
    return HTMLResponse(render.page("seat.html", language, **shown.values(), **framed))


def frame(connection: HTTPConnection, served: Served, kept_as: str, clock: Mapping[str, Any]) -> dict[str, Any]:
    """What the frame of a living page needs. `kept_as` is under which its typed text is kept in the browser."""
    return {
        "path": connection.url.path,
        "query": "",
        "kept_as": hashlib.sha256(kept_as.encode()).hexdigest()[:16],
        "clock": clock,
        "title": served.rehearsal.title,
    }


async def seat_live(socket: WebSocket) -> None:
    """Its socket."""
    await live(socket, "seat", lambda served, token, language: SeatShown(served.rehearsal, token, language))


async def live(
    socket: WebSocket,
    kind: Kind,
    made: Callable[[Served, str, str], Shown],
    pause_s: float = SEAT_PAUSE_S,
    *,
    in_thread: bool = False,
) -> None:
    """Serve a page's socket to whom its token belongs. `in_thread`: what is shown takes long to make."""
    site: Site = socket.app.state.site
    token = socket.path_params["token"]
    known = site.by_token(token)
    await socket.accept()
    if known is None or known[1] != kind:
        await socket.close(4404)
        return
    served = known[0]
    language = site.language(socket, served)
    shown = await asyncio.to_thread(made, served, token, language) if in_thread else made(served, token, language)
    client = Client(socket, shown, kind, token, pause_s)
    client.seat = served.rehearsal.seat_of(token) if kind == "seat" else None
    await served.clients.serve(client, token if kind == "seat" else "")


def links(rehearsal: Rehearsal, url: str) -> dict[str, str]:
    """What the command prints: the address, the trainer's and the projector's link, the join code."""
    return {
        "url": url,
        "trainer_url": f"{url}trainer/{rehearsal.trainer_token}",
        "projector_url": f"{url}projector/{rehearsal.projector_token}",
        "join_code": rehearsal.join_code,
    }


def listen(host: str, port: int) -> tuple[sockets.socket, str]:
    """A socket that listens there, and the address that people type: of "every address", one that phones can open."""
    listening = sockets.socket(sockets.AF_INET6 if ":" in host else sockets.AF_INET, sockets.SOCK_STREAM)
    try:
        listening.setsockopt(sockets.SOL_SOCKET, sockets.SO_REUSEADDR, 1)
        if host == "::":
            listening.setsockopt(sockets.IPPROTO_IPV6, sockets.IPV6_V6ONLY, 0)  # both kinds, on every system
        listening.bind((host, port))
        listening.listen(2048)  # whoever comes from now on waits instead of being refused
    except OSError:
        listening.close()
        raise
    shown = lan_address(*_EVERYWHERE[host]) if host in _EVERYWHERE else host
    return listening, f"http://{f'[{shown}]' if ':' in shown else shown}:{listening.getsockname()[1]}/"


_SOMEWHERE = {sockets.AF_INET: "192.0.2.1", sockets.AF_INET6: "2001:db8::1"}  # addresses for documentation
_EVERYWHERE = {"0.0.0.0": (sockets.AF_INET,), "::": (sockets.AF_INET, sockets.AF_INET6)}


def lan_address(*families: sockets.AddressFamily) -> str:
    """This computer's address in the local network; loopback where it is in none. Sends nothing."""
    for family in families or _SOMEWHERE:
        with sockets.socket(family, sockets.SOCK_DGRAM) as probe:
            try:
                probe.connect((_SOMEWHERE[family], 9))  # of a datagram socket: only chooses the way
            except OSError:
                continue
            return str(probe.getsockname()[0])
    return "127.0.0.1"


def serve(
    rehearsal: Rehearsal,
    host: str,
    port: int,
    *,
    language: str | None = None,
    ready: Callable[[dict[str, str]], None] = lambda links: None,
) -> None:
    """Serve a rehearsal until Ctrl-C. `ready` gets the links as soon as the port is bound; port 0 takes a free one.

    InputError where nothing can listen there.
    """
    import gc

    import uvicorn

    try:
        listening, url = listen(host, port)
    except OSError as error:
        raise InputError(f"{host}:{port}: cannot listen there: {error.strerror}") from None
    with listening:
        app = create_app(rehearsal, address=url, language=language)
        config = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            server_header=False,
            ws_max_size=65_536,
            ws_ping_interval=5.0,
            ws_ping_timeout=10.0,
            timeout_graceful_shutdown=2,
            h11_max_incomplete_event_size=32_768,
        )
        ready(links(rehearsal, url))
        gc.collect()
        gc.freeze()  # the night is large and stays: looking through it for garbage would hold up every page for long
        uvicorn.Server(config).run(sockets=[listening])
