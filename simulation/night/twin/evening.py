"""The evening of chairs, app, hotline and headquarters, compiled: one event loop over the same rules as `model.evening`.

What SimPy keeps in suspended processes stands here in the events themselves: an event's rank, entity and number say
whose evening goes on where. What an event causes at once is queued as SimPy queues it: processes that start (`urgent`)
before processes that go on (`Hotline.waking`), each in order.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from simulation.compiled import kernel
from simulation.night.events import HOTLINE
from simulation.night.luck import duration, happens, ticks
from simulation.night.order import (
    Call,
    Channel,
    Kind,
    Outcome,
    Rank,
    Stream,
    attempt_of,
    entity_of,
    event_key,
    rank_of,
)
from simulation.night.records import FINAL, key
from simulation.night.reporting import (
    CALLBACK_ENTITY,
    HELP_ENTITY,
    NUISANCE_ENTITY,
    NUISANCE_PLACE,
    STRANGER_MASK,
    WINDOW_BITS,
    App,
    Office,
    Telephone,
    app_fails,
    call_of,
    correct,
    is_out,
    next_stranger,
    no_sooner,
    public_at,
    screen,
    viable_groups,
)
from simulation.night.twin.heap import FULL, RANK, SIZE, Agenda, pop, push, tell
from simulation.night.twin.hotline import (
    ABOUT,
    ATTEMPT,
    AWAKE,
    ENTITY,
    OUTCOME,
    SITE,
    WAKING,
    Hotline,
    dial,
    ends,
    loses_patience,
    shift_changes,
    wake,
)
from simulation.randomness import Integers

_ROOM = int(Rank.ROOM)
_APP = int(Rank.APP)
_CALL_ENDS = int(Rank.CALL_ENDS)
_SHIFT_CHANGES = int(Rank.SHIFT_CHANGES)
_PATIENCE_ENDS = int(Rank.PATIENCE_ENDS)
_DIALS = int(Rank.DIALS)
_MESSAGE_READ = int(Rank.MESSAGE_READ)
_DELIVERED = int(Rank.DELIVERED)
_REVIEW_ENDS = int(Rank.REVIEW_ENDS)
_RELEASED_RANK = int(Rank.RELEASED)

_CALLED_TO_ORDER = int(Kind.CALLED_TO_ORDER)
_COUNTED = int(Kind.COUNTED)
_ALIGNED = int(Kind.ALIGNED)
_REALIGNED = int(Kind.REALIGNED)
_READY = int(Kind.READY)
_APP_FAILED = int(Kind.APP_FAILED)
_SUBMITTED = int(Kind.SUBMITTED)
_SENT = int(Kind.SENT)
_RECEIVED = int(Kind.RECEIVED)
_STOPPED = int(Kind.STOPPED)
_REVIEWED = int(Kind.REVIEWED)
_RELEASED = int(Kind.RELEASED)

_REPORT = int(Call.REPORT)
_HELP = int(Call.HELP)
_NUISANCE = int(Call.NUISANCE)
_CALLBACK_CALL = int(Call.CALLBACK)

_BY_APP = int(Channel.APP)
_BY_PHONE = int(Channel.PHONE)
_BY_INBOX = int(Channel.INBOX)
_BY_ASKING = int(Channel.REACHED)
_BY_HAND = int(Channel.HAND)

_BUSY = int(Outcome.BUSY)
_CLOSED = int(Outcome.CLOSED)
_HUNG_UP = int(Outcome.HUNG_UP)
_SILENT = int(Outcome.SILENT)
_ANSWERED = int(Outcome.ANSWERED)

_CHAIR_SILENT = int(Stream.CHAIR_SILENT)
_FINDS_NUMBER = int(Stream.FINDS_NUMBER)
_HAND_DELIVERY = int(Stream.HAND_DELIVERY)
_REACHED = int(Stream.REACHED)
_RESULT_LOST = int(Stream.RESULT_LOST)
_APP_TRIES = int(Stream.APP_TRIES)
_APP_INSTALLED = int(Stream.APP_INSTALLED)
_NO_SIGNAL = int(Stream.NO_SIGNAL)
_APP_ENTRY = int(Stream.APP_ENTRY)
_APP_HANG = int(Stream.APP_HANG)
_APP_RETRY = int(Stream.APP_RETRY)
_APP_LOST = int(Stream.APP_LOST)
_ASKS_FOR_HELP = int(Stream.ASKS_FOR_HELP)
_HELP_SOLVES = int(Stream.HELP_SOLVES)
_HELP_AFTER = int(Stream.HELP_AFTER)
_TURNS_TO_INBOX = int(Stream.TURNS_TO_INBOX)
_UNTIL_MORNING = int(Stream.UNTIL_MORNING)
_HOLD_WAIT = int(Stream.HOLD_WAIT)
_AFTER_BUSY = int(Stream.AFTER_BUSY)
_BUSY_WAIT = int(Stream.BUSY_WAIT)
_CALLBACK = int(Stream.CALLBACK)
_NUISANCE_AGAIN = int(Stream.NUISANCE_AGAIN)
_NUISANCE_WAIT = int(Stream.NUISANCE_WAIT)
_READING = int(Stream.READING)
_REVIEW = int(Stream.REVIEW)

# Columns of a room, as `rooms.describe` fills them
_UNTRAINED, _CHAIR_THERE, _MOVE, _OPENING, _COUNTS, _ONE_COUNT, _COUNTED_PEOPLE, _FIRST, _AGAIN, _AFTERWARDS = range(1, 11)

_OPENS = -1  # the number of the inbox's opening among messages read

# Where a chair stands with the app: the number of an event of that rank
_ENTERS, _HANGS, _TRIES_AGAIN = 0, 1, 2

# What goes on at once: a call's number, or a site above these
_READER_FREE = 1 << 40
_REVIEWER_FREE = 1 << 41
_NUMBER = _READER_FREE - 1

# Of `Desks.count`
_READERS, _READER_FIRST, _READER_LAST, _REVIEWERS, _REVIEW_FIRST, _REVIEW_LAST, _MESSAGES, _URGENT, _STARTED = range(9)

_BEGINS_REVIEW, _BEGINS_CALLBACK = 0, 1 << 40


class Night(NamedTuple):
    """What was decided before the clock started; arrays by site."""

    seed: int
    number: int
    resolution: int
    doors_open: int
    call_to_order: int
    until: int
    places: Integers
    people: Integers
    delegates: Integers
    rooms: Integers
    records: Integers
    worksheets: Integers
    chair_erred: Integers
    line_gone_at: Integers


class Sites(NamedTuple):
    """What happens to each site; times in ms, -1 where it does not come to that."""

    started_at: Integers
    ready_at: Integers
    app_attempts: Integers
    received_at: Integers
    channel: Integers
    cleared_at: Integers
    released_at: Integers
    keying_errors: Integers
    findings: Integers
    helped: Integers  # 1: a help call solved log-in and submission

    @classmethod
    def of(cls, sites: int) -> Sites:
        """Before the evening."""
        found = np.zeros((len(cls._fields), sites), np.int64)
        for name in ("started_at", "ready_at", "received_at", "cleared_at", "released_at"):
            found[cls._fields.index(name)] = -1
        return cls(*found)


class Desks(NamedTuple):
    """The inbox and the review desk: who waits, first come first served; and processes that start at once."""

    inbox: Integers
    review: Integers
    urgent: Integers
    count: Integers

    @classmethod
    def of(cls, sites: int, reviewers: int) -> Desks:
        """Room for every site once, and for two starts of each."""
        count = np.zeros(9, np.int64)
        count[_REVIEWERS] = reviewers
        return cls(np.zeros(sites, np.int64), np.zeros(sites, np.int64), np.zeros(2 * sites + 2, np.int64), count)


@kernel
def play_evening(
    night: Night,
    app: App,
    phone: Telephone,
    office: Office,
    rota: Integers,
    first_stranger: Integers,
    answered: Integers,
    sites: Sites,
    reported: Integers,
    line: Hotline,
    desks: Desks,
    agenda: Agenda,
) -> None:
    """Play the evening until the night ends, or until something finds no room (`heap.FULL`).

    `rota` is (changes, 2): ms, operators. `answered` counts strangers' answered calls: those of window w begin at
    first_stranger[w].
    """
    agenda.count[SIZE] = 0
    for change in range(len(rota)):
        push(agenda, rota[change, 0], event_key(_SHIFT_CHANGES, change, 0), rota[change, 1])
    if office.readers > 0:
        push(agenda, office.inbox_opens, event_key(_MESSAGE_READ, 0, 0), _OPENS)
    for site in range(len(night.places)):
        room = night.rooms[site]
        start = max(night.line_gone_at[site], room[_CHAIR_THERE]) + room[_MOVE]
        push(agenda, start, event_key(_ROOM, site, 0), 0)
        _asks_about_installing(night, app, site, agenda)
    _strangers_call(night, phone, first_stranger, agenda)
    while agenda.count[SIZE] > 0 and agenda.at[0] < night.until and not agenda.count[FULL]:
        now, event, number = pop(agenda)
        rank = rank_of(event)
        agenda.count[RANK] = rank
        entity, attempt = entity_of(event), attempt_of(event)
        if rank == _DIALS:
            _dials(night, phone, now, number, entity, attempt, line, agenda)
        elif rank == _PATIENCE_ENDS:
            loses_patience(line, agenda, now, number)
        elif rank == _CALL_ENDS:
            ends(line, agenda, now, number)
        elif rank == _ROOM:
            _goes_on(night, app, phone, office, now, entity, attempt, sites, agenda)
        elif rank == _APP:
            _app_goes_on(night, app, phone, office, now, entity, attempt, number, sites, reported, line, desks, agenda)
        elif rank == _SHIFT_CHANGES:
            shift_changes(line, agenda, now, number)
        elif rank == _MESSAGE_READ:
            if number == _OPENS:
                for _ in range(office.readers):
                    _reader_is_free(line, desks, agenda)
            else:
                _receive(night, office, now, entity, _BY_INBOX, sites, reported, desks, agenda)
                _reader_is_free(line, desks, agenda)
        elif rank == _DELIVERED:
            _receive(night, office, now, entity, number, sites, reported, desks, agenda)
        elif rank == _REVIEW_ENDS:
            _is_reviewed(night, office, now, entity, sites, reported, agenda)
            _reviewer_is_free(line, desks, agenda)
        else:
            sites.released_at[entity] = now
            tell(agenda, now, _RELEASED, entity, 0, 0, 0)
        while True:  # what this event caused at once: processes that start, then processes that go on
            if desks.count[_STARTED] < desks.count[_URGENT]:
                started = desks.urgent[desks.count[_STARTED]]
                desks.count[_STARTED] += 1
                _starts(started, now, line, desks, agenda)
            elif line.count[AWAKE] < line.count[WAKING]:
                awake = line.waking[line.count[AWAKE]]
                line.count[AWAKE] += 1
                _wakes(
                    night, app, phone, office, now, awake, first_stranger, answered, sites, reported, line, desks, agenda
                )
            else:
                break
        desks.count[_STARTED] = desks.count[_URGENT] = 0
        line.count[AWAKE] = line.count[WAKING] = 0


@kernel
def _starts(started: int, now: int, line: Hotline, desks: Desks, agenda: Agenda) -> None:
    """A process starts: an operator calls back, or a record goes to the review desk."""
    site = started & _NUMBER
    if started & _BEGINS_CALLBACK:
        push(agenda, now, event_key(_DIALS, CALLBACK_ENTITY | site, 0), _CALLBACK_CALL)
    elif desks.count[_REVIEWERS] > 0:
        desks.count[_REVIEWERS] -= 1
        wake(line, agenda, _REVIEWER_FREE | site)
    else:
        desks.review[desks.count[_REVIEW_LAST]] = site
        desks.count[_REVIEW_LAST] += 1


@kernel
def _wakes(
    night: Night,
    app: App,
    phone: Telephone,
    office: Office,
    now: int,
    awake: int,
    first_stranger: Integers,
    answered: Integers,
    sites: Sites,
    reported: Integers,
    line: Hotline,
    desks: Desks,
    agenda: Agenda,
) -> None:
    """A process goes on: somebody is free for it, or its call is over."""
    if awake & _REVIEWER_FREE:
        site = awake & _NUMBER
        takes = duration(night.seed, night.number, night.resolution, office.review, night.places[site], 0, _REVIEW, 0)
        push(agenda, now + takes, event_key(_REVIEW_ENDS, site, 0), 0)
    elif awake & _READER_FREE:
        site = awake & _NUMBER
        takes = duration(night.seed, night.number, night.resolution, office.reading, night.places[site], 0, _READING, 0)
        push(agenda, now + takes, event_key(_MESSAGE_READ, site, 1), 0)
    else:
        call = line.calls[awake]
        about = call[ABOUT]
        if about == _NUISANCE:
            _stranger_goes_on(night, phone, now, call, first_stranger, answered, agenda)
        elif about == _REPORT:
            _caller_goes_on(night, phone, office, now, call, sites, reported, line, desks, agenda)
        elif about == _HELP and call[ENTITY] == call[SITE]:
            _was_helped(night, app, now, call, sites, agenda)


# The room


@kernel
def _goes_on(
    night: Night,
    app: App,
    phone: Telephone,
    office: Office,
    now: int,
    site: int,
    stage: int,
    sites: Sites,
    agenda: Agenda,
) -> None:
    """The next part of a precinct's evening, from the call to order to the signed worksheet."""
    room = night.rooms[site]
    following, takes = stage + 1, 0
    if stage == 0:
        sites.started_at[site] = now
        tell(agenda, now, _CALLED_TO_ORDER, site, 0, 0, night.people[site])
        takes = room[_OPENING] + room[_COUNTS] * room[_ONE_COUNT]
    elif stage == 1:
        tell(agenda, now, _COUNTED, site, 0, 1, room[_COUNTED_PEOPLE])
        takes = room[_FIRST]
    elif stage == 2:
        viable, somebody_realigns = viable_groups(night.records[site], night.delegates[site], room[_COUNTED_PEOPLE])
        tell(agenda, now, _ALIGNED, site, 0, 2, viable)
        takes = room[_AGAIN]
        if not somebody_realigns:
            following, takes = 4, room[_AFTERWARDS]
    elif stage == 3:
        tell(agenda, now, _REALIGNED, site, 0, 3, night.records[site, FINAL].sum())
        takes = room[_AFTERWARDS]
    else:
        sites.ready_at[site] = now
        tell(agenda, now, _READY, site, 0, 4, night.chair_erred[site])
        _reports(night, app, phone, office, now, site, sites, agenda)
        return
    push(agenda, now + takes, event_key(_ROOM, site, following), 0)


