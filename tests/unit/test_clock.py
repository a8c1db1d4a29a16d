"""The clock: integer milliseconds, and events of one millisecond in the order of the one table."""

from __future__ import annotations

from collections.abc import Generator
from functools import partial
from random import Random

from hypothesis import given
from hypothesis import strategies as st
from simpy import Event

from simulation.night.model.clock import Clock
from simulation.night.order import Kind, Rank

KEYS = st.tuples(st.integers(0, 5), st.sampled_from(list(Rank)), st.integers(0, 2**40 - 1), st.integers(0, 2**16 - 1))


@given(st.lists(KEYS, unique=True), st.randoms(use_true_random=False))
def test_events_happen_by_time_rank_entity_and_attempt_whatever_order_they_were_scheduled_in(
    keys: list[tuple[int, Rank, int, int]], random: Random
) -> None:
    clock = Clock()
    happened: list[tuple[int, Rank, int, int]] = []

    def remember(_when: int, rank: Rank, entity: int, attempt: int) -> None:
        happened.append((int(clock.now), rank, entity, attempt))

    random.shuffle(keys)
    for key in keys:
        clock.call_at(*key, partial(remember, *key))
    clock.run()
    assert happened == sorted(keys)


@given(st.lists(KEYS, unique=True), st.randoms(use_true_random=False))
def test_processes_that_wait_for_their_time_happen_in_the_same_order(
    keys: list[tuple[int, Rank, int, int]], random: Random
) -> None:
    clock = Clock()
    happened: list[tuple[int, Rank, int, int]] = []

    def process(when: int, rank: Rank, entity: int, attempt: int) -> Generator[Event, object, None]:
        yield clock.after(when, rank, entity, attempt)
        happened.append((int(clock.now), rank, entity, attempt))

    random.shuffle(keys)
    for key in keys:
        clock.process(process(*key))
    clock.run()
    assert happened == sorted(keys)


def test_what_an_event_causes_in_the_same_instant_happens_inside_it() -> None:
    """A waiter that is woken, and a process that is started, go before every other event of that millisecond."""
    clock = Clock()
    happened: list[str] = []
    woken = clock.event()

    def waits() -> Generator[Event, object, None]:
        yield woken
        happened.append("woken")

    def starts() -> Generator[Event, object, None]:
        happened.append("started")
        yield clock.after(0, Rank.RELEASED, 0)

    def wakes() -> None:
        happened.append("wakes")
        woken.succeed()
        clock.process(starts())

    clock.process(waits())
    clock.call_at(5, Rank.CALL_ENDS, 0, 0, wakes)
    clock.call_at(5, Rank.CALL_ENDS, 1, 0, lambda: happened.append("next"))
    clock.run()
    assert happened[0] == "wakes"
    assert sorted(happened[1:3]) == ["started", "woken"]
    assert happened[3] == "next"


def test_an_event_of_this_instant_with_a_lower_rank_is_next() -> None:
    clock = Clock()
    happened: list[str] = []

    def dials() -> None:
        happened.append("dials")
        clock.call_at(5, Rank.CALL_ENDS, 0, 0, lambda: happened.append("a call of no length ends"))

    clock.call_at(5, Rank.DIALS, 0, 0, dials)
    clock.call_at(5, Rank.DIALS, 1, 0, lambda: happened.append("another dials"))
    clock.run()
    assert happened == ["dials", "a call of no length ends", "another dials"]


def test_the_clock_stops_before_the_events_of_its_last_millisecond() -> None:
    clock = Clock()
    happened: list[int] = []
    for at in (4, 5, 6):
        clock.call_at(at, Rank.ROOM, at, 0, lambda: happened.append(int(clock.now)))
    clock.run(until=5)
    assert happened == [4]
    assert clock.now == 5


def test_times_stay_integers() -> None:
    clock = Clock()
    clock.call_at(7, Rank.ROOM, 0, 0, lambda: None)
    clock.run()
    assert type(clock.now) is int


def test_ranks_follow_the_order_of_a_call() -> None:
    """Who would hang up as an operator gets free is answered; who dials then comes after him."""
    assert Rank.CALL_ENDS < Rank.SHIFT_CHANGES < Rank.PATIENCE_ENDS < Rank.DIALS
    assert Rank.SERVICE_ENDS < Rank.FORMS_ARRIVE < Rank.JOINS_LINE
    assert min(Rank) > 1  # 0 and 1 are SimPy's own
    assert len(Rank.__members__) == len(list(Rank))
    assert len(Kind.__members__) == len(list(Kind))
