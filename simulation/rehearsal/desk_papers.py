"""The other seats of an evening on paper: check-in lead, hotline operator, data entry, reviewer.

Numbers are those of the simulated night: what chairs of other precincts wrote, and how it was mistyped. Only where a
small night has no such precinct something is made wrong here. Knows nothing of HTML.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from simulation.night import Luck
from simulation.night.order import Channel
from simulation.night.setting import Setting
from simulation.rehearsal import citations, worksheet_steps
from simulation.rehearsal.answer_key import decision
from simulation.rehearsal.checkin import CheckinSeat
from simulation.rehearsal.desk import ADVICE, ANOTHER_WAY, AS_SIGNED, COMPARE, DECISIONS, decisions
from simulation.rehearsal.figures import codes, differences, figures_of, keyed
from simulation.rehearsal.findings import findings
from simulation.rehearsal.script import group_label
from simulation.rehearsal.view import Table, Text, say
from simulation.rehearsal.world import Figures
from simulation.scenario.values import format_clock

if TYPE_CHECKING:
    from simulation.rehearsal.cases import Case
    from simulation.rehearsal.script import PrecinctScript, Script

_PARTS = {"first": say("First alignment"), "final": say("Final alignment"), "delegates": say("Delegates")}


@dataclass(frozen=True, slots=True)
class Task:
    """One thing to do at a desk, and the trainer's key to it."""

    title: Text
    story: tuple[Text, ...]
    right: Text
    tables: tuple[Table, ...] = ()
    options: tuple[Text, ...] = ()  # to tick one of
    form: bool = False  # a blank form of the hotline to write in
    write: Text | None = None  # what is to be written on a line
    read: tuple[Table, ...] = ()  # what the trainer reads aloud, as a caller
    tell: tuple[Text, ...] = ()  # and how
    worked: tuple[Text, ...] = ()
    citations: tuple[Text, ...] = ()

    @property
    def answer(self) -> int | None:
        """Which of the options is right; None where there are none."""
        return self.options.index(self.right) if self.options else None


@dataclass(frozen=True, slots=True)
class DeskSheet:
    """A seat that is no chair's, on paper."""

    seat: str  # as on the screen
    role: str
    precinct: str  # "" at headquarters
    intro: tuple[Text, ...]
    cases: tuple[tuple[int, Case], ...]
    tasks: tuple[tuple[int, Task], ...]  # numbered on from the cases


@dataclass(frozen=True, slots=True)
class _Record:
    """A precinct's result on its way: what its chair signed, what was typed, and what the checks find in that."""

    site: PrecinctScript
    said: Figures
    typed: Figures
    codes: tuple[str, ...]
    slips: tuple[tuple[str, int, int], ...]  # fields that were mistyped: (field, typed, right)


def desk_sheets(script: Script, chairs: int) -> tuple[DeskSheet, ...]:
    """One of each role. Headquarters works on precincts that no printed chair has, as long as there are others."""
    night = _Night(script, (*script.sites[chairs:], *reversed(script.sites[:chairs])))
    return (
        _checkin(script.sites[0]),
        _sheet("operator", _OPERATOR, _calls(night)),
        _sheet("entry", _ENTRY, _entries(night)),
        _sheet("reviewer", _REVIEWER, _reviews(night)),
    )


def _sheet(role: str, intro: Sequence[Text], tasks: Iterable[Task]) -> DeskSheet:
    return DeskSheet(f"{role}-1", role, "", tuple(intro), (), tuple(enumerate(tasks, start=1)))


_OPERATOR = (
    say("Callers are read to you by the trainer, or by a neighbor with the key."),
    say("Write down what you hear, read every number back, and ask again where something does not add up."),
)
_ENTRY = (
    say("On your desk lie reports that operators have typed, each with a photo of its worksheet."),
    say("Compare number by number. Circle what differs. Not every report is wrong."),
)
_REVIEWER = (
    say("These reports were stopped: the checks found something, or the two entries differ."),
    say("The chair is on the line and reads you the worksheet. Tick what you do."),
)


# The night


