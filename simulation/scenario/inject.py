"""What `[[inject]]` tables may say: when something is thrown at a rehearsal, and what it can do there. One grammar.

Knows nothing of rehearsals: their deck (`simulation.rehearsal.injects`) has a card for every name here.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple, TypeAlias, get_args

Role: TypeAlias = Literal["chair", "checkin", "operator", "entry", "reviewer"]
ROLES: tuple[Role, ...] = get_args(Role)

CARDS = (  # the failures that history showed, in the order of their list; `uses` takes one as it is
    *("line-delays-start", "forms-run-out", "missing-voter", "wrong-line", "room-too-small", "chair-has-to-leave"),
    *("count-does-not-match", "headquarters-corrects-wrongly", "app-loses-report", "results-site-down"),
    *("no-trial-run", "publication-stopped", "broken-outside-check", "one-delegate-refused", "hotline-congested"),
    *("number-leaked", "operators-locked-out", "inbox-unread", "shifted-columns", "called-for-what-is-held"),
    *("results-by-post", "worksheet-binds", "paper-lost", "keying-slip", "no-signal", "text-fallback"),
)
EFFECTS = (  # what happens beside a message
    *("app_down", "app_hangs", "app_refuses", "app_loses", "app_works", "signal_lost"),
    *("nuisance_calls", "operators_locked_out", "wrong_correction"),
    *("forms_out", "missing_voter", "wrong_line", "new_registration", "long_line", "more_people_than_room"),
    *(
        "chair_leaves",
        "latecomer",
        "count_mismatch",
        "headquarters_corrects",
        "called_again",
        "strangers",
        "wrong_tool",
    ),
)
NIGHTLY = ("app_down", "nuisance_calls")  # those that a simulated night has too, where the time is known

DONE = ("started", "counted", "frozen", "aligned", "realigned", "awarded", "signed", "reported")  # by chairs
WAITING = "waiting"  # callers on hold

_WORDS = {"half": 50, "all": 100, "a third": 33, "a quarter": 25, "two thirds": 67, "three quarters": 75}
_WORDED = re.compile(rf"when ({'|'.join(_WORDS)}) have ([a-z]+)")
_COMPARED = re.compile(r"([a-z]+) *(>=|>|<=|<) *(\d{1,6}(?:\.\d+)?) *(%?)")

EXPECTED = (
    f'a share of the chairs who have {", ".join(DONE)}, such as "aligned >= 50%" or "when half have aligned", '
    'or callers on hold, such as "waiting >= 10"'
)


class Condition(NamedTuple):
    """What has to be reached."""

    what: str  # of DONE, or WAITING
    op: str
    number: float  # percent of the chairs, or callers

    def holds(self, value: float) -> bool:
        """Whether a value reaches it."""
        return {
            ">=": value >= self.number,
            ">": value > self.number,
            "<=": value <= self.number,
            "<": value < self.number,
        }[self.op]


def parse_condition(text: str) -> Condition:
    """Read what `when` says; ValueError with what would be accepted."""
    said = " ".join(text.lower().split())
    worded = _WORDED.fullmatch(said)
    if worded and worded[2] in DONE:
        return Condition(worded[2], ">=", _WORDS[worded[1]])
    compared = _COMPARED.fullmatch(said)
    if compared:
        what, op, number, percent = compared[1], compared[2], float(compared[3]), bool(compared[4])
        if (what in DONE and percent and number <= 100) or (what == WAITING and not percent):
            return Condition(what, op, number)
    raise ValueError(EXPECTED)
