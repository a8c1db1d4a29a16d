"""The report: what its sentences say, in plain and in odd nights, and that the page is whole, safe and readable."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import matplotlib as mpl
import polars as pl
import pytest

from simulation import words
from simulation.experiment.precincts import over_all_nights, worst_nights
from simulation.night import play_night
from simulation.night.summary import summarize
from simulation.report import channels, checkin, costs, errors, hotline, plot, render, results, top, worst
from simulation.report.chapter import Cell
from simulation.report.forecast import Forecast
from simulation.roster import synthesize
from simulation.scenario import Scenario, load
from simulation.scenario.values import DAY, HOUR, MINUTE, SECOND

Row = dict[str, Any]
Change = Callable[[Row], Row]

PRECINCTS = 20
HOSTILE = "<script>alert('Adair & \"sons\"')</script>"
RUN = {"seed": 3, "nights": 3, "fixed": False, "engine": "simpy", "versions": {"simpy": "4.1.1"}}
THIN = words.THIN
HALF, MOST = f"50{THIN}%", f"95{THIN}%"
NINE_IN_TEN = "9 nights in 10".replace(" in ", "\N{NO-BREAK SPACE}in\N{NO-BREAK SPACE}")
BY_NINE = "nine in ten were in by 21:00"
LONG = f"1{THIN}h\N{NO-BREAK SPACE}30{THIN}min"
MEDIA = re.compile(r"@media screen and \(prefers-color-scheme: dark\) \{\s*:root \{(.*?)\}", re.DOTALL)
TEXT_COLORS = ("ink", "muted", "forecast", "second", "alarm", "history")
MARK_COLORS = ("app", "phone", "inbox", "reached", "hand", "none", "baseline")


@dataclass
class Element:
    tag: str
    attributes: dict[str, str]
    parents: tuple[Element, ...]
    text: str = ""


@dataclass
class Page(HTMLParser):
    """A parsed page: its elements in order, each with its text and what it lies in."""

    html: str
    elements: list[Element] = field(default_factory=list)
    open: list[Element] = field(default_factory=list)

    VOID = ("meta", "br", "link", "img", "input", "hr")

    def __post_init__(self) -> None:
        super().__init__()
        self.feed(self.html)
        assert not self.open, f"never closed: {self.open[-1].tag}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs}, tuple(self.open))
        self.elements.append(element)
        if tag not in self.VOID:
            self.open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(Element(tag, {name: value or "" for name, value in attrs}, tuple(self.open)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop().tag == tag

    def handle_data(self, data: str) -> None:
        for element in self.open:
            element.text += data

    def all(self, *tags: str) -> list[Element]:
        return [element for element in self.elements if element.tag in tags]

    def with_id(self, name: str) -> Element:
        (found,) = (element for element in self.elements if element.attributes.get("id") == name)
        return found


@pytest.fixture(scope="module")
def roster_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty precincts of Iowa; the first one bears a hostile name."""
    header, first, *others = synthesize("iowa-2020").csv().splitlines()[: PRECINCTS + 1]
    cells = first.split(",")
    quoted = '"' + HOSTILE.replace('"', '""') + '"'
    cells[2] = quoted
    path = tmp_path_factory.mktemp("roster") / "roster.csv"
    path.write_text("\n".join([header, ",".join(cells), *others]) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def scenario(roster_file: Path) -> Scenario:
    """Iowa 2020 with one operator and one check-in station for everybody, so that there is something to report."""
    return load("iowa-2020", {"turnout.people": "none", "hotline.operators": 1, "checkin.stations": 1}, roster_file)


@pytest.fixture(scope="module")
def nights(scenario: Scenario) -> list[Any]:
    """Three nights of it."""
    return [play_night(scenario, 3, number) for number in range(3)]


@pytest.fixture(scope="module")
def by_night(nights: list[Any]) -> pl.LazyFrame:
    """One row per night and precinct."""
    frames: list[pl.DataFrame] = [
        night.precincts.select(pl.lit(k).alias("night"), pl.all()) for k, night in enumerate(nights)
    ]
    return pl.concat(frames).lazy()


@pytest.fixture(scope="module")
def precincts(by_night: pl.LazyFrame) -> pl.DataFrame:
    """The precincts over all nights, as precincts.parquet has them."""
    return over_all_nights(by_night)


@pytest.fixture(scope="module")
def forecast_of(
    scenario: Scenario, nights: list[Any], by_night: pl.LazyFrame, precincts: pl.DataFrame
) -> Callable[..., Forecast]:
    """The forecast of so many of those nights (repeated where there are less), each row changed by `change`."""

    def make(change: Change = dict, only: int = 3) -> Forecast:
        rows = [{**nights[k % 3].row, "night": k} for k in range(only)]
        rows = [{**row, **change(row)} for row in rows]
        run = {**RUN, "nights": len(rows)}
        return Forecast(scenario, rows, precincts, summarize(scenario, 3, rows), run, worst_nights(by_night))

    return make


def page_of(forecast: Forecast) -> str:
    return render(
        forecast.scenario, forecast.rows, forecast.precincts, forecast.summary, forecast.run, worst=forecast.worst
    )


@pytest.fixture(scope="module")
def html(forecast_of: Callable[..., Forecast]) -> str:
    return page_of(forecast_of())


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    return Page(html)


# The page


def test_equal_nights_give_equal_bytes(html: str, forecast_of: Callable[..., Forecast]) -> None:
    """Neither the clock nor somebody's own matplotlib settings leave a trace."""
    with mpl.rc_context({"font.size": 30, "axes.facecolor": "red", "svg.fonttype": "path"}):
        assert page_of(forecast_of()) == html


def test_the_page_asks_for_nothing(html: str, page: Page) -> None:
    """No script, no request: every reference points into the page."""
    assert not page.all("script", "link", "img", "iframe", "object", "base")
    references = [element.attributes.get(name) for element in page.elements for name in ("href", "src", "xlink:href")]
    assert all(reference.startswith("#") for reference in references if reference)
    assert "@import" not in html
    assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)\)", html))
    assert "://" not in re.sub(r">[^<]*<", "><", html.partition("<body>")[2])  # addresses stand in texts only


