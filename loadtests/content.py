"""What a write says, as one digest: the same on the client's side and in the backend, whatever the order of keys.

Shared by the ledger and the backend; knows nothing of either.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

CORRECTION = "correction"  # why a step is sent again: says nothing about the figures

_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode


def canonical(value: object) -> str:
    """A value as JSON that has one spelling: keys sorted, no spaces, no escapes but those that JSON demands."""
    return _encode(value)


def content_sha256(step: str, site: str, body: Mapping[str, object]) -> str:
    """The digest of a write: its step, its site and its body, without the reason of a correction."""
    said = {key: value for key, value in body.items() if key != CORRECTION}
    return hashlib.sha256(canonical({"step": step, "site": site, "body": said}).encode()).hexdigest()
