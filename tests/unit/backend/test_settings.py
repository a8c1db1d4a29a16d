"""What the command line may say: addresses of proxies, and which hosts are this machine alone."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from loadtests.backend.settings import Settings, is_loopback, networks
from simulation.errors import InputError


def test_every_proxy_that_is_no_address_is_named():
    with pytest.raises(InputError) as found:
        networks(["10.0.0.7", "proxy.example", "10.0.0.1/8"])
    assert len(found.value.problems) == 2
    assert all(problem.startswith("--trusted-proxy") for problem in found.value.problems)


@pytest.mark.parametrize(
    ("host", "only_here"),
    [
        ("127.0.0.1", True),
        ("127.8.9.1", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("a.example", False),
    ],
)
def test_loopback_is_what_nobody_else_can_reach(host: str, only_here: bool):
    assert is_loopback(host) is only_here


def test_settings_reach_another_process_as_they_are(tmp_path: Path):
    settings = Settings("sqlite:///x", tmp_path, trusted_proxies=networks(["10.0.0.0/8"]), faults=frozenset({"x"}))
    assert pickle.loads(pickle.dumps(settings)) == settings