def test_references_meet_one_element(page: Page) -> None:
    """Ids are unique although dozens of drawings lie in one page, and whatever is referred to is there."""
    ids = [element.attributes["id"] for element in page.elements if "id" in element.attributes]
    assert len(set(ids)) == len(ids)
    for element in page.elements:
        for name in ("aria-labelledby", "aria-describedby"):
            assert set(element.attributes.get(name, "").split()) <= set(ids)
        if element.attributes.get("href"):
            assert element.attributes["href"].removeprefix("#") in ids


def test_every_picture_has_its_finding_its_words_and_its_table(page: Page) -> None:
    figures = page.all("figure")
    assert len(figures) == 7
    for figure in figures:
        heading = page.with_id(figure.attributes["aria-labelledby"])
        assert heading.tag in ("h2", "h3")
        drawings = [e for e in page.all("svg") if figure in e.parents and e.attributes.get("role") == "img"]
        assert [drawing.attributes["class"] for drawing in drawings] == ["wide", "narrow"]
        for drawing in drawings:
            assert page.with_id(drawing.attributes["aria-labelledby"]).text == heading.text
            assert len(page.with_id(drawing.attributes["aria-describedby"]).text) > 40
        panel = next(parent for parent in figure.parents if parent.attributes.get("class") == "panel")
        assert any(panel in table.parents for table in page.all("table"))


def test_headings_descend_step_by_step(page: Page) -> None:
    levels = [int(element.tag[1]) for element in page.all("h1", "h2", "h3", "h4")]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(below <= above + 1 for above, below in pairwise(levels))


def test_tables_say_what_they_are_and_can_be_scrolled_by_keyboard(page: Page) -> None:
    for table in page.all("table"):
        (caption,) = (element for element in page.all("caption") if table in element.parents)
        assert caption.text.strip()
        region = table.parents[-1].attributes
        assert (region["role"], region["tabindex"]) == ("region", "0")
        assert region["aria-labelledby"] == caption.attributes["id"]
    assert all(element.attributes.get("scope") for element in page.all("th"))


def test_pictures_are_drawn_in_the_colors_of_the_page(page: Page) -> None:
    """Every color is a variable that light and dark define: dark mode leaves no black on black."""
    dark = MEDIA.search(plot.style())
    assert dark
    used = set()
    for drawing in page.all("svg"):
        parts = [drawing, *(element for element in page.elements if drawing in element.parents)]
        for value in (value for part in parts for value in part.attributes.values()):
            assert not re.search(r"#[0-9a-f]{6}|rgb\(|font-family", value), value
            used |= set(re.findall(r"var\(--([a-z-]+)\)", value))
    assert {"forecast", "fan-outer", "fan-inner", "ink", "muted"} <= used
    assert used <= set(plot.colors())
    assert used <= set(re.findall(r"--([a-z-]+):", dark[1]))


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_colors_are_legible(mode: str) -> None:
    """WCAG 2.2 AA: 4.5 to 1 for text, 3 to 1 for what a picture is made of."""
    dark = MEDIA.search(plot.style())
    assert dark
    found = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", dark[1])) if mode == "dark" else plot.colors()
    for name in TEXT_COLORS:
        assert contrast(found[name], found["paper"]) >= 4.5, name
    for name in MARK_COLORS:
        assert contrast(found[name], found["paper"]) >= 3, name
    assert contrast(found["ink"], found["fan-inner"]) >= 4.5  # "busy" is written on it
    assert contrast(found["forecast"], found["fan-inner"]) >= 2.9  # the median on its band


