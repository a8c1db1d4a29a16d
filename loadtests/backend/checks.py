"""What is wrong with a report: coded errors, which are refused, and coded warnings, which a reviewer looks at.

Errors are what cannot be true, or what no worksheet may do; a chair's honest mistake is recorded, and reviewed. The law
is `simulation.rules`; plain integers, nothing to compile. Knows nothing of how a record is kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from loadtests.backend.storage import Caucus, Site
from simulation.rules import law, record

STRAW_POLL = "straw-poll"


class Code(NamedTuple):
    """A code: the HTTP status of what it refuses (0: a warning), and its one line."""

    status: int
    meaning: str


CODES: dict[str, Code] = {
    "R01": Code(404, "there is no site of this code"),
    "R02": Code(409, "the Idempotency-Key was used before, for something else"),
    "R03": Code(409, "the version named is not the record's last one: look again, then decide"),
    "R04": Code(409, "a reason has from 1 to 500 characters, none of them a control character"),
    "R10": Code(409, "the evening begins with the head count: send `open` first"),
    "R11": Code(409, "the first alignment is missing: send it before the final one"),
    "R12": Code(409, "the final alignment is missing: a worksheet is photographed when it is signed"),
    "R13": Code(409, "the step was sent before; N, too, is frozen: a change needs a `correction` with its reason"),
    "R14": Code(409, "a correction of what was never sent"),
    "R15": Code(409, "the hotline is taking this report: two clerks key it, or a reviewer returns it"),
    "R16": Code(
        409, "a complete report is held already: a reviewer must return it before the hotline can take another"
    ),
    "R17": Code(409, "the site's photos would take more than 20 MB"),
    "R20": Code(409, "no group of this name stands on the ballot"),
    "R21": Code(409, "the first alignment holds more people than the head count N"),
    "R22": Code(409, "the final alignment holds more people than the head count N"),
    "R23": Code(409, "a group that was viable is locked: it cannot shrink (rules of 2020)"),
    "R24": Code(409, "failsafe: more delegates awarded than the site elects"),
    "R30": Code(409, "the second entry must be keyed by another clerk"),
    "R31": Code(409, "both entries are in, and differ: a reviewer chooses"),
    "R32": Code(409, "there are no two entries to choose from"),
    "R33": Code(409, "there is nothing to review: the record is not in review"),
    "R34": Code(409, "released by two persons: somebody else must give the second approval"),
    "R35": Code(409, "only a complete record, or a first entry of the hotline, can be returned"),
    "W01": Code(0, record.KINDS["award_not_by_rule"].meaning),
    "W02": Code(0, "fewer delegates awarded than the site elects"),
    "W03": Code(0, record.KINDS["nonviable_awarded"].meaning),
    "W04": Code(0, record.KINDS["viable_group_unawarded"].meaning),
    "W05": Code(0, record.KINDS["more_votes_fewer_delegates"].meaning),
    "W06": Code(0, "nobody is counted in the first or the final alignment; the award was not checked"),
    "W07": Code(0, record.KINDS["single_delegate_not_plurality"].meaning),
    "W08": Code(0, record.KINDS["final_exceeds_first"].meaning),
    "W09": Code(0, "the groups of the first alignment do not add up to the head count N"),
    "W10": Code(0, "more than three times the people expected"),
    "W20": Code(0, "a step was corrected"),
    "W21": Code(0, "two clerks keyed it differently, and a reviewer chose"),
    "W22": Code(0, "the hotline's figures are not those that the app had sent before"),
    "W23": Code(0, "the record was returned, and reported again"),
}

_OF_THE_RECORD = {  # which warning says what `rules.record` found
    record.AWARD_NOT_BY_RULE: "W01",
    record.AWARDED_NOT_ALLOTTED: "W02",
    record.NONVIABLE_AWARDED: "W03",
    record.VIABLE_GROUP_UNAWARDED: "W04",
    record.MORE_VOTES_FEWER_DELEGATES: "W05",
    record.MISSING_ALIGNMENT: "W06",
    record.SINGLE_DELEGATE_NOT_PLURALITY: "W07",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong: its code, a sentence with the numbers, and the field it is about."""

    code: str
    message: str
    field: str | None = None

    def json(self) -> dict[str, str]:
        """As answers carry it."""
        found = {"code": self.code, "message": self.message}
        return found if self.field is None else {**found, "field": self.field}


class RefusedError(Exception):
    """A command that the rules do not allow. `status` is HTTP's, of the first finding."""

    def __init__(self, *findings: Finding) -> None:
        self.findings = findings
        self.status = CODES[findings[0].code].status
        super().__init__("; ".join(f"{finding.code} {finding.message}" for finding in findings))


