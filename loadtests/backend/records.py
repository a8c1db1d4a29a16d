"""A site's record: its states, and what each command makes of it. Pure functions; the one place where that is decided.

Knows nothing of databases, threads or HTTP.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from loadtests.backend import checks
from loadtests.backend.checks import Figures, RefusedError, finding
from loadtests.backend.storage import Caucus, Site
from loadtests.content import CORRECTION, canonical, content_sha256

LONGEST_REASON = 500  # characters
PHOTOS_BYTES = 20_000_000  # of a site's photos together: corrections included, a worksheet takes a few
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")


class State(StrEnum):
    """Where a site's record stands. Only ACCEPTED makes figures public."""

    EXPECTED = "expected"
    OPENED = "opened"
    FIRST_ALIGNMENT = "first_alignment"
    ENTERED_ONCE = "entered_once"
    DIFFERS = "differs"
    IN_REVIEW = "in_review"
    APPROVED_ONCE = "approved_once"
    RETURNED = "returned"
    ACCEPTED = "accepted"


class Step(StrEnum):
    """What can be done to a record; and, apart from all records, PUBLICATION."""

    OPEN = "open"
    FIRST_ALIGNMENT = "first-alignment"
    FINAL = "final"
    PHOTO = "photo"
    ENTRY = "entry"
    CHOOSE = "choose"
    APPROVE = "approve"
    RETURN = "return"
    PUBLICATION = "publication"


# The state machine: which steps a state allows, and where they may lead. A complete report goes to review where the
# checks warn, or doubts remain (W20 to W23); a step that is sent again needs a correction, and is such a doubt.
_CHECKED = (State.ACCEPTED, State.IN_REVIEW)
_REVIEW = (State.IN_REVIEW,)
_CORRECTIONS = dict.fromkeys((Step.OPEN, Step.FIRST_ALIGNMENT, Step.FINAL), _REVIEW)
MACHINE: Mapping[State, Mapping[Step, tuple[State, ...]]] = {
    State.EXPECTED: {Step.OPEN: (State.OPENED,), Step.ENTRY: (State.ENTERED_ONCE,)},
    State.OPENED: {
        Step.OPEN: (State.OPENED,),
        Step.FIRST_ALIGNMENT: (State.FIRST_ALIGNMENT,),
        Step.FINAL: _CHECKED,  # where there are no preference groups
        Step.ENTRY: (State.ENTERED_ONCE,),
    },
    State.FIRST_ALIGNMENT: {
        Step.OPEN: (State.FIRST_ALIGNMENT,),
        Step.FIRST_ALIGNMENT: (State.FIRST_ALIGNMENT,),
        Step.FINAL: _CHECKED,
        Step.ENTRY: (State.ENTERED_ONCE,),
    },
    State.ENTERED_ONCE: {
        Step.ENTRY: (State.DIFFERS, *_CHECKED),
        # an entry for the wrong site is taken away: the app goes on where it was
        Step.RETURN: (State.EXPECTED, State.OPENED, State.FIRST_ALIGNMENT, State.RETURNED),
    },
    State.DIFFERS: {Step.CHOOSE: _REVIEW},
    State.IN_REVIEW: {
        **_CORRECTIONS,
        Step.PHOTO: _REVIEW,
        Step.APPROVE: (State.APPROVED_ONCE,),
        Step.RETURN: (State.RETURNED,),
    },
    State.APPROVED_ONCE: {
        **_CORRECTIONS,
        Step.PHOTO: (State.APPROVED_ONCE, State.IN_REVIEW),
        Step.APPROVE: (State.ACCEPTED,),  # by somebody else
        Step.RETURN: (State.RETURNED,),
    },
    State.RETURNED: {
        **_CORRECTIONS,
        Step.PHOTO: (State.RETURNED, State.IN_REVIEW),
        Step.ENTRY: (State.ENTERED_ONCE,),
    },
    State.ACCEPTED: {
        **_CORRECTIONS,
        Step.PHOTO: (State.ACCEPTED, State.IN_REVIEW),
        Step.RETURN: (State.RETURNED,),
    },
}


