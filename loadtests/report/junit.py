"""What a load test was required to keep to, and whether it did: for exit codes, and as JUnit XML for a CI's page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from xml.etree import ElementTree as ET

from loadtests.reconciliation import KINDS, knows_what_is_stored
from simulation.errors import InputError

if TYPE_CHECKING:
    from loadtests.breaking_point import BreakingPoint
    from loadtests.objectives import Judgement, Objective

NOT_KEPT = 3  # exit code: something that is required does not hold
UNKNOWN = 1  # exit code: whether it holds is not known


class Check(NamedTuple):
    """One thing that was required. `group`: of which flow, or which part of a run."""

    group: str
    name: str
    holds: bool
    says: str  # what was found, in a line
    seconds: float = 0.0
    unknown: bool = False  # it does not hold because nobody knows, not because it was missed


def checks_of_break(
    points: Sequence[BreakingPoint],
    requirements: Sequence[Objective],
    ledger: Mapping[str, Any] | None,
    not_held: Sequence[str] = (),
) -> list[Check]:
    """Every requirement of every flow, and nothing lost. A flow whose answer is not valid says so."""
    found = []
    for point in points:
        says = _interval(point)
        for requirement in requirements:
            holds = point.meets(requirement)
            found.append(Check(point.flow, requirement.text, holds, says, point.seconds))
        if not requirements:  # a page of CI that shows what was found all the same
            found.append(Check(point.flow, "a breaking point was found", point.valid, says, point.seconds))
    return found + checks_of_ledger(ledger, not_held)


def checks_of_judgement(group: str, judgement: Judgement, seconds: float) -> list[Check]:
    """Every objective in one stretch of load."""
    return [Check(group, one.objective.text, one.holds, one.shown, seconds) for one in judgement.findings]


def checks_of_ledger(ledger: Mapping[str, Any] | None, not_held: Sequence[str] = ()) -> list[Check]:
    """Whether anything was acknowledged, and all of it is stored; nothing where nothing was written.

    `not_held`: why a ledger could not be looked at, though the backend was said to tell; nobody knows what is lost
    then. Where nobody was to read what is stored, only the public results are judged.
    """
    found = [Check("ledger", "could be held against what is stored", False, why) for why in not_held]
    if ledger is None:
        return found
    wrong = [f"{ledger[kind]:,} {kind.replace('_', ' ')}" for kind in KINDS if ledger.get(kind)]
    known = knows_what_is_stored(ledger)
    kept = "each stored as it was sent" if ledger["acknowledged"] and known else ledger["verdict"]
    says = f"{ledger['acknowledged']:,} acknowledged: {', '.join(wrong) or kept}"
    name = "nothing lost" if known else "the public results hold nothing against it"
    return [*found, Check("ledger", name, bool(ledger["clean"]), says)]


def exit_code(checks: Iterable[Check]) -> int:
    """0, or 3 where anything does not hold; 1 where that is known of nothing, and something is not known."""
    missed = [check for check in checks if not check.holds]
    if not missed:
        return 0
    return UNKNOWN if all(check.unknown for check in missed) else NOT_KEPT


def write_junit(path: Path, name: str, checks: Sequence[Check]) -> None:
    """A JUnit file: one suite a group, one case a check. InputError where it cannot be written."""
    groups: dict[str, list[Check]] = {}
    for check in checks:
        groups.setdefault(check.group, []).append(check)
    root = ET.Element("testsuites", {"name": name, **_counted(checks)})
    for group, several in groups.items():
        seconds = max(check.seconds for check in several)
        told = {"name": group, **_counted(several), "skipped": "0", "time": f"{seconds:.3f}"}
        suite = ET.SubElement(root, "testsuite", told)
        for check in several:
            case = ET.SubElement(
                suite, "testcase", classname=f"{name}.{group}", name=check.name, time=f"{check.seconds:.3f}"
            )
            if not check.holds:
                found, kind = ("error", "void") if check.unknown else ("failure", "objective missed")
                ET.SubElement(case, found, message=check.says, type=kind).text = check.says
            ET.SubElement(case, "system-out").text = check.says
    ET.indent(root)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(ET.tostring(root, encoding="utf-8", xml_declaration=True) + b"\n")
    except OSError as error:
        raise InputError(f"--junit {path}: cannot be written: {error.strerror}") from None


def _counted(checks: Sequence[Check]) -> dict[str, str]:
    """How many, how many were missed, and of how many nobody knows."""
    unknown = sum(not check.holds and check.unknown for check in checks)
    missed = sum(not check.holds for check in checks) - unknown
    return {"tests": str(len(checks)), "failures": str(missed), "errors": str(unknown)}


def _interval(point: BreakingPoint) -> str:
    low, high = point.requests_per_s
    ends = f"{low:.4g}/s or more" if high is None else f"{low:.4g} to {high:.4g}/s"
    nights = point.nights
    if nights is not None:
        ends += (
            f", {nights[0]:.3g} nights or more" if nights[1] is None else f", {nights[0]:.3g} to {nights[1]:.3g} nights"
        )
    if point.recovery_s is not None:
        ends += f", recovers in {point.recovery_s:.0f} s"
    elif point.metastable:
        ends += ", does not recover (metastable)"
    elif point.no_recovery is not None:
        ends += f", recovery not known: {point.no_recovery}"
    return ends + ("" if point.valid else f"; not valid: {point.why}")
