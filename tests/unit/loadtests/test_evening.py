"""A simulated night as the backend will see it: the numbers, the times, the troubles are that night's."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from loadtests.backend import storage
from loadtests.contract import Report
from loadtests.night import Night as Known
from loadtests.traffic.evening import (
    PHOTO_BYTES,
    SMALL_PHOTO_BYTES,
    Evening,
    Purpose,
    Trouble,
    evening,
    evening_of,
    right_entry,
    says,
)
from simulation.night import Night, play_night
from simulation.night.order import Channel, Kind, Stream
from simulation.rehearsal.script import script
from simulation.scenario import Scenario, load
from simulation.scenario.values import MINUTE

SITES = 60
ALL_EVENING = [{"from": "18:00", "to": "+1d 02:00", "count": 4}]
WITHOUT_ERRORS = {
    "chairs.arithmetic_errors": 0,
    "room.miscount": 0,
    "headquarters.keying.app": 0,
    "headquarters.keying.phone": 0,
    "headquarters.keying.inbox": 0,
}
TROUBLED = {
    "app.login_fails": 0.4,
    "app.submit_fails": 0.3,
    "app.no_signal": 0.1,
    "app.tries": 0.9,
    "app.installed": 0.9,
    "app.outages": [{"from": "21:00", "to": "21:20"}],
    "chairs.arithmetic_errors": 0.3,
    "hotline.operators": ALL_EVENING,
    "hotline.nuisance": [],
    "inbox.chairs": 0.5,
    "turnout.people": "none",
}


def small(folder: Path, overrides: dict[str, object], base: str = "iowa-2020", sites: int = SITES) -> Scenario:
    """A night of a few dozen precincts."""
    rows = ["county,precinct,kind,delegates,attendance,building,capacity,stations,district"]
    rows += [
        f"{('Polk', 'Story')[number % 2]},P{number},,{1 + number * 5 % 9},{10 + number * 7 % 120},,,2,{1 + number % 4}"
        for number in range(sites)
    ]
    rows += ["In-state CD1,Abroad,satellite,,40,,,1,1"]
    path = folder / "small.csv"
    path.write_text("\n".join(rows) + "\n")
    return load(base, {"turnout.people": "none", **overrides}, path)


@pytest.fixture(scope="module")
def scenario(tmp_path_factory: pytest.TempPathFactory) -> Scenario:
    return small(tmp_path_factory.mktemp("troubled"), TROUBLED)


@pytest.fixture(scope="module")
def night(scenario: Scenario) -> Night:
    return play_night(scenario, 5, 2, log=True)


@pytest.fixture(scope="module")
def tonight(night: Night) -> Evening:
    return evening_of(night)


def rows(report: Report) -> list[list[int]]:
    return [list(counts.values()) for counts in (report.first_alignment, report.final, report.delegates)]


def test_equal_seeds_make_equal_evenings_and_other_nights_other_ones(scenario: Scenario, tonight: Evening) -> None:
    assert evening(scenario, 5, 2) == tonight
    assert evening(scenario, 5, 3) != tonight
    assert evening(scenario, 6, 2) != tonight


def test_backend_chairs_and_packets_call_each_of_ten_thousand_sites_the_same(tmp_path: Path) -> None:
    scenario = small(tmp_path, {}, sites=9_999)
    known = [site.code for site in Known.of(scenario).sites]
    assert (known[0], known[-1]) == ("00001", "10000")
    assert [row["code"] for row in storage._seed(scenario)[1]] == known
    assert [each.site.code for each in evening(scenario, 1, 0).sites] == known
    assert all(each.code == known[each.site] for each in script(scenario).sites)


def test_every_body_holds_exactly_the_nights_record(night: Night, tonight: Evening) -> None:
    setting = night.setting
    for each in tonight.sites:
        assert rows(each.worksheet) == setting.worksheets[0][each.number].tolist()
        assert rows(each.true) == setting.true_records[each.number].tolist()
        assert each.worksheet.attendees == setting.rooms[each.number].counted
        assert each.site.code == f"{each.number + 1:04d}"
        assert each.site.delegates == setting.delegates[each.number]
    assert tonight.groups == setting.groups


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 2**32 - 1), st.sampled_from(["app-works", "iowa-2020", "text-fallback", "gop-straw-poll-2012"]))
def test_without_errors_the_bodies_add_up_to_the_nights_true_totals_to_the_vote(
    tmp_path: Path, seed: int, base: str
) -> None:
    nobody_lost = {"hand_delivery.lost": 0, "app.lost": 0, "hotline.operators": ALL_EVENING, "hotline.nuisance": []}
    played = play_night(small(tmp_path, {**WITHOUT_ERRORS, **nobody_lost}, base, 20), seed, 0, log=True)
    tonight = evening_of(played)
    came = np.flatnonzero(played.played.received_at >= 0)
    true = played.setting.true_records[came].sum(axis=0).T.tolist()
    assert [list(sums) for sums in tonight.totals().values()] == true
    for each in tonight.sites:
        assert each.keyed == each.worksheet == each.true
        assert sum(each.true.first_alignment.values()) == each.true.attendees
        assert not each.sent_back


def test_what_headquarters_types_first_is_what_the_night_typed(night: Night, tonight: Evening) -> None:
    """Where the checks let a record pass, it was never corrected: the night's last record is the one first typed."""
    passed = [each for each in tonight.sites if each.keyed_by_staff and night.played.findings[each.number] == 0]
    assert any(night.played.keying_errors[each.number] for each in tonight.sites if each.keyed_by_staff)
    for each in passed:
        assert rows(each.keyed) == night.played.reported[each.number].tolist()
    for each in tonight.sites:
        if each.keyed_by_staff and not night.played.keying_errors[each.number]:
            assert each.keyed == each.worksheet


