"""What /v1 answers over a real port: an evening, its mistakes, and who may do what."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa

from loadtests.backend import photos
from loadtests.backend.api import OPERATIONS
from loadtests.backend.service import READ_WAIT_S, READERS, READS_WAITING
from loadtests.backend.settings import JSON_BYTES, PHOTO_BYTES, Settings
from loadtests.content import content_sha256
from simulation.scenario import Scenario
from tests.unit.backend.running_service import Answered, Running, prepare, running

JPEG = b"\xff\xd8\xff\xe0" + bytes(300_000)
FIRST = {"counts": {"sanders": 60, "biden": 30, "warren": 10}}
FINAL = {"counts": {"sanders": 65, "biden": 35}, "delegates": {"sanders": 3, "biden": 2}}


@pytest.fixture(scope="module")
def prepared(scenario: Scenario, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Any]]:
    data = tmp_path_factory.mktemp("prepared")
    return data, prepare(f"sqlite:///{data / 'night.db'}", data, scenario)


@pytest.fixture
def service(prepared: tuple[Path, list[Any]], tmp_path: Path) -> Iterator[Running]:
    """A night of its own for a test that reports."""
    folder, issued = prepared
    shutil.copytree(folder, tmp_path / "data")
    with running(Settings(f"sqlite:///{tmp_path / 'data' / 'night.db'}", tmp_path / "data"), issued) as found:
        yield found


@pytest.fixture(scope="module")
def shared(prepared: tuple[Path, list[Any]], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One night for all tests that are turned away."""
    folder, issued = prepared
    data = tmp_path_factory.mktemp("shared") / "data"
    shutil.copytree(folder, data)
    with running(Settings(f"sqlite:///{data / 'night.db'}", data), issued) as found:
        yield found


def test_an_evening_is_reported_step_by_step_and_resumed_at_each(service: Running):
    def asked() -> Any:
        return service.ask("GET", "/v1/reports/0001", user="0001").json

    assert asked()["next"] == "open"
    opened = service.write("0001", "/v1/reports/0001/open", {"attendees": 100})
    assert (opened.status, opened.json["state"], opened.json["version"]) == (201, "opened", 1)
    assert opened.json["content_sha256"] == content_sha256("open", "0001", {"attendees": 100})
    assert asked()["next"] == "first-alignment"
    assert service.write("0001", "/v1/reports/0001/first-alignment", FIRST).status == 201
    assert asked()["next"] == "final"
    assert service.write("0001", "/v1/reports/0001/final", FINAL).json["state"] == "accepted"
    assert asked()["next"] == "photo"
    photo = service.write("0001", "/v1/reports/0001/photo", JPEG, content_type="image/jpeg")
    assert photo.status == 201
    held = asked()
    assert held["next"] is None
    assert (held["final"], held["delegates"]) == (FINAL["counts"], FINAL["delegates"])
    assert held["photo"] == {"sha256": hashlib.sha256(JPEG).hexdigest(), "bytes": len(JPEG), "type": "image/jpeg"}
    (stored,) = service.service.parts.database.photos.rglob("*.jpg")
    assert stored.read_bytes() == JPEG
    assert stored.stat().st_mode & 0o077 == 0


def test_the_same_key_is_answered_again_and_stored_once(service: Running):
    first = service.write("0001", "/v1/reports/0001/open", {"attendees": 100}, idempotency_key="the-same-key")
    again = service.write("0001", "/v1/reports/0001/open", {"attendees": 100}, idempotency_key="the-same-key")
    other = service.write("0001", "/v1/reports/0001/open", {"attendees": 101}, idempotency_key="the-same-key")
    assert first.status == again.status == 201
    assert first.json == again.json
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    assert (other.status, other.codes) == (409, ["R02"])
    records = service.ask("GET", "/v1/records", user="observer-01").json
    assert [row["key"] for row in records["records"]] == ["the-same-key"]


