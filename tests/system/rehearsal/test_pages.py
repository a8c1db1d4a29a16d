"""Every page, as people with and without a screen, on phones and at desks, in both languages find it."""

from __future__ import annotations

import json
import shutil
import sqlite3
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin

from tests.system.rehearsal.conftest import DESK, PHONE, Server, Watched, connected, joined, step_of, trainer
from tests.system.rehearsal.served import played


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """An evening that has come as far as the threshold."""
    made = Server(tmp_path_factory.mktemp("evening") / "night.sqlite")
    played(made.file, "viability")
    made.start()
    yield made
    made.kill()


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """An evening that is over."""
    made = Server(tmp_path_factory.mktemp("ended") / "night.sqlite")
    played(made.file)
    made.start()
    yield made
    made.kill()


def addresses(server: Server, ended: Server) -> dict[str, str]:
    """Every page that needs no seat."""
    debrief = ended["trainer_url"].replace("/trainer/", "/debrief/")
    return {
        "join": server["url"],
        "trainer": server["trainer_url"],
        "projector": server["projector_url"],
        "over the shoulder": f"{server['trainer_url']}/seat/chair-1",
        "attendance": f"{ended['trainer_url']}/attendance",
        "debrief": debrief,
        "a page for one": f"{debrief}/seat/chair-2",
        "replay": f"{debrief}/replay",
        "nowhere": f"{server['url']}nowhere",
    }


def opened(watched: Watched, browser: Browser, address: str, size: dict[str, int], language: str, scheme: str) -> Page:
    page = watched.page(browser, size, color_scheme=scheme, reduced_motion="reduce")
    page.context.add_cookies([{"name": "language", "value": language, "url": address}])
    page.goto(address)
    if page.locator("#line").count():
        connected(page)
    return page


def sound(page: Page, name: str, language: str, violations: Callable[[Page], list[str]]) -> None:
    """A page has its language and one title, fits its screen, and breaks no rule of WCAG 2.2 AA."""
    assert page.locator("html").get_attribute("lang") == language, name
    assert page.locator("h1").count() == 1, name
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{name} scrolls sideways"
    assert violations(page) == [], name


@pytest.mark.parametrize(
    ("size", "language", "scheme"),
    [(PHONE, "es", "dark"), (DESK, "en", "light")],
    ids=["phone-in-Spanish-in-the-dark", "desk"],
)
def test_every_page_meets_wcag_and_fits(
    browser: Browser,
    server: Server,
    ended: Server,
    watched: Watched,
    violations: Callable[[Page], list[str]],
    size: dict[str, int],
    language: str,
    scheme: str,
) -> None:
    for name, address in addresses(server, ended).items():
        page = opened(watched, browser, address, size, language, scheme)
        sound(page, name, language, violations)
        page.context.close()
    page = joined(watched, browser, server, "Ana")
    page.context.add_cookies([{"name": "language", "value": language, "url": server["url"]}])
    page.set_viewport_size(size)  # type: ignore[arg-type]  # playwright wants a TypedDict
    page.reload()
    connected(page)
    sound(page, "seat", language, violations)
    page.context.close()
    assert [said for said in watched.complaints if "404" not in said] == []
    assert watched.hosts == {urlsplit(one["url"]).netloc for one in (server, ended)}


def test_at_200_percent_nothing_is_cut_off(browser: Browser, server: Server, watched: Watched) -> None:
    """Zoomed to twice its size, a desk's screen is as wide as 640 pixels; a phone's as 320."""
    for address in (server["url"], server["trainer_url"]):
        for width in (640, 320):
            page = opened(watched, browser, address, {"width": width, "height": 480}, "en", "light")
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), (address, width)
            page.context.close()


def test_an_evening_can_be_played_with_the_keyboard_alone(browser: Browser, server: Server, watched: Watched) -> None:
    page = watched.page(browser, DESK)
    page.goto(server["url"])
    tab_to(page, "#name")
    page.keyboard.type("Kay")
    tab_to(page, "#code")
    page.keyboard.type(server["join_code"].lower())
    page.keyboard.press("Enter")
    connected(page)
    tab_to(page, "#steps input")
    page.keyboard.type("1")
    page.keyboard.press("Enter")
    expect(page.locator("#steps h2").first).to_be_focused()
    expect(step_of(page, "first")).to_be_visible()
    page.context.close()

    desk = trainer(watched, browser, server)
    tab_to(desk, "#run")
    desk.keyboard.press("Enter")
    expect(desk.locator("#run")).to_have_text("Go on")
    expect(desk.locator("#run")).to_be_focused()
    desk.keyboard.press("Enter")
    expect(desk.locator("#run")).to_have_text("Stop the clock")
    desk.context.close()


def tab_to(page: Page, selector: str) -> None:
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("selector => document.activeElement.matches(selector)", selector):
            return
    raise AssertionError(f"the keyboard does not reach {selector}")


