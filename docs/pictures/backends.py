"""The picture of docs/closing-the-loop.md: one night of `app-works` before backends that break at different loads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from simulation.night import Night, play_night
from simulation.night.order import Kind
from simulation.report.plot import color
from simulation.scenario import load
from simulation.scenario.values import HOUR, MINUTE, format_clock

HERE = Path(__file__).parent
SEED, NIGHT = 1, 4  # of the first 20 nights the one whose busiest minute is nearest to one caucus night
FROM, TO = 19 * HOUR, 24 * HOUR
LOOKS = {  # of a capacity: color, dashes; the later ones lie above
    "0.2 nights": ("reached", "-"),
    "0.5 nights": ("phone", "-"),
    "1 night": ("app", "-"),
    "10 nights": ("ink", (0, (3, 3))),
}


def played(capacity: str) -> Night:
    """The night, with the backend that was measured as if it broke there."""
    said = {"app.backend.curve": str(HERE.parent / "response-curve.json"), "app.backend.capacity": capacity}
    return play_night(load("app-works", said), SEED, NIGHT, log=True)


def main() -> None:
    """Draw it, and print what it shows."""
    figure = Figure(figsize=(8.75, 6.6), dpi=100, layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    at = np.arange(FROM, TO + 1, MINUTE)
    for capacity, (name, dashes) in LOOKS.items():
        night = played(capacity)
        log, came = night.played.log, night.played.received_at
        assert log is not None  # it was asked for
        hung = np.sort(log[log[:, 2] == Kind.UNANSWERED, 0])
        a_minute = np.searchsorted(hung, at) - np.searchsorted(hung, at - MINUTE)
        share = np.searchsorted(np.sort(came[came >= 0]), at, "right") / night.setting.sites
        for axes, values in ((above, a_minute), (below, 100 * share)):
            axes.plot(at, values, color=color(name), linestyle=dashes, linewidth=2.2, label=f"breaks at {capacity}")
        keys = ("backend_requests", "backend_unanswered", "backend_hung", "backend_drove_off")
        by_23 = share[(23 * HOUR - FROM) // MINUTE]
        print(capacity, {key: night.row[key] for key in keys}, f"held by 23:00: {by_23:.1%}")
    above.set_title("Requests of chairs' apps that are not answered, a minute", loc="left", fontsize=11)
    below.set_title("Results that headquarters holds, in percent of all precincts", loc="left", fontsize=11)
    above.legend(frameon=False, loc="upper right")
    above.set_ylim(0)
    below.set_ylim(0, 100)
    below.set_xlim(FROM, TO)
    hours = range(FROM, TO + 1, HOUR)
    below.set_xticks(hours, [format_clock(hour % (24 * HOUR)) for hour in hours])
    for axes in (above, below):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", color=color("rule"), linewidth=0.6)
    figure.savefig(HERE / "backends.png", facecolor="white")


if __name__ == "__main__":
    main()
