"""A staffing plan in a few sentences, for a terminal and for the top of its page.

Reads nothing but what the search came to.
"""

from __future__ import annotations

import textwrap
from pathlib import Path

from simulation.experiment.findings import WIDTH
from simulation.experiment.staffing.confidence import CONFIDENCE
from simulation.experiment.staffing.operators import busiest
from simulation.experiment.staffing.result import Judged, StaffPlan
from simulation.experiment.staffing.search import Unmet
from simulation.experiment.staffing.targets import Part
from simulation.words import clock, duration, percent, plain, plural


def result_text(found: StaffPlan, folder: Path | None) -> str:
    """What a search came to, to read: a heading, the findings, where the report is, and the command that plays it."""
    nights = plural(found.search_nights, "night")
    lines = [f"{found.scenario.spec.title} ({found.scenario.name}): staffing, searched on {nights}, seed {found.seed}"]
    lines += [textwrap.fill(finding, WIDTH, initial_indent="- ", subsequent_indent="  ") for finding in findings(found)]
    if folder is not None:
        lines.append(f"The report: {folder / 'report.html'}")
        if not found.unmet:
            lines.append(f"The plan on nights that the search did not see:\n{found.command(folder)}")
    return "\n".join(lines)


def findings(found: StaffPlan) -> list[str]:
    """What the plan is and what it costs, each target and its proof, and what can be taken away."""
    if found.unmet:
        return [unmet_sentence(unmet) for unmet in found.unmet]
    waits = waits_sentence(found) if found.plan.stations is not None else []
    sentences = [*stations_sentence(found), *waits, *operators_sentence(found), dollars_sentence(found)]
    return [*sentences, *map(judged_sentence, found.judged), *removals_sentence(found)]


def unmet_sentence(unmet: Unmet) -> str:
    """Which target no plan meets, and how close it comes."""
    usual = unmet.target.goal.measure.shown(unmet.usual)
    plenty = "stations" if unmet.target.part is Part.CHECK_IN else "operators"
    return (
        f"No plan meets {unmet.target.text}: even with plenty of {plenty} it holds in "
        f"{unmet.held:,} of {unmet.nights:,} nights, and on the usual night {unmet.target.goal.measure.name} is "
        f"{usual}."
    )


def stations_sentence(found: StaffPlan) -> list[str]:
    """How many stations."""
    new, old = found.station_counts
    if found.plan.stations is None:
        return []
    said = [f"{plural(new, 'check-in station')} at {plural(len(found.scenario.roster), 'site')}, {_instead(new, old)}."]
    if found.shared_out is not None and found.left_over:
        total, kind = found.shared_out
        spare = f"{found.left_over:,} of the {plural(total, kind)}"
        are = "is" if found.left_over == 1 else "are"
        said.append(f"{spare} {are} left over: one more anywhere would take next to no waiting away.")
    return said


def waits_sentence(found: StaffPlan) -> list[str]:
    """What the stations do to people in line."""
    waits = found.waits
    if waits is None:
        return []
    (wait, before), (hours, hours_before) = waits.p90_ms, waits.hours_in_line
    one_in_ten = f"On the usual night one person in ten waits {plain(duration(wait))} or longer at check-in"
    everybody = f"all together people stand in line for {hours:,.0f} hours instead of {hours_before:,.0f}"
    return [f"{one_in_ten}, with the scenario's own stations {plain(duration(before))}; {everybody}."]


def operators_sentence(found: StaffPlan) -> list[str]:
    """How many operators, and when most of them."""
    rota = found.plan.rota
    if rota is None:
        return []
    new, old = (round(hours) for hours in found.operator_hours)
    if not any(rota):
        return [f"No operators at all, {_instead(new, old)}."]
    start, end, most = busiest(found.slots, rota)
    last = max(k for k, count in enumerate(rota) if count)
    sentence = (
        f"{plural(new, 'operator hour')}, {_instead(new, old)}: {plural(most, 'operator')} at most, from "
        f"{plain(clock(start))} to {plain(clock(end))}, and nobody on duty after "
        f"{plain(clock(found.slots[last].end))}."
    )
    if found.plan.lines is None:
        return [sentence]
    if found.plan.lines == 0:
        return [sentence, "A line for every caller: no limit that was tried is enough."]
    return [sentence, f"{plural(found.plan.lines, 'line')} {'is' if found.plan.lines == 1 else 'are'} enough."]


def dollars_sentence(found: StaffPlan) -> str:
    """What stations and operators cost."""
    new, old = found.dollars["total"]
    rates = f"${found.planner.station_dollars():,} a station and ${found.planner.hour_dollars():,} an operator hour"
    if new == old:
        return f"The plan costs ${new:,}, as much as the scenario's own, at {rates}."
    return f"The plan costs ${new:,} where the scenario's own costs ${old:,}, at {rates}."


def judged_sentence(judged: Judged) -> str:
    """Whether a target is proved."""
    shown = f"{plain(percent(judged.at_least))} of all nights ({plain(percent(CONFIDENCE))} confidence)"
    return (
        f"{judged.target.text}: holds in {judged.held:,} of {judged.nights:,} fresh nights, "
        f"{'so in at least' if judged.is_met else 'which shows only'} {shown}; "
        f"with the scenario's own plan in {judged.held_before:,} of {judged.nights_before:,}."
    )


def removals_sentence(found: StaffPlan) -> list[str]:
    """What became of the targets when something was taken away."""
    removals = found.found.removals
    if not removals:
        return []
    parts = [
        plural(sum(one.what == what for one in removals), f"sampled {what}")
        for what in ("station", "operator")
        if any(one.what == what for one in removals)
    ]
    spare = [one for one in removals if not one.breaks]
    if not spare:
        return [f"Nothing can go: without any one of {' and '.join(parts)} a target is missed on the nights searched."]
    return [f"Of {' and '.join(parts)}, {len(spare)} can go on the nights searched without missing a target."]


def _instead(new: int, old: int) -> str:
    if new == old:
        return "as many as in the scenario"
    return f"instead of {old:,}"
