"""Headquarters, as far as the room's own precincts go: what came in, what was typed, what was caught, what is released.

Reports of the simulated rest stay in the model. Checks are those of `simulation.rules.record` on figures as typed.
Knows nothing of how a report is spoken or shown.
"""

# ruff: noqa: ARG002  # who hears of an inject is told all of it

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from simpy import Event as SimPyEvent

from simulation.night.order import Channel, Rank, Stream
from simulation.rehearsal.figures import codes, keyed, same
from simulation.rehearsal.world import Figures

if TYPE_CHECKING:
    from simulation.rehearsal.room import Room

Via = Literal["app", "phone", "photo"]
State = Literal["to type", "to key again", "in review", "returned", "released", "replaced"]


@dataclass(slots=True)
class Report:
    """One report of a precinct of the room, from its arrival to its release."""

    number: int  # in the order of arrival
    seat: str
    site: int
    via: Via
    at_ms: int
    said: Figures  # what the chair sent, said or photographed
    typed: Figures | None  # what headquarters holds
    operator: str = ""  # who typed it: a seat's id, "" for the chair himself or a simulated one
    again: Figures | None = None  # keyed a second time
    clerk: str = ""
    state: State = "to type"
    codes: tuple[str, ...] = ()  # findings of the checks: keys of `rules.record.KINDS`, and "attendance"
    differs: bool = False  # the two entries do
    reviewer: str = ""
    caught: list[str] = field(default_factory=list)  # what was put right before release
    released_ms: int | None = None
    called_back: bool = False
    being_read: bool = False  # by a simulated reader
    being_reviewed: bool = False  # by a simulated reviewer


