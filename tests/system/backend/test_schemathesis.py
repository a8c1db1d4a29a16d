"""The OpenAPI document against the service: schemathesis with all of its checks finds nothing.

Every operation is asked in the role that may do it, on a site that is there. CAUCUS_SCHEMATHESIS_S=600 asks for ten
minutes instead of a few seconds.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from loadtests.backend.api import OPERATIONS
from loadtests.backend.settings import Settings
from simulation.scenario import Scenario, load
from tests.system.backend.test_service import ROSTER
from tests.unit.backend.running_service import Running, prepare, running

SECONDS = int(os.environ.get("CAUCUS_SCHEMATHESIS_S", "0"))
USERS = {
    "chair": "0001",
    "clerk": "clerk-01",
    "reviewer": "reviewer-01",
    "administrator": "administrator-01",
    "observer": "observer-01",
}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    data = tmp_path_factory.mktemp("service")
    url = f"sqlite:///{data / 'night.db'}"
    with running(Settings(url, data), prepare(url, data, _small(data))) as found:
        yield found


def _small(folder: Path) -> Scenario:
    (folder / "small.csv").write_text(ROSTER)
    return load("iowa-2020", {}, folder / "small.csv")


def _configuration(service: Running) -> str:
    lines = ["[parameters]", '"path.site" = "0001"', '"header.X-Device" = "device-1"']
    for one in OPERATIONS:
        if one.roles is None:
            continue
        user = USERS[next(role for role in USERS if role in one.roles)]
        if one.path == "/v1/logout":
            user = "observer-01"  # whose token nobody else needs
        lines += [
            "[[operations]]",
            f'include-name = "{one.method} {one.path}"',
            f'headers = {{ Authorization = "Bearer {service.token(user)}" }}',
        ]
    return "\n".join(lines) + "\n"


def _runs() -> list[list[str]]:
    """Each a run of its own. The short one leaves links out: they take long."""
    each_alone = "--phases=examples,coverage,fuzzing"
    if not SECONDS:
        return [[each_alone, "--max-examples=2", "--max-time=15"]]
    # Where the phase of links breaks a path or a header that the configuration names, that is put back afterwards: what
    # is sent is right, and rightly accepted.
    linked = ["--phases=stateful", "--exclude-checks=negative_data_rejection"]
    return [[each_alone, f"--max-time={SECONDS * 2 // 3}"], [*linked, f"--max-time={SECONDS // 3}"]]


def test_schemathesis_finds_nothing_with_all_checks_on(service: Running, tmp_path: Path):
    configuration = tmp_path / "schemathesis.toml"
    configuration.write_text(_configuration(service))
    for options in _runs():
        command = [sys.executable, "-m", "schemathesis.cli", f"--config-file={configuration}", "run"]
        command += [f"http://127.0.0.1:{service.port}/openapi.json", "--checks=all", "--continue-on-failure"]
        command += ["--seed=1", "--no-color", *options]
        found = subprocess.run(
            command, capture_output=True, text=True, check=False, cwd=tmp_path, timeout=120 + 3 * SECONDS
        )
        assert found.returncode == 0, found.stdout[-6000:] + found.stderr[-2000:]
        assert " passed" in found.stdout, found.stdout
        assert "403 Forbidden" not in found.stdout, "every operation was reached"
    text = service.ask("GET", "/metrics").body.decode()
    assert 'status="500"' not in text
