"""What follows from a site's size where nobody says otherwise: volunteers, stations, satellites' delegates and SDE.

Plain integer rules, shared by reading and synthesis. Knows nothing of files or counties.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Mapping, Sequence

from simulation.rules.sde import NANO, nano_of_satellite_delegate

# (people, usual volunteers), straight lines between. P: party handbooks and press, "31 or fewer 1-2, about 50 3-5,
# 90 to 190 10-20, 935 30-50"; the middle of each range is taken.
_VOLUNTEERS = ((0, 1), (31, 2), (50, 4), (90, 10), (190, 20), (935, 40))


def usual_volunteers(attendance: int) -> int:
    """Volunteers usual for a site where so many people are expected; 1 or more."""
    sizes = [size for size, _ in _VOLUNTEERS]
    step = min(bisect_right(sizes, attendance), len(sizes) - 1)
    (low, few), (high, many) = _VOLUNTEERS[step - 1], _VOLUNTEERS[step]
    return few + ((attendance - low) * (many - few) + (high - low) // 2) // (high - low)


def usual_stations(volunteers: int) -> int:
    """Check-in stations of so many volunteers: 40 % (P, J), rounded half up, 1 or more."""
    return max(1, (4 * volunteers + 5) // 10)


def satellite_sde(
    districts: Sequence[int], attendance: Sequence[int], delegates: Sequence[int], pools: Mapping[int, int]
) -> list[int]:
    """Nano-SDE per delegate of each satellite: its group's pool shared by attendance, then by its delegates.

    One entry a satellite; `pools` holds the SDE of each district's satellites (0: out of state). Rounded down.
    """
    people: dict[int, int] = defaultdict(int)
    for district, present in zip(districts, attendance, strict=True):
        people[district] += present
    return [
        nano_of_satellite_delegate(pools.get(district, 0) * NANO, present, people[district], elected)
        for district, present, elected in zip(districts, attendance, delegates, strict=True)
    ]