def contrast(one: str, other: str) -> float:
    """The contrast ratio of two colors, as WCAG defines it."""

    def luminance(text: str) -> float:
        channels = [int(text[k : k + 2], 16) / 255 for k in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def test_hostile_names_stay_text(roster_file: Path, tmp_path: Path, nights: list[Any], precincts: pl.DataFrame) -> None:
    """Whatever a scenario or a roster says is shown, never run."""
    path = tmp_path / "hostile.toml"
    path.write_text(
        f'extends = "iowa-2020"\ntitle = """{HOSTILE}"""\nstory = """{HOSTILE}"""\nsources = ["""{HOSTILE}"""]\n'
    )
    scenario = load(
        path,
        {"checkin.stations": 1, "checkin.look_up": "60 s", "app.no_signal": {"value": 0, "source": HOSTILE}},
        roster_file,
    )
    rows = [night.row for night in nights]
    precincts = precincts.with_columns(precinct=pl.lit(HOSTILE))
    page = Page(render(scenario, rows, precincts, summarize(scenario, 3, rows), {**RUN, "engine": HOSTILE}))
    assert not page.all("script")
    (title,) = page.all("h1")
    assert title.text == HOSTILE
    assert page.with_id("checkin-worst-finding").text.startswith(f"Worst of all is {HOSTILE}")
    assert sum(HOSTILE in cell.text for cell in page.all("td", "th", "dd")) >= 13  # precincts, sources, engine


def test_the_basis_names_every_key_of_the_scenario(page: Page, scenario: Scenario) -> None:
    """With its value, its source, and the line or override that set it."""
    rows = {}
    for row in page.all("tr"):
        cells = [e.text.strip() for e in page.elements if e.parents and e.parents[-1] is row and e.tag in ("th", "td")]
        rows[cells[0]] = cells[1:]
    keys = {code.text for code in page.all("code")}

    def missing(table: Mapping[str, Any], prefix: str) -> list[str]:
        return [
            prefix + key
            for key, value in table.items()
            if prefix + key not in keys and not (isinstance(value, dict) and not missing(value, f"{prefix}{key}."))
        ]

    told_elsewhere = {"title", "story", "sources"}
    assert set(missing(scenario.document, "")) == told_elsewhere
    (doors,) = (cells for name, cells in rows.items() if name.startswith("clock.doors"))
    assert doors[:2] == ["18:00 to 18:30", "P: doors open between 18:00 and 18:30"]
    assert doors[2].startswith("baseline.toml line ")
    (operators,) = (cells for name, cells in rows.items() if name.startswith("hotline.operators"))
    assert operators[2] == "--set hotline.operators"
    assert "from 18:00, to 23:00, count 1" in operators[0]


def test_what_differs_from_the_baseline_is_marked(page: Page) -> None:
    own = " ".join(row.text for row in page.all("tr") if row.attributes.get("class") == "own")
    assert "hotline.operators" in own
    assert "app.installed" in own
    assert "clock.doors" not in own


def test_the_command_that_repeats_the_run_stands_there(page: Page) -> None:
    assert page.all("pre")[0].text == "caucus simulate run.toml"


# The sentences


def test_results_say_what_headquarters_holds(forecast_of: Callable[..., Forecast]) -> None:
    def change(row: Row) -> Row:
        return {
            "reported": [0] * 14 + [8 + row["night"]] * 31,
            "held_p90_at_ms": DAY + 15 * HOUR + row["night"] * MINUTE,
        }

    sentence = results.finding(forecast_of(change))
    assert sentence == (
        f"By 22:30 headquarters holds 45{THIN}% of the results (40\N{EN DASH}50{THIN}%); "
        "nine in ten are in by 15:01 the next day"
    )
    alone = results.finding(forecast_of(change, only=1))
    assert alone == f"By 22:30 headquarters holds 40{THIN}% of the results; nine in ten are in by 15:00 the next day"


@pytest.mark.parametrize(
    ("held", "nine_in_ten", "sentence"),
    [
        ([0] * 45, -1, "No result reaches headquarters by 06:00 the next day"),
        ([0] * 20 + [19] * 25, DAY + 2 * HOUR, "By 22:30 headquarters holds no result; nine in ten are in by 02:00"),
        ([0] * 4 + [20] * 41, 20 * HOUR, "By 22:30 headquarters holds every result"),
        ([0] * 4 + [10] * 41, -1, f"By 22:30 headquarters holds {HALF} of the results; nine in ten never come in"),
        ([0] * 9 + [19] * 36, 21 * HOUR, f"By 22:30 headquarters holds {MOST} of the results; {BY_NINE}"),
    ],
)  # fmt: skip
def test_results_at_their_ends(
    held: list[int], nine_in_ten: int, sentence: str, forecast_of: Callable[..., Forecast]
) -> None:
    change = {"reported": held, "released": held, "held_p90_at_ms": nine_in_ten}
    assert results.finding(forecast_of(lambda _: change)) == sentence


def test_a_night_without_results_still_has_its_page(forecast_of: Callable[..., Forecast]) -> None:
    """Nothing comes in, nobody comes, nobody calls: the report says so."""
    nothing = {
        "people": 0, "in_line": [0] * 61, "wait_total_ms": 0, "chairs_hold_total_ms": 0,
        "in_line_at_call_to_order": 0, "wait_p90_by_size_ms": [-1] * 5,
        "reported": [0] * 45, "released": [0] * 45, "channels": [PRECINCTS, 0, 0, 0, 0, 0], "app_tried": 0,
        "calls": 0, "calls_by_kind": [0] * 4, "answered": 0, "hung_up": 0, "busy_tones": 0,
        "wrong_on_receipt": 0, "caught": 0, "wrong": 0, "stopped": 0, "sde_off_nano": 0,
        **{f"{what}_by_cause": [0, 0] for what in ("wrong_on_receipt", "caught", "mended", "wrong")},
        "cost_operators_cents": 0, "cost_stations_cents": 0, "cost_review_cents": 0,
        "holds_at_history_ms": [-1] * 5, "hold_when_answered_by_grid_ms": [-1] * 45,
        **{f"held_p{share}_at_ms": -1 for share in (25, 50, 75, 90, 95, 99, 100)},
    }  # fmt: skip
    page = Page(page_of(forecast_of(lambda _: nothing, only=1)))
    findings = [heading.text for heading in page.all("h2")]
    assert [findings[k] for k in (0, 1, 2, 3, 6, 7)] == [
        "No result reaches headquarters by 06:00 the next day",
        "Nobody is left in line when the caucus is called to order at 19:00",
        "Nobody calls the hotline",
        "No result reaches headquarters in the days that the simulation looks at",
        "No result comes in, so none of them is right or wrong",
        "The plan costs nothing; hardly anybody waits",
    ]
    text = page.all("main")[0].text
    assert "One night is one possibility, not a forecast" in text
    assert "usual night" not in text
    assert "nobody answered" in text


def test_few_nights_are_called_few(forecast_of: Callable[..., Forecast]) -> None:
    """Below twenty nights a range is that of the nights played, and the page does not claim more."""
    few, many = Page(page_of(forecast_of())), Page(page_of(forecast_of(only=20)))
    assert "lowest to highest" in few.all("main")[0].text
    assert "too few for a forecast" in few.all("main")[0].text
    assert NINE_IN_TEN not in few.all("main")[0].text
    assert NINE_IN_TEN in many.all("main")[0].text
    assert "lowest" not in many.all("main")[0].text


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"calls": 0}, "Nobody calls the hotline"),
        ({"calls": 40, "answered": 0}, "Nobody answers the hotline: 40 calls in a night"),
        (
            {"calls": 1, "answered": 1, "hung_up": 0, "busy_tones": 0, "hold_when_answered_by_grid_ms": [0] * 45},
            "The hotline hardly matters: 1 call in a night, answered at once",
        ),
        (
            {"calls": 1200, "answered": 1200, "hung_up": 0, "busy_tones": 0,
             "hold_when_answered_by_grid_ms": [0, 20 * SECOND] + [-1] * 43},
            f"The hotline hardly matters: 1,200 calls in a night, answered within 1{THIN}min at worst",
        ),
        (
            {"calls": 100, "answered": 50, "hung_up": 50, "busy_tones": 0,
             "hold_when_answered_by_grid_ms": [0, 90 * MINUTE, 5 * MINUTE] + [-1] * 42},
            f"Callers who get through at 19:15 have been on hold for {LONG}; {HALF} of the calls on hold are given up",
        ),
        (
            {"calls": 100, "answered": 20, "hung_up": 0, "busy_tones": 80, "hold_when_answered_by_grid_ms": [0] * 45},
            f"80{THIN}% of the calls to the hotline hear a busy tone",
        ),
    ],
)  # fmt: skip
def test_the_hotline_in_a_sentence(change: Row, sentence: str, forecast_of: Callable[..., Forecast]) -> None:
    assert hotline.finding(forecast_of(lambda _: change, only=1)) == sentence


