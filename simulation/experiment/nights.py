"""Many nights of one scenario: played in processes, kept as they finish, added up at the end.

Order and number of workers change nothing, because every night draws its luck by its own address.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simulation.errors import InputError
from simulation.experiment.folder import (
    KEPT_FILES,
    NIGHTS_FILE,
    PDF_FILE,
    PRECINCTS_FILE,
    REPORT_FILE,
    SUMMARY_FILE,
    Folder,
)
from simulation.experiment.packed import Row
from simulation.experiment.precincts import over_all_nights, worst_nights
from simulation.experiment.precision import Reached, checkpoints, reached_by, stops_at
from simulation.experiment.run_file import ENGINES, RUN_FILE, run_table, run_text, uses_roster_file, versions
from simulation.experiment.session import Session, session
from simulation.experiment.store import (
    KEEP_EVENTS,
    KEEP_PRECINCTS,
    KEEPS,
    NightStore,
    encoded,
    read_rows,
    write_frame,
    write_rows,
)
from simulation.progress import Progress
from simulation.scenario import Scenario
from simulation.words import plural
from simulation.workers import Job

if TYPE_CHECKING:
    import polars as pl

    from simulation.experiment.measures import Precision

MOST_NIGHTS = 1_000_000
SEEDS = 1 << 32

PLAYING = "playing nights"
WRITING = "writing the report"


@dataclass(frozen=True)
class Nights:
    """Simulated nights: `rows` are the rows of nights.parquet, in order of night."""

    scenario: Scenario
    seed: int
    rows: Sequence[Row] = field(repr=False)
    over_nights: pl.DataFrame = field(repr=False)
    fixed: bool = False
    notices: tuple[str, ...] = ()  # what the reader should know about how they came about, a sentence each
    reached: Reached | None = None  # where a precision was asked for

    def __len__(self) -> int:
        """How many nights."""
        return len(self.rows)

    def summary(self) -> dict[str, Any]:
        """The shape of summary.json."""
        from simulation.night.summary import summarize

        return summarize(self.scenario, self.seed, self.rows)

    def precincts(self) -> pl.DataFrame:
        """One row a precinct over all nights, as in precincts.parquet (see `experiment.precincts`)."""
        return self.over_nights


def run_nights(
    scenario: Scenario,
    nights: int,
    seed: int,
    *,
    fixed: bool = False,
    engine: str = ENGINES[0],
    precision: Precision | None = None,
    workers: int | None = None,
    cluster: str | None = None,
    progress: Progress | None = None,
    folder: Path | None = None,
    resume: bool = False,
    force: bool = False,
    keep: Collection[str] = (),
    pdf: bool = False,
) -> Nights:
    """Play nights 0 .. `nights` - 1 in `workers` processes (None: one a core; 1: in this process), or on a `cluster`.

    With `precision`, only as many of them as it takes (see `experiment.precision`). With `folder`, everything is
    written there (`keep` adds "precincts" or "events", see `experiment.folder`, `pdf` the report as a PDF), a run that
    ended early goes on with `resume`, and `force` replaces another run. Raises InputError before anything is written,
    and UnfinishedError where the run ended before it was whole.
    """
    _check(nights, seed, workers, keep, engine)
    _ = scenario.roster  # expanded once, not in every worker
    notices = _other_versions(scenario)
    place = None
    if folder is not None:
        if pdf:
            from simulation.report.pdf import check as check_pdf

            check_pdf()  # not after hours of nights
        place = Folder.at(
            folder,
            run_text(scenario, run_table(scenario, seed, nights, fixed, engine)),
            roster=scenario.roster.csv().encode() if uses_roster_file(scenario) else None,
            asked=(*(KEPT_FILES[kept] for kept in sorted(keep)), *([PDF_FILE] if pdf else ())),
            may_grow=("run.nights",),
        )
        if place.is_whole(force, free=("run.nights",) if precision else ()):
            return _there_already(place, scenario, seed, fixed, precision, nights, notices)
        if resume and not force:
            _check_kept(place, nights)

    def kept() -> str:
        done = len(NightStore(place.store, KEEP_EVENTS in keep).finished(nights)) if place else 0
        return f"{done} nights" if done and precision else f"{done} of {nights} nights" if done else ""

    say = progress or (lambda done, of, now: None)
    with session(place, workers=workers, cluster=cluster, resume=resume, force=force, say=say, kept=kept) as work:
        store = NightStore(work.store, KEEP_EVENTS in keep)
        play = _Playing(work, store, _PlayNight(scenario, seed, fixed, engine, store.with_events))
        reached = None
        if precision is None:
            play.until(nights)
        else:
            reached = play.until_known(precision, nights)
        played = reached.nights if reached else nights
        if place is not None:
            say(played, played, WRITING)
        found = Nights(
            scenario, seed, store.rows(played), over_all_nights(store.precincts(played)), fixed, notices, reached
        )
        if place is not None:
            run = run_table(scenario, seed, played, fixed, engine)
            place.finish(lambda whole: _write(whole, found, store, run, keep, pdf), force, run_text(scenario, run))
    return found


@dataclass(frozen=True)
class _PlayNight:
    """The task of a worker: play a night, with all that may be kept of it."""

    scenario: Scenario
    seed: int
    fixed: bool
    engine: str
    log: bool

    def __call__(self, night: int) -> bytes:
        from simulation.night import play_night

        played = play_night(self.scenario, self.seed, night, fixed=self.fixed, engine=self.engine, log=self.log)
        return encoded(played, with_events=self.log)


@dataclass
class _Playing:
    """Nights of one run, from the first on."""

    work: Session
    store: NightStore
    task: _PlayNight

    def until(self, nights: int) -> None:
        """Play what the store does not hold yet of so many nights."""
        here = set(self.store.finished(nights))
        missing = [night for night in range(nights) if night not in here]
        jobs = [Job(self.task, night) for night in missing]
        self.work.do(jobs, lambda place, made: self.store.write(missing[place], made), PLAYING, len(here))

    def until_known(self, precision: Precision, most: int) -> Reached:
        """Play until the measure's mean is known well enough, or `most` nights."""
        values: list[float | None] = []
        for nights in checkpoints(most):
            self.until(nights)
            values += [precision.measure.value(row) for row in self.store.rows(nights, since=len(values))]
            reached = reached_by(precision, values)
            if reached.decided:
                break
        return reached