@dataclass(frozen=True, slots=True)
class Command:
    """One write: what somebody who may do so asks for. `body` is the request's, of known fields and types."""

    step: str
    site: str  # "" for PUBLICATION
    actor: str
    role: str
    key: str  # Idempotency-Key
    body: Mapping[str, Any]  # of a photo: {"sha256", "bytes", "type"}
    received: Path | None = None  # the file of a photo, to be put where it belongs

    @property
    def content_sha256(self) -> str:
        """What the command says."""
        return content_sha256(self.step, self.site, self.body)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a write is answered: an HTTP status and its JSON, `{"errors": [...]}` where it was refused."""

    status: int
    body: Mapping[str, Any]
    replayed: bool = False  # a repetition: the answer is the first one's


@dataclass(frozen=True, slots=True)
class Record:
    """All that is known of a site's report; a fold of its versions."""

    state: State = State.EXPECTED
    version: int = 0
    attendees: int | None = None
    first_alignment: Mapping[str, int] | None = None
    final: Mapping[str, int] | None = None
    delegates: Mapping[str, int] | None = None
    photo: Mapping[str, Any] | None = None
    warnings: tuple[Mapping[str, str], ...] = ()
    entries: tuple[Mapping[str, Any], ...] = ()  # of the hotline, until they agree: {"by", "figures"}
    doubts: tuple[str, ...] = ()  # warnings that no figures can take back: they stay until the record is accepted
    approved_by: str | None = None  # the first of two

    @property
    def figures(self) -> Figures:
        """The numbers."""
        return Figures(self.attendees, self.first_alignment, self.final, self.delegates)

    def next_step(self, ballot: bool) -> Step | None:
        """What the chair sends next; None where that is nothing. A secret `ballot` has no first alignment."""
        if self.state in (State.ENTERED_ONCE, State.DIFFERS, State.RETURNED):
            return None
        if self.attendees is None:
            return Step.OPEN
        if self.final is None:
            return Step.FINAL if ballot or self.first_alignment is not None else Step.FIRST_ALIGNMENT
        return Step.PHOTO if self.photo is None else None

    @property
    def differences(self) -> list[dict[str, Any]]:
        """What two clerks keyed differently, field by field; nothing where there are no two entries."""
        if len(self.entries) < 2:
            return []
        one, two = (_fields(entry["figures"]) for entry in self.entries)
        return [
            {"field": field, "entry_1": one.get(field, 0), "entry_2": two.get(field, 0)}
            for field in sorted(one.keys() | two.keys())
            if one.get(field, 0) != two.get(field, 0)
        ]

    def json(self) -> str:
        """As the column `records.record` holds it; state and version have columns of their own."""
        return canonical(
            {
                **self.figures.json(),
                "photo": self.photo,
                "warnings": self.warnings,
                "entries": self.entries,
                "doubts": self.doubts,
                "approved_by": self.approved_by,
            }
        )

    @classmethod
    def of(cls, state: str, version: int, text: str) -> Record:
        """The record of a row of `records`."""
        held = json.loads(text)
        for name in ("warnings", "entries", "doubts"):
            held[name] = tuple(held.get(name, ()))
        return cls(State(state), version, **held)


@dataclass(frozen=True, slots=True)
class Decision:
    """What a command comes to: the record from here on, and what else is answered."""

    record: Record
    detail: Mapping[str, Any]


Judge = Callable[[Record], Iterable[Mapping[str, str]]]  # the warnings about a record's figures and doubts


def decide(
    caucus: Caucus, record: Record, command: Command, photos: Mapping[str, int] | None = None, *, forgets: bool = False
) -> Decision:
    """The record after a command. Raises RefusedError where the rules do not allow it.

    `photos` are those that the site has stored, replaced ones included: their bytes by their digest. With
    `forgets`, a fault of history, a step that was sent before is taken as if it were the first time.
    """
    site = caucus.sites.get(command.site)
    if site is None:
        raise RefusedError(finding("R01"))
    step, body = Step(command.step), command.body
    _refuse_reason(step, body)
    if step in (Step.OPEN, Step.FIRST_ALIGNMENT, Step.FINAL, Step.PHOTO):
        _refuse_order(site, caucus.rules, record, step, is_correction(body), forgets)
        if step is Step.PHOTO and sum({**(photos or {}), body["sha256"]: body["bytes"]}.values()) > PHOTOS_BYTES:
            raise RefusedError(finding("R17"))
    elif step is Step.ENTRY:
        _refuse_entry(record, command.actor)
    else:
        _refuse_review(record, step, body, command.actor)
    after = _after(record, step, body, command.actor, lambda changed: _judge(caucus, site, changed))
    if step in (Step.OPEN, Step.FIRST_ALIGNMENT, Step.FINAL, Step.ENTRY):
        keyed = after.entries[-1]["figures"] if after.entries else None
        errors = checks.errors(caucus, site, after.figures if keyed is None else Figures(**keyed))
        if errors:
            raise RefusedError(*(replace(one, field=_member(step, one.field)) for one in errors))
    if after.state not in MACHINE[record.state].get(step, ()) and not forgets:
        raise AssertionError(f"{record.state} --{step}--> {after.state} is not in the state machine")
    detail: dict[str, Any] = {}
    if step is Step.ENTRY:
        detail = {"entry": 1 if after.state is State.ENTERED_ONCE else 2, "differences": after.differences}
    elif step is Step.PHOTO:
        detail = dict(after.photo or {})
    return Decision(after, detail)


