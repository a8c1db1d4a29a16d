"""The page of a staffing plan: targets and their proof, operators by half hour, stations by size, dollars.

Takes what a search came to; knows nothing of how it was found.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from simulation.experiment.run_file import versions
from simulation.experiment.staffing import Judged, StaffPlan
from simulation.experiment.staffing.confidence import CONFIDENCE
from simulation.experiment.staffing.findings import findings, waits_sentence
from simulation.experiment.staffing.operators import busiest
from simulation.night.curves import SIZE_CLASSES
from simulation.night.summary import median
from simulation.randomness import Integers
from simulation.report import plot
from simulation.report.chapter import Chapter, KeyNumber, Panel, Story, Table
from simulation.report.checkin import size_names
from simulation.report.comparison import typeset
from simulation.report.pages import page as rendered
from simulation.report.plot import Sheet, color
from simulation.words import capitalized, clock, duration, number, percent, plural

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ROW = 58  # height of a target in the picture
LETTERS = 0.6 * plot.FONT  # width of a letter, on average
MOST_CHANGES = 20  # sites in the table of those whose stations change most
CONFIDENT = percent(CONFIDENCE)


def page(found: StaffPlan, folder: Path) -> str:
    """The page; equal input gives equal text. `folder` is where the plan's files lie, as it was given."""
    chapters = [] if found.unmet else [
        *_targets(found), *_operators(found), *_stations(found), _costs(found), *_removals(found), _use(found, folder),
    ]  # fmt: skip
    return rendered(
        "experiment.html",
        kind="Staffing plan",
        title=found.scenario.spec.title,
        story=_story(found),
        key_numbers=[] if found.unmet else _key_numbers(found),
        findings=[typeset(sentence) for sentence in findings(found)],
        basis=typeset(_basis(found)),
        chapters=chapters,
        command=found.repeats,
        facts=_facts(found),
    )


def _story(found: StaffPlan) -> str:
    if found.unmet:
        return "No plan meets these targets."
    if not found.targets:
        return "Stations shared out so that people wait as little as possible."
    return "The cheapest plan found that meets its targets." if found.is_met else "A plan that misses its targets."


def _basis(found: StaffPlan) -> str:
    searched = f"Searched on {plural(found.search_nights, 'night')}"
    if found.unmet:
        return f"{searched}."
    return (
        f"{searched}, all plans under the same luck; proved on {plural(found.proof_nights, 'other night')}. What is "
        f"shown of all nights is a one-sided {CONFIDENT} bound (Clopper and Pearson)."
    )


def _facts(found: StaffPlan) -> list[tuple[str, list[str]]]:
    return [
        ("scenario", [found.scenario.name]),
        ("targets", [target.text for target in found.targets]),
        ("seed", [str(found.seed)]),
        ("nights", [f"{found.search_nights} of the search, {found.proof_nights} of the proof"]),
        ("luck", ["every assumption held at its middle (--fixed)" if found.fixed else "assumptions drawn each night"]),
        ("versions", [f"{name} {version}" for name, version in sorted(versions().items())]),
    ]


def _key_numbers(found: StaffPlan) -> list[KeyNumber]:
    stations, hours, dollars = found.station_counts, found.operator_hours, found.dollars["total"]
    numbers = []
    if found.plan.stations is not None:
        numbers.append(KeyNumber(number(stations[0]), "check-in stations", _instead(number(stations[1]))))
    if found.plan.rota is not None:
        numbers.append(KeyNumber(number(round(hours[0])), "operator hours", _instead(number(round(hours[1])))))
    if not found.targets and found.waits:
        wait, before = map(duration, found.waits.p90_ms)
        numbers.append(KeyNumber(wait, "one person in ten waits longer at check-in", _instead(before)))
    numbers.append(KeyNumber(f"${dollars[0]:,}", "for stations and operators", _instead(f"${dollars[1]:,}")))
    if found.judged:
        weakest = min(found.judged, key=lambda judged: judged.at_least - judged.target.goal.share)
        asked = f"asked for: {percent(weakest.target.goal.share)}"
        numbers.append(KeyNumber(percent(weakest.at_least), "of nights at least meet the tightest target", asked))
    return numbers


