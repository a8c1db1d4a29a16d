"""When requests are due: schedules of an open workload, in which nobody waits for anybody else's answer.

Plain numpy, a pure function of what it is made of: every process that makes a schedule makes the same one. Knows
nothing of HTTP, of Locust, or of how a schedule is kept.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from loadtests.contract import Operation
    from loadtests.traffic.evening import Evening
    from simulation.scenario import Scenario

Integers: TypeAlias = npt.NDArray[np.int64]
Floats: TypeAlias = npt.NDArray[np.float64]

SECOND = 1_000_000_000  # in the nanoseconds of a schedule
STEPS: tuple[Operation, ...] = ("report.open", "report.first_alignment", "report.final", "photo")
FLOWS: Mapping[str, tuple[Operation, ...]] = {  # what is asked for by one name
    "login": ("login",),
    "report": ("report", "report.open", "report.first_alignment", "report.final"),
    "photo": ("photo",),
    "clerk": ("clerk",),
    "results": ("results", "results.page", "results.csv", "results.county", "results.site"),
}
_LOOK: tuple[Operation, ...] = ("results.page", "results")  # what a reader asks for each time
_NIGHT: tuple[Operation, ...] = ("login", *STEPS, "clerk", *_LOOK)
_READ_MS = 4 * 3_600_000


@dataclass(frozen=True, eq=False)
class Schedule:
    """Requests in the order of their due times. The arrays are of equal length and never changed."""

    due_ns: Integers  # from the start
    operation: Integers  # which of `operations`
    subject: Integers  # whose request it is: a site's number in the roster, a reader's; or simply the how many-eth
    index: Integers  # where it stands in the whole schedule; `part` leaves gaps
    operations: tuple[str, ...]
    seconds: float  # how long requests are due; the last one may be due earlier
    spec: Mapping[str, Any] | None = field(default=None)  # what `made` makes the same whole schedule of
    share: tuple[int, int] = (0, 1)  # whose it is: the k-th of so many workers'

    def __len__(self) -> int:
        return len(self.due_ns)

    @property
    def rate(self) -> float:
        """Requests due a second, on average."""
        return len(self) / self.seconds if self.seconds else 0.0

    def part(self, k: int, of: int) -> Schedule:
        """The share of the k-th of so many workers: all of a subject's requests or none. Together it is the whole."""
        if not 0 <= k < of:
            raise ValueError(f"part {k} of {of}: expected 0 to {of - 1}")
        return replace(self._only(self.subject % of == k), share=(k, of))

    def of(self, *operations: str) -> Schedule:
        """Only these operations."""
        wanted = np.array([name in operations for name in self.operations], bool)
        return self._only(wanted[self.operation])

    def _only(self, kept: npt.NDArray[np.bool_]) -> Schedule:
        rows = (self.due_ns[kept], self.operation[kept], self.subject[kept], self.index[kept])
        return Schedule(*rows, self.operations, self.seconds)

    def mixed(self, shares: Mapping[str, float], seed: int) -> Schedule:
        """The same times, with an operation drawn for each by its share."""
        total = sum(shares.values())
        if not shares or min(shares.values()) < 0 or total <= 0:
            raise ValueError(f"shares {dict(shares)}: expected some share above 0, and none below")
        bounds = np.cumsum(list(shares.values())) / total
        drawn = np.searchsorted(bounds, _uniform(seed, "mix", len(self)), side="right")
        operation = np.minimum(drawn, len(shares) - 1).astype(np.int64)
        spec = None if self.spec is None else {**self.spec, "mix": dict(shares), "mix_seed": seed}
        return replace(self, operation=operation, operations=tuple(shares), spec=spec)

    def per_second(self) -> Integers:
        """How many are due in each second."""
        return np.bincount(self.due_ns // SECOND, minlength=int(np.ceil(self.seconds)))

    @cached_property
    def fingerprint(self) -> str:
        """Tells two schedules apart that should have been the same."""
        found = hashlib.blake2b(repr((self.operations, self.seconds)).encode(), digest_size=16)
        for row in (self.due_ns, self.operation, self.subject, self.index):
            found.update(np.ascontiguousarray(row).data)
        return found.hexdigest()

    def to_bytes(self) -> bytes:
        """For another process; `from_bytes` reads it."""
        file = io.BytesIO()
        rows = {"due_ns": self.due_ns, "operation": self.operation, "subject": self.subject, "index": self.index}
        np.savez(file, operations=np.array(self.operations), seconds=np.array(self.seconds), **rows)  # type: ignore[arg-type]  # its stubs take the rows for its option
        return file.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> Schedule:
        """What `to_bytes` wrote."""
        with np.load(io.BytesIO(data)) as file:
            rows = (file["due_ns"], file["operation"], file["subject"], file["index"])
            return cls(*rows, tuple(map(str, file["operations"])), float(file["seconds"]))


# Made-up arrivals


def constant(rate: float, seconds: float) -> Schedule:
    """One request every 1 / rate seconds."""
    _check(rate=rate, seconds=seconds)
    due = np.arange(int(np.floor(rate * seconds + 1e-9))) / rate
    return _schedule(due, seconds, {"kind": "constant", "rate": rate, "seconds": seconds})


def poisson(rate: float, seconds: float, seed: int) -> Schedule:
    """Many people who know nothing of each other: exponential times between requests."""
    _check(rate=rate, seconds=seconds)
    due = _arrivals([(0.0, rate), (seconds, rate)], seed)
    return _schedule(due, seconds, {"kind": "poisson", "rate": rate, "seconds": seconds, "seed": seed})


def ramp(first: float, last: float, seconds: float, seed: int) -> Schedule:
    """Poisson arrivals whose rate goes from `first` to `last` along a straight line."""
    _check(seconds=seconds, highest=max(first, last), lowest_from_0=min(first, last))
    due = _arrivals([(0.0, first), (seconds, last)], seed)
    return _schedule(due, seconds, {"kind": "ramp", "first": first, "last": last, "seconds": seconds, "seed": seed})


def spike(rate: float, peak: float, seconds: float, at: float, length: float, seed: int) -> Schedule:
    """Poisson arrivals at `rate`, but at `peak` from `at` on for `length` seconds."""
    _check(rate_from_0=rate, peak=peak, seconds=seconds, at_from_0=at, length=length)
    if at + length > seconds:
        raise ValueError(f"a spike from {at:g} s for {length:g} s does not fit into {seconds:g} s")
    corners = [(0.0, rate), (at, rate), (at, peak), (at + length, peak), (at + length, rate), (seconds, rate)]
    spec = {"kind": "spike", "rate": rate, "peak": peak, "seconds": seconds, "at": at, "length": length, "seed": seed}
    return _schedule(_arrivals(corners, seed), seconds, spec)


def burst(size: int, every: float, seconds: float) -> Schedule:
    """So many requests at one and the same time, again and again."""
    _check(size=size, every=every, seconds=seconds)
    due = np.repeat(np.arange(0.0, seconds, every), size)
    return _schedule(due, seconds, {"kind": "burst", "size": size, "every": every, "seconds": seconds})


def _schedule(due_s: Floats, seconds: float, spec: Mapping[str, Any]) -> Schedule:
    due = np.rint(due_s * SECOND).astype(np.int64)
    count = np.arange(len(due), dtype=np.int64)
    return Schedule(due, np.zeros_like(due), count, count, ("",), float(seconds), spec)


def _check(**values: float) -> None:
    for name, value in values.items():
        may_be_0 = name.endswith("_from_0")
        if not 0 <= value < float("inf") or (value == 0 and not may_be_0):
            expected = "0 or more" if may_be_0 else "more than 0"
            raise ValueError(f"{name.removesuffix('_from_0')} {value!r}: expected {expected}")


def _arrivals(corners: Sequence[tuple[float, float]], seed: int) -> Floats:
    """A Poisson process whose rate is linear between corners (time, rate).

    One of rate 1 is drawn, on a clock of its own: that clock is the integral of the rate, which is inverted.
    """
    times, rates = (np.array(row, float) for row in zip(*corners, strict=True))
    steps = np.diff(times) * (rates[1:] + rates[:-1]) / 2
    reached = np.concatenate(([0.0], np.cumsum(steps)))
    total = reached[-1]
    arrivals, block = np.zeros(0), 0
    while not len(arrivals) or arrivals[-1] < total:
        size = int(total + 6 * np.sqrt(total) + 32)
        gaps = -np.log1p(-_uniform(seed, f"arrivals {block}", size))
        arrivals = np.concatenate((arrivals, (arrivals[-1] if len(arrivals) else 0.0) + np.cumsum(gaps)))
        block += 1
    arrivals = arrivals[arrivals < total]
    piece = np.searchsorted(reached, arrivals, side="right") - 1
    into = arrivals - reached[piece]
    length = times[piece + 1] - times[piece]
    slope = np.divide(rates[piece + 1] - rates[piece], length, out=np.zeros_like(into), where=length > 0)
    # the smaller root of slope/2 x² + rate x = into, in the form that does not divide by a slope of 0
    after = 2 * into / (rates[piece] + np.sqrt(np.maximum(0.0, rates[piece] ** 2 + 2 * slope * into)))
    return np.asarray(times[piece] + after, float)


def _uniform(seed: int, purpose: str, count: int) -> Floats:
    """Numbers of [0, 1) by address: seed, purpose and position; a longer row begins as a shorter one does."""
    key = int.from_bytes(hashlib.blake2b(f"load {seed} {purpose}".encode(), digest_size=16).digest(), "little")
    return np.random.Generator(np.random.Philox(key=key)).random(count)


# A night


def night(
    evening: Evening,
    speed: float,
    *,
    operations: Sequence[Operation] = _NIGHT,
    readers: int = 0,
    until_ms: int | None = None,
) -> Schedule:
    """What a simulated night asks of its backend, `speed` times as fast, from its first request on.

    `operations` are those that the backend has. The subject of a request is the number of its site; of a reader, the
    number of sites and the reader's own. What is due after `until_ms` is left out. Not in it, because they follow from
    the backend's answers: reviews, retries and corrections.
    """
    _check(speed=speed)
    found = _requests(evening, operations, readers, evening.ends_at_ms if until_ms is None else until_ms)
    order = np.lexsort((found.operation, found.subject, found.at_ms))
    at_ms = found.at_ms[order]
    due_ns = np.rint((at_ms - at_ms[:1].sum()) * 1e6 / speed).astype(np.int64)
    return Schedule(
        due_ns,
        found.operation[order],
        found.subject[order],
        np.arange(len(order), dtype=np.int64),
        tuple(operations),
        float(due_ns[-1] / SECOND) if len(order) else 0.0,
    )


def first_request_at_ms(
    evening: Evening, operations: Sequence[Operation] = _NIGHT, *, readers: int = 0, until_ms: int | None = None
) -> int:
    """The time of the night at which the schedule of `night` begins."""
    found = _requests(evening, operations, readers, evening.ends_at_ms if until_ms is None else until_ms)
    return int(found.at_ms.min(initial=evening.ends_at_ms))


class _Planned(NamedTuple):
    """When, what (which of the operations) and whose; in no order."""

    at_ms: Integers
    operation: Integers
    subject: Integers


def _requests(evening: Evening, operations: Sequence[Operation], readers: int, until_ms: int) -> _Planned:
    """Everything that is planned until then; each look of a reader, which is several requests, at one time."""
    from loadtests.traffic.evening import Trouble

    number_of = {name: number for number, name in enumerate(operations)}
    rows: list[tuple[int, Operation, int]] = []
    for each in evening.sites:
        writes: list[tuple[int, Operation]] = []
        if each.by_app:
            received = each.received_at_ms
            times = (each.counted_at_ms, each.aligned_at_ms, received, each.photo_at_ms, received)
            writes = [(at, step) for at, step in zip(times, (*STEPS, "report"), strict=True) if step in number_of]
            rows.extend((at, step, each.number) for at, step in writes)
        tries = [failure.at_ms for failure in each.failures if failure.trouble != Trouble.NO_ANSWER]
        rows.extend((at, "login", each.number) for at in tries)
        # a chair signs in before the first step, and again after an attempt that failed
        lapses = [0, *(failure.at_ms for failure in each.failures)]
        firsts = {min((at for at, _ in writes if at >= lapse), default=-1) for lapse in lapses}
        rows.extend((at, "login", each.number) for at in sorted(firsts - {-1}))
        if each.keyed_by_staff:
            rows.extend((at, "clerk", each.number) for at in (each.received_at_ms, each.keyed_again_at_ms))
    kept = [(at, number_of[name], whose) for at, name, whose in rows if name in number_of and 0 <= at <= until_ms]
    planned = np.array(kept, np.int64).reshape(-1, 3)
    looks = [name for name in _LOOK if name in number_of]
    at_ms, reader = _visits(evening, readers if looks else 0, until_ms)
    return _Planned(
        np.concatenate((planned[:, 0], np.tile(at_ms, len(looks)))),
        np.concatenate((planned[:, 1], np.repeat([number_of[name] for name in looks], len(at_ms)).astype(np.int64))),
        np.concatenate((planned[:, 2], np.tile(reader + len(evening.sites), len(looks)))),
    )


def _visits(evening: Evening, readers: int, until_ms: int) -> tuple[Integers, Integers]:
    """When readers look, and which of them."""
    visits = np.array([evening.visit(reader) for reader in range(readers)], np.int64).reshape(-1, 2)
    first, every = visits[:, 0], visits[:, 1]
    looks = np.maximum(0, (until_ms - first) // np.maximum(every, 1) + 1)
    reader = np.repeat(np.arange(readers, dtype=np.int64), looks)
    nth = np.arange(len(reader), dtype=np.int64) - np.repeat(np.cumsum(looks) - looks, looks)
    return first[reader] + nth * every[reader], reader


class Peak(NamedTuple):
    """What "one caucus night" is: requests a second in the busiest minute, the 95th percentile over simulated nights.

    By flow, and of all of them together ("mix"). `shares` are those of each operation in the busiest minute of all.
    """

    per_s: Mapping[str, float]
    shares: Mapping[Operation, float]


def peak(scenario: Scenario, nights: int = 40, seed: int = 1, *, readers: int = 0) -> Peak:
    """The busiest minutes of simulated nights, which begin at any time. Flows that no night has are 0.

    `readers` are followed for four hours: all of them have come by then, and keep to their pace.
    """
    from loadtests.traffic.evening import evening

    found: dict[str, list[float]] = {name: [] for name in (*FLOWS, "mix")}
    counts = np.zeros(len(_NIGHT))
    for number in range(nights):
        tonight = evening(scenario, seed, number, small_photos=True)
        plan = _requests(tonight, _NIGHT, 0, tonight.ends_at_ms)
        looks, _ = _visits(tonight, readers, tonight.call_to_order_ms + _READ_MS)
        at_ms = np.concatenate((plan.at_ms, np.tile(looks, len(_LOOK))))
        operation = np.concatenate((plan.operation, np.repeat([_NIGHT.index(name) for name in _LOOK], len(looks))))
        for flow, peaks in found.items():
            wanted = np.array([flow == "mix" or name in FLOWS[flow] for name in _NIGHT])
            peaks.append(_busiest(np.sort(at_ms[wanted[operation]])) / 60)
        requests, begins_ms = _busiest_minute(np.sort(at_ms))
        within = (at_ms >= begins_ms) & (at_ms < begins_ms + 60_000)
        if requests:
            counts += np.bincount(operation[within], minlength=len(_NIGHT)) / requests
    return Peak(
        {flow: float(np.quantile(peaks, 0.95, method="higher")) for flow, peaks in found.items()},
        {name: float(count) for name, count in zip(_NIGHT, counts / max(1e-9, counts.sum()), strict=True) if count},
    )


def _busiest(at_ms: Integers) -> int:
    """The most requests in any 60 s."""
    return _busiest_minute(at_ms)[0]


def _busiest_minute(at_ms: Integers) -> tuple[int, int]:
    """The most requests in any 60 s, and when those begin."""
    if not len(at_ms):
        return 0, 0
    within = np.searchsorted(at_ms, at_ms + 60_000, side="left") - np.arange(len(at_ms))
    first = int(np.argmax(within))
    return int(within[first]), int(at_ms[first])


_KINDS: Mapping[str, Callable[..., Schedule]] = {
    "constant": constant,
    "poisson": poisson,
    "ramp": ramp,
    "spike": spike,
    "burst": burst,
}


def made(spec: Mapping[str, Any]) -> Schedule:
    """The schedule of a `spec`, in whatever process."""
    more = dict(spec)
    mix, mix_seed = more.pop("mix", None), more.pop("mix_seed", 0)
    schedule = _KINDS[more.pop("kind")](**more)
    return schedule if mix is None else schedule.mixed(mix, mix_seed)
