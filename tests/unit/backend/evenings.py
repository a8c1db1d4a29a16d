"""Commands of small evenings, and ways to have them written: for the tests of writer, audit log, keeper and backup."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from itertools import count
from typing import Any

from loadtests.backend.records import Answer, Command
from loadtests.backend.storage import Database
from loadtests.backend.writer import Writer

_keys = count(1)
FIRST = {"sanders": 50, "warren": 40, "biden": 10}  # of 100 people, who elect 5
FINAL = {"sanders": 60, "warren": 40}
DELEGATES = {"sanders": 3, "warren": 2}


def command(step: str, body: Mapping[str, Any], *, site: str = "0001", actor: str = "", key: str = "") -> Command:
    """A command with a key of its own, by the site's chair unless somebody else is named."""
    return Command(step, site, actor or site, "chair", key or f"key-{next(_keys):06d}", body)


def evening(site: str = "0001") -> list[Command]:
    """A clean evening of a site that elects 5: accepted at once."""
    return [
        command("open", {"attendees": 100}, site=site),
        command("first-alignment", {"counts": FIRST}, site=site),
        command("final", {"counts": FINAL, "delegates": DELEGATES}, site=site),
    ]


def small_evening(site: str) -> list[Command]:
    """An evening that every site of the small state can have: nobody came."""
    nobody: dict[str, int] = {}
    return [
        command("open", {"attendees": 0}, site=site),
        command("first-alignment", {"counts": nobody}, site=site),
        command("final", {"counts": nobody, "delegates": nobody}, site=site),
    ]


def write(writer: Writer, commands: Iterable[Command]) -> list[Answer]:
    """The answers of commands that are sent one after the other."""

    async def one_by_one() -> list[Answer]:
        return [await writer.do(one) for one in commands]

    return asyncio.run(one_by_one())


def write_at_once(writer: Writer, commands: Iterable[Command]) -> list[Answer | BaseException]:
    """The answers of commands that are sent all at the same time."""

    async def together() -> list[Answer | BaseException]:
        return await asyncio.gather(*map(writer.do, commands), return_exceptions=True)

    return asyncio.run(together())


def written(database: Database, commands: Iterable[Command]) -> list[Answer]:
    """The same with a writer of their own."""
    return with_writer(database, lambda writer: write(writer, commands))


def with_writer(database: Database, do: Callable[[Writer], list[Answer]]) -> list[Answer]:
    """What is done with a writer that is drained afterwards."""
    writer = Writer(database)
    try:
        return do(writer)
    finally:
        assert writer.drain()
