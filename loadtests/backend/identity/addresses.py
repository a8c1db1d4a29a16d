"""Whose address a request counts against: the peer's, or the one that a proxy named by the operator forwards.

`X-Forwarded-For` from anybody else is a claim by a stranger and is not read.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from functools import lru_cache

from loadtests.backend.settings import Network

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_WITH_PORT = re.compile(r"\[([^\]]*)\](?::[0-9]{1,5})?|([0-9.]+):[0-9]{1,5}")


def client_address(peer: str, forwarded: Sequence[str], trusted: tuple[Network, ...]) -> str:
    """The last address of the chain that no trusted proxy has; `forwarded` are the header's values, in order."""
    if not trusted or not forwarded or not _is_trusted(_parsed(peer), trusted):
        return peer
    furthest = peer
    for part in reversed([part for value in forwarded for part in value.split(",")]):
        address = _parsed(part.strip())
        if address is None:
            return peer  # a proxy that forwards what is no address is no help
        furthest = str(address)
        if not _is_trusted(address, trusted):
            break
    return furthest


@lru_cache(maxsize=16_384)
def limit_key(address: str) -> str:
    """What limits count by: an IPv4 address, or the /64 that one IPv6 household or phone can choose from."""
    parsed = _parsed(address)
    if parsed is None:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
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


def _is_trusted(address: _Address | None, trusted: tuple[Network, ...]) -> bool:
    return address is not None and any(address in network for network in trusted)


@lru_cache(maxsize=16_384)
def _parsed(text: str) -> _Address | None:
    """An address as proxies write them: alone, with a port, in brackets. IPv4 inside IPv6 is IPv4."""
    found = _WITH_PORT.fullmatch(text)
    try:
        address = ipaddress.ip_address((found[1] or found[2]) if found else text)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address
