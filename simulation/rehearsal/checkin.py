"""The check-in lead's seat: the line, the list, the forms, and the number that goes to the chair."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from simulation.rehearsal import citations
from simulation.rehearsal.cases import Case
from simulation.rehearsal.script import PrecinctScript
from simulation.rehearsal.seat import AT_THE_DOOR, Seat
from simulation.rehearsal.view import Button, Step, Table, Text, say, say_many
from simulation.rehearsal.world import World
from simulation.scenario.values import format_clock

DOORS, LINE_AT_SEVEN, HAND_OVER, DONE = "doors", "line_at_seven", "hand_over", "done"
LABELS = {
    DOORS: say("Doors"),
    LINE_AT_SEVEN: say("The line at the call to order"),
    HAND_OVER: say("Hand over"),
    DONE: say("Done"),
}


class CheckinSeat(Seat):
    """A person who leads check-in."""

    role = "checkin"

    def __init__(self, precinct: PrecinctScript, seat: str) -> None:
        super().__init__(precinct, seat)
        self.waiting = list(precinct.at_check_in)
        self.handed_over: int | None = None  # people checked in, as told to the chair
        self.handed_over_ms: int | None = None

    def order(self) -> tuple[str, ...]:
        """The stages."""
        return (DOORS, LINE_AT_SEVEN, HAND_OVER, DONE)

    def label(self, stage: str) -> Text:
        """What a stage is called."""
        return LABELS[stage]

    def affected(self, effect: str, data: Mapping[str, object], at_ms: int) -> bool:
        """An inject reaches this seat: only what happens at the door changes anything here."""
        return effect in {*AT_THE_DOOR, "strangers", "catch_up"} and super().affected(effect, data, at_ms)

    def _doors_open(self) -> bool:
        return self.stage in {DOORS, LINE_AT_SEVEN}

    def _steps(self, at_ms: int, world: World) -> Iterable[Step]:  # noqa: ARG002  # as every seat's
        precinct = self.precinct
        if self.waiting:
            return
        if self.stage == DOORS:
            story = [
                say("You lead check-in in the precinct {precinct}.", precinct=precinct.name),
                say_many(
                    "{count} person has checked in.", "{count} people have checked in.", precinct.checked_in(at_ms)
                ),
                say_many("{count} person stands in line.", "{count} people stand in line.", precinct.in_line(at_ms)),
            ]
            begins = format_clock(precinct.call_to_order_ms)
            if at_ms < precinct.call_to_order_ms:
                story.append(say("The call to order is at {time}. Until then people may get in line.", time=begins))
                buttons = (Button("close_early", say("Close the doors now"), "danger"),)
            else:
                story.append(say("It is {time}.", time=begins))
                buttons = (Button("seven", say("Go to the end of the line")),)
            yield Step(
                "doors", say("The doors are open"), tuple(story), buttons=buttons, citations=(citations.IN_LINE,)
            )
        elif self.stage in {LINE_AT_SEVEN, HAND_OVER}:
            yield self.adding_up()
        else:
            yield Step(
                "end",
                say("Done"),
                (
                    say_many(
                        "You told the chair: {count} person. Thank you.",
                        "You told the chair: {count} people. Thank you.",
                        self.handed_over or 0,
                    ),
                ),
                buttons=(Button("reopen", say("Correct the number"), "other"),),
            )

    def adding_up(self) -> Step:
        """The number that goes to the chair."""
        sheets = tuple((say("Sheet {number}", number=i), people) for i, people in enumerate(self.precinct.sheets, 1))
        return Step(
            "hand_over",
            say("How many checked in?"),
            (say("The line is empty. The chair asks how many people checked in."),),
            (Table(say("Names on the sheets"), (say("Sheet"), say("People")), sheets),),
            (self.field("hand_over", "checked_in", say("People checked in")),),
            (Button("hand_over", say("Tell the chair")),),
            hints=(say("Add up the sheets."),),
            citations=(citations.CHECKED_IN,),
        )

    def _do(self, name: str, rest: str, texts: Mapping[str, str], at_ms: int, world: World) -> None:  # noqa: ARG002  # as every seat's
        if name == "close_early":
            starts = format_clock(self.precinct.call_to_order_ms)
            now = format_clock(at_ms // 1000 * 1000)
            self.err("closed_early", now, starts, citations.IN_LINE, at_ms, corrected=True)
            self.tell(say("People who came in time stand outside. You have to open again and let the line in."))
            self.go(HAND_OVER, at_ms)
        elif name == "seven":
            self.waiting.append(self.precinct.line_at_seven)
            self.go(LINE_AT_SEVEN, at_ms)
        elif name == "reopen":
            self.go(HAND_OVER, at_ms)
        else:
            found = self.numbers({"checked_in": say("People checked in")}, texts)
            if found is None:
                return
            self.handed_over, right = found["checked_in"], self.precinct.attendance
            self.handed_over_ms = at_ms
            if self.handed_over != right:
                self.err("checked_in", str(self.handed_over), str(right), citations.CHECKED_IN, at_ms)
                self.tell(say("The chair looks at the sheets once more. Something does not add up."))
            else:
                self.mend("checked_in", at_ms)
            self.go(DONE, at_ms)

    def _after_case(self, at_ms: int) -> None:
        if self.stage == LINE_AT_SEVEN and not self.waiting:
            self.go(HAND_OVER, at_ms)

    def _catch_up(self, stage: str, at_ms: int) -> bool:
        order = self.order()
        if stage not in order or order.index(stage) <= order.index(self.stage) or stage == DONE:
            return False
        self.waiting: list[Case] = []
        if stage == LINE_AT_SEVEN:
            self.waiting.append(self.precinct.line_at_seven)
        self.skipped = (*self.skipped, *(name for name in order[: order.index(stage)] if name not in self.skipped))
        self.go(stage, at_ms)
        self.tell(say("You come late. What was done before was done rightly by somebody else."))
        return True
