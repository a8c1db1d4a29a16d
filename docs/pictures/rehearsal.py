"""Takes the pictures of the trainers' tutorial from an evening that it plays: `python -P docs/pictures/rehearsal.py`.

Three people and six bots in the night of 2020. Two hold the wrong groups viable, one reports by telephone.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from simulation.rehearsal.answer_key import next_act
from simulation.rehearsal.event import ROOM
from simulation.rehearsal.running import Rehearsal
from simulation.scenario import load
from simulation.scenario.values import parse_clock
from simulation.web.server import serve

HERE = Path(__file__).parent
PORT = 8019
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
MARIA, JUAN, LI = "chair-1", "chair-2", "chair-3"


class Evening:
    """The rehearsal, and the pages of those who are in it."""

    def __init__(self, rehearsal: Rehearsal, chromium: Browser) -> None:
        self.rehearsal, self._chromium = rehearsal, chromium
        self._room_took = threading.Thread(target=self._serve, daemon=True)
        self._open = threading.Event()
        self.links: dict[str, str] = {}
        self._room_took.start()
        self._open.wait(60)

    def _serve(self) -> None:
        serve(self.rehearsal, "127.0.0.1", PORT, ready=self._ready)

    def _ready(self, links: dict[str, str]) -> None:
        self.links = links
        self._open.set()

    def page(self, width: int, height: int, scale: float = 1) -> Page:
        """A browser's window."""
        context = self._chromium.new_context(
            viewport={"width": width, "height": height}, device_scale_factor=scale, color_scheme="light"
        )
        page = context.new_page()
        page.on("dialog", lambda dialog: dialog.accept())
        return page

    def clock(self, **data: Any) -> None:
        """As the trainer's buttons."""
        refused = self.rehearsal.do("clock", ROOM, data)
        assert refused is None, refused

    def goes_on(self, seat: str, done: Callable[[Any], bool], wrong: dict[str, dict[str, str]] | None = None) -> None:
        """Somebody does what is right, but for some fields of some steps, until `done`."""
        room, begun = self.rehearsal.room, time.monotonic()
        while not done(doing := room.seats[seat].doing):
            act = next_act(doing, room.now_ms, room)  # type: ignore[arg-type]  # a chair's
            offered = {button.action for step in self.rehearsal.view(seat).steps for button in step.buttons}
            if "insist" in offered:
                self.rehearsal.do("acted", seat, {"action": "insist", "fields": {}})
            elif act is not None:
                fields = act.fields | (wrong or {}).get(act.step, {})
                self.rehearsal.do("acted", seat, {"action": act.action, "fields": fields, "step": act.step})
            assert time.monotonic() - begun < 120, f"{seat} got stuck at {doing.stage}"
            time.sleep(0.05)


def main() -> None:
    """Write them beside this file."""
    browser = next(filter(None, map(shutil.which, BROWSERS)))
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        rehearsal = Rehearsal.begin(Path(folder, "night.sqlite"), load("iowa-2020"), bots=9)
        take(Evening(rehearsal, chromium))
        chromium.close()
    paper()
    for picture in HERE.glob("rehearsal-*.png"):
        Image.open(picture).convert("RGB").quantize(64).save(picture, optimize=True)
    os._exit(0)  # the server's thread knows no end


