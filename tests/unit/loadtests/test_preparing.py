"""What has to be true before a load: people stay signed in however long it takes, and nobody guesses what is there."""

from __future__ import annotations

import itertools
import json
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from loadtests.accounts import Account
from loadtests.contract import Ask, Operation, Outcome, Reply, Request, Session, Site, Verdict
from loadtests.ledger import Ledger
from loadtests.target.guards import allowed
from loadtests.traffic.preparing import Preparation
from simulation.errors import InputError

SITES = [Site(f"{n:04d}", f"Adair/Adair {n}", "Adair", f"Adair {n}", 1, ("a", "b")) for n in range(4)]
PEOPLE = [Account(site.code, "chair", site.code, "314159", "") for site in SITES]


class Somebody:
    """A backend, and the way to it: what it holds of a site, or the status that it answers instead."""

    operations: frozenset[Operation] = frozenset({"login", "resume", "report.open"})
    target = allowed("http://127.0.0.1:9")

    def __init__(
        self, lasts_s: float = 1800.0, holds: Callable[[str], int | dict[str, Any]] = lambda user: 404
    ) -> None:
        self.lasts_s, self.holds = lasts_s, holds
        self.log_ins: Counter[str] = Counter()
        self._tokens = itertools.count(1)

    def build(self, operation: Operation, ask: Ask) -> Request:
        user = ask.user or (ask.session.user if ask.session else "")
        return Request("POST", f"/{user}", {}, None, operation)

    def __call__(self, request: Request, source: str = "") -> Reply:  # noqa: ARG002  # as a Sender has it
        user = request.path[1:]
        if request.name == "login":
            self.log_ins[user] += 1
            return Reply(200, {}, json.dumps({"token": next(self._tokens), "expires_in": self.lasts_s}).encode())
        held = self.holds(user)
        return Reply(held, {}, b"{}") if isinstance(held, int) else Reply(200, {}, json.dumps(held).encode())

    def read(self, operation: Operation, reply: Reply) -> Outcome:  # noqa: ARG002  # as a Backend has it
        verdict: Verdict = "accepted" if reply.status == 200 else "refused"
        return Outcome(verdict, reply.status, values=json.loads(reply.body), problem=f"HTTP {reply.status}")


def preparation(backend: Somebody, folder: Path, told: Callable[[str], None] = lambda text: None) -> Preparation:
    return Preparation(backend, backend, Ledger(folder, "run"), told)  # type: ignore[arg-type]  # it stands for a Sender


def test_sessions_that_grow_old_while_sites_are_asked_are_renewed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    now = [time.time()]
    monkeypatch.setattr(time, "time", lambda: now[0])
    backend = Somebody(lasts_s=1800)
    before = preparation(backend, tmp_path)
    sessions = before.signed_in(PEOPLE, "chair")
    now[0] += 1500
    before.come({site: sessions[site.code] for site in SITES})
    assert set(backend.log_ins.values()) == {2}
    now[0] += 1500
    fresh = before.fresh_ones(sessions)
    assert set(backend.log_ins.values()) == {3}
    assert all(fresh[user].signed_in_at > sessions[user].signed_in_at for user in sessions)
    assert all(fresh[user].device == sessions[user].device for user in sessions)


def test_nobody_signs_in_twice_whose_session_lasts(tmp_path: Path):
    backend = Somebody()
    before = preparation(backend, tmp_path)
    sessions = before.signed_in(PEOPLE, "chair")
    before.come({site: sessions[site.code] for site in SITES})
    assert before.fresh_ones(sessions) == sessions
    assert set(backend.log_ins.values()) == {1}


def test_who_cannot_all_be_kept_signed_in_is_told(tmp_path: Path):
    said: list[str] = []
    preparation(Somebody(lasts_s=1e-6), tmp_path, said.append).signed_in(PEOPLE, "chair")
    assert any("so many cannot be kept signed in" in one for one in said)


def test_a_site_that_is_not_told_what_it_has_is_left_out_and_one_that_has_nothing_is_not(tmp_path: Path):
    held: dict[str, int | dict[str, Any]] = {"0000": 401, "0001": 404, "0002": {"attendees": 40}, "0003": 403}
    said: list[str] = []
    before = preparation(Somebody(holds=lambda user: held[user]), tmp_path, said.append)
    found = before.come({site: Session(site.code, "phone") for site in SITES})
    assert {code: steps for code, (steps, _) in found.items()} == {"0002": 1}
    assert before.unknown == {"0000", "0003"}
    assert any("2 of 4 sites are left out" in one for one in said)


def test_where_no_site_is_told_anything_it_is_a_mistake(tmp_path: Path):
    before = preparation(Somebody(holds=lambda user: 401), tmp_path)
    with pytest.raises(InputError, match="no site hears what it has reported: Adair/Adair"):
        before.come({site: Session(site.code, "phone") for site in SITES})
