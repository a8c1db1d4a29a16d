"""The backend behind the app, played from its measured response curve: what the night asks of it, and what it answers.

Integers and compiled, one set of functions for both engines. The curve says what the backend does at a load that
stays; tonight's load is what was asked in the last minute. Knows nothing of chairs, clocks and events.
"""

from __future__ import annotations

import math
from enum import IntEnum
from fractions import Fraction
from functools import cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from simulation.compiled import kernel
from simulation.night.luck import Luck, ticks
from simulation.night.order import Stream
from simulation.randomness import CERTAIN, TABLE_STEPS, Integers, bits, chance, quantile
from simulation.scenario.curve import NIGHTS, Curve
from simulation.scenario.schema import AppBackend
from simulation.scenario.values import FACTOR, MINUTE, SECOND

_SECONDS = MINUTE // SECOND  # of the window
_PEAK = _SECONDS  # the row of `traffic` behind the window's seconds
_PART_BITS = 16  # between two points of the curve
_MOST = (1 << 46) - 1  # of a load: with _PART_BITS below 2**62
_QUANTILES = (0.5, 0.9, 0.95, 0.99)

_APP_REFUSED = int(Stream.APP_REFUSED)
_APP_LATENCY = int(Stream.APP_LATENCY)


class Step(IntEnum):
    """When something is sent to the backend: places in int64[len(Step)], how many requests of the measured flow."""

    OPENS = 0  # the head count is known
    ALIGNED = 1  # after the first alignment
    REPORTS = 2  # the worksheet is signed
    AGAIN = 3  # each further attempt: the chair signs in again
    PHOTO = 4  # nobody waits for it
    KEYED = 5  # by staff, for each result that did not come by app


REQUESTS = {  # as `caucus loadtest` makes requests of a night
    "login": (1, 0, 0, 1, 0, 0),
    "report": (1, 1, 1, 0, 0, 0),
    "mix": (2, 1, 1, 1, 1, 2),
}


class Phone(IntEnum):
    """Columns of int64[sites, len(Phone)]: what each chair's app has sent."""

    REQUESTS = 0
    UNANSWERED = 1  # of these
    WAITING = 2  # requests to be sent with the next step
    STEPS_HUNG = 3  # of those sent from the room: each of them was an attempt of the chair
    SENDS_AGAIN = 4  # 1 while the app sends again from the room by itself


ROOM_ENTITY = 1 << 35  # with a site: its app, sending again by itself while the room goes on


_REQUESTS = int(Phone.REQUESTS)
_UNANSWERED = int(Phone.UNANSWERED)
_WAITING = int(Phone.WAITING)


class Backend(NamedTuple):
    """The backend tonight. Loads in millionths of a request a minute."""

    load: int  # millionths: how many nights like this one lie on it
    timeout: int  # ms
    resends: int  # by the app itself, one every `timeout`
    requests: Integers  # by Step
    offered: Integers  # (points, 2): load, and the share (2**-32) that is not answered; no points: no backend is played
    latency: Integers  # (points, 1025): quantile tables, ms

    @classmethod
    def tonight(cls, said: AppBackend | None, luck: Luck) -> Backend:
        """Draw the assumptions."""
        if said is None or said.curve is None:
            none = np.zeros((0, 2), np.int64), np.zeros((0, TABLE_STEPS + 1), np.int64)
            return cls(0, 0, 0, np.zeros(len(Step), np.int64), *none)
        curve = said.curve
        stretch = Fraction(1)
        if said.capacity is not None and curve.night_per_s is not None:
            stretch = Fraction(said.capacity, NIGHTS) * Fraction(curve.night_per_s) / Fraction(curve.capacity_per_s)
        offered = [
            (min(_MOST, per_minute(point.offered_per_s, stretch)), round(Fraction(point.error_share) * CERTAIN))
            for point in curve.points
        ]
        return cls(
            load=luck.value(said.load),
            timeout=said.timeout,
            resends=luck.value(said.resends),
            requests=np.array(REQUESTS[curve.flow], np.int64),
            offered=np.array(offered, np.int64),
            latency=np.stack([_quantiles(point.latency_ms) for point in curve.points]),
        )


def per_minute(per_s: float, stretch: Fraction = Fraction(1)) -> int:
    """Requests a second as a load: millionths of a request a minute."""
    return round(Fraction(per_s) * stretch * _SECONDS * FACTOR)


