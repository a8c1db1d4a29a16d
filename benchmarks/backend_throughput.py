"""What the reporting backend does on one core, each time beside the limit of what it is made of, in turns in one run.

Public results: the service against a bare Starlette endpoint that returns the same bytes. Report steps: accepted over
HTTP, written to PostgreSQL, against pgbench with the service's own statements. Server and database are pinned to one
core, the load to another. Prints one JSON object on stdout; exit 1 where a limit does not hold, or where the load's
core was busy, so that the figures say nothing. Linux; limits are meant for a machine that rests.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import itertools
import json
import os
import secrets
import selectors
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

LIMITS = {"results_ratio_at_least": 0.7, "steps_ratio_at_least": 0.25, "load_busy_share_at_most": 0.95}
TICKS = os.sysconf("SC_CLK_TCK")
DEVICE = "benchmark"
PEOPLE = 40  # at every site, each time: corrections must not make a locked group smaller

SERVICE = "from loadtests.backend.commands import backend; backend()"
BARE = """
import json, socket, sys
import uvicorn
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route
folder = sys.argv[1]
body, headers = open(folder + "/body", "rb").read(), json.load(open(folder + "/headers"))

async def endpoint(request):
    return Response(body, headers=headers)

listening = socket.create_server(("127.0.0.1", 0), backlog=2048)
print(json.dumps({"url": "http://127.0.0.1:%d" % listening.getsockname()[1]}), flush=True)
application = Starlette(routes=[Route("/results.json", endpoint)])
config = uvicorn.Config(application, loop="uvloop", http="httptools", ws="none", log_config=None, access_log=False,
                        server_header=False, proxy_headers=False)
uvicorn.Server(config).run(sockets=[listening])
"""


# Load: as many connections as asked for, each with one request under way


@dataclass
class Load:
    """What a period of load came to."""

    answers: int
    wanted: int  # answers of the status that counts
    seconds: float
    busy_share: float  # of the load's own core
    other: str  # an answer of another status, if there was one


class _Connection:
    """One client: sends a request, reads its answer whole, sends the next."""

    def __init__(self, address: tuple[str, int], requests: Iterator[bytes]) -> None:
        self.socket = socket.create_connection(address)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.requests = requests
        self.status = b""
        self.head = b""
        self._left = 0

    def send(self) -> bool:
        """The next request; False where there is none."""
        request = next(self.requests, None)
        if request is None:
            return False
        self.socket.sendall(request)
        self.head, self._left = b"", -1
        return True

    def read(self) -> bool:
        """What has come; True once the answer is whole."""
        data = self.socket.recv(1 << 20)
        if not data:
            raise ConnectionError("the server hung up")
        if self._left < 0:
            self.head += data
            end = self.head.find(b"\r\n\r\n")
            if end < 0:
                return False
            at = self.head.find(b"content-length: ") + 16
            length = int(self.head[at : self.head.find(b"\r", at)]) if at > 15 else 0
            self.status = self.head[9:12]
            self._left = length - (len(self.head) - end - 4)
        else:
            self._left -= len(data)
        return self._left == 0


def fire(url: str, clients: Sequence[Iterator[bytes]], seconds: float, wanted: bytes = b"200") -> Load:
    """Load from a client for each iterator of requests, for so long or until all are done; every answer is awaited."""
    parts = urlsplit(url)
    found = [_Connection((parts.hostname or "", parts.port or 80), requests) for requests in clients]
    waiting = selectors.EpollSelector()
    answers = good = 0
    other, busy = "", 0.0
    began, cpu = time.perf_counter(), time.process_time()
    for connection in found:
        if connection.send():
            waiting.register(connection.socket, selectors.EVENT_READ, connection)
    took = 0.0
    while waiting.get_map():
        for key, _ in waiting.select(0.1):
            connection = key.data
            if not connection.read():
                continue
            if connection.status != wanted:
                other = other or connection.head.decode(errors="replace")
            if took:  # what was under way at the end is awaited, not counted
                waiting.unregister(connection.socket)
                continue
            answers += 1
            good += connection.status == wanted
            if not connection.send():
                waiting.unregister(connection.socket)
        if not took and time.perf_counter() - began >= seconds:
            took = time.perf_counter() - began
            busy = (time.process_time() - cpu) / took
    for connection in found:
        connection.socket.close()
    waiting.close()
    took = took or time.perf_counter() - began
    return Load(answers, good, took, busy, other)


# Processes, and the core that they run on


@contextmanager
def server(core: int, script: str, *arguments: str) -> Iterator[tuple[str, int]]:
    """A Python process pinned to a core, all its children with it: its URL and its process id."""
    ours = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})  # children inherit it
    try:
        process = subprocess.Popen(
            [sys.executable, "-c", script, *arguments], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
    finally:
        os.sched_setaffinity(0, ours)
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        if not line:
            raise SystemExit("a server of this benchmark did not start")
        url = json.loads(line)["url"]
        _until_it_answers(url)
        yield url, process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _until_it_answers(url: str) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        try:
            with urlopen(f"{url}/results.json", timeout=5):
                return
        except OSError:
            time.sleep(0.1)
    raise SystemExit("a server of this benchmark does not answer")


def cpu_seconds(pid: int) -> float:
    """What a process has had of its core so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


