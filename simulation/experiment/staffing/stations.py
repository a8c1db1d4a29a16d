"""Check-in stations: what every site's lines come to with one station, two, three ..., and who gets how many.

The lines of different buildings do not touch each other, and every measure of check-in is a sum over sites held against
a limit; so a night is played once for each number of stations everywhere, and plans are added up from those tables.
Precincts that share doors send each other a few people who stood in the wrong line: `rebased` puts that right.
"""

from __future__ import annotations

import itertools
import json
import math
import operator
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from simulation.experiment.measures import Goal
from simulation.night.curves import LINE_STEP
from simulation.randomness import Integers
from simulation.roster.derive import usual_stations
from simulation.scenario.values import HOUR

if TYPE_CHECKING:
    import numpy.typing as npt

    from simulation.night import CheckIn
    from simulation.scenario import Scenario

    Floats = npt.NDArray[np.float64]

MOST_STATIONS = 100  # of one site, in the tables
_NO_BETTER = 2  # so many more stations everywhere that save next to nothing: no more are looked at
_NEXT_TO_NOTHING = 5000  # of what there is with one station everywhere, one part in so many
_COMPARES: dict[str, Callable[[float, float], bool]] = {"<": operator.lt, "<=": operator.le}


@dataclass(frozen=True)
class Rooms:
    """What else a start waits for, a number a site: the chair, and a move to a larger room. ms."""

    chair_there_at: Integers
    move: Integers


@dataclass(frozen=True)
class Needs:
    """What sites come to with k stations, k from 1 (index 0) to `most`.

    A target holds in a night where its `over`, summed over sites, is not above the night's limit.
    """

    over: Integers  # [targets, nights, k, sites]: people or precincts beyond the target's value, or ms of waiting
    limit: Integers  # [targets, nights]
    excess: Floats  # [k, sites]: time beyond the targets' values, over all nights; what stations are given for
    wait: Floats  # [k, sites]: ms of waiting in a night, the mean over nights

    @property
    def most(self) -> int:
        """The most stations of one site that were looked at."""
        return int(self.wait.shape[0])

    @property
    def sites(self) -> int:
        """How many there are."""
        return int(self.wait.shape[1])


@dataclass(frozen=True)
class Table:
    """One night of `Needs`: what a worker plays and sends back."""

    wait: Integers  # [k, sites], ms
    over: Integers  # [targets, k, sites]
    excess: Integers  # [targets, k, sites]
    limit: Integers  # [targets]

    def to_bytes(self) -> bytes:
        """The table as bytes."""
        numbers = np.concatenate([self.wait.ravel(), self.over.ravel(), self.excess.ravel(), self.limit])
        shape = json.dumps([len(self.limit), *self.wait.shape]).encode()
        return shape + b"\n" + zlib.compress(numbers.astype("<i8").tobytes(), 1)

    @classmethod
    def from_bytes(cls, content: bytes) -> Table:
        """The table that they hold."""
        shape, _, packed = content.partition(b"\n")
        targets, most, sites = json.loads(shape)
        numbers = np.frombuffer(zlib.decompress(packed), "<i8").astype(np.int64)
        one = most * sites
        wait, over, excess, limit = np.split(numbers, [one, one * (1 + targets), one * (1 + 2 * targets)])
        whole = (targets, most, sites)
        return cls(wait.reshape(most, sites), over.reshape(whole), excess.reshape(whole), limit)


