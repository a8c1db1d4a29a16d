"""At what load a backend breaks: a search by trials, which may be lucky, may be void, and may leave a mess behind.

In the spirit of MLRsearch (IETF draft-ietf-bmwg-mlrsearch: short trials to bracket, long ones repeated where it is
close), but any objective may decide, and what is answered is an interval. Knows nothing of HTTP, of Locust, nor of how
a trial is measured; time is whatever clock it is given.
"""

from __future__ import annotations

import itertools
import math
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, TypeAlias, runtime_checkable

import numpy as np
import numpy.typing as npt

from loadtests.objectives import Judgement, Objective, Trial, judge
from simulation.errors import UnfinishedError

if TYPE_CHECKING:
    from loadtests.search.recovery import Recovery

Floats: TypeAlias = npt.NDArray[np.float64]
Kind: TypeAlias = Literal["bracket", "narrow", "probe"]
Measure: TypeAlias = Callable[[float, float], Trial]  # requests a second, seconds

STEP_S = 30.0  # the trials that decide: a breaking point is the load at which half of all steps of this length break
SHORT_S = 10.0  # those that bracket: they pass a little more load than a step does
LENGTHS_S = (SHORT_S, STEP_S)
BUDGET_S = 240.0
WIDTH = 0.05  # of the interval, as a share of its low end
CONFIDENCE = 0.95
BROKEN_OFF = "it was broken off"  # why an answer is no better, after Ctrl-C
STAYS_DOWN = "the backend did not come back within a minute of rest after it was overloaded"
LEAST_PER_S = 1.0  # below this nothing is searched
USED_UP = 0.9  # of one core or disk: then it is what ran out
_TRIES = 2  # voided so often in a row at one load: the generator cannot give it
_PROBE_S, _PROBE_REQUESTS = 1.0, 5  # as many seconds as so many requests need
_REST_S = (1.0, 2.0, 4.0, 8.0, 16.0, 29.0)  # between probes of a backend that is not well: a minute in all
_TAIL_S = 1.0  # of a trial that breaks, where none near the breaking point was seen yet


class Tried(NamedTuple):
    """A trial that was made, why, and what the objectives say."""

    kind: Kind
    at_s: float  # from the start of the search
    took_s: float  # until the last answer, or until it was given up
    rate_per_s: float  # asked for
    trial: Trial
    judgement: Judgement
    load_at_s: float | None = None  # when its first second began: after `at_s`, for it is prepared first
    seed: int | None = None  # of its arrivals, where they are drawn from one

    @property
    def counts(self) -> bool:
        """Whether it says where the backend breaks."""
        return self.trial.void is None and self.kind != "probe"

    @property
    def begins_s(self) -> float:
        """When load began, from the start of the search."""
        return self.at_s if self.load_at_s is None else self.load_at_s

    def as_json(self) -> dict[str, Any]:
        """Flat, but for the objectives, the resources and the problems."""
        trial = self.trial
        return {
            "kind": self.kind,
            "at_s": round(self.at_s, 3),
            "load_at_s": round(self.begins_s, 3),
            "took_s": round(self.took_s, 3),
            "seed": self.seed,
            "rate_per_s": self.rate_per_s,
            "seconds": trial.seconds,
            "requests": trial.requests,
            "offered_per_s": trial.offered_per_s,
            "completed_per_s": trial.completed_per_s,
            "goodput_share": trial.goodput_share,
            "error_share": trial.error_share,
            "p50_s": _finite(trial.latency_s(0.5)),
            "p99_s": _finite(trial.latency_s(0.99)),
            "backlog_slope_per_s": trial.backlog_slope_per_s,
            "lost": trial.lost,
            "void": trial.void,
            "holds": None if trial.void else self.judgement.holds,
            **_of_the_generator(trial),
            "resources": {name: float(value) for name, value in trial.resources.items()},
            "objectives": self.judgement.as_json(),
        }


