"""The audit against history: Iowa's published results of 2020, the releases before them, and what the press found."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import pytest

from simulation.audit import KINDS, Audit, audit_file, results
from simulation.rules import Status, law, outcomes

DOCS = Path(__file__).resolve().parents[2] / "docs"
RELEASES = ("62%", "71%", "75%", "85%", "86%", "92%", "97%", "100%")

Row = dict[str, str]
Place = tuple[str, str]


def read(path: Path) -> list[Row]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


class Archive:
    """The final results, and every earlier state that the published corrections lead back to."""

    def __init__(self, shared_data: Path, folder: Path) -> None:
        self.final = read(shared_data / "iowa2020_precincts.csv")
        self._corrections = read(shared_data / "iowa2020_corrections.csv")
        self._first_seen = read(shared_data / "iowa2020_first_published.csv")
        self._folder = folder

    def before(self, *corrections: tuple[str, str]) -> list[Row]:
        """The final results with corrections (from, to) undone, the last one first; totals are the sums again."""
        rows = {(row["county"], row["precinct"]): dict(row) for row in self.final}
        for old, new in corrections:
            for change in self._corrections:
                if (change["from_release"], change["to_release"]) == (old, new) and change["measure"] != "removed":
                    self._undo(rows[change["county"], change["precinct"]], change)
        return list(rows.values())

    @staticmethod
    def _undo(row: Row, change: Mapping[str, str]) -> None:
        candidate, measure = change["candidate"].lower(), change["measure"]
        row[f"{measure}_{candidate}"] = change["old"]
        names = [name.removeprefix("first_") for name in row if name.startswith("first_") and name != "first_total"]
        if measure == "sde":
            if row["kind"] == "precinct":
                won = round(Fraction(change["old"]) / Fraction(row["sde_per_delegate"]))
                row[f"del_{candidate}"] = str(won)
                row["delegates_awarded"] = str(sum(int(row[f"del_{name}"]) for name in names))
            row["sde_total"] = str(float(sum(Fraction(row[f"sde_{name}"]) for name in names)))
        else:
            row[f"{measure}_total"] = str(sum(int(row[f"{measure}_{name}"]) for name in names))

    def shifted(self) -> set[Place]:
        """The precincts of release 85 % whose columns were shifted."""
        return {
            (change["county"], change["precinct"])
            for change in self._corrections
            if change["from_release"] == "85" and change["measure"] != "removed"
        }

    def published_by(self, release: str) -> set[Place]:
        """The precincts that a release showed; six that were withdrawn at 86 % came back at 100 %."""
        shown = RELEASES[: RELEASES.index(release) + 1]
        places = {(row["county"], row["precinct"]) for row in self._first_seen if row["first_release"] in shown}
        withdrawn = {(row["county"], row["precinct"]) for row in self._corrections if row["measure"] == "removed"}
        return places if release == "100%" else places - withdrawn

    def audit(self, rows: Sequence[Row]) -> Audit:
        """The audit of these rows, by way of a file."""
        path = self._folder / "results.csv"
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        return audit_file(path)


@pytest.fixture(scope="module")
def archive(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Archive:
    return Archive(shared_data, tmp_path_factory.mktemp("results"))


@pytest.fixture(scope="module")
def certified(shared_data: Path) -> Audit:
    return audit_file(shared_data / "iowa2020_precincts.csv")


@pytest.fixture(scope="module")
def complete(archive: Archive) -> list[Row]:
    """The release of 100 %, 6 February, before the party's own corrections, the recanvass and the recount."""
    return archive.before(("feb10", "final"), ("100", "feb10"))


def places(audit: Audit, kinds: Iterable[str]) -> set[Place]:
    wanted = set(kinds)
    return {(finding.county, finding.precinct) for finding in audit.findings if finding.kind in wanted}


