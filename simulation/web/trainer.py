"""The trainer's page: clock, board, deck, hotline, who is there; and the projector's, which shows without controls."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket

from simulation.rehearsal.event import ROOM, TRAINER
from simulation.rehearsal.room import AIDS, STAGES
from simulation.rehearsal.view import Text, say
from simulation.scenario.values import DAY, parse_clock
from simulation.web import render, words
from simulation.web.live import BEAT_S, Sent
from simulation.web.seat import FAILED, clock

if TYPE_CHECKING:
    from simulation.rehearsal.room import BoardRow
    from simulation.rehearsal.running import Rehearsal
    from simulation.web.server import Served, Site

SPEEDS = (1, 2, 3, 5, 10, 20, 30, 60)
SHARES = (25, 50, 75)


def routes() -> list[BaseRoute]:
    """Theirs."""
    return [
        Route("/trainer/{token}", trainer_page),
        WebSocketRoute("/trainer/{token}/live", trainer_live),
        Route("/trainer/{token}/attendance", attendance),
        Route("/trainer/{token}/attendance.csv", attendance_csv),
        Route("/trainer/{token}/seat/{seat}", watched),
        Route("/projector/{token}", projector_page),
        WebSocketRoute("/projector/{token}/live", projector_live),
    ]


class TrainerShown:
    """The trainer's page in one language, on one of his devices."""

    template = "trainer.html"
    beat_s = BEAT_S

    def __init__(self, served: Served, language: str, address: str) -> None:
        self._served, self._rehearsal = served, served.rehearsal
        self._language, self._address = language, address
        self._sent = Sent()
        self._seats: frozenset[str] = frozenset()
        self._order: tuple[str, ...] = ()

    def values(self) -> dict[str, Any]:
        """What the template needs."""
        return room_values(self._rehearsal, self._address) | {
            "rows": [(row, self._row(row)) for row in self._rehearsal.board()],
            "deck": self._rehearsal.room.deck(),
            "attendance": self._rehearsal.attendance(),
            "names_left": self._rehearsal.names_left,
            "aids": {aid: (AID_NAMES[aid], aid in self._rehearsal.room.aids) for aid in AIDS},
            "speeds": SPEEDS,
            "shares": SHARES,
            "trainer_qr": qr(f"{self._address}trainer/{self._rehearsal.trainer_token}"),
            "desk": self._rehearsal.trainer_steps(),
            "trainer_path": f"/trainer/{self._rehearsal.trainer_token}",
            "projector_path": f"/projector/{self._rehearsal.projector_token}",
            "debrief_path": f"/debrief/{self._rehearsal.trainer_token}",
        }

    def _row(self, row: BoardRow) -> str:
        """A row of the board, made once for all devices."""
        since_ms = self._rehearsal.room.now_ms - row.in_stage_ms
        key = (self._language, row.seat, row.name, row.stage, since_ms, row.errors, row.connected, row.hand, row.bot,
               row.held, row.done, tuple(map(str, row.why)))  # fmt: skip
        made = self._served.rows.get(row.seat + self._language)
        if made is None or made[0] != key:
            made = key, render.page("board_row.html", self._language, row=row, since_ms=since_ms)
            self._served.rows[row.seat + self._language] = made
        return made[1]

    def news(self) -> tuple[Mapping[str, str], Mapping[str, Any]]:
        """What has changed on it; rows one by one, all of them only where one came or went."""
        values, now = self._picture()
        seats = frozenset(row.seat for row, _ in values["rows"])
        order = tuple(row.seat for row, _ in values["rows"])
        board = now["board"]
        rows = {f"row-{render.element_id(row.seat)}": html for row, html in values["rows"]}
        changed = self._sent.changed({name: html for name, html in now.items() if name != "board"})
        changed_rows = self._sent.changed(rows)
        if seats != self._seats:
            changed["board"] = board
        else:
            changed |= changed_rows
        more = {} if order == self._order else {"order": [f"row-{render.element_id(seat)}" for seat in order]}
        self._seats, self._order = seats, order
        return changed, more

    def _picture(self) -> tuple[dict[str, Any], dict[str, str]]:
        """The page's values and blocks, made once for all who look at it in this language."""
        key = self.template, self._language
        if key not in self._served.pictures:
            values = self.values()
            sent = tuple(card.fired for card in values.get("deck", ()))
            deck = self._served.decks.get(self._language)
            known = {"deck": deck[1]} if deck is not None and deck[0] == sent else {}
            made = render.blocks(self.template, self._language, values, known if "deck" in values else None)
            if "deck" in made:
                self._served.decks[self._language] = sent, made["deck"]
            self._served.pictures[key] = values, made
        found: tuple[dict[str, Any], dict[str, str]] = self._served.pictures[key]
        return found

    def clock(self) -> Mapping[str, Any]:
        """The night's clock."""
        return clock(self._rehearsal)

    def failed(self) -> str:
        """What is said where an action failed."""
        return words.words(self._language)(FAILED)

    def happened(self, message: Mapping[str, Any]) -> Mapping[str, Any]:
        """Something that the trainer did."""
        fields = message.get("fields")
        if not isinstance(fields, dict):
            return {}
        plain = {str(name): str(value) for name, value in fields.items()}
        outcome = done(self._rehearsal, str(message.get("kind")), plain, message["id"], str(message.get("step", "")))
        return {"refused": words.words(self._language)(outcome)} if outcome else {}


