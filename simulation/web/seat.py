"""A volunteer's page: what it shows, and what may be done on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from simulation.rehearsal.view import say
from simulation.web import render, words
from simulation.web.live import BEAT_S, Sent

if TYPE_CHECKING:
    from simulation.rehearsal.running import Rehearsal

MOST_FIELDS, LONGEST_VALUE = 64, 1000
FAILED = say("Something went wrong on the server. What you typed is kept.")
NO_SEAT = say("You have no seat any more, so this was not done. Ask the trainer.")


class SeatShown:
    """One person's page in one language."""

    beat_s = BEAT_S

    def __init__(self, rehearsal: Rehearsal, token: str, language: str) -> None:
        self._rehearsal, self._token, self._language = rehearsal, token, language
        self._state: tuple[Any, ...] = ()
        self._sent = Sent()

    def values(self) -> dict[str, Any]:
        """What the template needs."""
        seat = self._rehearsal.seat_of(self._token)
        return {
            "view": self._rehearsal.view(seat) if seat else None,
            "ended": self._rehearsal.room.ended,
            "debrief": f"/seat/{self._token}/debrief",
        }

    def news(self) -> tuple[Mapping[str, str], Mapping[str, Any]]:
        """What has changed on it."""
        values = self.values()
        view = values["view"]
        # The time alone changes nothing: browsers count it themselves
        state = (view and replace(view, now_ms=0), values["ended"])
        if self._state == (state,):
            return {}, {}
        self._state = (state,)
        return self._sent.changed(render.blocks("seat.html", self._language, values)), {}

    def clock(self) -> Mapping[str, Any]:
        """The night's clock."""
        return clock(self._rehearsal)

    def happened(self, message: Mapping[str, Any]) -> Mapping[str, Any]:
        """An action of this person and of nobody else, whatever the message says; on the seat that it was for."""
        seat = self._rehearsal.seat_of(self._token)
        fields, meant = message.get("fields"), str(message.get("seat") or seat)
        if seat != meant and self._rehearsal.has_done(meant, message["id"]):
            return {}
        if not seat:
            return {"refused": words.words(self._language)(NO_SEAT)}
        if seat != meant:
            there = self._rehearsal.room.seats.get(meant)
            place = (there and self._rehearsal.room.precinct_of(there)) or meant[:LONGEST_VALUE]
            other = say("You were moved before this arrived. It was for {place}, so it was not done here.", place=place)
            return {"refused": words.words(self._language)(other)}
        if not isinstance(fields, dict) or len(fields) > MOST_FIELDS:
            return {}
        plain = {str(name)[:LONGEST_VALUE]: str(value)[:LONGEST_VALUE] for name, value in fields.items()}
        match message.get("kind"):
            case "acted":
                action = plain.pop("action", "")
                data = {"step": str(message.get("step", "")), "action": action, "fields": plain}
                refused = self._rehearsal.do("acted", seat, data, message["id"])
            case "hand":
                refused = self._rehearsal.do("hand", seat, {"raised": plain.get("raised") == "yes"}, message["id"])
            case _:
                return {}
        return {"refused": words.words(self._language)(refused)} if refused else {}

    def failed(self) -> str:
        """What is said where an action failed."""
        return words.words(self._language)(FAILED)


def clock(rehearsal: Rehearsal) -> Mapping[str, Any]:
    """The night's clock, as pages go on counting it."""
    room = rehearsal.room
    return {"now": room.now_ms, "speed": room.clock.speed, "running": room.clock.running and not room.ended}