def test_what_the_audit_finds_in_the_certified_results(certified: Audit) -> None:
    """The kinds of one record as the compiled checks of headquarters count them; the others are measured here."""
    assert (certified.precincts, certified.satellites) == (1765, 87)
    assert certified.counts == {
        "final_exceeds_first": 79,
        "award_not_by_rule": 61,
        "awarded_not_allotted": 13,
        "viable_group_shrank": 17,
        "nonviable_awarded": 10,
        "viable_group_unawarded": 6,
        "more_votes_fewer_delegates": 4,
        "missing_alignment": 2,
        "single_delegate_not_plurality": 16,
        "total_mismatch": 0,
        "sde_mismatch": 10,
        "duplicate_record": 4,
        "column_shift_suspected": 1,
    }
    assert certified.notes == ()
    assert all(re.search(r"\d", finding.detail) for finding in certified.findings)


def test_satellites_have_findings_about_their_sde_only(certified: Audit) -> None:
    """Ten were weighed for another attendance than was published: Wesley Acres has 63 people and the SDE of 72."""
    found = {finding.precinct: finding for finding in certified.findings if "Satellite" in finding.county}
    assert len(found) == 10
    assert {finding.kind for finding in found.values()} == {"sde_mismatch"}
    assert "that is the share of 72.0 people" in found["Des Moines, IA - Wesley Acres"].detail
    assert places(certified, ["sde_mismatch"]) == {(finding.county, finding.precinct) for finding in found.values()}


def test_the_shifted_columns_of_release_85_are_found_when_they_are_put_back(archive: Archive) -> None:
    """All 55 of them; three more are named beside them, one of which is a mistake that nobody ever corrected."""
    found = places(archive.audit(archive.before(("85", "86"))), ["column_shift_suspected"])
    assert len(archive.shifted()) == 55
    assert archive.shifted() <= found
    assert found - archive.shifted() == {
        ("Pottawattamie", "Council Bluff 12"),
        ("Emmet", "Emmet-Estherville"),
        ("Chickasaw", "Deerfield-Washington 2"),
    }


def test_one_shifted_precinct_remains_in_the_certified_results(certified: Audit) -> None:
    """Council Bluffs 12: 24 people for Bloomberg at first, 28 for Buttigieg in the end, and the reverse is 0."""
    [found] = [finding for finding in certified.findings if finding.kind == "column_shift_suspected"]
    assert (found.county, found.precinct) == ("Pottawattamie", "Council Bluff 12")
    assert "Bloomberg 24, Buttigieg 0: one column to the right (Bloomberg 0, Buttigieg 24)" in found.detail


def test_the_audit_names_the_doubles_that_the_party_corrected_later(
    archive: Archive, complete: list[Row], certified: Audit
) -> None:
    """In release 100 %: four pairs that were then put right, and Indianola 2; two pairs stand to this day."""
    audit = archive.audit(complete)
    found, still = places(audit, ["duplicate_record"]), places(certified, ["duplicate_record"])
    assert found - still == {
        ("Scott", "(B52) City of Bettendorf"),
        ("Scott", "(D52) City of Davenport"),
        ("Scott", "(BG) Blue Grass Township"),
        ("Scott", "(D31) City of Davenport"),
        ("Woodbury", "Sioux City 05"),
        ("Woodbury", "Sioux City 20"),
        ("Henry", "Mt. Pleasant Ward 4"),
        ("Henry", "Northeast Precinct"),
    }
    assert still == {
        ("Des Moines", "PCT 3"),
        ("Winneshiek", "PCT 03 - DEW1/DETSUP2"),
        ("Story", "Grant Township"),
        ("Story", "Palestine Township"),
    }
    assert ("Warren", "INDIANOLA 2") in places(audit, ["column_shift_suspected"])


def test_the_page_on_2020_gives_the_numbers_that_are_measured(
    archive: Archive, complete: list[Row], certified: Audit
) -> None:
    """Its table: kinds of finding by release; 92 % and 97 % are what the newspaper had before it."""
    page = (DOCS / "audit-2020.md").read_text(encoding="utf-8")
    cells = [line.strip("|").split("|") for line in page.splitlines() if line.startswith("| `")]
    table = {kind.strip(" `"): [int(count) for count in counts] for kind, *counts in cells}
    by_release = []
    for release in ("92%", "97%", "100%"):
        shown = archive.published_by(release)
        by_release.append(archive.audit([row for row in complete if (row["county"], row["precinct"]) in shown]))
    assert [audit.precincts for audit in by_release] == [1624, 1711, 1765]
    by_release.append(certified)
    assert table == {kind: [audit.counts[kind] for audit in by_release] for kind in KINDS}

    precincts = [len({place for place in places(audit, KINDS) if "Satellite" not in place[0]}) for audit in by_release]
    assert f"| precincts with any finding | {' | '.join(map(str, precincts))} |" in page
    arithmetic = {"sde_mismatch", "duplicate_record", "column_shift_suspected", "single_delegate_not_plurality"}
    impossible = [len(places(audit, set(KINDS) - arithmetic - {"award_not_by_rule"})) for audit in by_release]
    assert f"| without the arithmetic of awards | {' | '.join(map(str, impossible))} |" in page


