"""Caucus law in exact integers: viability, alignment, apportionment, SDE, the audit of a record. Knows no clock.

This front holds what answers at once. What numba compiles (`viability`, `apportionment`, `alignment`, `audit`, `sde`)
is imported from its own module, because importing numba takes a second.
"""

from simulation.rules.law import Status
from simulation.rules.outcomes import Outcomes, outcomes
from simulation.rules.worksheet import worksheet_json, worksheet_text

__all__ = ["Outcomes", "Status", "outcomes", "worksheet_json", "worksheet_text"]
