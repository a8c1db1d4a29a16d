"""The night that tests of seats rehearse."""

from __future__ import annotations

import pytest

from simulation.rehearsal.script import PrecinctScript, Script, script
from simulation.scenario import load


@pytest.fixture(scope="session")
def night() -> Script:
    """Iowa 2020 in 90 minutes: everything comes up."""
    return script(load("iowa-2020"), seed=3, night=0, minutes=90)


@pytest.fixture(scope="session")
def plain(night: Script) -> PrecinctScript:
    """A precinct without a tie, in which everybody counts right at once, with people who leave."""
    return next(
        site
        for site in night.sites
        if not site.tied
        and not site.count_is_off
        and site.tellers == site.first
        and site.tellers_at_end == site.final
        and len(site.viable_at_end) >= 3
        and site.delegates >= 4
        and site.viable == site.viable_at_end
    )


@pytest.fixture(scope="session")
def tied(night: Script) -> PrecinctScript:
    """A precinct in which two groups toss a coin."""
    return next(site for site in night.sites if len(site.tied) == 2 and site.places == 1)
