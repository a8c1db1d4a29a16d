"""The practice hotline: the SimPy night stepped in real time, with people on both ends of the line.

The simulated chairs of the rest of the state call as they would; seats call in the same queue; calls are answered by
simulated operators, by people at operator desks, or by the trainer. Without anybody in the room every call is the
model's own. Knows nothing of pages; what is typed goes to headquarters.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from simulation.night import twin
from simulation.night.model.clock import Clock
from simulation.night.model.evening import Asking, Evening, Process
from simulation.night.model.headquarters import Headquarters as ModelHeadquarters
from simulation.night.model.hotline import Calling, Hotline
from simulation.night.order import Call, Channel, Kind, Outcome, Rank
from simulation.night.reporting import HELP_ENTITY, call_of, rota, screen
from simulation.night.rooms import Room as RoomOfSite
from simulation.randomness import Integers
from simulation.rehearsal.view import Text, say
from simulation.rehearsal.world import Figures, Telephone

if TYPE_CHECKING:
    from simulation.night.setting import Setting

_MINUTE = 60_000
_HOUR = 3_600_000
_NO_LIMIT_MS = 20 * 24 * _HOUR  # people hold as long as they like
SAYS_NOTHING_MS = 45 * _MINUTE  # then a simulated operator gives a silent person up
LEAST_TYPING_MS = 30_000


class Line(Hotline):
    """The model's hotline, with seats among the callers and people among the operators."""

    simulated = True  # whether simulated operators take calls
    locked_out_percent = 0  # of the simulated operators

    def __init__(self, clock: Clock, lines: int, shifts: list[tuple[int, int]]) -> None:
        super().__init__(clock, lines, shifts, None)
        self.in_rota = 0
        self.people: set[str] = set()  # operators of flesh and blood at their desks
        self.ready: OrderedDict[str, int] = OrderedDict()  # those who wait for a call, and since when
        self.talking: dict[str, Calling] = {}  # by operator
        self.by_person: dict[int, str] = {}  # entity of a call -> who answered it
        self.callers: dict[int, str] = {}  # entity -> seat, of calls that people made
        self.answered: Callable[[str, Calling, str], None] = lambda seat, call, operator: None
        self.over: Callable[[str, Calling], None] = lambda seat, call: None

    @property
    def is_open(self) -> bool:
        """Whether anybody may answer."""
        return self.in_rota > 0 or bool(self.people)

    @property
    def in_use(self) -> int:
        """Operators who talk."""
        return self.busy + len(self.talking)

    def dial(self, call: Calling) -> Any:
        """As the model has it; people who are ready come before simulated operators."""
        if not self.people and self.simulated and call.entity not in self.callers:
            return super().dial(call)
        self.calls.append(call)
        self._tell(Kind.DIALED, call, call.about)
        has_line = not (self.lines and self.in_use >= self.lines)
        if not self.is_open:
            self._over(call, Outcome.CLOSED, Kind.CLOSED, call.about)
        elif has_line and self.ready:
            self._person_answers(self.ready.popitem(last=False)[0], call)
        elif has_line and self.busy < self.on_duty:
            self._answer(call)
        elif self.lines and self.in_use + len(self.waiting) >= self.lines:
            self._over(call, Outcome.BUSY, Kind.BUSY, call.about)
        else:
            self.waiting[call.entity] = call
            due = int(self.clock.now) + call.patience
            self.clock.call_at(due, Rank.PATIENCE_ENDS, call.entity, call.attempt, lambda: self._loses_patience(call))
        return call.over

    # People who answer

    def sits_down(self, operator: str) -> None:
        """A person takes a desk."""
        self.people.add(operator)

    def gets_up(self, operator: str) -> None:
        """A person leaves the desk; whoever was talking to him has to call again."""
        self.people.discard(operator)
        self.ready.pop(operator, None)
        if operator in self.talking:
            self.finish(operator, heard=False)

    def is_ready(self, operator: str) -> None:
        """A person is free: the caller who has waited longest, or the next one."""
        if operator not in self.people or operator in self.talking or operator in self.ready:
            return
        if self.waiting:
            self._person_answers(operator, self.waiting.popitem(last=False)[1])
        else:
            self.ready[operator] = int(self.clock.now)

    def pauses(self, operator: str) -> None:
        """A person takes no calls for a while."""
        self.ready.pop(operator, None)

    def finish(self, operator: str, heard: bool) -> None:
        """A person ends his call. `heard`: the caller said what he had to say; else he has to call again."""
        call = self.talking.pop(operator)
        self.by_person.pop(call.entity, None)
        heard = heard and not call.silent
        outcome = Outcome.ANSWERED if heard else Outcome.SILENT
        self._over(call, outcome, Kind.CALL_ENDED, int(self.clock.now) - call.answered)
        self._take_waiting()

    def _person_answers(self, operator: str, call: Calling) -> None:
        if call.entity in self.callers:
            call.silent = False  # two people hear each other
        self.talking[operator] = call
        self.by_person[call.entity] = operator
        call.answered = int(self.clock.now)
        self._tell(Kind.ANSWERED, call, call.answered - call.dialed)
        self.answered(self.callers.get(call.entity, ""), call, operator)

    # Simulated operators

    def set_simulated(self, on: bool) -> None:
        """Let simulated operators take calls, or leave all of them to people."""
        self.simulated = on
        self._count()

    def lock_out(self, percent: int) -> None:
        """So many percent of the simulated operators cannot work."""
        self.locked_out_percent = min(100, max(0, percent))
        self._count()

    def _count(self) -> None:
        self.on_duty = self.in_rota * (100 - self.locked_out_percent) // 100 if self.simulated else 0
        self._take_waiting()

    def _shift_changes(self, on_duty: int) -> None:
        self.in_rota = on_duty
        if self.simulated and not self.locked_out_percent and not self.people:
            super()._shift_changes(on_duty)
            return
        self._count()
        if not self.is_open:
            while self.waiting:
                call = self.waiting.popitem(last=False)[1]
                self._over(call, Outcome.CLOSED, Kind.CLOSED, call.about)

    def _take_waiting(self) -> None:
        while self.waiting and self.ready:
            operator = self.ready.popitem(last=False)[0]
            self._person_answers(operator, self.waiting.popitem(last=False)[1])
        super()._take_waiting()

    def _answer(self, call: Calling) -> None:
        seat = self.callers.get(call.entity)
        if seat is None:
            super()._answer(call)
            return
        self.busy += 1
        call.answered = int(self.clock.now)
        self._tell(Kind.ANSWERED, call, call.answered - call.dialed)
        due = call.answered + (call.handling if call.silent else SAYS_NOTHING_MS)
        self.ends_at(call, due)
        self.answered(seat, call, "")

    def ends_at(self, call: Calling, due: int) -> None:
        """Have a call with a simulated operator end, unless it did before."""
        self.clock.call_at(due, Rank.CALL_ENDS, call.entity, call.attempt, lambda: self._ends(call))

    def _ends(self, call: Calling) -> None:
        if call.ended < 0:
            super()._ends(call)

    def hang_up(self, call: Calling) -> None:
        """A caller of flesh and blood hangs up."""
        if call.ended >= 0:
            return
        if self.waiting.get(call.entity) is call:
            del self.waiting[call.entity]
        elif call.entity in self.by_person:
            self.talking.pop(self.by_person.pop(call.entity), None)
        elif call.answered >= 0:
            self.busy -= 1
        self._over(call, Outcome.HUNG_UP, Kind.HUNG_UP, int(self.clock.now) - call.dialed)
        self._take_waiting()

    def _over(self, call: Calling, outcome: Outcome, kind: Kind, value: int) -> None:
        super()._over(call, outcome, kind, value)
        seat = self.callers.get(call.entity)
        if seat is not None:
            self.over(seat, call)


