"""Injects: what a trainer can throw at a room. The catalog of the failures that history showed, and the scenario's own.

An inject has a trigger, a message, an expected action, an objective and a private note. Some change how the app, the
hotline or a precinct behaves; the others are told, and say so. Knows nothing of who fires them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from simulation.rehearsal.view import Text, say
from simulation.scenario.inject import CARDS, DONE, ROLES, WAITING, Condition, parse_condition
from simulation.scenario.inject import EFFECTS as EFFECT_NAMES
from simulation.scenario.values import FULL_SHARE, format_clock

if TYPE_CHECKING:
    from simulation.rehearsal.room import Room
    from simulation.scenario import Scenario

CHAIR = ("chair",)
AT_A_PRECINCT = ("chair", "checkin")

# What an inject can do, beside being told: effects, and what each does.
EFFECTS: Mapping[str, Text] = {
    "app_down": say("The practice app answers nobody there."),
    "app_hangs": say("The practice app hangs when something is sent."),
    "app_refuses": say("The practice app refuses every PIN there."),
    "app_loses": say("The practice app says thank you, and headquarters gets nothing."),
    "app_works": say("The practice app works there, whatever the scenario says."),
    "signal_lost": say("The phones there have no signal for data; calls still go through."),
    "nuisance_calls": say("Strangers call the practice hotline."),
    "operators_locked_out": say("A share of the simulated operators cannot take calls."),
    "wrong_correction": say("Headquarters changes the delegates that it holds of that precinct."),
    "forms_out": say("The registration forms run out there."),
    "missing_voter": say("Somebody there is not on the list."),
    "wrong_line": say("Somebody there stands in the wrong line."),
    "new_registration": say("Somebody there wants to register."),
    "long_line": say("A long line stands there when it is time to begin."),
    "more_people_than_room": say("More people come there than the room holds."),
    "chair_leaves": say("The chair there has to go, and hands over."),
    "latecomer": say("Somebody comes there after the doors have closed."),
    "count_mismatch": say("The count there does not match the people checked in."),
    "headquarters_corrects": say("Headquarters calls there and wants the sum changed."),
    "called_again": say("Headquarters calls there for a result that it holds already."),
    "strangers": say("Somebody at the door there films the room and asks for the hotline's number."),
    "wrong_tool": say("A campaign's calculator there shows another threshold than the chair's."),
}


_DONE: Mapping[str, tuple[str, Text]] = {  # what chairs have done: the stage that they are beyond, and its words
    "started": ("call_to_order", say("begun")),
    "counted": ("count", say("counted")),
    "frozen": ("freeze", say("frozen N")),
    "aligned": ("first_alignment", say("aligned")),
    "realigned": ("realignment", say("realigned")),
    "awarded": ("delegates", say("awarded their delegates")),
    "signed": ("worksheet", say("signed their worksheet")),
    "reported": ("report", say("reported")),
}
assert tuple(_DONE) == DONE
assert tuple(EFFECTS) == EFFECT_NAMES


@dataclass(frozen=True, slots=True)
class When:
    """When an inject comes by itself: at a time, or when something is reached."""

    at_ms: int | None = None
    condition: Condition | None = None

    def has_come(self, room: Room) -> bool:
        """Whether it has."""
        if self.at_ms is not None and room.now_ms < self.at_ms:
            return False
        if self.condition is None:
            return True
        if self.condition.what == WAITING:
            return self.condition.holds(len(room.hotline.line.waiting))
        chairs = [seat for seat in room.seats.values() if seat.role == "chair"]
        done = sum(1 for seat in chairs if room.is_past(seat, _DONE[self.condition.what][0]))
        return bool(chairs) and self.condition.holds(100 * done / len(chairs))

    def text(self) -> Text:
        """For the trainer."""
        if self.condition is None:
            return say("at {time}", time=format_clock(self.at_ms or 0))
        op, number = self.condition.op, int(self.condition.number)
        if self.condition.what == WAITING:
            return say("when callers on hold are {op} {number}", op=op, number=number)
        return say("when {op} {number} % have {done}", op=op, number=number, done=_DONE[self.condition.what][1])


@dataclass(frozen=True, slots=True)
class Inject:
    """One card of the deck."""

    id: str
    title: Text
    trigger: Text  # when to use it
    message: Text  # what the person is told
    expected: Text  # what he should do
    objective: Text  # what it teaches
    note: Text  # for the trainer alone
    effect: str = ""  # of EFFECTS; "" where it is only told
    data: Mapping[str, Any] = field(default_factory=dict)
    roles: tuple[str, ...] = CHAIR
    when: When | None = None  # fires by itself
    share: int = 100  # percent of those it could be for
    source: Literal["scenario", "catalog"] = "catalog"
    nightly: bool = False  # the simulated night has it already
    silent: bool = False  # nobody is told: what happens is all that there is to see

    @property
    def does(self) -> Text:
        """What the rehearsal does about it, plainly."""
        if self.nightly:
            return say("The simulated night has it too: it comes at its time, whether it is told or not.")
        if self.effect:
            return EFFECTS[self.effect]
        return say("Nothing happens by itself: people are told, and the trainer watches what they do.")

    def view(self, fired: tuple[tuple[int, tuple[str, ...]], ...]) -> InjectView:
        """For the trainer's page."""
        return InjectView(
            id=self.id,
            title=self.title,
            trigger=self.trigger,
            when=self.when.text() if self.when is not None else None,
            message=self.message,
            expected=self.expected,
            objective=self.objective,
            note=self.note,
            does=self.does,
            roles=self.roles,
            share=self.share,
            source=self.source,
            fired=fired,
        )


