"""A rehearsal that runs: its log, its room, the wall clock and a lock. What pages and commands talk to.

`do` stores an event and lets it happen; `tick` lets the night go on. Knows nothing of HTTP.
"""

from __future__ import annotations

import base64
import glob
import hashlib
import hmac
import logging
import secrets
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simulation.errors import InputError
from simulation.rehearsal import bots
from simulation.rehearsal.event import ROOM, TRAINER, Event
from simulation.rehearsal.injects import AT_A_PRECINCT
from simulation.rehearsal.log import Log, wall_now_ms
from simulation.rehearsal.room import AIDS, BoardRow, LobbyRow, Room
from simulation.rehearsal.view import SeatView, Step, Text, say
from simulation.scenario.inject import ROLES

if TYPE_CHECKING:
    from simulation.night.setting import Setting
    from simulation.rehearsal.script import Script
    from simulation.scenario import Scenario

_LOGGER = logging.getLogger(__name__)

CODE_LETTERS = "ABCDEFGHJKMNPQRSTUVWXYZ23456789"  # without look-alikes: no I, L, O, 0, 1
CODE_LENGTH = 6
LONGEST_NAME = 60
MOST_PEOPLE = 250
_HEARTBEAT_MS = 1_000
_LATER_MS = 90 * 60_000  # after the call to order, homework at a desk begins: by then half of the chairs are ready
_REPORTING = 150  # bots whose reports a clerk or reviewer alone works on
_MOST_FIELDS, _LONGEST_FIELD, _LONGEST_KEY = 100, 2_000, 64
_KINDS = frozenset(
    {
        *("acted", "hand", "connected", "disconnected", "clock", "hold", "aids", "inject", "hotline", "door"),
        *("reassigned", "left", "bot", "ended", "joined"),
    }
)


@dataclass(frozen=True, slots=True)
class Changes:
    """What may look different now."""

    seats: frozenset[str] = field(default_factory=frozenset)
    board: bool = False
    clock: bool = False  # run, pause, speed, jump, hold, aids, end: more than the time going on

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(self.seats) or self.board or self.clock


@dataclass(frozen=True, slots=True)
class Joined:
    """A person's place: `token` reaches it, and no other."""

    person: int
    seat: str
    token: str


