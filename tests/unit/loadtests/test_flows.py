"""What flows send, without anybody to send it to: every answer is made up here."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from loadtests import contract, ledger
from loadtests.contract import Reply, Request, Session, Site
from loadtests.generator.upkeep import Upkeep
from loadtests.harness import Load
from loadtests.losses import Losses
from loadtests.target.guards import allowed
from loadtests.target.mapping import target_backend
from loadtests.target.sender import NoAnswerError
from loadtests.traffic.flows import SOURCE, Kit, Player, UsedUpError, has_corrections, packed
from loadtests.traffic.preparing import two_reports
from loadtests.workload import Schedule, constant
from simulation.errors import InputError

GROUPS = ("ada", "ben", "cleo", "dot")
IN_ONE = """
name = "all at once"
[report]
path = "/r/{site.code}"
json = { people = "{attendees}", first = "{first}", final = "{final}", delegates = "{delegates}" }
"""


def site(number: int, delegates: int = 5) -> Site:
    return Site(f"{number:04d}", f"Story/P{number}", "Story", f"P{number}", delegates, GROUPS)


class Hall:
    """A night of sites that are all alike."""

    def __init__(self, sites: int) -> None:
        from loadtests.night import Night

        self.sites = tuple(site(n) for n in range(1, sites + 1))
        expected = {one.code: 40 for one in self.sites}
        self.night = Night(self.sites, expected, frozenset(), ballot=False)


def kit(tmp_path: Path, flow: str, sites: int = 4, **more: Any) -> Kit:
    hall = Hall(sites)
    rows = [packed(one, one.code, *two_reports(hall.night, one)) for one in hall.sites]
    people = ["clerk-01", "clerk-02", "clerk-03", "reviewer-01", *(one.code for one in hall.sites)]
    told: dict[str, Any] = {
        "name": "one",
        "run_id": "run",
        "flow": flow,
        "mapping": None,
        "target_class": None,
        "groups": GROUPS,
        "ledger": str(tmp_path / "ledger"),
        "chairs": rows,
        "keyed": rows,
        "sessions": {user: ["device", {"token": f"token of {user}"}] for user in people},
        "logins": [[one.code, "chair", one.code, "123456", ""] for one in hall.sites],
        "clerks": people[:3],
        "reviewers": people[3:4],
        "picture_bytes": (2_000, 4_000),
    }
    return Kit(**(told | more))


class Game:
    """A player, and a backend that answers as it is told."""

    def __init__(self, told: Kit, schedule: Schedule | None = None) -> None:
        schedule = schedule or constant(1000, 1)
        self.player = Player(told, schedule.share)
        self.player.begin(schedule, told)
        self.asked: list[Request] = []
        self.versions: Counter[str] = Counter()

    def asks(self) -> int:
        self.asked.append(self.player.request(len(self.asked)))
        return len(self.asked) - 1

    def answers(self, index: int, status: int = 201, body: Mapping[str, Any] | None = None) -> str:
        said = {"version": index + 1, "state": "accepted"} if body is None else body
        reply = Reply(status, {"etag": f'"{index}"'}, json.dumps(said).encode())
        problem = self.player.judge(index, reply)
        self.player.finished(index)
        return problem

    def plays(self, count: int) -> list[Request]:
        for _ in range(count):
            assert self.answers(self.asks()) == ""
        return self.asked[-count:]


def of(request: Request) -> tuple[str, str]:
    """The site and the step of a report's request."""
    _, _, _, code, step = request.path.split("/")
    return code, step


def key(request: Request) -> str:
    return request.headers["Idempotency-Key"]


def body(request: Request) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(request.body or b"{}")
    return found


def test_a_site_sends_its_steps_in_their_order_and_then_corrections(tmp_path: Path) -> None:
    game = Game(kit(tmp_path, "report"))
    asked = game.plays(40)
    for code in ("0001", "0002", "0003", "0004"):
        mine = [request for request in asked if of(request)[0] == code]
        firsts = [of(request)[1] for request in mine if "correction" not in body(request)]
        assert firsts == ["open", "first-alignment", "final"]
        assert [of(request)[1] for request in mine[:3]] == firsts
        assert all(body(request)["correction"] for request in mine[3:])
    assert len({key(request) for request in asked}) == 40, "every one is a write of its own"


