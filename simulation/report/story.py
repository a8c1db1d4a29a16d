"""The evening of one precinct as a story: what happened when, and why it was late.

`in_short` needs only the precinct's row of a night (`Night.precincts`); `evening` tells a night that kept its log.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from simulation.night.events import Event
from simulation.night.order import Call, Channel, Kind, Outcome, Rank
from simulation.night.outcome import Called, Night
from simulation.night.summary import quantile
from simulation.rules.audit import KINDS, explain
from simulation.scenario.values import MINUTE
from simulation.words import capitalized, clock, clock_and_day, duration, number, plain, plural, site_name

LATE = 5 * MINUTE  # a start this much after the hour is worth a reason
SLOW = 30 * MINUTE  # so much longer than usual in the room, too
_WAYS = {
    Channel.APP: "by app",
    Channel.PHONE: "by telephone",
    Channel.INBOX: "by photo",
    Channel.REACHED: "because it asked",
    Channel.HAND: "by hand",
}
Row = Mapping[str, Any]
Ranked = tuple[int, int, str]  # clock time in ms, what happens first in the same ms, and a sentence


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
    sentences = [f"{plural(row['people'], 'person', 'people')} came to {plural(row['stations'], 'check-in station')}."]
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
        text = f"the line at the door lasted until {clock(row['last_in_at_ms'])}"
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
    events_of(night)
    row = night.precincts.row(site, named=True)
    setting = night.setting
    ready, reported = row["ready_at_ms"], row["reported_at_ms"]
    name = site_name(row["county"], row["precinct"])
    if reported < 0:
        finding = f"Headquarters never had the result of {name}"
    else:
        after = f", {duration(reported - ready)} after its worksheet was signed" if reported - ready >= MINUTE else ""
        finding = f"Headquarters had the result of {name} at {clock(reported)}{after}"
    causes = (*delays(row, setting.call_to_order), *_slow_room(night, row), *_reporting_causes(night, site, row))
    moments = sorted(_moments(night, site, row), key=lambda ranked: ranked[:2])
    return Evening(name, finding, causes, tuple(Moment(at, told) for at, _, told in moments))


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


def _slow_room(night: Night, row: Row) -> Iterator[str]:
    """Where the room took much longer than most."""
    signed = night.played.ready_at >= 0
    if row["ready_at_ms"] < 0:
        return
    took = row["ready_at_ms"] - row["started_at_ms"]
    usual = quantile((night.played.ready_at - night.played.started_at)[signed].tolist(), 50)
    if took >= usual + SLOW:
        yield f"the room took {duration(took)}, when half of all rooms took {duration(usual)} or less"


def _reporting_causes(night: Night, site: int, row: Row) -> Iterator[str]:
    """What stood between the worksheet and headquarters."""
    if row["channel"] in (Channel.REACHED, Channel.NONE):
        yield "the chair did not report"
    failed = row["app_attempts"] - (row["channel"] == Channel.APP)
    if failed > 0 and row["channel"] != Channel.REACHED:
        before = " before it took the report" if row["channel"] == Channel.APP else ""
        yield f"the app failed {_times(failed)}{before}"
    calls = calls_of(night, site)
    reports = calls[Call.REPORT]
    search = reports[0].dialed - row["ready_at_ms"] if reports else 0
    if row["chair_untrained"] and not row["app_attempts"] and search >= LATE:
        yield f"the untrained chair took {duration(search)} to find the number of the hotline"
    for about, why in ((Call.REPORT, ""), (Call.HELP, " for help")):
        holds = [left_queue(call, night) - call.dialed for call in calls[about]]
        if sum(holds) >= LATE:
            longest = f", the longest {duration(max(holds))}" if len(holds) > 1 else ""
            yield f"{duration(sum(holds))} on hold in {plural(len(holds), 'call')}{why}{longest}"
    busy = sum(call.outcome == Outcome.BUSY for call in reports)
    if busy:
        yield f"the hotline was busy {_times(busy)}"
    if row["channel"] == Channel.INBOX:
        yield "the chair gave up calling and sent a photo of the worksheet"
    if row["channel"] == Channel.HAND:
        yield "the chair left it for the morning"


def calls_of(night: Night, site: int) -> dict[Call, list[Called]]:
    """A site's calls by what they are about, each in the order of dialing."""
    own = [call for call in night.played.each_call() if call.site == site]
    return {about: [call for call in own if call.about == about] for about in Call}


