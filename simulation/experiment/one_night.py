"""One night by itself, with its log: what `caucus explain` tells of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulation import compiled
from simulation.progress import COMPILING, Progress

if TYPE_CHECKING:
    from simulation.night import Night
    from simulation.scenario import Scenario

PLAYING = "playing the night"


def play_one(scenario: Scenario, seed: int, number: int, *, fixed: bool, progress: Progress) -> Night:
    """The night of this number, as a run of that seed plays it, with its log."""
    from simulation.night import play_night

    progress(0, 1, PLAYING if compiled.is_warm() else COMPILING)
    night = play_night(scenario, seed, number, fixed=fixed, log=True)
    progress(1, 1, PLAYING)
    return night
