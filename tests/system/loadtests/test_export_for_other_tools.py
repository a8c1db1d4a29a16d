"""What is exported for other tools is accepted by a backend, request for request, in their order.

The log-ins come from one address, this machine's, which the backend trusts to say whose they are.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import stat
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner

from loadtests.contract import Request
from loadtests.target.guards import allowed
from loadtests.target.launch import Launched, launched
from loadtests.target.sender import Sender
from simulation.cli import caucus
from simulation.roster import synthesize
from simulation.scenario import load

NIGHT = """\
extends = "iowa-2020"
title = "A small night"
story = "A hundred precincts, all with an app: more log-ins at once than one address may make."

[turnout]
people = "none"

[app]
installed = 0.95
"""
PRECINCTS = 100


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported")
    (folder / "night.toml").write_text(NIGHT, encoding="utf-8")
    rows = synthesize("iowa-2020").csv().splitlines()[: PRECINCTS + 1]
    (folder / "precincts.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return folder


@contextmanager
def backend_for(place: Path, name: str) -> Iterator[Launched]:
    night = load(place / "night.toml", {}, place / "precincts.csv")
    options = ("--trusted-proxy", "127.0.0.1")
    with launched(place / name, f"sqlite:///{place / name}.db", night, clerks=4, reviewers=2, options=options) as one:
        yield one


def export(place: Path, kind: str, *options: str) -> None:
    given = [str(place / "night.toml"), "--format", kind, "--roster", str(place / "precincts.csv"), "--speed", "600"]
    done = CliRunner().invoke(caucus, ["loadtest", "export", *given, *options])
    assert done.exit_code == 0, done.output


def exported_for_vegeta(place: Path, backend: Launched) -> Path:
    out = place / f"{backend.data.name}.jsonl"
    export(place, "vegeta", "--target", backend.url, "--pins", str(backend.pins), "--out", str(out))
    assert stat.S_IMODE(out.stat().st_mode) == 0o600, "it holds sessions and PINs"
    return out


def names(statuses: Counter[tuple[str, int]]) -> dict[str, set[int]]:
    found: dict[str, set[int]] = {}
    for name, status in statuses:
        found.setdefault(name, set()).add(status)
    return found


def test_every_target_that_vegeta_is_given_is_accepted(place: Path) -> None:
    """Read as vegeta's documentation has it: JSON a line, the body in base64, each header a list."""
    statuses: Counter[tuple[str, int]] = Counter()
    with backend_for(place, "for-vegeta-targets") as backend:
        send = Sender(allowed(backend.url), "vegeta-targets")
        for line in exported_for_vegeta(place, backend).read_text(encoding="utf-8").splitlines():
            target = json.loads(line)
            assert set(target) <= {"method", "url", "header", "body"}
            path = target["url"].removeprefix(backend.url)
            headers = {name: values[0] for name, values in target["header"].items()}
            body = base64.b64decode(target["body"]) if "body" in target else None
            reply = send(Request(target["method"], path, headers, body, "target"))
            statuses[path.rpartition("/")[2], reply.status] += 1
            if b'"pin":"000000"' in (body or b""):
                assert reply.status == 401
                statuses["login", 401] -= 1
    found = names(+statuses)
    assert {"login", "open", "first-alignment", "final", "photo", "entries"} <= set(found)
    assert found.pop("login") == {200}
    for name in ("open", "first-alignment", "final", "photo", "entries"):
        assert found.pop(name) == {201}, name
    assert set().union(*found.values()) == {200}


@pytest.mark.skipif(shutil.which("vegeta") is None, reason="vegeta is not installed, and is no package of Debian 12")
def test_vegeta_itself_gets_the_night_accepted(place: Path) -> None:
    with backend_for(place, "for-vegeta") as backend:
        targets = exported_for_vegeta(place, backend)
        count = len(targets.read_text(encoding="utf-8").splitlines())
        attack = ["vegeta", "attack", "-format=json", "-lazy", "-rate=50", f"-targets={targets}"]
        attack += [f"-duration={count / 50:g}s", "-max-workers=50"]
        shot = subprocess.run(attack, check=True, capture_output=True)
        told = subprocess.run(["vegeta", "report", "-type=json"], check=True, input=shot.stdout, capture_output=True)
    codes = json.loads(told.stdout)["status_codes"]
    wrong_pins = sum('"pin":"000000"' in line for line in targets.read_text(encoding="utf-8").splitlines())
    assert sum(codes.get(code, 0) for code in ("200", "201")) >= count - wrong_pins - 1
    assert set(codes) <= {"200", "201", "401"}


