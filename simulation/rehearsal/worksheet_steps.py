"""The worksheet's arithmetic in sentences and tables, for any language. Decides nothing: see `rules.outcomes`.

The same arithmetic as `rules.worksheet` prints in English for `caucus math`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction

from simulation.errors import InputError
from simulation.rehearsal import citations
from simulation.rehearsal.script import group_label
from simulation.rehearsal.view import Table, Text, say, say_many
from simulation.rules import Outcomes, Status, outcomes
from simulation.rules.law import threshold


def decimal(value: Fraction) -> str:
    """Three places, cut and not rounded, so that .4999 never reads as .5."""
    cut = int(value * 1000)
    return f"{cut // 1000}.{cut % 1000:03}".rstrip("0").rstrip(".") + ("" if cut == value * 1000 else "...")


def threshold_worked(delegates: int, attendance: int) -> Text:
    """How many people make a group viable, worked out."""
    people = threshold(delegates, attendance)
    if delegates <= 1:
        return say("One delegate: there are no preference groups and no threshold. Write 0.")
    if delegates == 2:
        exact = decimal(Fraction(attendance, 4))
        return say("{n} / 4 = {exact}. Rounded up: {people}.", n=attendance, exact=exact, people=people)
    if delegates == 3:
        exact = decimal(Fraction(attendance, 6))
        return say("{n} / 6 = {exact}. Rounded up: {people}.", n=attendance, exact=exact, people=people)
    exact = decimal(Fraction(3 * attendance, 20))
    return say("15 % of {n} = 3 x {n} / 20 = {exact}. Rounded up: {people}.", n=attendance, exact=exact, people=people)


def found(final: Mapping[str, int], delegates: int, attendance: int) -> Outcomes | None:
    """What the rules make of these numbers; None for numbers that no precinct can have."""
    try:
        return outcomes(list(final.values()), delegates, attendance)
    except InputError:
        return None


def award_table(final: Mapping[str, int], delegates: int, attendance: int) -> Table | None:
    """People times delegates divided by N for every group, and what that is rounded."""
    worked = found(final, delegates, attendance)
    if worked is None:
        return None
    rows: list[tuple[Text | str | int, ...]] = []
    for name, group in zip(final, worked.groups, strict=True):
        if group.viable:
            rows.append((group_label(name), group.size, decimal(group.quotient), group.rounded))
        else:
            rows.append((group_label(name), group.size, say("not viable"), 0))
    return Table(
        say("People x {delegates} / {n}, rounded", delegates=delegates, n=attendance),
        (say("Group"), say("People"), say("Exact"), say("Rounded")),
        tuple(rows),
    )


def award_worked(final: Mapping[str, int], delegates: int, attendance: int) -> tuple[Text, ...]:
    """From the rounded numbers to the award, in sentences."""
    worked = found(final, delegates, attendance)
    if worked is None:
        return (say("These numbers cannot be: look at N and at the counts again."),)
    names = list(final)
    total = sum(group.rounded for group in worked.groups)
    said: list[Text] = []
    if worked.status is Status.PLURALITY:
        said.append(say("The largest group elects the delegate."))
    elif worked.status is Status.DROPPED:
        said.append(say("More groups are viable than delegates are elected. The smallest get nothing."))
    elif worked.status is Status.EXACT:
        said.append(say("The rounded numbers add up to {total}. Nothing is to be corrected.", total=total))
    elif worked.status in {Status.GAINED, Status.BY_POLICY}:
        said.append(
            say_many(
                "The rounded numbers add up to {total}: {count} too few. It goes to the highest decimal below .5.",
                "The rounded numbers add up to {total}: {count} too few. They go to the highest decimals below .5.",
                delegates - total,
                total=total,
            )
        )
    elif worked.status is Status.GAVE_BACK:
        said.append(
            say_many(
                "The rounded numbers add up to {total}: {count} too many. "
                "The lowest decimal that was rounded up gives it back.",
                "The rounded numbers add up to {total}: {count} too many. "
                "The lowest decimals that were rounded up give them back.",
                total - delegates,
                total=total,
            )
        )
    if worked.status is Status.NO_AWARD:
        said.append(say("The law has no award for these numbers. One of the counts must be wrong."))
    elif worked.status is Status.BY_POLICY:
        said.append(say("The law gives each group one more at most. The rest follows from the party's own practice."))
    if worked.tied and worked.places:
        tied = listed([names[i] for i in worked.tied])
        said.append(say("Equal: {groups}. A coin decides.", groups=tied))
    elif worked.status is not Status.NO_AWARD:
        award = dict(zip(names, worked.settled, strict=True))
        said += [
            say_many("{group}: {count} delegate.", "{group}: {count} delegates.", seats, group=group_label(group))
            for group, seats in award.items()
            if seats
        ]
    return tuple(said)


def citations_of(final: Mapping[str, int], delegates: int, attendance: int) -> tuple[Text, ...]:
    """The sentences of the law that this award needs."""
    worked = found(final, delegates, attendance)
    status = worked.status if worked else Status.EXACT
    more = {
        Status.GAINED: (citations.TOO_FEW,),
        Status.BY_POLICY: (citations.TOO_FEW,),
        Status.GAVE_BACK: (citations.TOO_MANY,),
        Status.DROPPED: (citations.DROPPED,),
        Status.PLURALITY: (citations.MAJORITY,),
    }.get(status, ())
    coin = (citations.COIN,) if worked and worked.tied else ()
    return (citations.AWARD, *more, *coin) if status is not Status.PLURALITY else (*more, *coin)


def listed(groups: Sequence[str]) -> Text:
    """Groups by name, with commas."""
    return joined([group_label(group) for group in groups])


def joined(texts: Sequence[Text]) -> Text:
    """Texts with commas between them."""
    places = {f"text{i}": text for i, text in enumerate(texts)}
    return Text(", ".join(f"{{{name}}}" for name in places), places)


def of_groups(counts: Mapping[str, int]) -> Text:
    """Groups with their numbers: Sanders 3, Warren 1."""
    places: dict[str, Text | int] = {}
    for i, (group, people) in enumerate(counts.items()):
        places |= {f"group{i}": group_label(group), f"people{i}": people}
    return Text(", ".join(f"{{group{i}}} {{people{i}}}" for i in range(len(counts))), places)
