"""The proxy between real sockets: nobody notices it, and each fault is seen by a client as it is named."""

from __future__ import annotations

import errno
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from loadtests.proxy import Proxy
from simulation.errors import UnfinishedError
from simulation.scenario.faults import Kind

SOON_S = 5.0
NO_LINGER = struct.pack("ii", 1, 0)  # a close is a reset
RESETS = (errno.ECONNRESET, errno.EPIPE)


class Echo:
    """A server that sends back what it gets, and remembers when what came, and how each connection ended."""

    def __init__(self, listening: socket.socket) -> None:
        self.came: list[tuple[float, bytes]] = []
        self.ends: list[str] = []
        self.connections: list[socket.socket] = []
        self._listening = listening
        self.address = listening.getsockname()[:2]
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            connection.settimeout(SOON_S)
            self.connections.append(connection)
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            try:
                while data := connection.recv(1 << 16):
                    self.came.append((time.monotonic(), data))
                    connection.sendall(data)
                self.ends.append("closed")
            except OSError as error:
                self.ends.append("reset" if error.errno in RESETS else repr(error))

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for connection in self.connections:
            connection.close()
        for thread in self._threads:
            thread.join(SOON_S)

    def has_ended(self, how: str) -> bool:
        until = time.monotonic() + SOON_S
        while how not in self.ends and time.monotonic() < until:
            time.sleep(0.005)
        return how in self.ends


@pytest.fixture(scope="module")
def standing() -> Iterator[tuple[Proxy, Echo]]:
    server = Echo(socket.create_server(("127.0.0.1", 0)))
    with Proxy(server.address) as found:
        yield found, server
    server.close()


@pytest.fixture
def proxy(standing: tuple[Proxy, Echo]) -> Iterator[Proxy]:
    found, _ = standing
    yield found
    for number in (1, 2, 3):
        found.end(number)


@pytest.fixture
def echo(standing: tuple[Proxy, Echo]) -> Echo:
    _, found = standing
    for remembered in (found.came, found.ends, found.connections):
        remembered.clear()
    return found


def connected(proxy: Proxy) -> socket.socket:
    assert isinstance(proxy.address, tuple)
    return socket.create_connection(proxy.address, SOON_S)


def read(client: socket.socket, length: int) -> bytes:
    """So many bytes, or fewer where the other end closes."""
    found = b""
    while len(found) < length and (data := client.recv(length - len(found))):
        found += data
    return found


def said(client: socket.socket, text: bytes = b"hello") -> float:
    """How long an answer took."""
    began = time.monotonic()
    client.sendall(text)
    assert read(client, len(text)) == text
    return time.monotonic() - began


def test_without_a_fault_bytes_pass_as_they_are_and_soon(proxy: Proxy):
    with closing(connected(proxy)) as client:
        assert min(said(client) for _ in range(20)) < 0.01
        much = bytes(range(256)) * 4096 * 8  # 8 MB, more than any buffer on the way
        threading.Thread(target=client.sendall, args=(much,), daemon=True).start()
        assert read(client, len(much)) == much


def test_what_one_end_does_the_other_end_sees(proxy: Proxy, echo: Echo):
    with closing(connected(proxy)) as client:
        client.sendall(b"last words")
        client.shutdown(socket.SHUT_WR)  # half of it: the answer still comes, and then the end
        assert read(client, 100) == b"last words"
        assert echo.has_ended("closed")
    client = connected(proxy)
    said(client)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
    client.close()
    assert echo.has_ended("reset")


def test_a_server_that_resets_is_a_reset_for_the_client(proxy: Proxy, echo: Echo):
    with closing(connected(proxy)) as client:
        said(client)
        echo.connections[0].setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
        echo.connections[0].shutdown(socket.SHUT_RD)  # its thread lets go
        with pytest.raises(ConnectionResetError):
            client.recv(1)


