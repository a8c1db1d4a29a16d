"""Staffing: what a sample of nights proves, who gets stations, when operators are on duty, and files that come back."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta

from simulation.errors import InputError
from simulation.experiment.measures import parse_goal
from simulation.experiment.staffing import stations as check_in_of
from simulation.experiment.staffing.confidence import fewest_nights, lower_bound, misses_allowed, nights_for
from simulation.experiment.staffing.findings import findings, stations_sentence, waits_sentence
from simulation.experiment.staffing.operators import Rota, Slot, busiest, fewest, rota_of, shifts_of, slots_of, trimmed
from simulation.experiment.staffing.plan import Planner
from simulation.experiment.staffing.result import plan_staff
from simulation.experiment.staffing.stations import (
    Needs,
    Table,
    for_targets,
    for_total,
    meets,
    needs_of,
    summed,
    volunteers_for,
)
from simulation.experiment.staffing.targets import Part, parse_targets
from simulation.night import check_in, play_night
from simulation.roster import read, synthesize
from simulation.roster.derive import usual_stations
from simulation.scenario import Scenario, load, parse_overrides
from simulation.scenario.values import HOUR, MINUTE

SEED = 5


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Scenario:
    """Iowa 2020 in eight sites of Dallas County, two of which share doors, with one station each."""
    header, *every = synthesize("iowa-2020").csv().splitlines(keepends=True)
    path = tmp_path_factory.mktemp("few") / "roster.csv"
    path.write_text(header + "".join([row for row in every if row.startswith("Dallas/")][:8]))
    return load("iowa-2020", {"turnout.people": "none"}, path)


# What a sample of nights proves


@given(st.integers(1, 400), st.data())
def test_the_bound_is_that_of_clopper_and_pearson(nights: int, data: st.DataObject) -> None:
    """Against scipy's beta distribution, the textbook form."""
    held = data.draw(st.integers(1, nights))
    assert lower_bound(held, nights) == pytest.approx(beta.ppf(0.05, held, nights - held + 1), abs=1e-9)


@given(st.integers(1, 400), st.sampled_from([0.5, 0.8, 0.9, 0.95, 0.99]))
def test_as_many_nights_may_miss_as_leave_the_share_shown(nights: int, share: float) -> None:
    """One more would not."""
    misses = misses_allowed(nights, share)
    assert misses < 0 or lower_bound(nights - misses, nights) >= share
    assert misses + 1 >= nights or lower_bound(nights - misses - 1, nights) < share


def test_nights_of_tolerance_limits() -> None:
    """Wilks' numbers for 95 % confidence: 29, 46, 61 nights for 90 %, 59 and 93 for 95 %."""
    assert [fewest_nights(0.9, misses) for misses in range(3)] == [29, 46, 61]
    assert [fewest_nights(0.95, misses) for misses in range(2)] == [59, 93]


def test_a_search_has_enough_nights_for_its_hardest_target() -> None:
    """That all nights hold cannot be shown by any number of them, and no night may miss."""
    assert nights_for([0.9]) == 103
    assert nights_for([0.5, 0.99]) == fewest_nights(0.99)
    assert misses_allowed(nights_for([1.0]), 1.0) == 0


# Who gets stations


def tables(waits: Sequence[Sequence[int]], limit: int) -> Needs:
    """One night: `waits[site][k]` with k + 1 stations, held against a limit of their sum."""
    wait = np.array(waits, np.int64).T
    return needs_of([Table(wait, wait[None], wait[None], np.array([limit], np.int64))])


falling = st.lists(st.integers(0, 60), min_size=4, max_size=4).map(
    lambda drops: [sum(sorted(drops)[: len(drops) - k]) for k in range(5)]  # ever smaller drops, down to none
)


@given(st.lists(falling, min_size=1, max_size=4), st.integers(0, 12))
def test_a_total_is_shared_out_with_the_least_waiting_that_is_possible(waits: list[list[int]], more: int) -> None:
    """Against every way to share it out, where each further station saves less than the one before."""
    needs = tables(waits, 0)
    total = len(waits) + more
    plan = for_total(needs, total)
    ways = itertools.product(range(1, 6), repeat=len(waits))
    least = min(sum(w[k - 1] for w, k in zip(waits, way, strict=True)) for way in ways if sum(way) <= total)
    assert plan.sum() <= total
    assert sum(w[k - 1] for w, k in zip(waits, plan.tolist(), strict=True)) == least


