"""A simulated night's very requests, kept to their times by the open generator, beside what the simulation said.

A request goes out when the night has it, whether or not those before it were answered. `source` is called in the
generator's process; all that it needs is handed to it as plain data. What Locust's users do because of an answer
(reviews, corrections, waiting) is not in it.
"""

from __future__ import annotations

import math
import re
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from loadtests import contract
from loadtests.accounts import Account, Accounts
from loadtests.addresses import address
from loadtests.contract import Ask, Backend, Operation, Outcome, Reply, Report, Request, Session, Site, signed_in
from loadtests.generator.processes import Around, Generators, Source, nothing
from loadtests.generator.upkeep import Kept, Upkeep, as_rows, from_rows, upkeep
from loadtests.ledger import Ledger
from loadtests.photo import PNG, photo
from loadtests.target.guards import Target, identification
from loadtests.traffic.evening import Evening, Trouble
from loadtests.trial import Trial
from loadtests.workload import SECOND, Schedule, first_request_at_ms, night
from simulation.errors import InputError
from simulation.scenario.values import format_clock

if TYPE_CHECKING:
    from loadtests.traffic.preparing import Preparation
    from simulation.night import Night

Integers: TypeAlias = npt.NDArray[np.int64]
Truths: TypeAlias = npt.NDArray[np.bool_]

RETRIES = 2  # of what was not answered well, at once and with the same key; refused figures are added up again instead
_PICTURES = 12  # that a process keeps; a site sends the one nearest in size to its own
_LOOKS = ("results.page", "results")
DONE: tuple[Operation, ...] = ("report.final", "report")  # with it, headquarters has the result
_MOST_CLERKS = 20
LET_IN = "a wrong PIN was let in"


# What is planned


@dataclass(frozen=True, eq=False)
class Plan:
    """A night, and when each of its requests is due at this speed."""

    played: Night
    evening: Evening
    schedule: Schedule
    speed: float
    begins_at_ms: int  # of the night: when the first request is due
    absent: frozenset[int] = frozenset()  # sites, by their numbers, whose chairs nobody could sign in: left out

    def clock_ms(self, at_ns: Integers | float) -> Any:
        """The time of the night at which something happened in the replay."""
        return self.begins_at_ms + np.asarray(at_ns) * self.speed / 1e6

    @property
    def reported_at_ms(self) -> Integers:
        """When the simulated headquarters had each site's result; -1: never."""
        return np.asarray(self.played.played.received_at, np.int64)

    @property
    def released_at_ms(self) -> Integers:
        """When the simulated public saw it; -1: never."""
        return np.asarray(self.played.played.released_at, np.int64)

    @property
    def takes_part(self) -> Truths:
        """By site: whether the backend, and who is signed in, can bring its result at all."""
        has, sites = self.schedule.operations, self.evening.sites
        by_app, by_staff = any(name in has for name in DONE), "clerk" in has
        return np.array(
            [
                (by_app and each.number not in self.absent) if each.by_app else by_staff or not each.keyed_by_staff
                for each in sites
            ],
            bool,
        )

    @property
    def is_asked(self) -> Truths:
        """By site: whether all that its result takes is due in the replay."""
        every = np.ones(len(self.schedule), bool)
        return np.asarray(_brought_at_ms(self, self.clock_ms(self.schedule.due_ns), every) >= 0, bool)


def plan(
    played: Night,
    evening: Evening,
    operations: Sequence[Operation],
    *,
    speed: float,
    readers: int = 0,
    until_ms: int | None = None,
) -> Plan:
    """When each request of the night is due, as far as the backend has `operations`."""
    schedule = night(evening, speed, operations=operations, readers=readers, until_ms=until_ms)
    if not len(schedule):
        if until_ms is not None and len(night(evening, speed, operations=operations, readers=readers)):
            first = first_request_at_ms(evening, operations, readers=readers)
            raise InputError(
                f"--until {format_clock(until_ms)}: nothing is due by then: the night's first request is due at "
                f"{format_clock(first)}"
            )
        raise InputError("the night asks nothing of such a backend: it has none of the operations that a night needs")
    begins = first_request_at_ms(evening, operations, readers=readers, until_ms=until_ms)
    return Plan(played, evening, schedule, speed, begins)


