"""The evening of chairs, app, hotline and headquarters, compiled: one event loop, the same rules as `model.evening`.

What SimPy keeps in suspended processes stands here in the events themselves: an event's rank, entity and number say
whose evening goes on where. What an event causes at once is queued as SimPy queues it: processes that start
(`Desk.STARTS`) before processes that go on (`World.waking`), each in order.
"""

from __future__ import annotations

from simulation.compiled import inner_kernel, kernel
from simulation.night.backend import ROOM_ENTITY, Phone, Step, arrive, sends
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
from simulation.night.records import key
from simulation.night.reporting import (
    CALLBACK_ENTITY,
    HELP_ENTITY,
    NUISANCE_ENTITY,
    NUISANCE_PLACE,
    STRANGER_MASK,
    WINDOW_BITS,
    app_fails,
    call_of,
    correct,
    is_out,
    next_attempt,
    next_stranger,
    no_sooner,
    public_at,
    screen,
)
from simulation.night.twin.heap import Count, pop, push, settle, tell
from simulation.night.twin.hotline import dial, ends, loses_patience, shift_changes, wake
from simulation.night.twin.world import Desk, Field, Number, Site, Table, World

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
_UNANSWERED = int(Kind.UNANSWERED)

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

_OPENS = -1  # the number of the inbox's opening among messages read

_OPENS_STEP = int(Step.OPENS)
_ALIGNED_STEP = int(Step.ALIGNED)
_REPORTS_STEP = int(Step.REPORTS)
_AGAIN_STEP = int(Step.AGAIN)
_PHOTO_STEP = int(Step.PHOTO)
_KEYED_STEP = int(Step.KEYED)

# Where a chair stands with the app: the number of an event of that rank; _SENDS_AGAIN and how often it did
_ENTERS, _HANGS, _TRIES_AGAIN, _IS_ANSWERED, _SENDS_AGAIN = 0, 1, 2, 3, 4

# What goes on, or starts, at once: a call, or a site with one of these
_READER_FREE = 1 << 40
_REVIEWER_FREE = 1 << 41
_CALLS_BACK = 1 << 42
_NUMBER = _READER_FREE - 1


@kernel
def play_evening(w: World) -> None:
    """Play the evening until the night ends, or until something finds no room (`Count.FULL`)."""
    _begin(w)
    while w.tally[Count.EVENTS] > 0 and w.due[0, 0] < w.number[Number.UNTIL] and w.tally[Count.FULL] == 0:
        now, event, number = pop(w.due, w.tally)
        rank, entity, attempt = rank_of(event), entity_of(event), attempt_of(event)
        w.tally[Count.RANK] = rank
        if rank == _DIALS:
            _dials(w, now, number, entity, attempt)
        elif rank == _PATIENCE_ENDS:
            loses_patience(w, now, number)
        elif rank == _CALL_ENDS:
            ends(w, now, number)
        elif rank == _ROOM:
            _room_goes_on(w, now, entity, attempt)
        elif rank == _APP and entity >= ROOM_ENTITY:
            _sends_on_from_room(w, now, entity - ROOM_ENTITY, attempt)
        elif rank == _APP:
            _app_goes_on(w, now, entity, attempt, number)
        elif rank == _SHIFT_CHANGES:
            shift_changes(w, now, number)
        elif rank == _RELEASED_RANK:
            w.site[Site.RELEASED_AT, entity] = now
            _tell(w, now, _RELEASED, entity, 0, 0)
        else:
            _comes_in(w, now, rank, entity, number)
        _happens_at_once(w, now)
        settle(w.due, w.tally)


@inner_kernel
def _begin(w: World) -> None:
    """Everything that is due whatever else happens."""
    w.tally[Count.EVENTS] = w.tally[Count.HOLE] = 0
    for change in range(len(w.rota)):
        push(w.due, w.tally, w.rota[change, 0], event_key(_SHIFT_CHANGES, change, 0), w.rota[change, 1])
    if w.number[Number.READERS] > 0:
        push(w.due, w.tally, w.number[Number.INBOX_OPENS], event_key(_MESSAGE_READ, 0, 0), _OPENS)
    for site in range(w.site.shape[1]):
        there = max(w.site[Site.LINE_GONE_AT, site], w.site[Site.CHAIR_THERE, site])
        push(w.due, w.tally, there + w.site[Site.MOVE, site], event_key(_ROOM, site, 0), 0)
        _asks_about_installing(w, site)
    strangers = 0
    for window in range(len(w.windows)):
        w.first_stranger[window] = strangers
        strangers += _strangers_call(w, window)