@kernel
def _reports(
    night: Night, app: App, phone: Telephone, office: Office, now: int, site: int, sites: Sites, agenda: Agenda
) -> None:
    """Bring the result to headquarters, one way or another."""
    if happens(night.seed, night.number, office.silent, night.places[site], 0, _CHAIR_SILENT, 0):
        _is_reached(night, office, now, site, agenda)
    elif _means_to_use_app(night, app, site) and happens(
        night.seed, night.number, app.installed, night.places[site], 0, _APP_INSTALLED, 0
    ):
        _tries_app(night, app, now, site, 0, sites, agenda)
    else:
        _calls(night, phone, now, site, agenda)


@kernel
def _is_reached(night: Night, office: Office, now: int, site: int, agenda: Agenda) -> None:
    """Headquarters has nothing and asks; some results are never found."""
    place = night.places[site]
    if not _is_lost(night, office, place):
        after = duration(night.seed, night.number, night.resolution, office.reached, place, 0, _REACHED, 0)
        push(agenda, max(now, night.call_to_order + after), event_key(_DELIVERED, site, 0), _BY_ASKING)


@kernel
def _is_lost(night: Night, office: Office, place: int) -> bool:
    return happens(night.seed, night.number, office.lost, place, 0, _RESULT_LOST, 0)


