"""A site's record: where each step leads, who may take it, and that nothing becomes public unseen."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from loadtests.backend import records
from loadtests.backend.checks import RefusedError
from loadtests.backend.records import MACHINE, Command, Record, State, Step, decide, replay
from loadtests.backend.storage import Caucus, Site
from loadtests.content import canonical

FIVE = Site("0001", "Adair/Adair 1", "Adair", "Adair 1", 5, 10**8, False, 3, "19001", 100)
ONE = replace(FIVE, code="0002", delegates=1)
CAUCUS = Caucus("small", "Small", "2020", ("a", "b", "c"), {"0001": FIVE, "0002": ONE})

OPEN = {"attendees": 100}
FIRST = {"counts": {"a": 50, "b": 40, "c": 10}}
FINAL = {"counts": {"a": 60, "b": 40}, "delegates": {"a": 3, "b": 2}}
MISTAKEN = {"counts": {"a": 60, "b": 40}, "delegates": {"a": 4, "b": 1}}
PHOTO = {"sha256": "ab" * 32, "bytes": 2_000_000, "type": "image/jpeg"}
ENTRY = {
    "site": "0001",
    "attendees": 100,
    "first_alignment": FIRST["counts"],
    "final": FINAL["counts"],
    "delegates": FINAL["delegates"],
}
OTHER_ENTRY = {**ENTRY, "final": {"a": 59, "b": 40}}
WHY = {"correction": "a group was counted twice"}


def after(*steps: tuple[str, str, Mapping[str, Any]], site: str = "0001", record: Record | None = None) -> Record:
    """The record after steps: (step, who, body); a reviewer names the version that he sees."""
    record = record or Record()
    for step, who, body in steps:
        seen = {"version": record.version} if step in ("approve", "return", "choose") else {}
        record = decide(CAUCUS, record, Command(step, site, who, "", "key", {**seen, **body})).record
    return record


def refusal(record: Record, step: str, who: str, body: Mapping[str, Any], site: str = "0001") -> str:
    with pytest.raises(RefusedError) as caught:
        after((step, who, body), record=record, site=site)
    return caught.value.findings[0].code


EVENING = (("open", "chair", OPEN), ("first-alignment", "chair", FIRST), ("final", "chair", FINAL))
MISTAKEN_EVENING = (*EVENING[:2], ("final", "chair", MISTAKEN))
TWO_ENTRIES = (("entry", "clerk-01", ENTRY), ("entry", "clerk-02", OTHER_ENTRY))
APPROVED_TWICE: Any = (("approve", "reviewer-01", {}), ("approve", "reviewer-02", {}))


def _all_steps() -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    for step, body in (("open", OPEN), ("first-alignment", FIRST), ("final", FINAL), ("photo", PHOTO)):
        yield step, "chair", body
        yield step, "chair", {**body, **WHY}
    yield "final", "chair", MISTAKEN
    for group in ("a", "b"):
        yield "final", "chair", {"counts": FINAL["counts"], "delegates": {group: 1}}  # where one is elected
    for who, body in (("clerk-01", ENTRY), ("clerk-02", ENTRY), ("clerk-02", OTHER_ENTRY)):
        yield "entry", who, body
    for who in ("reviewer-01", "reviewer-02"):
        yield "approve", who, {}
    yield "return", "reviewer-01", {"reason": "unreadable"}
    yield "choose", "reviewer-01", {"entry": 2}


def test_the_documented_state_machine_is_what_the_code_does():
    """Every step by everybody, from every record that can be reached: no more transitions than documented, no fewer."""
    seen: set[tuple[State, Step, State]] = set()
    for site in ("0001", "0002"):
        start = Record()
        known, waiting = {canonical([start.state, start.json()])}, deque([start])
        while waiting:
            record = waiting.popleft()
            for step in _all_steps():
                try:
                    found = after(step, site=site, record=record)
                except RefusedError:
                    continue
                assert found.version == record.version + 1
                seen.add((record.state, Step(step[0]), found.state))
                if canonical([found.state, found.json()]) not in known:
                    known.add(canonical([found.state, found.json()]))
                    waiting.append(found)
    documented = {(before, step, to) for before, steps in MACHINE.items() for step, tos in steps.items() for to in tos}
    assert seen == documented


def test_the_page_of_states_shows_every_transition():
    page = records.machine_markdown()
    for before, steps in MACHINE.items():
        for step, leads_to in steps.items():
            assert f"| {before} | {step} | {', '.join(leads_to)} |" in page


def test_a_clean_evening_is_accepted_at_once():
    record = after(*EVENING)
    assert record.state is State.ACCEPTED
    assert record.warnings == ()
    assert after(("photo", "chair", PHOTO), record=record).state is State.ACCEPTED


def test_a_mistake_becomes_public_when_two_persons_have_approved_it():
    record = after(*MISTAKEN_EVENING)
    assert (record.state, [warning["code"] for warning in record.warnings]) == (State.IN_REVIEW, ["W01"])
    record = after(APPROVED_TWICE[0], record=record)
    assert record.state is State.APPROVED_ONCE
    assert refusal(record, "approve", "reviewer-01", {}) == "R34"
    assert after(APPROVED_TWICE[1], record=record).state is State.ACCEPTED


def test_whoever_chose_an_entry_may_be_one_of_the_two_but_not_both():
    record = after(*TWO_ENTRIES, ("choose", "reviewer-01", {"entry": 1}), ("approve", "reviewer-01", {}))
    assert record.state is State.APPROVED_ONCE
    assert refusal(record, "approve", "reviewer-01", {}) == "R34"
    assert after(("approve", "reviewer-02", {}), record=record).state is State.ACCEPTED


@pytest.mark.parametrize(("step", "body"), [("approve", {}), ("return", {"reason": "unreadable"})])
def test_a_reviewer_decides_about_the_version_that_was_looked_at(step: str, body: Mapping[str, Any]):
    record = after(*MISTAKEN_EVENING)
    assert refusal(record, step, "reviewer-01", {**body, "version": record.version - 1}) == "R03"


def test_a_step_is_sent_once_and_corrected_with_a_reason():
    record = after(*EVENING[:1])
    assert refusal(record, "open", "chair", OPEN) == "R13"
    assert refusal(record, "open", "chair", {"attendees": 101}) == "R13"  # N is frozen
    assert refusal(record, "open", "chair", {"attendees": 101, "correction": " "}) == "R04"
    assert refusal(record, "open", "chair", {"attendees": 101, "correction": "a\x00b"}) == "R04"
    assert refusal(record, "first-alignment", "chair", {**FIRST, **WHY}) == "R14"
    assert after(("open", "chair", {"attendees": 101, **WHY}), record=record).attendees == 101


@pytest.mark.parametrize("steps", [EVENING, EVENING[:2]])
def test_a_correction_is_looked_at_whether_it_comes_before_or_after_the_end(steps: Any):
    record = after(*steps, ("first-alignment", "chair", {**FIRST, **WHY}))
    if record.final is None:
        record = after(EVENING[2], record=record)
    assert (record.state, [warning["code"] for warning in record.warnings]) == (State.IN_REVIEW, ["W20"])
    accepted = after(*APPROVED_TWICE, record=record)
    assert accepted.doubts == ()


def test_a_correction_takes_back_the_first_approval():
    record = after(*MISTAKEN_EVENING, APPROVED_TWICE[0], ("final", "chair", {**FINAL, **WHY}))
    assert (record.state, record.approved_by) == (State.IN_REVIEW, None)


def test_a_correction_that_breaks_the_law_with_what_is_held_is_refused():
    assert refusal(after(*EVENING), "open", "chair", {"attendees": 99, **WHY}) == "R21"


def test_the_steps_come_in_order():
    assert refusal(Record(), "first-alignment", "chair", FIRST) == "R10"
    assert refusal(Record(), "final", "chair", FINAL) == "R10"
    assert refusal(after(*EVENING[:1]), "final", "chair", FINAL) == "R11"
    assert refusal(after(*EVENING[:2]), "photo", "chair", PHOTO) == "R12"
    assert refusal(Record(), "open", "chair", OPEN, site="9999") == "R01"


def test_a_precinct_of_one_delegate_goes_from_the_head_count_to_the_end():
    steps = (("open", "chair", {"attendees": 20}), ("final", "chair", {"counts": {"a": 20}, "delegates": {"a": 1}}))
    assert after(*steps, site="0002").state is State.ACCEPTED


def test_what_the_chair_sends_next_resumes_a_partial_evening():
    sent = [after(*EVENING[:n]).next_step(ballot=False) for n in range(4)]
    assert sent == [Step.OPEN, Step.FIRST_ALIGNMENT, Step.FINAL, Step.PHOTO]
    assert after(*EVENING, ("photo", "chair", PHOTO)).next_step(ballot=False) is None
    assert after(EVENING[0]).next_step(ballot=True) is Step.FINAL


def test_two_clerks_who_key_the_same_settle_a_report():
    record = after(("entry", "clerk-01", ENTRY), ("entry", "clerk-02", {**ENTRY, "final": {"a": 60, "b": 40, "c": 0}}))
    assert record.state is State.ACCEPTED
    assert record.figures.final == {"a": 60, "b": 40, "c": 0}


def test_one_clerk_is_not_two():
    record = after(("entry", "clerk-01", ENTRY))
    assert refusal(record, "entry", "clerk-01", ENTRY) == "R30"


def test_two_entries_that_differ_are_shown_field_by_field_and_chosen_from():
    decision = decide(CAUCUS, after(TWO_ENTRIES[0]), Command("entry", "0001", "clerk-02", "", "key", OTHER_ENTRY))
    assert decision.detail == {"entry": 2, "differences": [{"field": "final.a", "entry_1": 60, "entry_2": 59}]}
    record = decision.record
    assert record.state is State.DIFFERS
    assert refusal(record, "entry", "clerk-03", ENTRY) == "R31"
    chosen = after(("choose", "reviewer-01", {"entry": 2}), record=record)
    assert (chosen.state, chosen.final) == (State.IN_REVIEW, {"a": 59, "b": 40})
    assert [warning["code"] for warning in chosen.warnings] == ["W21"]
    assert refusal(chosen, "choose", "reviewer-01", {"entry": 1}) == "R32"


def test_an_entry_that_cannot_be_true_is_refused_while_the_chair_is_on_the_line():
    assert refusal(Record(), "entry", "clerk-01", {**ENTRY, "delegates": {"a": 6}}) == "R24"


def test_a_report_that_began_in_the_app_may_end_on_the_telephone():
    record = after(*EVENING[:2], ("entry", "clerk-01", ENTRY), ("entry", "clerk-02", ENTRY))
    assert record.state is State.ACCEPTED


def test_the_hotlines_figures_go_before_those_of_the_app_and_are_looked_at_where_they_differ():
    record = after(("open", "chair", {"attendees": 99}), ("entry", "clerk-01", ENTRY), ("entry", "clerk-02", ENTRY))
    assert (record.attendees, record.state) == (100, State.IN_REVIEW)
    assert [warning["code"] for warning in record.warnings] == ["W22"]


def test_while_the_hotline_keys_the_app_waits():
    assert refusal(after(("entry", "clerk-01", ENTRY)), "open", "chair", OPEN) == "R15"


def test_the_hotline_does_not_take_what_is_held_already():
    assert refusal(after(*EVENING), "entry", "clerk-01", ENTRY) == "R16"


def test_a_returned_report_comes_back_through_app_or_hotline_and_is_looked_at_again():
    returned = after(*EVENING, ("return", "reviewer-01", {"reason": "unreadable"}))
    assert refusal(returned, "final", "chair", FINAL) == "R13"
    for steps in (
        [("final", "chair", {**FINAL, **WHY})],
        [("entry", "clerk-01", ENTRY), ("entry", "clerk-02", ENTRY)],
    ):
        record = after(*steps, record=returned)
        assert record.state is State.IN_REVIEW
        assert "W23" in [warning["code"] for warning in record.warnings]


def test_only_a_complete_report_is_reviewed():
    assert refusal(after(*EVENING), "approve", "reviewer-01", {}) == "R33"
    assert refusal(after(*EVENING[:1]), "return", "reviewer-01", {"reason": "unreadable"}) == "R35"


def test_a_record_survives_being_stored():
    for steps in (EVENING, MISTAKEN_EVENING, TWO_ENTRIES, (*EVENING, ("photo", "chair", PHOTO))):
        record = after(*steps)
        assert Record.of(record.state.value, record.version, record.json()) == record


def test_what_was_decided_follows_again_from_what_was_stored():
    record = replayed = Record()
    for step, who, body in (*MISTAKEN_EVENING, *APPROVED_TWICE, ("photo", "chair", PHOTO)):
        record = after((step, who, body), record=record)
        replayed = replay(replayed, step, body, who, record.warnings)
    assert replayed == record


def test_a_backend_that_forgets_takes_a_step_twice():
    record = after(*EVENING)
    again = decide(CAUCUS, record, Command("final", "0001", "chair", "", "key", FINAL), forgets=True).record
    assert again.version == record.version + 1


@pytest.mark.parametrize(
    ("steps", "state"),
    [((), State.EXPECTED), (EVENING[:1], State.OPENED), (EVENING[:2], State.FIRST_ALIGNMENT)],
)
def test_an_entry_for_the_wrong_site_is_taken_away_and_the_app_goes_on(steps: Any, state: State):
    before = after(*steps)
    keyed = after(("entry", "clerk-01", ENTRY), record=before)
    freed = after(("return", "reviewer-01", {"reason": "meant for the next precinct"}), record=keyed)
    assert freed == replace(before, version=keyed.version + 1)
    assert freed.state is state
    assert after(*EVENING[len(steps) :], record=freed).state is State.ACCEPTED


def test_a_returned_report_is_still_returned_when_an_entry_is_taken_away():
    returned = after(*EVENING, ("return", "reviewer-01", {"reason": "unreadable"}))
    steps = ("entry", "clerk-01", ENTRY), ("return", "reviewer-01", {"reason": "meant for the next precinct"})
    assert after(*steps, record=returned) == replace(returned, version=returned.version + 2)


def test_photos_of_a_site_that_are_stored_already_count_once():
    held = {"cd" * 32: records.PHOTOS_BYTES - PHOTO["bytes"]}  # type: ignore[operator]  # an int

    def send(bytes_: int, photos: Mapping[str, int]) -> Record:
        body = {**PHOTO, "bytes": bytes_}
        return decide(CAUCUS, after(*EVENING), Command("photo", "0001", "chair", "", "key", body), photos).record

    assert send(2_000_000, held).photo is not None
    assert send(2_000_000, {**held, "ab" * 32: 2_000_000}).photo is not None
    with pytest.raises(RefusedError, match="R17"):
        send(2_000_001, held)


def test_an_error_names_the_member_of_the_body_that_was_sent() -> None:
    opened = after(("open", "0001", OPEN))
    with pytest.raises(RefusedError) as refused:
        decide(CAUCUS, opened, Command("first-alignment", "0001", "0001", "chair", "k" * 8, {"counts": {"d": 1}}))
    assert [one.field for one in refused.value.findings] == ["counts.d"]
    keyed = {**ENTRY, "final": {"d": 1}}
    with pytest.raises(RefusedError) as refused:
        decide(CAUCUS, Record(), Command("entry", "0001", "clerk-01", "clerk", "k" * 8, keyed))
    assert [one.field for one in refused.value.findings] == ["final.d"]