@inner_kernel
def _happens_at_once(w: World, now: int) -> None:
    """What the event caused: processes that start, then processes that go on."""
    while True:
        if w.tally[Count.STARTED] < w.tally[Count.STARTING]:
            started = w.desk[Desk.STARTS, w.tally[Count.STARTED]]
            w.tally[Count.STARTED] += 1
            _starts(w, now, started)
        elif w.tally[Count.AWAKE] < w.tally[Count.WAKING]:
            awake = w.waking[w.tally[Count.AWAKE]]
            w.tally[Count.AWAKE] += 1
            _goes_on(w, now, awake)
        else:
            break
    w.tally[Count.STARTED] = w.tally[Count.STARTING] = 0
    w.tally[Count.AWAKE] = w.tally[Count.WAKING] = 0


@inner_kernel
def _starts(w: World, now: int, started: int) -> None:
    """A process starts: an operator calls back, or a record goes to the review desk."""
    site = started & _NUMBER
    if started & _CALLS_BACK:
        push(w.due, w.tally, now, event_key(_DIALS, CALLBACK_ENTITY | site, 0), _CALLBACK_CALL)
    elif w.tally[Count.REVIEWERS] > 0:
        w.tally[Count.REVIEWERS] -= 1
        wake(w, _REVIEWER_FREE | site)
    else:
        w.desk[Desk.REVIEW, w.tally[Count.REVIEW_LAST]] = site
        w.tally[Count.REVIEW_LAST] += 1


@inner_kernel
def _goes_on(w: World, now: int, awake: int) -> None:
    """A process goes on: somebody is free for it, or its call is over."""
    if awake & _REVIEWER_FREE:
        site = awake & _NUMBER
        push(w.due, w.tally, now + _takes(w, Table.REVIEW, site, _REVIEW, 0), event_key(_REVIEW_ENDS, site, 0), 0)
    elif awake & _READER_FREE:
        site = awake & _NUMBER
        push(w.due, w.tally, now + _takes(w, Table.READING, site, _READING, 0), event_key(_MESSAGE_READ, site, 1), 0)
    else:
        about = w.call[awake, Field.ABOUT]
        if about == _NUISANCE:
            _stranger_goes_on(w, now, awake)
        elif about == _REPORT:
            _caller_goes_on(w, now, awake)
        elif about == _HELP and w.call[awake, Field.ENTITY] == w.call[awake, Field.SITE]:
            _was_helped(w, now, awake)


@inner_kernel
def _happens(w: World, share: int, site: int, stream: int, ordinal: int) -> bool:
    """Whether something happens at a site; `share` is a Number."""
    place = w.site[Site.PLACE, site]
    return happens(w.number[Number.SEED], w.number[Number.NIGHT], w.number[share], place, 0, stream, ordinal)


@inner_kernel
def _takes(w: World, table: int, site: int, stream: int, ordinal: int) -> int:
    """How long something takes at a site; `table` is a Table."""
    seed, night, resolution = w.number[Number.SEED], w.number[Number.NIGHT], w.number[Number.RESOLUTION]
    return duration(seed, night, resolution, w.table[table], w.site[Site.PLACE, site], 0, stream, ordinal)


@inner_kernel
def _tell(w: World, now: int, kind: int, site: int, attempt: int, value: int) -> None:
    tell(w.log, w.tally, now, kind, site, 0, attempt, value)


# The room


