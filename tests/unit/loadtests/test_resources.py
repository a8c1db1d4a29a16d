"""What processes use, against processes whose use is known."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from loadtests.generator.resources import Watch

BUSY, IDLE = "while True: pass", "import time; time.sleep(60)"


@contextmanager
def running(*programs: str) -> Iterator[list[int]]:
    """Processes that share one core."""
    core = min(os.sched_getaffinity(0))
    begins = f"import os; os.sched_setaffinity(0, {{{core}}}); print('here', flush=True); "
    with ExitStack() as stack:
        processes = []
        for program in programs:
            command = [sys.executable, "-c", f"{begins}\n{program}"]
            processes.append(stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE)))
            stack.callback(processes[-1].kill)
        for process in processes:
            assert process.stdout is not None
            process.stdout.readline()
        yield [process.pid for process in processes]


def used(*programs: str) -> dict[str, float]:
    with running(*programs) as pids, Watch({"service": pids}) as watch:
        time.sleep(2.5)
    return watch.used()


def test_the_busiest_of_several_processes_is_told_from_all_of_them_together() -> None:
    one_of_two, both = used(BUSY, IDLE), used(BUSY, BUSY)
    assert one_of_two["service.cpu_busiest"] == pytest.approx(one_of_two["service.cpu"], rel=0.25)
    assert 0.4 < both["service.cpu_busiest"] / both["service.cpu"] < 0.8, "each has about half of the core"


def test_of_one_process_nothing_is_said_twice() -> None:
    assert {name for name in used(IDLE) if name.startswith("service.")} == {
        "service.cpu", "service.cpu_max", "service.memory_mb", "service.files"
    }  # fmt: skip


def test_who_has_ended_before_uses_nothing() -> None:
    with running(IDLE) as pids:
        pass
    with Watch({"service": pids}) as watch:
        pass
    assert watch.used()["service.cpu"] == 0
