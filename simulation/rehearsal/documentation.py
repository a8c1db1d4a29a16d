"""docs/rehearsals.md, from the code: the deck, what is asked of people under which names, the log, the scores.

Controls are found by playing: a small night with every role in it, in which people do right and wrong things by lot.
"""

from __future__ import annotations

import random
import re
import tempfile
from collections.abc import Iterator, Mapping
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simulation.rehearsal import bots
from simulation.rehearsal.answer_key import next_act
from simulation.rehearsal.event import ROOM, TRAINER, Event
from simulation.rehearsal.injects import EFFECTS, catalog
from simulation.rehearsal.room import Room
from simulation.rehearsal.score import KINDS, RESULTS
from simulation.rehearsal.script import group_label
from simulation.rehearsal.seat import CASES, Seat
from simulation.rehearsal.view import Step
from simulation.scenario.inject import DONE, NIGHTLY

if TYPE_CHECKING:
    from simulation.rehearsal.score import Item

EVENTS: Mapping[str, str] = {
    "joined": "`{person, catch_up?}`, or `{bot: true}`: somebody takes the seat; his name stands in another table",
    "left": "`{}`: the seat is free",
    "reassigned": "`{to}`: two seats change people",
    "bot": "`{on}`: a bot plays the seat on, a call that is on included, and whoever sat there is free; or it stops",
    "branched": "`{}`: here another rehearsal begins; everybody of the one before is gone",
    "connected": "`{}`: a page of the seat is open",
    "disconnected": "`{}`: it is not any more",
    "acted": "`{action, fields, step, key?, bot?}`: a button was pressed, with what stood in the fields; "
    "`key` was made by the page and counts once; `bot: true`: a bot pressed it",
    "hand": "`{raised}`: a hand goes up or down",
    "clock": "`{do, speed?, to_ms?}`: `run`, `pause`, `speed`, `jump`, or `resume` of a server that was down",
    "hold": "`{stage}`: whoever passes the stage waits; empty lets go",
    "aids": "`{aids}`: the help that volunteers get, of `hints`, `citations`, `arithmetic`",
    "inject": "`{id, targets}`: a card of the deck, for these seats",
    "hotline": "`{simulated}`: whether simulated operators answer",
    "door": "`{open}`: whether new people may join",
    "ended": "`{}`: the rehearsal is over",
    "failed": "`{what}`: an error of this program at a seat; it changes nothing, and the trainer sees it",
}

RULES: Mapping[str, str] = {
    "decisions": "Every decision that came up was answered by the rules at the first try. At a desk: no caller was cut "
    "off or told the wrong thing, no report released with an error or sent back without one.",
    "frozen_n": "N as it stands now is the number of people who checked in.",
    "viability": "Threshold and viable groups, as announced, are those of the law for the right N.",
    "delegates": "The delegates on the worksheet (before there is one: as announced) are those of the law for the true "
    "final alignment, and a tie was decided by a toss among the groups that are tied.",
    "worksheet_equals_report": "The figures reported last are those of the worksheet, number by number.",
    "no_unsigned_change": "No numbers left the precinct that chair, secretary and the captains of the viable groups "
    "had not signed as they stood.",
    "valid_report": "Headquarters has a report in which its checks find nothing. The time from the signed worksheet to "
    "that report is shown, and not judged.",
    "fallback": "After the app failed, another way was begun within ten minutes of the night's clock. A later start is "
    "*late*, none at all is *wrong*. Nothing to judge where the app did not fail.",
    "caught_before_release": "Every error in the numbers was put right before headquarters released the result, by the "
    "chair or by headquarters.",
    "checked_in": "The number that the check-in lead hands over is the number of people who checked in.",
    "typed_as_said": "Every number that an operator or clerk typed is the one that was said or written.",
}

_PARTS = {
    "chair": "Chair of a precinct",
    "checkin": "Check-in lead",
    "operator": "Hotline operator, and the trainer's own telephone",
    "entry": "Data entry",
    "reviewer": "Reviewer",
}
_PRECINCTS = 20
_CHAIRS = 8
_TURN_MS = 30_000
_TOUCHED, _RIGHT = 0.15, 0.75  # how often something comes up at a seat, and how often people do what is right


def markdown() -> str:
    """The page."""
    parts = [
        _HEAD,
        _deck(),
        _INJECTS,
        _effects(),
        _LOG,
        _events(),
        _STORED,
        _CONTROLS,
        *_controls(),
        _SCORES,
        _scores(),
        _BOTS,
        _errors_of_bots(),
    ]
    return "\n".join(part.strip("\n") + "\n" for part in parts)


