"""The three records of a precinct: what a room may do, how a chair and a typist err, what a review restores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulation.night import Luck, play_night, records
from simulation.night.order import Stream
from simulation.night.records import (
    COLUMN_SHIFT,
    DELEGATES,
    DIGIT_SLIP,
    FINAL,
    FIRST,
    OMISSION,
    SWAPPED,
    WRONG_PRECINCT,
    differs,
)
from simulation.night.setting import Setting
from simulation.randomness import CERTAIN, Integers, bits
from simulation.roster import synthesize
from simulation.rules.alignment import FREE_2016, LOCKED_2020, VIABLE_GROUP_SHRANK
from simulation.rules.audit import check
from simulation.rules.viability import is_viable, threshold
from simulation.scenario import load

NEVER = 0


def ints(values: Sequence[int] | Sequence[Sequence[int]]) -> Integers:
    return np.array(values, dtype=np.int64)


@pytest.fixture(scope="module")
def roster(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty synthesized precincts of all sizes."""
    lines = synthesize("iowa-2020").csv().splitlines(keepends=True)
    path = tmp_path_factory.mktemp("records") / "sixty.csv"
    path.write_text(lines[0] + "".join(lines[1::28][:60]))
    return path


def setting(roster: Path, night: int, overrides: Mapping[str, object], name: str = "iowa-2020") -> Setting:
    return Setting(load(name, {"turnout.people": "none"} | dict(overrides), roster), Luck(seed=5, night=night))


# What the room did: first alignment


@given(st.integers(0, 500), st.lists(st.integers(0, 1000), min_size=2, max_size=12).filter(any), st.integers(0, 99))
def test_everybody_stands_for_one_group_and_nobody_for_a_group_without_support(
    people: int, weights: list[int], place: int
) -> None:
    first = np.zeros(len(weights), np.int64)
    alike = np.full(1025, 1_000_000, np.int64)
    records.first_alignment(1, 2, place, people, records.normalized(ints(weights)), alike, first)
    assert first.sum() == people
    assert (first[ints(weights) == 0] == 0).all()


def test_groups_get_their_share_where_every_precinct_is_alike() -> None:
    first = np.zeros(3, np.int64)
    alike = np.full(1025, 1_000_000, np.int64)
    records.first_alignment(1, 2, 3, 100_000, records.normalized(ints([5, 3, 2])), alike, first)
    assert first / 100_000 == pytest.approx([0.5, 0.3, 0.2], abs=5 * np.sqrt(0.25 / 100_000))


# What the room did: realignment

SHARE = st.one_of(st.sampled_from([NEVER, CERTAIN]), st.integers(0, CERTAIN))
ROOMS = st.tuples(
    st.lists(st.integers(0, 60), min_size=2, max_size=8),  # first alignment
    st.integers(1, 15),  # delegates
    st.sampled_from([0, 0, 0, 1, 7]),  # counted too many
    st.integers(0, 10_000),  # place
)
Room = tuple[list[int], int, int, int]


def realigned(
    room: Room, *, free: bool = False, rescue: int = NEVER, leave: int = NEVER, stuck: int = NEVER, drift: int = NEVER
) -> Integers:
    first, delegates, too_many, place = room
    final = np.zeros(len(first), np.int64)
    records.realign(
        seed=1,
        night=2,
        place=place,
        delegates=delegates,
        attendance=sum(first) + too_many,
        regime=FREE_2016 if free else LOCKED_2020,
        rescue=rescue,
        leave=leave,
        stuck=stuck,
        drift=drift,
        second=np.ones(len(first), np.int64),
        first=ints(first),
        final=final,
    )
    return final


def viable(sizes: Sequence[int] | Integers, room: Room) -> list[bool]:
    first, delegates, too_many, _ = room
    return [bool(is_viable(int(size), delegates, sum(first) + too_many)) for size in sizes]


@given(ROOMS, SHARE, SHARE, SHARE)
def test_a_viable_group_never_shrinks_under_the_rules_of_2020(room: Room, rescue: int, leave: int, stuck: int) -> None:
    final = realigned(room, rescue=rescue, leave=leave, stuck=min(stuck, CERTAIN - leave))
    for before, after, locked in zip(room[0], final, viable(room[0], room), strict=True):
        assert after >= before or not locked


@given(ROOMS, SHARE, SHARE, SHARE, SHARE, st.booleans())
def test_nobody_comes_out_of_nowhere(room: Room, rescue: int, leave: int, stuck: int, drift: int, free: bool) -> None:
    stuck = min(stuck, CERTAIN - leave)
    final = realigned(room, free=free, rescue=rescue, leave=leave, stuck=stuck, drift=drift)
    assert (final >= 0).all()
    assert final.sum() <= sum(room[0])
    stayed = realigned(room, free=free, rescue=rescue, stuck=stuck, drift=drift)
    assert stayed.sum() == sum(room[0])  # nobody leaves, nobody is lost


