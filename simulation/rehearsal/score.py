"""Scores: what a person did, what would have been right, and the law that says so. Nobody is failed by the clock alone.

An item is "right", "wrong", "late" (done, but after the time that it should take), "open" (the evening did not come so
far) or "none" (it did not come up). An error counts where it was made: items that only follow from it say so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from simulation.rehearsal import citations
from simulation.rehearsal.chair import ChairSeat
from simulation.rehearsal.checkin import CheckinSeat
from simulation.rehearsal.figures import differences
from simulation.rehearsal.seat import Mistake, Seat
from simulation.rehearsal.view import Text, say, say_many
from simulation.rehearsal.worksheet_steps import listed, of_groups
from simulation.rules import Status
from simulation.rules.record import VIABLE_GROUP_SHRANK, check
from simulation.scenario.values import MINUTE

if TYPE_CHECKING:
    from simulation.rehearsal.desk import Work
    from simulation.rehearsal.headquarters import Report
    from simulation.rehearsal.script import PrecinctScript
    from simulation.rehearsal.world import Figures

Result = Literal["right", "wrong", "late", "open", "none"]

FALLBACK_MS = 10 * MINUTE  # of the night's clock

RESULTS: Mapping[Result, Text] = {
    "right": say("right"),
    "wrong": say("wrong"),
    "late": say("late"),
    "open": say("not reached"),
    "none": say("did not come up"),
}

# Kinds of mistakes, and what they are called.
KINDS: Mapping[str, Text] = {
    "case": say("A decision against the rules"),
    "closed_early": say("The doors were closed early"),
    "opening": say("The call to order left something out"),
    "count": say("The count was wrong"),
    "frozen_n": say("N was wrong"),
    "threshold": say("The threshold was wrong"),
    "viable_groups": say("The wrong groups were held viable"),
    "first_counts": say("The first alignment was written down wrongly"),
    "final_counts": say("The final alignment was written down wrongly"),
    "toss": say("The coin was tossed wrongly, or not at all"),
    "delegates": say("The delegates were wrong"),
    "worksheet_copy": say("The worksheet was not what was announced"),
    "unsigned": say("The worksheet was not signed by all"),
    "unsigned_change": say("The worksheet was changed without new signatures"),
    "pin": say("The PIN was typed wrongly"),
    "refused": say("The app refused too many delegates"),
    "report_differs": say("The report was not the worksheet"),
    "went_home": say("The chair went home without a report"),
    "checked_in": say("The number of people who checked in was wrong"),
    "keying": say("A number was typed otherwise than said"),
    "hung_up": say("A caller with a report was cut off"),
    "advice": say("A caller was told the wrong thing"),
    "released": say("A report with an error was let through"),
    "sent_back": say("A right report was sent back"),
}
# Mistakes that change the numbers of a result: those that somebody should catch before release.
IN_THE_NUMBERS = frozenset(
    {
        *("count", "frozen_n", "threshold", "viable_groups", "first_counts", "final_counts", "toss", "delegates"),
        *("worksheet_copy", "report_differs", "refused", "keying"),
    }
)


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that is scored."""

    id: str
    label: Text
    result: Result
    value: Text
    right: Text
    citation: Text
    because: Text | None = None  # the error, made before, from which this one follows

    def as_json(self) -> dict[str, Any]:
        """For `caucus debrief --json`."""
        return {
            "id": self.id,
            "label": self.label.english(),
            "result": self.result,
            "value": self.value.english(),
            "right": self.right.english(),
            "citation": self.citation.english(),
            "because": self.because.english() if self.because else None,
        }


def text(value: Text | str | int) -> Text:
    """Anything as a text."""
    return value if isinstance(value, Text) else Text("{value}", {"value": value})


def score(seat: Seat, now_ms: int, held: Iterable[Report] = ()) -> tuple[Item, ...]:
    """The items of a seat at a precinct. `held`: headquarters' reports of this seat, in order, where there are any."""
    if isinstance(seat, ChairSeat):
        return _of_chair(seat, now_ms, tuple(held))
    assert isinstance(seat, CheckinSeat)
    return _of_checkin(seat)


