"""The output folder: begun as DIR.partial, which survives whatever ends the run, and renamed to DIR when it is whole.

One text in it (run.toml, experiment.toml) says all that its content depends on. Knows nothing of how nights are played.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tomllib
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from simulation.errors import InputError
from simulation.experiment.run_file import EXPERIMENT_FILE, ROSTER_FILE, RUN_FILE, WRITTEN, differences
from simulation.experiment.store import KEEP_EVENTS, KEEP_PRECINCTS, Store, write_whole

REPORT_FILE = "report.html"
PDF_FILE = "report.pdf"
SUMMARY_FILE = "summary.json"
NIGHTS_FILE = "nights.parquet"
PRECINCTS_FILE = "precincts.parquet"
KEPT_FILES = {KEEP_PRECINCTS: "precinct-nights.parquet", KEEP_EVENTS: "events.parquet"}
_RUN_FILES = {REPORT_FILE, PDF_FILE, SUMMARY_FILE, NIGHTS_FILE, PRECINCTS_FILE, RUN_FILE, ROSTER_FILE}

# What lies in DIR.partial: finished results, what becomes DIR, what was DIR
_FINISHED, _WHOLE, _REPLACED = "finished", "whole", "replaced"
_NAMED_KEYS = 3  # of those in which two runs differ


@dataclass(frozen=True)
class Folder:
    """Where a run goes. `shown` is the path as it was given, for messages."""

    shown: Path
    path: Path  # absolute, without symbolic links: a rename does not cross them
    wanted: str  # the text of `text_file`: two runs are the same when theirs are
    text_file: str = RUN_FILE
    roster: bytes | None = None  # what becomes roster.csv
    asked: tuple[str, ...] = ()  # files that another run of the same text may lack
    may_grow: tuple[str, ...] = ()  # keys of the text in which what DIR.partial holds may differ
    command: str = "caucus simulate"

    @classmethod
    def at(cls, path: Path, wanted: str, **more: object) -> Folder:
        """The folder at a path; InputError where nothing can be put."""
        found = path.resolve()
        if found.exists() and not found.is_dir():
            raise InputError(f"--out {path}: is a file: name a folder, or a new one")
        if found in (Path.cwd(), *Path.cwd().parents):
            raise InputError(f"--out {path}: is the folder you are in, or above it: name a new one")
        return cls(path, found, wanted, **more)  # type: ignore[arg-type]  # the fields of this class

    @property
    def partial(self) -> Path:
        """Where the run lies until it is whole."""
        return self.path.with_name(self.path.name + ".partial")

    @property
    def shown_partial(self) -> Path:
        """That path, for messages."""
        return self.shown.with_name(self.path.name + ".partial")

    @property
    def store(self) -> Store:
        """What is finished of a run that is not whole."""
        return Store(self.partial / _FINISHED)

    def is_whole(self, force: bool, free: Sequence[str] = ()) -> bool:
        """Whether the very run that is wanted is there already; with `force`, it is never good enough.

        `free` are keys that may differ. InputError where the folder holds anything else, unless it is another run and
        `force` may replace it.
        """
        if not self.path.is_dir() or not any(self.path.iterdir()):
            return False
        text_file = self.path / self.text_file
        if not text_file.is_file():
            raise InputError(
                f"{self.shown}: holds no {self.text_file}, so it is no folder of `{self.command}`, and not even "
                "--force replaces it: choose another folder with --out"
            )
        written = text_file.read_text(encoding="utf-8")
        if force:
            own = {*_RUN_FILES, *KEPT_FILES.values()} if self.text_file == RUN_FILE else _names_in(written)
            strangers = sorted(item.name for item in self.path.iterdir() if item.name not in own)
            if strangers:
                raise InputError(
                    f"{self.shown}: holds {strangers[0]}, which `{self.command}` did not write and --force would "
                    "delete: move it, or choose another folder with --out"
                )
            return False
        changed = [key for key in differences(written, self.wanted) if key not in free]
        lacking = [name for name in self.asked if not (self.path / name).exists()]
        if changed or lacking:
            raise self.holds(f"another run (it differs in {_some(changed)})" if changed else f"no {lacking[0]}")
        return True

    def holds(self, what: str) -> InputError:
        """The error that says why what is there is not what is wanted."""
        return InputError(f"{self.shown}: holds {what}: choose another folder with --out, or replace it with --force")

    def begin(self, resume: bool, force: bool) -> int:
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
            if not (self.partial / self.text_file).exists():
                shutil.rmtree(self.store.folder, ignore_errors=True)
            self.store.folder.mkdir(exist_ok=True)
            write_whole(self.partial / self.text_file, self.wanted.encode())
            if self.roster is not None:
                write_whole(self.partial / ROSTER_FILE, self.roster)
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
                f"{self.shown_partial}: another `caucus` is at work there: wait for it, or choose another folder with "
                "--out"
            ) from None
        except OSError:
            pass  # a file system without locks: nobody but the user can see to it

    def _check_partial(self, resume: bool, force: bool) -> None:
        """Empty DIR.partial unless it holds results that this run goes on from; InputError where it may do neither."""
        text_file = self.partial / self.text_file
        begun = bool(self.store.names()) and text_file.is_file()
        if begun and not force:
            written = text_file.read_text(encoding="utf-8")
            changed = [key for key in differences(written, self.wanted) if key not in self.may_grow]
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
        known = (_FINISHED, _WHOLE, _REPLACED, self.text_file, ROSTER_FILE)
        there = sorted(self.partial.iterdir())
        strangers = [item.name for item in there if not item.name.startswith(known)]
        if strangers:
            raise InputError(
                f"{self.shown_partial}: would be emptied, but holds {strangers[0]}, which `{self.command}` did not "
                "write: choose another folder with --out"
            )
        for item in there:
            _remove(item)

    def forget_if_empty(self) -> None:
        """Leave no DIR.partial behind that holds nothing finished."""
        if not self.store.names():
            shutil.rmtree(self.partial, ignore_errors=True)

    def finish(self, write: Callable[[Path], None], force: bool, wanted: str | None = None) -> None:
        """Let `write` fill a folder, and let that become DIR; delete what is left. OSError where that fails.

        `wanted` is the text where it became another one on the way.
        """
        whole = self.partial / _WHOLE
        _remove(whole)
        whole.mkdir()
        write(whole)
        (whole / self.text_file).write_text(wanted or self.wanted, encoding="utf-8", newline="")
        if self.roster is not None:
            (whole / ROSTER_FILE).write_bytes(self.roster)
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


def _names_in(text: str) -> set[str]:
    """The files of an experiment, which its text names."""
    with suppress(tomllib.TOMLDecodeError):
        return {EXPERIMENT_FILE, ROSTER_FILE, *tomllib.loads(text).get(WRITTEN, {}).get("files", ())}
    return {EXPERIMENT_FILE}


def _some(keys: Sequence[str]) -> str:
    more = len(keys) - _NAMED_KEYS
    return ", ".join(keys[:_NAMED_KEYS]) + (f" and {more} more" if more > 0 else "")


def _remove(item: Path) -> None:
    if item.is_dir() and not item.is_symlink():
        shutil.rmtree(item)
    else:
        with suppress(FileNotFoundError):
            item.unlink()