@kernel
def _by_hand(night: Night, office: Office, now: int, site: int, agenda: Agenda) -> None:
    """The chair gives up for tonight."""
    place = night.places[site]
    if not _is_lost(night, office, place):
        after = duration(night.seed, night.number, night.resolution, office.by_hand, place, 0, _HAND_DELIVERY, 0)
        push(agenda, max(now, night.call_to_order + after), event_key(_DELIVERED, site, 0), _BY_HAND)


# The app


@kernel
def _means_to_use_app(night: Night, app: App, site: int) -> bool:
    allowed = app.single_delegate or night.delegates[site] != 1
    return allowed and happens(night.seed, night.number, app.tries, night.places[site], 0, _APP_TRIES, 0)


@kernel
def _asks_about_installing(night: Night, app: App, site: int, agenda: Agenda) -> None:
    """A chair whose app was never working may ask for help; it costs an operator's time and solves nothing."""
    place = night.places[site]
    if (
        _means_to_use_app(night, app, site)
        and not happens(night.seed, night.number, app.installed, place, 0, _APP_INSTALLED, 0)
        and happens(night.seed, night.number, app.asks_for_help, place, 0, _ASKS_FOR_HELP, 0)
    ):
        after = duration(night.seed, night.number, night.resolution, app.help_after, place, 0, _HELP_AFTER, 0)
        push(agenda, night.doors_open + after, event_key(_DIALS, HELP_ENTITY | site, 0), _HELP)


