"""What somebody who trusts nobody concludes from one look at the public results after the other.

Reads CSV by OpenElections' column names (county, precinct, candidate, votes). Knows nothing of how the figures came.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

_NEEDED = frozenset({"county", "precinct", "candidate", "votes"})

Place = tuple[str, str]  # county and precinct
Votes = Mapping[str, int]  # by candidate


def read_csv(body: bytes) -> dict[Place, dict[str, int]] | None:
    """Votes by place and candidate; None where it is no CSV of the kind."""
    found: dict[Place, dict[str, int]] = defaultdict(dict)
    try:
        rows = csv.DictReader(io.StringIO(body.decode("utf-8-sig")))
        if _NEEDED - set(rows.fieldnames or ()):
            return None
        for row in rows:
            found[row["county"], row["precinct"]][row["candidate"]] = int(row["votes"])
    except (UnicodeDecodeError, csv.Error, ValueError, TypeError):
        return None
    return dict(found)


def sums(sites: Iterable[Votes]) -> dict[str, int]:
    """Votes of every candidate who has any."""
    found: dict[str, int] = defaultdict(int)
    for votes in sites:
        for candidate, count in votes.items():
            found[candidate] += count
    return {candidate: count for candidate, count in found.items() if count}


@dataclass(slots=True)
class Watch:
    """All that was seen so far; `look` says what is wrong with what is seen now."""

    release: int = -1
    sites: dict[Place, Votes] = field(default_factory=dict)
    _digests: dict[int, str] = field(default_factory=dict)  # of each release's CSV
    _versions: dict[Place, int] = field(default_factory=dict)

    def look(
        self, release: int, body: bytes, totals: Votes, version_of: Callable[[Place], int | None]
    ) -> list[tuple[str, str]]:
        """What is wrong with a release: (about what, what). `version_of` asks for a site's version; None: untold.

        Totals may only go down by corrections, and a correction is a new version of a site.
        """
        problems: list[tuple[str, str]] = []
        sites = read_csv(body)
        if sites is None:
            return [("csv", "the CSV cannot be read")]
        digest = hashlib.sha256(body).hexdigest()
        if self._digests.setdefault(release, digest) != digest:
            problems.append(("releases", "a release changed after it was out"))
        if sums(sites.values()) != {group: count for group, count in totals.items() if count}:
            problems.append(("sums", "the sites of the CSV do not add up to the statewide totals"))
        if self.sites.keys() - sites.keys():
            problems.append(("sites", "a site vanished from the results"))
        for place in sites:
            if place not in self.sites or sites[place] == self.sites[place]:
                continue
            before, now = self._versions.get(place), version_of(place)
            if now is not None:
                self._versions[place] = now
            if now is not None and before is not None and now <= before:
                problems.append(("corrections", "a site's figures changed without a new version"))
        self.release, self.sites = release, dict(sites)
        return problems

    def unknown(self, most: int) -> list[Place]:
        """Some sites whose versions nobody has looked up yet."""
        return [place for place in self.sites if place not in self._versions][:most]

    def learn(self, place: Place, version: int) -> None:
        """The version of a site as it stands now."""
        self._versions[place] = version
