"""What each flow sends: log-ins, reports, photos, the hotline's entries, public results, and the mix of a night.

Called in a generator's process (`generator.processes.Source`), and stays there from one trial to the next: who is
signed in and how far each site has come is known before anything is due. Every write goes into the ledger. Speaks only
the contract; knows nothing of how load is made, nor of what it finds.
"""

from __future__ import annotations

import re
import secrets
import zlib
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from loadtests import contract
from loadtests.accounts import Account
from loadtests.addresses import address
from loadtests.contract import (
    Ask,
    Backend,
    Operation,
    Outcome,
    Picture,
    Reply,
    Report,
    Request,
    Session,
    Site,
    without_secrets,
)
from loadtests.generator.processes import Source, own_folder
from loadtests.generator.upkeep import Upkeep, from_rows, upkeep
from loadtests.ledger import Ledger
from loadtests.photo import PNG, photo
from loadtests.target.guards import Target
from loadtests.workload import FLOWS as OPERATIONS_OF
from loadtests.workload import Schedule

FLOWS = ("login", "report", "photo", "clerk", "results", "mix")
SOURCE = "loadtests.traffic.flows:source"  # for `Generators`
WRITES = ("report", "photo", "clerk", "mix")  # these flows acknowledge something that can be lost
STEP = "any step"  # what a schedule of reports asks for: whatever is next at some site
LOOK = "any look"  # the same of a reader

CORRECTION = "load test: the same once more"  # why a step is sent again
RETURNED = "load test: keyed once more"  # why a reviewer sends an entry back
PICTURES = 12  # worksheet photos of a process, of the sizes that telephones make
PICTURE_BYTES = (1_000_000, 4_900_000)
_PICTURES_OF_A_SITE = 4
FRESH_SHARE = 0.5  # of looks at the results: by somebody who has an older release, or none; others are told "the same"
_LOOKS: tuple[Operation, ...] = (  # of 15, as readers and campaigns look: a county and a site at every third look
    *("results.page", "results") * 5,
    *("results.county", "results.site") * 2,
    "results.csv",
)
_REFUSALS = 2  # of one write, after which something else is sent for its site


class UsedUpError(Exception):
    """Nothing is left that could be sent."""


@dataclass(frozen=True)
class Kit:
    """All that a process needs to play a flow, as plain data: goes through a pipe, never over a command line."""

    name: str  # of this load: what a process knows of another one is forgotten
    run_id: str
    flow: str
    mapping: str | None
    target_class: str | None
    groups: Sequence[str]
    ledger: str  # the folder
    chairs: Sequence[Sequence[Any]]  # sites that report by app: `packed`
    keyed: Sequence[Sequence[Any]]  # sites whose results the hotline keys
    sessions: Mapping[str, Sequence[Any]] = field(default_factory=dict, repr=False)  # `upkeep.as_rows`
    accounts: Sequence[Sequence[str]] = field(default=(), repr=False)  # of those sessions: rows as of `logins`
    logins: Sequence[Sequence[str]] = field(default=(), repr=False)  # user, role, site, PIN, secret
    clerks: Sequence[str] = ()  # users
    reviewers: Sequence[str] = ()
    progress: Mapping[str, Sequence[Any]] = field(default_factory=dict)  # of a site: steps that it has, last version
    picture_bytes: Sequence[int] = PICTURE_BYTES
    ca: str | None = None  # a file

    def as_arguments(self) -> dict[str, Any]:
        """For `Generators`."""
        return {"kit": asdict(self)}


def packed(site: Site, user: str, report: Report, other: Report) -> list[Any]:
    """A site, who chairs it, and two lawful reports of it, as a row of plain data."""
    rows = [[one.attendees, *(list(counts.values()) for counts in _counts(one))] for one in (report, other)]
    return [user, site.code, site.id, site.county, site.precinct, site.delegates, *rows]


def _counts(report: Report) -> tuple[Mapping[str, int], Mapping[str, int], Mapping[str, int]]:
    return report.first_alignment, report.final, report.delegates


