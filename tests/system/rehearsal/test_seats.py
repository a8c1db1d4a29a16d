"""Who is here, who may come in, and what a trainer's click on chosen seats does: also after people have moved."""

from __future__ import annotations

import json
import re
import sqlite3
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import pytest
from playwright.sync_api import Browser, Dialog, expect
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin

from simulation.rehearsal.event import ROOM
from simulation.rehearsal.log import wall_now_ms
from simulation.scenario.values import parse_clock
from simulation.web.limits import Limit
from simulation.web.trainer import coming_ms
from tests.system.rehearsal.conftest import Knowing, Server, Watched, joined, trainer
from tests.system.rehearsal.served import begun
from tests.system.rehearsal.test_evening import go_on
from tests.system.rehearsal.test_pages import answer_to, asked, asked_without_following


def came(server: Server, name: str, **form: str) -> str:
    """Somebody joins: the path of the page."""
    status, headers, _ = asked_without_following(server["url"], name=name, code=server["join_code"], **form)
    assert status == 303
    return str(headers["location"])


def opened(server: Server, path: str) -> ClientConnection:
    return connect(
        server["url"].replace("http:", "ws:").rstrip("/") + path + "/live", origin=Origin(server["url"].rstrip("/"))
    )


def happened(server: Server) -> list[tuple[str, str]]:
    with sqlite3.connect(server.file) as log:
        return log.execute("SELECT kind, seat FROM events WHERE seq > 0 ORDER BY seq").fetchall()


def does(one: ClientConnection, key: str, kind: str, **fields: str) -> dict[str, str]:
    one.send(json.dumps({"id": key, "kind": kind, "fields": fields}))
    return answer_to(one, key)


def test_who_has_moved_is_here_on_the_new_seat_and_away_from_it(server: Server) -> None:
    path = came(server, "Wanda")
    seat = [one for kind, one in happened(server) if kind == "joined"][-1]
    with opened(server, urlsplit(server["trainer_url"]).path) as desk:
        with opened(server, path) as phone:
            phone.recv(timeout=5)
            assert "refused" not in does(desk, "move-1", "chosen", do="move", to="operator-9", seats=seat)
            assert "refused" not in does(phone, "hand-1", "hand", raised="yes")
        deadline = time.monotonic() + 8
        while ("disconnected", "operator-9") not in happened(server) and time.monotonic() < deadline:
            time.sleep(0.2)
    events = happened(server)
    assert ("connected", seat) in events
    assert ("hand", "operator-9") in events
    assert ("disconnected", "operator-9") in events
    assert ("disconnected", seat) not in events


def test_what_was_done_before_a_move_is_not_done_again_nor_refused(server: Server) -> None:
    """The phone did not hear that it was done, was moved, and asks again; what was not done is refused there."""
    path = came(server, "Zoe", role="reviewer")
    seat = [one for kind, one in happened(server) if kind == "joined"][-1]
    act = {"id": "hand-z", "kind": "hand", "seat": seat, "fields": {"raised": "yes"}}
    with opened(server, urlsplit(server["trainer_url"]).path) as desk, opened(server, path) as phone:
        phone.send(json.dumps(act))
        assert "refused" not in answer_to(phone, "hand-z")
        does(desk, "move-z", "chosen", do="move", to="reviewer-9", seats=seat)
        phone.send(json.dumps(act))
        assert "refused" not in answer_to(phone, "hand-z")
        phone.send(json.dumps({**act, "id": "hand-late"}))
        assert "You were moved" in answer_to(phone, "hand-late")["refused"]
    assert ("hand", "reviewer-9") not in happened(server)


def test_the_page_of_a_shared_seat_says_who_held_it_when_and_that_its_scores_are_the_seats(server: Server) -> None:
    came(server, "Ada", role="entry")
    came(server, "Bo", role="entry")
    one, other = [seat for kind, seat in happened(server) if kind == "joined"][-2:]
    with opened(server, urlsplit(server["trainer_url"]).path) as desk:
        does(desk, "swap-1", "chosen", do="move", to=other, seats=one)
    debrief = server["trainer_url"].replace("/trainer/", "/debrief/")
    _, _, html = asked(f"{debrief}/seat/{one}")
    said = " ".join(re.sub("<[^>]*>", "", html).split())
    assert re.search(r"This seat was held by: Ada \S+, Bo \S+ end\. The scores are the seat.s: all who held it", said)


def test_whoever_lost_the_seat_is_told_so_at_once(server: Server) -> None:
    path = came(server, "Fred", role="entry")
    seat = [one for kind, one in happened(server) if kind == "joined"][-1]
    with opened(server, urlsplit(server["trainer_url"]).path) as desk, opened(server, path) as phone:
        phone.recv(timeout=5)
        does(desk, "left-1", "chosen", do="left", seats=seat)
        began = time.monotonic()
        while "No seat" not in json.loads(phone.recv(timeout=5)).get("content", ""):
            pass
        assert time.monotonic() - began < 2
        assert "no seat any more" in does(phone, "lost-1", "hand", raised="yes")["refused"]


