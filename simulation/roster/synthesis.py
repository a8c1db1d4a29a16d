"""A whole state without a file: sites made from published aggregates, so that nobody needs a roster to start.

Counties' precincts, delegates, SDE and attendance and the state's histogram of delegates come out exactly; what a
single precinct is like is drawn by address (`randomness.bits`): equal seed, equal roster, on any machine.
Aggregates and their sources: `scenarios/rosters/*.toml`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from statistics import NormalDist

from simulation.errors import InputError
from simulation.randomness import MAX_SEED, between, bits, place_id
from simulation.roster import marginals
from simulation.roster.derive import satellite_sde, usual_stations, usual_volunteers
from simulation.roster.marginals import County, Marginals, SatelliteGroup
from simulation.roster.model import Roster, Sites, assemble
from simulation.rules.sde import NANO, satellite_delegates

# The year of Iowa's statehood. Any seed gives the same aggregates; of 300 tried, this one's precinct sizes come nearest
# to the published quantiles (within 2 % of each).
SEED = 1846

# What a random number of a site is for.
_DELEGATES, _SIZE, _IN_BUILDING, _BUILDING_SIZE, _IS_TIGHT, _ROOM, _STAFF = range(7)

_WEIGHT = 1 << 20  # fixed point of logarithmic draws: rounding hides the last bit, in which machines differ
_NORMAL = NormalDist()


def synthesize(name: str = "iowa-2020", seed: int = SEED) -> Roster:
    """The sites of a state of the library. Raises InputError for an unknown name or a seed out of 0 .. 2**32 - 1."""
    if not 0 <= seed <= MAX_SEED:
        raise InputError(f"seed of the roster = {seed}: a whole number from 0 to {MAX_SEED}")
    state = marginals.load(name)
    luck = _Luck(seed)
    delegates = _delegates_by_county(state, luck)
    people = _people_by_county(state)
    sites = [
        site
        for county in state.counties
        for site in _precincts(state, county, delegates[county.name], people[county.name], luck)
    ]
    sites += [site for group in state.groups for site in _satellites(state, group, luck)]
    volunteers = [_volunteers(state, site, luck) for site in sites]
    return assemble(
        Sites(
            ids=[site.id for site in sites],
            counties=[site.county for site in sites],
            precincts=[site.name for site in sites],
            fips={county.name: county.fips for county in state.counties},
            satellite=[int(site.is_satellite) for site in sites],
            district=[site.district for site in sites],
            delegates=[site.delegates for site in sites],
            attendance=[site.attendance for site in sites],
            sde_nano=[site.sde_nano for site in sites],
            volunteers=volunteers,
            stations=[usual_stations(count) for count in volunteers],
            capacity=[_capacity(state, site, luck) for site in sites],
            buildings=[site.building for site in sites],
            preference={},
        ),
        source=f"synthesized {name} (the roster's own seed: {seed})",
        notes=[f"synthesized from the aggregates of {state.title}: counties add up, single sites are invented"],
    )


def share_out(total: int, weights: Sequence[int], low: int, high: int) -> list[int]:
    """`total` in proportion to positive weights by largest remainder, nobody under `low` or over `high`.

    Equal remainders go to the earlier one. Possible only where low x len <= total <= high x len.
    """
    fixed: dict[int, int] = {}
    while True:
        free = [i for i in range(len(weights)) if i not in fixed]
        left, whole = total - sum(fixed.values()), sum(weights[i] for i in free)
        shares = {i: left * weights[i] // whole for i in free}
        by_remainder = sorted(free, key=lambda i: -(left * weights[i] % whole))
        for i in by_remainder[: left - sum(shares.values())]:
            shares[i] += 1
        lack = {i: low - shares[i] for i in free if shares[i] < low}
        excess = {i: shares[i] - high for i in free if shares[i] > high}
        if not lack and not excess:
            return [(fixed | shares)[i] for i in range(len(weights))]
        if sum(lack.values()) >= sum(excess.values()):  # the smaller side may yet come within bounds
            fixed |= dict.fromkeys(lack, low)
        else:
            fixed |= dict.fromkeys(excess, high)


@dataclass(frozen=True, slots=True)
class _Site:
    county: str
    name: str
    is_satellite: bool
    district: int
    delegates: int
    attendance: int
    sde_nano: int
    building: str

    @property
    def id(self) -> str:
        return f"{self.county}/{self.name}"


@dataclass(frozen=True, slots=True)
class _Luck:
    """The random numbers of sites, by address."""

    seed: int

    def bits(self, county: str, name: str, stream: int) -> int:
        """32 random bits."""
        return int(bits(self.seed, 0, place_id(f"{county}/{name}"), 0, stream, 0))

    def happens(self, share: float, county: str, name: str, stream: int) -> bool:
        """True with this probability."""
        return self.bits(county, name, stream) < share * 2**32

    def uniform(self, county: str, name: str, stream: int) -> float:
        """Between 0 and 1, neither of them."""
        return (self.bits(county, name, stream) + 0.5) / 2**32

    def lognormal(self, mean_log: float, spread: float, county: str, name: str, stream: int) -> int:
        """The exponential of a normal number, in units of 1 / _WEIGHT; 1 or more."""
        normal = _NORMAL.inv_cdf(self.uniform(county, name, stream))
        return max(1, round(math.exp(mean_log + spread * normal) * _WEIGHT))


def _precincts(state: Marginals, county: County, delegates: list[int], people: int, luck: _Luck) -> list[_Site]:
    """A county's precincts: the law of sizes distributes the county's people over them."""
    names = _names(county.name, county.precincts)
    weights = [
        luck.lognormal(state.size.slope * math.log(elected), state.size.spread, county.name, name, _SIZE)
        for name, elected in zip(names, delegates, strict=True)
    ]
    attendance = share_out(people, weights, 1, state.size.largest)
    buildings = _buildings(state, county, names, luck)
    return [
        _Site(
            county=county.name,
            name=name,
            is_satellite=False,
            district=county.district,
            delegates=delegates[i],
            attendance=attendance[i],
            sde_nano=county.sde * NANO // county.delegates,
            building=buildings[i],
        )
        for i, name in enumerate(names)
    ]


def _satellites(state: Marginals, group: SatelliteGroup, luck: _Luck) -> list[_Site]:
    """A group's satellites: delegates by attendance, SDE from the group's pool."""
    names = _names(group.name, group.sites)
    weights = [luck.lognormal(0.0, state.satellite_spread, group.name, name, _SIZE) for name in names]
    attendance = share_out(group.attendance, weights, 1, state.size.largest)
    delegates = [int(satellite_delegates(people)) for people in attendance]
    districts = [group.district] * group.sites
    sde_nano = satellite_sde(districts, attendance, delegates, {group.district: group.sde})
    return [
        _Site(
            county=group.name,
            name=name,
            is_satellite=True,
            district=group.district,
            delegates=delegates[i],
            attendance=attendance[i],
            sde_nano=sde_nano[i],
            building=name,
        )
        for i, name in enumerate(names)
    ]


def _names(county: str, count: int) -> list[str]:
    return [f"{county} {i}" for i in range(1, count + 1)]


def _people_by_county(state: Marginals) -> dict[str, int]:
    """Attendance of the counties' precincts: published, or the state's total spread by SDE (J)."""
    published = {county.name: county.attendance for county in state.counties if county.attendance is not None}
    if len(published) == len(state.counties):
        return published
    people = state.people - sum(group.attendance for group in state.groups)
    shares = share_out(people, [county.sde for county in state.counties], 1, people)
    return {county.name: share for county, share in zip(state.counties, shares, strict=True)}


def _delegates_by_county(state: Marginals, luck: _Luck) -> dict[str, list[int]]:
    """Delegates of each county's precincts: the state's histogram and every county's sum, both exactly.

    Precincts are ranked by a size drawn around their county's mean (Weibull: seldom above twice the mean) and
    get the histogram's values in that order; then counties over and under their sum exchange precincts until all hold.
    """
    sizes = []
    for county in state.counties:
        for i, name in enumerate(_names(county.name, county.precincts)):
            weibull = (-math.log(luck.uniform(county.name, name, _DELEGATES))) ** (1 / state.size.mix)
            size = round(weibull * _WEIGHT) * county.delegates // county.precincts
            sizes.append((size, county.name, i, county.delegates - county.precincts + 1))  # every precinct elects one
    sizes.sort(reverse=True)
    found = {county.name: [0] * county.precincts for county in state.counties}
    for value, count in sorted(state.delegates_of_precincts, reverse=True):
        for _ in range(count):
            largest = next(rank for rank, (_, _, _, most) in enumerate(sizes) if value <= most)
            _, county_name, i, _ = sizes.pop(largest)
            found[county_name][i] = value
    over = {county.name: sum(found[county.name]) - county.delegates for county in state.counties}
    while any(over.values()):
        _exchange(found, over)
    return found


def _exchange(found: dict[str, list[int]], over: dict[str, int]) -> None:
    """Swap precincts between a county over and a county under its sum, so that both come nearer to theirs.

    Where no two of their precincts differ rightly (a county of two precincts offers little), a third county helps.
    """
    givers = sorted((name for name in over if over[name] > 0), key=lambda name: (-over[name], name))
    takers = sorted((name for name in over if over[name] < 0), key=lambda name: (over[name], name))
    for giver, taker in product(givers, takers):
        swaps = _swaps(found[giver], found[taker], over[giver] - over[taker])
        if swaps:
            step = min(swaps, key=lambda step: (abs(over[giver] - step) + abs(over[taker] + step), step))
            _swap(found[giver], found[taker], swaps[step])
            over[giver] -= step
            over[taker] += step
            return
    for giver, taker, helper in product(givers, takers, sorted(over)):
        if helper in {giver, taker}:
            continue
        for step, swap in _swaps(found[giver], found[helper], over[giver] - over[taker]).items():
            _swap(found[giver], found[helper], swap)
            onward = _swaps(found[helper], found[taker], step + 1).get(step)
            if onward:
                _swap(found[helper], found[taker], onward)
                over[giver] -= step
                over[taker] += step
                return
            _swap(found[helper], found[giver], swap)
    raise ValueError("the counties' delegates cannot be made of the state's histogram")


def _swaps(giver: list[int], taker: list[int], below: int) -> dict[int, tuple[int, int]]:
    """Values (larger of the giver, smaller of the taker) by their difference, for each difference under `below`."""
    pairs = product(sorted(set(giver)), sorted(set(taker)))
    return {large - small: (large, small) for large, small in pairs if 0 < large - small < below}


def _swap(giver: list[int], taker: list[int], values: tuple[int, int]) -> None:
    large, small = values
    giver[giver.index(large)] = small
    taker[taker.index(small)] = large


def _buildings(state: Marginals, county: County, names: Sequence[str], luck: _Luck) -> list[str]:
    """Each precinct's building, its own by default; in larger counties some neighbors share one."""
    rule = state.buildings
    found = list(names)
    if len(names) < rule.from_precincts:
        return found
    mean = (2 + rule.most) / 2  # precincts of a shared building
    opens = rule.shared_share / (mean - rule.shared_share * (mean - 1))  # chance that a precinct is the first of one
    i = 0
    while i < len(names) - 1:
        if luck.happens(opens, county.name, names[i], _IN_BUILDING):
            size = int(between(2, rule.most, luck.bits(county.name, names[i], _BUILDING_SIZE)))
            together = range(i, min(i + size, len(names)))
            for j in together:
                found[j] = f"Shared building of {names[i]}"
            i = together.stop
        else:
            i += 1
    return found


def _capacity(state: Marginals, site: _Site, luck: _Luck) -> int:
    """People that the room holds: ample mostly, too small for a few of the larger meetings."""
    rule = state.rooms
    is_tight = (
        not site.is_satellite
        and site.attendance >= rule.tight_from
        and luck.happens(rule.tight_share, site.county, site.name, _IS_TIGHT)
    )
    low, high = rule.tight if is_tight else rule.ample
    factor = low + (high - low) * luck.bits(site.county, site.name, _ROOM) / 2**32
    room = round(site.attendance * factor)
    return room if is_tight else max(rule.smallest, room)


def _volunteers(state: Marginals, site: _Site, luck: _Luck) -> int:
    """Volunteers usual for the size, more or fewer by luck; 1 or more."""
    factor = luck.lognormal(0.0, state.staff_spread, site.county, site.name, _STAFF)
    return max(1, (usual_volunteers(site.attendance) * factor + _WEIGHT // 2) // _WEIGHT)
