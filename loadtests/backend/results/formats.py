"""A release as JSON, as CSV in OpenElections' columns, and in NIST SP 1500-100 version 2; the kinds of documents.

Numbers are exact: state delegate equivalents are integers in 1e-9, or decimals with all nine digits. Knows no HTTP.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from csv import writer
from typing import TYPE_CHECKING, Any

from loadtests.backend.results.documents import Document

if TYPE_CHECKING:
    from loadtests.backend.results.snapshot import Release, Result, Totals
    from loadtests.backend.storage import Site

NANO = 10**9
JSON, CSV, HTML = "application/json", "text/csv; charset=utf-8", "text/html; charset=utf-8"

# OpenElections' seven columns; then, as its files have breakdowns of `votes`, what a caucus counts besides. `votes` are
# the people of the final alignment. `district` is the office's, so that President has none; a scenario names no party.
# A group has a row where it had people or delegates; a site that has not reported has none.
COLUMNS = ("county", "precinct", "office", "district", "party", "candidate", "votes")
BREAKDOWN = ("first_alignment", "final_alignment", "delegates", "sde", "site")
OFFICE = "President"
COUNTS = ("first_alignment", "final", "delegates", "sde_nano")


# JSON


def counts(groups: tuple[str, ...], of: Totals) -> dict[str, Any]:
    """Sums as JSON has them, in the words of a report."""
    rows = (of.first, of.final, of.delegates, of.sde_nano)
    by_name = {name: dict(zip(groups, row, strict=True)) for name, row in zip(COUNTS, rows, strict=True)}
    return {"sites": {"reported": of.reported, "of": of.of}, "attendees": of.attendees, **by_name}


def head(release: Release) -> dict[str, Any]:
    """Which release it is: the beginning of every JSON document."""
    return {
        "election": release.election.title,
        "release": release.number,
        "made_at": timestamp(release),
        "sha256": release.sha256,
        "held": release.held_since is not None,
        "complete": release.state.complete,
    }


def timestamp(release: Release) -> str | None:
    """When it was made, in UTC."""
    return release.made_at.isoformat(timespec="seconds").replace("+00:00", "Z") if release.made_at else None


def statewide(release: Release) -> dict[str, Any]:
    """The state and its counties."""
    groups = release.election.groups
    fips = {name: sites[0].fips for name, sites in release.election.counties.items()}
    counties = [{"county": name, "fips": fips[name], **counts(groups, of)} for name, of in release.counties.items()]
    return {**head(release), **counts(groups, release.state), "counties": counties}


def county(release: Release, name: str) -> dict[str, Any] | None:
    """A county and its sites; None where there is no such county."""
    if name not in release.counties:
        return None
    sites = release.election.counties[name]
    return {
        **head(release),
        "county": name,
        **counts(release.election.groups, release.counties[name]),
        "results": [_site(release, site) for site in sites if site.code in release.results],
        "not_reported": [site.code for site in sites if site.code not in release.results],
    }


def site(release: Release, code: str) -> dict[str, Any] | None:
    """A site; None where there is no such site."""
    if code not in release.election.sites:
        return None
    return {**head(release), **_site(release, release.election.sites[code])}


def _site(release: Release, site: Site) -> dict[str, Any]:
    named = {"site": site.code, "id": site.id, "county": site.county, "precinct": site.precinct}
    result = release.results.get(site.code)
    if result is None:
        return {**named, "reported": False} | dict.fromkeys(("version", "attendees", *COUNTS))
    figures, groups = result.figures, release.election.groups
    rows = (figures.first, figures.final, figures.delegates, result.sde_nano)
    by_name = {name: dict(zip(groups, row, strict=True)) for name, row in zip(COUNTS, rows, strict=True)}
    return {**named, "reported": True, "version": figures.version, "attendees": figures.attendees, **by_name}


# CSV


def csv(release: Release) -> str:
    """Every reported site, by code, and in it every group that had anybody."""
    return ",".join((*COLUMNS, *BREAKDOWN)) + "\n" + "".join(result.csv for result in release.results.values())


def csv_rows(result: Result) -> str:
    """The rows of a site."""
    text = io.StringIO()
    site, figures = result.site, result.figures
    rows = zip(result.groups, figures.first, figures.final, figures.delegates, result.sde_nano, strict=True)
    writer(text, lineterminator="\n").writerows(
        (site.county, site.precinct, OFFICE, "", "", group, final, first, final, delegates, decimal(sde), site.code)
        for group, first, final, delegates, sde in rows
        if first or final or delegates
    )
    return text.getvalue()


def decimal(nano: int) -> str:
    """Billionths as a decimal, exactly."""
    return f"{nano // NANO}.{nano % NANO:09d}"


# NIST SP 1500-100 version 2: one contest, a selection for each group, and counts for state, counties and sites. The
# number that everybody understands, `total`, is the final alignment; what the format has no type for is `other`.

STATE_UNIT = "state"


def nist(release: Release) -> str:
    """An ElectionReport. Counts of a site are text already, made once a result; the frame around them is made here."""
    groups = release.election.groups
    day = release.made_at.date().isoformat() if release.made_at else "1970-01-01"
    status = "unofficial-complete" if release.state.complete else "unofficial-partial"
    contest = {
        "@type": "ElectionResults.CandidateContest",
        "@id": "contest",
        "Name": OFFICE,
        "ElectoralDistrictId": STATE_UNIT,
        "VotesAllowed": 1,
        "VoteVariation": "other",
        "OtherVoteVariation": "caucus",
        "SubUnitsReported": release.state.reported,
        "TotalSubUnits": release.state.of,
        "BallotSelection": [
            {
                "@type": "ElectionResults.CandidateSelection",
                "@id": f"selection-{k}",
                "CandidateIds": [f"candidate-{k}"],
                "SequenceOrder": k + 1,
                "VoteCounts": _hole(k),
            }
            for k in range(len(groups))
        ],
    }
    report = {
        "@type": "ElectionResults.ElectionReport",
        "Format": "precinct-level",
        "GeneratedDate": timestamp(release) or "1970-01-01T00:00:00Z",
        "Issuer": "Caucus Trial Run",
        "IssuerAbbreviation": "CTR",
        "IsTest": True,  # figures of a trial run must never be taken for those of an election
        "TestType": "trial run",
        "Notes": f"Release {release.number}, sha256 of its CSV {release.sha256}."
        + (" Publication is held by headquarters." if release.held_since else ""),
        "SequenceStart": 1,
        "SequenceEnd": 1,
        "Status": status,
        "VendorApplicationId": "caucus-trial-run",
        "GpUnit": _units(release),
        "Election": [
            {
                "@type": "ElectionResults.Election",
                "Name": _words(release.election.title),
                "Type": "other",
                "OtherType": "caucus",
                "StartDate": day,
                "EndDate": day,
                "ElectionScopeId": STATE_UNIT,
                "Candidate": [
                    {"@type": "ElectionResults.Candidate", "@id": f"candidate-{k}", "BallotName": _words(group)}
                    for k, group in enumerate(groups)
                ],
                "Contest": [contest],
            }
        ],
    }
    text = json.dumps(report, ensure_ascii=False, separators=(",", ":"))
    totals = [vote_counts(STATE_UNIT, release.state)]
    totals += [vote_counts(unit_of_county(k), of) for k, of in enumerate(release.counties.values()) if of.reported]
    parts = [*totals, *(result.vote_counts for result in release.results.values())]
    for k in range(len(groups)):
        before, _, after = text.partition(json.dumps(_hole(k)))
        text = f"{before}[{','.join(part[k] for part in parts)}]{after}"
    return text


def vote_counts(unit: str, of: Totals) -> tuple[str, ...]:
    """The counts of a unit, for each group, as JSON text without brackets around."""
    begin = f'{{"@type":"ElectionResults.VoteCounts","GpUnitId":"{unit}","Type":'
    other = begin + '"other","OtherType":'
    return tuple(
        f'{begin}"total","Count":{final}}},{other}"first-alignment","Count":{first}}},'
        f'{other}"delegates","Count":{delegates}}},{other}"state-delegate-equivalents","Count":{decimal(sde)}}}'
        for first, final, delegates, sde in zip(of.first, of.final, of.delegates, of.sde_nano, strict=True)
    )


def unit_of_site(site: Site) -> str:
    """The id of its unit."""
    return f"site-{site.code}"


def unit_of_county(position: int) -> str:
    """The id of a county's unit, by its place among the names."""
    return f"county-{position}"


