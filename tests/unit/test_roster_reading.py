"""Reading a roster: what a file may leave out and how it may call its columns; order and format do not matter."""

from __future__ import annotations

import random
import string
from fractions import Fraction
from pathlib import Path

import numpy as np
import polars
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulation.randomness import place_id
from simulation.roster import COLUMNS, Roster, check, columns_markdown, read, synthesize, template
from simulation.roster.derive import usual_stations, usual_volunteers
from simulation.rules.sde import NANO

HEADER: tuple[str, ...] = (
    "county",
    "precinct",
    "kind",
    "delegates",
    "attendance",
    "district",
    "sde_per_delegate",
    "building",
)
HEADER += ("capacity", "volunteers", "stations")
ARRAYS = (
    "places",
    "county_index",
    "satellite",
    "district",
    "delegates",
    "attendance",
    "sde_nano",
    "volunteers",
    "stations",
    "capacity",
    "building",
)


def roster_of(folder: Path, text: str, name: str = "roster.csv") -> Roster:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return read(path)


def assert_equal(one: Roster, other: Roster) -> None:
    """Every site, name and number is the same; where they come from may differ."""
    assert one.sha256 == other.sha256
    assert (one.ids, one.counties, one.precincts) == (other.ids, other.counties, other.precincts)
    assert (one.county_names, one.fips, one.building_names) == (other.county_names, other.fips, other.building_names)
    assert one.candidates == other.candidates
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
    assert (one.preference is None) == (other.preference is None)
    if one.preference is not None and other.preference is not None:
        np.testing.assert_array_equal(one.preference, other.preference)


def test_the_published_results_of_2020_are_a_roster(shared_data: Path) -> None:
    roster = read(shared_data / "iowa2020_precincts.csv")
    assert len(roster) == 1765
    assert roster.attendance.sum() == 176_352
    assert roster.delegates[roster.satellite == 0].sum() == 11_402
    assert roster.satellite.sum() == 87
    assert len(set(roster.counties)) == 99 + 5
    assert sum(code is None for code in roster.fips) == 5  # the groups of satellites are no counties
    sde = int((roster.sde_nano * roster.delegates).sum())
    assert abs(sde - 2150 * NANO) < NANO // 1000  # 2,107 of precincts and 43 in the satellites' pools
    assert roster.preference is not None
    np.testing.assert_array_equal(roster.preference.sum(axis=1), roster.attendance)
    assert "sanders" in roster.candidates
    assert "total" not in roster.candidates


