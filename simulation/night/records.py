"""The three records of a precinct: what the room did, what the chair wrote, what headquarters typed. Compiled.

People align by the scenario's shares within the law of `rules`; errors are made where they arise. A record is an int64
array of shape (3, groups): first alignment, final alignment, delegates. Knows nothing of time.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from simulation.compiled import inner_kernel, kernel
from simulation.night.order import Stream
from simulation.randomness import Integers, between, bits, chance, quantile, words
from simulation.rules.alignment import may_move, rounds
from simulation.rules.apportionment import award
from simulation.rules.viability import is_viable, threshold

FIRST, FINAL, DELEGATES = 0, 1, 2  # the rows of a record

COLUMN_SHIFT, DIGIT_SLIP, SWAPPED, WRONG_PRECINCT, OMISSION = 0, 1, 2, 3, 4  # kinds of keying errors

_LOCAL = int(Stream.LOCAL_PREFERENCE)
_PREFERENCE = int(Stream.PREFERENCE)  # the second of its block
_RESCUE = int(Stream.RESCUE)
_REALIGNS = int(Stream.REALIGNS)
_JOINS = int(Stream.JOINS)
_DRIFTS = int(Stream.DRIFTS)
_LOT = int(Stream.LOT)
_ARITHMETIC = int(Stream.ARITHMETIC)
_ARITHMETIC_KIND = int(Stream.ARITHMETIC_KIND)
_ARITHMETIC_GROUP = int(Stream.ARITHMETIC_GROUP)
_KEYING = int(Stream.KEYING)
_KEYING_KIND = int(Stream.KEYING_KIND)
_KEYING_VALUE = int(Stream.KEYING_VALUE)

_WEIGHTS = 1 << 20  # what normalized weights add up to, nearly
_MOST_FACTOR = 1 << 25  # a precinct's own factor counts up to 33

_MOST_ROUNDS = 3  # of realignment under the rules of 2016; later rounds move next to nobody


@kernel
def normalized(weights: Integers) -> Integers:
    """Weights (int64[groups], not all 0) scaled to add up to about 2**20; what was above 0 stays above 0."""
    total = weights.sum()
    found = np.zeros(len(weights), np.int64)
    for group in range(len(weights)):
        if weights[group] > 0:
            found[group] = max(1, weights[group] * _WEIGHTS // total)
    return found


@kernel
def first_alignment(
    seed: int, night: int, place: int, people: int, weights: Integers, local_spread: Integers, first: Integers
) -> None:
    """Let each of `people` stand for a group. Fills first[groups]; `weights` are those of `normalized`."""
    groups = len(weights)
    upto = np.zeros(groups, np.int64)
    total = 0
    for group in range(groups):
        factor = min(quantile(local_spread, bits(seed, night, place, group, _LOCAL, 0)), _MOST_FACTOR)
        total += weights[group] * factor >> 11  # below 2**34 in all: the product with 30 bits below fits
        upto[group] = total
    drawn = np.empty((4, people), np.int64)
    words(seed, night, place, _PREFERENCE - 1, 0, people, drawn[0], drawn[1], drawn[2], drawn[3])
    at = drawn[1]
    for person in range(people):
        at[person] = (at[person] >> 2) * total >> 30
    before = people
    for group in range(groups - 1):  # group by group, because the compiler makes vectors of such a loop
        beyond = 0
        for person in range(people):
            beyond += at[person] >= upto[group]
        first[group] += before - beyond
        before = beyond
    first[groups - 1] += before


@kernel
def _second_choice(weights: Integers, allowed: Integers, random_bits: int) -> int:
    """A group among the allowed ones, by weight; -1 where there is none."""
    total = 0
    for group in range(len(weights)):
        if allowed[group]:
            total += weights[group]
    if total == 0:
        return -1
    at = random_bits * total >> 32
    for group in range(len(weights)):
        if allowed[group]:
            at -= weights[group]
            if at < 0:
                return group
    return -1


@kernel
def realign(
    seed: int,
    night: int,
    place: int,
    delegates: int,
    attendance: int,
    regime: int,
    rescue: int,
    leave: int,
    stuck: int,
    drift: int,
    second: Integers,
    first: Integers,
    final: Integers,
) -> None:
    """Fill final[groups]: members of groups below the threshold leave, stay stuck, rescue one group, or join others.

    Who may move, and how often, is the law of `regime` (a code of `rules.alignment`). Shares in 2**-32; `second` are
    weights of second choices (`normalized`).
    """
    groups = len(first)
    for group in range(groups):
        final[group] = first[group]
    if delegates == 1:
        return
    goal = threshold(delegates, attendance)
    staying = np.zeros(groups, np.int64)  # people stuck with a group for good
    for turn in range(min(rounds(regime), _MOST_ROUNDS)):
        if may_move(regime, True):
            _drift(seed, night, place, turn, drift, second, delegates, attendance, final)
        viable = np.zeros(groups, np.int64)
        most = -1
        for group in range(groups):
            viable[group] = is_viable(final[group], delegates, attendance)
            if not viable[group] and final[group] > 0 and (most < 0 or final[group] > final[most]):
                most = group
        if most < 0:
            return
        willing = np.zeros(groups, np.int64)
        all_willing = 0
        person = 0
        for group in range(groups):
            if viable[group]:
                continue
            for _ in range(final[group] - staying[group]):
                luck = bits(seed, night, place, person, _REALIGNS, turn)
                person += 1
                if luck < leave:
                    final[group] -= 1
                elif luck < leave + stuck:
                    staying[group] += 1
                else:
                    willing[group] += 1
            all_willing += willing[group]
        nobody = True
        for group in range(groups):
            nobody = nobody and not viable[group]
        needed = goal - final[most]
        if needed <= all_willing - willing[most] and (
            nobody or chance(rescue, bits(seed, night, place, 0, _RESCUE, turn))
        ):
            willing[most] = 0  # they stand with their own group, which becomes viable
            viable[most] = 1
            while needed > 0:  # the smallest groups dissolve first
                least = -1
                for group in range(groups):
                    if willing[group] > 0 and (least < 0 or final[group] < final[least]):
                        least = group
                if least < 0:
                    break
                moved = min(needed, willing[least])
                willing[least] -= moved
                final[least] -= moved
                final[most] += moved
                needed -= moved
        person = 0
        for group in range(groups):
            for _ in range(willing[group]):
                joins = _second_choice(second, viable, bits(seed, night, place, person, _JOINS, turn))
                person += 1
                if joins >= 0:
                    final[group] -= 1
                    final[joins] += 1


@kernel
def _drift(
    seed: int,
    night: int,
    place: int,
    turn: int,
    drift: int,
    second: Integers,
    delegates: int,
    attendance: int,
    final: Integers,
) -> None:
    """Members of viable groups who change to another viable one."""
    viable = np.zeros(len(final), np.int64)
    for group in range(len(final)):
        viable[group] = is_viable(final[group], delegates, attendance)
    sizes = final.copy()
    person = 0
    for group in range(len(final)):
        if not viable[group]:
            continue
        for _ in range(sizes[group]):
            if chance(drift, bits(seed, night, place, person, _DRIFTS, 2 * turn)):
                joins = _second_choice(second, viable, bits(seed, night, place, person, _DRIFTS, 2 * turn + 1))
                final[group] -= 1
                final[joins] += 1
            person += 1


@kernel
def elect(seed: int, night: int, place: int, delegates: int, attendance: int, final: Integers, seats: Integers) -> int:
    """Fill seats[groups] by the law, coins tossed by lot. Returns the status of `rules.apportionment.award`."""
    lots = np.zeros(len(final), np.int64)
    for group in range(len(final)):
        lots[group] = bits(seed, night, place, group, _LOT, 0)
    if delegates < 1 or attendance < 1:
        for group in range(len(seats)):
            seats[group] = 0
        return -1
    return award(final, delegates, attendance, lots, seats)


@kernel
def write_worksheet(
    seed: int,
    night: int,
    place: int,
    delegates: int,
    ballot: bool,
    error_share: int,
    record: Integers,
    worksheet: Integers,
) -> bool:
    """Copy the room's record to the worksheet, with the chair's arithmetic. True where it is wrong.

    A third of the errors give one group's delegate to another, a third award one delegate too many, and a third add up
    the final alignment of a group wrongly. After a secret `ballot` all errors are of the last kind; a precinct of one
    delegate has no arithmetic to get wrong.
    """
    copy(record, worksheet)
    if (delegates < 2 and not ballot) or not chance(error_share, bits(seed, night, place, 0, _ARITHMETIC, 0)):
        return False
    counted = worksheet[FINAL] if ballot else worksheet[DELEGATES]
    largest = 0
    for group in range(len(counted)):
        if counted[group] > counted[largest]:
            largest = group
    if counted[largest] == 0:
        return False
    seats = worksheet[DELEGATES]
    other = between(0, len(seats) - 2, bits(seed, night, place, 0, _ARITHMETIC_GROUP, 0))
    for group in range(len(seats)):  # a group with people, after the one drawn
        candidate = (largest + 1 + other + group) % len(seats)
        if candidate != largest and worksheet[FINAL, candidate] > 0:
            other = candidate
            break
    else:
        other = largest
    kind = 2 if ballot else between(0, 2, bits(seed, night, place, 0, _ARITHMETIC_KIND, 0))
    if kind == 0 and other != largest:
        seats[largest] -= 1
        seats[other] += 1
    elif kind <= 1:
        seats[other] += 1
    else:
        slip = between(1, 5, bits(seed, night, place, 0, _ARITHMETIC_GROUP, 1))
        worksheet[FINAL, other] = max(0, worksheet[FINAL, other] - slip)
        if worksheet[FINAL, other] == record[FINAL, other]:
            worksheet[FINAL, other] += slip
    return True


class Choices(NamedTuple):
    """How people align tonight: shares in 2**-32, weights (see `normalized`), a quantile table."""

    regime: int  # a code of `rules.alignment`
    ballot: bool  # a secret ballot: no groups, no delegates
    rescue: int
    leave: int
    stuck: int
    drift: int
    statewide: Integers
    second: Integers
    local_spread: Integers


@kernel
def true_records(
    seed: int,
    night: int,
    places: Integers,
    people: Integers,
    counted: Integers,
    delegates: Integers,
    preference: Integers,
    choices: Choices,
    found: Integers,
) -> None:
    """Fill found[sites, 3, groups] with what the rooms do. `preference` is (sites, groups); a row of zeros has none."""
    for site in range(len(places)):
        place = places[site]
        first, final, seats = found[site, FIRST], found[site, FINAL], found[site, DELEGATES]
        weights = choices.statewide
        for weight in preference[site]:
            if weight > 0:
                weights = normalized(preference[site])
                break
        first_alignment(seed, night, place, people[site], weights, choices.local_spread, first)
        if choices.ballot:
            for group in range(len(first)):
                final[group] = first[group]
            continue
        realign(
            seed,
            night,
            place,
            delegates[site],
            counted[site],
            choices.regime,
            choices.rescue,
            choices.leave,
            choices.stuck,
            choices.drift,
            choices.second,
            first,
            final,
        )
        elect(seed, night, place, delegates[site], counted[site], final, seats)


@kernel
def write_worksheets(
    seed: int,
    night: int,
    places: Integers,
    delegates: Integers,
    ballot: bool,
    error_share: int,
    untrained_share: int,
    untrained: Integers,
    records: Integers,
    worksheets: Integers,
    wrong: Integers,
) -> None:
    """Fill worksheets[sites, 3, groups], and wrong[sites] with 1 where the arithmetic is."""
    for site in range(len(places)):
        share = untrained_share if untrained[site] else error_share
        wrong[site] = write_worksheet(
            seed, night, places[site], delegates[site], ballot, share, records[site], worksheets[site]
        )


@kernel
def key(
    seed: int,
    night: int,
    place: int,
    field_share: int,
    ballot: bool,
    weights: Integers,
    worksheet: Integers,
    other: Integers,
    keyed: Integers,
) -> int:
    """Type a worksheet into headquarters' system: copy it to `keyed`, with errors. Returns how many changed a number.

    Each field is wrong with probability field_share / 2**32; what goes wrong is drawn by `weights` (int64[5]).
    After a secret `ballot` the votes (the final row) are all there is to type. `other` is the worksheet of another
    precinct, for the case that its numbers are taken.
    """
    copy(worksheet, keyed)
    groups = worksheet.shape[1]
    total = weights.sum()
    errors = 0
    for entry in range(groups if ballot else 0, (2 if ballot else 3) * groups):
        if not chance(field_share, bits(seed, night, place, entry, _KEYING, 0)):
            continue
        before = keyed.copy()
        at = bits(seed, night, place, entry, _KEYING_KIND, 0) * (total >> 8) >> 24
        kind = 0
        while kind < len(weights) - 1 and at >= weights[kind]:
            at -= weights[kind]
            kind += 1
        row, column = entry // groups, entry % groups
        if kind == COLUMN_SHIFT:
            last = keyed[row, groups - 1]
            for group in range(groups - 1, column, -1):
                keyed[row, group] = keyed[row, group - 1]
            keyed[row, column] = last
        elif kind == DIGIT_SLIP:
            keyed[row, column] = _slipped(keyed[row, column], bits(seed, night, place, entry, _KEYING_VALUE, 0))
        elif kind == SWAPPED:
            for group in range(groups):
                keyed[FIRST, group], keyed[FINAL, group] = keyed[FINAL, group], keyed[FIRST, group]
        elif kind == WRONG_PRECINCT:
            copy(other, keyed)
        else:
            keyed[row, column] = 0
        errors += differs(before, keyed)  # a zero left out, or two equal numbers exchanged, is no error
    return errors


@kernel
def _slipped(value: int, random_bits: int) -> int:
    """`value` with its last two digits exchanged, or one digit wrong."""
    tens, ones = value // 10 % 10, value % 10
    if value >= 10 and tens != ones and random_bits & 1:
        return value - tens * 10 - ones + ones * 10 + tens
    digit = 1
    while digit * 10 <= value and random_bits >> 1 & digit:
        digit *= 10
    slip = 1 + (random_bits >> 8) % 9
    current = value // digit % 10
    return value + ((current + slip) % 10 - current) * digit


@inner_kernel
def copy(source: Integers, target: Integers) -> None:
    """Make one record the same as another. In loops: numba takes seconds to compile an assignment to a slice."""
    for row in range(source.shape[0]):
        for column in range(source.shape[1]):
            target[row, column] = source[row, column]


@kernel
def differs(left: Integers, right: Integers) -> bool:
    """Whether two records differ in any number."""
    for row in range(left.shape[0]):
        for column in range(left.shape[1]):
            if left[row, column] != right[row, column]:
                return True
    return False