@dataclass(frozen=True)
class BreakingPoint:
    """Where a flow breaks. The high end is None where nothing broke that could be offered."""

    flow: str
    requests_per_s: tuple[float, float | None]
    night_per_s: float | None  # requests a second of one caucus night
    valid: bool  # an interval as narrow as asked for, or as the number of arrivals allows
    why: str | None  # it is not
    limited_by: str | None  # what ran out
    broke: tuple[str, ...]  # the objectives that broke, most often first
    seconds: float
    trials: tuple[Tried, ...]
    recoveries: tuple[Recovery, ...] = field(default=())
    broken_off: bool = False  # by Ctrl-C, however good the answer already was
    failed: str | None = None  # what went wrong on the way: what was found until then stands
    recovery_unknown: str | None = None  # why it is not known how it comes back; None: it is, or `recoveries` say why

    @property
    def nights(self) -> tuple[float, float | None] | None:
        """The same in caucus nights."""
        if not self.night_per_s:
            return None
        low, high = self.requests_per_s
        return low / self.night_per_s, None if high is None else high / self.night_per_s

    @property
    def width(self) -> float | None:
        """Of the interval, as a share of its low end."""
        low, high = self.requests_per_s
        return None if high is None or low <= 0 else high / low - 1

    @property
    def recovery_s(self) -> float | None:
        """After an overload without retries; None: not measured, or it did not come back."""
        return next((found.recovery_s for found in self.recoveries if not found.retries), None)

    @property
    def metastable(self) -> bool | None:
        """Whether an overload that is over keeps it down, with or without retries; None: not measured."""
        known = [found.metastable for found in self.recoveries if found.metastable is not None]
        return any(known) if known else None

    @property
    def no_recovery(self) -> str | None:
        """Why there is no time to recovery, where it is not metastable; None: there is one, or nobody says why."""
        if self.recovery_s is not None or self.metastable:
            return None
        said = next((found.why for found in self.recoveries if not found.retries), None)
        return said or self.recovery_unknown

    def meets(self, requirement: Objective) -> bool:
        """Whether "nights >= 5", "recovery < 30 s" holds; what is not known meets nothing.

        Of an interval that is not valid the low end was held all the same: "nights >= 5" may hold by it.
        """
        if requirement.metric == "recovery":
            return self.recovery_s is not None and not self.metastable and requirement.required((self.recovery_s,))
        interval = self.nights if requirement.metric == "nights" else self.requests_per_s
        if interval is None or (interval[1] is None and not requirement.op.startswith(">")):
            return False
        return requirement.required(interval)

    def as_json(self) -> dict[str, Any]:
        """The object of `break --json`."""
        nights = self.nights
        return {
            "flow": self.flow,
            "requests_per_s": list(self.requests_per_s),
            "nights": None if nights is None else list(nights),
            "limited_by": self.limited_by,
            "broke": list(self.broke),
            "valid": self.valid,
            "why": self.why,
            "width": self.width,
            "confidence": CONFIDENCE,
            "recovery_s": self.recovery_s,
            "metastable": self.metastable,
            "recovery_unknown": self.recovery_unknown,
            "recoveries": [found.as_json() for found in self.recoveries],
            "broken_off": self.broken_off,
            "failed": self.failed,
            "seconds": self.seconds,
            "trials": [tried.as_json() for tried in self.trials],
        }


def probe_seconds(rate_per_s: float) -> float:
    """How long a look at whether a backend is well takes at a load: until a few requests have come."""
    return max(_PROBE_S, _PROBE_REQUESTS / rate_per_s)


