"""Scenarios: what a file may say, how it is loaded, extended, overridden and explained."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from simulation.scenario.loading import Scenario, library, load, parse_overrides
    from simulation.scenario.schema import Spec, json_schema

__all__ = ["Scenario", "Spec", "json_schema", "library", "load", "parse_overrides"]

_HOMES = {
    **dict.fromkeys(("Scenario", "library", "load", "parse_overrides"), "loading"),
    **dict.fromkeys(("Spec", "json_schema"), "schema"),
}


def __getattr__(name: str) -> Any:
    """Import what is asked for, when it is: a page that only tells the time does not wait for numba."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
