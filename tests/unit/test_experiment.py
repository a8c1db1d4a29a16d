"""Many nights: what the processes, the store, the folder and the sums over nights promise, each by itself."""

from __future__ import annotations

import errno
import math
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from simulation import roster, workers
from simulation.errors import InputError, UnfinishedError
from simulation.experiment import run_nights, store
from simulation.experiment.findings import _clocks, _minutes, _percent, _share, findings
from simulation.experiment.folder import Folder
from simulation.experiment.measures import Precision, parse_precision
from simulation.experiment.precincts import over_all_nights, worst_nights
from simulation.experiment.precision import checkpoints, reached_by, stops_at
from simulation.experiment.run_file import differences
from simulation.night.order import Channel
from simulation.scenario import Scenario, load
from tests.unit.worker_tasks import killed_always, killed_at_first, length, root, total

ROOT = Path(__file__).resolve().parents[2]
HOUR, MINUTE = 3_600_000, 60_000


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Scenario:
    """A planned night in five precincts: some milliseconds each."""
    path = tmp_path_factory.mktemp("roster") / "five.csv"
    path.write_text("".join(roster.synthesize("iowa-2020").csv().splitlines(keepends=True)[:6]))
    return load("baseline", {}, path)


@pytest.fixture(autouse=True)
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """A report that costs nothing: what stands in it is not the subject here."""
    monkeypatch.setattr("simulation.report.render", lambda *_, **__: "<!doctype html>")


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


# Processes


def test_every_job_is_done_once_in_whatever_order() -> None:
    jobs = [workers.Job(length, "x" * number) for number in range(20)]
    wanted = [(number, str(number).encode()) for number in range(20)]
    with workers.InParallel(2) as crew:
        assert sorted(crew.run(jobs)) == wanted
        assert sorted(crew.run(jobs)) == wanted  # the same processes again
    assert list(workers.InTurn().run(jobs)) == wanted


def test_jobs_of_many_tasks_reach_the_task_that_is_theirs() -> None:
    """More tasks than a process holds, and each of them again."""
    jobs = [workers.Job(partial(total, number), 1) for number in range(12)] * 2
    with workers.InParallel(2) as crew:
        assert sorted(crew.run(jobs)) == [(place, str(place % 12 + 1).encode()) for place in range(24)]


def test_what_a_task_raises_is_raised_with_where_it_happened() -> None:
    with workers.InParallel(1) as crew, pytest.raises(ValueError, match="math domain error") as caught:
        list(crew.run([workers.Job(root, -1)]))
    assert "Traceback" in caught.value.__notes__[0]


def test_a_killed_worker_loses_nothing_but_time(tmp_path: Path) -> None:
    jobs = [workers.Job(length, "one"), workers.Job(killed_at_first, tmp_path), workers.Job(length, "three")]
    with workers.InParallel(2) as crew:
        assert sorted(crew.run(jobs)) == [(0, b"3"), (1, b"done"), (2, b"5")]


def test_a_job_that_kills_every_worker_is_given_up_after_three(tmp_path: Path) -> None:
    with workers.InParallel(1) as crew, pytest.raises(workers.WorkerDiedError, match="killed"):
        list(crew.run([workers.Job(killed_always, tmp_path)]))
    assert (tmp_path / "tries").read_text() == "..."


def test_workers_end_with_the_crew() -> None:
    with workers.InParallel(2) as crew:
        list(crew.run([workers.Job(length, "x")] * 4))
        assert multiprocessing.active_children()
    assert not multiprocessing.active_children()


def test_a_script_needs_no_guard_around_a_parallel_run(tmp_path: Path) -> None:
    """The standard library would run the caller's script again in every worker, and fail where it has no file."""
    script = (
        "from simulation.workers import InParallel, Job\n"
        "with InParallel(2) as crew:\n"
        "    print(sorted(crew.run([Job(chr, number) for number in range(3)])))\n"
    )
    (tmp_path / "script.py").write_text(script)
    for arguments, text in ((["script.py"], None), (["-"], script)):
        done = subprocess.run(
            [sys.executable, *arguments],
            input=text,
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.stdout, done.stderr) == ("[(0, '\\x00'), (1, '\\x01'), (2, '\\x02')]\n", "")


