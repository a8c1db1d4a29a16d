"""A synthesized state: its aggregates are Iowa's exactly, its single precincts are like Iowa's."""

from __future__ import annotations

import csv
import subprocess
import sys
from collections import Counter
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulation.randomness import Integers
from simulation.roster import Roster, synthesize
from simulation.roster.marginals import available, load
from simulation.roster.synthesis import share_out
from simulation.rules.sde import NANO

SEEDS = (1846, 0, 10, 52, 2**32 - 1)  # with 10 and 52 small counties draw large precincts that must be exchanged

# Delegates per precinct in 2020, computed from the published results.
HISTOGRAM_2020 = (
    "1:121 2:138 3:142 4:165 5:160 6:164 7:155 8:129 9:121 10:103 11:67 12:53 13:46 14:30 15:18 16:16 17:14 18:11 "
    "19:6 20:6 21:1 22:7 23:1 24:2 30:1 36:1"
)
# Precinct sizes in 2020 at 5, 25, 50, 75, 90, 95, 99 %, computed from the published results; the largest had 860.
QUANTILES_2020 = {5: 9, 25: 27, 50: 61, 75: 128, 90: 245, 95: 345, 99: 592}


def published(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def by_county(roster: Roster, values: Integers) -> dict[str, int]:
    sums = np.bincount(roster.county_index, weights=values).astype(int).tolist()
    return dict(zip(roster.county_names, sums, strict=True))


@pytest.fixture(scope="module")
def iowa_2020() -> Roster:
    return synthesize("iowa-2020")


@pytest.fixture(scope="module")
def iowa_2016() -> Roster:
    return synthesize("iowa-2016")


def test_counties_of_2020_are_iowas(iowa_2020: Roster, shared_data: Path) -> None:
    """Precincts, delegates, attendance, district and SDE ratio of each of the 99 counties are the published ones."""
    rows = published(shared_data / "iowa2020_counties.csv")
    precincts = by_county(iowa_2020, 1 - iowa_2020.satellite)
    satellites = by_county(iowa_2020, iowa_2020.satellite)
    delegates, people = by_county(iowa_2020, iowa_2020.delegates), by_county(iowa_2020, iowa_2020.attendance)
    assert set(iowa_2020.county_names) == {row["county"] for row in rows}
    for row in rows:
        name = row["county"]
        here = iowa_2020.county_index == iowa_2020.county_names.index(name)
        assert people[name] == int(row["first_total"])
        assert set(iowa_2020.district[here]) == {int(row["district"] or 0)}
        if row["kind"] == "county":
            assert precincts[name] == int(row["precincts"])
            assert delegates[name] == int(row["county_delegates"])
            ratio = Fraction(row["sde_allotted"]) / int(row["county_delegates"])
            assert set(iowa_2020.sde_nano[here].tolist()) == {int(ratio * NANO)}
        else:
            assert satellites[name] == int(row["precincts"])


def test_counties_of_2016_are_iowas(iowa_2016: Roster, shared_data: Path) -> None:
    """As published, and four precincts that elected nobody have the delegates back that make their counties whole."""
    restored = {"Fremont": 2, "Hancock": 1, "Kossuth": 1, "Wapello": 1}
    rows = [row for row in published(shared_data / "iowa2016_counties.csv") if not row["county"].startswith("Caucus")]
    precincts = Counter(iowa_2016.counties)
    delegates = by_county(iowa_2016, iowa_2016.delegates)
    assert set(iowa_2016.county_names) == {row["county"] for row in rows}
    assert dict(zip(iowa_2016.county_names, iowa_2016.fips, strict=True)) == {r["county"]: r["fips"] for r in rows}
    for row in rows:
        name = row["county"]
        assert precincts[name] == int(row["precincts"])
        assert delegates[name] == int(row["county_delegates"]) + restored.get(name, 0)
        ratio = set(iowa_2016.sde_nano[iowa_2016.county_index == iowa_2016.county_names.index(name)].tolist())
        assert len(ratio) == 1
        assert ratio.pop() / NANO == pytest.approx(float(row["sde_per_delegate"]), abs=1e-6)  # published to 6 digits


def test_the_histogram_of_2016_is_that_of_the_published_precincts(shared_data: Path) -> None:
    rows = [row for row in published(shared_data / "iowa2016_precincts.csv") if not row["county"].startswith("Caucus")]
    counted = Counter(int(row["delegates"]) for row in rows)
    expected = dict(load("iowa-2016").delegates_of_precincts)
    expected[1] -= 3  # Hancock, Kossuth, Wapello
    expected[2] -= 1  # Fremont
    assert counted == Counter({0: 4}) + Counter(expected)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_state_adds_up_whatever_the_seed(seed: int) -> None:
    roster = synthesize("iowa-2020", seed)
    precinct = roster.satellite == 0
    assert (precinct.sum(), roster.satellite.sum()) == (1678, 87)
    assert roster.delegates[precinct].sum() == 11_402
    assert roster.attendance.sum() == 176_352
    assert Counter(roster.delegates[precinct].tolist()) == {
        int(delegates): int(count) for delegates, count in (pair.split(":") for pair in HISTOGRAM_2020.split())
    }
    assert 0 < 2150 * NANO - int((roster.sde_nano * roster.delegates).sum()) < NANO // 10_000  # only rounded down
    assert by_county(roster, roster.delegates * precinct)["Polk"] == 1401
    earlier = synthesize("iowa-2016", seed)
    assert (len(earlier), earlier.delegates.sum(), earlier.attendance.sum()) == (1681, 11_065, 171_109)
    assert earlier.satellite.sum() == 0
    assert Counter(earlier.delegates.tolist()) == dict(load("iowa-2016").delegates_of_precincts)


def test_attendance_of_2016_follows_the_counties_sde(iowa_2016: Roster) -> None:
    people = by_county(iowa_2016, iowa_2016.attendance)
    for county in load("iowa-2016").counties:
        assert abs(people[county.name] - 171_109 * county.sde / 1401) <= 1


def test_precinct_sizes_come_near_the_published_quantiles(iowa_2020: Roster) -> None:
    """Within what 1,678 draws leave open: about two standard errors of a quantile, 4 % each."""
    sizes = iowa_2020.attendance[iowa_2020.satellite == 0]
    for percent, people in QUANTILES_2020.items():
        assert np.percentile(sizes, percent) == pytest.approx(people, rel=0.08, abs=1), percent
    assert 1 <= sizes.min() <= 3
    assert 780 <= sizes.max() <= 860
    assert np.sort(sizes)[-259:].sum() / sizes.sum() == pytest.approx(0.5, abs=0.01)  # the 259 largest hold half


def test_sizes_follow_the_statewide_law_given_delegates(iowa_2020: Roster) -> None:
    """The law ln N = 2.47 + 0.944 ln D + Normal(0, .88), though sizes are drawn inside counties that add up."""
    precinct = iowa_2020.satellite == 0
    log_delegates, log_people = np.log(iowa_2020.delegates[precinct]), np.log(iowa_2020.attendance[precinct])
    slope, intercept = np.polyfit(log_delegates, log_people, 1)
    assert intercept == pytest.approx(2.47, abs=0.08)
    assert slope == pytest.approx(0.944, abs=0.05)
    assert np.std(log_people - intercept - slope * log_delegates) == pytest.approx(0.88, abs=0.03)


def test_satellites_follow_the_partys_rules(iowa_2020: Roster) -> None:
    satellite = iowa_2020.satellite == 1
    people, delegates = iowa_2020.attendance[satellite], iowa_2020.delegates[satellite]
    assert people.min() >= 1
    np.testing.assert_array_equal(delegates, np.minimum(9, 4 + (people - 1) // 20))
    pools = {1: 6, 2: 11, 3: 18, 4: 4, 0: 4}
    sde = (iowa_2020.sde_nano * iowa_2020.delegates)[satellite]
    for district, pool in pools.items():
        assert sde[iowa_2020.district[satellite] == district].sum() == pytest.approx(pool * NANO, abs=300)


@pytest.mark.parametrize("name", available())
def test_some_precincts_of_larger_counties_share_a_building(name: str) -> None:
    roster = synthesize(name)
    sites = np.bincount(roster.building)
    precincts = int((roster.satellite == 0).sum())
    assert 0.15 <= sites[sites > 1].sum() / precincts <= 0.20
    assert sites.max() <= 4
    small = [county.name for county in load(name).counties if county.precincts < 12]
    in_small = {building for building, county in zip(roster.building, roster.counties, strict=True) if county in small}
    assert all(sites[building] == 1 for building in in_small)


@pytest.mark.parametrize("name", available())
def test_most_rooms_are_ample_and_a_few_too_small(name: str) -> None:
    roster = synthesize(name)
    too_small = roster.capacity < roster.attendance
    assert 0.01 <= too_small.mean() <= 0.05
    assert roster.attendance[too_small].min() >= 100
    assert (roster.capacity[too_small] / roster.attendance[too_small]).min() >= 0.37  # Ames 1-3: 115 / 300
    assert roster.capacity.min() >= 38


@pytest.mark.parametrize("name", available())
def test_staff_grows_with_size_and_differs_among_equals(name: str) -> None:
    roster = synthesize(name)
    np.testing.assert_array_equal(roster.stations, np.maximum(1, (4 * roster.volunteers + 5) // 10))
    means = [
        roster.volunteers[(roster.attendance >= low) & (roster.attendance < high)].mean()
        for low, high in pairwise((1, 32, 60, 120, 250, 1000))
    ]
    assert means == sorted(means)
    hundred = roster.volunteers[(roster.attendance >= 90) & (roster.attendance <= 190)]
    assert 10 <= np.median(hundred) <= 20
    assert hundred.std() > 2


def test_some_large_meetings_have_a_handful_of_stations(iowa_2020: Roster) -> None:
    """History's 492 people at 5 stations is possible, and not the rule."""
    stations = iowa_2020.stations[(iowa_2020.attendance > 400) & (iowa_2020.attendance < 600)]
    assert stations.min() <= 6
    assert np.median(stations) > 6


def test_names_are_stable_and_a_seed_changes_sites_but_no_aggregate(iowa_2020: Roster) -> None:
    other = synthesize("iowa-2020", seed=7)
    assert other.ids == iowa_2020.ids
    assert "Adair/Adair 1" in other.ids
    np.testing.assert_array_equal(other.places, iowa_2020.places)
    assert other.sha256 != iowa_2020.sha256
    assert by_county(other, other.attendance) == by_county(iowa_2020, iowa_2020.attendance)


def test_the_embedded_states_are_the_same_on_every_machine(iowa_2020: Roster, iowa_2016: Roster) -> None:
    """Runs are compared by this content: it changes only on purpose."""
    assert synthesize("iowa-2020").sha256 == iowa_2020.sha256
    assert (iowa_2020.sha256[:16], iowa_2016.sha256[:16]) == ("2b804227b3dc4e28", "41be46698dc04944")


def test_synthesis_needs_no_frame_library() -> None:
    code = "import sys; from simulation.roster import synthesize; synthesize(); sys.exit('polars' in sys.modules)"
    root = Path(__file__).resolve().parents[2]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0


@given(
    st.lists(st.integers(1, 10**9), min_size=1, max_size=30),
    st.integers(0, 3),
    st.integers(4, 60),
    st.floats(0, 1),
)
def test_shares_add_up_within_bounds_and_in_proportion(weights: list[int], low: int, high: int, where: float) -> None:
    total = len(weights) * low + round(where * len(weights) * (high - low))
    shares = share_out(total, weights, low, high)
    assert sum(shares) == total
    assert all(low <= share <= high for share in shares)
    ordered = sorted(zip(weights, shares, strict=True))
    assert all(a <= b + 1 for (_, a), (_, b) in pairwise(ordered))  # a larger weight never gets less, but for one
