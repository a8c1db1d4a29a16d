"""docs/rehearsals.md says all that there is."""

from __future__ import annotations

from simulation.rehearsal import documentation
from simulation.rehearsal.injects import EFFECTS, catalog
from simulation.rehearsal.running import _KINDS


def test_every_kind_of_event_is_explained() -> None:
    assert set(documentation.EVENTS) == _KINDS | {"failed", "branched"}


def test_every_item_and_card_and_effect_is_explained() -> None:
    page = documentation.markdown()
    assert len(catalog()) == 26
    for card in catalog():
        assert f"`{card.id}`" in page
        assert card.expected.english() in page
    assert all(f"| `{effect}` |" in page for effect in EFFECTS)
    assert {item.id for item in documentation._items()} == set(documentation.RULES)
