"""What one night or many add up to: the shape of summary.json, from the rows of nights.parquet alone."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from simulation.night.backend import capacity, per_minute
from simulation.night.curves import QUANTILES, SHARES_HELD, STEP
from simulation.night.order import Call, Channel
from simulation.scenario import Scenario
from simulation.scenario.values import DAY, FULL_SHARE, HOUR, MINUTE, format_clock

Row = Mapping[str, Any]
BANDS = (5, 25, 50, 75, 95)
NANO = 1_000_000_000
NEVER = 1 << 60  # sorts behind everything that happens


def summarize(scenario: Scenario, seed: int, rows: Sequence[Row]) -> dict[str, Any]:
    """The shape of summary.json. `p05` ... `p95` are quantiles over nights; shares are of all sites on the roster.

    Quantiles over people, precincts or calls (`p50`, `p90`, `p95`, `p99`) are a night's, and of these the median night.
    """
    first = rows[0]
    sites = first["sites"]
    call_to_order = scenario.spec.clock.call_to_order
    candidates = scenario.roster.candidates or tuple(scenario.spec.preference.candidates)
    people = max(1, median([row["people"] for row in rows]))

    def share_of_sites(key: str) -> dict[str, float]:
        return {name: value / sites for name, value in bands([row[key] for row in rows]).items()}

    def curve(key: str) -> list[dict[str, Any]]:
        return [
            {
                "at": clock_of_day(call_to_order + step * STEP),
                "minutes": step * STEP // MINUTE,
                **{name: value / sites for name, value in bands([row[key][step] for row in rows]).items()},
            }
            for step in range(len(first[key]))
        ]

    return {
        "scenario": scenario.name,
        "title": scenario.spec.title,
        "seed": seed,
        "nights": len(rows),
        "logical_hash": logical_hash(rows),
        "sites": sites,
        "people": bands([row["people"] for row in rows]),
        "reported_share": curve("reported"),
        "released_share": curve("released"),
        "reported_by": {
            f"p{share}": clock_bands(rows, f"held_p{share}_at_ms") for share in SHARES_HELD
        },  # when that share of all sites is held
        "history": _history(scenario, rows, sites),
        "checkin": {
            "wait_minutes": _minutes(rows, "wait"),
            "in_line_at_call_to_order_share": median([row["in_line_at_call_to_order"] for row in rows]) / people,
            "start_delay_minutes": _minutes(rows, "start_delay"),
        },
        "hotline": {
            "hold_minutes": _minutes(rows, "hold"),
            "abandoned_share": _median_ratio(rows, "hung_up", ("hung_up", "answered")),
            "busy_share": _median_ratio(rows, "busy_tones", ("calls",)),
            "occupancy": _median_ratio(rows, "operators_busy_ms", ("operators_on_duty_ms",)),
            "calls": bands([row["calls"] for row in rows]),
            "answered": bands([row["answered"] for row in rows]),
            "reports_called_in": bands([row["calls_by_kind"][Call.REPORT] for row in rows]),
            "reports_taken": bands([row["channels"][Channel.PHONE] for row in rows]),
        },
        "app": {
            "tried_share": share_of_sites("app_tried"),
            "reported_share": {
                name: value / sites for name, value in bands([row["channels"][Channel.APP] for row in rows]).items()
            },
            **_backend(scenario, rows, sites),
        },
        "channels": {  # averages over nights, so that they add up
            channel.name.lower(): sum(row["channels"][channel] for row in rows) / (sites * len(rows))
            for channel in Channel
        },
        "errors": {
            "wrong_on_receipt_share": share_of_sites("wrong_on_receipt"),
            "reported_wrong_share": median([row["wrong"] for row in rows]) / sites,
            "reported_wrong": share_of_sites("wrong"),
            "caught_share": _median_ratio(rows, "caught", ("wrong_on_receipt",)),
            "stopped_share": share_of_sites("stopped"),
            "false_alarm_share": {
                name: value / sites for name, value in bands([row["stopped"] - row["caught"] for row in rows]).items()
            },
            "sde_off": {k: v / NANO for k, v in bands([row["sde_off_nano"] for row in rows]).items()},
        },
        "winner": {
            "true": _most_frequent(candidates[row["winner_true"]] for row in rows),
            "reported": _most_frequent(candidates[row["winner_reported"]] for row in rows),
            "differs_share": sum(row["winner_true"] != row["winner_reported"] for row in rows) / len(rows),
        },
        "national": _national(candidates, rows),
        "costs": {
            "plan_dollars": {name: cents / 100 for name, cents in bands([_cents(row) for row in rows]).items()},
            "hours_in_line": _hours(rows, "wait_total_ms"),
            "chairs_hours_on_hold": _hours(rows, "chairs_hold_total_ms"),
        },
    }


def _backend(scenario: Scenario, rows: Sequence[Row], sites: int) -> dict[str, Any]:
    """What the app's backend did, where one is played. Loads are in caucus nights where the curve says what that is."""
    said = scenario.spec.app.backend
    if said is None or said.curve is None:
        return {}
    unit = per_minute(1.0 if said.curve.night_per_s is None else said.curve.night_per_s)
    peaks = bands([row["backend_peak_micro"] for row in rows])
    return {
        "backend": {
            "load_in": "requests_per_s" if said.curve.night_per_s is None else "nights",
            "breaks_at": round(capacity(said, said.curve) / unit, 4),
            "peak_load": {name: round(peak / unit, 4) for name, peak in peaks.items()},
            "unanswered_share": _median_ratio(rows, "backend_unanswered", ("backend_requests",)),
            "hung_share": {name: value / sites for name, value in bands([row["backend_hung"] for row in rows]).items()},
            "drove_off_share": {
                name: value / sites for name, value in bands([row["backend_drove_off"] for row in rows]).items()
            },
        }
    }


