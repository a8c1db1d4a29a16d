"""What a rehearsal taught, as a scenario: error rates and times that were seen, as ranges with their counts.

The file extends the night that was rehearsed and says only what was observed often enough; the rest stays as it was,
and the file says so. Shares are 90 % intervals of a Beta distribution, times 90 % intervals of their mean.
"""

from __future__ import annotations

import json
import math
import os
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import tomli_w

from simulation.errors import InputError
from simulation.rehearsal.debrief import Debrief
from simulation.rehearsal.observed import Observed
from simulation.scenario import library, load
from simulation.scenario.reference import toml_value

ENOUGH_WORKSHEETS = 10
ENOUGH_FIELDS = 200
ENOUGH_TIMES = 5

_STORY = (
    "The night that was rehearsed, with the errors and times that were seen in the room. "
    "A rehearsal is not the night: people knew that it was one."
)
_LOW, _HIGH = 0.05, 0.95
_CV = (0.05, 3.0)  # what a lognormal distribution of a scenario may sensibly have


def to_scenario(debriefs: Debrief | Iterable[Debrief], base: str) -> str:
    """A TOML file that extends `base`, the library night or file that was rehearsed, by what people did."""
    found = [debriefs] if isinstance(debriefs, Debrief) else list(debriefs)
    seen = _together(one.observed for one in found)
    people = sum(one.figures.get("people") or 0 for one in found)
    where = f"{len(found)} rehearsal{'s' if len(found) != 1 else ''}, {people} people"
    lines = [
        f"extends = {json.dumps(base, ensure_ascii=False)}",
        f"title = {json.dumps(f'{found[0].scenario if found else base}, as rehearsed', ensure_ascii=False)}",
        f'story = """{_STORY}"""',
        f"sources = [{json.dumps(f'Seen in {where}: 90 % intervals', ensure_ascii=False)}]",
    ]
    left_out: list[str] = []
    sections: dict[str, list[str]] = {}

    def share(section: str, key: str, wrong: int, count: int, enough: int, what: str) -> None:
        if count < enough:
            left_out.append(f"{section}.{key}: {wrong} of {count} {what}; {enough} are needed")
            return
        low, high = interval(wrong, count)
        source = f"rehearsal: {wrong} of {count} {what}, Beta({wrong} + 1/2, {count - wrong} + 1/2), 90 %"
        sections.setdefault(section, []).append(
            f"{key} = {{ low = {low}, high = {high}, source = {toml_value(source)} }}"
        )

    def times(section: str, key: str, took_ms: Sequence[int], what: str) -> None:
        known = [one for one in took_ms if one > 0]
        if len(known) < ENOUGH_TIMES:
            left_out.append(f"{section}.{key}: {len(known)} {what}; {ENOUGH_TIMES} are needed")
            return
        low, high, spread = mean_interval(known)
        source = f"rehearsal: {len(known)} {what}, mean {_seconds(round(fmean(known)))}, 90 %"
        sections.setdefault(section, []).append(
            f'{key} = {{ lognormal = {{ mean = {{ low = "{_seconds(low)}", high = "{_seconds(high)}" }}, '
            f"cv = {spread} }}, source = {toml_value(source)} }}"
        )

    share(
        *("chairs", "arithmetic_errors", seen.wrong_worksheets, seen.worksheets, ENOUGH_WORKSHEETS),
        "worksheets of 2 or more delegates wrong",
    )
    times("chairs", "finds_number", seen.fallback_ms, "ways from a failed app to another one")
    times("app", "entry", seen.app_entry_ms, "reports entered in the app")
    times("hotline.handling", "report", seen.handling_ms, "reports typed at the hotline")
    share(
        *("headquarters.keying", "phone", seen.wrong_fields, seen.typed_fields, ENOUGH_FIELDS),
        "numbers typed otherwise than said",
    )
    for section, keys in sections.items():
        lines += ["", f"[{section}]", *keys]
    if left_out:
        lines += ["", "# Seen too seldom to be used: these stay as in the night that was rehearsed."]
        lines += [f"# {one}" for one in left_out]
    return "\n".join(lines) + "\n"


def rehearsed(settings: Mapping[str, Any], out: Path) -> tuple[str, dict[Path, str]]:
    """What a scenario written to `out` extends, and the files that have to be written beside it for that.

    A night of the library keeps its name and a file its place, seen from `out`; a night that was changed for the
    rehearsal (--set, --roster), or whose file is another one now, is written beside.
    """
    from simulation.experiment.run_file import ROSTER_FILE, run_text

    base, text = str(settings.get("base") or settings["name"]), str(settings["scenario"])
    run = tomllib.loads(text)["run"]
    if base in library() or Path(base).is_file():
        try:
            now = load(base)
            if now.roster.sha256 == run["roster"] and _night(run_text(now, run)) == _night(text):
                return (base if base in library() else _seen_from(Path(base), out)), {}
        except InputError:
            pass  # it was edited since
    night, roster = out.with_name(f"{out.stem}-rehearsed.toml"), out.with_name(f"{out.stem}-rehearsed.csv")
    document = tomllib.loads(text)
    beside = {}
    if settings.get("roster") is not None:
        assert document["roster"] == {"file": ROSTER_FILE}
        document["roster"] = {"file": roster.name}
        beside[roster] = str(settings["roster"])
    beside[night] = tomli_w.dumps(document)
    return night.name, beside


def _night(text: str) -> dict[str, Any]:
    """A run's text without where its roster lies: the roster's own hash says more."""
    document = tomllib.loads(text)
    document.pop("roster", None)
    document.pop("run", None)
    return document


def _seen_from(file: Path, out: Path) -> str:
    try:
        return Path(os.path.relpath(file.resolve(), out.resolve().parent)).as_posix()
    except ValueError:  # on another drive
        return str(file.resolve())


def interval(hits: int, count: int) -> tuple[float, float]:
    """A 90 % interval of a share, by Jeffreys' Beta(hits + 1/2, misses + 1/2), outward to four places."""
    from scipy.stats import beta  # takes a second to import

    low, high = beta.ppf([_LOW, _HIGH], hits + 0.5, count - hits + 0.5).tolist()
    down, up = math.floor(low * 10_000) / 10_000, math.ceil(high * 10_000) / 10_000
    return (0.0 if hits == 0 else down), (1.0 if hits == count else up)


def mean_interval(times_ms: Sequence[int]) -> tuple[int, int, float]:
    """A 90 % interval of the mean, by Student's t, in ms, and the coefficient of variation."""
    from scipy.stats import t  # as above

    mean, spread = fmean(times_ms), stdev(times_ms)
    half = float(t.ppf(_HIGH, len(times_ms) - 1)) * spread / math.sqrt(len(times_ms))
    low = max(mean - half, mean / 4, 1000.0)
    variation = min(max(spread / mean, _CV[0]), _CV[1])
    return round(low), max(round(mean + half), round(low)), round(variation, 2)


def _seconds(milliseconds: int) -> str:
    return f"{max(1, round(milliseconds / 1000))} s"


def _together(observed: Iterable[Observed]) -> Observed:
    """Several rehearsals as one."""
    total = Observed()
    for one in observed:
        for name in Observed.__slots__:
            setattr(total, name, getattr(total, name) + getattr(one, name))
    return total
