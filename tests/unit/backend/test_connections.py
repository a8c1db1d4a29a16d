"""Whom a connection is kept for: half-sent heads, endless ones, too many at once, and bodies that trickle in."""

from __future__ import annotations

import contextlib
import json
import resource
import socket
import time
from collections.abc import Iterator

import pytest

from loadtests.backend import connections, edge
from loadtests.backend.settings import HEAD_BYTES, UPLOADS, Settings
from simulation.scenario import Scenario
from tests.unit.backend.running_service import Running, prepare, running

HEAD = b"GET /healthz HTTP/1.1\r\nHost: x\r\n"


@pytest.fixture(scope="module")
def service(scenario: Scenario, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    data = tmp_path_factory.mktemp("connections")
    url = f"sqlite:///{data / 'night.db'}"
    with running(Settings(url, data), prepare(url, data, scenario)) as found:
        yield found


@contextlib.contextmanager
def _connected(service: Running) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", service.port), timeout=5) as found:
        yield found


def _rest(connection: socket.socket) -> bytes:
    """Everything until the other side hangs up."""
    found = b""
    with contextlib.suppress(ConnectionResetError, BrokenPipeError):
        while part := connection.recv(65536):
            found += part
    return found


def _alive(connection: socket.socket, times: int = 1) -> bool:
    """Whether so many requests for /healthz are answered."""
    found = b""
    while found.count(b'{"status":"alive"}') < times:
        part = connection.recv(65536)
        if not part:
            return False
        found += part
    return True


@pytest.mark.parametrize(
    "sent", [b"", b"\r\n", HEAD, HEAD + b"\r\n" + HEAD], ids=["nothing", "blank", "half", "second"]
)
def test_a_connection_without_a_whole_head_is_closed(service: Running, sent: bytes, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.2)
    with _connected(service) as connection:
        began_s = time.monotonic()
        connection.sendall(sent)
        connection.settimeout(0.05)
        came = b""
        while time.monotonic() - began_s < 3:  # a byte now and then does not put it off
            with contextlib.suppress(TimeoutError):
                part = connection.recv(65536)
                came += part
                if not part:
                    break
            with contextlib.suppress(OSError):
                connection.send(b"A" if sent not in (b"", b"\r\n") else b"\r\n")
        assert time.monotonic() - began_s < 2
        assert came.count(b"HTTP/1.1 200") == sent.count(b"\r\n\r\n")


def test_a_body_that_nobody_asked_for_holds_no_connection(service: Running, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.2)
    with _connected(service) as connection:
        connection.sendall(HEAD + b"Content-Length: 1000000\r\n\r\n")
        assert _alive(connection)
        connection.send(b"a")
        began_s = time.monotonic()
        assert _rest(connection) == b""
        assert time.monotonic() - began_s < 2


def test_a_connection_between_two_requests_is_kept(service: Running, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.1)
    with _connected(service) as connection:
        for _ in range(3):
            connection.sendall(HEAD + b"\r\n")
            assert _alive(connection)
            time.sleep(0.15)


@pytest.mark.parametrize("whole", [True, False], ids=["whole", "without end"])
def test_a_head_over_its_bound_is_431(service: Running, whole: bool):
    with _connected(service) as connection:
        connection.sendall(HEAD + b"A: " + b"a" * (HEAD_BYTES + 1) + (b"\r\n\r\n" if whole else b""))
        head, _, body = _rest(connection).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 431 ")
        assert json.loads(body)["errors"][0]["code"] == "H11"


def test_a_head_within_its_bound_is_answered_whatever_body_follows(service: Running):
    with _connected(service) as connection:
        name = b"A: " + b"a" * (HEAD_BYTES - 1000) + b"\r\n"
        connection.sendall(HEAD + name + b"Content-Length: 60000\r\n\r\n" + bytes(60_000) + HEAD + b"\r\n")
        assert _alive(connection, 2)


def test_an_unfinished_head_of_megabytes_is_not_held(service: Running):
    with _connected(service) as connection, contextlib.suppress(ConnectionResetError, BrokenPipeError):
        connection.sendall(HEAD + b"A: ")
        for _ in range(100):
            connection.sendall(b"a" * 1_000_000)
            time.sleep(0.02)
        pytest.fail("100 MB of a head were let in")


def test_a_process_lets_in_so_many_connections(service: Running, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(connections, "most_connections", lambda: 3)
    with contextlib.ExitStack() as held:
        for _ in range(3):
            one = held.enter_context(_connected(service))
            one.sendall(HEAD + b"\r\n")
            assert _alive(one)
        one_more = held.enter_context(_connected(service))
        answer = _rest(one_more)
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"retry-after: 1\r\n" in answer
    time.sleep(0.05)
    assert service.ask("GET", "/healthz").status == 200


def test_a_process_may_open_as_many_files_as_it_is_allowed_to():
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(256, before[1]), before[1]))
        connections.raise_file_limit()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (before[1], before[1])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert 64 <= connections.most_connections() <= connections.MOST_CONNECTIONS


def _login_head(length: int) -> bytes:
    head = "POST /v1/login HTTP/1.1\r\nHost: x\r\nX-Device: d\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {length}\r\n\r\n".encode()


@pytest.mark.parametrize(("rate", "status"), [(1_000, b"422"), (1_000_000, b"408")], ids=["fast enough", "too slow"])
def test_a_body_has_the_time_that_a_slow_line_takes(
    service: Running, rate: int, status: bytes, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(edge, "BODY_SECONDS", 0.15)
    monkeypatch.setattr(edge, "BODY_BYTES_PER_S", rate)
    body = json.dumps({"user": "0001", "pin": "1" * 1000}).encode()
    with _connected(service) as connection:
        connection.sendall(_login_head(len(body)))
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for part in range(0, len(body), 150):
                time.sleep(0.05)
                connection.sendall(body[part : part + 150])
        assert connection.recv(65536).split()[1] == status


def test_photos_that_come_in_at_once_have_a_bound(service: Running):
    uploads = service.service.parts.services.uploads
    uploads["some"] = UPLOADS
    try:
        answer = service.write("0001", "/v1/reports/0001/photo", b"\xff\xd8\xff", content_type="image/jpeg")
    finally:
        del uploads["some"]
    assert (answer.status, answer.codes, answer.headers["retry-after"]) == (503, ["H09"], "2")
