"""Chapter: wrong records: whose error, how many the checks stopped, what became of them, and what they moved."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from simulation.night.order import Channel
from simulation.night.summary import quantile
from simulation.report import plot
from simulation.report.chapter import Chapter, Panel, Table, range_name, usual_name, with_range
from simulation.report.forecast import Band, Forecast, Row
from simulation.report.plot import Sheet, color
from simulation.rules.sde import NANO
from simulation.rules.straw_poll import Certification, Standing, certify
from simulation.words import DASH, THIN, number, percent, percent_range, plural

CAUSES = ("wrong on the worksheet", "right on the worksheet, typed wrongly")
FALSE_ALARMS = "right, but stopped all the same"

BAR = 30  # height
GROUP = 92  # a heading, a bar, the names of its parts
LINE = 22  # of the names of parts, on a narrow sheet below each other


@dataclass(frozen=True)
class Part:
    """A part of a bar: what became of so many records, on average."""

    name: str
    records: float
    fill: str


@dataclass(frozen=True)
class Fate:
    """The records of one cause."""

    name: str
    parts: tuple[Part, ...]

    @property
    def records(self) -> float:
        return sum(part.records for part in self.parts)


def chapter(forecast: Forecast) -> Chapter:
    """The chapter: what became of wrong records, and what those that stay wrong move."""
    panels = [_records(forecast), _moved(forecast)]
    if _is_ballot(forecast):
        panels.append(_certified(forecast))
    return Chapter("errors", "Errors", panels)


def finding(forecast: Forecast) -> str:
    """The sentence above the picture."""
    if forecast.band(lambda row: row["sites"] - row["channels"][Channel.NONE]).p95 == 0:
        return "No result comes in, so none of them is right or wrong"
    received, wrong = (forecast.band(name) for name in ("wrong_on_receipt", "wrong"))
    if received.p95 == 0 and wrong.p95 == 0:
        return "Every result that headquarters holds is right"
    if wrong.p95 == 0:
        return f"{plural(received.p50, 'result')} came in wrong, and none of them stays wrong"
    share = percent(wrong.p50 / forecast.sites)
    range_ = with_range(forecast, percent_range(wrong.p05 / forecast.sites, wrong.p95 / forecast.sites))
    mended = forecast.band(lambda row: sum(row["mended_by_cause"])).p50
    return (
        f"{share} of the results at headquarters stay wrong{range_}: {number(received.p50)} came in wrong, "
        f"{number(mended) if mended else 'none'} {'was' if mended == 1 else 'were'} put right"
    )


# What became of them


def _records(forecast: Forecast) -> Panel:
    sentence = finding(forecast)
    found = [fate for fate in fates(forecast) if round(fate.records)]
    if not found:
        return Panel("errors-panel", sentence, _about_checks(forecast), table=_table(forecast))
    described = "; ".join(f"{fate.name}: {', '.join(_said(part) for part in _seen(fate))}" for fate in found)
    description = f"Stacked bars of wrong results by whose error it was{_average(forecast)}. {described}."

    def paint(sheet: Sheet) -> None:
        _paint(sheet, found)

    narrow = sum(GROUP - LINE + LINE * len(_seen(fate)) for fate in found)
    picture = plot.draw("errors-fates", sentence, description, paint, heights=(GROUP * len(found), narrow))
    note = "Bars are averages over the nights, so that their parts add up." if forecast.several else ""
    return Panel("errors-panel", sentence, _about_checks(forecast), picture, _table(forecast), note=note)


def fates(forecast: Forecast) -> list[Fate]:
    """Records by cause, and right ones that were stopped; averages over nights, so that parts add up."""

    def mean(of: Callable[[Row], int]) -> float:
        return sum(map(of, forecast.rows)) / forecast.nights

    def by_cause(column: str, cause: int) -> float:
        return mean(lambda row: int(row[column][cause]))

    found = []
    for cause, name in enumerate(CAUSES):
        came, caught, mended, wrong = (
            by_cause(column, cause)
            for column in ("wrong_on_receipt_by_cause", "caught_by_cause", "mended_by_cause", "wrong_by_cause")
        )
        binding, missed = caught - mended, max(0.0, wrong - (caught - mended))
        parts = (
            Part("stopped and put right", mended, "second"),
            Part("stopped, yet stay wrong", binding, "hand"),
            Part("not stopped, stay wrong", missed, "alarm"),
            Part("without effect", max(0.0, came - mended - binding - missed), "none"),
        )
        found.append(Fate(name, parts))
    stopped = mean(lambda row: int(row["stopped"]) - int(row["caught"]))
    return [*found, Fate(FALSE_ALARMS, (Part("false alarms", stopped, "baseline"),))]


def _seen(fate: Fate) -> list[Part]:
    return [part for part in fate.parts if round(part.records)]


def _said(part: Part) -> str:
    return f"{number(round(part.records))} {part.name}"


def _average(forecast: Forecast) -> str:
    return ", average of the nights" if forecast.several else ""


def _about_checks(forecast: Forecast) -> list[str]:
    if not forecast.scenario.spec.headquarters.checks:
        return ["Headquarters checks nothing in this night: what comes in stands."]
    stopped = forecast.band("stopped").p50
    alarms = forecast.band(lambda row: row["stopped"] - row["caught"]).p50
    if not stopped:
        return []
    text = f"The checks stop {plural(stopped, 'record')}"
    right = "a right one, a false alarm that costs" if alarms == 1 else "right ones, false alarms that cost"
    text += f", {number(alarms)} of them {right} the review desk time. " if alarms else ". "
    text += "What was typed wrongly is put right from the worksheet; a signed worksheet binds, even where it is wrong."
    return [text]


def _paint(sheet: Sheet, found: Sequence[Fate]) -> None:
    """For each cause a heading, a bar of its parts, and below it the parts' names: all bars on one scale."""
    axes = sheet.axes(left=0, right=0, top=0, bottom=sheet.height)
    axes.set_axis_off()
    axes.set_xlim(0, sheet.width)
    axes.set_ylim(sheet.height, 0)
    unit = sheet.width / max(fate.records for fate in found)
    top = 0.0
    for fate in found:
        axes.text(0, top + 14, f"{number(round(fate.records))} {fate.name}", weight="bold", va="baseline")
        left, x, y = 0.0, 0.0, top + 22 + BAR + 17
        for part in _seen(fate):
            length = part.records * unit
            gap = min(2.0, length / 4)
            fill = color(part.fill)
            axes.barh(top + 22 + BAR / 2, length - gap, left=left, height=BAR, color=fill, linewidth=0)
            axes.barh(y, 11, left=x, height=11, color=fill, linewidth=0)
            axes.text(x + 17, y, _said(part), va="center_baseline")
            left += length
            if sheet.narrow:
                y += LINE
            else:
                x += 17 + 0.6 * plot.width(_said(part)) / 0.66 + 16
        top += GROUP + (LINE * (len(_seen(fate)) - 1) if sheet.narrow else 0)


