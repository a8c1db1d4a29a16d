"""The audit of a results file: every kind of finding alone, who is left out of which, and what a bad file is told."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import xlsxwriter  # type: ignore[import-untyped]  # ships no types

from simulation.audit import KINDS, Audit, audit_file, codes_markdown
from simulation.errors import InputError

CANDIDATES = ("ames", "boone", "clinton", "dubuque")
DOCS = Path(__file__).resolve().parents[2] / "docs"

Row = dict[str, object]


def row(
    precinct: str = "1",
    first: Sequence[int] = (20, 30, 40, 10),
    final: Sequence[int] = (20, 32, 48, 0),  # quotients 1.0, 1.6, 2.4
    awarded: Sequence[int] = (1, 2, 2, 0),
    **other: object,
) -> Row:
    """A clean precinct of 100 people that elects 5 delegates, each worth 1/4 SDE; or what is said otherwise."""
    cells: Row = {
        "county": "Story",
        "precinct": precinct,
        "kind": "precinct",
        "county_delegates": 5,
        "sde_per_delegate": 0.25,
        "first_total": sum(first),
        "final_total": sum(final),
        "sde_total": sum(awarded) / 4,
        "delegates_awarded": sum(awarded),
    }
    for name, before, after, won in zip(CANDIDATES, first, final, awarded, strict=True):
        cells |= {f"first_{name}": before, f"final_{name}": after, f"del_{name}": won, f"sde_{name}": won / 4}
    return cells | other


def as_csv(folder: Path, rows: Sequence[Mapping[str, object]]) -> Path:
    path = folder / "results.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def audited(folder: Path, *rows: Row) -> Audit:
    return audit_file(as_csv(folder, rows))


def kinds(audit: Audit) -> list[str]:
    return [finding.kind for finding in audit.findings]


def test_a_clean_precinct_has_no_finding(tmp_path: Path) -> None:
    audit = audited(tmp_path, row())
    assert audit.findings == ()
    assert audit.counts == dict.fromkeys(KINDS, 0)
    assert "nothing to find fault with in 1 precinct." in audit.text()


@pytest.mark.parametrize(
    ("cells", "found", "reason"),
    [
        pytest.param(
            row(final=(20, 32, 49, 0)),
            ["final_exceeds_first"],
            "101 people in the final alignment, 100 in the first: 1 more",
            id="somebody came late",
        ),
        pytest.param(
            row(awarded=(1, 1, 3, 0)),
            ["award_not_by_rule"],
            "awarded: Ames 1, Boone 1, Clinton 3; by the rules: Ames 1, Boone 2, Clinton 2"
            " (Ames 20, Boone 32, Clinton 48 of 100 people)",
            id="the wrong group gained",
        ),
        pytest.param(
            row(first=(20, 40, 40, 0), final=(40, 30, 30, 0), awarded=(3, 1, 1, 0)),
            ["award_not_by_rule", "viable_group_shrank"],
            "viable at first alignment (threshold 15 of 100, 3/20) and smaller at the final one: "
            "Boone from 40 to 30, Clinton from 40 to 30",
            id="two locked groups lost people",
        ),
        pytest.param(
            row(first=(25, 50, 25, 0), final=(25, 25, 0, 0), awarded=(2, 3, 0, 0), county_delegates=5),
            ["award_not_by_rule", "viable_group_shrank"],
            "awarded: Ames 2, Boone 3; no award is lawful: Ames 25, Boone 25 of 100 people round to 2 delegates, and "
            "one correction a group does not reach 5",
            id="too many left for any award to be lawful",
        ),
        pytest.param(
            row(awarded=(1, 2, 3, 0)),
            ["award_not_by_rule", "awarded_not_allotted"],
            "6 delegates awarded, the precinct elects 5",
            id="six of five",
        ),
        pytest.param(
            row(final=(19, 32, 48, 0)),
            ["viable_group_shrank"],
            "viable at first alignment (threshold 15 of 100, 3/20) and smaller at the final one: Ames from 20 to 19",
            id="a locked member left",
        ),
        pytest.param(
            row(final=(20, 30, 40, 10), awarded=(1, 1, 2, 1)),
            ["award_not_by_rule", "nonviable_awarded"],
            "not viable (threshold 15 of 100, 3/20), but awarded: 10 people for Dubuque, 1 delegate",
            id="ten of a hundred elect somebody",
        ),
        pytest.param(
            row(awarded=(0, 2, 3, 0)),
            ["award_not_by_rule", "viable_group_unawarded"],
            "viable (threshold 15 of 100, 3/20), but got no delegate: 20 people for Ames",
            id="twenty of a hundred elect nobody",
        ),
        pytest.param(
            row(awarded=(2, 1, 2, 0)),
            ["award_not_by_rule", "more_votes_fewer_delegates"],
            "Boone has 32 people and 1 delegate, Ames 20 people and 2 delegates",
            id="twenty beat thirty-two",
        ),
        pytest.param(
            row(final=(0, 0, 0, 0), awarded=(0, 9, 0, 0)),
            ["missing_alignment"],
            "100 people in the first alignment, none in the final one",
            id="no final alignment: the award is not judged",
        ),
        pytest.param(
            row(final_total=""),
            ["missing_alignment"],
            "100 people in the first alignment, none in the final one",
            id="an empty total is a missing alignment",
        ),
        pytest.param(
            row(first=(0, 0, 0, 0), final=(0, 0, 0, 0), awarded=(0, 0, 0, 0)),
            ["missing_alignment"],
            "no alignment was reported",
            id="neither alignment",
        ),
        pytest.param(
            row(awarded=(0, 1, 0, 0), county_delegates=1),
            ["single_delegate_not_plurality"],
            "the delegate is Boone's, who has 32 people; the largest group is Clinton with 48 people",
            id="one delegate: the second largest group",
        ),
        pytest.param(
            row(county_delegates=1),
            ["single_delegate_not_plurality"],
            "5 delegates awarded, the precinct elects 1; the largest group is Clinton with 48 people",
            id="one delegate: five awarded",
        ),
        pytest.param(
            row(first_total=101),
            ["total_mismatch"],
            "first_total is 101, the candidates add up to 100",
            id="a total that is no sum",
        ),
        pytest.param(
            row(delegates_awarded=4),
            ["total_mismatch"],
            "delegates_awarded is 4, the candidates add up to 5",
            id="delegates that do not add up",
        ),
        pytest.param(
            row(sde_clinton=0.75, sde_total=1.5),
            ["sde_mismatch"],
            "Clinton: 2 delegates x 0.25 are 0.5000 SDE, 0.7500 published",
            id="a weight that does not follow",
        ),
        pytest.param(
            row(sde_total=1.3),
            ["sde_mismatch"],
            "sde_total is 1.3000, the candidates have 1.2500",
            id="weights that do not add up",
        ),
        pytest.param(
            row(first=(0, 30, 40, 30), final=(35, 0, 65, 0), awarded=(2, 0, 3, 0)),
            ["viable_group_shrank", "column_shift_suspected"],
            "Boone had 30 people at first alignment and 0 at the final one, Ames in the next column 0 and then 35",
            id="a locked group turns up in the next column",
        ),
    ],
)
def test_a_record_s_findings_and_their_reason(tmp_path: Path, cells: Row, found: list[str], reason: str) -> None:
    """Whatever is not awarded by the rules has `award_not_by_rule` as well; all else stands alone."""
    audit = audited(tmp_path, cells)
    assert kinds(audit) == found
    assert reason in [finding.detail for finding in audit.findings]


def test_thresholds_are_exact_and_of_the_first_total(tmp_path: Path) -> None:
    """3/20 of 101 is 15.15, so that 15 are not viable; of 100 it is 15, and they are."""
    viable = row("100", first=(15, 35, 40, 10), final=(15, 35, 50, 0), awarded=(1, 2, 2, 0))
    short = row("101", first=(15, 35, 40, 11), final=(15, 35, 51, 0), awarded=(1, 2, 2, 0))
    audit = audited(tmp_path, viable, short)
    assert [finding.precinct for finding in audit.findings if finding.kind == "nonviable_awarded"] == ["101"]


def test_rounding_of_published_sde_is_no_mismatch(tmp_path: Path) -> None:
    """Adair 2020: 4 SDE for 51 delegates, a ratio of nine decimals, SDE of four."""
    adair: dict[str, Any] = {
        "sde_per_delegate": 0.078431373,
        "sde_ames": 0.0784,
        "sde_boone": 0.1569,
        "sde_clinton": 0.1569,
    }
    assert kinds(audited(tmp_path, row(sde_total=0.3922, **adair))) == []
    assert kinds(audited(tmp_path, row(sde_total=0.3923, **adair | {"sde_boone": 0.157}))) == ["sde_mismatch"]


def test_a_place_in_two_rows_is_one_precinct_with_one_finding(tmp_path: Path) -> None:
    twice = [row("A"), row("B", first=(20, 31, 40, 9)), row("A", first=(21, 30, 40, 9), final=(21, 32, 47, 0))]
    audit = audited(tmp_path, *twice)
    assert audit.precincts == 2
    assert [tuple(finding) for finding in audit.findings] == [("Story", "A", "duplicate_record", "in rows 2, 4")]


@pytest.mark.parametrize(
    ("rows", "alike"),
    [
        pytest.param([row("A"), row("B")], ["A", "B"], id="the same record"),
        pytest.param([row("A"), row("B", final=(20, 32, 40, 0))], ["A", "B"], id="the same first alignment"),
        pytest.param([row("A"), row("B", first=(20, 30, 41, 9))], [], id="one person stood elsewhere"),
        pytest.param(
            [row(name, first=(2, 2, 1, 0), final=(2, 2, 1, 0), awarded=(2, 2, 1, 0)) for name in "AB"],
            [],
            id="five people: chance",
        ),
        pytest.param(
            [
                row("A", first=(0, 0, 24, 0), final=(0, 0, 24, 0), awarded=(0, 0, 5, 0)),
                row("B", first=(0, 0, 24, 0), final=(0, 0, 24, 0), awarded=(0, 0, 5, 0)),
            ],
            [],
            id="one group: chance",
        ),
    ],
)
def test_places_with_the_same_numbers_are_named_unless_chance_can_do_it(
    tmp_path: Path, rows: list[Row], alike: list[str]
) -> None:
    found = [finding.precinct for finding in audited(tmp_path, *rows).findings if finding.kind == "duplicate_record"]
    assert found == alike


def party(shift_in: Sequence[int] = ()) -> list[Row]:
    """120 precincts where nobody is for Boone; in those named, Clinton's people stand in Boone's column."""
    rows = []
    for number in range(120):
        first = (30 + number % 7, 0, 40 + number % 11, 20 + number % 5)
        if number in shift_in:
            first = (first[0], first[2], 0, first[3])
        attendance = sum(first)
        rows.append(row(str(number), first, first, (0, 0, 0, 0), county_delegates=1, final_total=attendance))
    return rows


def test_a_stranger_in_the_next_column_is_a_suspected_shift(tmp_path: Path) -> None:
    """Among 120 precincts that know nobody for Boone, 7 that have Boone in Clinton's place are found, and no other."""
    shifted = [3, 20, 41, 77, 80, 99, 119]
    audit = audited(tmp_path, *party(shifted))
    found = {finding.precinct: finding.detail for finding in audit.findings if finding.kind == "column_shift_suspected"}
    assert sorted(map(int, found)) == shifted
    assert "Boone 43, Clinton 0: one column to the right (Boone 0, Clinton 43)" in found["3"]
    assert "6 other precincts gain by the same move" in found["3"]
    assert audited(tmp_path, *party()).counts["column_shift_suspected"] == 0


