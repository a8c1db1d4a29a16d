"""A precinct's record: which rules its numbers break. Plain integers; knows nothing of how it came about.

A record is the first alignment, the final alignment and the delegates awarded, by group, and the delegates that the
precinct elects. Attendance, which parties do not publish, is the total of the first alignment. Rules of 2020.
`audit` compiles these very functions, `simulation.audit` calls them as they stand.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from simulation.rules.law import is_lawful, is_viable

if TYPE_CHECKING:
    from simulation.rules.law import Counts

FINAL_EXCEEDS_FIRST = 1 << 0
VIABLE_GROUP_SHRANK = 1 << 1
AWARD_NOT_BY_RULE = 1 << 2
AWARDED_NOT_ALLOTTED = 1 << 3
NONVIABLE_AWARDED = 1 << 4
VIABLE_GROUP_UNAWARDED = 1 << 5
MORE_VOTES_FEWER_DELEGATES = 1 << 6
MISSING_ALIGNMENT = 1 << 7
SINGLE_DELEGATE_NOT_PLURALITY = 1 << 8


class Kind(NamedTuple):
    """One kind of finding: its bit, what it means, which rule is broken and what to do about it, one line each."""

    bit: int  # in what `check` returns; 0 for what one record alone cannot show
    meaning: str
    rule: str
    remedy: str


KINDS = {
    "final_exceeds_first": Kind(
        FINAL_EXCEEDS_FIRST,
        "more people in the final alignment than in the first",
        "attendance is frozen at the first alignment, nobody joins later",
        "compare both counts with the worksheet; look for a swapped or shifted column",
    ),
    "award_not_by_rule": Kind(
        AWARD_NOT_BY_RULE,
        "the delegates are none of the awards that the rules allow, or the rules allow none",
        "size x delegates / attendance, rounded half up, one correction a group",
        "work the sum again with `caucus math`; a signed worksheet binds until a recanvass",
    ),
    "awarded_not_allotted": Kind(
        AWARDED_NOT_ALLOTTED,
        "more or fewer delegates awarded than the precinct elects",
        "a precinct elects exactly the delegates that its county party allotted",
        "ask the chair which group's delegates were left out or counted twice",
    ),
    "viable_group_shrank": Kind(
        VIABLE_GROUP_SHRANK,
        "a group that was viable at the first alignment is smaller at the final one",
        "a viable group is locked: its members stay (2020)",
        "compare the group's two counts with the worksheet and the preference cards",
    ),
    "nonviable_awarded": Kind(
        NONVIABLE_AWARDED,
        "a group below the threshold in the final alignment was awarded delegates",
        "only viable groups elect delegates",
        "check the group's final count, then the threshold that the chair used",
    ),
    "viable_group_unawarded": Kind(
        VIABLE_GROUP_UNAWARDED,
        "a group that is viable in the final alignment was awarded nothing",
        "no viable group loses its only delegate, unless more groups are viable than delegates are elected",
        "check from which group the chair took the delegate that was one too many",
    ),
    "more_votes_fewer_delegates": Kind(
        MORE_VOTES_FEWER_DELEGATES,
        "a group was awarded fewer delegates than a smaller one",
        "delegates follow the size of the group",
        "look for two groups whose counts or delegates were exchanged",
    ),
    "missing_alignment": Kind(
        MISSING_ALIGNMENT,
        "the first or the final alignment is missing; the award was not checked",
        "both alignments are reported",
        "ask the chair for the missing count",
    ),
    "single_delegate_not_plurality": Kind(
        SINGLE_DELEGATE_NOT_PLURALITY,
        "the one delegate is not with a largest group, or not exactly one was awarded",
        "one delegate: no preference groups, the room elects by majority",
        "ask the chair who was elected: the room may have voted otherwise than it stood",
    ),
}


def broken_by_alignment(first: Counts, final: Counts, delegates: int, attendance: int, final_total: int) -> int:
    """What the two alignments, one entry a group, break: a sum of FINAL_EXCEEDS_FIRST and VIABLE_GROUP_SHRANK.

    A viable group may shrink where more groups were viable than delegates are elected (they must merge), and where one
    delegate is elected (no preference groups). Where the final total is too large, the counts say nothing about a
    single group.
    """
    if final_total > attendance:
        return FINAL_EXCEEDS_FIRST
    viable = 0
    shrank = False
    for i in range(len(first)):
        if is_viable(first[i], delegates, attendance):
            viable += 1
            shrank = shrank or final[i] < first[i]
    if shrank and delegates > 1 and viable <= delegates:
        return VIABLE_GROUP_SHRANK
    return 0


def check(first: Counts, final: Counts, awarded: Counts, delegates: int) -> int:
    """What is wrong with a record: the sum of the bits of KINDS, 0 for a clean one. One entry a group."""
    first_total = 0
    final_total = 0
    for i in range(len(first)):
        first_total += first[i]
        final_total += final[i]
    return check_totals(first, final, awarded, delegates, first_total, final_total)


def check_totals(
    first: Counts, final: Counts, awarded: Counts, delegates: int, first_total: int, final_total: int
) -> int:
    """`check` where the totals of the alignments were published for themselves.

    Precincts that elect one delegate have their own kind and none of the others about awards and viability. Where an
    alignment is missing, only the totals are compared.
    """
    groups = len(first)
    attendance = first_total
    found = broken_by_alignment(first, final, delegates, attendance, final_total)
    if attendance == 0 or final_total == 0:
        return (found & FINAL_EXCEEDS_FIRST) | MISSING_ALIGNMENT

    awarded_total = 0
    most = 0
    for i in range(groups):
        awarded_total += awarded[i]
        most = max(most, final[i])
    if delegates == 1:
        with_a_leader = awarded_total == 1
        for i in range(groups):
            if awarded[i] != 0 and (awarded[i] != 1 or final[i] != most):
                with_a_leader = False
        return found if with_a_leader else found | SINGLE_DELEGATE_NOT_PLURALITY

    if awarded_total != delegates:
        found |= AWARDED_NOT_ALLOTTED
    if not is_lawful(final, delegates, attendance, awarded):
        found |= AWARD_NOT_BY_RULE
    viable = 0
    unawarded = False
    for i in range(groups):
        if is_viable(final[i], delegates, attendance):
            viable += 1
            unawarded = unawarded or awarded[i] <= 0
        elif awarded[i] > 0:
            found |= NONVIABLE_AWARDED
        for j in range(groups):
            if final[i] > final[j] and awarded[i] < awarded[j]:
                found |= MORE_VOTES_FEWER_DELEGATES
    if unawarded and viable <= delegates:
        found |= VIABLE_GROUP_UNAWARDED
    return found


def explain(mask: int) -> list[str]:
    """The codes of a `check`, in the order of KINDS."""
    return [code for code, kind in KINDS.items() if mask & kind.bit]
