"""Columns that seem to be shifted: numbers that fit much better one column further to the left or right.

Two signs. Between the alignments: a viable group is gone, and the empty column beside it holds one of about its size.
Against the file: a record fits what the candidates got in the other precincts far better once a run of neighboring
columns is moved by one. In Iowa 2020, release 85 % showed Sanders's people under Patrick and Warren's under Steyer in
55 precincts. Evidence, not law: the only place of the audit with floats.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import log10
from typing import NamedTuple

from simulation.audit.results import Record
from simulation.audit.words import name, people
from simulation.rules.law import is_viable

FEWEST_RECORDS = 100  # with fewer, what is usual for a candidate is not known
# How alike precincts are: a candidate's share varies as if drawn anew for every so many people (beta-binomial). What
# fits Iowa 2020 best is 25 at the first alignment and 3.5 at the final one, where the nonviable are gone (C, maximum
# likelihood); less leaves room for small counties with a taste of their own.
FIRST_CONCENTRATION, FINAL_CONCENTRATION = 10, 3
SURE = 5  # decimal orders of magnitude by which a move must fit better, standing for itself: 100,000 times
SET_ASIDE = 3  # from here on a record is not asked what is usual
MOST_GROWTH = 2  # 10 of the 4,665 viable groups of 2020 that stayed grew to more than twice their size (C)


class Move(NamedTuple):
    """The columns from `start` to `stop` (inclusive) moved by one; who falls off one end comes in at the other."""

    start: int
    stop: int
    right: bool

    def source(self, column: int) -> int:
        """The column of the run whose number stands in `column` after the move."""
        step = -1 if self.right else 1
        return self.start + (column - self.start + step) % (self.stop - self.start + 1)


class Sign(NamedTuple):
    """What speaks for a shift in one record."""

    move: Move
    gain: float  # decimal orders of magnitude by which it fits better
    others: int  # records that surely have this very move
    counts: Sequence[int]  # the alignment that shows it


def suspected(records: Sequence[Record], candidates: Sequence[str]) -> dict[int, str]:
    """The records with a suspected shift, by index, with what speaks for it. Satellites are not looked at."""
    present = [index for index, record in enumerate(records) if not record.satellite and any(record.first)]
    signs = against_the_file([records[index].first for index in present], [records[index].final for index in present])
    found = {present[position]: _told(sign, candidates) for position, sign in signs.items()}
    for index, record in enumerate(records):
        between = "" if record.satellite else _between_alignments(record, candidates)
        if between:
            found[index] = f"{found[index]}; {between}" if index in found else between
    return found


def against_the_file(first: Sequence[Sequence[int]], final: Sequence[Sequence[int]]) -> dict[int, Sign]:
    """Records that fit the others better when moved, by index; counts by candidate, one entry a record.

    First alignments that do so by far are set aside, then asked again, so that a batch of shifted rows does not become
    usual. Every move starts with long odds against it, SURE; one found in others starts with their share of the file.
    A final alignment is asked about the moves that were found.
    """
    if len(first) < FEWEST_RECORDS or len(first[0]) < 2:
        return {}
    usual = _Usual.of(first, FIRST_CONCENTRATION)
    everything = range(len(first))
    plain = [index for index in everything if _best_move(usual.fit(first[index]))[1] < SET_ASIDE] or everything
    usual = _Usual.of([first[index] for index in plain], FIRST_CONCENTRATION, first)
    fits = [usual.fit(counts) for counts in first]
    best = [_best_move(fit) for fit in fits]
    sure = Counter(move for move, gain in best if gain >= SURE)
    finally_usual = _Usual.of([final[index] for index in plain], FINAL_CONCENTRATION, final)

    found = {}
    for index, fit in enumerate(fits):
        move, gain = best[index]
        odds = gain - SURE
        for other, times in sure.items():
            gain_of_other = _gain(fit, other)
            if gain_of_other + log10(times / len(first)) > odds:
                move, gain, odds = other, gain_of_other, gain_of_other + log10(times / len(first))
        if odds >= 0:
            found[index] = Sign(
                move, gain, sure[move] - (best[index][0] == move and best[index][1] >= SURE), first[index]
            )
        elif sure:
            final_fit = finally_usual.fit(final[index])
            move = max(sure, key=lambda move: _gain(final_fit, move) + log10(sure[move]))
            gain = _gain(final_fit, move)
            if gain >= SURE:
                found[index] = Sign(move, gain, sure[move], final[index])
    return found


def _between_alignments(record: Record, candidates: Sequence[str]) -> str:
    """A viable group that is gone and appears in the empty column beside it; nothing where the totals are corrupt."""
    if record.delegates < 2 or record.final_total > record.first_total:
        return ""
    for column, size in enumerate(record.first):
        if record.final[column] == 0 and is_viable(size, record.delegates, record.first_total):
            for beside in (column - 1, column + 1):
                if 0 <= beside < len(candidates) and record.first[beside] == 0:
                    grown = record.final[beside]
                    if size <= grown <= MOST_GROWTH * size:
                        return (
                            f"{name(candidates[column])} had {people(size)} at first alignment and 0 at the final one, "
                            f"{name(candidates[beside])} in the next column 0 and then {grown}"
                        )
    return ""


@dataclass(frozen=True, slots=True)
class _Usual:
    """What is usual for each candidate: logarithms (base 10) of a beta-binomial law, without what all moves share."""

    for_it: list[list[float]]  # [candidate][people who stand for the candidate]
    against: list[list[float]]  # [candidate][people who do not]

    @classmethod
    def of(cls, usual: Sequence[Sequence[int]], concentration: int, asked: Collection[Sequence[int]] = ()) -> _Usual:
        """From the counts that are `usual`, for those that will be `asked` about (the same, where none are named)."""
        totals = [sum(column) for column in zip(*usual, strict=True)]
        everybody = sum(totals) + len(totals)
        largest = max(map(sum, asked or usual))
        for_it, against = [], []
        for total in totals:
            weight = concentration * (total + 1) / everybody  # one more for everybody: nobody is impossible
            for_it.append(_rising(weight, largest))
            against.append(_rising(concentration - weight, largest))
        return cls(for_it, against)

    def fit(self, counts: Sequence[int]) -> list[list[float]]:
        """[candidate][column]: how much better the number in that column would fit the candidate than the own one."""
        total = sum(counts)
        table = []
        for own, mine, rest in zip(counts, self.for_it, self.against, strict=True):
            as_it_stands = mine[own] + rest[total - own]
            table.append([mine[count] + rest[total - count] - as_it_stands for count in counts])
        return table


def _rising(start: float, steps: int) -> list[float]:
    """log10 of start x (start + 1) x ... , 0 to `steps` factors."""
    return list(accumulate((log10(start + step) for step in range(steps)), initial=0.0))


def _gain(fit: Sequence[Sequence[float]], move: Move) -> float:
    return sum(fit[column][move.source(column)] for column in range(move.start, move.stop + 1))


def _best_move(fit: Sequence[Sequence[float]]) -> tuple[Move, float]:
    """The move that gains most, by running sums over the runs of columns."""
    columns = len(fit)
    best, most = Move(0, 0, True), 0.0
    for start in range(columns - 1):
        right = left = 0.0
        for stop in range(start + 1, columns):
            right += fit[stop][stop - 1]
            left += fit[stop - 1][stop]
            if right + fit[start][stop] > most:
                best, most = Move(start, stop, True), right + fit[start][stop]
            if left + fit[stop][start] > most:
                best, most = Move(start, stop, False), left + fit[stop][start]
    return best, most


def _told(sign: Sign, candidates: Sequence[str]) -> str:
    run = range(sign.move.start, sign.move.stop + 1)
    stands = ", ".join(f"{name(candidates[column])} {sign.counts[column]}" for column in run)
    moved = ", ".join(f"{name(candidates[column])} {sign.counts[sign.move.source(column)]}" for column in run)
    times = f"over {10 ** int(sign.gain):,}" if sign.gain < 9 else "over a billion"
    others = f"; {sign.others} other {'precincts gain' if sign.others > 1 else 'precinct gains'} by the same move"
    return (
        f"{stands}: one column to the {'right' if sign.move.right else 'left'} ({moved}) fits the other precincts "
        f"{times} times better{others if sign.others else ''}"
    )
