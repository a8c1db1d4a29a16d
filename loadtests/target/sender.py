"""Sends one request after another to a target, over plain sockets: for what is said once, not for load.

Goes to the addresses that were checked, follows no redirect, and keeps to the target's rate. Knows nothing of contents.
"""

from __future__ import annotations

import http.client
import socket
import ssl
from pathlib import Path

from loadtests.contract import Reply, Request
from loadtests.target.guards import Pace, Target, identification
from simulation.errors import InputError

TIMEOUT_S = 30.0
LARGEST_REPLY = 256 * 1024 * 1024  # bytes


class NoAnswerError(Exception):
    """The target did not answer: it cannot be reached, broke off, or took too long."""


class Sender:
    """Sends requests to one target, each over a connection of its own."""

    def __init__(self, target: Target, run_id: str, ca: Path | None = None, timeout_s: float = TIMEOUT_S) -> None:
        self.target = target
        self._pace = Pace(target.rate_cap_per_s)
        self._timeout_s = timeout_s
        self._identification = identification(run_id)
        self._tls = trusting(ca) if target.scheme == "https" else None
        if ca is not None and self._tls is None:
            raise InputError(f"--ca {ca}: the target is http://, which shows no certificate")

    def __call__(self, request: Request, source: str = "") -> Reply:
        """The reply; NoAnswerError where there is none. `source`: the address of this machine that it comes from."""
        self._pace.take()
        target = self.target
        connection = _Connection(target, self._tls, self._timeout_s, source)
        headers = {**self._identification, **request.headers, "Connection": "close"}
        try:
            connection.request(request.method, target.prefix + request.path, request.body, headers)
            answer = connection.getresponse()
            body = answer.read(LARGEST_REPLY + 1)
        except ssl.SSLCertVerificationError as error:
            raise NoAnswerError(
                f"{target.url}: its certificate is not trusted: {error.verify_message}; --ca FILE names who is"
            ) from None
        except (OSError, http.client.HTTPException) as error:
            reason = str(error) or type(error).__name__
            raise NoAnswerError(f"{target.url}: no answer to {request.name}: {reason}") from None
        finally:
            connection.close()
        if len(body) > LARGEST_REPLY:
            raise NoAnswerError(f"{target.url}: the answer to {request.name} is larger than {LARGEST_REPLY:,} bytes")
        return Reply.of(answer.status, answer.getheaders(), body)


def trusting(ca: Path | None) -> ssl.SSLContext:
    """TLS that trusts the system's authorities, or only those of a PEM file."""
    if ca is None:
        return ssl.create_default_context()
    try:
        return ssl.create_default_context(cafile=str(ca))
    except (OSError, ssl.SSLError) as error:
        reason = error.strerror if isinstance(error, FileNotFoundError) else "not a PEM file of certificates"
        raise InputError(f"--ca {ca}: {reason}") from None


class _Connection(http.client.HTTPConnection):
    """A connection whose Host and certificate are the target's name, and whose other end is an address we checked."""

    def __init__(self, target: Target, tls: ssl.SSLContext | None, timeout_s: float, source: str) -> None:
        super().__init__(target.host, target.port, timeout=timeout_s)
        self.default_port = 443 if tls is not None else 80  # which port the Host header leaves out
        self._target, self._tls, self._source = target, tls, source

    def connect(self) -> None:
        """Connect to the first address that answers."""
        self.sock = self._open()
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._tls is not None:
            self.sock = self._tls.wrap_socket(self.sock, server_hostname=self._target.host)

    def _open(self) -> socket.socket:
        failure = OSError("it has no address")
        for address in self._target.addresses:
            try:
                source = (self._source, 0) if self._source and ":" not in address else None
                return socket.create_connection((address, self._target.port), self.timeout, source)
            except OSError as error:
                failure = error
        raise failure
