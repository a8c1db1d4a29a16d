"""The folder of a load test: whole or not at all, never over somebody else's files, and what lies in it."""

from __future__ import annotations

import json
import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hdrh.histogram import HdrHistogram  # type: ignore[import-untyped]  # ships no types
from hdrh.log import HistogramLogReader  # type: ignore[import-untyped]  # ships no types

from loadtests.report import break_files, run_folder
from loadtests.report.break_files import curve
from loadtests.report.run_folder import About, Fault, begin, forget
from loadtests.trial import Trial
from simulation.errors import InputError
from tests.unit.loadtests.load_runs import CLEAN, about, point, scenario


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run."""
    out = tmp_path_factory.mktemp("runs") / "run"
    ledger = begin(out, force=False) / run_folder.LEDGER_FOLDER
    ledger.mkdir()
    (ledger / "ledger-1.jsonl").write_text("{}\n", encoding="utf-8")
    told = About.of(scenario(), "break", 7, "caucus loadtest break iowa-2020", "our own backend", ledger=CLEAN,
                    faults=(Fault("stall clients", 10.0, 12.0),))  # fmt: skip
    break_files.write(out, [point()], told)
    return out


def test_a_run_appears_whole_under_its_name_and_its_partial_folder_is_gone(run: Path):
    assert not run.with_name("run.partial").exists()
    assert {item.name for item in run.iterdir()} == {
        "report.html", "result.json", "curve.json", "trials.parquet", "seconds.parquet", "latencies.hlog", "run.toml",
        "ledger.json", "ledger",
    }  # fmt: skip


def test_what_a_run_keeps_on_its_way_is_part_of_it(run: Path):
    assert (run / "ledger" / "ledger-1.jsonl").is_file()


def finished(out: Path, seed: int = 1) -> None:
    run_folder.finish(out, about("soak", seed=seed), {}, lambda place: None)


def test_a_run_is_replaced_only_by_force_and_a_strangers_folder_never(tmp_path: Path):
    out = tmp_path / "run"
    begin(out, force=False)
    finished(out)
    with pytest.raises(InputError, match="holds a run: choose another folder with --out, or replace it with --force"):
        begin(out, force=False)
    begin(out, force=True)
    finished(out, seed=2)
    assert tomllib.loads((out / "run.toml").read_text())["load"]["seed"] == 2
    stranger = tmp_path / "thesis"
    stranger.mkdir()
    (stranger / "chapter.txt").write_text("years of work", encoding="utf-8")
    with pytest.raises(InputError, match="not even --force replaces it"):
        begin(stranger, force=True)
    assert (stranger / "chapter.txt").is_file()


def test_what_a_broken_off_run_has_kept_is_not_thrown_away_unasked(tmp_path: Path):
    out = tmp_path / "run"
    (begin(out, force=False) / "ledger-1.jsonl").write_text("{}\n", encoding="utf-8")
    forget(out)
    assert (tmp_path / "run.partial").is_dir()
    with pytest.raises(InputError, match="a run that was broken off"):
        begin(out, force=False)
    begin(out, force=True)
    forget(out)
    assert not (tmp_path / "run.partial").exists()


def test_the_response_curve_is_what_a_scenario_reads():
    found = curve(point(), "http://127.0.0.1:8000")
    assert found["format"] == 1
    assert found["flow"] == "login"
    assert found["night_per_s"] == 1.7
    low, high = point().requests_per_s
    assert high is not None
    assert low <= found["capacity_per_s"] <= high
    loads = [row["offered_per_s"] for row in found["points"]]
    assert loads == sorted(loads)
    assert len(loads) == len(set(loads))
    for row in found["points"]:
        assert set(row) == {"offered_per_s", "p50_ms", "p90_ms", "p95_ms", "p99_ms", "error_share"}
        latencies = [row[name] for name in ("p50_ms", "p90_ms", "p95_ms", "p99_ms")]
        assert all(isinstance(one, int) for one in latencies)
        assert latencies == sorted(latencies)
        assert 0 <= row["error_share"] <= 1
    assert found["points"][-1]["p99_ms"] > found["points"][0]["p99_ms"]  # it was tried beyond what it holds


def test_several_flows_have_a_curve_each_and_the_mix_stands_for_all(tmp_path: Path):
    out = tmp_path / "run"
    break_files.write(out, [point("login"), point("mix", 90.0)], about("break"))
    assert json.loads((out / "curve-login.json").read_text())["flow"] == "login"
    assert json.loads((out / "curve.json").read_text())["flow"] == "mix"


def test_every_trial_and_every_second_of_it_is_kept(run: Path):
    trials, seconds = pl.read_parquet(run / "trials.parquet"), pl.read_parquet(run / "seconds.parquet")
    assert len(trials) == len(point().trials)
    for row in trials.iter_rows(named=True):
        assert seconds.filter(pl.col("trial") == row["trial"])["due"].sum() == row["requests"]


def test_a_row_of_trials_parquet_is_flat_also_where_resources_and_problems_are_known(tmp_path: Path):
    first, second, *others = point().trials
    assert isinstance(first.trial, Trial)
    failed = replace(first.trial.sample, problems={"HTTP 503": 2})
    used = replace(first.trial, resources={"service.cpu": 0.5}, sample=failed)
    one = replace(point(), trials=(first._replace(trial=used, load_at_s=first.at_s + 2), second, *others))
    break_files.write_trials(tmp_path, [one])
    rows = pl.read_parquet(tmp_path / "trials.parquet")
    assert not any(kind.is_nested() for kind in rows.dtypes)
    assert rows["resource.service.cpu"].to_list()[:2] == [0.5, None]
    assert json.loads(rows["problems"][0]) == {"HTTP 503": 2}
    assert rows["sent_share"][0] == 1.0
    seconds = pl.read_parquet(tmp_path / "seconds.parquet")
    assert seconds["at_s"][0] == first.at_s + 2  # when load began


def test_the_latencies_of_each_trial_are_in_a_log_that_other_tools_read(tmp_path: Path):
    points = [point("mix", 90.0), point("login")]
    break_files.write_latencies(tmp_path, points)
    log = HistogramLogReader(str(tmp_path / "latencies.hlog"), HdrHistogram(1, 3_600_000_000, 3))
    for flow, tried in [(one.flow, tried) for one in points for tried in one.trials]:
        assert isinstance(tried.trial, Trial)
        found = log.get_next_interval_histogram()
        assert found.get_tag() == flow
        assert found.get_start_time_stamp() / 1000 == pytest.approx(tried.begins_s, abs=0.001)
        good = np.sort(tried.trial.sample.latency_s[tried.trial.sample.ok])
        assert found.get_total_count() == len(good)
        if len(good):
            p99 = good[max(1, int(0.99 * len(good) + 0.5)) - 1]  # HdrHistogram rounds the rank
            assert found.get_value_at_percentile(99) / 1e6 == pytest.approx(p99, rel=0.002, abs=2e-6)
    assert log.get_next_interval_histogram() is None
    log.close()


def test_result_json_says_all_that_break_prints_and_the_conditions(run: Path):
    result = json.loads((run / "result.json").read_text())
    assert result["points"][0]["requests_per_s"] == list(point().requests_per_s)
    assert result["ledger"]["acknowledged"] == CLEAN["acknowledged"]
    assert result["faults"][0]["name"] == "stall clients"
    assert result["kind"] == "break"


def test_run_toml_holds_the_scenario(run: Path):
    written = tomllib.loads((run / "run.toml").read_text())
    assert written["load"]["scenario"] == "iowa-2020"
    assert written["load"]["seed"] == 7
    assert written["title"] == scenario().spec.title
