"""Hotline clerks, who key what they are told or sent: every result twice, by different people.

The first one types with the night's keying errors, the second one copies the worksheet; what the backend refuses as
impossible is read once more. Also photographed worksheets, and those that are handed in, come to them.
"""

from __future__ import annotations

from loadtests.accounts import Account
from loadtests.contract import Report
from loadtests.traffic.evening import SiteEvening
from loadtests.users.base import CaucusUser, accepted, answered


class HotlineClerk(CaucusUser):
    """One clerk at headquarters."""

    kind = "clerk"

    def play(self) -> None:
        """Key what comes to this desk, one after the other."""
        if not self.has("clerk"):
            return
        clerks = self.tonight.clerks
        # before the night: whoever is known here is not locked out by guessers
        self.sign_in(clerks[self.number])
        for entry in self.tonight.evening.entries(self.number, len(clerks)):
            self.tonight.wait_until(entry.due_ms)
            self._keys(entry.site, entry.turn, clerks[self.number])

    def _keys(self, each: SiteEvening, turn: int, account: Account) -> None:
        readings: list[Report] = []
        for report in ((each.keyed,) if turn == 1 else ()) + (each.worksheet, each.true):
            if report not in readings:
                readings.append(report)
        for report in readings:
            ask = self.ask_of(each, report=report, key=self.key(f"entry{turn}"))
            fine = answered if report is not readings[-1] else accepted
            if self.write("clerk", ask, account, fine=fine).verdict != "refused":
                return