class _Night:
    """Records of this night, each given away once, as long as there are enough."""

    def __init__(self, script: Script, sites: Sequence[PrecinctScript]) -> None:
        luck = Luck(script.seed, script.night, script.scenario.spec.clock.resolution)
        self.setting = Setting(script.scenario, luck)
        self.ballot = self.setting.ballot
        written, wrong = self.setting.worksheets
        self.erred = {site.site for site in sites if wrong[site.site]}
        self._left = []
        for site in sites:
            said = figures_of(self.setting, written[site.site], site.attendance)
            self._left.append(self.record(site, said, keyed(self.setting, site.site, said, Channel.PHONE)))
        self._given: list[_Record] = []

    def record(self, site: PrecinctScript, said: Figures, typed: Figures) -> _Record:
        """A result, with what the checks say of it as it was typed."""
        slips = differences(typed, said, self.setting.groups)  # in groups, too, that nobody there stood for
        return _Record(site, said, typed, codes(self.setting, typed, site.delegates), tuple(slips))

    def right(self) -> _Record:
        """A result in which everybody was right; a small night's is put right."""
        return self._next(
            lambda one: not one.slips and not one.codes,
            lambda one: self.record(one.site, one.site.figures, one.site.figures),
        )

    def mistyped(self, *, stopped: bool = False, left_out: bool = True) -> _Record:
        """A right worksheet of which one number was mistyped.

        `stopped`: so that the checks find it. `left_out`: or not typed at all.
        """

        def fits(one: _Record) -> bool:
            wrong = [typed for _, typed, _ in one.slips]
            found = bool(one.codes) or not stopped
            return len(wrong) == 1 and one.site.site not in self.erred and found and (left_out or wrong != [0])

        return self._next(fits, lambda one: self.record(one.site, one.said, _slipped(one.said, self.ballot)))

    def against_a_rule(self) -> _Record:
        """A worksheet that breaks a rule, typed as it stands."""

        def made(one: _Record) -> _Record:
            most = max(one.site.groups, key=lambda group: one.said.delegates.get(group, 0))
            awarded = {**one.said.delegates, most: one.said.delegates.get(most, 0) + 1}
            wrong = replace(one.said, delegates=awarded)
            return self.record(one.site, wrong, wrong)

        return self._next(lambda one: one.site.site in self.erred and not one.slips and bool(one.codes), made)

    def _next(self, fits: Callable[[_Record], bool], made: Callable[[_Record], _Record]) -> _Record:
        """The first that fits; where there is none, one is made to fit. A very small night gives the same again."""
        if not self._left:
            self._left, self._given = self._given, []
        found = next((one for one in self._left if fits(one)), self._left[0])
        self._left.remove(found)
        self._given.append(found)
        return found if fits(found) else made(found)


def _slipped(said: Figures, ballot: bool) -> Figures:
    """With one number of the largest group mistyped: its last two digits exchanged, or ten too many."""
    counts = dict(said.final if ballot else said.first_alignment)
    group = max(counts, key=lambda one: counts[one])
    tens, ones = counts[group] // 10 % 10, counts[group] % 10
    exchanged = counts[group] + 9 * (ones - tens)
    counts[group] = exchanged if tens not in (0, ones) else counts[group] + 10
    return replace(said, final=counts) if ballot else replace(said, first_alignment=counts)


# Check-in


def _checkin(site: PrecinctScript) -> DeskSheet:
    cases = tuple(enumerate((*site.at_check_in, site.line_at_seven), start=1))
    step = CheckinSeat(site, "checkin-1").adding_up()
    added = " + ".join(str(people) for people in site.sheets)
    task = Task(
        step.title,
        step.story,
        _number(site.attendance),
        step.tables,
        write=step.fields[0].label,
        worked=(Text("{sum} = {total}.", {"sum": added, "total": site.attendance}),),
        citations=step.citations,
    )
    intro = (
        say("You lead check-in in the precinct {precinct}.", precinct=site.name),
        say(
            "The call to order is at {time}. Until then people may get in line.",
            time=format_clock(site.call_to_order_ms),
        ),
    )
    return DeskSheet("checkin-1", "checkin", site.name, intro, cases, ((len(cases) + 1, task),))


# The hotline


def _calls(night: _Night) -> Iterator[Task]:
    plain, misread = night.right(), night.mistyped(left_out=False)
    for record in (plain, misread):
        site = record.site
        caller = say(
            "“This is {precinct}, site code {code}, PIN {pin}. I have a result to report.”",
            precinct=site.name,
            code=site.code,
            pin=site.pin,
        )
        how = [
            say(
                "Misread one number: {field}, say {wrong}. When it is read back to you: “No, {right}.”",
                field=_field(name, night.ballot),
                wrong=wrong,
                right=right,
            )
            for name, wrong, right in record.slips
        ]
        yield Task(
            say("A report"),
            (),
            say("The form says what the table says."),
            form=True,
            read=(_table(night, record.said, say("What the caller reads")),),
            tell=(caller, say("“We counted {people} people.”", people=record.said.attendees)),
            worked=(*how, say("Who does not read it back keeps the wrong number.")) if how else (),
            citations=(AS_SIGNED,),
        )
    asks = night.right().site
    options = [one.label for one in ADVICE]
    at = asks.site % len(options)
    yield Task(
        say("A call for help"),
        (say("“This is {precinct}. The app does not take my PIN. What now?”", precinct=asks.name),),
        ADVICE[0].label,
        options=(*options[at:], *options[:at]),
        citations=(ANOTHER_WAY,),
    )


