"""Scenario files: what extends what, what an override reaches, what a mistake is told, and what the library claims."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from pydantic import BaseModel

from simulation.errors import InputError
from simulation.scenario import Scenario, json_schema, library, load, parse_overrides
from simulation.scenario.distributions import Distribution
from simulation.scenario.schema import Section, Spec
from simulation.scenario.values import FACTOR, FULL_SHARE, HOUR, MINUTE, SECOND, Assumption

HEAD = 'title = "A night"\nstory = "For a test."\n'


def written(folder: Path, name: str, text: str, head: str = HEAD) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(head + text, encoding="utf-8")
    return path


def problems(path: Path | str, overrides: Mapping[str, object] | None = None) -> list[str]:
    with pytest.raises(InputError) as refusal:
        load(path, overrides)
    return refusal.value.problems


def settings(document: Mapping[str, Any], model: type[BaseModel] = Spec, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """What a document says for each key of each section, by dotted key."""
    for key, value in document.items():
        annotation = model.model_fields[key].annotation
        if isinstance(annotation, type) and issubclass(annotation, Section):
            yield from settings(value, annotation, f"{prefix}{key}.")
        else:
            yield prefix + key, value


# What extends what


def test_a_file_that_extends_nothing_extends_the_baseline(tmp_path: Path) -> None:
    scenario = load(written(tmp_path, "mine.toml", "[forms]\nabove_people = 7\n"))
    assert scenario.name == "mine"
    assert scenario.spec.forms.above_people == 7
    assert scenario.document["alignment"] == load("baseline").document["alignment"]
    assert scenario.origins["forms.above_people"] == "mine.toml line 4"
    assert scenario.origins["forms.reprint"].startswith("baseline.toml line ")


def test_a_file_may_extend_a_library_night_or_a_file_by_a_path_from_its_own_folder(tmp_path: Path) -> None:
    written(tmp_path, "below/lower.toml", 'extends = "iowa-2016"\n[forms]\nabove_people = 7\n')
    upper = load(written(tmp_path, "upper/mine.toml", 'extends = "../below/lower.toml"\n[app]\nattempts = 9\n'))
    assert upper.spec.alignment.rules == "2016"
    assert upper.spec.forms.above_people == 7
    assert upper.spec.app.attempts.low == 9


def test_a_circle_of_files_is_refused_with_its_way(tmp_path: Path) -> None:
    a = written(tmp_path, "a.toml", 'extends = "b.toml"\n')
    written(tmp_path, "b.toml", 'extends = "a.toml"\n')
    assert problems(a) == ["a.toml: extends itself, by way of a.toml, b.toml"]


def test_extending_what_is_not_there_names_the_library(tmp_path: Path) -> None:
    (problem,) = problems(written(tmp_path, "a.toml", 'extends = "iowa-2061"\n'))
    assert problem.startswith('a.toml line 3: extends = "iowa-2061": expected a library night (')
    assert "iowa-2016" in problem


def test_sections_merge_and_everything_else_is_replaced(tmp_path: Path) -> None:
    text = """