@kernel
def _tries_app(night: Night, app: App, now: int, site: int, attempt: int, sites: Sites, agenda: Agenda) -> None:
    """An attempt with the app begins; whether it fails is known when it ends."""
    place = night.places[site]
    sites.app_attempts[site] = attempt + 1
    fails = is_out(app.outages, now) or happens(night.seed, night.number, app.no_signal, place, 0, _NO_SIGNAL, 0)
    if not fails and not sites.helped[site]:
        fails = app_fails(night.seed, night.number, app.login_fails, app.submit_fails, place, attempt)
    if fails:
        _app_hangs(night, app, now, site, attempt, agenda)
    else:
        takes = duration(night.seed, night.number, night.resolution, app.entry, place, 0, _APP_ENTRY, attempt)
        push(agenda, now + takes, event_key(_APP, site, attempt), _ENTERS)


@kernel
def _app_hangs(night: Night, app: App, now: int, site: int, attempt: int, agenda: Agenda) -> None:
    place = night.places[site]
    takes = duration(night.seed, night.number, night.resolution, app.hang, place, 0, _APP_HANG, attempt)
    push(agenda, now + takes, event_key(_APP, site, attempt), _HANGS)


@kernel
def _waits_with_app(night: Night, app: App, now: int, site: int, attempt: int, agenda: Agenda) -> None:
    place = night.places[site]
    takes = duration(night.seed, night.number, night.resolution, app.retry, place, 0, _APP_RETRY, attempt)
    push(agenda, now + takes, event_key(_APP, site, attempt), _TRIES_AGAIN)


