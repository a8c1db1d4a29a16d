"""One decorator, `kernel`: numba's njit with a cache on disk that cannot go stale.

Functions marked `@kernel` are plain Python over integers and integer arrays; the SimPy engine calls them one by one,
a compiled engine calls them from inside its own loops. numba keys its cache by the file of the outermost function
only, so that an edited helper in another module would return yesterday's results. Here the cache folder is named by a
hash of all source that kernels may live in and of the versions that shape machine code: any edit there starts anew.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import stat
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import ParamSpec, TypeVar

import numba

P = ParamSpec("P")
R = TypeVar("R")

_WARM = "a-night-was-played"
_CACHE_NAME = re.compile("[0-9a-f]{16}")  # a digest of 8 bytes
HOMES = ("compiled.py", "randomness.py", "rules", "night")  # where kernels, and whatever they name, may live
_KEPT_FOLDERS = 4  # the newest caches that survive: two checkouts on two versions do not evict each other


def kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Compile `function` on its first call; its plain Python form stays reachable as `.py_func`.

    Integer overflow wraps silently in compiled code: callers keep values below 2**62.
    """
    home = Path(function.__code__.co_filename).relative_to(Path(__file__).parent).parts[0]
    if home not in HOMES:
        raise ValueError(f"{function.__qualname__}: a kernel lives in one of {HOMES}, or its cache would go stale")
    previous = numba.config.CACHE_DIR  # type: ignore[attr-defined]  # numba sets its options at run time
    numba.config.CACHE_DIR = str(cache_folder())  # type: ignore[attr-defined]  # as above
    try:
        return numba.njit(cache=True)(function)
    finally:
        numba.config.CACHE_DIR = previous  # type: ignore[attr-defined]  # as above


@cache
def cache_folder() -> Path:
    """The folder of machine code for exactly this source, these versions and this interpreter."""
    digest = hashlib.blake2b(digest_size=8)
    for part in (sys.version, numba.__version__):
        digest.update(part.encode())
    package = Path(__file__).parent
    homes = [package / name for name in HOMES]
    for path in sorted(path for home in homes for path in ([home] if home.is_file() else home.rglob("*.py"))):
        digest.update(str(path.relative_to(package)).encode())
        digest.update(path.read_bytes())
    folder = _cache_root() / digest.hexdigest()
    folder.mkdir(parents=True, exist_ok=True)
    _forget_old(folder)
    return folder


def is_warm() -> bool:
    """Whether a night was played with the kernels of this source before, on this machine (`now_warm` was called)."""
    return (cache_folder() / _WARM).exists()


def now_warm() -> None:
    """Note that a night was played: the next process finds its kernels compiled."""
    with suppress(OSError):
        (cache_folder() / _WARM).touch()


def _cache_root() -> Path:
    named = os.environ.get("XDG_CACHE_HOME")
    root = (Path(named) if named else Path.home() / ".cache") / "caucus-trial-run"
    try:
        root.mkdir(parents=True, exist_ok=True)
        probe = tempfile.TemporaryFile(dir=root)  # noqa: SIM115  # closed below: opening it is the whole question
    except OSError:  # a read-only home: compile into a folder that ends with the login session
        root = Path(tempfile.gettempdir()) / f"caucus-trial-run-{os.getuid()}"
        with suppress(FileExistsError):
            root.mkdir(mode=0o700)
        if not _is_private(root):
            return Path(tempfile.mkdtemp(prefix="caucus-trial-run-"))
    else:
        probe.close()
    return root


def _is_private(folder: Path) -> bool:
    """Whether nobody else can write there, for cached machine code is executed. A link is not private in itself."""
    found = folder.lstat()
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and stat.S_IMODE(found.st_mode) == 0o700


def _forget_old(current: Path) -> None:
    """Delete all but the newest few caches, and nothing else; a folder that another process holds open may stay."""
    with suppress(OSError):
        os.utime(current)
        caches = (folder for folder in current.parent.iterdir() if _CACHE_NAME.fullmatch(folder.name))
        folders = sorted(caches, key=lambda folder: folder.stat().st_mtime, reverse=True)
        for folder in folders[_KEPT_FOLDERS:]:
            shutil.rmtree(folder, ignore_errors=True)
