"""What a generator's process does: keeps the schedules that it is told, alone, as Locust's master, or as its worker.

`processes` starts it here and speaks to it over a pipe. On another machine,
`python -m loadtests.generator.child worker HOST PORT` joins a master.
"""

from __future__ import annotations

import locust  # noqa: F401  # first: it patches what the rest imports

# isort: split
import argparse
import importlib
import os
import signal
import ssl
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import gevent
from gevent.event import AsyncResult
from locust.env import Environment
from locust.rpc.protocol import Message
from locust.runners import STATE_INIT, STATE_RUNNING, MasterRunner, WorkerRunner

from loadtests.generator import live
from loadtests.generator.open_loop import Generator, Limits
from loadtests.generator.processes import GeneratorError, Source, next_beginning, receive, send, write_into
from loadtests.generator.upkeep import Event, Upkeep
from loadtests.target.guards import Target
from loadtests.trial import SECOND, Sample
from loadtests.workload import Schedule, made


@dataclass(frozen=True, slots=True)
class Order:
    """Load that another process is to make, as plain data.

    `source` names a function "module:function" that is called with (schedule, target, **arguments), where the schedule
    is the part that this process keeps; it returns a `Source`.
    """

    source: str
    arguments: Mapping[str, Any]
    target: Mapping[str, Any]
    limits: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    sources: Sequence[str] = ()
    ca: str | None = None

    def made_target(self) -> Target:
        """Whom to load; was checked where the order was made."""
        return Target(**{**self.target, "addresses": tuple(self.target["addresses"])})


class Maker:
    """Carries out orders in this process; keeps the generator of the last one, and its connections, for the next."""

    def __init__(self, environment: Environment, tell: Callable[[Event], None] | None = None) -> None:
        """`tell` hears what becomes of sessions; without it, it is kept until `events` is asked."""
        self.environment = environment
        self._events: list[Event] = []
        self._tell = tell or self._events.append
        self._upkeep: Upkeep | None = None
        self._order: dict[str, Any] | None = None
        self._generator: Generator | None = None
        self._schedule: Schedule | None = None

    def prepare(self, order: Mapping[str, Any], schedule: Schedule) -> None:
        """Make the requests' source and warm up."""
        wanted = Order(**order)
        module, _, name = wanted.source.partition(":")
        source: Source = getattr(importlib.import_module(module), name)(
            schedule, wanted.made_target(), **wanted.arguments
        )
        kept = {**order, "arguments": None, "source": None}
        if self._generator is None or self._order != kept or bool(self._generator.judge) != bool(source.judge):
            if self._generator is not None:
                self._generator.close()
            self._generator = Generator(
                source.requests,
                wanted.made_target(),
                judge=source.judge,
                limits=Limits(**wanted.limits),
                headers=wanted.headers,
                tls=ssl.create_default_context(cafile=wanted.ca) if wanted.target["scheme"] == "https" else None,
                sources=wanted.sources,
                environment=self.environment,
            )
            self._order = kept
        self._generator.requests, self._generator.judge = source.requests, source.judge
        self._generator.finished, self._generator.upkeep = source.finished, source.upkeep
        self._upkeep = source.upkeep
        if self._upkeep is not None:
            self._upkeep.tell = self._tell
        self._schedule = schedule
        self._generator.warm(schedule)

    def go(self, begins_ns: int) -> Sample:
        """Keep the schedule that was prepared."""
        assert self._generator is not None
        assert self._schedule is not None
        return self._generator.run(self._schedule, begins_ns)

    @property
    def figures(self) -> live.Figures:
        """How this process is doing."""
        return live.Figures.of(self._generator)

    def files(self) -> dict[str, bytes]:
        """Nothing: whatever is written here is where it belongs."""
        return {}

    def hear(self, event: Event) -> None:
        """What became of a session in another process."""
        if self._upkeep is not None:
            self._upkeep.hear(event)

    def events(self) -> list[Event]:
        """What became of sessions here since the last time."""
        found = self._events[:]
        self._events.clear()
        return found


def schedule_of(spec: Mapping[str, Any] | None, blob: bytes) -> Schedule:
    """A schedule that was sent as what it is made of or, where that is nothing short, as it is."""
    return made(spec) if spec is not None else Schedule.from_bytes(blob)


# Locust's master and workers

