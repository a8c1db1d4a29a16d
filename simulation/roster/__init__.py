"""The sites of a night: read from a CSV or Excel file, or synthesized from a state's published aggregates.

Knows the law only where a missing column follows from it (satellites' delegates); knows nothing of the night itself.
"""

from __future__ import annotations

from simulation.roster.columns import COLUMNS, columns_markdown, template
from simulation.roster.model import Roster
from simulation.roster.reading import read
from simulation.roster.summary import check
from simulation.roster.synthesis import synthesize

__all__ = ["COLUMNS", "Roster", "check", "columns_markdown", "read", "synthesize", "template"]
