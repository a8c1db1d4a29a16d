"""What the users are made of, without Locust: the list of log-ins, options, photos, the observer's judgment."""

from __future__ import annotations

import struct
import zlib
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from loadtests.accounts import Accounts, read_accounts
from loadtests.photo import photo
from loadtests.users.options import add_options, read_options
from loadtests.users.silence import GONE_S, Silence
from loadtests.users.watch import Place, Watch, read_csv, sums
from simulation.errors import InputError

GIVEN = {
    "host": "http://127.0.0.1:8000",
    "scenario": "iowa-2020",
    "seed": 1,
    "night": 0,
    "speed": 60.0,
    "until": "+1d 02:00",
    "pins": "",
    "clerks": 0,
    "reviewers": 0,
    "readers": 20,
    "observers": 1,
    "intruders": -1,
    "intruder_rate": 2.0,
    "small_photos": False,
    "ledger": "",
    "mapping": "",
    "target_class": "",
    "i_may_load": "",
    "ca": "",
    "run_id": "",
}


def options_with(**changed: object) -> object:
    return read_options(Namespace(**{**GIVEN, **changed}), "a-run")


# The list of log-ins

PINS = "user,role,site,pin,totp_secret\n0001,chair,0001,493817,\nclerk-01,clerk,,abcdefghijkl,\n"


SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"


def listed(folder: Path, text: str) -> Accounts:
    path = folder / "pins.csv"
    path.write_text(text)
    return read_accounts(path)


def test_the_list_of_pins_tells_who_signs_in_as_whom(tmp_path: Path) -> None:
    accounts = listed(tmp_path, PINS)
    assert accounts.chairs["0001"].pin == "493817"
    assert [account.user for account in accounts.of("clerk")] == ["clerk-01"]
    assert accounts.of("reviewer") == ()


def test_a_pin_is_never_shown(tmp_path: Path) -> None:
    accounts = listed(tmp_path, PINS + f"0002,chair,0002,700001,{SECRET}\n")
    assert "493817" not in repr(accounts)
    assert SECRET not in repr(accounts)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "no column user, role, site, pin"),
        ("user,role,site\n", "no column pin"),
        ("user,role,site,pin\n0001,chair,,123456\n", "row 2: expected user, role and pin, and for a chair the site"),
        ("user,role,site,pin\n0001,chair,0001,\n", "row 2: expected"),
        (PINS + "0001,chair,0001,222222,\n", "user 0001 is there twice"),
        (PINS + "0002,chair,0002,222222,not a secret\n", "row 4: totp_secret is not one"),
    ],
)
def test_a_list_that_cannot_be_used_says_why_without_its_pins(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(InputError) as caught:
        listed(tmp_path, text)
    assert problem in str(caught.value)
    assert "123456" not in str(caught.value)
    assert "222222" not in str(caught.value)


def test_a_list_that_is_not_there_says_where_it_comes_from(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="caucus backend pins"):
        read_accounts(tmp_path / "nowhere.csv")


def test_a_second_factor_is_the_code_of_this_half_minute(tmp_path: Path) -> None:
    accounts = listed(tmp_path, PINS + f"reviewer-01,reviewer,,abc,{SECRET}\n")
    code = accounts.of("reviewer")[0].second_factor()
    assert len(code) == 6
    assert code.isdigit()
    assert accounts.chairs["0001"].second_factor() == ""


# Options


def test_this_machine_is_intruded_upon_and_another_one_only_when_asked() -> None:
    assert read_options(Namespace(**GIVEN), "a-run").intruders == 2
    elsewhere = {**GIVEN, "host": "https://192.0.2.7", "i_may_load": "192.0.2.7"}
    assert read_options(Namespace(**elsewhere), "a-run").intruders == 0
    assert read_options(Namespace(**{**elsewhere, "intruders": 3}), "a-run").intruders == 3


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"host": "https://192.0.2.7"}, "--i-may-load"),
        ({"host": "ftp://127.0.0.1"}, "--host"),
        ({"speed": 0.0}, "--speed 0: expected 0.1 to"),
        ({"night": -1}, "--night -1: expected 0"),
        ({"clerks": 1}, "keyed by two people"),
        ({"reviewers": 1}, "two people release"),
        ({"until": "tomorrow"}, "--until 'tomorrow': expected a clock time"),
        ({"run_id": "a run"}, "--run-id"),
    ],
)
def test_options_that_cannot_be_are_explained(changed: dict[str, object], problem: str) -> None:
    with pytest.raises(InputError) as caught:
        options_with(**changed)
    assert problem in str(caught.value)


def test_all_mistakes_in_options_are_told_at_once() -> None:
    with pytest.raises(InputError) as caught:
        options_with(speed=0.0, clerks=1, until="soon", host="")
    assert len(caught.value.problems) == 4