def test_with_few_precincts_nobody_can_say_what_is_usual(tmp_path: Path) -> None:
    audit = audited(tmp_path, *party([3])[:50])
    assert audit.counts["column_shift_suspected"] == 0
    assert any("fewer than 100" in note for note in audit.notes)


def test_a_precinct_with_one_delegate_has_only_its_own_kind_of_award(tmp_path: Path) -> None:
    """Six groups of one, a viable group that left, a tiny group that won: none of it counts where D = 1."""
    odd = row(first=(30, 40, 20, 10), final=(0, 40, 20, 10), awarded=(0, 0, 0, 1), county_delegates=1)
    assert kinds(audited(tmp_path, odd)) == ["single_delegate_not_plurality"]


def test_a_satellite_has_no_finding_but_its_sde_and_being_there_twice(tmp_path: Path) -> None:
    """Final above first, a vanished viable group, no delegates: not judged at a satellite."""
    satellite: dict[str, Any] = {"kind": "satellite", "county": "CD1 Satellite", "county_delegates": ""}
    odd = row("odd", (20, 0, 0, 0), (0, 22, 0, 0), (0, 0, 0, 0), **satellite | {"first_total": 30})
    audit = audited(tmp_path, odd)
    assert (audit.precincts, audit.satellites, kinds(audit)) == (1, 1, [])
    assert kinds(audited(tmp_path, odd, odd)) == ["duplicate_record"]
    assert kinds(audited(tmp_path, odd | {"sde_total": 1})) == ["sde_mismatch"]


