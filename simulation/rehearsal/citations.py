"""The law and the rules of a rehearsal, one short sentence each, as a chair hears them. Decides nothing.

Sources: Iowa Democratic Party, delegate selection plan (2016, 2020), caucus guide, rules of recanvass and recount. A
"rule of this rehearsal" is ours. The law itself, as code, is `simulation.rules`.
"""

from __future__ import annotations

from simulation.rehearsal.view import Text, say

IN_LINE = say("Delegate Selection Plan: whoever stands in line at the call to order may take part.")
ON_THE_SPOT = say("Caucus guide: people may register, or change their registration, at the caucus.")
OWN_PRECINCT = say("Caucus guide: people take part in the precinct in which they live.")
OPENING = say("Caucus guide: the caucus elects a permanent chair and a secretary before it aligns.")
FROZEN = say(
    "Delegate Selection Plan: N is counted before the first alignment and frozen. It stays, even when people leave."
)
CHECKED_IN = say("Caucus guide: only people who checked in count. More counted than checked in means: count again.")
NO_GROUPS = say(
    "Delegate Selection Plan: with one delegate there are no preference groups. The room elects by majority."
)
QUARTER = say("Delegate Selection Plan: with 2 delegates the threshold is a quarter of N, rounded up.")
SIXTH = say("Delegate Selection Plan: with 3 delegates the threshold is a sixth of N, rounded up.")
FIFTEEN = say("Delegate Selection Plan: threshold 15 %, rounded up.")
LOCKED = say("Delegate Selection Plan 2020: a viable group is locked. Its people stay in it.")
FREE = say("Delegate Selection Plan 2016: in a realignment anybody may move.")
MAY_MOVE = say(
    "Delegate Selection Plan: people of a group that is not viable may join another group, combine, or leave."
)
ONE_REALIGNMENT = say("Delegate Selection Plan 2020: there is one realignment only.")
REPEATED = say("Delegate Selection Plan 2016: a realignment may be repeated.")
FINAL = say("Delegate Selection Plan: the final alignment cannot have more people than N.")
AWARD = say(
    "Delegate Selection Plan: people times delegates divided by N, rounded to the nearest whole number. "
    "One half is rounded up."
)
TOO_FEW = say("Delegate Selection Plan: too few delegates? The highest decimals below .5 get one more.")
TOO_MANY = say(
    "Delegate Selection Plan: too many delegates? The lowest decimals that were rounded up give one back. "
    "No group loses its only delegate."
)
DROPPED = say(
    "Delegate Selection Plan: more viable groups than delegates? The smallest groups get nothing, "
    "the others get one each."
)
MAJORITY = say("Delegate Selection Plan: one delegate goes to the largest group.")
COIN = say("Delegate Selection Plan: equal decimals are decided by a coin toss.")
AWARDS = (AWARD, TOO_FEW, TOO_MANY, DROPPED, COIN)  # all of them: which one is needed is the chair's to see
AWARD_OF_ONE = (MAJORITY, COIN)
SIGNED = say(
    "Recanvass rules: a signed worksheet binds, even when its sum is wrong. So whoever changes it has it signed again."
)
SAME = say("Recanvass rules: what is reported must be the signed worksheet, number by number.")
ALLOTTED = say("Delegate Selection Plan: a precinct elects exactly the delegates that it was allotted.")
BALLOT = say("Rules of the straw poll: every vote is counted, and the count is announced and reported as it is.")
FALLBACK = say("Rule of this rehearsal: when the app fails, take another way within ten minutes of the night's clock.")
REPORT = say("Rule of this rehearsal: an evening is over when headquarters has the result.")
CALM = say("Rule of this rehearsal: the room goes by the worksheet and the law, whoever calls.")
SAFETY = say("Rule of this rehearsal: nobody is turned away because a room is too small.")


def threshold(delegates: int) -> Text:
    """What the law says of viability where so many delegates are elected."""
    if delegates <= 1:
        return NO_GROUPS
    return {2: QUARTER, 3: SIXTH}.get(delegates, FIFTEEN)
