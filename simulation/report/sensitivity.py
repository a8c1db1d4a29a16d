"""The page of a sensitivity study: what to find out next, then what each measure depends on.

Takes what the study came to; knows nothing of how it is found out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from simulation.experiment.run_file import versions
from simulation.experiment.sensitivity import LUCK, OfMeasure, Sensitivity
from simulation.report import plot
from simulation.report.chapter import Chapter, KeyNumber, Panel, Table
from simulation.report.pages import page as rendered
from simulation.report.plot import Sheet, color
from simulation.words import DASH, JOINED, THIN, number, percent, plain, plural, spelled

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LEAST = 0.005  # a share that shows in a picture
SHOWN = 10  # assumptions in a picture; the table has all
NAME, BAR, GAP = 20, 16, 14  # heights in a picture: a name, its bar, what follows
NUMBER = 118  # of the width of a picture: the numbers beside a bar
APART = 15  # of a picture's units between two labels


def page(found: Sensitivity, command: str, engine: str) -> str:
    """The page; equal input gives equal text. `command` repeats it; `engine` played its nights."""
    basis = (
        f"From {number(found.nights)} simulated nights. Uncertainty is the variance over nights in which every "
        f"assumption is drawn from its range; a share of it comes with its 95{THIN}% interval."
    )
    chapters = [_next(found), *(_of_measure(found, of) for of in found.of_measures), *_unused(found)]
    return rendered(
        "experiment.html",
        kind="What the forecast depends on",
        title=found.scenario.spec.title,
        story=headline(found),
        key_numbers=_key_numbers(found),
        findings=[
            *filter(None, [found.caveat().replace("-n ", f"-n{JOINED}")]),
            *(chapter.panels[0].finding for chapter in chapters),
        ],
        basis=basis,
        chapters=chapters,
        command=command,
        facts=_facts(found, engine),
    )


def _facts(found: Sensitivity, engine: str) -> list[tuple[str, list[str]]]:
    plan = found.plan
    screening = f"Morris: {plan.trajectories} trajectories over all assumptions, each in a night of its own"
    swings = (
        f"each assumption at its low and high end, the rest at their middle, in the same {plural(plan.swings, 'night')}"
    )
    indices = (
        f"Sobol: a Saltelli sample of {plan.base} over the {plural(len(found.studied), 'assumption')} that screening "
        "finds to matter, all others together, and the luck of the night; intervals by bootstrap"
    )
    return [
        ("scenario", [found.scenario.name]),
        ("seed", [str(found.seed)]),
        ("screening", [screening]),
        ("end to end", [swings]),
        ("indices", [indices]),
        ("precincts", [found.scenario.roster.source]),
        ("engine", [engine]),
        ("versions", [f"{name} {version}" for name, version in sorted(versions().items())]),
    ]


def headline(found: Sensitivity) -> str:
    """What matters, in a sentence or two."""
    moved = len(found.assumptions) - len(found.unused)
    text = (
        f"The scenario has {plural(len(found.assumptions), 'number')} that nobody knows exactly; "
        f"{spelled(moved) if moved else 'none'} of them {'moves' if moved == 1 else 'move'} what is measured here."
    )
    ranked = found.ranked()
    if ranked:
        text += f" To know more about the night, find out {ranked[0].key} first: {_lower(ranked[0].meaning)}."
    return text


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]


def _key_numbers(found: Sensitivity) -> list[KeyNumber]:
    numbers = [KeyNumber(number(len(found.assumptions)), "assumptions are ranges")]
    of, by_key = found.of_measures[0], {a.key: _lower(a.meaning) for a in found.assumptions}
    for name in [key for key in of.by_index() if of.share(key)[0] > 0][:2]:
        what = "is luck of the night" if name == LUCK else f"is {by_key.get(name, name)}"
        numbers.append(
            KeyNumber(_share(of, name), f"of the uncertainty about {of.measure.name} {what}", _interval(of, name))
        )
    if LUCK in of.indices and LUCK not in of.by_index()[:2]:
        numbers.append(KeyNumber(_share(of, LUCK), "of it is luck, which no research removes", _interval(of, LUCK)))
    return numbers


def _percent(share: float) -> str:
    return percent(round(min(1.0, max(0.0, share)), 2))


def _share(of: OfMeasure, name: str) -> str:
    return _percent(of.share(name)[0])


def _between(value: float, error: float) -> str:
    low, high = (round(100 * min(1.0, max(0.0, value + side * error))) for side in (-1, 1))
    return f"{low}{DASH}{high}{THIN}%" if low != high else f"{low}{THIN}%"


def _interval(of: OfMeasure, name: str) -> str:
    return _between(*of.share(name))


# What to find out


def _next(found: Sensitivity) -> Chapter:
    ranked = found.ranked()
    if ranked:
        best = max(
            (of for of in found.of_measures if ranked[0].key in of.indices),
            key=lambda of: of.indices[ranked[0].key].first,
        )
        sentence = (
            f"Find out {ranked[0].key} first: it is {_share(best, ranked[0].key)} of the uncertainty about "
            f"{best.measure.name}"
        )
    else:
        sentence = "No single assumption stands out as worth finding out"
    head = ["Find out", "range", *(of.measure.name for of in found.of_measures)]
    rows = [[a.key, _whole(a.range), *(_cell(of, a.key) for of in found.of_measures)] for a in ranked]
    rows.append(["luck of the night", "", *(_luck(of) for of in found.of_measures)])
    table = Table(
        "next-table", "Share of the uncertainty that knowing it would remove", head, rows, text_columns=(0, 1)
    )
    about = [[a.key, a.meaning, a.source] for a in ranked]
    head = ["Assumption", "what it is", "source"]
    more = [
        Table("about-table", "What they are, and where their ranges come from", head, about, text_columns=(0, 1, 2))
    ]
    note = (
        "The share of luck holds what it does together with assumptions: what would be left if every one of them were "
        "known."
    )
    return Chapter(
        "next",
        "Find out",
        [Panel("next-panel", sentence, [found.advice()], table=table, more=more if ranked else (), note=note)],
    )


def _cell(of: OfMeasure, name: str) -> str:
    return _share(of, name) if name in of.indices else ""


def _luck(of: OfMeasure) -> str:
    return _cell(of, LUCK)


# One measure


def _whole(text: str) -> str:
    """A value or a range with no end of a line inside a value."""
    return text.replace(" ", JOINED).replace(f"{JOINED}to{JOINED}", f" to{JOINED}")


def _of_measure(found: Sensitivity, of: OfMeasure) -> Chapter:
    name = "m" + "".join(letter if letter.isalnum() else "-" for letter in of.measure.name)
    panels = [_indices(name, of)] if of.indices else []
    if of.by_swing():
        panels += [_swings(found, name, of), _screening(name, of)]
    if not panels:
        panels = [
            Panel(
                f"{name}-still", f"Nothing moves {of.measure.name}: it is {of.measure.shown(of.usual)} in every night"
            )
        ]
    label = of.measure.name.replace("@", "@\N{ZERO WIDTH SPACE}").replace("_", "_\N{ZERO WIDTH SPACE}")
    return Chapter(name, label, panels)


def _about(of: OfMeasure) -> list[str]:
    text = f"{of.measure.meaning} Over all nights: {of.measure.shown(of.usual)}"
    if of.low != of.high:
        text += f", in nine of ten between {of.measure.shown(of.low)} and {of.measure.shown(of.high)}"
    said = [f"{text}."]
    if of.never:
        said.append(
            f"In {plural(of.never, 'night')} of the sample it never happened; the worst there is stands for it."
        )
    return said


def _indices(name: str, of: OfMeasure) -> Panel:
    ordered = of.by_index()
    first = ordered[0]
    what = "the luck of the night" if first == LUCK else first
    sentence = f"{_share(of, first)} of the uncertainty about {of.measure.name} is {what}"
    if first != LUCK:
        sentence += f", {_share(of, LUCK)} luck"
    said = ", ".join(f"{key} {_share(of, key)}" for key in ordered[:SHOWN])
    rows = [[f"{key}, with others" if key == LUCK else key, _share(of, key), _interval(of, key)] for key in ordered]
    totals = [
        [key, _percent(of.indices[key].total), _between(of.indices[key].total, of.indices[key].total_error)]
        for key in ordered
    ]
    seen = [key for key in ordered if max(of.indices[key].first, of.indices[key].total) > LEAST] or ordered[:1]
    head = ["Factor", "alone", "interval"]
    together = ["Factor", "with others", "interval"]
    more = [Table(f"{name}-totals-table", "Together with others (total Sobol indices)", together, totals, usual=1)]
    table = Table(f"{name}-indices-table", "Share of the uncertainty (Sobol indices)", head, rows, usual=1)

    def paint(sheet: Sheet) -> None:
        axes, unit = _canvas(sheet), (sheet.width - 64)
        for k, key in enumerate(seen):
            index, y = of.indices[key], k * (NAME + BAR + GAP)
            axes.text(0, y + 14, key, va="baseline", color=color("ink"))
            total, alone = (min(1.0, max(0.0, share)) * unit for share in (index.total, min(index.first, index.total)))
            axes.barh(y + NAME + BAR / 2, total, height=BAR, color=color("fan-inner"), linewidth=0)
            axes.barh(y + NAME + BAR / 2, alone, height=BAR, color=color("forecast"), linewidth=0)
            share, error = of.share(key)
            ends = [min(1.0, max(0.0, share + side * error)) * unit for side in (-1, 1)]
            axes.plot(ends, [y + NAME + BAR / 2] * 2, color=color("ink"), linewidth=1.5)
            at = max(total, ends[1]) + 8
            axes.text(
                at,
                y + NAME + BAR / 2,
                plain(_share(of, key)),
                va="center_baseline",
                weight="bold",
                color=color("forecast"),
            )

    height = len(seen) * (NAME + BAR + GAP)
    key: plot.Key = (("solid", "alone: what knowing it removes"), ("inner", "together with others"))
    picture = plot.draw(
        f"{name}-indices", sentence, f"Bars of shares: {said}.", paint, heights=(height, height), key=key
    )
    return Panel(
        f"{name}-indices",
        sentence,
        _about(of),
        picture,
        table,
        more,
        f"The thin line, and the interval: 95{THIN}% of bootstrap samples. The number beside a bar is what knowing "
        "that assumption alone would remove; of luck it is its share together with others, which would be left if "
        "every assumption were known.",
    )


def _swings(found: Sensitivity, name: str, of: OfMeasure) -> Panel:
    by_key = {a.key: a for a in found.assumptions}
    ordered = of.by_swing()
    first = ordered[0]
    about, effect = by_key[first], of.effects[first]
    ends = f"from {of.measure.shown(effect.at_low)} to {of.measure.shown(effect.at_high)}"
    sentence = f"{of.measure.name} goes {ends} as {first} goes from {about.range}"
    if of.measure.shown(effect.at_low) == of.measure.shown(effect.at_high):
        sentence = f"No assumption alone moves {of.measure.name} by much"
    rows = [
        [
            f"{key}, {_whole(by_key[key].range)}",
            *(_whole(of.measure.shown(end)) for end in (effect.at_low, effect.at_high)),
        ]
        for key, effect in ((key, of.effects[key]) for key in ordered)
    ]
    head = ["Assumption", "low end", "high end"]
    table = Table(f"{name}-swings-table", "From the low to the high end of each range", head, rows)
    seen = [key for key in ordered if _shows(of, key)][:SHOWN] or ordered[:1]
    farthest = max(abs(end - of.middle) for key in seen for end in (of.effects[key].at_low, of.effects[key].at_high))

    def paint(sheet: Sheet) -> None:
        axes = _canvas(sheet)
        center, unit = sheet.width / 2, (sheet.width / 2 - NUMBER) / (farthest or 1)
        axes.plot([center, center], [0, sheet.height], color=color("baseline"), linewidth=1)
        for k, key in enumerate(seen):
            effect, y = of.effects[key], k * (NAME + BAR + GAP)
            axes.text(0, y + 14, _cut(key, sheet) if sheet.narrow else f"{key}: {by_key[key].range}", va="baseline",
                      color=color("ink"), backgroundcolor="none")  # fmt: skip
            _tornado(axes, of, (effect.at_low, effect.at_high), center, unit, y + NAME + BAR / 2)

    height = len(seen) * (NAME + BAR + GAP)
    said = ", ".join(f"{key} {of.measure.difference(of.effects[key].swing)}" for key in seen)
    description = f"Bars around {of.measure.shown(of.middle)}, from the low to the high end of each assumption: {said}."
    key: plot.Key = (("inner", "at the low end of its range"), ("solid", "at the high end"))
    picture = plot.draw(f"{name}-swings", sentence, description, paint, heights=(height, height), key=key)
    note = f"The line in the middle: {of.measure.shown(of.middle)}, with every assumption at its middle."
    return Panel(f"{name}-swings", sentence, [], picture, table, note=note)


def _shows(of: OfMeasure, key: str) -> bool:
    """Whether a swing differs from nothing as people read it."""
    ends = of.effects[key].at_low, of.effects[key].at_high
    return any(of.measure.difference(end - of.middle) != of.measure.difference(0) for end in ends)


def _tornado(axes: Axes, of: OfMeasure, ends: tuple[float, float], center: float, unit: float, y: float) -> None:
    """A bar from the middle to either end, the number of each on its own side of the line."""
    offsets = [(end - of.middle) * unit for end in ends]
    same_side = offsets[0] * offsets[1] > 0
    order = sorted(range(2), key=lambda k: -abs(offsets[k]))  # the shorter over the longer, where both go one way
    for k in order:
        fill = color("forecast" if k else "fan-inner")
        axes.barh(y, offsets[k], left=center, height=BAR, color=fill, linewidth=0)
    for k in order:
        text = of.measure.difference(ends[k] - of.middle)
        at, right = center + offsets[k], (offsets[k] or -offsets[1 - k] or k) > 0
        if same_side and k == order[1]:
            at, right = center, not right
        axes.text(at + (8 if right else -8), y, text, va="center_baseline", ha="left" if right else "right",
                  weight="bold" if k else "normal", color=color("forecast" if k else "muted"))  # fmt: skip


def _screening(name: str, of: OfMeasure) -> Panel:
    ordered = sorted((k for k in of.effects if of.effects[k].mu_star), key=lambda k: (-of.effects[k].mu_star, k))
    if not ordered:
        return Panel(f"{name}-screening", f"Screening finds nothing that moves {of.measure.name}")
    depends = [key for key in ordered[:SHOWN] if of.effects[key].sigma > of.effects[key].mu_star]
    if of.effects[ordered[0]].sigma <= of.effects[ordered[0]].mu_star / 2:
        sentence = f"{ordered[0]} moves {of.measure.name} much the same way wherever the others stand"
    else:
        sentence = f"How much {ordered[0]} moves {of.measure.name} depends on where the others stand"
    text = []
    if depends:
        text.append(
            f"Above the dashed line an effect depends more on the others than it is large: {', '.join(depends)}."
        )
    size = of.measure.difference
    rows = [
        [
            f"{k + 1}{JOINED}{key}",
            *(_unsigned(size(s)) for s in (of.effects[key].mu_star, of.effects[key].sigma)),
        ]
        for k, key in enumerate(ordered)
    ]
    table = Table(
        f"{name}-screening-table", "Effect of the whole range (Morris)", ["Assumption", "mean size", "spread"], rows
    )

    def paint(sheet: Sheet) -> None:
        axes = sheet.axes(left=96, right=34, top=30, bottom=sheet.height - 46)
        most = max(max(of.effects[key].mu_star, of.effects[key].sigma) for key in ordered) * 1.08
        axes.set_xlim(0, most)
        axes.set_ylim(0, most)
        ticks = [most / 1.08 * share for share in ((0, 0.5, 1) if sheet.narrow else (0, 0.25, 0.5, 0.75, 1))]
        axes.set_xticks(ticks[1:], [_unsigned(size(tick)) for tick in ticks[1:]])
        axes.set_yticks(ticks, [_unsigned(size(tick)) for tick in ticks])
        axes.set_xlabel("mean size of the effect (mu*)", labelpad=3)
        sheet.heading(axes, "Spread of the effect (sigma)")
        axes.plot([0, most], [0, most], color=color("second"), linewidth=1.5, dashes=(4, 2))
        across, up = sheet.width - 130, sheet.height - 76
        taken: list[tuple[float, float]] = []
        for k, key in enumerate(ordered):
            at = (of.effects[key].mu_star, of.effects[key].sigma)
            axes.plot(*at, marker="o", markersize=8, color=color("forecast"), linestyle="none", clip_on=False)
            place = (at[0] / most * across, at[1] / most * up)
            if all(abs(place[0] - x) > 2 * APART or abs(place[1] - y) > APART for x, y in taken):
                taken.append(place)
                sheet.label(axes, *at, str(k + 1), "forecast", above=True, offset=6)

    description = "Points of assumptions by mean size and spread of their effect; the table has the numbers."
    key: plot.Key = (("dashed", "spread as large as the effect"),)
    picture = plot.draw(f"{name}-screening", sentence, description, paint, heights=(320, 300), key=key)
    return Panel(f"{name}-screening", sentence, text, picture, table)


def _unsigned(text: str) -> str:
    return text.lstrip("+")


def _canvas(sheet: Sheet) -> Axes:
    """Axes in the picture's own units, from its top left."""
    axes = sheet.axes(left=0, right=0, top=0, bottom=sheet.height)
    axes.set_axis_off()
    axes.set_xlim(0, sheet.width)
    axes.set_ylim(sheet.height, 0)
    return axes


def _cut(text: str, sheet: Sheet) -> str:
    """A name that fits into the picture."""
    room = int(sheet.width / (0.55 * plot.FONT))
    return text if len(text) <= room else f"\N{HORIZONTAL ELLIPSIS}{text[1 - room :]}"


def _unused(found: Sensitivity) -> list[Chapter]:
    unused: Sequence[list[str]] = [[a.key, a.meaning, a.range, a.source] for a in found.unused]
    if not unused:
        return []
    sentence = f"{plural(len(unused), 'assumption moves', 'assumptions move')} none of these measures"
    head = ["Assumption", "what it is", "range", "source"]
    table = Table("unused-table", "Assumptions without any effect here", head, unused, text_columns=(0, 1, 2, 3))
    text = "This night does not use them, or they shape something that is not measured here."
    return [Chapter("unused", "No effect", [Panel("unused-panel", sentence, [text], more=[table])])]
