"""Worksheet photos on their way to the disk: in blocks, never whole in memory, named by their content.

Knows nothing of reports; the row that names a photo is written after the file is safe.
"""

from __future__ import annotations

import contextlib
import hashlib
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, BinaryIO

from loadtests.backend import storage
from loadtests.backend.pool import Pool
from loadtests.backend.refusals import Refusal

MAGIC = {"image/jpeg": b"\xff\xd8\xff", "image/png": b"\x89PNG\r\n\x1a\n"}
BLOCK = 256 * 1024
INCOMING = "incoming-"  # what a photo is called until it is whole


async def receive(parts: AsyncIterator[bytes], media_type: str, folder: Path, files: Pool) -> dict[str, Any]:
    """Store a photo; its `sha256`, `bytes` and `type`. Refusal H06 or P01 before anything of a wrong kind is kept."""
    magic = MAGIC.get(media_type)
    if magic is None:
        raise Refusal("H06", f"a photo has to be sent as Content-Type: {' or '.join(MAGIC)}")
    incoming = folder / f"{INCOMING}{secrets.token_hex(16)}"
    digest, size, block, file = hashlib.sha256(), 0, bytearray(), None
    try:
        async for part in parts:
            block += part
            size += len(part)
            if len(block) >= BLOCK:
                if file is None:
                    _refuse_other(block, magic, media_type)
                    file = await files.run(incoming.open, "xb")
                await files.run(_store, file, digest, bytes(block))
                block.clear()
        if file is None:
            _refuse_other(block, magic, media_type)
            file = await files.run(incoming.open, "xb")
        await files.run(_finish, file, digest, bytes(block), folder, incoming, media_type)
    finally:
        if file is not None:
            file.close()
            with contextlib.suppress(FileNotFoundError):  # it is where it belongs
                incoming.unlink()
    return {"sha256": digest.hexdigest(), "bytes": size, "type": media_type}


def _refuse_other(beginning: bytearray, magic: bytes, media_type: str) -> None:
    if not beginning.startswith(magic):
        raise Refusal("P01", f"the bytes do not begin like {media_type}")


def _store(file: BinaryIO, digest: Any, block: bytes) -> None:
    digest.update(block)
    file.write(block)


def _finish(file: BinaryIO, digest: Any, block: bytes, folder: Path, incoming: Path, media_type: str) -> None:
    _store(file, digest, block)
    file.close()
    storage.place_photo(folder, incoming, digest.hexdigest(), media_type)