def _table(forecast: Forecast) -> Table:
    def row(name: str, of: str | Callable[[Row], int]) -> list[str]:
        band = forecast.band(of)
        return [name, number(band.p50), _between(band, number), percent(band.p50 / forecast.sites)]

    def by_cause(cause: int) -> Callable[[Row], int]:
        return lambda row: int(row["wrong_on_receipt_by_cause"][cause])

    rows = [
        row("came in", lambda row: row["sites"] - row["channels"][0]),
        row("wrong on arrival", "wrong_on_receipt"),
        row("by the chair", by_cause(0)),
        row("by typing alone", by_cause(1)),
        row("stopped, wrong", "caught"),
        row("stopped, right", lambda row: row["stopped"] - row["caught"]),
        row("wrong in the end", "wrong"),
    ]
    head = ["Results", usual_name(forecast), range_name(forecast), "of all precincts"]
    return Table("errors-table", "Wrong results in a night", head, rows, usual=1, ranges=(2,)).of(forecast)


def _between(band: Band, said: Callable[[int], str]) -> str:
    low, high = said(band.p05), said(band.p95)
    return low if low == high else f"{low}{DASH}{high}"


# What they move


def moved_finding(forecast: Forecast) -> str:
    """What goes to the wrong candidate, and whether it shows in the national delegates."""
    off, total = forecast.band("sde_off_nano"), sum(forecast.rows[0]["sde_true_nano"])
    if off.p95 == 0:
        return f"No {_unit(forecast)} go to the wrong candidate"
    share = f", {percent(off.p50 / total)} of all" if total else ""
    sentence = f"The errors give {_units(forecast)(off.p50)} {_unit(forecast)} to the wrong candidate{share}"
    if not _has_national(forecast):
        return sentence
    moved = [_seats_moved(row) for row in forecast.rows]
    if not any(moved):
        return f"{sentence}; no national delegate changes hands"
    if not forecast.several:
        return f"{sentence}; {plural(moved[0], 'national delegate changes', 'national delegates change')} hands"
    nights = sum(seats > 0 for seats in moved)
    return f"{sentence}; in {nights} of {forecast.nights} nights national delegates change hands"


