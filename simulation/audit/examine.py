"""The audit itself: every check over every record of a file, and what came out as JSON, text or CSV."""

from __future__ import annotations

import csv
import io
import textwrap
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from simulation.audit import duplicates, shifts, weights
from simulation.audit.kinds import COLUMN_SHIFT_SUSPECTED, DUPLICATE_RECORD, KINDS, SDE_MISMATCH, TOTAL_MISMATCH
from simulation.audit.reasons import broken_rules
from simulation.audit.results import SDE, Record, Results, read
from simulation.audit.words import counted

_COLUMNS = 100
_HEADLINES = 3  # kinds named first, in the summary
_EXAMPLES = 3  # of each kind, in the summary
_ORDER = {kind: place for place, kind in enumerate(KINDS)}


class Finding(NamedTuple):
    """One kind of finding in one precinct; `detail` gives the reason with its numbers."""

    county: str
    precinct: str
    kind: str
    detail: str


@dataclass(frozen=True, slots=True)
class Audit:
    """What is wrong with a results file; findings in the order of the file, then of the kinds."""

    source: str
    precincts: int  # satellites included
    satellites: int
    checked: tuple[str, ...]  # the kinds that the file has columns for
    findings: tuple[Finding, ...]  # one for each precinct and kind
    notes: tuple[str, ...]  # what was not checked, and why

    @property
    def counts(self) -> dict[str, int]:
        """Precincts with a finding, for every kind that was checked."""
        found = Counter(finding.kind for finding in self.findings)
        return {kind: found[kind] for kind in self.checked}

    def json(self) -> dict[str, Any]:
        """The answer of `caucus audit --json`."""
        return {
            "precincts": self.precincts,
            "counts": self.counts,
            "findings": [finding._asdict() for finding in self.findings],
        }

    def csv(self) -> str:
        """The findings as the text of a CSV file: county, precinct, kind, detail, what to do."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow((*Finding._fields, "what_to_do"))
        writer.writerows((*finding, KINDS[finding.kind].remedy) for finding in self.findings)
        return text.getvalue()

    def text(self) -> str:
        """A summary to read: the findings in a sentence each, the table of all kinds, then examples of each."""
        counts = self.counts
        found = sorted((kind for kind in counts if counts[kind]), key=lambda kind: -counts[kind])
        lines = _wrapped(self._headline())
        for kind in found[:_HEADLINES]:
            lines += _wrapped(f"- {counted(counts[kind], 'result', 'results')}: {KINDS[kind].meaning}.", "  ")
        width = max(map(len, KINDS))
        lines += ["", f"{'kind':<{width}}  precincts  meaning"]
        for kind in self.checked:
            head = f"{kind:<{width}}{counts[kind]:>11,}  "
            lines += _wrapped(head + KINDS[kind].meaning, " " * len(head))
        for kind in found:
            lines += ["", f"{kind}", *_wrapped(f"  rule: {KINDS[kind].rule}", "    ")]
            lines += _wrapped(f"  what to do: {KINDS[kind].remedy}", "    ")
            examples = [finding for finding in self.findings if finding.kind == kind]
            for finding in examples[:_EXAMPLES]:
                lines += _wrapped(f"  - {finding.county}, {finding.precinct}: {finding.detail}", "    ")
            if len(examples) > _EXAMPLES:
                lines.append(f"  and {len(examples) - _EXAMPLES:,} more")
        lines += [""] * bool(self.notes) + [line for note in self.notes for line in _wrapped(f"Note: {note}", "  ")]
        return "\n".join(lines)

    def _headline(self) -> str:
        of_them = f"{counted(self.precincts - self.satellites, 'precinct', 'precincts')}"
        if self.satellites:
            of_them += f" and {counted(self.satellites, 'satellite', 'satellites')}"
        if not self.findings:
            return f"{self.source}: nothing to find fault with in {of_them}."
        touched = len({(finding.county, finding.precinct) for finding in self.findings})
        return (
            f"{self.source}: {touched:,} of {of_them} have a finding, {len(self.findings):,} findings in all. "
            "The most frequent:"
        )


def audit_file(path: Path | str) -> Audit:
    """Check a results file, CSV or Excel, precinct by precinct; columns as in `results`.

    Raises InputError with one line for each mistake in the file.
    """
    return audit(read(path))


def audit(results: Results) -> Audit:
    """Check results that were read already."""
    records, candidates = results.records, results.candidates
    by_record: list[dict[str, str]] = []
    for record in records:
        own = {} if record.satellite else broken_rules(record, candidates)
        if not record.satellite and (uneven := _uneven_totals(record)):
            own[TOTAL_MISMATCH] = uneven
        by_record.append(own)
    weighed = SDE in results.columns
    whole_file: dict[str, Mapping[int, str]] = {
        SDE_MISMATCH: weights.mismatches(records, candidates) if weighed else {},
        DUPLICATE_RECORD: duplicates.repeated(records),
        COLUMN_SHIFT_SUSPECTED: shifts.suspected(records, candidates),
    }
    for kind, reasons in whole_file.items():
        for index, reason in reasons.items():
            by_record[index][kind] = reason

    findings: dict[tuple[str, str, str], Finding] = {}
    for record, own in zip(records, by_record, strict=True):
        for kind in sorted(own, key=_ORDER.__getitem__):
            finding = Finding(record.county, record.precinct, kind, own[kind])
            findings.setdefault(finding[:3], finding)
    return Audit(
        source=results.source,
        precincts=len({(record.county, record.precinct) for record in records}),
        satellites=len({(record.county, record.precinct) for record in records if record.satellite}),
        checked=tuple(kind for kind in KINDS if weighed or kind != SDE_MISMATCH),
        findings=tuple(findings.values()),
        notes=(*results.notes, *_not_checked(results)),
    )


def _uneven_totals(record: Record) -> str:
    """Published totals that are not the sum over the candidates; a total that is 0 or empty is a missing alignment."""
    totals = [
        ("first_total", record.first_total, sum(record.first)),
        ("final_total", record.final_total, sum(record.final)),
    ]
    if record.awarded_total is not None:
        totals.append(("delegates_awarded", record.awarded_total, sum(record.awarded)))
    return "; ".join(
        f"{column} is {published:,}, the candidates add up to {added:,}"
        for column, published, added in totals
        if published != added and (published or column == "delegates_awarded")
    )


def _not_checked(results: Results) -> list[str]:
    notes = []
    judged = sum(not record.satellite and any(record.first) for record in results.records)
    if judged < shifts.FEWEST_RECORDS:
        notes.append(
            f"{counted(judged, 'precinct', 'precincts')} with a first alignment, fewer than {shifts.FEWEST_RECORDS}: "
            "a column shift was looked for between the two alignments only, not against the other precincts"
        )
    if SDE not in results.columns:
        notes.append("no sde_ columns: state delegate equivalents were not checked")
    elif "sde_per_delegate" not in results.columns:
        notes.append("no column sde_per_delegate: the SDE of precincts were compared with their sum only")
    return notes


def _wrapped(sentence: str, indent: str = "") -> list[str]:
    return textwrap.wrap(sentence, _COLUMNS, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
