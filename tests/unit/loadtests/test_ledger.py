from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from loadtests.contract import Ask, Outcome, Report, Session, Site
from loadtests.ledger import Entry, Ledger, merge
from loadtests.reconciliation import KINDS, Sources, as_text, reconcile, together
from loadtests.stored import Public, Stored, stored_in_database
from simulation.errors import InputError

GROUPS = ("ada", "ben")
P1, P2 = (Site(f"000{n}", f"Story/P{n}", "Story", f"P{n}", 5, GROUPS) for n in (1, 2))
REPORT = Report(100, {"ada": 60, "ben": 40}, {"ada": 55, "ben": 45}, {"ada": 3, "ben": 2})
CHAIR = Session("0001", "phone-1")


def done(version: int, state: str = "opened", *, replayed: bool = False) -> Outcome:
    return Outcome("accepted", 201, replayed, values={"version": version, "state": state})


REFUSED, BUSY, UNCLEAR = Outcome("refused", 409), Outcome("busy", 503), Outcome("unclear", 502)


@pytest.fixture
def ledger(tmp_path: Path):
    made = Ledger(tmp_path / "ledger", "run-1")
    yield made
    made.close()


def entry(step: str = "report.open", version: int = 1, key: str = "", **more: Any) -> Entry:
    """An acknowledged write of the first site, sent and answered at about ten times its version."""
    content = {
        "report.open": {"attendees": 100},
        "report.first_alignment": {"counts": dict(REPORT.first_alignment)},
        "report.final": {"counts": dict(REPORT.final), "delegates": dict(REPORT.delegates)},
        "photo": {"sha256": "f", "bytes": 3, "type": "image/jpeg"},
    }[step]
    usual: dict[str, Any] = {
        "run_id": "run-1", "user": "0001", "key": key or f"key-{step}", "site": "0001", "site_id": "Story/P1",
        "step": step, "content": content, "content_sha256": f"sha-{step}", "sent_at_ms": 10.0 * version,
        "acknowledged_at_ms": 10.0 * version + 5, "version": version, "state": "opened",
    }  # fmt: skip
    return Entry(**(usual | more))


def stored(one: Entry, **more: Any) -> Stored:
    usual: dict[str, Any] = {
        "site": one.site, "step": one.step, "user": one.user, "key": one.key, "content_sha256": one.content_sha256,
        "version": one.version, "state": "accepted" if one.step == "report.final" else "opened",
    }  # fmt: skip
    return Stored(**(usual | more))


WHOLE = [entry("report.open", 1), entry("report.first_alignment", 2), entry("report.final", 3)]
SHOWN = {"attendees": 100, "first_alignment": {"ada": 60, "ben": 40}, "final": {"ada": 55, "ben": 45}}


def counts(found: dict[str, Any]) -> dict[str, int]:
    """The findings that are there."""
    return {kind: found[kind] for kind in KINDS if found[kind]}


# The files


def test_a_write_is_a_promise_from_its_first_acceptance_on(ledger: Ledger):
    ask = Ask(CHAIR, P1, REPORT, key="k1")
    ledger.sent("report.open", ask)
    ledger.answered("report.open", ask, done(1))
    ledger.sent("report.open", ask)
    ledger.answered("report.open", ask, done(1, replayed=True))
    (found,) = merge(ledger.path.parent)
    assert (found.site, found.site_id, found.step, found.content) == (
        "0001",
        "Story/P1",
        "report.open",
        {"attendees": 100},
    )
    assert (found.acknowledged, found.version, found.tries, found.contradicted) == (True, 1, 2, False)
    assert found.acknowledged_at_ms is not None
    assert found.sent_at_ms <= found.acknowledged_at_ms