def used_up(trial: Trial) -> str | None:
    """What a backend had no more of: a whole core of a process that was watched, the disk, or else a core at all.

    Of several processes the busiest counts: four that use a third of a core each have room. The generator's own are
    no part of the backend.
    """
    used = {
        name: trial.resources.get(f"{name}_busiest", share)
        for name, share in trial.resources.items()
        if name.endswith((".cpu", ".disk")) and not name.startswith("generator.")
    }
    full = [name for name, share in used.items() if share >= USED_UP]
    return max(full, key=lambda name: (not name.startswith("machine.cpu"), used[name]), default=None)


def search(
    measure: Measure,
    objectives: Sequence[Objective],
    *,
    start_per_s: float,
    probe: Measure | None = None,
    flow: str = "mix",
    night_per_s: float | None = None,
    most_per_s: float = math.inf,
    budget_s: float = BUDGET_S,
    width: float = WIDTH,
    more_workers: Callable[[], bool] | None = None,
    ran_out: Callable[[Trial], str | None] = used_up,
    told: Callable[[Tried], None] = lambda tried: None,
    rest: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
    lengths: tuple[float, ...] | None = None,
    seed: Callable[[], int | None] = lambda: None,
) -> BreakingPoint:
    """The breaking point: doubling from `start_per_s` to bracket it, then trials where they tell most.

    `probe` measures the few requests that show whether a backend is well again; without it, `measure` does.
    `most_per_s` is never exceeded. `more_workers` is asked after a void trial, and says whether the generator is
    stronger now. `ran_out` names what a backend that broke had no more of. `told` hears of every trial. `lengths` are
    those of trials, the shortest first; None: LENGTHS_S. `seed` tells that of the last trial's arrivals.

    Where a trial fails (UnfinishedError), what was found until then is the answer; there is none before the first.
    """
    state = _Search(
        measure=measure,
        probe=probe or measure,
        objectives=objectives,
        start_per_s=max(start_per_s, LEAST_PER_S),
        most_per_s=most_per_s,
        budget_s=budget_s,
        more_workers=more_workers,
        ran_out=ran_out,
        told=told,
        rest=rest,
        clock=clock,
        lengths=LENGTHS_S if lengths is None else lengths,
        seed=seed,
    )
    broken_off, failed = False, None
    try:
        state.bracket()
        state.narrow(width)
    except SearchEndedError as ended:
        state.ended = str(ended)
    except KeyboardInterrupt:
        state.ended, broken_off = BROKEN_OFF, True
    except UnfinishedError as error:
        if not state.trials:
            raise
        failed = str(error)
    low, high = state.interval()
    limited_by, valid, why = state.limit(low, high, width)
    if failed is not None:
        valid, why = False, failed
    broke = Counter(f.objective.text for t in state.trials if t.counts for f in t.judgement.broken)
    return BreakingPoint(
        flow, (low, high), night_per_s, valid, why, limited_by, tuple(text for text, _ in broke.most_common()),
        clock() - state.began, tuple(state.trials), broken_off=broken_off, failed=failed,
    )  # fmt: skip


def wait_until_well(
    probe: Callable[[], Trial], calm_s: float | None, rest: Callable[[float], None], until: Callable[[], bool]
) -> bool:
    """Wait until a backend answers a few requests as it did when it was calm, or `until`; whether it does.

    A backlog that was left behind, or a collapsed state, would be blamed on the next load. `calm_s` is the median
    latency of a backend that is well; None: it was never seen, and it is well when its latency falls no more.
    """
    before_s = math.inf
    for pause in (0.0, *_REST_S):
        if pause:
            rest(pause)
        if until():
            return False
        trial = probe()
        if not trial.requests:
            continue
        median_s = trial.latency_s(0.5)
        calm = before_s / 2 < median_s < math.inf if calm_s is None else median_s <= 2 * calm_s + 0.01
        if calm and trial.goodput_share >= 0.9:
            return True
        before_s = median_s
    return False


def method_markdown() -> str:
    """How the breaking point is searched, for docs/."""
    return _METHOD