def test_satellites_of_a_group_have_the_same_sde_a_person_split_by_whole_delegates(tmp_path: Path) -> None:
    """Most sites share a pool at .01 SDE a person; one was weighed for 60 people, one split by thirds of a delegate."""

    def site(name: str, people: int, *sde: float) -> Row:
        shares = [*sde, 0.0, 0.0, 0.0][:4]
        cells = row(name, (people, 0, 0, 0), (people, 0, 0, 0), (0, 0, 0, 0), kind="satellite", county="CD1")
        cells |= {f"sde_{candidate}": share for candidate, share in zip(CANDIDATES, shares, strict=True)}
        return cells | {"sde_total": round(sum(sde), 4), "county_delegates": ""}

    audit = audited(
        tmp_path,
        site("20", 20, 0.15, 0.05),
        site("50", 50, 0.5),
        site("140", 140, 1.4),
        site("41", 41, 0.2733, 0.1367),
        site("weighed as 60", 43, 0.6),
        site("split by thirds", 30, 0.1, 0.2),
        site("nobody", 0, 0.1),
    )
    assert {finding.precinct: finding.detail for finding in audit.findings} == {
        "weighed as 60": "0.6000 SDE for 43 people: at the 0.0100 SDE a person of 5 other sites of CD1 that is the "
        "share of 60.0 people",
        "split by thirds": "30 people elect 5 delegates, which the SDE split as Ames 1.67, Boone 3.33",
        "nobody": "nobody came, and 0.1000 SDE were given",
    }
    assert set(kinds(audit)) == {"sde_mismatch"}


