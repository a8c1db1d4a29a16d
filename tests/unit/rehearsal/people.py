"""A made-up outside world and a scripted volunteer, for tests of seats. The volunteer presses buttons as people do."""

# ruff: noqa: ARG002  # a made-up world needs less than a real one is told

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from simulation.rehearsal.answer_key import fields as right_fields
from simulation.rehearsal.answer_key import next_act
from simulation.rehearsal.chair import ChairSeat
from simulation.rehearsal.seat import ARITHMETIC, CITATIONS, HINTS, Seat
from simulation.rehearsal.view import Step
from simulation.rehearsal.world import Figures, Sent, Telephone, Weather

AIDS = frozenset({HINTS, CITATIONS, ARITHMETIC})
MINUTE = 60_000


@dataclass
class FakeWorld:
    """An outside world that does as it is told: an app in one weather, a hotline with a fixed hold."""

    now_ms: int = 0
    how: Weather = "works"
    hold_ms: int | None = 0  # None: a busy tone
    side_channel: bool = False
    loses: bool = False
    phone: Telephone = field(default_factory=lambda: Telephone("idle", 0))
    sent: list[tuple[str, Figures]] = field(default_factory=list)
    dictated: list[Figures] = field(default_factory=list)

    def weather(self, seat: str) -> Weather:
        return self.how

    def _answer(self) -> Sent:
        match self.how:
            case "works":
                return Sent("accepted", arrived=not self.loses)
            case "refuses":
                return Sent("refused")
            case other:
                return Sent(other)

    def log_in(self, seat: str, pin: str) -> Sent:
        return self._answer()

    def submit(self, seat: str, step: str, figures: Figures) -> Sent:
        self.sent.append((step, figures))
        return self._answer()

    def telephone(self, seat: str) -> Telephone:
        if self.phone.state == "waiting" and self.now_ms >= self.phone.since_ms + (self.hold_ms or 0):
            self.phone = Telephone("talking", self.phone.since_ms + (self.hold_ms or 0))
        return self.phone

    def dial(self, seat: str) -> None:
        self.phone = Telephone("waiting" if self.hold_ms is not None else "busy", self.now_ms)

    def hang_up(self, seat: str) -> None:
        self.phone = Telephone("ended", self.now_ms)

    def dictate(self, seat: str, figures: Figures) -> None:
        self.dictated.append(figures)
        self.phone = Telephone("ended", self.now_ms, taken=True)

    def text_photo(self, seat: str, figures: Figures) -> bool:
        return self.side_channel


class Volunteer:
    """Does everything right, half a minute an action, but types `instead`: (step, field) -> text.

    `pressing`: step -> the button to press instead. Where somebody objects, the volunteer `insists`.
    """

    def __init__(
        self,
        seat: Seat,
        world: FakeWorld,
        instead: Mapping[tuple[str, str], str] | None = None,
        pressing: Mapping[str, str] | None = None,
        insists: bool = True,
    ) -> None:
        self.seat, self.world = seat, world
        self.instead, self.pressing, self.insists = dict(instead or {}), dict(pressing or {}), insists
        self.at_ms = seat.precinct.call_to_order_ms - 10 * MINUTE
        self.log: list[tuple[str, dict[str, str], int]] = []

    def wait(self, ms: int) -> None:
        self.at_ms += ms
        self.world.now_ms = self.at_ms
        self.seat.advance(self.at_ms, self.world)

    def steps(self) -> tuple[Step, ...]:
        return self.seat.steps(self.at_ms, self.world, AIDS)

    def do(self, action: str, **fields: str) -> None:
        """Press a button, and let half a minute go by."""
        step = next((s for s in self.steps() if any(b.action == action for b in s.buttons)), None)
        assert step is not None, f"no button {action} in {[b.action for s in self.steps() for b in s.buttons]}"
        self.log.append((action, fields, self.at_ms))
        self.seat.act(action, fields, self.at_ms, self.world)
        self.wait(MINUTE // 2)

    def go_on(self) -> bool:
        """Do the next right thing, or what is to be done instead; False where nothing is left."""
        if self.seat.done:
            return False
        act = next_act(self.seat, self.at_ms, self.world)
        if act is None:
            self.wait(MINUTE)
            return True
        fields = act.fields | {name: text for (step, name), text in self.instead.items() if step == act.step}
        action = self.pressing.get(act.step, act.action)
        offered = [one for step in self.steps() for one in step.buttons]
        if self.insists and any(one.action == "insist" for one in offered):
            action = "insist"
        self.do(action, **fields)
        return True

    def play(self, until: str = "") -> None:
        """The whole evening, or up to a stage."""
        for _ in range(300):
            if self.seat.stage == until or not self.go_on():
                return
        raise AssertionError(f"the evening does not end: {self.seat.stage}, {self.steps()[0]}")

    def play_by_phone(self) -> None:
        """Read everything aloud to whoever answers, and go home."""
        for _ in range(10):
            step = next(one for one in self.steps() if one.id.startswith("phone"))
            if step.id == "phone" and self.world.phone.state == "ended":
                break
            if step.id == "phone":
                self.wait(MINUTE)
                continue
            assert isinstance(self.seat, ChairSeat)
            typed = {name: text for (at, name), text in self.instead.items() if at == step.id}
            self.do(step.buttons[0].action, **(right_fields(self.seat, step) | typed))
        self.do("finish")
