"""Worksheet photos on their way to the disk and back: in blocks, never whole in memory, named by their content.

Knows nothing of reports; the row that names a photo is written after the file is safe.
A photo whose row is not written leaves nothing behind.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from starlette.types import Send

from loadtests.backend import photo_files
from loadtests.backend.edge import NO_STORE, NOSNIFF, Reply
from loadtests.backend.pool import Pool
from loadtests.backend.refusals import Refusal

_T = TypeVar("_T")

MAGIC = {"image/jpeg": b"\xff\xd8\xff", "image/png": b"\x89PNG\r\n\x1a\n"}
BLOCK = 256 * 1024
INCOMING = "incoming-"  # what a photo is called until it is whole
SWEPT_AFTER_S = 3600  # so long nothing takes between a photo's last byte and its row, in whatever process


@dataclass(frozen=True, slots=True)
class Received:
    """A photo that is on the disk, under a name that nobody looks for."""

    facts: dict[str, Any]  # `sha256`, `bytes` and `type`
    file: Path


@asynccontextmanager
async def received(parts: AsyncIterator[bytes], media_type: str, folder: Path, files: Pool) -> AsyncIterator[Received]:
    """A photo until the end of the block, which is gone unless somebody put it where it belongs (`photo_files`).

    Refusal P01 before anything of a wrong kind is kept, H09 where the disk takes no more.
    """
    incoming = folder / f"{INCOMING}{secrets.token_hex(16)}"
    magic, digest, size, block, file = MAGIC[media_type], hashlib.sha256(), 0, bytearray(), None
    try:
        async for part in parts:
            block += part
            size += len(part)
            if len(block) >= BLOCK:
                if file is None:
                    _refuse_other(block, magic, media_type)
                    file = await _kept(files, _new, incoming)
                await _kept(files, _store, file, digest, bytes(block))
                block.clear()
        if file is None:
            _refuse_other(block, magic, media_type)
            file = await _kept(files, _new, incoming)
        await _kept(files, _finish, file, digest, bytes(block))
        yield Received({"sha256": digest.hexdigest(), "bytes": size, "type": media_type}, incoming)
    finally:
        if file is not None:
            file.close()
            with contextlib.suppress(FileNotFoundError):  # it is where it belongs
                incoming.unlink()


async def _kept(files: Pool, act: Callable[..., _T], *arguments: Any) -> _T:
    """What is done with a file; a disk that is full is no mistake of the sender's."""
    try:
        return await files.run(act, *arguments)
    except OSError as error:
        raise Refusal("H09", f"no photo can be stored now: {error.strerror}", retry_after_s=5) from None


def refuse_type(media_type: str) -> None:
    """Refusal H06 for what is not declared a photo."""
    if media_type not in MAGIC:
        raise Refusal("H06", f"a photo has to be sent as Content-Type: {' or '.join(MAGIC)}")


class PhotoReply(Reply):
    """An answer that is a photo, read and sent block by block."""

    def __init__(self, file: BinaryIO, media_type: str, files: Pool) -> None:
        super().__init__(200)
        self._file = file
        self._media_type = media_type
        self._files = files

    async def send(self, send: Send) -> None:
        """Give it to the server."""
        with self._file:
            size = os.fstat(self._file.fileno()).st_size
            headers = [
                (b"content-type", self._media_type.encode()),
                NO_STORE,
                NOSNIFF,
                (b"content-length", str(size).encode()),
            ]
            await send({"type": "http.response.start", "status": self.status, "headers": headers})
            while block := await self._files.run(self._file.read, BLOCK):
                await send({"type": "http.response.body", "body": block, "more_body": True})
            await send({"type": "http.response.body", "body": b""})


async def stored(folder: Path, facts: Mapping[str, Any], files: Pool) -> PhotoReply:
    """The photo that a record names. Refusal H02 where its file is gone."""
    path = photo_files.photo_path(folder, facts["sha256"], facts["type"])
    try:
        file = await files.run(path.open, "rb")
    except FileNotFoundError:
        raise Refusal("H02", "the photo is gone: `caucus backend verify` names it") from None
    return PhotoReply(file, facts["type"], files)


def sweep(folder: Path, named: Callable[[], Collection[str]]) -> None:
    """Remove what a crash has left: photos that never became whole, or whose row was not written.

    Nobody was told that they are held. `named` gives the digests that rows name.
    """
    before = time.time() - SWEPT_AFTER_S
    for path in folder.glob(f"{INCOMING}*"):
        with contextlib.suppress(OSError):
            if path.stat().st_mtime < before:
                path.unlink()
    old = [path for path in folder.glob("??/*.*") if _is_old(path, before)]
    held = named() if old else ()  # after the look at the files: a row that was written meanwhile is among them
    for path in old:
        if path.stem not in held:
            with contextlib.suppress(FileNotFoundError):
                _remove(path, folder / f"{INCOMING}{secrets.token_hex(16)}", before)


def _is_old(path: Path, before: float) -> bool:
    try:
        return path.stat().st_mtime < before
    except FileNotFoundError:
        return False


def _remove(path: Path, aside: Path, before: float) -> None:
    """Put aside first: the same photo may have been received again since, and then it goes back."""
    path.rename(aside)
    if not _is_old(aside, before):
        with contextlib.suppress(FileExistsError):
            os.link(aside, path)
    aside.unlink()


def _refuse_other(beginning: bytearray, magic: bytes, media_type: str) -> None:
    if not beginning.startswith(magic):
        raise Refusal("P01", f"the bytes do not begin like {media_type}")


def _new(path: Path) -> BinaryIO:
    """A file of its owner's."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


def _store(file: BinaryIO, digest: Any, block: bytes) -> None:
    digest.update(block)
    file.write(block)


def _finish(file: BinaryIO, digest: Any, block: bytes) -> None:
    """Write the last block; what waits for the disk waits here, not in the one thread that writes rows."""
    _store(file, digest, block)
    file.flush()
    os.fsync(file.fileno())
    file.close()
