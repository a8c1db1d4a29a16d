"""Made-up states of a few precincts, for tests: a roster and overrides as a user would write them, in combinations.

Every fault that the schema knows is there, alone and with others, at shares of 0 and 1 too; clocks are so coarse, and
times so often the same, that many things happen at once. Valid by construction. Knows nothing of engines.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from simulation.night import Night, play_night
from simulation.scenario import Scenario, load

Values = st.SearchStrategy[Any]

_BASES = ("iowa-2020", "baseline", "text-fallback", "gop-straw-poll-2012")
_HEADER = "county,precinct,kind,delegates,attendance,building,capacity,stations,district"
_EVENING = [f"{hour}:{minute:02d}" for hour in range(18, 24) for minute in (0, 1, 20, 30, 59)]
_LATER = ["+1d 00:30", "+1d 02:00", "+1d 08:00"]
_ALL_EVENING = [{"from": "18:00", "to": "+1d 02:00", "count": 1}]
_POSITIONS = st.one_of(st.sampled_from([0, 1 << 31, (1 << 32) - 1]), st.integers(0, (1 << 32) - 1))


@dataclass(frozen=True)
class SmallState:
    """A night of a small state: all that a user would say to have it played."""

    roster: str
    overrides: Mapping[str, object]
    base: str = "baseline"
    seed: int = 1
    night: int = 0
    fixed: bool = False
    positions: tuple[tuple[int, int], ...] = field(default=())  # (which of its unknown assumptions, 0 .. 2**32 - 1)

    def scenario(self, folder: Path) -> Scenario:
        """Its scenario; the roster is written into `folder`."""
        path = folder / "small.csv"
        path.write_text(self.roster)
        return load(self.base, self.overrides, path)

    def play(self, folder: Path, engine: str, *, log: bool = True) -> Night:
        """Its night on an engine."""
        scenario = self.scenario(folder)
        unknown = [assumption.key for assumption in scenario.assumptions() if not assumption.is_known]
        positions = {unknown[which % len(unknown)]: at for which, at in self.positions if unknown}
        return play_night(
            scenario, self.seed, self.night, fixed=self.fixed, positions=positions, engine=engine, log=log
        )


# Values


def shares(*often: float) -> Values:
    """A share, known or a range; `often` are likely ones."""
    known = st.sampled_from([*often, 0, 0.5, 1])
    return st.one_of(
        known, known, st.integers(0, 100).map(lambda percent: percent / 100), _ranges(0, 10, lambda n: n / 10)
    )


def durations(minutes: int) -> Values:
    """A distribution of durations of about so many minutes: often the same for everybody, sometimes no time at all."""
    seconds = 60 * minutes
    known = st.sampled_from([_seconds(n) for n in (0, 1, seconds // 3, seconds, 2 * seconds)] + ["1 ms"])
    some = _seconds(seconds)
    around = {"low": _seconds(seconds // 2), "high": _seconds(2 * seconds)}
    families = st.sampled_from(
        [
            {"exponential": {"mean": some}},
            {"exponential": {"mean": around}, "at_most": _seconds(3 * seconds)},
            {"lognormal": {"mean": around, "cv": {"low": 0.2, "high": 1}}},
            {"uniform": {"low": "0 s", "high": some}},
            {"triangular": {"low": "0 s", "mode": {"low": "0 s", "high": some}, "high": some}},
            {"gamma": {"mean": some, "cv": 0.5}, "at_least": "1 s"},
            {"empirical": ["0 s", some, some, _seconds(2 * seconds)]},
        ]
    )
    return st.one_of(known, known, _ranges(0, minutes, lambda n: f"{n} min"), families)


def pauses() -> Values:
    """A distribution of times until a caller dials again: so long that a night has thousands of calls, not millions."""
    return st.sampled_from(
        [
            "1 min",
            "5 min",
            "20 min",
            {"low": "2 min", "high": "9 min"},
            {"exponential": {"mean": "8 min"}},
            {"uniform": {"low": "0 s", "high": "15 min"}},
            {"empirical": ["0 s", "4 min", "4 min", "1 h"]},
        ]
    )


def counts(most: int) -> Values:
    """A whole number, known or a range."""
    return st.one_of(st.integers(0, most), _ranges(0, most, int))


def _ranges(low: int, high: int, written: Any) -> Values:
    ends = st.tuples(st.integers(low, high), st.integers(low, high)).map(sorted)
    return ends.map(lambda pair: {"low": written(pair[0]), "high": written(pair[1])})


def _seconds(seconds: int) -> str:
    return f"{seconds} s"


@st.composite
def _spans(draw: st.DrawFn, /, most: int, **more: Values) -> list[dict[str, object]]:
    """Parts of the evening, which may overlap and end while somebody waits, each with `more`."""
    times = [*_EVENING, *_LATER]
    found: list[dict[str, object]] = []
    for _ in range(draw(st.integers(0, most))):
        start, length = draw(st.integers(0, len(times) - 2)), draw(st.integers(1, len(times)))
        end = min(start + length, len(times) - 1)
        found.append({"from": times[start], "to": times[end], **{key: draw(value) for key, value in more.items()}})
    return found


# The state


@st.composite
def rosters(draw: st.DrawFn) -> str:
    """One to twelve sites as CSV: large, tiny and empty ones, some in a building together, some of them satellites."""
    header = _HEADER
    candidates = draw(st.sampled_from([(), (), (), ("ada", "ben"), ("ada", "ben", "cleo")]))
    header += "".join(f",first_{name}" for name in candidates)
    rows = []
    for number in range(draw(st.integers(1, 12))):
        satellite = draw(st.sampled_from([False] * 5 + [True]))
        people = draw(st.one_of(st.integers(0, 40), st.sampled_from([0, 1, 2, 40])))
        delegates = draw(st.sampled_from([1, 1, 2, 3, 4, 7, 11]))
        cells = [
            draw(st.sampled_from(["Story", "Polk"])) if not satellite else "In-state CD4",
            f"P{number}",
            "satellite" if satellite else "",
            "" if satellite else delegates,
            people,
            draw(st.sampled_from(["", "", "School", "School", "Church"])),
            draw(st.sampled_from(["", "", 1, 10, 30])),
            draw(st.sampled_from([1, 1, 2, 3])),
            draw(st.integers(1, 4)),
            *[draw(st.sampled_from([0, 1, 5])) for _ in candidates],
        ]
        rows.append(",".join(map(str, cells)))
    return "\n".join([header, *rows]) + "\n"


@st.composite
def _weights(draw: st.DrawFn) -> dict[str, object]:
    names = ("ada", "ben", "cleo", "dan", "eve")[: draw(st.integers(2, 5))]
    return {name: draw(st.integers(1, 60)) for name in names}


def _door() -> dict[str, Values]:
    minute = durations(1)
    return {
        "clock.doors": st.sampled_from(["18:00", "18:59", "19:00", {"low": "18:10", "high": "18:50"}]),
        "turnout.spread": st.sampled_from([1, {"low": 0.7, "high": 1.3}, {"lognormal": {"mean": 1, "cv": 0.2}}]),
        "turnout.local_spread": st.sampled_from([1, {"uniform": {"low": 0.5, "high": 1.5}}]),
        "turnout.people": st.one_of(st.just("none"), st.integers(0, 200)),
        "checkin.arrivals": st.sampled_from(
            [0, 1, 0.5, {"beta": {"a": 2, "b": {"low": 1, "high": 3}}}, {"empirical": [0, 0, 0.5, 0.5, 1, 1]}]
        ),
        "checkin.stations": st.sampled_from(["none", 1, 2]),
        "checkin.on_list": minute,
        "checkin.registering": st.one_of(shares(), st.just({"beta": {"a": 4, "b": 4}})),
        "checkin.registration": durations(3),
        "checkin.missing_from_list": shares(0.2),
        "checkin.look_up": minute,
        "checkin.wrong_line": shares(0.3),
        "checkin.redirect": minute,
        "forms.short": shares(1),
        "forms.above_people": st.sampled_from([0, 0, 5]),
        "forms.printed": shares(0.3),
        "forms.reprint": durations(20),
    }


def _rooms() -> dict[str, Values]:
    return {
        "room.move": durations(20),
        "room.opening": durations(15),
        "room.count_per_person": st.sampled_from(["0 s", "1 s", {"low": "1 s", "high": "20 s"}]),
        "room.recount": shares(0.2),
        "room.miscount": shares(0.2),
        "room.miscounted_people": counts(5),
        "room.afterwards": durations(30),
        "alignment.rules": st.sampled_from(["2016", "2020", "straw-poll"]),
        "alignment.first": durations(8),
        "alignment.realignment": durations(8),
        "alignment.rescue": shares(0.6),
        "alignment.leave": shares(0.2),
        "alignment.stuck": shares(0.2),
        "alignment.drift": shares(0.1),
        "preference.candidates": _weights(),
        "preference.second": _weights(),
        "preference.local_spread": st.sampled_from([1, {"lognormal": {"mean": 1, "cv": {"low": 0.5, "high": 2}}}]),
        "chairs.missing": shares(0.1),
        "chairs.drafted_after": durations(10),
        "chairs.untrained": shares(0.3),
        "chairs.slowdown": st.sampled_from([1, 2, {"low": 1, "high": 3}]),
        "chairs.late": shares(0.2),
        "chairs.late_by": durations(20),
        "chairs.finds_number": durations(15),
        "chairs.arithmetic_errors": shares(0.3),
        "chairs.untrained_errors": st.sampled_from([1, 3, {"low": 1, "high": 3}]),
        "chairs.silent": shares(0.1),
        "chairs.reached": durations(200),
    }


def _app() -> dict[str, Values]:
    return {
        "app.tries": shares(0.7),
        "app.installed": shares(0.7),
        "app.no_signal": shares(0.1),
        "app.single_delegate": st.booleans(),
        "app.entry": durations(6),
        "app.login_fails": shares(0.4),
        "app.submit_fails": shares(0.4),
        "app.hang": durations(4),
        "app.attempts": st.one_of(st.integers(1, 4), st.just({"low": 1, "high": 20})),
        "app.retry": durations(10),
        "app.asks_for_help": shares(0.5),
        "app.help_after": durations(120),
        "app.help_solves": shares(0.5),
        "app.lost": shares(0.2),
    }


@st.composite
def backends(draw: st.DrawFn) -> dict[str, object]:
    """A measured backend behind the app that answers, is slow, or hangs at a few requests a minute."""
    milliseconds = st.sampled_from([0, 1, 200, 4_000, 30_000, 400_000])
    points: list[dict[str, object]] = []
    for offered in draw(st.lists(st.integers(0, 60), min_size=1, max_size=4, unique=True).map(sorted)):
        latency = sorted(draw(milliseconds) for _ in range(4))
        quantiles = dict(zip(("p50_ms", "p90_ms", "p95_ms", "p99_ms"), latency, strict=True))
        points.append({"offered_per_s": offered / 60, "error_share": draw(st.sampled_from([0, 0.3, 1])), **quantiles})
    curve = {
        "format": 1,
        "flow": draw(st.sampled_from(["login", "report", "mix"])),
        "night_per_s": draw(st.sampled_from([0.02, 0.1])),
        "capacity_per_s": draw(st.sampled_from([0.05, 0.5])),
        "points": points,
    }
    said = {
        "capacity": draw(st.sampled_from(["none", "none", "0.5 nights", "3 nights"])),
        "load": draw(st.sampled_from([1, 1, 3.5, {"low": 0.5, "high": 4}])),
        "timeout": draw(st.sampled_from(["1 ms", "10 s", "10 s", "95 s", "1 h"])),
        "resends": draw(counts(4)),
    }
    return {f"app.backend.{key}": value for key, value in {"curve": curve, **said}.items()}


def _telephone() -> dict[str, Values]:
    hotline: dict[str, Values] = {
        "handling.report": durations(20),
        "handling.help": durations(6),
        "handling.nuisance": durations(2),
        "handling.callback": durations(4),
        "silent": shares(0.1),
        "silent_for": durations(1),
        "redial.after_busy": shares(0.9),
        "redial.busy_wait": pauses(),
        "redial.until_morning": shares(0.1),
        "redial.hold_wait": pauses(),
        "redial.nuisance": shares(0.4),
        "redial.nuisance_wait": pauses(),
        "block_after": st.sampled_from(["none", 0, 1, 3]),
    }
    return {f"hotline.{key}": values for key, values in hotline.items()}


def _headquarters() -> dict[str, Values]:
    holds = st.sampled_from([("none", "none"), ("18:00", "22:00"), ("20:30", "+1d 16:00"), ("+1d 00:00", "+2d 09:00")])
    keying = {f"headquarters.keying.{name}": shares(0.3, 0.1, 0.02) for name in ("app", "phone", "inbox")}
    kinds = ("column_shift", "digit_slip", "swapped", "wrong_precinct", "omission")
    one_kind = st.sampled_from([{kind: float(kind == only) for kind in kinds} for only in kinds])
    return {
        "inbox.opens": st.sampled_from(["19:00", "21:00", "+1d 09:00", "00:00"]),
        "inbox.readers": st.integers(0, 2),
        "inbox.reading": durations(5),
        "hand_delivery.arrives": durations(14 * 60),
        "hand_delivery.lost": shares(0.2),
        "headquarters.checks": st.booleans(),
        "headquarters.reviewers": counts(3),
        "headquarters.review": durations(10),
        "headquarters.wrong_correction": shares(0.5),
        "headquarters.callbacks": shares(0.3),
        **keying,
        "kinds of errors": one_kind.map(
            lambda weights: {f"headquarters.keying.{kind}": weight for kind, weight in weights.items()}
        ),
        "hold": holds.map(
            lambda hold: {"headquarters.release.hold_from": hold[0], "headquarters.release.until": hold[1]}
        ),
        "headquarters.release.worksheet": durations(24 * 60),
    }


@st.composite
def small_states(draw: st.DrawFn) -> SmallState:
    """Any night of any small state."""
    always: dict[str, Values] = {
        "clock.resolution": st.sampled_from(["1 ms", "1 s", "1 min", "10 min"]),
        "clock.until": st.sampled_from(["+1d 02:00", "+1d 02:00", "+3d 22:00", "21:30", "19:01"]),
        "turnout.people": st.just("none"),
        "turnout.spread": st.just(1),
        # the hotlines of the nights built on are made for 1,700 precincts: nobody would ever wait
        "hotline.operators": st.one_of(st.just(_ALL_EVENING), _spans(4, count=counts(3))),
        "hotline.nuisance": _spans(3, calls_per_hour=counts(20)),
        "hotline.lines": st.sampled_from(["unlimited", 2, 1, 3, 5]),
        "hotline.patience.chairs": durations(20),
        "hotline.patience.others": durations(5),
        "inbox.chairs": shares(0.5),
        "app.outages": _spans(2),
        "app's backend": st.one_of(st.just({}), backends()),
    }
    chosen = {key: draw(values) for key, values in always.items()}
    for key, values in {**_door(), **_rooms(), **_app(), **_telephone(), **_headquarters()}.items():
        if draw(st.booleans()):
            chosen[key] = draw(values)
    if (chosen["clock.resolution"], chosen["clock.until"]) == ("10 min", "19:01"):
        chosen["clock.until"] = "19:10"  # a clock so coarse does not tell a minute past seven from seven
    overrides: dict[str, object] = {}
    for key, value in chosen.items():
        overrides |= {key: value} if "." in key else value  # what goes together only
    return SmallState(
        roster=draw(rosters()),
        overrides=overrides,
        base=draw(st.sampled_from(_BASES)),
        seed=draw(st.integers(0, (1 << 32) - 1)),
        night=draw(st.integers(0, 10_000)),
        fixed=draw(st.booleans()),
        positions=tuple(draw(st.lists(st.tuples(st.integers(0, 200), _POSITIONS), max_size=4))),
    )
