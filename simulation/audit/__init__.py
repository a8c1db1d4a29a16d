"""The audit of a whole results file: published or reported results checked precinct by precinct against the law.

Stands on `rules` (what one record breaks) and on the roster's reading of tables. Knows nothing of the night.
"""

from __future__ import annotations

from simulation.audit.examine import Audit, Finding, audit_file
from simulation.audit.kinds import KINDS, codes_markdown
from simulation.audit.sde_file import Sde, read_sde

__all__ = ["KINDS", "Audit", "Finding", "Sde", "audit_file", "codes_markdown", "read_sde"]
