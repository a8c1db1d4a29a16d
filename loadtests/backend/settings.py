"""What a running backend was told: by its command line, and by the scenario it serves.

Knows nothing of how any of it is used. One `Settings` goes to every worker process, so everything in it can be pickled.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from simulation.errors import InputError

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

JSON_BYTES = 64 * 1024  # the largest JSON body: a final report of 40 groups has 3 KB
PHOTO_BYTES = 5_000_000
HEAD_BYTES = 32 * 1024  # the largest head of a request
HEAD_SECONDS = 10.0  # without a whole head by then, a connection is closed
BODY_SECONDS = 10.0  # a body may take so long, and the time that its bytes so far take at the rate below: a rural line
BODY_BYTES_PER_S = 16_000  # is waited for, who only holds a connection is not
UPLOADS = 32  # photos that come in at once in a process; more are answered 503 at once
STOP_SECONDS = 20  # after SIGTERM: requests that have not been answered by then are cut off
QUEUE = 256  # writes that wait for the writer; more are answered 503 at once


@dataclass(frozen=True, slots=True)
class Hashing:
    """Cost of argon2id, for a PIN that is stolen as a hash.

    OWASP's password storage sheet asks for one of five equal settings; this is the one with the most memory that still
    allows a second hash beside it in 40 MiB: memory is what an attacker's graphics cards lack. Some 30 ms on one core.
    """

    memory_kib: int = 19_456
    passes: int = 2
    lanes: int = 1


@dataclass(frozen=True, slots=True)
class Settings:
    """One backend: where it keeps its records, where it listens, whom it trusts."""

    database: str = field(repr=False)  # sqlite:///FILE or postgresql://..., perhaps with a password
    data: Path  # photos, and what else lies beside the database
    host: str = "127.0.0.1"
    port: int = 8000
    workers: int = 1
    demo: bool = False
    trusted_proxies: tuple[Network, ...] = ()
    faults: frozenset[str] = frozenset()
    hashing: Hashing = field(default_factory=Hashing)

    @property
    def turns_nobody_away(self) -> bool:
        """The fault `unbounded_queue`: whatever has to wait does, however many wait already."""
        return "unbounded_queue" in self.faults


def networks(addresses: Iterable[str], option: str = "--trusted-proxy") -> tuple[Network, ...]:
    """Addresses or networks such as 10.0.0.0/8; InputError lists each that is neither."""
    found: list[Network] = []
    problems = []
    for text in addresses:
        try:
            found.append(ipaddress.ip_network(text))
        except ValueError as error:
            problems.append(f"{option} {text}: {error}: an address such as 10.0.0.7 or a network such as 10.0.0.0/8")
    if problems:
        raise InputError(problems)
    return tuple(found)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what listens there."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