def asked_of(backend: Backend) -> tuple[Operation, ...]:
    """The operations of a night that a backend has."""
    wanted: tuple[Operation, ...] = ("login", *contract.evening(backend), "clerk", "results.page", "results")
    return tuple(operation for operation in wanted if operation in backend.operations)


def check_rate(plan: Plan, target: Target) -> None:
    """InputError where a target that is not this machine would be asked for more than it may be."""
    cap, busiest = target.rate_cap_per_s, _busiest(plan)
    if cap is not None and busiest > cap:
        slower = max(0.1, math.floor(10 * plan.speed * cap / busiest * 0.8) / 10)
        raise InputError(
            f"--speed {plan.speed:g}: {busiest} requests in the busiest second; a target that is not this machine gets "
            f"{cap:.0f} at most: --speed {slower:g}"
        )


def retries_at(target: Target) -> int:
    """How often a request that was not answered well is sent again.

    That is done at once, beside what is planned, and what failed over a few seconds may be tried again in one: to a
    target that is not this machine nothing is sent again, and no figures that it would have to refuse: nobody would add
    them up again (`Kit.adds_up_again`).
    """
    return RETRIES if target.rate_cap_per_s is None else 0


def _busiest(plan: Plan) -> int:
    """Requests in the busiest second."""
    return int(plan.schedule.per_second().max(initial=0))


# For the generator's process


@dataclass(frozen=True)
class Kit:
    """All that a process needs, as plain data: goes through a pipe, never over a command line."""

    run_id: str
    mapping: str | None
    target_class: str | None
    groups: Sequence[str]
    ledger: str  # the folder
    speed: float
    begins_at_ms: int
    sites: Sequence[Mapping[str, Any]]  # in the roster's order: `_row`
    sessions: Mapping[str, Sequence[Any]] = field(default_factory=dict, repr=False)  # `upkeep.as_rows`
    logins: Mapping[str, Sequence[str]] = field(default_factory=dict, repr=False)  # site's code: user, PIN, secret
    clerks: Sequence[Sequence[str]] = field(default=(), repr=False)  # user, PIN, secret
    ca: str | None = None  # a file
    adds_up_again: bool = True  # figures that are refused are sent again, right; without it they are right at once

    def as_arguments(self) -> dict[str, Any]:
        """For `Generators`."""
        return {"kit": asdict(self)}


def kit(
    plan: Plan,
    accounts: Accounts,
    sessions: Mapping[str, Session],
    *,
    run_id: str,
    mapping: Path | None,
    target_class: str | None,
    ledger: Path,
    ca: Path | None = None,
) -> Kit:
    """The night as plain data."""
    evening, accounts = plan.evening, _by_code(plan, accounts)
    clerks = [one.user for one in accounts.of("clerk")[:_MOST_CLERKS] if one.user in sessions]
    turns = {each.number: _keyed_by(number, clerks) for number, each in enumerate(evening.keyed)}
    rows = []
    for each in evening.sites:
        row: dict[str, Any] = {
            "site": [each.site.code, each.site.id, each.site.county, each.site.precinct, each.site.delegates],
            "worksheet": _plain(each.worksheet),
            "picture_bytes": each.photo_bytes,
            "mistyped_at_ms": [one.at_ms for one in each.failures if one.trouble == Trouble.WRONG_PIN],
            "clerks": turns.get(each.number, ()),
        }
        if each.true != each.worksheet:
            row["true"] = _plain(each.true)
        if each.keyed_by_staff and each.keyed != each.worksheet:
            row["keyed"] = _plain(each.keyed)
        rows.append(row)
    return Kit(
        run_id=run_id,
        mapping=None if mapping is None else str(mapping.resolve()),
        target_class=target_class,
        groups=list(evening.groups),
        ledger=str(ledger.resolve()),
        speed=plan.speed,
        begins_at_ms=plan.begins_at_ms,
        sites=rows,
        sessions=as_rows(sessions),
        logins={code: [one.user, one.pin, one.totp_secret] for code, one in accounts.chairs.items()},
        clerks=[[one.user, one.pin, one.totp_secret] for one in accounts.of("clerk") if one.user in sessions],
        ca=None if ca is None else str(ca.resolve()),
    )