def test_a_closed_door_lets_nobody_new_in(server: Server) -> None:
    with opened(server, urlsplit(server["trainer_url"]).path) as desk:
        does(desk, "door-1", "door", open="no")
        status, _, html = asked(server["url"], name="Late", code=server["join_code"])
        assert status == 400
        assert "closed the door" in html
        does(desk, "door-2", "door", open="yes")
    came(server, "Early")


def join_as(server: Server, headers: dict[str, str], **form: str) -> tuple[int, str]:
    body = urlencode({"name": "Dan", "code": server["join_code"], "role": "operator", **form}).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(server["url"], body, headers)) as answer:
            return answer.status, answer.url
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_a_phone_with_a_seat_is_asked_before_it_takes_a_second(server: Server) -> None:
    path = came(server, "Ida", role="operator")
    cookie = {"Cookie": f"seat={path.rpartition('/')[2]}"}
    status, html = join_as(server, cookie)
    assert status == 409
    assert f'href="{path}"' in html
    assert "Take a second seat" in html
    status, where = join_as(server, cookie, second="yes")
    assert status == 200
    assert not where.endswith(path)


def test_one_address_cannot_fill_the_room_at_once(server: Server) -> None:
    """A room's phones may share an address: sixty come in at once. The server's own computer need not wait."""
    elsewhere = {"X-Forwarded-For": "192.0.2.7"}
    found = [join_as(server, elsewhere)[0] for _ in range(66)]
    assert found[:60] == [200] * 60
    assert 429 in found[60:]
    came(server, "Here", role="operator")


def test_a_limit_frees_itself_with_time() -> None:
    limit = Limit(2, 10.0)
    for _ in range(2):
        assert limit.wait_s("a", 0.0) == 0
        limit.took("a", 0.0)
    assert limit.wait_s("a", 0.0) == pytest.approx(10)
    assert limit.wait_s("b", 0.0) == 0
    assert limit.wait_s("a", 10.0) == 0


@pytest.mark.parametrize(
    ("now", "typed", "meant"),
    [
        ("23:50", "0:40", "+1d 0:40"),
        ("+1d 0:30", "0:40", "+1d 0:40"),
        ("19:00", "20:50", "20:50"),
        ("19:00", "+1d 0:40", "+1d 0:40"),
        ("20:00", "19:30", "19:30"),  # refused as backwards
    ],
)
def test_a_time_without_a_day_is_the_next_one(now: str, typed: str, meant: str) -> None:
    assert coming_ms(typed, parse_clock(now)) == parse_clock(meant)


def test_the_board_says_who_is_on_hold_and_a_branch_opens_the_door(tmp_path: Path) -> None:
    wall = [wall_now_ms()]
    rehearsal = begun(tmp_path / "night.sqlite", now=lambda: wall[0])
    rehearsal.join(rehearsal.join_code, "Ann")
    for data in ({"do": "run"}, {"do": "jump", "to_ms": parse_clock("20:10")}):
        rehearsal.do("clock", ROOM, data)
    rehearsal.do("hotline", ROOM, {"simulated": False})
    rehearsal.do("door", ROOM, {"open": False})
    rehearsal.tick(5000)
    rehearsal.room.dial("chair-1")
    wall[0] += 60_000
    rehearsal.tick(5000)
    why = [text.english() for text in rehearsal.board()[0].why]
    assert "on hold 3 min" in why
    branched = rehearsal.branch(rehearsal.events[-1].seq, tmp_path / "again.sqlite")
    assert not rehearsal.room.door_open
    assert branched.room.door_open
    rehearsal.close()
    branched.close()


def test_numbers_of_any_length_break_nothing(server: Server) -> None:
    debrief = server["trainer_url"].replace("/trainer/", "/debrief/")
    assert asked(f"{debrief}/replay?at={'9' * 5000}")[0] == 200
    assert asked(f"{debrief}/branch", seq="9" * 3000)[0] == 404


def test_what_was_chosen_for_one_thing_is_not_chosen_for_the_next(
    browser: Browser, server: Server, watched: Watched
) -> None:
    desk, page = trainer(watched, browser, server), joined(watched, browser, server, "Tess")
    questions: list[str] = []

    def answer(dialog: Dialog) -> None:
        questions.append(dialog.message)

    desk.on("dialog", answer)
    tick = desk.get_by_role("checkbox", name="Choose Tess")
    tick.check()
    desk.locator("#whom-chosen").check()
    desk.locator("button[name=inject]").first.click()
    expect(desk.locator("#whom-all")).to_be_checked()
    desk.get_by_label("Move the person to the seat").fill("reviewer-7")
    desk.get_by_role("button", name="Move", exact=True).click()
    expect(desk.locator("#row-reviewer-7")).to_contain_text("Tess")
    expect(tick).not_to_be_checked()
    expect(desk.locator("#board input:checked")).to_have_count(0)
    tick.check()
    desk.get_by_role("button", name="Free the seat").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("No seat")
    assert questions == ["Whoever sits there loses the seat: Tess (reviewer-7). Go on?"]
    expect(desk.locator("#board input:checked")).to_have_count(0)
    page.context.close()
    desk.context.close()


