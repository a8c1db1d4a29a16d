"""Where a flow breaks: generators, a search by trials, and what comes after an overload, put together.

Knows what is loaded only as the name of a source of requests and its arguments; `finding` knows the flows.
"""

from __future__ import annotations

import contextlib
import http.client
import re
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import numpy as np
import numpy.typing as npt

from loadtests import breaking_point
from loadtests.breaking_point import (
    BROKEN_OFF,
    BUDGET_S,
    BreakingPoint,
    SearchEndedError,
    Tried,
    probe_seconds,
    search,
    used_up,
    wait_until_well,
)
from loadtests.generator.processes import Around, GeneratorError, Generators, nothing
from loadtests.generator.upkeep import Kept
from loadtests.objectives import Objective
from loadtests.objectives import Trial as Measured
from loadtests.search.recovery import OVERLOAD_SHARE, RETRIES, Phase, Recovery, recovery
from loadtests.target.guards import Target
from loadtests.trial import SECOND, Sample, Trial
from loadtests.workload import Schedule, poisson, spike
from simulation.errors import UnfinishedError

TIMEOUT_S = 10.0  # after which a client gives up
LEAST_PATIENCE_S = 1.0  # of a client that tries again; else as long as the latency that is asked for
WAITING = 8  # requests that wait for something of a backend that is not a core: that is what ran out
_METRICS_EVERY_S = 2.0
_GAUGE = re.compile(  # counters and histograms only grow: how much they show says nothing of how many wait now
    r"^([a-z0-9_:]*(?:waiting|queue|in_use|pending)[a-z0-9_:]*)"
    r"(?<!_total)(?<!_count)(?<!_sum)(?<!_bucket)(?<!_created)(?:\{[^}]*\})? ([0-9.eE+-]+)$",
    re.M,
)
NOT_ASKED = "it was not asked for"  # why it is not known how a backend comes back
_QUEUES = re.compile("waiting|queue|pending")


@dataclass(frozen=True)
class Made:
    """How load is made: what generators are told, on how many processes and cores."""

    source: str
    target: Target
    arguments: Callable[[], Mapping[str, Any]] = dict  # asked again for each new set of processes
    workers: int = 1
    most_workers: int = 1
    cores: tuple[int, ...] = ()
    others: int = 0  # workers on other machines, which come to where the master `listens`
    listens: tuple[str, int] = ("127.0.0.1", 0)
    under_way: int = 4000
    headers: Mapping[str, str] = field(default_factory=dict)
    sources: tuple[str, ...] = ()
    ca: Any = None
    files: Path | None = None  # where goes what workers on other machines write


