"""Check-in at one building: who is served when, what forms and wrong lines do to whom, and that nobody is lost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from simulation.night.events import EventLog
from simulation.night.model.checkin import Building
from simulation.night.model.clock import Clock
from simulation.night.order import Kind
from simulation.night.people import LISTED, MISSING, REGISTERS
from simulation.night.setting import Door
from simulation.randomness import Integers

PLENTY = -1


@dataclass(frozen=True)
class Person:
    """What a person at the door needs; times in ms. `wrong`: 0, or the number of the other line to stand in first."""

    arrives: int
    service: int = 10
    needs: int = LISTED
    look_up: int = 0
    wrong: int = 0
    redirect: int = 0


@dataclass(frozen=True)
class Table:
    """The check-in of one precinct."""

    people: Sequence[Person]
    stations: int = 1
    forms: int = PLENTY
    reprint: int = 0


def ints(values: Sequence[int]) -> Integers:
    return np.array(values, dtype=np.int64)


class Played:
    """The tables of one building, played to their end. Lists are by table, then by person."""

    def __init__(self, *tables: Table) -> None:
        clock = Clock()
        self.tables = tables
        self.log: EventLog = []
        doors = [
            Door(
                site=site,
                stations=table.stations,
                forms=table.forms,
                reprint=table.reprint,
                arrives=ints([p.arrives for p in table.people]),
                needs=ints([p.needs for p in table.people]),
                service=ints([p.service for p in table.people]),
                first_service=ints([p.look_up for p in table.people]),
                wrong_line=ints([(p.redirect << 16 | p.wrong) if p.wrong else 0 for p in table.people]),
            )
            for site, table in enumerate(tables)
        ]
        building = Building(clock, doors, self.log)
        clock.run()
        self.in_at = [line.in_at.tolist() for line in building.lines]
        self.wait = [line.wait_ms.tolist() for line in building.lines]

    def times(self, kind: Kind) -> list[int]:
        """When something happened."""
        return [at for at, _, k, *_ in self.log if k == kind]

    def stays(self, line: int) -> list[Stay]:
        """Every turn in a line, in the order of joining."""
        joined: dict[tuple[int, int, int], int] = {}
        found = []
        for at, _, kind, site, person, stage, value in self.log:
            if kind == Kind.JOINED and value == line:
                joined[site, person, stage] = at
            elif kind == Kind.SERVED and value == line:
                who = self.tables[site].people[person]
                service = (who.redirect, who.look_up, who.service)[stage]
                needs_form = stage == 2 and who.needs != LISTED
                found.append(Stay(joined.pop((site, person, stage)), at, at + service, needs_form))
        assert not joined  # everybody who joined was served
        return found


@dataclass(frozen=True)
class Stay:
    """One turn in a line: joined, came to a station, left it."""

    joined: int
    served: int
    left: int
    needs_form: bool


def test_a_free_station_serves_at_once() -> None:
    played = Played(Table([Person(5)]))
    assert (played.in_at, played.wait) == ([[15]], [[0]])


def test_people_are_served_in_the_order_of_their_coming() -> None:
    played = Played(Table([Person(4), Person(0), Person(2)]))
    assert played.in_at == [[30, 10, 20]]
    assert played.wait == [[16, 0, 8]]


def test_stations_work_side_by_side() -> None:
    assert Played(Table([Person(0)] * 5, stations=2)).in_at == [[10, 10, 20, 20, 30]]


def test_a_station_that_gets_free_serves_whoever_waits_before_whoever_comes() -> None:
    played = Played(Table([Person(0), Person(10), Person(5)]))
    assert played.in_at == [[10, 30, 20]]


def test_who_is_missing_from_the_list_goes_to_the_back_of_the_line() -> None:
    missing = Person(0, service=7, needs=MISSING, look_up=3)
    played = Played(Table([missing, Person(1), Person(2)]))
    assert played.in_at == [[3 + 10 + 10 + 7, 13, 23]]
    assert played.wait == [[20, 2, 11]]


def test_who_is_missing_and_alone_is_registered_without_a_wait() -> None:
    assert Played(Table([Person(0, service=7, needs=MISSING, look_up=3)])).in_at == [[10]]


def test_who_stands_in_the_wrong_line_ends_in_his_own_room() -> None:
    """He takes the time of the other line's station, then joins his own line at its end."""
    lost = Person(1, wrong=1, redirect=4)
    played = Played(Table([lost, Person(15)]), Table([Person(0), Person(2)]))
    assert played.in_at == [[14 + 10, 34], [10, 24]]
    assert played.wait == [[9, 9], [0, 12]]
    in_own = [site for _, _, kind, site, *_ in played.log if kind == Kind.CHECKED_IN]
    assert sorted(in_own) == [0, 0, 1, 1]


def test_the_number_of_a_wrong_line_counts_the_other_lines_only() -> None:
    third = Person(0, wrong=2, redirect=4)  # of lines 0 and 1, seen from line 2
    played = Played(Table([]), Table([]), Table([third]))
    lines = [value for _, _, kind, _, _, _, value in played.log if kind == Kind.JOINED]
    assert lines == [1, 2]


# Forms


def test_when_forms_run_out_only_registrations_wait() -> None:
    people = [Person(0, needs=REGISTERS), Person(1, needs=REGISTERS), Person(2), Person(3)]
    played = Played(Table(people, forms=1, reprint=100))
    assert played.in_at == [[10, 110, 20, 30]]  # reprinted 100 after the last form was taken, at 0
    assert played.times(Kind.FORMS_RAN_OUT) == [0]
    assert played.times(Kind.FORMS_CAME) == [100]


