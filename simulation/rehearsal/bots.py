"""Bots: seats that nobody sits on are played, by the very acts that people have, with the errors of the night's model.

What a bot does follows from the room and from luck by address, so that a replay of its acts is the same evening.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from simulation.night import records
from simulation.night.order import Channel, Stream
from simulation.night.rooms import Room as RoomOfSite
from simulation.randomness import bits
from simulation.rehearsal.answer_key import Act, next_act
from simulation.rehearsal.chair import ChairSeat, differences
from simulation.rehearsal.world import Figures

if TYPE_CHECKING:
    from simulation.rehearsal.room import Room, Seat
    from simulation.rehearsal.script import PrecinctScript

_WRONG_CASE, _WRONG_CASE_UNTRAINED = 20, 4  # one decision in so many is wrong; J
_STREAM = 1024 + 32  # luck of bots, apart from the night's and from the script's
_PAUSE_MS = 20_000  # between two acts of a bot
_AGAIN_MS = 3 * 60_000  # until a bot tries again what failed


def due(room: Room) -> list[tuple[str, str, dict[str, Any]]]:
    """What bots do at this step of the night: (kind, seat, data) of events."""
    found: list[tuple[str, str, dict[str, Any]]] = []
    for seat in room.seats.values():
        if not seat.bot or seat.person is not None or seat.held or room.is_done(seat):
            continue
        if room.now_ms - seat.last_act_ms < _PAUSE_MS or not isinstance(seat.doing, ChairSeat):
            continue
        act = _act(room, seat, seat.doing)
        if act is not None:
            data = {"action": act.action, "fields": act.fields, "step": act.step, "bot": True}
            found.append(("acted", seat.id, data))
    return found


def _act(room: Room, seat: Seat, chair: ChairSeat) -> Act | None:
    """What this bot does now, if it is time for anything: the right thing, but for the errors of its chair tonight."""
    if not chair.waiting:  # nothing comes up: do not look at the page before it is time
        if room.now_ms < _ends_at(room, chair).get(chair.stage, 0):
            return None
        if chair.stage == "report":
            return _report(room, seat, chair)
    act = next_act(chair, room.now_ms, room)
    if act is None or chair.protested:
        return None if act is None else Act(act.step, "insist", {})
    if act.step.startswith("case:"):
        return act._replace(fields={"answer": _answer(room, chair)})
    written = _written(room, chair.precinct)
    if act.step == "award" and act.action == "award":
        return act._replace(fields=act.fields | _typed(written, act.fields))
    if act.step == "worksheet" and not chair.called_back_ms:  # who was told of an error does the arithmetic again
        return act._replace(fields=_typed(written, act.fields))
    return act


def _ends_at(room: Room, chair: ChairSeat) -> dict[str, int]:
    """When each stage of a precinct is over, as the model has it."""
    site = chair.precinct.site
    evening: RoomOfSite = room.setting.rooms[site]
    started = max(int(room.hotline.rest.line_gone_at[site]), evening.chair_there) + evening.move
    counted = started + evening.opening + evening.counts * evening.one_count
    aligned = counted + evening.first
    realigned = aligned + (evening.realignment if room.setting.viability[1][site] else 0)
    return {
        "doors": started,
        "call_to_order": started + evening.opening,
        "count": counted,
        "freeze": counted,
        "viability": counted,
        "first_alignment": aligned,
        "realignment": realigned,
        "delegates": realigned + evening.afterwards // 2,
        "worksheet": realigned + evening.afterwards,
    }


def _answer(room: Room, chair: ChairSeat) -> str:
    """Decide what came up; some decide wrongly, more of them where nobody was trained."""
    case = chair.waiting[0]
    evening = room.setting.rooms[chair.precinct.site]
    one_in = _WRONG_CASE_UNTRAINED if evening.untrained else _WRONG_CASE
    drawn = _drawn(room, chair.precinct, len(chair.answers))
    wrong = [answer for answer in case.answers if not answer.right]
    return wrong[drawn % len(wrong)].value if wrong and (drawn >> 8) % one_in == 0 else case.right.value


def _drawn(room: Room, precinct: PrecinctScript, ordinal: int) -> int:
    luck = room.setting.luck
    place = int(room.setting.roster.places[precinct.site])
    return int(bits(luck.seed, luck.night, place, 0, _STREAM, ordinal))


def _written(room: Room, precinct: PrecinctScript) -> Figures:
    """What this chair writes: the truth, or the arithmetic of a chair who errs tonight."""
    worksheets, wrong = room.setting.worksheets
    if not wrong[precinct.site] or precinct.ballot:
        return Figures(precinct.attendance, precinct.first, precinct.final, precinct.award)
    return room.hotline.figures_of(worksheets[precinct.site], precinct.attendance)


def _typed(figures: Figures, fields: Iterable[str]) -> dict[str, str]:
    """Figures in the fields of a step."""
    rows = {"first": figures.first_alignment, "final": figures.final, "delegates": figures.delegates}
    found = {}
    for name in fields:
        row, _, group = name.partition(".")
        if group:
            found[name] = str(rows[row].get(group, 0))
        elif name == "attendees":
            found[name] = str(figures.attendees)
    return found


# Reporting


def _report(room: Room, seat: Seat, chair: ChairSeat) -> Act | None:
    """By app where the phone has one that works, else by telephone until somebody takes it; then home."""
    telephone, reporting = room.telephone(seat.id), chair.reporting
    rests = telephone.state in {"busy", "ended"} and telephone.taken is not True
    if telephone.state == "waiting" or (rests and room.now_ms - telephone.since_ms < _AGAIN_MS):
        return None
    again = _returned(chair)
    if again and not _is_right(chair):
        return Act("paper", "change", {})
    if telephone.state not in {"dialing", "talking"}:
        refused = any(one.kind == "refused" and one.corrected_ms is None for one in chair.mistakes)
        no_app = refused or not _uses_app(room, chair)
        if again and reporting.screen in {"photo", "sent"} and reporting.app_failed_ms is None:
            return Act(f"app.{reporting.screen}", "app:again", {})
        if (again and (no_app or reporting.app_failed_ms is not None)) or (no_app and reporting.reported is None):
            return Act("phone", "phone:dial", {})
        if refused and not again:
            return Act("finish", "finish", {})
    act = next_act(chair, room.now_ms, room)
    if act is None or chair.worksheet is None:
        return act
    careful = act.step.startswith("phone") or bool(chair.called_back_ms)
    said = chair.worksheet if careful else _slipped(room, chair, chair.worksheet)
    return act._replace(fields=act.fields | _typed(said, act.fields))


def _returned(chair: ChairSeat) -> bool:
    """Whether headquarters has called about what was reported last, and nothing was reported since."""
    called = chair.called_back_ms
    return bool(called) and not any(one.at_ms > called[-1] for one in chair.reporting.reports)


def _is_right(chair: ChairSeat) -> bool:
    """Whether the worksheet is signed as it should be."""
    written = chair.worksheet
    if written is None or chair.signed != written:
        return False
    return not differences(written, chair.right, chair.precinct.groups)


def _uses_app(room: Room, chair: ChairSeat) -> bool:
    luck, app = room.setting.luck, room.setting.app
    place = int(room.setting.roster.places[chair.precinct.site])
    return luck.happens(app.tries, Stream.APP_TRIES, place) and luck.happens(app.installed, Stream.APP_INSTALLED, place)


def _slipped(room: Room, chair: ChairSeat, worksheet: Figures) -> Figures:
    """What a chair types into the app: the worksheet, with the night's keying errors at this precinct's address."""
    setting, site = room.setting, chair.precinct.site
    luck, office = setting.luck, setting.office
    record = room.hotline.array_of(worksheet)
    typed = np.zeros_like(record)
    records.key(
        *(luck.seed, luck.night, int(setting.roster.places[site])),
        int(office.field_share[Channel.APP]),
        office.ballot,
        office.kinds,
        record,
        setting.worksheets[0][(site + 1) % setting.sites],
        typed,
    )
    return room.hotline.figures_of(typed, worksheet.attendees)