@given(ROOMS, SHARE, SHARE, SHARE)
def test_only_viable_groups_grow_and_at_most_one_becomes_viable(
    room: Room, rescue: int, leave: int, stuck: int
) -> None:
    final = realigned(room, rescue=rescue, leave=leave, stuck=min(stuck, CERTAIN - leave))
    grew = [after > before for before, after in zip(room[0], final, strict=True)]
    before, after = viable(room[0], room), viable(final, room)
    assert all(is_now for has_grown, is_now in zip(grew, after, strict=True) if has_grown)
    assert sum(not was and is_now for was, is_now in zip(before, after, strict=True)) <= 1


@given(ROOMS)
def test_people_who_are_all_stuck_change_nothing(room: Room) -> None:
    assert realigned(room, rescue=CERTAIN, stuck=CERTAIN).tolist() == room[0]


@given(ROOMS)
def test_when_all_who_may_leave_do_only_viable_groups_are_left(room: Room) -> None:
    left = [size if stays or room[1] == 1 else 0 for size, stays in zip(room[0], viable(room[0], room), strict=True)]
    assert realigned(room, rescue=CERTAIN, leave=CERTAIN).tolist() == left


@given(ROOMS)
def test_a_group_is_rescued_wherever_its_friends_suffice(room: Room) -> None:
    first, delegates, too_many, _ = room
    was = viable(first, room)
    homeless = sum(size for size, is_in in zip(first, was, strict=True) if not is_in)
    final = realigned(room, rescue=CERTAIN)
    is_now = viable(final, room)
    suffices = delegates > 1 and homeless > 0 and homeless >= threshold(delegates, sum(first) + too_many)
    assert sum(is_now) - sum(was) == suffices
    if suffices or any(was):  # everybody found a viable group
        assert all(size == 0 or in_viable for size, in_viable in zip(final, is_now, strict=True))


@given(ROOMS, SHARE, SHARE)
def test_where_one_delegate_is_elected_nobody_realigns(room: Room, rescue: int, leave: int) -> None:
    alone = (room[0], 1, room[2], room[3])
    assert realigned(alone, free=True, rescue=rescue, leave=leave, drift=CERTAIN).tolist() == room[0]