[hotline]
operators = [{ from = "18:00", to = "22:00", count = 3 }]
[hotline.redial]
after_busy = 0.5
[checkin]
on_list = { uniform = { low = "30 s", high = "60 s" } }
[preference]
candidates = { a = 1, b = 2 }
"""
    mine, base = load(written(tmp_path, "mine.toml", text)).spec, load("baseline").spec
    assert [shift.count.low for shift in mine.hotline.operators] == [3]  # a list: as a whole
    assert mine.checkin.on_list.family == "uniform"  # a distribution: as a whole
    assert mine.preference.candidates == {"a": 1, "b": 2}  # a table that is no section: as a whole
    assert mine.hotline.redial.until_morning == base.hotline.redial.until_morning  # its sister was set
    assert mine.hotline.lines == base.hotline.lines


def test_a_roster_named_by_a_file_takes_the_place_of_the_one_it_extends(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text("county,precinct,delegates,attendance\nStory,Ames,5,100\n")
    scenario = load(written(tmp_path, "mine.toml", '[roster]\nfile = "mine.csv"\n'))
    assert scenario.roster.ids == ("Story/Ames",)
    back = load(written(tmp_path, "back.toml", 'extends = "mine.toml"\n[roster]\nsynthesize = "iowa-2020"\n'))
    assert back.document["roster"] == {"synthesize": "iowa-2020"}
    assert load("baseline", {"roster.file": "x.csv"}).document["roster"] == {"file": "x.csv"}


def test_a_roster_stays_relative_to_the_file_that_names_it(tmp_path: Path) -> None:
    written(tmp_path, "below/lower.toml", '[roster]\nfile = "mine.csv"\n')
    (tmp_path / "below" / "mine.csv").write_text("county,precinct,delegates,attendance\nStory,Ames,5,100\n")
    upper = load(written(tmp_path, "upper/mine.toml", 'extends = "../below/lower.toml"\n'))
    assert upper.roster.ids == ("Story/Ames",)


def test_two_rosters_at_once_are_refused(tmp_path: Path) -> None:
    text = '[roster]\nfile = "mine.csv"\nsynthesize = "iowa-2020"\n'
    (problem,) = problems(written(tmp_path, "a.toml", text))
    assert problem.endswith("expected either `synthesize` or `file`")


def test_a_file_that_holds_a_run_extends_nothing(tmp_path: Path) -> None:
    """run.toml is resolved: a later change of the baseline does not change it."""
    (first, *_) = problems(written(tmp_path, "run.toml", "[run]\nseed = 1\nnights = 2\n"))
    assert first.endswith("roster: is missing")


def test_an_editors_byte_order_mark_is_no_mistake(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes(b"\xef\xbb\xbf" + HEAD.encode())
    assert load(path).spec.title == "A night"


# Overrides


def test_overriding_the_operators_sets_every_shift() -> None:
    shifts = load("iowa-2020", {"hotline.operators": 80}).spec.hotline.operators
    assert len(shifts) > 1
    assert {(shift.count.low, shift.count.high) for shift in shifts} == {(80, 80)}
    assert [s.start for s in shifts] == [s.start for s in load("iowa-2020").spec.hotline.operators]


def test_overriding_nuisance_sets_every_window_and_a_range_will_do() -> None:
    windows = load("iowa-2020", {"hotline.nuisance": {"low": 5, "high": 9}}).spec.hotline.nuisance
    assert [(w.calls_per_hour.low, w.calls_per_hour.high) for w in windows] == [(5, 9)] * len(windows) != []


def test_a_list_overrides_the_list_as_a_whole() -> None:
    one = [{"from": "18:00", "to": "23:00", "count": 1}]
    assert len(load("iowa-2020", {"hotline.operators": one}).spec.hotline.operators) == 1


def test_none_unsets_what_a_lower_file_set() -> None:
    scenario = load(
        "iowa-2020",
        {"turnout.people": "none", "headquarters.release.hold_from": "none"} | {"headquarters.release.until": "none"},
    )
    assert scenario.spec.turnout.people is None
    assert scenario.spec.headquarters.release.hold_from is None
    assert load("iowa-2020").spec.turnout.people is not None


def test_an_override_may_reach_into_a_distribution() -> None:
    spec = load("baseline", {"hotline.handling.report.lognormal.mean": "5 min"}).spec
    assert spec.hotline.handling.report.parameters["mean"] == Assumption(
        5 * MINUTE, 5 * MINUTE, key="hotline.handling.report.mean"
    )


def test_values_of_the_command_line_are_read_as_toml_else_as_text() -> None:
    given = ("hotline.operators=80", "app.tries = { low = 0.1, high = 0.2 }", "clock.doors=18:15", "x=", 'a.b="5 min"')
    assert parse_overrides(given) == {
        "hotline.operators": 80,
        "app.tries": {"low": 0.1, "high": 0.2},
        "clock.doors": "18:15",
        "x": "",
        "a.b": "5 min",
    }


def test_settings_without_a_key_or_a_value_are_refused_together() -> None:
    with pytest.raises(InputError) as refusal:
        parse_overrides(("hotline.operators", "=5"))
    assert [problem.partition(":")[0] for problem in refusal.value.problems] == [
        "--set hotline.operators",
        "--set =5",
    ]


# Mistakes

TEN_MISTAKES = """\
title = "Ten mistakes"
story = 7
extends = "iowa-2020"

[clock]
call_to_order = "25:00"

[checkin]
on_lst = "45 s"
on_list = { lognormal = { mean = "45", cv = 0.6 } }
missing_from_list = 1.5
stations = 0

[alignment]
rules = "2024"

[app]
outages = [{ from = "22:00", to = "21:00" }]

[hotline]
lines = "many"

