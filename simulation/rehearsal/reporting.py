"""How a chair's result leaves the precinct: by the app, by the telephone, by a photo that is texted.

What these answer is the world's; here is what the chair sees, types and says. Knows nothing of the evening before.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from simulation.rehearsal import citations
from simulation.rehearsal.view import Button, Field, Step, Text, say, say_many
from simulation.rehearsal.world import Figures, Sent, World

if TYPE_CHECKING:
    from simulation.rehearsal.chair import ChairSeat

NOTHING = Figures(0, {}, {}, {})

_SHOWN = {
    "hangs": say("The app hangs. The wheel turns and turns."),
    "down": say("The app answers nobody: the server is down."),
    "no signal": say("There is no signal here."),
    "refused": say("The app refuses it."),
}
_APP = {  # what each screen of the app asks for
    "open": ("attendees",),
    "first-alignment": ("first",),
    "final": ("final", "delegates"),
}


@dataclass(frozen=True, slots=True)
class Report:
    """A result that left the precinct."""

    channel: Literal["app", "phone", "photo"]
    figures: Figures
    at_ms: int
    arrived: bool  # false: the app said thank you, and headquarters has nothing


@dataclass(slots=True)
class Reporting:
    """Where reporting stands at a seat."""

    screen: str = "login"  # of the app: then open, first-alignment, final, photo, sent
    entered: Figures = NOTHING  # in the app, so far
    wrong_pins: int = 0
    app_tries: int = 0  # log-ins and screens that were sent
    app_failed_ms: int | None = None  # when it failed first, through no fault of the chair
    other_way_ms: int | None = None  # when another way was begun after that
    said: dict[str, int] = field(default_factory=dict)  # fields read aloud in this call
    parts: int = 0  # of the worksheet, read aloud
    read_out: Figures | None = None  # all of it, and now it is being typed
    call_ms: int | None = None  # when the call that talks now began to talk
    dialed_ms: list[int] = field(default_factory=list)
    calls_ms: list[tuple[int, int]] = field(default_factory=list)  # (answered, ended) of calls in which all was read
    reports: list[Report] = field(default_factory=list)
    reported: Figures | None = None  # as sent, said or photographed last

    @property
    def believes_reported(self) -> bool:
        """Whether the chair has reason to think that headquarters has the result."""
        return bool(self.reports) or self.read_out is not None

    @property
    def dictated(self) -> Figures:
        """What was read aloud so far in the call that is going on."""
        rows: dict[str, dict[str, int]] = {"first": {}, "final": {}, "delegates": {}}
        for name, value in self.said.items():
            row, _, group = name.partition(".")
            if group:
                rows[row][group] = value
        return Figures(self.said.get("attendees", 0), rows["first"], rows["final"], rows["delegates"])

    # What can be done

    def steps(self, chair: ChairSeat, at_ms: int, world: World) -> Iterable[Step]:
        """App, telephone, photo, and the way home."""
        phone = self._phone(chair, at_ms, world)
        app = self._app(chair)
        on_the_phone = world.telephone(chair.seat).state in {"dialing", "waiting", "talking"}
        home = Step(
            "finish",
            say("Go home"),
            (say("The evening is over when headquarters has the result."),),
            buttons=(Button("finish", say("Close the evening"), "main" if self.believes_reported else "danger"),),
            citations=(citations.REPORT,),
        )
        sent = bool(self.reports) and self.screen != "photo" and not on_the_phone
        yield from (home,) if sent else ()
        yield from (phone, app) if on_the_phone else (app, phone)
        if not on_the_phone:
            yield Step(
                "photo",
                say("Text a photo"),
                (say("If headquarters gave you a number for it, you can text a photo of the signed worksheet."),),
                buttons=(Button("text", say("Text a photo of the worksheet"), "other"),),
                citations=(citations.SAME,),
                place="phone",
            )
        yield from () if sent else (home,)

    def _app(self, chair: ChairSeat) -> Step:
        precinct, again = chair.precinct, Button("app:again", say("Start over in the app"), "other")
        if self.screen == "login":
            return Step(
                "app.login",
                say("The app: sign in"),
                (say("Your card says: site {code}, PIN {pin}.", code=precinct.code, pin=precinct.pin),),
                fields=(Field("pin", "pin", say("PIN"), chair.typed.get("app.login", {}).get("pin", "")),),
                buttons=(Button("app:login", say("Sign in")),),
                hints=(say("When the app does not work, take the telephone. Do not wait for long."),),
                citations=(citations.FALLBACK,),
                place="app",
            )
        if self.screen == "photo":
            return Step(
                "app.photo",
                say("The app: photo of the worksheet"),
                (say("The numbers are sent. The app asks for a photo of the signed worksheet."),),
                buttons=(Button("app:photo", say("Send the photo")), again),
                citations=(citations.SAME,),
                place="app",
            )
        if self.screen == "sent":
            return Step(
                "app.sent",
                say("The app: sent"),
                (say("The app says: thank you, your result was submitted."),),
                buttons=(again,),
                hints=(say("Only headquarters knows whether it arrived."),),
                place="app",
            )
        title = {
            "open": say("The app: number of attendees"),
            "first-alignment": say("The app: first alignment"),
            "final": say("The app: final alignment and delegates"),
        }[self.screen]
        return Step(
            f"app.{self.screen}",
            title,
            (say("Type it from the signed worksheet."),),
            fields=self._fields(chair, f"app.{self.screen}", _APP[self.screen]),
            buttons=(Button(f"app:{self.screen}", say("Send")), again),
            citations=(citations.SAME, citations.ALLOTTED),
            place="app",
        )

    def _labels(self, chair: ChairSeat, rows: Iterable[str]) -> dict[str, Text]:
        labels: dict[str, Text] = {}
        for row in rows:
            labels |= (
                {"attendees": say("Number of attendees, N")} if row == "attendees" else chair.figure_labels((row,))
            )
        return labels

    def _fields(self, chair: ChairSeat, step: str, rows: Iterable[str]) -> tuple[Field, ...]:
        typed = chair.typed.get(step, {})
        return tuple(
            Field(name, "number", label, typed.get(name, ""), required=name == "attendees")
            for name, label in self._labels(chair, rows).items()
        )

    def _spoken(self, chair: ChairSeat) -> tuple[str, ...]:
        """The parts of the worksheet in the order in which they are read aloud."""
        return ("attendees", "final") if chair.precinct.ballot else ("attendees", "first", "final", "delegates")

    def _phone(self, chair: ChairSeat, at_ms: int, world: World) -> Step:
        phone = world.telephone(chair.seat)
        title = say("The hotline")
        hang_up = Button("phone:hang_up", say("Hang up"), "other")
        minutes = max(0, at_ms - phone.since_ms) // 60_000
        if phone.state in {"dialing", "waiting"}:
            story = (
                say("It rings.")
                if phone.state == "dialing"
                else say_many(
                    "You are on hold for {count} minute. Nobody says how long it will take.",
                    "You are on hold for {count} minutes. Nobody says how long it will take.",
                    minutes,
                )
            )
            return Step("phone", title, (story,), buttons=(hang_up,), citations=(citations.FALLBACK,), place="phone")
        if phone.state == "talking":
            who = phone.with_whom or say("Headquarters")
            spoken = self._spoken(chair)
            if self.parts >= len(spoken):
                text = say("{who} types what you said. Stay on the line.", who=who)
                return Step("phone", title, (text,), buttons=(hang_up,), place="phone")
            part = spoken[self.parts]
            question = {
                "attendees": say("{who} asks: which precinct, and how many attendees?", who=who),
                "first": say("{who} asks: the first alignment, group by group?", who=who),
                "final": say("{who} asks: the votes?", who=who)
                if chair.precinct.ballot
                else say("{who} asks: the final alignment, group by group?", who=who),
                "delegates": say("{who} asks: the delegates, group by group?", who=who),
            }[part]
            return Step(
                f"phone.{part}",
                title,
                (question,),
                fields=self._fields(chair, f"phone.{part}", (part,)),
                buttons=(Button(f"phone:say_{part}", say("Read it aloud")), hang_up),
                hints=(say("Read slowly, from the signed worksheet. Let them repeat it."),),
                citations=(citations.SAME,),
                place="phone",
            )
        story_of = {
            "idle": say("You can call the hotline and read the worksheet aloud."),
            "busy": say("You hear a busy tone. All lines are taken."),
            "ended": phone.ended_as or say("The call is over."),
        }
        return Step(
            "phone",
            title,
            (story_of[phone.state],),
            buttons=(Button("phone:dial", say("Call the hotline"), "main" if phone.state != "ended" else "other"),),
            citations=(citations.FALLBACK,),
            place="phone",
        )

    # What is done

    def do(self, chair: ChairSeat, name: str, rest: str, texts: Mapping[str, str], at_ms: int, world: World) -> None:
        """One of the buttons above."""
        if name == "finish":
            self._finish(chair, at_ms)
        elif name == "text":
            self._text_photo(chair, at_ms, world)
        elif name == "phone":
            self._call(chair, rest, texts, at_ms, world)
        elif rest == "login":
            self._log_in(chair, texts, at_ms, world)
        elif rest == "again":
            self.screen = "login" if self.screen == "login" else "open"
            self.entered = NOTHING
        elif rest == "photo":
            if self._sent(chair, world.submit(chair.seat, "photo", self.entered), at_ms, world):
                self.screen = "sent"  # which says thank you
        else:
            self._send(chair, rest, texts, at_ms, world)

    def advance(self, chair: ChairSeat, at_ms: int, world: World) -> None:  # noqa: ARG002  # as every seat's
        """A call that was answered, and one whose numbers were typed."""
        phone = world.telephone(chair.seat)
        if phone.state == "talking" and self.call_ms != phone.since_ms:
            self.call_ms, self.parts, self.said, self.read_out = phone.since_ms, 0, {}, None
        elif phone.state != "talking" and self.call_ms is not None:
            if self.read_out is not None and phone.taken is not False:
                ended = max(phone.since_ms, self.call_ms)
                self.calls_ms.append((self.call_ms, ended))
                self._report(chair, Report("phone", self.read_out, ended, True))
            self.call_ms, self.parts, self.said, self.read_out = None, 0, {}, None

    def _sent(self, chair: ChairSeat, sent: Sent, at_ms: int, world: World) -> bool:
        self.app_tries += 1
        if sent.shown == "accepted":
            return True
        chair.tell(_SHOWN[sent.shown], *sent.reasons)
        if self.app_failed_ms is None:
            self.app_failed_ms = at_ms
            if world.telephone(chair.seat).state in {"dialing", "waiting", "talking"}:
                self.other_way_ms = at_ms  # it was begun before
        return False

    def _log_in(self, chair: ChairSeat, texts: Mapping[str, str], at_ms: int, world: World) -> None:
        pin = texts.get("pin", "").strip()
        if pin != chair.precinct.pin:
            self.wrong_pins += 1
            chair.err("pin", pin, chair.precinct.pin, citations.REPORT, at_ms)
            chair.tell(say("The app says: wrong PIN."))
            return
        chair.mend("pin", at_ms)
        if self._sent(chair, world.log_in(chair.seat, pin), at_ms, world):
            self.screen = "open"
            chair.tell(say("You are signed in."))

    def _send(self, chair: ChairSeat, screen: str, texts: Mapping[str, str], at_ms: int, world: World) -> None:
        labels = self._labels(chair, self._screen_rows(chair, screen))
        found = chair.numbers(labels, texts, tuple(name for name in labels if name != "attendees"))
        if found is None:
            return
        entered = chair.figures(found, self.entered)
        elected = sum(entered.delegates.values())
        if screen == "final" and elected > chair.precinct.delegates and not chair.precinct.ballot:
            self.app_tries += 1
            chair.err("refused", str(elected), str(chair.precinct.delegates), citations.ALLOTTED, at_ms)
            chair.tell(
                say(
                    "The app refuses it: {elected} delegates, and the precinct elects {delegates}.",
                    elected=elected,
                    delegates=chair.precinct.delegates,
                )
            )
            return
        sent = world.submit(chair.seat, screen, entered)
        if not self._sent(chair, sent, at_ms, world):
            return
        self.entered = entered
        order = [one for one in ("open", "first-alignment", "final", "photo") if self._screen_rows(chair, one)]
        self.screen = order[order.index(screen) + 1]
        chair.tell(say("The app says: saved."))
        if screen == "final":
            chair.mend("refused", at_ms)
            self._report(chair, Report("app", entered, at_ms, sent.arrived))

    def _screen_rows(self, chair: ChairSeat, screen: str) -> tuple[str, ...]:
        """What a screen of the app asks for; nothing where it is left out, or is the photo's."""
        if screen == "photo":
            return ("photo",)
        if chair.precinct.ballot:
            return {"open": ("attendees",), "final": ("final",)}.get(screen, ())
        return _APP[screen]

    def _call(self, chair: ChairSeat, rest: str, texts: Mapping[str, str], at_ms: int, world: World) -> None:
        if rest == "dial":
            self._took_another_way(at_ms)
            self.dialed_ms.append(at_ms)
            world.dial(chair.seat)
        elif rest == "hang_up":
            if self.call_ms is None or self.read_out is None:
                world.hang_up(chair.seat)
                self.call_ms, self.parts, self.said, self.read_out = None, 0, {}, None
            else:
                chair.tell(say("They are still typing. You stay on the line."))
        else:
            part = rest.removeprefix("say_")
            labels = self._labels(chair, (part,))
            found = chair.numbers(labels, texts, tuple(name for name in labels if name != "attendees"))
            if found is None:
                return
            self.said = self.said | found
            self.parts += 1
            if self.parts == len(self._spoken(chair)):
                self.read_out = self.dictated
                world.dictate(chair.seat, self.read_out)
            self.advance(chair, at_ms, world)

    def _text_photo(self, chair: ChairSeat, at_ms: int, world: World) -> None:
        assert chair.worksheet is not None
        self._took_another_way(at_ms)
        if world.text_photo(chair.seat, chair.worksheet):
            self._report(chair, Report("photo", chair.worksheet, at_ms, True))
            chair.tell(say("The photo is sent. Somebody at headquarters will read it."))
        else:
            chair.tell(say("Nobody gave you a number for photos."))

    def _took_another_way(self, at_ms: int) -> None:
        if self.app_failed_ms is not None and self.other_way_ms is None:
            self.other_way_ms = at_ms

    def _report(self, chair: ChairSeat, report: Report) -> None:
        self.reports.append(report)
        self.reported = report.figures
        chair.mend("went_home", report.at_ms)
        chair.compare_report(report.figures, report.at_ms)

    def _finish(self, chair: ChairSeat, at_ms: int) -> None:
        if not self.believes_reported:
            chair.err("went_home", say("no report"), say("a report"), citations.REPORT, at_ms)
        chair.close(at_ms)
