"""What the formats of public results say: exact, complete, and in the words of those who read them."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.backend.results import formats
from loadtests.backend.results.snapshot import Release
from tests.unit.backend.results_examples import (
    MADE_AT,
    NANO,
    election,
    figures,
    release,
    satellite,
    site,
    small,
)


def parsed(found: Release, kind: str, of: str = "") -> Any:
    document = found.document(kind, of)
    assert document is not None
    return json.loads(document.body)


def rows(found: Release) -> list[dict[str, str]]:
    document = found.document("csv")
    assert document is not None
    return list(csv.DictReader(io.StringIO(document.body.decode())))


def test_statewide_totals_are_the_sums_of_the_reported_sites() -> None:
    state = parsed(small(), "json")
    assert state["sites"] == {"reported": 2, "of": 3}
    assert state["complete"] is False
    assert state["attendees"] == 101 + 29
    assert state["first_alignment"] == {"ada": 69, "ben": 60}
    assert state["final"] == {"ada": 68, "ben": 61}
    assert state["delegates"] == {"ada": 3, "ben": 4}
    assert state["sde_nano"] == {"ada": 250_000_000, "ben": 300_000_000}


def test_counties_add_up_to_the_state_and_sites_to_their_county() -> None:
    found = small()
    state = parsed(found, "json")
    for kind in ("first_alignment", "final", "delegates", "sde_nano"):
        for group in ("ada", "ben"):
            assert sum(county[kind][group] for county in state["counties"]) == state[kind][group]
            for county in state["counties"]:
                sites = parsed(found, "county.json", county["county"])["results"]
                assert sum(each[kind][group] for each in sites) == county[kind][group]


def test_a_county_tells_which_of_its_sites_have_not_reported() -> None:
    polk = parsed(small(), "county.json", "Polk")
    assert [each["site"] for each in polk["results"]] == ["0001"]
    assert polk["not_reported"] == ["0002"]


def test_a_site_that_has_not_reported_has_no_figures_rather_than_zeros() -> None:
    missing = parsed(small(), "site.json", "0002")
    assert missing["reported"] is False
    assert missing["final"] is None
    assert parsed(small(), "site.json", "0001")["final"] == {"ada": 58, "ben": 42}


@pytest.mark.parametrize(
    ("kind", "of"), [("county.json", "Nowhere"), ("county.html", "polk"), ("site.json", "1"), ("site.json", "")]
)
def test_there_is_no_document_of_what_is_not_there(kind: str, of: str) -> None:
    assert small().document(kind, of) is None


def test_the_csv_begins_with_the_columns_of_openelections() -> None:
    document = small().document("csv")
    assert document is not None
    header = document.body.decode().splitlines()[0].split(",")
    assert header[:7] == ["county", "precinct", "office", "district", "party", "candidate", "votes"]


def test_a_row_of_the_csv_says_all_three_counts_of_a_candidate() -> None:
    row = next(row for row in rows(small()) if row["site"] == "0003" and row["candidate"] == "ben")
    assert row["county"] == "O'Brien"
    assert row["votes"] == row["final_alignment"] == "19"
    assert (row["first_alignment"], row["delegates"], row["sde"]) == ("20", "2", "0.100000000")


def test_a_candidate_whom_nobody_stood_for_has_no_row() -> None:
    of = election(site("0001"), groups=("ada", "ben", "cleo"))
    found = release(of, {"0001": figures((5, 5, 0), (10, 0, 0), (4, 0, 0))})
    assert [row["candidate"] for row in rows(found)] == ["ada", "ben"]


def test_names_with_commas_and_quotes_survive_the_csv() -> None:
    of = election(site("0001", 'Polk, "West"'))
    assert {row["county"] for row in rows(release(of, {"0001": figures((1, 0), (1, 0), (4, 0))}))} == {'Polk, "West"'}


def test_the_digest_of_a_release_is_that_of_its_csv_file() -> None:
    found = small()
    document = found.document("csv")
    assert document is not None
    assert found.sha256 == hashlib.sha256(document.body).hexdigest()


@given(st.integers(0, 3000 * NANO))
def test_a_decimal_says_every_billionth(nano: int) -> None:
    whole, _, rest = formats.decimal(nano).partition(".")
    assert int(whole) * NANO + int(rest) == nano
    assert len(rest) == 9


# Satellites


def test_satellites_share_their_pool_by_who_came() -> None:
    of = election(satellite("0001", 50, NANO), satellite("0002", 50, NANO))
    found = release(of, {"0001": figures((30, 0), (30, 0), (5, 0)), "0002": figures((0, 90), (0, 90), (0, 8))})
    ada, ben = found.state.sde_nano
    assert ada + ben <= 2 * NANO  # the pool, of which rounding down may leave a little
    assert 2 * NANO - ada - ben < 20
    assert (round(ada / NANO, 6), round(ben / NANO, 6)) == (0.5, 1.5)  # 30 and 90 people of 120


def test_satellites_that_are_still_out_count_as_expected_so_that_the_pool_is_never_exceeded() -> None:
    of = election(satellite("0001", 10, NANO), satellite("0002", 90, NANO))
    found = release(of, {"0001": figures((30, 0), (30, 0), (5, 0))})
    assert round(found.state.sde_nano[0] / NANO, 6) == 0.5  # 30 of 30 who came and 90 who are expected


@given(st.lists(st.integers(0, 300), min_size=1, max_size=5))
def test_a_satellite_delegate_is_worth_what_the_rules_say(people: list[int]) -> None:
    from simulation.rules.law import satellite_delegates
    from simulation.rules.sde import nano_of_satellite_delegate

    sites = [satellite(f"{k:04d}", 50, NANO) for k, _ in enumerate(people, 1)]
    pool = sum(each.sde_nano * each.delegates for each in sites)
    elected = [satellite_delegates(count) for count in people]
    reports = zip(sites, people, elected, strict=True)
    found = release(election(*sites), {each.code: figures((n, 0), (n, 0), (d, 0), n) for each, n, d in reports if n})
    for each, count, seats in zip(sites, people, elected, strict=True):
        if count:
            everybody = sum(n or 50 for n in people)
            expected = nano_of_satellite_delegate(pool, count, everybody, seats)
            assert found.results[each.code].worth_nano == expected


# NIST SP 1500-100 version 2: what its schema asks of each class that is used here. (name: required, further)

TEXT = {"Text"}
CLASSES: dict[str, tuple[set[str], set[str]]] = {
    "ElectionReport": (
        {
            *("Format", "GeneratedDate", "Issuer", "IssuerAbbreviation"),
            *("SequenceStart", "SequenceEnd", "Status", "VendorApplicationId"),
        },
        {"IsTest", "TestType", "Notes", "GpUnit", "Election"},
    ),
    "Election": (
        {"ElectionScopeId", "StartDate", "EndDate", "Name", "Type"},
        {"OtherType", "Candidate", "Contest"},
    ),
    "ReportingUnit": (
        {"@id", "Type"},
        {
            *("Name", "OtherType", "SubUnitsReported", "TotalSubUnits", "VotersParticipated", "CountStatus"),
            *("ExternalIdentifier", "ComposingGpUnitIds"),
        },
    ),
    "Candidate": ({"@id", "BallotName"}, set()),
    "CandidateContest": (
        {"@id", "ElectoralDistrictId", "Name", "VotesAllowed"},
        {"VoteVariation", "OtherVoteVariation", "SubUnitsReported", "TotalSubUnits", "BallotSelection"},
    ),
    "CandidateSelection": ({"@id", "CandidateIds"}, {"SequenceOrder", "VoteCounts"}),
    "VoteCounts": ({"Count", "Type"}, {"GpUnitId", "OtherType"}),
    "CountStatus": ({"Status", "Type"}, set()),
    "ExternalIdentifier": ({"Type", "Value"}, set()),
    "InternationalizedText": ({"Text"}, set()),
    "LanguageString": ({"Content", "Language"}, set()),
}
WORDS = {  # the values that an enumeration allows, as far as they are used here
    ("ElectionReport", "Format"): {"precinct-level"},
    ("ElectionReport", "Status"): {"unofficial-partial", "unofficial-complete"},
    ("Election", "Type"): {"other"},
    ("ReportingUnit", "Type"): {"state", "county", "precinct", "other"},
    ("CandidateContest", "VoteVariation"): {"other"},
    ("VoteCounts", "Type"): {"total", "other"},
    ("CountStatus", "Type"): {"total"},
    ("CountStatus", "Status"): {"completed", "in-process", "not-processed"},
    ("ExternalIdentifier", "Type"): {"fips", "local-level"},
}
REFERS = {"GpUnitId", "ElectionScopeId", "ElectoralDistrictId", "CandidateIds", "ComposingGpUnitIds"}


def objects(value: Any) -> Iterator[dict[str, Any]]:
    """Every object of a JSON document."""
    if isinstance(value, dict):
        yield value
        for each in value.values():
            yield from objects(each)
    elif isinstance(value, list):
        for each in value:
            yield from objects(each)


@pytest.fixture
def report() -> dict[str, Any]:
    """The NIST report of a release with satellites, a county in part, a county without any, and a name in quotes."""
    of = election(
        site("0001"), site("0002"), satellite("0003", 20, NANO), site("0004", "Adams"), groups=("ada", 'ben "B"')
    )
    found: dict[str, Any] = parsed(
        release(of, {"0001": figures((60, 40), (58, 42), (2, 2)), "0003": figures((8, 2), (10, 0), (4, 0))}), "nist"
    )
    return found


def test_every_object_of_the_nist_report_is_of_a_class_and_has_what_it_requires(report: dict[str, Any]) -> None:
    for each in objects(report):
        name = each["@type"].removeprefix("ElectionResults.")
        required, further = CLASSES[name]
        assert required <= each.keys(), name
        assert each.keys() <= required | further | {"@type"}, name
        for field, value in each.items():
            assert (name, field) not in WORDS or value in WORDS[name, field]
            assert field not in {"Count", "VotesAllowed", "SubUnitsReported"} or isinstance(value, int | float)


def test_what_the_nist_format_calls_other_is_explained(report: dict[str, Any]) -> None:
    for each in objects(report):
        assert (each.get("Type") == "other") == ("OtherType" in each)


def test_references_of_the_nist_report_lead_somewhere_and_ids_are_unique(report: dict[str, Any]) -> None:
    ids = [each["@id"] for each in objects(report) if "@id" in each]
    assert len(ids) == len(set(ids))
    for each in objects(report):
        for field in REFERS & each.keys():
            for target in [each[field]] if isinstance(each[field], str) else each[field]:
                assert target in ids


def test_the_nist_report_says_when_it_was_made_and_that_it_is_a_test(report: dict[str, Any]) -> None:
    assert datetime.fromisoformat(report["GeneratedDate"]) == MADE_AT
    assert report["IsTest"] is True
    assert report["Status"] == "unofficial-partial"


def test_the_nist_report_counts_what_the_release_counts(report: dict[str, Any]) -> None:
    (election_of_the_report,) = report["Election"]
    (contest,) = election_of_the_report["Contest"]
    names = {each["@id"]: each["BallotName"]["Text"][0]["Content"] for each in election_of_the_report["Candidate"]}
    counted = {
        (names[selection["CandidateIds"][0]], each["GpUnitId"], each.get("OtherType", each["Type"])): each["Count"]
        for selection in contest["BallotSelection"]
        for each in selection["VoteCounts"]
    }
    assert counted["ada", "state", "total"] == 68
    assert counted["ada", "state", "first-alignment"] == 68
    assert counted['ben "B"', "site-0001", "total"] == 42
    assert counted['ben "B"', "site-0001", "delegates"] == 2
    assert counted['ben "B"', "site-0001", "state-delegate-equivalents"] == 0.2
    assert not any(unit == "site-0002" for _, unit, _ in counted)
    assert (contest["SubUnitsReported"], contest["TotalSubUnits"]) == (2, 4)


def test_a_county_of_the_nist_report_is_made_of_its_sites(report: dict[str, Any]) -> None:
    units = {each["Name"]: each for each in report["GpUnit"]}
    assert units["Polk"]["ComposingGpUnitIds"] == ["site-0001", "site-0002"]
    assert units["Polk"]["CountStatus"][0]["Status"] == "in-process"
    assert units["Adams"]["CountStatus"][0]["Status"] == "not-processed"
    assert units["CD3 Satellite"]["Type"] == "other"