@inner_kernel
def _room_goes_on(w: World, now: int, site: int, stage: int) -> None:
    """The next part of a precinct's evening, from the call to order to the signed worksheet."""
    following, takes = stage + 1, 0
    if stage == 0:
        w.site[Site.STARTED_AT, site] = now
        _tell(w, now, _CALLED_TO_ORDER, site, 0, w.site[Site.PEOPLE, site])
        takes = w.site[Site.OPENING, site] + w.site[Site.COUNTS, site] * w.site[Site.ONE_COUNT, site]
    elif stage == 1:
        _tell(w, now, _COUNTED, site, 1, w.site[Site.COUNTED, site])
        _sends_from_room(w, now, site, _OPENS_STEP)
        takes = w.site[Site.FIRST, site]
    elif stage == 2:
        _tell(w, now, _ALIGNED, site, 2, w.site[Site.VIABLE, site])
        _sends_from_room(w, now, site, _ALIGNED_STEP)
        takes = w.site[Site.REALIGNMENT, site]
        if not w.site[Site.REALIGNS, site]:
            following, takes = 4, w.site[Site.AFTERWARDS, site]
    elif stage == 3:
        _tell(w, now, _REALIGNED, site, 3, w.site[Site.FINAL_TOTAL, site])
        takes = w.site[Site.AFTERWARDS, site]
    else:
        w.site[Site.READY_AT, site] = now
        _tell(w, now, _READY, site, 4, w.site[Site.CHAIR_ERRED, site])
        _reports(w, now, site)
        return
    push(w.due, w.tally, now + takes, event_key(_ROOM, site, following), 0)


@inner_kernel
def _reports(w: World, now: int, site: int) -> None:
    """Bring the result to headquarters, one way or another."""
    if _happens(w, Number.SILENT_CHAIRS, site, _CHAIR_SILENT, 0):
        _comes_by_itself(w, now, site, Table.REACHED, _REACHED, _BY_ASKING)
    elif _has_working_app(w, site) and w.phone[site, Phone.STEPS_HUNG] < w.number[Number.ATTEMPTS]:
        w.phone[site, Phone.WAITING] += w.requests[_REPORTS_STEP]
        _tries_app(w, now, site, 0)
    else:
        _calls(w, now, site)


@inner_kernel
def _comes_by_itself(w: World, now: int, site: int, table: int, stream: int, channel: int) -> None:
    """Headquarters asks, or paper arrives; some results are never found."""
    if not _happens(w, Number.NEVER_ARRIVES, site, _RESULT_LOST, 0):
        at = max(now, w.number[Number.CALL_TO_ORDER] + _takes(w, table, site, stream, 0))
        push(w.due, w.tally, at, event_key(_DELIVERED, site, 0), channel)


# The app


@inner_kernel
def _means_to_use_app(w: World, site: int) -> bool:
    allowed = w.number[Number.SINGLE_DELEGATE] > 0 or w.site[Site.DELEGATES, site] != 1
    return allowed and _happens(w, Number.TRIES, site, _APP_TRIES, 0)


@inner_kernel
def _has_working_app(w: World, site: int) -> bool:
    return _means_to_use_app(w, site) and _happens(w, Number.INSTALLED, site, _APP_INSTALLED, 0)


@inner_kernel
def _asks_about_installing(w: World, site: int) -> None:
    """A chair whose app was never working may ask for help; it costs an operator's time and solves nothing."""
    in_trouble = _means_to_use_app(w, site) and not _happens(w, Number.INSTALLED, site, _APP_INSTALLED, 0)
    if in_trouble and _happens(w, Number.ASKS_FOR_HELP, site, _ASKS_FOR_HELP, 0):
        at = w.number[Number.DOORS_OPEN] + _takes(w, Table.HELP_AFTER, site, _HELP_AFTER, 0)
        push(w.due, w.tally, at, event_key(_DIALS, HELP_ENTITY | site, 0), _HELP)