@pytest.mark.parametrize(
    ("answers", "is_"),
    [
        ([], "nothing"),
        ([None], "unanswered"),
        ([UNCLEAR], "unanswered"),
        ([REFUSED], "refused"),
        ([BUSY], "refused"),
        ([None, REFUSED], "unanswered"),  # the first try may have been done
        ([UNCLEAR, BUSY], "unanswered"),
        ([BUSY, None], "unanswered"),
        ([BUSY, REFUSED], "refused"),
        ([None, done(1)], "acknowledged"),
        ([done(1), UNCLEAR], "acknowledged"),
    ],
)
def test_only_a_write_that_was_refused_at_every_try_is_known_not_to_be_done(ledger: Ledger, answers, is_: str):
    ask = Ask(CHAIR, P1, REPORT, key="k1")
    for outcome in answers:
        ledger.sent("report.open", ask)
        if outcome is not None:
            ledger.answered("report.open", ask, outcome)
    found = merge(ledger.path.parent)
    assert [one.acknowledged * "acknowledged" or one.refused * "refused" or "unanswered" for one in found] == (
        [] if is_ == "nothing" else [is_]
    )


def test_the_parts_of_several_processes_are_one_ledger(tmp_path: Path):
    for number in range(3):
        part = Ledger(tmp_path, "run-1")
        ask = Ask(replace(CHAIR, user=f"000{number}"), P1, REPORT, key="the same key of another user")
        part.sent("report.open", ask)
        part.answered("report.open", ask, done(number + 1))
        part.close()
    assert [one.version for one in merge(tmp_path)] == [1, 2, 3]


def test_a_clock_that_is_set_back_undoes_no_promise(ledger: Ledger, monkeypatch: pytest.MonkeyPatch):
    clock = iter([1000.0, 990.0, 980.0, 970.0, 1001.0])
    ask, later = Ask(CHAIR, P1, REPORT, key="k1"), Ask(CHAIR, P1, REPORT, key="k2")
    with monkeypatch.context() as patched:
        patched.setattr("loadtests.ledger.time", SimpleNamespace(time=lambda: next(clock)))
        ledger.sent("report.open", ask)
        ledger.answered("report.open", ask, BUSY)
        ledger.sent("report.open", ask)
        ledger.answered("report.open", ask, done(1))
        ledger.sent("report.open", later)
    first, second = merge(ledger.path.parent)
    assert (first.key, first.acknowledged, first.refused, first.tries) == ("k1", True, False, 2)
    assert second.key == "k2"


def test_a_client_that_is_killed_leaves_whole_lines(tmp_path: Path):
    """Killed (-9) while it writes as fast as it can: every promise that it has told of is there."""
    program = """if True:
        import sys
        from pathlib import Path
        from loadtests.ledger import Ledger
        from tests.unit.loadtests.test_ledger import CHAIR, P1, REPORT, Ask, done
        part = Ledger(Path(sys.argv[1]), "run-1")
        for number in range(1_000_000):
            ask = Ask(CHAIR, P1, REPORT, key=f"k{number}")
            part.sent("report.final", ask)
            part.answered("report.final", ask, done(number))
            sys.stdout.write(f"{number}\\n")
            sys.stdout.flush()
    """
    root = Path(__file__).parents[3]
    command = [sys.executable, "-c", program, str(tmp_path)]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) as client:
        assert client.stdout is not None
        told = [int(client.stdout.readline()) for _ in range(200)]
        os.kill(client.pid, signal.SIGKILL)
        told += [int(line) for line in client.stdout]
    found = {one.version for one in merge(tmp_path) if one.acknowledged}
    assert set(told) <= found


def test_a_torn_last_line_is_no_promise_and_a_torn_line_elsewhere_is_an_error(ledger: Ledger):
    ask = Ask(CHAIR, P1, REPORT, key="k1")
    ledger.sent("report.open", ask)
    ledger.answered("report.open", ask, done(1))
    whole = ledger.path.read_bytes()
    ledger.path.write_bytes(whole[:-9])
    assert [one.acknowledged for one in merge(ledger.path.parent)] == [False]
    ledger.path.write_bytes(whole[:40] + b"\n" + whole[40:])
    with pytest.raises(InputError, match=r"line 1: not a line of a ledger"):
        merge(ledger.path.parent)


