"""When something happened, held against when it should have."""

from __future__ import annotations

import os

EARLY_S = 0.005  # rounding, and two readings of one clock


def came_at(found_s: float, due_s: float) -> bool:
    """Never before its time, and within 50 ms after it, or 300 ms where others hold the cores."""
    late_s = 0.05 if os.getloadavg()[0] < 2 else 0.3
    return due_s - EARLY_S <= found_s <= due_s + late_s
