"""Many nights of one scenario: played in processes, kept as they finish, added up at the end.

Order and number of workers change nothing, because every night draws its luck by its own address.
"""

from __future__ import annotations

import os
import signal
import tempfile
import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from simulation import compiled
from simulation import workers as crews
from simulation.errors import InputError, UnfinishedError
from simulation.experiment.folder import NIGHTS_FILE, PRECINCTS_FILE, Folder
from simulation.experiment.precincts import over_all_nights
from simulation.experiment.run_file import RUN_FILE, run_table, run_text, versions
from simulation.experiment.store import KEEPS, Store, read_rows
from simulation.progress import Progress
from simulation.scenario import Scenario

if TYPE_CHECKING:
    import polars as pl

MOST_NIGHTS = 1_000_000
SEEDS = 1 << 32

COMPILING = "compiling the first night: once, some 20 s"
PLAYING = "playing nights"
WRITING = "writing the report"


@dataclass(frozen=True)
class Nights:
    """Simulated nights: `rows` are the rows of nights.parquet, in order of night."""

    scenario: Scenario
    seed: int
    rows: Sequence[dict[str, Any]] = field(repr=False)
    over_nights: pl.DataFrame = field(repr=False)
    fixed: bool = False
    notices: tuple[str, ...] = ()  # what the reader should know about how they came about, a sentence each

    def __len__(self) -> int:
        """How many nights."""
        return len(self.rows)

    def summary(self) -> dict[str, Any]:
        """The shape of summary.json."""
        from simulation.night.summary import summarize

        return summarize(self.scenario, self.seed, self.rows)

    def precincts(self) -> pl.DataFrame:
        """One row a precinct over all nights, as in precincts.parquet (see `experiment.precincts`)."""
        return self.over_nights


def run_nights(
    scenario: Scenario,
    nights: int,
    seed: int,
    *,
    fixed: bool = False,
    workers: int | None = None,
    progress: Progress | None = None,
    folder: Path | None = None,
    resume: bool = False,
    force: bool = False,
    keep: Collection[str] = (),
    pdf: bool = False,
) -> Nights:
    """Play nights 0 .. `nights` - 1 in `workers` processes (None: one a core; 1: in this process).

    With `folder`, everything is written there (`keep` adds "precincts" or "events", see `experiment.folder`, `pdf` the
    report as a PDF), a run that ended early goes on with `resume`, and `force` replaces another run. Raises InputError
    before anything is written, and UnfinishedError where the run ended before it was whole.
    """
    _check(nights, seed, workers, keep)
    say = progress or (lambda done, of, now: None)
    notices = _other_versions(scenario)
    run = run_table(scenario, seed, nights, fixed)
    if folder is None:
        with tempfile.TemporaryDirectory(prefix="caucus-") as temporary:
            store = Store(Path(temporary), with_events=False)
            with _explained(None, store, nights):
                _play(scenario, seed, fixed, nights, workers, store, say)
                rows, precincts = store.rows(nights), over_all_nights(store.precincts(nights))
        return Nights(scenario, seed, rows, precincts, fixed, notices)

    if pdf:
        from simulation.report.pdf import check as check_pdf

        check_pdf()  # not after hours of nights
    place = Folder.at(folder, sorted(keep), run_text(scenario, run), pdf=pdf)
    if place.is_whole(force):
        notices += (f"{folder} holds this very run already, so nothing was played; --force plays it again.",)
        return _read(place, scenario, seed, fixed, notices)
    lock = place.begin(scenario, resume, force)
    try:
        with _explained(place, place.nights, nights):
            _play(scenario, seed, fixed, nights, workers, place.nights, say)
            say(nights, nights, WRITING)
            rows = place.nights.rows(nights)
            found = Nights(scenario, seed, rows, over_all_nights(place.nights.precincts(nights)), fixed, notices)
            place.finish(scenario, rows, found.precincts(), found.summary(), run, force)
    finally:
        place.forget_if_empty()
        os.close(lock)
    return found


@dataclass(frozen=True)
class _PlayOne:
    """The task of a worker: play a night and keep it."""

    scenario: Scenario
    seed: int
    fixed: bool
    store: Store

    def __call__(self, night: int) -> None:
        from simulation.night import play_night

        log = self.store.with_events
        self.store.write(play_night(self.scenario, self.seed, night, fixed=self.fixed, log=log))