@dataclass(frozen=True, slots=True)
class InjectView:
    """A card of the deck, as the trainer sees it."""

    id: str
    title: Text
    trigger: Text
    when: Text | None  # how it comes by itself
    message: Text
    expected: Text
    objective: Text
    note: Text
    does: Text
    roles: tuple[str, ...]
    share: int
    source: Literal["scenario", "catalog"]
    fired: tuple[tuple[int, tuple[str, ...]], ...]  # when (ms of the night's clock), and for which seats


def from_scenario(scenario: Scenario) -> Iterator[Inject]:
    """The scenario's own `[[inject]]` tables; those that build on one of the catalog take its texts."""
    known = {inject.id: inject for inject in catalog()}
    for number, one in enumerate(scenario.spec.inject, start=1):
        base = known.get(one.uses or "")

        def told(text: str | None, otherwise: Text | None) -> Text:
            return Text("{text}", {"text": text}) if text is not None else otherwise or Text("")

        condition = parse_condition(one.when) if one.when is not None else None
        when = When(one.at, condition) if one.at is not None or condition is not None else None
        yield Inject(
            id=f"night-{number}",
            title=told(one.title, base.title if base else None),
            trigger=when.text() if when is not None else (base.trigger if base else say("at a click")),
            message=told(one.message, base.message if base else None),
            expected=told(one.expected, base.expected if base else None),
            objective=told(one.objective, base.objective if base else None),
            note=told(one.note, base.note if base else None),
            effect=one.does or (base.effect if base else ""),
            data={**(base.data if base else {}), **one.data},
            nightly=one.is_nightly,
            roles=tuple(one.roles) if one.roles else (base.roles if base else CHAIR),
            when=when,
            share=round(100 * one.share / FULL_SHARE),
            source="scenario",
        )


def catalog() -> tuple[Inject, ...]:
    """The failures that history showed (numbers of the list in docs/rehearsals.md), each as a card."""
    return _CATALOG


