"""Each precinct over all nights: quantiles of how long things took, shares of what went wrong; and the worst of them.

Whole numbers only.
"""

from __future__ import annotations

from functools import partial
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
_AT_ONCE = 64  # precincts: what is sorted lies together in memory, and is little


def over_all_nights(nights: pl.LazyFrame) -> pl.DataFrame:
    """One row a precinct from one row per night and precinct (both in the roster's order).

    `*_p05`, `*_p50`, `*_p95` are quantiles over nights, each a value that occurred, or -1 where it lies among nights in
    which the thing never happened. Shares of nights are in millionths, rounded down.
    """
    import polars as pl

    names = nights.select("id", "county", "precinct").head(_sites(nights)).collect()
    column = partial(_column, nights, len(names))
    found: dict[str, Integers] = {}
    shares: dict[str, Integers] = {}
    for name in (*_ALWAYS, *_PERHAPS_NEVER):
        values = column(name)
        if name == "start_delay_ms":
            shares["late_start_millionths"] = _share((values < 0) | (values >= LATE_START))
        if name == "reported_at_ms":
            shares["not_reported_by_2300_millionths"] = _share((values < 0) | (values > EVENING_OVER))
        found |= _quantiles(name, values, perhaps_never=name in _PERHAPS_NEVER)
    channel = column("channel")
    found |= {f"channel_{way.name.lower()}_millionths": _share(channel == way) for way in Channel}
    found["wrong_on_receipt_millionths"] = _share(column("wrong_on_receipt") > 0)
    found["wrong_millionths"] = _share(column("wrong") > 0)
    found["chair_error_millionths"] = _share(column("chair_error") > 0)
    found["stopped_millionths"] = _share(column("findings") > 0)
    found |= shares
    return names.with_columns(**{name: pl.Series(values, dtype=pl.Int64) for name, values in found.items()})


def worst_nights(nights: pl.LazyFrame, count: int = 10) -> list[dict[str, Any]]:
    """The `count` precincts that lose most time over all nights, the worst first, each in the middle one of its nights.

    Time lost: until the caucus begins, and from the signed worksheet until headquarters holds the result, at most
    `MOST_LOST` each. A row is that of `Night.precincts`, with `night` and `lost_ms` (in that night).
    """

    import polars as pl

    sites = _sites(nights)
    column = partial(_column, nights, sites)
    late = column("start_delay_ms")
    lost = np.where(late < 0, MOST_LOST, np.minimum(late, MOST_LOST)).astype(np.int32)
    del late
    ready, reported = column("ready_at_ms"), column("reported_at_ms")
    after = np.clip(reported - ready, 0, MOST_LOST)
    lost += np.where((ready < 0) | (reported < 0), MOST_LOST, after).astype(np.int32)
    del ready, reported, after
    worst = np.argsort(-lost.sum(axis=0, dtype=np.int64), kind="stable")[:count]
    middle = np.argsort(lost[:, worst], axis=0, kind="stable")[(len(lost) - 1) // 2]
    places = list(zip(worst.tolist(), middle.tolist(), strict=True))
    rows = pl.collect_all([nights.slice(at * sites + site, 1) for site, at in places])
    return [
        {**row.row(0, named=True), "lost_ms": int(lost[at, site])} for row, (site, at) in zip(rows, places, strict=True)
    ]


def _column(nights: pl.LazyFrame, sites: int, name: str) -> Integers:
    """One column as integers[nights, sites]: of 32 bits where they do, so that many nights fit into memory."""
    import polars as pl

    for kind in (pl.Int32, pl.Int64):
        values = nights.select(pl.col(name).cast(kind, strict=False)).collect().to_series()
        if not values.null_count():
            break
    return np.asarray(values.to_numpy().reshape(-1, sites))


def _sites(nights: pl.LazyFrame) -> int:
    import polars as pl

    return int(nights.filter(pl.col("night") == pl.col("night").min()).select(pl.len()).collect().item())


def _quantiles(name: str, values: Integers, *, perhaps_never: bool) -> dict[str, Integers]:
    """Quantiles over nights (axis 0), the value at rank ceil(n * p / 100): as `night.summary.quantile`."""
    nights, sites = values.shape
    ranks = [max(0, -(-nights * percent // 100) - 1) for percent in PERCENTS]
    never = np.iinfo(values.dtype).max
    found = np.empty((len(ranks), sites), np.int64)
    for first in range(0, sites, _AT_ONCE):
        some = np.ascontiguousarray(values[:, first : first + _AT_ONCE].T)
        if perhaps_never:
            some[some < 0] = never  # later than any that came
        some.partition(ranks, axis=1)
        found[:, first : first + _AT_ONCE] = np.where(some[:, ranks] == never, -1, some[:, ranks]).T
    return {f"{name}_p{percent:02d}": found[rank] for rank, percent in enumerate(PERCENTS)}


def _share(happened: Any) -> Integers:
    """Share of nights (axis 0), in millionths."""
    count = np.count_nonzero(happened, axis=0)
    return np.asarray(count * MILLION // len(happened), dtype=np.int64)
