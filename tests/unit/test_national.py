"""National delegates from SDE: every block by itself, the threshold, the largest remainders, ties, and files read."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulation.audit import read_sde
from simulation.errors import InputError
from simulation.rules.national import BLOCKS_2020, Block, allocate, deal

OF_2020 = {"buttigieg": 14, "sanders": 12, "warren": 8, "biden": 6, "klobuchar": 1}
SEVEN = Block("seven", 7)


def sde(**shares: float | str) -> dict[str, Fraction]:
    return {name: Fraction(str(share)) for name, share in shares.items()}


@pytest.mark.parametrize("table", ["iowa2020_counties.csv", "iowa2020_precincts.csv"])
def test_the_final_sde_of_2020_give_the_delegates_of_2020(shared_data: Path, table: str) -> None:
    """From the counties with their districts, and from the precincts by their county's name."""
    read = read_sde(shared_data / table)
    dealt = allocate(read.by_district, read.statewide)
    assert dealt.delegates == OF_2020
    assert dealt.json()["total"] == 41 == sum(block.seats for block in BLOCKS_2020)
    assert all(block["tie"] is None for block in dealt.json()["blocks"])
    assert float(read.statewide["buttigieg"]) == pytest.approx(562.954, abs=0.002)  # published, of rounded precincts
    assert float(read.statewide["sanders"]) == pytest.approx(562.021, abs=0.002)


def test_klobuchar_s_one_delegate_comes_from_district_4(shared_data: Path) -> None:
    read = read_sde(shared_data / "iowa2020_precincts.csv")
    blocks = {dealt.block.name: dealt for dealt in allocate(read.by_district, read.statewide).blocks}
    assert [name for name, dealt in blocks.items() if dealt.awarded.get("klobuchar")] == ["district 4"]
    assert blocks["district 4"].awarded == {"buttigieg": 2, "sanders": 1, "biden": 1, "klobuchar": 1}


def test_whoever_has_15_percent_exactly_takes_part() -> None:
    assert deal(SEVEN, sde(a=85, b=15)).awarded == {"a": 6, "b": 1}
    assert deal(SEVEN, sde(a="85.0001", b=15)).awarded == {"a": 7}


def test_those_below_the_threshold_are_left_out_before_the_quotas() -> None:
    """Of 60 : 26, 7 seats are 4.88 : 2.12; with the 14 below they would be 4.2 : 1.82."""
    dealt = deal(SEVEN, sde(a=60, b=26, c=14))
    assert dealt.awarded == {"a": 5, "b": 2}
    assert dealt.threshold == 15


def test_where_nobody_reaches_15_percent_half_of_the_leader_is_enough() -> None:
    shares = sde(a=14, b=13, c=7, d="6.99") | {f"other {i}": Fraction(5901, 1000) for i in range(10)}
    dealt = deal(SEVEN, shares)
    assert dealt.by_half_of_leader
    assert dealt.threshold == 7
    assert dealt.awarded == {"a": 3, "b": 3, "c": 1}


def test_a_tie_for_the_last_seat_is_named_and_the_seat_left_open() -> None:
    dealt = deal(SEVEN, sde(a=40, b=30, c=30))  # 2.8, 2.1, 2.1
    assert (dealt.awarded, dealt.tied) == ({"a": 3, "b": 2, "c": 2}, ())
    dealt = deal(Block("eight", 8), sde(a=50, b=25, c=25))
    assert (dealt.awarded, dealt.tied) == ({"a": 4, "b": 2, "c": 2}, ())
    dealt = deal(SEVEN, sde(a=40, b=40, c=20))  # 2.8, 2.8, 1.4
    assert (dealt.awarded, dealt.tied) == ({"a": 3, "b": 3, "c": 1}, ())
    dealt = deal(Block("eight", 8), sde(a=40, b=30, c=30))  # 3.2, 2.4, 2.4: one seat for two
    assert (dealt.awarded, dealt.tied, dealt.tied_seats) == ({"a": 3, "b": 2, "c": 2}, ("b", "c"), 1)
    answer = allocate({}, sde(a=40, b=30, c=30), [Block("eight", 8)])
    assert answer.json()["blocks"][0]["tie"] == {"among": ["b", "c"], "seats": 1}
    assert answer.json()["total"] == 7
    assert "tie: B, C draw lots for 1 seat" in answer.text()


