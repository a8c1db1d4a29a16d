"""The debriefing: what to talk about first, scores, a page to print for everybody, the evening once more, and a branch.

Nothing is judged here; that is `simulation.rehearsal.debrief`. A replay is a room of its own, folded from the log.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket

from simulation.rehearsal.debrief import RULE, Debrief
from simulation.rehearsal.debrief import debrief as made
from simulation.rehearsal.room import STAGES
from simulation.rehearsal.score import KINDS, RESULTS
from simulation.web import render, words
from simulation.web.live import BEAT_S, Sent
from simulation.web.seat import FAILED
from simulation.web.trainer import download

if TYPE_CHECKING:
    from simulation.rehearsal.room import Room
    from simulation.web.server import Served, Site

FASTEST = (1, 2, 4, 8, 16)  # times as fast as the evening was
FRAME_S = 0.3  # between two pictures of a replay
BUDGET_S = 0.08  # of computing for each
LONGEST_NUMBER = 12  # digits


def routes() -> list[BaseRoute]:
    """Theirs."""
    return [
        Route("/debrief/{token}", overview),
        Route("/debrief/{token}/scores.csv", scores),
        Route("/debrief/{token}/print", everybody),
        Route("/debrief/{token}/seat/{seat}", one_seat),
        Route("/debrief/{token}/replay", replay_page),
        WebSocketRoute("/debrief/{token}/replay/live", replay_live),
        Route("/debrief/{token}/branch", branch, methods=["POST"]),
        Route("/seat/{token}/debrief", own),
    ]


def _found(request: Request, kind: str = "trainer") -> tuple[Site, Served] | None:
    site: Site = request.app.state.site
    known = site.by_token(request.path_params["token"])
    return (site, known[0]) if known is not None and known[1] == kind else None


async def _missing(request: Request) -> Response:
    from simulation.web.server import missing

    return await missing(request, None)


def _debrief(served: Served) -> Debrief:
    """Of everything so far; computed once for the same events."""
    rehearsal = served.rehearsal
    key = (len(rehearsal.events), len(rehearsal.names), rehearsal.room.now_ms // 60_000)
    if served.debriefed is None or served.debriefed[0] != key:
        served.debriefed = key, made(rehearsal.room, rehearsal.events)
    return served.debriefed[1]


def _values(served: Served, request: Request) -> dict[str, Any]:
    token = served.rehearsal.trainer_token
    debrief = _debrief(served)
    names = {one.seat: one.name or one.seat for one in debrief.seats}
    return {
        "title": served.rehearsal.title,
        "debrief": debrief,
        "named": lambda seats: ", ".join(names.get(seat, seat) for seat in seats),
        "rule": RULE,
        "results": RESULTS,
        "kinds": KINDS,
        "labels": dict(STAGES),
        "ended": served.rehearsal.room.ended,
        "path": request.url.path,
        "debrief_path": f"/debrief/{token}",
        "trainer_path": f"/trainer/{token}",
        "branches": [
            (at_ms, one.rehearsal)
            for one in request.app.state.site.open
            if (at_ms := one.rehearsal.branched_from(served.rehearsal)) is not None
        ],
    }


async def overview(request: Request) -> Response:
    """The room: three moments, scores, everybody, the timeline."""
    found = _found(request)
    if found is None:
        return await _missing(request)
    site, served = found
    return HTMLResponse(render.page("debrief.html", site.language(request, served), **_values(served, request)))


async def scores(request: Request) -> Response:
    """A row for each score."""
    found = _found(request)
    return await _missing(request) if found is None else download(_debrief(found[1]).csv(), "scores.csv")


async def everybody(request: Request) -> Response:
    """A page for each person who was there, to print at once."""
    found = _found(request)
    if found is None:
        return await _missing(request)
    site, served = found
    people = [one for one in _debrief(served).seats if not one.bot]
    values = _values(served, request) | {"people": people, "back": f"/debrief/{served.rehearsal.trainer_token}"}
    return HTMLResponse(render.page("person.html", site.language(request, served), **values))


async def one_seat(request: Request) -> Response:
    """One person's page."""
    found = _found(request)
    score = _debrief(found[1]).of(request.path_params["seat"]) if found is not None else None
    if found is None or score is None:
        return await _missing(request)
    site, served = found
    values = _values(served, request) | {"people": [score], "back": f"/debrief/{served.rehearsal.trainer_token}"}
    return HTMLResponse(render.page("person.html", site.language(request, served), **values))


