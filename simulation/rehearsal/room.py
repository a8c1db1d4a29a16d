"""The room: everybody's seats, the clock, and the night around them, as a fold of events.

`apply` and `advance` are functions of the script and the events alone, so that a restart, a replay and a branch come to
the same room. What happens by time happens at fixed steps of the night's clock, however often somebody looks.
Knows nothing of who stores events, and nothing of pages.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from simulation.night.order import Stream
from simulation.randomness import place_id
from simulation.rehearsal.app import PracticeApp
from simulation.rehearsal.chair import ChairSeat
from simulation.rehearsal.chair_steps import LABELS
from simulation.rehearsal.checkin import CheckinSeat
from simulation.rehearsal.clock import NightClock
from simulation.rehearsal.desk import EntryDesk, OperatorDesk, ReviewDesk
from simulation.rehearsal.event import BOT, NOBODY, ROOM, TRAINER, Event
from simulation.rehearsal.headquarters import Headquarters
from simulation.rehearsal.hotline import PracticeHotline
from simulation.rehearsal.injects import AT_A_PRECINCT, Inject, InjectView, catalog, from_scenario
from simulation.rehearsal.view import Notice, SeatView, Stage, Step, Text, say, say_many
from simulation.rehearsal.world import Figures, Sent, Telephone, Weather
from simulation.scenario.inject import ROLES

if TYPE_CHECKING:
    from simulation.night.setting import Setting
    from simulation.rehearsal.script import PrecinctScript, Script
    from simulation.rehearsal.seat import Mistake

STEP_MS = 5_000  # of the night's clock: how often what happens by itself is looked at
_LOGGER = logging.getLogger(__name__)
AIDS = ("hints", "citations", "arithmetic")
STAGES = tuple(LABELS.items())  # of a chair's evening, in order: what a hold can name
_ORDER = {stage: index for index, (stage, _) in enumerate(STAGES)}
_USUAL_MINUTES = {  # of the night's clock, somewhat above the usual length of each part of an evening
    "doors": 60,
    "call_to_order": 25,
    "count": 10,
    "freeze": 5,
    "viability": 5,
    "first_alignment": 15,
    "realignment": 15,
    "delegates": 15,
    "worksheet": 25,
    "report": 30,
}


class Doing(Protocol):
    """What sits on a seat: a precinct's evening, or a desk. Deterministic in what it is told."""

    @property
    def stage(self) -> str:
        """The stage's id."""

    @property
    def mistakes(self) -> Sequence[Mistake]:
        """What went wrong so far."""

    def act(self, action: str, fields: Mapping[str, str], at_ms: int, world: Any) -> None:
        """The person did something."""

    def advance(self, at_ms: int, world: Any) -> None:
        """Time went by."""

    def affected(self, effect: str, data: Mapping[str, Any], at_ms: int) -> bool:
        """An inject reached the seat. Whether it changes anything there."""

    def steps(self, at_ms: int, world: Any, aids: frozenset[str]) -> tuple[Step, ...]:
        """What can be done."""

    def stages(self) -> tuple[Stage, ...]:
        """The evening's parts."""


@dataclass(slots=True)
class Seat:
    """A place in the room. The person on it may change; what was done on it stays."""

    id: str
    role: str
    doing: Doing
    precinct: PrecinctScript | None = None
    person: int | None = None  # whose name stands elsewhere; None: nobody sits here
    bot: bool = False  # plays while nobody sits here
    devices: int = 0  # pages open now
    hand: bool = False
    hand_since_ms: int = 0
    stage: str = ""
    stage_since_ms: int = 0
    last_act_ms: int = 0
    notices: list[Notice] = field(default_factory=list)
    held: bool = False
    did: dict[str, list[int]] = field(default_factory=dict)  # by stage: who acted in it, the last one last
    authors: list[int] = field(default_factory=list)  # whose each of `doing.mistakes` is
    actor: int = NOBODY  # who acted last: a person's number, BOT or NOBODY

    @property
    def attended(self) -> bool:
        """Whether a person or a bot is there."""
        return self.person is not None or self.bot

    @property
    def actors(self) -> tuple[int, ...]:
        """Everybody who acted here, in the order of the evening; a bot is BOT."""
        return tuple(dict.fromkeys(one for there in self.did.values() for one in there))

    def notes_authors(self) -> None:
        """Whoever acted last made the mistakes that are new."""
        self.authors += [self.actor] * (len(self.doing.mistakes) - len(self.authors))


