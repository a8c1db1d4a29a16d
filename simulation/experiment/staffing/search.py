"""The staffing search: stations first, then operators, then lines; each as few as meet the targets, proved by playing.

Knows nothing of pictures or of the command line.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from simulation.experiment.packed import Row
from simulation.experiment.staffing import stations as check_in
from simulation.experiment.staffing.confidence import misses_allowed
from simulation.experiment.staffing.operators import Rota, Slot, fewest, trimmed
from simulation.experiment.staffing.plan import Plan, Planner
from simulation.experiment.staffing.targets import Part, Target, unanswered
from simulation.experiment.work import Unit, Work
from simulation.randomness import Integers
from simulation.scenario import Scenario

PLENTY = 20_000  # operators, and lines: nobody ever waits for one
LOAD_NIGHTS = 40  # from which the offered load is read
WATCHED = 16  # the nights that decide, first: those which miss a target first when operators leave
_BATCH = 8  # nights at a time; the same for any number of workers
_ROUNDS = 6  # of putting right what precincts of one building do to each other


@dataclass(frozen=True)
class Unmet:
    """A target that cannot be met, whatever the plan: how many nights hold with plenty of everything."""

    target: Target
    held: int
    nights: int
    usual: float | None  # the median night's value


@dataclass(frozen=True)
class Removal:
    """One station or one operator less, played: which targets it breaks on the nights of the search."""

    what: str  # "station" or "operator"
    where: str  # a site's id, or a slot
    breaks: tuple[str, ...]


@dataclass(frozen=True)
class Offered:
    """Operators that would be busy if nobody ever waited, by slot: the mean over nights, and the most at any time."""

    mean: tuple[float, ...]
    most: int


@dataclass
class Found:
    """What a search came to."""

    plan: Plan
    unmet: list[Unmet] = field(default_factory=list)
    offered: Offered | None = None
    removals: list[Removal] = field(default_factory=list)


@dataclass(frozen=True)
class Search:
    """A search on the nights 0 .. `nights` - 1, of which `misses[k]` may miss target k."""

    work: Work
    planner: Planner
    targets: Sequence[Target]
    misses: Sequence[int]
    nights: int
    seed: int
    fixed: bool
    engine: str
    total: int | None = None  # stations, or volunteers, to be shared out
    volunteers: bool = False
    lines: bool = False  # whether to look for the fewest lines
    near: Rota | None = None  # a rota that is nearly enough

    @property
    def plans_stations(self) -> bool:
        """Whether stations are looked for; else they are the scenario's."""
        return self.total is not None or any(target.part is Part.CHECK_IN for target in self.targets)

    @property
    def plans_operators(self) -> bool:
        """Whether operators are looked for; else they are the scenario's."""
        return any(target.part in (Part.HOTLINE, Part.HELD) for target in self.targets)

    def decides(self, target: Target) -> bool:
        """Whether a search that asks for more serves the target better."""
        return target.part is not Part.COST and (self.total is None or target.part is not Part.CHECK_IN)

    def run(self, prove: int) -> Found:
        """The cheapest plan found, with `prove` stations and `prove` operators taken away to see what breaks."""
        found = Found(Plan())
        planner = self.planner
        if self.plans_stations:
            stations, unmet, removals = self._stations(prove)
            found.unmet += unmet
            found.removals += removals
            found.plan = Plan(stations)
            planner = planner.with_stations(stations)
        if self.plans_operators:
            rest = self._hotline(planner, prove, only_whether=bool(found.unmet))
            found.unmet += rest.unmet
            found.removals += rest.removals
            found.offered = rest.offered
            found.plan = replace(rest.plan, stations=found.plan.stations)
        return found

    # Check-in

    def _stations(self, prove: int) -> tuple[tuple[int, ...] | None, list[Unmet], list[Removal]]:
        wanted = [k for k, target in enumerate(self.targets) if target.part is Part.CHECK_IN]
        goals = () if self.total is not None else tuple(self.targets[k].goal for k in wanted)
        misses = [self.misses[k] for k in wanted] if goals else []
        scenario = self.planner.scenario
        task = check_in.Tabulate(scenario, self.seed, self.fixed, goals)
        tables = self.work.map(task, range(self.nights), "playing the lines with 1, 2, 3 ... stations")
        needs = check_in.needs_of([check_in.Table.from_bytes(table) for table in tables])
        if self.total is not None:
            return tuple(check_in.for_total(needs, self.total, volunteers=self.volunteers).tolist()), [], []
        plan = check_in.for_targets(needs, misses)
        if plan is None:
            sums = check_in.summed(needs, np.full(needs.sites, needs.most, np.int64))
            held = (sums <= needs.limit).sum(axis=1).tolist()
            unmet = [
                Unmet(self.targets[k], count, self.nights, None)
                for k, count, most in zip(wanted, held, misses, strict=True)
                if self.nights - count > most
            ]
            return None, unmet, []
        replay = _Replays(self, goals, misses)
        plan = self._settled(needs, plan, misses, replay)
        return self._without_spare(plan, replay, prove)

    def _settled(self, needs: check_in.Needs, plan: Integers, misses: Sequence[int], replay: _Replays) -> Integers:
        """The plan put right where playing it tells more than adding up its tables."""
        best: Integers | None = None
        for _ in range(_ROUNDS):
            seen = replay.of(plan)
            needs = check_in.rebased(needs, plan, seen)
            if check_in.meets(needs, check_in.summed(needs, plan), misses):
                best = plan if best is None or plan.sum() <= best.sum() else best
                changed: Integers | None = check_in.trimmed(needs, plan, misses)
            else:
                changed = check_in.for_targets(needs, misses) if best is None else best
            if changed is None or np.array_equal(changed, plan):
                break
            plan = changed
        return plan if best is None else best

    def _without_spare(
        self, plan: Integers, replay: _Replays, prove: int
    ) -> tuple[tuple[int, ...], list[Unmet], list[Removal]]:
        """Take away sampled stations, one at a time; whichever breaks nothing stays away."""
        luck = random.Random(f"stations {self.seed}")
        removals: list[Removal] = []
        tried: set[int] = set()
        while len(removals) < prove:
            sites = [site for site, k in enumerate(plan.tolist()) for _ in range(k) if k > 1 and site not in tried]
            if not sites:
                break
            site = luck.choice(sites)
            tried.add(site)
            less = plan.copy()
            less[site] -= 1
            broken = replay.broken(less)
            if broken:
                removals.append(Removal("station", self.planner.scenario.roster.ids[site], broken))
            else:
                plan = less
                removals.clear()
                tried.clear()
        return tuple(plan.tolist()), [], removals

    # Hotline

    def _hotline(self, planner: Planner, prove: int, *, only_whether: bool) -> Found:
        """Operators and lines; with `only_whether`, just the targets that plenty of operators would not meet."""
        slots = planner.slots
        limited = planner.scenario.spec.hotline.lines > 0
        lines = 0 if self.lines or limited else None  # with lines to be found, operators come first
        plenty = planner.with_hotline((PLENTY,) * len(slots), 0)
        chosen = [k for k, target in enumerate(self.targets) if target.part in (Part.HOTLINE, Part.HELD)]
        targets, misses = [self.targets[k] for k in chosen], [self.misses[k] for k in chosen]
        rows = self.work.rows([Unit(plenty, night) for night in range(self.nights)], "playing plenty of operators")
        closed = [unanswered(row) for row in rows]
        unmet = unmet_in(targets, misses, rows, closed)
        if unmet or only_whether:
            return Found(Plan(), unmet)
        offered = self._offered(plenty, slots)
        found = Found(Plan(), offered=offered)
        trial = Trial(self.work, planner, targets, misses, rows, lines)
        rota = fewest(slots, offered.mean, PLENTY, trial, self.near)
        if rota is None:  # plenty is enough, so this cannot be but for rounding: say how it is with plenty
            found.unmet += [Unmet(target, *_with_plenty(target, rows, closed)) for target in targets]
            return found
        if lines is not None:
            lines, rota = self._lines(trial, rota, slots)
            trial = replace_lines(trial, lines)
        found.plan = Plan(None, rota, lines)
        found.removals = self._operators_less(trial, rota, slots, prove)
        return found

    def _offered(self, plenty: Scenario, slots: Sequence[Slot]) -> Offered:
        task = Load(plenty, self.seed, self.fixed, self.engine, tuple((slot.start, slot.end) for slot in slots))
        nights = range(min(self.nights, LOAD_NIGHTS))
        seen = [json.loads(made) for made in self.work.map(task, nights, "listening to the calls")]
        mean = tuple(float(value) for value in np.mean([one["busy"] for one in seen], axis=0))
        return Offered(mean, max(one["most"] for one in seen))

    def _lines(self, trial: Trial, rota: Rota, slots: Sequence[Slot]) -> tuple[int, Rota]:
        """The fewest lines with which the rota is still enough."""

        def enough(lines: int) -> bool:
            return replace_lines(trial, lines).surely_enough(rota)

        high = max(1, *rota)
        while not enough(high) and high < PLENTY:
            high *= 2
        if high >= PLENTY:
            return 0, rota
        low = 0
        while high - low > 1:
            middle = (low + high) // 2
            if enough(middle):
                high = middle
            else:
                low = middle
        return high, trimmed(rota, [slot.hours for slot in slots], replace_lines(trial, high))

    def _operators_less(self, trial: Trial, rota: Rota, slots: Sequence[Slot], prove: int) -> list[Removal]:
        luck = random.Random(f"operators {self.seed}")
        places = [k for k, count in enumerate(rota) if count]
        removals = []
        for k in sorted(luck.sample(places, min(prove, len(places)))):
            less = tuple(count - (place == k) for place, count in enumerate(rota))
            removals.append(Removal("operator", slots[k].text, trial.broken(less)))
        return removals


