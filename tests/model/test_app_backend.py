"""The night with a measured backend behind the app: what it asks, what hangs, and what chairs do then."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from loadtests.traffic.evening import evening_of
from loadtests.workload import night as requests_of
from simulation.night import Night, play_night
from simulation.night.backend import Phone
from simulation.night.divergence import first_difference
from simulation.night.metrics import WITH_BACKEND, expanded
from simulation.night.order import Call, Channel, Kind
from simulation.scenario import load
from tests.model.small_states import SmallState

ENGINES = ("simpy", "compiled")
SITES = 12
ROSTER = "county,precinct,delegates,attendance,stations,district\n" + "".join(
    f"Story,Ames {number},5,30,3,4\n" for number in range(1, SITES + 1)
)
BY_APP = {
    "turnout.people": "none",
    "app.tries": 1,
    "app.installed": 1,
    "app.no_signal": 0,
    "app.login_fails": 0,
    "app.submit_fails": 0,
    "app.asks_for_help": 0,
    "app.attempts": 3,
    "chairs.silent": 0,
    "chairs.untrained": 0,
}


def backend(*points: tuple[float, int, float], flow: str = "report", **more: object) -> dict[str, object]:
    """What a scenario says of a backend: points of load (a second), latency (ms), share of errors."""
    curve: dict[str, Any] = {"format": 1, "flow": flow, "night_per_s": 2.0, "capacity_per_s": 2.0}
    quantiles = ("p50_ms", "p90_ms", "p95_ms", "p99_ms")
    rows = [{"offered_per_s": at, "error_share": errors, **dict.fromkeys(quantiles, ms)} for at, ms, errors in points]
    return {
        "app.backend.curve": {**curve, "points": rows},
        **{f"app.backend.{key}": said for key, said in more.items()},
    }


IDEAL = backend((1e6, 0, 0.0))
DEAD = backend((0, 0, 1.0))


def play(folder: Path, said: dict[str, object], engine: str = "compiled") -> Night:
    return SmallState(ROSTER, BY_APP | said).play(folder, engine)


def kinds(night: Night) -> dict[int, int]:
    return dict(night.events["kind"].value_counts().iter_rows())


@pytest.mark.parametrize("flow", ["login", "report", "mix"])
def test_a_backend_that_answers_all_at_once_changes_nothing(flow: str, tmp_path: Path) -> None:
    without, ideal = play(tmp_path, {}), play(tmp_path, backend((1e6, 0, 0.0), flow=flow))
    assert without.events.equals(ideal.events)
    assert without.precincts.equals(ideal.precincts)
    assert {key: ideal.row[key] for key in without.row} == without.row
    assert set(ideal.row) - set(without.row) == set(expanded(WITH_BACKEND))


def test_a_report_comes_as_much_later_as_the_backend_takes(tmp_path: Path) -> None:
    ideal, slow = play(tmp_path, IDEAL), play(tmp_path, backend((1e6, 7_000, 0.0)))
    received = slow.played.received_at - ideal.played.received_at
    assert received.tolist() == [7_000] * SITES
    assert slow.row["backend_unanswered"] == 0


def test_what_takes_longer_than_the_app_waits_was_not_answered(tmp_path: Path) -> None:
    late = play(tmp_path, backend((1e6, 7_000, 0.0), timeout="6 s"))
    assert late.row["backend_unanswered"] == late.row["backend_requests"] > 0
    assert late.row["channels"][Channel.APP] == 0


def test_chairs_of_a_dead_backend_telephone_after_as_many_attempts_as_ever(tmp_path: Path) -> None:
    """Two steps from the room hang, each an attempt; one attempt is left when the worksheet is signed."""
    night = play(tmp_path, DEAD)
    assert night.row["channels"][Channel.APP] == 0
    assert night.row["channels"][Channel.PHONE] > 0
    assert night.played.app_attempts.tolist() == [3] * SITES
    assert night.played.phones[:, Phone.STEPS_HUNG].tolist() == [2] * SITES
    assert night.played.phones[:, Phone.REQUESTS].tolist() == [3 * 4] * SITES  # each sent, and three times again
    assert night.row["backend_hung"] == night.row["backend_drove_off"] == SITES
    assert kinds(night)[Kind.APP_FAILED] == SITES
    assert kinds(night)[Kind.UNANSWERED] == night.row["backend_unanswered"] == 12 * SITES


def test_chairs_whose_app_hung_often_enough_in_the_room_do_not_try_again(tmp_path: Path) -> None:
    simpy, night = (play(tmp_path, DEAD | {"app.attempts": 2}, engine) for engine in ENGINES)
    assert first_difference(simpy, night, ENGINES) is None
    assert night.played.app_attempts.tolist() == [2] * SITES
    assert Kind.APP_FAILED not in kinds(night)
    reports = night.calls.filter((pl.col("about") == Call.REPORT) & (pl.col("attempt") == 0))
    dialed = reports.sort("site")["dialed"].to_numpy()
    assert np.array_equal(dialed, night.played.ready_at)


def test_without_resends_each_request_is_sent_once_an_attempt(tmp_path: Path) -> None:
    night = play(tmp_path, DEAD | {"app.backend.resends": 0})
    assert night.played.phones[:, Phone.REQUESTS].tolist() == [3] * SITES


def test_chairs_without_a_working_app_ask_nothing(tmp_path: Path) -> None:
    for said in ({"app.installed": 0}, {"app.no_signal": 1}, {"chairs.silent": 1}, {"app.tries": 0}):
        assert play(tmp_path, DEAD | said).row["backend_requests"] == 0


def test_help_does_not_mend_the_backend(tmp_path: Path) -> None:
    night = play(tmp_path, DEAD | {"app.asks_for_help": 1, "app.help_solves": 1, "app.attempts": 5})
    assert night.row["channels"][Channel.APP] == 0


def test_what_hung_in_the_room_is_sent_with_the_report(tmp_path: Path) -> None:
    """The backend breaks under the head counts of all at once, and takes them later, with the reports."""
    together = {
        "chairs.missing": 0,
        "chairs.late": 0,
        "room.opening": "15 min",
        "room.count_per_person": "1 s",
        "room.recount": 0,
        "room.afterwards": {"uniform": {"low": "10 min", "high": "3 h"}},
        "app.backend.resends": 0,
    }
    night = play(tmp_path, backend((0.08, 0, 0.0), (0.1, 0, 1.0)) | together)
    phones = night.played.phones
    assert (phones[:, Phone.STEPS_HUNG] > 0).any()
    reported = night.played.channel == Channel.APP
    assert reported.sum() > SITES // 2
    answered = phones[:, Phone.REQUESTS] - phones[:, Phone.UNANSWERED]
    assert answered[reported].tolist() == [3] * int(reported.sum())  # head count, first alignment, final
    assert (phones[reported, Phone.WAITING] == 0).all()


def test_two_nights_on_one_backend_are_twice_the_load(tmp_path: Path) -> None:
    one, two = (play(tmp_path, IDEAL | {"app.backend.load": load_now}).row for load_now in (1, 2))
    assert two["backend_peak_micro"] == 2 * one["backend_peak_micro"] > 0
    assert two["backend_requests"] == one["backend_requests"]


def test_the_less_a_backend_holds_the_fewer_results_come_by_app() -> None:
    came = []
    for capacity in ("10 nights", "0.5 nights", "0.2 nights", "0.02 nights"):
        curve = backend((1.0, 50, 0.0), (2.0, 400, 0.002), (4.0, 9_000, 0.7), capacity=capacity)
        came.append(play_night(load("app-works", curve), 3, 0).row["channels"][Channel.APP])
    assert came == sorted(came, reverse=True)
    assert came[0] > 2 * came[-1] > 0


def test_the_night_asks_as_much_of_its_backend_as_the_load_test_does() -> None:
    """Both count the requests of the same chairs; what nobody waits for comes at other minutes: about the same."""
    for flow, wanted in (
        ("report", ("report.open", "report.first_alignment", "report.final")),
        ("mix", ("login", "report.open", "report.first_alignment", "report.final", "photo", "clerk")),
    ):
        ideal = backend((1e6, 0, 0.0), flow=flow)
        night = play_night(load("app-works", ideal), 3, 0, log=True)
        schedule = requests_of(evening_of(night, small_photos=True), 1).of(*wanted)
        at_s = np.sort(schedule.due_ns) / 1e9
        busiest = int(np.max(np.searchsorted(at_s, at_s + 60) - np.arange(len(at_s))))
        assert night.row["backend_peak_micro"] / 1e6 == pytest.approx(busiest, rel=0.25)


def test_on_a_coarse_clock_resends_meet_the_end_of_the_room_alike(tmp_path: Path) -> None:
    """On a clock of a minute a chair signs the worksheet in the very tick in which the app sends again."""
    for resolution in ("1 s", "1 min", "10 min"):
        said = backend((0.01, 0, 0.3), (0.05, 20_000, 0.8), flow="mix", resends=6, timeout="2 min") | {
            "clock.resolution": resolution,
            "room.afterwards": "5 min",
        }
        simpy, compiled = (play(tmp_path, said, engine) for engine in ENGINES)
        assert simpy.row["backend_unanswered"] > SITES
        assert first_difference(simpy, compiled, ENGINES) is None


def test_a_night_at_full_size_whose_backend_breaks_is_the_same_on_both_engines() -> None:
    said = backend((1.0, 50, 0.0), (2.0, 400, 0.002), (4.0, 9_000, 0.7), flow="mix", capacity="0.3 nights")
    simpy, compiled = (play_night(load("app-works", said), 4, 1, engine=engine, log=True) for engine in ENGINES)
    assert simpy.row["backend_hung"] > 500
    assert first_difference(simpy, compiled, ENGINES) is None
