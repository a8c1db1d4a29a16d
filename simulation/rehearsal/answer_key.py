"""What somebody does next who does everything right: for bots, for the answer key on paper, and for tests.

Knows the script and what a seat shows; presses the same buttons as people do. At a desk: what a reviewer decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from simulation.rehearsal.chair import CHAIR, SECRETARY, ChairSeat
from simulation.rehearsal.checkin import CheckinSeat
from simulation.rehearsal.figures import same

if TYPE_CHECKING:
    from simulation.rehearsal.seat import Seat
    from simulation.rehearsal.view import Step
    from simulation.rehearsal.world import Figures, World


class Act(NamedTuple):
    """A button, and what was typed before it was pressed."""

    step: str
    action: str
    fields: dict[str, str]


def next_act(seat: Seat, at_ms: int, world: World) -> Act | None:
    """The next right thing to do; None where there is only to wait, or nothing is left."""
    steps = seat.steps(at_ms, world)
    if not steps or seat.done:
        return None
    step = steps[0]
    if step.id.startswith("case:"):
        return _press(step, step.buttons[0].action, {"answer": seat.waiting[0].right.value})
    if step.id == "doors":
        ready = at_ms >= seat.precinct.call_to_order_ms
        return _press(step, "seven", {}) if ready else None
    if isinstance(seat, CheckinSeat):
        return _press(step, "hand_over", {"checked_in": str(seat.precinct.attendance)})
    assert isinstance(seat, ChairSeat)
    if seat.stage == "report":
        return _report(seat, steps, world)
    return _press(step, _button(seat, step), fields(seat, step))


def fields(seat: ChairSeat, step: Step) -> dict[str, str]:
    """The right text for every field of a chair's step. Right on paper: the numbers are the room's."""
    precinct = seat.precinct
    single = {
        "counted": str(precinct.attendance),
        "n": str(precinct.attendance),
        "attendees": str(precinct.attendance),
        "threshold": str(precinct.threshold),
        "first": "elect,rules",
        "viable": ",".join(precinct.viable),
        "toss": ",".join(precinct.tied),
        "signers": ",".join((CHAIR, SECRETARY, *precinct.viable_at_end)),
        "pin": precinct.pin,
    }
    rows = {"first": precinct.first, "final": precinct.final, "delegates": precinct.award}
    found = {}
    for one in step.fields:
        row, _, group = one.name.partition(".")
        found[one.name] = str(rows[row].get(group, 0)) if group else single[one.name]
    return found


def _press(step: Step, action: str, typed: dict[str, str]) -> Act:
    return Act(step.id, action, typed)


def _button(seat: ChairSeat, step: Step) -> str:
    precinct = seat.precinct
    if step.id == "count" and sum(seat.sections()) != precinct.attendance:
        return "recount"
    if step.id == "first" and seat.told_first != dict(precinct.first):
        return "tellers"
    if step.id == "final" and seat.told_final != dict(precinct.final):
        return "tellers"
    if step.id == "award" and set(seat.tossed) != set(precinct.tied):
        return "toss"
    return step.buttons[0].action


def _report(seat: ChairSeat, steps: tuple[Step, ...], world: World) -> Act | None:
    """By the app while it works; by telephone from its first failure on; then home."""
    reporting = seat.reporting
    app = next((step for step in steps if step.id.startswith("app.")), None)
    phone = next((step for step in steps if step.id.startswith("phone")), None)
    if world.telephone(seat.seat).state in {"dialing", "waiting"}:
        return None
    if phone is not None and phone.id != "phone":
        return _press(phone, phone.buttons[0].action, fields(seat, phone))
    if world.telephone(seat.seat).state == "talking":
        return None  # they type
    by_app = reporting.app_failed_ms is None and reporting.screen != "sent"
    if reporting.reported is not None and (reporting.app_failed_ms is not None or reporting.screen == "sent"):
        return Act("finish", "finish", {})
    if by_app and app is not None:
        return _press(app, app.buttons[0].action, fields(seat, app))
    return Act("phone", "phone:dial", {})


def decision(typed: Figures, again: Figures | None, said: Figures, codes: Sequence[str], asked: bool) -> str:
    """The button of a reviewer: of a report as typed once and `again` (where that differs), against the worksheet.

    `codes`: what the checks find. `asked`: the chair was called about it before, and stands by the worksheet.
    """
    if again is not None:
        return "first" if same(typed, said) else "second" if same(again, said) else "correct"
    if not same(typed, said):
        return "correct"
    return "send_back" if codes and not asked else "release"
