"""How many nights it takes until a measure's mean is known well enough.

Decided at fixed numbers of nights and on the first nights in order, so that every number of workers stops at the same.
Knows nothing of how nights are played.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from simulation.experiment.findings import ENOUGH_NIGHTS

if TYPE_CHECKING:
    from simulation.experiment.measures import Precision

FEWEST = ENOUGH_NIGHTS
MOST = 10_000  # where nobody names another number
_CONFIDENCE = 0.95


@dataclass(frozen=True)
class Reached:
    """What is known of a measure's mean after so many nights."""

    precision: Precision
    nights: int
    never: int  # nights in which what is measured did not happen: with any, there is no mean
    mean: float
    half_width: float

    @property
    def enough(self) -> bool:
        """Whether the interval is as narrow as was wanted."""
        return not self.never and self.half_width <= self.precision.half_width

    @property
    def decided(self) -> bool:
        """Whether more nights would be in vain, or are not needed."""
        return self.enough or self.never > 0

    def text(self) -> str:
        """What it came to, in a sentence."""
        measure = self.precision.measure
        if self.never:
            return (
                f"{self.precision.text} is out of reach: in {self.never} of {self.nights} nights {measure.name} never "
                "came, so that it has no mean."
            )
        if self.half_width == 0:
            return f"{measure.name} is {measure.shown(self.mean)} in every one of {self.nights:,} nights."
        known = (
            f"{measure.name} is {measure.shown(self.mean)} on average, known to within "
            f"{measure.difference(self.half_width).lstrip('+')} (95 % confidence) after {self.nights:,} nights"
        )
        return f"{known}." if self.enough else f"{known}: too few for {self.precision.text}."

    def json(self) -> dict[str, Any]:
        """The same as numbers, in the measure's own unit (shares 0 to 1, times in ms), and as people read them."""
        measure = self.precision.measure
        return {
            "wanted": self.precision.text,
            "measure": measure.name,
            "reached": self.enough,
            "nights": self.nights,
            "never": self.never,
            "confidence": _CONFIDENCE,
            "unit": {"clock": "ms since midnight", "min": "ms", "%": "share"}.get(measure.unit, measure.unit),
            "mean": None if self.never else self.mean,
            "half_width": None if self.never else self.half_width,
            "mean_shown": None if self.never else measure.shown(self.mean),
            "half_width_shown": None if self.never else measure.difference(self.half_width).lstrip("+"),
        }


def checkpoints(most: int) -> Iterator[int]:
    """The numbers of nights at which to look: each a quarter more than the one before."""
    nights = min(FEWEST, most)
    while nights < most:
        yield nights
        nights += -(-nights // 4)
    yield most


def reached_by(precision: Precision, values: Sequence[float | None]) -> Reached:
    """What the values of the first nights say; Student's t, for two nights or more."""
    from scipy.special import stdtrit

    known = [value for value in values if value is not None]
    nights, never = len(values), len(values) - len(known)
    if never:
        return Reached(precision, nights, never, math.nan, math.inf)
    mean = math.fsum(known) / nights
    variance = math.fsum((value - mean) ** 2 for value in known) / (nights - 1)
    times = float(stdtrit(nights - 1, (1 + _CONFIDENCE) / 2))
    return Reached(precision, nights, 0, mean, times * math.sqrt(variance / nights))


def stops_at(precision: Precision, rows: Sequence[Mapping[str, Any]], most: int) -> Reached | None:
    """Where a run of at most so many nights stops, if these rows, its first ones, reach so far."""
    values = [precision.measure.value(row) for row in rows]
    for nights in checkpoints(most):
        if nights > len(values):
            return None
        reached = reached_by(precision, values[:nights])
        if reached.decided or nights == most:
            return reached
    return None
