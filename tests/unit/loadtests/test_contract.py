from __future__ import annotations

from typing import Any

import pytest

from loadtests.contract import (
    OPERATIONS,
    STEP_NAMES,
    Ask,
    Operation,
    Outcome,
    Reply,
    Report,
    Request,
    Session,
    content,
    evening,
    without_secrets,
)

REPORT = Report(100, {"ada": 60, "ben": 40}, {"ada": 55, "ben": 45}, {"ada": 3, "ben": 2})


class Having:
    """A backend that has some operations, and is never asked anything."""

    def __init__(self, *operations: Operation) -> None:
        self.operations = frozenset(operations)

    def build(self, operation: Operation, ask: Ask) -> Request:
        raise NotImplementedError

    def read(self, operation: Operation, reply: Reply) -> Any:
        raise NotImplementedError


@pytest.mark.parametrize(
    ("has", "order"),
    [
        (("photo", "report", "results"), ("report", "photo")),
        (("report.final", "report.open", "photo"), ("report.open", "report.final", "photo")),
        (
            ("report.final", "report.first_alignment", "report.open"),
            ("report.open", "report.first_alignment", "report.final"),
        ),
        (("clerk", "results"), ()),
    ],
)
def test_an_evening_is_what_the_backend_takes_in_the_order_of_the_evening(has, order):
    assert evening(Having(*has)) == order


def test_what_a_write_says_is_told_in_the_same_words_whatever_goes_over_the_wire():
    ask = Ask(report=REPORT, photo=b"picture", version=3, entry=2, reason="add up")
    said = {operation: content(operation, ask) for operation in STEP_NAMES}
    assert said["report.open"] == {"attendees": 100}
    assert said["report.first_alignment"] == {"counts": {"ada": 60, "ben": 40}}
    assert said["report.final"] == {"counts": {"ada": 55, "ben": 45}, "delegates": {"ada": 3, "ben": 2}}
    assert said["clerk"] == said["report"]
    assert said["photo"]["bytes"] == 7
    assert (said["review.choose"], said["review.return"]) == (
        {"version": 3, "entry": 2},
        {"version": 3, "reason": "add up"},
    )


def test_a_report_that_is_not_there_cannot_be_told():
    with pytest.raises(ValueError, match="needs a report"):
        content("report.final", Ask())


def test_every_write_has_a_name_in_the_digest():
    assert set(STEP_NAMES) < set(OPERATIONS)
    assert len(set(STEP_NAMES.values())) == len(STEP_NAMES)


def test_header_names_are_one_whatever_their_letters_and_cookies_are_kept_apart():
    reply = Reply.of(200, [("Retry-After", "3"), ("Set-Cookie", "a=1"), ("set-cookie", "b=2")], b"")
    assert reply.headers == {"retry-after": "3", "set-cookie": "a=1, b=2"}


def test_what_is_printed_of_a_request_holds_no_secret():
    request = Request("POST", "/v1/login", {"Authorization": "Bearer t0k3n"}, b'{"pin":"314159"}', "login")
    shown = f"{request!r} {Ask(pin='314159', second_factor='271828')!r}"
    assert not any(secret in shown for secret in ("t0k3n", "314159", "271828"))


def test_what_a_backend_repeats_of_a_secret_is_not_told():
    ask = Ask(Session("0001", "d", {"token": "t0ken-of-0001"}), pin="483920", second_factor="117733")
    echo = Outcome("refused", 401, problem="HTTP 401: wrong code 483920 or 117733 for 0001, t0ken-of-0001")
    assert without_secrets(echo, ask).problem == "HTTP 401: wrong code *** or *** for 0001, ***"
    assert without_secrets(echo, Ask(pin="1")) is echo