def _instead(before: str) -> str:
    return f"in the scenario {before}"


# Targets


def _targets(found: StaffPlan) -> list[Chapter]:
    if not found.judged:
        return []
    sentence = _about_targets(found)
    text = (
        "A dot is the share of fresh nights in which the target holds, its line reaches down to what is shown of all "
        "nights; the mark is what was asked for, the cross the scenario's own plan."
    )
    said = "; ".join(
        f"{judged.target.text}: {percent(judged.held / judged.nights)}, at least {percent(judged.at_least)}"
        for judged in found.judged
    )

    def paint(sheet: Sheet) -> None:
        axes = sheet.axes(left=6, right=18, top=8, bottom=sheet.height - 46)
        axes.set_xlim(0, 1)
        ticks = (0, 0.25, 0.5, 0.75, 1)
        axes.set_xticks(ticks, [f"{tick * 100:.0f}" for tick in ticks])
        axes.set_xlabel("percent of nights in which it holds", labelpad=3)
        axes.set_ylim(len(found.judged), 0)
        axes.set_yticks([])
        for row, judged in enumerate(found.judged):
            _paint_target(sheet, axes, row, judged)

    height = 54 + ROW * len(found.judged)
    key: plot.Key = (("solid", "the plan"), ("cross", "the scenario's own plan"))
    picture = plot.draw(
        "targets-proof", sentence, f"Shares of nights: {said}.", paint, heights=(height, height), key=key
    )
    return [
        Chapter("targets", "Targets", [Panel("targets-proof", sentence, [text], picture, _table_of_targets(found))])
    ]


def _about_targets(found: StaffPlan) -> str:
    short = [judged for judged in found.judged if not judged.is_met]
    if short:
        several = plural(len(short), "target is", "targets are")
        return f"{several} not proved: {short[0].target.goal.measure.label} misses too often on fresh nights"
    least = min(judged.at_least for judged in found.judged)
    every = "The target holds" if len(found.judged) == 1 else "Each target holds"
    return f"{every} in at least {percent(least)} of nights, with {CONFIDENT} confidence"


def _paint_target(sheet: Sheet, axes: Axes, row: int, judged: Judged) -> None:
    share = judged.held / judged.nights
    line = row + 0.72
    fits = int((sheet.width - 24) / LETTERS)
    text = textwrap.shorten(judged.target.goal.text, fits, placeholder=" ...")
    axes.text(0, row + 0.34, text, color=color("ink"), va="center_baseline")
    axes.plot([judged.at_least, share], [line, line], color=color("forecast"), linewidth=3, clip_on=False)
    axes.plot([share], [line], marker="o", markersize=9, color=color("forecast"), clip_on=False, zorder=4)
    asked = judged.target.goal.share
    axes.plot([asked, asked], [line - 0.2, line + 0.2], color=color("ink"), linewidth=2, clip_on=False)
    axes.plot(
        [judged.held_before / judged.nights_before], [line], marker="x", markersize=9, markeredgewidth=2.5,
        color=color("alarm"), clip_on=False, zorder=5,
    )  # fmt: skip


def _table_of_targets(found: StaffPlan) -> Table:
    rows = [
        [
            typeset(judged.target.text), f"{number(judged.held)} of {number(judged.nights)}", percent(judged.at_least),
            typeset(judged.target.goal.measure.shown(judged.usual)),
        ]
        for judged in found.judged
    ]  # fmt: skip
    head = ["Target", "holds in", "so at least", "usual night"]
    return Table("targets-table", "Targets on fresh nights", head, rows, usual=3)


