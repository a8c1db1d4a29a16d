"""What the client of the open workload writes, before anything is sent."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from loadtests.contract import Request
from loadtests.generator.client import Client
from loadtests.target.guards import Target, identification

HERE = Target("http", "127.0.0.1", 8000, "", ("127.0.0.1",), loopback=True)


def lines(headers: Mapping[str, str]) -> list[str]:
    """The head of a request that says these by itself."""
    client = Client(HERE, lambda *_: None, headers=identification("run-1"))
    message = client._message(Request("POST", "/r", headers, b"{}", "report"))
    head, _, body = message.decode("latin-1").partition("\r\n\r\n")
    assert body == "{}"
    return head.split("\r\n")


def test_who_sends_stands_in_every_request() -> None:
    found = lines({"Content-Type": "application/json"})
    assert found[0] == "POST /r HTTP/1.1"
    assert "X-Caucus-Run: run-1" in found
    assert any(line.startswith("User-Agent: caucus-trial-run/") for line in found)
    assert {"Host: 127.0.0.1:8000", "Accept: */*", "Content-Type: application/json", "Content-Length: 2"} <= set(found)


@pytest.mark.parametrize("name", ["X-Caucus-Run", "x-caucus-run", "User-Agent", "ACCEPT"])
def test_what_a_request_says_itself_is_said_once(name: str) -> None:
    found = lines({name: "its own"})
    said = [line for line in found if line.lower().startswith(f"{name.lower()}:")]
    assert said == [f"{name}: its own"]
    assert len(found) == len(lines({}))


def test_a_request_that_says_something_takes_nothing_from_the_next_one() -> None:
    client = Client(HERE, lambda *_: None, headers=identification("run-1"))
    for headers in ({"User-Agent": "theirs"}, {}, {"user-agent": "theirs"}, {}):
        message = client._message(Request("GET", "/r", headers, None, "results")).decode("latin-1").lower()
        assert message.count("user-agent:") == 1
        assert ("user-agent: theirs" in message) is bool(headers)
