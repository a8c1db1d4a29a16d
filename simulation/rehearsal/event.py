"""What happened in a rehearsal: the one thing that is stored. All state is a fold of these."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

TRAINER = "trainer"  # stands where a seat's id stands otherwise
ROOM = "room"
BOT, NOBODY = 0, -1  # who acts at a seat, beside people's numbers; nobody: an act at a seat where nobody sits


class Event(NamedTuple):
    """A row of the log."""

    seq: int  # from 1
    wall_ms: int  # since the epoch
    at_ms: int  # of the night's clock: ms since midnight of caucus day
    kind: str
    seat: str
    data: Mapping[str, Any]
