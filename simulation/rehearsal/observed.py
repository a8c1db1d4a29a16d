"""What a forecast can learn from a rehearsal: how often people erred, and how long they took. For `to_scenario`.

What bots did, or had a hand in, is nobody's. Times are people's own: of the wall's clock, without pauses.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from simulation.rehearsal.chair import ChairSeat
from simulation.rehearsal.desk import Desk
from simulation.rehearsal.event import BOT, Event
from simulation.rules import Status

if TYPE_CHECKING:
    from simulation.rehearsal.room import Room


@dataclass(slots=True)
class Observed:
    """What people (never bots) did, in numbers: what a forecast can learn from. Times are of the wall's clock, ms."""

    worksheets: int = 0  # filled in by people, in precincts of two or more delegates
    wrong_worksheets: int = 0  # other delegates than the rules give, or another final alignment than the room's
    typed_fields: int = 0  # numbers that operators and clerks typed after somebody's voice
    wrong_fields: int = 0
    app_entry_ms: list[int] = field(default_factory=list)  # signed worksheet to result sent, where the app worked
    fallback_ms: list[int] = field(default_factory=list)  # the app's first failure to another way
    handling_ms: list[int] = field(default_factory=list)  # a report by telephone, at an operator's desk

    def as_json(self) -> dict[str, Any]:
        """For `caucus debrief --json`."""
        return {name: getattr(self, name) for name in self.__slots__}


class _Walls:
    """From times of the night's clock to the wall's, by the events that know both; pauses do not count."""

    def __init__(self, log: Sequence[Event]) -> None:
        self.at_ms = [event.at_ms for event in log]  # both only rise
        self.wall_ms = [event.wall_ms for event in log]
        self.pauses: list[tuple[int, int]] = []
        stands: int | None = None
        for event in log:
            if event.kind == "clock":
                does = event.data.get("do")
                if does == "pause" and stands is None:
                    stands = event.wall_ms
                elif does == "run" and stands is not None:
                    self.pauses.append((stands, event.wall_ms))
                    stands = None
        for before, after in pairwise(log):  # a server that was down
            if after.kind == "clock" and after.data.get("do") == "resume":
                self.pauses.append((before.wall_ms, after.wall_ms))

    def between(self, start_ms: int, end_ms: int) -> int | None:
        """How long it took people; None where the log does not tell."""
        before, after = bisect_right(self.at_ms, start_ms) - 1, bisect_left(self.at_ms, end_ms)
        if before < 0 or after == len(self.at_ms) or end_ms < start_ms:
            return None
        start, end = self.wall_ms[before], self.wall_ms[after]
        stood = sum(max(0, min(end, until) - max(start, since)) for since, until in self.pauses)
        return max(0, end - start - stood)


def observed(room: Room, log: Sequence[Event], people: set[str]) -> Observed:
    """What people did in a room, by the seats of theirs and the events that it came from."""
    found, walls = Observed(), _Walls(log)

    def add(times: list[int], start_ms: int | None, end_ms: int | None) -> None:
        took = None if start_ms is None or end_ms is None else walls.between(start_ms, end_ms)
        if took is not None:
            times.append(took)

    for seat in room.seats.values():
        doing = seat.doing
        if seat.id not in people:
            continue
        if isinstance(doing, ChairSeat):
            reporting, precinct = doing.reporting, doing.precinct
            alone = BOT not in seat.actors  # what a bot had a hand in is nobody's
            if alone and doing.worksheet is not None and precinct.delegates >= 2 and "worksheet" not in doing.skipped:
                found.worksheets += 1
                awards = precinct.awards if precinct.status is not Status.NO_AWARD else (precinct.award,)
                award = {group: doing.worksheet.delegates.get(group, 0) for group in precinct.groups}
                final = {group: doing.worksheet.final.get(group, 0) for group in precinct.groups}
                found.wrong_worksheets += award not in [dict(one) for one in awards] or final != dict(precinct.final)
            by_app = next((one.at_ms for one in reporting.reports if one.channel == "app"), None)
            if BOT in seat.did.get("report", ()):
                continue
            if reporting.app_failed_ms is None:
                add(found.app_entry_ms, doing.since_ms.get("report"), by_app)
            add(found.fallback_ms, reporting.app_failed_ms, reporting.other_way_ms)
        elif isinstance(doing, Desk):
            for work in doing.work:
                if work.by == BOT:
                    continue
                found.typed_fields += work.fields
                found.wrong_fields += work.wrong
                if seat.role == "operator" and work.fields:
                    add(found.handling_ms, work.began_ms, work.ended_ms)
    return found