def test_a_hotline_that_hardly_matters_gets_no_picture(forecast_of: Callable[..., Forecast]) -> None:
    quiet = {"answered": 4, "hung_up": 0, "busy_tones": 0, "calls": 4, "hold_when_answered_by_grid_ms": [0] * 45}
    assert hotline.chapter(forecast_of(lambda _: quiet)).panels[0].picture is None
    assert hotline.chapter(forecast_of()).panels[0].picture is not None


def test_lines_in_a_sentence(forecast_of: Callable[..., Forecast]) -> None:
    def change(row: Row) -> Row:
        standing = 20 + row["night"]  # grid points of five minutes from 18:00
        return {"people": 1000, "in_line_at_call_to_order": 200, "in_line": [9] * standing + [0] * (61 - standing)}

    sentence = f"At 19:00, 20{THIN}% of the people still stand in line; the last line is gone by 19:45"
    assert checkin.finding(forecast_of(change)) == sentence
    forever = checkin.finding(forecast_of(lambda _: {"in_line": [9] * 61}))
    assert forever.endswith("; the last line stands until after 23:00")
    rare = checkin.finding(forecast_of(lambda row: {"in_line_at_call_to_order": 5 if row["night"] == 1 else 0}))
    assert rare == "On a usual night nobody is left in line at 19:00, on a bad one 5 people"


