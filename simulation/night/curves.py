"""Where a night is measured: the points of its curves, the classes and quantiles that its metrics name."""

from __future__ import annotations

from simulation.scenario.values import HOUR, MINUTE

STEP = 15 * MINUTE
GRID_HOURS = 11  # the evening's curves: every 15 minutes from the call to order, 19:00 to 06:00 in Iowa
GRID = GRID_HOURS * HOUR // STEP + 1
LINE_STEP = 5 * MINUTE
LINE_GRID = 5 * HOUR // LINE_STEP + 1  # people in line: from an hour before the call to order to four hours after
SIZE_CLASSES = (31, 90, 190, 400)  # upper ends of the classes of precincts by people; the last class is open
QUANTILES = (50, 90, 95, 99)
SHARES_HELD = (25, 50, 75, 90, 95, 99, 100)
