"""`caucus scenarios`, `check`, `new` and `roster`: what a planner meets before the first simulation."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import click
import jsonschema
import pytest
from click.testing import CliRunner, Result

from simulation import cli
from simulation.scenario import library, load

NAMES = sorted(library())


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli.caucus, arguments, prog_name="caucus")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_library_is_listed_with_titles_and_stories() -> None:
    listed = json.loads(run("scenarios", "--json").stdout)
    assert [night["name"] for night in listed] == NAMES
    assert all(night["title"] and night["story"] for night in listed)
    text = run("scenarios").stdout
    assert all(f"{name} " in text for name in NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_every_night_of_the_library_is_shown_key_by_key(name: str) -> None:
    shown = json.loads(run("scenarios", name, "--json").stdout)
    assert shown["title"] == load(name).spec.title
    keys = {key["key"]: key for key in shown["keys"]}
    assert {"clock.call_to_order", "hotline.operators", "hotline.handling.report", "app.outages"} <= set(keys)
    assert all(re.fullmatch(r"[a-z0-9-]+\.toml line [0-9]+", key["set_by"]) for key in keys.values())
    text = run("scenarios", name)
    assert (text.exit_code, "[hotline.handling]" in text.stdout.splitlines()) == (0, True)


def test_a_key_is_shown_with_value_meaning_source_and_the_line_that_set_it() -> None:
    lines = run("scenarios", "iowa-2020").stdout.splitlines()
    at = lines.index("  tries = 0.6 to 0.7")
    assert lines[at + 1].strip() == "Share of chairs who mean to report by app."
    assert re.fullmatch(r"      J \(iowa-2020\.toml line [0-9]+\)", lines[at + 2])


def test_an_unknown_night_suggests_the_nearest() -> None:
    result = run("scenarios", "iowa-2002")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "did you mean iowa-20" in result.stderr


def test_a_sound_scenario_is_said_to_be_so_with_its_size() -> None:
    text, data = run("check", "iowa-2020"), json.loads(run("check", "iowa-2020", "--json").stdout)
    assert text.stdout.startswith("OK: Iowa 2020 (iowa-2020): 1,765 sites, 176,352 people expected")
    assert (data["ok"], data["sites"], data["people"], data["problems"]) == (True, 1765, 176352, [])


def test_mistakes_are_listed_on_stderr_or_in_the_json(folder: Path) -> None:
    (folder / "mine.toml").write_text('title = "Mine"\nstory = "A slip."\n[hotline]\nlines = "two"\nlanes = 3\n')
    text, data = run("check", "mine.toml"), run("check", "mine.toml", "--json")
    assert (text.exit_code, text.stdout, data.exit_code, data.stderr) == (2, "", 2, "")
    assert json.loads(data.stdout) == {"ok": False, "problems": text.stderr.splitlines()}
    assert [line.split(":")[0] for line in text.stderr.splitlines()] == ["mine.toml line 4", "mine.toml line 5"]


def test_a_missing_roster_is_a_mistake_of_the_scenario(folder: Path) -> None:
    (folder / "mine.toml").write_text('title = "Mine"\nstory = "No roster."\n[roster]\nfile = "gone.csv"\n')
    result = run("check", "mine.toml")
    assert (result.exit_code, "gone.csv" in result.stderr) == (2, True)


@pytest.mark.parametrize("base", NAMES)
def test_a_new_file_is_sound_as_written_and_with_every_mark_removed(folder: Path, base: str) -> None:
    written = run("new", "mine.toml", "--from", base)
    assert (written.exit_code, written.stdout) == (0, "mine.toml\nscenario.schema.json\n")
    text = (folder / "mine.toml").read_text()
    assert load("mine.toml").document["chairs"] == load(base).document["chairs"]

    Path("my-precincts.csv").write_text(run("roster", "template").stdout)
    unmarked = re.sub(r"^# (?=\[|]|  \{|[a-z_]+ = )", "", text, flags=re.MULTILINE)
    (folder / "all.toml").write_text(unmarked)
    assert run("check", "all.toml").exit_code == 0, run("check", "all.toml").stderr
    document = tomllib.loads(unmarked)
    assert {"roster", "turnout", "chairs", "app", "hotline"} <= set(document)
    jsonschema.validate(document, json.loads((folder / "scenario.schema.json").read_text()))


def test_a_new_file_may_extend_a_file_in_another_folder(folder: Path) -> None:
    (folder / "below").mkdir()
    assert run("new", "base.toml", "--from", "iowa-2016").exit_code == 0
    assert run("new", "below/mine.toml", "--from", "base.toml").exit_code == 0
    assert load("below/mine.toml").spec.alignment.rules == "2016"


def test_nothing_is_overwritten(folder: Path) -> None:
    for arguments in (["new", "mine.toml"], ["roster", "template", "--out", "mine.toml"]):
        (folder / "mine.toml").write_text("mine")
        result = run(*arguments)
        assert (result.exit_code, result.stdout, "mine.toml" in result.stderr) == (2, "", True)
        assert (folder / "mine.toml").read_text() == "mine"


def test_the_schema_of_an_earlier_version_is_renewed_beside_a_new_file(folder: Path) -> None:
    schema = folder / "scenario.schema.json"
    assert run("new", "one.toml").exit_code == 0
    current = schema.read_text()
    schema.write_text(json.dumps(json.loads(current) | {"properties": {}, "description": "An older night."}))
    assert run("new", "two.toml").exit_code == 0
    assert schema.read_text() == current


@pytest.mark.parametrize("theirs", ['{"title": "Film scenes"}', "[]", "no JSON"])
def test_another_file_of_the_schema_s_name_is_kept_and_no_scenario_is_written(folder: Path, theirs: str) -> None:
    (folder / "scenario.schema.json").write_text(theirs)
    result = run("new", "mine.toml")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("scenario.schema.json: ")
    assert [path.read_text() for path in folder.iterdir()] == [theirs]


def test_a_new_scenario_is_called_toml() -> None:
    result = run("new", "mine")
    assert (result.exit_code, ".toml" in result.stderr) == (2, True)


def test_the_template_and_a_synthesized_state_are_rosters(folder: Path) -> None:
    (folder / "template.csv").write_text(run("roster", "template").stdout)
    assert run("roster", "synthesize", "iowa-2016", "--out", "state.csv").exit_code == 0
    for name, sites in (("template.csv", "3 sites"), ("state.csv", "1,68")):
        described = run("roster", "check", name)
        assert described.exit_code == 0, described.stderr
        assert described.stdout.startswith(f"{name}: {sites}")


def test_an_unknown_state_or_roster_is_one_sentence_and_exit_2() -> None:
    for arguments in (["roster", "synthesize", "ohio-2020"], ["roster", "check", "gone.csv"]):
        result = run(*arguments)
        assert (result.exit_code, result.stdout, len(result.stderr.splitlines())) == (2, "", 1)


def test_names_of_nights_complete_without_loading_them() -> None:
    completed = CliRunner().invoke(
        cli.caucus,
        prog_name="caucus",
        env={"_CAUCUS_COMPLETE": "bash_complete", "COMP_WORDS": "caucus simulate iowa-20", "COMP_CWORD": "2"},
    )
    assert "plain,iowa-2020" in completed.stdout.splitlines()


def test_every_command_and_option_says_what_it_does() -> None:
    def commands(group: click.Group) -> list[click.Command]:
        found = []
        for command in group.commands.values():
            found += commands(command) if isinstance(command, click.Group) else [command]
        return found

    for command in commands(cli.caucus):
        assert command.help, command.name
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert parameter.help, (command.name, parameter.name)


def test_a_roster_that_the_nights_people_do_not_fit_is_said_to_be_so(folder: Path) -> None:
    rows = run("roster", "synthesize", "iowa-2020").stdout.splitlines(keepends=True)
    (folder / "small.csv").write_text("".join(rows[:71]))
    checked = run("check", "iowa-2020", "--roster", "small.csv")
    assert (checked.exit_code, checked.stderr) == (0, "")
    assert checked.stdout.splitlines()[-1].startswith("- turnout.people = 176,352 (iowa-2020.toml line ")
    as_json = json.loads(run("check", "iowa-2020", "--roster", "small.csv", "--json").stdout)
    assert as_json["notes"][-1].startswith("turnout.people = 176,352")
    begun = run("new", "mine.toml", "--from", "iowa-2020")
    assert begun.stderr.startswith("turnout.people = 176,352 comes with iowa-2020")
    assert run("new", "other.toml").stderr == ""


def test_a_file_that_is_no_scenario_is_told_with_what_was_meant(folder: Path) -> None:
    run("new", "mine.toml")
    (folder / "experiment.toml").write_text("[run]\nseed = 1\n")
    mistyped = run("check", "mine.tml")
    assert (mistyped.exit_code, mistyped.stderr) == (2, "mine.tml: no such scenario file; did you mean mine.toml?\n")
    experiment = run("simulate", "experiment.toml")
    assert experiment.exit_code == 2
    assert experiment.stderr.startswith("experiment.toml: this is an experiment, no night: run the command that ")
    assert "did you mean mine.toml?" in run("check", "mine").stderr
    assert run("check", "nowhere.toml").stderr == "nowhere.toml: no such scenario file\n"
