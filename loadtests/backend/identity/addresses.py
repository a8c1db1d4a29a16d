"""Whose address a request counts against: the peer's, or the one that a proxy named by the operator forwards.

`X-Forwarded-For` from anybody else is a claim by a stranger and is not read.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from functools import lru_cache

from loadtests.backend.settings import Network


def client_address(peer: str, forwarded: Sequence[str], trusted: tuple[Network, ...]) -> str:
    """The last address of the chain that no trusted proxy has; `forwarded` are the header's values, in order."""
    if not trusted or not forwarded or not _is_trusted(peer, trusted):
        return peer
    chain = [part.strip() for value in forwarded for part in value.split(",")]
    for address in reversed(chain):
        if not _is_address(address):
            return peer  # a proxy that forwards what is no address is no help
        if not _is_trusted(address, trusted):
            return address
    return chain[0]


@lru_cache(maxsize=16_384)
def limit_key(address: str) -> str:
    """What limits count by: an IPv4 address, or the /64 that one IPv6 household or phone can choose from."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)


@lru_cache(maxsize=16_384)
def neighborhood(key: str) -> str:
    """The network that a `limit_key` lies in: 256 IPv4 addresses, or a site's worth of IPv6 networks."""
    try:
        network = ipaddress.ip_network(key)
    except ValueError:
        return key
    return str(network.supernet(new_prefix=24 if network.version == 4 else 48))


@lru_cache(maxsize=16_384)
def _is_trusted(address: str, trusted: tuple[Network, ...]) -> bool:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(parsed in network for network in trusted)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
