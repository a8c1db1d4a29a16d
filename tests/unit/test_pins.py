"""The pinned versions in constraints/ and what pyproject.toml asks for agree."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def pinned(name: str) -> dict[str, str]:
    """The versions of a list of constraints/, by normalized package name."""
    lines = re.findall(r"^([\w.-]+)==([^\s;]+)", (ROOT / "constraints" / name).read_text(), re.MULTILINE)
    return {normalized(package): version for package, version in lines}


def normalized(requirement: str) -> str:
    """The package's name in a requirement, in PEP 503's spelling."""
    return re.sub(r"[-_.]+", "-", re.split(r"[\s\[<>=!~;]", requirement, maxsplit=1)[0]).lower()


def test_the_core_is_pinned_with_its_build_backend() -> None:
    wanted = [*PROJECT["project"]["dependencies"], *PROJECT["build-system"]["requires"]]
    assert {normalized(requirement) for requirement in wanted} <= pinned("core.txt").keys()


def test_every_extra_is_pinned() -> None:
    wanted = [requirement for extra in PROJECT["project"]["optional-dependencies"].values() for requirement in extra]
    assert {normalized(requirement) for requirement in wanted} <= pinned("all.txt").keys()


def test_the_core_has_the_same_versions_alone_and_with_everything() -> None:
    assert pinned("core.txt").items() <= pinned("all.txt").items()


def test_one_version_serves_every_python_and_platform() -> None:
    text = (ROOT / "constraints" / "all.txt").read_text()
    names = [normalized(name) for name in re.findall(r"^[\w.-]+(?===)", text, re.MULTILINE)]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("name", ["core.txt", "all.txt"])
def test_pins_are_names_versions_and_hashes_without_addresses(name: str) -> None:
    text = (ROOT / "constraints" / name).read_text()
    assert "://" not in text
    assert "--index" not in text
    assert text.count("--hash=sha256:") >= len(pinned(name)) > 0