@dataclass
class Stress:
    """Makes load, trial by trial; a context: its processes end with the block."""

    made: Made
    seed: int = 1
    shares: Mapping[str, float] | None = None  # of operations, where the flow is a mix
    objective_s: float | None = None
    watch: Callable[[], Mapping[str, Sequence[int]]] = dict
    lost: Callable[[], int] = lambda: 0
    left: Callable[[], float] = lambda: float("inf")  # how many requests there still are
    around: Around = nothing  # each trial that is no look at whether all is well: faults
    told: Callable[[str], None] = lambda text: None
    kept: Kept = field(default_factory=Kept)  # hears of the sessions that were renewed
    steps_only: bool = False  # a fault that has a time falls into long trials and not into short ones
    _workers: int = field(default=0, init=False)
    _made_trials: int = field(default=0, init=False)
    _generators: Generators | None = field(default=None, init=False)
    _started: ExitStack = field(default_factory=ExitStack, init=False)
    _metrics: bool | None = field(default=None, init=False)

    def __enter__(self) -> Stress:
        self._workers = max(1, self.made.workers) if not self.made.others else self.made.workers
        self._start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._started.close()

    @property
    def workers(self) -> int:
        """Processes that make load, on all machines."""
        return self._workers + self.made.others

    def _start(self) -> None:
        made = self.made
        if made.others:
            host, port = made.listens
            self.told(
                f"waiting for {made.others} more at {host}:{port}: on each, "
                f"`python -m loadtests.generator.child worker {host} {port}`. What they are told (tokens, PINs) is not "
                f"encrypted: only on a network of your own"
            )
        self._started.close()
        self._started = ExitStack()
        self._generators = self._started.enter_context(
            Generators(
                made.source,
                made.target,
                made.arguments(),
                workers=self._workers,
                cores=made.cores,
                others=made.others,
                listens=made.listens,
                timeout_s=TIMEOUT_S,
                under_way=made.under_way,
                headers=made.headers,
                sources=made.sources,
                ca=made.ca,
                files=made.files,
                kept=self.kept,
            )
        )

    # Trials

    def measure(self, rate_per_s: float, seconds: float) -> Trial:
        """One trial of Poisson arrivals."""
        return self.trial(self._arrivals(rate_per_s, seconds))

    def probe(self, rate_per_s: float, seconds: float) -> Trial:
        """A look at whether all is well: the same, without faults."""
        return self._kept(self._arrivals(rate_per_s, seconds), nothing)

    def trial(self, schedule: Schedule) -> Trial:
        """One trial, whatever its schedule."""
        return self._kept(schedule, self.around)

    def _arrivals(self, rate_per_s: float, seconds: float) -> Schedule:
        if self.left() < rate_per_s * seconds + 4 * np.sqrt(rate_per_s * seconds):
            raise SearchEndedError(f"only {self.left():,.0f} requests are left, and what was sent cannot be sent again")
        self._made_trials += 1
        return poisson(rate_per_s, seconds, self.last_seed)

    @property
    def last_seed(self) -> int:
        """Of the last trial's arrivals, and of a mix's operations."""
        return self.seed * 1000 + self._made_trials

    def _kept(self, schedule: Schedule, around: Around) -> Trial:
        """A schedule that is kept; the mix's shares are drawn here."""
        assert self._generators is not None
        if self.shares is not None:
            schedule = schedule.mixed(self.shares, self.last_seed)
        with self._metrics_of() as metrics:
            found = self._generators.trial(schedule, objective_s=self.objective_s, watch=self.watch(), around=around)
        used = found.resources
        if not self.made.target.loopback:  # then it is this machine's, which the backend does not use
            used = {name: value for name, value in used.items() if not name.startswith("machine.")}
        return replace(found, lost=self.lost(), resources={**used, **metrics})

    def more_workers(self) -> bool:
        """One more process, where there is a core for it; whether there is."""
        if self.made.others or self._workers >= self.made.most_workers:
            return False
        self._workers += 1
        self.told(f"the generator falls short: {self._workers} processes from here on")
        self._start()
        return True

    @contextmanager
    def _metrics_of(self) -> Iterator[dict[str, float]]:
        """The most that each of the backend's gauges of waiting has shown, where it has metrics."""
        found: dict[str, float] = {}
        over = threading.Event()

        def look() -> None:
            while True:
                text = _metrics_text(self.made.target)
                for name, value in _GAUGE.findall(text or ""):
                    with contextlib.suppress(ValueError):
                        found[f"metrics.{name}"] = max(found.get(f"metrics.{name}", 0.0), float(value))
                if over.wait(_METRICS_EVERY_S):
                    return

        if self._metrics is None:
            self._metrics = bool(_GAUGE.search(_metrics_text(self.made.target) or ""))
        if not self._metrics:
            yield found
            return
        thread = threading.Thread(target=look, name="metrics", daemon=True)
        thread.start()
        try:
            yield found
        finally:
            over.set()
            thread.join(_METRICS_EVERY_S)

    # The search, and what comes after

    def find(
        self,
        objectives: Sequence[Objective],
        *,
        flow: str,
        start_per_s: float,
        night_per_s: float | None = None,
        budget_s: float = BUDGET_S,
        recovers: bool = True,
        tried: Callable[[Tried], None] = lambda one: None,
    ) -> BreakingPoint:
        """The breaking point; and, where there is one, how the backend comes back from an overload.

        What fails on the way ends it with what was found until then; before the first trial it is an UnfinishedError.
        """
        cap = self.made.target.rate_cap_per_s
        point = search(
            _or_unfinished()(self.measure),
            objectives,
            probe=_or_unfinished()(self.probe),
            start_per_s=start_per_s,
            flow=flow,
            night_per_s=night_per_s,
            most_per_s=float("inf") if cap is None else cap,
            budget_s=budget_s,
            more_workers=_or_unfinished()(self.more_workers),
            ran_out=ran_out,
            told=tried,
            lengths=(breaking_point.STEP_S,) if self.steps_only else None,
            seed=lambda: self.last_seed,
        )
        low, high = point.requests_per_s
        unknown = NOT_ASKED if not recovers else BROKEN_OFF if point.broken_off else point.failed
        if unknown is None and (high is None or low <= 0):
            unknown = "nothing broke" if high is None else "no load was held"
        if unknown is not None:
            return replace(point, recovery_unknown=unknown)
        assert high is not None
        found: list[Recovery] = []
        broken_off, failed = False, None
        try:
            with _or_unfinished():
                unknown = self._come_back(found, objectives, (low + high) / 2, (0, RETRIES))
        except SearchEndedError as ended:
            unknown = str(ended)
        except KeyboardInterrupt:
            broken_off, unknown = True, BROKEN_OFF
        except UnfinishedError as error:
            unknown = failed = str(error)
        return replace(point, recoveries=tuple(found), recovery_unknown=unknown, broken_off=broken_off, failed=failed)

    def recoveries(
        self, objectives: Sequence[Objective], capacity_per_s: float, tries: Sequence[int] = (0, RETRIES)
    ) -> tuple[Recovery, ...]:
        """Overload, and back to nominal: without retries, and with them."""
        found: list[Recovery] = []
        with contextlib.suppress(SearchEndedError):
            self._come_back(found, objectives, capacity_per_s, tries)
        return tuple(found)

    def _come_back(
        self, found: list[Recovery], objectives: Sequence[Objective], capacity_per_s: float, tries: Sequence[int]
    ) -> str | None:
        """Adds one episode after the other, so that the first stays where the second fails; why one was left out."""
        cap = self.made.target.rate_cap_per_s
        left_out = None
        for retries in tries:
            if cap is not None and (1 + retries) * OVERLOAD_SHARE * capacity_per_s > cap:
                left_out = left_out or (
                    f"an overload {'with retries ' if retries else ''}could send more than {cap:.0f} requests a "
                    "second, which a target that is not this machine does not get"
                )
                continue
            self.told(
                "overload, then half of the breaking point; clients "
                + (f"try again {retries} times" if retries else "do not try again")
            )
            found += recovery(
                self.play,
                objectives,
                capacity_per_s=capacity_per_s,
                settle=lambda: self._settle(capacity_per_s / 10),
                retries=(retries,),
            )
        return left_out

    def play(self, phases: Sequence[Phase], retries: int) -> Played:
        """The phases in one go; clients who try again give up on each try sooner.

        Without faults: how a backend comes back from an overload is what is looked at.
        """
        before, overload, after = phases
        seconds = before.seconds + overload.seconds + after.seconds
        expected = sum(phase.per_s * phase.seconds for phase in phases)
        if self.left() < 1.1 * expected:
            raise SearchEndedError("too few requests are left")
        self._made_trials += 1
        schedule = spike(before.per_s, overload.per_s, seconds, before.seconds, overload.seconds, self.last_seed)
        generators = self._generators
        assert generators is not None
        order = generators.order
        patience_s = TIMEOUT_S
        if retries:
            patience_s = min(TIMEOUT_S, max(LEAST_PATIENCE_S, self.objective_s or TIMEOUT_S))
        limits = {**order["limits"], "retries": retries, "timeout_s": patience_s}
        generators.order = {**order, "limits": limits}
        try:
            return Played(self._kept(schedule, nothing))
        finally:
            generators.order = order

    def _settle(self, rate_per_s: float) -> None:
        rate = max(1.0, rate_per_s)
        wait_until_well(lambda: self.probe(rate, probe_seconds(rate)), None, time.sleep, lambda: False)