@dataclass(frozen=True)
class Tabulate:
    """The task of a worker: play check-in of a night with one station everywhere, with two, with three ..."""

    scenario: Scenario
    seed: int
    fixed: bool
    goals: tuple[Goal, ...]

    def __call__(self, night: int) -> bytes:
        from simulation.night import check_in

        rooms = rooms_of(self.scenario, self.seed, night, self.fixed) if any(map(_is_start, self.goals)) else None
        sites = len(self.scenario.roster)
        waits: list[Integers] = []
        over: list[list[Integers]] = []
        excess: list[list[Integers]] = []
        limit: list[int] = [0] * len(self.goals)
        for k in range(1, MOST_STATIONS + 1):
            seen = check_in(self.scenario, self.seed, night, np.full(sites, k, np.int64), fixed=self.fixed)
            found = [measured(goal, seen, rooms) for goal in self.goals]
            waits.append(by_site(seen, seen.wait_ms))
            over.append([one[0] for one in found])
            excess.append([one[1] for one in found])
            limit = [one[2] for one in found]
            if _levels_off(np.array([[one.sum() for one in row] for row in over if row] or [[w.sum()] for w in waits])):
                break
        shape = (len(waits), len(self.goals), sites)
        return Table(
            np.array(waits),
            np.array(over, np.int64).reshape(shape).swapaxes(0, 1),
            np.array(excess, np.int64).reshape(shape).swapaxes(0, 1),
            np.array(limit, np.int64),
        ).to_bytes()


@dataclass(frozen=True)
class Replay:
    """The task of a worker: play check-in of a night with the stations of a plan; a `Table` of one k."""

    scenario: Scenario
    seed: int
    fixed: bool
    goals: tuple[Goal, ...]
    stations: tuple[int, ...]

    def __call__(self, night: int) -> bytes:
        from simulation.night import check_in

        rooms = rooms_of(self.scenario, self.seed, night, self.fixed) if any(map(_is_start, self.goals)) else None
        seen = check_in(self.scenario, self.seed, night, np.array(self.stations, np.int64), fixed=self.fixed)
        found = [measured(goal, seen, rooms) for goal in self.goals]
        shape = (len(self.goals), 1, len(self.stations))
        return Table(
            by_site(seen, seen.wait_ms).reshape(1, -1),
            np.array([one[0] for one in found], np.int64).reshape(shape),
            np.array([one[1] for one in found], np.int64).reshape(shape),
            np.array([one[2] for one in found], np.int64),
        ).to_bytes()


def rooms_of(scenario: Scenario, seed: int, night: int, fixed: bool) -> Rooms:
    """What else the starts of a night wait for; both engines say the same."""
    from simulation.night import play_night

    frame = play_night(scenario, seed, night, fixed=fixed).precincts
    return Rooms(frame["chair_there_at_ms"].to_numpy(), frame["move_ms"].to_numpy())


def by_site(seen: CheckIn, of_people: Integers) -> Integers:
    """The sum over each site's people."""
    sums = np.concatenate([np.zeros(1, np.int64), np.cumsum(of_people, dtype=np.int64)])
    found: Integers = sums[seen.offsets[1:]] - sums[seen.offsets[:-1]]
    return found


