"""When a target is gone for good, rather than slow, busy or restarting. Knows counts and a clock, nothing of Locust."""

from __future__ import annotations

GONE_S = 120.0  # without a single answer, and
_GONE_REQUESTS = 10  # so many that got none: longer than a restart takes


class Silence:
    """How long a target has answered nothing at all, though it was asked."""

    def __init__(self) -> None:
        self._answered, self._unanswered, self._since = -1, 0, 0.0

    def is_long(self, answered: int, unanswered: int, now: float) -> bool:
        """Told how many requests were answered so far, and how many were not."""
        if answered != self._answered or unanswered < self._unanswered:
            self._answered, self._unanswered, self._since = answered, unanswered, now
        return now - self._since >= GONE_S and unanswered - self._unanswered >= _GONE_REQUESTS
