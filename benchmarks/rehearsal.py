"""200 people in one rehearsal: each with a phone's page open, doing something once in five seconds for three minutes.

The server is `caucus rehearse` as people start it. The volunteers are a second process: a WebSocket each, from an
address of its own, through the protocol of the pages and nothing else; they read what is asked off the page that they
were sent, and press what stands there. Beside them the trainer's page is open on two devices, and the projector's.
Told is how long it took from an action to the update that shows it, on the person's page and on the trainer's board,
and what the server used for it. Prints one JSON object on stdout; exit 1 where a limit does not hold. Others on the
machine spoil it: run it alone.

`--tabs 20` opens the trainer's page in so many real tabs of one Chromium beside that. Told is how long it took from a
raised hand (as the volunteer's process sends it) until each tab's board shows it: the moment at which a
MutationObserver in the tab finds the row marked, by the computer's clock. Playwright's pages count as visible: a tab
behind another, which a browser may throttle, is not what is measured; painting is not either.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Mapping, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import psutil

MOST_P95_MS = 300.0
MOST_CORES = 1.0
MOST_GROWTH = 1.05  # memory of the last third over that of the first: the log in memory grows, nothing else may
ROLES = ("chair",) * 18 + ("checkin", "operator", "entry", "reviewer")  # by turns
MOST_TAB_P95_MS = 1_000.0  # a trainer's board is told four times a second at most, and 20 tabs share a processor
WAIT_S = 10.0  # for the last updates, then it counts as missing
_PARTIAL = re.compile(r'<hx-partial hx-target="#([^"]+)" hx-swap="outerMorph">(.*?)</hx-partial>', re.DOTALL)


class Forms(HTMLParser):
    """What a page offers: its forms, with their fields and buttons."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[dict[str, Any]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        """A form, a field, a button."""
        given = dict(attributes)
        if tag == "form":
            self.found.append({"kind": given.get("data-kind"), "step": given.get("data-step") or "", "texts": {},
                               "choices": {}, "buttons": []})  # fmt: skip
        elif tag == "input" and self.found:
            form, name = self.found[-1], given.get("name") or ""
            if given.get("type") in ("radio", "checkbox"):
                form["choices"].setdefault(name, []).append(given.get("value") or "")
            else:
                form["texts"][name] = given.get("value") or ""
        elif tag == "button" and self.found:
            more = {"value": given["data-value"]} if given.get("data-value") else {}
            self.found[-1]["buttons"].append((given.get("class") or "", given.get("value") or "", more))


# In a tab: each row of the board that begins to show a raised hand, and when
WATCH = """
window.raised = [];
new MutationObserver(changes => {
  const now = performance.timeOrigin + performance.now();
  const hand = row => { if (row.matches?.("#board tr.hand")) raised.push([row.id, now]); };
  for (const one of changes)
    if (one.type === "childList") one.addedNodes.forEach(hand);
    else if (!/(^| )hand( |$)/.test(one.oldValue ?? "")) hand(one.target);
}).observe(document, { subtree: true, childList: true, attributeFilter: ["class"], attributeOldValue: true });
"""


def tabs(trainer: str, count: int) -> None:
    """The trainer's page in so many tabs of one browser, until stdin tells which hands were raised; how they saw it."""
    from playwright.sync_api import sync_playwright

    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        context = chromium.new_context(viewport={"width": 1280, "height": 900})
        context.add_init_script(WATCH)
        found = [context.new_page() for _ in range(count)]
        for page in found:
            page.goto(trainer)
        for page in found:
            page.wait_for_function("document.querySelector('#line').textContent === 'Connected'", timeout=60_000)
        print(json.dumps({"open": count}), flush=True)
        hands = json.loads(sys.stdin.readline())
        deadline = time.monotonic() + WAIT_S
        while True:
            seen = [page.evaluate("({raised, live: document.querySelector('#line').textContent})") for page in found]
            told_of = seen_in_tabs(seen, hands)
            if not told_of["missing"] or time.monotonic() > deadline:
                break
            time.sleep(0.2)
        print(json.dumps(told_of), flush=True)
        chromium.close()


def seen_in_tabs(seen: Sequence[Mapping[str, Any]], hands: Sequence[tuple[str, float]]) -> dict[str, Any]:
    """How long each raised hand took to each tab; hands that a tab never showed."""
    took: list[list[float]] = []
    missing = 0
    for tab in seen:
        shown: dict[str, list[float]] = {}
        for row, at in tab["raised"]:
            shown.setdefault(row, []).append(at)
        here = []
        for row, at in hands:
            later = next((when for when in shown.get(row, ()) if when >= at), None)
            missing += later is None
            here += [] if later is None else [later - at]
        took.append(here)
    return {
        "tabs": len(seen),
        "live": sum(tab["live"] == "Connected" for tab in seen),
        "hands": len(hands),
        "missing": missing,
        "board_ms": told([ms for here in took for ms in here]),
        "slowest_tab_p95_ms": max((told(here).get("p95", 0.0) for here in took), default=0.0),
    }


