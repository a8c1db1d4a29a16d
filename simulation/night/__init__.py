"""One night: set up by luck, played by an engine, and what it came to."""

from __future__ import annotations

from collections.abc import Mapping

from simulation.night.luck import Luck
from simulation.night.outcome import Night
from simulation.night.setting import Setting
from simulation.scenario import Scenario

__all__ = ["ENGINES", "Luck", "Night", "play_night"]

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
