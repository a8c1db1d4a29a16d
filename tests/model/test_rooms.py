"""The evening of each precinct: what happens before what, who may report, and when the public hears of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from simulation.night import Night, play_night
from simulation.night.order import Call, Channel, Kind
from simulation.roster import synthesize
from simulation.scenario import Scenario, library, load
from simulation.scenario.values import DAY, HOUR, MINUTE

SEED = 3
CALL_TO_ORDER = 19 * HOUR
PHASES = (
    Kind.CALLED_TO_ORDER,
    Kind.COUNTED,
    Kind.ALIGNED,
    Kind.REALIGNED,
    Kind.READY,
    Kind.RECEIVED,
    Kind.STOPPED,
    Kind.REVIEWED,
    Kind.RELEASED,
)

Play = Callable[..., Night]


@pytest.fixture(scope="module")
def roster(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fifty synthesized sites of all sizes, satellites and precincts of one delegate among them."""
    header, *every = synthesize("iowa-2020").csv().splitlines(keepends=True)
    satellites = [row for row in every if ",satellite," in row][::20]
    single = [row for row in every if row.split(",")[4] == "1"][:5]
    spread = [row for row in every[::43] if row not in satellites + single]
    path = tmp_path_factory.mktemp("rooms") / "fifty.csv"
    path.write_text("".join([header, *satellites, *single, *spread]))
    return path


@pytest.fixture(scope="module")
def play(roster: Path) -> Play:
    """`play(name, overrides, night)`: a library night on those sites, with its log."""

    def played(name: str = "iowa-2020", overrides: Mapping[str, object] | None = None, night: int = 0) -> Night:
        return play_night(scenario_on(roster, name, overrides), SEED, night, log=True)

    return played


def scenario_on(roster: Path, name: str, overrides: Mapping[str, object] | None = None) -> Scenario:
    return load(name, {"turnout.people": "none"} | dict(overrides or {}), roster)


@pytest.fixture(scope="module", params=sorted(library()))
def night(request: pytest.FixtureRequest, play: Play) -> Night:
    """One night of each scenario of the library."""
    return play(request.param)


def times(night: Night, kind: Kind) -> dict[str, int]:
    """When something happened at each site; it happens once."""
    found = night.events.filter(pl.col("kind") == int(kind)).select("place", "at_ms").rows()
    assert len(dict(found)) == len(found), f"{kind.name} happened twice"
    return dict(found)


# Every night of the library


def test_the_parts_of_an_evening_come_in_order(night: Night) -> None:
    """At every site, each at most once: called to order, counted, aligned ... received, reviewed, released."""
    before: dict[str, int] = {}
    for kind in PHASES:
        for place, at in times(night, kind).items():
            assert at >= before.get(place, 0), f"{place}: {kind.name} too early"
            before[place] = at


def test_every_room_is_called_to_order_and_gets_ready(night: Night) -> None:
    assert times(night, Kind.CALLED_TO_ORDER).keys() == times(night, Kind.READY).keys() == set(night.setting.roster.ids)


def test_no_room_begins_before_its_line_is_gone_its_chair_is_there_and_it_is_seven(night: Night) -> None:
    frame = night.precincts
    called = night.setting.call_to_order
    assert (frame["started_at_ms"] >= called).all()
    assert (frame["started_at_ms"] >= frame["last_in_at_ms"]).all()
    assert (frame["started_at_ms"] >= frame["chair_there_at_ms"]).all()
    at_once = frame.filter((pl.col("move_ms") == 0) & (pl.col("last_in_at_ms") <= pl.col("chair_there_at_ms")))
    assert at_once.height > 0
    assert (at_once["started_at_ms"] == at_once["chair_there_at_ms"]).all()


def test_nobody_reports_before_the_worksheet_is_signed(night: Night) -> None:
    frame = night.precincts.filter(pl.col("reported_at_ms") >= 0)
    assert (frame["reported_at_ms"] >= frame["ready_at_ms"]).all()
    ready = dict(night.precincts.select("id", "ready_at_ms").rows())
    ids = night.setting.roster.ids
    reports = [call for call in night.played.each_call() if call.about == Call.REPORT]
    assert all(call.dialed >= ready[ids[call.site]] for call in reports)
    assert all(at >= ready[place] for place, at in times(night, Kind.SENT).items())