def winner_sentence(forecast: Forecast) -> str:
    """Whether the reported winner is the true one, over the nights."""
    differs = sum(row["winner_true"] != row["winner_reported"] for row in forecast.rows)
    if forecast.nights == 1:
        return "The reported winner is " + ("not the true one." if differs else "the true one.")
    if differs == 0:
        return f"In all {forecast.nights} nights the reported winner is the true one."
    return f"In {differs} of {forecast.nights} nights the reported winner is not the true one."


def _moved(forecast: Forecast) -> Panel:
    text = [winner_sentence(forecast)]
    if _is_ballot(forecast):
        text.append("A straw poll elects nobody: there are no national delegates to move.")
    elif not _has_national(forecast):
        text.append("The precincts do not cover the state's four districts, so national delegates are not dealt.")
    note = ""
    if _has_national(forecast):
        note = (
            f"National delegates by the party's plan of 2020: 41 seats, by district and statewide, for 15{THIN}% or "
            "more. Results that never come in count as errors here."
        )
    return Panel("errors-moved", moved_finding(forecast), text, table=_moved_table(forecast), more=_national(forecast),
                 note=note)  # fmt: skip


def _has_national(forecast: Forecast) -> bool:
    return bool(forecast.rows[0]["national_true"])


def _seats_moved(row: Row) -> int:
    """National delegates that somebody has who should not; seats that a lot decides are nobody's."""
    pairs = zip(row["national_true"], row["national_reported"], strict=True)
    differences = [int(reported) - int(true) for true, reported in pairs]
    return max(sum(d for d in differences if d > 0), -sum(d for d in differences if d < 0))


def _is_ballot(forecast: Forecast) -> bool:
    return forecast.scenario.spec.alignment.rules == "straw-poll"


def _candidates(forecast: Forecast) -> list[str]:
    """The names of those who can be chosen, in the order of a row's lists."""
    names = forecast.scenario.roster.candidates or tuple(forecast.scenario.spec.preference.candidates)
    return [name.replace("_", " ").title() for name in names]


def _unit(forecast: Forecast) -> str:
    """What the errors move."""
    return "votes" if _is_ballot(forecast) else "state delegate equivalents"


def _units(forecast: Forecast) -> Callable[[int], str]:
    """How 1e-9 of them are said: state delegate equivalents to the tenth, votes whole."""
    decimals = 0 if _unit(forecast) == "votes" else 1
    return lambda nano: f"{nano / NANO:,.{decimals}f}"