def _hole(k: int) -> str:
    return f"\N{NULL}{k}"  # no name holds such a character, and json writes it as an escape


def _words(text: str) -> dict[str, Any]:
    return {
        "@type": "ElectionResults.InternationalizedText",
        "Text": [{"@type": "ElectionResults.LanguageString", "Language": "en", "Content": text}],
    }


def _units(release: Release) -> list[dict[str, Any]]:
    election = release.election
    found = [_unit(STATE_UNIT, election.title, "state", release.state)]
    found[0]["ComposingGpUnitIds"] = [unit_of_county(k) for k in range(len(election.counties))]
    for k, (name, sites) in enumerate(election.counties.items()):
        group = not sites[0].fips
        unit = _unit(unit_of_county(k), name, "other" if group else "county", release.counties[name])
        unit |= {"OtherType": "satellite caucuses"} if group else {}
        if sites[0].fips:
            unit["ExternalIdentifier"] = [_identifier("fips", sites[0].fips)]
        unit["ComposingGpUnitIds"] = [unit_of_site(site) for site in sites]
        found.append(unit)
    for site in election.sites.values():
        result = release.results.get(site.code)
        unit = {
            "@type": "ElectionResults.ReportingUnit",
            "@id": unit_of_site(site),
            "Name": site.precinct,
            "Type": "other" if site.satellite else "precinct",
            "ExternalIdentifier": [_identifier("local-level", site.code)],
            "CountStatus": _status("completed" if result else "not-processed"),
        }
        unit |= {"OtherType": "satellite caucus"} if site.satellite else {}
        if result:
            unit["VotersParticipated"] = result.figures.attendees
        found.append(unit)
    return found