_METHOD = f"""\
## How the breaking point is searched

The breaking point is the load at which half of all steps of {STEP_S:.0f} s, with Poisson arrivals and begun on a
backend that is well, keep to every objective. Loads are doubled in trials of {SHORT_S:.0f} s until one breaks. Then
each trial, of {SHORT_S:.0f} or {STEP_S:.0f} s, is made where it is expected to narrow the answer most for its time.
What an overloaded backend got done steers where to look, and has no say in the answer.

The answer is an interval that contains the breaking point with {CONFIDENCE:.0%} confidence. It is computed from the
verdicts alone: near the breaking point luck decides whether a trial holds, over a range of about 1 /
sqrt(arrivals), more where percentiles decide; how much more is estimated with it. From about 1,000 requests a
second on the interval is at most 5 % wide (1 to 3 searches in 100 run out of time a little before); at 200/s it is
about 7 %, at 50/s about 12 %, for in half a minute the arrivals themselves vary by 1 to 3 %. The search takes
{BUDGET_S / 60:.0f} minutes at most, unless `--budget` says otherwise; the look at recovery adds about two. An interval
that is wider than arrivals explain says so and is not valid.

After a trial that broke, a few requests are sent until they are answered as they were when the backend was calm: a
backlog, or a collapsed state, would be blamed on the next load. A void trial is made again, with more workers where
there are any; if the generator cannot give a load twice in a row, it is named as the limit, and nothing is said of
the backend.
"""


class SearchEndedError(Exception):
    """Why the search cannot go on; `measure` may say so as well. What was found until then is the answer."""


