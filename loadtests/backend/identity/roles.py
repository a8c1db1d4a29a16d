"""The five roles, and whose reports each may reach. Knows nothing of how anybody proves who he is."""

from __future__ import annotations

from dataclasses import dataclass

CHAIR = "chair"
CLERK = "clerk"
REVIEWER = "reviewer"
ADMINISTRATOR = "administrator"
OBSERVER = "observer"


@dataclass(frozen=True, slots=True)
class Session:
    """Somebody who logged in: what a token stands for until it expires."""

    token_sha256: str
    user: str
    role: str
    site: str | None  # a chair's own
    device: str
    expires_at_ms: int

    def may_reach(self, site: str) -> bool:
        """Whether this session's own-site rule allows the site; which operations its role allows is asked apart."""
        return self.role != CHAIR or self.site == site