@kernel
def _app_goes_on(
    night: Night,
    app: App,
    phone: Telephone,
    office: Office,
    now: int,
    site: int,
    attempt: int,
    number: int,
    sites: Sites,
    reported: Integers,
    line: Hotline,
    desks: Desks,
    agenda: Agenda,
) -> None:
    """An attempt ends, or the next one begins."""
    place = night.places[site]
    if number == _TRIES_AGAIN:
        _tries_app(night, app, now, site, attempt + 1, sites, agenda)
    elif number == _HANGS:
        tell(agenda, now, _APP_FAILED, site, 0, attempt, attempt + 1)
        if attempt + 1 == app.attempts:
            _calls(night, phone, now, site, agenda)
        elif happens(night.seed, night.number, app.asks_for_help, place, 0, _ASKS_FOR_HELP, attempt + 1):
            push(agenda, now, event_key(_DIALS, site, attempt), _HELP)
        else:
            _waits_with_app(night, app, now, site, attempt, agenda)
    elif is_out(app.outages, now):
        _app_hangs(night, app, now, site, attempt, agenda)
    else:
        lost = happens(night.seed, night.number, app.lost, place, 0, _APP_LOST, 0)
        tell(agenda, now, _SUBMITTED, site, 0, attempt, lost)
        if lost:
            _is_reached(night, office, now, site, agenda)
        else:
            _receive(night, office, now, site, _BY_APP, sites, reported, desks, agenda)


@kernel
def _was_helped(night: Night, app: App, now: int, call: Integers, sites: Sites, agenda: Agenda) -> None:
    """A help call is over; from now on, whatever else fails, log-in and submission may work."""
    site, attempt = call[SITE], call[ATTEMPT]
    if call[OUTCOME] == _ANSWERED and happens(
        night.seed, night.number, app.help_solves, night.places[site], 0, _HELP_SOLVES, attempt
    ):
        sites.helped[site] = 1
        _tries_app(night, app, now, site, attempt + 1, sites, agenda)
    else:
        _waits_with_app(night, app, now, site, attempt, agenda)


# The telephone


