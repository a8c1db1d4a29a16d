"""Staffing: the cheapest plan of check-in stations, operators and lines that meets targets, proved by playing it."""

from __future__ import annotations

from simulation.experiment.staffing.result import Judged, Named, StaffPlan, plan_staff

__all__ = ["Judged", "Named", "StaffPlan", "plan_staff"]
