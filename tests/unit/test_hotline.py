"""The hotline: who is answered when, who hears a busy tone, who hangs up, and what a shift that ends does."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from simulation.night.events import EventLog
from simulation.night.model.clock import Clock
from simulation.night.model.hotline import Calling, Hotline
from simulation.night.order import Call, Kind, Outcome, Rank, entity_of, event_key
from simulation.night.reporting import next_attempt, rota

FOREVER = 10**9
ALL_NIGHT = (0, FOREVER)

Dial = tuple[int, int, int]  # at, handling, patience


class Evening:
    """A hotline with `operators` (or `shifts`) on which calls are dialed as given; callers are numbered from 0."""

    def __init__(
        self,
        dials: Sequence[Dial],
        operators: int = 1,
        lines: int = 0,
        shifts: Sequence[tuple[int, int, int]] = (),
        silent: Sequence[int] = (),
    ) -> None:
        self.clock = Clock()
        self.log: EventLog = []
        duty = np.array(shifts or [(*ALL_NIGHT, operators)], dtype=np.int64)
        self.line = Hotline(self.clock, lines, rota(duty), self.log)
        self.calls = [
            Calling(Call.REPORT, n, n, 0, patience, handling, n in silent, at, self.clock.event())
            for n, (at, handling, patience) in enumerate(dials)
        ]
        for call in self.calls:
            self.clock.call_at(call.dialed, Rank.DIALS, call.entity, 0, partial(self.line.dial, call))
        self.clock.run()

    @property
    def story(self) -> list[tuple[str, int, int]]:
        """(outcome, answered at, ended at) of each caller."""
        return [(call.outcome.name, call.answered, call.ended) for call in self.calls]


def test_a_free_operator_answers_at_once() -> None:
    assert Evening([(10, 5, 0)]).story == [("ANSWERED", 10, 15)]


def test_callers_are_answered_in_the_order_of_their_calls() -> None:
    evening = Evening([(0, 10, 99), (3, 10, 99), (1, 10, 99), (2, 10, 99)])
    assert [answered for _, answered, _ in evening.story] == [0, 30, 10, 20]


def test_callers_of_one_millisecond_stand_in_the_order_of_their_numbers() -> None:
    evening = Evening([(0, 10, 99)] * 4, operators=2)
    assert [answered for _, answered, _ in evening.story] == [0, 0, 10, 10]


def test_a_freed_operator_takes_the_longest_waiting_caller_in_the_same_millisecond() -> None:
    """Before whoever dials in that millisecond."""
    evening = Evening([(0, 10, 99), (5, 10, 99), (10, 10, 99)])
    assert evening.story[1] == ("ANSWERED", 10, 20)
    assert evening.story[2] == ("ANSWERED", 20, 30)


def test_who_would_hang_up_in_the_millisecond_in_which_an_operator_gets_free_is_answered() -> None:
    assert Evening([(0, 10, 99), (3, 5, 7)]).story[1] == ("ANSWERED", 10, 15)
    assert Evening([(0, 10, 99), (3, 5, 6)]).story[1] == ("HUNG_UP", -1, 9)


def test_who_would_hang_up_in_the_millisecond_in_which_a_shift_begins_is_answered() -> None:
    shifts = [(0, 99, 1), (10, 99, 1)]
    assert Evening([(0, 50, 99), (3, 5, 7)], shifts=shifts).story[1] == ("ANSWERED", 10, 15)


def test_who_dials_in_the_millisecond_in_which_a_caller_hangs_up_finds_his_line() -> None:
    evening = Evening([(0, 50, 99), (3, 5, 7), (10, 5, 99)], lines=2)
    assert [outcome for outcome, *_ in evening.story] == ["ANSWERED", "HUNG_UP", "ANSWERED"]


def test_without_a_line_a_caller_hears_a_busy_tone_at_once() -> None:
    evening = Evening([(0, 10, 99), (1, 10, 99), (2, 10, 99), (12, 10, 99)], lines=2)
    assert evening.story[2] == ("BUSY", -1, 2)
    assert evening.story[3][0] == "ANSWERED"


def test_fewer_lines_than_operators_leave_operators_idle() -> None:
    evening = Evening([(0, 10, 99)] * 3, operators=3, lines=2)
    assert [outcome for outcome, *_ in evening.story] == ["ANSWERED", "ANSWERED", "BUSY"]


def test_a_shift_that_ends_lets_its_calls_finish() -> None:
    evening = Evening([(0, 50, 99), (1, 50, 99)], shifts=[(0, 10, 2)])
    assert evening.story == [("ANSWERED", 0, 50), ("ANSWERED", 1, 51)]


def test_operators_who_leave_take_nobody_when_their_call_is_over() -> None:
    shifts = [(0, 10, 2), (10, FOREVER, 1)]
    evening = Evening([(0, 20, 99), (1, 30, 99), (2, 5, 99)], shifts=shifts)
    assert evening.story[2] == ("ANSWERED", 31, 36)  # not at 20, when the one of two who left was free


def test_overlapping_shifts_add_up() -> None:
    evening = Evening([(5, 10, 99)] * 3, shifts=[(0, 20, 1), (5, 15, 1)])
    assert [answered for _, answered, _ in evening.story] == [5, 5, 15]


def test_operators_who_come_take_waiting_callers_at_once() -> None:
    evening = Evening([(0, 50, 99), (1, 10, 99), (2, 10, 99)], shifts=[(0, 99, 1), (20, 99, 2)])
    assert [answered for _, answered, _ in evening.story] == [0, 20, 20]


def test_a_closed_hotline_says_so_to_callers_and_to_those_on_hold() -> None:
    evening = Evening([(0, 30, 99), (5, 10, 99), (12, 10, 99), (25, 10, 99)], shifts=[(0, 10, 1), (20, 99, 1)])
    assert evening.story == [
        ("ANSWERED", 0, 30),
        ("CLOSED", -1, 10),  # on hold when the last operator's shift ended
        ("CLOSED", -1, 12),
        ("ANSWERED", 30, 40),  # the first call of the day before is still going on
    ]


def test_a_silent_caller_frees_the_operator() -> None:
    evening = Evening([(0, 10, 99), (1, 5, 99)], silent=[0])
    assert evening.story == [("SILENT", 0, 10), ("ANSWERED", 10, 15)]


def test_a_call_that_the_end_of_the_simulation_cuts_is_no_busy_tone() -> None:
    clock = Clock()
    line = Hotline(clock, 0, [(0, 1)], None)
    calls = [Calling(Call.REPORT, n, n, 0, 99, 99, False, 0, clock.event()) for n in range(2)]
    for call in calls:
        clock.call_at(0, Rank.DIALS, call.entity, 0, partial(line.dial, call))
    clock.run(until=50)
    assert [(call.outcome, call.ended) for call in calls] == [(Outcome.UNFINISHED, -1)] * 2


# Whatever is dialed, on a clock so coarse that most things happen at once.

DIALS = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 6), st.integers(0, 8)), max_size=40)
SHIFTS = st.lists(
    st.tuples(st.integers(0, 10), st.integers(1, 8), st.integers(0, 3)).map(lambda s: (s[0], s[0] + s[1], s[2])),
    min_size=1,
    max_size=4,
)


@given(DIALS, SHIFTS, st.integers(0, 5))
def test_nobody_waits_while_an_operator_is_free_and_nobody_is_passed_by(
    dials: list[Dial], shifts: list[tuple[int, int, int]], lines: int
) -> None:
    evening = Evening(dials, lines=lines, shifts=shifts)
    waiting: list[int] = []
    busy, on_duty, before = 0, 0, -1
    for at, _, kind, caller, _, _, value in evening.log:
        if at > before:
            assert not waiting or busy >= on_duty
        assert at >= before
        before = at
        if kind == Kind.ON_DUTY:
            on_duty = value
            continue
        call = evening.calls[caller]
        if kind == Kind.DIALED:
            waiting.append(caller)
        elif kind == Kind.BUSY:
            assert waiting.pop() == caller
            assert lines
            assert busy + len(waiting) >= lines
        elif kind == Kind.CLOSED:
            waiting.remove(caller)
            assert on_duty == 0
        elif kind == Kind.ANSWERED:
            assert waiting.pop(0) == caller
            busy += 1
            assert busy <= on_duty
            assert value == at - call.dialed <= call.patience
        elif kind == Kind.HUNG_UP:
            waiting.remove(caller)
            assert value == at - call.dialed == call.patience
        elif kind == Kind.CALL_ENDED:
            busy -= 1
            assert value == at - call.answered == call.handling
        assert not lines or kind == Kind.DIALED or busy + len(waiting) <= lines
    assert (busy, waiting) == (0, [])
    over = (Kind.BUSY, Kind.CLOSED, Kind.HUNG_UP, Kind.CALL_ENDED)
    assert sum(kind in over for _, _, kind, *_ in evening.log) == len(dials)


@given(DIALS, SHIFTS, st.integers(0, 5))
def test_the_events_of_an_evening_have_a_key_of_their_own(
    dials: list[Dial], shifts: list[tuple[int, int, int]], lines: int
) -> None:
    """(at, rank, site, entity, attempt, kind): nothing is told twice."""
    keys = [
        (at, rank, site, entity, attempt, kind)
        for at, rank, kind, site, entity, attempt, _ in Evening(dials, lines=lines, shifts=shifts).log
    ]
    assert len(set(keys)) == len(keys)


def test_a_caller_who_never_stops_keeps_the_last_number_that_a_key_has_room_for() -> None:
    """Beyond 65,535 attempts a call's number would spill over into the caller's."""
    last = 2**16 - 1
    assert [next_attempt(attempt) for attempt in (0, last - 1, last)] == [1, last, last]
    assert entity_of(event_key(Rank.DIALS, 7, last)) == 7
