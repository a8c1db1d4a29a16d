"""Whom a load test may touch, how fast, and how it says who it is.

Loopback needs no leave; any other target must be named in so many words, is reached at the addresses that were checked,
and slowly. Knows nothing of what is sent.
"""

from __future__ import annotations

import ipaddress
import re
import secrets
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from urllib.parse import SplitResult, urlsplit

from simulation.errors import InputError

RATE_CAP_PER_S = 50.0  # requests to a target that is not loopback: Iowa's 1,765 sites send some 4 in their peak minute
_RUN_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")

Resolver = Callable[[str, int], list[str]]


@dataclass(frozen=True, slots=True)
class Target:
    """A backend's address, looked up once: requests go to `addresses`, whatever the name means later."""

    scheme: str
    host: str
    port: int
    prefix: str  # the path that comes before every operation's own
    addresses: tuple[str, ...]
    loopback: bool

    @property
    def url(self) -> str:
        """The target as it was given, without a slash at its end."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}{self.prefix}"

    @property
    def in_the_clear(self) -> bool:
        """Whether PINs and tokens go over a network that anybody on it can read."""
        return self.scheme == "http" and not self.loopback

    @property
    def rate_cap_per_s(self) -> float | None:
        """How many requests a second may be sent; None: as many as one likes."""
        return None if self.loopback else RATE_CAP_PER_S


def allowed(url: str, may_load: str | None = None, resolve: Resolver | None = None) -> Target:
    """The target, if it may be loaded; InputError says what would make it so.

    A name counts as loopback only where every one of its addresses is. Without the user's leave nothing is sent at all,
    and a name that is allowed may not lead to this machine's own network behind the user's back.
    """
    parts = _parts(url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    if may_load is not None and not _same(may_load, host):
        raise InputError(
            f"--i-may-load {may_load}: the target is {host}; the option names exactly the host of --target, without "
            f"scheme, port or path"
        )
    addresses = (resolve or _resolve)(host, port)
    kinds = {ipaddress.ip_address(address).is_loopback for address in addresses}
    if kinds == {True, False}:
        raise InputError(
            f"--target {url}: {host} is {', '.join(addresses)}: partly this machine, partly not; name one address"
        )
    loopback = kinds == {True}
    if loopback and not means_loopback(host) and may_load is None:
        raise InputError(
            f"--target {url}: {host} resolves to {', '.join(addresses)}, this machine, though it does not say so: if "
            f"that is meant, use http://{addresses[0]}:{port} or --i-may-load {host}"
        )
    if not loopback and means_loopback(host):
        raise InputError(f"--target {url}: {host} resolves to {', '.join(addresses)}, which is not this machine")
    if not loopback and may_load is None:
        raise InputError(
            f"--target {url}: {host} ({', '.join(addresses)}) is not this machine. Load only what you are allowed to, "
            f"and say so: --i-may-load {host}"
        )
    return Target(parts.scheme, host, port, parts.path.rstrip("/"), tuple(addresses), loopback)


def _parts(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise InputError(f"--target {_without_password(url)}: not an address: {error}") from None
    shown = _without_password(url)
    if parts.username is not None or parts.password is not None:
        raise InputError(f"--target {shown}: no user or password in an address; secrets come from CAUCUS_TARGET_*")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InputError(f"--target {shown}: expected http://HOST[:PORT] or https://HOST[:PORT]")
    if port == 0 or parts.query or parts.fragment:
        raise InputError(f"--target {shown}: expected scheme, host, port and perhaps a path, nothing more")
    return parts


def _without_password(url: str) -> str:
    return re.sub(r"//[^/@]*@", "//***@", url)


def _same(named: str, host: str) -> bool:
    return named.strip("[]").rstrip(".").lower() == host.rstrip(".").lower()


def means_loopback(host: str) -> bool:
    """Whether a host, as it is written, is this machine and nothing that others can reach."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.rstrip(".").lower() == "localhost" or host.lower().endswith(".localhost")


def _resolve(host: str, port: int) -> list[str]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise InputError(f"--target: {host} cannot be found: {error.strerror or error}") from None
    return list(dict.fromkeys(str(entry[4][0]).partition("%")[0] for entry in found))


def new_run_id() -> str:
    """An id for a run: short, sortable by time, not to be guessed."""
    return f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{secrets.token_hex(4)}"


def checked_run_id(run_id: str) -> str:
    """A run's id that was given; InputError where it would not fit into a header."""
    if not _RUN_ID.fullmatch(run_id):
        raise InputError(f"--run-id {run_id!r}: expected 1 to 64 of A-Z a-z 0-9 _ -")
    return run_id


def identification(run_id: str) -> dict[str, str]:
    """The headers by which whoever runs the target sees who calls, and from which run."""
    try:
        number = version("caucus-trial-run")
    except PackageNotFoundError:
        number = "0"
    return {"User-Agent": f"caucus-trial-run/{number} (load test)", "X-Caucus-Run": run_id}


class Pace:
    """Holds requests to a rate, over all threads: `take()` waits for its turn."""

    def __init__(self, per_s: float | None) -> None:
        self._interval_s = 0.0 if per_s is None else 1 / per_s
        self._due = 0.0
        self._lock = threading.Lock()

    def take(self) -> None:
        """Wait until the next request may go."""
        if not self._interval_s:
            return
        with self._lock:
            now = time.monotonic()
            self._due = max(now, self._due + self._interval_s)
            wait = self._due - now
        if wait > 0:
            time.sleep(wait)


class Redaction:
    """Takes secrets out of whatever is shown."""

    def __init__(self, secret: Mapping[str, str]) -> None:
        self._secrets: set[str] = set()
        for value in secret.values():
            self.learn(value)

    def learn(self, value: object) -> None:
        """One more secret: a PIN, a token that was given. Short ones would make every number a secret: left alone."""
        if isinstance(value, str) and len(value) >= 6:
            self._secrets.add(value)

    def text(self, shown: str) -> str:
        """The text without them."""
        for value in sorted(self._secrets, key=len, reverse=True):
            shown = shown.replace(value, "***")
        return shown