def desk_items(work: Sequence[Work], mistakes: Iterable[Mistake]) -> tuple[Item, ...]:
    """The items of a desk at headquarters: what was typed as it was said, and what was decided."""
    fields = sum(one.fields for one in work)
    wrong = sum(one.wrong for one in work)
    others = [mistake for mistake in mistakes if mistake.kind != "keying"]
    typed = Item(
        "typed_as_said",
        say("Typed as it was said"),
        "none" if not fields else "wrong" if wrong else "right",
        say("{right} of {count} numbers", right=fields - wrong, count=fields),
        say("{count} of {count} numbers", count=fields),
        citations.SAME,
    )
    decided = Item(
        "decisions",
        say("Decisions at the desk"),
        "wrong" if others else "right" if work else "none",
        say_many("{count} against the rules", "{count} against the rules", len(others)),
        say("none against the rules"),
        text(others[0].citation) if others else citations.REPORT,
    )
    return typed, decided


def valid(figures: Figures, precinct: PrecinctScript) -> bool:
    """Whether headquarters' checks find nothing wrong with a report."""
    groups = precinct.groups
    final = [figures.final.get(group, 0) for group in groups]
    if precinct.ballot:
        return 0 < sum(final) <= figures.attendees
    first = [figures.first_alignment.get(group, 0) for group in groups]
    awarded = [figures.delegates.get(group, 0) for group in groups]
    if sum(first) != figures.attendees:
        return False
    found = check(first, final, awarded, precinct.delegates)
    if precinct.free:
        found &= ~VIABLE_GROUP_SHRANK  # in 2016 anybody may move
    if precinct.status in {Status.BY_POLICY, Status.NO_AWARD} and dict(zip(groups, awarded, strict=True)) in [
        dict(award) for award in precinct.awards
    ]:
        return True  # the law has no answer here; the named policy has, or nobody is elected
    return found == 0


# The chair


def _of_chair(seat: ChairSeat, now_ms: int, held: tuple[Report, ...]) -> tuple[Item, ...]:
    frozen = _frozen(seat)
    found = [_decisions(seat), frozen]
    wrong_n = say("the wrong N") if frozen.result == "wrong" else None
    if not seat.precinct.ballot:
        viability = _viability(seat, wrong_n)
        found += [viability, _delegates(seat, wrong_n)]
    found += [
        _worksheet(seat),
        _signatures(seat),
        _valid_report(seat, now_ms, held),
        _fallback(seat, now_ms),
        _caught(seat, held),
    ]
    return tuple(found)


def _decisions(seat: Seat) -> Item:
    """Cases that came up, at the first try; those that nobody answered are not held against anybody."""
    wrong = [mistake for mistake in seat.mistakes if mistake.kind in {"case", "closed_early", "opening"}]
    count = len(seat.answers) + sum(1 for mistake in wrong if mistake.kind != "case")
    if isinstance(seat, ChairSeat) and not any(mistake.kind == "opening" for mistake in wrong):
        count += seat.order().index(seat.stage) >= 2 and "call_to_order" not in seat.skipped
    return Item(
        "decisions",
        say("Decisions in the room"),
        "open" if not count else "wrong" if wrong else "right",
        say("{right} of {count} by the rules", right=count - len(wrong), count=count),
        say("{count} of {count} by the rules", count=count),
        wrong[0].citation if wrong else citations.IN_LINE,
    )


def _skipped(seat: ChairSeat, stage: str) -> bool:
    """Whether somebody else did this before the person came."""
    return stage in seat.skipped


def _frozen(seat: ChairSeat) -> Item:
    right = seat.precinct.attendance
    result: Result = "open" if seat.n is None else "right" if seat.n == right else "wrong"
    if _skipped(seat, "freeze") and result == "right":
        result = "none"
    return Item(
        "frozen_n",
        say("N frozen right"),
        result,
        say("not frozen") if seat.n is None else text(seat.n),
        text(right),
        citations.FROZEN,
    )