def capacity(said: AppBackend, curve: Curve) -> int:
    """Where the backend breaks, as a load."""
    if said.capacity is None or curve.night_per_s is None:
        return per_minute(curve.capacity_per_s)
    return per_minute(curve.night_per_s, Fraction(said.capacity, NIGHTS))


@cache
def _quantiles(latency_ms: tuple[int, ...]) -> Integers:
    """A quantile table through p50, p90, p95 and p99: p50 below, log-linear between, and on along the last line."""
    corners = [(q, math.log1p(ms)) for q, ms in zip(_QUANTILES, latency_ms, strict=True)]  # 1 + ms: it may be 0
    (q0, low), (q1, high) = corners[-2:]
    corners.append((1.0, high + (high - low) * (1.0 - q1) / (q1 - q0)))
    table = [latency_ms[0]] * (TABLE_STEPS + 1)
    for (start, low), (end, high) in pairwise(corners):
        for step in range(math.ceil(start * TABLE_STEPS), math.floor(end * TABLE_STEPS) + 1):
            at = (step / TABLE_STEPS - start) / (end - start)
            table[step] = round(math.expm1(low + (high - low) * at))
    return np.array(table, np.int64)


def no_traffic() -> Integers:
    """What was asked so far, int64[61, 2]: requests by second of the last minute; the highest load, and when."""
    return np.zeros((_PEAK + 1, 2), np.int64)


@kernel
def arrive(traffic: Integers, now: int, requests: int, load: int) -> int:
    """Requests come in. The load that they are a part of: what came within a minute, times the nights like this one."""
    second = now // SECOND
    slot = second % _SECONDS
    if traffic[slot, 0] != second:
        traffic[slot, 0], traffic[slot, 1] = second, 0
    traffic[slot, 1] += requests
    together = 0
    for row in range(_SECONDS):
        if traffic[row, 0] > second - _SECONDS:
            together += traffic[row, 1]
    offered = min(together * load, _MOST)
    if offered > traffic[_PEAK, 0]:
        traffic[_PEAK, 0], traffic[_PEAK, 1] = offered, now
    return offered


@kernel
def answers_after(
    seed: int, night: int, place: int, ordinal: int, load: int, timeout: int, offered: Integers, latency: Integers
) -> int:
    """How long the app waits for the answer to a request (ms); -1: for nothing, or longer than it does wait.

    Between two points of the curve everything is linear. Below the first one it is as there; beyond the last one the
    backend answers as many as it did there, and no sooner.
    """
    last = len(offered) - 1
    high = 0
    while high < last and offered[high, 0] < load:
        high += 1
    low = high - 1 if high > 0 and offered[high, 0] >= load else high
    part = 0
    if low < high:
        part = ((load - offered[low, 0]) << _PART_BITS) // (offered[high, 0] - offered[low, 0])
    refused = offered[low, 1] + ((offered[high, 1] - offered[low, 1]) * part >> _PART_BITS)
    if load > offered[last, 0]:
        answered = CERTAIN - offered[last, 1]
        refused = CERTAIN - (answered * ((offered[last, 0] << _PART_BITS) // load) >> _PART_BITS)
    if chance(refused, bits(seed, night, place, 0, _APP_REFUSED, ordinal)):
        return -1
    luck = bits(seed, night, place, 0, _APP_LATENCY, ordinal)
    soon, late = quantile(latency[low], luck), quantile(latency[high], luck)
    takes = soon + ((late - soon) * part >> _PART_BITS)
    return takes if takes <= timeout else -1


@kernel
def sends(
    seed: int,
    night: int,
    resolution: int,
    place: int,
    now: int,
    requests: int,
    load: int,
    timeout: int,
    offered: Integers,
    latency: Integers,
    traffic: Integers,
    phone: Integers,
) -> int:
    """The app sends requests, those that wait from before among them, one after the other until one is not answered.

    How long all the answers take (ms, in ticks); -1 where one does not come: that request and those behind it wait.
    """
    phone[_WAITING] += requests
    takes = 0
    while phone[_WAITING] > 0:
        together = arrive(traffic, now, 1, load)
        answer = answers_after(seed, night, place, phone[_REQUESTS], together, timeout, offered, latency)
        phone[_REQUESTS] += 1
        if answer < 0:
            phone[_UNANSWERED] += 1
            return -1
        phone[_WAITING] -= 1
        takes += answer
    return ticks(takes, resolution)
