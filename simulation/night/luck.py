"""The luck of one night: assumptions drawn once, everything else drawn by its address. Shared by every engine.

Knows nothing of what the numbers are used for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from simulation.compiled import kernel
from simulation.night.order import Stream
from simulation.randomness import Integers, bits, chance, place_id, quantile
from simulation.scenario.distributions import Distribution
from simulation.scenario.values import Assumption

_HALF = 1 << 31


@kernel
def happens(seed: int, night: int, share: int, place: int, entity: int, stream: int, ordinal: int) -> bool:
    """Whether something happens that happens with probability share / 2**32."""
    return share > 0 and chance(share, bits(seed, night, place, entity, stream, ordinal))


@kernel
def ticks(milliseconds: int, resolution: int) -> int:
    """A time rounded to the clock's tick."""
    if resolution == 1:
        return milliseconds
    return (milliseconds + resolution // 2) // resolution * resolution


@kernel
def duration(
    seed: int, night: int, resolution: int, table: Integers, place: int, entity: int, stream: int, ordinal: int
) -> int:
    """A duration from a quantile table, in ms, rounded to the clock's tick."""
    return ticks(quantile(table, bits(seed, night, place, entity, stream, ordinal)), resolution)


@kernel
def slowed(milliseconds: int, pace: int) -> int:
    """A duration (or a share) at a pace in millionths: 1,000,000 leaves it as it is."""
    return milliseconds // 1_000_000 * pace + milliseconds % 1_000_000 * pace // 1_000_000  # no overflow in between


@dataclass(frozen=True)
class Luck:
    """Draws of one night. `resolution` is the clock's tick in milliseconds: durations are rounded to it."""

    seed: int
    night: int
    resolution: int = 1
    fixed: bool = False  # every assumption at its middle
    positions: Mapping[str, int] = field(default_factory=dict)  # 32 bits for the assumptions of these keys

    def value(self, assumption: Assumption) -> int:
        """What an assumption is tonight."""
        return assumption.at(self._assumption_bits(assumption))

    def table(self, distribution: Distribution) -> Integers:
        """The quantile table of a distribution tonight, int64[1025]."""
        return distribution.table(self._assumption_bits)

    def bits(self, stream: Stream, place: int, entity: int = 0, ordinal: int = 0) -> int:
        """32 random bits of an address."""
        return int(bits(self.seed, self.night, place, entity, int(stream), ordinal))

    def draw(self, table: Integers, stream: Stream, place: int, entity: int = 0, ordinal: int = 0) -> int:
        """A value of a table that is not a duration."""
        return int(quantile(table, self.bits(stream, place, entity, ordinal)))

    def duration(self, table: Integers, stream: Stream, place: int, entity: int = 0, ordinal: int = 0) -> int:
        """A duration in milliseconds, rounded to the clock's tick."""
        return int(duration(self.seed, self.night, self.resolution, table, place, entity, int(stream), ordinal))

    def happens(self, share: int, stream: Stream, place: int, entity: int = 0, ordinal: int = 0) -> bool:
        """Whether something happens that happens with probability share / 2**32."""
        return bool(happens(self.seed, self.night, share, place, entity, int(stream), ordinal))

    def ticks(self, milliseconds: int) -> int:
        """A time rounded to the clock's tick."""
        return int(ticks(milliseconds, self.resolution))

    def _assumption_bits(self, assumption: Assumption) -> int:
        position = self.positions.get(assumption.key)
        if position is not None:
            return position
        if self.fixed:
            return _HALF
        return self.bits(Stream.ASSUMPTION, place_id(f"assumption {assumption.key}"))
