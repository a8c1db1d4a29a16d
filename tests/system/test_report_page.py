"""The report as a browser shows it: on a phone, on a desk, in the dark, and on paper."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl
import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from simulation.experiment.precincts import over_all_nights
from simulation.night import play_night
from simulation.night.summary import summarize
from simulation.report import maps, plot, render
from simulation.report.forecast import Forecast
from simulation.roster import synthesize
from simulation.scenario import load
from simulation.scenario.values import DAY, HOUR, MINUTE

PHONE, TABLET, DESK = {"width": 390, "height": 844}, {"width": 768, "height": 1024}, {"width": 1280, "height": 900}

# The texts of visible pictures that lie on each other, by more than the two pixels that boxes of lines may share
OVERLAPPING = """() => {
  const found = [];
  for (const picture of document.querySelectorAll("svg[role=img]")) {
    if (!picture.checkVisibility()) continue;
    const texts = [...picture.querySelectorAll("text")].map(text => [text.textContent, text.getBoundingClientRect()]);
    texts.forEach(([one, a], k) => texts.slice(k + 1).forEach(([other, b]) => {
      const wide = Math.min(a.right, b.right) - Math.max(a.left, b.left);
      const high = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
      if (wide > 2 && high > 2) found.push([one, other]);
    }));
    const frame = picture.getBoundingClientRect();
    for (const [text, box] of texts)
      if (box.left < frame.left - 2 || box.right > frame.right + 12) found.push([text, "its frame"]);
  }
  return found;
}"""

SMALLEST_TEXT = """() => Math.min(...[...document.querySelectorAll("svg[role=img] text")]
  .filter(text => text.checkVisibility()).map(text =>
    parseFloat(getComputedStyle(text).fontSize) * text.ownerSVGElement.getBoundingClientRect().width
      / text.ownerSVGElement.viewBox.baseVal.width))"""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two nights of Iowa 2020 in twenty precincts with one operator and one check-in station each."""
    folder = tmp_path_factory.mktemp("report")
    roster = folder / "roster.csv"
    roster.write_text("\n".join(synthesize("iowa-2020").csv().splitlines()[:21]) + "\n", encoding="utf-8")
    settings = {"turnout.people": "none", "hotline.operators": 1, "checkin.stations": 1}
    scenario = load("iowa-2020", settings, roster)
    nights = [play_night(scenario, 3, number) for number in range(2)]
    frames = [night.precincts.select(pl.lit(k).alias("night"), pl.all()) for k, night in enumerate(nights)]
    rows = [night.row for night in nights]
    run = {"seed": 3, "nights": 2, "fixed": False, "engine": "simpy", "versions": {}}
    page = folder / "report.html"
    text = render(scenario, rows, over_all_nights(pl.concat(frames).lazy()), summarize(scenario, 3, rows), run)
    page.write_text(text, encoding="utf-8")
    return page


@pytest.fixture(scope="module")
def browser(chromium_path: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path, args=["--no-sandbox"])
        yield browser
        browser.close()


def opened(browser: Browser, report: Path, size: dict[str, int], scheme: str = "light") -> Page:
    page = browser.new_page(viewport=size, color_scheme=scheme)  # type: ignore[arg-type]  # playwright wants TypedDict and Literal
    page.goto(report.as_uri())
    return page


@pytest.mark.parametrize(("size", "shown"), [(PHONE, "narrow"), (DESK, "wide")], ids=["phone", "desk"])
def test_the_page_fits_its_screen(browser: Browser, report: Path, size: dict[str, int], shown: str) -> None:
    """Nothing scrolls sideways but tables; pictures come in the width that can be read, no label on another."""
    page = opened(browser, report, size)
    assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
    pictures = page.locator("svg[role=img]").evaluate_all(
        "all => all.filter(one => one.checkVisibility()).map(one => one.getAttribute('class'))"
    )
    assert pictures == [shown] * 7
    assert page.evaluate(OVERLAPPING) == []
    assert page.evaluate(SMALLEST_TEXT) >= 11
    page.close()


def test_on_a_phone_every_verdict_about_a_published_figure_is_seen(browser: Browser, report: Path) -> None:
    page = opened(browser, report, PHONE)
    table = page.locator("[aria-labelledby=history-caption]")
    assert table.locator("td.inside, td.outside").count() == 11
    assert table.evaluate("one => one.scrollWidth <= one.clientWidth")
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
def test_the_page_meets_wcag(
    browser: Browser, report: Path, violations: Callable[[Page], list[str]], size: dict[str, int], scheme: str
) -> None:
    """Nothing that axe-core can find against WCAG 2.2 AA, in either color scheme."""
    page = opened(browser, report, size, scheme)
    assert violations(page) == []
    page.close()


