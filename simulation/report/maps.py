"""Chapter: where: waits, late starts and late results by county, on a map where the counties are Iowa's.

The outlines are those of iowa_counties.json (its source and license stand there). The value of a county is the median
of its precincts, each as large as its people are many.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from html import escape
from importlib.resources import files
from typing import Any

from simulation.report.chapter import Cell, Chapter, Panel, Table
from simulation.report.forecast import NEVER, Forecast
from simulation.report.plot import Picture
from simulation.scenario.values import MINUTE
from simulation.words import clock, duration, number, plural

WORST = 10  # in the table where there is no map
MARKED = 3  # on a map
FEWEST = 10  # counties that make a map worth its place
STEPS = [step * MINUTE for step in (480, 240, 120, 60, 30, 20, 15, 10, 5, 2, 1)]  # of round limits between classes
RAMP = ("map-a", "map-b", "map-c", "map-d", "map-e")  # colors of style.css, from little to much
BOX = (5.0, 9.9, 488.7, 322.2)  # of the outlines: left, top, right, bottom

WIDE, WIDE_FONT, NARROW, NARROW_FONT = 900, 14, 360, 13  # in units of the picture
GUTTER = 36  # between maps beside each other
ROW = 20  # of the legend


@dataclass(frozen=True)
class Measure:
    """What a map shows. Columns are those of precincts.parquet; times in ms, `NEVER` for never."""

    name: str  # for ids
    column: str
    title: str
    unit: str  # below the title
    said: Callable[[int], str]  # a value in a table or on a map
    limits: tuple[str, str]  # in the legend: a class by its upper limit, and the last one


@dataclass(frozen=True)
class County:
    """A county and its value of each measure, in their order."""

    name: str
    fips: str | None
    precincts: int
    people: int  # on the usual night
    values: tuple[int, ...]


def _time(at: int) -> str:
    return "never" if at == NEVER else clock(at, brief=True)


MEASURES = (
    Measure("wait", "wait_p90_ms_p50", "Wait at check-in", "one person in ten waits longer than", duration,
            ("up to {}", "longer")),
    Measure("start", "start_delay_ms_p50", "Late start", "after the call to order",
            lambda late: "never" if late == NEVER else duration(late), ("up to {}", "later")),
    Measure("result", "reported_at_ms_p50", "Result in", "headquarters holds it by, clock time", _time,
            ("{}", "later")),
)  # fmt: skip


def chapter(forecast: Forecast) -> Chapter | None:
    """The chapter; None where there is only one county."""
    found = counties(forecast)
    if len(found) < 2:
        return None
    sentence, text = finding(found), _text(found)
    groups = len(set(forecast.scenario.roster.county_names) - {county.name for county in found})
    night = " on the usual night" if forecast.several else ""
    note = f"A county's value is the median of its precincts{night}, weighted by people."
    note += " Satellite caucuses belong to no county and are left out." if groups else ""
    if is_iowa(found):
        picture = Picture(_drawn("maps-wide", sentence, found, narrow=False),
                          _drawn("maps-narrow", sentence, found, narrow=True), ())  # fmt: skip
        panel = Panel("counties-map", sentence, text, picture, more=[_table(found, "All counties")], note=note)
    else:
        panel = Panel("counties-map", sentence, text, table=_worst(found), note=note)
    return Chapter("counties", "Counties", [panel])


def counties(forecast: Forecast) -> list[County]:
    """Every county, by name; groups of satellites are none."""
    roster = forecast.scenario.roster
    fips = dict(zip(roster.county_names, roster.fips, strict=True))
    groups = {name for name, far in zip(roster.counties, roster.satellite.tolist(), strict=True) if far}
    columns = ["county", "people_p50", *(measure.column for measure in MEASURES)]
    sites: dict[str, list[Mapping[str, Any]]] = {}
    for site in forecast.precincts.select(columns).iter_rows(named=True):
        if site["county"] not in groups or fips.get(site["county"]):
            sites.setdefault(site["county"], []).append(site)
    return [
        County(name, fips.get(name), len(here), sum(site["people_p50"] for site in here),
               tuple(_usual([(site[measure.column], site["people_p50"]) for site in here]) for measure in MEASURES))
        for name, here in sorted(sites.items())
    ]  # fmt: skip


def _usual(weighted: Sequence[tuple[int, int]]) -> int:
    """The value that half of the people do not exceed; -1 stands for never and lies above all."""
    ordered = sorted((NEVER if value < 0 else value, people) for value, people in weighted)
    half, passed = sum(people for _, people in ordered), 0
    for value, people in ordered:
        passed += 2 * people
        if passed >= half:
            return value
    return ordered[-1][0]


def is_iowa(found: Sequence[County]) -> bool:
    """Whether most counties have an outline, and there are enough of them."""
    known = sum(county.fips in outlines() for county in found)
    return known >= FEWEST and 2 * known > len(found)


@cache
def outlines() -> dict[str, str]:
    """Iowa's 99 counties as SVG paths, by FIPS code."""
    text = files("simulation.report").joinpath("iowa_counties.json").read_text(encoding="utf-8")
    return dict(json.loads(text)["paths"])


