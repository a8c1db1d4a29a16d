"""How often somebody may try: token buckets in this process, and locks by failures that the database remembers.

Locks hit the guesser: whoever comes from elsewhere to a precinct that is guessed at is slowed down, and let in. All of
it is answered before any PIN is hashed. Knows nothing of accounts: an unknown user is locked like a known one.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import NamedTuple


class Rate(NamedTuple):
    """Of a token bucket: so many at once, and so many more each second."""

    burst: int
    per_s: float


BY_ADDRESS, BY_DEVICE = Rate(60, 2.0), Rate(10, 0.2)  # attempts to log in, right or wrong


class Buckets:
    """A token bucket for each key: `burst` tries at once, `per_s` more each second; `most` keys are kept."""

    def __init__(self, burst: float, per_s: float, most: int = 65_536) -> None:
        self._burst = burst
        self._per_s = per_s
        self._most = most
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()  # key: tokens left, and when

    def wait_s(self, key: str, now_s: float) -> float:
        """The seconds until there is a token; 0: there is one."""
        return max(0.0, (1 - self.left(key, now_s)) / self._per_s)

    def take(self, key: str, now_s: float) -> float:
        """Take a token and return 0, or the seconds until there is one."""
        left = self.left(key, now_s)
        if left < 1:
            return (1 - left) / self._per_s
        self._levels[key] = (left - 1, now_s)
        self._levels.move_to_end(key)
        if len(self._levels) > self._most:
            self._levels.popitem(last=False)  # the one that was taken from longest ago: full again, or nearly
        return 0.0

    def hold(self, key: str, now_s: float) -> None:
        """Whoever comes again before a token is back has to wait for it anew."""
        left, since_s = self._levels.get(key, (self._burst, now_s))
        if (now_s - since_s) * self._per_s < 1 and left < self._burst:
            self._levels[key] = (left, now_s)
            self._levels.move_to_end(key)

    def left(self, key: str, now_s: float) -> float:
        """The tokens that are there, whole or in part."""
        left, since_s = self._levels.get(key, (self._burst, now_s))
        return min(self._burst, left + (now_s - since_s) * self._per_s)


@dataclass(frozen=True, slots=True)
class Lock:
    """So many failures within the window, and the next attempt has to wait until the oldest of them is past it."""

    failures: int
    window_ms: int
    spares_known_devices: bool
    line: str
    one_in_ms: int | None = None  # networks without a failure of this user still get one attempt in so long


# A PIN of 6 digits is one of a million. Past 20 failures an hour a user gets one attempt in 30 s, and only from a
# network that has not failed in this hour: at most 120 guesses an hour, 2,880 a day, and only for who has 120 networks.
# That is 1 chance in 350 a day against one precinct, 1 in 1,000 in a night of 8 hours; who has one network makes 20
# an hour, 1 in 6,000 a night. 30 a quarter of an hour from one address leave a school with 30 precincts alone.
LOCKS: Mapping[str, Lock] = {
    "device": Lock(5, 15 * 60_000, False, "failures of one user on one device"),
    "address": Lock(5, 15 * 60_000, True, "failures of one user from one address"),
    "source": Lock(30, 15 * 60_000, True, "failures of any users from one address"),
    "user": Lock(20, 60 * 60_000, True, "failures of one user from anywhere", one_in_ms=30_000),
}
LONGEST_WINDOW_MS = max(lock.window_ms for lock in LOCKS.values())
# After so many failures of unknown devices, hashes for their address and network wait behind those of everybody else.
# Not after the first one: people mistype PINs, and whoever shares their network would be turned away with guessers.
SUSPICIOUS = 2


@dataclass(frozen=True, slots=True)
class Failures:
    """Failures within one lock's window: how many, when the oldest and the newest were, and from which networks.

    The networks are told only where the lock spares others.
    """

    count: int
    oldest_at_ms: int
    newest_at_ms: int = 0
    networks: Collection[str] = ()


def locked_for_ms(found: Mapping[str, Failures], known_device: bool, network: str, now_ms: int) -> int:
    """How long this attempt has to wait; 0: not at all.

    Whoever logged in on this device before is spared what strangers did: only failures on the device itself count.
    """
    return max(
        (
            _closed_for_ms(lock, found[name], network, now_ms)
            for name, lock in LOCKS.items()
            if found[name].count >= lock.failures and not (known_device and lock.spares_known_devices)
        ),
        default=0,
    )


def _closed_for_ms(lock: Lock, failures: Failures, network: str, now_ms: int) -> int:
    if lock.one_in_ms is None or network in failures.networks:
        return max(1, failures.oldest_at_ms + lock.window_ms - now_ms)
    if failures.count == lock.failures:  # the first one past the limit goes at once
        return 0
    return max(0, failures.newest_at_ms + lock.one_in_ms - now_ms)


def is_suspicious(found: Mapping[str, Failures], known_device: bool) -> bool:
    """Whether this attempt's hash waits behind the others', so that guessing does not delay the chairs."""
    if known_device:
        return False
    return found["source"].count >= SUSPICIOUS


def _shown(per_s: float) -> str:
    return f"{per_s:g} a second" if per_s >= 1 else f"one in {1 / per_s:g} s"


def locks_markdown() -> str:
    """What the reference page says of both."""
    attempts = [
        f"{who} has {rate.burst} at once, and then {_shown(rate.per_s)}"
        for who, rate in (("an address", BY_ADDRESS), ("a device", BY_DEVICE))
    ]
    said = (
        f"Every attempt counts, right or wrong: {'; '.join(attempts)}. Beyond that it is A06. Failures count besides:\n"
    )
    rows = []
    for one in LOCKS.values():
        past = "none"
        if one.one_in_ms is not None:
            past = f"one in {one.one_in_ms // 1000} s, from networks that did not fail"
        known = "no" if one.spares_known_devices else "yes"
        rows.append(f"| {one.line} | {one.failures} | {one.window_ms // 60_000} | {past} | {known} |")
    head = (
        "| what is counted | most | within minutes | attempts past that | also where the user logged in before |",
        "|---|---|---|---|---|",
    )
    return "\n".join((said, *head, *rows)) + "\n"
