"""What the clients were promised: every write that went out, and what came back.

Each client process appends to a file of its own; merged, they are what `reconciliation` holds against a backend.
"""

from __future__ import annotations

import heapq
import json
import math
import os
import secrets
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from operator import itemgetter
from pathlib import Path
from typing import Any

from loadtests.content import content_sha256
from loadtests.contract import STEP_NAMES, Ask, Operation, Outcome, content
from simulation.errors import InputError


@dataclass(frozen=True, slots=True)
class Entry:
    """One write: what it said, when it went out first, and when its acceptance came back first, if ever."""

    run_id: str
    user: str
    key: str
    site: str
    site_id: str
    step: Operation
    content: Mapping[str, Any]
    content_sha256: str
    sent_at_ms: float
    acknowledged_at_ms: float | None = None
    version: Any = None
    state: str | None = None
    refused: bool = False
    tries: int = 1
    contradicted: bool = False  # acknowledged twice, as two versions

    @property
    def acknowledged(self) -> bool:
        """Whether the backend has promised it."""
        return self.acknowledged_at_ms is not None

    @property
    def unanswered(self) -> bool:
        """Whether nobody on this side knows if it is stored."""
        return not self.acknowledged and not self.refused

    @property
    def name(self) -> dict[str, object]:
        """How it is named in findings."""
        return {"key": self.key, "user": self.user, "site": self.site, "step": self.step}


class Ledger:
    """One process's part of the ledger: lines that are whole or absent, whatever kills the process.

    Call `sent` before a write goes out (each try), then `answered` with what came back; no call means no answer.
    """

    def __init__(self, folder: Path, run_id: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / f"ledger-{os.getpid()}-{secrets.token_hex(4)}.jsonl"
        self._run_id = run_id
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND
        self._file = os.open(self.path, flags, 0o600)
        self._known: set[tuple[str, str, str]] = set()
        self._out: dict[tuple[str, str, str], str] = {}  # digests of what is on its way: a photo is hashed once a try
        self._lock = threading.Lock()

    def sent(self, operation: Operation, ask: Ask) -> None:
        """A write goes out now."""
        said = content(operation, ask)
        site = ask.site.code if ask.site is not None else ""
        sha256 = content_sha256(STEP_NAMES[operation], site, said)
        line: dict[str, Any] = {"what": "sent", **self._of(ask), "content_sha256": sha256}
        with self._lock:
            write = (line["user"], ask.key, sha256)
            self._out[operation, line["user"], ask.key] = sha256
            if write not in self._known:  # a retry says the same again
                self._known.add(write)
                line |= {
                    "run_id": self._run_id,
                    "site": site,
                    "site_id": ask.site.id if ask.site is not None else "",
                    "step": operation,
                    "content": said,
                }
            self._append(line)

    def answered(self, operation: Operation, ask: Ask, outcome: Outcome) -> None:
        """Its answer is here. `busy` means not done; `unclear` says nothing, and is left unanswered."""
        if outcome.verdict == "unclear":
            return
        line: dict[str, Any] = {"what": outcome.verdict, **self._of(ask)}
        with self._lock:
            line["content_sha256"] = self._out.pop((operation, line["user"], ask.key))
        if outcome.accepted:
            line |= {"version": outcome.values.get("version"), "state": outcome.values.get("state")}
            line |= {"replayed": outcome.replayed}
        else:
            line |= {"status": outcome.status}
        with self._lock:
            self._append(line)

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._file)

    @staticmethod
    def _of(ask: Ask) -> dict[str, Any]:
        user = ask.session.user if ask.session is not None else ask.user
        return {"user": user, "key": ask.key, "at_ms": round(time.time() * 1000, 3)}

    def _append(self, line: Mapping[str, Any]) -> None:
        # one write(2) of one line: a process that dies has written it or has not
        data = (json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n").encode()
        written = os.write(self._file, data)
        if written != len(data):
            raise OSError(f"{self.path}: the disk is full: the ledger would not be whole")


def merge(folder: Path) -> list[Entry]:
    """All writes of a folder's files, in the order in which they went out. A line torn off by a crash is no promise."""
    files = sorted(folder.glob("ledger-*.jsonl"))
    if not files:
        raise InputError(f"{folder}: no ledger here: expected files ledger-*.jsonl, as a load test leaves them")
    problems: list[str] = []
    lines = [line for _, line in heapq.merge(*(_in_order(file, problems) for file in files), key=itemgetter(0))]
    if problems:
        raise InputError(problems)
    entries: dict[tuple[str, str, str], Entry] = {}
    answers: dict[tuple[str, str, str], int] = defaultdict(int)
    for line in lines:
        write = (line["user"], line["key"], line["content_sha256"])
        known = entries.get(write)
        if line["what"] == "sent":
            entries[write] = _first(line) if known is None else replace(known, tries=known.tries + 1)
            continue
        answers[write] += 1
        if known is not None and line["what"] == "accepted":
            entries[write] = _acknowledged(known, line)
    # a write is refused where every try was: one without an answer may have been done
    return [
        replace(entry, refused=not entry.acknowledged and answers[write] >= entry.tries)
        for write, entry in entries.items()
    ]


def _first(line: Mapping[str, Any]) -> Entry:
    names = ("run_id", "user", "key", "site", "site_id", "step", "content", "content_sha256")
    return Entry(**{name: line[name] for name in names}, sent_at_ms=line["at_ms"])


def _acknowledged(known: Entry, line: Mapping[str, Any]) -> Entry:
    if known.acknowledged:
        other = line["version"] is not None and known.version is not None and line["version"] != known.version
        return replace(known, contradicted=known.contradicted or other)
    return replace(known, acknowledged_at_ms=line["at_ms"], version=line["version"], state=line["state"])


def _in_order(file: Path, problems: list[str]) -> Iterator[tuple[float, dict[str, Any]]]:
    """A file's lines, each with when it counts: a clock that is set back puts no answer before what it answers."""
    at_ms = -math.inf
    for line in _lines(file, problems):
        at_ms = max(at_ms, line["at_ms"])
        yield at_ms, line


def _lines(file: Path, problems: list[str]) -> Iterator[dict[str, Any]]:
    read = file.read_bytes().split(b"\n")
    for number, text in enumerate(read, 1):
        if not text:
            continue
        try:
            line = json.loads(text)
            line["at_ms"], line["user"], line["key"], line["content_sha256"], line["what"]
        except (ValueError, TypeError, KeyError):
            if number < len(read):  # the last piece has no line end: torn off by a crash
                problems.append(f"{file}, line {number}: not a line of a ledger; was it edited?")
            continue
        yield line
