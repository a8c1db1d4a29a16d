"""The debrief: every score, the timeline, and the three moments to talk about first. A fold of the log like all else.

Nothing is judged here that `score` does not judge; what people needed and how often they erred is counted in
`observed`. Names are those that are still kept.
"""

from __future__ import annotations

import csv
import io
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from statistics import median_low
from typing import TYPE_CHECKING, Any

from simulation.rehearsal import citations
from simulation.rehearsal.chair import LABELS, ChairSeat
from simulation.rehearsal.desk import Desk
from simulation.rehearsal.event import BOT, ROOM, TRAINER, Event
from simulation.rehearsal.figures import differences
from simulation.rehearsal.observed import Observed, observed
from simulation.rehearsal.score import IN_THE_NUMBERS, KINDS, RESULTS, Item, Result, desk_items, score, text
from simulation.rehearsal.seat import Mistake
from simulation.rehearsal.seat import Seat as PrecinctSeat
from simulation.rehearsal.view import Text, say, say_many
from simulation.rehearsal.world import Figures
from simulation.scenario.values import MINUTE, format_clock

if TYPE_CHECKING:
    from simulation.rehearsal.headquarters import Report
    from simulation.rehearsal.room import Room, Seat

RULE = say(
    "First what reached the public wrongly, or never reached headquarters. Then errors in the numbers that nobody "
    "caught. Then errors that were caught, then decisions. Among equals: what happened to most people, then what "
    "happened first. Never two moments of one kind. Where fewer than three things went wrong: how the room got by "
    "without the app, and what took longest."
)

_RELEASED, _UNREPORTED, _UNCAUGHT, _CAUGHT, _DECISION, _WELL = 5, 4, 3, 2, 1, 0  # how grave a moment is
_WHY = {
    _RELEASED: say("It reached the public."),
    _UNREPORTED: say("Headquarters had no valid result."),
    _UNCAUGHT: say("Nobody corrected it."),
    _CAUGHT: say("It was caught, and put right."),
    _DECISION: say("It went against the rules of the evening."),
    _WELL: say("It went well, and it is worth telling how."),
}


@dataclass(frozen=True, slots=True)
class Holder:
    """Somebody who held a seat for a while."""

    person: int
    name: str  # "" where names were deleted
    from_ms: int
    to_ms: int | None  # None: to the end

    def as_json(self) -> dict[str, Any]:
        """For `caucus debrief --json`."""
        until = None if self.to_ms is None else clock(self.to_ms)
        return {"name": self.name, "from": clock(self.from_ms), "to": until}


@dataclass(frozen=True, slots=True)
class SeatScore:
    """One seat's evening."""

    seat: str
    name: str  # whoever acted there, or sits there; "" where nobody did, or where names were deleted
    role: str
    precinct: str
    bot: bool  # nobody but bots ever acted there
    stage: str
    items: tuple[Item, ...]
    mistakes: tuple[Mistake, ...]  # of people, where there were any
    authors: tuple[int, ...] = ()  # whose each mistake is
    holders: tuple[Holder, ...] = ()  # who sat there when, in order: the scores are the seat's, and so all of theirs
    bots_acted: bool = False

    @property
    def shared(self) -> bool:
        """Whether it was more than one person's."""
        return len({one.person for one in self.holders}) > 1

    def as_json(self) -> dict[str, Any]:
        """For `caucus debrief --json`."""
        return {
            "seat": self.seat,
            "name": self.name,
            "role": self.role,
            "precinct": self.precinct,
            "bot": self.bot,
            "stage": self.stage,
            "held_by": [one.as_json() for one in self.holders],
            "scores": [item.as_json() for item in self.items],
            "mistakes": [
                {
                    "kind": one.kind,
                    "stage": one.stage,
                    "at": clock(one.at_ms),
                    "given": text(one.given).english(),
                    "right": text(one.right).english(),
                    "citation": one.citation.english(),
                    "corrected_at": None if one.corrected_ms is None else clock(one.corrected_ms),
                }
                for one in self.mistakes
            ],
        }