def _deck() -> str:
    lines = []
    for number, card in enumerate(catalog(), start=1):
        share = f"; {card.share} % of them" if card.share < 100 else ""
        lines += [
            f"### {number}. {card.title.english()}",
            "",
            f"`{card.id}`, for {', '.join(card.roles)}{share}",
            "",
            f"- Trigger: {card.trigger.english()}",
            f"- Message: “{card.message.english()}”",
            f"- Expected: {card.expected.english()}",
            f"- Objective: {card.objective.english()}",
            f"- Private note: {card.note.english()}",
            f"- The rehearsal{_does(card.effect)}: {card.does.english()}",
            "",
        ]
    return "\n".join(lines)


def _does(effect: str) -> str:
    return f" acts (`{effect}`)" if effect else " does not act on it"


def _effects() -> str:
    rows = [f"| `{name}` | {what.english()} |" for name, what in EFFECTS.items()]
    return "\n".join(["| `does` | what happens |", "|---|---|", *rows])


def _events() -> str:
    rows = [f"| `{kind}` | {what} |" for kind, what in EVENTS.items()]
    return "\n".join(["| kind | data and meaning |", "|---|---|", *rows])


def _scores() -> str:
    from simulation.rehearsal.debrief import RULE

    labels: dict[str, list[str]] = {}
    for item in _items():
        label = item.label.english()
        if label not in labels.setdefault(item.id, []):
            labels[item.id].append(label)
    rows = [f"| `{name}` | {'; '.join(labels[name])} | {rule} |" for name, rule in RULES.items()]
    results = ", ".join(f"`{name}` ({label.english()})" for name, label in RESULTS.items())
    kinds = [f"| `{kind}` | {label.english()} |" for kind, label in KINDS.items()]
    return "\n".join(
        [
            *("| item | label | right when |", "|---|---|---|", *rows, "", f"Results: {results}.", ""),
            *("The three moments to talk about first:", RULE.english(), ""),
            *("Kinds of mistakes, as `caucus debrief --json` names them:", "", "| kind | what |", "|---|---|", *kinds),
        ]
    )


def _errors_of_bots() -> str:
    cases = (
        f"one in {bots.WRONG_CASE}; one in {bots.WRONG_CASE_UNTRAINED} where the night drafts somebody untrained (J)"
    )
    rows = (
        ("chair", "a worksheet", "`chairs.arithmetic_errors`, as the simulated chair of this precinct tonight"),
        ("chair", "a number typed into the app", "`headquarters.keying.app`"),
        ("chair, check-in lead", "a decision", cases),
        (
            "check-in lead",
            "the sheets added up",
            f"one in {bots.WRONG_SUM} (J: about as often as a chair's arithmetic)",
        ),
        ("operator", "a number typed from the telephone", "`headquarters.keying.phone`"),
        ("operator", "advice to a chair whom the app failed", f"one in {bots.WRONG_ADVICE} (J)"),
        ("data entry", "a number keyed again, or from a photo", "`headquarters.keying.inbox`"),
        (
            "reviewer",
            "another number than the worksheet's, or a broken rule, overlooked",
            f"one in {bots.OVERLOOKED} each (J: nobody has counted it)",
        ),
    )
    lines = [f"| {role} | {what} | {rate} |" for role, what, rate in rows]
    return "\n".join(["| bot | what goes wrong | how often |", "|---|---|---|", *lines])


def _items() -> Iterator[Item]:
    """Every item that is scored, of seats on which nothing was done yet."""
    from simulation.rehearsal.score import desk_items, score

    for seat in _room().seats.values():
        doing: Any = seat.doing
        yield from score(doing, 0) if isinstance(doing, Seat) else desk_items(doing.work, doing.mistakes)


# Controls


def _controls() -> Iterator[str]:
    """By role, every step that came up, with its fields and buttons."""
    found = _played()
    for role, title in _PARTS.items():
        rows = [
            f"| `{step}` | {name} | {_listed(fields)} | {_listed(buttons)} |"
            for (whose, step), (name, fields, buttons) in found.items()
            if whose == role
        ]
        yield "\n".join([f"### {title}", "", "| step | title | fields | buttons |", "|---|---|---|---|", *rows])


def _listed(named: Mapping[str, str]) -> str:
    return "<br>".join(f"{label} (`{name}`)" for name, label in named.items()).replace("|", "\\|")