def _table_of_values(found: StaffPlan) -> Table:
    rows = []
    for judged in found.judged:
        shown = judged.target.goal.measure.shown
        values = [shown(judged.usual), f"{shown(judged.low)} to {shown(judged.high)}", shown(judged.usual_before)]
        held = f"{number(judged.held_before)} of {number(judged.nights_before)}"
        rows.append([judged.target.goal.measure.name, *map(typeset, values), held])
    head = ["Measure", "usual night", "9 nights in 10", "usual night in the scenario", "target holds in the scenario"]
    return Table("targets-values", "What the targets measure, in the plan and in the scenario", head, rows, usual=1)


# Operators


def _operators(found: StaffPlan) -> list[Chapter]:
    rota = found.plan.rota
    if rota is None:
        return []
    before, slots = found.planner.rota(), found.slots
    load = found.found.offered.mean if found.found.offered else (0.0,) * len(slots)
    sentence = _about_operators(found)
    last = max((k for k in range(len(slots)) if rota[k] or load[k] >= 0.5), default=len(slots) - 1)
    shown = range(min(len(slots), last + 3))
    at = [slots[k].start for k in shown] + [slots[shown[-1]].end]

    def steps(values: Sequence[float]) -> list[float]:
        return [values[k] for k in shown] + [values[shown[-1]]]

    def paint(sheet: Sheet) -> None:
        axes = sheet.axes(left=46, right=20, top=30, bottom=sheet.height - 46)
        sheet.clock_axis(axes, at[0], at[-1])
        sheet.heading(axes, "Operators on duty")
        plot.scale(axes, max(*steps(rota), *steps(before), *steps(load)))
        axes.fill_between(at, steps(load), color=color("fan-inner"), linewidth=0, step="post")
        axes.plot(at, steps(before), color=color("second"), linewidth=2, linestyle=(0, (5, 2)), drawstyle="steps-post")
        axes.plot(at, steps(rota), color=color("forecast"), linewidth=2.4, drawstyle="steps-post")

    description = (
        "Steps of operators on duty by half hour, the plan and the scenario, over the operators who would be busy if "
        f"nobody ever waited. The plan has {plural(max(rota), 'operator')} at most. The table has every half hour."
    )
    key: plot.Key = (
        ("line", "the plan"), ("dashed", "the scenario"), ("inner", "busy if nobody ever waited (mean of nights)"),
    )  # fmt: skip
    picture = plot.draw("operators-rota", sentence, description, paint, heights=(300, 280), key=key)
    rows = [
        [clock(slot.start, brief=True), number(rota[k]), _tenths(before[k]), _tenths(load[k])]
        for k, slot in enumerate(slots)
        if rota[k] or before[k] or load[k] >= 0.05
    ]
    head = ["Half hour from", "the plan", "the scenario", "busy if nobody waited"]
    table = Table("operators-table", "Operators by half hour", head, rows, usual=1)
    text = [
        "No operator can leave any half hour: on the nights of the search a target would be missed too often."
        if all(one.breaks for one in found.found.removals if one.what == "operator")
        else "Some half hours have an operator to spare."
    ]
    if found.plan.lines:
        text.append(f"{capitalized(plural(found.plan.lines, 'telephone line'))} are enough, waiting calls included.")
    panel = Panel("operators-rota", sentence, text, picture, more=[table])
    return [Chapter("operators", "Operators", [panel])]


def _about_operators(found: StaffPlan) -> str:
    rota = found.plan.rota or ()
    if not any(rota):
        return "The targets are met without any operator"
    start, end, most = busiest(found.slots, rota)
    last = max(k for k, count in enumerate(rota) if count)
    after = found.slots[last].end
    rest = "" if last == len(rota) - 1 else f"; after {clock(after)} no target needs any"
    return f"Most operators are needed from {clock(start)} to {clock(end)}: {number(most)}{rest}"


def _tenths(value: float) -> str:
    return f"{value:,.1f}".removesuffix(".0")


# Stations


