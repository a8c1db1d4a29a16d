"""Desks at headquarters: the hotline's operator, the clerk who keys a report again, the reviewer.

They work on what comes in from the room and from the simulated rest of the state. Knows nothing of precincts' evenings.
"""

# ruff: noqa: ARG002  # desks and seats share one interface, of which some need less

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from simulation.night.order import Call
from simulation.rehearsal.event import NOBODY, TRAINER
from simulation.rehearsal.figures import array_of, figures_of, same
from simulation.rehearsal.findings import findings
from simulation.rehearsal.headquarters import Report
from simulation.rehearsal.script import group_label
from simulation.rehearsal.seat import MOST_TYPED, Mistake, number
from simulation.rehearsal.view import Button, Field, Option, Stage, Step, Table, Text, say, say_many
from simulation.rehearsal.world import Figures

if TYPE_CHECKING:
    from simulation.night.model.hotline import Calling
    from simulation.rehearsal.room import Room

_PARTS = (("first", say("First alignment")), ("final", say("Final alignment")), ("delegates", say("Delegates")))
AS_SIGNED = say("Reporting: what the signed worksheet says is what is written down.")
ANOTHER_WAY = say("A chair whom the app fails reports another way within ten minutes; a PIN is told to nobody.")
COMPARE = say("A reviewer compares a report with its worksheet; what breaks a rule goes back to its chair once.")
DECISIONS = {  # a reviewer's buttons
    "first": say("Take the first entry"),
    "second": say("Take the second entry"),
    "release": say("Release"),
    "correct": say("Enter what the worksheet says"),
    "send_back": say("Send back to the chair"),
}


@dataclass(slots=True)
class Work:
    """One report, or call for help, that somebody at a desk dealt with: what debriefs count slips by."""

    site: int
    seat: str  # of the caller; "" for a simulated one
    began_ms: int
    ended_ms: int
    fields: int  # typed; 0: only decided
    wrong: int
    by: int  # who: a person's number, BOT or NOBODY