def test_what_is_not_a_number_is_sent_back_and_stays(browser: Browser, server: Server, watched: Watched) -> None:
    page = joined(watched, browser, server, "Ned")
    threshold = page.get_by_label("Threshold")
    threshold.fill("a few")
    page.get_by_role("button", name="Announce the threshold").click()
    expect(page.locator("#steps .feedback")).to_contain_text("is not a whole number")
    expect(page.locator("#announce")).to_contain_text("is not a whole number")
    assert threshold.input_value() == "a few"
    page.context.close()


def test_the_trainer_holds_everybody_and_lets_them_go(browser: Browser, server: Server, watched: Watched) -> None:
    desk = trainer(watched, browser, server)
    page = joined(watched, browser, server, "Hal")
    desk.get_by_label("Hold everyone at").select_option("viability")
    desk.get_by_role("button", name="Hold", exact=True).click()
    expect(desk.locator("#running")).to_contain_text("Held at: Viability")
    page.get_by_label("Threshold").fill("3")
    page.get_by_role("button", name="Announce the threshold").click()
    expect(page.locator("#held")).to_contain_text("holds everybody")
    desk.get_by_role("button", name="Let go").click()
    expect(page.locator("#held")).to_be_empty()
    hints, worked = (desk.get_by_role("button", name=name) for name in ("Hints", "Worked arithmetic"))
    for help_given in (hints, worked):
        help_given.click()
        expect(help_given).to_have_attribute("aria-pressed", "false")
    expect(page.locator("#steps details")).to_have_count(0)
    hints.click()
    expect(hints).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#steps details").first).to_be_visible()
    page.context.close()
    desk.context.close()


def test_the_trainer_moves_a_person_whose_page_follows(browser: Browser, server: Server, watched: Watched) -> None:
    desk, page = trainer(watched, browser, server), joined(watched, browser, server, "Moe")
    desk.get_by_role("checkbox", name="Choose Moe").check()
    desk.get_by_label("Move the person to the seat").fill("operator-1")
    desk.get_by_role("button", name="Move", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Hotline operator")
    expect(desk.locator("#row-operator-1")).to_contain_text("Moe")
    page.context.close()
    desk.context.close()


def test_a_second_device_takes_over(browser: Browser, server: Server, watched: Watched) -> None:
    first, second = trainer(watched, browser, server), trainer(watched, browser, server)
    first.context.close()
    second.get_by_role("button", name="×2", exact=True).click()  # noqa: RUF001  # as on the button
    expect(second.locator("#speed-2")).to_have_attribute("aria-pressed", "true")
    second.context.close()


def test_a_replay_goes_to_a_moment_and_a_branch_goes_on_from_there_also_on_the_next_server(
    browser: Browser, ended: Server, watched: Watched
) -> None:
    page = watched.page(browser, DESK)
    page.goto(ended["trainer_url"].replace("/trainer/", "/debrief/"))
    page.get_by_role("link", name="Replay from").first.click()
    connected(page)
    expect(page.locator("#rows")).to_contain_text("Juan")
    expect(page.locator("#rows")).not_to_contain_text("Done")
    page.get_by_role("button", name="×16").click()  # noqa: RUF001  # as on the button
    page.get_by_role("button", name="Play").click()
    expect(page.get_by_role("button", name="Stop")).to_be_focused()
    page.get_by_label("Moment of the evening").press("End")
    expect(page.locator("#rows")).to_contain_text("Done", timeout=15_000)
    page.go_back()
    page.get_by_role("button", name="Try again from here").first.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("A new rehearsal")
    code = page.locator(".codeword").inner_text()
    page.get_by_role("link", name="Open its trainer").click()
    connected(page)
    other = watched.page(browser, PHONE)
    other.goto(f"{ended['url']}?code={code}")
    other.locator("#name").fill("Bea")
    other.get_by_role("button", name="Take a seat").click()
    connected(other)
    expect(page.locator("#board")).to_contain_text("Bea")
    ended.kill()
    ended.start()
    connected(other)
    expect(other.get_by_role("heading", level=1)).not_to_have_text("No seat")
    page.goto(ended["trainer_url"].replace("/trainer/", "/debrief/"))
    expect(page.get_by_role("listitem").filter(has_text=code)).to_be_visible()
    page.get_by_role("link", name="its trainer").click()
    connected(page)
    expect(page.locator("#board")).to_contain_text("Bea")
    other.context.close()
    page.context.close()


def test_names_are_deleted_at_a_click(browser: Browser, tmp_path: Path, ended: Server, watched: Watched) -> None:
    copy = Server(tmp_path / "night.sqlite")
    for file in ended.file.parent.glob(f"{ended.file.name}*"):
        if not file.name.endswith(".lock"):
            shutil.copy(file, tmp_path / file.name)
    copy.start()
    try:
        desk = trainer(watched, browser, copy)
        expect(desk.locator("#board")).to_contain_text("Juan")
        desk.get_by_role("button", name="Delete all names").click()
        expect(desk.locator("#board")).not_to_contain_text("Juan")
        desk.context.close()
    finally:
        copy.kill()
    assert not any(b"Juan" in file.read_bytes() for file in tmp_path.iterdir())


# Who may do what


def asked(url: str, **form: str) -> tuple[int, dict[str, str], str]:
    body = urllib.parse.urlencode(form).encode() if form else None
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body)) as answer:
            return answer.status, dict(answer.headers), answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, dict(error.headers), error.read().decode()