def test_why_requests_fail_is_alike_for_all_sites_and_holds_no_token(tmp_path: Path) -> None:
    game = Game(kit(tmp_path, "report"))
    said = set()
    for _ in range(4):
        index = game.asks()
        token = game.asked[index].headers["Authorization"].removeprefix("Bearer ")
        message = f"{token} of site {of(game.asked[index])[0]} has to wait"
        said.add(game.answers(index, 503, {"errors": [{"code": "H09", "message": message}]}))
    assert len(said) == 1
    (one,) = said
    assert "HTTP 503" in one
    assert "has to wait" in one
    assert "token of" not in one


def test_corrections_say_something_else_than_what_is_there(tmp_path: Path) -> None:
    asked = Game(kit(tmp_path, "report", sites=1)).plays(16)
    finals = [body(request)["counts"] for request in asked if of(request)[1] == "final"]
    assert len(finals) >= 4
    assert len({json.dumps(counts, sort_keys=True) for counts in finals}) == 2


def test_what_two_reports_say_is_lawful() -> None:
    from simulation.rules.law import is_viable

    hall = Hall(1)
    for report in two_reports(hall.night, hall.sites[0]):
        assert sum(report.first_alignment.values()) == sum(report.final.values()) == report.attendees
        assert sum(report.delegates.values()) == hall.sites[0].delegates
        for group, before in report.first_alignment.items():
            if is_viable(before, 5, report.attendees):
                assert report.final[group] >= before, "a viable group never shrinks"


def test_one_request_of_a_site_is_on_its_way_at_a_time(tmp_path: Path) -> None:
    game = Game(kit(tmp_path, "report"))
    for _ in range(4):
        game.asks()
    assert len({of(request)[0] for request in game.asked}) == 4
    with pytest.raises(UsedUpError, match="waits for an answer"):
        game.asks()
    game.answers(2)
    again = game.asks()
    assert of(game.asked[again])[0] == of(game.asked[2])[0]


def test_complete_sites_send_corrections_beside_each_other(tmp_path: Path) -> None:
    """A backend that is slow for a moment does not run out of people who want something."""
    game = Game(kit(tmp_path, "report", sites=2))
    game.plays(6)
    for _ in range(10):
        game.asks()
    assert all("correction" in body(request) for request in game.asked[6:])
    assert len({key(request) for request in game.asked}) == 16
    for index in range(6, 16):
        assert game.answers(index) == ""


def test_what_was_not_answered_is_sent_again_as_it_was(tmp_path: Path) -> None:
    game = Game(kit(tmp_path, "report", sites=1))
    first = game.asks()
    game.player.finished(first)
    second = game.asks()
    assert game.answers(second, 503, {}) != ""
    third = game.asks()
    assert {key(game.asked[n]) for n in (first, second, third)} == {key(game.asked[first])}
    assert len({game.asked[n].body for n in (first, second, third)}) == 1
    game.answers(third)
    (entry,) = ledger.merge(tmp_path / "ledger")
    assert (entry.tries, entry.acknowledged) == (3, True)


def test_a_client_that_tries_again_at_once_says_the_same(tmp_path: Path) -> None:
    game = Game(kit(tmp_path, "report"))
    index = game.asks()
    again = game.player.request(index)
    assert again == game.asked[index]


class Renewals:
    """Hears whose session was refused."""

    def __init__(self) -> None:
        self.refused_of: list[Session] = []

    def refused(self, session: Session) -> None:
        self.refused_of.append(session)


@pytest.mark.parametrize("flow", ["report", "clerk"])
def test_what_was_refused_because_a_session_had_ended_is_sent_again_with_a_new_one(tmp_path: Path, flow: str) -> None:
    game, renewals = Game(kit(tmp_path, flow, sites=1)), Renewals()
    game.player.upkeep = cast(Upkeep, renewals)
    for _ in range(3):
        assert "401" in game.answers(game.asks(), 401, {})
    (user,) = {one.user for one in renewals.refused_of}
    assert len(renewals.refused_of) == 3
    game.player.sessions[user] = Session(user, "device", {"token": "renewed"})
    game.asks()
    first, *_, last = game.asked
    assert (last.path, last.body, key(last)) == (first.path, first.body, key(first))
    assert last.headers["Authorization"] == "Bearer renewed" != first.headers["Authorization"]


def test_where_nobody_signs_in_results_are_keyed_by_nobody_in_particular(tmp_path: Path) -> None:
    mapping = tmp_path / "open.toml"
    mapping.write_text(IN_ONE.replace("[report]", "[clerk]"), encoding="utf-8")
    told = kit(tmp_path, "clerk", mapping=str(mapping), sessions={}, clerks=[], reviewers=[])
    asked = Game(told).plays(8)
    assert Counter(request.path for request in asked) == {f"/r/{n:04d}": 2 for n in range(1, 5)}


