"""The evening of one precinct as a story: what happened when, and why it was late.

`in_short` needs only the precinct's row of a night (`Night.precincts`); `evening` tells a night that kept its log.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from simulation.night.order import Call, Channel, Kind
from simulation.night.outcome import Night
from simulation.report.words import capitalized, clock, duration, number, plural
from simulation.rules.audit import explain
from simulation.scenario.values import MINUTE, SECOND

LATE = 5 * MINUTE  # a start this much after the hour is worth a reason
_CALLS = {Call.REPORT: "the hotline", Call.HELP: "the hotline for help"}
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Moment:
    """Something that happened: clock time in ms, and a sentence."""

    at: int
    text: str


@dataclass(frozen=True)
class Evening:
    """A precinct's night, told: one finding, why, and what happened when."""

    precinct: str
    finding: str
    causes: tuple[str, ...]
    moments: tuple[Moment, ...]


def in_short(row: Row, call_to_order: int) -> str:
    """The evening in a few sentences, from the precinct's row alone."""
    sentences = [f"{plural(row['people'], 'person', 'people')} came, for {plural(row['stations'], 'station')}."]
    sentences += [capitalized(cause) + "." for cause in delays(row, call_to_order)]
    if row["ready_at_ms"] >= 0:
        sentences.append(
            f"Called to order at {clock(row['started_at_ms'])}, worksheet signed at {clock(row['ready_at_ms'])}."
        )
    sentences.append(capitalized(_arrival(row)) + ".")
    if row["wrong"]:
        sentences.append("The record at headquarters is wrong.")
    return " ".join(sentences)


def delays(row: Row, call_to_order: int) -> list[str]:
    """Why a precinct began late, the longest delay first; nothing where it began on time."""
    if 0 <= row["started_at_ms"] <= call_to_order + LATE:
        return []
    causes = []
    line = row["last_in_at_ms"] - call_to_order
    if line > LATE:
        text = f"the line was gone only at {clock(row['last_in_at_ms'])}"
        if row["forms_ran_out_at_ms"] >= 0:
            text += f", because registration forms ran out at {clock(row['forms_ran_out_at_ms'])}"
        causes.append((line, text))
    chair = row["chair_there_at_ms"] - call_to_order
    if chair > 0:
        who = "nobody was there to chair" if row["chair_missing"] else "the chair was late: nothing could begin"
        causes.append((chair, f"{who} until {clock(row['chair_there_at_ms'])}"))
    if row["move_ms"] > 0:
        causes.append((row["move_ms"], f"the room was too small, which cost {duration(row['move_ms'])}"))
    return [text for _, text in sorted(causes, reverse=True)]


def evening(night: Night, site: int) -> Evening:
    """Tell a site's night from its log. ValueError where the night was played without one."""
    if night.played.log is None:
        raise ValueError("this night was played without its event log")
    row = night.precincts.row(site, named=True)
    setting = night.setting
    ready, reported = row["ready_at_ms"], row["reported_at_ms"]
    name = f"{row['precinct']} ({row['county']})"
    if reported < 0:
        finding = f"Headquarters never had the result of {name}"
    else:
        after = f", {duration(reported - ready)} after its worksheet was signed" if reported - ready >= MINUTE else ""
        finding = f"Headquarters had the result of {name} at {clock(reported)}{after}"
    causes = (*delays(row, setting.call_to_order), *_reporting_causes(night, site, row))
    moments = sorted(_moments(night, site, row), key=lambda moment: moment.at)
    return Evening(name, finding, causes, tuple(moments))


def _arrival(row: Row) -> str:
    """How the result came in, from the precinct's row alone."""
    channel, at = row["channel"], clock(row["reported_at_ms"])
    trouble = ""
    if row["calls"]:
        trouble = f"after {plural(row['calls'], 'call')} and {duration(row['hold_ms'])} on hold "
    if channel == Channel.APP:
        tries = f" at attempt {row['app_attempts']}" if row["app_attempts"] > 1 else ""
        return f"the app took the report{tries} at {at}"
    if channel == Channel.PHONE:
        return f"{trouble}an operator had taken the result by {at}"
    if channel == Channel.INBOX:
        return f"{trouble}the chair sent a photo, which was read by {at}"
    if channel == Channel.REACHED:
        return f"the result was not reported; headquarters asked and had it at {at}"
    if channel == Channel.HAND:
        return f"{trouble}the chair gave up for the night; the result came in at {at}"
    return "headquarters never had the result"


