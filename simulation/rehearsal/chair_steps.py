"""What a chair's page shows at each part of the evening: situations, fields, buttons, and the help that is allowed.

The seat's state stands here too, because that is what is shown. What is done with it stands in `chair`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from simulation.rehearsal import citations, worksheet_steps
from simulation.rehearsal.reporting import Reporting
from simulation.rehearsal.script import PrecinctScript, group_label
from simulation.rehearsal.seat import ARITHMETIC, Seat
from simulation.rehearsal.view import Button, Field, Option, Step, Table, Text, say, say_many
from simulation.rehearsal.world import Figures
from simulation.scenario.values import format_clock

DOORS, CALL_TO_ORDER, COUNT, FREEZE, VIABILITY, FIRST, REALIGNMENT, DELEGATES, WORKSHEET, REPORT, DONE = (
    *("doors", "call_to_order", "count", "freeze", "viability", "first_alignment", "realignment", "delegates"),
    *("worksheet", "report", "done"),
)
STAGES = (DOORS, CALL_TO_ORDER, COUNT, FREEZE, VIABILITY, FIRST, REALIGNMENT, DELEGATES, WORKSHEET, REPORT, DONE)
LABELS = {
    DOORS: say("Doors"),
    CALL_TO_ORDER: say("Call to order"),
    COUNT: say("Count"),
    FREEZE: say("Freeze N"),
    VIABILITY: say("Viability"),
    FIRST: say("First alignment"),
    REALIGNMENT: say("Realignment"),
    DELEGATES: say("Delegates"),
    WORKSHEET: say("Worksheet"),
    REPORT: say("Report"),
    DONE: say("Done"),
}
_COIN_FALLS = say("The coin favors: {groups}.")  # what `ChairSeat` tells
CHAIR, SECRETARY = "chair", "secretary"  # who sign, besides the captains


class ChairSteps(Seat):
    """A chair's evening as it is seen."""

    role = "chair"

    def __init__(self, precinct: PrecinctScript, seat: str) -> None:
        super().__init__(precinct, seat)
        self.waiting = list(precinct.at_door)
        self.shown_count = 0  # which of the counts the room made last
        self.extra_count: tuple[int, ...] | None = None  # of an inject: a count that does not match
        self.counted: int | None = None
        self.n: int | None = None  # as frozen
        self.threshold: int | None = None  # as announced
        self.first: dict[str, int] | None = None  # as written on the board
        self.viable: frozenset[str] | None = None  # as declared
        self.final: dict[str, int] | None = None
        self.tossed: tuple[str, ...] = ()  # groups that tossed the coin last
        self.heads: tuple[str, ...] = ()  # whom it favored
        self.award: dict[str, int] | None = None  # as announced
        self.told_first = dict(precinct.tellers)
        self.told_final = dict(precinct.tellers_at_end)
        self.protested = ""  # the step whose last answer somebody objects to
        self.worksheet: Figures | None = None
        self.signed: Figures | None = None  # the worksheet when it was signed
        self.signers: tuple[str, ...] = ()
        self.corrected: Figures | None = None  # what was announced instead, after headquarters called
        self.signing = False  # whether the worksheet is filled in and goes round
        self.called_back_ms: tuple[int, ...] = ()  # when headquarters called about what was reported
        self.reporting = Reporting()
        if not self.waiting:
            self._after_case(0)

    @property
    def reported(self) -> Figures | None:
        """What was reported last, whether or not it arrived."""
        return self.reporting.reported

    @property
    def dictated(self) -> Figures:
        """What was read aloud so far in the call that is going on."""
        return self.reporting.dictated

    def order(self) -> tuple[str, ...]:
        """The stages: fewer after a secret ballot and where one delegate is elected."""
        if self.precinct.ballot:
            left_out = {VIABILITY, REALIGNMENT, DELEGATES}
        elif self.precinct.delegates == 1:
            left_out = {REALIGNMENT}
        else:
            left_out = set()
        return tuple(stage for stage in STAGES if stage not in left_out)

    def label(self, stage: str) -> Text:
        """What a stage is called."""
        return say("Ballot") if stage == FIRST and self.precinct.ballot else LABELS[stage]

    def _doors(self, at_ms: int) -> Step:
        precinct = self.precinct
        begins = format_clock(precinct.call_to_order_ms)
        story = [
            say("You chair the precinct {precinct}.", precinct=precinct.name),
            *([] if precinct.ballot else [self._elects()]),
            say_many("{count} person has checked in.", "{count} people have checked in.", precinct.checked_in(at_ms)),
            say_many("{count} person stands in line.", "{count} people stand in line.", precinct.in_line(at_ms)),
        ]
        if at_ms < precinct.call_to_order_ms:
            story.append(say("The call to order is at {time}. Until then people may get in line.", time=begins))
            buttons = (Button("close_early", say("Close the doors and begin now"), "danger"),)
        else:
            story.append(say("It is {time}. You can call the caucus to order.", time=begins))
            buttons = (Button("seven", say("Go to the door")),)
        return Step("doors", say("The doors are open"), tuple(story), buttons=buttons, citations=(citations.IN_LINE,))

    def _elects(self) -> Text:
        return say_many(
            "The precinct elects {count} delegate.", "The precinct elects {count} delegates.", self.precinct.delegates
        )

    def opening(self, at_ms: int) -> Step:  # noqa: ARG002  # as all makers of steps
        """What belongs to the call to order: asked on the page and on paper."""
        ballot = self.precinct.ballot
        options = (
            Option("align", say("Hand out the ballots") if ballot else say("Let the groups begin to form")),
            Option("elect", say("Elect a permanent chair and a secretary")),
            Option("report", say("Call the hotline, to be among the first")),
            Option("rules", say("Read the rules of the evening aloud")),
        )
        return Step(
            "opening",
            say("Call to order"),
            (say("You call the caucus to order. What do you do before people are counted?"),),
            fields=(Field("first", "choices", say("Before the count"), self._text("opening", "first"), options),),
            buttons=(Button("open", say("Go on to the count")),),
            hints=(say("Two of these four belong here."),),
            citations=(citations.OPENING,),
        )

    def sections(self) -> tuple[int, ...]:
        """The heads that were counted last."""
        if self.extra_count is not None:
            return self.extra_count
        counts = self.precinct.counts
        return counts[min(self.shown_count, len(counts) - 1)]

    def _count(self, at_ms: int) -> Step:  # noqa: ARG002  # as all makers of steps
        sections = self.sections()
        rows = tuple((chr(ord("A") + i), people) for i, people in enumerate(sections))
        checked_in = self.precinct.attendance
        return Step(
            "count",
            say("Count the room"),
            (
                say("Everybody sits down and is counted, section by section."),
                say_many(
                    "The check-in table hands you its sheets: {count} person checked in.",
                    "The check-in table hands you its sheets: {count} people checked in.",
                    checked_in,
                ),
            ),
            (Table(say("Heads counted"), (say("Section"), say("People")), rows),),
            (self.field("count", "counted", say("People in the room")),),
            (
                Button("count", say("Write down the count")),
                Button("recount", say("Have the room counted again"), "other"),
            ),
            hints=(say("Add up the sections. Then compare with the number that checked in."),),
            citations=(citations.CHECKED_IN,),
        )

    def _freeze(self, at_ms: int) -> Step:  # noqa: ARG002  # as all makers of steps
        return Step(
            "freeze",
            say("Freeze N"),
            (
                say_many("You counted {count} person.", "You counted {count} people.", self.counted or 0),
                say("Announce N, the number of eligible attendees. From now on it stays."),
            ),
            fields=(self.field("freeze", "n", say("N")),),
            buttons=(Button("freeze", say("Announce N")),),
            hints=(say("N is the number of people who checked in and are in the room."),),
            citations=(citations.FROZEN,),
        )

    def _viability(self, at_ms: int) -> Step:  # noqa: ARG002  # as all makers of steps
        delegates, n = self.precinct.delegates, self.n or 0
        return Step(
            "viability",
            say("Viability"),
            (say("N is {n}.", n=n), self._elects(), say("How many people does a group need?")),
            fields=(
                self.field(
                    "viability", "threshold", say("Threshold"), help=say("Write 0 where there is no threshold.")
                ),
            ),
            buttons=(Button("announce", say("Announce the threshold")),),
            hints=(say("The fraction depends on the number of delegates. Which way is it rounded?"),),
            citations=(citations.threshold(delegates),),
        )

    def _groups(self, step: str, row: str) -> tuple[Field, ...]:
        """A field for every group."""
        labels = self.figure_labels((row,))
        return tuple(
            Field(
                f"{row}.{group}",
                "number",
                labels[f"{row}.{group}"] if row == "delegates" else group_label(group),
                self._text(step, f"{row}.{group}"),
                required=False,
            )
            for group in self.precinct.groups
        )

    def _text(self, step: str, name: str) -> str:
        return self.typed.get(step, {}).get(name, "")

    def _board(self, title: Text, *rows: Mapping[str, int]) -> Table:
        heads = (
            (say("Group"), say("People"))
            if len(rows) == 1
            else (say("Group"), say("First"), say("Final"), say("Delegates"))
        )
        cells: list[tuple[Text | str | int, ...]] = [
            (group_label(group), *(row.get(group, 0) for row in rows)) for group in self.precinct.groups
        ]
        return Table(title, heads, tuple(cells))

    def _first(self, at_ms: int) -> Step:  # noqa: ARG002  # as all makers of steps
        if self.first is None or self.precinct.ballot or self.precinct.delegates == 1:
            return Step(
                "first",
                self.label(FIRST),
                (
                    say("The votes are counted. N is {n}.", n=self.n or 0)
                    if self.precinct.ballot
                    else say("People stand with their groups. The tellers count. N is {n}.", n=self.n or 0),
                ),
                (self._board(say("The tellers say"), self.told_first),),
                self._groups("first", "first"),
                (
                    Button("write_first", say("Write it on the board")),
                    Button("tellers", say("Ask the tellers to count again"), "other"),
                ),
                hints=(say("Add up all groups. Can it be more than N?"),),
                citations=(citations.BALLOT if self.precinct.ballot else citations.FROZEN,),
            )
        buttons = [Button("declare", say("Announce who is viable"))]
        if self.protested == "viable":
            buttons.append(Button("insist", say("It stays as I said"), "danger"))
        return Step(
            "viable",
            say("Who is viable?"),
            (say("The threshold that you announced is {people}.", people=self.threshold or 0),),
            (self._board(say("First alignment"), self.first),),
            (
                Field(
                    "viable",
                    "choices",
                    say("Viable groups"),
                    self._text("viable", "viable"),
                    tuple(Option(group, group_label(group)) for group in self.precinct.groups),
                    required=False,
                ),
            ),
            tuple(buttons),
            hints=(say("Viable is every group that has as many people as the threshold, or more."),),
            citations=(citations.threshold(self.precinct.delegates),),
        )

    def _final(self, at_ms: int) -> Step:  # noqa: ARG002  # as all makers of steps
        return Step(
            "final",
            say("Final alignment"),
            (say("The realignment is over. The tellers count once more. N is {n}.", n=self.n or 0),),
            (
                self._board(say("First alignment"), self.first or {}),
                self._board(say("The tellers say"), self.told_final),
            ),
            self._groups("final", "final"),
            (
                Button("write_final", say("Write it on the board")),
                Button("tellers", say("Ask the tellers to count again"), "other"),
            ),
            hints=(say("Fewer people than N is possible: some went home. More is not."),),
            citations=(citations.FINAL,) if self.precinct.free else (citations.FINAL, citations.LOCKED),
        )

    def _delegates(self, at_ms: int) -> Step:  # noqa: ARG002  # as all makers of steps
        precinct, final, n = self.precinct, self.final or {}, self.n or 0
        buttons = [
            Button("award", say("Announce the delegates")),
            Button("toss", say("Toss the coin"), "other"),
        ]
        if self.protested == "award":
            buttons.append(Button("insist", say("It stays as I said"), "danger"))
        story = [say("N is {n}.", n=n), self._elects()]
        if self.heads and all(one.message != _COIN_FALLS.message for one in self.told):  # it is said once
            story.append(say("The coin has favored: {groups}.", groups=worksheet_steps.listed(self.heads)))
        return Step(
            "award",
            say("Delegates"),
            tuple(story),
            (self._board(say("Final alignment"), final),),
            (
                *self._groups("award", "delegates"),
                Field(
                    "toss",
                    "choices",
                    say("Groups that toss a coin, if there is a tie"),
                    self._text("award", "toss"),
                    tuple(Option(group, group_label(group)) for group in precinct.groups),
                    required=False,
                ),
            ),
            tuple(buttons),
            hints=(
                say("Work it out for each viable group: people times delegates, divided by N. Round it."),
                say("Add up. Too many or too few? Then look at the decimals."),
            ),
            citations=citations.AWARDS if precinct.delegates > 1 else citations.AWARD_OF_ONE,
        )

    def _rows(self) -> tuple[str, ...]:
        """What is written and reported by group."""
        if self.precinct.ballot:
            return ("final",)
        return ("first", "final", "delegates")

    def figure_labels(self, rows: Iterable[str] | None = None) -> dict[str, Text]:
        """The fields of a worksheet, of a call or of the app, and how they are called."""
        labels: dict[str, Text] = {}
        for row in self._rows() if rows is None else rows:
            for group in self.precinct.groups:
                name = group_label(group)
                labels[f"{row}.{group}"] = (
                    say("{group}: votes", group=name)
                    if self.precinct.ballot
                    else say("{group}: first alignment", group=name)
                    if row == "first"
                    else say("{group}: final alignment", group=name)
                    if row == "final"
                    else say("{group}: delegates", group=name)
                )
        return labels

    def _worksheet(self, at_ms: int) -> Step:  # noqa: ARG002  # as all makers of steps
        if self.signing and self.worksheet is not None:
            return self._signing()
        board = [self.first or {}, self.final or {}, self.award or {}]
        return Step(
            "worksheet",
            say("The worksheet"),
            (
                say("Copy everything from the board. This paper counts, once it is signed."),
                say("N is {n}.", n=self.n or 0),
            ),
            (self._board(say("Votes"), board[0]) if self.precinct.ballot else self._board(say("The board"), *board),),
            (
                self.field("worksheet", "attendees", say("N")),
                *(
                    Field(name, "number", label, self._text("worksheet", name), required=False)
                    for name, label in self.figure_labels().items()
                ),
            ),
            (Button("fill", say("The worksheet is filled in")),),
            hints=(say("Have the secretary read every number back to you."),),
            citations=(citations.SIGNED,),
        )

    def table(self, figures: Figures, title: Text) -> Table:
        """Figures to read, by group."""
        if self.precinct.ballot:
            return self._board(title, figures.final)
        return self._board(title, *figures.rows().values())

    def needed(self) -> tuple[str, ...]:
        """Who has to sign: chair, secretary, and the captain of every viable group."""
        return (CHAIR, SECRETARY, *self.precinct.viable_at_end)

    def _signer(self, who: str) -> Text:
        if who in {CHAIR, SECRETARY}:
            return say("You, the chair") if who == CHAIR else say("The secretary")
        return say("{name}, captain of {group}", name=self.precinct.captains[who], group=group_label(who))

    def _signing(self) -> Step:
        assert self.worksheet is not None
        who = (CHAIR, SECRETARY, *(() if self.precinct.ballot else self.precinct.groups))
        buttons = [
            Button("sign", say("Collect the signatures")),
            Button("change", say("Change the worksheet"), "other"),
        ]
        if self.protested == "sign":
            buttons.append(Button("insist", say("Go on without them"), "danger"))
        return Step(
            "sign",
            say("Signatures"),
            (say("The worksheet goes round. Who has to sign it?"), say("N is {n}.", n=self.worksheet.attendees)),
            (self.table(self.worksheet, say("The worksheet")),),
            (
                Field(
                    "signers",
                    "choices",
                    say("Signatures"),
                    self._text("sign", "signers"),
                    tuple(Option(one, self._signer(one)) for one in who),
                ),
            ),
            tuple(buttons),
            hints=(say("Every viable group signs for its numbers."),),
            citations=(citations.SIGNED,),
        )

    def _signed_worksheet(self) -> Step:
        assert self.worksheet is not None
        return Step(
            "paper",
            say("Your worksheet"),
            (
                say("N is {n}.", n=self.worksheet.attendees),
                say("It is signed.")
                if self.signed == self.worksheet and not self._missing()
                else say("It is not signed as it stands."),
            ),
            (self.table(self.worksheet, say("The worksheet")),),
            buttons=(Button("change", say("Change the worksheet"), "other"),),
            citations=(citations.SIGNED,),
        )

    def _missing(self) -> list[str]:
        return [one for one in self.needed() if one not in self.signers]

    def _end(self) -> Step:
        story = [say("Your evening is over. Thank you.")]
        if not self.reporting.believes_reported:
            story = [say("You went home. Headquarters does not have your result yet, and somebody will look for you.")]
        return Step(
            "end",
            say("Done"),
            tuple(story),
            (self.table(self.worksheet, say("Your worksheet")),) if self.worksheet else (),
            buttons=(Button("reopen", say("There is still something to report"), "other"),),
        )

    def _aided(self, step: Step, allowed: frozenset[str]) -> Step:
        shown = super()._aided(step, allowed)
        if ARITHMETIC not in allowed:
            return shown
        delegates, n = self.precinct.delegates, self.n or 0
        if step.id == "count":
            people = sum(self.sections())
            return replace(shown, hints=(*shown.hints, say("The sections add up to {people}.", people=people)))
        if step.id in {"viability", "viable"}:
            return replace(shown, hints=(*shown.hints, worksheet_steps.threshold_worked(delegates, n)))
        if step.id == "award":
            table = worksheet_steps.award_table(self.final or {}, delegates, n)
            worked = worksheet_steps.award_worked(self.final or {}, delegates, n)
            return replace(shown, tables=(*shown.tables, *([table] if table else [])), hints=(*shown.hints, *worked))
        if step.id in {"first", "final"}:
            told = self.told_first if step.id == "first" else self.told_final
            total = say("The tellers' numbers add up to {people}.", people=sum(told.values()))
            return replace(shown, hints=(*shown.hints, total))
        return shown
