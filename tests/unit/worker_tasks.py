"""Tasks for worker processes under test: by themselves, so that a process that does them starts quickly."""

from __future__ import annotations

import math
import os
import signal
from pathlib import Path


def length(text: str) -> bytes:
    """How long it is."""
    return str(len(text)).encode()


def total(one: int, other: int) -> bytes:
    """One and other."""
    return str(one + other).encode()


def root(number: float) -> bytes:
    """ValueError below 0."""
    return str(math.sqrt(number)).encode()


def killed_at_first(folder: Path) -> bytes:
    """Ends its process without a word the first time; the second time it works."""
    try:
        (folder / "tried").mkdir()
    except FileExistsError:
        return b"done"
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def killed_always(folder: Path) -> bytes:
    """Ends its process without a word, and counts how often."""
    with (folder / "tries").open("a") as file:
        file.write(".")
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError
