"""What a backend should keep to under load, written as people write it, and whether a trial keeps to it.

One grammar everywhere: `METRIC OP VALUE`, such as "p99(latency) < 2 s". An objective is judged on a trial, a
requirement ("nights >= 5") on a finished search. Knows nothing of how load is made, nor of how a search goes about.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from simulation.errors import InputError

SIGNIFICANCE = (
    0.05  # of the test whether the backlog grows: so often is a backlog that stands still taken for one that grows
)
CONFIDENCE = 0.95  # of the bounds that say whether a share or a quantile could as well lie on the other side
SETTLING_SHARE = 0.2  # of a trial: the backlog rises to its level at first, however small the load is


class Trial(Protocol):
    """What is read of one stationary step of load. Latencies count from the time at which a request was due."""

    @property
    def requests(self) -> int:
        """How many were due."""

    @property
    def seconds(self) -> float:
        """How long requests were due."""

    @property
    def offered_per_s(self) -> float:
        """Requests due a second."""

    @property
    def completed_per_s(self) -> float:
        """Requests answered well a second while requests were due: what an overloaded backend gets done."""

    @property
    def goodput_share(self) -> float:
        """Requests answered well, of all that were due."""

    @property
    def error_share(self) -> float:
        """Requests answered badly, late beyond the time-out, or not at all, of all that were due."""

    @property
    def backlog_slope_per_s(self) -> float:
        """How many more requests are under way with every second."""

    @property
    def backlog_slope_p(self) -> float:
        """How often luck alone makes a backlog that stands still rise as fast (one-sided)."""

    @property
    def lost(self) -> int:
        """Acknowledged writes that the backend does not hold."""

    @property
    def resources(self) -> Mapping[str, float]:
        """What was used meanwhile, by name, as `resources.Watch` tells: "service.cpu" in cores, "machine.disk" ..."""

    @property
    def void(self) -> str | None:
        """Why it says nothing about the backend, such as "the generator was late: p99 14 ms"; None: it counts."""

    def latency_s(self, q: float) -> float:
        """The latency that a share q of the requests does not exceed; infinite where they were not answered well."""


class Growth(NamedTuple):
    """Whether a backlog grows: its drift, Student's t of it, and how often luck does as much (one-sided)."""

    per_s: float
    t: float
    p: float


def backlog_growth(backlog: npt.ArrayLike) -> Growth:
    """A t-test of the drift of a backlog sampled every second.

    Neighboring seconds of a backlog are nearly equal: close to its capacity a queue is a random walk, and a straight
    line through its samples, taken as independent, finds a slope where there is none. Hence the test is of the changes
    from second to second, which in a random walk are independent. Where they still hang together (a service that has
    slow spells), the variance of their sum is larger: the greater of the plain and the Newey-West estimate is used. Of
    a backlog that keeps to a level, changes take each other back, and the test errs to the safe side. The first fifth
    is left out, in which the backlog of any service rises to its level.
    """
    from scipy.special import stdtr

    samples = np.asarray(backlog, np.float64)
    changes = np.diff(samples[int(np.ceil(len(samples) * SETTLING_SHARE)) :])
    count = len(changes)
    if count < 3:
        return Growth(float(changes.mean()) if count else 0.0, 0.0, 0.5)
    drift = float(changes.mean())
    around = changes - drift
    plain = float(around @ around) / (count - 1)
    lags = int(count ** (1 / 3))
    long_run = plain + sum(
        2 * (1 - lag / (lags + 1)) * float(around[lag:] @ around[:-lag]) / (count - 1) for lag in range(1, lags + 1)
    )
    error = math.sqrt(max(plain, long_run) / count)
    if error == 0:
        return Growth(drift, math.copysign(math.inf, drift) if drift else 0.0, float(drift <= 0))
    t = drift / error
    return Growth(drift, t, float(stdtr(count - 1, -t)))


# The metrics


class Metric(NamedTuple):
    """A number that can be asked for. `of`: of a trial, or of a finished search."""

    name: str
    of: Literal["trial", "search"]
    unit: str
    meaning: str