CASES = {  # county and precinct of the shared cases: what the audit says of them
    "Osceola/Ocheyedan Precinct 0500": [],
    "Black Hawk/WL 2-5": [],
    "Black Hawk/CF W3 P3": [],
    "Adams/Adams 1": [],
    "Bremer/CITY OF READLYN- MAXFIELD & FRANKLIN TWP": [],
    "Osceola/Harris Precinct 0200": [],
    "Polk/DES MOINES-14": [],
    "Polk/DES MOINES-80": ["final_exceeds_first", "missing_alignment"],
    "Lyon/PCT 8 ROCK RAPIDS": ["award_not_by_rule", "viable_group_unawarded"],
    "Webster/Clay-Roland": ["award_not_by_rule", "awarded_not_allotted"],
    "Woodbury/Sioux City 05": ["award_not_by_rule", "awarded_not_allotted"],
    "Polk/WDM-312": ["final_exceeds_first", "award_not_by_rule"],
}


def test_the_twelve_shared_cases_are_judged_as_published_and_for_that_reason(shared_data: Path, tmp_path: Path) -> None:
    cases = json.loads((shared_data / "caucus_math_cases.json").read_text(encoding="utf-8"))
    names = sorted({name for case in cases for block in ("first", "final") for name in case[block]})
    rows = []
    for case in cases:
        official = case["official_delegates"]
        cells: Row = {name: case[name] for name in ("county", "precinct", "sde_per_delegate")}
        cells |= {"county_delegates": case["delegates"], "first_total": sum(case["first"].values())}
        for name in names:
            cells |= {f"first_{name}": case["first"].get(name, 0), f"final_{name}": case["final"].get(name, 0)}
            cells |= {f"del_{name}": official.get(name, 0), f"sde_{name}": case["official_sde"].get(name, 0)}
        rows.append(cells)
    audit = audited(tmp_path, *rows)
    found: dict[str, dict[str, str]] = {f"{case['county']}/{case['precinct']}": {} for case in cases}
    for finding in audit.findings:
        found[f"{finding.county}/{finding.precinct}"][finding.kind] = finding.detail
    assert {place: list(reasons) for place, reasons in found.items()} == CASES
    for case in cases:
        verdict = found[f"{case['county']}/{case['precinct']}"]
        assert ("award_not_by_rule" in verdict) == (case["expected"] != "ok")
    rock_rapids = found["Lyon/PCT 8 ROCK RAPIDS"]["viable_group_unawarded"]
    assert rock_rapids == "viable (threshold 6 of 39, 3/20), but got no delegate: 6 people for Warren"
    assert found["Webster/Clay-Roland"]["awarded_not_allotted"] == "4 delegates awarded, the precinct elects 3"
    assert (
        "Biden 4, Buttigieg 2, Sanders 3; by the rules: Biden 3, Buttigieg 2, Sanders 3"
        in (found["Woodbury/Sioux City 05"]["award_not_by_rule"])
    )
    assert "339 people in the final alignment, 61 in the first" in found["Polk/WDM-312"]["final_exceeds_first"]


