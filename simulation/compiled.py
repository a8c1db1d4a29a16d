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
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import numba
from numba.core import types

P = ParamSpec("P")
R = TypeVar("R")

_WARM = "a-night-was-played"
_CACHE_NAME = re.compile("[0-9a-f]{16}")  # a digest of 8 bytes
HOMES = ("compiled.py", "randomness.py", "rules", "night")  # where kernels, and whatever they name, may live
CONSTANTS = ("scenario/values.py",)  # whose numbers kernels hold as constants
_KEPT_FOLDERS = 4  # the newest caches that survive: two checkouts on two versions do not evict each other


def kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Compile `function` on its first call; its plain Python form stays reachable as `.py_func`.

    Hand it plain numbers and arrays: the class of an enum from elsewhere would be written into the cache, which nobody
    without that module could read again. Integer overflow wraps silently in compiled code: callers keep values below
    2**62.
    """
    return _compiled(function, _nrt=True)  # said because whoever is called inherits it


def inner_kernel(function: Callable[P, R]) -> Callable[P, R]:
    """`kernel` for what only other kernels call, and what allocates nothing.

    It leaves out the door to Python, which takes long to compile, and counts no references to arrays: for a function
    that runs in nanoseconds, counting those that its caller holds anyway would be most of the work.
    """
    return _compiled(function, no_cpython_wrapper=True, no_cfunc_wrapper=True, _nrt=False)


def inlined_kernel(function: Callable[P, R]) -> Callable[P, R]:
    """`inner_kernel` that stands in its callers' code: for what is called a million times a night."""
    return _compiled(function, no_cpython_wrapper=True, no_cfunc_wrapper=True, _nrt=False, forceinline=True)


def _compiled(function: Callable[P, R], **options: bool) -> Callable[P, R]:
    home = Path(function.__code__.co_filename).relative_to(Path(__file__).parent).parts[0]
    if home not in HOMES:
        raise ValueError(f"{function.__qualname__}: a kernel lives in one of {HOMES}, or its cache would go stale")
    previous = numba.config.CACHE_DIR  # type: ignore[attr-defined]  # numba sets its options at run time
    numba.config.CACHE_DIR = str(cache_folder())  # type: ignore[attr-defined]  # as above
    try:
        dispatcher = numba.njit(cache=True, **options)(function)  # type: ignore[call-overload]  # knows few options
    finally:
        numba.config.CACHE_DIR = previous  # type: ignore[attr-defined]  # as above
    _ignore_literals(dispatcher)
    return dispatcher  # type: ignore[no-any-return]  # numba is untyped


def _ignore_literals(dispatcher: Any) -> None:
    """Compile a kernel once for all integers: numba would compile it anew for every constant that a kernel passes."""
    by_types = dispatcher.get_call_template

    def get_call_template(args: Sequence[Any], kws: Mapping[str, Any]) -> Any:
        plain = [types.unliteral(kind) for kind in args]  # type: ignore[no-untyped-call]  # numba is untyped
        return by_types(plain, kws)  # kernels pass nothing by name

    dispatcher.get_call_template = get_call_template


@cache
def cache_folder() -> Path:
    """The folder of machine code for exactly this source, these versions and this interpreter."""
    digest = hashlib.blake2b(digest_size=8)
    for part in (sys.version, numba.__version__):
        digest.update(part.encode())
    package = Path(__file__).parent
    homes = [package / name for name in (*HOMES, *CONSTANTS)]
    for path in sorted(path for home in homes for path in ([home] if home.is_file() else home.rglob("*.py"))):
        digest.update(str(path.relative_to(package)).encode())
        digest.update(path.read_bytes())
    folder = _cache_root() / digest.hexdigest()
    folder.mkdir(parents=True, exist_ok=True)
    _forget_old(folder)
    return folder


def is_warm() -> bool:
    """Whether the compiled engine played a night with this source before, on this machine."""
    return (cache_folder() / _WARM).exists()


def now_warm() -> None:
    """Note that the compiled engine played: the next process finds its kernels compiled."""
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
