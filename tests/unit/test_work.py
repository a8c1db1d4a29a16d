"""Units of work: what an experiment may ask for, again and again, and what of it survives."""

from __future__ import annotations

import errno
import json
import os
import tomllib
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from simulation import roster, workers
from simulation.errors import InputError, UnfinishedError
from simulation.experiment import run_nights, store
from simulation.experiment.packed import PackedRow, Row
from simulation.experiment.run_file import differences, versions
from simulation.experiment.work import Unit, Work, open_work
from simulation.scenario import Scenario, load
from tests.unit.worker_tasks import length, total

WANTED = {"question": "how many operators?"}


@pytest.fixture(scope="module")
def precincts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A roster of five precincts: a night of some milliseconds."""
    path = tmp_path_factory.mktemp("roster") / "five.csv"
    path.write_text("".join(roster.synthesize("iowa-2020").csv().splitlines(keepends=True)[:6]))
    return path


@pytest.fixture(scope="module")
def few(precincts: Path) -> Scenario:
    return load("baseline", {}, precincts)


@pytest.fixture(scope="module")
def other(precincts: Path) -> Scenario:
    return load("baseline", {"turnout.people": 400}, precincts)


@contextmanager
def work(out: Path | None = None, **changes: Any) -> Iterator[Work]:
    with open_work(**{"kind": "compare", "wanted": WANTED, "out": out, "seed": 3, "workers": 1} | changes) as found:
        yield found


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Every job that this process does from here on."""
    found: list[Any] = []
    run = workers.InTurn.run

    def counted(crew: workers.InTurn, jobs: list[workers.Job]) -> workers.Done:
        for place, made in run(crew, jobs):
            found.append(jobs[place].item)
            yield place, made

    monkeypatch.setattr(workers.InTurn, "run", counted)
    return found


def test_rows_are_the_nights_of_a_run_in_the_order_of_the_units(few: Scenario, other: Scenario) -> None:
    units = [Unit(few, 1), Unit(other, 0), Unit(few, 0), Unit(few, 1)]
    with work() as asked:
        rows = asked.rows(units)
    alone = run_nights(few, 2, 3, workers=1).rows
    assert [rows[2], rows[0], rows[3]] == [alone[0], alone[1], alone[1]]
    assert rows[1] == run_nights(other, 1, 3, workers=1).rows[0]
    assert rows[1]["people"] != rows[2]["people"]


def test_any_number_of_workers_finds_the_same(few: Scenario, other: Scenario) -> None:
    units = [Unit(scenario, night) for night in range(3) for scenario in (few, other)]
    with work(workers=1) as one, work(workers=2) as two:
        assert one.rows(units) == two.rows(units)
        assert one.map(partial(total, 1), range(5)) == two.map(partial(total, 1), range(5)) == [
            *(b"1", b"2", b"3", b"4", b"5")
        ]  # fmt: skip


def test_nothing_is_done_twice(few: Scenario, precincts: Path, played: list[Any]) -> None:
    """By what it is, not by which object it is."""
    with work() as asked:
        first = asked.rows([Unit(few, 0), Unit(few, 1), Unit(few, 0)])
        assert len(played) == 2
        assert asked.rows([Unit(load("baseline", {}, precincts), 1)]) == [first[1]]
        assert len(played) == 2
        asked.rows([Unit(few, 2)])
        assert asked.map(length, ["a", "bb", "a"]) == asked.map(length, ["a", "bb", "a"]) == [b"1", b"2", b"1"]
        assert asked.map(partial(total, 2), [1]) != asked.map(partial(total, 3), [1])
    assert len(played) == 2 + 1 + 2 + 2


def test_a_position_within_a_range_makes_another_unit(few: Scenario, played: list[Any]) -> None:
    key = next(assumption.key for assumption in few.assumptions() if not assumption.is_known)
    with work() as asked:
        asked.rows([Unit(few, 0), Unit(few, 0, ((key, 0),)), Unit(few, 0, ((key, 2**32 - 1),))])
    assert len(played) == 3


def test_the_folder_appears_whole_and_says_what_is_in_it(few: Scenario, tmp_path: Path) -> None:
    frame = pl.DataFrame({"people": [1, 2]})
    with work(tmp_path / "found") as asked:
        asked.rows([Unit(few, 0)])
        assert not (tmp_path / "found").exists()
        asked.finish({"report.html": "<p>", "all.parquet": frame, "summary.json": {"a": 1}, "raw": b"\0"})
    found = tmp_path / "found"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["found"]
    assert (found / "report.html").read_text() == "<p>"
    assert pl.read_parquet(found / "all.parquet").equals(frame)
    assert json.loads((found / "summary.json").read_text()) == {"a": 1}
    text = tomllib.loads((found / "experiment.toml").read_text())
    assert text["question"] == "how many operators?"
    assert text["run"] == {
        "kind": "compare", "seed": 3, "fixed": False, "engine": "compiled", "versions": dict(versions()),
    }  # fmt: skip
    assert set(text["written"]["files"]) | {"experiment.toml"} == {path.name for path in found.iterdir()}