def test_every_result_comes_in_unless_it_is_lost_for_good(night: Night) -> None:
    """No chair starves in a queue: by the end of the simulation headquarters holds what can be held."""
    missing = night.precincts.filter(pl.col("reported_at_ms") < 0)
    spec = night.setting.spec
    assert missing.height == 0 or spec.hand_delivery.lost.high > 0
    assert (night.precincts["released_at_ms"] >= 0).sum() == (night.precincts["reported_at_ms"] >= 0).sum()


def test_a_result_has_a_channel_exactly_where_it_is_held(night: Night) -> None:
    frame = night.precincts
    assert ((frame["channel"] == int(Channel.NONE)) == (frame["reported_at_ms"] < 0)).all()
    by_app = frame.filter(pl.col("channel") == int(Channel.APP))
    assert (by_app["app_attempts"] >= 1).all()
    by_phone = frame.filter(pl.col("channel") == int(Channel.PHONE))
    assert (by_phone["calls"] >= 1).all()


def test_every_call_ends_after_it_was_answered_and_is_answered_after_it_was_dialed(night: Night) -> None:
    for call in night.played.each_call():
        assert call.answered == -1 or call.answered >= call.dialed
        assert call.ended >= max(call.dialed, call.answered)


def test_the_row_of_a_night_adds_up(night: Night) -> None:
    row, frame = night.row, night.precincts
    assert row["people"] == frame["people"].sum()
    assert sum(row["channels"]) == row["sites"] == frame.height
    assert row["reported"] == sorted(row["reported"])
    assert all(out <= held for out, held in zip(row["released"], row["reported"], strict=True))
    assert row["calls"] == sum(row["calls_by_kind"]) == len(night.played.calls)
    assert 0 <= row["caught"] <= row["wrong_on_receipt"] <= row["sites"]
    assert min(row["in_line"]) >= 0
    assert min(row["queue_by_grid"]) >= 0
    assert min(row["busy_by_grid"]) >= 0
    assert row["operators_busy_ms"] >= 0


# Single levers


def test_rooms_of_one_delegate_do_not_realign(play: Play) -> None:
    played = play()
    single = {name for name, d in zip(played.setting.roster.ids, played.setting.delegates, strict=True) if d == 1}
    assert single
    assert not single & times(played, Kind.REALIGNED).keys()


def test_rooms_in_which_every_group_is_viable_do_not_realign(play: Play) -> None:
    played = play(overrides={"preference.candidates": {"a": 1, "b": 1}, "preference.local_spread": 1})
    viable = dict(played.events.filter(pl.col("kind") == int(Kind.ALIGNED)).select("place", "value").rows())
    all_viable = {place for place, groups in viable.items() if groups == 2}
    assert len(all_viable) > 20
    assert not all_viable & times(played, Kind.REALIGNED).keys()


def test_nothing_is_released_before_the_end_of_a_hold(play: Play) -> None:
    played = play()
    until = played.setting.spec.headquarters.release.until
    assert until == DAY + 16 * HOUR
    released = np.array(list(times(played, Kind.RELEASED).values()))
    assert released.min() == until
    assert (released > until).any()  # those whose paper was checked later


def test_results_that_came_before_a_hold_are_out_already(play: Play) -> None:
    hold = {"headquarters.release.hold_from": "21:00", "headquarters.release.until": "+1d 16:00"}
    frame = play("baseline", hold).precincts
    early = frame.filter(pl.col("cleared_at_ms") < 21 * HOUR)
    late = frame.filter(pl.col("cleared_at_ms") >= 21 * HOUR)
    assert early.height > 5
    assert late.height > 5
    assert (early["released_at_ms"] == early["cleared_at_ms"]).all()
    assert (late["released_at_ms"] >= DAY + 16 * HOUR).all()