# Part 1: public results


def get(url: str, path: str, headers: Mapping[str, str]) -> tuple[int, dict[str, str], bytes]:
    """One answer, as it was sent."""
    with urlopen(Request(url + path, headers=dict(headers)), timeout=30) as answer:
        return answer.status, {name.lower(): value for name, value in answer.headers.items()}, answer.read()


def results(url: str, pid: int, core: int, folder: Path, asked: argparse.Namespace) -> dict[str, Any]:
    """Statewide JSON, compressed, from the service and from a bare endpoint with the same body and headers."""
    accepted = {"Accept-Encoding": "gzip"}
    _, headers, body = get(url, "/results.json", accepted)
    (folder / "body").write_bytes(body)
    kept = {name: value for name, value in headers.items() if name not in ("date", "content-length", "connection")}
    (folder / "headers").write_text(json.dumps(kept))
    plain = b"GET /results.json HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: gzip\r\n\r\n"
    known = plain.replace(b"\r\n\r\n", f"\r\nIf-None-Match: {headers['etag']}\r\n\r\n".encode())
    with server(core, BARE, str(folder)) as (bare_url, bare_pid):
        assert get(bare_url, "/results.json", accepted)[2] == body
        cases: dict[str, tuple[str, int, bytes, bytes]] = {
            "service": (url, pid, plain, b"200"),
            "bare": (bare_url, bare_pid, plain, b"200"),
            "not_modified": (url, pid, known, b"304"),
        }
        rates: dict[str, list[float]] = {name: [] for name in cases}
        by_cpu: dict[str, list[float]] = {name: [] for name in cases}
        busiest = 0.0
        for turn in range(asked.turns + 1):
            for name, (where, process, request, status) in cases.items():
                before = cpu_seconds(process)
                load = fire(where, [itertools.repeat(request)] * asked.connections, asked.seconds, status)
                if load.wanted != load.answers:
                    raise SystemExit(f"{name}: {load.answers - load.wanted} answers were others: {load.other}")
                if turn:  # the first one warms up
                    rates[name].append(load.wanted / load.seconds)
                    by_cpu[name].append(load.wanted / (cpu_seconds(process) - before))
                    busiest = max(busiest, load.busy_share)
    return {
        "results_bytes": len(body),
        "results_per_s": round(statistics.median(rates["service"])),
        "bare_per_s": round(statistics.median(rates["bare"])),
        "not_modified_per_s": round(statistics.median(rates["not_modified"])),
        "results_per_cpu_s": round(statistics.median(by_cpu["service"])),
        "bare_per_cpu_s": round(statistics.median(by_cpu["bare"])),
        "results_ratio_of_rates": _ratio(rates["service"], rates["bare"]),
        # of the core's time, which says the same where nobody else is on the core, and more where somebody is
        "results_ratio": _ratio(by_cpu["service"], by_cpu["bare"]),
        "results_load_busy_share": round(busiest, 2),
    }


