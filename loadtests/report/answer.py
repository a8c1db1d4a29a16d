"""What a load test came to, in a sentence: for a terminal, and at the top of a page. Text only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from loadtests.breaking_point import STAYS_DOWN, BreakingPoint
from loadtests.reconciliation import knows_what_is_stored
from loadtests.report.words import (
    flow_name,
    joined,
    length,
    middle,
    operation_name,
    per_s,
    place_name,
    resource_name,
    sentence,
    significant,
    span,
    typeset,
)
from simulation.words import number, plural

WRONG = {  # kinds of `reconciliation.KINDS`, in the order of their weight
    "lost": ("lost", "acknowledged, and not stored"),
    "altered": ("altered", "stored with another content, for another site or step"),
    "duplicated": ("duplicated", "one write stored as several"),
    "mis_tallied": ("mis-tallied", "public figures that are not the sum of what was accepted"),
    "out_of_order": ("out of order", "stored before what had been acknowledged earlier"),
}


def answer(point: BreakingPoint, broke_at: str | None, ledger: Mapping[str, Any] | None) -> str:
    """Where a flow breaks, why, whether it comes back, what was lost. `broke_at`: which operation of a mix broke."""
    parts = [_where(point, f"at {operation_name(broke_at)}" if broke_at else place_name(point.flow))]
    if point.limited_by and point.requests_per_s[1] is not None:
        parts[0] += f", because of {resource_name(point.limited_by)}"
    if point.requests_per_s[0] and point.requests_per_s[1] is None and point.why:
        parts.append(point.why)
    if stayed_down(point):
        parts.append(STAYS_DOWN)
    parts += _recovers(point)
    if not point.valid and point.requests_per_s[1] is not None:
        parts.append("not as sure as it should be")
    return with_ledger("; ".join(parts), ledger)


def stayed_down(point: BreakingPoint) -> bool:
    """Whether the search ended on a backend that was down, though it knew enough by then."""
    return point.valid and point.why == STAYS_DOWN


def short_answer(point: BreakingPoint) -> str:
    """The answer for one flow among several."""
    (low, high), nights = point.requests_per_s, point.nights
    name = sentence(flow_name(point.flow)).rstrip(".")
    ends, unit = (nights, "nights") if nights is not None else ((low, high), "requests/s")
    if ends[1] is None and not low:
        return f"{name}: no trial says anything."
    if ends[1] is None:
        why = f"; {point.why}" if point.why else ""
        return sentence(f"{name}: does not break up to {significant(ends[0], 2)} {unit}{why}")
    said = f"{middle(ends[0], ends[1])} {unit} ({span(ends[0], ends[1])})" if low else f"below {per_s(ends[1])}"
    because = f", because of {resource_name(point.limited_by)}" if point.limited_by else ""
    first = f"; first {objective_missed(point.broke[0])}" if point.broke else ""
    return f"{name}: {said}{because}{first}."


def objective_missed(objective: str) -> str:
    """What it means that an objective was not kept."""
    return {
        "goodput_share >= 99 %": "fewer than 99 % of the requests were answered well",
        "backlog_slope <= 0": "the backlog kept growing",
        "lost <= 0": "an acknowledged write was lost",
    }.get(objective, f"it missed {typeset(objective)}")


def with_ledger(story: str, ledger: Mapping[str, Any] | None) -> str:
    """A finding, and whether anything was lost, where that was looked at."""
    return sentence(story if ledger is None else f"{story}; {ledger_sentence(ledger)}")


def ledger_sentence(ledger: Mapping[str, Any] | None) -> str:
    """Whether anything that was acknowledged is lost, in half a sentence."""
    if ledger is None:
        return "whether anything acknowledged was lost was not looked at"
    wrong = [f"{number(ledger[kind])} {WRONG[kind][0]}" for kind in WRONG if ledger.get(kind)]
    if wrong:
        return f"{joined(wrong)} of {plural(ledger['acknowledged'], 'acknowledged write')}"
    if not ledger["acknowledged"]:
        return "nothing was acknowledged that could have been lost"
    if not knows_what_is_stored(ledger):
        return f"whether anything acknowledged was lost is not known: {ledger['not_read']}"
    return "nothing acknowledged was lost"


def _where(point: BreakingPoint, place: str) -> str:
    """Where it breaks, in nights where their size is known."""
    (low, high), nights = point.requests_per_s, point.nights
    in_s = "" if nights is None else f" ({per_s(low)})"
    if high is None and not low:
        return f"says nothing about what it takes, {place}: {point.why}"
    if high is None:
        up_to = f"{significant(nights[0], 2)} times the busiest minute of caucus night" if nights else per_s(low)
        return f"does not break up to {up_to}{in_s}, {place}"
    if low == 0:
        least = f" ({significant(high / point.night_per_s, 2)} nights)" if point.night_per_s else ""
        return f"breaks at {per_s(high)}{least} already, the least that was tried, {place}"
    if nights is None or nights[1] is None:
        return f"breaks at {middle(low, high)} requests/s ({span(low, high)}), {place}"
    value = middle(nights[0], nights[1])
    return f"breaks at {value} times the busiest minute of caucus night ({span(nights[0], nights[1])}), {place}"


def _recovers(point: BreakingPoint) -> list[str]:
    alone = next((found for found in point.recoveries if not found.retries), None)
    insisting = next((found for found in point.recoveries if found.retries), None)
    stuck = insisting is not None and bool(insisting.metastable)
    trying = f"while clients try {insisting.retries} times again (metastable)" if insisting is not None else ""
    if alone is None or alone.metastable is None:
        return [f"after overload it does not come back {trying}"] if stuck else []
    if alone.metastable:
        return ["after overload it does not come back, though the load is normal again (metastable)"]
    if alone.recovery_s is None:
        said = "after overload it did not come back in time, which says little"
    else:
        said = f"after overload it recovers {f'in {length(alone.recovery_s)}' if alone.recovery_s else 'at once'}"
    return [f"{said}, but not {trying}" if stuck else said]