class Rehearsal:
    """One rehearsal, live. Restart it by making another on the same log. Safe to call from several threads."""

    def __init__(
        self, log: Log, *, now: Callable[[], int] | None = None, night: tuple[Scenario, Script, Setting] | None = None
    ) -> None:
        """Go on with what the log holds, which was begun by `begin`.

        `now`: ms since the epoch, for tests. `night`: what the log says, where that was worked out already.
        """
        if not log.begun:
            raise InputError(f"{log.where}: no rehearsal stands in this file")
        self.log = log
        log.hold()
        settings = log.settings
        self.scenario, self.script, self._setting = (
            night if night is not None else _night(_scenario(settings), settings)
        )
        self.language = str(settings.get("language", "en"))
        self.solo = bool(settings.get("solo", False))
        self.title = self.scenario.spec.title
        self.names: dict[int, str] = log.names()
        self.events: list[Event] = []  # all of them, in order
        self.room = self.replay()
        self.join_code = _letters(log.secret, "join code")
        self.trainer_token = _token(log.secret, "trainer")
        self.projector_token = _token(log.secret, "projector")
        self._now = now if now is not None else _steady_clock()
        self._lock = threading.RLock()
        self._keys: set[str] = set()
        self._tokens: dict[str, int] = {}
        self._watchers: list[Callable[[Changes], None]] = []
        self._shown: dict[str, tuple[Step, ...]] = {}
        self._last_alive = 0
        self._board_changed = self._clock_changed = False
        self._failures_told = 0
        for event in log.read():
            self._happens(event)
        if self.events:
            until = self.room.clock.target_ms(max(log.last_alive_ms(), self.events[-1].wall_ms))
            self._store([("clock", ROOM, {"do": "resume", "to_ms": until})])
        self._changes()

    @classmethod
    def begin(
        cls,
        where: str | Path,
        scenario: Scenario,
        *,
        seed: int = 1,
        night: int = 0,
        minutes: int = 45,
        speed: float | None = None,
        bots: int = 0,
        solo: bool = False,
        language: str = "en",
        base: str = "",
        now: Callable[[], int] | None = None,
    ) -> Rehearsal:
        """A new rehearsal, its log in a file (or at a PostgreSQL URL). `base`: how the user named the scenario."""
        log = Log(where)
        if log.begun:
            log.close()
            raise InputError(f"{log.where}: a rehearsal stands there already")
        settings = _settings(scenario, seed, night)
        settings |= {"minutes": minutes, "language": language, "solo": solo, "bots": bots, "base": base}
        prepared = _night(scenario, settings)  # an InputError is due before anything is written
        log.begin(settings, now() if now is not None else wall_now_ms())
        found = cls(log, now=now, night=prepared)
        chairs = [f"chair-{number}" for number in range(1, len(found.script.sites) + 1)]
        others = [f"{role}-1" for role in ROLES if role != "chair"]
        first: list[tuple[str, str, dict[str, Any]]] = [
            ("joined", seat, {"bot": True}) for seat in [*chairs, *others][:bots]
        ]
        if speed is not None:
            first.append(("clock", ROOM, {"do": "speed", "speed": speed}))
        found._store(first)
        return found

    # People and their links

    def join(self, code: str, name: str, role: str = "chair") -> Joined | Text:
        """Somebody comes in; or why not. Whoever comes late takes a bot's seat, or catches up with the others."""
        given = "".join(code.split()).upper().encode("utf-8", "replace")
        if not hmac.compare_digest(given, self.join_code.encode()):
            return say("This is not the code of the rehearsal.")
        name = " ".join("".join(letter if letter.isprintable() else " " for letter in name).split())[:LONGEST_NAME]
        if not name:
            return say("Please type a name.")
        with self._lock:
            self._go_on(20)
            room = self.room
            if room.ended:
                return say("The rehearsal is over.")
            if not room.door_open:
                return say("The trainer has closed the door: nobody new can join now.")
            if sum(person.left_wall_ms is None for person in room.people.values()) >= MOST_PEOPLE:
                return say("The room is full.")
            seat = room.place_for(role if role in ROLES else "chair")
            if not seat:
                return say("The room is full.")
            person = room.newest_person + 1
            data: dict[str, Any] = {"person": person}
            if stage := room.catch_up_at(seat):
                data["catch_up"] = stage
            self.log.name(person, name)
            self.names[person] = name
            self._store([("joined", seat, data)])
            if self.solo and not room.clock.started:
                self._store(self._homework(room.seats[seat].role))
                self._go_on(10_000)  # nobody else waits
        self._tell()
        return Joined(person, seat, self.token_of(person))

    def token_of(self, person: int) -> str:
        """The token of a person's page; it stays the same when the person is moved to another seat."""
        token = _token(self.log.secret, f"person {person}")
        self._tokens[token] = person
        return token

    def seat_of(self, token: str) -> str | None:
        """The seat that a token reaches now; None for a token that reaches none (never was one, or has left)."""
        with self._lock:
            if token not in self._tokens:
                for person in self.room.people:
                    self.token_of(person)
            person = self._tokens.get(token, 0)
            there = self.room.people.get(person)
            return there.seat or None if there is not None else None

    def person_of(self, token: str) -> int | None:
        """Whose token this is, whether or not he has left since: for his own page of the debrief; None for nobody's."""
        with self._lock:
            self.seat_of(token)
            person = self._tokens.get(token, 0)
            return person if person in self.room.people else None

    def is_trainer(self, token: str) -> bool:
        """Whether this is the trainer's token; several devices may use it at once."""
        return hmac.compare_digest(token.encode("utf-8", "replace"), self.trainer_token.encode())

    def is_projector(self, token: str) -> bool:
        """Whether this is the projector's."""
        return hmac.compare_digest(token.encode("utf-8", "replace"), self.projector_token.encode())

    # What happens

    def do(self, kind: str, seat: str, data: Mapping[str, Any], key: str = "") -> Text | None:
        """Store an event and let it happen; or say why not.

        `key` is made by the client, unique to an action: the same key again changes nothing (sent again after a
        connection broke). Kinds and their data:
          acted {action, fields, step}   a seat, or TRAINER at the trainer's own telephone
          hand {raised}   connected {}   disconnected {}
          clock {do: run|pause|speed|jump, speed?, to_ms?}   hold {stage}: "" lets go   aids {aids: [...]}   (ROOM)
          inject {id, seats?: [...], share?: percent}   (ROOM)   hotline {simulated: bool}   (ROOM)
          door {open: bool}: whether new people may join   (ROOM)
          reassigned {to: "operator-1"}   left {}   bot {on}   ended {}   (ROOM)
        """
        if kind not in _KINDS or kind == "joined":
            return say("This cannot be done.")
        if len(key) > _LONGEST_KEY:
            key = hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()
        with self._lock:
            name = f"{seat} {key}"
            if key and name in self._keys:
                return None
            self._go_on(20)
            try:
                clean = self._cleaned(kind, data)
            except (KeyError, TypeError, ValueError):
                return say("This cannot be done.")
            refusal = self.room.refusal(kind, seat, clean)
            if refusal is not None:
                return refusal
            if key:
                clean["key"] = key
            self._store([(kind, seat, clean)])
        self._tell()
        return None

    def has_done(self, seat: str, key: str) -> bool:
        """Whether an action was done on a seat already: its page asks again where it did not hear of it."""
        return f"{seat} {key}" in self._keys

    def tick(self, budget_ms: int = 50) -> Changes:
        """Let the night go on to where the clock is, for no longer than a budget; call it four times a second."""
        with self._lock:
            stepped = self._go_on(budget_ms)
            wall = self._now()
            if wall - self._last_alive >= _HEARTBEAT_MS:
                left = self.log.names_left
                self.log.alive(wall)
                self._board_changed |= left != self.log.names_left
                self._last_alive = wall
            if stepped:
                self._board_changed = True
                self._compare_views()
            if self.solo and not self.room.ended and self._everybody_is_done():
                self._store([("ended", ROOM, {})])
        return self._tell()

    def subscribe(self, callback: Callable[[Changes], None]) -> Callable[[], None]:
        """Be called, inside the thread that caused them, with changes; what comes back ends it."""
        self._watchers.append(callback)
        return lambda: self._watchers.remove(callback) if callback in self._watchers else None

    # What is shown

    def view(self, seat: str) -> SeatView:
        """A person's page."""
        with self._lock:
            return self.room.seat_view(seat)

    def board(self) -> tuple[BoardRow, ...]:
        """The trainer's board."""
        with self._lock:
            return self.room.board()

    def trainer_steps(self) -> tuple[Step, ...]:
        """The trainer's own telephone at the hotline: acts as seat TRAINER."""
        with self._lock:
            return self.room.trainers_desk.steps(self.room.now_ms, self.room, self.room.aids)

    def attendance(self) -> tuple[LobbyRow, ...]:
        """Who was there."""
        with self._lock:
            return self.room.lobby

    def delete_names(self) -> Text | None:
        """Forget who was there; or say why something of it may still lie in the file."""
        with self._lock:
            self.log.delete_names()
            self.names.clear()
            self.room.touched.update(self.room.seats)
            self._board_changed = True
        self._tell()
        return self.names_left

    @property
    def names_left(self) -> Text | None:
        """What is said while deleted names may still lie in the file."""
        if not self.log.names_left:
            return None
        return say(
            "The names are gone from every page, but another program reads {file}: they may still lie in there. Close "
            "that program; this server tries again every second.",
            file=self.log.shown,
        )

    # The past

    def replay(self) -> Room:
        """The room as it was before anybody came; apply `events` to it one by one."""
        return Room(self.script, self._setting, names=self.names)

    def branch(self, seq: int, where: str | Path = "") -> Rehearsal:
        """A new rehearsal that begins as this one did up to an event; its seats are empty, and its clock stands.

        Its log lies beside this one's, from where `branches` brings it back.
        """
        folder, start = _beside(self.log.where)
        log = Log(where or folder / f"{start}{secrets.token_hex(3)}.sqlite")
        if log.begun:
            log.close()
            raise InputError(f"{log.where}: a rehearsal stands there already")
        with self._lock:
            upto = [event for event in self.events if event.seq <= seq]
        wall = self._now()
        last = upto[-1] if upto else Event(0, wall, self.script.begins_ms, "", ROOM, {})
        gone = self.replay()
        for event in upto:
            gone.apply(event)
        after: list[tuple[str, str, dict[str, Any]]] = [("clock", ROOM, {"do": "pause"})]
        if not gone.door_open:
            after.append(("door", ROOM, {"open": True}))
        after.append(("branched", ROOM, {}))
        added = [
            Event(last.seq + 1 + i, last.wall_ms, last.at_ms, kind, seat, data)
            for i, (kind, seat, data) in enumerate(after)
        ]
        try:
            log.begin({**self.log.settings, "branched_from": {"seq": seq, "made_ms": self.log.made_ms}}, wall)
            log.append([*upto, *added])
        except BaseException:
            log.close()
            raise
        return self._of_this_night(log)

    def branches(self) -> Iterator[Rehearsal]:
        """Those that were branched from this one, or from one of those, oldest first; none that another server runs."""
        folder, start = _beside(self.log.where)
        logs = []
        for file in folder.glob(f"{glob.escape(start)}*.sqlite"):
            try:
                logs.append(Log(file))
            except InputError as error:
                _LOGGER.warning("%s", error)
        known = {self.log.made_ms}
        for log in sorted(logs, key=lambda log: (log.made_ms, len(log.where))):
            if log.settings.get("branched_from", {}).get("made_ms") not in known:
                log.close()
                continue
            if not log.seq:  # its events are written at once
                _LOGGER.warning("%s: the server ended before this branch was made; it is left out", log.shown)
                log.close()
                continue
            known.add(log.made_ms)
            try:
                yield self._of_this_night(log)
            except InputError as error:
                _LOGGER.warning("%s", error)

    def branched_from(self, other: Rehearsal) -> int | None:
        """The moment of the night at which this one left another; None where it never was the other."""
        if self.log.settings.get("branched_from", {}).get("made_ms") != other.log.made_ms:
            return None
        return max(event.at_ms for event in self.events if event.kind == "branched")

    def _of_this_night(self, log: Log) -> Rehearsal:
        try:
            return Rehearsal(log, now=self._now, night=(self.scenario, self.script, self._setting))
        except BaseException:
            log.close()
            raise

    def close(self) -> None:
        """Let go of the log."""
        with self._lock:
            self.log.alive(self._now())
            self.log.close()

    # Inside

    def _go_on(self, budget_ms: int) -> bool:
        """Play up to the clock, as far as the budget goes. Whether a step of the night was taken."""
        room, stepped = self.room, False
        deadline = time.perf_counter() + budget_ms / 1000
        target = min(room.clock.target_ms(self._now()), self._setting.until)
        while room.next_step_ms() <= target and not room.ended:
            if stepped and time.perf_counter() > deadline:
                return True
            room.advance(room.next_step_ms())
            stepped = True
            self._store([*room.due(), *bots.due(room)])
            self._tell_failures()
            target = min(target, room.clock.target_ms(self._now()))
        if target > room.now_ms and not room.ended:
            room.advance(target)
        return stepped

    def _store(self, happenings: Sequence[tuple[str, str, dict[str, Any]]]) -> None:
        """Write events down, then let them happen."""
        if not happenings:
            return
        wall = self._now()
        if self.events:
            wall = max(wall, self.events[-1].wall_ms)
        first = self.log.seq + 1
        events = [
            Event(first + i, wall, self.room.now_ms, kind, seat, data)
            for i, (kind, seat, data) in enumerate(happenings)
        ]
        self.log.append(events)
        for event in events:
            self._happens(event)
        self._tell_failures()

    def _tell_failures(self) -> None:
        """What went wrong in this program goes into the log, and the trainer sees it."""
        new = self.room.failures[self._failures_told :]
        if new:
            self._store([("failed", seat, {"what": what[:_LONGEST_FIELD]}) for _, seat, what in new])

    def _happens(self, event: Event) -> None:
        self.events.append(event)
        key = event.data.get("key")
        if key:
            self._keys.add(f"{event.seat} {key}")
        self.room.apply(event)
        self._failures_told += event.kind == "failed"
        self._board_changed = True
        self._clock_changed |= event.kind in ("clock", "hold", "aids", "ended", "hotline")

    def _cleaned(self, kind: str, data: Mapping[str, Any]) -> dict[str, Any]:
        """The data of an event, without anything that does not belong there."""
        match kind:
            case "acted":
                fields = dict(data.get("fields") or {})
                if len(fields) > _MOST_FIELDS:
                    raise ValueError
                texts = {_name(name): str(value)[:_LONGEST_FIELD] for name, value in fields.items()}
                found = {"action": _name(data["action"]), "fields": texts}
                return found | ({"step": _name(data["step"])} if data.get("step") else {})
            case "hand":
                return {"raised": bool(data["raised"])}
            case "clock":
                does = str(data["do"])
                if does not in ("run", "pause", "speed", "jump"):
                    raise ValueError
                extra = {"speed": ("speed", float), "jump": ("to_ms", int)}.get(does)
                return {"do": does} | ({extra[0]: extra[1](data[extra[0]])} if extra else {})
            case "hold":
                return {"stage": str(data.get("stage") or "")}
            case "aids":
                return {"aids": [aid for aid in AIDS if aid in data["aids"]]}
            case "door":
                return {"open": bool(data["open"])}
            case "hotline":
                return {"simulated": bool(data["simulated"])}
            case "inject":
                inject = self.room.injects.get(str(data["id"]))
                if inject is None:
                    return {"id": str(data["id"])[:_LONGEST_KEY]}
                seats = [str(seat) for seat in data.get("seats") or ()]
                share = data.get("share")
                targets = self.room.targets(inject, seats, None if share in (None, "") else int(share))
                return {"id": inject.id, "targets": list(targets)}
            case "reassigned":
                return {"to": str(data["to"])[:_LONGEST_KEY]}
            case "bot":
                return {"on": bool(data.get("on", True))}
            case _:
                return {}

    def _compare_views(self) -> None:
        """Find the pages that time alone has changed."""
        room = self.room
        for seat in room.seats.values():
            if seat.devices == 0 or seat.id in room.touched:
                continue
            steps = room.seat_view(seat.id).steps
            if self._shown.get(seat.id) != steps:
                self._shown[seat.id] = steps
                room.touched.add(seat.id)

    def _everybody_is_done(self) -> bool:
        people = [seat for seat in self.room.seats.values() if seat.person is not None]
        tonight = self.script
        over_ms = tonight.call_to_order_ms + _LATER_MS + tonight.ends_ms - tonight.begins_ms  # of homework at a desk
        shift_over = self.room.now_ms >= over_ms
        return bool(people) and all(
            self.room.is_done(seat) or (shift_over and seat.role not in AT_A_PRECINCT) for seat in people
        )

    def _homework(self, role: str) -> list[tuple[str, str, dict[str, Any]]]:
        """What begins when somebody comes alone: for a desk later in the evening, when there is work for it."""
        found: list[tuple[str, str, dict[str, Any]]] = [("clock", ROOM, {"do": "run"})]
        if role in AT_A_PRECINCT:
            return found
        if role != "operator" and not any(seat.role == "chair" for seat in self.room.seats.values()):
            chairs = range(1, min(_REPORTING, len(self.script.sites)) + 1)
            seats = [f"chair-{number}" for number in chairs] + (["entry-1"] if role == "reviewer" else [])
            found += [("joined", seat, {"bot": True}) for seat in seats]
        return [*found, ("clock", ROOM, {"do": "jump", "to_ms": self.script.call_to_order_ms + _LATER_MS})]

    def _changes(self) -> Changes:
        with self._lock:
            seats = frozenset(self.room.touched & self.room.seats.keys())
            found = Changes(seats, self._board_changed or TRAINER in self.room.touched, self._clock_changed)
            self.room.touched.clear()
            self._board_changed = self._clock_changed = False
        return found

    def _tell(self) -> Changes:
        found = self._changes()
        if found:
            for callback in tuple(self._watchers):
                callback(found)
        return found


