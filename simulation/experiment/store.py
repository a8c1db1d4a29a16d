"""Finished results on disk, a small file each, so that memory stays flat and nothing finished is ever lost.

Every file is written under another name first: a file that is there is whole. One process writes. Knows nothing of who
plays the nights.
"""

from __future__ import annotations

import io
import json
import os
import pickle
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from simulation.experiment.packed import PackedRow, Row

if TYPE_CHECKING:
    import polars as pl

    from simulation.night import Night

KEEP_PRECINCTS, KEEP_EVENTS = "precincts", "events"
KEEPS = (KEEP_PRECINCTS, KEEP_EVENTS)

ROW_GROUP = 1 << 18  # rows; fixed, so that the bytes of a Parquet file do not depend on who wrote it
_COMPRESSION: Literal["zstd"] = "zstd"
_UNFINISHED = ".writing"
_ROW = ".json"


@dataclass(frozen=True)
class Store:
    """Results in a folder, by name."""

    folder: Path

    def names(self) -> set[str]:
        """Of all that is here."""
        try:
            with os.scandir(self.folder) as found:
                return {item.name for item in found if not item.name.endswith(_UNFINISHED)}
        except FileNotFoundError:
            return set()

    def write(self, name: str, content: bytes) -> None:
        """Keep a result. OSError where the disk does not take it."""
        write_whole(self.folder / name, content)

    def read(self, name: str) -> bytes:
        """A result that is here."""
        return (self.folder / name).read_bytes()


@dataclass(frozen=True)
class NightStore:
    """Nights by number: row, precincts and perhaps events. A night is finished when its row is there."""

    store: Store
    with_events: bool

    def write(self, number: int, encoded: bytes) -> None:
        """Keep a night as `encoded` made it. OSError where the disk does not take it."""
        row, precincts, events = pickle.loads(encoded)
        self.store.write(_precincts(number), precincts)
        if events is not None:
            self.store.write(_events(number), events)
        self.store.write(_row(number), row)

    def finished(self, nights: int) -> list[int]:
        """Which of the nights are here."""
        here = self.store.names()
        return [
            number
            for number in range(nights)
            if _row(number) in here and (not self.with_events or _events(number) in here)
        ]

    def beyond(self, nights: int) -> int:
        """How many are finished of the nights that follow the first `nights`."""
        return sum(name.endswith(_ROW) and int(name.removesuffix(_ROW)) >= nights for name in self.store.names())

    def rows(self, nights: int, since: int = 0) -> list[Row]:
        """The rows of nights.parquet, in order of night."""
        return [PackedRow(json.loads(self.store.read(_row(number)))) for number in range(since, nights)]

    def precincts(self, nights: int) -> pl.LazyFrame:
        """One row per night and precinct, in that order."""
        return _in_order(self.store.folder / _precincts(number) for number in range(nights))

    def events(self, nights: int) -> pl.LazyFrame:
        """Every event of every night, in order."""
        return _in_order(self.store.folder / _events(number) for number in range(nights))


def encoded(night: Night, *, with_events: bool) -> bytes:
    """A night as `NightStore.write` takes it: the work of whoever played it, so that the writer only writes."""
    number = night.row["night"]
    precincts = _parquet(night.precincts, number)
    return pickle.dumps((row_bytes(night), precincts, _parquet(night.events, number) if with_events else None))


def row_bytes(night: Night) -> bytes:
    """The row of a night, as it lies in the store."""
    return json.dumps(night.row).encode()


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that it is there whole or not at all."""
    unfinished = path.with_name(f"{path.name}.{os.getpid()}{_UNFINISHED}")
    try:
        unfinished.write_bytes(content)
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def rows_frame(rows: Sequence[Row]) -> pl.DataFrame:
    """One row a night, whole numbers and lists of whole numbers."""
    import polars as pl

    kinds = {key: pl.List(pl.Int64) if isinstance(value, list) else pl.Int64 for key, value in rows[0].items()}
    return pl.DataFrame([pl.Series(key, [row[key] for row in rows], dtype=kind) for key, kind in kinds.items()])


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    """Write nights.parquet."""
    write_frame(path, rows_frame(rows))


def read_rows(path: Path) -> list[Row]:
    """The rows of nights.parquet again."""
    import polars as pl

    return [PackedRow(row) for row in pl.read_parquet(path).iter_rows(named=True)]


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


def _row(number: int) -> str:
    return f"{number:07d}{_ROW}"


def _precincts(number: int) -> str:
    return f"{number:07d}-precincts.parquet"


def _events(number: int) -> str:
    return f"{number:07d}-events.parquet"


def _parquet(frame: pl.DataFrame, number: int) -> bytes:
    import polars as pl

    content = io.BytesIO()
    numbered = frame.select(pl.lit(number, pl.Int64).alias("night"), pl.all())
    numbered.write_parquet(content, compression=_COMPRESSION)
    return content.getvalue()


def _in_order(files: Iterable[Path]) -> pl.LazyFrame:
    import polars as pl

    return pl.scan_parquet(list(files))
