"""What a generator's process does: keeps the schedules that it is told, alone, as Locust's master, or as its worker.

`generator_process` starts it here and speaks to it over a pipe. On another machine,
`python -m loadtests.generator_child worker HOST PORT` joins a master.
"""

from __future__ import annotations

import locust  # noqa: F401  # first: it patches what the rest imports

# isort: split
import argparse
import importlib
import os
import ssl
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import gevent
from gevent.event import AsyncResult
from locust.env import Environment
from locust.rpc.protocol import Message
from locust.runners import STATE_INIT, STATE_RUNNING, MasterRunner, WorkerRunner

from loadtests import live
from loadtests.generator import Generator, Limits
from loadtests.generator_process import GeneratorError, Source, receive, send
from loadtests.guards import Target
from loadtests.trial import Sample
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

    def __init__(self, environment: Environment) -> None:
        self.environment = environment
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
        self._generator.finished = source.finished
        self._schedule = schedule
        self._generator.warm(schedule)

    @property
    def generator(self) -> Generator | None:
        """What makes load here; None before the first order."""
        return self._generator

    def go(self) -> Sample:
        """Keep the schedule that was prepared."""
        assert self._generator is not None
        assert self._schedule is not None
        return self._generator.run(self._schedule, warmed=True)


def schedule_of(spec: Mapping[str, Any] | None, blob: bytes) -> Schedule:
    """A schedule that was sent as what it is made of or, where that is nothing short, as it is."""
    return made(spec) if spec is not None else Schedule.from_bytes(blob)


# Locust's master and workers

_PREPARE, _READY, _GO, _RESULT = "caucus-load", "caucus-load-ready", "caucus-load-go", "caucus-load-result"
_PREPARED_S = 60.0
_WORKERS_S = 60.0


class Worker:
    """A Locust worker that makes its part of the load, also on another machine: orders come as Locust's messages."""

    def __init__(self, environment: Environment) -> None:
        assert isinstance(environment.runner, WorkerRunner)
        self.runner = environment.runner
        self._maker = Maker(environment)
        self.runner.register_message(_PREPARE, self._prepare, concurrent=True)
        self.runner.register_message(_GO, self._go, concurrent=True)

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
            sample = self._maker.go()
            self.runner._send_stats()  # else the master's figures come up to three seconds later
            self._say(_RESULT, msg.data, sample=sample.to_bytes())
        except Exception as error:  # as above
            self._say(_RESULT, msg.data, error=f"{type(error).__name__}: {error}")
        finally:
            self.runner.worker_state = STATE_INIT
            self.runner.update_state(STATE_INIT)

    def _say(self, kind: str, told: Mapping[str, Any], **more: Any) -> None:
        self.runner.send_message(kind, {"trial": told["trial"], **more})


