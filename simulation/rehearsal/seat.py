"""What every seat in a precinct shares: what was typed, decisions that come up, consequences, mistakes.

A seat is a fold: its state follows from its script and the actions alone. Knows nothing of the room and of pages.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from simulation.rehearsal import cases
from simulation.rehearsal.cases import Case
from simulation.rehearsal.script import PrecinctScript
from simulation.rehearsal.view import Button, Field, Option, Stage, Step, Text, say
from simulation.rehearsal.world import World

MOST_TYPED = 1_000  # characters of a field that are kept: the names of all groups find room
HINTS, CITATIONS, ARITHMETIC = "hints", "citations", "arithmetic"

_NUMBER = re.compile(r"[0-9]{1,6}|[0-9]{1,3}(?:[ ,][0-9]{3})")

# Effects of injects that a seat in a precinct acts on, and the case that comes up there.
CASES: Mapping[str, Callable[[str], Case]] = {
    "forms_out": cases.forms_out,
    "missing_voter": cases.missing_voter,
    "wrong_line": cases.wrong_line,
    "new_registration": cases.new_registration,
    "long_line": cases.long_line,
    "more_people_than_room": cases.room_full,
    "chair_leaves": cases.chair_leaves,
    "headquarters_corrects": cases.headquarters_corrects,
    "called_again": cases.called_again,
    "strangers": cases.strangers,
    "wrong_tool": cases.wrong_tool,
    "latecomer": cases.latecomer,
}
AT_THE_DOOR = frozenset(
    {"forms_out", "missing_voter", "wrong_line", "new_registration", "long_line", "more_people_than_room"}
)


def choices(text: str, options: Iterable[str]) -> set[str]:
    """The values of a field of choices, joined by commas; a group's name may hold a comma itself."""
    known, parts, found, at = set(options), text.split(","), set(), 0
    while at < len(parts):
        for end in range(len(parts), at, -1):
            value = ",".join(parts[at:end]).strip()
            if value in known:
                found.add(value)
                at = end
                break
        else:
            at += 1
    return found


@dataclass(slots=True)
class Mistake:
    """A wrong answer, whether or not anybody noticed."""

    kind: str  # one of `score.KINDS`
    stage: str
    at_ms: int
    given: Text | str
    right: Text | str
    citation: Text
    corrected_ms: int | None = None


def number(text: str) -> int | None:
    """A count of people as it was typed; None for what is no number at all."""
    text = text.strip()
    return int(text.replace(" ", "").replace(",", "")) if _NUMBER.fullmatch(text) else None


