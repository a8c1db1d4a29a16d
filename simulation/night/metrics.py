"""Every metric by name: its unit and what it means. The documented list behind docs/metrics.md.

A name with `{...}` stands for several: `wait_p{50,90,95,99}_ms`.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

from simulation.night.order import Kind, Rank

NIGHT = {
    "night": ("number", "The night, from 0."),
    "sites": ("count", "Sites on the roster, satellites included."),
    "people": ("count", "People who came."),
    "wait_p{50,90,95,99}_ms": ("ms", "Time in lines at check-in that so many percent of all people do not exceed."),
    "wait_mean_ms": ("ms", "Mean time in lines at check-in."),
    "wait_total_ms": ("person-ms", "Time in lines at check-in, all people together."),
    "in_line_at_call_to_order": ("count", "People not yet checked in at the call to order."),
    "in_line": ("list of counts", "People in line every 5 minutes, from an hour before the call to order."),
    "wait_p90_by_size_ms": ("list of ms", "Time in lines that one person in ten exceeds, by precinct size; -1: none."),
    "start_delay_p{50,90,95,99}_ms": ("ms", "Delay of the start that so many percent of precincts do not exceed."),
    "start_delay_max_ms": ("ms", "The latest start, after the call to order."),
    "reported": ("list of counts", "Sites that headquarters holds, every 15 minutes from the call to order."),
    "released": ("list of counts", "Sites that the public sees, every 15 minutes from the call to order."),
    "reported_at_history": ("list of counts", "Sites held at each point of `history.reported`."),
    "released_at_history": ("list of counts", "Sites released at each point of `history.released`."),
    "held_p{25,50,75,90,95,99,100}_at_ms": ("clock, ms", "When so many percent of all sites are held; -1: never."),
    "channels": (
        "list of counts",
        "Sites by channel: none, app, phone, inbox, reached (called by headquarters), hand (handed in later).",
    ),
    "app_by_grid": ("list of counts", "Sites reported by app, every 15 minutes from the call to order."),
    "app_tried": ("count", "Chairs who tried the app."),
    "calls": ("count", "Calls dialed."),
    "calls_by_kind": ("list of counts", "Calls by kind: report, help, nuisance, callback."),
    "answered": ("count", "Calls answered."),
    "hung_up": ("count", "Calls whose caller hung up while on hold."),
    "busy_tones": ("count", "Calls that found no line."),
    "hold_p{50,90,95,99}_ms": ("ms", "Hold of answered reports that so many percent do not exceed."),
    "hold_mean_ms": ("ms", "Mean hold of answered reports."),
    "hold_when_answered_by_grid_ms": ("list of ms", "Hold of the caller who is answered next, every 15 min; -1: none."),
    "hold_if_dialed_by_grid_ms": (
        "list of ms",
        "Hold ahead of a patient caller who dials then; -1: nobody is answered.",
    ),
    "queue_by_grid": ("list of counts", "Callers on hold, every 15 minutes."),
    "busy_by_grid": ("list of counts", "Operators on a call, every 15 minutes."),
    "on_duty_by_grid": ("list of counts", "Operators on duty, every 15 minutes."),
    "operators_busy_ms": ("ms", "Time on calls, all operators, over the evening's curves."),
    "operators_on_duty_ms": ("ms", "Time on duty, all operators, over the evening's curves."),
    "chairs_hold_total_ms": ("person-ms", "Time on hold of chairs who report or want help, all calls together."),
    "holds_at_history_ms": ("list of ms", "Hold of the caller answered next at each point of `history.holds`."),
    "wrong_on_receipt": ("count", "Records with an error of the chair or of typing when they come in."),
    "wrong_on_receipt_by_cause": (
        "list of counts",
        "Of these: the worksheet is wrong; it is right, but typed wrongly.",
    ),
    "caught": ("count", "Of the wrong ones, how many the checks stop."),
    "caught_by_cause": ("list of counts", "The same, by cause."),
    "mended_by_cause": ("list of counts", "Of these, how many are right in the end, by cause."),
    "wrong": ("count", "Records at headquarters that differ from what the room did, in the end."),
    "wrong_by_cause": ("list of counts", "The same, by cause."),
    "stopped": ("count", "Records that the checks stop, right or wrong."),
    "sde_off_nano": (
        "1e-9 SDE",
        "State delegate equivalents (straw poll: votes) that records give to the wrong group.",
    ),
    "sde_true_nano": ("list of 1e-9 SDE", "State delegate equivalents by candidate, as the rooms had it."),
    "sde_reported_nano": ("list of 1e-9 SDE", "The same as headquarters has it."),
    "winner_true": ("index", "The candidate with most state delegate equivalents, as the rooms had it."),
    "winner_reported": ("index", "The same as headquarters has it."),
    "national_true": (
        "list of counts",
        "National delegates by candidate, as the rooms had it (plan of 2020: 41); empty without all four districts.",
    ),
    "national_reported": ("list of counts", "The same as headquarters has it."),
    "stations": ("count", "Check-in stations."),
    "operators_shifts_ms": ("ms", "Time on duty, all operators, all shifts until the simulation ends."),
    "review_total_ms": ("ms", "Time at the review desk, all reviewers together."),
    "cost_stations_cents": ("cents", "`stations` at `costs.station`."),
    "cost_operators_cents": ("cents", "`operators_shifts_ms` at `costs.operator_hour`, rounded down."),
    "cost_review_cents": ("cents", "`review_total_ms` at `costs.reviewer_hour`, rounded down."),
}

WITH_BACKEND = {
    "backend_requests": ("count", "Requests of chairs' apps: steps of the report, those sent again included."),
    "backend_unanswered": ("count", "Of these, not answered, or not within `app.backend.timeout`: the app hangs."),
    "backend_hung": ("count", "Sites whose app hung once or more."),
    "backend_drove_off": ("count", "How many of these sites reported in another way."),
    "backend_peak_micro": ("1e-6 a minute", "The highest load in any minute: requests, times `app.backend.load`."),
    "backend_peak_at_ms": ("clock, ms", "The end of that minute."),
}

PRECINCT = {
    "id": ("text", "The roster's stable id."),
    "county": ("text", "County, or group of satellites."),
    "precinct": ("text", "Name."),
    "people": ("count", "People who came."),
    "stations": ("count", "Check-in stations."),
    "wait_p{50,90}_ms": ("ms", "Time in lines that so many percent of its people do not exceed."),
    "wait_max_ms": ("ms", "The longest time in lines."),
    "in_line_at_call_to_order": ("count", "People not yet checked in at the call to order."),
    "last_in_at_ms": ("clock, ms", "When the last person was in."),
    "forms_ran_out_at_ms": ("clock, ms", "When registration forms ran out first; -1: never."),
    "chair_missing": ("0 or 1", "Somebody was drafted on the spot."),
    "chair_untrained": ("0 or 1", "The chair is untrained."),
    "chair_there_at_ms": ("clock, ms", "When there was a chair."),
    "move_ms": ("ms", "Delay because the room was too small."),
    "counts": ("count", "How often the room was counted."),
    "started_at_ms": ("clock, ms", "Called to order in fact."),
    "start_delay_ms": ("ms", "The same, after the time that the rules set."),
    "ready_at_ms": ("clock, ms", "Worksheet signed."),
    "reported_at_ms": ("clock, ms", "Headquarters holds the result; -1: never."),
    "channel": ("code", "0 none, 1 app, 2 phone, 3 inbox, 4 reached, 5 hand."),
    "app_attempts": ("count", "Attempts with the app."),
    "calls": ("count", "Calls dialed."),
    "hold_ms": ("ms", "Time on hold, all calls together."),
    "cleared_at_ms": ("clock, ms", "Through the checks and the review desk."),
    "released_at_ms": ("clock, ms", "The public sees it; -1: never."),
    "chair_error": ("0 or 1", "The worksheet's arithmetic is wrong."),
    "keying_errors": ("count", "Errors made in typing."),
    "findings": ("bits", "What the checks found, see `rules.audit`."),
    "wrong_on_receipt": ("0 or 1", "The record that came in differs from what the room did."),
    "wrong": ("0 or 1", "The record at headquarters differs from it in the end."),
    "sde_off_nano": ("1e-9 SDE", "What the record gives to the wrong group."),
}

EVENTS = {
    Kind.JOINED: ("joins a line at the door", "the line's number in its building"),
    Kind.SERVED: ("comes to a check-in station", "the line's number in its building"),
    Kind.FORMS_RAN_OUT: ("the last registration form is taken", "registrations so far"),
    Kind.FORMS_CAME: ("new forms come", "people who waited for them"),
    Kind.CHECKED_IN: ("is in the room", "ms waited in lines, all together"),
    Kind.CALLED_TO_ORDER: ("the caucus begins", "people"),
    Kind.COUNTED: ("the room is counted", "people counted"),
    Kind.ALIGNED: ("first alignment is over", "viable groups"),
    Kind.REALIGNED: ("realignment is over", "people in the final alignment"),
    Kind.READY: ("the worksheet is signed", "1 where its arithmetic is wrong"),
    Kind.APP_FAILED: ("an attempt with the app fails", "attempts so far"),
    Kind.SUBMITTED: ("the app says that the report is in", "1 where headquarters never sees it"),
    Kind.DIALED: ("a call is dialed", "kind: 0 report, 1 help, 2 nuisance, 3 callback"),
    Kind.BUSY: ("no line is free", "kind of call"),
    Kind.ANSWERED: ("an operator answers", "ms on hold"),
    Kind.HUNG_UP: ("the caller hangs up while on hold", "ms on hold"),
    Kind.CLOSED: ("nobody is on duty", "kind of call"),
    Kind.CALL_ENDED: ("a call is over", "ms since it was answered"),
    Kind.ON_DUTY: ("a shift changes (place: hotline)", "operators on duty"),
    Kind.SENT: ("a photo goes to the inbox", "messages before it"),
    Kind.RECEIVED: ("headquarters holds the result", "channel: 1 app, 2 phone, 3 inbox, 4 reached, 5 hand"),
    Kind.STOPPED: ("the checks stop the record", "bits of what they found, see `rules.audit`"),
    Kind.REVIEWED: ("the review desk is done with it", "1 where the record was changed"),
    Kind.RELEASED: ("the public sees it", "0"),
    Kind.UNANSWERED: ("the app's backend does not answer in time", "requests that wait for the next attempt"),
}

_INTRODUCTION = """\
# Metrics