def test_nobody_s_sde_elect_nobody() -> None:
    dealt = deal(SEVEN, {})
    assert (dealt.awarded, dealt.tied, dealt.tied_seats) == ({}, (), 0)


@given(
    st.dictionaries(st.sampled_from("abcdefgh"), st.fractions(0, 100, max_denominator=10_000), min_size=1),
    st.integers(1, 12),
)
def test_every_seat_is_dealt_or_named_as_tied_and_quotas_are_kept(shares: dict[str, Fraction], seats: int) -> None:
    """Nobody gets less than the whole part of a quota, or more than one above it; more SDE never mean fewer seats."""
    dealt = deal(Block("any", seats), shares)
    if not any(shares.values()):
        assert dealt.awarded == {}
        return
    assert sum(dealt.awarded.values()) + dealt.tied_seats == seats
    assert 0 <= dealt.tied_seats < max(1, len(dealt.tied))
    total = sum(shares[name] for name in dealt.awarded)
    for name, won in dealt.awarded.items():
        assert int(seats * shares[name] / total) <= won <= seats * shares[name] / total + 1
        for other, fewer in dealt.awarded.items():
            assert won >= fewer or shares[name] <= shares[other] or name in dealt.tied or other in dealt.tied


WIDE = "district,Ada,Bo\n1,10,20\n1,1,0\n2,5,5\n3,5,5\n4,9,1\n,100,0\nout of state,0,1\n"


def test_a_small_table_with_a_column_a_candidate_is_read(tmp_path: Path) -> None:
    """Rows of one district add up; rows without a district count in the state only."""
    path = tmp_path / "sde.csv"
    path.write_text(WIDE, encoding="utf-8")
    read = read_sde(path)
    assert read.by_district[1] == {"ada": 11, "bo": 20}
    assert read.statewide == {"ada": 130, "bo": 32}


def test_a_row_a_district_and_candidate_reads_the_same(tmp_path: Path) -> None:
    header, *rows = [line.split(",") for line in WIDE.splitlines()]
    long = [(district, who, share) for district, *shares in rows for who, share in zip(header[1:], shares, strict=True)]
    (tmp_path / "wide.csv").write_text(WIDE, encoding="utf-8")
    lines = ["District,Candidate,SDE", *(",".join(line) for line in long)]
    (tmp_path / "long.csv").write_text("\n".join(lines), encoding="utf-8")
    assert read_sde(tmp_path / "long.csv") == read_sde(tmp_path / "wide.csv")


def test_counties_have_iowa_s_districts_where_the_table_does_not_say(tmp_path: Path) -> None:
    rows = ["Linn,1", "Johnson,2", "POLK,3", "Story,4", "CD4 Satellite,5", "Out of State Satellite,6"]
    path = tmp_path / "sde.csv"
    path.write_text("\n".join(["county,sde_ada", *rows]), encoding="utf-8")
    read = read_sde(path)
    assert read.by_district == {1: {"ada": 1}, 2: {"ada": 2}, 3: {"ada": 3}, 4: {"ada": 9}}
    assert read.statewide == {"ada": 21}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("district,ada\n5,1\n", "row 2: district = '5': 1 to 4"),
        ("district,ada\n1,much\n", "row 2: ada = 'much': a number from 0"),
        ("district,ada\n1,-1\n", "row 2: ada = '-1'"),
        ("district,ada\n1,1\n2,1\n", "no SDE in district 3, 4"),
        ("place,ada\n1,1\n", "no column 'district'"),
        ("district,county\n1,Linn\n", "no candidates"),
        ("county,sde_ada\nLin,1\n", "row 2: county = 'Lin'.*did you mean 'Linn'"),
        ("district,ada,ada\n1,1,1\n", "two columns are called 'ada'"),
        ("district,candidate,sde\n1,,1\n", "row 2: candidate is empty"),
    ],
)
def test_a_table_that_cannot_be_used_is_told_why(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "sde.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=told):
        read_sde(path)
