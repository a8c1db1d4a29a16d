"""One run, seen by one process of Locust: the night, who plays whom in it, when it begins and when it is over.

Locust spreads its users over processes and machines as it likes. So each user asks for its part by number, and the
master (or the only process) hands every number out once: each site is played exactly once, wherever that is.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Mapping, Sequence
from typing import NoReturn
from weakref import WeakKeyDictionary

import gevent
from gevent.event import AsyncResult, Event
from locust.env import Environment
from locust.rpc.protocol import Message
from locust.runners import STATE_CLEANUP, STATE_STOPPED, STATE_STOPPING, MasterRunner, Runner, WorkerRunner

from loadtests.accounts import CLERK, REVIEWER, Account, Accounts, read_accounts
from loadtests.addresses import reach
from loadtests.contract import Ask, Backend, Operation, Request
from loadtests.ledger import Ledger
from loadtests.target.guards import Pace, new_run_id
from loadtests.target.mapping import target_backend
from loadtests.target.sender import NoAnswerError, Sender
from loadtests.traffic.evening import Evening, SiteEvening, evening
from loadtests.users.options import Options, read_options
from loadtests.users.silence import GONE_S, Silence
from simulation.errors import InputError

log = logging.getLogger("caucus")

_CLAIM, _DEALT, _DONE, _PHASE = "caucus-claim", "caucus-dealt", "caucus-done", "caucus-phase"
BEGINS, CLOSES = "begins", "closes"
PLANNED = ("PrecinctChair", "HotlineClerk")  # who have so much to do, and no more
CLOSING = ("Reviewer",)  # who see to the rest when those are done
_MOST_CLERKS, _MOST_REVIEWERS = 20, 4
_GRACE_S = 180.0  # after the last planned moment: for retries, reviews and whatever the backend is slow at
_ANSWER_S = 60.0
_PROBE_S = 10.0
_FIGURES_S = 15.0  # workers tell them every 3 s
NO_ANSWER = "no answer"  # begins what Locust's table of failures says of a request without any HTTP answer


_WORKS_ON: Mapping[str, Operation] = {"HotlineClerk": "clerk", "Reviewer": "review.list"}


class Run:
    """One run in this process: the night, and who plays what in it."""

    def __init__(self, options: Options, environment: Environment) -> None:
        self.options = options
        self.evening = _played(options)
        listed = read_accounts(options.pins) if options.pins is not None else Accounts.none()
        self.accounts = listed.by_code({each.site.id: each.site.code for each in self.evening.sites})
        self.backend: Backend = target_backend(
            options.mapping, options.target_class, options.run_id, self.evening.groups
        )
        self.chairs: tuple[SiteEvening, ...] = tuple(each for each in self.evening.sites if each.has_chair_online)
        self.clerks = self._staff(CLERK, options.clerks, _MOST_CLERKS)
        self.reviewers = self._staff(REVIEWER, options.reviewers, _MOST_REVIEWERS)
        self.places = {(each.site.county, each.site.precinct): each for each in self.evening.sites}
        self.from_own_addresses = reach(options.target)
        self.pace = Pace(options.target.rate_cap_per_s)
        self._sharers = 1  # processes that send
        self.ledger: Ledger | None = None
        self.begins = Event()
        self.closes = Event()
        self.began_at = 0.0
        self._environment = environment
        self._asked: dict[int, AsyncResult[int]] = {}
        self._asks = 0

    def _staff(self, role: str, wanted: int, most: int) -> tuple[Account, ...]:
        known = self.accounts.of(role)
        return known[: wanted or most]

    # Who plays whom

    def counts(self) -> dict[str, int]:
        """How many users of each class the night takes."""
        options = self.options
        return {
            "PrecinctChair": len(self.chairs),
            "HotlineClerk": len(self.clerks) if self.evening.keyed and self._has_work("HotlineClerk") else 0,
            "Reviewer": len(self.reviewers) if self._has_work("Reviewer") else 0,
            "PublicReader": options.readers,
            "CampaignObserver": options.observers,
            "Intruder": options.intruders,
        }

    def _has_work(self, kind: str) -> bool:
        return kind not in _WORKS_ON or _WORKS_ON[kind] in self.backend.operations

    def left_out(self, classes: list[str]) -> list[str]:
        """Which of these classes the backend has no work for, one line each."""
        return [
            f"{kind} is left out: the mapping has no [{_WORKS_ON[kind]}]"
            for kind in classes
            if not self._has_work(kind)
        ]

    def missing(self, classes: list[str]) -> list[str]:
        """What the users of these classes lack, one line each."""
        problems: list[str] = []
        options = self.options
        if not set(classes) & {"PrecinctChair", "HotlineClerk", "Reviewer"}:
            return problems
        if options.pins is None:
            return ["--pins is missing: the list of log-ins that `caucus backend pins --out pins.csv` writes"]
        if "PrecinctChair" in classes:
            absent = [each.site.code for each in self.chairs if each.site.code not in self.accounts.chairs]
            if absent:
                problems.append(
                    f"--pins {options.pins}: no chair for {len(absent)} of {len(self.chairs)} sites, such as "
                    f"{', '.join(absent[:3])}: is the list of a backend with the scenario {options.scenario}?"
                )
        classes = [kind for kind in classes if self._has_work(kind)]
        if "HotlineClerk" in classes and self.evening.keyed and len(self.clerks) < 2:
            problems.append(f"--pins {options.pins}: {len(self.clerks)} clerks: every result is keyed by two")
        if "Reviewer" in classes and len(self.reviewers) < 2:
            problems.append(f"--pins {options.pins}: {len(self.reviewers)} reviewers: two people release a record")
        return problems

    def probe(self) -> str:
        """Ask the target once, whatever it answers; a line where it holds reports already.

        NoAnswerError where nobody is there.
        """
        has_results = "results" in self.backend.operations
        request = self.backend.build("results", Ask()) if has_results else Request("GET", "/", {}, None, "GET /")
        reply = Sender(self.options.target, self.options.run_id, self.options.ca, _PROBE_S)(request)
        values = self.backend.read("results", reply).values if has_results else {}
        if not any(_people(values.get(name)) for name in ("attendees", "first_alignment", "final")):
            return ""
        return (
            f"{self.options.target.url} holds reports already: sites that have reported refuse another one, and count "
            "as unplayed; give each run a database of its own"
        )

    def claim(self, kind: str) -> int:
        """The number of a user among all of its class in this run, from 0."""
        self._asks += 1
        ask, answer = self._asks, AsyncResult()
        self._asked[ask] = answer
        _runner(self._environment).send_message(_CLAIM, {"kind": kind, "ask": ask})
        try:
            return int(answer.get(timeout=_ANSWER_S))
        finally:
            self._asked.pop(ask, None)

    def share_pace(self, processes: int) -> None:
        """The target's cap is one for all the processes that send: each keeps to its part."""
        cap_per_s = self.options.target.rate_cap_per_s
        if cap_per_s is not None and processes != self._sharers:
            self._sharers = processes
            self.pace = Pace(cap_per_s / processes)

    def dealt(self, ask: int, number: int) -> None:
        """The master's answer to a claim."""
        if ask in self._asked:
            self._asked[ask].set(number)

    def done(self, kind: str) -> None:
        """A user has played its part."""
        _runner(self._environment).send_message(_DONE, {"kind": kind})

    def reaches(self, phase: str) -> None:
        """The night begins, or closes."""
        if phase == BEGINS and not self.begins.is_set():
            self.began_at = time.monotonic()
            self.begins.set()
        elif phase == CLOSES:
            self.closes.set()

    def has(self, kind: str) -> bool:
        """Whether users of a class take part."""
        return any(one.__name__ == kind for one in self._environment.user_classes)

    # The clock

    def length_s(self) -> float:
        """How long the planned part of the night takes to play."""
        return self._offset_s(self.evening.ends_at_ms)

    def due(self, at_ms: int) -> float:
        """When a moment of the night comes, on `time.monotonic`."""
        return self.began_at + self._offset_s(at_ms)

    def scaled(self, seconds: float) -> float:
        """How long a time of the night takes at this speed."""
        return seconds / self.options.speed

    def wait_until(self, at_ms: int) -> None:
        """Sleep until a moment of the night."""
        self.begins.wait()
        pause = self.due(at_ms) - time.monotonic()
        if pause > 0:
            gevent.sleep(pause)

    def _offset_s(self, at_ms: int) -> float:
        origin = self.evening.begins_at_ms
        until = max(origin, self.options.until_ms)
        return (min(max(at_ms, origin), until) - origin) / 1000 / self.options.speed


