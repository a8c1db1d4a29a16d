"""What the compiled evening works on: a night's numbers, tables and sites, each in one array of integers.

numba compiles a function of few arrays many times faster than one of a hundred named fields; the names stand here, as
the indices of those arrays.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

import numpy as np

from simulation.night.backend import Phone, no_traffic
from simulation.night.outcome import Called
from simulation.night.rooms import Room
from simulation.night.setting import Setting
from simulation.night.twin.heap import Count
from simulation.randomness import Integers


class Number(IntEnum):
    """Numbers of tonight: the clock's, and those of `reporting.App`, `Telephone` and `Office` by the same names."""

    SEED = 0
    NIGHT = 1
    RESOLUTION = 2
    DOORS_OPEN = 3
    CALL_TO_ORDER = 4
    UNTIL = 5
    SINGLE_DELEGATE = 6
    TRIES = 7
    INSTALLED = 8
    NO_SIGNAL = 9
    LOST = 10
    LOGIN_FAILS = 11
    SUBMIT_FAILS = 12
    ATTEMPTS = 13
    ASKS_FOR_HELP = 14
    HELP_SOLVES = 15
    LINES = 16
    BLOCK_AFTER = 17
    SILENT_CALLS = 18
    AFTER_BUSY = 19
    UNTIL_MORNING = 20
    AGAIN = 21
    SILENT_CHAIRS = 22
    NEVER_ARRIVES = 23
    TO_INBOX = 24
    READERS = 25
    INBOX_OPENS = 26
    CALLBACKS = 27
    CHECKS = 28
    REVIEWERS = 29
    WRONG_CORRECTION = 30
    HOLD_FROM = 31
    RELEASE_UNTIL = 32
    REGIME = 33
    BALLOT = 34
    LOAD = 35
    TIMEOUT = 36
    RESENDS = 37


class Table(IntEnum):
    """Quantile tables of tonight, likewise; those of handling and patience are four each, by what a call is about."""

    ENTRY = 0
    HANG = 1
    RETRY = 2
    HELP_AFTER = 3
    SILENT_FOR = 4
    BUSY_WAIT = 5
    HOLD_WAIT = 6
    AGAIN_WAIT = 7
    FINDS_NUMBER = 8
    WAITING_ONCE = 9
    REACHED = 10
    BY_HAND = 11
    READING = 12
    REVIEW = 13
    WORKSHEET = 14
    HANDLING = 15
    PATIENCE = 19


class Site(IntEnum):
    """Rows of int64[len(Site), sites]: what was decided of each site, then what happens to it (ms, -1 for never)."""

    PLACE = 0
    PEOPLE = 1
    DELEGATES = 2
    CHAIR_ERRED = 3
    VIABLE = 4
    REALIGNS = 5
    FINAL_TOTAL = 6
    LINE_GONE_AT = 7
    UNTRAINED = 8
    CHAIR_THERE = 9
    MOVE = 10
    OPENING = 11
    COUNTS = 12
    ONE_COUNT = 13
    COUNTED = 14
    FIRST = 15
    REALIGNMENT = 16
    AFTERWARDS = 17
    STARTED_AT = 18
    READY_AT = 19
    APP_ATTEMPTS = 20
    RECEIVED_AT = 21
    CHANNEL = 22
    CLEARED_AT = 23
    RELEASED_AT = 24
    KEYING_ERRORS = 25
    FINDINGS = 26
    HELPED = 27  # 1: a help call solved log-in and submission


class Desk(IntEnum):
    """Rows of int64[3, ...]: sites in the order in which they wait, and what starts in this instant."""

    INBOX = 0
    REVIEW = 1
    STARTS = 2


class Field(IntEnum):
    """Columns of a call: those of `Called`, then its neighbors among those that hold, and whether it does."""

    ABOUT = 0
    SITE = 1
    ENTITY = 2
    ATTEMPT = 3
    DIALED = 4
    ANSWERED = 5
    ENDED = 6
    OUTCOME = 7
    PATIENCE = 8
    HANDLING = 9
    SILENT = 10
    BEFORE = 11
    BEHIND = 12
    HOLDS = 13


