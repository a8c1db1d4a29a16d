"""Public results over HTTP: one set of bytes a release, conditional requests, compression, old releases on demand."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import replace

import pytest
from starlette.routing import Router
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from loadtests.backend.results import formats
from loadtests.backend.results.current import Archive, TooManyError
from loadtests.backend.results.documents import Document
from loadtests.backend.results.routes import routes
from loadtests.backend.results.snapshot import Release
from tests.unit.backend.results_examples import Client, figures, release, small

EVERYTHING = (
    *("/results", "/results.json", "/results.csv", "/results/nist.json"),
    *("/results/counties/Polk.json", "/results/counties/O'Brien.html", "/results/sites/0001.json"),
    *("/results/releases/1.json", "/results/releases/1.csv"),
)


def served(current: Callable[[], Release], archive: Archive | None = None) -> Client:
    """A client of an application that has these routes only."""
    return Client(Router(routes(current, archive or Archive(lambda _: current()))))


@pytest.fixture
def client() -> Client:
    found = small()
    return served(lambda: found)


@pytest.mark.parametrize("path", EVERYTHING)
def test_a_reader_who_has_it_already_is_sent_nothing(client: Client, path: str) -> None:
    first = client.get(path)
    assert first.status_code == 200
    again = client.get(path, headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    assert again.headers["cache-control"] == first.headers["cache-control"]
    assert again.headers["vary"] == "Accept-Encoding"


@pytest.mark.parametrize("path", EVERYTHING)
def test_a_head_is_the_head_of_the_answer(client: Client, path: str) -> None:
    whole, head = client.get(path), client.head(path)
    assert head.content == b""
    assert head.headers == whole.headers


@pytest.mark.parametrize("path", EVERYTHING)
def test_compressed_and_plain_say_the_same_under_different_tags(client: Client, path: str) -> None:
    plain = client.get(path, headers={"Accept-Encoding": "identity"})
    compressed = client.get(path, headers={"Accept-Encoding": "br;q=1.0, gzip;q=0.8"})
    assert "content-encoding" not in plain.headers
    assert compressed.headers["content-encoding"] == "gzip"
    assert compressed.content == plain.content  # the client has unpacked it
    assert int(plain.headers["content-length"]) == len(plain.body)
    assert int(compressed.headers["content-length"]) == len(compressed.body)
    assert plain.headers["etag"] != compressed.headers["etag"]


@pytest.mark.parametrize(
    ("accepted", "compressed"),
    [("gzip", True), ("deflate, gzip", True), ("gzip;q=0", False), ("br, gzip;q=0.0", False), ("gzip;q=0.1", True),
     ("br", False), ("br;q=0, gzip", True), ("gzip;q=x", True)],
)  # fmt: skip
def test_gzip_is_sent_to_those_who_take_it(client: Client, accepted: str, compressed: bool) -> None:
    answer = client.get("/results.csv", headers={"Accept-Encoding": accepted})
    assert ("content-encoding" in answer.headers) is compressed


@pytest.mark.parametrize(
    ("known", "status"),
    [("*", 304), ('"other", {etag}', 304), ("W/{etag}", 304), ('"other"', 200), ("", 200), ("{etag}x", 200)],
)
def test_if_none_match_takes_lists_weak_tags_and_any(client: Client, known: str, status: int) -> None:
    etag = client.get("/results.json").headers["etag"]
    assert client.get("/results.json", headers={"If-None-Match": known.format(etag=etag)}).status_code == status


def test_a_release_is_compressed_to_the_same_bytes_in_every_process() -> None:
    one, other = (served(small).get("/results.json", {"Accept-Encoding": "gzip"}) for _ in range(2))
    assert one.body == other.body
    assert one.headers["etag"] == other.headers["etag"]


def test_what_a_layer_above_adds_to_an_answer_is_not_in_the_next_one() -> None:
    """The headers are made once, and each answer has its own copy."""
    found = small()

    class Adding:
        def __init__(self, app: ASGIApp) -> None:
            self.app = app

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            async def more(message: Message) -> None:
                if message["type"] == "http.response.start":
                    message["headers"].append((b"x-request-id", b"1"))
                await send(message)

            await self.app(scope, receive, more)

    adding = Client(Adding(Router(routes(lambda: found, Archive(lambda _: None)))))
    answers = [adding.get("/results.json").raw_headers for _ in range(2)]
    assert [headers.count((b"x-request-id", b"1")) for headers in answers] == [1, 1]


def test_a_newer_release_changes_every_tag() -> None:
    old = small()
    new = release(old.election, {"0001": figures((60, 40), (50, 50), (2, 2))}, 2)
    serving = [old]
    client = served(lambda: serving[0])
    before = {path: client.get(path).headers["etag"] for path in EVERYTHING[:7]}
    serving[0] = new
    for path, etag in before.items():
        answer = client.get(path, headers={"If-None-Match": etag})
        assert answer.status_code == 200
        assert answer.headers["etag"] != etag


def test_pages_may_ask_for_nothing_and_run_nothing(client: Client) -> None:
    policy = client.get("/results").headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src" not in policy


def test_anybodys_page_may_read_the_figures(client: Client) -> None:
    assert client.get("/results.json").headers["access-control-allow-origin"] == "*"


@pytest.mark.parametrize(
    "path",
    [
        *("/results/sites/9999.json", "/results/counties/Nowhere.json", "/results/counties/.html"),
        *("/results/releases/2.json", "/results/releases/0.csv", "/results/releases/01.csv"),
        *("/results/releases/-1.json", "/results/releases/1e9.json", "/results/releases/²v.json"),
        *("/results/releases/².json", "/results/releases/99999999999999999999.json"),
    ],
)
def test_what_is_not_there_is_not_found_and_not_cached(client: Client, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 404
    assert answer.json()["errors"][0]["code"] == "H02"
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_results_are_only_read(client: Client, method: str) -> None:
    assert client.request(method, "/results.json").status_code == 405


# Old releases


def test_an_old_release_stays_as_it_was_and_may_be_kept_for_good() -> None:
    old = small()
    new = release(old.election, {"0001": figures((60, 40), (50, 50), (2, 2))}, 2)
    client = served(lambda: new, Archive({1: old, 2: new}.get))
    assert client.get("/results/releases/1.json").json()["final"] == {"ada": 68, "ben": 61}
    assert client.get("/results.json").json()["final"] == {"ada": 50, "ben": 50}
    assert "immutable" in client.get("/results/releases/1.csv").headers["cache-control"]
    assert "immutable" not in client.get("/results.csv").headers["cache-control"]


class Slow:
    """A database that answers when it is let go, and counts who asks."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.go = threading.Event()
        self.at_once = 0
        self.most_at_once = 0

    def __call__(self, number: int) -> Release | None:
        self.asked.append(number)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        assert self.go.wait(10)
        self.at_once -= 1
        return small() if number < 90 else None


