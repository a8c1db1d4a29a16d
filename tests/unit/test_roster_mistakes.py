"""A roster with mistakes: all of them are told at once, each with its row, its site, its value and what would do."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from simulation.errors import InputError
from simulation.roster import read, synthesize

HEADER = (
    "county,precinct,delegates,attendance,kind,district,fips,sde_per_delegate,capacity,volunteers,stations,first_ada"
)


def problems_of(path: Path) -> list[str]:
    with pytest.raises(InputError) as raised:
        read(path)
    return [problem.replace(f"{path.parent}/", "") for problem in raised.value.problems]


def written_rows(folder: Path, header: str, rows: Sequence[str]) -> Path:
    path = folder / "mine.csv"
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def problems_in(folder: Path, *rows: str, header: str = HEADER) -> list[str]:
    return problems_of(written_rows(folder, header, rows))


def test_ten_bad_rows_give_one_list_of_ten_lines(tmp_path: Path) -> None:
    assert problems_in(
        tmp_path,
        "Polk,DES MOINES-13,5,100,,,,,,,,",
        "Polk,DES MOINES-14,x,100,,,,,,,,",
        "Polk,DES MOINES-15,5,-3,,,,,,,,",
        "Polk,DES MOINES-16,,100,,,,,,,,",
        "Polk,DES MOINES-13,5,100,,,,,,,,",
        "Polk,DES MOINES-17,0,100,,,,,,,,",
        "Polk,DES MOINES-18,5,20001,,,,,,,,",
        "Polk,DES MOINES-19,5,100,mobile,,,,,,,",
        "Polk,DES MOINES-20,5,100,,5,,,,,,",
        "Polk,DES MOINES-21,5,100,,,,,,,0,",
        ",DES MOINES-22,5,100,,,,,,,,",
        "Polk,DES MOINES-23,5,100,,,,,,,,7",
    ) == [
        "mine.csv row 3 (Polk, DES MOINES-14): delegates = 'x': a whole number from 1 to 1,000",
        "mine.csv row 4 (Polk, DES MOINES-15): attendance = '-3': a whole number from 0 to 20,000",
        "mine.csv row 5 (Polk, DES MOINES-16): delegates is empty: a whole number from 1 to 1,000",
        "mine.csv row 6 (Polk, DES MOINES-13): the same county and precinct as in row 2",
        "mine.csv row 7 (Polk, DES MOINES-17): delegates = '0': a whole number from 1 to 1,000",
        "mine.csv row 8 (Polk, DES MOINES-18): attendance = '20001': a whole number from 0 to 20,000",
        "mine.csv row 9 (Polk, DES MOINES-19): kind = 'mobile': precinct or satellite",
        "mine.csv row 10 (Polk, DES MOINES-20): district = '5': a whole number from 0 to 4",
        "mine.csv row 11 (Polk, DES MOINES-21): stations = '0': a whole number from 1 to 1,000",
        "mine.csv row 12 (?, DES MOINES-22): county is empty: a name",
    ]


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ("A,1,5,,,,,,,,,", "attendance is empty: a whole number from 0 to 20,000"),
        ("A,,5,9,,,,,,,,", "precinct is empty: a name"),
        ("A,1,5,1e3,,,,,,,,", "attendance = '1e3': a whole number from 0 to 20,000"),
        ("A,1,5,7.5,,,,,,,,", "attendance = '7.5': a whole number from 0 to 20,000"),
        ("A,1,5,\u0663,,,,,,,,", "attendance = '\u0663': a whole number from 0 to 20,000"),
        ("A,1,5,99999999999999999999,,,,,,,,", "a whole number from 0 to 20,000"),
        ("A,1,x,9,satellite,,,,,,,", "delegates = 'x': a whole number from 1 to 1,000"),
        ("A,1,5,9,,,19,,,,,", "fips = '19': five digits, such as 19153"),
        ("A,1,5,9,,,,much,,,,", "sde_per_delegate = 'much': a number from 0 to 10"),
        ("A,1,5,9,,,,nan,,,,", "sde_per_delegate = 'nan': a number from 0 to 10"),
        ("A,1,5,9,,,,1/0,,,,", "sde_per_delegate = '1/0': a number from 0 to 10"),
        ("A,1,5,9,,,,1e99,,,,", "sde_per_delegate = '1e99': a number from 0 to 10"),
        ("A,1,5,9,,,,,-1,,,", "capacity = '-1': a whole number from 0 to 100,000"),
        ("A,1,5,9,,,,,,many,,", "volunteers = 'many': a whole number from 0 to 10,000"),
        ("A,1,5,9,,,,,,,,-2", "first_ada = '-2': a whole number from 0 to 20,000"),
        ("A,1,5,9,,", "6 cells, the header has 12"),
        ("A,Ames, ward 1,5,9,,,,,,,,,", "14 cells, the header has 12 (a name with a comma needs quotation marks)"),
        ('A,"1\n2",5,9,,,,,,,,', "precinct = '1\\n2': a name on one line"),
    ],
)
def test_a_bad_cell_is_told_with_what_would_do(tmp_path: Path, row: str, told: str) -> None:
    problems = problems_in(tmp_path, row)
    assert len(problems) == 1
    assert "\n" not in problems[0]
    assert problems[0].startswith("mine.csv row 2")
    assert told in problems[0]


def test_a_county_has_one_fips_code(tmp_path: Path) -> None:
    (problem,) = problems_in(tmp_path, "Adair,1,5,9,,,19001,,,,,", "Adair,2,5,9,,,19003,,,,,")
    assert problem == "mine.csv row 3 (Adair, 2): fips = '19003': a county has one code, and in row 2 it is '19001'"


def test_an_id_belongs_to_one_site(tmp_path: Path) -> None:
    rows = ("s1,A,1,5,9", "s1,A,2,5,9", ",B,1/2,5,9", ",B/1,2,5,9")
    assert problems_in(tmp_path, *rows, header="id,county,precinct,delegates,attendance") == [
        "mine.csv row 3 (A, 2): id = 's1': the same as in row 2",
        "mine.csv row 5 (B/1, 2): id = 'B/1/2': the same as in row 4",
    ]


def test_mistakes_are_named_as_the_file_calls_its_columns(tmp_path: Path) -> None:
    (problem,) = problems_in(tmp_path, "A,1,0,9", header="county,precinct,county_delegates,first_total")
    assert "county_delegates = '0'" in problem


def test_a_row_keeps_its_line_number_after_a_name_of_two_lines(tmp_path: Path) -> None:
    problems = problems_in(tmp_path, 'A,"1\n2",5,9,,,,,,,,', "", "B,1,x,9,,,,,,,,")
    assert [problem.split(" (")[0] for problem in problems] == ["mine.csv row 2", "mine.csv row 5"]


def test_more_than_fifty_mistakes_are_counted(tmp_path: Path) -> None:
    problems = problems_in(tmp_path, *(f"A,{i},x,9,,,,,,,," for i in range(1060)))
    assert len(problems) == 51
    assert problems[-1] == "... and 1,010 more"


def test_missing_columns_are_told_together_with_what_looks_like_them(tmp_path: Path) -> None:
    assert problems_in(tmp_path, "Adair,1,9", header="county,precinct,attendence") == [
        "mine.csv: no column 'delegates' (or 'county_delegates')",
        "mine.csv: no column 'attendance' (or 'first_total'); there is 'attendence': did you mean 'attendance'?",
    ]


def test_a_column_that_is_there_twice_is_told(tmp_path: Path) -> None:
    (problem,) = problems_in(tmp_path, "A,1,5,9,9", header="county,precinct,delegates,attendance,first_total")
    assert problem == "mine.csv: columns 'attendance' and 'first_total' both mean attendance: keep one"
    (problem,) = problems_in(tmp_path, "A,1,5,9,9,9", header="county,precinct,delegates,attendance,first_x,First_X")
    assert problem == "mine.csv: two columns are called 'First_X': keep one"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "is empty"),
        (b"\n\n", "is empty"),
        (b"county,precinct,delegates,attendance\n", "has a header but no rows"),
        (b"\x89PNG\r\n\x1a\n\0\0\0", "is not UTF-8 text (byte 0x89)"),
        (b"county\0,precinct\n", "is not a CSV file"),
        (b"PK\x03\x04rest", "is an Excel workbook"),
        ("county,precinct,delegates,attendance\nA,Caf\u00e9,5,9\n".encode("latin-1"), "row 2: is not UTF-8 text"),
        ("county,precinct\n".encode("utf-16"), "is not UTF-8 text"),
        (b"county;precinct;delegates;attendance\nA;1;5;9\n", "separated by ';': commas are expected"),
        (b"<html><body>\n<p>Not found</p>\n", "the first row must name the columns county, precinct"),
        (b'county,precinct,delegates,attendance\nA,"1,5,9\n', "row 2: is not CSV"),
    ],
)
def test_what_is_no_roster_is_refused_in_one_sentence(tmp_path: Path, content: bytes, told: str) -> None:
    path = tmp_path / "mine.csv"
    path.write_bytes(content)
    (problem,) = problems_of(path)
    assert problem.startswith("mine.csv")
    assert told in problem
    assert "\n" not in problem


def test_missing_files_folders_and_broken_workbooks_are_refused_in_one_sentence(tmp_path: Path) -> None:
    assert problems_of(tmp_path / "none.csv") == ["none.csv: there is no such file"]
    assert problems_of(tmp_path / "none.xlsx") == ["none.xlsx: there is no such file"]
    (tmp_path / "folder.csv").mkdir()
    assert problems_of(tmp_path / "folder.csv") == ["folder.csv: is a folder: a CSV or Excel file is expected"]
    (tmp_path / "broken.xlsx").write_text("county,precinct\n", encoding="utf-8")
    (problem,) = problems_of(tmp_path / "broken.xlsx")
    assert "is not a readable Excel workbook" in problem


def test_a_roster_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be written"):
        synthesize().write(tmp_path / "no" / "such" / "folder.csv")


@pytest.mark.parametrize(
    ("name", "told"), [("iowa-2019", "did you mean 'iowa-2016'"), ("atlantis", "one of iowa-2016")]
)
def test_an_unknown_state_is_told_with_the_known_ones(name: str, told: str) -> None:
    with pytest.raises(InputError, match=told):
        synthesize(name)


def test_a_seed_out_of_range_is_told() -> None:
    with pytest.raises(InputError, match="seed of the roster = -1"):
        synthesize(seed=-1)


def test_more_sites_in_one_building_than_its_lines_can_be_numbered_are_refused(tmp_path: Path) -> None:
    rows = [f"Polk,P {number},1,10,The Dome" for number in range(65_536)]
    header = "county,precinct,delegates,attendance,building"
    assert problems_in(tmp_path, *rows, header=header) == [
        "Polk/The Dome: 65,536 sites in one building: no more than 65,535"
    ]
    assert len(read(written_rows(tmp_path, header, rows[:-1]))) == 65_535