class _Replays:
    """Check-in with a plan's stations on the nights of the search."""

    def __init__(self, search: Search, goals: tuple[Any, ...], misses: Sequence[int]) -> None:
        self.search, self.goals, self.misses = search, goals, misses
        self.order = list(range(search.nights))  # the hardest first, as far as is known

    def of(self, plan: Integers) -> list[check_in.Table]:
        """What was seen, night by night."""
        seen = self._played(plan, range(self.search.nights))
        slack = [min(int(limit) - int(over.sum()) for limit, over in zip(t.limit, t.over, strict=True)) for t in seen]
        self.order = sorted(range(len(seen)), key=lambda night: (slack[night], night))
        return seen

    def broken(self, plan: Integers) -> tuple[str, ...]:
        """The targets that miss in too many nights, as far as had to be played to know one."""
        missed = [0] * len(self.goals)
        for at in range(0, len(self.order), _BATCH):
            for seen in self._played(plan, self.order[at : at + _BATCH]):
                for k in range(len(self.goals)):
                    missed[k] += int(seen.over[k].sum()) > int(seen.limit[k])
            pairs = zip(self.goals, missed, self.misses, strict=True)
            broken = tuple(goal.text for goal, count, most in pairs if count > most)
            if broken:
                return broken
        return ()

    def _played(self, plan: Integers, nights: Sequence[int]) -> list[check_in.Table]:
        search = self.search
        task = check_in.Replay(search.planner.scenario, search.seed, search.fixed, self.goals, tuple(plan.tolist()))
        made = search.work.map(task, nights, "playing the lines of the plan")
        return [check_in.Table.from_bytes(one) for one in made]