Written by `make docs`; a test fails when a metric is missing here. Times on the clock are milliseconds since midnight
of caucus day; everything is a whole number. Bands in `summary.json` are quantiles over nights of these.
"""

_EVENTS = """\
Columns: `at_ms` (on the clock), `rank` (of the event inside which it happened: the order within a millisecond), `kind`,
`place` (the roster's id, or "hotline"), `entity` (a person of the precinct, a stranger at the hotline, else 0 or which
kind of caller), `attempt`, `value`. Rows stand in the order in which things happened.
"""


def expanded(names: dict[str, tuple[str, str]]) -> Iterator[str]:
    """Every single name."""
    for name in names:
        parts = re.split(r"\{([^}]*)\}", name)
        choices = [part.split(",") if index % 2 else [part] for index, part in enumerate(parts)]
        yield from ("".join(choice) for choice in itertools.product(*choices))


def markdown() -> str:
    """The page docs/metrics.md."""
    parts = [_INTRODUCTION]
    for title, names in (
        ("A night: `nights.parquet`", NIGHT),
        ("A night with `[app.backend]`: more columns of `nights.parquet`", WITH_BACKEND),
        ("A precinct in a night: `--keep precincts`, `Night.precincts`", PRECINCT),
    ):
        rows = [f"| `{name}` | {unit} | {meaning} |" for name, (unit, meaning) in names.items()]
        parts.append("\n".join([f"## {title}\n", "| metric | unit | meaning |", "|---|---|---|", *rows]) + "\n")
    parts.append(
        "## A precinct over all nights: `precincts.parquet`\n\n"
        "The precinct's metrics of time as `_p05`, `_p50`, `_p95` (quantiles over nights, -1: never), and shares of "
        "nights in millionths: each `channel_*`, `wrong_on_receipt`, `wrong`, `chair_error`, `stopped`, `late_start` "
        "(30 minutes or more), `not_reported_by_2300`.\n"
    )
    ranks = ", ".join(f"{rank.value} {rank.name.lower()}" for rank in Rank)
    rows = [f"| {kind.value} | {kind.name.lower()} | {what} | {value} |" for kind, (what, value) in EVENTS.items()]
    head = ["## Events: `--keep events`, `Night.events`\n", _EVENTS, "| kind | name | what happens | value |"]
    parts.append("\n".join([*head, "|---|---|---|---|", *rows, f"\nRanks: {ranks}.\n"]))
    return "\n".join(parts)