@inner_kernel
def _tries_app(w: World, now: int, site: int, attempt: int) -> None:
    """An attempt with the app begins; whether it fails is known when it ends."""
    w.site[Site.APP_ATTEMPTS, site] = w.phone[site, Phone.STEPS_HUNG] + attempt + 1
    fails = is_out(w.outages, now) or _happens(w, Number.NO_SIGNAL, site, _NO_SIGNAL, 0)
    if not fails and not w.site[Site.HELPED, site]:
        seed, night, place = w.number[Number.SEED], w.number[Number.NIGHT], w.site[Site.PLACE, site]
        fails = app_fails(seed, night, w.number[Number.LOGIN_FAILS], w.number[Number.SUBMIT_FAILS], place, attempt)
        if fails:
            _asks_in_passing(w, now, _AGAIN_STEP)
    if fails:
        _app_is_due(w, now, site, attempt, Table.HANG, _APP_HANG, _HANGS)
    else:
        _app_is_due(w, now, site, attempt, Table.ENTRY, _APP_ENTRY, _ENTERS)


@inner_kernel
def _app_is_due(w: World, now: int, site: int, attempt: int, table: int, stream: int, stands: int) -> None:
    push(w.due, w.tally, now + _takes(w, table, site, stream, attempt), event_key(_APP, site, attempt), stands)


@inner_kernel
def _app_goes_on(w: World, now: int, site: int, attempt: int, stands: int) -> None:
    """An attempt ends, or the next one begins."""
    if stands == _TRIES_AGAIN:
        _tries_app(w, now, site, attempt + 1)
    elif stands == _HANGS:
        _tell(w, now, _APP_FAILED, site, attempt, attempt + 1)
        if w.phone[site, Phone.STEPS_HUNG] + attempt + 1 == w.number[Number.ATTEMPTS]:
            _calls(w, now, site)
        elif _happens(w, Number.ASKS_FOR_HELP, site, _ASKS_FOR_HELP, attempt + 1):
            push(w.due, w.tally, now, event_key(_DIALS, site, attempt), _HELP)
        else:
            _app_is_due(w, now, site, attempt, Table.RETRY, _APP_RETRY, _TRIES_AGAIN)
    elif stands == _IS_ANSWERED:
        _is_submitted(w, now, site, attempt)
    elif is_out(w.outages, now):
        _app_is_due(w, now, site, attempt, Table.HANG, _APP_HANG, _HANGS)
    else:
        begins = stands == _ENTERS
        takes = _sends(w, now, site, w.requests[_AGAIN_STEP] if begins and attempt > 0 else 0, attempt)
        sent_again = 0 if begins else stands - _SENDS_AGAIN
        if takes < 0 and sent_again < w.number[Number.RESENDS]:
            push(w.due, w.tally, _next_send(w, now), event_key(_APP, site, attempt), _SENDS_AGAIN + sent_again + 1)
        elif takes < 0:
            _app_is_due(w, now, site, attempt, Table.HANG, _APP_HANG, _HANGS)
        elif takes > 0:
            push(w.due, w.tally, now + takes, event_key(_APP, site, attempt), _IS_ANSWERED)
        else:
            _is_submitted(w, now, site, attempt)


@inner_kernel
def _is_submitted(w: World, now: int, site: int, attempt: int) -> None:
    """The app says that the report is in."""
    lost = _happens(w, Number.LOST, site, _APP_LOST, 0)
    _tell(w, now, _SUBMITTED, site, attempt, lost)
    _asks_in_passing(w, now, _PHOTO_STEP)
    if lost:
        _comes_by_itself(w, now, site, Table.REACHED, _REACHED, _BY_ASKING)
    else:
        _receive(w, now, site, _BY_APP)


@inner_kernel
def _sends_from_room(w: World, now: int, site: int, step: int) -> None:
    """The app sends a step of the report while the room goes on."""
    if len(w.offered) == 0 or _happens(w, Number.SILENT_CHAIRS, site, _CHAIR_SILENT, 0):
        return
    if not _has_working_app(w, site) or _happens(w, Number.NO_SIGNAL, site, _NO_SIGNAL, 0):
        return
    if w.phone[site, Phone.STEPS_HUNG] == w.number[Number.ATTEMPTS]:
        return
    w.phone[site, Phone.WAITING] += w.requests[step]
    if not w.phone[site, Phone.SENDS_AGAIN]:
        w.phone[site, Phone.SENDS_AGAIN] = 1
        _sends_on_from_room(w, now, site, 0)


