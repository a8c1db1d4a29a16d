"""How far a run is, on stderr: a bar with the time left at a terminal, a line now and then anywhere else."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Progress = Callable[[int, int, str], None]  # done, of, what is going on

_EVERY = 15  # seconds between lines where there is no terminal


@contextmanager
def shown(quiet: bool) -> Iterator[Progress]:
    """What a long run may call with nights done, nights in all, and what is going on."""
    if quiet:
        yield lambda done, of, now: None
    elif sys.stderr.isatty():
        with _bar() as update:
            yield update
    else:
        yield _Lines().update


@contextmanager
def _bar() -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("")
        started = False

        def update(done: int, of: int, now: str) -> None:
            nonlocal started
            if not started:  # nights that were there before say nothing about speed
                bar.reset(task, total=of, completed=done, description=now)
                started = True
            bar.update(task, completed=done, description=now)

        yield update


class _Lines:
    """Lines on stderr: each time something else is going on, and every few seconds."""

    def __init__(self) -> None:
        self.now = ""
        self.said_at = 0.0
        self.first: tuple[float, int] | None = None  # when, and how many were done

    def update(self, done: int, of: int, now: str) -> None:
        at = time.monotonic()
        if now == self.now and at - self.said_at < _EVERY:
            return
        if now != self.now:
            self.first = (at, done)
        self.now, self.said_at = now, at
        print(f"{now[:1].upper()}{now[1:]}: {done} of {of} nights{self._time_left(at, done, of)}", file=sys.stderr)

    def _time_left(self, at: float, done: int, of: int) -> str:
        if self.first is None or done <= self.first[1] or done == of:
            return ""
        seconds = (at - self.first[0]) / (done - self.first[1]) * (of - done)
        return f", {round(seconds)} s left" if seconds < 100 else f", {round(seconds / 60)} min left"