def played(script: Path, pins: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    """By a stand-in of k6."""
    player = Path(__file__).with_name("k6_stand_in.mjs")
    environment = os.environ | {"PINS": str(pins)} | settings
    return subprocess.run(
        ["node", str(player), str(script)], check=False, capture_output=True, text=True, env=environment
    )


@pytest.fixture(scope="module")
def node() -> None:
    """Node is here, which plays the script that k6 would."""
    if shutil.which("node") is None:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)("Node plays the script that k6 would play")


@pytest.fixture(scope="module")
def script_for_nobody(place: Path) -> Path:
    export(place, "k6", "--target", "http://127.0.0.1:1", "--out", str(place / "for-k6-nobody"))
    return place / "for-k6-nobody"


@pytest.mark.usefixtures("node")
@pytest.mark.parametrize(
    ("head", "row", "says"),
    [
        ("user;pin", "{};314159", "no column user"),
        ("user,role", "{},chair", "no column pin"),
        ("user,pin", "{},", "no PIN for "),
        ("user,pin,totp_secret", "{},314159,JBSWY3DPEHPK3PXP", "k6 plays no second factors"),
        ("user,role,site,pin", "them-{},chair,elsewhere,314159", "no PIN for 0"),
    ],
)
def test_the_script_for_k6_does_not_begin_with_log_ins_that_must_fail(
    place: Path, script_for_nobody: Path, head: str, row: str, says: str
) -> None:
    users = [one["user"] for one in json.loads((script_for_nobody / "people.json").read_text(encoding="utf-8"))]
    pins = place / "pins-of-no-use.csv"
    pins.write_text("\n".join([head, *(row.format(user) for user in users)]) + "\n", encoding="utf-8")
    done = played(script_for_nobody, pins)
    assert done.returncode != 0
    assert says in done.stderr
    assert "314159" not in done.stderr


@pytest.mark.usefixtures("node")
def test_the_script_for_k6_signs_everybody_in_and_gets_the_night_accepted(place: Path) -> None:
    """By a stand-in of k6 (k6 is in no package registry that the tests install from): its logic, not its rates."""
    out = place / "for-k6-script"
    with backend_for(place, "for-k6") as backend:
        export(place, "k6", "--target", backend.url, "--out", str(out))
        saved = place / "pins-from-a-spreadsheet.csv"
        rows = backend.pins.read_text(encoding="utf-8").splitlines()
        quoted = [",".join(f'"{cell}"' for cell in row.split(",")) for row in rows]
        saved.write_text("\r\n".join(quoted) + "\r\n", encoding="utf-8-sig")
        done = played(out, saved)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    events = json.loads((out / "events.json").read_text(encoding="utf-8"))
    writers = {row["user"] for row in events if row["user"] and row["name"] != "login"}
    assert told["setup"] == {"signing in 200": len(writers)}, "each from its own address: nobody is asked to wait"
    assert len(writers) > 60
    assert told["failed"] == []
    sent = Counter(row["name"] for row in events)
    accepted = Counter({name.rpartition(" ")[0]: count for name, count in told["night"].items() if name[-3:] != "401"})
    wrong = sum(1 for row in events if row.get("must_fail"))
    assert accepted == sent - Counter({"login": wrong})


class Theirs(ThreadingHTTPServer):
    """A backend that lets everybody in but for a PIN that is wrong, and takes everything; or one that is broken."""

    def __init__(self, wrong_pin: int) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.wrong_pin = wrong_pin  # the status that it is answered with
        self.log_ins: list[dict[str, str]] = []
        self.tokens: set[str] = set()