def test_without_a_hold_a_result_is_out_as_soon_as_it_is_clear(play: Play) -> None:
    frame = play("baseline").precincts
    assert (frame["released_at_ms"] == frame["cleared_at_ms"]).all()


def test_what_was_not_reported_is_not_counted(play: Play) -> None:
    played = play("baseline", {"clock.until": "21:15"})
    held = played.played.received_at >= 0
    assert 0 < held.sum() < len(held)
    worth = played.setting.worth(played.played.reported)
    assert played.row["sde_reported_nano"] == worth[held].sum(axis=0).tolist()
    assert (played.played.reported[~held] == 0).all()
    assert played.row["channels"][Channel.NONE] == (~held).sum()
    assert sum(played.row["sde_true_nano"]) > sum(played.row["sde_reported_nano"])
    assert not (played.precincts.filter(pl.col("reported_at_ms") < 0)["wrong"] != 0).any()


def test_an_untrained_chair_takes_longer_for_everything(play: Play) -> None:
    trained = play("baseline", {"chairs.untrained": 0, "chairs.missing": 0})
    untrained = play("baseline", {"chairs.untrained": 1, "chairs.missing": 0, "chairs.slowdown": 1.5})
    for one, other in zip(trained.setting.rooms, untrained.setting.rooms, strict=True):
        for part in ("opening", "one_count", "first", "realignment", "afterwards"):
            assert getattr(other, part) == getattr(one, part) * 3 // 2
        assert (other.chair_there, other.move, other.counts) == (one.chair_there, one.move, one.counts)


def test_a_room_without_a_chair_waits_until_somebody_is_drafted(play: Play) -> None:
    frame = play("baseline", {"chairs.missing": 1, "chairs.drafted_after": "12 min"}).precincts
    assert frame["chair_missing"].min() == 1
    assert frame["chair_untrained"].min() == 1
    assert (frame["chair_there_at_ms"] == CALL_TO_ORDER + 12 * MINUTE).all()


def test_a_room_that_is_too_small_moves_and_one_without_a_known_limit_never_does(play: Play) -> None:
    played = play("baseline", {"room.move": "20 min"})
    capacity, people = played.setting.roster.capacity, played.setting.people
    moved = np.array([room.move for room in played.setting.rooms])
    assert (moved == np.where((capacity > 0) & (people > capacity), 20 * MINUTE, 0)).all()
    assert 0 < (moved > 0).sum() < len(moved)


def test_counts_are_repeated_at_most_twice(play: Play) -> None:
    assert set(play("baseline", {"room.recount": 1}).precincts["counts"]) == {3}
    assert set(play("baseline", {"room.recount": 0, "room.miscount": 0}).precincts["counts"]) == {1}


# The app and the telephone


def test_an_app_that_works_brings_everything_in_by_itself(play: Play) -> None:
    works = {"app.tries": 1, "app.installed": 1, "app.no_signal": 0, "app.login_fails": 0, "app.submit_fails": 0}
    frame = play("baseline", works | {"chairs.silent": 0}).precincts
    assert set(frame["channel"]) == {int(Channel.APP)}
    assert set(frame["app_attempts"]) == {1}


def test_precincts_of_one_delegate_call_where_the_app_does_not_accept_them(play: Play) -> None:
    works = {"app.tries": 1, "app.installed": 1, "app.no_signal": 0, "app.login_fails": 0, "app.submit_fails": 0}
    played = play("baseline", works | {"chairs.silent": 0, "app.single_delegate": False})
    single = played.setting.delegates == 1
    assert single.any()
    assert (played.played.channel[single] == Channel.PHONE).all()
    assert (played.played.channel[~single] == Channel.APP).all()


def test_nothing_is_submitted_while_the_app_is_out(play: Play) -> None:
    outage = {"app.outages": [{"from": "20:30", "to": "21:15"}], "app.tries": 1, "app.installed": 1}
    submitted = np.array(list(times(play("baseline", outage), Kind.SUBMITTED).values()))
    assert not ((submitted >= 20 * HOUR + 30 * MINUTE) & (submitted < 21 * HOUR + 15 * MINUTE)).any()
    assert (submitted < 20 * HOUR + 30 * MINUTE).any()
    assert (submitted >= 21 * HOUR + 15 * MINUTE).any()


