"""For plain Locust: `locust -f loadtests/locustfile.py --host http://127.0.0.1:8000 --pins pins.csv`.

A night's users; see `loadtests.users.options` for what can be said of them. The run ends when the night is played.
"""

from __future__ import annotations

import logging
from typing import Any

from locust import events
from locust.argument_parser import LocustArgumentParser
from locust.env import Environment
from locust.runners import WorkerRunner

from loadtests.target.sender import NoAnswerError
from loadtests.users.chair import PrecinctChair
from loadtests.users.clerk import HotlineClerk
from loadtests.users.intruder import Intruder
from loadtests.users.observer import CampaignObserver
from loadtests.users.options import add_options
from loadtests.users.reader import PublicReader
from loadtests.users.reviewer import Reviewer
from loadtests.users.run import open_coordinator
from simulation.errors import InputError

__all__ = ["CampaignObserver", "HotlineClerk", "Intruder", "PrecinctChair", "PublicReader", "Reviewer"]

log = logging.getLogger("caucus")


BACKEND = "http://127.0.0.1:8000"  # where `caucus backend` listens


@events.init_command_line_parser.add_listener  # type: ignore[untyped-decorator]  # Locust's events have no types
def _on_parser(parser: LocustArgumentParser, **_: Any) -> None:
    add_options(parser)
    # Locust listens on every address unless told otherwise; here --web-host and --master-bind-host have to say so
    parser.set_defaults(web_host="127.0.0.1", master_bind_host="127.0.0.1")


@events.init.add_listener  # type: ignore[untyped-decorator]  # as above
def _on_init(environment: Environment, **_: Any) -> None:
    """Play the night once before anybody waits for it; a worker hears its options from the master, later."""
    coordinator = open_coordinator(environment)
    given = environment.parsed_options
    if isinstance(environment.runner, WorkerRunner) or given is None:
        return
    environment.host = environment.host or given.host or BACKEND
    try:
        coordinator.prepare()
        coordinator.set_counts()
    except InputError as error:
        for problem in error.problems:
            log.error("%s", problem)
        if coordinator.runs_by_itself:
            coordinator.end(2)  # else Locust's page lets one mend it
        return
    if coordinator.runs_by_itself:
        try:
            coordinator.probe()
        except NoAnswerError as error:
            log.error("%s", error)
            coordinator.end(1)