class Answers(BaseHTTPRequestHandler):
    """Its answers."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Theirs

    def do_GET(self) -> None:
        """A page."""
        self.answer(200)

    def do_POST(self) -> None:
        """A log-in, or a write."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path == "/v1/login":
            said = json.loads(body)
            self.server.log_ins.append(said)
            self.answer(self.server.wrong_pin if said["pin"] == "000000" else 200, {"token": f"of {said['user']}"})
        else:
            self.server.tokens.add(self.headers["Authorization"].removeprefix("Bearer "))
            self.answer(201)

    def answer(self, status: int, said: dict[str, str] | None = None) -> None:
        """Say it."""
        body = json.dumps(said or {}).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@contextmanager
def theirs(wrong_pin: int) -> Iterator[Theirs]:
    with Theirs(wrong_pin) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.mark.usefixtures("node")
@pytest.mark.parametrize(("wrong_pin", "is_right"), [(429, True), (503, False)])
def test_the_script_for_k6_finds_people_whom_a_list_names_otherwise(
    place: Path, script_for_nobody: Path, wrong_pin: int, is_right: bool
) -> None:
    people = json.loads((script_for_nobody / "people.json").read_text(encoding="utf-8"))
    chairs = [one for one in people if one["role"] == "chair"]
    names = {one["user"]: f"chair.{one['user']}@example.org" for one in chairs}
    rows = ["user,role,site,pin"]
    for number, one in enumerate(chairs):  # by the site's code, or by county and precinct
        rows.append(f"{names[one['user']]},chair,{one['sites'][number % 2]},314159")
    hotline = ("ann@example.org", "bea@example.org", "cy@example.org")
    rows += [f"{user},clerk,,abcdefghijkl" for user in hotline]
    pins = place / "pins-of-theirs.csv"
    pins.write_text("\n".join(rows) + "\n", encoding="utf-8")
    with theirs(wrong_pin) as server:
        done = played(script_for_nobody, pins, TARGET=f"http://127.0.0.1:{server.server_port}")
    assert done.returncode == 0, done.stderr
    clerks = {hotline[one["number"] % 3] for one in people if one["role"] == "clerk"}
    assert {one["user"] for one in server.log_ins} == {*names.values(), *clerks}
    events = json.loads((script_for_nobody / "events.json").read_text(encoding="utf-8"))
    writers = {row["user"] for row in events if row["user"] and row["name"] not in ("login", "clerk")}
    assert server.tokens == {f"of {names[user]}" for user in writers} | {f"of {user}" for user in clerks}
    mistyped = sum(row.get("must_fail", False) for row in events)
    assert mistyped > 0
    assert sum(one["pin"] == "000000" for one in server.log_ins) == mistyped
    assert len(json.loads(done.stdout)["failed"]) == (0 if is_right else mistyped)


@pytest.mark.parametrize(
    ("kind", "more", "code", "says"),
    [
        ("csv", (), 2, "--format csv holds no secrets"),
        ("vegeta", (), 2, "name a file with --out"),
        ("vegeta", ("--out", "x.jsonl", "--target", "http://192.0.2.1"), 2, "--i-may-load 192.0.2.1"),
        ("vegeta", ("--out", "x.jsonl", "--target", "http://127.0.0.1:1"), 1, "no answer to login"),
    ],
)
def test_secrets_go_where_they_are_asked_for_and_nowhere_else(
    place: Path, kind: str, more: tuple[str, ...], code: int, says: str
) -> None:
    (place / "pins.csv").write_text(
        "user,role,site,pin,totp_secret\n"
        + "".join(f"{n:04d},chair,{n:04d},314159,\n" for n in range(1, PRECINCTS + 1))
        + "clerk-01,clerk,,abcdefghijkl,\nclerk-02,clerk,,abcdefghijkl,\n"
    )
    given = [str(place / "night.toml"), "--roster", str(place / "precincts.csv"), "--pins", str(place / "pins.csv")]
    done = CliRunner().invoke(caucus, ["loadtest", "export", *given, "--format", kind, *more])
    assert done.exit_code == code, done.output
    assert says in done.output
    assert "314159" not in done.output