def test_a_folder_without_a_ledger_is_no_clean_bill(tmp_path: Path):
    with pytest.raises(InputError, match="no ledger here"):
        merge(tmp_path)


def test_where_nothing_was_acknowledged_nothing_was_tested():
    found = reconcile([], Sources(by_api=[], public=Public(1, {}, {})))
    assert (found["clean"], found["verdict"]) == (False, "nothing was acknowledged: nothing was tested")
    assert as_text(found).endswith("nothing was acknowledged: nothing was tested")


def test_a_ledger_holds_no_photo_and_no_secret(ledger: Ledger):
    ask = Ask(replace(CHAIR, values={"token": "t0k3n-secret"}), P1, key="k1", photo=b"\xff\xd8" * 1000, pin="123456")
    ledger.sent("photo", ask)
    ledger.answered("photo", ask, done(4))
    text = ledger.path.read_text()
    assert len(text) < 1000
    assert "t0k3n" not in text
    assert "123456" not in text


# What is found


def test_what_was_kept_is_clean_by_api_by_database_and_in_public():
    rows = [stored(one) for one in WHOLE]
    public = Public(7, SHOWN, {"0001": SHOWN})
    found = reconcile(WHOLE, Sources(rows, rows, public, {"0001": SHOWN}))
    assert found["clean"]
    assert (found["acknowledged"], found["stored"], found["stored_by_others"], found["release"]) == (3, 3, 0, 7)
    assert found["sources"] == ["by_api", "by_database", "public"]
    json.dumps(found)


@pytest.mark.parametrize("source", ["by_api", "by_database"])
@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (lambda rows: rows[:2], {"lost": 1}),
        (lambda _: [], {"lost": 3}),
        (lambda rows: [*rows, replace(rows[2], version=4)], {"duplicated": 1}),
        (lambda rows: [*rows[:2], replace(rows[2], content_sha256="other")], {"altered": 1}),
        (lambda rows: [*rows[:2], replace(rows[2], site="0002")], {"altered": 1}),
        (lambda rows: [*rows[:2], replace(rows[2], figures={"final": {"ada": 54, "ben": 45}})], {"altered": 1}),
        (lambda rows: [rows[0], replace(rows[1], step="report.open"), rows[2]], {"altered": 1}),
        (lambda rows: [rows[0], replace(rows[1], key="other"), rows[2]], {"lost": 1}),
        (lambda rows: [rows[0], replace(rows[1], version=3), replace(rows[2], version=2)], {"out_of_order": 2}),
        (lambda rows: [*rows, replace(rows[0], key="theirs", user="0009", version=4)], {}),
    ],
)
def test_each_broken_promise_is_found_and_named(source: str, rows: Any, expected: dict[str, int]):
    found = reconcile(WHOLE, Sources(**{source: rows([stored(one) for one in WHOLE])}))
    assert counts(found) == expected
    assert found["clean"] == (not expected)
    keys = {one.key for one in WHOLE}
    assert all(
        one["key"] in keys and one["where"] in ("api", "database") for kind in KINDS for one in found["offending"][kind]
    )


def test_what_is_lost_in_the_database_is_lost_though_the_api_still_tells_it():
    rows = [stored(one) for one in WHOLE]
    found = reconcile(WHOLE, Sources(by_api=rows, by_database=rows[:2]))
    assert counts(found) == {"lost": 1}
    assert [one["where"] for one in found["offending"]["lost"]] == ["database"]


def test_a_write_that_breaks_the_same_promise_twice_counts_once():
    assert counts(reconcile(WHOLE, Sources(by_api=[], by_database=[]))) == {"lost": 3}


def test_one_key_acknowledged_as_two_versions_is_a_double():
    (one,) = [replace(WHOLE[0], contradicted=True)]
    assert counts(reconcile([one], Sources(by_api=[stored(one)]))) == {"duplicated": 1}


