"""Whether a figure that was sampled for hours drifts: its slope, and how often luck alone does as much.

Sen's slope (the median of all slopes between two samples) and the Mann-Kendall test, which ask for no distribution and
forgive outliers. Samples of a running service hang together: the test counts fewer of them, by the autocorrelation of
what the slope leaves over (Yue and Wang 2004). Knows nothing of what is measured.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

SIGNIFICANCE = 0.01
MATTERS_SHARE = 0.05  # of the level, over the time that was looked at
SETTLING_SHARE = 0.2  # of that time: caches fill, pools open
LEAST = 8  # samples of which something can be said
_MOST_DEPENDENT = 0.97  # from one sample to the next


@dataclass(frozen=True)
class Drift:
    """How a figure moved, from the end of the settling on."""

    per_hour: float
    low_per_hour: float  # of 95 % confidence
    high_per_hour: float
    p: float  # two-sided
    level: float  # the median
    change: float  # over the time that was looked at
    samples: int

    @property
    def share(self) -> float:
        """The change, as a share of the level."""
        return self.change / self.level if self.level else 0.0

    @property
    def is_sure(self) -> bool:
        """More than luck."""
        return self.p < SIGNIFICANCE

    @property
    def rises(self) -> bool:
        """More than luck, upwards, and by more than nothing."""
        return self.is_sure and self.share >= MATTERS_SHARE

    def as_json(self) -> dict[str, float | int | bool]:
        """One object."""
        return {
            "per_hour": self.per_hour,
            "low_per_hour": self.low_per_hour,
            "high_per_hour": self.high_per_hour,
            "p": self.p,
            "level": self.level,
            "change": self.change,
            "samples": self.samples,
            "rises": self.rises,
        }


def drift(at_s: Sequence[float], values: Sequence[float | None]) -> Drift | None:
    """How the figure moves after the settling; None where there are too few samples. What was not measured is None."""
    first, last = (min(at_s), max(at_s)) if len(at_s) else (0.0, 0.0)
    settled = first + SETTLING_SHARE * (last - first)
    rows = [
        (at, value)
        for at, value in zip(at_s, values, strict=True)
        if at >= settled and value is not None and math.isfinite(value)
    ]
    if len(rows) < LEAST:
        return None
    from scipy.stats import theilslopes

    at, figures = (np.array(row, float) for row in zip(*rows, strict=True))
    slope, _, low, high = (float(one) for one in theilslopes(figures, at, alpha=0.95))
    p, widening = _mann_kendall(at, figures, slope)
    level, spans = float(np.median(figures)), float(at[-1] - at[0])
    return Drift(
        per_hour=3600 * slope,
        low_per_hour=3600 * (slope - widening * (slope - low)),
        high_per_hour=3600 * (slope + widening * (high - slope)),
        p=p,
        level=level,
        change=slope * spans,
        samples=len(rows),
    )


def _mann_kendall(at: npt.NDArray[np.float64], values: npt.NDArray[np.float64], slope: float) -> tuple[float, float]:
    """The p of the test, and by how much dependence widens an interval."""
    count = len(values)
    signs = np.sign(values[None, :] - values[:, None])
    score = float(np.triu(signs, 1).sum())
    _, ties = np.unique(values, return_counts=True)
    variance = (count * (count - 1) * (2 * count + 5) - float((ties * (ties - 1) * (2 * ties + 5)).sum())) / 18
    if variance <= 0:
        return 1.0, 1.0
    inflation = _inflation(values - slope * (at - at.mean()))
    z = (score - math.copysign(1, score)) / math.sqrt(variance * inflation) if score else 0.0
    return math.erfc(abs(z) / math.sqrt(2)), math.sqrt(inflation)


def _inflation(left: npt.NDArray[np.float64]) -> float:
    """By how much the samples' dependence multiplies the variance: that of an AR(1) process; never below 1."""
    around = left - left.mean()
    total = float(around @ around)
    if total <= 0:
        return 1.0
    count = len(left)
    r = float(around[1:] @ around[:-1]) / total
    r = (r + 2 / count) / (1 - 4 / count)  # a short sample without its trend hides some of it (Kendall 1954)
    r = min(_MOST_DEPENDENT, max(0.0, r))
    return (1 + r) / (1 - r)