def test_workers_share_the_sites(tmp_path: Path) -> None:
    schedule = constant(100, 1)
    seen = []
    for k in range(2):
        game = Game(kit(tmp_path, "report"), schedule.part(k, 2))
        seen.append({of(request)[0] for request in game.plays(10)})
    assert not seen[0] & seen[1]
    assert seen[0] | seen[1] == {"0001", "0002", "0003", "0004"}


def test_a_process_that_comes_later_goes_on_where_the_others_were(tmp_path: Path) -> None:
    told = kit(tmp_path, "report", sites=1, progress={"0001": [2, 2]})
    (request,) = Game(told).plays(1)
    assert of(request)[1] == "final"
    assert "correction" not in body(request)


def test_a_backend_without_corrections_is_sent_each_report_once(tmp_path: Path) -> None:
    mapping = tmp_path / "one.toml"
    mapping.write_text(IN_ONE)
    game = Game(kit(tmp_path, "report", mapping=str(mapping)))
    assert len({request.path for request in game.plays(4)}) == 4
    with pytest.raises(UsedUpError, match="all that it may send"):
        game.asks()
    assert not has_corrections(target_backend(mapping, None, "run", GROUPS), GROUPS, "report")
    ours = target_backend(None, None, "run", GROUPS)
    assert all(has_corrections(ours, GROUPS, step) for step in contract.evening(ours))


def test_a_photo_is_sent_once_and_then_as_a_correction(tmp_path: Path) -> None:
    progress = {f"{n:04d}": [3, 3] for n in range(1, 5)}
    asked = Game(kit(tmp_path, "photo", progress=progress)).plays(12)
    assert {request.name for request in asked} == {"photo"}
    assert len({request.path for request in asked[:4]}) == 4
    assert [asked[n].headers != asked[n + 4].headers for n in range(4)] == [True] * 4
    assert all("X-Correction" not in request.headers for request in asked[:4])
    assert all("X-Correction" in request.headers for request in asked[4:])


def test_a_result_is_keyed_by_two_people_returned_and_keyed_again(tmp_path: Path) -> None:
    game = Game(kit(tmp_path, "clerk", sites=1))
    asked = game.plays(6)
    assert [request.name for request in asked] == ["clerk", "clerk", "review.return"] * 2
    first, second, returned = asked[:3]
    assert first.headers["Authorization"] != second.headers["Authorization"]
    assert body(returned)["version"] == 2, "the version that the second entry was answered"


def test_a_mix_asks_for_what_the_schedule_says_where_it_can(tmp_path: Path) -> None:
    shares = {"login": 0.2, "report.open": 0.1, "photo": 0.2, "clerk": 0.2, "results": 0.3}
    schedule = constant(400, 1).mixed(shares, seed=3)
    progress = {f"{n:04d}": [3, 3] for n in range(1, 3)}
    told = kit(tmp_path, "mix", chairs=kit(tmp_path, "mix").chairs[:2], keyed=kit(tmp_path, "mix").keyed[2:])
    game = Game(Kit(**{**vars(told), "progress": progress}), schedule)
    names = Counter(request.name for request in game.plays(400))
    clerks = names.pop("clerk") + names.pop("review.return")
    for name, share in shares.items():
        assert (clerks if name == "clerk" else names[name]) == pytest.approx(400 * share, abs=40)


def test_half_of_the_readers_have_the_release_that_is_out(tmp_path: Path) -> None:
    game = Game(kit(tmp_path, "results"))
    asked = game.plays(600)
    conditional = [request for request in asked if "If-None-Match" in request.headers]
    assert 0.4 < len(conditional) / len(asked) < 0.6
    looks = Counter(request.name for request in asked)
    assert looks["results"] == looks["results.page"] > 2 * looks["results.county"] > 0
    assert looks["results.csv"] == 40


def test_who_signs_in_comes_over_a_connection_and_on_a_device_of_their_own(tmp_path: Path) -> None:
    asked = Game(kit(tmp_path, "login")).plays(8)
    assert all(request.headers["Connection"] == "close" for request in asked)
    assert len({request.headers["X-Device"] for request in asked}) == 8


