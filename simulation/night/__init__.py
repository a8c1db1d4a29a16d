"""One night: set up by luck, played by an engine, and what it came to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from simulation.night.luck import Luck
from simulation.night.outcome import Night
from simulation.night.setting import Setting
from simulation.randomness import Integers
from simulation.scenario import Scenario

__all__ = ["ENGINES", "CheckIn", "Luck", "Night", "check_in", "play_night"]

ENGINES = ("compiled", "simpy")


def play_night(
    scenario: Scenario,
    seed: int,
    night: int,
    *,
    fixed: bool = False,
    positions: Mapping[str, int] | None = None,
    engine: str = "compiled",
    log: bool = False,
) -> Night:
    """Play one night. Both engines play the same one; "simpy" is the model of record, "compiled" the faster twin.

    `fixed` holds assumptions at their middle; `positions` (dotted key of an assumption: 0 .. 2**32 - 1 of the way from
    its low to its high end) sets some of them; `log` keeps every event.
    """
    luck = Luck(seed, night, scenario.spec.clock.resolution, fixed, positions or {})
    setting = Setting(scenario, luck)
    if engine == "simpy":
        from simulation.night import model  # SimPy itself is imported only where it plays

        return Night(model.play(setting, log))
    from simulation.night import twin

    return Night(twin.play(setting, log))


@dataclass(frozen=True)
class CheckIn:
    """Check-in of one night: times in ms of each person, precinct after precinct (`offsets`)."""

    people: Integers  # by site
    offsets: Integers  # where each site's people begin, and their number: int64[sites + 1]
    arrived_at: Integers
    in_at: Integers
    wait_ms: Integers  # in lines, all of them together
    call_to_order: int


def check_in(
    scenario: Scenario,
    seed: int,
    night: int,
    stations: Integers | None = None,
    *,
    fixed: bool = False,
    positions: Mapping[str, int] | None = None,
) -> CheckIn:
    """Play the doors of a night alone, with `stations` (int64[sites]; None: the scenario's own). Compiled."""
    from simulation.night import twin

    setting = Setting(scenario, Luck(seed, night, scenario.spec.clock.resolution, fixed, positions or {}))
    (arrived_at, in_at, wait_ms), _ = twin.check_in(setting, setting.stations if stations is None else stations)
    return CheckIn(setting.people, setting.offsets, arrived_at, in_at, wait_ms, setting.call_to_order)