# What generators call


_playing: list[Player] = []  # the one of the last trial


def source(schedule: Schedule, target: Target, *, kit: Mapping[str, Any]) -> Source:
    """The requests of a flow; who sends them stays from one trial to the next."""
    told = Kit(**kit)
    name = (told.name, schedule.share)
    if not _playing or _playing[0].name != name:
        while _playing:
            _playing.pop().close()
        player = Player(told, schedule.share)
        k, of = schedule.share
        accounts = [Account(*row) for row in told.accounts[k::of]]
        player.upkeep = upkeep(player.backend, target, told.run_id, told.ca, player.sessions, accounts)
        _playing.append(player)
    player = _playing[0]
    player.begin(schedule, told)
    return Source(player.request, player.judge, player.finished, player.upkeep)


# Who sends what


@dataclass(slots=True)
class Work:
    """One request on its way: what was asked, for whom, and what came of it."""

    operation: Operation
    ask: Ask
    by: Part
    place: _Place | None = None  # the site that it is about, of those who write
    seen: Callable[[Reply], None] | None = None  # hears the answer, of those who read
    accepted: bool = False
    refused: bool = False
    beside: bool = False  # another request of its site is on its way
    outcome: Outcome | None = None


class Part(Protocol):
    """Some of those who send."""

    writes: bool

    def next(self, operation: str, /) -> Work:
        """What is sent now. UsedUpError: nothing is left."""

    def done(self, work: Work) -> None:
        """It is not tried again."""


@dataclass(slots=True)
class _Place:
    """A site, and how far it has come. Until it is complete, one request of it is on its way at a time."""

    site: Site
    reports: tuple[Report, Report]
    user: str = ""
    steps: int = 0  # that it has
    turn: int = 0  # of corrections: which report is said
    version: Any = None
    again: Work | None = None  # was not answered: is sent once more as it was
    refusals: int = 0
    is_complete: bool = False


