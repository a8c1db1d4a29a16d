"""The plain rules, as compiled code takes them: import `law` and `record` from here to call them inside a kernel.

Plain rules call each other by their plain names. numba follows such a call only into functions registered with it,
and registering imports numba, which `law` and `record` shall not.
"""

from __future__ import annotations

from numba.extending import register_jitable

from simulation.rules import law, record

__all__ = ["law", "record"]

for _rule in (
    *(law.threshold, law.is_viable, law.satellite_delegates, law.settle, law.is_lawful),
    *(record.broken_by_alignment, record.check, record.check_totals),
):
    register_jitable(_rule)
