"""A campaign that polls the public results and trusts nobody: do the sums add up, does anything vanish or go back?"""

from __future__ import annotations

import time
from collections.abc import Mapping

from loadtests.contract import Ask
from loadtests.users.base import CaucusUser
from loadtests.users.watch import Place, Votes, Watch

_EVERY_S = 60.0
_LEAST_S = 1.0
_LOOKED_UP = 3  # sites that are new, at each poll
_SETTLES_S = 3.0  # within which all workers of a backend show the same release


class CampaignObserver(CaucusUser):
    """Polls and compares."""

    kind = "observer"
    planned = False

    def play(self) -> None:
        """Poll as long as the run goes on."""
        watch = Watch()
        self.tonight.begins.wait()
        while True:
            self._polls(watch)
            self.connections.hang_up()
            time.sleep(max(_LEAST_S, self.tonight.scaled(_EVERY_S)))

    def _polls(self, watch: Watch) -> None:
        if not (self.has("results.csv") and self.has("results")):
            return
        before, _ = self._figures()
        outcome, reply = self.exchange("results.csv", Ask())
        after, totals = self._figures()
        if not outcome.accepted or before is None or before != after:
            return  # a release came out meanwhile: the next poll compares
        if before < watch.release:
            time.sleep(_SETTLES_S)
            later, _ = self._figures()
            if later is not None and later < watch.release:
                self.fail("observer: releases", "an older release came back")
            return
        for about, problem in watch.look(before, reply.body, totals, self._version):
            self.fail(f"observer: {about}", problem)
        for place in watch.unknown(_LOOKED_UP):
            version = self._version(place)
            if version is not None:
                watch.learn(place, version)

    def _figures(self) -> tuple[int | None, Votes]:
        """The release's number and the votes at the final alignment, of the JSON document."""
        values = self.send("results", Ask()).values
        release, final = values.get("release"), values.get("final")
        if not isinstance(release, int) or not isinstance(final, Mapping):
            return None, {}
        return release, {str(group): int(count) for group, count in final.items()}

    def _version(self, place: Place) -> int | None:
        """A site's version, of its own document."""
        known = self.tonight.places.get(place)
        if known is None or not self.has("results.site"):
            return None
        version = self.send("results.site", Ask(site=known.site)).values.get("version")
        return version if isinstance(version, int) else None