def _member(step: Step, field: str | None) -> str | None:
    """Where a figure stands in the body of a step: alignments are its `counts`."""
    told = {Step.FIRST_ALIGNMENT: "first_alignment", Step.FINAL: "final"}.get(step)
    if field is None or told is None or field.split(".", 1)[0] != told:
        return field
    return "counts" + field.removeprefix(told)


def replay(record: Record, step: str, body: Mapping[str, Any], actor: str, warnings: Iterable[Any]) -> Record:
    """The record after a stored version, whose warnings are known: what `decide` came to, without judging again."""
    return _after(record, Step(step), body, actor, lambda _: warnings)


def _after(record: Record, step: Step, body: Mapping[str, Any], actor: str, judge: Judge) -> Record:
    changed = replace(record, version=record.version + 1)
    if step is Step.APPROVE:
        if record.state is State.IN_REVIEW:
            return replace(changed, state=State.APPROVED_ONCE, approved_by=actor)
        return replace(changed, state=State.ACCEPTED, approved_by=None, doubts=())
    if step is Step.RETURN:
        if record.state is State.ENTERED_ONCE:
            return replace(changed, entries=(), state=_without_entries(record))
        return replace(changed, state=State.RETURNED, approved_by=None, doubts=_with(record, "W23"))
    if step is Step.PHOTO:
        changed = replace(changed, photo={name: body[name] for name in ("sha256", "bytes", "type")})
        if not is_correction(body):
            return changed
    elif step is Step.ENTRY:
        entry: dict[str, Any] = {"by": actor, "figures": {name: body[name] for name in Figures.NAMES}}
        entries = (*record.entries, entry)
        if len(entries) == 1:
            return replace(changed, entries=entries, state=State.ENTERED_ONCE)
        if _fields(entries[0]["figures"]) != _fields(entry["figures"]):
            return replace(changed, entries=entries, state=State.DIFFERS)
        changed = _take(changed, entry)
    elif step is Step.CHOOSE:
        changed = _take(changed, record.entries[body["entry"] - 1], "W21")
    elif step is Step.OPEN:
        changed = replace(changed, attendees=body["attendees"])
    elif step is Step.FIRST_ALIGNMENT:
        changed = replace(changed, first_alignment=body["counts"])
    else:
        changed = replace(changed, final=body["counts"], delegates=body["delegates"])
    if is_correction(body):
        changed = replace(changed, doubts=_with(changed, "W20"))
    warnings = tuple(judge(changed))
    if changed.final is None:
        state = State.OPENED if changed.first_alignment is None else State.FIRST_ALIGNMENT
    else:
        state = State.IN_REVIEW if warnings else State.ACCEPTED
    return replace(changed, state=state, warnings=warnings, approved_by=None)


def _without_entries(record: Record) -> State:
    """Where a record stood before the hotline's first entry."""
    if record.final is not None:
        return State.RETURNED
    if record.first_alignment is not None:
        return State.FIRST_ALIGNMENT
    return State.EXPECTED if record.attendees is None else State.OPENED


def _with(record: Record, *codes: str) -> tuple[str, ...]:
    return tuple(sorted({*record.doubts, *codes}))


def _take(record: Record, entry: Mapping[str, Any], *doubts: str) -> Record:
    """The record with the figures of an entry, in doubt where the app had sent others."""
    keyed = _fields(entry["figures"])
    sent = _fields(record.figures.json())
    if "W23" not in record.doubts and any(keyed.get(field, 0) != count for field, count in sent.items()):
        doubts = (*doubts, "W22")
    return replace(record, **entry["figures"], entries=(), doubts=_with(record, *doubts))


