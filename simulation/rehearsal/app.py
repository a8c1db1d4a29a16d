"""The practice app: really refuses a PIN, hangs, is down or without a signal, as the scenario and the injects say.

Luck is drawn by address, as the simulated chairs' is. Knows nothing of who stores what arrives.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_args

from simulation.night.order import Stream
from simulation.night.reporting import is_out
from simulation.rehearsal.view import Text, say
from simulation.rehearsal.world import Figures, Sent, Weather

if TYPE_CHECKING:
    from simulation.night.setting import Setting
    from simulation.rehearsal.script import PrecinctScript

_MINUTE = 60_000
_FORCED: Mapping[str, Weather] = {  # effects of injects on the app
    "app_down": "down",
    "app_hangs": "hangs",
    "app_refuses": "refuses",
    "signal_lost": "no signal",
    "app_works": "works",
}


@dataclass(slots=True)
class _Phone:
    """One seat's app."""

    attempts: int = 0  # log-ins tried
    forced: Weather | None = None
    forced_until_ms: int = 0
    loses: bool = False  # what it acknowledges from now on is lost
    solved: bool = False


class PracticeApp:
    """The app on every seat's phone."""

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._app = setting.app
        self._phones: dict[str, _Phone] = {}

    def affected(self, effect: str, data: Mapping[str, Any], seats: Sequence[str], at_ms: int) -> None:
        """An inject on the app of these seats, for `minutes` of the night's clock."""
        for seat in seats:
            phone = self._phone(seat)
            if effect in _FORCED:
                phone.forced = _FORCED[effect]
                phone.forced_until_ms = at_ms + int(data.get("minutes", 24 * 60)) * _MINUTE
            elif effect == "app_loses":
                phone.loses = True

    def weather(self, seat: str, site: int, at_ms: int) -> Weather:
        """How the app is at a seat."""
        phone, app, luck = self._phone(seat), self._app, self._setting.luck
        place = int(self._setting.roster.places[site])
        if phone.forced is not None and at_ms < phone.forced_until_ms:
            return phone.forced
        if luck.happens(app.no_signal, Stream.NO_SIGNAL, place):
            return "no signal"
        if is_out(app.outages, at_ms):
            return "down"
        if not luck.happens(app.installed, Stream.APP_INSTALLED, place):
            return "refuses"  # it never was set up rightly: no PIN helps
        if luck.happens(app.login_fails, Stream.LOGIN_FAILS, place, 0, phone.attempts):
            return "refuses"
        if luck.happens(app.submit_fails, Stream.SUBMIT_FAILS, place, 0, phone.attempts):
            return "hangs"
        return "works"

    def log_in(self, seat: str, precinct: PrecinctScript, pin: str, at_ms: int) -> Sent:
        """A PIN was entered."""
        weather = self.weather(seat, precinct.site, at_ms)
        phone = self._phone(seat)
        if weather == "no signal":
            return Sent("no signal", (say("No connection. Nothing was sent."),))
        if weather == "down":
            return Sent("down", (say("The service does not answer. Try again later."),))
        if weather == "refuses" or pin.strip() != precinct.pin:
            phone.attempts += 1
            return Sent("refused", (say("Precinct or PIN not accepted."),))
        if weather == "works" and int(precinct.delegates) == 1 and not self._app.single_delegate:
            phone.attempts += 1
            return Sent("refused", (say("Precincts that elect one delegate are not known here."),))
        return Sent("accepted", arrived=True)

    def submit(self, seat: str, precinct: PrecinctScript, step: str, figures: Figures, at_ms: int) -> Sent:
        """A step is sent. What cannot be true is refused; everything else is taken."""
        weather = self.weather(seat, precinct.site, at_ms)
        phone = self._phone(seat)
        if weather == "no signal":
            return Sent("no signal", (say("No connection. Nothing was sent."),))
        if weather == "down":
            return Sent("down", (say("The service does not answer. Try again later."),))
        if weather in ("hangs", "refuses"):
            phone.attempts += 1
            return Sent("hangs", (say("Sending ... the app does not come back."),))
        reasons = tuple(_failsafe(step, figures, int(precinct.delegates)))
        if reasons:
            return Sent("refused", reasons)
        place = int(self._setting.roster.places[precinct.site])
        lost = phone.loses or self._setting.luck.happens(self._app.lost, Stream.APP_LOST, place)
        return Sent("accepted", arrived=not lost)

    def _phone(self, seat: str) -> _Phone:
        return self._phones.setdefault(seat, _Phone())


def _failsafe(step: str, figures: Figures, delegates: int) -> list[Text]:
    """What no report may say (2016's app refused too many delegates)."""
    first, final, awarded = (sum(row.values()) for row in figures.rows().values())
    found = []
    if step in ("first-alignment", "final") and first > figures.attendees:
        found.append(
            say(
                "The first alignment has {people} people, more than the {n} counted.", people=first, n=figures.attendees
            )
        )
    if step == "final" and final > figures.attendees:
        found.append(
            say(
                "The final alignment has {people} people, more than the {n} counted.", people=final, n=figures.attendees
            )
        )
    if step == "final" and awarded > delegates:
        found.append(
            say(
                "{awarded} delegates are awarded; this precinct elects {delegates}.",
                awarded=awarded,
                delegates=delegates,
            )
        )
    return found


assert set(_FORCED.values()) <= set(get_args(Weather))