def test_an_unanswered_write_may_be_stored_or_not():
    loose = [
        replace(entry("report.open", 1, key=key), acknowledged_at_ms=None, version=None) for key in ("stored", "gone")
    ]
    found = reconcile(loose, Sources(by_api=[stored(loose[0], version=1)]))
    assert counts(found) == {}
    assert (found["unanswered"], found["unanswered_stored"], found["unanswered_not_stored"]) == (2, 1, 1)


def test_a_refused_write_that_is_stored_all_the_same_is_found():
    refused = replace(WHOLE[0], acknowledged_at_ms=None, refused=True)
    assert counts(reconcile([refused], Sources(by_api=[stored(refused)]))) == {"altered": 1}


def test_the_same_key_refused_with_other_content_changes_nothing():
    other = replace(WHOLE[0], content={"attendees": 101}, content_sha256="other", acknowledged_at_ms=None, refused=True)
    assert reconcile([WHOLE[0], other], Sources(by_api=[stored(WHOLE[0])]))["clean"]


def test_other_content_acknowledged_as_though_it_were_stored_is_altered():
    other = replace(WHOLE[0], content={"attendees": 101}, content_sha256="other")
    found = reconcile([WHOLE[0], other], Sources(by_api=[stored(WHOLE[0])]))
    assert counts(found) == {"altered": 1}


def test_writes_that_were_under_way_together_have_no_order():
    together = [replace(one, sent_at_ms=10, acknowledged_at_ms=20) for one in WHOLE]
    rows = [stored(one, version=4 - (one.version or 0)) for one in together]
    unnumbered = [replace(one, version=None) for one in together]
    assert reconcile(unnumbered, Sources(by_api=rows))["clean"]


@pytest.mark.parametrize("lacks", ["key", "user", "step", "content_sha256"])
def test_a_backend_that_tells_less_is_held_to_what_it_tells(lacks: str):
    figures = {"report.open": {"attendees": 100}, "report.final": {"final": dict(REPORT.final)}}
    rows = [stored(one, figures=figures.get(one.step, {}), **{lacks: None}) for one in WHOLE]
    assert reconcile(WHOLE, Sources(by_api=rows))["clean"]
    assert counts(reconcile(WHOLE, Sources(by_api=rows[1:]))) == {"lost": 1}
    assert counts(reconcile(WHOLE, Sources(by_api=[*rows, replace(rows[0], version=9)]))) == {"duplicated": 1}


def test_photos_are_not_missed_where_a_backend_lists_only_reports():
    writes = [WHOLE[2], entry("photo", 4)]
    found = reconcile(writes, Sources(by_api=[stored(WHOLE[2], step=None)]))
    assert (found["clean"], found["not_listed"]) == (True, 1)
    assert counts(reconcile(writes, Sources(by_api=[stored(WHOLE[2])]))) == {"lost": 1}


def test_the_ledgers_of_several_flows_are_one_which_is_as_clean_as_the_worst_of_them():
    one, other = entry(), entry(key="another")
    clean = reconcile([one], Sources(by_api=[stored(one)]))
    dirty = reconcile([other], Sources(by_api=[]))
    assert together([]) is None
    assert together([clean]) == clean
    whole = together([clean, dirty])
    assert whole is not None
    assert (whole["acknowledged"], whole["lost"], whole["clean"]) == (2, 1, False)
    assert whole["verdict"] == dirty["verdict"]
    assert [each["key"] for each in whole["offending"]["lost"]] == ["another"]


# The tally


@pytest.mark.parametrize(
    ("totals", "sites", "offending"),
    [
        (SHOWN, {"0001": SHOWN}, []),
        (SHOWN, {"Story/P1": SHOWN}, []),  # a backend that names sites by their ids
        (SHOWN, None, []),
        ({**SHOWN, "final": {"ada": 55, "ben": 45, "cleo": 0}}, {"0001": SHOWN}, []),
        ({**SHOWN, "final": {"ada": 56, "ben": 45}}, {"0001": SHOWN}, ["statewide"]),
        ({**SHOWN, "attendees": 200}, None, ["statewide"]),
        ({}, {}, ["0001"]),  # accepted, and not shown
        ({}, {"0001": {**SHOWN, "final": {"ada": 45, "ben": 55}}}, ["0001"]),
        ({}, {"0001": SHOWN, "0002": SHOWN}, ["0002"]),  # shown, and not accepted
    ],
)
def test_public_totals_are_the_sum_of_the_accepted_records(totals: Any, sites: Any, offending: list[str]):
    rows = [stored(one) for one in WHOLE]
    for accepted in (None, {"0001": SHOWN}):
        found = reconcile(WHOLE, Sources(rows, rows if accepted else None, Public(1, totals, sites), accepted))
        assert [one["site"] for one in found["offending"]["mis_tallied"]] == offending


