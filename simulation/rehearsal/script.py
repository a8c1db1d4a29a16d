"""The night that is rehearsed: for each seat a precinct of the simulated night, with what happens in it and when.

All of it comes from the night's own records and from luck by address: equal for equal scenario, seed, night and length.
Knows nothing of seats and of what people answer.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

from simulation.errors import InputError
from simulation.rehearsal import cases
from simulation.rehearsal.cases import Case
from simulation.rehearsal.view import Text, say
from simulation.rehearsal.world import Figures
from simulation.rules import Status, outcomes
from simulation.rules.law import is_viable, threshold
from simulation.scenario.values import MINUTE

if TYPE_CHECKING:
    from simulation.night.setting import Setting
    from simulation.scenario import Scenario

Rules = Literal["2016", "2020", "straw-poll"]

MOST_SITES = 260  # more than seats in any room
MOST_GROUPS = 8  # on a telephone's screen; precincts with more come last
MOST_PEOPLE = 2_000  # larger sites have no place in a rehearsal
STREAMS = 1024  # luck of rehearsals: streams from here on, apart from those of the night (`simulation.night.order`)

_PIN, _TABLES, _MISCOUNT, _TELLER, _NAMES, _CASES, _TURN = range(STREAMS, STREAMS + 7)

_NAMES_OF_PEOPLE = (
    *("Alma", "Ben", "Carla", "David", "Elena", "Frank", "Grace", "Hugo", "Ida", "Jorge", "Kim", "Lena"),
    *("Marta", "Noah", "Olga", "Pedro", "Quinn", "Rosa", "Sam", "Tina", "Uli", "Vera", "Walt", "Ximena"),
)
_NEXT_NAME = 7  # from one to the next; it shares no divisor with the number of names, so that nobody comes twice


@dataclass(frozen=True, slots=True)
class Length:
    """How an evening is pressed into so many minutes."""

    minutes: int
    before_ms: int  # how long before the call to order it begins, on the night's clock
    speed: float
    door_cases: int
    requests: int
    latecomers: bool  # whether people come and go after the freeze


LENGTHS = {
    20: Length(20, 6 * MINUTE, 6, 1, 2, False),
    45: Length(45, 15 * MINUTE, 3, 3, 3, True),
    90: Length(90, 20 * MINUTE, 1.5, 5, 5, True),
}


@dataclass(frozen=True, slots=True)
class PrecinctScript:
    """One precinct's evening: what is true, what is told, and what comes up. Counts by group are in `groups`' order."""

    id: str  # of the roster: "Adair/Adair 1"
    code: str  # of the site in the reporting system: "0042"
    county: str
    precinct: str
    site: int  # in the roster
    rules: Rules
    delegates: int  # D
    attendance: int  # N, the right one
    groups: tuple[str, ...]
    first: Mapping[str, int]
    final: Mapping[str, int]
    threshold: int  # 0: no preference groups
    viable: tuple[str, ...]  # at the first alignment
    viable_at_end: tuple[str, ...]
    awards: tuple[Mapping[str, int], ...]  # every lawful award; where the law has none, those of the named policy
    award: Mapping[str, int]  # the one among them after the coin
    tied: tuple[str, ...]  # groups that toss a coin
    places: int  # for how many of them
    swing: int  # what it is about: +1 or -1 delegate
    luckier: tuple[str, ...]  # tied groups that the coin favors
    status: Status
    counts: tuple[
        tuple[int, ...], ...
    ]  # heads by section of the room: the first count, the second ...; the last is right
    tellers: Mapping[str, int]  # first alignment as the tellers say it first; told again, it is `first`
    tellers_at_end: Mapping[str, int]  # the same of the final alignment
    pin: str
    captains: Mapping[str, str]  # a name for each group's captain
    at_door: tuple[Case, ...]  # for the chair
    at_check_in: tuple[Case, ...]  # for a check-in lead: more of them
    line_at_seven: Case
    after_freeze: tuple[Case, ...]
    requests: tuple[Case, ...]  # at realignment
    arrives: tuple[int, ...]  # when people come, ms, in order
    enters: tuple[int, ...]  # when they are checked in, ms, in order
    call_to_order_ms: int
    sheets: tuple[int, ...]  # people on each sheet of the check-in tables; they add up to N

    @property
    def name(self) -> str:
        """How people call it: the precinct, with its county where that is not said."""
        return self.precinct if self.precinct.startswith(self.county) else f"{self.county}, {self.precinct}"

    @property
    def ballot(self) -> bool:
        """Whether people vote on paper: no groups, no delegates."""
        return self.rules == "straw-poll"

    @property
    def free(self) -> bool:
        """Whether anybody may move in a realignment."""
        return self.rules == "2016"

    @property
    def figures(self) -> Figures:
        """What the room really did, as a report without an error says it."""
        return Figures(self.attendance, {} if self.ballot else self.first, self.final, self.award)

    @property
    def count_is_off(self) -> bool:
        """Whether the first count has more people than checked in."""
        return sum(self.counts[0]) != self.attendance

    def checked_in(self, at_ms: int) -> int:
        """How many people are in by then."""
        return bisect_right(self.enters, at_ms)

    def in_line(self, at_ms: int) -> int:
        """How many people stand in line then."""
        return max(0, bisect_right(self.arrives, at_ms) - bisect_right(self.enters, at_ms))


@dataclass(frozen=True)
class Script:
    """A night to be rehearsed, in so many minutes."""

    scenario: Scenario
    seed: int
    night: int
    minutes: int
    rules: Rules
    sites: tuple[PrecinctScript, ...]  # in the order in which seats get them
    begins_ms: int  # of the night's clock
    call_to_order_ms: int
    speed: float

    @property
    def ends_ms(self) -> int:
        """When the planned minutes are over; nothing ends by itself then."""
        return self.begins_ms + int(self.minutes * MINUTE * self.speed)


def group_label(group: str) -> Text:
    """How a group is called on pages: names as they are; `uncommitted` in the reader's language."""
    if group.lower() == "uncommitted":
        return say("Uncommitted")
    return Text("{name}", {"name": group if group != group.lower() else group.title()})


