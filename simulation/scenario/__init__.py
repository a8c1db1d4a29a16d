"""Scenarios: what a file may say, how it is loaded, extended, overridden and explained."""

from simulation.scenario.loading import Scenario, library, load, parse_overrides
from simulation.scenario.schema import Spec, json_schema

__all__ = ["Scenario", "Spec", "json_schema", "library", "load", "parse_overrides"]
