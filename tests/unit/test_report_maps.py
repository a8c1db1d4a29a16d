"""Where waits, late starts and late results are: the counties of the report, on the map and without one."""

from __future__ import annotations

import json
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulation.report import maps, plot
from simulation.report.chapter import Table
from simulation.report.forecast import NEVER, Forecast
from simulation.report.maps import County
from simulation.scenario import Scenario, load
from simulation.scenario.values import HOUR, MINUTE
from simulation.words import THIN

HEADER = "county,precinct,attendance,delegates,fips\n"


def forecast(scenario: Scenario, **columns: list[int]) -> Forecast:
    """One night in which every precinct has 10 people, no waits, and its result at 21:00, unless a column says else."""
    roster = scenario.roster
    usual = {"people_p50": 10, "wait_p90_ms_p50": 0, "start_delay_ms_p50": 0, "reported_at_ms_p50": 21 * HOUR}
    values: dict[str, Any] = {name: [value] * len(roster) for name, value in usual.items()} | columns
    names = {"id": roster.ids, "county": roster.counties, "precinct": roster.precincts}
    return Forecast(scenario, [{"sites": len(roster)}], pl.DataFrame(names | values), {}, {})


@pytest.fixture(scope="module")
def iowa() -> Scenario:
    return load("iowa-2020")


@pytest.fixture(scope="module")
def drawn(iowa: Scenario) -> tuple[str, str]:
    """The wide and the narrow picture of a night in which Linn waits 40 minutes and everybody else up to 25."""
    waits = [
        40 if county == "Linn" else index
        for index, county in zip(iowa.roster.county_index % 25, iowa.roster.counties, strict=True)
    ]
    late = [-1 if county == "Polk" else 21 * HOUR for county in iowa.roster.counties]
    chapter = maps.chapter(forecast(iowa, wait_p90_ms_p50=[int(w) * MINUTE for w in waits], reported_at_ms_p50=late))
    assert chapter is not None
    picture = chapter.panels[0].picture
    assert picture is not None
    return picture.wide, picture.narrow


def test_every_county_of_iowa_is_drawn_once_a_map_with_its_name_and_value(drawn: tuple[str, str]) -> None:
    for picture in drawn:
        told = re.findall(r"<path [^>]*><title>([^<]*)</title></path>", picture)
        names = [text.partition(":")[0] for text in told]
        assert len(set(names)) == 99
        assert all(names.count(name) == 3 for name in names)
        assert f"Linn: 40{THIN}min" in told
        assert "Polk: never" in told


def test_the_longest_wait_has_the_strongest_color_and_is_named_first(drawn: tuple[str, str]) -> None:
    for picture in drawn:
        assert f'fill="var(--map-e)"><title>Linn: 40{THIN}min' in picture
        labels = re.findall(r'font-weight="700" fill="var\(--ink\)">([^<]*)</text>', picture)
        assert labels[labels.index("Wait at check-in") + 1 :][0] == "Linn"
        assert labels[labels.index("Result in") + 1 :][0] == "Polk"


def test_the_map_says_to_everybody_what_it_shows(drawn: tuple[str, str]) -> None:
    """Who does not see it hears the worst counties; every color is one of the page's."""
    for picture in drawn:
        (text,) = re.findall(r"<desc[^>]*>([^<]*)</desc>", picture)
        assert f"Linn 40{THIN}min" in text
        assert 'role="img"' in picture
        assert set(re.findall(r"var\(--([a-z-]+)\)", picture)) <= set(plot.colors())


def test_where_people_wait_longest_in_a_sentence(iowa: Scenario) -> None:
    waits = [19 * MINUTE if county == "Lucas" else 4 * MINUTE for county in iowa.roster.counties]
    found = maps.counties(forecast(iowa, wait_p90_ms_p50=waits))
    assert maps.finding(found) == (
        f"In the usual precinct of Lucas one person in ten waits longer than 19{THIN}min, in half of the counties "
        f"4{THIN}min or less"
    )
    alike = maps.counties(forecast(iowa, wait_p90_ms_p50=[4 * MINUTE] * len(waits)))
    assert maps.finding(alike) == f"People wait as long in every county: one in ten waits longer than 4{THIN}min"
    late = [22 * HOUR if county == "Lee" else 21 * HOUR for county in iowa.roster.counties]
    nobody = maps.counties(forecast(iowa, reported_at_ms_p50=late))
    assert maps.finding(nobody) == "The usual result comes last from Lee, at 22:00; from half of the counties by 21:00"


