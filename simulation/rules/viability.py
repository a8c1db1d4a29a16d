"""Viability: how large a preference group must be to elect anybody. Compiled; knows nothing of delegates won.

The rule itself stands in `simulation.rules.law`.
"""

from __future__ import annotations

from simulation.compiled import kernel
from simulation.rules.jitable import law

threshold = kernel(law.threshold)
is_viable = kernel(law.is_viable)
