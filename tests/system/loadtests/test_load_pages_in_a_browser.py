"""The pages of load tests as a browser shows them: on a phone, on a desk, in the dark."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from loadtests.report import break_page, run_folder, soak_page, stampede_page, versus_page
from loadtests.report.versus import compared, read
from tests.system.test_report_page import DESK, OVERLAPPING, PHONE
from tests.unit.loadtests.load_runs import DIRTY, about, night_page, point, replay, soaked, stampede

PAGES = ("break", "flows", "replay", "spike", "soak", "diff")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("pages")
    several = [point(), point("mix", 90.0, None)]
    runs = []
    for name, one in (("a", point()), ("b", replace(point(), requests_per_s=(80.0, 84.0)))):
        result = {"points": [{**one.as_json(), "night_per_s": one.night_per_s}]}
        run_folder.finish(place / name, about("break"), result, lambda place: None)
        runs.append(read(place / name))
    texts = {
        "break": break_page.page([point()], about("break")),
        "flows": break_page.page(several, about("break", ledger=DIRTY)),
        "replay": night_page(replay(place)),
        "spike": stampede_page.page(stampede(), about("spike")),
        "soak": soak_page.page(soaked(leak_mb=1.0), about("soak")),
        "diff": versus_page.page(runs[0], runs[1], compared(runs[0], runs[1]), "caucus loadtest diff a b"),
    }
    for name, text in texts.items():
        (place / f"{name}.html").write_text(text, encoding="utf-8")
    return place


@pytest.fixture(scope="module")
def browser(chromium_path: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def opened(browser: Browser, folder: Path) -> Iterator[Callable[..., Page]]:
    """Opens a page, in the light or in the dark."""
    pages = []

    def open_(name: str, size: dict[str, int], scheme: str = "light") -> Page:
        page = browser.new_page(viewport=size, color_scheme=scheme)  # type: ignore[arg-type]  # plain dicts and texts
        pages.append(page)
        page.goto((folder / f"{name}.html").as_uri())
        return page

    yield open_
    for page in pages:
        page.close()


@pytest.mark.parametrize("name", ["break", "replay", "spike", "soak", "diff"])
def test_a_page_is_accessible_in_the_light_and_in_the_dark(
    name: str, opened: Callable[..., Page], violations: Callable[[Page], list[str]]
) -> None:
    looks = [(PHONE, "dark")] + [(DESK, "light")] * (name == "replay")  # the others are made of the same parts
    for size, scheme in looks:
        assert violations(opened(name, size, scheme)) == []


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
def test_nothing_sticks_out_and_no_label_lies_on_another(
    name: str, size: dict[str, int], opened: Callable[..., Page]
) -> None:
    page = opened(name, size)
    assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
    assert page.evaluate(OVERLAPPING) == []
