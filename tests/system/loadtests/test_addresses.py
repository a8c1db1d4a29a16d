"""Everybody has an address: of their own towards this machine, else one that is forwarded to whoever trusts us."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest
from click.testing import CliRunner

from loadtests.addresses import address, reach
from loadtests.target.guards import Target
from loadtests.target.launch import launched
from simulation.cli import caucus
from simulation.roster import synthesize
from simulation.scenario import load

NIGHT = """\
extends = "iowa-2020"
title = "A small night"
story = "A hundred precincts, most with an app: more log-ins at once than one address may make."

[turnout]
people = "none"

[app]
installed = 0.95
"""


def has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


def test_only_this_machine_is_reached_from_them() -> None:
    def target(at: str, *, loopback: bool) -> Target:
        return Target("http", at, 8000, "", (at,), loopback)

    assert not reach(target("192.0.2.7", loopback=False))
    assert not reach(target("::1", loopback=True))
    assert address("chair", 0) == "127.16.1.1"
    assert len({address("chair", n) for n in range(2000)}) == 2000


@pytest.mark.usefixtures("others_use_the_machine")
@pytest.mark.skipif(not has_ipv6(), reason="needs ::1, which no address of 127.0.0.0/8 reaches")
def test_a_backend_that_trusts_the_machine_lets_everybody_in_who_comes_from_its_one_address(tmp_path: Path) -> None:
    """As any target that is not this machine is loaded: all from one address, the chairs' own in a header."""
    (tmp_path / "night.toml").write_text(NIGHT, encoding="utf-8")
    rows = synthesize("iowa-2020").csv().splitlines()[:101]
    (tmp_path / "precincts.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    given = ["loadtest", "replay", str(tmp_path / "night.toml"), "--roster", str(tmp_path / "precincts.csv"), "--json"]
    given += ["--speed", "3000", "--small-photos", "--readers", "0"]
    night = load(tmp_path / "night.toml", {}, tmp_path / "precincts.csv")
    options = ("--host", "::1", "--trusted-proxy", "::1")
    with launched(tmp_path / "data", f"sqlite:///{tmp_path / 'one.db'}", night, clerks=4, options=options) as backend:
        done = CliRunner().invoke(caucus, [*given, "--target", backend.url, "--pins", str(backend.pins)])
    assert done.exit_code in (0, 3), done.output  # whether the backend is fast enough is not asked here
    problems = json.loads(done.stdout)["problems"]
    assert [one for one in problems if one.startswith("login")] == []  # without trust 174 of 233 log-ins are refused
