"""What a run of the Locust users is told: options of Locust's command line and page, or the environment.

Knows nothing of Locust beyond its parser, and opens no connection.
"""

from __future__ import annotations

from argparse import Namespace
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from loadtests.target.guards import Target, allowed, checked_run_id
from simulation.errors import InputError
from simulation.randomness import MAX_SEED
from simulation.scenario.values import parse_clock

if TYPE_CHECKING:
    from locust.argument_parser import LocustArgumentParser

_SEVERAL = 2  # people that keying twice, and releasing, take
_INTRUDERS = 2


@dataclass(frozen=True, slots=True)
class Options:
    """One run. Two equal ones play the same night against the same target."""

    target: Target
    scenario: str
    seed: int
    night: int
    speed: float  # how many times faster than the evening itself
    until_ms: int  # what is due later is due then
    pins: Path | None
    clerks: int  # these five: how many users of a kind
    reviewers: int
    readers: int
    observers: int
    intruders: int
    intruder_rate: float  # attempts a second of each
    small_photos: bool
    ledger: Path | None
    mapping: Path | None
    target_class: str | None
    ca: Path | None
    run_id: str


def add_options(parser: LocustArgumentParser) -> None:
    """Locust's command line and page learn our options; each can come from the environment as CAUCUS_NAME."""

    def option(name: str, **more: object) -> None:
        variable = "CAUCUS_" + name.removeprefix("--").upper().replace("-", "_")
        parser.add_argument(name, env_var=variable, **more)

    option("--scenario", default="iowa-2020", help="Library night or scenario file; the backend serves the same.")
    option("--seed", type=int, default=1, help="The night's luck: equal seeds, equal nights.")
    option("--night", type=int, default=0, help="Which night of that luck.")
    option("--speed", type=float, default=60.0, help="How many times faster than the evening itself it is played.")
    option("--until", default="+1d 02:00", help='What is due later (results handed in) is due then: "+1d 02:00".')
    option("--pins", default="", help="The list of `caucus backend pins`: user,role,site,pin,totp_secret.")
    option("--clerks", type=int, default=0, help="Hotline clerks; 0: as many as the list has, 20 at most.")
    option("--reviewers", type=int, default=0, help="Reviewers; 0: as many as the list has, 4 at most.")
    option("--readers", type=int, default=20, help="Readers of the public results.")
    option("--observers", type=int, default=1, help="Campaigns that poll and check the public results.")
    option("--intruders", type=int, default=-1, help=f"Intruders; -1: {_INTRUDERS} against this machine, else none.")
    option("--intruder-rate", type=float, default=2.0, help="Attempts a second of each intruder.")
    option("--small-photos", action="store_true", default=False, help="Photos of kilobytes instead of 1-5 MB.")
    option("--ledger", default="", help="A folder: each process keeps what was acknowledged in a file there.")
    option("--mapping", default="", help="TOML mapping of another backend; without it, ours.")
    option("--target-class", default="", help="module:Class that speaks to another backend.")
    option("--i-may-load", default="", help="The target's host, where it is not this machine.")
    option("--ca", default="", help="Who vouches for the target's certificate (PEM); without it, the system's list.")
    option("--run-id", default="", help="Sent with every request; made up where it is not given.")


def read_options(given: Namespace, run_id: str) -> Options:
    """What Locust's parser (or page) was told; InputError lists what cannot be. `run_id` where none is given."""
    problems: list[str] = []

    def at_least(name: str, least: float, most: float = float("inf")) -> None:
        value = getattr(given, name)
        if not least <= value <= most:
            upto = "" if most == float("inf") else f" to {most:g}"
            problems.append(f"--{name.replace('_', '-')} {value:g}: expected {least:g}{upto or ' or more'}")

    at_least("seed", 0, MAX_SEED)
    at_least("night", 0, MAX_SEED)
    at_least("speed", 0.1, 100_000)
    at_least("intruder_rate", 0.01, 10_000)
    at_least("intruders", -1)
    for name in ("clerks", "reviewers", "readers", "observers"):
        at_least(name, 0)
    if given.clerks == 1:
        problems.append(f"--clerks 1: expected {_SEVERAL} or more: every result is keyed by two people")
    if given.reviewers == 1:
        problems.append(f"--reviewers 1: expected {_SEVERAL} or more: two people release a record")
    until_ms = 0
    try:
        until_ms = parse_clock(given.until)
    except ValueError as error:
        problems.append(f"--until {given.until!r}: expected {error}")
    target = None
    if not given.host:
        problems.append("--host is missing: the backend's address, such as http://127.0.0.1:8000")
    else:
        try:
            target = allowed(given.host, given.i_may_load or None)
        except InputError as error:
            problems.extend(problem.replace("--target", "--host", 1) for problem in error.problems)
    if given.run_id:
        try:
            run_id = checked_run_id(given.run_id)
        except InputError as error:
            problems.extend(error.problems)
    if problems or target is None:
        raise InputError(problems)
    intruders = given.intruders
    if intruders < 0:
        intruders = _INTRUDERS if target.loopback else 0
    return Options(
        target=target,
        scenario=given.scenario,
        seed=given.seed,
        night=given.night,
        speed=given.speed,
        until_ms=until_ms,
        pins=_path(given.pins),
        clerks=given.clerks,
        reviewers=given.reviewers,
        readers=given.readers,
        observers=given.observers,
        intruders=intruders,
        intruder_rate=given.intruder_rate,
        small_photos=given.small_photos,
        ledger=_path(given.ledger),
        mapping=_path(given.mapping),
        target_class=given.target_class or None,
        ca=_path(given.ca),
        run_id=run_id,
    )


def _path(text: str) -> Path | None:
    return Path(text) if text else None