@inner_kernel
def _sends_on_from_room(w: World, now: int, site: int, sent_again: int) -> None:
    """It goes on until it is answered or the worksheet is signed; where it hangs, an attempt is used up."""
    if w.site[Site.READY_AT, site] < 0 and (is_out(w.outages, now) or _sends(w, now, site, 0, sent_again) < 0):
        if sent_again < w.number[Number.RESENDS]:
            push(w.due, w.tally, _next_send(w, now), event_key(_APP, ROOM_ENTITY | site, sent_again + 1), 0)
            return
        w.phone[site, Phone.STEPS_HUNG] += 1
        w.site[Site.APP_ATTEMPTS, site] = w.phone[site, Phone.STEPS_HUNG]
    w.phone[site, Phone.SENDS_AGAIN] = 0


@inner_kernel
def _next_send(w: World, now: int) -> int:
    resolution = w.number[Number.RESOLUTION]
    return now + no_sooner(ticks(w.number[Number.TIMEOUT], resolution), resolution)


@inner_kernel
def _sends(w: World, now: int, site: int, requests: int, attempt: int) -> int:
    """The app sends so many requests, and what waits from before: how long the answers take; -1: it hangs."""
    if len(w.offered) == 0:
        return 0
    takes = sends(
        w.number[Number.SEED],
        w.number[Number.NIGHT],
        w.number[Number.RESOLUTION],
        w.site[Site.PLACE, site],
        now,
        requests,
        w.number[Number.LOAD],
        w.number[Number.TIMEOUT],
        w.offered,
        w.latency,
        w.traffic,
        w.phone[site],
    )
    if takes < 0:
        _tell(w, now, _UNANSWERED, site, attempt, w.phone[site, Phone.WAITING])
    return takes


@inner_kernel
def _asks_in_passing(w: World, now: int, step: int) -> None:
    """Requests that the backend has to answer, and for which no chair waits."""
    if w.requests[step] > 0:
        arrive(w.traffic, now, w.requests[step], w.number[Number.LOAD])


@inner_kernel
def _was_helped(w: World, now: int, number: int) -> None:
    """A help call is over; from now on, whatever else fails, log-in and submission may work."""
    site, attempt = w.call[number, Field.SITE], w.call[number, Field.ATTEMPT]
    solved = w.call[number, Field.OUTCOME] == _ANSWERED
    if solved and _happens(w, Number.HELP_SOLVES, site, _HELP_SOLVES, attempt):
        w.site[Site.HELPED, site] = 1
        _tries_app(w, now, site, attempt + 1)
    else:
        _app_is_due(w, now, site, attempt, Table.RETRY, _APP_RETRY, _TRIES_AGAIN)


# The telephone


@inner_kernel
def _calls(w: World, now: int, site: int) -> None:
    """Call the hotline; an untrained chair looks for its number first."""
    if w.site[Site.UNTRAINED, site]:
        now += _takes(w, Table.FINDS_NUMBER, site, _FINDS_NUMBER, 0)
    push(w.due, w.tally, now, event_key(_DIALS, site, 0), _REPORT)


@inner_kernel
def _dials(w: World, now: int, about: int, entity: int, attempt: int) -> None:
    if about == _NUISANCE:
        site, place, person = HOTLINE, NUISANCE_PLACE, entity & STRANGER_MASK
    else:
        site = entity & (NUISANCE_ENTITY - 1)
        place, person = w.site[Site.PLACE, site], 0
    silent, handling, patience = call_of(
        w.number[Number.SEED],
        w.number[Number.NIGHT],
        w.number[Number.RESOLUTION],
        about,
        place,
        person,
        attempt,
        w.number[Number.SILENT_CALLS],
        w.table[Table.SILENT_FOR],
        w.table[Table.HANDLING + about],
        w.table[Table.PATIENCE + about],
    )
    dial(w, now, about, site, entity, attempt, silent, handling, patience)


