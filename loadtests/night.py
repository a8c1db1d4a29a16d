"""What chairs of a night know of their sites before anybody comes, and a lawful report of each.

Made of the scenario alone; nothing is played. Knows nothing of how a backend is spoken to.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from loadtests.accounts import Account, Accounts
from loadtests.contract import Report, Site
from simulation.rules.outcomes import outcomes

if TYPE_CHECKING:
    from simulation.scenario import Scenario

_SMALLEST = 20  # people: enough for two viable groups wherever delegates are elected


@dataclass(frozen=True, slots=True)
class Night:
    """What is known of the sites from the scenario: the chair's own knowledge."""

    sites: tuple[Site, ...]
    expected: Mapping[str, int]  # people, by code
    satellites: frozenset[str]
    ballot: bool  # a straw poll: no groups, no delegates

    @classmethod
    def of(cls, scenario: Scenario) -> Night:
        """The sites of a scenario."""
        roster = scenario.roster
        groups = tuple(roster.candidates or scenario.spec.preference.candidates)
        sites = tuple(
            Site(
                roster.code(at),
                roster.ids[at],
                roster.counties[at],
                roster.precincts[at],
                int(roster.delegates[at]),
                groups,
            )
            for at in range(len(roster))
        )
        return cls(
            sites=sites,
            expected={site.code: int(roster.attendance[at]) for at, site in enumerate(sites)},
            satellites=frozenset(site.code for at, site in enumerate(sites) if bool(roster.satellite[at])),
            ballot=scenario.spec.alignment.rules == "straw-poll",
        )

    def report(self, site: Site) -> Report:
        """A lawful report: everybody in two groups, both viable, three in five in the first."""
        people = max(_SMALLEST, self.expected[site.code])
        second = 2 * people // 5 if len(site.groups) > 1 else 0
        counts = dict.fromkeys(site.groups, 0) | {site.groups[-1]: second}
        counts[site.groups[0]] = people - second
        return Report(people, counts, counts, self.delegates(site, people, counts))

    def delegates(self, site: Site, people: int, counts: Mapping[str, int]) -> dict[str, int]:
        """What the rules award for a final alignment of so many people."""
        from simulation.rules.law import satellite_delegates

        elects = satellite_delegates(people) if site.code in self.satellites else site.delegates
        award = (0,) * len(counts) if self.ballot else outcomes(list(counts.values()), elects, people).awards[0]
        return dict(zip(counts, award, strict=True))

    def account_of(self, site: Site, accounts: Accounts) -> Account | None:
        """Who chairs a site; lists of other backends may name it by its id."""
        return accounts.chairs.get(site.code) or accounts.chairs.get(site.id)