def _judge(caucus: Caucus, site: Site, record: Record) -> list[dict[str, str]]:
    found = checks.warnings(caucus, site, record.figures) if record.final is not None else []
    return [one.json() for one in (*found, *map(finding, record.doubts))]


def _fields(figures: Mapping[str, Any]) -> dict[str, int]:
    """Figures as "final.Sanders": 12, without zeros: a group that is not named counts nobody."""
    found = {f"{name}.{group}": n for name in Figures.NAMES[1:] for group, n in (figures[name] or {}).items() if n}
    return {**found, "attendees": figures["attendees"]} if figures["attendees"] else found


def is_correction(body: Mapping[str, Any]) -> bool:
    """Whether a step is meant to be there already, and says why it changes."""
    return body.get(CORRECTION) is not None


def _refuse_reason(step: Step, body: Mapping[str, Any]) -> None:
    reason = body["reason"] if step is Step.RETURN else body[CORRECTION] if is_correction(body) else "-"
    if not 1 <= len(reason.strip()) <= LONGEST_REASON or _UNPRINTABLE.search(reason):
        raise RefusedError(finding("R04", field="reason" if step is Step.RETURN else CORRECTION))


def _refuse_order(site: Site, rules: str, record: Record, step: Step, correction: bool, forgets: bool) -> None:
    """The steps of an evening come in their order, and each once but for corrections."""
    if record.state in (State.ENTERED_ONCE, State.DIFFERS):
        raise RefusedError(finding("R15"))
    there = {
        Step.OPEN: record.attendees is not None,
        Step.FIRST_ALIGNMENT: record.first_alignment is not None or record.final is not None,
        Step.FINAL: record.final is not None,
        Step.PHOTO: record.photo is not None,
    }[step]
    if there and not correction and not forgets:
        raise RefusedError(finding("R13"))
    if record.attendees is None and step is not Step.OPEN:
        raise RefusedError(finding("R10"))
    if step is Step.FINAL and record.first_alignment is None and checks.has_groups(site, rules):
        raise RefusedError(finding("R11"))
    if step is Step.PHOTO and record.final is None:
        raise RefusedError(finding("R12"))
    if correction and not there:
        raise RefusedError(finding("R14"))


def refuse_photo_of(
    caucus: Caucus, record: Record, site: str, photos: Mapping[str, int], *, correction: bool, forgets: bool
) -> None:
    """Raise RefusedError where no photo whatever would be taken: asked before one is received."""
    _refuse_order(caucus.sites[site], caucus.rules, record, Step.PHOTO, correction, forgets)
    if sum(photos.values()) >= PHOTOS_BYTES:
        raise RefusedError(finding("R17"))


def _refuse_entry(record: Record, actor: str) -> None:
    if record.state is State.DIFFERS:
        raise RefusedError(finding("R31"))
    if record.state in (State.IN_REVIEW, State.APPROVED_ONCE, State.ACCEPTED):
        raise RefusedError(finding("R16"))
    if record.entries and record.entries[0]["by"] == actor:
        raise RefusedError(finding("R30"))


def _refuse_review(record: Record, step: Step, body: Mapping[str, Any], actor: str) -> None:
    if step is Step.CHOOSE and record.state is not State.DIFFERS:
        raise RefusedError(finding("R32"))
    if step is Step.APPROVE and record.state not in (State.IN_REVIEW, State.APPROVED_ONCE):
        raise RefusedError(finding("R33"))
    if step is Step.RETURN and Step.RETURN not in MACHINE[record.state]:
        raise RefusedError(finding("R35"))
    if body["version"] != record.version:
        raise RefusedError(finding("R03", f"version {body['version']} named, {record.version} is the last", "version"))
    if step is Step.APPROVE and record.approved_by == actor:
        raise RefusedError(finding("R34"))


def machine_markdown() -> str:
    """The table of the reference page."""
    rows = [
        f"| {state} | {step} | {', '.join(after)} |"
        for state, steps in MACHINE.items()
        for step, after in steps.items()
    ]
    return "\n".join(("| state | step | leads to |", "|---|---|---|", *rows)) + "\n"