_CATALOG = (
    Inject(
        "line-delays-start",
        say("The line delays the start"),
        say("ten minutes before the call to order"),
        say("The line goes around the block. It will not be gone by seven."),
        say("Whoever is in line at 19:00 may take part: close the line behind the last person."),
        say("Knows who may take part, and keeps the room informed."),
        say("In 2020 lines delayed the start by one to two hours. Watch whether anybody is sent home."),
        "long_line",
        roles=AT_A_PRECINCT,
    ),
    Inject(
        "forms-run-out",
        say("Forms run out"),
        say("while doors are open"),
        say("The last registration form is used. Twelve people still have to register."),
        say("Send for copies or take the data on plain paper; let people who are on the list pass the others."),
        say("Keeps the line moving when paper is missing."),
        say("Only registrations should wait. Reprinting took 10 to 30 minutes."),
        "forms_out",
        roles=AT_A_PRECINCT,
    ),
    Inject(
        "missing-voter",
        say("A voter is missing from the list"),
        say("while doors are open"),
        say("A woman says that she has voted here for twenty years. She is not on the list."),
        say("Register her on the spot; do not send her to the back of the line."),
        say("Same-day registration without losing a voter."),
        say("One to three people in a hundred. Being sent back costs each of them the whole line."),
        "missing_voter",
        roles=AT_A_PRECINCT,
    ),
    Inject(
        "wrong-line",
        say("Wrong line in a shared building"),
        say("while doors are open, where several precincts meet"),
        say("A family has waited half an hour in the line of the other precinct."),
        say("Bring them to the front of the right line; put up signs and a greeter."),
        say("Directs people in a shared building."),
        say("About two people in a hundred where precincts share a building."),
        "wrong_line",
        roles=AT_A_PRECINCT,
    ),
    Inject(
        "room-too-small",
        say("The room is too small"),
        say("when most people are in"),
        say("The fire marshal says that nobody else may come into this room."),
        say("Find a second room or the yard; keep one count, with a teller in each place."),
        say("Moves a caucus without losing the count."),
        say("Ames 2008: room for 115, 300 came, the caucus began at 21:00."),
        "more_people_than_room",
        roles=AT_A_PRECINCT,
    ),
    Inject(
        "chair-has-to-leave",
        say("No chair"),
        say("at any time"),
        say("You have to leave at once. Somebody in the room takes over."),
        say("Hand over PIN, worksheet and the number of the hotline; the room elects the new chair."),
        say("A caucus goes on without one person."),
        say("200 to 300 precincts had no chair a week before the night of 2020. Ask the successor whom he would call."),
        "chair_leaves",
    ),
    Inject(
        "count-does-not-match",
        say("More counted than checked in"),
        say("at the count"),
        say("The tellers have counted more people than the check-in table has."),
        say("Count again, with people in rows; freeze N only when both numbers are explained."),
        say("N is right before anything else begins."),
        say("One precinct in a hundred; the worst was 58 people off."),
        "count_mismatch",
    ),
    Inject(
        "headquarters-corrects-wrongly",
        say('Headquarters "corrects" the sum'),
        say("after a report"),
        say("Headquarters calls: your delegates do not add up, we have changed them."),
        say("Do not agree: read the signed worksheet aloud, ask them to put the question in writing."),
        say("The signed worksheet binds."),
        say("Seen in 2020. Whoever agrees on the phone has changed a result without signatures."),
        "headquarters_corrects",
    ),
    Inject(
        "app-loses-report",
        say("Acknowledged, and lost"),
        say("shortly before reports begin"),
        say("The app says: thank you, your report was received."),
        say("Make sure that headquarters has it: look for the confirmation, call if none comes."),
        say("An acknowledgment is not a receipt."),
        say("Nothing shows on the page. Those who just go home are found in the debrief."),
        "app_loses",
        silent=True,
    ),
    Inject(
        "results-site-down",
        say("The public results page falls over"),
        say("when a third have reported"),
        say("The results page on the internet is gone. Reporters ask you whether the caucus is broken."),
        say("Go on reporting as usual; refer reporters to headquarters."),
        say("Intake and publication are two things."),
        say("Intake works all the time. Watch whether anybody stops reporting."),
        roles=ROLES,
    ),
    Inject(
        "no-trial-run",
        say("The PIN is refused"),
        say("when the first worksheets are signed"),
        say("The app says that the PIN is wrong. It was never tried before tonight."),
        say("Try twice, then use the telephone or the side channel within ten minutes."),
        say("Takes the fallback in time."),
        say("Three chairs in four never got the app of 2020 to work."),
        "app_refuses",
        {"minutes": 60},
    ),
    Inject(
        "publication-stopped",
        say("Figures are held back"),
        say("when half have reported"),
        say("Headquarters publishes nothing: totals computed from good reports look wrong."),
        say("Keep the worksheets and photos safe; say only what you reported yourself."),
        say("Good intake does not make good output; paper proves it."),
        say("2020: a program that counted wrongly, and no result that night."),
        roles=ROLES,
    ),
    Inject(
        "broken-outside-check",
        say("An outside check stops a working system"),
        say("when a third have reported"),
        say("A campaign says that your threshold is wrong: its calculator shows another one. You are told to stop."),
        say("Ask who says so and by what authority; go on until headquarters says otherwise."),
        say("Knows who may stop the night."),
        say("The tool of the checker was broken, not the system."),
        "wrong_tool",
    ),
    Inject(
        "one-delegate-refused",
        say("One delegate, not accepted"),
        say("when a precinct of one delegate reports"),
        say("The app does not know precincts that elect one delegate."),
        say("Report by telephone at once."),
        say("Knows the other way before it is needed."),
        say("Such precincts have no groups: watch whether the chair divides the room all the same."),
        "app_refuses",
        {"minutes": 240},
        share=20,
    ),
    Inject(
        "hotline-congested",
        say("The hotline is congested"),
        say("when the first chairs call"),
        say("Callers wait an hour, and call again and again."),
        say("Stay on the line or use the side channel; one call for one report, worksheet ready."),
        say("Does not make the queue longer."),
        say("Half of the simulated operators step away for an hour of the night's clock."),
        "operators_locked_out",
        {"percent": 50, "minutes": 60},
        ROLES,
    ),
    Inject(
        "number-leaked",
        say("The number is published"),
        say("around 22:00, or when half have reported"),
        say("The hotline's number stands on the internet. Strangers call."),
        say("Operators: be brief, hang up on strangers, block who calls again. Chairs: say code and precinct first."),
        say("Tells a report from noise in ten seconds."),
        say("60 to 200 calls an hour came in 2020; 150 an hour cost two and a half operators."),
        "nuisance_calls",
        {"calls_per_hour": 150, "minutes": 120},
        ROLES,
    ),
    Inject(
        "operators-locked-out",
        say("Operators locked out"),
        say("when the first chairs call"),
        say("The operators' second factor lies on phones that they had to leave outside."),
        say("Operators: write reports on paper until the lock is off. Chairs: hold, or take the side channel."),
        say("Paper first, system second."),
        say("All but one in ten of the simulated operators stop for 30 minutes of the night's clock."),
        "operators_locked_out",
        {"percent": 90, "minutes": 30},
        ROLES,
    ),
    Inject(
        "inbox-unread",
        say("Nobody reads the inbox"),
        say("when photos are coming in"),
        say("Hundreds of photos of worksheets lie in an inbox that nobody opens."),
        say("Headquarters: seat somebody there now. Chairs: call if no receipt comes within ten minutes."),
        say("A side channel needs a reader."),
        say("About 700 photos lay unread in 2020."),
        roles=("chair", "entry", "reviewer"),
    ),
    Inject(
        "shifted-columns",
        say("Shifted columns are published"),
        say("after the first releases"),
        say("The published figures of your county stand one column too far to the right."),
        say("Tell headquarters which precinct and column; do not argue with the press."),
        say("Compares what is published with the worksheet."),
        say("Corrected after 45 minutes in 2020."),
        roles=("chair", "reviewer"),
    ),
    Inject(
        "called-for-what-is-held",
        say("Called for a result that is held"),
        say("after a report"),
        say("Headquarters calls and asks for your result once more."),
        say("Say when and how you reported; read the same signed figures again, change nothing."),
        say("Two reports of one precinct are the same."),
        say("Three to five reports in a hundred."),
        "called_again",
    ),
    Inject(
        "results-by-post",
        say("Results by post"),
        say("at the end"),
        say("The last precinct has put its worksheet into a mailbox."),
        say("Photograph every worksheet before it leaves your hands; bring it, do not send it."),
        say("Paper needs a plan of its own."),
        say("In 2020 the last one was in transit on the third day."),
    ),
    Inject(
        "worksheet-binds",
        say("Wrong, signed and binding"),
        say("after signatures"),
        say("A captain finds an error in the arithmetic after everybody has signed."),
        say("Correct it with all signatures again, or report it as signed and say so; never change it alone."),
        say("No unsigned change."),
        say("A signed worksheet binds even when its arithmetic is wrong; a recanvass comes later."),
    ),
    Inject(
        "paper-lost",
        say("The paper never arrives"),
        say("at the end"),
        say("The envelope with your worksheet and cards is not at headquarters."),
        say("Give the photo and the names of those who signed; say who had the envelope last."),
        say("A chain of custody for paper."),
        say("In 2012 eight precincts were never found."),
    ),
    Inject(
        "keying-slip",
        say("A slip larger than the margin"),
        say("after a report"),
        say("A number of your precinct was typed wrongly at headquarters; the slip is larger than the state's margin."),
        say("Reviewers: compare with the worksheet before release. Chairs: ask to have the figures read back."),
        say("Reading back catches what speaking loses."),
        say("The delegates that headquarters holds are changed: does anybody notice before release?"),
        "wrong_correction",
        roles=("chair",),
        share=20,
    ),
    Inject(
        "no-signal",
        say("No signal in a rural precinct"),
        say("when the first worksheets are signed"),
        say("Your phone shows no bars inside the building."),
        say("Go outside, or use a landline and the hotline; do not press send again and again."),
        say("Finds another way within ten minutes."),
        say("One precinct in twenty."),
        "signal_lost",
        {"minutes": 60},
    ),
    Inject(
        "text-fallback",
        say("A text message saves the night"),
        say("when the hotline is congested"),
        say("Headquarters says: photograph the signed worksheet and text it, if nobody answers."),
        say("Send one sharp photo with code and precinct; wait for the receipt."),
        say("Takes the side channel when it is offered."),
        say(
            "Nevada 2020: busy tones, and texted photos that worked. Works here where chairs have the inbox's number "
            "and readers sit there, as in text-fallback; elsewhere they are told that nobody gave them a number."
        ),
        roles=("chair", "entry"),
    ),
)

assert all(inject.effect in EFFECTS or not inject.effect for inject in _CATALOG)
assert tuple(inject.id for inject in _CATALOG) == CARDS