def test_the_worst_precinct_is_the_one_with_the_longest_usual_wait(page: Page, precincts: pl.DataFrame) -> None:
    longest = precincts.sort("wait_p90_ms_p50").row(-1, named=True)
    assert str(longest["precinct"]) in page.with_id("checkin-worst-finding").text
    (table,) = (
        table for table in page.all("table") if table.parents[-1].attributes["aria-labelledby"] == "worst-caption"
    )
    assert sum(table in row.parents for row in page.all("tr")) == 11  # ten, and the head


def test_channels_add_up(forecast_of: Callable[..., Forecast]) -> None:
    """The parts of the bar are averages: medians of parts would not sum to the whole."""
    split = [[0, 18, 2, 0, 0, 0], [0, 0, 20, 0, 0, 0], [2, 0, 18, 0, 0, 0]]
    forecast = forecast_of(lambda row: {"channels": split[row["night"]]})
    expected = f"On average 67{THIN}% of the results come in by phone, 30{THIN}% by app; 3{THIN}% never come in"
    assert channels.finding(forecast) == expected
    table = channels.chapter(forecast).panels[0].table
    assert table is not None
    assert [str(row[1]) for row in table.rows] == ["6", "13", "0", "0", "0", "1"]
    every = forecast_of(lambda _: {"channels": [0, 20, 0, 0, 0, 0]})
    assert channels.finding(every) == "Every result comes in by app"


@pytest.mark.parametrize("centers", [[5.0, 6, 7, 8, 600], [670.0, 671, 672], [0.0], [100, 300, 500]])
def test_labels_of_narrow_parts_never_overlap(centers: list[float]) -> None:
    sizes = [90.0] * len(centers)
    found = channels._apart(centers, sizes, 676)
    assert all(right - left >= 90 + channels.LABEL_GAP - 1e-9 for left, right in pairwise(found))
    assert found[0] >= 45
    assert found[-1] <= 676 - 45


def test_errors_in_a_sentence(forecast_of: Callable[..., Forecast]) -> None:
    wrong = forecast_of(lambda row: {"wrong_on_receipt": 5, "caught": 3, "wrong": 1 + row["night"]})
    assert errors.finding(wrong) == (
        f"10{THIN}% of the results at headquarters stay wrong (5\N{EN DASH}15{THIN}%): 5 came in wrong, 1 was put right"
    )
    mended = forecast_of(lambda _: {"wrong_on_receipt": 1, "caught": 1, "wrong": 0})
    assert errors.finding(mended) == "1 result came in wrong, and none of them stays wrong"


def test_what_became_of_wrong_records_adds_up(forecast_of: Callable[..., Forecast]) -> None:
    """Every record that came in wrong is in one part of a bar; false alarms have their own."""
    counts = {
        "wrong_on_receipt": 30, "wrong_on_receipt_by_cause": [10, 20], "caught": 23, "caught_by_cause": [8, 15],
        "mended_by_cause": [0, 14], "wrong": 16, "wrong_by_cause": [10, 6], "stopped": 27,
    }  # fmt: skip
    forecast = forecast_of(lambda row: {**counts, "stopped": 26 + row["night"]})
    shown = {
        fate.name: [(part.name, part.records) for part in fate.parts if part.records] for fate in errors.fates(forecast)
    }
    assert list(shown.values()) == [
        [("stopped, yet stay wrong", 8), ("not stopped, stay wrong", 2)],
        [("stopped and put right", 14), ("stopped, yet stay wrong", 1), ("not stopped, stay wrong", 5)],
        [("false alarms", 4)],
    ]
    texts = " ".join(errors.chapter(forecast).panels[0].text)
    assert texts.startswith("The checks stop 27 records, 4 of them right ones, false alarms")


def test_without_checks_nothing_is_said_to_be_stopped(roster_file: Path, forecast_of: Callable[..., Forecast]) -> None:
    unchecked = load("iowa-2020", {"headquarters.checks": False}, roster_file)
    forecast = replace(forecast_of(), scenario=unchecked)
    assert errors.chapter(forecast).panels[0].text == [
        "Headquarters checks nothing in this night: what comes in stands."
    ]


def test_what_errors_move_in_a_sentence(forecast_of: Callable[..., Forecast]) -> None:
    """State delegate equivalents; national delegates where there are any to deal; votes of a straw poll."""
    candidates = len(forecast_of().rows[0]["sde_true_nano"])
    rest = [0] * (candidates - 2)
    off = {"sde_off_nano": 2 * 10**9, "sde_true_nano": [10**11, 10**11, *rest]}
    none: Row = {"national_true": [], "national_reported": []}
    moved = {"national_true": [20, 21, *rest], "national_reported": [21, 20, *rest]}
    same = {"national_true": [20, 21, *rest], "national_reported": [20, 21, *rest]}
    given = f"The errors give 2.0 state delegate equivalents to the wrong candidate, 1{THIN}% of all"

    def said(change: Change, only: int = 3) -> str:
        return errors.moved_finding(forecast_of(change, only=only))

    assert said(lambda _: off | none) == given
    assert said(lambda _: off | same) == f"{given}; no national delegate changes hands"
    assert said(lambda _: off | moved, only=1) == f"{given}; 1 national delegate changes hands"
    some = said(lambda row: off | (moved if row["night"] == 1 else same))
    assert some == f"{given}; in 1 of 3 nights national delegates change hands"
    assert said(lambda _: {"sde_off_nano": 0}) == "No state delegate equivalents go to the wrong candidate"


