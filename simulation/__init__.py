"""The night and what is done with it. From Python: `load`, `play`, `simulate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from simulation.experiment import Nights
    from simulation.night import Night
    from simulation.scenario import Scenario

__all__ = ["load", "play", "simulate"]


def load(name_or_file: str | Path, **overrides: object) -> Scenario:
    """A library night by name or a scenario file by path; `**{"turnout.people": 240_000}` overrides dotted keys.

    Raises `simulation.errors.InputError`, which lists every mistake.
    """
    from simulation.scenario import load as load_scenario

    scenario = load_scenario(name_or_file, overrides)
    _ = scenario.roster  # expanded once, here, so that a mistake in it shows now
    return scenario


def play(scenario: Scenario, seed: int = 3, night: int = 0, engine: str = "compiled", *, log: bool = True) -> Night:
    """One night: `.precincts` (a polars frame, one row a site), `.calls`, `.events` (with `log`), `.summary()`."""
    from simulation.errors import InputError
    from simulation.experiment.run_file import ENGINES
    from simulation.night import play_night

    if engine not in ENGINES:
        raise InputError(f"engine = {engine!r}: expected one of {', '.join(ENGINES)}")
    return play_night(scenario, seed, night, engine=engine, log=log)


def simulate(scenario: Scenario, nights: int = 200, seed: int = 3, engine: str = "compiled") -> Nights:
    """Many nights, in parallel on the cores: `.rows`, `.summary()`."""
    from simulation.experiment import run_nights

    return run_nights(scenario, nights, seed, engine=engine)
