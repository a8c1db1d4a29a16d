"""The page of results as a browser shows it: on a phone, on a desk, in the dark, without script, to everybody."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from loadtests.backend.results import page as pages
from loadtests.backend.results.snapshot import Election, Figures, Release
from loadtests.backend.storage import Site
from simulation.roster import synthesize
from simulation.words import THIN

PHONE, DESK = {"width": 390, "height": 844}, {"width": 1280, "height": 900}
GROUPS = ("sanders", "buttigieg", "warren", "biden", "klobuchar", "yang", "steyer", "gabbard")
MADE_AT = datetime(2020, 2, 4, 3, 30, tzinfo=UTC)


@pytest.fixture(scope="module")
def iowa() -> Election:
    """Iowa's 1,765 sites."""
    roster = synthesize("iowa-2020")
    sites = {
        f"{i + 1:04d}": Site(
            *(f"{i + 1:04d}", roster.ids[i], roster.counties[i], roster.precincts[i], int(roster.delegates[i])),
            *(int(roster.sde_nano[i]), bool(roster.satellite[i]), int(roster.district[i])),
            *(roster.fips[int(roster.county_index[i])], int(roster.attendance[i])),
        )
        for i in range(len(roster))
    }
    return Election("Iowa 2020", GROUPS, sites)


@pytest.fixture(scope="module")
def corner(iowa: Election) -> Election:
    """Ten of its counties and a group of satellites: as much as a map needs, and axe is done with it sooner."""
    names = [*list(iowa.counties)[:10], "CD1 Satellite"]
    return Election(iowa.title, GROUPS, {code: site for code, site in iowa.sites.items() if site.county in names})


def release(of: Election, share: float, held_since: datetime | None = None) -> Release:
    """A release of so many of its sites; who leads in a county follows from its name."""
    codes = list(of.sites)[: round(share * len(of.sites))]
    if share < 1:
        codes = [code for k, code in enumerate(of.sites) if k % 100 < 100 * share]
    versions = {}
    for code in codes:
        site = of.sites[code]
        strong = sum(map(ord, site.county)) % len(GROUPS)
        first = tuple(30 if k == strong else 20 - k for k in range(len(GROUPS)))
        delegates = [0] * len(GROUPS)
        delegates[strong] = (site.delegates + 1) // 2
        delegates[(strong + 1) % len(GROUPS)] += site.delegates // 2
        versions[code] = Figures(3, sum(first), first, first, tuple(delegates))
    return Release(of, 12 if versions else 0, MADE_AT if versions else None, versions, held_since=held_since)


@pytest.fixture(scope="module")
def partial(iowa: Election) -> Release:
    return release(iowa, 0.68)


@pytest.fixture(scope="module")
def browser(chromium_path: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path, args=["--no-sandbox"])
        yield browser
        browser.close()


Open = Callable[..., Page]


@pytest.fixture
def opened(browser: Browser, tmp_path: Path) -> Iterator[Open]:
    """Opens a text as a page."""
    found: list[Page] = []

    def opened(text: str, size: dict[str, int] = PHONE, scheme: str = "light") -> Page:
        path = tmp_path / f"{len(found)}.html"
        path.write_text(text, encoding="utf-8")
        page = browser.new_page(viewport=size, color_scheme=scheme)  # type: ignore[arg-type]  # playwright wants TypedDict and Literal
        page.goto(path.as_uri())
        found.append(page)
        return page

    yield opened
    for page in found:
        page.close()


def test_the_page_meets_wcag(opened: Open, partial: Release, violations: Callable[[Page], list[str]]) -> None:
    """Nothing that axe-core can find against WCAG 2.2 AA on the page of all Iowa, on a phone."""
    assert violations(opened(pages.statewide(partial))) == []


@pytest.mark.parametrize(("size", "scheme"), [(PHONE, "light"), (DESK, "dark")], ids=["phone", "dark desk"])
def test_every_kind_of_page_meets_wcag(
    opened: Open, corner: Election, violations: Callable[[Page], list[str]], size: dict[str, int], scheme: str
) -> None:
    """While results are held, when all is in; and a county."""
    held, whole = release(corner, 0.5, MADE_AT), release(corner, 1)
    for text in (pages.statewide(held), pages.statewide(whole), pages.county(held, "Adair")):
        assert violations(opened(text, size, scheme)) == []


def test_the_page_before_the_first_report_meets_wcag(
    opened: Open, corner: Election, violations: Callable[[Page], list[str]]
) -> None:
    assert violations(opened(pages.statewide(release(corner, 0)))) == []


@pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
def test_the_page_fits_its_screen(opened: Open, partial: Release, size: dict[str, int]) -> None:
    """Nothing scrolls sideways but wide tables; statewide not even those."""
    for text in (pages.statewide(partial), pages.county(partial, "Black Hawk")):
        page = opened(text, size)
        assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
    wide = "[...document.querySelectorAll('.scroll')].filter(one => one.scrollWidth > one.clientWidth).length"
    assert opened(pages.statewide(partial), size).evaluate(wide) == 0


def test_links_are_large_enough_for_a_thumb(opened: Open, partial: Release) -> None:
    page = opened(pages.statewide(partial))
    heights = "[...document.querySelectorAll('main a')].map(one => one.getBoundingClientRect().height)"
    assert min(page.evaluate(heights)) >= 24