@contextmanager
def read_only(where: str | Path) -> Iterator[tuple[Room, list[Event], Log]]:
    """The room at the end of a log, its events and the log: for a debrief without a server."""
    if "://" not in str(where) and not Path(where).is_file():
        raise InputError(f"{where}: no such file")
    log = Log(where)
    try:
        if not log.begun:
            raise InputError(f"{where}: no rehearsal stands in this file")
        _, script, setting = _night(_scenario(log.settings), log.settings)
        room = Room(script, setting, names=log.names())
        events = list(log.read())
        for event in events:
            room.apply(event)
        yield room, events, log
    finally:
        log.close()


def _beside(where: str) -> tuple[Path, str]:
    """Where a rehearsal's branches are kept, and how their files' names begin."""
    return (Path("runs"), "branch-") if "://" in where else (Path(where).parent, f"{Path(where).stem}-branch-")


def _settings(scenario: Scenario, seed: int, night: int) -> dict[str, Any]:
    """All that a night depends on, as JSON can hold it: the file alone brings a rehearsal back."""
    from simulation.experiment.run_file import run_table, run_text, uses_roster_file

    text = run_text(scenario, run_table(scenario, seed, 1, False, "compiled"))
    roster = scenario.roster.csv() if uses_roster_file(scenario) else None
    return {"scenario": text, "roster": roster, "name": scenario.name, "seed": seed, "night": night}


