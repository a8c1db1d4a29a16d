"""Many nights: played on the cores, kept as they finish, written into a folder that repeats itself."""

from simulation.experiment.nights import Nights, run_nights

__all__ = ["Nights", "run_nights"]
