"""The Republican straw poll: ballots counted, what was announced held against the certified record."""

from __future__ import annotations

from simulation.rules.straw_poll import certify, tally


def test_ballots_are_counted_in_secret_and_nobody_drops_out() -> None:
    assert tally(["b", "a", "b", "c"]) == {"b": 2, "a": 1, "c": 1}
    assert tally([]) == {}


def test_iowa_2012_changed_its_winner_two_weeks_after_the_night() -> None:
    """8 votes one way on the night, 34 the other way by Form E; 131 of 1,774 inaccurate, 8 never found.

    The totals are the Republican Party of Iowa's (30,015 : 30,007 announced, 29,805 : 29,839 certified); how they
    spread over the precincts is made up.
    """
    places = [f"precinct {number}" for number in range(1774)]
    announced = {place: {"romney": 16, "santorum": 16} for place in places}
    announced[places[0]] = {"romney": 30_015 - 16 * 1773, "santorum": 30_007 - 16 * 1773}
    form_e = {place: votes for place, votes in announced.items() if place not in places[-8:]}
    for place in places[1:131]:
        form_e[place] = {"romney": 15, "santorum": 16}
    held = {name: sum(votes[name] for votes in form_e.values()) for name in ("romney", "santorum")}
    first = form_e[places[0]]
    form_e[places[0]] = {
        "romney": first["romney"] + 29_805 - held["romney"],
        "santorum": first["santorum"] + 29_839 - held["santorum"],
    }
    found = certify(announced, form_e)
    assert found.announced.votes == {"romney": 30_015, "santorum": 30_007}
    assert found.certified.votes == {"santorum": 29_839, "romney": 29_805}
    assert (found.announced.leaders, found.announced.margin) == (("romney",), 8)
    assert (found.certified.leaders, found.certified.margin) == (("santorum",), 34)
    assert found.winner_changed
    assert (found.expected, len(found.differing), len(found.uncertified)) == (1774, 131, 8)
    assert set(found.uncertified) == set(places[-8:])


def test_a_precinct_without_form_e_counts_on_the_night_only() -> None:
    found = certify({"1": {"a": 5, "b": 1}, "2": {"b": 3}}, {"2": {"b": 3, "a": 0}, "3": {"a": 1}}, ["1", "4"])
    assert found.announced.votes == {"a": 5, "b": 4}
    assert found.certified.votes == {"b": 3, "a": 1}
    assert found.differing == ()
    assert (found.uncertified, found.unannounced, found.expected) == (("1", "4"), ("3",), 4)


def test_a_tie_has_two_leaders_and_no_votes_have_none() -> None:
    level = certify({"1": {"a": 2, "b": 2}}, {})
    assert (level.announced.leaders, level.announced.margin) == (("a", "b"), 0)
    assert (level.certified.leaders, level.certified.margin) == ((), 0)
    assert level.winner_changed