class Page:
    """An open page: the socket, the blocks that were sent last, and when what was waited for came."""

    def __init__(self, base: str, path: str, address: str) -> None:
        self.base, self.path, self.address = base, path, address
        self.blocks: dict[str, str] = {}
        self.heard: Counter[str] = Counter()
        self.waiting: dict[str, float] = {}  # action's id -> when it was sent
        self.took_ms: list[float] = []
        self.refused: Counter[str] = Counter()
        self.watches: dict[str, list[tuple[float, str]]] = {}  # element -> when something was done that changes it, how
        self.seen_ms: list[float] = []
        self.gap_ms = 0.0  # the longest time without a word
        self.seat = ""

    async def open(self) -> None:
        """Connect as a browser does."""
        from websockets.asyncio.client import connect

        where = urlsplit(self.base)
        self.socket = await connect(
            f"ws://{where.netloc}{self.path}/live",
            origin=f"http://{where.netloc}",  # type: ignore[arg-type]  # a NewType of str
            local_addr=(self.address, 0),
            max_size=None,
            ping_interval=None,  # browsers send none
            open_timeout=60,
        )
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        last = 0.0
        async for text in self.socket:
            now = time.perf_counter()
            self.gap_ms, last = max(self.gap_ms, (now - last) * 1000 if last else 0.0), now
            message = json.loads(text)
            self.heard["messages"] += 1
            self.heard["characters"] += len(text)
            changed = dict(_PARTIAL.findall(message.get("content", "")))
            self.blocks |= changed
            for answer in message["answers"]:
                sent = self.waiting.pop(answer["id"], None)
                if sent is None:
                    continue
                self.took_ms.append((now - sent) * 1000)
                if answer.get("refused"):
                    self.refused[answer["refused"]] += 1
                else:
                    self.heard["shown" if changed else "answered without anything to show"] += 1
            for name in self.watches.keys() & changed.keys():
                left = [one for one in self.watches[name] if one[1] not in changed[name]]
                self.seen_ms += [(now - sent) * 1000 for sent, how in self.watches[name] if how in changed[name]]
                self.watches[name] = left

    async def send(self, message: Mapping[str, Any]) -> None:
        """An action, under an id of its own."""
        name = os.urandom(12).hex()
        self.waiting[name] = time.perf_counter()
        await self.socket.send(json.dumps({"id": name, **message}))

    async def close(self) -> None:
        """Go home; whatever went wrong in reading comes up here."""
        await self.socket.close()
        await self._reading


class Volunteer(Page):
    """A person with a phone, who reads the page and does what comes first on it, sometimes something else."""

    def __init__(self, base: str, path: str, address: str, number: int) -> None:
        super().__init__(base, path, address)
        self._luck = random.Random(number)

    def next(self) -> tuple[dict[str, Any], str]:
        """What to send, and what it will look like on the trainer's board if that is known."""
        forms = [
            form for form in Forms(self.blocks.get("steps", "")).found if form["kind"] == "acted" and form["buttons"]
        ]
        if forms and self._luck.random() < 0.9:
            form = forms[0] if self._luck.random() < 0.9 else self._luck.choice(forms)
            main = [button for button in form["buttons"] if "main" in button[0]]
            _, action, more = self._luck.choice(main if main and self._luck.random() < 0.8 else form["buttons"])
            fields = {name: text or str(self._luck.randint(0, 120)) for name, text in form["texts"].items()}
            fields |= {name: self._luck.choice(values) for name, values in form["choices"].items()}
            return {"kind": "acted", "step": form["step"], "fields": {**fields, **more, "action": action}}, ""
        up = 'value="yes"' in self.blocks.get("help", "")
        return {"kind": "hand", "step": "", "fields": {"raised": "yes" if up else "no"}}, "hand" if up else ""