class _Headquarters(ModelHeadquarters):
    """The model's headquarters, which takes what people typed as they typed it."""

    def __init__(self, evening: Evening) -> None:
        super().__init__(evening.clock, evening.setting, evening.backend, None)
        self.typed: dict[int, Integers] = {}  # by site: what an operator of flesh and blood wrote

    def receive(self, site: int, channel: Channel) -> None:
        """A result of the simulated rest comes in."""
        before = self.holds(site)
        super().receive(site, channel)
        typed = self.typed.pop(site, None)
        if typed is not None and not before:
            self.reported[site] = typed
            rules = (self.office.regime, self.office.ballot, self.office.checks)
            self.findings[site] = int(screen(typed, int(self.setting.delegates[site]), *rules))


class _Rest(Evening):
    """The evening of everybody who is not in the room."""

    def __init__(self, clock: Clock, setting: Setting, gone: Integers) -> None:
        super().__init__(clock, setting, gone, None)
        self.taken: set[int] = set()  # sites that have a seat
        self.reporting: set[int] = set()
        # the model made a hotline and a headquarters of its own, which nobody has used yet: these stand in their places
        self.hotline: Line = Line(clock, self.telephone.lines, rota(self.telephone.shifts))
        self.headquarters = self.held = _Headquarters(self)

    def _report(self, site: int, place: int, room: RoomOfSite) -> Process:
        if site in self.taken:
            return
        self.reporting.add(site)
        yield from super()._report(site, place, room)

    def _call(self, about: Call, site: int, place: int, entity: int, attempt: int, wait: int) -> Asking:
        if entity & HELP_ENTITY:  # dialed long after it was planned: there may be a seat by then
            yield self.clock.after(wait, Rank.DIALS, entity, attempt)
            if site in self.taken:
                return Outcome.CLOSED
            wait = 0
        return (yield from super()._call(about, site, place, entity, attempt, wait))

    def nuisance(self, per_hour: int, start_ms: int, end_ms: int) -> None:
        """Strangers who call from now on."""
        row = np.array([[start_ms, end_ms, per_hour]], dtype=np.int64)
        self.telephone = self.telephone._replace(windows=np.concatenate((self.telephone.windows, row)))
        self._strangers(len(self.telephone.windows) - 1)