def test_a_viable_group_may_shrink_under_the_rules_of_2016() -> None:
    rooms = [([40, 30, 20, 5, 5], 8, 0, place) for place in range(50)]
    shrank = [realigned(room, free=True, drift=CERTAIN // 4)[0] < 40 for room in rooms]
    assert any(shrank)
    assert not any(realigned(room, free=False, drift=CERTAIN // 4)[0] < 40 for room in rooms)


# What the room did: a whole night


@pytest.mark.parametrize("rules", ["2016", "2020"])
def test_what_the_rooms_do_is_lawful(roster: Path, rules: str) -> None:
    """Wherever the room counted right: the audit finds nothing in the true record that the law could have helped."""
    lawful = 0
    for night in range(5):
        tonight = setting(roster, night, {"alignment.rules": rules, "room.miscount": 0, "alignment.drift": 0.02})
        for site, (first, final, seats) in enumerate(tonight.true_records):
            delegates = int(tonight.delegates[site])
            assert first.sum() == tonight.people[site] == tonight.rooms[site].counted
            found = int(check(first, final, seats, delegates))
            found &= ~(VIABLE_GROUP_SHRANK if rules == "2016" else 0)
            if seats.sum() == delegates:
                lawful += found == 0
            else:
                assert seats.sum() == 0  # nobody viable, or no award that the rules allow
    assert lawful > 5 * 60 * 0.95


def test_rooms_that_count_too_many_set_the_threshold_by_it(roster: Path) -> None:
    tonight = setting(roster, 0, {"room.miscount": 1, "room.miscounted_people": 9})
    assert all(
        room.counted == people + 9 and room.counts == 3
        for room, people in zip(tonight.rooms, tonight.people, strict=True)
    )


# What the chair wrote

RECORDS = st.integers(2, 8).flatmap(
    lambda groups: st.lists(
        st.lists(st.integers(0, 150), min_size=groups, max_size=groups), min_size=3, max_size=3
    ).map(ints)
)


@given(RECORDS, st.integers(1, 12), SHARE, st.booleans(), st.integers(0, 10_000))
def test_a_worksheet_is_called_wrong_exactly_where_it_differs_from_the_room(
    record: Integers, delegates: int, share: int, ballot: bool, place: int
) -> None:
    worksheet = np.zeros_like(record)
    wrong = records.write_worksheet(1, 2, place, delegates, ballot, share, record, worksheet)
    assert bool(wrong) == bool(differs(record, worksheet))
    assert (worksheet >= 0).all()
    assert not (wrong and share == NEVER)
    assert not (wrong and delegates == 1 and not ballot)
    assert (worksheet[FIRST] == record[FIRST]).all()


def test_the_kinds_of_a_chairs_error_are_equally_frequent() -> None:
    record = ints([[40, 30, 20, 10], [40, 35, 25, 0], [3, 2, 2, 0]])
    kinds = {"moved": 0, "one too many": 0, "sum": 0}
    for place in range(3000):
        worksheet = np.zeros_like(record)
        assert records.write_worksheet(1, 2, place, 7, False, CERTAIN, record, worksheet)
        if (worksheet[FINAL] != record[FINAL]).any():
            kinds["sum"] += 1
            assert (worksheet[DELEGATES] == record[DELEGATES]).all()
        else:
            kinds["moved" if worksheet[DELEGATES].sum() == 7 else "one too many"] += 1
    assert list(kinds.values()) == pytest.approx([1000] * 3, abs=5 * np.sqrt(3000 * 2 / 9))


def test_a_chair_errs_as_often_as_the_scenario_says(roster: Path) -> None:
    overrides = {"chairs.arithmetic_errors": 0.05, "chairs.untrained": 0, "chairs.missing": 0}
    nights = [setting(roster, night, overrides) for night in range(100)]
    able = sum(int((n.delegates >= 2).sum()) for n in nights)
    wrong = sum(int(n.worksheets[1].sum()) for n in nights)
    assert wrong / able == pytest.approx(0.05, abs=5 * np.sqrt(0.05 * 0.95 / able))


# What headquarters typed

WORKSHEET = ints([[40, 31, 20, 12], [44, 35, 25, 0], [3, 2, 2, 0]])
OTHER = ints([[9, 8, 7, 6], [10, 10, 10, 0], [1, 1, 1, 0]])
ONE_IN_A_DOZEN = CERTAIN // 12


def typed(place: int, kind: int, share: int = ONE_IN_A_DOZEN) -> tuple[Integers, int]:
    keyed = np.zeros_like(WORKSHEET)
    weights = np.zeros(5, np.int64)
    weights[kind] = CERTAIN
    return keyed, int(records.key(1, 2, place, share, False, weights, WORKSHEET, OTHER, keyed))


def slips(place: int) -> list[tuple[int, int]]:
    """The fields (row, column) that go wrong at a place."""
    fields = [(row, column) for row in range(3) for column in range(4)]
    stream = int(Stream.KEYING)
    return [f for entry, f in enumerate(fields) if bits(1, 2, place, entry, stream, 0) < ONE_IN_A_DOZEN]


def single_slips() -> list[tuple[int, int, int]]:
    """(place, row, column) of the places at which exactly one field goes wrong, of the first 200."""
    return [(place, *slips(place)[0]) for place in range(200) if len(slips(place)) == 1]


def digits(value: int) -> str:
    return f"{value:04d}"


def test_nobody_errs_who_errs_with_probability_zero() -> None:
    for kind in range(5):
        keyed, errors = typed(place=3, kind=kind, share=NEVER)
        assert (keyed == WORKSHEET).all()
        assert errors == 0


def test_every_field_goes_wrong_somewhere() -> None:
    assert len({(row, column) for _, row, column in single_slips()}) == 12


def test_an_omission_leaves_one_number_out() -> None:
    for place, row, column in single_slips():
        keyed, errors = typed(place, OMISSION)
        expected = WORKSHEET.copy()
        expected[row, column] = 0
        assert (keyed == expected).all()
        assert errors == (WORKSHEET[row, column] != 0)  # nobody can tell that a zero was left out


def test_a_digit_slip_changes_one_digit_or_exchanges_the_last_two() -> None:
    exchanged = 0
    for place, row, column in single_slips():
        keyed, errors = typed(place, DIGIT_SLIP)
        assert errors == 1
        assert np.argwhere(keyed != WORKSHEET).tolist() == [[row, column]]
        was, now = digits(int(WORKSHEET[row, column])), digits(int(keyed[row, column]))
        changed = [k for k in range(4) if was[k] != now[k]]
        if len(changed) == 2:
            exchanged += 1
            assert now == was[:-2] + was[-1] + was[-2]
        else:
            assert len(changed) == 1
    assert exchanged > 0


def test_a_shifted_column_pushes_the_others_on_and_takes_the_last_one_s_number() -> None:
    for place, row, column in single_slips():
        keyed, errors = typed(place, COLUMN_SHIFT)
        expected = WORKSHEET.copy()
        expected[row, column:] = np.roll(WORKSHEET[row, column:], 1)
        assert (keyed == expected).all()
        assert errors == differs(keyed, WORKSHEET)


def test_first_and_final_alignment_may_be_swapped() -> None:
    for place, *_ in single_slips():
        keyed, errors = typed(place, SWAPPED)
        assert (keyed == WORKSHEET[[FINAL, FIRST, DELEGATES]]).all()
        assert errors == 1


def test_another_precincts_numbers_may_be_taken() -> None:
    for place, *_ in single_slips():
        keyed, errors = typed(place, WRONG_PRECINCT)
        assert (keyed == OTHER).all()
        assert errors == 1


@given(RECORDS, RECORDS, SHARE, st.lists(SHARE, min_size=5, max_size=5).filter(any), st.integers(0, 10_000))
def test_whatever_goes_wrong_numbers_stay_numbers_and_no_error_is_counted_that_changed_nothing(
    worksheet: Integers, other: Integers, share: int, weights: list[int], place: int
) -> None:
    if worksheet.shape != other.shape:
        other = worksheet
    keyed = np.zeros_like(worksheet)
    errors = records.key(1, 2, place, share, False, ints(weights), worksheet, other, keyed)
    assert (keyed >= 0).all()
    assert errors > 0 or not differs(keyed, worksheet)


def test_kinds_of_errors_come_by_their_weights() -> None:
    """A quarter omissions, three quarters digit slips, told apart by whether a number became zero."""
    worksheet = np.full((3, 4), 77, np.int64)
    weights = ints([0, 3 * (CERTAIN // 4), 0, 0, CERTAIN // 4])
    omitted = total = 0
    for place in range(1500):
        keyed = np.zeros_like(worksheet)
        total += records.key(1, 2, place, CERTAIN, False, weights, worksheet, worksheet, keyed)
        omitted += int((keyed == 0).sum())
    assert total == 1500 * 12
    assert omitted / total == pytest.approx(1 / 4, abs=5 * np.sqrt(3 / 16 / total))


# Checks and reviews


def test_the_checks_stop_most_shifted_columns(roster: Path) -> None:
    """A column shifted in any of the three rows, wherever that changes a number."""
    caught = shifted = 0
    for night in range(3):
        tonight = setting(roster, night, {"room.miscount": 0})
        for site, record in enumerate(tonight.true_records):
            if int(tonight.delegates[site]) < 2:
                continue
            for row in (FIRST, FINAL, DELEGATES):
                keyed = record.copy()
                keyed[row] = np.roll(record[row], 1)
                if differs(keyed, record):
                    shifted += 1
                    first, final, seats = keyed
                    caught += int(check(first, final, seats, int(tonight.delegates[site]))) != 0
    assert caught / shifted > 0.75


REPORTED = {"headquarters.keying.phone": 0.02, "headquarters.keying.app": 0.02, "headquarters.reviewers": 5}


def test_a_review_restores_the_worksheet_and_a_wrong_worksheet_binds(roster: Path) -> None:
    overrides = REPORTED | {
        "turnout.people": "none",
        "headquarters.wrong_correction": 0,
        "chairs.arithmetic_errors": 0.3,
    }
    night = play_night(load("iowa-2020", overrides, roster), seed=5, night=0)
    played, (worksheets, wrong) = night.played, night.setting.worksheets
    stopped = np.flatnonzero(played.findings)
    assert len(stopped) > 10
    assert (played.cleared_at[stopped] > played.received_at[stopped]).all()
    assert (played.reported[stopped] == worksheets[stopped]).all()
    assert wrong[stopped].any()
    passed = np.flatnonzero((played.findings == 0) & (played.received_at >= 0))
    typed_right = passed[played.keying_errors[passed] == 0]
    assert (played.reported[typed_right] == worksheets[typed_right]).all()
    assert (played.cleared_at[passed] == played.received_at[passed]).all()


def test_headquarters_may_make_a_chairs_error_worse(roster: Path) -> None:
    overrides = REPORTED | {
        "turnout.people": "none",
        "headquarters.wrong_correction": 1,
        "chairs.arithmetic_errors": 0.5,
    }
    night = play_night(load("iowa-2020", overrides, roster), seed=5, night=0)
    played, (worksheets, wrong) = night.played, night.setting.worksheets
    worse = np.flatnonzero((played.findings > 0) & (wrong > 0))
    assert len(worse) > 5
    difference = played.reported[worse] - worksheets[worse]
    assert (difference.sum(axis=(1, 2)) == 1).all()
    assert (difference >= 0).all()


def test_without_checks_what_was_typed_stands(roster: Path) -> None:
    overrides = REPORTED | {"turnout.people": "none", "headquarters.checks": False}
    night = play_night(load("iowa-2020", overrides, roster), seed=5, night=0)
    held = night.played.received_at >= 0
    assert (night.played.cleared_at[held] == night.played.received_at[held]).all()
    typed_wrong = np.flatnonzero(night.played.keying_errors)
    assert len(typed_wrong) > 5
    assert all(differs(night.played.reported[s], night.setting.worksheets[0][s]) for s in typed_wrong)