[headquarters.keying]
app = { low = 0.9, high = 0.1 }
"""


def test_ten_mistakes_give_ten_lines_with_line_key_value_and_what_would_do(tmp_path: Path) -> None:
    found = problems(written(tmp_path, "ten.toml", TEN_MISTAKES, head=""))
    expected = [
        ("line 2", "story = 7", "a text"),
        ("line 6", 'clock.call_to_order = "25:00"', '"19:00"'),
        ("line 9", "checkin.on_lst", "did you mean on_list?"),
        ("line 10", "checkin.on_list", 'lognormal.mean: a duration with its unit such as "45 s"'),
        ("line 11", "checkin.missing_from_list = 1.5", "between 0 and 1"),
        ("line 12", "checkin.stations = 0", "1 or more"),
        ("line 15", 'alignment.rules = "2024"', "'2020'"),
        ("line 18", "app.outages.0", "`from` before `to`"),
        ("line 21", 'hotline.lines = "many"', '"unlimited"'),
        ("line 24", "headquarters.keying.app", "low is not above its high"),
    ]
    by_line = sorted(found, key=lambda problem: int(problem.split()[2].rstrip(":")))
    assert len(found) == 10
    for problem, (line, key, would_do) in zip(by_line, expected, strict=True):
        assert problem.startswith(f"ten.toml {line}: {key}")
        assert would_do in problem
        assert "\n" not in problem


@pytest.mark.parametrize(
    ("key", "suggested"),
    [
        ("hotlin.operators", "did you mean hotline?"),
        ("hotline.operatrs", "did you mean operators?"),
        ("hotline.redial.after_bussy", "did you mean after_busy?"),
        ("headquarters.keying.phones", "did you mean phone?"),
        ("inbox.xyz", "known here: chairs, opens, readers, reading"),
    ],
)
def test_a_misspelled_key_suggests_the_nearest_and_names_the_override(key: str, suggested: str) -> None:
    (problem,) = problems("baseline", {key: 1})
    assert problem.startswith(f"--set {key}: ")
    assert problem.endswith(suggested)


def test_a_misspelled_key_inside_a_list_suggests_the_nearest_too(tmp_path: Path) -> None:
    text = '[hotline]\noperators = [{ from = "18:00", too = "22:00", count = 3 }]\n'
    found = problems(written(tmp_path, "a.toml", text))
    assert "a.toml line 4: hotline.operators.0.too: no such key; did you mean to?" in found
    assert "a.toml line 4: hotline.operators.0.to: is missing" in found


def test_a_misspelled_scenario_suggests_the_nearest() -> None:
    (problem,) = problems("iowa2020")
    assert problem.startswith("iowa2020: no such scenario; did you mean iowa-2020?")


def test_mistakes_of_a_file_and_of_overrides_are_told_together(tmp_path: Path) -> None:
    path = written(tmp_path, "a.toml", "[app]\nattempts = -1\n")
    found = problems(path, {"app.tries": 2, "title.x": 1, "hotline.handling.report.lognormal.cv": 0})
    assert {problem.split(": ")[0] for problem in found} == {
        "a.toml line 4",
        "--set app.tries",
        "--set title.x",
        "--set hotline.handling.report.lognormal.cv",
    }


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[app\n", "a.toml: not TOML: "),
        ("extends = 5\n", "a.toml: extends = 5: expected the name"),
        ("[hotline]\noperators = [1, 2]\n", "a.toml line 4: hotline.operators.0 = 1: expected a table of keys"),
        ("[app]\nsingle_delegate = 1\n", "a.toml line 4: app.single_delegate = 1: expected true or false"),
        ("[hotline.redial]\nbusy_wait = '0 s'\n", "a.toml line 3: hotline.redial: expected `busy_wait` that can be"),
        (
            "[hotline]\nnuisance = [{ from = '19:00', to = '22:00', calls_per_hour = 200000 }]\n",
            "a.toml line 4: hotline.nuisance.0 = {'from': '19:00', 'to': '22:00', 'calls_per_hour': 200000}: expected",
        ),
        ("[clock]\ndoors = 18:30:00\n", "a.toml line 4: clock.doors = 18:30:00: expected a clock time"),
        ("[clock]\nresolution = '19 d'\n", "a.toml line 3: clock: expected a resolution that still tells `until` from"),
        ("[inbox]\nreaders = 1000001\n", "a.toml line 3: inbox: expected no more than 1,000,000 `readers`"),
        ("[backend]\nfaults = ['slow']\n", 'a.toml line 4: backend.faults.0 = "slow": expected one of'),
    ],
)
def test_what_is_no_scenario_is_refused_in_words(tmp_path: Path, text: str, told: str) -> None:
    assert problems(written(tmp_path, "a.toml", text))[0].startswith(told)


def test_more_windows_of_nuisance_calls_than_their_addresses_can_number_are_refused() -> None:
    window = {"from": "19:00", "to": "20:00", "calls_per_hour": 1}
    assert len(load("baseline", {"hotline.nuisance": [window] * 1024}).spec.hotline.nuisance) == 1024
    (problem,) = problems("baseline", {"hotline.nuisance": [window] * 1025})
    assert problem.endswith("expected no more than 1,024 windows in `nuisance`")


def test_more_people_at_work_than_a_night_can_set_up_are_refused() -> None:
    assert problems("baseline", {"hotline.operators": 1_000_001})[0].endswith("no more than 1,000,000 operators")
    assert problems("baseline", {"headquarters.reviewers": 1_000_001})[0].endswith("no more than 1,000,000 `reviewers`")


def test_overriding_every_shift_of_a_broken_list_is_refused_in_words(tmp_path: Path) -> None:
    path = written(tmp_path, "a.toml", "[hotline]\noperators = [1]\n")
    (problem,) = problems(path, {"hotline.operators": 80})
    assert problem.endswith("hotline.operators.0 = 1: expected a table of keys")


def test_a_file_that_is_not_there_is_refused_in_words(tmp_path: Path) -> None:
    assert problems(tmp_path / "no.toml")[0].endswith("no.toml: no such scenario file")


# The schema for editors

SCHEMA = jsonschema.Draft202012Validator(json_schema())


def test_the_schema_is_itself_valid() -> None:
    jsonschema.Draft202012Validator.check_schema(json_schema())


@pytest.mark.parametrize("name", library())
def test_the_schema_accepts_every_library_night(name: str) -> None:
    document = tomllib.loads(library()[name].read_text(encoding="utf-8"))
    assert [error.message for error in SCHEMA.iter_errors(document)] == []


@pytest.mark.parametrize("name", library())
def test_the_schema_accepts_every_resolved_night(name: str) -> None:
    assert [error.message for error in SCHEMA.iter_errors(load(name).document)] == []


@pytest.mark.parametrize(
    "text",
    [
        'doors = "quarter past six"',
        "call_to_order = 1900",
        'resolution = "1"',
        "[checkin]\non_list = { lognormal = { mean = '45 s' } }",
        "[checkin]\non_list = { normal = { mean = '45 s', sd = '5 s' } }",
        "[checkin]\nstations = 0",
        "[app]\ntries = 1.5",
        "[app]\ninstaled = 0.5",
        "[app]\nsingle_delegate = 'yes'",
        "[alignment]\nrules = '2024'",
        "[hotline]\nlines = 0",
        "[hotline]\noperators = [{ from = '18:00', count = 3 }]",
        "[hotline]\noperators = [{ from = '18:00', to = '22:00', count = -3 }]",
        "[headquarters.release]\nhold_from = 'never'",
        "[preference]\ncandidates = { a = 0.5, b = 1 }",
    ],
)
def test_the_schema_rejects_what_loading_rejects(tmp_path: Path, text: str) -> None:
    text = text if text.startswith("[") else f"[clock]\n{text}"
    assert not SCHEMA.is_valid(tomllib.loads(HEAD + text))
    assert len(problems(written(tmp_path, "a.toml", text))) >= 1


# The library


@pytest.fixture(scope="module")
def nights() -> dict[str, Scenario]:
    return {name: load(name) for name in library()}


def test_the_library_has_the_nights_that_it_promises() -> None:
    promised = {"baseline", "iowa-2016", "iowa-2020", "hotline-flood", "last-minute-chairs", "forms-run-out"}
    assert promised <= library().keys()


def test_every_night_tells_its_story_and_its_sources(nights: Mapping[str, Scenario]) -> None:
    for name, scenario in nights.items():
        assert len(scenario.spec.story.split()) >= 20, name
        assert scenario.spec.sources, name
    assert len({scenario.spec.title for scenario in nights.values()}) == len(nights)


@pytest.mark.parametrize("name", [name for name in library() if name != "baseline"])
def test_a_night_differs_from_the_one_it_extends_only_where_its_file_says(
    name: str, nights: Mapping[str, Scenario]
) -> None:
    own = tomllib.loads(library()[name].read_text(encoding="utf-8"))
    lower = dict(settings(nights[own.pop("extends", "baseline")].document))
    upper = dict(settings(nights[name].document))
    said = dict(settings(own))
    changed = {key for key in lower.keys() | upper.keys() if lower.get(key) != upper.get(key)}
    assert {"title", "story"} <= changed <= said.keys()
    assert {key: upper[key] for key in said} == said


def test_every_number_of_the_baseline_that_may_be_assumed_names_its_source(nights: Mapping[str, Scenario]) -> None:
    """Zero switches a thing off, and needs none."""
    spec = nights["baseline"].spec
    without = [
        key
        for key, item in assumed(spec, "").items()
        if not item.source and (item.corners.any() if isinstance(item, Distribution) else item.high > 0)
    ]
    assert without == []


def assumed(item: Any, key: str) -> dict[str, Assumption | Distribution]:
    """Every assumption and distribution of a section, by dotted key."""
    if isinstance(item, Assumption | Distribution):
        return {key: item}
    parts: dict[Any, Any] = {}
    if isinstance(item, list):
        parts = dict(enumerate(item))
    elif isinstance(item, BaseModel):
        parts = {name: getattr(item, name) for name in type(item).model_fields}
    return {k: v for name, part in parts.items() for k, v in assumed(part, f"{key}.{name}".lstrip(".")).items()}


# Ranges and figures of the model's reference table, section 2 ("Check-in", "From call to order ...", "The app",
# "The hotline and headquarters"): key -> (low, high) in the unit of the scenario, and the nights that claim it.
S, M, H, SHARE, X = SECOND, MINUTE, HOUR, FULL_SHARE / 100, FACTOR  # of seconds, minutes, hours, per cent, times
ALL = ("baseline", "iowa-2016", "iowa-2020")
Y2016, Y2020 = ("iowa-2016",), ("iowa-2020",)
MODEL = [
    ("clock.doors", 18 * H, 18.5 * H, ALL),  # P: doors 18:00-18:30
    ("checkin.on_list.mean", 45 * S, 45 * S, ALL),  # J, P: lognormal mean 45 s, cv .6
    ("checkin.on_list.cv", 0.6 * X, 0.6 * X, ALL),
    ("checkin.registration.mean", 120 * S, 300 * S, ALL),  # J: mean 210 s (120-300 s)
    ("checkin.missing_from_list", 1 * SHARE, 3 * SHARE, ALL),  # S, J: 1-3 %
    ("checkin.wrong_line", 2 * SHARE, 2 * SHARE, ALL),  # S, J: 2 %
    ("forms.short", 5 * SHARE, 5 * SHARE, ALL),  # S, J: 5 % of precincts above 100 people
    ("forms.reprint.low", 10 * M, 30 * M, ALL),  # S, J: 10-30 min until reprinted
    ("forms.reprint.high", 10 * M, 30 * M, ALL),
    ("room.miscount", 1 * SHARE, 1 * SHARE, ALL),  # S, J: 1 % of precincts, worst 58 people
    ("room.miscounted_people.high", 58, 58, ALL),
    ("room.opening.mean", 15 * M, 25 * M, ALL),  # J: 15-25 min
    ("room.count_per_person", 1 * S, 1.5 * S, ALL),  # J, P: 1.0-1.5 s a person
    ("room.afterwards.mean", 30 * M, 50 * M, Y2016),  # J, fitted: LN mean 30-50 min, cv .7-1.1
    ("room.afterwards.cv", 0.7 * X, 1.1 * X, Y2016),
    ("room.afterwards.mean", 45 * M, 52 * M, ("baseline", "iowa-2020")),  # J, fitted: LN mean 45-52 min, cv .5
    ("room.afterwards.cv", 0.5 * X, 0.5 * X, ("baseline", "iowa-2020")),
    ("alignment.first.mean", 8 * M, 8 * M, Y2020),  # P, J: min(15, LN(8 min, .4)), two of them
    ("alignment.realignment.mean", 8 * M, 8 * M, Y2020),
    ("alignment.leave", 13 * SHARE, 13 * SHARE, Y2020),  # C: 13 % leave, 8 % stay stuck
    ("alignment.stuck", 8 * SHARE, 8 * SHARE, Y2020),
    ("chairs.missing", 1 * SHARE, 2 * SHARE, ALL),  # J: no chair 1-2 %
    ("chairs.untrained", 5 * SHARE, 10 * SHARE, (*Y2016, *Y2020)),  # J, S: drafted, untrained 5-10 %
    ("chairs.silent", 4 * SHARE, 7 * SHARE, Y2016),  # J: never reports by himself 4-7 %
    ("chairs.silent", 2 * SHARE, 5 * SHARE, ("baseline", "iowa-2020")),  # J, S: 2-5 %
    ("chairs.reached.mean", 291 * M, 291 * M, ALL),  # J: LN(291 min, .19) after 19:00
    ("chairs.reached.cv", 0.19 * X, 0.19 * X, ALL),
    ("chairs.arithmetic_errors", 3.5 * SHARE, 6 * SHARE, ALL),  # C: 3.5-6 % of precincts with D >= 2
    ("app.entry.mean", 6 * M, 6 * M, ALL),  # P: LN(6 min, .8) after ready
    ("app.entry.cv", 0.8 * X, 0.8 * X, ALL),
    ("app.tries", 60 * SHARE, 70 * SHARE, Y2020),  # J, P: tries .6-.7; install succeeds .35-.45
    ("app.installed", 35 * SHARE, 45 * SHARE, Y2020),
    ("app.login_fails", 20 * SHARE, 30 * SHARE, Y2020),  # J: PIN or login fails .2-.3, submit error .1, no signal .05
    ("app.submit_fails", 10 * SHARE, 10 * SHARE, Y2020),
    ("app.no_signal", 5 * SHARE, 5 * SHARE, Y2020),
    ("hotline.operators.0.count", 20, 30, Y2020),  # P, C: effective operators 20-30 until 23:00
    ("hotline.handling.report.mean", 17 * M, 22 * M, ALL),  # P, J: LN mean 17-22 min, cv .4
    ("hotline.handling.report.cv", 0.4 * X, 0.4 * X, ALL),
    ("hotline.handling.help.mean", 6 * M, 6 * M, ALL),  # J: 6 min each
    ("hotline.handling.nuisance.low", 30 * S, 60 * S, ALL),  # S, J: 30-60 s
    ("hotline.handling.nuisance.high", 30 * S, 60 * S, ALL),
    ("hotline.handling.callback.mean", 3 * M, 5 * M, ALL),  # P, J: delegates only 3-5 min
    ("hotline.nuisance.0.calls_per_hour", 60, 200, Y2020),  # S, J: none until ~22:00, then 60-200 an hour
    ("hotline.silent", 2 * SHARE, 2 * SHARE, ALL),  # P, J: 2 % after 10-15 s
    ("hotline.silent_for.low", 10 * S, 15 * S, ALL),
    ("hotline.silent_for.high", 10 * S, 15 * S, ALL),
    ("hotline.patience.chairs.mean", 150 * M, 150 * M, ALL),  # J: exponential mean 150 min; others 15-20 min
    ("hotline.patience.others.mean", 15 * M, 20 * M, ALL),
    ("hotline.redial.after_busy", 90 * SHARE, 90 * SHARE, ALL),  # J: .9 after a busy tone, mean 5 min
    ("hotline.redial.busy_wait.mean", 5 * M, 5 * M, ALL),
    ("hotline.redial.hold_wait.mean", 30 * M, 30 * M, ALL),  # J: 30 min after giving up; until morning 5-10 %
    ("hotline.redial.until_morning", 5 * SHARE, 10 * SHARE, ALL),
    ("headquarters.keying.app", 0.04 * SHARE, 0.5 * SHARE, ALL),  # P, J: single .04-.5 %
    ("headquarters.keying.inbox", 0.04 * SHARE, 0.5 * SHARE, ALL),
    ("headquarters.keying.phone", 0.5 * SHARE, 1 * SHARE, ALL),  # P, J: spoken + handwritten + tired .5-1 %
    ("headquarters.callbacks", 3 * SHARE, 5 * SHARE, ALL),  # P, J: 3-5 %
]


@pytest.mark.parametrize(("key", "low", "high", "claimed_by"), MODEL, ids=[f"{row[0]}-{row[3][-1]}" for row in MODEL])
def test_assumptions_lie_within_the_ranges_of_the_model(
    key: str, low: float, high: float, claimed_by: tuple[str, ...], nights: Mapping[str, Scenario]
) -> None:
    for name in claimed_by:
        by_key = {assumption.key: assumption for assumption in nights[name].assumptions()}
        assert low - 1 <= by_key[key].low <= by_key[key].high <= high + 1, name
