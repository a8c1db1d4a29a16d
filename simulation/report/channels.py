"""Chapter: by which way the results came in."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate

from simulation.night.order import Channel
from simulation.report import plot
from simulation.report.chapter import Chapter, Panel, Table, range_name
from simulation.report.forecast import Forecast, Row
from simulation.report.plot import Sheet, color
from simulation.words import number, percent, percent_range, plural

NAMES = {  # in the order of the bar; the colors are named as the channels are
    Channel.APP: "by app",
    Channel.PHONE: "by phone",
    Channel.INBOX: "by photo or text",
    Channel.REACHED: "when headquarters asks",
    Channel.HAND: "by hand, after the night",
    Channel.NONE: "never",
}
LABELS = {
    Channel.APP: "App",
    Channel.PHONE: "Phone",
    Channel.INBOX: "Photo or text",
    Channel.REACHED: "Asked for",
    Channel.HAND: "By hand",
    Channel.NONE: "Never",
}
MARGIN = 2
BAR = 36  # height
GAP = 2.0  # between parts
LABEL_GAP = 16.0


def chapter(forecast: Forecast) -> Chapter:
    """The chapter. Shares are averages over nights: medians of parts would not add up to the whole."""
    shares = {channel: _average(forecast, channel) for channel in NAMES}
    sentence = finding(forecast)
    shown = {channel: share for channel, share in shares.items() if share}
    description = (
        f"One bar for all {number(forecast.sites)} precincts: "
        + ", ".join(f"{NAMES[channel]} {percent(share)}" for channel, share in shown.items())
        + "."
    )

    def paint(sheet: Sheet) -> None:
        _paint(sheet, shown)

    text = []
    tried, came = forecast.band("app_tried").p50, forecast.band(_counter(Channel.APP)).p50
    if tried:
        tries, succeed = ("tries", "succeeds") if tried == 1 else ("try", "succeed")
        text.append(f"{plural(tried, 'chair')} {tries} to report by app, {number(came)} {succeed}.")
    text += _backend(forecast)
    rows = []
    for channel, share in shares.items():
        band = forecast.band(_counter(channel))
        range_ = percent_range(band.p05 / forecast.sites, band.p95 / forecast.sites)
        rows.append([NAMES[channel], number(round(share * forecast.sites)), percent(share), range_])
    head = ["", "results", "share", range_name(forecast)]
    caption = "How results come in" + (", average of the nights" if forecast.several else "")
    table = Table("channels-table", caption, head, rows, usual=2, ranges=(3,)).of(forecast)
    picture = plot.draw("channels-bar", sentence, description, paint, heights=(92, 72 + 24 * len(shown)))
    return Chapter("channels", "Channels", [Panel("channels-bar", sentence, text, picture, table)])


def _backend(forecast: Forecast) -> list[str]:
    """What the measured backend behind the app did, where one is played."""
    found = forecast.summary["app"].get("backend")
    if found is None:
        return []
    usual = "In a usual night the" if forecast.several else "The"
    unit = "caucus nights" if found["load_in"] == "nights" else "requests a second"
    said = (
        f"{usual} busiest minute asks {found['peak_load']['p50']:,.2g} {unit} of the backend behind the app, "
        f"which breaks at {found['breaks_at']:,.2g}"
    )
    hung, gone = forecast.band("backend_hung").p50, forecast.band("backend_drove_off").p50
    if not hung:
        return [f"{said}: no app hangs."]
    said += f": {percent(found['unanswered_share'])} of the requests are not answered in time."
    hangs = f"The app hangs at {plural(hung, 'precinct')}"
    return [f"{said} {hangs}, and the results of {number(gone)} of them come in another way."]


def finding(forecast: Forecast) -> str:
    """The two largest channels, and what never comes in."""
    shares = {channel: _average(forecast, channel) for channel in NAMES}
    never = shares.pop(Channel.NONE)
    (first, most), (second, next_most) = sorted(shares.items(), key=lambda item: -item[1])[:2]
    if most == 0:
        return "No result reaches headquarters in the days that the simulation looks at"
    if most == 1:
        return f"Every result comes in {NAMES[first]}"
    average = "On average " if forecast.several else ""
    sentence = f"{average}{percent(most)} of the results come in {NAMES[first]}"
    if next_most:
        sentence += f", {percent(next_most)} {NAMES[second]}"
    return f"{sentence}; {percent(never)} never come in" if never else sentence


def _average(forecast: Forecast, channel: Channel) -> float:
    """The share of all results of all nights."""
    return sum(map(_counter(channel), forecast.rows)) / (forecast.sites * forecast.nights)


def _counter(channel: Channel) -> Callable[[Row], int]:
    return lambda row: int(row["channels"][channel])


def _paint(sheet: Sheet, shown: Mapping[Channel, float]) -> None:
    """A stacked bar whose labels stand above it, pushed apart where parts are narrow; on a phone below each other."""
    texts = [f"{LABELS[channel]} {percent(share)}" for channel, share in shown.items()]
    inner = sheet.width - 2 * MARGIN
    top = 8 if sheet.narrow else 48
    axes = sheet.axes(left=MARGIN, right=MARGIN, top=0, bottom=sheet.height)
    axes.set_axis_off()
    axes.set_xlim(0, inner)
    axes.set_ylim(sheet.height, 0)
    ends = [inner * share for share in accumulate(shown.values())]
    starts = [0.0, *ends[:-1]]
    middles = [(start + end) / 2 for start, end in zip(starts, ends, strict=True)]
    labels = _apart(middles, [plot.width(text) for text in texts], inner)
    for k, channel in enumerate(shown):
        fill = color(channel.name.lower())
        length = ends[k] - starts[k]
        gap = min(GAP, length / 4) if k + 1 < len(shown) else 0
        axes.barh(top + BAR / 2, length - gap, left=starts[k], height=BAR, color=fill, linewidth=0)
        if sheet.narrow:
            y = top + BAR + 24 + 24 * k
            axes.barh(y, 14, left=0, height=14, color=fill, linewidth=0)
            axes.text(24, y, texts[k], va="center_baseline")
        else:
            axes.text(labels[k], top - 16, texts[k], ha="center", va="bottom", weight="bold")
            axes.plot([labels[k], middles[k]], [top - 12, top - 2], color=color("baseline"), linewidth=1)


def _apart(centers: Sequence[float], widths: Sequence[float], room: float) -> list[float]:
    """Centers of labels near `centers` that do not overlap and stay between 0 and `room`, if they fit there at all."""
    left: list[float] = []
    edge = 0.0
    for center, width in zip(centers, widths, strict=True):
        left.append(max(edge, center - width / 2))
        edge = left[-1] + width + LABEL_GAP
    edge = room
    for k in reversed(range(len(left))):
        left[k] = min(left[k], edge - widths[k])
        edge = left[k] - LABEL_GAP
    return [start + width / 2 for start, width in zip(left, widths, strict=True)]