def test_a_server_that_is_not_there_is_a_reset_for_the_client(tmp_path: Path):
    with Proxy(tmp_path / "nobody") as proxy:
        with pytest.raises(ConnectionResetError), closing(connected(proxy)) as client:  # or before connect() returns
            client.recv(1)
        with pytest.raises(UnfinishedError, match="a proxy could not be set up"), Proxy(tmp_path / "x", tmp_path):
            raise AssertionError("it listens on a folder")


def test_it_listens_on_a_unix_socket_as_well(echo: Echo, tmp_path: Path):
    with Proxy(echo.address, tmp_path / "in") as outer, Proxy(tmp_path / "in") as proxy:
        assert outer.address == tmp_path / "in"
        with closing(connected(proxy)) as client:
            said(client)


def test_a_client_s_own_loopback_address_is_what_the_server_sees(proxy: Proxy, echo: Echo):
    assert isinstance(proxy.address, tuple)
    with closing(socket.create_connection(proxy.address, SOON_S, ("127.0.3.7", 0))) as client:
        said(client)
        assert echo.connections[0].getpeername()[0] == "127.0.3.7"


def test_latency_delays_answers_and_not_requests(proxy: Proxy, echo: Echo):
    with closing(connected(proxy)) as client:
        said(client)
        proxy.begin(1, "latency", 200, is_moment=False)
        began = time.monotonic()
        assert 0.2 <= said(client) < 0.3
        assert echo.came[-1][0] - began < 0.1
        proxy.begin(2, "latency", 100, is_moment=False)
        assert 0.3 <= said(client) < 0.4, "two latencies add up"
        proxy.end(1)
        proxy.end(2)
        assert said(client) < 0.1


def test_a_stall_holds_everything_up_and_then_lets_it_go_on(proxy: Proxy, echo: Echo):
    with closing(connected(proxy)) as client:
        said(client)
        proxy.begin(1, "stall", None, is_moment=False)
        client.sendall(b"first")
        with closing(connected(proxy)) as newcomer:
            newcomer.sendall(b"other")
            client.settimeout(0.3)
            with pytest.raises(TimeoutError):
                client.recv(1)
            assert len(echo.came) == 1, "nothing came to the server either"
            proxy.end(1)
            assert read(client, 5) == b"first"
            assert read(newcomer, 5) == b"other"


def test_a_sender_has_to_wait_while_nothing_passes(proxy: Proxy):
    """The proxy holds a megabyte or two, not whatever is sent."""
    proxy.begin(1, "stall", None, is_moment=False)
    with closing(connected(proxy)) as client:
        client.settimeout(0.5)
        passed = 0
        with suppress(TimeoutError):
            while passed < 64 << 20:
                passed += client.send(bytes(1 << 16))
        assert passed < 64 << 20
        proxy.end(1)
        client.settimeout(SOON_S)
        assert read(client, passed) == bytes(passed)


def test_a_reset_cuts_open_connections_at_both_ends_and_spares_later_ones(proxy: Proxy, echo: Echo):
    with closing(connected(proxy)) as client, closing(connected(proxy)) as other:
        said(client)
        said(other)
        proxy.begin(1, "reset", None, is_moment=True)
        for each in (client, other):
            with pytest.raises(ConnectionResetError):
                each.recv(1)
        assert echo.has_ended("reset")
    with closing(connected(proxy)) as client:
        said(client)


def test_a_lasting_reset_cuts_every_new_connection_until_its_end(proxy: Proxy, echo: Echo):
    proxy.begin(1, "reset", None, is_moment=False)
    for _ in range(3):
        with pytest.raises(ConnectionResetError), closing(connected(proxy)) as client:  # or even before it is accepted
            client.recv(1)
    assert echo.came == []
    proxy.end(1)
    with closing(connected(proxy)) as client:
        said(client)