def test_a_report_that_one_clerk_keyed_is_shown_to_reviewers_who_may_send_it_back(service: Running):
    report = {"attendees": 100, "first_alignment": FIRST["counts"], "final": FINAL["counts"]}
    entry = {"site": "0001", **report, "delegates": FINAL["delegates"]}
    assert service.write("clerk-01", "/v1/entries", entry).json["state"] == "entered_once"
    (waiting,) = service.ask("GET", "/v1/review", user="reviewer-01").json["reports"]
    assert (waiting["site"], waiting["state"]) == ("0001", "entered_once")
    assert [one["by"] for one in waiting["entries"]] == ["clerk-01"]
    body = {"version": waiting["version"], "reason": "keyed for another precinct"}
    assert service.write("reviewer-01", "/v1/review/0001/return", body).status == 201
    assert service.ask("GET", "/v1/review", user="reviewer-01").json["reports"] == []


def test_two_clerks_key_a_report_and_two_reviewers_release_it(service: Running):
    entry = {"site": "0001", "attendees": 100, "first_alignment": FIRST["counts"], "final": FINAL["counts"]}
    one = service.write("clerk-01", "/v1/entries", {**entry, "delegates": {"sanders": 3, "biden": 1}})
    two = service.write("clerk-02", "/v1/entries", {**entry, "delegates": FINAL["delegates"]})
    assert (one.json["entry"], two.json["entry"], two.json["state"]) == (1, 2, "differs")
    assert two.json["differences"] == [{"field": "delegates.biden", "entry_1": 1, "entry_2": 2}]
    (waiting,) = service.ask("GET", "/v1/review", user="reviewer-01").json["reports"]
    assert [shown["by"] for shown in waiting["entries"]] == ["clerk-01", "clerk-02"]
    chosen = service.write("reviewer-01", "/v1/review/0001/choose", {"version": waiting["version"], "entry": 2})
    assert chosen.json["state"] == "in_review"
    version = {"version": chosen.json["version"]}
    approved = service.write("reviewer-01", "/v1/review/0001/approve", version)
    assert approved.json["state"] == "approved_once"
    version = {"version": approved.json["version"]}
    assert service.write("reviewer-01", "/v1/review/0001/approve", version).codes == ["R34"]
    assert service.write("reviewer-02", "/v1/review/0001/approve", version).json["state"] == "accepted"


def test_lists_go_on_where_their_page_ended(service: Running):
    for site in ("0001", "0002", "0003"):
        assert service.write(site, f"/v1/reports/{site}/open", {"attendees": 10}).status == 201
    seen: list[str] = []
    after: str | None = ""
    while after is not None:
        page = service.ask("GET", f"/v1/records?limit=1&after={after}", user="observer-01").json
        seen += [row["site"] for row in page["records"]]
        after = page["next"]
    assert seen == ["0001", "0002", "0003"]
    events = service.ask("GET", "/v1/audit?limit=1000", user="administrator-01").json
    assert [row["site"] for row in events["events"] if row["kind"] == "version"] == seen
    assert events["next"] is None


def test_publication_is_held_by_the_administrator(service: Running):
    held = service.write("administrator-01", "/v1/publication", {"held": True})
    assert held.status == 201
    assert held.json["held"] is True


def _refused(answer: Answered, status: int, *codes: str) -> None:
    assert answer.status == status, answer.body
    assert answer.headers["content-type"] == "application/json"
    assert answer.codes == list(codes)
    assert all(problem["message"] for problem in answer.json["errors"])


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, "H01"),
        (b"", 400, "H01"),
        (b"\xff\xfe", 400, "H01"),
        ({"attendees": "100"}, 422, "H07"),
        ({"attendees": True}, 422, "H07"),
        ({"attendees": 1.5}, 422, "H07"),
        ({"attendees": -1}, 422, "H07"),
        ({"attendees": 100_000}, 422, "H07"),
        ({"attendees": 100, "surprise": 1}, 422, "H07"),
        ({}, 422, "H07"),
        ([], 422, "H07"),
        ({"attendees": 100, "correction": "a\x00b"}, 422, "H07"),
    ],
)
def test_a_body_that_is_not_of_its_form_is_refused(shared: Running, body: object, status: int, code: str):
    answer = shared.write("0003", "/v1/reports/0003/open", body, content_type="application/json")
    _refused(answer, status, code)


def test_a_refusal_never_quotes_what_was_sent(shared: Running):
    answer = shared.ask("POST", "/v1/login", {"user": "0001", "pin": ["s3cret-pin"], "second_factor": "s3cret"})
    _refused(answer, 422, "H07", "H07")
    assert b"s3cret" not in answer.body