def test_an_operator_hears_and_types_on_one_screen(
    browser: Browser, server: Server, watched: Watched, violations: Callable[..., list[str]]
) -> None:
    desk, page = trainer(watched, browser, server), joined(watched, browser, server, "Olga")
    desk.get_by_role("checkbox", name="Choose Olga").check()
    desk.get_by_label("Move the person to the seat").fill("operator-200")
    desk.get_by_role("button", name="Move", exact=True).click()
    desk.locator("#run").click()
    desk.locator("#simulated").click()
    desk.get_by_label("Jump to").fill("20:20")
    desk.get_by_role("button", name="Jump", exact=True).click()
    page.get_by_role("button", name="Take the next call").click(timeout=20_000)
    go_on = page.get_by_role("button", name="Go on, please")
    for _ in range(30):  # until somebody calls with a report
        expect(page.locator("#steps form button").first).to_be_visible()
        if go_on.count():
            break
        if (answers := page.locator("#steps input[type=radio]")).count():
            answers.first.check()
        if not page.get_by_role("button", name="Pause").count():
            page.locator("#steps button[value=helped], #steps button[value=hang_up]").first.click()
        page.wait_for_timeout(300)
    go_on.click()
    expect(page.locator("#steps .newest")).to_contain_text("We counted")
    assert page.evaluate("document.documentElement.scrollHeight") < 1800
    page.evaluate("scrollTo(0, 600)")
    expect(go_on).to_be_in_viewport()
    page.locator("#steps summary", has_text="All that was said").click()
    expect(page.locator("#steps details p").first).to_contain_text("This is")
    assert violations(page) == []
    page.context.close()
    desk.context.close()


def test_what_was_typed_for_a_seat_never_counts_for_the_next(
    browser: Browser, server: Server, watched: Watched, knowing: Callable[[], Knowing]
) -> None:
    """A phone without a network: what it sends arrives when its person sits elsewhere."""
    desk, page = trainer(watched, browser, server), joined(watched, browser, server, "Una")
    seat = [one for kind, one in happened(server) if kind == "joined"][-1]
    where = page.get_by_role("heading", level=1).inner_text()
    if desk.locator("#run").inner_text() != "Stop the clock":
        desk.locator("#run").click()
    desk.get_by_label("Jump to").fill("20:25")
    desk.get_by_role("button", name="Jump", exact=True).click()
    go_on(knowing(), {seat: page}, "count")
    field = page.get_by_label("People in the room")
    field.fill("4711")
    page.context.set_offline(True)
    expect(page.locator("#line")).to_have_text(re.compile("^Not connected"))
    page.get_by_role("button", name="Write down the count").click()
    count = len(happened(server))

    def moved(to: str) -> None:
        desk.get_by_role("checkbox", name="Choose Una").check()
        desk.get_by_label("Move the person to the seat").fill(to)
        desk.get_by_role("button", name="Move", exact=True).click()
        expect(desk.locator(f"#row-{to}")).to_contain_text("Una")

    moved("checkin-7")
    page.context.set_offline(False)
    expect(page.locator("#answer")).to_contain_text(f"It was for {where}")
    expect(page.locator("#answer")).to_contain_text("You had typed: 4711")
    assert "acted" not in [kind for kind, _ in happened(server)[count:]]
    moved(seat)  # back there, the text is there again
    expect(field).to_have_value("4711")
    page.context.close()
    desk.context.close()


def test_of_several_late_actions_every_refusal_is_told(browser: Browser, server: Server, watched: Watched) -> None:
    """They were kept while there was no network and are for a seat that is no longer theirs: refused in one go."""
    page = joined(watched, browser, server, "Vic")
    late = [
        {"id": f"late-{typed}", "kind": "acted", "step": step, "seat": "checkin-7", "key": f"gone-{step}", "clears": "",
         "fields": {"action": step, name: typed}}
        for step, name, typed in (("count", "counted", "4712"), ("freeze", "n", "4713"))
    ]  # fmt: skip
    page.evaluate(
        """late => localStorage.setItem("caucus:" + document.querySelector("[data-live]").dataset.live,
                                       JSON.stringify({drafts: {}, outbox: late}))""",
        late,
    )
    page.reload()
    expect(page.locator("#answer")).to_contain_text("4713")
    expect(page.locator("#answer")).to_contain_text("4712")
    page.context.close()