def test_csv_and_excel_are_judged_alike(tmp_path: Path) -> None:
    rows = [
        row("A", awarded=(1, 2, 3, 0)),
        row("B", first=(19, 31, 40, 10), sde_per_delegate=0.078431373),
        row("C", kind="satellite", county_delegates=""),
    ]
    workbook = xlsxwriter.Workbook(tmp_path / "results.xlsx")
    sheet = workbook.add_worksheet()
    for number, cells in enumerate([list(rows[0]), *(list(cells.values()) for cells in rows)]):
        sheet.write_row(number, 0, cells)
    workbook.close()
    from_csv, from_excel = audited(tmp_path, *rows), audit_file(tmp_path / "results.xlsx")
    assert from_csv.json() == from_excel.json()
    assert len(from_csv.findings) > 3


def test_the_columns_may_stand_in_any_order_and_only_the_needed_ones_be_there(tmp_path: Path) -> None:
    """Without totals the sums count, without kind all are precincts, without SDE they are not checked."""
    needed = ("county", "precinct", "county_delegates", "first_", "final_", "del_")
    cells = {name: value for name, value in row(awarded=(1, 2, 3, 0)).items() if name.startswith(needed)}
    cells = {name: value for name, value in cells.items() if not name.endswith("_total")}
    audit = audited(tmp_path, dict(reversed(cells.items())) | {"remark": "loud"})
    assert kinds(audit) == ["award_not_by_rule", "awarded_not_allotted"]
    assert "sde_mismatch" not in audit.counts
    assert "columns ignored: remark" in audit.notes
    assert any("were not checked" in note for note in audit.notes)