def test_a_whole_number_may_be_written_with_a_point(service: Running):
    answer = service.write("0003", "/v1/reports/0003/open", b'{"attendees": 20.0}', content_type="application/json")
    assert answer.status == 201
    assert answer.json["content_sha256"] == content_sha256("open", "0003", {"attendees": 20})


@pytest.mark.parametrize("path", ["/v1/nothing", "/v1/reports/12", "/v1/reports/abcd/open", "/", "/results/nothing"])
def test_what_is_not_there_is_404_in_the_one_shape(shared: Running, path: str):
    _refused(shared.ask("GET", path), 404, "H02")


def test_a_site_that_is_not_there_is_404(shared: Running):
    _refused(shared.ask("GET", "/v1/reports/9999", user="clerk-01"), 404, "H02")
    entry = {"site": "9999", "attendees": 1, "first_alignment": {}, "final": {}, "delegates": {}}
    _refused(shared.write("clerk-01", "/v1/entries", entry), 404, "R01")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/v1/reports/0001/open", "POST"),
        ("PUT", "/v1/reports/0001", "GET"),
        ("DELETE", "/v1/login", "POST"),
        ("POST", "/healthz", "GET, HEAD"),
        ("POST", "/results.json", "GET, HEAD"),
    ],
)
def test_another_method_is_405_and_says_which_are_allowed(shared: Running, method: str, path: str, allowed: str):
    answer = shared.ask(method, path)
    _refused(answer, 405, "H03")
    assert answer.headers["allow"] == allowed


def test_another_content_type_is_415(shared: Running):
    _refused(shared.write("0003", "/v1/reports/0003/open", b"{}", content_type="text/plain"), 415, "H06")
    _refused(shared.write("0003", "/v1/reports/0003/photo", JPEG, content_type="image/gif"), 415, "H06")


def _report(service: Running) -> None:
    """The evening of site 0001, up to its photo."""
    for step, body in (("open", {"attendees": 100}), ("first-alignment", FIRST), ("final", FINAL)):
        assert service.write("0001", f"/v1/reports/0001/{step}", body).status == 201


def _photos(service: Running) -> list[Path]:
    return [path for path in service.service.parts.database.photos.rglob("*") if path.is_file()]


def test_bytes_that_are_no_photo_are_refused_and_nothing_of_them_is_kept(service: Running):
    _report(service)
    _refused(service.write("0001", "/v1/reports/0001/photo", b"GIF89a", content_type="image/jpeg"), 409, "P01")
    _refused(service.write("0001", "/v1/reports/0001/photo", b"", content_type="image/png"), 409, "P01")
    assert not _photos(service)


def test_a_photo_that_cannot_be_taken_is_refused_before_it_is_let_in(shared: Running):
    """The body never comes: whoever waited for it would wait for long."""
    head = (
        "POST /v1/reports/0003/photo HTTP/1.1\r\nHost: x\r\nX-Device: device-1\r\nIdempotency-Key: too-early\r\n"
        f"Authorization: Bearer {shared.token('0003')}\r\nContent-Type: image/jpeg\r\nContent-Length: 4000000\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", shared.port), timeout=5) as connection:
        connection.sendall(head.encode())
        answer = b""
        while b'"R10"' not in answer:  # head and body may come apart
            part = connection.recv(65536)
            assert part, answer
            answer += part


def _send_photo(service: Running, photo: bytes, **headers: str) -> Answered:
    return service.write("0001", "/v1/reports/0001/photo", photo, content_type="image/jpeg", **headers)


def test_a_photo_that_the_disk_does_not_take_is_to_be_sent_again_later(
    service: Running, monkeypatch: pytest.MonkeyPatch
):
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    _report(service)
    with monkeypatch.context() as patched:
        patched.setattr(photos, "_store", full)
        refused = _send_photo(service, JPEG, idempotency_key="the-same-key")
    _refused(refused, 503, "H09")
    assert "No space left" in refused.json["errors"][0]["message"]
    assert refused.headers["retry-after"]
    assert not _photos(service)
    assert _send_photo(service, JPEG, idempotency_key="the-same-key").status == 201