@pytest.mark.parametrize("is_moment", [True, False])
def test_a_half_close_ends_the_way_back_while_requests_still_arrive(proxy: Proxy, echo: Echo, is_moment: bool):
    with closing(connected(proxy)) as client:
        said(client)
        proxy.begin(1, "half-close", None, is_moment=is_moment)
        assert client.recv(1) == b"", "the end, not a reset"
        client.sendall(b"unheard")
        until = time.monotonic() + SOON_S
        while len(echo.came) < 2 and time.monotonic() < until:
            time.sleep(0.005)
        assert echo.came[-1][1] == b"unheard"
        assert client.recv(1) == b""
    with closing(connected(proxy)) as newcomer:
        newcomer.sendall(b"hello")
        assert read(newcomer, 5) == (b"hello" if is_moment else b"")
    proxy.end(1)
    with closing(connected(proxy)) as later:
        said(later)


@pytest.mark.parametrize("is_moment", [True, False])
def test_a_truncated_answer_breaks_off_after_so_many_bytes(proxy: Proxy, is_moment: bool):
    with closing(connected(proxy)) as client:
        said(client)
        proxy.begin(1, "truncate", 300, is_moment=is_moment)
        client.sendall(b"x" * 200)
        assert read(client, 200) == b"x" * 200, "it is not there yet"
        client.sendall(b"y" * 200)
        assert read(client, 200) == b"y" * 100
    with closing(connected(proxy)) as newcomer:
        newcomer.sendall(b"z" * 400)
        assert len(read(newcomer, 400)) == (400 if is_moment else 300)
    proxy.end(1)
    with closing(connected(proxy)) as later:
        said(later, b"z" * 400)


@pytest.mark.parametrize("clients", [1, 4])
def test_a_narrow_line_carries_its_bytes_a_second_for_all_together(proxy: Proxy, clients: int):
    proxy.begin(1, "bandwidth", 400_000, is_moment=False)
    each = 400_000 // clients
    took: list[float] = []

    def says() -> None:
        with closing(connected(proxy)) as client:
            threading.Thread(target=client.sendall, args=(bytes(each),), daemon=True).start()
            began = time.monotonic()
            assert len(read(client, each)) == each
            took.append(time.monotonic() - began)

    threads = [threading.Thread(target=says) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(took) == clients
    # there and back overlap but for the first chunk; all of them get their turn, so that all end together
    assert 0.95 < max(took) < 1.25
    assert min(took) > 0.8 * max(took)
    proxy.end(1)
    with closing(connected(proxy)) as client:
        assert said(client, bytes(100_000)) < 0.1


def test_a_narrow_line_and_a_stall_take_nothing_from_each_other(proxy: Proxy):
    proxy.begin(1, "bandwidth", 200_000, is_moment=False)
    with closing(connected(proxy)) as client:
        threading.Thread(target=client.sendall, args=(bytes(100_000),), daemon=True).start()
        began = time.monotonic()
        read(client, 20_000)
        proxy.begin(2, "stall", None, is_moment=False)
        time.sleep(0.4)
        proxy.end(2)
        assert len(read(client, 80_000)) == 80_000
        assert 0.8 < time.monotonic() - began < 1.2


@pytest.mark.parametrize("kind", ["latency", "stall", "reset", "half-close", "truncate", "bandwidth"])
def test_connections_that_come_and_go_under_a_fault_leave_nothing_behind(proxy: Proxy, kind: Kind):
    """The proxy has as many files open afterwards as before."""
    files = Path(f"/proc/{proxy.pid}/fd")
    if not files.is_dir():
        pytest.skip("/proc is Linux's")
    with closing(connected(proxy)) as client:
        said(client)
    time.sleep(0.05)
    before = len(list(files.iterdir()))
    for round_ in (1, 2, 3):
        amount = {"latency": 20, "truncate": 3, "bandwidth": 1_000_000}.get(kind)
        clients = [connected(proxy) for _ in range(20)]
        proxy.begin(round_, kind, amount, is_moment=False)
        for client in clients:
            try:
                client.sendall(b"hello")
            except ConnectionError:
                assert kind == "reset"
        for client in clients[:10]:
            client.close()
        proxy.end(round_)
        for client in clients[10:]:
            client.close()
    until = time.monotonic() + SOON_S
    while (left := len(list(files.iterdir()))) > before and time.monotonic() < until:
        time.sleep(0.02)
    assert left <= before
    with closing(connected(proxy)) as client:
        said(client)
