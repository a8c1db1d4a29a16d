"""A staffing plan with its proof: searched, played on nights that the search never saw, and added up.

Knows nothing of pictures or of the command line.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from simulation.errors import InputError
from simulation.experiment.folder import NIGHTS_FILE
from simulation.experiment.packed import Row
from simulation.experiment.run_file import scenario_table
from simulation.experiment.staffing.confidence import CONFIDENCE, fewest_nights, lower_bound, nights_for
from simulation.experiment.staffing.operators import Slot, slots_of
from simulation.experiment.staffing.plan import OPERATORS_FILE, STATIONS_FILE, Plan, Planner
from simulation.experiment.staffing.search import PLENTY, Found, Search, Unmet, allowed, usual_value
from simulation.experiment.staffing.stations import volunteers_for
from simulation.experiment.staffing.targets import Part, Target, parse_targets, unanswered
from simulation.experiment.store import rows_frame
from simulation.experiment.work import Unit, open_work
from simulation.night.summary import median, quantile
from simulation.progress import Progress
from simulation.scenario import Scenario
from simulation.scenario.values import HOUR, format_clock

PROOF_NIGHTS = 4  # as many as the search has
PROOF_FROM = 100_000  # their numbers: no search comes so far
ROUNDS = 4  # of search and proof, until the proof holds
_PLANS = ("planned", "scenario")
_HOW_CLOSE = 20  # nights that are played to say how close a target is that cannot be met


@dataclass(frozen=True)
class Judged:
    """A target on fresh nights."""

    target: Target
    held: int
    nights: int
    held_before: int  # with the scenario's own plan ...
    nights_before: int  # ... of so many
    usual: float | None  # the median night's value
    low: float | None  # nine nights in ten lie between these; None: never
    high: float | None
    usual_before: float | None

    @property
    def at_least(self) -> float:
        """The share of all nights that is shown with confidence."""
        return lower_bound(self.held, self.nights, ROUNDS)

    @property
    def is_met(self) -> bool:
        """Whether that is what was asked for. That all nights hold cannot be shown: here none missed."""
        share = self.target.goal.share
        return self.held == self.nights if share >= 1 else self.at_least >= share


@dataclass(frozen=True)
class Named:
    """What names a scenario on a command line."""

    name: str
    settings: tuple[str, ...] = ()  # of --set
    roster: Path | None = None

    def words(self, but: Sequence[str] = ()) -> list[str]:
        """The arguments, without settings of the keys `but`; "roster" is that of --roster."""
        kept = [text for text in self.settings if text.partition("=")[0].strip() not in but]
        roster = ["--roster", str(self.roster)] if self.roster is not None and "roster" not in but else []
        return [self.name, *roster, *(part for text in kept for part in ("--set", text))]


@dataclass(frozen=True)
class Waits:
    """People in line at check-in on the usual night: in the plan, and in the scenario."""

    p90_ms: tuple[int, int]  # one person in ten waits longer
    hours_in_line: tuple[float, float]  # all together


@dataclass(frozen=True)
class StaffPlan:
    """What a staffing search came to."""

    planner: Planner  # the scenario as it was
    plan: Plan
    targets: Sequence[Target]
    judged: Sequence[Judged]
    found: Found = field(repr=False)
    seed: int
    fixed: bool
    search_nights: int
    proof_from: int  # the number of the first of ...
    proof_nights: int
    rows: Sequence[Row] = field(repr=False)  # the plan's fresh nights
    rows_before: Sequence[Row] = field(repr=False)  # the first of these with the scenario's own plan
    named: Named = Named("NAME")
    repeats: str = ""  # the command that repeats the search
    shared_out: tuple[int, str] | None = None  # how many "station"s, or "volunteer"s, were to be given out

    @property
    def unmet(self) -> Sequence[Unmet]:
        """The targets that no plan meets."""
        return self.found.unmet

    @property
    def is_met(self) -> bool:
        """Whether the plan is proved to meet every target."""
        return not self.unmet and all(judged.is_met for judged in self.judged)

    @property
    def scenario(self) -> Scenario:
        """The scenario as it was."""
        return self.planner.scenario

    @property
    def slots(self) -> Sequence[Slot]:
        """The half hours in which operators are planned."""
        return self.planner.slots

    @property
    def station_counts(self) -> tuple[int, int]:
        """Stations of the plan, and of the scenario."""
        before = int(self.planner.stations().sum())
        return before if self.plan.stations is None else sum(self.plan.stations), before

    @property
    def operator_hours(self) -> tuple[float, float]:
        """Hours on duty in the plan, and in the scenario."""
        before = sum(count * slot.hours for count, slot in zip(self.planner.rota(), self.slots, strict=True))
        if self.plan.rota is None:
            return before, before
        return sum(count * slot.hours for count, slot in zip(self.plan.rota, self.slots, strict=True)), before

    @property
    def dollars(self) -> dict[str, tuple[int, int]]:
        """What stations and operators cost, in the plan and in the scenario."""
        stations, hours = self.station_counts, self.operator_hours
        station, hour = self.planner.station_dollars(), self.planner.hour_dollars()
        parts = {
            "stations": (stations[0] * station, stations[1] * station),
            "operators": (round(hours[0] * hour), round(hours[1] * hour)),
        }
        return parts | {"total": (sum(new for new, _ in parts.values()), sum(old for _, old in parts.values()))}

    @property
    def waits(self) -> Waits | None:
        """People in line with the plan, and with the scenario's own: on the fresh nights that both were played on."""
        if not self.rows_before:
            return None
        both = self.rows[: len(self.rows_before)], self.rows_before
        wait, before = (median([row["wait_p90_ms"] for row in rows]) for rows in both)
        hours, hours_before = (median([row["wait_total_ms"] for row in rows]) / HOUR for rows in both)
        return Waits((wait, before), (hours, hours_before))

    @property
    def left_over(self) -> int:
        """How many of those that were to be shared out would take no waiting away anywhere."""
        if self.shared_out is None or self.plan.stations is None:
            return 0
        total, kind = self.shared_out
        return total - sum(volunteers_for(k) if kind == "volunteer" else k for k in self.plan.stations)

    def command(self, folder: Path) -> str:
        """The command that plays the plan, on nights that the search did not see."""
        planned: dict[str, list[str]] = {}
        if self.plan.stations is not None:
            planned["roster"] = ["--roster", str(folder / STATIONS_FILE)]
            if self.scenario.spec.checkin.stations is not None:
                planned["checkin.stations"] = ["--set", "checkin.stations=none"]
        if self.plan.rota is not None:
            planned["hotline.operators"] = ["--set", f"hotline.operators=@{folder / OPERATORS_FILE}"]
        if self.plan.lines is not None:
            planned["hotline.lines"] = ["--set", f"hotline.lines={self.plan.lines or 'unlimited'}"]
        words = [
            "caucus",
            "simulate",
            *self.named.words(but=[*planned]),
            *(word for one in planned.values() for word in one),
        ]
        return shlex.join([*words, "--seed", str((self.seed + 1) % 2**32), *(["--fixed"] if self.fixed else [])])

    def files(self) -> dict[str, str]:
        """The plan as files that `caucus simulate` takes."""
        found = {}
        if self.plan.stations is not None:
            found[STATIONS_FILE] = self.planner.with_stations(self.plan.stations).scenario.roster.csv()
        if self.plan.rota is not None:
            found[OPERATORS_FILE] = self.planner.operators_csv(self.plan.rota)
        return found

    def summary(self, folder: Path | None = None) -> dict[str, Any]:
        """The shape of summary.json."""
        stations, hours, waits = self.station_counts, self.operator_hours, self.waits
        slots = zip(self.slots, self.plan.rota or self.planner.rota(), self.planner.rota(), strict=True)
        offered = self.found.offered.mean if self.found.offered else (None,) * len(self.slots)
        return {
            "scenario": self.scenario.name,
            "title": self.scenario.spec.title,
            "seed": self.seed,
            "nights": {"search": self.search_nights, "proof": self.proof_nights, "proof_from": self.proof_from},
            "confidence": CONFIDENCE,
            "met": self.is_met if self.targets else None,  # nothing was asked for
            "targets": [_judged_json(judged) for judged in self.judged],
            "unmet": [
                {
                    "target": unmet.target.text,
                    "nights_held_with_plenty": unmet.held,
                    "nights": unmet.nights,
                    "usual_with_plenty": unmet.usual,
                    "usual_shown": unmet.target.goal.measure.shown(unmet.usual),
                }
                for unmet in self.unmet
            ],
            "stations": {
                "planned": stations[0],
                "scenario": stations[1],
                "left_over": self.left_over,
                "volunteers": None if self.plan.stations is None else sum(map(volunteers_for, self.plan.stations)),
                "sites": len(self.scenario.roster),
            },
            "waits": waits
            and {
                "wait_p90_ms": dict(zip(_PLANS, waits.p90_ms, strict=True)),
                "hours_in_line": {name: round(h, 1) for name, h in zip(_PLANS, waits.hours_in_line, strict=True)},
            },
            "operators": {
                "hours": round(hours[0], 2),
                "scenario_hours": round(hours[1], 2),
                "most": max(self.plan.rota or self.planner.rota(), default=0),
                "slots": [
                    {
                        "from": format_clock(slot.start),
                        "to": format_clock(slot.end),
                        "count": count,
                        "scenario": round(before, 2),
                        "offered_load": None if load is None else round(load, 2),
                    }
                    for (slot, count, before), load in zip(slots, offered, strict=True)
                ],
            },
            "lines": self.plan.lines,
            "dollars": {name: {"planned": new, "scenario": old} for name, (new, old) in self.dollars.items()},
            "removals": [
                {"what": one.what, "where": one.where, "breaks": list(one.breaks)} for one in self.found.removals
            ],
            "command": None if folder is None else self.command(folder),
        }