class Headquarters:
    """Reports of the room's precincts. `reports` holds all of them in the order of arrival."""

    def __init__(self, room: Room) -> None:
        self.room = room
        self.reports: list[Report] = []

    def affected(self, effect: str, data: Mapping[str, Any], seats: Sequence[str], at_ms: int) -> None:
        """An inject at headquarters: a chair is called for a result that is held already, or corrected wrongly."""
        if effect == "wrong_correction":
            for seat in seats:
                report = self.last_of(seat)
                if report is not None and report.typed is not None and report.typed.delegates:
                    awarded = dict(report.typed.delegates)
                    largest = max(sorted(awarded), key=lambda group: awarded[group])
                    awarded[largest] += 1
                    report.typed = Figures(
                        report.typed.attendees, report.typed.first_alignment, report.typed.final, awarded
                    )
                    report.codes = self.codes(report)

    def last_of(self, seat: str) -> Report | None:
        """The report of a seat that counts."""
        return next((one for one in reversed(self.reports) if one.seat == seat and one.state != "replaced"), None)

    def waiting(self, state: State) -> list[Report]:
        """Reports that wait for somebody, the oldest first."""
        return [one for one in self.reports if one.state == state]

    # Arrivals

    def by_app(self, seat: str, site: int, figures: Figures) -> None:
        """The chair typed it himself."""
        self._arrives(seat, site, "app", figures, figures, "")

    def by_phone(self, seat: str, site: int, said: Figures) -> None:
        """A simulated operator wrote down what he heard, with the night's errors."""
        self._arrives(seat, site, "phone", said, keyed(self.room.setting, site, said, Channel.PHONE), "")

    def by_operator(self, seat: str, site: int, said: Figures, typed: Figures, operator: str) -> None:
        """An operator at a desk of the room wrote down what he heard."""
        self._arrives(seat, site, "phone", said, typed, operator)

    def by_photo(self, seat: str, site: int, figures: Figures) -> bool:
        """A photo of the worksheet; False where nobody was given a number for that."""
        office = self.room.setting.office
        if not (office.to_inbox and office.readers):
            return False
        report = self._arrives(seat, site, "photo", figures, None, "")
        if not self._staffed("entry"):
            self._read(report)
        return True

    def staff_changed(self) -> None:
        """Somebody has come to a desk or left it: what waits for people where nobody sits any more goes on without."""
        if not self._staffed("entry"):
            for report in self.waiting("to type"):
                self._read(report)
            for report in self.waiting("to key again"):
                self._check(report)
        if not self._staffed("reviewer"):
            for report in self.waiting("in review"):
                self._review(report)
        self._tell_desks()

    def _read(self, report: Report) -> None:
        """Hand a photo to a simulated reader, unless one has it."""
        if not report.being_read:
            report.being_read = True
            self.room.hotline.clock.process(self._is_read(report))

    def _review(self, report: Report) -> None:
        """Hand a report to a simulated reviewer, unless one has it."""
        if not report.being_reviewed:
            report.being_reviewed = True
            self.room.hotline.clock.process(self._is_reviewed(report))

    def _arrives(self, seat: str, site: int, via: Via, said: Figures, typed: Figures | None, operator: str) -> Report:
        before = self.last_of(seat)
        if before is not None:
            before.state = "replaced"
        report = Report(len(self.reports) + 1, seat, site, via, self.room.now_ms, said, typed, operator)
        self.reports.append(report)
        received = self.room.hotline.rest.headquarters.received_at
        if received[site] < 0:
            received[site] = self.room.now_ms
        if typed is not None:
            self._is_typed(report)
        self._tell_desks()
        return report

    def _is_read(self, report: Report) -> Generator[SimPyEvent, object, None]:
        """A simulated reader types a photo."""
        hotline, setting = self.room.hotline, self.room.setting
        yield hotline.rest.inbox.turn()
        place = int(setting.roster.places[report.site])
        reading = setting.luck.duration(setting.office.reading, Stream.READING, place)
        yield hotline.clock.after(reading, Rank.MESSAGE_READ, report.site, 1)
        hotline.rest.inbox.done()
        report.being_read = False
        if report.state == "to type":
            report.typed = keyed(setting, report.site, report.said, Channel.INBOX)
            self._is_typed(report)

    # Checks

    def _is_typed(self, report: Report) -> None:
        if report.via != "app" and self._staffed("entry") and report.clerk == "":
            report.state = "to key again"
            self._tell_desks()
            return
        self._check(report)

    def keyed_again(self, report: Report, figures: Figures, clerk: str) -> None:
        """A second person typed it."""
        report.clerk = clerk
        if report.typed is None:  # a photo, read by this person alone
            report.typed = figures
        else:
            report.again = figures
            report.differs = not same(report.typed, figures)
        self._check(report)
        self._tell_desks()

    def _check(self, report: Report) -> None:
        report.codes = self.codes(report)
        if not report.codes and not report.differs:
            self._release(report)
            return
        report.state = "in review"
        if not self._staffed("reviewer"):
            self._review(report)

    def codes(self, report: Report) -> tuple[str, ...]:
        """What the checks find: keys of `rules.record.KINDS`, and "attendance"."""
        assert report.typed is not None  # only what is typed is checked
        precinct = self.room.seats[report.seat].precinct
        return codes(self.room.setting, report.typed, int(precinct.delegates) if precinct is not None else 0)

    def _is_reviewed(self, report: Report) -> Generator[SimPyEvent, object, None]:
        """A simulated reviewer compares it with what the chair says; his errors stay, and he is called back once."""
        hotline, setting = self.room.hotline, self.room.setting
        place = int(setting.roster.places[report.site])
        duration = setting.luck.duration(setting.office.review, Stream.REVIEW, place)
        yield hotline.clock.after(duration, Rank.REVIEW_ENDS, report.site)
        report.being_reviewed = False
        if report.state != "in review":
            return
        self.take(report, report.said, "")
        report.codes = self.codes(report)
        if report.codes and not self.asked(report):
            self.send_back(report, "")
        else:
            self._release(report)

    def asked(self, report: Report) -> bool:
        """Whether a precinct's chair was called about a report already: once is enough."""
        return any(one.called_back for one in self.reports if one.seat == report.seat)

    def take(self, report: Report, figures: Figures, reviewer: str) -> None:
        """A reviewer decides which figures are the chair's."""
        if report.typed is not None and not same(report.typed, figures):
            report.caught.append("keying")
            operator = self.room.seats.get(report.operator)
            for mistake in operator.doing.mistakes if operator is not None and same(figures, report.said) else ():
                if mistake.kind == "keying" and mistake.at_ms == report.at_ms and mistake.corrected_ms is None:
                    mistake.corrected_ms = self.room.now_ms
        report.typed, report.differs, report.reviewer = figures, False, reviewer

    def send_back(self, report: Report, reviewer: str) -> None:
        """The chair is called back: the figures break a rule."""
        report.state, report.reviewer = "returned", reviewer
        report.called_back = True
        seat = self.room.seats.get(report.seat)
        if seat is not None:
            data = {"codes": list(report.codes), "report": report.number}
            seat.doing.affected("called_back", data, self.room.now_ms)
            self.room.touched.add(report.seat)
        self._tell_desks()

    def release(self, report: Report, reviewer: str) -> None:
        """A reviewer lets it through."""
        report.reviewer = reviewer
        self._release(report)
        self._tell_desks()

    def _release(self, report: Report) -> None:
        report.state, report.released_ms = "released", self.room.now_ms
        before = [one for one in self.reports if one.seat == report.seat and one is not report]
        if any(one.called_back for one in before) and not report.codes:
            report.caught.append("chair")

    def _staffed(self, role: str) -> bool:
        return any(seat.role == role and seat.attended for seat in self.room.seats.values())

    def _tell_desks(self) -> None:
        for name, seat in self.room.seats.items():
            if seat.role in ("entry", "reviewer"):
                seat.doing.take()  # type: ignore[attr-defined]  # a desk that works on reports, as the room knows
                self.room.touched.add(name)
