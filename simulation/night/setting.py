"""One night set up: assumptions drawn, people counted and described, rooms aligned, worksheets written.

Everything here is decided before the clock starts and does not depend on when things happen; every engine starts from
it. Knows nothing of processes and queues.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from simulation.night import people, records, rooms
from simulation.night.luck import Luck, slowed
from simulation.night.order import Stream
from simulation.night.people import AtTheDoor
from simulation.night.reporting import App, Office, Telephone, viability
from simulation.night.rooms import Room
from simulation.randomness import Integers, place_id
from simulation.roster import Roster
from simulation.rules.alignment import FREE_2016, LOCKED_2020
from simulation.rules.sde import NANO, nano_of_satellite_delegate, satellite_delegates
from simulation.scenario import Scenario, Spec

MOST_PEOPLE = 1_000_000  # in one precinct
STATE = place_id("the whole state")
ROOM_UNTRAINED, ROOM_COUNTED = Room._fields.index("untrained"), Room._fields.index("counted")


@dataclass(frozen=True, slots=True)
class Door:
    """Check-in of one precinct: its stations and forms, and each person's needs (int64[people], see `people`)."""

    site: int
    stations: int
    forms: int  # -1: as many as it takes
    reprint: int  # ms
    arrives: Integers
    needs: Integers
    service: Integers
    first_service: Integers
    wrong_line: Integers

    @property
    def people(self) -> int:
        return len(self.arrives)


