"""What a search came to, as files: the report, every trial, the seconds of each, its latencies, response curves."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from loadtests.breaking_point import BreakingPoint, Tried
from loadtests.report import break_page
from loadtests.report.run_folder import REPORT_FILE, About, finish, write_json
from loadtests.trial import SECOND, Trial, finite_quantile

CURVE_FILE = "curve.json"
TRIALS_FILE = "trials.parquet"
SECONDS_FILE = "seconds.parquet"
LATENCIES_FILE = "latencies.hlog"
CURVE_FORMAT = 1
_ABOUT_THE_SAME = 1.02  # loads that differ by less make one point of the curve
_CURVE_ORDER = ("mix", "report")  # whose curve is curve.json where there are several


def write(folder: Path, points: Sequence[BreakingPoint], about: About) -> None:
    """The folder of a search: report, result, trials, seconds, latencies, ledger, response curves, run.toml."""
    result = {"points": [{**point.as_json(), "night_per_s": point.night_per_s} for point in points]}

    def fill(place: Path) -> None:
        curves = {point.flow: curve(point, about.target) for point in points}
        for flow, found in curves.items():
            if len(curves) > 1:
                write_json(place / f"curve-{flow}.json", found)
        if curves:
            first = next((flow for flow in _CURVE_ORDER if flow in curves), next(iter(curves)))
            write_json(place / CURVE_FILE, curves[first])
        write_trials(place, points)
        write_latencies(place, points)
        (place / REPORT_FILE).write_text(break_page.page(points, about), encoding="utf-8", newline="")

    finish(folder, about, result, fill)


def write_trials(place: Path, points: Sequence[BreakingPoint]) -> None:
    """trials.parquet, a row a trial, "resource.service.cpu" a column; seconds.parquet, a row a second of each."""
    import polars as pl

    trials, seconds = [], []
    used = sorted({name for point in points for tried in point.trials for name in tried.trial.resources})
    for point in points:
        for number, tried in enumerate(point.trials):
            row = tried.as_json()
            row["objectives"] = "; ".join(found.shown for found in tried.judgement.broken)
            row["problems"] = json.dumps(row.get("problems", {}))
            resources = row.pop("resources")
            row |= {f"resource.{name}": resources.get(name) for name in used}
            trials.append({"flow": point.flow, "trial": number, "night_per_s": point.night_per_s, **row})
            if isinstance(tried.trial, Trial):
                seconds += [
                    {"flow": point.flow, "trial": number, "at_s": tried.begins_s + second["second"], **second}
                    for second in tried.trial.sample.by_second()
                ]
    pl.DataFrame(trials, infer_schema_length=None).write_parquet(place / TRIALS_FILE)
    pl.DataFrame(seconds, infer_schema_length=None).write_parquet(place / SECONDS_FILE)


def write_latencies(place: Path, points: Sequence[BreakingPoint]) -> None:
    """latencies.hlog, a log of HdrHistogram: an interval a trial, tagged with its flow, of what was answered well."""
    from hdrh.log import HistogramLogWriter  # type: ignore[import-untyped]  # ships no types

    with (place / LATENCIES_FILE).open("w", encoding="utf-8", newline="") as file:
        log = HistogramLogWriter(file)
        log.output_log_format_version()
        log.output_comment("Latencies from due in microseconds; interval maxima in milliseconds")
        # the writer's own line of the start wants a date, which a search does not keep: readers count from 0
        log.output_comment("[StartTime: 0.000000 (seconds from the start of each flow's search)]")
        log.output_base_time(0)
        log.output_legend()
        for point in points:
            for tried in point.trials:
                if isinstance(tried.trial, Trial):
                    histogram = tried.trial.sample.histogram()
                    histogram.set_start_time_stamp(1000 * tried.begins_s)
                    histogram.set_end_time_stamp(1000 * (tried.begins_s + tried.trial.seconds))
                    file.write(f"Tag={point.flow},")  # which the writer cannot, and readers know
                    log.output_interval_histogram(histogram, max_value_unit_ratio=1000.0)


# The response curve


def curve(point: BreakingPoint, target: str) -> dict[str, Any]:
    """How a backend answers at each load that was tried: what a scenario names under [app.backend]."""
    low, high = point.requests_per_s
    return {
        "format": CURVE_FORMAT,
        "flow": point.flow,
        "target": target,
        "night_per_s": point.night_per_s,
        "capacity_per_s": round(math.sqrt(low * high) if high else low, 3),
        "points": [_curve_point(group) for group in _about_one_load(point.trials)],
    }


def _about_one_load(trials: Sequence[Tried]) -> list[list[Tried]]:
    """Trials that count, grouped by load, ascending."""
    groups: list[list[Tried]] = []
    for tried in sorted((one for one in trials if one.counts), key=lambda one: one.trial.offered_per_s):
        if groups and tried.trial.offered_per_s <= groups[-1][0].trial.offered_per_s * _ABOUT_THE_SAME:
            groups[-1].append(tried)
        else:
            groups.append([tried])
    return groups


def _curve_point(group: Sequence[Tried]) -> dict[str, Any]:
    """The median of repeated trials. Quantiles are of what was answered well: the rest is in the error share."""
    latencies = [_answered_s(tried) for tried in group]
    found: dict[str, Any] = {"offered_per_s": round(statistics.median(t.trial.offered_per_s for t in group), 3)}
    for name, q in (("p50_ms", 0.5), ("p90_ms", 0.9), ("p95_ms", 0.95), ("p99_ms", 0.99)):
        found[name] = round(statistics.median(1000 * (finite_quantile(row, q) or 0.0) for row in latencies))
    found["error_share"] = round(statistics.median(tried.trial.error_share for tried in group), 6)
    return found


def _answered_s(tried: Tried) -> npt.NDArray[np.float64]:
    """Latencies of good answers; where there were none, how long people waited for the bad ones."""
    trial = tried.trial
    if isinstance(trial, Trial):
        sample = trial.sample
        waited = np.asarray((sample.done - sample.due) / SECOND, float)
        return np.sort(waited[sample.ok] if np.any(sample.ok) else waited[sample.done >= 0])
    shares = np.linspace(0, 1, 201)[1:] * trial.goodput_share
    return np.array([trial.latency_s(float(share)) for share in shares])
