"""What the harness starts: backends, and processes that make load."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from loadtests.generator import live
from loadtests.generator.processes import GeneratorError, Generators
from loadtests.search.stress import Stress, _metrics_text
from loadtests.target.guards import allowed
from loadtests.target.launch import Launched
from loadtests.traffic.soak import soak
from loadtests.workload import constant
from simulation.errors import InputError
from tests.unit.loadtests.load_runs import answered


def test_no_password_of_a_database_stands_on_a_command_line(tmp_path: Path):
    one = Launched(tmp_path, "postgresql://u:hush@h/db", tmp_path / "pins.csv")
    assert not any("hush" in word for word in one._command("verify"))
    assert one._environment["CAUCUS_BACKEND_DATABASE"] == "postgresql://u:hush@h/db"


@contextmanager
def garbage() -> Iterator[str]:
    """The address of somebody who answers, but not in HTTP."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            for _ in range(2):
                there, _from = server.accept()
                with there:
                    there.recv(65_536)
                    there.sendall(b"HTP/ what\r\n\r\n")

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        thread.join(5)


def test_an_answer_that_is_torn_off_is_none(tmp_path: Path):
    with garbage() as url:
        assert not Launched(tmp_path, "sqlite", tmp_path / "pins.csv", url=url).is_ready()
        assert _metrics_text(allowed(url)) is None


def test_a_port_that_is_taken_is_told_before_anything_is_begun(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv(live.ADDRESS, raising=False)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(InputError, match=f"--prometheus {address}: .* in use"):
            live.tell_children(address)
    live.tell_children(address)
    live.tell_children(None)


def test_many_processes_still_send_a_request_each():
    made = Generators("nowhere:source", allowed("http://127.0.0.1:9"), workers=8, under_way=3)
    assert made.order["limits"]["under_way"] == 1


def test_a_soak_whose_generator_ends_keeps_what_was_measured():
    trials = iter([answered(constant(50, 2), 0.01), answered(constant(50, 2), 0.01)])

    def measure(_per_s: float, _seconds: float) -> Any:
        for trial in trials:
            return trial
        raise GeneratorError("the generator has ended")

    stress = cast(Stress, SimpleNamespace(measure=measure))
    found = soak(stress, 50, 100)
    assert (len(found.stretches), found.ended) == (2, "the generator has ended")
    with pytest.raises(GeneratorError):
        soak(stress, 50, 100)
