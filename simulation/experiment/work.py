"""Units of work of an experiment: played once each, kept on disk by what they are, found again by whoever resumes.

Knows nothing of what an experiment asks; it may ask again and again, as a search does.
"""

from __future__ import annotations

import hashlib
import io
import json
import pickle
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from simulation.errors import InputError
from simulation.experiment.folder import Folder
from simulation.experiment.packed import PackedRow, Row
from simulation.experiment.run_file import ENGINES, EXPERIMENT_FILE, WRITTEN, experiment_text
from simulation.experiment.session import Session, session
from simulation.experiment.store import row_bytes, write_frame
from simulation.progress import Progress
from simulation.scenario import Scenario
from simulation.workers import Job

if TYPE_CHECKING:
    import polars as pl

WRITING = "writing the report"

Positions = tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Unit:
    """One night of one scenario; `positions` place assumptions within their ranges instead of drawing them."""

    scenario: Scenario
    night: int
    positions: Positions = ()


Play: TypeAlias = Callable[[Sequence[Unit], str], Sequence[Mapping[str, Any]]]  # and what is going on: rows in order


class Work:
    """What an experiment has done in its session. Use `open_work`."""

    def __init__(self, done: Session, place: Folder | None, seed: int, fixed: bool, engine: str, force: bool) -> None:
        self._session = done
        self._place = place
        self._seed, self._fixed, self._engine, self._force = seed, fixed, engine, force
        self._tasks: dict[int, tuple[_PlayRow, str]] = {}  # by id of the scenario, which the task keeps alive
        self._here = done.store.names()

    def rows(self, units: Sequence[Unit], doing: str = "playing nights") -> list[Row]:
        """The night of each unit, as a row of nights.parquet, in the order of the units."""
        return [PackedRow(row) for row in self.each(units, doing)]

    def each(self, units: Sequence[Unit], doing: str = "playing nights") -> Iterator[Row]:
        """The same, for those who look at each row once: all are played, then read one by one."""
        jobs: list[Job] = []
        names: list[str] = []
        for unit in units:
            task, content = self._playing(unit.scenario)
            positions = tuple(sorted(unit.positions))
            jobs.append(Job(task, (unit.night, positions)))
            names.append(_address("row", content, self._seed, self._fixed, unit.night, positions))
        return map(json.loads, self._made(names, jobs, doing))

    def map(self, function: Callable[[Any], bytes], items: Sequence[Any], doing: str = "working") -> list[bytes]:
        """`function` of each item, in the order of the items. It travels to a process once, so that a
        `functools.partial` may hold a scenario; what either of them holds is pickled, and found again by that.
        """
        content = _pickled(function)
        jobs = [Job(function, item) for item in items]
        names = [_address("map", content, self._seed, self._fixed, _pickled(item)) for item in items]
        return list(self._made(names, jobs, doing))

    def finish(self, files: Mapping[str, str | bytes | Mapping[str, Any] | pl.DataFrame]) -> None:
        """Let DIR appear with these files in it: texts, bytes, JSON for a mapping, Parquet for a frame."""
        if self._place is None:
            return
        self._session.say(1, 1, WRITING)

        def write(folder: Path) -> None:
            for name, content in files.items():
                _write(folder / name, content)

        listed = ", ".join(json.dumps(name) for name in sorted(files))
        self._place.finish(write, self._force, f"{self._place.wanted}\n[{WRITTEN}]\nfiles = [{listed}]\n")

    def _made(self, names: Sequence[str], jobs: Sequence[Job], doing: str) -> Iterator[bytes]:
        """What each job makes, done first where it is not here, then read one by one."""
        store = self._session.store
        missing = {name: job for name, job in zip(names, jobs, strict=True) if name not in self._here}
        wanted = list(missing)
        before = len(set(names)) - len(missing)

        def keep(place: int, made: bytes) -> None:
            store.write(wanted[place], made)
            self._here.add(wanted[place])

        self._session.do(list(missing.values()), keep, doing, done=before)
        return map(store.read, names)

    def _playing(self, scenario: Scenario) -> tuple[_PlayRow, str]:
        """The task that plays a scenario, and what the scenario is."""
        found = self._tasks.get(id(scenario))
        if found is None:
            found = (_PlayRow(scenario, self._seed, self._fixed, self._engine), _address(_content_of(scenario)))
            self._tasks[id(scenario)] = found
        return found


@contextmanager
def open_work(
    *,
    kind: str,
    wanted: Mapping[str, Any],
    out: Path | None,
    seed: int,
    fixed: bool = False,
    engine: str = ENGINES[0],
    workers: int | None = None,
    cluster: str | None = None,
    resume: bool = False,
    force: bool = False,
    progress: Progress | None = None,
) -> Iterator[Work]:
    """Work of a `kind` of experiment; `wanted` says, as TOML can, what its result depends on beside the arguments here.

    With `out`, results are kept in DIR.partial as they come, and `finish` makes DIR of them. InputError where DIR holds
    something else, or this very experiment, already; UnfinishedError where the work ends early.
    """
    place = None
    if out is not None:
        text = experiment_text(wanted, kind, seed, fixed, engine)
        place = Folder.at(out, text, text_file=EXPERIMENT_FILE, command=f"caucus {kind}")
        if place.is_whole(force):
            raise InputError(f"{out}: holds this very experiment already: read it there, or do it again with --force")

    def kept() -> str:
        finished = len(place.store.names()) if place else 0
        return f"{finished:,} finished results" if finished else ""

    say = progress or (lambda done, of, now: None)
    with session(place, workers=workers, cluster=cluster, resume=resume, force=force, say=say, kept=kept) as done:
        yield Work(done, place, seed, fixed, engine, force)


@dataclass(frozen=True)
class _PlayRow:
    """The task of a worker: the row of a night."""

    scenario: Scenario
    seed: int
    fixed: bool
    engine: str

    def __call__(self, item: tuple[int, Positions]) -> bytes:
        from simulation.night import play_night

        night, positions = item
        return row_bytes(
            play_night(
                self.scenario,
                self.seed,
                night,
                fixed=self.fixed,
                positions=dict(positions) or None,
                engine=self.engine,
            )
        )


def _content_of(scenario: Scenario) -> str:
    """What a scenario is, as far as its nights depend on it."""
    document = {key: value for key, value in scenario.document.items() if key != "run"}
    return json.dumps([document, scenario.roster.sha256], sort_keys=True, default=str)


class _Pickler(pickle.Pickler):
    """Bytes that depend on what a thing holds: not on which parts of it are one object, nor on what it remembers."""

    def persistent_id(self, thing: Any) -> str | None:
        return _content_of(thing) if isinstance(thing, Scenario) else None


def _pickled(thing: Any) -> bytes:
    content = io.BytesIO()
    pickler = _Pickler(content, protocol=5)
    pickler.fast = True  # no references back
    pickler.dump(thing)
    return content.getvalue()


def _address(*parts: Any) -> str:
    """A name for what is made of these."""
    digest = hashlib.blake2b(digest_size=20)
    for part in parts:
        content = part if isinstance(part, bytes) else repr(part).encode()
        digest.update(len(content).to_bytes(8, "big") + content)
    return digest.hexdigest()


def _write(path: Path, content: str | bytes | Mapping[str, Any] | pl.DataFrame) -> None:
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif isinstance(content, str):
        path.write_text(content, encoding="utf-8", newline="")
    elif isinstance(content, Mapping):
        path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    else:
        write_frame(path, content)