def test_a_process_without_anybody_who_signs_in_says_so(tmp_path: Path) -> None:
    game = Game(kit(tmp_path, "login", sites=1), constant(1000, 1).part(1, 2))
    with pytest.raises(UsedUpError, match="fewer workers"):
        game.asks()


def test_the_source_that_generators_are_told_is_there() -> None:
    import importlib

    module, _, function = SOURCE.partition(":")
    assert callable(getattr(importlib.import_module(module), function))


# What is lost


class Store:
    """What a backend tells of its store, in pages of two."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, str]] = []
        self.status = 200
        self.reads = 0

    def __call__(self, request: Request) -> Reply:
        self.reads += 1
        after = int(request.path.partition("after=")[2].partition("&")[0] or 0)
        page = self.rows[after : after + 2]
        rows = [{"site": "0001", "actor": user, "key": one} for user, one in page]
        following = after + 2 if after + 2 < len(self.rows) else None
        return Reply(self.status, {}, json.dumps({"records": rows, "next": following}).encode())


def test_a_write_that_was_acknowledged_and_is_not_stored_is_missed_once(tmp_path: Path) -> None:
    from loadtests.contract import evening

    game, store = Game(kit(tmp_path, "report")), Store()
    steps = evening(game.player.backend)
    losses = Losses(game.player.backend, store, Session("o", "d", {"token": "t"}), tmp_path / "ledger", steps)
    asked = game.plays(5)
    users = [of(request)[0] for request in asked]
    store.rows = [(user, key(request)) for user, request in zip(users, asked, strict=True)]
    assert losses.new() == 0
    (lost, kept) = game.plays(2)
    store.rows.append((of(kept)[0], key(kept)))
    assert losses.new() == 1
    assert losses.new() == 0, "it was told"
    store.reads = 0
    assert losses.acknowledged == 7
    losses.new()
    assert store.reads == 1, "only what is new is read"
    assert losses.progress[of(lost)[0]][0] >= 1


def test_a_store_that_has_too_much_to_do_to_be_read_has_lost_nothing(tmp_path: Path) -> None:
    game, store = Game(kit(tmp_path, "report")), Store()
    steps = contract.evening(game.player.backend)
    losses = Losses(game.player.backend, store, Session("o", "d", {"token": "t"}), tmp_path / "ledger", steps)
    game.plays(3)
    store.status = 503
    assert losses.new() == 0
    store.status = 200
    assert losses.new() == 3, "the store is empty"


def load_of(tmp_path: Path, send: Callable[[Request], Reply]) -> Load:
    """A flow whose three writes are in the ledger, at a backend that answers as `send` does."""
    game = Game(kit(tmp_path, "report"))
    game.plays(3)
    place = SimpleNamespace(target=None, database=None, launched=None, generator_cores=(), watched=dict)
    job = SimpleNamespace(settle_s=0.0, workers=1, others=0, listens=("127.0.0.1", 0), target=None, ca=None, seed=1)
    job.latency_s, job.plan = None, None
    load = Load(cast(Any, job), "report", cast(Any, place), tmp_path / "ledger", lambda _: None)
    load.backend, load.send = game.player.backend, cast(Any, send)
    load.reader = Session("o", "d", {"token": "t"}, "", time.time())
    return load


def nobody(_: Request) -> Reply:
    raise NoAnswerError("no answer to stored")


def test_a_ledger_that_could_not_be_held_against_the_store_says_why(tmp_path: Path) -> None:
    load = load_of(tmp_path, nobody)
    assert load.reconciled() is None
    assert load.not_held == "no answer to stored"
    assert load.notices == ["the ledger could not be held against what is stored: no answer to stored"]


def test_a_store_that_does_not_answer_after_a_trial_ends_nothing(tmp_path: Path) -> None:
    load = load_of(tmp_path, nobody)
    losses = Losses(load.backend, nobody, load.reader, load.folder, contract.evening(load.backend))
    stress = load._stress(kit(tmp_path, "report"), losses, allowed("http://127.0.0.1:9"))
    assert [stress.lost(), stress.lost()] == [0, 0]
    assert load.notices == ["what is stored could not be read after each trial: no answer to stored"]


def test_a_kit_whose_mapping_is_wrong_says_so(tmp_path: Path) -> None:
    (tmp_path / "wrong.toml").write_text("[report]\nwhat = 1\n")
    with pytest.raises(InputError):
        Game(kit(tmp_path, "report", mapping=str(tmp_path / "wrong.toml")))
