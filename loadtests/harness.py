"""A flow at a backend, ours (started for it) or somebody's: who is loaded, with what, and what must be true before.

What `break`, `spike` and `soak` have in common. `search.stress` makes trials of it, `traffic.flows` sends.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loadtests import contract, ledger, reconciliation
from loadtests.accounts import CLERK, REVIEWER, Account, Accounts, read_accounts
from loadtests.addresses import address, reach
from loadtests.breaking_point import BROKEN_OFF, BUDGET_S, SearchEndedError
from loadtests.contract import Backend, Operation, Report, Session, Site, reader_session
from loadtests.generator.processes import GeneratorError, nothing
from loadtests.generator.upkeep import Kept, as_rows, is_old
from loadtests.losses import Losses
from loadtests.night import Night
from loadtests.objectives import Objective
from loadtests.search.stress import Made, Stress, listening
from loadtests.target.guards import Target, allowed, identification, new_run_id
from loadtests.target.mapping import target_backend
from loadtests.target.sender import NoAnswerError, Sender
from loadtests.traffic.flows import FLOWS, SOURCE, WRITES, Kit, has_corrections, packed
from loadtests.traffic.preparing import Preparation, two_reports
from loadtests.workload import Peak
from simulation.errors import InputError, UnfinishedError

if TYPE_CHECKING:
    from loadtests.faults import Mark, Plan
    from loadtests.target.launch import Launched
    from simulation.scenario import Scenario

SQLITE, EMBEDDED = "sqlite", "embedded-postgres"
_NEEDS: Mapping[str, tuple[Operation, ...]] = {  # any of these
    "login": ("login",),
    "report": ("report", "report.open"),
    "photo": ("photo",),
    "clerk": ("clerk",),
    "results": ("results", "results.page", "results.csv"),
    "mix": ("report", "report.open", "results", "login"),
}
_FREE_SHARE = 0.9  # of sites whose request may be on its way: the others' answers are being read
_UNDER_WAY, _PHOTOS_UNDER_WAY = 4000, 200
_MOST_SITES_AFAR = 300  # of a target that is not this machine: what is sent there is slow enough
_FIRST_PER_S, _FIRST_S = 4.0, 2.0  # a look at whether anything works at all


@dataclass(frozen=True, eq=False)
class Job:
    """What is to be found, and with what: the same for each flow."""

    scenario: Scenario
    name: str  # as it was asked for
    peak: Peak
    objectives: Sequence[Objective]
    seed: int = 1
    budget_s: float = BUDGET_S
    recovers: bool = True
    workers: int = 1
    others: int = 0
    listens: tuple[str, int] = ("127.0.0.1", 0)
    target: Target | None = None  # None: our own backend is started
    database: str | None = None  # of our own; of a target, where the ledger reads beside the API
    mapping: Path | None = None
    target_class: str | None = None
    pins: Path | None = None
    ca: Path | None = None
    settle_s: float = 15.0
    plan: Plan | None = None
    ledgers: Path | None = None  # where ledgers stay; None: they are thrown away
    at_full_cost: frozenset[str] = frozenset()  # more sites whose PINs are as dear to check as on the night

    @property
    def latency_s(self) -> float | None:
        """The strictest latency that is asked for: what late means is measured by it."""
        return min((one.value for one in self.objectives if "latency" in one.metric), default=None)


@dataclass(frozen=True)
class Place:
    """A backend that is up."""

    target: Target
    pins: Path | None
    database: str | None  # its URL, where it may be read
    kind: str | None  # which database ours has
    launched: Launched | None = None
    generator_cores: tuple[int, ...] = ()
    cores: str = ""

    def watched(self) -> dict[str, list[int]]:
        """The processes to be watched."""
        if self.launched is None:
            return listening(self.target.port) if self.target.loopback else {}
        found = {
            "service": self.launched.process and self.launched.process.pid,
            "database": self.launched.database_process,
        }
        return {name: [pid] for name, pid in found.items() if pid}


# A backend


@contextmanager
def ours(job: Job, flow: str, folder: Path, told: Callable[[str], None]) -> Iterator[Place]:
    """A new backend of our own, on cores that the generator leaves to it."""
    from loadtests.target.launch import launched

    mine, its = split_cores()
    database = job.database or SQLITE
    url = f"sqlite:///{folder / 'backend' / 'caucus.db'}" if database == SQLITE else database
    sites = Night.of(job.scenario).sites
    at_full_cost = (
        frozenset(site.code for site in _parts(sites, flow, ours=True)["login"]) if _signs_in(flow) else frozenset()
    )
    told(f"starting the backend with {'SQLite' if database == SQLITE else 'PostgreSQL'}, {len(sites):,} sites")
    with launched(
        folder / "backend",
        url,
        job.scenario,
        scenario=job.name if job.scenario.spec.backend.faults else None,
        cores=frozenset(its),
        at_full_cost=at_full_cost | job.at_full_cost,
    ) as backend:
        cores = f"generator on {_shown(mine)}, service and database on {_shown(its)}" if its else ""
        yield Place(
            allowed(backend.url), backend.pins, backend.database_url, "sqlite" if database == SQLITE else "postgresql",
            backend, mine, cores,
        )  # fmt: skip


def split_cores() -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The generator's cores and the backend's: half each; nothing is pinned where there is but one."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        return (), ()
    return tuple(cores[: len(cores) // 2]), tuple(cores[len(cores) // 2 :])


def _shown(cores: Sequence[int]) -> str:
    return f"core{'s' * (len(cores) > 1)} {', '.join(map(str, cores))}"


def _signs_in(flow: str) -> bool:
    return flow in ("login", "mix")


def _parts(sites: Sequence[Site], flow: str, *, ours: bool) -> dict[str, tuple[Site, ...]]:
    """Who reports by app, whose result is keyed, who only signs in.

    At a backend that lasts longer than one flow no site is used for two things, now or later; a mix needs all three.
    """
    all_of_them = tuple(sites)
    if ours and flow in ("report", "photo", "results"):
        return {"chairs": all_of_them, "keyed": (), "login": ()}
    if ours and flow == "clerk":
        return {"chairs": (), "keyed": all_of_them, "login": ()}
    a, b = len(sites) * 6 // 10, len(sites) * 8 // 10
    if len(sites) < 5:
        return dict.fromkeys(("chairs", "keyed", "login"), all_of_them)
    return {"chairs": all_of_them[:a], "keyed": all_of_them[a:b], "login": all_of_them[b:]}


# A flow


def lacks(job: Job, flow: str) -> str:
    """What the backend does not have that a flow needs; empty where it has all."""
    return "" if set(_NEEDS[flow]) & operations(job) else f"the mapping has no [{_NEEDS[flow][0]}]"


def operations(job: Job) -> frozenset[str]:
    """What the backend can be asked; our own everything."""
    groups = Night.of(job.scenario).sites[0].groups
    return frozenset(target_backend(job.mapping, job.target_class, new_run_id(), groups).operations)


@contextmanager
def at_backend(job: Job, flow: str, told: Callable[[str], None]) -> Iterator[Load]:
    """A flow at its backend: ours, which is started for it and ends with the block, or somebody's."""
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="caucus-load-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        try:
            if job.target is not None:
                place = Place(job.target, job.pins, job.database, None)
            else:
                place = stack.enter_context(ours(job, flow, folder, told))
            kept = folder / "ledger" if job.ledgers is None else job.ledgers
            yield Load(job, flow, place, kept, told)
        except GeneratorError as error:
            raise UnfinishedError(f"load could not be made: {error}") from None
        except NoAnswerError as error:
            raise UnfinishedError(str(error)) from None


