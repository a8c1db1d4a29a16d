"""Bots: seats that nobody sits on are played, by the very acts that people have, with the errors of the night's model.

What a bot does follows from the room and from luck by address, so that a replay of its acts is the same evening. How
long a desk takes, and how often a number is mistyped there, is what the scenario says of simulated people.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from simulation.night.order import Call, Channel, Stream
from simulation.night.rooms import Room as RoomOfSite
from simulation.randomness import bits, place_id
from simulation.rehearsal.answer_key import Act, decision, next_act
from simulation.rehearsal.chair import ChairSeat
from simulation.rehearsal.checkin import DOORS, HAND_OVER, CheckinSeat
from simulation.rehearsal.desk import ADVICE, EntryDesk, OperatorDesk, ReviewDesk
from simulation.rehearsal.figures import differences, figures_of, keyed
from simulation.rehearsal.hotline import LEAST_TYPING_MS, SAYS_NOTHING_MS
from simulation.rehearsal.world import Figures

if TYPE_CHECKING:
    from simulation.night.model.hotline import Calling
    from simulation.rehearsal.headquarters import Report
    from simulation.rehearsal.room import Room, Seat
    from simulation.rehearsal.script import PrecinctScript
    from simulation.rehearsal.seat import Seat as SeatAtPrecinct

# One in so many. All of them are assumptions of ours (J): no count of these is known.
WRONG_CASE, WRONG_CASE_UNTRAINED = 20, 4  # decisions in a precinct
WRONG_ADVICE = 20  # what an operator tells a chair whom the app failed
WRONG_SUM = 20  # sheets of check-in that are added up wrongly: about as often as a chair's arithmetic is wrong (C)
OVERLOOKED = 20  # things at the review desk that should be seen: another number than the worksheet's, a broken rule

# Luck of bots, apart from the night's and from the script's.
_CASE_OF_CHAIR, _CASE_OF_CHECKIN, _SUM, _ADVICE, _REVIEW = range(1024 + 32, 1024 + 37)
_PAUSE_MS = 20_000  # between two acts of a bot
_AGAIN_MS = 3 * 60_000  # until a bot tries again what failed
_MOST = 999_999  # that a field takes


def due(room: Room) -> list[tuple[str, str, dict[str, Any]]]:
    """What bots do at this step of the night: (kind, seat, data) of events."""
    found: list[tuple[str, str, dict[str, Any]]] = []
    for seat in room.seats.values():
        if not seat.bot or seat.person is not None or seat.held or room.is_done(seat):
            continue
        if room.now_ms - seat.last_act_ms < _PAUSE_MS:
            continue
        act = _PLAYS[seat.role](room, seat, seat.doing)
        if act is not None:
            data = {"action": act.action, "fields": act.fields, "step": act.step, "bot": True}
            found.append(("acted", seat.id, data))
    return found


# The chair


def _chair(room: Room, seat: Seat, chair: ChairSeat) -> Act | None:
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
        return act._replace(fields={"answer": _answer(room, chair, _CASE_OF_CHAIR)})
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


def _answer(room: Room, seat: SeatAtPrecinct, stream: int) -> str:
    """Decide what came up; some decide wrongly, more of them where nobody was trained."""
    case, site = seat.waiting[0], seat.precinct.site
    one_in = WRONG_CASE_UNTRAINED if room.setting.rooms[site].untrained else WRONG_CASE
    drawn = _drawn(room, site, stream, len(seat.answers))
    wrong = [answer for answer in case.answers if not answer.right]
    return wrong[drawn % len(wrong)].value if wrong and (drawn >> 8) % one_in == 0 else case.right.value


def _drawn(room: Room, site: int, stream: int, ordinal: int = 0) -> int:
    luck, place = room.setting.luck, int(room.setting.roster.places[site])
    return int(bits(luck.seed, luck.night, place, 0, stream, ordinal))


def _written(room: Room, precinct: PrecinctScript) -> Figures:
    """What this chair writes: the truth, or the arithmetic of a chair who errs tonight."""
    worksheets, wrong = room.setting.worksheets
    if not wrong[precinct.site] or precinct.ballot:
        return precinct.figures
    return figures_of(room.setting, worksheets[precinct.site], precinct.attendance)


def _typed(figures: Figures, fields: Iterable[str]) -> dict[str, str]:
    """Figures in the fields of a step."""
    rows = figures.rows()
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
    said = chair.worksheet if careful else keyed(room.setting, chair.precinct.site, chair.worksheet, Channel.APP)
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
    return not differences(written, chair.precinct.figures, chair.precinct.groups)


def _uses_app(room: Room, chair: ChairSeat) -> bool:
    luck, app = room.setting.luck, room.setting.app
    place = int(room.setting.roster.places[chair.precinct.site])
    return luck.happens(app.tries, Stream.APP_TRIES, place) and luck.happens(app.installed, Stream.APP_INSTALLED, place)


# Check-in


def _checkin(room: Room, _: Seat, lead: CheckinSeat) -> Act | None:
    """Decides what comes up, and hands the number over when the line of this night is gone."""
    site = lead.precinct.site
    ends_at = {DOORS: lead.precinct.call_to_order_ms, HAND_OVER: int(room.hotline.rest.line_gone_at[site])}
    if not lead.waiting and room.now_ms < ends_at.get(lead.stage, 0):
        return None
    act = next_act(lead, room.now_ms, room)
    if act is None or act.action == "seven":
        return act
    if act.step.startswith("case:"):
        return act._replace(fields={"answer": _answer(room, lead, _CASE_OF_CHECKIN)})
    forgotten = 10 if _drawn(room, site, _SUM) % WRONG_SUM == 0 else 0  # a carry
    return act._replace(fields={"checked_in": str(abs(lead.precinct.attendance - forgotten))})


# Desks


def _operator(room: Room, seat: Seat, desk: OperatorDesk) -> Act | None:
    """Takes calls as simulated operators do: as long as those, with the slips that those would make."""
    call = desk.call()
    if call is None and seat.id in room.hotline.line.ready:
        return None
    found = ("ready", {}) if call is None else _in_call(room, desk, call)
    return found and Act(desk.steps(room.now_ms, room, room.aids)[0].id, *found)


def _in_call(room: Room, desk: OperatorDesk, call: Calling) -> tuple[str, dict[str, str]] | None:
    """Which button, and what is typed before: when the time of this call is over."""
    caller = room.hotline.line.callers.get(call.entity, "")
    said = room.hotline.said_by(desk.name)
    since_ms, takes_ms = call.answered, call.handling
    if caller and said is None:
        takes_ms = SAYS_NOTHING_MS
    elif caller:  # who has just read it aloud: that was the act before
        since_ms = max(call.answered, room.seats[caller].last_act_ms)
        takes_ms = max(LEAST_TYPING_MS, call.handling // 4)
    if room.now_ms - since_ms < takes_ms:
        return None
    if (caller and said is None) or call.silent or call.about is Call.NUISANCE:
        return "hang_up", {}
    if call.about is Call.REPORT:
        said = said if said is not None else desk.worksheet(call.site)
        return "typed", _in_fields(desk, keyed(room.setting, call.site, said, Channel.PHONE))
    if call.about is Call.CALLBACK:
        return "helped", {}
    drawn = _drawn(room, call.site, _ADVICE, call.attempt)
    wrong = ADVICE[1:][(drawn >> 8) % (len(ADVICE) - 1)]
    return "helped", {"answer": (wrong if drawn % WRONG_ADVICE == 0 else ADVICE[0]).value}


def _entry(room: Room, _: Seat, desk: EntryDesk) -> Act | None:
    """Keys what lies there, in the time of those who read photos; its slips are its own, not the operator's again."""
    report, setting = desk.report(), room.setting
    if report is None:
        return None
    reading = setting.luck.duration(setting.office.reading, Stream.READING, int(setting.roster.places[report.site]))
    if room.now_ms - desk.since_ms < reading:
        return None
    place = place_id(f"keyed again {setting.roster.ids[report.site]} {_nth(room, report)}")
    typed = keyed(setting, report.site, desk.source(report), Channel.INBOX, place)
    return Act(f"desk:key:{report.number}", "keyed", _in_fields(desk, typed))