def test_79_precincts_and_one_satellite_end_with_more_people_than_they_began_with(
    certified: Audit, archive: Archive
) -> None:
    """The press counted 79, and more than 600 places whose two totals differ; here they are 700."""
    more = [row for row in archive.final if int(row["final_total"]) > int(row["first_total"])]
    assert len([row for row in more if row["kind"] == "precinct"]) == certified.counts["final_exceeds_first"] == 79
    assert [row["precinct"] for row in more if row["kind"] == "satellite"] == [
        "Iowa City, IA - Walden Place Retirement Community"
    ]
    assert sum(row["final_total"] != row["first_total"] for row in archive.final) == 700
    by_one = [row for row in more if int(row["final_total"]) == int(row["first_total"]) + 1]
    assert len([row for row in by_one if row["kind"] == "precinct"]) == 29


def test_before_the_recanvass_it_was_one_precinct_more(archive: Archive) -> None:
    """80 on 10 February: Davis, Bloomfield Ward 3 was corrected later."""
    before = {
        (row["county"], row["precinct"])
        for row in archive.before(("feb10", "final"))
        if row["kind"] == "precinct" and int(row["final_total"]) > int(row["first_total"])
    }
    final = {
        (row["county"], row["precinct"])
        for row in archive.final
        if row["kind"] == "precinct" and int(row["final_total"]) > int(row["first_total"])
    }
    assert len(before) == 80
    assert before - final == {("Davis", "Bloomfield Ward 3")}


def test_with_one_delegate_precincts_more_votes_had_fewer_delegates_in_15_to_20(
    archive: Archive, complete: list[Row]
) -> None:
    """The press counted at least 15; the audit counts precincts with one delegate apart."""

    def outvoted(row: Row) -> bool:
        names = [name.removeprefix("del_") for name in row if name.startswith("del_")]
        groups = [(int(row[f"final_{name}"]), int(row[f"del_{name}"] or 0)) for name in names]
        return any(size > other and won < theirs for size, won in groups for other, theirs in groups)

    found = []
    for release in ("92%", "97%"):
        shown = archive.published_by(release)
        rows = [row for row in complete if (row["county"], row["precinct"]) in shown and row["kind"] == "precinct"]
        found.append(sum(map(outvoted, rows)))
    assert found == [15, 20]


def test_what_the_unlawful_awards_of_2020_are(shared_data: Path, certified: Audit) -> None:
    """Too many left, or the final count was taken for the attendance, or the wrong number; 23 are something else."""
    unlawful = places(certified, ["award_not_by_rule"])
    records = [
        r for r in results.read(shared_data / "iowa2020_precincts.csv").records if (r.county, r.precinct) in unlawful
    ]
    judged = [(record, outcomes(record.final, record.delegates, record.first_total)) for record in records]
    none_lawful = {record.row for record, found in judged if not found.awards}
    by_policy = {record.row for record, found in judged if tuple(record.awarded) in (found.by_policy or ())}
    of_the_final_count = {r.row for r in records if law.is_lawful(r.final, r.delegates, r.final_total, r.awarded)}
    not_allotted = {record.row for record in records if sum(record.awarded) != record.delegates}
    assert (len(records), len(none_lawful), len(by_policy)) == (61, 20, 11)
    assert sum(found.status is Status.BY_POLICY for _, found in judged) == 17
    assert (len(of_the_final_count), len(of_the_final_count & none_lawful), len(not_allotted)) == (14, 7, 13)
    assert len(records) - len(none_lawful | of_the_final_count | not_allotted) == 23
