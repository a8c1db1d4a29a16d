"""The address of whoever signs in, as a request forwards it."""

from __future__ import annotations

from pathlib import Path

from loadtests.accounts import Account
from loadtests.contract import Ask
from loadtests.target.mapping import REFERENCE, load_mapping
from loadtests.traffic.flows import LogIns

LISTED = [(f"127.16.{n}.1", Account(f"000{n}", "chair", f"000{n}", "314159")) for n in (1, 2, 3)]


def test_each_chair_signs_in_from_an_address_of_their_own_whatever_the_device() -> None:
    backend, flow = load_mapping(REFERENCE, "a-run"), LogIns(LISTED)
    sent = [backend.build("login", flow.next("login").ask).headers for _ in range(6)]
    assert [one["X-Forwarded-For"] for one in sent] == 2 * ["127.16.1.1", "127.16.2.1", "127.16.3.1"]
    assert len({one["X-Device"] for one in sent}) == 6


def test_a_mapping_says_in_which_header_it_is_forwarded(tmp_path: Path) -> None:
    (tmp_path / "theirs.toml").write_text(
        '[login]\npath = "/in"\nheaders = { True-Client-IP = "{forwarded_for?}" }\njson = { who = "{user}" }\n'
    )
    backend, flow = load_mapping(tmp_path / "theirs.toml", "a-run"), LogIns(LISTED)
    sent = [backend.build("login", flow.next("login").ask).headers for _ in range(3)]
    assert [one["True-Client-IP"] for one in sent] == ["127.16.1.1", "127.16.2.1", "127.16.3.1"]
    assert not any("X-Forwarded-For" in one for one in sent)


def test_who_has_no_address_forwards_none() -> None:
    backend = load_mapping(REFERENCE, "a-run")
    assert "X-Forwarded-For" not in backend.build("results", Ask()).headers
    assert "X-Forwarded-For" not in backend.build("login", Ask(user="0001", pin="314159", device="one")).headers