class Desk:
    """What the three desks share."""

    role = ""
    label = say("At the desk")

    def __init__(self, name: str, room: Room) -> None:
        self.name = name
        self.room = room
        self.stage = "desk"
        self.mistakes: list[Mistake] = []
        self.texts: dict[str, str] = {}  # what was typed and not sent yet, or sent back
        self.told: tuple[Text, ...] = ()
        self.work: list[Work] = []

    def stages(self) -> tuple[Stage, ...]:
        """A desk has one part of the evening."""
        return (Stage("desk", self.label, "now"),)

    def advance(self, at_ms: int, world: Any) -> None:
        """Time passes; calls and reports come by themselves."""

    def affected(self, effect: str, data: Mapping[str, Any], at_ms: int) -> bool:
        """Injects at headquarters act on the hotline, not on a desk."""
        return False

    def act(self, action: str, fields: Mapping[str, str], at_ms: int, world: Any) -> None:
        """Do what a button says."""
        for name, value in fields.items():
            if name in self.names():
                self.texts[name] = value[:MOST_TYPED]
        self.told = ()
        self._do(action, fields, at_ms)

    def steps(self, at_ms: int, world: Any, aids: frozenset[str]) -> tuple[Step, ...]:
        """What can be done."""
        raise NotImplementedError

    def _do(self, action: str, fields: Mapping[str, str], at_ms: int) -> None:
        raise NotImplementedError

    def names(self) -> set[str]:
        """The fields that a desk has."""
        return {"answer", *(name for name, _ in self._labels())}

    def _labels(self) -> Iterator[tuple[str, Text]]:
        """The fields of a report: groups by their number, since names may hold anything."""
        yield "attendees", say("Eligible people counted (N)")
        ballot = self.room.setting.ballot
        for part, label in _PARTS:
            if ballot and part != "final":
                continue
            for index, group in enumerate(self.room.setting.groups):
                name = group_label(group)
                yield f"{part}-{index}", say("{part}: {group}", part=say("Votes") if ballot else label, group=name)

    def _fields(self) -> tuple[Field, ...]:
        return tuple(
            Field(name, "number", label, self.texts.get(name, ""), required=name == "attendees")
            for name, label in self._labels()
        )

    def _figures(self) -> Figures | None:
        """What was typed; None, and told why, where something is no number."""
        found: dict[str, int] = {}
        wrong = []
        for name, label in self._labels():
            text = self.texts.get(name, "").strip()
            value = 0 if not text and name != "attendees" else number(text)
            if value is None:
                wrong.append(say("{field}: “{typed}” is not a whole number.", field=label, typed=text))
            else:
                found[name] = value
        if wrong:
            self.told = tuple(wrong)
            return None
        groups = list(enumerate(self.room.setting.groups))

        def counts(part: str) -> dict[str, int]:
            return {group: found[f"{part}-{i}"] for i, group in groups if found.get(f"{part}-{i}")}

        return Figures(found["attendees"], counts("first"), counts("final"), counts("delegates"))

    def _table(self, title: Text, figures: Figures) -> Table:
        parts = figures.rows().values()
        rows: list[tuple[Text | str | int, ...]] = [
            (group_label(group), *(counts.get(group, 0) for counts in parts))
            for group in self.room.setting.groups
            if any(group in counts for counts in parts)
        ]
        rows.append((say("Together"), *(sum(counts.values()) for counts in parts)))
        return Table(title, (say("Group"), *(label for _, label in _PARTS)), tuple(rows))

    def _slips(self, said: Figures, typed: Figures, at_ms: int) -> int:
        """Fields that were typed otherwise than said; each is a mistake."""
        pairs: list[tuple[Text, int, int]] = [(say("Eligible people counted (N)"), said.attendees, typed.attendees)]
        right_rows, given_rows = said.rows(), typed.rows()
        for part, label in _PARTS:
            if self.room.setting.ballot and part != "final":
                continue  # nobody reads it aloud, and no field is there for it
            for group in self.room.setting.groups:
                one, other = right_rows[part].get(group, 0), given_rows[part].get(group, 0)
                pairs.append((say("{part}: {group}", part=label, group=group_label(group)), one, other))
        wrong = [(label, right, given) for label, right, given in pairs if right != given]
        for label, right, given in wrong:
            value = say("{field}: {number}", field=label, number=given)
            wanted = say("{field}: {number}", field=label, number=right)
            self.mistakes.append(Mistake("keying", self.stage, at_ms, value, wanted, AS_SIGNED))
        return len(wrong)

    def _worked(self, site: int, seat: str, began_ms: int, at_ms: int, wrong: int | None = None) -> None:
        """Write down what was done here. `wrong`: of the numbers typed; None where only something was decided."""
        there = self.room.seats.get(self.name)
        fields = 0 if wrong is None else sum(1 for _ in self._labels())
        by = there.actor if there is not None else NOBODY  # at the trainer's own telephone
        self.work.append(Work(site, seat, began_ms, at_ms, fields, wrong or 0, by))


ADVICE = (  # what an operator can tell a chair whom the app failed; the first is right
    Option("fallback", say("“Try once more; then call in the report, or text a photo if you were given a number.”")),
    Option("again", say("“Keep trying the app until it works.”")),
    Option("pin", say("“Tell me your PIN, and I will try it for you.”")),
    Option("wait", say("“Leave it for tomorrow.”")),
)
_HANG_UP = Button("hang_up", say("Hang up"), "danger")