def script(scenario: Scenario, seed: int = 3, night: int = 0, minutes: int = 45) -> Script:
    """The script of a night of a scenario. InputError where the length is none of `LENGTHS`, or nobody comes."""
    from simulation.night import check_in  # compiled code: imported only where a night is played
    from simulation.night.luck import Luck
    from simulation.night.setting import Setting

    if minutes not in LENGTHS:
        raise InputError(f"minutes = {minutes}: one of {', '.join(map(str, LENGTHS))} is accepted")
    length = LENGTHS[minutes]
    setting = Setting(scenario, Luck(seed, night, scenario.spec.clock.resolution, False, {}))
    doors = check_in(scenario, seed, night)
    chosen = _chosen(setting)
    if not chosen:
        raise InputError(f"{scenario.name}: nobody comes to any precinct in this night: there is nothing to rehearse")
    sites = []
    for number in chosen:
        at = slice(int(doors.offsets[number]), int(doors.offsets[number + 1]))
        times = sorted(doors.arrived_at[at].tolist()), sorted(doors.in_at[at].tolist())
        sites.append(_precinct(setting, number, length, *times))
    return Script(
        scenario=scenario,
        seed=seed,
        night=night,
        minutes=minutes,
        rules=scenario.spec.alignment.rules,
        sites=tuple(sites),
        begins_ms=setting.call_to_order - length.before_ms,
        call_to_order_ms=setting.call_to_order,
        speed=length.speed,
    )


# Which precincts


