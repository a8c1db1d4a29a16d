"""kill -9 under load: no acknowledged write is lost or doubled, the audit log is whole, and it is soon ready again.

Chairs report and correct without a pause, repeat with the same key what was not answered, press twice, give up and ask
what is held. Meanwhile the service, or its PostgreSQL, is killed at random moments; the service is then started again,
PostgreSQL is left to the service. In the end the ledger is held against API, database and public totals.
Then each fault of history is switched on, and the same ledger, audit or metrics must find it.
Prints one JSON object on stdout; exit 1 where a write is lost or doubled, or a fault is not found.
"""

from __future__ import annotations

import argparse
import json
import random
import selectors
import socket
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from itertools import cycle
from pathlib import Path
from typing import Any, cast
from urllib.request import urlopen

import sqlalchemy as sa

from loadtests.accounts import read_accounts
from loadtests.backend.settings import QUEUE
from loadtests.backend.writer import BATCH
from loadtests.contract import Ask, Operation, Outcome, Reply, Request, Session, Site, signed_in
from loadtests.contract import evening as writes_of
from loadtests.ledger import Ledger
from loadtests.night import Night
from loadtests.target.check import PHOTO
from loadtests.target.guards import Target, allowed, new_run_id
from loadtests.target.launch import Launched, launched
from loadtests.target.mapping import target_backend
from loadtests.target.sender import NoAnswerError, Sender
from simulation import load
from simulation.rules.outcomes import outcomes
from simulation.scenario import Scenario

READY_WITHIN_S = 5.0
VICTIMS = {"sqlite": ("service",), "embedded-postgres": ("service", "postgres")}
FAULTS = ("partial_published", "acknowledges_before_write", "chain_per_row", "no_idempotency", "unbounded_queue")
COUNTED = ("acknowledged", "unanswered", "lost", "duplicated", "altered", "mis_tallied", "out_of_order")
BROKEN = ("lost", "duplicated", "altered", "mis_tallied", "out_of_order")
ANSWERS_WITHIN_S = 10.0  # after which a chair's telephone gives up
PATIENCE_S = 60.0  # a chair who could not get a write through by then is not heard of again: a failure
STANDS_STILL_S = 4.0  # the database, to fill the queue
PARTIAL = 5  # every fifth evening is broken off after the first alignment


# A small state, its sites all alike but for their size


def state(folder: Path, sites: int, faults: Sequence[str] = ()) -> Path:
    """A scenario file of so many precincts, with history's faults switched on."""
    rows = ["county,precinct,kind,delegates,attendance,district"]
    rows += [
        f"County {n % 9 + 1},Precinct {n},precinct,{2 + n * 5 % 7},{40 + n * 7 % 90},{1 + n % 4}" for n in range(sites)
    ]
    (folder / "small.csv").write_text("\n".join(rows) + "\n")
    path = folder / "small.toml"
    path.write_text(
        'title = "A small state"\nextends = "iowa-2020"\nstory = "For a backend that is killed."\n'
        f'[roster]\nfile = "small.csv"\n[turnout]\npeople = "none"\n[backend]\nfaults = {json.dumps(list(faults))}\n'
    )
    return path


# The load: chairs, each in a thread, over a connection for each request


