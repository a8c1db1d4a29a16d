"""What a roster file holds, in a dozen lines for the planner who wrote it. Knows nothing of the night."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from simulation.roster.cells import counted
from simulation.roster.model import Roster
from simulation.roster.reading import read
from simulation.rules.sde import NANO

_QUANTILES = (5, 25, 50, 75, 95)


def check(path: Path | str) -> str:
    """Read a roster and describe it. Raises InputError as `read` does."""
    return describe(read(path))


def describe(roster: Roster) -> str:
    """Sites, people, delegates, SDE, places and what was derived or ignored."""
    satellites = int(roster.satellite.sum())
    largest = int(roster.attendance.argmax())
    sizes = " / ".join(f"{value:.0f}" for value in np.percentile(roster.attendance, _QUANTILES, method="inverted_cdf"))
    elected = roster.delegates[roster.satellite == 0]
    sde = sum(nano * count for nano, count in zip(roster.sde_nano.tolist(), roster.delegates.tolist(), strict=True))
    groups = {county for county, is_satellite in zip(roster.counties, roster.satellite, strict=True) if is_satellite}
    per_building = np.bincount(roster.building)
    limited = roster.capacity > 0
    too_small = int((limited & (roster.capacity < roster.attendance)).sum())
    kinds = f"{counted(len(roster) - satellites, 'precinct')}, {counted(satellites, 'satellite')}"
    of_satellites = int(roster.delegates.sum() - elected.sum())
    lines = [
        f"{roster.source}: {counted(len(roster), 'site')} ({kinds})",
        f"people      {int(roster.attendance.sum()):,} expected",
        f"sizes       up to {sizes} people at {' / '.join(map(str, _QUANTILES))} % of sites",
        f"largest     {int(roster.attendance[largest]):,} people ({roster.ids[largest]})",
        f"delegates   {int(elected.sum()):,} of precincts, {of_satellites:,} of satellites",
        f"SDE         {sde / NANO:,.2f}",
        f"counties    {len(set(roster.counties) - groups):,}"
        + (f", and {counted(len(groups), 'group')} of satellites" if groups else ""),
        f"districts   {_districts(roster)}",
        f"buildings   {len(roster.building_names):,}; {int(per_building[per_building > 1].sum()):,} sites share one",
        f"rooms       {int(limited.sum()):,} with a known capacity, {too_small:,} too small for the people expected",
        f"volunteers  {int(roster.volunteers.sum()):,} at {int(roster.stations.sum()):,} check-in stations",
        f"candidates  {', '.join(roster.candidates) or 'none named: no first_<candidate> columns'}",
        f"SHA-256     {roster.sha256}",
    ]
    return "\n".join(lines + [f"- {note}" for note in roster.notes]) + "\n"


def _districts(roster: Roster) -> str:
    sites = np.bincount(roster.district, minlength=1)
    named = [f"{district}: {counted(count, 'site')}" for district, count in enumerate(sites) if district and count]
    return ", ".join([*named, *([f"none: {counted(sites[0], 'site')}"] if sites[0] else [])])