@kernel
def _calls(night: Night, phone: Telephone, now: int, site: int, agenda: Agenda) -> None:
    """Call the hotline; an untrained chair looks for its number first."""
    wait = 0
    if night.rooms[site, _UNTRAINED]:
        place = night.places[site]
        wait = duration(night.seed, night.number, night.resolution, phone.finds_number, place, 0, _FINDS_NUMBER, 0)
    push(agenda, now + wait, event_key(_DIALS, site, 0), _REPORT)


@kernel
def _dials(
    night: Night,
    phone: Telephone,
    now: int,
    about: int,
    entity: int,
    attempt: int,
    line: Hotline,
    agenda: Agenda,
) -> None:
    if about == _NUISANCE:
        site, place, person = HOTLINE, NUISANCE_PLACE, entity & STRANGER_MASK
    else:
        site = entity & (NUISANCE_ENTITY - 1)
        place, person = night.places[site], 0
    silent, handling, patience = call_of(
        night.seed,
        night.number,
        night.resolution,
        about,
        place,
        person,
        attempt,
        phone.silent,
        phone.silent_for,
        phone.handling[about],
        phone.patience[about],
    )
    dial(line, agenda, now, about, site, entity, attempt, silent, handling, patience)


@kernel
def _caller_goes_on(
    night: Night,
    phone: Telephone,
    office: Office,
    now: int,
    call: Integers,
    sites: Sites,
    reported: Integers,
    line: Hotline,
    desks: Desks,
    agenda: Agenda,
) -> None:
    """A call with a report is over: it was taken, or the chair dials again, sends a photo, or leaves it for tonight."""
    site, attempt, outcome = call[SITE], call[ATTEMPT], call[OUTCOME]
    place = night.places[site]
    if outcome == _ANSWERED:
        _receive(night, office, now, site, _BY_PHONE, sites, reported, desks, agenda)
        if happens(night.seed, night.number, office.callbacks, place, 0, _CALLBACK, 0):
            _start(desks, _BEGINS_CALLBACK | site)
        return
    if outcome == _CLOSED:
        _by_hand(night, office, now, site, agenda)
        return
    if (
        (outcome == _BUSY or outcome == _HUNG_UP)
        and attempt == 0
        and office.readers > 0
        and happens(night.seed, night.number, office.to_inbox, place, 0, _TURNS_TO_INBOX, 0)
    ):
        tell(agenda, now, _SENT, site, 0, 0, desks.count[_MESSAGES])
        desks.count[_MESSAGES] += 1
        if desks.count[_READERS] > 0:
            desks.count[_READERS] -= 1
            wake(line, agenda, _READER_FREE | site)
        else:
            desks.inbox[desks.count[_READER_LAST]] = site
            desks.count[_READER_LAST] += 1
        return
    if outcome == _HUNG_UP:
        gives_up = happens(night.seed, night.number, phone.until_morning, place, 0, _UNTIL_MORNING, attempt)
        wait = duration(night.seed, night.number, night.resolution, phone.hold_wait, place, 0, _HOLD_WAIT, attempt)
    else:
        gives_up = outcome == _BUSY and not happens(
            night.seed, night.number, phone.after_busy, place, 0, _AFTER_BUSY, attempt
        )
        wait = duration(night.seed, night.number, night.resolution, phone.busy_wait, place, 0, _BUSY_WAIT, attempt)
    if gives_up:
        _by_hand(night, office, now, site, agenda)
    else:
        push(agenda, now + no_sooner(wait, night.resolution), event_key(_DIALS, site, attempt + 1), _REPORT)


@kernel
def _strangers_call(night: Night, phone: Telephone, first_stranger: Integers, agenda: Agenda) -> None:
    """The first call of each stranger; first_stranger[w] is filled in."""
    strangers = 0
    for window in range(len(phone.windows)):
        first_stranger[window] = strangers
        at, end, per_hour = phone.windows[window, 0], phone.windows[window, 1], phone.windows[window, 2]
        caller = 0
        while per_hour > 0:
            at = next_stranger(night.seed, night.number, window, caller, at, per_hour, phone.waiting_once)
            if at >= end:
                break
            entity = NUISANCE_ENTITY | window << WINDOW_BITS | caller
            push(agenda, ticks(at, night.resolution), event_key(_DIALS, entity, 0), _NUISANCE)
            caller += 1
        strangers += caller


