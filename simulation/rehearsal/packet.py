"""A rehearsal on paper: what volunteers get, what the trainer holds in hand, and what is right.

Of the same script as on the screen: the same precincts for the same seats, the same cases, numbers, coins and injects.
Knows nothing of HTML.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from simulation.errors import InputError
from simulation.rehearsal import citations, worksheet_steps
from simulation.rehearsal.chair import ChairSeat
from simulation.rehearsal.desk_papers import DeskSheet, desk_sheets
from simulation.rehearsal.injects import Inject, catalog, from_scenario
from simulation.rehearsal.script import group_label
from simulation.rehearsal.view import Table, Text, say, say_many
from simulation.rules import outcomes
from simulation.scenario.values import MINUTE

if TYPE_CHECKING:
    from simulation.rehearsal.cases import Case
    from simulation.rehearsal.script import PrecinctScript, Script
    from simulation.rehearsal.view import Step

LETTERS = "ABCDEFGH"


@dataclass(frozen=True, slots=True)
class Line:
    """One answer of the key: what is asked, what is right, how it is worked out, and what to say when asked again."""

    label: Text
    right: Text
    worked: tuple[Text, ...] = ()
    tables: tuple[Table, ...] = ()
    tell: tuple[Text, ...] = ()  # what the trainer says aloud, when somebody asks for it
    citations: tuple[Text, ...] = ()


@dataclass(frozen=True, slots=True)
class Sheet:
    """A seat on paper: what its chair gets, in the order of the evening, and the trainer's key to it."""

    seat: str  # as on the screen
    precinct: PrecinctScript
    at_door: tuple[Case, ...]
    opening: Step
    in_room: tuple[Case, ...]
    requests: tuple[Case, ...]
    heads: Table  # the first count, section by section
    first: Table  # as the tellers say it
    final: Table
    key: tuple[Line, ...]

    @property
    def cases(self) -> tuple[tuple[int, Case], ...]:
        """All of them, numbered as they are printed."""
        return tuple(enumerate((*self.at_door, *self.in_room, *self.requests), start=1))


@dataclass(frozen=True, slots=True)
class Packet:
    """All that is printed for one evening."""

    script: Script
    sheets: tuple[Sheet, ...]  # of chairs
    desks: tuple[DeskSheet, ...]  # one of each other role
    injects: tuple[Inject, ...]
    clock: tuple[tuple[int, int], ...]  # minutes since the rehearsal began, and the night's time, ms


def packet(script: Script, seats: int) -> Packet:
    """The paper of so many chairs and of one of each other role. InputError where the night has fewer precincts."""
    if seats > len(script.sites):
        raise InputError(f"--seats {seats}: this night has {len(script.sites)} precincts to rehearse")
    every = 5 if script.minutes <= 45 else 10
    minutes = range(0, script.minutes + 1, every)
    return Packet(
        script,
        tuple(_sheet(site, f"chair-{number}") for number, site in enumerate(script.sites[:seats], start=1)),
        desk_sheets(script, seats),
        (*from_scenario(script.scenario), *catalog()),
        tuple((minute, script.begins_ms + int(minute * MINUTE * script.speed)) for minute in minutes),
    )


def _sheet(site: PrecinctScript, seat: str) -> Sheet:
    return Sheet(
        seat=seat,
        precinct=site,
        at_door=(*site.at_door, site.line_at_seven),
        opening=ChairSeat(site, seat).opening(site.call_to_order_ms),
        in_room=site.after_freeze,
        requests=site.requests,
        heads=_heads(site.counts[0], say("Heads counted")),
        first=_board(site, site.tellers, say("The tellers say")),
        final=_board(site, site.tellers_at_end, say("The tellers say")),
        key=tuple(_key(site)),
    )


def _heads(sections: Sequence[int], title: Text) -> Table:
    rows = tuple((LETTERS[i], people) for i, people in enumerate(sections))
    return Table(title, (say("Section"), say("People")), rows)


def _board(site: PrecinctScript, people: Mapping[str, int], title: Text) -> Table:
    rows = tuple((group_label(group), people[group]) for group in site.groups)
    return Table(title, (say("Group"), say("People")), rows)