def test_every_failed_attempt_of_the_night_is_there_with_its_time_and_its_reason(
    night: Night, tonight: Evening
) -> None:
    setting, luck = night.setting, night.setting.luck
    assert night.played.log is not None
    logged = night.played.log[night.played.log[:, 2] == Kind.APP_FAILED]
    found = sorted((failure.at_ms, each.number) for each in tonight.sites for failure in each.failures)
    assert found == sorted(zip(logged[:, 0].tolist(), logged[:, 3].tolist(), strict=True))
    troubles = Counter(failure.trouble for each in tonight.sites for failure in each.failures)
    assert set(troubles) == set(Trouble)
    for each in tonight.sites:
        place = int(setting.roster.places[each.number])
        if luck.happens(setting.app.no_signal, Stream.NO_SIGNAL, place):
            assert all(failure.trouble == Trouble.NO_ANSWER for failure in each.failures)


def test_a_chair_who_reports_by_app_does_so_in_order_and_when_the_night_says(night: Night, tonight: Evening) -> None:
    by_app = [each for each in tonight.sites if each.by_app]
    assert by_app
    for each in by_app:
        assert each.counted_at_ms < each.aligned_at_ms <= each.ready_at_ms <= each.received_at_ms < each.photo_at_ms
        assert each.received_at_ms == night.played.received_at[each.number]
        assert all(each.ready_at_ms <= failure.at_ms <= each.received_at_ms for failure in each.failures)
        assert PHOTO_BYTES[0] <= each.photo_bytes <= PHOTO_BYTES[1]
    assert night.played.log is not None
    counted = night.played.log[night.played.log[:, 2] == Kind.COUNTED]
    assert {row[3]: row[0] for row in counted.tolist()} == {
        each.number: each.counted_at_ms for each in tonight.sites if each.counted_at_ms >= 0
    }