def events_of(night: Night) -> list[Event]:
    """Every event of the night. ValueError where it was played without its log."""
    if night.played.log is None:
        raise ValueError("this night was played without its event log: play_night(..., log=True)")
    return [tuple(row) for row in night.played.log.tolist()]


def left_queue(call: Called, night: Night) -> int:
    """When a caller was answered or gave up; the end of the simulation where it came to neither."""
    return next((at for at in (call.answered, call.ended) if at >= 0), night.setting.until)


def _times(count: int) -> str:
    return {1: "once", 2: "twice"}.get(count) or f"{number(count)} times"


def _moments(night: Night, site: int, row: Row) -> Iterator[Ranked]:
    setting = night.setting
    coming = f"{plural(row['people'], 'person', 'people')} will come, to {plural(row['stations'], 'check-in station')}"
    yield setting.doors_open, 0, f"The doors open. {capitalized(coming)}."
    waiting = row["in_line_at_call_to_order"]
    if waiting:
        not_in = f"{plural(waiting, 'person is', 'people are')} not checked in yet"
        yield setting.call_to_order, 0, f"It is time for the call to order, but {not_in}."
    if row["people"]:
        longest = f"The longest time in line was {duration(row['wait_max_ms'])}"
        yield row["last_in_at_ms"], Rank.SERVICE_ENDS, f"The last person is in. {longest}."
    for calls in calls_of(night, site).values():
        for call in calls:
            yield from _told_call(call)
    for at, rank, kind, where, _entity, attempt, value in events_of(night):
        if where != site:
            continue
        told = _told(Kind(kind), night, site, attempt, value)
        if told:
            yield at, rank, told


def _told_call(call: Called) -> Iterator[Ranked]:
    """A call from the dial to its end; one of headquarters only where somebody came to speak."""
    if call.about == Call.CALLBACK:
        if call.answered >= 0:
            yield call.answered, Rank.CALL_ENDS, "An operator calls back and asks for the result once more."
        return
    dials, caller = "The chair calls the hotline", "the chair"
    if call.about == Call.HELP:
        dials, caller = f"{dials} for help with the app", "the chair, who called for help,"
    if call.outcome == Outcome.BUSY:
        yield call.dialed, Rank.DIALS, f"{dials}: busy."
    elif call.outcome == Outcome.CLOSED and call.ended == call.dialed:
        yield call.dialed, Rank.DIALS, f"{dials}: nobody is on duty."
    elif call.answered == call.dialed:
        yield call.dialed, Rank.DIALS, f"{dials} and is answered at once."
    else:
        yield call.dialed, Rank.DIALS, f"{dials}."
    if call.answered > call.dialed:
        held = duration(call.answered - call.dialed)
        yield call.answered, Rank.CALL_ENDS, f"{capitalized(caller)} is answered after {held} on hold."
    held = duration(call.ended - call.dialed)
    if call.outcome == Outcome.SILENT:
        yield call.ended, Rank.CALL_ENDS, "The operator hears nobody and hangs up."
    elif call.outcome == Outcome.ANSWERED:
        done = "has taken the result" if call.about == Call.REPORT else "has given advice"
        talked = duration(call.ended - call.answered)
        yield call.ended, Rank.CALL_ENDS, f"The operator {done}, after {talked} of talk."
    elif call.outcome == Outcome.HUNG_UP:
        yield call.ended, Rank.PATIENCE_ENDS, f"{capitalized(caller)} hangs up after {held} on hold."
    elif call.outcome == Outcome.CLOSED and call.ended > call.dialed:
        yield call.ended, Rank.SHIFT_CHANGES, f"The hotline closes; {caller} was on hold for {held} in vain."


