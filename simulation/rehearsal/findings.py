"""What the checks of headquarters find in a report, in words: at a desk and on the telephone. Decides nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from simulation.rehearsal.view import Text, say
from simulation.rules.record import KINDS

ATTENDANCE = "attendance"  # found where people report N; the other codes are those of `rules.record`

_FINDINGS: Mapping[str, Text] = {
    "final_exceeds_first": say("There are more people in the final alignment than in the first."),
    "award_not_by_rule": say("The delegates are none of the awards that the rules allow."),
    "awarded_not_allotted": say("More or fewer delegates are awarded than the precinct elects."),
    "viable_group_shrank": say("A group that was viable at first is smaller in the end."),
    "nonviable_awarded": say("A group below the threshold was awarded delegates."),
    "viable_group_unawarded": say("A viable group was awarded nothing."),
    "more_votes_fewer_delegates": say("A group was awarded fewer delegates than a smaller one."),
    "missing_alignment": say("The first or the final alignment is missing."),
    "single_delegate_not_plurality": say("The one delegate is not with the largest group."),
    ATTENDANCE: say("The first alignment does not add up to the people counted."),
}
assert {*KINDS, ATTENDANCE} == set(_FINDINGS)


def findings(codes: Sequence[str]) -> tuple[Text, ...]:
    """What the checks found, for people."""
    return tuple(_FINDINGS[code] for code in codes if code in _FINDINGS)