def _stations(found: StaffPlan) -> list[Chapter]:
    if found.plan.stations is None:
        return []
    planned, before = np.array(found.plan.stations), found.planner.stations()
    people = found.scenario.roster.attendance
    classes = np.searchsorted(SIZE_CLASSES, people, "left")
    groups = [(name, np.flatnonzero(classes == k)) for k, name in enumerate(size_names())]
    groups = [(name, sites) for name, sites in groups if len(sites)]
    pairs = [(name, int(planned[sites].sum()), int(before[sites].sum())) for name, sites in groups]
    sentence = _about_stations(found, pairs)
    said = ", ".join(f"{name} people: {number(new)} instead of {number(old)}" for name, new, old in pairs)

    def paint(sheet: Sheet) -> None:
        _paint_pairs(sheet, "Check-in stations in precincts by people expected", pairs, number)

    height = 38 + 46 * len(pairs)
    key: plot.Key = (("solid", "the plan"), ("inner", "the scenario"))
    picture = plot.draw("stations-sizes", sentence, f"Stations: {said}.", paint, heights=(height, height), key=key)
    rows = []
    for (name, sites), (_, new, old) in zip(groups, pairs, strict=True):
        wait, wait_before = (_wait(rows_of, size_names().index(name)) for rows_of in (found.rows, found.rows_before))
        rows.append(
            [
                name, number(len(sites)), number(new), number(old), _tenths(people[sites].sum() / max(1, new)),
                _range(planned[sites]), wait, wait_before,
            ]
        )  # fmt: skip
    head = [
        "People expected", "sites", "stations", "in the scenario", "people a station", "stations a site",
        "one person in ten waits longer than", "in the scenario",
    ]  # fmt: skip
    table = Table("stations-table", "Stations and waits by size, usual night", head, rows, usual=2)
    panels = [Panel("stations-sizes", sentence, [_about_waiting(found)], picture, more=[table, _changes(found)])]
    return [Chapter("stations", "Stations", panels)]


def _about_stations(found: StaffPlan, pairs: Sequence[tuple[str, int, int]]) -> str:
    new, old = found.station_counts
    sites = len(found.scenario.roster)
    if new == old:
        return (
            f"{capitalized(plural(new, 'station'))}, as many as in the scenario, save the most waiting where they stand"
        )
    verb = "fewer" if new < old else "more"
    name, *_ = max(pairs, key=lambda pair: abs(pair[1] - pair[2]))
    where = f"; the difference is largest in precincts with {name} people" if len(pairs) > 1 else ""
    return (
        f"{number(new)} check-in stations at {plural(sites, 'site')} are {number(abs(new - old))} {verb} than in the "
        f"scenario{where}"
    )


def _about_waiting(found: StaffPlan) -> str:
    longest = max((row["wait_p99_ms"] for row in found.rows), default=0)
    worst = f"On the worst of the fresh nights one person in a hundred waits longer than {duration(longest)}."
    return typeset(" ".join([*waits_sentence(found), worst]))


def _changes(found: StaffPlan) -> Table:
    roster = found.scenario.roster
    planned, before = found.plan.stations or (), found.planner.stations().tolist()
    order = sorted(range(len(planned)), key=lambda k: (-abs(planned[k] - before[k]), roster.ids[k]))
    rows = [
        [roster.ids[k], number(int(roster.attendance[k])), number(planned[k]), number(before[k])]
        for k in order[:MOST_CHANGES]
    ]
    head = ["Site", "people expected", "stations", "in the scenario"]
    return Table("stations-changes", "Sites whose stations change most", head, rows, usual=2)


def _wait(rows: Sequence[Mapping[str, Any]], size: int) -> str:
    waits = [row["wait_p90_by_size_ms"][size] for row in rows]
    known = [wait for wait in waits if wait >= 0]
    return duration(median(known)) if known else ""


def _range(values: Integers) -> str:
    low, high = int(values.min()), int(values.max())
    return str(low) if low == high else f"{low} to {high}"


# Dollars, removals, use


