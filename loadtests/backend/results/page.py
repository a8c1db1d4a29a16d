"""The page of results, and one for each county: findings in sentences, tables, the map of Iowa's counties as SVG.

HTML without script in the design language of the reports. Knows the figures of a release, and no HTTP.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from simulation.report import plot
from simulation.words import THIN, capitalized, number, percent, plural

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

    from loadtests.backend.results.snapshot import Release, Totals

NANO = 10**9
BOX = (5.0, 9.9, 488.7, 322.2)  # of the outlines: left, top, right, bottom
COLORS = ("forecast", "alarm", "second", "reached", "hand", "ink")  # of style.css, told apart without hue as well
FEWEST = 10  # counties that make a map worth its place


@dataclass(frozen=True)
class Color:
    """How a group, or a county without one leader, is filled."""

    name: str  # what it stands for
    fill: str
    hatched: bool = False
    counties: int = 0  # of this kind

    @property
    def pattern(self) -> str:
        """Fill as SVG has it."""
        return f"url(#hatch-{self.fill})" if self.hatched else f"var(--{self.fill})"


# Sentences


def finding(release: Release, of: Totals) -> str:
    """How much is in, and who is in front."""
    return f"{reported(of)} {lead(release, of)}".rstrip()


def reported(of: Totals) -> str:
    """How many precincts have reported."""
    if not of.reported:
        return "No precinct has reported yet."
    if of.complete:
        return "The only precinct has reported." if of.of == 1 else f"All {number(of.of)} precincts have reported."
    have = "has" if of.reported == 1 else "have"
    share = percent(of.reported / of.of)
    return f"{number(of.reported)} of {plural(of.of, 'precinct')} {have} reported ({share})."


def lead(release: Release, of: Totals) -> str:
    """Who is in front, and with how much; nothing where nobody has anything."""
    leaders = release.leaders(of)
    if not leaders:
        return ""
    names = [capitalized(release.election.groups[k]) for k in leaders]
    amount = said(release, of, leaders[0])
    unit = ("vote" if amount == "1" else "votes") if release.election.ballot else "SDE"
    if len(names) == 1:
        return f"{names[0]} leads with {amount}{THIN}{unit}."
    return f"{', '.join(names[:-1])} and {names[-1]} are level with {amount}{THIN}{unit} each."


def said(release: Release, of: Totals, group: int) -> str:
    """What a group has: votes, or SDE, to a tenth in the state and to a hundredth in a part of it."""
    value = release.standing(of)[group]
    return number(value) if release.election.ballot else sde(value, 1 if of is release.state else 2)


def sde(nano: int, digits: int) -> str:
    """Billionths as a decimal, rounded half up; what is more than nothing is never shown as nothing."""
    unit = 10 ** (9 - digits)
    rounded = (nano + unit // 2) // unit
    if nano and not rounded:
        return f"<0.{1:0{digits}d}"
    return f"{rounded // 10**digits:,}.{rounded % 10**digits:0{digits}d}"


def status(release: Release, of: Totals) -> list[tuple[str, str, str]]:
    """What a reader must know before any figure: kind, word, sentence."""
    found = []
    if release.held_since:
        when = release.held_since.strftime("%H:%M UTC")
        found.append(("held", "Held", f"Headquarters holds back results since {when}: newer reports are not here."))
    if of.complete:
        found.append(("complete", "Unofficial", "Every precinct is in. Corrections may still follow."))
    else:
        missing = of.of - of.reported
        have = "has" if missing == 1 else "have"
        found.append(("partial", "Partial", f"{plural(missing, 'precinct')} {have} not reported: figures will change."))
    return found


# Pages


def statewide(release: Release) -> str:
    """The page of the state."""
    return _render(
        "page.html",
        release,
        release.state,
        title=f"{release.election.title}: results",
        map=_map(release) if has_map(release) else None,
        counties=_counties(release),
    )


def county(release: Release, name: str) -> str:
    """The page of a county."""
    of = release.counties[name]
    found = release.election.counties[name]
    shown = [k for k, _ in enumerate(release.election.groups) if of.first[k] or of.final[k]]
    sites = [
        {
            "name": site.precinct,
            "code": site.code,
            "result": release.results.get(site.code),
            "counts": _counts(release, site.code, shown),
        }
        for site in found
    ]
    return _render(
        "county.html",
        release,
        of,
        title=name,
        precincts=f"{number(of.reported)} of {plural(of.of, 'result')} {'is' if of.reported == 1 else 'are'} in",
        shown=[capitalized(release.election.groups[k]) for k in shown],
        sites=sites,
    )


def _counts(release: Release, code: str, shown: Sequence[int]) -> list[tuple[int, int]]:
    result = release.results.get(code)
    return [(result.figures.final[k], result.figures.delegates[k]) for k in shown] if result else []


def _render(template: str, release: Release, of: Totals, **values: Any) -> str:
    values |= {
        "release": release,
        "made_at": release.made_at,
        "election": release.election,
        "story": finding(release, of),
        "status": status(release, of),
        "shares": _shares(release, of),
        "rows": _candidates(release, of),
    }
    return _environment().get_template(template).render(values).lstrip()


@cache
def _environment() -> Environment:
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        autoescape=True,
        loader=ChoiceLoader([PackageLoader("loadtests.backend", "results"), PackageLoader("simulation", "report")]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    own = files("loadtests.backend.results").joinpath("style.css").read_text(encoding="utf-8")
    environment.globals |= {"style": Markup(plot.style() + own), "address": county_address}
    environment.filters |= {"number": number, "capitalized": capitalized, "percent": percent}
    return environment


def county_address(name: str, ending: str) -> str:
    """Where a county's documents are."""
    return f"/results/counties/{quote(name, safe='')}.{ending}"