class OperatorDesk(Desk):
    """A hotline operator: takes the caller who has waited longest, and types what is said."""

    role = "operator"
    label = say("At the hotline")

    def __init__(self, name: str, room: Room) -> None:
        super().__init__(name, room)
        self.spoken = 0  # how many lines of his report a simulated caller has read
        self.calls = 0  # that came to this desk

    def steps(self, at_ms: int, world: Any, aids: frozenset[str]) -> tuple[Step, ...]:
        """The call, or what there is to do without one."""
        call = self.call()
        return (self._free() if call is None else self._in_call(call),)

    def _free(self) -> Step:
        ready = self.name in self.room.hotline.line.ready
        waiting = self.room.hotline.queue().waiting
        wait = say("You are ready. The next call comes to you.") if ready else say("You are not taking calls.")
        state = say_many("{count} caller is on hold.", "{count} callers are on hold.", waiting)
        button = Button("pause", say("Pause"), "other") if ready else Button("ready", say("Take the next call"))
        return Step("desk:free", say("Hotline"), (wait, state), buttons=(button,), feedback=self.told, place="desk")

    def _in_call(self, call: Calling) -> Step:
        """What a caller says, by what he calls about."""
        held = max(0, call.answered - call.dialed) // 60_000
        waited = say_many(
            "The caller was on hold for {count} minute.", "The caller was on hold for {count} minutes.", held
        )
        seat = self.room.hotline.line.callers.get(call.entity, "")
        if seat:
            return self._human(seat, waited)
        if call.silent:
            return self._no_report("silent", waited, say("Nobody can be heard."))
        if call.about is Call.NUISANCE:
            return self._no_report("stranger", waited, say("“Is this the number from the internet?”"))
        if call.about is Call.HELP:
            return self._help(call.site, waited)
        if call.about is Call.CALLBACK:
            return self._callback(call.site, waited)
        return self._simulated(call.site, waited)

    def _no_report(self, name: str, waited: Text, heard: Text) -> Step:
        """A call that only wants to be ended."""
        return Step(self._of_call(name), say("A call"), (waited, heard), buttons=(_HANG_UP,), place="desk")

    def _help(self, site: int, waited: Text) -> Step:
        """A chair whom the app fails."""
        asks = say("“This is {precinct}. The app does not take my PIN. What now?”", precinct=self._precinct(site))
        answer = Field("answer", "choice", say("What do you say?"), self.texts.get("answer", ""), ADVICE)
        return Step(
            self._of_call("help"),
            say("A call for help"),
            (waited, asks),
            fields=(answer,),
            buttons=(Button("helped", say("Say it and end the call")), _HANG_UP),
            feedback=self.told,
            place="desk",
        )

    def _callback(self, site: int, waited: Text) -> Step:
        """A precinct that is called for what is held already."""
        precinct = self._precinct(site)
        told = say("You are told to ask {precinct} for its result. It is held already.", precinct=precinct)
        return Step(
            self._of_call("callback"),
            say("A call out"),
            (waited, told),
            buttons=(Button("helped", say("Say that nothing is missing, and end the call")),),
            place="desk",
        )

    def _simulated(self, site: int, waited: Text) -> Step:
        """A simulated caller's report, read line by line."""
        lines = self._lines(site)
        said = lines[max(0, self.spoken - 2) : self.spoken + 1]
        buttons = [Button("next", say("Go on, please"))] if self.spoken + 1 < len(lines) else []
        buttons += [*self._saves("other" if buttons else "main"), _HANG_UP]
        return Step(
            self._of_call("report"),
            say("A report"),
            (waited, *said),
            fields=self._fields(),
            buttons=tuple(buttons),
            feedback=self.told,
            place="desk",
            transcript=tuple(lines[: self.spoken + 1]),
        )

    def _human(self, seat: str, waited: Text) -> Step:
        """A caller of flesh and blood: what he has said so far stands there, as he says it."""
        complete = self.room.hotline.said_by(self.name)
        caller = self.room.seats[seat]
        said = complete if complete is not None else getattr(caller.doing, "dictated", None)
        precinct = self.room.precinct_of(caller)
        story = [waited, say("“This is {precinct}. I have a result to report.”", precinct=precinct)]
        tables: tuple[Table, ...] = ()
        if said is None or said.attendees == 0:
            story.append(say("The caller is looking at the worksheet."))
        else:
            story.append(say("“We counted {people} people.”", people=said.attendees))
            tables = (self._table(say("What the caller says"), said),)
        save = self._saves("main") if complete is not None else ()
        return Step(
            self._of_call("report"),
            say("A report"),
            tuple(story),
            tables=tables,
            fields=self._fields(),
            buttons=(*save, _HANG_UP),
            feedback=self.told,
            place="desk",
        )

    def _do(self, action: str, fields: Mapping[str, str], at_ms: int) -> None:
        line = self.room.hotline.line
        call = self.call()
        if call is None:
            if action == "ready":
                line.sits_down(self.name)
                line.is_ready(self.name)
            elif action == "pause":
                line.pauses(self.name)
            return
        seat = line.callers.get(call.entity, "")
        reports = call.about is Call.REPORT and not call.silent
        if action == "next" and reports and not seat:
            self.spoken = min(self.spoken + 1, len(self._lines(call.site)) - 1)
        elif action in ("typed", "typed_pause") and reports:
            self._save(call, seat, at_ms, pause=action == "typed_pause")
        elif action == "helped" and call.about in (Call.HELP, Call.CALLBACK):
            self._helped(call, at_ms)
        elif action == "hang_up":
            if reports:
                why = say("You hung up on a report.")
                self.mistakes.append(Mistake("hung_up", self.stage, at_ms, why, say("Take the report."), AS_SIGNED))
            self._end(heard=not reports)

    def _helped(self, call: Calling, at_ms: int) -> None:
        if call.about is Call.HELP:
            answer = next((one for one in ADVICE if one.value == self.texts.get("answer", "")), None)
            if answer is None:
                self.told = (say("Please choose one of the answers."),)
                return
            if answer is not ADVICE[0]:
                self.mistakes.append(Mistake("advice", self.stage, at_ms, answer.label, ADVICE[0].label, ANOTHER_WAY))
            self._worked(call.site, "", call.answered, at_ms)
        self._end(heard=True)

    def _saves(self, kind: Literal["main", "other"]) -> tuple[Button, ...]:
        """The ways to end a call whose report is typed; the trainer, who gets no call unasked, has one."""
        save = Button("typed", say("Save the report and end the call"), kind)
        pause = Button("typed_pause", say("Save and pause"), "other")
        return (save,) if self.name == TRAINER else (save, pause)

    def _save(self, call: Calling, seat: str, at_ms: int, *, pause: bool) -> None:
        hotline = self.room.hotline
        said = hotline.said_by(self.name) if seat else self.worksheet(call.site)
        if said is None:
            self.told = (say("The caller has not said anything yet."),)
            return
        typed = self._figures()
        if typed is None:
            return
        self._worked(call.site, seat, call.answered, at_ms, self._slips(said, typed, at_ms))
        if not seat:
            hotline.rest.held.typed[call.site] = array_of(self.room.setting, typed)
        self._end(heard=True, pause=pause)
        if seat:
            self.room.headquarters.by_operator(seat, call.site, said, typed, self.name)

    def _end(self, heard: bool, *, pause: bool = False) -> None:
        """The call is over, and the next one may come: to a trainer only when he asks for it."""
        line = self.room.hotline.line
        line.finish(self.name, heard)
        self.texts, self.spoken = {}, 0
        if not pause and self.name != TRAINER:
            line.is_ready(self.name)

    def begins(self) -> None:
        """A call comes to this desk: what was typed for another one is forgotten."""
        self.texts, self.spoken, self.told = {}, 0, ()
        self.calls += 1

    def _of_call(self, name: str) -> str:
        """A step of this call: what was typed for one caller never counts for the next."""
        return f"desk:{name}#{self.calls}"

    def call(self) -> Calling | None:
        """The call on this desk's line."""
        return self.room.hotline.line.talking.get(self.name)

    def worksheet(self, site: int) -> Figures:
        """What a simulated chair reads from: his worksheet, with his errors."""
        setting = self.room.setting
        return figures_of(setting, setting.worksheets[0][site], setting.rooms[site].counted)

    def _lines(self, site: int) -> list[Text]:
        """A report, number by number."""
        figures = self.worksheet(site)
        lines = [
            say("“This is {precinct}. I have a result to report.”", precinct=self._precinct(site)),
            say("“We counted {people} people.”", people=figures.attendees),
        ]
        if self.room.setting.ballot:
            pairs = [(say("Votes"), figures.final)]
        else:
            pairs = [(label, figures.rows()[part]) for part, label in _PARTS]
        for label, counts in pairs:
            lines += [
                say("“{part}, {group}: {number}.”", part=label, group=group_label(group), number=count)
                for group, count in counts.items()
            ]
        return [*lines, say("“That is all.”")]

    def _precinct(self, site: int) -> str:
        roster = self.room.setting.roster
        county, precinct = roster.counties[site], roster.precincts[site]
        return precinct if precinct.startswith(county) else f"{county}, {precinct}"