def test_a_crowd_that_wants_one_old_release_asks_the_database_once() -> None:
    slow = Slow()
    archive = Archive(slow)

    async def crowd() -> list[Release | None]:
        waiting = [asyncio.create_task(archive.get(3, 50)) for _ in range(200)]
        await asyncio.sleep(0.02)
        slow.go.set()
        return await asyncio.gather(*waiting)

    found = asyncio.run(crowd())
    assert slow.asked == [3]
    assert len({id(each) for each in found}) == 1


def test_a_crowd_that_wants_different_old_releases_asks_one_after_the_other_and_no_more_than_a_few_wait() -> None:
    slow = Slow()
    archive = Archive(slow, waiting=4)

    async def crowd() -> list[object]:
        waiting = [asyncio.create_task(archive.get(number, 50)) for number in range(1, 31)]
        await asyncio.sleep(0.02)
        slow.go.set()
        return list(await asyncio.gather(*waiting, return_exceptions=True))

    found = asyncio.run(crowd())
    assert sum(isinstance(each, Release) for each in found) == 4
    assert sum(isinstance(each, TooManyError) for each in found) == 26
    assert slow.most_at_once == 1


def test_a_reader_who_hangs_up_does_not_take_the_answer_from_the_others() -> None:
    slow = Slow()
    archive = Archive(slow)

    async def crowd() -> Release | None:
        first = asyncio.create_task(archive.get(3, 50))
        await asyncio.sleep(0.02)
        second = asyncio.create_task(archive.get(3, 50))
        await asyncio.sleep(0.02)
        first.cancel()
        slow.go.set()
        return await second

    assert isinstance(asyncio.run(crowd()), Release)


def test_few_old_releases_are_kept_the_last_asked_for() -> None:
    slow = Slow()
    slow.go.set()
    archive = Archive(slow, kept=2)

    async def ask() -> None:
        for number in (1, 2, 1, 3, 1, 2):
            await archive.get(number, 50)

    asyncio.run(ask())
    assert slow.asked == [1, 2, 3, 2]


def test_a_database_that_fails_is_asked_again_by_the_next_reader() -> None:
    failing = [True]

    def load(_number: int) -> Release | None:
        if failing.pop() if failing else False:
            raise RuntimeError("gone")
        return small()

    archive = Archive(load)

    async def ask() -> Release | None:
        with pytest.raises(RuntimeError):
            await archive.get(1, 5)
        return await archive.get(1, 5)

    assert isinstance(asyncio.run(ask()), Release)


def test_numbers_that_cannot_be_never_reach_the_database() -> None:
    slow = Slow()
    archive = Archive(slow)

    async def ask() -> list[Release | None]:
        return [await archive.get(number, 5) for number in (0, -1, 6, 10**8)]

    assert asyncio.run(ask()) == [None] * 4
    assert slow.asked == []


def test_results_that_did_not_change_are_not_made_again() -> None:
    """A release takes over what is the same from the one before: that is what makes one a second cheap."""
    old = small()
    versions = {code: result.figures for code, result in old.results.items()}
    changed = replace(versions["0001"], version=4, final=(57, 43))
    new = release(old.election, versions | {"0001": changed}, 2, previous=old)
    assert new.results["0003"] is old.results["0003"]
    assert new.results["0001"].figures.final == (57, 43)
    assert new.state.final == (67, 62)


def test_a_document_that_is_built_on_demand_is_built_once_for_a_crowd(monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[str] = []
    real = formats.document

    def counted(release: Release, kind: str, of: str, cache: str) -> Document | None:
        built.append(kind)
        return real(release, kind, of, cache)

    monkeypatch.setattr(formats, "document", counted)
    found = small()
    application = Router(routes(lambda: found, Archive(lambda _: None)))

    async def crowd() -> None:
        async def nobody() -> Message:
            return {"type": "http.request"}

        async def ignore(_message: Message) -> None:
            return

        scope = {"type": "http", "method": "GET", "path": "/results/nist.json", "headers": []}
        await asyncio.gather(*(application(dict(scope), nobody, ignore) for _ in range(50)))

    asyncio.run(crowd())
    assert built == ["nist"]


def test_what_is_not_there_leaves_nothing_behind() -> None:
    found = small()
    client = served(lambda: found)
    before = len(found._documents)
    for number in range(100):
        assert client.get(f"/results/sites/x{number}.json").status_code == 404
    assert len(found._documents) == before