def _by_code(plan: Plan, accounts: Accounts) -> Accounts:
    """Chairs by their sites' codes: lists of other backends may name sites by county and precinct."""
    return accounts.by_code({each.site.id: each.site.code for each in plan.evening.sites})


def _keyed_by(number: int, clerks: Sequence[str]) -> tuple[str, ...]:
    """Who keys a result first, and who after; nobody twice: as `Evening.entries` shares them out."""
    if len(clerks) < 2:
        return ()
    first = number % len(clerks)
    second = (first + 1 + number // len(clerks) % (len(clerks) - 1)) % len(clerks)
    return clerks[first], clerks[second]


def _plain(report: Report) -> list[Any]:
    counts = (report.first_alignment, report.final, report.delegates)
    return [report.attendees, *(list(one.values()) for one in counts)]


def source(schedule: Schedule, target: Target, *, kit: Mapping[str, Any]) -> Source:
    """The requests of the night's share that this process keeps."""
    player = _Player(schedule, Kit(**kit))
    player.upkeep = player.kept_at(target, schedule)
    return Source(player.request, player.judge, player.finished, player.upkeep)


@dataclass(slots=True)
class _Work:
    """A request on its way: for whom, and what may be said instead where it is refused."""

    operation: Operation
    ask: Ask
    readings: list[Report] = field(default_factory=list)
    must_fail: bool = False  # a mistyped PIN
    refused: bool = False
    etag_of: tuple[str, int] | None = None


class _Player:
    """Everybody of the night, in one process."""

    def __init__(self, schedule: Schedule, kit: Kit) -> None:
        from loadtests.target.mapping import target_backend

        self._kit = kit
        self.backend: Backend = target_backend(
            Path(kit.mapping) if kit.mapping else None, kit.target_class, kit.run_id, tuple(kit.groups)
        )
        self.ledger = Ledger(Path(kit.ledger), kit.run_id)
        self._sessions = from_rows(kit.sessions)
        self.upkeep: Upkeep | None = None  # who renews them
        self._etags: dict[tuple[str, int], str] = {}
        self._under_way: dict[int, _Work] = {}
        self._writing: dict[int, int] = {}  # of a site: the write that is not answered yet
        self._waiting: dict[int, deque[int]] = {}  # and those that are due, but come after it
        self._pictures = self._drawn(schedule)
        self._planned: dict[int, tuple[Operation, int, int, int]] = {}  # operation, whose, when, the how many-eth
        seen: dict[tuple[int, int], int] = {}
        at_ms = np.rint(schedule.due_ns * kit.speed / 1e6).astype(np.int64) + kit.begins_at_ms
        rows = (schedule.index, schedule.operation, schedule.subject, at_ms)
        for index, operation, subject, at in zip(*(row.tolist() for row in rows), strict=True):
            turn = seen[operation, subject] = seen.get((operation, subject), 0) + 1
            self._planned[index] = (schedule.operations[operation], subject, at, turn)

    def _drawn(self, schedule: Schedule) -> dict[int, bytes]:
        """A few pictures, made before anything is due: a large one takes ten milliseconds."""
        if "photo" not in schedule.operations:
            return {}
        wanted = schedule.subject[schedule.operation == schedule.operations.index("photo")]
        sizes = sorted(self._kit.sites[number]["picture_bytes"] for number in wanted.tolist())
        kept = {sizes[len(sizes) * (2 * n + 1) // (2 * _PICTURES)] for n in range(_PICTURES)} if sizes else set()
        return {size: photo(f"{self._kit.run_id} {size}", size) for size in sorted(kept)}

    def kept_at(self, target: Target, schedule: Schedule) -> Upkeep | None:
        """Who renews the sessions of chairs whose requests are sent here, and of this process' share of clerks."""
        (k, of), kit = schedule.share, self._kit
        chairs = [kit.logins.get(row["site"][0]) for row in kit.sites]  # user, PIN, secret
        accounts = [Account(one[0], "", "", *one[1:]) for one in (*chairs[k::of], *kit.clerks[k::of]) if one]
        log_ins_s: dict[str, list[float]] = {}
        own = schedule.of("login")
        for subject, due_ns in zip(own.subject.tolist(), own.due_ns.tolist(), strict=True):
            if (chair := chairs[subject]) is not None:
                log_ins_s.setdefault(chair[0], []).append(due_ns / SECOND)
        return upkeep(self.backend, target, kit.run_id, kit.ca, self._sessions, accounts, log_ins_s)

    # What the generator calls

    def request(self, index: int) -> Request | None:
        """What is due; where it is tried again, the same, or figures that were added up again.

        None while a site's step before it is not answered: nobody sends the photo of a result that is being added up.
        """
        if not self._has_its_turn(index):
            return None
        work = self._under_way.get(index)
        if work is None:
            work = self._under_way[index] = self._work(index)
        elif work.refused and work.readings:
            work.ask = replace(work.ask, report=work.readings.pop(0), key=f"{work.ask.key}-again")
        before = work.ask.session
        if before is not None and (session := self._sessions[before.user]) is not before:  # renewed meanwhile
            work.ask = replace(work.ask, session=session)
        if work.ask.key:
            self.ledger.sent(work.operation, work.ask)
        request = self.backend.build(work.operation, work.ask)
        if work.operation == "login":  # whoever signs in comes anew
            return replace(request, headers={**request.headers, "Connection": "close"})
        return request

    def judge(self, index: int, reply: Reply) -> str:
        """What is wrong with a reply."""
        work = self._under_way[index]
        if reply.status == 304 and work.ask.etag:
            return ""
        outcome = self.backend.read(work.operation, reply)
        is_over = outcome.status == 401 and work.ask.session is not None
        if is_over and self.upkeep is not None and work.ask.session is not None:
            self.upkeep.refused(work.ask.session)
        work.refused = outcome.verdict == "refused" and not is_over
        if work.ask.key:
            self.ledger.answered(work.operation, work.ask, outcome)
        if work.must_fail:
            if outcome.accepted:
                return LET_IN
            # told to try later is refused, too; what is broken has refused nobody
            is_refused = outcome.verdict == "refused" or outcome.status == 429
            return "" if is_refused else _problem(work.operation, outcome)
        if not outcome.accepted:
            return _problem(work.operation, outcome)
        self._learn(work, outcome, reply)
        return ""

    def finished(self, index: int) -> int | None:
        """Nothing more comes of a request; which one has waited for it."""
        self._under_way.pop(index, None)
        operation, subject, *_ = self._planned[index]
        if not _writes(operation):
            return None
        if self._writing.get(subject) == index:
            del self._writing[subject]
        waiting = self._waiting.get(subject)
        return waiting.popleft() if waiting and subject not in self._writing else None

    def _has_its_turn(self, index: int) -> bool:
        """Whether nothing else is written for a site; what is not has to wait."""
        operation, subject, *_ = self._planned[index]
        if not _writes(operation) or self._writing.setdefault(subject, index) == index:
            return True
        self._waiting.setdefault(subject, deque()).append(index)
        return False

    def _learn(self, work: _Work, outcome: Outcome, reply: Reply) -> None:
        if work.operation == "login":
            session = self._sessions[work.ask.user] = signed_in(work.ask, outcome)
            if self.upkeep is not None:
                self.upkeep.signed_in(session)
        elif work.etag_of is not None and reply.headers.get("etag"):
            self._etags[work.etag_of] = reply.headers["etag"]

    # Who asks what

    def _work(self, index: int) -> _Work:
        operation, subject, at_ms, turn = self._planned[index]
        if operation in _LOOKS:
            of = (operation, subject)
            return _Work(operation, Ask(etag=self._etags.get(of, "")), etag_of=of)
        row = self._kit.sites[subject]
        code, site_id, county, precinct, delegates = row["site"]
        site = Site(code, site_id, county, precinct, delegates, tuple(self._kit.groups))
        if operation == "login":
            return self._login(site, subject, is_wrong=at_ms in row["mistyped_at_ms"])
        worksheet, true = self._report(row["worksheet"]), self._report(row.get("true") or row["worksheet"])
        readings = [worksheet, true] if self._kit.adds_up_again else [true]
        key = f"{self._kit.run_id[:36]}-{operation.rpartition('.')[2][:15]}-{subject}-{turn}"
        if operation == "clerk":
            user = row["clerks"][min(turn, 2) - 1] if row["clerks"] else ""
            if turn == 1 and "keyed" in row and self._kit.adds_up_again:
                readings.insert(0, self._report(row["keyed"]))
        else:
            user = self._kit.logins.get(site.code, ("",))[0]
        distinct = [one for number, one in enumerate(readings) if one not in readings[:number]]
        ask = Ask(self._sessions.get(user), site, distinct.pop(0), key=key, photo_type=PNG)
        if operation == "photo":
            size = min(self._pictures, key=lambda size: abs(size - row["picture_bytes"]))
            return _Work(operation, replace(ask, photo=self._pictures[size]))
        return _Work(operation, ask, distinct)

    def _login(self, site: Site, subject: int, *, is_wrong: bool) -> _Work:
        user, pin, secret = self._kit.logins.get(site.code, ("", "", ""))
        if is_wrong:
            pin = ("1" if pin[:1] != "1" else "2") + pin[1:]
        account = Account(user, "chair", site.code, pin, secret)
        code = account.second_factor()
        ask = Ask(user=user, pin=pin, second_factor=code, device=f"chair-{subject}", address=address("chair", subject))
        return _Work("login", ask, must_fail=is_wrong)

    def _report(self, row: Sequence[Any]) -> Report:
        people, *counts = row
        first, final, delegates = (dict(zip(self._kit.groups, one, strict=True)) for one in counts)
        return Report(people, first, final, delegates)


def _writes(operation: Operation) -> bool:
    return operation != "login" and operation not in _LOOKS


def _problem(operation: Operation, outcome: Outcome) -> str:
    """A line that is alike for all sites: figures that are refused are of each site's own."""
    if outcome.verdict == "refused":
        return f"{operation}: refused (HTTP {outcome.status})"
    status = f"HTTP {outcome.status}"
    said = re.sub(r"[0-9]+", "#", outcome.problem.removeprefix(status))
    return f"{operation}: {status}{said}" if outcome.status else f"{operation}: {said or outcome.verdict}"


# Playing it


def sign_everybody_in(preparation: Preparation, plan: Plan, accounts: Accounts) -> dict[str, Session]:
    """The sessions of all who write, before anything is due: their own log-ins of the night are sent besides.

    Of whom it has none, `of_those_signed_in` leaves the requests out.
    """
    if "login" not in preparation.backend.operations:
        return {}
    writers = {each.site.code for each in plan.evening.sites if each.by_app}
    chairs = [one for code, one in _by_code(plan, accounts).chairs.items() if code in writers]
    if writers and not chairs:
        raise InputError("--pins: no chair of this night's sites: is it the list of this backend and scenario?")
    found = preparation.signed_in(chairs, "chair")
    if plan.evening.keyed and "clerk" in preparation.backend.operations:
        clerks = accounts.of("clerk")[:_MOST_CLERKS]
        if len(clerks) < 2:
            raise InputError(f"--pins: {len(clerks)} clerks: every result is keyed by two")
        keying = preparation.signed_in(clerks, "clerk")
        if len(keying) < 2:
            raise InputError(f"--pins: {len(keying)} of {len(clerks)} clerks can sign in: every result is keyed by two")
        found |= keying
    return found


def of_those_signed_in(
    plan: Plan, backend: Backend, accounts: Accounts, sessions: Mapping[str, Session]
) -> tuple[Plan, str]:
    """The plan without the requests of chairs whom nobody can sign in, and a notice of it; "" where all are there."""
    if "login" not in backend.operations:
        return plan, ""
    schedule, chairs = plan.schedule, _by_code(plan, accounts).chairs
    unknown = [
        each.number
        for each in plan.evening.sites
        if (chair := chairs.get(each.site.code)) is None or (each.by_app and chair.user not in sessions)
    ]
    of_chairs = schedule.subject < len(plan.evening.sites)
    if "clerk" in schedule.operations:
        of_chairs &= schedule.operation != schedule.operations.index("clerk")
    left = of_chairs & np.isin(schedule.subject, unknown)
    absent = np.unique(schedule.subject[left]).tolist()
    if not absent:
        return plan, ""
    if left.all():
        raise InputError("--pins: nobody in it has anything to send: is it the list of this backend and scenario?")
    kept = np.flatnonzero(~left)
    fewer = replace(
        schedule,
        due_ns=schedule.due_ns[kept],
        operation=schedule.operation[kept],
        subject=schedule.subject[kept],
        index=np.arange(len(kept), dtype=np.int64),
    )
    some = ", ".join(plan.evening.sites[number].site.code for number in absent[:3])
    notice = (
        f"--pins: no chair, or none who can sign in, for {len(absent):,} of "
        f"{len(np.unique(schedule.subject[of_chairs])):,} sites whose chairs turn to the backend, such as {some}: "
        f"{len(schedule) - len(kept):,} of {len(schedule):,} requests are left out"
    )
    return replace(plan, schedule=fewer, absent=frozenset(absent)), notice


@dataclass(frozen=True, eq=False)
class Replayed:
    """What came of it."""

    plan: Plan
    trial: Trial
    acknowledged_at_ms: Integers  # by site, the time of the night at which the backend had promised its result; -1

    @property
    def sites(self) -> int:
        """On the roster."""
        return len(self.acknowledged_at_ms)

    @property
    def wrong_pins_let_in(self) -> int:
        """How often somebody who mistyped the PIN was let in, each try counted."""
        return self.trial.sample.problems.get(LET_IN, 0)


def replayed(plan: Plan, trial: Trial) -> Replayed:
    """Reads off the requests' three clocks when the backend had each result."""
    return Replayed(plan, trial, _brought_at_ms(plan, plan.clock_ms(trial.sample.done), trial.sample.ok))


def _brought_at_ms(plan: Plan, clock_ms: Any, counts: Truths) -> Integers:
    """By site: when its result was whole, where those requests that `counts` happened at `clock_ms`; -1: it was not.

    A result by app is there with its last step; one that staff key, with the second entry.
    """
    schedule = plan.schedule
    subject, at_ms = schedule.subject, np.rint(clock_ms).astype(np.int64)
    found = np.full(len(plan.evening.sites), -1, np.int64)
    names = np.array(schedule.operations)[schedule.operation]
    final = next((name for name in DONE if name in schedule.operations), None)
    if final is not None:
        rows = (names == final) & counts
        found[subject[rows]] = at_ms[rows]
    rows = (names == "clerk") & counts
    entries = np.bincount(subject[rows], minlength=len(found))
    twice = np.zeros(len(found), np.int64)
    np.maximum.at(twice, subject[rows], at_ms[rows])
    keyed = entries[: len(found)] >= 2
    found[keyed] = twice[keyed]
    return found


def play(
    plan: Plan,
    target: Target,
    kit: Kit,
    *,
    workers: int = 1,
    cores: Sequence[int] = (),
    sources: Sequence[str] = (),
    ca: Path | None = None,
    watch: Mapping[str, Sequence[int]] | None = None,
    around: Around = nothing,
    kept: Kept | None = None,
    retries: int = RETRIES,
    objective_s: float | None = None,
) -> Replayed:
    """Keep the night's times against a target; faults happen `around` it. `objective_s`: as a `Trial` has it."""
    with Generators(
        "loadtests.traffic.replay:source",
        target,
        replace(kit, adds_up_again=retries > 0).as_arguments(),
        workers=workers,
        cores=cores,
        headers=identification(kit.run_id),
        sources=sources,
        ca=ca,
        kept=kept,
    ) as generators:
        generators.order["limits"]["retries"] = retries
        trial = generators.trial(plan.schedule, objective_s=objective_s, watch=watch, around=around)
    return replayed(plan, trial)


def seconds_of(plan: Plan) -> float:
    """How long the replay takes."""
    return float(plan.schedule.due_ns[-1] / SECOND) if len(plan.schedule) else 0.0