def _viability(seat: ChairSeat, wrong_n: Text | None) -> Item:
    precinct = seat.precinct
    result: Result = "open"
    value = say("not announced")
    right = _needing(precinct.threshold, precinct.viable)
    if precinct.delegates == 1:
        right = say("no threshold")
    if seat.threshold is not None:
        value = say_many("{count} person", "{count} people", seat.threshold)
        complete = precinct.delegates == 1 or seat.viable is not None
        if precinct.delegates > 1 and seat.viable is not None:
            in_order = [group for group in precinct.groups if group in seat.viable]
            value = _needing(seat.threshold, in_order)
        as_it_should = seat.threshold == precinct.threshold and (
            precinct.delegates == 1 or seat.viable is None or seat.viable == frozenset(precinct.viable)
        )
        result = "wrong" if not as_it_should else "right" if complete else "open"
        if result == "right" and _skipped(seat, "first_alignment"):
            result = "none"
    follows = wrong_n if result == "wrong" and not _made(seat, "threshold", "viable_groups") else None
    cited = citations.threshold(precinct.delegates)
    return Item("viability", say("Viability right"), result, value, right, cited, follows)


def _delegates(seat: ChairSeat, wrong_n: Text | None) -> Item:
    """By the worksheet, which binds, or as announced where there is none yet."""
    precinct = seat.precinct
    award = seat.worksheet.delegates if seat.worksheet is not None else seat.award
    tossed = not precinct.tied or set(seat.tossed) == set(precinct.tied)
    result: Result = "open"
    because = None
    if award is not None:
        given = {group: award.get(group, 0) for group in precinct.groups}
        result = "right" if given == dict(precinct.award) and tossed else "wrong"
        if result == "right" and _skipped(seat, "delegates"):
            result = "none"
        if result == "wrong" and not _made(seat, "delegates", "toss", "worksheet_copy"):
            because = wrong_n or say("the wrong counts")
    return Item(
        "delegates",
        say("Delegates right"),
        result,
        say("not announced") if award is None else _counts(award, precinct.groups),
        _counts(precinct.award, precinct.groups),
        citations.COIN if award is not None and not tossed else citations.AWARD,
        because,
    )


def _worksheet(seat: ChairSeat) -> Item:
    result: Result = "open"
    value = say("not reported")
    if seat.reported is not None and seat.worksheet is not None:
        wrong = differences(seat.reported, seat.worksheet, seat.precinct.groups)
        result = "wrong" if wrong else "right"
        labels = {"attendees": say("N")} | seat.figure_labels()
        value = say_many("{count} number differs", "{count} numbers differ", len(wrong))
        if wrong:
            name, reported, written = wrong[0]
            value = say(
                "{numbers}; {field} was reported as {reported}, and is {written} on the worksheet",
                numbers=value,
                field=labels[name],
                reported=reported,
                written=written,
            )
    label = say("The report is the worksheet")
    return Item("worksheet_equals_report", label, result, value, say("no number differs"), citations.SAME)


def _signatures(seat: ChairSeat) -> Item:
    """Wrong where numbers left the precinct that nobody had signed as they stood."""
    bad = []
    for mistake in seat.mistakes:
        if mistake.kind in {"unsigned", "unsigned_change"}:
            until = mistake.corrected_ms
            left = [one for one in seat.reporting.reports if until is None or mistake.at_ms <= one.at_ms < until]
            if until is None or left:
                bad.append(mistake)
    result: Result = "wrong" if bad else "right" if seat.signed is not None else "open"
    if result == "right" and _skipped(seat, "worksheet") and not seat.typed.get("worksheet"):
        result = "none"
    value = KINDS[bad[0].kind] if bad else say("signed as it stands") if result != "open" else say("not signed yet")
    return Item(
        "no_unsigned_change", say("No unsigned change"), result, value, say("signed as it stands"), citations.SIGNED
    )


def _first_valid_ms(seat: ChairSeat, held: tuple[Report, ...]) -> int | None:
    """When headquarters had a report in which its checks find nothing."""
    if held:
        times = [one.at_ms for one in held if valid(one.said, seat.precinct)]
    else:
        times = [one.at_ms for one in seat.reporting.reports if one.arrived and valid(one.figures, seat.precinct)]
    return min(times, default=None)