# The sentences


def worst_of(found: Sequence[County], measure: int) -> list[County]:
    """The counties with the largest values first."""
    return sorted(found, key=lambda county: (-county.values[measure], county.name))


def middle_of(found: Sequence[County], measure: int) -> int:
    """The value of the county in the middle."""
    return worst_of(found, measure)[len(found) // 2].values[measure]


def finding(found: Sequence[County]) -> str:
    """Where people wait longest, against the county in the middle; where nobody waits, where results come last."""
    first, usual = worst_of(found, 0)[0], duration(middle_of(found, 0))
    longest = duration(first.values[0])
    if first.values[0] < MINUTE:
        return _about_results(found)
    if longest == usual:
        return f"People wait as long in every county: one in ten waits longer than {usual}"
    return (
        f"In the usual precinct of {first.name} one person in ten waits longer than {longest}, "
        f"in half of the counties {usual} or less"
    )


def _about_results(found: Sequence[County]) -> str:
    last, usual = worst_of(found, 2)[0], middle_of(found, 2)
    when = f"at {clock(last.values[2])}" if last.values[2] != NEVER else "or never"
    half = f"by {clock(usual)}" if usual != NEVER else "never"
    return f"The usual result comes last from {last.name}, {when}; from half of the counties {half}"


def _text(found: Sequence[County]) -> list[str]:
    late, usual = worst_of(found, 1)[0], middle_of(found, 1)
    text = []
    if late.values[1] == NEVER:
        text.append(f"In {late.name} the usual precinct never begins.")
    elif late.values[1] >= MINUTE:
        text.append(
            f"Caucuses begin latest in {late.name}: {duration(late.values[1])} late, in half of the counties "
            f"{duration(usual)} or less."
        )
    if worst_of(found, 0)[0].values[0] >= MINUTE:
        text.append(_about_results(found) + ".")
    return [" ".join(text)] if text else []


# The tables


def _table(found: Sequence[County], caption: str) -> Table:
    head = ["County", "precincts", "people", *(measure.title.lower() for measure in MEASURES)]
    rows = [[county.name, number(county.precincts), number(county.people), *_said(county)] for county in found]
    return Table("counties-table", caption, head, rows)


def _worst(found: Sequence[County]) -> Table:
    worst = worst_of(found, 0)[:WORST]
    longest = max(1, worst[0].values[0])
    rows: list[list[str | Cell]] = [
        [
            county.name,
            Cell("", bar=(100 * county.values[0] // longest, 0)),
            *_said(county),
            number(county.people),
            number(county.precincts),
        ]
        for county in worst
    ]
    head = ["County", "Wait", "one in ten waits longer than", "late start", "result in", "people", "precincts"]
    caption = f"The {len(rows)} counties with the longest waits" if len(rows) < len(found) else "All counties"
    return Table("counties-table", caption, head, rows, text_columns=(0, 1), usual=2)


def _said(county: County) -> list[str]:
    return [measure.said(value) for measure, value in zip(MEASURES, county.values, strict=True)]


# The maps


def limits(values: Sequence[int]) -> list[int]:
    """Up to four round limits between classes of about as many values each; none where all are alike."""
    known = sorted(value for value in values if value != NEVER)
    if not known:
        return []
    fifths = [known[len(known) * k // 5] for k in range(1, 5)]
    found: list[int] = []
    for step in STEPS:
        found = sorted({(value + step // 2) // step * step for value in fifths})
        found = [limit for limit in found if known[0] <= limit < known[-1] and limit > 0]
        if len(found) == len(fifths):
            break
    return found


def class_of(value: int, between: Sequence[int]) -> int:
    """In which class a value is: a limit belongs to the class below it."""
    return sum(value > limit for limit in between)


def shade(place: int, classes: int) -> str:
    """The color of a class: few classes are spread over the whole ramp."""
    return RAMP[place * (len(RAMP) - 1) // max(1, classes - 1)]


def _legend(measure: Measure, between: Sequence[int]) -> list[str]:
    """Each class by its upper limit."""
    upper, last = measure.limits
    return [*(upper.format(measure.said(limit)) for limit in between), last] if between else ["all alike"]


def _drawn(name: str, title: str, found: Sequence[County], *, narrow: bool) -> str:
    """One version of the picture as inline SVG: maps beside each other, on a narrow sheet below each other."""
    width, font = (NARROW, NARROW_FONT) if narrow else (WIDE, WIDE_FONT)
    each = width if narrow else (width - (len(MEASURES) - 1) * GUTTER) // len(MEASURES)
    left, top, right, bottom = BOX
    factor = each / (right - left)
    head, tall = 46, (bottom - top) * factor
    legend = head + tall + 28
    height = legend + ROW * 6
    parts = []
    for k, measure in enumerate(MEASURES):
        x, y = (0, k * (height + 24)) if narrow else (k * (each + GUTTER), 0)
        between = limits([county.values[k] for county in found])
        worst = [county for county in worst_of(found, k)[:MARKED] if county.values[k] >= MINUTE]
        names = each // 2 + (0 if narrow else 8)
        parts.append(
            f'<g transform="translate({x:.0f} {y:.0f})">'
            f'<text x="0" y="{font}" font-weight="700" fill="var(--ink)">{escape(measure.title)}</text>'
            f'<text x="0" y="{2 * font + 6}" fill="var(--muted)">{escape(measure.unit)}</text>'
            f'<g transform="translate(0 {head}) scale({factor:.4f}) translate({-left} {-top})">'
            f"{_map(found, k, between, f'{name}-iowa')}</g>"
            f"{_marks(worst, head, factor)}"
            f'<g transform="translate(0 {legend:.0f})">{_key(measure, between)}</g>'
            f'<g transform="translate({names} {legend:.0f})">{_worst_three(measure, worst, k)}</g></g>'
        )
    full = len(MEASURES) * (height + 24) - 24 if narrow else height
    state = "".join(outlines().values())
    return (
        f'<svg class="{"narrow" if narrow else "wide"}" viewBox="0 0 {width} {full:.0f}" role="img" '
        f'aria-labelledby="{name}-title" aria-describedby="{name}-text">'
        f'<title id="{name}-title">{escape(title)}</title>'
        f'<desc id="{name}-text">{escape(_description(found))}</desc>'
        f'<defs><path id="{name}-iowa" d="{state}"/></defs>'
        f'<g class="{"stacked" if narrow else "across"}" font-size="{font}">{"".join(parts)}</g></svg>'
    )


def _map(found: Sequence[County], k: int, between: Sequence[int], state: str) -> str:
    """The state's border, and every county of the roster with its name and value to point at."""
    measure = MEASURES[k]
    drawn = [
        f'<use href="#{state}" fill="var(--paper)" stroke="var(--baseline)" stroke-width="2.5"/>',
        '<g stroke="var(--paper)" stroke-width="1">',
    ]
    for county in found:
        if county.fips not in outlines():
            continue
        color = shade(class_of(county.values[k], between), len(between) + 1)
        text = f"{county.name}: {measure.said(county.values[k])}"
        path = outlines()[county.fips or ""]
        drawn.append(f'<path d="{path}" fill="var(--{color})"><title>{escape(text)}</title></path>')
    return "".join(drawn) + "</g>"


def _marks(worst: Sequence[County], head: int, factor: float) -> str:
    """Numbers on the worst counties."""
    left, top, _, _ = BOX
    drawn = []
    for place, county in enumerate(worst, 1):
        if county.fips in outlines():
            x, y = _center(outlines()[county.fips or ""])
            drawn.append(_numbered(place, (x - left) * factor, head + (y - top) * factor))
    return "".join(drawn)


def _numbered(place: int, x: float, y: float) -> str:
    return (
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="8.5" fill="var(--paper)" stroke="var(--ink)"/>'
        f'<text x="{x:.1f}" y="{y + 4.3:.1f}" font-size="12" font-weight="700" text-anchor="middle" '
        f'fill="var(--ink)">{place}</text>'
    )


def _center(path: str) -> tuple[float, float]:
    """The middle of an outline's box."""
    points = [tuple(map(float, point)) for point in re.findall(r"([\d.]+),([\d.]+)", path)]
    across, down = zip(*points, strict=True)
    return (min(across) + max(across)) / 2, (min(down) + max(down)) / 2


def _key(measure: Measure, between: Sequence[int]) -> str:
    classes = _legend(measure, between)
    return "".join(
        f'<rect x=".5" y="{ROW * k + 1.5}" width="16" height="14" fill="var(--{shade(k, len(classes))})" '
        f'stroke="var(--baseline)"/><text x="23" y="{ROW * k + 13}" fill="var(--ink)">{escape(text)}</text>'
        for k, text in enumerate(classes)
    )


def _worst_three(measure: Measure, worst: Sequence[County], k: int) -> str:
    """The names of the numbered counties, each with its value."""
    return "".join(
        _numbered(place + 1, 9, 2 * ROW * place + 9)
        + f'<text x="24" y="{2 * ROW * place + 13}" font-weight="700" fill="var(--ink)">{escape(county.name)}</text>'
        f'<text x="24" y="{2 * ROW * place + 30}" fill="var(--muted)">{escape(measure.said(county.values[k]))}</text>'
        for place, county in enumerate(worst)
    )


def _description(found: Sequence[County]) -> str:
    """What the maps say to those who do not see them."""
    parts = []
    for k, measure in enumerate(MEASURES):
        worst = [f"{c.name} {measure.said(c.values[k])}" for c in worst_of(found, k)[:MARKED] if c.values[k] >= MINUTE]
        parts.append(f"{measure.title} ({measure.unit}): {', '.join(worst) or 'no county stands out'}.")
    of = plural(len(found), "county", "counties")
    maps = f"Three maps of Iowa with {of}, in stronger color where it is longer or later."
    return f"{maps} {' '.join(parts)} The table has all."
