"""The output folder: begun as DIR.partial, which survives whatever ends the run, and renamed to DIR when it is whole.

Knows nothing of how nights are played.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simulation.errors import InputError
from simulation.experiment.run_file import ROSTER_FILE, RUN_FILE, differences, uses_roster_file
from simulation.experiment.store import KEEP_EVENTS, KEEP_PRECINCTS, Store, write_frame, write_rows, write_whole

if TYPE_CHECKING:
    import polars as pl

    from simulation.scenario import Scenario

REPORT_FILE = "report.html"
PDF_FILE = "report.pdf"
SUMMARY_FILE = "summary.json"
NIGHTS_FILE = "nights.parquet"
PRECINCTS_FILE = "precincts.parquet"
KEPT_FILES = {KEEP_PRECINCTS: "precinct-nights.parquet", KEEP_EVENTS: "events.parquet"}
_FILES = {REPORT_FILE, PDF_FILE, SUMMARY_FILE, NIGHTS_FILE, PRECINCTS_FILE, RUN_FILE, ROSTER_FILE, *KEPT_FILES.values()}

# What lies in DIR.partial: finished nights, what becomes DIR, what was DIR
_NIGHTS, _WHOLE, _REPLACED = "nights", "whole", "replaced"
_NAMED_KEYS = 3  # of those in which two runs differ


@dataclass(frozen=True)
class Folder:
    """Where a run goes. `shown` is the path as it was given, for messages."""

    shown: Path
    path: Path  # absolute, without symbolic links: a rename does not cross them
    keep: frozenset[str]
    wanted: str  # the text of run.toml
    pdf: bool = False  # the report also as a PDF

    @classmethod
    def at(cls, path: Path, keep: Sequence[str], wanted: str, *, pdf: bool = False) -> Folder:
        """The folder at a path; InputError where nothing can be put."""
        found = path.resolve()
        if found.exists() and not found.is_dir():
            raise InputError(f"--out {path}: is a file: name a folder, or a new one")
        if found in (Path.cwd(), *Path.cwd().parents):
            raise InputError(f"--out {path}: is the folder you are in, or above it: name a new one")
        return cls(path, found, frozenset(keep), wanted, pdf)

    @property
    def partial(self) -> Path:
        """Where the run lies until it is whole."""
        return self.path.with_name(self.path.name + ".partial")

    @property
    def shown_partial(self) -> Path:
        """That path, for messages."""
        return self.shown.with_name(self.path.name + ".partial")

    @property
    def nights(self) -> Store:
        """The finished nights of a run that is not whole."""
        return Store(self.partial / _NIGHTS, KEEP_EVENTS in self.keep)

    def is_whole(self, force: bool) -> bool:
        """Whether the very run that is wanted is there already; with `force`, it is never good enough.

        InputError where the folder holds anything else, unless it is another run and `force` may replace it.
        """
        if not self.path.is_dir() or not any(self.path.iterdir()):
            return False
        run_file = self.path / RUN_FILE
        if not run_file.is_file():
            raise InputError(
                f"{self.shown}: holds no {RUN_FILE}, so it is no folder of `caucus simulate`, and not even --force "
                "replaces it: choose another folder with --out"
            )
        if force:
            strangers = sorted(item.name for item in self.path.iterdir() if item.name not in _FILES)
            if strangers:
                raise InputError(
                    f"{self.shown}: holds {strangers[0]}, which `caucus simulate` did not write and --force would "
                    "delete: move it, or choose another folder with --out"
                )
            return False
        changed = differences(run_file.read_text(encoding="utf-8"), self.wanted)
        asked = [*(KEPT_FILES[kept] for kept in sorted(self.keep)), *([PDF_FILE] if self.pdf else [])]
        lacking = [name for name in asked if not (self.path / name).exists()]
        if changed or lacking:
            why = f"another run (it differs in {_some(changed)})" if changed else f"the run without {lacking[0]}"
            raise InputError(f"{self.shown}: holds {why}: choose another folder with --out, or replace it with --force")
        return True

    def begin(self, scenario: Scenario, resume: bool, force: bool) -> int:
        """Make DIR.partial ready, locked for this process; returns a descriptor that holds the lock until closed.

        InputError where it holds another run, or this one without `resume`, or cannot be made.
        """
        try:
            self.partial.mkdir(parents=True, exist_ok=True)
            lock = os.open(self.partial, os.O_RDONLY)
        except OSError as error:
            raise InputError(f"--out {self.shown}: cannot be written: {error.strerror}") from None
        try:
            self._lock(lock)
            self._check_partial(resume, force)
            if not (self.partial / RUN_FILE).exists():
                shutil.rmtree(self.nights.folder, ignore_errors=True)
                self.nights.folder.mkdir()
            write_whole(self.partial / RUN_FILE, self.wanted.encode())
            if uses_roster_file(scenario):
                write_whole(self.partial / ROSTER_FILE, scenario.roster.csv().encode())
        except OSError as error:
            os.close(lock)
            self.forget_if_empty()
            raise InputError(f"--out {self.shown}: cannot be written: {error.strerror}") from None
        except BaseException:
            os.close(lock)
            raise
        return lock

    def _lock(self, descriptor: int) -> None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                f"{self.shown_partial}: another `caucus simulate` is at work there: wait for it, or choose another "
                "folder with --out"
            ) from None
        except OSError:
            pass  # a file system without locks: nobody but the user can see to it

    def _check_partial(self, resume: bool, force: bool) -> None:
        """Empty DIR.partial unless it holds nights that this run goes on from; InputError where it may do neither."""
        run_file = self.partial / RUN_FILE
        begun = any(self.nights.folder.glob("*.json")) and run_file.is_file()
        if begun and not force:
            written = run_file.read_text(encoding="utf-8")
            changed = [key for key in differences(written, self.wanted) if key != "run.nights"]
            if changed:
                raise InputError(
                    f"{self.shown_partial}: holds nights of another run (it differs in {_some(changed)}): choose "
                    "another folder with --out, or start over with --force"
                )
            if not resume:
                raise InputError(
                    f"{self.shown_partial}: holds nights of this run, which did not finish: go on with --resume, or "
                    "start over with --force"
                )
            return
        known = (_NIGHTS, _WHOLE, _REPLACED, RUN_FILE, ROSTER_FILE)
        there = sorted(self.partial.iterdir())
        strangers = [item.name for item in there if not item.name.startswith(known)]
        if strangers:
            raise InputError(
                f"{self.shown_partial}: would be emptied, but holds {strangers[0]}, which `caucus simulate` did not "
                "write: choose another folder with --out"
            )
        for item in there:
            _remove(item)

    def forget_if_empty(self) -> None:
        """Leave no DIR.partial behind that holds no finished night."""
        if not any(self.nights.folder.glob("*.json")):
            shutil.rmtree(self.partial, ignore_errors=True)

    def finish(
        self,
        scenario: Scenario,
        rows: Sequence[dict[str, Any]],
        precincts: pl.DataFrame,
        summary: dict[str, Any],
        run: dict[str, Any],
        force: bool,
    ) -> None:
        """Write everything into DIR.partial, let it become DIR, and delete what is left. OSError where that fails."""
        from simulation.experiment.precincts import worst_nights
        from simulation.report import render

        whole = self.partial / _WHOLE
        _remove(whole)
        whole.mkdir()
        write_rows(whole / NIGHTS_FILE, rows)
        write_frame(whole / PRECINCTS_FILE, precincts)
        if KEEP_PRECINCTS in self.keep:
            write_frame(whole / KEPT_FILES[KEEP_PRECINCTS], self.nights.precincts(len(rows)))
        if KEEP_EVENTS in self.keep:
            write_frame(whole / KEPT_FILES[KEEP_EVENTS], self.nights.events(len(rows)))
        (whole / SUMMARY_FILE).write_text(json.dumps(summary, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        worst = worst_nights(self.nights.precincts(len(rows)))
        report = render(scenario, list(rows), precincts, summary, run, worst=worst)
        (whole / REPORT_FILE).write_text(report, encoding="utf-8")
        if self.pdf:
            from simulation.report.pdf import as_pdf

            (whole / PDF_FILE).write_bytes(as_pdf(report))
        for name in (RUN_FILE, ROSTER_FILE):
            if (self.partial / name).exists():
                shutil.copyfile(self.partial / name, whole / name)
        self._publish(whole, force)
        shutil.rmtree(self.partial, ignore_errors=True)

    def _publish(self, whole: Path, force: bool) -> None:
        replaced = self.partial / _REPLACED
        if force and self.path.exists():
            _remove(replaced)
            self.path.rename(replaced)
        try:
            whole.rename(self.path)
        except OSError:
            if replaced.exists():
                replaced.rename(self.path)
            raise


def _some(keys: Sequence[str]) -> str:
    more = len(keys) - _NAMED_KEYS
    return ", ".join(keys[:_NAMED_KEYS]) + (f" and {more} more" if more > 0 else "")


def _remove(item: Path) -> None:
    if item.is_dir() and not item.is_symlink():
        shutil.rmtree(item)
    else:
        with suppress(FileNotFoundError):
            item.unlink()
