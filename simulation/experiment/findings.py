"""A summary in a few sentences, for a terminal: when results are in, how lines and telephones do, what is wrong.

Reads nothing but the shape of summary.json.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from simulation.scenario.values import DAY, HOUR, parse_clock

WIDTH = 100
MORNING = 6 * HOUR  # 02:30 belongs to the night for whoever is awake then; from 06:00 on it is the next day
LATE_EVENING = (210, 240)  # minutes after the call to order: 22:30 and 23:00, by which the press wants its results
HALF = 0.5
ENOUGH_NIGHTS = 20  # with fewer, the 5th and 95th percentile are the lowest and the highest night
_LATER = ("", " the next day", " two days later", " three days later")

Summary = Mapping[str, Any]


def result_text(summary: Summary, folder: Path | None) -> str:
    """What a run came to, to read: a heading, the findings, and where the report is."""
    nights = f"{summary['nights']:,} night{'s' if summary['nights'] > 1 else ''}"
    lines = [f"{summary['title']} ({summary['scenario']}): {nights}, seed {summary['seed']}"]
    lines += [
        textwrap.fill(finding, WIDTH, initial_indent="- ", subsequent_indent="  ") for finding in findings(summary)
    ]
    if folder is not None:
        lines.append(f"The report: {folder / 'report.html'}")
    return "\n".join(lines)


def findings(summary: Summary) -> list[str]:
    """Five sentences or six, each about one part of the night."""
    nights = summary["nights"]
    sentences = [_held(summary), _in_by(summary), _seen(summary), *_check_in(summary), _hotline(summary)]
    if nights > 1:
        range_of = "where nine nights in ten lie" if nights >= ENOUGH_NIGHTS else "the lowest and the highest night"
        sentences[0] += f" In parentheses: {range_of}."
    return [*sentences, *_errors(summary)]


def _held(summary: Summary) -> str:
    shares = [f"{_percent(band)} by {band['at']}" for band in map(_point(summary["reported_share"]), LATE_EVENING)]
    return f"Headquarters holds {' and '.join(shares)} of the results of {summary['sites']:,} sites."


def _in_by(summary: Summary) -> str:
    half, most = (summary["reported_by"][share] for share in ("p50", "p95"))
    if half["p50"] is None:
        return f"Half of the results never come in{_at_best(half)}."
    if most["p50"] is None:
        return f"Half of the results are in by {_clocks(half)}; 95 % never come in{_at_best(most)}."
    return f"Half of the results are in by {_clocks(half)}, 95 % by {_clocks(most)}."


def _at_best(band: Mapping[str, str | None]) -> str:
    """Of what never happens on the usual night, when it does on a good one."""
    return "" if band["p05"] is None else f" on the usual night, on a good one by {''.join(_clock(band['p05']))}"


def _seen(summary: Summary) -> str:
    band = _point(summary["released_share"])(LATE_EVENING[-1])
    share = _percent(band) if band["p95"] else "none"
    return f"The public sees {share} of them by {band['at']}."


def _check_in(summary: Summary) -> list[str]:
    checkin = summary["checkin"]
    wait, delay = checkin["wait_minutes"], checkin["start_delay_minutes"]
    in_line = f"{_share(checkin['in_line_at_call_to_order_share'])} still stand in line at "
    in_line += _point(summary["reported_share"])(0)["at"]
    starts = f"start {_minutes(delay['p50'])} late or later, one in ten {_minutes(delay['p90'])}."
    begun = f"Half of the precincts {starts}"
    if checkin["in_line_at_call_to_order_share"] > HALF and not delay["p50"]:  # whoever waits for a line starts late
        begun = f"Of the precincts that begin at all, half {starts}"
        if not delay["p99"]:
            begun = "No precinct in which people still stand in line ever begins."
    return [f"At check-in one person in ten waits {_minutes(wait['p90'])} or longer; {in_line}.", begun]


def _hotline(summary: Summary) -> str:
    hotline = summary["hotline"]
    if not hotline["calls"]["p50"]:
        return "Nobody calls the hotline."
    if not hotline["answered"]["p50"]:
        return "Nobody answers the hotline."
    if not hotline["reports_taken"]["p50"]:
        tried = hotline["reports_called_in"]["p50"]
        return f"No chair {'gets through' if tried else 'calls'} to report by telephone{_given_up(hotline)}."
    hold = hotline["hold_minutes"]
    holds = f"Half of the chairs who report by telephone hold for {_minutes(hold['p50'])} or longer, one in ten for "
    holds += _minutes(hold["p90"])
    if hold["p90"] < 1:
        holds = "Nine in ten of the chairs who report by telephone are answered within a minute"
    if not hotline["abandoned_share"] and not hotline["busy_share"]:
        return f"{holds}; nobody hangs up or meets a busy tone."
    return f"{holds}{_given_up(hotline)}."


def _given_up(hotline: Summary) -> str:
    return (
        f"; {_share(hotline['abandoned_share'])} of all who hold hang up unanswered, and "
        f"{_share(hotline['busy_share'])} of the calls meet a busy tone"
    )


def _errors(summary: Summary) -> list[str]:
    if summary["channels"]["none"] == 1:
        return []  # what never came in is neither right nor wrong
    differs = round(summary["winner"]["differs_share"] * summary["nights"])
    of_nights = f"{differs} of {summary['nights']} night{'s' if summary['nights'] > 1 else ''}"
    wrong = f"In the end {_percent(summary['errors']['reported_wrong'])} of the sites' results are wrong"
    return [f"{wrong}; headquarters' numbers name another winner than the rooms did in {of_nights}."]


def _point(curve: Any) -> Callable[[int], Any]:
    """A curve's point so many minutes after the call to order."""
    by_minutes = {point["minutes"]: point for point in curve}
    return by_minutes.__getitem__


def _percent(band: Mapping[str, float]) -> str:
    """The median night, and the range where nights differ."""
    low, middle, high = (_share(band[name]) for name in ("p05", "p50", "p95"))
    return middle if low == high else f"{middle} ({low.removesuffix(' %')} to {high})"


def _share(share: float) -> str:
    """Whole percent, tenths near 0 and 1; never 0 % or 100 % for what is neither."""
    if 0 < share < 0.0005:
        return "under 0.1 %"
    if 0.9995 <= share < 1:
        return "over 99.9 %"
    digits = 1 if 0 < share < 0.02 or 0.98 < share < 1 else 0
    return f"{share * 100:.{digits}f} %"


def _minutes(minutes: float) -> str:
    """A duration to the minute."""
    whole = round(minutes)
    if whole == 0 and minutes > 0:
        return "under 1 min"
    if whole < 100:
        return f"{whole} min"
    return f"{whole // 60} h {whole % 60:02d} min"


def _clocks(band: Mapping[str, str | None]) -> str:
    """The median night's time, and the range where nights differ; a day that all share is named once."""
    (low, low_day), (middle, day), (high, high_day) = (_clock(band[name]) for name in ("p05", "p50", "p95"))
    if (low, low_day) == (high, high_day):
        return middle + day
    if low_day == day == high_day:
        return f"{middle} ({low} to {high}){day}"
    return f"{middle}{day} ({low}{low_day} to {high}{high_day})"


def _clock(text: str | None) -> tuple[str, str]:
    """A clock time as people say it, and the day where it is another one; None is never."""
    if text is None:
        return "never", ""
    at = parse_clock(text)
    day = 0 if at < DAY + MORNING else at // DAY
    return text.rpartition(" ")[2], _LATER[day] if day < len(_LATER) else f" {day} days later"
