"""A worksheet photo: a picture that any viewer opens, of the size that a telephone makes, another one for each site.

Noise in PNG, stored without compression: as hard to compress as a photograph is. Knows nothing of who sends it.
"""

from __future__ import annotations

import struct
import zlib
from functools import cache

import numpy as np

from simulation.randomness import place_id, words

PNG = "image/png"
_WIDTH = 1024
_ROW = _WIDTH + 1  # a filter byte, then one byte a pixel
_MOST_ROWS = 5_000
_SIGNATURE = b"\x89PNG\r\n\x1a\n"


@cache
def _noise() -> bytes:
    """Rows of gray noise, made once a process."""
    count = _WIDTH * _MOST_ROWS // 16  # of four words of four bytes
    drawn = np.empty((4, count), np.int64)
    words(0, 0, place_id("worksheet photo"), 0, 0, count, drawn[0], drawn[1], drawn[2], drawn[3])
    pixels = drawn.astype("<u4").view(np.uint8).reshape(_MOST_ROWS, _WIDTH)
    return np.pad(pixels, ((0, 0), (1, 0))).tobytes()


def photo(title: str, size: int) -> bytes:
    """A picture of about `size` bytes; other titles give other pictures."""
    rows = max(1, min(size // _ROW, _MOST_ROWS))
    first = place_id(title) % (_MOST_ROWS - rows + 1) * _ROW
    head = struct.pack(">IIBBBBB", _WIDTH, rows, 8, 0, 0, 0, 0)  # 8 bits of gray
    data = zlib.compress(_noise()[first : first + rows * _ROW], 0)
    text = b"Title\0" + title.encode("latin-1", "replace")
    chunks = ((b"IHDR", head), (b"tEXt", text), (b"IDAT", data), (b"IEND", b""))
    return b"".join([_SIGNATURE, *(part for kind, held in chunks for part in _chunk(kind, held))])


def _chunk(kind: bytes, data: bytes) -> tuple[bytes, ...]:
    return struct.pack(">I", len(data)), kind, data, struct.pack(">I", zlib.crc32(data, zlib.crc32(kind)))
