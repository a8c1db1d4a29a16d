"""The event log of a night: what happened when, to whom, as rows of integers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from simulation.randomness import Integers

if TYPE_CHECKING:
    import polars as pl

NAMES = ("at_ms", "rank", "kind", "site", "entity", "attempt", "value")
Event = tuple[int, int, int, int, int, int, int]  # by these names
EventLog = list[Event]
HOTLINE = -1  # the `site` of what happens at the hotline rather than in a precinct


def frame(log: Integers, ids: tuple[str, ...]) -> pl.DataFrame:
    """`at_ms, rank, kind, place, entity, attempt, value`, in the order in which things happened.

    `rank` is that of the event inside which it happened; of the same millisecond, check-in comes first, building by
    building, then the evening in its own order. `place` is the roster's id, or "hotline".
    """
    import polars as pl

    in_order = log[np.argsort(log[:, 0], kind="stable")]
    rows = pl.DataFrame(in_order, schema=dict.fromkeys(NAMES, pl.Int64), orient="row")
    places = pl.Series("place", [*ids, "hotline"])
    return rows.with_columns(
        pl.Series("place", places.gather(rows["site"].replace(HOTLINE, len(ids)).to_numpy()))
    ).select("at_ms", "rank", "kind", "place", "entity", "attempt", "value")
