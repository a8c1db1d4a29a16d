"""People at headquarters who release what was stopped: two for each record, with the worksheet before their eyes.

Of two entries that differ they choose the one that is on the worksheet. A signed worksheet binds even with a wrong sum;
some chairs are asked to add up again all the same, as the night has it.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from loadtests.accounts import Account
from loadtests.contract import Ask, Outcome
from loadtests.traffic.evening import SiteEvening, right_entry, says
from loadtests.users.base import CaucusUser, answered

_LOOKS_S = 30.0
_LEAST_S = 0.5
_MOST_PAGES = 1000
_WAITS_FOR_OTHERS = 5  # looks, before somebody else's work is taken over


class Reviewer(CaucusUser):
    """One of them."""

    kind = "reviewer"

    def play(self) -> None:
        """Empty the queue, until the night is over and nothing waits."""
        if not self.has("review.list"):
            return
        account = self.tonight.reviewers[self.number]
        self._returned: set[str] = set()
        self._looks: Counter[tuple[str, object]] = Counter()  # at what is somebody else's
        self._left: set[tuple[str, object]] = set()  # what this reviewer can do nothing about: site and version
        self.sign_in(account)  # before the night: as the clerks do
        self.tonight.begins.wait()
        while True:
            closing = self.tonight.closes.is_set()  # before the look: what came until then is seen
            waiting = [
                row for row in self._queue(account) if (str(row.get("site")), row.get("version")) not in self._left
            ]
            for row in waiting:
                self._decides(row, account)
            if closing and not waiting:
                return
            time.sleep(_LEAST_S if closing else max(_LEAST_S, self.tonight.scaled(_LOOKS_S)))

    def _queue(self, account: Account) -> Iterator[Mapping[str, Any]]:
        """All that waits, page by page."""
        after: object = ""
        for _ in range(_MOST_PAGES):
            outcome = self._page(after, account)
            rows = outcome.values.get("reports")
            if not outcome.accepted or not isinstance(rows, Sequence):
                return
            yield from (row for row in rows if isinstance(row, Mapping))
            after = outcome.values.get("next") or ""
            if not after:
                return

    def _page(self, after: object, account: Account) -> Outcome:
        if self.session is None and not self.sign_in(account):
            return Outcome("refused", 401)
        ask = Ask(session=self.session, after=after)
        outcome = self.insist("review.list", ask, fine=lambda one: one.accepted or one.status == 401)
        if outcome.status == 401:
            self.session = None
        return outcome

    def _decides(self, row: Mapping[str, Any], account: Account) -> None:
        """One record: choose, send back or approve. Somebody else may have been quicker: that is no failure."""
        each = self.tonight.evening.by_code.get(str(row.get("site")))
        if each is not None and not self._is_mine(row, each):
            return
        if each is None or self._acts(row, each, account).verdict == "refused":
            self._left.add((str(row.get("site")), row.get("version")))

    def _is_mine(self, row: Mapping[str, Any], each: SiteEvening) -> bool:
        """They share the queue, so that nobody does twice what somebody does already."""
        what = (each.site.code, row.get("version"))
        self._looks[what] += 1
        turn = each.number + (row.get("state") == "approved_once")
        return turn % len(self.tonight.reviewers) == self.number or self._looks[what] > _WAITS_FOR_OTHERS

    def _acts(self, row: Mapping[str, Any], each: SiteEvening, account: Account) -> Outcome:
        ask = self.ask_of(each, version=row.get("version"), key=self.key("review"))
        entries = row.get("entries")
        if row.get("state") == "entered_once":
            return Outcome("refused", 0)  # waits for another clerk
        if row.get("state") == "differs":
            if not self.has("review.choose") or not isinstance(entries, Sequence):
                return Outcome("refused", 0)
            return self.write("review.choose", replace(ask, entry=right_entry(each, entries)), account, fine=answered)
        if self._sends_back(row, each):
            self._returned.add(each.site.code)
            return self.write("review.return", replace(ask, reason="please add up again"), account, fine=answered)
        if row.get("approved_by") == account.user:
            return Outcome("busy", 0)  # waits for somebody else
        return self.write("review.approve", ask, account, fine=answered)

    def _sends_back(self, row: Mapping[str, Any], each: SiteEvening) -> bool:
        """Whether the chair, who waits for it, is asked to add up again: once, and not what is right."""
        return (
            each.sent_back
            and self.has("review.return")
            and self.tonight.has("PrecinctChair")
            and each.site.code not in self._returned
            and row.get("delegates") is not None
            and not says(row, each.true)
        )
