"""A rehearsal's server as a process of its own, so that tests can kill it: `python served.py FILE PORT [MINUTES]`.

A small night: 30 precincts, so that it is ready at once.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from simulation.rehearsal.answer_key import next_act
from simulation.rehearsal.event import ROOM
from simulation.rehearsal.log import Log, wall_now_ms
from simulation.rehearsal.running import Joined, Rehearsal
from simulation.roster import synthesize
from simulation.scenario import load
from simulation.web.server import serve


def begun(file: Path, minutes: int = 45, now: Callable[[], int] | None = None) -> Rehearsal:
    """The rehearsal of a file; a new one where there is none."""
    if file.exists():
        return Rehearsal(Log(file), now=now)
    roster = file.with_suffix(".csv")
    roster.write_text("\n".join(synthesize("iowa-2020").csv().splitlines()[:31]) + "\n", encoding="utf-8")
    night = load("iowa-2020", {"turnout.people": "none", "hotline.operators": 12, "checkin.stations": 4}, roster)
    return Rehearsal.begin(file, night, seed=3, minutes=minutes, now=now)


def played(file: Path, until: str = "done") -> None:
    """A rehearsal in a file, played by three people: one does everything right, the others err; a bot beside them."""
    wall = [wall_now_ms()]
    rehearsal = begun(file, now=lambda: wall[0])
    names = ("Maria Lopez", "Juan Ortiz", "Li Wei")
    seats = [one.seat for name in names if isinstance(one := rehearsal.join(rehearsal.join_code, name), Joined)]
    rehearsal.do("clock", ROOM, {"do": "run"})
    rehearsal.do("clock", ROOM, {"do": "jump", "to_ms": rehearsal.script.sites[0].call_to_order_ms})
    rehearsal.do("inject", ROOM, {"id": "forms-run-out"})
    wrong = {
        (seats[1], "freeze"): {"n": "7"},
        (seats[2], "count"): {"counted": "12"},
        (seats[2], "viability"): {"threshold": "1"},
    }
    for _ in range(900):
        wall[0] += 10_000
        while rehearsal.tick(1000) and rehearsal.room.next_step_ms() <= rehearsal.room.clock.target_ms(wall[0]):
            pass
        doing: dict[str, Any] = {seat: rehearsal.room.seats[seat].doing for seat in seats}
        for seat, chair in doing.items():
            if chair.stage == until:
                continue
            buttons = [button.action for step in rehearsal.view(seat).steps for button in step.buttons]
            act = next_act(chair, rehearsal.room.now_ms, rehearsal.room)
            if "insist" in buttons:
                rehearsal.do("acted", seat, {"action": "insist", "fields": {}})
            elif act is not None:
                fields = act.fields | wrong.get((seat, act.step), {})
                rehearsal.do("acted", seat, {"action": act.action, "fields": fields, "step": act.step})
        if all(chair.stage == until for chair in doing.values()):
            break
    if until == "done":
        rehearsal.do("ended", ROOM, {})
    rehearsal.close()


if __name__ == "__main__":
    serve(
        begun(Path(sys.argv[1]), int(sys.argv[3]) if len(sys.argv) > 3 else 45),
        "127.0.0.1",
        int(sys.argv[2]),
        ready=lambda links: print(json.dumps(links), flush=True),
    )