_FIGURES = "caucus-load"  # among what a worker reports to its master
_PREPARE, _READY, _GO, _RESULT = "caucus-load", "caucus-load-ready", "caucus-load-go", "caucus-load-result"
_HERE = "caucus-load-here"  # from a worker that hears orders: Locust's own word comes before it does
_SESSION = "caucus-load-session"  # what became of one: from a worker to all others
_PREPARED_S = 60.0
_WORKERS_S = 60.0
_SILENT_S = 5.0  # after Locust has missed a worker, which it does after four: one that is only busy comes back
_BUSY_S = 20.0  # the same while it prepares, and is as busy as it can be
_LOOK_S = 0.2


class Worker:
    """A Locust worker that makes its part of the load, also on another machine: orders come as Locust's messages."""

    def __init__(self, environment: Environment, files: Path | None = None) -> None:
        """`files`: what is written there is not on the master's machine, and told to it; None: it is."""
        assert isinstance(environment.runner, WorkerRunner)
        self.runner = environment.runner
        self._maker = Maker(environment, lambda event: self.runner.send_message(_SESSION, event))
        self._files = files
        self._told_of: dict[str, int] = {}  # so many bytes of each file
        self.runner.register_message(_PREPARE, self._prepare, concurrent=True)
        self.runner.register_message(_GO, self._go, concurrent=True)
        self.runner.register_message(_SESSION, lambda msg, **_: self._maker.hear(msg.data))
        environment.events.report_to_master.add_listener(self._report)  # type: ignore[no-untyped-call]  # Locust's events have no types
        self.runner.send_message(_HERE, {})

    def _report(self, data: dict[str, Any], **_: Any) -> None:
        """Beside Locust's own figures, every three seconds."""
        data[_FIGURES] = asdict(self._maker.figures)

    def _prepare(self, msg: Message, **_: Any) -> None:
        told = msg.data
        try:
            schedule = schedule_of(told["spec"], told["blob"])
            self._maker.prepare(told["order"], schedule.part(told["part"], told["of"]))
        except Exception as error:  # the master says it to whoever waits
            self._say(_READY, told, error=f"{type(error).__name__}: {error}")
        else:
            self._say(_READY, told, fingerprint=schedule.fingerprint)

    def _go(self, msg: Message, **_: Any) -> None:
        self.runner.update_state(STATE_RUNNING)
        self.runner.worker_state = STATE_RUNNING
        try:
            told_ns, own_ns = msg.data["begins_ns"], next_beginning()
            # clocks of two machines count from when each was switched on
            sample = self._maker.go(told_ns if abs(told_ns - own_ns) < SECOND else own_ns)
            self.runner._send_stats()  # else the master's figures come up to three seconds later
            self._say(_RESULT, msg.data, sample=sample.to_bytes(), files=self._written())
        except Exception as error:  # as above
            self._say(_RESULT, msg.data, error=f"{type(error).__name__}: {error}")
        finally:
            self.runner.worker_state = STATE_INIT
            self.runner.update_state(STATE_INIT)

    def _written(self) -> dict[str, bytes]:
        """What was added to each file since the last time."""
        found = {}
        for path in sorted(self._files.iterdir()) if self._files is not None else ():
            with path.open("rb") as file:
                file.seek(self._told_of.get(path.name, 0))
                found[path.name] = file.read()
                self._told_of[path.name] = file.tell()
        return found

    def _say(self, kind: str, told: Mapping[str, Any], **more: Any) -> None:
        self.runner.send_message(kind, {"trial": told["trial"], **more})