def measured(goal: Goal, seen: CheckIn, rooms: Rooms | None) -> tuple[Integers, Integers, int]:
    """Of a goal in a night: its sum's part by site, the time beyond the goal's value by site, the limit of the sum.

    `goal.holds(row)` is the same as a sum that is not above the limit.
    """
    beyond = _COMPARES[goal.op]
    family, number, value = goal.measure.family, goal.measure.number, goal.value
    people = int(seen.people.sum())
    wait = by_site(seen, seen.wait_ms)

    def fits(read: Callable[[int], float], guess: float) -> int:
        """The largest sum whose measure meets the goal; -1: not even 0."""
        largest = max(-1, math.floor(guess) + 2)
        while largest >= 0 and not beyond(read(largest), value):
            largest -= 1
        return largest

    if family == "wait_p{}":
        over = _beyond(goal, seen.wait_ms)
        late = np.maximum(0, seen.wait_ms - int(value))
        return by_site(seen, over), by_site(seen, late), _beyond_quantile(people, number)
    if family == "wait_mean":
        return wait, wait, fits(lambda total: float(total // max(1, people)), (value + 1) * max(1, people))
    if family == "hours_in_line":
        return wait, wait, fits(lambda total: total / HOUR, value * HOUR)
    if family == "in_line@":
        at = seen.call_to_order - HOUR + LINE_STEP * number
        stand = (seen.arrived_at <= at) & (seen.in_at > at)
        return by_site(seen, stand.astype(np.int64)), wait, fits(float, value)
    if family == "in_line_share":
        late_in = (seen.in_at > seen.call_to_order).astype(np.int64)
        return by_site(seen, late_in), wait, fits(lambda count: count / max(1, people), value * people)
    if rooms is None:
        raise ValueError(f"{goal.measure.name}: no measure of check-in")
    delay = _starts(seen, rooms) - seen.call_to_order
    over = _beyond(goal, delay)
    limit = 0 if family == "start_delay_max" else _beyond_quantile(len(delay), number)
    return over, np.maximum(0, delay - int(value)), limit


def _starts(seen: CheckIn, rooms: Rooms) -> Integers:
    """When each site is called to order: the last one is in, the chair is there, the room is large enough."""
    last_in = np.zeros(len(seen.people), np.int64)
    some = seen.people > 0
    if some.any():
        last_in[some] = np.maximum.reduceat(seen.in_at, seen.offsets[:-1][some])
    found: Integers = np.maximum(last_in, rooms.chair_there_at) + rooms.move
    return found


def _levels_off(sums: Integers) -> bool:
    """Whether the last stations save next to nothing: [k, targets]."""
    if len(sums) <= _NO_BETTER:
        return False
    saved = sums[-1 - _NO_BETTER] - sums[-1]
    return bool((saved <= sums[0] // _NEXT_TO_NOTHING).all())


def _beyond(goal: Goal, values: Integers) -> Integers:
    """1 where a value does not meet the goal."""
    return (values >= goal.value if goal.op == "<" else values > goal.value).astype(np.int64)


def _beyond_quantile(count: int, percent: int) -> int:
    """How many of `count` may exceed what `percent` of them do not exceed."""
    return count - max(1, -(-count * percent // 100)) if count else 0


def _is_start(goal: Goal) -> bool:
    return goal.measure.family.startswith("start_delay")


def needs_of(tables: Sequence[Table]) -> Needs:
    """Nights put together. A night that was played with fewer stations has no more waiting with more."""
    most = max(table.wait.shape[0] for table in tables)

    def whole(values: Integers) -> Integers:
        missing = most - values.shape[-2]
        return np.concatenate([values, *[values[..., -1:, :]] * missing], axis=-2)

    over = np.stack([whole(table.over) for table in tables], axis=1)
    excess = sum((whole(table.excess).sum(axis=0).astype(np.float64) for table in tables), np.zeros(()))
    wait = sum((whole(table.wait).astype(np.float64) for table in tables), np.zeros(())) / len(tables)
    return Needs(over, np.stack([table.limit for table in tables], axis=1), np.asarray(excess), np.asarray(wait))


def rebased(needs: Needs, stations: Integers, seen: Sequence[Table]) -> Needs:
    """The tables moved so that they tell of `stations` what was seen when those were played."""
    sites = np.arange(needs.sites)
    told = needs.over[:, :, stations - 1, sites]
    shown = np.stack([table.over[:, 0] for table in seen], axis=1)
    return replace(needs, over=needs.over + (shown - told)[:, :, None, :])


# Who gets how many


def summed(needs: Needs, stations: Integers) -> Integers:
    """What a plan comes to: [targets, nights], to be held against `needs.limit`."""
    found: Integers = needs.over[:, :, stations - 1, np.arange(needs.sites)].sum(axis=-1)
    return found


def meets(needs: Needs, sums: Integers, misses: Sequence[int]) -> bool:
    """Whether no target misses in more nights than it may."""
    return bool(((sums > needs.limit).sum(axis=1) <= np.array(misses, np.int64)).all())


def for_targets(needs: Needs, misses: Sequence[int]) -> Integers | None:
    """The stations of each site, as few as meet the targets; None where no number of stations does.

    Stations go where each takes away most of the time that people wait beyond the targets, until the targets hold;
    then every station whose removal leaves them holding is taken back. The same by how many people wait beyond the
    targets; the cheaper plan counts.
    """
    plans = [_until_met(needs, misses, gain) for gain in (needs.excess, _people_beyond(needs))]
    found = [trimmed(needs, plan, misses) for plan in plans if plan is not None]
    return min(found, key=lambda plan: int(plan.sum()), default=None)


def _people_beyond(needs: Needs) -> Floats:
    """[k, sites]: what counts against the targets' limits, as a share of these, over all targets and nights."""
    limits = np.maximum(1, needs.limit)[:, :, None, None]
    found: Floats = (needs.over / limits).sum(axis=(0, 1))
    return found


def _until_met(needs: Needs, misses: Sequence[int], gain: Floats) -> Integers | None:
    """Stations where they take away most of `gain`, and of waiting where nothing of it is left, until targets hold."""
    price = np.arange(1, needs.most + 1)
    order = [(site, k) for _, site, k in sorted(_steps(gain, price) + _steps(needs.wait, price, 1))]

    def after(count: int) -> Integers:
        stations = np.ones(needs.sites, np.int64)
        for site, k in order[:count]:
            stations[site] = max(stations[site], k)
        return stations

    low, high = -1, len(order)
    if not meets(needs, summed(needs, after(high)), misses):
        return None
    while high - low > 1:
        middle = (low + high) // 2
        if meets(needs, summed(needs, after(middle)), misses):
            high = middle
        else:
            low = middle
    return after(high)


def trimmed(needs: Needs, stations: Integers, misses: Sequence[int]) -> Integers:
    """Without every station that the targets hold without; first those that take the least waiting away."""
    stations = stations.copy()
    sums = summed(needs, stations)
    gone = True
    while gone:
        gone = False
        sites = np.flatnonzero(stations > 1)
        few = stations[sites] - 2  # index of one less
        harm = (needs.over[:, :, few, sites] - needs.over[:, :, few + 1, sites]).clip(0).sum(axis=(0, 1))
        loss = needs.wait[few, sites] - needs.wait[few + 1, sites]
        for site in sites[np.lexsort((sites, loss, harm))].tolist():
            k = int(stations[site])
            changed = sums + needs.over[:, :, k - 2, site] - needs.over[:, :, k - 1, site]
            if meets(needs, changed, misses):
                stations[site], sums, gone = k - 1, changed, True
    return stations


def for_total(needs: Needs, total: int, *, volunteers: bool = False) -> Integers:
    """`total` stations (or as many as so many volunteers run) where each takes away most waiting; one a site at least.

    The least that is possible where waiting falls ever more slowly with each station, as it does but for luck.
    """
    price = np.array([volunteers_for(k) if volunteers else k for k in range(1, needs.most + 1)], np.int64)
    stations = np.ones(needs.sites, np.int64)
    left = total - needs.sites * int(price[0])
    for _, site, k in sorted(_steps(needs.wait, price)):
        cost = int(price[k - 1] - price[stations[site] - 1])
        if k > stations[site] and cost <= left:
            stations[site] = k
            left -= cost
    return stations


def volunteers_for(stations: int) -> int:
    """The fewest volunteers who run so many stations, as a roster without a column of stations has it."""
    count = 1
    while usual_stations(count) < stations:
        count += 1
    return count


Step = tuple[tuple[int, float], int, int]  # sorts best first; site; stations after it


def _steps(cost: Floats, price: Integers, rank: int = 0) -> list[Step]:
    """The steps of every site from one station on, each with what it takes away from `cost` for its price.

    Only the corners of the convex hull: a step that takes away less than the next one is taken together with it.
    """
    found: list[Step] = []
    prices = price.tolist()
    for site, column in enumerate(cost.T.tolist()):
        hull = [0]
        for k in range(1, len(column)):
            if column[k] >= column[hull[-1]]:
                continue
            while len(hull) > 1 and _slope(column, prices, hull[-2], hull[-1]) > _slope(column, prices, hull[-1], k):
                hull.pop()
            hull.append(k)
        for before, after in itertools.pairwise(hull):
            found.append(((rank, _slope(column, prices, before, after)), site, after + 1))
    return found


def _slope(column: Sequence[float], prices: Sequence[int], one: int, other: int) -> float:
    return (column[other] - column[one]) / (prices[other] - prices[one])
