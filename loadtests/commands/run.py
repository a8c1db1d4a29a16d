"""A run that makes load: what was asked for, the job and the folder that it makes, what is said and kept in the end.

Knows nothing of what is measured: `breaking` searches; `playing` replays a night, a stampede, hours.
"""

from __future__ import annotations

import json
import shlex
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import click

from loadtests.faults import planned
from loadtests.generator import live
from loadtests.harness import Job
from loadtests.objectives import Objective, parse_objectives, parse_requirement
from loadtests.report import junit, run_folder
from loadtests.target.guards import allowed
from loadtests.workload import Peak, peak
from simulation.errors import InputError

if TYPE_CHECKING:
    from simulation.scenario import Scenario

_Value = TypeVar("_Value")


@dataclass(frozen=True, kw_only=True)
class Asked:
    """The command line, as far as all kinds of runs share it."""

    kind: ClassVar[str]

    name: str
    target: str | None
    mapping: Path | None
    target_class: str | None
    pins: Path | None
    roster: Path | None
    i_may_load: str | None
    ca: Path | None
    settle_s: float
    as_json: bool
    objectives: tuple[str, ...]
    faults: tuple[str, ...]
    database: str | None
    seed: int
    workers: int
    junit: Path | None
    prometheus: str | None
    out: Path | None
    force: bool


class Run:
    """One run. InputError lists all that is wrong with what was asked for, before anything is begun."""

    def __init__(
        self, asked: Asked, requirements: Sequence[str] = (), problems: Sequence[str] = (), **job: Any
    ) -> None:
        """`requirements` and `job` are what only some kinds are told; `problems`, what they found wrong with it."""
        from simulation.scenario import load

        found = list(problems)

        def read(work: Callable[[], _Value], option: str = "") -> _Value | None:
            try:
                return work()
            except InputError as error:
                found.extend(f"{option}{problem}" for problem in error.problems)
                return None

        self.asked = asked
        self.scenario: Scenario = load(asked.name, {}, asked.roster)
        texts, where = asked.objectives, "--objective: "
        if not texts and self.scenario.spec.backend.objectives:
            texts, where = tuple(self.scenario.spec.backend.objectives), f"{asked.name}: backend.objectives: "
        objectives = read(lambda: parse_objectives(texts), where)
        required = [read(partial(parse_requirement, text), "--require: ") for text in requirements]
        plan = read(lambda: planned(asked.faults, self.scenario))
        read(lambda: live.tell_children(asked.prometheus))
        read(partial(_check_written, asked.junit))
        url = asked.target
        target = None if url is None else read(lambda: allowed(url, asked.i_may_load))
        for option in ("mapping", "target_class", "pins", "i_may_load", "ca") if url is None else ():
            if getattr(asked, option) is not None:
                name = option.replace("_", "-")
                found.append(f"--{name}: is about a --target, and none is named: our own backend is started")
        if found:
            raise InputError(found)
        if target is not None and target.in_the_clear:
            told(f"{target.url}: PINs and tokens go over the network in the clear")
        self.objectives: list[Objective] = objectives or []
        self.requirements = [one for one in required if one is not None]
        self.folder: Path | None = None
        if asked.out is not None or not asked.as_json:
            self.folder = asked.out or run_folder.usual_folder(asked.kind, asked.name, asked.seed, asked.force)
        place = run_folder.begin(self.folder, asked.force) if self.folder is not None else None
        self.job = Job(
            scenario=self.scenario, name=asked.name, peak=Peak({}, {}), objectives=self.objectives, seed=asked.seed,
            workers=asked.workers, target=target, database=asked.database, mapping=asked.mapping,
            target_class=asked.target_class, pins=asked.pins, ca=asked.ca, settle_s=asked.settle_s, plan=plan or None,
            ledgers=None if place is None else place / run_folder.LEDGER_FOLDER, **job,
        )  # fmt: skip

    def night(self, readers: int) -> Peak:
        """What one caucus night is."""
        told(f"playing nights of {self.scenario.spec.title}: what one caucus night is")
        return peak(self.scenario, seed=self.asked.seed, readers=readers)

    @contextmanager
    def under_way(self) -> Iterator[None]:
        """SIGTERM ends what was started here, as Ctrl-C does; DIR.partial goes where nothing came of it."""

        def end(number: int, _: object) -> None:
            sys.exit(128 + number)

        before = signal.signal(signal.SIGTERM, end)
        try:
            yield
        except BaseException:
            if self.folder is not None:
                run_folder.forget(self.folder)
            raise
        finally:
            signal.signal(signal.SIGTERM, before)

    def about(self, target: str, **more: Any) -> run_folder.About:
        """What the report says of the run itself; the command is shown without passwords."""
        command = " ".join(["caucus", *_without_password(sys.argv[1:])])
        return run_folder.About.of(
            self.scenario, self.asked.kind, self.asked.seed, command, target,
            objectives=tuple(one.text for one in self.objectives),
            requirements=tuple(one.text for one in self.requirements),
            **more,
        )  # fmt: skip

    def answer(self, result: Any, sentences: Sequence[str], checks: Sequence[junit.Check]) -> int:
        """Say what was found, and what of it was missed; the exit code."""
        if self.asked.as_json:
            click.echo(json.dumps(result, ensure_ascii=False, default=str))
        else:
            for sentence in sentences:
                click.echo(sentence)
        for check in checks:
            if not check.holds:
                told(f"missed {check.group}: {check.name} ({check.says})")
        return junit.exit_code(checks)

    def keep(self, write: Callable[[Path], None], checks: Sequence[junit.Check]) -> None:
        """The folder, which `write` fills, and the file of --junit."""
        if self.folder is not None:
            write(self.folder)
            told(f"report: {self.folder / run_folder.REPORT_FILE}")
        if self.asked.junit is not None:
            junit.write_junit(self.asked.junit, f"caucus loadtest {self.asked.kind} {self.asked.name}", checks)


def _check_written(path: Path | None) -> None:
    """InputError where the file of --junit could not be written when all is over; nothing of the trial stays."""
    if path is None:
        return
    try:
        if path.is_file() or path.is_dir():
            path.open("ab").close()
        elif not path.exists():
            there = next(folder for folder in path.absolute().parents if folder.exists())
            tempfile.TemporaryFile(dir=there).close()
    except OSError as error:
        raise InputError(f"--junit {path}: cannot be written: {error.strerror}") from None


def _without_password(words: Sequence[str]) -> Iterator[str]:
    """The words of a command line, quoted; of --database, what may be shown."""
    from loadtests.database_url import shown_text

    before = ""
    for word in words:
        option, equals, value = word.partition("=")
        if before == "--database":
            yield _quoted(shown_text(word))
        elif option == "--database" and equals:
            yield f"--database={_quoted(shown_text(value))}"
        else:
            yield shlex.quote(word)
        before = word


def _quoted(url: str) -> str:
    return url if "***" in url else shlex.quote(url)  # what is hidden cannot be pasted anyway


def told(text: str) -> None:
    """Progress."""
    click.echo(text, err=True)
