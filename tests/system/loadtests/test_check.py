"""`caucus loadtest check` and `reconcile` through real HTTP, against a backend that is nothing like ours, and ours."""

from __future__ import annotations

import importlib.util
import json
import shutil
import ssl
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from loadtests.accounts import Account, Accounts
from loadtests.commands import loadtest
from loadtests.contract import Ask, Outcome, Report, Session, Site, signed_in
from loadtests.ledger import Ledger
from loadtests.target.check import Walk
from loadtests.target.guards import allowed
from loadtests.target.mapping import load_mapping
from loadtests.target.sender import NoAnswerError, Sender
from simulation.cli import Caucus

# import-mode=importlib puts no folder of tests on the path: the sample backend is loaded from its file
_SPEC = importlib.util.spec_from_file_location("other_backend", Path(__file__).with_name("other_backend.py"))
assert _SPEC is not None
assert _SPEC.loader is not None
other_backend = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(other_backend)

PIN = "314159"
PRECINCTS = ("Story/P1", "Story/P2", "Polk/P3")
ROSTER = """county,precinct,delegates,attendance,district,first_ada,first_ben,first_cleo
Story,P1,5,100,1,50,30,20
Story,P2,1,40,1,20,10,10
Polk,P3,7,200,1,90,60,50
"""
PINS = "user,role,site,pin,totp_secret\n" + "".join(f"{place},chair,{place},{PIN},\n" for place in PRECINCTS)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What an engineer has: a mapping, log-ins, a roster; the API key in the environment."""
    monkeypatch.setenv("CAUCUS_TARGET_API_KEY", other_backend.API_KEY)
    (tmp_path / "theirs.toml").write_text(other_backend.MAPPING)
    (tmp_path / "pins.csv").write_text(PINS)
    (tmp_path / "roster.csv").write_text(ROSTER)
    (tmp_path / "night.toml").write_text('title = "Small"\nextends = "baseline"\nroster.file = "roster.csv"\n')
    return tmp_path


@pytest.fixture
def start() -> Iterator[Callable[..., Any]]:
    """Starts the other backend, with defects."""
    running = []

    def started(*defects: str) -> Any:
        running.append(other_backend.OtherBackend(dict.fromkeys(PRECINCTS, PIN), PRECINCTS, defects))
        return running[-1]

    yield started
    for one in running:
        one.close()


def caucus(*arguments: object) -> Result:
    group = Caucus("caucus", commands={"loadtest": loadtest})
    return CliRunner().invoke(group, ["loadtest", *map(str, arguments)])


def check(folder: Path, url: str, *more: object) -> Result:
    at = ("--mapping", folder / "theirs.toml", "--pins", folder / "pins.csv", "--scenario", folder / "night.toml")
    where = () if "--site" in more else ("--site", "Story/P1")
    return caucus("check", "--target", url, *at, *where, "--settle", 0.5, *more)


def said(result: Result, verdict: str) -> dict[str, str]:
    """The lines of a verdict."""
    assert result.stdout.startswith("{"), result.output
    return {line["subject"]: line["says"] for line in json.loads(result.stdout)["lines"] if line["verdict"] == verdict}


# Check


def test_a_backend_unlike_ours_is_walked_through_an_evening_by_its_mapping(folder: Path, start):
    there = start()
    result = check(folder, there.url, "--json")
    assert result.exit_code == 0, result.output
    assert set(said(result, "works")) == {
        "wrong PIN",
        "log-in of chair Story/P1",
        "report",
        "report again, same key",
        "photo",
        "results",
        "stored",
        "report with the same key and other content",
        "a report without log-in",
        "the report of another precinct (Polk/P3)",
    }
    assert set(said(result, "missing")) == {"[resume]", "[clerk]", "[review.list]", "[results.csv]"}
    assert set(said(result, "warns")) == {"photo again, same key", "stored, without log-in"}
    (sheet,) = there.sheets
    assert (sheet["precinct"], sheet["sheet"]["people"]) == ("Story/P1", 100)
    assert sheet["sheet"]["rows"][0] == {"who": "cand-1", "rounds": [60, 60], "seats": 3}
    assert there.pictures["Story/P1"].startswith(b"\xff\xd8\xff")


def test_test_records_carry_the_runs_id_and_can_be_cleaned_up(folder: Path, start):
    there = start()
    check(folder, there.url, "--run-id", "run-of-mine")
    assert [sheet["marks"] for sheet in there.sheets] == [["test", "run-of-mine"]]
    assert {run for _, run in there.agents} == {"run-of-mine"}
    result = check(folder, there.url, "--run-id", "run-of-mine", "--clean-up", "--site", "Polk/P3")
    assert "cleanup: the test records of run run-of-mine are removed" in result.stdout
    assert there.sheets == []


@pytest.mark.parametrize(
    ("defect", "subject", "says"),
    [
        ("loses", "stored: lost", "acknowledged, and not stored"),
        ("doubles", "stored: duplicated", "stored 2 times"),
        ("alters", "stored: altered", '"ada": 59'),
        ("mis-tallies", "results", "expected 100 in all, shown 200"),
        ("any PIN", "wrong PIN", "anybody can sign in"),
        ("any precinct", "the report of another precinct (Polk/P3)", "anybody may write"),
        ("breaks off", "connection", "no answer to report"),
    ],
)
def test_what_must_hold_and_does_not_is_said_plainly_and_exits_with_3(folder: Path, start, defect, subject, says):
    result = check(folder, start(defect).url, "--json")
    assert result.exit_code == 3
    assert says in said(result, "fails")[subject]


def test_who_is_locked_out_is_left_out_with_the_time(folder: Path, server):
    who = []

    def locked(handler: BaseHTTPRequestHandler) -> None:
        who.append(handler.rfile.read(int(handler.headers["Content-Length"])).decode())
        handler.send_response(429)
        handler.send_header("Retry-After", "600")
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    url = server(locked)
    for number in range(6):
        result = check(folder, url, "--json", "--run-id", f"run-{number}")
        assert "Story%2FP1" not in who.pop(0)  # who reports keeps its own PIN
        assert "locked out until" in said(result, "left out")["wrong PIN"]
        assert "Story%2FP1" in who.pop()
        assert result.exit_code == 3  # nobody got in
        assert set(said(result, "fails")) == {"log-in"}


def test_wrong_pins_are_spread_over_the_chairs():
    accounts = Accounts({name: Account(name, "chair", name, PIN, "") for name in map(str, range(50))}, {})
    walks = [Walk(Any, Any, Any, accounts, f"run-{number}", Any) for number in range(50)]  # type: ignore[arg-type]  # unused here
    tried = Counter(walk._guessed_at(accounts.chairs["0"]).user for walk in walks)
    assert "0" not in tried
    assert max(tried.values()) < 5


def test_a_backend_without_idempotency_is_warned_of(folder: Path, start):
    result = check(folder, start("forgets keys").url, "--json")
    assert result.exit_code == 0
    warned = said(result, "warns")
    assert "stored twice" in warned["report again, same key"]
    assert "2 times" in warned["stored: duplicated"] or "two versions" in warned["stored: duplicated"]
    assert "keys guarantee nothing" in warned["report with the same key and other content"]


def test_mistakes_in_the_mapping_are_listed_before_anything_is_sent(folder: Path, start):
    there = start()
    wrong = other_backend.MAPPING.replace("{attendees}", "{atendees}").replace('path = "/tally"', 'path = "tally"')
    (folder / "theirs.toml").write_text(wrong.replace('ada = "cand-1"', 'adda = "cand-1"'))
    result = check(folder, there.url)
    assert result.exit_code == 2
    assert "did you mean attendees?" in result.stderr
    assert "begins with one /" in result.stderr
    assert "groups.adda: unknown key; did you mean ada?" in result.stderr
    assert there.agents == set()


def test_a_mapping_that_looks_in_the_wrong_place_for_the_session_stops_the_walk(folder: Path, start):
    (folder / "theirs.toml").write_text(other_backend.MAPPING.replace('cookie = "sid"', 'cookie = "session"'))
    result = check(folder, start().url, "--json")
    assert result.exit_code == 3
    assert said(result, "fails") == {
        "log-in of chair Story/P1": "accepted, but the answer has no sid where [login] extract looks"
    }


def test_one_chair_can_come_from_the_environment(folder: Path, start, monkeypatch: pytest.MonkeyPatch):
    there = start()
    at = ("--mapping", folder / "theirs.toml", "--scenario", folder / "night.toml", "--site", "Polk/P3")
    result = caucus("check", "--target", there.url, *at)
    assert (result.exit_code, "who signs in?" in result.stderr) == (2, True)
    monkeypatch.setenv("CAUCUS_TARGET_USER", "Polk/P3")
    monkeypatch.setenv("CAUCUS_TARGET_PIN", PIN)
    result = caucus("check", "--target", there.url, *at)
    assert (result.exit_code, there.sheets[0]["precinct"]) == (0, "Polk/P3"), result.output


def test_nothing_there_is_an_error_and_no_verdict(folder: Path):
    result = check(folder, "http://127.0.0.1:9")
    assert result.exit_code == 1
    assert "no answer to login" in result.stderr
    assert "Traceback" not in result.output


def test_a_host_that_is_not_this_machine_needs_leave_before_anything_is_looked_up_in_files(folder: Path):
    result = check(folder, "https://203.0.113.7")
    assert result.exit_code == 2
    assert "--i-may-load 203.0.113.7" in result.stderr


# What a hostile or careless server may do


@pytest.fixture
def server() -> Iterator[Callable[..., str]]:
    """Starts a server of one answer; its address."""
    running: list[tuple[HTTPServer, threading.Thread]] = []

    def started(answer: Callable[[BaseHTTPRequestHandler], None], tls: ssl.SSLContext | None = None) -> str:
        class Handler(BaseHTTPRequestHandler):
            def _any(self) -> None:
                answer(self)

            do_GET = do_POST = do_PUT = _any  # noqa: N815  # http.server's names

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        one = HTTPServer(("127.0.0.1", 0), Handler)
        if tls is not None:
            one.socket = tls.wrap_socket(one.socket, server_side=True)
        thread = threading.Thread(target=one.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        running.append((one, thread))
        return f"{'https' if tls else 'http'}://127.0.0.1:{one.server_address[1]}"

    yield started
    for one, thread in running:
        one.shutdown()
        thread.join()
        one.server_close()


def test_what_a_server_echoes_of_a_pin_or_a_key_is_not_shown(folder: Path, server):
    def echo(handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers["Content-Length"])).decode()
        told = json.dumps({"ok": False, "why": f"cannot read {body} with {handler.headers['X-Api-Key']}"}).encode()
        handler.send_response(400)
        handler.send_header("Content-Length", str(len(told)))
        handler.end_headers()
        handler.wfile.write(told)

    result = check(folder, server(echo))
    assert "cannot read who=Story%2FP1&code=*** with ***" in result.output
    assert PIN not in result.output
    assert other_backend.API_KEY not in result.output


def test_a_redirect_is_not_followed_with_secrets_in_hand(folder: Path, server):
    seen = []

    def elsewhere(handler: BaseHTTPRequestHandler) -> None:
        seen.append(handler.path)
        handler.send_response(307)
        handler.send_header("Location", "/somewhere-else")
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    assert check(folder, server(elsewhere)).exit_code == 3
    assert set(seen) == {"/session"}


def test_a_certificate_counts_where_the_given_authority_vouches_for_it(tmp_path: Path, server):
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl, which makes the certificate, is not installed")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    request = ("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2")
    naming = ("-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1")
    command = [openssl, *request, *naming, "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    def totals(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "2")
        handler.end_headers()
        handler.wfile.write(b"{}")

    url = server(totals, context)
    mapping = tmp_path / "m.toml"
    mapping.write_text('[results]\npath = "/"')
    request_ = load_mapping(mapping, "run-1").build("results", Ask())
    assert Sender(allowed(url), "run-1", certificate)(request_).status == 200
    with pytest.raises(NoAnswerError, match="not trusted.*--ca"):
        Sender(allowed(url), "run-1")(request_)


# Reconcile


def play(there: Any, folder: Path, reports: int) -> list[Outcome | None]:
    """Chairs who report, and report again and again under new keys, as corrections would; all of it in a ledger."""
    backend = load_mapping(folder / "theirs.toml", "run-1", ("ada", "ben", "cleo"))
    send = Sender(allowed(there.url), "run-1")
    part = Ledger(folder / "ledger", "run-1")
    sessions: list[Session] = []
    sites = [Site(f"{n:04d}", place, "", "", 5, ("ada", "ben", "cleo")) for n, place in enumerate(PRECINCTS, 1)]
    for site in sites:
        ask = Ask(user=site.id, pin=PIN, device="d")
        sessions.append(signed_in(ask, backend.read("login", send(backend.build("login", ask)))))
    outcomes: list[Outcome | None] = []
    for number in range(reports):
        counts = {"ada": 50 + number, "ben": 40, "cleo": 10}
        report = Report(100 + number, counts, counts, {"ada": 3, "ben": 2, "cleo": 0})
        ask = Ask(sessions[number % 3], sites[number % 3], report, key=f"key-{number}")
        part.sent("report", ask)
        try:
            outcome = backend.read("report", send(backend.build("report", ask)))
        except NoAnswerError:
            outcomes.append(None)
            continue
        part.answered("report", ask, outcome)
        outcomes.append(outcome)
    part.close()
    return outcomes


def reconcile(folder: Path, url: str, *more: object) -> tuple[int, dict[str, Any]]:
    at = ("--mapping", folder / "theirs.toml", "--settle", 0)
    result = caucus("reconcile", folder / "ledger", "--target", url, *at, "--json", *more)
    assert result.stdout, result.output
    return result.exit_code, json.loads(result.stdout)


@pytest.mark.parametrize(
    ("defect", "expected"),
    [
        ("loses", {"lost": 4}),
        ("doubles", {"duplicated": 4}),
        ("alters", {"altered": 4}),
        ("mis-tallies", {"mis_tallied": 3}),  # people, first and final alignment
        ("backwards", {"out_of_order": 9}),
    ],
)
def test_the_ledger_finds_every_broken_promise_and_names_its_key(folder: Path, start, defect: str, expected):
    there = start(defect)
    play(there, folder, 12)
    code, found = reconcile(folder, there.url)
    assert code == 3
    assert found["acknowledged"] == 12
    for kind, number in expected.items():
        assert found[kind] == number
    if defect != "mis-tallies":
        (kind,) = expected
        assert all(one["key"].startswith("key-") for one in found["offending"][kind])


def test_a_ledger_that_was_kept_is_clean(folder: Path, start):
    there = start()
    play(there, folder, 12)
    code, found = reconcile(folder, there.url)
    assert (code, found["clean"], found["acknowledged"], found["stored"]) == (0, True, 12, 12)


def test_a_write_whose_answer_was_lost_is_counted_and_no_defect(folder: Path, start):
    there = start("breaks off")
    outcomes = play(there, folder, 12)
    assert outcomes.count(None) == 4
    code, found = reconcile(folder, there.url)
    assert (code, found["acknowledged"], found["unanswered"], found["unanswered_stored"]) == (0, 8, 4, 4)


def test_a_ledger_of_nothing_is_no_clean_bill(folder: Path, start):
    play(start(), folder, 0)
    (folder / "ledger" / "run.jsonl").touch()
    code, found = reconcile(folder, start().url)
    assert (code, found["clean"], found["verdict"]) == (3, False, "nothing was acknowledged: nothing was tested")


def test_without_a_log_in_that_may_read_what_is_stored_the_public_results_are_looked_at(folder: Path, start):
    there = start()
    play(there, folder, 12)
    mapping = folder / "theirs.toml"
    mapping.write_text(mapping.read_text().replace('path = "/archive"', 'path = "/not-for-everybody"'))
    code, found = reconcile(folder, there.url)
    assert (code, found["sources"]) == (0, ["public"])
    assert "no log-in of an administrator or observer" in found["not_read"]
    assert found["verdict"].startswith("the public results hold nothing against it; what is stored was not looked at")


# Our own


def test_our_own_backend_passes_its_own_check(folder: Path):
    from loadtests.backend.commands import backend

    at = ("--data", str(folder / "data"), "--scenario", str(folder / "night.toml"))
    pins = folder / "ours.csv"
    staff = ("--clerks", "2", "--reviewers", "1", "--quiet")
    issued = CliRunner().invoke(backend, ["pins", *at, "--out", str(pins), *staff])
    assert issued.exit_code == 0, issued.output
    command = (sys.executable, "-c", "from loadtests.backend.commands import backend; backend()", *at, "--port", "0")
    with subprocess.Popen(
        command,
        cwd=Path(__file__).parents[3],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as service:
        try:
            assert service.stdout is not None
            url = json.loads(service.stdout.readline())["url"]
            common = ("--target", url, "--pins", pins, "--scenario", folder / "night.toml", "--json")
            result = caucus("check", *common)
            assert result.exit_code == 0, result.output
            assert said(result, "fails") == said(result, "warns") == {}
            again = caucus("check", *common)  # two sites are used up, one is left: a chair's, and none for clerks
            assert again.exit_code == 0, again.output
            assert said(again, "fails") == {}
            assert said(again, "left out").keys() >= {"sites", "clerk"}
            assert set(said(result, "missing")) == {"[cleanup]"}  # a record of ours is never removed
            assert json.loads(result.stdout)["ledger"]["acknowledged"] == 6
        finally:
            service.terminate()
            service.wait(30)


def test_commands_say_what_they_take():
    for name in ("check", "reconcile"):
        command = loadtest.commands[name]
        assert isinstance(command, click.Command)
        assert all(option.help for option in command.params if isinstance(option, click.Option))
