"""Where simulated people come from: addresses of the loopback network, one each. Opens no connection."""

from __future__ import annotations

import socket

_HOSTS = 254
_NETWORKS = {"chair": 16, "clerk": 32, "reviewer": 33, "reader": 48, "observer": 49, "intruder": 64, "insider": 65}


def address(kind: str, number: int, first: int = 127) -> str:
    """The address of the n-th user of a kind: one each for 64,516 of them.

    Neighbors in number are none on the net: 127.16.1.1 is the first chair, 127.16.2.1 the second. Telephones of one
    caucus are spread over many networks, and a backend may count failures by network.
    """
    high, low = divmod(number % (_HOSTS * _HOSTS), _HOSTS)
    return f"{first}.{_NETWORKS[kind]}.{low + 1}.{high + 1}"


def has_source_addresses() -> bool:
    """Whether this machine lets a program speak from all of 127.0.0.0/8 (Linux does)."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        try:
            probe.bind((address("chair", 0), 0))
        except OSError:
            return False
    return True