def test_the_guide_has_every_option_as_it_is() -> None:
    rows = []

    class Parser:
        def add_argument(self, name: str, **more: Any) -> None:
            default = more["default"]
            shown = "" if default == "" or default is False else f"`{default}`"
            rows.append(f"| `{name}` | {shown} | {more['help']} |")

    add_options(cast("Any", Parser()))
    guide = (Path(__file__).parents[3] / "docs" / "guide-engineers.md").read_text("utf-8")
    table = guide.split("| option | default | means |\n|---|---|---|\n")[1].split("\n\n")[0]
    assert table.splitlines() == rows


# A target that is gone


def test_a_target_is_gone_when_it_was_asked_often_and_answered_nothing_for_long() -> None:
    silence = Silence()
    assert not silence.is_long(5, 0, 0.0)
    assert not silence.is_long(5, 400, GONE_S - 1)
    assert silence.is_long(5, 500, GONE_S)


def test_a_quiet_hour_and_a_restart_are_no_silence() -> None:
    silence = Silence()
    assert not silence.is_long(5, 0, 0.0)
    assert not silence.is_long(5, 3, 3600.0)  # hardly asked
    assert not silence.is_long(6, 300, 3601.0)  # it is back
    assert not silence.is_long(6, 400, 3600.0 + GONE_S)
    assert silence.is_long(6, 500, 3601.0 + GONE_S)


# Photos


@pytest.mark.parametrize("size", [2_000, 8_000, 1_000_000, 4_900_000])
def test_a_photo_is_a_picture_of_its_size(size: int) -> None:
    data = photo("0042 seed 1 night 0", size)
    assert abs(len(data) - size) < 2_500
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", data[16:24])
    at, pixels = 8, b""
    while at < len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        kind, held = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        assert struct.unpack(">I", data[at + 8 + length : at + 12 + length])[0] == zlib.crc32(kind + held)
        pixels += zlib.decompress(held) if kind == b"IDAT" else b""
        at += 12 + length
    assert len(pixels) == (width + 1) * height
    assert len(zlib.compress(data, 6)) > 0.9 * len(data)  # as hard to compress as a photograph


def test_each_site_has_a_picture_of_its_own_and_always_the_same_one() -> None:
    assert photo("0042", 5_000) == photo("0042", 5_000)
    assert photo("0042", 5_000) != photo("0043", 5_000)


# The observer's judgment

HEADER = b"county,precinct,candidate,votes\n"
UNTOLD: Callable[[Place], int | None] = lambda _: None  # noqa: E731  # a type of its own for mypy


def table(**votes: int) -> bytes:
    return HEADER + "".join(f"Polk,{place},ada,{count}\n" for place, count in votes.items()).encode()


def test_results_that_only_grow_are_beyond_suspicion() -> None:
    watch = Watch()
    assert watch.look(1, table(P1=10), {"ada": 10, "ben": 0}, UNTOLD) == []
    assert watch.look(2, table(P1=10, P2=5), {"ada": 15}, UNTOLD) == []
    assert watch.look(2, table(P1=10, P2=5), {"ada": 15}, UNTOLD) == []


@pytest.mark.parametrize(
    ("release", "body", "totals", "about"),
    [
        (1, table(P1=11, P2=5), {"ada": 16}, "releases"),  # other bytes under the same number
        (2, table(P1=10, P2=5), {"ada": 14}, "sums"),
        (2, table(P1=10), {"ada": 10}, "sites"),
        (2, b"nothing of the kind", {"ada": 15}, "csv"),
    ],
)
def test_results_that_change_go_back_or_do_not_add_up_are_noticed(
    release: int, body: bytes, totals: dict[str, int], about: str
) -> None:
    watch = Watch()
    watch.look(1, table(P1=10, P2=5), {"ada": 15}, UNTOLD)
    assert about in [problem for problem, _ in watch.look(release, body, totals, UNTOLD)]


def test_a_total_goes_down_only_with_a_new_version_of_a_site() -> None:
    for version, problems in ((4, []), (3, ["corrections"])):
        watch = Watch()
        watch.look(1, table(P1=10), {"ada": 10}, UNTOLD)
        watch.learn(("Polk", "P1"), 3)
        found = watch.look(2, table(P1=8), {"ada": 8}, lambda _, version=version: version)  # type: ignore[misc]  # bound now
        assert [about for about, _ in found] == problems


def test_sites_whose_version_nobody_looked_up_yet_are_found() -> None:
    watch = Watch()
    watch.look(1, table(P1=10, P2=5, P3=1), {"ada": 16}, UNTOLD)
    watch.learn(("Polk", "P2"), 1)
    assert watch.unknown(5) == [("Polk", "P1"), ("Polk", "P3")]
    assert watch.unknown(1) == [("Polk", "P1")]


def test_a_csv_is_read_by_its_columns() -> None:
    body = b"county,precinct,office,candidate,votes,site\nPolk,P1,President,ada,3,0001\nPolk,P1,President,ben,4,0001\n"
    assert read_csv(body) == {("Polk", "P1"): {"ada": 3, "ben": 4}}
    assert read_csv(b"county,votes\nPolk,1\n") is None
    assert read_csv(HEADER + b"Polk,P1,ada,many\n") is None
    assert sums([{"ada": 3, "ben": 0}, {"ada": 1}]) == {"ada": 4}