# What is right


def _key(site: PrecinctScript) -> Iterator[Line]:
    yield Line(
        say("Call to order"),
        worksheet_steps.joined(
            [say("Elect a permanent chair and a secretary"), say("Read the rules of the evening aloud")]
        ),
        citations=(citations.OPENING,),
    )
    again: tuple[Text, ...] = ()
    if site.count_is_off:
        again = (
            say("The room is counted again. This time the number is another one."),
            Text("{sections}", {"sections": _sections(site.counts[-1])}),
        )
    yield Line(say("People in the room, and N"), _number(site.attendance), tell=again, citations=(citations.FROZEN,))
    if not site.ballot:
        yield Line(
            say("Threshold"),
            _number(site.threshold),
            (worksheet_steps.threshold_worked(site.delegates, site.attendance),),
            citations=(citations.threshold(site.delegates),),
        )
    yield Line(
        say("Votes") if site.ballot else say("First alignment"),
        worksheet_steps.of_groups(site.first),
        tell=_again(site.tellers, site.first),
        citations=(citations.BALLOT,) if site.ballot else (),
    )
    if not site.ballot:
        if site.delegates > 1:
            yield from _after_realignment(site)
        yield _award(site)
    captains = [
        say("{name}, captain of {group}", name=site.captains[group], group=group_label(group))
        for group in site.viable_at_end
    ]
    yield Line(
        say("Signatures"),
        worksheet_steps.joined([say("The chair"), say("The secretary"), *captains]),
        citations=(citations.SIGNED,),
    )
    yield Line(
        say("Report"),
        say("The signed worksheet, number by number; code {code}, PIN {pin}.", code=site.code, pin=site.pin),
        citations=(citations.SAME, citations.FALLBACK),
    )


def _after_realignment(site: PrecinctScript) -> Iterator[Line]:
    yield Line(
        say("Viable groups"),
        _groups(site.viable),
        citations=(citations.threshold(site.delegates),),
    )
    yield Line(
        say("Final alignment"),
        worksheet_steps.of_groups(site.final),
        (say_many("{count} person went home.", "{count} people went home.", gone),)
        if (gone := site.attendance - sum(site.final.values()))
        else (),
        tell=_again(site.tellers_at_end, site.final),
        citations=(citations.FINAL,) if site.free else (citations.FINAL, citations.LOCKED),
    )


def _award(site: PrecinctScript) -> Line:
    table = worksheet_steps.award_table(site.final, site.delegates, site.attendance)
    awarded = {group: seats for group, seats in site.award.items() if seats}
    coin: tuple[Text, ...] = ()
    if site.tied:
        coin = (say("The coin favors: {groups}.", groups=worksheet_steps.listed(site.luckier)),)
    others = outcomes(list(site.final.values()), site.delegates, site.attendance).awards
    worked = worksheet_steps.award_worked(site.final, site.delegates, site.attendance)
    if site.tied and len(others) > 1:
        worked = (*worked, say("With another coin the award would be another one, and as lawful."))
    return Line(
        say("Delegates"),
        worksheet_steps.of_groups(awarded) if awarded else say("nobody"),
        worked,
        (table,) if table else (),
        coin,
        worksheet_steps.citations_of(site.final, site.delegates, site.attendance),
    )


def _again(told: Mapping[str, int], right: Mapping[str, int]) -> tuple[Text, ...]:
    """What the tellers say when they are asked to count again."""
    wrong = {group: right[group] for group in right if told[group] != right[group]}
    if not wrong:
        return (say("The tellers count again. It is the same."),)
    return (
        say("The tellers count again. One of them had counted somebody twice."),
        worksheet_steps.of_groups(wrong),
    )


def _number(value: int) -> Text:
    return Text("{value}", {"value": value})


def _sections(counts: Iterable[int]) -> str:
    return ", ".join(f"{LETTERS[i]} {people}" for i, people in enumerate(counts))


def _groups(groups: Sequence[str]) -> Text:
    return worksheet_steps.listed(groups) if groups else say("nobody")