# Data entry


def _entries(night: _Night) -> Iterator[Task]:
    records = [night.mistyped(), night.right(), night.right()]
    at = records[0].site.site % len(records)
    for record in (*records[at:], *records[:at]):
        wrong = _told(record.slips, night.ballot)
        yield Task(
            Text("{precinct}", {"precinct": record.site.name}),
            (say("{people} people were counted.", people=record.typed.attendees),),
            worksheet_steps.joined(wrong) if wrong else say("Nothing differs."),
            (
                _table(night, record.typed, say("What the operator wrote"), record.said),
                _table(night, record.said, say("The photo of the worksheet"), record.typed),
            ),
            write=say("What differs"),
            citations=(AS_SIGNED,),
        )


# Review


def _reviews(night: _Night) -> Iterator[Task]:
    """What the checks let through is not here: after a secret ballot only two entries that differ."""
    differ = night.mistyped()
    records: list[tuple[_Record, Figures | None, bool]] = [(differ, differ.said, False)]
    if differ.site.site % 2:  # the first entry is the right one
        records = [(night.record(differ.site, differ.said, differ.said), differ.typed, False)]
    if not night.ballot:
        typo, rule, stands = night.mistyped(stopped=True), night.against_a_rule(), night.against_a_rule()
        records = [(typo, None, False), (rule, None, False), *records, (stands, None, True)]
    for record, again, asked in records:
        story = [say("Counted: {people} people.", people=record.typed.attendees), *findings(record.codes)]
        both = (record.said, record.typed, again or record.typed)
        tables = [_table(night, record.typed, say("First entry"), *both)]
        if again is not None:
            tables.append(_table(night, again, say("Second entry"), *both))
            story.append(say("The two entries differ."))
        if asked:
            story.append(say("The chair was called about it before, and stands by what was signed."))
        tables.append(_table(night, record.said, say("The worksheet, as the chair reads it to you"), *both))
        why = _told(differ.slips if again is not None else record.slips, night.ballot)
        if not why:
            why = [say("It was typed as it was signed. What breaks a rule is the worksheet.")]
        right = decision(record.typed, again, record.said, record.codes, asked)
        yield Task(
            Text("{precinct}", {"precinct": record.site.name}),
            tuple(story),
            DECISIONS[right],
            tuple(tables),
            options=tuple(DECISIONS[name] for name in decisions(again is not None)),
            worked=tuple(why),
            citations=(COMPARE, citations.SIGNED) if asked else (COMPARE,),
        )


# Figures


def _table(night: _Night, figures: Figures, title: Text, *beside: Figures) -> Table:
    """The figures of every group that has any, here or in what is printed beside it, and their sums."""
    parts = ["final"] if night.ballot else ["first", "final", "delegates"]
    counts = figures.rows()
    there = {
        group for one in (figures, *beside) for part in parts for group, count in one.rows()[part].items() if count
    }
    rows: list[tuple[Text | str | int, ...]] = [
        (group_label(group), *(counts[part].get(group, 0) for part in parts))
        for group in night.setting.groups
        if group in there
    ]
    rows.append((say("Together"), *(sum(counts[part].values()) for part in parts)))
    return Table(title, (say("Group"), *(_part(part, night.ballot) for part in parts)), tuple(rows))


def _told(slips: Iterable[tuple[str, int, int]], ballot: bool) -> list[Text]:
    return [
        say("{field}: {wrong} instead of {right}.", field=_field(name, ballot), wrong=wrong, right=right)
        for name, wrong, right in slips
    ]


def _field(name: str, ballot: bool) -> Text:
    part, _, group = name.partition(".")
    return say("{part}: {group}", part=_part(part, ballot), group=group_label(group))


def _part(name: str, ballot: bool) -> Text:
    return say("Votes") if ballot else _PARTS[name]


def _number(value: int) -> Text:
    return Text("{value}", {"value": value})