def test_what_does_not_come_by_app_is_keyed_twice_by_different_clerks(tonight: Evening) -> None:
    for clerks in (2, 3, 7):
        by_clerk = {clerk: tonight.entries(clerk, clerks) for clerk in range(clerks)}
        turns: dict[str, dict[int, int]] = {}
        for clerk, entries in by_clerk.items():
            assert [entry.due_ms for entry in entries] == sorted(entry.due_ms for entry in entries)
            for entry in entries:
                turns.setdefault(entry.site.site.code, {})[entry.turn] = clerk
        assert set(turns) == {each.site.code for each in tonight.keyed}
        assert all(set(of) == {1, 2} and of[1] != of[2] for of in turns.values())


def test_a_site_that_never_reports_asks_nothing_and_counts_nothing(tonight: Evening) -> None:
    silent = [each for each in tonight.sites if each.channel == Channel.NONE]
    for each in silent:
        assert not each.by_app
        assert not each.keyed_by_staff
    counted = sum(final for _, final, _ in tonight.totals().values())
    assert counted == sum(sum(each.worksheet.final.values()) for each in tonight.sites if each.channel != Channel.NONE)


def test_sites_that_were_made_to_add_up_again_count_as_the_room_did(tonight: Evening) -> None:
    wrong = [each.site.code for each in tonight.sites if each.true != each.worksheet and each.channel != Channel.NONE]
    assert wrong
    again = tonight.totals(wrong)
    assert again != tonight.totals()
    first = {group: sums[0] for group, sums in again.items()}
    assert first == {
        group: sum(each.true.first_alignment[group] for each in tonight.sites if each.channel != Channel.NONE)
        for group in tonight.groups
    }


def test_small_photos_change_nothing_but_their_size(scenario: Scenario, tonight: Evening) -> None:
    small_ones = evening(scenario, 5, 2, small_photos=True)
    for left, right in zip(tonight.sites, small_ones.sites, strict=True):
        assert left.received_at_ms == right.received_at_ms
        assert left.photo_at_ms == right.photo_at_ms
        if left.by_app:
            assert SMALL_PHOTO_BYTES[0] <= right.photo_bytes <= SMALL_PHOTO_BYTES[1]


def test_readers_come_after_the_call_to_order_and_look_again_every_few_minutes(tonight: Evening) -> None:
    visits = [tonight.visit(reader) for reader in range(200)]
    assert all(visit.first_at_ms >= tonight.call_to_order_ms for visit in visits)
    assert all(MINUTE <= visit.every_ms <= 5 * MINUTE for visit in visits)
    assert len({visit.every_ms for visit in visits}) > 150


def test_draws_of_the_load_test_share_no_address_with_the_nights_own() -> None:
    assert not {int(stream) >> 2 for stream in Stream} & {int(purpose) >> 2 for purpose in Purpose}
    assert max(Purpose) < 1 << 12  # what an address has room for


def test_of_two_entries_the_one_on_the_worksheet_is_right() -> None:
    report = Report(10, {"a": 6, "b": 4}, {"a": 6, "b": 4}, {"a": 2, "b": 1})
    row = {
        "attendees": 10,
        "first_alignment": {"a": 6, "b": 4},
        "final": {"a": 6, "b": 4},
        "delegates": {"a": 2, "b": 1},
    }
    slip = {**row, "final": {"a": 4, "b": 6}}
    assert says(row, report)
    assert not says(slip, report)
    assert not says({**row, "attendees": 11}, report)
    assert not says({}, report)


def test_the_right_entry_is_the_worksheets_then_the_rooms(tonight: Evening) -> None:
    each = next(each for each in tonight.sites if each.true != each.worksheet)

    def row(report: Report) -> dict[str, object]:
        counts = {name: getattr(report, name) for name in ("first_alignment", "final", "delegates")}
        return {"attendees": report.attendees, **counts}

    other = row(Report(1, {}, {}, {}))
    assert right_entry(each, [row(each.worksheet), row(each.true)]) == 1
    assert right_entry(each, [other, row(each.worksheet)]) == 2
    assert right_entry(each, [row(each.true), other]) == 1
    assert right_entry(each, [other, other]) == 2
