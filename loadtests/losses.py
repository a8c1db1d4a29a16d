"""After each trial: which acknowledged writes does the backend not hold? Reads only what is new since the last time.

On both sides: the lines that generators have added to the ledger's files, and the pages that the backend has added to
what it tells of its store. Everything else a ledger says is `reconciliation`'s, at the end.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from loadtests.contract import STEPS, Ask, Backend, Operation, Session
from loadtests.stored import Send


@dataclass
class Losses:
    """Follows a ledger's folder and a backend's store. `session`: of somebody who may read what is stored."""

    backend: Backend
    send: Send
    session: Session | None
    folder: Path
    steps: tuple[Operation, ...]  # of an evening at this backend
    acknowledged: int = 0
    _read: dict[Path, int] = field(default_factory=dict)  # how far each file was read
    _meant: dict[tuple[str, str], tuple[str, Operation]] = field(default_factory=dict)  # site and step, until answered
    _open: set[tuple[str, str]] = field(default_factory=set)  # acknowledged, and not seen in the store: user and key
    _stored: set[tuple[str, str]] = field(default_factory=set)  # seen in the store, and not acknowledged yet
    _missed: set[tuple[str, str]] = field(default_factory=set)  # told before
    _after: object = ""
    _progress: dict[str, tuple[int, Any]] = field(default_factory=dict)

    def new(self) -> int:
        """How many writes were acknowledged since, or before, and are not held; each is told once."""
        self.follow()
        if not self._can_read:
            return 0
        if not self._read_store(self._after):
            return 0
        missing = self._open - self._missed
        if missing:  # pages may have been skipped while several wrote: all of it, once more
            if not self._read_store(""):
                return 0
            missing = self._open - self._missed
        self._missed |= missing
        return len(missing)

    @property
    def progress(self) -> Mapping[str, tuple[int, Any]]:
        """How many steps each site has, and its last version: as far as it was acknowledged."""
        self.follow()
        return self._progress

    @property
    def _can_read(self) -> bool:
        return "stored" in self.backend.operations and self.session is not None

    def follow(self) -> None:
        """Read what was added to the ledger."""
        for file in self.folder.glob("ledger-*.jsonl"):
            with file.open("rb") as lines:
                lines.seek(self._read.get(file, 0))
                for text in lines:
                    if not text.endswith(b"\n"):
                        break  # it is being written
                    self._read[file] = self._read.get(file, 0) + len(text)
                    self._take(json.loads(text))

    def _take(self, line: Mapping[str, Any]) -> None:
        write = (line["user"], line["key"])
        if line["what"] == "sent":
            if "site" in line:
                self._meant[write] = (line["site"], line["step"])
            return
        if line["what"] != "accepted":
            return
        meant = self._meant.pop(write, None)
        if meant is None:
            return  # a repetition
        self.acknowledged += 1
        if write in self._stored:
            self._stored.discard(write)
        else:
            self._open.add(write)
        site, step = meant
        steps, _ = self._progress.get(site, (0, None))
        if step == "clerk":
            steps += 1
        elif step == "review.return":
            steps = 0
        elif step in self.steps or step in STEPS:
            steps = max(steps, self.steps.index(step) + 1)
        self._progress[site] = (steps, line.get("version"))

    def begin_at(self, progress: Mapping[str, tuple[int, Any]]) -> None:
        """How far sites had come before anything was written here."""
        self._progress = {**progress, **self._progress}

    def _read_store(self, after: object) -> bool:
        """Whether it could be read: a backend that has too much to do to say what it holds has lost nothing by that."""
        while True:
            outcome = self.backend.read(
                "stored", self.send(self.backend.build("stored", Ask(session=self.session, after=after)))
            )
            rows = outcome.values.get("records") if outcome.accepted else None
            if not isinstance(rows, list):
                return False  # `reconciliation.held_against` says it in the end
            for row in rows:
                user, key = row.get("user"), row.get("key")
                if user is None or key is None:
                    self._open.clear()  # writes cannot be told apart: left to the ledger
                    return True
                write = (str(user), str(key))
                if write in self._open:
                    self._open.discard(write)
                elif write in self._meant:
                    self._stored.add(write)
            self._after = after
            following = outcome.values.get("next")
            if following in (None, "", False) or following == after or not rows:
                return True
            after = following