def _ratio(some: Sequence[float], others: Sequence[float]) -> float:
    """The median of what neighbors in time came to."""
    return round(statistics.median(a / b for a, b in zip(some, others, strict=True)), 3)


# Part 2: report steps


def signed_in(database: Any) -> dict[str, str]:
    """A token for every chair: written where log-in would write it, since hashing is not what is measured here."""
    import sqlalchemy as sa

    from loadtests.backend import storage

    tokens = {site.code: secrets.token_urlsafe(32) for site in database.sites()}
    rows = [
        {"user": code, "role": "chair", "site": code, "token_sha256": hashlib.sha256(token.encode()).hexdigest(),
         "device": DEVICE, "expires_at": "2099-01-01T00:00:00.000Z", "pin_hash": "-", "created_at": storage.now()}
        for code, token in tokens.items()
    ]  # fmt: skip
    with database.writing() as connection:
        for table in (storage.accounts, storage.sessions):
            columns = {column.name for column in table.columns}
            chosen = [{name: row[name] for name in row if name in columns} for row in rows]
            connection.execute(sa.insert(table), chosen)
    return tokens


def evening(tokens: Mapping[str, str], groups: Sequence[str], sites: Sequence[Any]) -> Iterator[bytes]:
    """The three steps of each of some sites, again and again: after the first time as corrections."""
    from simulation.rules.law import satellite_delegates

    for again in itertools.count():
        more = {"correction": f"recount {again}"} if again else {}
        for site in sites:
            elected = satellite_delegates(PEOPLE) if site.satellite else site.delegates
            counts = {
                groups[0]: PEOPLE
            }  # one group wins all: accepted as it stands, so that releases are made meanwhile
            bodies: dict[str, dict[str, object]] = {
                "open": {"attendees": PEOPLE},
                "first-alignment": {"counts": counts},
                "final": {"counts": counts, "delegates": {groups[0]: elected}},
            }
            for step, body in bodies.items():
                yield _post(tokens[site.code], f"/v1/reports/{site.code}/{step}", body | more)


def _get(token: str, path: str) -> bytes:
    head = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nX-Device: {DEVICE}\r\n\r\n"
    return head.encode()


def _post(token: str, path: str, body: Mapping[str, object]) -> bytes:
    text = json.dumps(body)
    return (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nX-Device: {DEVICE}\r\n"
        f"Idempotency-Key: {secrets.token_hex(8)}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(text)}\r\n\r\n{text}"
    ).encode()


def statements(database: Any, groups: Sequence[str], code: str) -> list[tuple[str, dict[str, str]]]:
    """What the service's writer sends for one step that it accepts: statements and parameters, as they were."""
    import sqlalchemy as sa

    from loadtests.backend.records import Command
    from loadtests.backend.writer import Writer

    seen: list[tuple[str, dict[str, str]]] = []

    def note(_connection: object, _cursor: object, text: str, values: Mapping[str, str], *_: object) -> None:
        seen.append((text, dict(values)))

    writer = Writer(database)
    sa.event.listen(database.engine, "before_cursor_execute", note)
    try:
        for step, body in (
            ("open", {"attendees": PEOPLE}),
            ("first-alignment", {"counts": {groups[0]: PEOPLE}}),
        ):
            seen.clear()
            answer = asyncio.run(writer.do(Command(step, code, code, "chair", f"key-of-{step}", body)))
            assert answer.status == 201, answer.body
    finally:
        sa.event.remove(database.engine, "before_cursor_execute", note)
        writer.drain()
    return seen