class Player:
    """One flow in one process."""

    def __init__(self, kit: Kit, share: tuple[int, int]) -> None:
        from loadtests.target.mapping import target_backend

        k, of = share
        self.name = (kit.name, share)
        self.backend: Backend = target_backend(
            Path(kit.mapping) if kit.mapping else None, kit.target_class, kit.run_id, tuple(kit.groups)
        )
        self.sessions = from_rows(kit.sessions)
        self.upkeep: Upkeep | None = None  # who renews them
        self.ledger = Ledger(own_folder(Path(kit.ledger)), kit.run_id)
        self._keys, self._made = secrets.token_hex(6), 0
        has = self.backend.operations
        parts: dict[str, Part] = {}
        if kit.chairs and kit.flow in ("report", "photo", "mix"):
            chairs = Chairs(self, [_place(row, kit) for row in kit.chairs[k::of]], kit)
            parts |= dict.fromkeys((STEP, *chairs.steps), chairs)
        if kit.keyed and "clerk" in has and kit.flow in ("clerk", "mix"):
            parts["clerk"] = Clerks(self, [_place(row, kit) for row in kit.keyed[k::of]], kit)
        if kit.logins and kit.flow in ("login", "mix"):
            parts["login"] = LogIns([(address("chair", n), Account(*row)) for n, row in enumerate(kit.logins)][k::of])
        if kit.flow in ("results", "mix"):
            readers = Readers([_place(row, kit).site for row in (*kit.chairs, *kit.keyed)], has)
            parts |= dict.fromkeys((LOOK, *OPERATIONS_OF["results"]), readers)
        self._parts = parts
        self._on_its_way: dict[int, Work] = {}
        self._operation_of: dict[int, str] = {}
        self._operation = ""

    def begin(self, schedule: Schedule, kit: Kit) -> None:
        """A trial begins."""
        for number in list(self._on_its_way):  # of a trial that was broken off
            self.finished(number)
        self._operation = "" if kit.flow == "mix" else {"report": STEP, "results": LOOK}.get(kit.flow, kit.flow)
        if not self._operation:  # the schedule says what each request is
            named = [schedule.operations[which] for which in schedule.operation.tolist()]
            self._operation_of = dict(zip(schedule.index.tolist(), named, strict=True))

    def close(self) -> None:
        """Let go of the ledger's file."""
        self.ledger.close()

    def key(self) -> str:
        """A key of idempotency, nobody else's."""
        self._made += 1
        return f"{self._keys}-{self._made}"

    # What the generator calls

    def request(self, index: int) -> Request:
        """What is due; the same again where it is tried again."""
        work = self._on_its_way.get(index)
        if work is None:
            operation = self._operation or self._operation_of[index]
            work = self._on_its_way[index] = self._parts[operation].next(operation)
        before = work.ask.session
        if before is not None and (session := self.sessions[before.user]) is not before:  # renewed meanwhile
            work.ask = replace(work.ask, session=session)
        if work.by.writes:
            self.ledger.sent(work.operation, work.ask)
        request = self.backend.build(work.operation, work.ask)
        if work.operation == "login":  # who signs in comes anew
            return replace(request, headers={**request.headers, "Connection": "close"})
        if work.operation.startswith("results"):
            return replace(request, headers={**request.headers, "Accept-Encoding": "gzip"})
        return request

    def judge(self, index: int, reply: Reply) -> str:
        """What is wrong with a reply."""
        work = self._on_its_way[index]
        if reply.status == 304 and work.ask.etag:
            work.outcome = Outcome("accepted", 304)
        else:
            work.outcome = without_secrets(self.backend.read(work.operation, reply), work.ask)
        outcome = work.outcome
        if work.by.writes:
            self.ledger.answered(work.operation, work.ask, outcome)
        elif work.seen is not None:
            work.seen(reply)
        is_over = outcome.status == 401 and work.ask.session is not None
        if is_over and self.upkeep is not None and work.ask.session is not None:
            self.upkeep.refused(work.ask.session)
        work.accepted = outcome.accepted
        work.refused = outcome.verdict == "refused" and not is_over  # what was said is sent again, signed in anew
        return "" if outcome.accepted else f"{work.operation}: {_alike(outcome)}"

    def finished(self, index: int) -> None:
        """Nothing more comes of a request."""
        work = self._on_its_way.pop(index, None)
        if work is not None:
            work.by.done(work)


def _alike(outcome: Outcome) -> str:
    """What the backend says, in a line that is alike for all sites: numbers are each site's own."""
    status = f"HTTP {outcome.status}" if outcome.problem.startswith(f"HTTP {outcome.status}") else ""
    return status + re.sub(r"[0-9]+", "#", outcome.problem.removeprefix(status)) or outcome.verdict


def _place(row: Sequence[Any], kit: Kit) -> _Place:
    user, code, site_id, county, precinct, delegates, *said = row
    site = Site(code, site_id, county, precinct, delegates, tuple(kit.groups))
    one, other = (
        Report(people, *(dict(zip(kit.groups, counts, strict=True)) for counts in rows)) for people, *rows in said
    )
    steps, version = kit.progress.get(code, (0, None))
    return _Place(site, (one, other), user, steps=steps, version=version)