def _told(kind: Kind, night: Night, site: int, attempt: int, value: int) -> str:
    """A logged event as a sentence; empty for what is told elsewhere or is of no interest here."""
    room = night.setting.rooms[site]
    if kind == Kind.CALLED_TO_ORDER:
        chair = "a chair drafted on the spot" if room.chair_missing else "an untrained chair" if room.untrained else ""
        return "The caucus is called to order" + (f" by {chair}." if chair else ".")
    if kind == Kind.COUNTED:
        times = f", at the {('', '', 'second', 'third')[room.counts]} count" if room.counts > 1 else ""
        wrong = value - int(night.setting.people[site])
        more = f", which is {number(wrong)} too many" if wrong else ""
        return f"{plural(value, 'person is', 'people are')} counted{times}{more}."
    if kind == Kind.ALIGNED and night.setting.ballot:
        return "The ballots are in."
    if kind == Kind.ALIGNED:
        return f"The first alignment ends with {plural(value, 'viable group')}."
    if kind == Kind.REALIGNED:
        return f"The realignment is over; {plural(value, 'person is', 'people are')} in the final count."
    if kind == Kind.READY:
        return "The worksheet is signed" + (", with an error in its arithmetic." if value else ".")
    if kind == Kind.APP_FAILED:
        return f"The app fails at attempt {attempt + 1}."
    if kind == Kind.SUBMITTED:
        return "The app says that the report is in" + (", but headquarters has nothing." if value else ".")
    if kind == Kind.RECEIVED:
        return f"Headquarters has the result, {_WAYS[Channel(value)]}."
    if kind == Kind.STOPPED:
        codes = explain(value)
        if len(codes) > 1 and "award_not_by_rule" in codes:  # the others say why
            codes = [code for code in codes if code != "award_not_by_rule"]
        return f"The checks stop the record: {'; '.join(KINDS[code].meaning for code in codes)}."
    sentences = {
        Kind.FORMS_RAN_OUT: f"The registration forms run out after {plural(value, 'registration')}.",
        Kind.FORMS_CAME: f"New forms arrive; {plural(value, 'person', 'people')} waited for them.",
        Kind.SENT: f"The chair sends a photo of the worksheet; {plural(value, 'message')} came before it.",
        Kind.REVIEWED: "The review desk " + ("corrects the record." if value else "lets the record stand."),
        Kind.RELEASED: "The public sees the result.",
        Kind.UNANSWERED: f"The app gets no answer from its backend; {plural(value, 'request waits', 'requests wait')}.",
    }
    return sentences.get(kind, "")


def text(told: Evening, width: int) -> str:
    """The evening for a terminal of so many columns."""
    lines = _wrapped(f"{told.finding}.", width)
    for cause in told.causes:
        lines += _wrapped(f"- {cause}", width, 2)
    lines.append("")
    today = ""
    for moment in told.moments:
        time, day = clock_and_day(moment.at)
        if day != today:
            lines.append(f"{capitalized(day)}:")
            today = day
        lines += _wrapped(f"{time}  {moment.text}", width, 7)
    return plain("\n".join(lines))


def as_json(told: Evening) -> dict[str, Any]:
    """The evening for other programs: clock times as people read them, and in ms since midnight of caucus day."""
    return {
        "finding": plain(told.finding),
        "causes": [plain(cause) for cause in told.causes],
        "moments": [{"at": clock(one.at), "at_ms": one.at, "text": plain(one.text)} for one in told.moments],
    }


def _wrapped(sentence: str, width: int, indent: int = 0) -> list[str]:
    return textwrap.wrap(
        sentence, width, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False
    )
