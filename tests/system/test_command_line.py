"""The `caucus` command as its users meet it: what it prints, where, and with which exit code."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from simulation import cli
from simulation.errors import InputError

HEAVY = ("numba", "numpy", "polars", "matplotlib", "scipy", "pydantic", "simpy", "locust")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli.caucus, arguments, prog_name="caucus")


def failing_with(error: BaseException) -> Result:
    """The outcome of a command that raises `error`."""

    @click.command()
    def fail() -> None:
        raise error

    group = cli.Caucus(commands={"fail": fail})
    return CliRunner().invoke(group, ["fail"], prog_name="caucus")


def test_help_imports_nothing_heavy() -> None:
    """`caucus --help` stays instant, because all that it needs is click."""
    script = f"import sys, simulation.cli; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_version_is_that_of_the_distribution() -> None:
    project = tomllib.loads((Path(__file__).resolve().parents[2] / "pyproject.toml").read_text())["project"]
    assert run("--version").stdout == f"caucus, version {project['version']}\n"


def test_bad_input_is_listed_on_stderr_with_exit_2() -> None:
    result = failing_with(InputError(["night.toml: first", "night.toml: second"]))
    assert (result.exit_code, result.stdout, result.stderr) == (2, "", "night.toml: first\nnight.toml: second\n")


def test_ctrl_c_is_one_sentence_and_exit_130() -> None:
    result = failing_with(KeyboardInterrupt())
    assert (result.exit_code, result.stderr) == (130, "Stopped by Ctrl-C.\n")


def test_the_unforeseen_is_one_sentence_and_exit_1() -> None:
    result = failing_with(RuntimeError("the dog\nate it"))
    assert result.exit_code == 1
    assert result.stderr == "caucus failed: RuntimeError: the dog ate it (CAUCUS_DEBUG=1 shows where)\n"


def test_debugging_shows_the_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAUCUS_DEBUG", "1")
    assert "Traceback (most recent call last)" in failing_with(RuntimeError("why")).stderr


def test_no_color_switches_styles_off(monkeypatch: pytest.MonkeyPatch) -> None:
    @click.command()
    def styled() -> None:
        click.secho("red", fg="red")

    monkeypatch.setitem(cli.caucus.commands, "styled", styled)
    assert CliRunner().invoke(cli.caucus, ["styled"], color=True).stdout == "\x1b[31mred\x1b[0m\n"
    monkeypatch.setenv("NO_COLOR", "1")
    assert CliRunner().invoke(cli.caucus, ["styled"], color=True).stdout == "red\n"


def test_a_reader_that_leaves_early_is_no_error_message() -> None:
    """`caucus --help | head -c0` and the like end quietly."""
    command = f"{sys.executable} -m simulation.cli --help | true"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.stderr == ""


def test_math_prints_the_worksheet_or_its_json() -> None:
    precinct = ["math", "--delegates", "7", "--attendance", "100", "20", "18", "27", "19", "16"]
    text, data = run(*precinct), run(*precinct, "--json")
    assert (text.exit_code, text.stderr) == (0, "")
    assert (data.exit_code, data.stderr) == (0, "")
    assert "100" in text.stdout
    assert json.loads(data.stdout)["threshold"] == 15


def test_math_lists_every_text_that_is_no_number() -> None:
    result = run("math", "--delegates", "7", "--attendance", "many", "20", "1e3", "5")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.splitlines() == [
        "attendance: 'many' given, a whole number is accepted",
        "group 2: '1e3' given, a whole number is accepted",
    ]


def test_math_lists_every_number_that_no_precinct_can_have() -> None:
    result = run("math", "--delegates", "0", "--attendance", "-100", "20", "-5")
    assert (result.exit_code, result.stdout) == (2, "")
    assert [line.split(":")[0] for line in result.stderr.splitlines()] == ["delegates", "attendance", "group 2"]


@pytest.mark.parametrize(
    ("arguments", "missing"),
    [
        (["--attendance", "100", "20"], "--delegates"),
        (["--delegates", "7", "20"], "--attendance"),
        (["--delegates", "7", "--attendance", "100"], "SIZES"),
    ],
)
def test_math_names_what_is_missing(arguments: list[str], missing: str) -> None:
    result = run("math", *arguments)
    assert result.exit_code == 2
    assert missing in result.stderr
