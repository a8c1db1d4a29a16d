"""A rehearsal's server, browsers around it, and somebody who knows what is right to do next."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

from simulation.rehearsal.answer_key import Act, next_act
from simulation.rehearsal.log import Log
from simulation.rehearsal.room import Room
from simulation.rehearsal.running import read_only
from simulation.rehearsal.script import PrecinctScript
from simulation.rehearsal.seat import Seat

PHONE, DESK = {"width": 390, "height": 844}, {"width": 1280, "height": 900}
_ROOT = Path(__file__).parents[3]


class Server:
    """A rehearsal's server in a process of its own."""

    def __init__(self, file: Path, *options: str) -> None:
        self.file, self._options = file, options
        self.port = 0
        self.links: dict[str, str] = {}
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        command = [sys.executable, str(Path(__file__).with_name("served.py")), str(self.file), str(self.port)]
        environment = {**os.environ, "PYTHONPATH": str(_ROOT)}
        self._process = subprocess.Popen(
            [*command, *self._options], stdout=subprocess.PIPE, text=True, env=environment, cwd=_ROOT
        )
        assert self._process.stdout is not None
        self.links = json.loads(self._process.stdout.readline())
        self.port = int(self.links["url"].rstrip("/").rpartition(":")[2])

    def kill(self, how: signal.Signals = signal.SIGKILL) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(20)
            assert self._process.stdout is not None
            self._process.stdout.close()
            self._process = None

    def __getitem__(self, name: str) -> str:
        return self.links[name]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    made = Server(tmp_path_factory.mktemp("rehearsal") / "night.sqlite")
    made.start()
    yield made
    made.kill()


@pytest.fixture(scope="module")
def browser(chromium_path: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path, args=["--no-sandbox"])
        yield browser
        browser.close()


class Watched:
    """What pages asked for, and what they complained of."""

    def __init__(self) -> None:
        self.hosts: set[str] = set()
        self.complaints: list[str] = []

    def page(self, browser: Browser, size: dict[str, int], **options: Any) -> Page:
        page = browser.new_context(viewport=size, **options).new_page()  # type: ignore[arg-type]  # playwright wants a TypedDict
        page.set_default_timeout(15_000)
        page.on("request", lambda request: self.hosts.add(request.url.split("/")[2]))
        page.on("websocket", lambda socket: self.hosts.add(socket.url.split("/")[2]))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", lambda said: self._said(said.type, said.text))
        page.on("dialog", lambda dialog: dialog.accept())
        return page

    def _said(self, kind: str, text: str) -> None:
        # A server that is killed on purpose cannot be reached for a while
        expected = ("ERR_CONNECTION_REFUSED", "ERR_INTERNET_DISCONNECTED", "htmx:ws:error", "WebSocket connection to")
        if kind == "error" and not any(one in text for one in expected):
            self.complaints.append(text)


@pytest.fixture
def watched() -> Watched:
    return Watched()


def connected(page: Page) -> None:
    expect(page.locator("#line")).to_have_text(re.compile("^(Connected|Conectado)$"))


def joined(watched: Watched, browser: Browser, server: Server, name: str, **options: Any) -> Page:
    """Somebody takes a seat on a phone."""
    page = watched.page(browser, PHONE, **options)
    page.goto(server["url"])
    page.locator("#name").fill(name)
    page.locator("#code").fill(server["join_code"])
    page.locator("form.sheet button").click()
    connected(page)
    return page


def trainer(watched: Watched, browser: Browser, server: Server, **options: Any) -> Page:
    page = watched.page(browser, DESK, **options)
    page.goto(server["trainer_url"])
    connected(page)
    return page


class Knowing:
    """The same night, folded from the same log by the test: it knows what everybody should do next."""

    def __init__(self, file: Path) -> None:
        self._keep = ExitStack()
        self.room: Room
        self.room, events, log = self._keep.enter_context(read_only(file))
        self.log: Log = log
        self._upto = len(events)

    def close(self) -> None:
        self._keep.close()

    def now(self) -> Room:
        for event in self.log.read(after=self._upto):
            self.room.apply(event)
            self._upto = event.seq
        return self.room

    def next_act(self, seat: str, at_ms: int) -> Act | None:
        room = self.now()
        room.advance(max(room.now_ms, at_ms))
        doing: Any = room.seats[seat].doing
        assert isinstance(doing, Seat)
        return next_act(doing, room.now_ms, room)

    def precinct(self, seat: str) -> PrecinctScript:
        found = self.now().seats[seat].precinct
        assert found is not None
        return found


@pytest.fixture
def knowing(server: Server) -> Iterator[Callable[[], Knowing]]:
    made: list[Knowing] = []

    def now() -> Knowing:
        made.append(Knowing(server.file))
        return made[-1]

    yield now
    for one in made:
        one.close()


def night_ms(page: Page) -> int:
    """The night's clock as a page shows it; after midnight it goes on."""
    hours, minutes = page.locator("[data-clock]").first.inner_text().split(":")
    return (int(hours) * 60 + int(minutes)) * 60_000


def step_of(page: Page, step: str) -> Locator:
    return page.locator(f"form[data-step={json.dumps(step)}]")


def fill(form: Locator, fields: dict[str, str]) -> None:
    """Type what is right into a step's fields."""
    for name, text in fields.items():
        controls = form.locator(f"[name={json.dumps(name)}]")
        if not controls.count():
            continue
        if controls.first.get_attribute("type") in ("radio", "checkbox"):
            wanted = text.split(",")
            for control in controls.all():
                chosen = control.get_attribute("value") in wanted
                if chosen != control.is_checked():
                    control.click()
        else:
            controls.first.fill(text)


def press(page: Page, act: Act, fill_in: bool = True) -> None:
    """Do what an act says through the page, and wait until the server has it."""
    form = step_of(page, act.step)
    if fill_in:
        fill(form, act.fields)
    form.locator(f"button[value={json.dumps(act.action)}]").first.click()
    page.wait_for_selector(f"form[data-step={json.dumps(act.step)}][aria-busy]", state="detached")