@dataclass
class Load:
    """One flow at one backend."""

    job: Job
    flow: str
    place: Place
    folder: Path  # of the ledger
    told: Callable[[str], None]
    run_id: str = field(default_factory=new_run_id)
    notices: list[str] = field(default_factory=list)
    marks: list[tuple[float, Mark]] = field(default_factory=list)
    kept: Kept = field(default_factory=Kept)  # sessions that were renewed
    not_held: str = ""  # why the ledger could not be held against what is stored
    began: float | None = None  # what marks count from: the search; None: the beginning of the first trial
    # known from `ready` on:
    night: Night = field(init=False)
    backend: Backend = field(init=False)
    send: Sender = field(init=False)
    accounts: Accounts = field(init=False)
    writer: ledger.Ledger = field(init=False, repr=False)
    reader: Session | None = field(init=False, repr=False)  # who may read what is stored

    @property
    def shown(self) -> str:
        """Who is loaded, for people."""
        return self.place.target.url if self.job.target else "our own backend"

    @contextmanager
    def ready(self) -> Iterator[None]:
        """The backend and its log-ins are known, and the ledger is open."""
        job, flow = self.job, self.flow
        self.night = Night.of(job.scenario)
        self.backend = target_backend(job.mapping, job.target_class, self.run_id, self.night.sites[0].groups)
        needs = _NEEDS.get(flow, ())
        if needs and not set(needs) & self.backend.operations:
            raise InputError(f"--flow {flow}: the mapping has no [{needs[0]}]: this backend has no such flow")
        self.send = Sender(self.place.target, self.run_id, job.ca)
        self.accounts = read_accounts(self.place.pins) if self.place.pins else Accounts.none()
        self.writer = ledger.Ledger(self.folder, self.run_id)
        try:
            self.reader = self._reader()
            yield
        finally:
            self.writer.close()

    def new_preparation(self) -> Preparation:
        """Who signs people in, and has sites report; it knows of those whom it has seen itself."""
        return Preparation(self.backend, self.send, self.writer, self.told)

    @contextmanager
    def through(self) -> Iterator[Target]:
        """The target that is to be loaded: with faults, what stands before it."""
        with ExitStack() as stack:
            target = self.place.target
            if self.job.plan:
                target = stack.enter_context(self.job.plan.around(self.place.launched, target))
            yield target

    @contextmanager
    def opened(self) -> Iterator[Stress]:
        """Everything prepared, and generators that wait for what to send; faults run around each trial."""
        with self.ready():
            kit = self._kit()
            losses = Losses(self.backend, self.send, self.reader, self.folder, contract.evening(self.backend))
            losses.begin_at(dict(kit.progress))  # type: ignore[arg-type]  # rows of two
            with self.through() as target, self._stress(kit, losses, target) as stress:
                self._works_at_all(stress)
                yield stress

    def _stress(self, kit: Kit, losses: Losses, target: Target) -> Stress:
        job, flow = self.job, self.flow
        writes = flow in WRITES
        corrects = not writes or self._goes_on(kit)
        number = 0

        def arguments() -> dict[str, Any]:
            nonlocal number
            number += 1
            progress = {site: list(row) for site, row in losses.progress.items()}
            sessions = {**kit.sessions, **as_rows(self.kept.sessions)}
            return replace(kit, name=f"{self.run_id}-{number}", progress=progress, sessions=sessions).as_arguments()

        def lost() -> int:
            try:
                losses.session = self._reads()
                return losses.new()
            except NoAnswerError as error:  # after an overload it may need a while; the ledger is held to it in the end
                self._notice(f"what is stored could not be read after each trial: {error}")
                return 0

        sites = len(kit.keyed) if flow == "clerk" else len(kit.chairs)
        chairs = [address("chair", n) for n in range(min(2000, max(1, len(kit.logins))))]
        apart = _signs_in(flow) and reach(target)
        made = Made(
            SOURCE,
            target,
            arguments,
            workers=job.workers,
            most_workers=max(job.workers, len(self.place.generator_cores) or (os.cpu_count() or 2) // 2),
            cores=self.place.generator_cores,
            others=job.others,
            listens=job.listens,
            under_way=_most_under_way(flow, sites, corrects=corrects),
            headers=identification(self.run_id) if job.target else {},
            sources=tuple(chairs) if apart else (),
            ca=job.ca,
            files=self.folder,
        )
        return Stress(
            made,
            seed=job.seed,
            shares=self._shares() if flow == "mix" else None,
            objective_s=job.latency_s,
            watch=self.place.watched,
            lost=lost if writes else lambda: 0,
            left=(lambda: float("inf")) if corrects else (lambda: self._left(kit, losses)),
            around=self.faults,
            steps_only=job.plan is not None and job.plan.has_times,
            told=self.told,
            kept=self.kept,
        )

    @contextmanager
    def faults(self, begins: float) -> Iterator[None]:
        """Faults run in the block, around a load that `begins` then (monotonic clock); when they did is noted."""
        if not self.job.plan:
            yield
            return
        self.began = begins if self.began is None else self.began
        with self.job.plan.playing(begins) as marks:
            yield
        self.marks += [(begins - self.began, mark) for mark in marks]

    @contextmanager
    def faults_once(self, stress: Stress) -> Iterator[None]:
        """Faults run through all trials of the block, from the first one's beginning on, and not anew in each."""
        with ExitStack() as stack:

            def first(begins: float) -> AbstractContextManager[None]:
                stress.around = nothing
                stack.enter_context(self.faults(begins))
                return nullcontext()

            stress.around = first
            yield

    def _works_at_all(self, stress: Stress) -> None:
        """A handful of requests: a flow that is refused whatever the load has no breaking point."""
        try:
            trial = stress.probe(_FIRST_PER_S, _FIRST_S)
        except SearchEndedError as ended:
            raise InputError(f"--flow {self.flow}: {ended}: more precincts, or a mapping with corrections") from None
        if trial.requests and not trial.sample.ok.any():
            said = trial.sample.main_problem or "no answer"
            raise InputError(
                f"--flow {self.flow}: of {trial.requests} requests, {_FIRST_PER_S:g} a second, not one was answered "
                f"well: {said}"
            )

    # What must be there before

    def _kit(self) -> Kit:
        flow, own = self.flow, self.place.launched is not None
        needs_login = "login" in self.backend.operations and (flow != "results" or own)
        if needs_login and not self.accounts.chairs and not self.accounts.staff:
            raise InputError(
                "who signs in? --pins FILE (user,role,site,pin,totp_secret; `caucus backend pins` writes ours)"
            )
        account_of = {site.code: self.night.account_of(site, self.accounts) for site in self.night.sites}
        sites = self.night.sites
        # a list may name but some of them: who does what is decided among those
        if needs_login and flow != "clerk" and not own:
            sites = tuple(site for site in sites if account_of[site.code] is not None)
            if not sites:
                raise InputError(f"--pins {self.place.pins}: nobody in it chairs a site of {self.job.name}")
        if not self.place.target.loopback:
            sites = sites[:_MOST_SITES_AFAR]
        parts = _parts(sites, flow, ours=own)
        reports = {site.code: two_reports(self.night, site) for site in sites}
        preparation = self.new_preparation()
        sessions: dict[str, Session] = {}
        people: list[Account] = []  # who is signed in
        chairs = list(parts["chairs"]) if flow in ("report", "photo", "mix") or (flow == "results" and own) else []
        if needs_login and chairs:
            with_login = [account for site in chairs if (account := account_of[site.code]) is not None]
            sessions |= preparation.signed_in(with_login, "chair")
            people += with_login
            chairs = [site for site in chairs if (one := account_of[site.code]) is not None and one.user in sessions]
        session_of = {site: sessions.get(one.user) if (one := account_of[site.code]) else None for site in chairs}
        progress: dict[str, tuple[int, Any]] = {} if own else preparation.come(session_of)
        session_of = {site: session for site, session in session_of.items() if site.code not in preparation.unknown}
        chairs = [site for site in chairs if site.code not in preparation.unknown]
        first = {"photo": len(chairs), "results": len(chairs), "mix": len(chairs) // 2}.get(flow, 0)
        if first:
            some = dict(list(session_of.items())[:first])
            progress = preparation.reported(some, {code: two[0] for code, two in reports.items()}, progress)
        clerks, reviewers = self.accounts.of(CLERK), self.accounts.of(REVIEWER)
        if flow in ("clerk", "mix") and "clerk" in self.backend.operations:
            if needs_login and len(clerks) < 2:
                raise InputError(f"--pins {self.place.pins}: {len(clerks)} clerks: every result is keyed by two")
            sessions |= preparation.signed_in(clerks, "clerk")
            people += clerks
            if "review.return" in self.backend.operations and reviewers:
                sessions |= preparation.signed_in(reviewers, "reviewer")
                people += reviewers
        logins = [one for site in parts["login"] if (one := account_of[site.code])] if _signs_in(flow) else []
        sessions = preparation.fresh_ones(sessions)
        return Kit(
            name=self.run_id,
            run_id=self.run_id,
            flow=flow,
            mapping=str(self.job.mapping) if self.job.mapping else None,
            target_class=self.job.target_class,
            groups=list(self.night.sites[0].groups),
            ledger=str(self.folder),
            chairs=self._rows(chairs if flow != "results" else parts["chairs"], account_of, reports),
            keyed=self._rows(parts["keyed"] if flow in ("clerk", "mix") else (), account_of, reports),
            sessions=as_rows(sessions),
            accounts=_plain({one.user: one for one in people if one.user in sessions}.values()),
            logins=_plain(logins),
            clerks=[one.user for one in clerks if one.user in sessions or not needs_login],
            reviewers=[one.user for one in reviewers if one.user in sessions or not needs_login],
            progress={site: list(row) for site, row in progress.items()},
            ca=None if self.job.ca is None else str(self.job.ca.resolve()),
        )

    def _rows(
        self,
        sites: Sequence[Site],
        account_of: Mapping[str, Account | None],
        reports: Mapping[str, tuple[Report, Report]],
    ) -> list[list[Any]]:
        users = {site.code: one.user if (one := account_of[site.code]) else "" for site in sites}
        return [packed(site, users[site.code], *reports[site.code]) for site in sites]

    def _shares(self) -> dict[str, float]:
        """Of the peak minute, those operations that this backend has."""
        has = self.backend.operations
        found: dict[str, float] = {name: share for name, share in self.job.peak.shares.items() if name in has}
        if not found:
            raise InputError("--flow mix: the mapping has nothing that a night asks for in its busiest minute")
        return found

    def _goes_on(self, kit: Kit) -> bool:
        """Whether there is always something more to send."""
        if self.flow == "clerk":
            return "review.return" in self.backend.operations and bool(kit.reviewers)
        steps = contract.evening(self.backend)
        asked = [step for step in steps if (step == "photo") == (self.flow == "photo")]
        return all(has_corrections(self.backend, kit.groups, step) for step in asked)

    def _left(self, kit: Kit, losses: Losses) -> float:
        """How many requests there are, where nothing can be sent twice."""
        steps = 2 if self.flow == "clerk" else len(contract.evening(self.backend))
        if self.flow == "report" and "photo" in self.backend.operations:
            steps -= 1
        rows, progress = (kit.keyed if self.flow == "clerk" else kit.chairs), losses.progress
        return float(sum(max(0, steps - progress.get(str(row[1]), (0, None))[0]) for row in rows))

    # What was promised

    def _reader(self) -> Session | None:
        try:
            return reader_session(self.backend, self.send, self.accounts)
        except InputError as error:
            self.notices.append(f"what is stored is not read: {error}")
            return None

    def _reads(self) -> Session | None:
        """Who reads what is stored, signed in again where that was long ago."""
        if self.reader is not None and is_old(self.reader):
            try:
                self.reader = reader_session(self.backend, self.send, self.accounts)
            except InputError as error:
                self._notice(f"what is stored was not read to the end: {error}")
        return self.reader

    def _notice(self, said: str) -> None:
        """Once."""
        self.notices += [said] if said not in self.notices else []

    def reconciled(self) -> dict[str, Any] | None:
        """What the ledger says; None where nothing is written, or where that cannot be known: `not_held` says why."""
        if self.flow in FLOWS and self.flow not in WRITES:
            return None
        try:
            self.told("holding the ledger against what is stored")
            entries = ledger.merge(self.folder)
            if not entries:
                return None
            return reconciliation.held_against(
                entries, self.backend, self.send, self._reads(), self.place.database, self.job.settle_s
            )
        except (InputError, NoAnswerError) as error:
            if not isinstance(error, reconciliation.NothingStatedError):
                self.not_held = str(error)
            self.notices.append(f"the ledger could not be held against what is stored: {error}")
            return None
        except (KeyboardInterrupt, SystemExit):  # Ctrl-C, SIGTERM: what was measured stays
            self.not_held = BROKEN_OFF
            self.notices.append(f"the ledger could not be held against what is stored: {BROKEN_OFF}")
            return None


def _plain(accounts: Iterable[Account]) -> list[list[str]]:
    """Rows for another process."""
    return [[one.user, one.role, one.site, one.pin, one.totp_secret] for one in accounts]


def _most_under_way(flow: str, sites: int, *, corrects: bool) -> int:
    """How many requests may wait for their answers: photos fill the memory, and some sites wait for themselves."""
    one_each = flow == "clerk" or (not corrects and flow != "mix")
    most = max(1, int(_FREE_SHARE * sites)) if one_each else _UNDER_WAY
    return min(most, _PHOTOS_UNDER_WAY) if flow == "photo" else min(most, _UNDER_WAY)