@inner_kernel
def _caller_goes_on(w: World, now: int, number: int) -> None:
    """A call with a report is over: it was taken, or the chair dials again, sends a photo, or leaves it for tonight."""
    site, attempt = w.call[number, Field.SITE], w.call[number, Field.ATTEMPT]
    outcome = w.call[number, Field.OUTCOME]
    unheard = outcome in (_BUSY, _HUNG_UP)
    wait = 0
    if outcome == _ANSWERED:
        _receive(w, now, site, _BY_PHONE)
        if _happens(w, Number.CALLBACKS, site, _CALLBACK, 0):
            _start(w, _CALLS_BACK | site)
        return
    somebody_reads = w.number[Number.READERS] > 0
    if unheard and attempt == 0 and somebody_reads and _happens(w, Number.TO_INBOX, site, _TURNS_TO_INBOX, 0):
        _sends_photo(w, now, site)
        return
    if outcome == _CLOSED:
        gives_up = True
    elif outcome == _HUNG_UP:
        gives_up = _happens(w, Number.UNTIL_MORNING, site, _UNTIL_MORNING, attempt)
        wait = _takes(w, Table.HOLD_WAIT, site, _HOLD_WAIT, attempt)
    else:
        gives_up = outcome == _BUSY and not _happens(w, Number.AFTER_BUSY, site, _AFTER_BUSY, attempt)
        wait = _takes(w, Table.BUSY_WAIT, site, _BUSY_WAIT, attempt)
    if gives_up:
        _comes_by_itself(w, now, site, Table.BY_HAND, _HAND_DELIVERY, _BY_HAND)
    else:
        at = now + no_sooner(wait, w.number[Number.RESOLUTION])
        push(w.due, w.tally, at, event_key(_DIALS, site, next_attempt(attempt)), _REPORT)


@inner_kernel
def _sends_photo(w: World, now: int, site: int) -> None:
    """A photo of the worksheet, read by whoever sits at the inbox."""
    _tell(w, now, _SENT, site, 0, w.tally[Count.MESSAGES])
    w.tally[Count.MESSAGES] += 1
    if w.tally[Count.READERS] > 0:
        w.tally[Count.READERS] -= 1
        wake(w, _READER_FREE | site)
    else:
        w.desk[Desk.INBOX, w.tally[Count.UNREAD_LAST]] = site
        w.tally[Count.UNREAD_LAST] += 1


@inner_kernel
def _strangers_call(w: World, window: int) -> int:
    """The first call of each stranger of a window; how many there are."""
    seed, night, resolution = w.number[Number.SEED], w.number[Number.NIGHT], w.number[Number.RESOLUTION]
    at, end, per_hour = w.windows[window, 0], w.windows[window, 1], w.windows[window, 2]
    caller = 0
    while per_hour > 0:
        at = next_stranger(seed, night, window, caller, at, per_hour, w.table[Table.WAITING_ONCE])
        if at >= end:
            break
        entity = NUISANCE_ENTITY | window << WINDOW_BITS | caller
        push(w.due, w.tally, ticks(at, resolution), event_key(_DIALS, entity, 0), _NUISANCE)
        caller += 1
    return caller


@inner_kernel
def _stranger_goes_on(w: World, now: int, number: int) -> None:
    """Some call again, until they are blocked."""
    entity, attempt = w.call[number, Field.ENTITY], w.call[number, Field.ATTEMPT]
    outcome = w.call[number, Field.OUTCOME]
    person = entity & STRANGER_MASK
    stranger = w.first_stranger[person >> WINDOW_BITS] + (person & (1 << WINDOW_BITS) - 1)
    if stranger >= len(w.stranger):
        w.tally[Count.FULL] = 1
        return
    w.stranger[stranger] += outcome in (_ANSWERED, _SILENT)
    if outcome == _CLOSED or 0 <= w.number[Number.BLOCK_AFTER] <= w.stranger[stranger]:
        return
    seed, night, resolution = w.number[Number.SEED], w.number[Number.NIGHT], w.number[Number.RESOLUTION]
    again = w.number[Number.AGAIN]
    if happens(seed, night, again, NUISANCE_PLACE, person, _NUISANCE_AGAIN, attempt):
        table = w.table[Table.AGAIN_WAIT]
        wait = duration(seed, night, resolution, table, NUISANCE_PLACE, person, _NUISANCE_WAIT, attempt)
        at = now + no_sooner(wait, resolution)
        push(w.due, w.tally, at, event_key(_DIALS, entity, next_attempt(attempt)), _NUISANCE)