def done(rehearsal: Rehearsal, kind: str, fields: Mapping[str, str], key: str, step: str = "") -> Text | None:
    """Do what the trainer clicked; or why not."""
    seats = [seat for seat in fields.get("seats", "").split(",") if seat]
    match kind:
        case "acted":
            rest = {name: value for name, value in fields.items() if name != "action"}
            act = {"action": fields.get("action", ""), "fields": rest, "step": step}
            return rehearsal.do("acted", TRAINER, act, key)
        case "clock":
            does, _, number = fields.get("do", "").partition(" ")
            data: dict[str, Any] = {"do": does}
            if does == "speed" and number.isdecimal():
                data["speed"] = float(number)
            elif does == "jump":
                try:
                    data["to_ms"] = coming_ms(fields.get("to", "").strip(), rehearsal.room.now_ms)
                except ValueError:
                    return say("A time is written like 19:20; after midnight like +1d 0:30.")
            elif does not in ("run", "pause"):
                return say("That cannot be done.")
            return rehearsal.do("clock", ROOM, data, key)
        case "hold":
            stage = fields.get("stage", "") if fields.get("do") == "hold" else ""
            return rehearsal.do("hold", ROOM, {"stage": stage}, key)
        case "aids":
            # what is to be, so that saying it twice changes nothing
            aid, _, wanted = fields.get("aid", "").partition(" ")
            now = rehearsal.room.aids | {aid} if wanted == "on" else rehearsal.room.aids - {aid}
            return rehearsal.do("aids", ROOM, {"aids": sorted(now & set(AIDS))}, key)
        case "inject":
            data = {"id": fields.get("inject", "")}
            whom = fields.get("whom", "all")
            if whom == "chosen":
                if not seats:
                    return say("Choose at least one seat on the board, or everybody.")
                data["seats"] = seats
            elif whom.isdecimal():
                data["share"] = int(whom)
            return rehearsal.do("inject", ROOM, data, key)
        case "hotline":
            return rehearsal.do("hotline", ROOM, {"simulated": fields.get("simulated") == "yes"}, key)
        case "door":
            return rehearsal.do("door", ROOM, {"open": fields.get("open") == "yes"}, key)
        case "chosen":
            return _for_chosen(rehearsal, fields, seats, key)
        case "ended":
            return rehearsal.do("ended", ROOM, {}, key)
        case "forget":
            if not rehearsal.room.ended:
                return say("End the rehearsal first.")
            return rehearsal.delete_names()
    return say("That cannot be done.")


def coming_ms(time: str, now_ms: int) -> int:
    """A time without a day is the next one to come: "0:40" in the evening is after midnight.

    One that was a short while ago stays there, and is refused: nobody wants to wait for it until tomorrow.
    """
    at_ms = parse_clock(time)
    if time.startswith("+"):
        return at_ms
    while at_ms < now_ms - DAY // 2:
        at_ms += DAY
    return at_ms


def _for_chosen(rehearsal: Rehearsal, fields: Mapping[str, str], seats: Iterable[str], key: str) -> Text | None:
    does = fields.get("do", "")
    kinds: dict[str, tuple[str, dict[str, Any]]] = {
        "lower": ("hand", {"raised": False}),
        "left": ("left", {}),
        "bot": ("bot", {"on": True}),
        "move": ("reassigned", {"to": fields.get("to", "").strip()}),
    }
    chosen = list(seats)
    if not chosen:
        return say("Choose at least one seat on the board.")
    if does not in kinds:
        return say("That cannot be done.")
    if does == "move" and len(chosen) != 1:
        return say("Choose the one seat whose person moves.")
    kind, data = kinds[does]
    refused = [rehearsal.do(kind, seat, data, f"{key}-{number}") for number, seat in enumerate(chosen)]
    return next((one for one in refused if one is not None), None)


AID_NAMES = {"hints": say("Hints"), "citations": say("Rules cited"), "arithmetic": say("Worked arithmetic")}


def room_values(rehearsal: Rehearsal, address: str) -> dict[str, Any]:
    """What both the trainer's and the projector's pages show."""
    room = rehearsal.room
    return {
        "room": room,
        "night_clock": room.clock,
        "code": rehearsal.join_code,
        "address": address,
        "join_url": f"{address}?code={rehearsal.join_code}",
        "qr": qr(f"{address}?code={rehearsal.join_code}"),
        "queue": room.hotline.queue(),
        "simulated": getattr(room.hotline, "simulated_operators", True),
        "stages": STAGES,
        "hold_label": next((label for stage, label in STAGES if stage == room.hold), None),
        "ended": room.ended,
    }


