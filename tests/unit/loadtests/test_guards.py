from __future__ import annotations

import re
import time

import pytest

from loadtests.target.guards import RATE_CAP_PER_S, Pace, Redaction, allowed, checked_run_id, identification, new_run_id
from simulation.errors import InputError


def resolving(**names: list[str]):
    """A resolver that knows these names and addresses; addresses mean themselves."""
    return lambda host, _: names.get(host.replace(".", "_"), [host])


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8000", "http://[::1]:8000/base/", "http://localhost", "https://127.8.9.1"]
)
def test_this_machine_may_be_loaded_without_asking_and_as_fast_as_one_likes(url: str):
    target = allowed(url, None, resolving(localhost=["::1", "127.0.0.1"]))
    assert (target.loopback, target.rate_cap_per_s, target.in_the_clear) == (True, None, False)
    assert not target.url.endswith("/")


def test_another_host_must_be_named_and_is_loaded_slowly():
    resolve = resolving(staging_example=["203.0.113.7"])
    with pytest.raises(InputError, match="--i-may-load staging.example"):
        allowed("https://staging.example", None, resolve)
    target = allowed("https://staging.example", "staging.example", resolve)
    assert (target.loopback, target.rate_cap_per_s, target.addresses) == (False, RATE_CAP_PER_S, ("203.0.113.7",))
    assert allowed("http://staging.example", "Staging.Example.", resolve).in_the_clear


@pytest.mark.parametrize(
    ("url", "may_load", "names", "says"),
    [
        ("https://a.example", "b.example", {}, "names exactly the host"),
        ("https://a.example", "https://a.example", {}, "without scheme"),
        ("https://a.example", "example", {}, "names exactly the host"),
        ("http://localhost:8000", None, {"localhost": ["203.0.113.7"]}, "which is not this machine"),
        ("http://localhost:8000", "localhost", {"localhost": ["203.0.113.7"]}, "which is not this machine"),
        ("http://a.example", None, {"a_example": ["127.0.0.1"]}, "though it does not say so"),
        ("http://a.example", "a.example", {"a_example": ["127.0.0.1", "203.0.113.7"]}, "partly this machine"),
        ("http://0.0.0.0:8000", None, {}, "is not this machine"),
        ("http://10.0.0.7", None, {}, "is not this machine"),
        ("http://127.0.0.1.nip.example", None, {"127_0_0_1_nip_example": ["203.0.113.7"]}, "is not this machine"),
        ("http://2130706433", None, {"2130706433": ["127.0.0.1"]}, "though it does not say so"),
        ("http://me:hush@127.0.0.1", None, {}, "no user or password"),
        ("ftp://127.0.0.1", None, {}, "expected http://"),
        ("127.0.0.1:8000", None, {}, "expected http://"),
        ("http://", None, {}, "expected http://"),
        ("http://127.0.0.1:99999", None, {}, "not an address"),
        ("http://127.0.0.1:0", None, {}, "nothing more"),
        ("http://127.0.0.1/?x=1", None, {}, "nothing more"),
    ],
)
def test_nothing_is_sent_where_the_target_is_not_what_it_says(url: str, may_load: str | None, names, says: str):
    with pytest.raises(InputError, match=re.escape(says)) as caught:
        allowed(url, may_load, resolving(**names))
    assert "hush" not in str(caught.value)


def test_a_name_that_nobody_knows_is_told():
    with pytest.raises(InputError, match="cannot be found"):
        allowed("http://no-such-host.invalid", "no-such-host.invalid")


def test_runs_are_told_apart_and_say_who_they_are():
    first, second = new_run_id(), new_run_id()
    assert first != second
    assert checked_run_id(first) == first
    assert identification(first)["X-Caucus-Run"] == first
    assert "caucus-trial-run" in identification(first)["User-Agent"]
    for wrong in ("", "a b", "x\r\nEvil: 1", "x" * 65):
        with pytest.raises(InputError, match="--run-id"):
            checked_run_id(wrong)


def test_a_cap_holds_over_a_burst():
    pace, began = Pace(200), time.monotonic()
    for _ in range(20):
        pace.take()
    assert time.monotonic() - began >= 19 / 200


def test_without_a_cap_nobody_waits():
    pace, began = Pace(None), time.monotonic()
    for _ in range(1000):
        pace.take()
    assert time.monotonic() - began < 0.5


def test_secrets_are_taken_out_of_what_is_shown():
    redaction = Redaction({"API_KEY": "hush-hush", "SHORT": "1"})
    redaction.learn("t0k3n-of-a-session")
    redaction.learn(None)
    assert redaction.text("1 t0k3n-of-a-session and hush-hush") == "1 *** and ***"
