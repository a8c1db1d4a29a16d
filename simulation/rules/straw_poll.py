"""The Republican straw poll: a secret ballot, no alignment and no delegates; count, announce, certify.

What a precinct announces on the night goes to headquarters by phone or app; Form E, signed and mailed in, is the
certified record. Source: Republican Party of Iowa, caucus results of 2012. Knows no clock.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

Votes = Mapping[str, int]  # by candidate


def tally(ballots: Iterable[str]) -> dict[str, int]:
    """The votes of one room, most first; equal ones by name."""
    return dict(sorted(Counter(ballots).items(), key=lambda votes: (-votes[1], votes[0])))


@dataclass(frozen=True, slots=True)
class Standing:
    """Who is ahead in a count."""

    votes: dict[str, int]  # most first

    @property
    def leaders(self) -> tuple[str, ...]:
        """The winner; several where they are level, nobody where no vote was counted."""
        most = max(self.votes.values(), default=0)
        return tuple(candidate for candidate, votes in self.votes.items() if votes == most > 0)

    @property
    def margin(self) -> int:
        """Votes between the first and the second; 0 where several lead."""
        first, second, *_ = [*self.votes.values(), 0, 0]
        return first - second


@dataclass(frozen=True, slots=True)
class Certification:
    """The night's count held against the Forms E."""

    announced: Standing  # of all precincts, as on the night
    certified: Standing  # of the precincts whose Form E came in
    expected: int  # precincts
    differing: tuple[str, ...]  # both are there, and their numbers differ
    uncertified: tuple[str, ...]  # no Form E was found
    unannounced: tuple[str, ...]  # a Form E, but nothing on the night

    @property
    def winner_changed(self) -> bool:
        """Whether the certified record names another winner than the night did."""
        return self.announced.leaders != self.certified.leaders


def certify(
    announced: Mapping[str, Votes], form_e: Mapping[str, Votes], precincts: Collection[str] = ()
) -> Certification:
    """Compare what the precincts announced with their Forms E; `precincts` also names those that have neither.

    A precinct without Form E counts on the night only: the certified record knows nothing of it. Candidates without a
    vote in a precinct may be left out there.
    """
    expected = sorted({*announced, *form_e, *precincts})
    return Certification(
        announced=_standing(announced),
        certified=_standing(form_e),
        expected=len(expected),
        differing=tuple(
            place
            for place in expected
            if place in announced and place in form_e and _cast(announced[place]) != _cast(form_e[place])
        ),
        uncertified=tuple(place for place in expected if place not in form_e),
        unannounced=tuple(place for place in expected if place in form_e and place not in announced),
    )


def _standing(count: Mapping[str, Votes]) -> Standing:
    total: Counter[str] = Counter()
    for votes in count.values():
        total.update(votes)
    return Standing(dict(sorted(total.items(), key=lambda item: (-item[1], item[0]))))


def _cast(votes: Votes) -> dict[str, int]:
    return {candidate: count for candidate, count in votes.items() if count}