def _reporting_causes(night: Night, site: int, row: Row) -> Iterator[str]:
    """What stood between the worksheet and headquarters."""
    if row["channel"] in (Channel.REACHED, Channel.NONE):
        yield "the chair did not report"
    if row["channel"] != Channel.APP and row["app_attempts"]:
        yield f"the app failed {plural(row['app_attempts'], 'time')}"
    holds = [call for call in night.played.calls if call.site == site and call.about == Call.REPORT]
    left = [call.answered if call.answered >= 0 else call.ended for call in holds]
    longest = max((end - call.dialed for call, end in zip(holds, left, strict=True)), default=0)
    if row["hold_ms"] >= LATE:
        calls = plural(len(holds), "call")
        yield f"{duration(row['hold_ms'])} on hold in {calls}" + (
            f", the longest {duration(longest)}" if len(holds) > 1 else ""
        )
    if row["channel"] == Channel.HAND:
        yield "the chair left it for the morning"


def _moments(night: Night, site: int, row: Row) -> Iterator[Moment]:
    setting = night.setting
    door = (
        f"doors open. {plural(row['people'], 'person', 'people')} will come, for {plural(row['stations'], 'station')}"
    )
    yield Moment(setting.doors_open, capitalized(door) + ".")
    waiting = row["in_line_at_call_to_order"]
    if waiting:
        yield Moment(setting.call_to_order, f"The hour of the call to order: {number(waiting)} are not yet checked in.")
    if row["people"]:
        longest = duration(row["wait_max_ms"])
        yield Moment(row["last_in_at_ms"], f"The last person is in. The longest time in line was {longest}.")
    assert night.played.log is not None  # evening() made sure
    for at, _rank, kind, where, _entity, attempt, value in night.played.log:
        if where != site:
            continue
        text = _told(Kind(kind), night, site, attempt, value)
        if text:
            yield Moment(at, text)


def _told(kind: Kind, night: Night, site: int, attempt: int, value: int) -> str:
    """A logged event as a sentence; empty for what is told elsewhere or is of no interest here."""
    room = night.setting.rooms[site]
    if kind == Kind.CALLED_TO_ORDER:
        chair = "a chair drafted on the spot" if room.chair_missing else "an untrained chair" if room.untrained else ""
        return "The caucus is called to order" + (f" by {chair}." if chair else ".")
    if kind == Kind.COUNTED:
        times = f", at the {('', '', 'second', 'third')[room.counts]} count" if room.counts > 1 else ""
        wrong = value - int(night.setting.people[site])
        more = f", {plural(wrong, 'person', 'people')} more than checked in" if wrong else ""
        return f"{plural(value, 'person', 'people')} counted{times}{more}."
    if kind == Kind.ALIGNED and night.setting.ballot:
        return "The ballots are in."
    if kind == Kind.ALIGNED:
        return f"First alignment: {plural(value, 'viable group')}."
    if kind == Kind.REALIGNED:
        return f"Realignment is over: {plural(value, 'person', 'people')} in the final count."
    if kind == Kind.CALL_ENDED:
        if value < 20 * SECOND:
            return "An operator picks up, hears nobody, and hangs up."
        return f"The call is over after {duration(value)} of talk."
    if kind == Kind.RECEIVED:
        return f"Headquarters holds the result ({Channel(value).name.lower()})."
    if kind == Kind.STOPPED:
        return f"The checks stop the record: {', '.join(explain(value)).replace('_', ' ')}."
    called = _CALLS.get(Call(value)) if kind in (Kind.DIALED, Kind.BUSY, Kind.CLOSED) else None
    sentences = {
        Kind.FORMS_RAN_OUT: f"Registration forms run out after {plural(value, 'registration')}.",
        Kind.FORMS_CAME: f"New forms come; {plural(value, 'person', 'people')} waited for them.",
        Kind.READY: "The worksheet is signed" + (", with an error in its arithmetic." if value else "."),
        Kind.APP_FAILED: f"The app fails, attempt {attempt + 1}.",
        Kind.SUBMITTED: "The app says that the report is in" + (", but headquarters has nothing." if value else "."),
        Kind.DIALED: f"The chair dials {called}." if called else "Headquarters calls back for a result that it holds.",
        Kind.BUSY: "Busy.",
        Kind.CLOSED: "Nobody is on duty any more.",
        Kind.ANSWERED: f"Somebody answers after {duration(value)} on hold." if value else "Somebody answers at once.",
        Kind.HUNG_UP: f"The chair hangs up after {duration(value)} on hold.",
        Kind.SENT: f"The chair sends a photo of the worksheet; {plural(value, 'message')} came before it.",
        Kind.REVIEWED: "The review desk " + ("corrects the record." if value else "lets the record stand."),
        Kind.RELEASED: "The public sees the result.",
    }
    return sentences.get(kind, "")