def _reviewer(room: Room, _: Seat, desk: ReviewDesk) -> Act | None:
    """Compares and decides, in a reviewer's time; now and then overlooks what is wrong."""
    report, setting = desk.report(), room.setting
    if report is None or report.typed is None:
        return None
    needed = setting.luck.duration(setting.office.review, Stream.REVIEW, int(setting.roster.places[report.site]))
    if room.now_ms - desk.since_ms < needed:
        return None
    again = report.again if report.differs else None
    drawn = _drawn(room, report.site, _REVIEW, _nth(room, report))
    said = report.said if drawn % OVERLOOKED else report.typed
    codes = report.codes if (drawn >> 8) % OVERLOOKED else ()
    action = decision(report.typed, again, said, codes, room.headquarters.asked(report))
    return Act(f"desk:review:{report.number}", action, {})


def _nth(room: Room, report: Report) -> int:
    """Which one of its precinct's reports this is: the others' order does not matter."""
    return sum(one.seat == report.seat and one.number < report.number for one in room.headquarters.reports)


def _in_fields(desk: OperatorDesk | EntryDesk, figures: Figures) -> dict[str, str]:
    """Figures in the fields of a desk, every one of them: what somebody else left there is gone."""
    rows = figures.rows()
    found = {"attendees": str(figures.attendees)}
    for name in desk.names() - {"answer", "attendees"}:
        row, _, index = name.rpartition("-")
        found[name] = str(min(rows[row].get(desk.room.setting.groups[int(index)], 0), _MOST))
    return found


_PLAYS: Mapping[str, Callable[[Room, Seat, Any], Act | None]] = {
    "chair": _chair,
    "checkin": _checkin,
    "operator": _operator,
    "entry": _entry,
    "reviewer": _reviewer,
}