def transaction(seen: Sequence[tuple[str, Mapping[str, str]]], code: str, sites: tuple[int, int]) -> str:
    """The same transaction as a script of pgbench: each time another site, and a number that is nobody's yet.

    Only those two are put in, as pgbench can: by the server, which costs it about a microsecond a statement.
    """
    lines = [f"\\set site random({sites[0]}, {sites[1]})", "\\set i :i + 1"]
    lines += ["\\set number :base + :client_id * 1000000 + :i", "BEGIN;"]
    for text, values in seen:
        statement = " ".join(text.split())
        for name, value in values.items():
            found = value.replace("key-of-first-alignment", "key-of-@number@").replace(f'"{code}"', '"@site@"')
            found = found.replace('"number":2', '"number":@number@').replace('"version":2', '"version":@number@')
            # to pgbench, :40 is a variable even inside quotes
            found = ("@site@" if found == code else found).replace("\\", r"\\").replace("'", "''").replace(":", r"\x3a")
            found = f"E'{found}'"
            for mark in ("site", "number"):
                if f"@{mark}@" in found:
                    found = f"replace({found}, '@{mark}@', :{mark}::text)"
            kind = "::json" if "json_populate_recordset" in statement else "::text"
            statement = statement.replace(f"%({name})s", found + kind)
        lines.append(statement + ";")
    return "\n".join([*lines, "COMMIT;"]) + "\n"


def pgbench(core: int, url: str, file: Path, clients: int, seconds: float, base: int) -> float:
    """Transactions a second; pgbench and the database share a core, as service and database do."""
    from loadtests.backend.embedded import binaries

    command = [
        *("taskset", "--cpu-list", str(core), str(binaries() / "pgbench"), "--no-vacuum", "--protocol", "prepared"),
        *("--client", str(clients), "--time", str(round(seconds)), "--file", str(file)),
        *("-D", "i=0", "-D", f"base={base}", url),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = [line for line in done.stdout.splitlines() if line.startswith("tps = ")]
    if done.returncode or not found or "number of failed transactions: 0 " not in done.stdout:
        raise SystemExit(f"pgbench failed: {(done.stderr.strip() or done.stdout).splitlines()[0]}")
    return float(found[0].split()[2])


def steps(url: str, pid: int, core: int, night: Night, folder: Path, asked: argparse.Namespace) -> dict[str, Any]:
    """Accepted steps over HTTP, and pgbench, in turns; the service is halted while pgbench has the core."""
    sites = night.sites
    clients = [evening(night.tokens, night.groups, sites[k :: asked.chairs]) for k in range(asked.chairs)]
    script = folder / "step.sql"
    script.write_text(transaction(night.seen, night.code, night.four_digits))
    accepted: list[float] = []
    cpu_us: list[float] = []
    limit: dict[int, list[float]] = {1: [], asked.pool: []}
    busiest, base = 0.0, 10
    for turn in range(asked.turns + 1):
        # the service has seen these tokens, as it has after a log-in
        looks = [_get(night.tokens[site.code], f"/v1/reports/{site.code}") for site in sites]
        fire(url, [iter(looks[k :: asked.chairs]) for k in range(asked.chairs)], 60)
        before = cpu_seconds(pid)
        load = fire(url, clients, asked.seconds, b"201")
        took_us = 1e6 * (cpu_seconds(pid) - before)
        if load.wanted != load.answers:
            raise SystemExit(f"{load.answers - load.wanted} of {load.answers} steps were not accepted: {load.other}")
        os.kill(pid, signal.SIGSTOP)
        try:
            for connections, found in limit.items():
                found.append(pgbench(core, night.limit_url, script, connections, asked.seconds, base))
                base += 10_000_000
        finally:
            os.kill(pid, signal.SIGCONT)
        if turn:
            accepted.append(load.wanted / load.seconds)
            cpu_us.append(took_us / load.wanted)
            busiest = max(busiest, load.busy_share)
        else:
            for found in limit.values():
                found.clear()  # that one warmed up
    return {
        "steps_per_s": round(statistics.median(accepted)),
        "steps_at_once": asked.chairs,
        "service_cpu_us_per_step": round(statistics.median(cpu_us)),
        "pgbench_per_s": {str(clients): round(statistics.median(found)) for clients, found in limit.items()},
        # the service writes over one connection of several; whichever of the two pgbench does more with is the limit
        "steps_ratio": min(_ratio(accepted, found) for found in limit.values()),
        "steps_load_busy_share": round(busiest, 2),
    }


# A night in a database


@dataclass
class Night:
    """What both parts need to know of the seeded night."""

    url: str
    limit_url: str  # another database of the same server, seeded alike: pgbench spoils it
    tokens: Mapping[str, str]
    groups: Sequence[str]
    sites: Sequence[Any]
    seen: Sequence[tuple[str, Mapping[str, str]]]
    code: str  # of the site that `seen` is about

    @property
    def four_digits(self) -> tuple[int, int]:
        """Sites whose code is a number as pgbench writes it, without a zero in front."""
        return 1000, len(self.sites)


@contextmanager
def seeded(core: int, folder: Path) -> Iterator[Night]:
    """A PostgreSQL on the core, with two databases of Iowa 2020."""
    from loadtests.backend import storage
    from loadtests.backend.embedded import EmbeddedPostgres
    from simulation.scenario import load

    postgres = EmbeddedPostgres(folder / "postgres")
    ours = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})  # the server's processes inherit it
    try:
        postgres.start()
    finally:
        os.sched_setaffinity(0, ours)
    try:
        scenario = load("iowa-2020")
        server = storage.connect(postgres.url(), folder / "server")
        with server.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            for name in ("night", "spoiled"):
                connection.exec_driver_sql(f"CREATE DATABASE {name}")
        server.close()
        opened = [storage.connect(postgres.url(name), folder / name) for name in ("night", "spoiled")]
        for database in opened:
            database.migrate()
            database.seed(scenario)
        night, spoiled = opened
        groups, code = night.caucus().groups, "1000"
        yield Night(
            *(postgres.url("night"), postgres.url("spoiled"), signed_in(night), groups, night.sites()),
            *(statements(spoiled, groups, code), code),
        )
        for database in opened:
            database.close()
    finally:
        postgres.release()