def take(evening: Evening) -> None:
    """All of them that show a screen."""
    rehearsal, room = evening.rehearsal, evening.rehearsal.room
    phones = {}
    for name in ("Maria", "Juan", "Li"):
        phone = phones[name] = evening.page(390, 780 if name == "Maria" else 1100, 2)
        phone.goto(f"{evening.links['url']}?code={evening.links['join_code']}")
        phone.get_by_label("Your name").fill(name)
        if name == "Maria":
            phone.screenshot(path=HERE / "rehearsal-join.png")
            phone.set_viewport_size({"width": 390, "height": 1100})
        phone.get_by_role("button", name="Take a seat").click()
        phone.locator("#steps").wait_for()
    desk = evening.page(1280, 900)
    desk.goto(evening.links["trainer_url"])
    wall = evening.page(1280, 720)
    wall.goto(evening.links["projector_url"])
    evening.clock(do="run")
    evening.clock(do="jump", to_ms=parse_clock("19:11"))
    while room.now_ms < parse_clock("19:11"):
        time.sleep(0.1)

    def wrong(seat: str) -> dict[str, dict[str, str]]:
        """The smallest viable group is left out."""
        precinct: Any = room.seats[seat].precinct
        smallest = min(precinct.viable, key=lambda group: precinct.first[group])
        return {"viable": {"viable": ",".join(group for group in precinct.viable if group != smallest)}}

    def protested(doing: Any) -> bool:
        return bool(doing.protested == "viable")

    attended = room.seats[JUAN].precinct
    assert attended is not None
    evening.goes_on(MARIA, protested, wrong(MARIA))
    evening.goes_on(
        JUAN, lambda doing: doing.stage == "first_alignment", {"freeze": {"n": str(attended.attendance + 13)}}
    )
    evening.goes_on(LI, lambda doing: doing.stage == "count")
    phones["Juan"].get_by_role("button", name="Raise your hand").click()
    desk.get_by_role("checkbox", name="Choose Li").check()
    desk.get_by_label("the chosen seats").check()
    desk.locator("#send-count-does-not-match").click()
    desk.locator("#card-count-does-not-match .note").wait_for()
    desk.get_by_label("the chosen seats").check()
    desk.locator("#about-count-does-not-match summary").click()
    desk.mouse.move(0, 0)
    time.sleep(3)
    desk.evaluate("scrollTo(0, 0)")
    desk.screenshot(path=HERE / "rehearsal-trainer.png")
    desk.locator(".deck").scroll_into_view_if_needed()
    desk.evaluate("scrollTo(0, document.querySelector('.deck').offsetTop - 56)")
    desk.screenshot(path=HERE / "rehearsal-deck.png")
    phones["Maria"].evaluate("scrollTo(0, 0)")
    phones["Maria"].screenshot(path=HERE / "rehearsal-viable.png")

    for seat in (MARIA, JUAN, LI):
        evening.goes_on(seat, lambda doing: doing.stage == "report", wrong(seat) if seat == JUAN else None)
    evening.clock(do="jump", to_ms=parse_clock("20:15"))
    while room.now_ms < parse_clock("20:15"):
        time.sleep(0.2)
    rehearsal.do("inject", ROOM, {"id": "no-trial-run", "seats": [LI]})
    pin = room.seats[LI].precinct
    assert pin is not None
    li = phones["Li"]
    li.get_by_label("PIN").fill(pin.pin)
    li.get_by_role("button", name="Sign in").click()
    li.locator(".step.app .feedback").wait_for()
    li.get_by_role("button", name="Call the hotline").click()
    li.get_by_role("button", name="Hang up").wait_for()
    time.sleep(25)  # dialed, and on hold
    li.evaluate("scrollTo(0, 0)")
    li.mouse.move(0, 0)
    li.screenshot(path=HERE / "rehearsal-report.png")
    wall.screenshot(path=HERE / "rehearsal-projector.png")

    evening.clock(do="speed", speed=60)
    for seat in (MARIA, JUAN):
        evening.goes_on(seat, lambda doing: doing.stage == "done")
    desk.locator("#end-it").click()
    desk.get_by_role("link", name="Open the debriefing").first.click()
    desk.get_by_role("heading", name="Talk about these first").wait_for()
    desk.evaluate("scrollTo(0, 0)")
    desk.screenshot(path=HERE / "rehearsal-debrief.png")


def paper() -> None:
    """Three pages of what `caucus packet` prints: an evening, its worksheet, cards."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["caucus", "packet", "iowa-2020", "--seats", "12", "--pdf", "--out", folder], check=True)
        pages = []
        for name, title in (("volunteers", "Your evening"), ("volunteers", "The worksheet"), ("trainer", "Cards")):
            made, picture = Path(folder, f"{name}.pdf"), Path(folder, title)
            text = subprocess.run(["pdftotext", made, "-"], check=True, capture_output=True, text=True).stdout
            number = str(next(i for i, page in enumerate(text.split("\f"), 1) if f"\n{title}" in f"\n{page}"))
            numbers = ["-f", number, "-l", number]
            subprocess.run(["pdftoppm", "-r", "50", "-png", "-singlefile", *numbers, made, picture], check=True)
            pages.append(Image.open(picture.with_suffix(".png")).copy())
        gap, height = 10, max(page.height for page in pages)
        sheet = Image.new("RGB", (sum(page.width + gap for page in pages) + gap, height + 2 * gap), "#dcd8ce")
        left = gap
        for page in pages:
            sheet.paste(page, (left, gap))
            left += page.width + gap
        sheet.save(HERE / "rehearsal-paper.png", optimize=True)


if __name__ == "__main__":
    main()
