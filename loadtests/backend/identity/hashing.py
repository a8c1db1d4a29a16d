"""Argon2id for PINs, and the one-time codes of a second factor. Knows nothing of users, limits or storage."""

from __future__ import annotations

import hmac
from functools import cached_property

import argon2
import pyotp

from loadtests.backend.settings import Hashing

STEP_S = 30  # of a one-time code (RFC 6238)
DRIFT_STEPS = 1  # a phone's clock may be off by so many


class Pins:
    """Makes and checks hashes at one cost; an unknown user's PIN is checked against a hash that nothing matches."""

    def __init__(self, cost: Hashing) -> None:
        self._hasher = argon2.PasswordHasher(
            time_cost=cost.passes, memory_cost=cost.memory_kib, parallelism=cost.lanes, type=argon2.Type.ID
        )

    @cached_property
    def _nobodys(self) -> str:
        return self._hasher.hash("nobody has this PIN")

    def hash(self, pin: str) -> str:
        """The hash to store, with its parameters and a salt of its own."""
        return self._hasher.hash(pin)

    def matches(self, pin_hash: str | None, pin: str) -> bool:
        """Whether the PIN is the one; it takes as long where there is no such user."""
        try:
            self._hasher.verify(pin_hash or self._nobodys, pin)
        except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError):
            return False
        return pin_hash is not None


def matching_step(secret: str, code: str, now_ms: int) -> int | None:
    """The time step for which this is the one-time code, if any; whoever accepts it refuses that step from then on."""
    totp = pyotp.TOTP(secret, interval=STEP_S)
    current = now_ms // 1000 // STEP_S
    found = None
    for step in range(current - DRIFT_STEPS, current + DRIFT_STEPS + 1):
        if hmac.compare_digest(totp.generate_otp(step).encode(), code.encode()):
            found = step
    return found
