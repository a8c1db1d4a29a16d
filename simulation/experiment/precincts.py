"""Each precinct over all nights: quantiles of how long things took, shares of what went wrong; and the worst of them.

Whole numbers only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from simulation.night.order import Channel
from simulation.randomness import Integers
from simulation.scenario.values import HOUR, MINUTE

if TYPE_CHECKING:
    import polars as pl

PERCENTS = (5, 50, 95)
MILLION = 1_000_000
LATE_START = 30 * MINUTE
MOST_LOST = 4 * HOUR  # before the start, and again after it: beyond, the night is lost, however long it lasts
EVENING_OVER = 23 * HOUR  # by when the party held 25-35 % in 2020: scenarios/iowa-2020.toml, `history`

_ALWAYS = ("people", "wait_p90_ms", "last_in_at_ms", "hold_ms")
_PERHAPS_NEVER = ("start_delay_ms", "ready_at_ms", "reported_at_ms", "released_at_ms")  # -1: never
_NEVER = np.iinfo(np.int64).max


def over_all_nights(nights: pl.LazyFrame) -> pl.DataFrame:
    """One row a precinct from one row per night and precinct (both in the roster's order).

    `*_p05`, `*_p50`, `*_p95` are quantiles over nights, each a value that occurred, or -1 where it lies among nights in
    which the thing never happened. Shares of nights are in millionths, rounded down.
    """
    import polars as pl

    names = nights.select("id", "county", "precinct").head(_sites(nights)).collect()

    def column(name: str) -> Integers:
        """int64[nights, sites]; one at a time, so that memory holds only one."""
        return nights.select(pl.col(name).cast(pl.Int64)).collect().to_series().to_numpy().reshape(-1, len(names))

    found: dict[str, Integers] = {}
    for name in _ALWAYS:
        found |= _quantiles(name, column(name))
    for name in _PERHAPS_NEVER:
        values = column(name)
        found |= _quantiles(name, np.where(values < 0, _NEVER, values))
    channel = column("channel")
    found |= {f"channel_{way.name.lower()}_millionths": _share(channel == way) for way in Channel}
    found["wrong_on_receipt_millionths"] = _share(column("wrong_on_receipt") > 0)
    found["wrong_millionths"] = _share(column("wrong") > 0)
    found["chair_error_millionths"] = _share(column("chair_error") > 0)
    found["stopped_millionths"] = _share(column("findings") > 0)
    delay, reported = column("start_delay_ms"), column("reported_at_ms")
    found["late_start_millionths"] = _share((delay < 0) | (delay >= LATE_START))
    found["not_reported_by_2300_millionths"] = _share((reported < 0) | (reported > EVENING_OVER))
    return names.with_columns(**{name: pl.Series(values, dtype=pl.Int64) for name, values in found.items()})


def worst_nights(nights: pl.LazyFrame, count: int = 10) -> list[dict[str, Any]]:
    """The `count` precincts that lose most time over all nights, the worst first, each in the middle one of its nights.

    Time lost: until the caucus begins, and from the signed worksheet until headquarters holds the result, at most
    `MOST_LOST` each. A row is that of `Night.precincts`, with `night` and `lost_ms` (in that night).
    """
    import polars as pl

    sites = _sites(nights)

    def column(name: str) -> Integers:
        """int64[nights, sites]."""
        values = nights.select(pl.col(name).cast(pl.Int64)).collect().to_series().to_numpy()
        return np.asarray(values.reshape(-1, sites))

    late, ready, reported = column("start_delay_ms"), column("ready_at_ms"), column("reported_at_ms")
    lost = np.where(late < 0, MOST_LOST, np.minimum(late, MOST_LOST))
    lost += np.where((ready < 0) | (reported < 0), MOST_LOST, np.clip(reported - ready, 0, MOST_LOST))
    worst = np.argsort(-lost.sum(axis=0), kind="stable")[:count]
    middle = np.argsort(lost, axis=0, kind="stable")[(len(lost) - 1) // 2]
    found = []
    for site in worst.tolist():
        at = int(middle[site])
        row = nights.slice(at * sites + site, 1).collect().row(0, named=True)
        found.append({**row, "lost_ms": int(lost[at, site])})
    return found


def _sites(nights: pl.LazyFrame) -> int:
    import polars as pl

    return int(nights.filter(pl.col("night") == pl.col("night").min()).select(pl.len()).collect().item())


def _quantiles(name: str, values: Integers) -> dict[str, Integers]:
    """Quantiles over nights (axis 0), the value at rank ceil(n * p / 100): as `night.summary.quantile`."""
    ordered = np.sort(values, axis=0)
    ranks = {percent: max(0, -(-len(ordered) * percent // 100) - 1) for percent in PERCENTS}
    return {
        f"{name}_p{percent:02d}": np.where(ordered[rank] == _NEVER, -1, ordered[rank])
        for percent, rank in ranks.items()
    }


def _share(happened: Any) -> Integers:
    """Share of nights (axis 0), in millionths."""
    count = np.count_nonzero(happened, axis=0)
    return np.asarray(count * MILLION // len(happened), dtype=np.int64)
