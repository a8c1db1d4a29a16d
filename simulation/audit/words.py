"""How the audit names candidates and counts people. Knows nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction


def name(candidate: str) -> str:
    """A candidate as people write the name: buttigieg -> Buttigieg."""
    return candidate.replace("_", " ").title()


def counted(number: int, one: str, many: str) -> str:
    """A number with its noun: "1 delegate", "1,765 results"."""
    return f"{number:,} {one if number == 1 else many}"


def people(number: int) -> str:
    """So many people."""
    return counted(number, "person", "people")


def delegates(number: int) -> str:
    """So many delegates; "no delegate" for none."""
    return counted(number, "delegate", "delegates") if number else "no delegate"


def listed(candidates: Sequence[str], numbers: Sequence[int]) -> str:
    """Who has how many, without those who have none: "Biden 4, Sanders 3"."""
    pairs = zip(candidates, numbers, strict=True)
    return ", ".join(f"{name(candidate)} {number}" for candidate, number in pairs if number)


def decimal(value: Fraction) -> str:
    """Four decimals, as parties publish SDE, rounded half up."""
    units = int(value * 10_000 + Fraction(1, 2))
    return f"{units // 10_000}.{units % 10_000:04}"