def test_partial_figures_in_public_are_found():
    rows = [stored(one) for one in WHOLE[:2]]
    shown = {"attendees": 100, "first_alignment": {"ada": 60, "ben": 40}}
    found = reconcile(WHOLE[:2], Sources(rows, None, Public(1, shown, {"0001": shown})))
    assert counts(found) == {"mis_tallied": 1}


def test_a_correction_under_review_leaves_the_public_the_accepted_version():
    more = {"content": {"counts": {"ada": 50, "ben": 50}, "delegates": dict(REPORT.delegates)}, "content_sha256": "new"}
    corrected = entry("report.final", 4, key="correction", **more)
    rows = [*(stored(one) for one in WHOLE), stored(corrected, state="in_review")]
    assert reconcile([*WHOLE, corrected], Sources(rows, None, Public(1, SHOWN, {"0001": SHOWN})))["clean"]
    released = [*rows, Stored("0001", "approve", "r-1", "k", "s", 5, state="accepted")]
    found = reconcile([*WHOLE, corrected], Sources(released, None, Public(2, SHOWN, {"0001": SHOWN})))
    assert counts(found) == {"mis_tallied": 1}
    new = {**SHOWN, "final": {"ada": 50, "ben": 50}}
    assert reconcile([*WHOLE, corrected], Sources(released, None, Public(2, new, {"0001": new})))["clean"]


def test_results_that_are_held_back_are_not_missed_and_still_add_up():
    rows = [stored(one) for one in WHOLE]
    nothing = {"attendees": 0, "final": {"ada": 0, "ben": 0}}
    found = reconcile(WHOLE, Sources(rows, None, Public(1, nothing, {}, held=True)))
    assert (found["clean"], found["sites_not_checked"]) == (True, ["0001"])
    assert counts(reconcile(WHOLE, Sources(rows, None, Public(1, SHOWN, {}, held=True)))) == {"mis_tallied": 3}


def test_a_record_that_others_wrote_is_said_to_be_unchecked():
    rows = [stored(one) for one in WHOLE]
    rows[0] = replace(rows[0], key="theirs", user="0009")
    found = reconcile(WHOLE[1:], Sources(rows, None, Public(1, SHOWN, {"0001": SHOWN})))
    assert (found["clean"], found["sites_not_checked"]) == (True, ["0001"])


# The database


@pytest.mark.parametrize(
    "url",
    ["nonsense", "mysql://me:hush-hush@localhost/x", "sqlite:////nowhere/at-all.db", "sqlite://host/night.db"],
)
def test_a_database_that_is_none_of_ours_is_refused_without_its_password(url: str):
    with pytest.raises(InputError) as caught:
        stored_in_database(url)
    assert "--database" in str(caught.value)
    assert "hush-hush" not in str(caught.value)


def test_a_file_of_another_program_is_not_taken_for_an_empty_ledger(tmp_path: Path):
    import sqlite3

    with sqlite3.connect(tmp_path / "other.db") as connection:
        connection.execute("create table things (id integer)")
    connection.close()
    with pytest.raises(InputError, match="has not our tables"):
        stored_in_database(f"sqlite:///{tmp_path}/other.db")


def test_a_database_that_does_not_answer_is_told_without_its_password() -> None:
    with pytest.raises(InputError, match="does not answer") as caught:
        stored_in_database("postgresql://me@127.0.0.1:1/x?password=hush")
    assert "hush" not in str(caught.value)