def unmet_in(
    targets: Sequence[Target], misses: Sequence[int], rows: Sequence[Row], closed: Sequence[int]
) -> list[Unmet]:
    """The targets that miss in more of these nights than they may."""
    found = []
    for target, most in zip(targets, misses, strict=True):
        held, nights, usual = _with_plenty(target, rows, closed)
        if nights - held > most:
            found.append(Unmet(target, held, nights, usual))
    return found


def _with_plenty(target: Target, rows: Sequence[Row], closed: Sequence[int]) -> tuple[int, int, float | None]:
    """In how many nights a target holds, of how many, and the median night's value."""
    held = sum(target.holds(row, calls) for row, calls in zip(rows, closed, strict=True))
    return held, len(rows), usual_value(target, rows)


def usual_value(target: Target, rows: Sequence[Row]) -> float | None:
    """The median night's value; never lies behind everything that happens."""
    never = float("inf") if target.goal.op.startswith("<") else float("-inf")
    values = sorted(never if value is None else value for value in map(target.goal.measure.value, rows))
    middle = values[(len(values) - 1) // 2]
    return None if middle in (float("inf"), float("-inf")) else middle


class Trial:
    """Rotas tried on the nights of a search: first on the nights that decide, then on all. An `operators.Oracle`."""

    def __init__(
        self,
        work: Work,
        planner: Planner,
        targets: Sequence[Target],
        misses: Sequence[int],
        plenty: Sequence[Row],
        lines: int | None,
    ) -> None:
        self.work, self.planner, self.targets, self.misses = work, planner, targets, misses
        self.plenty, self.lines = plenty, lines
        self.closed = [unanswered(row) for row in plenty]
        self.known: dict[Rota, dict[int, tuple[tuple[bool, ...], float]]] = {}  # which hold, and the least margin
        self.order = sorted(range(len(plenty)), key=lambda night: (self._margin(plenty[night]), night))
        self.watched = min(WATCHED, len(self.order))

    def enough(self, rota: Rota) -> bool:
        """Whether the nights that decide leave the targets a chance."""
        return self._missed(rota, self.order[: self.watched]) is None

    def surely_enough(self, rota: Rota) -> bool:
        """Whether the targets hold; where not, the nights that show it are among those that decide from now on."""
        if self._missed(rota, self.order) is None:
            seen = self.known[rota]
            self.order = sorted(seen, key=lambda night: (seen[night][1], night))
            return True
        seen = self.known[rota]
        bad = [night for night in self.order if night in seen and not all(seen[night][0])]
        self.order = bad + [night for night in self.order if night not in set(bad)]
        self.watched = min(len(self.order), max(self.watched, len(bad)))
        return False

    def broken(self, rota: Rota) -> tuple[str, ...]:
        """The targets that miss in too many nights, as far as had to be played to know one."""
        missed = self._missed(rota, self.order)
        return () if missed is None else missed

    def _missed(self, rota: Rota, nights: Sequence[int]) -> tuple[str, ...] | None:
        """The targets that miss too often; None where none does. Stops as soon as it is certain."""
        seen = self.known.setdefault(rota, {})
        missed = [0] * len(self.targets)
        for at in range(0, len(nights), _BATCH):
            batch = nights[at : at + _BATCH]
            new = [night for night in batch if night not in seen]
            for night, row in zip(new, self._rows(rota, new), strict=True):
                held = tuple(target.holds(row, self.closed[night]) for target in self.targets)
                seen[night] = (held, self._margin(row))
            for night in batch:
                missed = [count + (not holds) for count, holds in zip(missed, seen[night][0], strict=True)]
            broken = [
                target.text
                for target, count, most in zip(self.targets, missed, self.misses, strict=True)
                if count > most
            ]
            if broken:
                return tuple(broken)
        return None

    def _rows(self, rota: Rota, nights: Sequence[int]) -> list[Row]:
        if not nights:
            return []
        scenario = self.planner.with_hotline(rota, self.lines)
        return self.work.rows([Unit(scenario, night) for night in nights], "trying operators")

    def _margin(self, row: Row) -> float:
        return min(target.margin(row) for target in self.targets)


def replace_lines(trial: Trial, lines: int) -> Trial:
    """The same trial with so many lines."""
    return Trial(trial.work, trial.planner, trial.targets, trial.misses, trial.plenty, lines)


def allowed(targets: Sequence[Target], nights: int) -> list[int]:
    """How many of so many nights may miss each target; -1 where so few nights show nothing."""
    return [misses_allowed(nights, target.goal.share) for target in targets]


@dataclass(frozen=True)
class Load:
    """The task of a worker: how many operators talk in each slot of a night."""

    scenario: Scenario
    seed: int
    fixed: bool
    engine: str
    slots: tuple[tuple[int, int], ...]

    def __call__(self, night: int) -> bytes:
        from simulation.night import play_night

        played = play_night(self.scenario, self.seed, night, fixed=self.fixed, engine=self.engine)
        calls = played.calls.select("answered", "ended").to_numpy()
        calls = calls[calls[:, 0] >= 0]
        start = calls[:, 0]
        end = np.where(calls[:, 1] >= 0, calls[:, 1], self.slots[-1][1])
        busy = [
            float(np.clip(np.minimum(end, after) - np.maximum(start, before), 0, None).sum()) / (after - before)
            for before, after in self.slots
        ]
        changes = np.concatenate([np.stack([start, np.ones_like(start)], 1), np.stack([end, -np.ones_like(end)], 1)])
        changes = changes[np.lexsort((changes[:, 1], changes[:, 0]))]  # who ends goes before who begins
        most = int(np.cumsum(changes[:, 1]).max(initial=0))
        return json.dumps({"busy": busy, "most": most}).encode()
