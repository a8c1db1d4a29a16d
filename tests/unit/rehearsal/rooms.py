"""Small rooms for tests: a dozen precincts, a clock that only counts, and all that can be seen of a room."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

from simulation.rehearsal.event import ROOM
from simulation.rehearsal.room import Room
from simulation.rehearsal.running import Joined, Rehearsal
from simulation.scenario import Scenario, load

_COLUMNS = ("county", "precinct", "kind", "delegates", "attendance", "building", "capacity", "stations", "district")
WALL = 1_700_000_000_000
HOUR, MINUTE, SECOND = 3_600_000, 60_000, 1_000


class Wall:
    """The time since the epoch, as the test says."""

    def __init__(self) -> None:
        self.ms = WALL

    def __call__(self) -> int:
        return self.ms


def small(folder: Path, **overrides: object) -> Scenario:
    """The night of 2020 in twelve precincts, with two operators at the hotline."""
    text = io.StringIO()
    rows = csv.writer(text)
    rows.writerow(_COLUMNS)
    for i in range(12):
        rows.writerow(["Adair", f"Adair {i + 1}", "precinct", 3 + i % 6, 50 + 13 * i, f"Hall {i}", 500, 6, 4])
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "small.csv"
    path.write_text(text.getvalue())
    changes: dict[str, object] = {
        "turnout.people": "none",
        "hotline.operators": [{"from": "18:00", "to": "+1d 02:00", "count": 2}],
        "hotline.nuisance": [],
    }
    return load("iowa-2020", {**changes, **{key.replace("__", "."): value for key, value in overrides.items()}}, path)


def begun(folder: Path, wall: Wall, scenario: Scenario | None = None, **options: Any) -> Rehearsal:
    """A rehearsal of it, its log in the folder."""
    night = scenario if scenario is not None else small(folder)
    return Rehearsal.begin(folder / "log.sqlite", night, seed=3, now=wall, **options)


def joined(rehearsal: Rehearsal, name: str = "Ann", role: str = "chair") -> Joined:
    """Somebody who came in."""
    found = rehearsal.join(rehearsal.join_code, name, role)
    assert isinstance(found, Joined), found
    return found


def run(rehearsal: Rehearsal, wall: Wall, until_ms: int, speed: float = 60) -> None:
    """Let the night go on to a time."""
    assert rehearsal.do("clock", ROOM, {"do": "speed", "speed": speed}) is None
    assert rehearsal.do("clock", ROOM, {"do": "run"}) is None
    while rehearsal.room.now_ms < until_ms:
        left = (until_ms - rehearsal.room.now_ms) / speed
        wall.ms += max(1, min(250, int(left) + 1))
        rehearsal.tick(60_000)


def seen(room: Room) -> dict[str, Any]:
    """All that can be seen of a room, and what its night came to."""
    line = room.hotline.line
    return {
        "now": room.now_ms,
        "views": {name: room.seat_view(name) for name in room.seats},
        "mistakes": {name: list(seat.doing.mistakes) for name, seat in room.seats.items()},
        "board": room.board(),
        "deck": room.deck(),
        "lobby": room.lobby,
        "queue": room.hotline.queue(),
        "calls": [
            (call.about, call.site, call.attempt, call.dialed, call.answered, call.ended, call.outcome)
            for call in line.calls
        ],
        "waiting": list(line.waiting),
        "talking": {who: call.entity for who, call in line.talking.items()},
        "reports": room.headquarters.reports,
        "trainer": room.trainers_desk.steps(room.now_ms, room, room.aids),
        "clock": (room.clock.running, room.clock.speed, room.hold, room.aids, room.ended),
        "failures": room.failures,
    }