class Seat:
    """A person's place in a precinct. Subclasses say what can be done, and do it."""

    role = ""

    def __init__(self, precinct: PrecinctScript, seat: str) -> None:
        self.precinct = precinct
        self.seat = seat
        self.stage = self.order()[0]
        self.since_ms: dict[str, int] = {}  # when each stage was entered first
        self.typed: dict[str, dict[str, str]] = {}  # by step and field
        self.mistakes: list[Mistake] = []
        self.answers: dict[str, str] = {}  # of cases, by their id: the first one counts
        self.waiting: list[Case] = []  # cases that interrupt
        self.told: tuple[Text, ...] = ()  # the consequence of the last action ...
        self.told_at = ""  # ... and the step that it was of
        self.skipped: tuple[str, ...] = ()  # stages that were over when this person came

    def order(self) -> tuple[str, ...]:
        """The stages of this evening."""
        raise NotImplementedError

    def label(self, stage: str) -> Text:
        """What a stage is called."""
        raise NotImplementedError

    def stages(self) -> tuple[Stage, ...]:
        """All parts of the evening, and where it stands."""
        order = self.order()
        now = order.index(self.stage)
        at_end = self.stage == order[-1]
        return tuple(
            Stage(
                name, self.label(name), "done" if i < now or (i == now and at_end) else "now" if i == now else "later"
            )
            for i, name in enumerate(order)
        )

    @property
    def done(self) -> bool:
        """Whether there is nothing more to do."""
        return self.stage == self.order()[-1]

    def steps(self, at_ms: int, world: World, aids: Iterable[str] = ()) -> tuple[Step, ...]:
        """What can be done now, the most important first, with as much help as the trainer allows."""
        found = list(self._steps(at_ms, world))
        if self.waiting:
            found = [self._case_step(self.waiting[0]), *(step for step in found if step.place != "room")]
        if found and self.told:
            at = next((i for i, step in enumerate(found) if step.id == self.told_at), 0)
            found[at] = replace(found[at], feedback=(*self.told, *found[at].feedback))
        allowed = frozenset(aids)
        return tuple(self._aided(step, allowed) for step in found)

    def act(self, action: str, fields: Mapping[str, str], at_ms: int, world: World) -> None:
        """Do what a button says, with what was typed. What no button offers now is ignored."""
        step = next((one for one in self.steps(at_ms, world) if any(b.action == action for b in one.buttons)), None)
        if step is None:
            return
        self.since_ms.setdefault(self.stage, at_ms)
        texts = self.typed.setdefault(step.id, {})
        for field in step.fields:
            if field.name in fields:
                texts[field.name] = str(fields[field.name])[:MOST_TYPED]
        self.told, self.told_at = (), step.id
        name, _, rest = action.partition(":")
        if name == "answer":
            self._answered(rest, texts.get("answer", ""), at_ms)
        else:
            self._do(name, rest, texts, at_ms, world)

    def advance(self, at_ms: int, world: World) -> None:
        """Let time pass. Nothing is failed by the clock alone."""

    def affected(self, effect: str, data: Mapping[str, object], at_ms: int) -> bool:
        """An inject reaches this seat. False where it changes nothing here: too late, or nothing of this seat's."""
        if effect == "catch_up":
            return self._catch_up(str(data.get("stage", "")), at_ms)
        if effect not in CASES or self.done or (effect in AT_THE_DOOR and not self._doors_open()):
            return False
        return self.asked(effect)

    def asked(self, effect: str) -> bool:
        """An inject's case comes up: once more, where it did before."""
        before = sum(1 for name in (*self.answers, *(case.id for case in self.waiting)) if name.split("#")[0] == effect)
        name, people = f"{effect}#{before + 1}", self.precinct.attendance
        make = CASES[effect]
        case = cases.room_full(name, people, people * 4 // 5) if make is cases.room_full else make(name)
        self.waiting.append(case.turned(before + len(self.seat)))
        return True

    # For subclasses

    def _steps(self, at_ms: int, world: World) -> Iterable[Step]:
        raise NotImplementedError

    def _do(self, name: str, rest: str, texts: Mapping[str, str], at_ms: int, world: World) -> None:
        raise NotImplementedError

    def _doors_open(self) -> bool:
        raise NotImplementedError

    def _catch_up(self, stage: str, at_ms: int) -> bool:
        raise NotImplementedError

    def _case(self, name: str) -> Case | None:
        """A case of this evening by its id."""
        return next((case for case in self.waiting if case.id == name), None)

    def _case_step(self, case: Case) -> Step:
        return Step(
            id=f"case:{case.id}",
            title=case.title,
            story=case.story,
            fields=(
                Field(
                    "answer",
                    "choice",
                    say("What do you do?"),
                    options=tuple(Option(answer.value, answer.label) for answer in case.answers),
                    value=self.typed.get(f"case:{case.id}", {}).get("answer", ""),
                ),
            ),
            buttons=(Button(f"answer:{case.id}", say("Do it")),),
            hints=(case.hint,),
            citations=(case.citation,),
        )

    def _answered(self, name: str, value: str, at_ms: int) -> None:
        case = self._case(name)
        answer = case.answer(value) if case else None
        if case is None or answer is None:
            self.tell(say("Please choose one of the answers."))
            return
        self.answers[name] = value
        self.waiting = [one for one in self.waiting if one.id != name]
        self.tell(answer.consequence)
        if not answer.right:
            self.err("case", answer.label, case.right.label, case.citation, at_ms, corrected=True)
        self._after_case(at_ms)

    def _after_case(self, at_ms: int) -> None:
        """A case was answered: go on where that was the last."""

    def _aided(self, step: Step, allowed: frozenset[str]) -> Step:
        """The step without the help that the trainer does not give."""
        return replace(
            step,
            hints=step.hints if HINTS in allowed else (),
            citations=step.citations if CITATIONS in allowed else (),
        )

    def go(self, stage: str, at_ms: int) -> None:
        """Enter a stage."""
        self.stage = stage
        self.since_ms.setdefault(stage, at_ms)

    def following(self) -> str:
        """The stage after this one."""
        order = self.order()
        return order[min(order.index(self.stage) + 1, len(order) - 1)]

    def tell(self, *texts: Text) -> None:
        """Say what came of the action."""
        self.told = (*self.told, *texts)

    def err(
        self, kind: str, given: Text | str, right: Text | str, citation: Text, at_ms: int, *, corrected: bool = False
    ) -> None:
        """Note a mistake; one that is still open is only brought up to date."""
        for mistake in self.mistakes:
            if mistake.kind == kind and mistake.corrected_ms is None:
                mistake.given, mistake.right = given, right
                return
        self.mistakes.append(Mistake(kind, self.stage, at_ms, given, right, citation, at_ms if corrected else None))

    def mend(self, kind: str, at_ms: int) -> None:
        """A mistake was put right."""
        for mistake in self.mistakes:
            if mistake.kind == kind and mistake.corrected_ms is None:
                mistake.corrected_ms = at_ms

    def field(self, step: str, name: str, label: Text, **more: object) -> Field:
        """A field for a number, with what was typed there last."""
        return Field(name, "number", label, self.typed.get(step, {}).get(name, ""), **more)  # type: ignore[arg-type]  # as named there

    def numbers(
        self, labels: Mapping[str, Text], texts: Mapping[str, str], blank: Sequence[str] = ()
    ) -> dict[str, int] | None:
        """The numbers typed; None, and told why, where one is no number at all. Fields of `blank` may be empty: 0."""
        found: dict[str, int] = {}
        wrong = []
        for name, label in labels.items():
            text = texts.get(name, "").strip()
            value = 0 if not text and name in blank else number(text)
            if value is None:
                typed = say("“{typed}” is not a whole number.", typed=text) if text else say("A number is missing.")
                wrong.append(say("{field}: {problem}", field=label, problem=typed))
            else:
                found[name] = value
        if not wrong and blank and not any(texts.get(name, "").strip() for name in labels):
            wrong.append(say("Nothing was written down yet."))
        if wrong:
            self.tell(*wrong)
            return None
        return found