@dataclass(frozen=True, slots=True)
class RoomItem:
    """One thing that is scored, over everybody."""

    id: str
    label: Text
    results: Mapping[Result, int]

    @property
    def judged(self) -> int:
        """How many were right, late or wrong."""
        return sum(self.results.get(one, 0) for one in ("right", "late", "wrong"))

    def as_json(self) -> dict[str, Any]:
        """For `caucus debrief --json`."""
        return {
            "id": self.id,
            "label": self.label.english(),
            **{one: self.results.get(one, 0) for one in RESULTS},
            "judged": self.judged,
        }


@dataclass(frozen=True, slots=True)
class Line:
    """Something that happened: a row of the timeline. `seq`: the last event of the log by then, to branch from."""

    at_ms: int
    seq: int
    seat: str  # "room" for what happened to all
    kind: str  # stage, mistake, inject, report, released, app, call, clock, joined
    what: Text

    def as_json(self) -> dict[str, Any]:
        """For `caucus debrief --json`."""
        return {
            "at": clock(self.at_ms),
            "at_ms": self.at_ms,
            "seq": self.seq,
            "seat": self.seat,
            "kind": self.kind,
            "what": self.what.english(),
        }


@dataclass(frozen=True, slots=True)
class Moment:
    """A moment to talk about."""

    at_ms: int
    seq: int  # the last event before it: branch from there
    kind: str
    title: Text
    why: Text
    seats: tuple[str, ...]
    given: Text
    right: Text
    citation: Text
    timeline: tuple[Line, ...]  # what happened around it at the first of those seats

    def as_json(self) -> dict[str, Any]:
        """For `caucus debrief --json`."""
        return {
            "at": clock(self.at_ms),
            "at_ms": self.at_ms,
            "seq": self.seq,
            "kind": self.kind,
            "title": self.title.english(),
            "why": self.why.english(),
            "seats": list(self.seats),
            "given": self.given.english(),
            "right": self.right.english(),
            "citation": self.citation.english(),
            "timeline": [line.as_json() for line in self.timeline],
        }


@dataclass(frozen=True, slots=True)
class Debrief:
    """Everything that is said after a rehearsal."""

    scenario: str
    seed: int
    night: int
    minutes: int
    now_ms: int
    seats: tuple[SeatScore, ...]
    room: tuple[RoomItem, ...]
    figures: Mapping[str, int | None]  # of the room: see `_figures`
    moments: tuple[Moment, ...]  # three at most
    timeline: tuple[Line, ...]
    observed: Observed
    failures: tuple[tuple[int, str, str], ...] = ()  # errors of this program: when, at which seat, what
    names: Mapping[int, str] = field(default_factory=dict)  # of people, as far as they are kept
    held: Mapping[int, tuple[str, ...]] = field(default_factory=dict)  # by person: the seats held, in order

    def of_person(self, person: int) -> tuple[SeatScore, ...]:
        """Somebody's own evening: every seat that he held, under his name, with his mistakes alone."""
        found = []
        for seat in self.held.get(person, ()):
            one = self.of(seat)
            if one is not None:
                own = [(m, author) for m, author in zip(one.mistakes, one.authors, strict=True) if author == person]
                mistakes, authors = tuple(m for m, _ in own), tuple(author for _, author in own)
                name = self.names.get(person, "")
                found.append(replace(one, name=name, mistakes=mistakes, authors=authors))
        return tuple(found)

    def of(self, seat: str) -> SeatScore | None:
        """One seat's evening."""
        return next((one for one in self.seats if one.seat == seat), None)

    def as_json(self) -> dict[str, Any]:
        """Every score, as `caucus debrief --json` prints it."""
        return {
            "scenario": self.scenario,
            "seed": self.seed,
            "night": self.night,
            "minutes": self.minutes,
            "at": clock(self.now_ms),
            "room": {"scores": [item.as_json() for item in self.room], **self.figures},
            "seats": [one.as_json() for one in self.seats],
            "moments": {"rule": RULE.english(), "first": [one.as_json() for one in self.moments]},
            "timeline": [line.as_json() for line in self.timeline],
            "observed": self.observed.as_json(),
            "failures": [{"at": clock(at_ms), "seat": seat, "what": what} for at_ms, seat, what in self.failures],
        }

    def csv(self) -> str:
        """One row for every score of every seat."""
        found = io.StringIO()
        writer = csv.writer(found, lineterminator="\n")
        columns = ("seat", "name", "role", "precinct", "bot", "item", "result", "value", "right", "citation", "because")
        writer.writerow(columns)
        for one in self.seats:
            for item in one.items:
                row = item.as_json()
                cells = (row[name] for name in ("id", "result", "value", "right", "citation", "because"))
                writer.writerow(
                    _plain(cell) for cell in (one.seat, one.name, one.role, one.precinct, int(one.bot), *cells)
                )
        return found.getvalue()


