"""Where a user's requests come from and go to: connections bound to a source address of their own.

Locust's fast client (geventhttpclient) has no option for either, so its pool is given sockets that have. Locust has
patched `socket`: what waits here lets the others go on. Knows nothing of what is sent.
"""

from __future__ import annotations

import errno
import ipaddress
import socket
from typing import Any

from geventhttpclient.client import HTTPClient, HTTPClientPool
from geventhttpclient.url import URL
from locust.contrib.fasthttp import FastHttpSession

_BIND_ADDRESS_NO_PORT = getattr(socket, "IP_BIND_ADDRESS_NO_PORT", 24)  # Linux; named in Python 3.13 and later only


class Connections(HTTPClientPool):
    """Connections to one target, at the addresses that were checked, from a `source` where one is given."""

    def __init__(self, addresses: tuple[str, ...], source: str | None, **client: Any) -> None:
        super().__init__(**client)
        self._addresses = addresses
        self._source = source

    def get_client(self, url: str | URL) -> HTTPClient:
        """The client of a target; its sockets are ours."""
        before = len(self.clients)
        client = super().get_client(url)
        if len(self.clients) > before:
            pool = client._connection_pool
            port = client.port or 80
            pool._resolve = lambda: [_resolved(one, port) for one in self._addresses]  # type: ignore[method-assign]  # see above
            pool._create_tcp_socket = self._socket  # type: ignore[method-assign,assignment]  # see above
        return client

    def hang_up(self) -> None:
        """Close what is open: a telephone that was put away for minutes begins anew."""
        self.close()

    def _socket(self, family: int, kind: int, protocol: int) -> Any:
        found = socket.socket(family, kind, protocol)
        if self._source is not None and family == socket.AF_INET:
            # the port is chosen at connect, per destination, or a few thousand users would use up all of them
            try:
                found.setsockopt(socket.IPPROTO_IP, _BIND_ADDRESS_NO_PORT, 1)
            except OSError as error:
                if error.errno != errno.ENOPROTOOPT:
                    raise
            found.bind((self._source, 0))
        return found


def _resolved(one: str, port: int) -> Any:
    family = socket.AF_INET6 if ipaddress.ip_address(one).version == 6 else socket.AF_INET
    return (family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (one, port))


def connect(session: FastHttpSession, addresses: tuple[str, ...], source: str | None) -> Connections:
    """Give a session of Locust's client connections to `addresses` from `source`."""
    agent = session.client
    found = Connections(addresses, source, **agent.clientpool.client_args)
    agent.clientpool = found
    return found
