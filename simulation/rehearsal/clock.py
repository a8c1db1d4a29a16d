"""The night's clock of a rehearsal: a fold of clock events. Runs, stands still, goes faster, jumps ahead.

Knows nothing of the room; what has not been played yet when the clock is ahead of it is played step by step.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from simulation.rehearsal.event import Event

SLOWEST, FASTEST = 1.0, 60.0


@dataclass(slots=True)
class NightClock:
    """Where the night stands. `at_ms` are ms since midnight of caucus day, `wall_ms` ms since the epoch."""

    begins_ms: int
    speed: float = 1.0
    running: bool = False
    started: bool = False
    anchor_at_ms: int = 0
    anchor_wall_ms: int = 0

    def __post_init__(self) -> None:
        self.anchor_at_ms = max(self.anchor_at_ms, self.begins_ms)

    def target_ms(self, wall_ms: int) -> int:
        """The time that the night should have reached by now."""
        if not self.running:
            return self.anchor_at_ms
        return self.anchor_at_ms + int(max(0, wall_ms - self.anchor_wall_ms) * self.speed)

    def apply(self, event: Event) -> None:
        """A clock event: `{"do": "run" | "pause" | "speed" | "jump" | "resume" | "end", ...}`."""
        data: Mapping[str, Any] = event.data
        does = data.get("do")
        reached = max(event.at_ms, self.target_ms(event.wall_ms))
        if does == "pause":
            reached = event.at_ms
        elif does in {"jump", "resume"}:
            reached = max(event.at_ms, int(data["to_ms"]))
        self.anchor_at_ms, self.anchor_wall_ms = reached, event.wall_ms
        if does == "speed":
            self.speed = min(FASTEST, max(SLOWEST, float(data["speed"])))
        elif does == "run":
            self.running = self.started = True
        elif does == "pause":
            self.running = False
