"""Writing: what is acknowledged is kept, once; what cannot be taken is said at once; a crash loses nothing."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from loadtests.backend import storage
from loadtests.backend.embedded import EmbeddedPostgres
from loadtests.backend.records import Answer, Command
from loadtests.backend.storage import Database
from loadtests.backend.writer import QueueFullError, UnclearError, Writer, read_records
from loadtests.content import content_sha256
from simulation.scenario import Scenario
from tests.unit.backend.evenings import command, evening, small_evening, write, write_at_once


@pytest.fixture
def writers() -> Iterator[list[Writer]]:
    """Writers to drain at the end."""
    made: list[Writer] = []
    yield made
    for writer in made:
        writer.drain()


def versions(database: Database) -> list[tuple[str, int, str]]:
    with database.reading() as connection:
        table = storage.versions
        rows = connection.execute(
            sa.select(table.c.site, table.c.number, table.c.step).order_by(table.c.site, table.c.number)
        )
        return [tuple(row) for row in rows]


def test_an_evening_is_kept_step_by_step_and_becomes_public(database: Database, writers: list[Writer]):
    writers.append(Writer(database))
    answers = write(writers[0], evening())
    assert [answer.status for answer in answers] == [201, 201, 201]
    last = answers[-1].body
    assert (last["site"], last["version"], last["step"], last["state"]) == ("0001", 3, "final", "accepted")
    assert last["content_sha256"] == content_sha256("final", "0001", evening()[-1].body)
    assert versions(database) == [("0001", 1, "open"), ("0001", 2, "first-alignment"), ("0001", 3, "final")]
    with database.reading() as connection:
        held = connection.execute(sa.select(storage.records).where(storage.records.c.site == "0001")).one()
        assert (held.state, held.version, held.accepted_version) == ("accepted", 3, 3)
        assert read_records(connection, ["0001"])["0001"].figures.attendees == 100


def test_the_same_key_and_content_get_the_first_answer_again(database: Database, writers: list[Writer]):
    writers.append(Writer(database))
    commands = evening()
    first = write(writers[0], commands)
    again = write(Writer(database), commands[:1]) + write(writers[0], commands)
    for one, other in zip([first[0], *first], again, strict=True):
        assert (other.body, other.status, other.replayed, one.replayed) == (one.body, one.status, True, False)
    assert len(versions(database)) == 3


def test_the_same_key_with_other_content_is_refused(database: Database, writers: list[Writer]):
    writers.append(Writer(database))
    sent = command("open", {"attendees": 100}, key="one-key-for-two")
    other = command("open", {"attendees": 101}, key="one-key-for-two")
    [_, refused] = write(writers[0], [sent, other])
    assert (refused.status, refused.body["errors"][0]["code"]) == (409, "R02")


def test_keys_belong_to_their_user(database: Database, writers: list[Writer]):
    writers.append(Writer(database))
    sent = [command("open", {"attendees": 0}, site=site, key="the-same-key") for site in ("0001", "0002")]
    assert [answer.status for answer in write(writers[0], sent)] == [201, 201]


def test_a_key_that_is_sent_twice_at_once_to_two_processes_is_written_once(
    database: Database, connect: Callable[[], Database], writers: list[Writer]
):
    """For different sites, so that no lock on a record keeps them apart: only the unique key does."""
    writers += [Writer(database), Writer(connect())]
    for n in range(10):
        sent = [
            command("open", {"attendees": 0}, site=f"000{1 + (n + k) % 4}", actor="clerk", key=f"shared-key-{n}")
            for k in range(2)
        ]
        told = sorted(answer.status for answer in side_by_side(writers, [[one] for one in sent]))
        assert told in ([201, 409], [409, 409])  # one may have been open already
    with database.reading() as connection:
        keys = connection.execute(sa.select(storage.versions.c.key)).scalars().all()
    assert len(keys) == len(set(keys)) == 4


def side_by_side(writers: list[Writer], commands: list[list[Command]]) -> list[Answer]:
    """What several processes answer that are sent commands at the same time."""
    answers: list[Answer | BaseException] = []

    def send(writer: Writer, some: list[Command]) -> None:
        answers.extend(write_at_once(writer, some))

    threads = [threading.Thread(target=send, args=pair) for pair in zip(writers, commands, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = [answer for answer in answers if isinstance(answer, Answer)]
    assert len(found) == len(answers), answers
    return found


def test_two_processes_write_the_same_sites_without_a_gap_or_a_double(
    database: Database, connect: Callable[[], Database], writers: list[Writer]
):
    writers += [Writer(database), Writer(connect())]
    write(writers[0], [one for site in ("0001", "0002", "0003", "0004") for one in small_evening(site)])
    corrections = [
        [command("open", {"attendees": 0, "correction": "again"}, site=f"000{1 + k % 4}") for k in range(100)]
        for _ in writers
    ]
    assert {answer.status for answer in side_by_side(writers, corrections)} == {201}
    assert [number for site, number, _ in versions(database) if site == "0001"] == list(range(1, 54))


def test_a_full_queue_says_so_at_once(database: Database, writers: list[Writer]):
    writers.append(Writer(database, queue=5))
    with database.writing() as connection:  # somebody else writes, and takes his time
        connection.execute(sa.select(storage.records).with_for_update()).all()

        async def stampede() -> list[Answer | BaseException]:
            sent = [asyncio.create_task(writers[0].do(command("open", {"attendees": 1}))) for _ in range(40)]
            await asyncio.sleep(0.3)
            for task in sent:
                task.cancel()
            return await asyncio.gather(*sent, return_exceptions=True)

        told = asyncio.run(stampede())
    refused = [one for one in told if isinstance(one, QueueFullError)]
    assert len(refused) >= 40 - 5 - 64
    assert refused
    assert all(one.retry_after_s >= 1 for one in refused)


def test_without_a_limit_the_queue_takes_everything(database: Database, writers: list[Writer]):
    writers.append(Writer(database, queue=1, faults=frozenset({"unbounded_queue"})))
    told = write_at_once(writers[0], [command("open", {"attendees": 1}) for _ in range(200)])
    assert sorted({one.status for one in told if isinstance(one, Answer)}) == [201, 409]
    assert not any(isinstance(one, BaseException) for one in told)


def test_a_client_that_hangs_up_still_gets_the_write_decided(database: Database, writers: list[Writer]):
    writers.append(Writer(database))

    async def hang_up() -> None:
        task = asyncio.create_task(writers[0].do(command("open", {"attendees": 100})))
        await asyncio.sleep(0)
        task.cancel()

    asyncio.run(hang_up())
    assert writers[0].drain()
    assert versions(database) == [("0001", 1, "open")]


def test_draining_writes_what_waits_and_takes_nothing_more(database: Database):
    writer = Writer(database)

    async def stop_in_the_middle() -> list[Answer]:
        sent = [asyncio.create_task(writer.do(one)) for one in evening()]
        await asyncio.sleep(0)
        assert await asyncio.to_thread(writer.drain)
        with pytest.raises(QueueFullError):
            await writer.do(command("open", {"attendees": 1}, site="0002"))
        return await asyncio.gather(*sent)

    assert [answer.status for answer in asyncio.run(stop_in_the_middle())] == [201, 201, 201]
    assert len(versions(database)) == 3
    assert not writer.healthy


def test_one_command_that_cannot_be_written_does_not_hurt_the_others(database: Database, writers: list[Writer]):
    writers.append(Writer(database))
    poisoned = command("open", {"attendees": 1}, site="0002", actor="half of a surrogate pair \ud800")
    sent = [*evening(), poisoned, *small_evening("0003")]
    told = write_at_once(writers[0], sent)
    assert [one.status if isinstance(one, Answer) else type(one) for one in told[:3]] == [201, 201, 201]
    assert isinstance(told[3], Exception)
    assert [one.status if isinstance(one, Answer) else type(one) for one in told[4:]] == [201, 201, 201]


def test_results_are_held_and_let_out_by_a_write_like_any_other(database: Database, writers: list[Writer]):
    writers.append(Writer(database))
    hold = command("publication", {"held": True}, site="", actor="administrator-01")
    first, again = write(writers[0], [hold, hold])
    assert (first.body["held"], again.replayed, again.body == first.body) == (True, True, True)
    with database.reading() as connection:
        assert storage.is_held(connection)
    write(writers[0], [command("publication", {"held": False}, site="", actor="administrator-01")])
    with database.reading() as connection:
        assert not storage.is_held(connection)


def test_an_acknowledged_step_survives_kill_9_of_postgresql(quick_folder: Path, scenario: Scenario):
    database = storage.connect(storage.EMBEDDED, quick_folder)
    assert database.embedded is not None
    database.migrate()
    database.seed(scenario)
    writer = Writer(database)
    acknowledged = 0
    try:
        for _ in range(2):
            answers = write_at_once(writer, _steps(acknowledged))
            acknowledged += _kept(answers)
            killed = database.embedded.pid
            assert killed is not None
            os.kill(killed, signal.SIGKILL)
            began = time.monotonic()
            while True:
                answers = write_at_once(writer, _steps(acknowledged))
                acknowledged += _kept(answers)
                if _kept(answers):
                    break
                assert all(isinstance(one, QueueFullError) for one in answers)
            assert time.monotonic() - began < 5
        assert writer.healthy
        assert len(versions(database)) == acknowledged
    finally:
        writer.drain()
        database.close()


def _steps(sent: int) -> list[Command]:
    return [command("open", {"attendees": 10} if sent == 0 else {"attendees": 10, "correction": "again"})]


def _kept(answers: list[Answer | BaseException]) -> int:
    return sum(isinstance(one, Answer) and one.status == 201 and not one.replayed for one in answers)


def test_a_backend_that_acknowledges_too_early_answers_before_anything_is_kept(
    database: Database, connect: Callable[[], Database], writers: list[Writer], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("loadtests.backend.writer.WRITE_BEHIND_S", 1.0)
    writers.append(Writer(database, faults=frozenset({"acknowledges_before_write"})))
    [answer] = write(writers[0], evening()[:1])
    assert answer.status == 201
    assert versions(connect()) == []
    writers[0].drain()
    assert len(versions(database)) == 1


def test_a_backend_without_idempotency_keeps_a_repetition_twice(database: Database, writers: list[Writer]):
    writers.append(Writer(database, faults=frozenset({"no_idempotency"})))
    sent = evening()[0]
    assert [answer.replayed for answer in write(writers[0], [sent, sent])] == [False, False]
    assert [number for _, number, _ in versions(database)] == [1, 2]


def test_readers_of_sqlite_see_the_last_commit_while_another_one_is_under_way(tmp_path: Path, scenario: Scenario):
    database = storage.connect(f"sqlite:///{tmp_path}/x.sqlite", tmp_path)
    database.migrate()
    database.seed(scenario)
    with database.writing() as connection:
        connection.execute(sa.update(storage.records).values(state="opened"))
        with database.reading() as other:
            assert set(other.execute(sa.select(storage.records.c.state)).scalars()) == {"expected"}
    database.close()


def test_the_embedded_server_is_there_for_whoever_needs_it(postgres: EmbeddedPostgres):
    postgres.start()  # runs already: nothing to do
    assert postgres.pid is not None


class Unreliable:
    """A database whose transactions end as told: "done", "lost" (committed, and nobody hears of it) or "gone"."""

    def __init__(self, database: Database, monkeypatch: pytest.MonkeyPatch, *ends: str) -> None:
        self._ends = list(ends)
        self._writing = database.writing
        monkeypatch.setattr(database, "writing", self.writing)

    @contextlib.contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        end = self._ends.pop(0) if self._ends else "done"
        if end == "gone":
            raise sa.exc.OperationalError("BEGIN", {}, Exception("gone"))
        with self._writing() as connection:
            yield connection
        if end == "lost":
            raise sa.exc.OperationalError("COMMIT", {}, Exception("lost"))


def test_a_lost_commit_is_found_again_by_its_key(
    database: Database, writers: list[Writer], monkeypatch: pytest.MonkeyPatch
):
    Unreliable(database, monkeypatch, "lost")
    writers.append(Writer(database))
    [answer] = write(writers[0], evening()[:1])
    assert (answer.status, answer.replayed) == (201, True)
    assert len(versions(database)) == 1


def test_where_a_commit_may_have_happened_nobody_says_that_nothing_was_written(
    database: Database, writers: list[Writer], monkeypatch: pytest.MonkeyPatch
):
    Unreliable(database, monkeypatch, "lost", "gone", "gone", "gone")
    writers.append(Writer(database))
    perhaps, surely_not = evening()[:1], evening("0003")[:1]
    [told] = write_at_once(writers[0], perhaps)
    assert isinstance(told, UnclearError)
    assert len(versions(database)) == 1
    [told] = write_at_once(writers[0], surely_not)
    assert isinstance(told, QueueFullError)
    assert [answer.replayed for answer in write(writers[0], [*perhaps, *surely_not])] == [True, False]


def test_a_writer_outlives_a_server_that_cannot_be_started(
    database: Database, writers: list[Writer], monkeypatch: pytest.MonkeyPatch
):
    revive, left = database.revive, iter(range(3))

    def too_many_files() -> None:
        if next(left, None) is not None:
            raise OSError(24, "Too many open files")
        revive()

    monkeypatch.setattr(database, "revive", too_many_files)
    Unreliable(database, monkeypatch, "gone")
    writers.append(Writer(database))
    [told] = write_at_once(writers[0], evening()[:1])
    assert isinstance(told, QueueFullError)
    assert [answer.status for answer in write(writers[0], evening()[:1])] == [201]
    assert writers[0].healthy


def test_a_photo_is_kept_where_its_row_is_written_and_only_there(
    database: Database, writers: list[Writer], monkeypatch: pytest.MonkeyPatch
):
    """Also where the transaction has to be tried again; and no row is written whose photo is not there."""

    def received(content: str) -> Command:
        file = database.photos / f"incoming-{content}"
        file.write_text(content)
        body = {"sha256": content * 32, "bytes": 2, "type": "image/jpeg"}
        return replace(command("photo", body), received=file)

    def kept() -> list[str]:
        return sorted(path.name[:2] for path in database.photos.rglob("*.jpg"))

    writers.append(Writer(database))
    [refused] = write(writers[0], [received("aa")])
    assert (refused.body["errors"][0]["code"], kept()) == ("R10", [])
    write(writers[0], evening())
    Unreliable(database, monkeypatch, "lost")
    [answer] = write(writers[0], [received("bb")])
    assert (answer.status, kept()) == (201, ["bb"])
    gone = received("cc")
    gone = replace(gone, body={**gone.body, "correction": "a better light"})
    (database.photos / "incoming-cc").unlink()
    [told] = write_at_once(writers[0], [gone])
    assert isinstance(told, FileNotFoundError)
    assert len(versions(database)) == 4