def test_satellites_belong_to_no_county(iowa: Scenario) -> None:
    found = maps.counties(forecast(iowa))
    assert len(found) == 99
    assert sum(county.precincts for county in found) == len(iowa.roster) - int(iowa.roster.satellite.sum())


def test_a_county_is_as_its_people_have_it(tmp_path: Path) -> None:
    """A large precinct counts for more than two small ones; a result that never comes is the latest of all."""
    path = tmp_path / "roster.csv"
    path.write_text(HEADER + "North,1,10,1,\nNorth,2,10,1,\nNorth,3,90,1,\nSouth,1,10,1,\n")
    scenario = load("iowa-2020", {"turnout.people": "none"}, path)
    columns = {"people_p50": [10, 10, 90, 10], "wait_p90_ms_p50": [1, 2, 30, 4], "reported_at_ms_p50": [5, 5, -1, 7]}
    north, south = maps.counties(forecast(scenario, **columns))
    assert (north.name, north.people, north.precincts) == ("North", 110, 3)
    assert north.values == (30, 0, NEVER)
    assert south.values == (4, 0, 7)


def test_a_roster_from_elsewhere_has_its_worst_counties_in_a_table(tmp_path: Path) -> None:
    path = tmp_path / "roster.csv"
    path.write_text(HEADER + "".join(f"County {n:02d} <b>,1,10,1,\n" for n in range(14)))
    scenario = load("iowa-2020", {"turnout.people": "none"}, path)
    chapter = maps.chapter(forecast(scenario, wait_p90_ms_p50=[n * MINUTE for n in range(14)]))
    assert chapter is not None
    (panel,) = chapter.panels
    assert panel.picture is None
    assert isinstance(panel.table, Table)
    assert [row[0] for row in panel.table.rows] == [f"County {n:02d} <b>" for n in range(13, 3, -1)]


def test_one_county_is_no_chapter(tmp_path: Path) -> None:
    path = tmp_path / "roster.csv"
    path.write_text(HEADER + "Only,1,10,1,\nOnly,2,10,1,\n")
    assert maps.chapter(forecast(load("iowa-2020", {"turnout.people": "none"}, path))) is None


@given(st.lists(st.integers(0, 40 * HOUR), min_size=1, max_size=99))
def test_classes_are_few_rise_and_hold_every_value(values: list[int]) -> None:
    """Limits are round, lie between the smallest and the largest value, and the two ends are in different classes."""
    between = maps.limits(values)
    assert len(between) <= 4
    assert between == sorted(set(between))
    assert all(limit % MINUTE == 0 and min(values) <= limit < max(values) for limit in between)
    if between:
        assert maps.class_of(min(values), between) == 0
        assert maps.class_of(max(values), between) == len(between)


def test_a_limit_belongs_to_the_class_below_it() -> None:
    assert [maps.class_of(value, [5, 10]) for value in (0, 5, 6, 10, 11, NEVER)] == [0, 0, 1, 1, 2, 2]


def test_few_classes_span_all_colors() -> None:
    assert [maps.shade(place, 2) for place in range(2)] == ["map-a", "map-e"]
    assert [maps.shade(place, 3) for place in range(3)] == ["map-a", "map-c", "map-e"]
    assert maps.shade(0, 1) == "map-a"


def test_the_outlines_name_their_source_and_their_license() -> None:
    """They may be shipped with the copyright notice, and are all of Iowa's counties."""
    shipped = json.loads(files("simulation.report").joinpath("iowa_counties.json").read_text(encoding="utf-8"))
    assert "us-atlas 3" in shipped["source"]
    assert "ISC" in shipped["license"]
    assert "Copyright" in shipped["license"]
    assert sorted(maps.outlines()) == [f"19{code:03d}" for code in range(1, 198, 2)]


def test_names_of_counties_stay_text() -> None:
    """Whatever a roster calls a county is shown, never run."""
    found = [County(f"<script>{k}", f"190{k:02d}", 1, 1, (k * MINUTE, 0, 20 * HOUR)) for k in range(1, 98, 2)]
    assert "<script>" not in maps._drawn("name", "title", found, narrow=False)
