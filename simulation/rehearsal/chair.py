"""The chair's seat: a precinct's evening from the open doors to a result that headquarters has.

Wrong answers are accepted as life does, and have consequences; the room of the script stays as it is, so that page and
paper share one answer key. What is shown stands in `chair_steps`, reporting in `reporting`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from simulation.rehearsal import citations, worksheet_steps
from simulation.rehearsal.chair_steps import (
    CALL_TO_ORDER,
    CHAIR,
    COUNT,
    DELEGATES,
    DONE,
    DOORS,
    FIRST,
    FREEZE,
    LABELS,
    REALIGNMENT,
    REPORT,
    SECRETARY,
    STAGES,
    VIABILITY,
    WORKSHEET,
    ChairSteps,
)
from simulation.rehearsal.figures import differences
from simulation.rehearsal.findings import findings
from simulation.rehearsal.script import group_label
from simulation.rehearsal.seat import choices
from simulation.rehearsal.view import Button, Step, Text, say
from simulation.rehearsal.world import Figures, World
from simulation.rules.law import is_viable, threshold
from simulation.scenario.values import format_clock

__all__ = ["CHAIR", "LABELS", "SECRETARY", "STAGES", "ChairSeat"]

_MAY_GO_BACK = (COUNT, FREEZE, VIABILITY, FIRST, REALIGNMENT, DELEGATES)


class ChairSeat(ChairSteps):
    """A person who chairs a precinct."""

    def advance(self, at_ms: int, world: World) -> None:
        """Let time pass: a call that was answered, a report that was typed."""
        if self.reporting.dialed_ms:
            self.reporting.advance(self, at_ms, world)

    def affected(self, effect: str, data: Mapping[str, object], at_ms: int) -> bool:
        """An inject reaches this seat. False where it changes nothing here."""
        if effect == "count_mismatch":
            if self.n is not None or self.done:
                return False
            right = self.precinct.counts[-1]
            self.extra_count = (right[0] + 2, *right[1:])
            self.shown_count = 0
            return True
        if effect == "called_back":
            return self._called_back(data, at_ms)
        too_early = {"latecomer": self.n is None, "wrong_tool": self.threshold is None}
        if too_early.get(effect) or (effect in too_early and self.signed is not None):
            return False
        if effect in {"headquarters_corrects", "called_again"}:
            return self.signed is not None and self.asked(effect)
        return super().affected(effect, data, at_ms)

    def _called_back(self, data: Mapping[str, object], at_ms: int) -> bool:
        """Headquarters' checks found something in the report: the chair is called."""
        codes = data.get("codes")
        found = findings([str(code) for code in codes]) if isinstance(codes, list | tuple) else ()
        if self.worksheet is None:
            return False
        if self.stage == DONE:
            self.go(REPORT, at_ms)
        self.told_at = "paper"
        self.told = (say("Headquarters calls: something in your report cannot be right."), *found)
        self.called_back_ms = (*self.called_back_ms, at_ms)
        return True

    def _steps(self, at_ms: int, world: World) -> Iterable[Step]:
        if self.waiting and self.stage != REPORT:
            return
        make = {
            DOORS: self._doors,
            CALL_TO_ORDER: self.opening,
            COUNT: self._count,
            FREEZE: self._freeze,
            VIABILITY: self._viability,
            FIRST: self._first,
            REALIGNMENT: self._final,
            DELEGATES: self._delegates,
            WORKSHEET: self._worksheet,
        }
        if self.stage in make:
            yield make[self.stage](at_ms)
            earlier = [stage for stage in self.order() if stage in _MAY_GO_BACK]
            if self.stage in earlier or (self.stage == WORKSHEET and self.signed is None):
                before = earlier[: earlier.index(self.stage)] if self.stage in earlier else earlier
                if before:
                    yield Step(
                        "back",
                        say("Go back"),
                        (say("Nothing is signed yet. You may correct what was done before."),),
                        buttons=tuple(
                            Button(f"back:{stage}", say("Back to: {stage}", stage=self.label(stage)), "other")
                            for stage in before
                        ),
                    )
        elif self.stage == REPORT:
            yield from self.reporting.steps(self, at_ms, world)
            yield self._signed_worksheet()
        else:
            yield self._end()

    # What is done

    def _after_case(self, at_ms: int) -> None:
        if self.stage == DOORS and self.precinct.line_at_seven.id in self.answers:
            self.go(CALL_TO_ORDER, at_ms)

    def _doors_open(self) -> bool:
        return self.stage == DOORS

    def _do(self, name: str, rest: str, texts: Mapping[str, str], at_ms: int, world: World) -> None:
        protested, self.protested = self.protested, ""
        if name in {"app", "phone", "text", "finish"}:
            self.reporting.do(self, name, rest, texts, at_ms, world)
            return
        todo = {
            "close_early": self._do_close_early,
            "seven": self._do_seven,
            "open": self._do_open,
            "count": self._do_count,
            "recount": self._do_recount,
            "freeze": self._do_freeze,
            "announce": self._do_announce,
            "tellers": self._do_tellers,
            "write_first": self._do_write_first,
            "declare": self._do_declare,
            "write_final": self._do_write_final,
            "toss": self._do_toss,
            "award": self._do_award,
            "fill": self._do_fill,
            "sign": self._do_sign,
            "change": self._do_change,
            "reopen": self._do_reopen,
        }
        if name == "insist":
            self._do_insist(protested, at_ms)
        elif name == "back":
            self._do_back(rest, at_ms)
        else:
            todo[name](texts, at_ms)

    def _do_close_early(self, texts: Mapping[str, str], at_ms: int) -> None:  # noqa: ARG002  # as all of them
        starts = format_clock(self.precinct.call_to_order_ms)
        self.err("closed_early", format_clock(at_ms // 1000 * 1000), starts, citations.IN_LINE, at_ms, corrected=True)
        self.tell(
            say("People who came in time stand outside. They knock until you open again, and the line is let in.")
        )
        self.go(CALL_TO_ORDER, at_ms)

    def _do_seven(self, texts: Mapping[str, str], at_ms: int) -> None:  # noqa: ARG002  # as all of them
        if self.precinct.line_at_seven.id in self.answers:
            self.go(CALL_TO_ORDER, at_ms)
        else:
            self.waiting.append(self.precinct.line_at_seven)

    def _do_open(self, texts: Mapping[str, str], at_ms: int) -> None:
        chosen = choices(texts.get("first", ""), ("align", "elect", "report", "rules"))
        if "align" in chosen:
            self.tell(say("People begin to move before anybody was counted. You ask everybody to sit down again."))
        if "report" in chosen:
            self.tell(say("There is nothing to report yet. The hotline has one caller more."))
        if "elect" not in chosen:
            self.tell(say("Somebody asks who the secretary is. You catch up on the election."))
        if "rules" not in chosen:
            self.tell(say("Somebody asks what the rules are. You catch up on them."))
        if chosen != {"elect", "rules"}:
            labels = [option.label for option in self.opening(at_ms).fields[0].options if option.value in chosen]
            right = _both(say("Elect a permanent chair and a secretary"), say("Read the rules of the evening aloud"))
            self.err("opening", _all(labels), right, citations.OPENING, at_ms, corrected=True)
        self.go(COUNT, at_ms)

    def _do_count(self, texts: Mapping[str, str], at_ms: int) -> None:
        found = self.numbers({"counted": say("People in the room")}, texts)
        if found is None:
            return
        counted, checked_in = found["counted"], self.precinct.attendance
        if counted != checked_in:
            self.err("count", str(counted), str(checked_in), citations.CHECKED_IN, at_ms)
            if counted > checked_in:
                self.tell(say("The check-in lead wonders: {more} more than checked in.", more=counted - checked_in))
        else:
            self.mend("count", at_ms)
        self.counted = counted
        self.go(FREEZE, at_ms)

    def _do_recount(self, texts: Mapping[str, str], at_ms: int) -> None:  # noqa: ARG002  # as all of them
        before = self.sections()
        self.extra_count = None
        self.shown_count = min(self.shown_count + 1, len(self.precinct.counts) - 1)
        if sum(self.sections()) == sum(before):
            self.tell(say("The room is counted again. It is the same number."))
        else:
            self.tell(say("The room is counted again. This time the number is another one."))

    def _do_freeze(self, texts: Mapping[str, str], at_ms: int) -> None:
        found = self.numbers({"n": say("N")}, texts)
        if found is None:
            return
        first_time = self.n is None
        self.n = found["n"]
        if self.n != self.precinct.attendance:
            self.err("frozen_n", str(self.n), str(self.precinct.attendance), citations.FROZEN, at_ms)
            if self.n > self.precinct.attendance:
                self.tell(say("The check-in lead looks at the sheets and shakes her head."))
        else:
            self.mend("frozen_n", at_ms)
            self.mend("count", at_ms)
        if first_time:
            self.waiting.extend(self.precinct.after_freeze)
        self.go(self.following(), at_ms)

    def _do_announce(self, texts: Mapping[str, str], at_ms: int) -> None:
        found = self.numbers({"threshold": say("Threshold")}, texts)
        if found is None:
            return
        self.threshold = found["threshold"]
        right = threshold(self.precinct.delegates, self.n or 0)
        if self.threshold != right:
            self.err("threshold", str(self.threshold), str(right), citations.threshold(self.precinct.delegates), at_ms)
        else:
            self.mend("threshold", at_ms)
        self.go(FIRST, at_ms)

    def _do_tellers(self, texts: Mapping[str, str], at_ms: int) -> None:  # noqa: ARG002  # as all of them
        told, right = (
            (self.told_first, self.precinct.first) if self.stage == FIRST else (self.told_final, self.precinct.final)
        )
        if told == dict(right):
            self.tell(say("The tellers count again. It is the same."))
            return
        told.update(right)
        self.tell(say("The tellers count again. One of them had counted somebody twice."))

    def _written(self, row: str, texts: Mapping[str, str]) -> dict[str, int] | None:
        """The numbers of all groups in one row of the board."""
        labels = {f"{row}.{group}": group_label(group) for group in self.precinct.groups}
        found = self.numbers(labels, texts, tuple(labels))
        return None if found is None else {group: found[f"{row}.{group}"] for group in self.precinct.groups}

    def _do_write_first(self, texts: Mapping[str, str], at_ms: int) -> None:
        written = self._written("first", texts)
        if written is None:
            return
        self.first = written
        self._check_counts("first_counts", written, self.precinct.first, at_ms)
        if self.precinct.ballot or self.precinct.delegates == 1:
            self.final = dict(written)
            self.viable = frozenset(group for group, people in written.items() if people)
            self.go(self.following(), at_ms)

    def _check_counts(self, kind: str, written: Mapping[str, int], right: Mapping[str, int], at_ms: int) -> None:
        wrong = [group for group in right if written[group] != right[group]]
        if wrong:
            given = worksheet_steps.of_groups({group: written[group] for group in wrong})
            should = worksheet_steps.of_groups({group: right[group] for group in wrong})
            cited = citations.FROZEN if kind == "first_counts" else citations.FINAL
            self.err(kind, given, should, citations.BALLOT if self.precinct.ballot else cited, at_ms)
        else:
            self.mend(kind, at_ms)
        total = sum(written.values())
        if total > (self.n or 0):
            self.tell(
                say("The secretary adds up: {total} people in the groups, and N is {n}.", total=total, n=self.n or 0)
            )

    def _do_declare(self, texts: Mapping[str, str], at_ms: int) -> None:
        chosen = frozenset(choices(texts.get("viable", ""), self.precinct.groups))
        self.viable = chosen
        first, n, delegates = self.first or {}, self.n or 0, self.precinct.delegates
        right = frozenset(group for group, people in first.items() if is_viable(people, delegates, n))
        if chosen == right:
            self.mend("viable_groups", at_ms)
            self._begin_realignment(at_ms)
            return
        cited = citations.threshold(delegates)
        self.err("viable_groups", self._named(chosen), self._named(right), cited, at_ms)
        self.protested = "viable"
        for group in self.precinct.groups:
            if group in right - chosen:
                self.tell(
                    say(
                        "{name}, captain of {group}, protests: we are {people}, and that is enough.",
                        name=self.precinct.captains[group],
                        group=group_label(group),
                        people=first[group],
                    )
                )
            elif group in chosen - right:
                self.tell(
                    say(
                        "The other captains protest: {group} has {people}, and that is not enough.",
                        group=group_label(group),
                        people=first[group],
                    )
                )

    def _named(self, groups: Iterable[str]) -> Text:
        chosen = [group for group in self.precinct.groups if group in groups]
        return worksheet_steps.listed(chosen) if chosen else say("nobody")

    def _begin_realignment(self, at_ms: int) -> None:
        self._rule_on_viability()
        asked = set(self.answers) | {case.id for case in self.waiting}
        self.waiting.extend(case for case in self.precinct.requests if case.id not in asked)
        self.go(self.following(), at_ms)

    def _rule_on_viability(self) -> None:
        """What comes up now follows the room: who declared it otherwise is overruled first, and hears it."""
        declared, right = self.viable or frozenset(), frozenset(self.precinct.viable)
        rulings = [
            say("{group} is viable", group=group_label(group))
            if group in right
            else say("{group} is not viable", group=group_label(group))
            for group in self.precinct.groups
            if (group in declared) != (group in right)
        ]
        if rulings:
            self.tell(say("The county party rules: {rulings}.", rulings=worksheet_steps.joined(rulings)))

    def _do_write_final(self, texts: Mapping[str, str], at_ms: int) -> None:
        written = self._written("final", texts)
        if written is None:
            return
        self.final = written
        self._check_counts("final_counts", written, self.precinct.final, at_ms)
        self.go(self.following(), at_ms)

    def _do_toss(self, texts: Mapping[str, str], at_ms: int) -> None:
        tossing = choices(texts.get("toss", ""), self.precinct.groups)
        named = [group for group in self.precinct.groups if group in tossing]
        if not named:
            self.tell(say("Choose the groups that toss a coin."))
            return
        self.tossed = tuple(named)
        precinct = self.precinct
        if set(named) == set(precinct.tied):
            self.heads = precinct.luckier
            self.mend("toss", at_ms)
        else:
            self.heads = tuple(named[:1])
            self.err("toss", self._named(named), self._named(precinct.tied), citations.COIN, at_ms)
            self.tell(say("A captain asks: is there a tie between them?"))
        self.tell(say("The coin favors: {groups}.", groups=worksheet_steps.listed(self.heads)))

    def right_awards(self) -> tuple[Mapping[str, int], ...]:
        """The awards that the law allows for what stands on the board, after the coin where it was tossed rightly."""
        precinct = self.precinct
        if self.final == dict(precinct.final) and self.n == precinct.attendance:
            return (precinct.award,) if not precinct.tied or set(self.tossed) == set(precinct.tied) else precinct.awards
        worked = worksheet_steps.found(self.final or {}, precinct.delegates, self.n or 0)
        awards = (worked.awards or worked.by_policy or ()) if worked else ()
        return tuple(dict(zip(precinct.groups, award, strict=True)) for award in awards)

    def _do_award(self, texts: Mapping[str, str], at_ms: int) -> None:
        written = self._written("delegates", texts)
        if written is None:
            return
        precinct, self.award = self.precinct, written
        right = self.right_awards()
        total = sum(written.values())
        objections: list[Text] = []
        cited = worksheet_steps.citations_of(self.final or {}, precinct.delegates, self.n or 0)
        wanted = sum(right[0].values()) if right else precinct.delegates  # none, where the law has no award
        if total != wanted:
            objections.append(
                say(
                    "The secretary adds up: {total} delegates. The precinct elects {delegates}.",
                    total=total,
                    delegates=precinct.delegates,
                )
            )
        if written in [dict(award) for award in right]:
            self.mend("delegates", at_ms)
            if not precinct.tied:
                self.mend("toss", at_ms)
        elif right:
            nearest = min(right, key=lambda award: sum(abs(award[group] - written[group]) for group in written))
            self.err(
                "delegates", worksheet_steps.of_groups(written), worksheet_steps.of_groups(nearest), cited[0], at_ms
            )
            objections += [
                say(
                    "{name}, captain of {group}, protests: we should have {delegates}.",
                    name=precinct.captains[group],
                    group=group_label(group),
                    delegates=nearest[group],
                )
                for group in written
                if written[group] < nearest[group]
            ]
        on_truth = self.final == dict(precinct.final) and self.n == precinct.attendance
        if on_truth and precinct.tied and set(self.tossed) != set(precinct.tied):
            self.err("toss", self._named(self.tossed), self._named(precinct.tied), citations.COIN, at_ms)
            objections.append(
                say(
                    "These groups are level: {groups}. Their captains ask for the coin.",
                    groups=self._named(precinct.tied),
                )
            )
        if objections:
            self.tell(*objections)
            self.protested = "award"
            return
        self.go(WORKSHEET, at_ms)

    def _do_fill(self, texts: Mapping[str, str], at_ms: int) -> None:
        labels = self.figure_labels()
        found = self.numbers({"attendees": say("N")} | labels, texts, tuple(labels))
        if found is None:
            return
        self.worksheet = self.figures(found)
        self._correct()
        board = self.on_board()
        self._check_copy("worksheet_copy", self.worksheet, board, citations.SIGNED, at_ms)
        self.signing = True
        if self.signed is not None and self.signed != self.worksheet:
            self.signers = ()
            self.tell(say("The worksheet was changed. The signatures were for other numbers."))

    def _correct(self) -> None:
        """Headquarters found an error, and now the worksheet is right: the captains hear it, and can sign it."""
        assert self.worksheet is not None
        groups, right, was = self.precinct.groups, self.precinct.figures, self.on_board()
        self.corrected = None
        if not self.called_back_ms or differences(self.worksheet, right, groups):
            return
        if differences(was, right, groups):
            self.tell(say("You read the corrected numbers to the captains. They follow your arithmetic."))
        self.corrected = self.worksheet

    def on_board(self) -> Figures:
        """What the room has seen: the numbers as announced, or as they were corrected after headquarters called."""
        if self.corrected is not None:
            return self.corrected
        first, final = self.first or {}, self.final or {}
        return Figures(self.n or 0, {} if self.precinct.ballot else first, final, self.award or {})

    def _check_copy(self, kind: str, given: Figures, right: Figures, cited: Text, at_ms: int) -> None:
        wrong = differences(given, right, self.precinct.groups)
        if not wrong:
            self.mend(kind, at_ms)
            return
        labels = {"attendees": say("N")} | self.figure_labels()
        self.err(
            kind,
            _numbers([(labels[name], one) for name, one, _ in wrong]),
            _numbers([(labels[name], other) for name, _, other in wrong]),
            cited,
            at_ms,
        )

    def figures(self, found: Mapping[str, int], base: Figures | None = None) -> Figures:
        """Figures of numbers by field."""
        rows: dict[str, dict[str, int]] = {"first": {}, "final": {}, "delegates": {}}
        for name, value in found.items():
            row, _, group = name.partition(".")
            if group:
                rows[row][group] = value
        base = base or Figures(0, {}, {}, {})
        return Figures(
            found.get("attendees", base.attendees),
            rows["first"] or base.first_alignment,
            rows["final"] or base.final,
            rows["delegates"] or base.delegates,
        )

    def _do_sign(self, texts: Mapping[str, str], at_ms: int) -> None:
        assert self.worksheet is not None
        signers = (CHAIR, SECRETARY, *self.precinct.groups)
        named = choices(texts.get("signers", ""), signers)
        asked = [one for one in signers if one in named]
        wrong = {
            name.partition(".")[2] for name, *_ in differences(self.worksheet, self.on_board(), self.precinct.groups)
        }
        refuse = [one for one in asked if one in wrong or (one == SECRETARY and "" in wrong)]
        self.signers = tuple(one for one in asked if one not in refuse)
        for one in refuse:
            self.tell(say("{who} does not sign: a number is not as it was announced.", who=self._signer(one)))
        not_asked = [one for one in self.needed() if one not in asked]
        for one in not_asked:
            self.tell(say("{who} was not asked.", who=self._signer(one)))
        if refuse or not_asked:
            self.protested = "sign"
            return
        self._signed(at_ms)

    def _signed(self, at_ms: int) -> None:
        self.signed = self.worksheet
        self.signing = False
        self.mend("unsigned", at_ms)
        self.mend("unsigned_change", at_ms)
        self.go(REPORT, at_ms)

    def _do_change(self, texts: Mapping[str, str], at_ms: int) -> None:  # noqa: ARG002  # as all of them
        self.signing = False
        if self.stage == REPORT:
            self.go(WORKSHEET, at_ms)

    def compare_report(self, figures: Figures, at_ms: int) -> None:
        """A result left the precinct: is it the worksheet's?"""
        if self.worksheet is not None:
            self._check_copy("report_differs", figures, self.worksheet, citations.SAME, at_ms)

    def close(self, at_ms: int) -> None:
        """The chair goes home."""
        self.go(DONE, at_ms)

    def _do_reopen(self, texts: Mapping[str, str], at_ms: int) -> None:  # noqa: ARG002  # as all of them
        self.go(REPORT, at_ms)

    def _do_insist(self, what: str, at_ms: int) -> None:
        if what == "viable":
            self.tell(say("The captains write down their protest. The evening goes on."))
            self._begin_realignment(at_ms)
        elif what == "award":
            self.tell(say("The captains write down their protest. The evening goes on."))
            self.go(WORKSHEET, at_ms)
        else:
            missing = worksheet_steps.joined([self._signer(one) for one in self._missing()])
            kind = "unsigned" if self.signed is None else "unsigned_change"
            changed = self.signed is not None and self.signed != self.worksheet
            if self.signed is None or changed:
                self.err(kind, missing, say("all signatures"), citations.SIGNED, at_ms)
            self.tell(say("You go on without them. Whoever asks later will not find their signatures."))
            self.signing = False
            self.go(REPORT, at_ms)

    def _do_back(self, stage: str, at_ms: int) -> None:
        self.signing = False
        if stage in {COUNT, FREEZE, VIABILITY, FIRST}:
            self.first = None  # it is written and judged again
        self.go(stage, at_ms)
        self.tell(say("You go back. What was announced may still be corrected."))

    def _catch_up(self, stage: str, at_ms: int) -> bool:
        """Somebody who came late begins where the room is: what was before is taken as it should have been."""
        order, precinct = self.order(), self.precinct
        if stage not in order or order.index(stage) <= order.index(self.stage) or stage == DONE:
            return False
        upto = order.index(stage)
        self.waiting = []
        before = {name for name in order[:upto] if name in STAGES}
        for mistake in self.mistakes:  # put right by that somebody, too
            self.mend(mistake.kind, at_ms)
        if COUNT in before:
            self.counted = precinct.attendance
        if FREEZE in before:
            self.n = precinct.attendance
        if VIABILITY in before:
            self.threshold = precinct.threshold
        if FIRST in before:
            self.first, self.viable = dict(precinct.first), frozenset(precinct.viable)
            if REALIGNMENT not in order:
                self.final = dict(precinct.first)
        if REALIGNMENT in before:
            self.final = dict(precinct.final)
        if DELEGATES in before:
            self.award, self.tossed, self.heads = dict(precinct.award), precinct.tied, precinct.luckier
        if WORKSHEET in before:
            self.worksheet = self.signed = self.on_board()
            self.signers = self.needed()
        self.skipped = (*self.skipped, *(name for name in order[:upto] if name not in self.skipped))
        self.go(stage, at_ms)
        self.tell(say("You come late. What was done before was done rightly by somebody else."))
        return True


def _both(one: Text, other: Text) -> Text:
    return Text("{one}; {other}", {"one": one, "other": other})


def _all(texts: Iterable[Text]) -> Text:
    places = {f"text{i}": text for i, text in enumerate(texts)}
    return Text("; ".join(f"{{{name}}}" for name in places), places) if places else say("nothing")


def _numbers(found: Iterable[tuple[Text, int]]) -> Text:
    places: dict[str, Text | int] = {}
    parts = []
    for i, (label, value) in enumerate(found):
        places |= {f"field{i}": label, f"value{i}": value}
        parts.append(f"{{field{i}}} {{value{i}}}")
    return Text(", ".join(parts), places)
