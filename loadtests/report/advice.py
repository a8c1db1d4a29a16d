"""What to fix first: a few rules from what broke and what ran out to where to look. Knows no backend in particular."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from loadtests.breaking_point import BreakingPoint
from loadtests.report.words import flow_name, resource_name, significant

_ENOUGH_NIGHTS = 2.0  # a backend below that has no room for a night that is worse than most


class Advice(NamedTuple):
    """One thing to do, and what speaks for it."""

    what: str
    why: str


def advice(points: Sequence[BreakingPoint], ledger: Mapping[str, Any] | None) -> list[Advice]:
    """In order of weight: what is lost, what does not come back, what breaks first."""
    found = []
    wrong = {kind: ledger.get(kind, 0) for kind in ("lost", "altered", "duplicated", "mis_tallied")} if ledger else {}
    if wrong.get("lost"):
        found.append(
            Advice(
                "Acknowledge a write only once it is stored",
                f"{wrong['lost']:,} acknowledged writes are not there: no load that it bears outweighs that",
            )
        )
    if wrong.get("duplicated"):
        found.append(
            Advice(
                "Store each idempotency key once",
                f"{wrong['duplicated']:,} writes are stored more than once: retries after lost answers count twice",
            )
        )
    if wrong.get("altered") or wrong.get("mis_tallied"):
        found.append(
            Advice("Find out where figures change between answer and result", "what is stored is not what was sent")
        )
    for point in points:
        stuck = [one for one in point.recoveries if one.metastable]
        if stuck:
            with_retries = all(one.retries for one in stuck)
            found.append(
                Advice(
                    f"Refuse early at {flow_name(point.flow)}: a short queue, 503 and Retry-After once it is full",
                    "after an overload it stays down at normal load"
                    + (" while clients try again" if with_retries else "")
                    + ": it works on requests that nobody waits for any more",
                )
            )
    broke = [point for point in points if point.requests_per_s[1] is not None]
    return found + [_of(point) for point in sorted(broke, key=lambda p: (p.nights or p.requests_per_s)[0])[:2]]


def _of(point: BreakingPoint) -> Advice:
    what, at = point.limited_by, flow_name(point.flow)
    nights = point.nights
    room = ""
    if nights is not None and nights[0] < _ENOUGH_NIGHTS:
        room = f"; {significant(nights[0], 2)} nights leave no room for a night that is worse than most"
    if what == "generator":
        return Advice("Give the generator more cores, or --workers", "it was the limit, not the backend")
    if what is None:
        watched = any(name.startswith("service.") for tried in point.trials for name in tried.trial.resources)
        used = (
            "neither processor nor disk was used up"
            if watched
            else "none of its processes could be watched: nobody could look whether processor or disk was used up"
        )
        return Advice(
            f"Look for what waits at {at}: a lock, a pool of connections, a queue with a limit",
            f"it breaks, and {used}{room}",
        )
    if what.startswith("metrics."):
        name = what.removeprefix("metrics.")
        return Advice(f"{at.capitalize()}: shorten the line that {name} counts", f"requests waited there{room}")
    if what.startswith("machine.cpu"):
        return Advice(f"Find out whose processor time {at} takes", f"a core of the machine was used up{room}")
    if what.endswith((".cpu", ".cpu_max")):
        owner = what.partition(".")[0]
        more = "profile it under this flow; then more processes, if the work can be shared"
        if owner == "database":
            more = "look at the database's slowest statements, and at how many there are for each request"
        return Advice(f"{at.capitalize()}: {more}", f"{resource_name(what)} was used up{room}")
    if "disk" in what:
        return Advice(f"{at.capitalize()}: let several writes share a commit", f"the disk was busy all the time{room}")
    return Advice(f"{at.capitalize()}: more of {resource_name(what)}, or shorter use of it", f"it ran out{room}")
