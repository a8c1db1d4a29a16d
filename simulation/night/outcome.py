"""What a night came to: one row a precinct, one row for the night, and every call. Integers only.

Knows nothing of how the night was played: an engine fills in `Played`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from simulation.night import events
from simulation.night.curves import GRID, LINE_GRID, LINE_STEP, QUANTILES, SHARES_HELD, SIZE_CLASSES, STEP
from simulation.night.events import EventLog
from simulation.night.hotline import Calling, Outcome
from simulation.night.order import Call, Channel, Stream
from simulation.night.records import differs
from simulation.night.setting import Setting
from simulation.randomness import Integers
from simulation.rules.national import DISTRICTS, allocate
from simulation.rules.sde import NANO
from simulation.scenario.values import HOUR

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class Played:
    """What an engine hands over; times in ms with -1 for never, arrays by site."""

    setting: Setting
    wait_ms: list[Integers]  # by site, then by person
    in_at: list[Integers]
    arrived_at: list[Integers]
    stations: Integers  # at check-in
    forms_ran_out_at: Integers  # the first time
    started_at: Integers
    ready_at: Integers
    app_attempts: Integers
    received_at: Integers
    channel: Integers
    cleared_at: Integers
    released_at: Integers
    reported: Integers  # (sites, 3, groups)
    keying_errors: Integers
    findings: Integers
    calls: Sequence[Calling]
    on_duty: Sequence[tuple[int, int]]  # (from ms, operators), in order
    log: EventLog | None


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
        call_to_order = setting.call_to_order
        return pl.DataFrame(
            {
                "id": roster.ids,
                "county": roster.counties,
                "precinct": roster.precincts,
                "people": setting.people,
                "stations": played.stations,
                "wait_p50_ms": [_quantile(wait, 50) for wait in played.wait_ms],
                "wait_p90_ms": [_quantile(wait, 90) for wait in played.wait_ms],
                "wait_max_ms": [int(wait.max(initial=0)) for wait in played.wait_ms],
                "in_line_at_call_to_order": [int((at > call_to_order).sum()) for at in played.in_at],
                "last_in_at_ms": [int(at.max(initial=-1)) for at in played.in_at],
                "forms_ran_out_at_ms": played.forms_ran_out_at,
                "chair_missing": [room.chair_missing for room in setting.rooms],
                "chair_untrained": [room.untrained for room in setting.rooms],
                "chair_there_at_ms": [room.chair_there for room in setting.rooms],
                "move_ms": [room.move for room in setting.rooms],
                "counts": [room.counts for room in setting.rooms],
                "started_at_ms": played.started_at,
                "start_delay_ms": np.where(played.started_at < 0, -1, played.started_at - call_to_order),
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

        names = ("about", "site", "entity", "attempt", "dialed", "answered", "ended", "outcome")
        return pl.DataFrame({name: [int(getattr(call, name)) for call in self.played.calls] for name in names})

    def summary(self) -> dict[str, Any]:
        """The shape of summary.json, for this one night."""
        from simulation.night.summary import summarize

        return summarize(self.setting.scenario, self.setting.luck.seed, [self.row])

    @cached_property
    def row(self) -> dict[str, Any]:
        """The night in integers and lists of integers: a row of nights.parquet."""
        played, setting = self.played, self.setting
        waits = np.concatenate([np.empty(0, np.int64), *played.wait_ms])
        grid = setting.call_to_order + STEP * np.arange(GRID)
        delays = np.sort((played.started_at - setting.call_to_order)[played.started_at >= 0])
        history = setting.spec.history
        true, reported = self._sde(setting.true_records), self._sde(played.reported, played.received_at >= 0)
        return {
            "night": setting.luck.night,
            "sites": setting.sites,
            "people": int(setting.people.sum()),
            **{f"wait_p{q}_ms": _quantile(waits, q) for q in QUANTILES},
            "wait_mean_ms": int(waits.sum()) // len(waits) if len(waits) else 0,
            "wait_total_ms": int(waits.sum()),
            "in_line_at_call_to_order": sum(int((at > setting.call_to_order).sum()) for at in played.in_at),
            "in_line": self._in_line(),
            "wait_p90_by_size_ms": self._wait_by_size(),
            **{f"start_delay_p{q}_ms": _quantile(delays, q) for q in QUANTILES},
            "start_delay_max_ms": int(delays.max(initial=0)),
            "reported": _counts(played.received_at, grid),
            "released": _counts(played.released_at, grid),
            "reported_at_history": _counts(played.received_at, np.array([p.at for p in history.reported], np.int64)),
            "released_at_history": _counts(played.released_at, np.array([p.at for p in history.released], np.int64)),
            **{f"held_p{q}_at_ms": _reached(played.received_at, q) for q in SHARES_HELD},
            "channels": np.bincount(played.channel, minlength=len(Channel)).tolist(),
            "app_by_grid": _counts(np.where(played.channel == Channel.APP, played.received_at, -1), grid),
            "app_tried": int((played.app_attempts > 0).sum()),
            **self._hotline(grid),
            "holds_at_history_ms": [self._hold_when_answered(point.at) for point in history.holds],
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

    # Check-in

    def _in_line(self) -> list[int]:
        """People in line every 5 minutes, all precincts together."""
        arrived = np.sort(np.concatenate([np.empty(0, np.int64), *self.played.arrived_at]))
        inside = np.sort(np.concatenate([np.empty(0, np.int64), *self.played.in_at]))
        at = self.setting.call_to_order - HOUR + LINE_STEP * np.arange(LINE_GRID)
        came, went = np.searchsorted(arrived, at, "right"), np.searchsorted(inside, at, "right")
        return [int(n) for n in came - went]

    def _wait_by_size(self) -> list[int]:
        """The wait that one person in ten exceeds, by class of precinct size; -1 for an empty class."""
        classes = np.searchsorted(SIZE_CLASSES, self.setting.people, "left")
        found = []
        for size in range(len(SIZE_CLASSES) + 1):
            waits = [self.played.wait_ms[site] for site in np.flatnonzero(classes == size)]
            together = np.concatenate([np.empty(0, np.int64), *waits])
            found.append(_quantile(together, 90) if len(together) else -1)
        return found

    # Hotline

    def _hotline(self, grid: Integers) -> dict[str, Any]:
        calls = self.played.calls
        outcomes = np.array([call.outcome for call in calls], dtype=np.int64)
        reports = [call for call in calls if call.about == Call.REPORT and call.answered >= 0]
        holds = np.array([call.answered - call.dialed for call in reports], dtype=np.int64)
        starts = np.sort(np.array([call.answered for call in calls if call.answered >= 0], dtype=np.int64))
        ends = np.sort(
            np.array([call.ended for call in calls if call.answered >= 0 and call.ended >= 0], dtype=np.int64)
        )
        held = [call for call in calls if self._left_queue(call) > call.dialed]
        joined = np.sort(np.array([call.dialed for call in held], dtype=np.int64))
        left = np.sort(np.array([self._left_queue(call) for call in held], dtype=np.int64))
        until = int(grid[-1])
        staffed = self._staffed(int(grid[0]), until)
        busy = sum(
            max(0, min(until, call.ended if call.ended >= 0 else until) - max(int(grid[0]), call.answered))
            for call in calls
            if call.answered >= 0
        )
        return {
            "calls": len(calls),
            "calls_by_kind": [sum(call.about == about for call in calls) for about in Call],
            "answered": int((outcomes >= Outcome.SILENT).sum()),
            "hung_up": int((outcomes == Outcome.HUNG_UP).sum()),
            "busy_tones": int((outcomes == Outcome.BUSY).sum()),
            **{f"hold_p{q}_ms": _quantile(holds, q) for q in QUANTILES},
            "hold_mean_ms": int(holds.sum()) // len(holds) if len(holds) else 0,
            "hold_when_answered_by_grid_ms": [self._hold_when_answered(int(at)) for at in grid],
            "hold_if_dialed_by_grid_ms": [self._hold_if_dialed(int(at)) for at in grid],
            "queue_by_grid": _difference(joined, left, grid),
            "busy_by_grid": _difference(starts, ends, grid),
            "on_duty_by_grid": [self._on_duty_at(int(at)) for at in grid],
            "operators_busy_ms": busy,
            "operators_on_duty_ms": staffed,
            "chairs_hold_total_ms": sum(
                self._left_queue(call) - call.dialed for call in calls if call.about in (Call.REPORT, Call.HELP)
            ),
        }

    def _left_queue(self, call: Calling) -> int:
        """When a call was answered or gave up; the end of the simulation where it did neither."""
        return next((at for at in (call.answered, call.ended) if at >= 0), self.setting.until)

    def _hold_if_dialed(self, at: int) -> int:
        """How long a patient caller who dials at `at` will hold: as the next caller whom somebody answers; -1: none."""
        return self._hold_of_next(0, at)

    def _hold_when_answered(self, at: int) -> int:
        """How long the caller who is answered next has been on hold; -1: nobody is."""
        return self._hold_of_next(1, at)

    def _hold_of_next(self, column: int, at: int) -> int:
        index = int(np.searchsorted(self._answered[column], at))
        if index < self._answered.shape[1] and self._answered[column, index] - at <= STEP:
            return int(self._answered[1, index] - self._answered[0, index])
        return -1

    @cached_property
    def _answered(self) -> Integers:
        """When answered callers dialed and when they were answered: int64[2, calls]; both rise, first come first."""
        pairs = sorted((call.dialed, call.answered) for call in self.played.calls if call.answered >= 0)
        return np.array(pairs, dtype=np.int64).reshape(-1, 2).T

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
        count, hold = np.zeros(self.setting.sites, np.int64), np.zeros(self.setting.sites, np.int64)
        for call in self.played.calls:
            if call.site >= 0 and call.about != Call.CALLBACK:
                count[call.site] += 1
                hold[call.site] += self._left_queue(call) - call.dialed
        return count, hold

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
        pairs = zip(self.played.received_at, self.played.reported, self.setting.true_records, strict=True)
        return np.array([at >= 0 and differs(ours, true) for at, ours, true in pairs], dtype=np.int64)

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
        stations, shifts_ms = int(played.stations.sum()), self._staffed(0, setting.until)
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
    return [int(n) for n in np.searchsorted(starts, grid, "right") - np.searchsorted(ends, grid, "right")]
