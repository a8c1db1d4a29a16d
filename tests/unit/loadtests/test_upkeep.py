"""Who signs in again, and when: on a clock of its own, without a process that makes load."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pyotp
import pytest

from loadtests.accounts import Account
from loadtests.contract import Reply, Request, Session
from loadtests.generator.upkeep import ASSUMED_LIFE_S, Event, Kept, Upkeep, as_rows, from_rows, life_s
from loadtests.generator.upkeep import upkeep as kept_at
from loadtests.target.guards import allowed
from loadtests.target.mapping import target_backend

BEGAN = 1_000_000_000.0
SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"


class Clock:
    def __init__(self) -> None:
        self.now = BEGAN

    def time(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    one = Clock()
    monkeypatch.setattr("loadtests.generator.upkeep.time", one)
    monkeypatch.setattr("loadtests.contract.time", one)
    monkeypatch.setattr("loadtests.accounts.Account.second_factor", lambda self: code(self.totp_secret, one.now))
    return one


def code(secret: str, now: float) -> str:
    return pyotp.TOTP(secret).at(int(now)) if secret else ""


class Door:
    """A backend's log-in that hears who comes, and answers as it is told."""

    def __init__(self, clock: Clock, life: float = ASSUMED_LIFE_S, status: int = 200) -> None:
        self.clock, self.life, self.status = clock, life, status
        self.came: list[tuple[float, str]] = []
        self.codes: list[str] = []
        self.given = 0

    def __call__(self, request: Request, _: str) -> Reply:
        asked = json.loads(request.body or b"")
        self.came.append((self.clock.now, asked["user"]))
        self.codes.append(asked.get("second_factor", ""))
        self.given += 1
        answer = {"token": f"t-{self.given}", "expires_at": self.clock.now + self.life}
        return Reply(self.status, {}, json.dumps(answer).encode())

    def whens(self) -> Mapping[str, list[float]]:
        found = defaultdict(list)
        for at, user in self.came:
            found[user].append(at)
        return found


def people(count: int, secret: str = "") -> list[Account]:
    return [Account(f"{n:04d}", "chair", f"{n:04d}", "123456", secret) for n in range(1, count + 1)]


def signed_in(accounts: Iterable[Account], life: float = ASSUMED_LIFE_S, apart_s: float = 0.0) -> dict[str, Session]:
    found = {}
    for number, one in enumerate(accounts):
        at = BEGAN + apart_s * number
        found[one.user] = Session(one.user, "device", {"token": "t-0", "expires_at": at + life}, "127.16.1.1", at)
    return found


def upkeep(
    door: Callable[..., Reply], sessions: dict[str, Session], accounts: Iterable[Account], **more: Any
) -> Upkeep:
    return Upkeep(target_backend(None, None, "run", ("A", "B")), door, sessions, accounts, **more)


def goes_on(one: Upkeep, clock: Clock, seconds: float, look_s: float = 0.1) -> None:
    until = clock.now + seconds
    while clock.now < until:
        while (user := one.next(clock.now)) is not None:
            one.sign_in(user)
        clock.now += look_s


def test_a_state_of_chairs_is_renewed_evenly_and_none_of_them_too_late(clock: Clock) -> None:
    chairs = people(1765)
    sessions = signed_in(chairs, apart_s=0.05)
    door = Door(clock)
    clock.now = BEGAN + 1765 * 0.05
    goes_on(upkeep(door, sessions, chairs), clock, 2 * 3600)
    by_second = Counter(int(at) for at, _ in door.came)
    assert max(by_second.values()) <= 3
    assert min(by_second) - BEGAN > 7 * 60, "a short run is not disturbed"
    steady = [count for at, count in by_second.items() if at >= BEGAN + 1800]
    assert sum(steady) / (max(by_second) - BEGAN - 1800) == pytest.approx(1765 / 1200, rel=0.01)
    for user, whens in door.whens().items():
        began = BEGAN + 0.05 * (int(user) - 1)
        ages = [after - before for before, after in zip((began, *whens), whens, strict=False)]
        assert max(ages) < 0.95 * ASSUMED_LIFE_S, user
        assert ages[1:] == pytest.approx([1200] * (len(ages) - 1), abs=2)


def test_who_was_refused_is_next_in_line_and_only_once(clock: Clock) -> None:
    chairs = people(20)
    sessions = signed_in(chairs)
    door = Door(clock)
    one = upkeep(door, sessions, chairs)
    before = sessions["0007"]
    for _ in range(50):
        one.refused(before)
    goes_on(one, clock, 5)
    one.refused(before)  # an answer that comes late: there is a new session already
    goes_on(one, clock, 5)
    assert [user for _, user in door.came] == ["0007"]
    assert sessions["0007"].values["token"] == "t-1"
    assert (sessions["0007"].device, sessions["0007"].address) == (before.device, before.address)


def test_a_backend_that_forgot_everybody_is_not_stampeded(clock: Clock) -> None:
    chairs = people(1765)
    sessions = signed_in(chairs)
    door = Door(clock)
    one = upkeep(door, sessions, chairs)
    for session in list(sessions.values()):
        one.refused(session)
    goes_on(one, clock, 60)
    assert max(Counter(int(at) for at, _ in door.came).values()) <= 4
    assert len(door.came) == pytest.approx(60 * 2 * 1765 / 1200, rel=0.05)