class Setting:
    """A night before it begins: what every engine reads. Arrays are int64, one entry a site unless they say more."""

    def __init__(self, scenario: Scenario, luck: Luck) -> None:
        self.scenario = scenario
        self.spec: Spec = scenario.spec
        self.roster: Roster = scenario.roster
        self.luck = luck
        clock = self.spec.clock
        self.doors_open = luck.ticks(luck.value(clock.doors))
        self.call_to_order = luck.ticks(clock.call_to_order)
        self.until = luck.ticks(clock.until)

    @property
    def sites(self) -> int:
        return len(self.roster.ids)

    @cached_property
    def people(self) -> Integers:
        """How many come to each precinct."""
        spec, luck, roster = self.spec.turnout, self.luck, self.roster
        expected = roster.attendance if spec.people is None else people.rescaled(roster.attendance, spec.people)
        statewide = luck.draw(luck.table(spec.spread), Stream.TURNOUT, STATE)
        local = luck.table(spec.local_spread)
        found = np.zeros(self.sites, np.int64)
        people.turnout(luck.seed, luck.night, roster.places, expected, statewide, local, MOST_PEOPLE, found)
        return found

    @cached_property
    def offsets(self) -> Integers:
        """Where each precinct's people begin among all people, and their number at the end: int64[sites + 1]."""
        return np.concatenate(([0], np.cumsum(self.people)))

    @cached_property
    def delegates(self) -> Integers:
        """What each site elects; a satellite by tonight's attendance; nobody where a ballot is all there is."""
        if self.ballot:
            return np.zeros(self.sites, np.int64)
        delegates = self.roster.delegates.copy()
        for site in np.flatnonzero(self.roster.satellite):
            delegates[site] = satellite_delegates(int(self.people[site]))
        return delegates

    @cached_property
    def sde_nano(self) -> Integers:
        """State delegate equivalents of one delegate, in 1e-9; satellites share their group's pool by attendance."""
        roster = self.roster
        worth = roster.sde_nano.copy()
        for group in np.unique(roster.county_index[roster.satellite == 1]):
            sites = np.flatnonzero((roster.county_index == group) & (roster.satellite == 1))
            pool = int((roster.sde_nano[sites] * roster.delegates[sites]).sum())
            everybody = int(self.people[sites].sum())
            for site in sites:
                present, elected = int(self.people[site]), int(self.delegates[site])
                worth[site] = nano_of_satellite_delegate(pool, present, everybody, elected)
        return worth

    @cached_property
    def stations(self) -> Integers:
        """Check-in stations of each precinct."""
        stations = self.spec.checkin.stations
        return self.roster.stations if stations is None else np.full(self.sites, stations, np.int64)

    @cached_property
    def other_lines(self) -> Integers:
        """How many other precincts check in in each precinct's building."""
        return np.asarray(np.bincount(self.roster.building)[self.roster.building] - 1, dtype=np.int64)

    @cached_property
    def at_the_door(self) -> AtTheDoor:
        """What check-in is like tonight."""
        spec, forms, luck = self.spec.checkin, self.spec.forms, self.luck
        return AtTheDoor(
            doors=self.doors_open,
            call_to_order=self.call_to_order,
            resolution=luck.resolution,
            missing=luck.value(spec.missing_from_list),
            wrong=luck.value(spec.wrong_line),
            short=luck.value(forms.short),
            above_people=forms.above_people,
            arrivals=luck.table(spec.arrivals),
            on_list=luck.table(spec.on_list),
            registration=luck.table(spec.registration),
            look_up=luck.table(spec.look_up),
            redirect=luck.table(spec.redirect),
            registering=luck.table(spec.registering),
            printed=luck.table(forms.printed),
            reprint=luck.table(forms.reprint),
        )

    def doors(self) -> list[Door]:
        """Check-in of every precinct."""
        luck, tonight = self.luck, self.at_the_door
        doors = []
        for site, place in enumerate(self.roster.places.tolist()):
            count = int(self.people[site])
            needs = people.Needs.of(count)
            address = (luck.seed, luck.night, place, count)
            needed = people.at_the_door(*address, int(self.other_lines[site]), tonight, needs)
            doors.append(
                Door(
                    site,
                    int(self.stations[site]),
                    int(people.forms_there(*address, needed, tonight)),
                    luck.duration(tonight.reprint, Stream.REPRINT, place),
                    needs.arrives,
                    needs.needs,
                    needs.service,
                    needs.first_service,
                    needs.wrong_line,
                )
            )
        return doors

    @cached_property
    def groups(self) -> tuple[str, ...]:
        """The candidates, in the order of every record's columns."""
        return self.roster.candidates or tuple(self.spec.preference.candidates)

    @cached_property
    def rooms(self) -> list[Room]:
        """The evening of each precinct after check-in."""
        return [Room(*row) for row in self.room_table.tolist()]

    @cached_property
    def room_table(self) -> Integers:
        """The same as int64[sites, fields of Room]."""
        spec, align, chairs, luck = self.spec.room, self.spec.alignment, self.spec.chairs, self.luck
        tonight = rooms.Tonight(
            missing=luck.value(chairs.missing),
            untrained=luck.value(chairs.untrained),
            late=luck.value(chairs.late),
            slowdown=luck.value(chairs.slowdown),
            recount=luck.value(spec.recount),
            miscount=luck.value(spec.miscount),
            count_per_person=luck.value(spec.count_per_person),
            drafted_after=luck.table(chairs.drafted_after),
            late_by=luck.table(chairs.late_by),
            move=luck.table(spec.move),
            opening=luck.table(spec.opening),
            miscounted_people=luck.table(spec.miscounted_people),
            first=luck.table(align.first),
            realignment=luck.table(align.realignment),
            afterwards=luck.table(spec.afterwards),
        )
        found = np.zeros((self.sites, len(Room._fields)), np.int64)
        roster = self.roster
        rooms.describe(
            luck.seed,
            luck.night,
            luck.resolution,
            self.call_to_order,
            roster.places,
            self.people,
            roster.capacity,
            tonight,
            found,
        )
        return found

    @cached_property
    def true_records(self) -> Integers:
        """What the rooms did: int64[sites, 3, groups], see `records`."""
        spec, luck, roster = self.spec.alignment, self.luck, self.roster
        preference = roster.preference
        found = np.zeros((self.sites, 3, len(self.groups)), np.int64)
        records.true_records(
            luck.seed,
            luck.night,
            roster.places,
            self.people,
            self.room_table[:, ROOM_COUNTED],
            self.delegates,
            np.zeros((self.sites, len(self.groups)), np.int64) if preference is None else preference,
            records.Choices(
                regime=self.regime,
                ballot=self.ballot,
                rescue=luck.value(spec.rescue),
                leave=luck.value(spec.leave),
                stuck=luck.value(spec.stuck),
                drift=luck.value(spec.drift),
                statewide=records.normalized(self._statewide_weights()),
                second=records.normalized(self._second_choices()),
                local_spread=luck.table(self.spec.preference.local_spread),
            ),
            found,
        )
        return found

    def _statewide_weights(self) -> Integers:
        if self.roster.candidates and self.roster.preference is not None:
            sums = np.asarray(self.roster.preference.sum(axis=0))
            return sums if sums.any() else np.ones_like(sums)  # columns that nobody filled in: all alike
        return np.array(list(self.spec.preference.candidates.values()), dtype=np.int64)

    def _second_choices(self) -> Integers:
        """Statewide weights of second choices; whom the scenario does not name has the least weight."""
        preference = self.spec.preference
        named = preference.second or {}
        if not any(candidate in named for candidate in self.groups):
            named = preference.candidates
        return np.array([named.get(candidate, 1) for candidate in self.groups], dtype=np.int64)

    @property
    def ballot(self) -> bool:
        """Whether people vote on paper: no groups, no delegates."""
        return self.spec.alignment.rules == "straw-poll"

    def worth(self, records_of_sites: Integers) -> Integers:
        """What records (int64[sites, 3, groups]) count for: int64[sites, groups], SDE in 1e-9, or votes in 1e-9."""
        if self.ballot:
            return records_of_sites[:, records.FINAL] * NANO
        return records_of_sites[:, records.DELEGATES] * self.sde_nano[:, None]

    @cached_property
    def viability(self) -> tuple[Integers, Integers]:
        """How many groups are viable at each first alignment, and 1 where there is anybody who must realign."""
        viable, realigns = np.zeros((2, self.sites), np.int64)
        viability(self.true_records, self.delegates, self.room_table[:, ROOM_COUNTED], viable, realigns)
        return viable, realigns

    @property
    def regime(self) -> int:
        """The realignment rules, as a code of `rules.alignment`."""
        return FREE_2016 if self.spec.alignment.rules == "2016" else LOCKED_2020

    @cached_property
    def worksheets(self) -> tuple[Integers, Integers]:
        """What the chairs wrote (int64[sites, 3, groups]), and where it is wrong (int64[sites], 0 or 1)."""
        spec, luck = self.spec.chairs, self.luck
        share, factor = luck.value(spec.arithmetic_errors), luck.value(spec.untrained_errors)
        written = np.zeros_like(self.true_records)
        wrong = np.zeros(self.sites, np.int64)
        records.write_worksheets(
            luck.seed,
            luck.night,
            self.roster.places,
            self.delegates,
            self.ballot,
            share,
            slowed(share, factor),
            self.room_table[:, ROOM_UNTRAINED],
            self.true_records,
            written,
            wrong,
        )
        return written, wrong

    @cached_property
    def app(self) -> App:
        """The app tonight."""
        return App.tonight(self.spec, self.luck)

    @cached_property
    def telephone(self) -> Telephone:
        """The hotline and its callers tonight."""
        return Telephone.tonight(self.spec, self.luck)

    @cached_property
    def office(self) -> Office:
        """Headquarters tonight."""
        return Office.tonight(self.spec, self.luck, self.regime, self.ballot)