def test_what_is_refused_or_not_taken_leaves_no_photo_behind(service: Running, monkeypatch: pytest.MonkeyPatch):
    _report(service)
    assert _send_photo(service, JPEG, idempotency_key="the-same-key").status == 201
    kept = _photos(service)
    again = _send_photo(service, JPEG, idempotency_key="the-same-key")
    assert (again.status, again.headers["idempotency-replayed"]) == (201, "true")
    other = JPEG + b"another"
    _refused(_send_photo(service, other, idempotency_key="the-same-key"), 409, "R02")
    _refused(_send_photo(service, other), 409, "R13")
    monkeypatch.setattr("loadtests.backend.reading.refuse_photo", lambda *_, **__: None)  # as if it came meanwhile
    _refused(_send_photo(service, other), 409, "R13")
    monkeypatch.setattr(service.service.parts.services.writer, "_most_waiting", 0)
    _refused(_send_photo(service, other, x_correction="a better light"), 503, "H09")
    assert _photos(service) == kept


def test_the_photos_of_a_site_have_a_bound(service: Running, monkeypatch: pytest.MonkeyPatch):
    _report(service)
    monkeypatch.setattr("loadtests.backend.records.PHOTOS_BYTES", len(JPEG) + 10)
    assert _send_photo(service, JPEG).status == 201
    _refused(_send_photo(service, JPEG + b"a longer one", x_correction="a better light"), 409, "R17")
    assert len(_photos(service)) == 1
    assert _send_photo(service, JPEG, x_correction="the same again").status == 201
    monkeypatch.setattr("loadtests.backend.records.PHOTOS_BYTES", len(JPEG))
    monkeypatch.setattr("loadtests.backend.photos.received", None)  # refused before it is asked for
    _refused(_send_photo(service, JPEG[:500], x_correction="a better light"), 409, "R17")


def test_a_site_sends_no_crowd_of_photos_at_once(service: Running):
    _report(service)
    head = (
        "POST /v1/reports/0001/photo HTTP/1.1\r\nHost: x\r\nX-Device: device-1\r\nIdempotency-Key: slow-one\r\n"
        f"Authorization: Bearer {service.token('0001')}\r\nContent-Type: image/jpeg\r\nContent-Length: 4000000\r\n\r\n"
    )
    with contextlib.ExitStack() as slow:
        for _ in range(2):
            slow.enter_context(socket.create_connection(("127.0.0.1", service.port))).sendall(head.encode() + JPEG)
        until = time.monotonic() + 5
        while service.service.parts.services.uploads["0001"] < 2 and time.monotonic() < until:
            time.sleep(0.01)
        _refused(_send_photo(service, JPEG), 503, "H09")
    until = time.monotonic() + 5
    while service.service.parts.services.uploads and time.monotonic() < until:
        time.sleep(0.01)
    assert _send_photo(service, JPEG).status == 201


def test_a_photo_is_looked_at_by_its_chair_the_reviewers_and_the_administrator(service: Running):
    _refused(service.ask("GET", "/v1/reports/0001/photo", user="reviewer-01"), 404, "H02")
    _report(service)
    large = b"\x89PNG\r\n\x1a\n" + bytes(1_000_000)
    assert service.write("0001", "/v1/reports/0001/photo", large, content_type="image/png").status == 201
    for user in ("0001", "reviewer-01", "administrator-01"):
        shown = service.ask("GET", "/v1/reports/0001/photo", user=user)
        assert (shown.status, shown.body == large) == (200, True)
        assert shown.headers["content-type"] == "image/png"
        assert shown.headers["cache-control"] == "no-store"
        assert shown.headers["x-content-type-options"] == "nosniff"
    _refused(service.ask("GET", "/v1/reports/0001/photo", user="0002"), 403, "A05")
    _refused(service.ask("GET", "/v1/reports/0001/photo", user="observer-01"), 403, "A04")
    _refused(service.ask("GET", "/v1/reports/9999/photo", user="reviewer-01"), 404, "H02")
    _photos(service)[0].unlink()
    _refused(service.ask("GET", "/v1/reports/0001/photo", user="reviewer-01"), 404, "H02")


