"""Finding one site of a roster by what people call it.

Knows nothing of the night.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable

from simulation.errors import InputError
from simulation.roster.model import Roster

_NEAR = 0.6  # from here on names are alike enough to be suggested
_LISTED = 10  # names in one message


def find_site(roster: Roster, wanted: str) -> int:
    """The index of a site, by its id, as "County, Precinct", or by its precinct's name where only one has it.

    Upper and lower case do not matter. InputError says what else was meant perhaps.
    """
    if wanted in roster.ids:
        return roster.ids.index(wanted)
    sites = range(len(roster))
    names: tuple[Callable[[int], str], ...] = (
        lambda site: roster.ids[site],
        lambda site: f"{roster.counties[site]},{roster.precincts[site]}",
        lambda site: f"{roster.counties[site]}/{roster.precincts[site]}",
        lambda site: roster.precincts[site],
    )
    sought = _plain(wanted)
    for name in names:
        found = [site for site in sites if _plain(name(site)) == sought]
        if len(found) == 1:
            return found[0]
        if found:
            listed = _listed([roster.ids[site] for site in found])
            raise InputError(f"--precinct {wanted}: is the name of {len(found)} precincts: {listed}")
    known = {_plain(name(site)): roster.ids[site] for name in (names[0], names[3]) for site in sites}
    near = [known[name] for name in difflib.get_close_matches(sought, known, 3, _NEAR)]
    hint = f"did you mean {_listed(list(dict.fromkeys(near)))}?" if near else f"for instance {roster.ids[0]}"
    raise InputError(f"--precinct {wanted}: none of the {len(roster):,} precincts is called so; {hint}")


def _plain(name: str) -> str:
    """A name without case and without blanks that nobody means."""
    return re.sub(r" ?([,/]) ?", r"\1", " ".join(name.casefold().split()))


def _listed(ids: list[str]) -> str:
    more = f" and {len(ids) - _LISTED:,} more" if len(ids) > _LISTED else ""
    return ", ".join(ids[:_LISTED]) + more