class PaperDesk(Desk):
    """A desk that works on one report after another, and never on one that another such desk has."""

    def __init__(self, name: str, room: Room) -> None:
        super().__init__(name, room)
        self.number = 0  # of the report in hand
        self.since_ms = 0  # when it was taken

    def advance(self, at_ms: int, world: Any) -> None:
        """Take the next report, if there is one."""
        self.take()

    def take(self) -> None:
        """Take the oldest report that nobody else has, unless one is in hand; with nobody here, put it back."""
        if not self.room.seats[self.name].attended:
            self.number = 0
            return
        if self.report() is not None:
            return
        self.number, self.texts = 0, {}
        others = {
            seat.doing.number
            for seat in self.room.seats.values()
            if isinstance(seat.doing, PaperDesk) and seat.role == self.role
        }
        reports = self.room.headquarters.reports
        found = next((one for one in reports if self._wants(one) and one.number not in others), None)
        if found is not None:
            self.number, self.since_ms = found.number, self.room.now_ms

    def report(self) -> Report | None:
        """The report in hand."""
        report = self.room.headquarters.reports[self.number - 1] if self.number else None
        return report if report is not None and self._wants(report) else None

    def _wants(self, report: Report) -> bool:
        """Whether there is something to do here for a report."""
        raise NotImplementedError


