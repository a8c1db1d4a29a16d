"""The one table of what happens first in the same millisecond, and the names of what the event log tells.

Events order by (millisecond, rank, entity, attempt); a new kind of event gets its place here. What an event causes in
the same instant happens inside it: a freed operator takes the longest waiting caller at once.
"""

from __future__ import annotations

from enum import IntEnum

from numba.extending import register_jitable

_ENTITY_BITS = 40
_ATTEMPT_BITS = 16
MOST_ATTEMPTS = (1 << _ATTEMPT_BITS) - 1


class Rank(IntEnum):
    """The order of events that are due in the same millisecond."""

    SERVICE_ENDS = 2  # at check-in; 0 and 1 are SimPy's own, for what happens inside an event
    FORMS_ARRIVE = 3
    JOINS_LINE = 4
    ROOM = 5  # the next part of a precinct's evening
    APP = 6  # an attempt with the app ends, or the next one begins
    CALL_ENDS = 7
    SHIFT_CHANGES = 8
    PATIENCE_ENDS = 9
    DIALS = 10
    MESSAGE_READ = 11
    DELIVERED = 12
    REVIEW_ENDS = 13
    RELEASED = 14


@register_jitable  # compiled where a kernel calls it, plain Python where SimPy's clock does
def event_key(rank: int, entity: int, attempt: int) -> int:
    """What orders events of one millisecond: the smaller key is first."""
    return (rank << _ENTITY_BITS | entity) << _ATTEMPT_BITS | attempt


@register_jitable  # as above
def rank_of(key: int) -> int:
    """The rank in a key."""
    return key >> _ENTITY_BITS + _ATTEMPT_BITS


@register_jitable  # as above
def entity_of(key: int) -> int:
    """The entity in a key."""
    return key >> _ATTEMPT_BITS & (1 << _ENTITY_BITS) - 1


@register_jitable  # as above
def attempt_of(key: int) -> int:
    """The attempt in a key."""
    return key & (1 << _ATTEMPT_BITS) - 1


class Kind(IntEnum):
    """What the event log tells; what each kind and its value mean stands in `metrics.EVENTS`."""

    JOINED = 1
    SERVED = 2
    FORMS_RAN_OUT = 3
    FORMS_CAME = 4
    CHECKED_IN = 5
    CALLED_TO_ORDER = 6
    COUNTED = 7
    ALIGNED = 8
    REALIGNED = 9
    READY = 10
    APP_FAILED = 11
    SUBMITTED = 12
    DIALED = 13
    BUSY = 14
    ANSWERED = 15
    HUNG_UP = 16
    CLOSED = 17
    CALL_ENDED = 18
    ON_DUTY = 19
    SENT = 20
    RECEIVED = 21
    STOPPED = 22
    REVIEWED = 23
    RELEASED = 24
    UNANSWERED = 25


class Channel(IntEnum):
    """How a result came to headquarters."""

    NONE = 0
    APP = 1
    PHONE = 2
    INBOX = 3
    REACHED = 4  # headquarters asked
    HAND = 5  # the morning after, or by post


class Call(IntEnum):
    """What a call is about."""

    REPORT = 0
    HELP = 1
    NUISANCE = 2
    CALLBACK = 3


class Outcome(IntEnum):
    """How a call ended."""

    UNFINISHED = -1  # the simulation ended before it did
    BUSY = 0  # no line
    CLOSED = 1  # nobody on duty
    HUNG_UP = 2  # the caller lost patience
    SILENT = 3  # answered, but nobody could be heard: the caller queues again
    ANSWERED = 4


class Stream(IntEnum):
    """What a random number is for: the third part of its address. A number once given is never given again."""

    ASSUMPTION = 0
    TURNOUT = 1
    LOCAL_TURNOUT = 2
    ROUNDING = 3
    ARRIVAL = 4  # 4-7: one block of the generator, everything that most people need at the door
    REGISTERS = 5
    MISSING_FROM_LIST = 6
    SERVICE = 7
    WRONG_LINE = 8
    WHICH_LINE = 9
    LOOK_UP = 10
    REDIRECT = 11
    REGISTERING_SHARE = 12
    FORMS_SHORT = 13
    FORMS_PRINTED = 14
    REPRINT = 15
    MOVE = 20
    OPENING = 21
    RECOUNT = 22
    MISCOUNT = 23
    MISCOUNTED_PEOPLE = 24
    FIRST_ALIGNMENT = 25
    REALIGNMENT = 26
    AFTERWARDS = 27
    CHAIR_MISSING = 28
    DRAFTED_AFTER = 29
    UNTRAINED = 30
    LATE = 31
    LATE_BY = 32
    FINDS_NUMBER = 33
    CHAIR_SILENT = 34
    REACHED = 35
    LOCAL_PREFERENCE = 40
    PREFERENCE = 41
    RESCUE = 42
    REALIGNS = 43
    JOINS = 44
    DRIFTS = 45
    LOT = 46
    ARITHMETIC = 47
    ARITHMETIC_KIND = 48
    ARITHMETIC_GROUP = 49
    KEYING = 50
    KEYING_KIND = 51
    KEYING_VALUE = 52
    WRONG_CORRECTION = 53
    APP_TRIES = 60
    APP_INSTALLED = 61
    NO_SIGNAL = 62
    APP_ENTRY = 63
    LOGIN_FAILS = 64
    SUBMIT_FAILS = 65
    APP_HANG = 66
    APP_RETRY = 67
    ASKS_FOR_HELP = 68
    HELP_SOLVES = 69
    HELP_AFTER = 70
    APP_LOST = 71
    APP_REFUSED = 72
    APP_LATENCY = 73
    HANDLING = 80
    SILENT_CALL = 81
    SILENT_FOR = 82
    PATIENCE = 83
    AFTER_BUSY = 84
    BUSY_WAIT = 85
    UNTIL_MORNING = 86
    HOLD_WAIT = 87
    NUISANCE_GAP = 88
    NUISANCE_AGAIN = 89
    NUISANCE_WAIT = 90
    TURNS_TO_INBOX = 91
    READING = 92
    HAND_DELIVERY = 93
    CALLBACK = 94
    REVIEW = 95
    WORKSHEET = 96
    RESULT_LOST = 97