@given(st.lists(falling, min_size=1, max_size=4), st.integers(0, 200))
def test_targets_are_met_by_as_few_stations_as_possible(waits: list[list[int]], limit: int) -> None:
    """Against every plan: one station a site more at most than the cheapest, and none of it can go."""
    needs = tables(waits, limit)
    plan = for_targets(needs, [0])
    ways = [
        way
        for way in itertools.product(range(1, 6), repeat=len(waits))
        if sum(w[k - 1] for w, k in zip(waits, way, strict=True)) <= limit
    ]
    if plan is None:
        assert not ways
        return
    assert meets(needs, summed(needs, plan), [0])
    assert plan.sum() == min(map(sum, ways))
    for site in np.flatnonzero(plan > 1):
        less = plan.copy()
        less[site] -= 1
        assert not meets(needs, summed(needs, less), [0])


def test_nights_may_miss_as_often_as_allowed() -> None:
    """Three nights, of which one is hopeless: a plan where one may miss, none where none may."""
    night = np.array([[9, 3, 0]], np.int64).T
    bad = np.array([[99, 98, 97]], np.int64).T
    limit = np.array([4], np.int64)
    needs = needs_of([Table(wait, wait[None], wait[None], limit) for wait in (night, night, bad)])
    assert for_targets(needs, [0]) is None
    plan = for_targets(needs, [1])
    assert plan is not None
    assert plan.tolist() == [2]


def test_volunteers_run_stations_as_in_a_roster() -> None:
    """So many volunteers run the stations that a roster with no column of stations gives them; no fewer do."""
    for stations in range(1, 20):
        count = check_in_of.volunteers_for(stations)
        assert usual_stations(count) >= stations
        assert count == 1 or usual_stations(count - 1) < stations


GOALS = (
    "wait_p90 <= 6 min", "wait_p50 < 2 min", "wait_mean <= 3 min", "hours_in_line <= 20", "in_line@18:45 <= 40",
    "in_line@19:00 < 30", "in_line_share <= 10%", "start_delay_p90 <= 20 min", "start_delay_max <= 1 h",
)  # fmt: skip


@pytest.mark.parametrize("text", GOALS)
def test_sums_over_sites_say_what_the_nights_row_says(few: Scenario, text: str) -> None:
    """A goal holds in a night where its sum over sites is within its limit, for values all around the night's own."""
    seen = check_in(few, SEED, 0, None)
    night = play_night(few, SEED, 0)
    rooms = check_in_of.rooms_of(few, SEED, 0, fixed=False)
    goal = parse_goal(text)
    own = goal.measure.value(night.row)
    assert own is not None
    step = {"min": 1, "%": 1e-6, "people": 1, "h": 1 / HOUR}[goal.measure.unit]
    verdicts = []
    for value in (own - 100 * step, own - step, own, own + step, own + 100 * step):
        changed = type(goal)(goal.measure, goal.op, value, goal.share, text)
        over, _, limit = check_in_of.measured(changed, seen, rooms)
        verdicts.append(bool(over.sum() <= limit))
        assert verdicts[-1] == changed.holds(night.row), value
    assert set(verdicts) == {False, True}


def test_more_stations_leave_less_over(few: Scenario) -> None:
    """Tables of a night as they travel, and what they say: fewer people wait too long with each station."""
    goals = tuple(parse_goal(text) for text in ("wait_p90 <= 6 min", "start_delay_p90 <= 20 min"))
    table = Table.from_bytes(check_in_of.Tabulate(few, SEED, False, goals)(0))
    assert table.wait.shape[1] == len(few.roster)
    for values in (table.wait, *table.over):
        sums = values.sum(axis=-1)
        assert sums[0] > sums[-1]
        assert (np.diff(sums) <= 0.01 * sums[0]).all()


# When operators are on duty

HALF_HOURS = [Slot(18 * HOUR + k * 30 * MINUTE, 18 * HOUR + (k + 1) * 30 * MINUTE) for k in range(5)]


class Backlog:
    """Work that arrives by slot; an operator does one piece a slot; enough is done by the end of `due`."""

    def __init__(self, work: Sequence[int], due: int, left: int, lag: int = 0) -> None:
        self.work, self.due, self.left = work, due, left
        self.lag = lag  # what `enough` overlooks, until it learns
        self.refused: set[Rota] = set()
        self.asked = 0

    def _left_over(self, rota: Rota) -> int:
        backlog = 0
        for work, operators in list(zip(self.work, rota, strict=True))[: self.due]:
            backlog = max(0, backlog + work - operators)
        return backlog

    def enough(self, rota: Rota) -> bool:
        self.asked += 1
        return rota not in self.refused and self._left_over(rota) <= self.left + self.lag

    def surely_enough(self, rota: Rota) -> bool:
        if self._left_over(rota) <= self.left:
            return True
        self.refused.add(rota)
        return False