def test_json_text_and_csv_tell_the_same_findings(tmp_path: Path) -> None:
    audit = audited(tmp_path, row("A", awarded=(1, 2, 3, 0)), row("B", first=(19, 31, 40, 10), final_total=101))
    answer = audit.json()
    assert list(answer) == ["precincts", "counts", "findings"]
    assert answer["precincts"] == 2
    assert [list(finding) for finding in answer["findings"]] == [["county", "precinct", "kind", "detail"]] * 4
    assert sum(answer["counts"].values()) == len(answer["findings"])
    assert json.loads(json.dumps(answer)) == answer
    lines = list(csv.DictReader(io.StringIO(audit.csv())))
    assert [{name: line[name] for name in ("county", "precinct", "kind", "detail")} for line in lines] == (
        answer["findings"]
    )
    assert lines[0]["what_to_do"] == KINDS[lines[0]["kind"]].remedy
    text = audit.text()
    assert text.startswith("results.csv: 2 of 2 precincts have a finding, 4 findings in all.")
    assert all(len(line) <= 100 for line in text.splitlines())
    for code, kind in KINDS.items():
        assert code in text
        assert kind.meaning.split()[0] in text
    assert "Story, A: 6 delegates awarded, the precinct elects 5" in text


def test_ten_bad_rows_are_ten_sentences(tmp_path: Path) -> None:
    bad = [
        row("1", first_ames="many"),
        row("2", final_boone=-3),
        row("3", del_clinton=1.5),
        row("4", county_delegates=""),
        row("5", county_delegates=0),
        row("6", kind="precint"),
        row("", kind="precinct"),
        row("8", sde_ames="a quarter"),
        row("9", first_total=20_001),
        row("10", sde_per_delegate="1e99"),
    ]
    path = as_csv(tmp_path, [row("0"), *bad])
    with pytest.raises(InputError) as refused:
        audit_file(path)
    problems = refused.value.problems
    assert len(problems) == 10
    for number, problem in enumerate(problems, 3):
        assert problem.startswith(f"{path} row {number} (Story, ")
    assert problems[0].endswith("first_ames = 'many': a whole number from 0 to 20,000")
    assert problems[3].endswith("county_delegates is empty: a whole number from 1 to 1,000, unless it is a satellite")


@pytest.mark.parametrize(
    ("header", "told"),
    [
        ("county,precinct,first_x,final_x,del_x", "no column 'county_delegates'"),
        ("county,precint,county_delegates,first_x,final_x,del_x", "no column 'precinct'; there is 'precint'"),
        ("county,precinct,county_delegates", "no candidates"),
        ("county,precinct,county_delegates,first_x,final_x", "no column del_x"),
        ("county,precinct,county_delegates,first_x,final_x,del_x,sde_y", "no column first_y"),
        ("county,precinct,county_delegates,first_x,final_x,del_x,first_x", "two columns are called 'first_x'"),
        ("county,precinct,county_delegates,first_x,final_x,del_x", "has a header but no rows"),
    ],
)
def test_a_file_that_is_no_results_file_is_told_what_it_lacks(tmp_path: Path, header: str, told: str) -> None:
    path = tmp_path / "results.csv"
    path.write_text(header + "\n", encoding="utf-8")
    with pytest.raises(InputError, match=told):
        audit_file(path)


def test_every_code_has_its_line_on_the_reference_page_and_the_page_is_not_stale() -> None:
    """The page itself says which command writes it anew."""
    page = (DOCS / "audit-codes.md").read_text(encoding="utf-8")
    assert page == codes_markdown()
    for code, kind in KINDS.items():
        assert f"| `{code}` | {kind.meaning} | {kind.rule} | {kind.remedy} |" in page.splitlines()
        assert all(line and "|" not in line and "\n" not in line for line in kind[1:])
