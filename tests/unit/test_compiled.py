"""The cache of machine code: in nobody else's reach, and tidied up without touching anything that is not its own."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from simulation import compiled


@pytest.fixture
def fallback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the cache goes when the home cannot be written, in a temporary folder of its own."""
    (tmp_path / "home").write_text("a file, no folder")
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    return temporary / f"caucus-trial-run-{os.getuid()}"


def test_without_a_home_the_cache_is_a_private_folder_used_again(fallback: Path) -> None:
    assert compiled._cache_root() == fallback == compiled._cache_root()
    assert fallback.lstat().st_mode & 0o777 == 0o700


def test_a_link_where_the_cache_should_be_is_not_followed(fallback: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    fallback.symlink_to(elsewhere)
    root = compiled._cache_root()
    assert elsewhere not in (root, root.resolve())
    assert root != fallback
    assert root.lstat().st_mode & 0o777 == 0o700


def test_a_folder_that_others_can_write_to_is_not_used(fallback: Path) -> None:
    fallback.mkdir()
    fallback.chmod(0o777)
    assert compiled._cache_root() != fallback


def test_a_file_where_the_cache_should_be_is_left_alone(fallback: Path) -> None:
    fallback.write_text("mine")
    assert compiled._cache_root() != fallback
    assert fallback.read_text() == "mine"


def test_an_edited_rule_or_constant_has_a_cache_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every file that kernels live in, and every file whose numbers they hold, is part of the cache's name."""
    package = tmp_path / "simulation"
    shutil.copytree(Path(compiled.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(compiled, "__file__", str(package / "compiled.py"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    names = [compiled.cache_folder.__wrapped__().name]
    for edited in ("scenario/values.py", "rules/law.py", "night/twin/heap.py", "night/reporting.py", "randomness.py"):
        with (package / edited).open("a") as file:
            file.write("# edited\n")
        names.append(compiled.cache_folder.__wrapped__().name)
    assert len(set(names)) == len(names)


def test_only_old_caches_are_deleted(tmp_path: Path) -> None:
    caches = [tmp_path / f"{number:016x}" for number in range(6)]
    others = [tmp_path / "photos", tmp_path / "0123", tmp_path / f"{7:016x}.bak"]
    for age, folder in enumerate([*caches, *others]):
        folder.mkdir()
        os.utime(folder, (0, 1_000 - age))
    compiled._forget_old(caches[0])
    assert set(tmp_path.iterdir()) == {*caches[:4], *others}