async def own(request: Request) -> Response:
    """A person's own page, once the evening is over: every seat that he held, also for who has left since."""
    site: Site = request.app.state.site
    token = request.path_params["token"]
    served = next((one for one in site.open if one.rehearsal.person_of(token) is not None), None)
    if served is None:
        return await _missing(request)
    if not served.rehearsal.room.ended:
        return RedirectResponse(f"/seat/{token}", 303)
    scores = _debrief(served).of_person(served.rehearsal.person_of(token) or 0)
    if not scores:
        return await _missing(request)
    back = "/" if served.rehearsal.seat_of(token) is None else f"/seat/{token}"  # who has left has no seat any more
    values = _values(served, request) | {"people": list(scores), "back": back, "own": True}
    return HTMLResponse(render.page("person.html", site.language(request, served), **values))


# The evening once more


class ReplayShown:
    """A replay on one page: a room of its own that goes from event to event."""

    template = "replay.html"

    def __init__(self, served: Served, language: str) -> None:
        self._rehearsal, self._language = served.rehearsal, language
        self._events = list(self._rehearsal.events)
        self.begins_ms = self._rehearsal.script.begins_ms
        self.ends_ms = max([self.begins_ms, *(event.at_ms for event in self._events)])
        self._room: Room = self._rehearsal.replay()
        self._next = 0  # the event that comes next
        self._at_ms = float(self.begins_ms)  # where the replay wants to be
        self._speed, self._playing = 4, False
        self._looked = time.monotonic()
        self._sent = Sent()
        self._anew: asyncio.Future[Room] | None = None  # on the way back: the room as it was before anybody came

    @property
    def beat_s(self) -> float:
        """How soon the page should be looked at again."""
        behind = self._anew is not None or self._room.now_ms < min(self._at_ms, self.ends_ms)
        return FRAME_S if self._playing or behind else BEAT_S

    def _go_on(self) -> None:
        now = time.monotonic()
        if self._playing:
            self._at_ms += (now - self._looked) * 1000 * self._rehearsal.script.speed * self._speed
        self._looked = now
        self._at_ms = min(self._at_ms, self.ends_ms)
        if self._anew is None and self._at_ms < self._room.now_ms - 1000:  # back: from the beginning
            # in a thread: a room takes so long to make that everybody else's pages would wait
            self._anew = asyncio.get_running_loop().run_in_executor(None, self._rehearsal.replay)
        if self._anew is not None:
            if not self._anew.done():
                return
            anew, self._anew = self._anew, None
            self._room, self._next = anew.result(), 0
        while self._next < len(self._events) and self._events[self._next].at_ms <= self._at_ms:
            if time.monotonic() > now + BUDGET_S:
                return
            self._room.apply(self._events[self._next])
            self._next += 1
        while self._room.next_step_ms() <= self._at_ms:
            if time.monotonic() > now + BUDGET_S:
                return
            self._room.advance(self._room.next_step_ms())
        if self._at_ms >= self.ends_ms:
            self._playing = False

    def values(self) -> dict[str, Any]:
        """What the template needs."""
        room = self._room
        seq = self._events[self._next - 1].seq if self._next else 0
        shown_ms = min(max(room.now_ms, self.begins_ms), self.ends_ms)
        return {
            "room": room,
            "rows": room.board(),
            "queue": room.hotline.queue(),
            "playing": self._playing,
            "speed": self._speed,
            "speeds": FASTEST,
            "at_ms": shown_ms,
            "first_minute": self.begins_ms // 60_000,
            "last_minute": -(-self.ends_ms // 60_000),
            "minute": shown_ms // 60_000,
            "seq": seq,
            "debrief_path": f"/debrief/{self._rehearsal.trainer_token}",
        }

    def news(self) -> tuple[Mapping[str, str], Mapping[str, Any]]:
        """What has changed on it."""
        self._go_on()
        return self._sent.changed(render.blocks(self.template, self._language, self.values())), {}

    def clock(self) -> Mapping[str, Any]:
        """Where the replay stands."""
        speed = self._rehearsal.script.speed * self._speed
        return {"now": self._room.now_ms, "speed": speed, "running": self._playing}

    def failed(self) -> str:
        """What is said where an action failed."""
        return words.words(self._language)(FAILED)

    def happened(self, message: Mapping[str, Any]) -> Mapping[str, Any]:
        """Play, stop, faster, elsewhere."""
        fields = message.get("fields")
        if message.get("kind") != "replay" or not isinstance(fields, dict):
            return {}
        self._go_on()
        does, _, number = str(fields.get("do", "")).partition(" ")
        if does == "play":
            if self._at_ms >= self.ends_ms:
                self._at_ms = float(self.begins_ms)
            self._playing = True
        elif does == "stop":
            self._playing, self._at_ms = False, min(self._at_ms, float(self._room.now_ms))
        elif does == "speed" and number in map(str, FASTEST):
            self._speed = int(number)
        elif does == "back":
            self._at_ms = float(self.begins_ms)
        elif does == "" and _is_number(str(fields.get("minute", ""))):
            self._at_ms = min(max(self.begins_ms, int(fields["minute"]) * 60_000), self.ends_ms)
        return {}

    def start_at(self, at_ms: int) -> None:
        """Begin there."""
        self._at_ms = float(min(max(self.begins_ms, at_ms), self.ends_ms))


def _is_number(text: str) -> bool:
    """Whether a text from outside is a number that a moment or an event can have."""
    return text.isdecimal() and len(text) <= LONGEST_NUMBER


async def replay_page(request: Request) -> Response:
    """The evening once more."""
    from simulation.web.server import frame

    found = _found(request)
    if found is None:
        return await _missing(request)
    site, served = found
    language = site.language(request, served)
    shown = await asyncio.to_thread(ReplayShown, served, language)
    at = request.query_params.get("at", "")
    framed = frame(request, served, f"replay {request.path_params['token']}", shown.clock())
    framed["query"] = f"?at={int(at)}" if _is_number(at) else ""
    return HTMLResponse(render.page("replay.html", language, **shown.values(), **framed))


async def replay_live(socket: WebSocket) -> None:
    """Its socket: each has its own replay."""
    from simulation.web.server import live

    at = socket.query_params.get("at", "")

    def shown(served: Served, _: str, language: str) -> ReplayShown:
        replay = ReplayShown(served, language)
        if _is_number(at):
            replay.start_at(int(at))
        return replay

    await live(socket, "trainer", shown, 0.1, in_thread=True)


# Another way it could have gone


async def branch(request: Request) -> Response:
    """A new rehearsal from a moment of this one, open at once on this server, with its own links."""
    from simulation.web.server import Served, form_of, links

    found = _found(request)
    if found is None:
        return await _missing(request)
    site, served = found
    seq = (await form_of(request)).get("seq", "")
    if not _is_number(seq):
        return await _missing(request)
    rehearsal = await asyncio.to_thread(served.rehearsal.branch, int(seq))
    site.open.append(Served(rehearsal, served.language))
    language = site.language(request, served)
    values = _values(served, request) | {
        "links": links(rehearsal, site.address),
        "where": rehearsal.log.shown,
        "at_ms": rehearsal.room.now_ms,
    }
    return HTMLResponse(render.page("branched.html", language, **values))
