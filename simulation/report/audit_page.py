"""The page of an audit: how many results have which finding, then every finding with its rule and what to do about it.

Takes what the audit came to; knows nothing of how it is found out.
"""

from __future__ import annotations

import textwrap
from collections import Counter
from html import escape
from pathlib import PurePath

from simulation.audit import KINDS, Audit
from simulation.report import plot
from simulation.report.chapter import Chapter, KeyNumber, Panel, Table
from simulation.report.pages import page as rendered
from simulation.report.plot import Picture
from simulation.words import capitalized, number, percent, plural

NAME, LINE, BAR, GAP = 20, 18, 14, 16  # heights in the picture: a kind's name, a line of meaning, its bar, what follows
COUNT = 56  # at the right, for the number
EM = 0.52  # of the font's size: the width of a letter, on average


def page(audit: Audit, command: str) -> str:
    """The page; equal input gives equal text. `command` repeats it."""
    notes = [f"{capitalized(note)}." for note in audit.notes]
    return rendered(
        "audit.html",
        title=PurePath(audit.source).name,
        story=_headline(audit),
        key_numbers=_key_numbers(audit),
        notes=notes,
        chapters=[_kinds(audit), *([_findings(audit), _counties(audit)] if audit.findings else [])],
        command=command,
    )


def _touched(audit: Audit) -> int:
    return len({(finding.county, finding.precinct) for finding in audit.findings})


def _headline(audit: Audit) -> str:
    checked = plural(audit.precincts - audit.satellites, "precinct")
    checked += f" and {plural(audit.satellites, 'satellite')}" if audit.satellites else ""
    touched = _touched(audit)
    if not touched:
        return f"Nothing to find fault with in the results of {checked}."
    return (
        f"The results of {checked} were held against the law, one by one: "
        f"{number(touched)} of them {'needs' if touched == 1 else 'need'} a second look."
    )


def _key_numbers(audit: Audit) -> list[KeyNumber]:
    touched = _touched(audit)
    found = sum(count > 0 for count in audit.counts.values())
    share = percent(touched / audit.precincts) if audit.precincts else ""
    return [
        KeyNumber(number(audit.precincts), "results checked" if audit.precincts != 1 else "result checked"),
        KeyNumber(number(touched), "have a finding" if touched != 1 else "has a finding", share),
        KeyNumber(number(len(audit.findings)), "findings in all", "one a precinct and kind"),
        KeyNumber(f"{found} of {len(audit.checked)}", "kinds of mistake occur"),
    ]


def _frequent(audit: Audit) -> list[tuple[str, int]]:
    """The kinds that occur, the most frequent first."""
    found = [(kind, count) for kind, count in audit.counts.items() if count]
    return sorted(found, key=lambda pair: -pair[1])


def _kinds(audit: Audit) -> Chapter:
    found = _frequent(audit)
    rows = [[kind, number(count), percent(count / max(1, audit.precincts))] for kind, count in audit.counts.items()]
    table = Table("kinds-table", "All that was looked for", ["Kind", "results", "of all"], rows)
    if not found:
        sentence = "None of the mistakes that were looked for occurs"
        return Chapter("kinds", "Kinds", [Panel("kinds-panel", sentence, table=table)])
    first, most = found[0]
    sentence = f"The most frequent finding, in {plural(most, 'result')}: {KINDS[first].meaning}"
    return Chapter("kinds", "Kinds", [Panel("kinds-panel", sentence, picture=_bars(found, sentence), table=table)])


def _bars(found: list[tuple[str, int]], sentence: str) -> Picture:
    return Picture(_drawn(found, sentence, "wide", plot.WIDE), _drawn(found, sentence, "narrow", plot.NARROW), ())


def _drawn(found: list[tuple[str, int]], sentence: str, kind: str, width: int) -> str:
    """One version of the picture as inline SVG: of each kind of finding its name, what it means, a bar, its number."""
    most = max(count for _, count in found)
    parts = []
    y = 0
    for code, count in found:
        y += NAME
        parts.append(f'<text y="{y - 5}" font-weight="700" fill="var(--ink)">{escape(code)}</text>')
        for line in textwrap.wrap(KINDS[code].meaning, int(width / (EM * plot.FONT))):
            y += LINE
            parts.append(f'<text y="{y - 5}" fill="var(--muted)">{escape(line)}</text>')
        length = max(2, (width - COUNT) * count // most)
        parts.append(f'<rect y="{y}" width="{length}" height="{BAR}" fill="var(--forecast)"/>')
        parts.append(
            f'<text x="{length + 8}" y="{y + BAR - 2}" font-weight="700" fill="var(--ink)">{number(count)}</text>'
        )
        y += BAR + GAP
    said = "Bars of results by kind of finding: " + ", ".join(f"{code} {number(count)}" for code, count in found) + "."
    name = f"kinds-{kind}"
    return (
        f'<svg class="{kind}" viewBox="0 0 {width} {y - GAP + 4}" role="img" aria-labelledby="{name}-title" '
        f'aria-describedby="{name}-text"><title id="{name}-title">{escape(sentence)}</title>'
        f'<desc id="{name}-text">{escape(said)}</desc><g font-size="{plot.FONT}">{"".join(parts)}</g></svg>'
    )


def _findings(audit: Audit) -> Chapter:
    text = "A finding is a question to the precinct, not a verdict: its worksheet says which number is right."
    panels = [Panel("findings-panel", "Every finding, with its numbers and what to do about it", [text])]
    for kind, count in _frequent(audit):
        about = KINDS[kind]
        rows = [[f.county, f.precinct, f.detail] for f in audit.findings if f.kind == kind]
        head = ["County", "precinct", "what was found"]
        table = Table(f"{kind}-table", f"{kind}: {plural(count, 'result')}", head, rows, text_columns=(0, 1, 2))
        rule = [f"Rule: {about.rule}.", f"What to do: {about.remedy.replace('`', '')}."]
        panels.append(Panel(f"{kind}-panel", f"In {plural(count, 'result')}: {about.meaning}", rule, more=[table]))
    return Chapter("findings", "Findings", panels)


def _counties(audit: Audit) -> Chapter:
    """Where results have findings, the counties with most of them first."""
    places = {(finding.county, finding.precinct) for finding in audit.findings}
    results = Counter(county for county, _ in places)
    findings = Counter(finding.county for finding in audit.findings)
    order = sorted(results, key=lambda county: (-results[county], county))
    rows = [[county, number(results[county]), number(findings[county])] for county in order]
    head = ["County", "results with a finding", "findings"]
    caption = "Counties and groups of satellites with findings"
    most = [county for county in order if results[county] == results[order[0]]]
    leads = f"{most[0]} has" if len(most) == 1 else f"{len(most)} counties each have"
    sentence = f"{leads} the most results with a finding: {number(results[order[0]])}"
    return Chapter(
        "counties", "Counties", [Panel("counties-panel", sentence, more=[Table("counties-table", caption, head, rows)])]
    )