def test_what_is_there_is_neither_done_again_nor_replaced_unasked(few: Scenario, tmp_path: Path) -> None:
    out = tmp_path / "found"
    with work(out) as asked:
        asked.finish({"report.html": "one"})
    with pytest.raises(InputError, match="this very experiment already"), work(out):
        pass
    with pytest.raises(InputError, match=r"differs in run\.seed"), work(out, seed=4):
        pass
    with work(out, seed=4, force=True) as asked:
        assert (out / "report.html").read_text() == "one"
        asked.finish({"other.html": "two"})
    assert sorted(path.name for path in out.iterdir()) == ["experiment.toml", "other.html"]
    (out / "notes.md").write_text("mine")
    with pytest.raises(InputError, match=r"notes\.md"), work(out, seed=5, force=True):
        pass
    run_nights(few, 1, 3, workers=1, folder=tmp_path / "run")
    with pytest.raises(InputError, match=r"holds no experiment\.toml"), work(tmp_path / "run", force=True):
        pass


def test_an_interrupted_search_goes_on_where_it_was(
    few: Scenario, other: Scenario, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, played: list[Any]
) -> None:
    def search(asked: Work) -> list[Row]:
        first = asked.rows([Unit(few, night) for night in range(3)])
        return first + asked.rows([Unit(other, night) for night in range(3)])

    with work() as asked:
        whole = search(asked)
    played.clear()
    written, count = store.write_whole, 0

    def full(path: Path, content: bytes) -> None:
        nonlocal count
        count += path.parent.name == "finished"
        if count > 4:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written(path, content)

    with monkeypatch.context() as patched:
        patched.setattr(store, "write_whole", full)
        with pytest.raises(UnfinishedError, match="No space left") as caught, work(tmp_path / "found") as asked:
            search(asked)
    assert "4 finished results are kept" in str(caught.value)
    assert "--resume" in str(caught.value)
    assert not (tmp_path / "found").exists()
    with pytest.raises(InputError, match="--resume"), work(tmp_path / "found"):
        pass
    with pytest.raises(InputError, match="differs in question"), work(tmp_path / "found", wanted={"question": 1}):
        pass
    played.clear()
    with work(tmp_path / "found", resume=True) as asked:
        assert search(asked) == whole
    assert len(played) == 2


def test_strangers_files_are_never_deleted(few: Scenario, tmp_path: Path) -> None:
    (tmp_path / "found.partial").mkdir()
    (tmp_path / "found.partial" / "thesis.tex").write_text("...")
    with pytest.raises(InputError, match=r"thesis\.tex"), work(tmp_path / "found", force=True) as asked:
        asked.rows([Unit(few, 0)])
    assert (tmp_path / "found.partial" / "thesis.tex").exists()


def test_work_that_finds_nothing_leaves_nothing(tmp_path: Path) -> None:
    with work(tmp_path / "found"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_an_experiment_is_the_same_on_either_engine_and_another_one_by_its_own_text(tmp_path: Path) -> None:
    changed: dict[str, dict[str, Any]] = {
        "one": {}, "two": {"engine": "simpy"}, "three": {"fixed": True}, "four": {"wanted": {"question": 2}},
    }  # fmt: skip
    texts = []
    for name, changes in changed.items():
        with work(tmp_path / name, **changes) as asked:
            asked.finish({})
        texts.append((tmp_path / name / "experiment.toml").read_text())
    assert [differences(texts[0], text) for text in texts] == [[], [], ["run.fixed"], ["question"]]


def test_a_packed_row_reads_as_the_row_did_in_a_sixth_of_the_memory() -> None:
    row = {"night": 3, "reported": list(range(400)), "people": 176_352, "empty": [], "late": [-1, 1 << 62]}
    packed = PackedRow(row)
    assert dict(packed) == row
    assert list(packed) == list(row)
    with pytest.raises(KeyError):
        packed["nights"]
    tracemalloc.start()
    many = [PackedRow(json.loads(json.dumps(row))) for _ in range(1000)]
    now, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert now < 1000 * 5000
    assert many[-1]["late"] == [-1, 1 << 62]