def test_a_report_that_the_app_acknowledged_and_lost_comes_in_only_when_headquarters_asks(play: Play) -> None:
    played = play("baseline", {"app.lost": 1, "app.tries": 1, "app.installed": 1})
    assert Channel.APP not in played.played.channel
    submitted = times(played, Kind.SUBMITTED)
    received = times(played, Kind.RECEIVED)
    channel = dict(zip(played.setting.roster.ids, played.played.channel.tolist(), strict=True))
    assert len(submitted) > 30
    assert all(channel[place] == Channel.REACHED and received[place] >= at for place, at in submitted.items())


def test_chairs_who_never_report_are_reached(play: Play) -> None:
    played = play("baseline", {"chairs.silent": 1, "chairs.reached": "2 h"})
    assert set(played.played.channel.tolist()) == {int(Channel.REACHED)}
    expected = np.maximum(played.played.ready_at, CALL_TO_ORDER + 2 * HOUR)
    assert (played.played.received_at == expected).all()


def test_a_hotline_that_is_closed_leaves_results_for_the_morning(play: Play) -> None:
    played = play("baseline", {"hotline.operators": 0, "app.tries": 0, "chairs.silent": 0})
    assert set(played.played.channel.tolist()) == {int(Channel.HAND)}
    assert played.played.received_at.min() >= DAY + 8 * HOUR  # 13 hours after the call to order
    assert played.row["answered"] == 0


def test_blocked_strangers_do_not_call_again(play: Play) -> None:
    calls = [{"from": "20:00", "to": "22:00", "calls_per_hour": 60}]
    levers = {"hotline.nuisance": calls, "hotline.redial.nuisance": 1, "hotline.block_after": 2, "hotline.silent": 0}
    played = play("baseline", levers)
    answered: dict[int, int] = {}
    for call in played.played.each_call():
        if call.about == Call.NUISANCE and call.answered >= 0:
            answered[call.entity] = answered.get(call.entity, 0) + 1
    assert len(answered) > 50
    assert set(answered.values()) == {2}


def test_busy_callers_turn_to_the_inbox_where_somebody_reads_it(play: Play) -> None:
    levers = {"app.tries": 0, "chairs.silent": 0, "hotline.operators": 1, "hotline.lines": 1, "inbox.chairs": 1}
    read = play("baseline", levers).played.channel
    assert (read == Channel.INBOX).sum() > 30
    unread = play("baseline", levers | {"inbox.readers": 0}).played.channel
    assert (unread == Channel.INBOX).sum() == 0


def test_an_inbox_is_read_from_its_opening_on_and_by_so_many_at_a_time(play: Play) -> None:
    levers = {"app.tries": 0, "chairs.silent": 0, "hotline.operators": 1, "hotline.lines": 1, "inbox.chairs": 1}
    played = play("baseline", levers | {"inbox.opens": "23:00", "inbox.readers": 2, "inbox.reading": "10 min"})
    read = np.sort(played.played.received_at[played.played.channel == Channel.INBOX])
    expected = 23 * HOUR + 10 * MINUTE * (1 + np.arange(len(read)) // 2)
    assert len(read) > 30
    assert (read == expected).all()  # all of them were sent before eleven


def test_reviews_wait_for_a_reviewer(play: Play) -> None:
    levers = {"headquarters.keying.phone": 0.2, "headquarters.keying.app": 0.2, "headquarters.reviewers": 1}
    played = play("baseline", levers | {"headquarters.review": "10 min"})
    reviewed = np.sort(np.array(list(times(played, Kind.REVIEWED).values())))
    assert len(reviewed) > 30
    assert (np.diff(reviewed) >= 10 * MINUTE).all()
    assert (np.diff(reviewed) == 10 * MINUTE).any()