def test_a_straw_poll_moves_votes_and_no_delegates(roster_file: Path, forecast_of: Callable[..., Forecast]) -> None:
    poll = load("gop-straw-poll-2012", {"turnout.people": "none"}, roster_file)
    votes = {"sde_true_nano": [10**9] * 7, "sde_reported_nano": [10**9] * 7}  # seven candidates
    forecast = replace(forecast_of(lambda _: {"sde_off_nano": 3 * 10**9, **votes}), scenario=poll)
    panel = errors.chapter(forecast).panels[1]
    assert panel.finding.startswith("The errors give 3 votes to the wrong candidate")
    assert "A straw poll elects nobody: there are no national delegates to move." in panel.text
    assert not panel.more


def test_a_straw_poll_is_held_against_form_e(roster_file: Path) -> None:
    """Who led on the night, and by how much, stands beside the certified record; three small nights as they come."""
    poll = load("gop-straw-poll-2012", {"turnout.people": "none"}, roster_file)
    rows = [play_night(poll, 3, number).row for number in range(3)]
    forecast = Forecast(poll, rows, pl.DataFrame(), {}, RUN)
    panel = errors.chapter(forecast).panels[2]
    table = panel.table
    assert table is not None
    assert table.head == ["", "on the night", "by Form E"]
    (_, told, certified), (_, told_margin, certified_margin), (_, _, differ), (_, never, _) = table.rows

    def leads(row: Row, column: str) -> tuple[str, str]:
        votes = sorted(zip(row[column], poll.spec.preference.candidates, strict=True), reverse=True)
        return votes[0][1].title(), f"{(votes[0][0] - votes[1][0]) // 10**9:,}"

    assert (told, told_margin, certified, certified_margin, differ, never) in [
        (
            *leads(row, "sde_reported_nano"), *leads(row, "sde_true_nano"),
            str(row["wrong"]), str(row["channels"][0]),
        )
        for row in rows
    ]  # fmt: skip
    assert sum(row["wrong"] for row in rows)
    assert panel.finding.startswith(f"In a usual night {told} leads by {told_margin} vote")


def test_form_e_may_name_another_winner(roster_file: Path, forecast_of: Callable[..., Forecast]) -> None:
    """As in 2012: 8 votes one way on the night, 34 the other way by the signed forms."""
    poll = load("gop-straw-poll-2012", {"turnout.people": "none"}, roster_file)  # santorum is first, then romney
    told, certified = (30_007, 30_015, 0, 0, 0, 0, 0), (29_839, 29_805, 0, 0, 0, 0, 0)
    votes = {
        "sde_reported_nano": [count * 10**9 for count in told], "sde_true_nano": [count * 10**9 for count in certified],
        "wrong": 131, "channels": [8, 12, 0, 0, 0, 0],
    }  # fmt: skip
    forecast = replace(forecast_of(lambda _: votes, only=1), scenario=poll)
    assert errors.certified_finding(forecast) == (
        "On the night Romney leads by 8 votes; by Form E Santorum leads by 34 votes"
    )
    kept = replace(forecast_of(lambda _: votes | {"sde_reported_nano": [10**9, *[0] * 6]}, only=1), scenario=poll)
    assert errors.certified_finding(kept) == "On the night Santorum leads by 1 vote; by Form E it is 34"
    level = replace(forecast_of(lambda _: votes | {"sde_reported_nano": [10**9] * 7}, only=1), scenario=poll)
    assert " are level; by Form E Santorum leads" in errors.certified_finding(level)
    table = errors.chapter(forecast).panels[2].table
    assert table is not None
    assert table.rows[2:] == [["precincts that differ", "", "131"], ["precincts never found", "8", ""]]
    assert errors.chapter(forecast_of()).panels[-1].name == "errors-moved"  # no straw poll, no Form E


def test_the_winner_in_a_sentence(forecast_of: Callable[..., Forecast]) -> None:
    other = forecast_of(lambda row: {"winner_true": 0, "winner_reported": int(row["night"] == 2)})
    assert errors.winner_sentence(other) == "In 1 of 3 nights the reported winner is not the true one."
    same = forecast_of(lambda _: {"winner_true": 0, "winner_reported": 0})
    assert errors.winner_sentence(same) == "In all 3 nights the reported winner is the true one."


# The worst precincts, and costs


def test_the_worst_precincts_are_told_with_the_command_that_tells_more(page: Page) -> None:
    """Ten of them, each with its night; the command can be pasted, whatever a precinct is called."""
    stories = [item for item in page.all("li") if item.parents[-1].attributes.get("class") == "stories"]
    assert len(stories) == 10
    for story in stories:
        (code,) = (element for element in page.all("code") if story in element.parents)
        words_ = shlex.split(code.text)
        assert words_[:7] == ["caucus", "explain", "run.toml", "--seed", "3", "--night", words_[6]]
        assert words_[6] in {"0", "1", "2"}
        assert f"Night {words_[6]}:" in story.text
        assert len(words_) == 9
        assert "Called to order at" in story.text