# Nights


def test_the_first_nights_of_a_longer_run_are_those_of_a_shorter_one(few: Scenario) -> None:
    assert run_nights(few, 4, 3, workers=1).rows[:2] == run_nights(few, 2, 3, workers=1).rows


def test_progress_counts_every_night(few: Scenario) -> None:
    heard: list[tuple[int, int]] = []
    run_nights(few, 3, 3, workers=1, progress=lambda done, of, now: heard.append((done, of)))
    assert heard == [(0, 3), (1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize(
    ("nights", "seed", "count", "keep", "problems"),
    [(0, -1, 0, ("moon",), 4), (1, 1 << 32, None, (), 1), (1_000_001, 0, 1, (), 1)],
)
def test_numbers_out_of_range_are_listed_together(
    few: Scenario, nights: int, seed: int, count: int | None, keep: Collection[str], problems: int
) -> None:
    with pytest.raises(InputError) as caught:
        run_nights(few, nights, seed, workers=count, keep=keep)
    assert len(caught.value.problems) == problems


def test_a_full_disk_keeps_what_is_finished_and_says_how_to_go_on(
    few: Scenario, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = store.write_whole

    def full(path: Path, content: bytes) -> None:
        if path.name == "0000002.json":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written(path, content)

    with monkeypatch.context() as patched:
        patched.setattr(store, "write_whole", full)
        with pytest.raises(UnfinishedError, match="No space left") as caught:
            run_nights(few, 4, 3, workers=1, folder=tmp_path / "run")
    assert "2 of 4 nights are kept" in str(caught.value)
    assert "--resume" in str(caught.value)
    assert not (tmp_path / "run").exists()

    resumed = run_nights(few, 4, 3, workers=1, folder=tmp_path / "run", resume=True)
    assert resumed.rows == run_nights(few, 4, 3, workers=1).rows


def test_a_disk_that_is_full_at_the_very_end_keeps_every_night_and_leaves_no_half_folder(
    few: Scenario, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> str:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr("simulation.report.render", full)
        with pytest.raises(UnfinishedError, match="2 of 2 nights are kept"):
            run_nights(few, 2, 3, workers=1, folder=tmp_path / "run")
    assert [path.name for path in tmp_path.iterdir()] == ["run.partial"]
    heard: list[int] = []
    run_nights(few, 2, 3, workers=1, folder=tmp_path / "run", resume=True, progress=lambda done, *_: heard.append(done))
    assert heard == [2, 2]  # nothing is played again
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_run_that_ended_before_its_first_night_leaves_nothing(
    few: Scenario, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(_store: store.NightStore, _number: int, _night: bytes) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(store.NightStore, "write", stopped)
    with pytest.raises(UnfinishedError) as caught:
        run_nights(few, 2, 3, workers=1, folder=tmp_path / "run")
    assert caught.value.exit_code == 130
    assert list(tmp_path.iterdir()) == []


def test_sigterm_ends_a_run_as_ctrl_c_does(few: Scenario, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(store.NightStore, "write", lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(UnfinishedError, match="Stopped by SIGTERM") as caught:
        run_nights(few, 2, 3, workers=1, folder=tmp_path / "run")
    assert caught.value.exit_code == 143
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_killed_worker_changes_nothing(few: Scenario) -> None:
    def progress(done: int, _of: int, _now: str) -> None:
        if done == 2:
            multiprocessing.active_children()[0].kill()

    assert run_nights(few, 8, 3, workers=2, progress=progress).rows == run_nights(few, 8, 3, workers=1).rows


def test_a_worker_that_is_killed_again_and_again_is_explained(
    few: Scenario, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(_crew: workers.InParallel, jobs: Sequence[workers.Job]) -> workers.Done:
        yield from workers.InTurn().run(jobs[:1])
        raise workers.WorkerDiedError("3 worker processes were killed")

    monkeypatch.setattr(workers.InParallel, "run", killed)
    with pytest.raises(UnfinishedError, match="3 worker processes were killed") as caught:
        run_nights(few, 3, 3, workers=2, folder=tmp_path / "run")
    assert caught.value.exit_code == 1
    assert "1 of 3 nights are kept" in str(caught.value)


def test_an_interrupted_run_goes_on_only_as_itself_and_only_when_asked(
    few: Scenario, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = store.NightStore.write

    def stopped(kept: store.NightStore, number: int, night: bytes) -> None:
        if len(kept.finished(2)) == 2:
            raise KeyboardInterrupt
        write(kept, number, night)

    with monkeypatch.context() as patched:
        patched.setattr(store.NightStore, "write", stopped)
        with pytest.raises(UnfinishedError):
            run_nights(few, 3, 3, workers=1, folder=tmp_path / "run")
    with pytest.raises(InputError, match="--resume"):
        run_nights(few, 3, 3, workers=1, folder=tmp_path / "run")
    with pytest.raises(InputError, match=r"run\.seed"):
        run_nights(few, 3, 4, workers=1, folder=tmp_path / "run", resume=True)
    with pytest.raises(InputError, match=r"1 finished night more than -n 1 takes.*--force"):
        run_nights(few, 1, 3, workers=1, folder=tmp_path / "run", resume=True)
    longer = run_nights(few, 5, 3, workers=1, folder=tmp_path / "run", resume=True)
    assert longer.rows == run_nights(few, 5, 3, workers=1).rows


def test_two_runs_never_share_a_folder(tmp_path: Path) -> None:
    place = Folder.at(tmp_path / "run", "")
    lock = place.begin(resume=False, force=False)
    try:
        with pytest.raises(InputError, match="another `caucus` is at work"):
            Folder.at(tmp_path / "run", "").begin(resume=True, force=True)
    finally:
        os.close(lock)


def test_a_folder_that_is_somebody_elses_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("...")
    (tmp_path / "run.partial").mkdir()
    (tmp_path / "run.partial" / "download").write_text("...")
    with pytest.raises(InputError, match=r"holds no run\.toml"):
        Folder.at(tmp_path / "thesis", "").is_whole(force=True)
    with pytest.raises(InputError, match="holds download"):
        Folder.at(tmp_path / "run", "").begin(resume=False, force=True)
    assert (tmp_path / "run.partial" / "download").exists()


def test_an_empty_folder_is_as_good_as_none(few: Scenario, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    run_nights(few, 1, 3, workers=1, folder=tmp_path / "run")
    assert (tmp_path / "run" / "report.html").exists()


def test_the_keys_in_which_two_runs_differ_are_named() -> None:
    one = 'title = "a"\n[run]\nseed = 1\n[run.versions]\nnumba = "1"\n'
    other = 'title = "a"\n[run]\nseed = 2\nnights = 3\n[run.versions]\nnumba = "1"\n'
    assert differences(one, one) == []
    assert differences(one, other) == ["run.nights", "run.seed"]


def test_the_engine_is_no_difference_because_both_play_the_same_nights() -> None:
    assert differences('[run]\nengine = "simpy"\n', '[run]\nengine = "compiled"\n') == []


# A precision


class Told:
    name = unit = "told"

    """A measure whose value stands in the row."""

    name = "told"

    def value(self, row: Mapping[str, Any]) -> float | None:
        value: float | None = row["told"]
        return value


def precision_of(half_width: float) -> Precision:
    return Precision(Told(), half_width, f"told +- {half_width}")  # type: ignore[arg-type]  # all that is asked of one


def test_the_interval_of_a_mean_is_students() -> None:
    """Five numbers from 1 to 5: mean 3, s = 1.5811, t(4) = 2.7764 (tables), so 3 +- 1.963."""
    reached = reached_by(precision_of(2), [1.0, 2.0, 3.0, 4.0, 5.0])
    assert (reached.mean, round(reached.half_width, 3), reached.enough) == (3.0, 1.963, True)
    assert not reached_by(precision_of(1.9), [1.0, 2.0, 3.0, 4.0, 5.0]).enough


def test_it_is_looked_at_fixed_numbers_of_nights_from_twenty_on() -> None:
    assert list(checkpoints(60)) == [20, 25, 32, 40, 50, 60]
    assert list(checkpoints(20)) == [20]


def test_a_run_stops_at_the_first_look_that_is_narrow_enough() -> None:
    rows = [{"told": float(night % 2)} for night in range(300)]  # s is about 0.5, so n = (1.96 * 0.5 / 0.1)^2 = 96
    reached = stops_at(precision_of(0.1), rows, 10_000)
    assert reached is not None
    assert (reached.nights, reached.enough) == (124, True)
    assert 0.09 * math.sqrt(99 / 124) < reached.half_width <= 0.1 < reached_by(precision_of(0.1), [
        row["told"] for row in rows[:99]
    ]).half_width  # fmt: skip
    assert stops_at(precision_of(0.001), rows, 10_000) is None
    most = stops_at(precision_of(0.001), rows, 200)
    assert most is not None
    assert (most.nights, most.enough) == (200, False)


def test_what_once_never_happened_has_no_mean_and_no_night_more_is_played_for_it() -> None:
    rows = [{"told": None if night == 3 else 1.0} for night in range(40)]
    reached = stops_at(precision_of(1), rows, 10_000)
    assert reached is not None
    assert (reached.nights, reached.never, reached.enough) == (20, 1, False)
    assert reached.json()["mean"] is None


def test_a_precision_on_a_clock_time_names_its_unit_and_says_it_in_words() -> None:
    known = parse_precision("reported_by_95 +- 60 min")
    found = reached_by(known, [float(at) for at in (22 * HOUR, 23 * HOUR, 24 * HOUR)]).json()
    assert (found["unit"], found["mean"]) == ("ms since midnight", 23 * HOUR)
    assert (found["mean_shown"], found["half_width_shown"]) == ("23:00", "2 h 29 min")


def test_the_report_says_what_a_precision_came_to(
    few: Scenario, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Sequence[str]] = []

    def render(*_: object, said: Sequence[str], **__: object) -> str:
        told.append(said)
        return ""

    monkeypatch.setattr("simulation.report.render", render)
    found = run_nights(few, 20, 3, workers=1, precision=parse_precision("wait_p90 +- 1 h"), folder=tmp_path / "run")
    assert found.reached is not None
    assert told == [(found.reached.text(),)]


def test_a_precision_takes_the_same_nights_for_any_number_of_workers_and_repeats(few: Scenario, tmp_path: Path) -> None:
    known = parse_precision("wait_p90 +- 260 s")
    one, two = (
        run_nights(few, 60, 3, workers=count, precision=known, folder=tmp_path / str(count)) for count in (1, 2)
    )
    assert one.reached is not None
    assert one.reached.enough
    assert 20 <= one.reached.nights < 60
    assert one.reached.nights in set(checkpoints(60))
    assert (one.rows, one.reached) == (two.rows, two.reached)
    assert one.rows == run_nights(few, one.reached.nights, 3, workers=1).rows
    assert contents(tmp_path / "1") == contents(tmp_path / "2")
    repeated = load(tmp_path / "1" / "run.toml")
    assert repeated.spec.run is not None
    assert repeated.spec.run.nights == one.reached.nights
    again = run_nights(few, 60, 3, workers=1, precision=known, folder=tmp_path / "1")
    assert (again.reached, len(again.notices)) == (one.reached, 1)
    with pytest.raises(InputError, match="does not stop"):
        run_nights(few, 60, 3, precision=parse_precision("wait_p90 +- 1 s"), folder=tmp_path / "1")


def test_a_precision_that_was_interrupted_goes_on(
    few: Scenario, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = parse_precision("wait_p90 +- 260 s")
    write = store.NightStore.write

    def stopped(kept: store.NightStore, number: int, night: bytes) -> None:
        if number == 22:
            raise KeyboardInterrupt
        write(kept, number, night)

    with monkeypatch.context() as patched:
        patched.setattr(store.NightStore, "write", stopped)
        with pytest.raises(UnfinishedError, match="22 nights are kept"):
            run_nights(few, 60, 3, workers=1, precision=known, folder=tmp_path / "run")
    resumed = run_nights(few, 60, 3, workers=1, precision=known, folder=tmp_path / "run", resume=True)
    assert resumed.reached == run_nights(few, 60, 3, workers=1, precision=known).reached


# Precincts over all nights


def by_night(**columns: list[int]) -> pl.LazyFrame:
    """Five nights of one precinct."""
    nights = 5
    plain = dict.fromkeys(
        (
            *("people", "wait_p90_ms", "last_in_at_ms", "hold_ms", "start_delay_ms", "ready_at_ms", "reported_at_ms"),
            *("released_at_ms", "channel", "wrong_on_receipt", "wrong", "chair_error", "findings"),
        ),
        [0] * nights,
    )
    names = {"id": ["a/1"] * nights, "county": ["a"] * nights, "precinct": ["1"] * nights}
    return pl.LazyFrame({"night": list(range(nights)), **names, **plain, **columns})


def test_the_worst_precinct_is_told_in_the_middle_one_of_its_nights() -> None:
    """Not in the night in which all goes wrong, and not in its best one."""
    late = [minutes * MINUTE for minutes in (90, 5, 40, 10, 60)]
    (found,) = worst_nights(by_night(start_delay_ms=late))
    assert (found["night"], found["lost_ms"], found["id"]) == (2, 40 * MINUTE, "a/1")


def test_precincts_are_as_bad_as_all_their_nights_together() -> None:
    """Late starts and late results add up; beyond four hours each, or without an end, a night is simply lost."""
    never, sound, slow, late = (
        by_night(start_delay_ms=starts, reported_at_ms=results).with_columns(id=pl.lit(name)).collect()
        for name, starts, results in (
            ("never", [-1] * 5, [-1] * 5),
            ("sound", [0] * 5, [0] * 5),
            ("slow", [0] * 5, [20 * HOUR] * 5),
            ("late", [HOUR] * 5, [3 * HOUR + MINUTE] * 5),
        )
    )
    nights = pl.concat(
        frame.filter(pl.col("night") == night) for night in range(5) for frame in (sound, slow, late, never)
    )
    found = worst_nights(nights.lazy(), 3)
    assert [(row["id"], row["lost_ms"]) for row in found] == [
        ("never", 8 * HOUR), ("late", 4 * HOUR + MINUTE), ("slow", 4 * HOUR),
    ]  # fmt: skip


def test_quantiles_over_nights_are_values_that_occurred() -> None:
    found = over_all_nights(by_night(wait_p90_ms=[50, 10, 40, 20, 30])).row(0, named=True)
    assert [found[f"wait_p90_ms_{band}"] for band in ("p05", "p50", "p95")] == [10, 30, 50]


def test_a_result_that_never_came_is_later_than_any_that_did() -> None:
    found = over_all_nights(by_night(reported_at_ms=[-1, 22 * HOUR, -1, 21 * HOUR, -1])).row(0, named=True)
    assert found["reported_at_ms_p05"] == 21 * HOUR
    assert (found["reported_at_ms_p50"], found["reported_at_ms_p95"]) == (-1, -1)
    assert found["not_reported_by_2300_millionths"] == 600_000


def test_eleven_sharp_is_in_time_and_a_millisecond_later_is_not() -> None:
    found = over_all_nights(by_night(reported_at_ms=[23 * HOUR, 23 * HOUR + 1, 0, 0, 0])).row(0, named=True)
    assert found["not_reported_by_2300_millionths"] == 200_000


def test_half_an_hour_is_a_late_start() -> None:
    half = HOUR // 2
    found = over_all_nights(by_night(start_delay_ms=[half, half - 1, -1, 0, 0])).row(0, named=True)
    assert found["late_start_millionths"] == 400_000


def test_shares_of_channels_add_up() -> None:
    channel = [Channel.APP, Channel.PHONE, Channel.PHONE, Channel.HAND, Channel.NONE]
    found = over_all_nights(by_night(channel=[int(way) for way in channel])).row(0, named=True)
    shares = {way: found[f"channel_{way.name.lower()}_millionths"] for way in Channel}
    assert sum(shares.values()) == 1_000_000
    assert shares[Channel.PHONE] == 400_000


def test_every_column_is_whole_numbers_in_the_order_of_the_roster(few: Scenario) -> None:
    frame = run_nights(few, 3, 3, workers=1).precincts()
    assert frame["id"].to_list() == list(few.roster.ids)
    assert {frame[name].dtype for name in frame.columns[3:]} == {pl.Int64()}
    assert np.all(frame["people_p05"].to_numpy() <= frame["people_p95"].to_numpy())


# Findings


@pytest.mark.parametrize(
    ("share", "words"),
    [(0, "0 %"), (0.0001, "under 0.1 %"), (0.013, "1.3 %"), (0.334, "33 %"), (0.9999, "over 99.9 %"), (1, "100 %")],
)
def test_a_share_is_never_said_to_be_nothing_or_all_unless_it_is(share: float, words: str) -> None:
    assert _share(share) == words


def test_ranges_are_left_out_where_nights_do_not_differ() -> None:
    assert _percent({"p05": 0.3, "p50": 0.3, "p95": 0.3}) == "30 %"
    assert _percent({"p05": 0.25, "p50": 0.3, "p95": 0.4}) == "30 % (25 to 40 %)"
    assert _clocks({"p05": "22:10", "p50": "22:10", "p95": "22:10"}) == "22:10"
    assert _clocks({"p05": "23:10", "p50": "+1d 00:05", "p95": "+1d 16:00"}) == "00:05 (23:10 to 16:00 the next day)"
    assert _clocks({"p05": "+1d 15:00", "p50": "+1d 15:30", "p95": None}) == (
        "15:30 the next day (15:00 the next day to never)"
    )


@pytest.mark.parametrize(
    ("minutes", "words"), [(0, "0 min"), (0.2, "under 1 min"), (59.6, "60 min"), (150, "2 h 30 min")]
)
def test_durations_are_said_to_the_minute(minutes: float, words: str) -> None:
    assert _minutes(minutes) == words


def test_what_never_happens_is_said_so(few: Scenario) -> None:
    """Results that never come, precincts that never begin, a hotline that nobody gets through: no times, no praise."""
    summary = run_nights(few, 1, 3, workers=1).summary()
    never = dict.fromkeys(("p05", "p25", "p50", "p75", "p95"))
    none = dict.fromkeys(never, 0)
    summary["reported_by"] |= {"p50": never, "p95": never}
    summary["checkin"]["in_line_at_call_to_order_share"] = 0.997
    summary["checkin"]["start_delay_minutes"] = {"p50": 0.0, "p90": 0.0, "p95": 0.0, "p99": 0.0}
    summary["hotline"] |= {"reports_taken": none, "reports_called_in": {**none, "p50": 5}, "calls": {**none, "p50": 5}}
    summary["hotline"] |= {"answered": {**none, "p50": 1}, "hold_minutes": {"p50": 0, "p90": 0}}
    summary["channels"] = {**dict.fromkeys(summary["channels"], 0), "none": 1}
    said = " ".join(findings(summary))
    assert "Half of the results never come in." in said
    assert "No precinct in which people still stand in line ever begins." in said
    assert "No chair gets through to report by telephone; " in said
    assert not any(praise in said for praise in ("by never", "0 min late", "within a minute", "are wrong"))

    summary["reported_by"] |= {"p50": {**never, "p05": "+1d 01:00", "p50": "+1d 02:00"}}
    summary["checkin"]["start_delay_minutes"] |= {"p90": 12.0, "p99": 15.0}
    summary["hotline"] |= {"answered": none}
    said = " ".join(findings(summary))
    assert "Half of the results are in by 02:00 (01:00 to never); 95 % never come in." in said
    assert "Of the precincts that begin at all, half start 0 min late or later, one in ten 12 min." in said
    assert "Nobody answers the hotline." in said
