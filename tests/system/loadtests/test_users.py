"""Locust plays a night against a backend in another process: plain Locust, its own options, page and workers."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest

from loadtests.traffic.evening import Evening, Trouble, evening
from simulation import load

ROOT = Path(__file__).parents[3]
STAND_IN = Path(__file__).with_name("stand_in.py")
SITES = 24
NIGHT = 8  # in which chairs mistype PINs, lose their connection and add up wrongly
SCENARIO = """title = "A few precincts with a bad app"
extends = "iowa-2020"
[roster]
file = "few.csv"
[turnout]
people = "none"
[app]
tries = 0.95
installed = 0.95
login_fails = 0.3
submit_fails = 0.2
[chairs]
arithmetic_errors = 0.3
[headquarters.keying]
phone = 0.02
[hotline]
operators = [ { from = "18:00", to = "+1d 02:00", count = 3 } ]
nuisance = []
"""
PINS = "user,role,site,pin,totp_secret"


@dataclass(frozen=True)
class Place:
    """A folder with a scenario, its night and its list of log-ins."""

    folder: Path
    tonight: Evening

    @property
    def scenario(self) -> Path:
        return self.folder / "few.toml"

    @property
    def pins(self) -> Path:
        return self.folder / "pins.csv"


@dataclass(frozen=True)
class Played:
    """What a run of Locust left behind."""

    exit_code: int
    output: str
    requests: dict[tuple[str, str], int]  # by method and name
    failures: dict[tuple[str, str], str]  # the same, and the last error

    def count(self, *names: str) -> int:
        return sum(count for (_, name), count in self.requests.items() if name in names)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    folder = tmp_path_factory.mktemp("few")
    rows = ["county,precinct,kind,delegates,attendance,building,capacity,stations,district"]
    rows += [f"County,{n:04d},,{2 + n * 5 % 7},{20 + n * 7 % 90},,,2,{1 + n % 4}" for n in range(1, SITES + 1)]
    (folder / "few.csv").write_text("\n".join(rows) + "\n")
    (folder / "few.toml").write_text(SCENARIO)
    pins = [PINS, *(f"{n:04d},chair,{n:04d},{271828 + n},sealed" for n in range(1, SITES + 1))]
    pins = [row.replace(",sealed", ",") for row in pins]
    pins += [f"{role}-{n:02d},{role},,sealed-{role}-{n}," for role in ("clerk", "reviewer") for n in (1, 2, 3)]
    (folder / "pins.csv").write_text("\n".join(pins) + "\n")
    return Place(folder, evening(load(folder / "few.toml"), 1, NIGHT, small_photos=True))


@pytest.fixture
def stand_in(place: Place) -> Iterator[Callable[..., str]]:
    """Starts a backend with faults, and gives its address."""
    started: list[subprocess.Popen[str]] = []

    def start(*faults: str) -> str:
        command = [sys.executable, str(STAND_IN), str(place.pins), ",".join(place.tonight.groups), *faults]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
        started.append(process)
        assert process.stdout is not None
        return str(json.loads(process.stdout.readline())["url"])

    yield start
    for process in started:
        process.terminate()
        process.wait(10)
        assert process.stdout is not None
        process.stdout.close()


def locust(place: Place, url: str, *options: str) -> list[str]:
    given = ["--host", url, "--scenario", str(place.scenario), "--pins", str(place.pins), "--small-photos"]
    given += ["--night", str(NIGHT), "--speed", "20000", "--readers", "2", "--only-summary"]
    return [sys.executable, "-m", "locust", "-f", str(ROOT / "loadtests" / "locustfile.py"), *given, *options]


def play(place: Place, url: str, folder: Path, *options: str) -> Played:
    """A night, headless, to its end."""
    files = ["--csv", str(folder / "stats"), "--headless"]
    done = subprocess.run(
        locust(place, url, *files, *options), capture_output=True, text=True, timeout=120, cwd=ROOT, check=False
    )
    output = done.stdout + done.stderr

    def rows(name: str) -> list[dict[str, str]]:
        file = folder / f"stats_{name}.csv"
        return list(csv.DictReader(file.read_text("utf-8").splitlines())) if file.exists() else []

    requests = {(row["Type"], row["Name"]): int(row["Request Count"]) for row in rows("stats") if row["Type"]}
    failures = {(row["Method"], row["Name"]): row["Error"] for row in rows("failures")}
    return Played(done.returncode, output, requests, failures)


def fetched(url: str) -> Any:
    with urlopen(url, timeout=10) as answer:
        return json.loads(answer.read())


def test_each_site_is_played_exactly_once_over_all_workers_and_the_totals_are_the_nights(
    place: Place, stand_in: Callable[..., str], tmp_path: Path
) -> None:
    url = stand_in()
    ledger = tmp_path / "ledger"
    played = play(place, url, tmp_path, "--processes", "2", "--ledger", str(ledger), "--intruders", "1")
    assert played.failures == {}, played.output
    assert played.exit_code == 0
    tonight = place.tonight
    by_app = [each for each in tonight.sites if each.by_app]
    for step in ("report.open", "report.first_alignment", "photo"):
        assert played.count(step) == len(by_app)
    assert played.count("clerk") == 2 * len(tonight.keyed)
    failures = [failure.trouble for each in tonight.sites for failure in each.failures]
    assert played.count("login, wrong PIN, refused") == failures.count(Trouble.WRONG_PIN) > 0
    broken_off = sum(count for (_, name), count in played.requests.items() if name.endswith("broken off"))
    assert broken_off == failures.count(Trouble.BROKEN_OFF) > 0
    assert set(fetched(f"{url}/seen")["wrong PINs"]) >= {
        each.site.code for each in tonight.sites if "wrong PIN" in [failure.trouble for failure in each.failures]
    }
    seen = fetched(f"{url}/seen")["addresses"]  # everybody has one of their own
    online = [
        each for each in tonight.sites if each.by_app or {one.trouble for one in each.failures} - {Trouble.NO_ANSWER}
    ]
    assert len([address for address in seen if address.startswith("127.16.")]) == len(online)
    assert any(address.startswith("127.64.") for address in seen)
    results = fetched(f"{url}/results.json")
    again = corrected(url, tonight)
    assert {each.site.code for each in tonight.sites if each.sent_back} & again
    for group, (first, final, delegates) in tonight.totals(again).items():
        assert results["first_alignment"][group] == first
        assert results["final"][group] == final
        assert results["delegates"][group] == delegates
    lines = [json.loads(line) for file in ledger.glob("*.jsonl") for line in file.read_text().splitlines()]
    acknowledged = [line for line in lines if line["what"] == "accepted"]
    writes = ("report.open", "report.first_alignment", "report.final", "photo", "clerk")
    reviews = ("review.approve", "review.choose", "review.return")
    assert len(acknowledged) == played.count(*writes, *reviews)


def corrected(url: str, tonight: Evening) -> set[str]:
    """The sites whose public record is not the worksheet but what the room did."""
    found = set()
    for each in tonight.sites:
        record = fetched(f"{url}/results/sites/{each.site.code}.json")
        if record.get("final") is None:
            continue
        says = {name: record[name] for name in ("first_alignment", "final", "delegates")}
        room, paper = ({name: getattr(report, name) for name in says} for report in (each.true, each.worksheet))
        assert says in (room, paper)
        if says != paper:
            found.add(each.site.code)
    return found


def test_what_is_turned_away_or_signed_out_is_sent_again_until_it_is_in(
    place: Place, stand_in: Callable[..., str], tmp_path: Path
) -> None:
    url = stand_in("busy", "short sessions")
    played = play(place, url, tmp_path, "--intruders", "0", "PrecinctChair", "HotlineClerk")
    assert played.failures
    assert all("HTTP 503, busy" in error for error in played.failures.values()), played.failures
    sites = [fetched(f"{url}/results/sites/{each.site.code}.json") for each in place.tonight.sites]
    for each, record in zip(place.tonight.sites, sites, strict=True):
        if each.by_app:
            assert record["photo"]
        elif each.keyed_by_staff:
            assert len(record["entries"]) == 2


def test_a_backend_that_lets_intruders_in_or_shows_wrong_results_is_found_out(
    place: Place, stand_in: Callable[..., str], tmp_path: Path
) -> None:
    url = stand_in("open door", "no borders", "forgetful", "no recount")
    played = play(place, url, tmp_path, "--intruders", "2", "--intruder-rate", "20", "--speed", "2000")
    assert played.exit_code == 1
    failed = {name for _, name in played.failures}
    assert {"intrusion: login", "observer: sums", "observer: sites"} <= failed
    intrusions = next(error for (_, name), error in played.failures.items() if name.startswith("intrusion: "))
    assert re.search("guessed PIN|wrong PIN|another site|token|SQL|oversize", intrusions)


def test_what_is_missing_is_told_before_anything_is_sent_and_no_pin_is_shown(place: Place, tmp_path: Path) -> None:
    nowhere = "http://127.0.0.1:9"
    (tmp_path / "short.csv").write_text(f"{PINS}\n0001,chair,0001,271829,\n")
    absent = play(place, nowhere, tmp_path, "--pins", str(tmp_path / "short.csv"))
    assert absent.exit_code == 2
    assert "no chair for" in absent.output
    assert "0 clerks: every result is keyed by two" in absent.output
    assert "Traceback" not in absent.output
    assert "271829" not in absent.output


def test_a_target_where_nobody_listens_ends_the_night_before_it_begins(place: Place, tmp_path: Path) -> None:
    played = play(place, "http://127.0.0.1:9", tmp_path)
    assert played.exit_code == 1
    assert "http://127.0.0.1:9: no answer to results" in played.output
    assert played.requests == {}
    assert "Traceback" not in played.output


def test_workers_that_locust_forked_end_with_it_where_nobody_listens(place: Place, tmp_path: Path) -> None:
    began = time.monotonic()
    played = play(place, "http://127.0.0.1:9", tmp_path, "--processes", "2")  # waits for all who hold its output
    assert played.exit_code == 1
    assert time.monotonic() - began < 30, "a worker waits a minute for its master"
    assert "http://127.0.0.1:9: no answer to results" in played.output


def test_a_list_may_call_sites_by_their_names_in_the_roster(
    place: Place, stand_in: Callable[..., str], tmp_path: Path
) -> None:
    text = place.pins.read_text()
    for each in place.tonight.sites:
        text = text.replace(f",chair,{each.site.code},", f",chair,{each.site.id},")
    (tmp_path / "named.csv").write_text(text)
    played = play(place, stand_in(), tmp_path, "--pins", str(tmp_path / "named.csv"), "--intruders", "0")
    assert played.exit_code == 0, played.output
    assert played.count("report.open") > 0


def test_a_mapping_without_clerks_and_review_needs_none_in_the_list(
    place: Place, stand_in: Callable[..., str], tmp_path: Path
) -> None:
    ours = (ROOT / "loadtests" / "target" / "reference.toml").read_text()
    text = re.sub(r"(?ms)^\[(clerk|review)[.\]].*?(?=^\[(?!clerk|review))", "", ours)
    assert len(text) < len(ours)
    (tmp_path / "theirs.toml").write_text(text)
    chairs = [row for row in place.pins.read_text().splitlines() if ",chair," in row or row == PINS]
    (tmp_path / "chairs.csv").write_text("\n".join(chairs) + "\n")
    given = ("--mapping", str(tmp_path / "theirs.toml"), "--pins", str(tmp_path / "chairs.csv"), "--intruders", "0")
    url = stand_in()
    played = play(place, url, tmp_path, *given)
    assert played.exit_code == 0, played.output
    assert "HotlineClerk is left out: the mapping has no [clerk]" in played.output
    assert "Reviewer is left out: the mapping has no [review.list]" in played.output
    assert "holds reports already" not in played.output
    assert played.count("photo") > 0


def test_a_target_that_holds_reports_already_is_warned_of(place: Place, tmp_path: Path) -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "18")
            self.end_headers()
            self.wfile.write(b'{"attendees":  41}')

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            played = play(
                place, f"http://127.0.0.1:{server.server_port}", tmp_path, "--speed", "100000", "PublicReader"
            )
        finally:
            server.shutdown()
            thread.join()
    assert played.output.count("holds reports already") == 1
    assert "a database of its own" in played.output


def test_locusts_own_page_starts_the_night_and_it_ends_by_itself(
    place: Place, stand_in: Callable[..., str], tmp_path: Path
) -> None:
    url = stand_in()
    log = (tmp_path / "log").open("w")
    page = "http://127.0.0.1:18089"
    options = ("--web-port", "18089", "--class-picker")
    process = subprocess.Popen(locust(place, url, *options), stdout=log, stderr=log, cwd=ROOT)
    try:
        shown = until(lambda: urlopen(page, timeout=5).read().decode())
        assert "intruder_rate" in shown
        assert f"web interface at {page}" in (tmp_path / "log").read_text()  # this machine only, unless told
        form = [("user_count", "60"), ("spawn_rate", "60"), ("host", url), ("speed", "30000")]
        form += [("user_classes", "PrecinctChair"), ("user_classes", "PublicReader")]
        answer = json.loads(urlopen(f"{page}/swarm", urlencode(form).encode(), timeout=20).read())
        assert answer["success"], answer
        stats = until(lambda: stopped(page))
        counts = {row["name"]: row["num_requests"] for row in stats["stats"]}
        assert counts["photo"] == sum(each.by_app for each in place.tonight.sites)
        assert "clerk" not in counts
        assert stats["errors"] == []
    finally:
        os.kill(process.pid, signal.SIGTERM)
        process.wait(20)
        log.close()


def stopped(page: str) -> Any:
    stats = fetched(f"{page}/stats/requests")
    assert stats["state"] == "stopped"
    return stats


def until(ask: Callable[[], Any], seconds: float = 60.0) -> Any:
    """What `ask` gives, once it does."""
    end = time.monotonic() + seconds
    while True:
        try:
            return ask()
        except (OSError, AssertionError):
            if time.monotonic() > end:
                raise
            time.sleep(0.3)