def test_a_night_held_at_the_middle_is_explained_so(forecast_of: Callable[..., Forecast]) -> None:
    forecast = forecast_of()
    fixed = worst.chapter(replace(forecast, run={**forecast.run, "fixed": True}))
    assert fixed is not None
    assert all(story.command.endswith(" --fixed") for story in fixed.panels[0].stories)


def test_where_no_time_is_lost_no_story_is_told(forecast_of: Callable[..., Forecast]) -> None:
    forecast = forecast_of()
    quick = [{**row, "lost_ms": MINUTE} for row in forecast.worst]
    assert worst.chapter(replace(forecast, worst=quick)) is None
    assert worst.chapter(replace(forecast, worst=())) is None
    assert "worst-precincts" not in render(
        forecast.scenario, forecast.rows, forecast.precincts, forecast.summary, forecast.run
    )


def test_costs_in_a_sentence(forecast_of: Callable[..., Forecast]) -> None:
    """Two digits, no more: costs are assumptions."""
    change = {
        "cost_operators_cents": 1_234_567, "cost_stations_cents": 100_000, "cost_review_cents": 50,
        "wait_total_ms": 1_249 * HOUR, "chairs_hold_total_ms": 61 * HOUR,
    }  # fmt: skip
    sentence = "The plan costs $13,000; waiting costs people 1,200 hours in line and chairs 61 hours on hold"
    assert costs.finding(forecast_of(lambda _: change)) == sentence
    ranged = costs.finding(forecast_of(lambda row: {**change, "cost_stations_cents": row["night"] * 1_000_000}))
    assert ranged.startswith("The plan costs $22,000 ($12,000\N{EN DASH}$32,000); ")


@pytest.mark.parametrize(("amount", "said"), [(0, 0), (7, 7), (99, 99), (104, 100), (995, 1000), (12_499, 12_000)])
def test_about_is_two_digits(amount: int, said: int) -> None:
    assert costs.about(amount) == said


def test_history_says_plainly_what_lies_outside(forecast_of: Callable[..., Forecast]) -> None:
    """Of the eleven published figures of 2020 one lies inside here, shares are higher; nobody answered is beyond."""
    change = {
        "reported_at_history": [6], "released_at_history": [0] * 5,
        "holds_at_history_ms": [60 * MINUTE, -1, -1, -1, -1],
    }  # fmt: skip
    forecast = forecast_of(lambda _: change, only=20)
    table = results.chapter(forecast).panels[1].table
    assert table is not None
    verdicts = [cell.text for cell in (row[4] for row in table.rows) if not isinstance(cell, str)]
    assert verdicts == ["yes", *["no, higher"] * 5, *["no, lower"] * 5]
    assert table.rows[7][2] == "nobody answered"
    assert results.chapter(forecast).panels[1].finding == (
        "Ten of the 11 published figures of the real night lie outside the range"
    )


def test_a_hold_on_nights_when_nobody_is_answered_is_judged_as_it_is_shown(
    forecast_of: Callable[..., Forecast],
) -> None:
    """Nobody answered is beyond every hold: a band from 5 min to that holds 7 min, and says where it ends."""

    def change(row: Row) -> Row:
        hold = -1 if row["night"] % 4 == 0 else (5 + row["night"]) * MINUTE
        return {"holds_at_history_ms": [hold] * 5}

    forecast = forecast_of(change, only=20)
    table = results.chapter(forecast).panels[1].table
    assert table is not None
    row = table.rows[6]
    assert [str(cell) for cell in row[1:4]] == [f"7{THIN}min", f"18{THIN}min", f"6{THIN}min to nobody answered"]
    assert row[4] == Cell("yes", "inside")
    told = forecast.summary["history"][6]
    assert (told["inside"], told["p05"], told["p95"]) == (True, 6.0, None)


def test_a_published_share_is_judged_by_the_site_that_it_is_nearest_to(forecast_of: Callable[..., Forecast]) -> None:
    """62.3 % of twenty sites are 12.46 sites: twelve, which all nights have."""
    forecast = forecast_of(lambda _: {"released_at_history": [12] * 5}, only=20)
    assert [point["inside"] for point in forecast.summary["history"][1:6]] == [True, False, False, False, False]


def test_what_the_nights_came_from_stands_at_the_top_of_the_page(
    forecast_of: Callable[..., Forecast], roster_file: Path
) -> None:
    forecast = forecast_of()
    settings = {"hotline.operators": 1, "checkin.stations": 1}
    crowded = replace(load("iowa-2020", settings, roster_file))
    said = "wait_p90 is 12 min on average, known to within 20 s."
    page = Page(render(crowded, forecast.rows, forecast.precincts, forecast.summary, forecast.run, said=[said]))
    (notice,) = (element.text for element in page.all("p") if element.attributes.get("class") == "notice")
    assert notice.startswith("turnout.people = 176,352 (iowa-2020.toml line ")
    assert said in [element.text for element in page.all("p")]
    assert "notice" not in {element.attributes.get("class") for element in Page(page_of(forecast)).all("p")}