def plan_staff(
    scenario: Scenario,
    targets: Sequence[str],
    *,
    seed: int,
    stations: int | None = None,
    volunteers: int | None = None,
    lines: bool = False,
    nights: int | None = None,
    prove: int = 10,
    fixed: bool = False,
    engine: str = "compiled",
    workers: int | None = None,
    cluster: str | None = None,
    out: Path | None = None,
    resume: bool = False,
    force: bool = False,
    progress: Progress | None = None,
    named: Named = Named("NAME"),
    command: str = "",
) -> StaffPlan:
    """The cheapest plan found that meets the targets, or that shares out so many stations or volunteers.

    `lines` looks for the fewest lines too (it does where the scenario's are limited), `nights` are those of the search,
    `prove` is how many stations and operators are taken away to see what breaks. With `out`, everything is written
    there; `named` names the scenario on a command line, `command` repeats the search. Raises
    InputError before anything is played, and UnfinishedError where the work ends early.
    """
    wanted = _checked(scenario, targets, stations, volunteers, nights)
    shares = [target.goal.share for target in wanted]
    nights = nights or nights_for(shares)
    shifts = scenario.spec.hotline.operators
    needs_slots = any(target.part in (Part.HOTLINE, Part.HELD) for target in wanted)
    planner = Planner(scenario, slots_of(shifts) if shifts or needs_slots else [])
    settings = {
        "targets": [target.text for target in wanted], "nights": nights, "prove": prove, "lines": lines,
        **({"stations": stations} if stations else {}), **({"volunteers": volunteers} if volunteers else {}),
    }  # fmt: skip
    with open_work(
        kind="staff", wanted={"staff": settings, "scenario": scenario_table(scenario)}, out=out, seed=seed,
        fixed=fixed, engine=engine, workers=workers, cluster=cluster, resume=resume, force=force, progress=progress,
    ) as work:  # fmt: skip
        search = Search(
            work, planner, wanted, allowed(wanted, nights), nights, seed, fixed, engine, stations or volunteers,
            volunteers is not None, lines,
        )  # fmt: skip
        shared = (total, "volunteer" if volunteers else "station") if (total := stations or volunteers) else None
        found = replace(_proved(search, prove), named=named, repeats=command, shared_out=shared)
        if out is not None:
            from simulation.report.staffing import page

            files: dict[str, Any] = {**(found.files() if not found.unmet else {})}
            files["summary.json"] = found.summary(out)
            if found.rows:
                files[NIGHTS_FILE] = rows_frame(found.rows)  # the plan's fresh nights
            files["report.html"] = page(found, out)
            work.finish(files)
    return found


