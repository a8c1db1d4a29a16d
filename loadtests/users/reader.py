"""The public: opens the results page, reads the figures, and asks again whether anything is new."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from loadtests.contract import Ask, Operation
from loadtests.traffic.evening import SiteEvening
from loadtests.users.base import CaucusUser

_OFTEN: tuple[Operation, ...] = ("results.page", "results")
_LEAST_S = 0.2  # between two looks, however fast the night is played


@dataclass(slots=True)
class _Seen:
    """The ETag of each document that this reader has."""

    etags: dict[str, str] = field(default_factory=dict)


class PublicReader(CaucusUser):
    """Somebody who wants to know how it stands."""

    kind = "reader"
    planned = False

    def play(self) -> None:
        """Look, and look again, as long as the run goes on."""
        visit = self.tonight.evening.visit(self.number)
        seen = _Seen()
        self.tonight.wait_until(min(visit.first_at_ms, self.tonight.evening.ends_at_ms))
        looks = 0
        while True:
            for operation in _OFTEN:
                self._looks(operation, Ask(), seen, operation)
            if looks % 3 == 2:
                self._looks_closer(looks, seen)
            looks += 1
            self.put_away()
            time.sleep(max(_LEAST_S, self.tonight.scaled(visit.every_ms / 1000)))

    def _looks_closer(self, looks: int, seen: _Seen) -> None:
        """Their own county, their own precinct."""
        sites: tuple[SiteEvening, ...] = self.tonight.evening.sites
        site = sites[(self.number * 31 + looks) % len(sites)].site
        self._looks("results.county", Ask(county=site.county), seen, f"county {site.county}")
        self._looks("results.site", Ask(site=site), seen, f"site {site.code}")

    def _looks(self, operation: Operation, ask: Ask, seen: _Seen, document: str) -> None:
        """A document; conditionally, where this reader has it."""
        if not self.has(operation):
            return
        known = seen.etags.get(document, "")
        if known:
            ask = Ask(site=ask.site, county=ask.county, etag=known)
        outcome, reply = self.exchange(operation, ask, name=f"{operation}, conditional" if known else operation)
        if outcome.status == 304 and reply.body:
            self.fail(operation, "304 with a body")
        etag = reply.headers.get("etag", "")
        if outcome.accepted and etag:
            seen.etags[document] = etag