def test_the_page_needs_no_script_and_asks_for_nothing_else(browser: Browser, partial: Release) -> None:
    text = pages.statewide(partial)
    assert "<script" not in text
    assert "javascript:" not in text
    asked: list[str] = []
    page = browser.new_context(java_script_enabled=False).new_page()
    page.on("request", lambda request: asked.append(request.url))
    page.set_content(text)
    assert page.locator("h1").inner_text() == "Iowa 2020: results"
    assert page.locator("figure svg path").count() == 99
    assert asked == []
    page.close()


def test_findings_come_first_then_what_is_missing(opened: Open, partial: Release) -> None:
    page = opened(pages.statewide(partial))
    said = re.sub(r"\s", " ", page.locator(".story").inner_text())
    assert re.fullmatch(
        r"1,2\d\d of 1,765 precincts have reported \(6\d %\)\. [A-Z][a-z]+ leads with [\d.]+ SDE\.", said
    )
    assert page.locator(".status").inner_text().startswith("Partial.")
    above = "document.querySelector('.status').getBoundingClientRect().bottom"
    assert page.evaluate(above) < PHONE["height"]


def test_the_map_says_nothing_that_the_table_beside_it_does_not_say(opened: Open, partial: Release) -> None:
    page = opened(pages.statewide(partial), DESK)
    rows = page.locator(".counties tbody tr").evaluate_all(
        "all => all.map(one => [...one.cells].map(c => c.innerText))"
    )
    table = {row[0]: row[1:] for row in rows}
    titles = page.locator("figure path title").evaluate_all("all => all.map(one => one.textContent)")
    assert len(titles) == 99
    for title in titles:
        name, _, rest = title.partition(": ")
        reported, _, leader = rest.partition(" reported")
        assert table[name][0] == reported
        shown = f", {table[name][1]} {table[name][2]}" if table[name][2] else ""
        assert leader == shown


def test_the_legend_explains_every_color_of_the_map(opened: Open, partial: Release) -> None:
    page = opened(pages.statewide(partial))
    used = page.locator("figure path[fill]").evaluate_all("all => all.map(one => one.getAttribute('fill'))")
    explained = page.locator(".legend rect").evaluate_all("all => all.map(one => one.getAttribute('fill'))")
    assert set(used) <= set(explained)
    counts = [int(text.split()[-1]) for text in page.locator(".legend li").all_inner_texts() if text[-1].isdigit()]
    assert sum(counts) == page.locator("figure path[fill]").count() > 50
    assert page.locator("figure path.none-yet").count() == 99 - sum(counts)
    assert "Empty: nobody leads yet" in page.locator(".legend").inner_text()


def test_a_candidate_keeps_the_color_whoever_is_in_front() -> None:
    groups = [f"group {k}" for k in range(14)]
    colors = [pages.color_of(k, groups) for k in range(14)]
    assert len({(color.fill, color.hatched) for color in colors[:12]}) == 12
    assert colors[12].fill == colors[13].fill == "none"


def test_while_results_are_held_that_is_said_before_any_figure(opened: Open, iowa: Election) -> None:
    page = opened(pages.statewide(release(iowa, 0.3, MADE_AT)))
    assert page.locator(".status li").first.inner_text().startswith("Held. Headquarters holds back results since 03:30")


@pytest.mark.parametrize(
    ("standing", "sentence"),
    [
        ((10, 5), "Ada leads with 10 votes."),
        ((1, 0), "Ada leads with 1 vote."),
        ((5, 5), "Ada and Ben are level with 5 votes each."),
        ((0, 0), ""),
    ],
)
def test_who_is_in_front_is_said_in_one_sentence(standing: Sequence[int], sentence: str) -> None:
    site = Site("0001", "Polk/1", "Polk", "1", 0, 0, False, 3, None, 10)
    of = Election("Straw poll", ("ada", "ben"), {"0001": site}, ballot=True)
    votes = tuple(standing)
    found = Release(of, 1, MADE_AT, {"0001": Figures(1, 10, (0, 0), votes, (0, 0))})
    said = pages.finding(found, found.state).replace(THIN, " ")
    assert said == f"The only precinct has reported. {sentence}".rstrip()


@pytest.mark.parametrize(
    ("nano", "digits", "said"),
    [
        (0, 1, "0.0"),
        (1, 1, "<0.1"),
        (50_000_000, 1, "0.1"),
        (431_249_999_999, 1, "431.2"),
        (431_250_000_000, 1, "431.3"),
        (1_999_999_999_999, 1, "2,000.0"),
        (4_900_000, 2, "<0.01"),
        (5_000_000, 2, "0.01"),
    ],
)
def test_sde_are_rounded_half_up_and_never_to_nothing(nano: int, digits: int, said: str) -> None:
    assert pages.sde(nano, digits) == said


def test_names_cannot_bring_markup_into_a_page(opened: Open) -> None:
    wicked = '<img src=x onerror="alert(1)">'
    sites = {
        f"{k:04d}": Site(f"{k:04d}", f"{wicked}{k}", f"{wicked}/{k}", wicked, 4, 10**8, False, 1, "19153", 10)
        for k in range(1, 4)
    }
    of = Election(wicked, (wicked, "ben"), sites)
    figures = {code: Figures(1, 10, (6, 4), (6, 4), (2, 2)) for code in sites}
    found = Release(of, 1, MADE_AT, figures)
    for text in (pages.statewide(found), pages.county(found, f"{wicked}/1")):
        page = opened(text)
        assert page.locator("img").count() == 0
        assert wicked in page.locator("h1").inner_text()