@dataclass
class _Search:
    """One search under way."""

    measure: Measure
    probe: Measure
    objectives: Sequence[Objective]
    start_per_s: float
    most_per_s: float
    budget_s: float
    more_workers: Callable[[], bool] | None
    ran_out: Callable[[Trial], str | None]
    told: Callable[[Tried], None]
    rest: Callable[[float], None]
    clock: Callable[[], float]
    lengths: tuple[float, ...]
    seed: Callable[[], int | None]
    began: float = field(init=False)
    trials: list[Tried] = field(default_factory=list)
    holds_at: float | None = None  # the ends of the bracket
    breaks_at: float | None = None
    ceiling_per_s: float = math.inf  # what the generator cannot give
    unwell: bool = False
    ended: str | None = None

    def __post_init__(self) -> None:
        self.began = self.clock()

    def bracket(self) -> None:
        """Doubles until it breaks, or halves until it holds."""
        rate, doubted = min(self.start_per_s, self.most_per_s), False
        while True:
            tried = self.tried("bracket", rate, self.lengths[0])
            if tried is not None and not tried.judgement.holds and not _is_overloaded(tried.trial):
                # a hiccup of the machine, or a limit far below capacity?
                tried = self.tried("bracket", rate, self.lengths[0])
            if tried is not None and tried.judgement.holds:
                self.holds_at = rate
            elif tried is not None:
                self.breaks_at = rate
            if self.holds_at is not None and self.breaks_at is not None:
                return
            if self.holds_at is None:
                rate = min(rate, self.ceiling_per_s) / 2
                if rate < LEAST_PER_S:
                    return
                continue
            if self.holds_at >= self.most_per_s:
                return
            rate = min(2 * self.holds_at, self.most_per_s)
            if rate >= self.ceiling_per_s:
                if self.ceiling_per_s / self.holds_at >= 1.1:
                    rate = math.sqrt(self.holds_at * self.ceiling_per_s)
                elif doubted:
                    return
                else:  # it gave nearly as much: perhaps it only had a bad moment
                    doubted, self.ceiling_per_s = True, math.inf

    def narrow(self, width: float) -> None:
        """Trials where they tell most, until the interval is narrow or time is up."""
        if self.holds_at is None or self.breaks_at is None:
            return
        while True:
            belief = self.belief
            low, high = belief.interval(CONFIDENCE)
            if high / low - 1 <= width * 0.95:
                return
            self.make_well()
            tail_s, broken_costs_s = self.price_of_breaking
            tail_s = max(tail_s, _TAIL_S)
            if self.left_s < self.lengths[0] + tail_s:
                return
            rate, seconds = belief.next_trial(self.guess_per_s, self.left_s - tail_s, broken_costs_s, self.lengths)
            rate = min(rate, self.most_per_s, 0.98 * self.ceiling_per_s)
            if self.tried("narrow", rate, seconds) is not None and rate > 0.9 * self.ceiling_per_s:
                self.ceiling_per_s = math.inf  # it can, it only had a bad moment

    @property
    def left_s(self) -> float:
        return self.budget_s - (self.clock() - self.began)

    def tried(self, kind: Kind, rate: float, seconds: float) -> Tried | None:
        """A trial of a backend that is well; None where the generator cannot give the load."""
        for _ in range(_TRIES):
            self.make_well()
            if self.left_s < seconds:
                raise self.over
            tried = self.keep(kind, rate, seconds)
            self.unwell = not tried.judgement.holds
            if tried.trial.void is None:
                return tried
            if self.more_workers is not None and self.more_workers():
                return self.tried(kind, rate, seconds)
        self.ceiling_per_s = min(self.ceiling_per_s, rate)
        return None

    def keep(self, kind: Kind, rate: float, seconds: float) -> Tried:
        at = self.clock() - self.began
        trial = (self.probe if kind == "probe" else self.measure)(rate, seconds)
        began = getattr(trial, "begins_s", None)  # on the same clock, of trials that know it
        tried = Tried(
            kind, at, self.clock() - self.began - at, rate, trial, judge(trial, self.objectives),
            at if began is None else began - self.began, self.seed(),
        )  # fmt: skip
        self.trials.append(tried)
        self.told(tried)
        return tried

    @property
    def over(self) -> SearchEndedError:
        return SearchEndedError(f"the {self.budget_s:.0f} s that a search may take were over")

    def make_well(self) -> None:
        """Nothing, unless the last trial broke."""
        if not self.unwell:
            return
        calm = [tried.trial.latency_s(0.5) for tried in self.evidence if tried.judgement.holds]
        rate = max(LEAST_PER_S, min(self.start_per_s, (self.holds_at or self.start_per_s) / 10))
        seconds = probe_seconds(rate)
        self.unwell = not wait_until_well(
            lambda: self.keep("probe", rate, seconds).trial,
            min(calm, default=None),
            lambda pause: self.rest(min(pause, max(0.0, self.left_s))),
            lambda: self.left_s < seconds,
        )
        if self.unwell and self.left_s < seconds:
            raise self.over
        if self.unwell:
            raise SearchEndedError(STAYS_DOWN)

    @property
    def belief(self) -> _Belief:
        """Where the verdicts say that it breaks, wherever it may: what is answered rests on them alone."""
        return _Belief(self.evidence)

    @property
    def guess_per_s(self) -> float | None:
        """What an overloaded backend got done: it steers where to look, and has no say in what is answered."""
        return max((t.trial.completed_per_s for t in self.evidence if not t.judgement.holds), default=None)

    @property
    def price_of_breaking(self) -> tuple[float, float]:
        """What a broken trial lately cost beside its own length: until its last answer, until the backend was well."""
        counted = self.evidence
        for tried, then in reversed(list(itertools.pairwise([*counted, None]))):
            if tried is not None and not tried.judgement.holds and tried.kind == "narrow":
                until = self.clock() - self.began if then is None else then.at_s
                return tried.took_s - tried.trial.seconds, until - tried.at_s - tried.trial.seconds
        return _TAIL_S, _TAIL_S + _PROBE_S

    @property
    def evidence(self) -> list[Tried]:
        return [tried for tried in self.trials if tried.counts]

    def interval(self) -> tuple[float, float | None]:
        if self.holds_at is None:
            return 0.0, self.breaks_at
        if self.breaks_at is None:
            return self.holds_at, None
        low, high = self.belief.interval(CONFIDENCE)
        return low, high

    def limit(self, low: float, high: float | None, width: float) -> tuple[str | None, bool, str | None]:
        """What ran out, whether the interval can be trusted, and why not."""
        if high is None:
            if self.ceiling_per_s < math.inf:
                return "generator", False, f"the generator is the limit: it cannot give {self.ceiling_per_s:.0f}/s"
            return None, False, self.ended or f"nothing broke up to {self.most_per_s:.0f}/s, which must not be exceeded"
        named = Counter(what for t in self.evidence if not t.judgement.holds and (what := self.ran_out(t.trial)))
        limited_by = named.most_common(1)[0][0] if named else None
        if self.holds_at is None:
            return limited_by, self.ended is None, self.ended or f"it does not hold at {high:.3g}/s either"
        allowed = max(width, self.allowed_width(low))
        found = high / low - 1
        if found <= allowed:
            if self.unwell and self.ended is not None and self.ended != str(self.over):
                return limited_by, True, self.ended
            reason = None if found <= width else f"{found:.0%} wide: arrivals at {low:.0f}/s vary that much in a step"
            return limited_by, True, reason
        why = self.ended or (
            f"the generator cannot give {self.ceiling_per_s:.0f}/s" if self.ceiling_per_s < high else
            f"{found:.0%} wide when time was up"
        )  # fmt: skip
        return limited_by, False, why

    @staticmethod
    def allowed_width(rate: float) -> float:
        """As narrow as half a dozen steps make it, when arrivals are Poisson."""
        return 8.0 / math.sqrt(rate * STEP_S)