_LATENCY = re.compile(r"(p(?P<percent>\d{1,2}(?:\.\d{1,3})?)|max|p100)\(latency\)")
METRICS = (
    Metric(
        "p99(latency)",
        "trial",
        "s",
        "Time from when a request was due to its last byte that 99 % do not exceed; any percentage: `p50(latency)`, "
        "`p99.9(latency)`. A request that is not answered well is later than any.",
    ),
    Metric("max(latency)", "trial", "s", "The longest such time."),
    Metric(
        "error_share",
        "trial",
        "%",
        "Requests refused, failed, late beyond the time-out or dropped at the cap of requests under way, of all due.",
    ),
    Metric("goodput_share", "trial", "%", "Requests answered well, of all that were due."),
    Metric(
        "backlog_slope",
        "trial",
        "requests/s",
        "By how many requests a second those under way become more. It counts as above a value only where luck does as "
        "much in fewer than 5 of 100 trials (one-sided t-test of the changes from second to second).",
    ),
    Metric("lost", "trial", "writes", "Acknowledged writes that the backend does not hold."),
    Metric(
        "requests_per_s",
        "search",
        "requests/s",
        "The breaking point. `>=` asks it of the low end of the interval, `<=` of the high end.",
    ),
    Metric("nights", "search", "nights", "The breaking point in caucus nights, read as `requests_per_s` is."),
    Metric("recovery", "search", "s", "Time from the end of an overload until every objective holds again."),
)
ALWAYS = ("goodput_share >= 99 %", "backlog_slope <= 0", "lost <= 0")  # judged whether asked for or not
USUAL = ("p99(latency) < 2 s", "error_share < 0.5 %")  # where neither scenario nor command line says
_PATTERNS = {metric.name: metric for metric in METRICS}


class Finding(NamedTuple):
    """An objective in one trial. `sure`: it would be the same with other luck, at 95 % confidence."""

    objective: Objective
    value: float
    holds: bool
    sure: bool

    @property
    def shown(self) -> str:
        """Such as "p99(latency) 2.31 s"."""
        return f"{self.objective.metric} {_shown(self.value, _unit(self.objective.metric))}"


@dataclass(frozen=True, slots=True)
class Objective:
    """`METRIC OP VALUE`; shares of 1, times in seconds. `text` is as it was written."""

    metric: str
    op: str
    value: float
    text: str

    def judge(self, trial: Trial) -> Finding:
        """Whether the trial keeps to it, and whether that is more than luck."""
        value, low, high = _measured(self.metric, trial)
        if self.metric == "backlog_slope":
            return self._judge_slope(trial)
        return Finding(self, value, self.met_by(value), self.met_by(low) == self.met_by(high))

    def required(self, interval: Sequence[float | None]) -> bool:
        """Whether a finished search's interval meets it, at the end that counts against it. None: without bound."""
        low, high = interval[0], interval[-1]
        counts = (low if low is not None else 0.0) if self.op.startswith(">") else high
        return self.met_by(math.inf if counts is None else counts)

    def met_by(self, value: float) -> bool:
        """Whether a figure keeps to it."""
        return _COMPARES[self.op](value, self.value)

    def _judge_slope(self, trial: Trial) -> Finding:
        """An upper limit is broken by a slope that luck does not explain; a lower one is read as it stands."""
        slope, p = trial.backlog_slope_per_s, trial.backlog_slope_p
        above = p < SIGNIFICANCE and slope > self.value
        holds = not above if self.op.startswith("<") else self.met_by(slope)
        return Finding(self, slope, holds, not SIGNIFICANCE / 5 < p < SIGNIFICANCE * 5)


class Judgement(NamedTuple):
    """All objectives in one trial."""

    findings: tuple[Finding, ...]

    @property
    def holds(self) -> bool:
        """Whether the trial keeps to all of them."""
        return all(finding.holds for finding in self.findings)

    @property
    def sure(self) -> bool:
        """Whether that is more than luck: one broken for sure, or all kept for sure."""
        return any(f.sure for f in self.broken) if self.broken else all(f.sure for f in self.findings)

    @property
    def broken(self) -> tuple[Finding, ...]:
        """Those that the trial does not keep to."""
        return tuple(finding for finding in self.findings if not finding.holds)

    def as_json(self) -> list[dict[str, Any]]:
        """One object an objective."""
        return [
            {
                "objective": finding.objective.text,
                "value": finding.value if math.isfinite(finding.value) else None,
                "holds": finding.holds,
                "sure": finding.sure,
            }
            for finding in self.findings
        ]