@settings(max_examples=60)
@given(st.lists(st.integers(0, 3), min_size=5, max_size=5), st.integers(1, 5), st.integers(0, 3), st.integers(0, 1))
def test_operators_are_as_few_as_possible(work: list[int], due: int, left: int, lag: int) -> None:
    """Against every rota; also where the quick answer is wrong at first."""
    oracle = Backlog(work, due, left, lag)
    rota = fewest(HALF_HOURS, work, 100, oracle)
    assert rota is not None
    assert oracle.surely_enough(rota)
    every = itertools.product(range(max(work) + 4), repeat=5)
    assert sum(rota) == min(sum(one) for one in every if oracle.surely_enough(one))


@given(st.lists(st.integers(0, 40), min_size=5, max_size=5), st.integers(0, 30))
def test_no_operator_can_leave_a_trimmed_rota(work: list[int], left: int) -> None:
    """Whatever it began with, and with few questions."""
    oracle = Backlog(work, 5, left)
    rota = trimmed((60,) * 5, [0.5] * 5, oracle)
    assert oracle.asked < 200
    for slot in range(5):
        assert rota[slot] == 0 or not oracle.enough(tuple(n - (k == slot) for k, n in enumerate(rota)))


def test_where_nothing_is_enough_there_is_no_rota() -> None:
    """More operators than are allowed."""
    assert fewest(HALF_HOURS, [1] * 5, 10, Backlog([1000] * 5, 5, 0)) is None


def test_slots_reach_from_the_first_shift_to_the_last(few: Scenario) -> None:
    """Half hours; the scenario's operators by the middle of what is assumed; overlapping shifts add up."""
    overlapping = load(
        "iowa-2020",
        {
            "hotline.operators": [
                {"from": "18:15", "to": "20:00", "count": {"low": 2, "high": 4}},
                {"from": "19:15", "to": "19:45", "count": 2},
            ]
        },
    )
    shifts = overlapping.spec.hotline.operators
    slots = slots_of(shifts)
    assert [slot.start for slot in slots] == [18 * HOUR + 15 * MINUTE + k * 30 * MINUTE for k in range(4)]
    assert slots[-1].end == 20 * HOUR
    assert rota_of(shifts, slots) == [3, 3, 5, 3]
    with pytest.raises(InputError, match=r"hotline\.operators: there is no shift"):
        slots_of([])
    assert len(slots_of(few.spec.hotline.operators)) == 100  # 18:00 to 20:00 two days later


def test_most_operators_are_there_as_long_as_they_are() -> None:
    """The first stretch of slots with as many, not its first half hour."""
    assert busiest(HALF_HOURS, (5, 8, 8, 7, 8)) == (HALF_HOURS[1].start, HALF_HOURS[2].end, 8)


# Plans as scenarios and files


def test_a_plan_is_a_scenario_and_its_files_are_that_scenario(few: Scenario, tmp_path: Path) -> None:
    """Stations, operators and lines planned in memory play the night that --roster and --set read back."""
    slots = slots_of(few.spec.hotline.operators)
    planner = Planner(few, slots).with_stations([2, 1, 3, 1, 2, 4, 1, 2])
    rota = tuple([0, 2, 2, 3] + [1] * (len(slots) - 5) + [0])
    planned = planner.with_hotline(rota, 7)
    (tmp_path / "stations.csv").write_text(planned.roster.csv())
    (tmp_path / "operators.csv").write_text(planner.operators_csv(rota))
    settings = parse_overrides((f"hotline.operators=@{tmp_path / 'operators.csv'}", "hotline.lines=7"))
    again = load("iowa-2020", {"turnout.people": "none", **settings}, tmp_path / "stations.csv")
    assert again.roster.sha256 == planned.roster.sha256
    assert again.document["hotline"] == planned.document["hotline"]
    assert again.spec.hotline.operators == planned.spec.hotline.operators
    assert again.spec.hotline.lines == planned.spec.hotline.lines == 7
    assert play_night(again, SEED, 3).row == play_night(planned, SEED, 3).row
    assert read(tmp_path / "stations.csv").stations.tolist() == [2, 1, 3, 1, 2, 4, 1, 2]


def test_stations_of_a_plan_go_before_those_that_a_scenario_sets_everywhere(few: Scenario) -> None:
    """`checkin.stations` would hide the roster's."""
    everywhere = load("iowa-2020", {"turnout.people": "none", "checkin.stations": 9}, few.roster_file)
    planner = Planner(everywhere, [])
    assert planner.stations().tolist() == [9] * 8
    changed = planner.with_stations([1] * 8)
    assert changed.scenario.spec.checkin.stations is None
    assert play_night(changed.scenario, SEED, 0).row["stations"] == 8


