"""The event log tells the night in the order in which it happened, on any clock, and without the roster's order."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from simulation.night import Night, play_night
from simulation.night.order import Kind, Rank
from simulation.roster import synthesize
from simulation.scenario import load

SITES = 60


def _night(folder: Path, tick: str, without: str = "") -> Night:
    """A hotline that is jammed: sixty precincts, one operator, then two."""
    lines = synthesize("iowa-2020").csv().splitlines()[: SITES + 1]
    file = folder / "roster.csv"
    file.write_text("\n".join(line for line in lines if not without or not line.startswith(without)) + "\n")
    shifts = [{"from": "18:00", "to": "+1d 02:00", "count": 1}, {"from": "21:00", "to": "+1d 02:00", "count": 1}]
    settings = {"clock.resolution": tick, "hotline.operators": shifts, "turnout.people": "none"}
    return play_night(load("iowa-2020", settings, file), 7, 0, log=True)


@pytest.mark.parametrize("tick", ["1 ms", "1 s", "1 min"])
def test_read_from_the_top_no_operator_is_on_two_calls(tmp_path: Path, tick: str) -> None:
    """A call ends before its operator answers the next one, also where both happen in the same tick."""
    on_duty = busy = answered = 0
    for kind, value in _night(tmp_path, tick).events.select("kind", "value").rows():
        if kind == Kind.ON_DUTY:
            on_duty = value
        elif kind == Kind.ANSWERED:
            busy, answered = busy + 1, answered + 1
            assert busy <= max(on_duty, 0)
        elif kind == Kind.CALL_ENDED:
            busy -= 1
    assert answered > SITES / 2


def test_what_happens_inside_an_event_has_its_rank(tmp_path: Path) -> None:
    """Who is answered because a call ended is answered by the rank of ends, who finds a free line by that of dials."""
    ranks = _night(tmp_path, "1 ms").events.filter(pl.col("kind") == Kind.ANSWERED)["rank"].unique().sort().to_list()
    assert {Rank.CALL_ENDS, Rank.DIALS} <= set(ranks) <= {Rank.CALL_ENDS, Rank.SHIFT_CHANGES, Rank.DIALS}


def test_a_precinct_less_leaves_the_log_of_all_other_doors_as_it_was(tmp_path: Path) -> None:
    """Nothing in the log is a place in the roster's order."""
    whole = _night(tmp_path, "1 ms").events
    gone = "Adair/Adair 2"
    less = _night(tmp_path, "1 ms", without=f"{gone},").events
    doors = [kind.value for kind in (Kind.JOINED, Kind.SERVED, Kind.CHECKED_IN, Kind.CALLED_TO_ORDER, Kind.READY)]

    def others(log: pl.DataFrame) -> list[tuple[int, ...]]:
        return sorted(log.filter(pl.col("kind").is_in(doors) & (pl.col("place") != gone)).rows())

    assert less.filter(pl.col("place") == gone).is_empty()
    assert others(whole) == others(less)