@dataclass(frozen=True)
class Played:
    """A trial as an episode of `recovery`."""

    trial: Trial

    @property
    def due_s(self) -> npt.NDArray[np.float64]:
        """When each was due."""
        return self.trial.sample.due / SECOND

    @property
    def latency_s(self) -> npt.NDArray[np.float64]:
        """Through all tries."""
        return self.trial.sample.latency_s

    @property
    def attempts(self) -> npt.NDArray[np.int64]:
        """How often each was sent."""
        return self.trial.sample.attempts

    @property
    def void(self) -> str | None:
        """Why it says nothing."""
        return self.trial.void


@contextmanager
def _or_unfinished() -> Iterator[None]:
    """A generator that failed, as what a search ends with that keeps what was found; also a decorator."""
    try:
        yield
    except GeneratorError as error:
        raise UnfinishedError(f"load could not be made: {error}") from error


def _metrics_text(target: Target) -> str | None:
    host = f"[{target.addresses[0]}]" if ":" in target.addresses[0] else target.addresses[0]
    if target.scheme != "http" or not target.loopback:
        return None  # somebody else's metrics are not asked for
    with (
        contextlib.suppress(URLError, OSError, ValueError, http.client.HTTPException),
        urlopen(f"http://{host}:{target.port}/metrics", timeout=2) as answer,
    ):
        return str(answer.read(1_000_000).decode("utf-8", "replace"))
    return None