class Coordinator:
    """A Locust master whose workers make load, each a part of the schedule; puts together what they have measured."""

    def __init__(self, environment: Environment) -> None:
        assert isinstance(environment.runner, MasterRunner)
        self.runner, self.environment = environment.runner, environment
        self._trial = 0
        self._answers: dict[str, AsyncResult] = {}
        self.runner.register_message(_READY, self._hear)
        self.runner.register_message(_RESULT, self._hear)

    def wait_for_workers(self, count: int, within_s: float = _WORKERS_S) -> None:
        """Until so many are there."""
        until = time.monotonic() + within_s
        while self.runner.worker_count < count:
            if time.monotonic() > until:
                raise GeneratorError(f"{self.runner.worker_count} of {count} workers came within {within_s:g} s")
            gevent.sleep(0.02)

    def run(self, order: Mapping[str, Any], spec: Mapping[str, Any] | None, blob: bytes) -> Sample:
        """One schedule, on all workers that are there."""
        schedule = schedule_of(spec, blob)
        workers = sorted(client.id for client in self.runner.clients.ready + self.runner.clients.running)
        if not workers:
            raise GeneratorError("no worker is there")
        self._trial += 1
        told = {"trial": self._trial, "order": order, "spec": spec, "blob": blob, "of": len(workers)}
        prepared = self._ask(_PREPARE, {worker: {**told, "part": k} for k, worker in enumerate(workers)}, _PREPARED_S)
        for worker, answer in prepared.items():
            if answer["fingerprint"] != schedule.fingerprint:
                raise GeneratorError(f"worker {worker} makes another schedule of the same description")
        self.environment.events.test_start.fire(environment=self.environment)  # type: ignore[no-untyped-call]  # as above
        self.runner.update_state(STATE_RUNNING)
        limits = Limits(**order.get("limits", {}))
        longest = schedule.seconds + limits.timeout_s * (1 + limits.retries) + 30.0
        try:
            results = self._ask(_GO, {worker: {"trial": self._trial} for worker in workers}, longest)
        finally:
            self.environment.events.test_stop.fire(environment=self.environment)  # type: ignore[no-untyped-call]  # as above
        return Sample.merged([Sample.from_bytes(results[worker]["sample"]) for worker in workers], len(schedule))

    def _ask(self, kind: str, said: Mapping[str, dict[str, Any]], within_s: float) -> dict[str, dict[str, Any]]:
        self._answers = {worker: AsyncResult() for worker in said}
        for worker, data in said.items():
            self.runner.send_message(kind, data, worker)
        until = time.monotonic() + within_s
        found = {}
        for worker, answer in self._answers.items():
            try:
                found[worker] = answer.get(timeout=max(0.01, until - time.monotonic()))
            except gevent.Timeout:
                raise GeneratorError(f"worker {worker} did not answer within {within_s:g} s") from None
            if "error" in found[worker]:
                raise GeneratorError(f"worker {worker}: {found[worker]['error']}")
        return found

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
    parser = argparse.ArgumentParser(prog="python -m loadtests.generator_child")
    parser.add_argument("kind", choices=["alone", "master", "worker"])
    parser.add_argument("host", help="of the master")
    parser.add_argument("port", type=int, help="of the master; 0: any that is free")
    parser.add_argument("--core", type=int, default=-1, help="stay on this core")
    given = parser.parse_args()
    if given.core >= 0:
        os.sched_setaffinity(0, {given.core})
    if given.kind == "worker":
        _work(given.host, given.port)
    else:
        orders, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
        os.dup2(2, 1)  # whatever prints does not print into the pipe
        _serve(orders, answers, (given.host, given.port) if given.kind == "master" else None)


def _work(host: str, port: int) -> None:
    environment = Environment()
    runner = environment.create_worker_runner(host, port)
    Worker(environment)
    runner.greenlet.join()


def _serve(orders: BinaryIO, answers: BinaryIO, listens: tuple[str, int] | None) -> None:
    environment = Environment()
    coordinator = maker = None
    if listens is not None:
        master = environment.create_master_runner(*listens)
        coordinator, port = Coordinator(environment), master.server.port
    else:
        environment.create_local_runner()
        maker, port = Maker(environment), 0
    live.serve(environment, lambda: maker.generator if maker is not None else None)
    send(answers, {"port": port})
    while (heard := _in_thread(receive, orders)) is not None:
        asked, blob = heard
        try:
            if asked["do"] == "wait":
                assert coordinator is not None
                coordinator.wait_for_workers(asked["workers"])
                send(answers, {})
            elif asked["do"] == "stats":
                send(answers, {"stats": _stats(environment)})
            elif coordinator is not None:
                sample = coordinator.run(asked["order"], asked["spec"], blob)
                send(answers, {}, sample.to_bytes())
            else:
                assert maker is not None
                maker.prepare(asked["order"], schedule_of(asked["spec"], blob))
                send(answers, {}, maker.go().to_bytes())
        except BrokenPipeError:
            break
        except Exception as error:  # the parent says it
            reason = str(error) if isinstance(error, GeneratorError) else f"{type(error).__name__}: {error}"
            send(answers, {"error": reason})
    if coordinator is not None:
        coordinator.runner.quit()


if __name__ == "__main__":
    main()