class _Belief:
    """How likely each load is the breaking point, given the verdicts of trials.

    A trial at load x holds with probability Phi((ln b - ln x) / s), b the breaking point; with Poisson arrivals the
    luck s of a trial is k / sqrt(its arrivals), k about 1 for a queue of fixed service times and unknown for any other
    backend, so that both b and k are on the grid. Some trials come out wrong whatever the load (a hiccup of the
    machine): 1 in 100, or 1 in 500 where the verdict is sure. Short trials pass a little more load than long ones do.
    """

    POINTS, CANDIDATES = 300, 25

    def __init__(self, evidence: Sequence[Tried]) -> None:
        loads = [max(tried.trial.offered_per_s, 0.1 * tried.rate_per_s) for tried in evidence]  # few may mean none
        low = max((x for x, t in zip(loads, evidence, strict=True) if t.judgement.holds), default=min(loads) / 2)
        high = min((x for x, t in zip(loads, evidence, strict=True) if not t.judgement.holds), default=max(loads) * 2)
        low, high = min(low, high), max(low, high)
        self.points: Floats = np.linspace(math.log(low / 1.25), math.log(high * 1.25), self.POINTS)
        self.luck: Floats = np.geomspace(0.5, 16, 9)
        arrivals = low * STEP_S
        # from a third to three times what queues show: with so few trials it cannot be left to them alone
        prior = -0.5 * (np.log(self.luck / _usual_luck(evidence)) / 0.6) ** 2
        log = np.broadcast_to(prior, (self.POINTS, len(self.luck))).copy()
        self.guess_spread = max(0.015, 1.5 / math.sqrt(arrivals))
        for x, tried in zip(loads, evidence, strict=True):
            wrong = 0.002 if tried.judgement.sure else 0.01
            holds = self.chance(math.log(x), tried.trial.seconds, wrong)
            log += np.log(holds if tried.judgement.holds else 1 - holds)
        self.weights: Floats = np.exp(log - log.max())
        self.weights /= self.weights.sum()

    def chance(self, at: float, seconds: float, wrong: float) -> Floats:
        """Of a trial that holds, for each breaking point and each luck."""
        from scipy.special import ndtr

        spread = self.luck / math.sqrt(max(1.0, math.exp(at) * seconds))
        short = max(0.0, 1.5 * (1 - seconds / STEP_S))  # 1 for the shortest
        if short:
            unit = 1 / math.sqrt(max(1.0, math.exp(at) * seconds))
            spread = np.hypot(spread, short * math.hypot(0.03, unit))
            at -= short * 1.2 * unit
        chance: Floats = wrong + (1 - 2 * wrong) * ndtr((self.points[:, None] - at) / spread)
        return chance

    @cached_property
    def density(self) -> Floats:
        """Of the breaking point, whatever the luck."""
        density: Floats = self.weights.sum(axis=1)
        return density

    def interval(self, confidence: float) -> tuple[float, float]:
        """Equal tails."""
        tail = (1 - confidence) / 2
        below = np.cumsum(self.density)
        low, high = np.interp([tail, 1 - tail], below, self.points)
        return math.exp(low), math.exp(high)

    def next_trial(
        self, guess_per_s: float | None, longest_s: float, broken_costs_s: float, lengths: Sequence[float]
    ) -> tuple[float, float]:
        """The load and the length of the trial that, a second, is expected to narrow the interval most."""
        likely = self.weights
        if guess_per_s is not None:
            off = (self.points - math.log(max(guess_per_s, 1e-9))) / self.guess_spread
            likely = likely * (0.01 + np.exp(-0.5 * off**2))[:, None]
            likely = likely / likely.sum()
        low, high = (math.log(end) for end in self.interval(0.99))
        best, most = (math.exp((low + high) / 2), lengths[-1]), -math.inf
        for seconds in lengths:
            if seconds > longest_s:
                continue
            for at in np.linspace(low, high, self.CANDIDATES):
                chance = self.chance(at, seconds, 0.005)
                p = float((likely * chance).sum())
                held = (self.weights * chance).sum(axis=1)
                width = p * self._width(held) + (1 - p) * self._width(self.density - held)
                gain = (high - low - width) / (seconds + (1 - p) * broken_costs_s)
                if gain > most:
                    best, most = (math.exp(at), seconds), gain
        return best

    def _width(self, density: Floats) -> float:
        tail = (1 - 0.99) / 2
        below = np.cumsum(density)
        low, high = np.interp([tail * below[-1], (1 - tail) * below[-1]], below, self.points)
        return float(high - low)


