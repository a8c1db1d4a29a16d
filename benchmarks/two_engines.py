"""SimPy and its compiled twin, event by event: every night of the library at full size, and thousands of small states.

Exits with 1 where one event or one integer differs, and says on standard error where first. Prints one JSON object.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the small states are the tests' own

from simulation.night import Night, play_night
from simulation.night.divergence import first_difference
from simulation.night.order import Channel, Kind, Outcome
from simulation.scenario import Scenario, library, load
from tests.model.small_states import SmallState, small_states

ENGINES = ("simpy", "compiled")
SEED = 11
SMALL_STATES = 3000


def of_library(name: str) -> tuple[dict[str, object], str | None]:
    """One night of the library on both engines: what it took, and the first difference."""
    scenario = load(name)
    _ = scenario.roster.ids  # read or synthesized before the clock runs
    (simpy, simpy_s), (compiled, compiled_s) = (_timed(scenario, engine) for engine in ENGINES)
    told = first_difference(simpy, compiled, ENGINES)
    return {
        "equal": told is None,
        "events": len(simpy.events),
        "simpy_s": round(simpy_s, 2),
        "compiled_s": round(compiled_s, 3),
        "ratio": round(simpy_s / compiled_s, 1),
    }, told


def _timed(scenario: Scenario, engine: str) -> tuple[Night, float]:
    """A night with its log, and the seconds that it takes to its row without one."""
    started = time.perf_counter()
    _ = play_night(scenario, SEED, 0, engine=engine).row
    took = time.perf_counter() - started
    return play_night(scenario, SEED, 0, engine=engine, log=True), took


def of_small_states() -> tuple[dict[str, object], str | None]:
    """Small states until one differs; hypothesis then looks for the smallest that does."""
    seen: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:

        @seed(SEED)
        @settings(
            max_examples=SMALL_STATES,
            deadline=None,
            database=None,
            phases=[Phase.generate, Phase.shrink],
            suppress_health_check=[HealthCheck.too_slow],
        )
        @given(small_states())
        def same(state: SmallState) -> None:
            simpy, compiled = (state.play(Path(folder), engine) for engine in ENGINES)
            told = first_difference(simpy, compiled, ENGINES)
            seen["scenarios"] += 1
            seen["events"] += len(simpy.events)
            for field, numbers in (
                (Kind, simpy.events["kind"]),
                (Outcome, simpy.calls["outcome"]),
                (Channel, simpy.played.channel),
            ):
                seen.update(f"{field.__name__} {field(number).name}" for number in set(numbers))
            assert told is None, told

        told = None
        started = time.perf_counter()
        try:
            same()
        except AssertionError as error:
            told = "\n".join([str(error), *getattr(error, "__notes__", ())])
    wanted = [f"{field.__name__} {member.name}" for field in (Kind, Outcome, Channel) for member in field]
    never = [what for what in wanted if not seen[what]]
    if told is None and never:
        told = f"the small states never show {', '.join(never)}: nothing is said of these"
    return {
        "random_scenarios": seen["scenarios"],
        "random_events": seen["events"],
        "random_s": round(time.perf_counter() - started),
        "rarest": {what: seen[what] for what in sorted(wanted, key=lambda what: seen[what])[:3]},  # in so many of them
    }, told


def main() -> None:
    """Play them all."""
    play_night(load("iowa-2020"), SEED, 0)  # compiles
    problems: list[str] = []
    found: dict[str, object] = {}
    for name in library():
        found[name], told = of_library(name)
        problems += [f"{name}: {told}"] if told else []
        print(f"{name}: {'differs' if told else 'the same'}", file=sys.stderr)
    small, told = of_small_states()
    problems += [told] if told else []
    for problem in problems:
        print(problem, file=sys.stderr)
    print(json.dumps({"benchmark": "two_engines", "library": found, **small, "equal": not problems}))
    sys.exit(bool(problems))


if __name__ == "__main__":
    main()
