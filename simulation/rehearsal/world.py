"""What a seat may ask of the rest of the night: telephone, app and headquarters. The room fulfills it, tests too."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from simulation.rehearsal.view import Text

Weather = Literal["works", "refuses", "hangs", "down", "no signal"]  # of the practice app, at a seat, now


@dataclass(frozen=True, slots=True)
class Figures:
    """A result as somebody says, writes or types it. Groups without anybody may be left out."""

    attendees: int
    first_alignment: Mapping[str, int]
    final: Mapping[str, int]
    delegates: Mapping[str, int]

    def rows(self) -> dict[str, Mapping[str, int]]:
        """The counts by group, under the names that fields begin with."""
        return {"first": self.first_alignment, "final": self.final, "delegates": self.delegates}


@dataclass(frozen=True, slots=True)
class Telephone:
    """A seat's telephone now. Times in ms of the night's clock."""

    state: Literal["idle", "dialing", "busy", "waiting", "talking", "ended"]
    since_ms: int
    with_whom: Text | None = None  # who answered
    ended_as: Text | None = None
    taken: bool | None = None  # of an ended call: whether what was read aloud was typed; None: as far as one knows


@dataclass(frozen=True, slots=True)
class Sent:
    """How the app took something: only "accepted" means that headquarters has it, whatever the app says."""

    shown: Literal["accepted", "refused", "hangs", "down", "no signal"]
    reasons: tuple[Text, ...] = ()
    arrived: bool = False  # false behind an "accepted": acknowledged, and lost


class World(Protocol):
    """The night outside the precinct."""

    def weather(self, seat: str) -> Weather:
        """How the app is here and now; the scenario and the injects decide."""

    def log_in(self, seat: str, pin: str) -> Sent:
        """Try the app's log-in; the right PIN may be refused, as in 2020."""

    def submit(self, seat: str, step: str, figures: Figures) -> Sent:
        """Send "open", "first-alignment", "final" or "photo" by app."""

    def telephone(self, seat: str) -> Telephone:
        """What the line is doing."""

    def dial(self, seat: str) -> None:
        """Call the hotline to report."""

    def hang_up(self, seat: str) -> None:
        """End the call, or stop waiting."""

    def dictate(self, seat: str, figures: Figures) -> None:
        """Read the worksheet to whoever answered; ends the call as soon as that is typed."""

    def text_photo(self, seat: str, figures: Figures) -> bool:
        """Send a photo of the worksheet; False where headquarters gave nobody a number for that."""
