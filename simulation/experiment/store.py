"""Finished nights on disk, a few small files each, so that memory stays flat and nothing finished is ever lost.

Every file is written under another name first: a file that is there is whole. Knows nothing of who plays the nights.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import polars as pl

    from simulation.night import Night

KEEP_PRECINCTS, KEEP_EVENTS = "precincts", "events"
KEEPS = (KEEP_PRECINCTS, KEEP_EVENTS)

ROW_GROUP = 1 << 18  # rows; fixed, so that the bytes of a Parquet file do not depend on who wrote it
_COMPRESSION: Literal["zstd"] = "zstd"


@dataclass(frozen=True)
class Store:
    """Finished nights in a folder: row, precincts and perhaps events. A night is finished when its row is there."""

    folder: Path
    with_events: bool

    def write(self, night: Night) -> None:
        """Keep a night. OSError where the disk does not take it."""
        number = night.row["night"]
        self._write_frame(self._precincts(number), _of_night(night.precincts, number))
        if self.with_events:
            self._write_frame(self._events(number), _of_night(night.events, number))
        write_whole(self._row(number), json.dumps(night.row).encode())

    def finished(self, nights: int) -> list[int]:
        """Which of the nights are here."""
        return [number for number in range(nights) if self._is_here(number)]

    def rows(self, nights: int) -> list[dict[str, Any]]:
        """The rows of nights.parquet, in order of night."""
        return [json.loads(self._row(number).read_bytes()) for number in range(nights)]

    def precincts(self, nights: int) -> pl.LazyFrame:
        """One row per night and precinct, in that order."""
        return _in_order(self._precincts(number) for number in range(nights))

    def events(self, nights: int) -> pl.LazyFrame:
        """Every event of every night, in order."""
        return _in_order(self._events(number) for number in range(nights))

    def _is_here(self, number: int) -> bool:
        return self._row(number).exists() and (not self.with_events or self._events(number).exists())

    def _row(self, number: int) -> Path:
        return self.folder / f"{number:07d}.json"

    def _precincts(self, number: int) -> Path:
        return self.folder / f"{number:07d}-precincts.parquet"

    def _events(self, number: int) -> Path:
        return self.folder / f"{number:07d}-events.parquet"

    def _write_frame(self, path: Path, frame: pl.DataFrame) -> None:
        content = io.BytesIO()
        frame.write_parquet(content, compression=_COMPRESSION)
        write_whole(path, content.getvalue())


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that it is there whole or not at all."""
    unfinished = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        unfinished.write_bytes(content)
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def write_rows(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write nights.parquet: one row a night, whole numbers and lists of whole numbers."""
    import polars as pl

    kinds = {key: pl.List(pl.Int64) if isinstance(value, list) else pl.Int64 for key, value in rows[0].items()}
    write_frame(path, pl.DataFrame(rows, schema=kinds, orient="row"))


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of nights.parquet again."""
    import polars as pl

    return pl.read_parquet(path).to_dicts()


def write_frame(path: Path, frame: pl.DataFrame | pl.LazyFrame) -> None:
    """Write a Parquet file whose bytes depend on the frame's content alone; a lazy frame passes through in parts.

    OSError where the disk does not take it.
    """
    import polars as pl

    try:
        frame.lazy().sink_parquet(path, compression=_COMPRESSION, row_group_size=ROW_GROUP, maintain_order=True)
    except pl.exceptions.ComputeError as error:
        _, says_so, reason = str(error).partition("IO error: ")  # polars' only word for a full disk
        if not says_so:
            raise
        raise OSError(reason) from error


def _of_night(frame: pl.DataFrame, number: int) -> pl.DataFrame:
    import polars as pl

    return frame.select(pl.lit(number, pl.Int64).alias("night"), pl.all())


def _in_order(files: Iterable[Path]) -> pl.LazyFrame:
    import polars as pl

    return pl.scan_parquet(list(files))