def test_a_night_without_results_is_not_said_to_be_right(forecast_of: Callable[..., Forecast]) -> None:
    nothing = {"channels": [PRECINCTS, 0, 0, 0, 0, 0], "wrong_on_receipt": 0, "wrong": 0}
    assert errors.finding(forecast_of(lambda _: nothing)) == "No result comes in, so none of them is right or wrong"


def test_precincts_that_never_begin_are_counted(forecast_of: Callable[..., Forecast]) -> None:
    forecast = forecast_of()
    stuck = forecast.precincts.with_columns(start_delay_ms_p50=pl.lit(-1))
    table = checkin.chapter(replace(forecast, precincts=stuck)).panels[0].table
    assert table is not None
    assert list(table.rows[-1][:2]) == ["precincts that never begin", str(PRECINCTS)]
    assert table.rows[3][0] == "half of the precincts that begin start late by"


@pytest.mark.parametrize(
    ("inside", "figures", "sentence"),
    [
        (4, 4, "All four published figures of the real night lie inside the range"),
        (1, 1, "The one published figure of the real night lies inside the range"),
        (0, 1, "The one published figure of the real night lies outside the range"),
        (3, 4, "One of the four published figures of the real night lies outside the range"),
        (0, 2, "None of the two published figures of the real night lies inside the range"),
    ],
)
def test_history_in_a_sentence(inside: int, figures: int, sentence: str, forecast_of: Callable[..., Forecast]) -> None:
    assert results.history_finding(forecast_of(only=20), inside, figures) == sentence


def test_key_numbers(forecast_of: Callable[..., Forecast]) -> None:
    """Lines, half of the results, nine in ten, the hotline: large, with the range beneath."""
    change = {
        "in_line": [9] * 20 + [0] * 41, "held_p50_at_ms": DAY + 53 * MINUTE, "held_p90_at_ms": DAY + 15 * HOUR,
        "calls_by_kind": [9, 0, 0, 0], "answered": 9, "hold_p50_ms": 178 * MINUTE,
    }  # fmt: skip
    shown = [
        (number.value, number.behind, number.range) for number in top.key_numbers(forecast_of(lambda _: change, only=1))
    ]
    hold = f"2{THIN}h\N{NO-BREAK SPACE}58{THIN}min"
    assert shown == [("19:40", "", ""), ("00:53", "", ""), ("15:00", "the next day", ""), (hold, "", "")]
    nobody = top.key_numbers(forecast_of(lambda _: {"calls_by_kind": [0, 6, 0, 0], "held_p90_at_ms": -1}))
    assert [number.value for number in nobody][2:] == ["never", "no one"]


# The words


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0, "0"),
        (1, "100"),
        (0.0004, "<0.1"),
        (0.004, "0.4"),
        (0.01, "1"),
        (0.333, "33"),
        (0.985, "98.5"),
        (0.9996, ">99.9"),
    ],
)
def test_shares_are_rounded_but_never_to_none_or_all(share: float, text: str) -> None:
    assert words.percent(share) == text + THIN + "%"


@pytest.mark.parametrize(
    ("at", "text"),
    [
        (19 * HOUR, "19:00"),
        (DAY + 2 * HOUR + 59 * SECOND, "02:00"),
        (DAY + 6 * HOUR, "06:00 the next day"),
        (2 * DAY + HOUR, "01:00 two days later"),
        (9 * DAY, "00:00 9 days later"),
        (None, "never"),
    ],
)
def test_clock_times_name_the_day_that_people_would(at: int | None, text: str) -> None:
    assert words.clock(at) == text


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (20 * HOUR, 21 * HOUR, "20:00\N{EN DASH}21:00"),
        (20 * HOUR, 20 * HOUR + SECOND, "20:00"),
        (DAY + 8 * HOUR, DAY + 9 * HOUR, "08:00\N{EN DASH}09:00 the next day"),
        (23 * HOUR, DAY + 9 * HOUR, "23:00 to 09:00 the next day"),
        (23 * HOUR, None, "23:00 to never"),
        (None, None, "never"),
    ],
)
def test_ranges_of_clock_times(low: int | None, high: int | None, text: str) -> None:
    assert words.clock_range(low, high) == text


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (0, 0, "0_min"),
        (MINUTE, 12 * MINUTE, "1-12_min"),
        (20 * SECOND, 3 * MINUTE, "under 1_min to 3_min"),
        (50 * MINUTE, HOUR, "50_min-1_h"),
        (59 * MINUTE + 40 * SECOND, 61 * MINUTE, "1_h to 1_h~1_min"),
    ],
)
def test_ranges_of_durations(low: int, high: int, text: str) -> None:
    expected = text.replace("_", THIN).replace("-", words.DASH).replace("~", words.JOINED)
    assert words.duration_range(low, high) == expected


def test_the_style_sheet_and_the_page_travel_with_the_package() -> None:
    """An installed package has the files that the report is made of."""
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))
    packed = project["tool"]["setuptools"]["package-data"]["simulation"]
    assert {"report/*.css", "report/*.html"} <= set(packed)
