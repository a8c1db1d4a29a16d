"""How results come to headquarters tonight: assumptions drawn once, and the decisions that both engines make alike.

Compiled. Knows nothing of clocks, queues and who waits for whom.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np

from simulation.compiled import kernel
from simulation.night.backend import Backend
from simulation.night.luck import Luck, duration, happens
from simulation.night.order import MOST_ATTEMPTS, Call, Channel, Stream
from simulation.night.records import DELEGATES, FINAL, FIRST, copy, differs
from simulation.randomness import Integers, bits, place_id, quantile
from simulation.rules.alignment import FREE_2016, VIABLE_GROUP_SHRANK
from simulation.rules.audit import MISSING_ALIGNMENT, check
from simulation.rules.viability import is_viable
from simulation.scenario import Spec
from simulation.scenario.distributions import read_distribution
from simulation.scenario.values import FACTOR, FACTOR_UNIT, HOUR

NUISANCE_PLACE = place_id("hotline nuisance")
NUISANCE_ENTITY = 1 << 32  # callers below are the chairs of sites
CALLBACK_ENTITY = 1 << 33
HELP_ENTITY = 1 << 34  # somebody else at the precinct may call while the chair is busy
STRANGER_MASK = 0x3FFFFFFF  # window and number of a stranger, within his entity
WINDOW_BITS = 20

_CALLBACK = int(Call.CALLBACK)
_LOGIN_FAILS = int(Stream.LOGIN_FAILS)
_SUBMIT_FAILS = int(Stream.SUBMIT_FAILS)
_SILENT_CALL = int(Stream.SILENT_CALL)
_SILENT_FOR = int(Stream.SILENT_FOR)
_HANDLING = int(Stream.HANDLING)
_PATIENCE = int(Stream.PATIENCE)
_NUISANCE_GAP = int(Stream.NUISANCE_GAP)
_WRONG_CORRECTION = int(Stream.WRONG_CORRECTION)
_WORKSHEET = int(Stream.WORKSHEET)


class App(NamedTuple):
    """The app tonight. Shares in 2**-32, quantile tables, times in ms."""

    single_delegate: bool
    tries: int
    installed: int
    no_signal: int
    lost: int
    login_fails: int
    submit_fails: int
    attempts: int
    asks_for_help: int
    help_solves: int
    entry: Integers
    hang: Integers
    retry: Integers
    help_after: Integers
    outages: Integers  # (outages, 2): from, to
    load: int  # these six as in `backend.Backend`
    timeout: int
    resends: int
    requests: Integers
    offered: Integers
    latency: Integers

    @property
    def backend(self) -> bool:
        """Whether a measured backend is played."""
        return len(self.offered) > 0

    @classmethod
    def tonight(cls, spec: Spec, luck: Luck) -> App:
        """Draw the assumptions."""
        app = spec.app
        return cls(
            single_delegate=app.single_delegate,
            tries=luck.value(app.tries),
            installed=luck.value(app.installed),
            no_signal=luck.value(app.no_signal),
            lost=luck.value(app.lost),
            login_fails=luck.value(app.login_fails),
            submit_fails=luck.value(app.submit_fails),
            attempts=luck.value(app.attempts),
            asks_for_help=luck.value(app.asks_for_help),
            help_solves=luck.value(app.help_solves),
            entry=luck.table(app.entry),
            hang=luck.table(app.hang),
            retry=luck.table(app.retry),
            help_after=luck.table(app.help_after),
            outages=_spans([(luck.ticks(outage.start), luck.ticks(outage.end)) for outage in app.outages], 2),
            **Backend.tonight(app.backend, luck)._asdict(),
        )


class Telephone(NamedTuple):
    """The hotline and its callers tonight; tables of `handling` and `patience` by what the call is about."""

    lines: int  # 0: unlimited
    block_after: int  # -1: never
    silent_calls: int
    after_busy: int
    until_morning: int
    again: int  # strangers who call again
    shifts: Integers  # (shifts, 3): from, to, operators
    windows: Integers  # of strangers, (windows, 3): from, to, new callers an hour
    handling: Integers  # (4, 1025)
    patience: Integers
    silent_for: Integers
    busy_wait: Integers
    hold_wait: Integers
    again_wait: Integers
    finds_number: Integers
    waiting_once: Integers  # an exponential waiting time of mean 1, in millionths

    @classmethod
    def tonight(cls, spec: Spec, luck: Luck) -> Telephone:
        """Draw the assumptions."""
        line, redial = spec.hotline, spec.hotline.redial
        talk = line.handling
        chairs, others = luck.table(line.patience.chairs), luck.table(line.patience.others)
        return cls(
            lines=line.lines,
            block_after=-1 if line.block_after is None else line.block_after,
            silent_calls=luck.value(line.silent),
            after_busy=luck.value(redial.after_busy),
            until_morning=luck.value(redial.until_morning),
            again=luck.value(redial.nuisance),
            shifts=_spans([(luck.ticks(s.start), luck.ticks(s.end), luck.value(s.count)) for s in line.operators], 3),
            windows=_spans(
                [(luck.ticks(w.start), luck.ticks(w.end), luck.value(w.calls_per_hour)) for w in line.nuisance], 3
            ),
            handling=np.stack([luck.table(t) for t in (talk.report, talk.help, talk.nuisance, talk.callback)]),
            patience=np.stack([chairs, others, others, chairs]),
            silent_for=luck.table(line.silent_for),
            busy_wait=luck.table(redial.busy_wait),
            hold_wait=luck.table(redial.hold_wait),
            again_wait=luck.table(redial.nuisance_wait),
            finds_number=luck.table(spec.chairs.finds_number),
            waiting_once=_waiting_once(),
        )


class Office(NamedTuple):
    """Headquarters tonight: who asks, reads, checks, reviews and releases; and what comes in by hand."""

    silent_chairs: int  # they never report by themselves
    never_arrives: int
    to_inbox: int
    readers: int
    inbox_opens: int
    callbacks: int
    checks: bool
    reviewers: int
    wrong_correction: int
    hold_from: int  # -1: nothing is held
    release_until: int
    regime: int
    ballot: bool
    field_share: Integers  # by Channel
    kinds: Integers  # weights of keying errors
    reached: Integers
    by_hand: Integers
    reading: Integers
    review: Integers
    worksheet: Integers

    @classmethod
    def tonight(cls, spec: Spec, luck: Luck, regime: int, ballot: bool) -> Office:
        """Draw the assumptions."""
        office, release, keying = spec.headquarters, spec.headquarters.release, spec.headquarters.keying
        app, phone, inbox = luck.value(keying.app), luck.value(keying.phone), luck.value(keying.inbox)
        by_channel = {Channel.APP: app, Channel.PHONE: phone, Channel.INBOX: inbox, Channel.REACHED: phone}
        return cls(
            silent_chairs=luck.value(spec.chairs.silent),
            never_arrives=luck.value(spec.hand_delivery.lost),
            to_inbox=luck.value(spec.inbox.chairs),
            readers=spec.inbox.readers,
            inbox_opens=luck.ticks(spec.inbox.opens),
            callbacks=luck.value(office.callbacks),
            checks=office.checks,
            reviewers=luck.value(office.reviewers),
            wrong_correction=luck.value(office.wrong_correction),
            hold_from=-1 if release.hold_from is None else release.hold_from,
            release_until=luck.ticks(release.until or 0),
            regime=regime,
            ballot=ballot,
            field_share=np.array([by_channel.get(channel, inbox) for channel in Channel], dtype=np.int64),
            kinds=np.array(keying.weights, dtype=np.int64),
            reached=luck.table(spec.chairs.reached),
            by_hand=luck.table(spec.hand_delivery.arrives),
            reading=luck.table(spec.inbox.reading),
            review=luck.table(office.review),
            worksheet=luck.table(release.worksheet),
        )


@cache
def _waiting_once() -> Integers:
    return np.asarray(read_distribution({"exponential": {"mean": 1}}, FACTOR_UNIT).corners)


def _spans(rows: list[tuple[int, ...]], width: int) -> Integers:
    return np.array(rows, dtype=np.int64).reshape(-1, width)


def rota(shifts: Integers) -> list[tuple[int, int]]:
    """When the number of operators on duty changes, and to what: (ms, operators). Overlapping shifts add up."""
    rows = shifts.tolist()
    times = sorted({at for start, end, _ in rows for at in (start, end)})
    return [(at, sum(count for start, end, count in rows if start <= at < end)) for at in times]


@kernel
def viability(records: Integers, delegates: Integers, counted: Integers, viable: Integers, realigns: Integers) -> None:
    """Of each precinct: how many groups are viable at first alignment, and 1 where anybody must realign."""
    for site in range(len(delegates)):
        groups = 0
        viable[site] = 0
        everybody = delegates[site] <= 1 or counted[site] == 0
        for group in range(records.shape[2]):
            size = records[site, FIRST, group]
            if size > 0:
                groups += 1
                viable[site] += everybody or is_viable(size, delegates[site], counted[site])
        realigns[site] = viable[site] < groups


@kernel
def app_fails(seed: int, night: int, login: int, submit: int, place: int, attempt: int) -> bool:
    """Whether an attempt ends at the log-in or in an error at submission."""
    return happens(seed, night, login, place, 0, _LOGIN_FAILS, attempt) or happens(
        seed, night, submit, place, 0, _SUBMIT_FAILS, attempt
    )


@kernel
def is_out(outages: Integers, now: int) -> bool:
    """Whether the app answers nobody."""
    found = False
    for outage in range(len(outages)):
        found = found or outages[outage, 0] <= now < outages[outage, 1]
    return found


@kernel
def call_of(
    seed: int,
    night: int,
    resolution: int,
    about: int,
    place: int,
    person: int,
    attempt: int,
    silent_share: int,
    silent_for: Integers,
    handling: Integers,
    patience: Integers,
) -> tuple[bool, int, int]:
    """Of a call: nobody can be heard?, how long an operator is busy (a tick at least), how long the caller holds."""
    person = about + 4 * person
    silent = about != _CALLBACK and happens(seed, night, silent_share, place, person, _SILENT_CALL, attempt)
    if silent:
        busy = duration(seed, night, resolution, silent_for, place, person, _SILENT_FOR, attempt)
    else:
        busy = duration(seed, night, resolution, handling, place, person, _HANDLING, attempt)
    holds = duration(seed, night, resolution, patience, place, person, _PATIENCE, attempt)
    return silent, max(busy, resolution), holds


@kernel
def next_stranger(
    seed: int, night: int, window: int, caller: int, at: int, per_hour: int, waiting_once: Integers
) -> int:
    """When the next stranger of a window calls, after `at` (ms, not rounded to ticks): a Poisson process."""
    gap = quantile(waiting_once, bits(seed, night, NUISANCE_PLACE, window, _NUISANCE_GAP, caller))
    return at + gap * HOUR // (per_hour * FACTOR)


@kernel
def screen(record: Integers, delegates: int, regime: int, ballot: bool, checks: bool) -> int:
    """What the checks find in a record as typed (int64[3, groups]): bits of `rules.audit`, 0 to let it pass."""
    if not checks:
        return 0
    if ballot:
        found = MISSING_ALIGNMENT
        for votes in record[FINAL]:
            found = 0 if votes else found
    else:
        found = check(record[FIRST], record[FINAL], record[DELEGATES], delegates)
    if regime == FREE_2016:
        found &= ~VIABLE_GROUP_SHRANK  # nobody is locked under the rules of 2016
    return found


@kernel
def correct(
    seed: int,
    night: int,
    place: int,
    worse: int,
    ballot: bool,
    chair_erred: int,
    worksheet: Integers,
    record: Integers,
) -> bool:
    """Review a record: put right what was typed wrongly, or make the chair's error worse. Whether it changed."""
    before = record.copy()
    copy(worksheet, record)
    if chair_erred and happens(seed, night, worse, place, 0, _WRONG_CORRECTION, 0):
        counts = record[FINAL if ballot else DELEGATES]
        largest = 0
        for group in range(1, len(counts)):
            if counts[group] > counts[largest]:
                largest = group
        counts[largest] += 1
    return differs(before, record)


@kernel
def public_at(
    seed: int,
    night: int,
    resolution: int,
    place: int,
    now: int,
    call_to_order: int,
    hold_from: int,
    until: int,
    worksheet: Integers,
) -> int:
    """When a record that is good now is released: at once, or when the release policy allows."""
    if hold_from >= 0 and now < hold_from:
        return now
    if hold_from < 0:
        until = 0
    paper = duration(seed, night, resolution, worksheet, place, 0, _WORKSHEET, 0)
    return max(now, until, call_to_order + paper if paper > 0 else 0)


@kernel
def next_attempt(attempt: int) -> int:
    """The number of a caller's next call; whoever calls 65,535 times keeps that number, for which a key has room."""
    return min(attempt + 1, MOST_ATTEMPTS)


@kernel
def no_sooner(wait: int, resolution: int) -> int:
    """Whoever dials again lets a tick pass."""
    return max(wait, resolution)