def test_a_code_is_spent_once_and_left_to_whoever_signs_in_anyway(clock: Clock) -> None:
    chairs = people(2, SECRET)
    sessions = signed_in(chairs, life=60)
    door = Door(clock, life=60)
    own_s = [100.0, 400.0, 530.0]
    one = upkeep(door, sessions, chairs, log_ins_s={"0001": own_s})
    one.began = BEGAN
    goes_on(one, clock, 600)
    for user, whens in door.whens().items():
        steps = [int(BEGAN // 30), *(int(at // 30) for at in whens)]
        assert len(set(steps)) == len(steps) > 8, user
    for at in door.whens()["0001"]:
        assert all(abs(at - BEGAN - own) > 30 for own in own_s)


def test_who_is_not_let_in_tries_again_later_and_it_is_said(clock: Clock) -> None:
    chairs, kept = people(4), Kept()
    told: list[Event] = []
    sessions = signed_in(chairs, life=300)
    door = Door(clock, life=300, status=503)
    one = upkeep(door, sessions, chairs)
    one.tell = told.append
    goes_on(one, clock, 400)
    assert all(len(whens) < 14 for whens in door.whens().values())
    kept.add(told)
    (notice,) = kept.notices()
    assert notice.startswith(f"{len(door.came)} log-ins to renew a session failed (mostly: HTTP 503), and 4 sessions ")
    door.status = 200
    goes_on(one, clock, 60)
    kept.add(told[len(door.came) - 4 :])
    assert not kept.left
    assert len(kept.notices()) == 2


def test_a_backend_that_answers_nothing_ends_no_upkeep(clock: Clock) -> None:
    chairs = people(1)
    told: list[Event] = []

    def nobody(*_: object) -> Reply:
        raise ConnectionError("123456 is not told")

    one = upkeep(nobody, signed_in(chairs), chairs)
    one.tell = told.append
    goes_on(one, clock, 500)
    assert told[0] == {"user": "0001", "problem": "no answer (ConnectionError)"}


def test_processes_share_the_people_and_tell_each_other(clock: Clock) -> None:
    chairs, kept = people(10), Kept()
    door = Door(clock, life=300)
    several: list[Upkeep] = []

    def teller(me: int) -> Callable[[Event], None]:
        def tell(event: Event) -> None:
            event = json.loads(json.dumps(event))
            kept.add([event])
            for number, other in enumerate(several):
                if number != me:
                    other.hear(event)

        return tell

    for k in range(2):
        several.append(upkeep(door, from_rows(as_rows(signed_in(chairs, life=300))), chairs[k::2]))
        several[k].tell = teller(k)
    several[1].refused(several[1].sessions["0001"])  # the other one's
    for _ in range(6000):
        goes_on(several[0], clock, 0.05, 0.05)
        goes_on(several[1], clock, 0.05, 0.05)
    assert door.came[0][1] == "0001"
    assert all(len(whens) <= 3 for whens in door.whens().values())
    for user in (one.user for one in chairs):
        tokens = {one.sessions[user].values["token"] for one in several} | {kept.sessions[user].values["token"]}
        assert len(tokens) == 1, user
    assert len(kept.renewed_at) == len(door.came)
    several[0].signed_in(Session("0002", "other", {"token": "own"}, "", clock.now))  # by a request of the flow
    assert several[1].sessions["0002"].values["token"] == "own"
    assert len(kept.renewed_at) == len(door.came), "is no upkeep"


def test_a_process_that_looks_after_nobody_tells_what_is_refused_and_hears_what_is_new(clock: Clock) -> None:
    backend, target = target_backend(None, None, "run", ("A", "B")), allowed("http://127.0.0.1:9")
    sessions: dict[str, Session] = {}
    assert kept_at(backend, target, "run", None, sessions, []) is None
    sessions |= signed_in(people(1))
    alone = kept_at(backend, target, "run", None, sessions, [])
    assert alone is not None
    told: list[Event] = []
    alone.tell = told.append
    goes_on(alone, clock, 10_000, 100)
    alone.refused(sessions["0001"])
    assert [one["user"] for one in told] == ["0001"]
    alone.hear({"user": "0001", "session": ["d", {"token": "new"}, "", clock.now]})
    assert sessions["0001"].values["token"] == "new"


@pytest.mark.parametrize(
    ("values", "life"),
    [
        ({}, ASSUMED_LIFE_S),
        ({"expires_in": 600}, 600),
        ({"expires_in": "600"}, 600),
        ({"expires_at": BEGAN + 900}, 900),
        ({"expires_at": (BEGAN + 900) * 1000}, 900),
        ({"expires_at": "2001-09-09T02:01:40Z"}, 900),
        ({"expires_at": "2001-09-09T04:01:40+02:00"}, 900),
        ({"expires_at": "2001-09-09T02:01:40"}, 900),
        ({"expires_at": "2001-09-09T01:00:00Z"}, ASSUMED_LIFE_S),  # before it began: their clock is another one
        ({"expires_at": "soon"}, ASSUMED_LIFE_S),
        ({"expires_in": "nan"}, ASSUMED_LIFE_S),
        ({"expires_in": None}, ASSUMED_LIFE_S),
    ],
)
def test_how_long_a_session_lasts_is_read_off_the_log_in(values: Mapping[str, object], life: float) -> None:
    assert life_s(Session("0001", "d", values, "", BEGAN)) == pytest.approx(life)