def _write(
    folder: Path, found: Nights, store: NightStore, run: dict[str, Any], keep: Collection[str], pdf: bool
) -> None:
    """All files of a run."""
    from simulation.report import render

    nights = len(found)
    summary = found.summary()
    write_rows(folder / NIGHTS_FILE, found.rows)
    write_frame(folder / PRECINCTS_FILE, found.precincts())
    if KEEP_PRECINCTS in keep:
        write_frame(folder / KEPT_FILES[KEEP_PRECINCTS], store.precincts(nights))
    if KEEP_EVENTS in keep:
        write_frame(folder / KEPT_FILES[KEEP_EVENTS], store.events(nights))
    (folder / SUMMARY_FILE).write_text(json.dumps(summary, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    worst = worst_nights(store.precincts(nights))
    said = (found.reached.text(),) if found.reached else ()
    report = render(found.scenario, found.rows, found.precincts(), summary, run, worst=worst, said=said)
    (folder / REPORT_FILE).write_text(report, encoding="utf-8")
    if pdf:
        from simulation.report.pdf import as_pdf

        (folder / PDF_FILE).write_bytes(as_pdf(report))


def _check_kept(place: Folder, nights: int) -> None:
    """InputError where nights are finished that the run would delete unread."""
    beyond = NightStore(place.store, with_events=False).beyond(nights)
    if beyond:
        raise InputError(
            f"{place.shown_partial}: holds {plural(beyond, 'finished night')} more than -n {nights:,} takes, which "
            "would be deleted: go on with the -n that it began with, choose another folder with --out, or start over "
            "with --force"
        )


def _there_already(
    place: Folder,
    scenario: Scenario,
    seed: int,
    fixed: bool,
    precision: Precision | None,
    most: int,
    notices: tuple[str, ...],
) -> Nights:
    """The run that is in the folder; InputError where it has other nights than the precision takes."""
    import polars as pl

    rows = read_rows(place.path / NIGHTS_FILE)
    reached = None
    if precision is not None:
        reached = stops_at(precision, rows, most)
        if reached is None or reached.nights != len(rows):
            raise place.holds(f"{len(rows)} nights of this run, where {precision.text} does not stop")
    notices += (f"{place.shown} holds this very run already, so nothing was played; --force plays it again.",)
    precincts = pl.read_parquet(place.path / PRECINCTS_FILE)
    return Nights(scenario, seed, rows, precincts, fixed, notices, reached)


def _other_versions(scenario: Scenario) -> tuple[str, ...]:
    """A sentence where the scenario is the run.toml of a run that other versions played."""
    written = scenario.spec.run.versions if scenario.spec.run else {}
    changed = [
        f"{name} {written.get(name)} (now {now})" for name, now in versions().items() if written.get(name, now) != now
    ]
    if not changed:
        return ()
    return (f"{RUN_FILE} was written with {', '.join(changed)}: results may differ from that run's.",)


def _check(nights: int, seed: int, workers: int | None, keep: Collection[str], engine: str) -> None:
    problems = []
    if not 1 <= nights <= MOST_NIGHTS:
        problems.append(f"nights = {nights}: expected a whole number from 1 to {MOST_NIGHTS:,}")
    if not 0 <= seed < SEEDS:
        problems.append(f"seed = {seed}: expected a whole number from 0 to {SEEDS - 1}")
    if workers is not None and workers < 1:
        problems.append(f"workers = {workers}: expected a whole number, 1 or more")
    if engine not in ENGINES:
        problems.append(f"engine = {engine!r}: expected one of {', '.join(ENGINES)}")
    problems += [f"keep = {name!r}: expected one of {', '.join(KEEPS)}" for name in sorted(set(keep) - set(KEEPS))]
    if problems:
        raise InputError(problems)