class EntryDesk(PaperDesk):
    """Data entry: keys a second time what an operator wrote, or types a photo."""

    role = "entry"
    label = say("At data entry")

    @staticmethod
    def source(report: Report) -> Figures:
        """What is keyed: an operator's form, or a photo of the worksheet."""
        return report.typed if report.typed is not None else report.said

    def _wants(self, report: Report) -> bool:
        return report.state == "to key again" or (report.state == "to type" and report.via == "photo")

    def steps(self, at_ms: int, world: Any, aids: frozenset[str]) -> tuple[Step, ...]:
        """The form to key."""
        report = self.report()
        if report is None:
            return (
                Step(
                    "desk:free",
                    say("Data entry"),
                    (say("Nothing waits to be keyed."),),
                    feedback=self.told,
                    place="desk",
                ),
            )
        precinct = self.room.precinct_of(self.room.seats[report.seat])
        source = self.source(report)
        title = say("What the operator wrote") if report.typed is not None else say("The photo of the worksheet")
        return (
            Step(
                f"desk:key:{report.number}",
                say("Report {number}: {precinct}", number=report.number, precinct=precinct),
                (say("{people} people were counted.", people=source.attendees),),
                tables=(self._table(title, source),),
                fields=self._fields(),
                buttons=(Button("keyed", say("Save")),),
                feedback=self.told,
                place="desk",
            ),
        )

    def _do(self, action: str, fields: Mapping[str, str], at_ms: int) -> None:
        report = self.report()
        if report is None or action != "keyed":
            return
        typed = self._figures()
        if typed is None:
            return
        source = self.source(report)
        self._worked(report.site, report.seat, self.since_ms, at_ms, self._slips(source, typed, at_ms))
        self.number, self.texts = 0, {}
        self.told = (say("Saved."),)
        self.room.headquarters.keyed_again(report, typed, self.name)
        self.take()


