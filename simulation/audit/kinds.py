"""Every kind of finding, in one table: what it means, which rule it stands for, what to do about it.

The kinds that one record shows by itself stand in `simulation.rules.record`; here are those that need the published
totals, the SDE or the whole file.
"""

from __future__ import annotations

from simulation.rules import record
from simulation.rules.record import Kind

TOTAL_MISMATCH = "total_mismatch"
SDE_MISMATCH = "sde_mismatch"
DUPLICATE_RECORD = "duplicate_record"
COLUMN_SHIFT_SUSPECTED = "column_shift_suspected"

# Tuned on the final results of 2020, where chance never made two records of that size equal.
COPIED_PEOPLE, COPIED_GROUPS = 20, 4  # a first alignment that two precincts share
EQUAL_PEOPLE, EQUAL_GROUPS = 10, 2  # a whole record that two precincts share

KINDS = record.KINDS | {
    TOTAL_MISMATCH: Kind(
        0,
        "a published total is not the sum of the candidates' numbers",
        "first_total, final_total and delegates_awarded are sums over all candidates; the published total is used",
        "look for a candidate's number that was left out, or typed into another precinct",
    ),
    SDE_MISMATCH: Kind(
        0,
        "state delegate equivalents that do not follow from the delegates won, or a satellite's from its attendance",
        "SDE = delegates x SDE per delegate, to the published decimals; satellites of a group have the same SDE a "
        "person, split by whole delegates",
        "compute the SDE again from the delegates; at a satellite, ask which attendance they were computed from",
    ),
    DUPLICATE_RECORD: Kind(
        0,
        "the same county and precinct twice, or two places with the same numbers",
        f"no two places share a first alignment of {COPIED_PEOPLE} people in {COPIED_GROUPS} groups or more, nor a "
        f"whole record of {EQUAL_PEOPLE} people in {EQUAL_GROUPS} groups or more",
        "compare both with their worksheets: one was typed into the other's place",
    ),
    COLUMN_SHIFT_SUSPECTED: Kind(
        0,
        "numbers that seem to stand one column too far to the left or right",
        "neighboring columns moved by one fit the other precincts 100,000 times better, or better than not where that "
        "move was found in others; or a viable group is gone and the empty column beside it has one to two times its "
        "size",
        "hold the row against the worksheet, candidate by candidate; look at the rows entered before and after it",
    ),
}

_INTRODUCTION = """\
# Audit codes

Written by `make docs`; a test fails when this page is out of date.

What the audit of results can find. Attendance, which parties do not publish, is the total of the first alignment;
thresholds are exact and always rounded up. Counts are precincts: one finding for each precinct and kind.

- Precincts that elect one delegate are left out of every kind about awards and viability; they have
  `single_delegate_not_plurality`.
- Where an alignment is missing, the award is not judged.
- `award_not_by_rule` is the verdict on a whole award. `awarded_not_allotted`, `nonviable_awarded`,
  `viable_group_unawarded` and `more_votes_fewer_delegates` say what is wrong with it: they never come without it.
- Satellites can have `sde_mismatch` and `duplicate_record`, and nothing else.
- Kinds for which a file lacks the columns are left out of its counts.

| code | what it means | rule | what to do |
|---|---|---|---|
"""


def codes_markdown() -> str:
    """The reference page of all kinds, `docs/audit-codes.md`."""
    rows = (f"| `{code}` | {kind.meaning} | {kind.rule} | {kind.remedy} |" for code, kind in KINDS.items())
    return _INTRODUCTION + "\n".join(rows) + "\n"