# Tables


def _candidates(release: Release, of: Totals) -> list[Mapping[str, Any]]:
    """The groups that have anybody, the strongest first."""
    standing = release.standing(of)
    whole = sum(standing)
    order = sorted(range(len(standing)), key=lambda k: (-standing[k], -of.final[k], -of.first[k], k))
    return [
        {
            "name": capitalized(release.election.groups[k]),
            "standing": said(release, of, k),
            "share": standing[k] / whole if whole else 0,
            "final": of.final[k],
            "first": of.first[k],
            "delegates": of.delegates[k],
        }
        for k in order
        if standing[k] or of.final[k] or of.first[k]
    ]


def _shares(release: Release, of: Totals) -> str:
    """The two in front, as shares."""
    standing = release.standing(of)
    whole = sum(standing)
    if not whole:
        return "Nobody has won anything yet"
    first, *others = sorted(range(len(standing)), key=lambda k: (-standing[k], k))
    names = [capitalized(release.election.groups[k]) for k in (first, *others)]
    shares = [percent(standing[k] / whole) for k in (first, *others)]
    if others and shares[0] == shares[1]:  # so close that it takes a decimal to tell them apart
        shares[:2] = [f"{100 * standing[k] / whole:.1f}{THIN}%" for k in (first, others[0])]
    what = "votes" if release.election.ballot else "state delegate equivalents"
    text = f"{names[0]} has {shares[0]} of the {what}" + ("" if of.complete else " counted so far")
    return f"{text}, {names[1]} {shares[1]}" if others and standing[others[0]] else text


def _counties(release: Release) -> list[Mapping[str, Any]]:
    return [
        {"name": name, "of": of, "leader": _leader(release, of), "standing": _standing(release, of)}
        for name, of in release.counties.items()
    ]


def _leader(release: Release, of: Totals) -> str:
    leaders = release.leaders(of)
    return " and ".join(capitalized(release.election.groups[k]) for k in leaders) if len(leaders) < 4 else "level"


def _standing(release: Release, of: Totals) -> str:
    leaders = release.leaders(of)
    return said(release, of, leaders[0]) if leaders else ""


# The map


@cache
def outlines() -> Mapping[str, str]:
    """Iowa's counties as SVG paths, by FIPS code: the data of `report.maps`, which waits for a compiler."""
    text = files("simulation.report").joinpath("iowa_counties.json").read_text(encoding="utf-8")
    return dict(json.loads(text)["paths"])


