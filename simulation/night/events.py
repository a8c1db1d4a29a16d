"""The event log of a night: what happened when, to whom, as rows of integers."""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

Event = tuple[int, int, int, int, int, int, int]  # at_ms, rank, kind, site, entity, attempt, value
EventLog = list[Event]
HOTLINE = -1  # the `site` of what happens at the hotline rather than in a precinct


def frame(log: EventLog, ids: tuple[str, ...]) -> pl.DataFrame:
    """`at_ms, rank, kind, place, entity, attempt, value`, in the order in which things happened.

    `rank` is that of the event inside which it happened; of the same millisecond, check-in comes first, building by
    building, then the evening in its own order. `place` is the roster's id, or "hotline".
    """
    import polars as pl

    names = ["at_ms", "rank", "kind", "site", "entity", "attempt", "value"]
    rows = pl.DataFrame(sorted(log, key=itemgetter(0)), schema=dict.fromkeys(names, pl.Int64), orient="row")
    places = pl.Series("place", [*ids, "hotline"])
    return rows.with_columns(
        pl.Series("place", places.gather(rows["site"].replace(HOTLINE, len(ids)).to_numpy()))
    ).select("at_ms", "rank", "kind", "place", "entity", "attempt", "value")