def _play(
    scenario: Scenario, seed: int, fixed: bool, nights: int, workers: int | None, store: Store, say: Progress
) -> None:
    """Play what the store does not hold yet."""
    here = set(store.finished(nights))
    missing = [night for night in range(nights) if night not in here]
    done = len(here)
    warm = compiled.is_warm()
    say(done, nights, PLAYING if warm or not missing else COMPILING)
    _ = scenario.roster  # expanded once, not in every worker
    task = _PlayOne(scenario, seed, fixed, store)
    crew = min(len(missing), workers or crews.cores())
    finished = crews.in_turn(task, missing) if crew <= 1 else crews.in_parallel(task, missing, crew, not warm)
    try:
        for _night in finished:
            done += 1
            if not warm:
                compiled.now_warm()
                warm = True
            say(done, nights, PLAYING)
    finally:
        finished.close()  # ends the workers before anybody reads what they finished


def _read(place: Folder, scenario: Scenario, seed: int, fixed: bool, notices: tuple[str, ...]) -> Nights:
    import polars as pl

    precincts = pl.read_parquet(place.path / PRECINCTS_FILE)
    return Nights(scenario, seed, read_rows(place.path / NIGHTS_FILE), precincts, fixed, notices)


def _other_versions(scenario: Scenario) -> tuple[str, ...]:
    """A sentence where the scenario is the run.toml of a run that other versions played."""
    written = scenario.spec.run.versions if scenario.spec.run else {}
    changed = [
        f"{name} {written.get(name)} (now {now})" for name, now in versions().items() if written.get(name, now) != now
    ]
    if not changed:
        return ()
    return (f"{RUN_FILE} was written with {', '.join(changed)}: results may differ from that run's.",)


def _check(nights: int, seed: int, workers: int | None, keep: Collection[str]) -> None:
    problems = []
    if not 1 <= nights <= MOST_NIGHTS:
        problems.append(f"nights = {nights}: expected a whole number from 1 to {MOST_NIGHTS:,}")
    if not 0 <= seed < SEEDS:
        problems.append(f"seed = {seed}: expected a whole number from 0 to {SEEDS - 1}")
    if workers is not None and workers < 1:
        problems.append(f"workers = {workers}: expected a whole number, 1 or more")
    problems += [f"keep = {name!r}: expected one of {', '.join(KEEPS)}" for name in sorted(set(keep) - set(KEEPS))]
    if problems:
        raise InputError(problems)


class _TerminatedError(KeyboardInterrupt):
    """SIGTERM: the process was asked to end."""


@contextmanager
def _explained(place: Folder | None, store: Store, nights: int) -> Iterator[None]:
    """Turn what ends a run early into one sentence: what happened, what is kept, how to go on."""
    try:
        with _sigterm_raises():
            yield
    except _TerminatedError:
        raise _unfinished("Stopped by SIGTERM", place, store, nights, 128 + signal.SIGTERM) from None
    except KeyboardInterrupt:
        if place is None:
            raise
        raise _unfinished("Stopped by Ctrl-C", place, store, nights, 128 + signal.SIGINT) from None
    except crews.WorkerDiedError:
        reason = "A worker process was killed, most likely for lack of memory (--workers 1 needs the least)"
        raise _unfinished(reason, place, store, nights) from None
    except OSError as error:
        raise _unfinished(f"Stopped: {error.strerror or error}", place, store, nights) from error


def _unfinished(reason: str, place: Folder | None, store: Store, nights: int, exit_code: int = 1) -> UnfinishedError:
    done = len(store.finished(nights))
    if place is None:
        return UnfinishedError(f"{reason}; nothing is kept without an output folder.", exit_code)
    if not done:
        return UnfinishedError(f"{reason}; no night was finished.", exit_code)
    kept = f"{done} of {nights} nights are kept in {place.shown_partial}"
    return UnfinishedError(f"{reason}; {kept}: the same command with --resume goes on from there.", exit_code)


@contextmanager
def _sigterm_raises() -> Iterator[None]:
    """Treat SIGTERM as Ctrl-C is treated; only the main thread may say so."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise _TerminatedError

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