def _checked(
    scenario: Scenario, texts: Sequence[str], stations: int | None, volunteers: int | None, nights: int | None
) -> list[Target]:
    problems: list[str] = []
    targets: list[Target] = []
    try:
        targets = parse_targets(texts, scenario.spec.clock.call_to_order)
    except InputError as error:
        problems += error.problems
    total = stations or volunteers
    if not texts and total is None:
        problems.append(
            'nothing to plan for: expected a --target such as "reported@23:00 >= 90 % in 90 % of nights", or '
            "--stations or --volunteers to share out"
        )
    if stations is not None and volunteers is not None:
        problems.append("--stations and --volunteers: expected one of the two")
    name = "--stations" if stations is not None else "--volunteers"
    if total is not None and total < len(scenario.roster):
        problems.append(f"{name} {total}: expected {len(scenario.roster):,} or more, one for each site")
    for target in targets:
        share = target.goal.share
        if nights is not None and share < 1 and nights < fewest_nights(share):
            problems.append(
                f"--nights {nights}: too few to show anything about {share * 100:g} % of nights "
                f"(--target {target.text}): expected {fewest_nights(share)} or more"
            )
    if problems:
        raise InputError(problems)
    return targets


def _proved(search: Search, prove: int) -> StaffPlan:
    """Search, and play the plan on fresh nights; where those miss too often, search again and ask for more."""
    first = PROOF_FROM
    for number in range(ROUNDS):
        found = search.run(prove)
        plan = _played(search, found, first)
        first += plan.proof_nights
        short = [k for k, judged in enumerate(plan.judged) if not judged.is_met and search.decides(judged.target)]
        if found.unmet or not short or number == ROUNDS - 1:
            break
        if all(search.misses[k] == 0 for k in short):
            more = 2 * search.nights
            search = replace(search, nights=more, misses=allowed(search.targets, more), near=found.plan.rota)
        else:
            misses = [max(0, most - max(1, most // 3)) if k in short else most for k, most in enumerate(search.misses)]
            search = replace(search, misses=misses, near=found.plan.rota)
    return plan


def _played(search: Search, found: Found, first: int) -> StaffPlan:
    """The plan on fresh nights, beside the scenario's own."""
    planner, work = search.planner, search.work
    count = PROOF_NIGHTS * search.nights
    nights = range(first, first + count)
    if found.unmet:
        return StaffPlan(
            planner, Plan(), search.targets, [], _how_close(search, found), search.seed, search.fixed, search.nights,
            first, 0, [], [],
        )  # fmt: skip
    planned = planner.with_stations(found.plan.stations)
    scenario = planned.with_hotline(found.plan.rota, found.plan.lines)
    rows = work.rows([Unit(scenario, night) for night in nights], "proving the plan on fresh nights")
    own = nights[: search.nights]
    before = work.rows([Unit(planner.scenario, night) for night in own], "playing the scenario's own plan")
    closed = [1 << 60] * count
    if any(target.part is Part.HOTLINE for target in search.targets):
        plenty = planned.with_hotline((PLENTY,) * len(planner.slots), 0)
        with_plenty = work.rows([Unit(plenty, night) for night in nights], "playing plenty of operators")
        closed = [unanswered(row) for row in with_plenty]
    judged = [_judge(target, rows, before, closed) for target in search.targets]
    return StaffPlan(
        planner, found.plan, search.targets, judged, found, search.seed, search.fixed, search.nights, first,
        count, rows, before,
    )  # fmt: skip


def _judge(target: Target, rows: Sequence[Row], before: Sequence[Row], closed: Sequence[int]) -> Judged:
    def held(nights: Sequence[Row]) -> int:
        return sum(target.holds(row, calls) for row, calls in zip(nights, closed, strict=False))  # the first of them

    never = 1 << 60
    values = [never if value is None else value for value in map(target.goal.measure.value, rows)]
    low, high = (quantile(values, percent) for percent in (5, 95))  # type: ignore[arg-type]  # floats are ordered too
    return Judged(
        target,
        held(rows),
        len(rows),
        held(before),
        len(before),
        usual_value(target, rows),
        None if low == never else low,
        None if high == never else high,
        usual_value(target, before),
    )


def _how_close(search: Search, found: Found) -> Found:
    """What the measures of check-in targets that no plan meets come to with plenty of stations."""
    from simulation.experiment.staffing.stations import MOST_STATIONS

    if not any(one.target.part is Part.CHECK_IN for one in found.unmet):
        return found
    sites = len(search.planner.scenario.roster)
    plenty = search.planner.with_stations([MOST_STATIONS] * sites).scenario
    rows = search.work.rows([Unit(plenty, night) for night in range(min(_HOW_CLOSE, search.nights))], "how close?")
    unmet = [
        replace(one, usual=usual_value(one.target, rows)) if one.target.part is Part.CHECK_IN else one
        for one in found.unmet
    ]
    return replace(found, unmet=unmet)


def _judged_json(judged: Judged) -> dict[str, Any]:
    measure = judged.target.goal.measure
    return {
        "target": judged.target.text,
        "depends_on": judged.target.part.value,
        "share_asked": judged.target.goal.share,
        "nights": judged.nights,
        "nights_held": judged.held,
        "share_held": judged.held / judged.nights,
        "share_at_least": round(judged.at_least, 6),
        "met": judged.is_met,
        "unit": measure.unit,
        "value": {"p05": judged.low, "p50": judged.usual, "p95": judged.high},
        "usual_shown": measure.shown(judged.usual),
        "scenario": {"nights": judged.nights_before, "nights_held": judged.held_before, "p50": judged.usual_before},
    }
