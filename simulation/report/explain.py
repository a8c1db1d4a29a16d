"""The page of one precinct's evening: the story, its picture (line, room, telephone, headquarters), and every moment.

Takes a night that kept its log; what the sentences say stands in `story`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from simulation.night.order import Call, Kind, Outcome
from simulation.night.outcome import Called
from simulation.report import plot
from simulation.report.chapter import Chapter, KeyNumber, Panel, Table
from simulation.report.pages import page as rendered
from simulation.report.plot import Sheet, color
from simulation.report.story import Evening, calls_of, events_of, left_queue
from simulation.scenario.values import HOUR, MINUTE
from simulation.words import NIGHT_ENDS, capitalized, clock, clock_and_day, duration, number, plural

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from simulation.night.outcome import Night

LINE = 130  # height of the picture of the line
ROW, NARROW_ROW = 30, 46  # of a row of the timeline; on a narrow sheet its name stands above it
BAR = 12
LEAST = 3  # units: a bar of a moment is still seen

Mark = Literal["fail", "done"]


@dataclass(frozen=True)
class Row:
    """One row of the timeline: bars of work and of waiting from .. to, and what failed or succeeded at a moment."""

    name: str
    work: Sequence[tuple[int, int]] = ()
    wait: Sequence[tuple[int, int]] = ()
    marks: Sequence[tuple[int, Mark]] = ()
    label: int = -1  # the moment whose clock time stands beside it


def file_name(scenario: str, seed: int, night: int, precinct: str) -> str:
    """What the page is called: explain-iowa-2020-1-003-johnson-johnson-55.html."""
    slug = re.sub(r"\W+", "-", precinct.casefold()).strip("-")
    return f"explain-{scenario}-{seed}-{night:03}-{slug}.html"


def page(night: Night, site: int, told: Evening, command: str) -> str:
    """The page; equal input gives equal text. `command` repeats it."""
    row = night.precincts.row(site, named=True)
    return rendered(
        "explain.html",
        title=told.precinct,
        story=f"{told.finding}.",
        key_numbers=_key_numbers(night, row),
        causes=[f"{capitalized(cause)}." for cause in told.causes],
        rank=_rank(night, site),
        chapters=[_picture(night, site, row, told), _moments(told)],
        facts=_facts(night, row),
        command=command,
    )


def _key_numbers(night: Night, row: Mapping[str, Any]) -> list[KeyNumber]:
    started, ready, reported = row["started_at_ms"], row["ready_at_ms"], row["reported_at_ms"]

    def at(time: int, meaning: str, since: int, suffix: str) -> KeyNumber:
        if time < 0:
            return KeyNumber("never", meaning)
        value, day = clock_and_day(time)
        later = f"{duration(time - since)} {suffix}" if since >= 0 and time - since >= MINUTE else ""
        return KeyNumber(value, meaning, later, day)

    stations = plural(row["stations"], "check-in station")
    return [
        KeyNumber(number(row["people"]), "people come" if row["people"] != 1 else "person comes", f"to {stations}"),
        at(started, "the caucus is called to order", night.setting.call_to_order, "late"),
        at(ready, "the worksheet is signed", started, "later"),
        at(reported, "headquarters has the result", ready, "later"),
    ]


def _rank(night: Night, site: int) -> str:
    """How the precinct compares with the others of that night."""
    held = night.played.received_at
    half = night.row["held_p50_at_ms"]
    others = f"Headquarters had half of all results by {clock(half)}" if half >= 0 else "Half of all results never came"
    if held[site] < 0:
        return f"{others}."
    earlier = int(((held >= 0) & (held < held[site])).sum())
    return f"{others}; {number(earlier)} of the {plural(night.setting.sites, 'precinct')} were in before this one."


def _facts(night: Night, row: Mapping[str, Any]) -> list[tuple[str, list[str]]]:
    scenario, luck = night.setting.scenario, night.setting.luck
    return [
        ("scenario", [f"{scenario.name}: {scenario.spec.title}"]),
        ("seed", [str(luck.seed)]),
        ("night", [str(luck.night)]),
        ("precinct", [str(row["id"])]),
        ("precincts", [scenario.roster.source]),
        ("roster's fingerprint", [f"SHA-256 {scenario.roster.sha256}"]),
    ]


def _moments(told: Evening) -> Chapter:
    rows = [[clock(moment.at), moment.text] for moment in told.moments]
    table = Table("moments", "The evening, moment by moment", ["Clock", "what happened"], rows, text_columns=(0, 1))
    sentence = f"What happened from {rows[0][0]} to {rows[-1][0]}"
    return Chapter("moments", "Moments", [Panel("moments-panel", sentence, table=table)])


# The picture


def _picture(night: Night, site: int, row: Mapping[str, Any], told: Evening) -> Chapter:
    sentence = _where_time_went(night, row)
    rows = list(_rows(night, site, row))
    start = night.setting.doors_open // (15 * MINUTE) * (15 * MINUTE)
    end = _end(rows, night.setting.call_to_order)
    times = range(start, min(end, max(row["last_in_at_ms"], night.setting.call_to_order) + MINUTE) + 1, MINUTE)
    arrived, inside = (np.sort(of[site]) for of in (night.played.arrived_at, night.played.in_at))
    waiting = [int(n) for n in np.searchsorted(arrived, times, "right") - np.searchsorted(inside, times, "right")]
    most = max(waiting)
    description = (
        f"Above, the people in line from {clock(times[0])} to {clock(times[-1])}: at most {number(most)}, at "
        f"{clock(times[waiting.index(most)])}. Below, on the same clock, a row each for "
        f"{', '.join(row.name.lower() for row in rows)}. The table of moments says all of it in words."
    )
    paint = partial(
        _paint,
        call_to_order=night.setting.call_to_order,
        rows=rows,
        span=(start, end),
        times=list(times),
        waiting=waiting,
    )
    heights = (LINE + 110 + ROW * len(rows), LINE + 110 + NARROW_ROW * len(rows))
    picture = plot.draw("evening", sentence, description, paint, heights=heights, key=tuple(_key(rows)))
    return Chapter("evening", "Evening", [Panel("evening-panel", sentence, _remark(told), picture)])


def _remark(told: Evening) -> list[str]:
    return [] if told.causes else ["Nothing held this precinct up."]


def _where_time_went(night: Night, row: Mapping[str, Any]) -> str:
    """The sentence above the picture: the evening in its three parts."""
    started, ready, reported = row["started_at_ms"], row["ready_at_ms"], row["reported_at_ms"]
    if ready < 0:
        return "The worksheet was never signed"
    late = started - night.setting.call_to_order
    before = f"The caucus began {duration(late)} late" if late >= MINUTE else "The caucus began on time"
    if reported < 0:
        return f"{before}, the room took {duration(ready - started)}, and the result never came"
    return f"{before}, the room took {duration(ready - started)} and the report another {duration(reported - ready)}"


def _rows(night: Night, site: int, row: Mapping[str, Any]) -> Iterator[Row]:
    """The rows of the timeline, from the call to order to the public; only what came to pass."""
    log: dict[Kind, list[tuple[int, int]]] = {}
    for at, _rank, kind, where, _entity, _attempt, value in events_of(night):
        if where == site:
            log.setdefault(Kind(kind), []).append((at, value))
    first = {kind: happened[0][0] for kind, happened in log.items()}
    started = first.get(Kind.CALLED_TO_ORDER)
    if started is not None:
        held_up = [(night.setting.call_to_order, started)] if started > night.setting.call_to_order else []
        counted = first.get(Kind.COUNTED, started)
        yield Row("Opening, count", [(started, counted)], held_up)
        aligned = first.get(Kind.ALIGNED, counted)
        yield Row("Ballots" if night.setting.ballot else "First alignment", [(counted, aligned)])
        realigned = first.get(Kind.REALIGNED, aligned)
        if realigned > aligned:
            yield Row("Realignment", [(aligned, realigned)])
        yield Row("Worksheet", [(realigned, first.get(Kind.READY, realigned))])
    tries: list[tuple[int, Mark]] = [
        (at, "fail") for kind in (Kind.UNANSWERED, Kind.APP_FAILED) for at, _ in log.get(kind, ())
    ]
    tries += [(at, "fail" if lost else "done") for at, lost in log.get(Kind.SUBMITTED, ())]
    if tries:
        yield Row("App", marks=sorted(tries))
    calls, until = calls_of(night, site), night.setting.until
    for about, name in ((Call.HELP, "Calls for help"), (Call.REPORT, "Calls to report")):
        if calls[about]:
            yield _calls_row(name, calls[about], night)
    sent, received = first.get(Kind.SENT), first.get(Kind.RECEIVED)
    if sent is not None:
        yield Row("Photo", wait=[(sent, until if received is None else received)])
    back = [(call.answered, left) for call in calls[Call.CALLBACK] if call.answered >= 0 and (left := call.ended) >= 0]
    if back:
        yield Row("Called back", back)
    if received is None:
        return
    review = (
        [(stopped, reviewed)] if (stopped := first.get(Kind.STOPPED)) and (reviewed := first.get(Kind.REVIEWED)) else []
    )
    yield Row("Headquarters", wait=review, marks=[(received, "done")], label=received)
    if row["released_at_ms"] >= 0:
        released = row["released_at_ms"]
        yield Row("Public", marks=[(released, "done")], label=released)


def _calls_row(name: str, calls: Sequence[Called], night: Night) -> Row:
    """Calls on hold, in talk, and given up or answered in vain."""
    failed = (Outcome.BUSY, Outcome.CLOSED, Outcome.HUNG_UP, Outcome.SILENT)
    return Row(
        name,
        [(call.answered, call.ended) for call in calls if call.answered >= 0 and call.ended >= 0],
        [(call.dialed, left_queue(call, night)) for call in calls if left_queue(call, night) > call.dialed],
        [(call.ended, "fail") for call in calls if call.outcome in failed],
    )


def _end(rows: Sequence[Row], call_to_order: int) -> int:
    """Where the clock axis ends: half an hour after the last of the night; the days after have no place on it."""
    seen = [at for row in rows for at, _ in row.marks] + [end for row in rows for _, end in (*row.work, *row.wait)]
    last = max((at for at in seen if at < NIGHT_ENDS), default=call_to_order)
    half_hour = 30 * MINUTE
    return min(NIGHT_ENDS, max(call_to_order + 3 * HOUR, (last // half_hour + 2) * half_hour))


def _key(rows: Sequence[Row]) -> Iterator[tuple[plot.Mark, str]]:
    marks = {mark for row in rows for _, mark in row.marks}
    if any(row.work for row in rows):
        yield "solid", "at work, in talk"
    if any(row.wait for row in rows):
        yield "inner", "waiting, on hold"
    if "fail" in marks:
        yield "cross", "failed, busy, given up"
    if "done" in marks:
        yield "dot", "the result is in"


def _paint(
    sheet: Sheet,
    *,
    call_to_order: int,
    rows: Sequence[Row],
    span: tuple[int, int],
    times: Sequence[int],
    waiting: Sequence[int],
) -> None:
    """The line above, the timeline below, one clock for both."""
    left, right = (44 if sheet.narrow else 116), 14
    above = sheet.axes(left=left, right=right, top=30, bottom=30 + LINE)
    sheet.clock_axis(above, *span, labels=False)
    top = plot.scale(above, max(1, *waiting), 3)
    sheet.heading(above, "People in line")
    above.fill_between(times, waiting, step="post", color=color("fan-inner"), linewidth=0)
    above.plot(times, waiting, drawstyle="steps-post", color=color("forecast"), linewidth=1.6, clip_on=False)
    above.axvline(call_to_order, color=color("ink"), linewidth=1)
    sheet.label(above, call_to_order, top, "call to order", "ink", above=False, offset=6)

    height = NARROW_ROW if sheet.narrow else ROW
    begin = 30 + LINE + 22
    below = sheet.axes(left=14 if sheet.narrow else left, right=right, top=begin, bottom=begin + height * len(rows))
    if sheet.narrow:  # names stand above their rows, but the clock stays where it is above
        place = above.get_position()
        below.set_position((place.x0, below.get_position().y0, place.width, below.get_position().height))
    sheet.clock_axis(below, *span)
    below.set_ylim(len(rows), 0)
    below.set_yticks([])
    below.grid(visible=False)
    below.axvline(call_to_order, color=color("ink"), linewidth=1)
    for k, lane in enumerate(rows):
        _paint_row(sheet, below, k, lane, span, height, left)


def _paint_row(sheet: Sheet, axes: Axes, k: int, lane: Row, span: tuple[int, int], height: int, left: int) -> None:
    start, end = span
    unit = (end - start) / (sheet.width * axes.get_position().width)  # ms
    middle = k + (0.68 if sheet.narrow else 0.5)
    if k:
        axes.axhline(k, color=color("rule"), linewidth=1, zorder=0)
    if sheet.narrow:  # above its row, on paper of its own where the line of the call to order passes
        paper = {"facecolor": color("paper"), "edgecolor": "none", "pad": 1.5}
        _say(axes, lane.name, (0, k), (4 - left, -5), "muted", of="axes fraction", va="top", bbox=paper)
    else:
        _say(axes, lane.name, (0, middle), (-left, 0), "ink", of="axes fraction")
    for bars, name in ((lane.wait, "fan-inner"), (lane.work, "forecast")):
        for begin, over in bars:
            if begin < end:
                shown = max(min(over, end) - begin, LEAST * unit)
                axes.barh(middle, shown, left=begin, height=BAR / height, color=color(name), linewidth=0, zorder=2)
    for at, mark in lane.marks:
        if at > end:
            continue
        if mark == "fail":
            axes.plot(at, middle, marker="x", markersize=8, markeredgewidth=2.2, color=color("alarm"), clip_on=False,
                      zorder=4)  # fmt: skip
        else:
            axes.plot(at, middle, marker="o", markersize=9, color=color("second"), markeredgecolor=color("paper"),
                      markeredgewidth=1, clip_on=False, zorder=4)  # fmt: skip
    late = [at for at, mark in lane.marks if at > end and mark == "done"]
    if late:
        later = f"{clock(late[-1], brief=True)} \N{RIGHTWARDS ARROW}"
        _say(axes, later, (end, middle), (0, 0), "second", ha="right", weight="bold")
    elif lane.label > end - 60 * unit:
        _say(axes, clock(lane.label), (lane.label, middle), (-10, 0), "second", ha="right", weight="bold")
    elif lane.label >= 0:
        _say(axes, clock(lane.label), (lane.label, middle), (10, 0), "second", weight="bold")


def _say(
    axes: Axes, text: str, at: tuple[float, float], offset: tuple[int, int], name: str, *, of: str = "data", **kind: Any
) -> None:
    """A text beside a point of the timeline; `of`: what its horizontal place is a part of."""
    kind = {"va": "center_baseline"} | kind
    axes.annotate(
        text, at, xytext=offset, xycoords=(of, "data"), textcoords="offset points", color=color(name), zorder=6,
        annotation_clip=False, **kind,
    )  # fmt: skip
