"""What a night came to: one row a precinct, one row for the night, and every call. Integers only.

Knows nothing of how the night was played: an engine fills in `Played`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from simulation.night import counting, events
from simulation.night.backend import Phone
from simulation.night.curves import GRID, LINE_GRID, LINE_STEP, QUANTILES, SHARES_HELD, SIZE_CLASSES, STEP
from simulation.night.order import Call, Channel, Outcome, Stream
from simulation.night.rooms import Room
from simulation.night.setting import Setting
from simulation.randomness import Integers
from simulation.rules.national import DISTRICTS, allocate
from simulation.rules.sde import NANO
from simulation.scenario.values import HOUR

if TYPE_CHECKING:
    import polars as pl

_WAIT_BITS = 40  # below a precinct's number: waits of up to 34 years
_TOLD = ("about", "dialed", "answered", "ended", "outcome")


class Called(NamedTuple):
    """One call: a row of `Played.calls`. Times in ms, -1 where it did not come to that."""

    about: int  # a `Call`
    site: int  # of the caller; HOTLINE for strangers
    entity: int  # unique among callers
    attempt: int
    dialed: int
    answered: int
    ended: int
    outcome: int  # an `Outcome`
    patience: int
    handling: int  # how long an operator is busy with it
    silent: int  # 1: nobody can be heard


@dataclass(frozen=True)
class PerPerson:
    """A number for each person of each precinct: `values[person]` of all, or `[site]` of one precinct (a view)."""

    values: Integers
    offsets: Integers

    def __len__(self) -> int:
        """Precincts."""
        return len(self.offsets) - 1

    def __getitem__(self, site: int) -> Integers:
        """Those of one precinct."""
        if not 0 <= site < len(self):
            raise IndexError(site)
        return self.values[self.offsets[site] : self.offsets[site + 1]]


@dataclass(frozen=True)
class Played:
    """What an engine hands over; times in ms with -1 for never, arrays by site."""

    setting: Setting
    arrived_at: PerPerson
    in_at: PerPerson
    wait_ms: PerPerson  # in lines, all of them together
    forms_ran_out_at: Integers  # the first time
    started_at: Integers
    ready_at: Integers
    app_attempts: Integers
    phones: Integers  # (sites, fields of backend.Phone)
    backend_peak: Integers  # the highest load in any minute, as in `night.backend`, and when
    received_at: Integers
    channel: Integers
    cleared_at: Integers
    released_at: Integers
    reported: Integers  # (sites, 3, groups)
    keying_errors: Integers
    findings: Integers
    calls: Integers  # (calls, fields of Called), in the order of dialing
    on_duty: Sequence[tuple[int, int]]  # (from ms, operators), in order
    log: Integers | None  # (events, fields of events.Event)

    def each_call(self) -> list[Called]:
        """Every call, by the names of its fields."""
        return [Called(*row) for row in self.calls.tolist()]


class Night:
    """One simulated night. `precincts`, `calls` and `events` are polars frames; `row` is the night in one row."""

    def __init__(self, played: Played) -> None:
        self.played = played
        self.setting = played.setting

    @cached_property
    def precincts(self) -> pl.DataFrame:
        """One row a site, in the roster's order. Times in ms since midnight of caucus day, -1 for never."""
        import polars as pl

        played, setting, roster = self.played, self.setting, self.setting.roster
        calls, holds = self._calls_by_site()
        rooms = {name: setting.room_table[:, column] for column, name in enumerate(Room._fields)}
        start_delay = np.where(played.started_at < 0, -1, played.started_at - setting.call_to_order)
        return pl.DataFrame(
            {
                "id": roster.ids,
                "county": roster.counties,
                "precinct": roster.precincts,
                "people": setting.people,
                "stations": setting.stations,
                "wait_p50_ms": self._wait_by_precinct(50),
                "wait_p90_ms": self._wait_by_precinct(90),
                "wait_max_ms": self._by_precinct[0],
                "in_line_at_call_to_order": self._by_precinct[1],
                "last_in_at_ms": self._by_precinct[2],
                "forms_ran_out_at_ms": played.forms_ran_out_at,
                "chair_missing": rooms["chair_missing"],
                "chair_untrained": rooms["untrained"],
                "chair_there_at_ms": rooms["chair_there"],
                "move_ms": rooms["move"],
                "counts": rooms["counts"],
                "started_at_ms": played.started_at,
                "start_delay_ms": start_delay,
                "ready_at_ms": played.ready_at,
                "reported_at_ms": played.received_at,
                "channel": played.channel,
                "app_attempts": played.app_attempts,
                "calls": calls,
                "hold_ms": holds,
                "cleared_at_ms": played.cleared_at,
                "released_at_ms": played.released_at,
                "chair_error": setting.worksheets[1],
                "keying_errors": played.keying_errors,
                "findings": played.findings,
                "wrong_on_receipt": self._wrong_on_receipt,
                "wrong": self._wrong,
                "sde_off_nano": self._sde_off,
            },
            schema_overrides={"id": pl.String, "county": pl.String, "precinct": pl.String},
        )

    @property
    def events(self) -> pl.DataFrame:
        """Every event in order; ValueError where the night was played without its log."""
        if self.played.log is None:
            raise ValueError("this night was played without its event log: play(..., log=True)")
        return events.frame(self.played.log, self.setting.roster.ids)

    @cached_property
    def calls(self) -> pl.DataFrame:
        """Every call in the order of dialing; `about` and `outcome` as in `order.Call` and `hotline.Outcome`."""
        import polars as pl

        return pl.DataFrame(self.played.calls, schema=dict.fromkeys(Called._fields, pl.Int64), orient="row")

    def summary(self) -> dict[str, Any]:
        """The shape of summary.json, for this one night."""
        from simulation.night.summary import summarize

        return summarize(self.setting.scenario, self.setting.luck.seed, [self.row])

    @cached_property
    def row(self) -> dict[str, Any]:
        """The night in integers and lists of integers: a row of nights.parquet."""
        played, setting = self.played, self.setting
        waits = np.sort(played.wait_ms.values)
        grid = setting.call_to_order + STEP * np.arange(GRID)
        delays = np.sort((played.started_at - setting.call_to_order)[played.started_at >= 0])
        history = setting.spec.history
        true, reported = self._sde(setting.true_records), self._sde(played.reported, played.received_at >= 0)
        return {
            "night": setting.luck.night,
            "sites": setting.sites,
            "people": int(setting.people.sum()),
            **{f"wait_p{q}_ms": _quantile_of_sorted(waits, q) for q in QUANTILES},
            "wait_mean_ms": int(waits.sum()) // len(waits) if len(waits) else 0,
            "wait_total_ms": int(waits.sum()),
            "in_line_at_call_to_order": int(self._by_precinct[1].sum()),
            "in_line": self._in_line(),
            "wait_p90_by_size_ms": self._wait_by_size(),
            **{f"start_delay_p{q}_ms": _quantile_of_sorted(delays, q) for q in QUANTILES},
            "start_delay_max_ms": int(delays.max(initial=0)),
            "reported": _counts(played.received_at, grid),
            "released": _counts(played.released_at, grid),
            "reported_at_history": _counts(played.received_at, np.array([p.at for p in history.reported], np.int64)),
            "released_at_history": _counts(played.released_at, np.array([p.at for p in history.released], np.int64)),
            **{f"held_p{q}_at_ms": _reached(played.received_at, q) for q in SHARES_HELD},
            "channels": np.bincount(played.channel, minlength=len(Channel)).tolist(),
            "app_by_grid": _counts(np.where(played.channel == Channel.APP, played.received_at, -1), grid),
            "app_tried": int((played.app_attempts > 0).sum()),
            **self._backend(),
            **self._hotline(grid),
            "holds_at_history_ms": self._hold_of_next(1, np.array([p.at for p in history.holds], np.int64)),
            **self._errors(),
            "sde_off_nano": int(self._sde_off.sum()),
            "sde_true_nano": true.tolist(),
            "sde_reported_nano": reported.tolist(),
            "winner_true": int(true.argmax()),
            "winner_reported": int(reported.argmax()),
            "national_true": self._national(setting.true_records),
            "national_reported": self._national(played.reported, played.received_at >= 0),
            **self._costs(),
        }

    def _backend(self) -> dict[str, int]:
        """What the app's backend did, where one is played."""
        played = self.played
        if not self.setting.app.backend:
            return {}
        hung = played.phones[:, Phone.UNANSWERED] > 0
        load, at = played.backend_peak.tolist()
        return {
            "backend_requests": int(played.phones[:, Phone.REQUESTS].sum()),
            "backend_unanswered": int(played.phones[:, Phone.UNANSWERED].sum()),
            "backend_hung": int(hung.sum()),
            "backend_drove_off": int((hung & (played.channel != Channel.APP)).sum()),
            "backend_peak_micro": load,
            "backend_peak_at_ms": at,
        }

    # Check-in

    @cached_property
    def _by_precinct(self) -> Integers:
        """The longest wait, people not in at the call to order, when the last one was in: int64[3, sites]."""
        played, found = self.played, np.zeros((3, self.setting.sites), np.int64)
        late = self.setting.call_to_order
        counting.by_precinct(self.setting.offsets, played.wait_ms.values, played.in_at.values, late, *found)
        return found

    @cached_property
    def _waits_by_precinct(self) -> Integers:
        """Everybody's wait, precinct after precinct, each sorted: one sort of all, the precinct in the high bits."""
        people = self.setting.people
        precinct = np.repeat(np.arange(self.setting.sites) << _WAIT_BITS, people)
        return np.sort(precinct | self.played.wait_ms.values) & ((1 << _WAIT_BITS) - 1)

    def _wait_by_precinct(self, percent: int) -> Integers:
        """The wait that `percent` of a precinct's people do not exceed; 0 where nobody came."""
        people = self.setting.people
        ranks = np.maximum(0, -(-people * percent // 100) - 1)
        waits = np.append(self._waits_by_precinct, 0)
        return np.where(people > 0, waits[self.setting.offsets[:-1] + ranks], 0)

    def _in_line(self) -> list[int]:
        """People in line every 5 minutes, all precincts together."""
        came, went = np.zeros((2, LINE_GRID), np.int64)
        start = self.setting.call_to_order - HOUR
        counting.count_by_time(self.played.arrived_at.values, start, LINE_STEP, came)
        counting.count_by_time(self.played.in_at.values, start, LINE_STEP, went)
        return [int(n) for n in came - went]

    def _wait_by_size(self) -> list[int]:
        """The wait that one person in ten exceeds, by class of precinct size; -1 for an empty class."""
        people = self.setting.people
        classes = np.repeat(np.searchsorted(SIZE_CLASSES, people, "left"), people)
        found = []
        for size in range(len(SIZE_CLASSES) + 1):
            together = self.played.wait_ms.values[classes == size]
            found.append(_quantile(together, 90) if len(together) else -1)
        return found

    # Hotline

    def _hotline(self, grid: Integers) -> dict[str, Any]:
        about, dialed, answered, ended, outcome = (self._call(name) for name in _TOLD)
        was_answered = answered >= 0
        holds = np.sort((answered - dialed)[was_answered & (about == Call.REPORT)])
        held = self._left_queue > dialed
        start, until = int(grid[0]), int(grid[-1])
        busy = np.minimum(until, np.where(ended >= 0, ended, until)) - np.maximum(start, answered)
        of_chairs = (about == Call.REPORT) | (about == Call.HELP)
        return {
            "calls": len(about),
            "calls_by_kind": np.bincount(about, minlength=len(Call)).tolist(),
            "answered": int((outcome >= Outcome.SILENT).sum()),
            "hung_up": int((outcome == Outcome.HUNG_UP).sum()),
            "busy_tones": int((outcome == Outcome.BUSY).sum()),
            **{f"hold_p{q}_ms": _quantile_of_sorted(holds, q) for q in QUANTILES},
            "hold_mean_ms": int(holds.sum()) // len(holds) if len(holds) else 0,
            "hold_when_answered_by_grid_ms": self._hold_of_next(1, grid),
            "hold_if_dialed_by_grid_ms": self._hold_of_next(0, grid),
            "queue_by_grid": _difference(dialed[held], self._left_queue[held], grid),
            "busy_by_grid": _difference(answered[was_answered], ended[was_answered & (ended >= 0)], grid),
            "on_duty_by_grid": [self._on_duty_at(int(at)) for at in grid],
            "operators_busy_ms": int(np.maximum(0, busy[was_answered]).sum()),
            "operators_on_duty_ms": self._staffed(start, until),
            "chairs_hold_total_ms": int((self._left_queue - dialed)[of_chairs].sum()),
        }

    def _call(self, name: str) -> Integers:
        """One field of every call."""
        return self.played.calls[:, Called._fields.index(name)]

    @cached_property
    def _left_queue(self) -> Integers:
        """When each call was answered or gave up; the end of the simulation where it did neither."""
        answered, ended = self._call("answered"), self._call("ended")
        return np.where(answered >= 0, answered, np.where(ended >= 0, ended, self.setting.until))

    def _hold_of_next(self, column: int, at: Integers) -> list[int]:
        """How long the next caller whom somebody answers has held: the next to dial (0) or to be answered (1).

        -1 where that is not within the next 15 minutes.
        """
        dialed, answered = self._answered
        if len(dialed) == 0:
            return [-1] * len(at)
        index = np.searchsorted(self._answered[column], at)
        known = np.minimum(index, len(dialed) - 1)
        soon = (index < len(dialed)) & (self._answered[column][known] - at <= STEP)
        return [int(hold) for hold in np.where(soon, (answered - dialed)[known], -1)]

    @cached_property
    def _answered(self) -> Integers:
        """When answered callers dialed and when they were answered: int64[2, calls]; both rise, first come first."""
        dialed, answered = self._call("dialed"), self._call("answered")
        order = np.lexsort((answered, dialed))
        order = order[answered[order] >= 0]
        return np.stack([dialed[order], answered[order]])

    def _on_duty_at(self, at: int) -> int:
        found = 0
        for start, count in self.played.on_duty:
            if start <= at:
                found = count
        return found

    def _staffed(self, start: int, end: int) -> int:
        changes = [*self.played.on_duty, (end, 0)]
        return sum(
            count * max(0, min(end, following) - max(start, at)) for (at, count), (following, _) in pairwise(changes)
        )

    def _calls_by_site(self) -> tuple[Integers, Integers]:
        """Calls that each site made, and milliseconds on hold in all of them together."""
        site, sites = self._call("site"), self.setting.sites
        own = (site >= 0) & (self._call("about") != Call.CALLBACK)
        hold = np.zeros(sites, np.int64)
        np.add.at(hold, site[own], (self._left_queue - self._call("dialed"))[own])
        return np.bincount(site[own], minlength=sites), hold

    # Records

    @cached_property
    def _wrong_on_receipt(self) -> Integers:
        """1 where the record that came in differs from what the room did, by the chair's hand or the typist's."""
        played, setting = self.played, self.setting
        made = (setting.worksheets[1] > 0) | (played.keying_errors > 0)
        return (made & (played.received_at >= 0)).astype(np.int64)

    @cached_property
    def _wrong(self) -> Integers:
        """1 where headquarters' record differs from what the room did."""
        found = np.zeros(self.setting.sites, np.int64)
        played = self.played
        counting.wrong_records(played.received_at, played.reported, self.setting.true_records, found)
        return found

    @cached_property
    def _sde_off(self) -> Integers:
        """What a held record gives to the wrong group, in 1e-9 of a state delegate equivalent (or of a vote)."""
        off = np.abs(self.setting.worth(self.played.reported) - self.setting.worth(self.setting.true_records))
        return np.asarray(np.where(self.played.received_at >= 0, off.sum(axis=1), 0), dtype=np.int64)

    def _errors(self) -> dict[str, Any]:
        """What became of wrong records; lists hold those of the chair, and those of typing a right worksheet."""
        wrong, stopped, stays = self._wrong_on_receipt > 0, self.played.findings > 0, self._wrong > 0
        of_chair = self.setting.worksheets[1] > 0
        causes = (of_chair, ~of_chair)
        return {
            "wrong_on_receipt": int(wrong.sum()),
            "wrong_on_receipt_by_cause": [int((wrong & cause).sum()) for cause in causes],
            "caught": int((wrong & stopped).sum()),
            "caught_by_cause": [int((wrong & stopped & cause).sum()) for cause in causes],
            "mended_by_cause": [int((wrong & stopped & ~stays & cause).sum()) for cause in causes],
            "wrong": int(stays.sum()),
            "wrong_by_cause": [int((stays & cause).sum()) for cause in causes],
            "stopped": int(stopped.sum()),
        }

    def _sde(self, record: Integers, held: Any = True) -> Integers:
        """State delegate equivalents (or votes) of each group over all (held) sites, in 1e-9."""
        worth = np.where(np.asarray(held).reshape(-1, 1), self.setting.worth(record), 0)
        return np.asarray(worth.sum(axis=0), dtype=np.int64)

    def _national(self, record: Integers, held: Any = True) -> list[int]:
        """National delegates by candidate; empty for a ballot, or where a district has no sites."""
        setting, district = self.setting, self.setting.roster.district
        if setting.ballot or not set(DISTRICTS) <= set(district.tolist()):
            return []

        def sde(places: Any) -> dict[str, Fraction]:
            summed = self._sde(record, np.asarray(held) & places).tolist()
            return {name: Fraction(nano, NANO) for name, nano in zip(setting.groups, summed, strict=True)}

        won = allocate({number: sde(district == number) for number in DISTRICTS}, sde(district >= 0)).delegates
        return [won.get(name, 0) for name in setting.groups]

    # Costs

    def _costs(self) -> dict[str, int]:
        """What the plan takes, and what it costs tonight, in cents."""
        played, setting = self.played, self.setting
        luck, costs = setting.luck, setting.spec.costs
        review = luck.table(setting.spec.headquarters.review)
        reviewed = np.flatnonzero((played.findings > 0) & (played.cleared_at >= 0))
        review_ms = sum(luck.duration(review, Stream.REVIEW, int(setting.roster.places[site])) for site in reviewed)
        stations, shifts_ms = int(setting.stations.sum()), self._staffed(0, setting.until)
        return {
            "stations": stations,
            "operators_shifts_ms": shifts_ms,
            "review_total_ms": review_ms,
            "cost_stations_cents": stations * luck.value(costs.station) * 100,
            "cost_operators_cents": shifts_ms * luck.value(costs.operator_hour) * 100 // HOUR,
            "cost_review_cents": review_ms * luck.value(costs.reviewer_hour) * 100 // HOUR,
        }


def _quantile(values: Integers, percent: int) -> int:
    """The value that `percent` of the values do not exceed; 0 where there are none."""
    if len(values) == 0:
        return 0
    rank = max(0, -(-len(values) * percent // 100) - 1)
    return int(np.partition(values, rank)[rank])


def _quantile_of_sorted(values: Integers, percent: int) -> int:
    """The same, of values in rising order."""
    if len(values) == 0:
        return 0
    return int(values[max(0, -(-len(values) * percent // 100) - 1)])


def _counts(times: Integers, at: Integers) -> list[int]:
    """How many of `times` (-1: never) lie at or before each of `at`."""
    happened = np.sort(times[times >= 0])
    return [int(n) for n in np.searchsorted(happened, at, "right")]


def _reached(times: Integers, percent: int) -> int:
    """When `percent` of all sites had happened; -1 for never."""
    happened = np.sort(times[times >= 0])
    rank = max(0, -(-len(times) * percent // 100) - 1)
    return int(happened[rank]) if rank < len(happened) else -1


def _difference(starts: Integers, ends: Integers, grid: Integers) -> list[int]:
    begun, over = np.searchsorted(np.sort(starts), grid, "right"), np.searchsorted(np.sort(ends), grid, "right")
    return [int(n) for n in begun - over]
