"""What a report is made from: the nights of one run and their quantiles over nights.

Knows nothing of pictures or HTML.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from simulation.night.curves import LINE_STEP, STEP
from simulation.night.summary import quantile
from simulation.scenario.values import HOUR

if TYPE_CHECKING:
    import polars as pl

    from simulation.scenario import Scenario

Row = Mapping[str, Any]
NEVER = 1 << 60  # sorts behind every time
ENOUGH_NIGHTS = 20  # below, the 5th and 95th percentile over nights are the lowest and the highest night


class Band(NamedTuple):
    """Quantiles over nights: nine nights in ten lie in p05 .. p95, half of them in p25 .. p75."""

    p05: int
    p25: int
    p50: int
    p75: int
    p95: int


@dataclass(frozen=True)
class Forecast:
    """The nights of a run. `rows` are rows of nights.parquet, `precincts` has one row a site over all nights."""

    scenario: Scenario
    rows: Sequence[Row]
    precincts: pl.DataFrame
    summary: Mapping[str, Any]
    run: Mapping[str, Any]
    worst: Sequence[Row] = ()  # precincts in one night each, see `experiment.precincts.worst_nights`

    @property
    def nights(self) -> int:
        return len(self.rows)

    @property
    def several(self) -> bool:
        """Whether there are ranges at all."""
        return self.nights > 1

    @property
    def is_large(self) -> bool:
        """Whether the range over nights is more than the lowest and the highest night."""
        return self.nights >= ENOUGH_NIGHTS

    @property
    def sites(self) -> int:
        return int(self.rows[0]["sites"])

    @property
    def call_to_order(self) -> int:
        return self.scenario.spec.clock.call_to_order

    def band(self, of: str | Callable[[Row], int]) -> Band:
        """Quantiles over nights of a column, or of what `of` makes of a night."""
        read = (lambda row: row[of]) if isinstance(of, str) else of
        return band([read(row) for row in self.rows])

    def band_of_time(self, column: str) -> tuple[int | None, ...]:
        """p05, p25, p50, p75, p95 over nights of a time of the night that may be -1, never: None."""
        found = self.band(lambda row: row[column] if row[column] >= 0 else NEVER)
        return tuple(None if at == NEVER else at for at in found)

    def curve(self, column: str) -> list[Band]:
        """Quantiles over nights at each point of a column that holds a list."""
        return [band(values) for values in zip(*(row[column] for row in self.rows), strict=True)]

    def curve_where_known(self, column: str) -> list[Band | None]:
        """As `curve`, of the nights with a value there (-1: none); None where most nights have none."""
        known = [[v for v in values if v >= 0] for values in zip(*(row[column] for row in self.rows), strict=True)]
        return [band(values) if 2 * len(values) > self.nights else None for values in known]

    def evening(self, points: int) -> list[int]:
        """The clock times of a curve over the evening: every quarter of an hour from the call to order."""
        return [self.call_to_order + STEP * k for k in range(points)]

    def door_times(self, points: int) -> list[int]:
        """The clock times of the people in line: every five minutes from an hour before the call to order."""
        return [self.call_to_order - HOUR + LINE_STEP * k for k in range(points)]


def band(values: Sequence[int]) -> Band:
    """Quantiles of whole numbers, each of them one of the values."""
    return Band(*(quantile(values, percent) for percent in (5, 25, 50, 75, 95)))
