"""What one precinct's record breaks, in words with its numbers. The verdicts are `simulation.rules.record`'s."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from simulation.audit.results import Record
from simulation.audit.words import delegates, listed, name, people
from simulation.rules import law, outcomes, record
from simulation.rules.law import Status
from simulation.rules.outcomes import MOST_GROUPS

_FEW_AWARDS = 3  # lawful awards written out


def broken_rules(entry: Record, candidates: Sequence[str]) -> dict[str, str]:
    """The kinds of finding that one precinct's record shows by itself, each with its reason."""
    mask = record.check_totals(
        entry.first, entry.final, entry.awarded, entry.delegates, entry.first_total, entry.final_total
    )
    if not mask:
        return {}
    case = _Case(entry, [name(candidate) for candidate in candidates])
    return {code: _REASONS[code](case) for code in record.explain(mask)}


@dataclass(frozen=True, slots=True)
class _Case:
    """A record with its candidates' names and the two questions that most reasons ask."""

    record: Record
    names: list[str]

    def viable(self, size: int) -> bool:
        """Whether a group of this size is viable here."""
        return law.is_viable(size, self.record.delegates, self.record.first_total)

    @property
    def threshold(self) -> str:
        """The smallest viable group, with where it comes from."""
        part = {2: "1/4", 3: "1/6"}.get(self.record.delegates, "3/20")
        smallest = law.threshold(self.record.delegates, self.record.first_total)
        return f"threshold {smallest} of {self.record.first_total:,}, {part}"


def _final_exceeds_first(case: _Case) -> str:
    first, final = case.record.first_total, case.record.final_total
    return f"{people(final)} in the final alignment, {first:,} in the first: {final - first:,} more"


def _missing_alignment(case: _Case) -> str:
    first, final = case.record.first_total, case.record.final_total
    if first:
        return f"{people(first)} in the first alignment, none in the final one"
    return f"none in the first alignment, {people(final)} in the final one" if final else "no alignment was reported"


def _awarded_not_allotted(case: _Case) -> str:
    return f"{delegates(sum(case.record.awarded))} awarded, the precinct elects {case.record.delegates}"


def _award_not_by_rule(case: _Case) -> str:
    entry = case.record
    groups = [i for i, size in enumerate(entry.final) if size]
    awarded = listed(case.names, entry.awarded) or "nobody"
    if not 0 < len(groups) <= MOST_GROUPS:
        return f"awarded: {awarded}"
    names = [case.names[i] for i in groups]
    found = outcomes([entry.final[i] for i in groups], entry.delegates, entry.first_total)
    sizes = f"{listed(names, [entry.final[i] for i in groups])} of {entry.first_total:,} people"
    if found.status is Status.NO_AWARD and not any(group.viable for group in found.groups):
        return f"awarded: {awarded}; nobody is viable ({case.threshold}), so nobody is elected"
    if not found.awards:
        rounded = sum(group.rounded for group in found.groups)
        return (
            f"awarded: {awarded}; no award is lawful: {sizes} round to {rounded} delegates, and one correction a group "
            f"does not reach {entry.delegates}"
        )
    by_rule = " or ".join(listed(names, award) for award in found.awards[:_FEW_AWARDS])
    more = f" or {len(found.awards) - _FEW_AWARDS} others" if len(found.awards) > _FEW_AWARDS else ""
    return f"awarded: {awarded}; by the rules: {by_rule}{more} ({sizes})"


def _viable_group_shrank(case: _Case) -> str:
    moved = zip(case.names, case.record.first, case.record.final, strict=True)
    shrunk = (f"{who} from {first} to {final}" for who, first, final in moved if case.viable(first) and final < first)
    return f"viable at first alignment ({case.threshold}) and smaller at the final one: {', '.join(shrunk)}"


def _nonviable_awarded(case: _Case) -> str:
    groups = zip(case.names, case.record.final, case.record.awarded, strict=True)
    wrong = [(who, size, won) for who, size, won in groups if won and not case.viable(size)]
    told = "; ".join(f"{people(size)} for {who}, {delegates(won)}" for who, size, won in wrong)
    return f"not viable ({case.threshold}), but awarded: {told}"


def _viable_group_unawarded(case: _Case) -> str:
    groups = zip(case.names, case.record.final, case.record.awarded, strict=True)
    wrong = (f"{people(size)} for {who}" for who, size, won in groups if not won and case.viable(size))
    return f"viable ({case.threshold}), but got no delegate: {', '.join(wrong)}"


def _more_votes_fewer_delegates(case: _Case) -> str:
    groups = list(zip(case.names, case.record.final, case.record.awarded, strict=True))
    larger, smaller = next((a, b) for a in groups for b in groups if a[1] > b[1] and a[2] < b[2])
    return (
        f"{larger[0]} has {people(larger[1])} and {delegates(larger[2])}, "
        f"{smaller[0]} {people(smaller[1])} and {delegates(smaller[2])}"
    )


def _single_delegate_not_plurality(case: _Case) -> str:
    entry = case.record
    largest = max(entry.final)
    leaders = [who for who, size in zip(case.names, entry.final, strict=True) if size == largest]
    lead = f"the largest group is {' or '.join(leaders)} with {people(largest)}"
    if sum(entry.awarded) != 1:
        return f"{delegates(sum(entry.awarded))} awarded, the precinct elects 1; {lead}"
    winner = entry.awarded.index(1)
    return f"the delegate is {case.names[winner]}'s, who has {people(entry.final[winner])}; {lead}"


_REASONS: dict[str, Callable[[_Case], str]] = {
    "final_exceeds_first": _final_exceeds_first,
    "award_not_by_rule": _award_not_by_rule,
    "awarded_not_allotted": _awarded_not_allotted,
    "viable_group_shrank": _viable_group_shrank,
    "nonviable_awarded": _nonviable_awarded,
    "viable_group_unawarded": _viable_group_unawarded,
    "more_votes_fewer_delegates": _more_votes_fewer_delegates,
    "missing_alignment": _missing_alignment,
    "single_delegate_not_plurality": _single_delegate_not_plurality,
}
