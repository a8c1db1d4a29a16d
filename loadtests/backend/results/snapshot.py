"""A release: what the public may know at one moment, namely the accepted version of every site that has one.

Immutable; each of its documents is built once. Knows nothing of requests, of the database (`release` does), or of how
a record came to be accepted.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING

from loadtests.backend.results import formats
from loadtests.backend.results.documents import CHANGING, Document
from simulation.rules.law import satellite_delegates

if TYPE_CHECKING:
    from loadtests.backend.storage import Site


@dataclass(frozen=True)
class Election:
    """What stays the same all night."""

    title: str
    groups: tuple[str, ...]  # the order of every tuple of counts below
    sites: Mapping[str, Site]  # by code, in the roster's order
    ballot: bool = False  # a straw poll on paper: no delegates, the votes of the final count decide

    @cached_property
    def counties(self) -> Mapping[str, tuple[Site, ...]]:
        """Sites by county or group of satellites; names in order."""
        found: dict[str, list[Site]] = {}
        for site in self.sites.values():
            found.setdefault(site.county, []).append(site)
        return {name: tuple(found[name]) for name in sorted(found)}

    @cached_property
    def pools(self) -> Mapping[str, int]:
        """State delegate equivalents, in 1e-9, that the satellites of a group share."""
        return {
            name: sum(site.sde_nano * site.delegates for site in sites if site.satellite)
            for name, sites in self.counties.items()
            if any(site.satellite for site in sites)
        }


@dataclass(frozen=True)
class Figures:
    """What a stored version says, one count a group; zeros where a step is missing, which only a leak shows."""

    version: int
    attendees: int
    first: tuple[int, ...]
    final: tuple[int, ...]
    delegates: tuple[int, ...]


@dataclass(frozen=True)
class Result:
    """A site's published figures, and what one of its delegates is worth in the state, in 1e-9."""

    site: Site
    groups: tuple[str, ...]
    figures: Figures
    worth_nano: int

    @cached_property
    def sde_nano(self) -> tuple[int, ...]:
        """State delegate equivalents of each group, in 1e-9."""
        return tuple(count * self.worth_nano for count in self.figures.delegates)

    @cached_property
    def csv(self) -> str:
        """Its rows; made once, since a release shares the results that did not change with the one before."""
        return formats.csv_rows(self)

    @cached_property
    def vote_counts(self) -> tuple[str, ...]:
        """Its part of each group's selection in the NIST format; made once, as above."""
        return formats.vote_counts(formats.unit_of_site(self.site), totals([self], len(self.groups)))


@dataclass(frozen=True)
class Totals:
    """Sums over sites, one a group."""

    reported: int
    of: int
    attendees: int
    first: tuple[int, ...]
    final: tuple[int, ...]
    delegates: tuple[int, ...]
    sde_nano: tuple[int, ...]

    @property
    def complete(self) -> bool:
        """Whether every site has reported."""
        return self.reported == self.of


def totals(results: Sequence[Result], groups: int, of: int = 1) -> Totals:
    """The sums of results, out of so many sites."""
    nothing = (0,) * groups
    return Totals(
        reported=len(results),
        of=of,
        attendees=sum(result.figures.attendees for result in results),
        first=_sums([result.figures.first for result in results]) or nothing,
        final=_sums([result.figures.final for result in results]) or nothing,
        delegates=_sums([result.figures.delegates for result in results]) or nothing,
        sde_nano=_sums([result.sde_nano for result in results]) or nothing,
    )


