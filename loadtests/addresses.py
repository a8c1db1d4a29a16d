"""Where simulated people come from: addresses of the loopback network, one each. Opens no connection.

Requests to this machine are sent from them. To any other target they are forwarded in a header, which a backend heeds
that trusts this machine: `Ask.address`.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from loadtests.target.guards import Target

_HOSTS = 254
_NETWORKS = {"chair": 16, "clerk": 32, "reviewer": 33, "reader": 48, "observer": 49, "intruder": 64, "insider": 65}


def address(kind: str, number: int) -> str:
    """The address of the n-th user of a kind: one each for 64,516 of them.

    Neighbors in number are none on the net: 127.16.1.1 is the first chair, 127.16.2.1 the second. Telephones of one
    caucus are spread over many networks, and a backend may count failures by network.
    """
    high, low = divmod(number % (_HOSTS * _HOSTS), _HOSTS)
    return f"127.{_NETWORKS[kind]}.{low + 1}.{high + 1}"


def reach(target: Target) -> bool:
    """Whether requests can be sent to a target from them: to this machine, over IPv4, where it allows that."""
    return target.loopback and ":" not in target.addresses[0] and has_source_addresses()


def has_source_addresses() -> bool:
    """Whether this machine lets a program speak from all of 127.0.0.0/8 (Linux does)."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        try:
            probe.bind((address("chair", 0), 0))
        except OSError:
            return False
    return True
