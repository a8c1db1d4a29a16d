"""The pages of load tests: the finding first, everything in one file, nothing that did not happen."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from loadtests.breaking_point import STAYS_DOWN, BreakingPoint, Tried
from loadtests.report.advice import advice
from loadtests.report.answer import answer
from loadtests.report.break_page import page as break_page
from loadtests.report.junit import checks_of_break
from loadtests.report.soak_page import page as soak_page
from loadtests.report.stampede_page import page as stampede_page
from loadtests.report.words import latency, middle, resource_name, significant, span
from loadtests.search.recovery import Recovery
from loadtests.traffic.replay import LET_IN, Replayed, plan, replayed
from loadtests.trial import Trial
from simulation.words import plain
from tests.unit.loadtests.load_runs import (
    CLEAN,
    DIRTY,
    NIGHT_OPERATIONS,
    NOT_LOOKED_AT,
    about,
    answered,
    night_page,
    point,
    replay,
    soaked,
    stampede,
)


def told(one: BreakingPoint, broke_at: str | None = None, ledger: Mapping[str, Any] | None = CLEAN) -> str:
    return plain(answer(one, broke_at, ledger)).replace("\N{EN DASH}", "-")


def test_the_first_sentence_is_the_whole_answer():
    one = replace(point(), requests_per_s=(21.4, 25.3), limited_by="service.cpu", recoveries=())
    assert told(one) == (
        "Breaks at 14 times the busiest minute of caucus night (12.6-14.9), at the log-in, because of CPU of the "
        "service; nothing acknowledged was lost."
    )


def test_it_says_how_the_backend_comes_back_and_that_retries_keep_it_down():
    said = told(point())
    assert re.search(
        r"after overload it recovers in [0-9.]+ s, but not while clients try 3 times again \(metastable\)", said
    )


def test_it_says_what_was_lost():
    assert told(point(), ledger=DIRTY).endswith("3 lost of 4,321 acknowledged writes.")


def test_of_a_mix_it_names_the_operation_that_broke():
    mix = replace(point(), flow="mix", recoveries=())
    assert "with everything at once" in told(mix)
    assert "at the log-in" in told(mix, broke_at="login")


def test_where_nothing_broke_no_breaking_point_is_claimed():
    one = replace(point(), requests_per_s=(40.0, None), valid=False, why="the generator is the limit", recoveries=())
    assert told(one).startswith("Does not break up to 24 times the busiest minute of caucus night (40.0/s)")


def test_a_search_whose_trials_are_all_void_says_that_it_says_nothing():
    busy = {"one": [0.95] * 10}
    void = [
        each._replace(trial=Trial(replace(each.trial.sample, cpu=busy)))
        for each in point().trials[:2]
        if isinstance(each.trial, Trial)
    ]
    assert [bool(each.trial.void) for each in void] == [True, True]
    one = replace(point(), requests_per_s=(0.0, None), valid=False, why="the generator was busy",
                  limited_by=None, broke=(), trials=tuple(void), recoveries=())  # fmt: skip
    text = plain(break_page([one, replace(one, flow="report")], about("break")))
    assert "the generator was busy; this is no valid answer" in text
    assert "Says nothing about what it takes, at the log-in: the generator was busy" in text
    assert "Where these flows break is not known" in text


def test_an_answer_that_is_not_valid_is_marked_on_the_page():
    one = replace(point(), valid=False, why="17 % wide when time was up")
    assert "17 % wide when time was up; this is no valid answer." in break_page([one], about("break"))


def test_what_is_lost_is_to_be_fixed_before_what_is_slow():
    fixes = advice([point()], DIRTY)
    assert fixes[0].what == "Acknowledge a write only once it is stored"
    assert fixes[1].what.startswith("Refuse early at the log-in")
    assert "CPU of the service was used up" in fixes[2].why


def test_where_no_resource_ran_out_one_is_told_to_look_for_what_waits():
    fixes = advice([replace(point(), limited_by=None, recoveries=())], None)
    assert [fix.what for fix in fixes] == [
        "Look for what waits at the log-in: a lock, a pool of connections, a queue with a limit"
    ]


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return {
        "break": break_page([point()], about("break")),
        "flows": break_page([point(), point("mix", 90.0, None)], about("break", ledger=DIRTY)),
        "replay": night_page(replay(tmp_path_factory.mktemp("night"))),
        "spike": stampede_page(stampede(), about("spike")),
        "soak": soak_page(soaked(leak_mb=1.0), about("soak")),
    }


def test_pages_hold_everything_and_ask_nobody_for_anything(pages: dict[str, str]):
    for text in pages.values():
        assert not re.search(r"(src|href)=\"(?!#)", text)
        assert "url(http" not in text
        assert "@import" not in text


def test_no_two_elements_share_an_id(pages: dict[str, str]):
    for name, text in pages.items():
        ids = re.findall(r' id="([^"]+)"', text)
        assert len(ids) == len(set(ids)), name


def test_every_picture_has_its_table(pages: dict[str, str]):
    for text in pages.values():
        for panel in re.findall(r'<div class="panel">(.*?)(?=<div class="panel">|</section>)', text, re.DOTALL):
            assert '<figure class="figure"' not in panel or "<table>" in panel


def test_no_page_says_that_nothing_was_lost_where_nobody_looked(pages: dict[str, str]):
    text = plain(break_page([point()], about("break", ledger=NOT_LOOKED_AT)))
    assert "whether anything acknowledged was lost is not known: the mapping has no [stored]" in text
    for claim in ("othing lost", "nothing acknowledged was lost", "are stored as they were sent"):
        assert claim not in text
        assert claim == "othing lost" or claim in plain(pages["break"])


def test_faults_are_marked_and_listed(pages: dict[str, str]):
    for text in pages.values():
        assert "stall clients at 10 s for 2 s" in text


def test_equal_runs_give_equal_pages():
    assert soak_page(soaked(), about("soak")) == soak_page(soaked(), about("soak"))


def test_a_soak_without_drift_says_so_and_one_with_a_leak_names_it(pages: dict[str, str]):
    assert "nothing drifts" in soak_page(soaked(), about("soak"))
    assert "memory of the service drifts upwards" in pages["soak"]


def test_a_replay_stands_on_the_nights_own_clock(pages: dict[str, str]):
    assert "clock time" in pages["replay"]
    assert "acknowledged by the backend" in pages["replay"]
    assert "held by headquarters, simulated" in pages["replay"]


def replay_without(folder: Path, *operations: str) -> Replayed:
    """Of a backend that lacks these, all of it answered well."""
    whole = replay(folder).plan
    has = [name for name in NIGHT_OPERATIONS if name not in operations]
    less = plan(whole.played, whole.evening, has, speed=whole.speed, readers=3)
    return replayed(less, answered(less.schedule, 0.02))


def test_a_replay_misses_no_result_that_it_never_asked_for(tmp_path: Path):
    whole = replay(tmp_path)
    text = plain(night_page(whole))
    assert "of 20 precincts<" in text
    assert "left out" not in text
    found = replay_without(tmp_path, "clerk")
    keyed = sum(each.keyed_by_staff for each in found.plan.evening.sites)
    assert keyed > 1
    text = plain(night_page(found))
    assert "not acknowledged by the end" not in text
    assert f"{keyed} results of the simulation are left out: the mapping has no [clerk]." in text
    assert f"of {20 - keyed} precincts that take part" in text
    late = replayed(found.plan, answered(found.plan.schedule, 0.02, lambda sample: np.zeros(len(sample), bool)))
    by_app = sum(each.by_app for each in found.plan.evening.sites)
    assert f"{by_app} results of the simulation were not acknowledged by the end" in plain(night_page(late))


def test_a_replay_of_readers_alone_says_nothing_of_results(tmp_path: Path):
    text = plain(night_page(replay_without(tmp_path, *(name for name in NIGHT_OPERATIONS if name != "results"))))
    assert "results acknowledged" not in text
    assert "acknowledged by the backend" not in text
    assert "are left out: the mapping has no [report]." in text


def test_a_replay_says_first_that_wrong_pins_were_let_in(tmp_path: Path):
    found = replay(tmp_path)
    assert "with a wrong PIN" not in night_page(found)
    sample = replace(found.trial.sample, problems={LET_IN: 2, "photo: HTTP 500": 3})
    text = plain(night_page(replace(found, trial=replace(found.trial, sample=sample))))
    assert "2 log-ins with a wrong PIN were let in." in text
    assert "3 times: photo: HTTP 500." in text
    assert LET_IN not in text


def test_a_replay_says_which_objectives_it_missed(tmp_path: Path):
    found = replay(tmp_path)
    assert "Every objective was met." in night_page(found)
    slow = answered(found.plan.schedule, 3.0)
    assert re.search(r"Missed: p99\(latency\) \d", plain(night_page(replace(found, trial=slow))))


def test_figures_read_as_people_write_them():
    assert [significant(value, 3) for value in (1234.5, 23.46, 0.0123, 0)] == ["1,230", "23.5", "0.0123", "0"]
    assert (middle(12.6, 14.9), span(12.6, 14.9)) == ("14", "12.6\N{EN DASH}14.9")
    assert span(1001.0, 1004.0) == "1,001\N{EN DASH}1,004"
    assert [plain(latency(value)) for value in (0.0042, 0.25, 1.5, None)] == ["4.2 ms", "250 ms", "1.50 s", "never"]
    assert resource_name("database.cpu") == "CPU of the database"
    assert resource_name("metrics.caucus_hashes_waiting") == "what waited for its turn (caucus_hashes_waiting)"


def test_a_page_says_when_the_generator_fell_short(tmp_path: Path):
    found = replay(tmp_path)
    late = replace(found.trial.sample, cpu={"one": [0.99]})
    text = night_page(replace(found, trial=replace(found.trial, sample=late)))
    assert "The generator fell short" in text


# What else a search may come to


def nothing_broke(why: str) -> BreakingPoint:
    return replace(point(), requests_per_s=(40.0, None), valid=False, why=why, limited_by=None, recoveries=())


def test_where_nothing_broke_the_sentence_says_why():
    one = nothing_broke("the generator is the limit: it cannot give 50/s")
    assert told(one) == (
        "Does not break up to 24 times the busiest minute of caucus night (40.0/s), at the log-in; the generator is "
        "the limit: it cannot give 50/s; nothing acknowledged was lost."
    )
    several = plain(break_page([one, point("mix", 90.0)], about("break")))
    assert "does not break up to 24 nights; the generator is the limit: it cannot give 50/s." in several


def test_a_backend_that_stayed_down_is_told_also_where_the_answer_is_good_enough():
    one = replace(point(), valid=True, why=STAYS_DOWN)
    assert "the backend did not come back within a minute of rest" in told(one)
    assert "did not come back within a minute of rest after it was overloaded." in break_page([one], about("break"))
    narrow = replace(point(), valid=True, why="7 % wide: arrivals at 200/s vary that much in a step")
    assert "wide" not in told(narrow)


def unknown(one: Recovery) -> Recovery:
    return replace(one, recovery_s=None, metastable=None, why="the generator was late: p99 30 ms")


def test_a_recovery_that_nobody_measured_is_told_with_its_reason():
    one = replace(point(), recoveries=(), recovery_unknown="too few requests are left")
    text = plain(break_page([one, point("mix", 90.0)], about("break")))
    assert "Whether it comes back from an overload is not known" in text
    assert "Too few requests are left." in text
    assert ">not known<" in text
    (check, *_) = checks_of_break([one], [], CLEAN)
    assert check.says.endswith(", recovery not known: too few requests are left")
    assert "recovery not known" not in checks_of_break([point()], [], CLEAN)[0].says
    alone, _ = point().recoveries
    said = replace(point(), recoveries=(alone,), recovery_unknown="an overload could send more than 50")
    page = plain(break_page([said], about("break")))
    assert "What clients do to it that try again is not known: an overload could send more than 50." in page
    void = replace(point(), recoveries=(unknown(alone),))
    assert checks_of_break([void], [], CLEAN)[0].says.endswith("recovery not known: the generator was late: p99 30 ms")


def test_a_backend_is_metastable_with_retries_also_where_nothing_is_known_without():
    alone, insisting = point().recoveries
    assert insisting.metastable
    one = replace(point(), recoveries=(unknown(alone), insisting))
    assert "after overload it does not come back while clients try 3 times again (metastable)" in told(one)
    text = plain(break_page([one], about("break")))
    assert "It stays down after an overload while clients try again: it is metastable" in text


def test_a_time_to_recovery_that_is_not_known_is_not_0():
    alone, insisting = point().recoveries
    fine = replace(insisting, recovery_s=4.0, metastable=False, why=None)
    one = replace(point(), recoveries=(unknown(alone), fine))
    text = plain(break_page([one, replace(point("mix", 90.0), recoveries=())], about("break")))
    table = text[text.index('id="flows-table-caption"') :].split("</table>")[0]
    assert "not known" in table
    assert "0 s" not in table


def test_what_was_used_stands_beside_what_ran_out():
    def using(share: float, tried: Tried) -> Tried:
        assert isinstance(tried.trial, Trial)
        used = {"service.cpu": share, "service.memory_mb": 210.0, "machine.cpu": 0.5, "metrics.hashes_waiting": 3.0}
        return tried._replace(trial=replace(tried.trial, resources=used))

    trials = tuple(using(0.61 if one.judgement.holds else 0.97, one) for one in point().trials)
    text = plain(break_page([replace(point(), trials=trials)], about("break")))
    assert "CPU of the service ran out where it broke" in text
    row = re.search(r"<tr><th[^>]*>service: cores</th>(.*?)</tr>", text, re.DOTALL)
    assert row is not None
    assert re.findall(r"<td[^>]*>([^<]*)</td>", row[1]) == ["0.61", "0.97"]
    assert re.search(r"gauges-table.*?<th[^>]*>hashes_waiting</th><td[^>]*>3</td>", text, re.DOTALL)
    assert "used-table" not in break_page([point()], about("break"))  # nothing was watched


def test_who_could_not_look_does_not_say_what_was_not_used_up():
    blind = replace(point(), limited_by=None, recoveries=())
    assert "nobody could look whether processor or disk was used up" in advice([blind], None)[0].why
    watched = tuple(
        one._replace(trial=replace(one.trial, resources={"service.cpu": 0.4}))
        for one in point().trials
        if isinstance(one.trial, Trial)
    )
    assert "neither processor nor disk was used up" in advice([replace(blind, trials=watched)], None)[0].why


def test_trials_stand_in_time_where_their_load_began():
    first, *others = point().trials
    one = replace(point(), trials=(first._replace(load_at_s=7.5), *others))
    assert "7.5 s" in plain(break_page([one], about("break")))
