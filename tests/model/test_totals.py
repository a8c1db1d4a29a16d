"""What a night adds up to: wrong records by cause, national delegates, dollars and hours."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from simulation.night import Night, play_night
from simulation.night.metrics import NIGHT, expanded
from simulation.roster import synthesize
from simulation.rules.national import allocate
from simulation.rules.sde import NANO
from simulation.scenario import load
from simulation.scenario.values import HOUR

SEED = 5
COSTS = {"costs.operator_hour": 30, "costs.station": 20, "costs.reviewer_hour": 50}


@pytest.fixture(scope="module")
def roster(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty synthesized precincts from all over the state."""
    lines = synthesize("iowa-2020").csv().splitlines(keepends=True)
    path = tmp_path_factory.mktemp("totals") / "sixty.csv"
    path.write_text(lines[0] + "".join(lines[1::28][:60]))
    return path


def played(roster: Path, name: str = "iowa-2020", **overrides: object) -> Night:
    settings = {key.replace("__", "."): value for key, value in overrides.items()}
    return play_night(load(name, {"turnout.people": "none"} | COSTS | settings, roster), SEED, 0)


@pytest.fixture(scope="module")
def night(roster: Path) -> Night:
    return played(roster)


def test_wrong_records_are_the_chairs_or_the_typists(night: Night) -> None:
    """Every record that is wrong has one cause; what the checks stop is right in the end or bound by its worksheet."""
    row = night.row
    for name in ("wrong_on_receipt", "caught", "wrong"):
        assert sum(row[f"{name}_by_cause"]) == row[name] > 0
    for came, caught, mended in zip(
        row["wrong_on_receipt_by_cause"], row["caught_by_cause"], row["mended_by_cause"], strict=True
    ):
        assert came >= caught >= mended >= 0
    assert row["stopped"] >= row["caught"]
    assert row["mended_by_cause"][0] == 0  # a signed worksheet binds


def test_without_checks_nothing_is_stopped(roster: Path) -> None:
    row = played(roster, headquarters__checks=False).row
    assert row["stopped"] == row["caught"] == row["review_total_ms"] == row["cost_review_cents"] == 0
    assert row["wrong"] == row["wrong_on_receipt"] > 0


def test_national_delegates_are_dealt_from_the_sde_of_the_districts(night: Night) -> None:
    """As headquarters would by hand: sums by district, out-of-state satellites only in the state's."""
    setting, roster = night.setting, night.setting.roster
    worth = setting.worth(setting.true_records)
    assert set(roster.district.tolist()) >= {1, 2, 3, 4}
    of_district = {
        district: {
            name: Fraction(int(worth[roster.district == district, k].sum()), NANO)
            for k, name in enumerate(setting.groups)
        }
        for district in (1, 2, 3, 4)
    }
    statewide = {name: Fraction(int(worth[:, k].sum()), NANO) for k, name in enumerate(setting.groups)}
    won = allocate(of_district, statewide).delegates
    assert night.row["national_true"] == [won.get(name, 0) for name in setting.groups]
    assert 0 < sum(night.row["national_true"]) <= 41
    assert len(night.row["national_reported"]) == len(setting.groups)


def test_who_elects_nobody_deals_no_national_delegates(roster: Path, tmp_path: Path) -> None:
    """A straw poll, or a roster that does not cover the four districts."""
    assert played(roster, "gop-straw-poll-2012").row["national_true"] == []
    one_county = tmp_path / "one.csv"
    lines = synthesize("iowa-2020").csv().splitlines(keepends=True)
    one_county.write_text("".join(lines[:10]))
    assert played(one_county).row["national_reported"] == []


def test_hours_are_those_of_people_in_line_and_chairs_on_hold(night: Night) -> None:
    waits = np.concatenate(night.played.wait_ms)
    assert night.row["wait_total_ms"] == int(waits.sum()) > 0
    assert night.row["chairs_hold_total_ms"] <= int(night.precincts["hold_ms"].sum())
    assert night.row["chairs_hold_total_ms"] >= night.row["hold_mean_ms"]


def test_dollars_are_hours_and_stations_at_their_rates(night: Night) -> None:
    """Every shift is paid in full, also those of the days after."""
    row = night.row
    shifts = night.setting.spec.hotline.operators
    luck = night.setting.luck
    hours = sum((min(s.end, night.setting.until) - s.start) * luck.value(s.count) for s in shifts)
    assert row["operators_shifts_ms"] == hours
    assert row["cost_operators_cents"] == hours * 3000 // HOUR
    assert row["stations"] == int(night.precincts["stations"].sum())
    assert row["cost_stations_cents"] == row["stations"] * 2000
    assert row["cost_review_cents"] == row["review_total_ms"] * 5000 // HOUR > 0


def test_what_things_cost_changes_nothing_else(roster: Path, night: Night) -> None:
    dearer = played(roster, costs__operator_hour=60).row
    changed = {name for name in expanded(NIGHT) if dearer[name] != night.row[name]}
    assert changed == {"cost_operators_cents"}
    assert dearer["cost_operators_cents"] == 2 * night.row["cost_operators_cents"]