@dataclass(slots=True)
class _Phone:
    """A seat's telephone."""

    state: str = "idle"
    since_ms: int = 0
    call: Calling | None = None
    attempts: int = 0
    operator: str = ""  # of flesh and blood; "": simulated
    said: Figures | None = None
    ended_as: Text | None = None
    with_whom: Text | None = None
    taken: bool | None = None


@dataclass(frozen=True, slots=True)
class QueueView:
    """The hotline now, for the trainer's page and the operators'."""

    waiting: int
    longest_hold_ms: int
    simulated_on_duty: int
    simulated_busy: int
    people_on_duty: int
    people_talking: int
    calls: int  # so far
    held: int  # results at headquarters, of all sites
    sites: int


class PracticeHotline:
    """The telephone of the night. Times in ms of the night's clock; deterministic in what it is told, and when."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.clock = Clock()
        _, by_site = twin.check_in(setting, setting.stations)
        self.rest = _Rest(self.clock, setting, np.asarray(by_site[1], dtype=np.int64))
        self.line = self.rest.hotline
        self.line.answered = self._answered
        self.line.over = self._over
        self.phones: dict[str, _Phone] = {}
        self.touched: set[str] = set()
        self.begins: Callable[[str], None] = lambda operator: None
        self.typed: Callable[[str, int, Figures], None] = lambda seat, site, said: None

    @property
    def simulated_operators(self) -> bool:
        """Whether simulated operators take calls."""
        return self.line.simulated

    @property
    def now_ms(self) -> int:
        """Where its clock stands."""
        return int(self.clock.now)

    def run_to(self, at_ms: int) -> None:
        """Play up to a time; what is due in that very millisecond comes later."""
        if at_ms > self.clock.now:
            self.clock.run(until=at_ms)

    def take_out(self, site: int) -> None:
        """A seat has this precinct: its simulated chair does not report."""
        self.rest.taken.add(site)

    def has_begun(self, site: int) -> bool:
        """Whether the simulated chair of a site is reporting, or has."""
        return site in self.rest.reporting or self.rest.headquarters.holds(site)

    def affected(self, effect: str, data: Mapping[str, Any], at_ms: int) -> None:
        """An inject on the hotline itself."""
        minutes = int(data.get("minutes", 30)) * _MINUTE
        if effect == "nuisance_calls":
            self.rest.nuisance(int(data.get("calls_per_hour", 150)), at_ms, at_ms + minutes)
        elif effect == "operators_locked_out":
            self.line.lock_out(int(data.get("percent", 50)))
            self.clock.call_at(at_ms + minutes, Rank.SHIFT_CHANGES, 1 << 20, 0, partial(self.line.lock_out, 0))

    # Seats as callers

    def telephone(self, seat: str) -> Telephone:
        """A seat's telephone."""
        phone = self._phone(seat)
        state: Any = phone.state
        return Telephone(state, phone.since_ms, phone.with_whom, phone.ended_as, phone.taken)

    def dial(self, seat: str, site: int) -> None:
        """A seat calls, with a report. Whoever is on the telephone already goes on."""
        phone = self._phone(seat)
        if phone.state in ("waiting", "talking"):
            return
        telephone, luck = self.setting.telephone, self.setting.luck
        place = int(self.setting.roster.places[site])
        silent, handling, _ = call_of(
            *(luck.seed, luck.night, luck.resolution, int(Call.REPORT), place, 0, phone.attempts),
            telephone.silent_calls,
            telephone.silent_for,
            telephone.handling[Call.REPORT],
            telephone.patience[Call.REPORT],
        )
        over = self.clock.event()
        call = Calling(
            *(Call.REPORT, site, site, phone.attempts, _NO_LIMIT_MS, int(handling), bool(silent), self.now_ms, over)
        )
        phone.call, phone.said, phone.operator, phone.ended_as, phone.with_whom = call, None, "", None, None
        phone.attempts += 1
        phone.taken = None
        self._now(seat, "waiting")
        self.line.callers[site] = seat
        self.line.dial(call)

    def hang_up(self, seat: str) -> None:
        """A seat hangs up."""
        phone = self._phone(seat)
        if phone.call is not None and phone.state in ("waiting", "talking"):
            self.line.hang_up(phone.call)

    def dictate(self, seat: str, figures: Figures) -> None:
        """A seat reads its worksheet aloud; a simulated operator types for a while, then the call is over.

        Reading 42 numbers is most of a call's length; the person has just done that, so a quarter is left.
        """
        phone = self._phone(seat)
        call = phone.call
        if phone.state != "talking" or call is None or phone.said is not None:
            return
        phone.said = figures
        if phone.operator:
            self.touched.add(phone.operator)
        elif not call.silent:
            self.line.ends_at(call, self.now_ms + max(LEAST_TYPING_MS, call.handling // 4))

    def _phone(self, seat: str) -> _Phone:
        return self.phones.setdefault(seat, _Phone())

    def _now(self, seat: str, state: str) -> None:
        phone = self._phone(seat)
        phone.state, phone.since_ms = state, self.now_ms
        self.touched.add(seat)

    def _answered(self, seat: str, _call: Calling, operator: str) -> None:
        self.touched.add(operator or seat)
        if operator:
            self.begins(operator)
        if seat:
            phone = self._phone(seat)
            phone.operator = operator
            phone.with_whom = say("An operator")
            self._now(seat, "talking")

    def _over(self, seat: str, call: Calling) -> None:
        """A call of a seat has ended, one way or another."""
        phone = self._phone(seat)
        if phone.call is not call:
            return
        self.line.callers.pop(call.entity, None)
        if phone.operator:
            self.touched.add(phone.operator)
        if call.outcome is Outcome.BUSY:
            self._now(seat, "busy")
            phone.ended_as = say("A busy tone: every line is taken.")
            return
        self._now(seat, "ended")
        phone.taken = call.outcome is Outcome.ANSWERED and phone.said is not None
        if call.outcome is Outcome.CLOSED:
            phone.ended_as = say("Nobody is on duty at the hotline.")
        elif call.outcome is Outcome.HUNG_UP:
            phone.ended_as = say("You hung up.")
        elif call.outcome is Outcome.SILENT:
            phone.ended_as = say("The operator could not hear you and hung up. Your report was not taken.")
        elif phone.said is None:
            phone.ended_as = say("The operator could not wait any longer. Your report was not taken.")
        else:
            phone.ended_as = say("The operator thanked you and hung up.")
            if not phone.operator:  # an operator of flesh and blood has typed it himself
                self.typed(seat, call.site, phone.said)

    # Desks

    def said_by(self, operator: str) -> Figures | None:
        """What a person on the line has dictated so far."""
        call = self.line.talking.get(operator)
        seat = self.line.callers.get(call.entity) if call is not None else None
        return self._phone(seat).said if seat else None

    def operator_of(self, seat: str) -> str:
        """The person whom a seat talks to; "" for nobody, or a simulated operator."""
        phone = self._phone(seat)
        return phone.operator if phone.state == "talking" else ""

    def queue(self) -> QueueView:
        """The hotline now."""
        line = self.line
        oldest = next(iter(line.waiting.values()), None)
        return QueueView(
            waiting=len(line.waiting),
            longest_hold_ms=self.now_ms - oldest.dialed if oldest is not None else 0,
            simulated_on_duty=line.on_duty,
            simulated_busy=line.busy,
            people_on_duty=len(line.people),
            people_talking=len(line.talking),
            calls=len(line.calls),
            held=int((self.rest.headquarters.received_at >= 0).sum()),
            sites=self.setting.sites,
        )
