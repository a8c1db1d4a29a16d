"""Records that are there twice: one place in two rows, or two places with the same numbers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence

from simulation.audit.kinds import COPIED_GROUPS, COPIED_PEOPLE, EQUAL_GROUPS, EQUAL_PEOPLE
from simulation.audit.results import Record
from simulation.audit.words import counted, people


def repeated(records: Sequence[Record]) -> dict[int, str]:
    """The records that repeat another one, by index, with which one it is. A place in two rows is told once."""
    places: dict[Hashable, list[int]] = defaultdict(list)
    alike: dict[Hashable, list[int]] = defaultdict(list)
    for index, record in enumerate(records):
        places[record.county, record.precinct].append(index)
    first_rows = [indices[0] for indices in places.values()]
    for index in first_rows:
        record = records[index]
        if _telling(record.first, COPIED_PEOPLE, COPIED_GROUPS):
            alike["first alignment", tuple(record.first)].append(index)
        if _telling(record.first, EQUAL_PEOPLE, EQUAL_GROUPS):
            alike["record", tuple(record.first), tuple(record.final), tuple(record.awarded)].append(index)

    found = {}
    for same in alike.values():  # whole records come after first alignments, and say more
        for index in same if len(same) > 1 else ():
            others = [other for other in same if other != index]
            found[index] = _told(records[index], [records[other] for other in others])
    for same in places.values():
        if len(same) > 1:
            rows = ", ".join(f"{records[index].row:,}" for index in same)
            twice = f"in rows {rows}"
            found[same[0]] = f"{twice}; {found[same[0]]}" if same[0] in found else twice
    return found


def _telling(counts: Sequence[int], fewest_people: int, fewest_groups: int) -> bool:
    """Whether two places can hardly have these counts in common by chance."""
    return sum(counts) >= fewest_people and sum(count > 0 for count in counts) >= fewest_groups


def _told(record: Record, others: Sequence[Record]) -> str:
    whole = all((record.final, record.awarded) == (other.final, other.awarded) for other in others)
    groups = counted(sum(count > 0 for count in record.first), "group", "groups")
    names = " and ".join(f"{other.county}, {other.precinct}" for other in others)
    same = "the same record" if whole else "the same first alignment"
    return f"{same} as {names}: {people(sum(record.first))} in {groups}"