def _valid_report(seat: ChairSeat, now_ms: int, held: tuple[Report, ...]) -> Item:
    """From the signed worksheet on; a time is told, and not judged."""
    began = seat.since_ms.get("report")
    at = _first_valid_ms(seat, held)
    right = say("a report that the checks of headquarters pass")
    result: Result = "open"
    value = say("no report yet")
    if at is not None and began is not None:
        result = "right"
        value = say_many("after {count} minute", "after {count} minutes", max(0, at - began) // MINUTE)
    elif seat.reporting.reports:
        result = "wrong"
        arrived = bool(held) or any(one.arrived for one in seat.reporting.reports)
        value = (
            say("a report that is not valid") if arrived else say("the app said thank you, headquarters got nothing")
        )
        if not arrived:
            result = "open"  # nobody told the chair
    elif _made(seat, "went_home"):
        result, value = "wrong", say("went home without a report")
    elif began is not None:
        value = say_many(
            "no report after {count} minute", "no report after {count} minutes", (now_ms - began) // MINUTE
        )
    return Item("valid_report", say("Time to a valid report"), result, value, right, citations.REPORT)


def _fallback(seat: ChairSeat, now_ms: int) -> Item:
    reporting = seat.reporting
    failed, other = reporting.app_failed_ms, reporting.other_way_ms
    right = say("within 10 minutes")
    label = say("Another way taken in time")
    if failed is None:
        return Item("fallback", label, "none", say("the app did not fail"), right, citations.FALLBACK)
    reported = min((one.at_ms for one in reporting.reports), default=None)
    ways = [at for at in (other, reported) if at is not None]
    result: Result
    if ways:
        took = max(0, min(ways) - failed)
        result = "right" if took <= FALLBACK_MS else "late"
        value = say_many("after {count} minute", "after {count} minutes", took // MINUTE)
    else:
        waited = (seat.since_ms.get("done", now_ms) if seat.done else now_ms) - failed
        gave_up = seat.done or waited > FALLBACK_MS
        result = "wrong" if gave_up else "open"
        value = say_many("not after {count} minute", "not after {count} minutes", max(0, waited) // MINUTE)
    return Item("fallback", label, result, value, right, citations.FALLBACK)


def _caught(seat: ChairSeat, held: tuple[Report, ...]) -> Item:
    """Errors in the numbers that were put right before the result was released: by the chair, or by headquarters."""
    released = max((one.released_ms for one in held if one.released_ms is not None), default=None)
    errors = [mistake for mistake in seat.mistakes if mistake.kind in IN_THE_NUMBERS]
    at_headquarters = sum(one.caught.count("chair") for one in held)  # the others are headquarters' own
    caught = [
        mistake
        for mistake in errors
        if mistake.corrected_ms is not None and (released is None or mistake.corrected_ms <= released)
    ]
    open_ones = len(errors) - len(caught)
    by_them = min(open_ones, at_headquarters)
    left = open_ones - by_them
    result: Result = "none" if not errors else "right" if not left else "wrong" if released is not None else "open"
    if errors and left and released is None and not held and seat.reporting.reports:
        result = "wrong"
    return Item(
        "caught_before_release",
        say("Errors caught before release"),
        result,
        say("{caught} of {count}", caught=len(errors) - left, count=len(errors)),
        say("{count} of {count}", count=len(errors)),
        citations.SIGNED,
    )


def _of_checkin(seat: CheckinSeat) -> tuple[Item, ...]:
    given, right = seat.handed_over, seat.precinct.attendance
    result: Result = "open" if given is None else "right" if given == right else "wrong"
    value = say("not told") if given is None else text(given)
    label = say("The number that checked in")
    return _decisions(seat), Item("checked_in", label, result, value, text(right), citations.CHECKED_IN)


def _made(seat: Seat, *kinds: str) -> list[Mistake]:
    """Mistakes of these kinds that are still open."""
    return [mistake for mistake in seat.mistakes if mistake.kind in kinds and mistake.corrected_ms is None]


def _needing(threshold: int, groups: Sequence[str]) -> Text:
    """How many people a group needs, and which groups have them."""
    return say_many("{count} person: {groups}", "{count} people: {groups}", threshold, groups=_named(groups))


def _named(groups: Sequence[str]) -> Text:
    return listed(groups) if groups else say("nobody")


def _counts(counts: Mapping[str, int], groups: Iterable[str]) -> Text:
    there = {group: counts[group] for group in groups if counts.get(group)}
    return of_groups(there) if there else say("nobody")
