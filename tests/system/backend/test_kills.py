"""kill -9 while chairs report, history's faults, and intruders: short forms of the benchmarks of these names."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from benchmarks import backend_intruders, backend_kills
from loadtests.backend.settings import QUEUE, Hashing
from loadtests.backend.writer import BATCH

CHAIRS, SITES = 6, 12
SHORT = ("--quiet", "0.5", "--attack", "3", "--settle", "0.3", "--onset", "1", "--warm-up", "0")


@pytest.mark.parametrize(("database", "victims"), backend_kills.VICTIMS.items())
def test_no_acknowledged_write_is_lost_or_doubled_by_kill_9(database: str, victims: tuple[str, ...], tmp_path: Path):
    told, missed = backend_kills.killed(database, tmp_path, dict.fromkeys(victims, 1), CHAIRS, SITES, 1)
    # how soon it is ready again is for the benchmark to say: here others work on the same cores
    assert [one for one in missed if "ready again" not in one] == []
    assert told["acknowledged"] > 2 * CHAIRS * len(victims)
    assert told["no_answer"] + told["busy"] > 0, "nobody noticed the kills"


def test_the_ledger_finds_figures_that_nobody_released_and_repeats_that_are_stored_twice(tmp_path: Path):
    told = backend_kills.faulty(["partial_published", "no_idempotency"], tmp_path, CHAIRS, SITES, 1)
    assert backend_kills.FOUND_BY["partial_published"](told), told
    assert backend_kills.FOUND_BY["no_idempotency"](told), told
    assert told["lost"] == told["altered"] == 0


def test_a_full_queue_turns_away_at_once_while_the_database_stands_still(tmp_path: Path):
    told = backend_kills.stalled([], tmp_path, writes=QUEUE + 2 * BATCH, seconds=2)
    assert told["most_waiting"] <= QUEUE + BATCH
    assert told["turned_away"] > 0
    assert told["taken"] + told["turned_away"] == told["writes"]
    assert told["turned_away_within_s"] < told["stood_still_s"]


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="pins processes to cores as Linux does")
def test_no_intruder_gets_anywhere(tmp_path: Path):
    asked = backend_intruders.arguments(
        ["--attempts", "2000", "--rate", "600", "--intruders", "300", "--log-ins", "2", *SHORT]
    )
    scenario = backend_kills.state(tmp_path, 60)
    told, missed = backend_intruders.attacked(str(scenario), tmp_path, asked, Hashing(memory_kib=8, passes=1))
    # how long the chairs wait is for the benchmark to say
    assert [one for one in missed if "p99" not in one] == []
    assert told["attempts"] >= 2000
    assert told["succeeded"] == 0
    assert told["sessions"] > 0, "nobody at all was let in"
