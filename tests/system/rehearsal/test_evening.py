"""A compressed evening, played through the pages in a real browser: nothing that anybody typed or did is lost."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

from playwright.sync_api import Browser, Page, expect

from tests.system.rehearsal.conftest import (
    Knowing,
    Server,
    Watched,
    connected,
    joined,
    night_ms,
    press,
    step_of,
    trainer,
)

OFFLINE_S = 20


def go_on(knowing: Knowing, people: dict[str, Page], until: str = "done", within_s: float = 60) -> None:
    """Everybody does the right thing, in turn, until all have reached a stage."""
    deadline = time.monotonic() + within_s
    left = dict(people)
    while left and time.monotonic() < deadline:
        waiting = True
        for seat, page in tuple(left.items()):
            if knowing.now().seats[seat].doing.stage == until:
                del left[seat]
            elif (act := knowing.next_act(seat, night_ms(page))) is not None:
                press(page, act)
                waiting = False
        if waiting and left:
            next(iter(left.values())).wait_for_timeout(100)
    assert not left, f"stuck: {[(seat, page.locator('#steps').inner_text()) for seat, page in left.items()]}"


def test_an_evening_from_the_open_doors_to_the_debriefing(
    browser: Browser, server: Server, watched: Watched, knowing: Callable[[], Knowing]
) -> None:
    """Trainer and three volunteers; one phone is offline for 20 s mid-typing; the server is killed and comes back."""
    desk = trainer(watched, browser, server)
    maria, juan, li = (joined(watched, browser, server, name) for name in ("Maria", "Juan", "Li"))
    for name in ("Maria", "Juan", "Li"):
        expect(desk.locator("#board")).to_contain_text(name)
    desk.get_by_role("button", name="Begin the evening").click()
    expect(maria.locator("#held")).to_be_empty()
    desk.get_by_label("Jump to").fill("19:01")
    desk.get_by_role("button", name="Jump", exact=True).click()
    desk.get_by_role("button", name="×3", exact=True).click()  # noqa: RUF001  # as on the button
    known = knowing()

    # Juan raises his hand and stands first on the board
    juan.get_by_role("button", name="Raise your hand").click()
    expect(desk.locator("#board tr").first).to_contain_text("Juan")

    # An inject reaches the one it is for
    desk.get_by_role("checkbox", name="Choose Li").check()
    desk.get_by_label("the chosen seats").check()
    desk.get_by_role("button", name="Send now: Wrong line").click()
    expect(li.locator("#notices .news")).to_be_visible()
    assert not maria.locator("#notices .news").count()

    go_on(known, {"chair-1": maria, "chair-2": juan}, "count")
    go_on(known, {"chair-3": li}, "viability")

    # Maria's phone is offline in the middle of typing; she goes on, and sends
    count = step_of(maria, "count")
    counted = str(known.precinct("chair-1").attendance)
    count.get_by_label("People in the room").press_sequentially(counted[:1])
    maria.context.set_offline(True)
    offline_since = time.monotonic()
    count.get_by_label("People in the room").press_sequentially(counted[1:])
    expect(maria.locator("#line")).to_have_text(re.compile("^Not connected"))
    count.get_by_role("button", name="Write down the count").click()
    expect(maria.locator("#line")).to_have_text("Not connected: sent as soon as the line is back")

    # Juan has typed and not sent when the server is killed
    step_of(juan, "count").get_by_label("People in the room").fill("17")
    server.kill()
    expect(juan.locator("#line")).to_have_text(re.compile("^Not connected"))
    juan.get_by_label("People in the room").press_sequentially("1")
    server.start()
    connected(juan)
    assert juan.get_by_label("People in the room").input_value() == "171"
    juan.reload()
    connected(juan)
    assert juan.get_by_label("People in the room").input_value() == "171"

    # What Maria sent into the void arrives when her phone is back, after twenty seconds; until then it is there
    maria.wait_for_timeout(max(0.0, OFFLINE_S - (time.monotonic() - offline_since)) * 1000)
    expect(maria.locator("#line")).to_have_text("Not connected: sent as soon as the line is back")
    assert count.get_by_label("People in the room").input_value() == counted
    maria.context.set_offline(False)
    expect(step_of(maria, "freeze")).to_be_visible()
    expect(maria.locator("#steps h2").first).to_be_focused()
    acts = [event for event in known.log.read() if event.kind == "acted" and event.data["action"] == "count"]
    assert [(event.seat, event.data["fields"]["counted"]) for event in acts if event.seat == "chair-1"] == [
        ("chair-1", counted)
    ]

    connected(desk)
    desk.get_by_role("button", name="×60").click()  # noqa: RUF001  # as on the button
    go_on(known, {"chair-1": maria, "chair-2": juan, "chair-3": li})
    for page in (maria, juan, li):
        expect(page.locator("#stages [aria-current]")).to_have_count(0)

    desk.get_by_role("button", name="End the rehearsal").click()
    desk.get_by_role("link", name="Open the debriefing").first.click()
    expect(desk.get_by_role("heading", name="Talk about these first")).to_be_visible()
    assert watched.complaints == []
    assert watched.hosts == {server["url"].split("/")[2]}