def _people(figure: object) -> bool:
    """Whether a public figure, a number or counts by group, is of anybody."""
    return any(map(_people, figure.values())) if isinstance(figure, Mapping) else figure not in (None, 0, "0", "")


def _played(options: Options) -> Evening:
    """The night; played in a thread, so that Locust's heartbeats go on: a machine's first night compiles for long."""

    def play() -> Evening | InputError:
        from simulation import load

        try:
            return evening(load(options.scenario), options.seed, options.night, small_photos=options.small_photos)
        except InputError as error:
            return error

    found: Evening | InputError = gevent.get_hub().threadpool.apply(play)
    if isinstance(found, InputError):
        raise found
    return found


# One run after the other, in this process


class Coordinator:
    """What stays in a process while runs come and go: its run, and where it is the master, who has what part."""

    def __init__(self, environment: Environment) -> None:
        self.environment = environment
        self.run: Run | None = None
        self.run_id = new_run_id()
        self._claimed: dict[str, int] = {}
        self._done: dict[str, int] = {}
        self._watch: gevent.Greenlet | None = None
        self._over = False  # by itself, not because somebody stopped it
        self._heard: set[str] = set()  # workers that told their figures since everybody was done
        runner = _runner(environment)
        if not isinstance(runner, WorkerRunner):
            runner.register_message(_CLAIM, self._on_claim)
            runner.register_message(_DONE, self._on_done)
        if not isinstance(runner, MasterRunner):
            runner.register_message(_DEALT, self._on_dealt)
            runner.register_message(_PHASE, self._on_phase)
        events = environment.events
        for event, listener in (
            (events.test_start, self._on_test_start),
            (events.spawning_complete, self._on_spawning_complete),
            (events.test_stop, self._on_test_stop),
            (events.worker_report, self._on_worker_report),
        ):
            event.add_listener(listener)  # type: ignore[no-untyped-call]  # Locust's events have no types

    @property
    def hands_out(self) -> bool:
        """Whether this process hands out the parts: the master, or the only one."""
        return not isinstance(_runner(self.environment), WorkerRunner)

    @property
    def runs_by_itself(self) -> bool:
        """Whether nobody presses a button to begin: headless, or --autostart."""
        given = self.environment.parsed_options
        return given is not None and bool(given.headless or given.autostart)

    def prepare(self) -> Run:
        """The run that these options describe; InputError where that cannot be."""
        given = self.environment.parsed_options
        assert given is not None  # a locustfile is run by Locust's command line
        if self.environment.host:
            given.host = self.environment.host
        if self.hands_out and not given.run_id:
            given.run_id = self.run_id  # which workers are told with the other options
        options = read_options(given, self.run_id)
        before = self.run
        if before is not None and before.options == options and not before.begins.is_set():
            return before
        self.run = Run(options, self.environment)
        return self.run

    def set_counts(self) -> None:
        """Tell Locust how many users of each class the night takes."""
        assert self.run is not None
        given = self.environment.parsed_options
        counts = self.run.counts()
        names = {one.__name__ for one in self.environment.user_classes}
        problems = self.run.missing(sorted(names))
        if problems:
            raise InputError(problems)
        for line in self.run.left_out(sorted(names)):
            log.warning("%s", line)
        playing = [one for one in self.environment.user_classes if counts.get(one.__name__, 1)]
        for one in playing:
            one.fixed_count = counts.get(one.__name__, one.fixed_count)
        if playing:  # a class without users would be taken for one without a fixed number
            self.environment.user_classes[:] = playing
        total = sum(one.fixed_count for one in self.environment.user_classes)
        assert given is not None
        if given.num_users is None:
            given.num_users = total
        elif given.num_users < total:
            log.warning("--users %d: the night takes %d; some parts will not be played", given.num_users, total)
        if given.spawn_rate is None:
            given.spawn_rate = 100  # users a second: Locust warns of more

    def probe(self) -> None:
        """Is anybody there, and is it new to the night? NoAnswerError where nobody is."""
        assert self.run is not None
        held = self.run.probe()
        if held:
            log.warning("%s", held)

    def end(self, exit_code: int) -> NoReturn:
        """Before the run: for Locust's own ending does not reach workers that it forked, who would wait a minute."""
        import psutil

        given = self.environment.parsed_options
        for worker in psutil.Process().children() if given is not None and given.processes else ():
            worker.terminate()
        sys.exit(exit_code)

    # Events of Locust

    def _on_test_start(self, **_: object) -> None:
        self._claimed, self._done, self._over = {}, {}, False
        try:
            run = self.prepare()
            if self.hands_out:
                self.set_counts()
                if not self.runs_by_itself:  # else it was asked before, see the locustfile
                    self.probe()
        except InputError as error:
            self._give_up(error.problems, 2)
            return
        except NoAnswerError as error:
            self._give_up([str(error)], 1)
            return
        if run.options.ledger is not None and not isinstance(_runner(self.environment), MasterRunner):
            run.ledger = Ledger(run.options.ledger, run.options.run_id)

    def _give_up(self, problems: Sequence[str], exit_code: int) -> None:
        for problem in problems:
            log.error("%s", problem)
        self.environment.process_exit_code = exit_code
        gevent.spawn_later(0, _runner(self.environment).quit)

    def _on_spawning_complete(self, **_: object) -> None:
        if self.hands_out and self.run is not None and self._watch is None:
            self._tell(BEGINS)
            self._watch = gevent.spawn(self._until_over, self.run)

    def _on_test_stop(self, **_: object) -> None:
        runner = _runner(self.environment)
        if isinstance(runner, MasterRunner) and runner.worker_count == 0 and not self._over:
            log.error("the night was not played: no worker is left")
            self.environment.process_exit_code = self.environment.process_exit_code or 1
        if self._watch is not None and self._watch is not gevent.getcurrent():
            self._watch.kill(block=False)
        self._watch = None
        if self.run is not None and self.run.ledger is not None:
            self.run.ledger.close()

    def _on_worker_report(self, client_id: str, **_: object) -> None:
        self._heard.add(client_id)

    # Messages between processes

    def _on_claim(self, msg: Message, **_: object) -> None:
        kind = msg.data["kind"]
        number = self._claimed.get(kind, 0)
        self._claimed[kind] = number + 1
        answer = {"ask": msg.data["ask"], "number": number, "processes": self._senders()}
        _runner(self.environment).send_message(_DEALT, answer, msg.node_id)

    def _on_dealt(self, msg: Message, **_: object) -> None:
        if self.run is not None:
            self.run.share_pace(msg.data["processes"])  # before anything is sent: every user claims its part first
            self.run.dealt(msg.data["ask"], msg.data["number"])

    def _on_done(self, msg: Message, **_: object) -> None:
        self._done[msg.data["kind"]] = self._done.get(msg.data["kind"], 0) + 1

    def _on_phase(self, msg: Message, **_: object) -> None:
        if self.run is not None:
            self.run.share_pace(msg.data["processes"])
            self.run.reaches(msg.data["phase"])

    def _tell(self, phase: str) -> None:
        if self.run is not None:
            self.run.reaches(phase)
        runner = _runner(self.environment)
        if isinstance(runner, MasterRunner):
            runner.send_message(_PHASE, {"phase": phase, "processes": self._senders()})

    def _senders(self) -> int:
        """How many processes send requests, now or soon."""
        runner = _runner(self.environment)
        if not isinstance(runner, MasterRunner):
            return 1
        given = self.environment.parsed_options
        return max(1, runner.worker_count, given.expect_workers if given is not None else 1)

    # The end

    def _until_over(self, run: Run) -> None:
        """End the run when everybody has played their part, or when there is no more to be hoped for."""
        runner = _runner(self.environment)
        planned = time.monotonic() + run.length_s()
        names = {one.__name__ for one in self.environment.user_classes}
        expected = {kind: count for kind, count in run.counts().items() if kind in names}
        silence = Silence()
        while time.monotonic() < planned + _GRACE_S:
            gevent.sleep(0.25)
            if runner.state in (STATE_STOPPED, STATE_STOPPING, STATE_CLEANUP):
                return
            if silence.is_long(*_answers(self.environment), time.monotonic()):
                log.error("%s has not answered for %.0f s: the night ends here", run.options.target.url, GONE_S)
                self.environment.process_exit_code = 1
                break
            if time.monotonic() < planned and not self._are_done(expected, PLANNED):
                continue
            if self._are_done(expected, PLANNED) and self._has_planned(expected):
                if not run.closes.is_set():
                    self._tell(CLOSES)
                if self._are_done(expected, CLOSING):
                    break
            elif not self._has_planned(expected) and time.monotonic() >= planned:
                self._tell(CLOSES)
                break
        unplayed = {kind: expected[kind] - self._done.get(kind, 0) for kind in (*PLANNED, *CLOSING) if kind in expected}
        if any(unplayed.values()):
            told = ", ".join(f"{count} {kind}" for kind, count in unplayed.items() if count)
            log.error("the night is over, and not whole: unplayed parts of %s", told)
            self.environment.process_exit_code = 1
        self._heard.clear()
        gevent.sleep(1)  # readers and observers look once more
        self._hear_workers()
        self._over = True
        self._watch = None
        if self.runs_by_itself:
            gevent.spawn(runner.quit)
        else:
            gevent.spawn(runner.stop)

    def _hear_workers(self) -> None:
        """Wait for the figures of what was done: Locust gives a worker that it ends half a second to tell them."""
        runner = _runner(self.environment)
        until = time.monotonic() + _FIGURES_S
        while isinstance(runner, MasterRunner) and time.monotonic() < until:
            if self._heard >= {worker.id for worker in runner.clients.running}:
                return
            gevent.sleep(0.1)

    def _has_planned(self, expected: Mapping[str, int]) -> bool:
        return any(expected.get(kind) for kind in PLANNED)

    def _are_done(self, expected: Mapping[str, int], kinds: tuple[str, ...]) -> bool:
        return all(self._done.get(kind, 0) >= expected.get(kind, 0) for kind in kinds)


def _answers(environment: Environment) -> tuple[int, int]:
    """How many requests were answered, and how many were not, in all processes."""
    stats = environment.stats
    unanswered = sum(one.occurrences for one in stats.errors.values() if NO_ANSWER in str(one.error))
    return stats.total.num_requests - unanswered, unanswered


_coordinators: WeakKeyDictionary[Environment, Coordinator] = WeakKeyDictionary()


def open_coordinator(environment: Environment) -> Coordinator:
    """Called once a process, when Locust has its runner."""
    _coordinators[environment] = Coordinator(environment)
    return _coordinators[environment]


def run_of(environment: Environment) -> Run:
    """The run that users of this environment take part in."""
    run = _coordinators[environment].run
    assert run is not None  # `test_start` comes before the first user
    return run


def _runner(environment: Environment) -> Runner:
    assert environment.runner is not None  # it has one from `init` on
    return environment.runner