def quantile(values: Sequence[int], percent: int) -> int:
    """The value that `percent` of the values do not exceed: one of them, so that integers stay integers."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]


def bands(values: Sequence[int]) -> dict[str, int]:
    """p05, p25, p50, p75, p95 over nights."""
    return {f"p{percent:02d}": quantile(values, percent) for percent in BANDS}


def median(values: Sequence[int]) -> int:
    """The median night's value."""
    return quantile(values, 50)


def clock_of_day(at: int) -> str:
    """HH:MM without a day."""
    return format_clock(at % DAY)


def clock_bands(rows: Sequence[Row], key: str) -> dict[str, str | None]:
    """Quantiles over nights of a time of the night; None where it was not reached by then."""
    found = bands_or_never([row[key] for row in rows])
    return {name: None if at is None else format_clock(at // MINUTE * MINUTE) for name, at in found.items()}


def bands_or_never(values: Sequence[int]) -> dict[str, int | None]:
    """As `bands` of what may never happen (-1): that is beyond everything that did, and None."""
    found = bands([value if value >= 0 else NEVER for value in values])
    return {name: None if value == NEVER else value for name, value in found.items()}


def is_within(observed: int, low: int | None, high: int | None) -> bool:
    """Whether a figure lies in a band of nights; None is never, beyond every figure."""
    return low is not None and low <= observed and (high is None or observed <= high)


def sites_of(share: int, sites: int) -> int:
    """The whole number of sites nearest to a published share (2**-32): it is rounded, and sites are whole."""
    return (2 * share * sites + FULL_SHARE) // (2 * FULL_SHARE)


def logical_hash(rows: Sequence[Row]) -> str:
    """A hash of every integer of every night: equal wherever the same nights were played."""
    digest = hashlib.blake2b(digest_size=16)
    for row in sorted(rows, key=lambda row: row["night"]):
        digest.update(json.dumps(dict(row), sort_keys=True, separators=(",", ":")).encode())
    return digest.hexdigest()


def _national(candidates: Sequence[str], rows: Sequence[Row]) -> dict[str, Any] | None:
    """National delegates of the median night by candidate; None where there are none to deal."""
    if not rows[0]["national_true"]:
        return None

    def seats(key: str) -> dict[str, int]:
        return {name: median([row[key][k] for row in rows]) for k, name in enumerate(candidates)}

    differs = sum(row["national_true"] != row["national_reported"] for row in rows)
    return {
        "true": seats("national_true"),
        "reported": seats("national_reported"),
        "differs_share": differs / len(rows),
    }


def _cents(row: Row) -> int:
    return int(row["cost_operators_cents"] + row["cost_stations_cents"] + row["cost_review_cents"])


def _hours(rows: Sequence[Row], key: str) -> dict[str, float]:
    return {name: round(total / HOUR, 1) for name, total in bands([row[key] for row in rows]).items()}


def _minutes(rows: Sequence[Row], key: str) -> dict[str, float]:
    return {f"p{q}": round(median([row[f"{key}_p{q}_ms"] for row in rows]) / MINUTE, 2) for q in QUANTILES}


def _median_ratio(rows: Sequence[Row], part: str, whole: tuple[str, ...]) -> float:
    """The median night's ratio, in millionths exact."""
    return quantile([row[part] * 1_000_000 // max(1, sum(row[key] for key in whole)) for row in rows], 50) / 1_000_000


def _most_frequent(names: Iterable[str]) -> str:
    found = sorted(names)
    return max(sorted(set(found)), key=found.count)


def _history(scenario: Scenario, rows: Sequence[Row], sites: int) -> list[dict[str, Any]]:
    """Each published figure beside the band of the forecast."""
    found: list[dict[str, Any]] = []
    history = scenario.spec.history
    for kind, points in (("reported", history.reported), ("released", history.released)):
        for index, point in enumerate(points):
            band = bands([row[f"{kind}_at_history"][index] for row in rows])
            seen = round(point.share / FULL_SHARE, 6)
            shares = {name: value / sites for name, value in band.items()}
            inside = is_within(sites_of(point.share, sites), band["p05"], band["p95"])
            found.append({"what": kind, "at": format_clock(point.at), "observed": seen, **shares, "inside": inside})
    for index, hold in enumerate(history.holds):
        holds = bands_or_never([row["holds_at_history_ms"][index] for row in rows])
        minutes = {name: None if ms is None else round(ms / MINUTE, 1) for name, ms in holds.items()}  # None: no answer
        seen = hold.hold / MINUTE
        inside = is_within(hold.hold, holds["p05"], holds["p95"])
        found.append(
            {"what": "hold_minutes", "at": format_clock(hold.at), "observed": seen, **minutes, "inside": inside}
        )
    return found
