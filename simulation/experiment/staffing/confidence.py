"""How many nights may miss a target that is to hold in a share of all nights, and what a sample of nights proves of it.

Exact binomial statements (Clopper and Pearson), one-sided. Knows nothing of nights.
"""

from __future__ import annotations

import math

CONFIDENCE = 0.95
_SOME_MISSES = (5, 4, 3, 2, 1, 0)  # of the nights of a search; more nights let more of them miss, and cost less
_MOST_NIGHTS = 130  # of a search, unless fewer could prove nothing
_FEWEST_NIGHTS = 60


def misses_allowed(nights: int, share: float) -> int:
    """Of so many nights, how many may miss a target while the rest still shows that `share` of all nights meet it.

    -1 where even none would not show it. A share of 1 cannot be shown: no night may miss.
    """
    if share >= 1:
        return 0
    misses = -1
    while misses + 1 < nights and _at_least(nights - misses - 1, nights, share) <= 1 - CONFIDENCE:
        misses += 1
    return misses


def lower_bound(held: int, nights: int, looks: int = 1) -> float:
    """The share of all nights that is shown with confidence when `held` of `nights` hold.

    Whoever looks at up to so many samples until one suffices shares what may go wrong among the `looks`.
    """
    low, high = 0.0, 1.0
    if held == 0:
        return low
    for _ in range(50):  # to the last bits of a float
        middle = (low + high) / 2
        if _at_least(held, nights, middle) <= (1 - CONFIDENCE) / looks:
            low = middle
        else:
            high = middle
    return low


def nights_for(shares: list[float]) -> int:
    """How many nights a search is played on, so that it can show each of these shares without asking too much."""
    return max((_nights_for(share) for share in shares if share < 1), default=_FEWEST_NIGHTS)


def fewest_nights(share: float, misses: int = 0) -> int:
    """The fewest nights of which `misses` may miss."""
    nights = misses + 1
    while misses_allowed(nights, share) < misses:
        nights += 1
    return nights


def _nights_for(share: float) -> int:
    wanted = [fewest_nights(share, misses) for misses in _SOME_MISSES]
    return max(_FEWEST_NIGHTS, next((nights for nights in wanted if nights <= _MOST_NIGHTS), wanted[-1]))


def _at_least(held: int, nights: int, share: float) -> float:
    """The chance that so many nights or more hold, each with chance `share`."""
    if share <= 0:
        return float(held <= 0)
    if share >= 1:
        return float(held <= nights)
    odds, rest = math.log(share), math.log1p(-share)
    terms = [
        math.exp(
            math.lgamma(nights + 1) - math.lgamma(k + 1) - math.lgamma(nights - k + 1) + k * odds + (nights - k) * rest
        )
        for k in range(held, nights + 1)
    ]
    return math.fsum(terms)
