"""Where two nights that should be the same first differ, told in words: the event, what led to it, then any number.

For tests of the engines against each other. Knows nothing of how a night is played, and holds no kernels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any

import numpy as np

from simulation.night.backend import Phone
from simulation.night.events import HOTLINE, NAMES
from simulation.night.metrics import EVENTS
from simulation.night.order import Call, Kind, Rank
from simulation.night.outcome import Called, Night, PerPerson, Played
from simulation.night.records import DELEGATES, FINAL, FIRST
from simulation.night.reporting import CALLBACK_ENTITY, HELP_ENTITY, NUISANCE_ENTITY, STRANGER_MASK, WINDOW_BITS
from simulation.randomness import Integers
from simulation.scenario.values import SECOND, format_clock

_LED_TO_IT = 4  # events told before the first that differs
_AT_THE_DOOR = (Kind.JOINED, Kind.SERVED, Kind.CHECKED_IN)
_AT_THE_PHONE = (Kind.DIALED, Kind.BUSY, Kind.ANSWERED, Kind.HUNG_UP, Kind.CLOSED, Kind.CALL_ENDED)
_RECORD_ROWS = {FIRST: "first alignment", FINAL: "final alignment", DELEGATES: "delegates"}


def first_difference(one: Night, other: Night, names: tuple[str, str] = ("one", "other")) -> str | None:
    """The first difference of two nights of one scenario in words, or None where every integer is the same.

    Events come first, in the order in which they were written (nights without a log are compared without), then each
    array of `Played`, then the night's row and its precincts. `names` tell the two nights apart.
    """
    ids = one.setting.roster.ids
    if ids != other.setting.roster.ids:
        return f"not the same precincts: {names[0]} has {len(ids)}, {names[1]} {len(other.setting.roster.ids)}"
    return (
        _in_events(one.played.log, other.played.log, ids, names)
        or _in_arrays(one.played, other.played, ids, names)
        or _in_row(one.row, other.row, names)
        or _in_precincts(one, other, names)
    )


def _in_events(
    one: Integers | None, other: Integers | None, ids: tuple[str, ...], names: tuple[str, str]
) -> str | None:
    if one is None or other is None:
        return None
    common = min(len(one), len(other))
    differs = (one[:common] != other[:common]).any(axis=1)
    if not differs.any() and len(one) == len(other):
        return None
    at = int(differs.argmax()) if differs.any() else common
    lengths = f"{names[0]} has {len(one):,} events, {names[1]} {len(other):,}"
    told = [f"event {at:,} differs ({lengths}; the first is event 0)"]
    told += [
        f"  {name}: {event_in_words(log[at], ids) if at < len(log) else 'no more events'}"
        for name, log in zip(names, (one, other), strict=True)
    ]
    told.append("before it, the same in both:" if at else "nothing happened before it")
    told += [f"  {event_in_words(row, ids)}" for row in one[max(0, at - _LED_TO_IT) : at]]
    return "\n".join(told)


def event_in_words(event: Integers, ids: tuple[str, ...]) -> str:
    """A row of the log for people: when, where, what happened to whom, and every number of it by its name."""
    row = dict(zip(NAMES, event.tolist(), strict=True))
    place = "hotline" if row["site"] == HOTLINE else _site(row["site"], ids)
    what, value = f"kind {row['kind']}, which there is not", "no meaning"
    if row["kind"] in EVENTS:
        kind = Kind(row["kind"])
        what, value = f"{kind.name}, {EVENTS[kind][0]}", EVENTS[kind][1]
    rank = Rank(row["rank"]).name if row["rank"] in tuple(Rank) else row["rank"]
    return (
        f"{_clock(row['at_ms'])} {place}: {what}; {_who(row['kind'], row['entity'])}entity {row['entity']}, "
        f"attempt {row['attempt']}, value {row['value']} ({value}), at_ms {row['at_ms']}, inside {rank}"
    )


def _who(kind: int, entity: int) -> str:
    """Whom the entity of an event stands for."""
    if kind in _AT_THE_DOOR:
        return f"person {entity}, "
    if kind not in _AT_THE_PHONE:
        return ""
    if entity & HELP_ENTITY:
        return "for a chair without a working app, "
    if entity & CALLBACK_ENTITY:
        return "called back, "
    if entity & NUISANCE_ENTITY:
        stranger = entity & STRANGER_MASK
        return f"stranger {stranger & (1 << WINDOW_BITS) - 1} of window {stranger >> WINDOW_BITS}, "
    return "the chair, "


def _clock(at: int) -> str:
    if at < 0:
        return "never"
    return f"{format_clock(at // SECOND * SECOND)}{'' if at // SECOND % 60 else ':00'}.{at % SECOND:03d}"


def _site(site: int, ids: tuple[str, ...]) -> str:
    return f"{ids[site]} (site {site})" if 0 <= site < len(ids) else f"site {site}, which there is not"


# Arrays


def _in_arrays(one: Played, other: Played, ids: tuple[str, ...], names: tuple[str, str]) -> str | None:
    """The first array of `Played` that differs, where, and both values."""

    def by_site(at: tuple[int, ...]) -> str:
        return _site(at[0], ids)

    def by_record(at: tuple[int, ...]) -> str:
        group = one.setting.groups[at[2]]
        return f"{_site(at[0], ids)}, {_RECORD_ROWS[at[1]]}, {group}"

    def by_person(at: tuple[int, ...]) -> str:
        site = int(np.searchsorted(one.arrived_at.offsets, at[0], "right")) - 1
        return f"{_site(site, ids)}, person {at[0] - int(one.arrived_at.offsets[site])}"

    def by_phone(at: tuple[int, ...]) -> str:
        return f"{_site(at[0], ids)}, {Phone(at[1]).name}"

    def by_call(at: tuple[int, ...]) -> str:
        call = Called(*one.calls[at[0]].tolist())
        about = Call(call.about).name if call.about in tuple(Call) else call.about
        return f"call {at[0]} ({about}, entity {call.entity}, attempt {call.attempt}), {Called._fields[at[1]]}"

    for field in fields(Played):
        if field.name in ("setting", "log"):
            continue
        ours, theirs = getattr(one, field.name), getattr(other, field.name)
        where: Callable[[tuple[int, ...]], str] = {"reported": by_record, "calls": by_call}.get(field.name, by_site)
        if field.name == "backend_peak":
            where = "the busiest minute, number {0[0]} of load and time".format
        elif field.name == "phones":
            where = by_phone
        if isinstance(ours, PerPerson):
            if not np.array_equal(ours.offsets, theirs.offsets):
                return f"{field.name}: not the same number of people in every precinct"
            ours, theirs, where = ours.values, theirs.values, by_person
        elif field.name == "on_duty":
            ours, theirs = (np.array(rota, dtype=np.int64).reshape(-1, 2) for rota in (ours, theirs))
            where = "change {0[0]} of shifts, column {0[1]}".format
        found = _in_array(ours, theirs, where, names)
        if found:
            return f"{field.name}: {found}"
    return None


def _in_array(
    one: Integers, other: Integers, where: Callable[[tuple[int, ...]], str], names: tuple[str, str]
) -> str | None:
    if one.dtype != other.dtype or one.shape[1:] != other.shape[1:]:
        return f"{names[0]} has {one.dtype}{list(one.shape)}, {names[1]} {other.dtype}{list(other.shape)}"
    common = min(len(one), len(other))
    places = np.argwhere(one[:common] != other[:common])
    if len(places):
        at = tuple(places[0].tolist())
        return f"{where(at)}: {names[0]} has {one[at]}, {names[1]} {other[at]} ({len(places):,} places differ)"
    if len(one) != len(other):
        return f"{names[0]} has {len(one):,} entries, {names[1]} {len(other):,}; the first {common:,} are the same"
    return None


# What a night came to


def _in_row(one: dict[str, Any], other: dict[str, Any], names: tuple[str, str]) -> str | None:
    for name in [*one, *(name for name in other if name not in one)]:
        ours, theirs = (row.get(name, "no such metric") for row in (one, other))
        if ours != theirs:
            return f"row, {name}: {names[0]} has {ours}, {names[1]} {theirs}"
    return None


def _in_precincts(one: Night, other: Night, names: tuple[str, str]) -> str | None:
    ours, theirs = one.precincts, other.precincts
    if ours.equals(theirs):
        return None
    for name in ours.columns:
        for site, (mine, yours) in enumerate(zip(ours[name].to_list(), theirs[name].to_list(), strict=True)):
            if mine != yours:
                return f"precincts, {name}, {ours['id'][site]}: {names[0]} has {mine}, {names[1]} {yours}"
    return f"precincts: {names[0]} has the columns {ours.schema}, {names[1]} {theirs.schema}"