def main() -> None:
    """Measure both parts."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--turns", type=int, default=5, help="of which the median is taken; one more warms up")
    options.add_argument("--seconds", type=float, default=3, help="of each turn")
    options.add_argument("--connections", type=int, default=32, help="readers at once")
    options.add_argument("--chairs", type=int, default=64, help="chairs who send at once")
    options.add_argument("--pool", type=int, default=8, help="connections that a service has to its database")
    asked = options.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise SystemExit("two cores are needed: one for the service and its database, one for the load")
    core, ours = cores[0], cores[-1]
    folder = Path(tempfile.mkdtemp(prefix="caucus-bench-"))
    try:
        os.sched_setaffinity(0, {ours})
        with seeded(core, folder) as night:
            arguments = ("--database", night.url, "--data", str(folder / "service"), "--port", "0")
            with server(core, SERVICE, *arguments) as (url, pid):
                found = steps(url, pid, core, night, folder, asked)
                time.sleep(3)  # the last release is made and served
                found |= results(url, pid, core, folder, asked)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    busiest = max(found["steps_load_busy_share"], found["results_load_busy_share"])
    missed = [
        sentence
        for holds, sentence in (
            (
                found["results_ratio"] >= LIMITS["results_ratio_at_least"],
                f"public results reach {found['results_ratio']} of a bare endpoint",
            ),
            (
                found["steps_ratio"] >= LIMITS["steps_ratio_at_least"],
                f"report steps reach {found['steps_ratio']} of pgbench",
            ),
            (
                busiest <= LIMITS["load_busy_share_at_most"],
                f"void: the load was {busiest} of its core, and may have been the limit itself",
            ),
        )
        if not holds
    ]
    result: dict[str, Any] = {
        "benchmark": "backend_throughput",
        **found,
        "load_average": round(os.getloadavg()[0], 1),
        "limits": LIMITS,
        "missed": missed,
        "ok": not missed,
    }
    print(json.dumps(result))
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
