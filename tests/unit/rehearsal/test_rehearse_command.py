"""`caucus rehearse` on a log that is there already, and what `caucus debrief --to-scenario` builds on."""

from __future__ import annotations

import os
from pathlib import Path
from socket import AF_INET, AF_INET6, AddressFamily, create_connection, create_server
from urllib.parse import urlsplit

import pytest
from click.testing import CliRunner

from simulation.cli import caucus
from simulation.rehearsal.running import _settings
from simulation.rehearsal.to_scenario import rehearsed
from simulation.scenario import Scenario, load
from simulation.web.server import listen
from tests.unit.rehearsal.rooms import Wall, begun, small


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("log")
    begun(folder, Wall()).close()
    return str(folder / "log.sqlite")


def test_options_of_a_new_rehearsal_are_refused_where_one_goes_on(log: str) -> None:
    more = ["--minutes", "20", "--seed", "4", "--set", "hotline.operators=3", "--host", "127.0.0.1"]
    told = CliRunner().invoke(caucus, ["rehearse", "iowa-2020", "--file", log, *more])
    assert told.exit_code == 2
    assert "leave out --minutes, --seed, --set" in " ".join(told.stderr.split())


@pytest.mark.parametrize(("host", "open_at"), [("0.0.0.0", AF_INET), ("::", AF_INET6), ("127.0.0.1", AF_INET)])
def test_the_address_told_is_one_that_can_be_opened(host: str, open_at: AddressFamily) -> None:
    """Of "every address" no phone can open the text."""
    try:
        listening, url = listen(host, 0)
    except OSError:
        assert open_at is AF_INET6  # a computer without IPv6
        return
    with listening:
        there = urlsplit(url)
        assert there.hostname not in ("0.0.0.0", "::")
        create_connection((there.hostname or "", there.port or 0), timeout=5).close()


def test_a_port_that_is_taken_is_said(log: str) -> None:
    with create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        given = ["rehearse", "iowa-2020", "--file", log, "--host", "127.0.0.1", "--port", port]
        told = CliRunner().invoke(caucus, given)
    assert told.exit_code == 2
    assert f"127.0.0.1:{port}: cannot listen there" in told.stderr


def test_what_breaks_later_in_the_evening_is_not_called_a_port_that_is_taken(
    log: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("simulation.web.server.create_app", full)
    given = ["rehearse", "iowa-2020", "--file", log, "--host", "127.0.0.1", "--port", "0"]
    told = CliRunner().invoke(caucus, given)
    assert told.exit_code != 2
    assert "cannot listen" not in told.stderr


def test_another_night_than_the_files_is_refused(log: str) -> None:
    told = CliRunner().invoke(caucus, ["rehearse", "iowa-2016", "--file", log])
    assert told.exit_code == 2
    assert "holds a rehearsal of iowa-2020, not of iowa-2016" in " ".join(told.stderr.split())


def test_a_library_night_keeps_its_name_and_a_file_its_place(tmp_path: Path) -> None:
    settings = {**_settings(load("iowa-2020"), 1, 0), "base": "iowa-2020"}
    assert rehearsed(settings, tmp_path / "out.toml") == ("iowa-2020", {})

    own = tmp_path / "nights" / "own.toml"
    own.parent.mkdir()
    own.write_text('extends = "iowa-2020"\ntitle = "Own"\n[checkin]\nstations = 3\n')
    settings = {**_settings(load(str(own)), 1, 0), "base": str(own)}
    out = tmp_path / "seen" / "out.toml"
    out.parent.mkdir()
    assert rehearsed(settings, out) == (os.path.join("..", "nights", "own.toml"), {})
    out.write_text('extends = "../nights/own.toml"\ntitle = "As rehearsed"\n')
    assert load(str(out)).document["checkin"] == load(str(own)).document["checkin"]


@pytest.fixture
def changed(tmp_path: Path) -> Scenario:
    """The night of 2020 with other precincts and another hotline than the library's."""
    return small(tmp_path / "precincts")


def test_a_night_that_was_changed_for_the_rehearsal_is_written_beside(tmp_path: Path, changed: Scenario) -> None:
    out = tmp_path / "seen.toml"
    base, beside = rehearsed({**_settings(changed, 1, 0), "base": "iowa-2020"}, out)
    assert base == "seen-rehearsed.toml"
    for path, text in beside.items():
        path.write_text(text, newline="")
    out.write_text(f'extends = "{base}"\ntitle = "As rehearsed"\n')
    again = load(str(out))
    assert again.roster.sha256 == changed.roster.sha256
    assert again.document["hotline"] == changed.document["hotline"]