def clock(at_ms: int) -> str:
    """A time of the night's clock, to the second."""
    return format_clock(max(0, at_ms) // 1000 * 1000)


def debrief(room: Room, events: Iterable[Event]) -> Debrief:
    """What is to be said of a room, and of the events that it came from."""
    log = tuple(events)
    held = {person: tuple(dict.fromkeys(stay.seat for stay in room.stays_of(person))) for person in room.people}
    sat = {seat for seats in held.values() for seat in seats}
    people = {seat.id for seat in room.seats.values() if _is_of_people(seat, sat)}
    scores = tuple(_seat_score(room, seat, seat.id not in people) for seat in room.seats.values())
    judged = [one for one in scores if not one.bot] or list(scores)
    lines = _timeline(room, log, people)
    script = room.script
    return Debrief(
        scenario=script.scenario.name,
        seed=script.seed,
        night=script.night,
        minutes=script.minutes,
        now_ms=room.now_ms,
        seats=scores,
        room=_over_everybody(judged),
        figures=_figures(room, judged),
        moments=_moments(room, judged, lines, log),
        timeline=lines,
        observed=observed(room, log, people),
        failures=tuple(room.failures),
        names=dict(room.names),
        held=held,
    )


# Scores


def _is_of_people(seat: Seat, sat: set[str]) -> bool:
    """Whether people had this seat's evening: somebody acted there, or sat there, and no bot played it alone."""
    return any(one != BOT for one in seat.actors) if seat.actors else seat.id in sat


def _mistakes(seat: Seat, bot: bool) -> list[tuple[Mistake, int]]:
    """What counts as a mistake at a seat, and whose it is: a bot's are left out where people took part."""
    authors = [*seat.authors, *[seat.actor] * len(seat.doing.mistakes)]
    pairs = list(zip(seat.doing.mistakes, authors, strict=False))
    return pairs if bot else [(mistake, author) for mistake, author in pairs if author != BOT]


# The part of the evening in which each item is done: where a bot did it, people are not scored for it.
_DONE_IN: Mapping[str, tuple[str, ...]] = {
    "frozen_n": ("freeze",),
    "viability": ("first_alignment", "viability"),
    "delegates": ("delegates",),
    "worksheet_equals_report": ("report",),
    "no_unsigned_change": ("worksheet",),
    "valid_report": ("report",),
    "fallback": ("report",),
}
_DECISIONS = frozenset({"case", "closed_early", "opening"})


def _of_people(seat: Seat, item: Item) -> Item:
    """An item of a seat that a bot and people shared: what the bot did did not come up for the people."""
    if BOT not in seat.actors:
        return item
    stages = _DONE_IN.get(item.id, ())
    did = [seat.did[stage][-1] for stage in stages if stage in seat.did][:1]
    kinds = {"decisions": _DECISIONS, "caught_before_release": IN_THE_NUMBERS}.get(item.id, frozenset())
    made = any(mistake.kind in kinds for mistake, _ in _mistakes(seat, False))
    bots = did == [BOT] or (item.result == "wrong" and bool(kinds) and not made)
    return replace(item, result="none", because=None) if bots and item.result != "open" else item


def _reports(room: Room, seat: str) -> list[Report]:
    return [one for one in room.headquarters.reports if one.seat == seat]


def _seat_score(room: Room, seat: Seat, bot: bool) -> SeatScore:
    doing = seat.doing
    if isinstance(doing, PrecinctSeat):
        items = score(doing, room.now_ms, _reports(room, seat.id))
        if not bot:
            items = tuple(_of_people(seat, item) for item in items)
    else:
        assert isinstance(doing, Desk)
        items = desk_items(
            [one for one in doing.work if bot or one.by != BOT], [one for one, _ in _mistakes(seat, bot)]
        )
    people = tuple(one for one in seat.actors if one > 0)
    named = [room.names.get(one, "") for one in people] or [room.name_of(seat)]
    mistakes = _mistakes(seat, bot)
    return SeatScore(
        seat=seat.id,
        name=", ".join(name for name in named if name),
        role=seat.role,
        precinct=room.precinct_of(seat),
        bot=bot,
        stage=doing.stage,
        items=items,
        mistakes=tuple(mistake for mistake, _ in mistakes),
        authors=tuple(author for _, author in mistakes),
        holders=_holders(room, seat.id),
        bots_acted=BOT in seat.actors,
    )


def _holders(room: Room, seat: str) -> tuple[Holder, ...]:
    found = [
        Holder(person, room.names.get(person, ""), stay.from_ms, stay.to_ms)
        for person in room.people
        for stay in room.stays_of(person)
        if stay.seat == seat
    ]
    return tuple(sorted(found, key=lambda one: one.from_ms))


def _over_everybody(judged: Sequence[SeatScore]) -> tuple[RoomItem, ...]:
    labels: dict[str, Text] = {}
    counts: dict[str, Counter[Result]] = {}
    for one in judged:
        for item in one.items:
            labels.setdefault(item.id, item.label)
            counts.setdefault(item.id, Counter())[item.result] += 1
    return tuple(RoomItem(name, label, dict(counts[name])) for name, label in labels.items())


def _is_wrong(room: Room, report: Report) -> bool:
    """Whether what headquarters holds of a precinct is not what its room did."""
    return bool(_wrong_fields(room, report))


def _wrong_fields(room: Room, report: Report) -> set[str]:
    """The fields in which what headquarters holds of a precinct is not what its room did."""
    seat = room.seats.get(report.seat)
    if seat is None or seat.precinct is None or report.typed is None:
        return set()
    return {name for name, *_ in _slips(report.typed, seat.precinct.figures)}


def _slips(given: Figures, right: Figures) -> list[tuple[str, int, int]]:
    """Where two sets of figures differ, in any group that either of them has."""
    rows = (one for each in (given, right) for one in each.rows().values())
    return differences(given, right, dict.fromkeys(group for row in rows for group in row))


def _figures(room: Room, judged: Sequence[SeatScore]) -> dict[str, int | None]:
    """Of the room: results that headquarters has, released, released wrongly; errors made and caught; minutes."""
    seats = {one.seat for one in judged}
    newest = [one for one in room.headquarters.reports if one.seat in seats and one.state != "replaced"]
    released = [one for one in newest if one.released_ms is not None]
    errors = [
        mistake
        for one in judged
        for mistake in one.mistakes
        if mistake.kind in IN_THE_NUMBERS and mistake.kind != "keying"
    ]
    keyed = sum(one.caught.count("keying") for one in newest)
    keyed_and_left = sum(bool(_slips(one.typed, one.said)) for one in newest if one.typed is not None)
    minutes: list[int] = []
    for one in judged:
        doing = room.seats[one.seat].doing
        if isinstance(doing, ChairSeat) and "report" in doing.since_ms:
            valid = next((item for item in one.items if item.id == "valid_report" and item.result == "right"), None)
            if valid is not None:
                minutes.append(int(valid.value.count))
    return {
        "people": len(seats),
        "reports": len(newest),
        "released": len(released),
        "released_wrong": sum(_is_wrong(room, one) for one in released),
        "errors_in_numbers": len(errors) + keyed + keyed_and_left,
        "errors_caught": sum(mistake.corrected_ms is not None for mistake in errors) + keyed,
        "minutes_to_valid_report_median": median_low(minutes) if minutes else None,
    }


# The timeline


def _timeline(room: Room, log: Sequence[Event], people: set[str]) -> tuple[Line, ...]:
    found: list[Line] = []
    times = [event.at_ms for event in log]  # these only rise: the night's clock goes forward

    def seq_at(at_ms: int) -> int:
        return log[here - 1].seq if (here := bisect_right(times, at_ms)) else 0

    def add(at_ms: int, seat: str, kind: str, what: Text, seq: int | None = None) -> None:
        found.append(Line(at_ms, seq_at(at_ms) if seq is None else seq, seat, kind, what))

    for event in log:
        told = _told(room, event)
        if told is not None:
            add(event.at_ms, event.seat, *told, event.seq)
    for seat in room.seats.values():
        doing = seat.doing
        if seat.id not in people:
            continue
        for one, _ in _mistakes(seat, False):
            what = say(
                "{mistake}: {given} instead of {right}", mistake=KINDS[one.kind], given=one.given, right=one.right
            )
            add(one.at_ms, seat.id, "mistake", what)
            if one.corrected_ms is not None and one.corrected_ms > one.at_ms:
                add(one.corrected_ms, seat.id, "corrected", say("Put right: {mistake}", mistake=KINDS[one.kind]))
        if isinstance(doing, PrecinctSeat):
            for stage, at_ms in doing.since_ms.items():
                if stage not in doing.skipped:
                    add(at_ms, seat.id, "stage", doing.label(stage))
        if isinstance(doing, ChairSeat):
            reporting = doing.reporting
            if reporting.app_failed_ms is not None:
                add(reporting.app_failed_ms, seat.id, "app", say("The app failed"))
            for at_ms in reporting.dialed_ms:
                add(at_ms, seat.id, "call", say("The hotline was called"))
            for report in reporting.reports:
                ways = {
                    "app": say("Reported by app"),
                    "phone": say("Reported by telephone"),
                    "photo": say("A photo was texted"),
                }
                add(report.at_ms, seat.id, "report", ways[report.channel])
            for at_ms in doing.called_back_ms:
                add(at_ms, seat.id, "call", say("Headquarters called back"))
    for held in room.headquarters.reports:
        if held.seat in people and held.released_ms is not None:
            what = say("Released, with an error") if _is_wrong(room, held) else say("Released")
            add(held.released_ms, held.seat, "released", what)
    return tuple(sorted(found, key=lambda line: (line.at_ms, line.seq)))


def _told(room: Room, event: Event) -> tuple[str, Text] | None:
    """An event in the timeline: its kind and what is said, for those that a trainer or the room made."""
    data = event.data
    match event.kind:
        case "inject":
            inject = room.injects.get(str(data.get("id", "")))
            if inject is None:
                return None
            count = len(data.get("targets", ()))
            many = say_many("For {count} seat: {told}", "For {count} seats: {told}", count, told=inject.message)
            return "inject", many
        case "clock":
            told = {
                "run": say("The clock runs"),
                "pause": say("The clock stands"),
                "jump": say("The clock jumps"),
                "resume": say("The server was started again"),
            }.get(str(data.get("do")))
            return None if told is None else ("clock", told)
        case "hold":
            stage = str(data.get("stage") or "")
            held = say("Everybody is held at: {stage}", stage=LABELS[stage]) if stage in LABELS else None
            return "clock", held or say("Everybody goes on")
        case "joined" if not data.get("bot"):
            return "joined", say("Somebody sat down")
        case "ended":
            return "clock", say("The rehearsal is over")
    return None


# The three moments


def _moments(
    room: Room, judged: Sequence[SeatScore], lines: Sequence[Line], log: Sequence[Event]
) -> tuple[Moment, ...]:
    """By `RULE`."""
    wrong_released = {
        one.seat: _wrong_fields(room, one)
        for one in room.headquarters.reports
        if one.state != "replaced" and one.released_ms is not None
    }
    grouped: dict[tuple[str, str], list[tuple[SeatScore, Mistake]]] = {}
    for one in judged:
        for mistake in one.mistakes:
            which = mistake.citation.message if mistake.kind == "case" else ""
            grouped.setdefault((mistake.kind, which), []).append((one, mistake))
    rated: list[tuple[tuple[int, int, int], str, list[tuple[SeatScore, Mistake]]]] = []
    for (kind, _), met in grouped.items():
        grave = max(_gravity(one, mistake, wrong_released) for one, mistake in met)
        seats = {one.seat for one, _ in met}
        rated.append(((-grave, -len(seats), min(mistake.at_ms for _, mistake in met)), kind, met))
    rated += _without_mistake(room, judged)
    rated.sort(key=lambda one: (one[0], one[1]))
    found: list[Moment] = []
    for (grave, _, _), kind, met in rated:
        if len(found) < 3 and all(kind != one.kind for one in found):
            gravest = [pair for pair in met if kind not in KINDS or _gravity(*pair, wrong_released) == -grave]
            found.append(_moment(kind, -grave, met, gravest, lines, log))
    return tuple(found)


# What a mistake changes in a result: beginnings of fields' names. What is not here changes nothing by itself.
_TOUCHES: Mapping[str, tuple[str, ...]] = {
    "count": ("attendees",),
    "frozen_n": ("attendees",),
    "first_counts": ("first.",),
    "final_counts": ("final.",),
    "toss": ("delegates.",),
    "delegates": ("delegates.",),
    "refused": ("delegates.",),
    "worksheet_copy": ("",),
    "report_differs": ("",),
}


def _gravity(one: SeatScore, mistake: Mistake, wrong_released: Mapping[str, set[str]]) -> int:
    uncaught = mistake.corrected_ms is None
    if mistake.kind in IN_THE_NUMBERS and uncaught:
        touched = _TOUCHES.get(mistake.kind)
        public = touched is not None and any(name.startswith(touched) for name in wrong_released.get(one.seat, ()))
        return _RELEASED if public else _UNCAUGHT
    if mistake.kind in {"released"}:
        return _RELEASED
    if mistake.kind in {"went_home", "hung_up"} and uncaught:
        return _UNREPORTED
    if mistake.kind in {"unsigned", "unsigned_change"} and uncaught:
        return _UNCAUGHT
    return _CAUGHT if mistake.kind in IN_THE_NUMBERS else _DECISION


def _without_mistake(
    room: Room, judged: Sequence[SeatScore]
) -> list[tuple[tuple[int, int, int], str, list[tuple[SeatScore, Mistake]]]]:
    """Moments that are nobody's single answer: another way not taken, a report that the app lost."""
    found: list[tuple[tuple[int, int, int], str, list[tuple[SeatScore, Mistake]]]] = []
    fallback: list[tuple[SeatScore, Mistake]] = []
    lost: list[tuple[SeatScore, Mistake]] = []
    well: list[tuple[SeatScore, Mistake]] = []
    for one in judged:
        doing = room.seats[one.seat].doing
        if not isinstance(doing, ChairSeat):
            continue
        failed_ms = doing.reporting.app_failed_ms
        item = next(item for item in one.items if item.id == "fallback")
        if failed_ms is not None and item.result in {"wrong", "late", "right"}:
            (well if item.result == "right" else fallback).append(
                (one, Mistake("fallback", "report", failed_ms, item.value, item.right, item.citation))
            )
        reports = doing.reporting.reports
        if reports and not any(report.arrived for report in reports):
            given = say("the app said thank you")
            wanted = say("a report that headquarters has")
            item = next(item for item in one.items if item.id == "valid_report")
            lost.append((one, Mistake("lost", "report", reports[0].at_ms, given, wanted, item.citation)))
    for kind, met in (("fallback", fallback), ("lost", lost)):
        if met:
            grave = _CAUGHT if kind == "fallback" and all(_reported(one) for one, _ in met) else _UNREPORTED
            found.append(((-grave, -len(met), min(mistake.at_ms for _, mistake in met)), kind, met))
    for kind, met in (("app_failed", well), ("longest", _longest(room, judged))):
        if met:
            found.append(((_WELL, -len(met), min(mistake.at_ms for _, mistake in met)), kind, met))
    return found


def _longest(room: Room, judged: Sequence[SeatScore]) -> list[tuple[SeatScore, Mistake]]:
    """The part of the evening that took somebody longest, reporting and the doors apart: those wait for others."""
    longest: tuple[int, SeatScore, Mistake] | None = None
    for one in judged:
        doing = room.seats[one.seat].doing
        if not isinstance(doing, ChairSeat):
            continue
        begun = sorted((at_ms, stage) for stage, at_ms in doing.since_ms.items() if stage not in doing.skipped)
        for (since, stage), (until, _) in pairwise(begun):
            if stage in {"doors", "report", "done"} or (longest is not None and until - since <= longest[0]):
                continue
            minutes = say_many("{count} minute", "{count} minutes", (until - since) // MINUTE)
            given = say("{stage}: {minutes}", stage=doing.label(stage), minutes=minutes)
            mistake = Mistake("longest", stage, since, given, say("as long as it takes"), citations.CALM)
            longest = until - since, one, mistake
    return [] if longest is None else [longest[1:]]


def _reported(one: SeatScore) -> bool:
    return any(item.id == "valid_report" and item.result == "right" for item in one.items)


_TITLES: Mapping[str, Text] = {
    **KINDS,
    "fallback": say("The app failed, and another way came late or never"),
    "app_failed": say("The app failed, and another way was taken in time"),
    "longest": say("What took longest"),
    "lost": say("The app said thank you, and headquarters had nothing"),
}


def _why(kind: str, grave: int, one: SeatScore, mistake: Mistake) -> Text:
    if kind == "longest":
        return say("It took more time than anything else.")
    if grave == _CAUGHT and mistake.corrected_ms is not None and mistake.corrected_ms > mistake.at_ms:
        return say("Put right at {time}.", time=clock(mistake.corrected_ms))
    if kind == "viable_groups" and grave == _UNCAUGHT and one.stage != "first_alignment":
        return say("The chair insisted, and the county party had to rule.")
    return _WHY[grave]


def _moment(
    kind: str,
    grave: int,
    met: Sequence[tuple[SeatScore, Mistake]],
    gravest: Sequence[tuple[SeatScore, Mistake]],  # of these: one of them is quoted
    lines: Sequence[Line],
    log: Sequence[Event],
) -> Moment:
    one, mistake = min(gravest, key=lambda pair: (pair[1].at_ms, pair[0].seat))
    around = [
        line
        for line in lines
        if line.seat in {one.seat, ROOM, TRAINER} and abs(line.at_ms - mistake.at_ms) <= 15 * MINUTE
    ]
    acts = [event.seq for event in log if event.seat == one.seat and event.at_ms >= mistake.at_ms]
    seq = min(acts, default=1 + max((event.seq for event in log if event.at_ms < mistake.at_ms), default=0)) - 1
    return Moment(
        at_ms=mistake.at_ms,
        seq=seq,
        kind=kind,
        title=_TITLES[kind],
        why=_why(kind, grave, one, mistake),
        seats=tuple(dict.fromkeys(score_of.seat for score_of, _ in met)),
        given=text(mistake.given),
        right=text(mistake.right),
        citation=mistake.citation,
        timeline=tuple(around),
    )


def _plain(cell: object) -> object:
    """A cell that no spreadsheet takes for a formula: names are typed by whoever joins."""
    return f"'{cell}" if isinstance(cell, str) and cell[:1] in {"=", "+", "-", "@", "\t", "\r"} else cell
