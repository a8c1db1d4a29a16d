"""How far a run is, on stderr: a bar with the time left at a terminal, a line now and then anywhere else."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Progress = Callable[[int, int, str], None]  # done, of, what is going on

COMPILING = "compiling: once on this machine, some 20 s"
_EVERY = 15  # seconds between lines where there is no terminal


@contextmanager
def shown(quiet: bool, noun: str = "nights") -> Iterator[Progress]:
    """What long work may call with how many are done, how many there are (0: not known), and what is going on.

    `noun` says what is counted.
    """
    if quiet:
        yield lambda done, of, now: None
    elif sys.stderr.isatty():
        with _bar() as update:
            yield update
    else:
        yield _Lines(noun).update


class _Compiled:
    """How long compiling took, once it is over."""

    def __init__(self) -> None:
        self.since: float | None = None

    def said(self, now: str) -> str | None:
        """A sentence when it is just over."""
        if now == COMPILING:
            self.since = self.since or time.monotonic()
            return None
        since, self.since = self.since, None
        return None if since is None else f"Compiled, and the first one done, in {time.monotonic() - since:.0f} s."


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
        doing, compiled = "", _Compiled()

        def update(done: int, of: int, now: str) -> None:
            nonlocal doing
            said = compiled.said(now)
            if said:
                bar.console.print(said, markup=False, highlight=False)
            if now != doing:  # what was done before says nothing about speed
                bar.reset(task, total=of, completed=done, description=now)
                doing = now
            bar.update(task, total=of, completed=done)

        yield update


class _Lines:
    """Lines on stderr: each time something else is going on, and every few seconds."""

    def __init__(self, noun: str) -> None:
        self.noun = noun
        self.now = ""
        self.said_at = 0.0
        self.first: tuple[float, int] | None = None  # when, and how many were done
        self.compiled = _Compiled()

    def update(self, done: int, of: int, now: str) -> None:
        at = time.monotonic()
        said = self.compiled.said(now)
        if said:
            print(said, file=sys.stderr)
        if now == self.now and at - self.said_at < _EVERY:
            return
        if now != self.now:
            self.first = (at, done)
        self.now, self.said_at = now, at
        counted = f": {done} of {of} {self.noun}{self._time_left(at, done, of)}" if of else " ..."
        print(f"{now[:1].upper()}{now[1:]}{counted}", file=sys.stderr)

    def _time_left(self, at: float, done: int, of: int) -> str:
        if self.first is None or done <= self.first[1] or done == of:
            return ""
        seconds = (at - self.first[0]) / (done - self.first[1]) * (of - done)
        return f", {round(seconds)} s left" if seconds < 100 else f", {round(seconds / 60)} min left"