async def volunteers(base: str, code: str, trainer: str, projector: str, people: int, every_s: float, seconds: float,
                     devices: int) -> dict[str, Any]:  # fmt: skip
    """The whole room; what it saw."""
    loop = asyncio.get_running_loop()
    came = time.perf_counter()
    joining = asyncio.Semaphore(8)

    async def comes(number: int) -> Volunteer:
        address = f"127.1.{number // 200}.{number % 200 + 1}"
        role = ROLES[number % len(ROLES)]
        async with joining:
            path = await loop.run_in_executor(None, joined, base, code, f"Volunteer {number + 1}", role, address)
            volunteer = Volunteer(base, path, address, number)
            await volunteer.open()
        return volunteer

    room = list(await asyncio.gather(*(comes(number) for number in range(people))))
    came_s = time.perf_counter() - came
    desks = [Page(base, urlsplit(trainer).path, "127.0.0.1") for _ in range(devices)]
    wall = Page(base, urlsplit(projector).path, "127.0.0.1")
    for page in (*desks, wall):
        await page.open()
    await asyncio.sleep(1)
    await desks[0].send({"kind": "clock", "step": "", "fields": {"do": "run"}})
    await desks[0].send({"kind": "clock", "step": "", "fields": {"do": "jump", "to": "18:50"}})
    await asyncio.sleep(3)  # the jump is played
    for page in (*room, *desks, wall):
        page.took_ms.clear()
        page.heard.clear()
        page.gap_ms = 0.0
        for form in re.findall(r'data-draft="([^":]+):', page.blocks.get("steps", ""))[:1]:
            page.seat = form
    print(json.dumps({"begins": True}), flush=True)
    late = [0.0]
    hands: list[tuple[str, float]] = []  # row of the board, ms since the epoch

    async def evening(volunteer: Volunteer, number: int, begin: float) -> int:
        for turn in itertools.count():
            due = begin + (number / people + turn) * every_s  # a room does not act in step
            if due >= begin + seconds:
                return turn
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            late[0] = max(late[0], time.perf_counter() - due)
            message, shown = volunteer.next()
            if shown and volunteer.seat:
                hands.append((f"row-{volunteer.seat}", time.time() * 1000))
                for page in desks:
                    page.watches.setdefault(f"row-{volunteer.seat}", []).append((time.perf_counter(), 'class="hand'))
            await volunteer.send(message)
        raise AssertionError

    begin = time.perf_counter()
    acts = sum(await asyncio.gather(*(evening(one, number, begin) for number, one in enumerate(room))))
    print(json.dumps({"ends": True}), flush=True)
    waited = time.perf_counter()
    while time.perf_counter() - waited < WAIT_S:
        if not any(one.waiting for one in room) and not any(any(page.watches.values()) for page in desks):
            break
        await asyncio.sleep(0.05)
    took = [ms for one in room for ms in one.took_ms]
    seen = [ms for page in desks for ms in page.seen_ms]
    heard: Counter[str] = sum((one.heard for one in room), Counter())
    refused: Counter[str] = sum((one.refused for one in room), Counter())
    for page in (*room, *desks, wall):
        await page.close()
    return {
        "joined_s": round(came_s, 1),
        "actions": acts,
        "missing": sum(len(one.waiting) for one in room),
        "update_ms": told(took),
        "board_ms": told(seen),
        "board_missing": sum(len(left) for page in desks for left in page.watches.values()),
        "heard": dict(heard),
        "refused": dict(refused.most_common(5)),
        "longest_silence_ms": round(max(one.gap_ms for one in room)),
        "trainer": dict(desks[0].heard),
        "latest_action_ms": round(late[0] * 1000, 1),
        "hands": hands,
    }


def joined(base: str, code: str, name: str, role: str, address: str) -> str:
    """Come in by the first page, as a browser; the path of the own page."""
    import http.client

    where = urlsplit(base)
    connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=60, source_address=(address, 0))
    form = urlencode({"code": code, "name": name, "role": role})
    connection.request("POST", "/", form, {"Content-Type": "application/x-www-form-urlencoded"})
    answer = connection.getresponse()
    answer.read()
    path = answer.getheader("Location", "")
    if answer.status != 303:
        raise SystemExit(f"{name} could not join: {answer.status}")
    connection.request("GET", path)
    answer = connection.getresponse()
    page = answer.read().decode()
    for asset in re.findall(r'(?:href|src)="(/assets/[^"]+)"', page):
        connection.request("GET", asset)
        connection.getresponse().read()
    connection.close()
    return path


def told(times_ms: Sequence[float]) -> dict[str, float]:
    """Times in a few figures."""
    if not times_ms:
        return {"count": 0}
    ordered = sorted(times_ms)
    shares = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
    return {
        "count": len(ordered),
        **{name: round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 1) for name, share in shares.items()},
        "longest": round(ordered[-1], 1),
    }