def test_registrations_that_stepped_aside_are_served_first_when_forms_come() -> None:
    people = [Person(0, needs=REGISTERS), Person(1, needs=REGISTERS), *[Person(t) for t in range(2, 6)]]
    played = Played(Table(people, forms=1, reprint=25))
    assert played.in_at == [[10, 40, 20, 30, 50, 60]]


def test_somebody_who_comes_when_there_are_no_forms_waits_beside_a_free_station() -> None:
    people = [Person(0, needs=REGISTERS), Person(20, needs=REGISTERS), Person(21)]
    played = Played(Table(people, forms=1, reprint=50))
    assert played.in_at == [[10, 60, 31]]


def test_a_missing_person_needs_a_form_only_after_being_looked_up() -> None:
    people = [Person(0, needs=REGISTERS), Person(1, needs=MISSING, look_up=5), Person(2)]
    played = Played(Table(people, forms=1, reprint=60))
    assert played.in_at == [[10, 70, 25]]


def test_the_forms_of_one_precinct_do_not_run_out_in_another() -> None:
    people = [Person(0, needs=REGISTERS), Person(1, needs=REGISTERS)]
    played = Played(Table(people, forms=1, reprint=100), Table(people, forms=5))
    assert played.in_at == [[10, 110], [10, 20]]


# Whatever comes, on a clock so coarse that most things happen at once

PEOPLE = st.builds(
    Person,
    arrives=st.integers(0, 20),
    service=st.integers(0, 6),
    needs=st.sampled_from([LISTED, LISTED, REGISTERS, MISSING]),
    look_up=st.integers(0, 3),
    wrong=st.sampled_from([0, 0, 0, 1, 2]),
    redirect=st.integers(0, 3),
)
TABLES = st.builds(
    Table,
    people=st.lists(PEOPLE, max_size=15),
    stations=st.integers(1, 3),
    forms=st.sampled_from([PLENTY, 1, 2, 3]),
    reprint=st.integers(0, 15),
)
BUILDINGS = st.tuples(TABLES, TABLES, TABLES)


@given(BUILDINGS)
def test_everybody_who_arrives_is_in_at_the_end_and_waited_as_long_as_told(tables: tuple[Table, ...]) -> None:
    played = Played(*tables)
    for table, in_at, wait in zip(tables, played.in_at, played.wait, strict=True):
        for person, at, waited in zip(table.people, in_at, wait, strict=True):
            busy = person.service + (person.look_up if person.needs == MISSING else 0)
            busy += person.redirect if person.wrong else 0
            assert at == person.arrives + waited + busy
            assert waited >= 0
    checked_in = [(site, person) for _, _, kind, site, person, *_ in played.log if kind == Kind.CHECKED_IN]
    assert len(set(checked_in)) == len(checked_in) == sum(len(table.people) for table in tables)


@given(BUILDINGS)
def test_no_station_idles_while_somebody_waits_who_can_be_served(tables: tuple[Table, ...]) -> None:
    played = Played(*tables)
    ran_out = {site: at for at, _, kind, site, *_ in played.log if kind == Kind.FORMS_RAN_OUT}
    came = {site: at for at, _, kind, site, *_ in played.log if kind == Kind.FORMS_CAME}
    for line, table in enumerate(tables):
        stays = played.stays(line)
        for tick in range(max((stay.left for stay in stays), default=0)):
            serving = sum(stay.served <= tick < stay.left for stay in stays)
            forms = not ran_out.get(line, tick + 1) <= tick < came.get(line, 0)
            waiting = sum(stay.joined <= tick < stay.served and (forms or not stay.needs_form) for stay in stays)
            assert serving <= table.stations
            assert waiting == 0 or serving == table.stations


@given(BUILDINGS)
def test_first_come_is_first_served(tables: tuple[Table, ...]) -> None:
    """Among those who need no form, and among those who need one."""
    played = Played(*tables)
    for line in range(len(tables)):
        for needs_form in (False, True):
            served = [stay for stay in played.stays(line) if stay.needs_form == needs_form]
            assert [stay.joined for stay in served] == sorted(stay.joined for stay in served)


@given(BUILDINGS)
def test_with_forms_for_everybody_nobody_is_passed_by(tables: tuple[Table, ...]) -> None:
    played = Played(*(Table(table.people, table.stations) for table in tables))
    for line in range(len(tables)):
        joined = [stay.joined for stay in played.stays(line)]
        assert joined == sorted(joined)


@given(BUILDINGS)
def test_no_two_events_at_the_door_have_the_same_key(tables: tuple[Table, ...]) -> None:
    keys = [event[:6] for event in Played(*tables).log]
    assert len(set(keys)) == len(keys)


@given(TABLES)
def test_no_registration_is_served_while_there_are_no_forms(table: Table) -> None:
    people = [Person(p.arrives, p.service, p.needs, p.look_up) for p in table.people]
    played = Played(Table(people, table.stations, table.forms, table.reprint))
    for out, back in zip(played.times(Kind.FORMS_RAN_OUT), played.times(Kind.FORMS_CAME), strict=True):
        assert back == out + table.reprint
        late = [stay for stay in played.stays(0) if stay.needs_form and out < stay.served < back]
        assert late == []
        assert sum(stay.needs_form and stay.served <= out for stay in played.stays(0)) >= table.forms
