"""State delegate equivalents (SDE): do they follow from the delegates won, or from a satellite's attendance?

Published numbers are rounded, so every comparison is one of exact intervals. Rule: `simulation.rules.sde`. The share of
a satellite is judged without knowing its group's pool: all sites of a group have the same SDE a person.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from fractions import Fraction

from simulation.audit.results import Record
from simulation.audit.words import decimal, delegates, name, people
from simulation.rules.law import satellite_delegates

HALF_UNIT = Fraction(1, 20_000)  # SDE are published to four decimals
RATIO_HALF_UNIT = Fraction(1, 2 * 10**9)  # SDE per delegate to nine
FEWEST_SITES = 3  # of a group that agree on one rate, before another site is said to differ


def mismatches(records: Sequence[Record], candidates: Sequence[str]) -> dict[int, str]:
    """The records whose SDE do not follow, by index, with the reason."""
    names = [name(candidate) for candidate in candidates]
    found: dict[int, list[str]] = defaultdict(list)
    groups: dict[str, list[int]] = defaultdict(list)
    for index, record in enumerate(records):
        total = _total(record)
        if record.sde_total is not None and abs(total - record.sde_total) > _slack(record) + HALF_UNIT:
            found[index].append(f"sde_total is {decimal(record.sde_total)}, the candidates have {decimal(total)}")
        if record.satellite:
            groups[record.county].append(index)
            found[index] += _uneven_split(record, names)
        elif record.sde_per_delegate is not None:
            found[index] += _not_by_delegates(record, names, record.sde_per_delegate)
    for indices in groups.values():
        for index, reason in _off_the_rate([records[index] for index in indices]).items():
            found[indices[index]].append(reason)
    return {index: "; ".join(reasons) for index, reasons in found.items() if reasons}


def _total(record: Record) -> Fraction:
    """The sum over the candidates; most have nothing, and fractions are slow."""
    return sum(filter(None, record.sde), Fraction(0))


def _slack(record: Record) -> Fraction:
    """How far rounding may have moved the sum over the candidates."""
    return HALF_UNIT * sum(share > 0 for share in record.sde)


def _not_by_delegates(record: Record, names: Sequence[str], per_delegate: Fraction) -> list[str]:
    return [
        f"{who}: {delegates(won)} x {float(per_delegate):.9g} are {decimal(won * per_delegate)} SDE, "
        f"{decimal(share)} published"
        for who, won, share in zip(names, record.awarded, record.sde, strict=True)
        if (won or share) and abs(won * per_delegate - share) > HALF_UNIT + won * RATIO_HALF_UNIT
    ]


def _uneven_split(record: Record, names: Sequence[str]) -> list[str]:
    """Shares of a satellite that are no whole numbers of its delegates."""
    total, elected = _total(record), satellite_delegates(record.first_total)
    if not total:
        return []
    if not elected:
        return [f"nobody came, and {decimal(total)} SDE were given"]
    uneven = []
    for who, share in zip(names, record.sde, strict=True):
        won = share * elected / total
        if abs(won - round(won)) * total > elected * HALF_UNIT + abs(won) * _slack(record):
            uneven.append(f"{who} {float(won):.2f}")
    people_came = people(record.first_total)
    return [f"{people_came} elect {delegates(elected)}, which the SDE split as {', '.join(uneven)}"] if uneven else []


def _off_the_rate(sites: Sequence[Record]) -> dict[int, str]:
    """Sites of one group whose SDE a person differ from what most of its sites have; by index."""
    present = [index for index, site in enumerate(sites) if site.first_total and any(site.sde)]
    low, high = {}, {}
    for index in present:
        site = sites[index]
        total, slack = _total(site), _slack(site)
        low[index], high[index] = (total - slack) / site.first_total, (total + slack) / site.first_total
    agreeing: list[int] = []
    for start in present:  # the rate that lies within most sites' rounding is at the lower end of one of them
        within = [index for index in present if low[index] <= low[start] <= high[index]]
        agreeing = max(agreeing, within, key=len)
    if len(agreeing) < FEWEST_SITES or 2 * len(agreeing) <= len(present):
        return {}
    rate = (max(low[index] for index in agreeing) + min(high[index] for index in agreeing)) / 2
    told = {}
    for index in (index for index in present if index not in agreeing):
        site, total = sites[index], _total(sites[index])
        told[index] = (
            f"{decimal(total)} SDE for {people(site.first_total)}: at the {float(rate):.4f} SDE a person of "
            f"{len(agreeing)} other sites of {site.county} that is the share of {float(total / rate):.1f} people"
        )
    return told