# Headquarters


@inner_kernel
def _comes_in(w: World, now: int, rank: int, site: int, number: int) -> None:
    """Something comes to a desk of headquarters, or leaves it."""
    if rank == _DELIVERED:
        _receive(w, now, site, number)
    elif rank == _REVIEW_ENDS:
        _is_reviewed(w, now, site)
        _is_free(w, Desk.REVIEW, Count.REVIEW_FIRST, Count.REVIEW_LAST, Count.REVIEWERS, _REVIEWER_FREE)
    elif number == _OPENS:
        for _ in range(w.number[Number.READERS]):
            _is_free(w, Desk.INBOX, Count.UNREAD_FIRST, Count.UNREAD_LAST, Count.READERS, _READER_FREE)
    else:
        _receive(w, now, site, _BY_INBOX)
        _is_free(w, Desk.INBOX, Count.UNREAD_FIRST, Count.UNREAD_LAST, Count.READERS, _READER_FREE)


@inner_kernel
def _is_free(w: World, desk: int, first: int, last: int, free: int, wakes: int) -> None:
    """Somebody is free again, and takes the next piece of work at once."""
    if w.tally[first] < w.tally[last]:
        wake(w, wakes | w.desk[desk, w.tally[first]])
        w.tally[first] += 1
    else:
        w.tally[free] += 1


@inner_kernel
def _start(w: World, number: int) -> None:
    """Have a process start in this instant, before others go on."""
    w.desk[Desk.STARTS, w.tally[Count.STARTING]] = number
    w.tally[Count.STARTING] += 1


@inner_kernel
def _receive(w: World, now: int, site: int, channel: int) -> None:
    """A result comes in; a second one of the same site is set aside."""
    if w.site[Site.RECEIVED_AT, site] >= 0:
        return
    w.site[Site.RECEIVED_AT, site] = now
    w.site[Site.CHANNEL, site] = channel
    _tell(w, now, _RECEIVED, site, 0, channel)
    if channel != _BY_APP:
        _asks_in_passing(w, now, _KEYED_STEP)
    ballot = w.number[Number.BALLOT] > 0
    w.site[Site.KEYING_ERRORS, site] = key(
        w.number[Number.SEED],
        w.number[Number.NIGHT],
        w.site[Site.PLACE, site],
        w.field_share[channel],
        ballot,
        w.kinds,
        w.worksheets[site],
        w.worksheets[(site + 1) % len(w.worksheets)],
        w.reported[site],
    )
    regime, checks = w.number[Number.REGIME], w.number[Number.CHECKS] > 0
    found = screen(w.reported[site], w.site[Site.DELEGATES, site], regime, ballot, checks)
    w.site[Site.FINDINGS, site] = found
    if found:
        _tell(w, now, _STOPPED, site, 0, found)
        _start(w, site)
    else:
        _clear(w, now, site)


@inner_kernel
def _is_reviewed(w: World, now: int, site: int) -> None:
    changed = correct(
        w.number[Number.SEED],
        w.number[Number.NIGHT],
        w.site[Site.PLACE, site],
        w.number[Number.WRONG_CORRECTION],
        w.number[Number.BALLOT] > 0,
        w.site[Site.CHAIR_ERRED, site],
        w.worksheets[site],
        w.reported[site],
    )
    _tell(w, now, _REVIEWED, site, 0, changed)
    _clear(w, now, site)


@inner_kernel
def _clear(w: World, now: int, site: int) -> None:
    """The record is good: release it now, or when the release policy allows."""
    w.site[Site.CLEARED_AT, site] = now
    due = public_at(
        w.number[Number.SEED],
        w.number[Number.NIGHT],
        w.number[Number.RESOLUTION],
        w.site[Site.PLACE, site],
        now,
        w.number[Number.CALL_TO_ORDER],
        w.number[Number.HOLD_FROM],
        w.number[Number.RELEASE_UNTIL],
        w.table[Table.WORKSHEET],
    )
    push(w.due, w.tally, due, event_key(_RELEASED_RANK, site, 0), 0)
