"""stub"""
from __future__ import annotations
from typing import Any
class Recovery:
    recovery_s: float | None
    retries: int
    metastable: bool | None
    def as_json(self) -> dict[str, Any]:
        return {}