def test_what_is_against_wcag_is_found(browser: Browser, violations: Callable[[Page], list[str]]) -> None:
    """The check of the pages checks something: pale text, and a page without title or language."""
    page = browser.new_page()
    page.set_content('<main><p style="color: #ccc; background: #fff">Pale</p></main>')
    assert {found.partition(":")[0] for found in violations(page)} == {
        "color-contrast", "document-title", "html-has-lang",
    }  # fmt: skip
    page.close()


@pytest.fixture(scope="module")
def map_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nothing but the map of all Iowa, with the longest names and values that may stand on it."""
    scenario = load("iowa-2020")
    roster = scenario.roster
    longest = ("Pottawattamie", "Black Hawk", "Des Moines")
    waits = [90 * MINUTE if county in longest else k % 130 * MINUTE for k, county in enumerate(roster.counties)]
    results = [DAY + (14 if county in longest else k % 12) * HOUR for k, county in enumerate(roster.counties)]
    columns = {
        "people_p50": waits,
        "wait_p90_ms_p50": waits,
        "start_delay_ms_p50": waits,
        "reported_at_ms_p50": results,
    }
    names = {"id": roster.ids, "county": roster.counties, "precinct": roster.precincts}
    chapter = maps.chapter(Forecast(scenario, [{}], pl.DataFrame(names | columns), {}, {}))
    picture = chapter.panels[0].picture if chapter else None
    assert picture is not None
    page = tmp_path_factory.mktemp("map") / "map.html"
    figure = f'<div class="page"><figure class="figure">{picture.wide}{picture.narrow}</figure></div>'
    head = f'<meta name="viewport" content="width=device-width"><style>{plot.style()}</style>'
    page.write_text(f'<!doctype html><meta charset="utf-8">{head}{figure}', encoding="utf-8")
    return page


@pytest.mark.parametrize(
    ("size", "shown"), [(PHONE, "narrow"), (TABLET, "wide"), (DESK, "wide")], ids=["phone", "tablet", "desk"]
)
def test_the_map_fits_its_screen(browser: Browser, map_page: Path, size: dict[str, int], shown: str) -> None:
    """Its labels can be read and none lies on another."""
    page = opened(browser, map_page, size)
    assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
    assert page.locator(f"svg.{shown}").is_visible()
    assert page.evaluate(OVERLAPPING) == []
    assert page.evaluate(SMALLEST_TEXT) >= (11 if size != TABLET else 9)
    page.close()


def test_opening_the_page_asks_for_nothing_else(browser: Browser, report: Path) -> None:
    page = browser.new_page()
    asked: list[str] = []
    complaints: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: complaints.append(message.text))
    page.goto(report.as_uri())
    assert asked == [report.as_uri()]
    assert complaints == []
    page.close()


def test_in_the_dark_text_and_pictures_turn_light(browser: Browser, report: Path) -> None:
    """The lines of a picture follow the page, because they are drawn in its variables."""
    line = "svg.narrow path[style*='--forecast']"
    colors = {}
    for scheme in ("light", "dark"):
        page = opened(browser, report, PHONE, scheme)
        read = "([selector, name]) => getComputedStyle(document.querySelector(selector))[name]"
        wanted = (("html", "backgroundColor"), ("h1", "color"), (line, "stroke"), ("svg.narrow text", "fill"))
        colors[scheme] = [brightness(page.evaluate(read, list(one))) for one in wanted]
        page.close()
    paper, title, curve, label = colors["light"]
    assert paper > 240
    assert max(title, curve, label) < 100
    paper, title, curve, label = colors["dark"]
    assert paper < 30
    assert min(title, curve, label) > 150


def brightness(color: str) -> float:
    """The mean of the three parts of rgb(...)."""
    return sum(int(part) for part in color.removeprefix("rgb(").removesuffix(")").split(",")) / 3


def test_on_paper_everything_is_open_and_light(browser: Browser, report: Path) -> None:
    """Folded tables are printed, controls are not, and dark mode is left."""
    page = opened(browser, report, DESK, "dark")
    folded = page.locator("details table")
    assert folded.count() == 4
    assert not any(one.is_visible() for one in folded.all())
    page.emulate_media(media="print")
    assert all(one.is_visible() for one in folded.all())
    assert not any(one.is_visible() for one in page.locator("summary").all())
    assert brightness(page.evaluate("getComputedStyle(document.documentElement).backgroundColor")) == 255
    page.close()


def test_by_keyboard_alone(browser: Browser, report: Path) -> None:
    """The first stop leads past the top to the findings; folded tables open with the space bar."""
    page = opened(browser, report, DESK)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the findings"
    page.locator("summary").first.focus()
    page.keyboard.press("Space")
    assert page.locator("details table").first.is_visible()
    page.close()