@kernel
def _stranger_goes_on(
    night: Night,
    phone: Telephone,
    now: int,
    call: Integers,
    first_stranger: Integers,
    answered: Integers,
    agenda: Agenda,
) -> None:
    """Some call again, until they are blocked."""
    entity, attempt, outcome = call[ENTITY], call[ATTEMPT], call[OUTCOME]
    person = entity & STRANGER_MASK
    number = first_stranger[person >> WINDOW_BITS] + (person & (1 << WINDOW_BITS) - 1)
    if number >= len(answered):
        agenda.count[FULL] = 1
        return
    answered[number] += outcome == _ANSWERED or outcome == _SILENT
    if outcome == _CLOSED or 0 <= phone.block_after <= answered[number]:
        return
    if happens(night.seed, night.number, phone.again, NUISANCE_PLACE, person, _NUISANCE_AGAIN, attempt):
        wait = duration(
            night.seed, night.number, night.resolution, phone.again_wait, NUISANCE_PLACE, person, _NUISANCE_WAIT, attempt
        )
        push(agenda, now + no_sooner(wait, night.resolution), event_key(_DIALS, entity, attempt + 1), _NUISANCE)


# Headquarters


@kernel
def _start(desks: Desks, number: int) -> None:
    """Have a process start in this instant, before others go on."""
    desks.urgent[desks.count[_URGENT]] = number
    desks.count[_URGENT] += 1


@kernel
def _receive(
    night: Night,
    office: Office,
    now: int,
    site: int,
    channel: int,
    sites: Sites,
    reported: Integers,
    desks: Desks,
    agenda: Agenda,
) -> None:
    """A result comes in; a second one of the same site is set aside."""
    if sites.received_at[site] >= 0:
        return
    place = night.places[site]
    sites.received_at[site] = now
    sites.channel[site] = channel
    tell(agenda, now, _RECEIVED, site, 0, 0, channel)
    sites.keying_errors[site] = key(
        night.seed,
        night.number,
        place,
        office.field_share[channel],
        office.ballot,
        office.kinds,
        night.worksheets[site],
        night.worksheets[(site + 1) % len(night.places)],
        reported[site],
    )
    found = screen(reported[site], night.delegates[site], office.regime, office.ballot, office.checks)
    sites.findings[site] = found
    if found:
        tell(agenda, now, _STOPPED, site, 0, 0, found)
        _start(desks, _BEGINS_REVIEW | site)
    else:
        _clear(night, office, now, site, sites, agenda)


@kernel
def _is_reviewed(
    night: Night, office: Office, now: int, site: int, sites: Sites, reported: Integers, agenda: Agenda
) -> None:
    changed = correct(
        night.seed,
        night.number,
        night.places[site],
        office.wrong_correction,
        office.ballot,
        night.chair_erred[site],
        night.worksheets[site],
        reported[site],
    )
    tell(agenda, now, _REVIEWED, site, 0, 0, changed)
    _clear(night, office, now, site, sites, agenda)


@kernel
def _clear(night: Night, office: Office, now: int, site: int, sites: Sites, agenda: Agenda) -> None:
    """The record is good: release it now, or when the release policy allows."""
    sites.cleared_at[site] = now
    due = public_at(
        night.seed,
        night.number,
        night.resolution,
        night.places[site],
        now,
        night.call_to_order,
        office.hold_from,
        office.release_until,
        office.worksheet,
    )
    push(agenda, due, event_key(_RELEASED_RANK, site, 0), 0)


@kernel
def _reader_is_free(line: Hotline, desks: Desks, agenda: Agenda) -> None:
    if desks.count[_READER_FIRST] < desks.count[_READER_LAST]:
        wake(line, agenda, _READER_FREE | desks.inbox[desks.count[_READER_FIRST]])
        desks.count[_READER_FIRST] += 1
    else:
        desks.count[_READERS] += 1


@kernel
def _reviewer_is_free(line: Hotline, desks: Desks, agenda: Agenda) -> None:
    if desks.count[_REVIEW_FIRST] < desks.count[_REVIEW_LAST]:
        wake(line, agenda, _REVIEWER_FREE | desks.review[desks.count[_REVIEW_FIRST]])
        desks.count[_REVIEW_FIRST] += 1
    else:
        desks.count[_REVIEWERS] += 1