def test_shifts_are_joined_where_the_number_stays() -> None:
    """And left out where nobody is on duty."""
    at = [slot.start for slot in HALF_HOURS]
    assert shifts_of(HALF_HOURS, (2, 2, 0, 0, 1)) == [(at[0], at[2], 2), (at[4], HALF_HOURS[4].end, 1)]
    assert shifts_of(HALF_HOURS, (0,) * 5) == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("from,to,count\n18:00,20:00,-3\n", r"row 2, column count: .*\"-3\": expected a whole number"),
        ("from,to,count\n18:00,20:00,3\n20:00,x,3\n", r"row 3, column to: .*\"x\": expected a clock time"),
        ("from,to,count\n20:00,18:00,3\n", r"row 2: .*expected `from` before `to`"),
        ("from,to,count\n18:00,,3\n", r"row 2: hotline\.operators\.0\.to: is missing"),
        ("from,to,cuont\n18:00,20:00,3\n", r"row 2, column cuont: .*did you mean count"),
        ("from,to,count\n18:00,20:00\n", r"row 2: 2 cells, the header has 3"),
        ("from,to,count,count\n", r"the column count is there twice"),
        ("", r"is empty: expected a header of keys"),
    ],
)
def test_mistakes_in_a_file_of_shifts_are_named_by_row_and_column(tmp_path: Path, text: str, problem: str) -> None:
    """With what would be accepted."""
    path = tmp_path / "shifts.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=problem) as raised:
        load("iowa-2020", parse_overrides((f"hotline.operators=@{path}",)))
    assert str(path) in str(raised.value)


def test_a_file_of_shifts_that_is_not_there_is_named() -> None:
    """With its key."""
    with pytest.raises(InputError, match=r"--set hotline\.operators: nowhere\.csv: there is no such file"):
        parse_overrides(("hotline.operators=@nowhere.csv",))


# Targets


def test_targets_are_told_apart_by_what_decides_them() -> None:
    """Stations, operators, or both."""
    texts = ["wait_p90 <= 20 min", "hold_p90 <= 10 min", "reported@23:00 >= 90%", "cost <= $90,000"]
    assert [target.part for target in parse_targets(texts, 19 * HOUR)] == [
        Part.CHECK_IN, Part.HOTLINE, Part.HELD, Part.COST,
    ]  # fmt: skip


def test_targets_that_no_plan_serves_are_refused_together() -> None:
    """What neither stations nor operators decide, what more of them makes worse, and what is no goal."""
    with pytest.raises(InputError) as raised:
        parse_targets(["wrong_share <= 1%", "wait_p90 >= 5 min", "reported@23:00 <= 9%", "nonsense"], 19 * HOUR)
    first, second, third, fourth = raised.value.problems
    assert "neither stations nor operators decide wrong_share" in first
    assert "only lower wait_p90: expected wait_p90 <= VALUE" in second
    assert "only raise reported@23:00: expected reported@23:00 >= VALUE" in third
    assert fourth.startswith("--target ")


def test_a_closed_hotline_does_not_meet_a_target_on_holds(few: Scenario) -> None:
    """Nobody holds where nobody is on duty."""
    shut = Planner(few, slots_of(few.spec.hotline.operators)).with_hotline((0,) * 100, None)
    row = play_night(shut, SEED, 0).row
    assert row["calls"]
    (target,) = parse_targets(["abandoned_share <= 10%"], 19 * HOUR)
    assert target.goal.holds(row)
    assert not target.holds(row, closed=0)


def test_stations_that_help_nowhere_are_left_over_and_said_so(few: Scenario) -> None:
    found = plan_staff(few, [], seed=1, stations=2000, nights=3, workers=1)
    used, _ = found.station_counts
    assert found.left_over == 2000 - used > 0
    assert f"{2000 - used:,} of the 2,000 stations are left over" in " ".join(stations_sentence(found))
    assert found.files()["stations.csv"].splitlines()[0].endswith("volunteers,stations")
    for line in found.files()["stations.csv"].splitlines()[1:]:
        volunteers, count = map(int, line.split(",")[-2:])
        assert volunteers == volunteers_for(count)
    exactly = plan_staff(few, [], seed=1, stations=used, nights=3, workers=1)
    assert exactly.left_over == 0
    assert exactly.summary()["met"] is None
    waits = exactly.summary()["waits"]
    assert waits["wait_p90_ms"]["planned"] < waits["wait_p90_ms"]["scenario"]
    assert waits["hours_in_line"]["planned"] < waits["hours_in_line"]["scenario"]
    (sentence,) = waits_sentence(exactly)
    assert sentence in findings(exactly)
    assert f"one person in ten waits {round(waits['wait_p90_ms']['planned'] / MINUTE)} min or longer" in sentence
    assert len(stations_sentence(exactly)) == 1


def test_the_command_that_plays_a_plan_takes_its_lines_back(few: Scenario, tmp_path: Path) -> None:
    found = plan_staff(few, [], seed=1, stations=len(few.roster), nights=3, workers=1)
    for lines, text in ((7, "hotline.lines=7"), (0, "hotline.lines=unlimited")):
        assert text in replace(found, plan=replace(found.plan, lines=lines)).command(tmp_path)