class Coordinator:
    """A Locust master whose workers make load, each a part of the schedule; puts together what they have measured."""

    def __init__(self, environment: Environment) -> None:
        assert isinstance(environment.runner, MasterRunner)
        self.runner, self.environment = environment.runner, environment
        self._trial = 0
        self._schedule: Schedule
        self._workers: list[str] = []
        self._here: set[str] = set()
        self._longest_s = 0.0
        self._answers: dict[str, AsyncResult] = {}
        self._brought: dict[str, bytes] = {}
        self._figures: dict[str, live.Figures] = {}
        self.runner.register_message(_HERE, lambda msg, **_: self._here.add(msg.node_id))
        self.runner.register_message(_READY, self._hear)
        self.runner.register_message(_RESULT, self._hear)
        self.runner.register_message(_SESSION, self._hear_of_session)
        self._events: list[Event] = []
        environment.events.worker_report.add_listener(self._hear_figures)  # type: ignore[no-untyped-call]  # as above

    def _hear_figures(self, client_id: str, data: Mapping[str, Any], **_: Any) -> None:
        self._figures[client_id] = live.Figures(**data[_FIGURES])

    def _hear_of_session(self, msg: Message, **_: Any) -> None:
        self._events.append(msg.data)
        for worker in self._workers:
            if worker != msg.node_id:
                self.runner.send_message(_SESSION, msg.data, worker)

    def events(self) -> list[Event]:
        """What became of sessions since the last time."""
        found, self._events = self._events, []
        return found

    @property
    def figures(self) -> live.Figures:
        """How all that are there are doing, and this process."""
        there = [self._figures[worker] for worker in self.runner.clients if worker in self._figures]
        return live.Figures.together([live.Figures.of(None), *there])

    def wait_for_workers(self, count: int, within_s: float = _WORKERS_S) -> None:
        """Until so many are there."""
        until = time.monotonic() + within_s
        while len(self._there()) < count:
            if time.monotonic() > until:
                raise GeneratorError(f"{len(self._there())} of {count} workers came within {within_s:g} s")
            gevent.sleep(0.02)
        self._workers = self._there()

    def _there(self) -> list[str]:
        """The workers that hear orders."""
        clients = self.runner.clients
        return sorted(client.id for client in clients.ready + clients.running if client.id in self._here)

    def _same_workers(self) -> list[str]:
        """The workers that were waited for: each goes on where it stopped, as long as its part stays the same."""
        until = time.monotonic() + _SILENT_S
        while (lacking := set(self._workers) - set(self._there())) and time.monotonic() < until:
            gevent.sleep(_LOOK_S)
        wrong = [f"worker {worker} is gone" for worker in sorted(lacking)]
        wrong += [f"worker {worker} came later" for worker in self._there() if worker not in self._workers]
        if wrong or not self._workers:
            raise GeneratorError(", ".join(wrong) or "no worker is there")
        return self._workers

    def prepare(self, order: Mapping[str, Any], schedule: Schedule) -> None:
        """Give the workers their parts, and have them warm up."""
        workers = self._same_workers()
        self._schedule = schedule
        self._trial += 1
        blob = b"" if schedule.spec is not None else schedule.to_bytes()
        told = {"trial": self._trial, "order": order, "spec": schedule.spec, "blob": blob, "of": len(workers)}
        parts = {worker: {**told, "part": k} for k, worker in enumerate(workers)}
        prepared = self._ask(_PREPARE, parts, _PREPARED_S, _BUSY_S)
        for worker, answer in prepared.items():
            if answer["fingerprint"] != schedule.fingerprint:
                raise GeneratorError(f"worker {worker} makes another schedule of the same description")
        limits = Limits(**order.get("limits", {}))
        self._longest_s = schedule.seconds + limits.timeout_s * (1 + limits.retries) + 30.0

    def go(self, begins_ns: int) -> Sample:
        """Keep the schedule that was prepared."""
        self.environment.events.test_start.fire(environment=self.environment)  # type: ignore[no-untyped-call]  # as above
        self.runner.update_state(STATE_RUNNING)
        try:
            told = {"trial": self._trial, "begins_ns": begins_ns}
            results = self._ask(_GO, dict.fromkeys(self._workers, told), self._longest_s, _SILENT_S)
        finally:
            self.environment.events.test_stop.fire(environment=self.environment)  # type: ignore[no-untyped-call]  # as above
        self._brought = {
            name: data for worker in self._workers for name, data in results[worker]["files"].items() if data
        }
        parts = [Sample.from_bytes(results[worker]["sample"]) for worker in self._workers]
        return Sample.merged(parts, len(self._schedule))

    def files(self) -> dict[str, bytes]:
        """What workers on other machines have written meanwhile, by the file's name."""
        brought, self._brought = self._brought, {}
        return brought

    def _ask(
        self, kind: str, said: Mapping[str, dict[str, Any]], within_s: float, silent_s: float
    ) -> dict[str, dict[str, Any]]:
        """What each says to it; GeneratorError where one says nothing, or was not there for `silent_s`."""
        self._answers = {worker: AsyncResult() for worker in said}
        for worker, data in said.items():
            self.runner.send_message(kind, data, worker)
        began = time.monotonic()
        seen = dict.fromkeys(said, began)  # when each was last there
        while True:
            found = {worker: answer.get() for worker, answer in self._answers.items() if answer.ready()}
            for worker, told in found.items():
                if "error" in told:
                    raise GeneratorError(f"worker {worker}: {told['error']}")
            if len(found) == len(said):
                return found
            now = time.monotonic()
            seen.update(dict.fromkeys(self._there(), now))
            waiting = [worker for worker in said if worker not in found]
            for worker in waiting:
                is_gone = now - seen[worker] > silent_s
                if is_gone or now - began > within_s:
                    why = ": it is gone" if is_gone else ""
                    raise GeneratorError(f"worker {worker} did not answer within {now - began:.0f} s{why}")
            gevent.wait([self._answers[worker] for worker in waiting], timeout=_LOOK_S, count=1)

    def _hear(self, msg: Message, **_: Any) -> None:
        answer = self._answers.get(msg.node_id)
        if answer is not None and msg.data["trial"] == self._trial:
            answer.set(msg.data)