Shown = tuple[str, dict[str, str], dict[str, str]]  # title, fields and buttons by their names


def _room() -> Room:
    """A small night with every role in it."""
    from simulation.night import Luck
    from simulation.night.setting import Setting
    from simulation.rehearsal.script import script
    from simulation.roster import synthesize
    from simulation.scenario import load

    with tempfile.TemporaryDirectory() as folder:
        roster = Path(folder, "small.csv")
        lines = synthesize("iowa-2020").csv().splitlines()[: _PRECINCTS + 1]
        roster.write_text("\n".join(lines) + "\n", encoding="utf-8")
        changes = {"turnout.people": "none", "hotline.operators": 2, "inbox.readers": 2}
        scenario = load("iowa-2020", changes, roster)
        _ = scenario.roster
    tonight = script(scenario, 3, 0, 90)
    room = Room(tonight, Setting(scenario, Luck(3, 0, scenario.spec.clock.resolution)))
    seats = [f"chair-{i}" for i in range(1, _CHAIRS + 1)] + [
        "checkin-1",
        "checkin-2",
        "operator-1",
        "entry-1",
        "reviewer-1",
    ]
    for number, seat in enumerate(seats, start=1):
        room.apply(Event(number, 0, room.now_ms, "joined", seat, {"person": number}))
    return room


def _played() -> dict[tuple[str, str], Shown]:
    """Steps by role and id, in the order of an evening."""
    room, luck = _room(), random.Random(1)
    found: dict[tuple[str, str], Shown] = {}
    seq = len(room.seats)
    effects = cycle(CASES)
    until = room.script.sites[0].call_to_order_ms + 4 * 3_600_000

    def happens(kind: str, seat: str, data: Mapping[str, Any]) -> None:
        nonlocal seq
        seq += 1
        room.apply(Event(seq, 0, room.now_ms, kind, seat, data))

    happens("clock", ROOM, {"do": "run"})
    while room.now_ms < until:
        room.advance(room.now_ms + _TURN_MS)
        effect = next(effects)
        for seat in room.seats.values():
            if luck.random() < _TOUCHED:
                seat.doing.affected(effect, {}, room.now_ms)
        for name, seat in (*room.seats.items(), (TRAINER, None)):  # type: ignore[assignment]  # or nobody's
            steps = room.seat_view(name).steps if seat else room.trainers_desk.steps(room.now_ms, room, room.aids)
            role = seat.role if seat else "operator"
            for step in steps:
                _note(found, role, step, room)
            doing = seat.doing if seat else None
            act = next_act(doing, room.now_ms, room) if isinstance(doing, Seat) and luck.random() < _RIGHT else None
            if act is not None:
                happens("acted", name, {"action": act.action, "fields": act.fields, "step": act.step})
            elif steps and luck.random() < 0.7:
                step = luck.choice(steps)
                if step.buttons:
                    fields = {
                        one.name: luck.choice([o.value for o in one.options] or ["3", "40"]) for one in step.fields
                    }
                    happens(
                        "acted", name, {"action": luck.choice(step.buttons).action, "fields": fields, "step": step.id}
                    )
    assert not room.failures, room.failures
    assert {f"case:{effect}" for effect in CASES} <= {step for _, step in found}
    return found


def _note(found: dict[tuple[str, str], Shown], role: str, step: Step, room: Room) -> None:
    """Write down what a step offers; what stands for a group or a number is said once."""
    groups = room.setting.groups
    name = re.sub(r"[#_]\d+$", "", step.id)
    name = ":".join("NUMBER" if part.isdecimal() else part for part in name.split(":"))
    _, fields, buttons = found.setdefault((role, name), (_plain(step.title.english()), {}, {}))
    for one in step.fields:
        row, dot, group = one.name.partition(".")
        label = one.label.english()
        numbered = one.name.rpartition("-")
        if dot and group in groups:
            fields.setdefault(f"{row}.GROUP", label.replace(group_label(group).english(), "GROUP"))
        elif numbered[2].isdecimal():
            shown = group_label(groups[int(numbered[2])]).english()
            fields.setdefault(f"{numbered[0]}-NUMBER", label.replace(shown, "GROUP"))
        else:
            options = [option.label.english() for option in one.options if option.value not in groups]
            fields.setdefault(one.name, f"{label}: {' / '.join(options)}" if options else label)
    for button in step.buttons:
        action = re.sub(r"[#_]\d+$", "", button.action)
        buttons.setdefault(action, button.label.english())