def _moved_table(forecast: Forecast) -> Table:
    off = forecast.band("sde_off_nano")
    units = _units(forecast)
    rows = [[f"{_unit(forecast)} given wrongly", units(off.p50), _between(off, units)]]
    if _has_national(forecast):
        seats = forecast.band(_seats_moved)
        rows.append(["national delegates given wrongly", number(seats.p50), _between(seats, number)])
    differs = sum(row["winner_true"] != row["winner_reported"] for row in forecast.rows)
    rows.append(["nights in which the winner differs", f"{differs} of {forecast.nights}", ""])
    head = ["", usual_name(forecast), range_name(forecast)]
    return Table("errors-moved-table", "What the errors move", head, rows, usual=1, ranges=(2,)).of(forecast)


def _national(forecast: Forecast) -> list[Table]:
    """National delegates by candidate, as the rooms had it and as reported; none without districts."""
    if not _has_national(forecast):
        return []
    rows = []
    shares = zip(
        _candidates(forecast), forecast.curve("national_true"), forecast.curve("national_reported"), strict=True
    )
    for k, (name, true, told) in enumerate(shares):
        differs = sum(row["national_true"][k] != row["national_reported"][k] for row in forecast.rows)
        if true.p95 or told.p95:
            both = number(true.p50), _between(true, number), number(told.p50), _between(told, number)
            rows.append([name, *both, number(differs)])
    range_ = range_name(forecast)
    head = ["Candidate", "by the rooms", range_, "as reported", range_, "nights that differ"]
    return [Table("national", "National delegates", head, rows, ranges=(2, 4)).of(forecast)]


# A straw poll's certified record


def certified_finding(forecast: Forecast) -> str:
    """Who leads as reported on the night, and who by the signed forms, in the night of the median shift."""
    _, found = _median_certification(forecast)
    night = "In a usual night" if forecast.several else "On the night"
    told, certified = found.announced, found.certified
    if len(told.leaders) == 1 and not found.winner_changed:
        return f"{night} {_leading(told)}; by Form E it is {number(certified.margin)}"
    return f"{night} {_leading(told)}; by Form E {_leading(certified)}"


def _median_certification(forecast: Forecast) -> tuple[Row, Certification]:
    """One whole night, so that its numbers belong together: the one whose shift of the margin is the median."""
    found = [_certification(forecast, row) for row in forecast.rows]
    median = quantile([one.shift for one in found], 50)
    return next((row, one) for row, one in zip(forecast.rows, found, strict=True) if one.shift == median)


def _certification(forecast: Forecast, row: Row) -> Certification:
    def votes(column: str) -> dict[str, int]:
        return {name: nano // NANO for name, nano in zip(_candidates(forecast), row[column], strict=True)}

    return certify(announced=votes("sde_reported_nano"), form_e=votes("sde_true_nano"))


def _leading(standing: Standing) -> str:
    if not standing.leaders:
        return "nobody has a vote"
    if len(standing.leaders) > 1:
        return f"{_leaders(standing)} are level"
    return f"{_leaders(standing)} leads by {plural(standing.margin, 'vote')}"


def _leaders(standing: Standing) -> str:
    return " and ".join(standing.leaders) or "nobody"


def _certified(forecast: Forecast) -> Panel:
    row, found = _median_certification(forecast)
    both = found.announced, found.certified
    rows = [
        ["leader", *map(_leaders, both)],
        ["margin in votes", *(number(standing.margin) for standing in both)],
        ["precincts that differ", "", number(row["wrong"])],
        ["precincts never found", number(row["channels"][0]), ""],
    ]
    text = "Form E is the signed form with what each room counted; it is mailed in and certified after the night."
    note = "Here Form E covers every precinct; results that were never found are missing on the night alone."
    if forecast.several:
        note += " One night is shown, the one whose errors shift the margin by the median of all nights."
    changed = sum(_certification(forecast, night).winner_changed for night in forecast.rows)
    texts = [text]
    if forecast.several:
        texts.append(f"The certified leader is another one in {changed} of {forecast.nights} nights.")
    table = Table("certified-table", "On the night and by Form E", ["", "on the night", "by Form E"], rows)
    return Panel("errors-certified", certified_finding(forecast), texts, table=table, note=note)