def _sums(rows: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    return tuple(map(sum, zip(*rows, strict=True)))


class Release:
    """All that the public may know at one moment. Nothing in it changes; a document is built when first asked for."""

    def __init__(
        self,
        election: Election,
        number: int,
        made_at: datetime | None,
        versions: Mapping[str, Figures],
        *,
        held_since: datetime | None = None,
        previous: Release | None = None,
    ):
        """`versions` are by site; `made_at` is None before the first release; results of `previous` are taken over."""
        self.election, self.number, self.made_at, self.held_since = election, number, made_at, held_since
        self.results: Mapping[str, Result] = dict(_results(election, versions, previous))
        self._documents: dict[tuple[str, str, str], Document] = {}

    def held(self, since: datetime | None) -> Release:
        """The same release while headquarters holds back newer ones."""
        versions = {code: result.figures for code, result in self.results.items()}
        return Release(self.election, self.number, self.made_at, versions, held_since=since, previous=self)

    @cached_property
    def state(self) -> Totals:
        """Statewide."""
        return totals(list(self.results.values()), len(self.election.groups), len(self.election.sites))

    @cached_property
    def counties(self) -> Mapping[str, Totals]:
        """Every county and group of satellites, by name."""
        return {
            name: totals(
                [self.results[site.code] for site in sites if site.code in self.results],
                len(self.election.groups),
                len(sites),
            )
            for name, sites in self.election.counties.items()
        }

    def standing(self, of: Totals) -> tuple[int, ...]:
        """What decides: state delegate equivalents, in 1e-9; in a straw poll votes."""
        return of.final if self.election.ballot else of.sde_nano

    def leaders(self, of: Totals) -> tuple[int, ...]:
        """Who is in front: one group, several that are level, or none."""
        standing = self.standing(of)
        most = max(standing, default=0)
        return tuple(k for k, value in enumerate(standing) if value == most) if most else ()

    @cached_property
    def sha256(self) -> str:
        """Of its CSV: whoever has the file can check it."""
        return hashlib.sha256(formats.csv(self).encode()).hexdigest()

    def document(self, kind: str, of: str = "", cache: str = CHANGING) -> Document | None:
        """A document by its kind (see `formats.KINDS`), of a county or site where the kind is of one; None: no such."""
        key = (kind, of, cache)
        found = self._documents.get(key)
        if found is None:
            found = formats.document(self, kind, of, cache)
            if found is not None:  # strangers may ask for a million sites that are not there
                self._documents[key] = found
        return found

    def ready(self, kind: str) -> Document | None:
        """A statewide document, if it is built already."""
        return self._documents.get((kind, "", CHANGING))

    def prepare(self, kinds: Sequence[str] = ("json", "csv", "html"), cache: str = CHANGING) -> Release:
        """Build what many ask for, in the thread that loads: readers shall not wait for it."""
        for kind in kinds:
            self.document(kind, cache=cache)
        return self


def _results(
    election: Election, versions: Mapping[str, Figures], previous: Release | None
) -> Iterator[tuple[str, Result]]:
    worths = _satellite_worths(election, versions)
    known = previous.results if previous else {}
    for site in election.sites.values():
        figures = versions.get(site.code)
        if figures is None:
            continue
        worth = worths.get(site.code, site.sde_nano)
        same = known.get(site.code)
        if same is not None and same.figures.version == figures.version and same.worth_nano == worth:
            yield site.code, same
        else:
            yield site.code, Result(site, election.groups, figures, worth)


def _satellite_worths(election: Election, versions: Mapping[str, Figures]) -> Mapping[str, int]:
    """What a delegate of each reported satellite is worth, in 1e-9 (as `rules.sde` has it, which waits for a compiler).

    The satellites of a group share its pool by attendance. Those that have not reported count as expected, so that the
    sum never exceeds the pool, and is exact once all have reported.
    """
    worths: dict[str, int] = {}
    for name, pool in election.pools.items():
        satellites = [site for site in election.counties[name] if site.satellite]
        present = {
            site.code: versions[site.code].attendees if site.code in versions else site.attendance
            for site in satellites
        }
        everybody = sum(present.values())
        for site in satellites:
            elected = satellite_delegates(present[site.code])
            if site.code in versions:
                worths[site.code] = pool * present[site.code] // (everybody * elected) if elected else 0
    return worths
