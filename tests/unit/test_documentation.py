"""What a user can type or read is documented, and the generated pages are up to date."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from pydantic import BaseModel

from loadtests.documentation import pages as pages_of_load_tests
from simulation.cli import caucus
from simulation.documentation import pages as pages_of_the_simulation
from simulation.documentation import schema_text
from simulation.night import play_night
from simulation.night.metrics import EVENTS, NIGHT, PRECINCT, expanded
from simulation.night.order import Kind
from simulation.scenario import library, load
from simulation.scenario.schema import Spec

DOCS = Path(__file__).parents[2] / "docs"
PAGES = {**pages_of_the_simulation(), **pages_of_load_tests()}


@pytest.mark.parametrize("name", list(PAGES))
def test_generated_pages_are_up_to_date(name: str) -> None:
    """`make docs` would change nothing."""
    assert (DOCS / name).read_text(encoding="utf-8") == PAGES[name], "run `make docs`"


def test_the_schema_beside_the_library_is_up_to_date() -> None:
    """Editors complete and check the library's nights by it."""
    assert (DOCS.parent / "scenarios" / "scenario.schema.json").read_text(encoding="utf-8") == schema_text()


def test_every_event_is_explained() -> None:
    """The event log is integers: without this table it says nothing."""
    assert list(EVENTS) == list(Kind)


def test_only_nights_that_claim_a_year_have_a_history() -> None:
    """What really happened belongs beside the night that really happened."""
    claimed = {name for name in library() if load(name).document.get("history", {}).get("reported")}
    assert claimed == {f"iowa-{year}{kind}" for year in (2016, 2020) for kind in ("", "-calibrated")}


def _keys(model: type[BaseModel]) -> Iterator[str]:
    for name, field in model.model_fields.items():
        yield field.alias or name


def test_every_scenario_key_is_explained() -> None:
    """A key without a description or missing from the reference page cannot be used by anybody."""
    page = (DOCS / "scenarios.md").read_text(encoding="utf-8")
    models: set[type[BaseModel]] = {Spec}
    while True:
        below = {
            inner
            for model in models
            for field in model.model_fields.values()
            for inner in (field.annotation, *getattr(field.annotation, "__args__", ()))
            if isinstance(inner, type) and issubclass(inner, BaseModel)
        }
        if below <= models:
            break
        models |= below
    assert len(models) > 20
    sections = {name for model in models for name, f in model.model_fields.items() if f.description is None}
    assert sections <= {name for name in page.replace("]", ".").replace("[", ".").split(".") if name.isidentifier()}
    for model in models:
        for key in _keys(model):
            assert f"`{key}`" in page or f"{key}]" in page, key


def test_every_command_and_option_has_a_help_text() -> None:
    """Options without help are riddles."""
    groups: list[click.Command] = [caucus]
    seen = 0
    while groups:
        command = groups.pop()
        assert command.help, command.name
        if isinstance(command, click.Group):
            context = click.Context(command)
            below = [command.get_command(context, name) for name in command.list_commands(context)]
            groups += [found for found in below if found is not None]
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert parameter.help, f"{command.name} {parameter.name}"
                seen += 1
    assert seen > 10


def test_every_metric_is_explained_and_none_is_invented() -> None:
    """The documented metrics are exactly the columns of a night and of its precincts."""
    night = play_night(load("baseline", {"turnout.people": 2_000}), 1, 0)
    assert list(expanded(NIGHT)) == list(night.row)
    assert set(expanded(PRECINCT)) == set(night.precincts.columns)


def test_every_library_night_tells_its_story_and_sources() -> None:
    """A night without story or sources is a pile of numbers."""
    for name in library():
        spec = load(name).spec
        assert len(spec.story) > 80, name
        assert spec.sources, name