def test_pages_are_not_kept_and_load_nothing_from_elsewhere(server: Server) -> None:
    for url in (server["url"], server["trainer_url"]):
        _, headers, html = asked(url)
        headers = {name.lower(): value for name, value in headers.items()}
        assert headers["cache-control"] == "no-store"
        assert headers["referrer-policy"] == "no-referrer"
        assert "script-src 'self';" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert "<style" not in html
        assert "<script>" not in html
        assert "onclick" not in html


def test_a_link_opens_nothing_but_its_own(server: Server) -> None:
    wrong = server["trainer_url"][:-1] + ("A" if server["trainer_url"][-1] != "A" else "B")
    token = server["projector_url"].rpartition("/")[2]
    for url in (wrong, server["url"] + f"trainer/{token}", server["url"] + f"debrief/{token}"):
        assert asked(url)[0] == 404


def socket(server: Server, path: str, origin: str | None = None) -> str:
    """How a socket to this path ends, or "open"."""
    url = server["url"].replace("http:", "ws:").rstrip("/") + path
    try:
        with connect(url, origin=Origin(origin or server["url"].rstrip("/")), open_timeout=5) as one:
            try:
                one.recv(timeout=3)
            except ConnectionClosed as closed:
                return str(closed.rcvd.code if closed.rcvd else 0)
            return "open"
    except InvalidStatus as refused:
        return str(refused.response.status_code)


def test_sockets_are_for_this_servers_pages_and_the_right_link(server: Server) -> None:
    path = urlsplit(server["trainer_url"]).path + "/live"
    assert socket(server, path) == "open"
    assert socket(server, path, "http://elsewhere.example") == "403"
    assert socket(server, path.replace("trainer", "projector")) == "4404"
    assert socket(server, "/seat/nobody/live") == "4404"


def test_an_action_counts_once_however_often_it_is_sent(server: Server) -> None:
    """And a volunteer's socket can do nothing that is the trainer's, or another seat's."""
    _, headers, _ = asked_without_following(server["url"], name="Una", code=server["join_code"])
    path = headers["location"] + "/live"
    url = server["url"].replace("http:", "ws:").rstrip("/") + path
    with connect(url, origin=Origin(server["url"].rstrip("/"))) as one:
        one.recv(timeout=5)
        message = {"id": "0123456789ab", "kind": "hand", "fields": {"raised": "yes"}}
        for _ in range(2):
            one.send(json.dumps(message))
            assert answer_to(one, "0123456789ab")
        one.send(json.dumps({"id": "1", "kind": "clock", "fields": {"do": "pause"}}))
        assert answer_to(one, "1")
        one.send("no JSON")
        one.send(json.dumps({"id": "2", "kind": "acted", "seat": "chair-1", "fields": {"action": "announce"}}))
        assert answer_to(one, "2")
    with sqlite3.connect(server.file) as log:
        kept = log.execute("SELECT kind, seat, data FROM events WHERE seq > 0 ORDER BY seq").fetchall()
    hands = [row for row in kept if row[0] == "hand" and "0123456789ab" in row[2]]
    assert len(hands) == 1
    assert not [row for row in kept if row[0] == "acted" and row[1] == "chair-1" and '"key":"2"' in row[2]]


def answer_to(one: ClientConnection, key: str) -> dict[str, str]:
    for _ in range(20):
        for answer in json.loads(one.recv(timeout=5)).get("answers", ()):
            if answer["id"] == key:
                return dict(answer)
    raise AssertionError(f"no answer to {key}")


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_args: object) -> None:
        return None


def asked_without_following(url: str, **form: str) -> tuple[int, dict[str, str], str]:
    opener = urllib.request.build_opener(_Stay)
    try:
        with opener.open(url, urllib.parse.urlencode(form).encode()) as answer:
            return answer.status, dict(answer.headers), ""
    except urllib.error.HTTPError as error:
        with error:
            return error.code, {name.lower(): value for name, value in error.headers.items()}, ""


def test_who_guesses_codes_has_to_wait(server: Server) -> None:
    """The last test here: this computer's address is locked out for a while."""
    codes = [asked_without_following(server["url"], name="Guess", code=f"ZZZZ{k:02}") for k in range(12)]
    assert [status for status, *_ in codes[:10]] == [403] * 10
    assert codes[-1][0] == 429
    assert int(codes[-1][1]["retry-after"]) >= 1
    assert asked_without_following(server["url"], name="Right", code=server["join_code"])[0] == 429
