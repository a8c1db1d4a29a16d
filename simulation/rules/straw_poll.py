"""The Republican straw poll: a secret ballot, no alignment and no delegates; count, announce, certify.

What a precinct announces on the night goes to headquarters by phone or app; Form E, signed and mailed in, is the
certified record. Source: Republican Party of Iowa, caucus results of 2012. Knows no clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

Votes = Mapping[str, int]  # by candidate


@dataclass(frozen=True, slots=True)
class Standing:
    """Who is ahead in a count."""

    votes: dict[str, int]  # most first; equal ones by name

    @classmethod
    def of(cls, votes: Votes) -> Standing:
        """The standing of a count in any order."""
        return cls(dict(sorted(votes.items(), key=lambda item: (-item[1], item[0]))))

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

    announced: Standing  # as on the night
    certified: Standing  # by the Forms E

    @property
    def winner_changed(self) -> bool:
        """Whether the certified record names another winner than the night did."""
        return self.announced.leaders != self.certified.leaders

    @property
    def shift(self) -> int:
        """Votes by which the announced leader's lead over everybody else is larger than by the Forms E."""
        if not self.announced.leaders:
            return 0
        leader = self.announced.leaders[0]
        others = (votes for name, votes in self.certified.votes.items() if name != leader)
        return self.announced.margin - (self.certified.votes.get(leader, 0) - max(others, default=0))


def certify(announced: Votes, form_e: Votes) -> Certification:
    """Hold the totals of the night against those of the Forms E. A candidate without a vote may be left out."""
    return Certification(Standing.of(announced), Standing.of(form_e))