def _scenario(settings: Mapping[str, Any]) -> Scenario:
    from simulation.experiment.run_file import ROSTER_FILE
    from simulation.scenario import load

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "rehearsed.toml")
        file.write_text(settings["scenario"], encoding="utf-8")
        if settings["roster"] is not None:
            Path(folder, ROSTER_FILE).write_text(settings["roster"], encoding="utf-8", newline="")
        scenario = load(file)
        _ = scenario.roster  # while the folder is there
    return scenario


def _night(scenario: Scenario, settings: Mapping[str, Any]) -> tuple[Scenario, Script, Setting]:
    from simulation.night import Luck
    from simulation.night.setting import Setting
    from simulation.rehearsal.script import script

    seed, night = int(settings["seed"]), int(settings["night"])
    found = script(scenario, seed, night, int(settings["minutes"]))
    return scenario, found, Setting(scenario, Luck(seed, night, scenario.spec.clock.resolution))


def _name(given: object) -> str:
    """A name that comes up again and again: kept once, however many events have it."""
    return sys.intern(str(given)[:_LONGEST_FIELD])


def _token(secret: str, whose: str) -> str:
    digest = hmac.digest(secret.encode(), whose.encode(), "sha256")
    return base64.urlsafe_b64encode(digest[:24]).decode()


def _letters(secret: str, whose: str) -> str:
    digest = int.from_bytes(hmac.digest(secret.encode(), whose.encode(), "sha256"), "big")
    found = []
    for _ in range(CODE_LENGTH):
        digest, letter = divmod(digest, len(CODE_LETTERS))
        found.append(CODE_LETTERS[letter])
    return "".join(found)


def _steady_clock() -> Callable[[], int]:
    """The time since the epoch, which somebody who sets the computer's clock does not change."""
    epoch, start = wall_now_ms(), time.monotonic()
    return lambda: epoch + int((time.monotonic() - start) * 1000)
