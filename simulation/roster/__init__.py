"""The sites of a night: read from a CSV or Excel file, or synthesized from a state's published aggregates.

Knows the law only where a missing column follows from it (satellites' delegates); knows nothing of the night itself.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from simulation.roster.columns import COLUMNS, columns_markdown, template
    from simulation.roster.model import Roster
    from simulation.roster.reading import read
    from simulation.roster.summary import check
    from simulation.roster.synthesis import synthesize

__all__ = ["COLUMNS", "Roster", "check", "columns_markdown", "read", "synthesize", "template"]

_HOMES = {
    **dict.fromkeys(("COLUMNS", "columns_markdown", "template"), "columns"),
    "Roster": "model",
    "read": "reading",
    "check": "summary",
    "synthesize": "synthesis",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for, when it is: reading a table does not wait for numba."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