def _is_overloaded(trial: Trial) -> bool:
    """Whether it got less done than was asked, not merely slowly."""
    return trial.completed_per_s < 0.95 * trial.offered_per_s


def _usual_luck(evidence: Sequence[Tried]) -> float:
    """Of trials, in 1 / sqrt(arrivals): what decides is how fast a backlog grows, or how slow the slow spells were.

    Both were found by playing queues. A percentile rests on a few slow spells, in which requests share their luck.
    """
    near = [tried for tried in evidence if tried.kind == "narrow" and not tried.judgement.holds]
    by_latency = any(
        all("latency" in finding.objective.metric for finding in tried.judgement.broken)
        for tried in near
        if not _is_overloaded(tried.trial)
    )
    return 2.5 if by_latency else 1.3


@runtime_checkable
class _Generated(Protocol):
    """A trial that knows how well its load was made, and why requests failed."""

    @property
    def lateness_p99_s(self) -> float: ...
    @property
    def generator_cpu(self) -> float: ...
    @property
    def sent_share(self) -> float: ...
    @property
    def problems(self) -> Mapping[str, int]: ...


def _of_the_generator(trial: Trial) -> dict[str, Any]:
    if not isinstance(trial, _Generated):
        return {}
    return {
        "lateness_p99_s": float(trial.lateness_p99_s),
        "generator_cpu": float(trial.generator_cpu),
        "sent_share": float(trial.sent_share),
        "problems": dict(trial.problems),
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
