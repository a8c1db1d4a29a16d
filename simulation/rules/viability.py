"""Viability: how large a preference group must be to elect anybody. Compiled; knows nothing of delegates won.

The rule itself stands in `simulation.rules.law`.
"""

from __future__ import annotations

from simulation.compiled import kernel
from simulation.rules import law

threshold = kernel(law.threshold)


@kernel
def is_viable(size: int, delegates: int, attendance: int) -> bool:
    """Whether a group of `size` is viable; with one delegate to elect, every group with anybody in it is."""
    return size > 0 and size >= threshold(delegates, attendance)