@lru_cache(16)
def qr(text: str) -> Any:
    """A QR code as inline SVG, its quiet zone included: dark on white in every color scheme."""
    import segno
    from markupsafe import Markup

    made = segno.make(text, micro=False, error="m")
    svg = made.svg_inline(scale=1, border=3, dark="#000000", light="#ffffff", omitsize=True, svgclass="qr")
    return Markup(svg)  # made here, of an address


def _open(request: Request, kind: str) -> tuple[Site, Served] | None:
    site: Site = request.app.state.site
    known = site.by_token(request.path_params["token"])
    return (site, known[0]) if known is not None and known[1] == kind else None


async def _missing(request: Request) -> Response:
    from simulation.web.server import missing

    return await missing(request, None)


async def _living(request: Request, kind: str, shown_class: type[TrainerShown]) -> Response:
    from simulation.web.server import frame

    found = _open(request, kind)
    if found is None:
        return await _missing(request)
    site, served = found
    language = site.language(request, served)
    shown = shown_class(served, language, site.address)
    framed = frame(request, served, f"{kind} {request.path_params['token']}", shown.clock())
    html = render.page(shown_class.template, language, **shown.values(), **framed)
    return HTMLResponse(html)


async def trainer_page(request: Request) -> Response:
    """The trainer's; as many devices as he likes."""
    return await _living(request, "trainer", TrainerShown)


async def projector_page(request: Request) -> Response:
    """For the wall."""
    return await _living(request, "projector", ProjectorShown)


async def trainer_live(socket: WebSocket) -> None:
    """Its socket."""
    from simulation.web.server import ROOM_PAUSE_S, live

    address = socket.app.state.site.address
    await live(socket, "trainer", lambda served, _, language: TrainerShown(served, language, address), ROOM_PAUSE_S)


async def projector_live(socket: WebSocket) -> None:
    """Its socket."""
    from simulation.web.server import ROOM_PAUSE_S, live

    address = socket.app.state.site.address
    await live(socket, "projector", lambda served, _, language: ProjectorShown(served, language, address), ROOM_PAUSE_S)


class ProjectorShown(TrainerShown):
    """The room's wall: the time, how far everybody is, the line at the hotline. No names, nothing to click."""

    template = "projector.html"

    def values(self) -> dict[str, Any]:
        """What the template needs."""
        rows = self._rehearsal.board()
        chairs = [row for row in rows if row.role == "chair"]
        counts = [(label, sum(row.stage == stage for row in chairs)) for stage, label in STAGES]
        return room_values(self._rehearsal, self._address) | {
            "rows": rows,
            "counts": counts,
            "most": max([1, *(count for _, count in counts)]),
            "people": sum(one.left_wall_ms is None for one in self._rehearsal.attendance()),
        }

    def news(self) -> tuple[Mapping[str, str], Mapping[str, Any]]:
        """What has changed on it."""
        return self._sent.changed(self._picture()[1]), {}

    def happened(self, message: Mapping[str, Any]) -> Mapping[str, Any]:  # noqa: ARG002  # nothing can be done here
        """Nothing."""
        return {}


async def attendance(request: Request) -> Response:
    """Who was there, to print."""
    found = _open(request, "trainer")
    if found is None:
        return await _missing(request)
    site, served = found
    values = {
        "title": served.rehearsal.title,
        "attendance": served.rehearsal.attendance(),
        "path": request.url.path,
        "trainer_path": f"/trainer/{served.rehearsal.trainer_token}",
    }
    return HTMLResponse(render.page("attendance.html", site.language(request, served), **values))


async def attendance_csv(request: Request) -> Response:
    """The same as a table for a spreadsheet."""
    found = _open(request, "trainer")
    if found is None:
        return await _missing(request)
    rows = found[1].rehearsal.attendance()
    text = table_csv(
        ("person", "name", "seat", "role", "precinct", "joined", "left"),
        (
            (
                row.person, row.name, row.seat, row.role, row.precinct, words.wall(row.joined_wall_ms),
                words.wall(row.left_wall_ms) if row.left_wall_ms else "",
            )
            for row in rows
        ),
    )  # fmt: skip
    return download(text, "attendance.csv")


def table_csv(head: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """CSV as spreadsheets read it; a text that they would take for a formula is marked as text."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(head)
    for row in rows:
        writer.writerow([f"'{cell}" if isinstance(cell, str) and cell[:1] in "=+-@\t\r" else cell for cell in row])
    return out.getvalue()


def download(text: str, name: str) -> Response:
    """A file to keep."""
    disposition = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
    return Response(text, media_type="text/csv; charset=utf-8", headers=disposition)


async def watched(request: Request) -> Response:
    """A person's page as it looks now, to read over his shoulder."""
    found = _open(request, "trainer")
    seat = request.path_params["seat"]
    if found is None or seat not in {row.seat for row in found[1].rehearsal.board()}:
        return await _missing(request)
    site, served = found
    values = {
        "title": served.rehearsal.title,
        "view": served.rehearsal.view(seat),
        "seat": seat,
        "path": request.url.path,
        "trainer_path": f"/trainer/{served.rehearsal.trainer_token}",
    }
    return HTMLResponse(render.page("watched.html", site.language(request, served), **values))
