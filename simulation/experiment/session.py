"""A session of work: whose processes do it, where its results are kept, and one sentence where it ends early.

Runs and experiments share it. Knows nothing of what the jobs are.
"""

from __future__ import annotations

import os
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from types import FrameType

from simulation import compiled
from simulation import workers as crews
from simulation.errors import UnfinishedError
from simulation.experiment.folder import Folder
from simulation.experiment.store import Store
from simulation.progress import COMPILING, Progress


class Session:
    """Use `session()`."""

    def __init__(self, store: Store, workers: int | None, cluster: str | None, say: Progress, stack: ExitStack) -> None:
        self.store = store
        self.say = say
        self._workers = workers or crews.cores()
        self._cluster = cluster
        self._stack = stack
        self._crew: crews.Crew | None = None
        self._warm = cluster is not None or compiled.is_warm()  # a cluster's workers compile where they are
        if cluster is not None:
            from simulation.experiment.cluster import Cluster

            say(0, 0, f"asking the cluster at {cluster}")
            self._crew = stack.enter_context(Cluster(cluster))  # before anything is played: nobody may answer

    def do(self, jobs: Sequence[crews.Job], keep: Callable[[int, bytes], None], doing: str, done: int = 0) -> None:
        """Do jobs, and `keep` what each made as it comes; `done` are those of the same list that were done before."""
        of = done + len(jobs)
        self.say(done, of, doing if self._warm or not jobs else COMPILING)
        if not jobs:
            return
        with closing(self._crew_for(len(jobs)).run(jobs)) as finished:
            for place, made in finished:
                keep(place, made)
                done += 1
                self._warm = True
                self.say(done, of, doing)

    def _crew_for(self, jobs: int) -> crews.Crew:
        if self._crew is not None:
            return self._crew
        if min(jobs, self._workers) <= 1:
            return crews.InTurn()
        self._crew = self._stack.enter_context(crews.InParallel(self._workers, first_alone=not self._warm))
        return self._crew


@contextmanager
def session(
    place: Folder | None,
    *,
    workers: int | None,
    cluster: str | None,
    resume: bool,
    force: bool,
    say: Progress,
    kept: Callable[[], str],
) -> Iterator[Session]:
    """Work that is kept in DIR.partial, or in a temporary folder that nobody finds again.

    `kept` says what is finished ("3 of 8 nights"), nothing where it is nothing. UnfinishedError where the work ends
    early; InputError where DIR.partial is in use or holds something else, or a cluster does not serve.
    """
    with ExitStack() as stack:
        if place is None:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="caucus-"))
            store = Store(Path(folder))
        else:
            stack.callback(os.close, place.begin(resume, force))
            stack.callback(place.forget_if_empty)
            store = place.store
        with _explained(place, kept), ExitStack() as crew:
            yield Session(store, workers, cluster, say, crew)


class _TerminatedError(KeyboardInterrupt):
    """SIGTERM: the process was asked to end."""


@contextmanager
def _explained(place: Folder | None, kept: Callable[[], str]) -> Iterator[None]:
    """Turn what ends work early into one sentence: what happened, what is kept, how to go on."""

    def unfinished(reason: str, exit_code: int = 1) -> UnfinishedError:
        if place is None:
            return UnfinishedError(f"{reason}; nothing is kept without an output folder.", exit_code)
        finished = kept()
        if not finished:
            return UnfinishedError(f"{reason}; nothing was finished.", exit_code)
        there = f"{finished} are kept in {place.shown_partial}"
        return UnfinishedError(f"{reason}; {there}: the same command with --resume goes on from there.", exit_code)

    try:
        with _sigterm_raises():
            yield
    except _TerminatedError:
        raise unfinished("Stopped by SIGTERM", 128 + signal.SIGTERM) from None
    except KeyboardInterrupt:
        if place is None:
            raise
        raise unfinished("Stopped by Ctrl-C", 128 + signal.SIGINT) from None
    except crews.WorkerDiedError as error:
        raise unfinished(f"{error}") from None
    except OSError as error:
        raise unfinished(f"Stopped: {error.strerror or error}") from error


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
