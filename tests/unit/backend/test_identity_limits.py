"""How often somebody may try, whose address counts, and what a one-time code is worth: without a server."""

from __future__ import annotations

import argon2
import pyotp
import pytest

from loadtests.backend.identity.addresses import client_address, limit_key
from loadtests.backend.identity.hashing import Pins, matching_step
from loadtests.backend.identity.limits import LOCKS, Buckets, Failures, is_suspicious, locked_for_ms, locks_markdown
from loadtests.backend.settings import Hashing, networks

NOW_MS = 1_800_000_000_000
PROXIES = networks(["10.0.0.0/8", "::1"])


HERE = "192.0.2.0/24"


def _failures(*networks: str, **counts: int) -> dict[str, Failures]:
    return {name: Failures(counts.get(name, 0), NOW_MS - 60_000, NOW_MS - 10_000, networks) for name in LOCKS}


def test_a_bucket_gives_its_burst_and_then_its_rate():
    buckets = Buckets(burst=3, per_s=0.5)
    assert [buckets.take("a", 0.0) for _ in range(3)] == [0, 0, 0]
    assert buckets.take("a", 0.0) == pytest.approx(2)
    assert buckets.take("a", 1.0) == pytest.approx(1)
    assert buckets.take("b", 1.0) == 0, "somebody else has a bucket of his own"
    assert buckets.take("a", 2.0) == 0


def test_strangers_without_end_do_not_fill_the_memory():
    buckets = Buckets(burst=3, per_s=0.5, most=100)
    for number in range(1000):
        buckets.take(str(number), 0.0)
    assert len(buckets._levels) == 100


def test_a_bucket_that_is_held_gets_nothing_back_for_less_than_a_whole_wait():
    buckets = Buckets(burst=2, per_s=1 / 60)
    buckets.hold("new", 0)
    assert buckets.left("new", 0) == 2
    for _ in range(2):
        buckets.take("guesser", 0)
    for at_s in range(30, 3600, 30):
        buckets.hold("guesser", at_s)
        assert buckets.left("guesser", at_s) < 1
    assert buckets.left("guesser", 3570 + 60) == pytest.approx(1)
    buckets.hold("guesser", 3570 + 61)
    assert buckets.left("guesser", 3570 + 61) > 1, "what came back while nobody came stays"


@pytest.mark.parametrize("name", list(LOCKS))
def test_every_lock_closes_at_its_count_and_opens_when_its_oldest_failure_is_past(name: str):
    lock = LOCKS[name]
    assert locked_for_ms(_failures(HERE, **{name: lock.failures - 1}), False, HERE, NOW_MS) == 0
    assert locked_for_ms(_failures(HERE, **{name: lock.failures}), False, HERE, NOW_MS) == lock.window_ms - 60_000


def test_who_comes_from_a_network_that_did_not_guess_is_let_in_slowly():
    lock = LOCKS["user"]
    assert locked_for_ms(_failures("203.0.113.0/24", user=lock.failures), False, HERE, NOW_MS) == 0
    more = _failures("203.0.113.0/24", user=lock.failures + 1)
    assert locked_for_ms(more, False, HERE, NOW_MS) == 20_000
    assert locked_for_ms(more, False, HERE, NOW_MS + 20_000) == 0