def judge(trial: Trial, objectives: Sequence[Objective]) -> Judgement:
    """Every objective in the trial."""
    return Judgement(tuple(objective.judge(trial) for objective in objectives))


def parse_objective(text: str) -> Objective:
    """An objective of a trial: "p99(latency) < 2 s"; InputError says what would be accepted."""
    return _parsed(text, "trial")


def parse_requirement(text: str) -> Objective:
    """A requirement of a finished search: "nights >= 5"; InputError says what would be accepted."""
    return _parsed(text, "search")


def parse_objectives(texts: Sequence[str]) -> list[Objective]:
    """Those, the usual ones where there are none, and those that always count; InputError lists every mistake."""
    problems: list[str] = []
    found: dict[str, Objective] = {}
    for text in (*(texts or USUAL), *ALWAYS):
        try:
            objective = parse_objective(text)
            found.setdefault(f"{objective.metric} {objective.op} {objective.value}", objective)
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(problems)
    return list(found.values())


def metrics_markdown() -> str:
    """The list of metrics for docs/."""
    of = {"trial": "objective", "search": "requirement"}
    rows = [f"| `{metric.name}` | {of[metric.of]} | {metric.unit} | {metric.meaning} |" for metric in METRICS]
    return "\n".join([_PAGE, "| metric | in an | unit | meaning |", "|---|---|---|---|", *rows, "", _GRAMMAR])


_PAGE = """\
# Objectives

Written by `make docs`. What `caucus loadtest` measures of a backend, and what can be asked of it: objectives
(`--objective`, or in the scenario) are judged in every trial, requirements (`--require`) on the breaking point.
"""
_GRAMMAR = f"""\
## Grammar

`METRIC OP VALUE` with `<`, `<=`, `>` or `>=`. A share is written `0.5 %` or `0.005`, a time `2 s`, `250 ms` or
`1.5 min`; the rest are plain numbers, perhaps with their unit: `5 nights`, `800 requests/s`.

Where none is given, the objectives are {" and ".join(f"`{text}`" for text in USUAL)}. These always count as well:
{", ".join(f"`{text}`" for text in ALWAYS)}. Error share and goodput share add up to 100 %, so that an `error_share`
looser than 1 % asks for nothing.

## What is luck, and what is not

A trial keeps to an objective or not as its own number says. Beside it stands whether that is *sure*: whether another
trial of the same load would say the same. For shares this is read off the exact binomial bounds (Clopper-Pearson, 95 %)
of the share, for percentiles of latency off the order statistics between which the percentile lies with as much
confidence. Both count requests as independent; those of one bad second are not, so that "sure" is a little too easily
said, which is why the search repeats trials near the breaking point instead of trusting any single one.

A backlog that keeps growing is the surest sign of overload, long before a percentile shows it: at 2 % above its
capacity a backend is only 0.6 s behind after half a minute. But a backlog also wanders: near capacity it is a random
walk, and a straight line through it, tested as if its points were independent, finds growth where there is none. So the
changes from one second to the next are tested (Student's t, one-sided, 5 %), which in a random walk are independent;
where they are not, their variance is the larger of the plain and the Newey-West estimate. The first fifth of a trial is
left out, in which the backlog rises to its level.
"""
_COMPARES: Mapping[str, Callable[[float, float], bool]] = {
    "<": lambda one, other: one < other,
    "<=": lambda one, other: one <= other,
    ">": lambda one, other: one > other,
    ">=": lambda one, other: one >= other,
}
_OBJECTIVE = re.compile(r"([^<>=≤≥]+?)\s*(<=|>=|<|>|≤|≥)\s*([^<>=≤≥]+)")
_NUMBER = r"(\d+(?:\.\d+)?|\d{1,3}(?:,\d{3})+(?:\.\d+)?)"
_SECONDS = {"ms": 0.001, "s": 1.0, "min": 60.0}
_VALUES = {
    "s": (re.compile(_NUMBER + r" ?(ms|s|min)"), 'a time with its unit such as "2 s", "250 ms" or "1.5 min"'),
    "%": (re.compile(_NUMBER + r" ?(%?)"), "a share such as 0.5 % or 0.005"),
    "requests/s": (re.compile(_NUMBER + r"(?: ?(?:requests)?/s)?()"), "a number of requests a second such as 800"),
    "nights": (re.compile(_NUMBER + r"(?: ?nights?)?()"), "a number of caucus nights such as 5"),
    "writes": (re.compile(_NUMBER + r"(?: ?writes?)?()"), "a number of writes such as 0"),
}
_EXAMPLES = {
    "trial": ("an objective", '"p99(latency) < 2 s", "error_share < 0.5 %"'),
    "search": ("a requirement", '"nights >= 5", "recovery < 30 s"'),
}


