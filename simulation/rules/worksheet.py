"""Caucus math on paper: the worksheet of one precinct as JSON, or step by step for the people in the room.

The answer of `caucus math`; nothing to compile, nothing heavy to import. Decides nothing: see `outcomes` and `law`.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import Any

from simulation.rules.law import Status
from simulation.rules.outcomes import Award, Outcomes, outcomes

_COLUMNS = 88
_LISTED = 12  # awards written out before the worksheet says how many more there are


def worksheet_json(sizes: Sequence[int], delegates: int, attendance: int) -> dict[str, Any]:
    """The answer of `caucus math --json`.

    `outcomes` is a list of awards, each in the order of the groups given. `by_policy` is null where a lawful award
    exists or the named policy has no answer either; its one award as a flat list, [5, 5]; a list of awards where the
    policy meets a tie. Raises InputError as `outcomes` does.
    """
    found = outcomes(sizes, delegates, attendance)
    by_policy = [list(award) for award in found.by_policy or ()]
    return {
        "delegates": delegates,
        "attendance": attendance,
        "threshold": found.threshold,
        "groups": [
            {"size": group.size, "viable": group.viable, "quotient": str(group.quotient), "rounded": group.rounded}
            for group in found.groups
        ],
        "outcomes": [list(award) for award in found.awards],
        "tie": found.tie,
        "by_policy": by_policy[0] if len(by_policy) == 1 else by_policy or None,
    }


def worksheet_text(sizes: Sequence[int], delegates: int, attendance: int) -> str:
    """The worksheet as a chair would fill it in, step by step, in 88 columns; ends without a line break.

    Raises InputError as `outcomes` does.
    """
    found = outcomes(sizes, delegates, attendance)
    steps = [_count(found), _viability(found)]
    if found.status is Status.PLURALITY:
        steps.append(_plurality(found))
    elif found.status is Status.DROPPED:
        steps.append(_drop_out(found))
    elif any(group.viable for group in found.groups):
        steps += [_rounding(found), _correction(found)]
    steps.append(_result(found))
    return "\n\n".join("\n".join(step) for step in steps)


def _count(found: Outcomes) -> list[str]:
    counted = sum(group.size for group in found.groups)
    if counted < found.attendance:
        note = f"({found.attendance - counted} left or stand in no group; N stays as it was)"
    elif counted > found.attendance:
        note = "(more than N: one of the counts must be wrong)"
    else:
        note = ""
    return [
        "Caucus math worksheet",
        "",
        f"   Delegates to elect      D = {found.delegates}",
        f"   Eligible attendees      N = {found.attendance}  (frozen at the first alignment)",
        f"   People in the groups        {counted}  {note}".rstrip(),
    ]


def _viability(found: Outcomes) -> list[str]:
    n, least = found.attendance, found.threshold
    lines = ["1. Viability"]
    if least is None:
        lines += _say("One delegate: no preference groups and no threshold, the room elects by majority.")
    else:
        elected, part, formula, exact = {
            2: ("2 delegates", "a quarter", f"{n} / 4", Fraction(n, 4)),
            3: ("3 delegates", "a sixth", f"{n} / 6", Fraction(n, 6)),
        }.get(found.delegates, ("4 delegates or more", "15 %", f"3 x {n} / 20", Fraction(3 * n, 20)))
        lines += _say(f"With {elected}, a group needs {part} of the attendees, always rounded up:")
        lines += _say(f"{formula} = {_decimal(exact)}, so {_counted(least, 'person', 'people')}.")
    lines += ["", "   group    people    viable"]
    for number, group in enumerate(found.groups, 1):
        verdict = "yes" if group.viable else f"no, {(least or 1) - group.size} short" if group.size else "no, empty"
        lines.append(f"   {number:>5}{group.size:>10}    {verdict}")
    return lines


def _plurality(found: Outcomes) -> list[str]:
    most = max(group.size for group in found.groups)
    leaders = [i for i, group in enumerate(found.groups) if group.size == most]
    if found.tied:
        return ["2. The delegate", *_say(f"{_named(leaders)} are level at {most}. A coin decides.")]
    return ["2. The delegate", *_say(f"{_named(leaders)} is the largest, with {most}, and elects the delegate.")]


def _drop_out(found: Outcomes) -> list[str]:
    viable = sum(group.viable for group in found.groups)
    out = [i for i, group in enumerate(found.groups) if group.viable and not found.settled[i] and i not in found.tied]
    lines = ["2. More viable groups than delegates"]
    lines += _say(
        f"{viable} groups are viable, {found.delegates} delegates are elected: the smallest drop out until"
        f" {found.delegates} are left, and each of those gets 1."
    )
    if out:
        lines += _say(f"Out: {_named(out)}.")
    if found.tied:
        size = found.groups[found.tied[0]].size
        lines += _say(f"{_named(found.tied)} are level at {size}; {found.places} of them may stay. A coin decides.")
    return lines


def _rounding(found: Outcomes) -> list[str]:
    lines = ["2. Delegates by group"]
    lines += _say(
        f"people x D / N = people x {found.delegates} / {found.attendance}, rounded to the nearest whole, .5 up"
        " (decimals are cut after four places, the fraction is exact)"
    )
    lines += ["", "   group    people    quotient                      rounded"]
    for number, group in enumerate(found.groups, 1):
        if group.viable:
            quotient = f"{_decimal(group.quotient)} ({group.quotient})"
            lines.append(f"   {number:>5}{group.size:>10}    {quotient:<26}{group.rounded:>11}")
    lines.append(f"   {'sum':>5}{_rounded_sum(found):>51}")
    return lines


def _correction(found: Outcomes) -> list[str]:
    rounded, wanted = _rounded_sum(found), found.delegates
    lines = ["3. Correction"]
    if found.status is Status.EXACT:
        return [*lines, *_say(f"The sum is {rounded}, as it should be: nothing to correct.")]
    few_or_many = "few" if rounded < wanted else "many"
    lines += _say(f"The sum is {rounded}, that is {abs(wanted - rounded)} too {few_or_many} for {wanted}.")
    rounded_up = {i for i, group in enumerate(found.groups) if 2 * group.decimal >= 1}
    below_half = [i for i, group in enumerate(found.groups) if group.viable and i not in rounded_up]
    changed = [i for i, group in enumerate(found.groups) if found.settled[i] != group.rounded]
    if found.status is Status.GAINED:
        lines += _say("The groups with the highest decimals below .5 get one more, one each.")
        lines += _moved(found, changed, found.tied)
    elif found.status is Status.GAVE_BACK:
        lines += _say(
            "The groups with the lowest decimals of those rounded up give one back, one each; no group gives its only"
            " delegate."
        )
        lines += _moved(found, [i for i in changed if i in rounded_up], [i for i in found.tied if i in rounded_up])
        others = _moved(found, [i for i in changed if i in below_half], [i for i in found.tied if i in below_half])
        if others:
            lines += _say(
                "No further group that was rounded up can give one. By the named policy it comes from the lowest"
                " decimal among the groups that hold more than one:"
            )
        lines += others
    elif found.status is Status.BY_POLICY:
        lines += _say(
            "The law adds one to a group with a decimal below .5, and only once:"
            f" {_named(below_half) or 'there is none'}. That makes {rounded + len(below_half)} of {wanted}."
        )
    else:
        able = [i for i, group in enumerate(found.groups) if group.rounded >= 2]
        lines += _say(
            "The law takes one from a group, only once, and never its only delegate:"
            f" {_named(able) or 'nobody can give'}. That leaves {rounded - len(able)} for {wanted}."
        )
    return lines


def _moved(found: Outcomes, changed: Iterable[int], tied: Sequence[int]) -> list[str]:
    """Who gained or gave, and who tosses for it, a line each."""
    did = "gets one more" if found.swing > 0 else "gives one back"
    lines = []
    for i in changed:
        group = found.groups[i]
        lines.append(f"     {_named([i])} ({_decimal(group.decimal)}) {did}: {group.rounded} -> {found.settled[i]}")
    if tied:
        decimal = found.groups[tied[0]].decimal
        verb = did.replace("gets", "get").replace("gives", "give") if found.places > 1 else did
        lines += _say(
            f"{_named(tied)} have the same decimal, {_decimal(decimal)} ({decimal}): {found.places} of them {verb}."
            " A coin decides."
        )
    return lines


def _result(found: Outcomes) -> list[str]:
    if found.status is Status.NO_AWARD:
        if any(group.viable for group in found.groups):
            return ["Result: no lawful award, and no named policy for it: one of the counts must be wrong."]
        return ["Result: nobody is viable, so nobody is elected."]
    if found.status is Status.BY_POLICY:
        policy = found.by_policy or ()
        coin = f", by coin toss to one of these {len(policy):,}" if len(policy) > 1 else ""
        return [
            "Result: no lawful award.",
            *_say(
                "Apart from the law, the named policy goes on, one each to all viable groups, the highest decimal"
                f" first, round and round until {found.delegates} are reached{coin}:"
            ),
            *_listed(policy),
        ]
    if found.tie:
        heading = f"Result: one of these {len(found.awards):,}, by coin toss (in the order of the groups)"
        return [heading, *_listed(found.awards)]
    return ["Result (in the order of the groups)", *_listed(found.awards)]


def _listed(awards: Sequence[Award]) -> list[str]:
    lines = ["     " + " / ".join(map(str, award)) for award in awards[:_LISTED]]
    if len(awards) > _LISTED:
        lines.append(f"     and {len(awards) - _LISTED:,} more")
    return lines


def _rounded_sum(found: Outcomes) -> int:
    return sum(group.rounded for group in found.groups)


def _named(groups: Sequence[int]) -> str:
    """Groups by number: Group 2; Groups 1, 3 and 4; nothing for none."""
    numbers = [str(i + 1) for i in groups]
    if len(numbers) < 2:
        return "".join(f"Group {number}" for number in numbers)
    return f"Groups {', '.join(numbers[:-1])} and {numbers[-1]}"


def _counted(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"


def _decimal(value: Fraction) -> str:
    """Four places, cut and not rounded: rounding would show .49999 as .5, on the wrong side of the law."""
    cut = int(value * 10_000)
    return f"{cut // 10_000}.{cut % 10_000:04}{'' if cut == value * 10_000 else '...'}"


def _say(sentence: str) -> list[str]:
    return textwrap.wrap(sentence, _COLUMNS, initial_indent="   ", subsequent_indent="   ")