@dataclass(frozen=True, slots=True)
class BoardRow:
    """A seat, as the trainer's board has it."""

    seat: str
    name: str
    role: str
    precinct: str
    stage: str  # id
    stage_label: Text
    in_stage_ms: int
    errors: int
    connected: bool
    hand: bool
    bot: bool
    held: bool
    done: bool
    help_score: int  # the higher, the sooner somebody should go there
    why: tuple[Text, ...]  # what makes the score


@dataclass(frozen=True, slots=True)
class LobbyRow:
    """Somebody who joined: the attendance sheet."""

    person: int
    name: str
    seat: str  # "" for who has left
    role: str
    precinct: str
    joined_wall_ms: int
    left_wall_ms: int | None
    connected: bool


@dataclass(slots=True)
class Stay:
    """A seat that somebody held for a while, by the night's clock."""

    seat: str
    from_ms: int
    to_ms: int | None = None  # None: sits there still


@dataclass(slots=True)
class _Person:
    seat: str
    joined_wall_ms: int
    left_wall_ms: int | None = None
    stays: list[Stay] = field(default_factory=list)  # seats held, in order; a seat may come again


class Room:
    """A rehearsal at one moment. `names` are people's, by number; the room itself needs none."""

    def __init__(
        self,
        script: Script,
        setting: Setting,
        *,
        aids: frozenset[str] = frozenset(AIDS),
        names: Mapping[int, str] | None = None,
    ) -> None:
        self.script = script
        self.setting = setting
        self.aids = aids
        self.names: Mapping[int, str] = names if names is not None else {}
        self.clock = NightClock(script.begins_ms, script.speed)
        self.now_ms = script.begins_ms
        self.hold: str | None = None
        self.door_open = True  # whether new people may join
        self.ended = False
        self.seq = 0
        self.seats: dict[str, Seat] = {}
        self.people: dict[int, _Person] = {}
        self.newest_person = 0  # numbers are never given twice
        self.hotline = PracticeHotline(setting)
        self.app = PracticeApp(setting)
        self.headquarters = Headquarters(self)
        self.touched: set[str] = set()  # seats whose page may have changed since somebody last asked
        self.hotline.touched = self.touched
        self.hotline.typed = self.headquarters.by_phone
        self.hotline.begins = self._call_begins
        self.trainers_desk = OperatorDesk(TRAINER, self)
        self.injects: dict[str, Inject] = {
            inject.id: inject for inject in (*from_scenario(setting.scenario), *catalog())
        }
        self.failures: list[tuple[int, str, str]] = []  # errors of this program: when, where, what
        self.fired: dict[str, list[tuple[int, tuple[str, ...]]]] = {}
        self.hotline.run_to(self.now_ms)

    # Events

    def apply(self, event: Event) -> None:
        """Play up to the event, and let it happen. An event that makes no sense (any more) changes nothing."""
        self.advance(event.at_ms)
        self.seq = event.seq
        seat = self.seats.get(event.seat)
        data = event.data
        match event.kind:
            case "joined":
                self._joined(event, data)
            case "clock":
                self.clock.apply(event)
            case "hold":
                self.hold = data["stage"] if data.get("stage") in _ORDER else None
                self._hold_changed()
            case "aids":
                self.aids = frozenset(data.get("aids", ())) & frozenset(AIDS)
            case "inject":
                self._inject(data, event.at_ms)
            case "door":
                self.door_open = bool(data.get("open", True))
            case "hotline":
                self.hotline.line.set_simulated(bool(data.get("simulated", True)))
            case "ended":
                self.ended = True
                self.clock.running = False
            case "branched":  # everybody of the evening that this one began as is gone
                for one in self.seats.values():
                    self._left(one, event)
                self.people.clear()
            case "acted" if event.seat == TRAINER:
                act = self.trainers_desk.act
                self._guard(TRAINER, act, str(data.get("action", "")), _texts(data), event.at_ms, self)
            case _ if seat is None:
                pass
            case "acted":
                self._acted(seat, data, event.at_ms)
            case "reassigned":
                self._reassigned(seat, data, event)
            case "left":
                self._left(seat, event)
            case "connected":
                seat.devices += 1
            case "disconnected":
                seat.devices = max(0, seat.devices - 1)
            case "bot":
                self._bot(seat, bool(data.get("on", True)), event)
            case "hand":
                seat.hand = bool(data.get("raised"))
                seat.hand_since_ms = event.at_ms
        if event.kind == "clock" and data.get("do") == "resume":
            for one in self.seats.values():  # whoever had a page open on the server that died
                one.devices = 0
        if event.kind in ("clock", "hold", "aids", "ended", "hotline"):
            self.touched.update(self.seats)
        self.touched.add(event.seat)

    def advance(self, to_ms: int) -> None:
        """Let the night go on to a time."""
        while self.next_step_ms() <= to_ms:
            self.now_ms = self.next_step_ms()
            self.hotline.run_to(self.now_ms)
            for seat in self.seats.values():
                if not seat.held and not self.ended:
                    self._guard(seat.id, seat.doing.advance, self.now_ms, self)
                    self._look(seat)
        if to_ms > self.now_ms:
            self.now_ms = to_ms
            self.hotline.run_to(to_ms)

    def next_step_ms(self) -> int:
        """When things that happen by themselves are looked at next."""
        return (self.now_ms // STEP_MS + 1) * STEP_MS

    def place_for(self, role: str) -> str:
        """The seat that the next person of a role gets: one that a bot or nobody plays, else a new one.

        Of several the one with the most of its evening before it; one that reports already only where no other is left.
        """
        vacant = [
            seat for seat in self.seats.values() if seat.role == role and seat.person is None and not self.is_done(seat)
        ]
        first = min(vacant, key=lambda seat: _ORDER.get(seat.stage, 0), default=None)
        if first is not None and first.stage != "report":
            return first.id
        taken = {seat.id for seat in self.seats.values()}
        number = 1
        while f"{role}-{number}" in taken:
            number += 1
        if role in AT_A_PRECINCT:
            limit = len(self.script.sites)
            while number <= limit and not self._is_free(role, number):
                number += 1
            if number > limit:
                return first.id if first is not None else ""
        return f"{role}-{number}"

    def catch_up_at(self, name: str) -> str:
        """The stage at which somebody who sits down now begins; "" where the seat stands there, or further, already."""
        stage, seat = self.common_stage() if self.clock.started else "", self.seats.get(name)
        if stage == "done":
            stage = "report"
        behind = seat is None or _ORDER.get(seat.stage, 99) < _ORDER.get(stage, 0)
        return stage if behind else ""

    def common_stage(self) -> str:
        """How far the room is: the stage that half of the chairs have reached; "" where there is nobody to ask."""
        reached = sorted(
            (_ORDER.get(seat.stage, 0), seat.stage)
            for seat in self.seats.values()
            if seat.role == "chair" and seat.attended
        )
        return reached[len(reached) // 2][1] if reached else ""

    def _is_free(self, role: str, number: int) -> bool:
        """Whether a precinct can still be given away: its simulated chair has not called or reported yet."""
        seat, site = f"{role}-{number}", self.script.sites[number - 1].site
        return seat not in self.seats and (role != "chair" or not self.hotline.has_begun(site))

    def _joined(self, event: Event, data: Mapping[str, Any]) -> None:
        seat = self._seat(event.seat, event.at_ms)
        if seat is None:
            return
        if data.get("bot"):
            seat.bot = True
            self._desk_changed(seat)
            return
        person = int(data["person"])
        seat.person = person
        self.people[person] = _Person(seat.id, event.wall_ms)
        self.newest_person = max(self.newest_person, person)
        self._sits(seat, event.at_ms)
        if data.get("catch_up"):
            self._affect(seat, "catch_up", {"stage": data["catch_up"]}, event.at_ms)
            self._look(seat)

    def _seat(self, name: str, at_ms: int) -> Seat | None:
        """The seat of this name, made if it was not there: "chair-3" has the script's third precinct."""
        if name in self.seats:
            return self.seats[name]
        named = _role_and_number(name)
        if named is None:
            return None
        role, number = named
        precinct = None
        doing: Doing
        if role in AT_A_PRECINCT:
            if number > len(self.script.sites):
                return None
            precinct = self.script.sites[number - 1]
        if role == "chair" and precinct is not None:
            doing = ChairSeat(precinct, name)
            self.hotline.take_out(precinct.site)
        elif role == "checkin" and precinct is not None:
            doing = CheckinSeat(precinct, name)
        elif role == "operator":
            doing = OperatorDesk(name, self)
        elif role == "entry":
            doing = EntryDesk(name, self)
        else:
            doing = ReviewDesk(name, self)
        seat = Seat(name, role, doing, precinct, stage=doing.stage, stage_since_ms=at_ms)
        self.seats[name] = seat
        return seat

    def _left(self, seat: Seat, event: Event) -> None:
        if seat.person is not None:
            person = self.people[seat.person]
            self._gets_up(seat.person, event.at_ms)
            person.left_wall_ms, person.seat = event.wall_ms, ""
        seat.person, seat.hand, seat.devices = None, False, 0
        self._desk_changed(seat)

    def _sits(self, seat: Seat, at_ms: int) -> None:
        """Somebody begins to hold a seat."""
        assert seat.person is not None
        person = self.people[seat.person]
        person.seat = seat.id
        person.stays.append(Stay(seat.id, at_ms))

    def _gets_up(self, number: int, at_ms: int) -> None:
        """Somebody no longer holds his seat."""
        person = self.people[number]
        if person.stays and person.stays[-1].to_ms is None:
            person.stays[-1].to_ms = at_ms

    def stays_of(self, person: int) -> tuple[Stay, ...]:
        """The seats that somebody held, in order, whether or not he has left since."""
        found = self.people.get(person)
        return tuple(found.stays) if found is not None else ()

    def _bot(self, seat: Seat, on: bool, event: Event) -> None:
        """A bot plays on, a call that is on included, and whoever sat there is free; or it stops."""
        seat.bot = on
        if on:
            self._left(seat, event)
        else:
            self._desk_changed(seat)

    def _desk_changed(self, seat: Seat) -> None:
        """Somebody has come to a desk or gone: without anybody at it a desk takes no calls, and keys no reports."""
        if seat.role == "operator" and not seat.attended:
            self.hotline.line.gets_up(seat.id)
        if seat.role in ("entry", "reviewer"):
            self.headquarters.staff_changed()

    def _reassigned(self, seat: Seat, data: Mapping[str, Any], event: Event) -> None:
        """Two seats change people; the other may be new or empty."""
        other = self._seat(str(data.get("to", "")), event.at_ms)
        if other is None or other is seat:
            return
        for one in (seat, other):
            if one.person is not None:
                self._gets_up(one.person, event.at_ms)
        seat.person, other.person = other.person, seat.person
        seat.devices, other.devices = other.devices, seat.devices
        seat.hand = other.hand = False
        for one in (seat, other):
            if one.person is not None:
                self._sits(one, event.at_ms)
        for one in (seat, other):
            self._desk_changed(one)
            self.touched.add(one.id)

    def _acted(self, seat: Seat, data: Mapping[str, Any], at_ms: int) -> None:
        if seat.held or self.ended:
            return
        seat.last_act_ms = at_ms
        seat.notes_authors()
        seat.actor = BOT if data.get("bot") else NOBODY if seat.person is None else seat.person
        there = seat.did.setdefault(seat.doing.stage, [])
        if seat.actor in there:
            there.remove(seat.actor)
        there.append(seat.actor)
        operator = self.hotline.operator_of(seat.id)
        if operator:  # he hears what this caller says
            self.touched.add(operator)
        self._guard(seat.id, seat.doing.act, str(data.get("action", "")), _texts(data), at_ms, self)
        self._look(seat)

    def _call_begins(self, operator: str) -> None:
        """A call comes to a desk of flesh and blood."""
        desk = self.trainers_desk if operator == TRAINER else self.seats[operator].doing
        if isinstance(desk, OperatorDesk):
            desk.begins()

    def _affect(self, seat: Seat, effect: str, data: Mapping[str, Any], at_ms: int) -> None:
        self._guard(seat.id, seat.doing.affected, effect, data, at_ms)

    def _guard(self, seat: str, action: Callable[..., Any], *arguments: Any) -> None:
        """Let a seat do something. An error of ours there must not end everybody's evening, nor the log's replay."""
        try:
            action(*arguments)
        except Exception as error:
            what = f"{type(error).__name__}: {error}"
            if any(known[1:] == (seat, what) for known in self.failures):
                return  # what fails at every step of the night is told once
            self.failures.append((self.now_ms, seat, what))
            _LOGGER.exception("seat %s failed", seat)

    def _look(self, seat: Seat) -> None:
        """Note when a stage began, and hold whoever has come as far as the trainer wants."""
        stage = seat.doing.stage
        seat.notes_authors()
        if stage != seat.stage:
            passed = self.hold is not None and _ORDER.get(seat.stage, 99) <= _ORDER[self.hold]
            seat.held = passed and seat.role == "chair" and _ORDER.get(stage, 0) > _ORDER[self.hold or ""]
            seat.stage, seat.stage_since_ms = stage, self.now_ms
            self.touched.add(seat.id)

    def _hold_changed(self) -> None:
        """A hold keeps those who pass its stage from now on, and those of the hold before who are beyond it too."""
        for seat in self.seats.values():
            seat.held = seat.held and self.hold is not None and _ORDER.get(seat.stage, 0) > _ORDER[self.hold]

    def _inject(self, data: Mapping[str, Any], at_ms: int) -> None:
        inject = self.injects.get(str(data.get("id", "")))
        if inject is None:
            return
        targets = tuple(name for name in data.get("targets", ()) if name in self.seats)
        self.fired.setdefault(inject.id, []).append((at_ms, targets))
        details = {**inject.data, **dict(data.get("data", {}))}
        if not inject.nightly:
            self.app.affected(inject.effect, details, targets, at_ms)
            self.hotline.affected(inject.effect, details, at_ms)
            self.headquarters.affected(inject.effect, details, targets, at_ms)
        for name in targets:
            seat = self.seats[name]
            if not inject.silent:
                seat.notices.append(Notice(inject.id, at_ms, inject.message, inject.expected))
            self._affect(seat, inject.effect, details, at_ms)
            self._look(seat)
            self.touched.add(name)

    # What may be done, and what is due

    def refusal(self, kind: str, seat: str, data: Mapping[str, Any]) -> Text | None:
        """Why something cannot be done now; None where it can."""
        there = self.seats.get(seat)
        if kind in ("acted", "hand", "reassigned", "left", "bot") and there is None and seat != TRAINER:
            return say("There is no such seat.")
        if kind == "bot" and there is None:
            return say("There is no such seat.")
        if kind == "acted" and there is not None:
            if self.ended:
                return say("The rehearsal is over.")
            if not self.clock.running:
                return say("The clock stands still. What you typed is kept.")
            if there.held:
                return say("The trainer holds everybody here for a moment. What you typed is kept.")
        if kind == "acted" and data.get("step") and not self._offers(seat, str(data["step"]), str(data["action"])):
            return say("This was for something that is over by now, so it was not done.")
        if kind == "reassigned":
            named = _role_and_number(str(data.get("to", "")))
            if named is None:
                return say("There is no such seat.")
            role, number = named
            if role in AT_A_PRECINCT and number > len(self.script.sites):
                return say("This night has {count} precincts to rehearse.", count=len(self.script.sites))
        if kind == "inject" and data.get("id") not in self.injects:
            return say("There is no such inject.")
        if kind == "clock" and data.get("do") == "jump" and int(data.get("to_ms", 0)) < self.now_ms:
            return say("The clock goes forward only; to go back, branch from an earlier moment.")
        return None

    def _offers(self, seat: str, step: str, action: str) -> bool:
        """Whether what somebody pressed still stands there: what is sent late must not count for what came since."""
        doing = self.trainers_desk if seat == TRAINER else self.seats[seat].doing
        steps = doing.steps(self.now_ms, self, self.aids)
        return any(one.id == step and any(button.action == action for button in one.buttons) for one in steps)

    def due(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """Injects whose time or condition has come: (kind, seat, data) of the events that should be stored now."""
        for inject in self.injects.values():
            if inject.when is not None and inject.id not in self.fired and inject.when.has_come(self):
                yield "inject", ROOM, {"id": inject.id, "targets": list(self.targets(inject))}

    def targets(self, inject: Inject, seats: Sequence[str] = (), share: int | None = None) -> tuple[str, ...]:
        """Whom an inject is for: those named, or the seats of its roles, or a share of them in percent, by lot."""
        able = [seat.id for seat in self.seats.values() if seat.role in inject.roles and not self.is_done(seat)]
        if seats:
            return tuple(name for name in seats if name in self.seats)
        percent = inject.share if share is None else share
        if percent >= 100 or not able:
            return tuple(able)
        luck = self.setting.luck
        able.sort(key=lambda name: (luck.bits(Stream.ASSUMPTION, place_id(f"inject {inject.id} {name}")), name))
        return tuple(sorted(able[: max(1, (len(able) * percent + 50) // 100)]))

    @staticmethod
    def is_past(seat: Seat, stage: str) -> bool:
        """Whether a chair has gone beyond a stage."""
        return seat.stage == "done" or _ORDER.get(seat.stage, -1) > _ORDER[stage]

    @staticmethod
    def is_done(seat: Seat) -> bool:
        """Whether a seat's evening is over."""
        return seat.stage == "done"

    # What people see

    def seat_view(self, name: str) -> SeatView:
        """A person's page."""
        seat = self.seats[name]
        held: Text | None = None
        if self.ended:
            held = say("The rehearsal is over. Thank you!")
        elif not self.clock.started:
            held = say("The evening has not begun yet. The trainer starts the clock.")
        elif not self.clock.running:
            held = say("The trainer has stopped the clock.")
        elif seat.held:
            held = say("The trainer holds everybody here for a moment.")
        notices = tuple(
            notice if self.ended else Notice(notice.id, notice.at_ms, notice.text) for notice in reversed(seat.notices)
        )
        return SeatView(
            seat=name,
            name=self.name_of(seat),
            role=seat.role,
            precinct=self.precinct_of(seat),
            now_ms=self.now_ms,
            running=self.clock.running and not self.ended,
            speed=self.clock.speed,
            held=held,
            stages=seat.doing.stages(),
            steps=seat.doing.steps(self.now_ms, self, self.aids),
            notices=notices,
            hand_raised=seat.hand,
            aids=self.aids,
            done=self.is_done(seat) or self.ended,
        )

    def name_of(self, seat: Seat) -> str:
        """Who sits there, as far as a name is still kept."""
        return "" if seat.person is None else self.names.get(seat.person, "")

    @staticmethod
    def precinct_of(seat: Seat) -> str:
        """The precinct's name, "" at headquarters."""
        return seat.precinct.name if seat.precinct is not None else ""

    def board(self) -> tuple[BoardRow, ...]:
        """Every seat, those first that need help most."""
        rows = [self._row(seat) for seat in self.seats.values()]
        return tuple(
            sorted(rows, key=lambda row: (-row.help_score, row.seat.rpartition("-")[0], len(row.seat), row.seat))
        )

    def _row(self, seat: Seat) -> BoardRow:
        in_stage = max(0, self.now_ms - seat.stage_since_ms)
        errors = len(seat.doing.mistakes)
        done = self.is_done(seat)
        connected = seat.devices > 0
        score, why = 0, []
        if seat.hand:
            score += 1000 + min(500, (self.now_ms - seat.hand_since_ms) // 10_000)
            why.append(say("hand raised"))
        if seat.person is not None and not connected and not self.ended:
            score += 300
            why.append(say("not connected"))
        if errors:
            score += 40 * min(errors, 10)
            why.append(say_many("{count} error", "{count} errors", errors))
        if seat.precinct is not None:
            phone = self.hotline.telephone(seat.id)
            if phone.state == "waiting":
                why.append(say("on hold {minutes} min", minutes=max(0, self.now_ms - phone.since_ms) // 60_000))
        late = in_stage - self._usual_ms(seat.stage)
        if seat.role == "chair" and seat.person is not None and not done and late > 0 and not seat.held:
            score += min(250, 10 + late // 12_000)
            why.append(say("longer here than usual"))
        return BoardRow(
            seat=seat.id,
            name=self.name_of(seat),
            role=seat.role,
            precinct=self.precinct_of(seat),
            stage=seat.stage,
            stage_label=next((label for stage, label in STAGES if stage == seat.stage), say("At the desk")),
            in_stage_ms=in_stage,
            errors=errors,
            connected=connected,
            hand=seat.hand,
            bot=seat.bot and seat.person is None,
            held=seat.held,
            done=done,
            help_score=0 if done and not seat.hand else score,
            why=tuple(why),
        )

    @staticmethod
    def _usual_ms(stage: str) -> int:
        """How long a stage usually takes, of the night's clock; who is there longer may need help."""
        return _USUAL_MINUTES.get(stage, 20) * 60_000

    def deck(self) -> tuple[InjectView, ...]:
        """Every inject: the scenario's first, then the catalog's."""
        return tuple(inject.view(tuple(self.fired.get(inject.id, ()))) for inject in self.injects.values())

    @property
    def lobby(self) -> tuple[LobbyRow, ...]:
        """Everybody who ever joined: the attendance sheet."""
        rows = []
        for number, person in self.people.items():
            seat = self.seats.get(person.seat)
            rows.append(
                LobbyRow(
                    person=number,
                    name=self.names.get(number, ""),
                    seat=person.seat,
                    role=seat.role if seat else "",
                    precinct=self.precinct_of(seat) if seat else "",
                    joined_wall_ms=person.joined_wall_ms,
                    left_wall_ms=person.left_wall_ms,
                    connected=seat is not None and seat.devices > 0,
                )
            )
        return tuple(rows)

    # What a seat may ask of the night: `world.World`

    def weather(self, seat: str) -> Weather:
        """How the app is here and now."""
        return self.app.weather(seat, self._site(seat), self.now_ms)

    def log_in(self, seat: str, pin: str) -> Sent:
        """Try the app's log-in."""
        return self.app.log_in(seat, self._precinct(seat), pin, self.now_ms)

    def submit(self, seat: str, step: str, figures: Figures) -> Sent:
        """Send a step by app."""
        sent = self.app.submit(seat, self._precinct(seat), step, figures, self.now_ms)
        if sent.arrived and step == "final":
            self.headquarters.by_app(seat, self._site(seat), figures)
        return sent

    def telephone(self, seat: str) -> Telephone:
        """What the line is doing."""
        return self.hotline.telephone(seat)

    def dial(self, seat: str) -> None:
        """Call the hotline."""
        self.hotline.dial(seat, self._site(seat))

    def hang_up(self, seat: str) -> None:
        """End the call, or stop waiting."""
        self.hotline.hang_up(seat)

    def dictate(self, seat: str, figures: Figures) -> None:
        """Read the worksheet to whoever answered."""
        self.hotline.dictate(seat, figures)

    def text_photo(self, seat: str, figures: Figures) -> bool:
        """Send a photo of the worksheet."""
        return self.headquarters.by_photo(seat, self._site(seat), figures)

    def _site(self, seat: str) -> int:
        return self._precinct(seat).site

    def _precinct(self, seat: str) -> PrecinctScript:
        precinct = self.seats[seat].precinct
        assert precinct is not None  # only seats at a precinct report
        return precinct


def _role_and_number(seat: str) -> tuple[str, int] | None:
    """What a seat's name says: "chair-3" is the third chair; None for what is no seat's name."""
    role, _, number = seat.rpartition("-")
    if role not in ROLES or not number.isdecimal() or not 1 <= int(number) <= 999:
        return None
    return role, int(number)


def _texts(data: Mapping[str, Any]) -> dict[str, str]:
    """The fields that came with an action."""
    fields = data.get("fields")
    return {str(name): str(value) for name, value in fields.items()} if isinstance(fields, Mapping) else {}