def _chosen(setting: Setting) -> list[int]:
    """Sites in the order in which seats get them: the interesting ones first, and next to each other unlike ones."""
    rated = [
        (interest, number, likeness)
        for number in range(setting.sites)
        if (found := _interest(setting, number)) is not None
        for interest, likeness in [found]
    ]
    rated.sort(key=lambda one: (-one[0], one[1]))
    rated = rated[: 3 * MOST_SITES]
    seen: dict[object, int] = {}
    chosen: list[int] = []
    while rated and len(chosen) < MOST_SITES:
        best, most = 0, None
        for i, (interest, _, likeness) in enumerate(rated):
            if most is not None and interest <= most:
                break  # sorted: nobody after this one can be ahead
            value = interest - 4 * sum(seen.get(key, 0) for key in likeness)
            if most is None or value > most:
                best, most = i, value
        _, number, likeness = rated.pop(best)
        for key in likeness:
            seen[key] = seen.get(key, 0) + 1
        chosen.append(number)
    return chosen


def _interest(setting: Setting, number: int) -> tuple[int, tuple[object, ...]] | None:
    """How much a site teaches, and what makes it like others; None where it teaches nothing."""
    people, counted = int(setting.people[number]), setting.rooms[number].counted
    delegates = int(setting.delegates[number])
    first, final, _ = setting.true_records[number].tolist()
    groups = sum(1 for a, b in zip(first, final, strict=True) if a or b)
    if not 1 <= people <= MOST_PEOPLE or people != counted or groups == 0:
        return None  # a miscounted room's record rests on the wrong N; scripts miscount by themselves
    interest = 10 * (40 <= people <= 200) + 4 * (25 <= people < 40) - 3 * (groups > 6) - 6 * (groups > MOST_GROUPS)
    if setting.ballot:
        return interest + 2 * min(groups, 4), ((people // 20,), (groups, "groups"))
    if delegates < 1:
        return None
    found = outcomes(final, delegates, counted)
    goal = threshold(delegates, counted)
    near = sum(1 for size in first if size and abs(size - goal) <= 2)
    small = sum(1 for size in first if size and not is_viable(size, delegates, counted))
    interest += 30 * (3 <= delegates <= 9 and 40 <= people <= 200 and near > 0) + 3 * min(near, 3) + 2 * min(small, 3)
    interest += 10 * (3 <= delegates <= 9)
    interest += 5 * found.tie + 3 * (found.status in {Status.GAINED, Status.GAVE_BACK})
    interest -= 12 * (found.status is Status.DROPPED) + 40 * (not found.awards)
    return interest, ((delegates, "D"), (found.status, found.tie), (people, delegates, "same"), (near, small, groups))


# One precinct


def _precinct(setting: Setting, number: int, length: Length, arrives: list[int], enters: list[int]) -> PrecinctScript:
    from simulation.randomness import between, bits

    roster, luck = setting.roster, setting.luck
    place = int(roster.places[number])

    def drawn(low: int, high: int, stream: int, ordinal: int = 0) -> int:
        return int(between(low, high, bits(luck.seed, luck.night, place, 0, stream, ordinal)))

    delegates, attendance = int(setting.delegates[number]), int(setting.people[number])
    rules = setting.spec.alignment.rules
    first_row, final_row, seats_row = setting.true_records[number].tolist()
    kept = [i for i, _ in enumerate(setting.groups) if first_row[i] or final_row[i]]
    groups = tuple(setting.groups[i] for i in kept)
    first = {setting.groups[i]: first_row[i] for i in kept}
    final = {setting.groups[i]: final_row[i] for i in kept}
    given = {setting.groups[i]: seats_row[i] for i in kept}
    law = _OF_A_BALLOT if setting.ballot else _award(delegates, attendance, first, final, given)
    miscounted = drawn(1, 3, _MISCOUNT) == 1 and attendance >= 4
    names = len(_NAMES_OF_PEOPLE)
    begin = drawn(0, names - 1, _NAMES)
    people = [_NAMES_OF_PEOPLE[(begin + _NEXT_NAME * i) % names] for i in range(names)]
    at_door = _at_door(people, max(2, attendance // 15), roster.capacity.tolist()[number], attendance)
    turn = drawn(0, 2, _CASES)
    at_door = [case.turned(drawn(0, 3, _TURN, i)) for i, case in enumerate(at_door[turn:] + at_door[:turn])]
    seven = cases.line_at_seven(waiting=max(2, attendance // 12)).turned(drawn(0, 2, _TURN, 20))
    requests = (
        []
        if setting.ballot or delegates == 1
        else _requests(groups, first, final, law.viable, law.viable_at_end, rules == "2016")
    )
    after = [cases.latecomer(person=people[6]), cases.leaves_early(people=min(2, attendance))]
    return PrecinctScript(
        id=roster.ids[number],
        code=roster.code(number),
        county=roster.counties[number],
        precinct=roster.precincts[number],
        site=number,
        rules=rules,
        delegates=delegates,
        attendance=attendance,
        groups=groups,
        first=first,
        final=final,
        threshold=law.threshold,
        viable=law.viable,
        viable_at_end=law.viable_at_end,
        awards=law.awards,
        award=law.award,
        tied=law.tied,
        places=law.places,
        swing=law.swing,
        luckier=law.luckier,
        status=law.status,
        counts=_counts(attendance, drawn(1, 3, _MISCOUNT, 1) if miscounted else 0, drawn(0, 6, _TABLES)),
        tellers=_told(first, drawn(0, 99, _TELLER)),
        tellers_at_end=_told(final, drawn(0, 99, _TELLER, 1), attendance),
        pin=f"{drawn(0, 999_999, _PIN):06d}",
        captains={group: people[-1 - i % names] for i, group in enumerate(groups)},
        at_door=tuple(at_door[: length.door_cases]),
        at_check_in=tuple(at_door[: length.door_cases + 2]),
        line_at_seven=seven,
        after_freeze=tuple(
            case.turned(drawn(0, 2, _TURN, 30 + i)) for i, case in enumerate(after[drawn(0, 1, _CASES, 1) :][:1])
        )
        if length.latecomers
        else (),
        requests=tuple(
            case.turned(drawn(0, 2, _TURN, 40 + i)) for i, case in enumerate(_some(requests, length.requests))
        ),
        arrives=tuple(arrives),
        enters=tuple(enters),
        call_to_order_ms=setting.call_to_order,
        sheets=_split(attendance, 2 if attendance < 60 else 3, drawn(0, 6, _TABLES, 1)),
    )


class _ByLaw(NamedTuple):
    """What the law says of a precinct's groups, as in `PrecinctScript`."""

    threshold: int
    viable: tuple[str, ...]
    viable_at_end: tuple[str, ...]
    awards: tuple[Mapping[str, int], ...]
    award: Mapping[str, int]
    tied: tuple[str, ...]
    places: int
    swing: int
    luckier: tuple[str, ...]
    status: Status


_OF_A_BALLOT = _ByLaw(0, (), (), ({},), {}, (), 0, 0, (), Status.EXACT)  # nobody is elected


def _award(
    delegates: int, attendance: int, first: Mapping[str, int], final: Mapping[str, int], given: Mapping[str, int]
) -> _ByLaw:
    """What the law makes of two alignments. `given`: the award of the simulated night, which stands where it is one."""
    groups = tuple(final)
    found = outcomes(list(final.values()), delegates, attendance)
    awards = tuple(dict(zip(groups, one, strict=True)) for one in found.awards or found.by_policy or ())
    awards = awards or (dict.fromkeys(groups, 0),)
    award = given if given in awards else awards[0]
    tied = tuple(groups[i] for i in found.tied)
    settled = dict(zip(groups, found.settled, strict=True))
    return _ByLaw(
        threshold=threshold(delegates, attendance),
        viable=tuple(group for group in groups if is_viable(first[group], delegates, attendance)),
        viable_at_end=tuple(group for group in groups if is_viable(final[group], delegates, attendance)),
        awards=awards,
        award=award,
        tied=tied,
        places=found.places if tied else 0,
        swing=found.swing,
        luckier=tuple(group for group in tied if award[group] == settled[group] + max(found.swing, 0)),
        status=found.status,
    )


def _at_door(people: Sequence[str], waiting: int, capacity: int, attendance: int) -> list[Case]:
    found = [
        cases.missing_voter(person=people[0]),
        cases.wrong_line(person=people[1]),
        cases.forms_out(waiting=max(2, attendance // 25)),
        cases.new_registration(person=people[2]),
        cases.long_line(waiting=waiting),
        cases.missing_voter("missing_voter_2", people[3]),
        cases.new_registration("new_registration_2", people[4]),
    ]
    if 0 < capacity < attendance:
        found.insert(0, cases.room_full(people=attendance, places=capacity))
    return found


def _some(found: Sequence[Case], number: int) -> list[Case]:
    """So many of them, in their order: those that teach most, by the order of `_requests`' ranks, are first kept."""
    ranks = ("leave_viable", "combine", "go_home", "second_realignment", "join_viable")
    best = sorted(range(len(found)), key=lambda i: (ranks.index(found[i].id), i))[:number]
    return [found[i] for i in sorted(best)]


def _requests(
    groups: Sequence[str],
    first: Mapping[str, int],
    final: Mapping[str, int],
    viable: Sequence[str],
    at_end: Sequence[str],
    free: bool,
) -> list[Case]:
    """What people ask at realignment: what the night's record shows that they did, and what they may not do."""

    named = group_label
    found: list[Case] = []
    largest = max(viable, key=lambda group: first[group], default=None)
    rest = [group for group in groups if group not in viable and first[group]]
    grew = [group for group in at_end if group in viable and final[group] > first[group]]
    rescued = [group for group in at_end if group not in viable]
    lost = sum(first.values()) - sum(final.values())
    shrank = [group for group in rest if final[group] < first[group]]
    others = [group for group in groups if group not in {largest, *rescued}] or [g for g in groups if g != largest]
    if largest is not None and others:
        found.append(cases.leave_viable("leave_viable", named(largest), named(others[0]), min(2, first[largest]), free))
    if shrank and grew:
        people = min(first[shrank[0]] - final[shrank[0]], final[grew[0]] - first[grew[0]])
        found.append(cases.join_viable("join_viable", named(shrank[0]), named(grew[0]), people))
    if rescued:
        found.append(cases.combine("combine", named(rescued[0]), final[rescued[0]] - first[rescued[0]]))
    if lost > 0 and shrank:
        home = min(lost, first[shrank[-1]] - final[shrank[-1]])
        found.append(cases.go_home("go_home", named(shrank[-1]), home))
    left = [group for group in groups if group not in at_end and final[group]]
    if left:
        found.append(cases.second_realignment("second_realignment", named(left[0]), free))
    return found


def _split(total: int, parts: int, luck: int) -> tuple[int, ...]:
    """`total` in so many uneven parts."""
    weights = [5 + (luck + 3 * i) % 7 for i in range(parts)]
    found = [total * weight // sum(weights) for weight in weights]
    found[-1] += total - sum(found)
    return tuple(found)


def _counts(attendance: int, too_many: int, luck: int) -> tuple[tuple[int, ...], ...]:
    """Heads by section. Too many: somebody was counted twice, or an observer with them; counted again, it is right."""
    parts = 3 if attendance >= 30 else 2
    right = _split(attendance, parts, luck)
    if not too_many:
        return (right,)
    wrong = list(right)
    wrong[luck % parts] += too_many
    return tuple(wrong), right


def _told(counts: Mapping[str, int], luck: int, most: int | None = None) -> Mapping[str, int]:
    """What the tellers say: one time in four one of them counts somebody twice."""
    groups = [group for group, people in counts.items() if people > 0]
    if luck % 4 or not groups or (most is not None and sum(counts.values()) < most):
        return dict(counts)  # where people left, nobody would notice: it would be no exercise
    told = dict(counts)
    told[groups[luck // 4 % len(groups)]] += 1 + luck % 2
    return told