def finding(code: str, said: str = "", field: str | None = None) -> Finding:
    """A finding; without `said` its message is the code's own line."""
    return Finding(code, said or CODES[code].meaning, field)


Counts = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Figures:
    """What a site reports, as far as it is there. Groups that are not named count nobody."""

    NAMES: ClassVar = ("attendees", "first_alignment", "final", "delegates")  # in the interface

    attendees: int | None = None
    first_alignment: Counts | None = None
    final: Counts | None = None
    delegates: Counts | None = None

    def json(self) -> dict[str, Any]:
        """By the names of the interface."""
        return {name: getattr(self, name) for name in self.NAMES}


def allotted(site: Site, attendees: int, rules: str) -> int:
    """The delegates that a site elects: a satellite's follow from its head count; none where people vote on paper."""
    if rules == STRAW_POLL:
        return 0
    return law.satellite_delegates(attendees) if site.satellite else site.delegates


def has_groups(site: Site, rules: str) -> bool:
    """Whether the site aligns: not where one delegate is elected by majority, nor where people vote on paper."""
    return rules != STRAW_POLL and (site.satellite or site.delegates > 1)


def errors(caucus: Caucus, site: Site, figures: Figures) -> list[Finding]:
    """What cannot be true of figures as far as they are there, or what no worksheet may do."""
    return list(_errors(caucus, site, figures))


def _errors(caucus: Caucus, site: Site, figures: Figures) -> Iterator[Finding]:
    unknown = False
    for field, counts in (
        ("first_alignment", figures.first_alignment),
        ("final", figures.final),
        ("delegates", figures.delegates),
    ):
        for group in counts or ():
            if group not in caucus.groups:
                unknown = True
                yield finding("R20", "no such group; " + ", ".join(caucus.groups), f"{field}.{group[:64]}")
    if unknown or figures.attendees is None:
        return
    n = figures.attendees
    first_total = sum((figures.first_alignment or {}).values())
    final_total = sum((figures.final or {}).values())
    if first_total > n:
        yield finding("R21", f"{first_total} people in the groups of the first alignment, N is {n}", "first_alignment")
    if final_total > n:
        yield finding("R22", f"{final_total} people in the groups of the final alignment, N is {n}", "final")
    if figures.final is None:
        return
    elects = allotted(site, n, caucus.rules)
    if caucus.rules == "2020" and figures.first_alignment is not None and max(first_total, final_total) <= n:
        first, final = _row(caucus, figures.first_alignment), _row(caucus, figures.final)
        if record.broken_by_alignment(first, final, elects, n, final_total) & record.VIABLE_GROUP_SHRANK:
            for group, before, after in zip(caucus.groups, first, final, strict=True):
                if after < before and law.is_viable(before, elects, n):
                    yield finding(
                        "R23", f"{group} was viable with {before} and cannot shrink to {after}", f"final.{group}"
                    )
    awarded = sum((figures.delegates or {}).values())
    if awarded > elects:
        yield finding("R24", f"{awarded} delegates awarded, the site elects {elects}", "delegates")


def warnings(caucus: Caucus, site: Site, figures: Figures) -> list[Finding]:
    """What a reviewer should see in complete figures that have no errors."""
    n = figures.attendees or 0
    first = _row(caucus, figures.first_alignment or {})
    final = _row(caucus, figures.final or {})
    elects = allotted(site, n, caucus.rules)
    found = []
    if figures.first_alignment or has_groups(site, caucus.rules):
        if sum(first) != n:
            found.append(finding("W09", f"{sum(first)} people in the groups of the first alignment, N is {n}"))
        if sum(final) > sum(first):
            found.append(finding("W08", f"{sum(final)} people in the final alignment, {sum(first)} in the first"))
    if caucus.rules == STRAW_POLL:
        if sum(final) == 0:
            found.append(finding("W06"))
    else:
        awarded = _row(caucus, figures.delegates or {})
        mask = record.check_totals(first, final, awarded, elects, n, sum(final))
        found += [finding(code, _told(code, awarded, elects)) for bit, code in _OF_THE_RECORD.items() if mask & bit]
    if n > 3 * site.attendance and n > 50:
        found.append(finding("W10", f"{n} people came, {site.attendance} were expected"))
    return found


def _told(code: str, awarded: list[int], elects: int) -> str:
    return f"{sum(awarded)} delegates awarded, the site elects {elects}" if code == "W02" else ""


def _row(caucus: Caucus, counts: Counts) -> list[int]:
    """Counts in the order of the groups."""
    return [counts.get(group, 0) for group in caucus.groups]


def codes_markdown() -> str:
    """The table of the reference page."""
    rows = [f"| {code} | {status or 'warning'} | {meaning} |" for code, (status, meaning) in CODES.items()]
    return "\n".join(("| code | status | meaning |", "|---|---|---|", *rows)) + "\n"