class Measured:
    """A process: what it used between two moments, and its memory and handles meanwhile."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self._began, self._used = time.monotonic(), self._cpu_s()
        self._rows: list[tuple[float, int]] = []

    def _cpu_s(self) -> float:
        times = self._process.cpu_times()
        return float(times.user + times.system)

    def look(self) -> None:
        """Once a second."""
        self._rows.append((self._process.memory_info().rss / 1e6, self._process.num_fds()))

    def found(self) -> dict[str, Any]:
        """In the end."""
        third = max(1, len(self._rows) // 3)
        first, last = self._rows[:third], self._rows[-third:]
        return {
            "cores": round((self._cpu_s() - self._used) / (time.monotonic() - self._began), 3),
            "memory_mb": [round(statistics.fmean(row[0] for row in rows), 1) for rows in (first, last)],
            "handles": [max(row[1] for row in rows) for rows in (first, last)],
            "threads": self._process.num_threads(),
        }


def measured(
    people: int, every_s: float, seconds: float, devices: int, in_browser: int, more: Sequence[str]
) -> dict[str, Any]:
    """A rehearsal with so many people."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            str(Path(sys.executable).with_name("caucus")),
            "rehearse",
            "iowa-2020",
            "--host",
            "127.0.0.1",
            "--port",
            "0",
        ]
        command += ["--file", str(Path(folder, "night.sqlite")), "--quiet", *more]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            assert server.stdout is not None
            links = json.loads(server.stdout.readline())
            with urllib.request.urlopen(links["url"]) as answer:
                answer.read()
            browser = opened_tabs(links["trainer_url"], in_browser) if in_browser else None
            given = {**links, "people": people, "every_s": every_s, "seconds": seconds, "devices": devices}
            room = subprocess.Popen(
                [sys.executable, __file__, "--volunteers", json.dumps(given)], stdout=subprocess.PIPE, text=True
            )
            assert room.stdout is not None
            if not room.stdout.readline():
                raise SystemExit("the volunteers could not begin")
            watching = Measured(server.pid)
            ends = time.monotonic() + seconds
            while time.monotonic() < ends and room.poll() is None:
                watching.look()
                time.sleep(min(1.0, seconds / 10))
            used = watching.found()
            lines = room.stdout.read().splitlines()
            if room.wait() or not lines:
                raise SystemExit("the volunteers did not come through")
            found = json.loads(lines[-1])
            hands = found.pop("hands")
            if browser is not None:
                found["browser"] = json.loads(browser.communicate(json.dumps(hands) + "\n", 120)[0])
            size = sum(file.stat().st_size for file in Path(folder).iterdir())
        finally:
            server.terminate()
            server.wait(30)
    return {**found, "server": used, "log_mb": round(size / 1e6, 2)}


def opened_tabs(trainer: str, count: int) -> subprocess.Popen[str]:
    """The process of the browser, its tabs open."""
    command = [sys.executable, __file__, "--watch", json.dumps([trainer, count])]
    browser = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert browser.stdout is not None
    if not browser.stdout.readline():
        raise SystemExit("the browser's tabs could not be opened")
    return browser


def main() -> None:
    """Measure, and hold it against the limits."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--people", type=int, default=200)
    options.add_argument("--every", type=float, default=5.0, help="seconds between two actions of a person")
    options.add_argument("--seconds", type=float, default=180.0)
    options.add_argument("--devices", type=int, default=2, help="on which the trainer's page is open")
    options.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="as `caucus rehearse` takes it"
    )
    options.add_argument("--tabs", type=int, default=0, help="of one Chromium, with the trainer's page, beside these")
    options.add_argument("--volunteers", help=argparse.SUPPRESS)
    options.add_argument("--watch", help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.watch:
        tabs(*json.loads(given.watch))
        return
    if given.volunteers:
        where = json.loads(given.volunteers)
        room = volunteers(where["url"], where["join_code"], where["trainer_url"], where["projector_url"],
                          where["people"], where["every_s"], where["seconds"], where["devices"])  # fmt: skip
        print(json.dumps(asyncio.run(room)), flush=True)
        return
    more = [word for setting in given.set for word in ("--set", setting)]
    found = measured(given.people, given.every, given.seconds, given.devices, given.tabs, more)
    memory, handles = found["server"]["memory_mb"], found["server"]["handles"]
    limits = {
        "every_action_is_shown": found["missing"] == 0,
        "update_p95": found["update_ms"].get("p95", float("inf")) < MOST_P95_MS,
        "under_one_core": found["server"]["cores"] < MOST_CORES,
        "memory_is_flat": memory[1] <= memory[0] * MOST_GROWTH,
        "handles_are_flat": handles[1] <= handles[0],
    }
    if given.tabs:
        seen = found["browser"]
        limits["every_tab_is_live"] = seen["live"] == given.tabs and seen["missing"] == 0
        limits["tab_p95"] = seen["board_ms"].get("p95", float("inf")) < MOST_TAB_P95_MS
    machine = {"load": round(os.getloadavg()[0], 1), "cores": os.cpu_count()}
    about = {"benchmark": "rehearsal", "people": given.people, "seconds": given.seconds, **machine}
    print(json.dumps({**about, **found, "limits": limits}))
    sys.exit(0 if all(limits.values()) else 1)


if __name__ == "__main__":
    main()