def _fips(release: Release) -> dict[str, str]:
    """The code of each county that has an outline."""
    codes = {name: sites[0].fips or "" for name, sites in release.election.counties.items()}
    return {name: code for name, code in codes.items() if code in outlines()}


def has_map(release: Release) -> bool:
    """Whether there are counties enough that have an outline."""
    return len(_fips(release)) >= FEWEST


def color_of(group: int, groups: Sequence[str]) -> Color:
    """A group keeps its color all night, whoever is in front; the second six are hatched, further ones gray."""
    if group >= 2 * len(COLORS):
        return Color("another", "none")
    return Color(capitalized(groups[group]), COLORS[group % len(COLORS)], hatched=group >= len(COLORS))


LEVEL = Color("level", "none")


@dataclass(frozen=True)
class Map:
    """The map as SVG, the sentence above it, and what its colors mean."""

    title: str
    svg: Markup
    legend: list[Color]
    pale: bool  # whether any county is shown pale, because part of it has not reported
    empty: bool  # whether any has no fill


def _map(release: Release) -> Map:
    groups = release.election.groups
    codes = _fips(release)
    colors: dict[str, Color | None] = {}
    for name in codes:
        leaders = release.leaders(release.counties[name])
        colors[name] = None if not leaders else color_of(leaders[0], groups) if len(leaders) == 1 else LEVEL
    used = [color for color in colors.values() if color is not None]
    legend = [
        Color(color.name, color.fill, color.hatched, used.count(color))
        for color in sorted(set(used), key=lambda color: (-used.count(color), color.name))
    ]
    title = map_title(legend, len(codes))
    pale = any(color and not release.counties[name].complete for name, color in colors.items())
    from markupsafe import Markup

    return Map(title, Markup(_svg(release, codes, colors, title)), legend, pale, None in colors.values())


def map_title(legend: Sequence[Color], counties: int) -> str:
    """Who leads in most counties, and who comes next."""
    if not legend:
        return "No county has reported yet"
    leading = [color for color in legend if color.fill != "none"]
    if not leading:
        return f"Nobody leads alone in any of {counties} counties"
    sentence = f"{leading[0].name} leads in {plural(leading[0].counties, 'county', 'counties')}"
    return f"{sentence}, {leading[1].name} in {number(leading[1].counties)}" if len(leading) > 1 else sentence


def _svg(release: Release, codes: Mapping[str, str], colors: Mapping[str, Color | None], title: str) -> str:
    left, top, right, bottom = BOX
    hatched = sorted({color.fill for color in colors.values() if color and color.hatched})
    drawn = [
        (
            f'<svg viewBox="{left - 2} {top - 2} {right - left + 4} {bottom - top + 4}" role="img" '
            f'aria-labelledby="map-title" aria-describedby="map-text"><title id="map-title">{escape(title)}</title>'
            f'<desc id="map-text">Map of Iowa with {len(codes)} counties, each in the color of who leads there; '
            "the table of counties says the same.</desc>"
        ),
        *(["<defs>", *map(hatch, hatched), "</defs>"] if hatched else []),
        '<g stroke="var(--paper)" stroke-width="1">',
    ]
    for name, code in codes.items():
        color, of = colors[name], release.counties[name]
        text = f"{name}: {number(of.reported)} of {number(of.of)} reported"
        if color is None:
            look = 'class="none-yet"'
        else:
            text += f", {_leader(release, of)} {_standing(release, of)}"
            look = f'fill="{color.pattern}"' + ("" if of.complete else ' class="in-part"')
        drawn.append(f'<path {look} d="{outlines()[code]}"><title>{escape(text)}</title></path>')
    return "".join([*drawn, "</g></svg>"])


def hatch(fill: str) -> str:
    """A pattern of stripes."""
    return (
        f'<pattern id="hatch-{fill}" width="6" height="6" patternUnits="userSpaceOnUse" '
        f'patternTransform="rotate(45)"><rect width="6" height="6" fill="var(--paper)"/>'
        f'<rect width="3.5" height="6" fill="var(--{fill})"/></pattern>'
    )