class Chairs:
    """Chairs at their sites: the steps of an evening, then corrections of them."""

    writes = True

    def __init__(self, player: Player, places: Sequence[_Place], kit: Kit) -> None:
        self._player = player
        self.steps = contract.evening(player.backend)
        self._reports = [step for step in self.steps if step != "photo"]
        self._corrects = [has_corrections(player.backend, kit.groups, step) for step in self.steps]
        self._waiting: dict[int, deque[_Place]] = defaultdict(deque)  # by how many steps they have
        self._turn = 0
        self._complete: list[_Place] = []  # sites that have sent all that is theirs
        low, high = kit.picture_bytes
        self._pictures = (
            [Picture(photo(f"{kit.run_id} {n}", low + (high - low) * n // PICTURES)) for n in range(PICTURES)]
            if "photo" in self.steps and kit.flow in ("photo", "mix")
            else []
        )
        self._whole = len(self.steps) if self._pictures else len(self._reports)
        for place in places:
            self._waits(place)

    def _waits(self, place: _Place) -> None:
        """A site that may send something."""
        self._waiting[place.steps].append(place)
        if place.steps >= self._whole and not place.is_complete:
            place.is_complete = True
            self._complete.append(place)

    def next(self, operation: str) -> Work:
        """The step of some site: where it is due, or a correction of it; else whatever else can be sent."""
        new = range(self._whole)  # what can be sent for the first time
        if operation == STEP:
            self._turn += 1
            at = self._turn % len(self._reports)
            own: Iterable[int] = (at, *new)
        else:
            at = self.steps.index(operation)
            own = (at,)
        for steps in own:
            if self._waiting[steps]:
                return self._of(self._waiting[steps].popleft(), steps)
        for steps in range(len(self.steps), at, -1) if self._corrects[at] else ():
            if self._waiting[steps]:
                return self._of(self._waiting[steps].popleft(), at)
        for steps in new:
            if self._waiting[steps]:
                return self._of(self._waiting[steps].popleft(), steps)
        for other in (other for other in range(len(self._reports)) if self._corrects[other]):
            for steps in range(len(self.steps), other, -1):
                if self._waiting[steps]:
                    return self._of(self._waiting[steps].popleft(), other)
        if self._complete and self._corrects[at]:  # all are waiting for an answer: another correction beside
            self._turn += 1
            work = self._of(self._complete[self._turn % len(self._complete)], at)
            work.beside = True
            return work
        raise UsedUpError("every site has sent all that it may send, or waits for an answer")

    def _of(self, place: _Place, at: int) -> Work:
        session = self._player.sessions.get(place.user)
        if place.again is not None:
            work, place.again = place.again, None
            work.ask = replace(work.ask, session=session)
            return work
        step = self.steps[at]
        is_new = at >= place.steps
        place.turn += 1
        said = place.reports[place.turn % 2]
        ask = Ask(
            session, place.site, said, key=self._player.key(), correction="" if is_new else CORRECTION, photo_type=PNG
        )
        if step == "photo":
            # a few for each site: what backends keep of one site is bounded
            first = zlib.crc32(place.site.code.encode())
            ask = replace(ask, photo=self._pictures[(first + place.turn % _PICTURES_OF_A_SITE) % len(self._pictures)])
        return Work(step, ask, self, place)

    def done(self, work: Work) -> None:
        """The site is free for the next one."""
        place = work.place
        assert place is not None
        if work.beside:
            return
        at = self.steps.index(work.operation)
        place.refusals = place.refusals + 1 if work.refused else 0
        if work.accepted or place.refusals >= _REFUSALS:
            place.steps = max(place.steps, at + 1)
            place.refusals = 0
        elif not work.refused:
            place.again = Work(work.operation, work.ask, self, place)
        self._waits(place)


class Clerks:
    """The hotline: each result is keyed twice, by two people; a reviewer returns it, and it is keyed again."""

    writes = True

    def __init__(self, player: Player, places: Sequence[_Place], kit: Kit) -> None:
        self._player, self._reviewers = player, list(kit.reviewers)
        self._clerks = list(kit.clerks) or [""]  # where nobody signs in, nobody is named
        self._returns = "review.return" in player.backend.operations and bool(self._reviewers)
        self._waiting = deque(place for place in places if place.steps < 2 or self._returns)
        self._turn = 0

    def next(self, _: str) -> Work:
        """The next entry, or return."""
        if not self._waiting:
            raise UsedUpError("every result has been keyed twice, or waits for an answer")
        place = self._waiting.popleft()
        if place.again is not None:
            work, place.again = place.again, None
            return work
        self._turn += 1
        if place.steps == 2:
            user = self._reviewers[self._turn % len(self._reviewers)]
            ask = self._ask(place, user, version=place.version, reason=RETURNED)
            return Work("review.return", ask, self, place)
        if place.steps == 0:
            place.turn = self._turn
        return Work(
            "clerk", self._ask(place, self._clerks[(place.turn + place.steps) % len(self._clerks)]), self, place
        )

    def _ask(self, place: _Place, user: str, **more: Any) -> Ask:
        return Ask(self._player.sessions.get(user), place.site, place.reports[0], key=self._player.key(), **more)

    def done(self, work: Work) -> None:
        """The site is free for the next one."""
        place = work.place
        assert place is not None
        place.refusals = place.refusals + 1 if work.refused else 0
        if work.accepted:
            assert work.outcome is not None
            place.version = work.outcome.values.get("version")
            place.steps = 0 if work.operation == "review.return" else place.steps + 1
            if place.steps == 2 and (not self._returns or place.version is None):
                return  # no more can be done here
        elif not work.refused:
            place.again = Work(work.operation, work.ask, self, place)
        elif place.refusals >= _REFUSALS:
            return
        self._waiting.append(place)


class LogIns:
    """Chairs who sign in, one after the other, each from an address of its own, each time on another device."""

    writes = False

    def __init__(self, accounts: Sequence[tuple[str, Account]]) -> None:
        self._accounts, self._made, self._device = accounts, 0, secrets.token_hex(4)

    def next(self, _: str) -> Work:
        """The next one."""
        if not self._accounts:
            raise UsedUpError("more processes make load than there are people who sign in: fewer workers")
        source, account = self._accounts[self._made % len(self._accounts)]
        self._made += 1
        device, code = f"{self._device}-{self._made}", account.second_factor()
        ask = Ask(user=account.user, pin=account.pin, second_factor=code, device=device, address=source)
        return Work("login", ask, self)

    def done(self, work: Work) -> None:
        """Nothing is left behind."""


class Readers:
    """The public: page and figures at every look, their county and precinct at every third; campaigns read the CSV."""

    writes = False

    def __init__(self, sites: Sequence[Site], has: Iterable[Operation]) -> None:
        self._sites, self._made = sites, 0
        self._looks = [look for look in _LOOKS if look in has]
        self._etags: dict[str, str] = {}

    def next(self, operation: str) -> Work:
        """The next look."""
        if not self._looks:
            raise UsedUpError("the mapping has no results")
        self._made += 1
        made = self._made
        look = self._looks[made % len(self._looks)] if operation == LOOK else operation
        site = self._sites[made * 31 % len(self._sites)] if look in ("results.county", "results.site") else None
        document = f"{look} {site.code if site and look == 'results.site' else site.county if site else ''}"
        # half of them, not every other one: those of one kind would always be the same
        is_fresh = made * 0x9E3779B1 % 2**32 < FRESH_SHARE * 2**32
        ask = Ask(site=site, county=site.county if site else "", etag="" if is_fresh else self._etags.get(document, ""))

        def seen(reply: Reply) -> None:
            etag = reply.headers.get("etag", "")
            if etag:
                self._etags[document] = etag

        return Work(look, ask, self, seen=seen)  # type: ignore[arg-type]  # a look of `_LOOKS`, or an operation of the schedule

    def done(self, work: Work) -> None:
        """Nothing is left behind."""


# What a backend allows


def has_corrections(backend: Backend, groups: Sequence[str], step: Operation) -> bool:
    """Whether a step that is there already can be sent again: whether its request says why."""
    site = Site("0001", "-", "-", "-", 1, tuple(groups))
    nobody = dict.fromkeys(groups, 0)
    said = Report(0, nobody, nobody, nobody)
    ask = Ask(Session("-", "-", _Anything()), site, said, key="-", photo=b"-", photo_type=PNG)
    plain, corrected = (backend.build(step, replace(ask, correction=why)) for why in ("", CORRECTION))
    return (plain.path, plain.body, dict(plain.headers)) != (corrected.path, corrected.body, dict(corrected.headers))


class _Anything(dict[str, object]):
    """Values of a session that nobody has: whatever the mapping asks for is there."""

    def __missing__(self, name: str) -> str:
        return "-"