def test_guessing_one_precincts_pin_stays_hopeless():
    lock = LOCKS["user"]
    assert lock.one_in_ms is not None
    guesses_a_day = 24 * max(lock.failures, lock.window_ms // lock.one_in_ms)
    assert guesses_a_day <= 2_880
    assert guesses_a_day / 3 / 10**6 < 1 / 1_000, "in a night of 8 hours, of a million PINs"


def test_strangers_failures_neither_lock_nor_delay_a_device_that_logged_in_before():
    attacked = _failures(address=1000, source=1000, user=1000)
    assert locked_for_ms(attacked, True, HERE, NOW_MS) == 0
    assert not is_suspicious(attacked, True)
    assert locked_for_ms(attacked, False, HERE, NOW_MS) > 0
    assert is_suspicious(attacked, False)


def test_failures_on_the_known_device_itself_lock_it():
    assert locked_for_ms(_failures(device=5), True, HERE, NOW_MS) > 0


def test_the_page_of_locks_has_a_line_for_each():
    said, _, table = locks_markdown().partition("\n\n")
    assert "an address has 60 at once, and then 2 a second; a device has 10 at once, and then one in 5 s" in said
    assert table.count("\n") == 2 + len(LOCKS)


@pytest.mark.parametrize(
    ("peer", "forwarded", "counts"),
    [
        ("203.0.113.9", ["198.51.100.1"], "203.0.113.9"),  # a stranger's claim
        ("10.1.1.1", ["198.51.100.1"], "198.51.100.1"),
        ("10.1.1.1", ["1.2.3.4, 198.51.100.1"], "198.51.100.1"),  # what stands before it is the client's own claim
        ("10.1.1.1", ["198.51.100.1, 10.2.2.2"], "198.51.100.1"),  # two proxies
        ("10.1.1.1", ["1.2.3.4", "198.51.100.1"], "198.51.100.1"),  # the header twice
        ("10.1.1.1", [], "10.1.1.1"),
        ("10.1.1.1", ["unknown"], "10.1.1.1"),
        ("10.1.1.1", ["10.3.3.3"], "10.3.3.3"),
        ("::1", ["2001:db8::7"], "2001:db8::7"),
        ("::ffff:10.0.0.7", ["203.0.113.5"], "203.0.113.5"),  # a socket of both kinds names an IPv4 proxy so
        ("10.1.1.1", ["203.0.113.5, ::ffff:10.2.2.2"], "203.0.113.5"),
        ("10.1.1.1", ["203.0.113.5:41234"], "203.0.113.5"),
        ("10.1.1.1", ["[2001:db8::7]:41234"], "2001:db8::7"),
        ("10.1.1.1", ["[2001:db8::7]"], "2001:db8::7"),
        ("10.1.1.1", ["203.0.113.5:port"], "10.1.1.1"),
    ],
)
def test_only_a_named_proxy_says_whose_address_counts(peer: str, forwarded: list[str], counts: str):
    assert client_address(peer, forwarded, PROXIES) == counts
    assert client_address(peer, forwarded, ()) == peer


def test_one_household_with_ipv6_is_one_address():
    assert limit_key("2001:db8:1:2:3:4:5:6") == limit_key("2001:db8:1:2::9") == "2001:db8:1:2::/64"
    assert limit_key("2001:db8:1:3::9") != limit_key("2001:db8:1:2::9")
    assert limit_key("::ffff:203.0.113.9") == limit_key("203.0.113.9") == "203.0.113.9"
    assert limit_key("not an address") == "not an address"


def test_the_cost_of_a_hash_is_one_of_owasps_or_more():
    cost = Hashing()
    assert (cost.memory_kib, cost.passes, cost.lanes) == (19_456, 2, 1)
    assert Pins(cost).hash("123456").startswith("$argon2id$v=19$m=19456,t=2,p=1$")


class _Counted:
    """A hasher that counts what it verifies."""

    def __init__(self, hasher: argon2.PasswordHasher) -> None:
        self.hash, self._verify, self.verified = hasher.hash, hasher.verify, 0

    def verify(self, pin_hash: str, pin: str) -> bool:
        self.verified += 1
        return self._verify(pin_hash, pin)


def test_an_unknown_users_pin_is_hashed_too():
    pins = Pins(Hashing(memory_kib=8, passes=1))
    right = pins.hash("123456")
    counted = _Counted(pins._hasher)
    pins._hasher = counted  # type: ignore[assignment]  # as much of a hasher as is needed
    assert pins.matches(right, "123456")
    assert not pins.matches(right, "654321")
    assert not pins.matches(None, "nobody has this PIN")
    assert counted.verified == 3
    assert not pins.matches("no hash at all", "123456")


def test_a_code_is_worth_its_own_half_minute_and_the_ones_beside_it():
    secret = pyotp.random_base32()
    code = pyotp.TOTP(secret).at(NOW_MS // 1000)
    step = NOW_MS // 1000 // 30
    assert matching_step(secret, code, NOW_MS) == step
    assert matching_step(secret, code, NOW_MS + 30_000) == step
    assert matching_step(secret, code, NOW_MS - 30_000) == step
    assert matching_step(secret, code, NOW_MS + 90_000) is None
    assert matching_step(secret, "", NOW_MS) is None