def test_satellites_of_2020_get_delegates_by_attendance_and_district_by_group(shared_data: Path) -> None:
    roster = read(shared_data / "iowa2020_precincts.csv")
    satellite = roster.satellite == 1
    assert [int((roster.district[satellite] == d).sum()) for d in (1, 2, 3, 4, 0)] == [12, 17, 20, 11, 27]
    for people, delegates in zip(roster.attendance[satellite], roster.delegates[satellite], strict=True):
        assert delegates == (0 if people == 0 else min(9, 4 + (people - 1) // 20))
    empty = satellite & (roster.attendance == 0)
    assert empty.sum() == 4
    assert roster.sde_nano[empty].sum() == 0
    assert (roster.sde_nano * roster.delegates)[satellite].sum() == pytest.approx(43 * NANO, rel=1e-6)


def test_sde_ratios_are_read_exactly_and_cut_after_nine_digits(tmp_path: Path) -> None:
    roster = roster_of(
        tmp_path,
        "county,precinct,delegates,attendance,sde_per_delegate,sde_allotted\n"
        "A,1,8,40,0.078431373,\nA,2,8,40,4/51,\nA,3,8,40,0.0784313729999,\nA,4,8,40,,0.627451\nA,5,8,40,1e-9,\nA,6,3,9,,1\n",
    )
    ratios = (Fraction(78431373), Fraction(4 * NANO, 51), Fraction(78431372), Fraction(627451000, 8), Fraction(1))
    assert roster.sde_nano.tolist() == [int(ratio) for ratio in ratios] + [333_333_333]


def test_what_is_missing_follows_from_iowas_counties_and_from_size(tmp_path: Path) -> None:
    roster = roster_of(tmp_path, "county,precinct,delegates,attendance\nAdair,1,8,40\nPolk,2,10,492\nClark,3,10,100\n")
    assert dict(zip(roster.county_names, roster.fips, strict=True)) == {
        "Adair": "19001",
        "Polk": "19153",
        "Clark": None,
    }
    assert roster.counties == ("Adair", "Clark", "Polk")
    assert roster.district.tolist() == [3, 0, 3]
    assert roster.sde_nano.tolist() == [4 * NANO // 51, NANO, 392 * NANO // 1401]
    assert roster.volunteers.tolist() == [usual_volunteers(people) for people in (40, 100, 492)]
    assert roster.stations.tolist() == [usual_stations(count) for count in roster.volunteers]
    assert roster.capacity.tolist() == [0, 0, 0]
    assert roster.preference is None
    assert len(roster.building_names) == 3
    assert any("did you mean 'Clarke'?" in note for note in roster.notes)


def test_a_county_of_another_state_is_not_iowas(tmp_path: Path) -> None:
    text = "county,precinct,delegates,attendance,fips\nPolk,1,8,40,55095\nClark,1,8,40,1001\n"  # Wisconsin; a lost zero
    roster = roster_of(tmp_path, text)
    assert roster.fips == ("01001", "55095")
    assert roster.district.tolist() == [0, 0]
    assert roster.sde_nano.tolist() == [NANO, NANO]


def test_usual_staff_follows_the_published_ranges() -> None:
    """31 or fewer people 1-2 volunteers, about 50 3-5, 90 to 190 10-20, 935 30-50; stations are 40 % of them."""
    assert all(1 <= usual_volunteers(people) <= 2 for people in range(32))
    assert 3 <= usual_volunteers(50) <= 5
    assert all(10 <= usual_volunteers(people) <= 20 for people in range(90, 191))
    assert 30 <= usual_volunteers(935) <= 50
    volunteers = [usual_volunteers(people) for people in range(3000)]
    assert volunteers == sorted(volunteers)
    assert [usual_stations(count) for count in (0, 1, 2, 5, 10, 30)] == [1, 1, 1, 2, 4, 12]


def test_aliases_spelling_and_order_of_columns_do_not_matter(tmp_path: Path) -> None:
    plain = roster_of(tmp_path, "county,precinct,delegates,attendance\nAdair,1,8,40\n")
    other = roster_of(
        tmp_path, "\ufeff First_Total ,PRECINCT,County Delegates,county\r\n40.0,1, 8 ,Adair\r\n\r\n,,,\r\n"
    )
    assert_equal(plain, other)


def test_unknown_columns_are_told_with_the_likely_name(tmp_path: Path) -> None:
    roster = roster_of(tmp_path, "county,precinct,delegates,attendance,capacty,color\nAdair,1,8,40,99,red\n")
    assert "column 'capacty' is ignored: did you mean 'capacity'?" in roster.notes
    assert "columns ignored: color" in roster.notes


def test_ids_and_places_are_those_of_the_names_or_of_the_id_column(tmp_path: Path) -> None:
    roster = roster_of(tmp_path, "county,precinct,delegates,attendance,id\nAdair,1,8,40,\nAdair,2,8,40,P-7\n")
    assert roster.ids == ("Adair/1", "P-7")
    assert roster.places.tolist() == [place_id("Adair/1"), place_id("P-7")]


def test_sites_of_one_building_share_it_inside_their_county_only(tmp_path: Path) -> None:
    text = (
        "county,precinct,delegates,attendance,building\nA,1,8,40,School\nA,2,8,40,School\nB,1,8,40,School\nB,2,8,40,\n"
    )
    roster = roster_of(tmp_path, text)
    assert roster.building_names == ("A/School", "B/2", "B/School")
    assert roster.building.tolist() == [0, 0, 2, 1]


def test_arrays_are_read_only() -> None:
    roster = synthesize()
    for name in ARRAYS:
        assert getattr(roster, name).dtype == np.int64
        with pytest.raises(ValueError, match="read-only"):
            getattr(roster, name)[0] = 1


def test_excel_and_csv_of_one_table_give_equal_rosters(tmp_path: Path) -> None:
    roster = synthesize()
    roster.write(tmp_path / "state.csv")
    table = roster.frame().with_columns(
        polars.col("sde_per_delegate").cast(polars.Float64)
    )  # as a spreadsheet holds it
    table.write_excel(tmp_path / "state.xlsx")
    from_csv, from_excel = read(tmp_path / "state.csv"), read(tmp_path / "state.xlsx")
    assert_equal(from_csv, from_excel)
    assert_equal(from_csv, roster)
    assert from_excel.source == "state.xlsx"


def test_row_numbers_of_excel_are_those_of_the_sheet(tmp_path: Path) -> None:
    """Empty rows above and between are skipped, as in a sheet with a title line left blank."""
    import xlsxwriter  # type: ignore[import-untyped]  # it ships no types

    path = tmp_path / "sheet.xlsx"
    with xlsxwriter.Workbook(path) as book:
        sheet = book.add_worksheet()
        sheet.write_row(2, 0, ["county", "precinct", "delegates", "attendance"])
        sheet.write_row(3, 0, ["Adair", "1", 8, 40])
        sheet.write_row(6, 0, ["Adair", "2", 8, 41.5])
    with pytest.raises(Exception, match=r"sheet\.xlsx row 7 \(Adair, 2\): attendance = '41\.5'"):
        read(path)


def test_the_order_of_rows_does_not_matter(tmp_path: Path) -> None:
    roster = synthesize("iowa-2016")
    header, *rows = roster.csv().splitlines()
    random.Random(7).shuffle(rows)
    assert_equal(roster, roster_of(tmp_path, "\n".join([header, *rows])))


def test_one_more_voter_in_a_precinct_leaves_every_other_row_equal(tmp_path: Path, shared_data: Path) -> None:
    text = (shared_data / "iowa2020_precincts.csv").read_text(encoding="utf-8")
    before = roster_of(tmp_path, text)
    after = roster_of(tmp_path, text.replace("0.078431373,40,40,0.6275,", "0.078431373,41,40,0.6275,", 1))
    assert after.attendance.sum() == before.attendance.sum() + 1
    old, new = before.csv().splitlines(), after.csv().splitlines()
    assert [a.split(",")[0] for a, b in zip(old, new, strict=True) if a != b] == ["Adair/1NW ADAIR"]
    np.testing.assert_array_equal(before.places, after.places)


def test_the_template_can_be_read_back(tmp_path: Path) -> None:
    roster = roster_of(tmp_path, template(), "template.csv")
    assert len(roster) == 3
    assert roster.satellite.sum() == 1
    assert len(roster.building_names) == 2
    assert roster.delegates.tolist() == [5, 10, 7]


def test_every_column_is_in_the_template_and_in_the_reference() -> None:
    header = template().splitlines()[0].split(",")
    page = columns_markdown()
    for column in COLUMNS:
        assert column.name in header or column.name == "first_<candidate>"
        assert page.count(f"\n| `{column.name}`") == 1
        assert column.meaning in page


def test_a_check_says_what_was_read_and_what_was_derived(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text("county,precinct,delegates,attendance,x\nAdair,1,8,40,\n", encoding="utf-8")
    text = check(tmp_path / "mine.csv")
    assert text.startswith("mine.csv: 1 site (1 precinct, 0 satellites)\n")
    for part in ("40 expected", "columns ignored: x", "volunteers: by attendance, for 1 site without", "3: 1 site"):
        assert part in text


names = st.text(string.ascii_letters + "é ,\"'/-", min_size=1, max_size=12).map(str.strip).filter(bool)
sites = st.tuples(
    names,
    names,
    st.sampled_from(["precinct", "satellite"]),
    st.integers(1, 40),
    st.integers(0, 2000),
    st.integers(0, 4),
    st.integers(0, NANO),
    names,
    st.integers(0, 500),
    st.integers(0, 50),
    st.integers(1, 20),
    st.integers(0, 90),
)


@given(st.lists(sites, min_size=1, max_size=8, unique_by=(lambda site: site[:2], lambda site: "/".join(site[:2]))))
def test_a_written_roster_reads_back_as_itself(tmp_path_factory: pytest.TempPathFactory, rows: list[tuple]) -> None:  # type: ignore[type-arg]  # a dozen kinds of cells
    folder = tmp_path_factory.mktemp("roundtrip")
    table = polars.DataFrame(
        [(*row[:6], f"{row[6] / NANO:.9f}", *row[7:]) for row in rows],
        schema=[*HEADER, "first_ada"],
        orient="row",
    )
    table.write_csv(folder / "given.csv")
    roster = read(folder / "given.csv")
    assert roster.delegates.sum() == sum(row[3] for row in rows)
    assert roster.attendance.sum() == sum(row[4] for row in rows)
    roster.write(folder / "written.csv")
    assert_equal(roster, read(folder / "written.csv"))
    assert roster.csv() == read(folder / "written.csv").csv()
    assert roster.frame().height == len(rows)


def test_a_county_with_another_iowan_code_is_told(tmp_path: Path) -> None:
    roster = roster_of(tmp_path, "county,precinct,delegates,attendance,fips\nAdair,1,8,40,19003\n")
    assert "county 'Adair' has FIPS code 19003: Iowa's Adair has 19001" in roster.notes


def test_preferences_that_do_not_add_up_are_told(tmp_path: Path) -> None:
    text = "county,precinct,delegates,attendance,first_bo,first_ada\nA,1,8,40,30,10\nA,2,8,40,,10\n"
    roster = roster_of(tmp_path, text)
    assert roster.candidates == ("ada", "bo")
    assert roster.preference is not None
    assert roster.preference.tolist() == [[10, 30], [10, 0]]
    assert "first_<candidate>: the counts do not add up to the attendance of 1 site" in roster.notes


def test_the_codes_of_a_nights_sites_are_all_of_one_length_satellites_too(tmp_path: Path) -> None:
    header = "county,precinct,kind,delegates,attendance,district\n"
    satellites = "In-state CD1,Abroad,satellite,,40,1\nIn-state CD1,Afar,satellite,,40,1\n"
    for sites, expected in ((3, ("0001", "0003")), (9_999, ("0001", "9999")), (10_000, ("00001", "10000"))):
        precincts = "".join(f"Adair,P{number},,1,20,1\n" for number in range(sites - 2))
        roster = roster_of(tmp_path, header + precincts + satellites)
        codes = [roster.code(number) for number in range(len(roster))]
        assert (codes[0], codes[-1], roster.satellite[-1]) == (*expected, 1)
        assert codes == sorted(set(codes))