def _in_thread(wait: Callable[..., Any], *arguments: Any) -> Any:
    """What a call that waits outside of gevent returns; other greenlets go on meanwhile."""
    return gevent.get_hub().threadpool.apply(wait, arguments)


def _stats(environment: Environment) -> dict[str, Any]:
    """What Locust has counted since the start."""
    total = environment.stats.total
    p99 = total.get_response_time_percentile(0.99)
    return {"requests": total.num_requests, "failures": total.num_failures, "p99_ms": p99}


# The process


def main() -> None:
    """What a child does: alone, as Locust's master, or as a worker of one."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.generator.child")
    parser.add_argument("kind", choices=["alone", "master", "worker"])
    parser.add_argument("host", help="of the master")
    parser.add_argument("port", type=int, help="of the master; 0: any that is free")
    parser.add_argument("--here", action="store_true", help="on the master's machine: files need not be sent to it")
    parser.add_argument("--core", type=int, default=-1, help="stay on this core")
    given = parser.parse_args()
    if given.core >= 0:
        os.sched_setaffinity(0, {given.core})
    if given.kind == "worker":
        _work(given.host, given.port, is_here=given.here)
    else:
        orders, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
        os.dup2(2, 1)  # whatever prints does not print into the pipe
        _serve(orders, answers, (given.host, given.port) if given.kind == "master" else None)


def _work(host: str, port: int, *, is_here: bool) -> None:
    environment = Environment()
    with ExitStack() as stack:
        files = None if is_here else Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="caucus-load-")))
        write_into(files)
        runner = environment.create_worker_runner(host, port)
        Worker(environment, files)
        runner.greenlet.join()


def _quit(master: MasterRunner) -> None:
    """End at once, and so do the workers: those elsewhere would send to the end of their schedule."""
    master.quit()
    os._exit(128 + signal.SIGTERM)


def _serve(orders: BinaryIO, answers: BinaryIO, listens: tuple[str, int] | None) -> None:
    environment = Environment()
    load: Maker | Coordinator
    if listens is not None:
        master = environment.create_master_runner(*listens)
        load, port = Coordinator(environment), master.server.port
        gevent.signal_handler(signal.SIGTERM, _quit, master)
    else:
        environment.create_local_runner()
        load, port = Maker(environment), 0
    live.serve(environment, lambda: load.figures)
    send(answers, {"port": port})
    while (heard := _in_thread(receive, orders)) is not None:
        asked, blob = heard
        try:
            if asked["do"] == "wait":
                assert isinstance(load, Coordinator)
                load.wait_for_workers(asked["workers"])
                send(answers, {})
            elif asked["do"] == "stats":
                send(answers, {"stats": _stats(environment)})
            elif asked["do"] == "prepare":
                load.prepare(asked["order"], schedule_of(asked["spec"], blob))
                send(answers, {})
            else:
                sample, files = load.go(asked["begins_ns"]).to_bytes(), load.files()
                lengths = {name: len(data) for name, data in files.items()}
                told = {"sample": len(sample), "files": lengths, "upkeep": load.events()}
                send(answers, told, b"".join([sample, *files.values()]))
        except BrokenPipeError:
            break
        except Exception as error:  # the parent says it
            reason = str(error) if isinstance(error, GeneratorError) else f"{type(error).__name__}: {error}"
            send(answers, {"error": reason})
    if isinstance(load, Coordinator):
        load.runner.quit()


if __name__ == "__main__":
    main()
