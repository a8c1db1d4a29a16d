"""The audit of one precinct's record, compiled: the checks of headquarters. The rules stand in `record`."""

from __future__ import annotations

from simulation.compiled import kernel
from simulation.rules.jitable import record
from simulation.rules.record import (
    AWARD_NOT_BY_RULE,
    AWARDED_NOT_ALLOTTED,
    FINAL_EXCEEDS_FIRST,
    KINDS,
    MISSING_ALIGNMENT,
    MORE_VOTES_FEWER_DELEGATES,
    NONVIABLE_AWARDED,
    SINGLE_DELEGATE_NOT_PLURALITY,
    VIABLE_GROUP_SHRANK,
    VIABLE_GROUP_UNAWARDED,
    Kind,
    explain,
)

__all__ = [
    "AWARDED_NOT_ALLOTTED",
    "AWARD_NOT_BY_RULE",
    "FINAL_EXCEEDS_FIRST",
    "KINDS",
    "MISSING_ALIGNMENT",
    "MORE_VOTES_FEWER_DELEGATES",
    "NONVIABLE_AWARDED",
    "SINGLE_DELEGATE_NOT_PLURALITY",
    "VIABLE_GROUP_SHRANK",
    "VIABLE_GROUP_UNAWARDED",
    "Kind",
    "check",
    "explain",
]

check = kernel(record.check)  # (first, final, awarded: int64[groups], delegates) -> the sum of the bits of KINDS