class World(NamedTuple):
    """One evening. The last arrays have limited room: see `heap`."""

    number: Integers
    table: Integers  # (tables, 1025)
    outages: Integers  # (outages, 2): from, to
    requests: Integers  # of the app's backend: this and the next four as in `night.backend`
    offered: Integers
    latency: Integers
    traffic: Integers
    phone: Integers  # (sites, fields of Phone)
    windows: Integers  # of strangers, (windows, 3): from, to, new callers an hour
    rota: Integers  # (changes, 2): ms, operators
    kinds: Integers  # weights of keying errors
    field_share: Integers  # by Channel
    worksheets: Integers  # (sites, 3, groups)
    site: Integers
    reported: Integers  # (sites, 3, groups)
    desk: Integers
    first_stranger: Integers  # of each window
    stranger: Integers  # answered calls of each
    call: Integers
    waking: Integers  # what goes on in this instant, in order
    due: Integers
    log: Integers
    tally: Integers

    @classmethod
    def of(
        cls, setting: Setting, rota: Integers, gone_at: Integers, room: int, log: Integers, tally: Integers
    ) -> World:
        """The evening before it begins, with room for so many events and calls."""
        parts = (setting.app, setting.telephone, setting.office)
        number = np.zeros(len(Number), np.int64)
        table = np.zeros((Table.PATIENCE + 4, 1025), np.int64)
        luck = setting.luck
        number[: Number.SINGLE_DELEGATE] = (
            *(luck.seed, luck.night, luck.resolution),
            *(setting.doors_open, setting.call_to_order, setting.until),
        )
        for part in parts:
            for name, value in part._asdict().items():
                if name.upper() in Table.__members__:
                    at = Table[name.upper()]
                    table[at : at + value.size // table.shape[1]] = value
                elif name not in cls._fields and name != "shifts":  # what has an array of its own
                    number[Number[name.upper()]] = value
        worksheets, erred = setting.worksheets
        site = np.zeros((len(Site), setting.sites), np.int64)
        site[: Site.LINE_GONE_AT + 1] = (
            *(setting.roster.places, setting.people, setting.delegates, erred),
            *setting.viability,
            setting.true_records[:, 1].sum(axis=1),
            gone_at,
        )
        site[Site.UNTRAINED : Site.STARTED_AT] = setting.room_table.T[Room._fields.index("untrained") :]
        for row in (Site.STARTED_AT, Site.READY_AT, Site.RECEIVED_AT, Site.CLEARED_AT, Site.RELEASED_AT):
            site[row] = -1
        tally[Count.FIRST_HOLDING] = tally[Count.LAST_HOLDING] = -1
        tally[Count.REVIEWERS] = setting.office.reviewers
        return cls(
            number=number,
            table=table,
            outages=setting.app.outages,
            requests=setting.app.requests,
            offered=setting.app.offered,
            latency=setting.app.latency,
            traffic=no_traffic(),
            phone=np.zeros((setting.sites, len(Phone)), np.int64),
            windows=setting.telephone.windows,
            rota=rota,
            kinds=setting.office.kinds,
            field_share=setting.office.field_share,
            worksheets=worksheets,
            site=site,
            reported=np.zeros_like(worksheets),
            desk=np.zeros((len(Desk), 2 * setting.sites + 2), np.int64),
            first_stranger=np.zeros(len(setting.telephone.windows), np.int64),
            stranger=np.zeros(room, np.int64),
            call=np.zeros((room, len(Field)), np.int64),
            waking=np.zeros(2 * room, np.int64),
            due=np.zeros((room, 3), np.int64),
            log=log,
            tally=tally,
        )

    def calls(self) -> Integers:
        """Calls in the order of dialing, (calls, fields of Called)."""
        return self.call[: self.tally[Count.CALLS], : len(Called._fields)]