def _unit(at: str, name: str, kind: str, of: Totals) -> dict[str, Any]:
    return {
        "@type": "ElectionResults.ReportingUnit",
        "@id": at,
        "Name": name,
        "Type": kind,
        "SubUnitsReported": of.reported,
        "TotalSubUnits": of.of,
        "VotersParticipated": of.attendees,
        "CountStatus": _status("completed" if of.complete else "in-process" if of.reported else "not-processed"),
    }


def _identifier(kind: str, value: str) -> dict[str, str]:
    return {"@type": "ElectionResults.ExternalIdentifier", "Type": kind, "Value": value}


def _status(status: str) -> list[dict[str, str]]:
    return [{"@type": "ElectionResults.CountStatus", "Type": "total", "Status": status}]


# Documents


def _page(release: Release, _of: str) -> str:
    from loadtests.backend.results import page

    return page.statewide(release)


def _county_page(release: Release, of: str) -> str | None:
    from loadtests.backend.results import page

    return page.county(release, of) if of in release.counties else None


def _as_json(value: object) -> str | None:
    return None if value is None else json.dumps(value, ensure_ascii=False, separators=(",", ":"))


KINDS: Mapping[str, tuple[Callable[[Release, str], str | None], str]] = {
    "json": (lambda release, _: _as_json(statewide(release)), JSON),
    "csv": (lambda release, _: csv(release), CSV),
    "nist": (lambda release, _: nist(release), JSON),
    "html": (_page, HTML),
    "county.json": (lambda release, of: _as_json(county(release, of)), JSON),
    "county.html": (_county_page, HTML),
    "site.json": (lambda release, of: _as_json(site(release, of)), JSON),
}

# Nothing that the page may do but show itself: no script, nothing from elsewhere; its one style sheet is inline
PAGE_POLICY = {
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
}


def document(release: Release, kind: str, of: str, cache: str) -> Document | None:
    """Build a document; None where there is no such county or site."""
    build, content_type = KINDS[kind]
    text = build(release, of)
    if text is None:
        return None
    return Document(text.encode(), content_type, cache, PAGE_POLICY if content_type == HTML else None)