def _plain(title: str) -> str:
    """A title of a report without its number and precinct."""
    return "Report NUMBER: PRECINCT" if title.startswith("Report ") and ": " in title else title


_HEAD = f"""\
# Rehearsals

Written by `make docs`. What `caucus rehearse` throws at people, what it writes down, how it scores, and the names of
the controls that come up in a small trial night. The pages around it are described in
[rehearsal-pages.md](rehearsal-pages.md).

## The deck: failures that history showed

{len(catalog())} cards lie in every trainer's deck, beside the scenario's own. A trainer sends them at a click, to
every seat of the roles that they are for (some by lot to one in five), to the chosen seats, or to a share of them by
lot. Whether a card makes sense in a precinct is for the trainer to see.
"""

_INJECTS = f"""\
## A scenario's own injects

```toml
[[inject]]
at = "18:55"                    # at this time; or leave that out, and write a condition:
# when = "aligned >= 50%"       # one of the two, never both
uses = "app-loses-report"       # a card of the deck, for what is not said here
does = "app_down"               # what happens beside the message
data = {{ minutes = 30 }}
share = 0.2                     # of those whom it could be for
roles = ["chair"]
title = "..."
message = "..."
expected = "..."
objective = "..."
note = "..."
```

`when` is one of

```text
WHAT OP NUMBER%            WHAT: {", ".join(DONE)}   (chairs who have)
when SHARE have WHAT       SHARE: a quarter, a third, half, two thirds, three quarters, all
waiting OP NUMBER          callers on hold at the hotline
OP: >=  >  <=  <
```

Without `at` and `when` an inject waits for the trainer's click. It comes once; whom it is for by lot follows from the
night's seed. With `at`, for everybody, {" and ".join(f"`{effect}`" for effect in NIGHTLY)} happen in simulated
nights too.
"""

_LOG = """\
## The log

All state is a fold of events, in the order of `seq`: a restart, a replay and "branch from here" read the same rows.
Table `events`: `rehearsal`, `seq`, `wall_ms` (since the epoch), `at_ms` (of the night's clock: since midnight of
caucus day), `kind`, `seat` (`chair-1`, `operator-2`; `trainer`; `room`), `data` (JSON).
"""

_STORED = """\
### What is stored, and how names are deleted

`--file FILE` is a SQLite file, or `postgresql://USER@HOST/DATABASE`. Table `rehearsals` holds the night (scenario,
roster, seed, all that it takes to play it again), the secret that links follow from, and when a server last said that
it lives; `events` what happened; `people` the names, by number. No event holds a name: seats are named, and who sat
there is a number. What people type into a field is kept as they typed it.

"Delete all names" on the trainer's page, after the end, empties `people` of this rehearsal and, in SQLite, overwrites
what was there (PostgreSQL does when it vacuums); scores, timeline and replay stay. The whole rehearsal goes by deleting
FILE (with FILE-wal, FILE-shm and FILE.lock), or in PostgreSQL its rows of the three tables. Nothing is stored anywhere
else, except what a volunteer has typed and not sent, in that browser.

One server at a time runs a rehearsal: a second one on the same log is refused.
"""

_CONTROLS = """\
## Controls, by step

Accessible names in English; tests and programs that drive the pages use them. Each step is a form with `data-step`;
fields have their `name`, buttons the action as their `value`. GROUP stands for a group's name as on the page, NUMBER
for a number. Names of what stands around the steps are in [rehearsal-pages.md](rehearsal-pages.md#names-of-controls).
"""

_BOTS = """\
## Bots

A bot presses the buttons that people have, takes the time that simulated people take, and errs as the night's model
says; what it does follows from scenario, seed and night. `--bots N` plays chair-1 to chair-N; where the night has
fewer precincts, then checkin-1, operator-1, entry-1 and reviewer-1. More are not needed: at data entry and review
simulated people stand in wherever no seat is taken, and at the hotline simulated operators answer beside yours until
you switch them off, so that reports are released in a room of chairs alone. Only a second entry needs somebody at
data entry. "Let a bot play on" works for every seat, also in the middle of a call; whoever joins in its role takes
the seat back. What a bot did at a seat at which a person also played is scored for nobody.

Rates that are keys belong to the scenario; **J** marks assumptions of ours.
"""

_SCORES = """\
## Scores

What a person did, what would have been right, and the rule that says so. Nobody is failed by the clock alone. An error
counts where it was made; items that only follow from it name it in `because`.
"""
