"""Every reason for which a request is turned away before its content is judged: one code, one documented line each.

What is wrong with a report itself stands in `checks`. Knows nothing of HTTP beyond status codes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a request is turned away: the status of its answer, and the line that documents it."""

    status: int
    line: str


REASONS: Mapping[str, Reason] = {
    "A01": Reason(401, "the header `Authorization: Bearer TOKEN` or the header `X-Device` is missing or malformed"),
    "A02": Reason(401, "the token is unknown, has expired, was logged out, or belongs to another device"),
    "A03": Reason(401, "user, PIN or second factor is wrong; which of them is not said"),
    "A04": Reason(403, "this role may not do this"),
    "A05": Reason(403, "a chair reaches the reports of one site, that chair's own"),
    "A06": Reason(429, "too many attempts from this address or device, or for this user; Retry-After says how long"),
    "A07": Reason(503, "too many log-ins at once; Retry-After says when to try again"),
    "H01": Reason(400, "the body is not JSON"),
    "H02": Reason(404, "there is nothing at this address, or no such site"),
    "H03": Reason(405, "another method is needed: the header Allow names them"),
    "H04": Reason(408, "the body did not arrive in time"),
    "H05": Reason(413, "the body is too large: 64 KiB for JSON, 5 MB for a photo"),
    "H06": Reason(415, "another Content-Type is needed"),
    "H07": Reason(422, "a value is missing, of the wrong type, out of its bounds, or not expected"),
    "H08": Reason(500, "a fault of the service; nothing was acknowledged, the same request may be sent again"),
    "H09": Reason(503, "the service is busy: it took nothing, Retry-After says when to send the same request again"),
    "H10": Reason(
        504,
        "the database was lost while it stored this: it may be stored or not; the same request, with the same "
        "Idempotency-Key, finds out and does no harm",
    ),
    "H11": Reason(431, "the head of the request is larger than 32 KiB"),
    "P01": Reason(409, "the bytes are not the photo that Content-Type says they are"),
}


class Refusal(Exception):  # noqa: N818  # nothing failed: it is an answer
    """A request that is turned away; `retry_after_s` becomes the header Retry-After."""

    def __init__(
        self, code: str, message: str | None = None, *, field: str | None = None, retry_after_s: float | None = None
    ) -> None:
        reason = REASONS[code]
        self.code = code
        self.status = reason.status
        self.message = message or reason.line
        self.field = field
        self.retry_after_s = retry_after_s
        super().__init__(f"{code}: {self.message}")


def refusals_markdown() -> str:
    """The table of the reference page."""
    rows = [f"| {code} | {reason.status} | {reason.line} |" for code, reason in REASONS.items()]
    return "\n".join(("| code | status | meaning |", "|---|---|---|", *rows)) + "\n"