def ran_out(trial: Measured) -> str | None:
    """What a backend that broke had no more of: a core, the disk, or whatever its own gauges say is waited for."""
    named = used_up(trial)
    if named is not None:
        return named
    queues = {
        name: value
        for name, value in trial.resources.items()
        if name.startswith("metrics.") and _QUEUES.search(name) and value >= WAITING
    }
    return max(queues, key=lambda name: queues[name], default=None)


def where(trials: Sequence[Tried]) -> str | None:
    """Which of several operations broke: the one that was answered worst where it mattered; None: there is but one."""
    worst: Counter[str] = Counter()
    for tried in trials:
        if tried.counts and not tried.judgement.holds:
            sample = sample_of(tried)
            if len(sample.operations) < 2:
                return None
            worst[max(sample.operations, key=lambda name: _badness(sample.of(name)))] += 1
    return worst.most_common(1)[0][0] if worst else None


def sample_of(tried: Tried) -> Sample:
    """The requests of a trial that was made here."""
    assert isinstance(tried.trial, Trial)
    return tried.trial.sample


def _badness(sample: Sample) -> tuple[float, float]:
    """The share that was not answered well, in percents; then how late the others were."""
    if len(sample) < 5:
        return 0.0, 0.0
    good = sample.latency_s[sample.ok]
    return round(float(np.mean(~sample.ok)), 2), float(np.quantile(good, 0.9)) if len(good) else float("inf")


def listening(port: int) -> dict[str, list[int]]:
    """The processes of this machine that listen on a port, and the database that they are connected to."""
    import psutil

    by_port: dict[int, set[int]] = defaultdict(set)
    connected: dict[int, set[int]] = defaultdict(set)
    try:
        found = psutil.net_connections("tcp")
    except psutil.Error:
        return {}
    for one in found:
        if one.pid is None:
            continue
        if one.status == psutil.CONN_LISTEN:
            by_port[one.laddr.port].add(one.pid)
        elif one.raddr:
            connected[one.pid].add(one.raddr.port)
    service = by_port.get(port, set())
    database = {pid for each in service for other in connected[each] for pid in by_port.get(other, set())} - service
    named = {"service": sorted(service), "database": sorted(database)}
    return {name: pids for name, pids in named.items() if pids}
