"""What processes use while load is on: processor, memory, file handles, once a second.

Knows nothing of what the processes are for.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from types import TracebackType

import psutil

_EVERY_S = 1.0


class Watch:
    """Samples processes and their children, and the machine, in a thread, for as long as the block lasts."""

    def __init__(self, processes: Mapping[str, Iterable[int]] | None = None) -> None:
        self._roots = {name: list(_there(pids)) for name, pids in (processes or {}).items()}
        self._seconds: dict[str, list[float]] = defaultdict(list)
        self._processor_s: dict[int, float] = {}
        self._used_s: dict[str, dict[int, float]] = defaultdict(lambda: defaultdict(float))  # since the beginning
        self._disk_ms: dict[str, int] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._sample_often, name="resources", daemon=True)

    def __enter__(self) -> Watch:
        self._at = time.monotonic()
        self._sample()
        self._seconds.clear()  # shares need a beginning
        self._used_s.clear()
        self._began = self._at
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
        if not self._seconds:
            self._sample()

    def used(self) -> dict[str, float]:
        """For each name: `cpu` (cores, on average) and `cpu_max` (in any second), `memory_mb` and `files` at the end.

        Of several processes also `cpu_busiest`: the share of a core that the busiest one used, on average. And of the
        machine: `machine.cpu`, the share of its busiest core on average, and `machine.disk`, the share of time that
        its busiest disk was busy (where the system tells).
        """
        found = {}
        for name, row in self._seconds.items():
            if name.endswith((".cpu", ".disk")):
                found[name] = sum(row) / len(row)
                found[f"{name}_max"] = max(row)
            else:
                found[name] = row[-1]
        for name, used_s in self._used_s.items():
            if len(used_s) > 1:
                found[f"{name}.cpu_busiest"] = max(used_s.values()) / max(1e-3, self._at - self._began)
        return found

    def _sample_often(self) -> None:
        while not self._ended.wait(_EVERY_S):
            self._sample()

    def _sample(self) -> None:
        now = time.monotonic()
        passed, self._at = max(1e-3, now - self._at), now
        for name, roots in self._roots.items():
            used_s, memory, files = 0.0, 0, 0
            for process in _with_children(roots):
                with contextlib.suppress(psutil.Error), process.oneshot():
                    times, before = process.cpu_times(), self._processor_s.get(process.pid)
                    total = times.user + times.system
                    spent_s = total - before if before is not None else 0.0
                    used_s += spent_s
                    self._used_s[name][process.pid] += spent_s
                    self._processor_s[process.pid] = total
                    memory += process.memory_info().rss
                    files += process.num_fds()
            self._note(f"{name}.cpu", used_s / passed)
            self._note(f"{name}.memory_mb", memory / 2**20)
            self._note(f"{name}.files", files)
        self._note("machine.cpu", max(psutil.cpu_percent(percpu=True), default=0.0) / 100)
        busy = {
            name: getattr(disk, "busy_time", 0) for name, disk in (psutil.disk_io_counters(perdisk=True) or {}).items()
        }
        before_ms, self._disk_ms = self._disk_ms, busy
        shares = [(ms - before_ms.get(name, ms)) / (passed * 1000) for name, ms in busy.items()]
        self._note("machine.disk", min(1.0, max(shares, default=0.0)))

    def _note(self, name: str, value: float) -> None:
        self._seconds[name].append(value)


def _there(pids: Iterable[int]) -> Iterator[psutil.Process]:
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess):  # whoever has ended uses nothing
            yield psutil.Process(pid)


def _with_children(roots: Iterable[psutil.Process]) -> list[psutil.Process]:
    found: dict[int, psutil.Process] = {}
    for root in roots:
        with contextlib.suppress(psutil.Error):
            found[root.pid] = root
            found.update((child.pid, child) for child in root.children(recursive=True))
    return list(found.values())
