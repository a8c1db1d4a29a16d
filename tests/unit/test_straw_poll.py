"""The Republican straw poll: what was announced held against the certified record."""

from __future__ import annotations

from simulation.rules.straw_poll import certify


def test_iowa_2012_changed_its_winner_two_weeks_after_the_night() -> None:
    """8 votes one way on the night, 34 the other way by Form E: Republican Party of Iowa, 18 January 2012."""
    found = certify({"romney": 30_015, "santorum": 30_007}, {"romney": 29_805, "santorum": 29_839})
    assert (found.announced.leaders, found.announced.margin) == (("romney",), 8)
    assert (found.certified.leaders, found.certified.margin) == (("santorum",), 34)
    assert found.winner_changed
    assert found.shift == 8 + 34


def test_errors_that_keep_the_winner_shift_the_margin() -> None:
    found = certify({"a": 5, "b": 9, "c": 8}, {"a": 5, "b": 10, "c": 8})
    assert (found.announced.leaders, found.certified.leaders) == (("b",), ("b",))
    assert not found.winner_changed
    assert found.shift == 1 - 2


def test_a_tie_has_two_leaders_and_no_votes_have_none() -> None:
    level = certify({"b": 2, "a": 2}, {"a": 0})
    assert (level.announced.leaders, level.announced.margin) == (("a", "b"), 0)
    assert (level.certified.leaders, level.certified.margin) == ((), 0)
    assert level.winner_changed
    assert certify({}, {"a": 1}).shift == 0