class Chairs:
    """So many chairs at once, who share the sites: each evening in its steps, then corrections without end."""

    def __init__(self, backend: Launched, night: Scenario, ledger: Path, chairs: int, seed: int) -> None:
        self.backend = backend
        self.run_id = new_run_id()
        self.night = Night.of(night)
        self.contract = target_backend(None, None, self.run_id, self.night.sites[0].groups)
        self.accounts = read_accounts(backend.pins)
        self.send = Sender(allowed(backend.url), self.run_id, timeout_s=ANSWERS_WITHIN_S)
        self.ledger = Ledger(ledger, self.run_id)
        self.counts: Counter[str] = Counter()
        self.unexpected: list[str] = []
        self.stopping = threading.Event()
        self.answered_since = 0.0  # when the acknowledged write that went out last went out
        self._lock = threading.Lock()
        shares = [self.night.sites[at::chairs] for at in range(chairs)]
        self._threads = [
            threading.Thread(target=_Chair(self, share, random.Random(f"{seed} {at}")).works, daemon=True)
            for at, share in enumerate(shares)
            if share
        ]

    def __enter__(self) -> Chairs:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Let each finish what is on its way."""
        self.stopping.set()
        for thread in self._threads:
            thread.join(2 * PATIENCE_S)
            if thread.is_alive():
                self.says("a chair did not come to an end")
        self.ledger.close()

    def says(self, problem: str) -> None:
        """Something that must not be."""
        with self._lock:
            self.unexpected.append(problem)

    def count(self, what: str, sent_at: float | None = None) -> None:
        """One more; `sent_at` of a write that was acknowledged."""
        with self._lock:
            self.counts[what] += 1
            if sent_at is not None:
                self.answered_since = max(self.answered_since, sent_at)

    def until(self, holds: Callable[[], bool], within_s: float = PATIENCE_S) -> float:
        """Wait; how many seconds that took, infinite where it never came."""
        began = time.monotonic()
        while not holds():
            if time.monotonic() - began > within_s:
                return float("inf")
            time.sleep(0.01)
        return time.monotonic() - began

    def flow(self, writes: int) -> None:
        """Wait until so many more writes are acknowledged."""
        wanted = self.counts["acknowledged"] + writes
        if self.until(lambda: self.counts["acknowledged"] >= wanted) == float("inf"):
            self.says("the writes ceased to flow")


class _Chair:
    """One of them, for the sites of its share."""

    def __init__(self, all_: Chairs, sites: Sequence[Site], luck: random.Random) -> None:
        self._all = all_
        self._sites = sites
        self._luck = luck
        self._steps = writes_of(all_.contract)
        self._names = ("open", "first-alignment", "final", "photo")
        self._sessions: dict[str, Session] = {}
        self._asked = 0

    def works(self) -> None:
        """Until everybody stops."""
        try:
            for number, site in enumerate(self._sites):
                self._reports(site, partly=number % PARTIAL == PARTIAL - 1)
                if self._all.stopping.is_set():
                    return
            whole = [site for number, site in enumerate(self._sites) if number % PARTIAL != PARTIAL - 1]
            for number, site in enumerate(cycle(whole)):
                self._corrects(site, number)
                if self._all.stopping.is_set():
                    return
        except Exception as error:  # a thread that dies in silence would be a load that is not there
            self._all.says(f"a chair failed: {error!r}")

    def _reports(self, site: Site, *, partly: bool) -> None:
        at, again = 0, False
        while at < (2 if partly else len(self._steps)) and not self._all.stopping.is_set():
            outcome = self._writes(self._steps[at], self._ask(site))
            if outcome is None or (again and outcome.status == 409):  # what was given up may have come through
                again = True
                at = self._held(site)
            elif outcome.accepted:
                at += 1
            else:
                self._all.says(f"{self._steps[at]} of {site.code}: {outcome.problem}")
                return

    def _corrects(self, site: Site, number: int) -> None:
        """The head count, by one more or fewer: as many as the delegates can bear."""
        report = self._all.night.report(site)
        award = tuple(report.delegates.values())
        lawful = [
            more
            for more in range(6)
            if award in outcomes(list(report.final.values()), site.delegates, report.attendees + more).awards
        ]
        people = report.attendees + lawful[number % len(lawful)]
        ask = replace(self._ask(site), report=replace(report, attendees=people), correction=f"counted again, {number}")
        outcome = self._writes("report.open", ask)
        if outcome is not None and not outcome.accepted:
            self._all.says(f"correction of {site.code}: {outcome.problem}")

    def _ask(self, site: Site) -> Ask:
        self._asked += 1
        key = f"{self._all.run_id[-8:]}-{site.code}-{self._asked:06d}"
        return Ask(site=site, report=self._all.night.report(site), photo=PHOTO, key=key)

    def _writes(self, operation: Operation, ask: Ask) -> Outcome | None:
        """Until it is answered, with the same key; None: this chair gave up, and does not know.

        One of ten that were answered is sent once more, as by a thumb that presses twice.
        """
        outcome: Outcome | None = None
        began = time.monotonic()
        while outcome is None or outcome.verdict in ("busy", "unclear"):
            if time.monotonic() - began > PATIENCE_S:
                self._all.says(f"{operation} of {ask.key}: no answer in {PATIENCE_S:g} s")
                return None
            outcome = self._tries(operation, ask)
            if outcome is None and self._luck.random() < 0.25:
                self._all.count("given_up")
                return None
            if outcome is None or outcome.verdict in ("busy", "unclear"):
                time.sleep(self._luck.uniform(0.02, 0.2))
        if outcome.accepted and self._luck.random() < 0.1:
            self._all.count("pressed_twice")
            second = self._tries(operation, ask)
            if second is not None and second.accepted and not second.replayed:
                self._all.count("not_told_as_a_repetition")
        return outcome

    def _tries(self, operation: Operation, ask: Ask) -> Outcome | None:
        """Once; None: no answer."""
        assert ask.site is not None
        session = self._signs_in(ask.site)
        signed = replace(ask, session=session)
        sent_at = time.monotonic()
        self._all.ledger.sent(operation, signed)
        try:
            outcome = self._says(operation, signed)
        except NoAnswerError:
            self._all.count("no_answer")
            return None
        self._all.ledger.answered(operation, signed, outcome)
        if outcome.accepted:
            self._all.count("acknowledged", sent_at)
        elif outcome.verdict == "busy":
            self._all.count("busy")
        return outcome

    def _held(self, site: Site) -> int:
        """Which step comes next, by what the backend holds."""
        while True:
            try:
                outcome = self._says("resume", Ask(session=self._signs_in(site), site=site))
            except NoAnswerError:
                outcome = None
            if outcome is not None and outcome.accepted:
                self._all.count("resumed")
                step = outcome.values.get("next")
                return self._names.index(step) if isinstance(step, str) else len(self._names)
            time.sleep(self._luck.uniform(0.05, 0.2))

    def _signs_in(self, site: Site) -> Session:
        known = self._sessions.get(site.code)
        account = self._all.accounts.chairs[site.code]
        began = time.monotonic()
        while known is None:
            ask = Ask(user=account.user, pin=account.pin, device=f"chair-{site.code}")
            try:
                outcome = self._says("login", ask)
            except NoAnswerError:
                outcome = None
            if outcome is not None and outcome.accepted:
                known = self._sessions[site.code] = signed_in(ask, outcome)
            elif outcome is not None and outcome.verdict == "refused":
                raise RuntimeError(f"{site.code} is not let in: {outcome.problem}")
            elif time.monotonic() - began > PATIENCE_S:
                raise RuntimeError(f"{site.code} could not sign in")
            else:
                time.sleep(self._luck.uniform(0.05, 0.2))
        return known

    def _says(self, operation: Operation, ask: Ask) -> Outcome:
        """One request. Each chair has an address of its own, which the backend hears from a proxy that it trusts."""
        code = int(ask.site.code if ask.site is not None else ask.user)
        request = self._all.contract.build(operation, ask)
        headers = {**request.headers, "X-Forwarded-For": f"10.{code // 250}.{code % 250}.1"}
        return self._all.contract.read(operation, self._all.send(replace(request, headers=headers)))


PROXY = ("--trusted-proxy", "127.0.0.1")


# Kills


def killed(
    name: str, folder: Path, kills: Mapping[str, int], chairs: int, sites: int, seed: int
) -> tuple[dict[str, Any], list[str]]:
    """So many kills of each victim under load, in a random order: what became of everything, and what is missing."""
    luck = random.Random(f"{name} {seed}")
    night = load(state(folder, sites))
    order = [victim for victim, count in kills.items() for _ in range(count)]
    luck.shuffle(order)
    took: dict[str, list[float]] = {victim: [] for victim in kills}
    with launched(folder / "data", _url(name, folder), night, options=PROXY) as backend:
        with Chairs(backend, night, folder / "ledger", chairs, seed) as load_:
            for victim in order:
                load_.flow(2 * chairs)
                time.sleep(luck.uniform(0, 1.5))
                took[victim].append(_kill(backend, load_, victim))
            load_.flow(2 * chairs)
        found, verdict = _accounted(backend, folder)
    told = {
        "database": name,
        "kills": dict(kills),
        "ready_again_s": {
            victim: {"median": round(statistics.median(some), 2), "most": round(max(some), 2)}
            for victim, some in took.items()
        },
        **{key: found[key] for key in COUNTED},
        **{key: load_.counts[key] for key in ("no_answer", "given_up", "resumed", "pressed_twice", "busy")},
        "audit_log": {key: verdict[key] for key in ("ok", "events", "links", "versions", "unsealed")},
    }
    missed = [f"{name}: {problem}" for problem in load_.unexpected[:5]]
    missed += [f"{name}: {found[kind]} {kind}: {found['offending'][kind][:1]}" for kind in BROKEN if found[kind]]
    if not verdict["ok"] or verdict["unsealed"]:
        missed.append(f"{name}: audit log: {verdict['found']} problems, {verdict['unsealed']} events not sealed: "
                      f"{verdict['problems'][:1]}")  # fmt: skip
    missed += [
        f"{name}: ready again {max(some):.1f} s after the {victim} was killed"
        for victim, some in took.items()
        if max(some) > READY_WITHIN_S
    ]
    if load_.counts["not_told_as_a_repetition"]:
        missed.append(f"{name}: {load_.counts['not_told_as_a_repetition']} repetitions answered as if they were new")
    return told, missed


def _kill(backend: Launched, load_: Chairs, victim: str) -> float:
    """How long until it says that it is ready, and has acknowledged a write that went out after the kill."""
    began = time.monotonic()
    if victim == "service":
        backend.kill()
        backend.start()
    else:
        before = backend.database_process
        backend.kill_database()
        load_.until(lambda: backend.database_process not in (None, before))
        backend.wait_until_ready()
    load_.until(lambda: load_.answered_since > began)
    return time.monotonic() - began


def _accounted(backend: Launched, folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    found = backend.reconciled(folder / "ledger", settle_s=5)
    backend.stop()  # which seals the last of the audit log
    return found, backend.verified()


def _url(name: str, folder: Path) -> str:
    return f"sqlite:///{folder / 'data' / 'caucus.db'}" if name == "sqlite" else name


# Faults of history


def faulty(faults: Sequence[str], folder: Path, chairs: int, sites: int, seed: int) -> dict[str, Any]:
    """A backend with faults under the same load: what says so."""
    name = "embedded-postgres" if "chain_per_row" in faults else "sqlite"
    scenario = state(folder, sites, faults)
    night = load(scenario)
    workers = 2 if "chain_per_row" in faults else 1
    started: dict[str, Any] = {"options": PROXY, "scenario": str(scenario), "workers": workers}
    with launched(folder / "data", _url(name, folder), night, **started) as backend:
        with Chairs(backend, night, folder / "ledger", chairs, seed) as load_:
            for _ in range(3):
                load_.flow(6 * chairs)
                if "acknowledges_before_write" in faults:
                    backend.kill()
                    backend.start()
        found, verdict = _accounted(backend, folder)
    told = {key: found[key] for key in COUNTED} | {"audit_log": {key: verdict[key] for key in ("ok", "found")}}
    first = [found["offending"][kind][0] for kind in BROKEN if found[kind]] + verdict["problems"][:1]
    return {"faults": list(faults), "database": name, **told, "first": str(first[0])[:300] if first else None}


FOUND_BY: Mapping[str, Callable[[Mapping[str, Any]], bool]] = {
    "partial_published": lambda told: bool(told["mis_tallied"]),
    "acknowledges_before_write": lambda told: bool(told["lost"]),
    "chain_per_row": lambda told: not told["audit_log"]["ok"],
    "no_idempotency": lambda told: bool(told["duplicated"]),
    "unbounded_queue": lambda told: told["most_waiting"] > QUEUE + BATCH and not told["turned_away"],
}


def stalled(
    faults: Sequence[str], folder: Path, name: str = "sqlite", writes: int = 600, seconds: float = STANDS_STILL_S
) -> dict[str, Any]:
    """More writes at once than the queue holds, while the database stands still for some seconds.

    A bounded queue turns away the rest at once, with Retry-After. An endless one takes all, and answers when whoever
    asked has long given up: /metrics shows what waits.
    """
    scenario = state(folder, 8, faults)
    night = load(scenario)
    with launched(folder / "data", _url(name, folder), night, options=PROXY, scenario=str(scenario)) as backend:
        load_ = Chairs(backend, night, folder / "ledger", 1, 0)
        chair = _Chair(load_, load_.night.sites, random.Random(0))
        asks = [chair._ask(site) for site, _ in zip(cycle(load_.night.sites), range(writes), strict=False)]
        signed = [replace(ask, session=chair._signs_in(site)) for ask in asks if (site := ask.site) is not None]
        requests = [load_.contract.build("report.open", ask) for ask in signed]
        load_.ledger.close()
        most: list[float] = [0.0]
        over = threading.Event()

        def looks() -> None:
            while not over.wait(0.1):
                most.append(_waiting(backend.url))

        looking = threading.Thread(target=looks)
        with _Crowd(load_.send.target, requests) as crowd:
            for site in load_.night.sites:
                chair._held(site)  # the service looks sessions up once in 2 s: it is to be the writes that wait
            with _standing_still(backend):
                looking.start()
                crowd.sends()
                crowd.waits(seconds)
                over.set()
                looking.join()
            crowd.waits(PATIENCE_S)
        answered = [(crowd.answered_after_s[n], reply.status) for n, reply in crowd.replies.items()]
        turned_away_s = [after_s for after_s, status in answered if status == 503]
        taken_s = [after_s for after_s, status in answered if status != 503]
    return {
        "faults": list(faults),
        "database": name,
        "writes": writes,
        "stood_still_s": seconds,
        "most_waiting": round(max(most)),
        "turned_away": len(turned_away_s),
        "turned_away_within_s": round(max(turned_away_s, default=0.0), 2),
        "taken": len(taken_s),
        "taken_after_s": round(statistics.median(taken_s), 2) if taken_s else None,
    }


class _Crowd:
    """Requests that are sent at once, each over a connection of its own, and how long the service took for each.

    One thread looks after all of them. Where others use this machine it may look late: an answer then counts from when
    its request was handed to the system to the last look at which it was not there, never more than it took.
    """

    def __init__(self, target: Target, requests: Sequence[Request]) -> None:
        self._host = f"{target.host}:{target.port}"
        self._requests = requests
        self._waiting: dict[socket.socket, int] = {}
        self._sent_at: dict[int, float] = {}
        self._came: dict[int, bytes] = defaultdict(bytes)
        self._looked_at = 0.0
        self._look = selectors.DefaultSelector()
        self.replies: dict[int, Reply] = {}
        self.answered_after_s: dict[int, float] = {}
        with ExitStack() as stack:
            for number in range(len(requests)):
                one = stack.enter_context(socket.create_connection((target.addresses[0], target.port)))
                self._look.register(one, selectors.EVENT_READ)
                self._waiting[one] = number
            stack.callback(self._look.close)
            self._open = stack.pop_all()

    def __enter__(self) -> _Crowd:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def sends(self) -> None:
        """All of them; answers are looked at meanwhile."""
        for one, number in list(self._waiting.items()):
            request = self._requests[number]
            body = request.body or b""
            lines = {"Host": self._host, "Content-Length": len(body), "Connection": "close", **request.headers}
            head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
            one.sendall(f"{request.method} {request.path} HTTP/1.1\r\n{head}\r\n".encode() + body)
            self._sent_at[number] = time.monotonic()
            self._looks(0)

    def waits(self, within_s: float) -> None:
        """Until all are answered, or for so long."""
        until = time.monotonic() + within_s
        while self._waiting and (left := until - time.monotonic()) > 0:
            self._looks(min(left, 0.01))

    def _looks(self, within_s: float) -> None:
        for key, _ in self._look.select(within_s):
            one = cast(socket.socket, key.fileobj)
            number = self._waiting[one]
            self.answered_after_s.setdefault(number, max(0.0, self._looked_at - self._sent_at[number]))
            came = one.recv(65_536)
            self._came[number] += came
            if not came:
                self._look.unregister(one)
                del self._waiting[one]
                head, _, body = self._came[number].partition(b"\r\n\r\n")
                self.replies[number] = Reply(int(head.split(b" ", 2)[1]), {}, body)
        self._looked_at = time.monotonic()


@contextmanager
def _standing_still(backend: Launched) -> Iterator[None]:
    """Somebody else holds the database: nobody may write."""
    engine = sa.create_engine(backend.database_url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            driver = connection.connection.driver_connection
            assert driver is not None
            driver.isolation_level = None
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        else:
            connection.exec_driver_sql("LOCK TABLE records IN ACCESS EXCLUSIVE MODE")
        try:
            yield
        finally:
            connection.rollback()
    engine.dispose()


def _waiting(url: str) -> float:
    with urlopen(f"{url}/metrics", timeout=30) as answer:
        lines = answer.read().decode().splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith("caucus_writes_waiting"))


def found_out(fault: str, folder: Path, chairs: int, sites: int, seed: int) -> tuple[dict[str, Any], list[str]]:
    """A fault alone, and whether it was found."""
    told = stalled([fault], folder) if fault == "unbounded_queue" else faulty([fault], folder, chairs, sites, seed)
    told["found"] = FOUND_BY[fault](told)
    return told, [] if told["found"] else [f"the fault {fault} was not found"]


def main() -> None:
    """Kill, switch on faults, tell."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--kills", type=int, default=20, help="of each victim; 0: none")
    options.add_argument("--chairs", type=int, default=24, help="who send at once")
    options.add_argument("--sites", type=int, default=240)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--fault", choices=FAULTS, action="append", help="only these")
    options.add_argument("--no-faults", action="store_true")
    asked = options.parse_args()
    missed: list[str] = []
    kills, faults = [], []
    for name, victims in VICTIMS.items() if asked.kills else ():
        with tempfile.TemporaryDirectory(prefix="caucus-") as folder:
            told, wrong = killed(
                name, Path(folder), dict.fromkeys(victims, asked.kills), asked.chairs, asked.sites, asked.seed
            )
        kills.append(told)
        missed += wrong
        print(json.dumps(told), file=sys.stderr)
    for fault in () if asked.no_faults else asked.fault or FAULTS:
        with tempfile.TemporaryDirectory(prefix="caucus-") as folder:
            told, wrong = found_out(fault, Path(folder), asked.chairs, 2 * asked.chairs, asked.seed)
        faults.append(told)
        missed += wrong
        print(json.dumps(told), file=sys.stderr)
    if not asked.no_faults:
        with tempfile.TemporaryDirectory(prefix="caucus-") as folder:
            bounded = stalled([], Path(folder))
        faults.append(bounded)
        if not bounded["turned_away"] or bounded["most_waiting"] > QUEUE + BATCH:
            missed.append("a bounded queue turned nobody away")
    print(json.dumps({"benchmark": "backend_kills", "kills": kills, "faults": faults, "missed": missed,
                      "ok": not missed}))  # fmt: skip
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
