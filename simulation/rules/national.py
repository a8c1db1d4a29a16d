"""National delegates from state delegate equivalents (SDE): every block of seats by itself, exactly.

Source: Iowa Democratic Party, delegate selection plan 2020 (15 % threshold, largest remainder). Knows nothing of
precincts or files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

THRESHOLD = Fraction(15, 100)  # of a block's SDE
STATEWIDE = 0  # in place of a district
DISTRICTS = (1, 2, 3, 4)


@dataclass(frozen=True, slots=True)
class Block:
    """Seats that are dealt together: by the SDE of one district, or of the whole state."""

    name: str
    seats: int
    district: int = STATEWIDE


# 41 pledged delegates (party plan 2020).
BLOCKS_2020 = (
    Block("district 1", 7, 1),
    Block("district 2", 7, 2),
    Block("district 3", 8, 3),
    Block("district 4", 5, 4),
    Block("at large", 9),
    Block("party leaders", 5),
)


@dataclass(frozen=True, slots=True)
class Dealt:
    """One block dealt. Who is tied for the last seats is named, and nobody is given them: a lot decides."""

    block: Block
    threshold: Fraction  # in SDE: who has as much takes part
    sde: dict[str, Fraction]  # most first
    awarded: dict[str, int]  # everybody who reached the threshold
    tied: tuple[str, ...]  # equal remainders
    tied_seats: int  # for how many seats; fewer than `tied`

    @property
    def by_half_of_leader(self) -> bool:
        """Whether nobody reached 15 %, so that half of the leader's share was enough."""
        return self.threshold < THRESHOLD * sum(self.sde.values())


@dataclass(frozen=True, slots=True)
class Allocation:
    """All blocks dealt."""

    blocks: tuple[Dealt, ...]

    @property
    def delegates(self) -> dict[str, int]:
        """National delegates of each candidate who has any, most first; seats that a lot decides are left out."""
        total: dict[str, int] = {}
        for dealt in self.blocks:
            for candidate, seats in dealt.awarded.items():
                total[candidate] = total.get(candidate, 0) + seats
        return {candidate: seats for candidate, seats in sorted(total.items(), key=lambda won: -won[1]) if seats}

    def json(self) -> dict[str, Any]:
        """The answer of `caucus national --json`. `tie` is null, or who draws lots for how many seats."""
        delegates = self.delegates
        return {
            "blocks": [
                {
                    "name": dealt.block.name,
                    "seats": dealt.block.seats,
                    "threshold": float(dealt.threshold),
                    "sde": {candidate: float(sde) for candidate, sde in dealt.sde.items()},
                    "awarded": dealt.awarded,
                    "tie": {"among": list(dealt.tied), "seats": dealt.tied_seats} if dealt.tied else None,
                }
                for dealt in self.blocks
            ],
            "delegates": delegates,
            "total": sum(delegates.values()),
        }

    def text(self) -> str:
        """The result in one sentence, then block by block who reached the threshold with how many SDE."""
        delegates = self.delegates
        seats = sum(dealt.block.seats for dealt in self.blocks)
        won = ", ".join(f"{_name(candidate)} {count}" for candidate, count in delegates.items())
        lines = [f"{sum(delegates.values())} of {seats} national delegates: {won or 'nobody'}."]
        for dealt in self.blocks:
            rule = "half of the leader's" if dealt.by_half_of_leader else "15 %"
            needed = f"{float(dealt.threshold):.4f} SDE needed ({rule})"
            lines += ["", f"{dealt.block.name}: {dealt.block.seats} seats, {needed}"]
            for candidate, sde in dealt.sde.items():
                if candidate in dealt.awarded:
                    lines.append(f"  {_name(candidate):<20}{float(sde):>12.4f} SDE{dealt.awarded[candidate]:>6}")
            below = [_name(candidate) for candidate, sde in dealt.sde.items() if candidate not in dealt.awarded]
            if below:
                lines.append(f"  below: {', '.join(below)}")
            if dealt.tied:
                among = ", ".join(map(_name, dealt.tied))
                lines.append(f"  tie: {among} draw lots for {dealt.tied_seats} seat{'s' * (dealt.tied_seats > 1)}")
        return "\n".join(lines)


def allocate(
    sde_by_district: Mapping[int, Mapping[str, Fraction]],
    statewide: Mapping[str, Fraction],
    blocks: Sequence[Block] = BLOCKS_2020,
) -> Allocation:
    """Deal every block of seats; SDE by district (1-4) and candidate, and of the whole state by candidate.

    In-state satellites belong into their district's SDE, out-of-state ones into the state's only.
    """
    return Allocation(
        tuple(deal(block, sde_by_district.get(block.district, {}) if block.district else statewide) for block in blocks)
    )


def deal(block: Block, sde: Mapping[str, Fraction]) -> Dealt:
    """Deal one block: whole quotas of those who reach the threshold, then the largest remainders.

    Where nobody reaches 15 %, half of the leader's share is enough. A block without SDE elects nobody.
    """
    ranked = {
        candidate: share for candidate, share in sorted(sde.items(), key=lambda item: (-item[1], item[0])) if share
    }
    most = max(ranked.values(), default=Fraction(0))
    threshold = THRESHOLD * sum(ranked.values(), Fraction(0))
    if most < threshold:
        threshold = most / 2
    reached = {candidate: share for candidate, share in ranked.items() if share >= threshold}
    total = sum(reached.values(), Fraction(0))
    quotas = {candidate: block.seats * share / total for candidate, share in reached.items()}
    awarded = {candidate: int(quota) for candidate, quota in quotas.items()}
    left = block.seats - sum(awarded.values()) if reached else 0
    tied: tuple[str, ...] = ()
    for remainder in sorted({quota % 1 for quota in quotas.values()}, reverse=True):
        level = [candidate for candidate, quota in quotas.items() if quota % 1 == remainder]
        if left < len(level):
            tied = tuple(level) if left else ()
            break
        for candidate in level:
            awarded[candidate] += 1
        left -= len(level)
    return Dealt(block, threshold, ranked, awarded, tied, left if tied else 0)


def _name(candidate: str) -> str:
    return candidate.replace("_", " ").title()