def _costs(found: StaffPlan) -> Chapter:
    dollars = found.dollars
    new, old = dollars["total"]
    if new == old:
        sentence = f"The plan costs ${new:,}, as much as the scenario's own"
    else:
        verb = "less" if new < old else "more"
        sentence = f"The plan costs ${new:,}: ${abs(new - old):,} {verb} than the scenario's own"
    pairs = [(name, *dollars[name]) for name in ("stations", "operators")]

    def paint(sheet: Sheet) -> None:
        _paint_pairs(sheet, "Dollars", pairs, lambda amount: f"${amount:,}")

    said = ", ".join(f"{name} ${new:,} instead of ${old:,}" for name, new, old in pairs)
    key: plot.Key = (("solid", "the plan"), ("inner", "the scenario"))
    picture = plot.draw("costs-pairs", sentence, f"Dollars: {said}.", paint, heights=(130, 130), key=key)
    stations, hours = found.station_counts, found.operator_hours
    rows = [
        ["check-in stations", number(stations[0]), number(stations[1])],
        ["operator hours", number(round(hours[0])), number(round(hours[1]))],
        *[[f"dollars, {name}", f"${new:,}", f"${old:,}"] for name, (new, old) in dollars.items()],
    ]
    note = (
        f"Assumed: ${found.planner.station_dollars():,} for a station and ${found.planner.hour_dollars():,} for an "
        "hour of an operator, the middle of section costs of the scenario."
    )
    table = Table("costs-table", "What the plan takes", ["", "the plan", "the scenario"], rows, usual=1)
    return Chapter("costs", "Costs", [Panel("costs-pairs", sentence, [], picture, table, note=note)])


def _removals(found: StaffPlan) -> list[Chapter]:
    removals = found.found.removals
    if not removals:
        return []
    spare = sum(not one.breaks for one in removals)
    tried = plural(len(removals), "station or operator", "stations and operators")
    sentence = (
        f"Nothing can go: of {tried} taken away one at a time, each breaks a target"
        if not spare
        else f"Of {tried} taken away one at a time, {number(spare)} can go without breaking a target"
    )
    rows = [[one.what, one.where, "; ".join(one.breaks) or "nothing"] for one in removals]
    table = Table("removals-table", "One less", ["What", "where", "breaks"], rows, text_columns=(0, 1, 2))
    text = ["Each was played on the nights of the search, with all else as in the plan."]
    return [Chapter("removals", "Minimum", [Panel("removals-panel", sentence, text, table=table)])]


def _use(found: StaffPlan, folder: Path) -> Chapter:
    told = "Plays the plan on nights that neither the search nor the proof has seen, and writes the usual report."
    story = Story("The plan as a night", "Command", told, found.command(folder))
    what = "two files" if len(found.files()) > 1 else "a file"
    return Chapter("use", "Use", [Panel("use-panel", f"The plan is {what} that every night takes", stories=[story])])


def _paint_pairs(
    sheet: Sheet, heading: str, pairs: Sequence[tuple[str, int, int]], shown: Callable[[int], str]
) -> None:
    """The plan above the scenario, a pair of bars a row, each with its number."""
    axes = sheet.axes(left=84, right=84, top=34, bottom=sheet.height - 2)
    axes.set_xlim(0, max(1, *(max(new, old) for _, new, old in pairs)))
    axes.set_xticks([])
    axes.grid(visible=False)
    axes.set_ylim(len(pairs) - 0.5, -0.5)
    axes.set_yticks(range(len(pairs)), [name for name, _, _ in pairs])
    axes.spines["left"].set_visible(True)
    axes.spines["bottom"].set_visible(False)
    sheet.heading(axes, heading)
    for row, (_, new, old) in enumerate(pairs):
        for value, shift, shade, ink in ((new, -0.19, "forecast", "forecast"), (old, 0.19, "fan-inner", "muted")):
            axes.barh(row + shift, value, height=0.36, color=color(shade), linewidth=0)
            axes.annotate(
                shown(value), (value, row + shift), xytext=(8, 0), textcoords="offset points", va="center_baseline",
                weight="bold" if ink == "forecast" else "normal", color=color(ink),
            )  # fmt: skip