def _parsed(text: str, of: Literal["trial", "search"]) -> Objective:
    """Case and spaces inside do not matter; the metric must be one of a trial, or of a search."""
    whole = " ".join(text.split())
    what, examples = _EXAMPLES[of]
    match = _OBJECTIVE.fullmatch(whole)
    if not match:
        raise InputError(f"{whole!r} given: expected {what}: metric, <, <=, > or >=, value: {examples}")
    name, op, value = match[1].replace(" ", "").lower(), match[2].replace("≤", "<=").replace("≥", ">="), match[3]
    known = [metric.name for metric in METRICS if metric.of == of]
    if not ((of == "trial" and _LATENCY.fullmatch(name) and name != "p0(latency)") or name in known):
        close = difflib.get_close_matches(name, known, n=1)
        other = name in _PATTERNS or _LATENCY.fullmatch(name)
        hint = (
            f"; it can be {_EXAMPLES['search' if of == 'trial' else 'trial'][0]}, not {what}."
            if other
            else f"; did you mean {close[0]}?"
            if close
            else "."
        )
        raise InputError(f"{whole}: {name}: no such metric here{hint} There are {', '.join(known)}")
    unit = _unit(name)
    pattern, expected = _VALUES[unit]
    found = pattern.fullmatch(value.strip())
    number = float(found[1].replace(",", "")) if found else math.nan
    if found and unit == "s":
        number *= _SECONDS[found[2]]
    elif found and unit == "%":
        number /= 100 if found[2] else 1
    if not found or (unit == "%" and number > 1):
        raise InputError(f"{whole}: {value.strip()!r} given: expected {expected}")
    return Objective(name, op, number, whole)


def _unit(metric: str) -> str:
    return "s" if _LATENCY.fullmatch(metric) else _PATTERNS[metric].unit


def _measured(metric: str, trial: Trial) -> tuple[float, float, float]:
    """The number, and the bounds between which it lies with CONFIDENCE."""
    latency = _LATENCY.fullmatch(metric)
    if latency:
        q = float(latency["percent"]) / 100 if latency["percent"] else 1.0
        low, high = _ranks(q, trial.requests)
        # so few requests say nothing of how late the latest are: the sample's own maximum bounds only the maximum
        longest_s = math.inf if high >= 1 and q < 1 else trial.latency_s(high)
        return trial.latency_s(q), trial.latency_s(low), longest_s
    if metric in {"error_share", "goodput_share"}:
        share = trial.error_share if metric == "error_share" else trial.goodput_share
        return (share, *binomial_bounds(round(share * trial.requests), trial.requests))
    value = float(trial.lost if metric == "lost" else trial.backlog_slope_per_s)
    return value, value, value


def binomial_bounds(count: int, of: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Between which shares the true one lies, when `count` of `of` were seen (Clopper and Pearson 1934)."""
    from scipy.special import betaincinv

    tail = (1 - confidence) / 2
    low = float(betaincinv(count, of - count + 1, tail)) if count > 0 else 0.0
    high = float(betaincinv(count + 1, of - count, 1 - tail)) if count < of else 1.0
    return low, high


def _ranks(q: float, requests: int) -> tuple[float, float]:
    """Between which quantiles of the sample the true q-quantile lies (order statistics, normal approximation)."""
    if requests == 0:
        return 0.0, 1.0
    half = 1.959964 * math.sqrt(q * (1 - q) / requests)  # standard normal quantile at 0.975, for CONFIDENCE
    return max(0.0, q - half), min(1.0, q + half)


def _shown(value: float, unit: str) -> str:
    if math.isinf(value):
        return "never"
    if unit == "%":
        return f"{value * 100:.3g} %"
    if unit == "s":
        return f"{value * 1000:.3g} ms" if value < 1 else f"{value:.3g} s"
    return f"{value:.4g} {unit}"