def test_a_write_that_may_be_stored_is_answered_504_and_settled_by_its_key(
    service: Running, monkeypatch: pytest.MonkeyPatch
):
    service.token("0001")
    database, calls = service.service.parts.database, iter(range(100))
    writing = database.writing

    @contextlib.contextmanager
    def lost() -> Iterator[Any]:
        call = next(calls)
        if call:
            raise sa.exc.OperationalError("BEGIN", {}, Exception("gone"))
        with writing() as connection:
            yield connection
        raise sa.exc.OperationalError("COMMIT", {}, Exception("lost"))

    unreliable = SimpleNamespace(caucus=database.caucus, photos=database.photos, revive=database.revive, writing=lost)
    with monkeypatch.context() as while_gone:
        while_gone.setattr(service.service.parts.services.writer, "_database", unreliable)
        answer = service.write("0001", "/v1/reports/0001/open", {"attendees": 9}, idempotency_key="perhaps-stored")
        _refused(answer, 504, "H10")
        assert answer.headers["retry-after"] == "1"
        answer = service.write("0001", "/v1/reports/0001/open", {"attendees": 9}, idempotency_key="surely-not")
        _refused(answer, 503, "H09")
    again = service.write("0001", "/v1/reports/0001/open", {"attendees": 9}, idempotency_key="perhaps-stored")
    assert (again.status, again.headers["idempotency-replayed"]) == (201, "true")


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_that_is_too_large_is_413_with_and_without_its_length(service: Running, chunked: bool):
    def body(size: int) -> Any:
        return (bytes(60_000) for _ in range(size // 60_000 + 1)) if chunked else bytes(size)

    large = service.write("0001", "/v1/reports/0001/open", body(JSON_BYTES + 1), content_type="application/json")
    _refused(large, 413, "H05")
    _report(service)
    photo = iter([JPEG] * 17) if chunked else JPEG + bytes(PHOTO_BYTES)
    _refused(service.write("0001", "/v1/reports/0001/photo", photo, content_type="image/jpeg"), 413, "H05")
    assert not _photos(service)


@pytest.mark.parametrize("operation", [one for one in OPERATIONS if one.roles is not None], ids=lambda one: one.path)
def test_no_operation_is_done_without_a_token_or_in_another_role(shared: Running, operation: Any):
    path = operation.path.replace("{site}", "0001")
    _refused(shared.ask(operation.method, path), 401, "A01")
    _refused(shared.ask(operation.method, path, authorization="Basic MDAwMTox"), 401, "A01")
    _refused(shared.ask(operation.method, path, authorization="Bearer " + "x" * 43), 401, "A02")
    _refused(shared.ask(operation.method, path, user="clerk-01", x_device="another"), 401, "A02")
    strangers = {"0001", "clerk-01", "reviewer-01", "administrator-01", "observer-01"}
    roles = {"0001": "chair"}
    for user in strangers:
        if roles.get(user, user.partition("-")[0]) not in operation.roles:
            _refused(shared.ask(operation.method, path, user=user), 403, "A04")


@pytest.mark.parametrize("step", ["", "/open", "/first-alignment", "/final", "/photo"])
def test_a_chair_reaches_no_other_site_and_the_attempt_is_in_the_audit_log(service: Running, step: str):
    method = "POST" if step else "GET"
    _refused(service.ask(method, f"/v1/reports/0002{step}", user="0001"), 403, "A05")
    service.service.parts.services.identity.journal.close()
    with service.service.parts.database.engine.connect() as connection:
        kinds = connection.exec_driver_sql("SELECT kind, actor FROM events").all()
    assert ("refused_site", "0001") in kinds


@pytest.mark.parametrize("key", ["", "short", "x" * 65, "with space", "ümlaut-key"])
def test_a_write_without_a_key_is_refused(shared: Running, key: str):
    _refused(shared.write("0003", "/v1/reports/0003/open", {"attendees": 1}, idempotency_key=key), 422, "H07")


def test_a_log_in_needs_a_device(shared: Running):
    answer = shared.ask("POST", "/v1/login", {"user": "0002", "pin": "000000"}, x_device="")
    _refused(answer, 422, "H07")


def test_guessing_ends_in_429_with_the_seconds_to_wait(service: Running):
    source = {"source": "127.0.7.7"}
    for _ in range(5):
        _refused(service.log_in("0002", "999999", **source), 401, "A03")
    locked = service.log_in("0002", **source)
    _refused(locked, 429, "A06")
    assert 14 * 60 < int(locked.headers["retry-after"]) <= 15 * 60
    assert service.log_in("0002", source="127.0.7.8", x_device="elsewhere").status == 200


def test_a_full_queue_is_503_at_once(service: Running):
    token = service.token("0001")
    writer = service.service.parts.services.writer
    writer._most_waiting = 0
    answer = service.write("0001", "/v1/reports/0001/open", {"attendees": 1}, authorization=f"Bearer {token}")
    _refused(answer, 503, "H09")
    assert int(answer.headers["retry-after"]) >= 1


@pytest.mark.parametrize(("faults", "told"), [((), {201, 503}), (("unbounded_queue",), {201})])
def test_an_endless_queue_turns_nobody_away_wherever_it_forms(
    prepared: tuple[Path, list[Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    faults: tuple[str, ...],
    told: set[int],
):
    """A crowd of writes whose sessions have to be looked up first, while the database has no time for that."""
    folder, issued = prepared
    shutil.copytree(folder, tmp_path / "data")
    settings = Settings(f"sqlite:///{tmp_path / 'data' / 'night.db'}", tmp_path / "data", faults=frozenset(faults))
    crowd = READS_WAITING + 20
    with running(settings, issued) as service, ThreadPoolExecutor(crowd) as threads:
        service.token("0003")
        services = service.service.parts.services
        sessions = services.identity._sessions
        sessions._seen.clear()
        free, load = threading.Event(), sessions._load
        monkeypatch.setattr(sessions, "_load", lambda digest: free.wait(60) and load(digest))
        body = {"attendees": 1, "correction": "counted again"}
        write = partial(service.write, "0003", "/v1/reports/0003/open")
        sent = [threads.submit(write, {"attendees": 1} if n == 0 else body) for n in range(crowd)]
        until = time.monotonic() + 20
        while services.reads.waiting + READERS + sum(one.done() for one in sent) < crowd and time.monotonic() < until:
            time.sleep(0.05)
        time.sleep(READ_WAIT_S + 0.2)
        free.set()
        statuses = {one.result().status for one in sent} - {409}  # a correction of what was not sent yet
    assert statuses <= told
    assert (503 in statuses) == (503 in told)


def test_what_was_not_foreseen_is_500_without_its_words(service: Running, monkeypatch: pytest.MonkeyPatch):
    async def broken(_command: object) -> None:
        raise RuntimeError("the PIN is 123456")

    token = service.token("0001")
    monkeypatch.setattr(service.service.parts.services.writer, "do", broken)
    answer = service.write("0001", "/v1/reports/0001/open", {"attendees": 1}, authorization=f"Bearer {token}")
    _refused(answer, 500, "H08")
    assert b"123456" not in answer.body


def test_a_client_that_hangs_up_halfway_leaves_nothing_behind(service: Running):
    _report(service)
    token = service.token("0001")
    head = (
        "POST /v1/reports/0001/photo HTTP/1.1\r\nHost: x\r\nX-Device: device-1\r\nIdempotency-Key: hangs-up\r\n"
        f"Authorization: Bearer {token}\r\nContent-Type: image/jpeg\r\nContent-Length: 4000000\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", service.port)) as connection:
        connection.sendall(head.encode() + JPEG)
        until = time.monotonic() + 5
        while not _photos(service) and time.monotonic() < until:
            time.sleep(0.01)
    until = time.monotonic() + 5
    while _photos(service) and time.monotonic() < until:
        time.sleep(0.01)
    assert not _photos(service)
    assert service.ask("GET", "/v1/reports/0001", user="0001").json["version"] == 3


def test_the_document_names_every_operation_and_every_status_of_the_table(shared: Running):
    document = json.loads(shared.ask("GET", "/openapi.json").body)
    for one in OPERATIONS:
        described = document["paths"][one.path][one.method.lower()]
        assert str(one.status) in described["responses"]
        assert {"401", "405", "429", "503"} <= set(described["responses"])
        assert bool(described.get("security")) == (one.roles is not None)
