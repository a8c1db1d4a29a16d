"""What every page of a load test has: its frame, the ledger's verdict, the faults, the basis."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from loadtests.reconciliation import knows_what_is_stored
from loadtests.report.answer import WRONG, ledger_sentence
from loadtests.report.drawing import letter
from loadtests.report.run_folder import About, Fault
from loadtests.report.words import joined, length, sentence, typeset
from loadtests.trial import Trial
from simulation.report.chapter import Cell, Chapter, KeyNumber, Panel, Table
from simulation.report.pages import page
from simulation.words import number, plural

KINDS = {
    "break": "Breaking point",
    "replay": "A night replayed",
    "spike": "Stampede",
    "soak": "Soak test",
    "diff": "Two runs compared",
}
_MOST_OFFENDERS = 50


def framed(
    about: About,
    *,
    story: str,
    findings: Sequence[str],
    found_title: str,
    key_numbers: Sequence[KeyNumber],
    basis: str,
    chapters: Sequence[Chapter],
    notices: Sequence[str] = (),
    facts: Sequence[tuple[str, Sequence[str]]] = (),
) -> str:
    """The page; equal input gives equal text."""
    return page(
        "loadtests.report:load.html",
        kind=KINDS[about.kind],
        title=about.title,
        story=story,
        key_numbers=key_numbers,
        findings=findings,
        found_title=found_title,
        notices=[*notices, *map(typeset, about.notices)],
        basis=basis,
        chapters=chapters,
        command=about.command,
        facts=[*_facts(about), *facts],
    )


def _facts(about: About) -> list[tuple[str, list[str]]]:
    found = [
        ("target", [about.target + (f", {about.database}" if about.database else "")]),
        ("scenario", [about.name]),
        ("seed", [str(about.seed)]),
        ("objectives", [typeset(text) for text in about.objectives]),
        ("required", [typeset(text) for text in about.requirements]),
        ("cores", [about.cores] if about.cores else []),
        ("processes that made load", [str(about.workers)]),
        ("versions", [f"{name} {version}" for name, version in about.versions.items()]),
    ]
    return [(term, texts) for term, texts in found if texts]


def void_notice(trial: Trial) -> list[str]:
    """What else to know where a load was not kept as it was planned."""
    if trial.void is None:
        return []
    return [sentence(f"the generator fell short, so that latencies are not the backend's alone: {trial.void}")]


def under(faults: Sequence[Fault]) -> str:
    """ ", under reset clients": the end of a finding, where there were faults."""
    if not faults:
        return ""
    named = joined([fault.name for fault in faults]) if len(faults) <= 2 else plural(len(faults), "fault")
    return f", under {named}"


def ledger_chapter(ledger: Mapping[str, Any] | None) -> list[Chapter]:
    """What was promised, and what of it is there."""
    if ledger is None:
        return []
    clean = not any(ledger.get(kind) for kind in WRONG)
    known = knows_what_is_stored(ledger)
    finding = (
        f"All {plural(ledger['acknowledged'], 'acknowledged write')} are stored as they were sent"
        if clean and known and ledger["acknowledged"]
        else ledger_sentence(ledger)
    )
    rows: list[list[str | Cell]] = [["acknowledged", number(ledger["acknowledged"]), "writes that were promised"]]
    for kind, (name, meaning) in WRONG.items():
        count = int(ledger.get(kind, 0))
        rows.append([name, Cell(number(count), "outside" if count else ""), meaning])
    if "unanswered" in ledger:
        stored = ledger.get("unanswered_stored", 0)
        meaning = f"no answer came; {number(stored)} of them are stored: both are right"
        rows.append(["unanswered", number(ledger["unanswered"]), meaning])
    table = Table("ledger-table", "The ledger", ["write", "count", "meaning"], rows, text_columns=(0, 2))
    more = _offenders(ledger)
    told = [str(ledger["verdict"])] if ledger.get("verdict") and not (clean and known) else []
    panel = Panel("ledger-panel", finding[:1].upper() + finding[1:], told, table=table, more=more)
    return [Chapter("ledger", "Nothing lost" if clean and known else "Ledger", [panel])]


def _offenders(ledger: Mapping[str, Any]) -> list[Table]:
    rows = [
        [WRONG[kind][0], ", ".join(f"{key} {one[key]}" for key in ("site", "step", "key", "figure") if key in one),
         str(one.get("where", "")), str(one.get("says", ""))]
        for kind in WRONG
        for one in ledger.get("offending", {}).get(kind, ())
    ]  # fmt: skip
    if not rows:
        return []
    caption = "What is wrong" if len(rows) <= _MOST_OFFENDERS else f"What is wrong: the first {_MOST_OFFENDERS}"
    return [Table("offenders", caption, ["kind", "write", "read from", "says"], rows[:_MOST_OFFENDERS], (0, 1, 2, 3))]


def faults_table(faults: Sequence[Fault], name: str) -> list[Table]:
    """When each fault ran."""
    if not faults:
        return []
    rows = [
        [letter(k), fault.name, length(fault.began_s), length(max(0.0, fault.ended_s - fault.began_s))]
        for k, fault in enumerate(faults)
    ]
    return [Table(name, "Faults", ["", "fault", "began at", "lasted"], rows, text_columns=(0, 1))]


def resources_chapter(used: Mapping[str, float]) -> list[Chapter]:
    """What was used meanwhile, as `resources.Watch` tells."""
    owners = sorted({name.partition(".")[0] for name in used if not name.startswith(("metrics.", "machine."))})
    rows: list[list[str | Cell]] = []
    for owner in owners:
        cpu, most = used.get(f"{owner}.cpu"), used.get(f"{owner}.cpu_max")
        memory, files = used.get(f"{owner}.memory_mb"), used.get(f"{owner}.files")
        shown = ["" if one is None else f"{one:.2f}" for one in (cpu, most)]
        shown += ["" if one is None else number(round(one)) for one in (memory, files)]
        rows.append([owner, *shown])
    waited = [name for name in used if name.startswith("metrics.") and used[name]]
    more = [[name.removeprefix("metrics."), f"{used[name]:g}"] for name in sorted(waited)]
    if not rows:
        return []
    busiest = max(owners, key=lambda owner: used.get(f"{owner}.cpu", 0.0))
    finding = f"Most processor time went to the {busiest}: {used.get(f'{busiest}.cpu', 0.0):.2f} cores on average"
    head = ["processes", "cores", "most in a second", "memory, MB", "open files"]
    table = Table("resources-table", "What was used", head, rows)
    tables = [Table("metrics-table", "The most that its own gauges showed", ["gauge", "most"], more)] if more else []
    return [Chapter("resources", "Resources", [Panel("resources-panel", finding, table=table, more=tables)])]


def objective_of_latency(objectives: Sequence[str]) -> float | None:
    """The p99 that is asked for, in seconds, where one is."""
    from loadtests.objectives import parse_objective

    for text in objectives:
        if re.match(r"\s*p99\s*\(", text):
            objective = parse_objective(text)
            if objective.op.startswith("<"):
                return objective.value
    return None
