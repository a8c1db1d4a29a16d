"""A document as HTTP gives it: its bytes once, plain and compressed, with the headers of every answer made beforehand.

Answers GET, HEAD and conditional requests in as few steps as ASGI allows. Knows nothing of what a document says.
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Mapping

from starlette.types import Scope, Send

START, BODY = "http.response.start", "http.response.body"  # of ASGI
CHANGING = "public, max-age=5, stale-while-revalidate=30"  # the newest release: caches may ask again every 5 s
FIXED = "public, max-age=31536000, immutable"  # an old release never changes
LEVEL = 6  # of compression; once a release, so that every reader gains


class Document:
    """One representation of a release. Strong ETags: the compressed bytes have one of their own (RFC 9110, 8.8.3.3)."""

    __slots__ = ("_gzip", "_plain", "body", "content_type", "etag")

    def __init__(self, body: bytes, content_type: str, cache: str = CHANGING, more: Mapping[str, str] | None = None):
        digest = hashlib.sha256(body).hexdigest()[:32]
        self.body, self.content_type, self.etag = body, content_type, f'"{digest}"'
        common = {
            "cache-control": cache,
            "vary": "Accept-Encoding",
            "access-control-allow-origin": "*",  # public figures: anybody's page may read them
            **(more or {}),
        }
        # mtime=0: every process makes the same bytes, and so the same ETag means the same thing behind a balancer
        self._plain = _Variant(body, content_type, self.etag, common, None)
        self._gzip = _Variant(gzip.compress(body, LEVEL, mtime=0), content_type, f'"{digest}-gzip"', common, "gzip")

    async def __call__(self, scope: Scope, send: Send) -> None:
        """Answer a GET or HEAD."""
        variant, known = self._plain, b""
        for name, value in scope["headers"]:
            if name == b"accept-encoding":
                if b"gzip" in value and (b"q=0" not in value or _accepts_gzip(value)):
                    variant = self._gzip
            elif name == b"if-none-match":
                known = value if not known else known + b"," + value
        if known and (known == variant.etag or _matches(known, variant.etag)):
            await send({"type": START, "status": 304, "headers": variant.kept.copy()})
            await send({"type": BODY, "body": b""})
            return
        # copies: whatever stands between here and the server may add to what it is given
        await send({"type": START, "status": 200, "headers": variant.headers.copy()})
        await send({"type": BODY, "body": variant.body if scope["method"] != "HEAD" else b""})


class _Variant:
    """One content coding: its bytes, its headers, and those of them that an unchanged answer keeps."""

    __slots__ = ("body", "etag", "headers", "kept")

    def __init__(self, body: bytes, content_type: str, etag: str, common: Mapping[str, str], coding: str | None):
        self.body, self.etag = body, etag.encode()
        self.kept = [(b"etag", self.etag), *((name.encode(), value.encode()) for name, value in common.items())]
        self.headers = [
            (b"content-type", content_type.encode()),
            (b"content-length", str(len(body)).encode()),
            (b"x-content-type-options", b"nosniff"),
            *([(b"content-encoding", coding.encode())] if coding else []),
            *self.kept,
        ]


def _accepts_gzip(value: bytes) -> bool:
    """Whether Accept-Encoding lets gzip in, where a weight of 0 may forbid it; `gzip` itself counts before `*`."""
    for part in value.lower().split(b","):
        coding, _, weight = part.partition(b";")
        if coding.strip() in (b"gzip", b"x-gzip"):
            return _weight(weight) > 0
    return False


def _weight(text: bytes) -> float:
    name, _, number = text.strip().partition(b"=")
    if name.strip() != b"q":
        return 1.0
    try:
        return float(number)
    except ValueError:
        return 0.0


def _matches(known: bytes, etag: bytes) -> bool:
    """If-None-Match: any, or one of a list, by weak comparison (RFC 9110, 13.1.2)."""
    return any(tag.strip().removeprefix(b"W/") in (etag, b"*") for tag in known.split(b","))