def decisions(differs: bool) -> tuple[str, ...]:
    """What a reviewer can do with a report, of which the two entries differ or not."""
    return (*(("first", "second") if differs else ("release",)), "correct", "send_back")


class ReviewDesk(PaperDesk):
    """A reviewer: sees what the checks found, and releases a report or sends it back to its chair."""

    role = "reviewer"
    label = say("At the review desk")

    def _wants(self, report: Report) -> bool:
        return report.state == "in review"

    def steps(self, at_ms: int, world: Any, aids: frozenset[str]) -> tuple[Step, ...]:
        """A report that the checks stopped."""
        report = self.report()
        if report is None or report.typed is None:
            return (
                Step(
                    "desk:free", say("Review"), (say("Nothing waits for a review."),), feedback=self.told, place="desk"
                ),
            )
        precinct = self.room.precinct_of(self.room.seats[report.seat])
        tables = [self._table(say("First entry"), report.typed)]
        story = [say("Counted: {people} people.", people=report.typed.attendees), *findings(report.codes)]
        if report.differs and report.again is not None:
            tables.append(self._table(say("Second entry"), report.again))
            story.append(say("The two entries differ."))
        tables.append(self._table(say("The worksheet, as the chair reads it to you"), report.said))
        buttons = [
            Button(name, DECISIONS[name], "other" if name in ("correct", "send_back") else "main")
            for name in decisions(report.differs)
        ]
        return (
            Step(
                f"desk:review:{report.number}",
                say("Report {number}: {precinct}", number=report.number, precinct=precinct),
                tuple(story),
                tables=tuple(tables),
                buttons=tuple(buttons),
                feedback=self.told,
                place="desk",
            ),
        )

    def _do(self, action: str, fields: Mapping[str, str], at_ms: int) -> None:
        report, began_ms = self.report(), self.since_ms
        if report is not None and report.typed is not None and self._decides(report, report.typed, action, at_ms):
            self._worked(report.site, report.seat, began_ms, at_ms)

    def _decides(self, report: Report, typed: Figures, action: str, at_ms: int) -> bool:
        """Do it, and say what came of it; False for what cannot be done with this report."""
        office = self.room.headquarters
        if action == "send_back":
            if same(typed, report.said) and not report.codes:
                self._err("sent_back", at_ms, say("A report that breaks no rule was sent back."))
            office.send_back(report, self.name)
            self.told = (say("The chair is called."),)
            return True
        if action == "release" and not report.differs:
            if self._compares(report, at_ms) and report.codes and not office.asked(report):
                self._err(
                    "released", at_ms, say("A report that breaks a rule was released before its chair was asked.")
                )
            office.release(report, self.name)
            self.told = (say("Released."),)
            return True
        if action == "correct":
            office.take(report, report.said, self.name)
            self.told = (say("The report says what the worksheet says."),)
        elif action == "first" and report.differs:
            office.take(report, typed, self.name)
            self.told = (say("The first entry counts."),)
        elif action == "second" and report.differs and report.again is not None:
            office.take(report, report.again, self.name)
            self.told = (say("The second entry counts."),)
        else:
            return False
        report.codes = office.codes(report)
        if not report.codes:
            self._compares(report, at_ms)
            office.release(report, self.name)
        return True

    def _compares(self, report: Report, at_ms: int) -> bool:
        """Whether what is released is what the worksheet says; a mistake where it is not."""
        right = report.typed is not None and same(report.typed, report.said)
        if not right:
            self._err("released", at_ms, say("A report was released that is not what the worksheet says."))
        return right

    def _err(self, kind: str, at_ms: int, given: Text) -> None:
        self.mistakes.append(Mistake(kind, self.stage, at_ms, given, say("Compare, then decide."), COMPARE))
